"""The working calendar of a city: the announced holidays and make-up days of China, and what rows of the map say otherwise.

A row of the layer `calendar` says any of

    {"week": {"sat": ["09:00-12:00"]}}                          hours of a day of the week (mon ... sun)
    {"days": {"2027-10-01/2027-10-07": [], "2027-10-09": "mon"}}   of a date or of dates: none, hours, or those of a day of the week
    {"announced": [2027]}                                       years whose holidays these rows state whole

Rows in force are read in the order of their codes; a later one outdoes an earlier one, and any outdoes what was announced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta, tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from chinese_calendar import constants

from geodata.layer import LayerName, Row
from routing.errors import Worded
from routing.working_time import MIDNIGHT, Hours, WorkingCalendar, hours_told

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
OFFICE_HOURS: Hours = ((8 * 60 + 30, 12 * 60), (14 * 60, 17 * 60 + 30))
"""Until a row of the map says otherwise: 08:30-12:00, 14:00-17:30."""
OFFICE_WEEK: tuple[Hours, ...] = (OFFICE_HOURS,) * 5 + ((), ())
CHINA = frozenset({"Asia/Shanghai", "Asia/Chongqing", "Asia/Chungking", "Asia/Harbin", "PRC", "Asia/Urumqi", "Asia/Kashgar"})
"""Zones in which China's holidays hold."""
SPAN = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
LONGEST = 366
"""Days of one entry."""


HINTS: Mapping[str, tuple[str, str]] = {
    "hours": ('请写 ["08:30-12:00", "14:00-17:30"],休息写 []', 'write ["08:30-12:00", "14:00-17:30"], or [] for a day off'),
    "dates": ("请写 2027-10-01,或 2027-10-01/2027-10-07,至多 366 天", "write 2027-10-01, or 2027-10-01/2027-10-07, at most 366 days"),
    "weekdays": ("请用 mon 至 sun", "write mon to sun"),
    "parts": ("可写的有 week、days、announced", "there are week, days and announced"),
    "years": ("请写年份的列表,例如 [2027]", "write a list of years, such as [2027]"),
}


class BadCalendar(Worded):
    zh = "工作日历“{code}”的 {field} 中,“{value}”看不懂:{hint}。"
    en = "The working calendar {code!r} has {value!r} in {field}, which cannot be understood: {hint}."
    worded = "hint"
    words = HINTS


@cache
def announced_in_china() -> frozenset[int]:
    """The years whose holidays have been announced, as far as the installed tables know."""
    return frozenset({day.year for day in constants.holidays} & {day.year for day in constants.workdays})


def calendar_of(rows: Iterable[Row], zone: tzinfo, at: datetime) -> WorkingCalendar:
    """The calendar that the rows of a map give at an instant. Raises BadCalendar, BadHours, NeverWorked."""
    said = sorted(
        (row for row in rows if row.layer is LayerName.CALENDAR and (row.since is None or row.since <= at) and not _ended(row, at)),
        key=lambda row: row.code,
    )
    week, years = list(OFFICE_WEEK), set[int]()
    own: dict[date, tuple[Row, Any]] = {}
    for row in said:
        _known(row, row.facts, {"week", "days", "announced"}, "facts", "parts")
        for name, hours in _table(row, "week").items():
            _known(row, {name: hours}, set(WEEKDAYS), "week", "weekdays")
            week[WEEKDAYS.index(name)] = _hours(row, "week", hours)
        own |= {day: (row, hours) for dates, hours in _table(row, "days").items() for day in _dates(row, dates)}
        years |= set(_years(row))
    days: dict[date, Hours] = {}
    in_china = isinstance(zone, ZoneInfo) and zone.key in CHINA
    if in_china:
        usual = week[0]
        days |= dict.fromkeys(constants.holidays, ())
        days |= {day: week[day.weekday()] or usual for day in constants.workdays}  # a make-up Saturday has the hours of a Monday
    for day, (row, hours) in own.items():
        days[day] = week[WEEKDAYS.index(hours)] if isinstance(hours, str) and hours in WEEKDAYS else _hours(row, "days", hours)
    announced = announced_in_china() | years if in_china else None
    return WorkingCalendar(zone, tuple(week), days, announced)


def check_row(row: Row) -> None:
    """Can it be read? Better asked when it is written. Raises BadCalendar, BadHours, NeverWorked."""
    calendar_of([row], ZoneInfo("UTC"), row.since or datetime.now(ZoneInfo("UTC")))


def told(calendar: WorkingCalendar) -> dict[str, Any]:
    """As plain values: the week, and the years whose holidays are known."""
    week = {name: hours_told(hours) for name, hours in zip(WEEKDAYS, calendar.week, strict=True)}
    return {"zone": str(calendar.zone), "week": week, "announced": None if calendar.announced is None else sorted(calendar.announced)}


def _ended(row: Row, at: datetime) -> bool:
    return row.until is not None and row.until <= at


def _table(row: Row, field: str) -> Mapping[str, Any]:
    value = row.facts.get(field, {})
    if not isinstance(value, Mapping):
        raise BadCalendar(code=row.code, field=field, value=str(value)[:60], hint="hours")
    return value


def _known(row: Row, said: Mapping[str, Any], known: set[str], field: str, hint: str) -> None:
    for name in said:
        if name not in known:
            raise BadCalendar(code=row.code, field=field, value=str(name)[:60], hint=hint)


def _hours(row: Row, field: str, value: Any) -> Hours:
    if not isinstance(value, list | tuple):
        raise BadCalendar(code=row.code, field=field, value=str(value)[:60], hint="hours")
    found = []
    for part in value:
        form = SPAN.fullmatch(part) if isinstance(part, str) else None
        a, b, c, d = (int(number) for number in form.groups()) if form else (0, 60, 0, 60)
        if b > 59 or d > 59 or not a * 60 + b < c * 60 + d <= MIDNIGHT:
            raise BadCalendar(code=row.code, field=field, value=str(part)[:60], hint="hours")
        found.append((a * 60 + b, c * 60 + d))
    return tuple(found)


def _dates(row: Row, value: str) -> list[date]:
    first, _, last = value.partition("/")
    try:
        begin, end = date.fromisoformat(first), date.fromisoformat(last or first)
    except ValueError as error:
        raise BadCalendar(code=row.code, field="days", value=value[:60], hint="dates") from error
    if not 0 <= (end - begin).days < LONGEST:
        raise BadCalendar(code=row.code, field="days", value=value[:60], hint="dates")
    return [begin + timedelta(days=n) for n in range((end - begin).days + 1)]


def _years(row: Row) -> list[int]:
    value = row.facts.get("announced", [])
    if not isinstance(value, list | tuple) or any(not isinstance(year, int) or isinstance(year, bool) for year in value):
        raise BadCalendar(code=row.code, field="announced", value=str(value)[:60], hint="years")
    return list(value)
