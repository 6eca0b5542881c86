"""The map store's database: one set of tables on an embedded file or on PostgreSQL with PostGIS, chosen by one URL.

    engine    opening it: settings, the write gate          guard     nothing else opens the live file
    tables    the models, and what the database forbids     both      one thing in two spellings: invariants, instants, JSON
    schema    making it, upgrading it (migrations/)         shape     geometry into and out of a column, spatial questions
    copying   copy, backup, check                           hashing   names of content
    gpkg      GeoPackage's SQL functions in Python

`schema` (Alembic) and `copying` (the writers of files) are imported by those who need them: they are slow to load. So is the
engine, by whoever asks for one of its names here first: a reader of files needs only `guard`, and should not wait for SQLAlchemy.
"""

from typing import TYPE_CHECKING, Any

from geodata.db.guard import refuse_live

if TYPE_CHECKING:
    from geodata.db.engine import Database, open_database


def __getattr__(name: str) -> Any:
    if name not in ("Database", "open_database"):
        raise AttributeError(name)
    from geodata.db import engine  # noqa: PLC0415 - not before it is asked for

    return getattr(engine, name)
