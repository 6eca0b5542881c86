"""The tables of the map store: features and versions (never altered), publications (closed once), drafts, defects.

One set of models for both databases. Instants are aware (`UtcDateTime`), JSON is canonical text (`Json`), the rest is plain text.
What may not happen is forbidden by the database itself: see the invariants below; `refusal(error)` gives their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from geoalchemy2 import WKBElement
from sqlalchemy import CheckConstraint, Double, ForeignKey, Index, LargeBinary, MetaData, Table
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from geodata.db.both import Both, Json, PlainText, UtcDateTime, forbid, no_insert, no_overlap, violated
from geodata.db.shape import LONLAT, Shape

FORMAT = 1
"""Of the content: what hashes are made of."""


NAMING = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}
"""Names are stated, so that both databases and the migrations agree on them."""


class Stored(DeclarativeBase):
    """What the models of every section have in common."""

    __abstract__ = True
    type_annotation_map: ClassVar[Mapping[Any, Any]] = {
        str: PlainText,
        datetime: UtcDateTime,
        float: Double,
        bytes: LargeBinary,
        dict[str, Any]: Json,
        list[Any]: Json,
    }

    @classmethod
    def table(cls) -> Table:
        """The table, typed as one."""
        assert isinstance(cls.__table__, Table)
        return cls.__table__


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A part of the schema with tables, invariants and a history of its own: the map; the cases, which refer to it.

    `revisions`: every schema there has been, oldest first; the last is the one the models state. `migrations`: where they are,
    as Alembic writes it. `versions`: the table that says how far a database has come. `tables`: every row comes after those it
    refers to, also those of sections before this one.
    """

    name: str
    metadata: MetaData
    revisions: tuple[str, ...]
    migrations: str
    versions: str
    tables: tuple[type[Stored], ...]
    invariants: tuple[Both, ...]

    @property
    def needed(self) -> str:
        """The revision these models state."""
        return self.revisions[-1]


class Base(Stored):
    __abstract__ = True
    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMING)


class Installation(Base):
    """One row: what holds for the whole database and never changes."""

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("id = 1", name="one"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    work_crs: Mapped[str]
    format: Mapped[int] = mapped_column(default=FORMAT)
    created_at: Mapped[datetime]


# ---- content: named by its hash, never altered -----------------------------------------------------------------------


class Feature(Base):
    """One dated row of one layer. `ground` is the truth, `geom` (lon, lat) is derived from it for searching and for GIS."""

    __tablename__ = "feature"
    __table_args__ = (Index(None, "layer", "code"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(unique=True)
    layer: Mapped[str]
    code: Mapped[str]
    name: Mapped[str | None]
    since: Mapped[datetime | None]
    until: Mapped[datetime | None]
    source: Mapped[str | None]
    licence: Mapped[str | None]
    datum: Mapped[str | None]
    accuracy_m: Mapped[float | None]
    document: Mapped[str | None]
    facts: Mapped[dict[str, Any]]
    """The layer's own columns."""
    ground: Mapped[bytes | None]
    """ISO WKB, whole millimetres of the work CRS."""
    geom: Mapped[WKBElement | None] = mapped_column(Shape("GEOMETRY", srid=LONLAT, spatial_index=True))
    """By `shape.to_column` and `shape.from_column` only."""


class MapVersion(Base):
    """A set of features, recorded. `map_name` is the content name of the map compiled from it."""

    __tablename__ = "map_version"

    hash: Mapped[str] = mapped_column(primary_key=True)
    recorded_at: Mapped[datetime]
    author: Mapped[str]
    note: Mapped[str | None]
    rules_version: Mapped[str]
    geos_version: Mapped[str]
    proj_version: Mapped[str]
    settings: Mapped[dict[str, Any]]
    certificate: Mapped[dict[str, Any]]
    map_name: Mapped[str]


class Member(Base):
    """This feature is in that version. One code may have several dated rows in a version."""

    __tablename__ = "member"
    __table_args__ = (Index(None, "version_hash", "layer", "code"),)

    version_hash: Mapped[str] = mapped_column(ForeignKey("map_version.hash"), primary_key=True)
    feature_hash: Mapped[str] = mapped_column(ForeignKey("feature.hash"), primary_key=True, index=True)
    layer: Mapped[str]
    code: Mapped[str]


class Compiled(Base):
    """The sealed map file of a version."""

    __tablename__ = "compiled"

    version_hash: Mapped[str] = mapped_column(ForeignKey("map_version.hash"), primary_key=True)
    data: Mapped[bytes]


class Publication(Base):
    """A version in force for [valid_from, valid_to). Closing sets `valid_to` and `closed_at` together, once.

    An empty period (valid_to = valid_from) is a publication withdrawn before it took effect.
    """

    __tablename__ = "publication"
    __table_args__ = (
        CheckConstraint("valid_to >= valid_from", name="period"),
        CheckConstraint("(valid_to IS NULL) = (closed_at IS NULL)", name="closed"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    version_hash: Mapped[str] = mapped_column(ForeignKey("map_version.hash"), index=True)
    valid_from: Mapped[datetime]
    valid_to: Mapped[datetime | None]
    recorded_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    signed: Mapped[list[Any]]
    reason: Mapped[str]
    document: Mapped[str | None]
    replaces: Mapped[int | None] = mapped_column(ForeignKey("publication.id", deferrable=True))


# ---- work ------------------------------------------------------------------------------------------------------------


class Draft(Base):
    """A base version plus a list of edits. `revision` counts accepted changes: whoever writes states the one he saw."""

    __tablename__ = "draft"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    base_version: Mapped[str | None] = mapped_column(ForeignKey("map_version.hash"))
    """None: begun from nothing."""
    base_publication: Mapped[int | None] = mapped_column(ForeignKey("publication.id"))
    author: Mapped[str]
    state: Mapped[str]
    revision: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]


class DraftEdit(Base):
    """One edit; never altered, so undo is an edit too."""

    __tablename__ = "draft_edit"

    draft_id: Mapped[str] = mapped_column(ForeignKey("draft.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    author: Mapped[str]
    at: Mapped[datetime]
    kind: Mapped[str]
    args: Mapped[dict[str, Any]]
    note: Mapped[str | None]


class DraftSignature(Base):
    """`signer` signs for `side` (a neighbour of a changed border, or a superior) what the draft was at `revision`."""

    __tablename__ = "draft_signature"

    id: Mapped[int] = mapped_column(primary_key=True)
    draft_id: Mapped[str] = mapped_column(ForeignKey("draft.id"), index=True)
    revision: Mapped[int]
    side: Mapped[str]
    signer: Mapped[str]
    role: Mapped[str]
    at: Mapped[datetime]
    reason: Mapped[str | None]
    document: Mapped[str | None]


class DraftComment(Base):
    """Said about a draft, or about one edit or place of it."""

    __tablename__ = "draft_comment"

    id: Mapped[int] = mapped_column(primary_key=True)
    draft_id: Mapped[str] = mapped_column(ForeignKey("draft.id"), index=True)
    seq: Mapped[int | None]
    author: Mapped[str]
    at: Mapped[datetime]
    text: Mapped[str]
    place: Mapped[dict[str, Any] | None] = mapped_column(Json)


class Waiver(Base):
    """A warning accepted by a named person."""

    __tablename__ = "waiver"

    draft_id: Mapped[str] = mapped_column(ForeignKey("draft.id"), primary_key=True)
    finding: Mapped[str] = mapped_column(primary_key=True)
    by: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]


class Defect(Base):
    """A known fault of the ground that stays open, and who keeps it meanwhile."""

    __tablename__ = "defect"

    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    default_squad: Mapped[str]
    owner: Mapped[str | None]
    due: Mapped[datetime | None]
    document: Mapped[str | None]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class DefectClosing(Base):
    """Who closed a defect, and on what grounds; never altered. One that is entered again may be closed again."""

    __tablename__ = "defect_closing"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(ForeignKey("defect.key"), index=True)
    at: Mapped[datetime]
    by: Mapped[str]
    reason: Mapped[str]
    document: Mapped[str | None]


TABLES: tuple[type[Base], ...] = (
    Installation,
    Feature,
    MapVersion,
    Member,
    Compiled,
    Publication,
    Draft,
    DraftEdit,
    DraftSignature,
    DraftComment,
    Waiver,
    Defect,
    DefectClosing,
)
"""In an order in which every row comes after those it refers to."""

# ---- what may not happen ---------------------------------------------------------------------------------------------

_CLOSING = "OLD.valid_to IS NULL AND NEW.valid_to IS NOT NULL AND NEW.closed_at IS NOT NULL AND " + " AND ".join(
    f"NEW.{column.name} IS NOT DISTINCT FROM OLD.{column.name}"
    for column in Publication.table().columns
    if column.name not in {"valid_to", "closed_at"}
)

INVARIANTS: tuple[Both, ...] = (
    forbid(Installation.table(), "installation_frozen", "UPDATE", "DELETE"),
    forbid(Feature.table(), "feature_frozen", "UPDATE", "DELETE"),
    forbid(MapVersion.table(), "map_version_frozen", "UPDATE", "DELETE"),
    forbid(Member.table(), "member_frozen", "UPDATE", "DELETE"),
    forbid(Compiled.table(), "compiled_frozen", "UPDATE", "DELETE"),
    no_insert(
        Member.table(),
        "member_of_published",
        "EXISTS (SELECT 1 FROM publication WHERE publication.version_hash = NEW.version_hash)",
    ),
    forbid(Publication.table(), "publication_frozen", "UPDATE", "DELETE", unless=_CLOSING),
    no_overlap(Publication.table(), "one_in_force", "valid_from", "valid_to"),
    forbid(DraftEdit.table(), "draft_edit_append_only", "UPDATE", "DELETE"),
    forbid(DefectClosing.table(), "defect_closing_append_only", "UPDATE", "DELETE"),
)


MAP = Section(
    "map", Base.metadata, ("map_store", "defect_closing"), "geodata.db.migrations:versions", "alembic_version", TABLES, INVARIANTS
)
"""The map store: the first section of every database."""


def refusal(error: IntegrityError) -> str | None:
    """Which invariant or constraint of these tables refused, by name; the same on both databases (see `violated`)."""
    return violated(error, Base.metadata)
