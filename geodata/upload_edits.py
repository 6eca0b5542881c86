"""An uploaded file as edits of a draft: what its author changed, said in the edits that planners make.

Where both sides of a border were redrawn alike, the border moves. All else changes hands piece by piece: what one unit
gained, another loses, also where only the one was drawn. Ground that two would hold, or nobody, is no edit but a refusal with
its place. Whoever is gone from a whole layer is merged into the unit that got most of his ground.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import shapely

from geodata.arcs import Coverage
from geodata.coverages import coverage_of
from geodata.edits import (
    Draft,
    Edit,
    HandOver,
    Indexes,
    Merge,
    MoveBorder,
    PeriodChanged,
    PutRow,
    RemoveRow,
    WouldOpen,
    rings_of,
    row_said,
    taken,
)
from geodata.exporting import changed_fields
from geodata.layer import COVERAGES, LayerName, Row, in_metres, on_grid
from geodata.upload_rows import Read
from routing.errors import JieguanError, Lang

SLIVER_MM = 2.0
"""Ground narrower than this comes of rounding where a drawn line crosses a border: nobody gained it."""

Grounds = Mapping[str, Any]
"""Code -> polygons of whole millimetres."""


class BothClaim(JieguanError):
    zh = "图层 {layer}:文件中“{one}”与“{other}”同占 {area} 平方米(约在 {at},米)。一块地只能划给一方:请在文件中改正其中一方的边界。"
    en = (
        "Layer {layer}: in the file both {one!r} and {other!r} hold {area} m2 near {at} (metres). A piece of ground goes to one: "
        "correct the outline of either."
    )


class NobodyGot(JieguanError):
    zh = "图层 {layer}:“{code}”已从文件中删去,但它的 {area} 平方米(约在 {at},米)无人接手。请把这块地划给邻方后再删。"
    en = (
        "Layer {layer}: {code!r} is gone from the file, and nobody in it holds its {area} m2 near {at} (metres). Give that ground to a "
        "neighbour, then delete it."
    )


class CodeChanged(JieguanError):
    zh = "图层 {layer}:编号“{code}”在文件中变成了“{new}”。编号是案件与签字的依据,不能借上传改名:请改回,或在草案中先划转再合并。"
    en = (
        "Layer {layer}: the code {code!r} has become {new!r} in the file. Cases and signatures go by codes, so an upload renames nobody: "
        "put it back, or hand over and merge in the draft."
    )


class TooSlight(JieguanError):
    zh = "图层 {layer} 的“{code}”改动不足 {width} 毫米宽:分不清是改动还是取整误差,未采纳。如确要移动,请多移一些。"
    en = (
        "Layer {layer}: what changed of {code!r} is less than {width} mm wide, no telling it from rounding, and was not taken. Move the "
        "border farther if you mean it."
    )


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """One edit that the file asks for; without one, `why` there is none. `facts`: what its sentence needs."""

    layer: str
    code: str
    edit: Edit | None = None
    why: JieguanError | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    def text(self, lang: Lang) -> str:
        """What it would do, in one language; for a refusal, why it does nothing."""
        if self.edit is None:
            assert self.why is not None
            return self.why.text(lang)
        zh, en = SAID[self.edit.kind]
        return (zh if lang == "zh-CN" else en).format(layer=self.layer, code=self.code, **self.facts)


SAID: Mapping[str, tuple[str, str]] = {
    "move_border": ("图层 {layer}:{between} 之间的界段改画。", "Layer {layer}: the border between {between} moves."),
    "hand_over": (
        "图层 {layer}:{area} 平方米由 {of} 划给“{code}”。",
        "Layer {layer}: {area} m2 go from {of} to {code!r}.",
    ),
    "merge": ("图层 {layer}:“{code}”并入“{into}”。", "Layer {layer}: {code!r} is merged into {into!r}."),
    "put_row": ("图层 {layer}:“{code}”改写({fields})。", "Layer {layer}: {code!r} is written anew ({fields})."),
    "remove_row": ("图层 {layer}:删去“{code}”。", "Layer {layer}: {code!r} is removed."),
}


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A wish tried on a draft: accepted, or refused with the reason."""

    wish: Wish
    why: JieguanError | None

    @property
    def accepted(self) -> bool:
        """Whether the draft can have it."""
        return self.why is None

    def text(self, lang: Lang) -> str:
        """What it does, and if refused, why not, in one language."""
        if self.why is None or self.wish.edit is None:
            return self.wish.text(lang)
        return f"{self.wish.text(lang)} {self.why.text(lang)}"

    def said(self) -> dict[str, Any]:
        """As JSON."""
        edit = None if self.wish.edit is None else self.wish.edit.said()
        reason = None if self.why is None else {"error": type(self.why).__name__, "zh": self.why.text("zh-CN"), "en": self.why.text("en")}
        return {
            "layer": self.wish.layer, "code": self.wish.code, "accepted": self.accepted, "zh": self.wish.text("zh-CN"),
            "en": self.wish.text("en"), "edit": edit, "reason": reason,
        }  # fmt: skip


def wishes_of(base: Draft, read: Read) -> tuple[Wish, ...]:
    """What the file asks for, in an order in which it can be done. `base`: the draft as the file's author had it."""
    wishes = [Wish(r.layer, r.code, why=r.why) for r in read.refused]
    for layer in COVERAGES:
        wishes += _Borders(layer, base, read).wishes()
    wishes += _rows(base, read)
    return tuple(wishes)


def tried(draft: Draft, wishes: Iterable[Wish]) -> tuple[Draft, tuple[Outcome, ...]]:
    """The draft with every wish that it can have, one after the other. The draft given stays what it is."""
    at, outcomes = Indexes(draft), []
    for wish in wishes:
        why = wish.why
        if wish.edit is not None:
            try:
                draft = taken(draft, wish.edit, at)
            except JieguanError as error:
                why = error
        outcomes.append(Outcome(wish, why))
    return draft, tuple(outcomes)


# ---- ground ----------------------------------------------------------------------------------------------------------


class _Borders:
    """Whose ground changed in one layer, and what edits say so."""

    def __init__(self, layer: LayerName, base: Draft, read: Read) -> None:
        self.layer, self.base, self.coverage = layer.value, base, base.coverages[layer.value]
        held = {r.code: r for r in base.features() if r.layer is layer and r.until is None and r.ground is not None}
        drawn = {r.code: r for r in read.rows if r.layer is layer and r.until is None and r.ground is not None}
        self.was: dict[str, Any] = {code: row.ground for code, row in held.items()}
        kept = {r.code for r in read.rows if r.layer is layer} | {r.code for r in read.refused if r.layer == self.layer}
        missing = self.was.keys() - drawn.keys()
        self.gone = missing - kept if layer in read.whole and "*" not in kept else set()
        self.now: dict[str, Any] = {c: g for c, g in self.was.items() if c in missing - self.gone} | {c: r.ground for c, r in drawn.items()}
        self.names = {code: row.name for code, row in drawn.items()}
        self.new = self.now.keys() - self.was.keys()
        self.changed = {c for c in self.was.keys() & self.now.keys() if not shapely.equals_identical(self.was[c], self.now[c])}

    def wishes(self) -> Iterator[Wish]:
        """Moves of borders as far as they say it; for the rest pieces of ground, refusals, merges."""
        if self.changed | self.new | self.gone:
            yield from self._moves()
        if self.changed | self.new | self.gone:
            yield from self._pieces()

    def _moves(self) -> list[Wish]:
        """A move for each border that runs between the same ends and sides in the file, on another path. What is so said is done
        with: `was` is the ground after it. A move that cannot be made is left to be said piece by piece."""
        after = coverage_of({code: in_metres(ground) for code, ground in self.now.items()})
        left, made = _differing(self.coverage, after), _differing(after, self.coverage)
        draft, at = self.base, Indexes(self.base)
        found: list[Wish] = []
        codes: set[str] = set()
        for ends in sorted(left.keys() & made.keys()):
            if len(left[ends]) > 1 or len(made[ends]) > 1:
                continue
            arc, to = left[ends][0], made[ends][0]
            edit = MoveBorder(layer=self.layer, arc=arc.id, path=tuple((x, y) for x, y in to.path.tolist()))
            try:
                draft = edit.apply(draft, at)
            except JieguanError:
                continue
            codes |= arc.holders
            between = sorted(arc.holders)
            found.append(Wish(self.layer, between[0], edit, facts={"between": " | ".join((*between, "-")[: max(2, len(between))])}))
        self.was |= {code: on_grid(draft.coverages[self.layer].ground(code)) for code in codes}
        self.changed = {c for c in self.changed if not shapely.equals_identical(self.was[c], self.now[c])}
        return found

    def _pieces(self) -> Iterator[Wish]:
        """Every unit that gained, by its code: from whom, and what nobody had. Then those that lost to nobody, then the gone."""
        handed: dict[str, list[tuple[str, Any]]] = {}
        told: set[str] = set()
        for code in sorted(self.changed | self.new):
            for wish, other, piece in self._gains(code, handed):
                told |= {code, other}
                if wish.edit is not None and other:
                    handed.setdefault(other, []).append((code, piece))
                if wish.edit is None or other not in self.gone:  # of the gone it is told when they are merged
                    yield wish
        for code in sorted(self.changed):
            for wish in self._losses(code):
                told.add(code)
                yield wish
        for code in sorted(self.gone):
            yield from self._merged(code, handed.get(code, []))
        for code in sorted(self.changed - told):
            yield Wish(self.layer, code, why=TooSlight(layer=self.layer, code=code, width=f"{SLIVER_MM:g}"))

    def _gains(self, code: str, handed: Mapping[str, Sequence[tuple[str, Any]]]) -> Iterator[tuple[Wish, str, Any]]:
        """(wish, whose ground it was, piece) of all that a unit has in the file and had not before."""
        gain = _solid(shapely.difference(self.now[code], self.was[code]) if code in self.was else self.now[code])
        if gain is None:
            return
        rest = gain
        for other in _near(self.was, gain):
            piece = _solid(shapely.intersection(gain, self.was[other]))
            rest = shapely.difference(rest, self.was[other])
            if other == code or piece is None:
                continue
            rivals = [(other, self.now[other])] if other in self.changed else []
            for rival, ground in [*rivals, *handed.get(other, ())]:
                both = _solid(shapely.intersection(piece, ground))
                if both is not None:
                    yield self._refused(BothClaim, code, both, one=code, other=rival), other, both
                    piece = _solid(shapely.difference(piece, both))
                if piece is None:
                    break
            if piece is not None:
                yield self._handed(code, (other,), piece), other, piece
        free = _solid(rest)
        if free is not None:
            yield self._handed(code, (), free), "", free

    def _handed(self, code: str, of: tuple[str, ...], piece: Any) -> Wish:
        edit = HandOver(layer=self.layer, piece=rings_of(piece), to=code, of=of, name=self.names.get(code, ""))
        return Wish(self.layer, code, edit, facts={"area": _area(piece), "of": ", ".join(of) or "-"})

    def _losses(self, code: str) -> Iterator[Wish]:
        """What a unit has given up and nobody holds."""
        lost = shapely.difference(self.was[code], self.now[code])
        others = [self.now[c] for c in _near(self.now, lost) if c != code]
        open_ = _solid(shapely.difference(lost, shapely.union_all(others)))
        if open_ is not None:
            near = [c for c in _near(self.now, shapely.buffer(open_, 1000)) if c != code]
            yield self._refused(WouldOpen, code, open_, near=", ".join(near) or "-")

    def _merged(self, code: str, pieces: Sequence[tuple[str, Any]]) -> Iterator[Wish]:
        """A unit that is gone: its ground to whoever holds it in the file, the unit itself to him who got most."""
        others = [self.now[c] for c in _near(self.now, self.was[code])]
        left = _solid(shapely.difference(self.was[code], shapely.union_all(others)))
        if left is not None:
            yield self._refused(NobodyGot, code, left)
            return
        ranked = sorted(pieces, key=lambda p: (-shapely.area(p[1]), p[0]))
        heir = next((c for c, _ in ranked if c in self.was), None)
        if heir is None:
            new = ranked[0][0] if ranked else "-"
            yield Wish(self.layer, code, why=CodeChanged(layer=self.layer, code=code, new=new))
            return
        for to, piece in ranked:
            if to != heir:
                yield self._handed(to, (code,), piece)
        yield Wish(self.layer, code, Merge(layer=self.layer, codes=(code,), into=heir), facts={"into": heir})

    def _refused(self, kind: type[JieguanError], code: str, ground: Any, **facts: object) -> Wish:
        at = shapely.point_on_surface(ground)
        where = [round(at.x / 1000, 3), round(at.y / 1000, 3)]
        return Wish(self.layer, code, why=kind(layer=self.layer, code=code, area=_area(ground), at=where, **facts))


Ends = tuple[Any, ...]


def _differing(of: Coverage, other: Coverage) -> dict[Ends, list[Any]]:
    """Arcs that the other coverage has not, by their ends and sides."""
    known = {arc.key for arc in other.arcs.values()}
    found: dict[Ends, list[Any]] = {}
    for arc in of.arcs.values():
        if arc.key not in known:
            ends = (*arc.path[0].tolist(), *arc.path[-1].tolist(), arc.left, arc.right)
            found.setdefault(ends, []).append(arc)
    return found


def _near(grounds: Grounds, shape: Any) -> list[str]:
    """Whose bounds meet those of a shape, in order."""
    codes = sorted(grounds)
    boxes = shapely.bounds(np.array([grounds[c] for c in codes] + [None], object))[:-1]
    x0, y0, x1, y1 = shapely.bounds(shape).tolist()
    meets = (boxes[:, 0] <= x1) & (boxes[:, 2] >= x0) & (boxes[:, 1] <= y1) & (boxes[:, 3] >= y0)
    return [codes[i] for i in np.flatnonzero(meets)]


def _solid(shape: Any) -> Any:
    """The polygons of a shape on the grid that are wider than a sliver; None where there is none."""
    whole = shapely.set_precision(shape, 1.0)
    parts = [p for p in shapely.get_parts(whole).tolist() if p.geom_type == "Polygon"]
    kept = [p for p in parts if 2 * shapely.area(p) > SLIVER_MM * shapely.length(p)]
    return shapely.MultiPolygon(kept) if kept else None


def _area(shape: Any) -> str:
    return f"{shapely.area(shape) / 1e6:.3g}" if shapely.area(shape) < 1e9 else f"{shapely.area(shape) / 1e6:.0f}"


# ---- what rows say ---------------------------------------------------------------------------------------------------


def _rows(base: Draft, read: Read) -> Iterator[Wish]:
    """Rows written anew, then rows that are gone."""
    like = {r.key: r for r in base.features()}
    units = {(r.layer, r.code): r for r in like.values() if r.layer in COVERAGES and r.until is None}
    for row in sorted(read.rows, key=lambda r: r.layer is not LayerName.SQUAD):  # before others name them
        held = units.get((row.layer, row.code))
        if row.layer in COVERAGES and (row.until is None or (held is not None and row.key == held.key)):
            yield from _unit(row, held)
        elif row.key not in like or row.hash != like[row.key].hash:
            fields = changed_fields(like.get(row.key), row)
            yield Wish(row.layer.value, row.code, PutRow(row=row_said(row)), facts={"fields": ", ".join(fields)})
    yield from _removed(like, read)


def _unit(row: Row, held: Row | None) -> Iterator[Wish]:
    """A unit's row but for its ground, which the draft has."""
    layer = row.layer.value
    if (row.since, row.until) != ((None, None) if held is None else (held.since, held.until)):
        yield Wish(layer, row.code, why=PeriodChanged(layer=layer, code=row.code))
    elif held is None or replace(row, ground=held.ground).hash != held.hash:
        fields = changed_fields(held, replace(row, ground=None if held is None else held.ground))
        yield Wish(layer, row.code, PutRow(row=row_said(replace(row, ground=None))), facts={"fields": ", ".join(fields)})


def _removed(like: Mapping[Any, Row], read: Read) -> Iterator[Wish]:
    there = {r.key for r in read.rows}
    refused = {(r.layer, r.code) for r in read.refused}
    gone = [
        row
        for key, row in sorted(like.items())
        if row.layer in read.whole and key not in there and not {(row.layer.value, row.code), (row.layer.value, "*")} & refused
        if row.layer not in COVERAGES or row.until is not None
    ]
    for row in sorted(gone, key=lambda r: r.layer is LayerName.SQUAD):  # when nobody names them any more
        yield Wish(row.layer.value, row.code, RemoveRow(layer=row.layer.value, code=row.code, since=row.key[2]))
