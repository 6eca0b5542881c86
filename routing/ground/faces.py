"""Claims -> planar faces on the millimetre grid, exactly.

    1  noded edges (noding.py); an edge keeps the parts that run along it an odd number of times, an edge with none vanishes:
       that is how spikes and collapsed slivers go
    2  half-edges sorted around each vertex by exact cross product; the face on the left of each by walking
    3  a clockwise cycle is the outside of a component: the face below its leftmost vertex holds it
    4  labels: flood from the outside; crossing an edge turns its parts on or off
Nothing is decided by a float or by a representative point, so no sliver can be lost or get the wrong owner.

`arrange` gives every face of the linework; `dissolve` merges faces of one label into the map that is published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray

from routing.ground.noding import MM, Ints, Linework, canonical, node, odd, orient, unique_rows

OUTSIDE = -1
"""The unbounded face."""

Label = tuple[int, ...]
"""The claims that hold somewhere: their numbers, ascending."""


@dataclass(frozen=True, slots=True)
class Walls:
    """Directed lines that part faces without belonging to a claim: the bisectors of gaps.

    `left` and `right` are the owners (ranks) on either side of each segment. A segment of no length is a pin: every line that
    meets its pixel is drawn to that pixel's centre.
    """

    segment: Ints  # (n, 4)
    left: Ints
    right: Ints


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Vertices, edges and faces of noded linework. Edge (a, b) has a < b in lexicographic order of `xy`."""

    xy: Ints  # (v, 2) mm, sorted
    edge: Ints  # (m, 2)
    side: Ints  # (m, 2) face on the left of a -> b and on its right; OUTSIDE
    labels: tuple[Label, ...]  # of each face
    wall: Ints  # (w, 3) edge, wall number, 1 if the wall runs a -> b else 0

    @property
    def n_face(self) -> int:
        return len(self.labels)

    def label(self, face: int) -> Label:
        """The claims that hold in a face; none in the outside."""
        return self.labels[face] if face >= 0 else ()


@dataclass(frozen=True, slots=True)
class Subdivision:
    """Disjoint faces, each with its rings: shell counter-clockwise first, holes clockwise.

    `outside` are the rings, clockwise, that bound the whole as seen from the unbounded face.
    """

    xy: Ints
    ring: Ints
    ring_at: Ints
    face_at: Ints
    outside: Ints
    label: Ints  # (faces,)
    edge: Ints
    side: Ints  # (edges, 2) face left and right of each edge; OUTSIDE

    @property
    def n_face(self) -> int:
        return len(self.label)

    def polygons(self) -> NDArray[np.object_]:
        """Each face as a shapely polygon, in metres."""
        xy = self.xy[self.ring] / MM
        rings = [xy[s:t] for s, t in zip(self.ring_at[:-1], self.ring_at[1:], strict=True)]
        out = np.empty(self.n_face, np.object_)
        for f, (s, t) in enumerate(zip(self.face_at[:-1], self.face_at[1:], strict=True)):
            out[f] = shapely.Polygon(rings[s], rings[s + 1 : t])
        return out

    def outer_rings(self) -> list[NDArray[np.float64]]:
        """The rings that bound the whole as seen from outside, in metres."""
        at = self.ring_at
        return [self.xy[self.ring[at[r] : at[r + 1]]] / MM for r in self.outside.tolist()]

    def area2(self) -> list[int]:
        """Twice the area of each face in mm2, exact."""
        ring = twice_areas(self.xy, self.ring, self.ring_at)
        return [sum(ring[s:t]) for s, t in zip(self.face_at[:-1], self.face_at[1:], strict=True)]


def arrange(lines: Linework, walls: Walls | None = None) -> Arrangement:
    """Every face of the linework, with the claims that hold in it.

    The result is the same whatever the order of features, the direction of rings and their start vertices.
    """
    n_line = len(lines.segment)
    raw = lines.segment if walls is None else np.concatenate([lines.segment, walls.segment])
    if not len(raw):
        return Arrangement(raw.reshape(-1, 2), raw.reshape(-1, 2), raw.reshape(-1, 2), (), raw.reshape(-1, 3))
    segment, at = unique_rows(canonical(raw))
    xy, edge, seg_of, edge_of = node(segment)
    by_part = _through(odd(at[:n_line], lines.part, max(len(lines.claim), 1)), len(segment), seg_of, edge_of)
    by_part = odd(by_part[:, 0], by_part[:, 1], max(len(lines.claim), 1))
    by_wall = np.empty((0, 2), np.int64)
    if walls is not None:
        number = np.arange(len(walls.segment))
        pair = np.stack([at[n_line:], number], 1)
        by_wall = _through(pair[np.argsort(pair[:, 0], kind="stable")], len(segment), seg_of, edge_of)
    live = np.unique(np.concatenate([by_part[:, 0], by_wall[:, 0]]))
    by_part[:, 0] = np.searchsorted(live, by_part[:, 0])
    by_wall[:, 0] = np.searchsorted(live, by_wall[:, 0])
    used, ends = np.unique(edge[live], return_inverse=True)
    xy, edge = xy[used], ends.reshape(-1, 2)
    traced = _trace(xy, edge)
    labels = _flood(traced.side, by_part, traced.n_face, lines.claim)
    return Arrangement(xy, edge, traced.side, labels, _directed(by_wall, walls, xy, edge))


def dissolve(arrangement: Arrangement, label: Ints, outside: int) -> Subdivision:
    """Merge neighbouring faces of one label. `label`: a number per face; `outside`: the number of the unbounded face."""
    of = np.append(label, outside)  # face OUTSIDE is -1, the last
    left, right = of[arrangement.side[:, 0]], of[arrangement.side[:, 1]]
    keep = left != right
    used, ends = np.unique(arrangement.edge[keep], return_inverse=True)
    xy, edge = arrangement.xy[used], ends.reshape(-1, 2).astype(np.int64)
    traced = _trace(xy, edge)
    face_label = np.full(traced.n_face + 1, outside, np.int64)
    face_label[traced.side[:, 0]] = left[keep]
    face_label[traced.side[:, 1]] = right[keep]
    return _rings(xy, edge, traced, face_label[:-1])


def twice_areas(xy: Ints, ring: Ints, ring_at: Ints) -> list[int]:
    """Twice the signed area of each ring in mm2, exact: two limbs, since a country outgrows int64."""
    high, low = _area(xy, ring, ring_at)
    return [(int(h) << 32) + int(v) for h, v in zip(high, low, strict=True)]


@dataclass(frozen=True, slots=True)
class _Traced:
    cycle: Ints  # (2m,) of each half-edge; 2e runs a -> b
    ring: Ints  # vertices of all cycles
    ring_at: Ints
    face: Ints  # (cycles,) the face it bounds
    shell: np.ndarray[tuple[int], np.dtype[np.bool_]]  # (cycles,) counter-clockwise
    side: Ints
    n_face: int


def _through(pair: Ints, n_segment: int, seg_of: Ints, edge_of: Ints) -> Ints:
    """(segment, thing) sorted by segment -> (edge, thing), by the edges each segment runs along."""
    at = np.searchsorted(pair[:, 0], np.arange(n_segment + 1))
    count = (at[1:] - at[:-1])[seg_of]
    edge = np.repeat(edge_of, count)
    first = np.repeat(at[:-1][seg_of], count)
    nth = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    return np.stack([edge, pair[first + nth, 1]], 1)


def _directed(by_wall: Ints, walls: Walls | None, xy: Ints, edge: Ints) -> Ints:
    """Whether each wall runs along its edge or against it."""
    if walls is None:
        return np.empty((0, 3), np.int64)
    way = walls.segment[by_wall[:, 1]]
    along = xy[edge[by_wall[:, 0], 1]] - xy[edge[by_wall[:, 0], 0]]
    dot = ((way[:, 2:] - way[:, :2]).astype(float) * along).sum(1)
    return np.concatenate([by_wall, (dot > 0).astype(np.int64)[:, None]], 1)


def _trace(xy: Ints, edge: Ints) -> _Traced:
    if not len(edge):
        none = np.empty(0, np.int64)
        return _Traced(none, none, np.zeros(1, np.int64), none, np.empty(0, bool), none.reshape(0, 2), 0)
    cycle, ring, ring_at = _cycles(edge, _star(xy, edge))
    area = twice_areas(xy, ring, ring_at)
    shell = np.array([a > 0 for a in area])
    outer = np.flatnonzero(~shell)
    tip = np.minimum.reduceat(ring, ring_at[:-1])[outer]  # ids are lexicographic, so the least is leftmost
    hit = _below_tips(xy, edge, tip)
    face = np.full(len(shell), OUTSIDE, np.int64)
    face[shell] = np.arange(int(shell.sum()))
    for k in np.argsort(tip, kind="stable"):  # whatever lies below a tip starts farther left: it is settled already
        face[outer[k]] = OUTSIDE if hit[k] < 0 else face[cycle[2 * hit[k]]]
    return _Traced(cycle, ring, ring_at, face, shell, face[cycle].reshape(-1, 2), int(shell.sum()))


def _below_tips(xy: Ints, edge: Ints, tip: Ints) -> Ints:
    x0 = int(xy[:, 0].min())
    strips = int(np.sqrt(len(edge))) + 1
    width = int((xy[:, 0].max() - x0) // strips + 1)
    first, last = (xy[edge[:, 0], 0] - x0) // width, (xy[edge[:, 1], 0] - x0) // width
    count = last - first + 1
    who = np.repeat(np.arange(len(edge)), count)
    strip = np.repeat(first, count) + np.arange(len(who)) - np.repeat(np.cumsum(count) - count, count)
    order = np.argsort(strip, kind="stable")
    start = np.searchsorted(strip[order], np.arange(strips + 2))
    found: Ints = _below(xy, edge, start, who[order], x0, width, tip)
    return found


def _flood(side: Ints, by_part: Ints, n_face: int, claim: Ints) -> tuple[Label, ...]:
    """The claims of each face, breadth first from the outside."""
    at = np.searchsorted(by_part[:, 0], np.arange(len(side) + 1))
    key = np.sort(side, 1)
    _, first = np.unique((key[:, 0] + 1) * (n_face + 1) + key[:, 1], return_index=True)
    near: list[list[tuple[int, int]]] = [[] for _ in range(n_face + 1)]
    for e in first.tolist():  # one edge between two faces is enough
        left, right = side[e].tolist()
        near[left].append((right, e))
        near[right].append((left, e))
    parts: list[frozenset[int] | None] = [None] * n_face + [frozenset()]
    todo = [OUTSIDE]
    for face in todo:
        here = parts[face]
        assert here is not None
        for other, e in near[face]:
            if parts[other] is None:
                parts[other] = here ^ frozenset(by_part[at[e] : at[e + 1], 1].tolist())
                todo.append(other)
    of = claim.tolist()
    return tuple(tuple(sorted({of[p] for p in found or ()})) for found in parts[:-1])


def _rings(xy: Ints, edge: Ints, traced: _Traced, label: Ints) -> Subdivision:
    """Shells before holes, faces in order, the outside last."""
    cycles = np.arange(len(traced.face))
    inner = np.lexsort((cycles, ~traced.shell, traced.face))
    inner = inner[traced.face[inner] >= 0]
    outer = cycles[traced.face == OUTSIDE]
    order = np.concatenate([inner, outer])
    length = (traced.ring_at[1:] - traced.ring_at[:-1])[order]
    ring_at = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    pick = np.repeat(traced.ring_at[:-1][order] - ring_at[:-1], length) + np.arange(ring_at[-1])
    face_at = np.searchsorted(traced.face[inner], np.arange(traced.n_face + 1))
    outside = np.arange(len(inner), len(order))
    return Subdivision(xy, traced.ring[pick], ring_at, face_at, outside, label, edge, traced.side)


@njit(inline="always")
def _half(dx, dy):  # type: ignore[no-untyped-def]
    return 0 if dy > 0 or (dy == 0 and dx > 0) else 1


@njit(cache=True)
def _star(xy, edge):  # type: ignore[no-untyped-def]
    """The half-edge after each half-edge along the face on its left: clockwise next to the twin at its end."""
    m = 2 * len(edge)
    at = np.zeros(len(xy) + 1, np.int64)
    for e in range(len(edge)):
        at[edge[e, 0] + 1] += 1
        at[edge[e, 1] + 1] += 1
    for v in range(len(xy)):
        at[v + 1] += at[v]
    put = at[:-1].copy()
    out = np.empty(m, np.int64)
    for h in range(m):
        v = edge[h >> 1, h & 1]
        out[put[v]] = h
        put[v] += 1
    following = np.empty(m, np.int64)
    for v in range(len(xy)):
        s, t = at[v], at[v + 1]
        for i in range(s + 1, t):  # insertion sort by angle: few edges meet at a vertex
            h = out[i]
            w = edge[h >> 1, 1 - (h & 1)]
            dx = xy[w, 0] - xy[v, 0]
            dy = xy[w, 1] - xy[v, 1]
            hh = _half(dx, dy)
            j = i - 1
            while j >= s:
                g = out[j]
                u = edge[g >> 1, 1 - (g & 1)]
                ex = xy[u, 0] - xy[v, 0]
                ey = xy[u, 1] - xy[v, 1]
                gh = _half(ex, ey)
                if gh < hh or (gh == hh and ex * dy - ey * dx > 0):
                    break
                out[j + 1] = g
                j -= 1
            out[j + 1] = h
        for i in range(s, t):
            following[out[i] ^ 1] = out[i - 1] if i > s else out[t - 1]
    return following


@njit(cache=True)
def _cycles(edge, following):  # type: ignore[no-untyped-def]
    m = len(following)
    cycle = np.full(m, -1, np.int64)
    ring = np.empty(m, np.int64)
    at = np.empty(m + 1, np.int64)
    n = 0
    k = 0
    for first in range(m):
        if cycle[first] >= 0:
            continue
        at[n] = k
        h = first
        while cycle[h] < 0:
            cycle[h] = n
            ring[k] = edge[h >> 1, h & 1]
            k += 1
            h = following[h]
        n += 1
    at[n] = k
    return cycle, ring, at[: n + 1].copy()


@njit(cache=True)
def _area(xy, ring, ring_at):  # type: ignore[no-untyped-def]
    n = len(ring_at) - 1
    high = np.zeros(n, np.int64)
    low = np.zeros(n, np.int64)
    for r in range(n):
        s, t = ring_at[r], ring_at[r + 1]
        ox = xy[ring[s], 0]
        for i in range(s, t):
            v = ring[i]
            w = ring[i + 1] if i + 1 < t else ring[s]
            a = (xy[v, 0] + xy[w, 0] - 2 * ox) * (xy[w, 1] - xy[v, 1])
            high[r] += a >> 32
            low[r] += a & 0xFFFFFFFF
    return high, low


@njit(cache=True)
def _below(xy, edge, start, who, x0, width, tips):  # type: ignore[no-untyped-def]
    """The edge first met going down from each tip, -1 if none. Edges do not cross, so orientation orders them."""
    got = np.full(len(tips), -1, np.int64)
    for i in range(len(tips)):
        px, py = xy[tips[i], 0], xy[tips[i], 1]
        k = (px - x0) // width
        best = -1
        for j in range(start[k], start[k + 1]):
            e = who[j]
            a, b = edge[e, 0], edge[e, 1]
            if not (xy[a, 0] <= px < xy[b, 0]):
                continue
            if orient(xy[a, 0], xy[a, 1], xy[b, 0], xy[b, 1], px, py) <= 0:
                continue
            if best < 0:
                best = e
                continue
            c, d = edge[best, 0], edge[best, 1]
            if xy[a, 0] >= xy[c, 0]:
                s = orient(xy[c, 0], xy[c, 1], xy[d, 0], xy[d, 1], xy[a, 0], xy[a, 1])
                if s == 0:
                    s = orient(xy[c, 0], xy[c, 1], xy[d, 0], xy[d, 1], xy[b, 0], xy[b, 1])
            else:
                s = -orient(xy[a, 0], xy[a, 1], xy[b, 0], xy[b, 1], xy[c, 0], xy[c, 1])
                if s == 0:
                    s = -orient(xy[a, 0], xy[a, 1], xy[b, 0], xy[b, 1], xy[d, 0], xy[d, 1])
            if s > 0:
                best = e
        got[i] = best
    return got


def claims_of(labels: Sequence[Label]) -> tuple[tuple[Label, ...], Ints]:
    """Distinct labels in order, and each face's number among them."""
    distinct = tuple(sorted(set(labels)))
    number = {label: i for i, label in enumerate(distinct)}
    return distinct, np.array([number[label] for label in labels], np.int64)
