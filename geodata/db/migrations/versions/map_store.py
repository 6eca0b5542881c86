"""The map store: features, versions, publications, drafts, defects."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from geodata.db.both import Json, PlainText, UtcDateTime
from geodata.db.shape import Shape

revision = "map_store"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        _text("work_crs"),
        sa.Column("format", sa.Integer(), nullable=False),
        _instant("created_at"),
        sa.CheckConstraint("id = 1", name=op.f("ck_installation_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installation")),
    )
    op.create_table(
        "feature",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("hash"),
        _text("layer"),
        _text("code"),
        _text("name", nullable=True),
        _instant("since", nullable=True),
        _instant("until", nullable=True),
        _text("source", nullable=True),
        _text("licence", nullable=True),
        _text("datum", nullable=True),
        sa.Column("accuracy_m", sa.Double(), nullable=True),
        _text("document", nullable=True),
        _json("facts"),
        sa.Column("ground", sa.LargeBinary(), nullable=True),
        sa.Column("geom", Shape("GEOMETRY", srid=4326, spatial_index=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feature")),
        sa.UniqueConstraint("hash", name=op.f("uq_feature_hash")),
    )
    op.create_index(op.f("ix_feature_layer_code"), "feature", ["layer", "code"])
    op.create_table(
        "map_version",
        _text("hash"),
        _instant("recorded_at"),
        _text("author"),
        _text("note", nullable=True),
        _text("rules_version"),
        _text("geos_version"),
        _text("proj_version"),
        _json("settings"),
        _json("certificate"),
        _text("map_name"),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_map_version")),
    )
    op.create_table(
        "member",
        _text("version_hash"),
        _text("feature_hash"),
        _text("layer"),
        _text("code"),
        _reference("member", "version_hash", "map_version.hash"),
        _reference("member", "feature_hash", "feature.hash"),
        sa.PrimaryKeyConstraint("version_hash", "feature_hash", name=op.f("pk_member")),
    )
    op.create_index(op.f("ix_member_feature_hash"), "member", ["feature_hash"])
    op.create_index(op.f("ix_member_version_hash_layer_code"), "member", ["version_hash", "layer", "code"])
    op.create_table(
        "compiled",
        _text("version_hash"),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        _reference("compiled", "version_hash", "map_version.hash"),
        sa.PrimaryKeyConstraint("version_hash", name=op.f("pk_compiled")),
    )
    op.create_table(
        "publication",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("version_hash"),
        _instant("valid_from"),
        _instant("valid_to", nullable=True),
        _instant("recorded_at"),
        _instant("closed_at", nullable=True),
        _json("signed"),
        _text("reason"),
        _text("document", nullable=True),
        sa.Column("replaces", sa.Integer(), nullable=True),
        sa.CheckConstraint("valid_to >= valid_from", name=op.f("ck_publication_period")),
        sa.CheckConstraint("(valid_to IS NULL) = (closed_at IS NULL)", name=op.f("ck_publication_closed")),
        _reference("publication", "version_hash", "map_version.hash"),
        _reference("publication", "replaces", "publication.id", deferrable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publication")),
    )
    op.create_index(op.f("ix_publication_version_hash"), "publication", ["version_hash"])
    op.create_table(
        "draft",
        _text("id"),
        _text("name"),
        _text("base_version", nullable=True),
        sa.Column("base_publication", sa.Integer(), nullable=True),
        _text("author"),
        _text("state"),
        sa.Column("revision", sa.Integer(), nullable=False),
        _instant("created_at"),
        _reference("draft", "base_version", "map_version.hash"),
        _reference("draft", "base_publication", "publication.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_draft")),
    )
    op.create_table(
        "draft_edit",
        _text("draft_id"),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        _text("author"),
        _instant("at"),
        _text("kind"),
        _json("args"),
        _text("note", nullable=True),
        _reference("draft_edit", "draft_id", "draft.id"),
        sa.PrimaryKeyConstraint("draft_id", "seq", name=op.f("pk_draft_edit")),
    )
    op.create_table(
        "draft_signature",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("draft_id"),
        sa.Column("revision", sa.Integer(), nullable=False),
        _text("side"),
        _text("signer"),
        _text("role"),
        _instant("at"),
        _text("reason", nullable=True),
        _text("document", nullable=True),
        _reference("draft_signature", "draft_id", "draft.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_draft_signature")),
    )
    op.create_index(op.f("ix_draft_signature_draft_id"), "draft_signature", ["draft_id"])
    op.create_table(
        "draft_comment",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("draft_id"),
        sa.Column("seq", sa.Integer(), nullable=True),
        _text("author"),
        _instant("at"),
        _text("text"),
        _json("place", nullable=True),
        _reference("draft_comment", "draft_id", "draft.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_draft_comment")),
    )
    op.create_index(op.f("ix_draft_comment_draft_id"), "draft_comment", ["draft_id"])
    op.create_table(
        "waiver",
        _text("draft_id"),
        _text("finding"),
        _text("by"),
        _text("reason"),
        _instant("at"),
        _reference("waiver", "draft_id", "draft.id"),
        sa.PrimaryKeyConstraint("draft_id", "finding", name=op.f("pk_waiver")),
    )
    op.create_table(
        "defect",
        _text("key"),
        _text("kind"),
        _text("default_squad"),
        _text("owner", nullable=True),
        _instant("due", nullable=True),
        _text("document", nullable=True),
        _instant("opened_at"),
        _instant("closed_at", nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_defect")),
    )


def _text(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, PlainText(), nullable=nullable)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, UtcDateTime(), nullable=nullable)


def _json(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, Json(), nullable=nullable)


def _reference(table: str, column: str, to: str, *, deferrable: bool | None = None) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [to], name=op.f(f"fk_{table}_{column}"), deferrable=deferrable)
