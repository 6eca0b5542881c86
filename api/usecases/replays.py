"""The same request once, however often it comes: the first answer is kept under its Idempotency-Key and given again.

Stripe's rules, as the IETF draft has them: a key is somebody's own; with another request under the same key nothing is done; what
failed is not kept, so it can be tried again. A twin that comes while the first is at work waits for it and gets the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.access import Principal
from api.store.record import Page
from api.store.tables import Replay, refusal
from api.usecases.office import Office
from routing.errors import JieguanError

KEPT = timedelta(hours=48)
PURPOSE = "replay"


class KeyReused(JieguanError):
    zh = "Idempotency-Key“{value}”已用于另一个请求:为免误办,此次未作任何改动。新的请求请用新的键。"
    en = "The Idempotency-Key {value!r} was used for another request, so nothing was done. Use a new key for a new request."


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its Idempotency-Key, if it has one, and its content to the letter."""

    key: str | None
    content: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered, now and whenever the same request comes again. `again`: it was."""

    status: int
    headers: Mapping[str, str]
    body: Any
    again: bool = False


Write = Callable[[Page], Answer]


def once(of: Office, who: Principal, asked: Asked, write: Write) -> Answer:
    """What `write` answers, in one transaction with what it writes; or what it answered before. Raises KeyReused."""
    if asked.key is None:
        with of.book.writing() as page:
            return write(page)
    digest = of.vault.mac(PURPOSE, asked.content)
    try:
        with of.book.writing() as page:
            return _once(of, page, who, asked.key, digest, write)
    except IntegrityError as error:
        if refusal(error) != "pk_replay":
            raise
    with of.db.reading() as session:
        kept = _kept(session, who, asked.key, digest)
    assert kept is not None, "the twin that was first has committed"
    return kept


def each_once(of: Office, who: Principal, asked: Sequence[tuple[Asked, Write]]) -> list[Answer | JieguanError]:
    """The same for several, in one transaction where none is refused; otherwise one by one, each with its own answer or refusal."""
    try:
        with of.book.writing() as page:
            return [
                write(page) if one.key is None else _once(of, page, who, one.key, of.vault.mac(PURPOSE, one.content), write)
                for one, write in asked
            ]
    except IntegrityError as error:
        if refusal(error) != "pk_replay":
            raise
    except JieguanError:
        pass  # all of it is undone; it comes again below
    return [_answer(of, who, one, write) for one, write in asked]


def _answer(of: Office, who: Principal, asked: Asked, write: Write) -> Answer | JieguanError:
    try:
        return once(of, who, asked, write)
    except JieguanError as error:
        return error


def _once(of: Office, page: Page, who: Principal, key: str, digest: str, write: Write) -> Answer:
    kept = _kept(page.session, who, key, digest)
    if kept is not None:
        return kept
    mine = Replay(account=who.account, key=key, request=digest, at=of.now(), status=0, headers={}, body=None)
    page.session.add(mine)
    page.session.flush()  # a twin waits here
    answer = write(page)
    mine.status, mine.headers, mine.body = answer.status, dict(answer.headers), answer.body
    return answer


def before(of: Office, who: Principal, asked: Asked) -> Answer | None:
    """What was answered before, for who would rather not begin the work. Raises KeyReused."""
    if asked.key is None:
        return None
    with of.db.reading() as session:
        return _kept(session, who, asked.key, of.vault.mac(PURPOSE, asked.content))


def _kept(session: Session, who: Principal, key: str, digest: str) -> Answer | None:
    found = session.get(Replay, (who.account, key))
    if found is None:
        return None
    if found.request != digest:
        raise KeyReused(value=key[:80])
    return Answer(found.status, found.headers, found.body, again=True)


def forget(of: Office) -> int:
    """Answers older than two days go. How many."""
    with of.db.writing() as session:
        gone = session.scalars(sa.delete(Replay).where(Replay.at < of.now() - KEPT).returning(Replay.key))
        return len(gone.all())
