"""The tables of the figures: what is known of each case, sums of it by day, and what is not in the sums yet.

`case_fact` is written in the transaction of what changes it (`api.store.facts`), and with it rows of `fact_change`: what is to be taken
from a sum, what is to be added. `day_fact` has all that was added up; with the changes not added up yet it is exact at any moment.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from api.store.base import Cases


class CaseFact(Cases):
    """A case as it is counted: the fields of `routing.facts.Life`, the limits, and the fields of `routing.facts.Counted`."""

    __tablename__ = "case_fact"
    __table_args__ = tuple(
        Index(None, f"{by}_day", "case_id")
        for by in ("received", "registered", "handle_due", "close_due", "dispatched", "handled", "closed", "disputed", "designated")
    )

    case_id: Mapped[int] = mapped_column(ForeignKey("case_file.id"), primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    state: Mapped[str]
    squad: Mapped[str]
    category: Mapped[str]
    received_at: Mapped[datetime]
    located: Mapped[bool]
    border: Mapped[bool]
    stretch: Mapped[str]
    registered_at: Mapped[datetime | None]
    dispatched_at: Mapped[datetime | None]
    first_squad: Mapped[str | None]
    handled_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    disputed_at: Mapped[datetime | None]
    designated_at: Mapped[datetime | None]
    open_ms: Mapped[int] = mapped_column(BigInteger)
    handling_ms: Mapped[int] = mapped_column(BigInteger)
    disputed_ms: Mapped[int] = mapped_column(BigInteger)
    hops: Mapped[int]
    returns: Mapped[int]
    rework: Mapped[int]

    handle_due: Mapped[datetime | None]
    close_due: Mapped[datetime | None]
    apart: Mapped[bool]

    received_day: Mapped[str]
    registered_day: Mapped[str | None]
    handle_due_day: Mapped[str | None]
    close_due_day: Mapped[str | None]
    dispatched_day: Mapped[str | None]
    handled_day: Mapped[str | None]
    closed_day: Mapped[str | None]
    disputed_day: Mapped[str | None]
    designated_day: Mapped[str | None]
    still_open: Mapped[int]
    is_located: Mapped[int]
    in_band: Mapped[int]
    handled: Mapped[int]
    handled_in_time: Mapped[int]
    closed: Mapped[int]
    closed_in_time: Mapped[int]
    reworked: Mapped[int]
    returned: Mapped[int]
    returned_times: Mapped[int]
    stayed: Mapped[int]
    stayed_in_band: Mapped[int]
    hopped: Mapped[int]
    took_ms: Mapped[int] = mapped_column(BigInteger)
    dispute_ms: Mapped[int] = mapped_column(BigInteger)
    disputing: Mapped[int]
    disputing_since_ms: Mapped[int] = mapped_column(BigInteger)
    orphan_ms: Mapped[int] = mapped_column(BigInteger)
    orphans: Mapped[int]
    orphans_since_ms: Mapped[int] = mapped_column(BigInteger)


class Sums(Cases):
    """What is summed up over cases. `cases`: how many they are."""

    __abstract__ = True

    cases: Mapped[int] = mapped_column(BigInteger)
    still_open: Mapped[int] = mapped_column(BigInteger)
    is_located: Mapped[int] = mapped_column(BigInteger)
    in_band: Mapped[int] = mapped_column(BigInteger)
    handled: Mapped[int] = mapped_column(BigInteger)
    handled_in_time: Mapped[int] = mapped_column(BigInteger)
    closed: Mapped[int] = mapped_column(BigInteger)
    closed_in_time: Mapped[int] = mapped_column(BigInteger)
    reworked: Mapped[int] = mapped_column(BigInteger)
    returned: Mapped[int] = mapped_column(BigInteger)
    returned_times: Mapped[int] = mapped_column(BigInteger)
    stayed: Mapped[int] = mapped_column(BigInteger)
    stayed_in_band: Mapped[int] = mapped_column(BigInteger)
    hopped: Mapped[int] = mapped_column(BigInteger)
    took_ms: Mapped[int] = mapped_column(BigInteger)
    dispute_ms: Mapped[int] = mapped_column(BigInteger)
    disputing: Mapped[int] = mapped_column(BigInteger)
    disputing_since_ms: Mapped[int] = mapped_column(BigInteger)
    orphan_ms: Mapped[int] = mapped_column(BigInteger)
    orphans: Mapped[int] = mapped_column(BigInteger)
    orphans_since_ms: Mapped[int] = mapped_column(BigInteger)


class DayFact(Sums):
    """Sums over the cases of a day or a month (`span`; `day` is 2026-11-22 or 2026-11), of a squad, a category, a stretch of line.

    `basis`: by which of a case's days it is counted here (`routing.facts.BASES`).
    """

    __tablename__ = "day_fact"
    __table_args__ = (CheckConstraint("span IN ('day', 'month')", name="span"),)

    span: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[str] = mapped_column(primary_key=True)
    basis: Mapped[str] = mapped_column(primary_key=True)
    squad: Mapped[str] = mapped_column(primary_key=True)
    category: Mapped[str] = mapped_column(primary_key=True)
    stretch: Mapped[str] = mapped_column(primary_key=True)
    apart: Mapped[bool] = mapped_column(primary_key=True)


class FactChange(Sums):
    """What a change of a case adds to the sums of a day, or takes from them; not added up yet."""

    __tablename__ = "fact_change"
    __table_args__ = (Index(None, "day"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[str]
    basis: Mapped[str]
    squad: Mapped[str]
    category: Mapped[str]
    stretch: Mapped[str]
    apart: Mapped[bool]


FACTS: tuple[type[Cases], ...] = (CaseFact, DayFact, FactChange)
