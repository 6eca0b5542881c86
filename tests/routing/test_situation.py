"""The facts at a place: whose turn it is, what is sorted, and which claims a place on a line meets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.jurisdiction import OTHER_CATEGORIES, Context, JurisdictionMap
from routing.model import (
    Agreement,
    AgreementRule,
    Cycle,
    Location,
    Period,
    Squad,
    SquadCode,
    SquadKind,
    Step,
    Territory,
)
from routing.route import Router
from routing.situation import Roster, Situation, by_id, in_order, whose_turn
from tests import oracle
from tests.city import BEIJING, MAPS, SQUARES, agreement, box, compiled, day, designation, squares, territory, township


def alternating(since: datetime | None, lead: str | None = None, cycle: Cycle = Cycle.MONTH) -> Agreement:
    claim = agreement("x", "nw", "sw", held=Period(since), rule=AgreementRule.ALTERNATE, lead=lead, cycle=cycle).claim
    assert isinstance(claim, Agreement)
    return claim


@pytest.mark.parametrize(
    ("cycle", "moment", "squad"),
    [
        (Cycle.MONTH, "2024-03-20T00:00+08:00", "sw"),
        (Cycle.MONTH, "2024-03-31T23:59:59.999999+08:00", "sw"),
        (Cycle.MONTH, "2024-04-01T00:00+08:00", "nw"),
        (Cycle.MONTH, "2024-03-31T16:00Z", "nw"),
        (Cycle.MONTH, "2024-03-31T15:59:59Z", "sw"),
        (Cycle.MONTH, "2024-12-31T23:00+08:00", "nw"),
        (Cycle.MONTH, "2025-01-01T00:00+08:00", "sw"),
        (Cycle.WEEK, "2024-03-24T23:59+08:00", "sw"),
        (Cycle.WEEK, "2024-03-25T00:00+08:00", "nw"),
        (Cycle.WEEK, "2024-04-01T00:00+08:00", "sw"),
        (Cycle.WEEK, "2024-12-30T00:00+08:00", "nw"),
        (Cycle.WEEK, "2025-01-05T23:00+08:00", "nw"),
        (Cycle.WEEK, "2025-01-06T00:00+08:00", "sw"),
    ],
)
def test_whose_turn(cycle: Cycle, moment: str, squad: str) -> None:
    """It starts on Wednesday 2024-03-20, in the middle of a month and of a week, with sw."""
    assert whose_turn(alternating(day("2024-03-20"), "sw", cycle), datetime.fromisoformat(moment)) == squad


def test_who_starts() -> None:
    first = datetime(2024, 3, 21, tzinfo=BEIJING)
    assert whose_turn(alternating(day("2024-03-20"), "sw"), first) == "sw"
    assert whose_turn(alternating(day("2024-03-20"), "nw"), first) == "nw"
    assert whose_turn(alternating(day("2024-03-20")), first) == "nw", "nobody named: the first party"


@given(
    st.datetimes(datetime(2001, 1, 1), datetime(2030, 1, 1), timezones=st.just(BEIJING)),  # noqa: DTZ001
    st.integers(0, 3000).map(lambda h: timedelta(hours=5 * h)),
    st.sampled_from(Cycle),
    st.sampled_from(["nw", "sw"]),
)
def test_turns_are_those_counted_one_by_one(since: datetime, later: timedelta, cycle: Cycle, lead: str) -> None:
    claim, moment = alternating(since, lead, cycle), (since + later).astimezone(UTC)
    assert whose_turn(claim, moment) == oracle.turn_of(claim, moment)


def test_turns_without_a_start_alternate_too() -> None:
    claim = alternating(None, "sw", Cycle.WEEK)
    turns = [whose_turn(claim, day("2024-01-01") + timedelta(days=7 * k)) for k in range(4)]
    assert turns in (["sw", "nw"] * 2, ["nw", "sw"] * 2)
    assert whose_turn(claim, day("2000-01-03")) == "sw"


def grounds(*of: tuple[str, int]) -> tuple[Territory, ...]:
    made = (territory(squad, None, priority=priority).claim for squad, priority in of)
    return tuple(c for c in made if isinstance(c, Territory))


def test_the_published_order_is_priority_then_code() -> None:
    three = grounds(("sw", 0), ("ne", 1), ("nw", 0))
    assert [g.squad for g in in_order(three)] == ["nw", "sw", "ne"]
    assert Situation(grounds=three).claimants == ("nw", "sw", "ne")
    assert Situation(grounds=three[:1], near=three[1:]).within == ("ne", "nw", "sw")
    assert [c.id for c in by_id((*three, *three))] == ["ground:ne", "ground:nw", "ground:sw"]


def test_who_is_external() -> None:
    who = Roster((Squad(SquadCode("a")), Squad(SquadCode("b"), kind=SquadKind.EXTERNAL)), SquadCode("a"))
    assert [who.is_external(SquadCode(c)) for c in "abc"] == [False, True, False]


# ---- what a place on a line meets -----------------------------------------------------------------------------------


def beside(on: JurisdictionMap, x: float, y: float, error: float = 0.0) -> tuple[str, Step]:
    decision = Router(on)(Location(x, y, error))
    return decision.squad, decision.step


def test_an_agreement_with_ground_of_its_own_holds_nowhere_else() -> None:
    """Neither on the rest of the line nor where the two overlap elsewhere."""
    wide = box(0, 0, 220, 200)
    on = compiled([*squares(sw=wide), agreement("quay", "sw", "se", box(190, 0, 230, 50), lead="sw")])
    assert beside(on, 225, 25) == ("sw", Step.AGREED)
    assert beside(on, 210, 150) == ("se", Step.DISPUTED)
    assert beside(on, 200, 150) == ("se", Step.BORDER)


def test_a_line_that_means_nothing_here_does_not_settle_a_dispute() -> None:
    """In an overlap the township decides; a township's edge or a zone for another category changes nothing on its line."""
    on = compiled(
        [
            *squares(sw=box(0, 0, 300, 200)),
            township("t", "sw", box(0, 0, 400, 200)),
            township("u", None, box(0, 0, 250, 400)),
            designation("x", "nw", box(220, 0, 230, 200), categories=["snack"]),
        ]
    )
    for x in (219.9, 220, 225, 230, 250, 260):
        assert beside(on, x, 100) == ("sw", Step.DISPUTED), x


def test_squads_of_one_ground_in_several_pieces_are_not_their_own_neighbours() -> None:
    """Two features of one squad with a line between them: still its own ground."""
    pieces = [territory("sw", box(0, 0, 100, 200)), territory("sw", box(100, 0, 200, 200))]
    more = [territory("sw", box(200, 0, 300, 200), name=":more")]
    on = compiled([*pieces, *more])
    for x in (99, 100, 101, 199, 200, 201):
        assert beside(on, x, 100, 5.0) == ("sw", Step.OWN_GROUND), x


def test_a_township_line_is_nobody_elses_business() -> None:
    on = compiled([territory("sw", box(*SQUARES["sw"])), township("t", "nw", box(0, 0, 100, 200))])
    assert beside(on, 100, 100) == ("sw", Step.OWN_GROUND)


def test_facts_are_sorted_once_and_claims_out_of_force_are_not_among_them() -> None:
    on = MAPS["years"]()
    for i, interval in enumerate(on.intervals):
        sheet = on.sheet(Context(i, OTHER_CATEGORIES))
        for c in range(len(sheet.base)):
            situation = sheet.situation((c,))
            for field in ("designations", "grounds", "nearest", "townships"):
                claims = getattr(situation, field)
                assert list(claims) == sorted(claims, key=lambda claim: claim.id)
                assert all(on.claim_number[claim.id] in interval.claims for claim in claims)
