"""The probes of an audit, by their numbers: what somebody who means harm, or has bad luck, does to the cases of a service.

Each on both databases, unless one of them has no such thing. Where a limit in seconds stands, it is the probe's own, with room.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from prcoords import Coords, wgs_gcj

from api.access import ENDPOINTS, OPEN
from api.settings import Serving
from api.store.setup import initialise, opened
from api.store.tables import WHOLE, CaseFile, Event, Replay
from geodata.db.copying import check
from tests.api.live import Person, live, place, published
from tests.api.staff import CATEGORY, Office, Staff, complaint
from tests.api.test_case_crash import own_server
from tests.api.test_case_races import at_once
from tests.db.conftest import WORK_CRS, NewUrl
from tests.db.hole import Hole

pytestmark = pytest.mark.slow  # minutes, most of them spent in making and starting things

PHONE, NAME = "1391234" "0000", "欧阳" "不可见"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def url(new_url: NewUrl) -> str:
    made = new_url(initialised=True)
    published(made)
    return made


@pytest.fixture
def service(url: str) -> Iterator[Office]:
    with live(url) as base:
        yield Office(base)


def numbers(url: str) -> list[str]:
    """Of the cases there are."""
    with opened(url) as db, db.reading() as session:
        return sorted(session.scalars(sa.select(CaseFile.number)))


def counts(url: str) -> tuple[int, ...]:
    """Cases, entries of the record, kept answers."""
    with opened(url) as db, db.reading() as session:
        return tuple(session.scalar(sa.select(sa.func.count()).select_from(t)) or 0 for t in (CaseFile, Event, Replay))


def run_sql(url: str, *lines: str) -> None:
    with opened(url) as db, db.writing() as session:
        for line in lines:
            session.execute(sa.text(line))


def problem(answer: httpx.Response, status: int, name: str | None = None) -> Any:
    """What an answer is refused with."""
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert name is None or told["type"] == f"urn:jieguan:problem:{name}", told
    return told


# ---- P1: a commit that fails after the handler -------------------------------------------------------------------------

LOSING = {
    "embedded": (
        "CREATE TABLE witness (id INTEGER PRIMARY KEY, case_id INTEGER REFERENCES case_file (id) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TRIGGER lose AFTER INSERT ON case_file WHEN NEW.confidential BEGIN INSERT INTO witness (case_id) VALUES (-NEW.id); END",
    ),
    "postgresql": (
        "CREATE TABLE witness (id SERIAL PRIMARY KEY, case_id BIGINT REFERENCES case_file (id) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.confidential THEN "
        "INSERT INTO witness (case_id) VALUES (-NEW.id); END IF; RETURN NULL; END $$",
        "CREATE TRIGGER lose AFTER INSERT ON case_file FOR EACH ROW EXECUTE FUNCTION lose()",
    ),
}
"""A confidential complaint is refused by the database at the last moment: when it commits."""
WINNING = {"embedded": "DROP TRIGGER lose", "postgresql": "DROP TRIGGER lose ON case_file"}


@pytest.mark.parametrize("key", [None, "k"], ids=["without a key", "with a key"])
def test_p1_a_commit_that_fails_is_not_acknowledged(service: Office, url: str, kind: str, key: str | None) -> None:
    run_sql(url, *LOSING[kind])
    said: list[str] = []
    for n in range(8):
        headers = {} if key is None else {"Idempotency-Key": f"{key}{n}"}
        body = complaint(place(500, 500), confidential=n % 2 == 1)
        answer = service.operator.http.post("/api/v1/cases", json=body, headers=headers)
        if n % 2:
            told = problem(answer, 500)
            assert "witness" not in json.dumps(told)
        else:
            assert answer.status_code == 201
            said.append(answer.json()["number"])
    assert numbers(url) == sorted(said)
    assert counts(url) == (4, 4, 4 if key else 0)
    assert check(url, WHOLE) == ()


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
def test_p1_g1_backends_killed_under_writers_lose_nothing(service: Office, url: str) -> None:
    """Eight writers, and somebody who ends their connections: every 201 is a case, and with its key every complaint is one."""
    over, numbers_told, unsure = threading.Event(), {}, Counter[int]()

    def kill() -> int:
        killed = 0
        admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        query = sa.text(
            "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2) AS ended"
        )
        with admin.connect() as connection:
            while not over.wait(0.05):
                killed += connection.execute(query).scalar_one()
        admin.dispose()
        return killed

    def write(marker: int) -> None:
        body = complaint(place(500, 500), description=f"第 {marker} 件")
        while True:
            answer = service.operator.http.post("/api/v1/cases", json=body, headers={"Idempotency-Key": f"c{marker}"})
            if answer.status_code == 201:
                numbers_told[marker] = answer.json()["number"]
                return
            assert answer.status_code == 503, answer.text
            assert answer.headers["retry-after"]
            unsure[marker] += 1

    with ThreadPoolExecutor(9) as pool:
        killing = pool.submit(kill)
        list(pool.map(write, range(120)))
        over.set()
    print(f"\n{len(numbers_told)} acknowledged, {unsure.total()} unsure, {killing.result()} backends ended")
    assert unsure.total() > 0
    assert sorted(numbers_told.values()) == numbers(url)
    assert counts(url) == (120, 120, 120)
    assert check(url, WHOLE) == ()


# ---- P3, P4: places ------------------------------------------------------------------------------------------------------


def nodes(service: Office) -> list[tuple[float, float, set[str]]]:
    """Points of the borders as the service draws them, with the squads whose ground has each: two of an edge, more of a node."""
    at: dict[tuple[float, float], set[str]] = {}
    drawn = Person(service.base).get("/ogc/collections/township/items")["features"]
    for feature in drawn:
        for ring in (ring for part in feature["geometry"]["coordinates"] for ring in part):
            for lon, lat in ring:
                at.setdefault((lon, lat), set()).add(feature["properties"]["squad"])
    return [(lon, lat, squads) for (lon, lat), squads in sorted(at.items()) if len(squads) > 1]


def test_p3_a_point_on_a_shared_edge_has_one_squad_by_a_written_rule(service: Office) -> None:
    shared = nodes(service)
    picked = [n for n in shared if len(n[2]) > 2][:4] + [n for n in shared if len(n[2]) == 2][:8]
    assert {len(n[2]) for n in picked} >= {2, 3} or {len(n[2]) for n in picked} >= {2, 4}
    for lon, lat, squads in picked:
        took = [service.operator.post("/api/v1/cases", complaint({"lon": lon, "lat": lat, "error_m": 5}), 201) for _ in range(2)]
        (squad,) = {t["squad"] for t in took}
        assert squad in squads
        assert took[0]["doubtful"]
        assert took[0]["question"] is not None
        said = Person(service.base).post("/api/v1/route", {"lon": lon, "lat": lat, "error_m": 5}, 200)
        assert said["decision"]["squad"] == squad


@pytest.mark.parametrize("where", [(34.86, 113.61), (0.0, 0.0), (181.0, 34.86), (113.61, 91.0), (-200.0, -91.0)])
def test_p3_what_is_no_place_is_refused(service: Office, url: str, where: tuple[float, float]) -> None:
    lon, lat = where
    problem(service.operator.http.post("/api/v1/cases", json=complaint({"lon": lon, "lat": lat})), 422)
    assert numbers(url) == []


def test_p3_a_place_shifted_as_gcj_02_is_where_it_is(service: Office) -> None:
    """Half a kilometre off, if one is not told which datum it is; said, it is the same place."""
    at = place(700, 1_500)
    shifted = wgs_gcj(Coords(at["lat"], at["lon"]))
    there = {"lon": shifted.lon, "lat": shifted.lat}
    true = service.operator.post("/api/v1/cases", complaint(at), 201)
    same = service.operator.post("/api/v1/cases", complaint({**there, "datum": "gcj02"}), 201)
    off = service.operator.post("/api/v1/cases", complaint(there), 201)
    assert (true["squad"], true["doubtful"]) == (same["squad"], same["doubtful"])
    assert off["squad"] != true["squad"]
    for one in (true, same, off):
        assert service.operator.case(one["number"])["holder"] == "su00"


NO_NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999", '"NaN"', '"1_1"', '"113.6"', "true", "null", "[113.6]", "9" * 400]


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_p4_what_is_no_number_is_no_place(service: Office, url: str, value: str) -> None:
    sent = json.dumps(complaint({"lon": "LON", "lat": 34.86})).replace('"LON"', value)
    for path in ("/api/v1/cases", "/api/v1/cases/20261122-000001/actions"):
        body = sent if path.endswith("cases") else f'{{"action": "reroute", "seen": 1, "where": {{"lon": {value}, "lat": 34.8}}}}'
        problem(service.operator.http.post(path, content=body, headers=JSON), 404 if value == "null" and "actions" in path else 422)
    assert numbers(url) == []


# ---- P5: texts -------------------------------------------------------------------------------------------------------------

TEXTS = {
    "NUL": '"a\\u0000b"',
    "half a surrogate pair": '"a\\ud800b"',
    "the other half": '"a\\udc00b"',
    "text that runs backwards": '"a\\u202egnp.exe"',
    "an isolate that is never closed": '"a\\u2066b"',
    "a bell": '"a\\u0007b"',
    "ten megabytes": '"' + "x" * 10**7 + '"',
    "brackets without end": "[" * 100_000,
    "brackets, all closed": "[" * 100_000 + "]" * 100_000,
}


def written(service: Office, number: str) -> Iterator[tuple[Staff, str, str, dict[str, Any], str]]:
    """Every field of words that is sent about a case or a person: who, how, where, the body, and which field of it."""
    office, path = service, f"/api/v1/cases/{number}/actions"
    for field in ("description", "address", "category", "channel", "found_by", "against"):
        yield office.operator, "POST", "/api/v1/cases", complaint(place(500, 500)), field
    for field in ("name", "phone", "address", "email"):
        yield office.operator, "POST", "/api/v1/cases", complaint(place(500, 500)), f"contact.{field}"
    yield office.operator, "POST", "/api/v1/cases", complaint(place(500, 500)), "where.datum"
    order = {"action": "transfer", "seen": 4, "squad": "su02", "reason": "改派", "evidence": ["图"]}
    for field in ("reason", "document", "squad", "evidence.0", "category", "action"):
        yield office.dispatcher, "POST", path, order, field
    chief = Staff(service.base, "管理员", "administrator")
    yield chief, "PATCH", "/api/v1/users/x", {"closed": False}, "squad"
    yield chief, "POST", "/api/v1/users", {"role": "operator"}, "name"
    yield chief, "POST", "/api/v1/sessions", {"name": "x", "password": "y"}, "name"
    yield chief, "POST", "/api/v1/tokens", {"role": "machine"}, "name"


def put_in(body: dict[str, Any], field: str, raw: str) -> str:
    """The body as JSON, with a piece of JSON in a field."""
    made = json.loads(json.dumps(body))
    *way, last = field.split(".")
    inner = made
    for step in way:
        inner = inner[step]
    inner[int(last) if isinstance(inner, list) else last] = "HERE"
    text = json.dumps(made, ensure_ascii=False)
    assert text.count('"HERE"') == 1
    return text.replace('"HERE"', raw)


@pytest.mark.parametrize("text", TEXTS)
def test_p5_texts_with_tricks_are_refused_in_every_field(service: Office, url: str, text: str) -> None:
    number = service.dispatched()
    before = counts(url)
    for staff, method, path, body, field in written(service, number):
        sent = put_in(body, field, TEXTS[text]).encode()
        answer = staff.http.request(method, path, content=sent, headers=JSON)
        assert answer.status_code in (413, 422), (path, field, answer.text[:300])
        assert len(answer.content) < 3_000, (path, field)
    assert counts(url) == before


# ---- P6: parameters --------------------------------------------------------------------------------------------------------

PARAMETERS = [
    "limit=-1", "limit=0", "limit=1000000000000", "limit=" + "9" * 400, "limit=1&limit=100000", "limit=1e2", "limit=NaN", "limit=",
    "offset=1", "after=!!", "after=" + "A" * 200, "after=" + "A" * 5_000, "after=bnVsbA", "after=WzAsMCwwXQ", "after=W10", "after=%00",
    "after=WzEsICIyMDI2LTEyLTAxIiwgMTAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMF0", "state=closed&state=closed", "state=x", "doubtful=2",
    "category=%00", "since=0000", "since=2026-01-01T00:00:00", "until=9999-12-31T23:59:59-23:59", "closed=maybe", "sort=phone", "related=1",
]  # fmt: skip


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_p6_parameters_beyond_bounds_are_refused(service: Office, parameters: str) -> None:
    for path in ("/api/v1/cases", "/api/v1/squads/su00/queue"):
        problem(service.dispatcher.http.get(f"{path}?{parameters}"), 422)


@pytest.mark.parametrize("number", ["1" + "0" * 30, "-1", "9" * 400, "20261122-000001%00", "..%2f..", "%F0%9F%98%80", "%ff", " ", "'--"])
def test_p6_numbers_that_are_none_are_no_cases(service: Office, number: str) -> None:
    at = f"/api/v1/cases/{number}"
    for path in (at, f"{at}/events", f"{at}/holdings"):
        answer = service.supervisor.http.get(path)
        assert answer.status_code in (404, 422), answer.text
    answer = service.supervisor.http.post(f"{at}/actions", json={"action": "sign", "seen": 1})
    assert answer.status_code in (404, 422), answer.text
    seen = {"action": "sign", "seen": 10**30}
    problem(service.supervisor.http.post("/api/v1/cases/20261122-000001/actions", json=seen), 422, "InvalidRequest")


# ---- P7: nothing of a body comes back, or stays in a log -----------------------------------------------------------------------


@contextmanager
def logged() -> Iterator[list[str]]:
    """All that anybody of this process logs, with the traces, however low its level."""
    lines: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.name} {self.format(record)}")

    handler = Keeping()
    loggers = [logging.getLogger(name) for name in ("", "uvicorn", "uvicorn.error", "uvicorn.access", "jieguan")]
    before = [(logger, logger.level) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        for logger, level in before:
            logger.removeHandler(handler)
            logger.setLevel(level)


def test_p7_a_refusal_repeats_nothing_and_nothing_is_logged(
    service: Office, url: str, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Refused by the schema, by a rule, as JSON, by a key, and by a database that fails at the last moment."""
    who = {"name": NAME, "phone": PHONE, "address": "幽兰里" + "九号"}
    whole = complaint(place(500, 500), contact=who, description=f"邻居{NAME}{PHONE}")
    lost = {k: v for k, v in whole.items() if k != "description"}
    headers = {"Idempotency-Key": "k"}
    with logged() as lines:
        answers = [
            service.operator.http.post("/api/v1/cases", json=lost),
            service.operator.http.post("/api/v1/cases", json={**whole, "contact": {**who, "wechat": NAME}}),
            service.operator.http.post("/api/v1/cases", json={**whole, "contact": [who]}),
            service.operator.http.post("/api/v1/cases", json={**whole, "anonymous": True}),
            service.operator.http.post("/api/v1/cases", json={**whole, "occurred_at": PHONE}),
            service.operator.http.post("/api/v1/cases", json={**whole, "category": NAME}),
            service.operator.http.post("/api/v1/cases", content=json.dumps(whole)[:-2].encode(), headers=JSON),
            service.operator.http.post("/api/v1/cases", content=json.dumps(whole).encode(), headers={"Content-Type": "text/plain"}),
        ]
        assert service.operator.http.post("/api/v1/cases", json=whole, headers=headers).status_code == 201
        answers.append(service.operator.http.post("/api/v1/cases", json={**whole, "description": NAME}, headers=headers))
        run_sql(url, *LOSING[kind])
        answers.append(service.operator.http.post("/api/v1/cases", json={**whole, "confidential": True}))
    assert [a.status_code for a in answers] == [422] * 7 + [415, 422, 500]
    assert lines  # the last one is in the log
    said = capfd.readouterr()
    for canary in (PHONE, NAME, "幽兰里"):
        assert not [a.text for a in answers if canary in a.text]
        assert not [line for line in lines if canary in line]
        assert canary not in said.out + said.err


# ---- P8: fields nobody asked for, and keys twice -------------------------------------------------------------------------------

EXTRA = ("squad", "id", "number", "status", "state", "closed_at", "created_by", "version", "version_id", "holder", "key", "hazard")


@pytest.mark.parametrize("field", EXTRA)
def test_p8_nobody_assigns_what_is_not_asked_for(service: Office, url: str, field: str) -> None:
    told = problem(service.operator.http.post("/api/v1/cases", json=complaint(place(500, 500)) | {field: "su01"}), 422, "InvalidRequest")
    assert [e["field"] for e in told["errors"]] == [f"body.{field}"]
    inner = complaint({**place(500, 500), field: "su01"})
    problem(service.operator.http.post("/api/v1/cases", json=inner), 422, "InvalidRequest")
    number = service.operator.take(500, 500)["number"]
    if field != "squad":
        order = {"action": "accept", "seen": 1, field: "su01"}
        problem(service.operator.http.post(f"/api/v1/cases/{number}/actions", json=order), 422, "InvalidRequest")
    assert counts(url)[:2] == (1, 1)


def test_p8_every_body_refuses_unknown_fields_and_repeated_keys(reading: str) -> None:
    """Of every address that takes JSON, by its own description; every object in it is closed, or says what it may hold."""
    told = Person(reading).get("/api/openapi.json")
    asked = 0
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            if "application/json" not in operation.get("requestBody", {}).get("content", {}):
                continue
            asked += 1
            role = min(ENDPOINTS[method.upper(), path].roles).value
            staff = Staff(reading, "x", role, "su00")
            at = path.replace("{", "").replace("}", "")
            twice = staff.http.request(method, at, content=b'{"x": 1, "x": 2}', headers=JSON)
            problem(twice, 422, "KeyTwice")
            stranger = staff.http.request(method, at, json={"nobody_asked": 1})
            assert stranger.status_code == 422, (method, path, stranger.text)
    assert asked > 20


# ---- P9: the same request again ------------------------------------------------------------------------------------------------


def posted(staff: Staff, key: str, path: str = "/api/v1/cases", **body: Any) -> httpx.Response:
    sent = body or complaint(place(500, 500))
    return staff.http.post(path, json=sent, headers={"Idempotency-Key": key})


def test_p9_again_is_the_same_answer_and_another_body_is_refused(service: Office, url: str) -> None:
    first, again = posted(service.operator, "k"), posted(service.operator, "k")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert again.headers["etag"] == first.headers["etag"]
    problem(posted(service.operator, "k", **complaint(place(600, 500))), 422, "KeyReused")
    order = {"action": "accept", "seen": 1}
    at = f"/api/v1/cases/{first.json()['number']}/actions"
    problem(posted(service.operator, "k", at, **order), 422, "KeyReused")
    done = [posted(service.operator, "o", at, **order) for _ in range(3)]
    assert all((a.status_code, a.json()) == (200, done[0].json()) for a in done)
    problem(posted(service.operator, "o", at, **{**order, "seen": 2}), 422, "KeyReused")
    assert counts(url) == (1, 2, 2)
    problem(posted(service.operator, "k" * 256), 422, "InvalidRequest")
    problem(posted(service.operator, ""), 422, "InvalidRequest")


def test_p9_a_key_is_somebodys_own(service: Office, url: str) -> None:
    """Of another person it opens nothing, and closes nothing."""
    mine, hers = posted(service.operator, "k"), posted(service.dispatcher, "k", **complaint(place(600, 500)))
    assert (mine.status_code, hers.status_code) == (201, 201)
    assert mine.json()["number"] != hers.json()["number"]
    assert counts(url) == (2, 2, 2)


def test_p9_twins_at_once_on_two_services_and_after_a_restart_are_one(url: str) -> None:
    with live(url) as one, live(url) as other:
        staff = [Office(one).operator, Office(other).operator]
        for each in staff:  # FastAPI puts its routes together at the first request, and two services of one process would do it at once
            each.get("/api/v1/cases")
        answers = at_once([lambda k=k: posted(staff[k % 2], "k") for k in range(20)])  # type: ignore[misc]
        assert Counter(a.status_code for a in answers) == {201: 20}
        (number,) = {a.json()["number"] for a in answers}
        assert sum(a.headers.get("idempotent-replayed") is None for a in answers) == 1
        orders = [lambda k=k: posted(staff[k % 2], "o", f"/api/v1/cases/{number}/actions", action="accept", seen=1) for k in range(20)]
        done = at_once(orders)  # type: ignore[arg-type]
        assert all((a.status_code, a.json()) == (200, done[0].json()) for a in done)
    with live(url) as base:
        again = posted(Office(base).operator, "k")
        assert (again.status_code, again.json()["number"]) == (201, number)
        assert again.headers["idempotent-replayed"] == "true"
    assert counts(url) == (1, 2, 2)


def test_p9_after_an_error_of_ours_the_same_key_works(service: Office, url: str, kind: str) -> None:
    body = complaint(place(500, 500), confidential=True)
    run_sql(url, *LOSING[kind])
    problem(posted(service.operator, "k", **body), 500)
    assert counts(url) == (0, 0, 0)
    run_sql(url, WINNING[kind])
    first, again = posted(service.operator, "k", **body), posted(service.operator, "k", **body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["number"] == again.json()["number"]
    assert counts(url) == (1, 1, 1)


# ---- P14, P15: others are slow ---------------------------------------------------------------------------------------------------


@contextmanager
def held(url: str, kind: str, lock: str = "LOCK TABLE case_file, event, chain_head IN ACCESS EXCLUSIVE MODE") -> Iterator[None]:
    """Somebody else has the turn to write, or the tables."""
    with opened(url) as db:
        if db.gate is not None:
            with db.gate.held():
                yield
            return
        with db.write.connect() as connection:
            connection.execute(sa.text(lock))
            yield
            connection.rollback()


def test_p14_alive_while_eighty_wait_and_two_hundred_send_half_a_body(url: str, kind: str) -> None:
    with live(Serving(url, development=True, body_seconds=2, wait_seconds=1)) as base:
        office, port = Office(base), int(base.rpartition(":")[2])
        head = "POST /api/v1/cases HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Jieguan-Person: x\r\nX-Jieguan-Role: operator\r\n"
        lines = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(200)]
        sent = time.monotonic()
        for line in lines:
            line.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        with held(url, kind), ThreadPoolExecutor(80) as pool:
            staff = [Staff(base, f"接线员 {k}", "operator") for k in range(80)]
            slow = [pool.submit(posted, one, "k") for one in staff]
            time.sleep(0.3)
            took = []
            for _ in range(5):
                began = time.monotonic()
                assert httpx.get(f"{base}/healthz", timeout=30).status_code == 200
                took.append(time.monotonic() - began)
            assert sum(not s.done() for s in slow) > 0
        answers = [s.result() for s in slow]
        cut = [line.recv(65536).decode() for line in lines]
        waited = time.monotonic() - sent
        for line in lines:
            line.close()
        assert {a.status_code for a in answers} <= {503, 201}
        assert {c.split()[1] for c in cut} == {"408"}
        assert all("application/problem+json" in c for c in cut)
        print(f"\nhealth {max(took) * 1000:.0f} ms at most, half bodies cut after {waited:.1f} s")
        assert min(took) < 0.2  # the probe's own; the machine may be busy with something else once
        assert posted(office.operator, "after").status_code == 201


def test_p15_who_waits_too_long_is_told_to_come_again_and_nothing_is_half_written(url: str, kind: str) -> None:
    """Eight seconds of a lock on the tables, or of another's turn to write. Readers of an embedded database do not wait at all."""
    with live(url) as base:
        office = Office(base)
        number = office.operator.take(500, 500)["number"]
        before = counts(url)

        def timed(ask: Callable[[], httpx.Response]) -> tuple[httpx.Response, float]:
            began = time.monotonic()
            return ask(), time.monotonic() - began

        with held(url, kind), ThreadPoolExecutor(8) as pool:
            until = time.monotonic() + 8
            writes, reads = [], []
            while time.monotonic() < until:
                asked = [
                    pool.submit(timed, lambda: posted(office.operator, "k")),
                    pool.submit(timed, lambda: posted(office.operator, "o", f"/api/v1/cases/{number}/actions", action="accept", seen=1)),
                    pool.submit(timed, lambda: posted(office.operator, "n")),
                ]
                look = [pool.submit(timed, lambda: office.operator.http.get(f"/api/v1/cases/{number}")),
                        pool.submit(timed, lambda: office.operator.http.get("/api/v1/cases"))]  # fmt: skip
                writes += [a.result() for a in asked]
                reads += [a.result() for a in look]
        for answer, took in writes if kind == "embedded" else writes + reads:
            problem(answer, 503)
            assert int(answer.headers["retry-after"]) <= 5
            assert took < 2 + 3, took  # two seconds of waiting; the rest is room for a busy machine
        if kind == "embedded":
            assert {answer.status_code for answer, _ in reads} == {200}
        assert counts(url) == before
        assert [posted(office.operator, key).status_code for key in ("k", "n")] == [201, 201]
        assert office.operator.act(number, "accept")["version"] == 2
        assert check(url, WHOLE) == ()


# ---- P16: the server goes and comes back ---------------------------------------------------------------------------------------------


def test_p16_the_server_restarts_under_the_service_and_the_pool_is_whole() -> None:
    with own_server() as (url, again):
        initialise(url, WORK_CRS)
        published(url)
        with live(url) as base:
            office = Office(base)
            many = [Staff(base, f"接线员 {k}", "operator") for k in range(40)]
            with ThreadPoolExecutor(40) as pool:
                assert {a.status_code for a in pool.map(lambda s: posted(s, "before"), many)} == {201}
            again()
            after = [office.operator.http.get("/api/v1/cases").status_code for _ in range(20)]
            assert sum(status != 200 for status in after) <= 1, after
            assert set(after) <= {200, 503}
            leave_in_the_middle(base, 100)
            with ThreadPoolExecutor(40) as pool:
                assert {a.status_code for a in pool.map(lambda s: posted(s, "after"), many)} == {201}
            admin = sa.create_engine(url)
            query = "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            deadline = time.monotonic() + 30
            with admin.connect() as connection:
                while "idle in transaction" in (states := set(connection.execute(sa.text(query)).scalars())):
                    assert time.monotonic() < deadline, states
                    connection.rollback()
                    time.sleep(0.1)
            admin.dispose()
        assert len(numbers(url)) >= 80
        assert check(url, WHOLE) == ()


@pytest.mark.parametrize("seconds", [8, pytest.param(60, marks=pytest.mark.full)])
@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
def test_p16_a_black_hole_before_the_server_holds_nobody(url: str, seconds: float) -> None:
    """Everything that is sent is taken and nothing comes back. Whoever asks is told to come again, in the time the service waits."""
    with Hole(url) as hole, live(hole.url) as base:
        office = Office(base)
        staff = [Staff(base, f"接线员 {k}", "operator") for k in range(12)]
        assert {posted(one, "warm").status_code for one in staff} == {201}
        hole.shut()
        over = time.monotonic() + seconds
        told: list[tuple[int, float]] = []

        def ask(k: int) -> None:
            while time.monotonic() < over:
                for read in (True, False):
                    began = time.monotonic()
                    answer = staff[k].http.get("/api/v1/cases") if read else posted(staff[k], "k")
                    problem(answer, 503)
                    assert int(answer.headers["retry-after"]) <= 5
                    told.append((answer.status_code, time.monotonic() - began))
                    time.sleep(0.2)

        with ThreadPoolExecutor(12) as pool:
            asked = [pool.submit(ask, k) for k in range(12)]
            while time.monotonic() < over:
                assert httpx.get(f"{base}/healthz", timeout=30).status_code == 200
                time.sleep(0.5)
            for one in asked:
                one.result()
        longest = max(took for _, took in told)
        print(f"\n{len(told)} told to come again in {seconds} s, the last of them to know after {longest:.1f} s")
        assert longest < 2 + 3, longest  # two seconds of waiting; the rest is room for a busy machine
        hole.open()
        until = time.monotonic() + 10
        while (status := posted(office.operator, "after").status_code) != 201:
            assert (status, time.monotonic() < until) == (503, True)
            time.sleep(0.1)
        assert {posted(one, "k").status_code for one in staff} == {201}  # whether it had been done before, and late, or not
    assert len(numbers(url)) == 12 + 1 + 12
    assert check(url, WHOLE) == ()


def leave_in_the_middle(base: str, times: int) -> None:
    """Clients that ask, and hang up before they are answered."""
    body = json.dumps(complaint(place(500, 500)), ensure_ascii=False).encode()
    head = (
        "POST /api/v1/cases HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Jieguan-Person: x\r\nX-Jieguan-Role: operator\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    for _ in range(times):
        with socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2])), timeout=30) as line:
            line.sendall(head.encode() + body)


# ---- P17: what is not one's own -----------------------------------------------------------------------------------------------------


def test_p17_a_case_of_others_is_as_if_it_were_not_there(service: Office, url: str) -> None:
    """On every address that takes its number: the same answer, to the letter, as for a number that nobody has."""
    hidden, none = service.dispatched(1_500, 500, category=CATEGORY), "20200101-000001"
    before = counts(url)
    there = [key for key, access in ENDPOINTS.items() if "{number}" in key[1] and access is not OPEN]  # what is published, all may see
    for stranger in (service.leader("su02"), service.member("su02"), Staff(service.base, "机", "machine")):
        for method, path in there:
            for body in ({}, {"action": "sign", "seen": 4}, {"action": "transfer", "seen": 4, "squad": "su02", "reason": "x"}):
                told = [ask_as_if(stranger, method, path, number, body) for number in (hidden, none)]
                assert told[0] == told[1], (method, path)
                assert told[0][0] in (403, 404, 405, 415, 422, 428), (method, path, told)
    assert counts(url) == before


def ask_as_if(staff: Staff, method: str, path: str, number: str, body: Any) -> tuple[int, str]:
    """Status and text of an answer, without the number it was asked by."""
    more = {"json": body} if method in ("POST", "PATCH", "PUT") else {}
    answer = staff.http.request(method, path.format(number=number, attachment="a", squad="su02"), **more)
    return answer.status_code, answer.text.replace(number, "NUMBER")


FILTERS = (
    {}, {"category": "JIEGUAN:selective"}, {"category": "JIEGUAN:selective", "limit": "1"}, {"category": CATEGORY},
    {"state": "received"}, {"doubtful": "false"}, {"holder": "su00"}, {"holder": "su01"},
    {"since": "2020-01-01T00:00:00Z"}, {"limit": "1"}, {"closed": "false"},
)  # fmt: skip


def looks(staff: Staff, squad: str) -> list[Any]:
    """Everything lists tell, by every filter, page by page."""
    told = []
    for path in ("/api/v1/cases", f"/api/v1/squads/{squad}/queue"):
        for parameters in FILTERS:
            if "holder" in parameters and path.endswith("queue"):
                continue
            answer = staff.http.get(path, params=parameters)
            told.append((path, parameters, answer.status_code, answer.json().get("items"), answer.json().get("next")))
    return told


def test_p17_lists_filters_and_marks_tell_nothing_of_what_is_hidden(service: Office) -> None:
    """A unit that is complained of, another squad, and the office about what goes to supervision: nothing of their lists changes."""
    for _ in range(2):
        service.dispatched(500, 500)
    clerk = Staff(service.base, "另一接线员", "operator")
    own, other = service.leader("su00"), service.leader("su02")
    before = [looks(staff, squad) for staff, squad in ((own, "su00"), (other, "su02"), (clerk, "su00"), (service.dispatcher, "su00"))]
    for _ in range(3):  # against su00, on its own ground: it holds them, and must not know
        service.operator.take(500, 500, category="JIEGUAN:selective", against="su00")
    after = [looks(staff, squad) for staff, squad in ((own, "su00"), (other, "su02"), (clerk, "su00"), (service.dispatcher, "su00"))]
    assert before == after
    assert len(service.supervisor.get("/api/v1/cases")["items"]) == 5


def test_p17_every_filter_of_every_list_keeps_to_what_one_sees(service: Office) -> None:
    """Row by row the condition in the query says what `sees` says."""
    service.dispatched(1_500, 500)
    mine = service.operator.take(1_500, 500, category="JIEGUAN:conduct")["number"]
    service.operator.take(1_500, 500, against="su01")
    service.operator.take(500, 500, against="su01")
    listed: dict[str, set[str]] = {}
    people = [
        service.operator, Staff(service.base, "另一接线员", "operator"), service.dispatcher, service.supervisor,
        *(service.leader(f"su0{k}") for k in range(3)),
    ]  # fmt: skip
    everything = {c["number"] for c in service.supervisor.get("/api/v1/cases", limit=200)["items"]}
    for staff in people:
        listed[staff.name] = {c["number"] for c in staff.get("/api/v1/cases", limit=200)["items"]}
        seen = {number for number in everything if staff.http.get(f"/api/v1/cases/{number}").status_code == 200}
        assert listed[staff.name] == seen, staff.name
        page, mark = [], {}
        while True:
            told = staff.get("/api/v1/cases", limit=1, **mark)
            assert len(told["items"]) == 1 or (not page and not seen)
            page += [c["number"] for c in told["items"]]
            if told["next"] is None:
                break
            mark = {"after": told["next"]}
        assert set(page) == seen
    assert mine in listed["接线员"] - listed["另一接线员"]


def test_p17_a_number_in_a_body_a_query_or_a_link_opens_nothing(service: Office, url: str) -> None:
    """Clusters made of it, suggestions beside it, rulings about it, the number as a filter or a mark."""
    own, hidden = service.operator.take(900, 500)["number"], service.operator.take(1_100, 500, category="JIEGUAN:conduct")["number"]
    service.operator.take(1_100, 500, against="su01", category="JIEGUAN:conduct")
    clerk, none = Staff(service.base, "另一接线员", "operator"), "20200101-000001"
    leaders = [service.leader(f"su0{k}") for k in range(3)]
    before = counts(url)
    told = [clerk.http.post("/api/v1/clusters", json={"numbers": [own, number]}) for number in (hidden, none)]
    assert [(a.status_code, a.text.replace(hidden, none)) for a in told] == [(404, told[1].text)] * 2
    typed = {"category": "JIEGUAN:conduct", "where": place(1_100, 500), "radius_m": 200}
    for staff in (clerk, *leaders):
        seen = staff.post("/api/v1/cases/suggestions", typed)
        shown = {c["number"] for side in ("here", "across") for c in seen[side]}
        assert shown == {c["number"] for c in staff.get("/api/v1/cases", category="JIEGUAN:conduct")["items"]}, staff.name
    assert {c["number"] for c in leaders[1].get("/api/v1/cases", category="JIEGUAN:conduct")["items"]} == {hidden}
    for query in (f"related={hidden}", f"number={hidden}", f"q={hidden}", "sort=phone", f"cluster={hidden}"):
        problem(clerk.http.get(f"/api/v1/cases?{query}"), 422, "UnknownParameter")
    assert counts(url) == before


def test_p17_lists_of_clusters_and_rulings_come_without_holes(service: Office) -> None:
    """Of what supervision handles nothing is told to those who do not see it: no item, no short page, no mark."""
    for k in range(2):
        number = service.operator.take(1_500, 500 + k, category="JIEGUAN:conduct")["number"]
        for action in ("accept", "register", "dispatch"):
            service.supervisor.act(number, action)
        service.supervisor.act(number, "refer", reason="争议")
        service.supervisor.act(number, "designate", squad="su02", reason="确权", document="7 号")
    numbers = [service.operator.take(x, 500, category="JIEGUAN:conduct")["number"] for x in (900, 1_100)]
    made = service.operator.http.post("/api/v1/clusters", json={"numbers": numbers})
    assert made.status_code == 201, made.text
    clerk, planner = Staff(service.base, "另一接线员", "operator"), Person(service.base)
    for told in (
        planner.get("/api/v1/rulings", limit=1), service.dispatcher.get("/api/v1/rulings", limit=1), clerk.get("/api/v1/clusters", limit=1)
    ):  # fmt: skip
        assert told == {"items": [], "next": None}
    assert len(service.supervisor.get("/api/v1/rulings")["items"]) == 2
    assert len(service.operator.get("/api/v1/clusters")["items"]) == 1
    assert clerk.get(made.headers["location"], 404)["type"] == "urn:jieguan:problem:UnknownCluster"
