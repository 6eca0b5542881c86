"""Making and upgrading: by migrations alone, what the models say and nothing else, also when eight start at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from geodata.crs import UnknownCrs
from geodata.db import Database, open_database
from geodata.db.engine import CannotOpenDatabase, NotInitialised, SchemaNewer, SchemaOlder, attach
from geodata.db.schema import CannotUpgrade, OtherInstallation, alembic_config, initialise, schema_of, upgrade
from geodata.db.tables import INVARIANTS, MAP, TABLES, Base, DefectClosing, Installation
from geodata.work_crs import FarFromOrigin, UnitsNotMetres
from routing.errors import JieguanError
from tests.db.conftest import a_database
from tests.db.contents import NOON, fill

NAMES = tuple(model.__tablename__ for model in TABLES)


def test_initialise_makes_it_all(fresh_url: str) -> None:
    initialise(fresh_url, "epsg:4547")
    with open_database(fresh_url) as db:
        schema = schema_of(db)
        assert (schema.found, schema.current, schema.tables) == (MAP.needed, True, NAMES)
        with db.reading() as session:
            assert session.scalars(sa.select(Installation.work_crs)).all() == ["EPSG:4547"]


def test_initialising_again_changes_nothing(url: str) -> None:
    with open_database(url) as db, db.writing() as session:
        fill(session)
    initialise(url, "EPSG:4547")
    with pytest.raises(OtherInstallation, match="EPSG:4549"):
        initialise(url, "EPSG:4549")
    with open_database(url) as db, db.reading() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM feature")) == 7


def test_the_migrations_make_what_the_models_say(database: Database) -> None:
    """Alembic's own comparison finds no difference, of types neither."""
    from alembic.runtime.migration import MigrationContext

    from geodata.db.schema import included

    with database.reading() as session:
        context = MigrationContext.configure(
            session.connection(),
            opts={"compare_type": True, "include_object": included(MAP), "target_metadata": Base.metadata},
        )
        assert compare_metadata(context, Base.metadata) == []


def _objects(database: Database) -> dict[str, str]:
    """Everything of ours in the catalogue, by name and definition."""
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
    with database.reading() as session:
        rows = session.execute(sa.text(queries[database.kind])).all()
    return {name: " ".join(text.split()) for name, text in rows if "alembic" not in name}


def test_the_migrations_make_what_create_all_makes(database: Database, new_url: Callable[..., str]) -> None:
    """What the comparison does not look at too: checks, triggers, exclusions."""
    from geodata.db import gpkg

    with attach(new_url(), create=True) as made, made.writing() as session:
        connection = session.connection()
        if made.kind == "embedded":
            raw = connection.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            gpkg.create_base(raw)
        else:
            connection.execute(sa.text("CREATE EXTENSION postgis"))
        feature = Base.metadata.tables["feature"]
        indexes = set(feature.indexes)
        Base.metadata.create_all(connection)
        feature.indexes |= indexes  # GeoAlchemy2 takes the spatial one out of the table for ever
        session.commit()
        assert _objects(made) == _objects(database)


def test_the_revisions_are_those_of_the_models(database: Database) -> None:
    with database.reading() as session:
        script = ScriptDirectory.from_config(alembic_config(session.connection()))
    assert script.get_heads() == [MAP.needed]
    assert tuple(step.revision for step in script.walk_revisions())[::-1] == MAP.revisions


def test_upgrade_restores_what_is_behind(url: str) -> None:
    """As if an older program had left it: the stamp is older, an invariant is missing."""
    assert upgrade(url).current
    name = INVARIANTS[0].made("postgresql")[0]
    table = INVARIANTS[0].table.name
    with attach(url) as db, db.writing() as session:
        session.execute(sa.text(f"DROP TRIGGER {name}" + (f" ON {table}" if db.kind == "postgresql" else "")))
    upgrade(url)
    with attach(url) as db, db.reading() as session:
        catalogue = "pg_trigger WHERE tgname" if db.kind == "postgresql" else "sqlite_master WHERE name"
        assert session.scalar(sa.text(f"SELECT count(*) FROM {catalogue} = '{name}'")) == 1


def test_a_database_of_the_first_schema_is_brought_up_with_its_content(url: str) -> None:
    with open_database(url) as db, db.writing() as session:
        fill(session)
    with attach(url) as db, db.writing() as session:
        session.execute(sa.text("DROP TABLE defect_closing"))
        session.execute(sa.text("UPDATE alembic_version SET version_num = 'map_store'"))
    with pytest.raises(SchemaOlder, match="map_store"):
        open_database(url)
    assert upgrade(url).found == "map_store"
    with open_database(url) as db:
        assert schema_of(db).current
        with db.writing() as session:
            assert session.scalar(sa.text("SELECT count(*) FROM defect")) == 1
            session.add(DefectClosing(key="gap:1", at=NOON, by="c", reason="x"))
        with pytest.raises(IntegrityError), db.writing() as session:
            session.execute(sa.text("DELETE FROM defect_closing"))


def test_upgrade_refuses_what_it_does_not_know(url: str, new_url: Callable[..., str], kind: str) -> None:
    with attach(url) as db, db.writing() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = 'of_next_year'"))
    for change in (upgrade, lambda url: initialise(url, "EPSG:4547")):
        with pytest.raises(SchemaNewer, match="of_next_year"):
            change(url)
    empty = new_url()
    if kind == "embedded":
        sqlite3.connect(empty).close()
    else:
        with attach(empty, create=True) as db, db.writing() as session:
            session.execute(sa.text("CREATE EXTENSION postgis"))
    with pytest.raises(NotInitialised):
        upgrade(empty)


def test_a_failed_start_leaves_nothing_half(fresh_url: str) -> None:
    """All of it is one transaction: whatever fails last, nothing of it is there."""

    class Broken:
        name = "broken"

        def install(self, _: object) -> None:
            raise sa.exc.OperationalError("", {}, Exception("disk full"))

    with pytest.raises(CannotUpgrade, match="disk full"):
        initialise(fresh_url, "EPSG:4547", (replace(MAP, invariants=(*INVARIANTS, Broken())),))
    with attach(fresh_url, create=True) as db:
        assert schema_of(db).found is None
        assert schema_of(db).tables == ()
    initialise(fresh_url, "EPSG:4547")
    with open_database(fresh_url) as db:
        assert schema_of(db).current


@pytest.mark.parametrize("crs", ["EPSG:1", "", "a string", "+proj=tmerc +lon_0=113.123"])
def test_a_work_crs_nobody_knows(fresh_url: str, crs: str) -> None:
    with pytest.raises(UnknownCrs):
        initialise(fresh_url, crs)
    assert not Path(fresh_url).exists()


@pytest.mark.parametrize(("crs", "error"), [("EPSG:4326", UnitsNotMetres), ("EPSG:4526", FarFromOrigin)])
def test_a_work_crs_that_no_map_could_be_proven_in(fresh_url: str, crs: str, error: type[JieguanError]) -> None:
    with pytest.raises(error, match="work_crs"):
        initialise(fresh_url, crs)
    assert not Path(fresh_url).exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CannotOpenDatabase, match="no folder"):
        initialise(tmp_path / "none" / "city.db", "EPSG:4547")


def test_eight_who_start_at_once_all_succeed(new_url: Callable[..., str], processes: ForkServerContext) -> None:
    for _ in range(2):
        url = new_url()
        started = [processes.Process(target=initialise, args=(url, "EPSG:4547")) for _ in range(8)]
        for each in started:
            each.start()
        for each in started:
            each.join()
        assert [each.exitcode for each in started] == [0] * 8
        with open_database(url) as db:
            assert schema_of(db).current


def test_an_account_that_may_not_create(server: Engine) -> None:
    """A clear word, and no password in it."""
    with a_database(server) as url:
        limited = sa.make_url(url).set(username="jieguan_limited", password="secret")
        with server.connect() as connection:
            connection.execute(sa.text("DROP ROLE IF EXISTS jieguan_limited"))
            connection.execute(sa.text("CREATE ROLE jieguan_limited LOGIN"))
        with pytest.raises(CannotUpgrade, match="permission") as caught:
            initialise(limited.render_as_string(hide_password=False), "EPSG:4547")
        assert "secret" not in str(caught.value)
    with server.connect() as connection:
        connection.execute(sa.text("DROP ROLE jieguan_limited"))
