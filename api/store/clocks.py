"""Clocks, limits and rungs in and out of their tables, as `routing.limits` knows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.store.clock_tables import ClockRow, Escalation, LimitRow
from routing.limits import Clock, Effect, LimitRule, Rung, Stage, Unit

SECOND = timedelta(seconds=1)


def rules_at(session: Session, category: str, channel: str, at: datetime) -> tuple[LimitRule, ...]:
    """The limits in force at an instant that may concern such a case."""
    scheme, row = category.partition(":")[0], LimitRow
    query = sa.select(row.id, row.step, row.amount, row.unit, row.scheme, row.category, row.channel, row.milestone).where(
        row.since <= at, _not_ended(row, at), _is(row.category, category), _is(row.scheme, scheme), _is(row.channel, channel)
    )
    return tuple(
        LimitRule(id_, Stage(step), amount, Unit(unit), scheme, category, channel, milestone)
        for id_, step, amount, unit, scheme, category, channel, milestone in session.execute(query.order_by(row.id))
    )


def rungs_between(session: Session, since: datetime, until: datetime) -> tuple[tuple[datetime, datetime | None, Rung], ...]:
    """The rungs in force at some time between, each with when it was; to be asked `at` for one clock."""
    row = Escalation
    query = sa.select(row.since, row.until, row.id, row.effect, row.step, row.percent, row.late_days)
    query = query.where(row.since <= until, _not_ended(row, since)).order_by(row.id)
    return tuple(
        (begin, end, Rung(id_, Effect(effect), None if step is None else Stage(step), percent, late))
        for begin, end, id_, effect, step, percent, late in session.execute(query)
    )


def of_then(rungs: Iterable[tuple[datetime, datetime | None, Rung]], at: datetime) -> tuple[Rung, ...]:
    """Those in force at an instant: a clock goes by the ladder of its beginning."""
    return tuple(rung for since, until, rung in rungs if since <= at and (until is None or at < until))


def of_case(session: Session, case: int) -> list[ClockRow]:
    """The clocks of a case, in order."""
    return list(session.scalars(sa.select(ClockRow).where(ClockRow.case_id == case).order_by(ClockRow.id)))


def clock_of(row: ClockRow) -> Clock:
    """A row as a value."""
    return Clock(
        Stage(row.step), row.squad, row.started_at, row.yellow_at, row.due_at, row.rule_id, row.milestone, row.first, row.all_day,
        row.paused_at, row.paused_for * SECOND, row.paused_late * SECOND, row.stopped_at, row.outcome, tuple(row.told), row.assumed_year,
        row.id,
    )  # fmt: skip


def columns_of(clock: Clock) -> dict[str, Any]:
    """A value as columns."""
    return {
        "step": clock.step.value, "squad": clock.squad, "started_at": clock.started_at, "yellow_at": clock.yellow_at,
        "due_at": clock.due_at, "rule_id": clock.rule, "milestone": clock.milestone, "first": clock.first, "all_day": clock.all_day,
        "paused_at": clock.paused_at, "paused_for": clock.paused_for // SECOND, "paused_late": clock.paused_late // SECOND,
        "stopped_at": clock.stopped_at, "outcome": clock.outcome, "told": list(clock.told), "assumed_year": clock.assumed_year,
    }  # fmt: skip


def put(session: Session, case: int, rows: Sequence[ClockRow], clocks: Iterable[Clock]) -> list[ClockRow]:
    """The clocks of a case as they are now; those that changed, or are new, with their ids."""
    by_id, changed = {row.id: row for row in rows}, []
    for clock in clocks:
        row = by_id.get(clock.id)
        if row is not None and clock == clock_of(row):
            continue
        columns = columns_of(clock)
        if row is None:
            row = ClockRow(case_id=case, **columns)
            session.add(row)
        else:
            for name, value in columns.items():
                if getattr(row, name) != value:
                    setattr(row, name, value)
        changed.append(row)
    session.flush()
    return changed


def _not_ended(row: Any, at: datetime) -> Any:
    return sa.or_(row.until.is_(None), row.until > at)


def _is(column: Any, value: str) -> Any:
    return sa.or_(column.is_(None), column == value)
