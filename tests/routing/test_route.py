"""Complaints as arrays: what may be left out, what is asked for, and odd rows among good ones."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from geodata.compile import compile_map
from routing.errors import JieguanError
from routing.jurisdiction import JurisdictionMap, NoSuchSquad, Settings, micros
from routing.model import Category, Location, Period, SquadCode, Step
from routing.route import Complaints, InstantNeeded, Router, ZoneIsCompiled, complaint, groups, route
from tests.city import MAPS, box, compiled, day, designation, roster, squares, territory, township

NOON = day("2024-05-01") + timedelta(hours=12)


def at_points(*xy: tuple[float, float], error: float = 0.0, **more: Any) -> Complaints:
    x, y = np.array(xy, float).reshape(-1, 2).T
    return Complaints(x.copy(), y.copy(), np.array([error]), **more)


def both(on: JurisdictionMap, x: float, y: float, error: float = 0.0, **more: Any) -> Any:
    """The decision of one place, the same from the router and from arrays."""
    place = Location(x, y, error)
    lone = Router(on)(place, **more)
    many = route(on, complaint(on, place, more.pop("category", None), more.pop("at", None), **more)).decision(0)
    assert repr(lone) == repr(many)
    return lone


def test_an_instant_is_needed_where_time_decides() -> None:
    for name in ("years", "agreements", "cases"):
        with pytest.raises(InstantNeeded, match="--at"):
            route(MAPS[name](), at_points((100, 100)))
        with pytest.raises(InstantNeeded):
            Router(MAPS[name]())(Location(100, 100))
    assert route(MAPS["plain"](), at_points((100, 100))).decision(0).squad == "sw"


def test_the_zone_of_a_map_with_whole_agreements_is_the_one_it_was_made_with() -> None:
    on = MAPS["agreements"]()
    with pytest.raises(ZoneIsCompiled, match="30"):
        Router(on, zone_m=30.0)
    Router(on, zone_m=15.0)
    Router(MAPS["plain"](), zone_m=30.0)


def test_no_rows_give_no_rows() -> None:
    none = np.empty(0)
    for name in MAPS:
        on = MAPS[name]()
        full = Complaints(
            none, none, none, none.astype(np.int64), none.astype(np.int32), none.astype(np.int32), none.astype(object)
        )
        table = route(on, full).to_arrow()
        assert table.num_rows == 0
        assert table.column_names == ["squad", "assist", "step", "doubtful", "margin_m", "runner_up", "township"]


def test_arrow_columns_say_what_the_decisions_say() -> None:
    on = MAPS["plain"]()
    routed = route(on, at_points((100, 100), (200, 200), (-500, 0), (np.nan, 1), (195, 192)))
    rows = routed.to_arrow().to_pylist()
    for i, row in enumerate(rows):
        want = routed.decision(i)
        assert (row["squad"], tuple(row["assist"]), row["step"]) == (want.squad, want.assist, want.step.value)
        assert (row["doubtful"], row["runner_up"], row["township"]) == (want.doubtful, want.runner_up, want.township)
        assert row["margin_m"] == pytest.approx(want.margin_m, nan_ok=True)
    assert rows[1]["assist"] == ["nw", "se", "sw"]


def test_scalars_serve_all_rows() -> None:
    on = MAPS["years"]()
    places = [(100.0, 100.0), (300.0, 100.0), (100.0, 240.0)]
    for moment in (day("2013-06-30"), day("2015-05-15"), day("2018-05-15")):
        one = route(on, at_points(*places, at=np.array([micros(moment)])))
        many = route(on, at_points(*places, at=np.full(3, micros(moment)), group=np.zeros(3, np.int32)))
        assert [one.decision(i) for i in range(3)] == [many.decision(i) for i in range(3)]


def test_errors_of_very_different_size_in_one_batch() -> None:
    on = compiled([*squares(), township("t", "nw", box(0, 0, 400, 400))])
    error = np.array([0.0, 90.0, 150.0, 1_000.0, 40_000.0, 3.0])
    batch = Complaints(np.full(6, 150.0), np.full(6, 100.0), error)
    routed = route(on, batch)
    for i, e in enumerate(error.tolist()):
        assert routed.decision(i) == both(on, 150.0, 100.0, e)
    told = [set(routed.decision(i).assist) for i in range(6)]
    assert told == [set(), {"se"}, {"ne", "nw", "se"}, {"ne", "nw", "se"}, {"ne", "nw", "se"}, set()]
    assert routed.doubtful.tolist() == [False, True, True, True, True, False]


def test_an_endless_error_is_refused_or_doubted_but_never_a_crash() -> None:
    on = MAPS["plain"]()
    for error in (np.inf, np.nan):
        with suppress(JieguanError):
            assert route(on, at_points((100, 100), error=error)).doubtful.all()


def test_lines_known_worse_than_the_cap_are_the_same_for_one_and_for_many() -> None:
    on = compiled([territory("sw", box(0, 0, 900, 900), accuracy_m=150.0), territory("se", box(900, 0, 1_800, 900))])
    got = both(on, 780.0, 450.0)
    assert (got.squad, got.assist, got.step, got.doubtful) == ("sw", ("se",), Step.BORDER, True)


def test_line_accuracy_of_the_map_and_of_a_territory() -> None:
    grounds = [territory("sw", box(0, 0, 100, 100)), territory("se", box(100, 0, 200, 100), accuracy_m=20.0)]
    on = compile_map(grounds, roster(), Settings(zone_m=0.0, line_accuracy_m=5.0))
    for x, told in [(79.9, ()), (80.1, ("se",)), (90.0, ("se",))]:
        assert both(on, x, 50.0).assist == told
        assert both(on, x, 50.0).doubtful is bool(told)
    assert both(on, 84.0, 50.0, 12.0).assist == ("se",), "error and accuracy: 12 and 20 make 23.3"
    on = compile_map(grounds[:1], roster(), Settings(zone_m=0.0, line_accuracy_m=5.0))
    assert both(on, 96.0, 50.0).doubtful
    assert not both(on, 94.0, 50.0).doubtful


def test_where_two_grounds_overlap_the_worse_known_line_counts() -> None:
    grounds = [territory("sw", box(0, 0, 100, 100), accuracy_m=3.0), territory("se", box(50, 0, 200, 100), accuracy_m=8.0)]
    on = compiled([*grounds, township("t", "sw", box(0, 0, 200, 100))], zone_m=0.0)
    assert both(on, 93.0, 50.0).doubtful
    alone = compiled([grounds[0], territory("nw", box(-50, 0, 0, 100), accuracy_m=1.0)], zone_m=0.0)
    assert [both(alone, x, 50.0).assist for x in (2.9, 3.1, -2.9, -3.1)] == [("nw",), (), ("sw",), ()]
    far = on.accuracy2(0) ** 0.5
    assert {label: far[c] for c, label in enumerate(on.plates[0].labels) if len(label) == 3} == {(0, 1, 2): 8.0}


@pytest.mark.parametrize("name", ["orders", "agreements", "years", "overlaps", "gaps"])
def test_rows_of_every_kind_in_one_batch(name: str) -> None:
    """Categories, instants, finders and errors mixed: each row as if it came alone."""
    on = MAPS[name]()
    rng = np.random.default_rng(6)
    n = 120
    x, y = rng.choice([0.0, 50.0, 190.0, 199.9995, 200.0, 205.0, 240.0, 300.0], (2, n))
    moments = [day("2013-07-01"), day("2015-05-31"), day("2018-06-01"), NOON, NOON + timedelta(days=40)]
    at = np.array([micros(moments[k]) for k in rng.integers(len(moments), size=n)], np.int64)
    group, found_by = (rng.integers(low, high, n).astype(np.int32) for low, high in ((0, len(on.groups)), (-1, 6)))
    many = Complaints(x, y, rng.choice([0.0, 0.0, 20.0], n), at, group, found_by)
    routed = route(on, many)
    router = Router(on)
    for i in range(n):
        alone = route(on, many.rows(np.array([i]))).decision(0)
        finder = on.roster.squads[found_by[i]].code if found_by[i] >= 0 else None
        category = on.groups[group[i]][0] if group[i] else None
        moment = datetime.fromtimestamp(int(at[i]) // 1_000_000, UTC)
        lone = router(Location(float(x[i]), float(y[i]), float(many.error_m[i])), category, moment, found_by=finder)
        assert routed.decision(i) == alone == lone, i


def test_an_order_not_in_force_leaves_no_trace_on_disputed_ground() -> None:
    lapsed = designation("case", "nw", held=Period(until=day("2020-01-01")), case="7")
    on = compiled([*squares(sw=box(0, 0, 300, 200)), lapsed])
    for error in (0.0, 30.0):
        plain = both(on, 230.0, 100.0, error, at=NOON)
        assert both(on, 230.0, 100.0, error, at=NOON, case="7") == plain
        assert plain.step is Step.DISPUTED
    assert both(on, 230.0, 100.0, at=NOON).margin_m == pytest.approx(30.0)


def test_margins_are_never_negative_on_the_rim_of_disputed_ground() -> None:
    on = compiled(squares(sw=box(0, 0, 300, 200)))
    for error in (0.0, 2.0, 30.0, 500.0):
        for x in (200.0, 300.0):
            got = both(on, x, 100.0, error)
            assert (got.squad, got.step) == ("se", Step.BORDER)
            assert got.margin_m >= 0.0


@pytest.mark.parametrize(("x", "squad"), [(210, "sw"), (249, "sw"), (250, "se"), (251, "se"), (290, "se")])
def test_shares_of_the_error_disc(x: float, squad: str) -> None:
    """The overlap is x 200 to 300. Within 60 m of x < 250 lies more of sw's ground than of se's."""
    on = compiled(squares(sw=box(0, 0, 300, 200)))
    got = both(on, x, 100.0, 60.0)
    assert (got.squad, got.step, got.doubtful) == (squad, Step.DISPUTED, True)
    assert 0.0 <= got.margin_m <= abs(x - 250) + 1e-6, "the lead changes at 250 at the latest"
    wrong = [s for s in np.linspace(-1, 1, 41) if both(on, x + s * got.margin_m * 0.999, 100.0, 60.0).squad != squad]
    assert not wrong, "and within the margin it does not change"


def test_the_runner_up_leads_just_beyond_the_margin() -> None:
    rng = np.random.default_rng(5)
    for name in ("plain", "orders", "overlaps", "gaps", "seven"):
        on = MAPS[name]()
        router = Router(on)
        for x, y in rng.uniform(-30, 430, (150, 2)):
            here = router(Location(x, y))
            if here.runner_up is None or here.margin_m < 0.01:
                continue
            turn = np.linspace(0, 2 * np.pi, 720)
            for more, who in ((-0.002, "same"), (0.5, "others"), (10.0, "the runner-up")):
                r = here.margin_m + more
                around = route(on, at_points(*zip(x + r * np.cos(turn), y + r * np.sin(turn), strict=True)))
                leads = {on.roster.squads[s].code for s in around.squad.tolist()}
                assert (leads == {here.squad}) is (who == "same"), (x, y)
                assert who != "the runner-up" or here.runner_up in leads, (x, y)


def test_categories_that_no_rule_names_share_a_group() -> None:
    on = MAPS["orders"]()
    assert groups(on, [None, "", "unheard of", "snack"]).tolist()[:3] == [0, 0, 0]
    assert groups(on, ["snack"])[0] != groups(on, ["fruit"])[0] != 0
    assert both(on, 90, 75, category=Category("snack")).squad == "ne"


def test_a_finder_unknown_to_the_roster_is_nobody() -> None:
    on = MAPS["agreements"]()
    asked = {"category": Category("stall"), "at": NOON}
    assert both(on, 195, 300, **asked, found_by=SquadCode("stranger")) == both(on, 195, 300, **asked)


def test_squads_that_are_not_on_the_roster_are_refused() -> None:
    with pytest.raises(NoSuchSquad, match="zz"):
        compiled([*squares(), territory("zz", box(0, 0, 1, 1))])
    with pytest.raises(NoSuchSquad, match="zz"):
        compiled([*squares(), designation("d", "zz", box(0, 0, 1, 1))])


def test_decisions_pin_the_map_and_the_rules() -> None:
    from routing.ground.certificate import sealed
    from routing.ladder import RULES_VERSION

    named, _ = sealed(MAPS["plain"]())
    pin = both(named, 100, 100).pin
    assert (pin.map_version, pin.rules_version) == (named.version, RULES_VERSION)
    assert len(named.version) == 16
