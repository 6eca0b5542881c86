"""Edits of a draft: values, each a function from one draft to the next, written down as plain JSON.

A draft is a base version and a list of edits; what it shows is the base with the edits applied in order. Undo leaves edits
out, rebase applies them to another base: each is accepted there, or refused with its reason. Places are whole millimetres of
the work CRS. An edit that would leave somebody without any ground, or ground without anybody, is refused: that is said by
merging, or by handing over.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import Any, ClassVar

import numpy as np
import shapely

from geodata.arcs import ArcIndex, Coverage, Holders, located, millimetres
from geodata.border_rows import NothingChosen, arcs_between, followed, laid, parted, said_of_border
from geodata.coverages import UnknownArc, coverage_of, relabelled, renamed, reshaped
from geodata.layer import CLAIM_LAYERS, COVERAGES, LayerName, Row, in_metres, on_grid
from geodata.stretches import SidesApart
from geodata.working_days import check_row
from routing.errors import JieguanError
from routing.ground.noding import Ints
from routing.jurisdiction import NoSuchSquad

Key = tuple[str, str, str]
Path = tuple[tuple[int, int], ...]


class NotACoverage(JieguanError):
    zh = "图层“{layer}”没有共同边界,不能这样修改:只有 {known} 可以。请直接改写该图层的行。"
    en = "The layer {layer!r} has no shared borders, so this edit does not apply: only {known} have. Write its rows instead."


class NoSuchUnit(JieguanError):
    zh = "图层 {layer} 中没有“{code}”的地块:它可能已被合并,或编号有误。请核对编号。"
    en = "Nobody called {code!r} holds ground in the layer {layer}: merged by another edit, or misspelt. Check the code."


class CodeTaken(JieguanError):
    zh = "图层 {layer} 中已有编号“{code}”:新地块需要新的编号,否则两块地会混为一块。请换一个编号。"
    en = "The layer {layer} has a {code!r} already: the new piece needs a code of its own, or the two would be one. Choose another."


class NoSuchRow(JieguanError):
    zh = "图层 {layer} 中没有编号为“{code}”的行({since} 起):无可删除。请刷新后重试。"
    en = "The layer {layer} has no row {code!r} (from {since}), so there is nothing to remove. Load the draft again."


class PeriodChanged(JieguanError):
    zh = "图层 {layer} 的“{code}”:since 或 until 已改。地块的起止随版本的生效时间而定,不能单独修改。请改回原值。"
    en = (
        "Layer {layer}, {code!r}: since or until was changed. A unit begins and ends with the versions that have it. "
        "Put the old value back."
    )


class SelfCrossing(JieguanError):
    zh = "所画的地块不合法({reason}):自相交处哪边是内、哪边是外无法确定。请重画。"
    en = "The drawn piece is invalid ({reason}): what is inside is open there. Draw it again."


class PieceOutside(JieguanError):
    zh = "所画的地块完全在图层 {layer} 之外(约在 {at},米):没有可划转的地。请检查坐标系或位置。"
    en = "The drawn piece lies wholly outside the layer {layer} (near {at}, metres), so no ground changes hands. Check its CRS or place."


class WouldEmpty(JieguanError):
    zh = "此修改会使 {who} 一块地也不剩:它的案件将无处可去。如确要撤销,请用“合并”。"
    en = "This edit would leave {who} without any ground. If it is to go, say so by merging it into a neighbour."


class WouldOpen(JieguanError):
    zh = "新边界使 {area} 平方米(约在 {at},米)不属任何一方,原属 {code}:不得留下空白。请把这块地划转给邻方({near})。"
    en = (
        "The new outline leaves {area} m2 of {code} near {at} (metres) to nobody: no edit may open a gap. Hand that piece over to a "
        "neighbour ({near}) instead."
    )


class LineDoesNotCut(JieguanError):
    zh = "所画的线没有把 {who} 的地块分成两块以上:两端须伸到边界之外。请延长该线。"
    en = "The line does not cut the ground of {who} in two: both its ends must reach beyond the border. Draw it longer."


class NothingChanges(JieguanError):
    zh = "此修改不改变任何内容:所画的地块已属 {who}。请核对后再提交。"
    en = "This edit changes nothing: the ground is {who}'s already. Check what you meant."


class SquadStillNamed(JieguanError):
    zh = "中队“{code}”还被 {rows} 引用,不能删除:那些地方会无人负责。请先把它们改派给别的中队。"
    en = "The squad {code!r} is still named by {rows} and cannot be removed: nobody would be responsible there. Give those to others first."


class UnknownEdit(JieguanError):
    zh = "没有名为“{value}”的修改方式(可用:{known})。请更正 kind。"
    en = "There is no edit of the kind {value!r} (there are: {known}). Correct `kind`."


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """What a draft shows: rows by key, the borders of its coverages, and whose ground differs from that of its row."""

    rows: Mapping[Key, Row]
    coverages: Mapping[str, Coverage]
    changed: frozenset[tuple[str, str]] = frozenset()

    @property
    def ended(self) -> frozenset[Key]:
        """Rows that are history."""
        return frozenset(k for k, r in self.rows.items() if r.until is not None)

    def row(self, layer: str, code: str) -> Row | None:
        """The row of a unit of a coverage."""
        return next((r for k, r in self.rows.items() if k[:2] == (layer, code) and r.until is None), None)

    def features(self) -> tuple[Row, ...]:
        """All rows, with their grounds as drawn; a row that nobody touched is the base's own."""
        out = []
        for key, row in self.rows.items():
            if (row.layer.value, row.code) in self.changed and row.until is None:
                row = replace(row, ground=on_grid(self.coverages[row.layer.value].ground(row.code)))  # noqa: PLW2901 - the row as drawn
            out.append((key, row))
        return tuple(row for _, row in sorted(out, key=lambda pair: pair[0]))


def drafted(rows: Iterable[Row]) -> Draft:
    """A draft without edits. Rows that have ended are history: they are kept, and not drawn."""
    rows = list(rows)
    drawn = [r for r in rows if r.until is None and r.ground is not None]
    coverages = {
        layer.value: coverage_of({r.code: in_metres(r.ground) for r in drawn if r.layer is layer}) for layer in COVERAGES
    }
    return Draft({r.key: r for r in rows}, coverages)


class Indexes:
    """Where the arcs of a draft's coverages are; follows the draft from edit to edit."""

    def __init__(self, draft: Draft) -> None:
        self._of = {layer: ArcIndex(coverage) for layer, coverage in draft.coverages.items()}
        self._at: dict[str, Coverage] = dict(draft.coverages)

    def of(self, draft: Draft, layer: str) -> ArcIndex:
        """The index of a layer, moved to where the draft is."""
        if self._at[layer] is not draft.coverages[layer]:
            self._of[layer].move(draft.coverages[layer])
            self._at[layer] = draft.coverages[layer]
        return self._of[layer]


@dataclass(frozen=True, slots=True)
class Touch:
    """(layer, code or arc) of what an edit changes, and of what it merely rests on."""

    changes: frozenset[tuple[str, str]]
    rests: frozenset[tuple[str, str]] = frozenset()

    def clash(self, other: Touch) -> frozenset[tuple[str, str]]:
        """Where two edits cannot be made in either order: nowhere, if neither changes what the other rests on."""
        return (self.changes & (other.changes | other.rests)) | (self.rests & other.changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit(ABC):
    """One change of a draft."""

    kind: ClassVar[str] = ""

    @abstractmethod
    def apply(self, draft: Draft, at: Indexes) -> Draft:
        """The draft after it. Raises a JieguanError where it cannot be made; then nothing has changed."""

    def check(self, draft: Draft) -> None:  # noqa: B027 - most edits have no such rule
        """Raises where the edit could be made and yet must not be taken.

        Asked whenever an edit is taken: added, or left standing by an undo, or carried to another base. Never when a log is read
        again: what was accepted once is to be read for ever, also after a rule was added or made stricter.
        """

    @abstractmethod
    def touches(self, draft: Draft) -> Touch:
        """What it changes and what it rests on."""

    def said(self) -> dict[str, Any]:
        """As JSON; `edit_of` reads it."""
        return {"kind": self.kind, **{k: _plain(v) for k, v in asdict(self).items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class OfCoverage(Edit):
    """An edit of borders. `layer`: township or territory."""

    layer: str

    def coverage(self, draft: Draft) -> Coverage:
        """The layer's coverage. Raises NotACoverage."""
        if self.layer not in draft.coverages:
            raise NotACoverage(layer=self.layer, known=", ".join(draft.coverages))
        return draft.coverages[self.layer]

    def known(self, draft: Draft, *codes: str) -> Coverage:
        """The coverage, if all codes hold ground in it. Raises NoSuchUnit."""
        coverage = self.coverage(draft)
        for code in codes:
            if not coverage.outline(code):
                raise NoSuchUnit(layer=self.layer, code=code)
        return coverage

    def replaced(self, draft: Draft, after: Coverage, gone: Iterable[str] = ()) -> Draft:
        """The draft with another coverage. Raises WouldEmpty."""
        before = draft.coverages[self.layer]
        differ = {a for i, a in before.arcs.items() if after.arcs.get(i) is not a}
        differ |= {a for i, a in after.arcs.items() if before.arcs.get(i) is not a}
        codes = {code for arc in differ for code in arc.holders}
        empty = sorted(code for code in codes - set(gone) if not after.outline(code) and before.outline(code))
        if empty:
            raise WouldEmpty(who=", ".join(empty))
        changed = draft.changed | {(self.layer, code) for code in codes}
        rows = followed(draft.rows, before, after)
        return replace(draft, rows=rows, coverages={**draft.coverages, self.layer: after}, changed=changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveBorder(OfCoverage):
    """A stretch of border gets another path between the same ends, for both sides at once."""

    kind: ClassVar[str] = "move_border"
    arc: str
    path: Path

    def apply(self, draft: Draft, at: Indexes) -> Draft:
        coverage = self.coverage(draft)
        return self.replaced(draft, reshaped(coverage, at.of(draft, self.layer), {self.arc: _ints(self.path)}))

    def touches(self, draft: Draft) -> Touch:
        return _beside(self.layer, draft, [self.arc])


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveNode(OfCoverage):
    """A place where several borders meet moves; every border that ends there follows."""

    kind: ClassVar[str] = "move_node"
    node: tuple[int, int]
    to: tuple[int, int]

    def apply(self, draft: Draft, at: Indexes) -> Draft:
        coverage = self.coverage(draft)
        paths = {a.id: _with_end(a.path, self.node, self.to) for a in self._arcs(draft)}
        if not paths:
            raise NoSuchNode(layer=self.layer, at=[v / 1000 for v in self.node])
        return self.replaced(draft, reshaped(coverage, at.of(draft, self.layer), paths))

    def touches(self, draft: Draft) -> Touch:
        return _beside(self.layer, draft, [a.id for a in self._arcs(draft)])

    def _arcs(self, draft: Draft) -> list[Any]:
        ends = tuple(self.node)
        return [a for a in self.coverage(draft).arcs.values() if ends in (tuple(a.path[0].tolist()), tuple(a.path[-1].tolist()))]


class NoSuchNode(JieguanError):
    zh = "图层 {layer} 在 {at}(米)处没有界点:它可能已被移动。请刷新后重试。"
    en = "No borders of the layer {layer} meet at {at} (metres): the node may have moved. Load the draft again."


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver(OfCoverage):
    """A drawn piece of ground goes to `to`, from everybody or from `of` alone. `to` may be new. `piece`: polygons as rings."""

    kind: ClassVar[str] = "hand_over"
    piece: tuple[tuple[Path, ...], ...]
    to: str
    of: tuple[str, ...] = ()
    name: str = ""

    def apply(self, draft: Draft, at: Indexes) -> Draft:
        coverage, piece = self.known(draft, *self.of), _polygons(self.piece)

        def change(held: Holders) -> Holders:
            if not self.of:
                return (self.to,)
            return tuple(sorted((set(held) - set(self.of)) | {self.to})) if set(held) & set(self.of) else held

        index = at.of(draft, self.layer)
        _check_meets(draft, at, piece, self.layer)
        after = relabelled(coverage, index, piece, change)
        if after.arcs == coverage.arcs:
            raise NothingChanges(who=self.to)
        return _with_row(self.replaced(draft, after), self.layer, self.to, self.name)

    def touches(self, draft: Draft) -> Touch:
        return _near_piece(self.layer, draft, self.piece, self.to, *self.of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split(OfCoverage):
    """A line cuts a unit's ground; the piece that holds `side`, or else the smallest, becomes `new`."""

    kind: ClassVar[str] = "split"
    code: str
    line: Path
    new: str
    side: tuple[int, int] | None = None
    name: str = ""

    def apply(self, draft: Draft, at: Indexes) -> Draft:
        coverage = self.known(draft, self.code)
        if coverage.outline(self.new):
            raise CodeTaken(layer=self.layer, code=self.new)
        pieces = _cut(millimetres(coverage.ground(self.code)), self.line, self.code)
        chosen = [p for p in pieces if self.side is not None and shapely.covers(p, shapely.Point(self.side))]
        piece = (chosen or sorted(pieces, key=lambda p: (shapely.area(p), p.wkt)))[0]

        def change(held: Holders) -> Holders:
            return tuple(sorted((set(held) - {self.code}) | {self.new})) if self.code in held else held

        after = relabelled(coverage, at.of(draft, self.layer), piece, change)
        return _with_row(self.replaced(draft, after), self.layer, self.new, self.name, like=self.code)

    def touches(self, draft: Draft) -> Touch:
        return _units(self.layer, draft, self.code, self.new)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge(OfCoverage):
    """The ground of several units becomes that of one of them; the others' rows go."""

    kind: ClassVar[str] = "merge"
    codes: tuple[str, ...]
    into: str

    def apply(self, draft: Draft, at: Indexes) -> Draft:
        coverage, gone = self.known(draft, *self.codes), set(self.codes) - {self.into}
        self.known(draft, self.into)
        after = renamed(coverage, lambda held: tuple(self.into if c in gone else c for c in held))
        made = self.replaced(draft, after, gone)
        rows = {k: r for k, r in made.rows.items() if not (k[0] == self.layer and k[1] in gone and r.until is None)}
        return replace(made, rows=rows)

    def touches(self, draft: Draft) -> Touch:
        return _units(self.layer, draft, *self.codes, self.into)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedrawBorder(OfCoverage):
    """The ground of two neighbours is parted anew along a line; each keeps the pieces that were mostly its own."""

    kind: ClassVar[str] = "redraw_border"
    between: tuple[str, str]
    line: Path

    def apply(self, draft: Draft, at: Indexes) -> Draft:
        coverage = self.known(draft, *self.between)
        one, other = (millimetres(coverage.ground(code)) for code in self.between)
        both = shapely.union(one, other)
        both = shapely.transform(both, np.rint)
        pieces = _cut(both, self.line, " + ".join(self.between))
        mine = [p for p in pieces if shapely.area(shapely.intersection(p, one)) >= shapely.area(shapely.intersection(p, other))]
        for code, part in zip(self.between, (mine, [p for p in pieces if p not in mine]), strict=True):
            coverage = self._given(coverage, at, draft, code, part)
        return self.replaced(draft, coverage)

    def _given(self, coverage: Coverage, at: Indexes, draft: Draft, code: str, pieces: Sequence[Any]) -> Coverage:
        def change(held: Holders) -> Holders:
            rest = set(held) - set(self.between)
            return tuple(sorted(rest | {code})) if rest != set(held) else held

        for piece in pieces:
            moved = replace(draft, coverages={**draft.coverages, self.layer: coverage})
            coverage = relabelled(coverage, at.of(moved, self.layer), piece, change)
        return coverage

    def touches(self, draft: Draft) -> Touch:
        return _units(self.layer, draft, *self.between)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceGround(OfCoverage):
    """A unit's ground becomes what is drawn. What it gains its neighbours lose; what it loses must go to `lost_to`."""

    kind: ClassVar[str] = "replace_ground"
    code: str
    piece: tuple[tuple[Path, ...], ...]
    lost_to: str | None = None

    def apply(self, draft: Draft, at: Indexes) -> Draft:
        coverage, piece = self.known(draft, self.code), _polygons(self.piece)
        was = millimetres(coverage.ground(self.code))
        gained, lost = (_whole(shapely.difference(a, b)) for a, b in ((piece, was), (was, piece)))
        if gained is None and lost is None:
            raise NothingChanges(who=self.code)
        if gained is not None:
            coverage = relabelled(coverage, at.of(draft, self.layer), gained, lambda _: (self.code,))
        if lost is not None:
            moved = replace(draft, coverages={**draft.coverages, self.layer: coverage})
            index = at.of(moved, self.layer)
            self._check_open(coverage, index, lost)
            to = () if self.lost_to is None else (self.lost_to,)
            coverage = relabelled(
                coverage, index, lost, lambda h: tuple(sorted((set(h) - {self.code}) | set(to))) if self.code in h else h
            )
        return self.replaced(draft, coverage)

    def _check_open(self, coverage: Coverage, index: ArcIndex, lost: Any) -> None:
        if self.lost_to is not None:
            return
        for part in shapely.get_parts(lost):
            at = shapely.point_on_surface(part)
            if located(index, (at.x, at.y)) == (self.code,):
                near = {c for a in coverage.outline(self.code) for c in a.holders} - {self.code}
                where = [round(at.x / 1000, 3), round(at.y / 1000, 3)]
                raise WouldOpen(
                    area=f"{shapely.area(part) / 1e6:.3g}", at=where, code=self.code, near=", ".join(sorted(near)) or "-"
                )

    def touches(self, draft: Draft) -> Touch:
        near, own = _near_piece(self.layer, draft, self.piece), _units(self.layer, draft, self.code)
        return Touch(near.changes | own.changes, near.rests)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBorder(OfCoverage):
    """Line rule, status, zone or accuracy of a stretch of border. No line moves by it.

    The stretch `code` lies along `arcs`, or along the border of `between` from node to node (`ends`), or is all of that border; with
    none of these it is the one there is. `says`: what of it is set (`border_rows.FACTS`), amounts as text in metres, None clears; the
    rest stays.
    """

    kind: ClassVar[str] = "set_border"
    code: str
    says: Mapping[str, Any] = field(default_factory=dict)
    arcs: tuple[str, ...] = ()
    between: tuple[str, ...] = ()
    ends: tuple[tuple[int, int], ...] = ()

    def apply(self, draft: Draft, at: Indexes) -> Draft:
        coverage = self.known(draft, *self.between)
        there = draft.row(LayerName.BORDER.value, self.code)
        row = there or Row(LayerName.BORDER, self.code, {"sides": [], "line_rule": None, "status": None, "zone_m": None})
        if self.arcs or self.ends:
            row = laid(row, self._chosen(coverage))
        elif self.between:
            if not any(set(self.between) <= parted(arc) for arc in coverage.arcs.values()):
                raise SidesApart(id=self.code, between=" | ".join(self.between))
            row = replace(row, ground=None, facts={**row.facts, "sides": sorted(self.between)})
        elif there is None:
            raise NothingChosen(code=self.code)
        row = said_of_border(row, self.says)
        return replace(draft, rows={**draft.rows, row.key: row})

    def _chosen(self, coverage: Coverage) -> list[Any]:
        missing = [id_ for id_ in self.arcs if id_ not in coverage.arcs]
        if missing:
            raise UnknownArc(arc=missing[0])
        along = [coverage.arcs[id_] for id_ in self.arcs]
        return along or arcs_between(coverage, frozenset(self.between), *self.ends)

    def touches(self, draft: Draft) -> Touch:
        mine = _beside(self.layer, draft, self.arcs, *self.between)
        return Touch(frozenset({(LayerName.BORDER.value, self.code)}), mine.changes | mine.rests)


@dataclass(frozen=True, slots=True, kw_only=True)
class PutRow(Edit):
    """A row of a layer without shared borders is written, or what a unit's row says beyond its ground: agreements,
    designations, not-served ground, line rules, squads, duty. `row`: as `row_said`."""

    kind: ClassVar[str] = "put_row"
    row: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, draft: Draft, at: Indexes) -> Draft:
        row = row_of(self.row)
        if row.layer in COVERAGES and row.key not in draft.ended:
            there = draft.row(row.layer.value, row.code)
            if there is None:
                raise NoSuchUnit(layer=row.layer.value, code=row.code)
            if (row.since, row.until) != (there.since, there.until):
                raise PeriodChanged(layer=row.layer.value, code=row.code)
            row = replace(row, ground=there.ground)
        return replace(draft, rows={**draft.rows, row.key: row})

    def check(self, draft: Draft) -> None:
        """Squads that the row names must be there, and a calendar readable. Raises NoSuchSquad, BadCalendar, BadHours, NeverWorked."""
        row = row_of(self.row)
        if row.layer is LayerName.CALENDAR:
            check_row(row)
        missing = squads_named(row) - {k[1] for k in draft.rows if k[0] == LayerName.SQUAD.value}
        if missing:
            raise NoSuchSquad(of=f"{row.layer.value} {row.code}", value=", ".join(sorted(missing)))

    def touches(self, draft: Draft) -> Touch:
        return Touch(frozenset({(str(self.row["layer"]), str(self.row["code"]))}))


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveRow(Edit):
    """A row goes. Rows of units go by merging."""

    kind: ClassVar[str] = "remove_row"
    layer: str
    code: str
    since: str = ""

    def apply(self, draft: Draft, at: Indexes) -> Draft:
        key = (self.layer, self.code, self.since)
        if key not in draft.rows:
            raise NoSuchRow(layer=self.layer, code=self.code, since=self.since or "-")
        if self.layer in draft.coverages and draft.rows[key].until is None:
            raise WouldEmpty(who=self.code)
        return replace(draft, rows={k: r for k, r in draft.rows.items() if k != key})

    def check(self, draft: Draft) -> None:
        """A squad goes only when nobody names it any more, rows that have ended included: the map has them, too.

        Raises SquadStillNamed.
        """
        if self.layer == LayerName.SQUAD.value:
            naming = sorted(f"{r.layer.value} {r.code}" for r in draft.rows.values() if self.code in squads_named(r))
            if naming:
                more = f" … ({len(naming)})" if len(naming) > 5 else ""
                raise SquadStillNamed(code=self.code, rows=", ".join(naming[:5]) + more)

    def touches(self, draft: Draft) -> Touch:
        return Touch(frozenset({(self.layer, self.code)}))


def squads_named(row: Row) -> set[str]:
    """The squads that a claim names: whose ground, who is posted, who leads, who agreed."""
    facts = row.facts if row.layer in CLAIM_LAYERS else {}
    return {str(code) for code in (facts.get("squad"), facts.get("lead"), *facts.get("parties", ())) if code}


KINDS: Mapping[str, type[Edit]] = {
    kind.kind: kind for kind in (MoveBorder, MoveNode, HandOver, Split, Merge, RedrawBorder, ReplaceGround, SetBorder, PutRow, RemoveRow)
}


def edit_of(said: Mapping[str, Any]) -> Edit:
    """The edit that was written down. Raises UnknownEdit."""
    kind = KINDS.get(str(said.get("kind")))
    if kind is None:
        raise UnknownEdit(value=str(said.get("kind")), known=", ".join(KINDS))
    names = {f.name for f in fields(kind)}
    return kind(**{k: _frozen(v) if k != "row" else v for k, v in said.items() if k in names})


def row_said(row: Row) -> dict[str, Any]:
    """A row as JSON, its ground as WKT of whole millimetres."""
    said = row.stored._asdict()
    said |= {k: None if said[k] is None else said[k].isoformat() for k in ("since", "until")}
    said["accuracy_m"] = None if row.accuracy_m is None else repr(row.accuracy_m)
    said["ground"] = None if row.ground is None else shapely.to_wkt(row.ground, rounding_precision=0, trim=True)
    return said


def row_of(said: Mapping[str, Any]) -> Row:
    """The row `row_said` told."""
    since, until = (datetime.fromisoformat(said[k]) if said.get(k) else None for k in ("since", "until"))
    accuracy = said.get("accuracy_m")
    ground = None if not said.get("ground") else shapely.normalize(shapely.from_wkt(said["ground"]))
    plain = {k: said.get(k) or "" for k in ("code", "name", "document", "source", "licence", "datum")}
    return Row(
        LayerName(said["layer"]), ground=ground, facts=said.get("facts", {}), since=since, until=until,
        accuracy_m=None if accuracy is None else float(accuracy), **plain,
    )


# --- a draft being worked on ---


@dataclass(frozen=True, slots=True)
class Refused:
    """An edit that did not go onto another base, and why."""

    number: int
    edit: Edit
    why: JieguanError


def replayed(draft: Draft, edits: Iterable[Edit]) -> Draft:
    """A base with edits that were taken before, in order."""
    at = Indexes(draft)
    for edit in edits:
        draft = edit.apply(draft, at)
    return draft


def taken(draft: Draft, edit: Edit, at: Indexes) -> Draft:
    """The draft with an edit that is new to it. Raises what the edit refuses."""
    edit.check(draft)
    return edit.apply(draft, at)


def rebased(base: Draft, edits: Sequence[Edit]) -> tuple[Draft, tuple[Edit, ...], tuple[Refused, ...]]:
    """Edits made on another base, one by one: the draft, those that hold, and those refused with their reason."""
    at, draft = Indexes(base), base
    held, refused = [], []
    for number, edit in enumerate(edits):
        try:
            draft = taken(draft, edit, at)
        except JieguanError as why:
            refused.append(Refused(number, edit, why))
        else:
            held.append(edit)
    return draft, tuple(held), tuple(refused)


# --- small parts ---


def _with_row(draft: Draft, layer: str, code: str, name: str, like: str | None = None) -> Draft:
    """A unit that is new gets a row, like its parent's but for its code."""
    if draft.row(layer, code) is not None:
        return draft
    parent = draft.row(layer, like) if like else None
    row = replace(parent, code=code, name=name, ground=None) if parent else Row(LayerName(layer), code, name=name)
    facts = dict(row.facts) or _bare_facts(layer, code)
    facts |= {"id": f"{layer}:{code}", "code": code} if layer == LayerName.TOWNSHIP.value else {"id": f"{layer}:{code}", "squad": code}
    if layer == LayerName.TOWNSHIP.value:
        facts["squad"] = None
    row = replace(row, facts=facts, since=None)
    return replace(draft, rows={**draft.rows, row.key: row}, changed=draft.changed | {(layer, code)})


def _bare_facts(layer: str, code: str) -> dict[str, Any]:
    if layer == LayerName.TOWNSHIP.value:
        return {"kind": "township", "code": code, "squad": None}
    return {"kind": "territory", "squad": code, "priority": 0, "accuracy_m": None}


def _cut(ground: Any, line: Path, who: str) -> list[Any]:
    """The pieces of a ground on either side of a line, whole millimetres. Raises LineDoesNotCut."""
    if len(set(line)) < 2:
        raise LineDoesNotCut(who=who)
    noded = shapely.union_all([shapely.boundary(ground), shapely.LineString(line)])
    made = shapely.get_parts(shapely.polygonize(shapely.get_parts(noded)))
    pieces = [p for p in made if shapely.covers(ground, shapely.point_on_surface(p))]
    if len(pieces) <= len(shapely.get_parts(ground)):
        raise LineDoesNotCut(who=who)
    return [whole for p in pieces if (whole := _whole(p)) is not None]


def _whole(shape: Any) -> Any:
    """The polygons of a shape on the grid; None where nothing is left of it."""
    parts = [p for p in shapely.get_parts(shape) if p.geom_type == "Polygon"]
    grid = [shapely.transform(p, np.rint) for p in parts]
    kept = [p for p in grid if shapely.area(p) > 0]
    return shapely.MultiPolygon(kept) if kept else None


def _polygons(piece: tuple[tuple[Path, ...], ...]) -> Any:
    """Rings of whole millimetres -> polygons. Raises SelfCrossing."""
    made = shapely.MultiPolygon([(rings[0], list(rings[1:])) for rings in piece])
    if not shapely.is_valid(made) or made.is_empty:
        raise SelfCrossing(reason=str(shapely.is_valid_reason(made)))
    return made


def rings_of(shape: Any) -> tuple[tuple[Path, ...], ...]:
    """Polygons of whole millimetres as the rings an edit is written with."""
    return tuple(
        tuple(tuple((int(x), int(y)) for x, y in ring.coords) for ring in (part.exterior, *part.interiors))
        for part in shapely.get_parts(shape)
    )


def _check_meets(draft: Draft, at: Indexes, piece: Any, layer: str) -> None:
    """Some of the piece must lie on ground that the draft knows, whichever its layer."""
    first, box = shapely.get_coordinates(piece)[0], _bounds(piece)
    indexes = [at.of(draft, name) for name in draft.coverages]
    if not any(index.near(box) or located(index, first) for index in indexes):
        raise PieceOutside(layer=layer, at=(first / 1000).tolist())


def _bounds(shape: Any) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = shapely.bounds(shape).tolist()
    return x0, y0, x1, y1


def _with_end(path: Ints, at: tuple[int, int], to: tuple[int, int]) -> Ints:
    out = path.copy()
    out[(path == np.array(at)).all(1)] = to
    return out


def _beside(layer: str, draft: Draft, arcs: Iterable[str], *codes: str) -> Touch:
    """Arcs change; whose ground they part, it rests on."""
    coverage = draft.coverages.get(layer, Coverage({}))
    held = {c for i in arcs if i in coverage.arcs for c in coverage.arcs[i].holders}
    return Touch(frozenset((layer, i) for i in arcs), frozenset((layer, c) for c in (*held, *codes)))


def _units(layer: str, draft: Draft, *codes: str) -> Touch:
    coverage = draft.coverages.get(layer, Coverage({}))
    return Touch(frozenset((layer, name) for code in codes for name in (code, *(a.id for a in coverage.outline(code)))))


def _near_piece(layer: str, draft: Draft, piece: tuple[tuple[Path, ...], ...], *codes: str) -> Touch:
    coverage = draft.coverages.get(layer, Coverage({}))
    x0, y0, x1, y1 = _bounds(shapely.MultiPoint([p for rings in piece for p in rings[0]]))
    return _beside(layer, draft, [a.id for a in coverage.arcs.values() if _meet(a.path, (x0, y0), (x1, y1))], *codes)


def _meet(path: Ints, low: tuple[float, float], high: tuple[float, float]) -> bool:
    return bool((path.max(0) >= low).all() and (path.min(0) <= high).all())


def _ints(path: Path) -> Ints:
    return np.array(path, np.int64).reshape(-1, 2)


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list | tuple) else value
