"""A whole installation there and back again, backups under way, and what the check finds."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from geodata.db import Database, open_database
from geodata.db.copying import BackupExists, CopyDiffers, DestinationNotEmpty, Finding, backup, check, copy, digest
from geodata.db.engine import CannotOpenDatabase, attach
from geodata.db.schema import initialise
from geodata.db.tables import TABLES, Draft, Feature, Publication
from geodata.written import CannotWrite
from tests.db.contents import DAY, NOON, feature, fill, publication

NewUrl = Callable[..., str]


@pytest.fixture
def filled(url: str) -> str:
    with open_database(url) as db, db.writing() as session:
        fill(session)
    return url


def test_to_the_other_kind_and_back(filled: str, other_url: NewUrl, new_url: NewUrl) -> None:
    there, back = other_url(), new_url()
    out, home = copy(filled, there), copy(there, back)
    assert out.tables == home.tables == digest(filled) == digest(there) == digest(back)
    assert {each.table: each.rows for each in out.tables}["feature"] == 7
    assert out.rows == sum(each.rows for each in out.tables) > 25
    assert all(each.rows for each in out.tables)  # no table's copying goes untested
    assert check(there) == check(back) == ()
    columns = [column for column in Feature.table().columns if column.name != "geom"]
    rows = []
    for url in (filled, there, back):
        with open_database(url) as db, db.reading() as session:
            rows.append(session.execute(sa.select(*columns).order_by(Feature.id)).all())
    assert rows[0] == rows[1] == rows[2]


def test_the_same_rows_have_the_same_digest_on_both(filled: str, other_url: NewUrl) -> None:
    """Written by themselves, not copied."""
    other = other_url(initialised=True)
    with open_database(other) as db, db.writing() as session:
        fill(session)
    here, there = digest(filled), digest(other)
    assert here[1:] == there[1:]  # the installations were made at different times
    assert here[0].rows == there[0].rows == 1


def test_after_copying_counting_goes_on(filled: str, other_url: NewUrl) -> None:
    there = other_url()
    copy(filled, there)
    with open_database(there) as db, db.writing() as session:
        session.add(feature("one more"))
        row = session.scalars(sa.select(Publication).where(Publication.valid_to.is_(None))).one()
        row.valid_to = row.closed_at = NOON
        session.flush()
        session.add(publication(row.version_hash, NOON))
    assert check(there) == ()


def test_more_rows_than_a_batch(url: str, other_url: NewUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the key is of two columns, and one part of it repeats across batches."""
    monkeypatch.setattr("geodata.db.copying.BATCH", 2)
    with open_database(url) as db, db.writing() as session:
        fill(session)
    there = other_url()
    assert copy(url, there).tables == digest(there)
    assert {each.table: each.rows for each in digest(there)}["member"] == 7


def test_a_destination_with_anything_in_it_is_refused(filled: str, other_url: NewUrl, new_url: NewUrl) -> None:
    for destination in (other_url(initialised=True), new_url(initialised=True), filled):
        before = digest(destination)
        with pytest.raises(DestinationNotEmpty):
            copy(filled, destination)
        assert digest(destination) == before


def test_a_copy_that_differs_leaves_nothing(filled: str, other_url: NewUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    there = other_url()
    real = copy.__globals__["_fit"]
    monkeypatch.setitem(copy.__globals__, "_fit", lambda row: real(row) | ({"reason": "!"} if "reason" in row else {}))
    with pytest.raises(CopyDiffers, match="publication"):
        copy(filled, there)
    monkeypatch.undo()
    with attach(there) as db, db.reading() as session:
        assert all(session.scalar(sa.select(sa.func.count()).select_from(model)) == 0 for model in TABLES)
    copy(filled, there)


def test_a_copy_needs_a_folder(filled: str, tmp_path: Path) -> None:
    with pytest.raises(CannotOpenDatabase, match="no folder"):
        copy(filled, tmp_path / "none" / "x.db")


# ---- backup ----------------------------------------------------------------------------------------------------------


def test_a_backup_is_a_database(filled: str, tmp_path: Path) -> None:
    path = tmp_path / "backup.db"
    report = backup(filled, path)
    assert sorted(file.name for file in tmp_path.glob("backup*")) == ["backup.db"]
    header = path.read_bytes()[:100]
    assert header[18:20] == b"\1\1"  # rollback mode: nothing beside it
    assert header[68:72] == b"GPKG"
    assert report.tables == digest(filled) == digest(path)
    assert check(path) == ()


def test_a_backup_is_never_written_over(filled: str, tmp_path: Path) -> None:
    path = tmp_path / "backup.db"
    path.write_bytes(b"precious")
    with pytest.raises(BackupExists):
        backup(filled, path)
    assert path.read_bytes() == b"precious"
    with pytest.raises(CannotWrite):
        backup(filled, tmp_path / "none" / "backup.db")


def test_a_backup_of_a_database_that_is_written_to(url: str, tmp_path: Path) -> None:
    """Every edit is in one draft and counted in its revision, in one transaction: a backup has as many edits as it says."""
    begun, stop = threading.Event(), threading.Event()

    def write() -> None:
        while not stop.is_set():
            with db.writing() as session:
                draft = session.get(Draft, "d")
                assert draft is not None
                draft.revision += 1
                session.add(feature(str(draft.revision)))
            begun.set()

    with open_database(url) as db:
        with db.writing() as session:
            session.add(Draft(id="d", name="n", author="a", state="s", created_at=NOON))
        thread = threading.Thread(target=write)
        thread.start()
        try:
            assert begun.wait(30)
            for k in range(3):
                backup(url, tmp_path / f"{k}.db")
        finally:
            stop.set()
            thread.join()
    seen = []
    for k in range(3):
        assert check(tmp_path / f"{k}.db") == ()
        with open_database(tmp_path / f"{k}.db") as copied, copied.reading() as session:
            revision, features = (
                session.scalar(sa.select(Draft.revision)),
                session.scalar(sa.text("SELECT count(*) FROM feature")),
            )
            assert revision == features
            seen.append(revision)
    assert seen == sorted(set(seen))
    assert seen[0]


# ---- check -----------------------------------------------------------------------------------------------------------


def test_a_sound_database_has_no_findings(filled: str) -> None:
    assert check(filled) == ()


def _tamper(url: str, *statements: str) -> None:
    """As somebody would who owns the file or the server: past every trigger."""
    with attach(url) as db, db.writing() as session:
        connection = session.connection()
        if db.kind == "postgresql":
            connection.exec_driver_sql("SET session_replication_role = replica")
            for statement in statements:
                connection.exec_driver_sql(statement)
            connection.exec_driver_sql("SET session_replication_role = origin")
            return
    foreign = sqlite3.connect(url, isolation_level=None)
    triggers = foreign.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        foreign.execute(f'DROP TRIGGER "{name}"')
    for statement in statements:
        foreign.execute(statement)
    for _, text in triggers:
        foreign.execute(text)
    foreign.close()


TAMPERED = {
    "a fact": ("UPDATE feature SET facts = '{\"priority\":2}' WHERE code = '01'", {"feature_altered"}),
    "the ground": ("UPDATE feature SET ground = NULL WHERE code = '01'", {"feature_altered"}),
    "an instant": ("UPDATE feature SET until = since WHERE code = '01'", {"feature_altered"}),
    "a float among facts": ("UPDATE feature SET facts = '{\"w\":1.5}' WHERE code = '01'", {"feature_altered"}),
    "a code": ("UPDATE feature SET code = 'x' WHERE code = '01'", {"feature_altered", "version_altered"}),
    "a member gone": ("DELETE FROM member WHERE code = '01'", {"version_altered"}),
    "a member's code": ("UPDATE member SET code = 'x' WHERE code = '01'", {"version_altered"}),
    "settings": ("UPDATE map_version SET settings = '{}'", {"version_altered"}),
    "the work CRS": ("UPDATE installation SET work_crs = 'EPSG:4549'", {"version_altered"}),
    "a feature gone": ("DELETE FROM feature WHERE code = '01'", {"version_altered", "reference_broken"}),
    "a draft gone": ("DELETE FROM draft", {"reference_broken"}),
    "a publication moved": (
        "UPDATE publication SET valid_from = (SELECT min(valid_from) FROM publication) WHERE valid_to IS NULL",
        {"periods_overlap"},
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_the_check_finds_what_was_tampered_with(filled: str, what: str, kind: str) -> None:
    statement, codes = TAMPERED[what]
    if what == "a publication moved" and kind == "postgresql":
        pytest.skip("an exclusion constraint cannot be passed by")
    _tamper(filled, statement)
    found = check(filled)
    seen = {each.code for each in found}
    if "feature" in statement and "DELETE" in statement and kind == "embedded":
        seen.discard("index_differs")
    assert seen == codes
    for each in found:
        assert each.text("zh-CN") != each.text("en")


def test_the_check_finds_a_missing_invariant(filled: str, kind: str) -> None:
    with attach(filled) as db, db.writing() as session:
        on = " ON feature" if kind == "postgresql" else ""
        session.execute(sa.text(f"DROP TRIGGER feature_frozen_delete{on}"))
    assert check(filled) == (Finding("invariant_missing", "feature", "feature_frozen_delete"),)


INDEX = {
    "a row too many": "INSERT INTO rtree_feature_geom VALUES (999, 0, 1, 0, 1)",
    "a row too few": "DELETE FROM rtree_feature_geom WHERE id = 1",
    "a box elsewhere": "UPDATE rtree_feature_geom SET minx = 1, maxx = 2 WHERE id = 1",
}


@pytest.mark.parametrize("what", INDEX)
def test_the_check_compares_the_spatial_index(new_embedded: NewUrl, what: str) -> None:
    url = new_embedded(initialised=True)
    with open_database(url) as db, db.writing() as session:
        fill(session)
        session.execute(sa.text(INDEX[what]))
    assert {each.code for each in check(url)} == {"index_differs"}


def test_the_check_reads_every_page(new_embedded: NewUrl) -> None:
    path = Path(new_embedded(initialised=True))
    with open_database(path) as db, db.writing() as session:
        fill(session)
    root = (
        sqlite3.connect(path)
        .execute("SELECT rootpage FROM sqlite_master WHERE name = 'ix_feature_layer_code'")
        .fetchone()[0]
    )
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[16:18], "big")
    data[(root - 1) * size + size - 40 : root * size] = bytes(40)
    path.write_bytes(data)
    assert "file_damaged" in {each.code for each in check(path)}


def test_two_installations_differ_only_where_they_should(url: str, new_url: NewUrl) -> None:
    other = new_url()
    initialise(other, "EPSG:4549")
    assert [a == b for a, b in zip(digest(url), digest(other), strict=True)] == [False] + [True] * (len(TABLES) - 1)


def test_an_empty_installation_is_copied(url: str, other_url: NewUrl) -> None:
    there = other_url()
    assert copy(url, there).rows == 1
    with open_database(there) as db, db.writing() as session:
        session.add(feature("first", since=NOON + timedelta(days=1), until=NOON + 2 * DAY))
    assert check(there) == ()


def test_a_database_stays_open_while_copied(filled: str, other_url: NewUrl) -> None:
    with open_database(filled) as db:
        assert isinstance(db, Database)
        copy(filled, other_url())
        with db.writing() as session:
            session.add(feature("meanwhile"))
