"""Limits and reminders a database begins with: what districts and provinces ask of their people; none of it is national.

Each row is marked as a default and says where it is from; the bureau ends it and states its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from api.store.clock_tables import Escalation, LimitRow

DISTRICT = "默认 default: 一区处置时限表"
HENAN = "默认 default: 河南省 12345 办理规定"
SHANDONG = "默认 default: 山东省 12345 办理规定"
QINGPU = "默认 default: 上海青浦区城管投诉办理规定"
OF_STEPS: tuple[tuple[str, str | None, int, str, str], ...] = (
    # step, channel, amount, unit, document
    ("accept", "mailbox", 24, "hours", "默认 default: GB/T 33358"),
    ("dispatch", None, 24, "hours", HENAN),
    ("sign", None, 1, "work_days", HENAN),
    ("handle", None, 5, "work_days", QINGPU),
    ("rework", None, 3, "work_days", QINGPU),
    ("return", None, 2, "work_days", SHANDONG),
    ("designate", None, 7 * 24, "hours", "默认 default: 住建部令第55号第六条"),
    ("extension", None, 10, "work_days", SHANDONG),
    ("whole", "12345", 10, "work_days", HENAN),
)
OF_CATEGORIES: tuple[tuple[str, str, int, str], ...] = (
    # code of GB30428, milestone, amount, unit
    ("0101", "stop", 4, "work_hours"),
    ("0101", "penalise", 7, "work_days"),
    ("0101", "demolish", 20, "work_days"),
    ("0102", "", 4, "work_hours"),
    ("0103", "", 2, "work_days"),
    ("0104", "", 2, "work_hours"),
    ("0106", "", 4, "work_hours"),
    ("0406", "", 4, "work_hours"),
)
WATER = ("0105", 15, "work_days", "默认 default: 济源市处置时限表")
BUREAU = "默认 default: 一局催办规定"
RUNGS: tuple[tuple[str, str | None, int | None, int | None, str], ...] = (
    # effect, step, percent, late days, document
    ("remind", None, 80, None, BUREAU),
    ("urge", None, 100, None, BUREAU),
    ("notice", None, None, 1, BUREAU),
    ("supervise", None, None, 5, BUREAU),
    ("remind", "check", 60, None, "默认 default: 核查至时限六成提醒"),
    ("urge", "check", 100, None, BUREAU),
    ("notice", "check", None, 1, BUREAU),
    ("supervise", "check", None, 5, BUREAU),
    ("remind", "review", 100, None, "默认 default: jieguan"),
)


def limits(since: datetime, hazards: Iterable[str]) -> list[LimitRow]:
    """Limits to begin with, each with where it is from."""
    made = [_limit(step, amount, unit, since, document, channel=channel) for step, channel, amount, unit, document in OF_STEPS]
    made += [
        _limit("handle", amount, unit, since, DISTRICT, category=f"GB30428:{code}", milestone=milestone)
        for code, milestone, amount, unit in OF_CATEGORIES
    ]
    made += [_limit("dispatch", 2, "hours", since, HENAN, category=category) for category in sorted(hazards)]
    code, amount, unit, document = WATER
    return [*made, _limit("handle", amount, unit, since, document, category=f"GB30428:{code}")]


def _limit(
    step: str, amount: int, unit: str, since: datetime, document: str, *, category: str | None = None, channel: str | None = None,
    milestone: str = "",
) -> LimitRow:  # fmt: skip
    return LimitRow(
        step=step, scheme=None, category=category, channel=channel, milestone=milestone, amount=amount, unit=unit, since=since,
        until=None, document=document, preset=True,
    )  # fmt: skip


def ladder(since: datetime) -> list[Escalation]:
    """The ladder of reminders to begin with."""
    return [
        Escalation(effect=effect, step=step, percent=percent, late_days=late, since=since, until=None, document=document, preset=True)
        for effect, step, percent, late, document in RUNGS
    ]
