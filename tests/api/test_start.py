"""What a worker, and the command line, have loaded when they are ready: nothing heavy that the first answer does not need.

By name and not by time. `banned-module-level-imports` in pyproject.toml keeps our own modules from loading these; others may bring them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.api.live import served
from tests.api.test_case_crash import free_port, workers_of

HEAVY = (
    "alembic", "authlib", "geopandas", "httpx", "joserfc", "lxml", "matplotlib", "openpyxl", "pandas", "pyogrio",
    "scipy.cluster", "scipy.sparse", "scipy.spatial", "scipy.stats",
)  # fmt: skip
READY = """
import asyncio, json, sys
from api.app import create_app

async def ready(app):
    async with app.router.lifespan_context(app):
        return await asked(app)

async def asked(app):
    told = []
    async def send(message): told.append(message)
    async def receive(): return {"type": "http.request"}
    scope = {"type": "http", "method": "GET", "path": "/readyz", "headers": [], "query_string": b"", "app": app}
    await app(scope, receive, send)
    return told[0]["status"]

status = asyncio.run(ready(create_app(sys.argv[1], development=True)))
print(json.dumps([status, sorted(sys.modules)]))
"""
HELP = """
import contextlib, io, json, sys
from api.cli import main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main(["--help"])
print(json.dumps([200, sorted(sys.modules)]))
"""


@pytest.mark.parametrize("program", [READY, HELP], ids=["a worker", "the command line"])
def test_nothing_heavy_is_loaded_before_it_is_needed(program: str, city_url: str, repo: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", program, city_url], capture_output=True, text=True, check=True, cwd=repo)
    status, loaded = json.loads(ran.stdout)
    assert status == 200
    assert "geodata.store" in loaded  # it did start
    assert [name for name in HEAVY if name in loaded] == []


def test_the_readers_of_uploads_have_loaded_all_they_need_before_the_walls_go_up(repo: Path) -> None:
    program = "import json, sys; from geodata import child; child._reader(); print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=repo)
    assert {"pyogrio", "shapely", "pyarrow.lib"} <= set(json.loads(ran.stdout))


def until(what: Callable[[], bool]) -> None:
    """Wait for it; a machine that is busy may need long."""
    over = time.monotonic() + 120
    while not what():
        assert time.monotonic() < over
        time.sleep(0.05)


@pytest.mark.slow
def test_a_worker_that_cannot_start_now_is_tried_until_it_can(city_url: str) -> None:
    """The database is away when a worker dies: the service goes on with the other, and is whole again when it is back."""
    file = Path(city_url)
    with served(city_url, "--workers", "2", "--development", "--port", str(free_port())) as base:
        first, second = before = workers_of(base)
        file.rename(file.with_suffix(".away"))
        os.kill(first, signal.SIGKILL)
        seen: set[int] = set()

        def tried() -> int:
            seen.update(workers_of(base))
            return len(seen - set(before))

        until(lambda: tried() >= 3)  # each of them found no database
        assert second in workers_of(base)
        file.with_suffix(".away").rename(file)
        os.kill(second, signal.SIGKILL)  # now only the new ones can answer
        until(lambda: second not in workers_of(base))

        def answers() -> bool:
            try:
                return httpx.get(f"{base}/readyz", timeout=60).status_code == 200
            except httpx.TransportError:
                return False

        until(answers)
