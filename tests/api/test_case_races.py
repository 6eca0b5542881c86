"""Many at once on one case, and one request many times at once: one of them wins, the others are told why."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from api.store.setup import opened
from api.store.tables import CaseFile, Event, Replay
from tests.api.live import live, place, published, served
from tests.api.staff import Office, Staff, complaint
from tests.api.test_case_lives import audited
from tests.db.conftest import NewUrl

pytestmark = pytest.mark.slow  # minutes, most of them spent in making and starting things

WORKERS = ("--workers", "2", "--development")


def at_once(jobs: list[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    """All of them begin when the last is ready."""
    barrier = threading.Barrier(len(jobs))

    def begin(job: Callable[[], httpx.Response]) -> httpx.Response:
        barrier.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(begin, jobs))


def patiently(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """As a client does that is told to come again: who waits for his turn too long gets 503, and nothing was done."""
    while (answer := ask()).status_code == 503:
        assert answer.headers["retry-after"]
    return answer


def ordering(staff: Staff, number: str, **body: Any) -> Callable[[], httpx.Response]:
    return lambda: patiently(lambda: staff.http.post(f"/api/v1/cases/{number}/actions", json=body))


def one_wins(office: Office, url: str, n: int) -> None:
    """`n` at once, all having seen the same: transfers, a return, a signature."""
    number = office.dispatched(1_500, 500)
    seen = office.dispatcher.case(number)["version"]
    squads = [s for s in (f"su{i}{j}" for i in range(3) for j in range(3)) if s != "su01"]
    transfer = {"action": "transfer", "seen": seen, "reason": "改派"}
    jobs = [ordering(office.dispatcher, number, **transfer, squad=squads[k % len(squads)]) for k in range(n - 2)]
    leader = office.leader("su01")
    jobs += [
        ordering(leader, number, action="sign", seen=seen),
        ordering(leader, number, action="request_return", seen=seen, reason="x", evidence=["y"]),
    ]
    answers = at_once(jobs)
    assert Counter(a.status_code for a in answers) == {200: 1, 409: n - 1}
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["type"] in ("urn:jieguan:problem:CaseMovedOn", "urn:jieguan:problem:NotAllowed")
    assert office.dispatcher.case(number)["version"] == seen + 1
    audited(url, number)


def test_p2_g5_of_many_at_once_exactly_one_succeeds(new_url: NewUrl) -> None:
    url = new_url(initialised=True)
    published(url)
    with live(url) as base:
        office = Office(base)
        for n in (3, 10, 50):
            one_wins(office, url, n)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
def test_g5_on_two_workers(new_url: NewUrl) -> None:
    url = new_url(initialised=True)
    published(url)
    with served(url, *WORKERS) as base:
        office = Office(base)
        for _ in range(5):
            one_wins(office, url, 10)


@pytest.mark.full
def test_g5_a_thousand_rounds(new_url: NewUrl) -> None:
    url = new_url(initialised=True)
    published(url)
    with served(url, *WORKERS) as base:
        office = Office(base)
        for n in (2, 10, 50) * 334:
            one_wins(office, url, max(n, 3))


def test_two_hundred_who_sign_return_and_transfer_end_in_one_valid_state(new_url: NewUrl) -> None:
    """Each looks, then orders what he likes; whoever comes too late is told so."""
    url = new_url(initialised=True)
    published(url)
    with live(url) as base:
        office = Office(base)
        number = office.dispatched(1_500, 500)
        leaders = [office.leader(f"su0{k}") for k in range(3)]
        told: list[httpx.Response] = []

        def look_and_order(k: int) -> None:
            staff = office.dispatcher if k % 3 == 0 else leaders[k % 3]
            seen = office.supervisor.case(number)["version"]
            orders: tuple[dict[str, Any], ...] = (
                {"action": "transfer", "squad": f"su0{k % 2 + 1}", "reason": "改派"},
                {"action": "sign"},
                {"action": "request_return", "reason": "不在辖区", "evidence": ["图"]},
            )
            told.append(ordering(staff, number, seen=seen, **orders[k % 3])())

        with ThreadPoolExecutor(40) as pool:
            list(pool.map(look_and_order, range(200)))
        for answer in told:
            assert answer.status_code in (200, 409, 404), answer.text
            assert answer.status_code == 200 or answer.json()["detail"]
        done = sum(answer.status_code == 200 for answer in told)
        assert office.supervisor.case(number)["version"] == 4 + done
        assert done > 1
        audited(url, number)


def same_request(url: str, base: str, times: int, clients: int) -> None:
    """One case, and everybody is given its number."""
    staff = Office(base).operator
    body, numbers = complaint(place(500, 500)), set()

    def send(_: int) -> httpx.Response:
        return patiently(lambda: staff.http.post("/api/v1/cases", json=body, headers={"Idempotency-Key": "once"}))

    with ThreadPoolExecutor(clients) as pool:
        for answer in pool.map(send, range(times)):
            assert answer.status_code == 201, answer.text
            numbers.add(answer.json()["number"])
    assert len(numbers) == 1
    with opened(url) as db, db.reading() as session:
        assert [session.scalar(sa.select(sa.func.count()).select_from(t)) for t in (CaseFile, Event, Replay)] == [1, 1, 1]


def test_p9_simultaneous_duplicates_of_a_request_are_one_case(new_url: NewUrl) -> None:
    url = new_url(initialised=True)
    published(url)
    with live(url) as base:
        same_request(url, base, 200, 40)


@pytest.mark.full
def test_ten_thousand_simultaneous_duplicates_are_one_case(new_url: NewUrl) -> None:
    url = new_url(initialised=True)
    published(url)
    with served(url, *WORKERS) as base:
        same_request(url, base, 10_000, 100)
