"""Are the pieces of gaps really given to the nearest squad? From the file alone: distances to the grounds in the map.

Suffices to look at the border of a piece: where another squad's ground is nearer to an inner point, it is nearer by at least
as much all along the segment from that point to that ground, which leaves the piece through its border. Where the border is
the squad's own ground there is nothing to measure. Elsewhere vertices and three points of every edge are compared.
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

VERTEX_MM = 2.0
"""A vertex within 0.71 mm of the true line (rounding) is at most twice as much nearer to one side."""
BETWEEN_MM = 3.5
"""Between vertices a line may be off by 0.71 (rounding) + 0.71 (snapping) + 0.3 (an arc drawn as chords) mm, twice that here."""
PARTS = np.array([0.25, 0.5, 0.75])


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
    """Points on the border of pieces: place in mm (local), the piece's squad, the edge, what difference is allowed."""

    xy: NDArray[np.float64]
    squad: Ints
    edge: Ints
    allowed: NDArray[np.float64]


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
    for i, other, own_mm, other_mm in _farther(samples, grounds):
        facts = {"squad": codes[samples.squad[i]], "other": codes[other], "own_mm": own_mm, "other_mm": other_mm}
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
    same: dict[frozenset[int], int] = {}
    ground = np.array([same.setdefault(s, len(same)) for s in squads])
    border = np.flatnonzero(ground[below] != ground[above])
    lines: Any = shapely.linestrings(plane.local[np.stack([edges.lo[border], edges.hi[border]], 1)].astype(float))
    return _Grounds(
        tuple(squads), np.array([*nearest, -1]), shapely.STRtree(lines), np.stack([below[border], above[border]], 1)
    )


def _groundless(plane: Plane, grounds: _Grounds) -> list[int]:
    used = np.unique(plane.plate.label)
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
    a, b = plane.local[edges.lo[edge]].astype(float), plane.local[edges.hi[edge]].astype(float)
    between = a[:, None] + (b - a)[:, None] * PARTS[:, None]
    xy = np.concatenate([a, b, between.reshape(-1, 2)])
    allowed = np.repeat([VERTEX_MM, BETWEEN_MM], [2 * len(edge), 3 * len(edge)])
    return _Samples(
        xy, np.concatenate([squad, squad, np.repeat(squad, 3)]), np.concatenate([edge, edge, np.repeat(edge, 3)]), allowed
    )


def _farther(samples: _Samples, grounds: _Grounds) -> Iterator[tuple[int, int, float, float]]:
    """Samples whose squad is not among the nearest, one per pair of squads: (sample, nearer squad, both distances in mm)."""
    points: Any = shapely.points(samples.xy)
    (who, line), least = grounds.tree.query_nearest(points, all_matches=False, return_distance=True)
    order = np.argsort(who)
    line, least = line[order], least[order]
    hit, near = grounds.tree.query(points, predicate="dwithin", distance=least + samples.allowed)
    wrong = np.ones(len(points), np.bool_)
    wrong[hit[_holds(samples.squad[hit], near, grounds)]] = False
    told = set()
    for i in np.flatnonzero(wrong).tolist():
        squad, other = int(samples.squad[i]), min(set().union(*(grounds.squads[side] for side in grounds.bordering[line[i]])))
        if (squad, other) in told: continue
        told.add((squad, other))
        every = np.arange(len(grounds.bordering))
        own = _holds(np.full(len(every), squad), every, grounds)
        mm = float(shapely.distance(points[i], grounds.tree.geometries[own]).min()) if own.any() else float("inf")
        yield i, other, round(mm, 2), round(float(least[i]), 2)


def _holds(squad: Ints, line: Ints, grounds: _Grounds) -> NDArray[Any]:
    """Is this squad's ground on one of the sides of this edge?"""
    pairs = np.stack([squad, *grounds.bordering[line].T], 1)
    rows, back = np.unique(pairs, axis=0, return_inverse=True)
    held = [s in grounds.squads[a] or s in grounds.squads[b] for s, a, b in rows.tolist()]
    return np.array(held, np.bool_)[back]
