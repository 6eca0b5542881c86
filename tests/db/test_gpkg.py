"""The SQL functions in Python: blobs, the spatial index under any changes, and GDAL as the independent reader."""

from __future__ import annotations

import random
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

import pyogrio
import pytest
import shapely
import sqlalchemy as sa
from geoalchemy2 import Geometry
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from geodata.db import gpkg
from geodata.db.shape import to_column

SHAPES = [
    shapely.Point(1, 2),
    shapely.Point(),
    shapely.Point(-0.0, 0.0),
    shapely.LineString([(0, 0), (1e-300, 1e300)]),
    shapely.box(0, 0, 1, 1),
    shapely.Polygon(),
    shapely.Polygon([(0, 0), (1, 1), (0, 1), (1, 0)]),  # crosses itself: kept as it is
    shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3)]),
    shapely.GeometryCollection([shapely.Point(0.1, 0.2), shapely.box(5, 5, 6, 6)]),
    shapely.from_wkt("POINT Z (1 2 3)"),
]


@pytest.mark.parametrize("geometry", SHAPES, ids=str)
def test_a_blob_keeps_the_geometry(geometry: BaseGeometry) -> None:
    blob = gpkg.encode(geometry, 4326)
    assert gpkg.srid_of(blob) == 4326
    assert shapely.equals_identical(gpkg.decode(blob), geometry)
    if not geometry.is_empty:
        x0, y0, x1, y1 = geometry.bounds
        assert gpkg.box_of(blob) == (x0, x1, y0, y1)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_equal_points_have_equal_bytes(x: float, y: float) -> None:
    plus, minus = gpkg.encode(shapely.Point(x + 0.0, y + 0.0), 1), gpkg.encode(shapely.Point(-(0.0 - x), -(0.0 - y)), 1)
    assert plus == minus
    assert b"\0\0\0\0\0\0\0\x80" not in gpkg.wkb_of(gpkg.encode(shapely.Point(-0.0, -0.0), 1))


def test_a_big_endian_blob_of_another_program_is_read() -> None:
    wkb = shapely.to_wkb(shapely.box(1, 2, 3, 4), byte_order=0)
    blob = b"GP\0" + struct.pack(">Bi4d", 0b10, 4326, 1, 3, 2, 4) + wkb
    assert gpkg.srid_of(blob) == 4326
    assert gpkg.box_of(blob) == (1, 3, 2, 4)
    bare = b"GP\0" + struct.pack(">Bi", 0, 4326) + wkb
    assert gpkg.box_of(bare) == (1, 3, 2, 4)
    assert shapely.equals_identical(gpkg.decode(bare), shapely.box(1, 2, 3, 4))


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """A table with geometry and index, made by SQL alone."""
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.execute("PRAGMA recursive_triggers = ON")
    gpkg.install(made)
    gpkg.create_base(made)
    made.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT UNIQUE, geom GEOMETRY)")
    made.execute("SELECT gpkgInsertEpsgSRID(4326)")
    made.execute("INSERT INTO gpkg_contents (table_name, data_type, srs_id) VALUES ('t', 'features', 4326)")
    made.execute("INSERT INTO gpkg_geometry_columns VALUES ('t', 'geom', 'GEOMETRY', 4326, 0, 0)")
    made.execute("INSERT INTO t VALUES (1000, 'there before the index', ?)", (gpkg.encode(shapely.Point(1, 1), 4326),))
    made.execute("SELECT gpkgAddGeometryTriggers('t', 'geom'), gpkgAddSpatialIndex('t', 'geom')")
    yield made
    made.close()


def _index_is_the_table(connection: sqlite3.Connection) -> None:
    rows = connection.execute("SELECT id, geom FROM t WHERE geom NOTNULL").fetchall()
    full = {key: gpkg.decode(blob).bounds for key, blob in rows if not gpkg.decode(blob).is_empty}
    boxes = {key: box for key, *box in connection.execute("SELECT id, minx, miny, maxx, maxy FROM rtree_t_geom")}
    assert boxes.keys() == full.keys()
    for key, (x0, y0, x1, y1) in full.items():
        bx0, by0, bx1, by1 = boxes[key]
        assert bx0 <= x0 <= x1 <= bx1
        assert by0 <= y0 <= y1 <= by1
    assert connection.execute("SELECT rtreecheck('rtree_t_geom')").fetchone() == ("ok",)


CHANGES = (
    "INSERT OR IGNORE INTO t VALUES (:id, :code, :geom)",
    "INSERT OR REPLACE INTO t VALUES (:id, :code, :geom)",
    "INSERT INTO t VALUES (:id, :code, :geom) ON CONFLICT (id) DO UPDATE SET geom = excluded.geom",
    "UPDATE t SET geom = :geom WHERE id = :id",
    "UPDATE t SET code = :code || id WHERE id = :id",
    "UPDATE OR REPLACE t SET id = :other WHERE id = :id",
    "UPDATE OR REPLACE t SET id = :other, geom = :geom WHERE id = :id",
    "DELETE FROM t WHERE id = :id",
)


def test_the_index_follows_every_kind_of_change(connection: sqlite3.Connection) -> None:
    _index_is_the_table(connection)
    draw = random.Random(3)
    for _ in range(1500):
        x, y = draw.uniform(-180, 180), draw.uniform(-90, 90)
        shape = draw.choice(
            [None, shapely.Point(), shapely.Point(x, y), shapely.box(x, y, x + 1, y + 1), shapely.Polygon()]
        )
        values = {
            "id": draw.randrange(12),
            "other": draw.randrange(12),
            "code": str(draw.randrange(12)),
            "geom": None if shape is None else gpkg.encode(shape, 4326),
        }
        connection.execute("SAVEPOINT one")
        try:
            connection.execute(draw.choice(CHANGES), values)
        except sqlite3.IntegrityError:
            connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")
        _index_is_the_table(connection)


def test_the_triggers_have_the_names_of_the_standard(connection: sqlite3.Connection) -> None:
    found = {
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE 'rtree_t_geom_%' AND type = 'trigger'"
        )
    }
    assert found == {
        f"rtree_t_geom_{suffix}"
        for suffix in ("insert", "update2", "update4", "update5", "update6", "update7", "delete")
    }


def test_a_geometry_of_another_srid_is_refused(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=r"^srid_t_geom$"):
        connection.execute("INSERT INTO t VALUES (1, '', ?)", (gpkg.encode(shapely.Point(1, 1), 4490),))
    with pytest.raises(sqlite3.IntegrityError, match=r"^srid_t_geom$"):
        connection.execute("UPDATE t SET geom = ST_SetSRID(geom, 4490)")
    with pytest.raises(sqlite3.OperationalError):
        connection.execute("SELECT ST_Covers(geom, ST_SetSRID(geom, 4490)) FROM t").fetchall()
    assert connection.execute("SELECT ST_Covers(geom, NULL), ST_Covers(geom, geom) FROM t").fetchall() == [(None, 1)]


def test_transform_is_longitude_first(connection: sqlite3.Connection) -> None:
    blob = gpkg.encode(shapely.Point(114, 34.8), 4490)
    (wkt, srid) = connection.execute(
        "SELECT ST_AsText(ST_Transform(?, 4547)), ST_SRID(ST_Transform(?, 4547))", (blob, blob)
    ).fetchone()
    assert srid == 4547
    assert shapely.from_wkt(wkt).x == pytest.approx(500_000)  # on the central meridian


def test_gdal_reads_what_the_dialect_wrote(tmp_path: Path) -> None:
    """With the CRS, every column, and a search by box that goes through our index."""
    metadata = sa.MetaData()
    table = sa.Table(
        "层",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text),
        sa.Column("geom", Geometry("POLYGON", srid=4490)),
    )
    engine = sa.create_engine(f"gpkg:///{tmp_path / 'x.gpkg'}")

    @sa.event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _: object) -> None:
        gpkg.install(connection)
        gpkg.create_base(connection)
        connection.commit()

    metadata.create_all(engine)
    with engine.begin() as connection:
        for k in range(10):
            connection.execute(
                table.insert().values(name=f"第{k}格", geom=to_column(shapely.box(k, 0, k + 1, 1), 4490))
            )
    engine.dispose()
    whole = pyogrio.read_dataframe(tmp_path / "x.gpkg", layer="层")
    assert whole.crs.to_epsg() == 4490
    assert list(whole["name"]) == [f"第{k}格" for k in range(10)]
    assert len(pyogrio.read_dataframe(tmp_path / "x.gpkg", layer="层", bbox=(2.2, 0.2, 3.5, 0.5))) == 2
