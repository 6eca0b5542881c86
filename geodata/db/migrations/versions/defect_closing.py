"""Who closed which defect, and on what grounds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from geodata.db.both import PlainText, UtcDateTime

revision = "defect_closing"
down_revision = "map_store"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "defect_closing",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", PlainText(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("by", PlainText(), nullable=False),
        sa.Column("reason", PlainText(), nullable=False),
        sa.Column("document", PlainText(), nullable=True),
        sa.ForeignKeyConstraint(["key"], ["defect.key"], name=op.f("fk_defect_closing_key")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_defect_closing")),
    )
    op.create_index(op.f("ix_defect_closing_key"), "defect_closing", ["key"])
