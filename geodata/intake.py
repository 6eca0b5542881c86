"""What may be opened at all: names, sizes, first bytes, and the words of refusal.

Every file is judged by its extension *and* by its first bytes before any library sees it: GDAL guesses a driver from
the content, so an OGR VRT named `b.geojson` would otherwise read another file of this disk, or a URL.
"""

from __future__ import annotations

import gc
import hashlib
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from routing.errors import JieguanError, Lang, Worded

Geometries = NDArray[np.object_]
"""shapely geometries or None, shape (n,)."""

WGS84 = CRS.from_epsg(4326)
"""Coordinates are always x, y (longitude first), whatever axis order the authority states."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a file we are willing to read. Sizes in bytes."""

    file: int = 2 << 30
    """The streets of a whole country in full detail fit in 1 GiB."""
    json: int = 512 << 20
    """Parsed JSON takes about ten times its size in memory."""
    unpacked: int = 1 << 30
    """All parts of a zipped shapefile together; the format itself ends at 2 GiB a part."""
    entries: int = 1_000
    """A shapefile has fewer than ten parts; some systems add as many of their own."""
    ratio: int = 500
    """Unpacked : packed. Real tables of blanks reach 200; deflate ends at 1032, where zip bombs live."""
    vertices: int = 1_000_000
    """Of one feature. The largest district outlines we know have 400,000; ten million is a mistake or an attack."""
    layer_vertices: int = 20_000_000
    """Of one layer of grounds: 320 MB of coordinates, several GB when it is compiled."""
    rows: int = 50_000_000
    columns: int = 2_000
    sqlite_steps: int = 2_000_000_000
    """Virtual machine steps for one GeoPackage: some 30 s. A plain read of 2 GiB takes a tenth."""


LIMITS = Limits()


class Format(StrEnum):
    GPKG = "GeoPackage"
    SHAPEFILE = "Shapefile"
    ZIP = "zip"
    GEOJSON = "GeoJSON"
    PARQUET = "Parquet"
    CSV = "CSV"


EXTENSIONS: Mapping[str, Format] = {
    ".gpkg": Format.GPKG,
    ".shp": Format.SHAPEFILE,
    ".zip": Format.ZIP,
    ".geojson": Format.GEOJSON,
    ".json": Format.GEOJSON,
    ".parquet": Format.PARQUET,
    ".geoparquet": Format.PARQUET,
    ".csv": Format.CSV,
}

NOTES: Mapping[str, tuple[str, str]] = {
    "encoding": ("{path}:文字按 {encoding} 读取({how})。", "{path}: text read as {encoding} ({how})."),
    "crs_member": ("{path}:采用文件中声明的坐标系 {crs}。", "{path}: the file's own crs member is used: {crs}."),
    "feature_id": ("{path}:要素的 id 作为“id”列。", "{path}: the features' own id is kept as the column 'id'."),
    "mixed_types": (
        "{path}:“{column}”列中类型不一,一律按文字保留。",
        "{path}: column {column!r} mixes types; all its values are kept as text.",
    ),
    "several_features": (
        "{path}:“{code}”有 {count} 个要素,合为一片地。",
        "{path}: {code!r} has {count} features; they are one ground.",
    ),
    "trimmed": (
        "{path}:“{field}”列有 {count} 个值首尾带空格,已按去掉空格读取。",
        "{path}: {count} values of {field!r} had blanks around them and were read without.",
    ),
    "default_duty": (
        "未指定值班中队:兜底的案件记在占位编码“{code}”名下。请用 --duty 或中队表的 duty 列指定真正的中队。",
        "No squad is on duty: what nothing else catches goes to the stand-in {code!r}. Name a real one by --duty, or in the "
        "column duty of the squads file.",
    ),
    "default_cycle": (
        "{path} 第 {row} 行:轮值协议未写 period,按月轮值。",
        "{path}, row {row}: alternate without a period; a turn is taken to last a month.",
    ),
    "default_kind": (
        "{path}:没有 kind 列,所有中队按属地中队(territorial)处理。",
        "{path}: no column kind; every squad is taken to be territorial.",
    ),
    "default_extent": (
        "未给出管辖范围(--extent):以全部辖区的并集、填满空洞为准。",
        "No extent was given (--extent): the union of the territories with its holes filled is assumed.",
    ),
    "chosen_work_crs": (
        "工作坐标系按范围选定:{code}({name}),长度变形不超过百万分之 {scale}。可用 --work-crs 指定。",
        "The work CRS was chosen from the extent: {code} ({name}), lengths true to {scale} ppm. Override by --work-crs.",
    ),
    "assumed_datum": (
        "未声明坐标基准:按 {datum} 处理。请用 --datum 说明。",
        "No datum was declared for the points: {datum} is assumed. State it by --datum.",
    ),
    "assumed_now": (
        "未给出时间:按现在({at})的归属派单。请用 --at 或 --at-field 指定。",
        "No time was given: routed as of now ({at}). State it by --at or --at-field.",
    ),
    "assumed_zone": (
        "有 {count} 个时间没有时区:按 {zone} 处理。请用 --timezone 指定。",
        "{count} times have no time zone and were read in {zone}. State it by --timezone.",
    ),
    "since": (
        "只取 {since} 起的 {kept} 行;另有 {earlier} 行更早,不计在内。",
        "{kept} rows are from {since} on; {earlier} earlier ones were left out.",
    ),
    "since_untimed": (
        "有 {count} 行的时间无法读出,不知是否在此时之后:不计在内。",
        "{count} rows have no readable time, so nobody knows whether they are from then on: they were left out.",
    ),
    "unschemed_category": (
        "{count} 行的类别(如“{sample}”)没有体系前缀,按“其他类别”派单。规则中的写法是“{known}”。",
        "{count} rows have a category without its scheme ({sample!r}) and were routed as any other category. Rules say {known!r}.",
    ),
    "other_times": (
        "只检查 {at} 生效的图形;其他时段的 {count} 个未检查(用 --at 指定时间)。",
        "Checked what is in force at {at}; {count} features of other times were left out (state a time with --at).",
    ),
    "case_field": (
        "有针对个案的指定:以“{field}”列为案件编号。可用 --case-field 指定。",
        "There are orders for single cases; the column {field!r} is taken as the case id. Override by --case-field.",
    ),
    "unchecked_scheme": (
        "{path}:类别体系“{scheme}”没有代码表,其代码未核对。",
        "{path}: the category scheme {scheme!r} has no table here; its codes are not checked.",
    ),
}


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know though nothing is wrong: an assumption made, a thing found. Data, not text."""

    code: str
    facts: Mapping[str, object] = field(default_factory=dict)

    def text(self, lang: Lang) -> str:
        """The sentence in one language."""
        zh, en = NOTES[self.code]
        return (zh if lang == "zh-CN" else en).format(**self.facts)


@dataclass(frozen=True, slots=True)
class Content:
    """What one layer of one file holds, before anybody asked what it means.

    `columns` excludes the geometry; `geometry_at` is the geometry's place among the columns of the file. `crs` None:
    the file does not say.
    """

    layer: str
    columns: Any
    geometry: Geometries | None = None
    geometry_name: str = "geometry"
    geometry_at: int = 0
    crs: CRS | None = None
    notes: tuple[Note, ...] = ()


WORDS: Mapping[str, tuple[str, str]] = {
    "size": ("大小(字节)", "the size (bytes)"),
    "unpacked": ("解压后大小(字节)", "the unpacked size (bytes)"),
    "rows": ("行数", "the number of rows"),
    "columns": ("列数", "the number of columns"),
    "steps": ("数据库步数", "the number of database steps"),
    "layer_vertices": ("图层顶点总数", "the number of vertices of the layer"),
}


class MissingFile(JieguanError):
    zh = "找不到文件“{path}”。只读取本机磁盘上的文件(不支持网址和 /vsi 路径):请检查路径,或先下载到本机。"
    en = (
        "There is no file {path!r}. Only files of this disk are read (no URLs, no /vsi paths): check the path, or "
        "download it first."
    )


class NotAFile(JieguanError):
    zh = "“{path}”不是普通文件(是目录、设备或管道),不予读取。请给出一个文件。"
    en = "{path!r} is a folder, a device or a pipe, and only plain files are read. Name a file."


class UnknownFormat(JieguanError):
    zh = "“{path}”的扩展名“{extension}”不在可读格式之列:{allowed}。其他格式请先转换为 GeoPackage。"
    en = (
        "The extension {extension!r} of {path!r} is none of the formats read here: {allowed}. Convert it to GeoPackage "
        "first."
    )


class NotWhatItSays(JieguanError):
    zh = (
        "“{path}”的扩展名是“{extension}”,内容却是{seen}:内容与名称不符的文件可能引向别的文件或网址,不予打开。"
        "请另存为“{extension}”真正的格式。"
    )
    en = (
        "{path!r} is named {extension!r} but holds {seen}: a file that is not what it says may lead to other files or "
        "addresses, so it is not opened. Save it again as what {extension!r} stands for."
    )


class EmptyFile(JieguanError):
    zh = "“{path}”是空文件({size} 字节):没有可读的内容。请检查导出或下载是否完成。"
    en = "{path!r} is empty ({size} bytes), so there is nothing to read. Check whether its export or download finished."


class TooBig(Worded):
    zh = "“{path}”的{what}为 {size},上限 {limit}:再多会耗尽内存。请拆分或简化文件,或调高 Limits.{name}。"
    en = (
        "{path!r}: {what} is {size} and the limit is {limit}, as more would exhaust the memory. Split or simplify the "
        "file, or raise Limits.{name}."
    )
    worded = "what"
    words = WORDS


class UnreadableFile(JieguanError):
    zh = "无法读取“{path}”:{reason}。文件可能已损坏或未传完:请重新导出后再试。"
    en = "{path!r} cannot be read: {reason}. It may be damaged or incomplete: export it again."


class NoSuchLayer(JieguanError):
    zh = "“{path}”中没有图层“{layer}”。现有图层:{layers}。请写成 文件::图层。"
    en = "{path!r} has no layer {layer!r}. Its layers: {layers}. Write FILE::LAYER."


class SeveralLayers(JieguanError):
    zh = "“{path}”有多个图层:{layers}。不会替您猜选哪一个:请写成 文件::图层。"
    en = "{path!r} has several layers: {layers}. None is guessed: write FILE::LAYER."


class NoGeometry(JieguanError):
    zh = "“{path}”没有几何列(现有列:{columns}):没有边界就无法确定归属。请给出带几何的图层。"
    en = (
        "{path!r} has no geometry column (its columns: {columns}); without outlines nothing can be placed. Give a layer "
        "with geometry."
    )


class TooManyVertices(JieguanError):
    zh = (
        "“{path}”第 {feature} 个要素有 {count} 个顶点,上限 {limit}:真实边界没有这么细,多为错误或攻击。"
        "请简化该要素(如 mapshaper 或 ogr2ogr -simplify),或调高 Limits.vertices。"
    )
    en = (
        "Feature {feature} of {path!r} has {count} vertices, the limit is {limit}: no real outline is that fine, so it "
        "is a mistake or an attack. Simplify the feature (mapshaper, ogr2ogr -simplify), or raise Limits.vertices."
    )


class BadGeometry(JieguanError):
    zh = "“{path}”第 {feature} 个要素的几何不可用:{reason}。不会替您修补:请在 GIS 软件中更正该要素后重新导出。"
    en = (
        "The geometry of feature {feature} of {path!r} is unusable: {reason}. It is not repaired for you: correct it in "
        "a GIS and export again."
    )


class DuplicateColumn(JieguanError):
    zh = "“{path}”有重名的列“{column}”:无法判断该用哪一列。请改名后重新导出。"
    en = "{path!r} has two columns named {column!r}, so it is unclear which one counts. Rename one and export again."


def split_spec(spec: str | Path) -> tuple[Path, str | None]:
    """`FILE::LAYER` -> file and layer. A file whose own name holds `::` wins."""
    text = str(spec)
    if "::" not in text or Path(text).is_file():
        return Path(text), None
    file, _, layer = text.rpartition("::")
    return Path(file), layer or None


def format_of(path: Path, limits: Limits = LIMITS) -> Format:
    """The format both the name and the first bytes agree on; everything else is refused. Touches no library."""
    extension = path.suffix.lower()
    if extension not in EXTENSIONS:
        raise UnknownFormat(path=str(path), extension=path.suffix, allowed=" ".join(EXTENSIONS))
    check_file(path, limits.json if EXTENSIONS[extension] is Format.GEOJSON else limits.file)
    with path.open("rb") as file:
        seen = sniff(file.read(4096))
    if seen != EXTENSIONS[extension]:
        raise NotWhatItSays(path=str(path), extension=extension, seen=seen)
    return EXTENSIONS[extension]


def check_file(path: Path, limit: int) -> None:
    """A plain file, not empty, not larger than `limit` bytes."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise MissingFile(path=str(path)) from error
    if not stat.S_ISREG(status.st_mode):
        raise NotAFile(path=str(path))
    if status.st_size == 0:
        raise EmptyFile(path=str(path), size=0)
    if status.st_size > limit:
        raise TooBig(path=str(path), what="size", size=status.st_size, limit=limit, name="file")


MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"SQLite format 3\0", Format.GPKG),
    (b"PAR1", Format.PARQUET),
    (b"PK\x03\x04", Format.ZIP),
    (b"PK\x05\x06", Format.ZIP),
    (b"\x00\x00\x27\x0a", Format.SHAPEFILE),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
    (b"%PDF", "PDF"),
    (b"\x1f\x8b", "gzip"),
)


def sniff(head: bytes) -> str:
    """What the first bytes of a file say it is: a Format, or the name of something else."""
    for magic, name in MAGIC:
        if head.startswith(magic):
            return name
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if b"\0" in head:
        return "binary"
    if text.startswith(b"{"):
        return Format.GEOJSON
    if text.startswith(b"<"):
        return "XML"
    return Format.CSV if text else "blank"


def digest(paths: Iterable[Path]) -> str:
    """SHA-256 of a file's bytes; of several parts: of each part's suffix, NUL and bytes, in the order given."""
    files = list(paths)
    seal = hashlib.sha256()
    for path in files:
        if len(files) > 1:
            seal.update(path.suffix.lower().encode() + b"\0")
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                seal.update(block)
    return seal.hexdigest()


def only_layer(path: Path, layer: str | None, own: str) -> str:
    """The layer of a format that holds one; asking for another is an error."""
    if layer is not None and layer != own:
        raise NoSuchLayer(path=str(path), layer=layer, layers=own)
    return own


def pick_layer(path: Path, layer: str | None, layers: list[str]) -> str:
    """The layer asked for, or the only one."""
    listed = ", ".join(layers)
    if layer is None and len(layers) > 1:
        raise SeveralLayers(path=str(path), layers=listed)
    if not layers or (layer is not None and layer not in layers):
        raise NoSuchLayer(path=str(path), layer=layer or "*", layers=listed or "-")
    return layers[0] if layer is None else layer


def check_names(path: Path, names: Iterable[str]) -> None:
    """Column names that occur once each."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DuplicateColumn(path=str(path), column=name)
        seen.add(name)


def check_extent(path: Path, rows: int, columns: int, limits: Limits) -> None:
    """Rows and columns within the limits."""
    if rows > limits.rows:
        raise TooBig(path=str(path), what="rows", size=rows, limit=limits.rows, name="rows")
    if columns > limits.columns:
        raise TooBig(path=str(path), what="columns", size=columns, limit=limits.columns, name="columns")


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection while millions of small objects are made: it would look at all of them again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def plain_crs(crs: CRS) -> CRS:
    """OGC:CRS84 and EPSG:4326 differ in axis order only, which we fix to x, y: one of them is enough."""
    return WGS84 if crs.to_authority() == ("OGC", "CRS84") else crs
