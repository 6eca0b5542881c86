"""The ground of no territory, and who is nearest there.

    1  bisectors part the gaps (gaps.py); the rim of a piece tells its owner: the territory beyond, or the side of a bisector
    2  every piece is measured: nowhere on its rim may another owner be nearer by more than the grid explains
    3  a piece that fails, or whose rim tells nothing, is given to the owner for whom it fails least
    4  where that is still too much, the bisectors are drawn again, from the ground as the grid left it
Bisectors are rounded to the grid: in a gap thinner than a few steps they may fold or vanish, and where they end they may snap
a sliver of somebody's ground away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geodata.gaps import bisectors
from routing.errors import JieguanError
from routing.ground.faces import Arrangement, Walls, arrange, dissolve
from routing.ground.noding import MM, Ints, Linework

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FARTHER_MM = 4.0
"""How much farther than the nearest the owner of a piece may be: roundings and arcs drawn as chords, on either side."""
LONG_MM = 100.0
"""Edges are measured at their ends and in the middle; longer ones also at their quarters."""
ROUNDS = 8
"""Bisectors are drawn so often at most. Once sufficed for all of 30,000 random layers, most of a few millimetres."""


class GapNotSplit(JieguanError):
    zh = "一处空隙(约在 {at},工作坐标系,米)划分 {value} 次后仍有部分不归最近的分队,因此不予采用。请报告此问题并附上图层。"
    en = (
        "Split {value} times, a gap near {at} (metres, work CRS) still has a part that is not its nearest squad's, so the map "
        "is not made. Please report this with the layer."
    )


def split(lines: Linework, ranks: Callable[[Arrangement], Ints], in_extent: int) -> tuple[Arrangement, Ints]:
    """The faces of `lines`, gaps parted; and the rank of the nearest owner of every face in a gap, -1 for the others.

    `ranks`: the first owner of each face in the published order, -1 none; the last is the outside's.
    Raises GapNotSplit.
    """
    full = arrange(lines)
    rank = ranks(full)
    gap = _gaps(full, rank, in_extent)
    owner = np.full(full.n_face + 1, -1, np.int64)
    if not gap.any() or not (rank >= 0).any():  # where every territory has vanished on the grid, nobody is nearest
        return full, owner
    for _ in range(ROUNDS):
        walls = _bisectors(full, rank, gap)
        full = arrange(lines, walls)
        rank = ranks(full)
        gap = _gaps(full, rank, in_extent)
        owner = np.where(gap, _by_rim(full, rank, gap, walls), -1)
        failing = _settled(full, rank, gap, owner)
        if failing is None:
            return full, owner
    raise GapNotSplit(value=ROUNDS, at=failing)


def _bisectors(full: Arrangement, rank: Ints, gap: Flags) -> Walls:
    """The bisectors inside the gaps; and as pins, the ends of the ground they were drawn from: it is to stay where it is."""
    left, right = full.side[:, 0], full.side[:, 1]
    exposed = _exposed(full, rank)
    ends = full.xy[np.unique(full.edge[exposed])]
    pins = Walls(np.concatenate([ends, ends], 1), *np.full((2, len(ends)), -1, np.int64))
    rim = gap[left] != gap[right]
    if not (rim & ~exposed).any():  # every gap is closed in by territories: none sees farther than its own rim
        exposed &= rim
    site_rank = np.maximum(rank[left], rank[right])[exposed]
    if not rim.any() or len(np.unique(site_rank)) < 2:
        return pins
    sites = np.concatenate([full.xy[full.edge[exposed, 0]], full.xy[full.edge[exposed, 1]]], 1)
    corners = full.xy[np.unique(full.edge[rim])]
    low, high = corners.min(0).tolist(), corners.max(0).tolist()
    found = bisectors(sites, site_rank, (low[0], low[1], high[0], high[1]))
    merged = dissolve(full, gap[:-1].astype(np.int64), 0)
    tree = shapely.STRtree(merged.polygons()[merged.label == 1])
    lines = shapely.linestrings(found.segments.reshape(-1, 2, 2) / MM)
    kept = np.unique(tree.query(lines, predicate="dwithin", distance=2 / MM)[0])
    return Walls(
        np.concatenate([found.segments[kept], pins.segment]),
        np.concatenate([found.left[kept], pins.left]),
        np.concatenate([found.right[kept], pins.right]),
    )


def _exposed(full: Arrangement, rank: Ints) -> Flags:
    """Edges between somebody's ground and nobody's."""
    left, right = (rank[full.side] >= 0).T
    exposed: Flags = left != right
    return exposed


def _gaps(faces: Arrangement, rank: Ints, in_extent: int) -> Flags:
    """Faces inside the extent without a territory."""
    return np.array([in_extent in label for label in faces.labels] + [False]) & (rank < 0)


def _by_rim(full: Arrangement, rank: Ints, gap: Flags, walls: Walls) -> Ints:
    """The owner that most of the rim of a face speaks for, the published order deciding ties; -1 where none of it speaks."""
    left, right = full.side[:, 0], full.side[:, 1]
    d = (full.xy[full.edge[:, 1]] - full.xy[full.edge[:, 0]]).astype(float)
    length = np.maximum(np.rint(np.hypot(d[:, 0], d[:, 1])), 1).astype(np.int64)
    votes = []
    for inner, outer in ((left, right), (right, left)):
        rim = gap[inner] & (rank[outer] >= 0)
        votes.append(np.stack([inner[rim], rank[outer[rim]], length[rim]], 1))
    edge, number, along = full.wall.T
    for side, mine, other in ((0, walls.left, walls.right), (1, walls.right, walls.left)):
        face, who = full.side[edge, side], np.where(along == 1, mine[number], other[number])
        votes.append(np.stack([face[gap[face]], who[gap[face]], length[edge[gap[face]]]], 1))
    face, who, weight = np.concatenate(votes).T
    top = int(rank.max()) + 1
    key, at = np.unique(face * top + who, return_inverse=True)
    return _best(key // top, key % top, -np.bincount(at, weight).astype(float), full.n_face + 1)


def _best(face: Ints, who: Ints, cost: Floats, n: int) -> Ints:
    """Of the candidates of each of n faces the one of least cost, then of lowest rank; -1 without candidates."""
    owner = np.full(n, -1, np.int64)
    order = np.lexsort((who, cost, face))[::-1]  # of several writes to one place the last counts
    owner[face[order]] = who[order]
    return owner


# --- measured ---


@dataclass(frozen=True, slots=True)
class _Shore:
    """Edges between somebody's ground and nobody's, and whose it is. Local millimetres."""

    lines: NDArray[np.object_]
    owner: Ints

    @classmethod
    def of(cls, full: Arrangement, rank: Ints) -> _Shore:
        exposed = _exposed(full, rank)
        ends = (full.xy - full.xy[0])[full.edge[exposed]].astype(float)
        return cls(shapely.linestrings(ends), rank[full.side[exposed]].max(1))

    def nearest(self, points: NDArray[np.object_]) -> tuple[Ints, Floats]:
        """The owner of the nearest edge and how far that is, mm."""
        if not len(self.lines):
            return np.full(len(points), -1, np.int64), np.full(len(points), np.inf)
        (who, line), distance = shapely.STRtree(self.lines).query_nearest(
            points, all_matches=False, return_distance=True
        )
        order = np.argsort(who)
        return self.owner[line[order]], distance[order]

    def distance(self, points: NDArray[np.object_], owner: Ints) -> Floats:
        """From each point to the ground of its own owner, mm."""
        out = np.empty(len(points))
        for who in np.unique(owner).tolist():
            mine = owner == who
            alone = _Shore(self.lines[self.owner == who], self.owner[self.owner == who])
            out[mine] = alone.nearest(points[mine])[1]
        return out


@dataclass(frozen=True, slots=True)
class _Rim:
    """Places on the rims of faces, one row each; a place on two rims has two rows."""

    face: Ints
    xy: Floats
    """(n, 2) local mm."""


def _rim(full: Arrangement, wanted: Flags, but: Ints) -> _Rim:
    """Places on the edges of the wanted faces, save those with the ground of the face's owner (`but`, per face) beyond."""
    local = (full.xy - full.xy[0]).astype(float)
    rows = []
    for side in (0, 1):
        mine, beyond = full.side[:, side], full.side[:, 1 - side]
        edge = np.flatnonzero(wanted[mine] & (mine != beyond) & (but[beyond] != but[mine]))
        rows.append(np.stack([mine[edge], edge], 1))
    face, edge = np.concatenate(rows).T
    a, b = local[full.edge[edge, 0]], local[full.edge[edge, 1]]
    long = np.hypot(*(b - a).T) > LONG_MM
    places = [(part, np.flatnonzero(long | (part in (0, 0.5, 1)))) for part in (0, 0.25, 0.5, 0.75, 1)]
    xy = np.concatenate([a[at] + part * (b[at] - a[at]) for part, at in places])
    return _Rim(np.concatenate([face[at] for _, at in places]), xy)


def _settled(full: Arrangement, rank: Ints, gap: Flags, owner: Ints) -> list[float] | None:
    """Gives `owner` to faces that have none or a wrong one; a place (metres) in a face nobody fits, None if there is none."""
    shore = _Shore.of(full, rank)
    rim = _rim(full, gap & (owner >= 0), np.where(gap, owner, rank))
    points: NDArray[np.object_] = np.array(shapely.points(rim.xy), np.object_).reshape(-1)
    excess = shore.distance(points, owner[rim.face]) - shore.nearest(points)[1]
    doubted = gap & (owner < 0)
    doubted[rim.face[excess > FARTHER_MM]] = True
    if not doubted.any():
        return None
    rim = _rim(full, doubted, np.where(doubted, -2 - np.arange(len(doubted)), rank))
    points = np.array(shapely.points(rim.xy), np.object_).reshape(-1)
    nearest, least = shore.nearest(points)
    top = int(rank.max()) + 1
    key = np.unique(rim.face * top + nearest)  # every owner that is nearest somewhere on the rim is a candidate
    order = np.argsort(rim.face, kind="stable")
    first, last = (np.searchsorted(rim.face[order], key // top, side) for side in ("left", "right"))
    count = last - first
    row = order[np.repeat(first, count) + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)]
    of = np.repeat(np.arange(len(key)), count)
    excess = shore.distance(points[row], (key % top)[of]) - least[row]
    worst = np.zeros(len(key))
    np.maximum.at(worst, of, excess)
    best = _best(key // top, key % top, np.rint(worst * 1024), len(owner))
    owner[doubted] = best[doubted]
    wrong = np.flatnonzero((excess > FARTHER_MM) & (best[rim.face[row]] == (key % top)[of]))
    return None if not len(wrong) else ((rim.xy[row[wrong[0]]] + full.xy[0]) / MM).tolist()
