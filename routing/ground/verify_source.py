"""Is the map the ground its sources draw? What no seal can see: a swapped label, a vertex moved in all its rings.

Per claim and plate, with the sides derived from the rings of the file:

    line    every piece of the claim's border in the map is within 1.5 mm of its source
    vertex  every vertex of the source is a vertex of the claim's border in the map, at its place rounded to 1 mm
    area    within 1.5 mm x perimeter, even-odd inside a part, union over the parts of a claim
    facts   kind, squad, and ground exactly while the claim is in force

A border that equals the rounded source edge for edge proves itself; distances are measured only for the rest (edges bent by
snap rounding). A source vertex may be absent where the ground is too thin to survive the grid or covered by another part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from routing.ground.verify_finding import Finding, Place
from routing.ground.verify_keeper import holds, span
from routing.ground.verify_plane import Edges, Plane
from routing.ground.verify_read import Compiled, Ints
from routing.ground.verify_sets import among, distinct, find

TOLERANCE_MM = 1.5
"""0.71 mm for rounding the vertices and 0.71 mm for snap rounding the lines between them."""
ROUNDING_MM = 0.501
"""A vertex moves at most half a step on each axis; the rest is for floats of 1e10 mm."""
THIN_MM = 0.75
"""Half the width of what two lines moved by 0.71 mm each may swallow."""
REACH = 2**31 - 8
"""mm from the plate's corner within which two coordinates pack into one number."""
EXTENT = "extent"
PLATED = frozenset({"territory", "stretch"})
"""Kinds that have the plate cut in time."""

Floats = NDArray[np.float64]


class Source(NamedTuple):
    """A claim as read: ground in metres of the work CRS, not rounded. Several of one id are one ground.

    `since` and `until` as in the file, None is open. Kind "extent" (any id) is the declared extent.
    """

    id: str
    kind: str
    squad: str | None
    ground: shapely.Geometry | None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Ink:
    """Source rings on the plate's grid: their segments, odd in their part, with the claim they bound.

    `seg` (n, 2) indices into `key` (packed places, sorted) with the smaller first; `raw` (n, 4) unrounded, mm, local.
    """

    key: NDArray[np.uint64]
    raw_vertex: Floats
    seg: Ints
    claim: Ints
    raw: Floats


@dataclass(frozen=True, slots=True)
class _Border:
    """Claim borders in the map: pairs (claim, edge), sorted, and twice the area of each claim's ground in mm2."""

    claim: Ints
    edge: Ints
    area2: Mapping[int, int]


def check_facts(compiled: Compiled, planes: Iterable[Plane], sources: Iterable[Source]) -> Iterator[Finding]:
    """Claims of the map and of the sources are the same, of the same kind and squad."""
    claims = {claim["id"]: claim for claim in compiled.manifest["claims"]}
    told: dict[str, Source] = {}
    for source in sources:
        first = told.setdefault(source.id, source)
        if first[1:3] + first[4:] != source[1:3] + source[4:]: yield _fact("conflict", source.id)
        if first is not source or source.kind == EXTENT: continue
        claim = claims.get(source.id)
        if claim is None:
            yield _fact("unknown", source.id)
            continue
        for what, expected in (("kind", source.kind), ("squad", source.squad)):
            given = claim.get(what)
            if given != expected: yield _fact(what, source.id, given=given, expected=expected)
    grounded = {c for plane in planes for label in distinct(plane.plate.label).tolist() for c in plane.plate.labels[label]}
    for c in sorted(grounded):
        claim = compiled.manifest["claims"][c]
        if claim["kind"] != "nearest" and claim["id"] not in told: yield _fact("extra", claim["id"])


def check_source(plane: Plane, edges: Edges, compiled: Compiled, sources: Iterable[Source]) -> Iterator[Finding]:
    """The grounds of one plate against those sources that are in force on it."""
    names = [claim["id"] for claim in compiled.manifest["claims"]]
    number = {name: c for c, name in enumerate(names)}
    extent = len(names)
    names.append(EXTENT)
    grounds: dict[int, list[Any]] = {}
    border = _border(plane, edges, extent)
    period: list[Finding] = []
    for source in sources:
        c = extent if source.kind == EXTENT else number.get(source.id)
        if c is None: continue
        if source.ground is None and source.kind == "agreement": continue  # holds along a border, its zone is made by compiling
        force = _in_force(source, plane.k, compiled, period)
        if source.kind == "stretch": continue  # a line is nobody's ground: see verify_stretch.py
        ground = shapely.Polygon() if source.ground is None else source.ground
        if force: grounds.setdefault(c, []).append(ground)
        elif force is False and border.area2.get(c): yield _found(plane, "not_in_force", names[c], None)
    yield from period
    yield from _compare(plane, edges, border, {c: grounds[c] for c in sorted(grounds)}, names)


def _fact(what: str, claim: str, **facts: object) -> Finding:
    return Finding("faithful", what, facts={"claim": claim, **facts})


def _found(plane: Plane, what: str, claim: str, place: Place | None, **facts: object) -> Finding:
    return Finding("faithful", what, plane.k, place, {"claim": claim, **facts})


def _in_force(source: Source, k: int, compiled: Compiled, findings: list[Finding]) -> bool | None:
    """Does the claim hold on this plate? None: on no interval of it; that is a finding only where it has ground.

    A territory or stretch must hold during all of the plate's intervals or none; other claims may come and go on one plate.
    """
    period = source.since, source.until
    mine = {i: holds(period, span(interval)) for i, interval in enumerate(compiled.manifest["intervals"]) if interval["plate"] == k}
    findings += [_fact("period", source.id, interval=i) for i, held in mine.items() if held is None]
    seen = [held for held in mine.values() if held is not None]
    if not seen: return None
    if source.kind in PLATED and len(set(seen)) > 1: findings.append(_fact("plate_shared", source.id, used=k))
    return any(seen)


# ---- the map's side -------------------------------------------------------------------------------------------------


def _border(plane: Plane, edges: Edges, extent: int) -> _Border:
    plate = plane.plate
    members = [frozenset(label) | ({extent} if inside else set()) for label, inside in zip(plate.labels, plate.inside, strict=True)]
    members.append(frozenset())
    labels = np.append(plate.label.astype(np.int64), len(plate.labels))
    below, above = labels[edges.below], labels[edges.above]
    pair, group = np.unique(below * len(members) + above, return_inverse=True)
    differ = [sorted(members[p // len(members)] ^ members[p % len(members)]) for p in pair.tolist()]
    size = np.array([len(d) for d in differ], np.int64)
    start = np.cumsum(size) - size
    flat = np.array([c for d in differ for c in d], np.int64)
    count = size[group]
    edge = np.repeat(np.arange(len(group)), count)
    offset = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    claim = flat[start[group[edge]] + offset]
    order = np.argsort(claim, kind="stable")
    return _Border(claim[order], edge[order], _areas(plane, members))


def _areas(plane: Plane, members: list[frozenset[int]]) -> Mapping[int, int]:
    inner = plane.ring_owner >= 0
    label = plane.plate.label[plane.ring_owner[inner]]
    high, low = np.zeros(len(members), np.int64), np.zeros(len(members), np.int64)
    np.add.at(high, label, plane.high[inner])
    np.add.at(low, label, plane.low[inner])
    area: dict[int, int] = {}
    for at, claims in enumerate(members):
        for c in claims: area[c] = area.get(c, 0) + (int(high[at]) << 32) + int(low[at])
    return area


# ---- the sources' side ----------------------------------------------------------------------------------------------


def _ink(plane: Plane, grounds: Mapping[int, list[Any]]) -> tuple[_Ink, list[int]]:
    """Segments of all grounds, and the claims whose coordinates cannot be placed."""
    owner = np.array([c for c, parts in grounds.items() for _ in parts], np.int64)
    pieces = np.array([ground for parts in grounds.values() for ground in parts], object)
    parts, piece = shapely.get_parts(pieces, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    metres, ring = shapely.get_coordinates(rings, return_index=True)
    claim = owner[piece[part]]
    mm = metres * 1000.0
    corner = _corner(plane)
    far = ~(np.abs(mm - corner) < REACH).all(1)  # not finite is far, too
    lost = distinct(claim[ring[far]])
    same = (ring[1:] == ring[:-1]) & ~among(claim[ring[1:]], lost)
    ends = np.stack([mm[:-1][same], mm[1:][same]], 1)
    of = ring[1:][same]
    # rounded before it is shifted: a half goes to the even number, which a shift would change
    key, first, index = np.unique(
        _pack((np.rint(ends).astype(np.int64) - corner.astype(np.int64)).reshape(-1, 2)), return_index=True, return_inverse=True
    )
    raw, seg = ends - corner, index.reshape(-1, 2)
    moved = seg[:, 0] != seg[:, 1]
    odd = _odd(np.sort(seg[moved], 1), part[of[moved]], len(key))
    chosen = np.flatnonzero(moved)[odd]
    ink = _Ink(key, raw.reshape(-1, 2)[first], np.sort(seg[chosen], 1), claim[of[chosen]], raw[chosen].reshape(-1, 4))
    return ink, lost.tolist()


def _corner(plane: Plane) -> Floats:
    return plane.plate.xy.min(0).astype(float) if len(plane.plate.xy) else np.zeros(2)


def _pack(xy: Ints) -> NDArray[np.uint64]:
    shifted = (xy + 2**31).astype(np.uint64)
    return (shifted[:, 0] << np.uint64(32)) | shifted[:, 1]


def _odd(seg: Ints, part: Ints, places: int) -> Ints:
    """One index for each (segment, part) that occurs an odd number of times: the others vanish, spikes among them."""
    _, line = np.unique(seg[:, 0] * places + seg[:, 1], return_inverse=True)
    parts = int(part.max()) + 1 if len(part) else 1
    _, first, count = np.unique(line * parts + part, return_index=True, return_counts=True)
    return np.sort(first[count % 2 == 1])


# ---- both -----------------------------------------------------------------------------------------------------------


def _compare(plane: Plane, edges: Edges, border: _Border, grounds: Mapping[int, list[Any]], names: list[str]) -> Iterator[Finding]:
    ink, lost = _ink(plane, grounds)
    for c in lost: yield _fact("bad_coordinate", names[c])
    clean = [c for c in grounds if c not in set(lost)]
    vertex = find(_pack(plane.local), ink.key)
    pairs = border.claim * len(edges.lo) + border.edge
    edge = _edge_of(edges, vertex[ink.seg], len(plane.local))
    drawn = np.where(edge >= 0, ink.claim * len(edges.lo) + edge, -1)
    bent = ~among(pairs, drawn) & among(border.claim, np.array(clean, np.int64))
    unmatched = ~among(drawn, pairs)
    check = _Check(plane, edges, border, ink, names)
    off = dict(_off_line(check, bent, unmatched))
    gone = dict(_gone(check, vertex))
    doubt = set(border.claim[bent].tolist()) | set(ink.claim[unmatched].tolist()) | {c for c in clean if _several(grounds[c])}
    for c in clean: yield from _claim(check, c, grounds[c], off.get(c), gone.get(c), measured=c in doubt)


@dataclass(frozen=True, slots=True)
class _Check:
    plane: Plane
    edges: Edges
    border: _Border
    ink: _Ink
    names: list[str]

    def place(self, local: Floats) -> Place:
        x, y = (local + _corner(self.plane)) / 1000
        return float(x), float(y)


def _several(parts: list[Any]) -> bool:
    return len(parts) > 1 or any(shapely.get_num_geometries(ground) > 1 for ground in parts)


def _edge_of(edges: Edges, ends: Ints, vertices: int) -> Ints:
    """The map's edge between two of its vertices, -1 where there is none."""
    at = find(edges.lo * vertices + edges.hi, ends[:, 0] * vertices + ends[:, 1])
    return np.where((ends >= 0).all(1), at, -1)


def _off_line(check: _Check, bent: NDArray[Any], unmatched: NDArray[Any]) -> Iterator[tuple[int, Floats]]:
    """Claim -> points of its border in the map that are off its source."""
    claim, edge = check.border.claim[bent], check.border.edge[bent]
    if not len(edge): return
    a, b = check.plane.local[check.edges.lo[edge]].astype(float), check.plane.local[check.edges.hi[edge]].astype(float)
    points = np.concatenate([a, b, (a + b) / 2])
    of = np.tile(claim, 3)
    near = _near(points, of, check.ink.raw[unmatched], check.ink.claim[unmatched])
    for c in distinct(of[~near]).tolist():  # perhaps near a segment that has its own edge
        mine, left = check.ink.claim == c, np.flatnonzero(~near & (of == c))
        still = left[~_near(points[left], of[left], check.ink.raw[mine], check.ink.claim[mine])]
        if len(still): yield c, np.unique(points[still], axis=0)


def _near(points: Floats, of: Ints, segments: Floats, owner: Ints) -> NDArray[Any]:
    near = np.zeros(len(points), np.bool_)
    if not len(segments): return near
    lines: Any = shapely.linestrings(segments.reshape(-1, 2, 2))
    tree = shapely.STRtree(lines)
    hit, line = tree.query(shapely.points(points), predicate="dwithin", distance=TOLERANCE_MM + 1e-3)
    near[hit[of[hit] == owner[line]]] = True
    return near


def _gone(check: _Check, vertex: Ints) -> Iterator[tuple[int, Floats]]:
    """Claim -> source vertices (unrounded) that are not vertices of its border in the map."""
    ink, border, places = check.ink, check.border, len(check.ink.key)
    wanted = distinct(np.repeat(ink.claim, 2) * max(places, 1) + ink.seg.reshape(-1))
    claim, place = wanted // max(places, 1), wanted % max(places, 1)
    n = len(check.plane.local)
    there = distinct(np.concatenate([border.claim * n + check.edges.lo[border.edge], border.claim * n + check.edges.hi[border.edge]]))
    absent = (vertex[place] < 0) | ~among(claim * n + vertex[place], there)
    claim, place = claim[absent], place[absent]
    known = _pack(check.plane.local)
    found = np.zeros(len(claim), np.bool_)
    raw = ink.raw_vertex[place]
    for step in NEIGHBOURS:  # halves may have been rounded the other way
        at = np.rint(raw).astype(np.int64) + step
        v = find(known, _pack(at))
        found |= (v >= 0) & among(claim * n + v, there) & (np.abs(raw - at) <= ROUNDING_MM).all(1)
    for c in distinct(claim[~found]).tolist(): yield c, raw[~found & (claim == c)]


NEIGHBOURS = np.array([(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)])


def _claim(
    check: _Check, c: int, parts: list[Any], off: Floats | None, gone: Floats | None, *, measured: bool
) -> Iterator[Finding]:
    plane, name = check.plane, check.names[c]
    if not measured and off is None and gone is None: return
    ground = _ground(parts)
    area, source = check.border.area2.get(c, 0) / 2e6, float(shapely.area(ground))
    allowed = TOLERANCE_MM / 1000 * float(shapely.length(ground))
    if not area and source > allowed:
        yield _found(plane, "missing", name, None)
        return
    if off is not None:
        yield _found(plane, "line", name, check.place(off[0]), points=len(off), tolerance_mm=TOLERANCE_MM)
    if gone is not None: gone = _solid(gone, ground, _corner(plane))
    if gone is not None and len(gone):
        yield _found(plane, "vertex", name, check.place(gone[0]), vertices=len(gone))
    if abs(area - source) > allowed:
        said = {"map_m2": round(area, 3), "source_m2": round(source, 3), "allowed_m2": round(allowed, 3)}
        yield _found(plane, "area", name, None, **said)


def _ground(parts: list[Any]) -> shapely.Geometry:
    """Even-odd inside each polygon, union over them. For measuring only: nothing of the map comes from here."""
    polygons = shapely.get_parts(np.array(parts, object))
    polygons = polygons[shapely.get_type_id(polygons) == shapely.GeometryType.POLYGON]
    sound = [p if shapely.is_valid(p) else _even_odd(p) for p in polygons]
    return sound[0] if len(sound) == 1 else shapely.union_all(sound)


def _even_odd(polygon: shapely.Geometry) -> shapely.Geometry:
    """The cells between the polygon's lines that these enclose an odd number of times (make_valid takes lines twice for once)."""
    xy, ring = shapely.get_coordinates(shapely.get_rings(polygon), return_index=True)
    same = ring[1:] == ring[:-1]
    ends = np.concatenate([xy[:-1][same], xy[1:][same]], 1)
    back = (ends[:, 0] > ends[:, 2]) | ((ends[:, 0] == ends[:, 2]) & (ends[:, 1] > ends[:, 3]))
    lines, count = np.unique(np.where(back[:, None], ends[:, [2, 3, 0, 1]], ends), axis=0, return_counts=True)
    lines = lines[count % 2 == 1]
    drawn: Any = shapely.linestrings(lines.reshape(-1, 2, 2))
    cells = shapely.get_parts(shapely.polygonize(shapely.get_parts(shapely.union_all(drawn))))
    odd = [cell for cell in cells if _crossings(lines, *shapely.get_coordinates(shapely.point_on_surface(cell))[0]) % 2]
    return shapely.union_all(odd)


def _crossings(lines: Floats, x: float, y: float) -> int:
    """How many of the lines a ray from (x, y) to the right meets."""
    ax, ay, bx, by = lines.T
    upward = (ay <= y) & (y < by)
    downward = (by <= y) & (y < ay)
    left = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
    return int((upward & (left > 0)).sum() + (downward & (left < 0)).sum())


def _solid(vertices: Floats, ground: shapely.Geometry, corner: Floats) -> Floats:
    """Those of the absent vertices (mm, local) around which both ground and its surroundings are thick enough to stay."""
    metres = (vertices + corner) / 1000
    border = shapely.boundary(ground)
    r = TOLERANCE_MM / 1000
    shapely.prepare(border)
    beside = shapely.dwithin(border, shapely.points(metres), r + THIN_MM / 1000)
    stay = []
    for i in np.flatnonzero(beside):
        window = shapely.box(*(metres[i] - 3 * r), *(metres[i] + 3 * r))
        disc = shapely.Point(metres[i]).buffer(r)
        inner = shapely.intersection(ground, window)
        if all(_deep(side, disc) for side in (inner, shapely.difference(window, inner))): stay.append(i)
    return vertices[stay]


def _deep(side: shapely.Geometry, disc: shapely.Geometry) -> bool:
    return bool(shapely.intersects(shapely.buffer(side, -THIN_MM / 1000), disc))
