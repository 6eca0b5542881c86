"""The states of a case, explored to the last: one holder at every instant, and nothing that the table does not allow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from routing.case import (
    ATTEMPTS,
    ENDED,
    HELD,
    INTAKE,
    OPEN,
    REPLIES,
    TRANSITIONS,
    VISITS,
    Action,
    Actor,
    Case,
    Moved,
    Order,
    Outcome,
    Refused,
    Role,
    State,
    Why,
    allowed,
    received,
    step,
)
from routing.model import SquadCode

pytestmark = pytest.mark.slow  # the world of all cases is half a minute's work, for each of the processes that test

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ONE, TWO, DUTY = (SquadCode(c) for c in ("one", "two", "duty"))
SQUADS = ONE, TWO, DUTY
ACTORS = (
    *(Actor(f"{role}-{squad}", role, squad) for role in (Role.LEADER, Role.MEMBER) for squad in SQUADS),
    *(Actor(role.value, role) for role in Role if role not in (Role.LEADER, Role.MEMBER)),
)
BY_ORDER = {Action.DISPATCH, Action.ACCEPT_RETURN, Action.DESIGNATE, Action.TRANSFER, Action.REROUTE}
"""A dispatcher's, that change the holder."""


OUTCOMES = {Action.REPLY: sorted(REPLIES), Action.FOLLOW_UP: sorted(VISITS)}


def orders() -> Iterator[Order]:
    """Everything that anybody may ask, with all that it takes."""
    for actor, action in product(ACTORS, Action):
        full = Order(action, actor, NOW, None, (), "because", ("photo.jpg",), "doc 1", NOW + timedelta(days=3), "stop")
        for squad in SQUADS:
            for outcome in OUTCOMES.get(action, (None,)):
                yield replace(full, squad=squad, squads=(squad,), outcome=outcome)


ORDERS = tuple(orders())


def seen(case: Case) -> Case:
    """Counters that may grow for ever, cut where nothing depends on them any more; what is only remembered, left out."""
    replied = case.replied or case.attempts >= ATTEMPTS  # nothing tells the two apart
    return replace(
        case, returns=min(case.returns, 2), supervisions=min(case.supervisions, 1), rework=0, lead=ONE, joint=(), replied=replied,
        attempts=0 if replied else case.attempts,
    )  # fmt: skip


TABLE = {(s, t.action, r) for t in TRANSITIONS for s in t.sources for r in t.who}
IN_STATE = {state: [o for o in ORDERS if (state, o.action, o.actor.role) in TABLE] for state in State}
"""A test shows that all other orders are refused."""


def explored() -> dict[Case, list[tuple[Order, Moved]]]:
    """Every case there can be, and all that can be done to it."""
    found: dict[Case, list[tuple[Order, Moved]]] = {}
    new = [received(ONE, DUTY)]
    while new:
        case = new.pop()
        if case in found:
            continue
        found[case] = [(o, m) for o in IN_STATE[case.state] if isinstance(m := step(case, o), Moved)]
        new += [seen(m.case) for _, m in found[case]]
    return found


def some(world: dict[Case, list[tuple[Order, Moved]]]) -> dict[Case, list[tuple[Order, Moved]]]:
    """Every nineteenth case, and of each state the first."""
    first = {c.state: c for c in reversed(world)}.values()
    return {c: world[c] for c in dict.fromkeys((*first, *list(world)[::19]))}


@pytest.fixture(scope="module")
def world() -> dict[Case, list[tuple[Order, Moved]]]:
    return explored()


def test_all_states_occur_and_every_open_case_can_be_closed(world: dict[Case, list[tuple[Order, Moved]]]) -> None:
    print(f"{len(world):,} cases, {sum(map(len, world.values())):,} moves")
    assert {c.state for c in world} == set(State)
    back: dict[Case, set[Case]] = {}
    for case, moves in world.items():
        for _, moved in moves:
            back.setdefault(seen(moved.case), set()).add(case)
    closable, new = set(), [c for c in world if c.state is State.CLOSED]
    while new:
        case = new.pop()
        if case not in closable:
            closable.add(case)
            new += back.get(case, ())
    assert all(c in closable for c in world if c.open)


def test_it_changes_hands_by_order_or_by_the_takers_own_signature(world: dict[Case, list[tuple[Order, Moved]]]) -> None:
    for case, moves in world.items():
        for order, moved in moves:
            assert moved.case.holder in SQUADS
            assert (moved.event.holder_before, moved.event.holder_after) == (case.holder, moved.case.holder)
            if moved.case.holder == case.holder:
                continue
            if order.action is Action.TAKE_OVER:
                assert order.actor.squad == case.offered == moved.case.holder
            else:
                assert order.action in BY_ORDER
                assert order.actor.role in (Role.DISPATCHER, Role.OPERATOR)
            assert case.state in INTAKE | HELD  # what is reported or closed stays where it is


def test_before_it_is_dispatched_the_duty_squad_holds_it(world: dict[Case, list[tuple[Order, Moved]]]) -> None:
    assert all(c.holder == DUTY for c in world if c.state in INTAKE)


def test_no_squad_can_end_a_case_or_get_rid_of_it(world: dict[Case, list[tuple[Order, Moved]]]) -> None:
    for case, moves in world.items():
        for order, moved in moves:
            if order.actor.squad is not None and case.open:
                assert moved.case.state in OPEN
                if order.actor.squad == case.holder:
                    assert moved.case.holder == case.holder


def test_nobody_checks_what_he_handled_and_nothing_closes_unanswered(world: dict[Case, list[tuple[Order, Moved]]]) -> None:
    for moves in world.values():
        for order, moved in moves:
            if order.action is Action.CLOSE:
                assert moved.case.replied or moved.case.attempts >= ATTEMPTS
                assert not moved.case.parts
                assert not moved.case.supervisions
    reported = Case(State.FEEDBACK, ONE, ONE, DUTY, handler="Li", replied=True)
    for role in (Role.DISPATCHER, Role.SUPERVISOR):
        assert step(reported, Order(Action.TAKE_TO_CHECK, Actor("Li", role), NOW)) == Refused(
            Why.OWN_WORK, reported, Actor("Li", role)
        )


def test_who_was_called_three_times_in_vain_need_not_have_been_answered() -> None:
    desk, checker = Actor("d", Role.DISPATCHER), Actor("c", Role.SUPERVISOR)
    case, close = Case(State.CHECKING, ONE, ONE, DUTY, handler="Li"), Order(Action.CLOSE, checker, NOW)
    call = Order(Action.REPLY, desk, NOW, reason="no answer", outcome=Outcome.NOT_REACHED)
    for attempts in range(ATTEMPTS):
        assert step(case, close) == Refused(Why.NOT_REPLIED, case, checker)
        case = done(case, call)
        assert (case.attempts, case.replied) == (attempts + 1, False)
    assert done(case, close).state is State.CLOSED
    assert step(case, replace(call, outcome=Outcome.SATISFIED)) == Refused(Why.NO_OUTCOME, case, desk)


def test_who_is_not_satisfied_has_it_opened_again_once() -> None:
    desk = Actor("d", Role.OPERATOR)
    case, visit = Case(State.CLOSED, ONE, ONE, DUTY, replied=True, attempts=1), Order(Action.FOLLOW_UP, desk, NOW, reason="asked")
    assert step(case, visit) == Refused(Why.NO_OUTCOME, case, desk)
    assert step(case, replace(visit, outcome=Outcome.ANSWERED)) == Refused(Why.NO_OUTCOME, case, desk)
    for outcome in VISITS - {Outcome.DISSATISFIED}:
        assert done(case, replace(visit, outcome=outcome)) == replace(case, state=State.FOLLOWED_UP)
    again = done(case, replace(visit, outcome=Outcome.DISSATISFIED))
    assert again == replace(case, state=State.HANDLING, reopened=1, replied=False, attempts=0)
    second = replace(again, state=State.CLOSED, replied=True)
    assert done(second, replace(visit, outcome=Outcome.DISSATISFIED)) == replace(second, state=State.FOLLOWED_UP)


def test_the_second_request_to_return_goes_to_designation_by_itself() -> None:
    leader, desk = Actor("l", Role.LEADER, ONE), Actor("d", Role.DISPATCHER)
    ask = Order(Action.REQUEST_RETURN, leader, NOW, reason="not ours", evidence=("map.png",))
    case = done(Case(State.DISPATCHED, ONE, ONE, DUTY), ask)
    assert (case.state, case.holder) == (State.RETURN_REQUESTED, ONE)
    case = done(case, Order(Action.REJECT_RETURN, desk, NOW, reason="it is"))
    case = done(case, ask)
    assert (case.state, case.holder) == (State.DESIGNATING, ONE)
    ruling = Order(Action.DESIGNATE, desk, NOW, TWO, reason="met on site", document="[2026] 3")
    assert (done(case, ruling).state, done(case, ruling).holder) == (State.DISPATCHED, TWO)
    assert step(case, replace(ruling, document=" ")) == Refused(Why.NO_DOCUMENT, case, desk)


def done(case: Case, order: Order) -> Case:
    moved = step(case, order)
    assert isinstance(moved, Moved), moved
    return moved.case


def test_what_is_allowed_is_what_succeeds(world: dict[Case, list[tuple[Order, Moved]]]) -> None:
    """For every case and actor: the actions told are those that some order carries out."""
    for case, moves in some(world).items():
        able: dict[Actor, set[Action]] = {actor: set() for actor in ACTORS}
        for order, _ in moves:
            able[order.actor].add(order.action)
        assert {actor: set(allowed(case, actor)) for actor in ACTORS} == able, case


def test_what_is_not_in_the_table_is_refused_with_what_is_allowed(world: dict[Case, list[tuple[Order, Moved]]]) -> None:
    states = {c.state: c for c in world}
    for state, case in states.items():
        for order in ORDERS:
            answer = step(case, order)
            if (state, order.action, order.actor.role) not in TABLE:
                assert isinstance(answer, Refused)
                assert answer.why in (Why.NOT_NOW, Why.NOT_THIS_ROLE)
                assert answer.allowed == allowed(case, order.actor)


def test_each_row_of_the_table_is_one_row_and_can_happen(world: dict[Case, list[tuple[Order, Moved]]]) -> None:
    rows = [(s, t.action, r) for t in TRANSITIONS for s in t.sources for r in t.who]
    assert len(rows) == len(set(rows))
    happened = {(c.state, o.action, o.actor.role) for c, moves in world.items() for o, _ in moves}
    assert set(rows) == happened


WANTING = {
    Why.NO_REASON: {"reason": " "},
    Why.NO_EVIDENCE: {"evidence": ()},
    Why.NO_DOCUMENT: {"document": ""},
    Why.NO_SQUAD: {"squad": None},
    Why.NO_OTHERS: {"squads": ()},
    Why.NO_REVIEW: {"review": NOW},
    Why.NO_MILESTONE: {"milestone": " "},
    Why.NO_OUTCOME: {"outcome": None},
}


@pytest.mark.parametrize("why", WANTING, ids=str)
def test_an_order_that_wants_something_is_refused_for_that(why: Why, world: dict[Case, list[tuple[Order, Moved]]]) -> None:
    refused = set()
    for case, moves in some(world).items():
        for order, _ in moves:
            answer = step(case, replace(order, **WANTING[why]))
            if isinstance(answer, Refused):
                assert answer.why is why
                refused.add(order.action)
    assert refused


def test_an_ended_case_is_touched_by_nobody_but_to_follow_up_and_reopen_once(world: dict[Case, list[tuple[Order, Moved]]]) -> None:
    after = {Action.FOLLOW_UP, Action.REOPEN, Action.ARCHIVE}
    for case, moves in world.items():
        if case.state in ENDED:
            assert {o.action for o, _ in moves} <= after
        if case.reopened:
            assert Action.REOPEN not in {o.action for o, _ in moves}


def test_two_cases_and_three_squads_to_depth_twelve(world: dict[Case, list[tuple[Order, Moved]]]) -> None:
    """Each order is about one case: the pairs reached are all pairs whose depths add up to twelve or less."""
    depth, frontier = {received(ONE, DUTY): 0}, [received(ONE, DUTY)]
    for level in range(1, 13):
        frontier = [c for c in dict.fromkeys(seen(m.case) for f in frontier for _, m in world[f]) if c not in depth]
        depth |= dict.fromkeys(frontier, level)
    at = [sum(d == level for d in depth.values()) for level in range(13)]
    pairs = sum(a * b for i, a in enumerate(at) for j, b in enumerate(at) if i + j <= 12)
    print(f"{len(depth):,} cases within twelve moves, {pairs:,} pairs")
    assert all(c.holder in SQUADS for c in depth)
