"""The adaptive index: a grid of root cells, each split 4 x 4 again and again, down to leaves that list the few edges that matter.

*Class* is the number of a label: the claims that hold at a place. Coordinates are mm from an integer origin. The corner of a
cell with lower left (x0, y0) stands symbolically at (x0 + d, y0 + e) with 0 < e << d << 1, so no edge passes through it and its
class is decided by integers; see `_above`. The class of a point is the class of its leaf's corner, changed at each edge that
the path corner -> up -> right to the point crosses: classes are combined by exclusive or (`flip` = left ^ right), so the order
of the crossings does not matter, and the sign that both legs share is computed once, so no crossing is counted on one leg and
missed on the other. The point itself is rounded to 1 / SUBGRID mm and stands symbolically at (x + d, y + e) too: at a vertex,
where signs of several edges must agree, every product is exact for edges up to 16 km, and equal where the point is the vertex.

A leaf is a run of int32 in `pool`: corner class, n, n crossing edges as 2 * edge + (corner above it), g, then for each of g
classes: class, n, n edges. The group of class s holds every edge of s that can be the nearest one of s, within the cap, for
some place in the leaf: edge e stays if mindist(leaf, e) <= min over the edges of s of maxdist(leaf, edge). The distance to a
segment is convex, so its greatest value over a square is at a corner. A leaf without edges costs one look-up: leaf = class.

Where stretches of border have widths of their own, edges are of several *kinds* and the nearest edge of a class is not all that
matters: a group is then the edges of one class and one kind, and the groups of a class follow each other. Else groups are classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from routing.ground.faces import Subdivision
from routing.ground.noding import Ints

Floats = NDArray[np.float64]
Small = NDArray[np.int32]

ROOT = 20
"""log2 of a root cell in mm: 1,049 m."""

WANT, WANT_CROSSING, CROWDED = 8, 3, 96
"""A leaf is split when it lists more than this many edges, or this many that cross it; once more below the floor when crowded.

Never where it does not help: in the middle of an arc all its edges are equally near, however small the cell."""

SUBGRID = 16.0
"""Steps in a millimetre to which points are rounded before their class is asked: 2 * 24 bits of an edge and 4 of these fit."""

TOUCH = 1e-3
"""mm2: an edge this near counts as crossing. One too many is harmless, one too few would be wrong."""


@dataclass(frozen=True, slots=True)
class Cells:
    """The index of one subdivision. `reach` mm: every edge within it of a point is found, if it can be a nearest one."""

    origin: tuple[int, int]
    top: int
    columns: int
    rows: int
    reach: float
    n_class: int
    root: Small  # (columns * rows,): >= 0 a block of 16 children, < 0 the leaf ~v
    child: Small
    start: Ints  # leaf - n_class -> pool
    pool: Small
    edge: Floats  # (edges, 8) x1 y1 x2 y2 dx dy 1/length2 0, x1 <= x2
    flip: Small  # (edges,) class on the left ^ class on the right
    of: Small  # (groups,) its class
    kind: Small  # (groups,) the kind of its edges

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in (self.root, self.child, self.start, self.pool, self.edge, self.flip))


@dataclass(frozen=True, slots=True)
class Groups:
    """The group of each edge on its left and on its right, and the class and kind of each group; numbered by class, then kind."""

    left: Small
    right: Small
    of: Small
    kind: Small


def groups_of(left: Small, right: Small, kind: Small | None, n_class: int) -> Groups:
    """`left`, `right`: classes beside each edge. `kind` (edges, 2): seen from either; None: all alike, so that groups are classes."""
    if kind is None:
        return Groups(left, right, np.arange(n_class, dtype=np.int32), np.zeros(n_class, np.int32))
    wide = int(kind.max(initial=0)) + 1
    key = np.stack([left, right], 1).astype(np.int64) * wide + kind
    found, number = np.unique(key, return_inverse=True)
    number = number.reshape(-1, 2).astype(np.int32)
    return Groups(number[:, 0], number[:, 1], (found // wide).astype(np.int32), (found % wide).astype(np.int32))


def index(faces: Subdivision, n_class: int, outside: int, reach_m: float = 100.0, kind: Small | None = None) -> Cells:
    """Index the edges of a subdivision between different classes.

    `faces.label` is the class of each face, `outside` that of the unbounded face. A wider reach needs larger leaves. `kind`
    (edges, 2): the kind of each edge as seen from its left and from its right.
    """
    reach = reach_m * 1000.0
    floor = max(8, int(np.log2(max(reach, 1.0) / 6.0)))
    top = max(ROOT, floor + 6)
    of = np.append(faces.label, outside).astype(np.int32)
    left, right = of[faces.side[:, 0]], of[faces.side[:, 1]]
    a, b = faces.xy[faces.edge[:, 0]], faces.xy[faces.edge[:, 1]]
    if not len(a):
        none = np.empty(0, np.int32)
        whole = np.array([~outside], np.int32)
        return Cells((0, 0), top, 1, 1, reach, n_class, whole, none, np.empty(0, np.int64), none, np.empty((0, 8)), none, none, none)
    size = 1 << top
    low = faces.xy.min(0)
    origin = low - int(np.ceil(reach)) - size
    place = np.argsort(_morton(((a + b) // 2 - low) >> 10), kind="stable")
    a, b, left, right = a[place] - origin, b[place] - origin, left[place], right[place]
    group = groups_of(left, right, None if kind is None else kind[place], n_class)
    edge = _edges(a, b)
    columns, rows = (int(v) + 2 for v in (faces.xy.max(0) - origin + int(np.ceil(reach))) // size)
    none = np.empty(0, np.int64)
    n = _reached(edge, columns, rows, float(size), reach, False, none, none)
    key, who = np.empty(n, np.int64), np.empty(n, np.int64)
    _reached(edge, columns, rows, float(size), reach, True, key, who)
    order = np.argsort(key, kind="stable")
    at = np.searchsorted(key[order], np.arange(columns * rows + 1))
    who = who[order].astype(np.int32)
    flip = left ^ right
    corner = _corners(edge, flip, at, who, columns, rows, size, outside)
    root, child, start, pool = _build(
        edge, flip, group.left, group.right, group.of, n_class, at, who, corner, columns, rows, top, floor,
        WANT, WANT_CROSSING, CROWDED, reach,
    )  # fmt: skip
    start_at = int(origin[0]), int(origin[1])
    return Cells(start_at, top, columns, rows, reach, n_class, root, child, start, pool, edge, flip, group.of, group.kind)


def _edges(a: Ints, b: Ints) -> Floats:
    d = b - a
    edge = np.zeros((len(a), 8))
    edge[:, 0:2], edge[:, 2:4], edge[:, 4:6] = a, b, d
    edge[:, 6] = 1.0 / (d.astype(float) ** 2).sum(1)
    return edge


def _morton(xy: Ints) -> Any:
    """Place on the Z curve, so that edges used together lie together."""

    def spread(v: Any) -> Any:
        v = v.astype(np.uint64)
        masks = (0x0000FFFF0000FFFF, 0x00FF00FF00FF00FF, 0x0F0F0F0F0F0F0F0F, 0x3333333333333333, 0x5555555555555555)
        for shift, mask in zip((16, 8, 4, 2, 1), masks, strict=True):
            v = (v | (v << np.uint64(shift))) & np.uint64(mask)
        return v

    return spread(xy[:, 0]) | (spread(xy[:, 1]) << np.uint64(1))


@njit(inline="always")
def distance2(edge, e, x, y):  # type: ignore[no-untyped-def]
    """Squared distance in mm2 of a point to an edge."""
    px = x - edge[e, 0]
    py = y - edge[e, 1]
    t = min(max((px * edge[e, 4] + py * edge[e, 5]) * edge[e, 6], 0.0), 1.0)
    px -= t * edge[e, 4]
    py -= t * edge[e, 5]
    return px * px + py * py


@njit(inline="always")
def _above(edge, e, x, y):  # type: ignore[no-untyped-def]
    """Is the symbolic corner (x + d, y + e) left of the edge (above it, as x1 <= x2)? Exact for integers x, y."""
    dx = np.int64(edge[e, 4])
    dy = np.int64(edge[e, 5])
    v = dx * (y - np.int64(edge[e, 1])) - dy * (x - np.int64(edge[e, 0]))
    if v != 0:
        return v > 0
    return dy < 0 if dy != 0 else dx > 0


@njit(inline="always")
def class_at(edge, flip, pool, at, n, corner, x0, x, y):  # type: ignore[no-untyped-def]
    """The class at (x, y) in a leaf with its corner at x0, from the crossing edges pool[at:at + n]."""
    got = corner
    for i in range(at, at + n):
        code = pool[i]
        e = code >> 1
        ya = edge[e, 1]
        yb = edge[e, 3]
        xa = edge[e, 0]
        xb = edge[e, 2]
        upright = xa <= x0 < xb  # the leg up from the corner can meet it
        if (ya <= y) != (yb <= y):  # so can the leg to the right
            dx = edge[e, 4]
            dy = edge[e, 5]
            if upright:
                v = dx * (y - ya) - dy * (x0 - xa)
                bend = v > 0.0 or (v == 0.0 and (dy < 0.0 or (dy == 0.0 and dx > 0.0)))
                if bend != ((code & 1) == 1):
                    got ^= flip[e]
            elif x0 >= xb:
                bend = dy < 0.0
            else:
                bend = dy > 0.0
            v = dx * (y - ya) - dy * (x - xa)
            if bend != (v > 0.0 or (v == 0.0 and (dy < 0.0 or (dy == 0.0 and dx > 0.0)))):
                got ^= flip[e]
        elif upright and (ya <= y) != ((code & 1) == 1):
            got ^= flip[e]
    return got


@njit(inline="always")
def _turned(edge, flip, e, x0, y0, x1, y1):  # type: ignore[no-untyped-def]
    """What an edge changes on the way between two symbolic corners: up from y0 to y1 at x0, then over to x1."""
    change = 0
    bend = _above(edge, e, x0, y1)
    if edge[e, 0] <= x0 < edge[e, 2] and _above(edge, e, x0, y0) != bend:
        change ^= flip[e]
    if (edge[e, 1] <= y1) != (edge[e, 3] <= y1) and bend != _above(edge, e, x1, y1):
        change ^= flip[e]
    return change


@njit(cache=True)
def _box_distance2(edge, e, x0, y0, s):  # type: ignore[no-untyped-def]
    """Least squared distance of a square to an edge; 0 where they meet (Liang-Barsky)."""
    ax, ay, bx, by = edge[e, 0], edge[e, 1], edge[e, 2], edge[e, 3]
    x1 = x0 + s
    y1 = y0 + s
    dx = edge[e, 4]
    dy = edge[e, 5]
    lo = 0.0
    hi = 1.0
    inside = True
    if dx == 0.0:
        inside = x0 <= ax <= x1
    else:
        u = (x0 - ax) / dx
        v = (x1 - ax) / dx
        lo = max(lo, min(u, v))
        hi = min(hi, max(u, v))
    if dy == 0.0:
        inside = inside and y0 <= ay <= y1
    else:
        u = (y0 - ay) / dy
        v = (y1 - ay) / dy
        lo = max(lo, min(u, v))
        hi = min(hi, max(u, v))
    if inside and lo <= hi:
        return 0.0
    d = min(distance2(edge, e, x0, y0), distance2(edge, e, x1, y0))
    d = min(d, min(distance2(edge, e, x0, y1), distance2(edge, e, x1, y1)))
    gx = max(max(x0 - ax, ax - x1), 0.0)
    gy = max(max(y0 - ay, ay - y1), 0.0)
    d = min(d, gx * gx + gy * gy)
    gx = max(max(x0 - bx, bx - x1), 0.0)
    gy = max(max(y0 - by, by - y1), 0.0)
    return min(d, gx * gx + gy * gy)


@njit(cache=True)
def _reached(edge, columns, rows, size, reach, fill, key, who):  # type: ignore[no-untyped-def]
    """Root cells within reach of each edge; counts when not `fill`."""
    n = 0
    for e in range(len(edge)):
        ax, ay, bx, by = edge[e, 0], edge[e, 1], edge[e, 2], edge[e, 3]
        c0 = max(0, int((min(ax, bx) - reach - 1.0) // size))
        c1 = min(columns - 1, int((max(ax, bx) + reach + 1.0) // size))
        r0 = max(0, int((min(ay, by) - reach - 1.0) // size))
        r1 = min(rows - 1, int((max(ay, by) + reach + 1.0) // size))
        for r in range(r0, r1 + 1):
            for c in range(c0, c1 + 1):
                if (r1 > r0 or c1 > c0) and _box_distance2(edge, e, c * size, r * size, size) > (reach + 1.0) ** 2:
                    continue
                if fill:
                    key[n] = r * columns + c
                    who[n] = e
                n += 1
    return n


@njit(cache=True)
def _corners(edge, flip, at, who, columns, rows, size, outside):  # type: ignore[no-untyped-def]
    """The class of each root cell's corner: along each row from the outside, by the edges that cross its lower side."""
    got = np.empty(columns * rows, np.int32)
    for r in range(rows):
        y = r * size
        now = outside
        for c in range(columns):
            k = r * columns + c
            got[k] = now
            for i in range(at[k], at[k + 1]):
                e = who[i]
                straddles = (edge[e, 1] <= y) != (edge[e, 3] <= y)
                if straddles and _above(edge, e, c * size, y) != _above(edge, e, (c + 1) * size, y):
                    now ^= flip[e]
    return got


@njit(cache=True)
def _grown(a, need):  # type: ignore[no-untyped-def]
    """The array itself, or a copy twice as long where `need` does not fit."""
    if need <= len(a):
        return a
    b = np.empty(2 * need, a.dtype)
    b[: len(a)] = a
    return b


@njit(cache=True)
def _build(  # type: ignore[no-untyped-def]
    edge, flip, left, right, of, n_class, at, who, corner_of, columns, rows, top, floor, want, want_crossing, crowded, reach
):
    # `left` and `right` are groups, `of` the class of each.
    root = np.empty(columns * rows, np.int32)
    child = np.empty(1 << 12, np.int32)
    n_block = 0
    start = np.empty(1 << 12, np.int64)
    n_leaf = 0
    pool = np.empty(1 << 14, np.int32)
    n_pool = 0
    # A cell's edges live in one growing buffer; children are handled before their parent's neighbours, so it acts as a stack.
    buf = np.empty(1 << 14, np.int32)
    sx = np.empty(4096, np.int64)
    sy = np.empty(4096, np.int64)
    level = np.empty(4096, np.int64)
    first = np.empty(4096, np.int64)
    count = np.empty(4096, np.int64)
    slot = np.empty(4096, np.int64)
    corner_at = np.empty(4096, np.int32)
    mind = np.empty(1 << 12, np.float64)
    bound = np.full(len(of), np.inf)
    seen = np.empty(len(of), np.int32)
    reach2 = (reach + 1.0) * (reach + 1.0)
    for cell in range(columns * rows):
        k = at[cell + 1] - at[cell]
        if k == 0:
            root[cell] = ~np.int32(corner_of[cell])
            continue
        buf = _grown(buf, k)
        for i in range(k):
            buf[i] = who[at[cell] + i]
        sp = 1
        sx[0] = (cell % columns) << top
        sy[0] = (cell // columns) << top
        level[0] = top
        first[0] = 0
        count[0] = k
        slot[0] = -1
        corner_at[0] = corner_of[cell]
        while sp > 0:
            sp -= 1
            x0 = sx[sp]
            y0 = sy[sp]
            lv = level[sp]
            a = first[sp]
            n = count[sp]
            corner = corner_at[sp]
            where = slot[sp]
            s = float(1 << lv)
            fx = float(x0)
            fy = float(y0)
            mind = _grown(mind, n)
            ns = 0
            cross = 0
            for i in range(n):
                e = buf[a + i]
                mind[i] = _box_distance2(edge, e, fx, fy, s)
                if mind[i] < TOUCH:
                    cross += 1
                m = max(distance2(edge, e, fx, fy), distance2(edge, e, fx + s, fy))
                m = max(m, max(distance2(edge, e, fx, fy + s), distance2(edge, e, fx + s, fy + s)))
                m = min(m * (1.0 + 1e-9) + TOUCH, reach2)
                for c in (left[e], right[e]):
                    if bound[c] == np.inf:
                        seen[ns] = c
                        ns += 1
                        bound[c] = m
                    elif m < bound[c]:
                        bound[c] = m
            if cross == 0:  # every place of this cell is in `corner`: the distance to itself is never asked
                for c in range(ns):
                    if of[seen[c]] == corner:
                        bound[seen[c]] = -1.0
            b = a + n
            buf = _grown(buf, b + n)
            kept = 0
            total = 0
            for i in range(n):
                e = buf[a + i]
                w = (mind[i] <= bound[left[e]]) + (mind[i] <= bound[right[e]])
                if w:
                    buf[b + kept] = e
                    mind[kept] = mind[i]
                    kept += 1
                    total += w
            split = kept > 0 and (total > want or cross > want_crossing) and lv - 2 >= floor
            if cross <= want_crossing and kept > want and lv < top and 4 * kept > 3 * n:
                split = False
            if not split:
                split = total > crowded and lv - 2 >= floor - 2 and 2 * kept < n and lv < top
            if split:
                child = _grown(child, 16 * (n_block + 1))
                block = n_block
                n_block += 1
                if where < 0:
                    root[cell] = block
                else:
                    child[where] = block
                q = np.int64(1) << (lv - 2)
                for j in range(16):
                    cx = x0 + (j & 3) * q
                    cy = y0 + (j >> 2) * q
                    now = corner
                    if cross:
                        for i in range(b, b + kept):
                            now ^= _turned(edge, flip, buf[i], x0, y0, cx, cy)
                    corner_at[sp] = now
                    sx[sp] = cx
                    sy[sp] = cy
                    level[sp] = lv - 2
                    first[sp] = b
                    count[sp] = kept
                    slot[sp] = 16 * block + j
                    sp += 1
            else:
                value = ~np.int32(corner)
                if kept > 0:
                    pool = _grown(pool, n_pool + 3 + kept + 2 * ns + total)
                    start = _grown(start, n_leaf + 1)
                    start[n_leaf] = n_pool
                    value = ~np.int32(n_class + n_leaf)
                    n_leaf += 1
                    pool[n_pool] = corner
                    head = n_pool + 1
                    p = head + 1
                    for i in range(kept):
                        if mind[i] < TOUCH:
                            e = buf[b + i]
                            pool[p] = 2 * e + (1 if _above(edge, e, x0, y0) else 0)
                            p += 1
                    pool[head] = p - head - 1
                    head = p
                    p += 1
                    groups = 0
                    seen[:ns].sort()  # groups of one class follow each other
                    for c in range(ns):
                        g = seen[c]
                        if bound[g] < 0.0:
                            continue
                        h = p
                        p += 2
                        for i in range(kept):
                            e = buf[b + i]
                            if (left[e] == g or right[e] == g) and mind[i] <= bound[g]:
                                pool[p] = e
                                p += 1
                        if p == h + 2:
                            p = h
                            continue
                        pool[h] = g
                        pool[h + 1] = p - h - 2
                        groups += 1
                    pool[head] = groups
                    n_pool = p
                if where < 0:
                    root[cell] = value
                else:
                    child[where] = value
            for c in range(ns):
                bound[seen[c]] = np.inf
    return root, child[: 16 * n_block].copy(), start[:n_leaf].copy(), pool[:n_pool].copy()
