"""Layers out: rows of a map as GeoPackage, zipped Shapefiles or GeoJSON, for GIS programs and other bureaus. Never a case.

    export(rows, settings, "city.gpkg", about)

Each layer has its rows' code, name, facts, dates and provenance as plain columns under the names that the engine's own files
have, so that what was exported can be imported again, ground to the very millimetre (that is checked while exporting). A
GeoPackage carries QGIS styles in `layer_styles`, and in the table `jieguan` what it is a copy of: an edited copy comes back as
edits of that draft (`upload.py`).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyproj
import shapely

from geodata.crs import System, crs_text, geometries_from_work, geometries_to_work, parse_crs, system
from geodata.db.guard import refuse_live
from geodata.intake import Geometries, UnknownFormat
from geodata.layer import LayerName, Row, in_metres, on_grid, settings_said
from geodata.written import GPKG_VERSION, CannotWrite, common_type, whole_file
from routing.errors import JieguanError, Lang
from routing.ground.certificate import said_of
from routing.jurisdiction import Settings
from routing.model import (
    Agreement,
    Category,
    ClaimId,
    Designation,
    DirectCategory,
    NotServed,
    Squad,
    SquadCode,
    Territory,
    Township,
)

FORMAT = "jieguan-layers/1"
ABOUT = "jieguan"
"""The table that says what the file is a copy of."""
STYLES = Path(__file__).parent / "styles"
DEFAULT_CRS = "EPSG:4490"
SUFFIXES = (".gpkg", ".zip", ".geojson", ".json")

WITH_GROUND = (
    LayerName.EXTENT, LayerName.TOWNSHIP, LayerName.TERRITORY, LayerName.BORDER, LayerName.AGREEMENT, LayerName.DESIGNATION,
    LayerName.NOT_SERVED,
)  # fmt: skip
"""Exported as layers even where no row has ground yet; the others as tables unless one has."""

Cell = str | int | float | bool | None


class NotExact(JieguanError):
    zh = "图层 {layer} 的“{code}”换算到 {crs} 再换回来,与原来差了不止半毫米:再导入就不是同一条边界。请改用 EPSG:4490 或工作坐标系 {work}。"
    en = (
        "{code!r} of the layer {layer} does not come back from {crs} to the same millimetre: imported again it would be another "
        "border. Export in EPSG:4490, or in the work CRS {work}."
    )


class CrsHasNoCode(JieguanError):
    zh = "坐标系“{crs}”没有 EPSG 代号,写不进 GeoJSON。请换一个有代号的坐标系,或导出为 GeoPackage。"
    en = "The coordinate system {crs!r} has no EPSG code, and a GeoJSON names it by nothing else. Choose another, or export a GeoPackage."


@dataclass(frozen=True, slots=True)
class About:
    """What an export is a copy of. `draft` and `revision`: of a draft; else `version` alone."""

    version: str
    exported_at: datetime
    draft: str = ""
    revision: int = 0

    def said(self, settings: Settings, crs: pyproj.CRS) -> dict[str, str]:
        """As the table `jieguan` has it."""
        settled = json.dumps(settings_said(settings), sort_keys=True)
        return {
            "format": FORMAT, "version": self.version, "draft": self.draft, "revision": str(self.revision),
            "work_crs": settings.work_crs, "settings": settled, "crs": crs_text(crs),
            "exported_at": self.exported_at.astimezone(UTC).isoformat(timespec="seconds"),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """Something done to the content that a person should know. Data, not text."""

    code: str
    facts: Mapping[str, object] = field(default_factory=dict)

    def text(self, lang: Lang) -> str:
        """The sentence in one language."""
        zh, en = TOLD[self.code]
        return (zh if lang == "zh-CN" else en).format(**self.facts)


TOLD: Mapping[str, tuple[str, str]] = {
    "short_names": (
        "Shapefile 的列名至多 10 个字母,图层 {layer} 的列名已缩短:{names}(对照表见压缩包内 fields.csv)。",
        "A Shapefile's column names end at ten letters; of the layer {layer} these were cut: {names} (fields.csv in the zip lists them).",
    ),
    "cut_text": (
        "Shapefile 的文字至多 254 字节,图层 {layer} 的“{column}”列有 {count} 个值被截断。要完整内容请导出 GeoPackage。",
        "A Shapefile's texts end at 254 bytes; {count} values of {column!r} in the layer {layer} were cut. A GeoPackage has them whole.",
    ),
    "layers": (
        "已写出 {path}({crs}):{layers}。",
        "Written: {path} ({crs}): {layers}.",
    ),
}


@dataclass(frozen=True, slots=True)
class Exported:
    """A file written. `rows`: how many of each layer."""

    path: Path
    crs: str
    rows: Mapping[str, int]
    told: tuple[Told, ...]


# ---- a row as cells --------------------------------------------------------------------------------------------------

CODE_COLUMN = {LayerName.AGREEMENT: "id", LayerName.DESIGNATION: "id"}
"""Where the engine's files call a row's code something else than `code`."""
RENAMED = {"cycle": "period"}
"""Facts that have another name as columns."""
OWN = ("name", "since", "until", "document", "source", "licence", "datum", "line_accuracy_m")
"""Columns of every layer, besides the code and the facts. `line_accuracy_m` is the row's accuracy; the `accuracy_m` of a
territory is what its claim states and the engine routes by."""
AMOUNTS = frozenset({"line_accuracy_m", "accuracy_m", "zone_m", "lon", "lat"})
"""Columns of numbers, also where nobody has one yet."""
LIST = "|"


def code_column(layer: LayerName) -> str:
    """The column that holds the code."""
    return CODE_COLUMN.get(layer, "code")


def blank_facts(layer: LayerName, code: str) -> dict[str, Any]:
    """The facts of a row that says nothing yet, each with a value of its kind."""
    named = ClaimId(f"{layer.value}:{code}")
    nobody = SquadCode("")
    claims = {
        LayerName.TOWNSHIP: Township(id=named, code=code),
        LayerName.TERRITORY: Territory(id=named, squad=nobody),
        LayerName.AGREEMENT: Agreement(id=named, parties=(nobody, nobody)),
        LayerName.DESIGNATION: Designation(id=named, squad=nobody),
        LayerName.NOT_SERVED: NotServed(id=named, authority=""),
        LayerName.DIRECT: DirectCategory(id=named, category=Category(""), squad=nobody),
    }
    if layer is LayerName.SQUAD:
        return said_of(Squad(SquadCode(code)))
    if layer is LayerName.BORDER:
        return {"sides": [], "line_rule": None, "status": None, "zone_m": None}
    if layer not in claims:
        return {}
    return {k: v for k, v in said_of(claims[layer]).items() if k not in ("since", "until", "document")}


def cells_of(row: Row) -> dict[str, Cell]:
    """A row but for its ground, as plain values by column. What follows from the layer and the code is left out."""
    facts: dict[str, Cell] = {}
    for key, value in row.facts.items():
        if not implied(row, key):
            facts |= fact_cells(row.layer, key, value)
    since, until = (None if t is None else t.isoformat() for t in (row.since, row.until))
    own = (row.name, since, until, row.document, row.source, row.licence, row.datum, row.accuracy_m)
    return {code_column(row.layer): row.code, "name": None, **facts} | {k: None if v == "" else v for k, v in zip(OWN, own, strict=True)}


def implied(row: Row, key: str) -> bool:
    """Whether a fact follows from the rest of the row, so that it needs no column."""
    value = row.facts[key]
    return key == "id" or (key == "kind" and value == row.layer.value) or (key in ("code", "name") and value == getattr(row, key))


def fact_cells(layer: LayerName, key: str, value: Any) -> dict[str, Cell]:
    """A fact as cells: lists joined by '|', anything deeper as JSON; an office as `lon` and `lat`."""
    if key == "office":
        lon, lat = (None, None) if value is None else (float(value[0]), float(value[1]))
        return {"lon": lon, "lat": lat}
    name = fact_column(layer, key)
    if key in ("accuracy_m", "zone_m"):
        return {name: None if value is None else float(value)}
    if value is None or isinstance(value, bool | int | str):
        return {name: value}
    if isinstance(value, list | tuple) and all(isinstance(v, str) and LIST not in v for v in value):
        return {name: LIST.join(value) or None}
    return {name: json.dumps(value, ensure_ascii=False, sort_keys=True)}


def fact_column(layer: LayerName, key: str) -> str:
    """The column of a fact; never one of a row's own."""
    name = RENAMED.get(key, key)
    return f"fact_{name}" if name in (code_column(layer), *OWN) else name


def changed_fields(old: Row | None, new: Row) -> tuple[str, ...]:
    """The columns in which two rows differ; `ground` among them. Of a new row: none in particular, '*'."""
    if old is None:
        return ("*",)
    one, other = cells_of(old), cells_of(new)
    differ = tuple(name for name in {**one, **other} if one.get(name) != other.get(name))
    return (*differ, "ground") if old.wkb != new.wkb else differ


def columns_of(layer: LayerName, rows: Sequence[Mapping[str, Cell]]) -> list[str]:
    """All columns of a layer: those of a blank row, then what some row has besides, then provenance."""
    blank = cells_of(Row(layer, "", blank_facts(layer, "")))
    more = sorted({name for row in rows for name in row} - blank.keys())
    first = [name for name in blank if name not in OWN[1:]]
    return [*first, *more, *OWN[1:]]


# ---- the file --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """One layer, ready to be written. `shapes`: in the export's CRS; None for a table."""

    layer: LayerName
    columns: Mapping[str, Sequence[Cell]]
    shapes: Geometries | None

    @property
    def name(self) -> str:
        """As the file calls it."""
        return self.layer.value

    def arrays(self) -> dict[str, Any]:
        """Arrow columns, one type each."""
        blank = cells_of(Row(self.layer, "", blank_facts(self.layer, "")))
        return {name: arrow(values, 0.0 if name in AMOUNTS else blank.get(name)) for name, values in self.columns.items()}


def export(
    rows: Iterable[Row], settings: Settings, out: str | Path, about: About, *, crs: str = DEFAULT_CRS, layer: LayerName | None = None
) -> Exported:
    """Write a map's layers, or one of them, whole or not at all; what was there is replaced. By suffix: .gpkg, .zip
    (Shapefiles), .geojson. Raises UnknownFormat, UnknownCrs, NotExact, CannotWrite."""
    path = Path(out)
    refuse_live(path)
    if path.suffix.lower() not in SUFFIXES:
        raise UnknownFormat(path=str(path), extension=path.suffix, allowed=" ".join(SUFFIXES))
    if not path.parent.is_dir():
        raise CannotWrite(path=str(path), reason=f"there is no folder {str(path.parent)!r}")
    target = parse_crs(crs)
    sheets = list(sheets_of(rows, settings, target, layer))
    said = about.said(settings, target)
    write = {".gpkg": _write_gpkg, ".zip": _write_zip}.get(path.suffix.lower(), _write_geojson)
    with whole_file(path) as file:
        told = write(file, sheets, target, said)
    return Exported(path, crs_text(target), {s.name: len(s.columns[code_column(s.layer)]) for s in sheets}, tuple(told))


def sheets_of(rows: Iterable[Row], settings: Settings, crs: pyproj.CRS, only: LayerName | None = None) -> Iterator[Sheet]:
    """The layers of a map in their order, rows in the order of their keys. Raises NotExact."""
    by_layer: dict[LayerName, list[Row]] = {name: [] for name in LayerName if only in (None, name)}
    for row in sorted(rows, key=lambda r: r.key):
        if row.layer in by_layer:
            by_layer[row.layer].append(row)
    work, of = parse_crs(settings.work_crs), system(crs, None)
    for name, some in by_layer.items():
        cells = [cells_of(row) for row in some]
        columns = {column: [row.get(column) for row in cells] for column in columns_of(name, cells)}
        drawn = name in WITH_GROUND or any(row.ground is not None for row in some)
        yield Sheet(name, columns, shapes_of(some, of, work) if drawn else None)


def shapes_of(rows: Sequence[Row], of: System, work: pyproj.CRS) -> Geometries:
    """Grounds in another system, shells counter-clockwise; None where a row has none. Raises NotExact."""
    metres: Geometries = np.array([in_metres(row.ground) for row in rows] + [None], object)[:-1]
    shapes: Geometries = shapely.orient_polygons(geometries_from_work(metres, of, work))
    again = geometries_to_work(shapes, of, work)
    for row, shape in zip(rows, again, strict=True):
        if row.ground is not None and not shapely.equals_identical(on_grid(shape), row.ground):
            raise NotExact(layer=row.layer.value, code=row.code, crs=of.text, work=crs_text(work))
    return shapes


def arrow(values: Sequence[Cell], like: Cell = None) -> Any:
    """An Arrow array of the one kind all values are of, else of texts; of nothing but None: the kind of `like`."""
    kinds: set[type] = {type(v) for v in values if v is not None} or {type(like)}
    for kind, made in ((bool, pa.bool_()), (int, pa.int64()), (float, pa.float64())):
        if kinds == {kind}:
            return pa.array(values, made)
    if kinds == {int, float}:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    return pa.array([None if v is None else str(v) for v in values], pa.string())


@contextmanager
def _configured(said: Mapping[str, str]) -> Iterator[None]:
    """GDAL writes the time of writing: the export's own makes the same content the same bytes. It need not sync each of a dozen
    layers, as the whole file is synced at the end."""
    from geodata.intake_gdal import pyogrio

    ours = {"OGR_CURRENT_DATE": said["exported_at"].replace("+00:00", ".000Z"), "OGR_SQLITE_SYNCHRONOUS": "OFF"}
    pyogrio.set_gdal_config_options(ours)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(dict.fromkeys(ours))


# ---- GeoPackage ------------------------------------------------------------------------------------------------------

GEOMETRY = "geom"


def _write_gpkg(file: Path, sheets: Sequence[Sheet], crs: pyproj.CRS, said: Mapping[str, str]) -> list[Told]:
    with _configured(said):
        for sheet in sheets:
            _gpkg_layer(file, sheet, crs)
        about = {"key": pa.array(list(said)), "value": pa.array(list(said.values()))}
        _gpkg_table(file, ABOUT, pa.table(about), "fid")
        _gpkg_table(file, "layer_styles", _styles([s.name for s in sheets if s.shapes is not None], said), "id")
    return []


def _gpkg_layer(file: Path, sheet: Sheet, crs: pyproj.CRS) -> None:
    from geodata.intake_gdal import pyogrio

    arrays = sheet.arrays()
    if sheet.shapes is None:
        _gpkg_table(file, sheet.name, pa.table(arrays), "fid")
        return
    wkb = pa.array(shapely.to_wkb(sheet.shapes, flavor="iso"), pa.binary())
    pyogrio.write_arrow(
        pa.table({**arrays, GEOMETRY: wkb}), file, driver="GPKG", layer=sheet.name, append=file.exists(), geometry_name=GEOMETRY,
        geometry_type=geometry_type(sheet), crs=gdal_crs(crs), GEOMETRY_NAME=GEOMETRY, FID="fid", VERSION=GPKG_VERSION,
    )  # fmt: skip


def _gpkg_table(file: Path, name: str, table: Any, key: str) -> None:
    from geodata.intake_gdal import pyogrio

    pyogrio.write_arrow(table, file, driver="GPKG", layer=name, append=file.exists(), FID=key, VERSION=GPKG_VERSION)


def geometry_type(sheet: Sheet) -> str:
    """The one type of a layer's shapes; of an empty layer what it is meant to hold."""
    assert sheet.shapes is not None
    if all(s is None for s in sheet.shapes):
        return "MultiLineString" if sheet.layer is LayerName.BORDER else "MultiPolygon"
    return common_type(sheet.shapes)


def gdal_crs(crs: pyproj.CRS) -> str:
    """By its code where it has one, so that GDAL need not guess it back."""
    code = crs.to_authority()
    return ":".join(code) if code else crs.to_wkt()


def _styles(names: Sequence[str], said: Mapping[str, str]) -> Any:
    """QGIS's own table: a style named as the layer, its default. Empty texts, not nulls: QGIS asks for ''."""
    drawn = [name for name in names if style_of(name)]
    same = len(drawn)
    at = datetime.fromisoformat(said["exported_at"])
    texts: dict[str, Sequence[str | None]] = {
        "f_table_catalog": [""] * same, "f_table_schema": [""] * same, "f_table_name": drawn, "f_geometry_column": [GEOMETRY] * same,
        "styleName": drawn, "styleQML": [style_of(name) for name in drawn], "styleSLD": [""] * same,
    }  # fmt: skip
    more: dict[str, Sequence[str | None]] = {"description": ["jieguan 界管"] * same, "owner": [""] * same, "ui": [None] * same}
    return pa.table(  # with types: a file of rules alone has no layer that is drawn
        {
            **{name: pa.array(values, pa.string()) for name, values in texts.items()},
            "useAsDefault": pa.array([True] * same, pa.bool_()),
            **{name: pa.array(values, pa.string()) for name, values in more.items()},
            "update_time": pa.array([at] * same, pa.timestamp("ms", "UTC")),
        }
    )


def style_of(layer: str) -> str:
    """The QML of a layer; empty where it has none."""
    path = STYLES / f"{layer}.qml"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


# ---- Shapefile -------------------------------------------------------------------------------------------------------

NAME_BYTES, TEXT_BYTES = 10, 254
"""What a dbf column's name and text may take (dBASE III)."""


def short_names(columns: Sequence[str]) -> dict[str, str]:
    """Column -> a name of at most ten bytes, none twice: cut, with a number where cutting makes two alike."""
    short: dict[str, str] = {}
    for name in columns:
        made, n = cut(name, NAME_BYTES), 0
        while made.casefold() in {s.casefold() for s in short.values()}:
            n += 1
            made = cut(name, NAME_BYTES - len(str(n)) - 1) + f"_{n}"
        short[name] = made
    return short


def cut(text: str, limit: int) -> str:
    """The longest beginning of a text that takes no more bytes than that in UTF-8."""
    return text.encode()[:limit].decode(errors="ignore")


def _write_zip(file: Path, sheets: Sequence[Sheet], crs: pyproj.CRS, said: Mapping[str, str]) -> list[Told]:
    """One Shapefile a layer (a table is a lone .dbf), with its .qml; fields.csv, and about.json."""
    told: list[Told] = []
    parts = file.parent / "parts"
    parts.mkdir()
    lines = ["layer,column,field"]
    for sheet in sheets:
        short = short_names(list(sheet.columns))
        lines += [f"{sheet.name},{column},{name}" for column, name in short.items()]
        if renamed := {c: s for c, s in short.items() if c != s}:
            told.append(Told("short_names", {"layer": sheet.name, "names": ", ".join(f"{c} → {s}" for c, s in renamed.items())}))
        told += _shapefile(parts, sheet, short, crs, said)
        if sheet.shapes is not None and (style := style_of(sheet.name)):
            (parts / f"{sheet.name}.qml").write_text(style, encoding="utf-8")
    (parts / "fields.csv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    (parts / "about.json").write_text(json.dumps(said, ensure_ascii=False, indent=2), encoding="utf-8")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in sorted(parts.iterdir()):
            entry = zipfile.ZipInfo(part.name)  # dated 1980: the same content is the same bytes
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, part.read_bytes())
    return told


def _shapefile(folder: Path, sheet: Sheet, short: Mapping[str, str], crs: pyproj.CRS, said: Mapping[str, str]) -> Iterator[Told]:
    from geodata.intake_gdal import pyogrio

    arrays = {}
    for column, values in sheet.columns.items():
        made = arrow([("true" if v else "false") if isinstance(v, bool) else v for v in values])
        if pa.types.is_string(made.type):
            whole = made.to_pylist()
            kept = [None if v is None else cut(v, TEXT_BYTES) for v in whole]
            if count := sum(a != b for a, b in zip(whole, kept, strict=True)):
                yield Told("cut_text", {"layer": sheet.name, "column": column, "count": count})
            made = pa.array(kept, pa.string())
        arrays[short[column]] = made
    options = {"driver": "ESRI Shapefile", "encoding": "UTF-8", "DBF_DATE_LAST_UPDATE": said["exported_at"][:10]}
    if sheet.shapes is None:
        pyogrio.write_arrow(pa.table(arrays), folder / f"{sheet.name}.dbf", **options)
        return
    wkb = pa.array(shapely.to_wkb(sheet.shapes, flavor="iso"), pa.binary())
    pyogrio.write_arrow(
        pa.table({**arrays, "wkb_geometry": wkb}), folder / f"{sheet.name}.shp", geometry_name="wkb_geometry",
        geometry_type=geometry_type(sheet).removeprefix("Multi"), crs=gdal_crs(crs), **options,
    )  # fmt: skip


# ---- GeoJSON ---------------------------------------------------------------------------------------------------------


def _write_geojson(file: Path, sheets: Sequence[Sheet], crs: pyproj.CRS, said: Mapping[str, str]) -> list[Told]:
    """One collection; each feature's property `layer` tells whose it is. RFC 7946, but for the `crs` member of 2008 where the
    degrees are not WGS-84's: without it nobody could tell."""
    code = crs.to_authority()
    if code is None:
        raise CrsHasNoCode(crs=crs.name)
    head: dict[str, Any] = {"type": "FeatureCollection", ABOUT: dict(said)}
    if code not in (("EPSG", "4326"), ("OGC", "CRS84")):
        head["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:{code[0]}::{code[1]}"}}
    with file.open("w", encoding="utf-8", newline="\n") as out:
        out.write(_json(head)[:-1] + ',"features":[')
        out.write(",".join("\n" + line for sheet in sheets for line in _features(sheet)))
        out.write("\n]}\n")
    return []


def _features(sheet: Sheet) -> Iterator[str]:
    names = list(sheet.columns)
    shapes = [None] * len(sheet.columns[names[0]]) if sheet.shapes is None else shapely.to_geojson(sheet.shapes)
    for values, shape in zip(zip(*sheet.columns.values(), strict=True), shapes, strict=True):
        properties = {"layer": sheet.name, **dict(zip(names, values, strict=True))}
        yield f'{{"type":"Feature","properties":{_json(properties)},"geometry":{shape or "null"}}}'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
