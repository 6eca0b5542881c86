"""`jieguan user`, `jieguan token`, `jieguan openapi`: accounts and tokens for whoever holds the database itself."""

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from api.access import Principal, role_named
from api.cli_audit import DatabaseOption
from api.cli_options import JsonOption, LangOption
from api.console import err, out, print_json, say, utc_now
from api.settings import serving_of
from routing.case import Role

user = typer.Typer(no_args_is_help=True, help="user")
token = typer.Typer(no_args_is_help=True, help="token")

Opt = typer.Option
Name = Annotated[str, typer.Argument(help="user_name", metavar="NAME")]
RoleOption = Annotated[str, Opt("--role", help="user_role_option")]
Squad = Annotated[str | None, Opt("--squad", help="user_squad")]
Stdin = Annotated[bool, Opt("--password-stdin", help="user_password_stdin")]


@contextmanager
def _people(db: str | None) -> Iterator[tuple[Any, Principal]]:
    """The people of a database, and us: whoever can open it is an administrator."""
    from api.store.opening import working
    from api.usecases.people import People

    with working(serving_of(db)) as has:
        if has.vault.made is not None:
            err.print(say("master_made", file=has.vault.made), highlight=False, markup=False, soft_wrap=True)
        yield People(has.book, has.vault.mac, utc_now), Principal("cli", f"cli:{this_user()}", Role.ADMINISTRATOR, None, "cli")


def this_user() -> str:
    """The user of this machine, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have a number and no name
        return "-"


def _password() -> str:
    """All of standard input, but for the end of its line."""
    return sys.stdin.read().removesuffix("\n").removesuffix("\r")


@user.command(name="add", help="user_add")
def add(
    name: Name, role: RoleOption, squad: Squad = None, password_stdin: Stdin = False, db: DatabaseOption = None,
    as_json: JsonOption = False, lang: LangOption = None,
) -> None:  # fmt: skip
    from api.usecases import people as use

    kind = role_named(role)
    with _people(db) as (of, by):
        made = use.new_account(of, by, name, kind, squad, _password() if password_stdin else None)
        _check_said(of, squad)
    _told(made, "user_added", as_json)


@user.command(name="list", help="user_list")
def list_(db: DatabaseOption = None, as_json: JsonOption = False, lang: LangOption = None) -> None:
    from api.usecases import people as use

    with _people(db) as (of, _):
        found = use.accounts(of)
    rows = [(a["name"], a["role"], a["squad"], _way(a), _day(a["created_at"]), _day(a["closed_at"])) for a in found]
    _table(found, ("t_name", "t_role", "t_squad", "t_login", "t_since", "t_closed"), rows, as_json)


def _way(account: dict[str, Any]) -> str:
    return say("login_password" if account["password"] else "login_provider" if account["identity_provider"] else "login_none")


@user.command(name="role", help="user_role")
def role_(
    name: Name, role: RoleOption, squad: Squad = None, db: DatabaseOption = None, as_json: JsonOption = False, lang: LangOption = None
) -> None:
    from api.usecases import people as use

    change = use.Change(role_named(role), squad, no_squad=squad is None)
    with _people(db) as (of, by):
        made = use.change_account(of, by, name, change)
        _check_said(of, squad)
    _told({**made, "squad": made["squad"] or "-"} if not as_json else made, "user_changed", as_json)


@user.command(name="password", help="user_password")
def password_(
    name: Name, password_stdin: Annotated[bool, Opt("--password-stdin", help="user_password_stdin")], db: DatabaseOption = None,
    as_json: JsonOption = False, lang: LangOption = None,
) -> None:  # fmt: skip
    from api.usecases import people as use

    with _people(db) as (of, by):
        use.set_password(of, by, name, _password(), None, "-")
    _told({"name": name}, "user_password_set", as_json)


@user.command(name="close", help="user_close")
def close(name: Name, db: DatabaseOption = None, as_json: JsonOption = False, lang: LangOption = None) -> None:
    _closed(db, name, True, as_json)


@user.command(name="open", help="user_open")
def open_(name: Name, db: DatabaseOption = None, as_json: JsonOption = False, lang: LangOption = None) -> None:
    _closed(db, name, False, as_json)


def _closed(db: str | None, name: str, closed: bool, as_json: bool) -> None:
    from api.usecases import people as use

    with _people(db) as (of, by):
        made = use.change_account(of, by, name, use.Change(closed=closed))
    _told(made, "user_closed" if closed else "user_opened", as_json)


@token.command(name="new", help="token_new")
def new(
    role: RoleOption, squad: Squad = None, name: Annotated[str | None, Opt("--name", help="token_name")] = None,
    days: Annotated[int | None, Opt("--days", min=1, max=3650, help="token_days")] = None, db: DatabaseOption = None,
    as_json: JsonOption = False, lang: LangOption = None,
) -> None:  # fmt: skip
    from api.usecases import people as use

    kind = role_named(role)
    with _people(db) as (of, by):
        secret, made = use.new_token(of, by, role if name is None else name, kind, squad, days)
        _check_said(of, squad)
    if as_json:
        print_json({**made, "secret": secret})
        return
    print(secret)  # noqa: T201 - alone, for a program to read


@token.command(name="list", help="token_list")
def tokens(db: DatabaseOption = None, as_json: JsonOption = False, lang: LangOption = None) -> None:
    from api.usecases import people as use

    with _people(db) as (of, _):
        found = use.tokens(of)
    rows = [(t["id"], t["name"], t["role"], t["squad"], _day(t["created_at"]), _day(t["ended_at"] or t["expires_at"])) for t in found]
    _table(found, ("t_id", "t_name", "t_role", "t_squad", "t_since", "t_until"), rows, as_json)


@token.command(name="end", help="token_end")
def end(
    name: Annotated[str, typer.Argument(help="token_id", metavar="ID")],
    db: DatabaseOption = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    from api.usecases import people as use

    with _people(db) as (of, by):
        ended = use.end_token(of, by, name)
    _told(ended, "token_ended", as_json)


def openapi(as_json: JsonOption = False, lang: LangOption = None) -> None:
    from api.app import create_app

    print_json(create_app(serving_of(None)).openapi())  # nothing is opened before it is started


def _check_said(of: Any, squad: str | None) -> None:
    """On the error stream: what stands on the other may be read by a program."""
    from api.usecases import people as use

    if not use.checked(of, squad):
        err.print(say("assumed", text=say("squad_unchecked", squad=squad)), highlight=False, markup=False, soft_wrap=True)


def _day(at: str | None) -> str | None:
    """For the eye; `--json` has the instant."""
    return None if at is None else at[:10]


def _told(facts: dict[str, Any], key: str, as_json: bool) -> None:
    if as_json:
        print_json(facts)
    else:
        out.print(say(key, **facts), highlight=False, markup=False, soft_wrap=True)


def _table(found: list[dict[str, Any]], headings: tuple[str, ...], rows: list[tuple[Any, ...]], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    table = Table()
    for heading in headings:
        table.add_column(say(heading), overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))  # text: a name may look like markup
    out.print(table)
