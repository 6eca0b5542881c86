"""`jieguan whatif`, `replay` and `practice` from the command line, on the four squares one can draw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
import shapely.affinity

from api.cli import main


def status_of(*words: str) -> int:
    try:
        main(list(words))
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = status_of(*words)
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture
def city(tmp_path: Path) -> dict[str, Any]:
    """Two maps of two squares whose common line lies 40 m apart, and 400 cases routed on the first."""
    rng = np.random.default_rng(1)
    paths: dict[str, Any] = {"folder": tmp_path}
    for name, line in (("before", 200), ("after", 240)):
        shapes = [
            shapely.affinity.translate(shapely.box(*b), 460_000, 3_850_000)
            for b in ((0, 0, line, 400), (line, 0, 400, 400))
        ]
        layer = geopandas.GeoDataFrame({"id": ["w", "e"]}, geometry=shapes, crs="EPSG:4547")
        layer.to_file(tmp_path / f"{name}.gpkg")
        made = str(tmp_path / f"{name}.map")
        options = ("--territories", str(tmp_path / f"{name}.gpkg"), "--work-crs", "EPSG:4547", "--duty", "w", "--out", made)
        assert status_of("compile", *options) == 0
        paths[name] = made
    places = rng.uniform((0, 0), (400, 400), (400, 2)) + np.array([460_000, 3_850_000])
    cases = pd.DataFrame({"x": places[:, 0], "y": places[:, 1], "at": "2026-01-05T08:00:00+08:00"})
    cases["who"] = np.where(places[:, 0] < 460_200, "w", "e")
    paths["cases"] = str(tmp_path / "cases.csv")
    cases.to_csv(paths["cases"], index=False)
    paths["moved"] = int(((places[:, 0] > 460_200) & (places[:, 0] < 460_240)).sum())
    return paths


WHERE = ("--x", "x", "--y", "y", "--crs", "EPSG:4547")


def test_whatif_lists_the_cases_between_the_old_line_and_the_new(
    city: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(city["folder"] / "moved.csv")
    status, told, _ = run(
        capsys,
        "whatif",
        city["after"],
        "--map",
        city["before"],
        "--cases",
        city["cases"],
        *WHERE,
        "--out",
        out,
        "--json",
    )
    assert status == 0
    assert json.loads(told)["moved"] == city["moved"] == len(pd.read_csv(out))
    status, told, _ = run(capsys, "whatif", city["after"], "--map", city["before"], "--cases", city["cases"], *WHERE)
    assert f"{city['moved']} 件换队" in told
    status, _, err = run(capsys, "whatif", "draft", "--cases", city["cases"], *WHERE, "--lang", "en")
    assert (status, "--map" in err) == (2, True)


def test_replay_finds_nothing_on_the_map_of_the_time_and_a_changed_byte(
    city: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    routed = str(city["folder"] / "routed.csv")
    assert (
        run(
            capsys,
            "route",
            city["cases"],
            "--map",
            city["before"],
            *WHERE,
            "--at-field",
            "at",
            "--out",
            routed,
            "--reasons",
        )[0]
        == 0
    )
    replay = ("replay", routed, "--map", city["before"], *WHERE, "--at-field", "at", "--json")
    status, told, _ = run(capsys, *replay)
    assert status == 0, told
    table = pd.read_csv(routed, dtype=str, keep_default_na=False)
    table.loc[7, "squad"] = "e" if table.loc[7, "squad"] == "w" else "w"
    table.to_csv(routed, index=False)
    assert run(capsys, *replay)[0] == 1


def test_practice_reports_and_proposes_nothing_where_records_follow_the_map(
    city: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        "practice",
        city["cases"],
        "--map",
        city["before"],
        "--recorded",
        "who",
        "--at-field",
        "at",
        *WHERE,
        "--json",
    )
    status, told, err = run(capsys, *words)
    assert status == 0, err
    assert json.loads(told)["proposals"] == []
