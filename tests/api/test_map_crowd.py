"""Eight readers and two planners at once: no error, no lost edit, and every answer from exactly one version."""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from api.store.setup import opened
from api.usecases.map_route import Asking, decision_told
from geodata import store
from geodata.crs import Datum, System, parse_crs, to_work
from routing.model import Location
from routing.route import complaint, route
from tests.api.live import Person, live, place, published, served
from tests.db.conftest import NewUrl

READERS = 8
PLACES = [place(x, y) for x, y in ((1000, 500), (500, 1000), (1990, 2500), (1500, 1500))]
BORDERS = (("u00", "u01"), ("u21", "u22"))
SOON = timedelta(seconds=1)
"""Within which every process follows a publication."""


class Crowd:
    """What everybody did and saw."""

    def __init__(self, address: str, seconds: float) -> None:
        self.address, self.seconds, self.end = address, seconds, 0.0
        self.start = threading.Barrier(READERS + 2, action=self.begun)
        self.failed: list[str] = []
        self.took: dict[str, list[float]] = defaultdict(list)
        self.layers: set[tuple[str, str]] = set()
        self.fresh: list[tuple[str, datetime, datetime]] = []
        self.decided: list[tuple[str, int, str, str]] = []
        self.edits: list[tuple[str, int, str]] = []
        self.conflicts: Counter[str] = Counter()
        self.draft = Person(address, "张三").begin()
        self.pens = threading.Lock(), threading.Lock()

    def begun(self) -> None:
        self.end = time.monotonic() + self.seconds

    def run(self) -> None:
        Person(self.address).post("/api/v1/route", PLACES[0], 200)  # kernels are loaded by the first question
        workers = [self.pages, self.whole, self.decide, self.decide] * (READERS // 4) + [self.plan(0), self.plan(1)]
        threads = [threading.Thread(target=self.careful, args=(work,)) for work in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def careful(self, work: Callable[[Person], None]) -> None:
        who = Person(self.address, threading.current_thread().name)
        try:
            self.start.wait()
            while time.monotonic() < self.end:
                work(who)
        except Exception as error:  # noqa: BLE001 - told when all are done
            self.failed.append(repr(error))
        finally:
            who.http.close()

    def asked(self, what: str, ask: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        answer = ask()
        self.took[what].append(time.perf_counter() - began)
        return answer

    # --- readers ---

    def whole(self, who: Person) -> None:
        began = datetime.now(UTC)
        told = self.asked("layer", lambda: who.get("/ogc/collections/township/items", limit=1000))
        self.layers.add((told["version"], said(told["features"])))
        self.fresh.append((told["version"], began, datetime.now(UTC)))

    def pages(self, who: Person) -> None:
        page = self.asked("page", lambda: who.get("/ogc/collections/township/items", limit=4))
        version, features = page["version"], page["features"]
        while following := [link["href"] for link in page["links"] if link["rel"] == "next"]:
            page = self.asked("page", lambda: who.get(following[0]))
            assert page["version"] == version
            features += page["features"]
        self.layers.add((version, said(features)))

    def decide(self, who: Person) -> None:
        n = len(self.decided) % len(PLACES)
        told = self.asked("route", lambda: who.post("/api/v1/route", PLACES[n], 200))
        self.decided.append((told["version"], n, told["at"], json.dumps(told["decision"])))

    # --- planners ---

    def plan(self, n: int) -> Callable[[Person], None]:
        a, b = BORDERS[n]
        step = [0]

        def work(who: Person) -> None:
            with self.pens[n]:
                move(who)
            if n == 0 and step[0] % 3 == 1:
                with self.pens[1]:  # while a draft is signed the other holds his: else it is never the same for long
                    self.publish(who, self.draft)

        def move(who: Person) -> None:
            draft = self.draft
            arcs = who.get(f"/api/v1/drafts/{draft}/layers/township/arcs")
            arc = next(f for f in arcs["features"] if {tuple(f["properties"][s]) for s in ("left", "right")} == {(a,), (b,)})
            path = arc["geometry"]["coordinates"]
            step[0] += 1
            by = 2e-5 if step[0] % 2 else -2e-5
            path = [path[0], *([x + by, y + by] for x, y in path[1:-1]), path[-1]]
            edit = {"kind": "move_border", "layer": "township", "arc": arc["id"], "path": {"type": "LineString", "coordinates": path}}
            body = {"edit": edit, "seen": arcs["revision"]}
            answer = self.asked("edit", lambda: who.http.post(f"/api/v1/drafts/{draft}/edits", json=body))
            if answer.status_code == 201:
                own = [e["seq"] for e in answer.json()["log"] if e["author"] == who.http.headers["X-Jieguan-Person"]]
                self.edits.append((draft, max(own), edit["arc"]))
            else:
                assert answer.status_code == 409, answer.text
                self.conflicts[answer.json()["type"].rpartition(":")[2]] += 1

        return work

    def publish(self, who: Person, draft: str) -> None:
        """Signed by a superior and put in force; if somebody edited in between, it is done again next time."""
        told = who.get(f"/api/v1/drafts/{draft}")
        if told["undo"] is None:
            return
        sign = {"side": "all", "role": "superior", "document": "3号文", "seen": told["revision"]}
        chief = Person(self.address, "局长")
        for path, body in (("signatures", sign), ("publish", {"reason": "改界", "seen": told["revision"]})):
            answer = self.asked(path, lambda path=path, body=body: chief.http.post(f"/api/v1/drafts/{draft}/{path}", json=body))
            if answer.status_code != 201:
                assert answer.status_code == 409, answer.text
                self.conflicts[path + " " + answer.json()["type"].rpartition(":")[2]] += 1
                chief.http.close()
                return
        chief.http.close()
        self.draft = who.begin()


def said(features: list[Any]) -> str:
    """What features say, whatever page they came on."""
    return json.dumps(sorted(json.dumps(f, sort_keys=True) for f in features))


def hold(url: str, seconds: float, serving: Callable[[str], AbstractContextManager[str]]) -> None:
    """Run the crowd, then hold all it saw against what is in the database."""
    published(url)
    with serving(url) as address:
        crowd = Crowd(address, seconds)
        crowd.run()
        assert crowd.failed == []
        assert crowd.edits
        assert crowd.decided
        who = Person(address)
        times = [p for p in who.get("/api/v1/publications") if not p["withdrawn"]]
        layers = {v: said(who.get("/ogc/collections/township/items", limit=1000, version=v)["features"]) for v, _ in crowd.layers}
        logs = {d["id"]: who.get(f"/api/v1/drafts/{d['id']}")["log"] for d in who.get("/api/v1/drafts")}
        who.http.close()
    assert {(v, layers[v]) for v, _ in crowd.layers} == crowd.layers
    for draft, seq, _ in crowd.edits:
        assert [e["kind"] for e in logs[draft] if e["seq"] == seq] == ["move_border"]
    assert sum(e["kind"] == "move_border" for log in logs.values() for e in log) == len(crowd.edits)
    check_decisions(url, crowd)
    check_followed(crowd, times)
    print(figures(crowd, len(times), seconds))


def check_decisions(url: str, crowd: Crowd) -> None:
    """Each is what its own version decides there, to the letter."""
    seen = {(version, n) for version, n, _, _ in crowd.decided}
    maps: dict[str, Any] = {}
    with opened(url) as db, db.reading() as session:
        for version in {v for v, _ in seen}:
            maps[version] = store.read_version(session, version).map
    expected = {}
    for version, n in seen:
        on, asking = maps[version], Asking(**PLACES[n])
        x, y = to_work([asking.lon], [asking.lat], System(None, Datum.WGS84), parse_crs(on.settings.work_crs))
        one = complaint(on, Location(float(x[0]), float(y[0])), None, datetime.fromisoformat("2026-06-01T00:00:00Z"))
        expected[version, n] = json.dumps(decision_told(route(on, one).decision(0), "zh-CN"))
    assert all(expected[v, n] == told for v, n, _, told in crowd.decided)


def check_followed(crowd: Crowd, times: list[dict[str, Any]]) -> None:
    """From its instant on, or a second later at most, nobody is answered from the version before."""
    begins = [datetime.fromisoformat(p["valid_from"]) for p in times]
    decided = [(version, datetime.fromisoformat(at), datetime.fromisoformat(at)) for version, _, at, _ in crowd.decided]
    for version, earliest, latest in decided + crowd.fresh:
        last, sure = bisect_right(begins, latest) - 1, bisect_right(begins, earliest - SOON) - 1
        assert version in {p["version"] for p in times[max(sure, 0) : last + 1]}


def figures(crowd: Crowd, versions: int, seconds: float) -> str:
    lines = [f"{seconds:g} s, {READERS} readers, 2 planners, {versions} publications, {len(crowd.edits)} edits, {dict(crowd.conflicts)}"]
    for what, took in sorted(crowd.took.items()):
        p50, p95, most = np.percentile(np.array(took) * 1000, [50, 95, 100])
        lines.append(f"  {what:10} {len(took):6}   p50 {p50:6.1f} ms   p95 {p95:6.1f} ms   max {most:6.1f} ms")
    return "\n".join(lines)


def test_readers_and_planners_for_a_few_seconds(new_url: NewUrl) -> None:
    hold(new_url(initialised=True), 3, live)


WORKERS = ("--workers", "2", "--development")


@pytest.mark.slow
def test_two_workers_on_an_embedded_database(new_embedded: NewUrl) -> None:
    """Each opens the file for itself, the gate lets them write in turn, every question asks which version is in force."""
    hold(new_embedded(initialised=True), 3, lambda url: served(url, *WORKERS))


@pytest.mark.slow
def test_two_workers_on_postgis(new_postgresql: NewUrl) -> None:
    hold(new_postgresql(initialised=True), 3, lambda url: served(url, *WORKERS))


@pytest.mark.full
def test_readers_and_planners_for_a_minute_on_postgis(new_postgresql: NewUrl) -> None:
    hold(new_postgresql(initialised=True), 60, lambda url: served(url, "--development"))
