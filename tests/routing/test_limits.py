"""Clocks of cases: golden rows a squad leader can read, and what holds whatever is done to a case."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from geodata.layer import LayerName, Row
from geodata.working_days import calendar_of
from routing.case import HELD, WORKED, Action, Actor, Case, Moved, Order, Role, State, received, step
from routing.limits import (
    HANDLED,
    Clock,
    Effect,
    Light,
    LimitRule,
    Limits,
    Move,
    Rung,
    Stage,
    Unit,
    begun,
    calls,
    follow,
    holding,
    light,
    nearest,
    stage_of,
)
from routing.model import SquadCode
from routing.working_time import WorkingCalendar

GOLDEN: Mapping[str, list[dict[str, Any]]] = yaml.load(  # times as they stand, without a zone
    (Path(__file__).parents[1] / "golden" / "clocks.yaml").read_text(encoding="utf-8"), yaml.BaseLoader
)
CHINA = ZoneInfo("Asia/Shanghai")


def calendar(zone: ZoneInfo = CHINA, said: Iterable[Mapping[str, Any]] = ()) -> WorkingCalendar:
    rows = [Row(LayerName.CALENDAR, str(n), typed(facts)) for n, facts in enumerate(said)]
    return calendar_of(rows, zone, datetime(2026, 1, 1, tzinfo=UTC))


def typed(facts: Any) -> Any:
    return {**facts, "announced": [int(year) for year in facts.get("announced", ())]}


def on(text: str, zone: ZoneInfo = CHINA) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def limit(text: str, id_: int = 1, step_: Stage = Stage.HANDLE, **more: Any) -> LimitRule:
    amount, unit = text.split()
    return LimitRule(id_, step_, int(amount), Unit(unit), **more)


# ---- golden rows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", GOLDEN["limits"], ids=lambda row: row["name"])
def test_golden_limit(row: dict[str, Any]) -> None:
    zone = ZoneInfo(row.get("zone", "Asia/Shanghai"))
    clock = begun(limit(row["limit"]), Stage.HANDLE, "A", on(row["from"], zone), calendar(zone, row.get("map", ())))
    assert clock.due_at == on(row["due"], zone), clock.due_at.astimezone(zone)
    if "yellow" in row:
        assert clock.yellow_at == on(row["yellow"], zone), clock.yellow_at.astimezone(zone)
    assert str(clock.assumed_year) == row.get("assumed", "None")


RULES = (
    limit("1 work_days", 1, Stage.SIGN),
    limit("10 work_hours", 2),
    limit("4 work_hours", 3, category="GB30428:0501"),
    limit("4 work_hours", 4, category="GB30428:0101", milestone="stop"),
    limit("5 work_days", 5, category="GB30428:0101", milestone="clear"),
    limit("3 work_hours", 6, Stage.REWORK),
    limit("2 work_days", 7, Stage.RETURN),
    limit("168 hours", 8, Stage.DESIGNATE),
    limit("7 work_hours", 9, Stage.CHECK),
    limit("10 work_days", 10, Stage.WHOLE, channel="12345"),
    limit("2 work_days", 11, Stage.EXTENSION),
)
LADDER = (
    Rung(1, Effect.REMIND, percent=80),
    Rung(2, Effect.URGE, percent=100),
    Rung(3, Effect.NOTICE, late_days=1),
    Rung(4, Effect.SUPERVISE, late_days=5),
    Rung(5, Effect.REMIND, Stage.CHECK, percent=60),
    Rung(6, Effect.URGE, Stage.CHECK, percent=100),
    Rung(7, Effect.REMIND, Stage.REVIEW, percent=100),
)
LIMITS = Limits(RULES, calendar())
DUTY = SquadCode("duty")


def lived(row: Mapping[str, Any]) -> tuple[Clock, ...]:
    """What was done, from the dispatch on; what is needed before it is done a while before."""
    category, channel = row.get("category", "GB30428:0504"), row.get("channel", "phone")
    first = row["do"][0].split()
    at = on(" ".join(first[:2]))
    case = received(SquadCode(first[3]), DUTY)
    clocks = follow((), Move(None, case, "received", at, category, channel), LIMITS)
    for line in ("accept", "register"):
        case, clocks = moved(case, clocks, line, at, [], category, channel)
    for line in row["do"]:
        day, hour, action, *more = line.split()
        said = next((word.partition("=")[2] for word in more if word.startswith("category=")), None)
        if action == "suspend":
            case, clocks = moved(case, clocks, "request_suspension", on(f"{day} {hour}"), more, category, channel)
        case, clocks = moved(case, clocks, action, on(f"{day} {hour}"), more, said or category, channel, said is not None)
        category = said or category
    return clocks


def moved(
    case: Case, clocks: tuple[Clock, ...], action: str, at: datetime, more: list[str], category: str, channel: str,
    recategorised: bool = False,
) -> tuple[Case, tuple[Clock, ...]]:  # fmt: skip
    """By whoever may."""
    dates = len(more) == 2 and more[0][:2] == "20"
    squad = SquadCode(more[0]) if more and not dates and action != "reach" else None
    for role in Role:
        for of in ({case.holder, squad} if role in (Role.LEADER, Role.MEMBER) else {None}):
            actor = Actor(f"{role} {of} {len(clocks)} {action}", role, of)
            review = on(" ".join(more)) if dates else at + timedelta(days=9)
            milestone = more[0] if action == "reach" else ""
            order = Order(Action(action), actor, at, squad, (), "why", ("photo",), "doc", review, milestone)
            done = step(replace(case, replied=True), order)
            if isinstance(done, Moved):
                move = Move(case, done.case, action, at, category, channel, recategorised, order.milestone, order.review)
                return done.case, follow(clocks, move, LIMITS)
    raise AssertionError((case, action))


def called(clocks: Iterable[Clock]) -> dict[str, Clock]:
    """By their names; `first` is said only where somebody else has a clock, too."""
    clocks = list(clocks)
    squads = {clock.squad for clock in clocks if clock.step in HANDLED}
    out = {}
    for clock in clocks:
        name = " ".join(word for word in (clock.step.value, clock.squad or "", clock.milestone) if word)
        out[name] = clock
        if clock.first and (len(squads) > 1 or (squads and clock.squad not in squads)):
            out["first " + name] = out.pop(name)
    return out


@pytest.mark.parametrize("row", GOLDEN["cases"], ids=lambda row: row["name"])
def test_golden_case(row: dict[str, Any]) -> None:
    clocks, at = lived(row), on(row["at"])
    running = called(clock for clock in clocks if clock.open)
    for name, clock in list(running.items()):  # a hand-over that came back
        if f"first {name}" in row["open"]:
            assert clock.first
            running[f"first {name}"] = running.pop(name)
    seen = {
        name: f"{light(clock, at)} {clock.due_at.astimezone(CHINA):%Y-%m-%d %H:%M}" + (" paused" if clock.paused_at else "")
        for name, clock in running.items()
    }
    assert seen == row["open"]
    if "done" in row:
        assert {name: light(clock, at) for name, clock in called(c for c in clocks if not c.open and c.step in SAID).items()} == row["done"]
    if "due" in row:
        assert nearest(clocks).due_at == on(row["due"])


SAID = frozenset(Stage) - {Stage.WHOLE, Stage.ACCEPT, Stage.DISPATCH}


@pytest.mark.parametrize("row", GOLDEN["calls"], ids=lambda row: row["name"])
def test_golden_call(row: dict[str, Any]) -> None:
    told = {rung.effect.value: at for clock in lived(row) for at, rung in calls(clock, LADDER, LIMITS.calendar)}
    assert {name: f"{at.astimezone(CHINA):%Y-%m-%d %H:%M}" for name, at in told.items()} == row["calls"]


def test_there_are_enough_of_them_and_each_is_named_once() -> None:
    names = [row["name"] for rows in GOLDEN.values() for row in rows]
    assert len(names) == len(set(names)) >= 60


# ---- which row holds -------------------------------------------------------------------------------------------------

ANY = limit("1 hours", 1)
OF_CHANNEL = limit("2 hours", 2, channel="12345")
OF_SCHEME = limit("3 hours", 3, scheme="GB30428")
OF_BOTH = limit("4 hours", 4, scheme="GB30428", channel="12345")
OF_CATEGORY = limit("5 hours", 5, category="GB30428:0501")
OF_ALL = limit("6 hours", 6, category="GB30428:0501", channel="12345")
IN_ORDER = (ANY, OF_CHANNEL, OF_SCHEME, OF_BOTH, OF_CATEGORY, OF_ALL)


def test_the_most_specific_row_holds_whatever_the_order_of_the_rows() -> None:
    rows = list(IN_ORDER)
    for n in range(len(IN_ORDER), 0, -1):
        random.Random(n).shuffle(rows)
        left = [row for row in rows if row in IN_ORDER[:n]]
        assert holding(left, Stage.HANDLE, "GB30428:0501", "12345") == (IN_ORDER[n - 1],)
    assert holding(rows, Stage.HANDLE, "GB30428:0502", "phone") == (OF_SCHEME,)
    assert holding(rows, Stage.HANDLE, "CITY:1", "12345") == (OF_CHANNEL,)
    assert holding(rows, Stage.HANDLE, "CITY:1", "phone") == (ANY,)
    assert holding(rows, Stage.CHECK, "CITY:1", "phone") == ()


def test_rework_goes_by_handling_until_it_has_a_row_of_its_own() -> None:
    own = limit("9 hours", 9, Stage.REWORK)
    assert holding(IN_ORDER, Stage.REWORK, "GB30428:0501", "12345") == (OF_ALL,)
    assert holding((*IN_ORDER, own), Stage.REWORK, "GB30428:0501", "12345") == (own,)


def test_milestones_of_one_kind_hold_together_and_never_with_others() -> None:
    stop, clear = (limit("1 hours", n, category="GB30428:0101", milestone=name) for n, name in ((7, "stop"), (8, "clear")))
    rows = (ANY, limit("1 hours", 9, milestone="other"), stop, clear)
    assert holding(rows, Stage.HANDLE, "GB30428:0101", "phone") == (clear, stop)


# ---- what holds whatever is done -------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["GB30428:0101", "GB30428:0501", "GB30428:0504"]), st.sampled_from(["phone", "12345"]))
def test_whatever_is_done_to_a_case(seed: int, category: str, channel: str) -> None:
    """Long lives of cases, at random: what stands still does so by the case's state, nothing limited is without its clock."""
    rng, at = random.Random(seed), on("2026-09-25 10:00")
    squads = [SquadCode("A"), SquadCode("B"), DUTY]
    case = received(squads[0], DUTY)
    clocks = follow((), Move(None, case, "received", at, category, channel), LIMITS)
    handled_by: set[str] = set()
    actions: set[Action] = set()
    for _ in range(40):
        at += timedelta(minutes=rng.choice([1, 30, 300, 3_000]))
        actors = [Actor(f"{role} {squad} {rng.random()}", role, squad if role in (Role.LEADER, Role.MEMBER) else None)
                  for role in Role for squad in squads]  # fmt: skip
        milestone = rng.choice(["stop", "clear", "x"])
        orders = [
            Order(action, actor, at, rng.choice(squads), tuple(squads), "why", ("photo",), "doc", at + timedelta(days=3), milestone)
            for action in Action for actor in rng.sample(actors, 6)
        ]  # fmt: skip
        done = next((d for d in (step(case, o) for o in rng.sample(orders, len(orders))) if isinstance(d, Moved)), None)
        if done is None:
            continue
        order = done.event.order
        actions.add(order.action)
        before, old = case, {(c.step, c.squad, c.milestone, c.first, c.started_at): c for c in clocks}
        case = done.case
        clocks = follow(clocks, Move(before, case, order.action, at, category, channel, milestone=milestone, review=order.review), LIMITS)
        running = [c for c in clocks if c.open]
        assert len({(c.step, c.squad, c.milestone) for c in running}) == len(running), "two clocks of one thing"
        assert {c.paused_at is not None for c in running if c.step is not Stage.REVIEW} <= {case.state is State.SUSPENDED}
        if not case.open:
            assert not running
            handled_by = set()
        stage = stage_of(case)
        if stage in HANDLED and case.state in WORKED:
            mine = [c for c in clocks if c.squad == case.holder and c.step in HANDLED and (c.open or c.outcome == Action.REACH)]
            assert mine, "handled without a limit"
            handled_by.add(case.holder)
        elif case.state not in HELD:
            handled_by = set()
        if handled_by and category != "GB30428:0101":
            assert sum(c.first for c in running if c.step in HANDLED) == 1, "the first clock runs on"
        for clock in clocks:
            was = old.get((clock.step, clock.squad, clock.milestone, clock.first, clock.started_at))
            if was is not None and not was.open:
                assert clock == was, "what has stopped is not touched"
            if was is not None and clock.due_at != was.due_at:
                assert clock.due_at > was.due_at, "no limit becomes shorter"
            if clock.open and clock.paused_at is None and clock.rule in (2, 3, 6) and not case.extension_asked:
                worked = LIMITS.calendar.between(clock.started_at, clock.due_at) - clock.paused_for
                asked = timedelta(hours=RULES[clock.rule - 1].amount)
                assert worked == asked or (worked > asked and Action.GRANT_EXTENSION in actions), "the time worked is the time allowed"


def test_the_light_of_a_clock_that_stopped_is_that_of_its_end() -> None:
    clock = begun(limit("10 work_hours"), Stage.HANDLE, "A", on("2026-11-18 15:00"), LIMITS.calendar)
    assert light(clock, on("2030-01-01 00:00")) is Light.RED
    assert light(replace(clock, stopped_at=on("2026-11-19 09:00")), on("2030-01-01 00:00")) is Light.GREEN
    assert light(replace(clock, paused_at=on("2026-11-19 16:30")), on("2030-01-01 00:00")) is Light.YELLOW
