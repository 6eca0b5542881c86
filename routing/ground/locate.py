"""point -> class, margin, the class across the margin, every other class within reach. One kernel for one and for millions.

Kernels release the interpreter and run over slices in Python threads; starting numba's own pool would cost a lone point 1 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from routing.ground.cells import Cells, Floats, Small, class_at, distance2

Bools = NDArray[np.bool_]

ON_LINE_MM = 1.0
"""A point closer than this to a line is *on* it: coordinates are kept to a millimetre, no survey says more."""

LEVELS = 4
WITHIN, IN_ERROR, ON_LINE = 0, 1, 2
"""How near a class is: within reach only; where the true place may lie; on the line itself."""

WIDTH = 4
"""Near classes kept per row at first; rows with more (up to seven squads meet at a corner) are asked again with room."""


@dataclass(frozen=True, slots=True)
class Found:
    """What holds at n points.

    `near[i, :n_near[i]]` are the other classes within reach, as LEVELS * class + level. `margin` in metres to the nearest
    place whose lead is another, capped at the reach of the index; `across` the class there, -1 at the cap.
    """

    own: Small
    margin: Floats
    across: Small
    near: Small
    n_near: Small


def locate(
    cells: Cells,
    x: Floats,
    y: Floats,
    error2: Floats,
    zone2: float,
    accuracy2: Floats,
    lead: NDArray[np.int32],
    context: Small,
    workers: int = 1,
) -> Found:
    """What holds at the points (x, y), metres in the work CRS. NaN is the caller's business: it lands outside.

    `error2`: squared location error in m2, one per row or a single one. `accuracy2`: of each class, m2. A class s is within
    reach of a point of class c at distance d when d2 <= max(zone2, error2 + max(accuracy2[c], accuracy2[s])).
    `lead[context[i]]`: who leads in each class, for row i; one row of `lead` and `context` of length 1 serve all rows alike.
    """
    n = len(x)
    own, across, n_near = (np.empty(n, np.int32) for _ in range(3))
    margin, near = np.empty(n), np.empty((n, WIDTH), np.int32)
    e2, z2, a2 = error2 * 1e6, zone2 * 1e6, accuracy2 * 1e6

    def part(lo: int, hi: int) -> None:
        _FULL(x, y, e2, len(e2) > 1, z2, a2, lead, context, len(context) > 1,
              *_arrays(cells), lo, hi, own, margin, across, near, n_near)  # fmt: skip

    spread(n, workers, part)
    if n and n_near.max() > WIDTH:
        near = _wider(cells, x, y, e2, z2, a2, lead, context, near, n_near)
    return Found(own, margin, across, near, n_near)


class Lone:
    """The same for one point at a time, with room made once. Not for two threads at once."""

    def __init__(self, cells: Cells, zone2: float, accuracy2: Floats, lead: NDArray[np.int32], room: int = 8) -> None:
        self._args = cells, zone2, accuracy2, lead
        self._x, self._y, self._e2, self._margin = (np.zeros(1) for _ in range(4))
        self._own, self._across, self._m, context = (np.zeros(1, np.int32) for _ in range(4))
        self._near = np.zeros((1, room), np.int32)
        self._tail = (False, zone2 * 1e6, accuracy2 * 1e6, lead, context, False, *_arrays(cells), 0, 1,
                      self._own, self._margin, self._across, self._near, self._m)  # fmt: skip

    def __call__(self, x: float, y: float, error2: float) -> tuple[int, float, int, tuple[int, ...]]:
        """Own class, margin, class across it, near classes with their levels."""
        self._x[0], self._y[0], self._e2[0] = x, y, error2 * 1e6
        _FULL(self._x, self._y, self._e2, *self._tail)
        m = self._m.item(0)
        if m > self._near.shape[1]:
            return Lone(*self._args, room=m)(x, y, error2)
        return self._own.item(0), self._margin.item(0), self._across.item(0), tuple(self._near[0, :m].tolist()) if m else ()


def spread(n: int, workers: int, work: Callable[[int, int], None], least: int = 65536) -> None:
    """`work(lo, hi)` over n rows, in threads where there are several and it pays."""
    if workers <= 1 or n <= least:
        work(0, n)
        return
    cut = np.linspace(0, n, 4 * workers + 1).astype(int).tolist()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, cut[:-1], cut[1:]))


def _arrays(cells: Cells) -> tuple[Any, ...]:
    c = cells
    return (c.origin[0], c.origin[1], c.top, c.columns, c.rows, c.reach, c.n_class,
            c.root, c.child, c.start, c.pool, c.edge, c.flip)  # fmt: skip


def _wider(
    cells: Cells, x: Floats, y: Floats, e2: Floats, z2: float, a2: Floats, lead: Any, context: Small, near: Small, n_near: Small
) -> Small:
    """The same rows again where the list of near classes was too short."""
    rows = np.flatnonzero(n_near > WIDTH)
    room = int(n_near.max())
    wide = np.empty((len(near), room), np.int32)
    wide[:, :WIDTH] = near
    k = len(rows)
    again = np.empty((k, room), np.int32)
    _FULL(x[rows], y[rows], e2[rows] if len(e2) > 1 else e2, len(e2) > 1, z2, a2, lead,
          context[rows] if len(context) > 1 else context, len(context) > 1, *_arrays(cells), 0, k,
          np.empty(k, np.int32), np.empty(k), np.empty(k, np.int32), again, np.empty(k, np.int32))  # fmt: skip
    wide[rows] = again
    return wide


@njit(inline="always")
def _leaf(root, child, columns, rows, top, x, y):  # type: ignore[no-untyped-def]
    """Leaf number of a point in index coordinates and the x, y of the leaf's corner; -1 off the grid."""
    if not (x >= 0.0 and y >= 0.0 and x < 9e15 and y < 9e15):
        return -1, 0, 0
    ix = np.int64(x)
    iy = np.int64(y)
    c = ix >> top
    r = iy >> top
    if c >= columns or r >= rows:
        return -1, 0, 0
    v = root[r * columns + c]
    lv = top
    while v >= 0:
        lv -= 2
        v = child[16 * v + ((ix >> lv) & 3) + (((iy >> lv) & 3) << 2)]
    return ~v, (ix >> lv) << lv, (iy >> lv) << lv


@njit(cache=True, nogil=True)
def _full(  # type: ignore[no-untyped-def]
    x, y, error2, each_error, zone2, accuracy2, lead, context, each_context,
    ox, oy, top, columns, rows, reach, n_class, root, child, start, pool, edge, flip,
    lo, hi, own_out, margin_out, across_out, near_out, n_near_out,
):  # fmt: skip
    # One long loop on purpose: arrays handed to an inner function cost an atomic count each, ten times the work itself.
    cap2 = reach * reach
    width = near_out.shape[1]
    beyond = ~root[0]  # the first root cell lies beyond the reach of everything
    e2 = error2[0]
    k = context[0]
    for i in range(lo, hi):
        px = x[i] * 1000.0 - ox
        py = y[i] * 1000.0 - oy
        if each_error:
            e2 = error2[i]
        if each_context:
            k = context[i]
        leaf, x0, y0 = _leaf(root, child, columns, rows, top, px, py)
        best = cap2
        across = -1
        m = 0
        if leaf < 0:
            own = beyond
        elif leaf < n_class:
            own = leaf
        else:
            p = start[leaf - n_class]
            own = pool[p]
            n = pool[p + 1]
            p += 2
            if n > 0:
                own = class_at(edge, flip, pool, p, n, own, x0, px, py)
            p += n
            mine = lead[k, own]
            a2 = accuracy2[own]
            groups = pool[p]
            p += 1
            for _ in range(groups):
                s = pool[p]
                n = pool[p + 1]
                p += 2
                if s != own:
                    d = cap2
                    for j in range(p, p + n):
                        d = min(d, distance2(edge, pool[j], px, py))
                    true2 = e2 + max(a2, accuracy2[s])
                    if d <= max(max(zone2, true2), 1.0):  # ON_LINE_MM ** 2
                        if m < width:
                            near_out[i, m] = 4 * s + (2 if d <= 1.0 else (1 if d <= true2 else 0))
                        m += 1
                    if d < best and lead[k, s] != mine:
                        best = d
                        across = s
                p += n
        own_out[i] = own
        margin_out[i] = np.sqrt(best) / 1000.0
        across_out[i] = across
        n_near_out[i] = m


_FULL: Any = _full
