"""Who works here: accounts, logins, tokens. Every change of them, every login and every one that failed is an entry of the record.

A secret is shown once, to whom it belongs; kept is its sha256. `epoch` of an account ends all its logins at once. Who guesses is
made to wait, by account and by address; both are counted as keyed hashes, since people type passwords into the wrong field.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import unicodedata
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.exc import IntegrityError

from api.access import Principal, SquadNeeded
from api.store import people as rows
from api.store import tables
from api.store.record import Book, Entry
from api.store.tables import Account, Token
from api.usecases import passwords
from api.usecases.oidc import Known
from geodata import store
from geodata.db.engine import WriterBusy
from geodata.layer import LayerName
from routing.case import SQUAD, Role
from routing.errors import JieguanError
from routing.model import SquadCode

IDLE, LONGEST, TOUCH = timedelta(hours=2), timedelta(hours=12), timedelta(minutes=5)
"""A login nobody uses ends; so does any in the end. That it is used is noted only so often."""
TRIES, WINDOW = 10, timedelta(minutes=15)
"""Logins that may fail within a while, for an account and from an address."""
KEPT = timedelta(days=7)
"""How long a login that is over stays in its table; the record keeps it for good."""
TOKEN_ID = 16
"""Characters of a token's id that name it."""
NOBODY = "-"
SHOWN = 20
"""Squads that are named to who misses his."""


class WrongLogin(JieguanError):
    zh = "姓名或口令不对,或账号已停用。请检查输入;忘记口令请联系管理员重设。"
    en = "The name or the password is wrong, or the account is closed. Check both; an administrator can set a new password."


class TooManyTries(JieguanError):
    zh = "登录失败次数过多,请在 {seconds} 秒后再试;忘记口令请联系管理员重设。"
    en = "Too many logins have failed. Try again in {seconds} seconds; an administrator can set a new password."


class NameTaken(JieguanError):
    zh = "已有名为“{name}”的账号。请换一个名字,例如加上工号。"
    en = "There is an account {name!r} already. Choose another name, for example with the staff number."


class BadName(JieguanError):
    zh = "账号名“{name}”不能用:须为 1 到 100 个可见字符,且不是“-”。"
    en = "The account name {name!r} cannot be used: it has 1 to 100 visible characters, and is not '-'."


class UnknownAccount(JieguanError):
    zh = "没有名为“{name}”的账号。请检查姓名,或列出账号(jieguan user list)。"
    en = "There is no account {name!r}. Check the name, or list the accounts (jieguan user list)."


class UnknownToken(JieguanError):
    zh = "没有编号为“{token}”的令牌。请检查编号,或列出令牌(jieguan token list)。"
    en = "There is no token {token!r}. Check its id, or list the tokens (jieguan token list)."


class LastAdministrator(JieguanError):
    zh = "“{name}”是最后一名管理员:停用或改任后将无人能管理账号。请先另设一名管理员。"
    en = "{name!r} is the last administrator, and nobody could run the accounts without one. Make another one first."


class NotYourPassword(JieguanError):
    zh = "只有本人或管理员可以更改口令;本人更改须同时给出原口令。"
    en = "A password is changed by its owner, who states the old one as well, or by an administrator."


class NotASquad(JieguanError):
    zh = "现行地图(版本 {version})中没有编码为“{squad}”的中队(有:{known})。请核对编码;新中队须先随地图发布,草案中的不算。"
    en = (
        "The map in force (version {version}) has no squad {squad!r} (it has {known}). Check the code; a new squad is published with the "
        "map first, and one in a draft is none yet."
    )


class NoPublicAccount(JieguanError):
    zh = "公众无需账号或令牌。请另选角色。"
    en = "The public needs no account and no token. Choose another role."


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """The people of one database. `mac`: a keyed hash, by purpose."""

    book: Book
    mac: Callable[[str, bytes], str]
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Entered:
    """A new login. `secret` and `csrf` are shown this once."""

    who: Principal
    secret: str
    csrf: str
    expires: datetime

    def json(self) -> dict[str, Any]:
        """As it is told. The secret goes into a cookie alone."""
        return {**told_principal(self.who), "csrf": self.csrf, "expires_at": self.expires.isoformat()}


def told_principal(who: Principal) -> dict[str, Any]:
    """Who somebody is."""
    return {"account": who.account, "name": who.name, "role": who.role.value, "squad": who.squad, "how": who.how}


# ---- who is asking ---------------------------------------------------------------------------------------------------


def by_session(of: People, secret: str) -> tuple[Principal, str] | None:
    """Whose login this is, and the hash of what his unsafe requests must bring; None: it is none, or over."""
    now, key = of.now(), _sha(secret)
    with of.book.db.reading() as session:
        found = rows.login(session, key)
    if found is None:
        return None
    login, account = found
    over = login.ended_at is not None or login.expires_at <= now or login.seen_at + IDLE <= now
    if over or account.closed_at is not None or login.epoch != account.epoch:
        return None
    if login.seen_at + TOUCH <= now:
        with suppress(WriterBusy), of.book.db.writing() as session:  # the next request will note it
            rows.seen(session, key, now)
    return _principal(account, "session"), login.csrf


def same(csrf: str, kept: str) -> bool:
    """Is it what the login was given?"""
    return hmac.compare_digest(_sha(csrf), kept)


def by_token(of: People, secret: str) -> Principal | None:
    """Whose token this is; None: it is none, or over."""
    now = of.now()
    with of.book.db.reading() as session:
        token = rows.token(session, _sha(secret))
    if token is None or token.ended_at is not None or (token.expires_at is not None and token.expires_at <= now):
        return None
    return Principal(f"token:{token.id[:TOKEN_ID]}", token.name, Role(token.role), _squad(token.squad), "token")


# ---- in and out ------------------------------------------------------------------------------------------------------


def log_in(of: People, name: str, password: str, whence: str, before: str | None = None) -> Entered:
    """A new login, in the place of the one `before`. Raises WrongLogin, TooManyTries."""
    name = unicodedata.normalize("NFC", name).strip()
    account, better = _checked(of, name, password, whence)
    if account is None:
        raise WrongLogin
    return enter(of, account, "password", before, better)


def _checked(of: People, name: str, password: str, whence: str) -> tuple[Account | None, str | None]:
    """The account, if the password is its own. The try is counted before it is made: many at once are no way round. Raises TooManyTries."""
    now, who, where = of.now(), of.mac("login name", name.encode()), of.mac("login address", whence.encode())
    with of.book.db.reading() as session:
        _wait_for(rows.tries(session, who, where, now - WINDOW), now, TRIES)
    with of.book.db.writing() as session:
        rows.forget_old_tries(session, now - WINDOW)
        attempt = rows.tried(session, who, where, now)
    with of.book.db.reading() as session:
        made = rows.tries(session, who, where, now - WINDOW)
        account = rows.account_named(session, name)
    try:
        _wait_for(made, now, TRIES + 1)  # this one is among them
    except TooManyTries:
        with of.book.db.writing() as session:
            rows.not_tried(session, attempt)
        raise
    good, better = passwords.verified(password, None if account is None or account.closed_at is not None else account.password)
    if good:
        with of.book.db.writing() as session:
            rows.forget_tries(session, who)
        return account, better
    actor, role, squad = (NOBODY, Role.PUBLIC.value, None) if account is None else (account.id, account.role, account.squad)
    with of.book.writing() as page:
        page.enter(Entry("login_failed", actor, role, squad, now, {"name": who, "address": where}))
    return None, None


def _wait_for(made: tuple[list[datetime], list[datetime]], now: datetime, most: int) -> None:
    """Raises TooManyTries where there are as many as that."""
    waits = [(times[-most] + WINDOW - now).total_seconds() for times in made if len(times) >= most]
    if waits:
        raise TooManyTries(seconds=max(1, math.ceil(max(waits))))


def enter(of: People, account: Account, how: str, before: str | None = None, better: str | None = None) -> Entered:
    """A new login of somebody who has shown who he is. Raises WrongLogin where the account has changed since."""
    now, secret, csrf = of.now(), secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    with of.book.writing() as page:
        found = rows.account_by_id(page.session, account.id, lock=True)
        if found is None or found.epoch != account.epoch or found.closed_at is not None:
            raise WrongLogin
        if better is not None:
            found.password = better
        if before is not None:
            rows.end_login(page.session, _sha(before), now)
        rows.forget_logins(page.session, now - KEPT)
        page.session.add(tables.Session(
            id=_sha(secret), account_id=found.id, epoch=found.epoch, csrf=_sha(csrf), created_at=now, seen_at=now,
            expires_at=now + LONGEST, ended_at=None,
        ))  # fmt: skip
        who = _principal(found, "session")
        page.enter(_entry("login", who, now, {"how": how}))
    return Entered(who, secret, csrf, now + LONGEST)


def log_out(of: People, who: Principal, secret: str) -> None:
    """The login is over."""
    now = of.now()
    with of.book.writing() as page:
        rows.end_login(page.session, _sha(secret), now)
        page.enter(_entry("logout", who, now, {}))


# ---- accounts --------------------------------------------------------------------------------------------------------


def accounts(of: People) -> list[dict[str, Any]]:
    """All of them, by name."""
    with of.book.db.reading() as session:
        return [told_account(account) for account in rows.accounts(session)]


def new_account(of: People, by: Principal, name: str, role: Role, squad: str | None, password: str | None) -> dict[str, Any]:
    """Without a password, only the identity provider can let him in. Raises BadName, NameTaken, SquadNeeded, NotASquad, WeakPassword."""
    name = named(name)
    _check_role(role, squad)
    checked(of, squad)
    if password is not None:
        passwords.check(password, name)
    kept = None if password is None else passwords.hashed(password)
    return told_account(_added(of, by, name, role, squad, password=kept))


def _added(
    of: People, by: Principal | None, name: str, role: Role, squad: str | None, password: str | None = None, subject: str | None = None
) -> Account:
    """`by` None: himself, as the identity provider sent him."""
    now = of.now()
    account = Account(
        id=str(uuid.uuid4()), name=name, role=role.value, squad=squad, password=password, subject=subject, epoch=0, created_at=now,
        closed_at=None,
    )  # fmt: skip
    try:
        with of.book.writing() as page:
            page.session.add(account)
            page.session.flush()
            actor = _principal(account, "session") if by is None else by
            page.enter(_entry("account_opened", actor, now, {"account": account.id, "role": role.value, "squad": squad}))
    except IntegrityError as error:
        with of.book.db.reading() as session:
            if rows.account_named(session, name) is None:
                raise
        raise NameTaken(name=name) from error
    return account


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of an account; None: as it is. `no_squad`: he belongs to none any more."""

    role: Role | None = None
    squad: str | None = None
    no_squad: bool = False
    closed: bool | None = None


def change_account(of: People, by: Principal, name: str, change: Change) -> dict[str, Any]:
    """Another role or squad, closing, opening again: each ends his logins. A squad that is not named now is not asked for anew.

    Raises UnknownAccount, SquadNeeded, NotASquad, LastAdministrator.
    """
    now = of.now()
    checked(of, change.squad)
    with of.book.writing() as page:
        account = rows.account_named(page.session, named(name), lock=True)
        if account is None:
            raise UnknownAccount(name=name)
        role = Role(account.role) if change.role is None else change.role
        squad = None if change.no_squad else account.squad if change.squad is None else change.squad
        closed = (account.closed_at is not None) if change.closed is None else change.closed
        _check_role(role, squad)
        runs = account.role == Role.ADMINISTRATOR.value and account.closed_at is None
        if runs and (closed or role is not Role.ADMINISTRATOR) and not rows.other_administrators(page.session, account.id):
            raise LastAdministrator(name=account.name)
        _set(account, role, squad, closed, now)
        page.enter(_entry("account_changed", by, now, {"account": account.id, "role": role.value, "squad": squad, "closed": closed}))
    return told_account(account)


def _set(account: Account, role: Role, squad: str | None, closed: bool, now: datetime) -> None:
    if (account.role, account.squad, account.closed_at is not None) != (role.value, squad, closed):
        account.epoch += 1
    account.role, account.squad = role.value, squad
    account.closed_at = (account.closed_at or now) if closed else None


def set_password(of: People, by: Principal, name: str, password: str, old: str | None, whence: str) -> None:
    """A new password; it ends all logins of the account. Raises UnknownAccount, NotYourPassword, WrongLogin, TooManyTries, WeakPassword."""
    name = named(name)
    own = by.how == "session" and by.name == name
    if own or by.role is not Role.ADMINISTRATOR:
        if not own or old is None:
            raise NotYourPassword
        if _checked(of, name, old, whence)[0] is None:
            raise WrongLogin
    passwords.check(password, name)
    kept, now = passwords.hashed(password), of.now()
    with of.book.writing() as page:
        account = rows.account_named(page.session, name, lock=True)
        if account is None:
            raise UnknownAccount(name=name)
        account.password = kept
        account.epoch += 1
        page.enter(_entry("password_changed", by, now, {"account": account.id}))


def of_provider(of: People, known: Known) -> Account:
    """The account of somebody the identity provider sends, as it says he is now.

    Raises NameTaken, BadName, SquadNeeded, NotASquad, WrongLogin.
    """
    _check_role(known.role, known.squad)
    checked(of, known.squad)
    with of.book.db.reading() as session:
        account = rows.account_of(session, known.subject)
        free = next((n for n in known.names if rows.account_named(session, named(n)) is None), known.names[-1])
    if account is None:
        return _added(of, None, named(free), known.role, known.squad, subject=known.subject)
    if account.closed_at is not None:
        raise WrongLogin
    if (account.role, account.squad) == (known.role.value, known.squad):
        return account
    now = of.now()
    with of.book.writing() as page:
        changed = rows.account_of(page.session, known.subject, lock=True)
        assert changed is not None  # none is ever removed
        _set(changed, known.role, known.squad, changed.closed_at is not None, now)
        body = {"account": changed.id, "role": changed.role, "squad": changed.squad, "closed": changed.closed_at is not None}
        page.enter(_entry("account_changed", _principal(changed, "session"), now, body))
    return changed


def told_account(account: Account) -> dict[str, Any]:
    """An account, without what is secret of it."""
    return {
        "id": account.id, "name": account.name, "role": account.role, "squad": account.squad, "password": account.password is not None,
        "identity_provider": account.subject is not None, "created_at": account.created_at.isoformat(),
        "closed_at": _text(account.closed_at),
    }  # fmt: skip


# ---- tokens ----------------------------------------------------------------------------------------------------------


def tokens(of: People) -> list[dict[str, Any]]:
    """All of them, the latest first."""
    with of.book.db.reading() as session:
        return [_told_token(token) for token in rows.tokens(session)]


def new_token(of: People, by: Principal, name: str, role: Role, squad: str | None, days: int | None) -> tuple[str, dict[str, Any]]:
    """Its secret, shown this once; and the token. Raises BadName, SquadNeeded, NotASquad, NoPublicAccount."""
    now, secret = of.now(), f"jieguan_{secrets.token_urlsafe(32)}"
    _check_role(role, squad)
    checked(of, squad)
    token = Token(
        id=_sha(secret), name=named(name), role=role.value, squad=squad, created_by=by.account, created_at=now,
        expires_at=None if days is None else now + timedelta(days=days), ended_at=None,
    )  # fmt: skip
    with of.book.writing() as page:
        page.session.add(token)
        body = {"token": token.id[:TOKEN_ID], "role": role.value, "squad": squad, "expires_at": _text(token.expires_at)}
        page.enter(_entry("token_made", by, now, body))
    return secret, _told_token(token)


def end_token(of: People, by: Principal, token: str) -> dict[str, Any]:
    """From now on it opens nothing; a second time: nothing. Raises UnknownToken."""
    now = of.now()
    with of.book.writing() as page:
        good = len(token) == TOKEN_ID and set(token) <= set("0123456789abcdef")
        found = rows.token(page.session, token, lock=True) if good else None
        if found is None:
            raise UnknownToken(token=token[:80])
        if found.ended_at is None:
            found.ended_at = now
            page.enter(_entry("token_ended", by, now, {"token": token}))
    return _told_token(found)


def _told_token(token: Token) -> dict[str, Any]:
    return {
        "id": token.id[:TOKEN_ID], "name": token.name, "role": token.role, "squad": token.squad, "created_by": token.created_by,
        "created_at": token.created_at.isoformat(), "expires_at": _text(token.expires_at), "ended_at": _text(token.ended_at),
    }  # fmt: skip


# ---- what they share -------------------------------------------------------------------------------------------------


def named(name: str) -> str:
    """A name as it is kept. Raises BadName."""
    plain = unicodedata.normalize("NFC", name).strip()
    if not plain.isprintable() or not 0 < len(plain) <= 100 or plain == NOBODY:
        raise BadName(name=plain[:100])
    return plain


def _check_role(role: Role, squad: str | None) -> None:
    if role is Role.PUBLIC:
        raise NoPublicAccount
    if role in SQUAD and not squad:
        raise SquadNeeded(role=role.value)


def checked(of: People, squad: str | None) -> bool:
    """Is it a squad of the map in force? False: there is no map yet, and nobody can know. Raises NotASquad."""
    if squad is None:
        return True
    with of.book.db.reading() as session:
        try:
            version = store.in_force(session, of.now()).version
        except store.NothingInForce:
            return False
        known = [row.code for row in store.read_rows(session, version, LayerName.SQUAD)]
    if squad not in known:
        some = ", ".join(sorted(known)[:SHOWN])
        raise NotASquad(squad=squad[:80], version=version[:12], known=some + (", …" if len(known) > SHOWN else ""))
    return True


def _principal(account: Account, how: str) -> Principal:
    return Principal(account.id, account.name, Role(account.role), _squad(account.squad), how)


def _squad(code: str | None) -> SquadCode | None:
    return None if code is None else SquadCode(code)


def _entry(kind: str, who: Principal, at: datetime, body: dict[str, Any]) -> Entry:
    return Entry(kind, who.account, who.role.value, who.squad, at, body)


def _sha(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
