"""Rows of the people who work here: accounts, logins, tokens, and logins that failed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.store import tables
from api.store.tables import Account, Attempt, Token
from routing.case import Role


def account_named(session: Session, name: str, *, lock: bool = False) -> Account | None:
    """An account by its name; locked, nobody changes it until the transaction ends."""
    return _one(session, Account.name == name, lock)


def account_of(session: Session, subject: str, *, lock: bool = False) -> Account | None:
    """The account of somebody whom the identity provider knows."""
    return _one(session, Account.subject == subject, lock)


def account_by_id(session: Session, account: str, *, lock: bool = False) -> Account | None:
    """An account by its id."""
    return _one(session, Account.id == account, lock)


def _one(session: Session, which: sa.ColumnElement[bool], lock: bool) -> Account | None:
    asked = sa.select(Account).where(which)
    return session.scalars(asked.with_for_update() if lock else asked).one_or_none()


def accounts(session: Session) -> Sequence[Account]:
    """All of them, by name."""
    return session.scalars(sa.select(Account).order_by(Account.name)).all()


def other_administrators(session: Session, account: str) -> int:
    """How many there are besides this one; locked, so that two do not go at once."""
    which = (Account.role == Role.ADMINISTRATOR.value) & Account.closed_at.is_(None)
    found = session.scalars(sa.select(Account.id).where(which).order_by(Account.id).with_for_update()).all()
    return len(set(found) - {account})


def login(session: Session, key: str) -> tuple[tables.Session, Account] | None:
    """A login and whose it is."""
    asked = sa.select(tables.Session, Account).join(Account, Account.id == tables.Session.account_id).where(tables.Session.id == key)
    found = session.execute(asked).one_or_none()
    return None if found is None else (found[0], found[1])


def end_login(session: Session, key: str, now: datetime) -> None:
    """It is over."""
    which = (tables.Session.id == key) & tables.Session.ended_at.is_(None)
    session.execute(sa.update(tables.Session).where(which).values(ended_at=now))


def forget_logins(session: Session, before: datetime) -> None:
    """Those that could not be used any more even then."""
    session.execute(sa.delete(tables.Session).where(tables.Session.expires_at < before))


def seen(session: Session, key: str, now: datetime) -> None:
    """Somebody was here."""
    session.execute(sa.update(tables.Session).where(tables.Session.id == key).values(seen_at=now))


def token(session: Session, key: str, *, lock: bool = False) -> Token | None:
    """A token by its id, or by the beginning of it."""
    asked = sa.select(Token).where(Token.id >= key, Token.id < key + "g")
    return session.scalars(asked.with_for_update() if lock else asked).one_or_none()


def tokens(session: Session) -> Sequence[Token]:
    """All of them, the latest first."""
    return session.scalars(sa.select(Token).order_by(Token.created_at.desc(), Token.id)).all()


def tried(session: Session, who: str, whence: str, now: datetime) -> int:
    """A login that is about to be tried; its id."""
    row = Attempt(who=who, whence=whence, at=now)
    session.add(row)
    session.flush()
    return row.id


def tries(session: Session, who: str, whence: str, since: datetime) -> tuple[list[datetime], list[datetime]]:
    """When it was tried for an account, and from an address; oldest first."""

    def times(which: sa.ColumnElement[bool]) -> list[datetime]:
        return list(session.scalars(sa.select(Attempt.at).where(which, Attempt.at > since).order_by(Attempt.at)))

    return times(Attempt.who == who), times(Attempt.whence == whence)


def not_tried(session: Session, attempt: int) -> None:
    """It did not come to that."""
    session.execute(sa.delete(Attempt).where(Attempt.id == attempt))


def forget_tries(session: Session, who: str) -> None:
    """Of an account: he has come in."""
    session.execute(sa.delete(Attempt).where(Attempt.who == who))


def forget_old_tries(session: Session, before: datetime) -> None:
    """Those that count no more."""
    session.execute(sa.delete(Attempt).where(Attempt.at <= before))
