"""What may not happen to the cases, refused by both databases under one name; holdings that follow the cases whatever is done."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.script import ScriptDirectory
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.store.facts import keep, settle
from api.store.record import Anchor, Book, verify
from api.store.setup import ALWAYS, initialise, opened
from api.store.tables import (
    CASES,
    INVARIANTS,
    TABLES,
    WHOLE,
    Account,
    Attachment,
    Attempt,
    CaseFile,
    Cases,
    Category,
    ChainHead,
    Cluster,
    Counter,
    Event,
    Holding,
    Part,
    Replay,
    Rule,
    Ruling,
    Side,
    Token,
    refusal,
)
from api.store.tables import Session as Login
from geodata.db.copying import check, copy, digest
from geodata.db.engine import Database, attach
from geodata.db.schema import alembic_config, included
from geodata.db.tables import Base
from tests.db.conftest import WORK_CRS, NewUrl
from tests.db.contents import fill as fill_map
from tests.store.rows import DAY, HOUR, NOON, case_file, clock, entry, job, moved, reporter

# ---- the schema ------------------------------------------------------------------------------------------------------


def test_every_row_comes_after_those_it_refers_to() -> None:
    assert set(TABLES) == {mapper.class_ for mapper in Cases.registry.mappers if mapper.class_.metadata is Cases.metadata}
    known = set(Base.metadata.tables)
    for model in TABLES:
        known.add(model.__tablename__)
        assert {key.column.table.name for key in model.table().foreign_keys} <= known, model


def test_the_migration_makes_what_the_models_say(database: Database) -> None:
    from alembic.runtime.migration import MigrationContext

    with database.reading() as session:
        options = {"compare_type": True, "include_object": included(CASES), "target_metadata": Cases.metadata}
        context = MigrationContext.configure(session.connection(), opts=options)
        assert compare_metadata(context, Cases.metadata) == []
        script = ScriptDirectory.from_config(alembic_config(session.connection(), CASES))
    assert script.get_heads() == [CASES.needed]


def test_the_migration_makes_what_create_all_makes(database: Database, new_url: NewUrl) -> None:
    """What the comparison does not look at too: checks, triggers, partial indexes."""
    from geodata.db import gpkg

    queries = {
        "embedded": "SELECT type || ' ' || name, sql FROM sqlite_master WHERE sql NOTNULL",
        "postgresql": (
            "SELECT 'index ' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' "
            "UNION ALL SELECT 'trigger ' || tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal "
            "UNION ALL SELECT 'constraint ' || conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid <> 0 "
            "UNION ALL SELECT 'column ' || table_name || '.' || column_name, data_type || is_nullable || coalesce(column_default, '') "
            "FROM information_schema.columns WHERE table_schema = 'public'"
        ),
    }

    def objects(db: Database) -> dict[str, list[str]]:
        """In whatever order the parts of a table are stated."""
        with db.reading() as session:
            rows = session.execute(sa.text(queries[db.kind])).all()
        return {
            name: sorted(" ".join(part.split()).strip(" ()") for part in text.split(",")) for name, text in rows if "alembic" not in name
        }

    with attach(new_url(), create=True) as made, made.writing() as session:
        connection = session.connection()
        if made.kind == "embedded":
            raw = connection.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            gpkg.create_base(raw)
        else:
            connection.execute(sa.text("CREATE EXTENSION postgis"))
        kept = [(table, set(table.indexes)) for metadata in (Base.metadata, Cases.metadata) for table in metadata.tables.values()]
        for metadata in (Base.metadata, Cases.metadata):
            metadata.create_all(connection)
        for table, indexes in kept:
            table.indexes |= indexes  # GeoAlchemy2 takes the spatial ones out of the tables for ever
        session.commit()
        assert objects(made) == objects(database)


def test_a_database_begins_with_its_vocabulary_its_rule_and_an_empty_record(database: Database) -> None:
    with database.reading() as session:
        (rule,) = session.scalars(sa.select(Rule)).all()
        assert (rule.name, rule.scope, rule.value, rule.since) == ("retention_days", "*", 1095, ALWAYS)
        assert "default" in rule.document
        head = session.get_one(ChainHead, 1)
        assert (head.event_id, set(head.hash)) == (0, {"0"})
        assert len(session.scalars(sa.select(Category.code)).all()) > 50


# ---- what is refused -------------------------------------------------------------------------------------------------


def refused(db: Database, act: Callable[[Session], object]) -> str | None:
    """By which name the database refuses; an act that goes through fails the test."""
    with pytest.raises(IntegrityError) as error, db.writing() as session:  # noqa: PT012 - it may refuse at the flush, or at the end
        act(session)
        session.flush()
        session.commit()
    return refusal(error.value)


def run(text: str, **given: Any) -> Callable[[Session], object]:
    return lambda session: session.execute(sa.text(text), given)


@pytest.fixture
def case(database: Database) -> int:
    """One case, held by the duty squad, with all that may hang on it."""
    with database.writing() as session:
        row = case_file(session, "1")
        session.add(row)
        session.flush()
        session.add_all([
            reporter(row),
            Part(case_id=row.id, squad="duty", part="holds", open=True, rank=2, received_at=NOON),
            Ruling(case_id=row.id, squad="A", document="1号文", by="局长", at=NOON, standing="offered", draft_id=None, closed_by=None,
                   closed_at=None),
            clock(row, squad="A"), clock(row, squad="B", stopped_at=NOON + HOUR, outcome="sign"),
            job(),
        ])  # fmt: skip
    return int(row.id)


def in_db(database: Database, value: datetime) -> Any:
    from geodata.db.both import instant_text

    return instant_text(value) if database.kind == "embedded" else value


REFUSED: dict[str, tuple[str, str]] = {
    # What is tried: what refuses it, and how it is tried. Two names: both would, and which comes first is each database's own business.
    # a case
    "a version that stays": ("case_file_step", "UPDATE case_file SET changed_at = :later"),
    "a version that jumps": ("case_file_step", "UPDATE case_file SET version = version + 2, changed_at = :later"),
    "a version that goes back": ("case_file_step", "UPDATE case_file SET version = version - 1, changed_at = :later"),
    "a change at the same instant": ("case_file_step", "UPDATE case_file SET version = version + 1"),
    "a change before the last": ("case_file_step", "UPDATE case_file SET version = version + 1, changed_at = :earlier"),
    "another number": ("case_file_step", "UPDATE case_file SET version = version + 1, changed_at = :later, number = '2'"),
    "another key": ("case_file_step", "UPDATE case_file SET version = version + 1, changed_at = :later, key = 'x'"),
    "received at another time": (
        "case_file_step",
        "UPDATE case_file SET version = version + 1, changed_at = :later, received_at = :earlier",
    ),
    "made by another": ("case_file_step", "UPDATE case_file SET version = version + 1, changed_at = :later, created_by = 'x'"),
    "a case removed": ("case_file_step", "DELETE FROM case_file"),
    "closed but open": ("ck_case_file_open", "UPDATE case_file SET version = version + 1, changed_at = :later, state = 'closed'"),
    "open but closed": ("ck_case_file_open", "UPDATE case_file SET version = version + 1, changed_at = :later, open = false"),
    "a state there is not": (
        "ck_case_file_state",
        "UPDATE case_file SET version = version + 1, changed_at = :later, state = 'x', open = false",
    ),
    "a rank there is not": ("ck_case_file_rank", "UPDATE case_file SET version = version + 1, changed_at = :later, rank = 3"),
    "half a place": ("ck_case_file_place", "UPDATE case_file SET version = version + 1, changed_at = :later, x_mm = 1"),
    "a map there is not": ("foreign_key", "UPDATE case_file SET version = version + 1, changed_at = :later, map_version = 'x'"),
    "no holder": ("not_null", "UPDATE case_file SET version = version + 1, changed_at = :later, holder = NULL"),
    # who holds it
    "a holding closed by hand": ("holding_goes_on", "UPDATE holding SET until = :later"),
    "a holding of another": ("holding_frozen holding_goes_on", "UPDATE holding SET squad = 'B'"),
    "a holding that began before": ("holding_frozen holding_goes_on", "UPDATE holding SET since = :earlier"),
    "a holding removed": ("holding_frozen", "DELETE FROM holding"),
    "a second holder": ("holding_of_holder", "INSERT INTO holding (case_id, squad, since) SELECT id, 'B', :later FROM case_file"),
    "the holder once more": (
        "uq_holding_now uq_holding_case_id_since",
        "INSERT INTO holding (case_id, squad, since) SELECT id, holder, changed_at FROM case_file",
    ),
    "a second part that holds": (
        "uq_case_part_holds",
        "INSERT INTO case_part (case_id, squad, part, open, rank, received_at) "
        "SELECT case_id, 'B', part, open, 2, received_at FROM case_part",
    ),
    "a part there is not": ("ck_case_part_part", "UPDATE case_part SET part = 'x'"),
    # the rest
    "a ruling altered": ("ruling_frozen", "UPDATE ruling SET document = '2号文'"),
    "a ruling for another squad": ("ruling_frozen", "UPDATE ruling SET squad = 'B', standing = 'taken'"),
    "a ruling removed": ("ruling_frozen", "DELETE FROM ruling"),
    "an event altered": ("event_append_only", "UPDATE event SET actor = 'x'"),
    "an event removed": ("event_append_only", "DELETE FROM event"),
    "a head that stays": ("chain_head_forward", "UPDATE chain_head SET hash = 'x'"),
    "a head that goes back": ("chain_head_forward", "UPDATE chain_head SET event_id = 0"),
    "a head removed": ("chain_head_forward", "DELETE FROM chain_head"),
    "a second head": ("ck_chain_head_one", "INSERT INTO chain_head (id, event_id, hash) VALUES (2, 9, 'x')"),
    # time
    "a limit altered": ("limit_rule_frozen", "UPDATE limit_rule SET amount = 1"),
    "a limit that ended before it began": ("ck_limit_rule_period", "UPDATE limit_rule SET until = since"),
    "a limit removed": ("limit_rule_frozen", "DELETE FROM limit_rule"),
    "a limit of nothing": (
        "ck_limit_rule_amount",
        "INSERT INTO limit_rule (step, milestone, amount, unit, since, document, preset) "
        "SELECT step, milestone, 0, unit, since, document, preset FROM limit_rule",
    ),
    "a rung altered": ("escalation_frozen", "UPDATE escalation SET effect = 'notice'"),
    "a rung removed": ("escalation_frozen", "DELETE FROM escalation"),
    "a rung at no time": (
        "ck_escalation_when",
        "INSERT INTO escalation (effect, since, document, preset) SELECT effect, since, document, preset FROM escalation",
    ),
    "a clock that was stopped goes on": (
        "clock_stopped", "UPDATE clock SET stopped_at = NULL, outcome = NULL WHERE stopped_at IS NOT NULL",
    ),
    "a clock begun at another time": ("clock_stopped", "UPDATE clock SET started_at = :earlier"),
    "a clock of another squad": ("clock_stopped", "UPDATE clock SET squad = 'C'"),
    "a clock removed": ("clock_stopped", "DELETE FROM clock"),
    "a clock that stopped without a reason": ("ck_clock_outcome", "UPDATE clock SET stopped_at = :later WHERE stopped_at IS NULL"),
    "a job that is held by nobody": ("ck_job_lease", "UPDATE job SET leased_until = :later"),
    "a job that is done and dead": ("ck_job_end", "UPDATE job SET done_at = :later, dead_at = :later"),
    "a rule for less than no time": ("ck_rule_period", "UPDATE rule SET until = since"),
    "a rule below nothing": ("ck_rule_value", "UPDATE rule SET value = -1"),
}


@pytest.fixture
def recorded(database: Database, case: int, tmp_path: Path) -> int:
    with Book(database, Anchor(tmp_path / "anchor")).writing() as page:
        page.enter(entry(case_id=case))
    return case


@pytest.mark.parametrize("what", list(REFUSED))
def test_it_is_refused_by_name(database: Database, recorded: int, what: str) -> None:
    names, text = REFUSED[what]
    given = {"later": in_db(database, NOON + HOUR), "earlier": in_db(database, NOON - HOUR)}
    assert refused(database, run(text, **{key: value for key, value in given.items() if f":{key}" in text})) in names.split()


def test_every_invariant_is_among_them() -> None:
    tried = {name for names, _ in REFUSED.values() for name in names.split()}
    assert {each.name for each in INVARIANTS} - {"keep_holdings"} <= tried


def test_no_table_of_them_is_emptied_at_once(new_postgresql: NewUrl) -> None:
    """TRUNCATE, which no row trigger sees; SQLite has none."""
    from tests.store.rows import prepared

    with opened(prepared(new_postgresql(initialised=True))) as db:
        for table, name in (("holding", "holding_frozen"), ("event", "event_append_only"), ("chain_head", "chain_head_forward"),
                            ("ruling", "ruling_frozen"), ("clock", "clock_stopped"), ("limit_rule", "limit_rule_frozen")):  # fmt: skip
            assert refused(db, run(f"TRUNCATE {table} CASCADE")) == name


def test_what_is_unique_is_not_there_twice(database: Database, recorded: int) -> None:
    def account(**other: Any) -> Account:
        plain: dict[str, Any] = {"id": "a", "name": "王", "role": "operator", "squad": None, "password": None, "subject": None,
                                 "created_at": NOON, "closed_at": None}  # fmt: skip
        return Account(**{**plain, **other})

    with database.writing() as session:
        session.add(account(subject="iss|1"))
    twice: dict[str, Callable[[Session], object]] = {
        "uq_account_name": lambda s: s.add(account(id="b")),
        "uq_account_subject": lambda s: s.add(account(id="b", name="李", subject="iss|1")),
        "uq_case_file_number": lambda s: s.add(case_file(s, "1")),
        "uq_job_key": lambda s: s.add(job()),
        "uq_clock_running": lambda s: s.add(clock(s.scalars(sa.select(CaseFile)).one(), squad="A")),
        "uq_event_prev": lambda s: s.execute(
            sa.text("INSERT INTO event SELECT 2, case_id, kind, actor, role, squad, at, body, words, prev, 'x' FROM event")
        ),
        "uq_event_hash": lambda s: s.execute(
            sa.text("INSERT INTO event SELECT 2, case_id, kind, actor, role, squad, at, body, words, 'x', hash FROM event")
        ),
        "pk_rule": lambda s: s.add(Rule(name="retention_days", scope="*", since=ALWAYS, until=None, value=1, document="x")),
    }
    for name, act in twice.items():
        assert refused(database, act) == name

    def second_reporter(session: Session) -> None:
        case = case_file(session, "2")
        session.add(case)
        session.flush()
        session.add(reporter(case, key="key of 1"))

    assert refused(database, second_reporter) == "uq_reporter_key"


def test_a_replacing_insert_does_not_walk_past(new_embedded: NewUrl) -> None:
    from tests.store.rows import prepared

    with opened(prepared(new_embedded(initialised=True))) as db:
        with db.writing() as session:
            session.add(case_file(session, "1"))
        text = "INSERT OR REPLACE INTO chain_head (id, event_id, hash) VALUES (1, 7, 'x')"
        assert refused(db, run(text)) == "chain_head_forward"
        assert refused(db, run("INSERT OR REPLACE INTO holding SELECT id, case_id, 'B', since, until FROM holding")) is not None


# ---- who holds a case ------------------------------------------------------------------------------------------------


def holdings(session: Session, case: int) -> list[tuple[str, datetime, datetime | None]]:
    rows = session.execute(sa.select(Holding.squad, Holding.since, Holding.until).where(Holding.case_id == case).order_by(Holding.since))
    return [tuple(row) for row in rows]


def test_holdings_follow_the_case_through_transfer_close_and_reopen(database: Database, case: int) -> None:
    steps: list[dict[str, Any]] = [
        {"state": "dispatched", "holder": "A"}, {"state": "handling"}, {"state": "return_requested"},
        {"state": "dispatched", "holder": "B"}, {"state": "feedback"}, {"state": "closed", "open": False},
        {"state": "followed_up"}, {"state": "handling", "open": True, "holder": "C"}, {"state": "void", "open": False},
        {"state": "archived"},
    ]  # fmt: skip
    for step in steps:
        with database.writing() as session:
            moved(session.get_one(CaseFile, case), **step)
    at = [NOON + k * HOUR for k in range(11)]
    with database.reading() as session:
        assert holdings(session, case) == [("duty", at[0], at[1]), ("A", at[1], at[4]), ("B", at[4], at[6]), ("C", at[8], at[9])]


def test_a_case_that_comes_in_closed_is_held_by_nobody(database: Database) -> None:
    with database.writing() as session:
        row = case_file(session, "1", state="not_accepted", open=False)
        session.add(row)
    with database.reading() as session:
        assert holdings(session, row.id) == []


def test_g4_exactly_one_holder_at_every_instant_of_every_open_case(database: Database) -> None:
    """Random lives of many cases, against a list kept beside them."""
    rng = random.Random(int(os.environ.get("SEED", "4")))
    with database.writing() as session:
        rows = [case_file(session, f"{n}") for n in range(20)]
        session.add_all(rows)
    told = {row.id: [(NOON, "duty", True)] for row in rows}
    for _ in range(300):
        case = rng.choice(list(told))
        with database.writing() as session:
            row = session.get_one(CaseFile, case)
            open_ = rng.random() < 0.8
            state = rng.choice(["handling", "dispatched", "suspended"] if open_ else ["closed", "void", "archived"])
            holder = rng.choice("ABC")
            moved(row, rng.choice([HOUR, DAY, DAY / 86_400_000]), state=state, open=open_, holder=holder)
            told[case].append((row.changed_at, holder, open_))
    with database.reading() as session:
        for case, steps in told.items():
            expected: list[list[Any]] = []
            for at, holder, open_ in steps:
                held = bool(expected) and expected[-1][2] is None
                if held and (not open_ or expected[-1][0] != holder):
                    expected[-1][2] = at
                    held = False
                if open_ and not held:
                    expected.append([holder, at, None])
            assert holdings(session, case) == [tuple(each) for each in expected]
    assert check(database.path or _url(database), WHOLE) == ()


def _url(database: Database) -> str:
    return database.read.url.render_as_string(hide_password=False)


# ---- copying ---------------------------------------------------------------------------------------------------------


DECISION = {"squad": "A", "assist": ["B"], "step": "border", "runner_up": "B", "place": {"wgs84": [113.6, 34.8]}}


def fill(db: Database, anchor: Anchor) -> None:
    """Something in every table of the cases."""
    with db.writing() as session:
        fill_map(session)
    with db.writing() as session:
        account = {"id": "a", "name": "王", "role": "operator", "squad": None, "password": "$a", "subject": "iss|1"}
        session.add(Account(**account, created_at=NOON, closed_at=NOON + DAY))
        session.flush()
        session.add(Login(id="s", account_id="a", epoch=0, csrf="c", created_at=NOON, seen_at=NOON, expires_at=NOON + DAY, ended_at=None))
        session.add(Token(id="t", name="热线", role="machine", squad="A", created_by="a", created_at=NOON, expires_at=None, ended_at=NOON))
        session.add(Attempt(who="w", whence="x", at=NOON))
        cluster = Cluster(category="x", lead="A", squads=["A", "B"], opened_at=NOON, opened_by="a", closed_at=None)
        session.add(cluster)
        session.flush()
        row = case_file(session, "1", cluster_id=cluster.id, x_mm=2**40, y_mm=-1, error_m=0.1, words=b"\0\xff", reasons=[{"a": 1.5}])
        session.add_all([row, case_file(session, "2", state="closed", open=False)])
        session.flush()
        session.add_all([
            reporter(row, sealed=bytes(range(256)), keep_until=NOON + DAY),
            Part(case_id=row.id, squad="duty", part="holds", open=True, rank=2, received_at=NOON),
            Side(case_id=row.id, kind="urge", squad=None, opened_at=NOON, opened_by="a", due=None, closed_at=None, closed_by=None,
                 outcome=None),
            Ruling(case_id=row.id, squad="A", document="1", by="a", at=NOON, standing="offered", draft_id=None, closed_by=None,
                   closed_at=None),
            Attachment(id="f", case_id=row.id, at=NOON, by="a", squad=None, media_type="image/png", size=3, sha256="x", name=b"n",
                       data=b"\0" * 5000),
            Counter(name="2026-11-02", value=7), clock(row, told=[1, 2], paused_for=7), job(error="x"),
            Replay(account="a", key="k", request="r", at=NOON, status=201, headers={"ETag": "x"}, body={"number": "1"}),
        ])  # fmt: skip
        came = {"number": "1", "state": "received", "holder": "duty", "category": "x", "decision": DECISION}
        for made, at_once in ((row, 3), (session.scalars(sa.select(CaseFile).where(CaseFile.number == "2")).one(), 0)):
            keep(session, made, entry("received", case_id=made.id, body=came), UTC)
            settle(session, at_once)
    book = Book(db, anchor)
    for squad in ("A", "B", "duty"):
        with book.writing() as page:
            moved(page.session.get_one(CaseFile, row.id), holder=squad, state="dispatched")
            page.enter(entry("dispatched", case_id=row.id, squad=squad, body={"m": 0.1 + 0.2, "中": [None, -0.0]}, words=b"\0x"))


def test_a_copy_either_way_is_the_same_and_its_record_verifies(new_url: NewUrl, other_url: NewUrl, tmp_path: Path) -> None:
    source, middle, back, anchor = new_url(), other_url(), new_url(), Anchor(tmp_path / "anchor")
    initialise(source, WORK_CRS)
    with opened(source) as db:
        fill(db, anchor)
        with db.reading() as session:
            for model in TABLES:
                assert session.scalar(sa.select(sa.func.count()).select_from(model.table())), f"{model} has no row to be copied"
    hashes = digest(source, WHOLE)
    for there in (copy(source, middle, WHOLE), copy(middle, back, WHOLE)):
        assert there.tables == hashes
    for url in (middle, back):
        assert digest(url, WHOLE) == hashes
        assert check(url, WHOLE) == ()
        with opened(url) as db:
            with db.reading() as session:
                assert list(verify(session, anchor)) == []
                case = session.scalars(sa.select(CaseFile.id).where(CaseFile.number == "1")).one()
                assert [squad for squad, _, _ in holdings(session, case)] == ["duty", "A", "B", "duty"]
            with Book(db, Anchor(tmp_path / "elsewhere")).writing() as page:  # and it goes on
                page.session.add(case_file(page.session, "3"))
                page.enter(entry())
            with db.reading() as session:
                assert session.scalar(sa.select(sa.func.max(Event.id))) == 4
