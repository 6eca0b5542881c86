"""The checks of a draft, kept up from edit to edit: what an edit did not touch is not looked at again.

A finding concerns features, and what lies within a metre of them; so after an edit the checks of `topology.py` run on the
features whose outline changed and their neighbours, and of their findings those count that name a changed feature. Gaps
belong to nobody: they are read off the arcs with nobody on one side, and a gap whose outline is the same is not measured
again. A test holds the outcome of every edit against a run from scratch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import shapely

from geodata.arcs import Arc, ArcIndex, Coverage, ground_of, located, metres
from geodata.topology import check, issue_of
from geodata.topology_facts import Flaw, inscribed, layer_facts
from geodata.topology_issue import Issue

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
    return _checked(None, coverage, index, set(coverage.codes()), roster)


def rechecked(before: Checks, coverage: Coverage, index: ArcIndex, roster: Iterable[str] | None = None) -> Checks:
    """The findings after edits: `index` is where `coverage` is."""
    old = before.coverage.arcs
    differ = [a for i, a in old.items() if coverage.arcs.get(i) is not a]
    differ += [a for i, a in coverage.arcs.items() if old.get(i) is not a]
    return _checked(before, coverage, index, {c for a in differ for c in a.holders}, roster)


def _checked(
    before: Checks | None, coverage: Coverage, index: ArcIndex, changed: set[str], roster: Iterable[str] | None
) -> Checks:
    outlines = _outlines(coverage)
    near = {c for code in changed for a in outlines.get(code, ()) for b in index.near(_box(a), NEIGHBOUR_MM) for c in b.holders}
    some = sorted((near | changed) & outlines.keys())
    grounds = {} if before is None else {c: g for c, g in before.grounds.items() if c not in changed}
    grounds |= {code: ground_of(outlines[code]) for code in sorted(changed & outlines.keys())}
    facts = layer_facts(some, [grounds[code] for code in some], roster=roster)
    found = [i for i in check(facts) if not _of_gap(i) and changed & set(i.features)]
    kept = [] if before is None else [i for i in before.issues if not _of_gap(i) and not changed & set(i.features)]
    gaps, measured = _gaps(coverage, index, {} if before is None else before.gaps)
    return Checks(coverage, tuple(sorted((*kept, *found, *gaps), key=_order)), measured, grounds)


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
        measured |= {outline[n]: (float(polygons[k].area), float(width[k]), place[k]) for k, n in enumerate(new)}
    issues = []
    for shape, key in zip(shapes, outline, strict=True):
        area, width_m, at = measured[key]
        who = tuple(sorted({c for edge in _edges(shape) for c in beside.get(edge, ())}))
        issues.append(issue_of(Flaw((), (), area, width_m, at, 1), "gap", who))
    return issues, measured


def _free(index: ArcIndex, polygon: Any) -> bool:
    at = shapely.point_on_surface(polygon)
    return located(index, (at.x, at.y)) == ()


def _edges(polygon: Any) -> Iterable[frozenset[tuple[float, ...]]]:
    for ring in (polygon.exterior, *polygon.interiors):
        xy = [tuple(map(int, p)) for p in ring.coords]
        yield from map(frozenset, pairwise(xy))


def _box(arc: Arc) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = arc.path.min(0).tolist(), arc.path.max(0).tolist()
    return x0, y0, x1, y1
