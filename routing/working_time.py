"""Working time: what counts of the time between two instants, by a calendar of weekly hours, holidays and make-up days.

    calendar.after(instant, amount)     the earliest instant by which `amount` of working time has passed
    calendar.between(a, b)              how much of the time from a to b is worked
    calendar.end_of_day(instant, 3)     the end of the third working day after the day of `instant`, which itself does not count

An instant is worked when the clock on the wall of the city's zone, at that instant, stands within the hours of its day. Nothing else
is assumed of a zone: an hour that is skipped is not worked, one that comes twice is worked twice. Exact to the microsecond; no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise

from routing.errors import JieguanError

Hours = tuple[tuple[int, int], ...]
"""Working hours of a day: minutes after midnight on the wall, from (included) to (excluded), ascending, apart from each other."""
MIDNIGHT = 24 * 60
NOTHING, HOUR, DAY = timedelta(0), timedelta(hours=1), timedelta(days=1)
FURTHEST = 100 * 366
"""Days looked ahead."""


class BadHours(JieguanError):
    zh = "工作时段 {value} 不成立:须按先后排列、互不重叠,且在 00:00 至 24:00 之间。请更正工作日历。"
    en = "The working hours {value} do not hold: they are in order, apart from each other, from 00:00 to 24:00. Correct the calendar."


class NeverWorked(JieguanError):
    zh = "工作日历一周七天都没有工作时段:期限永远不会到。请至少写一段。"
    en = "The working calendar has no hours on any day of the week, so no limit would ever end. State some."


class NoEnd(JieguanError):
    zh = "从 {value} 起,所要的工作时间在 {days} 天内也不满:期限过长。请核对期限与工作日历。"
    en = "Counted from {value}, the working time asked for does not pass within {days} days. Check the limit and the calendar."


@dataclass(frozen=True, slots=True)
class WorkingCalendar:
    """`week`: hours of Monday to Sunday. `days`: those of single dates instead, none for a holiday.

    `announced`: years whose holidays are known; None where none are announced, so that nothing is missing. Raises BadHours, NeverWorked.
    """

    zone: tzinfo
    week: tuple[Hours, ...]
    days: Mapping[date, Hours] = field(default_factory=dict, hash=False)
    announced: frozenset[int] | None = None

    def __post_init__(self) -> None:
        for hours in (*self.week, *self.days.values()):
            edges = [0, *(edge for part in hours for edge in part), MIDNIGHT]
            if any(a > b for a, b in pairwise(edges)) or any(a >= b for a, b in hours):
                raise BadHours(value=hours_told(hours))
        if len(self.week) != 7 or not any(self.week):
            raise NeverWorked

    def hours(self, day: date) -> Hours:
        """Of a date."""
        return self.days.get(day, self.week[day.weekday()])

    def after(self, instant: datetime, amount: timedelta) -> datetime:
        """The earliest instant by which so much working time has passed; `instant` itself for none. Raises NoEnd."""
        left = amount
        if left <= NOTHING:
            return instant.astimezone(UTC)
        for begin, end in self._worked(instant):
            if end - begin >= left:
                return begin + left
            left -= end - begin
        raise NoEnd(value=instant.isoformat(), days=FURTHEST)

    def between(self, a: datetime, b: datetime) -> timedelta:
        """Working time from a to b; none where b is not after a."""
        total, a, b = NOTHING, a.astimezone(UTC), b.astimezone(UTC)  # in one zone Python compares by the wall
        if b > a:
            for begin, end in self._worked(a):
                if begin >= b:
                    break
                total += min(end, b) - begin
        return total

    def end_of_day(self, instant: datetime, number: int) -> datetime:
        """The end of work on the n-th working day after the day of `instant`; for 0 on that day, or the first after it. Raises NoEnd."""
        return self._day(instant, number)[-1][1]

    def begin_of_day(self, instant: datetime, number: int) -> datetime:
        """When work begins on that day. Raises NoEnd."""
        return self._day(instant, number)[0][0]

    def unannounced(self, a: datetime, b: datetime) -> int | None:
        """The first year from a to b whose holidays nobody has announced yet: its days were taken as any other week's."""
        if self.announced is None:
            return None
        years = range(a.astimezone(self.zone).year, b.astimezone(self.zone).year + 1)
        return next((year for year in years if year not in self.announced), None)

    def _day(self, instant: datetime, number: int) -> tuple[tuple[datetime, datetime], ...]:
        today = instant.astimezone(self.zone).date()
        for n in range(FURTHEST):
            spans = worked_on(self.zone, today + n * DAY, self.hours(today + n * DAY))
            if spans and (n or not number):
                if number <= 1:
                    return spans
                number -= 1
        raise NoEnd(value=instant.isoformat(), days=FURTHEST)

    def _worked(self, instant: datetime) -> Iterator[tuple[datetime, datetime]]:
        """What is worked from an instant on, as spans in UTC, in order."""
        since = instant.astimezone(UTC)
        first = instant.astimezone(self.zone).date() - DAY  # a clock put back over midnight shows yesterday again
        held: list[tuple[datetime, datetime]] = []
        for n in range(FURTHEST):
            day = first + n * DAY
            held = sorted([*held, *worked_on(self.zone, day, self.hours(day))])
            # Today may still follow tomorrow's first hour where a clock is put back over midnight, so one day is kept back.
            ready = [span for span in held if span[0] < _some_noon(self.zone, day)]
            held = held[len(ready) :]
            yield from ((max(begin, since), end) for begin, end in ready if end > since)


def _some_noon(zone: tzinfo, day: date) -> datetime:
    return datetime.combine(day, time(12), zone).astimezone(UTC)


@lru_cache(maxsize=8192)
def worked_on(zone: tzinfo, day: date, hours: Hours) -> tuple[tuple[datetime, datetime], ...]:
    """The hours of a date as spans in UTC, in order; those that touch are one.

    Each stretch of the zone with one offset gives its share of each part of the day.
    """
    if not hours:
        return ()
    spans: list[tuple[datetime, datetime]] = []
    midnight = datetime.combine(day, time(), UTC)
    for offset, begin, end in _stretches(zone, day):
        for a, b in hours:
            since, until = max(begin, midnight + a * _MINUTE - offset), min(end, midnight + b * _MINUTE - offset)
            if since < until:
                spans.append((since, until))
    merged: list[tuple[datetime, datetime]] = []
    for since, until in sorted(spans):
        touching = merged and merged[-1][1] == since
        merged.append((merged.pop()[0] if touching else since, until))
    return tuple(merged)


_MINUTE = timedelta(minutes=1)


def _stretches(zone: tzinfo, day: date) -> Iterator[tuple[timedelta, datetime, datetime]]:
    """Offsets of a zone around a date, each with when it begins and ends; looked for by the hour, found to the microsecond."""
    begin = at = datetime.combine(day, time(), UTC) - DAY
    end, offset = at + 3 * DAY, _offset(zone, at)
    while at < end:
        ahead = at + HOUR
        if (other := _offset(zone, ahead)) != offset:
            change = _change(zone, at, ahead)
            yield offset, begin, change
            begin, offset = change, other
        at = ahead
    yield offset, begin, end


def _change(zone: tzinfo, a: datetime, b: datetime) -> datetime:
    """When the offset of a moment is no longer that of another."""
    before = _offset(zone, a)
    low, high = 0, (b - a) // timedelta.resolution
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, a + middle * timedelta.resolution) == before:
            low = middle
        else:
            high = middle
    return a + high * timedelta.resolution


def _offset(zone: tzinfo, at: datetime) -> timedelta:
    found = at.astimezone(zone).utcoffset()
    assert found is not None
    return found


def hours_told(hours: Hours) -> str:
    """As people write them: 08:30-12:00, 14:00-17:30."""
    return ", ".join(f"{a // 60:02d}:{a % 60:02d}-{b // 60:02d}:{b % 60:02d}" for a, b in hours) or "-"
