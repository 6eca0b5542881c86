"""Exports: every layer and every column in GDAL's eyes, styles for QGIS, the same millimetre when it comes back."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geodata import exporting
from geodata.build import MapFiles
from geodata.crs import parse_crs
from geodata.db.guard import LiveDatabase, protect, release
from geodata.exporting import (
    STYLES,
    WITH_GROUND,
    About,
    CrsHasNoCode,
    NotExact,
    arrow,
    blank_facts,
    cells_of,
    cut,
    export,
    short_names,
    style_of,
)
from geodata.files import read_table
from geodata.importing import Base, changes, merged, read_map
from geodata.intake import UnknownFormat
from geodata.intake_gdal import pyogrio
from geodata.layer import LayerName, Row, in_metres, on_grid
from geodata.written import CannotWrite, write_table
from routing.errors import JieguanError
from routing.jurisdiction import Settings
from tests.db.worlds import SETTINGS, city, placed
from tests.gdal import of_the_system

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
ABOUT = About("f" * 64, NOW, "draft-1", 7)
NAME = "<b>Robert'); DROP TABLE township;--</b>\u202e"


def world() -> list[Row]:
    """A map that has something in every layer; a name is hostile."""
    rows = city(2)
    rows[0] = Row(**{**{f: getattr(rows[0], f) for f in Row.__slots__}, "name": NAME})
    box = on_grid(placed(shapely.box(100, 100, 200, 160.1234)))
    line = on_grid(placed(shapely.LineString([(0, 1000), (900.001, 1000)])))
    since = datetime(2025, 1, 1, 0, 0, 0, 5, tzinfo=UTC)
    own = blank_facts(LayerName.TERRITORY, "su00")
    agreed = blank_facts(LayerName.AGREEMENT, "a1") | {"parties": ["su00", "su01"], "lead": "su00", "categories": ["GB30428:0501"]}
    more = [
        Row(LayerName.EXTENT, "extent", ground=on_grid(placed(shapely.box(-50, -50, 2050, 2050)))),
        Row(LayerName.TERRITORY, "su00", own | {"squad": "su00", "priority": 2, "accuracy_m": "0.1"}, box),
        Row(LayerName.BORDER, "b1", {"sides": ["u00", "u10"], "line_rule": "CENTRELINE", "status": "DISPUTED", "zone_m": "30.0"}, line),
        Row(LayerName.AGREEMENT, "a1", agreed, box, document="文〔2025〕1号", since=since, accuracy_m=0.05),
        Row(LayerName.DESIGNATION, "d1", blank_facts(LayerName.DESIGNATION, "d1") | {"squad": "su01", "case": "C-1"}),
        Row(LayerName.NOT_SERVED, "铁路", blank_facts(LayerName.NOT_SERVED, "铁路") | {"authority": "铁路", "name": "铁路"}, box, "铁路"),
        Row(LayerName.DIRECT, "GB30428:0112", blank_facts(LayerName.DIRECT, "x") | {"category": "GB30428:0112", "squad": "su01"}),
        Row(LayerName.DUTY, "2026-03", {"squad": "su00", "shifts": [{"from": "08:00"}]}),
        Row(LayerName.CALENDAR, "2026-10-01", {"works": False}),
    ]
    return rows + more


def named(layer: str, path: Path) -> dict[str, Any]:
    return dict(pyogrio.read_info(path, layer=layer))


def test_gdal_opens_every_layer_with_every_column_and_says_nothing(tmp_path: Path) -> None:
    out, rows = tmp_path / "a.gpkg", world()
    done = export(rows, SETTINGS, out, ABOUT)
    layers = {str(name): kind for name, kind in pyogrio.list_layers(out)}
    assert list(layers) == [*(name.value for name in LayerName), "jieguan", "layer_styles"]
    assert {name for name, kind in layers.items() if kind} == {name.value for name in WITH_GROUND}
    for name in LayerName:
        info = named(name.value, out)
        wanted = dict.fromkeys(c for r in rows if r.layer is name for c in cells_of(r))
        assert set(info["fields"]) >= set(wanted)
        assert info["features"] == done.rows[name.value] == sum(r.layer is name for r in rows)
        assert info["crs"] == ("EPSG:4490" if name in WITH_GROUND else None)
    kinds = dict(zip(named("territory", out)["fields"], named("territory", out)["dtypes"], strict=True))
    assert (kinds["priority"], kinds["accuracy_m"], kinds["squad"]) == ("int64", "float64", "object")
    _, table = pyogrio.read_arrow(out, layer="township")
    assert table.column("name").to_pylist()[0] == NAME


def test_ogrinfo_opens_it_without_a_warning(tmp_path: Path) -> None:
    export(world(), SETTINGS, tmp_path / "a.gpkg", ABOUT)
    told = of_the_system("ogrinfo", "-ro", "-al", "-so", tmp_path / "a.gpkg")
    assert told.count("Layer name:") == len(LayerName) + 2
    assert "Feature Count: 4" in told.partition("Layer name: township")[2].partition("Layer name:")[0]


def test_ogr2ogr_copies_every_row_and_its_copy_comes_back_the_same(tmp_path: Path) -> None:
    """Through the system's GDAL, as somebody else's desktop would save it."""
    rows = city(2, seed=3)
    export(rows, SETTINGS, tmp_path / "a.gpkg", ABOUT)
    of_the_system("ogr2ogr", "-f", "GPKG", tmp_path / "b.gpkg", tmp_path / "a.gpkg", "township", "squad")
    again = read_map(MapFiles(townships=f"{tmp_path}/b.gpkg::township", squads=f"{tmp_path}/b.gpkg::squad", work_crs="EPSG:4547"))
    assert {(r.code, r.wkb) for r in again.rows if r.ground} == {(r.code, r.wkb) for r in rows if r.ground}


def test_results_open_without_a_warning_too(tmp_path: Path) -> None:
    table = read_table(_squads(tmp_path, city(2)))
    places = np.array([shapely.Point(113.6, 34.8)] * len(table), object)
    write_table(tmp_path / "routed.gpkg", table, {"squad": pa.array(["a"] * len(table))}, places=places)
    assert f"Feature Count: {len(table)}" in of_the_system("ogrinfo", "-ro", "-al", "-so", tmp_path / "routed.gpkg")


def test_it_is_a_sound_geopackage(tmp_path: Path) -> None:
    export(world(), SETTINGS, tmp_path / "a.gpkg", ABOUT)
    with closing(sqlite3.connect(tmp_path / "a.gpkg")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        tables = {t for (t,) in database.execute("SELECT table_name FROM gpkg_contents")}
        assert tables == {*(n.value for n in LayerName), "jieguan", "layer_styles"}
        about = dict(database.execute("SELECT key, value FROM jieguan"))
    assert (about["version"], about["draft"], about["revision"], about["work_crs"]) == ("f" * 64, "draft-1", "7", "EPSG:4547")


def test_styles_have_a_rule_for_what_matters_and_every_symbol_is_there(tmp_path: Path) -> None:
    export(city(2), SETTINGS, tmp_path / "a.gpkg", ABOUT)
    with closing(sqlite3.connect(tmp_path / "a.gpkg")) as database:
        query = "SELECT f_table_name, styleQML, useAsDefault FROM layer_styles WHERE f_table_schema = '' AND f_geometry_column = 'geom'"
        styles = {name: qml for name, qml, default in database.execute(query) if default}
    assert styles.keys() == {name.value for name in WITH_GROUND} == {path.stem for path in STYLES.glob("*.qml")}
    for name, qml in styles.items():
        root = ET.fromstring(qml)
        symbols = {s.get("name"): s for s in root.findall("./renderer-v2/symbols/symbol")}
        rules = root.findall(".//rules/rule")
        assert {rule.get("symbol") for rule in rules} == set(symbols), name
        assert root.findtext("layerGeometryType") == ("1" if name == "border" else "2")
        columns = {*cells_of(Row(LayerName(name), "", blank_facts(LayerName(name), "")))}
        asked = " ".join([*(r.get("filter") or "" for r in rules), *(t.get("fieldName") or "" for t in root.iter("text-style"))])
        assert {word for place, word in enumerate(asked.split('"')) if place % 2} <= columns, name
    assert "DISPUTED" in styles["border"]
    assert "AGREED" in styles["border"]
    assert "LinePatternFill" in styles["not_served"]
    assert "text-style" in styles["township"]


@pytest.mark.parametrize("crs", ["EPSG:4490", "EPSG:3857"])
@pytest.mark.parametrize("name", ["a.gpkg", "a.zip", "a.geojson"])
def test_grounds_come_back_to_the_same_byte(tmp_path: Path, name: str, crs: str) -> None:
    rows = city(2, seed=3)
    out = tmp_path / name
    export(rows, SETTINGS, out, ABOUT, crs=crs, layer=LayerName.TOWNSHIP)
    spec = str(out) if name == "a.geojson" else f"{out}::township"
    again = read_map(MapFiles(townships=spec, squads=_squads(tmp_path, rows), work_crs="EPSG:4547"))
    assert {(r.code, r.wkb) for r in again.rows if r.ground} == {(r.code, r.wkb) for r in rows if r.ground}


def _squads(folder: Path, rows: list[Row]) -> str:
    path = folder / "squads.csv"
    path.write_text("code,duty\n" + "".join(f"{r.code},{str(r.facts['duty']).lower()}\n" for r in rows if r.layer is LayerName.SQUAD))
    return str(path)


def test_an_import_of_an_export_changes_nothing(tmp_path: Path) -> None:
    rows = tuple(city(3))
    out = tmp_path / "a.gpkg"
    export(rows, SETTINGS, out, ABOUT)
    base = Base(rows, SETTINGS)
    same = merged(read_map(MapFiles(townships=f"{out}::township", squads=f"{out}::squad"), base=base), base)
    assert not changes(rows, same).rows
    assert {r.hash for r in same} == {r.hash for r in rows}


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)), min_size=3, max_size=3, unique=True), st.integers(0, 2))
def test_any_millimetre_survives_any_of_our_systems(corners: list[tuple[int, int]], which: int) -> None:
    ring = np.array(corners, float) / 1000 + (400_000, 3_800_000)
    ground = on_grid(shapely.Polygon(ring))
    if ground.area == 0:
        return
    row = Row(LayerName.TERRITORY, "x", {}, ground)
    of = exporting.system(parse_crs(("EPSG:4490", "EPSG:3857", "EPSG:4547")[which]), None)
    assert exporting.shapes_of([row], of, parse_crs("EPSG:4547")).shape == (1,)  # raises NotExact else


def test_a_system_that_loses_millimetres_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = exporting.geometries_from_work
    monkeypatch.setattr(exporting, "geometries_from_work", lambda *a: shapely.transform(exact(*a), lambda xy: np.round(xy, 6)))
    with pytest.raises(NotExact) as caught:
        export(city(2), SETTINGS, tmp_path / "a.gpkg", ABOUT)
    assert "EPSG:4547" in caught.value.text("zh-CN")
    assert list(tmp_path.iterdir()) == []


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("gpkg", "zip", "geojson"):
        paths = [tmp_path / f"{n}.{name}" for n in "ab"]
        for path, rows in zip(paths, (world(), world()[::-1]), strict=True):
            export(rows, SETTINGS, path, ABOUT)
        assert paths[0].read_bytes() == paths[1].read_bytes(), name


def test_a_shapefile_tells_what_it_cuts(tmp_path: Path) -> None:
    box = on_grid(placed(shapely.box(0, 0, 9, 9)))
    long = Row(LayerName.NOT_SERVED, "x", blank_facts(LayerName.NOT_SERVED, "x"), box, document="文" * 100)
    done = export([*city(2), long], SETTINGS, tmp_path / "a.zip", ABOUT)
    told = {(t.code, t.facts["layer"]) for t in done.told}
    assert ("cut_text", "not_served") in told
    assert ("short_names", "township") in told
    assert all("line_accur" in t.text(lang) for t in done.told if t.code == "short_names" for lang in ("zh-CN", "en"))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = set(archive.namelist())
        fields = archive.read("fields.csv").decode("utf-8-sig").splitlines()
        assert archive.read("township.qml").decode() == style_of("township")
    assert {f"township{part}" for part in (".shp", ".shx", ".dbf", ".prj", ".cpg", ".qml")} <= names
    assert "squad.dbf" in names
    assert "township,line_accuracy_m,line_accur" in fields
    _, table = pyogrio.read_arrow(f"/vsizip/{tmp_path / 'a.zip'}/not_served.shp")
    assert table.column("document").to_pylist() == ["文" * 84]


@given(st.lists(st.text("ab_名", min_size=1, max_size=14), unique=True, max_size=30))
def test_short_names_fit_and_differ(columns: list[str]) -> None:
    short = short_names(columns)
    assert list(short) == columns
    assert len({s.casefold() for s in short.values()}) == len(columns)
    assert all(0 < len(s.encode()) <= 10 for s in short.values())
    assert all(short[c] == c for c in columns if len(c.encode()) <= 10 and c.isascii() and columns.index(c) == 0)


def test_texts_are_cut_between_letters() -> None:
    assert cut("文文", 5) == "文"


def test_a_geojson_says_its_system_and_its_layers(tmp_path: Path) -> None:
    export(world(), SETTINGS, tmp_path / "a.geojson", ABOUT)
    root = json.loads((tmp_path / "a.geojson").read_text())
    assert root["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::4490"
    assert {f["properties"]["layer"] for f in root["features"]} == {name.value for name in LayerName}
    assert pyogrio.read_info(tmp_path / "a.geojson")["crs"] == "EPSG:4490"
    export(world(), SETTINGS, tmp_path / "b.geojson", ABOUT, crs="EPSG:4326")
    assert "crs" not in json.loads((tmp_path / "b.geojson").read_text())


@pytest.mark.parametrize(
    ("error", "name", "how"),
    [
        (UnknownFormat, "a.kml", {}),
        (UnknownFormat, "a.shp", {}),
        (CannotWrite, "no/a.gpkg", {}),
        (JieguanError, "a.gpkg", {"crs": "EPSG:99999"}),
        (CrsHasNoCode, "a.geojson", {"crs": "+proj=tmerc +lon_0=113.5 +ellps=GRS80"}),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path, error: type[JieguanError], name: str, how: dict[str, Any]) -> None:
    with pytest.raises(error):
        export(city(2), SETTINGS, tmp_path / name, ABOUT, **how)
    assert list(tmp_path.iterdir()) == []


def test_a_live_database_is_never_written_over(tmp_path: Path) -> None:
    live = tmp_path / "city.gpkg"
    live.write_bytes(b"rows")
    protect(live)
    try:
        with pytest.raises(LiveDatabase):
            export(city(2), SETTINGS, live, ABOUT)
    finally:
        release(live)
    assert live.read_bytes() == b"rows"


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "a.gpkg"
    out.write_bytes(b"before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "_gpkg_table", full)
    with pytest.raises(CannotWrite):
        export(city(2), SETTINGS, out, ABOUT)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.gpkg", b"before")]


def test_columns_have_one_type_each() -> None:
    assert str(arrow([None, None], 1).type) == "int64"
    assert str(arrow([1, 2.5]).type) == "double"
    assert arrow([True, "x", 1]).to_pylist() == ["True", "x", "1"]


def test_a_line_far_from_its_work_crs_is_still_exact(tmp_path: Path) -> None:
    """New York in its UTM zone, exported by degrees."""
    settings = Settings("EPSG:32618", 15.0)
    row = Row(LayerName.EXTENT, "extent", ground=on_grid(shapely.box(560_000.001, 4_480_000.002, 600_000.003, 4_530_000.004)))
    export([row], settings, tmp_path / "a.gpkg", ABOUT)
    _, table = pyogrio.read_arrow(tmp_path / "a.gpkg", layer="extent")
    assert len(table) == 1
    assert in_metres(row.ground).area > 1e9
