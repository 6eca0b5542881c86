"""Work that takes longer than an answer may: one thread, one job after the other, each telling how far it is.

    jobs = Jobs(now, queue=8, keep=20)
    job = jobs.submit("what_if", work, by="张三", about={"draft": "..."})     `work(progress)` gives the result
    jobs.cancel(job.id)                                                    it stops at its next word of progress
    jobs.close()

Jobs live in this process and nowhere else: a restart forgets them. So do newer ones: only the last `keep` that ended are kept,
with their results. Nothing a job does is half done: what it writes, it writes by use cases that write whole or not at all.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from geodata.compile import Progress
from routing.errors import JieguanError

STOP_S = 30.0
"""How long `close` waits for a job that is slow to tell its progress."""

log = logging.getLogger("jieguan")


class OneProcess(JieguanError):
    zh = "任务与历史案件保存在单个进程中,而本服务有 {workers} 个工作进程:下一次请求可能由另一个进程回答。请以 --workers 1 启动后再试。"
    en = (
        "Jobs and past cases are kept in one process, and this service has {workers}: another might answer the next request. Start it "
        "with --workers 1 for these."
    )


class UnknownJob(JieguanError):
    zh = "没有任务“{value}”。任务只留在内存中:服务重启后即不再有,较早结束的也会被新的挤出。请重新提交。"
    en = (
        "There is no job {value!r}. Jobs are kept in memory: a restart forgets them, and of those that ended only the latest are "
        "kept. Submit it again."
    )


class JobsBusy(JieguanError):
    zh = "已有 {waiting} 项任务在排队,暂不接受新的;未作任何改动。请稍后重试。"
    en = "{waiting} jobs are waiting already, and no more are taken now; nothing was changed. Try again later."


class JobOver(JieguanError):
    zh = "任务“{value}”已经结束({state}),没有可取消的。"
    en = "The job {value!r} has ended ({state}), so there is nothing to cancel."


class JobNotDone(JieguanError):
    zh = "任务“{value}”没有结果:现为 {state}。请等它完成;失败或已取消的请重新提交。"
    en = "The job {value!r} has no result: it is {state}. Wait until it is done; if it failed or was cancelled, submit it again."


class JobOfOtherKind(JieguanError):
    zh = "任务“{value}”是 {kind},此处需要 {wanted} 的结果。请核对任务编号。"
    en = "The job {value!r} is a {kind}, and what is asked for is in the result of a {wanted}. Check the id of the job."


class JobBroke(JieguanError):
    zh = "任务因服务内部出错而中断,已记入日志;未作任何改动。请联系管理员。"
    en = "The job broke down by a fault of the service, which is in the log; nothing was changed. Tell who runs it."


class Stopped(BaseException):
    """Raised from within `progress` to end a job that was cancelled. No error: nothing that handles errors is to hold it up."""


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


OVER = frozenset({State.DONE, State.FAILED, State.CANCELLED})


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What a job found. `told`: plain values; `kept`: what further questions about it are answered from."""

    told: Mapping[str, Any]
    kept: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A job as it stands. `about`: what it was asked, as plain values; `share`: how much is done, from 0 to 1, never less than before."""

    id: str
    kind: str
    by: str
    about: Mapping[str, Any]
    created: datetime
    state: State = State.QUEUED
    cancelling: bool = False
    stage: str | None = None
    share: float = 0.0
    started: datetime | None = None
    finished: datetime | None = None
    result: Result | None = None
    error: JieguanError | None = None

    def done(self, kind: str) -> Result:
        """Its result. Raises JobOfOtherKind, JobNotDone."""
        if self.kind != kind:
            raise JobOfOtherKind(value=self.id, kind=self.kind, wanted=kind)
        if self.result is None:
            raise JobNotDone(value=self.id, state=self.state.value)
        return self.result


Work = Callable[[Progress], Result]


def nothing() -> None:
    """Undoes nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What is to be done, and what is to be undone where it does not come to a result."""

    work: Work
    undo: Callable[[], None]


class Jobs:
    """The jobs of this process, and the thread that does them."""

    def __init__(self, now: Callable[[], datetime], *, queue: int = 8, keep: int = 20) -> None:
        self._now, self._queue, self._keep = now, queue, keep
        self._change = threading.Condition()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._waiting: OrderedDict[str, _Task] = OrderedDict()
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="jieguan-jobs", daemon=True)
        self._thread.start()

    def submit(
        self, kind: str, work: Work, *, by: str, about: Mapping[str, Any], undo: Callable[[], None] = nothing
    ) -> Job:
        """Queue a job. `undo` is called if it ends without a result. Raises JobsBusy; `undo` is then the caller's."""
        job = Job(uuid.uuid4().hex, kind, by, about, self._now())
        with self._change:
            if self._closing or len(self._waiting) >= self._queue:
                raise JobsBusy(waiting=len(self._waiting))
            self._jobs[job.id], self._waiting[job.id] = job, _Task(work, undo)
            self._change.notify_all()
        return job

    def all(self) -> list[Job]:
        """Every job there is, the latest first."""
        with self._change:
            return list(reversed(self._jobs.values()))

    def get(self, id_: str) -> Job:
        """A job as it stands. Raises UnknownJob."""
        with self._change:
            return self._known(id_)

    def cancel(self, id_: str) -> Job:
        """A job that waits will not begin; one that runs stops at its next word of progress. Raises UnknownJob, JobOver."""
        with self._change:
            job = self._known(id_)
            if job.state in OVER:
                raise JobOver(value=id_, state=job.state.value)
            if job.state is State.RUNNING:
                return self._put(replace(job, cancelling=True))
            task = self._waiting.pop(id_)
            self._undone(job, task)
            return self._put(replace(job, state=State.CANCELLED, cancelling=True, finished=self._now()))

    def close(self) -> None:
        """Nothing new is taken, what waits is cancelled, what runs stops at its next word of progress."""
        with self._change:
            self._closing = True
            running = [job.id for job in self._jobs.values() if job.state not in OVER]
            self._change.notify_all()
        for id_ in running:
            with suppress(JobOver, UnknownJob):  # it ended by itself meanwhile
                self.cancel(id_)
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            log.warning("a job has not stopped within %g s and is left behind", STOP_S)

    # --- the thread ---

    def _serve(self) -> None:
        while (taken := self._next()) is not None:
            job, task = taken
            ended = self._ended(job, task)
            if ended.state is not State.DONE:
                self._undone(ended, task)
            with self._change:
                self._put(replace(ended, finished=self._now()))

    def _next(self) -> tuple[Job, _Task] | None:
        """The job that waits longest, begun; None when nothing more is to be done."""
        with self._change:
            while not self._waiting and not self._closing:
                self._change.wait()
            if self._closing:
                return None
            id_, task = self._waiting.popitem(last=False)
            return self._put(replace(self._jobs[id_], state=State.RUNNING, started=self._now())), task

    def _ended(self, job: Job, task: _Task) -> Job:
        """The job after its work."""

        def progress(stage: str, done: int, of: int) -> None:
            with self._change:
                now = self._jobs[job.id]
                if now.cancelling:
                    raise Stopped
                self._put(replace(now, stage=stage, share=max(now.share, min(1.0, done / max(of, 1)))))

        try:
            result = task.work(progress)
        except Stopped:
            return replace(self.get(job.id), state=State.CANCELLED)
        except JieguanError as error:
            error.__cause__ = error.__context__ = None  # their frames would keep all that the work held
            return replace(self.get(job.id), state=State.FAILED, error=error.with_traceback(None))
        except Exception:
            log.exception("the job %s (%s) broke down", job.id, job.kind)
            return replace(self.get(job.id), state=State.FAILED, error=JobBroke())
        return replace(self.get(job.id), state=State.DONE, share=1.0, result=result)

    def _undone(self, job: Job, task: _Task) -> None:
        try:
            task.undo()
        except Exception:
            log.exception("what the job %s (%s) began could not be undone", job.id, job.kind)

    def _known(self, id_: str) -> Job:
        if id_ not in self._jobs:
            raise UnknownJob(value=id_[:80])
        return self._jobs[id_]

    def _put(self, job: Job) -> Job:
        """A job as it now stands. Of those that ended the oldest are forgotten."""
        self._jobs[job.id] = job
        if job.state in OVER:
            over = [j.id for j in self._jobs.values() if j.state in OVER]
            for id_ in over[: max(0, len(over) - self._keep)]:
                del self._jobs[id_]
        return job


def part(progress: Progress, begin: float, end: float) -> Progress:
    """Progress of a part of the work, from one share of the whole to another."""

    def told(stage: str, done: int, of: int) -> None:
        progress(stage, round(1000 * (begin + (end - begin) * done / max(of, 1))), 1000)

    return told
