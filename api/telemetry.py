"""What the service tells of itself while it runs: lines of JSON on the error stream, and figures for Prometheus. Nothing of a person.

    {"time": "2026-11-22T08:00:00.123Z", "level": "info", "logger": "jieguan.requests", "event": "request", "id": "…", "method": "GET",
     "route": "/api/v1/cases/{number}", "status": 200, "ms": 12.3, "role": "operator"}

A line has the template of an address and never the address; of an exception its kind and where it was raised, never what it says; of
another library's message only who wrote it, and where. So nothing that anybody typed can be in it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.draining import DRAINING

OURS = ("jieguan", "uvicorn")
"""Loggers whose messages are known to have nothing of a request in them."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NOWHERE = "-"
ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Who stands in front of us may name a request; as a number that is none of a person's."""
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Where several processes put their figures together."""

REQUEST: ContextVar[str | None] = ContextVar("request", default=None)
requests = logging.getLogger("jieguan.requests")

ANSWERED = Counter("jieguan_requests_total", "Requests answered, by the template of their address", ("method", "route", "status"))
SECONDS = Histogram(
    "jieguan_request_seconds", "How long answers took, up to their last byte", ("route",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0),
)  # fmt: skip


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Of others' messages only where they came from."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(), "logger": record.name,
        }  # fmt: skip
        facts: Mapping[str, Any] | None = getattr(record, "facts", None)
        if facts is not None:
            line |= facts
        elif record.name.partition(".")[0] in OURS:
            line["event"] = record.getMessage().strip()
        else:
            line["event"] = f"{Path(record.pathname).name}:{record.lineno}"
        if (request := REQUEST.get()) is not None:
            line["id"] = request
        if record.exc_info is not None and record.exc_info[1] is not None:
            line["error"] = told(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def told(error: BaseException) -> list[dict[str, Any]]:
    """What an error is and where it was raised, its causes too; not what it says."""
    found: list[dict[str, Any]] = []
    one: BaseException | None = error
    while one is not None and len(found) < 8:
        frames = traceback.extract_tb(one.__traceback__)
        places = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames]
        found.append({"type": f"{type(one).__module__}.{type(one).__qualname__}", "at": places[-12:]})
        one = one.__cause__ or one.__context__
    return found


def logging_of(level: str) -> dict[str, Any]:
    """How a process of the service logs, for `logging.config`. `level`: of our own lines and the server's."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "api.telemetry.JsonLines"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {name: {"level": level.upper()} for name in OURS},
    }


class Watch:
    """Around everything: a request has a name, a line and its figures. While the process drains, connections end with their answers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        name = _named(scope)
        token, begun, status = REQUEST.set(name), perf_counter(), 499  # hung up before there was an answer

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers: list[Any] = message.setdefault("headers", [])
                headers.append((b"x-request-id", name.encode()))
                if DRAINING.is_set():
                    headers.append((b"connection", b"close"))
            await send(message)

        try:
            await self.app(scope, receive, marked)
        except Exception:
            status = 500
            raise
        finally:
            _count(scope, status, perf_counter() - begun)
            REQUEST.reset(token)


def _named(scope: Scope) -> str:
    said = next((v.decode("latin-1") for k, v in scope["headers"] if k == b"x-request-id"), "")
    return said if ID.fullmatch(said) else secrets.token_hex(16)


def _count(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path_format", NOWHERE)
    method = scope["method"] if scope["method"] in METHODS else NOWHERE
    principal = scope.get("state", {}).get("principal")
    role = NOWHERE if principal is None else principal.role.value
    ANSWERED.labels(method, route, str(status)).inc()
    SECONDS.labels(route).observe(seconds)
    facts = {"event": "request", "method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1), "role": role}
    requests.log(logging.ERROR if status >= 500 and status not in (503, 507) else logging.INFO, "request", extra={"facts": facts})


def figures() -> bytes:
    """What all processes of this service have counted, as Prometheus reads it."""
    if os.environ.get(FOLDER):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest(REGISTRY)
