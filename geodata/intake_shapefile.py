"""Shapefiles: the one format left to GDAL, which sees only parts that were checked, in a folder of our own."""

from __future__ import annotations

import codecs
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pyproj import CRS
from pyproj.exceptions import CRSError

from geodata.intake import (
    BadGeometry,
    Content,
    Limits,
    NoSuchLayer,
    Note,
    UnreadableFile,
    check_extent,
    check_file,
    only_layer,
    pick_layer,
    plain_crs,
)
from geodata.intake_wkb import check_vertices, decode
from geodata.intake_zip import PARTS, shapefiles_in, unpack
from routing.errors import JieguanError

KINDS = frozenset({0, 1, 3, 5, 8, 11, 13, 15, 18, 21, 23, 25, 28})
"""Null, point, line, polygon, multipoint, and these with Z and M; 31 (MultiPatch, surfaces) is left out."""
CODE_PAGES: Mapping[str, str] = {"936": "gb18030", "54936": "gb18030", "65001": "utf-8", "88591": "latin-1"}
LDID: Mapping[int, str] = {0x4D: "gb18030", 0x4E: "cp949", 0x4F: "cp950", 0x7A: "gb18030", 0x03: "cp1252"}
"""Code page byte of the dbf header. 0x57, "whatever this computer uses", says nothing."""


class MissingPart(JieguanError):
    zh = "shapefile“{path}”缺少 {part}:没有它就读不出要素或属性。请把同名的 .shp .shx .dbf 放在一起。"
    en = (
        "The shapefile {path!r} lacks its {part}, without which its features or columns cannot be read. Put .shp .shx "
        ".dbf together."
    )


def read_shapefile(path: Path, layer: str | None, limits: Limits) -> Content:
    """A .shp with its parts beside it."""
    only_layer(path, layer, path.stem)
    with tempfile.TemporaryDirectory(prefix="jieguan-") as folder:
        parts = {}
        for part, source in parts_of(path).items():
            check_file(source, limits.file)
            parts[part] = Path(folder) / f"layer{part}"
            parts[part].symlink_to(source.resolve())
        return _read(path, path.stem, parts, limits)


def read_zip(path: Path, layer: str | None, limits: Limits) -> Content:
    """A zip with one shapefile in it, or `FILE::NAME` of one of several."""
    found = shapefiles_in(path, limits)
    if not found:
        raise NoSuchLayer(path=str(path), layer=layer or "*.shp", layers="-")
    chosen = pick_layer(path, layer, list(found))
    with tempfile.TemporaryDirectory(prefix="jieguan-") as folder:
        return _read(path, chosen, unpack(path, found[chosen], Path(folder), limits), limits)


def parts_of(path: Path) -> dict[str, Path]:
    """The parts beside a .shp, whatever the case of their names, in the order of PARTS."""
    beside = {other.suffix.lower(): other for other in sorted(path.parent.iterdir()) if other.stem == path.stem}
    beside[".shp"] = path
    return {part: beside[part] for part in PARTS if part in beside}


def _read(path: Path, layer: str, parts: Mapping[str, Path], limits: Limits) -> Content:
    from geodata.intake_gdal import pyogrio

    check_parts(path, parts, limits)
    encoding, how = encoding_of(path, parts)
    try:
        meta, table = pyogrio.read_arrow(parts[".shp"], encoding=encoding)
        table.validate(full=True)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.FeatureError, UnicodeDecodeError, ValueError) as error:
        raise UnreadableFile(path=str(path), reason=str(error)) from error
    names = list(table.schema.names)
    at = names.index(meta["geometry_name"] or "wkb_geometry")
    return Content(
        layer=layer,
        columns=table.remove_column(at),
        geometry=decode(path, table.column(at).to_pylist(), limits),
        geometry_at=at,
        crs=_crs(path, meta),
        notes=(Note("encoding", {"path": str(path), "encoding": encoding, "how": how}),),
    )


def check_parts(path: Path, parts: Mapping[str, Path], limits: Limits) -> None:
    """Headers, kinds, and by the index of records their places and vertices: before GDAL builds anything."""
    for part in (".shp", ".shx", ".dbf"):
        if part not in parts or parts[part].stat().st_size == 0:
            raise MissingPart(path=str(path), part=part)
    for part in (".shp", ".shx"):
        with parts[part].open("rb") as file:
            head = file.read(100)
        if head[:4] != b"\x00\x00\x27\x0a" or len(head) < 100 or int.from_bytes(head[32:36], "little") not in KINDS:
            raise UnreadableFile(path=str(path), reason=f"the header of its {part} is broken or of an unknown kind")
    index = np.fromfile(parts[".shx"], dtype=">i4", offset=100)
    if index.size % 2:
        raise UnreadableFile(path=str(path), reason="its .shx is cut off")
    check_records(path, parts[".shp"], index.reshape(-1, 2).astype(np.int64) * 2, limits)
    _check_table(path, parts[".dbf"], limits)


def check_records(path: Path, shp: Path, index: np.ndarray[Any, Any], limits: Limits) -> None:
    """`index`: (n, 2) offset and length in bytes. Records lie inside the file and are not too fine."""
    outside = (index[:, 0] < 100) | (index[:, 1] < 0) | (index.sum(axis=1) + 8 > shp.stat().st_size)
    if outside.any():
        number = int(np.flatnonzero(outside)[0]) + 1
        raise BadGeometry(path=str(path), feature=number, reason="its record lies outside the .shp")
    with shp.open("rb") as file:
        for row in np.flatnonzero(index[:, 1] > 16 * limits.vertices):
            file.seek(int(index[row, 0]) + 8 + 40)
            points = int.from_bytes(file.read(4), "little")
            check_vertices(path, int(row) + 1, points, limits)


def _check_table(path: Path, dbf: Path, limits: Limits) -> None:
    with dbf.open("rb") as file:
        head = file.read(32)
    if len(head) < 32:
        raise UnreadableFile(path=str(path), reason="its .dbf is cut off")
    rows, start, width = (int.from_bytes(head[a:b], "little") for a, b in ((4, 8), (8, 10), (10, 12)))
    check_extent(path, rows, start // 32, limits)
    if start < 33 or dbf.stat().st_size < start + rows * width:
        raise UnreadableFile(path=str(path), reason="its .dbf is shorter than its header states")


def encoding_of(path: Path, parts: Mapping[str, Path]) -> tuple[str, str]:
    """Encoding of the texts and where it is from: the .cpg, the dbf header, or what the bytes allow."""
    data = parts[".dbf"].read_bytes()
    start = int.from_bytes(data[8:10], "little")
    declared = _declared(parts, data[29])
    if declared:
        if _decodes(data[32:start] + data[start:], declared):
            return declared, "declared"
        raise UnreadableFile(path=str(path), reason=f"its texts are not {declared}, as its .cpg or .dbf states")
    for encoding in ("utf-8", "gb18030"):
        if _decodes(data[start:], encoding):
            return encoding, "detected"
    reason = "its texts are neither UTF-8 nor GB 18030; state the encoding in a .cpg"
    raise UnreadableFile(path=str(path), reason=reason)


def _declared(parts: Mapping[str, Path], code_page: int) -> str | None:
    if ".cpg" in parts:
        with parts[".cpg"].open("rb") as file:
            stated = file.read(64).decode("ascii", errors="replace").strip()
        try:
            name = codecs.lookup(CODE_PAGES.get(stated, f"cp{stated}" if stated.isdigit() else stated)).name
        except LookupError:
            name = ""
        if name:
            return "gb18030" if name in ("gbk", "gb2312") else name
    return LDID.get(code_page)


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _crs(path: Path, meta: Mapping[str, Any]) -> CRS | None:
    if not meta["crs"]:
        return None
    try:
        return plain_crs(CRS.from_user_input(meta["crs"]))
    except CRSError as error:
        raise UnreadableFile(path=str(path), reason=f"its .prj is not understood: {error}") from error
