"""The index: the class of every place, also on corners of faces and of cells; nothing near is missed; and it stays small."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely

from geodata.strips import arc_steps
from routing.ground.cells import Cells, Floats, index
from routing.ground.faces import Subdivision, arrange, claims_of, dissolve
from routing.ground.locate import LEVELS, Answers, Found, Reach, locate
from routing.ground.noding import linework
from tests import oracle
from tests.city import MAPS, box, compiled, designation, squares

ONE = np.zeros(1, np.int32)
SLACK = 5e-5
"""Metres: points are rounded to a sixteenth of a millimetre before their class is asked."""


def subdivided(shapes: list[Any]) -> tuple[Subdivision, tuple[tuple[int, ...], ...], int]:
    """Faces, the claims of each class, the class of the outside."""
    whole = arrange(linework(shapes))
    classes, number = claims_of([*whole.labels, ()])
    return dissolve(whole, number[:-1], int(number[-1])), classes, int(number[-1])


def found(cells: Cells, n_class: int, xy: Floats, reach_m: float = 15.0, kinds: int = 1) -> Found:
    """Each class leads itself, so the margin is the distance to any other. `kinds` of edges, all alike."""
    answers = Answers(np.arange(n_class, dtype=np.int32)[None, :], np.zeros((1, n_class), bool), ONE)
    reach = Reach(np.zeros(1), np.full(kinds, reach_m**2), np.full(kinds, -1.0), np.zeros(n_class), min(100.0, cells.reach / 1000))
    return locate(cells, xy[:, 0].copy(), xy[:, 1].copy(), reach, answers)


def check_layer(shapes: list[Any], size: int, rng: np.random.Generator, reach_m: float) -> int:
    """Classes, distances and near sets at random places and at every vertex, against parity and shapely."""
    faces, classes, outside = subdivided(shapes)
    cells = index(faces, len(classes), outside, reach_m)
    xy = np.concatenate([rng.uniform(-1, size + 1, (60, 2)), faces.xy, faces.xy + rng.normal(0, 0.3, faces.xy.shape)])
    got = found(cells, len(classes), xy / 1000.0, reach_m / 2)
    assert ((got.own >= 0) & (got.own < len(classes))).all(), "a class that exists"
    lines = linework(shapes)
    clear = oracle.from_lines(lines, xy) > 1.5
    want = oracle.holders(lines, xy[clear])
    assert [classes[c] for c in got.own[clear].tolist()] == want
    polygons = faces.polygons()
    parts = [shapely.union_all(polygons[faces.label == c]) for c in range(len(classes))]
    parts[outside] = shapely.union(parts[outside], shapely.difference(oracle.EVERYWHERE, shapely.union_all(polygons)))
    far = np.stack([shapely.distance(part, shapely.points(xy / 1000.0)) for part in parts], 1)
    far = np.where(np.isnan(far), np.inf, far)
    own = far[np.arange(len(xy)), got.own]
    assert (own <= SLACK).all(), "no place is given to a class it does not touch"
    others = far.copy()
    others[np.arange(len(xy)), got.own] = np.inf
    margin = np.minimum(others.min(1), min(100.0, reach_m))
    assert np.abs(got.margin - margin).max(initial=0.0) <= SLACK
    for i in range(len(xy)):
        told = {int(code) // LEVELS for code in got.near[i, : got.n_near[i]]}
        limit = max(reach_m / 2, 0.001)
        assert told >= set(np.flatnonzero(others[i] < limit - SLACK).tolist())
        assert told <= set(np.flatnonzero(others[i] <= limit + SLACK).tolist())
    return int(clear.sum())


def test_classes_margins_and_neighbours_of_random_layers() -> None:
    rng = np.random.default_rng(20)
    compared = 0
    for _ in range(60):
        shapes, size = oracle.fuzzed(rng)
        reach_m = float(rng.choice([0.02, 1.0, 100.0])) if size < 10_000 else 100.0
        compared += check_layer(shapes, size, rng, reach_m)
    assert compared > 1_000


@pytest.mark.slow
def test_classes_margins_and_neighbours_of_a_thousand_random_layers() -> None:
    rng = np.random.default_rng(21)
    compared = sum(check_layer(*oracle.fuzzed(rng), rng, 100.0) for _ in range(1_000))
    print(f"\n{compared:,} places agree with parity")


def test_a_vertex_where_three_classes_meet_has_one_of_them() -> None:
    """Ties of several edges in one point must be broken all to one side: else the parities add up to no class at all."""
    overlapping = [
        shapely.Polygon([(0, 0), (40, 0), (0, 40)]),
        shapely.Polygon([(40, 0), (40, 40), (0, 40), (0, 0)]),
    ]
    for turn in range(8):
        shapes = [shapely.affinity.rotate(s, 45 * turn, (20, 20)) for s in overlapping]
        faces, classes, outside = subdivided(shapes)
        cells = index(faces, len(classes), outside)
        got = found(cells, len(classes), faces.xy / 1000.0)
        polygons = faces.polygons()
        for point, own in zip(faces.xy / 1000.0, got.own.tolist(), strict=True):
            touching = {int(c) for c, p in zip(faces.label, polygons, strict=True) if p.distance(shapely.Point(point)) < 1e-9}
            assert own in touching | {outside}


@pytest.mark.parametrize("name", sorted(MAPS))
def test_every_vertex_of_the_city_belongs_to_a_class_that_touches_it(name: str) -> None:
    on = MAPS[name]()
    for number, plate in enumerate(on.plates):
        kinds = len(on.widths(number, 15.0)[0])
        got = found(plate.cells(100.0), len(plate.labels), plate.faces.xy / 1000.0, kinds=kinds)
        polygons = plate.faces.polygons()
        tree = shapely.STRtree(polygons)
        vertex, face = tree.query(shapely.points(plate.faces.xy / 1000.0), predicate="dwithin", distance=1e-9)
        for v in range(len(plate.faces.xy)):
            assert got.own[v] in {*plate.faces.label[face[vertex == v]].tolist(), plate.outside}


def test_no_edges_at_all() -> None:
    faces, classes, outside = subdivided([shapely.Polygon([(0, 0), (1, 0), (0, 0)])])
    cells = index(faces, len(classes), outside)
    got = found(cells, 1, np.array([[0.0, 0.0], [1e9, -1e9], [np.nan, 0.0]]))
    assert got.own.tolist() == [outside] * 3
    assert got.margin[:2].tolist() == [100.0, 100.0]
    assert np.isnan(got.margin[2])


def test_a_wider_reach_sees_the_same_near_things() -> None:
    on = MAPS["plain"]()
    plate = on.plates[0]
    xy = np.random.default_rng(1).uniform(-50, 450, (500, 2))
    near, wide = (found(plate.cells(r), len(plate.labels), xy) for r in (100.0, 1_600.0))
    assert (near.own == wide.own).all()
    assert np.abs(near.margin - np.minimum(wide.margin, 100.0)).max() < 1e-9


def test_the_index_stays_small_where_many_edges_are_equally_near() -> None:
    """Round ends of border strips and designated discs: in the middle of an arc no split makes the list shorter."""
    for radius in (5.0, 15.0, 50.0, 200.0):
        disc = shapely.Point(200.3, 100.1).buffer(radius, quad_segs=arc_steps(radius))
        plate = compiled([*squares(), designation("disc", "ne", disc)]).plates[0]
        assert plate.cells(100.0).nbytes < 8_000 * len(plate.faces.edge)
    plate = MAPS["agreements"]().plates[0]
    assert plate.cells(100.0).nbytes < 8_000 * len(plate.faces.edge)


def test_long_edges_and_short_ones() -> None:
    """A province beside a doorstep."""
    rng = np.random.default_rng(4)
    shapes = [box(0, 0, 200_000, 90_000), box(200_000, 0, 200_000.004, 0.003), box(150_000, 50_000, 200_000, 50_000.001)]
    faces, classes, outside = subdivided(shapes)
    cells = index(faces, len(classes), outside)
    xy = np.concatenate([faces.xy / 1000.0, rng.uniform(0, 200_000, (200, 2))])
    got = found(cells, len(classes), xy)
    polygons = faces.polygons()
    touched = [
        {int(c) for c, p in zip(faces.label, polygons, strict=True) if p.distance(shapely.Point(x, y)) < 1e-6} for x, y in xy
    ]
    assert all(own in some | {outside} for own, some in zip(got.own.tolist(), touched, strict=True))
    assert cells.nbytes < 3e6
