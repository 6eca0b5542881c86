"""What would change a decision, and the one question that settles it."""

from __future__ import annotations

import pytest
import shapely

from routing.explain import compass, explain
from routing.jurisdiction import JurisdictionMap
from routing.model import Location
from tests.routing.test_shapes import squares  # noqa: F401 - the fixture


def test_the_nearest_change_has_a_distance_a_bearing_and_a_squad(squares: JurisdictionMap) -> None:  # noqa: F811
    found = explain(squares, Location(92.0, 40.0))
    assert found.change is not None
    assert (found.change.distance_m, found.change.squad) == (pytest.approx(8.0), "b")
    assert compass(found.change.bearing) == 2
    assert (found.change.x, found.change.y) == (pytest.approx(100.0), pytest.approx(40.0))
    assert found.question is None


def test_far_from_every_line_nothing_would_change_it(squares: JurisdictionMap) -> None:  # noqa: F811
    assert explain(squares, Location(-500.0, 50.0)).change is None


def test_on_the_line_the_bearing_points_to_the_side_that_another_leads(squares: JurisdictionMap) -> None:  # noqa: F811
    found = explain(squares, Location(100.0, 40.0))
    assert (found.decision.squad, found.decision.doubtful) == ("a", True)
    assert found.change is not None
    assert (compass(found.change.bearing), found.change.squad) == (2, "b")


def test_in_doubt_the_question_names_the_two_sides(squares: JurisdictionMap) -> None:  # noqa: F811
    found = explain(squares, Location(95.0, 40.0, error_m=20.0))
    assert found.decision.doubtful
    assert found.question is not None
    one, two = found.question.options
    assert (one.squad, two.squad) == ("a", "b")
    assert (compass(one.bearing), compass(two.bearing)) == (6, 2)
    # a circular segment cut off at a quarter of the radius: (arccos t - t sqrt(1 - t^2)) / pi
    assert two.share == pytest.approx(0.3425, abs=0.01)
    assert found.question.removes == pytest.approx(two.share)


def test_the_question_is_about_the_two_likeliest(squares: JurisdictionMap) -> None:  # noqa: F811
    found = explain(squares, Location(97.0, 80.0, error_m=25.0))
    assert found.question is not None
    assert {o.squad for o in found.question.options} == {"a", "b"}
    assert found.question.removes < 1 - found.question.options[0].share


def test_the_same_point_in_the_other_hemisphere_of_a_box(squares: JurisdictionMap) -> None:  # noqa: F811
    south = explain(squares, Location(50.0, 103.0))
    assert south.change is not None
    assert compass(south.change.bearing) == 4
    assert shapely.Point(south.change.x, south.change.y).distance(shapely.Point(50, 100)) < 1e-6
