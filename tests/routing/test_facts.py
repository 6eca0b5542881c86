"""A case as the figures know it, beside a slow reading of its whole story, over random lives by the state machine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import facts
from routing.case import HELD, OPEN, Action, Actor, Case, Moved, Order, Role, State, allowed, received, step
from routing.facts import BASES, SUMS, Beside, begun, cells, change, counted, fold, lived
from routing.model import SquadCode

SQUADS = tuple(SquadCode(s) for s in ("A", "B", "C"))
DUTY = SquadCode("D")
START = datetime(2026, 3, 28, 20, tzinfo=UTC)
PEOPLE = (
    *(Actor(role.value, role) for role in (Role.OPERATOR, Role.DISPATCHER, Role.SUPERVISOR)), Actor("second", Role.DISPATCHER),
    *(Actor(f"leader {s}", Role.LEADER, s) for s in (*SQUADS, DUTY)),
)  # fmt: skip
ONWARD = {
    Action.ACCEPT, Action.REGISTER, Action.DISPATCH, Action.SIGN, Action.REPORT, Action.TAKE_TO_CHECK, Action.FAIL, Action.REPLY,
    Action.CLOSE, Action.REOPEN,
}  # fmt: skip
"""What takes a case on: left to chance alone, few stories would come to an end."""
Told = list[tuple[datetime, dict[str, Any]]]


def decision(lead: str, step_: str = "border", assist: tuple[str, ...] = ("B",), runner: str | None = "B") -> dict[str, Any]:
    return {"squad": lead, "step": step_, "assist": list(assist), "runner_up": runner, "place": {"wgs84": [113.6, 34.8]}}


@st.composite
def stories(draw: st.DrawFn) -> Told:
    """Entries as the service writes them."""
    case, at = received(SQUADS[0], DUTY), START
    told: Told = [(at, {"state": case.state.value, "holder": case.holder, "category": "x", "decision": decision("A")})]
    for _ in range(draw(st.integers(0, 30))):
        ways = [(actor, action) for actor in PEOPLE for action in allowed(case, actor)]
        if not ways:
            break
        onward = [way for way in ways if way[1] in ONWARD]
        actor, action = draw(st.sampled_from(onward if onward and draw(st.integers(0, 4)) else ways))
        at += timedelta(milliseconds=draw(st.integers(1, 10**8)))
        squad = draw(st.sampled_from(SQUADS)) if action is not Action.DISPATCH else None
        order = Order(action, actor, at, squad, SQUADS, "x", ("x",), "1", at + timedelta(days=1))
        done = step(case, order)
        if isinstance(done, Moved):
            told.append((at, entry(case, done.case, action, draw(st.sampled_from(("border", "own_ground", "case_order"))))))
            case = done.case
    return told


def entry(before: Case, after: Case, action: Action, how: str) -> dict[str, Any]:
    said = {"state": before.state.value, "holder": before.holder, "category": "x"}
    body = {"action": action.value, "before": said, "after": said | {"state": after.state.value, "holder": after.holder}}
    return body | ({"decision": decision(after.lead, how)} if action is Action.REROUTE else {})


def slowly(told: Told, of: frozenset[State] | set[State]) -> int:
    """Thousandths of seconds spent in some states, from entry to entry."""
    total = 0
    for (begin, body), (end, _) in pairwise(told):
        state = State(body["after"]["state"] if "after" in body else body["state"])
        total += (facts.ms(end) - facts.ms(begin)) if state in of else 0
    return total


@given(stories())
def test_a_fact_is_what_a_slow_reading_of_the_story_says(told: Told) -> None:
    life = fold(told)
    actions = [(at, body["action"]) for at, body in told[1:]]
    sent = next((k for k, (_, body) in enumerate(told) if body.get("action") == "dispatch"), None)
    holders = [body["after"]["holder"] if "after" in body else body["holder"] for _, body in told]
    assert life.hops == (0 if sent is None else sum(a != b for a, b in zip(holders[sent:], holders[sent + 1 :], strict=False)))
    assert life.first_squad == (None if sent is None else holders[sent])
    assert (life.open_ms, life.handling_ms) == (slowly(told, OPEN), slowly(told, HELD - {State.SUSPENDED}))
    assert life.disputed_ms == slowly(told, {State.RETURN_REQUESTED, State.DESIGNATING})
    assert (life.returns, life.rework) == tuple(sum(a == name for _, a in actions) for name in ("request_return", "fail"))
    undone = max((k for k, (_, a) in enumerate(actions) if a in ("fail", "reopen")), default=-1)
    reports = [at for k, (at, a) in enumerate(actions) if a == "report" and k > undone]
    assert life.handled_at == (reports[-1] if reports else None)
    closed = life.state in (State.CLOSED, State.FOLLOWED_UP, State.ARCHIVED)
    assert (life.closed_at is not None) == closed
    assert life.disputed_at == next((at for at, b in told[1:] if b["after"]["state"] in ("return_requested", "designating")), None)


@given(stories(), st.integers(0, 30), st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/New_York"]))
def test_step_by_step_or_all_at_once_is_the_same(told: Told, at: int, zone: str) -> None:
    """And the sums of what changed each time are those of the whole."""
    half = fold(told[: at % len(told) + 1])
    for when, body in told[at % len(told) + 1 :]:
        half = lived(half, when, body)
    assert half == fold(told)
    beside = Beside(START + timedelta(hours=30), None, 0, True, False)
    summed: dict[Any, dict[str, int]] = {}
    life, before = begun(*told[0]), {}
    for when, body in (None, None), *told[1:]:
        life = life if when is None or body is None else lived(life, when, body)
        after = cells(life, counted(life, beside, ZoneInfo(zone)), apart=False)
        for cell, sums in change(before, after).items():
            for name, value in sums.items():
                summed.setdefault(cell, dict.fromkeys(SUMS, 0))[name] += value
        before = after
    whole = {cell: dict.fromkeys(SUMS, 0) | sums for cell, sums in before.items()}
    assert {cell: sums for cell, sums in summed.items() if any(sums.values())} == whole


@pytest.mark.parametrize(
    ("made", "stretch", "border"),
    [
        (decision("B", assist=("A", "C"), runner="C"), "B|C", True),  # the nearest of those who assist
        (decision("B", assist=("A", "C"), runner="X"), "A|B", True),  # ... the first, if the runner-up is none of them
        (decision("B", "nearest", assist=(), runner="A"), "A|B", True),
        (decision("B", "disputed", assist=(), runner=None), "", True),
        (decision("B", "border", assist=(), runner="B"), "", True),
        (decision("B", "own_ground", assist=(), runner="A"), "", False),
        (decision("B", "designated", assist=("A",), runner="A"), "", False),
    ],
)
def test_between_whom_a_place_lies(made: dict[str, Any], stretch: str, border: bool) -> None:
    life = begun(START, {"state": "received", "holder": "D", "category": "x", "decision": made})
    assert (life.stretch, life.border) == (stretch, border)


def test_a_superiors_word_for_the_case_says_nothing_of_its_place() -> None:
    came = {"state": "received", "holder": "D", "category": "x", "decision": decision("A")}
    after = {"state": "received", "holder": "D", "category": "y"}
    moved = lived(begun(START, came), START, {"action": "reroute", "after": after, "decision": decision("C", "case_order", ())})
    assert (moved.stretch, moved.border, moved.category) == ("A|B", True, "y")


def test_each_basis_names_what_there_is() -> None:
    names = set(facts.Counted.__dataclass_fields__)
    assert all(basis.day in names and set(basis.sums) <= names for basis in BASES)
    assert len({basis.name for basis in BASES}) == len(BASES)
