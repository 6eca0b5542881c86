"""Forgetting who complained: on request, and when the time for which it may be known is over.

What is forgotten is a key. The sealed name and the files are emptied in their rows; what was written, and every copy of all this, in
history and in backups, stays as ciphertext that nobody can open; the record still verifies. The record says first that it is done, in
the same transaction as the row; then the key is destroyed. Cut short in between, the next `sweep` destroys it: the same where an old
backup of the keys was put back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.store.cases import UnknownCase
from api.store.record import Book, Entry, Page
from api.store.setup import ALL, ALWAYS, RETENTION
from api.store.tables import Attachment, CaseFile, Event, Reporter, Rule
from api.vault import Vault
from routing.case import Actor
from routing.errors import JieguanError

ERASED = "erased"
"""The kind of entry. Its reason is sealed under a key of its own, named in the body: that of the case is gone."""
AT_ONCE = 500
FOREVER = datetime.max.replace(tzinfo=UTC)


class StillOpen(JieguanError):
    zh = "案件“{number}”尚未结案:现在清除,办案人就看不到诉求,也无法回复。请先结案,或写明 --open 仍要清除。"
    en = (
        "The case {number!r} is still open: erased now, nobody could read what it is about, or answer. Close it first, or say --open to "
        "erase it all the same."
    )


class NoReason(JieguanError):
    zh = "清除须写明理由(--reason):清除后无法恢复,记录中要看得出是谁、为何清除的。"
    en = "Erasing needs a reason (--reason): it cannot be undone, and the record must tell who did it and why."


@dataclass(frozen=True, slots=True)
class Erased:
    """What became of one case. `before`: it had been erased already, and nothing new was recorded."""

    number: str
    at: datetime
    before: bool


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did. `finished`: had been recorded as erased before, and had a key still."""

    erased: tuple[str, ...]
    finished: int


def erase(
    book: Book, vault: Vault, number: str, reason: str, by: Actor, now: datetime, *, even_open: bool = False
) -> Erased:
    """Forget who complained in one case, and all that was written in it. Raises UnknownCase, StillOpen, NoReason."""
    if not reason.strip():
        raise NoReason
    with book.writing() as page:
        case = page.session.scalar(sa.select(CaseFile).where(CaseFile.number == number).with_for_update())
        if case is None:
            raise UnknownCase(value=number)
        if case.open and not even_open:
            raise StillOpen(number=number)
        reporter = _reporter(page.session, case)
        before = reporter.erased_at is not None
        if not before:
            _forget(page, vault, case, reporter, "request", reason, by, now)
        bodies = page.session.scalars(sa.select(Event.body).where(Event.case_id == case.id, Event.kind == "moved"))
        since = [body["key"] for body in bodies if "key" in body]  # written after it had been erased while open
    vault.destroy([case.key, *since])
    return Erased(number, reporter.erased_at or now, before)


def sweep(book: Book, vault: Vault, by: Actor, now: datetime) -> Swept:
    """Erase what is due: cases that ended longer ago than they may be known, by the rule in force now, or by their own `keep_until`."""
    with book.db.reading() as session:
        due = list(_due(session, now))
        half_done = [key for keys in _erased_keys(session) for key in vault.living(keys)]
    numbers: list[str] = []
    keys = half_done
    for at in range(0, len(due), AT_ONCE):
        with book.writing() as page:
            wanted = due[at : at + AT_ONCE]
            cases = page.session.scalars(
                sa.select(CaseFile).where(CaseFile.id.in_(wanted), ~CaseFile.open).order_by(CaseFile.id).with_for_update()
            )
            for case in cases:
                reporter = _reporter(page.session, case)
                if reporter.erased_at is None:
                    _forget(page, vault, case, reporter, "retention", "", by, now)
                    numbers.append(case.number)
                    keys.append(case.key)
    vault.destroy(keys)
    return Swept(tuple(numbers), len(half_done))


def keep_until(session: Session, category: str, ended_at: datetime) -> datetime:
    """Until when it may be known who complained, by the rule in force when the case ended: that of the category before that for all."""
    days = _days(session, ended_at)
    return _until(ended_at, days.get(category), days.get(ALL))


def _reporter(session: Session, case: CaseFile) -> Reporter:
    found = session.get(Reporter, case.id)
    if found is None:
        found = Reporter(case_id=case.id, key=case.key, anonymous=True, sealed=None, keep_until=None, erased_at=None)
        session.add(found)
    return found


def _forget(
    page: Page, vault: Vault, case: CaseFile, reporter: Reporter, why: str, reason: str, by: Actor, now: datetime
) -> None:
    reporter.sealed, reporter.erased_at = None, now
    page.session.execute(sa.update(Attachment).where(Attachment.case_id == case.id).values(name=b"", data=b""))
    key, words = None, None
    if reason:
        key = vault.new_key()
        words = vault.seal(key, reason.encode(), f"case {case.id} {ERASED}")
    body = {"why": why, "key": key}
    page.enter(Entry(ERASED, by.person, by.role.value, by.squad, now, body, case_id=case.id, words=words))


def _due(session: Session, now: datetime) -> Iterator[int]:
    """Ids of cases that ended, and may be known no longer."""
    days = _days(session, now)
    shortest = now - timedelta(days=min([*days.values(), (now - ALWAYS).days]))
    after = 0
    while True:
        known = sa.select(CaseFile.id, CaseFile.category, CaseFile.changed_at, Reporter.keep_until)
        rows = session.execute(
            known.outerjoin(Reporter, Reporter.case_id == CaseFile.id)
            # Not `~open`: SQLite would take the index of that, and sort all that ended once more for each few hundred.
            .where(CaseFile.id > after, sa.func.coalesce(CaseFile.open, sa.false()).is_(False), Reporter.erased_at.is_(None))
            .where(sa.or_(Reporter.keep_until <= now, sa.and_(Reporter.keep_until.is_(None), CaseFile.changed_at <= shortest)))
            .order_by(CaseFile.id)
            .limit(AT_ONCE)
        ).all()
        for case, category, ended_at, until in rows:
            if (until or _until(ended_at, days.get(category), days.get(ALL))) <= now:
                yield case
        if not rows:
            return
        after = rows[-1][0]


def _until(ended_at: datetime, of_category: int | None, of_all: int | None) -> datetime:
    days = of_all if of_category is None else of_category
    if days is None or days > (FOREVER - ended_at).days:
        return FOREVER
    return ended_at + timedelta(days=days)


def _days(session: Session, at: datetime) -> dict[str, int]:
    """The rules of retention in force at an instant, by scope; of two, the later."""
    rows = session.execute(
        sa.select(Rule.scope, Rule.value)
        .where(Rule.name == RETENTION, Rule.since <= at, sa.or_(Rule.until.is_(None), Rule.until > at))
        .order_by(Rule.scope, Rule.since)
    ).all()
    return {scope: list(group)[-1][1] for scope, group in groupby(rows, lambda row: row[0])}


def _erased_keys(session: Session) -> Iterator[Sequence[str]]:
    """Keys of all who were erased, some at a time."""
    after = 0
    while True:
        rows = session.execute(
            sa.select(Reporter.case_id, Reporter.key)
            .where(Reporter.case_id > after, Reporter.erased_at.is_not(None))
            .order_by(Reporter.case_id)
            .limit(AT_ONCE)
        ).all()
        if not rows:
            return
        yield [key for _, key in rows]
        after = rows[-1][0]
