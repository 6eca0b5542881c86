"""A service on a port of this machine, as its clients meet it, and the small city it serves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import pyproj
import shapely
import uvicorn

from api.app import create_app, running
from api.settings import Serving
from api.store.setup import initialise, opened
from geodata.store import Signing, Version, publish, version_of
from tests.db.conftest import WORK_CRS
from tests.db.worlds import SETTINGS, X, Y, city

CLIENTS: dict[str, list[httpx.Client]] = {}
"""Closed with the service they talk to."""
START = datetime(2026, 1, 1, tzinfo=UTC)


@contextmanager
def live(url: str | Serving, *, development: bool = True, worker: bool = False, **more: Any) -> Iterator[str]:
    """The service, by its address; without its worker, which would look at the clock, unless it is asked for."""
    serving = url if isinstance(url, Serving) else Serving(url, development)
    app = create_app(replace(serving, worker=worker), **more)
    options: dict[str, Any] = {**running(app.state.serving), "port": 0, "log_level": "warning", "timeout_graceful_shutdown": 1}
    server = uvicorn.Server(uvicorn.Config(app, lifespan="on", **options))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            time.sleep(0.01)
        base = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield base
        for client in CLIENTS.pop(base, ()):
            client.close()
    finally:
        server.should_exit = True
        thread.join(20)


@contextmanager
def served(url: str, *options: str) -> Iterator[str]:
    """The service as the command line starts it, in a process of its own, by its address. It must stop at once when it is told to."""
    words = [sys.executable, "-c", "from api.cli import main; main()", "serve", "--db", url, "--port", "0", "--json", *options]
    environment = {
        "JIEGUAN_DRAIN_SECONDS": "0", "JIEGUAN_LOG_LEVEL": "warning", **os.environ, "PYTHONPATH": str(Path(__file__).parents[2])
    }
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the service did not start"
        yield json.loads(line)["address"]
        process.terminate()
        rest, _ = process.communicate(timeout=60)
        assert (process.returncode, rest) == (0, "")
    finally:
        process.kill()
        process.wait()


def published(url: str, made: Version | None = None) -> Version:
    """The city, in force since START, in an initialised database."""
    made = version_of(city(), SETTINGS) if made is None else made
    with opened(url) as db:
        publish(db, made, Signing("王", "首次发布"), now=START)
    return made


def fresh(folder: Path) -> str:
    """An embedded database with the city."""
    url = str(folder / "city.db")
    initialise(url, WORK_CRS)
    published(url)
    return url


class Person:
    """Somebody at a client."""

    def __init__(self, base: str, name: str = "张三", lang: str = "zh-CN") -> None:
        headers = {"X-Jieguan-Person": name.encode(), "Accept-Language": lang.encode()}
        self.http = httpx.Client(base_url=base, headers=headers, timeout=300, verify=False)  # there is no TLS; certificates load slowly
        CLIENTS.setdefault(base, []).append(self.http)

    def get(self, path: str, **params: Any) -> Any:
        answer = self.http.get(path, params=params or None)  # an empty one would empty the address
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, status: int = 201, **headers: str) -> Any:
        answer = self.http.post(path, json={} if body is None else body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    def refused(self, method: str, path: str, status: int, problem: str, **more: Any) -> Any:
        """The problem it is refused with."""
        answer = self.http.request(method, path, **more)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        told = answer.json()
        assert told["status"] == status
        assert told["title"]
        assert told["type"] == f"urn:jieguan:problem:{problem}", told
        return told

    def begin(self, name: str = "改界") -> str:
        return str(self.post("/api/v1/drafts", {"name": name})["id"])


@lru_cache(maxsize=256)
def _to_degrees(_thread: int) -> pyproj.Transformer:
    """Made once for each thread: making one takes longer than most requests, and one is not for two threads."""
    return pyproj.Transformer.from_crs(WORK_CRS, 4326, always_xy=True)


def in_degrees(shape: Any) -> Any:
    """Metres from the corner of u00 -> GeoJSON in longitude and latitude, as pyproj has it."""
    to = _to_degrees(threading.get_ident())
    moved = shapely.transform(shape, lambda x, y: to.transform(x + X, y + Y), interleaved=False)
    return shapely.geometry.mapping(moved)


def square(x: float, y: float, size: float = 100) -> Any:
    """A piece of ground as GeoJSON."""
    return in_degrees(shapely.box(x, y, x + size, y + size))


def place(x: float, y: float) -> dict[str, float]:
    """A place as it is asked about."""
    lon, lat = in_degrees(shapely.Point(x, y))["coordinates"]
    return {"lon": lon, "lat": lat}
