"""Working time against an oracle that looks at the clock on the wall minute by minute, in zones that put it forward and back."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.working_time import BadHours, Hours, NeverWorked, NoEnd, WorkingCalendar, worked_on

MINUTE = timedelta(minutes=1)
HOUR = 60 * MINUTE
DAY = 24 * HOUR
OFFICE: Hours = ((510, 720), (840, 1050))
SHANGHAI = ZoneInfo("Asia/Shanghai")

CHANGES: dict[str, list[datetime]] = {
    # Around these the clock is put forward or back: by an hour at 2, by half an hour, over midnight, by a whole day.
    "Europe/Berlin": [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)],
    "America/New_York": [datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC)],
    "Australia/Lord_Howe": [datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2026, 10, 3, 15, 30, tzinfo=UTC)],
    "America/Sao_Paulo": [datetime(2018, 11, 4, 3, tzinfo=UTC), datetime(2018, 2, 18, 2, tzinfo=UTC)],
    "America/St_Johns": [datetime(2006, 10, 29, 2, 31, tzinfo=UTC)],
    "Africa/Casablanca": [datetime(2026, 2, 15, 2, tzinfo=UTC), datetime(2026, 3, 22, 2, tzinfo=UTC)],
    "Pacific/Apia": [datetime(2011, 12, 30, 10, tzinfo=UTC)],
    "Asia/Shanghai": [datetime(1991, 4, 13, 18, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC)],
}


def on_the_wall(calendar: WorkingCalendar, at: datetime) -> bool:
    """Is that minute worked? What the calendar is, said once more."""
    local = at.astimezone(calendar.zone)
    minute = local.hour * 60 + local.minute
    return any(a <= minute < b for a, b in calendar.hours(local.date()))


def counted(calendar: WorkingCalendar, a: datetime, b: datetime) -> int:
    """Minutes worked from a to b."""
    return sum(on_the_wall(calendar, a + n * MINUTE) for n in range((b - a) // MINUTE))


@st.composite
def hours(draw: st.DrawFn) -> Hours:
    edges = sorted(draw(st.sets(st.integers(0, 1440), min_size=0, max_size=6)))
    return tuple((edges[n], edges[n + 1]) for n in range(0, len(edges) - 1, 2))


@st.composite
def calendars(draw: st.DrawFn) -> tuple[WorkingCalendar, datetime]:
    """With an instant near a change of its clock."""
    zone = draw(st.sampled_from(list(CHANGES)))
    change = draw(st.sampled_from(CHANGES[zone]))
    week = tuple(draw(hours()) for _ in range(6))
    days = draw(st.dictionaries(st.dates(change.date() - 4 * DAY, change.date() + 4 * DAY), hours(), max_size=3))
    calendar = WorkingCalendar(ZoneInfo(zone), (OFFICE, *week), days)
    return calendar, change + draw(st.integers(-3 * 1440, 1440)) * MINUTE


@settings(max_examples=300, deadline=None)
@given(calendars(), st.integers(0, 4 * 1440))
def test_what_lies_between_is_what_the_wall_says(drawn: tuple[WorkingCalendar, datetime], minutes: int) -> None:
    calendar, a = drawn
    b = a + minutes * MINUTE
    assert calendar.between(a, b) == counted(calendar, a, b) * MINUTE


@settings(max_examples=300, deadline=None)
@given(calendars(), st.integers(1, 2_000))
def test_the_end_of_a_limit_is_the_first_instant_that_has_it(drawn: tuple[WorkingCalendar, datetime], minutes: int) -> None:
    calendar, a = drawn
    end = calendar.after(a, minutes * MINUTE)
    assert counted(calendar, a, end) == minutes
    assert on_the_wall(calendar, end - MINUTE), "its last minute is worked, so no earlier instant has it"


@settings(max_examples=200, deadline=None)
@given(calendars(), st.timedeltas(timedelta(0), timedelta(hours=20)), st.timedeltas(timedelta(0), timedelta(hours=20)))
def test_limits_add_up_to_the_microsecond(drawn: tuple[WorkingCalendar, datetime], one: timedelta, more: timedelta) -> None:
    """A limit after a limit is the limit of both: by this a suspended clock goes on where it stopped."""
    calendar, a = drawn
    end = calendar.after(a, one)
    assert calendar.after(end, more) == calendar.after(a, one + more)
    assert calendar.between(a, end) == one
    assert calendar.between(a, calendar.after(end, more)) == one + more


@settings(max_examples=40, deadline=None)
@given(calendars(), st.integers(0, 4))
def test_days_are_those_that_have_a_worked_minute(drawn: tuple[WorkingCalendar, datetime], number: int) -> None:
    calendar, a = drawn
    day, left = a.astimezone(calendar.zone).date(), number
    while True:
        # Two days of wall clock around: enough for every minute of the date in any zone.
        middle = datetime.combine(day, time(12), UTC)
        of_day = [
            m for n in range(-38 * 60, 38 * 60)
            if (m := middle + n * MINUTE).astimezone(calendar.zone).date() == day and on_the_wall(calendar, m)
        ]  # fmt: skip
        first = day == a.astimezone(calendar.zone).date()
        if of_day and (not first or not number):
            if left <= 1:
                break
            left -= 1
        day += DAY
    assert calendar.begin_of_day(a, number) == of_day[0]
    assert calendar.end_of_day(a, number) == of_day[-1] + MINUTE


def test_what_is_just_what_is_left_of_a_day_ends_with_it() -> None:
    calendar = WorkingCalendar(SHANGHAI, (OFFICE,) * 5 + ((), ()))
    friday = datetime(2026, 11, 20, 16, 30, tzinfo=SHANGHAI)
    assert calendar.after(friday, HOUR) == datetime(2026, 11, 20, 17, 30, tzinfo=SHANGHAI)
    assert calendar.after(friday, HOUR + timedelta.resolution) == datetime(2026, 11, 23, 8, 30, 0, 1, tzinfo=SHANGHAI)


def test_a_clock_put_back_over_midnight_gives_the_evening_twice_and_the_first_minute_before_it() -> None:
    """Newfoundland, one minute past midnight on 29 October 2006: 00:01 becomes 23:01 of the day before."""
    zone = ZoneInfo("America/St_Johns")
    calendar = WorkingCalendar(zone, (((0, 1), (1410, 1440)),) * 7)
    at = datetime(2026, 1, 1, tzinfo=UTC).replace(2006, 10, 29, 1, 0)  # 22:30 of the 28th
    assert at.astimezone(zone).isoformat() == "2006-10-28T22:30:00-02:30"
    for minutes in (1, 30, 31, 32, 60, 61, 62):
        end = calendar.after(at, minutes * MINUTE)
        assert counted(calendar, at, end) == minutes
        assert on_the_wall(calendar, end - MINUTE)
        assert calendar.between(at, end) == minutes * MINUTE


def night(zone: str, day: date, *parts: tuple[int, int]) -> timedelta:
    spans = worked_on(ZoneInfo(zone), day, parts)
    return sum((end - begin for begin, end in spans), timedelta(0))


def test_an_hour_skipped_is_not_worked_and_one_that_comes_twice_is_worked_twice() -> None:
    assert night("Europe/Berlin", date(2026, 3, 29), (60, 240)) == 2 * HOUR
    assert night("Europe/Berlin", date(2026, 10, 25), (60, 240)) == 4 * HOUR
    assert night("Europe/Berlin", date(2026, 10, 25), (135, 165)) == HOUR
    assert len(worked_on(ZoneInfo("Europe/Berlin"), date(2026, 10, 25), ((135, 165),))) == 2
    assert night("Pacific/Apia", date(2011, 12, 30), (0, 1440)) == timedelta(0)


def test_nothing_asked_is_the_instant_itself_and_backwards_is_nothing() -> None:
    calendar = WorkingCalendar(SHANGHAI, (OFFICE,) * 7)
    at = datetime(2026, 11, 20, 23, tzinfo=SHANGHAI)
    assert calendar.after(at, timedelta(0)) == at
    assert calendar.between(at, at - DAY) == timedelta(0)


def test_times_of_one_zone_are_told_apart_where_the_hour_comes_twice() -> None:
    """Of two times in one zone Python compares what the wall shows, which is the same at the first 2:30 and the second."""
    zone = ZoneInfo("Europe/Berlin")
    calendar = WorkingCalendar(zone, (((0, 1440),),) * 7)
    first = datetime(2026, 10, 25, 2, 30, tzinfo=zone)
    assert calendar.between(first, first.replace(fold=1)) == HOUR
    assert calendar.after(first, HOUR) == first.replace(fold=1).astimezone(UTC)


def test_years_nobody_announced() -> None:
    calendar = WorkingCalendar(SHANGHAI, (OFFICE,) * 7, announced=frozenset({2026}))
    at = datetime(2026, 12, 31, 15, tzinfo=UTC)
    assert calendar.unannounced(at, at + HOUR - MINUTE) is None
    assert calendar.unannounced(at, at + HOUR) == 2027  # by the city's clock, not by UTC's
    assert WorkingCalendar(SHANGHAI, (OFFICE,) * 7).unannounced(at, at + 99 * DAY) is None


@pytest.mark.parametrize("bad", [((720, 510),), ((510, 510),), ((510, 720), (700, 800)), ((0, 1441),), ((-1, 60),)])
def test_hours_that_are_none_are_refused(bad: Hours) -> None:
    with pytest.raises(BadHours):
        WorkingCalendar(SHANGHAI, (bad, *((OFFICE,) * 6)))


def test_a_calendar_without_work_and_a_limit_without_end_are_refused() -> None:
    with pytest.raises(NeverWorked):
        WorkingCalendar(SHANGHAI, ((),) * 7)
    with pytest.raises(NoEnd):
        WorkingCalendar(SHANGHAI, (((0, 1),), *(((),) * 6))).after(datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=30))
