"""Segments on an integer grid -> edges that meet only at end points, exactly.

Snap rounding (Hobby 1999): every end point and every rounded crossing makes its pixel *hot*; each segment is routed through
the centres of the hot pixels it meets. Pixels are half open, so the result does not depend on the order or the direction of
the input. All predicates are int64; the few crossings are rounded in Python integers. A line moves by at most 0.71 steps.

Limits of int64: a segment spans less than `MAX_SPAN` in x and in y.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray

from routing.errors import JieguanError

Ints = NDArray[np.int64]

MM = 1000.0
"""Grid steps in a metre."""

MAX_SPAN = 1_000_000_000
"""1,000 km in mm: orientation in doubled coordinates, 2 * (2 * span)**2, still fits in int64."""


class LineTooLong(JieguanError):
    zh = "一条边长 {km} 公里(起点 {at}):超过 1000 公里,整数运算会溢出。请检查坐标系或单位。"
    en = (
        "An edge is {km} km long (from {at}): beyond 1,000 km exact integers overflow. "
        "Check the layer's coordinate system and units."
    )


class NotFinite(JieguanError):
    zh = "第 {feature} 个图形含有非有限坐标(NaN 或无穷):无法定位。请修正该图形的坐标或坐标系。"
    en = "Feature {feature} has a coordinate that is NaN or infinite, so it has no place. Mend the feature or its CRS."


class NotAnArea(JieguanError):
    zh = "第 {feature} 个图形含有 {kind}:只有面才能圈出一块地。请改画成面,或先展开嵌套的几何集合。"
    en = (
        "Feature {feature} holds a {kind}: only an area can be somebody's ground. Draw it as a polygon, or flatten nested "
        "collections first."
    )


POLYGON = 3
"""shapely's type id."""


@dataclass(frozen=True, slots=True)
class Linework:
    """Rounded polygon edges. `part[i]` is the polygon of `segment[i]`; `claim[part]` whose ground it is.

    A place is in a part when a ray from it crosses the part's segments an odd number of times, and on a claim's ground when
    it is in any part of it. Parity over a whole claim would let two overlapping polygons of one squad cancel.
    """

    segment: Ints  # (n, 4) x1 y1 x2 y2, mm
    part: Ints  # (n,)
    claim: Ints  # (parts,)


def linework(geometries: Sequence[Any] | NDArray[np.object_]) -> Linework:
    """Polygons in metres, one geometry per claim, to segments on the 1 mm grid.

    Rings of any direction, start and validity are accepted; nothing is mended. Zero-length segments vanish.
    """
    parts, claim = shapely.get_parts(np.asarray(geometries, object), return_index=True)
    strange = np.flatnonzero(shapely.get_type_id(parts) != POLYGON)
    if len(strange):
        raise NotAnArea(feature=int(claim[strange[0]]), kind=parts[strange[0]].geom_type)
    rings, part = shapely.get_rings(parts, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    finite = np.isfinite(xy).all(1)
    if not finite.all():
        raise NotFinite(feature=int(claim[part[ring[np.flatnonzero(~finite)[0]]]]))
    grid = np.rint(xy * MM).astype(np.int64)
    same = ring[1:] == ring[:-1]
    segment = np.concatenate([grid[:-1][same], grid[1:][same]], 1)
    of = part[ring[:-1][same]].astype(np.int64)
    real = (segment[:, :2] != segment[:, 2:]).any(1)
    return Linework(segment[real], of[real], claim.astype(np.int64))


def canonical(segment: Ints) -> Ints:
    """The lexicographically smaller end first."""
    x1, y1, x2, y2 = segment.T
    swap = (x1 > x2) | ((x1 == x2) & (y1 > y2))
    return np.where(swap[:, None], segment[:, [2, 3, 0, 1]], segment)


def unique_rows(rows: Ints) -> tuple[Ints, Ints]:
    """Unique rows in lexicographic order, and each row's place among them. Rows are points (n, 2) or segments (n, 4).

    Points are packed into one int64 key, segments through their points: one sort of keys is several times faster than a
    sort of columns.
    """
    if rows.shape[1] == 4:
        point, place = unique_rows(rows.reshape(-1, 2))
        place = place.reshape(-1, 2)
        key, inverse = _unique(place[:, 0] * len(point) + place[:, 1])
        return np.concatenate([point[key // max(len(point), 1)], point[key % max(len(point), 1)]], 1), inverse
    if not len(rows):
        return rows, np.empty(0, np.int64)
    low = rows.min(0)
    span = int(rows[:, 1].max() - low[1]) + 1
    if (int(rows[:, 0].max() - low[0]) + 1) * span < 2**63:
        key, inverse = _unique((rows[:, 0] - low[0]) * span + (rows[:, 1] - low[1]))
        return np.stack([key // span + low[0], key % span + low[1]], 1), inverse
    unique, inverse = np.unique(rows, axis=0, return_inverse=True)  # wider than 3,000 km
    return unique, inverse.reshape(-1).astype(np.int64)


def among(rows: Ints, some: Ints) -> NDArray[np.bool_]:
    """Which points, or segments, are among some."""
    both, place = unique_rows(np.concatenate([rows, some]))
    there = np.zeros(len(both), np.bool_)
    there[place[len(rows) :]] = True
    found: NDArray[np.bool_] = there[place[: len(rows)]]
    return found


def odd(edge: Ints, part: Ints, n_part: int) -> Ints:
    """The pairs (edge, part) that occur an odd number of times, sorted, as (m, 2)."""
    key, count = np.unique(edge * n_part + part, return_counts=True)
    key = key[count % 2 == 1]
    return np.stack([key // n_part, key % n_part], 1)


def node(segment: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Noded edges of unique canonical segments.

    Returns vertices (v, 2) in lexicographic order, edges (m, 2) into them with the smaller vertex first, and the pairs
    (segment, edge) that tell which segments run along which edges.
    """
    span = np.abs(segment[:, 2:] - segment[:, :2])
    if len(span) and span.max() >= MAX_SPAN:
        worst = segment[int(span.max(1).argmax())]
        raise LineTooLong(km=round(float(span.max()) / 1e6), at=(worst[:2] / MM).tolist())
    low = segment.reshape(-1, 2).min(0) - 4
    wide = segment.reshape(-1, 2).max(0) - low
    length = np.hypot(span[:, 0].astype(float), span[:, 1].astype(float))
    cell = int(max(2 * np.median(length), length.mean() / 2, wide.max() / 2**20, 16))
    columns = int(wide[0] // cell + 3)
    keys, start, who = _bins(segment, cell, low, columns)
    pair = np.empty((_crossings(segment, start, who, np.empty((0, 2), np.int64), False), 2), np.int64)
    _crossings(segment, start, who, pair, True)
    pair = unique_rows(pair)[0]
    cross = np.array([_meet(segment[s], segment[t]) for s, t in pair], np.int64).reshape(-1, 2)
    hot, _ = unique_rows(np.concatenate([segment[:, :2], segment[:, 2:], cross]))
    link = _route(segment, hot, (hot[:, 1] - low[1]) // cell * columns + (hot[:, 0] - low[0]) // cell, keys, start, who)
    same = link[1:, 0] == link[:-1, 0]
    a, b = link[:-1, 2][same], link[1:, 2][same]
    edge, place = unique_rows(np.stack([np.minimum(a, b), np.maximum(a, b)], 1))
    return hot, edge, link[:-1, 0][same], place


def _unique(key: Ints) -> tuple[Ints, Ints]:
    order = np.argsort(key)
    ranked = key[order]
    new = np.ones(len(key), bool)
    new[1:] = ranked[1:] != ranked[:-1]
    inverse = np.empty(len(key), np.int64)
    inverse[order] = np.cumsum(new) - 1
    return ranked[new], inverse


def _bins(segment: Ints, cell: int, low: Ints, columns: int) -> tuple[Ints, Ints, Ints]:
    """Cells of a square grid met by each segment: cell keys in order, where each one's list starts, the lists."""
    none = np.empty(0, np.int64)
    n = _raster(segment, low[0], low[1], cell, columns, False, none, none)
    key, who = np.empty(n, np.int64), np.empty(n, np.int64)
    _raster(segment, low[0], low[1], cell, columns, True, key, who)
    order = np.argsort(key, kind="stable")
    keys, first = np.unique(key[order], return_index=True)
    return keys, np.append(first, n), who[order]


def _route(segment: Ints, hot: Ints, hot_key: Ints, keys: Ints, start: Ints, who: Ints) -> Ints:
    """(segment, way along it, hot pixel), sorted along each segment."""
    order = np.argsort(hot_key, kind="stable")
    ranked = hot[order]
    first = np.searchsorted(hot_key[order], keys)
    last = np.searchsorted(hot_key[order], keys, "right")
    link = np.empty((_snap(segment, start, who, ranked, first, last, np.empty((0, 3), np.int64), False), 3), np.int64)
    _snap(segment, start, who, ranked, first, last, link, True)
    link[:, 2] = order[link[:, 2]]
    return link[np.lexsort((link[:, 2], link[:, 1], link[:, 0]))]


def _meet(a: Ints, b: Ints) -> tuple[int, int]:
    """Where two segments cross, rounded half up to the grid; exact, since the products need 128 bits."""
    ax, ay, bx, by = map(int, a)
    cx, cy, dx, dy = map(int, b)
    rx, ry, sx, sy = bx - ax, by - ay, dx - cx, dy - cy
    den, num = rx * sy - ry * sx, (cx - ax) * sy - (cy - ay) * sx
    if den < 0:
        den, num = -den, -num
    return ax + (2 * rx * num + den) // (2 * den), ay + (2 * ry * num + den) // (2 * den)


@njit(inline="always")
def orient(ax, ay, bx, by, px, py):  # type: ignore[no-untyped-def]
    """1 when p is left of a -> b, -1 right, 0 on the line. int64."""
    d = (bx - ax) * (py - ay) - (by - ay) * (px - ax)
    return 1 if d > 0 else (-1 if d < 0 else 0)


@njit(cache=True)
def _raster(segment, x0, y0, cell, columns, fill, key, who):  # type: ignore[no-untyped-def]
    """Cells met by each segment, one step too many rather than one too few; counts when not `fill`."""
    n = 0
    for e in range(len(segment)):
        ax, ay, bx, by = segment[e, 0], segment[e, 1], segment[e, 2], segment[e, 3]
        if ay > by:
            ax, ay, bx, by = bx, by, ax, ay
        for r in range((ay - 1 - y0) // cell, (by + 1 - y0) // cell + 1):
            lo = max(ay, y0 + r * cell - 1)
            hi = min(by, y0 + (r + 1) * cell + 1)
            xa = float(ax)
            xb = float(bx)
            if by > ay:
                xa, xb = ax + (bx - ax) * ((lo - ay) / (by - ay)), ax + (bx - ax) * ((hi - ay) / (by - ay))
            if xa > xb:
                xa, xb = xb, xa
            for c in range((np.int64(np.floor(xa)) - 2 - x0) // cell, (np.int64(np.ceil(xb)) + 2 - x0) // cell + 1):
                if fill:
                    key[n] = r * columns + c
                    who[n] = e
                n += 1
    return n


@njit(cache=True)
def _crossings(segment, start, who, out, fill):  # type: ignore[no-untyped-def]
    """Pairs of segments that cross properly, once per cell they share; counts when not `fill`."""
    n = 0
    for k in range(len(start) - 1):
        for i in range(start[k], start[k + 1]):
            s = who[i]
            ax, ay, bx, by = segment[s, 0], segment[s, 1], segment[s, 2], segment[s, 3]
            ylo = min(ay, by)
            yhi = max(ay, by)
            for j in range(i + 1, start[k + 1]):
                t = who[j]
                cx, cy, dx, dy = segment[t, 0], segment[t, 1], segment[t, 2], segment[t, 3]
                if cx > bx or dx < ax or min(cy, dy) > yhi or max(cy, dy) < ylo:
                    continue
                if orient(ax, ay, bx, by, cx, cy) * orient(ax, ay, bx, by, dx, dy) >= 0:
                    continue
                if orient(cx, cy, dx, dy, ax, ay) * orient(cx, cy, dx, dy, bx, by) >= 0:
                    continue
                if fill:
                    out[n, 0] = min(s, t)
                    out[n, 1] = max(s, t)
                n += 1
    return n


@njit(cache=True)
def _hits(ax, ay, bx, by, hx, hy):  # type: ignore[no-untyped-def]
    """Does the segment (ax <= bx) meet the half-open pixel of h? In doubled coordinates; ties as in JTS HotPixel."""
    px, py, qx, qy = 2 * ax, 2 * ay, 2 * bx, 2 * by
    x0, x1, y0, y1 = 2 * hx - 1, 2 * hx + 1, 2 * hy - 1, 2 * hy + 1
    if px >= x1 or qx < x0 or min(py, qy) >= y1 or max(py, qy) < y0:
        return False
    if px == qx or py == qy:
        return True
    ul = orient(px, py, qx, qy, x0, y1)
    if ul == 0:
        return not py < qy
    ur = orient(px, py, qx, qy, x1, y1)
    if ur == 0:
        return not py > qy
    if ul != ur:
        return True
    ll = orient(px, py, qx, qy, x0, y0)
    if ll == 0 or ll != ul:
        return True
    lr = orient(px, py, qx, qy, x1, y0)
    if lr == 0:
        return not py < qy
    return ll != lr or lr != ur


@njit(cache=True)
def _snap(segment, start, who, hot, first, last, out, fill):  # type: ignore[no-untyped-def]
    """(segment, scalar product along it, hot pixel) for each pixel a segment meets; counts when not `fill`.

    A hot pixel lies in one cell, so no pair comes twice.
    """
    n = 0
    for k in range(len(start) - 1):
        if first[k] == last[k]:
            continue
        for i in range(start[k], start[k + 1]):
            s = who[i]
            ax, ay, bx, by = segment[s, 0], segment[s, 1], segment[s, 2], segment[s, 3]
            ylo = min(ay, by)
            yhi = max(ay, by)
            for h in range(first[k], last[k]):
                x, y = hot[h, 0], hot[h, 1]
                if x < ax - 1 or x > bx + 1 or y < ylo - 1 or y > yhi + 1:
                    continue
                if _hits(ax, ay, bx, by, x, y):
                    if fill:
                        out[n, 0] = s
                        out[n, 1] = (x - ax) * (bx - ax) + (y - ay) * (by - ay)
                        out[n, 2] = h
                    n += 1
    return n
