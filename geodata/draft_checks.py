"""The checks of a draft, kept up from edit to edit: what an edit did not touch is not looked at again.

A finding concerns features, and what lies within a metre of them; so after an edit the checks of `topology.py` run on the
features whose outline changed and their neighbours, and of their findings those count that name a changed feature. Gaps
belong to nobody: they are read off the arcs with nobody on one side, and a gap whose outline is the same is not measured
again. A test holds the outcome of every edit against a run from scratch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from geodata.arcs import (
    Arc,
    ArcIndex,
    Coverage,
    Holders,
    box_of,
    faces_of,
    ground_of,
    holding,
    metres,
    millimetres,
    ring_segments,
    segments_of,
)
from geodata.topology import check, issue_of
from geodata.topology_edges import FACING, NEAR_M, TOUCH_M
from geodata.topology_facts import Flaw, inscribed, layer_facts
from geodata.topology_issue import Issue
from routing.ground.noding import MM, Ints, among, canonical, unique_rows

NEIGHBOUR_MM = 1000.0
"""No check of two features looks farther than half a metre."""

OF_GAPS = ("gap", "hole_in_extent")


@dataclass(frozen=True, slots=True, eq=False)
class Gap:
    """Enclosed ground of nobody, its widest place, the codes around it, its edges (canonical, mm), the finding."""

    area_m2: float
    width_m: float
    place: tuple[float, float]
    around: tuple[str, ...]
    edges: Ints
    issue: Issue


@dataclass(frozen=True, slots=True, eq=False)
class Checks:
    """The findings of a coverage. `gaps`: by the outline's bytes. `grounds`: of every code, metres."""

    coverage: Coverage
    issues: tuple[Issue, ...]
    gaps: Mapping[bytes, Gap]
    grounds: Mapping[str, Any]


def checks_of(coverage: Coverage, index: ArcIndex, roster: Iterable[str] | None = None) -> Checks:
    """All findings, from scratch."""
    return _checked(None, coverage, index, set(coverage.codes()), Change((), ()), roster)


def rechecked(before: Checks, coverage: Coverage, index: ArcIndex, roster: Iterable[str] | None = None) -> Checks:
    """The findings after edits: `index` is where `coverage` is."""
    old = before.coverage.arcs
    gone = [a for i, a in old.items() if coverage.arcs.get(i) is not a]
    new = [a for i, a in coverage.arcs.items() if old.get(i) is not a]
    return _checked(before, coverage, index, {c for a in (*gone, *new) for c in a.holders}, Change(gone, new), roster)


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """The arcs that went and those that came."""

    gone: Sequence[Arc]
    new: Sequence[Arc]

    def where(self) -> tuple[float, float, float, float] | None:
        """The box (mm) of the segments that are new or have other holders, a neighbour's reach wider; None: there are none."""
        was, now = _by_sides(self.gone), _by_sides(self.new)
        nothing = np.empty((0, 4), np.int64)
        fresh = [segment[~among(segment, was.get(sides, nothing))] for sides, segment in now.items()]
        points = np.concatenate([nothing, *fresh]).reshape(-1, 2)
        if not len(points):
            return None
        (x0, y0), (x1, y1) = (points.min(0) - NEIGHBOUR_MM).tolist(), (points.max(0) + NEIGHBOUR_MM).tolist()
        return x0, y0, x1, y1


def _by_sides(arcs: Sequence[Arc]) -> dict[tuple[Holders, Holders], Ints]:
    """Canonical segments by who is on their left and right."""
    found: dict[tuple[Holders, Holders], list[Ints]] = {}
    for arc in arcs:
        there = segments_of([arc])
        segment = canonical(there)
        turned = (segment != there).any(1)
        found.setdefault((arc.left, arc.right), []).append(segment[~turned])
        found.setdefault((arc.right, arc.left), []).append(segment[turned])
    return {sides: np.concatenate(some) for sides, some in found.items()}


def _checked(
    before: Checks | None,
    coverage: Coverage,
    index: ArcIndex,
    changed: set[str],
    change: Change,
    roster: Iterable[str] | None,
) -> Checks:
    outlines = _outlines(coverage)
    grounds = {} if before is None else {c: g for c, g in before.grounds.items() if c not in changed}
    grounds |= {code: ground_of(outlines[code], holding(code)) for code in sorted(changed & outlines.keys())}
    known = {} if before is None else before.gaps
    gaps = _gaps(coverage, known)
    # The sides of a gap face each other once it is open to the outside, and no more once it is closed.
    changed = changed.union(*(both[key].around for both in (known, gaps) for key in known.keys() ^ gaps.keys() if key in both))
    own = sorted(changed & outlines.keys())
    alone = all(len(a.left) < 2 and len(a.right) < 2 for code in own for a in outlines[code])
    some, but = set(own), frozenset({"unmatched_edge"})
    if before is None or not alone or _crowded(index, change):
        some, but = _neighbours(index, own, outlines) | changed, frozenset()
    elif known.keys() != gaps.keys() or _together(before, changed):
        some, but = changed | _together(before, changed), frozenset()
    there = sorted(some & outlines.keys())
    facts = layer_facts(there, [grounds[code] for code in there], roster=roster, outer=_outer(coverage, gaps))
    found = check(facts, but)
    mine = [i for i in found if not _of_gap(i) and changed & set(i.features)]
    kept = [] if before is None else [i for i in before.issues if not _of_gap(i) and not changed & set(i.features)]
    issues = sorted((*kept, *mine, *(gap.issue for gap in gaps.values())), key=_order)
    return Checks(coverage, tuple(issues), gaps, grounds)


def _outer(coverage: Coverage, gaps: Mapping[bytes, Gap]) -> Ints:
    """Edges of the rim that are open to the outside, canonical."""
    rim = canonical(segments_of([a for a in coverage.arcs.values() if not a.left or not a.right]))
    inner = np.concatenate([np.empty((0, 4), np.int64), *(gap.edges for gap in gaps.values())])
    outer: Ints = rim[~among(rim, inner)]
    return outer


def _neighbours(index: ArcIndex, own: Sequence[str], outlines: Mapping[str, Sequence[Arc]]) -> set[str]:
    """Everybody whose border comes near."""
    return {c for code in own for a in outlines[code] for b in index.near(box_of(a.path), NEIGHBOUR_MM) for c in b.holders}


def _together(before: Checks, changed: set[str]) -> set[str]:
    """Everybody whom a finding named together with a code that changed: it may be gone, or be another."""
    named = [set(i.features) for i in before.issues if len(i.features) > 1 and not _of_gap(i)]
    return set().union(*(who for who in named if who & changed))


def _crowded(index: ArcIndex, change: Change) -> bool:
    """Does what is new come so near to a line that it does not meet, that `unmatched_edge` may have something to say?"""
    box = change.where()
    if box is None:
        return False
    around = index.near(box, 0)
    mine, others = _within(segments_of(change.new), box), _within(segments_of(around), box)
    return _lone(_ends(mine), others) or _lone(_ends(others), mine) or _facing(change.new, around, box)


def _within(segments: Ints, box: tuple[float, float, float, float]) -> Ints:
    """Those whose box meets a box."""
    x, y = segments[:, 0::2], segments[:, 1::2]
    met: Ints = segments[(x.max(1) >= box[0]) & (x.min(1) <= box[2]) & (y.max(1) >= box[1]) & (y.min(1) <= box[3])]
    return met


def _ends(segments: Ints) -> Ints:
    return unique_rows(segments.reshape(-1, 2))[0]


def _tree(segments: Ints) -> shapely.STRtree:
    lines: Any = shapely.linestrings(segments.reshape(-1, 2, 2).astype(float))
    return shapely.STRtree(lines)


def _lone(points: Ints, segments: Ints) -> bool:
    """Is a point within TOUCH_M of the inside of a segment?"""
    reach = TOUCH_M * MM
    if not len(points) or not len(segments):
        return False
    tree = _tree(segments)
    at, of = tree.query(shapely.points(points.astype(float)), predicate="dwithin", distance=reach)
    start, way = segments[of, :2].astype(float), (segments[of, 2:] - segments[of, :2]).astype(float)
    length = np.hypot(*way.T)
    along = ((points[at] - start) * way).sum(1) / length
    return bool(((along > reach) & (length - along > reach)).any())


def _facing(new: Sequence[Arc], around: Sequence[Arc], box: tuple[float, float, float, float]) -> bool:
    """Does an outer edge face one of somebody else's, within NEAR_M? Outer edges have their holders on one side only."""
    mine, beside = ([a for a in arcs if not a.left or not a.right] for arcs in (new, around))
    for arc in mine:
        one, other = (_within(segments_of(a), box) for a in ([arc], [a for a in beside if a.holders != arc.holders]))
        if not len(one) or not len(other):
            continue
        lines: Any = shapely.linestrings(one.reshape(-1, 2, 2).astype(float))
        i, j = _tree(other).query(lines, predicate="dwithin", distance=NEAR_M * MM)
        a, b = (v[:, 2:] - v[:, :2] for v in (one[i].astype(float), other[j].astype(float)))
        cosine = (a * b).sum(1) / (np.hypot(*a.T) * np.hypot(*b.T))
        if (np.abs(cosine) > -FACING).any():  # arcs run either way, so the sign tells nothing
            return True
    return False


def _of_gap(issue: Issue) -> bool:
    return issue.code in OF_GAPS or (issue.code == "sliver" and issue.facts.get("kind") == "gap")


def _order(issue: Issue) -> tuple[Any, ...]:
    return (issue.severity != "error", issue.severity != "warning", issue.code, -(issue.area_m2 or 0.0), issue.features, issue.id)


def _outlines(coverage: Coverage) -> dict[str, list[Arc]]:
    """The outline of every code, in one pass."""
    found: dict[str, list[Arc]] = {}
    for arc in coverage.arcs.values():
        for code in set(arc.left) ^ set(arc.right):
            found.setdefault(code, []).append(arc)
    return found


def _gaps(coverage: Coverage, known: Mapping[bytes, Gap]) -> dict[bytes, Gap]:
    """The enclosed ground of nobody. Of an outline that is `known` only who is around it is looked up again."""
    rim = [a for a in coverage.arcs.values() if not a.left or not a.right]
    faces = shapely.normalize(faces_of(rim, lambda held: not held))
    shapes = dict(zip(shapely.to_wkb(faces).tolist(), faces.tolist(), strict=True))
    new = np.empty(len(shapes.keys() - known.keys()), object)
    new[:] = [metres(shape) for key, shape in shapes.items() if key not in known]
    width, place = inscribed(new) if len(new) else (np.empty(0), [])
    measure = iter(zip(width.tolist(), place, strict=True))
    first = canonical(np.array([a.path[:2].reshape(4) for a in rim], np.int64).reshape(-1, 4))
    beside = {tuple(edge): a.holders for edge, a in zip(first.tolist(), rim, strict=True)}
    found = {}
    for key, shape in shapes.items():
        edges = known[key].edges if key in known else canonical(ring_segments(shape))
        around = tuple(sorted({c for edge in map(tuple, edges.tolist()) for c in beside.get(edge, ())}))
        if key in known and known[key].around == around:
            found[key] = known[key]
        else:
            area, size, at = _measured(known[key]) if key in known else (area_m2(shape), *next(measure))
            found[key] = Gap(area, size, at, around, edges, issue_of(Flaw((), (), area, size, at, 1), "gap", around))
    return found


def _measured(gap: Gap) -> tuple[float, float, tuple[float, float]]:
    return gap.area_m2, gap.width_m, gap.place


def grounds_of(checks: Checks, issues: Iterable[Issue] | None = None) -> dict[str, Any]:
    """The ground of each finding, or of some, that is about ground (gaps, overlaps, slivers of either), by its id: MultiPolygons
    of whole millimetres. Exactly the arcs' own."""
    gaps = {gap.place: outline for outline, gap in checks.gaps.items()}
    double = [a for a in checks.coverage.arcs.values() if len(a.left) > 1 or len(a.right) > 1]
    found: dict[str, Any] = {}
    for issue in checks.issues if issues is None else issues:
        if _of_gap(issue) and issue.place in gaps:
            found[issue.id] = shapely.multipolygons([shapely.from_wkb(gaps[issue.place])])
        elif issue.code == "overlap" or (issue.code == "sliver" and issue.facts.get("kind") == "overlap"):
            pair = set(issue.features)
            found[issue.id] = millimetres(
                ground_of([a for a in double if pair.issubset(a.left) != pair.issubset(a.right)], pair.issubset)
            )
    return found


def area_m2(shape: Any) -> float:
    """Of whole millimetres, from a corner of its own: far from the origin a float loses the square centimetres."""
    corner = shapely.bounds(shape)[:2]
    return float(shapely.area(shapely.transform(shape, lambda xy: xy - corner))) / 1e6
