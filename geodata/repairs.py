"""Repairs of a draft: proposals, each with what it would change, made by nobody but whoever takes one.

    found = repairs_of(draft, checks, limits)         what could be done about each finding, and why about others nothing
    after, now = tried(draft, checks, repair, at)     one of them made, and held to what it promised

A gap goes to the neighbour with the longest common border, an overlap to the first of its two holders in the agreed order, an
open strip between two outlines to the one that has more of its border. Each is an edit like those that planners draw, so it
is logged, undone and signed as they are. A repair changes the ground of those it names and of nobody else, leaves nobody
without ground, settles its finding and makes no other; `tried` refuses one that would not. What is wider than the limits is
left to people, as in `proposal.py`: a park between two squads is no drawing flaw.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
import shapely

from geodata.arcs import Arc, Coverage, millimetres
from geodata.draft_checks import Checks, area_m2, grounds_of, rechecked
from geodata.edits import Draft, Edit, HandOver, Indexes, NoSuchUnit, rings_of, taken
from geodata.proposal import Left, Limits, Why
from geodata.topology_edges import NEAR_M
from geodata.topology_issue import Issue, amount
from routing.errors import JieguanError, Lang
from routing.ground.noding import MM

GRID_M = 0.001
ROOM_M = 5.0
"""Around a strip: farther than anything that decides where it ends."""


class FindingStays(JieguanError):
    zh = "按建议改正后,“{finding}”仍然存在,未采用。请人工改画。"
    en = "The finding {finding!r} would still be there after this repair, so it was not made. Draw it by hand."


class MakesFinding(JieguanError):
    zh = "按建议改正“{finding}”会带来新的问题,未采用:{made} 请人工改画。"
    en = "Repairing {finding!r} in this way would make another finding, so it was not done: {made} Draw it by hand."


class TouchesOthers(JieguanError):
    zh = "按建议改正“{finding}”会动到 {who} 的地,未采用。请人工改画。"
    en = "Repairing {finding!r} in this way would change ground of {who}, so it was not done. Draw it by hand."


@dataclass(frozen=True, slots=True)
class Widths(Limits):
    """Wider overlaps, gaps and open strips are left to people, metres. No check sees strips wider than half a metre."""

    snap_m: float = NEAR_M


class Kind(StrEnum):
    """What is done."""

    CLOSE_GAP = "close_gap"
    CUT_OVERLAP = "cut_overlap"
    SNAP = "snap"


SAID: Mapping[Kind, tuple[str, str]] = {
    Kind.CLOSE_GAP: (
        "空白 {area} 平方米(最宽 {width} 米)划给“{gains}”:它与空白的共同边界最长。",
        "The gap of {area} m2 (up to {width} m wide) goes to {gains!r}, which has most of its border.",
    ),
    Kind.CUT_OVERLAP: (
        "重叠的 {area} 平方米(最宽 {width} 米)归“{gains}”,“{loses}”让出:按既定次序。",
        "The {area} m2 (up to {width} m wide) that both hold stay with {gains!r}, and {loses!r} gives them up, by the agreed order.",
    ),
    Kind.SNAP: (
        "两条边界之间的窄缝 {area} 平方米(最宽 {width} 米)划给“{gains}”:两线合为一条。",
        "The open strip of {area} m2 (up to {width} m wide) goes to {gains!r}: the two lines become one.",
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class Repair:
    """What could be done about one finding. `loses` None: nobody had the ground. `piece`: the ground that changes hands,
    polygons of whole millimetres. `edits` carry it out, in order."""

    layer: str
    issue: Issue
    kind: Kind
    gains: str
    loses: str | None
    piece: Any
    edits: tuple[Edit, ...]
    coverage: Coverage

    @property
    def finding(self) -> str:
        """The id of the finding."""
        return self.issue.id

    @property
    def area_m2(self) -> float:
        """Of the piece."""
        return area_m2(self.piece)

    @property
    def who(self) -> tuple[str, ...]:
        """Whose ground changes: who gains, then who loses."""
        return (self.gains,) if self.loses is None else (self.gains, self.loses)

    @property
    def concerns(self) -> tuple[str, ...]:
        """Whose outline changes: of an open strip also the other side's, where the strip is cut off."""
        return tuple(dict.fromkeys((*self.who, *(self.issue.features if self.kind is Kind.SNAP else ()))))

    @property
    def before(self) -> dict[str, Any]:
        """The ground of those it concerns as it is, whole millimetres, by code."""
        return {code: millimetres(self.coverage.ground(code)) for code in self.concerns}

    @property
    def after(self) -> dict[str, Any]:
        """The same as it would be."""
        ground = self.before
        ground[self.gains] = _polygons(shapely.union(ground[self.gains], self.piece))
        if self.loses is not None:
            ground[self.loses] = _polygons(shapely.difference(ground[self.loses], self.piece))
        return ground

    def text(self, lang: Lang) -> str:
        """What it would do, in one language."""
        zh, en = SAID[self.kind]
        facts = {"area": amount(self.area_m2), "width": amount(self.issue.width_m or 0.0)}
        return (zh if lang == "zh-CN" else en).format(gains=self.gains, loses=self.loses or "-", **facts)


@dataclass(frozen=True, slots=True, eq=False)
class Repairs:
    """What could be done about the findings of a draft, and (layer, finding, why) of those about which nothing can."""

    made: tuple[Repair, ...]
    left: tuple[tuple[str, Left], ...]


def repairs_of(
    draft: Draft, checks: Mapping[str, Checks], limits: Widths = Widths(), *, order: Sequence[str] = (), only: str | None = None
) -> Repairs:
    """A proposal for each finding, in the order of layers and findings; those it cannot help with the reason.

    `checks`: of the draft as it stands, by layer. `order`: who keeps an overlap, first first; who is not in it comes after, by
    the priority of his row, then by code. `only`: one finding. Raises NoSuchUnit where the order names somebody unknown.
    """
    known = {code for coverage in draft.coverages.values() for code in coverage.codes()}
    for code in order:
        if code not in known:
            raise NoSuchUnit(layer=", ".join(draft.coverages), code=code)
    made: list[Repair] = []
    left: list[tuple[str, Left]] = []
    for layer in sorted(checks):
        some = [i for i in checks[layer].issues if only in (None, i.id)]
        if some:
            of_layer = _Layer(layer, draft, checks[layer], some, limits, order)
            for issue in some:
                found = of_layer.repair(issue)
                if isinstance(found, Repair):
                    made.append(found)
                else:
                    left.append((layer, found))
    return Repairs(tuple(made), tuple(left))


def tried(draft: Draft, checks: Mapping[str, Checks], repair: Repair, at: Indexes) -> tuple[Draft, dict[str, Checks]]:
    """The draft after a repair, and its checks. `at` moves along.

    Raises FindingStays, MakesFinding, TouchesOthers, and what the edit refuses (WouldEmpty ...); then nothing has changed.
    """
    after = draft
    for edit in repair.edits:
        after = taken(after, edit, at)
    now = rechecked(checks[repair.layer], after.coverages[repair.layer], at.of(after, repair.layer))
    before, since = ({_key(i): _size(i) for i in c.issues} for c in (checks[repair.layer], now))
    if _key(repair.issue) in since:
        raise FindingStays(finding=repair.finding)
    for issue in now.issues:
        was = before.get(_key(issue))
        if was is None or _size(issue) > was * 1.001 + 1e-6:
            raise MakesFinding(finding=repair.finding, made=issue)
    others = sorted(c for c in _differing(checks[repair.layer], now) if c not in repair.concerns)
    if others:
        raise TouchesOthers(finding=repair.finding, who=", ".join(others))
    return after, {**checks, repair.layer: now}


def _key(issue: Issue) -> tuple[object, ...]:
    """What makes two findings of two states of a layer the same one: an overlap is its pair's, a gap lies at its place."""
    kind = issue.facts.get("kind")
    if issue.code == "gap" or (issue.code, kind) == ("sliver", "gap"):
        return "gap", issue.place
    if issue.code == "overlap" or (issue.code, kind) == ("sliver", "overlap"):
        return "overlap", issue.features
    if issue.code == "spike":
        return issue.code, issue.features, issue.place
    return issue.code, kind if issue.code == "unmatched_edge" else None, issue.features


def _size(issue: Issue) -> float:
    """How much of it there is: more of it is new."""
    if issue.area_m2 is not None and issue.code != "multi_part":
        return issue.area_m2
    count = issue.facts.get("count", 0)
    return float(count) if isinstance(count, int) else 0.0


def _differing(before: Checks, after: Checks) -> set[str]:
    """Whose ground is not the same ground. A vertex more on a straight border is no change."""
    codes = before.grounds.keys() | after.grounds.keys()
    some = [c for c in sorted(codes) if before.grounds.get(c) is not after.grounds.get(c)]
    gone = {c for c in some if c not in before.grounds or c not in after.grounds}
    rest = [c for c in some if c not in gone]
    return gone | {c for c in rest if shapely.area(shapely.symmetric_difference(before.grounds[c], after.grounds[c])) > 0}


# --- one layer --------------------------------------------------------------------------------------------------------


class _Layer:
    """A layer's findings, and what to do about each."""

    def __init__(
        self, layer: str, draft: Draft, checks: Checks, issues: Sequence[Issue], limits: Widths, order: Sequence[str]
    ) -> None:
        self.layer, self.checks, self.coverage, self.limits = layer, checks, checks.coverage, limits
        self.grounds = grounds_of(checks, issues)
        self.priority = {k[1]: int(r.facts.get("priority") or 0) for k, r in draft.rows.items() if k[0] == layer and r.until is None}
        self.place = {code: n for n, code in enumerate(order)}
        self._rim: dict[frozenset[tuple[int, ...]], Arc] | None = None

    def repair(self, issue: Issue) -> Repair | Left:
        """What to do, or why nothing."""
        kind = issue.facts.get("kind")
        if issue.code == "gap" or (issue.code, kind) == ("sliver", "gap"):
            return self._gap(issue)
        if issue.code == "overlap" or (issue.code, kind) == ("sliver", "overlap"):
            return self._overlap(issue)
        if (issue.code, kind) == ("unmatched_edge", "rim"):
            return self._strip(issue)
        return Left(issue, Why.OTHER)

    def _rank(self, code: str) -> tuple[int, int, str]:
        return self.place.get(code, len(self.place)), self.priority.get(code, 0), code

    def _gap(self, issue: Issue) -> Repair | Left:
        if (issue.width_m or 0.0) > self.limits.gap_m:
            return Left(issue, Why.WIDE)
        piece = self.grounds[issue.id]
        border = self._border(piece)
        gains = min(border, key=lambda c: (-round(border[c], 3), *self._rank(c)))
        return self._handed(issue, Kind.CLOSE_GAP, gains, None, piece)

    def _border(self, piece: Any) -> dict[str, float]:
        """Metres of a gap's border, by who holds the ground behind it."""
        if self._rim is None:
            rim = [a for a in self.coverage.arcs.values() if not a.left or not a.right]
            self._rim = {_edge(a.path[0].tolist(), a.path[1].tolist()): a for a in rim}
        border: dict[str, float] = defaultdict(float)
        for ring in shapely.get_rings(shapely.get_parts(piece)).tolist():
            for a, b in pairwise(shapely.get_coordinates(ring).astype(np.int64).tolist()):
                arc = self._rim.get(_edge(a, b))
                for code in () if arc is None else arc.holders:
                    border[code] += float(np.hypot(*np.diff(arc.path, axis=0).T.astype(float)).sum()) / MM  # type: ignore[union-attr]
        return border

    def _overlap(self, issue: Issue) -> Repair | Left:
        if (issue.width_m or 0.0) > self.limits.overlap_m:
            return Left(issue, Why.WIDE)
        gains, loses = sorted(issue.features, key=self._rank)
        piece = self.grounds[issue.id]
        if shapely.is_empty(shapely.difference(millimetres(self.checks.grounds[loses]), piece)):
            return Left(issue, Why.WOULD_EMPTY, (loses,))
        return self._handed(issue, Kind.CUT_OVERLAP, gains, loses, piece)

    def _strip(self, issue: Issue) -> Repair | Left:
        if (issue.width_m or 0.0) > self.limits.snap_m:
            return Left(issue, Why.WIDE)
        one, other = issue.features
        piece = strip_between(self.checks.grounds, one, other)
        if piece is None:
            return Left(issue, Why.OPEN)
        rim = shapely.boundary(piece)  # its ends were rounded to the grid, so it runs along the two to a millimetre
        along = {c: shapely.length(shapely.intersection(rim, shapely.buffer(self._near(c, piece), 1))) for c in (one, other)}
        gains = min(along, key=lambda c: (-round(along[c], -1), *self._rank(c)))
        return self._handed(issue, Kind.SNAP, gains, None, piece)

    def _near(self, code: str, piece: Any) -> Any:
        x0, y0, x1, y1 = (shapely.bounds(piece) / MM).tolist()
        return millimetres(shapely.clip_by_rect(self.checks.grounds[code], x0 - ROOM_M, y0 - ROOM_M, x1 + ROOM_M, y1 + ROOM_M))

    def _handed(self, issue: Issue, kind: Kind, gains: str, loses: str | None, piece: Any) -> Repair:
        edit = HandOver(layer=self.layer, piece=rings_of(piece), to=gains, of=() if loses is None else (loses,))
        return Repair(self.layer, issue, kind, gains, loses, piece, (edit,), self.coverage)


def strip_between(grounds: Mapping[str, Any], one: str, other: str) -> Any:
    """The ground of nobody between two outlines (metres) that run side by side, as far as they are within NEAR_M of each other:
    polygons of whole millimetres, None where there is none. Its ends are cut straight.

    It is what the two together gain when they are widened by half of that and narrowed again: this fills what is narrow, and
    mitred corners come back as they were. Where the two run apart at a sharp angle a mitre would reach back far into the strip,
    so there it ends in a bevel, straight across where it has become too wide.
    """
    a, b = grounds[one], grounds[other]
    reach = NEAR_M + 2 * GRID_M
    facing = shapely.intersection(shapely.buffer(shapely.boundary(a), reach), shapely.boundary(b))
    if shapely.is_empty(facing):
        return None
    x0, y0, x1, y1 = shapely.bounds(facing).tolist()
    window = (x0 - ROOM_M, y0 - ROOM_M, x1 + ROOM_M, y1 + ROOM_M)
    near = [shapely.clip_by_rect(g, *window) for g in grounds.values() if _meets(g, window)]
    both = shapely.union(shapely.clip_by_rect(a, *window), shapely.clip_by_rect(b, *window), grid_size=GRID_M)
    wide = shapely.buffer(both, reach / 2, join_style="mitre")
    mitred, cut = (shapely.buffer(wide, -reach / 2, join_style=how) for how in ("mitre", "bevel"))
    ends = [p for p in shapely.get_parts(shapely.difference(cut, mitred, grid_size=GRID_M)) if _length(p) > 2 * NEAR_M]
    closed = shapely.union_all([mitred, *ends], grid_size=GRID_M)
    free = shapely.difference(closed, shapely.union_all(near, grid_size=GRID_M), grid_size=GRID_M)
    kept = [p for p in shapely.get_parts(free) if p.geom_type == "Polygon" and all(shapely.dwithin(p, g, GRID_M) for g in (a, b))]
    kept = [p for p in kept if 2 * shapely.area(p) > GRID_M * shapely.length(p)]
    return _polygons(shapely.transform(shapely.multipolygons(kept), lambda xy: np.rint(xy * MM))) if kept else None


def _length(shape: Any) -> float:
    """The longer side of the box around a shape, however turned; 0 of what is empty or a point."""
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(shape))
    return float(np.hypot(*np.diff(corners, axis=0).T).max(initial=0.0))


def _meets(ground: Any, window: tuple[float, float, float, float]) -> bool:
    x0, y0, x1, y1 = shapely.bounds(ground).tolist()
    return bool(x0 <= window[2] and x1 >= window[0] and y0 <= window[3] and y1 >= window[1])


def _edge(a: Sequence[int], b: Sequence[int]) -> frozenset[tuple[int, ...]]:
    return frozenset((tuple(a), tuple(b)))


def _polygons(shape: Any) -> Any:
    """The polygons of a shape, on the grid, in normal form."""
    parts = [p for p in shapely.get_parts(shape) if p.geom_type == "Polygon"]
    return shapely.normalize(shapely.transform(shapely.MultiPolygon(parts), np.rint))
