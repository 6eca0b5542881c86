"""GeoPackage in Python: the SQL functions that GeoAlchemy2's `gpkg` dialect expects of SpatiaLite, for plain sqlite3.

`install` gives a connection the functions, `create_base` (once, in the transaction that makes the tables) the tables of the
standard. GeoPackage 1.4 (OGC 12-128r19): blobs in clause 2.1.3, spatial index and its seven triggers in annex F.3.

A function that raises becomes "user-defined function raised exception" and nothing more: `sqlite3.enable_callback_tracebacks`
shows what it was.
"""

# ruff: noqa: S608  (statements are made of the names of our own tables, which no parameter can carry)
from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from shapely.geometry.base import BaseGeometry

Blob = bytes
"""A geometry as GeoPackage keeps it: magic, flags, SRID, envelope, ISO WKB."""
Box = tuple[float, float, float, float]
"""minx, maxx, miny, maxy: the order of the standard."""

APPLICATION_ID = 0x47504B47  # "GPKG"
USER_VERSION = 10400

_LITTLE, _XY, _EMPTY = 0b1, 0b1 << 1, 0b1 << 4
_ENVELOPES = (0, 32, 48, 48, 64)  # bytes of the envelope, by its code

_BASE = """
CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL, srs_id INTEGER PRIMARY KEY, organization TEXT NOT NULL,
    organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE,
    description TEXT DEFAULT '', last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
    min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (table_name TEXT NOT NULL UNIQUE REFERENCES gpkg_contents(table_name),
    column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL,
    srs_id INTEGER NOT NULL REFERENCES gpkg_spatial_ref_sys(srs_id), z TINYINT NOT NULL, m TINYINT NOT NULL,
    PRIMARY KEY (table_name, column_name));
CREATE TABLE gpkg_extensions (table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL, definition TEXT NOT NULL,
    scope TEXT NOT NULL, UNIQUE (table_name, column_name, extension_name));
INSERT INTO gpkg_spatial_ref_sys VALUES ('Undefined cartesian SRS', -1, 'NONE', -1, 'undefined', NULL),
    ('Undefined geographic SRS', 0, 'NONE', 0, 'undefined', NULL);
"""

# The index row of a table row, and when a row has one.
_ROW = 'NEW."{i}", ST_MinX(NEW."{c}"), ST_MaxX(NEW."{c}"), ST_MinY(NEW."{c}"), ST_MaxY(NEW."{c}")'
_NEW_HAS = '(NEW."{c}" NOTNULL AND NOT ST_IsEmpty(NEW."{c}"))'
_NEW_HAS_NOT = '(NEW."{c}" ISNULL OR ST_IsEmpty(NEW."{c}"))'
_OLD_HAS = '(OLD."{c}" NOTNULL AND NOT ST_IsEmpty(OLD."{c}"))'
_OLD_HAS_NOT = '(OLD."{c}" ISNULL OR ST_IsEmpty(OLD."{c}"))'
_SAME, _MOVED = 'OLD."{i}" = NEW."{i}"', 'OLD."{i}" != NEW."{i}"'
_PUT = f"INSERT OR REPLACE INTO {{r}} VALUES ({_ROW})"

INDEX_TRIGGERS: dict[str, tuple[str, str, str]] = {
    "insert": ('AFTER INSERT ON "{t}"', _NEW_HAS, _PUT),
    "update2": (
        'AFTER UPDATE OF "{c}" ON "{t}"',
        f"{_SAME} AND {_NEW_HAS_NOT}",
        'DELETE FROM {r} WHERE id = OLD."{i}"',
    ),
    "update4": (
        'AFTER UPDATE ON "{t}"',
        f"{_MOVED} AND {_NEW_HAS_NOT}",
        'DELETE FROM {r} WHERE id IN (OLD."{i}", NEW."{i}")',
    ),
    "update5": (
        'AFTER UPDATE ON "{t}"',
        f"{_MOVED} AND {_NEW_HAS}",
        f'DELETE FROM {{r}} WHERE id = OLD."{{i}}"; {_PUT}',
    ),
    "update6": ('AFTER UPDATE OF "{c}" ON "{t}"', f"{_SAME} AND {_NEW_HAS} AND {_OLD_HAS}", _PUT),
    "update7": ('AFTER UPDATE OF "{c}" ON "{t}"', f"{_SAME} AND {_NEW_HAS} AND {_OLD_HAS_NOT}", _PUT),
    "delete": ('AFTER DELETE ON "{t}"', 'OLD."{c}" NOTNULL', 'DELETE FROM {r} WHERE id = OLD."{i}"'),
}
"""Suffix of GeoPackage 1.4 -> (event, condition, action). 1 and 3 are the faulty ones of earlier versions."""


def install(connection: sqlite3.Connection) -> None:
    """Give one connection the functions. Writes nothing."""
    for name, arguments, function in _pure():
        connection.create_function(name, arguments, function, deterministic=True)
    for name, arguments, function in _acting(connection):
        connection.create_function(name, arguments, function)


def create_base(connection: sqlite3.Connection) -> None:
    """The tables of the standard, where they are not there yet. Commits nothing."""
    if not _has_base(connection):
        _run(connection, _BASE)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {USER_VERSION}")


# ---- geometry <-> blob -----------------------------------------------------------------------------------------------


def encode(geometry: BaseGeometry, srid: int) -> Blob:
    """As GeoPackage keeps it: little-endian, ISO WKB, with its envelope unless empty. -0.0 becomes 0.0."""
    wkb = shapely.to_wkb(plain_zeros(geometry), byte_order=1, include_srid=False, flavor="iso")
    if geometry.is_empty:
        return b"GP\0" + struct.pack("<Bi", _LITTLE | _EMPTY, srid) + wkb
    x0, y0, x1, y1 = geometry.bounds
    return b"GP\0" + struct.pack("<Bi4d", _LITTLE | _XY, srid, x0 + 0.0, x1 + 0.0, y0 + 0.0, y1 + 0.0) + wkb


def decode(blob: Blob) -> BaseGeometry:
    """The geometry, its SRID set."""
    return shapely.set_srid(shapely.from_wkb(wkb_of(blob)), srid_of(blob))


def plain_zeros(geometry: BaseGeometry) -> BaseGeometry:
    """-0.0 as 0.0: equal numbers must have equal bytes, and not every way into a column keeps the sign."""

    def positive(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return xy + 0.0

    return shapely.transform(geometry, positive, include_z=bool(shapely.has_z(geometry)))


def wkb_of(blob: Blob) -> bytes:
    """The ISO WKB within."""
    return blob[8 + _ENVELOPES[blob[3] >> 1 & 0b111] :]


def srid_of(blob: Blob) -> int:
    """The SRID that the blob's header states."""
    (srid,) = struct.unpack_from(_order(blob) + "i", blob, 4)
    return int(srid)


def box_of(blob: Blob) -> Box:
    """From the header where it carries an envelope, else from the coordinates (NaN: empty)."""
    if blob[3] >> 1 & 0b111:
        minx, maxx, miny, maxy = struct.unpack_from(_order(blob) + "4d", blob, 8)
    else:
        minx, miny, maxx, maxy = decode(blob).bounds
    return minx, maxx, miny, maxy


def _order(blob: Blob) -> str:
    return "<" if blob[3] & _LITTLE else ">"


# ---- functions that only look ----------------------------------------------------------------------------------------

Function = tuple[str, int, Callable[..., Any]]

PREDICATES = {
    f"ST_{predicate.__name__.replace('_', '')}": predicate
    for predicate in (
        shapely.contains,
        shapely.covered_by,
        shapely.covers,
        shapely.disjoint,
        shapely.equals,
        shapely.intersects,
        shapely.overlaps,
        shapely.touches,
        shapely.within,
    )
}


def _pure() -> Iterator[Function]:
    yield "GeomFromEWKT", 1, _of_null(lambda given: _from_ewkt(given) if isinstance(given, str) else _from_wkb(given))
    for name in ("GeomFromWKB", "GeomFromEWKB"):
        yield name, 1, _of_null(_from_wkb)
        yield name, 2, _of_null(_from_wkb)
    yield "AsEWKB", 1, _of_null(lambda blob: shapely.to_wkb(decode(blob), include_srid=True))
    yield "AsBinary", 1, _of_null(wkb_of)
    yield "AsGeoJSON", 1, _of_null(lambda blob: shapely.to_geojson(decode(blob)))
    yield "ST_AsText", 1, _of_null(lambda blob: shapely.to_wkt(decode(blob), rounding_precision=-1))
    yield "ST_SRID", 1, _of_null(srid_of)
    yield "ST_SetSRID", 2, _of_null(lambda blob, srid: encode(decode(blob), srid))
    yield "ST_Transform", 2, _of_null(_transform)
    yield "ST_IsEmpty", 1, _of_null(lambda blob: int(blob[3] & _EMPTY > 0 or decode(blob).is_empty))
    for at, name in enumerate(("ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY")):
        yield name, 1, _of_null(lambda blob, at=at: box_of(blob)[at])
    for name, predicate in PREDICATES.items():
        yield name, 2, _of_null(lambda a, b, holds=predicate: int(holds(*_of_one_srid(a, b))))


def _of_null(function: Callable[..., Any]) -> Callable[..., Any]:
    """SQL's rule: of NULL comes NULL. Blobs arrive as bytes or memoryview."""

    def strict(*values: Any) -> Any:
        if any(value is None for value in values):
            return None
        return function(*(bytes(value) if isinstance(value, memoryview) else value for value in values))

    return strict


def _from_ewkt(text: str) -> Blob:
    srid, separator, wkt = text.rpartition(";")
    return encode(shapely.from_wkt(wkt), int(srid.removeprefix("SRID=")) if separator else 0)


def _from_wkb(wkb: bytes | str, srid: int | None = None) -> Blob:
    geometry = shapely.from_wkb(wkb)
    inside = int(shapely.get_srid(geometry))
    if inside and srid not in {None, inside}:
        raise ValueError(f"EWKB of SRID {inside} given as {srid}")
    return encode(geometry, inside if srid is None else srid)


def _of_one_srid(a: Blob, b: Blob) -> tuple[BaseGeometry, BaseGeometry]:
    if srid_of(a) != srid_of(b):
        raise ValueError(f"mixed SRID {srid_of(a)} != {srid_of(b)}")
    return decode(a), decode(b)


def _transform(blob: Blob, srid: int) -> Blob:
    change = Transformer.from_crs(srid_of(blob), srid, always_xy=True)

    def changed(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(change.transform(xy[:, 0], xy[:, 1]))

    return encode(shapely.transform(decode(blob), changed), srid)


# ---- functions that change the file ----------------------------------------------------------------------------------


def _acting(connection: sqlite3.Connection) -> Iterator[Function]:
    """SQLite allows a function to run DDL on its own connection."""

    def base() -> int:
        create_base(connection)
        return 1

    def add_srid(srid: int) -> int:
        crs = CRS.from_epsg(srid)
        row = (crs.name, srid, "EPSG", srid, crs.to_wkt("WKT1_GDAL"))
        connection.execute("INSERT OR IGNORE INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, NULL)", row)
        return 1

    def add_triggers(table: str, column: str) -> int:
        _run(connection, _srid_triggers(connection, table, column))
        return 1

    def add_index(table: str, column: str) -> int:
        _run(connection, _index(table, column, _row_id(connection, table)))
        return 1

    yield "CheckGeoPackageMetaData", 0, lambda: int(_has_base(connection))
    yield "gpkgCreateBaseTables", 0, base
    yield "gpkgInsertEpsgSRID", 1, add_srid
    yield "gpkgAddGeometryTriggers", 2, add_triggers
    yield "gpkgAddSpatialIndex", 2, add_index


def _has_base(connection: sqlite3.Connection) -> bool:
    found = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'gpkg_contents'").fetchone()
    return bool(found[0])


def _row_id(connection: sqlite3.Connection, table: str) -> str:
    key = [str(row[1]) for row in connection.execute(f'PRAGMA table_info("{table}")') if row[5]]
    if len(key) != 1:
        raise ValueError(f"{table}: a table with an index needs one integer key, not {key}")
    return key[0]


def _srid_triggers(connection: sqlite3.Connection, table: str, column: str) -> str:
    """The column's SRID is part of its type in PostGIS; here two triggers stand for that. Named as the error they raise."""
    (srid,) = connection.execute(
        "SELECT srs_id FROM gpkg_geometry_columns WHERE table_name = ? AND column_name = ?", (table, column)
    ).fetchone()
    name, refuse = f"srid_{table}_{column}", f"RAISE(ABORT, 'srid_{table}_{column}')"
    return "\n".join(
        f'CREATE TRIGGER "{name}_{event}" BEFORE {when} ON "{table}" '
        f'WHEN NEW."{column}" NOTNULL AND ST_SRID(NEW."{column}") != {srid} BEGIN SELECT {refuse}; END;'
        for event, when in (("insert", "INSERT"), ("update", f'UPDATE OF "{column}"'))
    )


def _index(table: str, column: str, row_id: str) -> str:
    names = {"t": table, "c": column, "i": row_id, "r": f'"rtree_{table}_{column}"'}
    filled = _PUT.replace("NEW.", "").removesuffix(")").replace("VALUES (", "SELECT ") + ' FROM "{t}" WHERE '
    script = ["CREATE VIRTUAL TABLE {r} USING rtree(id, minx, maxx, miny, maxy);"]
    script.append(filled + _NEW_HAS.replace("NEW.", "") + ";")
    for suffix, (event, condition, action) in INDEX_TRIGGERS.items():
        name = '"rtree_{t}_{c}_' + suffix + '"'
        script.append(f"CREATE TRIGGER {name} {event} WHEN {condition} BEGIN {action}; END;")
    script.append(
        "INSERT OR IGNORE INTO gpkg_extensions VALUES ('{t}', '{c}', 'gpkg_rtree_index', "
        "'http://www.geopackage.org/spec140/#extension_rtree', 'write-only');"
    )
    return "\n".join(script).format(**names)


def _run(connection: sqlite3.Connection, script: str) -> None:
    """`executescript` would commit first."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
