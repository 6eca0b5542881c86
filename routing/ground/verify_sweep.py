"""The kernels of the proof: twin edges, the plane sweep, doubled areas. Integers only, nothing rounded.

Coordinates are mm relative to the plate's lower left corner, below `MAX_SPAN`. A product of two differences is then below
1.5e9 * 1.5e9 = 2.3e18 (doubled areas: 4.5e18), and int64 holds 9.2e18.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]

MAX_SPAN = 1_500_000_000
"""1,500 km in mm."""

FINE, VERTEX_IN_EDGE, ORDER, OVERLAP, OWNERS, CROSSING, LEFT_OVER = range(7)
"""What the sweep found."""
SINGLE, SAME_WAY, MANY = range(1, 4)
"""What is wrong with the twins of an edge."""


@njit(cache=True)
def by_key(order, key, buckets):  # type: ignore[no-untyped-def]
    """`order` stably sorted by key[order] (a counting sort: linear however many edges meet in one vertex)."""
    at = np.zeros(buckets + 1, np.int64)
    for i in range(len(order)):
        at[key[order[i]] + 1] += 1
    for b in range(buckets):
        at[b + 1] += at[b]
    out = np.empty_like(order)
    for i in range(len(order)):
        b = key[order[i]]
        out[at[b]] = order[i]
        at[b] += 1
    return out


@njit(cache=True)
def twins(tail, head, owner, vertices):  # type: ignore[no-untyped-def]
    """Half-edges tail -> head with the owner of their left -> undirected edges (lo, hi, below, above), sorted by (lo, hi).

    Returns also, for each of SINGLE, SAME_WAY and MANY, how many edges are wrong so and one half-edge of the first (-1: none).
    """
    n = len(tail)
    lo = np.minimum(tail, head)
    hi = np.maximum(tail, head)
    order = by_key(by_key(np.arange(n), hi, vertices), lo, vertices)
    edges = np.empty((4, n // 2 + 1), np.int64)
    bad = np.zeros(4, np.int64)
    first = np.full(4, -1, np.int64)
    m = 0
    i = 0
    while i < n:
        h = order[i]
        j = i + 1
        while j < n and lo[order[j]] == lo[h] and hi[order[j]] == hi[h]:
            j += 1
        wrong = 0
        if j - i == 1:
            wrong = SINGLE
        elif j - i > 2:
            wrong = MANY
        elif tail[h] == tail[order[i + 1]]:
            wrong = SAME_WAY
        if wrong > 0:
            if bad[wrong] == 0: first[wrong] = h
            bad[wrong] += 1
        else:
            forward = h if tail[h] < head[h] else order[i + 1]
            backward = order[i + 1] if forward == h else h
            edges[0, m] = lo[h]
            edges[1, m] = hi[h]
            edges[2, m] = owner[backward]  # ground is on the left: of an edge that runs up the order, above it
            edges[3, m] = owner[forward]
            m += 1
        i = j
    return edges[:, :m].copy(), bad, first


@njit(cache=True, inline="always")
def side(xy, a, b, p):  # type: ignore[no-untyped-def]
    """1: p left of a -> b, -1: right, 0: on the line."""
    u = (xy[b, 0] - xy[a, 0]) * (xy[p, 1] - xy[a, 1])
    w = (xy[b, 1] - xy[a, 1]) * (xy[p, 0] - xy[a, 0])
    return 1 if u > w else (-1 if u < w else 0)


@njit(cache=True)
def cross(xy, a, b, c, d):  # type: ignore[no-untyped-def]
    """Do the edges a-b and c-d cross properly? Those that touch are found when the sweep reaches the touching vertex."""
    if a in (c, d) or b in (c, d): return False
    return side(xy, a, b, c) * side(xy, a, b, d) < 0 and side(xy, c, d, a) * side(xy, c, d, b) < 0


@njit(cache=True)
def by_angle(xy, hi, leaving, s, t, v):  # type: ignore[no-untyped-def]
    """Sorts the edges leaving[s:t], all from v, from the lowest to the highest. False: two of them overlap."""
    for i in range(s + 1, t):
        e = leaving[i]
        j = i - 1
        while j >= s:
            turn = side(xy, v, hi[leaving[j]], hi[e])
            if turn == 0: return False
            if turn > 0: break
            leaving[j + 1] = leaving[j]
            j -= 1
        leaving[j + 1] = e
    return True


@njit(cache=True)
def sweep(xy, lo, hi, below, above):  # type: ignore[no-untyped-def]
    """Shamos-Hoey over the vertices in lexicographic order; owners are compared wherever two edges become neighbours.

    xy sorted; edges (lo < hi) sorted by lo. Returns (what it found, vertex, owner below, owner above).
    """
    n_v = len(xy)
    n_e = len(lo)
    leaving = np.arange(n_e)
    arriving = np.zeros(n_v, np.int64)
    for e in range(n_e):
        arriving[hi[e]] += 1
    status = np.empty(1024, np.int64)
    m = 0
    s = 0
    for v in range(n_v):
        first = 0
        last = m
        while first < last:  # the first edge that v is not above
            k = (first + last) >> 1
            if side(xy, lo[status[k]], hi[status[k]], v) > 0: first = k + 1
            else: last = k
        end = first
        while end < m and side(xy, lo[status[end]], hi[status[end]], v) == 0:
            if hi[status[end]] != v: return VERTEX_IN_EDGE, v, -1, -1
            end += 1
        if end - first != arriving[v]: return ORDER, v, -1, -1
        t = s
        while t < n_e and lo[t] == v:
            t += 1
        if not by_angle(xy, hi, leaving, s, t, v): return OVERLAP, v, -1, -1
        grow = (t - s) - (end - first)
        if m + grow > len(status):
            wider = np.empty(2 * (m + grow), np.int64)
            wider[:m] = status[:m]
            status = wider
        if grow > 0:
            for i in range(m - 1, end - 1, -1):
                status[i + grow] = status[i]
        elif grow < 0:
            for i in range(end, m):
                status[i + grow] = status[i]
        m += grow
        for i in range(s, t):
            status[first + i - s] = leaving[i]
        last = first + t - s
        for k in range(first - 1, last):  # new neighbours: status[k] and status[k + 1]
            under = above[status[k]] if k >= 0 else -1
            over = below[status[k + 1]] if k + 1 < m else -1
            if under != over: return OWNERS, v, under, over
            if 0 <= k < m - 1 and (k == first - 1 or k == last - 1):
                e = status[k]
                f = status[k + 1]
                if cross(xy, lo[e], hi[e], lo[f], hi[f]): return CROSSING, v, -1, -1
        s = t
    return (FINE if m == 0 else LEFT_OVER), n_v - 1, -1, -1


@njit(cache=True)
def doubled_areas(xy, ring, ring_at):  # type: ignore[no-untyped-def]
    """Twice the signed area of each ring as high * 2**32 + low, 0 <= low < 2**32: exact for a country."""
    n = len(ring_at) - 1
    high = np.zeros(n, np.int64)
    low = np.zeros(n, np.int64)
    for r in range(n):
        s, t = ring_at[r], ring_at[r + 1]
        oy = xy[ring[s], 1]
        p = ring[t - 1]
        for i in range(s, t):
            q = ring[i]
            a = (xy[p, 0] - xy[q, 0]) * (xy[p, 1] + xy[q, 1] - 2 * oy)
            high[r] += a >> 32
            low[r] += a & 0xFFFFFFFF
            p = q
        high[r] += low[r] >> 32
        low[r] &= 0xFFFFFFFF
    return high, low


def total(high: Ints, low: Ints) -> int:
    """The sum of areas in two limbs, as one integer of any size."""
    return (int(high.sum()) << 32) + int(low.sum())


def signs(high: Ints, low: Ints) -> NDArray[Any]:
    """-1, 0 or 1 of each area in two limbs."""
    return np.where(high != 0, np.sign(high), np.sign(low))
