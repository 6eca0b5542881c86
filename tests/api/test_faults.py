"""What fails in the middle: replies that do not arrive (G2), and every statement and commit of every use case, one by one (G14)."""

from __future__ import annotations

import io
import itertools
import random
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import sqlalchemy as sa
from PIL import Image
from sqlalchemy import event
from sqlalchemy.orm import Session

from api.access import Principal
from api.schemas.cases import complaint_of
from api.settings import Serving
from api.store.opening import Working, working
from api.store.setup import opened
from api.store.tables import TABLES, WHOLE, CaseFile, Event, Replay
from api.usecases import attachments, batch, clusters, intake, lifecycle, reporters
from api.usecases.attachments import Sent
from api.usecases.clusters import Together
from api.usecases.erasure import erase
from api.usecases.intake import Complaint, Contact
from api.usecases.lifecycle import Wanted
from api.usecases.office import Office
from api.usecases.placing import Where
from api.usecases.replays import Asked
from geodata.db.copying import check
from geodata.store import Maps
from routing.case import Action, Actor, Outcome, Role
from routing.model import SquadCode
from tests.api.live import live, place, published, served
from tests.api.staff import CATEGORY, complaint
from tests.api.test_case_races import WORKERS
from tests.db.conftest import NewUrl

pytestmark = pytest.mark.slow  # minutes, most of them spent in making and starting things

# ---- G2: replies that do not arrive ------------------------------------------------------------------------------------


class Cutting:
    """In front of a service on TCP: each connection carries one request, and its reply now and then goes nowhere, or half of it.

    What is cut is decided by the seed and the number of the connection. The request has gone through, and was answered, when the
    line is cut: nobody but the client is left in the dark.
    """

    def __init__(self, base: str, seed: int) -> None:
        self._to = ("127.0.0.1", int(base.rpartition(":")[2]))
        self._rng, self._turn = random.Random(seed), threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.base = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.cut = 0
        self._over = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._over = True
        self._listening.close()

    def _accept(self) -> None:
        while not self._over:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(line,), daemon=True).start()

    def _fate(self) -> str:
        with self._turn:
            fate = self._rng.choice(("whole", "whole", "no reply", "half a reply", "no request"))
            self.cut += fate != "whole"
            return fate

    def _carry(self, line: socket.socket) -> None:
        fate = self._fate()
        with line, socket.create_connection(self._to) as service:
            if fate == "no request":
                line.recv(65536)
                return
            asked = threading.Thread(target=self._forward, args=(line, service), daemon=True)
            asked.start()
            reply = bytearray()
            while piece := service.recv(65536):  # the client asks for the line to be closed, so this ends
                reply += piece
            assert reply.startswith(b"HTTP/1.1 "), reply[:40]
            if fate == "half a reply":
                line.sendall(bytes(reply[: len(reply) // 2]))
            elif fate == "whole":
                line.sendall(bytes(reply))
            line.shutdown(socket.SHUT_RDWR)  # closing is not enough while the other thread reads from it
            asked.join()

    @staticmethod
    def _forward(line: socket.socket, service: socket.socket) -> None:
        try:
            while piece := line.recv(65536):
                service.sendall(piece)
        except OSError:  # one of them has gone
            return


def one_case_each(url: str, base: str, complaints: int, clients: int) -> None:
    """Everybody asks with a key of his own until he has a whole answer; afterwards each complaint is exactly one case."""
    proxy = Cutting(base, seed=1)
    told: dict[int, str] = {}
    headers = {"X-Jieguan-Person": "operator", "X-Jieguan-Role": "operator", "Connection": "close"}

    def ask(marker: int) -> None:
        body = complaint(place(500, 500), found_by="su00")
        while marker not in told:
            try:
                answer = http.post("/api/v1/cases", json=body, headers={"Idempotency-Key": f"c{marker}"})
            except httpx.TransportError:
                continue
            assert answer.status_code == 201, answer.text
            told[marker] = answer.json()["number"]

    with httpx.Client(base_url=proxy.base, headers=headers, timeout=60) as http, ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, range(complaints)))
    proxy.close()
    print(f"\n{complaints} complaints, {proxy.cut} lines cut")
    assert proxy.cut > complaints // 2
    with opened(url) as db, db.reading() as session:
        numbers = sorted(session.scalars(sa.select(CaseFile.number)))
        kept = session.execute(sa.select(Replay.key, Replay.body)).all()
        entries = session.scalar(sa.select(sa.func.count()).select_from(Event))
    assert numbers == sorted(told.values())
    assert {key: body["number"] for key, body in kept} == {f"c{marker}": number for marker, number in told.items()}
    assert len(set(numbers)) == entries == complaints
    assert check(url, WHOLE) == ()


def test_g2_a_cut_reply_and_a_second_try_are_one_case(new_url: NewUrl) -> None:
    url = new_url(initialised=True)
    published(url)
    with live(url) as base:
        one_case_each(url, base, 200, 8)


@pytest.mark.full
def test_g2_ten_thousand_cut_replies(new_url: NewUrl) -> None:
    url = new_url(initialised=True)
    published(url)
    with served(url, *WORKERS) as base:
        one_case_each(url, base, 10_000, 16)


# ---- G14: every statement fails once --------------------------------------------------------------------------------------


class Broken(Exception):
    """What we put in the way."""


@dataclass
class Fault:
    """Counts what is done to a database, and fails the `at`-th. `seen`: how far it came."""

    at: int
    seen: int = 0
    struck: str | None = None

    def step(self, what: str) -> None:
        if self.struck is None:
            self.seen += 1
            if self.seen == self.at:
                self.struck = what
                raise Broken(what)


@contextmanager
def failing(has: Working, at: int) -> Iterator[Fault]:
    """The `at`-th of all statements, flushes and commits fails: a statement before it is done, a flush once its rows are written."""
    fault = Fault(at)
    engine = has.db.read if has.db.kind == "embedded" else has.db.write  # the other is a face of it

    def statement(_conn: Any, _cursor: Any, text: str, *_: Any) -> None:
        fault.step(text.split(maxsplit=1)[0])

    def commit(_conn: Any) -> None:
        fault.step("commit")

    def flushed(_session: Any, _context: Any) -> None:
        fault.step("flush")

    with ExitStack() as stack:
        for target, name, what in (
            (engine, "before_cursor_execute", statement), (engine, "commit", commit), (Session, "after_flush", flushed),
        ):  # fmt: skip
            event.listen(target, name, what)
            stack.callback(event.remove, target, name, what)
        yield fault


def state(has: Working) -> tuple[Any, int]:
    """Every row of every table of the cases, and how long the record is."""
    with has.db.reading() as session:
        rows = {t.__tablename__: sorted(map(repr, session.execute(sa.select(*_plain(t))).all())) for t in TABLES}
        return rows, session.scalar(sa.select(sa.func.count()).select_from(Event)) or 0


def _plain(model: Any) -> list[Any]:
    return [c for c in model.table().columns if c.name != "geom"]


class House:
    """The use cases on an open database, without HTTP."""

    def __init__(self, has: Working) -> None:
        self.has = has
        self.office = Office(has.db, Maps(2), has.book, has.vault, lambda: datetime.now(UTC), ZoneInfo("Asia/Shanghai"))
        self.people = {
            "operator": Principal("o", "o", Role.OPERATOR, None, "x"),
            "dispatcher": Principal("d", "d", Role.DISPATCHER, None, "x"),
            "checker": Principal("c", "c", Role.DISPATCHER, None, "x"),
            "supervisor": Principal("s", "s", Role.SUPERVISOR, None, "x"),
            "leader": Principal("l", "l", Role.LEADER, SquadCode("su01"), "x"),
            "other": Principal("l2", "l2", Role.LEADER, SquadCode("su02"), "x"),
        }
        self.keys = itertools.count()

    def asked(self) -> Asked:
        return Asked(f"k{next(self.keys)}", b"{}")

    def take(self, asked: Asked, x: float = 1_500, category: str = CATEGORY) -> str:
        where = place(x, 500)
        said = Complaint(category, "店外经营", "phone", Where(where["lon"], where["lat"]), contact=Contact("王女士", "13800000000"))
        return str(intake.take_in(self.office, self.people["operator"], said, asked, "en").body["number"])

    def act(self, number: str, asked: Asked, who: str, action: Action, squad: str | None) -> None:
        with self.has.db.reading() as session:
            seen = session.scalar(sa.select(CaseFile.version).where(CaseFile.number == number))
        assert seen is not None
        where = Where(**place(500, 1_500)) if action is Action.REROUTE else None
        squads = ("su02",) if action is Action.START_JOINT else ()
        review = datetime(2030, 1, 1, tzinfo=UTC)
        wanted = Wanted(
            action, seen, squad=squad, squads=squads, reason="理由", evidence=("照片",), document="7 号", review=review, where=where,
            milestone="stop" if action is Action.REACH else "", outcome=VISITED.get(action),
        )  # fmt: skip
        lifecycle.act(self.office, self.people[who], number, wanted, asked, "en")


IN_STAGES, STAGED = "in stages", "GB30428:0101"
VISITED = {Action.FOLLOW_UP: Outcome.SATISFIED}
LIVES = {
    "to the end": (
        "operator verify, operator accept, dispatcher register, dispatcher dispatch, operator urge, dispatcher note, "
        "supervisor supervise, leader sign, leader answer_supervision, leader report, checker take_to_check, checker fail, "
        "leader report, checker take_to_check, operator reply, checker close, operator reopen, leader report, "
        "checker take_to_check, operator reply, checker close, operator follow_up, dispatcher archive"
    ),
    "sent back": (
        "operator accept, dispatcher register, dispatcher dispatch, leader request_return, dispatcher accept_return su02, "
        "other request_return, dispatcher designate su01, leader sign, dispatcher refer, dispatcher designate su02, "
        "dispatcher transfer su01, dispatcher reroute"
    ),
    "from hand to hand": (
        "operator accept, dispatcher register, dispatcher dispatch, leader request_return, dispatcher reject_return, "
        "leader offer su02, other decline, leader offer su02, leader withdraw_offer, leader offer su02, other take_over"
    ),
    "together and later": (
        "operator accept, dispatcher register, dispatcher dispatch, leader sign, leader request_extension, dispatcher grant_extension, "
        "leader request_extension, dispatcher refuse_extension, leader request_suspension, dispatcher refuse_suspension, "
        "leader request_suspension, dispatcher suspend, dispatcher resume, dispatcher start_joint, other finish_part"
    ),
    IN_STAGES: "operator accept, dispatcher register, dispatcher dispatch, leader sign, leader reach",
    "refused": "operator refuse",
    "answered": "operator answer",
    "void": "operator verify, operator void",
    "not registered": "operator accept, dispatcher refuse_registration",
}
"""Who does what, and to which squad. Every kind of order is among them."""


def every_fault(has: Working, do: Callable[[], Any], entries: int = 1) -> int:
    """Fail `do` at its first step, at its second ... until it gets through: as it was each time, then done. How many steps."""
    before = state(has)
    for at in itertools.count(1):
        with failing(has, at) as fault, suppress(Broken):
            do()
        after = state(has)
        if fault.struck is None:
            assert after[1] == before[1] + entries
            assert after[0] != before[0]
            return at - 1
        assert after == before, f"step {at}, {fault.struck}"
    raise AssertionError


@pytest.fixture
def house(new_url: NewUrl) -> Iterator[House]:
    url = new_url(initialised=True)
    published(url)
    with working(Serving(url)) as has:
        yield House(has)
    assert check(url, WHOLE) == ()


def test_g14_an_intake_that_fails_anywhere_leaves_nothing(house: House) -> None:
    asked = house.asked()
    steps = every_fault(house.has, lambda: house.take(asked))
    assert house.take(asked).endswith("-000001")
    assert house.take(house.asked()).endswith("-000002")
    print(f"\n{steps} steps")
    assert steps > 15


@pytest.mark.parametrize("life", LIVES)
def test_g14_an_order_that_fails_anywhere_leaves_nothing(house: House, life: str) -> None:
    """Each kind of order of a life, the first time it comes."""
    number, done = house.take(house.asked(), category=STAGED if life == IN_STAGES else CATEGORY), dict[str, int]()
    for said in LIVES[life].split(", "):
        who, action, *squad = said.split()
        asked = house.asked()

        def order(who: str = who, action: str = action, squad: str | None = squad[0] if squad else None, asked: Asked = asked) -> None:
            house.act(number, asked, who, Action(action), squad)

        if action in done:
            order()
        else:
            done[action] = every_fault(house.has, order)
    print(f"\n{done}")
    assert min(done.values()) > 8


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, "PNG")
    return out.getvalue()


def test_g14_a_file_that_fails_anywhere_is_not_there(house: House) -> None:
    number, asked, sent = house.take(house.asked()), house.asked(), Sent("照片.png", picture())
    steps = every_fault(house.has, lambda: attachments.attach(house.office, house.people["operator"], number, sent, asked))
    listed = attachments.listed(house.office, house.people["operator"], number)["attachments"]
    assert [one["name"] for one in listed] == ["照片.png"]
    file = attachments.fetched(house.office, house.people["operator"], number, listed[0]["id"])
    assert Image.open(io.BytesIO(file.data)).size == (8, 8)
    assert steps > 8


def test_g14_nobody_sees_who_complained_without_the_look_being_kept(house: House) -> None:
    number, told = house.take(house.asked()), list[Any]()

    def look() -> None:
        told.append(reporters.reveal(house.office, house.people["operator"], number, "回访"))

    assert every_fault(house.has, look) > 4
    assert [one["contact"]["phone"] for one in told] == ["13800000000"]  # of all that failed, none
    assert len(reporters.accesses(house.office, house.people["supervisor"], number)["accesses"]) == 1


def test_g14_a_cluster_that_fails_anywhere_is_none(house: House) -> None:
    numbers = tuple(house.take(house.asked(), x) for x in (900, 1_100))
    for number in numbers:
        for who, action in (("operator", Action.ACCEPT), ("dispatcher", Action.REGISTER), ("dispatcher", Action.DISPATCH)):
            house.act(number, house.asked(), who, action, None)
    asked, dispatcher = house.asked(), house.people["dispatcher"]
    steps = every_fault(
        house.has, lambda: clusters.begin(house.office, dispatcher, Together(numbers), asked, "en"), entries=4
    )  # each joins it, and has joint work begun
    assert steps > 20
    (made,) = clusters.found(house.office, dispatcher, None, 10, None)["items"]
    assert made["numbers"] == sorted(numbers)


def test_g14_a_table_that_fails_anywhere_is_taken_the_next_time(house: House) -> None:
    """Its rows are written together here: none, or all three; the one that is no complaint is refused each time."""
    at = place(1_500, 500)
    rows = [f"{CATEGORY},店外经营,phone,{at['lon']},{at['lat']},王女士,1380000000{k}" for k in range(3)]
    table = "\n".join(["category,description,channel,lon,lat,name,phone", *rows, f"{CATEGORY},x,phone,,,,"]).encode()
    reports = list[Any]()

    def take() -> None:
        reports.append(batch.take(house.office, house.people["operator"], io.BytesIO(table), None, complaint_of, "en").told("en"))

    assert every_fault(house.has, take, entries=3) > 20
    assert [(one["taken"], one["again"], one["refused"]) for one in reports] == [(3, 0, 1)]
    take()
    assert (reports[-1]["taken"], reports[-1]["again"], reports[-1]["refused"]) == (0, 3, 1)


def test_every_kind_of_order_is_in_a_life() -> None:
    said = {one.split()[1] for life in LIVES.values() for one in life.split(", ")}
    assert said == set(Action)


def test_g14_an_erasure_that_fails_anywhere_erases_nothing(house: House) -> None:
    number = house.take(house.asked())
    house.act(number, house.asked(), "operator", Action.REFUSE, None)
    with house.has.db.reading() as session:
        (key,) = session.scalars(sa.select(CaseFile.key)).all()
    by = Actor("root", Role.ADMINISTRATOR)

    def forget() -> None:
        try:
            erase(house.has.book, house.has.vault, number, "本人要求", by, datetime.now(UTC))
        except Broken:
            assert house.has.vault.living([key]) == {key}
            raise

    assert every_fault(house.has, forget) > 5
    assert house.has.vault.living([key]) == set()
