"""Jobs: claimed by one, done in one transaction with their end, tried again when they fail, put aside when they fail too often.

    done = once(of, me, KINDS)        everything that is due now
    claim(of.db, me, now) -> Claimed | None;  perform(of, claimed, KINDS) -> Ended

Who claims a job holds it for a while. If he dies, another takes it then; if he was only slow, he finds at the end that it is no longer
his, and nothing of what he did stands. So what a job does to the database happens once. What it does elsewhere (`before`) may happen
again, and must bear it.
"""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.store.clock_tables import Job
from api.store.record import Page
from api.usecases import clocks
from api.usecases.office import Office
from geodata.db.engine import Database
from routing.errors import JieguanError

LEASE = timedelta(seconds=60)
MOST = 8
"""Tries, those that were cut short among them."""
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=5), timedelta(hours=1)
KEPT = timedelta(days=30)
"""How long it is known that a job was done."""
log = logging.getLogger("jieguan")

Settle = Callable[[Office, Page, Mapping[str, Any]], datetime | None]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a job of a kind does: in the transaction that ends it, `settle`, which says when it is to be done again (None: never).

    `before`: what takes long or goes out of the house, ahead of that; what it gives stands in the body under `before`.
    """

    settle: Settle
    before: Callable[[Office, Mapping[str, Any]], Any] | None = None


KINDS: Mapping[str, Kind] = {clocks.KIND: Kind(clocks.ring)}


class NotMine(Exception):
    """The job was put anew, taken away, or taken over by another meanwhile: nothing of this try stands."""


class UnknownKind(JieguanError):
    zh = "没有“{value}”类任务的办法:可能由更新的程序写入。请更新 jieguan。"
    en = "Nobody here knows how to do a job of the kind {value!r}: a newer program wrote it. Update jieguan."


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that is ours until `until`."""

    id: int
    kind: str
    key: str
    body: Mapping[str, Any]
    attempts: int
    by: str
    until: datetime


class Ended(StrEnum):
    """How a try ended. `lost`: it was somebody else's by then."""

    DONE = "done"
    FAILED = "failed"
    DEAD = "dead"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Counts:
    """What was done."""

    done: int = 0
    failed: int = 0
    dead: int = 0
    lost: int = 0

    def plus(self, ended: Ended) -> Counts:
        """One more."""
        return replace(self, **{ended.value: getattr(self, ended.value) + 1})


def myself() -> str:
    """A name that nobody else has: host, process, and chance."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def anything(db: Database, now: datetime) -> bool:
    """Is there a job to be claimed? Asked without anybody having to wait."""
    with db.reading() as session:
        return bool(session.scalar(sa.select(sa.exists().where(*_waiting(now)))))


def claim(db: Database, me: str, now: datetime) -> Claimed | None:
    """The job that waits longest, ours for a while; those that were tried too often are put aside."""
    with db.writing() as session:
        if db.kind == "embedded" or session.scalar(sa.select(sa.exists().where(*_waiting(now), Job.attempts >= MOST))):
            session.execute(sa.update(Job).where(*_waiting(now), Job.attempts >= MOST).values(**_dead(now, Job.error)))
        # Rows that others are just claiming are passed over; an embedded database has one writer at a time anyway.
        first = sa.select(Job.id).where(*_waiting(now)).order_by(Job.run_at, Job.id).limit(1).with_for_update(skip_locked=True)
        taken = sa.update(Job).where(Job.id == first.scalar_subquery())
        taken = taken.values(leased_until=now + LEASE, leased_by=me, attempts=Job.attempts + 1)
        row = session.execute(taken.returning(Job.id, Job.kind, Job.key, Job.body, Job.attempts)).one_or_none()
    return None if row is None else Claimed(row.id, row.kind, row.key, row.body, row.attempts, me, now + LEASE)


def perform(of: Office, job: Claimed, kinds: Mapping[str, Kind] = KINDS) -> Ended:
    """Do it, or note why it could not be done. What the database itself refuses for the moment is raised: the job is tried again."""
    if job.kind not in kinds:
        return _failed(of, job, f"UnknownKind: {UnknownKind(value=job.kind[:60]).text('en')}")
    kind, body = kinds[job.kind], job.body
    try:
        if kind.before is not None:
            body = {**body, "before": kind.before(of, body)}
        with of.book.writing() as page:
            again = kind.settle(of, page, body)
            _end(page.session, job, of.now(), again)
    except NotMine:
        return Ended.LOST
    except (sa.exc.OperationalError, sa.exc.TimeoutError):
        raise
    except Exception as error:
        # Not the message of a stranger: it may quote what people wrote.
        why = f"{type(error).__name__}: {error.text('en')}" if isinstance(error, JieguanError) else type(error).__name__
        log.exception("the job %s (%s) failed", job.key, job.kind)
        return _failed(of, job, why)
    return Ended.DONE


def once(of: Office, me: str, kinds: Mapping[str, Kind] = KINDS, go_on: Callable[[], bool] = lambda: True) -> Counts:
    """Everything that is due now."""
    counts = Counts()
    while go_on() and anything(of.db, of.now()) and (job := claim(of.db, me, of.now())) is not None:
        counts = counts.plus(perform(of, job, kinds))
    return counts


def forget(db: Database, now: datetime) -> int:
    """Remove what was done long ago; how many."""
    with db.writing() as session:
        return int(session.execute(sa.delete(Job).where(Job.done_at < now - KEPT)).rowcount)  # type: ignore[attr-defined]


def _waiting(now: datetime) -> tuple[Any, ...]:
    free = sa.or_(Job.leased_until.is_(None), Job.leased_until <= now)
    return Job.done_at.is_(None), Job.dead_at.is_(None), Job.run_at <= now, free


def _dead(now: datetime, error: Any) -> dict[str, Any]:
    return {"dead_at": now, "leased_until": None, "leased_by": None, "error": error}


def _end(session: Session, job: Claimed, now: datetime, again: datetime | None) -> None:
    """The last statement of what was done: only if the job is still ours. Raises NotMine."""
    end: dict[str, Any] = {"leased_until": None, "leased_by": None, "error": None}
    end |= {"done_at": now} if again is None else {"run_at": again, "attempts": 0}
    if not _mine(session, job, end):
        raise NotMine


def _failed(of: Office, job: Claimed, why: str) -> Ended:
    now = of.now()
    dead = job.attempts >= MOST
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (job.attempts - 1))
    end = _dead(now, why) if dead else {"run_at": now + wait, "leased_until": None, "leased_by": None, "error": why}
    with of.db.writing() as session:
        if not _mine(session, job, end):
            return Ended.LOST
    return Ended.DEAD if dead else Ended.FAILED


def _mine(session: Session, job: Claimed, end: Mapping[str, Any]) -> bool:
    ours = sa.update(Job).where(Job.id == job.id, Job.leased_by == job.by, Job.attempts == job.attempts, Job.done_at.is_(None))
    return bool(session.execute(ours.values(**end)).rowcount)  # type: ignore[attr-defined]
