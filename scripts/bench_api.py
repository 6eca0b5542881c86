"""Requests per second of POST /api/v1/route beside an empty endpoint: the same models, the same process, one worker, in one run.

The empty endpoint takes the same body and answers with the same members, without looking at a map. What is left between the two is
what a decision costs a service. The client is a process of its own that keeps its connections.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import random
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import uvicorn
from fastapi import APIRouter

from api import access, app
from api.demo.city import city
from api.demo.files import write_city
from api.routers.asked import In, Of, StrictRoute
from api.schemas.map_route import Place, Routed
from api.store.setup import initialise, opened
from geodata.build import gather
from geodata.layer import rows_of
from geodata.store import Signing, publish, version_of

EMPTY = "/api/v1/empty"
router = APIRouter(route_class=StrictRoute)
ANSWER: dict[str, Any] = {}


@router.post(EMPTY, response_model=Routed)
async def empty(of: Of, body: Place, lang: In) -> Any:  # noqa: ARG001 - read as the other reads them
    return ANSWER


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--db", help="a database of the service with a published map; without one, the demo city, embedded")
    given = parser.parse_args()
    cast("dict[Any, Any]", access.ENDPOINTS)[("POST", EMPTY)] = access.OPEN  # an address that is in no table is refused
    app.ROUTERS = (*app.ROUTERS, router)
    with tempfile.TemporaryDirectory() as folder:
        url = given.db or demo_database(Path(folder))
        server = uvicorn.Server(uvicorn.Config(app.create_app(url), port=0, log_level="warning", lifespan="on", **app.RUN))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        ANSWER.update(ask(port, "/api/v1/route", place(random.Random(0))))
        rates: dict[str, list[float]] = {"/api/v1/route": [], EMPTY: []}
        for turn in range(given.rounds + 1):
            for path, found in rates.items():
                rate = in_a_process(port, path, given.clients, given.seconds, turn)
                if turn:  # the first round warms both
                    found.append(rate)
        server.should_exit = True
        thread.join()
    route, empty_one = (statistics.median(found) for found in rates.values())
    print(f"{given.clients} clients, {given.rounds} rounds of {given.seconds:g} s each, in turn; medians")
    print(f"  an empty endpoint   {empty_one:8,.0f} requests/s")
    print(f"  POST /api/v1/route  {route:8,.0f} requests/s   {route / empty_one:.0%} of it")


def demo_database(folder: Path) -> str:
    """The demo city in an embedded database."""
    files, _ = write_city(city(1), 500, 1, folder)
    gathered, url = gather(files), str(folder / "city.db")
    initialise(url, gathered.settings.work_crs)
    with opened(url) as db:
        publish(db, version_of(rows_of(gathered), gathered.settings), Signing("bench", "bench"), now=datetime(2026, 1, 1, tzinfo=UTC))
    return url


def place(rng: random.Random) -> bytes:
    """A place in or about the city."""
    return json.dumps({"lon": rng.uniform(113.55, 113.70), "lat": rng.uniform(34.80, 34.92), "category": "GB30428:0504"}).encode()


def ask(port: int, path: str, body: bytes) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    return json.loads(connection.getresponse().read())


def in_a_process(port: int, path: str, clients: int, seconds: float, seed: int) -> float:
    """Requests per second, as counted by clients in a process of their own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_clients, args=(port, path, clients, seconds, seed, there))
    process.start()
    count: int = here.recv()
    process.join()
    if count < 0:
        raise SystemExit(f"{path} did not answer 200")
    return count / seconds


def _clients(port: int, path: str, clients: int, seconds: float, seed: int, told: Any) -> None:
    counts = [0] * clients
    until = time.perf_counter() + seconds

    def run(k: int) -> None:
        rng = random.Random(seed * 100 + k)
        bodies = [place(rng) for _ in range(200)]
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while time.perf_counter() < until:
            connection.request("POST", path, bodies[counts[k] % 200], {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                counts[k] = -(10**9)
                return
            counts[k] += 1

    threads = [threading.Thread(target=run, args=(k,)) for k in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told.send(sum(counts))


if __name__ == "__main__":
    main()
