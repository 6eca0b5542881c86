"""The record: whatever is done to its rows, by whoever owns the database, is found; and several writers make one chain."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.store import record
from api.store.record import Anchor, Book, Entry, Finding, Head, Page, entry_hash, last_entry, verify
from api.store.setup import GENESIS, opened
from api.store.tables import CaseFile, Event
from geodata.db.both import NaiveInstant, NotJson, Unstorable, canonical, instant_text
from geodata.db.engine import Database
from tests.db.conftest import NewUrl
from tests.store.rows import DAY, HOUR, NOON, case_file, entry, prepared


@pytest.fixture
def anchor(tmp_path: Path) -> Anchor:
    return Anchor(tmp_path / "anchor")


def write(db: Database, anchor: Anchor, count: int, *, each: int = 3, seed: int = 1) -> None:
    """Entries of all shapes, some at a time."""
    rng, book = random.Random(seed), Book(db, anchor)
    for start in range(0, count, each):
        with book.writing() as page:
            for k in range(start, min(start + each, count)):
                body = {"k": k, "m": rng.random() * 10 ** rng.randrange(-9, 9), "中": ["甲", None, True, {"z": -0.0}]}
                squad = rng.choice(["A", "B", None])
                words = rng.choice([None, b"", rng.randbytes(30)])
                at = NOON + timedelta(microseconds=rng.randrange(10**12))
                page.enter(Entry(rng.choice(["noted", "signed"]), "王", "operator", squad, at, body, words=words))


def found(db: Database, anchor: Anchor | None, noted: tuple[Head, ...] = ()) -> list[Finding]:
    with db.reading() as session:
        return list(verify(session, anchor, noted))


def codes(findings: list[Finding]) -> list[tuple[str, int]]:
    return [(finding.code, finding.event) for finding in findings]


# ---- writing ---------------------------------------------------------------------------------------------------------


def test_the_record_of_any_entries_verifies(database: Database, anchor: Anchor) -> None:
    assert found(database, anchor) == []  # also before the first
    write(database, anchor, 50)
    assert found(database, anchor) == found(database, None) == []
    with database.reading() as session:
        rows = session.scalars(sa.select(Event).order_by(Event.id)).all()
        assert [row.id for row in rows] == list(range(1, 51))
        assert [row.prev for row in rows] == [GENESIS, *(row.hash for row in rows[:-1])]
        assert last_entry(session) == Head(50, rows[-1].hash)


def test_a_hash_is_over_every_column_and_the_hash_before(database: Database, anchor: Anchor) -> None:
    """By another reading: the models' own values, not the raw ones the verifier takes."""
    with database.writing() as session:
        session.add(case_file(session, "1"))
    with Book(database, anchor).writing() as page:
        case = page.session.scalars(sa.select(CaseFile.id)).one()
        page.enter(entry("signed", case_id=case, squad="A", body={"x": 0.1}, words=b"sealed"))
    with database.reading() as session:
        row = session.scalars(sa.select(Event)).one()
        assert Event.table().columns.keys() == ["id", "case_id", "kind", "actor", "role", "squad", "at", "body", "words", "prev", "hash"]
        stored = {name: getattr(row, name) for name in ("case_id", "kind", "actor", "role", "squad", "words")}
        stored |= {"at": instant_text(row.at), "body": canonical(row.body)}
        assert row.hash == entry_hash(1, GENESIS, stored)
        others = {entry_hash(1, GENESIS, {**stored, name: value}) for name, value in {
            "case_id": None, "kind": "x", "actor": "x", "role": "x", "squad": None, "words": None, "at": "x", "body": "{}",
        }.items()}  # fmt: skip
        assert len({row.hash, *others, entry_hash(2, GENESIS, stored), entry_hash(1, "1" * 64, stored)}) == 11


def test_both_databases_give_an_entry_the_same_hash(new_embedded: NewUrl, new_postgresql: NewUrl, tmp_path: Path) -> None:
    heads = set()
    for name, new in (("a", new_embedded), ("b", new_postgresql)):
        with opened(prepared(new(initialised=True))) as db:
            write(db, Anchor(tmp_path / name), 20)
            with db.reading() as session:
                heads.add(last_entry(session))
    assert len(heads) == 1


def test_entries_are_there_if_the_change_is_and_in_its_order(database: Database, anchor: Anchor) -> None:
    book = Book(database, anchor)

    def fails() -> None:
        with book.writing() as page:
            page.session.add(case_file(page.session, "1"))
            page.enter(entry())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert not anchor.path.exists()
    with book.writing() as page:  # nothing to record is no entry
        page.session.add(case_file(page.session, "2"))
    with book.writing() as page:
        page.enter(entry("first"))
        page.session.add(case_file(page.session, "3"))
        page.enter(entry("second"))
    with database.reading() as session:
        assert session.scalars(sa.select(Event.kind).order_by(Event.id)).all() == ["first", "second"]
        assert session.scalars(sa.select(CaseFile.number).order_by(CaseFile.number)).all() == ["2", "3"]
    assert found(database, anchor) == []


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"body": {"x": float("nan")}}, NotJson),
        ({"body": {1: "x"}}, NotJson),
        ({"body": {"x": NOON}}, NotJson),
        ({"body": {"x": "a\0"}}, NotJson),
        ({"at": datetime(2026, 1, 1)}, NaiveInstant),  # noqa: DTZ001
        ({"actor": "a\0"}, Unstorable),
        ({"squad": "\ud800"}, Unstorable),
    ],
)
def test_what_cannot_be_recorded_is_said_where_it_is_entered(wrong: dict[str, Any], error: type[Exception]) -> None:
    page = Page(Session())
    with pytest.raises(error):
        page.enter(entry(**wrong))


def test_a_clock_that_goes_back_changes_no_order(database: Database, anchor: Anchor) -> None:
    book = Book(database, anchor)
    for k in range(3):
        with book.writing() as page:
            page.enter(entry(f"{k}", at=NOON - k * DAY))
    with database.reading() as session:
        assert session.scalars(sa.select(Event.kind).order_by(Event.id)).all() == ["0", "1", "2"]
    assert found(database, anchor) == []


def test_many_entries_in_one_transaction(database: Database, anchor: Anchor) -> None:
    with Book(database, anchor).writing() as page:
        for k in range(2_500):
            page.enter(entry(body={"k": k}))
    assert found(database, anchor) == []
    (stretch,) = anchor.read().stretches
    assert stretch[1].event == 2_500


# ---- several writers -------------------------------------------------------------------------------------------------


def test_threads_that_write_at_once_make_one_chain(database: Database, anchor: Anchor) -> None:
    book, barrier, errors = Book(database, anchor), threading.Barrier(8), []

    def work(name: str) -> None:
        barrier.wait()
        try:
            for k in range(15):
                with book.writing() as page:
                    page.enter(entry(body={"who": name, "k": k}))
                    page.enter(entry(body={"who": name, "k": -k}))
        except Exception as error:  # noqa: BLE001 - told by the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(f"{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert found(database, anchor) == []
    (stretch,) = anchor.read().stretches  # whoever told first, they meet
    assert stretch == (record.START, stretch[1])
    with database.reading() as session:
        bodies = session.scalars(sa.select(Event.body).order_by(Event.id)).all()
    assert len(bodies) == 240
    assert all(bodies[k]["who"] == bodies[k + 1]["who"] for k in range(0, 240, 2))  # each transaction in one piece


def write_until_killed(url: str, path: Path, acknowledge: Connection) -> None:
    with opened(url) as db:
        book, k = Book(db, Anchor(path)), 0
        while True:
            k += 1
            with book.writing() as page:
                page.enter(entry(body={"who": os.getpid(), "k": k}))
            acknowledge.send((os.getpid(), k))


def test_processes_that_write_and_are_killed_make_one_chain(
    cases_url: str, anchor: Anchor, processes: ForkServerContext
) -> None:
    told: set[tuple[int, int]] = set()
    for _ in range(2):
        running = []
        for _ in range(3):
            here, there = processes.Pipe(duplex=False)
            running.append((processes.Process(target=write_until_killed, args=(cases_url, anchor.path, there)), here))
            running[-1][0].start()
            there.close()
        for _, pipe in running:
            for _ in range(8):
                told.add(pipe.recv())
        for process, _ in running:
            process.kill()
        for process, pipe in running:
            process.join()
            told |= set(_rest(pipe))
    with opened(cases_url) as db:
        assert found(db, anchor) == []
        with db.reading() as session:
            there_now = Counter((body["who"], body["k"]) for body in session.scalars(sa.select(Event.body)))
    assert max(there_now.values()) == 1
    assert told <= set(there_now)


def _rest(pipe: Connection) -> Iterator[tuple[int, int]]:
    try:
        while True:
            yield pipe.recv()
    except (EOFError, OSError):
        return


def test_the_database_refuses_a_second_entry_after_the_same(database: Database, anchor: Anchor) -> None:
    write(database, anchor, 2)
    with pytest.raises(sa.exc.IntegrityError), database.writing() as session:
        session.add(Event(id=3, case_id=None, kind="x", actor="x", role="x", squad=None, at=NOON, body={}, words=None,
                          prev=GENESIS, hash="f" * 64))  # fmt: skip


def test_g3_an_entry_is_synced_before_it_is_acknowledged(new_embedded: NewUrl, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace: what is synced cannot be counted")
    url, log = prepared(new_embedded(initialised=True)), tmp_path / "trace"
    program = (
        "import os, pathlib, sys; from api.store.record import Anchor, Book; from api.store.setup import opened\n"
        "from tests.store.rows import entry\n"
        "with opened(sys.argv[1]) as db:\n"
        "    book = Book(db, Anchor(pathlib.Path(sys.argv[2])))\n"
        "    for k in range(20):\n"
        "        with book.writing() as page: page.enter(entry())\n"
        "        os.write(1, b'done')\n"
        "    os.write(1, b'over')\n"
    )
    command = [sys.executable, "-c", program, url, str(tmp_path / "anchor")]
    traced = [strace, "-f", "-y", "-e", "trace=fsync,fdatasync,write", "-o", str(log), *command]
    done = subprocess.run(traced, capture_output=True, text=True, check=False)
    if "PTRACE" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.stdout == "done" * 20 + "over", done.stderr
    anchor = f"<{tmp_path / 'anchor'}>"
    synced, told = [0], [0]  # in front of each acknowledgement
    for line in log.read_text().splitlines():
        if "sync(" in line and url in line:
            synced[-1] += 1
        elif "sync(" in line and anchor in line:
            told[-1] += 1
        elif '"done"' in line:
            synced.append(0)
            told.append(0)
    print(f"\nfsyncs before each of 20 acknowledgements: of the database {synced[:-1]}, of the anchor {told[:-1]}")
    assert min(synced[:-1]) >= 1
    assert min(told[:-1]) >= 1


# ---- P19, G24: as owner of the database ------------------------------------------------------------------------------


def as_owner(db: Database) -> Callable[..., None]:
    """Run SQL with no trigger in the way."""

    def run(*statements: str | tuple[str, dict[str, Any]]) -> None:
        with db.writing() as session:
            connection = session.connection()
            if db.kind == "postgresql":
                connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            for statement in statements:
                text, given = (statement, {}) if isinstance(statement, str) else statement
                connection.execute(sa.text(text), given)

    if db.kind == "embedded":
        with db.writing() as session:
            triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ('event', 'chain_head')"
            for name in session.scalars(sa.text(triggers)).all():
                session.execute(sa.text(f"DROP TRIGGER {name}"))
    return run


COLUMNS = ", ".join(Event.table().columns.keys())


def rehashed(db: Database, since: int) -> list[tuple[str, dict[str, Any]]]:
    """What a forger does who knows the code: all hashes from a row on anew, and the row of the head."""
    with db.reading() as session:
        rows = session.scalars(sa.select(Event).order_by(Event.id)).all()
    prev, number, statements = GENESIS, 0, []
    for row in rows:
        name = row.hash
        if row.id >= since:
            stored = {name: getattr(row, name) for name in ("case_id", "kind", "actor", "role", "squad", "words")}
            name = entry_hash(row.id, prev, {**stored, "at": instant_text(row.at), "body": canonical(row.body)})
            statements.append(("UPDATE event SET prev = :prev, hash = :hash WHERE id = :id", {"prev": prev, "hash": name, "id": row.id}))
        prev, number = name, row.id
    # In two steps: links are unique, and each row would for a moment have the one of its neighbour.
    aside = [("UPDATE event SET prev = 'x' || id, hash = 'x' || id WHERE id >= :id", {"id": since})]
    return [*aside, *statements, ("UPDATE chain_head SET event_id = :id, hash = :hash", {"id": number, "hash": prev})]


def test_p19_an_entry_that_was_altered_is_named(database: Database, anchor: Anchor) -> None:
    write(database, anchor, 9)
    run = as_owner(database)
    run("UPDATE event SET actor = '李' WHERE id = 4")
    assert codes(found(database, anchor)) == [("altered", 4)]
    (finding,) = found(database, anchor)
    assert "记录 4" in finding.text("zh-CN")
    assert "entry 4" in finding.text("en")


def test_p19_an_entry_altered_with_a_hash_to_fit_breaks_the_next_link(database: Database, anchor: Anchor) -> None:
    write(database, anchor, 9)
    run = as_owner(database)
    run("UPDATE event SET actor = '李' WHERE id = 4")
    last = {s[1]["id"]: s for s in rehashed(database, 4) if "prev = :prev" in s[0]}[4]
    run(last)
    assert codes(found(database, anchor)) == [("replaced", 4)]


def test_p19_entries_that_were_removed_are_named(database: Database, anchor: Anchor) -> None:
    write(database, anchor, 9)
    run = as_owner(database)
    run("DELETE FROM event WHERE id IN (4, 5)")
    assert found(database, anchor) == [Finding("removed", 4, "5")]
    run("DELETE FROM event WHERE id = 1")
    assert found(database, anchor) == [Finding("removed", 1, "1"), Finding("removed", 4, "5")]


def test_p19_a_row_put_in_between_with_the_rest_moved_up(database: Database, anchor: Anchor) -> None:
    write(database, anchor, 5)
    run = as_owner(database)
    run(
        "UPDATE event SET id = id + 100 WHERE id > 2",
        "UPDATE event SET id = id - 99 WHERE id > 100",
        f"INSERT INTO event ({COLUMNS}) SELECT 3, case_id, kind, actor, role, squad, at, body, words, 'a', 'b' FROM event WHERE id = 2",
    )
    assert codes(found(database, anchor))[0] == ("altered", 3)


def test_p19_the_end_cut_off_is_seen_by_the_anchor_alone(database: Database, anchor: Anchor) -> None:
    write(database, anchor, 9)
    run = as_owner(database)
    run("DELETE FROM event WHERE id > 6")
    assert found(database, None) == [Finding("truncated", 7, "9")]  # the row of the head still knows
    run("UPDATE chain_head SET event_id = 6, hash = (SELECT hash FROM event WHERE id = 6)")
    assert found(database, None) == []
    assert found(database, anchor) == [Finding("truncated", 7, "9")]
    run("DELETE FROM event", ("UPDATE chain_head SET event_id = 0, hash = :hash", {"hash": GENESIS}))
    assert found(database, anchor) == [Finding("truncated", 1, "9")]


def test_p19_all_made_anew_is_seen_by_the_anchor(database: Database, anchor: Anchor) -> None:
    write(database, anchor, 9)
    run = as_owner(database)
    run("UPDATE event SET actor = '李' WHERE id = 4")
    run(*rehashed(database, 4))
    assert found(database, None) == []
    assert codes(found(database, anchor)) == [("rewritten", 9)]


def test_p19_an_older_backup_is_seen_also_after_the_service_went_on(cases_url: str, anchor: Anchor) -> None:
    """Restored by its rows, as a restore of either database comes out."""
    with opened(cases_url) as db:
        write(db, anchor, 6)
        with db.reading() as session:
            noted = last_entry(session)
        write(db, anchor, 4, seed=2)
        run = as_owner(db)
        run(
            "DELETE FROM event WHERE id > 6",
            ("UPDATE chain_head SET event_id = :id, hash = :hash", {"id": noted.event, "hash": noted.hash}),
        )
        assert found(db, anchor) == [Finding("truncated", 7, "10")]
        write(db, anchor, 40, seed=3)  # past the old end
        assert codes(found(db, anchor)) == [("rewritten", 10)]
        anchor._compact()
        assert codes(found(db, anchor)) == [("rewritten", 10)]
        assert found(db, None, (noted,)) == []
        assert codes(found(db, None, (Head(7, "f" * 64), Head(90, "f" * 64)))) == [("rewritten", 7), ("truncated", 47)]


def test_a_chain_without_its_anchor_or_with_a_strange_one_is_said(database: Database, anchor: Anchor) -> None:
    write(database, anchor, 3)
    anchor.path.unlink()
    assert codes(found(database, anchor)) == [("not_anchored", 3)]
    write(database, anchor, 3)
    assert found(database, anchor) == []
    anchor.path.write_bytes(b"rubbish\n" + anchor.path.read_bytes())
    assert codes(found(database, anchor)) == [("anchor_damaged", 1)]


def test_a_row_of_what_nobody_of_us_writes_is_named(database: Database, anchor: Anchor) -> None:
    write(database, anchor, 5)
    run = as_owner(database)
    strange = ["UPDATE event SET body = body || ' ' WHERE id = 2", "UPDATE event SET body = 'no json' WHERE id = 2"]
    if database.kind == "embedded":
        strange += [
            "UPDATE event SET actor = CAST(x'ff00fe' AS TEXT) WHERE id = 2", "UPDATE event SET at = 'yesterday' WHERE id = 2",
            "UPDATE event SET words = 'text' WHERE id = 2", "UPDATE event SET kind = CAST(kind AS BLOB) WHERE id = 2",
            "UPDATE event SET role = role || char(0) WHERE id = 2",
        ]  # fmt: skip
    else:
        strange += ["UPDATE event SET at = 'infinity' WHERE id = 2", "UPDATE event SET at = '0044-03-15 BC' WHERE id = 2"]
    with database.reading() as session:
        before = session.execute(sa.text("SELECT actor, at, words, kind, role, body, case_id FROM event WHERE id = 2")).one()._asdict()
    back = ", ".join(f"{name} = :{name}" for name in before)
    for statement in strange:
        run(statement)
        assert codes(found(database, anchor)) == [("altered", 2)], statement
        run((f"UPDATE event SET {back} WHERE id = 2", before))
        assert found(database, anchor) == []
    run(f"INSERT INTO event ({COLUMNS}) SELECT -7, case_id, kind, actor, role, squad, at, body, words, 'a', 'b' FROM event WHERE id = 2")
    assert codes(found(database, anchor)) == [("inserted", -7)]


MUTATIONS = ("column", "byte", "delete", "swap", "shift", "reinsert", "truncate", "cut_and_head", "replace_all", "older", "head")
LENGTH = 12


def mutated(db: Database, run: Callable[..., None], rng: random.Random) -> str:
    """Do one thing to the record that nobody may; what it was."""
    what, k = rng.choice(MUTATIONS), rng.randrange(1, LENGTH + 1)
    if what == "column":
        name = rng.choice(["kind", "actor", "role", "squad", "at", "body", "words", "prev", "hash", "id"])
        others = {"at": NOON - rng.randrange(1, 10**9) * HOUR / 3600, "words": rng.randbytes(8), "id": rng.randrange(LENGTH + 1, 10**6)}
        new: Any = others.get(name, f"{rng.random()}")
        if name == "at" and db.kind == "embedded":
            new = instant_text(new)
        run((f"UPDATE event SET {name} = :new WHERE id = :k", {"new": new, "k": k}))
    elif what == "byte":
        name = rng.choice(["kind", "actor", "role", "body", "prev", "hash"])
        with db.reading() as session:
            text = session.execute(sa.text(f"SELECT {name} FROM event WHERE id = :k"), {"k": k}).scalar_one()
        at = rng.randrange(len(text))
        spoiled = text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]
        run((f"UPDATE event SET {name} = :new WHERE id = :k", {"new": spoiled, "k": k}))
    elif what == "delete":
        run(("DELETE FROM event WHERE id = :k", {"k": k}))
    elif what == "swap":
        other = rng.choice([n for n in range(1, LENGTH + 1) if n != k])
        run(*(("UPDATE event SET id = :b WHERE id = :a", {"a": a, "b": b}) for a, b in ((k, 999), (other, k), (999, other))))
    elif what == "shift":  # one is taken out, and the rest moves up
        run(("DELETE FROM event WHERE id = :k", {"k": k}), *(
            ("UPDATE event SET id = :b WHERE id = :a", {"a": n, "b": n - 1}) for n in range(k + 1, LENGTH + 1)
        ))  # fmt: skip
        if k == LENGTH:
            return "delete"
    elif what == "reinsert":  # an old row again, at the end or where another was
        at = rng.choice([LENGTH + 1, *(n for n in range(1, LENGTH + 1) if n != k)])
        run(
            ("DELETE FROM event WHERE id = :at", {"at": at}),
            (f"INSERT INTO event ({COLUMNS}) SELECT :at, case_id, kind, actor, role, squad, at, body, words, 'again', 'anew' FROM event "
             "WHERE id = :k", {"at": at, "k": k}),
        )  # fmt: skip
    elif what == "truncate":
        run(("DELETE FROM event WHERE id >= :k", {"k": k}))
    elif what in {"cut_and_head", "older"}:
        with db.reading() as session:
            head = session.execute(sa.text("SELECT id, hash FROM event WHERE id = :k"), {"k": k - 1}).one_or_none()
        number, name = (0, GENESIS) if head is None else head
        run(
            ("DELETE FROM event WHERE id >= :k", {"k": k}),
            ("UPDATE chain_head SET event_id = :number, hash = :name", {"number": number, "name": name}),
        )
        if what == "older":  # and somebody goes on from there, without telling the anchor
            with db.writing() as session:
                page = Page(session)
                for _ in range(rng.randrange(1, 2 * LENGTH)):
                    page.enter(entry(f"{rng.random()}"))
                page.chain()
    elif what == "replace_all":
        run(("UPDATE event SET actor = :new WHERE id = :k", {"new": f"{rng.random()}", "k": k}))
        run(*rehashed(db, k if rng.random() < 0.5 else 1))
    else:
        run(("UPDATE chain_head SET event_id = :n, hash = :h", {"n": rng.choice([k, LENGTH + k]), "h": f"{rng.random()}"}))
    return what


def attack(db: Database, anchor: Anchor, times: int, seed: int) -> Counter[str]:
    """Write a record once, then spoil it in any way, look, and put it back."""
    write(db, anchor, LENGTH)
    run, done = as_owner(db), Counter[str]()
    with db.reading() as session:
        rows = [row._asdict() for row in session.execute(sa.text(f"SELECT {COLUMNS} FROM event"))]
        head = session.execute(sa.text("SELECT event_id, hash FROM chain_head")).one()
    put = f"INSERT INTO event ({COLUMNS}) VALUES ({', '.join(f':{name}' for name in rows[0])})"
    back: list[Any] = ["DELETE FROM event", *((put, row) for row in rows)]
    back.append(("UPDATE chain_head SET event_id = :n, hash = :h", {"n": head[0], "h": head[1]}))
    rng = random.Random(seed)
    for k in range(times):
        what = mutated(db, run, rng)
        findings = found(db, anchor)
        assert findings, f"seed {seed}, mutation {k}: {what} was not found"
        run(*back)
        done[what] += 1
    assert found(db, anchor) == []
    return done


def test_g24_every_mutation_is_found(database: Database, anchor: Anchor) -> None:
    done = attack(database, anchor, 150, seed=1)
    print(f"\n{done.total()} mutations found of {done.total()}: {dict(done)}")
    assert set(done) == set(MUTATIONS)


@pytest.mark.full
def test_g24_every_mutation_is_found_ten_thousand_times(database: Database, anchor: Anchor) -> None:
    done = attack(database, anchor, 10_000, seed=24)
    print(f"\n{done.total()} mutations found of {done.total()}: {dict(done)}")


# ---- the anchor ------------------------------------------------------------------------------------------------------


def head(number: int, name: str = "a") -> Head:
    return record.START if number == 0 else Head(number, f"{number:063x}{name}")


def test_stretches_that_meet_become_one_in_whatever_order_they_were_told(tmp_path: Path) -> None:
    rng = random.Random(3)
    for round_ in range(50):
        anchor = Anchor(tmp_path / f"{round_}")
        cuts = sorted(rng.sample(range(1, 100), 20))
        stretches = list(zip([0, *cuts], [*cuts, 100], strict=True))
        rng.shuffle(stretches)
        for begin, end in stretches:
            anchor.tell(head(begin), head(end))
            if rng.random() < 0.2:
                anchor._compact()
        assert anchor.read().stretches == ((record.START, head(100)),)


def test_what_does_not_meet_is_kept_for_ever(tmp_path: Path) -> None:
    anchor = Anchor(tmp_path / "anchor")
    for begin, end in ((head(0), head(50)), (head(50), head(100)), (head(50), head(60, "b")), (head(60, "b"), head(120, "b")),
                       (head(110), head(130)), (head(0), head(7, "c"))):  # fmt: skip
        anchor.tell(begin, end)
        anchor._compact()
    assert set(anchor.read().heads) == {7, 50, 100, 110, 120, 130}
    assert len(anchor.path.read_bytes().splitlines()) == 4


def test_where_the_record_forked_both_ways_are_kept(tmp_path: Path) -> None:
    anchor = Anchor(tmp_path / "anchor")
    for begin, end in ((head(0), head(50)), (head(50), head(100)), (head(50), head(60, "b")), (head(60, "b"), head(120, "b"))):
        anchor.tell(begin, end)
    for _ in range(2):
        assert set(anchor.read().stretches) == {(record.START, head(50)), (head(50), head(100)), (head(50), head(120, "b"))}
        anchor._compact()


def test_the_file_stays_small_and_private(tmp_path: Path) -> None:
    anchor = Anchor(tmp_path / "anchor")
    for k in range(2_000):
        anchor.tell(head(k), head(k + 1))
    assert anchor.path.stat().st_size < 2 * record.COMPACT_BYTES
    assert anchor.read().stretches == ((record.START, head(2_000)),)
    assert anchor.path.stat().st_mode & 0o777 == 0o600


def test_a_line_cut_short_by_a_crash_is_none(tmp_path: Path) -> None:
    anchor = Anchor(tmp_path / "anchor")
    anchor.tell(head(0), head(1))
    whole = anchor.path.read_bytes()
    for cut in range(1, len(whole)):
        anchor.path.write_bytes(whole + whole[:cut])
        assert anchor.read() == record.Anchored(((record.START, head(1)),), 0)
    anchor.path.write_bytes(whole + b"9" * 10_000)
    anchor.tell(head(1), head(2))
    assert anchor.read() == record.Anchored(((record.START, head(2)),), 0)


def test_a_disk_that_is_full_is_told_the_next_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    anchor = Anchor(tmp_path / "missing" / "anchor")
    anchor.tell(head(0), head(1))
    anchor.tell(head(1), head(2))
    assert "the next one" in caplog.text
    anchor.path.parent.mkdir()
    anchor.tell(head(2), head(3))
    assert anchor.read().stretches == ((record.START, head(3)),)
    assert len(anchor.path.read_bytes().splitlines()) == 3
