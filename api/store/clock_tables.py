"""The tables of time: limits and reminders as dated rows, the clocks of cases, and what is to be done later."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from api.store.base import Cases
from geodata.db.both import Both, forbid
from routing.limits import Effect, Stage, Unit

STEPS = ", ".join(f"'{stage.value}'" for stage in Stage)
UNITS = ", ".join(f"'{unit.value}'" for unit in Unit)
EFFECTS = ", ".join(f"'{effect.value}'" for effect in Effect)


class LimitRow(Cases):
    """A limit of time, for a period (`routing.limits.LimitRule`). `preset`: it came with the program, until the bureau makes its own."""

    __tablename__ = "limit_rule"
    __table_args__ = (
        CheckConstraint(f"step IN ({STEPS}) AND step <> 'review'", name="step"),
        CheckConstraint(f"unit IN ({UNITS})", name="unit"),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("scheme IS NULL OR category IS NULL", name="one_kind"),
        CheckConstraint("until > since", name="period"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[str]
    scheme: Mapped[str | None]
    category: Mapped[str | None]
    channel: Mapped[str | None]
    milestone: Mapped[str]
    amount: Mapped[int]
    unit: Mapped[str]
    since: Mapped[datetime]
    until: Mapped[datetime | None]
    document: Mapped[str]
    preset: Mapped[bool]


class Escalation(Cases):
    """A rung of the ladder of reminders, for a period (`routing.limits.Rung`)."""

    __tablename__ = "escalation"
    __table_args__ = (
        CheckConstraint(f"effect IN ({EFFECTS})", name="effect"),
        CheckConstraint(f"step IN ({STEPS})", name="step"),
        CheckConstraint("(percent IS NULL) <> (late_days IS NULL)", name="when"),
        CheckConstraint("percent > 0", name="percent"),
        CheckConstraint("late_days > 0", name="late_days"),
        CheckConstraint("until > since", name="period"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    effect: Mapped[str]
    step: Mapped[str | None]
    percent: Mapped[int | None]
    late_days: Mapped[int | None]
    since: Mapped[datetime]
    until: Mapped[datetime | None]
    document: Mapped[str]
    preset: Mapped[bool]


class ClockRow(Cases):
    """A clock of a case (`routing.limits.Clock`): written with the move that begins, pauses, extends or stops it; stopped for good.

    `paused_for`, `paused_late`: whole seconds of the time it counts, of working time.
    """

    __tablename__ = "clock"
    __table_args__ = (
        CheckConstraint(f"step IN ({STEPS})", name="step"),
        CheckConstraint("yellow_at <= due_at", name="yellow"),
        CheckConstraint("(stopped_at IS NULL) = (outcome IS NULL)", name="outcome"),
        CheckConstraint("stopped_at IS NULL OR paused_at IS NULL", name="paused"),
        CheckConstraint("paused_for >= 0 AND paused_late >= 0", name="stood"),
        Index(None, "case_id", "id"),
        Index(
            "uq_clock_running", "case_id", "step", "squad", "milestone", unique=True, sqlite_where=text("stopped_at IS NULL"),
            postgresql_where=text("stopped_at IS NULL"),
        ),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("case_file.id"))
    step: Mapped[str]
    milestone: Mapped[str]
    squad: Mapped[str | None]
    rule_id: Mapped[int | None] = mapped_column(ForeignKey("limit_rule.id"))
    first: Mapped[bool]
    all_day: Mapped[bool]
    started_at: Mapped[datetime]
    yellow_at: Mapped[datetime]
    due_at: Mapped[datetime]
    paused_at: Mapped[datetime | None]
    paused_for: Mapped[int]
    paused_late: Mapped[int]
    stopped_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    told: Mapped[list[Any]]
    """Rungs that were taken."""
    assumed_year: Mapped[int | None]


class Job(Cases):
    """Something to be done, once, from `run_at` on. `key` names it: what is asked for twice is done once.

    Who does it holds it until `leased_until`; who dies loses it then. `dead_at`: it failed too often, and waits for somebody to look.
    """

    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint("(leased_until IS NULL) = (leased_by IS NULL)", name="lease"),
        CheckConstraint("done_at IS NULL OR dead_at IS NULL", name="end"),
        Index(
            "ix_job_waiting", "run_at", "id", sqlite_where=text("done_at IS NULL AND dead_at IS NULL"),
            postgresql_where=text("done_at IS NULL AND dead_at IS NULL"),
        ),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    key: Mapped[str] = mapped_column(unique=True)
    run_at: Mapped[datetime]
    body: Mapped[dict[str, Any]]
    attempts: Mapped[int] = mapped_column(default=0)
    leased_until: Mapped[datetime | None]
    leased_by: Mapped[str | None]
    done_at: Mapped[datetime | None]
    dead_at: Mapped[datetime | None]
    error: Mapped[str | None]


CLOCK_TABLES: tuple[type[Cases], ...] = (LimitRow, Escalation, ClockRow, Job)
"""After the cases."""


def _same(row: type[Cases], *but: str) -> str:
    return " AND ".join(f"NEW.{c.name} IS NOT DISTINCT FROM OLD.{c.name}" for c in row.table().columns if c.name not in but)


CLOCK_INVARIANTS: tuple[Both, ...] = (
    forbid(
        LimitRow.table(), "limit_rule_frozen", "UPDATE", "DELETE",
        unless=f"OLD.until IS NULL AND NEW.until IS NOT NULL AND {_same(LimitRow, 'until')}",
    ),
    forbid(
        Escalation.table(), "escalation_frozen", "UPDATE", "DELETE",
        unless=f"OLD.until IS NULL AND NEW.until IS NOT NULL AND {_same(Escalation, 'until')}",
    ),
    forbid(
        ClockRow.table(), "clock_stopped", "UPDATE", "DELETE",
        unless="OLD.stopped_at IS NULL AND " + _same(
            ClockRow, "yellow_at", "due_at", "paused_at", "paused_for", "paused_late", "stopped_at", "outcome", "told", "assumed_year"
        ),
    ),
)  # fmt: skip
