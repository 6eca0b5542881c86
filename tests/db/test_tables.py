"""What the database itself forbids, on both databases and under one name."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import shapely
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from geodata.db import Database
from geodata.db.both import Both, kind_of, violated
from geodata.db.tables import (
    INVARIANTS,
    TABLES,
    Base,
    Compiled,
    Defect,
    DraftEdit,
    Feature,
    Installation,
    MapVersion,
    Member,
    Publication,
    refusal,
)
from tests.db.contents import DAY, NOON, feature, fill, publication, version

FROZEN = {
    Installation: "installation_frozen",
    Feature: "feature_frozen",
    MapVersion: "map_version_frozen",
    Member: "member_frozen",
    Compiled: "compiled_frozen",
    DraftEdit: "draft_edit_append_only",
}


@contextmanager
def refused(name: str) -> Iterator[None]:
    with pytest.raises(IntegrityError) as caught:
        yield
    assert refusal(caught.value) == name


def run(database: Database, *statements: Any) -> None:
    with database.writing() as session:
        for statement in statements:
            session.execute(sa.text(statement) if isinstance(statement, str) else statement)


@pytest.fixture
def filled(database: Database) -> Database:
    with database.writing() as session:
        fill(session)
    return database


@pytest.mark.parametrize("model", FROZEN, ids=lambda model: model.__tablename__)
def test_recorded_content_is_frozen(filled: Database, model: type[Base]) -> None:
    table, name = model.table(), FROZEN[model]
    for column in table.columns:
        with refused(name):
            run(filled, f"UPDATE {table.name} SET {column.name} = {column.name}")
    with refused(name):
        run(filled, f"DELETE FROM {table.name}")
    if filled.kind == "postgresql":
        with refused(name):
            run(filled, f"TRUNCATE {table.name} CASCADE")
    else:
        some = ", ".join(column.name for column in table.columns)
        with refused("member_of_published" if model is Member else name):  # before anything is replaced
            run(filled, f"INSERT OR REPLACE INTO {table.name} ({some}) SELECT {some} FROM {table.name}")


def test_content_can_be_added(filled: Database) -> None:
    row, members = version([feature("new", shapely.Point(1, 1))])
    with filled.writing() as session:
        session.add(feature("new", shapely.Point(1, 1)))
        session.add(row)
        session.flush()
        session.add_all(members)


def test_a_published_version_takes_no_more_members(filled: Database) -> None:
    late = feature("late")
    with filled.writing() as session:
        published = session.scalars(sa.select(Publication.version_hash).distinct()).one()
        session.add(late)
    with refused("member_of_published"), filled.writing() as session:
        session.add(Member(version_hash=published, feature_hash=late.hash, layer="territory", code="late"))


# ---- publications ----------------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(database: Database) -> tuple[Database, str]:
    row, _ = version([])
    with database.writing() as session:
        session.add(row)
    return database, row.hash


def publish(database: Database, *rows: Publication) -> None:
    for row in rows:
        with database.writing() as session:
            session.add(row)


CLOSE = "UPDATE publication SET valid_to = {to}, closed_at = {to}"


def test_a_publication_is_closed_once_and_nothing_else(recorded: tuple[Database, str]) -> None:
    database, of = recorded
    publish(database, publication(of, NOON))
    later = "valid_from" if database.kind == "embedded" else "valid_from + interval '1 day'"
    others = [column.name for column in Publication.table().columns if column.name not in {"valid_to", "closed_at"}]
    for name in others:
        change = {"id": "7", "replaces": "id", "version_hash": "version_hash || 'x'"}.get(name, f"{name}")
        if name in {"valid_from", "recorded_at"}:
            change = f"'{(NOON - DAY).isoformat()}'"
        elif name in {"signed", "reason", "document"}:
            change = "'[0]'"
        with refused("publication_frozen"):
            run(database, f"UPDATE publication SET {name} = {change}")
        with refused("publication_frozen"):
            run(database, CLOSE.format(to=later) + f", {name} = {change}")
    for half in ("valid_to", "closed_at"):
        with refused("publication_frozen"):
            run(database, f"UPDATE publication SET {half} = {later}")
    with refused("publication_frozen"):
        run(database, "DELETE FROM publication")
    run(database, CLOSE.format(to=later))
    for again in (CLOSE.format(to=later), CLOSE.format(to="NULL"), "UPDATE publication SET reason = reason"):
        with refused("publication_frozen"):
            run(database, again)
    if database.kind == "postgresql":
        with refused("publication_frozen"):
            run(database, "TRUNCATE publication CASCADE")


OVERLAPS: dict[str, tuple[int, int | None, int, int | None, bool]] = {
    "open after open": (0, None, 5, None, True),
    "open before open": (5, None, 0, None, True),
    "closed before open, touching": (0, 5, 5, None, False),
    "open, then closed up to it": (5, None, 0, 5, False),
    "closed into open": (5, None, 0, 6, True),
    "one within another": (0, 10, 3, 4, True),
    "one around another": (3, 4, 0, 10, True),
    "the same": (0, 5, 0, 5, True),
    "same start": (0, 5, 0, 1, True),
    "apart": (0, 1, 2, 3, False),
    "empty within": (0, 10, 5, 5, False),
    "around an empty one": (5, 5, 0, 10, False),
    "empty at the start": (0, None, 0, 0, False),
    "far future": (0, 365 * 7000, 365 * 6999, None, True),
}


@pytest.mark.parametrize("case", OVERLAPS)
def test_no_two_publications_are_in_force_at_one_instant(recorded: tuple[Database, str], case: str) -> None:
    database, of = recorded
    since, until, again, end, clash = OVERLAPS[case]

    def at(days: int | None) -> Any:
        return None if days is None else NOON + days * DAY

    publish(database, publication(of, at(since), at(until)))
    if clash:
        with refused("one_in_force"):
            publish(database, publication(of, at(again), at(end)))
    else:
        publish(database, publication(of, at(again), at(end)))


def test_closing_too_late_is_refused(recorded: tuple[Database, str]) -> None:
    """An update can overlap as well as an insert: the earlier one, open, is closed beyond the start of the later."""
    database, of = recorded
    publish(database, publication(of, NOON + 5 * DAY, NOON + 9 * DAY), publication(of, NOON + 9 * DAY))
    with database.writing() as session:
        held = session.scalars(sa.select(Publication).where(Publication.valid_to.is_(None))).one()
        held.valid_to = held.closed_at = NOON + 20 * DAY
    with refused("one_in_force"):
        publish(database, publication(of, NOON + 19 * DAY))
    publish(database, publication(of, NOON + 20 * DAY))


def test_one_microsecond_is_an_overlap(recorded: tuple[Database, str]) -> None:
    database, of = recorded
    publish(database, publication(of, NOON, NOON + DAY))
    with refused("one_in_force"):
        publish(database, publication(of, NOON + DAY - timedelta(microseconds=1)))
    publish(database, publication(of, NOON + DAY))


def test_random_periods_as_a_model_says(recorded: tuple[Database, str]) -> None:
    database, of = recorded
    draw = random.Random(11)
    held: list[tuple[int, int]] = []
    for _ in range(120):
        since, length = draw.randrange(60), draw.choice([0, 1, 2, 5, 10**6])
        until = since + length
        clash = any(a < until and since < b and a < b and since < until for a, b in held)
        row = publication(of, NOON + since * DAY, None if length == 10**6 else NOON + until * DAY)
        if clash:
            with refused("one_in_force"):
                publish(database, row)
        else:
            publish(database, row)
            held.append((since, until))
    assert len(held) > 15


def test_of_many_who_publish_at_once_one_wins(recorded: tuple[Database, str]) -> None:
    database, of = recorded
    barrier, said = threading.Barrier(10), []

    def go(day: int) -> None:
        barrier.wait()
        try:
            publish(database, publication(of, NOON + day * DAY))
            said.append("won")
        except IntegrityError as error:
            said.append(str(refusal(error)))

    threads = [threading.Thread(target=go, args=(day,)) for day in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["one_in_force"] * 9 + ["won"]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (lambda of: publication(of, NOON, NOON - DAY), "ck_publication_period"),
        (lambda of: publication(of, NOON, NOON + DAY, closed_at=None), "ck_publication_closed"),
        (lambda of: publication(of, NOON, closed_at=NOON), "ck_publication_closed"),
        (lambda of: publication("0" * 64, NOON), "foreign_key"),
        (lambda of: publication(of, NOON, replaces=99), "foreign_key"),
        (lambda of: publication(of, NOON, reason=None), "not_null"),
        (lambda of: Installation(id=2, work_crs="EPSG:4547", created_at=NOON), "ck_installation_one"),
        (lambda of: Installation(id=1, work_crs="EPSG:4547", created_at=NOON), "pk_installation"),
        (lambda of: version([])[0], "pk_map_version"),
    ],
)
def test_every_constraint_has_one_name(recorded: tuple[Database, str], row: Callable[[str], Base], name: str) -> None:
    database, of = recorded
    made = row(of)
    with refused(name), database.writing() as session:
        session.execute(
            sa.insert(type(made)).values(
                {
                    column.name: getattr(made, column.name)
                    for column in made.table().columns
                    if getattr(made, column.name) is not None or column.name == "reason"
                }
            )
        )


def test_the_names_of_unique_refusals(filled: Database) -> None:
    with refused("uq_feature_hash"), filled.writing() as session:
        session.add(feature("no ground", None, facts={"parties": ["00", "01"]}, accuracy_m=None, since=None))
    with refused("pk_draft_edit"), filled.writing() as session:
        session.add(DraftEdit(draft_id="d1", seq=0, author="x", at=NOON, kind="k", args={}))
    with refused("pk_defect"), filled.writing() as session:
        session.add(Defect(key="gap:1", kind="gap", default_squad="0", opened_at=NOON))
    with refused("pk_feature"), filled.writing() as session:
        session.add(feature("x", id=session.scalar(sa.select(sa.func.min(Feature.id)))))


def test_a_repeated_feature_can_be_passed_over(filled: Database) -> None:
    """Content-addressed insert: the frozen row stands in nobody's way."""
    row = feature("no ground", None, facts={"parties": ["00", "01"]}, accuracy_m=None, since=None)
    values = {column.name: getattr(row, column.name) for column in Feature.table().columns if column.name != "id"}
    if filled.kind == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert
    with filled.writing() as session:
        session.execute(insert(Feature).values(values).on_conflict_do_nothing(index_elements=["hash"]))
        session.add(feature("and on"))


# ---- Both ------------------------------------------------------------------------------------------------------------


def test_an_invariant_comes_with_its_table(database: Database) -> None:
    """Made from metadata, installed twice, text with ':' and '%' in it as it stands."""
    metadata = sa.MetaData()
    table = sa.Table("probe", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("at", sa.Text))
    both = Both(
        "no_ten",
        table,
        (
            "ALTER TABLE probe DROP CONSTRAINT IF EXISTS no_ten",
            "ALTER TABLE probe ADD CONSTRAINT no_ten CHECK (at NOT LIKE '%10:%')",
        ),
        (
            "DROP TRIGGER IF EXISTS no_ten",
            "CREATE TRIGGER no_ten BEFORE INSERT ON probe WHEN NEW.at LIKE '%10:%' BEGIN SELECT RAISE(ABORT, 'no_ten'); END",
        ),
    )
    with database.writing() as session:
        metadata.create_all(session.connection())
        both.install(session.connection())
        assert kind_of(session.connection()) == database.kind
    assert both.made(database.kind) == ("no_ten",)
    with pytest.raises(IntegrityError) as caught:
        run(database, table.insert().values(at="at 10:30"))
    assert violated(caught.value, metadata) == "no_ten"
    run(database, table.insert().values(at="at 11:30"))


def test_every_table_is_in_the_order_of_copying() -> None:
    assert {model.table() for model in TABLES} == set(Base.metadata.tables.values())
    for at, model in enumerate(TABLES):
        before = {earlier.__tablename__ for earlier in TABLES[: at + 1]}
        assert {key.column.table.name for key in model.table().foreign_keys} <= before


def test_no_column_is_of_a_type_geopackage_drops() -> None:
    from geoalchemy2.admin.dialects.geopackage import GeoPackageDialect

    dialect = GeoPackageDialect()
    known = {"TEXT", "INTEGER", "DOUBLE", "BLOB", "geometry(GEOMETRY,4326)"}
    for model in TABLES:
        assert {column.type.compile(dialect) for column in model.table().columns} <= known


def test_the_invariants_have_different_names() -> None:
    names = [name for both in INVARIANTS for name in both.made("embedded")]
    assert len(set(names)) == len(names)
