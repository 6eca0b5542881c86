"""point -> class, margin, the class across the margin, every other class within reach. One kernel for one and for millions.

Kernels release the interpreter and run over slices in Python threads; starting numba's own pool would cost a lone point 1 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from routing.ground.cells import SUBGRID, Cells, Floats, Small, class_at, distance2

Bools = NDArray[np.bool_]

ON_LINE_MM = 1.0
"""A point closer than this to a line is *on* it: coordinates are kept to a millimetre, no survey says more."""

LEVELS = 4
WITHIN, IN_ERROR, ON_LINE = 0, 1, 2
"""How near a class is: within reach only; where the true place may lie; on the line itself."""

NEAR_DOUBT, DEFAULT_DOUBT = 1, 2

WIDTH = 4
"""Near classes kept per row at first; rows with more (up to seven squads meet at a corner) are asked again with room."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a context says of each class well inside it: who leads (a squad's number), and whether that is a default.

    Arrays (contexts, classes). `context` is the row to use for each point; one alone serves all points.
    """

    lead: Small
    unsure: Bools
    context: Small


@dataclass(frozen=True, slots=True)
class Reach:
    """How far to look, in m2, and how far to tell a margin, in m.

    A class s is within reach of a point of class c when an edge of s, of kind k, is at a distance d with d2 <= max(zone2[k], error2 +
    accuracy2), where accuracy2 is line2[k], or if that is below 0, max(accuracy2[c], accuracy2[s]); if zone2[k] is below 0, only
    when the point is on the edge. `error2`: squared location error, one per point or a single one; `accuracy2`: of the lines of
    each class; `zone2`, `line2`: of each kind of edge.
    """

    error2: Floats
    zone2: Floats
    line2: Floats
    accuracy2: Floats
    cap_m: float


@dataclass(frozen=True, slots=True)
class Found:
    """What holds at n points.

    `margin`: metres to the nearest place where another leads, at most the cap, NaN for a place that is no number. `runner`:
    who leads there, -1 at the cap. `doubt`: NEAR_DOUBT where that place lies within the error, and DEFAULT_DOUBT where the
    answer of the class itself is a default. `near[i, :n_near[i]]`: the other classes within reach, as LEVELS * class + level.
    """

    own: Small
    margin: Floats
    runner: Small
    doubt: NDArray[np.int8]
    near: Small
    n_near: Small


def locate(cells: Cells, x: Floats, y: Floats, reach: Reach, answers: Answers, workers: int = 1) -> Found:
    """What holds at the points (x, y), metres in the work CRS. `cells` must see as far as the reach and the cap."""
    n = len(x)
    own, runner, n_near = (np.empty(n, np.int32) for _ in range(3))
    margin, doubt, near = np.empty(n), np.empty(n, np.int8), np.empty((n, WIDTH), np.int32)

    def part(lo: int, hi: int) -> None:
        _FULL(x, y, *_asked(reach, answers), *_arrays(cells), lo, hi, own, margin, runner, doubt, near, n_near)

    spread(n, workers, part)
    if n and n_near.max() > WIDTH:
        near = _wider(cells, x, y, reach, answers, near, n_near)
    return Found(own, margin, runner, doubt, near, n_near)


class Lone:
    """The same for one point at a time, with room made once. Not for two threads at once."""

    def __init__(self, cells: Cells, reach: Reach, answers: Answers, room: int = 8) -> None:
        self._args = cells, reach, answers
        self._x, self._y, self._margin, e2 = (np.zeros(1) for _ in range(4))
        self._own, self._runner, self._m = (np.zeros(1, np.int32) for _ in range(3))
        self._doubt, self._near = np.zeros(1, np.int8), np.zeros((1, room), np.int32)
        self._e2 = e2
        asked = _asked(reach, answers)
        self._tail = (*asked[1:], *_arrays(cells), 0, 1,
                      self._own, self._margin, self._runner, self._doubt, self._near, self._m)  # fmt: skip

    def __call__(self, x: float, y: float, error2: float) -> tuple[int, float, int, int, tuple[int, ...]]:
        """Own class, margin, runner-up, doubt, near classes with their levels."""
        self._x[0], self._y[0], self._e2[0] = x, y, error2 * 1e6
        _FULL(self._x, self._y, self._e2, *self._tail)
        m = self._m.item(0)
        if m > self._near.shape[1]:
            return Lone(*self._args, room=m)(x, y, error2)
        near = tuple(self._near[0, :m].tolist()) if m else ()
        return self._own.item(0), self._margin.item(0), self._runner.item(0), self._doubt.item(0), near


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
            c.root, c.child, c.start, c.pool, c.edge, c.flip, c.of, c.kind)  # fmt: skip


def _asked(reach: Reach, answers: Answers) -> tuple[Any, ...]:
    """Reach and answers as the kernel takes them, in mm."""
    many = len(answers.context) > 1
    return (reach.error2 * 1e6, len(reach.error2) > 1, reach.zone2 * 1e6, reach.line2 * 1e6, reach.accuracy2 * 1e6, reach.cap_m,
            answers.lead, answers.unsure, answers.context, many)  # fmt: skip


def _wider(
    cells: Cells, x: Floats, y: Floats, reach: Reach, answers: Answers, near: Small, n_near: Small
) -> Small:
    """The same rows again where the list of near classes was too short."""
    rows = np.flatnonzero(n_near > WIDTH)
    k, room = len(rows), int(n_near.max())
    wide = np.empty((len(near), room), np.int32)
    wide[:, :WIDTH] = near
    if len(reach.error2) > 1:
        reach = replace(reach, error2=reach.error2[rows])
    if len(answers.context) > 1:
        answers = replace(answers, context=answers.context[rows])
    again = np.empty((k, room), np.int32)
    spare = np.empty(k, np.int32), np.empty(k), np.empty(k, np.int32), np.empty(k, np.int8)
    _FULL(x[rows], y[rows], *_asked(reach, answers), *_arrays(cells), 0, k, *spare, again, np.empty(k, np.int32))
    wide[rows] = again
    return wide


@njit(inline="always")
def _leaf(root, child, columns, rows, top, x, y):  # type: ignore[no-untyped-def]
    """Leaf number of a point in index coordinates and the x of the leaf's corner; -1 off the grid."""
    if not (x >= 0.0 and y >= 0.0 and x < 9e15 and y < 9e15):
        return -1, 0
    ix = np.int64(x)
    iy = np.int64(y)
    c = ix >> top
    r = iy >> top
    if c >= columns or r >= rows:
        return -1, 0
    v = root[r * columns + c]
    lv = top
    while v >= 0:
        lv -= 2
        v = child[16 * v + ((ix >> lv) & 3) + (((iy >> lv) & 3) << 2)]
    return ~v, (ix >> lv) << lv


@njit(cache=True, nogil=True)
def _full(  # type: ignore[no-untyped-def]
    x, y, error2, each_error, zone2, line2, accuracy2, cap, lead, unsure, context, each_context,
    ox, oy, top, columns, rows, reach, n_class, root, child, start, pool, edge, flip, of, kind,
    lo, hi, own_out, margin_out, runner_out, doubt_out, near_out, n_near_out,
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
        qx = np.rint(px * SUBGRID) / SUBGRID
        qy = np.rint(py * SUBGRID) / SUBGRID
        leaf, x0 = _leaf(root, child, columns, rows, top, qx, qy)
        best = cap2
        across = -1
        m = 0
        doubt = 0
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
                own = class_at(edge, flip, pool, p, n, own, x0, qx, qy)
            p += n
            mine = lead[k, own]
            a2 = accuracy2[own]
            groups = pool[p]
            p += 1
            last = -1
            for _ in range(groups):
                s = of[pool[p]]
                like = kind[pool[p]]
                n = pool[p + 1]
                p += 2
                if s != own:
                    d = cap2
                    for j in range(p, p + n):
                        d = min(d, distance2(edge, pool[j], px, py))
                    true2 = e2 + (line2[like] if line2[like] >= 0.0 else max(a2, accuracy2[s]))
                    if d <= 1.0 or (zone2[like] >= 0.0 and d <= max(zone2[like], true2)):  # ON_LINE_MM ** 2
                        code = 4 * s + (2 if d <= 1.0 else (1 if d <= true2 else 0))
                        if s != last:  # else an edge of another kind has told of this class, which keeps its higher level
                            if m < width:
                                near_out[i, m] = code
                            m += 1
                            last = s
                        elif m <= width:
                            near_out[i, m - 1] = max(near_out[i, m - 1], code)
                    if lead[k, s] != mine:
                        if d <= max(true2, 1.0):
                            doubt |= 1  # NEAR_DOUBT
                        # as near: the lower number, or the order of the index, which far edges change, would choose
                        if d < best or (d == best and across >= 0 and lead[k, s] < lead[k, across]):
                            best = d
                            across = s
                p += n
        own_out[i] = own
        n_near_out[i] = m
        if unsure[k, own]:
            doubt |= 2  # DEFAULT_DOUBT
        margin = cap
        runner = -1
        if across >= 0:
            margin = np.sqrt(best) / 1000.0
            if margin < cap:
                runner = lead[k, across]
            else:
                margin = cap
        if not (px - px == 0.0 and py - py == 0.0):
            margin = np.nan
        margin_out[i] = margin
        runner_out[i] = runner
        doubt_out[i] = doubt


@njit(cache=True, nogil=True)
def spelled(verdict, lead_of, step_of, at_of):  # type: ignore[no-untyped-def]
    """The lead and step of each verdict number, and where each row's assistants start; one pass over the rows."""
    n = len(verdict)
    lead = np.empty(n, np.int32)
    step = np.empty(n, np.int8)
    at = np.empty(n + 1, np.int32)
    now = 0
    for i in range(n):
        v = verdict[i]
        lead[i] = lead_of[v]
        step[i] = step_of[v]
        at[i] = now
        now += at_of[v + 1] - at_of[v]
    at[n] = now
    return lead, step, at


@njit(cache=True, nogil=True)
def assistants(verdict, at, at_of, squad_of):  # type: ignore[no-untyped-def]
    """The assistants of all rows, one after the other."""
    out = np.empty(at[-1], np.int32)
    for i in range(len(verdict)):
        if at[i + 1] > at[i]:
            first = at_of[verdict[i]]
            for j in range(at[i + 1] - at[i]):
                out[at[i] + j] = squad_of[first + j]
    return out


_FULL: Any = _full
