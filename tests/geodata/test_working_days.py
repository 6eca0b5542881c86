"""The calendar of a city: what was announced, what rows of the map say otherwise, and rows that say nothing one can read."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import chinese_calendar
import pytest

from geodata.edits import PutRow, row_said
from geodata.layer import LayerName, Row
from geodata.working_days import OFFICE_HOURS, BadCalendar, announced_in_china, calendar_of
from routing.errors import JieguanError
from routing.working_time import BadHours, NeverWorked

CHINA, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 20, tzinfo=UTC)
DAY = timedelta(days=1)


def row(code: str = "c", since: datetime | None = None, until: datetime | None = None, **facts: Any) -> Row:
    return Row(LayerName.CALENDAR, code, facts, since=since, until=until)


def test_every_day_of_every_announced_year_is_as_announced() -> None:
    calendar = calendar_of([], CHINA, NOW)
    assert {2024, 2025, 2026} <= announced_in_china()
    for year in announced_in_china():
        day = date(year, 1, 1)
        while day.year == year:
            assert bool(calendar.hours(day)) == chinese_calendar.is_workday(day), day
            day += DAY


def test_a_make_up_saturday_is_a_day_like_monday() -> None:
    calendar = calendar_of([row(week={"mon": ["09:00-17:00"]})], CHINA, NOW)
    assert calendar.hours(date(2026, 10, 10)) == calendar.hours(date(2026, 10, 12)) == ((540, 1020),)
    assert calendar.hours(date(2026, 10, 13)) == OFFICE_HOURS


def test_other_zones_have_their_own_holidays_or_none() -> None:
    calendar = calendar_of([row(days={"2026-10-03": []})], BERLIN, NOW)
    assert calendar.hours(date(2026, 10, 1)) == OFFICE_HOURS
    assert calendar.hours(date(2026, 10, 3)) == ()
    assert calendar.announced is None


def test_rows_outdo_what_was_announced_and_each_other_by_their_codes() -> None:
    rows = [
        row("b", days={"2026-10-01/2026-10-03": ["09:00-12:00"]}),
        row("a", days={"2026-10-01": "mon", "2026-10-10": []}, announced=[2027]),
    ]
    calendar = calendar_of(rows, CHINA, NOW)
    assert [calendar.hours(date(2026, 10, n)) for n in (1, 3, 4, 10)] == [((540, 720),), ((540, 720),), (), ()]
    assert calendar.unannounced(NOW, NOW + 100 * DAY) is None
    assert calendar.unannounced(NOW, NOW + 500 * DAY) == 2028


def test_only_rows_in_force_count() -> None:
    rows = [row("past", until=NOW, week={"sun": ["09:00-12:00"]}), row("future", since=NOW + DAY, week={"sat": ["09:00-12:00"]})]
    assert calendar_of(rows, CHINA, NOW).week[5:] == ((), ())
    assert calendar_of(rows, CHINA, NOW + DAY).week[5:] == (((540, 720),), ())
    assert calendar_of(rows, CHINA, NOW - DAY).week[5:] == ((), ((540, 720),))


NO_WEEK = {day: [] for day in ("mon", "tue", "wed", "thu", "fri")}
BAD: dict[str, tuple[type[JieguanError], dict[str, Any]]] = {
    "a part there is not": (BadCalendar, {"weeks": {}}),
    "a day there is not": (BadCalendar, {"week": {"monday": []}}),
    "hours that are no list": (BadCalendar, {"week": {"mon": "08:00-09:00"}}),
    "hours nobody can read": (BadCalendar, {"week": {"mon": ["8-9"]}}),
    "sixty-one minutes": (BadCalendar, {"week": {"mon": ["08:61-09:00"]}}),
    "hours that go back": (BadCalendar, {"week": {"mon": ["09:00-08:00"]}}),
    "after midnight": (BadCalendar, {"week": {"mon": ["09:00-25:00"]}}),
    "hours that overlap": (BadHours, {"week": {"mon": ["08:00-10:00", "09:00-11:00"]}}),
    "a date there is not": (BadCalendar, {"days": {"2027-02-30": []}}),
    "dates backwards": (BadCalendar, {"days": {"2027-10-07/2027-10-01": []}}),
    "dates without end": (BadCalendar, {"days": {"2027-01-01/2047-01-01": []}}),
    "no table": (BadCalendar, {"days": []}),
    "years that are none": (BadCalendar, {"announced": ["2027"]}),
    "a year that is a truth": (BadCalendar, {"announced": [True]}),
    "no work at all": (NeverWorked, {"week": NO_WEEK}),
}


@pytest.mark.parametrize("what", list(BAD))
def test_a_row_nobody_can_read_is_refused_where_it_is_written(what: str) -> None:
    error, facts = BAD[what]
    with pytest.raises(error) as raised:
        PutRow(row=row_said(row(**facts))).check(None)  # type: ignore[arg-type]
    assert raised.value.text("zh-CN") != raised.value.text("en")
