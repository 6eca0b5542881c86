"""A server that is silent and still there is waited for; one that is gone without a word is not."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from geodata.db import Database, open_database
from geodata.db.engine import Waits
from geodata.db.pulse import ServerSilent
from tests.db.conftest import NewUrl
from tests.db.hole import Hole

SOON = Waits(silence=0.6)
ROOM = 3.0
"""Seconds for a busy machine: what is asked is not whether it is quick, but whether it ends."""


@pytest.fixture
def hole(new_postgresql: NewUrl) -> Iterator[Hole]:
    with Hole(new_postgresql(initialised=True)) as made:
        yield made


def test_a_long_statement_is_waited_for(hole: Hole) -> None:
    with open_database(hole.url, waits=SOON) as db, db.reading() as session:
        assert session.execute(sa.text("SELECT 7 FROM pg_sleep(2)")).scalar() == 7


def test_a_server_that_says_nothing_is_given_up_and_found_again(hole: Hole) -> None:
    with open_database(hole.url, waits=SOON) as db:
        began = time.monotonic()
        with db.reading() as session:
            session.execute(sa.text("SELECT 1"))
            hole.shut()
            with pytest.raises(OperationalError) as told:
                session.execute(sa.text("SELECT 2"))
        assert isinstance(told.value.orig, ServerSilent)
        for _ in range(5):  # nobody waits for it a second time, whether he gets an old line or wants a new one
            with db.reading() as session, pytest.raises(OperationalError):
                session.execute(sa.text("SELECT 1"))
        assert time.monotonic() - began < 6 * SOON.silence + ROOM
        hole.open()
        time.sleep(SOON.silence)
        with db.writing() as session:
            assert session.execute(sa.text("SELECT 3")).scalar() == 3


def write_and_lose(db: Database, hole: Hole) -> None:
    with db.writing() as session:
        session.execute(sa.text("CREATE TABLE witness (id INTEGER)"))
        hole.shut()


def test_a_commit_that_was_swallowed_is_no_success(hole: Hole) -> None:
    with open_database(hole.url, waits=SOON) as db:
        with pytest.raises(OperationalError):
            write_and_lose(db, hole)
        hole.open()
        time.sleep(SOON.silence)
        with db.reading() as session:  # it arrived late, or never: both are right, as nobody was told it had been done
            assert session.execute(sa.text("SELECT count(*) FROM pg_class WHERE relname = 'witness'")).scalar() in (0, 1)


def test_a_new_line_to_a_server_that_says_nothing_is_not_waited_for_either(hole: Hole) -> None:
    with open_database(hole.url, waits=SOON) as db:
        db.read.dispose()
        hole.shut()
        began = time.monotonic()
        with db.reading() as session, pytest.raises(OperationalError):
            session.execute(sa.text("SELECT 1"))
        assert time.monotonic() - began < 2 + ROOM  # psycopg's shortest time for a connection
