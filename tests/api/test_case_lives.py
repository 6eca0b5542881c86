"""Random lives of cases through the service, on both databases, beside the state machine as a pure value.

Whatever is ordered by whomever: the service does what `routing.case.step` says of the same case, or refuses for the same reason and
names the same ways on; and in every row ever committed each open case has exactly one holder, at every instant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from api.store.setup import opened
from api.store.tables import CaseFile, Event, Holding, Part
from routing.case import OPEN, Action, Actor, Case, Moved, Order, Outcome, Role, State, allowed, received, step
from routing.model import SquadCode
from tests.api.live import live, published
from tests.api.staff import Office, Staff
from tests.db.conftest import NewUrl

pytestmark = pytest.mark.slow  # minutes, most of them spent in making and starting things

SQUADS = ("su00", "su01", "su02")
REVIEW = datetime(2030, 1, 1, tzinfo=UTC)
PLACES = {"su00": (500, 500), "su01": (1_500, 500), "su02": (2_500, 500)}


def crew(office: Office) -> list[tuple[Staff, Actor]]:
    """Clients, and the same people as the state machine knows them."""
    people = [office.operator, office.dispatcher, office.checker, office.supervisor]
    people += [make(squad) for squad in SQUADS for make in (office.leader, office.member)]
    return [(p, Actor(p.name, Role(p.role), None if p.squad is None else SquadCode(p.squad))) for p in people]


def lives(office: Office, audit: Callable[[str], None]) -> type[RuleBasedStateMachine]:
    people = crew(office)

    class Lives(RuleBasedStateMachine):
        """Two cases at a time, and everybody who may lay hands on them."""

        @initialize(first=st.sampled_from(SQUADS), second=st.sampled_from(SQUADS))
        def begin(self, first: str, second: str) -> None:
            self.models: dict[str, Case] = {}
            self.versions: dict[str, int] = {}
            for squad in (first, second):
                number = office.operator.take(*PLACES[squad])["number"]
                self.models[number] = received(SquadCode(squad), SquadCode("su00"))
                self.versions[number] = 1

        @rule(
            which=st.integers(0, 1), action=st.sampled_from(Action), person=st.integers(0, len(people) - 1),
            squad=st.sampled_from([None, *SQUADS]), brought=st.booleans(),
        )  # fmt: skip
        def order(self, which: int, action: Action, person: int, squad: str | None, brought: bool) -> None:
            if action is not Action.REROUTE:
                self.do(which, action, person, squad, brought)

        @precondition(lambda self: any(case.open for case in self.models.values()))
        @rule(which=st.integers(0, 1), pick=st.integers(0, 10**6), squad=st.sampled_from(SQUADS))
        def go_on(self, which: int, pick: int, squad: str) -> None:
            """One of the orders that are allowed, so that lives grow long."""
            case = list(self.models.values())[which]
            ways = [(a, k) for k, (_, actor) in enumerate(people) for a in allowed(case, actor) if a is not Action.REROUTE]
            if ways:
                self.do(which, *ways[pick % len(ways)], squad, True)

        def do(self, which: int, action: Action, person: int, squad: str | None, brought: bool) -> None:
            number, case = list(self.models.items())[which]
            staff, actor = people[person]
            words: dict[str, Any] = {"reason": "理由", "document": "文 1"} if brought else {}
            said = {**words, "evidence": ["照片"]} if brought else words
            squads = [] if squad is None else [squad]
            outcome = None
            if brought and action is Action.FOLLOW_UP:
                outcome = Outcome.DISSATISFIED if squad == SQUADS[0] else Outcome.SATISFIED
            ordered = Order(
                action, actor, datetime.now(UTC), None if squad is None else SquadCode(squad), tuple(map(SquadCode, squads)),
                words.get("reason", ""), ("照片",) if brought else (), words.get("document", ""), REVIEW if brought else None,
                outcome=outcome,
            )  # fmt: skip
            wanted = step(case, ordered)
            body = {"action": action.value, "seen": self.versions[number], "squads": squads, **said}
            body |= {"squad": squad} if squad is not None else {}
            body |= {"review": REVIEW.isoformat()} if brought else {}
            body |= {} if outcome is None else {"outcome": outcome.value}
            answer = staff.http.post(f"/api/v1/cases/{number}/actions", json=body)
            told = answer.json()
            if answer.status_code == 404:  # a squad that has nothing to do with it
                assert staff.squad is not None
                assert not isinstance(wanted, Moved)
                return
            if isinstance(wanted, Moved):
                assert answer.status_code == 200, (wanted, told)
                assert (told["state"], told["holder"]) == (wanted.case.state.value, wanted.case.holder)
                assert (tuple(told["parts"]), told["returns"]) == (wanted.case.parts, wanted.case.returns)
                self.models[number], self.versions[number] = wanted.case, told["version"]
                assert told["version"] == int(answer.headers["etag"].strip('"'))
            else:
                assert answer.status_code == 409, (wanted.why, told)
                assert told["facts"]["why"] == wanted.why.value
                assert told["facts"]["allowed"] == [a.value for a in wanted.allowed]

        @invariant()
        def one_holder(self) -> None:
            for number, case in getattr(self, "models", {}).items():
                told = office.supervisor.get(f"/api/v1/cases/{number}/holdings")["holdings"]
                now = [h["squad"] for h in told if h["until"] is None]
                assert now == ([case.holder] if case.open else [])

        def teardown(self) -> None:
            for number in getattr(self, "models", {}):
                audit(number)

    return Lives


def audited(url: str, number: str) -> None:
    """From the rows alone: holdings without gap or overlap, as the record tells who held it, and one holder among the parts."""
    with opened(url) as db, db.reading() as session:
        row = session.scalars(sa.select(CaseFile).where(CaseFile.number == number)).one()
        held = list(session.scalars(sa.select(Holding).where(Holding.case_id == row.id).order_by(Holding.since)))
        events = list(session.scalars(sa.select(Event).where(Event.case_id == row.id).order_by(Event.id)))
        holders = session.scalars(sa.select(Part.squad).where(Part.case_id == row.id, Part.part == "holds")).all()
    assert holders == [row.holder]
    wanted: list[list[Any]] = [[events[0].body["holder"], events[0].at, None]]
    is_open = True
    for event in events[1:]:
        after = event.body["after"]
        opens = State(after["state"]) in OPEN
        if is_open and (not opens or after["holder"] != wanted[-1][0]):
            wanted[-1][2] = event.at
        if opens and (not is_open or after["holder"] != wanted[-1][0]):
            wanted.append([after["holder"], event.at, None])
        is_open = opens
    assert [[h.squad, h.since, h.until] for h in held] == wanted
    assert [e.body.get("version") for e in events] == list(range(1, row.version + 1))
    assert all(b.at > a.at for a, b in pairwise(events))


@contextmanager
def at_work(url: str) -> Iterator[Office]:
    published(url)
    clock = iter(datetime(2026, 11, 20, tzinfo=UTC) + timedelta(seconds=k) for k in range(10**9))
    with live(url, now=lambda: next(clock)) as base:
        yield Office(base)


def hold(url: str, examples: int, steps: int) -> None:
    with at_work(url) as office:
        run_state_machine_as_test(
            lives(office, lambda number: audited(url, number)),
            settings=settings(
                max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck),
                phases=(Phase.generate, Phase.shrink),
            ),
        )  # fmt: skip


def test_g4_exactly_one_holder_whatever_is_ordered(new_url: NewUrl) -> None:
    hold(new_url(initialised=True), 12, 40)


@pytest.mark.full
def test_g4_many_long_lives(new_url: NewUrl) -> None:
    hold(new_url(initialised=True), 1_500, 60)
