"""The ground of no territory, and who is nearest there: bisectors part a gap, its rim tells the owner of each piece."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from geodata.gaps import bisectors
from routing.ground.faces import Arrangement, Walls, dissolve
from routing.ground.noding import MM, Ints


def _gaps(faces: Arrangement, rank: Ints, in_extent: int) -> NDArray[np.bool_]:
    """Faces inside the extent without a territory."""
    return np.array([in_extent in label for label in faces.labels] + [False]) & (rank < 0)


def walls_of(base: Arrangement, rank: Ints, in_extent: int) -> Walls | None:
    """The bisectors inside the gaps, None where no gap has two neighbours."""
    gap = _gaps(base, rank, in_extent)
    left, right = base.side[:, 0], base.side[:, 1]
    exposed = (rank[left] >= 0) != (rank[right] >= 0)
    rim = gap[left] != gap[right]
    if not (rim & ~exposed).any():  # every gap is closed in by territories: none sees farther than its own rim
        exposed &= rim
    site_rank = np.maximum(rank[left], rank[right])[exposed]
    if not rim.any() or len(np.unique(site_rank)) < 2:
        return None
    sites = np.concatenate([base.xy[base.edge[exposed, 0]], base.xy[base.edge[exposed, 1]]], 1)
    corners = base.xy[np.unique(base.edge[rim])]
    low, high = corners.min(0).tolist(), corners.max(0).tolist()
    found = bisectors(sites, site_rank, (low[0], low[1], high[0], high[1]))
    merged = dissolve(base, gap[:-1].astype(np.int64), 0)
    tree = shapely.STRtree(merged.polygons()[merged.label == 1])
    lines = shapely.linestrings(found.segments.reshape(-1, 2, 2) / MM)
    kept = np.unique(tree.query(lines, predicate="dwithin", distance=2 / MM)[0])
    return Walls(found.segments[kept], found.left[kept], found.right[kept])


def nearest_ranks(full: Arrangement, rank: Ints, walls: Walls | None, in_extent: int, n_rank: int) -> dict[int, int]:
    """The nearest owner of every gap face, by rank.

    Bisectors part gaps, other lines do not. A face's rim tells its owner: the territory beyond, or the wall's side; a face
    without either has the owner of its neighbours. Where roundings make them disagree (slivers thinner than the grid) the
    longer rim counts, then the published order.
    """
    gap = _gaps(full, rank, in_extent)
    gaps = np.flatnonzero(gap).tolist()
    if not gaps or not (rank >= 0).any():  # where every territory has vanished on the grid, nobody is nearest
        return {}
    left, right = full.side[:, 0], full.side[:, 1]
    walled = np.zeros(len(full.edge), bool)
    walled[full.wall[:, 0]] = True
    open_ = ~walled & gap[left] & gap[right]
    piece = _components(full.n_face + 1, left[open_], right[open_])
    d = (full.xy[full.edge[:, 1]] - full.xy[full.edge[:, 0]]).astype(float)
    length = np.maximum(np.rint(np.hypot(d[:, 0], d[:, 1])), 1).astype(np.int64)
    votes = np.zeros((full.n_face + 1, n_rank), np.int64)
    for inner, outer in ((left, right), (right, left)):
        rim = gap[inner] & (rank[outer] >= 0)
        np.add.at(votes, (inner[rim], rank[outer[rim]]), length[rim])
    if walls is not None:
        edge, number, along = full.wall.T
        for side, mine, other in ((0, walls.left, walls.right), (1, walls.right, walls.left)):
            face = full.side[edge, side]
            who = np.where(along == 1, mine[number], other[number])
            np.add.at(votes, (face[gap[face]], who[gap[face]]), length[edge[gap[face]]])
    together = np.zeros_like(votes)
    np.add.at(together, piece, votes)
    found = {}
    for f in gaps:
        row = votes[f] if votes[f].any() else together[piece[f]]
        found[f] = int(row.argmax()) if row.any() else _by_distance(full, f, rank)
    return found


def _components(n: int, a: Ints, b: Ints) -> Ints:
    """The least member of each face's connected set."""
    root = list(range(n))

    def find(v: int) -> int:
        while root[v] != v:
            root[v] = root[root[v]]
            v = root[v]
        return v

    for left, right in zip(a.tolist(), b.tolist(), strict=True):
        u, v = find(left), find(right)
        root[max(u, v)] = min(u, v)
    return np.array([find(v) for v in range(n)], np.int64)


def _by_distance(full: Arrangement, face: int, rank: Ints) -> int:
    """The nearest owner of a piece that touches neither a territory nor a bisector, from one of its corners."""
    exposed = (rank[full.side] >= 0).sum(1) == 1
    owner = rank[full.side[exposed]].max(1)
    corner = full.xy[full.edge[(full.side == face).any(1)][0, 0]] / MM
    lines = shapely.linestrings(full.xy[full.edge[exposed]] / MM)
    distance = shapely.distance(shapely.Point(corner), lines)
    return int(owner[distance <= distance.min() + 1 / MM].min())
