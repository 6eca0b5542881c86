"""Opening a database: one URL, two kinds, and the settings each of them needs to be safe.

Embedded: one private SQLite file, `*.db`, in WAL mode with every commit synced. Readers never wait. Writers go one at a time
through a gate, so none starves and none sees "database is locked". PostgreSQL: readers see one snapshot for as long as their
session lasts, waits have an end, lost connections are noticed before they are used.

    with open_database("city.db") as db:
        with db.writing() as session: ...   # committed when the block has ended, rolled back when it raised
        with db.reading() as session: ...   # one snapshot; a write is an error

Open a Database in the process that uses it, after any fork.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psycopg
import sqlalchemy as sa
from sqlalchemy import URL, Connection, Engine, QueuePool, event, make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session

from geodata.db import gpkg, guard
from geodata.db.both import Kind
from geodata.db.pulse import Listening, Pulse
from geodata.db.tables import MAP, Section
from routing.errors import JieguanError, Worded

NO_DATABASE: Mapping[str, tuple[str, str]] = {
    "no_url": ("不成其为网址", "it cannot be read as a URL"),
    "no_host": ("文件没有主机,也不带参数;请留意三条斜线", "a file takes neither host nor options; mind the three slashes"),
    "no_name": ("没有写明服务器上的库名", "it names no database on the server"),
    "other_kind": ("不是 gpkg、sqlite 或 postgresql", "it is none of gpkg, sqlite and postgresql"),
    "not_db": ("嵌入式数据库的文件名应为 *.db", "the file of an embedded database is named *.db"),
}


class UnknownDatabase(Worded):
    zh = (
        "“{url}”不是可用的数据库({why})。请写 city.db 或 gpkg:////路径/city.db(嵌入式,文件名以 .db 结尾),"
        "或 postgresql://用户@主机/库名。"
    )
    en = (
        "{url!r} is no database we can use ({why}). Write city.db or gpkg:////path/city.db (embedded; the name ends in "
        ".db), or postgresql://user@host/name."
    )
    worded = "why"
    words = NO_DATABASE


class DatabaseMissing(JieguanError):
    zh = "没有数据库文件“{path}”。请检查路径,或用 jieguan db init 新建。"
    en = "There is no database file {path!r}. Check the path, or make one by jieguan db init."


class CannotOpenDatabase(JieguanError):
    zh = "数据库“{path}”无法打开({reason})。请检查目录、权限和剩余空间,以及该文件是否为数据库。"
    en = (
        "The database {path!r} cannot be opened ({reason}). Check the folder, its rights and the space left, and whether the "
        "file is a database."
    )


class NotWal(JieguanError):
    zh = "数据库“{path}”无法使用 WAL 方式(现为 {mode}):没有它,读写会互相阻塞。请放到本机可写磁盘上(网络盘不行)。"
    en = (
        "The database {path!r} cannot use write-ahead logging (it is in mode {mode}), without which readers and writers stop "
        "each other. Put it on a writable local disk (no network share)."
    )


class ServerUnreachable(JieguanError):
    zh = "连不上数据库服务器 {url}({reason})。请检查主机、端口、用户和口令,以及服务是否在运行。"
    en = "The database server {url} cannot be reached ({reason}). Check host, port, user and password, and whether it runs."


class WrongLocale(JieguanError):
    zh = (
        "数据库 {url} 的编码为 {encoding}、排序 {collate}、字符 {ctype},需要 UTF8 与 C.UTF-8:否则两种数据库的次序不同,"
        "中文检索失效。请新建:CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'。"
    )
    en = (
        "The database {url} has encoding {encoding}, collation {collate} and character type {ctype}; UTF8 and C.UTF-8 are needed, or "
        "the two kinds of database sort differently and Chinese text is not found. Make one anew: CREATE DATABASE … "
        "TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'."
    )


class PostgisMissing(JieguanError):
    zh = "数据库 {url} 没有 PostGIS 扩展:几何无处存放。请安装后由管理员执行 CREATE EXTENSION postgis。"
    en = (
        "The database {url} has no PostGIS, so there is no place for geometry. Install it, and let an administrator run "
        "CREATE EXTENSION postgis."
    )


class NotInitialised(JieguanError):
    zh = "数据库 {url} 尚未初始化(没有 jieguan 的表)。请先运行 jieguan db init。"
    en = "The database {url} has not been initialised (it has no tables of jieguan). Run jieguan db init first."


class SchemaOlder(JieguanError):
    zh = "数据库 {url} 的结构是 {found},本程序需要 {needed}:旧结构上写入会丢内容。请先备份,再运行 jieguan db upgrade。"
    en = (
        "The database {url} has schema {found} and this program needs {needed}: writing to the old one would lose content. "
        "Back it up, then run jieguan db upgrade."
    )


class SchemaNewer(JieguanError):
    zh = "数据库 {url} 的结构 {found} 比本程序({needed})新,旧程序写入会破坏它。请更新 jieguan。"
    en = "The database {url} has schema {found}, newer than this program knows ({needed}), which would damage it. Update jieguan."


class WriterBusy(JieguanError):
    zh = "数据库“{path}”正被另一个写入占用,等待 {seconds} 秒仍未轮到;未作任何改动。请稍后重试。"
    en = "The database {path!r} is being written by another and {seconds} s of waiting did not help; nothing was changed. Try again later."


class NoRoom(JieguanError):
    zh = "数据库 {url} 写不进磁盘({reason}):此次写入未生效,先前已确认的内容不受影响。请腾出空间或检查磁盘后重试。"
    en = (
        "The database {url} cannot be written to its disk ({reason}). This write did not happen, and all that was acknowledged before "
        "stands. Free some space, or see to the disk, and try again."
    )


@dataclass(frozen=True, slots=True)
class Waits:
    """How long anything may wait, in seconds. 0: for ever (PostgreSQL's statements of maintenance)."""

    gate: float = 10
    """For the turn to write (embedded), and SQLite's own busy timeout."""
    statement: float = 60
    lock: float = 2
    idle: float = 60
    """Of a transaction nobody continues (PostgreSQL)."""
    silence: float = 2
    """For a server that neither answers nor says that it is at work (PostgreSQL): see `pulse`."""


PATIENT = Waits(gate=120, statement=0, lock=60, idle=0, silence=30)
"""For maintenance: copying takes as long as it takes."""

POOL = {"pool_size": 8, "max_overflow": 32}
"""Parameters are hidden from errors: they may be people's words, and errors end in logs."""


# ---- the gate --------------------------------------------------------------------------------------------------------


class Gate:
    """One writer at a time: a lock for the threads, and within it a lock on `x.db.writer` for the processes.

    The kernel frees the file's lock when its holder dies, however it dies. The file is opened for each turn, so that neither a fork
    nor a turn that was given up leaves a descriptor that still holds the lock.
    """

    def __init__(self, path: Path, wait_s: float) -> None:
        self._path, self._wait_s = path, wait_s
        self._turn, self._owner = threading.Lock(), 0
        self._process = os.getpid()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the turn, at most as long as agreed (WriterBusy). NoRoom where its file cannot be made."""
        assert self._process == os.getpid(), "a database is opened after the fork"
        assert self._owner != threading.get_ident(), "a writing session within a writing session"
        deadline = time.monotonic() + self._wait_s
        if not self._turn.acquire(timeout=self._wait_s):
            raise WriterBusy(path=str(self._path), seconds=self._wait_s)
        try:
            self._owner = threading.get_ident()
            with self._locked(deadline):
                yield
        finally:
            self._owner = 0
            self._turn.release()

    @contextmanager
    def _locked(self, deadline: float) -> Iterator[None]:
        try:
            file = os.open(f"{self._path}.writer", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise NoRoom(url=str(self._path), reason=error.strerror) from error
        if not (_lock_now(file) or _lock_until(file, deadline)):
            raise WriterBusy(path=str(self._path), seconds=self._wait_s)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing would not do: a child may have the descriptor too
            os.close(file)


def _lock_now(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_until(file: int, deadline: float) -> bool:
    """False: too late, and the file is closed or will be.

    The kernel wakes those who wait in turn, but lets them wait for ever; asking again and again is unfair to all who sleep in
    between. So a thread waits in our place, and gives the lock back if it comes too late.
    """
    settle, got, late = threading.Lock(), threading.Event(), threading.Event()

    def wait() -> None:
        fcntl.flock(file, fcntl.LOCK_EX)
        with settle:
            if late.is_set():
                os.close(file)
            else:
                got.set()

    threading.Thread(target=wait, name="write gate", daemon=True).start()
    got.wait(max(0.0, deadline - time.monotonic()))
    with settle:
        if not got.is_set():
            late.set()
    return got.is_set()


# ---- the database ----------------------------------------------------------------------------------------------------


class Glances:
    """Single questions to an embedded database, each a snapshot of its own, on a connection that each thread keeps.

    Through the pool a question takes twenty times as long as its answer: for what every request asks first.
    """

    def __init__(self, connect: Callable[[type[sqlite3.Connection]], sqlite3.Connection]) -> None:
        self._connect, self._mine = connect, threading.local()
        self._all: weakref.WeakSet[sqlite3.Connection] = weakref.WeakSet()

    def value(self, sql: str, *parameters: Any) -> Any:
        """The first column of the first row, or None."""
        connection = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = self._connect(_Kept)
            self._all.add(connection)
        row = connection.execute(sql, parameters).fetchone()
        return None if row is None else row[0]

    def close(self) -> None:
        """All of them; the next question opens another."""
        for connection in list(self._all):
            connection.close()
        self._all.clear()
        self._mine = threading.local()


class _Kept(sqlite3.Connection):
    """One that can be referred to weakly: it goes with its thread."""


@dataclass(frozen=True, slots=True, eq=False)
class Database:
    """An open database. `read` and `write` are two faces of one pool."""

    kind: Kind
    url: str
    """Without the password: fit for a message."""
    read: Engine = field(repr=False)
    write: Engine = field(repr=False)
    path: Path | None
    """The file, of an embedded one."""
    gate: Gate | None = field(repr=False)
    glances: Glances | None = field(default=None, repr=False)
    """Of an embedded one."""
    upon_publication: Callable[[Session, frozenset[str]], None] = field(default=lambda _, __: None, repr=False)
    """Asked within the transaction that puts a version in force, with the squads that can hold cases in it: what it raises, stops it."""

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One snapshot from the first statement on; a write raises. Short on an embedded database: its log grows meanwhile."""
        with Session(self.read, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Committed, and safe on disk, before this returns; whatever is raised rolls all of it back.

        Embedded: nobody else writes meanwhile, so what was read stays true. PostgreSQL: others may (READ COMMITTED); lock what a
        decision rests on (`with_for_update`) or let a constraint decide. Within one thread it does not nest. Raises WriterBusy, NoRoom.
        """
        try:
            if self.gate is None:
                with Session(self.write, expire_on_commit=False) as session:
                    yield session
                    session.commit()
                return
            with self.gate.held(), Session(self.write, expire_on_commit=False) as session:
                session.connection()  # BEGIN IMMEDIATE now, not at the first statement
                yield session
                session.commit()
        except OperationalError as error:
            if not _without_room(error.orig):
                raise
            raise NoRoom(url=self.url, reason=" ".join(str(error.orig).split())) from error

    def close(self) -> None:
        """Give everything back. The last to close an embedded database empties its log into the file."""
        if self.glances is not None:
            self.glances.close()
        self.read.dispose()
        if self.path is not None:
            guard.release(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _without_room(cause: BaseException | None) -> bool:
    """The disk is full, or a quota is; SQLite calls what the system refuses otherwise a failed write."""
    if isinstance(cause, sqlite3.Error):
        return cause.sqlite_errorname in ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE")
    return isinstance(cause, psycopg.errors.DiskFull)


Sections = tuple[Section, ...]
"""Of a schema; the map's comes first."""
MAP_ONLY: Sections = (MAP,)


def open_database(url: str | Path, *, waits: Waits = Waits(), sections: Sections = MAP_ONLY) -> Database:
    """Open an initialised database of this program's schema. Everything that can be wrong with it is said here."""
    db = attach(url, waits=waits)
    try:
        require_schema(db, sections)
    except BaseException:
        db.close()
        raise
    return db


def attach(url: str | Path, *, create: bool = False, waits: Waits = PATIENT) -> Database:
    """Open whatever schema it has, for maintenance. `create`: a missing file is made (empty), PostGIS may be missing."""
    parsed = parse_url(url)
    if parsed.drivername == "gpkg":
        return _attach_embedded(Path(str(parsed.database)), create, waits)
    return _attach_postgresql(parsed, create, waits)


def require_schema(db: Database, sections: Sections = MAP_ONLY) -> None:
    """NotInitialised, SchemaOlder or SchemaNewer, or nothing."""
    with db.reading() as session:
        found = [revision_of(session.connection(), section) for section in sections]
        work_crs = found[0] and session.execute(sa.text("SELECT work_crs FROM installation")).scalar_one_or_none()
    if found[0] is None or (found[0] == sections[0].needed and work_crs is None):
        raise NotInitialised(url=db.url)
    for revision, section in zip(found, sections, strict=True):
        if revision != section.needed:
            error = SchemaNewer if revision is not None and revision not in section.revisions else SchemaOlder
            raise error(url=db.url, found=said(found, sections), needed=said([s.needed for s in sections], sections))


def said(revisions: Sequence[str | None], sections: Sections) -> str:
    """How far each section has come, in one word if there is but one."""
    if len(sections) == 1:
        return str(revisions[0])
    return ", ".join(f"{section.name}: {revision or '-'}" for revision, section in zip(revisions, sections, strict=True))


def revision_of(connection: Connection, section: Section = MAP) -> str | None:
    """The revision of one section of the schema, None where there is nothing of it."""
    if not sa.inspect(connection).has_table(section.versions):
        return None
    found = connection.execute(sa.text(f"SELECT version_num FROM {section.versions}")).scalar_one_or_none()  # noqa: S608  (our own name)
    return None if found is None else str(found)


def parse_url(url: str | Path) -> URL:
    """`gpkg` with an absolute path, or `postgresql+psycopg`; anything else raises UnknownDatabase. No password is shown."""
    text = str(url)
    if "://" not in text:
        return _embedded_url(text, text)
    try:
        parsed = make_url(text)
    except (ArgumentError, ValueError):  # it may quote the password
        raise UnknownDatabase(url=text.partition("://")[0] + "://…", why="no_url") from None
    if parsed.drivername in {"sqlite", "sqlite+pysqlite", "gpkg"}:
        if parsed.query or parsed.host:
            raise UnknownDatabase(url=_shown(parsed), why="no_host")
        return _embedded_url(parsed.database or "", _shown(parsed))
    if parsed.drivername in {"postgres", "postgresql", "postgresql+psycopg"}:
        if not parsed.database:
            raise UnknownDatabase(url=_shown(parsed), why="no_name")
        return _with_password(parsed).set(drivername="postgresql+psycopg")
    raise UnknownDatabase(url=_shown(parsed), why="other_kind")


def _embedded_url(name: str, shown: str) -> URL:
    if not name.endswith(".db") or name == ".db":
        raise UnknownDatabase(url=shown, why="not_db")
    return URL.create("gpkg", database=str(Path(name).expanduser().absolute()))


def _with_password(url: URL) -> URL:
    """`?password=` moves to where it is never shown."""
    given = url.query.get("password")
    hidden = url.set(password=given) if isinstance(given, str) else url
    return hidden.difference_update_query(["password"])


def _shown(url: URL) -> str:
    return _with_password(url).render_as_string(hide_password=True)


# ---- embedded --------------------------------------------------------------------------------------------------------


def _attach_embedded(path: Path, create: bool, waits: Waits) -> Database:
    if not create and not path.exists():
        raise DatabaseMissing(path=str(path))

    def connect(factory: type[sqlite3.Connection] = sqlite3.Connection) -> sqlite3.Connection:
        # The mode: a file that has gone must not come back empty.
        name = f"file:{quote(str(path))}?mode={'rwc' if create else 'rw'}"
        how: dict[str, Any] = {"timeout": waits.gate, "isolation_level": None, "check_same_thread": False, "factory": factory}
        made: sqlite3.Connection = sqlite3.connect(name, uri=True, **how)
        return made

    def glance(factory: type[sqlite3.Connection]) -> sqlite3.Connection:
        connection = connect(factory)
        connection.execute("PRAGMA query_only = 1")
        return connection

    def prepare(connection: Any, _: object) -> None:
        try:
            _prepare(connection, path, waits)
        except BaseException:
            connection.close()
            raise

    engine = sa.create_engine("gpkg://", creator=connect, poolclass=QueuePool, hide_parameters=True, **POOL)
    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "reset", _end)
    db = Database(
        kind="embedded",
        url=str(path),
        read=engine,
        write=engine.execution_options(write=True),
        path=path,
        gate=Gate(path, waits.gate),
        glances=Glances(glance),
    )
    guard.protect(path)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
    except sa.exc.DatabaseError as error:
        db.close()
        raise CannotOpenDatabase(path=str(path), reason=str(error.orig)) from error
    except BaseException:
        db.close()
        raise
    return db


def _prepare(connection: sqlite3.Connection, path: Path, waits: Waits) -> None:
    """`isolation_level` None: the driver's own transactions leave reads outside, and silently lose updates."""
    connection.execute(f"PRAGMA busy_timeout = {int(waits.gate * 1000)}")  # first: the next line may have to wait
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except sqlite3.OperationalError as error:
        raise CannotOpenDatabase(path=str(path), reason=str(error)) from error
    if mode != "wal":
        raise NotWal(path=str(path), mode=mode)
    for setting in ("synchronous = FULL", "foreign_keys = ON", "recursive_triggers = ON"):
        connection.execute(f"PRAGMA {setting}")
    gpkg.install(connection)


def _begin(connection: Connection) -> None:
    write = bool(connection.get_execution_options().get("write", False))
    connection.exec_driver_sql(f"PRAGMA query_only = {int(not write)}")  # has no effect once a transaction has begun
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _end(connection: sqlite3.Connection, _: object, __: object) -> None:
    """A commit that fails leaves SQLite's transaction open, with its lock; SQLAlchemy takes it for ended and would not roll it back."""
    if connection.in_transaction:
        connection.rollback()


# ---- PostgreSQL ------------------------------------------------------------------------------------------------------


def _attach_postgresql(url: URL, create: bool, waits: Waits) -> Database:
    engine = sa.create_engine(
        url, pool_pre_ping=True, hide_parameters=True, connect_args={"client_encoding": "utf8"}, **POOL
    )

    def prepare(connection: Any, _: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false), "
                "set_config('idle_in_transaction_session_timeout', %s, false), set_config('TimeZone', 'UTC', false)",
                [f"{int(seconds * 1000)}ms" for seconds in (waits.statement, waits.lock, waits.idle)],
            )
            # A server set to forget the last commits must not forget ours.
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
            )
        connection.commit()

    pulse = Pulse(waits.silence)

    def connect(_: object, __: object, words: Any, named: dict[str, Any]) -> Listening:
        return Listening.listening(pulse, *words, **{"connect_timeout": max(2, round(waits.silence)), **named})

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", prepare)
    event.listen(engine, "reset", _end_on_server)
    db = Database(
        kind="postgresql",
        url=_shown(url),
        # One snapshot for the whole session, as SQLite gives it; read-only at this level is never refused for others' writes.
        read=engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True),
        write=engine,
        path=None,
        gate=None,
    )
    try:
        with engine.connect() as connection:
            _require_locale(connection, db.url)
            if not create:
                require_postgis(connection, db.url)
    except OperationalError as error:
        db.close()
        raise ServerUnreachable(url=db.url, reason=" ".join(str(error.orig).split())) from None
    except BaseException:
        db.close()
        raise
    return db


def _end_on_server(connection: psycopg.Connection[Any], _: object, __: object) -> None:
    """The same where a commit failed before it was sent."""
    if not connection.closed and connection.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE:
        connection.rollback()


def _require_locale(connection: Connection, url: str) -> None:
    """The provider's name and locale have moved between versions of PostgreSQL, hence the row as JSON."""
    row = connection.execute(
        sa.text(
            "SELECT getdatabaseencoding() AS encoding, datcollate AS collate, datctype AS ctype, "
            "coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') AS provider, to_jsonb(d) ->> 'datlocale' AS builtin "
            "FROM pg_database AS d WHERE datname = current_database()"
        )
    ).one()
    collate, ctype = (row.builtin, row.builtin) if row.provider == "b" else (row.collate, row.ctype)
    plain = {"C.UTF-8", "C.UTF8", "C.utf8"}
    if row.encoding != "UTF8" or row.provider == "i" or collate not in plain | {"C"} or ctype not in plain:
        raise WrongLocale(url=url, encoding=row.encoding, collate=collate, ctype=ctype)


def require_postgis(connection: Connection, url: str) -> None:
    """PostgisMissing, or nothing."""
    if not connection.execute(sa.text("SELECT 1 FROM pg_extension WHERE extname = 'postgis'")).scalar():
        raise PostgisMissing(url=url)
