"""The index of some of a plate's root cells: what a small change needs, at a small part of the price.

A root cell is split by itself: its leaves depend on the edges within reach of it, in their order, and on the class of its
corner. So the cells made here are those of `cells.index`, leaf for leaf, and a point in one of them gets the same answer to
the last bit; and two plates with the same edges near a root cell, between the same answers, agree in all of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from routing.ground.cells import (
    CROWDED,
    ROOT,
    SUBGRID,
    WANT,
    WANT_CROSSING,
    Cells,
    Floats,
    Small,
    _build,
    _corners,
    _edges,
    _morton,
    _reached,
    groups_of,
)
from routing.ground.faces import Subdivision
from routing.ground.noding import Ints


@dataclass(frozen=True, slots=True, eq=False)
class Roots:
    """The root cells of a plate, not split yet; numbered row by row. Coordinates are mm from `origin`.

    `who[at[k]:at[k + 1]]` are the edges within `reach` (mm) of cell k, `corner[k]` the class of its lower left corner.
    """

    origin: tuple[int, int]
    top: int
    floor: int
    columns: int
    rows: int
    reach: float
    n_class: int
    outside: int
    edge: Floats
    left: Small
    right: Small
    kind: Small | None
    at: Ints
    who: Small
    corner: Small

    @property
    def size(self) -> int:
        """The side of a root cell, mm."""
        return 1 << self.top

    def cell(self, x: Floats, y: Floats) -> tuple[Ints, Ints]:
        """Column and row of points (metres in the work CRS), rounded as `locate` rounds them; also beyond the grid.

        A place that is no number is column and row -1.
        """
        px, py = x * 1000.0 - self.origin[0], y * 1000.0 - self.origin[1]
        near = np.rint(px * SUBGRID) / SUBGRID, np.rint(py * SUBGRID) / SUBGRID
        known = np.isfinite(px) & np.isfinite(py)
        column, row = (np.where(known, np.floor(v / self.size), -1.0).astype(np.int64) for v in near)
        return column, row


def roots(faces: Subdivision, n_class: int, outside: int, reach_m: float, kind: Small | None = None) -> Roots | None:
    """The root cells of `cells.index` with the same arguments; None for a plate without edges."""
    if not len(faces.edge):
        return None
    reach = reach_m * 1000.0
    floor = max(8, int(np.log2(max(reach, 1.0) / 6.0)))
    top = max(ROOT, floor + 6)
    size = 1 << top
    of = np.append(faces.label, outside).astype(np.int32)
    left, right = of[faces.side[:, 0]], of[faces.side[:, 1]]
    a, b = faces.xy[faces.edge[:, 0]], faces.xy[faces.edge[:, 1]]
    low = faces.xy.min(0)
    origin = low - int(np.ceil(reach)) - size
    place = np.argsort(_morton(((a + b) // 2 - low) >> 10), kind="stable")
    edge, left, right = _edges(a[place] - origin, b[place] - origin), left[place], right[place]
    columns, rows = (int(v) + 2 for v in (faces.xy.max(0) - origin + int(np.ceil(reach))) // size)
    none = np.empty(0, np.int64)
    n = _reached(edge, columns, rows, float(size), reach, False, none, none)
    key, who = np.empty(n, np.int64), np.empty(n, np.int64)
    _reached(edge, columns, rows, float(size), reach, True, key, who)
    order = np.argsort(key, kind="stable")
    at = np.searchsorted(key[order], np.arange(columns * rows + 1))
    who_small = who[order].astype(np.int32)
    corner = _corners(edge, left ^ right, at, who_small, columns, rows, size, outside)
    start = int(origin[0]), int(origin[1])
    kind = None if kind is None else kind[place]
    return Roots(start, top, floor, columns, rows, reach, n_class, outside, edge, left, right, kind, at, who_small, corner)


def built(of: Roots, cells: Ints) -> Cells:
    """The index of these root cells (numbers). Nothing may be asked of the others, but for the first: beyond the grid."""
    count = np.zeros(len(of.corner), np.int64)
    count[cells] = (of.at[1:] - of.at[:-1])[cells]
    at = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    rows = np.repeat(of.at[:-1] - at[:-1], count) + np.arange(at[-1])
    flip = of.left ^ of.right
    group = groups_of(of.left, of.right, of.kind, of.n_class)
    corner = np.full(len(of.corner), of.outside, np.int32)
    corner[cells] = of.corner[cells]
    root, child, start, pool = _build(
        of.edge, flip, group.left, group.right, group.of, of.n_class, at, of.who[rows], corner, of.columns, of.rows,
        of.top, of.floor, WANT, WANT_CROSSING, CROWDED, of.reach,
    )  # fmt: skip
    return Cells(
        of.origin, of.top, of.columns, of.rows, of.reach, of.n_class, root, child, start, pool, of.edge, flip, group.of, group.kind,
    )  # fmt: skip
