"""Stretches of border with widths of their own: where they hold, from when to when, which goes first, and what the proof sees.

What a point beside one gets is told in tests/golden/stretches.yaml; random ones are in test_properties.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import shapely

from geodata.compile import Ground
from geodata.stretches import NoWidth, SidesApart, StretchNotDrawn, StretchOffBorder
from routing.again import Scope, Why, again, known, spliced
from routing.compare import baseline, compare
from routing.ground.certificate import kind_of, sealed
from routing.ground.verify import Compiled, Source, loaded, verify
from routing.jurisdiction import JurisdictionMap
from routing.model import ClaimId, Location, Stretch
from routing.route import Complaints, Router, route
from routing.shapes import route_shapes
from tests.city import MAPS, agreement, compiled, day, designation, period, squares, stretch, township
from tests.routing import attacks
from tests.routing.test_compare import SIDE, assert_same, big, cases, full

NORTH_SOUTH = (200, 0), (200, 200)
"""The border of sw and se."""


def near(on: JurisdictionMap, x: float, y: float, at: str | None = None, **where: Any) -> tuple[str, ...]:
    """Who is told of a place."""
    moment = None if at is None else day(at)
    return Router(on)(_place(x, y, **where), at=moment).assist


def _place(x: float, y: float, error: float = 0.0) -> Location:
    return Location(x, y, error)


# ---- where and when -------------------------------------------------------------------------------------------------


def test_without_a_line_it_is_the_whole_border_of_its_two_sides_by_squad_or_township() -> None:
    for sides in ("sw|se", "t-se|t-sw"):
        posted = [township(f"t-{code}", code, g.geometry) for code, g in zip(("nw", "ne", "sw", "se"), squares(), strict=True)]
        whole = Ground(Stretch(id=ClaimId("stretch:whole"), sides=tuple(sides.split("|")), zone_m=50.0))
        on = compiled([*squares(), *posted, whole])
        assert near(on, 151, 100) == ("se",)
        assert near(on, 149, 100) == ()
        assert near(on, 100, 184) == (), "the border with nw is another's"


def test_a_drawn_stretch_goes_before_the_whole_border_and_the_later_before_the_earlier_and_the_lower_id_before_the_higher() -> None:
    whole = Ground(Stretch(id=ClaimId("stretch:whole"), sides=("se", "sw"), zone_m=50.0, period=period("2025-01-01")))
    old = stretch("b", "se|sw", *NORTH_SOUTH, zone_m=30.0, held=period("2020-01-01"))
    for more, reach in (
        ([], 30.0),
        ([stretch("a", "se|sw", *NORTH_SOUTH, zone_m=20.0)], 30.0),
        ([stretch("z", "se|sw", *NORTH_SOUTH, zone_m=20.0, held=period("2021-01-01"))], 20.0),
        ([stretch("a", "se|sw", *NORTH_SOUTH, zone_m=25.0, held=period("2020-01-01"))], 25.0),
        ([stretch("c", "se|sw", *NORTH_SOUTH, zone_m=25.0, held=period("2020-01-01"))], 30.0),
    ):
        on = compiled([*squares(), whole, old, *more])
        assert near(on, 200 - reach, 100, "2026-01-01") == ("se",), more
        assert near(on, 200 - reach - 0.5, 100, "2026-01-01") == (), more


def test_it_holds_from_then_to_then() -> None:
    on = compiled([*squares(), stretch("year", "", *NORTH_SOUTH, zone_m=60.0, held=period("2020-01-01", "2021-01-01"))])
    assert [near(on, 150, 100, at) for at in ("2019-12-31", "2020-01-01", "2020-12-31", "2021-01-01")] == [(), ("se",), ("se",), ()]


def test_its_end_may_be_in_the_middle_of_an_edge_and_beside_the_line_by_what_files_round_away() -> None:
    on = compiled([*squares(), stretch("half", "sw|se", (200.03, 0.0), (199.98, 77.7), zone_m=60.0)])
    assert near(on, 150, 77.0) == ("se",)
    assert near(on, 150, 77.7 + np.sqrt(60**2 - 50**2) - 0.1) == ("se",)
    assert near(on, 150, 77.7 + np.sqrt(60**2 - 50**2) + 0.1) == ()
    plain = compiled(squares())
    assert near(plain, 150, 77.0) == ()
    areas = [sorted(plate.faces.area2()) for plate in (on.plates[0], plain.plates[0])]
    assert areas[0] == areas[1], "nobody gains or loses ground by it"


def test_lines_inside_the_ground_of_one_squad_bring_nobody_within_reach() -> None:
    """se has an order up to the border, 3 m wide: its rim is nearer than any line that has a zone."""
    order = designation("quay", "ne", shapely.box(200, 0, 203, 200))
    on = compiled([*squares(), order, stretch("none", "sw|se", *NORTH_SOUTH, zone_m=0.0)])
    assert near(on, 199, 100) == ()
    assert near(compiled([*squares(), order]), 199, 100) == ("se",)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (stretch("off", "sw|se", (190, 0), (190, 100), zone_m=5.0), StretchOffBorder),
        (stretch("far", "sw|se", (200, 0), (200, 200), (200, 201), zone_m=5.0), StretchOffBorder),
        (stretch("other", "ne|nw", *NORTH_SOUTH, zone_m=5.0), StretchOffBorder),
        (Ground(Stretch(id=ClaimId("stretch:apart"), sides=("ne", "sw"), zone_m=5.0)), SidesApart),
        (Ground(Stretch(id=ClaimId("stretch:bare"), zone_m=5.0)), StretchNotDrawn),
        (Ground(Stretch(id=ClaimId("stretch:area"), zone_m=5.0), shapely.box(0, 0, 1, 1)), StretchNotDrawn),
        (stretch("minus", "", *NORTH_SOUTH, zone_m=-1.0), NoWidth),
        (stretch("endless", "", *NORTH_SOUTH, accuracy_m=float("inf")), NoWidth),
    ],
    ids=["beside", "beyond its end", "of others", "apart", "no line", "an area", "below 0", "no number"],
)
def test_what_holds_nowhere_is_refused(wrong: Ground, error: type[Exception]) -> None:
    with pytest.raises(error):
        compiled([*squares(), wrong])


def test_many_stretches_and_few_answer_alike_where_they_say_the_same() -> None:
    """A border in a hundred stretches of one zone is the border with that zone."""
    cuts = np.linspace(0, 200, 101)
    parts = [stretch(f"{n}", "", (200, a), (200, b), zone_m=40.0) for n, (a, b) in enumerate(pairwise(cuts))]
    many, one = compiled([*squares(), *parts]), compiled([*squares(), stretch("all", "", *NORTH_SOUTH, zone_m=40.0)])
    rng = np.random.default_rng(3)
    asked = Complaints(rng.uniform(-50, 450, 4_000), rng.uniform(-50, 450, 4_000), rng.choice([0.0, 30.0], 4_000))
    a, b = route(many, asked), route(one, asked)
    assert a.to_arrow().equals(b.to_arrow())
    assert len(np.unique(a.squad)) > 3


# ---- lines and areas ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "error", "assist", "doubtful"),
    [
        (shapely.LineString([(145, 60), (145, 70)]), 0.0, ("se",), False),
        (shapely.LineString([(130, 60), (139, 60)]), 0.0, (), False),
        (shapely.LineString([(190, 165), (199, 165)]), 0.0, (), False),
        (shapely.LineString([(190, 165), (199, 165)]), 3.0, ("se",), True),
        (shapely.box(150, 300, 180, 310), 0.0, ("ne",), True),
        (shapely.box(150, 300, 170, 310), 0.0, (), False),
    ],
    ids=["in the wide zone", "beyond it", "no zone", "no zone but the error", "an area by a coarse line", "beyond its accuracy"],
)
def test_lines_and_areas_have_the_same_neighbours_as_points(shape: Any, error: float, assist: tuple[str, ...], doubtful: bool) -> None:
    on = MAPS["stretches"]()
    one = Complaints(np.zeros(1), np.zeros(1), np.array([error]))
    decision = route_shapes(on, [shape], one).decision(0)
    assert (decision.assist, decision.doubtful) == (assist, doubtful)


# ---- a history again ------------------------------------------------------------------------------------------------


def test_a_zone_that_changes_is_routed_again_beside_its_stretch_alone_and_tells_its_strip() -> None:
    line = (SIDE, 1_500.0), (SIDE, 2_100.0)
    history = cases(20_000)
    plain, wide = compiled(big()), compiled([*big(), stretch("wide", "sw|se", *line, zone_m=60.0)])
    coarse = compiled([*big(), stretch("wide", "sw|se", *line, zone_m=60.0, accuracy_m=80.0)])
    endless = compiled([*big(), stretch("wide", "sw|se", *line, zone_m=160.0)])
    for before, after in ((plain, wide), (wide, plain), (wide, coarse), (wide, endless)):
        warm = known(before, history)
        found = again(warm, after)
        assert_same(spliced(warm, found), full(replace(after), history))
        assert (found.scope, found.why) == ((Scope.ALL, Why.REACH) if after is endless else (Scope.PART, None))
        if after is not endless:
            assert 0 < len(found.rows) < len(history) / 4
    told = compare(baseline(known(plain, history)), wide)
    assert len(told.assist_changed)
    assert not len(told.moved)
    (strip,) = told.shape.strips
    assert strip.squads == ("se", "sw")
    assert strip.new_m2 == pytest.approx(2 * 45 * 600 + np.pi * (60**2 - 15**2), rel=0.05)
    assert strip.new_line_m == strip.gone_line_m == strip.gone_m2 == 0


def test_equal_zones_on_other_stretches_are_told_apart() -> None:
    """Two maps with the same widths in other places: the widest zone is the same, so only places beside them are routed again."""
    history = cases(20_000)
    one = compiled([*big(), stretch("a", "", (SIDE, 500.0), (SIDE, 900.0), zone_m=60.0)])
    other = compiled([*big(), stretch("a", "", (SIDE, 2_500.0), (SIDE, 2_900.0), zone_m=60.0)])
    warm = known(one, history)
    found = again(warm, other)
    assert_same(spliced(warm, found), full(replace(other), history))
    assert found.scope is Scope.PART
    changed = history.y[compare(baseline(warm), other).assist_changed]
    assert ((changed > 400) & (changed < 3_000)).all()
    assert len(changed)


# ---- the proof ------------------------------------------------------------------------------------------------------


def proven(on: JurisdictionMap) -> Compiled:
    return loaded(sealed(on)[1])


def told(on: Compiled, sources: list[Source] | None = None) -> set[str]:
    return {f"{f.check}.{f.what}" for f in verify(attacks.sealed(on), sources)}


GROUNDS = [
    *squares(),
    agreement("east", "ne", "se", lead="se"),
    stretch("wide", "sw|se", (200, 0), (200, 100), zone_m=60.0, held=period("2020-01-01")),
    stretch("over", "", (200, 80), (200, 100), accuracy_m=9.0, held=period("2021-01-01")),
]


def sources(grounds: list[Ground]) -> list[Source]:
    found = [
        Source(g.claim.id, kind_of(g.claim), getattr(g.claim, "squad", None), g.geometry, g.claim.period.since, g.claim.period.until)
        for g in grounds
    ]
    return [*found, Source("extent", "extent", None, shapely.box(0, 0, 400, 400))]


def test_a_map_with_stretches_is_proven_and_faithful_to_them() -> None:
    assert told(proven(compiled(GROUNDS)), sources(GROUNDS)) == set()


def _rows(change: Callable[[Any], Any]) -> Callable[[Compiled], Compiled]:
    return lambda on: attacks.with_array(on, "p2.stretch", change)


def _claim(name: str, **facts: Any) -> Callable[[Compiled], Compiled]:
    def change(said: Any) -> None:
        next(c for c in said["claims"] if c["id"] == name).update(facts)

    return lambda on: attacks.restated(on, change)


def _first(column: int, value: int) -> Callable[[Any], Any]:
    def change(rows: Any) -> Any:
        rows = rows.copy()
        rows[0, column] = value
        return rows

    return change


def _unheld(said: Any) -> None:
    number = next(i for i, c in enumerate(said["claims"]) if c["id"] == "stretch:wide")
    said["intervals"][-1]["claims"].remove(number)


@pytest.mark.parametrize(
    ("spoil", "seen"),
    [
        (_rows(_first(0, -1)), "labels.stretch_index"),
        (_rows(_first(1, 10**6)), "labels.stretch_index"),
        (_rows(_first(2, 99)), "labels.stretch_index"),
        (_rows(lambda rows: rows[:, [1, 0, 2]]), "labels.stretch_index"),
        (_rows(lambda rows: rows[::-1]), "labels.stretch_order"),
        (_rows(lambda rows: rows[[0, 0, *range(1, len(rows))]]), "labels.stretch_order"),
        (_rows(lambda rows: np.concatenate([[[0, 5, rows[0, 2]]], rows])), "labels.stretch_edge"),
        (_rows(_first(2, 0)), "labels.stretch_kind"),
        (_claim("stretch:wide", zone_m=-5.0), "labels.stretch_width"),
        (_claim("stretch:wide", accuracy_m="much"), "labels.stretch_width"),
        (lambda on: attacks.restated(on, _unheld), "labels.stretch_time"),
        (_rows(lambda rows: rows[:1]), "faithful.stretch_bare"),
    ],
    ids=[
        "vertex below 0", "vertex too many", "claim too many", "ends turned", "rows turned", "row twice", "no edge", "another's claim",
        "zone below 0", "accuracy in words", "not in force", "rows left out",
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_stretches_of_a_map_is_seen(spoil: Callable[[Compiled], Compiled], seen: str) -> None:
    assert seen in told(spoil(proven(compiled(GROUNDS))), sources(GROUNDS))


def test_a_stretch_laid_elsewhere_is_seen_by_the_sources() -> None:
    elsewhere = [*GROUNDS[:5], stretch("wide", "sw|se", (200, 100), (200, 200), zone_m=60.0, held=period("2020-01-01")), GROUNDS[-1]]
    assert {"faithful.stretch_line", "faithful.stretch_bare"} <= told(proven(compiled(elsewhere)), sources(GROUNDS))
    assert "faithful.unknown" in told(proven(compiled(GROUNDS[:6])), sources(GROUNDS))
    assert "faithful.extra" not in told(proven(compiled(GROUNDS)), sources(GROUNDS))

