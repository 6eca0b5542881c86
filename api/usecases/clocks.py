"""The clocks of cases: kept with every move, in its transaction; and what is done when one runs out.

    after = followed(of, session, row, rows, move)        the clocks after a move
    cases.put(..., **columns(after))                      the case's nearest end
    keep(of, session, row, rows, after)                   written, and the next reminder asked for

A reminder is a job of the worker: `ring` takes every rung that is due, once, and says when the next one is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.store import cases, clocks, jobs
from api.store.clock_tables import ClockRow, Escalation
from api.store.record import Entry, Page
from api.store.tables import CaseFile, Side
from api.usecases.office import Office
from api.words_limits import light_words, step_words
from geodata import store
from routing.errors import Lang
from routing.limits import Clock, Effect, Limits, Move, Rung, calls, follow, light, nearest
from routing.working_time import WorkingCalendar

KIND = "clock"
BY = "clock"
"""Who reminds, in the record."""


def calendar_at(of: Office, session: Session, at: datetime, version: str) -> WorkingCalendar:
    """That of the map in force; before any is, that of `version`, by which the case was routed."""
    with suppress(store.NothingInForce):
        version = store.in_force(session, at).version
    return of.calendars.of(session, version, of.zone, at)


def followed(of: Office, session: Session, version: str, rows: Sequence[ClockRow], move: Move) -> tuple[Clock, ...]:
    """The clocks after a move, by the limits in force then. Raises NoEnd."""
    rules = clocks.rules_at(session, move.category, move.channel, move.at)
    calendar = calendar_at(of, session, move.at, version)
    return follow([clocks.clock_of(row) for row in rows], move, Limits(rules, calendar))


def columns(after: Sequence[Clock]) -> dict[str, Any]:
    """What of it stands in the case."""
    found = nearest(after)
    return {"due_at": found.due_at, "yellow_at": found.yellow_at, "assumed_year": found.assumed_year}


def keep(of: Office, session: Session, row: CaseFile, rows: Sequence[ClockRow], after: Sequence[Clock]) -> None:
    """What changed is written; who is to be told next, is asked for."""
    changed = clocks.put(session, row.id, rows, after)
    if not changed:
        return
    at = row.changed_at
    rungs = clocks.rungs_between(session, min(clock.started_at for clock in changed), at)
    calendar = calendar_at(of, session, at, row.map_version)
    for clock in changed:
        then = calls(clocks.clock_of(clock), clocks.of_then(rungs, clock.started_at), calendar)
        if then:
            jobs.schedule(session, KIND, _key(clock.id), then[0][0], {"case": row.id, "clock": clock.id})
        else:
            jobs.cancel(session, _key(clock.id))


def _key(clock: int) -> str:
    return f"clock {clock}"


# ---- when one runs out -----------------------------------------------------------------------------------------------


def ring(of: Office, page: Page, body: Mapping[str, Any]) -> datetime | None:
    """Whatever is due of a clock, in order; when the next is. What was due while nobody worked is done now, once."""
    session = page.session
    row = session.scalars(sa.select(CaseFile).where(CaseFile.id == body["case"]).with_for_update()).one()
    found = session.get_one(ClockRow, body["clock"])
    now = cases.next_instant(of.now(), row.changed_at)
    calendar = calendar_at(of, session, now, row.map_version)
    rungs = clocks.of_then(clocks.rungs_between(session, found.started_at, now), found.started_at)
    clock = clocks.clock_of(found)
    due = [rung for at, rung in calls(clock, rungs, calendar) if at <= now]
    supervise = False
    for rung in due:
        page.enter(_entry(session, row, clock, rung, now))
        clock = replace(clock, told=(*clock.told, rung.id))
        if rung.effect in (Effect.URGE, Effect.NOTICE):
            session.add(_side(row, clock, rung.effect.value, now, ended=True))
        supervise = supervise or (rung.effect is Effect.SUPERVISE and not row.supervisions)
    if supervise:
        session.add(_side(row, clock, "supervision", now, ended=False))
    case = cases.case_of(row)
    if supervise or (due and cases.rank_of(row, now) != row.rank):
        cases.put(session, row, replace(case, supervisions=case.supervisions + supervise), now)
    clocks.put(session, row.id, [found], [clock])
    return next((at for at, _ in calls(clock, rungs, calendar)), None)


def _side(row: CaseFile, clock: Clock, kind: str, now: datetime, *, ended: bool) -> Side:
    return Side(
        case_id=row.id, kind=kind, squad=clock.squad or row.holder, opened_at=now, opened_by=BY, due=None, closed_at=now if ended else None,
        closed_by=BY if ended else None, outcome="said" if ended else None,
    )  # fmt: skip


def _entry(session: Session, row: CaseFile, clock: Clock, rung: Rung, now: datetime) -> Entry:
    """Who was reminded of what, by which rule; nothing of a person."""
    document = session.scalar(sa.select(Escalation.document).where(Escalation.id == rung.id))
    body = {
        "number": row.number, "effect": rung.effect.value, "step": clock.step.value, "milestone": clock.milestone, "squad": clock.squad,
        "holder": row.holder, "due_at": clock.due_at.isoformat(), "rung": rung.id, "clock": clock.id, "document": document,
    }  # fmt: skip
    return Entry(KIND, BY, "machine", clock.squad, now, body, case_id=row.id)


# ---- as plain values -------------------------------------------------------------------------------------------------


def told(session: Session, row: CaseFile, now: datetime, lang: Lang) -> list[dict[str, Any]]:
    """The clocks of a case, in order."""
    return [_told(clocks.clock_of(clock), now, lang) for clock in clocks.of_case(session, row.id)]


def _told(clock: Clock, now: datetime, lang: Lang) -> dict[str, Any]:
    shown = light(clock, now)
    return {
        "step": clock.step.value, "step_name": step_words(clock.step, lang), "milestone": clock.milestone or None, "squad": clock.squad,
        "first": clock.first, "started_at": clock.started_at.isoformat(), "yellow_at": clock.yellow_at.isoformat(),
        "due_at": clock.due_at.isoformat(), "light": shown.value, "light_name": light_words(shown, lang),
        "paused_at": None if clock.paused_at is None else clock.paused_at.isoformat(),
        "paused_s": int(clock.paused_for.total_seconds()),
        "stopped_at": None if clock.stopped_at is None else clock.stopped_at.isoformat(), "outcome": clock.outcome,
        "assumed_year": clock.assumed_year, "rule": clock.rule,
    }  # fmt: skip
