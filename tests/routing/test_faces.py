"""Planar faces on the grid: what parity says, areas to the square millimetre, and the same bytes however it is drawn.

The edge sets of real layers are held against GEOS in tests/geodata/test_real_maps.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from routing.ground.faces import OUTSIDE, Arrangement, Subdivision, Walls, arrange, claims_of, dissolve, twice_areas
from routing.ground.noding import LineTooLong, NotAnArea, NotFinite, canonical, linework, node, odd, unique_rows
from tests import oracle
from tests.city import box

CORNERS = st.tuples(st.integers(0, 9), st.integers(0, 9))


def mm(*corners: tuple[int, int]) -> Any:
    """A polygon in millimetres."""
    return shapely.Polygon([(x / 1000, y / 1000) for x, y in corners])


def bytes_of(whole: Arrangement) -> tuple[bytes, ...]:
    return (*(a.tobytes() for a in (whole.xy, whole.edge, whole.side)), repr(whole.labels).encode())


def published(whole: Arrangement) -> Subdivision:
    number = claims_of([*whole.labels, ()])[1]
    return dissolve(whole, number[:-1], int(number[-1]))


def held(merged: Subdivision) -> list[Any]:
    """Polygons of the only claim; the rest are holes."""
    return [p for p, label in zip(merged.polygons(), merged.label.tolist(), strict=True) if label]


def check(shapes: list[Any], size: int, rng: np.random.Generator) -> int:
    """Parity at places clear of every line; edges as GEOS nodes them; areas; how it is drawn does not matter."""
    lines = linework(shapes)
    whole = arrange(lines)
    again = arrange(linework([oracle.redrawn(s, rng) for s in shapes]))
    assert bytes_of(again) == bytes_of(whole)
    merged = published(whole)
    area2 = merged.area2()
    assert all(a > 0 for a in area2)
    rim = twice_areas(merged.xy, merged.ring, merged.ring_at)
    assert sum(area2) == -sum(rim[r] for r in merged.outside.tolist()), "the faces fill what bounds them"
    points = rng.uniform(-1, size + 1, (40, 2))
    clear = points[oracle.from_lines(lines, points) > 1.5]
    polygons = merged.polygons()
    classes = claims_of([*whole.labels, ()])[0]
    tree = shapely.STRtree(polygons)
    point, face = tree.query(shapely.points(clear / 1000.0), predicate="within")
    assert len(set(point.tolist())) == len(point), "no place in two faces"
    got = [()] * len(clear)
    for p, f in zip(point.tolist(), face.tolist(), strict=True):
        got[p] = classes[merged.label[f]]
    assert got == oracle.holders(lines, clear)
    return len(clear)


def test_random_layers_agree_with_parity() -> None:
    rng = np.random.default_rng(1)
    assert sum(check(*oracle.fuzzed(rng), rng) for _ in range(100)) > 500


@pytest.mark.slow
def test_a_thousand_random_layers_agree_with_parity() -> None:
    rng = np.random.default_rng(2)
    print(f"\n{sum(check(*oracle.fuzzed(rng), rng) for _ in range(1_000)):,} places agree")


def test_the_edges_are_those_of_geos_on_random_layers() -> None:
    """GEOS knows no parts: an edge along which a polygon runs twice stays in its set, and is left out of ours."""
    rng = np.random.default_rng(3)
    for _ in range(100):
        shapes, size = oracle.fuzzed(rng)
        if size < 1_000:
            continue  # many lines in one pixel: the two orders of snapping may differ, both within the grid
        whole = arrange(linework(shapes))
        ours = {(*whole.xy[a].tolist(), *whole.xy[b].tolist()) for a, b in whole.edge.tolist()}
        assert ours <= {tuple(map(int, e)) for e in oracle.noded_by_geos(shapes)}


@given(st.lists(st.lists(CORNERS, min_size=3, max_size=8), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_any_rings_on_a_grid_of_ten(rings: list[list[tuple[int, int]]], seed: int) -> None:
    check([mm(*ring) for ring in rings], 10, np.random.default_rng(seed))


def test_two_parts_of_one_claim_do_not_cancel() -> None:
    whole = arrange(linework([shapely.MultiPolygon([box(0, 0, 2, 2), box(1, 1, 3, 3)])]))
    assert set(whole.labels) == {(0,)}
    assert whole.n_face == 3
    assert published(whole).n_face == 1


def test_a_ring_that_crosses_itself_holds_by_parity() -> None:
    star = mm((0, 0), (4, 8), (8, 0), (0, 5), (8, 5))
    merged = published(arrange(linework([star])))
    assert [p.contains(shapely.Point(0.004, 0.0037)) for p in held(merged)] == [False] * len(held(merged))
    assert any(p.contains(shapely.Point(0.004, 0.0065)) for p in held(merged))


def test_spikes_and_collapsed_slivers_vanish() -> None:
    spike = mm((0, 0), (10, 0), (10, 10), (30, 10), (10, 10), (0, 10))
    sliver = shapely.Polygon([(0.02, 0), (0.03, 0.0004), (0.03, 0), (0.02, -0.0003)])
    whole = arrange(linework([spike, sliver, shapely.Polygon(), shapely.MultiPolygon()]))
    assert whole.xy.tolist() == [[0, 0], [0, 10], [10, 0], [10, 10]]
    assert whole.labels == ((0,),)


def test_an_island_in_a_hole_in_an_island() -> None:
    ring = box(0, 0, 9, 9).difference(box(1, 1, 8, 8))
    inner = box(2, 2, 7, 7).difference(box(3, 3, 6, 6))
    merged = published(arrange(linework([ring, inner, box(4, 4, 5, 5)])))
    assert [round(p.area) for p in merged.polygons()] == [32, 24, 16, 8, 1]
    assert len(merged.outside) == 1
    assert sum(merged.area2()) == 2 * 81_000_000


def test_holes_that_touch_the_rim_and_each_other_in_points() -> None:
    holed = shapely.Polygon(
        [(0, 0), (6, 0), (6, 6), (0, 6)], [[(0, 3), (2, 2), (2, 4)], [(2, 4), (4, 4), (3, 5)], [(3, 0), (4, 1), (2, 1)]]
    )
    merged = published(arrange(linework([holed])))
    assert sum(merged.area2()) == 2 * 36_000_000
    assert sum(p.area for p in held(merged)) == pytest.approx(holed.area)


def test_walls_part_faces_and_know_their_way() -> None:
    wall = Walls(np.array([[0, 5000, 10000, 5000], [10000, 2000, 0, 2000]]), np.array([7, 8]), np.array([9, 9]))
    whole = arrange(linework([box(0, 0, 10, 10)]), wall)
    assert whole.n_face == 3
    assert {(number, along) for _, number, along in whole.wall.tolist()} == {(0, 1), (1, 0)}
    assert published(whole).n_face == 1


def test_nothing_gives_nothing() -> None:
    for shapes in ([], [shapely.Polygon()], [mm((0, 0), (5, 5), (0, 0))]):
        whole = arrange(linework(shapes))
        assert whole.n_face == 0
        assert len(published(whole).polygons()) == 0
        assert whole.label(OUTSIDE) == ()


def test_what_is_no_area_or_no_number_or_too_long_is_refused() -> None:
    with pytest.raises(NotAnArea, match="Feature 1 holds a LineString"):
        linework([box(0, 0, 1, 1), shapely.LineString([(0, 0), (1, 1)])])
    with np.errstate(invalid="ignore"):
        bad = shapely.polygons(shapely.linearrings([(0, 0), (1, 0), (np.nan, 1), (0, 0)], handle_nan="allow"))
    with pytest.raises(NotFinite, match="Feature 0"):
        linework([bad])
    with pytest.raises(LineTooLong, match="1000"):
        arrange(linework([box(0, 0, 1_000_001, 1)]))


def test_areas_beyond_64_bits_are_exact() -> None:
    span = 4_000_000_000
    along = np.arange(0, span, span // 10)
    zero, full = np.zeros(10, np.int64), np.full(10, span)
    sides = [(along, zero), (full, along), (full - along, full), (zero, full - along)]
    xy = np.concatenate([np.stack(side, 1) for side in sides])
    assert 2 * span * span > 2**63
    assert twice_areas(xy, np.arange(40), np.array([0, 40])) == [2 * span * span]
    assert twice_areas(xy, np.arange(40)[::-1].copy(), np.array([0, 40])) == [-2 * span * span]


def test_unique_rows_of_points_and_segments() -> None:
    rng = np.random.default_rng(0)
    for wide in (3, 2**40):
        for columns in (2, 4):
            rows = rng.integers(-wide, wide, (200, columns)) // (wide // 3)
            unique, place = unique_rows(rows)
            assert (unique[place] == rows).all()
            assert (unique == np.unique(rows, axis=0)).all()


def test_odd_pairs_and_canonical_segments() -> None:
    pairs = np.array([[3, 1], [2, 0], [3, 1], [3, 0], [3, 1]])
    assert odd(pairs[:, 0], pairs[:, 1], 2).tolist() == [[2, 0], [3, 0], [3, 1]]
    assert canonical(np.array([[1, 0, 0, 5], [1, 5, 1, 0]])).tolist() == [[0, 5, 1, 0], [1, 0, 1, 5]]


def test_crossings_are_rounded_half_up_whatever_the_direction() -> None:
    for swap in (False, True):
        segment = np.array([[0, 0, 3, 3], [0, 3, 3, 0]])
        xy, edge, _, _ = node(segment[::-1] if swap else segment)
        assert [2, 2] in xy.tolist()
        assert len(edge) == 4
