"""A layer as it is drawn in a draft: every stretch of border is one arc with an id, shared by its two sides.

Outlines are derived from arcs, so moving an arc moves both neighbours, and there is nothing to match. What lies on the two
sides of an arc is told by who holds it: one code, several where grounds overlap, none where there is a gap or the outside.
Coordinates are whole millimetres of the work CRS. How coverages are made and changed stands in coverages.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rtree
import shapely
from numpy.typing import NDArray

from routing.ground.noding import MM, Ints, among

Holders = tuple[str, ...]
"""Codes, ascending; () nobody."""

NEAR_MM = 2
"""Lines nearer than this to a change may be snapped by it, so the ground on their sides is overlaid with it."""

@dataclass(frozen=True, slots=True, eq=False)
class Arc:
    """A stretch of border. `path`: (n, 2) int64 mm, n >= 2; a ring ends where it starts. `left`, `right`: of its direction."""

    id: str
    path: Ints
    left: Holders
    right: Holders

    @property
    def key(self) -> tuple[Any, ...]:
        """What it says, whatever its id and direction."""
        there, back = self.path.tobytes(), self.path[::-1].tobytes()
        return (there, self.left, self.right) if there <= back else (back, self.right, self.left)

    @property
    def content_id(self) -> str:
        """An id that the same stretch of border has in every map, unless an edit handed one down to it."""
        path, left, right = self.key
        return "arc-" + hashlib.sha256(path + "\0".join((*left, "", *right)).encode()).hexdigest()[:12]

    @property
    def holders(self) -> frozenset[str]:
        """Everybody on either side."""
        return frozenset(self.left + self.right)


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """A layer's arcs by id. A value: edits make another one, which shares the arcs that stay."""

    arcs: Mapping[str, Arc]

    def codes(self) -> list[str]:
        """Everybody who holds ground."""
        return sorted(set().union(*(arc.holders for arc in self.arcs.values())))

    def outline(self, code: str) -> list[Arc]:
        """The arcs that part a code's ground from the rest."""
        return [a for a in self.arcs.values() if (code in a.left) != (code in a.right)]

    def ground(self, code: str) -> Any:
        """A code's ground in metres: a MultiPolygon in normal form; empty where it has none."""
        return ground_of(self.outline(code), holding(code))


def holding(code: str) -> Callable[[Holders], bool]:
    """Is the code among some holders?"""
    return lambda held: code in held


def ground_of(outline: Sequence[Arc], ours: Callable[[Holders], bool]) -> Any:
    """The ground on our side of the arcs that part it from the rest, metres. `ours`: whether the holders of a side are us.

    Two of its faces share corners at most, so they are the parts of the ground as they are. (GEOS's build_area goes by nesting
    and fills holes that touch the rim.)
    """
    return metres(shapely.normalize(shapely.multipolygons(faces_of(outline, ours))))


def faces_of(arcs: Sequence[Arc], ours: Callable[[Holders], bool]) -> NDArray[np.object_]:
    """Of the faces that arcs enclose, those on our side of them: polygons, mm."""
    faces: NDArray[np.object_] = shapely.get_parts(shapely.polygonize(lines_of(arcs)))
    if not len(faces):
        return faces
    rings = shapely.get_exterior_ring(faces)
    at, of = shapely.get_coordinates(rings, return_index=True)
    first = np.flatnonzero(np.append(True, of[1:] != of[:-1]))
    edge = np.concatenate([at[first], at[first + 1]], 1).astype(np.int64)  # one edge of each face, as its ring runs
    edge[~shapely.is_ccw(rings)] = edge[~shapely.is_ccw(rings)][:, [2, 3, 0, 1]]  # the face on its left
    left = segments_of([a for a in arcs if ours(a.left)])
    right = segments_of([a for a in arcs if ours(a.right)])[:, [2, 3, 0, 1]]
    return faces[among(edge, np.concatenate([left, right]))]


def metres(shape: Any) -> Any:
    """Millimetres to metres."""
    return shapely.transform(shape, lambda xy: xy / MM)


def millimetres(shape: Any) -> Any:
    """Metres to whole millimetres."""
    return shapely.transform(shape, lambda xy: np.rint(xy * MM))


class ArcIndex:
    """Where the arcs of a coverage are, moving along with it: which come near a box (mm)."""

    def __init__(self, coverage: Coverage) -> None:
        self._numbers: dict[str, int] = {}
        self._ids: list[str] = []
        self._arcs: dict[str, Arc] = dict(coverage.arcs)
        rows = ((self._number(a.id), box_of(a.path), None) for a in coverage.arcs.values())
        self._tree = rtree.index.Index(rows) if coverage.arcs else rtree.index.Index()

    def move(self, coverage: Coverage) -> None:
        """Follow to another coverage: only arcs that differ are touched."""
        for id_, arc in list(self._arcs.items()):
            if coverage.arcs.get(id_) is not arc:
                self._tree.delete(self._number(id_), box_of(arc.path))
                del self._arcs[id_]
        for id_, arc in coverage.arcs.items():
            if id_ not in self._arcs:
                self._tree.insert(self._number(id_), box_of(arc.path))
                self._arcs[id_] = arc

    def near(self, box: tuple[float, float, float, float], within: float = NEAR_MM) -> list[Arc]:
        """Arcs whose box comes within a distance of a box, by id."""
        x0, y0, x1, y1 = box
        hits = self._tree.intersection((x0 - within, y0 - within, x1 + within, y1 + within))
        return [self._arcs[self._ids[i]] for i in sorted(hits)]

    def _number(self, id_: str) -> int:
        if id_ not in self._numbers:
            self._numbers[id_] = len(self._ids)
            self._ids.append(id_)
        return self._numbers[id_]


EAST_MM = 1e12
"""East of every easting, also of those that begin with the number of their zone (38,500,000 m in EPSG:4526)."""


def located(index: ArcIndex, at: Any) -> Holders:
    """Who holds a place (mm): the side of the first arc met going east; nobody where there is none."""
    x, y = float(at[0]), float(at[1])
    best: tuple[float, Holders] | None = None
    for arc in index.near((x, y, EAST_MM, y), 0):
        a, b = arc.path[:-1], arc.path[1:]
        across = (a[:, 1] <= y) != (b[:, 1] <= y)
        for (ax, ay), (bx, by) in zip(a[across].tolist(), b[across].tolist(), strict=True):
            meets = ax + (bx - ax) * (y - ay) / (by - ay)
            if meets >= x and (best is None or meets < best[0]):
                best = meets, arc.left if by > ay else arc.right  # an arc that runs north has its left side to the west
    return best[1] if best else ()


# --- as lines and segments ---


def lines_of(arcs: Sequence[Arc]) -> NDArray[np.object_]:
    """Their paths as lines, mm."""
    lines: NDArray[np.object_] = shapely.get_parts(lines_together([a.path for a in arcs])) if arcs else np.empty(0, object)
    return lines


def ring_segments(shape: Any) -> Ints:
    """(n, 4) mm, of the rings of polygons (whole mm), as they run."""
    xy, ring = shapely.get_coordinates(shapely.get_rings(shapely.get_parts(shape)), return_index=True)
    grid, same = np.rint(xy).astype(np.int64), ring[1:] == ring[:-1]
    return np.concatenate([grid[:-1][same], grid[1:][same]], 1)


def segments_of(arcs: Sequence[Arc]) -> Ints:
    """(n, 4) mm."""
    return np.concatenate([np.empty((0, 4), np.int64), *(np.concatenate([a.path[:-1], a.path[1:]], 1) for a in arcs)])


def box_of(path: Ints) -> tuple[float, float, float, float]:
    """Bounds, mm."""
    (x0, y0), (x1, y1) = path.min(0).tolist(), path.max(0).tolist()
    return x0, y0, x1, y1


def lines_together(paths: Sequence[Ints]) -> Any:
    """Paths as one geometry, mm."""
    number = np.repeat(np.arange(len(paths)), [len(p) for p in paths])
    lines: Any = shapely.linestrings(np.concatenate(paths).astype(float), indices=number)
    return shapely.multilinestrings(lines)
