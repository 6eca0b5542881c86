"""The checks of a draft, kept up from edit to edit: what an edit did not touch is not looked at again.

A finding concerns features, and what lies within a metre of them; so after an edit the checks of `topology.py` run on the
features whose outline changed and their neighbours, and of their findings those count that name a changed feature. Gaps
belong to nobody: they are read off the arcs with nobody on one side, and a gap whose outline is the same is not measured
again. A test holds the outcome of every edit against a run from scratch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import shapely

from geodata.arcs import Arc, ArcIndex, Coverage, box_of, ground_of, holding, located, metres, millimetres
from geodata.topology import check, issue_of
from geodata.topology_edges import FACING, NEAR_M, TOUCH_M
from geodata.topology_facts import Flaw, inscribed, layer_facts
from geodata.topology_issue import Issue
from routing.ground.noding import MM, Ints

NEIGHBOUR_MM = 1000.0
"""No check of two features looks farther than half a metre."""

OF_GAPS = ("gap", "hole_in_extent")

Measured = tuple[float, float, tuple[float, float]]
"""Area (m2), width (m) and place of a gap."""


@dataclass(frozen=True, slots=True, eq=False)
class Checks:
    """The findings of a coverage. `gaps`: what was measured, by the outline's bytes. `grounds`: of every code, metres."""

    coverage: Coverage
    issues: tuple[Issue, ...]
    gaps: Mapping[bytes, Measured]
    grounds: Mapping[str, Any]


def checks_of(coverage: Coverage, index: ArcIndex, roster: Iterable[str] | None = None) -> Checks:
    """All findings, from scratch."""
    return _checked(None, coverage, index, set(coverage.codes()), (), roster)


def rechecked(before: Checks, coverage: Coverage, index: ArcIndex, roster: Iterable[str] | None = None) -> Checks:
    """The findings after edits: `index` is where `coverage` is."""
    old = before.coverage.arcs
    gone = [a for i, a in old.items() if coverage.arcs.get(i) is not a]
    new = [a for i, a in coverage.arcs.items() if old.get(i) is not a]
    return _checked(before, coverage, index, {c for a in (*gone, *new) for c in a.holders}, new, roster)


def _checked(
    before: Checks | None,
    coverage: Coverage,
    index: ArcIndex,
    changed: set[str],
    new: Sequence[Arc],
    roster: Iterable[str] | None,
) -> Checks:
    outlines = _outlines(coverage)
    grounds = {} if before is None else {c: g for c, g in before.grounds.items() if c not in changed}
    grounds |= {code: ground_of(outlines[code], holding(code)) for code in sorted(changed & outlines.keys())}
    own = sorted(changed & outlines.keys())
    if before is not None and _plain(before, changed, [a for c in own for a in outlines[c]]) and not _crowded(index, new):
        found = check(layer_facts(own, [grounds[code] for code in own], roster=roster), but=("unmatched_edge",))
    else:
        near = {c for code in own for a in outlines[code] for b in index.near(box_of(a.path), NEIGHBOUR_MM) for c in b.holders}
        some = sorted((near | changed) & outlines.keys())
        found = check(layer_facts(some, [grounds[code] for code in some], roster=roster))
    mine = [i for i in found if not _of_gap(i) and changed & set(i.features)]
    kept = [] if before is None else [i for i in before.issues if not _of_gap(i) and not changed & set(i.features)]
    gaps, measured = _gaps(coverage, index, {} if before is None else before.gaps)
    return Checks(coverage, tuple(sorted((*kept, *mine, *gaps), key=_order)), measured, grounds)


def _plain(before: Checks, changed: set[str], outline: Sequence[Arc]) -> bool:
    """No changed feature shares ground with another, or had a finding that names another."""
    alone = all(len(a.left) < 2 and len(a.right) < 2 for a in outline)
    return alone and not any(len(i.features) > 1 and changed & set(i.features) and not _of_gap(i) for i in before.issues)


def _crowded(index: ArcIndex, new: Sequence[Arc]) -> bool:
    """Does an arc that is new come so near to a line that it does not meet, that `unmatched_edge` may have something to say?"""
    around = {b.id: b for a in new for b in index.near(box_of(a.path), NEIGHBOUR_MM)}
    if not around:
        return False
    mine, others = _segments(new), _segments(list(around.values()))
    rim = [a for a in new if not a.left or not a.right]
    return _lone(mine[:, :2], others) or _lone(others[:, :2], mine) or _facing(rim, list(around.values()))


def _segments(arcs: Sequence[Arc]) -> Ints:
    """(n, 4) mm."""
    return np.concatenate([np.concatenate([a.path[:-1], a.path[1:]], 1) for a in arcs])


def _tree(segments: Ints) -> shapely.STRtree:
    lines: Any = shapely.linestrings(segments.reshape(-1, 2, 2).astype(float))
    return shapely.STRtree(lines)


def _lone(points: Ints, segments: Ints) -> bool:
    """Is a point within TOUCH_M of the inside of a segment?"""
    reach = TOUCH_M * MM
    low, high = segments.reshape(-1, 2).min(0) - reach, segments.reshape(-1, 2).max(0) + reach
    points = points[((points >= low) & (points <= high)).all(1)]
    tree = _tree(segments)
    at, of = tree.query(shapely.points(points.astype(float)), predicate="dwithin", distance=reach)
    start, way = segments[of, :2].astype(float), (segments[of, 2:] - segments[of, :2]).astype(float)
    length = np.hypot(*way.T)
    along = ((points[at] - start) * way).sum(1) / length
    return bool(((along > reach) & (length - along > reach)).any())


def _facing(rim: Sequence[Arc], around: Sequence[Arc]) -> bool:
    """Does an outer edge face one of somebody else's, within NEAR_M? Outer edges have their holders on one side only."""
    beside = [a for a in around if not a.left or not a.right]
    for arc in rim:
        others = [a for a in beside if a.holders != arc.holders]
        if not others:
            continue
        one, other = _segments([arc]), _segments(others)
        tree = _tree(other)
        lines: Any = shapely.linestrings(one.reshape(-1, 2, 2).astype(float))
        i, j = tree.query(lines, predicate="dwithin", distance=NEAR_M * MM)
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


def _gaps(coverage: Coverage, index: ArcIndex, known: Mapping[bytes, Measured]) -> tuple[list[Issue], dict[bytes, Measured]]:
    """The enclosed ground of nobody."""
    rim = [a for a in coverage.arcs.values() if not a.left or not a.right]
    beside = {frozenset(map(tuple, (a.path[0].tolist(), a.path[1].tolist()))): a.holders for a in rim}
    enclosed = shapely.get_parts(shapely.polygonize([shapely.LineString(a.path.tolist()) for a in rim]))
    shapes = [p for p in enclosed.tolist() if _free(index, p)]
    outline = [shapely.to_wkb(shapely.normalize(p)) for p in shapes]
    new = [n for n, key in enumerate(outline) if key not in known]
    measured = {key: known[key] for key in outline if key in known}
    if new:
        polygons = np.empty(len(new), object)
        polygons[:] = [metres(shapes[n]) for n in new]
        width, place = inscribed(polygons)
        measured |= {outline[n]: (area_m2(shapes[n]), float(width[k]), place[k]) for k, n in enumerate(new)}
    issues = []
    for shape, key in zip(shapes, outline, strict=True):
        area, width_m, at = measured[key]
        who = tuple(sorted({c for edge in _edges(shape) for c in beside.get(edge, ())}))
        issues.append(issue_of(Flaw((), (), area, width_m, at, 1), "gap", who))
    return issues, measured


def grounds_of(checks: Checks, issues: Iterable[Issue] | None = None) -> dict[str, Any]:
    """The ground of each finding, or of some, that is about ground (gaps, overlaps, slivers of either), by its id: MultiPolygons
    of whole millimetres. Exactly the arcs' own."""
    gaps = {at: outline for outline, (_, _, at) in checks.gaps.items()}
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


def _free(index: ArcIndex, polygon: Any) -> bool:
    at = shapely.point_on_surface(polygon)
    return located(index, (at.x, at.y)) == ()


def _edges(polygon: Any) -> Iterable[frozenset[tuple[float, ...]]]:
    for ring in (polygon.exterior, *polygon.interiors):
        xy = [tuple(map(int, p)) for p in ring.coords]
        yield from map(frozenset, pairwise(xy))
