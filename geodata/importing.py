"""Layers in: the bureau's files as rows of a map, what they would change, and the rows to publish.

    imported = read_map(files, stated, base)          rows, each with the file and its seal, licence, datum, accuracy, document
    rows = merged(imported, base)                     with the layers of the base that no file was given for
    changes(base.rows, rows)                          added, changed (fields, m2), removed, unchanged: a dry run

A row that says what it said keeps the provenance it had: it does not become new because it is read from another file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import shapely

from geodata.build import MapFiles, gather
from geodata.crs import parse_crs, system
from geodata.draft_checks import checks_of
from geodata.edits import Indexes, drafted
from geodata.exporting import Cell, cells_of, changed_fields
from geodata.files import Table, read_table
from geodata.intake import Note
from geodata.layer import LayerName, Row, checked, plain_code, rows_of
from geodata.roster import STAND_IN
from geodata.rows import as_text
from geodata.rows import rows_of as lines_of
from geodata.topology_issue import Issue
from routing.errors import JieguanError, Lang
from routing.jurisdiction import Settings

LAYER_OF: Mapping[str, LayerName] = {
    "extent": LayerName.EXTENT,
    "townships": LayerName.TOWNSHIP,
    "territories": LayerName.TERRITORY,
    "agreements": LayerName.AGREEMENT,
    "designations": LayerName.DESIGNATION,
    "not_served": LayerName.NOT_SERVED,
    "direct": LayerName.DIRECT,
    "squads": LayerName.SQUAD,
}
"""The option that names a file -> the layer that the file is."""
PLACED = frozenset({"extent", "townships", "territories", "agreements", "designations", "not_served"})
"""Options whose files may hold shapes, and so have a datum."""


class OtherWorkCrs(JieguanError):
    zh = "工作坐标系 {given} 与现有地图的 {there} 不同:两者的毫米不是同一处。请去掉 --work-crs,或另建一个库。"
    en = (
        "The work CRS {given} is not that of the map there is, {there}: their millimetres are different places. Leave --work-crs out, "
        "or make a new database."
    )


@dataclass(frozen=True, slots=True)
class Provenance:
    """What somebody states of the files: where they are from, under which licence, how exact, by which document.

    Empty: nothing is stated. `source` empty: the file's own name and seal. The document fills rows that name none.
    """

    source: str = ""
    licence: str = ""
    accuracy_m: float | None = None
    document: str = ""


NOTHING_STATED = Provenance()


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """The map that there is: a version's rows and settings."""

    rows: tuple[Row, ...]
    settings: Settings


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """What files say. `layers`: those that a file was given for. `duty`: the squad that was stated to be on duty."""

    rows: tuple[Row, ...]
    settings: Settings
    layers: frozenset[LayerName]
    stated: Provenance
    duty: str | None
    notes: tuple[Note, ...]


def read_map(files: MapFiles, stated: Provenance = NOTHING_STATED, base: Base | None = None) -> Imported:
    """The rows of the files, on the base's millimetres if there is one.

    Raises the errors of the readers (NoCrs, UnknownDatum, ClaimTwice ...), OtherWorkCrs, TwoRowsOneCode.
    """
    given = files if base is None else _on_base(files, base)
    gathered = gather(given)
    tables = {option: read_table(spec) for option in LAYER_OF if (spec := getattr(given, option)) is not None}
    marks = {LAYER_OF[option]: _mark(option, table, given, stated) for option, table in tables.items()}
    if LayerName.SQUAD not in marks:  # without a list they are who has ground, unnamed
        marks[LayerName.SQUAD] = replace(marks.get(LayerName.TERRITORY) or marks[LayerName.TOWNSHIP], names={})
    rows = [_marked(row, marks[row.layer], stated) for row in rows_of(gathered)]
    settings = gathered.settings if base is None or given.line_accuracy_m else replace(
        gathered.settings, line_accuracy_m=base.settings.line_accuracy_m
    )
    layers = frozenset(LAYER_OF[option] for option in tables)
    return Imported(checked(rows), settings, layers, stated, files.duty, gathered.notes)


def merged(imported: Imported, base: Base | None) -> tuple[Row, ...]:
    """The map to publish: layers that a file was given for are what the files say; the others stay.

    Squads without a file stay too, and those that new ground names are added; nobody else comes to be on duty unless stated.
    """
    if base is None:
        return imported.rows
    old = {row.key: row for row in base.rows}
    new = [_settled(row, old.get(row.key), imported.stated) for row in imported.rows if row.layer in imported.layers]
    kept = [row for row in base.rows if row.layer not in imported.layers]
    if LayerName.SQUAD not in imported.layers:
        there = {row.code for row in kept if row.layer is LayerName.SQUAD}
        come = [r for r in imported.rows if r.layer is LayerName.SQUAD and r.code not in there and (r.code != STAND_IN or not there)]
        duty = imported.duty if there else None
        squads = [row for row in kept if row.layer is LayerName.SQUAD] + come
        kept = [row for row in kept if row.layer is not LayerName.SQUAD] + (squads if duty is None else [_on_duty(r, duty) for r in squads])
    return checked([*new, *kept])


def issues_of(rows: Iterable[Row]) -> tuple[Issue, ...]:
    """What the checks of a draft find in the layers that share borders: publishing a draft is held to the same."""
    draft = drafted(rows)
    at = Indexes(draft)
    return tuple(i for layer, coverage in draft.coverages.items() for i in checks_of(coverage, at.of(draft, layer)).issues)


# ---- provenance ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where a layer's rows are from: source, the datum of its coordinates, names by code."""

    source: str
    datum: str
    names: Mapping[str, str]


def _mark(option: str, table: Table, files: MapFiles, stated: Provenance) -> _Mark:
    own = f"{Path(table.path).name}{table.spec.removeprefix(table.path)} sha256:{table.sha256}"
    datum = ""
    if option in PLACED and table.geometry is not None:
        datum = system(table.crs, files.territories_datum, "the file's coordinate system", "--territories-datum").datum.label
    fields = {"territories": [files.squad_field or "id", "squad"], "townships": ["code", "id", "township"]}.get(option, [])
    return _Mark(stated.source or own, datum, _names(table, fields))


def _names(table: Table, fields: Sequence[str]) -> dict[str, str]:
    """Code -> name, where the file has a column `name`; of several features of one code, the first that has one."""
    there = table.columns.column_names
    field = next((f for f in fields if f in there), None)
    if field is None or "name" not in there:
        return {}
    named: dict[str, str] = {}
    for line in lines_of(table):
        if line.text("name"):
            named.setdefault(as_text(line.values[field]), line.text("name"))
    return named


def _marked(row: Row, mark: _Mark, stated: Provenance) -> Row:
    """The row with where it is from. A territory's own accuracy stands where nobody states another."""
    own = row.facts.get("accuracy_m")
    accuracy = stated.accuracy_m if stated.accuracy_m is not None else None if own is None else float(own)
    return replace(
        row,
        name=row.name or mark.names.get(plain_code(row), ""),
        source=mark.source,
        licence=stated.licence,
        datum=mark.datum if row.ground is not None else "",
        accuracy_m=accuracy,
        document=row.document or stated.document,
    )


def _settled(new: Row, old: Row | None, stated: Provenance) -> Row:
    """The old row, if the new one says the same and nothing else was stated of where it is from. What no file states stays."""
    if old is None:
        return new
    named = replace(
        new,
        name=new.name or old.name,
        licence=new.licence or old.licence,
        document=new.document or old.document,
        accuracy_m=old.accuracy_m if new.accuracy_m is None else new.accuracy_m,
    )
    same = replace(named, source=stated.source or old.source, datum=old.datum)
    return old if same.hash == old.hash else named


def _on_duty(row: Row, duty: str) -> Row:
    return replace(row, facts={**row.facts, "duty": row.code == duty})


def _on_base(files: MapFiles, base: Base) -> MapFiles:
    """The files read as the base was. Raises OtherWorkCrs."""
    there = in_work_crs(files, base.settings.work_crs)
    return replace(there, zone_m=base.settings.zone_m if files.zone_m is None else files.zone_m)


def in_work_crs(files: MapFiles, there: str) -> MapFiles:
    """The files read in the work CRS there is. Raises OtherWorkCrs."""
    if files.work_crs is not None and parse_crs(files.work_crs, "--work-crs") != parse_crs(there):
        raise OtherWorkCrs(given=files.work_crs, there=there)
    return replace(files, work_crs=there)


# ---- what would change -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """A row that is added, changed or removed. `fields`: name -> (before, after). Areas in m2, of the ground alone."""

    layer: LayerName
    code: str
    since: str
    kind: str
    fields: Mapping[str, tuple[Cell, Cell]]
    gained_m2: float = 0.0
    lost_m2: float = 0.0

    def text(self, lang: Lang) -> str:
        """One line."""
        zh, en = LINES[self.kind]
        fields = ", ".join(f"{name}: {_shown(a)} → {_shown(b)}" for name, (a, b) in self.fields.items())
        areas = (("+", self.gained_m2), ("-", self.lost_m2))
        what = "; ".join(filter(None, (fields, *(f"{sign}{m2:,.2f} m2" for sign, m2 in areas if m2))))
        when, what = f" [{self.since}]" if self.since else "", f" ({what})" if what else ""
        return (zh if lang == "zh-CN" else en).format(layer=self.layer.value, code=self.code, when=when, what=what)


LINES: Mapping[str, tuple[str, str]] = {
    "added": ("新增 {layer}“{code}”{when}{what}", "added    {layer} {code!r}{when}{what}"),
    "changed": ("改动 {layer}“{code}”{when}{what}", "changed  {layer} {code!r}{when}{what}"),
    "removed": ("删除 {layer}“{code}”{when}{what}", "removed  {layer} {code!r}{when}{what}"),
    "total": (
        "共新增 {added} 行,改动 {changed} 行,删除 {removed} 行,不变 {unchanged} 行。",
        "{added} rows added, {changed} changed, {removed} removed, {unchanged} unchanged.",
    ),
}


@dataclass(frozen=True, slots=True)
class Changes:
    """A dry run: what publishing some rows would change of others. In the order of layers, codes, dates."""

    rows: tuple[Change, ...]
    unchanged: Mapping[LayerName, int]

    def count(self, kind: str) -> int:
        """Rows added, changed or removed."""
        return sum(row.kind == kind for row in self.rows)

    def text(self, lang: Lang) -> str:
        """A line for each row, then the sum."""
        zh, en = LINES["total"]
        facts = {kind: self.count(kind) for kind in ("added", "changed", "removed")}
        total = (zh if lang == "zh-CN" else en).format(**facts, unchanged=sum(self.unchanged.values()))
        return "\n".join((*(row.text(lang) for row in self.rows), total))

    def json(self) -> dict[str, Any]:
        """As plain values."""
        rows = [
            {
                "layer": r.layer.value, "code": r.code, "since": r.since or None, "kind": r.kind,
                "fields": {name: {"before": a, "after": b} for name, (a, b) in r.fields.items()},
                "gained_m2": r.gained_m2, "lost_m2": r.lost_m2,
            }
            for r in self.rows
        ]  # fmt: skip
        kinds = {kind: self.count(kind) for kind in ("added", "changed", "removed")}
        return {**kinds, "unchanged": {k.value: n for k, n in self.unchanged.items()}, "rows": rows}


def changes(old: Iterable[Row], new: Iterable[Row]) -> Changes:
    """Rows compared by layer, code and start."""
    before, after = {r.key: r for r in old}, {r.key: r for r in new}
    order = {name.value: place for place, name in enumerate(LayerName)}
    found: list[Change] = []
    same: list[LayerName] = []
    for key in sorted(before.keys() | after.keys(), key=lambda k: (order[k[0]], k)):
        one, other = before.get(key), after.get(key)
        if one is not None and other is not None and one.hash == other.hash:
            same.append(one.layer)
        else:
            found.append(_change(one, other))
    return Changes(tuple(found), {name: len(list(some)) for name, some in groupby(same)})


def _change(old: Row | None, new: Row | None) -> Change:
    row = new if new is not None else old
    assert row is not None
    kind = "added" if old is None else "removed" if new is None else "changed"
    fields: dict[str, tuple[Cell, Cell]] = {}
    if old is not None and new is not None:
        one, other = cells_of(old), cells_of(new)
        fields = {name: (one.get(name), other.get(name)) for name in changed_fields(old, new) if name != "ground"}
    gained, lost = _areas(None if old is None else old.ground, None if new is None else new.ground)
    return Change(row.layer, row.code, row.key[2], kind, fields, gained, lost)


def _areas(old: Any, new: Any) -> tuple[float, float]:
    """m2 of ground that the new has and the old has not, and the other way round. An invalid shape counts for the ground that
    its rings enclose."""
    one, other = (shapely.make_valid(g or shapely.Polygon(), method="structure", keep_collapsed=False) for g in (old, new))
    if one.is_empty or other.is_empty:
        gained, lost = shapely.area(other), shapely.area(one)
    else:
        gained, lost = shapely.area(shapely.difference(other, one)), shapely.area(shapely.difference(one, other))
    return round(float(gained) / 1e6, 2), round(float(lost) / 1e6, 2)


def _shown(cell: Cell) -> str:
    return "-" if cell is None else str(cell)
