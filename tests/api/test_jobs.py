"""The runner of jobs: one after the other, told as they go, stopped where they may be, forgotten in order."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from api.usecases import jobs as running
from api.usecases.jobs import (
    Job,
    JobBroke,
    JobNotDone,
    JobOfOtherKind,
    JobOver,
    Jobs,
    JobsBusy,
    Result,
    State,
    UnknownJob,
    part,
)
from geodata.compile import Progress
from routing.errors import JieguanError


class Wrong(JieguanError):
    zh = "内容不对"
    en = "it is wrong"


class Held:
    """Work that waits to be let go, then tells its progress once more."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, progress: Progress) -> Result:
        progress("read", 1, 4)
        self.begun.set()
        assert self.go.wait(20)
        progress("route", 3, 4)
        return Result({"held": True})


@contextmanager
def jobs(**more: Any) -> Iterator[Jobs]:
    made = Jobs(lambda: datetime.now(UTC), **more)
    try:
        yield made
    finally:
        made.close()


def begin(of: Jobs, work: Callable[[Progress], Result], **more: Any) -> Job:
    return of.submit("test", work, by="张三", about={}, **more)


def ended(of: Jobs, job: Job) -> Job:
    while (now := of.get(job.id)).state not in running.OVER:
        time.sleep(0.001)
    return now


def done(_: Progress) -> Result:
    return Result({"n": 1})


def test_jobs_are_done_one_after_the_other_in_order() -> None:
    order: list[int] = []
    alone = threading.Lock()

    def work(n: int) -> Callable[[Progress], Result]:
        def one(_: Progress) -> Result:
            assert alone.acquire(blocking=False)
            order.append(n)
            alone.release()
            return Result({"n": n})

        return one

    with jobs(queue=50, keep=50) as of:
        made = [begin(of, work(n)) for n in range(30)]
        results = [ended(of, job) for job in made]
        assert order == list(range(30))
        assert [dict(job.done("test").told) for job in results] == [{"n": n} for n in range(30)]
        assert [job.id for job in of.all()] == [job.id for job in reversed(made)]
        for job in results:
            assert (job.state, job.share, job.by) == (State.DONE, 1.0, "张三")
            assert job.started is not None
            assert job.finished is not None
            assert job.created <= job.started <= job.finished


def test_progress_never_goes_back() -> None:
    seen: list[tuple[str | None, float]] = []

    with jobs() as of:

        def work(progress: Progress) -> Result:
            first, second = part(progress, 0.0, 0.5), part(progress, 0.5, 1.0)
            for told, stage, at in ((first, "a", 0), (first, "a", 3), (first, "a", 1), (second, "b", 1), (second, "b", 9)):
                told(stage, at, 4)
                now = of.get(job.id)
                seen.append((now.stage, now.share))
            return Result({})

        ready = threading.Event()
        held = begin(of, lambda p: (ready.wait(20), done(p))[1])
        job = begin(of, work)
        ready.set()
        assert ended(of, held).state is State.DONE
        assert ended(of, job).state is State.DONE
    assert seen == [("a", 0.0), ("a", 0.375), ("a", 0.375), ("b", 0.625), ("b", 1.0)]


def test_a_job_that_runs_stops_at_its_next_word_and_what_it_began_is_undone() -> None:
    undone: list[str] = []
    with jobs() as of:
        held = Held()
        job = begin(of, held, undo=lambda: undone.append("held"))
        assert held.begun.wait(20)
        asked = of.cancel(job.id)
        assert (asked.state, asked.cancelling) == (State.RUNNING, True)
        assert undone == []
        held.go.set()
        over = ended(of, job)
        assert (over.state, over.stage, over.result, over.error) == (State.CANCELLED, "read", None, None)
        assert undone == ["held"]
        assert ended(of, begin(of, done)).state is State.DONE  # the thread goes on
        with pytest.raises(JobOver, match="cancelled"):
            of.cancel(job.id)


def test_a_job_that_waits_never_begins() -> None:
    undone: list[str] = []
    ran: list[str] = []
    with jobs() as of:
        held = Held()
        first = begin(of, held)
        second = begin(of, lambda p: (ran.append("second"), done(p))[1], undo=lambda: undone.append("second"))
        assert of.cancel(second.id).state is State.CANCELLED
        assert undone == ["second"]
        held.go.set()
        assert ended(of, first).state is State.DONE
        assert ended(of, begin(of, done)).state is State.DONE
    assert ran == []


def test_only_so_many_wait() -> None:
    with jobs(queue=2) as of:
        held = Held()
        begin(of, held)
        assert held.begun.wait(20)
        waiting = [begin(of, done) for _ in range(2)]
        with pytest.raises(JobsBusy, match="2 jobs are waiting"):
            begin(of, done)
        of.cancel(waiting[0].id)
        begin(of, done)
        held.go.set()


def test_only_the_latest_are_kept() -> None:
    with jobs(keep=3) as of:
        made = [ended(of, begin(of, done)) for _ in range(5)]
        assert [job.id for job in of.all()] == [job.id for job in reversed(made[2:])]
        held = Held()
        begin(of, held)
        assert held.begun.wait(20)
        for _ in range(5):
            of.cancel(begin(of, done).id)
        assert len(of.all()) == 4
        held.go.set()
        with pytest.raises(UnknownJob) as caught:
            of.get(made[0].id)
        assert "重启" in caught.value.text("zh-CN")
        assert "restart" in caught.value.text("en")


def test_a_refusal_is_kept_and_a_fault_says_nothing_about_itself(caplog: pytest.LogCaptureFixture) -> None:
    def refuses(_: Progress) -> Result:
        try:
            {}["x"]
        except KeyError as error:
            raise Wrong from error

    def breaks(_: Progress) -> Result:
        raise RuntimeError("13800138000")

    undone: list[str] = []
    with jobs() as of, caplog.at_level(logging.ERROR):
        refused = ended(of, begin(of, refuses, undo=lambda: undone.append("refused")))
        assert refused.state is State.FAILED
        assert isinstance(refused.error, Wrong)
        assert refused.error.__traceback__ is refused.error.__cause__ is refused.error.__context__ is None
        broke = ended(of, begin(of, breaks, undo=lambda: undone.append("broke")))
        assert isinstance(broke.error, JobBroke)
        assert "13800138000" not in str(broke.error)
        assert "broke down" in caplog.text
        assert undone == ["refused", "broke"]
        with pytest.raises(JobNotDone, match="failed"):
            broke.done("test")
        with pytest.raises(JobOfOtherKind, match="what_if"):
            broke.done("what_if")


def test_what_cannot_be_undone_is_in_the_log_and_the_next_job_is_done(caplog: pytest.LogCaptureFixture) -> None:
    def refuses(_: Progress) -> Result:
        raise Wrong

    def breaks() -> None:
        raise OSError

    with jobs() as of:
        assert isinstance(ended(of, begin(of, refuses, undo=breaks)).error, Wrong)
        assert ended(of, begin(of, done)).state is State.DONE
    assert "could not be undone" in caplog.text


def test_closing_stops_what_runs_and_what_waits() -> None:
    undone: list[str] = []
    with jobs() as of:
        held = Held()
        first = begin(of, held, undo=lambda: undone.append("first"))
        second = begin(of, done, undo=lambda: undone.append("second"))
        assert held.begun.wait(20)
        closing = threading.Thread(target=of.close)
        closing.start()
        while not of.get(first.id).cancelling:
            time.sleep(0.001)
        held.go.set()
        closing.join(20)
        assert not closing.is_alive()
        assert [of.get(job.id).state for job in (first, second)] == [State.CANCELLED, State.CANCELLED]
        assert sorted(undone) == ["first", "second"]
        with pytest.raises(JobsBusy):
            begin(of, done)


def test_a_job_that_does_not_stop_is_left_behind(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(running, "STOP_S", 0.01)
    held = Held()
    of = Jobs(lambda: datetime.now(UTC))
    begin(of, held)
    assert held.begun.wait(20)
    of.close()
    assert "left behind" in caplog.text
    held.go.set()
    of.close()
