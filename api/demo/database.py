"""The demo in a database: the city's map in force since a year ago, people of every role, and a year of synthetic cases.

    made = make_in_database(serving_of("demo.db"), 500, SEED, utc_now(), progress)

All by the use cases anybody else would use. Kept to this machine: the passwords are printed, and everybody knows the names.
"""

from __future__ import annotations

import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import sqlalchemy as sa
from sqlalchemy import URL

from api.access import Principal
from api.demo import FEWEST_IN_DATABASE
from api.demo.city import METRES, City, city
from api.demo.files import write_city
from api.demo.make import TooFewCases
from api.demo.year import Clock, People, begin_of_year, lived, year
from api.security import is_loopback
from api.settings import Serving
from api.store.opening import Working, working
from api.store.setup import initialise, opened
from api.store.tables import CaseFile, Event
from api.usecases import layers_inout as inout
from api.usecases import people as use
from api.usecases.intake import Complaint
from api.usecases.office import Office
from api.usecases.signs import Signs
from geodata.compile import Progress
from geodata.db.engine import DatabaseMissing, NotInitialised, PostgisMissing, parse_url
from geodata.store import Maps
from routing.case import Role
from routing.errors import JieguanError
from routing.model import SquadCode

BY = "演示 demo"
LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""Of passwords: none that looks like another."""
PASSWORD = 16
"""Letters: 80 bits."""
TOKEN_DAYS = 2 * 365
"""From the beginning of the year on."""
OURS = Principal("cli", "cli:demo", Role.ADMINISTRATOR, None, "cli")
OFFICE = (Role.OPERATOR, Role.DISPATCHER, Role.SUPERVISOR, Role.PLANNER, Role.ADMINISTRATOR)


class DemoElsewhere(JieguanError):
    zh = "演示数据只写入本机的数据库,而 {url} 在 {host}:演示账号的名字人人知道,不能放到别处。请用嵌入式文件,或本机的 PostgreSQL。"
    en = (
        "The demo goes into a database on this machine only, and {url} is on {host}: everybody knows the names of its accounts. Take an "
        "embedded file, or a PostgreSQL of this machine."
    )


class CasesThere(JieguanError):
    zh = "数据库 {url} 中已有 {count} 件案件:演示数据只写入没有案件的数据库,以免混在一起。请另选一个。"
    en = "The database {url} has {count} cases already, and the demo is not mixed with others: it goes where there are none. Name another."


class AnotherMap(JieguanError):
    zh = "数据库 {url} 中已有另一张地图:演示案件要落在演示城区。请另选一个数据库。"
    en = "The database {url} has another map already, and the cases of the demo happen in the demo city. Name another database."


@dataclass(frozen=True, slots=True)
class Login:
    """One of the people of the demo. `secret`: a password; of a machine its bearer token."""

    name: str
    role: Role
    squad: str | None
    squad_name: str | None
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class InDatabase:
    """What was made. `states`: cases by state; `actions`: entries of the record by what was done. `master_made`: where a new master
    key lies."""

    url: str
    version: str
    cases: int
    states: Mapping[str, int]
    actions: Mapping[str, int]
    logins: tuple[Login, ...]
    master_made: str | None


def as_they_are(_: int, complaint: Complaint) -> Complaint:
    return complaint


def make_in_database(
    serving: Serving, cases: int, seed: int, now: datetime, progress: Progress, written: Callable[[int, Complaint], Complaint] = as_they_are
) -> InDatabase:
    """Fill a database of this machine, made if need be. `written`: each complaint, by its number, as it is to be taken in.

    Raises TooFewCases, DemoElsewhere, CasesThere, AnotherMap, and what opening a database raises.
    """
    if cases < FEWEST_IN_DATABASE:
        raise TooFewCases(value=cases, least=FEWEST_IN_DATABASE)
    _require_here(serving.database)
    _require_schema(serving.database)
    made, zone = city(seed), ZoneInfo(serving.zone)
    with working(serving) as has:
        _require_no_cases(has)
        clock = Clock(begin_of_year(now, zone))
        office = Office(has.db, Maps(1), has.book, has.vault, clock, zone)
        version = _map(has, made, seed, clock.at, now, progress)
        with has.db.reading() as session:
            signs = office.signs.of(session, version)
        people, logins = _people(has, clock, signs)
        coming = year(made, people, cases, seed, now, zone)
        coming = [replace(one, complaint=written(k, one.complaint)) for k, one in enumerate(coming, 1)]
        lived(office, clock, people, coming, seed, now, tuple(sorted(made.territories)), progress)
        states, actions = _counted(has)
        key = None if has.vault.made is None else str(has.vault.made)
        return InDatabase(has.db.url, version, sum(states.values()), states, actions, logins, key)


# ---- may it? ---------------------------------------------------------------------------------------------------------


def _require_here(database: str) -> None:
    url = parse_url(database)
    if url.drivername == "gpkg":
        return
    for host in hosts_of(url):
        if not _is_here(host):
            raise DemoElsewhere(url=url.render_as_string(hide_password=True), host=host)


def hosts_of(url: URL) -> Iterator[str]:
    """Every host the driver might ask, as libpq finds them: the URL's, else the environment's. Nothing at all is a socket."""
    stated = {name: value for name, value in url.query.items() if isinstance(value, str)}
    usual = {d.keyword.decode(): d.val.decode() for d in psycopg.pq.Conninfo.get_defaults() if d.val}
    if "service" in stated or "servicefile" in stated:
        yield f"service {stated.get('service', '')}"
    given = [found for found in (url.host, stated.get("host"), stated.get("hostaddr")) if found]
    for found in given or [usual.get("host", ""), usual.get("hostaddr", "")]:
        yield from found.split(",")


def _is_here(host: str) -> bool:
    """A socket, or an address of this machine alone."""
    if not host or host[0] in "/@" or is_loopback(host):
        return True
    with suppress(OSError, UnicodeError):
        found = {str(address[4][0]) for address in socket.getaddrinfo(host, None)}
        return bool(found) and all(is_loopback(address) for address in found)
    return False


def _require_schema(database: str) -> None:
    """What is there already stays as it is."""
    try:
        opened(database).close()
    except (DatabaseMissing, NotInitialised, PostgisMissing):
        initialise(database, f"EPSG:{METRES.to_epsg()}")


def _require_no_cases(has: Working) -> None:
    with has.db.reading() as session:
        count = session.scalar(sa.select(sa.func.count()).select_from(CaseFile))
    if count:
        raise CasesThere(url=has.db.url, count=count)


# ---- the map and the people ------------------------------------------------------------------------------------------


def _map(has: Working, made: City, seed: int, begin: datetime, now: datetime, progress: Progress) -> str:
    """The demo city in force since `begin`. What its lines lack goes into the ledger of defects."""
    with tempfile.TemporaryDirectory() as folder:
        files, _ = write_city(made, FEWEST_IN_DATABASE, seed, Path(folder))
        plan = inout.plan_import(has.db, files)
    if plan.base is None:
        inout.publish_plan(
            has.db, plan, by=BY, reason=f"{BY} {seed}", clock=lambda: now, valid_from=begin, defects_to=BY, progress=progress
        )
    elif plan.changes.rows:
        raise AnotherMap(url=has.db.url)
    return plan.version


def _people(has: Working, clock: Clock, signs: Signs) -> tuple[People, tuple[Login, ...]]:
    """An account for each role, two for each squad, a token for a machine; all since the beginning of the year."""
    of = use.People(has.book, has.vault.mac, clock)
    wanted: list[tuple[str, Role, SquadCode | None]] = [(f"demo-{role.value}", role, None) for role in OFFICE]
    wanted.append(("demo-supervisor-2", Role.SUPERVISOR, None))  # nobody checks his own work
    for squad in sorted(signs.holders):
        wanted += [(f"demo-leader-{squad}", Role.LEADER, squad), (f"demo-member-{squad}", Role.MEMBER, squad)]
    people: dict[tuple[Role, str | None], list[Principal]] = {}
    logins = []
    for name, role, of_squad in wanted:
        password = "".join(secrets.choice(LETTERS) for _ in range(PASSWORD))
        account = _account(of, name, role, of_squad, password)
        people.setdefault((role, of_squad), []).append(Principal(account, name, role, of_squad, "session"))
        logins.append(Login(name, role, of_squad, None if of_squad is None else signs.squads[of_squad], password))
    secret, token = use.new_token(of, OURS, "demo-machine", Role.MACHINE, None, TOKEN_DAYS)
    people[Role.MACHINE, None] = [Principal(f"token:{token['id']}", token["name"], Role.MACHINE, None, "token")]
    return people, (*logins, Login("demo-machine", Role.MACHINE, None, None, secret))


def _account(of: use.People, name: str, role: Role, squad: str | None, password: str) -> str:
    """The id of a new account; of one that a demo cut short has left, with a new password."""
    try:
        return str(use.new_account(of, OURS, name, role, squad, password)["id"])
    except use.NameTaken:
        there = next(a for a in use.accounts(of) if a["name"] == name)
        if (there["role"], there["squad"], there["closed_at"]) != (role.value, squad, None):
            raise
    use.set_password(of, OURS, name, password, None, "-")
    return str(there["id"])


def _counted(has: Working) -> tuple[dict[str, int], dict[str, int]]:
    with has.db.reading() as session:
        states = dict(session.execute(sa.select(CaseFile.state, sa.func.count()).group_by(CaseFile.state)).all())
        actions: dict[str, int] = {}
        for body in session.scalars(sa.select(Event.body).where(Event.kind == "moved").execution_options(yield_per=1000)):
            actions[body["action"]] = actions.get(body["action"], 0) + 1
    return dict(sorted(states.items())), dict(sorted(actions.items()))
