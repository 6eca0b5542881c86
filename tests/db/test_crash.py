"""Kill -9 at every statement of a publication: afterwards either the old version or the new one is wholly in force."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from geodata.db import tables as t
from geodata.db.copying import check
from geodata.db.engine import Database, open_database
from geodata.store import Signing, in_force, publish, published, read_version, version_of
from tests.db.worlds import SETTINGS, city

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
ME = Signing("王", "改界")
OLD, NEW = version_of(city(2), SETTINGS), version_of(city(2, seed=1), SETTINGS)


def points_of(db: Database, die_at: int) -> list[str]:
    """Counts what is sent to the database from now on, and kills this process just before the given one."""
    sent: list[str] = []

    def count(what: str) -> None:
        sent.append(what)
        if len(sent) == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def statement(_c: Any, _u: Any, text: str, *_rest: Any) -> None:
        count(" ".join(text.split()[:3]))

    sa.event.listen(db.write, "before_cursor_execute", statement)
    sa.event.listen(db.write, "commit", lambda _: count("COMMIT"))
    return sent


def attempt(url: str, die_at: int) -> tuple[bool, list[str]]:
    """Publish in a process of its own. Whether it lived to acknowledge, and what it sent if it did."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        db = open_database(url)
        sent = points_of(db, die_at)
        publish(db, NEW, ME, now=LATER, base=1)
        os.write(writer, "\n".join(sent).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0, told.splitlines()


def prepared(url: str) -> None:
    with open_database(url) as db:
        publish(db, OLD, ME, now=NOW)


def is_new(url: str) -> bool:
    """Asserts that what is in force is whole, and tells which it is."""
    assert check(url) == ()
    with open_database(url) as db, db.reading() as session:
        now = in_force(session, LATER)
        held = published(session)
        there = session.get(t.MapVersion, NEW.hash) is not None
        new = now.version == NEW.hash
        assert there == new == (len(held) == 2)
        assert held[0].valid_to == (LATER if new else None)
        version = NEW if new else OLD
        back = read_version(session, version.hash)
        assert [r.hash for r in back.rows] == [r.hash for r in version.rows]
        assert back.data == version.data
    return new


def test_a_publication_survives_kill_9_at_every_statement(new_url: Any) -> None:
    url = new_url(initialised=True)
    prepared(url)
    lived, points = attempt(url, 10**9)
    assert lived
    assert is_new(url)
    assert points[-1] == "COMMIT"
    print(f"\n{len(points)} fault points:", *points, sep="\n  ")
    outcomes = []
    for k in range(1, len(points) + 1):
        url = new_url(initialised=True)
        prepared(url)
        lived, _ = attempt(url, k)
        assert not lived
        outcomes.append(is_new(url))
        with open_database(url) as db:  # and the next publication goes through
            publish(db, NEW, ME, now=LATER + timedelta(days=1), base=2 if outcomes[-1] else 1)
    assert outcomes == [False] * len(points)
