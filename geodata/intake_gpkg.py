"""GeoPackage by SQLite alone, read-only: tables, never views, so that nothing in the file can run.

A layer that is a recursive view never ends in GDAL. Here every name that is read must be a plain table, the schema may
not call functions (`trusted_schema`), nothing can be attached, and a step limit ends what we did not think of.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from pyproj import CRS
from pyproj.exceptions import CRSError

from geodata.intake import (
    BadGeometry,
    Content,
    Limits,
    Note,
    TooBig,
    UnreadableFile,
    check_extent,
    pick_layer,
    plain_crs,
    uncollected,
)
from geodata.intake_wkb import check_vertices, count_or_refuse, decode
from routing.errors import JieguanError

APPLICATION_IDS = frozenset({0x47504B47, 0x47503130, 0x47503131})
"""GPKG, and GP10, GP11 of versions 1.0 and 1.1."""
ENVELOPE = (0, 32, 48, 48, 64)
"""Bytes of the envelope by its code in the geometry header's flags (OGC 12-128r19, 2.1.3)."""
CHECK_EVERY = 1_000_000


class LayerNotTable(JieguanError):
    zh = (
        "“{path}”的图层“{layer}”不是普通表(视图、虚拟表或带计算列):读取它会执行文件里的代码,不予打开。"
        "请把它另存为普通图层。"
    )
    en = (
        "The layer {layer!r} of {path!r} is no plain table (a view, a virtual table, computed columns): reading it "
        "would run what the file says. Save it as a plain layer."
    )


class UnsavedEdits(JieguanError):
    zh = "“{path}”旁有未合并的改动“{journal}”:现在读取会得到旧内容。请在编辑它的程序中保存并关闭后再试。"
    en = (
        "Beside {path!r} lies {journal!r} with edits not yet merged: reading now would give old content. Save and "
        "close it in the program that edits it, then try again."
    )


def read_gpkg(path: Path, layer: str | None, limits: Limits) -> Content:
    """One layer of a GeoPackage in the order of its primary key, which itself is no column."""
    check_header(path)
    with opened(path, limits) as database:
        chosen = pick_layer(path, layer, layers_of(path, database))
        return _read_table(path, database, chosen, limits)


def check_header(path: Path) -> None:
    """Whole pages, the GeoPackage mark, no pending journal: all before SQLite sees the file."""
    with path.open("rb") as file:
        head = file.read(100)
    if len(head) < 100:
        raise UnreadableFile(path=str(path), reason="the SQLite header is cut off")
    page = int.from_bytes(head[16:18], "big")
    page = 65536 if page == 1 else page
    (pages,) = struct.unpack_from(">I", head, 28)
    if page < 512 or page & (page - 1) or path.stat().st_size < pages * page:
        raise UnreadableFile(path=str(path), reason="the file is shorter than its header states")
    (mark,) = struct.unpack_from(">I", head, 68)
    if mark not in APPLICATION_IDS:
        raise UnreadableFile(path=str(path), reason=f"a SQLite file, but no GeoPackage (application_id {mark:#x})")
    for suffix in ("-wal", "-journal"):
        journal = path.with_name(path.name + suffix)
        if journal.exists() and journal.stat().st_size:
            raise UnsavedEdits(path=str(path), journal=journal.name)


@contextmanager
def opened(path: Path, limits: Limits) -> Iterator[sqlite3.Connection]:
    """A connection that can only read this file, for so many steps. SQLite's refusals come out as ours."""
    uri = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
    steps = 0

    def spent() -> bool:
        nonlocal steps
        steps += CHECK_EVERY
        return steps > limits.sqlite_steps

    try:
        with closing(sqlite3.connect(uri, uri=True)) as database:
            for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "query_only=ON"):
                database.execute(f"PRAGMA {pragma}")
            database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
            database.set_progress_handler(spent, CHECK_EVERY)
            _check_pages(path, database)
            database.set_authorizer(_only_reading)
            yield database
    except sqlite3.Error as error:
        if steps > limits.sqlite_steps:
            facts = {"what": "steps", "size": steps, "limit": limits.sqlite_steps, "name": "sqlite_steps"}
            raise TooBig(path=str(path), **facts) from error
        raise UnreadableFile(path=str(path), reason=str(error)) from error


def _check_pages(path: Path, database: sqlite3.Connection) -> None:
    found = [row[0] for row in database.execute("PRAGMA quick_check(1)")]
    if found != ["ok"]:
        raise UnreadableFile(path=str(path), reason=f"damaged: {found[0]}")


def _only_reading(action: int, first: str | None, second: str | None, *_: object) -> int:
    if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and second in ("length", "count"):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and first == "table_xinfo":
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def layers_of(path: Path, database: sqlite3.Connection) -> list[str]:
    """Names of the layers and attribute tables that `gpkg_contents` lists, sorted."""
    check_table(path, database, "gpkg_contents")
    rows = database.execute("SELECT table_name FROM gpkg_contents WHERE data_type IN ('features', 'attributes')")
    return sorted(str(row[0]) for row in rows)


def check_table(path: Path, database: sqlite3.Connection, name: str) -> list[tuple[Any, ...]]:
    """The columns (table_xinfo) of a plain table of that name; anything else of that name is refused."""
    query = "SELECT type, sql FROM sqlite_master WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')"
    found = database.execute(query, (name,)).fetchall()
    if not found:
        raise UnreadableFile(path=str(path), reason=f"the table {name!r} is missing")
    kind, sql = found[0]
    plain = len(found) == 1 and kind == "table" and not str(sql).upper().lstrip().startswith("CREATE VIRTUAL")
    columns = database.execute(f"PRAGMA table_xinfo({quoted(name)})").fetchall() if plain else []
    if not plain or any(column[6] for column in columns):  # column[6]: hidden or generated
        raise LayerNotTable(path=str(path), layer=name)
    return columns


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _read_table(path: Path, database: sqlite3.Connection, layer: str, limits: Limits) -> Content:
    columns = check_table(path, database, layer)
    geometry, srs = _geometry_column(path, database, layer)
    names = [str(column[1]) for column in columns]
    keys = [str(column[1]) for column in columns if column[5] and str(column[2]).upper() == "INTEGER"]
    (rows,) = database.execute(f"SELECT count(*) FROM {quoted(layer)}").fetchone()  # noqa: S608
    check_extent(path, rows, len(names), limits)
    order = f" ORDER BY {quoted(keys[0])}" if keys else ""
    wanted = [name for name in names if name not in keys]
    if geometry:
        _check_blobs(path, database, layer, geometry, order, limits)
    chosen = ", ".join(map(quoted, wanted)) or "NULL"
    with uncollected():
        values = database.execute(f"SELECT {chosen} FROM {quoted(layer)}{order}").fetchall()  # noqa: S608
    parts = dict(zip(wanted, zip(*values, strict=True) if values else [()] * len(wanted), strict=True))
    blobs = parts.pop(geometry) if geometry else None
    kinds = {str(column[1]): str(column[2]) for column in columns}
    table, notes = _columns(path, parts, kinds, rows)
    return Content(
        layer=layer,
        columns=table,
        geometry=None if blobs is None else decode(path, [_wkb(path, n, b) for n, b in enumerate(blobs, 1)], limits),
        geometry_name=geometry or "geom",
        geometry_at=wanted.index(geometry) if geometry else 0,
        crs=_crs(path, database, srs),
        notes=notes,
    )


def _geometry_column(path: Path, database: sqlite3.Connection, layer: str) -> tuple[str | None, int]:
    check_table(path, database, "gpkg_geometry_columns")
    query = "SELECT column_name, srs_id FROM gpkg_geometry_columns WHERE table_name = ? COLLATE NOCASE"
    row = database.execute(query, (layer,)).fetchone()
    return (None, -1) if row is None else (str(row[0]), int(row[1]))


def _check_blobs(
    path: Path, database: sqlite3.Connection, layer: str, geometry: str, order: str, limits: Limits
) -> None:
    """`length` of a blob does not load it, so a ring of ten million vertices is found without reading the rest."""
    column, source = quoted(geometry), f"{quoted(layer)}{order}"
    sizes = database.execute(f"SELECT length({column}) FROM {source}")  # noqa: S608
    for number, (size,) in enumerate(sizes, 1):
        if isinstance(size, int) and size > 16 * limits.vertices + 72:
            query = f"SELECT {column} FROM {source} LIMIT 1 OFFSET {number - 1}"  # noqa: S608
            (blob,) = database.execute(query).fetchone()
            check_vertices(path, number, count_or_refuse(path, number, _wkb(path, number, blob) or b""), limits)


def _wkb(path: Path, feature: int, blob: object) -> bytes | None:
    """The well-known binary behind a GeoPackage geometry header; None for SQL NULL."""
    if blob is None:
        return None
    if not isinstance(blob, bytes) or blob[:2] != b"GP" or len(blob) < 8:
        raise BadGeometry(path=str(path), feature=feature, reason="no GeoPackage geometry")
    envelope = blob[3] >> 1 & 7
    if envelope > 4 or blob[3] & 0x20:
        raise BadGeometry(path=str(path), feature=feature, reason="an extended geometry encoding")
    return blob[8 + ENVELOPE[envelope] :]


def _crs(path: Path, database: sqlite3.Connection, srs: int) -> CRS | None:
    """-1 and 0 stand for "undefined" in the standard: the file does not say."""
    if srs in (-1, 0):
        return None
    check_table(path, database, "gpkg_spatial_ref_sys")
    query = "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?"
    row = database.execute(query, (srs,)).fetchone()
    if row is None:
        raise UnreadableFile(path=str(path), reason=f"the coordinate system {srs} is not defined in the file")
    try:
        if str(row[0]).upper() in ("EPSG", "ESRI", "OGC"):
            return plain_crs(CRS.from_authority(str(row[0]).upper(), row[1]))
        return plain_crs(CRS.from_wkt(str(row[2])))
    except CRSError as error:
        raise UnreadableFile(path=str(path), reason=f"the coordinate system {srs} is unknown: {error}") from error


Cast = Callable[[Any], Any] | None


def _columns(path: Path, parts: dict[str, Any], kinds: dict[str, str], rows: int) -> tuple[Any, tuple[Note, ...]]:
    """Columns typed as declared. SQLite lets a cell break its column's type: such a column is kept as text."""
    arrays, notes = {}, []
    for name, values in parts.items():
        kind, cast = _declared(kinds[name].upper())
        try:
            cast_values = values if cast is None else [None if value is None else cast(value) for value in values]
            arrays[name] = pa.array(cast_values, kind)
        except (ValueError, TypeError, OverflowError, pa.ArrowInvalid, pa.ArrowTypeError):
            arrays[name] = pa.array([None if value is None else str(value) for value in values], pa.string())
            notes.append(Note("mixed_types", {"path": str(path), "column": name}))
    if not arrays:  # a table without columns forgets how many rows it has
        return pa.table({"": pa.nulls(rows)}).select([]), tuple(notes)
    return pa.table(arrays), tuple(notes)


def _declared(kind: str) -> tuple[Any, Cast]:
    integers = {"TINYINT": pa.int8(), "SMALLINT": pa.int16(), "MEDIUMINT": pa.int32(), "INT": pa.int64()}
    if kind in integers or kind == "INTEGER":
        return integers.get(kind, pa.int64()), None
    if kind in ("DOUBLE", "REAL", "FLOAT"):
        return pa.float32() if kind == "FLOAT" else pa.float64(), None
    if kind == "BOOLEAN":
        return pa.bool_(), bool
    if kind == "DATE":
        return pa.date32(), date.fromisoformat
    if kind == "DATETIME":
        return pa.timestamp("ms", "UTC"), datetime.fromisoformat
    return (pa.binary(), None) if kind.startswith("BLOB") else (pa.string(), None)
