"""Opening: the settings that make each database safe, one writer at a time, and every way in which opening can fail."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, make_url

from geodata.db import Database, open_database
from geodata.db.engine import (
    CannotOpenDatabase,
    DatabaseMissing,
    Gate,
    NotInitialised,
    NotWal,
    PostgisMissing,
    SchemaNewer,
    SchemaOlder,
    ServerUnreachable,
    UnknownDatabase,
    Waits,
    WriterBusy,
    WrongLocale,
    attach,
    parse_url,
)
from geodata.db.schema import initialise
from geodata.db.tables import MAP, Defect, Draft, Feature
from tests.db.conftest import a_database
from tests.db.contents import NOON, add_to_revision, feature

EMBEDDED_SETTINGS = {
    "journal_mode": "wal",
    "synchronous": 2,
    "foreign_keys": 1,
    "recursive_triggers": 1,
    "busy_timeout": 10_000,
}


def test_the_embedded_settings(new_embedded: Callable[..., str]) -> None:
    with open_database(new_embedded(initialised=True)) as db:
        for session_of, query_only in ((db.reading, 1), (db.writing, 0), (db.reading, 1)):
            with session_of() as session:
                for name, value in {**EMBEDDED_SETTINGS, "query_only": query_only}.items():
                    assert session.scalar(sa.text(f"PRAGMA {name}")) == value, name


def test_the_settings_of_postgresql(new_postgresql: Callable[..., str]) -> None:
    with open_database(new_postgresql(initialised=True)) as db:
        wanted = {
            "statement_timeout": "1min",
            "lock_timeout": "2s",
            "idle_in_transaction_session_timeout": "1min",
            "TimeZone": "UTC",
            "synchronous_commit": "on",  # though the server of the tests says off
        }
        with db.reading() as session:
            assert {name: session.scalar(sa.text(f"SHOW {name}")) for name in wanted} == wanted
            assert session.scalar(sa.text("SHOW transaction_isolation")) == "repeatable read"
            assert session.scalar(sa.text("SHOW transaction_read_only")) == "on"
        with db.writing() as session:
            assert session.scalar(sa.text("SHOW transaction_isolation")) == "read committed"
            assert session.scalar(sa.text("SHOW transaction_read_only")) == "off"


def _defect(key: str) -> Defect:
    return Defect(key=key, kind="gap", default_squad="1", opened_at=NOON)


def _count(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(Defect)) or 0


def test_writing_has_committed_when_it_is_over(database: Database, url: str) -> None:
    with database.writing() as session:
        session.add(_defect("a"))
    with open_database(url) as other:
        assert _count(other) == 1


def test_what_raises_leaves_nothing(database: Database) -> None:
    def fail() -> None:
        with database.writing() as session:
            session.add(_defect("a"))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert _count(database) == 0
    with database.writing() as session:
        session.add(_defect("b"))
    assert _count(database) == 1


def test_a_reading_session_cannot_write(database: Database) -> None:
    with database.reading() as session:
        session.add(_defect("a"))
        with pytest.raises(sa.exc.DBAPIError, match=r"(?i)read-?only"):
            session.flush()
    assert _count(database) == 0


def test_a_reading_session_sees_one_snapshot(database: Database) -> None:
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Defect)) == 0
        with database.writing() as writing:
            writing.add(_defect("a"))
        assert session.scalar(sa.select(sa.func.count()).select_from(Defect)) == 0
    assert _count(database) == 1


def test_an_error_does_not_quote_what_was_written(database: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError) as caught, database.writing() as session:
        session.add_all([_defect("13912345678"), Draft(id="d", name=None, author="王某某", state="s", created_at=NOON)])
    assert "13912345678" not in str(caught.value)
    if database.kind == "embedded":  # PostgreSQL's own message shows the row, to whoever reads the server's answer
        assert "王某某" not in str(caught.value)


def test_no_increment_is_lost_between_threads(new_embedded: Callable[..., str]) -> None:
    """Read, then write: with the driver's own transactions most of these vanish without an error."""
    with open_database(new_embedded(initialised=True)) as db:
        with db.writing() as session:
            session.add(Draft(id="d", name="n", author="a", state="s", created_at=NOON))

        def count() -> None:
            for _ in range(25):
                with db.writing() as session:
                    draft = session.get(Draft, "d")
                    assert draft is not None
                    draft.revision += 1

        threads = [threading.Thread(target=count) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with db.reading() as session:
            assert session.scalars(sa.select(Draft.revision)).one() == 200


def test_no_increment_is_lost_between_processes_nor_at_kill_9(
    new_embedded: Callable[..., str], processes: ForkServerContext
) -> None:
    url = new_embedded(initialised=True)
    with open_database(url) as db, db.writing() as session:
        session.add(Draft(id="d", name="n", author="a", state="s", created_at=NOON))
    writers, pipes = [], []
    for _ in range(3):
        ours, theirs = processes.Pipe(duplex=False)
        writers.append(processes.Process(target=add_to_revision, args=(url, theirs)))
        writers[-1].start()
        theirs.close()
        pipes.append(ours)
    for pipe in pipes:
        assert pipe.poll(60)
    time.sleep(0.5)
    for writer in writers:
        writer.kill()
        writer.join()
    done = [_received(pipe) for pipe in pipes]
    assert min(done) > 0  # the gate starves nobody
    with open_database(url) as db:  # the gate is free: the kernel took it back
        with db.writing() as session:
            draft = session.get(Draft, "d")
            assert draft is not None
            assert sum(done) <= draft.revision <= sum(done) + len(writers)
        with db.reading() as session:
            assert session.scalar(sa.text("PRAGMA integrity_check")) == "ok"


def _received(pipe: Connection) -> int:
    """What had been said when the other end was killed, a last word cut short left out."""
    count = 0
    try:
        while pipe.recv_bytes() == b"done":
            count += 1
    except (EOFError, OSError):
        pipe.close()
    return count


# ---- the gate --------------------------------------------------------------------------------------------------------


def test_the_gate_waits_no_longer_than_agreed(tmp_path: Path) -> None:
    one, other = Gate(tmp_path / "x.db", 5), Gate(tmp_path / "x.db", 0.1)
    with one.held():
        begun = time.monotonic()
        with pytest.raises(WriterBusy, match=r"0\.1 s"), other.held():
            pass
        assert 0.1 <= time.monotonic() - begun < 30  # it gives up, and does not wait for ever
    with other.held():
        pass


def test_a_thread_waits_no_longer_than_agreed(tmp_path: Path) -> None:
    gate, raised = Gate(tmp_path / "x.db", 0.1), []

    def wait() -> None:
        try:
            with gate.held():
                pass
        except WriterBusy as error:
            raised.append(error)

    with gate.held():
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
    assert len(raised) == 1


def test_the_gate_does_not_nest(new_embedded: Callable[..., str]) -> None:
    with open_database(new_embedded(initialised=True)) as db:
        with db.writing(), pytest.raises(AssertionError, match="within"), db.writing():
            pass
        with db.writing():
            pass


def test_a_database_does_not_go_through_a_fork(new_embedded: Callable[..., str]) -> None:
    with open_database(new_embedded(initialised=True)) as db:
        pid = os.fork()
        if pid == 0:  # the child leaves by _exit, so that nothing of the test's own clean-up runs twice
            try:
                with db.writing():
                    os._exit(1)
            except AssertionError:
                os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0


def test_a_child_does_not_keep_the_gate(tmp_path: Path) -> None:
    """A program started in the middle of a write has the descriptor, and may live for days."""
    with Gate(tmp_path / "x.db", 1).held():
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
    try:
        with Gate(tmp_path / "x.db", 0.1).held():
            pass
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_writing_session_keeps_writers_out_who_know_no_gate(new_embedded: Callable[..., str]) -> None:
    """From its beginning, or what it reads first might no longer hold when it writes."""
    path = new_embedded(initialised=True)
    foreign = sqlite3.connect(path, isolation_level=None, timeout=0.05)
    with open_database(path) as db, db.writing(), pytest.raises(sqlite3.OperationalError, match="locked"):
        foreign.execute("BEGIN IMMEDIATE")
    foreign.close()


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    with database.writing() as session:
        session.add(_defect("a"))
        session.flush()
        begun = time.monotonic()
        done = threading.Thread(target=lambda: _count(database))
        done.start()
        done.join(5)
        assert not done.is_alive()
        assert time.monotonic() - begun < 30


# ---- what can be wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kind", "rest"),
    [
        ("sqlite:////a/b/city.db", "gpkg", "/a/b/city.db"),
        ("/a/b/city.db", "gpkg", "/a/b/city.db"),
        ("sqlite:///city.db", "gpkg", f"{Path.cwd()}/city.db"),
        ("gpkg:////a/名 字.db", "gpkg", "/a/名 字.db"),
        ("gpkg:///city.db", "gpkg", f"{Path.cwd()}/city.db"),
        ("postgresql://u:p@h:1/d", "postgresql+psycopg", "d"),
        ("postgres://h/d", "postgresql+psycopg", "d"),
        ("postgresql+psycopg:///d?host=/run/x", "postgresql+psycopg", "d"),
    ],
)
def test_urls(given: str, kind: str, rest: str) -> None:
    assert (parse_url(given).drivername, parse_url(given).database) == (kind, rest)


@pytest.mark.parametrize(
    "given",
    [
        "city.gpkg",
        "city",
        "",
        ".db",
        "/a/b/",
        ":memory:",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///x.db?mode=ro",
        "sqlite://host/x.db",
        "mysql://u:secret@h/d",
        "postgresql+asyncpg://u:secret@h/d",
        "postgresql://u:secret@h",
        "postgresql://u:sec:ret@h:port/d",
        "://secret",
        "postgresql:/u:secret@h/d",
    ],
)
def test_other_urls_are_refused_without_showing_a_password(given: str) -> None:
    with pytest.raises(UnknownDatabase) as caught:
        open_database(given)
    if given != "postgresql:/u:secret@h/d":  # no URL at all, so nothing says which part is the password
        for lang in ("zh-CN", "en"):
            assert "secret" not in caught.value.text(lang)  # type: ignore[arg-type]
            assert "sec:ret" not in caught.value.text(lang)  # type: ignore[arg-type]
    assert caught.value.__cause__ is None
    zh = caught.value.text("zh-CN")
    assert not re.search(r"[a-z]{3} [a-z]", zh.replace(str(caught.value.facts["url"]), "")), zh  # its reason is Chinese, too


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(DatabaseMissing, match="jieguan db init"):
        open_database(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_went_away_does_not_come_back_empty(new_embedded: Callable[..., str]) -> None:
    path = Path(new_embedded(initialised=True))
    with open_database(path) as db:
        db.read.dispose()
        path.unlink()
        with pytest.raises(sa.exc.OperationalError), db.reading() as session:
            session.scalar(sa.select(sa.func.count()).select_from(Feature))
    assert not path.exists()


def test_files_that_are_no_database(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database " * 500)
    (tmp_path / "folder.db").mkdir()
    for name in ("text.db", "folder.db"):
        with pytest.raises(CannotOpenDatabase, match=name):
            open_database(tmp_path / name)


def test_a_database_without_tables(fresh_url: str, kind: str) -> None:
    if kind == "embedded":
        sqlite3.connect(fresh_url).close()
    else:
        with attach(fresh_url, create=True) as db, db.writing() as session:
            session.execute(sa.text("CREATE EXTENSION postgis"))
    with pytest.raises(NotInitialised, match="jieguan db init"):
        open_database(fresh_url)


def test_wal_is_asserted(new_embedded: Callable[..., str]) -> None:
    """Somebody holds the file in another mode: no silent way on without the log."""
    path = new_embedded(initialised=True)
    foreign = sqlite3.connect(path, isolation_level=None)
    foreign.execute("PRAGMA journal_mode = DELETE")
    foreign.execute("BEGIN EXCLUSIVE")
    with pytest.raises((NotWal, CannotOpenDatabase)):
        open_database(path, waits=Waits(gate=0.1))
    foreign.close()
    with open_database(path):
        pass


def _set_revision(url: str, revision: str) -> None:
    with attach(url) as db, db.writing() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = :r"), {"r": revision})


def test_a_newer_schema_is_refused(url: str) -> None:
    _set_revision(url, "of_next_year")
    with pytest.raises(SchemaNewer, match="of_next_year"):
        open_database(url)


def test_an_older_schema_is_refused(url: str) -> None:
    later = replace(MAP, revisions=(*MAP.revisions, "next"))
    with pytest.raises(SchemaOlder, match="jieguan db upgrade"):
        open_database(url, sections=(later,))


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    for url in (
        f"postgresql://u:secret@/d?host={tmp_path}",
        "postgresql://u@127.0.0.1:9/d?password=secret&connect_timeout=2",
    ):
        with pytest.raises(ServerUnreachable) as caught:
            open_database(url)
        for lang in ("zh-CN", "en"):
            assert "secret" not in caught.value.text(lang)  # type: ignore[arg-type]
        assert caught.value.__cause__ is None


def test_a_database_that_is_not_on_the_server(server: Engine) -> None:
    url = make_url(os.environ["JIEGUAN_TEST_POSTGRES"]).set(database="none")
    with pytest.raises(ServerUnreachable, match='"none" does not exist'):
        open_database(url.render_as_string(hide_password=False))


@pytest.mark.parametrize(
    "options",
    [
        "ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C'",
        "ENCODING 'SQL_ASCII' LOCALE 'C.UTF-8'",
        "LOCALE_PROVIDER icu ICU_LOCALE 'zh' LOCALE 'C.UTF-8'",
    ],
)
def test_a_locale_that_sorts_otherwise(server: Engine, options: str) -> None:
    with a_database(server, f"TEMPLATE template0 {options}") as url, pytest.raises(WrongLocale, match=r"C\.UTF-8"):
        initialise(url, "EPSG:4547")


def test_a_database_without_postgis(server: Engine) -> None:
    with a_database(server) as url, pytest.raises(PostgisMissing, match="CREATE EXTENSION"):
        open_database(url)


def test_a_lost_connection_is_noticed_before_it_is_used(new_postgresql: Callable[..., str], server: Engine) -> None:
    url = new_postgresql(initialised=True)
    with open_database(url) as db:
        assert _count(db) == 0
        with server.connect() as connection:
            connection.execute(
                sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :d"),
                {"d": make_url(url).database},
            )
        assert _count(db) == 0


def test_a_lock_is_not_waited_for_for_ever(new_postgresql: Callable[..., str]) -> None:
    with open_database(new_postgresql(initialised=True), waits=Waits(lock=0.2)) as db:
        with db.writing() as session:
            session.add(Draft(id="d", name="n", author="a", state="s", created_at=NOON))
        with db.writing() as one:
            one.get(Draft, "d", with_for_update=True)
            with pytest.raises(sa.exc.OperationalError, match="lock timeout"), db.writing() as other:
                other.get(Draft, "d", with_for_update=True)


def test_two_names_of_one_file_share_the_gate(new_embedded: Callable[..., str], tmp_path: Path) -> None:
    path = Path(new_embedded(initialised=True))
    with open_database(path) as db, open_database(path, waits=Waits(gate=0.1)) as other:
        with db.writing(), pytest.raises(WriterBusy), other.writing():
            pass
        with other.writing() as session:
            session.add(feature("x"))
