"""Places that are lines or areas, on the four squares.

    c | d      each square 100 m, a at (0, 0) to (100, 100)
    --+--
    a | b
"""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from geodata.compile import Ground, compile_map
from routing.jurisdiction import JurisdictionMap, Settings
from routing.model import Category, ClaimId, Designation, Squad, SquadCode, Territory
from routing.route import Complaints, route
from routing.shapes import EmptyPlace, merged, route_shapes
from routing.situation import Roster

CORNERS = {"a": (0, 0), "b": (100, 0), "c": (0, 100), "d": (100, 100)}


@pytest.fixture(scope="module")
def squares() -> JurisdictionMap:
    grounds = [
        Ground(Territory(id=ClaimId(f"ground-{k}"), squad=SquadCode(k)), shapely.box(x, y, x + 100, y + 100))
        for k, (x, y) in CORNERS.items()
    ]
    order = Designation(id=ClaimId("order"), squad=SquadCode("d"), categories=frozenset({Category("T:1")}))
    grounds.append(Ground(order, shapely.box(0, 0, 40, 40)))
    squads = tuple(Squad(code=SquadCode(k), duty=k == "z") for k in "abcdz")
    return compile_map(grounds, Roster(squads, SquadCode("z")), Settings("EPSG:4547", 15.0))


def decide(on: JurisdictionMap, shape: shapely.Geometry, error_m: float = 0.0, group: int = 0):
    one = Complaints(np.zeros(1), np.zeros(1), np.array([error_m]), group=np.array([group], np.int32))
    return route_shapes(on, [shape], one).decision(0)


def test_the_greater_share_of_a_line_leads_and_the_other_assists(squares: JurisdictionMap) -> None:
    d = decide(squares, shapely.LineString([(30, 50), (120, 50)]))
    assert (d.squad, d.assist, d.step, d.margin_m, d.runner_up) == ("a", ("b",), "border", 0.0, "b")
    assert not d.doubtful  # 70 m against 20 m


def test_a_line_inside_one_ground_keeps_its_distance_to_the_next(squares: JurisdictionMap) -> None:
    d = decide(squares, shapely.LineString([(50, 45), (50, 60)]))
    assert (d.squad, d.assist, d.step, d.doubtful) == ("a", (), "own_ground", False)
    assert (d.margin_m, d.runner_up) == (pytest.approx(40.0), "c")


def test_equal_shares_go_by_the_published_order(squares: JurisdictionMap) -> None:
    d = decide(squares, shapely.LineString([(80, 50), (120, 50)]))
    assert (d.squad, d.assist, d.doubtful) == ("a", ("b",), True)


def test_a_line_along_the_border_belongs_to_both_and_goes_by_the_published_order(squares: JurisdictionMap) -> None:
    d = decide(squares, shapely.LineString([(100, 20), (100, 80)]))
    assert (d.squad, d.assist, d.doubtful, d.margin_m) == ("a", ("b",), True, 0.0)


def test_an_error_wide_enough_to_turn_the_shares_is_doubt(squares: JurisdictionMap) -> None:
    line = shapely.LineString([(85, 50), (110, 50)])
    assert not decide(squares, line, 2.0).doubtful
    assert decide(squares, line, 3.0).doubtful


def test_an_area_goes_by_its_greater_part_and_beyond_the_map_is_a_part_too(squares: JurisdictionMap) -> None:
    assert decide(squares, shapely.box(90, 90, 130, 120)).squad == "d"
    assert decide(squares, shapely.box(-100, 0, 20, 10)).squad == "z"


def test_a_designation_decides_for_its_category_alone(squares: JurisdictionMap) -> None:
    line = shapely.LineString([(5, 20), (60, 20)])
    assert decide(squares, line).squad == "a"
    d = decide(squares, line, group=1)
    assert (d.squad, d.step) == ("d", "designated_category")


def test_an_empty_place_is_refused(squares: JurisdictionMap) -> None:
    with pytest.raises(EmptyPlace) as caught:
        decide(squares, shapely.LineString())
    assert "0" in str(caught.value)


def test_rows_with_shapes_replace_those_of_points(squares: JurisdictionMap) -> None:
    points = Complaints(np.array([50.0, 150.0, 95.0]), np.array([50.0, 50.0, 50.0]), np.zeros(1))
    base = route(squares, points)
    line = route_shapes(squares, [shapely.LineString([(30, 50), (120, 50)])], points.rows(np.array([1])))
    got = merged(base, np.array([1]), line)
    assert [got.decision(i).squad for i in range(3)] == ["a", "a", "a"]
    assert [got.decision(i).assist for i in range(3)] == [(), ("b",), ("b",)]
    assert got.decision(0) == base.decision(0)
    assert np.diff(got.assist_at).tolist() == [0, 1, 1]
