"""A whole installation from one database to another, a backup, and a check: each proves what it says.

A table is proven by its count and by a sha256 over its rows in key order, each row as one line of canonical JSON that is the same
whichever database it came from.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import shapely
import sqlalchemy as sa
from geoalchemy2 import WKBElement
from sqlalchemy import Connection, Table
from sqlalchemy.orm import Session

from geodata.db.both import instant_text
from geodata.db.engine import (
    MAP_ONLY,
    PATIENT,
    Database,
    Sections,
    attach,
    open_database,
    parse_url,
    require_schema,
)
from geodata.db.hashing import Content, feature_hash, version_hash
from geodata.db.schema import prepare
from geodata.db.shape import from_column, to_column
from geodata.db.tables import Feature, Installation, MapVersion, Member, Publication, Stored
from geodata.written import CannotWrite, whole_file
from routing.errors import JieguanError, Lang

BATCH = 500
"""Rows at a time: a district of 100,000 vertices takes 1.6 MB."""

Row = dict[str, Any]


class DestinationNotEmpty(JieguanError):
    zh = "目标数据库 {url} 不是空的({table} 有 {rows} 行):不会覆盖任何内容。请给出一个尚不存在的文件,或一个新建的空库。"
    en = (
        "The destination {url} is not empty ({table} has {rows} rows), and nothing is ever written over. Name a file that does "
        "not exist yet, or a newly created database."
    )


class CopyDiffers(JieguanError):
    zh = "复制到 {url} 的表 {table} 与原表不符({here} ≠ {there});未留下任何内容。请运行 jieguan db check 检查来源。"
    en = (
        "The copy of table {table} in {url} differs from the original ({here} is not {there}); nothing was left there. Check the "
        "source by jieguan db check."
    )


class BackupExists(JieguanError):
    zh = "备份文件“{path}”已存在,不会覆盖。请换一个文件名。"
    en = "The backup {path!r} exists already and is not written over. Choose another name."


@dataclass(frozen=True, slots=True)
class Copied:
    """One table: how many rows, and their sha256."""

    table: str
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What is now in both places, in an order in which every row comes after those it refers to."""

    source: str
    destination: str
    tables: tuple[Copied, ...]

    @property
    def rows(self) -> int:
        return sum(each.rows for each in self.tables)


def copy(source: str | Path, destination: str | Path, sections: Sections = MAP_ONLY) -> CopyReport:
    """Move everything, either way, in one transaction at each end: the destination has all of it, proven, or none.

    The destination is a file that does not exist or a database without rows; its schema is made. Ids are kept.
    """
    with open_database(source, waits=PATIENT, sections=sections) as src:
        prepare(destination, sections)
        with attach(destination) as dst:
            with src.reading() as reading, dst.writing() as writing:
                here, there = reading.connection(), writing.connection()
                _require_empty(there, dst, sections)
                # A row may refer to a later one of its own table.
                deferred = (
                    "PRAGMA defer_foreign_keys = ON" if dst.kind == "embedded" else "SET CONSTRAINTS ALL DEFERRED"
                )
                there.exec_driver_sql(deferred)
                aside = [each for section in sections for each in section.invariants if each.of_changes]
                for invariant in aside:
                    invariant.set_aside(there)
                tables = tuple(_copy_table(model.table(), here, there, dst) for model in _models(sections))
                for invariant in aside:
                    invariant.install(there)
                if dst.kind == "postgresql":
                    _continue_counting(there, sections)
            return CopyReport(source=src.url, destination=dst.url, tables=tables)


def backup(url: str | Path, path: str | Path, sections: Sections = MAP_ONLY) -> CopyReport:
    """Everything as an embedded database file of its own, whole or not at all. The service may go on writing meanwhile.

    The file is in rollback mode with nothing beside it: it can be moved, mailed, and opened as a database again.
    """
    target = Path(str(parse_url(path).database))
    if target.exists():
        raise BackupExists(path=str(target))
    if not target.parent.is_dir():
        raise CannotWrite(path=str(target), reason=f"there is no folder {str(target.parent)!r}")
    with open_database(url, waits=PATIENT, sections=sections) as db, whole_file(target) as file:
        if db.kind == "embedded":
            _vacuum(db, file)
        else:
            copy(url, file, sections)
        tables = digest(file, sections)
        _alone(file)
    return CopyReport(source=db.url, destination=str(target), tables=tables)


def digest(url: str | Path, sections: Sections = MAP_ONLY) -> tuple[Copied, ...]:
    """Counts and sha256 of every table, in one snapshot."""
    with open_database(url, waits=PATIENT, sections=sections) as db, db.reading() as session:
        return tuple(_digest(model.table(), session.connection()) for model in _models(sections))


def _models(sections: Sections) -> tuple[type[Stored], ...]:
    return tuple(model for section in sections for model in section.tables)


def _vacuum(db: Database, file: Path) -> None:
    raw = db.read.raw_connection()
    try:
        cursor = raw.cursor()
        cursor.execute("PRAGMA query_only = OFF")  # it may have read last, and the next who takes it sets it anyway
        cursor.execute("VACUUM INTO ?", (str(file),))
    except sqlite3.OperationalError as error:
        raise CannotWrite(path=str(file), reason=str(error)) from error
    finally:
        raw.close()


def _alone(file: Path) -> None:
    """Out of WAL mode: a file to hand out has no -wal beside it. The gate's file is nothing without its database."""
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
    finally:
        connection.close()
    Path(f"{file}.writer").unlink(missing_ok=True)


# ---- rows ------------------------------------------------------------------------------------------------------------


def _copy_table(table: Table, here: Connection, there: Connection, dst: Database) -> Copied:
    digest, rows = hashlib.sha256(), 0
    for batch in _batches(table, here):
        there.execute(sa.insert(table), [_fit(row) for row in batch])
        for row in batch:
            digest.update(_line(row))
        rows += len(batch)
    sent, found = Copied(table.name, rows, digest.hexdigest()), _digest(table, there)
    if sent != found:
        raise CopyDiffers(
            url=dst.url, table=table.name, here=f"{sent.rows} {sent.sha256}", there=f"{found.rows} {found.sha256}"
        )
    return sent


def _digest(table: Table, connection: Connection) -> Copied:
    digest, rows = hashlib.sha256(), 0
    for batch in _batches(table, connection):
        for row in batch:
            digest.update(_line(row))
        rows += len(batch)
    return Copied(table.name, rows, digest.hexdigest())


def _batches(table: Table, connection: Connection) -> Iterator[list[Row]]:
    """In key order, always continuing after the last key: nothing is held open, and memory stays small."""
    key = list(table.primary_key)
    after = None
    while True:
        query = sa.select(table).order_by(*key).limit(BATCH)
        if after is not None:
            query = query.where(sa.tuple_(*key) > sa.tuple_(*(sa.literal(part, column.type) for part, column in after)))
        batch = [dict(row) for row in connection.execute(query).mappings()]
        if not batch:
            return
        yield batch
        after = [(batch[-1][column.name], column) for column in key]


def _fit(row: Row) -> Row:
    """Geometry through its one door; the rest are Python's own values on both sides."""
    return {
        name: to_column(from_column(value)) if isinstance(value, WKBElement) else value for name, value in row.items()
    }


def _line(row: Row) -> bytes:
    plain = {name: _plain(value) for name, value in row.items()}
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, WKBElement):
        geometry = from_column(value)
        return [int(shapely.get_srid(geometry)), hashlib.sha256(shapely.to_wkb(geometry, byte_order=1)).hexdigest()]
    if isinstance(value, bytes | memoryview):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, datetime):
        return instant_text(value)
    return value


def _require_empty(connection: Connection, dst: Database, sections: Sections) -> None:
    for model in _models(sections):
        rows = connection.execute(sa.select(sa.func.count()).select_from(model.table())).scalar_one()
        if rows:
            raise DestinationNotEmpty(url=dst.url, table=model.__tablename__, rows=rows)


def _continue_counting(connection: Connection, sections: Sections) -> None:
    """PostgreSQL's counters know nothing of ids that were brought along."""
    for model in _models(sections):
        for column in model.table().primary_key:
            name = {"t": model.__tablename__, "c": column.name}
            counter = connection.execute(sa.text("SELECT pg_get_serial_sequence(:t, :c)"), name).scalar()
            if counter is not None:
                highest = sa.select(sa.func.setval(counter, sa.func.max(column))).where(column.is_not(None))
                connection.execute(highest)


# ---- check -----------------------------------------------------------------------------------------------------------

WORDS = {
    "file_damaged": ("数据库文件已损坏:{detail}", "the database file is damaged: {detail}"),
    "reference_broken": (
        "{table} 有 {detail} 行引用了不存在的内容",
        "{table}: {detail} rows refer to what does not exist",
    ),
    "index_differs": (
        "空间索引与表 {table} 不一致:{detail}",
        "the spatial index differs from the table {table}: {detail}",
    ),
    "invariant_missing": ("表 {table} 缺少约束 {detail}", "the table {table} lacks its invariant {detail}"),
    "feature_altered": (
        "要素 {detail} 的内容与其哈希名不符",
        "the content of feature {detail} is not what its name says",
    ),
    "version_altered": (
        "地图版本 {detail} 的内容与其哈希名不符",
        "the content of map version {detail} is not what its name says",
    ),
    "periods_overlap": ("发布 {detail} 同时有效", "the publications {detail} are in force at one instant"),
}
"""Each finding in Chinese and English."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a database. `code`: a key of WORDS."""

    code: str
    table: str
    detail: str

    def text(self, lang: Lang) -> str:
        """The sentence in one language."""
        return WORDS[self.code][0 if lang == "zh-CN" else 1].format(table=self.table, detail=self.detail)


def check(url: str | Path, sections: Sections = MAP_ONLY) -> tuple[Finding, ...]:
    """Everything about a database that can be recomputed: none found means the file, the index, all names and periods hold."""
    with attach(url) as db:
        require_schema(db, sections)
        with db.reading() as session:
            return tuple(_findings(db, session, sections))


def _findings(db: Database, session: Session, sections: Sections) -> Iterator[Finding]:
    connection = session.connection()
    if db.kind == "embedded":
        yield from _file(connection)
        for model in _models(sections):
            yield from _index(connection, model.table())
    yield from _references(connection, sections)
    yield from _invariants(db, connection, sections)
    yield from _features(connection)
    yield from _versions(session)
    yield from _periods(session)


def _file(connection: Connection) -> Iterator[Finding]:
    for (said,) in connection.exec_driver_sql("PRAGMA integrity_check").all():
        if said != "ok":
            yield Finding("file_damaged", "", str(said))


def _index(connection: Connection, table: Table) -> Iterator[Finding]:
    """Every non-empty geometry has its row, no row is left over, every box encloses its geometry."""
    if "geom" not in table.columns:
        return
    name, boxes = table.name, f"rtree_{table.name}_geom"
    for (said,) in connection.exec_driver_sql(f"SELECT rtreecheck('{boxes}')").all():
        if said != "ok":
            yield Finding("index_differs", name, str(said))
    has = "geom NOTNULL AND NOT ST_IsEmpty(geom)"
    ids = f"SELECT id FROM {boxes}"  # noqa: S608
    wrong = {
        "without an index row": f"SELECT id FROM {name} WHERE {has} EXCEPT {ids}",  # noqa: S608
        "in the index only": f"{ids} EXCEPT SELECT id FROM {name} WHERE {has}",  # noqa: S608
        "outside their box": (
            f"SELECT f.id FROM {name} AS f JOIN {boxes} AS r USING (id) WHERE ST_MinX(geom) < r.minx OR "  # noqa: S608
            "ST_MaxX(geom) > r.maxx OR ST_MinY(geom) < r.miny OR ST_MaxY(geom) > r.maxy"
        ),
    }
    for what, query in wrong.items():
        found = [str(row) for (row,) in connection.exec_driver_sql(f"{query} ORDER BY 1").all()]
        if found:
            yield Finding("index_differs", name, f"{what}: {_some(found)}")


def _references(connection: Connection, sections: Sections) -> Iterator[Finding]:
    for model in _models(sections):
        table = model.table()
        for key in table.foreign_key_constraints:
            (column,), (to,) = key.columns, key.elements
            target = to.column.table.alias("target")
            lost = (
                sa.select(sa.func.count())
                .select_from(table)
                .where(column.is_not(None), ~sa.exists().where(target.c[to.column.name] == column))
            )
            count = connection.execute(lost).scalar_one()
            if count:
                yield Finding("reference_broken", table.name, str(count))


def _invariants(db: Database, connection: Connection, sections: Sections) -> Iterator[Finding]:
    """By name: a trigger carries its invariant's name, with what it acts on."""
    if db.kind == "embedded":
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    else:
        query = (
            "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D' "
            "UNION ALL SELECT conname FROM pg_constraint"
        )
    there = {str(name) for (name,) in connection.execute(sa.text(query)).all()}
    for invariant in (each for section in sections for each in section.invariants):
        for name in invariant.made(db.kind):
            if name not in there:
                yield Finding("invariant_missing", invariant.table.name, name)


def _features(connection: Connection) -> Iterator[Finding]:
    for batch in _batches(Feature.table(), connection):
        for row in batch:
            content = {name: value for name, value in row.items() if name not in {"id", "hash", "geom"}}
            if _name_of(content) != row["hash"]:
                yield Finding("feature_altered", "feature", str(row["hash"]))


def _name_of(content: Row) -> str | None:
    """None where the content cannot have a name at all."""
    try:
        return feature_hash(Content(**content))
    except JieguanError:
        return None


def _versions(session: Session) -> Iterator[Finding]:
    """By what the features themselves say, so that a member row that misnames its feature shows too."""
    work_crs = session.execute(sa.select(Installation.work_crs)).scalar_one()
    for version in session.scalars(sa.select(MapVersion).order_by(MapVersion.hash)):
        query = (
            sa.select(Feature.layer, Feature.code, Feature.hash, Member.layer, Member.code)
            .join(Member, Member.feature_hash == Feature.hash)
            .where(Member.version_hash == version.hash)
        )
        rows = session.execute(query).all()
        named = version_hash(((layer, code, name) for layer, code, name, *_ in rows), work_crs, version.settings)
        if named != version.hash or any((row[0], row[1]) != (row[3], row[4]) for row in rows):
            yield Finding("version_altered", "map_version", version.hash)


def _periods(session: Session) -> Iterator[Finding]:
    query = sa.select(Publication.id, Publication.valid_from, Publication.valid_to).order_by(
        Publication.valid_from, Publication.id
    )
    last: tuple[int, datetime | None] | None = None
    for number, since, until in session.execute(query):
        if until is not None and until <= since:
            continue  # withdrawn before it took effect
        if last is not None and (last[1] is None or last[1] > since):
            yield Finding("periods_overlap", "publication", f"{last[0]}, {number}")
        last = number, until


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" … ({len(names)})" if len(names) > 10 else "")
