"""What the checks of a layer look at, computed once: its faces on the millimetre grid, who holds each, how wide it is.

All features are taken to hold at one time: pass the features of one period. Nothing is mended.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from geodata.crs import System, geometries_to_work
from geodata.datum import LineFit, PointFit
from geodata.files import Layer
from geodata.intake import Geometries
from geodata.topology_issue import Place
from routing.ground.faces import OUTSIDE, Arrangement, Label, arrange, dissolve
from routing.ground.noding import Ints, Linework, linework

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

WIDTH_PRECISION = 1.01

AT_M = 0.002
"""A point of the file and its place on the millimetre grid are nearer than this."""


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The faces of the layer's linework, numbered as in `arrangement`.

    `holders`: the features that hold each face. `inside`: within the extent (everywhere, if none is given). `open`: held by
    nobody and joined to the unbounded outside. `near`: faces with a common edge, the lesser first, OUTSIDE (-1) among them.
    """

    arrangement: Arrangement
    polygon: Geometries
    area_m2: Floats
    holders: tuple[Label, ...]
    inside: Flags
    open: Flags
    near: tuple[tuple[int, int], ...]

    def of(self, face: int) -> Label:
        """The holders of a face; none of the outside."""
        return self.holders[face] if face >= 0 else ()


@dataclass(frozen=True, slots=True, eq=False)
class Flaw:
    """Ground with two keepers (`features` the pair) or none (`features` those around it), in one or more pieces.

    `width_m` and `place` are of the widest piece.
    """

    features: tuple[int, ...]
    faces: tuple[int, ...]
    area_m2: float
    width_m: float
    place: Place
    pieces: int = 1
    eye: bool = False
    """A gap that is the work of one ring's own crossing, and goes with it: see `_as_eye`."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerFacts:
    """A layer in metres of the work CRS, and what was computed of it.

    `ids` (n,): whose ground, "" where missing. `names`: how messages call each feature: its id, `id#row` where an id
    occurs more than once, `#row` where it has none (rows from 1). `reason`: shapely's, where a shape is invalid.
    `ground`: the polygons of each geometry, None where it has none. `outer`: as given to `layer_facts`.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    geometry: Geometries
    ground: Geometries
    reason: tuple[str | None, ...]
    lines: Linework
    faces: Faces
    overlaps: tuple[Flaw, ...]
    gaps: tuple[Flaw, ...]
    extent: Any = None
    roster: frozenset[str] | None = None
    single_part: bool = False
    fits: tuple[PointFit | LineFit, ...] = ()
    outer: Ints | None = None

    def called(self, features: Iterable[int]) -> tuple[str, ...]:
        """The names of features, sorted, each once."""
        return tuple(sorted({self.names[i] for i in features}))

    def squads(self) -> dict[str, list[int]]:
        """The features of each id, in order; those without id left out."""
        features: dict[str, list[int]] = defaultdict(list)
        for i, squad in enumerate(self.ids):
            if squad:
                features[squad].append(i)
        return features


def layer_facts(
    ids: Sequence[object],
    geometry: Geometries | Sequence[Any],
    *,
    extent: Any = None,
    roster: Iterable[str] | None = None,
    single_part: bool = False,
    fits: Iterable[PointFit | LineFit] = (),
    outer: Ints | None = None,
) -> LayerFacts:
    """Facts of features in metres of the work CRS.

    `extent`: the bureau's declared ground, likewise in metres; free ground outside it is no gap. `roster`: the squads there
    are. `single_part`: every squad is expected to have one piece of ground. `fits`: what `datum` found of the layer.
    `outer`: these are some features of a layer, of which these edges (canonical, mm) border on the outside; what else they
    enclose or leave free is others' ground, or a gap that is known.
    """
    squads = tuple("" if value is None else str(value).strip() for value in ids)
    shapes: Geometries = np.empty(len(squads), object)
    shapes[:] = list(geometry)
    ground = polygons_of(shapes)
    lines = linework(np.append(ground, _alone(extent)))
    faces = _faces(lines, len(squads), extent is not None)
    reason = tuple(None if not r or r == "Valid Geometry" else str(r) for r in shapely.is_valid_reason(ground))
    return LayerFacts(
        squads,
        _names(squads),
        shapes,
        ground,
        reason,
        lines,
        faces,
        _overlaps(faces, squads),
        _gaps(faces, ground, reason) if outer is None else (),
        extent,
        None if roster is None else frozenset(roster),
        single_part,
        tuple(fits),
        outer,
    )


def facts_of(layer: Layer, field: str, of: System, work: pyproj.CRS, **options: Any) -> LayerFacts:
    """Facts of a layer whose column `field` says whose ground it is; `options` as of `layer_facts`."""
    ids = layer.table.column(field, "squad").to_pylist()
    return layer_facts(ids, geometries_to_work(layer.geometry, of, work, layer.table.spec), **options)


def polygons_of(shapes: Geometries) -> Geometries:
    """The polygonal part of each geometry, None where there is none."""
    ground: Geometries = shapes.copy()
    ground[~np.isin(shapely.get_type_id(shapes), (3, 6))] = None
    for i in np.flatnonzero(shapely.get_type_id(shapes) == 7):
        parts = [p for p in shapely.get_parts(shapely.get_parts(shapes[i])) if p.geom_type == "Polygon"]
        ground[i] = shapely.multipolygons(parts) if parts else None
    ground[shapely.is_empty(ground)] = None
    return ground


def inscribed(polygons: Geometries) -> tuple[Floats, list[Place]]:
    """Width (diameter of the greatest circle inside, to 1 %) and a point deep inside of each polygon, metres.

    By bisection of the greatest inward buffer that leaves something, between area / perimeter and the circle of equal
    area. GEOS's own maximum_inscribed_circle takes longer on slivers and is off by half at its default tolerance.
    """
    polygons = shapely.normalize(polygons)  # buffers depend a little on where a ring starts
    low = shapely.area(polygons) / shapely.length(polygons)
    high = np.sqrt(shapely.area(polygons) / np.pi) * WIDTH_PRECISION
    core = np.array(polygons, object)
    todo = np.flatnonzero(high > low * WIDTH_PRECISION)
    while todo.size:
        middle = np.sqrt(low[todo] * high[todo])
        inner = shapely.buffer(polygons[todo], -middle, quad_segs=4)
        fits = ~shapely.is_empty(inner)
        low[todo[fits]], core[todo[fits]] = middle[fits], inner[fits]
        high[todo[~fits]] = middle[~fits]
        todo = todo[high[todo] > low[todo] * WIDTH_PRECISION]
    places = shapely.get_coordinates(shapely.point_on_surface(core))
    return 2 * low, [(float(x), float(y)) for x, y in places]


def pieces(faces: Iterable[int], near: Iterable[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Faces grouped by neighbourhood, each group ascending, groups by their least face."""
    root = {face: face for face in faces}

    def top(face: int) -> int:
        while root[face] != face:
            root[face] = root[root[face]]
            face = root[face]
        return face

    for a, b in near:
        if a in root and b in root:
            least, other = sorted((top(a), top(b)))
            root[other] = least
    groups: dict[int, list[int]] = defaultdict(list)
    for face in sorted(root):
        groups[top(face)].append(face)
    return [tuple(group) for group in groups.values()]


def _neighbours(side: Ints, n_face: int) -> list[tuple[int, int]]:
    """Pairs of faces with a common edge, the lesser first; OUTSIDE is -1."""
    low, high = np.sort(side, axis=1).T
    key = np.unique((low + 1) * (n_face + 1) + high + 1)
    pairs = np.stack([key // (n_face + 1) - 1, key % (n_face + 1) - 1], 1)
    return [(a, b) for a, b in pairs.tolist() if a != b]


def _alone(extent: Any) -> NDArray[np.object_]:
    """The extent as the last claim of the linework."""
    last = np.empty(0 if extent is None else 1, object)
    last[:] = extent
    return last


def _names(squads: tuple[str, ...]) -> tuple[str, ...]:
    count = Counter(squads)
    return tuple(s if s and count[s] == 1 else f"{s}#{row}" for row, s in enumerate(squads, 1))


def _faces(lines: Linework, n_feature: int, has_extent: bool) -> Faces:
    arrangement = arrange(lines)
    n = arrangement.n_face
    polygon: Geometries = np.empty(n, object)
    area = np.zeros(n)
    if n:
        plane = dissolve(arrangement, np.arange(n), n)
        polygon[plane.label] = plane.polygons()
        area[plane.label] = np.array(plane.area2(), float) / 2e6
    holders = tuple(tuple(c for c in label if c < n_feature) for label in arrangement.labels)
    inside = np.array([not has_extent or n_feature in label for label in arrangement.labels], bool)
    free = [face for face in range(n) if not holders[face]]
    near = tuple(_neighbours(arrangement.side, n))
    outside = next(g for g in pieces([OUTSIDE, *free], near) if OUTSIDE in g)
    is_open = np.zeros(n, bool)
    is_open[[face for face in outside if face != OUTSIDE]] = True
    return Faces(arrangement, polygon, area, holders, inside, is_open, near)


def _overlaps(faces: Faces, squads: tuple[str, ...]) -> tuple[Flaw, ...]:
    """Pairs of features of different squads that hold the same ground, in no particular order."""
    shared: dict[tuple[int, int], list[int]] = defaultdict(list)
    for face, held in enumerate(faces.holders):
        for n, a in enumerate(held):
            for b in held[n + 1 :]:
                if not squads[a] or squads[a] != squads[b]:
                    shared[a, b].append(face)
    inner = [(a, b) for a, b in faces.near if len(faces.of(a)) > 1 and len(faces.of(b)) > 1]
    return flaws(faces, [(pair, pieces(at, inner)) for pair, at in shared.items()])


def _gaps(faces: Faces, ground: Geometries, reason: Sequence[str | None]) -> tuple[Flaw, ...]:
    """Faces that nobody holds, inside the extent and enclosed by features."""
    free = [f for f, held in enumerate(faces.holders) if not held and faces.inside[f] and not faces.open[f]]
    around = _around(faces, set(free))
    found = flaws(faces, [(tuple(sorted({i for f in around[face] for i in faces.of(f)})), [(face,)]) for face in free])
    crossings = {i: at for i, why in enumerate(reason) if why and (at := named_place(why))}
    if not crossings:
        return found
    held = pieces([f for f, by in enumerate(faces.holders) if by], faces.near)
    piece = {face: n for n, group in enumerate(held) for face in group}
    apart = [len({piece[f] for f in around[flaw.faces[0]] if f in piece}) > 1 for flaw in found]
    return tuple(_as_eye(faces, flaw, cut, ground, crossings) for flaw, cut in zip(found, apart, strict=True))


def _around(faces: Faces, of: set[int]) -> dict[int, set[int]]:
    """The faces beside each."""
    around: dict[int, set[int]] = defaultdict(set)
    for a, b in faces.near:
        for face, other in ((a, b), (b, a)):
            if face in of:
                around[face].add(other)
    return around


def _as_eye(faces: Faces, flaw: Flaw, apart: bool, ground: Geometries, crossings: dict[int, Place]) -> Flaw:
    """A gap is an eye of a ring that winds around it twice (by parity outside), or that shuts it in by its crossing point
    alone: the two lobes of a bow tie touch there, and the ground around the gap is otherwise `apart`."""
    for i, crossing in crossings.items():
        if i not in flaw.features:
            continue
        corner = apart and shapely.distance(faces.polygon[flaw.faces[0]], shapely.Point(crossing)) < AT_M
        if corner or _winds_twice(ground[i], flaw.place):
            return Flaw((i,), flaw.faces, flaw.area_m2, flaw.width_m, flaw.place, eye=True)
    return flaw


def named_place(reason: str) -> Place | None:
    """`Self-intersection[598463.9 4520708.4]`: where GEOS saw it."""
    at = re.search(r"\[(\S+) (\S+)\]", reason)
    return (float(at[1]), float(at[2])) if at else None


def _winds_twice(shape: Any, place: Place) -> bool:
    """Does one ring go around the place an even number of times, and not never?"""
    return any(_turns(shapely.get_coordinates(ring), place) for ring in shapely.get_rings(shapely.get_parts(shape)))


def _turns(ring: Floats, place: Place) -> bool:
    x, y = (ring - place).T
    up, down = (y[:-1] <= 0) & (y[1:] > 0), (y[:-1] > 0) & (y[1:] <= 0)
    left = x[:-1] * y[1:] - x[1:] * y[:-1]
    turns = int((up & (left > 0)).sum()) - int((down & (left < 0)).sum())
    return turns != 0 and turns % 2 == 0


def flaws(faces: Faces, found: Sequence[tuple[tuple[int, ...], list[tuple[int, ...]]]]) -> tuple[Flaw, ...]:
    """(features, pieces of ground) -> flaws. All widths are measured in one go, which is what makes it fast."""
    owner = np.array([n for n, (_, groups) in enumerate(found) for _ in groups], np.int64)
    if not owner.size:
        return ()
    shapes = np.empty(len(owner), object)
    shapes[:] = [_joined(faces.polygon[list(group)]) for _, groups in found for group in groups]
    width, place = inscribed(shapes)
    widest: dict[int, int] = {}
    for piece in sorted(range(len(owner)), key=lambda p: (-width[p], place[p])):
        widest.setdefault(int(owner[piece]), piece)
    return tuple(
        _flaw(faces, features, groups, float(width[widest[n]]), place[widest[n]])
        for n, (features, groups) in enumerate(found)
    )


def _flaw(faces: Faces, features: tuple[int, ...], groups: list[tuple[int, ...]], width: float, place: Place) -> Flaw:
    whole = tuple(face for group in groups for face in group)
    return Flaw(features, whole, float(faces.area_m2[list(whole)].sum()), width, place, len(groups))


def _joined(polygons: Geometries) -> Any:
    return polygons[0] if len(polygons) == 1 else shapely.union_all(polygons)


def edges_of(lines: Linework, claims: int) -> tuple[Ints, Ints]:
    """Segments (m, 4) and their features, those of the extent left out."""
    feature = lines.claim[lines.part]
    return lines.segment[feature < claims], feature[feature < claims]
