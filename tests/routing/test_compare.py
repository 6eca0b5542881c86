"""Two maps over one history: what is routed again is all that can differ, and the rest is what a full run says.

The city of the tests, twenty times as large: squares of 4 km, so that a change has ground that it does not touch.

    nw | ne        8 km
    ---+---
    sw | se
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import event, given, settings
from hypothesis import strategies as st

from geodata.build import MapFiles, gather
from geodata.compile import Ground, compile_map
from routing.again import Again, History, Known, Scope, TwoWorkSystems, Why, again, known, spliced
from routing.compare import baseline, compare
from routing.jurisdiction import JurisdictionMap, Settings, micros
from routing.model import AgreementRule, Category, Squad, SquadCode, Step
from routing.route import InstantNeeded, Routed, ZoneIsCompiled, groups, route
from routing.situation import Roster
from tests.city import (
    MAPS,
    agreement,
    box,
    compiled,
    day,
    designation,
    direct,
    not_served,
    period,
    roster,
    squares,
    territory,
    township,
)
from tests.real import around_vertices, points_of

SIDE = 4_000.0
COLUMNS = ("squad", "assist_at", "assist", "step", "doubtful", "margin_m", "runner_up", "township")
CATEGORIES = ("fruit", "gas leak", "snack", "stall")
DAYS = tuple(day(d) for d in ("2019-06-01", "2020-06-01", "2021-06-01"))


def big(**shapes: Any) -> list[Ground]:
    """Four squares of 4 km; a named one may have another shape."""
    corners = {"nw": (0, 1, 1, 2), "ne": (1, 1, 2, 2), "sw": (0, 0, 1, 1), "se": (1, 0, 2, 1)}
    return squares(**{k: box(*(SIDE * c for c in xy)) for k, xy in corners.items()} | shapes)


def moved(depth: float = 60.0, low: float = 1_500.0, high: float = 2_100.0) -> list[Ground]:
    """The line of sw and se moved east over some metres of its length, for both."""
    piece = box(SIDE, low, SIDE + depth, high)
    west, east = box(0, 0, SIDE, SIDE), box(SIDE, 0, 2 * SIDE, SIDE)
    return big(sw=shapely.union(west, piece), se=shapely.difference(east, piece))


def cases(n: int = 3_000, seed: int = 1, **more: Any) -> History:
    """Cases all over the city and beyond, half of them near its lines, some exactly on them, one without a place."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-1_500, 2 * SIDE + 1_500, (2, n))
    line = rng.choice([0.0, SIDE, 2 * SIDE], n) + rng.choice([0.0, 0.0004, 1.0, -14.0, 30.0, 60.0, 61.0, 99.0], n)
    x, y = np.where(rng.random(n) < 0.3, line, x), np.where(rng.random(n) < 0.3, np.roll(line, 1), y)
    x[0] = np.nan
    return History(x, y, **{"error_m": np.zeros(1), **more})


def of_all_kinds(n: int, seed: int, errors: Sequence[float]) -> History:
    """Cases with times, categories, finders, ids and errors."""
    rng = np.random.default_rng(seed)
    return cases(
        n,
        seed,
        error_m=rng.choice(errors, n) if len(errors) > 1 else np.array(errors),
        at=np.array([micros(DAYS[k]) for k in rng.integers(len(DAYS), size=n)], np.int64),
        category=rng.integers(-1, len(CATEGORIES), n).astype(np.int32),
        categories=CATEGORIES,
        found_by=rng.integers(-1, 3, n).astype(np.int32),
        finders=("nw", "stranger", "ne"),
        case=np.array([str(i % 50) if i % 7 else None for i in range(n)], object),
    )


def full(on: JurisdictionMap, history: History, **how: Any) -> Routed:
    return route(on, history.complaints(on), **how)


def assert_same(got: Routed, want: Routed) -> None:
    for name in COLUMNS:
        a, b = getattr(got, name), getattr(want, name)
        assert a.tobytes() == b.tobytes(), (name, np.flatnonzero(a != b)[:5] if a.shape == b.shape else (a.shape, b.shape))
    assert got.township_codes == want.township_codes
    a, b = ([r.on.ledger.verdicts[v] for v in np.unique(r.verdict).tolist()] for r in (got, want))
    assert set(a) == set(b)
    some = range(0, len(got), max(1, len(got) // 50))
    assert repr([got.decision(i) for i in some]) == repr([want.decision(i) for i in some])


def check(before: JurisdictionMap, after: JurisdictionMap, history: History, **how: Any) -> tuple[Known, Again]:
    """What is put together from the old and the new is what a full run says."""
    warm = known(before, history, **how)
    found = again(warm, after)
    fresh = replace(after)  # its own index and ledger
    assert_same(spliced(warm, found), full(fresh, history, **how))
    assert (np.diff(found.rows) > 0).all()
    return warm, found


def test_a_history_is_turned_into_what_a_map_wants() -> None:
    on, history = MAPS["agreements"](), of_all_kinds(60, 1, [0.0, 20.0])
    assert history.category is not None
    assert history.found_by is not None
    rows = np.array([3, 4, 59])
    for asked, some in ((history.complaints(on), np.arange(60)), (history.complaints(on, rows), rows)):
        names = [CATEGORIES[k] if k >= 0 else None for k in history.category[some].tolist()]
        who = [history.finders[k] if k >= 0 else None for k in history.found_by[some].tolist()]
        assert asked.group is not None
        assert asked.found_by is not None
        assert asked.group.tolist() == groups(on, names).tolist()
        assert asked.found_by.tolist() == [on.squad_number.get(SquadCode(str(w)), -1) for w in who]
        assert len(asked) == len(some)
    plain = history.complaints(MAPS["plain"]())
    assert plain.group is None
    assert plain.found_by is None


# ---- by hand --------------------------------------------------------------------------------------------------------


def test_a_moved_border_is_routed_again_and_nothing_far_from_it() -> None:
    history = cases(20_000)
    _, found = check(compiled(big()), compiled(moved()), history)
    assert (found.scope, found.why) == (Scope.PART, None)
    assert 100 < len(found.rows) < 6_000
    x, y = history.x[found.rows], history.y[found.rows]
    assert (np.abs(x - SIDE) < 1_400).all()
    assert (np.abs(y - 2_000) < 3_250).all(), "the whole line of 4 km is one edge"


def test_the_same_map_needs_nothing() -> None:
    history = cases(500)
    _, found = check(compiled(big()), compiled(big()), history)
    assert (found.scope, len(found.rows)) == (Scope.NONE, 0)
    documents = [replace(g, claim=replace(g.claim, document="2024-7")) for g in big()]
    _, found = check(compiled(big()), compiled(documents), history)
    assert found.scope is Scope.NONE, "a paper decides nothing"


def test_a_whole_square_that_changes_hands_is_routed_again_to_its_middle() -> None:
    grounds = [*big(se=None), territory("ne", box(SIDE, 0, 2 * SIDE, SIDE), name=":more")]
    warm, found = check(compiled(big()), compiled(grounds), cases(8_000))
    assert found.scope is Scope.PART
    se = warm.on.squad_number[SquadCode("se")]
    assert np.isin(np.flatnonzero(warm.routed.squad == se), found.rows).all()


def test_a_claim_of_the_same_id_that_says_something_else_is_another_claim() -> None:
    grounds = big()
    other = [replace(g, claim=replace(g.claim, squad=SquadCode("gas"))) if g.claim.id == "ground:se" else g for g in grounds]
    warm, found = check(compiled(grounds), compiled(other), cases(2_000))
    assert found.scope is Scope.PART
    assert np.isin(np.flatnonzero(warm.routed.squad == warm.on.squad_number[SquadCode("se")]), found.rows).all()


def test_what_decides_everywhere_is_routed_everywhere() -> None:
    history = cases(300, at=np.array([micros(DAYS[1])], np.int64))
    before = compiled(big())
    assert check(before, compiled(big(), zone_m=20.0), history)[1].why is Why.SETTINGS
    less = compile_map(big(), roster(), Settings("EPSG:4547", 15.0, 2.0))
    assert check(before, less, history)[1].why is Why.SETTINGS
    assert check(before, compiled(big(), who=roster(("ne", "nw", "se", "sw"), "sw")), history)[1].why is Why.ROSTER
    assert check(before, compiled([*big(), direct("gas leak", "gas")]), history)[1].why is Why.DIRECT
    assert check(before, compiled([*big(), agreement("w", "sw", "se", lead="sw")]), history)[1].why is Why.WHOLE_ZONE
    west = compiled(big(sw=box(-500, 0, SIDE, SIDE)))
    found = check(before, west, history)[1]
    assert (found.scope, found.why, len(found.rows)) == (Scope.ALL, Why.CORNER, 300)


def test_names_and_offices_of_squads_decide_nothing() -> None:
    squads = [replace(s, name="x", phone="1", office=(1.0, 2.0)) for s in roster().squads]
    _, found = check(compiled(big()), compiled(big(), who=Roster(tuple(squads), SquadCode("desk"))), cases(200))
    assert found.scope is Scope.NONE


@pytest.mark.parametrize("cap", [100.0, 250.0])
def test_wide_errors_and_far_margins(cap: float) -> None:
    """Rows that see 900 m look farther than an index of 100 m; what changes 500 m away is near for them."""
    history = of_all_kinds(3_000, 3, [0.0, 20.0, 150.0, 900.0])
    _, found = check(compiled(big()), compiled(moved()), history, cap_m=cap)
    assert (found.scope is Scope.PART) is (cap == 100.0)
    _, found = check(compiled(big()), compiled(moved()), replace(history, error_m=np.array([700.0])))
    assert found.scope is Scope.PART


def test_lines_of_unequal_accuracy_and_wide_errors() -> None:
    grounds = [territory("sw", box(0, 0, SIDE, SIDE), accuracy_m=130.0), *big(sw=None)]
    history = of_all_kinds(1_500, 5, [0.0, 150.0])
    assert check(compiled(big()), compiled(grounds), history)[1].why is Why.REACH
    assert check(compiled(grounds), compiled([*grounds, not_served("rail", box(10, 10, 50, 60))]), history)[1].scope is Scope.PART


def test_disputed_ground_that_shares_settle_is_measured_on_the_new_faces() -> None:
    """The overlap's own neighbourhood stays, but the faces it is cut from are redrawn far away."""
    west = box(0, 0, SIDE + 300, SIDE)
    far = shapely.union(west, box(SIDE + 300, 100, SIDE + 360, 200))
    before, after = compiled(big(sw=west)), compiled(big(sw=far))
    rng = np.random.default_rng(8)
    x, y = rng.uniform(SIDE - 50, SIDE + 350, 200), rng.uniform(0, SIDE, 200)
    warm, found = check(before, after, History(x, y, np.array([60.0])))
    assert len(warm.shared) > 50
    assert np.isin(warm.shared, found.rows).all()


def test_an_order_for_one_case_is_looked_up_wherever_the_case_is() -> None:
    history = of_all_kinds(700, 4, [0.0])
    after = compiled([*big(), designation("7", "nw", case="7")])
    _, found = check(compiled(big()), after, history)
    assert history.case is not None
    assert sorted(found.rows.tolist()) == [i for i, c in enumerate(history.case.tolist()) if c == "7"]
    check(after, compiled(big()), history)
    check(compiled(big()), after, replace(history, case=np.array(["7"], object)))


def test_claims_of_some_years() -> None:
    """A designation that holds for a month cuts time; squares that change hands have plates of their own."""
    history = of_all_kinds(2_000, 9, [0.0, 30.0])
    before = compiled([*big(), designation("may", "ne", box(500, 500, 900, 900), period("2020-05-20", "2020-07-01"))])
    years = [territory("se", box(SIDE, 0, 2 * SIDE, SIDE), period(until="2021-01-01")),
             territory("ne", box(SIDE, 0, 2 * SIDE, SIDE), period("2021-01-01"), name=":late")]  # fmt: skip
    after = compiled([*big(se=None), *years])
    _, found = check(before, after, history)
    assert found.scope is Scope.PART
    check(after, before, history)
    one = replace(history, at=history.at[:1] if history.at is not None else None)
    check(before, after, one)


def test_ground_that_changes_only_later_is_found_for_later_cases() -> None:
    """Until 2021 both maps have the same plate; who looks at one instant alone sees no change."""
    history = of_all_kinds(4_000, 9, [0.0])
    assert history.at is not None
    late = territory("ne", box(1_000, 1_000, 1_500, 1_600), period("2021-01-01"), name=":late")
    warm, found = check(compiled(big()), compiled([*big(), late]), history)
    assert found.scope is Scope.PART
    assert (history.at[found.rows] == micros(DAYS[2])).all()
    assert (spliced(warm, found).squad != warm.routed.squad).any()


def test_alternating_and_first_finder_agreements() -> None:
    history = of_all_kinds(2_000, 10, [0.0])
    strip = box(SIDE - 40, 100, SIDE + 40, 900)
    turns = agreement("month", "sw", "se", strip, period("2019-01-01"), rule=AgreementRule.ALTERNATE, lead="se")
    finder = agreement("stall", "nw", "ne", box(SIDE - 40, 5_000, SIDE + 40, 6_000), rule=AgreementRule.FIRST_FINDER, categories=["stall"])
    _, found = check(compiled([*big(), turns]), compiled([*big(), finder]), history)
    assert found.scope is Scope.PART
    check(compiled([*big(), finder]), compiled([*moved(), turns]), history)


def test_a_gap_that_opens_is_shared_among_its_neighbours() -> None:
    hole = box(SIDE - 200, SIDE - 100, SIDE + 300, SIDE + 250)
    corners = dict(zip(("nw", "ne", "sw", "se"), (g.geometry for g in big()), strict=True))
    holed = big(**{k: shapely.difference(g, hole) for k, g in corners.items()})
    _, found = check(compiled(big()), compiled(holed), cases(4_000))
    assert found.scope is Scope.PART


def test_no_cases_and_no_place() -> None:
    none = np.empty(0)
    check(compiled(big()), compiled(moved()), History(none, none, np.zeros(1)))
    check(compiled(big()), compiled(moved()), History(np.full(3, np.nan), np.full(3, np.nan), np.zeros(1)))
    check(compiled(big()), compiled(moved()), History(np.array([1e12, -1e9]), np.array([0.0, 1e300]), np.zeros(1)))


def test_errors_are_those_of_a_full_run() -> None:
    warm = known(compiled(big()), cases(10))
    with pytest.raises(TwoWorkSystems, match="EPSG:4547"):
        again(warm, compile_map(big(), roster(), Settings("EPSG:4548", 15.0)))
    dated = compiled([*big(), designation("may", "ne", box(1, 1, 9, 9), period("2020-05-01"))])
    with pytest.raises(InstantNeeded):
        again(warm, dated)
    with pytest.raises(InstantNeeded):  # though no case is near
        again(known(compiled(big()), History(np.full(2, 6e3), np.full(2, 6e3), np.zeros(1))), dated)
    warm = known(compiled(big()), cases(10), zone_m=30.0)
    with pytest.raises(ZoneIsCompiled):
        again(warm, compiled([*big(), agreement("w", "sw", "se", lead="sw")]))


@pytest.mark.parametrize("name", sorted(MAPS))
def test_every_city_map_against_every_other(name: str) -> None:
    """Small cities, where all is near: whatever the way taken, the answers are those of a full run."""
    rng = np.random.default_rng(2)
    n = 150
    x, y = rng.choice([0.0, 50.0, 190.0, 199.9995, 200.0, 205.0, 240.0, 300.0, 390.0], (2, n))
    base = of_all_kinds(n, 2, [0.0, 20.0])
    for other in sorted(MAPS):
        if other != name:
            check(MAPS[name](), MAPS[other](), replace(base, x=x, y=y))


# ---- drawn ----------------------------------------------------------------------------------------------------------


@st.composite
def extras(draw: st.DrawFn, k: int) -> Ground:
    """One claim somewhere in the big city, 10 m to 1 km wide."""
    at = st.integers(0, 155).map(lambda v: v * 50.0)
    x, y, w, h = draw(at), draw(at), draw(st.sampled_from([10.0, 50.0, 1_000.0])), draw(st.sampled_from([10.0, 300.0]))
    shape, squad = box(x, y, x + w, y + h), draw(st.sampled_from(["ne", "nw", "se", "sw"]))
    held = draw(st.sampled_from([period(), period(until="2020-01-01"), period("2020-01-01"), period("2020-01-01", "2021-01-01")]))
    kind = draw(st.sampled_from(["overlap", "order", "by category", "not", "township", "agreed", "turns", "finder", "case"]))
    if kind == "overlap":
        return territory(squad, shape, held, name=f":{k}", priority=draw(st.sampled_from([0, 1])))
    if kind in ("order", "by category"):
        words = ["snack"] if kind == "by category" else []
        return designation(str(k), squad, shape, held, categories=words)
    if kind == "not":
        return not_served(str(k), shape)
    if kind == "township":
        return township(f"t{k}", squad, shape)
    if kind == "case":
        return designation(f"case{k}", squad, held=held, case=str(draw(st.integers(0, 49))))
    strip = box(SIDE - 30, y, SIDE + 30, y + h)
    rule = {"agreed": AgreementRule.WHOLE, "turns": AgreementRule.ALTERNATE, "finder": AgreementRule.FIRST_FINDER}[kind]
    return agreement(str(k), "nw", "ne", strip, held, rule=rule, lead="ne")


@st.composite
def two_maps(draw: st.DrawFn) -> tuple[list[Ground], list[Ground]]:
    """A map and the same with a border moved, a claim added, one dropped: any of these, or none."""
    kept = [draw(extras(k)) for k in range(draw(st.integers(0, 3)))]
    added = [draw(extras(k)) for k in range(10, 10 + draw(st.integers(0, 2)))]
    dropped = draw(st.integers(0, len(kept)))
    low = draw(st.sampled_from([0.0, 1_000.0, 3_950.0]))
    depth = draw(st.sampled_from([0.0, 0.001, 1.0, 60.0, 700.0]))
    lines = moved(depth, low, low + draw(st.sampled_from([5.0, 600.0]))) if depth and low < 3_000.0 else big()
    return [*big(), *kept], [*lines, *kept[dropped:], *added]


@settings(max_examples=40)
@given(two_maps(), st.integers(0, 99), st.sampled_from([(0.0,), (0.0, 30.0), (0.0, 40.0, 150.0), (500.0,)]))
def test_what_is_put_together_is_the_full_run(maps: tuple[list[Ground], list[Ground]], seed: int, errors: tuple[float, ...]) -> None:
    before, after = (compiled(grounds) for grounds in maps)
    history = of_all_kinds(600, seed, errors)
    warm, found = check(before, after, history)
    event(found.scope)
    got = compare(baseline(warm, OFFICES), after)
    want = baseline(known(replace(after), history), OFFICES).load
    for name in ("led", "assisted", "way_mm", "ways", "steps"):
        assert getattr(got.after, name).tolist() == getattr(want, name).tolist(), name
    assert got.after.doubtful == want.doubtful
    assert got.moved.rows.tolist() == np.flatnonzero(warm.routed.squad != spliced(warm, found).squad).tolist()


OFFICES = {SquadCode("sw"): (2_000.0, 2_000.0), SquadCode("se"): (6_000.0, 2_000.0), SquadCode("none"): (0.0, 0.0)}


# ---- what it means --------------------------------------------------------------------------------------------------


def test_the_comparison_counts_what_moves() -> None:
    history = cases(6_000, category=np.arange(6_000, dtype=np.int32) % 3 - 1, categories=("fruit", "snack"))
    before, after = compiled(big()), compiled(moved())
    warm = known(before, history)
    got = compare(baseline(warm, OFFICES), after)
    new = full(after, history)
    rows = np.flatnonzero(new.squad != warm.routed.squad)
    assert got.moved.rows.tolist() == rows.tolist()
    assert got.flows() == [("se", "sw", len(rows))]
    assert sum(n for *_, n in got.steps()) == len(rows) == sum(n for _, n in got.categories(history))
    assert {c for c, _ in got.categories(history)} == {None, "fruit", "snack"}
    assert set(got.steps()) >= {(Step.OWN_GROUND, Step.OWN_GROUND, int(((warm.routed.step == 6) & (new.step == 6))[rows].sum()))}
    assert got.doubt_new.tolist() == np.flatnonzero(~warm.routed.doubtful & new.doubtful).tolist()
    assert got.doubt_gone.tolist() == np.flatnonzero(warm.routed.doubtful & ~new.doubtful).tolist()
    told = [tuple(np.split(r.assist, r.assist_at[1:-1])[i].tolist()) for r in (warm.routed, new) for i in got.assist_changed]
    half = len(told) // 2
    assert all(a != b for a, b in zip(told[:half], told[half:], strict=True))
    assert got.before.mean_way_m is not None
    mean = np.nanmean([
        np.hypot(history.x[i] - OFFICES[c][0], history.y[i] - OFFICES[c][1])
        for i in range(len(history)) if (c := before.roster.squads[warm.routed.squad[i]].code) in OFFICES
    ])  # fmt: skip
    assert got.before.mean_way_m == pytest.approx(mean, abs=0.001)


def test_ways_are_told_only_where_offices_are_known() -> None:
    got = compare(baseline(known(compiled(big()), cases(50))), compiled(moved()))
    assert got.before.mean_way_m is got.after.mean_way_m is None


def test_strips_gaps_and_overlaps_of_a_moved_line() -> None:
    """600 m of line move 60 m: 600 m new, with two ends of 60; of the old zone 15 m each side all but the new one's is gone."""
    got = compare(baseline(known(compiled(big()), cases(10))), compiled(moved())).shape
    assert (got.gap_m2, got.overlap_m2) == ((0.0, 0.0), (0.0, 0.0))
    (strip,) = got.strips
    assert strip.squads == ("se", "sw")
    assert (strip.new_line_m, strip.gone_line_m) == pytest.approx((720.0, 600.0), abs=0.02)
    corner = (1 - np.pi / 4) * 15**2  # what a round end leaves of a square one
    assert strip.new_m2 == pytest.approx(60 * 630 - 30 * 570 - 2 * corner, rel=5e-4)
    assert strip.gone_m2 == pytest.approx(30 * 570 + 2 * corner, rel=5e-4)


def test_a_vertex_put_into_a_line_changes_no_strip() -> None:
    """On a slanted line a vertex is a fraction of a millimetre off it."""

    def slanted(*middle: tuple[float, float]) -> JurisdictionMap:
        low, high = (SIDE, 0.0), (SIDE + 333.333, SIDE)
        west = shapely.Polygon([(0, 0), low, *middle, high, (0, SIDE)])
        east = shapely.Polygon([low, (2 * SIDE, 0), (2 * SIDE, SIDE), high, *middle[::-1]])
        return compiled(big(sw=west, se=east))

    got = compare(baseline(known(slanted(), cases(2_000))), slanted((SIDE + 113.114, 1_357.371)))
    assert got.shape.strips == ()
    assert len(got.moved) == 0


def test_gaps_and_overlaps_are_measured_at_an_instant() -> None:
    years = [*big(sw=None), territory("sw", box(0, 0, SIDE, SIDE), period(until="2021-01-01")),
             territory("sw", box(0, 0, SIDE + 10, SIDE - 20), period("2021-01-01"), name=":late")]  # fmt: skip
    warm = baseline(known(compiled(big()), of_all_kinds(50, 1, [0.0])))
    late = compare(warm, compiled(years)).shape
    assert late.gap_m2[1] == SIDE * 20
    assert late.overlap_m2[1] == 10 * (SIDE - 20)
    then = compare(warm, compiled(years), micros(DAYS[1])).shape
    assert (then.gap_m2, then.overlap_m2, then.strips) == ((0.0, 0.0), (0.0, 0.0), ())


def test_squads_of_both_rosters_are_counted() -> None:
    five = Roster((*roster().squads, Squad(SquadCode("zz"))), SquadCode("desk"))
    after = compiled([*big(se=None), territory("zz", box(SIDE, 0, 2 * SIDE, SIDE))], who=five)
    got = compare(baseline(known(compiled(big()), cases(900))), after)
    assert (got.scope, got.why) == (Scope.ALL, Why.ROSTER)
    assert "zz" in got.squads
    assert ("se", "zz", int(got.after.led[got.squads.index(SquadCode("zz"))])) in got.flows()
    assert got.before.led.sum() == got.after.led.sum() == 900


def test_group_numbers_of_two_maps_differ_and_names_do_not() -> None:
    history = replace(of_all_kinds(1_000, 3, [0.0]), case=None)
    first = designation("a", "ne", box(100, 100, 900, 900), categories=["snack"])
    also = designation("b", "nw", box(5_000, 100, 5_900, 900), categories=["fruit"])
    one, two = compiled([*big(), first]), compiled([*big(), also, first])
    assert one.group_of[Category("snack")] != two.group_of[Category("snack")]
    assert check(one, two, history)[1].scope is Scope.PART


# ---- New York -------------------------------------------------------------------------------------------------------


@pytest.mark.full
def test_moved_precincts_of_new_york(data_dir: Path) -> None:
    """Every lot, and points around vertices: eight borders moved in turn."""
    gathered = gather(MapFiles(territories=f"{data_dir}/nyc/polygons_core.gpkg::police_precinct"))
    grounds = list(gathered.grounds)

    def made(of: Sequence[Ground]) -> JurisdictionMap:
        return compile_map(of, gathered.roster, gathered.settings, gathered.extent)

    x, y, _ = points_of(data_dir / "nyc" / "points_lots.parquet", gathered.work.crs)
    near = around_vertices(np.array([g.geometry for g in grounds], object), 100_000)
    history = History(np.append(x, near[0]), np.append(y, near[1]), np.zeros(1))
    warm = known(made(grounds), history, workers=2)
    rng = np.random.default_rng(4)
    shapes = [g.geometry for g in grounds]
    pairs = np.array(shapely.STRtree(shapes).query(shapes, predicate="intersects"))
    pairs = pairs[:, pairs[0] < pairs[1]]
    done = 0
    for k in rng.permutation(pairs.shape[1]).tolist():
        i, j = pairs[:, k].tolist()
        piece = shapely.buffer(shapely.point_on_surface(shapely.intersection(shapes[i], shapes[j])), rng.uniform(20, 200))
        piece = shapely.intersection(piece, shapes[j])
        if shapely.area(piece) < 100 or done == 8:
            continue
        edited = list(grounds)
        edited[i] = replace(grounds[i], geometry=shapely.union(shapes[i], piece))
        edited[j] = replace(grounds[j], geometry=shapely.difference(shapes[j], piece))
        after = made(edited)
        found = again(warm, after)
        assert found.scope is Scope.PART
        assert_same(spliced(warm, found), full(replace(after), history, workers=2))
        done += 1
    assert done == 8
