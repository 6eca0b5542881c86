"""Workers are killed, the database server is restarted, clients go on: what was acknowledged is there, once, and in order.

Every client keeps what it was told. Afterwards the rows are held against it: each acknowledged complaint is one case, each acknowledged
order is an entry of that case's record at that version, every open case has one holder, and the record verifies against its anchor.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import make_url

from api.settings import private_folder
from api.store.record import Anchor, verify
from api.store.setup import initialise, opened
from api.store.tables import WHOLE, CaseFile, Event, Holding
from geodata.db.copying import check
from tests.api.live import place, published, served
from tests.api.staff import Office, Staff, complaint
from tests.db.conftest import WORK_CRS, NewUrl

BEGIN = datetime(2026, 10, 1, tzinfo=UTC)


@dataclass
class Told:
    """What clients were told, and how often they had to ask again."""

    cases: dict[int, str] = field(default_factory=dict)
    """Marker -> number of the case."""
    orders: list[tuple[str, int, str]] = field(default_factory=list)
    """Number, version, action."""
    refused: Counter[int] = field(default_factory=Counter)
    retried: int = 0
    markers: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def marker(self) -> int:
        with self.lock:
            self.markers += 1
            return self.markers


def send(staff: Staff, path: str, body: Any, key: str, told: Told, over: threading.Event) -> httpx.Response | None:
    """Until there is an answer that is one: not a connection that broke, not "not now"."""
    while True:
        try:
            answer = staff.http.post(path, json=body, headers={"Idempotency-Key": key})
            if answer.status_code < 500:
                return answer
            assert answer.status_code in (503, 507), answer.text
        except httpx.TransportError:
            pass
        if over.is_set():
            return None  # nobody knows what became of this one
        with told.lock:
            told.retried += 1
        time.sleep(0.05)


def client(seed: int, office: Office, told: Told, until: float, over: threading.Event) -> None:
    """Complaints, and orders on cases that were acknowledged, by anybody's."""
    rng = random.Random(seed)
    people = [office.operator, office.dispatcher, office.leader("su00"), office.leader("su01")]
    while time.monotonic() < until:
        if rng.random() < 0.4 or not told.cases:
            marker = told.marker()
            body = complaint(place(rng.uniform(100, 1_900), 500), occurred_at=_instant(marker))
            answer = send(office.operator, "/api/v1/cases", body, f"case {marker}", told, over)
            if answer is not None:
                assert answer.status_code == 201, answer.text
                with told.lock:
                    told.cases[marker] = answer.json()["number"]
            continue
        number = rng.choice(list(told.cases.values()))
        staff = rng.choice(people)
        try:
            found = staff.http.get(f"/api/v1/cases/{number}")
        except httpx.TransportError:
            continue
        ways = found.json().get("allowed") if found.status_code == 200 else None
        if not ways:
            continue
        action = rng.choice(ways)
        body = {"action": action, "seen": found.json()["version"], "reason": "理由", "evidence": ["照片"], "document": "文 1"}
        if action in ("transfer", "designate", "accept_return", "offer"):
            body["squad"] = rng.choice(["su00", "su01"])
        if action == "start_joint":
            body["squads"] = ["su02"]
        if action == "reroute":
            body["where"] = place(rng.uniform(100, 1_900), 500)
        if action in ("suspend", "request_suspension"):
            body["review"] = "2030-01-01T00:00:00Z"
        answer = send(staff, f"/api/v1/cases/{number}/actions", body, f"order {seed} {rng.random()}", told, over)
        if answer is None:
            continue
        with told.lock:
            if answer.status_code == 200:
                told.orders.append((number, answer.json()["version"], action))
            else:
                assert answer.status_code in (404, 409), answer.text
                told.refused[answer.status_code] += 1


def _instant(marker: int) -> str:
    return (BEGIN + timedelta(seconds=marker)).isoformat()


def workers_of(base: str) -> list[int]:
    """The processes that answer: forked from one that the one who listens has started."""
    port = base.rpartition(":")[2]
    found = subprocess.run(["pgrep", "-f", "multiprocessing.forkserver"], capture_output=True, text=True, check=False).stdout.split()
    return [pid for pid in map(int, found) if port in words_of(parent_of(parent_of(pid)))]


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):  # it has gone
        return 0


def words_of(pid: int) -> list[str]:
    """The command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []


def hold(url: str, clients: int, seconds: float, every: float, *, restart: Callable[[], None] = lambda: None, restarts: int = 0) -> str:
    published(url)
    told, over = Told(), threading.Event()
    with served(url, "--development") as base:  # the kernels are compiled before the clock runs, and kept
        marker = told.marker()
        told.cases[marker] = Office(base).operator.take(500, 500, occurred_at=_instant(marker))["number"]
    with served(url, "--workers", "2", "--development", "--port", str(free_port())) as base:
        office = Office(base)
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=client, args=(k, office, told, until, over)) for k in range(clients)]
        for thread in threads:
            thread.start()
        kills, done, next_restart = 0, 0, seconds / (restarts + 1)
        while time.monotonic() < until:
            time.sleep(min(every, max(0.0, until - time.monotonic())))
            pids = workers_of(base)
            if pids and time.monotonic() < until:
                os.kill(random.Random(kills).choice(pids), signal.SIGKILL)
                kills += 1
            if done < restarts and seconds - (until - time.monotonic()) > next_restart * (done + 1):
                restart()
                done += 1
        for thread in threads:
            thread.join(60)
        over.set()
        for thread in threads:
            thread.join(60)
    lost = missing(url, told)
    figures = (
        f"{len(told.cases) + len(told.orders)} acknowledged ({len(told.cases)} cases, {len(told.orders)} orders), "
        f"{told.retried} retried, {sum(told.refused.values())} refused, {kills} workers killed, {done} restarts of the server, "
        f"lost = {len(lost)}"
    )
    print("\n" + figures)
    assert lost == []
    assert kills > 0
    assert done == restarts
    return figures


def missing(url: str, told: Told) -> list[str]:
    """What was acknowledged and is not there, what is there twice, and what holds no longer; by its name."""
    wrong: list[str] = []
    with opened(url) as db, db.reading() as session:
        rows = {row.number: row for row in session.scalars(sa.select(CaseFile))}
        marked = Counter(round((row.occurred_at - BEGIN).total_seconds()) for row in rows.values())
        wrong += [f"complaint {marker} has {count} cases" for marker, count in marked.items() if count != 1]
        wrong += [f"case {n} of complaint {marker}" for marker, n in told.cases.items() if n not in rows or marked[marker] != 1]
        events: dict[int, list[Event]] = {}
        for event in session.scalars(sa.select(Event).where(Event.case_id.is_not(None)).order_by(Event.id)):
            events.setdefault(event.case_id or 0, []).append(event)
        for number, version, action in told.orders:
            of_case = events.get(rows[number].id, []) if number in rows else []
            if not any(e.body["version"] == version and e.body.get("action") == action for e in of_case):
                wrong.append(f"order {action} on {number}, version {version}")
        held: dict[int, list[Holding]] = {}
        for holding in session.scalars(sa.select(Holding).order_by(Holding.case_id, Holding.since)):
            held.setdefault(holding.case_id, []).append(holding)
        for row in rows.values():
            versions = [e.body["version"] for e in events[row.id]]
            if versions != list(range(1, row.version + 1)):
                wrong.append(f"record of {row.number}: {versions}")
            now = [h.squad for h in held[row.id] if h.until is None]
            if now != ([row.holder] if row.open else []):
                wrong.append(f"holder of {row.number}: {now}")
            wrong += [f"hole in {row.number}" for a, b in pairwise(held[row.id]) if a.until is None or a.until > b.since]
        findings = list(verify(session, Anchor(private_folder(url) / "anchor")))
        wrong += [f.text("en") for f in findings]
    wrong += [finding.text("en") for finding in check(url, WHOLE)]
    return wrong


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ---- a server of our own, to be restarted ------------------------------------------------------------------------------


@contextmanager
def own_server() -> Iterator[tuple[str, Callable[[], None]]]:
    """A PostgreSQL of this test alone: the URL of a database with PostGIS, and how to kill and start it again."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    if not programs or not os.environ.get("JIEGUAN_TEST_POSTGRES"):
        pytest.skip("no PostgreSQL of our own can be started here")
    folder = Path(tempfile.mkdtemp(prefix="jieguan-own-"))
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")

    def run(*words: str) -> None:
        subprocess.run([*user, *words], check=True, capture_output=True, cwd="/")

    control = [str(programs[-1] / "pg_ctl"), "-D", f"{folder}/data", "-w", "-l", f"{folder}/log"]
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c max_connections=200"
    make = [str(programs[-1] / "initdb"), "-D", f"{folder}/data", "-U", "postgres", "-A", "trust", "--no-sync"]
    run(*make, "-E", "UTF8", "--locale=C.UTF-8")
    run(*control, "-o", options, "start")
    try:
        url = make_url(f"postgresql+psycopg://postgres@/postgres?host={folder}")

        def again() -> None:
            run(*control, "-m", "immediate", "stop")
            run(*control, "-o", options, "start")

        yield url.render_as_string(hide_password=False), again
    finally:
        run(*control, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


SECONDS = [pytest.param(20, id="20 s"), pytest.param(60, id="60 s", marks=pytest.mark.full)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["embedded"], indirect=True)
@pytest.mark.parametrize("seconds", SECONDS)
def test_g1_eight_clients(new_url: NewUrl, seconds: int) -> None:
    hold(new_url(initialised=True), 8, seconds, 5)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", SECONDS)
def test_g1_fifty_clients_on_a_server_that_is_restarted(seconds: int) -> None:
    with own_server() as (url, again):
        initialise(url, WORK_CRS)
        hold(url, 50, seconds, 5, restart=again, restarts=2)
