"""Limits of time and the ladder of reminders: dated rows with a document. One is added, and ended; clocks set by it stay as they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.access import Principal
from api.store.clock_tables import Escalation, LimitRow
from api.store.record import Entry, Page
from api.store.tables import ChainHead
from api.usecases.office import Office
from api.words_cases import CHANNELS
from api.words_limits import EFFECTS, STEPS, UNITS
from geodata import categories, store, working_days
from routing.errors import JieguanError, Lang
from routing.limits import Effect, Stage, Unit

LONGEST: dict[str, int] = {Unit.WORK_HOURS: 4_000, Unit.WORK_DAYS: 500, Unit.HOURS: 20_000}
"""About two years: more is no limit."""


class BadLimit(JieguanError):
    zh = "时限不成立:{field} 为“{value}”。可用:{known}。"
    en = "That is no limit: {field} is {value!r}. There are: {known}."


class TwoKinds(JieguanError):
    zh = "时限同时写了类别“{category}”和体系“{scheme}”:类别已含体系。请只写其一。"
    en = "The limit names both the category {category!r} and the scheme {scheme!r}, which the category has in it. Name one."


class LimitInUse(JieguanError):
    zh = "时限 {id} 在 {since} 至 {until} 期间已作同样规定:同一时刻只能有一条。请先停用它(jieguan limits end {id}),或改选时间。"
    en = (
        "The limit {id} says the same from {since} to {until}, and there is one at any instant. End it first (jieguan limits end {id}), or "
        "choose another time."
    )


class NoSuchLimit(JieguanError):
    zh = "没有编号为 {value} 的在用规定可停用。请核对编号(jieguan limits list)。"
    en = "There is no row {value} in use to be ended. Check its number (jieguan limits list)."


class LimitNeverHeld(JieguanError):
    zh = "停用时间 {until} 不晚于启用时间 {since}:这样它从未有效。请更正。"
    en = "It would end at {until}, not after it began at {since}, and never have held. Correct it."


class BackDated(JieguanError):
    zh = "规定的时间 {value} 早于现在({now}):已开始的计时不会改变,追溯规定会与之矛盾。请写现在或以后的时间。"
    en = (
        "The time {value} is before now ({now}): clocks that run are not changed, and a rule for the past would contradict them. Name "
        "now or later."
    )


@dataclass(frozen=True, slots=True)
class NewLimit:
    """A row. None: whichever. `since` None: from now on."""

    step: str
    amount: int
    unit: str
    document: str
    scheme: str | None = None
    category: str | None = None
    channel: str | None = None
    milestone: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewRung:
    """A rung of the ladder: at `percent` of a limit, or when the `late_days`-th working day after it begins."""

    effect: str
    document: str
    step: str | None = None
    percent: int | None = None
    late_days: int | None = None
    since: datetime | None = None
    until: datetime | None = None


class NoTime(JieguanError):
    zh = "提醒须恰好写明一项:时限的百分之几(percent),或逾期后第几个工作日(late_days)。"
    en = "A reminder states one of two: at what percent of the limit (percent), or on which working day after it (late_days)."


def listed(of: Office, at: datetime | None, lang: Lang) -> dict[str, Any]:
    """What is in force at an instant, in the order in which it is looked up, and the calendar it is counted by."""
    at = of.now() if at is None else at
    with of.db.reading() as session:
        limits = _in_force(session, LimitRow, at)
        rungs = _in_force(session, Escalation, at)
        try:
            version = store.in_force(session, at).version
            calendar = working_days.told(of.calendars.of(session, version, of.zone, at))
        except store.NothingInForce:
            calendar = working_days.told(working_days.calendar_of((), of.zone, at))
    steps = list(Stage)
    limits.sort(key=lambda r: (steps.index(Stage(r.step)), not r.category, not r.scheme, not r.channel, r.category or "", r.id))
    return {
        "limits": [_limit_told(row, lang) for row in limits],
        "escalations": [_rung_told(row, lang) for row in rungs],
        "calendar": calendar,
    }


def add(of: Office, who: Principal, new: NewLimit, lang: Lang) -> dict[str, Any]:
    """Put a limit in force. Raises BadLimit, TwoKinds, LimitInUse, LimitNeverHeld, BackDated."""
    _check(new)
    now = of.now()
    since = _since(new.since, new.until, now)
    with of.book.writing() as page:
        _alone(page)
        same = sa.select(LimitRow).where(
            LimitRow.step == new.step, LimitRow.category.is_not_distinct_from(new.category),
            LimitRow.scheme.is_not_distinct_from(new.scheme), LimitRow.channel.is_not_distinct_from(new.channel),
            LimitRow.milestone == new.milestone,
        )  # fmt: skip
        _check_free(page.session, same, since, new.until)
        made = LimitRow(**{**asdict(new), "since": since}, preset=False)
        page.session.add(made)
        page.session.flush()
        told = _limit_told(made, lang)
        page.enter(Entry("limit_added", who.account, who.role.value, who.squad, now, _limit_told(made, "en")))
    return told


def add_rung(of: Office, who: Principal, new: NewRung, lang: Lang) -> dict[str, Any]:
    """Put a rung in the ladder. Raises BadLimit, NoTime, LimitInUse, LimitNeverHeld, BackDated."""
    _one_of("effect", new.effect, list(EFFECTS))
    if new.step is not None:
        _one_of("step", new.step, [stage for stage in STEPS if stage is not Stage.EXTENSION])
    if (new.percent is None) == (new.late_days is None):
        raise NoTime
    now = of.now()
    since = _since(new.since, new.until, now)
    with of.book.writing() as page:
        _alone(page)
        same = sa.select(Escalation).where(
            Escalation.effect == new.effect, Escalation.step.is_not_distinct_from(new.step),
            Escalation.percent.is_not_distinct_from(new.percent), Escalation.late_days.is_not_distinct_from(new.late_days),
        )  # fmt: skip
        _check_free(page.session, same, since, new.until)
        made = Escalation(**{**asdict(new), "since": since}, preset=False)
        page.session.add(made)
        page.session.flush()
        told = _rung_told(made, lang)
        page.enter(Entry("escalation_added", who.account, who.role.value, who.squad, now, _rung_told(made, "en")))
    return told


def end(of: Office, who: Principal, id_: int, until: datetime | None, document: str, lang: Lang) -> dict[str, Any]:
    """End a limit, from `until` on (None: now). Raises NoSuchLimit, LimitNeverHeld, BackDated."""
    with of.book.writing() as page:
        row = _ended(page, LimitRow, id_, until, of.now())
        page.enter(Entry("limit_ended", who.account, who.role.value, who.squad, of.now(), _limit_told(row, "en") | {"by": document}))
    return _limit_told(row, lang)


def end_rung(of: Office, who: Principal, id_: int, until: datetime | None, document: str, lang: Lang) -> dict[str, Any]:
    """Take a rung out of the ladder. Raises as `end`."""
    with of.book.writing() as page:
        row = _ended(page, Escalation, id_, until, of.now())
        page.enter(Entry("escalation_ended", who.account, who.role.value, who.squad, of.now(), _rung_told(row, "en") | {"by": document}))
    return _rung_told(row, lang)


def _in_force(session: Session, model: Any, at: datetime) -> list[Any]:
    query = sa.select(model).where(model.since <= at, sa.or_(model.until.is_(None), model.until > at))
    return list(session.scalars(query.order_by(model.id)))


def _alone(page: Page) -> None:
    """Of two who add the same at once the second sees the first: who writes in the record waits for its head, here at the beginning."""
    page.session.execute(sa.select(ChainHead.id).where(ChainHead.id == 1).with_for_update())


def _check_free(session: Session, same: Any, since: datetime, until: datetime | None) -> None:
    for row in session.scalars(same):
        if (row.until is None or since < row.until) and (until is None or row.since < until):
            raise LimitInUse(id=row.id, since=row.since.isoformat(), until="-" if row.until is None else row.until.isoformat())


def _ended(page: Page, model: Any, id_: int, until: datetime | None, now: datetime) -> Any:
    row = page.session.scalars(sa.select(model).where(model.id == id_, model.until.is_(None)).with_for_update()).one_or_none()
    if row is None:
        raise NoSuchLimit(value=id_)
    at = now if until is None else until
    if at < now:
        raise BackDated(value=at.isoformat(), now=now.isoformat())
    if at <= row.since:
        raise LimitNeverHeld(since=row.since.isoformat(), until=at.isoformat())
    row.until = at
    return row


def _since(since: datetime | None, until: datetime | None, now: datetime) -> datetime:
    begin = now if since is None else since
    if begin < now:
        raise BackDated(value=begin.isoformat(), now=now.isoformat())
    if until is not None and until <= begin:
        raise LimitNeverHeld(since=begin.isoformat(), until=until.isoformat())
    return begin


def _check(new: NewLimit) -> None:
    _one_of("step", new.step, [stage for stage in STEPS if stage is not Stage.REVIEW])
    _one_of("unit", new.unit, list(UNITS))
    if new.channel is not None:
        _one_of("channel", new.channel, list(CHANNELS))
    if not 0 < new.amount <= LONGEST[new.unit]:
        raise BadLimit(field="amount", value=new.amount, known=f"1 - {LONGEST[new.unit]}")
    if new.category is not None and new.scheme is not None:
        raise TwoKinds(category=new.category, scheme=new.scheme)
    if new.category is not None and not categories.is_code(new.category):
        raise BadLimit(field="category", value=new.category[:60], known="GB30428:0501 …")
    if new.milestone and Stage(new.step) not in (Stage.HANDLE, Stage.REWORK):
        raise BadLimit(field="milestone", value=new.milestone[:60], known="step = handle, rework")


def _one_of(field: str, value: str, known: list[Any]) -> None:
    if value not in known:
        raise BadLimit(field=field, value=value[:60], known=", ".join(known))


def _limit_told(row: LimitRow, lang: Lang) -> dict[str, Any]:
    other = lang != "zh-CN"
    return {
        "id": row.id, "step": row.step, "step_name": STEPS[Stage(row.step)][other], "amount": row.amount, "unit": row.unit,
        "unit_name": UNITS[Unit(row.unit)][other], "scheme": row.scheme, "category": row.category, "channel": row.channel,
        "milestone": row.milestone or None, **_dated(row),
    }  # fmt: skip


def _rung_told(row: Escalation, lang: Lang) -> dict[str, Any]:
    other = lang != "zh-CN"
    return {
        "id": row.id, "effect": row.effect, "effect_name": EFFECTS[Effect(row.effect)][other], "step": row.step,
        "step_name": None if row.step is None else STEPS[Stage(row.step)][other], "percent": row.percent, "late_days": row.late_days,
        **_dated(row),
    }  # fmt: skip


def _dated(row: Any) -> dict[str, Any]:
    return {
        "since": row.since.isoformat(), "until": None if row.until is None else row.until.isoformat(), "document": row.document,
        "default": row.preset,
    }  # fmt: skip
