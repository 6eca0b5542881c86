"""Goals of reliability, by their numbers: publishing beside readers (G6) and beside another planner (G7), exactly one squad at
every place (G8), a full disk (G13). Full sizes are among the slow tests. G18 and G19 and probes 10 to 13: tests/geodata/test_upload.py.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import shapely.affinity
import sqlalchemy as sa

from api.store.setup import opened
from api.usecases.map_features import MapStore, Shelves
from api.usecases.map_route import Asking, decide, decision_told
from geodata import store
from geodata.crs import Datum, System, parse_crs, to_work
from geodata.db import Database
from geodata.db.copying import check
from geodata.db.engine import NoRoom
from geodata.drafts import Desk
from geodata.edits import PutRow, row_said
from geodata.exporting import blank_facts
from geodata.layer import LayerName, Row, content_hash, on_grid
from geodata.store import (
    BaseOutdated,
    Maps,
    Signing,
    Version,
    publish,
    published,
    read_rows,
    read_settings,
    read_version,
    version_of,
)
from routing.ground.certificate import said_of
from routing.model import Location, Squad, SquadCode
from routing.route import Complaints, complaint, route
from tests import city as squares
from tests.api.live import Person, live, place
from tests.api.test_map_api import bent, handed, signed
from tests.db.conftest import NewUrl
from tests.db.worlds import SETTINGS, X, Y, city
from tests.geodata.test_edits import jagged
from tests.oracle import Drawn, snapped

ME = Signing("王", "改界")
START = datetime(2026, 3, 1, 8, tzinfo=UTC)


def utc_now() -> datetime:
    return datetime.now(UTC)


@cache
def made(seed: int) -> Version:
    """One of several cities of nine units, each with its borders elsewhere."""
    return version_of(city(seed=seed), SETTINGS)


# ---- G6: publishing while others read --------------------------------------------------------------------------------

READERS = 4


def hold_g6(url: str, rounds: int) -> None:
    """A publication, then some answers of every reader, and so on; each reader with a store of its own, as in a process of its own."""
    rng = np.random.default_rng(6)
    places = [place(x, y) for x, y in rng.uniform(0, 3000, (40, 2)).tolist()]
    answers: list[list[tuple[str, int, str]]] = [[] for _ in range(READERS)]
    failed: list[BaseException] = []
    over = threading.Event()

    def read(mine: list[tuple[str, int, str]]) -> None:
        try:
            with opened(url) as db:
                of = MapStore(db, Desk(db), Maps(4), Shelves(1), utc_now)
                while not over.is_set():
                    n = len(mine) % len(places)
                    told = decide(of, Asking(**places[n]), "en")
                    mine.append((told["version"], n, json.dumps(told["decision"])))
        except BaseException as error:  # noqa: BLE001 - told when all are done
            failed.append(error)

    with opened(url) as db:
        last = publish(db, made(0), ME, now=utc_now())
        readers = [threading.Thread(target=read, args=(mine,)) for mine in answers]
        for reader in readers:
            reader.start()
        for k in range(1, rounds + 1):
            before = [len(mine) for mine in answers]
            while not failed and any(len(mine) < n + 3 for mine, n in zip(answers, before, strict=True)):
                over.wait(0.001)
            last = publish(db, made(k % 3), ME, now=utc_now(), base=last.id)
        over.set()
        for reader in readers:
            reader.join()
        assert failed == []
        with db.reading() as session:
            assert len(published(session)) == rounds + 1
            maps = {name: read_version(session, name).map for name in {made(n).hash for n in range(3)}}
    seen = {answer for mine in answers for answer in mine}
    assert {version for version, _, _ in seen} == maps.keys()
    for version, n, told in seen:
        assert told == again(maps[version], places[n])


def again(on: Any, at: dict[str, float]) -> str:
    """The decision made on a map that nobody else touches, without a store."""
    x, y = to_work([at["lon"]], [at["lat"]], System(None, Datum.WGS84), parse_crs(on.settings.work_crs))
    one = complaint(on, Location(float(x[0]), float(y[0])), None, START)
    return json.dumps(decision_told(route(on, one).decision(0), "en"))


def test_g6_every_answer_beside_publications_is_wholly_of_one_version(new_url: NewUrl) -> None:
    hold_g6(new_url(initialised=True), 8)


@pytest.mark.full
def test_g6_in_full_size(new_url: NewUrl) -> None:
    hold_g6(new_url(initialised=True), 200)


# ---- G7: two planners publish at once --------------------------------------------------------------------------------


def hold_g7(url: str, rounds: int) -> None:
    """Each round two planners, each with the database opened for himself, publish on the same base at once."""
    with opened(url) as one, opened(url) as other:
        last = publish(one, made(0), ME, now=START)
        for k in range(rounds):
            now, base, start = START + timedelta(hours=k + 1), last.id, threading.Barrier(2)
            wanted = made(1 + 2 * k % 3), made(1 + (2 * k + 1) % 3)
            done: list[Any] = [None, None]

            def run(n: int, db: Database) -> None:
                start.wait()  # noqa: B023 - joined within the round
                try:
                    done[n] = publish(db, wanted[n], Signing(f"p{n}", "x"), now=now, base=base)  # noqa: B023
                except BaseOutdated as error:
                    done[n] = error  # noqa: B023

            threads = [threading.Thread(target=run, args=(n, db)) for n, db in enumerate((one, other))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            (won,) = (n for n in (0, 1) if isinstance(done[n], store.InForce))
            lost, before, last = done[1 - won], last, done[won]
            assert isinstance(lost, BaseOutdated)
            check_round(one, before.version, wanted[won], lost)
            assert (lost.facts["base"], lost.facts["latest"]) == (before.id, last.id)
        with one.reading() as session:
            times = published(session)
        assert len(times) == rounds + 1
        assert [a.valid_to for a in times] == [*(b.valid_from for b in times[1:]), None]
    assert check(url) == ()


def check_round(db: Database, before: str, winner: Version, lost: BaseOutdated) -> None:
    """In force is the winner's map and nothing of the other's; the other is told what it differs in from what he rested on."""
    with db.reading() as session:
        in_force = published(session)[-1].version
        rows = read_rows(session, in_force)
        assert in_force == winner.hash == content_hash(rows, read_settings(session, in_force))
        old = {row.hash: row for row in read_rows(session, before)}
    new = {row.hash: row for row in rows}
    differ = {(r.layer.value, r.code) for h, r in {**old, **new}.items() if (h in old) != (h in new)}
    assert lost.facts["rows"] == sorted(differ)
    assert all(f"{layer} {code}" in lost.text("en") for layer, code in sorted(differ)[: store.NAMED])


def test_g7_of_two_who_publish_at_once_one_wins_and_the_other_learns_what_changed(new_url: NewUrl) -> None:
    hold_g7(new_url(initialised=True), 6)


@pytest.mark.full
def test_g7_in_full_size(new_url: NewUrl) -> None:
    hold_g7(new_url(initialised=True), 300)


def test_g7_two_drafts_published_at_once_over_http(new_url: NewUrl) -> None:
    """Both are made on one base and signed; the clock, read when both maps are made, is where they meet."""
    url = new_url(initialised=True)
    with opened(url) as db:
        publish(db, made(0), ME, now=START)
    meet = threading.Barrier(2)
    armed = threading.Event()

    def clock() -> datetime:
        if armed.is_set():
            meet.wait(300)
        return utc_now()

    with live(url, now=clock) as address:
        people = [Person(address, name) for name in ("张三", "李四")]
        drafts = [who.begin() for who in people]
        people[0].post(f"/api/v1/drafts/{drafts[0]}/edits", {"edit": handed("u00", 950, 950)})
        people[1].post(f"/api/v1/drafts/{drafts[1]}/edits", {"edit": bent(people[1], drafts[1], "u21", "u22")})
        for draft in drafts:
            signed(Person(address, "局长"), draft)
        armed.set()
        answers: list[Any] = [None, None]

        def ask(n: int) -> None:
            answers[n] = people[n].http.post(f"/api/v1/drafts/{drafts[n]}/publish", json={"reason": "改界"})

        threads = [threading.Thread(target=ask, args=(n,)) for n in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        armed.clear()
        assert sorted(answer.status_code for answer in answers) == [201, 409]
        lost = next(answer.json() for answer in answers if answer.status_code == 409)
        winner = 0 if answers[0].status_code == 201 else 1
        changed = {(c["layer"], c["code"]) for c in people[0].get(f"/api/v1/drafts/{drafts[winner]}/changes")}
        assert lost["type"] == "urn:jieguan:problem:BaseOutdated"
        assert {tuple(row) for row in lost["facts"]["rows"]} == changed
        assert len(people[0].get("/api/v1/publications")) == 2
        assert people[0].get(f"/api/v1/drafts/{drafts[1 - winner]}")["state"] == "open"  # to be rebased


# ---- G8: exactly one squad, everywhere -------------------------------------------------------------------------------


def territories(shapes: dict[str, Any], slack: float, ranks: dict[str, int] | None = None, extent: Any = None) -> tuple[list[Row], Drawn]:
    """Rows of a map of squads' own grounds (metres of the work CRS), and the same as drawn. `ranks`: priorities; then codes decide."""
    priority = {code: (ranks or {}).get(code, 0) for code in shapes}
    rows = [
        Row(
            LayerName.TERRITORY, code, blank_facts(LayerName.TERRITORY, code) | {"squad": code, "priority": priority[code]}, on_grid(shape)
        )
        for code, shape in shapes.items()
    ]  # fmt: skip
    squads = [*(Squad(SquadCode(code)) for code in shapes), Squad(SquadCode("zz"), duty=True)]
    rows += [Row(LayerName.SQUAD, s.code, said_of(s)) for s in squads]
    whole = shapely.union_all(list(shapes.values()))
    filled = shapely.union_all([shapely.Polygon(p.exterior) for p in shapely.get_parts(whole)])
    if extent is not None:
        rows.append(Row(LayerName.EXTENT, "extent", ground=on_grid(extent)))
    order = sorted(shapes, key=lambda code: (priority[code], code))
    rank = tuple(order.index(code) for code in shapes)
    drawn = Drawn(tuple(shapes), rank, np.array(list(shapes.values()), object), filled if extent is None else extent, "zz", slack)
    return rows, drawn


def at_home(shapes: dict[str, Any]) -> dict[str, Any]:
    """Metres from a corner -> whole millimetres in Zhengzhou."""
    return {
        code: shapely.transform(shapely.affinity.translate(shape, X, Y), lambda xy: np.rint(xy * 1000) / 1000)
        for code, shape in shapes.items()
    }


EXACT, NODED = 2e-6, 1.5e-3
"""Lines that share their vertices stay where they were drawn; where lines cross, they bend by up to 0.71 mm to meet on the grid."""


def four_squares(_: np.random.Generator) -> tuple[list[Row], Drawn]:
    """Those of the tests, which meet in one point; one of them stands last in the order."""
    return territories(at_home({code: squares.box(*at) for code, at in squares.SQUARES.items()}), EXACT, {"ne": 1})


def overlaps_and_gaps(_: np.random.Generator) -> tuple[list[Row], Drawn]:
    """The four squares with a hole where they meet, strips that two claim, and an annex of nobody."""
    box, hole = squares.box, squares.box(180, 180, 220, 220)
    shapes = {code: box(*at) - hole for code, at in squares.SQUARES.items()}
    shapes["ne"] |= box(160, 300, 200, 400)
    shapes["sw"] |= box(200, 0, 240, 100)
    return territories(at_home(shapes), EXACT, {"ne": 1}, at_home({"": box(0, 0, 500, 400)})[""])


def slivers(_: np.random.Generator) -> tuple[list[Row], Drawn]:
    """The four squares; of two borders one is claimed twice, 3 mm wide, one by nobody, 4 mm wide; the third ends in a step of 1 mm."""
    box = squares.box
    shapes = {
        "nw": box(0, 200, 200, 400), "ne": box(199.997, 200, 400, 400), "sw": box(0, 0, 199.998, 200),
        "se": box(200.002, 0, 400, 200) - box(300, 199.999, 400, 200),
    }  # fmt: skip
    return territories(at_home(shapes), EXACT, {"nw": 1}, at_home({"": box(0, 0, 400, 400)})[""])


def seven_wedges(_: np.random.Generator) -> tuple[list[Row], Drawn]:
    """Seven squads that meet in one point, the lowest code in the middle of the row."""
    angle = 2 * np.pi * np.arange(8) / 7
    rim = np.round(np.stack([200 * np.cos(angle), 200 * np.sin(angle)], 1), 3)
    rim[7] = rim[0]
    return territories(at_home({f"s{(k + 4) % 7}": shapely.Polygon([(0, 0), rim[k], rim[k + 1]]) for k in range(7)}), EXACT)


def random_units(rng: np.random.Generator) -> tuple[list[Row], Drawn]:
    """Nine units with jagged borders, four of which meet in each of four points; ranks at random."""
    units = jagged(3, 6, int(rng.integers(1 << 30)))
    return territories(at_home(units), EXACT, {code: int(rng.integers(3)) for code in units})


def random_slivers(rng: np.random.Generator) -> tuple[list[Row], Drawn]:
    """The same, one of them shifted by a few millimetres: slivers that two claim, and slivers of nobody."""
    units = jagged(3, 6, int(rng.integers(1 << 30)))
    dx, dy = rng.integers(2, 9, 2) / 1000
    return territories(at_home({**units, "u11": shapely.affinity.translate(units["u11"], dx, -dy)}), NODED)


WORLDS: tuple[Callable[[np.random.Generator], tuple[list[Row], Drawn]], ...] = (
    four_squares, overlaps_and_gaps, slivers, seven_wedges, random_units, random_slivers,
)  # fmt: skip


def hold_g8(url: str, world: Callable[[np.random.Generator], tuple[list[Row], Drawn]], count: int) -> None:
    """Compiled; recorded in a database and read from it; compiled from the rows read from it; and by distance to the drawn grounds."""
    rng = np.random.default_rng(8)
    rows, drawn = world(rng)
    version = version_of(rows, SETTINGS)
    with opened(url) as db:
        publish(db, version, ME, now=START)
        with db.reading() as session:
            read = read_version(session, version.hash)
            assert version_of(read_rows(session, version.hash), read_settings(session, version.hash)).data == version.data
    for _ in range(0, count, 100_000):
        points = snapped(drawn.shapes, rng, min(count, 100_000))
        asked = Complaints(points[:, 0], points[:, 1], np.zeros(1))
        routed, stored = route(version.map, asked), route(read.map, asked)
        assert routed.to_arrow().equals(stored.to_arrow())
        codes = np.array([squad.code for squad in read.map.roster.squads])
        leads = codes[routed.squad]  # a number for each: nobody has none
        may = drawn.leads(points)
        wrong = [n for n, (lead, those) in enumerate(zip(leads.tolist(), may, strict=True)) if lead not in those]
        assert not wrong, [(points[n].tolist(), leads[n], set(may[n])) for n in wrong[:5]]
        certain = np.mean([len(those) == 1 for those in may])
        print(f"\n{world.__name__}: {len(points):,} points, {certain:.1%} certain, {len(set(leads.tolist()))} squads")
        assert certain > (0.5 if drawn.slack == EXACT else 0.05)
        assert len(set(leads.tolist())) >= len(drawn.squads)


@pytest.mark.parametrize("world", WORLDS, ids=lambda f: f.__name__)
def test_g8_exactly_one_squad_and_the_same_from_either_database_and_by_brute_force(new_url: NewUrl, world: Any) -> None:
    hold_g8(new_url(initialised=True), world, 10_000)


@pytest.mark.full
@pytest.mark.parametrize("world", WORLDS, ids=lambda f: f.__name__)
def test_g8_in_full_size(new_url: NewUrl, world: Any) -> None:
    hold_g8(new_url(initialised=True), world, 1_000_000)


# ---- G13: no room on the disk ----------------------------------------------------------------------------------------

Full = Callable[[], AbstractContextManager[None]]


@contextmanager
def page_limit(db: Database) -> Iterator[Full]:
    """SQLite may make the file no longer than it is."""

    @contextmanager
    def full() -> Iterator[None]:
        def limit(connection: sa.Connection) -> None:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")  # the least it takes is what there is

        def free(connection: sa.Connection) -> None:
            connection.exec_driver_sql("PRAGMA max_page_count = 1073741823")

        sa.event.listen(db.write, "begin", limit)
        try:
            yield
        finally:
            sa.event.remove(db.write, "begin", limit)
            sa.event.listen(db.write, "begin", free)

    yield full


@contextmanager
def file_limit(db: Database) -> Iterator[Full]:
    """The system writes no file of this process beyond what the log has now: a quota."""
    assert db.path is not None
    log = db.path.with_name(db.path.name + "-wal")

    @contextmanager
    def full() -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 4096, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    yield full


@contextmanager
def filled_disk(db: Database) -> Iterator[Full]:
    """The database lies on a small file system, which something else fills."""
    assert db.path is not None
    filler = db.path.with_name("filler")

    @contextmanager
    def full() -> Iterator[None]:
        file = os.open(filler, os.O_CREAT | os.O_WRONLY)
        try:
            for size in (1 << 16, 4096, 1):  # to the last byte
                with suppress(OSError):
                    while os.write(file, bytes(size)):
                        pass
            yield
        finally:
            os.close(file)
            filler.unlink()

    yield full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system of its own size can be mounted here (that takes root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def hold_g13(path: Path, template: Path, way: Callable[[Database], AbstractContextManager[Full]]) -> None:
    """No room: publications and edits are refused in a sentence, everybody reads on, all that was acknowledged is there. Room: they go."""
    shutil.copy(template, path)
    with ExitStack() as stack:
        db = stack.enter_context(opened(path))
        desk = Desk(db)
        first = publish(db, made(0), ME, now=START)
        draft = desk.begin("草案", "张", START).id
        edits = list(acknowledged(desk, draft, 3))
        full = stack.enter_context(way(db))
        refused = 0
        with full():
            for _ in range(2):
                with pytest.raises(NoRoom) as caught:
                    publish(db, made(1), ME, now=START + timedelta(days=1), base=first.id)
                assert str(path) in caught.value.text("zh-CN")
            for edit in acknowledged(desk, draft, 100):  # small things may still have room
                if edit is None:
                    refused += 1
                    break
                edits.append(edit)
            with db.reading() as session:
                assert [p.id for p in published(session)] == [first.id]
                assert session.get(store.t.MapVersion, made(1).hash) is None
                assert read_version(session, store.in_force(session, START).version).data == made(0).data
        done = publish(db, made(1), ME, now=START + timedelta(days=1), base=first.id)
        assert [e.seq for e in desk.open(draft).log] == edits
        edits += acknowledged(desk, draft, 1)
        assert refused
    assert check(path) == ()
    with opened(path) as db, db.reading() as session:
        assert [p.id for p in published(session)] == [first.id, done.id]
        assert read_version(session, done.version).data == made(1).data
        assert [e.seq for e in Desk(db).open(draft).log] == edits


def acknowledged(desk: Desk, draft: str, count: int) -> Iterator[int | None]:
    """Edits of a draft one by one, by their numbers; None for one that was refused for want of room."""
    for _ in range(count):
        case = f"C-{desk.open(draft).revision}"
        facts = blank_facts(LayerName.DESIGNATION, case) | {"squad": "su00", "case": case}
        try:
            yield desk.add(draft, PutRow(row=row_said(Row(LayerName.DESIGNATION, case, facts))), "张", START).revision
        except NoRoom:
            yield None


@pytest.mark.parametrize("way", [page_limit, file_limit], ids=lambda f: f.__name__)
def test_g13_no_room_for_an_embedded_database(tmp_path: Path, template_file: Path, way: Any) -> None:
    hold_g13(tmp_path / "city.db", template_file, way)


def test_g13_a_disk_that_is_full_to_the_last_byte(small_disk: Path, template_file: Path) -> None:
    hold_g13(small_disk / "city.db", template_file, filled_disk)


def test_g13_a_server_without_room_says_so(new_postgresql: NewUrl) -> None:
    full = "DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
    with opened(new_postgresql(initialised=True)) as db:
        first = publish(db, made(0), ME, now=START)
        with pytest.raises(NoRoom, match="could not extend file"):
            publish(db, made(1), ME, now=START, base=first.id, then=lambda session: session.execute(sa.text(full)))
        with db.reading() as session:
            assert [p.valid_to for p in published(session)] == [None]
        publish(db, made(1), ME, now=START, base=first.id)


def test_g13_over_http_it_is_507_and_the_same_publication_goes_when_there_is_room(city_url: str) -> None:
    with live(city_url) as address, opened(city_url) as beside, file_limit(beside) as full:
        who, chief = Person(address), Person(address, "局长")
        draft = who.begin()
        who.post(f"/api/v1/drafts/{draft}/edits", {"edit": handed("u00", 950, 950)})
        signed(chief, draft)
        asked = f"/api/v1/drafts/{draft}/publish"
        with full():
            told = who.refused("POST", asked, 507, "NoRoom", json={"reason": "改界"})
            assert "腾出空间" in told["detail"]
            assert who.get("/readyz")["status"] == "ready"
            assert len(who.get("/api/v1/publications")) == 1
        assert who.post(asked, {"reason": "改界"})["id"] == 2
