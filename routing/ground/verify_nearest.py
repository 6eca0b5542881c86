"""Are the pieces of gaps really given to the nearest squad? From the file alone: distances to the grounds in the map.

Suffices to look at the border of a piece: where another squad's ground is nearer to an inner point, it is nearer by at least
as much all along the segment from that point to that ground, which leaves the piece through its border. Where the border is
the squad's own ground there is nothing to measure. Elsewhere vertices and one to three points inside every edge are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from routing.ground.verify_finding import Finding
from routing.ground.verify_plane import Edges, Plane
from routing.ground.verify_read import Compiled, Ints
from routing.ground.verify_sets import among, distinct

MIDWAY_MM = 5.0
"""How much nearer to one side the grid explains. The line is off by at most 0.71 (rounding) + 0.71 (snapping) + 0.3 (an arc
drawn as chords) mm, which counts twice; and the grounds on either side may have been moved by snapping, 0.71 mm each."""
LONG_MM = 100.0
"""Longer edges are compared at their quarters, too."""


@dataclass(frozen=True, slots=True)
class _Grounds:
    """Which squads hold which label, and the edges where that changes."""

    squads: tuple[frozenset[int], ...]
    """Per label and, last, the outside: squads whose territory is there."""
    nearest: Ints
    """Per label and the outside: the squad a piece of a gap goes to, -1."""
    tree: shapely.STRtree
    bordering: Ints
    """(n, 2): the labels on the two sides of each edge of the tree."""


@dataclass(frozen=True, slots=True)
class _Samples:
    """Places on the border of pieces, and what must hold there: the piece's squad is no farther than the nearest."""

    xy: NDArray[np.float64]
    """(n, 2) mm, local."""
    allowed: NDArray[np.float64]
    """How much farther than the nearest it may be, mm."""
    place: Ints
    squad: Ints
    edge: Ints


def check_nearest(plane: Plane, edges: Edges, compiled: Compiled) -> Iterator[Finding]:
    """No point of a piece's border has a squad that is nearer than the piece's own by more than the grid explains."""
    labels = np.append(plane.plate.label.astype(np.int64), len(plane.plate.labels))
    below, above = labels[edges.below], labels[edges.above]
    codes = [squad["code"] for squad in compiled.manifest["squads"]]
    grounds = _grounds(plane, edges, compiled, codes, below, above)
    if grounds is None: return
    for squad in _groundless(plane, grounds): yield Finding("nearest", "groundless", plane.k, facts={"squad": codes[squad]})
    samples = _samples(plane, edges, grounds, below, above)
    if not len(samples.xy) or not len(grounds.tree): return
    between = (grounds.nearest[below] >= 0) & (grounds.nearest[above] >= 0)
    for i, other, other_mm in _farther(samples, grounds):
        holds = np.array([samples.squad[i] in held for held in grounds.squads])
        if not holds[np.concatenate([below, above])].any(): continue  # groundless, told above
        own_mm = _distance(plane, edges, holds, below, above, samples.xy[samples.place[i]])
        facts = {"squad": codes[samples.squad[i]], "other": codes[other], "own_mm": round(own_mm, 2), "other_mm": round(other_mm, 2)}
        what = "unequal" if between[samples.edge[i]] else "farther"
        yield Finding("nearest", what, plane.k, plane.place(int(edges.lo[samples.edge[i]])), facts)


def _grounds(
    plane: Plane, edges: Edges, compiled: Compiled, codes: list[str], below: Ints, above: Ints
) -> _Grounds | None:
    number = {code: n for n, code in enumerate(codes)}
    claims = compiled.manifest["claims"]
    squads, nearest = [], []
    for label in plane.plate.labels:
        of = {kind: [number[claims[c]["squad"]] for c in label if claims[c]["kind"] == kind] for kind in ("territory", "nearest")}
        squads.append(frozenset(of["territory"]))
        nearest.append(of["nearest"][0] if of["nearest"] else -1)
    if max(nearest, default=-1) < 0: return None
    squads.append(frozenset())
    line = _lines(squads, np.array([*nearest, -1]) >= 0, edges, below, above, len(plane.local))
    lines: Any = shapely.linestrings(plane.local[np.stack([edges.lo[line], edges.hi[line]], 1)].astype(float))
    sides = np.stack([below[line], above[line]], 1)
    return _Grounds(tuple(squads), np.array([*nearest, -1]), shapely.STRtree(lines), sides)


def _lines(
    squads: list[frozenset[int]], piece: NDArray[np.bool_], edges: Edges, below: Ints, above: Ints, vertices: int
) -> Ints:
    """Edges between somebody's ground and nobody's, and the others of somebody's ground that end on one of those.

    The way from a point of a gap to the nearest ground crosses no ground, so it ends on such an edge: on its inside, or in
    an end point, where the ground of more squads may meet. Where no piece lies open to the rest of nobody's ground, the way
    does not leave the pieces, either.
    """
    nobody = np.array([not s for s in squads])
    shore = nobody[below] != nobody[above]
    if not ((piece[below] != piece[above]) & nobody[below] & nobody[above]).any(): shore &= piece[below] | piece[above]
    ashore = np.zeros(vertices, np.bool_)
    ashore[edges.lo[shore]] = ashore[edges.hi[shore]] = True
    inland = ~(nobody[below] | nobody[above]) & (ashore[edges.lo] | ashore[edges.hi])
    return np.flatnonzero(shore | inland)


def _groundless(plane: Plane, grounds: _Grounds) -> list[int]:
    used = distinct(plane.plate.label)
    holding = set().union(*(grounds.squads[label] for label in used))
    return sorted({int(s) for s in grounds.nearest[used] if s >= 0} - holding)


def _samples(plane: Plane, edges: Edges, grounds: _Grounds, below: Ints, above: Ints) -> _Samples:
    found = []
    for mine, theirs in ((below, above), (above, below)):
        piece = np.flatnonzero(grounds.nearest[mine] >= 0)
        squad = grounds.nearest[mine[piece]]
        free = np.array([s not in grounds.squads[t] for s, t in zip(squad.tolist(), theirs[piece].tolist(), strict=True)], np.bool_)
        found.append(np.stack([piece[free], squad[free]], 1).reshape(-1, 2))
    edge, squad = np.concatenate(found).T
    unique, row = np.unique(edge, return_inverse=True)
    a, b = edges.lo[unique], edges.hi[unique]
    vertex, end = np.unique(np.concatenate([a, b]), return_inverse=True)
    start, way = plane.local[a].astype(float), (plane.local[b] - plane.local[a]).astype(float)
    long = np.hypot(*way.T) > LONG_MM
    inner = [(part, np.flatnonzero(long | (part == 0.5))) for part in (0.25, 0.5, 0.75)]
    between = np.concatenate([start[at] + part * way[at] for part, at in inner])
    of = np.concatenate([np.arange(len(unique)), np.arange(len(unique)), *(at for _, at in inner)])
    place = np.concatenate([end, len(vertex) + np.arange(len(between))])
    # every place of an edge is asked for each squad that has a piece beside the edge
    order = np.argsort(row, kind="stable")
    first, count = np.searchsorted(row[order], of), np.bincount(row)[of]
    ask = order[np.repeat(first, count) + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)]
    return _Samples(
        np.concatenate([plane.local[vertex].astype(float), between]),
        np.full(len(vertex) + len(between), MIDWAY_MM),
        np.repeat(place, count), squad[ask], edge[ask],
    )


def _farther(samples: _Samples, grounds: _Grounds) -> Iterator[tuple[int, int, float]]:
    """Samples whose squad is not among the nearest, one per pair of squads: (sample, nearer squad, its distance in mm)."""
    points: Any = shapely.points(samples.xy)
    (who, line), least = grounds.tree.query_nearest(points, all_matches=False, return_distance=True)
    order = np.argsort(who)
    line, least = line[order], least[order]
    hit, near = grounds.tree.query(points, predicate="dwithin", distance=least + samples.allowed)
    held = [grounds.squads[a] | grounds.squads[b] for a, b in grounds.bordering.tolist()]
    start = np.cumsum([0, *map(len, held)])
    flat = np.array([squad for squads in held for squad in squads], np.int64)
    count = np.diff(start)[near]
    squads = flat[np.repeat(start[near], count) + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)]
    top = max(int(flat.max()), int(samples.squad.max())) + 1
    good = among(samples.place * top + samples.squad, np.repeat(hit, count) * top + squads)
    told = set()
    for i in np.flatnonzero(~good).tolist():
        at = int(samples.place[i])
        squad, other = int(samples.squad[i]), min(held[line[at]])
        if (squad, other) in told: continue
        told.add((squad, other))
        yield i, other, float(least[at])


def _distance(plane: Plane, edges: Edges, holds: NDArray[np.bool_], below: Ints, above: Ints, at: NDArray[np.float64]) -> float:
    """mm from a place to the labels that `holds` marks: only for the sentence, so over all their edges."""
    mine = np.flatnonzero(holds[below] | holds[above])
    a, b = plane.local[edges.lo[mine]].astype(float), plane.local[edges.hi[mine]].astype(float)
    along = ((at - a) * (b - a)).sum(1) / ((b - a) ** 2).sum(1)
    return float(np.hypot(*(a + np.clip(along, 0, 1)[:, None] * (b - a) - at).T).min())
