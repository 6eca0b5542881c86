"""What must read the same on both databases: an invariant in two spellings, instants, JSON, text.

Text everywhere: GeoPackage does not know VARCHAR, and GDAL drops such columns. Instants are text there too, of fixed width: a
DATETIME column of SQLite has NUMERIC affinity and turns '9999' into a number, which sorts before every text.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import psycopg
from sqlalchemy import Connection, DateTime, MetaData, Table, Text, UniqueConstraint, event
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import IntegrityError
from sqlalchemy.types import TypeDecorator, TypeEngine

from routing.errors import JieguanError

Kind = Literal["embedded", "postgresql"]

POSTGRESQL, GEOPACKAGE = "postgresql", "geopackage"
"""Names of the dialects. `with_variant(..., "sqlite")` and `execute_if(dialect="sqlite")` pass GeoPackage by."""


def kind_of(connection: Connection) -> Kind:
    """Which of the two databases this is."""
    return "postgresql" if connection.dialect.name == POSTGRESQL else "embedded"


# ---- invariants ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Both:
    """One invariant of one table, in two spellings, each a sequence of statements that may be run again.

    Run after the table is made from its metadata, and by `schema` after each migration, so that a database has the
    invariants of the code that opens it. Whatever refuses, `violated` gives `name`. `of_changes`: about a change as it is made, not about
    rows as they are; a copy, which brings rows that are the outcome of changes, sets it aside meanwhile.
    """

    name: str
    table: Table
    postgresql: tuple[str, ...]
    embedded: tuple[str, ...]
    of_changes: bool = False

    def __post_init__(self) -> None:
        def created(_: Table, connection: Connection, **__: object) -> None:
            self.install(connection)

        event.listen(self.table, "after_create", created)

    def install(self, connection: Connection) -> None:
        """Make it so; where it is so already, make it anew. In a migration: `both.install(op.get_bind())`."""
        for statement in self.postgresql if kind_of(connection) == "postgresql" else self.embedded:
            # A trigger's text is no parametrised SQL: neither ':' nor '%' means anything in it.
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})

    def set_aside(self, connection: Connection) -> None:
        """Until it is installed again, in the same transaction. Triggers only."""
        kind = kind_of(connection)
        for trigger in self.made(kind):
            connection.exec_driver_sql(f"DROP TRIGGER {trigger}" + (f" ON {self.table.name}" if kind == "postgresql" else ""))

    def made(self, kind: Kind) -> tuple[str, ...]:
        """Names of the triggers and constraints that stand for it, to see whether they are all there."""
        statements = " ".join(self.postgresql if kind == "postgresql" else self.embedded)
        return tuple(re.findall(r"(?:CREATE (?:OR REPLACE )?TRIGGER|ADD CONSTRAINT) (\w+)", statements))


_REFUSE = """CREATE OR REPLACE FUNCTION jieguan_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_ARGV[0], TABLE = TG_TABLE_NAME;
END $$"""
"""23001, a class of IntegrityError, with the invariant's name where a constraint's would be."""

Event = Literal["UPDATE", "DELETE"]


def forbid(table: Table, name: str, *events: Event, unless: str | None = None) -> Both:
    """No UPDATE, no DELETE; with DELETE forbidden, no TRUNCATE either. `unless`: SQL over OLD and NEW, for UPDATE alone."""
    pg: list[str] = [_REFUSE]
    lite: list[str] = []
    for what in events:
        trigger, when = (
            f"{name}_{what.lower()}",
            f"WHEN (({unless}) IS NOT TRUE)" if unless and what == "UPDATE" else "",
        )
        pg.append(_pg_trigger(trigger, f"BEFORE {what} ON {table.name} FOR EACH ROW {when}", name))
        when = when.replace("IS NOT DISTINCT FROM", "IS")  # SQLite's own word; it knows the standard's from 3.39 only
        lite += _lite_trigger(trigger, f"BEFORE {what} ON {table.name} {when}", name)
    if "DELETE" in events:
        pg.append(_pg_trigger(f"{name}_truncate", f"BEFORE TRUNCATE ON {table.name} FOR EACH STATEMENT", name))
    return Both(name, table, tuple(pg), tuple(lite))


def no_insert(table: Table, name: str, when: str, *, of_changes: bool = False) -> Both:
    """No row for which `when` holds: SQL over NEW and other tables, read as they are when the row comes."""
    return _refuse_when(table, name, "INSERT", when, of_changes=of_changes)


def no_update(table: Table, name: str, when: str) -> Both:
    """No change of a row for which `when` holds: SQL over OLD, NEW and other tables, read as they are then."""
    return _refuse_when(table, name, "UPDATE", when)


def _refuse_when(
    table: Table, name: str, event: Literal["INSERT", "UPDATE"], when: str, *, of_changes: bool = False
) -> Both:
    """By SQL that asks other tables.

    PostgreSQL allows no subquery in a trigger's WHEN, so there the function asks.
    """
    ask = f"""CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {when} THEN
        RAISE EXCEPTION '{name}' USING ERRCODE = 'restrict_violation', CONSTRAINT = '{name}', TABLE = '{table.name}';
    END IF;
    RETURN NEW;
END $$"""
    pg = (
        ask,
        f"CREATE OR REPLACE TRIGGER {name} BEFORE {event} ON {table.name} FOR EACH ROW EXECUTE FUNCTION {name}()",
    )
    return Both(name, table, pg, _lite_trigger(name, f"BEFORE {event} ON {table.name} WHEN {when}", name), of_changes)


def no_overlap(table: Table, name: str, since: str, until: str) -> Both:
    """No two rows whose half-open periods share an instant; `until` NULL: for ever. Empty periods share nothing."""
    pg = (
        f"ALTER TABLE {table.name} DROP CONSTRAINT IF EXISTS {name}",
        f"ALTER TABLE {table.name} ADD CONSTRAINT {name} EXCLUDE USING gist (tstzrange({since}, {until}) WITH &&)",
    )
    # '~' sorts after every digit, so an open end is after every instant; both sides are TEXT, never a number.
    end = f"coalesce({{row}}.{until}, '~')"
    old, new = end.format(row="held"), end.format(row="NEW")
    twin = (
        f"EXISTS (SELECT 1 FROM {table.name} AS held WHERE held.rowid IS NOT NEW.rowid "  # noqa: S608  (our own names)
        f"AND held.{since} < {new} AND NEW.{since} < {old} AND held.{since} < {old} AND NEW.{since} < {new})"
    )
    lite = (
        *_lite_trigger(f"{name}_insert", f"AFTER INSERT ON {table.name} WHEN {twin}", name),
        *_lite_trigger(f"{name}_update", f"AFTER UPDATE ON {table.name} WHEN {twin}", name),
    )
    return Both(name, table, pg, lite)


def _pg_trigger(trigger: str, what: str, name: str) -> str:
    return f"CREATE OR REPLACE TRIGGER {trigger} {what} EXECUTE FUNCTION jieguan_refuse('{name}')"


def _lite_trigger(trigger: str, what: str, name: str) -> tuple[str, str]:
    return (
        f"DROP TRIGGER IF EXISTS {trigger}",
        f"CREATE TRIGGER {trigger} {what} BEGIN SELECT RAISE(ABORT, '{name}'); END",
    )


def violated(error: IntegrityError, metadata: MetaData) -> str | None:
    """The name of the invariant or constraint that refused, the same on both databases.

    'foreign_key' and 'not_null' stand for those two kinds, which SQLite does not name. None: not a refusal we know.
    """
    cause = error.orig
    if isinstance(cause, psycopg.errors.ForeignKeyViolation):
        return "foreign_key"
    if isinstance(cause, psycopg.errors.NotNullViolation):
        return "not_null"
    if isinstance(cause, psycopg.Error):
        return cause.diag.constraint_name
    if isinstance(cause, sqlite3.IntegrityError):
        named = _LITE.get(cause.sqlite_errorname)
        return named(str(cause), metadata) if named else str(cause)  # of a trigger: what it raised
    return None


def _after_colon(text: str, _: MetaData) -> str:
    return text.rpartition(": ")[2]


def _unique(text: str, metadata: MetaData) -> str | None:
    """'UNIQUE constraint failed: table.a, table.b' -> the constraint or unique index over these columns."""
    columns = re.findall(r"(\w+)\.(\w+)", text)
    table = metadata.tables.get(columns[0][0]) if columns else None
    if table is None:
        return None
    names = {name for _, name in columns}
    uniques: Iterable[Any] = (
        table.primary_key,
        *(each for each in table.constraints if isinstance(each, UniqueConstraint)),
        *(each for each in table.indexes if each.unique),
    )
    return next((str(each.name) for each in uniques if {column.name for column in each.columns} == names), None)


_LITE: dict[str, Callable[[str, MetaData], str | None]] = {
    "SQLITE_CONSTRAINT_CHECK": _after_colon,
    "SQLITE_CONSTRAINT_FOREIGNKEY": lambda *_: "foreign_key",
    "SQLITE_CONSTRAINT_NOTNULL": lambda *_: "not_null",
    "SQLITE_CONSTRAINT_PRIMARYKEY": _unique,
    "SQLITE_CONSTRAINT_ROWID": _unique,
    "SQLITE_CONSTRAINT_UNIQUE": _unique,
}


# ---- types -----------------------------------------------------------------------------------------------------------


class NaiveInstant(JieguanError):
    zh = "时间“{value}”没有时区:同一数字在不同时区是不同时刻。请带上时区(如 +08:00)。"
    en = "The time {value} has no zone, and the same digits are different instants in different zones. Give it one (such as +08:00)."


class Unstorable(JieguanError):
    zh = "文字 {value} 含有数据库存不下的字符({why})。请删去该字符。"
    en = "The text {value} has a character that no database keeps alike ({why}). Remove it."


class NotJson(JieguanError):
    zh = "{where} 的值 {value} 不能写成规范 JSON({why})。"
    en = "{where}: {value} cannot be written as canonical JSON ({why})."


def instant_text(instant: datetime) -> str:
    """UTC, microseconds, always 27 characters: texts sort as the instants do."""
    if instant.utcoffset() is None:
        raise NaiveInstant(value=instant.isoformat(" "))
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class UtcDateTime(TypeDecorator[datetime]):
    """Aware in (naive raises NaiveInstant), UTC out. timestamptz in PostgreSQL, text of fixed width in SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return DateTime(timezone=True) if dialect.name == POSTGRESQL else Text()

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        text = instant_text(value)
        return value.astimezone(UTC) if dialect.name == POSTGRESQL else text

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002  (SQLAlchemy's)
        if value is None:
            return None
        return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


class PlainText(TypeDecorator[str]):
    """Text that both databases keep: no NUL (PostgreSQL refuses it, SQLite keeps it), no half of a surrogate pair."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return value if value is None else plain(value)


class Json(TypeDecorator[Any]):
    """A JSON value as canonical text, never as jsonb: the same bytes on both databases. Floats must be finite.

    Python's None is SQL's NULL, so a JSON null can stand only inside a value.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else canonical(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else json.loads(value)


def plain(text: str) -> str:
    """The text itself, or Unstorable."""
    if "\0" in text:
        raise Unstorable(value=ascii(text[:40]), why="NUL, U+0000")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Unstorable(value=ascii(text[:40]), why=f"U+{ord(text[error.start]):04X}") from None
    return text


def canonical(value: Any, *, floats: bool = True, where: str = "JSON") -> str:
    """The one JSON text of a value: keys sorted, no spaces, characters as themselves, numbers as Python writes them.

    Keys must be text. NaN, infinities, NUL and half surrogates raise NotJson; with `floats=False` any float does, since 15 and
    15.0 would be two texts for one number.
    """
    _check(value, floats, where)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _check(value: Any, floats: bool, where: str) -> None:
    if isinstance(value, float) and not (floats and abs(value) < float("inf")):
        raise NotJson(where=where, value=repr(value), why="a float" if not floats else "not a finite number")
    if isinstance(value, str):
        try:
            plain(value)
        except Unstorable as error:
            raise NotJson(where=where, value=ascii(value[:40]), why=error.facts["why"]) from None
    elif isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                raise NotJson(where=where, value=repr(key), why="a key that is not text")
            _check(key, floats, where)
            _check(part, floats, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for at, part in enumerate(value):
            _check(part, floats, f"{where}[{at}]")
    elif value is not None and not isinstance(value, bool | int | float):
        raise NotJson(where=where, value=repr(value)[:80], why=f"a {type(value).__name__}")
