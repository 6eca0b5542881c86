"""The service over HTTP: the routers on one database, opened when the process starts and closed when it ends.

    create_app("city.db")                       for a server of your own (uvicorn --factory api.app:of_environment)
    serve("city.db", port=8000, workers=2)      and run it

Endpoints are plain functions in threads; each use case commits before it returns, so nothing is acknowledged that is not safe.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import re
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import uvicorn
import uvicorn._subprocess
from anyio import to_thread
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from api import problems, settings, telemetry
from api.description import Described
from api.draining import FINISH_S, Draining, OneOfSeveral, of_several
from api.routers import (
    case_files,
    cases,
    clusters,
    files,
    health,
    jobs,
    limits,
    map_defects,
    map_drafts,
    map_repairs,
    map_route,
    map_versions,
    ogc,
    ogc_writing,
    open311,
    people,
    publication,
    statistics,
)
from api.security import NotLoopback, is_loopback
from api.settings import Serving
from api.store.opening import working
from api.usecases.histories import Histories
from api.usecases.jobs import Jobs
from api.usecases.map_features import MapStore, Shelves
from api.usecases.map_jobs import Studies, WarmStarts
from api.usecases.office import Office
from api.usecases.people import People
from api.worker import Turn, Worker
from geodata.drafts import Desk
from geodata.intake import Limits
from geodata.store import Maps
from routing.errors import JieguanError

ROUTERS = (
    health.router, people.router,
    map_versions.router, map_drafts.router, map_repairs.router, map_defects.router, map_route.router, files.router,
    jobs.router, jobs.files,
    ogc_writing.router, ogc.of_draft, ogc.of_map,
    case_files.router, case_files.files, case_files.tables, cases.router, clusters.router, clusters.offers, limits.router,
    publication.router, publication.cases, open311.router, open311.points,
    statistics.router,
)  # fmt: skip
FILES = re.compile(r"/api/v1/(?:drafts/[^/]+/(uploads)|(histories)|cases/[^/]+/(attachments)|cases/(batch))$")
LIMITS = {"uploads": "upload_bytes", "histories": "history_bytes", "attachments": "attachment_bytes", "batch": "batch_bytes"}
"""Where files are taken, and the setting of how large they may be."""
FORM_BYTES = 1 << 16
"""What a form may put around its file."""
log = logging.getLogger("uvicorn.error")
ABOUT = "每个地点、类别与时刻恰有一个负责中队。/ Every place, category and instant has exactly one responsible squad."


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(
    url: str | Serving, *, development: bool = False, now: Callable[[], datetime] = _utc_now
) -> FastAPI:
    """The application on one database. It is opened when the application starts: after any fork."""
    serving = url if isinstance(url, Serving) else Serving(url, development)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = serving.threads
        with working(serving) as has:
            if has.vault.made is not None:
                log.warning("the master key of the cases is new: %s; keep a copy of it apart from the backups", has.vault.made)
            db, app.state.vault, app.state.book = has.db, has.vault, has.book
            app.state.people = People(has.book, has.vault.mac, now)
            of = app.state.map = MapStore(db, Desk(db), Maps(serving.keep_maps), Shelves(serving.keep_layers), now)
            app.state.office = Office(db, of.maps, app.state.book, app.state.vault, now, ZoneInfo(serving.zone))
            limits = Limits(file=serving.history_bytes, rows=serving.history_rows)
            with closing(Histories(serving.histories, most=serving.keep_histories, limits=limits)) as histories:
                runner = Jobs(now, queue=serving.queue, keep=serving.keep_jobs)
                app.state.studies = Studies(of, runner, histories, WarmStarts(serving.keep_warm))
                app.state.receiving = 0
                worker = Worker(app.state.office, Turn(serving.database))
                if db.path is not None if serving.worker is None else serving.worker:
                    worker.start()
                try:
                    yield
                finally:
                    await to_thread.run_sync(worker.close)
                    await to_thread.run_sync(runner.close)

    app = Described(
        title="jieguan", version="1", description=ABOUT, lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None,
        responses={422: {}},  # FastAPI would describe one of its own
    )  # fmt: skip
    app.state.serving = serving
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app)
    app.add_middleware(Door, serving=serving)
    app.add_middleware(telemetry.Watch)
    return app


def of_environment() -> FastAPI:
    """The application JIEGUAN_DATABASE and the rest of the environment ask for; in development mode it answers this machine only."""
    return create_app(settings.of_environment())


@dataclass(frozen=True, slots=True)
class Answering:
    """Where the service answers, and what on. `database`: without its password. `master_made`: where a new master key lies."""

    address: str
    database: str
    workers: int
    development: bool
    embedded: bool
    master_made: str | None = None

    def json(self) -> dict[str, Any]:
        """As plain values."""
        return {"ready": True, **asdict(self)}


def serve(
    url: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    development: bool = False,
    ready: Callable[[Answering], None] = lambda _: None,
) -> None:
    """Run until told to stop by SIGTERM or SIGINT; requests at hand are answered first, then this returns.

    `ready` is told where, once every worker answers. Several workers are safe on an embedded database, too: each opens it after it has
    been started, the gate lets them write in turn, and every request asks which version is in force. They write no faster.
    Raises NotLoopback, CannotListen, WorkersFailed, and what opening the database raises.
    """
    development = in_development(host, development)
    serving = replace(settings.serving_of(url), development=development, workers=1)
    with working(serving) as has:  # what is wrong with it is said here, in a sentence
        shown, embedded, made = has.db.url, has.db.path is not None, has.vault.made
    options: dict[str, Any] = {**running(serving), "host": host, "workers": workers}
    options |= {"log_level": serving.log_level, "log_config": telemetry.logging_of(serving.log_level)}
    with listening(host, port) as socket, stopping():
        at = Answering(_address(host, socket.getsockname()[1]), shown, workers, development, embedded, None if made is None else str(made))
        if workers == 1:
            One(uvicorn.Config(create_app(serving), **options), serving.drain_seconds, lambda: ready(at)).run([socket])
            return
        os.environ |= {settings.DATABASE: url, settings.DEVELOPMENT: "1" if development else "", settings.WORKERS: str(workers)}
        of_several()
        several = Several(uvicorn.Config("api.app:of_environment", factory=True, **options), [socket], lambda: ready(at))
        with counting_together():
            several.run()
        if several.failed:
            raise WorkersFailed


def in_development(host: str, asked: bool) -> bool:
    """Whether it is a development machine, by the caller or by the environment. Raises NotLoopback."""
    development = asked or settings.development()
    if development and not is_loopback(host):
        raise NotLoopback(host=host)
    return development


RUN: dict[str, Any] = {
    "server_header": False, "proxy_headers": False, "access_log": False, "limit_concurrency": 512, "timeout_keep_alive": 15,
    "timeout_graceful_shutdown": FINISH_S, "timeout_worker_healthcheck": 60,
}  # fmt: skip
"""Addresses may hold what people wrote, so there is no log of them. A worker that compiles its kernels is slow, not hung."""


def running(serving: Serving) -> dict[str, Any]:
    """RUN, and whose word counts on where a request came from: a proxy's, if it is one of ours."""
    if serving.proxies is None:
        return RUN
    return RUN | {"proxy_headers": True, "forwarded_allow_ips": serving.proxies}


@contextmanager
def counting_together() -> Iterator[None]:
    """A folder in which the workers' figures are one, unless the environment names one."""
    if os.environ.get(telemetry.FOLDER):
        yield
        return
    with TemporaryDirectory(prefix="jieguan-figures-") as folder:
        os.environ[telemetry.FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[telemetry.FOLDER]


class CannotListen(JieguanError):
    zh = "无法在 {host} 端口 {port} 上监听({reason})。请换一个端口(--port),或停掉占用它的程序。"
    en = "Nothing can listen on {host}, port {port} ({reason}). Choose another (--port), or stop the program that has it."


class WorkersFailed(JieguanError):
    zh = "工作进程未能启动,服务已停止;原因见上面的日志。请先用 --workers 1 启动查看。"
    en = "The workers did not start and the service has stopped; the log above says why. Start it with --workers 1 to see."


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens. Raises CannotListen."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.create_server((str(address[0]), port), family=family, backlog=2048)
    except OSError as error:
        raise CannotListen(host=host, port=port, reason=error.strerror or str(error)) from error
    with made:
        yield made


@contextmanager
def stopping() -> Iterator[None]:
    """SIGTERM and SIGINT end the block as if it had come to its end. uvicorn raises them again when it has finished its work."""

    class Stopped(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stopped

    before = {sig: signal.signal(sig, stop) for sig in (signal.SIGTERM, signal.SIGINT)}
    try:
        with suppress(Stopped):
            yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)


class One(Draining):
    """A server that tells when it answers."""

    def __init__(self, config: uvicorn.Config, seconds: float, ready: Callable[[], None]) -> None:
        super().__init__(config, seconds)
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.ready()


class Several(Multiprocess):
    """Workers that are told of when all of them answer.

    They are forked from a process that has everything imported, and nothing open nor any thread: one that dies has a successor at once.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], ready: Callable[[], None]) -> None:
        super().__init__(config, sockets)
        ready_made = multiprocessing.get_context("forkserver")
        ready_made.set_forkserver_preload(["api.ready_made"])
        uvicorn._subprocess.spawn = ready_made  # type: ignore[assignment]  # noqa: SLF001 - where uvicorn makes its workers
        self.ready, self.told, self.failed = ready, False, False
        self.asked: dict[Process, float] = {}
        self.started: set[Process] = set()

    def terminate_all(self) -> None:
        """The listening is theirs to end: held open here, what comes after them would wait for nobody."""
        for each in self.sockets:
            each.close()
        super().terminate_all()

    def keep_subprocess_alive(self) -> None:
        """One that cannot start ends the service only while none ever could: a database that is away will come back.

        Nobody is waited for: while one is busy and does not say that it is alive, others may have died.
        """
        for at, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if process.exitcode is None and self._heard(process):
                continue
            process.kill()  # it may hang
            process.join()
            self.asked.pop(process, None)
            self.started.discard(process)
            if process.exitcode == STARTUP_FAILURE and not self.told:
                self.failed = True
                self.should_exit.set()
                return
            log.warning("worker %s ended (%s); another begins", process.pid, process.exitcode)
            self.processes[at] = OneOfSeveral(self.config, self.sockets)
            self.processes[at].start()
        if not self.told and self.started.issuperset(self.processes):
            self.told = True
            self.ready()

    def _heard(self, process: Process) -> bool:
        """It has said that it is alive, or has time yet to say so."""
        try:
            if process not in self.asked:
                process.parent_conn.send(b"ping")
                self.asked[process] = time.monotonic()
            elif process.parent_conn.poll(0):
                del self.asked[process]
                if process.parent_conn.recv():
                    self.started.add(process)
            return time.monotonic() - self.asked.get(process, time.monotonic()) < self.config.timeout_worker_healthcheck
        except (OSError, EOFError):  # it has gone
            return False


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Door:
    """In front of everything: a body has a limit and arrives in time, and no answer is taken for what it is not.

    Where files are taken they have limits of their own. What is refused here is raised where the body is read, so it is answered
    like any other problem.
    """

    def __init__(self, app: ASGIApp, serving: Serving) -> None:
        self.app, self.serving = app, serving

    def allowed(self, scope: Scope) -> tuple[int, float]:
        """Bytes and seconds for a body."""
        found = FILES.search(scope["path"]) if scope["method"] == "POST" else None
        if found is None:
            return self.serving.body_bytes, self.serving.body_seconds
        size: int = getattr(self.serving, LIMITS[next(name for name in found.groups() if name)])
        return size + FORM_BYTES, self.serving.file_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most, seconds = self.allowed(scope)
        deadline = asyncio.get_running_loop().time() + seconds
        declared = next((int(v) for k, v in scope["headers"] if k == b"content-length" and v.isdigit()), 0)
        complete, size = False, 0

        async def in_time() -> Message:
            nonlocal complete, size
            if complete:  # what comes now is the client hanging up, and that may take as long as it likes
                return await receive()
            if declared > most:
                raise HTTPException(413)
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408) from error
            size += len(message.get("body", b""))
            if size > most:
                raise HTTPException(413)
            complete = not message.get("more_body", False)
            return message

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers: list[Any] = message.setdefault("headers", [])
                headers += [(b"x-content-type-options", b"nosniff"), (b"vary", b"Accept-Language")]
            await send(message)

        await self.app(scope, in_time, marked)
