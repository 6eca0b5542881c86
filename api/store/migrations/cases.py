"""The cases: people, complaints and who holds them, the record, what is sealed."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from geodata.db.both import Json, PlainText, UtcDateTime
from geodata.db.shape import Shape

revision = "cases"
down_revision = None
branch_labels = None
depends_on = None

OPEN = (
    "'received', 'verifying', 'accepted', 'registered', 'dispatched', 'handling', 'joint_handling', 'return_requested', 'designating', "
    "'suspended', 'feedback', 'checking'"
)
ENDED = "'closed', 'followed_up', 'archived', 'not_accepted', 'not_registered', 'answered', 'void'"


def upgrade() -> None:
    op.create_table(
        "account",
        _text("id"),
        _text("name"),
        _text("role"),
        _text("squad", nullable=True),
        _text("password", nullable=True),
        _text("subject", nullable=True),
        _whole("epoch"),
        _instant("created_at"),
        _instant("closed_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("name", name=op.f("uq_account_name")),
        sa.UniqueConstraint("subject", name=op.f("uq_account_subject")),
    )
    op.create_table(
        "attempt",
        _whole("id"),
        _text("who"),
        _text("whence"),
        _instant("at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
    )
    op.create_index(op.f("ix_attempt_whence_at"), "attempt", ["whence", "at"])
    op.create_index(op.f("ix_attempt_who_at"), "attempt", ["who", "at"])
    op.create_table(
        "category",
        _text("code"),
        _instant("since"),
        _instant("until", nullable=True),
        _text("zh"),
        _text("en"),
        _truth("hazard"),
        _truth("mobile"),
        _truth("to_supervision"),
        _text("document"),
        sa.PrimaryKeyConstraint("code", "since", name=op.f("pk_category")),
    )
    op.create_table(
        "rule",
        _text("name"),
        _text("scope"),
        _instant("since"),
        _instant("until", nullable=True),
        _whole("value"),
        _text("document"),
        sa.CheckConstraint("until > since", name=op.f("ck_rule_period")),
        sa.CheckConstraint("value >= 0", name=op.f("ck_rule_value")),
        sa.PrimaryKeyConstraint("name", "scope", "since", name=op.f("pk_rule")),
    )
    op.create_table(
        "publication_rule",
        _text("category"),
        _text("field"),
        _instant("since"),
        _instant("until", nullable=True),
        _truth("public"),
        _text("document"),
        sa.CheckConstraint("until > since", name=op.f("ck_publication_rule_period")),
        sa.PrimaryKeyConstraint("category", "field", "since", name=op.f("pk_publication_rule")),
    )
    op.create_table(
        "chain_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        _whole("event_id"),
        _text("hash"),
        sa.CheckConstraint("id = 1", name=op.f("ck_chain_head_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain_head")),
    )
    op.create_table(
        "cluster",
        _whole("id"),
        _text("category"),
        _text("lead"),
        _json("squads"),
        _instant("opened_at"),
        _text("opened_by"),
        _instant("closed_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cluster")),
    )
    op.create_table(
        "counter",
        _text("name"),
        _whole("value"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counter")),
    )
    op.create_table(
        "replay",
        _text("account"),
        _text("key"),
        _text("request"),
        _instant("at"),
        _whole("status"),
        _json("headers"),
        sa.Column("body", Json(), nullable=True),
        sa.PrimaryKeyConstraint("account", "key", name=op.f("pk_replay")),
    )
    op.create_index(op.f("ix_replay_at"), "replay", ["at"])
    op.create_table(
        "token",
        _text("id"),
        _text("name"),
        _text("role"),
        _text("squad", nullable=True),
        _text("created_by"),
        _instant("created_at"),
        _instant("expires_at", nullable=True),
        _instant("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token")),
    )
    op.create_table(
        "case_file",
        _whole("id"),
        _text("number"),
        _whole("version"),
        _instant("received_at"),
        _instant("changed_at"),
        _text("created_by"),
        _text("state"),
        _truth("open"),
        _text("holder"),
        _text("lead"),
        _text("duty"),
        _text("offered", nullable=True),
        _whole("returns"),
        _json("parts"),
        _json("joint"),
        _whole("rework"),
        _whole("reopened"),
        _truth("replied"),
        _whole("attempts"),
        _truth("suspension_asked"),
        _truth("extension_asked"),
        _whole("supervisions"),
        _text("handler"),
        _text("category"),
        _text("channel"),
        _instant("occurred_at"),
        _text("found_by", nullable=True),
        _truth("confidential"),
        _truth("to_supervision"),
        _text("against", nullable=True),
        _truth("hazard"),
        _whole("rank"),
        _instant("due_at", nullable=True),
        _instant("yellow_at", nullable=True),
        sa.Column("assumed_year", sa.Integer(), nullable=True),
        sa.Column("cluster_id", sa.Integer(), nullable=True),
        _text("key"),
        sa.Column("words", sa.LargeBinary(), nullable=False),
        sa.Column("x_mm", sa.BigInteger(), nullable=True),
        sa.Column("y_mm", sa.BigInteger(), nullable=True),
        sa.Column("error_m", sa.Double(), nullable=False),
        _json("place"),
        sa.Column("geom", Shape("GEOMETRY", srid=4326, spatial_index=True), nullable=True),
        _text("step"),
        _json("assist"),
        _truth("doubtful"),
        sa.Column("margin_m", sa.Double(), nullable=False),
        _text("runner_up", nullable=True),
        _text("township", nullable=True),
        _json("reasons"),
        _text("map_version"),
        _text("rules_version"),
        sa.CheckConstraint(f"open = (state IN ({OPEN}))", name=op.f("ck_case_file_open")),
        sa.CheckConstraint(f"state IN ({OPEN}, {ENDED})", name=op.f("ck_case_file_state")),
        sa.CheckConstraint("(x_mm IS NULL) = (y_mm IS NULL)", name=op.f("ck_case_file_place")),
        sa.CheckConstraint("rank IN (0, 1, 2)", name=op.f("ck_case_file_rank")),
        sa.ForeignKeyConstraint(["cluster_id"], ["cluster.id"], name=op.f("fk_case_file_cluster_id")),
        sa.ForeignKeyConstraint(["map_version"], ["map_version.hash"], name=op.f("fk_case_file_map_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_file")),
        sa.UniqueConstraint("number", name=op.f("uq_case_file_number")),
    )
    op.create_index(op.f("ix_case_file_category_received_at"), "case_file", ["category", "received_at"])
    op.create_index(op.f("ix_case_file_received_at_id"), "case_file", ["received_at", "id"])
    op.create_index(op.f("ix_case_file_cluster_id"), "case_file", ["cluster_id"])
    op.create_index(
        op.f("ix_case_file_created_by_open_rank_received_at_id"), "case_file", ["created_by", "open", "rank", "received_at", "id"]
    )
    op.create_index(op.f("ix_case_file_open_rank_received_at_id"), "case_file", ["open", "rank", "received_at", "id"])
    op.create_index(op.f("ix_case_file_state_open_rank_received_at_id"), "case_file", ["state", "open", "rank", "received_at", "id"])
    op.create_table(
        "login",
        _text("id"),
        _text("account_id"),
        _whole("epoch"),
        _text("csrf"),
        _instant("created_at"),
        _instant("seen_at"),
        _instant("expires_at"),
        _instant("ended_at", nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_login_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login")),
    )
    op.create_index(op.f("ix_login_account_id"), "login", ["account_id"])
    op.create_index(op.f("ix_login_expires_at"), "login", ["expires_at"])
    op.create_table(
        "attachment",
        _text("id"),
        _whole("case_id"),
        _instant("at"),
        _text("by"),
        _text("squad", nullable=True),
        _text("media_type"),
        _whole("size"),
        _text("sha256"),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name=op.f("fk_attachment_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachment")),
    )
    op.create_index(op.f("ix_attachment_case_id"), "attachment", ["case_id"])
    op.create_table(
        "case_part",
        _whole("case_id"),
        _text("squad"),
        _text("part"),
        _truth("open"),
        _whole("rank"),
        _instant("received_at"),
        sa.CheckConstraint("part IN ('holds', 'joint', 'assists', 'formerly')", name=op.f("ck_case_part_part")),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name=op.f("fk_case_part_case_id")),
        sa.PrimaryKeyConstraint("case_id", "squad", name=op.f("pk_case_part")),
    )
    op.create_index("ix_case_part_queue", "case_part", ["squad", "open", "rank", "received_at", "case_id"])
    op.create_index("ix_case_part_queue_of_part", "case_part", ["squad", "part", "open", "rank", "received_at", "case_id"])
    _unique("uq_case_part_holds", "case_part", ["case_id"], "part = 'holds'")
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=True),
        _text("kind"),
        _text("actor"),
        _text("role"),
        _text("squad", nullable=True),
        _instant("at"),
        _json("body"),
        sa.Column("words", sa.LargeBinary(), nullable=True),
        _text("prev"),
        _text("hash"),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name=op.f("fk_event_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sa.UniqueConstraint("hash", name=op.f("uq_event_hash")),
        sa.UniqueConstraint("prev", name=op.f("uq_event_prev")),
    )
    op.create_index(op.f("ix_event_case_id_id"), "event", ["case_id", "id"])
    op.create_table(
        "holding",
        _whole("id"),
        _whole("case_id"),
        _text("squad"),
        _instant("since"),
        _instant("until", nullable=True),
        sa.CheckConstraint("until > since", name=op.f("ck_holding_period")),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name=op.f("fk_holding_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holding")),
        sa.UniqueConstraint("case_id", "since", name=op.f("uq_holding_case_id_since")),
    )
    op.create_index(op.f("ix_holding_squad_since"), "holding", ["squad", "since"])
    _unique("uq_holding_now", "holding", ["case_id"], "until IS NULL")
    op.create_table(
        "reporter",
        sa.Column("case_id", sa.Integer(), autoincrement=False, nullable=False),
        _text("key"),
        _truth("anonymous"),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        _instant("keep_until", nullable=True),
        _instant("erased_at", nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name=op.f("fk_reporter_case_id")),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_reporter")),
        sa.UniqueConstraint("key", name=op.f("uq_reporter_key")),
    )
    op.create_index(op.f("ix_reporter_keep_until"), "reporter", ["keep_until"])
    op.create_table(
        "ruling",
        _whole("id"),
        _whole("case_id"),
        _text("squad"),
        _text("document"),
        _text("by"),
        _instant("at"),
        _text("standing"),
        _text("draft_id", nullable=True),
        _text("closed_by", nullable=True),
        _instant("closed_at", nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name=op.f("fk_ruling_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ruling")),
    )
    op.create_index(op.f("ix_ruling_case_id"), "ruling", ["case_id"])
    op.create_index(op.f("ix_ruling_standing"), "ruling", ["standing"])
    op.create_table(
        "side",
        _whole("id"),
        _whole("case_id"),
        _text("kind"),
        _text("squad", nullable=True),
        _instant("opened_at"),
        _text("opened_by"),
        _instant("due", nullable=True),
        _instant("closed_at", nullable=True),
        _text("closed_by", nullable=True),
        _text("outcome", nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name=op.f("fk_side_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_side")),
    )
    op.create_index(op.f("ix_side_case_id_kind"), "side", ["case_id", "kind"])
    op.create_table(
        "case_fact",
        sa.Column("case_id", sa.Integer(), autoincrement=False, nullable=False),
        _instant("at"),
        _text("state"),
        _text("squad"),
        _text("category"),
        _instant("received_at"),
        _truth("located"),
        _truth("border"),
        _text("stretch"),
        _instant("registered_at", nullable=True),
        _instant("dispatched_at", nullable=True),
        _text("first_squad", nullable=True),
        _instant("handled_at", nullable=True),
        _instant("closed_at", nullable=True),
        _instant("disputed_at", nullable=True),
        _instant("designated_at", nullable=True),
        _large("open_ms"),
        _large("handling_ms"),
        _large("disputed_ms"),
        _whole("hops"),
        _whole("returns"),
        _whole("rework"),
        _instant("handle_due", nullable=True),
        _instant("close_due", nullable=True),
        _truth("apart"),
        _text("received_day"),
        _text("registered_day", nullable=True),
        _text("handle_due_day", nullable=True),
        _text("close_due_day", nullable=True),
        _text("dispatched_day", nullable=True),
        _text("handled_day", nullable=True),
        _text("closed_day", nullable=True),
        _text("disputed_day", nullable=True),
        _text("designated_day", nullable=True),
        _whole("still_open"),
        _whole("is_located"),
        _whole("in_band"),
        _whole("handled"),
        _whole("handled_in_time"),
        _whole("closed"),
        _whole("closed_in_time"),
        _whole("reworked"),
        _whole("returned"),
        _whole("returned_times"),
        _whole("stayed"),
        _whole("stayed_in_band"),
        _whole("hopped"),
        _large("took_ms"),
        _large("dispute_ms"),
        _whole("disputing"),
        _large("disputing_since_ms"),
        _large("orphan_ms"),
        _whole("orphans"),
        _large("orphans_since_ms"),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name=op.f("fk_case_fact_case_id")),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_case_fact")),
    )
    for by in ("received", "registered", "handle_due", "close_due", "dispatched", "handled", "closed", "disputed", "designated"):
        op.create_index(op.f(f"ix_case_fact_{by}_day_case_id"), "case_fact", [f"{by}_day", "case_id"])
    op.create_table(
        "day_fact",
        _text("span"),
        _text("day"),
        _text("basis"),
        _text("squad"),
        _text("category"),
        _text("stretch"),
        _truth("apart"),
        *_sums(),
        sa.CheckConstraint("span IN ('day', 'month')", name=op.f("ck_day_fact_span")),
        sa.PrimaryKeyConstraint("span", "day", "basis", "squad", "category", "stretch", "apart", name=op.f("pk_day_fact")),
    )
    op.create_table(
        "fact_change",
        _whole("id"),
        _text("day"),
        _text("basis"),
        _text("squad"),
        _text("category"),
        _text("stretch"),
        _truth("apart"),
        *_sums(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fact_change")),
    )
    op.create_index(op.f("ix_fact_change_day"), "fact_change", ["day"])
    _upgrade_time()


def _sums() -> list[sa.Column[Any]]:
    names = (
        "cases", "still_open", "is_located", "in_band", "handled", "handled_in_time", "closed", "closed_in_time", "reworked",
        "returned", "returned_times", "stayed", "stayed_in_band", "hopped", "took_ms", "dispute_ms", "disputing",
        "disputing_since_ms", "orphan_ms", "orphans", "orphans_since_ms",
    )  # fmt: skip
    return [_large(name) for name in names]


def _large(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


STEPS = "'accept', 'dispatch', 'sign', 'handle', 'rework', 'return', 'designate', 'check', 'review', 'whole', 'extension'"


def _upgrade_time() -> None:
    """Limits, reminders, clocks and jobs."""
    op.create_table(
        "limit_rule",
        _whole("id"),
        _text("step"),
        _text("scheme", nullable=True),
        _text("category", nullable=True),
        _text("channel", nullable=True),
        _text("milestone"),
        _whole("amount"),
        _text("unit"),
        _instant("since"),
        _instant("until", nullable=True),
        _text("document"),
        _truth("preset"),
        sa.CheckConstraint(f"step IN ({STEPS}) AND step <> 'review'", name=op.f("ck_limit_rule_step")),
        sa.CheckConstraint("unit IN ('work_hours', 'work_days', 'hours')", name=op.f("ck_limit_rule_unit")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_limit_rule_amount")),
        sa.CheckConstraint("scheme IS NULL OR category IS NULL", name=op.f("ck_limit_rule_one_kind")),
        sa.CheckConstraint("until > since", name=op.f("ck_limit_rule_period")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_limit_rule")),
    )
    op.create_table(
        "escalation",
        _whole("id"),
        _text("effect"),
        _text("step", nullable=True),
        sa.Column("percent", sa.Integer(), nullable=True),
        sa.Column("late_days", sa.Integer(), nullable=True),
        _instant("since"),
        _instant("until", nullable=True),
        _text("document"),
        _truth("preset"),
        sa.CheckConstraint("effect IN ('remind', 'urge', 'notice', 'supervise')", name=op.f("ck_escalation_effect")),
        sa.CheckConstraint(f"step IN ({STEPS})", name=op.f("ck_escalation_step")),
        sa.CheckConstraint("(percent IS NULL) <> (late_days IS NULL)", name=op.f("ck_escalation_when")),
        sa.CheckConstraint("percent > 0", name=op.f("ck_escalation_percent")),
        sa.CheckConstraint("late_days > 0", name=op.f("ck_escalation_late_days")),
        sa.CheckConstraint("until > since", name=op.f("ck_escalation_period")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_escalation")),
    )
    op.create_table(
        "clock",
        _whole("id"),
        _whole("case_id"),
        _text("step"),
        _text("milestone"),
        _text("squad", nullable=True),
        sa.Column("rule_id", sa.Integer(), nullable=True),
        _truth("first"),
        _truth("all_day"),
        _instant("started_at"),
        _instant("yellow_at"),
        _instant("due_at"),
        _instant("paused_at", nullable=True),
        _whole("paused_for"),
        _whole("paused_late"),
        _instant("stopped_at", nullable=True),
        _text("outcome", nullable=True),
        _json("told"),
        sa.Column("assumed_year", sa.Integer(), nullable=True),
        sa.CheckConstraint(f"step IN ({STEPS})", name=op.f("ck_clock_step")),
        sa.CheckConstraint("yellow_at <= due_at", name=op.f("ck_clock_yellow")),
        sa.CheckConstraint("(stopped_at IS NULL) = (outcome IS NULL)", name=op.f("ck_clock_outcome")),
        sa.CheckConstraint("stopped_at IS NULL OR paused_at IS NULL", name=op.f("ck_clock_paused")),
        sa.CheckConstraint("paused_for >= 0 AND paused_late >= 0", name=op.f("ck_clock_stood")),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name=op.f("fk_clock_case_id")),
        sa.ForeignKeyConstraint(["rule_id"], ["limit_rule.id"], name=op.f("fk_clock_rule_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clock")),
    )
    op.create_index(op.f("ix_clock_case_id_id"), "clock", ["case_id", "id"])
    _unique("uq_clock_running", "clock", ["case_id", "step", "squad", "milestone"], "stopped_at IS NULL")
    op.create_table(
        "job",
        _whole("id"),
        _text("kind"),
        _text("key"),
        _instant("run_at"),
        _json("body"),
        _whole("attempts"),
        _instant("leased_until", nullable=True),
        _text("leased_by", nullable=True),
        _instant("done_at", nullable=True),
        _instant("dead_at", nullable=True),
        _text("error", nullable=True),
        sa.CheckConstraint("(leased_until IS NULL) = (leased_by IS NULL)", name=op.f("ck_job_lease")),
        sa.CheckConstraint("done_at IS NULL OR dead_at IS NULL", name=op.f("ck_job_end")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sa.UniqueConstraint("key", name=op.f("uq_job_key")),
    )
    waiting = sa.text("done_at IS NULL AND dead_at IS NULL")
    op.create_index("ix_job_waiting", "job", ["run_at", "id"], sqlite_where=waiting, postgresql_where=waiting)


def _unique(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, unique=True, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _text(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, PlainText(), nullable=nullable)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, UtcDateTime(), nullable=nullable)


def _json(name: str) -> sa.Column[Any]:
    return sa.Column(name, Json(), nullable=False)


def _truth(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _whole(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), nullable=False)
