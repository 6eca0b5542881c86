"""The record: what was done, by whom, when; each entry chained to the one before it, the last one told to a file outside.

    book = Book(db, Anchor(private / "anchor"))
    with book.writing() as page:
        page.session.add(...)
        page.enter(Entry("received", "王", "operator", None, now, {"squad": "A"}, case_id=17))

The entries are in the transaction of what they tell. Whoever alters, removes, reorders or adds a row, as owner of the database
even, breaks a link; whoever makes all links anew, or takes the end away, differs from the anchor. `verify` reads the rows as
they are stored, and asks nobody who wrote them.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.store.setup import GENESIS
from api.store.tables import ChainHead, Event
from geodata.db.both import canonical, instant_text, kind_of, plain
from geodata.db.engine import Database
from geodata.written import CannotWrite, whole_file
from routing.errors import Lang

FORMAT = 1
"""Of what an entry's hash is made of."""
ROWS = 1000
COMPACT_BYTES = 1 << 16
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that was done. `body`: facts without a person's data; `words`: sealed."""

    kind: str
    actor: str
    role: str
    squad: str | None
    at: datetime
    body: dict[str, Any]
    case_id: int | None = None
    words: bytes | None = None


class Head(NamedTuple):
    """An entry of the record by its number and hash. Before the first: 0, GENESIS."""

    event: int
    hash: str


START = Head(0, GENESIS)


def entry_hash(event: int, prev: str, entry: Mapping[str, Any]) -> str:
    """sha256 over an entry and the hash before it, as canonical JSON: `at` and `body` as their text, `words` by their sha256."""
    words = entry["words"]
    content = {
        "format": FORMAT,
        "id": event,
        "prev": prev,
        "words": None if words is None else hashlib.sha256(words).hexdigest(),
        **{name: entry[name] for name in PLAIN},
    }
    return hashlib.sha256(canonical(content).encode()).hexdigest()


PLAIN = ("case_id", "kind", "actor", "role", "squad", "at", "body")
"""Columns that enter the hash as they stand, `at` and `body` as text."""


# ---- writing ---------------------------------------------------------------------------------------------------------


class Page:
    """A transaction that is recorded. What is wrong with an entry is raised by `enter`: NotJson, NaiveInstant, Unstorable."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._entries: list[tuple[Entry, dict[str, Any]]] = []

    def enter(self, entry: Entry) -> None:
        """At the end of the transaction, in this order."""
        for text in (entry.kind, entry.actor, entry.role, entry.squad or ""):
            plain(text)
        hashed = {name: getattr(entry, name) for name in ("case_id", "kind", "actor", "role", "squad", "words")}
        self._entries.append((entry, {**hashed, "at": instant_text(entry.at), "body": canonical(entry.body, where="body")}))

    def chain(self) -> tuple[Head, Head] | None:
        """Put the entries behind the last one there is; where they begin and end. The row of the head is locked until the commit."""
        if not self._entries:
            return None
        self.session.flush()
        lock = sa.select(ChainHead.event_id, ChainHead.hash).where(ChainHead.id == 1).with_for_update()
        begin = head = Head(*self.session.execute(lock).one())
        rows = []
        for entry, hashed in self._entries:
            number = head.event + 1
            name = entry_hash(number, head.hash, hashed)
            columns = {column: getattr(entry, column) for column in Entry.__slots__}
            rows.append({**columns, "id": number, "prev": head.hash, "hash": name})
            head = Head(number, name)
        for at in range(0, len(rows), ROWS):
            self.session.execute(sa.insert(Event.table()), rows[at : at + ROWS])
        self.session.execute(sa.update(ChainHead.table()).values(event_id=head.event, hash=head.hash))
        return begin, head


@dataclass(frozen=True, slots=True)
class Book:
    """The record of a database, and where its last entry is told."""

    db: Database
    anchor: Anchor

    @contextmanager
    def writing(self) -> Iterator[Page]:
        """As `Database.writing`; the entries are chained last, so that others wait for the head no longer than they must."""
        with self.db.writing() as session:
            page = Page(session)
            yield page
            told = page.chain()
        if told is not None:
            self.anchor.tell(*told)


# ---- the anchor ------------------------------------------------------------------------------------------------------

Stretch = tuple[Head, Head]
"""A piece of the chain somebody wrote: behind which entry, up to which."""
LINE = re.compile(rb"(\d{1,18}) ([0-9a-f]{64}) (\d{1,18}) ([0-9a-f]{64})\n")


@dataclass(frozen=True, slots=True)
class Anchored:
    """What the anchor holds. `damaged`: lines nobody of us wrote."""

    stretches: tuple[Stretch, ...]
    damaged: int

    @property
    def heads(self) -> dict[int, set[str]]:
        """Every entry whose hash is known here, by number. Two hashes: the record was once another."""
        found: dict[int, set[str]] = {}
        for head in (head for stretch in self.stretches for head in stretch if head.event):
            found.setdefault(head.event, set()).add(head.hash)
        return found


class Anchor:
    """The ends of the record, in a file outside the database; for all threads and processes that write.

    A line is a stretch: the entry it continues, and its last. Stretches that meet become one when the file is compacted, so it stays small,
    and a record that went on from an older state, or was made anew, leaves a stretch that does not meet: the evidence is kept.
    A line is synced before the answer goes out, as the commit was: what was acknowledged is evidence also after a power cut. One sync
    does for all who wait for it. A line cut short, or a block that holds nothing, is behind the last whole line, and is no line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._untold: list[Stretch] = []
        self._listing, self._turn = threading.Lock(), threading.Lock()

    def tell(self, begin: Head, head: Head) -> None:
        """After the commit. A disk that is full now is told the next time, since what was committed stands."""
        with self._listing:
            self._untold.append((begin, head))
        with self._turn:
            with self._listing:
                mine, self._untold = self._untold, []
            if not mine:  # who had the turn before has written it
                return
            try:
                self._append(mine)
            except (OSError, CannotWrite):
                with self._listing:
                    self._untold = mine + self._untold
                log.exception("the head of the record could not be written to %s; it will be with the next one", self.path)

    def read(self) -> Anchored:
        """What it holds now; a last line cut short by a crash is none."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return Anchored((), 0)
        stretches, damaged = [], 0
        for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
            found = LINE.fullmatch(line)
            if found is None or int(found[1]) >= int(found[3]):
                damaged += 1
            else:
                stretches.append((Head(int(found[1]), found[2].decode()), Head(int(found[3]), found[4].decode())))
        return Anchored(_joined(stretches), damaged)

    def _append(self, stretches: Sequence[Stretch]) -> None:
        with self._alone(), os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as file:
            size = _whole_lines(file)
            file.seek(size)
            file.truncate()
            file.write(b"".join(_line(stretch) for stretch in stretches))
            file.flush()
            os.fdatasync(file.fileno())
            if size == 0:
                _sync_folder(self.path)  # that it is there at all
            if size > COMPACT_BYTES:
                self._compact()

    def _compact(self) -> None:
        held = self.read()
        if not held.damaged:  # what is damaged is left as it is, to be looked at
            with whole_file(self.path) as file:
                file.write_bytes(b"".join(_line(stretch) for stretch in held.stretches))
                file.chmod(0o600)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time. The lock has a file of its own, since compacting puts another in the place of the anchor."""
        lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _line(stretch: Stretch) -> bytes:
    begin, head = stretch
    return f"{begin.event} {begin.hash} {head.event} {head.hash}\n".encode()


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _whole_lines(file: Any) -> int:
    """Where the last whole line ends."""
    size = file.seek(0, os.SEEK_END)
    while size:
        start = max(0, size - 4096)
        file.seek(start)
        end = file.read(size - start).rfind(b"\n")
        if end >= 0:
            return int(start + end + 1)
        size = start
    return 0


def _joined(stretches: Sequence[Stretch]) -> tuple[Stretch, ...]:
    """Stretches that meet, as one; in order."""
    following = dict.fromkeys(stretches)
    by_begin: dict[Head, list[Stretch]] = {}
    for stretch in following:
        by_begin.setdefault(stretch[0], []).append(stretch)
    joined: list[Stretch] = []
    ends = {head for _, head in following}
    # Each walk begins where none ends, or where the record forked, and goes on as long as there is one way to go. Numbers rise along
    # a stretch, so there is no circle.
    forks = {begin for begin, ways in by_begin.items() if len(ways) > 1}
    for stretch in sorted(following):
        begin, head = stretch
        if begin in ends and begin not in forks:
            continue
        while head not in forks and head in by_begin:
            (_, head) = by_begin[head][0]
        joined.append((begin, head))
    return tuple(joined)


# ---- the proof -------------------------------------------------------------------------------------------------------

WORDS = {
    "altered": ("记录 {event} 的内容与其哈希不符:该行被改动", "entry {event} is not what its hash says: the row was altered"),
    "replaced": (
        "记录 {event} 之后的一条是接在另一内容之后的:该行被整条替换,或插入、调换过",
        "the entry after {event} continues another: row {event} was replaced, inserted or moved",
    ),
    "removed": ("记录 {event} 至 {detail} 缺失:行被删除", "the entries {event} to {detail} are missing: rows were removed"),
    "inserted": ("记录 {event} 不应存在:编号从 1 开始", "there can be no entry {event}: they are counted from 1"),
    "truncated": (
        "记录 {event} 至 {detail} 缺失:末尾被截去,或恢复了旧备份",
        "the entries {event} to {detail} are missing: the end was cut off, or an older backup was put back",
    ),
    "rewritten": (
        "记录 {event} 与库外的锚不符:它或更早的行被重写,或曾恢复旧备份后继续",
        "entry {event} is not the one the anchor knows: it or an earlier one was made anew, or an older backup was put back and continued",
    ),
    "head_differs": (
        "链首行指向记录 {event},与末条记录 {detail} 不符",
        "the row of the head names entry {event}, not the last one as it stands, {detail}",
    ),
    "not_anchored": (
        "没有库外的锚({detail}):末尾被截去也看不出。锚在私密目录中;若刚换了目录,请一并移来",
        "there is no anchor ({detail}): an end cut off would not be seen. It lies in the private folder; if that was moved, move it too",
    ),
    "anchor_damaged": ("锚 {detail} 中有 {event} 行不成其为锚", "the anchor {detail} has {event} lines that are none"),
}
"""Each finding in Chinese and English."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with the record. `code`: a key of WORDS; `event`: the first row it is about."""

    code: str
    event: int
    detail: str = field(default="")

    def text(self, lang: Lang) -> str:
        """The sentence in one language."""
        return WORDS[self.code][0 if lang == "zh-CN" else 1].format(event=self.event, detail=self.detail)


def verify(session: Session, anchor: Anchor | None, noted: Sequence[Head] = ()) -> Iterator[Finding]:
    """Read every row, recompute every hash, follow every link; none found means the record is the one that was written.

    In order of the rows, a thousand in memory. `anchor` None: the chain alone. `noted`: heads that somebody wrote down elsewhere.
    """
    known: dict[int, set[str]] = {}
    if anchor is not None:
        held = anchor.read()
        known = held.heads
        if held.damaged:
            yield Finding("anchor_damaged", held.damaged, str(anchor.path))
    for head in noted:
        known.setdefault(head.event, set()).add(head.hash)
    last = START
    for row in _rows(session):
        if row.event < 1:
            yield Finding("inserted", row.event)
            continue
        yield from _link(last, row)
        if known.pop(row.event, {row.hash}) != {row.hash}:
            yield Finding("rewritten", row.event)
        last = Head(row.event, row.hash)
    stated = session.execute(sa.select(ChainHead.event_id, ChainHead.hash).where(ChainHead.id == 1)).one_or_none()
    head = START if stated is None else Head(*stated)
    missing = max([head.event, *known])
    if missing > last.event:
        yield Finding("truncated", last.event + 1, str(missing))
    elif head != last:
        yield Finding("head_differs", head.event, str(last.event))
    if anchor is not None and last.event > 0 and not held.stretches:
        yield Finding("not_anchored", last.event, str(anchor.path))


def last_entry(session: Session) -> Head:
    """The head, to be written down elsewhere."""
    return Head(*session.execute(sa.select(ChainHead.event_id, ChainHead.hash).where(ChainHead.id == 1)).one())


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it is stored. `content` None: a column holds what nobody of us writes."""

    event: int
    prev: str
    hash: str
    content: dict[str, Any] | None


def _link(last: Head, row: Row) -> Iterator[Finding]:
    if row.event > last.event + 1:
        yield Finding("removed", last.event + 1, str(row.event - 1))
    if row.content is None or entry_hash(row.event, row.prev, row.content) != row.hash:
        yield Finding("altered", row.event)
    elif row.prev != last.hash and row.event == last.event + 1:
        yield Finding("replaced", max(last.event, 1))


TEXTS = ("kind", "actor", "role", "squad", "at", "body", "prev", "hash")
"""Columns of text, as an embedded database stores them."""


def _rows(session: Session) -> Iterator[Row]:
    """In order of their numbers, whatever these are, without the types of the models: those would not load what a stranger wrote."""
    read, columns = (_read_postgresql, _PG) if kind_of(session.connection()) == "postgresql" else (_read_embedded, _LITE)
    after = -(2**63)
    while True:
        query = sa.text(f"SELECT {columns} FROM event WHERE id > :after ORDER BY id LIMIT {ROWS}")  # noqa: S608  (our own names)
        rows = session.execute(query, {"after": after}).all()
        for row in rows:
            yield read(row)
        if not rows:
            return
        after = rows[-1][0]


_PG = (
    "id, case_id, kind, actor, role, squad, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24\\:MI\\:SS.US\"Z\" AD') AS at, body, "
    "words, prev, hash"
)
_LITE = ", ".join(
    ["id", "typeof(case_id), case_id", "typeof(words), words", *(f"typeof({name}), CAST({name} AS BLOB)" for name in TEXTS)]
)
"""A column of SQLite holds anything, text that is no text among it."""


def _read_postgresql(row: Any) -> Row:
    stored = dict(row._mapping)  # noqa: SLF001  (SQLAlchemy's public name for it)
    stored["at"] = (stored["at"] or "").removesuffix(" AD")
    stored["words"] = None if stored["words"] is None else bytes(stored["words"])
    return Row(stored.pop("id"), stored.pop("prev"), stored.pop("hash"), stored)


def _read_embedded(row: Any) -> Row:
    event, case_type, case_id, words_type, words, *rest = row
    sound = case_type in {"integer", "null"} and words_type in {"blob", "null"}
    stored: dict[str, Any] = {"case_id": case_id, "words": words}
    for name, kind, value in zip(TEXTS, rest[::2], rest[1::2], strict=True):
        try:
            stored[name] = None if value is None else value.decode()
        except UnicodeDecodeError:
            stored[name], sound = value.hex(), False
        sound = sound and (kind == "text" or (kind == "null" and name == "squad")) and "\0" not in (stored[name] or "")
    prev, name = stored.pop("prev"), stored.pop("hash")
    return Row(event, prev or "", name or "", stored if sound else None)
