"""Results out: the input's columns as they were, then ours; whole or not at all.

Formula injection: spreadsheets run cells that begin with = + - @. The user's own cells are written back untouched, as a
leading quote would break every join on them. Squad codes that look like a formula are refused when they are read
(`sources.UnusableCode`), and a text cell of *ours* that still looks like one (a place name quoted in an error, say) gets a
leading apostrophe in CSV, the only format that spreadsheets run.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import shapely
from numpy.typing import NDArray

from geodata.db.guard import refuse_live
from geodata.files import Table
from geodata.intake import EXTENSIONS, Format, Geometries, UnknownFormat
from geodata.intake_geojson import AS_JSON, AS_LIST
from routing.errors import JieguanError

OUTPUTS: Mapping[str, Format] = {
    suffix: kind for suffix, kind in EXTENSIONS.items() if kind not in (Format.SHAPEFILE, Format.ZIP)
}
"""Shapefiles cut names at ten letters and know no empty text: read, never written."""
GPKG_VERSION = "1.2"
"""The latest of which no program in use warns: GDAL before 3.7 does of 1.4, and we need nothing of it."""
BATCH = 50_000
SEPARATOR = "|"
DANGEROUS = ("=", "+", "-", "@", "\t", "\r")


class NameClash(JieguanError):
    zh = "输入已有名为 {names} 的列,与结果列重名:直接写出会覆盖原有内容。请用 --prefix P 给结果列加前缀。"
    en = (
        "The input already has columns named {names}, as the result has: writing both would lose one. Give the columns "
        "of the result a prefix by --prefix P."
    )


class TwinColumns(JieguanError):
    zh = "列“{first}”与“{second}”仅大小写不同,{format} 无法区分。请改名,或写出为 .parquet、.csv 或 .geojson。"
    en = (
        "The columns {first!r} and {second!r} differ in case only, which a {format} cannot tell apart. Rename one, or "
        "write .parquet, .csv or .geojson."
    )


class OutIsInput(JieguanError):
    zh = "输出“{path}”就是输入文件:写出会毁掉原始数据。请换一个输出文件名。"
    en = "The output {path!r} is the input itself, which would be destroyed. Name another output file."


class CannotWrite(JieguanError):
    zh = "无法写出“{path}”:{reason}。未留下任何内容。请检查目录、权限和剩余空间。"
    en = "{path!r} cannot be written: {reason}. Nothing was left behind. Check the folder, its rights and the space left."


class NoPlaces(JieguanError):
    zh = "写出“{path}”({format})需要几何,但没有给出经纬度。请写出为 .parquet 或 .csv。"
    en = "{path!r} is a {format}, which needs geometry, and no places were given. Write .parquet or .csv."


def check_output(out: str | Path, table: Table, names: list[str], prefix: str = "") -> None:
    """Everything about the output that can be refused before the work begins."""
    path = Path(out)
    kind = _format(path)
    if path.exists() and path.samefile(table.path):
        raise OutIsInput(path=str(path))
    if not path.parent.is_dir():
        raise CannotWrite(path=str(path), reason=f"there is no folder {str(path.parent)!r}")
    existing = _input_names(table, kind)
    fold: Callable[[str], str] = str.casefold if kind is Format.GPKG else str
    seen = {fold(name): name for name in existing}
    if len(seen) < len(existing):
        first, second = _twins(existing)
        raise TwinColumns(first=first, second=second, format=kind)
    clashes = [prefix + name for name in names if fold(prefix + name) in seen]
    if clashes:
        raise NameClash(names=", ".join(clashes))


def _input_names(table: Table, kind: Format) -> list[str]:
    """Parquet and CSV carry the input's geometry as a column, so its name counts there."""
    names = list(table.columns.column_names)
    if table.geometry is not None and kind in (Format.PARQUET, Format.CSV):
        names.append(table.geometry_name)
    return names


def _twins(names: list[str]) -> tuple[str, str]:
    seen: dict[str, str] = {}
    for name in names:
        if name.casefold() in seen:
            return seen[name.casefold()], name
        seen[name.casefold()] = name
    raise AssertionError(names)


def _format(path: Path) -> Format:
    if path.suffix.lower() not in OUTPUTS:
        raise UnknownFormat(path=str(path), extension=path.suffix, allowed=" ".join(OUTPUTS))
    return OUTPUTS[path.suffix.lower()]


def write_table(
    out: str | Path,
    table: Table,
    extra: Mapping[str, Any] | Any,
    *,
    places: Geometries | None = None,
    prefix: str = "",
) -> None:
    """Write the input's columns in the input's order, then `extra` (Arrow table, or name -> Arrow array or numpy).

    `places`: WGS-84 lon, lat geometry, shape (rows,), None where a row has none; the geometry of .geojson and .gpkg.
    Left out, the input's own is used if it is in WGS-84. Parquet and CSV keep the input's geometry (CSV as WKT). The file
    appears whole, under a temporary name first, and replaces what was there.
    """
    path = Path(out)
    ours = extra if isinstance(extra, pa.Table) else pa.table({name: _array(value) for name, value in extra.items()})
    check_output(path, table, list(ours.column_names), prefix)
    if ours.num_columns and ours.num_rows != len(table):
        raise AssertionError((ours.num_rows, len(table)))
    ours = ours.rename_columns([prefix + name for name in ours.column_names])
    kind = _format(path)
    if kind in (Format.GEOJSON, Format.GPKG) and places is None:
        places = _own_places(path, table, kind)
    with whole_file(path) as target:
        WRITERS[kind](target, table, ours, places)


def points(lonlat: NDArray[np.float64]) -> Geometries:
    """(n, 2) lon, lat -> points; None where a number is not finite."""
    geometry = np.full(len(lonlat), None, dtype=object)
    good = np.isfinite(lonlat).all(axis=1)
    geometry[good] = shapely.points(lonlat[good])
    return geometry


def _array(value: Any) -> Any:
    return value if isinstance(value, pa.Array | pa.ChunkedArray) else pa.array(value)


def _own_places(path: Path, table: Table, kind: Format) -> Geometries:
    if table.geometry is None or table.crs is None or table.crs.to_epsg() != 4326:
        raise NoPlaces(path=str(path), format=kind)
    return table.geometry


def replace_file(out: str | Path, data: bytes) -> None:
    """Write bytes whole or not at all."""
    path = Path(out)
    if not path.parent.is_dir():
        raise CannotWrite(path=str(path), reason=f"there is no folder {str(path.parent)!r}")
    with whole_file(path) as target:
        target.write_bytes(data)


def _of_gdal() -> tuple[type[Exception], ...]:
    """What GDAL raises; asked only when something has been raised, for to load it takes long."""
    from geodata.intake_gdal import pyogrio

    return pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name in a fresh folder beside `path`; moved over `path` at the end, gone on any error. Raises LiveDatabase, CannotWrite."""
    refuse_live(path)  # moving over it opens nothing, so the guard's hook would not see it
    try:
        folder = Path(tempfile.mkdtemp(prefix=".jieguan-", dir=path.parent))
    except OSError as error:
        raise CannotWrite(path=str(path), reason=str(error)) from error
    try:
        target = folder / path.name
        yield target
        with target.open("rb") as file:
            os.fsync(file.fileno())
        target.replace(path)
    except (OSError, pa.ArrowException, *_of_gdal()) as error:
        raise CannotWrite(path=str(path), reason=str(error)) from error
    finally:
        shutil.rmtree(folder)


# ---- Parquet ---------------------------------------------------------------------------------------------------------


def _write_parquet(target: Path, table: Table, ours: Any, _: Geometries | None) -> None:
    whole = table.columns
    metadata = dict(whole.schema.metadata or {})
    if table.geometry is not None:
        wkb = pa.array(shapely.to_wkb(table.geometry, flavor="iso"), pa.binary())
        whole = whole.add_column(table.geometry_at, table.geometry_name, wkb)
        metadata.setdefault(b"geo", json.dumps(_geo(table)).encode())
    for name in ours.column_names:
        whole = whole.append_column(ours.schema.field(name), ours.column(name))
    pyarrow.parquet.write_table(whole.replace_schema_metadata(metadata or None), target, compression="zstd")


def _geo(table: Table) -> dict[str, Any]:
    """GeoParquet 1.1 metadata of the one geometry column."""
    crs = None if table.crs is None else table.crs.to_json_dict()
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": [], "crs": crs}
    return {"version": "1.1.0", "primary_column": table.geometry_name, "columns": {table.geometry_name: column}}


# ---- text formats ----------------------------------------------------------------------------------------------------


def as_text(column: Any) -> Any:
    """A column whose type plain tables lack, as text: lists '|'-joined, instants in ISO 8601, the rest as JSON."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return as_text(
            pa.chunked_array([chunk.dictionary_decode() for chunk in _chunked(column).chunks], kind.value_type)
        )
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pc.binary_join(pc.cast(column, pa.list_(pa.string())), SEPARATOR)
    if pa.types.is_timestamp(kind):
        return _iso(column)
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        return pc.cast(column, pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array([None if value is None else value.hex() for value in column.to_pylist()], pa.string())
    if pa.types.is_nested(kind):
        texts = [
            None if value is None else json.dumps(value, ensure_ascii=False, default=str)
            for value in column.to_pylist()
        ]
        return pa.array(texts, pa.string())
    return column


def _chunked(column: Any) -> Any:
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def _iso(column: Any) -> Any:
    """`2024-05-01T08:00:00` with a fraction only where one is needed, and the offset where the type has a zone."""
    kind = column.type
    seconds = pc.cast(column, pa.timestamp("s", kind.tz), safe=False)
    whole = pc.all(pc.equal(pc.cast(seconds, kind), column)).as_py() in (True, None)
    return pc.strftime(seconds if whole else column, format="%Y-%m-%dT%H:%M:%S" + ("%z" if kind.tz else ""))


def _write_csv(target: Path, table: Table, ours: Any, _: Geometries | None) -> None:
    """UTF-8, with a byte order mark where the input had one or was GB 18030: both come from Excel, which needs it."""
    columns = {name: as_text(table.columns.column(name)) for name in table.columns.column_names}
    pairs = list(columns.items())
    if table.geometry is not None:
        wkt = pa.array(shapely.to_wkt(table.geometry, rounding_precision=-1), pa.string())
        pairs.insert(table.geometry_at, (table.geometry_name, wkt))
    pairs += [(name, _defused(as_text(ours.column(name)))) for name in ours.column_names]
    marked = any(note.code == "encoding" and note.facts["encoding"] in ("utf-8-sig", "gb18030") for note in table.notes)
    with target.open("wb") as file:
        file.write(b"\xef\xbb\xbf" if marked else b"")
        file.write(",".join(_csv_cells(pa.array([name for name, _ in pairs]), alone=True).to_pylist()).encode() + b"\n")
        for start in range(0, len(table), BATCH):
            cells = [_csv_cells(column.slice(start, BATCH), alone=len(pairs) == 1) for _, column in pairs]
            lines = pc.binary_join_element_wise(*[_large(cell) for cell in cells], _large(","))
            file.write(("\n".join(lines.to_pylist()) + "\n").encode())


def _csv_cells(column: Any, *, alone: bool) -> Any:
    """Cells with quotes where they need them. Null is an empty cell; `alone` in its line it is "", not a blank line."""
    text = pc.cast(_chunked(column).combine_chunks(), pa.string())
    inside = pc.replace_substring(text, '"', '""')
    text = pc.if_else(
        pc.match_substring_regex(text, '[,"\r\n]'), pc.binary_join_element_wise('"', inside, '"', ""), text
    )
    text = pc.fill_null(text, "")
    return pc.if_else(pc.equal(text, ""), '""', text) if alone else text


def _defused(column: Any) -> Any:
    """Our own text cells, none of which a spreadsheet takes for a formula."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    risky = pc.match_substring_regex(column, "^[=+\\-@\t\r]")
    return pc.if_else(risky, pc.binary_join_element_wise("'", column, ""), column)


def _write_geojson(target: Path, table: Table, ours: Any, places: Geometries | None) -> None:
    """RFC 7946: WGS-84 by definition, so no crs member; one feature a line. Columns are put into words, not rows: fast."""
    assert places is not None
    names = [*table.columns.column_names, *ours.column_names]
    heads = [("," if place else "") + json.dumps(name, ensure_ascii=False) + ":" for place, name in enumerate(names)]
    with target.open("wb") as file:
        file.write(b'{"type":"FeatureCollection","features":[')
        for start in range(0, len(places), BATCH):
            cells = [_json_cells(part, name, start) for part in (table.columns, ours) for name in part.column_names]
            shapes = pa.array([shape or "null" for shape in shapely.to_geojson(places[start : start + BATCH])])
            words = ['\n{"type":"Feature","properties":{', *_zipped(heads, cells), '},"geometry":', shapes, "}"]
            lines = pc.binary_join_element_wise(*[_large(word) for word in words], _large(""))
            file.write(b"," * (start > 0) + ",".join(lines.to_pylist()).encode())
        file.write(b"\n]}\n")


def _zipped(heads: list[str], cells: list[Any]) -> Iterator[Any]:
    for head, cell in zip(heads, cells, strict=True):
        yield head
        yield cell


def _large(word: Any) -> Any:
    return pa.scalar(word, pa.large_string()) if isinstance(word, str) else pc.cast(word, pa.large_string())


def _json_cells(columns: Any, name: str, start: int) -> Any:
    """BATCH cells of one column as JSON; null, and numbers that are not finite, as `null`."""
    column, field = columns.column(name).slice(start, BATCH), columns.schema.field(name)
    if not _own_list(field):
        column = as_text(column)
    kind = column.type
    if (field.metadata or {}) == AS_JSON:  # as it was read
        cells = column
    elif pa.types.is_floating(kind):
        cells = pc.cast(pc.if_else(pc.is_finite(column), column, None), pa.string())
        cells = pc.if_else(
            pc.match_substring_regex(cells, r"^-?\d+$"), pc.binary_join_element_wise(cells, ".0", ""), cells
        )
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        cells = pc.cast(column, pa.string())
    else:
        values = column.to_pylist()
        cells = pa.array([None if value is None else _encode(value) for value in values], pa.string())
    return pc.fill_null(_chunked(cells).combine_chunks(), "null")


def _own_list(field: Any) -> bool:
    """A list of texts that stood so in a GeoJSON: it is written as one. Other lists are '|'-joined."""
    return pa.types.is_list(field.type) and (field.metadata or {}) == AS_LIST


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


# ---- GeoPackage ------------------------------------------------------------------------------------------------------


def _write_gpkg(target: Path, table: Table, ours: Any, places: Geometries | None) -> None:
    """One layer named like the file, EPSG:4326. Key and geometry get names that no column has."""
    from geodata.intake_gdal import pyogrio

    assert places is not None
    names = [*table.columns.column_names, *ours.column_names]
    key, geometry = free_name("fid", names), free_name("geom", names)
    arrays = [plain_column(table.columns.column(name)) for name in table.columns.column_names]
    arrays += [plain_column(ours.column(name)) for name in ours.column_names]
    wkb = pa.array(shapely.to_wkb(places, flavor="iso"), pa.binary())
    pyogrio.write_arrow(
        pa.table([*arrays, wkb], names=[*names, geometry]),
        target,
        driver="GPKG",
        layer=target.stem,
        geometry_name=geometry,
        geometry_type=common_type(places),
        crs="EPSG:4326",
        FID=key,
        GEOMETRY_NAME=geometry,
        VERSION=GPKG_VERSION,
    )


def plain_column(column: Any) -> Any:
    """Types a GeoPackage knows; instants and dates are among them."""
    kind = column.type
    keeps = pa.types.is_date(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    if keeps or (pa.types.is_timestamp(kind) and kind.unit in ("s", "ms", "us")):
        return column
    return as_text(column)


def free_name(wanted: str, names: list[str]) -> str:
    taken = {name.casefold() for name in names}
    while wanted in taken:
        wanted += "_"
    return wanted


def common_type(places: Geometries) -> str:
    kinds = {geometry.geom_type for geometry in places if geometry is not None}
    return kinds.pop() if len(kinds) == 1 else "Unknown"


WRITERS: Mapping[Format, Callable[[Path, Table, Any, Geometries | None], None]] = {
    Format.PARQUET: _write_parquet,
    Format.CSV: _write_csv,
    Format.GEOJSON: _write_geojson,
    Format.GPKG: _write_gpkg,
}
