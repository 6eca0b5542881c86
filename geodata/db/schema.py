"""Making a database, and bringing an old one up to date. Forward only: to go back, restore a backup.

Each of these is one transaction: the schema is wholly there or wholly not, also after a crash. Processes that start at once take
turns (the write gate; an advisory lock on PostgreSQL), and the later ones find the work done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.schema import SchemaItem

from geodata.crs import UnknownCrs
from geodata.db import gpkg
from geodata.db.both import kind_of
from geodata.db.engine import (
    MAP_ONLY,
    CannotOpenDatabase,
    Database,
    NotInitialised,
    SchemaNewer,
    Sections,
    attach,
    parse_url,
    require_postgis,
    revision_of,
    said,
)
from geodata.db.tables import MAP, Installation, Section
from geodata.work_crs import given_work_crs
from routing.errors import JieguanError

if TYPE_CHECKING:
    from alembic.config import Config

_ONE_AT_A_TIME = 0x6A696567  # "jieg", the advisory lock


class OtherInstallation(JieguanError):
    zh = "数据库 {url} 已初始化,工作坐标系为 {found},与 {wanted} 不同:已存的毫米坐标只在原坐标系中有意义。请另建一个数据库。"
    en = (
        "The database {url} has been initialised already, with the work CRS {found} and not {wanted}: the millimetres it "
        "holds mean something in their own CRS only. Make another database."
    )


class CannotUpgrade(JieguanError):
    zh = "数据库 {url} 的结构无法更新({reason});一切保持原样。请检查账号是否有建表和建扩展的权限。"
    en = "The schema of {url} cannot be changed ({reason}); all is as it was. Check that the account may create tables and extensions."


@dataclass(frozen=True, slots=True)
class Schema:
    """`found` None: no tables of ours; several sections are told as `section: revision`. `current`: nothing to upgrade."""

    found: str | None
    needed: str
    tables: tuple[str, ...]

    @property
    def current(self) -> bool:
        return self.found == self.needed


def initialise(url: str | Path, work_crs: str, sections: Sections = MAP_ONLY) -> None:
    """Make the schema and record the work CRS ('EPSG:4547'). Done already with the same CRS: nothing happens."""
    crs = _named(work_crs)
    with _created(url) as db, _changing(db) as session:
        _bring_up(session.connection(), db.url, sections)
        found = session.get(Installation, 1)
        if found is None:
            session.add(Installation(id=1, work_crs=crs, created_at=datetime.now(UTC)))
        elif found.work_crs != crs:
            raise OtherInstallation(url=db.url, found=found.work_crs, wanted=crs)


def prepare(url: str | Path, sections: Sections = MAP_ONLY) -> None:
    """The schema alone, without an installation: a destination for `copying`."""
    with _created(url) as db, _changing(db) as session:
        _bring_up(session.connection(), db.url, sections)


def upgrade(url: str | Path, sections: Sections = MAP_ONLY) -> Schema:
    """Bring an initialised database to the schema of this program, its invariants anew in any case. Returns what was found."""
    with attach(url) as db, _changing(db) as session:
        before = _schema(session.connection(), sections)
        if before.found is None:
            raise NotInitialised(url=db.url)
        _bring_up(session.connection(), db.url, sections)
        _install_invariants(session.connection(), sections)
    return before


def schema_of(db: Database, sections: Sections = MAP_ONLY) -> Schema:
    """What is there and what is needed."""
    with db.reading() as session:
        return _schema(session.connection(), sections)


def alembic_config(connection: Connection, section: Section = MAP) -> Config:
    """Alembic on our connection, with the revisions of one section of the installed package."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection, "section": section})
    config.set_main_option("script_location", "geodata.db:migrations")
    config.set_main_option("version_locations", section.migrations)
    config.set_main_option("path_separator", "newline")  # a colon stands within a location
    return config


def included(section: Section) -> Callable[[SchemaItem, str | None, str, bool, SchemaItem | None], bool]:
    """Not the tables of GeoPackage, of its index, of PostGIS or of another section; no index that belongs to an exclusion constraint."""

    def ours(_: SchemaItem, name: str | None, kind: str, reflected: bool, __: SchemaItem | None) -> bool:
        if kind == "table":
            return not reflected or name in section.metadata.tables
        return not (kind == "index" and reflected and name in excluding)

    excluding = {each.name for each in section.invariants}
    return ours


def _named(work_crs: str) -> str:
    found = given_work_crs(work_crs, field="work_crs").crs.to_authority(min_confidence=100)
    if found is None:
        raise UnknownCrs(field="work_crs", value=work_crs, why="no authority has given it a code")
    return ":".join(found)


@contextmanager
def _created(url: str | Path) -> Iterator[Database]:
    parsed = parse_url(url)
    if parsed.drivername == "gpkg":
        folder = Path(str(parsed.database)).parent
        if not folder.is_dir():
            raise CannotOpenDatabase(path=str(parsed.database), reason=f"there is no folder {str(folder)!r}")
    with attach(url, create=True) as db:
        yield db


@contextmanager
def _changing(db: Database) -> Iterator[Session]:
    """A writing session that has the schema to itself."""
    try:
        with db.writing() as session:
            if db.kind == "postgresql":
                session.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
            yield session
    except DBAPIError as error:
        raise CannotUpgrade(url=db.url, reason=" ".join(str(error.orig).split())) from error


def _bring_up(connection: Connection, url: str, sections: Sections) -> None:
    from alembic import command

    found = [revision_of(connection, section) for section in sections]
    if any(revision is not None and revision not in section.revisions for revision, section in zip(found, sections, strict=True)):
        raise SchemaNewer(url=url, found=said(found, sections), needed=said([s.needed for s in sections], sections))
    behind = tuple(section for revision, section in zip(found, sections, strict=True) if revision != section.needed)
    if not behind:
        return
    if kind_of(connection) == "embedded":
        raw = connection.connection.driver_connection
        assert raw is not None
        gpkg.create_base(raw)
    else:
        _add_postgis(connection, url)
    for section in behind:
        command.upgrade(alembic_config(connection, section), "head")
    _install_invariants(connection, behind)


def _install_invariants(connection: Connection, sections: Sections) -> None:
    for section in sections:
        for invariant in section.invariants:
            invariant.install(connection)


def _add_postgis(connection: Connection, url: str) -> None:
    available = connection.execute(sa.text("SELECT 1 FROM pg_available_extensions WHERE name = 'postgis'")).scalar()
    if available:
        connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS postgis"))
    require_postgis(connection, url)


def _schema(connection: Connection, sections: Sections) -> Schema:
    there = set(sa.inspect(connection).get_table_names())
    names = tuple(model.__tablename__ for section in sections for model in section.tables if model.__tablename__ in there)
    found = [revision_of(connection, section) for section in sections]
    needed = said([section.needed for section in sections], sections)
    return Schema(found=None if found[0] is None else said(found, sections), needed=needed, tables=names)
