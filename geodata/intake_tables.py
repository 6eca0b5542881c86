"""CSV and (Geo)Parquet, by Arrow alone."""

from __future__ import annotations

import codecs
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from pyproj import CRS
from pyproj.exceptions import CRSError

from geodata.intake import (
    WGS84,
    Content,
    Limits,
    Note,
    TooBig,
    UnreadableFile,
    check_extent,
    check_names,
    only_layer,
    plain_crs,
)
from geodata.intake_wkb import decode

BLOCK = 16 << 20
"""Also the longest line of a CSV that is read."""


def read_csv(path: Path, layer: str | None, limits: Limits) -> Content:
    """Every cell is text as written: `007` stays `007`. A blank line is no row. UTF-8 (with mark or not) or GB 18030."""
    own = only_layer(path, layer, path.stem)
    encoding, how = encoding_of(path)
    header = header_of(path, encoding)
    check_extent(path, 0, len(header), limits)
    check_names(path, header)
    try:
        table = pyarrow.csv.read_csv(
            path,
            # Arrow knows utf-8 with its mark by itself, and hands other encodings to Python
            read_options=pyarrow.csv.ReadOptions(encoding=encoding.removesuffix("-sig"), block_size=BLOCK),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise UnreadableFile(path=str(path), reason=str(error)) from error
    check_extent(path, table.num_rows, 0, limits)
    note = Note("encoding", {"path": str(path), "encoding": encoding, "how": how})
    return Content(layer=own, columns=table, notes=(note,))


def encoding_of(path: Path) -> tuple[str, str]:
    """Encoding and how it was told. UTF-8 is tried on the whole file first: GB 18030 text almost never passes for it."""
    with path.open("rb") as file:
        if file.read(3) == codecs.BOM_UTF8:
            return "utf-8-sig", "byte order mark"
    for encoding in ("utf-8", "gb18030"):
        if _decodes(path, encoding):
            return encoding, "detected"
    raise UnreadableFile(path=str(path), reason="its text is neither UTF-8 nor GB 18030; save it as UTF-8")


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def header_of(path: Path, encoding: str) -> list[str]:
    """Names of the columns, parsed by Arrow itself from the first line."""
    with path.open(encoding=encoding, newline="") as file:
        line = file.readline(BLOCK)
        while line.count('"') % 2 and len(line) < BLOCK:  # a name with a line break in it
            more = file.readline(BLOCK)
            if not more:
                break
            line += more
        while line and not line.strip():  # blank lines before the header
            line = file.readline(BLOCK)
    options = pyarrow.csv.ReadOptions(autogenerate_column_names=True)
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    try:
        first = pyarrow.csv.read_csv(io.BytesIO(line.encode()), read_options=options, parse_options=parse)
    except pa.ArrowInvalid as error:
        raise UnreadableFile(path=str(path), reason=str(error)) from error
    return ["" if column[0].as_py() is None else str(column[0].as_py()) for column in first.columns]


def read_parquet(path: Path, layer: str | None, limits: Limits) -> Content:
    """Types are kept. The geometry is the primary column of the `geo` metadata, or a column that says it is WKB."""
    own = only_layer(path, layer, path.stem)
    try:
        file = pyarrow.parquet.ParquetFile(path)
        _check_metadata(path, file.metadata, limits)
        check_names(path, file.schema_arrow.names)
        table = file.read()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise UnreadableFile(path=str(path), reason=str(error)) from error
    name, crs = _geometry_of(path, table.schema)
    if name is None:
        return Content(layer=own, columns=table)
    at = table.schema.get_field_index(name)
    return Content(
        layer=own,
        columns=table.remove_column(at),
        geometry=decode(path, _storage(table.column(at)).to_pylist(), limits),
        geometry_name=name,
        geometry_at=at,
        crs=crs,
    )


def _check_metadata(path: Path, metadata: Any, limits: Limits) -> None:
    """Rows, columns and stated sizes, before any page is unpacked."""
    check_extent(path, metadata.num_rows, metadata.num_columns, limits)
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if size > 4 * limits.file:
        raise TooBig(path=str(path), what="unpacked", size=size, limit=4 * limits.file, name="file")


def _geometry_of(path: Path, schema: Any) -> tuple[str | None, CRS | None]:
    """Name and coordinate system of the geometry column (GeoParquet 1.1), or of a column of type geoarrow.wkb."""
    metadata = schema.metadata or {}
    if b"geo" in metadata:
        try:
            geo = json.loads(metadata[b"geo"])
            name, column = geo["primary_column"], geo["columns"][geo["primary_column"]]
            encoding, stated = column["encoding"], column.get("crs", "absent")
            field = schema.field(name)
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableFile(path=str(path), reason=f"its geo metadata is broken: {error!r}") from error
        if encoding != "WKB" or not _is_binary(field.type):
            raise UnreadableFile(path=str(path), reason=f"its geometry is encoded as {encoding}; write it as WKB")
        return str(name), _crs(path, stated)
    for field in schema:
        facts = field.metadata or {}
        if facts.get(b"ARROW:extension:name") in (b"geoarrow.wkb", b"ogc.wkb") or _extension(field) == "geoarrow.wkb":
            stated = json.loads(facts.get(b"ARROW:extension:metadata") or b"{}").get("crs")
            return field.name, _crs(path, stated)
    return None, None


def _extension(field: Any) -> str:
    return str(getattr(field.type, "extension_name", ""))


def _is_binary(kind: Any) -> bool:
    kind = getattr(kind, "storage_type", kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _storage(column: Any) -> Any:
    """The plain bytes behind an extension type."""
    kind = column.type
    return column.cast(kind.storage_type) if hasattr(kind, "storage_type") else column


def _crs(path: Path, stated: object) -> CRS | None:
    """Absent means WGS-84 lon, lat; null means that nobody knows."""
    if stated == "absent":
        return WGS84
    if stated is None:
        return None
    try:
        return plain_crs(CRS.from_user_input(stated))
    except CRSError as error:
        raise UnreadableFile(path=str(path), reason=f"its coordinate system is unknown: {error}") from error
