"""The demo: make the city's files, route its complaints as anybody would, draw what came of it."""

from __future__ import annotations

import csv
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import shapely

from api.demo import FEWEST
from api.demo.city import City, city, to_metres
from api.demo.files import COMPLAINTS, DECISIONS, MAP, PICTURE, README, write_city
from api.demo.picture import Drawn, draw, example_of
from api.usecases.route_file import How, Summary, route_file
from api.words import word
from geodata.build import Built, build
from geodata.compile import Progress
from geodata.written import CannotWrite, replace_file
from routing.errors import JieguanError, Lang
from routing.model import Step


class TooFewCases(JieguanError):
    zh = "--cases {value} 太少:各类地点都要有投诉,至少需要 {least} 件。"
    en = "--cases {value} is too few: for every kind of place to have complaints, at least {least} are needed."


@dataclass(frozen=True, slots=True)
class Demo:
    """What was made. `at`: longitude and latitude of the example, a complaint at a border."""

    folder: Path
    city: City
    built: Built
    summary: Summary
    example: Drawn
    at: tuple[float, float]


def make_demo(folder: Path, cases: int, seed: int, now: Callable[[], datetime], progress: Progress) -> Demo:
    """Write all files of the demo into `folder` (made if need be). Raises TooFewCases, CannotWrite."""
    if cases < FEWEST:
        raise TooFewCases(value=cases, least=FEWEST)
    _make_folder(folder)
    made = city(seed)
    files, points = write_city(made, cases, seed, folder)
    built = build(files, progress)
    replace_file(folder / MAP, built.data)
    summary = route_file(built.map, points, str(folder / DECISIONS), How(), now, progress)
    rows = _read(folder / DECISIONS)
    found = _placed([row for row in rows if row["lon"]])
    example = example_of(made, found)
    progress("draw", 0, 1)
    draw(made, found, summary.steps, example, seed, folder / PICTURE)
    row = next(r for r in rows if r["id"] == example.id)
    demo = Demo(folder, made, built, summary, example, (float(row["lon"]), float(row["lat"])))
    texts = [read_me(demo, lang) for lang in ("zh-CN", "en")]
    replace_file(folder / README, "\n\n".join(texts).encode("utf-8"))
    return demo


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWrite(path=str(folder), reason=str(error)) from error


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _placed(rows: list[dict[str, str]]) -> list[Drawn]:
    """The rows that have a place, with it in metres."""
    lonlat = shapely.points([(float(row["lon"]), float(row["lat"])) for row in rows])
    places = shapely.get_coordinates(to_metres(lonlat)).tolist()
    return [_drawn(row, (x, y)) for row, (x, y) in zip(rows, places, strict=True)]


def _drawn(row: dict[str, str], xy: tuple[float, float]) -> Drawn:
    return Drawn(
        id=row["id"],
        xy=xy,
        error_m=float(row["error_m"]),
        category=row["category"],
        category_name=row["category_name"],
        squad=row["squad"],
        assist=tuple(filter(None, row["assist"].split("|"))),
        step=Step(row["step"]),
        margin_m=float(row["margin_m"]),
    )


# ---- in words --------------------------------------------------------------------------------------------------------


def commands(demo: Demo) -> dict[str, str]:
    """One line each: explain the example, prove the map against its files, route the complaints again, route one's own city."""
    return {
        "explain": f"{program()} explain --map {_path(demo, MAP)} --at-point {demo.at[0]},{demo.at[1]} "
        f"--category {demo.example.category} --error-m {demo.example.error_m:g}",
        "verify": f"{program()} verify {_path(demo, MAP)} {map_options(demo.folder)}",
        "again": f"{program()} route {_path(demo, COMPLAINTS)} --map {_path(demo, MAP)} {POINT_OPTIONS} --out again.csv",
        "own": f"{program()} route cases.csv --territories squads.gpkg --squad-field squad --out decisions.csv",
    }


POINT_OPTIONS = "--datum wgs84 --error-field error_m --category-field category --at-field at --case-field id"


def map_options(folder: Path) -> str:
    """The files of the demo as options of the command line."""
    named = (
        ("territories", "territories.gpkg"),
        ("townships", "townships.gpkg"),
        ("agreements", "agreements.csv"),
        ("designations", "designations.geojson"),
        ("not-served", "not_served.geojson"),
        ("direct", "direct.csv"),
        ("squads", "squads.csv"),
        ("extent", "extent.gpkg"),
    )
    files = [f"--{option} {shlex.quote(str(folder / name))}" for option, name in named]
    return " ".join([files[0], "--squad-field squad", *files[1:]])


def _path(demo: Demo, name: str) -> str:
    return shlex.quote(str(demo.folder / name))


def program() -> str:
    """How this program is called from here: `scripts/run` puts it into .venv, which is on nobody's path."""
    called = Path(sys.argv[0])
    if called.name == "jieguan" and called.is_relative_to(Path.cwd()):
        return str(called.relative_to(Path.cwd()))
    return "jieguan"


def read_me(demo: Demo, lang: Lang) -> str:
    """What lies in the folder and what to do with it."""
    told = commands(demo)
    return "\n".join(
        [
            word("demo_synthetic", lang),
            "",
            word("demo_files", lang, folder=demo.folder),
            *(f"  {name:<22} {word('demo_' + key, lang)}" for name, key in FILES),
            "",
            *(f"{word('demo_do_' + key, lang)}\n  {told[key]}" for key in ("explain", "verify", "again", "own")),
            "",
        ]
    )


FILES = (
    (PICTURE, "picture"),
    (DECISIONS, "decisions"),
    (COMPLAINTS, "complaints"),
    ("territories.gpkg", "territories"),
    ("townships.gpkg", "townships"),
    ("extent.gpkg", "extent"),
    ("squads.csv", "squads"),
    ("direct.csv", "direct"),
    ("agreements.csv", "agreements"),
    ("designations.geojson", "designations"),
    ("not_served.geojson", "not_served"),
    (MAP, "map"),
)
