"""Features of a draft written one by one, as GIS programs do: each becomes edits of the draft, all of it or nothing.

A new unit is ground handed over to it; new ground of a unit moves the borders with its neighbours; what else a feature says is
its row. A unit does not vanish: its ground goes to somebody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import shapely

from api.usecases.map_features import MapStore, NoSuchFeature, drawn, feature_id
from api.usecases.map_places import Frame, areas_of, grid_of
from api.usecases.map_rows import record_of, row_told
from geodata.drafts import EditConflict, Working
from geodata.edits import (
    CodeTaken,
    Edit,
    HandOver,
    Merge,
    PutRow,
    RemoveRow,
    ReplaceGround,
    rings_of,
    row_said,
)
from geodata.layer import COVERAGES, LayerName, Row
from routing.errors import JieguanError

Checked = Callable[[LayerName, Mapping[str, Any]], Mapping[str, Any]]
"""A record with every column of the layer, each of its type; whatever it raises goes to who sent the record."""


class StaleTag(JieguanError):
    zh = "“{code}”在你读取之后已被改动:直接写入会抹去那一次修改。请重新读取,核对后再提交。"
    en = "{code!r} has changed since you read it, and writing now would undo that. Read it again, then send your change."


class NeedsInto(JieguanError):
    zh = "“{code}”有地,不能直接删除:那里会无人负责。请用 ?into=编号 说明并入哪一方(相邻的有:{near})。"
    en = (
        "{code!r} holds ground and cannot just be deleted: nobody would be responsible there. Say by ?into=CODE whose it becomes "
        "(its neighbours: {near})."
    )


class IntoForUnits(JieguanError):
    zh = "图层 {layer} 的“{code}”没有可并入他方的地块,into 在此没有意义。请去掉 into。"
    en = "{code!r} of the layer {layer} has no ground to be merged, so `into` means nothing here. Leave it out."


class FieldFixed(JieguanError):
    zh = "“{code}”的 {field} 不能在此修改(现为 {value}):它决定这是哪一行。请保持原值,或另建一行。"
    en = "The {field} of {code!r} cannot be changed here (it is {value}): it tells which row this is. Leave it, or make another row."


class NoGeometry(JieguanError):
    zh = "“{code}”没有几何:图层 {layer} 的每一行都是一块地。请画出范围。"
    en = "{code!r} has no geometry, and every row of the layer {layer} is a piece of ground. Draw it."


@dataclass(frozen=True, slots=True)
class Target:
    """A layer of a draft, and who writes there. `tag`: the content hash of the row he looked at, None: the latest will do."""

    draft: str
    layer: LayerName
    person: str
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """A feature as it was sent. `shape`: in `frame`; `partial`: what is not there stays as it is."""

    record: Mapping[str, Any]
    shape: Any
    frame: Frame
    has_shape: bool = True
    partial: bool = False


def create(of: MapStore, to: Target, given: Given, checked: Checked) -> tuple[Row, Working]:
    """A row that was not there. Raises CodeTaken, NoGeometry, and what the edits refuse."""
    working = of.desk.open(to.draft)
    record = checked(to.layer, given.record)
    ground = _ground(given, to.layer, working)
    row = row_told(to.layer, record, ground)
    if to.layer not in COVERAGES:
        if row.key in working.now.rows:
            raise CodeTaken(layer=to.layer.value, code=row.code)
        return _written(of, to, working, [PutRow(row=row_said(row))], row.key)
    if working.now.row(to.layer.value, row.code) is not None:
        raise CodeTaken(layer=to.layer.value, code=row.code)
    if ground is None:
        raise NoGeometry(layer=to.layer.value, code=row.code)
    for name in ("since", "until"):  # a unit that is drawn holds from the publication on
        if record[name] is not None:
            raise FieldFixed(code=row.code, field=name, value="-")
    hand = HandOver(layer=to.layer.value, piece=rings_of(ground), to=row.code, name=row.name)
    return _written(of, to, working, [hand, PutRow(row=row_said(row))], row.key)


def change(
    of: MapStore, to: Target, feature: str, given: Given, checked: Checked, lost_to: str | None = None
) -> tuple[Row, Working]:
    """A row as it is to be. `lost_to`: whose becomes the ground that it gives up.

    Raises NoSuchFeature, StaleTag, FieldFixed, and what the edits refuse.
    """
    working, was = _found(of, to, feature)
    before = record_of(was)
    record = checked(to.layer, {**before, **given.record} if given.partial else {"code": was.code, **given.record})
    for name in ("code", "since"):
        if record[name] != getattr(was, name):
            raise FieldFixed(code=was.code, field=name, value=before[name])
    ground = _ground(given, to.layer, working) if given.has_shape else was.ground
    unit = to.layer in COVERAGES and was.until is None
    if unit and ground is None:
        raise NoGeometry(layer=to.layer.value, code=was.code)
    row = row_told(to.layer, record, was.ground if unit else ground, was)
    edits: list[Edit] = []
    if unit and not shapely.equals(ground, was.ground):
        edits.append(ReplaceGround(layer=to.layer.value, code=was.code, piece=rings_of(ground), lost_to=lost_to))
    if row.hash != was.hash:
        edits.append(PutRow(row=row_said(row)))
    return _written(of, to, working, edits, was.key)


def delete(of: MapStore, to: Target, feature: str, into: str | None = None) -> Working:
    """A row goes; a unit's ground goes `into` another. Raises NoSuchFeature, StaleTag, NeedsInto, what the edits refuse."""
    working, was = _found(of, to, feature)
    coverage = working.now.coverages.get(to.layer.value)
    unit = coverage is not None and was.until is None and coverage.outline(was.code)
    if coverage is not None and unit:
        if into is None:
            near = sorted({c for arc in coverage.outline(was.code) for c in arc.holders} - {was.code})
            raise NeedsInto(code=was.code, near=", ".join(near) or "-")
        edit: Edit = Merge(layer=to.layer.value, codes=(was.code,), into=into)
    elif into is not None:
        raise IntoForUnits(layer=to.layer.value, code=was.code)
    else:
        edit = RemoveRow(layer=to.layer.value, code=was.code, since=was.key[2])
    return _added(of, to, working, [edit])


def _found(of: MapStore, to: Target, feature: str) -> tuple[Working, Row]:
    working = of.desk.open(to.draft)
    rows = drawn(working.now, to.layer)
    was = next((row for row in rows if feature_id(row) == feature), None)
    if was is None:
        raise NoSuchFeature(layer=to.layer.value, value=feature[:120])
    if to.tag is not None and to.tag != was.hash:
        raise StaleTag(code=was.code)
    return working, was


def _ground(given: Given, layer: LayerName, working: Working) -> Any:
    if given.shape is None:
        return None
    shape = areas_of(given.shape, layer.value) if layer in COVERAGES or layer is LayerName.EXTENT else given.shape
    return grid_of(shape, given.frame, working.settings.work_crs)


def _written(of: MapStore, to: Target, working: Working, edits: Sequence[Edit], key: tuple[str, str, str]) -> tuple[Row, Working]:
    """The row as it then stands."""
    after = _added(of, to, working, edits)
    row = next((r for r in drawn(after.now, to.layer) if r.key == key), None)
    if row is None:  # somebody took it out again within this very moment
        raise StaleTag(code=key[1])
    return row, after


def _added(of: MapStore, to: Target, working: Working, edits: Sequence[Edit]) -> Working:
    """All of the edits or none. They were made on what `working` is; who touched the same meanwhile goes first.

    What can be refused comes first; a row behind it is stopped only by somebody who wrote it in this very moment.
    """
    for edit in edits:
        edit.check(working.now)
    done: list[int] = []
    seen = working.revision
    try:
        for edit in edits:
            working = of.desk.add(to.draft, edit, to.person, of.now(), seen=seen)
            seen = max(e.seq for e in working.log if e.author == to.person and e.kind == edit.kind)
            done.append(seen)
    except JieguanError as error:
        for seq in reversed(done):
            of.desk.undo(to.draft, to.person, of.now(), seq)
        if isinstance(error, EditConflict) and to.tag is not None:
            raise StaleTag(code=str(error.facts["where"])) from error
        raise
    return working
