"""The demo city: what a newcomer sees first must be true, labelled, the same every time, and made of files like anybody's."""

from __future__ import annotations

import csv
import json
import shlex
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from PIL import Image

from api.cli import main
from api.demo.city import DISPUTED, TOWNSHIPS, city, outline, to_degrees, to_metres
from api.demo.make import POINT_OPTIONS, map_options
from api.demo.picture import GROUND
from routing.model import Step

TABLES = ("complaints.csv", "squads.csv", "direct.csv", "agreements.csv")
LAYERS = ("territories.gpkg", "townships.gpkg")
FILES = (*TABLES, *LAYERS, "extent.gpkg", "designations.geojson", "not_served.geojson", "map.jgm", "decisions.csv")


def run(line: str) -> None:
    """A command of the documents. Exit status 0 is silence; anything else raises SystemExit."""
    try:
        main(shlex.split(line))
    except SystemExit as end:
        if end.code:
            raise


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "one"
    run(f"demo --out {folder} --lang en")
    return folder


@pytest.fixture(scope="module")
def decisions(demo: Path) -> list[dict[str, str]]:
    return rows(demo / "decisions.csv")


def test_every_step_of_the_ladder_occurs(decisions: list[dict[str, str]]) -> None:
    steps = Counter(row["step"] for row in decisions)
    assert set(steps) == {step.value for step in Step}
    assert steps["border"] >= 0.15 * len(decisions)


def test_every_complaint_has_a_squad_that_exists(demo: Path, decisions: list[dict[str, str]]) -> None:
    squads = {row["code"] for row in rows(demo / "squads.csv")}
    assert len(decisions) == len(rows(demo / "complaints.csv")) == 1200
    assert {row["squad"] for row in decisions} <= squads
    placeless = [row for row in decisions if not row["lon"]]
    assert placeless
    assert all((row["squad"], row["location_error"]) == ("HJ-00", "missing") for row in placeless)


def test_one_seed_gives_the_same_bytes_and_another_gives_others(demo: Path, tmp_path: Path) -> None:
    run(f"demo --out {tmp_path / 'same'}")
    run(f"demo --out {tmp_path / 'other'} --seed 7 --cases 100")
    for name in FILES:
        assert (tmp_path / "same" / name).read_bytes() == (demo / name).read_bytes(), name
    assert (tmp_path / "other" / "territories.gpkg").read_bytes() != (demo / "territories.gpkg").read_bytes()
    assert len(rows(tmp_path / "other" / "decisions.csv")) == 100


@pytest.mark.parametrize("by_files", [True, False])
def test_anybody_can_route_the_files_again(demo: Path, tmp_path: Path, by_files: bool) -> None:
    ground = map_options(demo) if by_files else f"--map {demo / 'map.jgm'}"
    run(f"route {demo / 'complaints.csv'} {ground} {POINT_OPTIONS} --out {tmp_path / 'again.csv'} --json")
    assert (tmp_path / "again.csv").read_bytes() == (demo / "decisions.csv").read_bytes()


def test_the_map_is_proven_and_faithful_to_its_files(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(f"verify {demo / 'map.jgm'} {map_options(demo)} --json")
    assert json.loads(capsys.readouterr().out) == {"proven": True, "faithful": True, "findings": []}


def test_the_example_it_prints_is_a_border_case_of_its_own(
    demo: Path, decisions: list[dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    line = next(line.strip() for line in (demo / "README.txt").read_text().splitlines() if " explain " in line)
    run(line.removeprefix("jieguan ") + " --json")
    told = json.loads(capsys.readouterr().out)
    place = line.split("--at-point ")[1].split()[0].split(",")
    row = next(r for r in decisions if [r["lon"], r["lat"]] == place)
    assert (told["squad"], told["step"], told["assist"]) == (row["squad"], "border", [row["assist"]])
    assert told["change"]["squad"] == row["runner_up"]
    assert told["margin_m"] == pytest.approx(float(row["margin_m"]), abs=0.001)


def test_everything_made_up_says_so(demo: Path) -> None:
    for name in TABLES:
        assert all("synthetic" in row["synthetic"] for row in rows(demo / name)), name
    for name in LAYERS:
        assert all("合成" in label for label in pyogrio.read_dataframe(demo / name)["synthetic"]), name
    for name in ("designations.geojson", "not_served.geojson"):
        assert all("synthetic" in f["properties"]["synthetic"] for f in json.loads((demo / name).read_text())["features"])
    assert "synthetic" in (demo / "README.txt").read_text()
    assert all(row["phone"].startswith("000-") for row in rows(demo / "squads.csv"))
    assert all(row["description"].startswith("(合成)") for row in rows(demo / "complaints.csv"))


def test_names_and_codes_are_those_of_the_district(demo: Path) -> None:
    layer = pyogrio.read_dataframe(demo / "townships.gpkg")
    assert sorted(layer["code"]) == ["410108001", "410108002", "410108003", "410108004", "410108005", "410108006", "410108100", "410108101"]
    assert layer.crs.to_epsg() == 4490
    assert dict(zip(layer["code"], layer["name"], strict=True))["410108101"] == "古荥镇"


@pytest.mark.parametrize("seed", [0, 1, 2, 410108])
def test_townships_fill_the_real_outline_and_territories_err_twice(seed: int) -> None:
    made = city(seed)
    towns = list(made.townships.values())
    assert shapely.coverage_is_valid(towns)
    assert shapely.hausdorff_distance(made.outline, outline()) < 0.01
    assert shapely.area(towns).sum() == pytest.approx(made.outline.area, abs=1e-3)
    territories = made.territories
    gap = shapely.difference(made.outline, shapely.union_all(list(territories.values())))
    assert gap.area == pytest.approx(made.gap.area, abs=1.0)
    both = {pair: shapely.intersection(territories[pair[0]], territories[pair[1]]).area for pair in combinations(territories, 2)}
    assert {frozenset(pair) for pair, area in both.items() if area > 1.0} == {frozenset(DISPUTED)}
    assert sum(both.values()) == pytest.approx(made.overlap.area, abs=1.0)


def test_a_corner_shared_in_metres_is_shared_in_degrees() -> None:
    made = city(3)
    degrees = [to_degrees(made.townships[t.squad]) for t in TOWNSHIPS]
    assert shapely.coverage_is_valid(degrees)
    assert shapely.hausdorff_distance(to_metres(degrees[0]), made.townships[TOWNSHIPS[0].squad]) < 0.001


def test_the_picture_is_fit_for_a_readme(demo: Path) -> None:
    with Image.open(demo / "map.png") as picture:
        assert picture.size == (1600, 1200)
        assert picture.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
    assert (demo / "map.png").stat().st_size < 400_000


def test_neighbours_differ_for_everybody() -> None:
    made = city(0)
    for pair in made.lines:
        for seen in (np.eye(3), DEUTERANOPIA):
            a, b = (_lab(GROUND[squad], seen) for squad in pair)
            assert np.linalg.norm(a - b) > 10, pair


def test_too_few_complaints_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["demo", "--out", str(tmp_path / "none"), "--cases", "5", "--lang", "en"])
    assert end.value.code == 2
    assert "at least 100" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "none").exists()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as end:
        main(["demo", "--out", str(tmp_path / "file" / "demo"), "--lang", "en"])
    assert end.value.code == 2
    assert "cannot be written" in " ".join(capsys.readouterr().err.split())


def test_what_machines_are_told(demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(f"demo --out {tmp_path / 'few'} --cases 150 --json")
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == sum(told["steps"].values()) == 150
    assert set(told["commands"]) == {"explain", "verify", "again", "own"}
    assert {"id", "squad", "lon", "lat"} <= set(told["example"])


DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
"""Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB."""


def _lab(colour: str, seen: Any) -> Any:
    """CIE L*a*b* (D65) of a colour as somebody sees it."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.clip(seen @ np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4), 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ linear / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
