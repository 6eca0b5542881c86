"""What the service tells of itself: lines that name nobody, figures that count all processes, for who may read them."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api import telemetry
from api.settings import Serving
from api.usecases.watching import watched
from routing.model import Step
from tests.api.live import live, place, published
from tests.api.staff import Clock, Office, complaint
from tests.db.conftest import NewUrl

NAME, PHONE, STREET, WORDS = "王淑芬梅", "13912345678", "幸福里十七号院", "隔壁老李天天吵闹"
ALOUD = ("已生成主密钥", "注意", "说明")
"""Said once to who starts it, in words."""
PLANTED = (NAME, PHONE, STREET, WORDS)


get = partial(httpx.get, timeout=60, verify=False)  # there is no TLS; certificates load slowly


@dataclass
class Told:
    """A service of its own process, and in the end what it wrote on the error stream."""

    address: str
    process: subprocess.Popen[str]
    lines: list[dict[str, Any]]
    raw: str = ""
    code: int = 0


@contextmanager
def telling(url: str, folder: Path, *options: str, **environment: str) -> Iterator[Told]:
    words = [sys.executable, "-c", "from api.cli import main; main()", "serve", "--db", url, "--port", "0", "--json", *options]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "JIEGUAN_DRAIN_SECONDS": "0", **environment}
    log = folder / "log"
    with log.open("wb") as err:
        process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=err, text=True)
    try:
        assert process.stdout is not None
        told = Told(json.loads(process.stdout.readline())["address"], process, [])
        yield told
        process.terminate()
        process.communicate(timeout=60)
        told.code = process.returncode
        told.raw = log.read_text(encoding="utf-8")
        told.lines += [json.loads(line) for line in told.raw.splitlines() if not line.startswith(ALOUD)]
    finally:
        process.kill()
        process.wait()


def figures(base: str, **headers: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What /metrics says, as an independent reader reads it."""
    answer = get(f"{base}/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_log_names_the_template_the_role_and_nobody(city_url: str, tmp_path: Path, workers: str) -> None:
    with telling(city_url, tmp_path, "--development", "--workers", workers) as told:
        office = Office(told.address)
        body = complaint(place(500, 500), description=WORDS, address=STREET, contact={"name": NAME, "phone": PHONE})
        made = office.operator.post("/api/v1/cases", body, 201)
        number = made["number"]
        http = office.operator.http
        assert http.get(f"/api/v1/cases/{number}").status_code == 200
        assert http.get(f"/api/v1/cases/{PHONE}").status_code == 404
        assert http.get(f"/nowhere/{NAME}", params={"phone": PHONE}).status_code == 404
        assert http.get("/api/v1/cases", params={"state": NAME, "x": PHONE}).status_code == 422
        assert http.post("/api/v1/cases", json={**body, "category": STREET, NAME: PHONE}).status_code == 422
        assert http.post("/api/v1/cases", content=WORDS, headers={"Content-Type": "application/json"}).status_code in (400, 422)
        assert http.get("/healthz", headers={"X-Request-ID": PHONE}).headers["x-request-id"] != PHONE
        named = "0123456789abcdef0123456789abcdef"
        assert http.get("/healthz", headers={"X-Request-ID": named}).headers["x-request-id"] == named
        office.leader("su00").post(f"/api/v1/cases/{number}/reporter/reveal", {"reason": WORDS})
        httpx.post(f"{told.address}/api/v1/sessions", timeout=60, verify=False, json={"name": NAME, "password": WORDS})
    for word in PLANTED:
        assert word not in told.raw
        assert json.dumps(word).strip('"') not in told.raw
        assert number not in told.raw  # the number of a case is how it is asked for
    asked = [line for line in told.lines if line.get("event") == "request"]
    assert {(line["route"], line["status"], line["role"]) for line in asked} >= {
        ("/api/v1/cases", 201, "operator"), ("/api/v1/cases/{number}", 200, "operator"), ("/api/v1/cases/{number}", 404, "operator"),
        ("-", 404, "-"), ("/api/v1/cases", 422, "operator"), ("/api/v1/cases/{number}/reporter/reveal", 200, "squad_leader"),
    }  # fmt: skip
    assert all(re.fullmatch("[0-9a-f]{32}", line["id"]) for line in asked)
    assert {line["id"] for line in asked if line["route"] == "/healthz"} >= {named}
    assert all(line["ms"] >= 0 and line["time"].endswith("Z") for line in asked)


def test_an_error_tells_where_it_was_raised_and_not_what_it_says() -> None:
    formatter = telemetry.JsonLines()

    def fails() -> None:
        try:
            int(PHONE + "x")
        except ValueError as cause:
            raise RuntimeError(NAME) from cause

    try:
        fails()
    except RuntimeError:
        record = logging.LogRecord("uvicorn.error", logging.ERROR, __file__, 1, "Exception in ASGI application", (), sys.exc_info())
    line = formatter.format(record)
    told = json.loads(line)
    assert [one["type"] for one in told["error"]] == ["builtins.RuntimeError", "builtins.ValueError"]
    assert "test_telemetry.py" in told["error"][0]["at"][0]
    assert told["event"] == "Exception in ASGI application"
    other = logging.LogRecord("sqlalchemy.pool", logging.ERROR, "pool.py", 7, f"lost {PHONE} of %s", (NAME,), None)
    assert json.loads(formatter.format(other))["event"] == "pool.py:7"
    for word in PLANTED:
        assert word not in line + formatter.format(other)


def test_an_unforeseen_error_is_logged_without_a_word_of_the_request(
    city_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from api.usecases import queues

    def fails(*_: Any) -> None:
        raise RuntimeError(PHONE)

    monkeypatch.setattr(queues, "one", fails)
    with live(city_url) as base, caplog.at_level(logging.INFO, "jieguan"):
        caplog.handler.setFormatter(telemetry.JsonLines())
        answer = Office(base).operator.http.get("/api/v1/cases/1")
    assert answer.status_code == 500
    lines = [caplog.handler.format(record) for record in caplog.records]
    assert any('"status": 500' in line and '"level": "error"' in line for line in lines)
    assert not any(PHONE in line for line in lines)


# ---- figures ---------------------------------------------------------------------------------------------------------


def test_who_may_read_the_figures(city_url: str, tmp_path: Path) -> None:
    with live(city_url) as base:
        assert get(f"{base}/metrics").status_code == 200
        for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):  # a proxy on this machine brings the world along
            assert get(f"{base}/metrics", headers={header: "for=203.0.113.9"}).status_code == 404
    with live(Serving(city_url, development=True, proxies="127.0.0.1")) as base:
        assert get(f"{base}/metrics", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 404
    with live(Serving(city_url, development=True, metrics_token="t0p")) as base:
        for authorization in ("", "Bearer", "Bearer t0", "Basic t0p"):
            answer = get(f"{base}/metrics", headers={"Authorization": authorization})
            assert answer.status_code == 404
            assert "jieguan_" not in answer.text
        assert get(f"{base}/metrics", headers={"Authorization": "Bearer t0p"}).status_code == 200


def test_the_rates_are_those_of_the_cases(service: Office, url: str, clock: Clock) -> None:
    from api.store.setup import opened

    assert not any(name.endswith("_rate") for name, _ in figures(service.base))  # of nothing there is no share
    places = [(500, 500), (500, 500), (1_000, 500), (995, 500), (-5_000, -5_000)]
    numbers = [service.operator.take(x, y)["number"] for x, y in places]
    numbers.append(service.operator.post("/api/v1/cases", complaint({**place(995, 500), "error_m": 120}), 201)["number"])
    number = service.dispatched(500, 500)
    service.leader("su00").act(number, "sign")
    service.leader("su00").act(number, "request_return", reason="不是我队的", evidence=["照片"])
    decisions = [service.operator.case(n)["decision"] for n in (*numbers, number)]
    found = figures(service.base)
    n = len(decisions)
    steps = [d["step"] for d in decisions]
    assert found["jieguan_recent_cases", ()] == n
    assert found["jieguan_default_rate", ()] == pytest.approx(sum(s in (Step.ON_DUTY, Step.NEAREST, Step.NOT_SERVED) for s in steps) / n)
    assert found["jieguan_edge_rate", ()] == pytest.approx(sum(s in (Step.BORDER, Step.AGREED, Step.DISPUTED) for s in steps) / n)
    assert found["jieguan_doubtful_rate", ()] == pytest.approx(sum(d["doubtful"] for d in decisions) / n)
    assert found["jieguan_return_rate", ()] == pytest.approx(1 / n)
    assert 0 < found["jieguan_default_rate", ()] < 1
    assert 0 < found["jieguan_edge_rate", ()] < 1
    assert found["jieguan_open_cases", (("state", "received"),)] == len(numbers)
    assert found["jieguan_oldest_open_case_seconds", (("state", "received"),)] > found["jieguan_oldest_open_case_seconds",
                                                                                       (("state", "return_requested"),)]  # fmt: skip
    assert (found["jieguan_late_cases", ()], found["jieguan_database_up", ()]) == (0, 1)
    with opened(url) as db, db.reading() as session:
        assert watched(session, clock()).cases == n


def test_each_request_is_counted_once_whoever_of_the_workers_answers(city_url: str, tmp_path: Path) -> None:
    with telling(city_url, tmp_path, "--development", "--workers", "2") as told:
        for _ in range(40):
            assert get(f"{told.address}/api/v1/in-force").status_code == 200  # a connection each, so both workers get some
        counted = ("jieguan_requests_total", (("method", "GET"), ("route", "/api/v1/in-force"), ("status", "200")))
        assert [figures(told.address)[counted] for _ in range(6)] == [40.0] * 6
        assert figures(told.address)["jieguan_request_seconds_count", (("route", "/api/v1/in-force"),)] == 40.0


def test_without_a_database_there_are_figures_that_say_so(new_url: NewUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    from geodata.db.engine import Database, ServerUnreachable

    url = new_url(initialised=True)
    published(url)
    with live(url) as base:
        def fails(_: Any) -> Any:
            raise ServerUnreachable(url="-", reason="-")

        monkeypatch.setattr(Database, "reading", fails)
        found = figures(base)
        assert found["jieguan_database_up", ()] == 0
        assert ("jieguan_late_cases", ()) not in found
        answer = get(f"{base}/readyz")
        assert answer.status_code == 503
        assert get(f"{base}/healthz").status_code == 200
        monkeypatch.undo()
        assert get(f"{base}/readyz").status_code == 200
