"""Past cases from files, and kept for the next time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely

from geodata.crs import parse_crs, system
from geodata.files import read_table
from geodata.history import CaseColumns, NoSuchField, NotAHistory, keep, kept, read_history
from geodata.points import PointColumns
from geodata.times import zone_named
from routing.again import History, again, known
from routing.ground.certificate import sealed
from routing.jurisdiction import JurisdictionMap
from routing.route import Routed
from tests.city import MAPS, compiled, squares

WORK = parse_crs(4547)
ZONE = zone_named("Asia/Shanghai")
LONLAT = PointColumns("lon", "lat", system(None, "wgs84"))
ROWS = [
    ("1", 113.61001, 34.80001, "2024-05-01T08:00:00", " snack ", "nw"),
    ("2", 113.62001, 34.81001, "2024-05-01T00:00:00+00:00", "", ""),
    ("3", None, None, "2024-05-02", "fruit", "ne"),
    ("4", 113.62001, 34.81001, "soon", "snack", "nw"),
]


def table(path: Path, rows: Any = ROWS) -> Any:
    pd.DataFrame(rows, columns=["id", "lon", "lat", "when", "kind", "by"]).to_csv(path, index=False)
    return read_table(path)


def columns(**named: Any) -> CaseColumns:
    return CaseColumns(ZONE, **named)


def test_rows_become_arrays_with_words_as_numbers(tmp_path: Path) -> None:
    asked = columns(category="kind", at_field="when", found_by="by", case="id")
    read = read_history(table(tmp_path / "a.csv"), LONLAT, WORK, None, asked)
    history = read.history
    assert (history.categories, history.finders) == (("fruit", "snack"), ("ne", "nw"))
    assert history.category is not None
    assert history.found_by is not None
    assert history.at is not None
    assert history.case is not None
    assert history.category.tolist() == [1, -1, 0, 1]
    assert history.found_by.tolist() == [1, -1, 0, 1]
    assert history.case.tolist() == ["1", "2", "3", "4"]
    eight = int(datetime(2024, 5, 1, tzinfo=UTC).timestamp()) * 1_000_000
    assert history.at[:2].tolist() == [eight, eight], "08:00 in Shanghai is 00:00 UTC"
    assert np.isnan(history.x).tolist() == [False, False, True, True]
    assert read.location_error.tolist() == [None, None, "missing", "bad_time"]
    assert {n.code for n in read.notes} >= {"naive", "bad_time"}
    assert all(n.text("zh-CN") and n.text("en") for n in read.notes)


def test_one_instant_may_serve_all_and_columns_may_be_absent(tmp_path: Path) -> None:
    plain = read_history(table(tmp_path / "a.csv"), LONLAT, WORK, None, columns()).history
    assert (plain.at, plain.category, plain.found_by, plain.case) == (None, None, None, None)
    assert len(plain.error_m) == 1
    one = read_history(table(tmp_path / "a.csv"), LONLAT, WORK, None, columns(at=datetime(2024, 1, 1, tzinfo=UTC))).history
    assert one.at is not None
    assert len(one.at) == 1
    with pytest.raises(NoSuchField, match=r"--category-field.*kind"):
        read_history(table(tmp_path / "a.csv"), LONLAT, WORK, None, columns(category="Kind"))


def test_geometry_of_the_file_serves_and_a_line_stands_for_a_point_on_it(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    line = shapely.LineString([(113.61, 34.80), (113.62, 34.80)])
    path.write_text(
        '{"type":"FeatureCollection","features":['
        + ",".join(
            f'{{"type":"Feature","properties":{{"id":{i}}},"geometry":{shapely.to_geojson(g)}}}'
            for i, g in enumerate([shapely.Point(113.612345, 34.812345), line])
        )
        + "]}"
    )
    read = read_history(read_table(path), system(None, "wgs84"), WORK, None, columns())
    assert np.isfinite(read.history.x).all()
    assert [n.text("en") for n in read.notes if n.code == "shapes"] == ["1 rows are lines or areas; a point inside each stands for it."]


# ---- kept -----------------------------------------------------------------------------------------------------------


def history(n: int = 200) -> History:
    rng = np.random.default_rng(1)
    return History(
        rng.uniform(-30, 430, n),
        rng.uniform(-30, 430, n),
        rng.choice([0.0, 20.0], n),
        np.full(1, 1_714_500_000_000_000),
        rng.integers(-1, 2, n).astype(np.int32),
        ("gas leak", "snack"),
        rng.integers(-1, 2, n).astype(np.int32),
        ("nw", "stranger"),
        np.array([str(i % 9) if i % 5 else None for i in range(n)], object),
    )


def told(routed: Routed) -> list[str]:
    return [repr(routed.decision(i)) for i in range(len(routed))]


@pytest.mark.parametrize("name", ["orders", "cases", "agreements", "overlaps", "plain"])
def test_what_is_kept_is_the_warm_start_to_the_letter(tmp_path: Path, name: str) -> None:
    on, _ = sealed(MAPS[name]())
    warm = known(on, history())
    keep(tmp_path / "h.npz", warm)
    fresh = replace(on)
    again_ = kept(tmp_path / "h.npz", fresh)
    assert told(again_.routed) == told(warm.routed)
    assert again_.routed.verdict is not warm.routed.verdict
    other = compiled(squares())
    assert again(again_, other).rows.tolist() == again(warm, other).rows.tolist()


def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    import routing.again

    calls: list[int] = []
    real = routing.again.route

    def route(on: JurisdictionMap, complaints: Any, **how: Any) -> Routed:
        calls.append(len(complaints))
        return real(on, complaints, **how)

    monkeypatch.setattr(routing.again, "route", route)
    return calls


def test_decisions_are_taken_only_for_the_map_zone_and_cap_they_were_made_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on, _ = sealed(MAPS["plain"]())
    path = tmp_path / "h.npz"
    keep(path, known(on, history()))
    calls = counting(monkeypatch)
    kept(path, on)
    assert calls == []
    kept(path, on, cap_m=50.0)
    kept(path, on, zone_m=30.0)
    kept(path, sealed(MAPS["orders"]())[0])
    monkeypatch.setattr("geodata.history.RULES_VERSION", "2099-01")
    kept(path, on)
    assert calls == [200] * 4
    unnamed = replace(on, version="")
    keep(path, known(unnamed, history()))
    kept(path, unnamed)
    assert len(calls) == 6, "a map without a name may be any map"


def test_a_file_that_is_no_history_is_refused(tmp_path: Path) -> None:
    on, _ = sealed(MAPS["plain"]())
    path = tmp_path / "h.npz"
    keep(path, known(on, history()))
    whole = path.read_bytes()
    for bad in (b"", b"PK\x03\x04", whole[: len(whole) // 2]):
        path.write_bytes(bad)
        with pytest.raises(NotAHistory):
            kept(path, on)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(NotAHistory, match="said"):
        kept(path, on)
    with np.load(_written(path, whole)) as file:
        entries = dict(file)
    np.savez(path, **{**entries, "margin_m": np.zeros(3)})
    with pytest.raises(NotAHistory, match="margin_m"):
        kept(path, on)
    np.savez(path, **{**entries, "verdict": entries["verdict"] + 1000})
    with pytest.raises(NotAHistory, match="IndexError"):
        kept(path, on)
    np.savez(path, **{**entries, "x": np.array([{}], object)})
    with pytest.raises(NotAHistory):
        kept(path, on)
    path.write_bytes(whole)
    moved = replace(on, settings=replace(on.settings, work_crs="EPSG:4548"))
    with pytest.raises(NotAHistory, match="4548"):
        kept(path, moved)


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
