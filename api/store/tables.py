"""The tables of the cases: people who work here, complaints and who holds them, the record, and what is sealed.

One set of models for both databases, in the manner of `geodata.db.tables`. What the public or the staff write in words, and who
complained, is ciphertext here (`bytes`, by `api.vault`): its key lies outside, and with the key every copy is gone.
What may not happen is forbidden by the database itself: see the invariants below; `refusal(error)` gives their names.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from geoalchemy2 import WKBElement
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from api.store.base import Cases
from api.store.out_tables import PublicationRule
from geodata.db.both import Both, Json, forbid, no_insert, no_update, violated
from geodata.db.engine import Sections
from geodata.db.shape import LONLAT, Shape
from geodata.db.tables import MAP, MapVersion, Section
from routing.case import OPEN, State

STATES = ", ".join(f"'{state.value}'" for state in State)
OPEN_STATES = ", ".join(f"'{state.value}'" for state in State if state in OPEN)


# ---- people ----------------------------------------------------------------------------------------------------------


class Account(Cases):
    """Somebody who works here. `password`: an argon2 hash; `subject`: issuer and subject of an OIDC login. One of them, or none yet.

    `epoch` counts what ends all sessions: a new role, another squad, a new password, closing.
    """

    __tablename__ = "account"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    squad: Mapped[str | None]
    password: Mapped[str | None]
    subject: Mapped[str | None] = mapped_column(unique=True)
    epoch: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class Session(Cases):
    """A login. `id` is the sha256 of the cookie's secret, `csrf` of the header's: neither can be used by who reads this table."""

    __tablename__ = "login"

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("account.id"), index=True)
    epoch: Mapped[int]
    csrf: Mapped[str]
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]


class Token(Cases):
    """A bearer token of a machine, or of somebody's own program. `id`: sha256 of its secret."""

    __tablename__ = "token"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    squad: Mapped[str | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class Attempt(Cases):
    """A login that failed, by account and by address (both as keyed hashes), for as long as it is counted."""

    __tablename__ = "attempt"
    __table_args__ = (Index(None, "who", "at"), Index(None, "whence", "at"))

    id: Mapped[int] = mapped_column(primary_key=True)
    who: Mapped[str]
    whence: Mapped[str]
    at: Mapped[datetime]


# ---- what can be complained of ---------------------------------------------------------------------------------------


class Category(Cases):
    """A category of complaints, for a period. `to_supervision`: about officers; it goes to supervision, past those complained of."""

    __tablename__ = "category"

    code: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime] = mapped_column(primary_key=True)
    until: Mapped[datetime | None]
    zh: Mapped[str]
    en: Mapped[str]
    hazard: Mapped[bool]
    mobile: Mapped[bool]
    to_supervision: Mapped[bool]
    document: Mapped[str]


class Rule(Cases):
    """A rule of the house that is a number, for a period: how long something is kept. `scope`: a category's code, or `*` for all."""

    __tablename__ = "rule"
    __table_args__ = (CheckConstraint("until > since", name="period"), CheckConstraint("value >= 0", name="value"))

    name: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime] = mapped_column(primary_key=True)
    until: Mapped[datetime | None]
    value: Mapped[int]
    document: Mapped[str]


# ---- cases -----------------------------------------------------------------------------------------------------------


class CaseFile(Cases):
    """A case as it stands: the columns of `routing.case.Case`, what it is about and where, and the decision that routed it.

    `version` counts changes: whoever changes it states the one he saw. `changed_at` never goes back, whatever the clock does.
    `rank` sorts a queue: 0 red, 1 doubtful, 2 the rest. `key`: whose key seals its words.
    """

    __tablename__ = "case_file"
    __table_args__ = (
        CheckConstraint(f"state IN ({STATES})", name="state"),
        CheckConstraint(f"open = (state IN ({OPEN_STATES}))", name="open"),
        CheckConstraint("rank IN (0, 1, 2)", name="rank"),
        CheckConstraint("(x_mm IS NULL) = (y_mm IS NULL)", name="place"),
        Index(None, "open", "rank", "received_at", "id"),
        Index(None, "state", "open", "rank", "received_at", "id"),
        Index(None, "category", "received_at"),
        Index(None, "received_at", "id"),
        Index(None, "created_by", "open", "rank", "received_at", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(unique=True)
    version: Mapped[int]
    received_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    created_by: Mapped[str]

    state: Mapped[str]
    open: Mapped[bool]
    holder: Mapped[str]
    lead: Mapped[str]
    duty: Mapped[str]
    offered: Mapped[str | None]
    returns: Mapped[int]
    parts: Mapped[list[Any]]
    joint: Mapped[list[Any]]
    rework: Mapped[int]
    reopened: Mapped[int]
    replied: Mapped[bool]
    attempts: Mapped[int]
    suspension_asked: Mapped[bool]
    extension_asked: Mapped[bool]
    supervisions: Mapped[int]
    handler: Mapped[str]

    category: Mapped[str]
    channel: Mapped[str]
    occurred_at: Mapped[datetime]
    found_by: Mapped[str | None]
    """The squad that found it itself."""
    confidential: Mapped[bool]
    to_supervision: Mapped[bool]
    against: Mapped[str | None]
    """The squad complained of."""
    hazard: Mapped[bool]
    rank: Mapped[int]
    due_at: Mapped[datetime | None]
    cluster_id: Mapped[int | None] = mapped_column(ForeignKey("cluster.id"), index=True)
    key: Mapped[str]
    words: Mapped[bytes]
    """Sealed: the description and the address, as JSON."""

    x_mm: Mapped[int | None] = mapped_column(BigInteger)
    y_mm: Mapped[int | None] = mapped_column(BigInteger)
    error_m: Mapped[float]
    place: Mapped[dict[str, Any]]
    """As it was stated: coordinates, datum, error; or why it could not be located."""
    geom: Mapped[WKBElement | None] = mapped_column(Shape("GEOMETRY", srid=LONLAT, spatial_index=True))

    step: Mapped[str]
    assist: Mapped[list[Any]]
    doubtful: Mapped[bool]
    margin_m: Mapped[float]
    runner_up: Mapped[str | None]
    township: Mapped[str | None]
    reasons: Mapped[list[Any]]
    map_version: Mapped[str] = mapped_column(ForeignKey(MapVersion.table().c.hash))
    rules_version: Mapped[str]


class Part(Cases):
    """What a squad has to do with a case: it `holds` it, it `assists`, it works `joint`ly, or it held it `formerly`.

    Who is in here may see the case. The columns of the case that sort a queue are repeated, so that a page of a queue is one range
    of an index, however many cases there are.
    """

    __tablename__ = "case_part"
    __table_args__ = (
        CheckConstraint("part IN ('holds', 'joint', 'assists', 'formerly')", name="part"),
        Index("ix_case_part_queue", "squad", "open", "rank", "received_at", "case_id"),
        Index("ix_case_part_queue_of_part", "squad", "part", "open", "rank", "received_at", "case_id"),
        Index("uq_case_part_holds", "case_id", unique=True, sqlite_where=text("part = 'holds'"), postgresql_where=text("part = 'holds'")),
    )

    case_id: Mapped[int] = mapped_column(ForeignKey("case_file.id"), primary_key=True)
    squad: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[str]
    open: Mapped[bool]
    rank: Mapped[int]
    received_at: Mapped[datetime]


class Holding(Cases):
    """Who held a case from when to when. Written by triggers on `case_file` alone: it cannot say anything else than the cases."""

    __tablename__ = "holding"
    __table_args__ = (
        CheckConstraint("until > since", name="period"),
        UniqueConstraint("case_id", "since"),
        Index("uq_holding_now", "case_id", unique=True, sqlite_where=text("until IS NULL"), postgresql_where=text("until IS NULL")),
        Index(None, "squad", "since"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("case_file.id"))
    squad: Mapped[str]
    since: Mapped[datetime]
    until: Mapped[datetime | None]


class Side(Cases):
    """Something beside a case that is opened and answered: a supervision (督办), a request, a part of joint work."""

    __tablename__ = "side"
    __table_args__ = (Index(None, "case_id", "kind"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("case_file.id"))
    kind: Mapped[str]
    squad: Mapped[str | None]
    opened_at: Mapped[datetime]
    opened_by: Mapped[str]
    due: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None]
    outcome: Mapped[str | None]


class Ruling(Cases):
    """A superior's order for one case, offered to planners as a standing designation. `standing`: offered, taken, declined."""

    __tablename__ = "ruling"

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("case_file.id"), index=True)
    squad: Mapped[str]
    document: Mapped[str]
    by: Mapped[str]
    at: Mapped[datetime]
    standing: Mapped[str] = mapped_column(index=True)
    draft_id: Mapped[str | None]
    closed_by: Mapped[str | None]
    closed_at: Mapped[datetime | None]


class Cluster(Cases):
    """The same offence on the two sides of a line, within a while: one matter, which `lead` leads."""

    __tablename__ = "cluster"

    id: Mapped[int] = mapped_column(primary_key=True)
    category: Mapped[str]
    lead: Mapped[str]
    squads: Mapped[list[Any]]
    opened_at: Mapped[datetime]
    opened_by: Mapped[str]
    closed_at: Mapped[datetime | None]


class Reporter(Cases):
    """Who complained: sealed, apart from the case. `sealed` NULL: erased, or nobody was named. `key`: that of the case."""

    __tablename__ = "reporter"

    case_id: Mapped[int] = mapped_column(ForeignKey("case_file.id"), primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(unique=True)
    anonymous: Mapped[bool]
    sealed: Mapped[bytes | None]
    keep_until: Mapped[datetime | None] = mapped_column(index=True)
    erased_at: Mapped[datetime | None]


class Attachment(Cases):
    """A file of a case: sealed, its name and content alike. `sha256`: of the sealed bytes."""

    __tablename__ = "attachment"

    id: Mapped[str] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("case_file.id"), index=True)
    at: Mapped[datetime]
    by: Mapped[str]
    squad: Mapped[str | None]
    media_type: Mapped[str]
    size: Mapped[int]
    sha256: Mapped[str]
    name: Mapped[bytes]
    data: Mapped[bytes] = mapped_column(deferred=True)


class Counter(Cases):
    """The next number of a series: the cases of a day."""

    __tablename__ = "counter"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int]


# ---- the record ------------------------------------------------------------------------------------------------------


class Event(Cases):
    """One entry of the record, chained to the one before it: `hash` is over `prev` and all the rest. Never altered.

    `body`: facts without a person's data. `words`: sealed, what somebody wrote. Order is by `id`, never by time.
    """

    __tablename__ = "event"
    __table_args__ = (Index(None, "case_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    case_id: Mapped[int | None] = mapped_column(ForeignKey("case_file.id"))
    kind: Mapped[str]
    actor: Mapped[str]
    role: Mapped[str]
    squad: Mapped[str | None]
    at: Mapped[datetime]
    body: Mapped[dict[str, Any]]
    words: Mapped[bytes | None]
    prev: Mapped[str] = mapped_column(unique=True)
    hash: Mapped[str] = mapped_column(unique=True)


class ChainHead(Cases):
    """One row: the last entry of the record."""

    __tablename__ = "chain_head"
    __table_args__ = (CheckConstraint("id = 1", name="one"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    event_id: Mapped[int]
    hash: Mapped[str]


class Replay(Cases):
    """The answer to a request with an Idempotency-Key, to be given again. `request`: keyed hash of what was asked."""

    __tablename__ = "replay"

    account: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[str]
    at: Mapped[datetime] = mapped_column(index=True)
    status: Mapped[int]
    headers: Mapped[dict[str, Any]]
    body: Mapped[Any | None] = mapped_column(Json)


TABLES: tuple[type[Cases], ...] = (
    Account, Session, Token, Attempt, Category, Rule, PublicationRule, Cluster, CaseFile, Part, Holding, Side, Ruling, Reporter,
    Attachment, Counter, Event, ChainHead, Replay,
)  # fmt: skip
"""In an order in which every row comes after those it refers to."""

# ---- what may not happen ---------------------------------------------------------------------------------------------


def _same(row: type[Cases], *but: str) -> str:
    return " AND ".join(
        f"NEW.{column.name} IS NOT DISTINCT FROM OLD.{column.name}" for column in row.table().columns if column.name not in but
    )


def keep_holdings() -> Both:
    """The history of holders follows the cases: a trigger writes it, so no program can forget to."""
    case, holding = CaseFile.__tablename__, Holding.__tablename__
    lets_go = "OLD.open AND (NEW.holder <> OLD.holder OR NOT NEW.open)"
    takes = "NEW.open AND (NEW.holder <> OLD.holder OR NOT OLD.open)"
    close = f"UPDATE {holding} SET until = NEW.changed_at WHERE case_id = NEW.id AND until IS NULL;"  # noqa: S608  (our own names)
    begin = f"INSERT INTO {holding} (case_id, squad, since) VALUES (NEW.id, NEW.holder, NEW.changed_at);"  # noqa: S608
    pg = (
        f"""CREATE OR REPLACE FUNCTION keep_holdings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.open THEN {begin} END IF;
    ELSE
        IF {lets_go} THEN {close} END IF;
        IF {takes} THEN {begin} END IF;
    END IF;
    RETURN NULL;
END $$""",
        f"CREATE OR REPLACE TRIGGER keep_holdings AFTER INSERT OR UPDATE ON {case} FOR EACH ROW EXECUTE FUNCTION keep_holdings()",
    )
    lite = (
        "DROP TRIGGER IF EXISTS keep_holdings_begin",
        f"CREATE TRIGGER keep_holdings_begin AFTER INSERT ON {case} WHEN NEW.open BEGIN {begin} END",
        "DROP TRIGGER IF EXISTS keep_holdings_change",
        # One trigger, so that one ends before the other begins: SQLite promises no order among triggers.
        f"CREATE TRIGGER keep_holdings_change AFTER UPDATE ON {case} WHEN ({lets_go}) OR ({takes}) BEGIN "
        f"{close} INSERT INTO {holding} (case_id, squad, since) SELECT NEW.id, NEW.holder, NEW.changed_at WHERE NEW.open; END",
    )
    return Both("keep_holdings", CaseFile.table(), pg, lite, of_changes=True)


INVARIANTS: tuple[Both, ...] = (
    forbid(
        CaseFile.table(), "case_file_step", "UPDATE", "DELETE",
        unless="NEW.version = OLD.version + 1 AND NEW.changed_at > OLD.changed_at AND NEW.id = OLD.id AND NEW.number = OLD.number "
        "AND NEW.received_at = OLD.received_at AND NEW.key = OLD.key AND NEW.created_by = OLD.created_by",
    ),
    keep_holdings(),
    no_insert(
        Holding.table(), "holding_of_holder",
        "NOT EXISTS (SELECT 1 FROM case_file WHERE case_file.id = NEW.case_id AND case_file.open AND case_file.holder = NEW.squad "
        "AND case_file.changed_at = NEW.since)",
        of_changes=True,
    ),
    forbid(
        Holding.table(), "holding_frozen", "UPDATE", "DELETE",
        unless=f"OLD.until IS NULL AND NEW.until IS NOT NULL AND {_same(Holding, 'until')}",
    ),
    no_update(
        Holding.table(), "holding_goes_on",
        "EXISTS (SELECT 1 FROM case_file WHERE case_file.id = OLD.case_id AND case_file.open AND case_file.holder = OLD.squad)",
    ),
    forbid(Event.table(), "event_append_only", "UPDATE", "DELETE"),
    forbid(ChainHead.table(), "chain_head_forward", "UPDATE", "DELETE", unless="NEW.event_id > OLD.event_id"),
    forbid(
        Ruling.table(), "ruling_frozen", "UPDATE", "DELETE",
        unless=_same(Ruling, "standing", "draft_id", "closed_by", "closed_at"),
    ),
)  # fmt: skip

CASES = Section(
    "cases", Cases.metadata, ("cases",), "api.store:migrations", "alembic_version_cases", TABLES, INVARIANTS
)
WHOLE: Sections = (MAP, CASES)
"""The schema of the service."""


def refusal(error: IntegrityError) -> str | None:
    """Which invariant or constraint of these tables refused, by name; the same on both databases (see `violated`)."""
    return violated(error, Cases.metadata)
