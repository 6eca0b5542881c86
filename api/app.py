"""The service over HTTP: the routers on one database, opened when the process starts and closed when it ends.

    create_app("city.db")                       for a server of your own (uvicorn --factory api.app:of_environment)
    serve("city.db", port=8000)                 and run it

Endpoints are plain functions in threads; each use case commits before it returns, so nothing is acknowledged that is not safe.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from typing import Any

import uvicorn
from anyio import to_thread
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems, settings
from api.routers import files, health, jobs, map_drafts, map_route, map_versions, ogc, ogc_writing
from api.security import NotLoopback, is_loopback
from api.settings import Serving
from api.usecases.histories import Histories
from api.usecases.jobs import Jobs
from api.usecases.map_features import MapStore, Shelves
from api.usecases.map_jobs import Studies, WarmStarts
from geodata.db.engine import open_database
from geodata.drafts import Desk
from geodata.intake import Limits
from geodata.store import Maps

ROUTERS = (
    health.router, map_versions.router, map_drafts.router, map_route.router, files.router, jobs.router, jobs.files,
    ogc_writing.router, ogc.of_draft, ogc.of_map,
)  # fmt: skip
FILES = re.compile(r"/api/v1/(?:drafts/[^/]+/(?P<uploads>uploads)|histories)$")
FORM_BYTES = 1 << 16
"""What a form may put around its file."""
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
        with open_database(serving.database) as db:
            of = app.state.map = MapStore(db, Desk(db), Maps(serving.keep_maps), Shelves(serving.keep_layers), now)
            limits = Limits(file=serving.history_bytes, rows=serving.history_rows)
            with closing(Histories(serving.histories, most=serving.keep_histories, limits=limits)) as histories:
                runner = Jobs(now, queue=serving.queue, keep=serving.keep_jobs)
                app.state.studies = Studies(of, runner, histories, WarmStarts(serving.keep_warm))
                app.state.receiving = 0
                try:
                    yield
                finally:
                    await to_thread.run_sync(runner.close)

    app = FastAPI(
        title="jieguan", version="1", description=ABOUT, lifespan=lifespan, openapi_url="/api/openapi.json",
        docs_url=None, redoc_url=None,
        responses={422: {"description": "problem details", "content": {"application/problem+json": {}}}},
    )  # fmt: skip
    app.state.serving = serving
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app)
    app.add_middleware(Door, serving=serving)
    return app


def of_environment() -> FastAPI:
    """The application JIEGUAN_DATABASE and JIEGUAN_DEVELOPMENT ask for; in development mode it answers this machine only."""
    return create_app(settings.of_environment())


def serve(
    url: str, *, host: str = "127.0.0.1", port: int = 8000, development: bool = False, log_level: str = "info"
) -> None:
    """Run until stopped. Raises NotLoopback, and what opening the database raises."""
    uvicorn.Server(config(url, host=host, port=port, development=development, log_level=log_level)).run()


def config(
    url: str, *, host: str = "127.0.0.1", port: int = 8000, development: bool = False, log_level: str = "info"
) -> uvicorn.Config:
    """How the service is run. Raises NotLoopback."""
    development = development or settings.development()
    if development and not is_loopback(host):
        raise NotLoopback(host=host)
    open_database(url).close()  # what is wrong with it is said here, in a sentence
    return uvicorn.Config(
        create_app(url, development=development), host=host, port=port, log_level=log_level, server_header=False,
        proxy_headers=False, limit_concurrency=512, timeout_keep_alive=15, timeout_graceful_shutdown=10,
    )  # fmt: skip


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
        size = self.serving.upload_bytes if found["uploads"] else self.serving.history_bytes
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
