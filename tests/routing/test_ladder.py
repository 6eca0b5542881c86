"""The rungs one by one, in plain situations: what each needs, what goes before it, and how its ties are settled."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import ladder
from routing.ladder import LADDER, decide, would_share
from routing.model import (
    Agreement,
    AgreementRule,
    Category,
    ClaimId,
    Designation,
    DirectCategory,
    Nearest,
    NotServed,
    Period,
    SquadCode,
    Step,
    Territory,
    Township,
    Verdict,
)
from routing.situation import Situation
from tests.city import agreement, day, designation, roster

WHO = roster()
SQUADS = ("ne", "nw", "se", "sw")


def ground(squad: str, priority: int = 0) -> Territory:
    return Territory(id=ClaimId(f"ground:{squad}"), squad=SquadCode(squad), priority=priority)


def piece(squad: str, priority: int = 0) -> Nearest:
    return Nearest(id=ClaimId(f"nearest:{squad}"), squad=SquadCode(squad), priority=priority)


def order(name: str, squad: str, **facts: Any) -> Designation:
    claim = designation(name, squad, **facts).claim
    assert isinstance(claim, Designation)
    return claim


def settled(name: str, a: str, b: str, **facts: Any) -> Agreement:
    claim = agreement(name, a, b, **facts).claim
    assert isinstance(claim, Agreement)
    return claim


def posted(squad: str | None) -> Township:
    return Township(id=ClaimId("t"), code="t", squad=SquadCode(squad) if squad else None)


EVERYTHING = Situation(
    orders=(order("case", "nw", case="1"),),
    direct=(DirectCategory(id=ClaimId("direct"), category=Category("gas leak"), squad=SquadCode("gas")),),
    designations=(order("all", "se"), order("snack", "ne", categories=["snack"])),
    not_served=(NotServed(id=ClaimId("not"), authority="rail"),),
    agreements=(settled("whole", "sw", "se", lead="se"),),
    grounds=(ground("sw"),),
    nearest=(),
    near=(ground("se"),),
)


def told(situation: Situation) -> tuple[str, tuple[str, ...], str, bool]:
    verdict = decide(situation, WHO)
    return verdict.lead, verdict.assist, verdict.step.value, verdict.unsure


def test_the_ladder_is_the_steps_in_order_and_the_table_in_words() -> None:
    assert [step for step, _ in LADDER] == list(Step)
    table = re.findall(r"^ +\| (\d+) (\w+)", ladder.__doc__ or "", re.MULTILINE)
    assert table == [(str(i + 1), step.value) for i, step in enumerate(Step)]
    assert all(rule.__name__ == step.value and rule.__doc__ for step, rule in LADDER)


def test_each_rung_decides_when_those_before_it_find_nothing() -> None:
    s = EVERYTHING
    assert told(s) == ("nw", (), "case_order", False)
    s = replace(s, orders=())
    assert told(s) == ("ne", (), "designated_category", False)
    s = replace(s, designations=s.designations[:1])
    assert told(s) == ("gas", (), "direct", False)
    s = replace(s, direct=())
    assert told(s) == ("se", (), "designated", False)
    s = replace(s, designations=())
    assert told(s) == ("desk", (), "not_served", False)
    s = replace(s, not_served=())
    assert told(s) == ("se", ("sw",), "agreed", False)
    s = replace(s, agreements=())
    assert told(s) == ("sw", ("se",), "border", False)
    assert told(replace(s, near=())) == ("sw", (), "own_ground", False)
    s = replace(s, grounds=(ground("se"), ground("sw")), near=(ground("ne"),))
    assert told(s) == ("se", ("ne", "sw"), "disputed", True)
    assert told(replace(s, on_line=True)) == ("se", ("ne", "sw"), "border", True)
    s = Situation(nearest=(piece("nw"),))
    assert told(s) == ("nw", (), "nearest", True)
    assert told(Situation()) == ("desk", (), "on_duty", True)


def test_reasons_tell_every_step_tried_what_it_found_and_what_it_chose() -> None:
    verdict = decide(replace(EVERYTHING, orders=(), designations=(), direct=(), not_served=(), agreements=()), WHO)
    assert [r.step for r in verdict.reasons] == list(Step)[:8]
    assert verdict.reasons[-1].chosen == "ground:sw"
    assert verdict.reasons[-1].found == ("ground:sw", "ground:se")
    assert verdict.reasons[6].found == ("ground:sw",)
    assert all(r.chosen is None for r in verdict.reasons[:-1])
    chosen = decide(EVERYTHING, WHO).reasons
    assert chosen[0].chosen == "order:case"
    assert decide(replace(EVERYTHING, orders=()), WHO).reasons[1].found == ("order:snack",)


@pytest.mark.parametrize(
    ("orders", "squad"),
    [
        ([("a", "nw", {"categories": ["x", "y"]}), ("b", "se", {"categories": ["x"]})], "se"),
        ([("a", "nw", {"categories": ["x"], "dated": "2020-01-01"}), ("b", "se", {"categories": ["x"], "dated": "2021-01-01"})], "se"),
        ([("a", "nw", {"categories": ["x"], "dated": "2020-01-01"}), ("b", "se", {"categories": ["x"]})], "nw"),
        ([("a", "nw", {"categories": ["x"]}), ("b", "se", {"categories": ["x"]})], "nw"),
        ([("b", "nw", {"categories": ["x"]}), ("a", "se", {"categories": ["x"]})], "se"),
        ([("a", "nw", {"dated": "2021-01-01"}), ("b", "se", {"categories": ["x", "y", "z"]})], "se"),
        ([("a", "nw", {"dated": "2021-01-01"}), ("b", "se", {"dated": "2022-01-01"})], "se"),
        ([("a", "nw", {"held": "2021-01-01"}), ("b", "se", {"held": "2022-01-01"})], "se"),
        ([("a", "nw", {"held": "2021-01-01", "dated": "2023-01-01"}), ("b", "se", {"held": "2022-01-01"})], "nw"),
    ],
)
def test_of_two_orders(orders: list[tuple[str, str, dict[str, Any]]], squad: str) -> None:
    """The narrower category set, then the later document (without one: the later start), then the lower id."""
    made = []
    for name, lead, facts in orders:
        dated, held = facts.get("dated"), facts.get("held")
        more = {"dated": day(dated) if dated else None, "held": Period(day(held) if held else None)}
        made.append(order(name, lead, **{**facts, **more}))
    for these in (made, made[::-1]):
        assert decide(Situation(designations=tuple(these)), WHO).lead == squad
        assert decide(Situation(orders=tuple(these)), WHO).lead == squad


def test_the_desk_holds_what_an_external_unit_must_accept() -> None:
    rails = DirectCategory(id=ClaimId("direct"), category=Category("rails"), squad=SquadCode("rail"))
    assert told(Situation(direct=(rails,), grounds=(ground("sw"),))) == ("desk", (), "direct", False)


def test_agreements_need_a_party_on_the_ground() -> None:
    street = settled("street", "sw", "se", lead="se")
    assert told(Situation(agreements=(street,), grounds=(ground("nw"),)))[2] == "own_ground"
    assert told(Situation(agreements=(street,), nearest=(piece("sw"),))) == ("se", ("sw",), "agreed", False)
    assert told(Situation(agreements=(street,), nearest=(piece("nw"),)))[2] == "nearest"
    assert told(Situation(agreements=(street,)))[2] == "on_duty"


@pytest.mark.parametrize(
    ("agreements", "squad"),
    [
        ([("a", {"lead": "se"}), ("b", {"lead": "sw", "categories": ["x"]})], "sw"),
        ([("a", {"lead": "se", "categories": ["x", "y"]}), ("b", {"lead": "sw", "categories": ["x"]})], "sw"),
        ([("a", {"lead": "se", "since": "2020-01-01"}), ("b", {"lead": "sw", "since": "2021-01-01"})], "sw"),
        ([("a", {"lead": "se"}), ("b", {"lead": "sw", "since": "2021-01-01"})], "sw"),
        ([("a", {"lead": "se"}), ("b", {"lead": "sw"})], "se"),
        ([("a", {"rule": AgreementRule.FIRST_FINDER}), ("b", {"lead": "sw"})], "sw"),
    ],
)
def test_of_two_agreements(agreements: list[tuple[str, dict[str, Any]]], squad: str) -> None:
    made = []
    for name, facts in agreements:
        since = facts.pop("since", None)
        made.append(settled(name, "sw", "se", held=Period(day(since) if since else None), **facts))
    for these in (made, made[::-1]):
        assert told(Situation(agreements=tuple(these), grounds=(ground("sw"),)))[::2] == (squad, "agreed")


def test_first_finder_falls_through_until_a_party_has_found_it() -> None:
    stall = settled("stall", "sw", "se", rule=AgreementRule.FIRST_FINDER)
    s = Situation(agreements=(stall,), grounds=(ground("sw"),))
    assert told(s)[2] == "own_ground"
    assert told(replace(s, found_by=SquadCode("nw")))[2] == "own_ground"
    assert told(replace(s, found_by=SquadCode("se"))) == ("se", ("sw",), "agreed", False)


def test_alternate_follows_the_turn() -> None:
    month = settled("month", "sw", "se", rule=AgreementRule.ALTERNATE)
    for squad, other in (("sw", "se"), ("se", "sw")):
        s = Situation(agreements=(month,), grounds=(ground("sw"),), turns=((month.id, SquadCode(squad)),))
        assert told(s) == (squad, (other,), "agreed", False)


def test_disputed_township_then_share_then_priority_then_code() -> None:
    s = Situation(grounds=(ground("se"), ground("sw")))
    assert told(s)[0] == "se"
    assert told(replace(s, grounds=(ground("se", 1), ground("sw"))))[0] == "sw"
    shared = replace(s, grounds=(ground("se"), ground("sw", 1)), shares=(("se", 0.4), ("sw", 0.6)))
    assert told(shared)[0] == "sw"
    assert told(replace(shared, shares=(("se", 0.5), ("sw", 0.5))))[0] == "se"
    assert told(replace(shared, townships=(posted("se"),)))[0] == "se"
    assert told(replace(shared, townships=(posted("nw"),)))[0] == "sw", "a township of neither settles nothing"
    assert told(replace(shared, townships=(posted(None),)))[0] == "sw"


def test_when_the_share_of_the_error_disc_matters() -> None:
    s = Situation(grounds=(ground("se"), ground("sw")))
    assert would_share(s, WHO)
    assert would_share(replace(s, townships=(posted("nw"),)), WHO)
    assert not would_share(replace(s, townships=(posted("sw"),)), WHO)
    assert not would_share(replace(s, on_line=True), WHO)
    assert not would_share(replace(s, designations=(order("all", "nw"),)), WHO)
    assert not would_share(replace(s, grounds=(ground("se"),)), WHO)


def test_nearest_ties_by_priority_then_code_and_tells_those_equally_near() -> None:
    assert told(Situation(nearest=(piece("nw"), piece("ne")))) == ("ne", ("nw",), "nearest", True)
    assert told(Situation(nearest=(piece("ne", 1), piece("nw")))) == ("nw", ("ne",), "nearest", True)
    assert told(Situation(nearest=(piece("ne"),), possible=(piece("nw"),))) == ("ne", ("nw",), "nearest", True)
    near = Situation(nearest=(piece("ne"),), possible=(piece("nw"),), near=(ground("ne"), ground("sw")))
    assert told(near) == ("ne", ("sw",), "nearest", True)


def test_on_duty_tells_the_neighbours() -> None:
    assert told(Situation(near=(ground("sw"), ground("desk")))) == ("desk", ("sw",), "on_duty", True)


PARTS = {
    "orders": st.sampled_from([order("case", "nw", case="1"), order("case2", "se", case="1", dated=day("2020-01-01"))]),
    "direct": st.sampled_from(EVERYTHING.direct),
    "designations": st.sampled_from([order("all", "se"), order("b", "nw"), order("c", "sw", categories=["x"])]),
    "not_served": st.sampled_from(EVERYTHING.not_served),
    "agreements": st.sampled_from([settled("w", "sw", "se", lead="se"), settled("f", "ne", "se", rule=AgreementRule.FIRST_FINDER)]),
    "grounds": st.sampled_from(SQUADS).map(ground),
    "townships": st.sampled_from([posted("se"), posted(None)]),
    "nearest": st.sampled_from(SQUADS).map(piece),
    "near": st.sampled_from(SQUADS).map(ground),
    "possible": st.sampled_from(SQUADS).map(piece),
}


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    facts = {name: tuple(draw(st.lists(part, max_size=3, unique_by=lambda c: c.id))) for name, part in PARTS.items()}
    return Situation(**facts, on_line=draw(st.booleans()), found_by=draw(st.sampled_from([None, "se"])))


@given(situations())
def test_no_situation_is_without_exactly_one_squad(situation: Situation) -> None:
    verdict: Verdict = decide(situation, WHO)
    assert verdict.lead in {s.code for s in WHO.squads}
    assert verdict.lead not in verdict.assist
    assert list(verdict.assist) == sorted(set(verdict.assist))
    assert [r.step for r in verdict.reasons] == list(Step)[: list(Step).index(verdict.step) + 1]


@given(situations())
def test_the_order_of_facts_chooses_nobody(situation: Situation) -> None:
    turned = replace(situation, **{name: getattr(situation, name)[::-1] for name in PARTS if name != "direct"})
    assert told(turned) == told(situation)
