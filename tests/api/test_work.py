"""Jobs on both databases: each done once, whoever is killed when; tried again, put aside; the worker's commands and its place."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from api.settings import Serving
from api.store import jobs
from api.store.clock_tables import ClockRow, Job
from api.store.fact_tables import FactChange
from api.store.opening import Working, working
from api.store.record import Entry, Page, verify
from api.store.tables import CaseFile, Event, Side
from api.usecases import clocks, work
from api.usecases.office import Office
from api.usecases.work import LEASE, MOST, Counts, Ended, Kind
from api.worker import Turn, WorkedElsewhere, Worker
from geodata.store import Maps
from routing.errors import JieguanError
from tests.api.live import live, served
from tests.api.staff import Clock
from tests.api.staff import Office as Staff_
from tests.db.conftest import NewUrl

NOW = datetime(2026, 11, 20, 2, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


def office(has: Working, now: Callable[[], datetime] = lambda: NOW) -> Office:
    return Office(has.db, Maps(1), has.book, has.vault, now, ZONE)


@pytest.fixture
def has(url: str) -> Iterator[Working]:
    with working(Serving(url)) as found:
        yield found


def ask(has: Working, key: str = "k", run_at: datetime = NOW, kind: str = "note") -> None:
    with has.db.writing() as session:
        jobs.schedule(session, kind, key, run_at, {"said": key})


def row(has: Working, key: str = "k") -> Job:
    with has.db.reading() as session:
        return session.scalars(sa.select(Job).where(Job.key == key)).one()


def note(_: Office, page: Page, body: Mapping[str, Any]) -> datetime | None:
    """A job whose effect is an entry of the record."""
    page.enter(Entry("noted", "clock", "machine", None, NOW, {"said": body["said"]}))
    return None


def noted(has: Working) -> list[str]:
    with has.db.reading() as session:
        return [body["said"] for body in session.scalars(sa.select(Event.body).where(Event.kind == "noted").order_by(Event.id))]


NOTES = {"note": Kind(note)}

# ---- one job ---------------------------------------------------------------------------------------------------------


def test_a_job_is_done_once_in_its_turn_and_not_before_its_time(has: Working) -> None:
    for n in (3, 1, 2):
        ask(has, f"k{n}", NOW - n * SECOND)
    ask(has, "later", NOW + SECOND)
    assert work.once(office(has), "me", NOTES) == Counts(done=3)
    assert noted(has) == ["k3", "k2", "k1"]
    assert work.once(office(has), "me", NOTES) == Counts()
    assert (row(has, "k1").done_at, row(has, "k1").leased_by, row(has, "k1").attempts) == (NOW, None, 1)
    assert work.once(office(has, lambda: NOW + SECOND), "me", NOTES) == Counts(done=1)


def test_a_job_asked_for_twice_is_done_once(has: Working) -> None:
    ask(has)
    ask(has)
    assert work.once(office(has), "me", NOTES) == Counts(done=1)


def test_one_asked_for_again_after_it_was_done_is_done_again(has: Working) -> None:
    for _ in range(2):
        ask(has)
        assert work.once(office(has), "me", NOTES) == Counts(done=1)
    assert noted(has) == ["k", "k"]


def test_what_is_cancelled_is_not_done(has: Working) -> None:
    ask(has)
    with has.db.writing() as session:
        jobs.cancel(session, "k")
    assert work.once(office(has), "me", NOTES) == Counts()


def test_a_job_may_go_on_at_another_time(has: Working) -> None:
    def again(_: Office, page: Page, body: Mapping[str, Any]) -> datetime | None:
        note(_, page, body)
        return NOW + HOUR if len(noted(has)) == 0 else None

    ask(has)
    kinds = {"note": Kind(again)}
    assert work.once(office(has), "me", kinds) == Counts(done=1)
    assert (row(has).run_at, row(has).attempts, row(has).done_at) == (NOW + HOUR, 0, None)
    assert work.once(office(has, lambda: NOW + HOUR), "me", kinds) == Counts(done=1)
    assert row(has).done_at == NOW + HOUR


def test_what_is_claimed_is_nobody_elses_until_the_lease_is_over(has: Working) -> None:
    ask(has)
    mine = work.claim(has.db, "me", NOW)
    assert mine is not None
    assert mine.body == {"said": "k"}
    assert work.claim(has.db, "you", NOW + LEASE - SECOND) is None
    assert not work.anything(has.db, NOW + LEASE - SECOND)
    yours = work.claim(has.db, "you", NOW + LEASE)
    assert yours is not None
    # I was only slow. Nothing of what I do stands, and he does it.
    assert work.perform(office(has), mine, NOTES) is Ended.LOST
    assert noted(has) == []
    assert work.perform(office(has), yours, NOTES) is Ended.DONE
    assert noted(has) == ["k"]


def test_who_runs_a_job_that_is_put_anew_finds_it_is_not_his(has: Working) -> None:
    ask(has)
    mine = work.claim(has.db, "me", NOW)
    assert mine is not None
    ask(has, run_at=NOW + HOUR)
    assert work.perform(office(has), mine, NOTES) is Ended.LOST
    with has.db.writing() as session:
        jobs.cancel(session, "k")
    assert work.perform(office(has), mine, NOTES) is Ended.LOST
    assert noted(has) == []


class Wrong(JieguanError):
    zh = "不行。"
    en = "It cannot be done."


@pytest.mark.parametrize(("error", "said"), [(Wrong(), "Wrong: It cannot be done."), (KeyError("13812345678"), "KeyError")])
def test_a_job_that_fails_waits_longer_each_time_and_is_put_aside_at_last(has: Working, error: Exception, said: str) -> None:
    def fails(_: Office, page: Page, body: Mapping[str, Any]) -> datetime | None:
        note(_, page, body)
        raise error

    ask(has)
    at, waits = NOW, []
    for n in range(MOST):
        assert work.once(office(has, lambda at=at: at), "me", {"note": Kind(fails)}) == (  # type: ignore[misc]
            Counts(failed=1) if n < MOST - 1 else Counts(dead=1)
        )
        found = row(has)
        assert found.error == said
        waits.append(found.run_at - at)
        at = found.run_at
    assert waits[: MOST - 1] == sorted(waits[: MOST - 1])
    assert waits[0] == 5 * SECOND
    assert (found.dead_at is None, found.leased_by) == (False, None)
    assert work.once(office(has, lambda: at + 1000 * HOUR), "me", {"note": Kind(fails)}) == Counts()
    assert noted(has) == []


def test_a_job_that_kills_who_does_it_is_put_aside_too(has: Working) -> None:
    ask(has)
    for n in range(MOST):
        assert work.claim(has.db, "me", NOW + n * LEASE) is not None  # and is heard of no more
    assert work.claim(has.db, "me", NOW + MOST * LEASE) is None
    assert row(has).dead_at == NOW + MOST * LEASE


def test_a_kind_nobody_knows_waits_for_who_does(has: Working) -> None:
    ask(has, kind="tomorrow")
    assert work.once(office(has), "me", NOTES) == Counts(failed=1)
    assert "tomorrow" in str(row(has).error)


def test_what_goes_out_of_the_house_comes_before_and_is_handed_on(has: Working) -> None:
    said: list[str] = []

    def settle(_: Office, page: Page, body: Mapping[str, Any]) -> datetime | None:
        said.append(body["before"])
        return note(_, page, body)

    ask(has)
    assert work.once(office(has), "me", {"note": Kind(settle, lambda _, body: f"sent {body['said']}")}) == Counts(done=1)
    assert said == ["sent k"]


def test_what_was_done_long_ago_is_forgotten(has: Working) -> None:
    ask(has, "old")
    work.once(office(has), "me", NOTES)
    ask(has, "new", NOW + HOUR)
    assert work.forget(has.db, NOW + timedelta(days=31)) == 1
    assert row(has, "new").done_at is None


def test_many_who_work_at_once_do_each_job_once(has: Working) -> None:
    for n in range(40):
        ask(has, f"k{n:02d}")
    gate, counts = threading.Barrier(4), []

    def works(name: str) -> None:
        gate.wait()
        counts.append(work.once(office(has), name, NOTES))

    threads = [threading.Thread(target=works, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(count.done for count in counts) == 40
    assert sorted(noted(has)) == sorted(f"k{n:02d}" for n in range(40))


# ---- killed ----------------------------------------------------------------------------------------------------------

CASES, AGO = 8, timedelta(days=60)
EFFECTS = ("remind", "urge", "notice", "supervise")


@pytest.fixture(scope="module")
def workers() -> ForkServerContext:
    """Processes that have everything imported when they begin, and nothing open."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["api.worker", "api.store.opening", "geodata.db.schema", "tests.api.test_work"])
    return context


STAGES = "claimed", "effect", "ended"


def work_until_killed(url: str, now: datetime, seed: int, there: Any) -> None:
    """A worker that stops for ever at some job: after it was claimed, after its effect, after its end. There it is killed."""
    rng = random.Random(seed)
    stage, left = rng.choice(STAGES), [rng.randint(1, 4)]

    def come_to(here: str) -> None:
        left[0] -= here == stage
        if left[0] == 0:
            there.set()
            time.sleep(3600)

    def ring(of: Office, page: Page, body: Mapping[str, Any]) -> datetime | None:
        again = clocks.ring(of, page, body)
        page.session.flush()
        come_to("effect")
        return again

    turn = Turn(url)
    turn.require()
    with working(Serving(url)) as has:
        of, me = office(has, lambda: now), work.myself()
        while (job := work.claim(has.db, me, now)) is not None:
            come_to("claimed")
            work.perform(of, job, {clocks.KIND: Kind(ring)})
            come_to("ended")
    there.set()


def late_cases(url: str, begun: datetime) -> list[str]:
    """Cases that their squads never signed for."""
    clock = Clock()
    clock.now = begun
    with live(url, now=clock) as base:
        people = Staff_(base)
        return [people.dispatched(500 + 10 * n, 500) for n in range(CASES)]


def told(has: Working) -> Counter[tuple[str, str]]:
    """How often each case was told of what."""
    with has.db.reading() as session:
        bodies = session.scalars(sa.select(Event.body).where(Event.kind == clocks.KIND)).all()
    return Counter((body["number"], body["effect"]) for body in bodies)


@pytest.mark.slow
def test_workers_killed_at_any_time_tell_everybody_once(url: str, workers: ForkServerContext) -> None:
    seed = 20261122
    numbers = late_cases(url, NOW)
    late, kills, several = NOW + AGO, 0, url.startswith("postgresql")
    for n in range(100):
        now = late + n * 2 * LEASE  # the leases of the dead are over
        with working(Serving(url)) as has:
            if not work.anything(has.db, now):
                break
        crowd = []
        for k in range(2 if several else 1):
            there = workers.Event()
            process = workers.Process(target=work_until_killed, args=(url, now, seed + 10 * n + k, there), daemon=True)
            process.start()
            crowd.append((process, there))
        for process, there in crowd:
            assert there.wait(300), "neither stopped nor at its end"
            assert process.pid is not None
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
            process.join()
    with working(Serving(url)) as has:
        counts = told(has)
        print(f"seed {seed}: {CASES} cases, {len(counts)} reminders, {kills} kills")
        assert counts == {(number, effect): 1 for number in numbers for effect in EFFECTS}
        assert kills >= 3
        with has.db.reading() as session:
            assert list(verify(session, has.book.anchor)) == []
            sides = Counter((side.case_id, side.kind) for side in session.scalars(sa.select(Side)))
            assert sorted(sides.values()) == [1] * (3 * CASES)
            assert {len(clock.told) for clock in session.scalars(sa.select(ClockRow).where(ClockRow.step == "sign"))} == {4}
            assert set(session.scalars(sa.select(CaseFile.supervisions))) == {1}
            assert set(session.scalars(sa.select(Job.done_at.is_not(None)))) == {True}


# ---- where it is done ------------------------------------------------------------------------------------------------


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", "from api.cli import main; main()", *words]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment}
    return subprocess.run(line, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_the_service_of_an_embedded_database_does_its_jobs_and_nobody_else(new_embedded: NewUrl) -> None:
    from tests.api.live import published

    url = new_embedded(initialised=True)
    published(url)
    numbers = late_cases(url, datetime.now(UTC) - AGO)
    with served(url):
        refused = run("worker", "--db", url, "--once", "--json", "--lang", "zh-CN")
        assert refused.returncode == 2
        told_why = json.loads(refused.stdout)
        assert told_why["error"] == "WorkedElsewhere"
        assert "jieguan serve" in told_why["text"]
        with working(Serving(url)) as has:
            until = time.monotonic() + 120
            while len(told(has)) < len(EFFECTS) * CASES and time.monotonic() < until:
                time.sleep(0.1)
    again = run("worker", "--db", url, "--once", "--json")  # nobody serves it now
    assert (again.returncode, json.loads(again.stdout)) == (0, {"done": 0, "failed": 0, "dead": 0, "lost": 0})
    with working(Serving(url)) as has:
        assert told(has) == {(number, effect): 1 for number in numbers for effect in EFFECTS}


@pytest.mark.slow
def test_the_worker_of_a_server_is_a_program_of_its_own(new_postgresql: NewUrl) -> None:
    from tests.api.live import published

    url = new_postgresql(initialised=True)
    published(url)
    numbers = late_cases(url, datetime.now(UTC) - AGO)
    with served(url), working(Serving(url)) as has:
        assert told(has) == {}
        line = [sys.executable, "-c", "from api.cli import main; main()", "worker", "--db", url, "--json"]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        process = subprocess.Popen(line, env=env, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["ready"] is True
            until = time.monotonic() + 120
            while len(told(has)) < len(EFFECTS) * CASES and time.monotonic() < until:
                time.sleep(0.1)
            process.terminate()
            rest, _ = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 0
        assert json.loads(rest)["done"] == CASES
        assert told(has) == {(number, effect): 1 for number in numbers for effect in EFFECTS}


def test_the_turn_is_one_processs_and_free_when_it_is_given_back(tmp_path: Path) -> None:
    url = str(tmp_path / "x.db")
    one, other = Turn(url), Turn(url)
    assert one.mine()
    assert one.mine()
    assert not other.mine()
    with pytest.raises(WorkedElsewhere) as error:
        other.require()
    assert error.value.facts["path"] == str(tmp_path / "x.db")
    one.give_back()
    other.require()
    assert Turn("postgresql://nobody@nowhere/x").mine()


def test_a_worker_adds_up_the_figures(has: Working, service: Staff_) -> None:
    service.operator.take(500, 500)

    def unsettled() -> int:
        with has.db.reading() as session:
            return int(session.scalar(sa.select(sa.func.count()).select_from(FactChange)) or 0)

    assert unsettled() > 0
    worker = Worker(office(has), Turn(has.db.url if has.db.path is None else str(has.db.path)), NOTES, poll_s=0.01)
    worker.start()
    end = time.monotonic() + 30
    while unsettled() and time.monotonic() < end:
        time.sleep(0.05)
    worker.close()
    assert unsettled() == 0


def test_a_worker_goes_on_when_the_database_was_away(has: Working, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(has)
    tries: list[int] = []
    anything = work.anything

    def away(db: Any, now: datetime) -> bool:
        tries.append(1)
        if len(tries) < 3:
            raise sa.exc.OperationalError("select", {}, Exception("gone"))
        return anything(db, now)

    monkeypatch.setattr(work, "anything", away)
    worker = Worker(office(has), Turn(has.db.url if has.db.path is None else str(has.db.path)), NOTES, poll_s=0.01)
    worker.start()
    until = time.monotonic() + 60
    while not noted(has) and time.monotonic() < until:
        time.sleep(0.01)
    worker.close()
    assert noted(has) == ["k"]
    assert worker.counts == Counts(done=1)
