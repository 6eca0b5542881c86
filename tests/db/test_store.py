"""Versions and publications, on both databases."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from geodata import store
from geodata.db import tables as t
from geodata.db.copying import copy
from geodata.db.engine import Database, open_database
from geodata.layer import content_hash
from geodata.store import (
    BaseOutdated,
    BeforeTheLast,
    InThePast,
    NothingInForce,
    Signing,
    UnknownVersion,
    Version,
    as_of,
    in_force,
    publish,
    published,
    read_rows,
    read_version,
    roll_back,
    version_of,
)
from routing.jurisdiction import JurisdictionMap
from tests.db.conftest import NewUrl
from tests.db.worlds import SETTINGS, city

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)
ME = Signing("王", "首次发布", "1号文", ({"side": "all", "signer": "李", "role": "superior"},))


@pytest.fixture(scope="module")
def first() -> Version:
    return version_of(city(), SETTINGS)


@pytest.fixture(scope="module")
def second() -> Version:
    return version_of(city(seed=1), SETTINGS)


def test_a_version_comes_back_as_it_went_in(database: Database, first: Version) -> None:
    publish(database, first, ME, now=NOW)
    with database.reading() as session:
        back = read_version(session, first.hash)
        assert content_hash(back.rows, back.settings) == first.hash
        assert [r.hash for r in back.rows] == [r.hash for r in first.rows]
        assert back.map.version == first.map.version
        assert in_force(session, NOW).version == first.hash
        with pytest.raises(NothingInForce):
            in_force(session, NOW - DAY)
        with pytest.raises(UnknownVersion):
            read_version(session, "x")
    again = version_of(back.rows, back.settings)
    assert (again.hash, again.data) == (first.hash, first.data)


def test_a_version_takes_over_at_its_instant_and_not_before(database: Database, first: Version, second: Version) -> None:
    one = publish(database, first, ME, now=NOW, valid_from=NOW - 400 * DAY)
    two = publish(database, second, ME, now=NOW, valid_from=NOW + 3 * DAY, base=one.id)
    tick = timedelta(microseconds=1)
    with database.reading() as session:
        assert in_force(session, NOW - 399 * DAY).id == one.id
        assert in_force(session, NOW + 3 * DAY - tick).id == one.id
        assert in_force(session, NOW + 3 * DAY).id == two.id


def test_what_was_known_when_and_what_held_when_are_two_questions(database: Database, first: Version, second: Version) -> None:
    one = publish(database, first, ME, now=NOW)
    two = publish(database, second, ME, now=NOW + DAY, valid_from=NOW + 5 * DAY, base=one.id)
    three = roll_back(database, first.hash, ME, now=NOW + 2 * DAY, valid_from=NOW + 5 * DAY)
    with database.reading() as session:
        thought = [as_of(session, NOW + 6 * DAY, NOW + k * DAY).id for k in (0, 1, 2)]
        assert thought == [one.id, two.id, three.id]
        assert [p.withdrawn for p in published(session)] == [False, True, False]
        assert in_force(session, NOW + 6 * DAY).version == first.hash


def test_nothing_is_published_into_the_past_or_over_what_somebody_else_published(
    database: Database, first: Version, second: Version
) -> None:
    one = publish(database, first, ME, now=NOW)
    with pytest.raises(InThePast):
        publish(database, second, ME, now=NOW + DAY, valid_from=NOW, base=one.id)
    two = publish(database, second, ME, now=NOW + DAY, valid_from=NOW + 5 * DAY, base=one.id)
    with pytest.raises(BaseOutdated):
        publish(database, first, ME, now=NOW + DAY, base=one.id)
    with pytest.raises(BaseOutdated):
        publish(database, first, ME, now=NOW + DAY)
    with pytest.raises(BeforeTheLast):
        publish(database, first, ME, now=NOW + DAY, base=two.id)
    with database.reading() as session:
        assert [p.id for p in published(session)] == [one.id, two.id]


def test_rows_said_twice_are_kept_once(database: Database, first: Version) -> None:
    one = publish(database, first, ME, now=NOW)
    changed = [r for r in city() if r.code != "u00"] + city(seed=0)[:1]
    other = version_of([*changed[:-1], changed[-1]], SETTINGS)
    publish(database, other, ME, now=NOW + DAY, base=one.id)
    with database.reading() as session:
        count = session.scalar(sa.select(sa.func.count()).select_from(t.Feature))
        assert count == len({r.hash for v in (first, other) for r in v.rows})
        assert len(read_rows(session, other.hash)) == len(other.rows)


STATEMENTS = [
    "UPDATE feature SET name = 'x'",
    "DELETE FROM member",
    "UPDATE map_version SET author = 'x'",
    "DELETE FROM compiled",
    "UPDATE publication SET version_hash = 'x'",
    "DELETE FROM publication",
    "UPDATE publication SET valid_to = valid_from",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_database_itself_refuses_to_change_what_was_published(database: Database, first: Version, statement: str) -> None:
    publish(database, first, ME, now=NOW)
    with pytest.raises(IntegrityError), database.writing() as session:
        session.execute(sa.text(statement))


def test_a_failed_publication_leaves_the_old_version_wholly_in_force(
    database: Database, first: Version, second: Version
) -> None:
    one = publish(database, first, ME, now=NOW)

    def fail(_: object) -> None:
        raise RuntimeError("power")

    with pytest.raises(RuntimeError):
        publish(database, second, ME, now=NOW + DAY, base=one.id, then=fail)
    with database.reading() as session:
        assert [p.valid_to for p in published(session)] == [None]
        assert session.get(t.MapVersion, second.hash) is None
        assert len(session.scalars(sa.select(t.Feature.hash)).all()) == len(first.rows)


def test_a_copy_on_the_other_database_has_every_hash(url: str, other_url: NewUrl, first: Version, second: Version) -> None:
    with open_database(url) as db:
        one = publish(db, first, ME, now=NOW)
        publish(db, second, ME, now=NOW, base=one.id)
    there, back = other_url(), None
    copy(url, there)
    with open_database(there) as db, db.reading() as session:
        assert [p.version for p in published(session)] == [first.hash, second.hash]
        back = read_version(session, second.hash)
        assert version_of(back.rows, back.settings).data == second.data


def test_compiled_maps_are_opened_once(database: Database, first: Version, second: Version) -> None:
    publish(database, first, ME, now=NOW)
    maps = store.Maps(keep=1)
    with database.reading() as session:
        assert maps.of(session, first.hash) is maps.of(session, first.hash)
        with pytest.raises(UnknownVersion):
            maps.of(session, second.hash)


def test_who_asks_for_one_map_does_not_wait_for_another(
    database: Database, first: Version, second: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a new map is verified, the one in force goes on answering."""
    one = publish(database, first, ME, now=NOW)
    publish(database, second, ME, now=NOW, base=one.id)
    maps, begun, go_on = store.Maps(), threading.Event(), threading.Event()
    with database.reading() as session:
        maps.of(session, first.hash)

    def held(data: bytes) -> JurisdictionMap:
        begun.set()
        assert go_on.wait(60)
        return opened(data)

    opened = store.opened
    monkeypatch.setattr(store, "opened", held)

    def ask() -> None:
        with database.reading() as other:
            maps.of(other, second.hash)

    def again() -> None:
        with database.reading() as other:
            maps.of(other, first.hash)

    new, old = threading.Thread(target=ask), threading.Thread(target=again, daemon=True)
    new.start()
    assert begun.wait(60)
    old.start()
    old.join(30)
    answered = not old.is_alive()
    go_on.set()
    new.join(60)
    assert answered
