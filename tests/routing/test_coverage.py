"""The index against shapely, on a drawn coverage with ragged borders: class, margin, neighbours, at and around every vertex."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import shapely

from geodata.compile import Ground, compile_map
from routing.jurisdiction import JurisdictionMap, Settings
from routing.model import ClaimId, Location, Squad, SquadCode, Territory
from routing.route import Complaints, Router, route
from routing.situation import Roster

SIDE = 900.0
CAP = 100.0


@cache
def coverage() -> tuple[JurisdictionMap, tuple[shapely.Polygon, ...]]:
    """Twenty squads, cells of random sites in a square, borders broken into pieces of a few metres that both sides share."""
    rng = np.random.default_rng(7)
    sites = shapely.MultiPoint(rng.uniform(0, SIDE, (20, 2)))
    cells = shapely.get_parts(shapely.voronoi_polygons(sites, extend_to=shapely.box(0, 0, SIDE, SIDE)))
    square = shapely.box(0, 0, SIDE, SIDE)
    lines = shapely.segmentize(shapely.unary_union([shapely.intersection(c, square).exterior for c in cells]), 12.0)
    moved: dict[tuple[float, float], tuple[float, float]] = {}

    def ragged(xy: np.ndarray) -> np.ndarray:
        for x, y in np.round(xy, 6).tolist():
            inner = 0 < x < SIDE and 0 < y < SIDE
            moved.setdefault((x, y), tuple(np.round(np.array([x, y]) + inner * rng.uniform(-3, 3, 2), 3)))
        return np.array([moved[x, y] for x, y in np.round(xy, 6).tolist()])

    drawn = [shapely.transform(line, ragged) for line in shapely.get_parts(lines)]
    grounds = shapely.get_parts(shapely.polygonize([shapely.unary_union(drawn)]))
    grounds = tuple(grounds.tolist())
    codes = [SquadCode(f"s{k:02d}") for k in range(len(grounds))]
    claims = [Ground(Territory(id=ClaimId(c), squad=c), g) for c, g in zip(codes, grounds, strict=True)]
    squads = (*(Squad(code=c) for c in codes), Squad(code=SquadCode("zz"), duty=True))
    return compile_map(claims, Roster(squads, SquadCode("zz")), Settings("EPSG:4547", 15.0)), grounds


def places(n: int, seed: int) -> np.ndarray:
    """Anywhere, around vertices at every scale, exactly on them, and on whole metres."""
    rng = np.random.default_rng(seed)
    vertex = shapely.get_coordinates(coverage()[1])
    near = vertex[rng.integers(0, len(vertex), n)] + rng.normal(0, 1, (n, 2)) * 10 ** rng.uniform(-4, 2, (n, 1))
    exact = vertex[rng.integers(0, len(vertex), n // 4)]
    anywhere = rng.uniform(-150, SIDE + 150, (n, 2))
    return np.concatenate([near, exact, anywhere, np.round(anywhere[: n // 2])])


def test_class_margin_and_neighbours_are_those_of_shapely() -> None:
    on, grounds = coverage()
    xy = places(3000, 1)
    got = route(on, Complaints(xy[:, 0].copy(), xy[:, 1].copy(), np.zeros(1)))
    points = shapely.points(xy)
    distance = np.array([shapely.distance(g, points) for g in grounds])
    rim = shapely.union_all(grounds).exterior
    to_rim = shapely.distance(rim, points)
    inside = distance.min(0) == 0
    off_line = got.margin_m > 0.0015
    assert off_line.sum() > 4000
    lead = np.where(inside, distance.argmin(0), len(grounds))
    assert (got.squad == lead)[off_line].all()
    others = distance.copy()
    others[got.squad[inside], np.flatnonzero(inside)] = np.inf
    margin = np.minimum(np.where(inside, np.minimum(others.min(0), to_rim), distance.min(0)), CAP)
    assert np.abs(margin - got.margin_m)[off_line].max() <= 0.001
    for i in np.flatnonzero(off_line)[::7].tolist():
        within = {k for k in range(len(grounds)) if distance[k, i] <= 15.0}
        told = {int(got.squad[i]), *got.assist[got.assist_at[i] : got.assist_at[i + 1]].tolist()} - {len(grounds)}
        assert told == within or np.abs(distance[:, i] - 15.0).min() <= 0.001


def test_one_at_a_time_is_the_same_as_together() -> None:
    on, _ = coverage()
    xy = places(300, 2)
    together = route(on, Complaints(xy[:, 0].copy(), xy[:, 1].copy(), np.zeros(1)), workers=2)
    router = Router(on)
    for i, (x, y) in enumerate(xy.tolist()):
        assert router(Location(x, y)) == together.decision(i)


@pytest.mark.parametrize("error_m", [0.0, 40.0, 180.0, 900.0])
def test_a_wider_error_sees_farther(error_m: float) -> None:
    on, grounds = coverage()
    xy = places(150, 3)
    errors = np.where(np.arange(len(xy)) % 2 == 0, error_m, 0.0)
    got = route(on, Complaints(xy[:, 0].copy(), xy[:, 1].copy(), errors))
    distance = np.array([shapely.distance(g, shapely.points(xy)) for g in grounds])
    for i in range(len(xy)):
        reach = max(15.0, errors[i])
        within = {k for k in range(len(grounds)) if distance[k, i] <= reach}
        told = {int(got.squad[i]), *got.assist[got.assist_at[i] : got.assist_at[i + 1]].tolist()} - {len(grounds)}
        assert told == within or np.abs(distance[:, i] - reach).min() <= 0.001
        if errors[i] > got.margin_m[i]:
            assert got.doubtful[i]


def test_seven_at_a_corner_and_nobody_forgotten() -> None:
    """Seven wedges meet: more neighbours than the first list holds."""
    turn = np.linspace(0, 2 * np.pi, 8)
    corner = np.round(np.stack([50 * np.cos(turn), 50 * np.sin(turn)], 1), 3)
    corner[7] = corner[0]
    codes = [SquadCode(f"w{k}") for k in range(7)]
    wedges = [shapely.Polygon([(0, 0), tuple(corner[k]), tuple(corner[k + 1])]) for k in range(7)]
    claims = [Ground(Territory(id=ClaimId(c), squad=c), w) for c, w in zip(codes, wedges, strict=True)]
    squads = (*(Squad(code=c) for c in codes), Squad(code=SquadCode("zz"), duty=True))
    on = compile_map(claims, Roster(squads, SquadCode("zz")), Settings("EPSG:4547", 15.0))
    for place in (Location(0.0, 0.0), Location(0.0003, -0.0002), Location(3.0, 4.0)):
        found = Router(on)(place)
        assert {found.squad, *found.assist} == set(codes)
        one = Complaints(np.array([place.x]), np.array([place.y]), np.zeros(1))
        assert route(on, one).decision(0) == found
    assert Router(on)(Location(0.0, 0.0)).squad == "w0"
