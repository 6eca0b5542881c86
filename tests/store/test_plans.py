"""Every statement that the use cases of cases run is served by an index, on both databases; and a queue is read in its order, never sorted.

The use cases are run and what they send is caught; then the database says how it would do it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from api.access import Principal
from api.settings import Serving
from api.store import cases
from api.store.opening import working
from api.store.tables import CASES
from api.usecases import erasure, georeport, queues
from api.usecases.intake import Complaint, Contact, take_in
from api.usecases.lifecycle import Wanted, act
from api.usecases.office import Office
from api.usecases.placing import Where
from api.usecases.queues import After, Filters
from api.usecases.replays import Asked, before
from geodata.db.engine import Database
from geodata.store import Maps
from routing.case import Action, Role
from routing.model import SquadCode
from tests.api.live import place, published
from tests.db.conftest import NewUrl

NOW = datetime(2026, 11, 20, 2, tzinfo=UTC)
OFFICE = (Role.OPERATOR, Role.DISPATCHER, Role.SUPERVISOR)
OPERATOR, DISPATCHER, SUPERVISOR = (Principal(role.value, role.value, role, None, "session") for role in OFFICE)
LEADER = Principal("leader", "leader", Role.LEADER, SquadCode("su01"), "session")
MACHINE = Principal("token:1", "12345", Role.MACHINE, None, "token")
FEW = {"category", "chain_head", "escalation", "limit_rule", "publication_rule", "rule"}
"""Tables of a few dozen rows at most, whatever happens: reading them whole is as good as any index."""
OURS = {table.__tablename__ for table in CASES.tables} - FEW


@dataclass(frozen=True)
class Sent:
    """A statement as it was sent, with its parameters."""

    text: str
    parameters: Any

    def plan(self, db: Database) -> list[str]:
        """How it would be done: reads of tables of ours without an index, and sorts. Empty: neither."""
        return _lite(db, self) if db.kind == "embedded" else _postgresql(db, self)


def _lite(db: Database, sent: Sent) -> list[str]:
    with db.read.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sent.text}", sent.parameters).all()
    details = [str(row[-1]) for row in rows]
    bare = [d for d in details if re.match(r"SCAN (?!.*USING)", d) and _names(sent.text, d.split()[1]) & OURS]
    return bare + [d for d in details if "TEMP B-TREE" in d]


def _names(text: str, alias: str) -> set[str]:
    """The table an alias stands for."""
    return {alias, *re.findall(rf"(\w+) AS {re.escape(alias)}\b", text)}


def _postgresql(db: Database, sent: Sent) -> list[str]:
    """With few rows PostgreSQL reads them all; told not to if there is any other way, it shows whether there is one."""
    with db.read.connect() as connection:
        for way in ("seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin"):
            connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
        (found,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sent.text}", sent.parameters).one()
    told = found if isinstance(found, list) else json.loads(found)
    nodes = list(_nodes(told[0]["Plan"]))
    bare = [f"Seq Scan on {n['Relation Name']}" for n in nodes if n["Node Type"] == "Seq Scan" and n["Relation Name"] in OURS]
    return bare + ["Sort" for n in nodes if n["Node Type"] in ("Sort", "Incremental Sort")]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


@contextmanager
def caught(db: Database) -> Iterator[list[Sent]]:
    """What is sent meanwhile, each text once."""
    found: dict[str, Sent] = {}

    def sending(_: Any, __: Any, statement: str, parameters: Any, ___: Any, many: bool) -> None:
        if re.match(r"\s*(SELECT|UPDATE|DELETE|WITH)\b", statement):
            found.setdefault(statement, Sent(statement, parameters[0] if many else parameters))

    sent: list[Sent] = []
    event.listen(sa.Engine, "before_cursor_execute", sending)
    try:
        yield sent
    finally:
        event.remove(sa.Engine, "before_cursor_execute", sending)
        sent += found.values()


@pytest.fixture
def office(new_url: NewUrl, tmp_path: Path) -> Iterator[Office]:
    url = new_url(initialised=True)
    published(url)
    with working(Serving(url, private=str(tmp_path / "private"))) as has:
        of = Office(has.db, Maps(1), has.book, has.vault, lambda: NOW, UTC)
        for k in range(5):
            _taken(of, k)
        yield of


def _taken(of: Office, k: int, who: Principal = OPERATOR) -> str:
    what = Complaint("GB30428:0501", "占道", "phone", Where(**place(1_500, 400 + 10 * k)), contact=Contact("王", "13812345678"))
    return str(take_in(of, who, what, Asked(f"key {k}", b"x"), "en").body["number"])


def _goes(of: Office, number: str) -> None:
    """All that happens to a case with every kind of side."""
    seen = 1
    reason: dict[str, Any] = {"reason": "x", "evidence": ("x",)}
    for who, action, more in (
        (OPERATOR, Action.ACCEPT, {}), (DISPATCHER, Action.REGISTER, {}), (DISPATCHER, Action.DISPATCH, {}), (LEADER, Action.SIGN, {}),
        (SUPERVISOR, Action.SUPERVISE, reason), (LEADER, Action.ANSWER_SUPERVISION, reason),
        (LEADER, Action.OFFER, {**reason, "squad": "su00"}), (LEADER, Action.WITHDRAW_OFFER, {}),
        (DISPATCHER, Action.START_JOINT, {**reason, "squads": ("su00",)}),
        (DISPATCHER, Action.REROUTE, {**reason, "category": "GB30428:0504"}),
        (DISPATCHER, Action.REFER, reason), (DISPATCHER, Action.DESIGNATE, {**reason, "squad": "su01", "document": "1"}),
        (LEADER, Action.REQUEST_RETURN, reason),
    ):  # fmt: skip
        seen = act(of, who, number, Wanted(action, seen, **more), Asked(f"{number} {action}", b""), "en").body["version"]


def indexed(of: Office, use: Callable[[], Any], *, sorts: bool = False) -> list[Sent]:
    """Run it, and have every statement of it explained. `sorts`: it may, since what is sorted is little: a case has few sides."""
    with caught(of.db) as sent:
        use()
    assert sent
    bad = [(s.text, plan) for s in sent if (plan := [p for p in s.plan(of.db) if not sorts or ("Sort" not in p and "TEMP" not in p)])]
    assert not bad, "\n\n".join(f"{text}\n  -> {plan}" for text, plan in bad)
    return sent


FILTERS = {
    "none": Filters(), "part": Filters(part="holds"), "state": Filters(state="received"), "category": Filters(category="GB30428:0501"),
    "doubtful": Filters(doubtful=False), "ended": Filters(closed=True), "since": Filters(since=NOW - timedelta(days=1)),
    "until": Filters(until=NOW + timedelta(days=1)), "holder": Filters(holder="su00"),
    "all of them": Filters("holds", "received", "GB30428:0501", False, True, "su00", NOW - timedelta(days=1), NOW),
}  # fmt: skip


@pytest.mark.parametrize("name", FILTERS)
def test_a_page_of_a_queue_is_one_range_of_an_index(office: Office, name: str) -> None:
    for begin in (None, After(2, NOW, 3)):
        sent = indexed(office, lambda begin=begin: queues.queue(office, LEADER, "su01", FILTERS[name], 10, begin, "en"))
        assert len(sent) == 1, [s.text for s in sent]  # one statement, however many lines


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("who", [DISPATCHER, MACHINE, LEADER], ids=lambda who: who.role.value)
def test_a_page_of_all_cases_is_one_range_of_an_index(office: Office, name: str, who: Principal) -> None:
    """A category within a period is a range, too, which SQLite prefers to read, and sorts: nothing else is."""
    for begin in (None, After(2, NOW, 3)):
        sorts = name == "all of them" and who is not LEADER
        indexed(office, lambda begin=begin: queues.found(office, who, FILTERS[name], 10, begin, "en"), sorts=sorts)


def test_looking_at_a_case_takes_indexes_only(office: Office) -> None:
    with office.db.reading() as session:
        number = session.scalars(sa.text("SELECT number FROM case_file")).first()
    for look in (queues.one, queues.story):
        indexed(office, lambda look=look: look(office, DISPATCHER, number, "en"), sorts=True)
    indexed(office, lambda: queues.held(office, DISPATCHER, number))
    indexed(office, lambda: before(office, OPERATOR, Asked("key 1", b"x")))

    def parts() -> None:
        with office.db.reading() as session:
            row = cases.find(session, number)
            cases.part_of(session, row, "su01")
            cases.parts_of(session, [row], "su01")

    indexed(office, parts)


def test_taking_in_and_every_move_takes_indexes_only(office: Office) -> None:
    numbers: list[str] = []
    indexed(office, lambda: numbers.append(_taken(office, 9, MACHINE)))
    indexed(office, lambda: _goes(office, _taken(office, 10)), sorts=True)


PUBLIC = {
    "none": {}, "ended": {"status": "closed"}, "one": {"service_request_id": "x"}, "code": {"service_code": "GB30428:0501"},
    "codes": {"service_code": "GB30428:0501,GB30428:0504"}, "dates": {"start_date": "2026-11-01", "end_date": "2026-11-30"},
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLIC)
def test_what_the_public_asks_for_is_a_range_of_an_index(office: Office, name: str) -> None:
    """A category within a period is sorted, and so are the few that are asked for by number."""
    asked = georeport.wanted(PUBLIC[name], lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC))
    indexed(office, lambda: georeport.requests(office, asked, "en"), sorts=name in ("one", "code", "codes"))


def test_what_runs_once_a_day_takes_indexes_too(office: Office) -> None:
    from api.usecases.replays import forget

    later = replace(office, now=lambda: NOW + timedelta(days=3))
    indexed(office, lambda: forget(later))
    indexed(office, lambda: erasure.sweep(office.book, office.vault, SUPERVISOR.actor, NOW + timedelta(days=4_000)))


def test_a_scan_and_a_sort_would_be_seen(office: Office) -> None:
    for text in ("SELECT id FROM case_file WHERE channel = 'phone'", "SELECT id FROM case_file ORDER BY channel"):
        assert Sent(text, ()).plan(office.db)
