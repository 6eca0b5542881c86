"""Border zones of two squads, held against distances measured one by one."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from geodata.strips import ARC_M, arc_steps, border_strip
from tests.city import SQUARES, box


def strip_of(one: np.ndarray, other: np.ndarray, width: float) -> shapely.Geometry:
    """All lines of one width."""
    return border_strip(one, np.full(len(one), width), other, np.full(len(other), width))


def edges(shape: shapely.Geometry) -> np.ndarray:
    xy = shapely.get_coordinates(shape)
    return shapely.linestrings(np.stack([xy[:-1], xy[1:]], 1))


@pytest.mark.parametrize("width", [0.5, 2.0, 15.0, 40.0])
def test_a_strip_is_what_is_within_its_width_of_both_borders(width: float) -> None:
    one = shapely.Polygon([(0, 0), (60, 10), (30, 40), (50, 90), (0, 80)])
    other = shapely.Polygon([(60, 10), (120, 0), (120, 90), (55, 95), (50, 90), (36, 40)])
    strip = strip_of(edges(one.exterior), edges(other.exterior), width)
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
    assert strip_of(a, far, 15.0).is_empty
    assert strip_of(a, np.empty(0, object), 15.0).is_empty
    corner = strip_of(a, b, 15.0)
    assert corner.area == pytest.approx(np.pi * 225 * 0.5 + 2 * (0.25 * np.pi * 225) + 0, rel=0.5)
    assert shapely.Point(200, 200).within(corner)


def test_the_two_sides_are_alike() -> None:
    a, b = (edges(box(*SQUARES[c]).exterior) for c in ("sw", "se"))
    there, back = strip_of(a, b, 15.0), strip_of(b[::-1], a[::-1], 15.0)
    assert there.symmetric_difference(back).area < 1e-9
    assert there.bounds == pytest.approx((185, -15, 215, 215), abs=ARC_M)


def test_borders_just_two_widths_apart_have_no_zone() -> None:
    """Their bands touch in points or lines; only an area can be anybody's ground."""
    here, there = shapely.linestrings([[(0, 0), (0, 10)]]), shapely.linestrings([[(4, 0), (4, 10)]])
    assert strip_of(here, there, 2.0).is_empty
    assert strip_of(here, shapely.linestrings([[(0, 14), (0, 20)]]), 2.0).is_empty
    assert strip_of(here, there, 2.001).area > 0


def test_each_line_has_its_own_width() -> None:
    """A border that is wide from x = 50 on: within 5 m of its first half and within 20 m of its second."""
    line = shapely.linestrings([[(0, 0), (50, 0)], [(50, 0), (100, 0)]])
    widths = np.array([5.0, 20.0])
    strip = border_strip(line, widths, line, widths)
    xy = np.random.default_rng(1).uniform((-30, -30), (130, 30), (4_000, 2))
    over = shapely.distance(line[:, None], shapely.points(xy)[None, :]) - widths[:, None]
    inside = shapely.intersects(strip, shapely.points(xy))
    assert inside[(over <= -2 * ARC_M).any(0)].all()
    assert not inside[(over > 1e-9).all(0)].any()
