"""Limits of time: which one holds, and what a case's clocks are after each of its moves.

    limits = Limits(rules in force, calendar)
    clocks = follow(clocks, Move(before, after, "sign", at, category, channel), limits)
    light(clock, now)                                    green, yellow from 80 % on, red when it is late
    calls(clock, rungs, calendar)                        when to remind, to urge, to give notice, to call supervision

A limit holds for a step of the loop; of the rows that fit, those of the most specific kind hold, all milestones of that kind together:

    a row for the step itself        before one for the step it stands in for (rework: handling)
    then one that names the category before one that names a scheme of categories, before one for all
    then one that names the channel  before one for all channels

A suspended case's clocks stand still. Who is handed a case gets the limit of his own; the first clock of its handling runs on beside it.
Values only: no clock, no store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from routing.case import HELD, Action, Case, State
from routing.working_time import NOTHING, WorkingCalendar


class Stage(StrEnum):
    """What a limit is for: a step of the loop, the whole of it (`whole`), or how much an extension gives (`extension`).

    `review`: a suspended case until the date somebody set.
    """

    ACCEPT = "accept"
    DISPATCH = "dispatch"
    SIGN = "sign"
    HANDLE = "handle"
    REWORK = "rework"
    RETURN = "return"
    DESIGNATE = "designate"
    CHECK = "check"
    REVIEW = "review"
    WHOLE = "whole"
    EXTENSION = "extension"


STAGES: Mapping[State, Stage] = {
    State.RECEIVED: Stage.ACCEPT,
    State.VERIFYING: Stage.ACCEPT,
    State.ACCEPTED: Stage.DISPATCH,
    State.REGISTERED: Stage.DISPATCH,
    State.DISPATCHED: Stage.SIGN,
    State.HANDLING: Stage.HANDLE,
    State.JOINT_HANDLING: Stage.HANDLE,
    State.RETURN_REQUESTED: Stage.RETURN,
    State.DESIGNATING: Stage.DESIGNATE,
    State.SUSPENDED: Stage.REVIEW,
    State.FEEDBACK: Stage.CHECK,
    State.CHECKING: Stage.CHECK,
}
"""Which step an open case is in."""

HANDLED = frozenset({Stage.HANDLE, Stage.REWORK})
BY_A_SQUAD = HANDLED | {Stage.SIGN}
"""The rest is the desk's to do."""
STANDS_IN: Mapping[Stage, Stage] = {Stage.REWORK: Stage.HANDLE}


class Unit(StrEnum):
    """What is counted: hours of work; working days, the day it begins not among them, to the end of the last; or hours, day and night."""

    WORK_HOURS = "work_hours"
    WORK_DAYS = "work_days"
    HOURS = "hours"


class Light(StrEnum):
    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


class Effect(StrEnum):
    """What is done about a clock that runs out."""

    REMIND = "remind"
    URGE = "urge"
    NOTICE = "notice"
    SUPERVISE = "supervise"


@dataclass(frozen=True, slots=True)
class LimitRule:
    """A limit in force. None: whichever. `milestone`: of what is done in stages, each with a limit of its own; else empty."""

    id: int
    step: Stage
    amount: int
    unit: Unit
    scheme: str | None = None
    category: str | None = None
    channel: str | None = None
    milestone: str = ""


@dataclass(frozen=True, slots=True)
class Rung:
    """A step of the ladder of reminders: at so many percent of the limit, or when the n-th working day after the day it ran out begins."""

    id: int
    effect: Effect
    step: Stage | None = None
    percent: int | None = None
    late_days: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What clocks are set by."""

    rules: tuple[LimitRule, ...]
    calendar: WorkingCalendar


@dataclass(frozen=True, slots=True)
class Clock:
    """A limit that runs, or ran. `id` 0: new. `squad` None: the desk's. `outcome`: the action that stopped it.

    `first`: of the handling, whoever has the case since. `all_day`: counted day and night. `told`: rungs that were taken.
    `paused_for`: how long it stood still before it ran out, `paused_late`: after; in the time it counts, `paused_late` in working time.
    `assumed_year`: its holidays had not been announced when the clock was set.
    """

    step: Stage
    squad: str | None
    started_at: datetime
    yellow_at: datetime
    due_at: datetime
    rule: int | None = None
    milestone: str = ""
    first: bool = False
    all_day: bool = False
    paused_at: datetime | None = None
    paused_for: timedelta = NOTHING
    paused_late: timedelta = NOTHING
    stopped_at: datetime | None = None
    outcome: str | None = None
    told: tuple[int, ...] = ()
    assumed_year: int | None = None
    id: int = 0

    @property
    def open(self) -> bool:
        """Not stopped; it may stand still."""
        return self.stopped_at is None


@dataclass(frozen=True, slots=True)
class Move:
    """What happened to a case. `before` None: it came in. `recategorised`: its limits are those of another category now."""

    before: Case | None
    after: Case
    action: str
    at: datetime
    category: str
    channel: str
    recategorised: bool = False
    milestone: str = ""
    review: datetime | None = None


# ---- which limit holds -----------------------------------------------------------------------------------------------


def holding(rules: Iterable[LimitRule], step: Stage, category: str, channel: str) -> tuple[LimitRule, ...]:
    """The rows that hold for a step of a case, one for each milestone; none where nothing is limited."""
    scheme = category.partition(":")[0]
    fitting = [
        rule for rule in rules
        if rule.category in (None, category) and rule.scheme in (None, scheme) and rule.channel in (None, channel)
    ]  # fmt: skip
    for one in (step, STANDS_IN.get(step)):
        found = [rule for rule in fitting if rule.step is one]
        if found:
            best = max(map(specific, found))
            return tuple(sorted((rule for rule in found if specific(rule) == best), key=lambda rule: (rule.milestone, rule.id)))
    return ()


def specific(rule: LimitRule) -> tuple[bool, bool, bool]:
    """How specific a row is; the greater, the more."""
    return rule.category is not None, rule.scheme is not None, rule.channel is not None


# ---- one clock -------------------------------------------------------------------------------------------------------


def begun(rule: LimitRule, step: Stage, squad: str | None, at: datetime, calendar: WorkingCalendar) -> Clock:
    """A clock that begins. Raises NoEnd."""
    at = at.astimezone(UTC)
    due = _later(at, rule.amount, rule.unit, calendar)
    clock = Clock(step, squad, at, due, due, rule.id, rule.milestone, all_day=rule.unit is Unit.HOURS)
    return _marked(clock, calendar)


def paused(clock: Clock, at: datetime) -> Clock:
    """It stands still."""
    return replace(clock, paused_at=at)


def resumed(clock: Clock, at: datetime, calendar: WorkingCalendar) -> Clock:
    """It goes on where it stopped. What had run out before stays run out."""
    assert clock.paused_at is not None
    stood, worked = _counted(clock, clock.paused_at, at, calendar), calendar.between(clock.paused_at, at)
    since, clock = clock.paused_at, replace(clock, paused_at=None)
    if clock.due_at <= since:
        return replace(clock, paused_late=clock.paused_late + worked)
    yellow = clock.yellow_at if clock.yellow_at <= since else _shifted(clock, clock.yellow_at, stood, calendar)
    due = _shifted(clock, clock.due_at, stood, calendar)
    year = calendar.unannounced(clock.started_at, due)
    return replace(clock, yellow_at=yellow, due_at=due, paused_for=clock.paused_for + stood, assumed_year=year)


def stopped(clock: Clock, at: datetime, outcome: str, calendar: WorkingCalendar) -> Clock:
    """It has ended."""
    if clock.paused_at is not None:
        clock = resumed(clock, at, calendar)
    return replace(clock, stopped_at=at, outcome=outcome)


def extended(clock: Clock, rule: LimitRule, calendar: WorkingCalendar) -> Clock:
    """It ends so much later."""
    return _marked(replace(clock, due_at=_later(clock.due_at, rule.amount, rule.unit, calendar)), calendar)


def light(clock: Clock, now: datetime) -> Light:
    """As it stands now, stood when it was paused, or when it stopped."""
    return light_at(clock.yellow_at, clock.due_at, clock.stopped_at or clock.paused_at or now)


def light_at(yellow_at: datetime, due_at: datetime, at: datetime) -> Light:
    """On the last instant it is in time still."""
    if at > due_at:
        return Light.RED
    return Light.YELLOW if at >= yellow_at else Light.GREEN


def _later(at: datetime, amount: int, unit: Unit, calendar: WorkingCalendar) -> datetime:
    if unit is Unit.WORK_DAYS:
        return calendar.end_of_day(at, amount)
    hours = timedelta(hours=amount)
    return at + hours if unit is Unit.HOURS else calendar.after(at, hours)


def _counted(clock: Clock, a: datetime, b: datetime, calendar: WorkingCalendar) -> timedelta:
    return b - a if clock.all_day else calendar.between(a, b)


def _shifted(clock: Clock, at: datetime, amount: timedelta, calendar: WorkingCalendar) -> datetime:
    return at + amount if clock.all_day else calendar.after(at, amount)


def _marked(clock: Clock, calendar: WorkingCalendar) -> Clock:
    """With its 80 %, and the year that was assumed."""
    year = calendar.unannounced(clock.started_at, clock.due_at)
    return replace(clock, yellow_at=_at_percent(clock, 80, calendar), assumed_year=year)


def _at_percent(clock: Clock, percent: int, calendar: WorkingCalendar) -> datetime:
    whole = _counted(clock, clock.started_at, clock.due_at, calendar) - clock.paused_for
    return _shifted(clock, clock.started_at, whole * percent // 100 + clock.paused_for, calendar)


# ---- the clocks of a case --------------------------------------------------------------------------------------------


def follow(clocks: Sequence[Clock], move: Move, limits: Limits) -> tuple[Clock, ...]:
    """The clocks after a move: some stopped, paused or going on, new ones behind. Raises NoEnd."""
    # In UTC: of two times in one zone Python reckons by the wall, and misses an hour where the clock was changed between them.
    review = None if move.review is None else move.review.astimezone(UTC)
    move = replace(move, at=move.at.astimezone(UTC), review=review)
    now = [_moved(clock, move, limits.calendar) if clock.open else clock for clock in clocks]
    if move.recategorised:
        now = _of_the_new_category(now, move, limits)
    if move.action == Action.GRANT_EXTENSION:
        now = _extended(now, move, limits)
    return (*now, *_begun(now, move, limits))


def stage_of(case: Case) -> Stage | None:
    """The step a case is in; handling again is rework. None: it has ended."""
    stage = STAGES.get(case.state)
    return Stage.REWORK if stage is Stage.HANDLE and (case.rework or case.reopened) else stage


def _moved(clock: Clock, move: Move, calendar: WorkingCalendar) -> Clock:
    suspended = move.after.state is State.SUSPENDED
    if not _goes_on(clock, move):
        return stopped(clock, move.at, move.action, calendar)
    if clock.paused_at is not None and not suspended:
        return resumed(clock, move.at, calendar)
    if clock.paused_at is None and suspended and clock.step is not Stage.REVIEW:
        return paused(clock, move.at)
    return clock


def _goes_on(clock: Clock, move: Move) -> bool:
    after = move.after
    if not after.open or (move.action == Action.REACH and clock.step in HANDLED and clock.milestone == move.milestone):
        return False
    if clock.step is Stage.WHOLE:
        return True
    if clock.step in HANDLED:
        return after.state in HELD and (clock.first or clock.squad == after.holder)
    if clock.step is Stage.SIGN:
        return after.state is State.DISPATCHED and clock.squad == after.holder
    return stage_of(after) is clock.step


def _of_the_new_category(clocks: list[Clock], move: Move, limits: Limits) -> list[Clock]:
    """Limits of the category it is now, since the old ones began; the old ones end."""
    out, calendar = list(clocks), limits.calendar
    groups: dict[tuple[Stage, str | None, bool, datetime], list[Clock]] = {}
    for clock in clocks:
        if clock.open and clock.step is not Stage.REVIEW:
            groups.setdefault((clock.step, clock.squad, clock.first, clock.started_at), []).append(clock)
    for (step, squad, first, started_at), old in groups.items():
        rules = holding(limits.rules, step, move.category, move.channel)
        if {rule.id for rule in rules} == {clock.rule for clock in old}:
            continue
        out = [stopped(clock, move.at, move.action, calendar) if clock in old else clock for clock in out]
        stood = old[0]
        for rule in rules:
            fresh = replace(begun(rule, step, squad, started_at, calendar), first=first)
            if stood.all_day == fresh.all_day:
                fresh = replace(fresh, due_at=_shifted(fresh, fresh.due_at, stood.paused_for, calendar), paused_for=stood.paused_for)
            out.append(replace(_marked(fresh, calendar), paused_at=stood.paused_at))
    return out


def _extended(clocks: list[Clock], move: Move, limits: Limits) -> list[Clock]:
    """What handles it and the whole get more time; of the handling, what its holder and the first have left to do."""
    found = holding(limits.rules, Stage.EXTENSION, move.category, move.channel)
    if not found:
        return clocks
    more = HANDLED | {Stage.WHOLE}
    return [extended(clock, found[0], limits.calendar) if clock.open and clock.step in more else clock for clock in clocks]


def _begun(clocks: Sequence[Clock], move: Move, limits: Limits) -> list[Clock]:
    """Clocks of the step that was entered, and at intake of the whole."""
    before, after, at = move.before, move.after, move.at
    out: list[Clock] = []
    if before is None:
        out += _set(Stage.WHOLE, None, move, limits)
    stage = stage_of(after)
    squad = str(after.holder) if stage in BY_A_SQUAD else None
    entered = before is None or stage_of(before) is not stage or (squad is not None and before.holder != after.holder)
    if stage is None or not entered:
        return out
    if stage is Stage.REVIEW:
        assert move.review is not None, "no suspension without a date of review"
        year = limits.calendar.unannounced(at, move.review)
        return [*out, Clock(stage, None, at, move.review, move.review, all_day=True, assumed_year=year)]
    again = move.action in (Action.FAIL, Action.REOPEN)
    if any(c.step is stage and c.squad == squad and (c.open or (c.outcome == Action.REACH and not again)) for c in clocks):
        return out  # it comes back from a question, or back to the squad that had it first
    first = stage in HANDLED and not any(c.open and c.step in HANDLED for c in clocks)
    return [*out, *(replace(clock, first=first) for clock in _set(stage, squad, move, limits))]


def _set(stage: Stage, squad: str | None, move: Move, limits: Limits) -> list[Clock]:
    rules = holding(limits.rules, stage, move.category, move.channel)
    return [begun(rule, stage, squad, move.at, limits.calendar) for rule in rules]


@dataclass(frozen=True, slots=True)
class Nearest:
    """Of the open clocks of a case: the nearest end, the nearest 80 %, the first year that was assumed."""

    due_at: datetime | None = None
    yellow_at: datetime | None = None
    assumed_year: int | None = None


def nearest(clocks: Iterable[Clock]) -> Nearest:
    """Of what runs. A clock that stands still counts only if it had run out before."""
    counted = [c for c in clocks if c.open and (c.paused_at is None or c.due_at < c.paused_at)]
    years = [c.assumed_year for c in counted if c.assumed_year is not None]
    return Nearest(
        min((c.due_at for c in counted), default=None), min((c.yellow_at for c in counted), default=None), min(years, default=None)
    )


# ---- who is told -----------------------------------------------------------------------------------------------------


def ladder_of(rungs: Iterable[Rung], step: Stage) -> tuple[Rung, ...]:
    """The rungs for a step: those that name it, else those for all."""
    rungs = tuple(rungs)
    named = tuple(rung for rung in rungs if rung.step is step)
    return named or tuple(rung for rung in rungs if rung.step is None)


def calls(clock: Clock, rungs: Iterable[Rung], calendar: WorkingCalendar) -> tuple[tuple[datetime, Rung], ...]:
    """When each rung that was not taken yet is; in order. Nothing of a clock that is stopped or stands still. Raises NoEnd."""
    if not clock.open or clock.paused_at is not None:
        return ()
    left = [(_call(clock, rung, calendar), rung) for rung in ladder_of(rungs, clock.step) if rung.id not in clock.told]
    return tuple(sorted(left, key=lambda call: (call[0], list(Effect).index(call[1].effect), call[1].id)))


def _call(clock: Clock, rung: Rung, calendar: WorkingCalendar) -> datetime:
    if rung.late_days is not None:
        return calendar.after(calendar.begin_of_day(clock.due_at, rung.late_days), clock.paused_late)
    assert rung.percent is not None
    exact = {80: clock.yellow_at, 100: clock.due_at}
    return exact[rung.percent] if rung.percent in exact else _at_percent(clock, rung.percent, calendar)
