"""The service over HTTP: the routers on one database, opened when the process starts and closed when it ends.

    create_app("city.db")                       for a server of your own (uvicorn --factory api.app:of_environment)
    serve("city.db", port=8000)                 and run it

Endpoints are plain functions in threads; each use case commits before it returns, so nothing is acknowledged that is not safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import uvicorn
from anyio import to_thread
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems, settings
from api.routers import health, map_defects, map_drafts, map_repairs, map_route, map_versions, ogc, ogc_writing
from api.security import NotLoopback, is_loopback
from api.settings import Serving
from api.usecases.map_features import MapStore, Shelves
from geodata.db.engine import open_database
from geodata.drafts import Desk
from geodata.store import Maps

ROUTERS = (
    health.router, map_versions.router, map_drafts.router, map_repairs.router, map_defects.router, map_route.router,
    ogc_writing.router, ogc.of_draft, ogc.of_map,
)  # fmt: skip
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
            app.state.map = MapStore(db, Desk(db), Maps(serving.keep_maps), Shelves(serving.keep_layers), now)
            yield

    app = FastAPI(
        title="jieguan", version="1", description=ABOUT, lifespan=lifespan, openapi_url="/api/openapi.json",
        docs_url=None, redoc_url=None,
        responses={422: {"description": "problem details", "content": {"application/problem+json": {}}}},
    )  # fmt: skip
    app.state.serving = serving
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app)
    app.add_middleware(Door, seconds=serving.body_seconds, size=serving.body_bytes)
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

    What is refused here is raised where the body is read, so it is answered like any other problem.
    """

    def __init__(self, app: ASGIApp, seconds: float, size: int) -> None:
        self.app, self.seconds, self.size = app, seconds, size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        deadline = asyncio.get_running_loop().time() + self.seconds
        declared = next((int(v) for k, v in scope["headers"] if k == b"content-length" and v.isdigit()), 0)
        complete, size = False, 0

        async def in_time() -> Message:
            nonlocal complete, size
            if complete:  # what comes now is the client hanging up, and that may take as long as it likes
                return await receive()
            if declared > self.size:
                raise HTTPException(413)
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408) from error
            size += len(message.get("body", b""))
            if size > self.size:
                raise HTTPException(413)
            complete = not message.get("more_body", False)
            return message

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers: list[Any] = message.setdefault("headers", [])
                headers += [(b"x-content-type-options", b"nosniff"), (b"vary", b"Accept-Language")]
            await send(message)

        await self.app(scope, in_time, marked)
