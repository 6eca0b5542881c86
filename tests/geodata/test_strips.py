"""Border zones of two squads, held against distances measured one by one."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from geodata.strips import ARC_M, arc_steps, border_strip
from tests.city import SQUARES, box


def edges(shape: shapely.Geometry) -> np.ndarray:
    xy = shapely.get_coordinates(shape)
    return shapely.linestrings(np.stack([xy[:-1], xy[1:]], 1))


@pytest.mark.parametrize("width", [0.5, 2.0, 15.0, 40.0])
def test_a_strip_is_what_is_within_its_width_of_both_borders(width: float) -> None:
    one = shapely.Polygon([(0, 0), (60, 10), (30, 40), (50, 90), (0, 80)])
    other = shapely.Polygon([(60, 10), (120, 0), (120, 90), (55, 95), (50, 90), (36, 40)])
    strip = border_strip(edges(one.exterior), edges(other.exterior), width)
    rng = np.random.default_rng(0)
    xy = np.concatenate([rng.uniform(-50, 170, (4_000, 2)), shapely.get_coordinates(one)])
    points = shapely.points(xy)
    far = np.maximum(shapely.distance(one.exterior, points), shapely.distance(other.exterior, points))
    inside = shapely.intersects(strip, points)
    assert inside[far <= width - 2 * ARC_M].all()
    assert not inside[far > width + 1e-9].any()


def test_arcs_stay_below_the_grid() -> None:
    for radius in (0.01, 0.5, 2.0, 15.0, 300.0):
        step = np.pi / 2 / arc_steps(radius)
        assert radius * (1 - np.cos(step / 2)) <= ARC_M * 1.001


def test_grounds_that_are_nowhere_near_have_no_strip() -> None:
    a, b = (edges(box(*SQUARES[c]).exterior) for c in ("sw", "ne"))
    far = edges(box(1_000, 1_000, 1_001, 1_001).exterior)
    assert border_strip(a, far, 15.0).is_empty
    assert border_strip(a, np.empty(0, object), 15.0).is_empty
    corner = border_strip(a, b, 15.0)
    assert corner.area == pytest.approx(np.pi * 225 * 0.5 + 2 * (0.25 * np.pi * 225) + 0, rel=0.5)
    assert shapely.Point(200, 200).within(corner)


def test_the_two_sides_are_alike() -> None:
    a, b = (edges(box(*SQUARES[c]).exterior) for c in ("sw", "se"))
    there, back = border_strip(a, b, 15.0), border_strip(b[::-1], a[::-1], 15.0)
    assert there.symmetric_difference(back).area < 1e-9
    assert there.bounds == pytest.approx((185, -15, 215, 215), abs=ARC_M)


def test_borders_just_two_widths_apart_have_no_zone() -> None:
    """Their bands touch in points or lines; only an area can be anybody's ground."""
    here, there = shapely.linestrings([[(0, 0), (0, 10)]]), shapely.linestrings([[(4, 0), (4, 10)]])
    assert border_strip(here, there, 2.0).is_empty
    assert border_strip(here, shapely.linestrings([[(0, 14), (0, 20)]]), 2.0).is_empty
    assert border_strip(here, there, 2.001).area > 0
