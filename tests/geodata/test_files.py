"""Reading and writing: what may be opened, what is kept, and every refusal."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import Point, Polygon, box

from geodata import intake, intake_geojson, intake_tables, intake_wkb, written
from geodata.files import Table, read_layer, read_table
from geodata.intake import LIMITS, BadGeometry, TooManyVertices, UnreadableFile
from geodata.intake_gdal import pyogrio
from geodata.intake_gpkg import LayerNotTable, UnsavedEdits
from geodata.intake_shapefile import MissingPart
from geodata.intake_zip import UnsafeZip
from geodata.written import CannotWrite, NameClash, NoPlaces, OutIsInput, TwinColumns, check_output, points, write_table
from routing.errors import JieguanError

SQUARES = [box(0, 0, 1, 1), box(1, 0, 2, 1)]
RING = [[0, 0], [1, 0], [1, 1], [0, 0]]
FORMATS = (".parquet", ".csv", ".geojson", ".gpkg")


def feature(geometry: object, **properties: object) -> dict[str, object]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def geojson(path: Path, *features: dict[str, object], **members: object) -> Path:
    text = json.dumps({"type": "FeatureCollection", "features": features, **members}, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
    return path


def polygon(ring: list[list[float]] = RING) -> dict[str, object]:
    return {"type": "Polygon", "coordinates": [ring]}


def layer(path: Path, name: str | None = None, crs: str = "EPSG:4326", **options: object) -> Path:
    """Two squares written by GDAL."""
    wkb = pa.array(shapely.to_wkb(SQUARES), pa.binary())
    table = pa.table({"id": ["A", "B"], "名称": ["惠济区", "上街区"], "n": [7, 8], "geometry": wkb})
    options |= {"layer": name or path.stem, "geometry_name": "geometry", "geometry_type": "Polygon", "crs": crs}
    pyogrio.write_arrow(table, path, append=path.exists(), **options)
    return path


def shapefile(folder: Path, stem: str = "a", **options: object) -> Path:
    return layer(folder / f"{stem}.shp", driver="ESRI Shapefile", **options)


def zipped(path: Path, shp: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in sorted(shp.parent.glob(f"{shp.stem}.*")):
            if part.suffix != ".zip":
                archive.write(part, part.name)
    return path


def refuses(error: type[JieguanError], read: Callable[[], object], *words: str) -> JieguanError:
    with pytest.raises(error) as caught:
        read()
    for lang in ("zh-CN", "en"):
        assert all(word in caught.value.text(lang) for word in words), caught.value.text(lang)
    return caught.value


# ---- every format is read --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.zip", "a.geojson", "a.json", "a.parquet"])
def test_the_same_layer_from_every_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix in (".geojson", ".json"):
        rows = (("A", "惠济区", 7), ("B", "上街区", 8))
        geojson(
            path,
            *[
                feature(shapely.geometry.mapping(s), id=i, 名称=t, n=n)
                for s, (i, t, n) in zip(SQUARES, rows, strict=True)
            ],
        )
    elif path.suffix == ".zip":
        zipped(path, shapefile(tmp_path))
    elif path.suffix == ".parquet":
        write_table(path, read_table(layer(tmp_path / "b.gpkg")), {})
    else:
        layer(path)
    read = read_layer(path)
    assert read.columns.column_names == ["id", "名称", "n"]
    assert read.columns.to_pydict() == {"id": ["A", "B"], "名称": ["惠济区", "上街区"], "n": [7, 8]}
    assert shapely.equals(read.geometry, SQUARES).all()
    assert read.crs is not None
    assert read.crs.to_epsg() == 4326
    assert read.name == path.stem
    assert len(read.sha256) == 64


def test_our_geopackage_reader_agrees_with_gdal(data_dir: Path) -> None:
    for file in ("nyc/polygons_core.gpkg", "gaps_overlaps/maup.gpkg", "shenzhen/polygons.gpkg"):
        for name, _ in pyogrio.list_layers(data_dir / file):
            ours = read_layer(f"{data_dir / file}::{name}")
            _, theirs = pyogrio.read_arrow(data_dir / file, layer=name)
            wkb = theirs.column("geom" if "geom" in theirs.column_names else "wkb_geometry")
            assert shapely.equals_identical(
                ours.geometry, shapely.from_wkb(np.array(wkb.to_pylist(), dtype=object))
            ).all()
            assert ours.columns.to_pydict() == theirs.select(ours.columns.column_names).to_pydict()


def test_a_file_name_may_hold_two_colons(tmp_path: Path) -> None:
    assert read_table(geojson(tmp_path / "a::b.geojson", feature(polygon()))).name == "a::b"


def test_a_projected_system_is_kept(tmp_path: Path) -> None:
    for path in (layer(tmp_path / "a.gpkg", crs="EPSG:4547"), shapefile(tmp_path, crs="EPSG:4547")):
        crs = read_layer(path).crs
        assert crs is not None
        assert crs.to_epsg() == 4547


def test_no_system_is_none_not_a_guess(tmp_path: Path) -> None:
    path = shapefile(tmp_path)
    (tmp_path / "a.prj").unlink()
    assert read_layer(path).crs is None


def test_geojson_honours_and_notes_a_named_crs_and_never_fetches_a_linked_one(tmp_path: Path) -> None:
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::4547"}}
    read = read_layer(geojson(tmp_path / "a.geojson", feature(polygon()), crs=named))
    assert read.crs is not None
    assert read.crs.to_epsg() == 4547
    assert [note.code for note in read.notes] == ["crs_member"]
    linked = {"type": "link", "properties": {"href": "http://127.0.0.1:1/crs"}}
    path = geojson(tmp_path / "b.geojson", feature(polygon()), crs=linked)
    refuses(UnreadableFile, lambda: read_layer(path), "crs")


def test_point_geometry_gives_x_and_y_and_nan_where_there_is_none(tmp_path: Path) -> None:
    places = [{"type": "Point", "coordinates": [113.5, 34.8]}, None, polygon()]
    xy = read_table(geojson(tmp_path / "a.geojson", *map(feature, places))).xy()
    assert xy[0].tolist() == [113.5, 34.8]
    assert np.isnan(xy[1:]).all()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_csv_cells_stay_text_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('编号,lon,备注\r\n007,1e5,"甲\n乙"\r\n\r\n,NA,𠮷\r\n'.encode(encoding))
    read = read_table(path)
    assert read.columns.to_pydict() == {"编号": ["007", ""], "lon": ["1e5", "NA"], "备注": ["甲\n乙", "𠮷"]}
    assert read.notes[0].facts["encoding"] == encoding


def test_a_csv_cell_with_line_breaks_may_lie_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_tables, "BLOCK", 100)
    path = tmp_path / "a.csv"
    cells = [f"{row}\n{'x' * (row % 40)},\n" for row in range(200)]
    path.write_text("a,b\n" + "".join(f'"{cell}",{row}\n' for row, cell in enumerate(cells)))
    assert read_table(path).columns.column("a").to_pylist() == cells


@pytest.mark.parametrize(("declared", "how"), [("GBK", "declared"), (None, "detected")])
def test_shapefile_text_in_gbk(tmp_path: Path, declared: str | None, how: str) -> None:
    path = shapefile(tmp_path, encoding="GBK")
    if declared is None:
        (tmp_path / "a.cpg").unlink()
    read = read_layer(path)
    assert read.columns.column_names == ["id", "名称", "n"]
    assert read.columns.column("名称").to_pylist() == ["惠济区", "上街区"]
    assert (read.notes[0].facts["encoding"], read.notes[0].facts["how"]) == ("gb18030", how)


def test_a_wrong_cpg_is_told_not_obeyed(tmp_path: Path) -> None:
    path = shapefile(tmp_path, encoding="GBK")
    (tmp_path / "a.cpg").write_text("UTF-8")
    refuses(UnreadableFile, lambda: read_layer(path), "utf-8")


def test_sha256_of_a_shapefile_covers_its_projection(tmp_path: Path) -> None:
    path = shapefile(tmp_path)
    before = read_table(path).sha256
    (tmp_path / "a.prj").unlink()
    assert read_table(path).sha256 != before


def test_the_digest_of_parts_knows_where_each_begins(tmp_path: Path) -> None:
    first, second = tmp_path / "a.shp", tmp_path / "a.dbf"
    seals = set()
    for split in range(4):
        first.write_bytes(b"x.dbfy"[:split])
        second.write_bytes(b"x.dbfy"[split:])
        seals.add(intake.digest([first, second]))
    assert len(seals) == 4


def test_mixed_properties_are_kept_as_text_and_noted(tmp_path: Path) -> None:
    read = read_table(geojson(tmp_path / "a.geojson", feature(None, a=1, b=[1]), feature(None, a="x")))
    assert read.columns.to_pydict() == {"a": ["1", "x"], "b": ["[1]", None]}
    assert [note.facts["column"] for note in read.notes if note.code == "mixed_types"] == ["a"]
    assert "a" in read.notes[0].text("zh-CN")


# ---- nothing else is opened ------------------------------------------------------------------------------------------

VRT = "<OGRVRTDataSource><OGRVRTLayer name='s'><SrcDataSource>{}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"


def test_a_vrt_by_any_name_is_refused_and_reads_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("password\nhunter2\n")
    for name in ("b.geojson", "b.csv", "b.gpkg", "b.shp", "b.parquet", "b.zip"):
        (tmp_path / name).write_text(VRT.format(secret))
        error = refuses(intake.NotWhatItSays, lambda name=name: read_table(tmp_path / name), name, "XML")
        assert "hunter2" not in str(error)
    (tmp_path / "b.vrt").write_text(VRT.format(secret))
    refuses(intake.UnknownFormat, lambda: read_table(tmp_path / "b.vrt"), ".vrt", ".gpkg")
    (tmp_path / "b.json").write_text(json.dumps({"type": VRT.format(secret)}))
    refuses(UnreadableFile, lambda: read_table(tmp_path / "b.json"), "b.json")


@pytest.mark.parametrize(
    "path",
    [
        "/vsicurl/http://127.0.0.1:9/a.geojson",
        "http://127.0.0.1:9/a.geojson",
        "/vsizip/a.zip/a.shp",
        "a\0.csv",
        "no.csv",
    ],
)
def test_only_files_of_this_disk(path: str) -> None:
    refuses(intake.MissingFile, lambda: read_table(path))


def test_no_devices_folders_or_other_formats(tmp_path: Path) -> None:
    (tmp_path / "d.gpkg").mkdir()
    os.mkfifo(tmp_path / "p.csv")
    refuses(intake.NotAFile, lambda: read_table(tmp_path / "d.gpkg"))
    refuses(intake.NotAFile, lambda: read_table(tmp_path / "p.csv"))
    (tmp_path / "a.gml").write_text("<gml/>")
    refuses(intake.UnknownFormat, lambda: read_table(tmp_path / "a.gml"), ".gml")


def test_empty_and_unreadable_files(tmp_path: Path) -> None:
    for suffix in intake.EXTENSIONS:
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"")
        refuses(intake.EmptyFile, lambda path=path: read_table(path), path.name)
        path.write_bytes(b"\x89PNG\0\0garbage" * 9)
        refuses(intake.NotWhatItSays, lambda path=path: read_table(path), path.name)


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".zip", ".shp", ".geojson"])
def test_a_file_cut_off_is_refused_with_one_of_our_errors(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"a{suffix}"
    source = layer(tmp_path / "s.gpkg")
    {
        ".gpkg": lambda: layer(whole),
        ".parquet": lambda: write_table(whole, read_table(source), {}),
        ".zip": lambda: zipped(whole, shapefile(tmp_path)),
        ".shp": lambda: shapefile(tmp_path),
        ".geojson": lambda: geojson(whole, feature(polygon())),
    }[suffix]()
    data = whole.read_bytes()
    for share in (0.3, 0.6, 0.95):
        whole.write_bytes(data[: int(len(data) * share)])
        refuses(JieguanError, lambda: read_layer(whole), "a")


def test_gdal_has_no_dangerous_driver() -> None:
    code = "import geodata.files, pyogrio; print(*pyogrio.list_drivers())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"OGR_VRT", "GML", "WFS", "HTTP", "GDALG"} & set(found.stdout.split())
    assert "GPKG" in found.stdout
    assert not found.stderr


# ---- layers ----------------------------------------------------------------------------------------------------------


def test_layers_are_listed_never_guessed(tmp_path: Path) -> None:
    path = layer(tmp_path / "a.gpkg", "one")
    layer(path, "two")
    refuses(intake.SeveralLayers, lambda: read_layer(path), "one, two")
    refuses(intake.NoSuchLayer, lambda: read_layer(f"{path}::three"), "three", "one, two")
    assert read_layer(f"{path}::two").name == "two"
    single = geojson(tmp_path / "g.geojson", feature(polygon()))
    refuses(intake.NoSuchLayer, lambda: read_layer(f"{single}::x"), "x", "g")


def test_a_list_without_geometry_is_no_layer(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,name\n1,x\n")
    refuses(intake.NoGeometry, lambda: read_layer(path), "id, name")


def test_twin_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,id\n1,2\n")
    refuses(intake.DuplicateColumn, lambda: read_table(path), "id")


# ---- GeoPackage ------------------------------------------------------------------------------------------------------


def edit(path: Path, *statements: str) -> Path:
    """Change a GeoPackage by hand, its triggers (which need functions of GDAL) out of the way."""
    with sqlite3.connect(path) as database:
        triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for statement in (*(f"DROP TRIGGER {name}" for (name,) in triggers), *statements):
            database.execute(statement)
    database.close()
    return path


ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n AS id FROM c"


@pytest.mark.parametrize(
    "trick",
    [
        ("DROP TABLE a", f"CREATE VIEW a AS {ENDLESS}"),
        ("ALTER TABLE gpkg_contents RENAME TO x", f"CREATE VIEW gpkg_contents AS {ENDLESS}"),
        ("DROP TABLE a", "CREATE VIRTUAL TABLE a USING fts5(x)"),
        ("DROP TABLE a", "CREATE TABLE a (fid INTEGER PRIMARY KEY, g AS (hex(zeroblob(1000000))))"),
        ("ALTER TABLE gpkg_geometry_columns RENAME TO x", f"CREATE VIEW gpkg_geometry_columns AS {ENDLESS}"),
    ],
)
def test_nothing_in_a_geopackage_can_run(tmp_path: Path, trick: tuple[str, str]) -> None:
    path = edit(layer(tmp_path / "a.gpkg", SPATIAL_INDEX="NO"), *trick)
    start = time.monotonic()
    refuses(LayerNotTable, lambda: read_layer(path), "a.gpkg")
    assert time.monotonic() - start < 2


def test_a_geopackage_ends_at_its_step_limit(tmp_path: Path) -> None:
    path = layer(tmp_path / "a.gpkg")
    endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 300000) SELECT n FROM c"
    many = f"INSERT INTO a(id) SELECT 'x' FROM ({endless})"
    edit(path, many)
    refuses(intake.TooBig, lambda: read_table(path, replace(LIMITS, sqlite_steps=1_000_000)), "sqlite_steps")


def test_a_geopackage_with_unsaved_edits_or_another_mark_is_refused(tmp_path: Path) -> None:
    path = layer(tmp_path / "a.gpkg")
    wal = tmp_path / "a.gpkg-wal"
    wal.write_bytes(b"x")
    refuses(UnsavedEdits, lambda: read_layer(path), "a.gpkg-wal")
    wal.unlink()
    refuses(UnreadableFile, lambda: read_layer(edit(path, "PRAGMA application_id = 1")), "GeoPackage")


def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    path = layer(tmp_path / "a.gpkg")
    with sqlite3.connect(path) as database:
        (root,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'gpkg_extensions'").fetchone()
    database.close()
    data = bytearray(path.read_bytes())
    data[(root - 1) * 4096 + 3 : (root - 1) * 4096 + 5] = b"\xff\xff"  # a table that we do not even read
    path.write_bytes(data)
    refuses(UnreadableFile, lambda: read_layer(path), "a.gpkg", "damaged")


def test_a_cell_that_breaks_its_type_makes_a_text_column(tmp_path: Path) -> None:
    read = read_layer(edit(layer(tmp_path / "a.gpkg"), "UPDATE a SET n = 'x' WHERE fid = 1"))
    assert read.columns.column("n").to_pylist() == ["x", "8"]
    assert [note.code for note in read.notes] == ["mixed_types"]


# ---- geometry --------------------------------------------------------------------------------------------------------

SMALL = replace(LIMITS, vertices=100)


def star(count: int) -> Polygon:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return Polygon(np.column_stack([np.cos(angle), np.sin(angle)]))


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".zip", ".geojson", ".parquet"])
def test_too_many_vertices_names_feature_count_and_limit(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = [star(5), star(150), star(5)]
    source = geojson(tmp_path / "s.geojson", *[feature(shapely.geometry.mapping(s), id="x") for s in shapes])
    path = tmp_path / f"a{suffix}"
    table = read_table(source)
    if suffix in (".shp", ".zip"):
        wkb = pa.table({"id": ["x"] * 3, "geometry": pa.array(shapely.to_wkb(shapes), pa.binary())})
        shp = tmp_path / "a.shp"
        pyogrio.write_arrow(
            wkb, shp, driver="ESRI Shapefile", geometry_name="geometry", geometry_type="Polygon", crs="EPSG:4326"
        )
        if suffix == ".zip":
            zipped(path, shp)
    else:
        write_table(path, table, {})
    read_layer(path, replace(LIMITS, vertices=151))
    monkeypatch.setattr(pyogrio, "read_arrow", lambda *_, **__: pytest.fail("GDAL was called"))
    monkeypatch.setattr(shapely, "from_wkb", lambda *_: pytest.fail("geometry was built"))
    error = refuses(TooManyVertices, lambda: read_layer(path, SMALL), "151", "100", "Limits.vertices")
    assert (error.facts["feature"], error.facts["count"]) == (2, 151)


def test_a_ring_of_ten_million_vertices_is_refused_before_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = np.zeros((10_000_000, 2))
    ring[1:-1] = np.random.default_rng(1).random((len(ring) - 2, 2))
    wkb = (
        b"\x01"
        + (3).to_bytes(4, "little")
        + (1).to_bytes(4, "little")
        + len(ring).to_bytes(4, "little")
        + ring.tobytes()
    )
    header = b"GP\0\x01" + (4326).to_bytes(4, "little")
    path = layer(tmp_path / "a.gpkg", SPATIAL_INDEX="NO")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE a SET geom = ? WHERE fid = 2", (header + wkb,))
    database.close()
    monkeypatch.setattr(shapely, "from_wkb", lambda *_: pytest.fail("geometry was built"))
    start = time.monotonic()
    error = refuses(TooManyVertices, lambda: read_layer(path), "10000000", "1000000")
    assert error.facts["feature"] == 2
    assert time.monotonic() - start < 10


def test_the_layer_as_a_whole_has_a_limit(tmp_path: Path) -> None:
    path = geojson(tmp_path / "a.geojson", feature(polygon()), feature(polygon()))
    refuses(intake.TooBig, lambda: read_layer(path, replace(LIMITS, layer_vertices=7)), "8", "7")
    refuses(intake.TooBig, lambda: read_layer(path, replace(LIMITS, rows=1)), "2", "1")
    refuses(intake.TooBig, lambda: read_layer(path, replace(LIMITS, json=10)), "10")


@given(st.lists(st.sampled_from(["[[", "]]", '"', "\\", "a{", "}[", "1,2", "é"]), max_size=12), st.integers(1, 7))
def test_positions_are_counted_outside_of_strings_only(noise: list[str], chunk: int) -> None:
    rings = [RING, [[5, 5]]]
    features = [feature({"type": "X", "coordinates": ring}, note="".join(noise)) for ring in rings]
    data = json.dumps({"features": features}, ensure_ascii=False, indent=chunk % 3 or None).encode()
    before = intake_geojson.CHUNK
    intake_geojson.CHUNK = chunk
    try:
        assert intake_geojson.positions_per_feature(data) == [4, 1]
    finally:
        intake_geojson.CHUNK = before


SHAPES = [
    Point(1, 2),
    Polygon(),
    box(0, 0, 1, 1),
    shapely.MultiPoint([(0, 0), (1, 1)]),
    shapely.LineString([(0, 0), (1, 1), (2, 2)]),
    shapely.MultiPolygon([box(0, 0, 1, 1), box(2, 2, 3, 3).difference(box(2.2, 2.2, 2.4, 2.4))]),
    shapely.GeometryCollection([Point(1, 2), box(0, 0, 1, 1)]),
    shapely.force_3d(box(0, 0, 1, 1)),
    shapely.MultiLineString([[(0, 0), (1, 1)]]),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.geom_type)
@pytest.mark.parametrize("flavor", ["extended", "iso"])
@pytest.mark.parametrize("byte_order", [0, 1])
def test_vertices_are_counted_in_the_bytes(shape: shapely.Geometry, flavor: str, byte_order: int) -> None:
    wkb = shapely.to_wkb(shape, flavor=flavor, byte_order=byte_order, output_dimension=3)
    assert intake_wkb.count_vertices(wkb) == shapely.get_num_coordinates(shape)
    for end in range(len(wkb) - 1):
        with contextlib.suppress(intake_wkb.Broken):
            intake_wkb.count_vertices(wkb[:end])


@pytest.mark.parametrize(
    ("geometry", "why"),
    [
        (polygon([[0, 0], [1, 0], [1, 1], [0, 1]]), "closed"),
        (polygon([[0, 0], [1, 0], [0, 0]]), "3 positions"),
        (polygon([[0, 0], ["1", 0], [1, 1], [0, 0]]), "positions"),
        (polygon([[0, 0], [1], [1, 1], [0, 0]]), ""),
        (polygon([[0, 0], [1, 0], [1e999, 1], [0, 0]]), "inf"),
        ({"type": "Curve", "coordinates": []}, "Curve"),
        ({"type": "Polygon"}, "coordinates"),
        ({"type": ["Polygon"]}, "type"),
        ("POINT (1 2)", "object"),
    ],
)
def test_bad_geometry_is_named_by_its_feature_and_not_repaired(tmp_path: Path, geometry: object, why: str) -> None:
    text = json.dumps({"type": "FeatureCollection", "features": [feature(polygon()), feature(geometry)]})
    path = tmp_path / "a.geojson"
    path.write_text(text.replace("Infinity", "1e999"))
    assert refuses(BadGeometry, lambda: read_layer(path), why).facts["feature"] == 2


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_nan_is_no_json(tmp_path: Path, number: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(f'{{"type":"Point","coordinates":[{number},1]}}')
    refuses(UnreadableFile, lambda: read_table(path), number.lstrip("-"))


@pytest.mark.parametrize(
    "text", ["[" * 9, "{" + '"a":[' * 100_000, '{"type":"Topology"}', '{"type":"FeatureCollection"}', '{"a":"\\ud800"}']
)
def test_other_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(text)
    refuses(JieguanError, lambda: read_table(path), "a.geojson")


def test_a_lone_surrogate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text('{"type":"Feature","geometry":null,"properties":{"a":"\\ud800"}}')
    refuses(UnreadableFile, lambda: read_table(path), "a.geojson")


# ---- zip -------------------------------------------------------------------------------------------------------------


def add(path: Path, name: str, data: bytes = b"x", **facts: object) -> Path:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo("placeholder")
        entry.filename = entry.orig_filename = name
        entry.compress_type = zipfile.ZIP_DEFLATED
        for key, value in facts.items():
            setattr(entry, key, value)
        archive.writestr(entry, data)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("name", "facts", "reason"),
    [
        ("../x.shp", {}, "path"),
        ("/etc/x.shp", {}, "path"),
        ("a\\..\\x.shp", {}, "path"),
        ("C:x.shp", {}, "path"),
        ("x\0.shp", {}, "nul"),
        ("A.SHP", {}, "twin"),
        ("a.shp", {}, "twin"),
        ("inner.zip", {}, "nested"),
        ("link.shp", {"external_attr": 0o120777 << 16}, "symlink"),
        ("b.shp", {"compress_type": zipfile.ZIP_LZMA}, "method"),
    ],
)
def test_an_unsafe_zip_is_not_unpacked(tmp_path: Path, name: str, facts: dict[str, object], reason: str) -> None:
    path = add(zipped(tmp_path / "z.zip", shapefile(tmp_path)), name, **facts)
    assert refuses(UnsafeZip, lambda: read_layer(path), "z.zip").facts["reason"] == reason


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "z.zip", shapefile(tmp_path))
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert refuses(UnsafeZip, lambda: read_layer(path)).facts["reason"] == "encrypted"


def test_overlapping_entries_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "z.zip", shapefile(tmp_path))
    data = bytearray(path.read_bytes())
    last = data.rindex(b"PK\x01\x02")
    data[last + 42 : last + 46] = (0).to_bytes(4, "little")  # its bytes are now said to be those of the first
    path.write_bytes(data)
    assert refuses(UnsafeZip, lambda: read_layer(path)).facts["reason"] == "overlap"


def test_a_zip_bomb_is_refused_by_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.shp", "w", force_zip64=True) as file,
    ):
        for _ in range(128):
            file.write(bytes(1 << 20))
    start = time.monotonic()
    assert refuses(UnsafeZip, lambda: read_layer(path), "a.shp").facts["reason"] == "ratio"
    little = replace(LIMITS, ratio=2000, unpacked=1 << 20)
    assert refuses(UnsafeZip, lambda: read_layer(path, little)).facts["reason"] == "size"
    assert time.monotonic() - start < 1


@pytest.mark.parametrize(("entries", "directory"), [(0xFFFE, 9), (9, 1 << 22)])
def test_a_zip_of_a_hundred_thousand_names_is_not_even_listed(tmp_path: Path, entries: int, directory: int) -> None:
    path = tmp_path / "z.zip"
    counts = entries.to_bytes(2, "little") * 2 + directory.to_bytes(4, "little") + (9).to_bytes(4, "little")
    end = b"PK\x05\x06" + bytes(4) + counts + bytes(2)
    path.write_bytes(b"PK\x03\x04" + bytes(50) + end)
    assert refuses(UnsafeZip, lambda: read_layer(path)).facts["reason"] == "entries"


def test_an_entry_that_lies_about_itself_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "z.zip", shapefile(tmp_path))
    data = bytearray(path.read_bytes())
    entry = data.index(b"a.shp", data.index(b"PK\x01\x02")) - 46
    data[entry + 16 : entry + 20] = b"\0\0\0\0"  # its checksum
    path.write_bytes(data)
    assert refuses(UnsafeZip, lambda: read_layer(path)).facts["reason"] == "lying"


def test_a_zip_with_no_shapefile_or_several(tmp_path: Path) -> None:
    refuses(intake.NoSuchLayer, lambda: read_layer(add(tmp_path / "n.zip", "b.vrt", VRT.encode())), ".shp")
    path = zipped(tmp_path / "z.zip", shapefile(tmp_path, "a"))
    zipped_more = shapefile(tmp_path, "b")
    with zipfile.ZipFile(path, "a") as archive:
        for part in sorted(tmp_path.glob(f"{zipped_more.stem}.*")):
            if part.suffix in (".shp", ".shx", ".dbf"):
                archive.write(part, f"folder/{part.name}")
    refuses(intake.SeveralLayers, lambda: read_layer(path), "a, b")
    assert read_layer(f"{path}::b").name == "b"


def test_chinese_names_in_a_zip_without_the_unicode_flag(tmp_path: Path) -> None:
    source, path = shapefile(tmp_path), tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for suffix in (".shp", ".shx", ".dbf"):
            archive.write(source.with_suffix(suffix), "NAME" + suffix)
    path.write_bytes(path.read_bytes().replace(b"NAME", "惠济".encode("gb18030")))
    assert read_layer(path).name == "惠济"


@pytest.mark.parametrize("part", [".shx", ".dbf"])
def test_a_shapefile_without_one_of_its_parts(tmp_path: Path, part: str) -> None:
    path = shapefile(tmp_path)
    (tmp_path / f"a{part}").unlink()
    refuses(MissingPart, lambda: read_layer(path), part)


def test_a_shapefile_index_that_points_outside_is_refused(tmp_path: Path) -> None:
    path = shapefile(tmp_path)
    shx = bytearray((tmp_path / "a.shx").read_bytes())
    shx[108:112] = (10**8).to_bytes(4, "big")
    (tmp_path / "a.shx").write_bytes(shx)
    assert refuses(BadGeometry, lambda: read_layer(path)).facts["feature"] == 2


# ---- writing ---------------------------------------------------------------------------------------------------------

WHEN = datetime(2024, 5, 1, 8, tzinfo=UTC)


def rich(path: Path) -> Table:
    """A parquet with every type people have, in an order that is not alphabetical."""
    columns = pa.table(
        {
            "z": pa.array(["007", '=1+1, "x"', None]),
            "lat": pa.array([34.5, None, float("nan")]),
            "n": pa.array([1, 2, None], pa.int16()),
            "Ä名": pa.array(["惠|济", "", "\n"]).dictionary_encode(),
            "flag": pa.array([True, None, False]),
            "at": pa.array([WHEN, None, WHEN], pa.timestamp("us", "Asia/Shanghai")),
            "local": pa.array([1_714_550_400_000_005, None, None], pa.timestamp("us")),
            "tags": pa.array([["a", "b"], [], None]),
            "fid": pa.array([9, 9, 9]),
        }
    )
    pq.write_table(columns, path)
    return read_table(path)


def source_in(folder: Path, suffix: str) -> Table:
    path = folder / f"in{suffix}"
    table = rich(folder / "rich.parquet")
    if suffix != ".parquet":
        write_table(path, table, {}, places=points(np.array([[113.5, 34.8], [113.6, 34.9], [np.nan, 1]])))
    else:
        (folder / "rich.parquet").rename(path)
    return read_table(path)


@pytest.mark.parametrize("read", FORMATS)
@pytest.mark.parametrize("write", FORMATS)
def test_every_format_to_every_format_keeps_columns_order_and_values(tmp_path: Path, read: str, write: str) -> None:
    table = source_in(tmp_path, read)
    places = points(np.array([[113.5, 34.8], [113.6, 34.9], [np.nan, 1]]))
    ours = {"squad": ["A", "A", "B"], "assist": [["B"], [], ["C", "D"]], "margin_m": np.array([1.25, 100.0, 0.0])}
    out = tmp_path / f"out{write}"
    write_table(out, table, ours, places=places)
    back = read_table(out)
    names = [name for name in back.columns.column_names if name not in ("geom", "geometry")]
    assert names == [*table.columns.column_names, "squad", "assist", "margin_m"]
    assert len(back) == 3
    if write in (".geojson", ".gpkg"):
        assert back.geometry is not None
        assert shapely.equals(back.geometry[:2], places[:2]).all()
        assert back.geometry[2] is None
        assert back.crs is not None
        assert back.crs.to_epsg() == 4326
    if read == write:
        before, after = table.columns, back.columns.select(table.columns.column_names)
        assert after.schema.types == before.schema.types
        for name in before.column_names:
            assert repr(after.column(name).to_pylist()) == repr(before.column(name).to_pylist()), name
    texts = back.columns.column("assist").to_pylist()
    assert texts == ([["B"], [], ["C", "D"]] if write == ".parquet" else ["B", "", "C|D"])
    assert [float(value) for value in back.columns.column("margin_m").to_pylist()] == [1.25, 100.0, 0.0]
    assert back.columns.column("n").to_pylist()[:2] in ([1, 2], ["1", "2"])


def test_instants_and_numbers_in_csv_can_be_read_by_anybody(tmp_path: Path) -> None:
    write_table(tmp_path / "o.csv", rich(tmp_path / "r.parquet"), {"margin_m": np.array([0.1, 100.0, np.nan])})
    first = read_table(tmp_path / "o.csv").columns.to_pylist()[0]
    assert datetime.fromisoformat(first["at"]) == WHEN
    assert first["local"] == "2024-05-01T08:00:00.000005"
    assert first["tags"] == "a|b"
    assert (tmp_path / "o.csv").read_text(encoding="utf-8").startswith("z,lat,n,Ä名,")


def test_geometry_of_the_input_is_kept_in_parquet_and_csv(tmp_path: Path) -> None:
    table = read_table(layer(tmp_path / "a.gpkg", crs="EPSG:4547"))
    write_table(tmp_path / "o.parquet", table, {"squad": ["A", "B"]})
    back = read_layer(tmp_path / "o.parquet")
    assert back.crs is not None
    assert back.crs.to_epsg() == 4547
    assert shapely.equals_identical(back.geometry, SQUARES).all()
    write_table(tmp_path / "o.csv", table, {"squad": ["A", "B"]})
    wkt = read_table(tmp_path / "o.csv").columns.column(table.geometry_name).to_pylist()
    assert shapely.equals(shapely.from_wkt(wkt), SQUARES).all()


def test_geometry_goes_back_to_its_place_among_the_columns(tmp_path: Path) -> None:
    path = edit(
        layer(tmp_path / "a.gpkg", SPATIAL_INDEX="NO"),
        "ALTER TABLE a ADD COLUMN g POLYGON",
        "UPDATE a SET g = geom",
        "ALTER TABLE a DROP COLUMN geom",
        "UPDATE gpkg_geometry_columns SET column_name = 'g'",
        "ALTER TABLE a ADD COLUMN last TEXT",
    )
    for suffix in (".csv", ".parquet"):
        write_table(tmp_path / f"o{suffix}", read_table(path), {"squad": ["A", "B"]})
        names = pq.read_schema(tmp_path / "o.parquet").names if suffix == ".parquet" else None
        names = names or (tmp_path / "o.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
        assert names == ["id", "名称", "n", "g", "last", "squad"]


def test_nested_geojson_comes_back_as_it_was(tmp_path: Path) -> None:
    source = geojson(
        tmp_path / "a.geojson",
        feature(polygon(), a={"x": [1, None]}, b=["p", "q"], c="惠"),
        feature(None, a=None, b=None, c=""),
    )
    write_table(tmp_path / "o.geojson", read_table(source), {})
    was, now = (json.loads(path.read_text(encoding="utf-8")) for path in (source, tmp_path / "o.geojson"))
    assert [f["properties"] for f in was["features"]] == [f["properties"] for f in now["features"]]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_name_of_ours_that_the_input_has_is_refused_and_a_prefix_helps(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / "a.csv"
    source.write_text("squad,step\nx,y\n")
    table, places = read_table(source), points(np.array([[1.0, 2.0]]))
    out = tmp_path / f"o{suffix}"
    refuses(
        NameClash,
        lambda: write_table(out, table, {"squad": ["A"], "step": ["s"]}, places=places),
        "squad, step",
        "--prefix",
    )
    assert not out.exists()
    write_table(out, table, {"squad": ["A"]}, places=places, prefix="jg_")
    assert read_table(out).columns.column("jg_squad").to_pylist() == ["A"]


def test_geopackage_names_differ_by_more_than_case(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("ID,id\nx,y\n")
    refuses(TwinColumns, lambda: check_output(tmp_path / "o.gpkg", read_table(source), []), "ID", "id")
    check_output(tmp_path / "o.csv", read_table(source), [])
    source.write_text("Squad\nx\n")
    refuses(NameClash, lambda: check_output(tmp_path / "o.gpkg", read_table(source), ["squad"]), "squad")


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_error_leaves_the_old_output_and_nothing_else(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = rich(tmp_path / "in.parquet")
    out = tmp_path / f"o{suffix}"
    out.write_bytes(b"old")
    kind = written.OUTPUTS[suffix]

    def half(target: Path, *_: object) -> None:
        target.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(written, "WRITERS", {kind: half})
    refuses(CannotWrite, lambda: write_table(out, table, {}, places=points(np.ones((3, 2)))), "no space left")
    assert out.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.parquet", f"o{suffix}"]


@pytest.mark.parametrize("suffix", [".csv", ".geojson"])
def test_many_batches_make_the_same_bytes(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table, places = rich(tmp_path / "in.parquet"), points(np.ones((3, 2)))
    write_table(tmp_path / f"one{suffix}", table, {"squad": ["A", "B", "C"]}, places=places)
    monkeypatch.setattr(written, "BATCH", 1)
    write_table(tmp_path / f"many{suffix}", table, {"squad": ["A", "B", "C"]}, places=places)
    assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"many{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_output_is_replaced_not_written_into(tmp_path: Path, suffix: str) -> None:
    out, held = tmp_path / f"o{suffix}", tmp_path / "held"
    out.write_bytes(b"old")
    held.hardlink_to(out)
    write_table(out, rich(tmp_path / "in.parquet"), {}, places=points(np.ones((3, 2))))
    assert held.read_bytes() == b"old"
    assert len(read_table(out)) == 3


def test_outputs_that_make_no_sense(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("x\n1\n")
    table = read_table(source)
    refuses(OutIsInput, lambda: write_table(source, table, {}), "a.csv")
    refuses(CannotWrite, lambda: write_table(tmp_path / "no" / "o.csv", table, {}))
    refuses(intake.UnknownFormat, lambda: write_table(tmp_path / "o.shp", table, {}), ".gpkg")
    refuses(NoPlaces, lambda: write_table(tmp_path / "o.gpkg", table, {}), "o.gpkg")
    assert source.read_text() == "x\n1\n"


def test_our_own_cells_run_in_no_spreadsheet_and_the_users_are_not_touched(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("x\n=1+1\n-5\n")
    write_table(tmp_path / "o.csv", read_table(source), {"location_error": ["=cmd()", "fine"], "m": [-1.0, 2.0]})
    assert (tmp_path / "o.csv").read_text().splitlines() == ["x,location_error,m", "=1+1,'=cmd(),-1", "-5,fine,2"]


def test_a_table_without_rows_makes_a_file_without_rows(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("x,y\n")
    for suffix in FORMATS:
        write_table(
            tmp_path / f"o{suffix}",
            read_table(source),
            {"squad": pa.array([], pa.string())},
            places=points(np.empty((0, 2))),
        )
        assert len(read_table(tmp_path / f"o{suffix}")) == 0


def test_the_mark_that_excel_needs_is_kept(tmp_path: Path) -> None:
    for encoding, marked in (("gb18030", True), ("utf-8-sig", True), ("utf-8", False)):
        source = tmp_path / "a.csv"
        source.write_bytes("名\n惠济\n".encode(encoding))
        write_table(tmp_path / "o.csv", read_table(source), {})
        assert (tmp_path / "o.csv").read_bytes().startswith(b"\xef\xbb\xbf") is marked
        assert read_table(tmp_path / "o.csv").columns.to_pydict() == {"名": ["惠济"]}
