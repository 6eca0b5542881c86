"""Imports: rows with their provenance, what they would change, what is refused, and how a map gets into a store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from api.usecases.layers_inout import (
    NeedsOrder,
    NothingToImport,
    OpenErrors,
    draft_plan,
    export_map,
    plan_import,
    publish_plan,
)
from geodata import store
from geodata.build import MapFiles, gather
from geodata.claims import ClaimTwice
from geodata.crs import NoCrs, NotDegrees, UnknownDatum, geometries_from_work, parse_crs, system
from geodata.db import Database, open_database, tables
from geodata.db.schema import initialise
from geodata.drafts import Desk
from geodata.edits import drafted
from geodata.exporting import About, export
from geodata.importing import NOTHING_STATED, Base, OtherWorkCrs, Provenance, changes, issues_of, merged, read_map
from geodata.layer import LayerName, Row, checked, content_hash, in_metres, on_grid, rows_of
from geodata.topology_issue import Severity
from routing.errors import JieguanError
from routing.jurisdiction import Settings
from tests.db.worlds import SETTINGS, city, placed

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
ROWS = checked(city(2))
BASE = Base(ROWS, SETTINGS)


def lonlat(shape: Any) -> Any:
    """Metres from the corner of u00 -> degrees."""
    return geometries_from_work(np.array([placed(shape)], object), system("EPSG:4326", None), parse_crs("EPSG:4547"))[0]


def geojson(path: Path, *features: tuple[Any, dict[str, Any]], **members: Any) -> str:
    made = [
        {"type": "Feature", "properties": p, "geometry": None if g is None else json.loads(shapely.to_geojson(lonlat(g)))}
        for g, p in features
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": made, **members}, ensure_ascii=False))
    return str(path)


def box(x0: float, y0: float = 0, x1: float | None = None, y1: float = 1000) -> Any:
    return shapely.box(x0, y0, x0 + 1000 if x1 is None else x1, y1)


@pytest.fixture
def files(tmp_path: Path) -> MapFiles:
    """The city as a GeoPackage's two layers."""
    export(ROWS, SETTINGS, tmp_path / "city.gpkg", About("0" * 64, NOW))
    return MapFiles(townships=f"{tmp_path}/city.gpkg::township", squads=f"{tmp_path}/city.gpkg::squad")


def refused(read: Callable[[], object], kind: type[JieguanError], *words: str) -> None:
    with pytest.raises(kind) as caught:
        read()
    for lang in ("zh-CN", "en"):
        assert all(word in caught.value.text(lang) for word in words), caught.value.text(lang)


# ---- rows ------------------------------------------------------------------------------------------------------------


def test_rows_carry_where_they_are_from(tmp_path: Path) -> None:
    first, second = {"id": "A", "name": "甲", "accuracy_m": 0.5}, {"id": "B", "document": "文1"}
    spec = geojson(tmp_path / "a.geojson", (box(0), first), (box(1000), second))
    stated = Provenance(licence="CC-BY-4.0", document="文2")
    read = read_map(MapFiles(territories=spec), stated)
    a, b = (r for r in read.rows if r.layer is LayerName.TERRITORY)
    seal = hashlib.sha256(Path(spec).read_bytes()).hexdigest()
    assert a.source == b.source == f"a.geojson sha256:{seal}"
    assert (a.name, a.licence, a.datum, a.accuracy_m, a.document) == ("甲", "CC-BY-4.0", "WGS-84", 0.5, "文2")
    assert (b.name, b.accuracy_m, b.document) == ("", None, "文1")
    assert {r.licence for r in read.rows} == {"CC-BY-4.0"}
    exact = read_map(MapFiles(territories=spec), Provenance(source="bureau, 2026", accuracy_m=0.05))
    assert {r.source for r in exact.rows} == {"bureau, 2026"}
    assert {r.accuracy_m for r in exact.rows if r.layer is LayerName.TERRITORY} == {0.05}
    assert {r.facts.get("accuracy_m") for r in exact.rows if r.code == "A" and r.ground} == {"0.5"}  # the claim's own is the engine's


def test_several_features_are_one_row_and_dated_rows_keep_their_plain_code(tmp_path: Path) -> None:
    spec = geojson(
        tmp_path / "a.geojson",
        (box(0), {"id": "A"}),
        (box(3000), {"id": "A"}),
        (box(1000), {"id": "B", "until": "2026-01-01"}),
        (box(1000, 0, 1500), {"id": "B", "since": "2026-01-01", "priority": 2}),
    )
    read = read_map(MapFiles(territories=spec))
    rows = [r for r in read.rows if r.layer is LayerName.TERRITORY]
    assert [(r.code, r.since and r.since.isoformat(), r.until and r.until.isoformat()) for r in rows] == [
        ("A", None, None), ("B", None, "2025-12-31T16:00:00+00:00"), ("B", "2025-12-31T16:00:00+00:00", None),
    ]  # fmt: skip
    assert len(shapely.get_parts(rows[0].ground)) == 2
    made = rows_of(gather(MapFiles(territories=spec)))  # as whoever makes rows of files without importing them has them
    assert [r.code for r in made if r.layer is LayerName.TERRITORY] == ["A", "B", "B"]
    assert drafted(made).coverages["territory"].codes() == ["A", "B"]


def test_two_claims_of_one_squad_that_go_on_at_once_keep_their_own_names(tmp_path: Path) -> None:
    claims = (box(0), {"id": "A", "priority": 1}), (box(500), {"id": "A", "priority": 2}), (box(2000), {"id": "B"})
    spec = geojson(tmp_path / "a.geojson", *claims)
    codes = [r.code for r in read_map(MapFiles(territories=spec)).rows if r.layer is LayerName.TERRITORY]
    assert codes == ["A;priority=1", "A;priority=2", "B"]


def test_what_is_refused(tmp_path: Path) -> None:
    twice = [(box(0), {"id": "A", "document": "x"}), (box(1000), {"id": "A", "document": "y"})]
    refused(lambda: read_map(MapFiles(territories=geojson(tmp_path / "a.geojson", *twice))), ClaimTwice, "A")
    spec = geojson(tmp_path / "b.geojson", (box(0), {"id": "A"}))
    refused(lambda: read_map(MapFiles(territories=spec, territories_datum="beijing54")), UnknownDatum, "gcj02")
    mercator = {"type": "name", "properties": {"name": "EPSG:4326"}}
    path = tmp_path / "c.geojson"
    ring = [[12_640_000, 4_130_000], [12_641_000, 4_130_000], [12_641_000, 4_131_000], [12_640_000, 4_130_000]]
    feature = {"type": "Feature", "properties": {"id": "A"}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature], "crs": mercator}))
    refused(lambda: read_map(MapFiles(territories=str(path))), NotDegrees, "EPSG:4547")
    refused(lambda: read_map(MapFiles(territories=spec, work_crs="EPSG:4546"), base=BASE), OtherWorkCrs, "EPSG:4547", "EPSG:4546")


def test_a_file_without_a_system_is_refused_with_the_way_out(tmp_path: Path) -> None:
    from geodata.intake_gdal import pyogrio

    pa = pytest.importorskip("pyarrow")
    table = pa.table({"id": ["A"], "geometry": pa.array([shapely.to_wkb(lonlat(box(0)))], pa.binary())})
    with pytest.warns(UserWarning, match="crs"):
        pyogrio.write_arrow(table, tmp_path / "a.shp", driver="ESRI Shapefile", geometry_name="geometry", geometry_type="Polygon")
    refused(lambda: read_map(MapFiles(territories=str(tmp_path / "a.shp"))), NoCrs, "--territories-datum")


# ---- the dry run -----------------------------------------------------------------------------------------------------


def test_the_dry_run_tells_what_would_change_and_by_how_much(files: MapFiles) -> None:
    old = ROWS
    bigger = replace(old[-1], ground=on_grid(in_metres(old[-1].ground) | placed(shapely.box(2000, 1200, 2010, 1300))), name="新名")
    new = [*old[1:-1], bigger, Row(LayerName.BORDER, "b1", {"status": "AGREED"})]
    told = changes(old, new)
    assert [(c.kind, c.layer.value, c.code) for c in told.rows] == [
        ("changed", "township", "u11"), ("added", "border", "b1"), ("removed", "squad", "su00"),
    ]  # fmt: skip
    first = told.rows[0]
    assert dict(first.fields) == {"name": ("u11 街道", "新名")}
    grown = shapely.area(shapely.difference(bigger.ground, old[-1].ground)) / 1e6
    assert (first.gained_m2, first.lost_m2) == (round(grown, 2), 0)
    assert "新名" in told.text("zh-CN")
    assert "u11 街道 → 新名" in told.text("en")
    assert told.text("en").splitlines()[-1] == "1 rows added, 1 changed, 1 removed, 6 unchanged."
    said = json.loads(json.dumps(told.json()))
    assert (said["added"], said["changed"], said["removed"], said["unchanged"]) == (1, 1, 1, {"township": 3, "squad": 3})


def test_a_file_changes_only_its_own_layer(tmp_path: Path, files: MapFiles) -> None:
    zone = geojson(tmp_path / "n.geojson", (box(0, 0, 50, 50), {"authority": "铁路"}))
    base = Base(checked([*ROWS, Row(LayerName.CALENDAR, "2026-10-01", {"works": False})]), SETTINGS)
    rows = merged(read_map(replace(files, not_served=zone), base=base), base)
    assert [(c.kind, c.code) for c in changes(base.rows, rows).rows] == [("added", "铁路")]
    gone = merged(read_map(replace(files, squads=None), base=base), base)
    assert not changes(base.rows, gone).rows  # squads without a file stay, the one on duty among them
    other = merged(read_map(replace(files, squads=None, duty="su11"), base=base), base)
    assert [(c.code, dict(c.fields)) for c in changes(base.rows, other).rows] == [
        ("su00", {"duty": (True, False)}), ("su11", {"duty": (False, True)}),
    ]  # fmt: skip


def test_what_is_stated_is_a_change_and_what_is_only_read_again_is_none(files: MapFiles) -> None:
    assert content_hash(merged(read_map(files, base=BASE), BASE), SETTINGS) == content_hash(ROWS, SETTINGS)
    told = changes(ROWS, merged(read_map(files, Provenance(licence="CC-BY-4.0"), BASE), BASE))
    assert {(c.kind, *sorted(c.fields)) for c in told.rows} == {("changed", "licence", "source")}


def test_settings_of_the_base_hold_unless_stated(files: MapFiles) -> None:
    base = Base(ROWS, Settings("EPSG:4547", 22.0, 0.3))
    assert read_map(files, base=base).settings == base.settings
    assert read_map(replace(files, zone_m=5.0), base=base).settings.zone_m == 5.0


# ---- into a store ----------------------------------------------------------------------------------------------------


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    initialise(tmp_path / "city.db", SETTINGS.work_crs)
    with open_database(tmp_path / "city.db") as opened:
        yield opened


def test_a_map_goes_in_and_comes_out_and_goes_in_again(db: Database, files: MapFiles, tmp_path: Path) -> None:
    plan = plan_import(db, files)
    assert plan.base is None
    assert not plan.blocking
    assert len(plan.changes.rows) == len(ROWS)
    with db.reading() as session:
        assert not store.published(session)  # a dry run
    done, version = publish_plan(db, plan, by="wang", reason="first", clock=lambda: NOW)
    assert done.version == version.hash == plan.version
    out = export_map(db, tmp_path / "b.gpkg", now=NOW)
    assert "township 4" in out.text("zh-CN")
    assert out.json()["of"]["version"] == version.hash
    again = plan_import(db, replace(files, townships=f"{tmp_path}/b.gpkg::township", squads=f"{tmp_path}/b.gpkg::squad"))
    assert not again.changes.rows
    refused(lambda: publish_plan(db, again, by="wang", reason="again", clock=lambda: NOW), NothingToImport)
    for lang in ("zh-CN", "en"):
        assert plan.text(lang)
    json.dumps([plan.json(), out.json()])


def test_a_second_import_is_a_draft_or_a_superiors_order(db: Database, files: MapFiles, tmp_path: Path) -> None:
    publish_plan(db, plan_import(db, files), by="wang", reason="first", clock=lambda: NOW)
    zone = geojson(tmp_path / "n.geojson", (box(0, 0, 50, 50), {"authority": "铁路"}))
    plan = plan_import(db, replace(files, not_served=zone))
    later = NOW + timedelta(hours=1)
    for how in ({}, {"superior": "zhou"}, {"superior": "wang", "document": "文1"}):
        refused(lambda how=how: publish_plan(db, plan, by="wang", reason="r", clock=lambda: later, **how), NeedsOrder, "--superior")
    desk = Desk(db)
    made = draft_plan(desk, plan, "railway", "wang", later)
    assert [(o.wish.code, o.accepted) for o in made.outcomes] == [("铁路", True)]
    assert made.applied == (1,)
    assert content_hash(desk.open(made.draft).now.features(), SETTINGS) == plan.version
    done, _ = publish_plan(db, plan, by="wang", reason="r", clock=lambda: later, superior="zhou", document="文1")
    assert [s["signer"] for s in done.signed] == ["wang", "zhou"]


def test_errors_stop_a_publication_unless_somebody_takes_them_over(db: Database, tmp_path: Path) -> None:
    grounds = (box(0), {"id": "A"}), (box(990), {"id": "B"}), (shapely.box(2100, 0, 3000, 1000), {"id": "C"})
    wall = (shapely.box(1990, 1000, 2200, 1100), {"id": "D"}), (shapely.box(1990, -100, 2200, 0), {"id": "E"})
    plan = plan_import(db, MapFiles(territories=geojson(tmp_path / "a.geojson", *grounds, *wall), work_crs="EPSG:4547"))
    codes = {i.code for i in plan.blocking}
    assert codes == {"overlap", "gap"}
    assert all(i.severity is Severity.ERROR for i in plan.blocking)
    refused(lambda: publish_plan(db, plan, by="wang", reason="r", clock=lambda: NOW), OpenErrors, "--defects-to")
    with db.reading() as session:
        assert not store.published(session)
    publish_plan(db, plan, by="wang", reason="r", clock=lambda: NOW, defects_to="li")
    with db.reading() as session:
        kept = {(d.key, d.owner, d.default_squad) for d in session.query(tables.Defect)}
    assert kept == {(i.id, "li", "duty") for i in plan.blocking}


# ---- real layers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "datum", "count", "errors"),
    [
        pytest.param("nyc/polygons_core.gpkg::police_precinct", None, 77, {"gap"}, marks=pytest.mark.slow),
        pytest.param("zhengzhou/henan_districts.gpkg::henan_datav_gcj02", "gcj02", 156, {"gap", "overlap"}, marks=pytest.mark.slow),
        ("shenzhen/polygons.gpkg::street_gcj02", "gcj02", 74, {"gap"}),
    ],
)
def test_real_layers_go_in_and_out_to_the_same_millimetre(
    data_dir: Path, tmp_path: Path, spec: str, datum: str | None, count: int, errors: set[str]
) -> None:
    files = MapFiles(territories=f"{data_dir}/{spec}", territories_datum=datum)
    read = read_map(files, NOTHING_STATED)
    rows = [r for r in read.rows if r.layer is LayerName.TERRITORY]
    assert len(rows) == count
    assert {r.datum for r in rows} == {"GCJ-02" if datum else "WGS-84"}
    assert {i.code for i in issues_of(read.rows) if i.severity is Severity.ERROR} == errors
    export(read.rows, read.settings, tmp_path / "a.gpkg", About("0" * 64, NOW))
    base = Base(read.rows, read.settings)
    copy = MapFiles(territories=f"{tmp_path}/a.gpkg::territory", squads=f"{tmp_path}/a.gpkg::squad", squad_field="squad")
    again = read_map(copy, base=base)
    assert {(r.code, r.wkb) for r in again.rows if r.ground} == {(r.code, r.wkb) for r in rows}
    assert not changes(base.rows, merged(again, base)).rows
