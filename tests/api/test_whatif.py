"""What-if and replay as a planner meets them: files in, a report, a list of cases, no byte that differs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from api.usecases import replay as again
from api.usecases import whatif as tried
from api.usecases.replay import (
    NoTimeToReplay,
    NotRouted,
    Past,
    canonical,
    decided,
    digest,
    maps_at_hand,
    replay,
    replay_file,
    replay_on,
)
from api.usecases.route_file import How, PointFile, route_file
from api.usecases.whatif import COLUMNS, ask, warm_start, whatif
from api.words_whatif import WORDS
from geodata.crs import parse_crs, system, to_wgs84
from geodata.files import read_table
from routing.again import History, Scope
from routing.errors import JieguanError
from routing.ground.certificate import sealed
from routing.jurisdiction import JurisdictionMap, Settings
from routing.model import Squad, SquadCode
from routing.route import route
from routing.situation import Roster
from tests.city import MAPS, box, designation, period, roster, squares, territory

X0, Y0, SIDE = 460_000.0, 3_850_000.0, 4_000.0
"""The big city where EPSG:4547 has Zhengzhou."""


def now() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


def never() -> datetime:
    raise AssertionError("nobody should ask for the time")


def big(depth: float = 0.0, *more: Any, who: Roster | None = None) -> JurisdictionMap:
    """Four squares of 4 km; the line between sw and se moved east over 600 m."""
    from geodata.compile import compile_map

    def at(x0: float, y0: float, x1: float, y1: float) -> Any:
        return box(X0 + x0, Y0 + y0, X0 + x1, Y0 + y1)

    piece = at(SIDE, 1_500, SIDE + depth, 2_100) if depth else None
    west, east = at(0, 0, SIDE, SIDE), at(SIDE, 0, 2 * SIDE, SIDE)
    if piece is not None:
        west, east = west.union(piece), east.difference(piece)
    north = {"nw": at(0, SIDE, SIDE, 2 * SIDE), "ne": at(SIDE, SIDE, 2 * SIDE, 2 * SIDE)}
    grounds = [*squares(sw=west, se=east, **north), *more]
    return sealed(compile_map(grounds, who or roster(), Settings("EPSG:4547", 15.0)))[0]


@pytest.fixture
def cases(tmp_path: Path) -> str:
    rng = np.random.default_rng(3)
    x, y = X0 + SIDE + rng.uniform(-2_000, 2_000, 400), Y0 + rng.uniform(200, 3_800, 400)
    lon, lat = to_wgs84(x, y, system(parse_crs(4547), None))
    table = pd.DataFrame({"id": range(400), "lon": lon, "lat": lat, "kind": rng.choice(["snack", "fruit", ""], 400)})
    table.loc[5, "lon"] = None
    table["when"] = "2024-05-01T08:00:00+08:00"
    path = tmp_path / "cases.parquet"
    table.to_parquet(path)
    return str(path)


def office_roster() -> Roster:
    lon, lat = to_wgs84([X0 + 2_000], [Y0 + 2_000], system(parse_crs(4547), None))
    squads = [replace(s, office=(float(lon[0]), float(lat[0]))) if s.code == "sw" else s for s in roster().squads]
    return Roster(tuple(squads), SquadCode("desk"))


# ---- what-if --------------------------------------------------------------------------------------------------------


def test_a_moved_line_is_told_counted_and_listed(cases: str, tmp_path: Path) -> None:
    before, after = big(who=office_roster()), big(300.0, who=office_roster())
    out = tmp_path / "moved.csv"
    found = whatif(before, after, PointFile(cases, category_field="kind"), How(), never, out=str(out))
    told = tried.as_json(found)
    rows = pd.read_csv(out)
    assert list(rows.columns) == ["id", "lon", "lat", "kind", "when", *COLUMNS]
    assert told["scope"] == "part"
    assert told["moved"] == len(rows) > 3
    assert told["flows"] == [{"from": "se", "to": "sw", "cases": len(rows)}]
    assert set(rows.squad_before) == {"se"}
    assert set(rows.squad_after) == {"sw"}
    squads = {s["squad"]: s for s in told["squads"]}
    assert squads["sw"]["led_after"] - squads["sw"]["led_before"] == len(rows)
    assert sum(s["led_after"] for s in squads.values()) == told["cases"] == 400
    assert {c["category"] for c in told["categories"]} <= {"snack", "fruit", None}
    assert told["way"]["cases_after"] == squads["sw"]["led_after"]
    assert told["strips"][0]["squads"] == ("se", "sw")
    assert (told["map_before"], told["map_after"]) == (before.version, after.version)
    json.dumps(told)
    for lang in ("zh-CN", "en"):
        text = tried.as_text(found, lang)
        assert f"se → sw: {len(rows)}" in text
        assert before.version in text
        assert not re.search(r"[{}]", text)


def test_the_numbers_are_those_of_two_routed_files(cases: str, tmp_path: Path) -> None:
    source = PointFile(cases, error_m=80.0)
    files = []
    for name, depth in (("a", 0.0), ("b", 300.0)):
        out = tmp_path / f"{name}.parquet"
        route_file(big(depth), source, str(out), How(), never)
        files.append(pq.read_table(out).to_pandas())
    one, two = files
    told = tried.as_json(whatif(big(), big(300.0), source, How(), never))
    assert told["moved"] == int((one.squad != two.squad).sum())
    assert told["assist_changed"] == sum(list(a) != list(b) for a, b in zip(one.assist, two.assist, strict=True))
    doubt = told["doubtful"]
    assert (doubt["before"], doubt["after"]) == (int(one.doubtful.sum()), int(two.doubtful.sum()))
    assert doubt["new"] == int((~one.doubtful & two.doubtful).sum()) > 0
    assert doubt["gone"] == int((one.doubtful & ~two.doubtful).sum()) > 0
    assert doubt["after"] > doubt["new"]


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".parquet"])
def test_the_list_opens_as_a_layer(cases: str, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"moved{suffix}"
    found = whatif(big(), big(300.0), PointFile(cases), How(prefix="our_"), never, out=str(out))
    table = read_table(out)
    assert len(table) == len(found.found.moved)
    assert {"our_" + name for name in COLUMNS} <= set(table.columns.column_names)
    if suffix == ".gpkg":
        assert table.geometry is not None
        assert float(table.geometry[0].y) == pytest.approx(34.8, abs=0.1)


def test_nothing_moves_on_the_same_map(cases: str, tmp_path: Path) -> None:
    out = tmp_path / "none.csv"
    found = whatif(big(), big(), PointFile(cases), How(), never, out=str(out))
    assert found.found.scope is Scope.NONE
    assert len(read_table(out)) == 0
    for lang in ("zh-CN", "en"):
        assert tried.as_text(found, lang)


def test_why_everything_was_routed_is_said(cases: str) -> None:
    five = Roster((*roster().squads, Squad(SquadCode("zz"))), SquadCode("desk"))
    found = whatif(big(), big(who=five), PointFile(cases), How(), never)
    assert "名录" in tried.as_text(found, "zh-CN")
    assert "roster" in tried.as_text(found, "en")


def test_a_kept_history_answers_as_its_file(cases: str, tmp_path: Path) -> None:
    kept, out = tmp_path / "h.npz", tmp_path / "moved.csv"
    source = PointFile(cases, category_field="kind", case_field="id")
    before, after = big(who=office_roster()), big(300.0, who=office_roster())
    first = whatif(before, after, source, How(), never, keep_to=str(kept))
    second = whatif(before, after, PointFile(str(kept)), How(), never, out=str(out))
    assert tried.as_json(second)["way"] is not None
    assert tried.as_json(first) == tried.as_json(second)
    rows = pd.read_csv(out)
    assert list(rows.columns) == ["row", "case", *COLUMNS]
    assert (rows.row == rows.case + 1).all()


def test_one_warm_start_serves_many_maps(cases: str) -> None:
    warm = warm_start(big(), PointFile(cases), How(), never)
    moved = [len(ask(warm, big(depth)).found.moved) for depth in (0.0, 100.0, 300.0)]
    assert moved[0] == 0
    assert moved[1] < moved[2]


def test_times_and_ids_are_asked_for_where_maps_need_them(cases: str) -> None:
    dated = big(0.0, designation("may", "ne", box(X0 + 10, Y0 + 10, X0 + 90, Y0 + 90), period("2020-05-01")))
    assert any(n.code == "assumed_now" for n in whatif(big(), dated, PointFile(cases), How(), now).notes)
    assert whatif(big(), dated, PointFile(cases, at_field="when"), How(), never).found.rows == 400
    ordered = big(0.0, designation("7", "nw", case="7"))
    found = whatif(big(), ordered, PointFile(cases), How(), never)
    assert found.found.flows() == [(route_of("7", cases), "nw", 1)]
    assert any(n.code == "case_field" for n in found.notes)


def route_of(case: str, cases: str) -> str:
    table = pq.read_table(cases).to_pandas()
    found = table[table.id == int(case)].iloc[0]
    return "sw" if found.lon < to_wgs84([X0 + SIDE], [Y0 + 2_000], system(parse_crs(4547), None))[0][0] else "se"


# ---- replay ---------------------------------------------------------------------------------------------------------


def history(n: int = 300) -> History:
    rng = np.random.default_rng(4)
    x, y = rng.uniform(-30, 430, (2, n))
    x[0] = np.nan
    at = rng.integers(1_400_000_000, 1_700_000_000, n) * 1_000_000
    return History(x, y, rng.choice([0.0, 20.0], n), at, rng.integers(-1, 2, n).astype(np.int32), ("gas leak", "snack"))


def past_on(maps: list[JurisdictionMap], cases_: History, *, digests: bool = False) -> Past:
    """Each map decides the rows that fall to it."""
    from routing.ladder import RULES_VERSION

    n = len(cases_)
    said, version = np.empty(n, object), np.empty(n, object)
    for k, on in enumerate(maps):
        rows = np.arange(k, n, len(maps))
        for row, text in zip(rows, canonical(route(on, cases_.complaints(on, rows))), strict=True):
            said[row], version[row] = (digest(text) if digests else text), on.version
    return Past(version, np.full(n, RULES_VERSION, object), said)


@pytest.mark.parametrize("digests", [False, True])
def test_the_past_comes_out_the_same_to_the_byte(digests: bool) -> None:
    maps = [sealed(MAPS[name]())[0] for name in ("orders", "years", "overlaps", "agreements")]
    past = past_on(maps, history(), digests=digests)
    fresh = [replace(on) for on in maps]
    report = replay(past, maps_at_hand(fresh), decided(history()))
    assert report.good
    assert (report.rows, report.same, report.differences) == (300, 300, ())
    assert "300" in again.as_text(report, "zh-CN")


def test_a_byte_that_differs_is_found_and_shown() -> None:
    maps = [sealed(MAPS["orders"]())[0]]
    past = past_on(maps, history())
    past.said[7] = past.said[7].replace('"margin_m":', '"margin_m":9')
    past.said[9] = digest(past.said[9] + " ")
    report = replay(past, maps_at_hand(maps), decided(history()))
    assert not report.good
    assert [(d.row, d.byte) for d in report.differences] == [(7, past.said[7].index('"margin_m":9') + 11), (9, 0)]
    for lang in ("zh-CN", "en"):
        assert report.differences[0].was in again.as_text(report, lang)
    json.dumps(again.as_json(report))


def test_what_cannot_be_made_again_is_counted_apart() -> None:
    maps = [sealed(MAPS[name]())[0] for name in ("orders", "years")]
    past = past_on(maps, history())
    past.rules_version[:10] = "1999-01"
    report = replay(past, maps_at_hand(maps[:1]), decided(history()))
    assert (report.other_rules, report.no_map) == ({"1999-01": 10}, {maps[1].version: 145})
    assert report.same == 145
    assert not report.good
    assert not report.differences
    assert "1999-01" in again.as_text(report, "en")


def test_canonical_text_is_json_with_everything_in_order() -> None:
    on = sealed(MAPS["orders"]())[0]
    cases_ = history(40)
    routed = route(on, cases_.complaints(on))
    for i, text in enumerate(canonical(routed)):
        value, decision = json.loads(text), routed.decision(i)
        assert list(value) == sorted(value)
        assert json.dumps(value, ensure_ascii=False, separators=(",", ":")) == text
        assert (value["squad"], tuple(value["assist"]), value["runner_up"]) == (decision.squad, decision.assist, decision.runner_up)
        assert value["margin_m"] == (None if i == 0 else decision.margin_m)
        assert [r["step"] for r in value["reasons"]] == [r.step.value for r in decision.reasons]
    assert "reasons" not in next(canonical(routed, reasons=False))


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("reasons", [False, True])
def test_a_routed_file_is_made_again(cases: str, tmp_path: Path, suffix: str, reasons: bool) -> None:
    out = str(tmp_path / f"routed{suffix}")
    maps = [big(), big(300.0)]
    route_file(maps[0], PointFile(cases), out, How(reasons=reasons), never)
    report = replay_file(PointFile(out), maps_at_hand(maps))
    assert (report.good, report.rows) == (True, 400)
    report = replay_file(PointFile(out), lambda _: maps[1])
    assert len(report.differences) > 3


def test_files_that_cannot_be_made_again_are_refused(cases: str, tmp_path: Path) -> None:
    with pytest.raises(NotRouted, match="margin_m"):
        replay_file(PointFile(cases), maps_at_hand([]))
    dated = big(0.0, territory("gas", box(X0, Y0 - 99, X0 + 99, Y0), period("2020-05-01")))
    out = str(tmp_path / "routed.parquet")
    route_file(dated, PointFile(cases, at_field="when"), out, How(), never)
    assert replay_file(PointFile(out, at_field="when"), maps_at_hand([dated])).good
    with pytest.raises(NoTimeToReplay):
        replay_file(PointFile(out), maps_at_hand([dated]))


def test_lines_in_a_routed_file_are_made_again(tmp_path: Path) -> None:
    lon, lat = to_wgs84([X0 + 3_000, X0 + 5_500], [Y0 + 900, Y0 + 1_000], system(parse_crs(4547), None))
    line = {"type": "LineString", "coordinates": [[float(a), float(b)] for a, b in zip(lon, lat, strict=True)]}
    point = {"type": "Point", "coordinates": [float(lon[0]), float(lat[0])]}
    features = [{"type": "Feature", "properties": {"id": i}, "geometry": g} for i, g in enumerate([line, point])]
    path = tmp_path / "lines.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    out = str(tmp_path / "routed.parquet")
    route_file(big(), PointFile(str(path)), out, How(reasons=True), never)
    assert replay_file(PointFile(out), maps_at_hand([big()])).good


def test_two_versions_over_a_history() -> None:
    one, two = (sealed(MAPS[name]())[0] for name in ("plain", "orders"))
    found = replay_on(one, two, history())
    want = [route(on, history().complaints(on)).squad for on in (one, two)]
    assert len(found.moved) == int((want[0] != want[1]).sum())


# ---- words ----------------------------------------------------------------------------------------------------------


def test_every_sentence_has_both_languages_and_the_same_facts() -> None:
    def facts(text: str) -> set[str]:
        return set(re.findall(r"{(\w+)", text))

    for key, (zh, en) in WORDS.items():
        assert facts(zh) == facts(en), key
    errors: list[type[JieguanError]] = [again.MapNotHere, NotRouted, NoTimeToReplay]
    for error in errors:
        assert facts(error.zh) == facts(error.en)


