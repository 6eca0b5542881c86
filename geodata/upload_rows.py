"""The cells and shapes of an uploaded file as rows of a map, each taken or refused with its reason.

A copy of an export is compared with what was exported, cell by cell as it was written, so that what its author left alone
stays what it was to the byte. In any other file a row is new, or says how an existing one is to be.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyproj
import shapely

from geodata.build import widened
from geodata.crs import System, check_declared, geometries_to_work, parse_crs, system
from geodata.db.both import canonical
from geodata.exporting import (
    LIST,
    OWN,
    blank_facts,
    cells_of,
    code_column,
    columns_of,
    fact_cells,
    implied,
    short_names,
)
from geodata.intake import WGS84, Geometries
from geodata.layer import CLAIM_LAYERS, COVERAGES, LayerName, Row, claim_in, in_metres, on_grid, squad_in
from geodata.rows import NO, YES, as_text
from geodata.rows import Row as Line
from geodata.times import zone_named
from geodata.upload import Sheet, Uploaded
from routing.errors import JieguanError, Lang
from routing.jurisdiction import Settings


class WhichLayer(JieguanError):
    zh = "“{path}”中的“{name}”不是地图的图层({known}):不知道它的行是什么。请把图层改成其中一个名称,或指明图层(--layer)。"
    en = "{name!r} in {path!r} is no layer of a map ({known}), so nobody knows what its rows are. Rename it, or state the layer (--layer)."


class BadCell(JieguanError):
    zh = "图层 {layer} 第 {row} 行(“{code}”):“{field}”的值“{value}”读不懂({why})。请更正该值。"
    en = "Layer {layer}, row {row} ({code!r}): {field!r} is {value!r}, which means nothing here ({why}). Correct it."


class CodeMissing(JieguanError):
    zh = "图层 {layer} 第 {row} 行没有编号(“{field}”为空):无法知道说的是谁。请补上编号。"
    en = "Layer {layer}, row {row} has no code ({field!r} is empty), so nobody knows whom it is about. Fill it in."


class UnknownParty(JieguanError):
    zh = "图层 {layer} 第 {row} 行(“{code}”):“{field}”中的中队“{value}”不在地图上。请更正,或在同一文件的 squad 表中加上它。"
    en = (
        "Layer {layer}, row {row} ({code!r}): {field!r} names the squad {value!r}, which the map does not have. Correct it, or add it to "
        "the table squad."
    )


class SaidTwice(JieguanError):
    zh = "图层 {layer} 的编号“{code}”在第 {first} 行和第 {row} 行说法不同({fields}):无法判断以哪行为准。请删去一行,或改用不同编号。"
    en = (
        "Layer {layer}: rows {first} and {row} have one code, {code!r}, and differ in {fields}, so it is unclear which holds. Delete "
        "one, or recode it."
    )


class GroundMissing(JieguanError):
    zh = "图层 {layer} 第 {row} 行(“{code}”)没有图形:没有地块,这一行就没有意义。请画出边界,或删去该行。"
    en = (
        "Layer {layer}, row {row} ({code!r}) has no shape, or an empty one, and without ground it says nothing here. Draw it, or "
        "delete the row."
    )


class GroundInvalid(JieguanError):
    zh = "图层 {layer} 第 {row} 行(“{code}”)的图形不合法({reason}):哪里算在内无法确定。不会替您修补,请在 GIS 软件中更正。"
    en = (
        "Layer {layer}, row {row} ({code!r}): the shape is invalid ({reason}), so what lies inside is open. It is not mended for you: "
        "correct it in a GIS."
    )


class GroundOfWrongKind(JieguanError):
    zh = "图层 {layer} 第 {row} 行(“{code}”)的图形是 {kind},这里要用 {wanted}。请重画。"
    en = "Layer {layer}, row {row} ({code!r}): the shape is a {kind}, and here it must be {wanted}. Draw it again."


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row of the file that is not taken, and why."""

    layer: str
    code: str
    why: JieguanError


@dataclass(frozen=True, slots=True)
class Aside:
    """Something a person should know of how the file was read. Data, not text."""

    code: str
    facts: Mapping[str, object] = field(default_factory=dict)

    def text(self, lang: Lang) -> str:
        """The sentence in one language."""
        zh, en = ASIDES[self.code]
        return (zh if lang == "zh-CN" else en).format(**self.facts)


ASIDES: Mapping[str, tuple[str, str]] = {
    "ignored": (
        "图层 {layer} 的列 {columns} 不属于地图,未读取。",
        "The columns {columns} of the layer {layer} are none of a map's and were not read.",
    ),
    "flattened": (
        "图层 {layer} 有 {count} 个图形带高程或量测值(Z/M),只读取平面坐标。",
        "{count} shapes of the layer {layer} have heights or measures (Z, M); only their plane coordinates were read.",
    ),
    "several": (
        "图层 {layer} 的“{code}”有 {count} 个要素,合为一片地。",
        "{code!r} of the layer {layer} has {count} features; they are one ground.",
    ),
    "not_a_layer": (
        "“{path}”中的“{name}”不是地图的图层,未读取。",
        "{name!r} in {path!r} is no layer of a map and was not read.",
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """An uploaded file as rows. `whole`: layers it holds completely, so that a row it lacks was taken out by its author."""

    rows: tuple[Row, ...]
    whole: frozenset[LayerName]
    refused: tuple[Refusal, ...]
    asides: tuple[Aside, ...]


def rows_in(
    uploaded: Uploaded,
    like: Iterable[Row],
    settings: Settings,
    *,
    layer: LayerName | None = None,
    datum: str | None = None,
    timezone: str = "Asia/Shanghai",
) -> Read:
    """The rows of a file. `like`: the map that it was made from, or is meant for.

    `layer`: what a file with one layer of another name holds. `datum`: the shift its degrees carry. A whole layer is refused
    where its coordinates contradict their declaration (NoCrs, NotDegrees, UnknownDatum ...), a row where only it is at fault.
    """
    known = tuple(like)
    work, zone = parse_crs(settings.work_crs), zone_named(timezone)
    sheets, asides = _sheets_by_layer(uploaded, layer)
    squads = {r.code for r in known if r.layer is LayerName.SQUAD} | {
        as_text(c) for name, sheet in sheets if name is LayerName.SQUAD for c in sheet.columns.get("code", ())
    }
    rows: list[Row] = []
    refused: list[Refusal] = []
    for name, sheet in sheets:
        understood = _Sheet(name, _long_names(name, sheet), tuple(r for r in known if r.layer is name), zone, squads, work, datum)
        more, no, said = understood.read()
        rows, refused, asides = rows + more, refused + no, asides + said
    whole = frozenset(name for name, _ in sheets) if uploaded.about is not None else frozenset()
    return Read(tuple(sorted(rows, key=lambda r: r.key)), whole, tuple(refused), tuple(asides))


def _sheets_by_layer(uploaded: Uploaded, layer: LayerName | None) -> tuple[list[tuple[LayerName, Sheet]], list[Aside]]:
    """Which layer of a map each sheet is: by its name, by the column `layer` of a GeoJSON, or as stated. Raises WhichLayer."""
    known = {name.value: name for name in LayerName}
    found: list[tuple[LayerName, Sheet]] = []
    asides = []
    for sheet in uploaded.sheets:
        named = [as_text(v) for v in sheet.columns.get("layer", ())]
        if layer is not None and len(uploaded.sheets) == 1:
            found.append((layer, sheet))
        elif sheet.name in known:
            found.append((known[sheet.name], sheet))
        elif named and set(named) <= known.keys():
            parts = {name: [i for i, one in enumerate(named) if one == name] for name in dict.fromkeys(named)}
            found += [(known[name], _without_blanks(sheet.taken(some))) for name, some in parts.items()]
        elif len(uploaded.sheets) > 1:
            asides.append(Aside("not_a_layer", {"path": uploaded.name, "name": sheet.name}))
        else:
            raise WhichLayer(path=uploaded.name, name=sheet.name if not named else ", ".join(sorted(set(named))), known=", ".join(known))
    if not found:
        raise WhichLayer(path=uploaded.name, name=", ".join(s.name for s in uploaded.sheets), known=", ".join(known))
    return found, asides


def _without_blanks(sheet: Sheet) -> Sheet:
    """Of a collection of several layers each has the columns of all: those nobody of this layer fills are not its own."""
    columns = {k: v for k, v in sheet.columns.items() if k != "layer" and any(as_text(c) for c in v)}
    return replace(sheet, columns=columns, shapes=None if sheet.shapes is None or not any(sheet.shapes) else sheet.shapes)


def _long_names(layer: LayerName, sheet: Sheet) -> Sheet:
    """The columns of a Shapefile under the names they had before they were cut."""
    long = {short: name for name, short in short_names(columns_of(layer, ())).items()}
    columns = {name if name not in long or long[name] in sheet.columns else long[name]: v for name, v in sheet.columns.items()}
    return replace(sheet, columns=columns)


NEEDS_GROUND = (*COVERAGES, LayerName.NOT_SERVED, LayerName.EXTENT)
NAMED_BY: Mapping[LayerName, tuple[tuple[str, ...], ...]] = {
    LayerName.TERRITORY: (("squad",),),
    LayerName.NOT_SERVED: (("authority", "name"), ("authority",)),
    LayerName.DIRECT: (("category",),),
}
"""Columns whose values, joined by '/', the engine knows a row by where it has no code."""


class _Line(NamedTuple):
    """A row as read, its number in the sheet (from 1), and its shape in metres of the work CRS."""

    row: Row
    number: int
    shape: Any


@dataclass(frozen=True, slots=True, eq=False)
class _Sheet:
    """A sheet that is known to hold a layer. `like`: the rows that layer has."""

    layer: LayerName
    sheet: Sheet
    like: tuple[Row, ...]
    zone: ZoneInfo
    squads: set[str]
    work: pyproj.CRS
    datum: str | None

    def read(self) -> tuple[list[Row], list[Refusal], list[Aside]]:
        """Its rows, what is refused, what to know."""
        try:
            shapes = self._metres()
        except JieguanError as why:
            return [], [Refusal(self.layer.value, "*", why)], []
        lines: dict[tuple[str, str, str], list[_Line]] = {}
        refused = []
        for number in range(1, self.sheet.count + 1):
            code = self._code(number)
            try:
                row = self._row(number, code)
                line = _Line(row, number, self._checked_shape(row, number, None if shapes is None else shapes[number - 1]))
                self._check_same(lines.setdefault(row.key, []), line)
            except JieguanError as why:
                refused.append(Refusal(self.layer.value, code, why))
            else:
                lines[row.key].append(line)
        rows, asides = [], self._asides()
        for some in lines.values():
            if not some:
                continue
            try:
                rows.append(self._grounded(some))
            except JieguanError as why:
                refused.append(Refusal(self.layer.value, some[0].row.code, why))
            if len(some) > 1:
                asides.append(Aside("several", {"layer": self.layer.value, "code": some[0].row.code, "count": len(some)}))
        return rows, refused, asides

    # --- shapes ---

    def _metres(self) -> Geometries | None:
        """All shapes in metres. Raises NoCrs, UnknownDatum, NotDegrees, NotMetres, NotConvertible: for the whole layer."""
        sheet = self._placed()
        if sheet.shapes is None or not any(s is not None for s in sheet.shapes):
            return sheet.shapes
        of: System = system(sheet.crs, self.datum, self.layer.value, "--datum")
        xy = shapely.get_coordinates(sheet.shapes)
        check_declared(xy[:, 0], xy[:, 1], of, self.layer.value, "--datum")
        return geometries_to_work(sheet.shapes, of, self.work, self.layer.value)

    def _placed(self) -> Sheet:
        """Orders of a list without shapes stand at its `lon` and `lat`, WGS-84 unless a datum is stated."""
        if self.layer is not LayerName.DESIGNATION or self.sheet.shapes is not None or not {"lon", "lat"} <= self.sheet.columns.keys():
            return self.sheet
        pairs = zip(*(self.sheet.columns[k] for k in ("lon", "lat")), strict=True)
        lines = [Line(self.layer.value, n, {"lon": x, "lat": y}) for n, (x, y) in enumerate(pairs, 1)]
        places = [(line.amount("lon", -180), line.amount("lat", -90)) for line in lines]
        shapes = [None if x is None or y is None else shapely.Point(x, y) for x, y in places]
        return replace(self.sheet, shapes=np.array([*shapes, None], object)[:-1], crs=WGS84)

    def _checked_shape(self, row: Row, number: int, shape: Any) -> Any:
        """Of the right kind, wide where a width makes it so. Raises GroundMissing, GroundOfWrongKind."""
        facts = {"layer": self.layer.value, "row": number, "code": row.code}
        if shape is None or shape.is_empty:
            if self.layer in NEEDS_GROUND or shape is not None or (self.layer is LayerName.DESIGNATION and row.facts.get("case") is None):
                raise GroundMissing(**facts)
            return None
        wide = self._width(number)
        wanted = {1: "LineString"} if self.layer is LayerName.BORDER else {2: "Polygon"}
        kind = int(shapely.get_dimensions(shape))
        if kind not in wanted and not (wide is not None and kind < 2):
            raise GroundOfWrongKind(**facts, kind=shape.geom_type, wanted=", ".join(wanted.values()))
        return shape if wide is None or kind == 2 else widened(shape, wide)

    def _width(self, number: int) -> float | None:
        """Metres around a point or to each side of a line, where a column says so."""
        line = Line(self.layer.value, number, {k: v[number - 1] for k, v in self.sheet.columns.items()})
        width, radius = line.amount("width_m", above=True), line.amount("radius_m", above=True)
        return radius if width is None else width / 2

    def _grounded(self, lines: Sequence[_Line]) -> Row:
        """One row of all its features. Raises GroundInvalid: what is no shape on the millimetre grid, or features that overlap."""
        row, number, shape = lines[0]
        parts = [p for line in lines if line.shape is not None for p in shapely.get_parts(line.shape).tolist()]
        if not parts:
            return replace(row, ground=None)
        made = shape if len(lines) == 1 else shapely.multipolygons(parts)
        ground = on_grid(made)
        if not shapely.is_valid(ground):
            facts = {"layer": self.layer.value, "row": number, "code": row.code}
            raise GroundInvalid(**facts, reason=str(shapely.is_valid_reason(in_metres(ground))))
        return replace(row, ground=ground)

    # --- cells ---

    def _code(self, number: int) -> str:
        """Of a file without codes: what the engine knows such rows by."""
        there = self.sheet.columns
        names = [(code_column(self.layer),), ("code",), ("id",), *NAMED_BY.get(self.layer, ())]
        found = next((some for some in names if set(some) <= there.keys()), ())
        return "/".join(text for name in found if (text := as_text(there[name][number - 1])))

    def _row(self, number: int, code: str) -> Row:
        if not code:
            raise CodeMissing(layer=self.layer.value, row=number, field=code_column(self.layer))
        line = Line(self.layer.value, number, {})
        line.check_code(code_column(self.layer), code)
        cells = {name: values[number - 1] for name, values in self.sheet.columns.items()}
        row = self._known(code, cells, number)
        was = cells_of(row)
        for name, cell in cells.items():
            if name in was and name != code_column(self.layer) and as_text(cell) != as_text(was[name]):
                row = self._with(row, name, cell, cells, number)
        self._check_claim(row, number)
        return row

    def _known(self, code: str, cells: Mapping[str, Any], number: int) -> Row:
        """The row of that code and start; else the one that holds on; else a blank one."""
        mine = [r for r in self.like if r.code == code]
        since = self._instant(cells.get("since"), "since", number)
        exact = [r for r in mine if r.since == since]
        open_ = [r for r in mine if r.until is None] if "since" not in cells or self.layer in COVERAGES else []
        return next(iter(exact or open_), Row(self.layer, code, self._blank(code), since=since))

    def _blank(self, code: str) -> dict[str, Any]:
        """What a new row says: nothing, with a fact for each that the layer's rows have."""
        facts = blank_facts(self.layer, code)
        others = {k: None for r in self.like for k in r.facts if k not in facts} if self.layer not in CLAIM_LAYERS else {}
        return facts | others

    def _with(self, row: Row, name: str, cell: Any, cells: Mapping[str, Any], number: int) -> Row:
        """The row with another value in one column."""
        if name in ("since", "until"):
            return replace(row, **{name: self._instant(cell, name, number)})  # type: ignore[arg-type]
        if name == "line_accuracy_m":
            return replace(row, accuracy_m=self._number(cell, name, row.code, number))
        if name in OWN:
            facts = {**row.facts, "name": as_text(cell)} if name == "name" and "name" in row.facts and implied(row, "name") else row.facts
            return replace(row, facts=facts, **{name: as_text(cell)})  # type: ignore[arg-type]
        key = next(k for k in row.facts if not implied(row, k) and name in fact_cells(self.layer, k, row.facts[k]))
        if key == "office":
            at = [self._number(cells.get(n), n, row.code, number) for n in ("lon", "lat")]
            value: Any = None if None in at else [repr(v) for v in at]
        else:
            value = self._fact(row, key, name, cell, number)
        return replace(row, facts={**row.facts, key: value})

    def _fact(self, row: Row, key: str, name: str, cell: Any, number: int) -> Any:
        """A cell as a fact of the kind that the fact has."""
        like, text = row.facts[key], as_text(cell)
        facts = {"layer": self.layer.value, "row": number, "code": row.code, "field": name, "value": text}
        if key in ("accuracy_m", "zone_m"):
            amount = self._number(cell, name, row.code, number)
            return None if amount is None else repr(amount)
        if isinstance(like, bool):
            if text.lower() not in YES | NO:
                raise BadCell(**facts, why=", ".join(sorted((YES | NO) - {""})))
            return text.lower() in YES
        if isinstance(like, int):
            number_ = self._number(cell, name, row.code, number) or 0.0
            if not number_.is_integer():
                raise BadCell(**facts, why="a whole number is needed")
            return int(number_)
        if isinstance(like, Mapping) or (isinstance(like, list) and not all(isinstance(v, str) for v in like)):
            try:
                return json.loads(text)
            except ValueError as error:
                raise BadCell(**facts, why=str(error)) from error
        if isinstance(like, list | tuple):
            return sorted(part.strip() for part in text.split(LIST) if part.strip())
        return text or ("" if isinstance(blank_facts(self.layer, "").get(key), str) else None)

    def _number(self, cell: Any, name: str, code: str, number: int) -> float | None:
        text = as_text(cell)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise BadCell(layer=self.layer.value, row=number, code=code, field=name, value=text, why="no number")
        return value

    def _instant(self, cell: Any, name: str, number: int) -> datetime | None:
        moment = Line(self.layer.value, number, {name: cell}).instant(name, self.zone)
        return None if moment is None else moment.astimezone(UTC)

    def _check_claim(self, row: Row, number: int) -> None:
        """That the engine understands the row, and every squad it names is known. Raises BadCell, UnknownParty."""
        facts = {"layer": self.layer.value, "row": number, "code": row.code}
        try:
            canonical(dict(row.facts), floats=False, where="row")
            if self.layer in CLAIM_LAYERS:
                claim_in(row)
            elif self.layer is LayerName.SQUAD:
                squad_in(row)
        except JieguanError:
            raise
        except (ValueError, TypeError, KeyError) as error:
            raise BadCell(**facts, field="*", value=str(error), why="not understood") from error
        for key in ("squad", "lead", "parties"):
            value = row.facts.get(key)
            for squad in value if isinstance(value, list | tuple) else [value]:
                if squad is not None and squad not in self.squads:
                    raise UnknownParty(**facts, field=key, value=squad)

    def _check_same(self, before: Sequence[_Line], line: _Line) -> None:
        """Several polygons of one code are one ground if all else they say is the same. Raises SaidTwice."""
        if not before:
            return
        first = before[0]
        one, other = cells_of(first.row), cells_of(line.row)
        differ = sorted(k for k in one if one[k] != other[k])
        if differ or first.shape is None or line.shape is None:
            facts = {"code": line.row.code, "first": first.number, "row": line.number, "fields": ", ".join(differ) or "-"}
            raise SaidTwice(layer=self.layer.value, **facts)

    def _asides(self) -> list[Aside]:
        told = []
        read = {*columns_of(self.layer, [cells_of(r) for r in self.like]), "code", "id", "layer", "width_m", "radius_m", "lon", "lat"}
        if strange := [name for name in self.sheet.columns if name not in read]:
            told.append(Aside("ignored", {"layer": self.layer.value, "columns": ", ".join(strange[:20])}))
        shapes = [] if self.sheet.shapes is None else [s for s in self.sheet.shapes if s is not None]
        if tall := sum(bool(s.has_z or s.has_m) for s in shapes):
            told.append(Aside("flattened", {"layer": self.layer.value, "count": tall}))
        return told
