"""The working calendars of map versions, made once for each stretch of time in which the same of their rows are in force."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from datetime import datetime, tzinfo

from sqlalchemy.orm import Session

from geodata import store
from geodata.layer import LayerName, Row
from geodata.working_days import calendar_of
from routing.working_time import WorkingCalendar

Kept = tuple[tuple[Row, ...], list[datetime], dict[int, WorkingCalendar]]
"""Rows of a version, when any of them begins or ends, and what was made of them between."""


class CalendarsKept:
    """Those of the last few versions; a version never changes."""

    def __init__(self, keep: int = 8) -> None:
        self._keep, self._turn = keep, threading.Lock()
        self._found: OrderedDict[tuple[str, tzinfo], Kept] = OrderedDict()

    def of(self, session: Session, version: str, zone: tzinfo, at: datetime) -> WorkingCalendar:
        """That of a version at an instant. Raises UnknownVersion, and what `calendar_of` raises."""
        key = version, zone
        with self._turn:
            kept = self._found.get(key)
        if kept is None:
            rows = tuple(row for row in store.read_rows(session, version) if row.layer is LayerName.CALENDAR)
            kept = rows, sorted({at for row in rows for at in (row.since, row.until) if at is not None}), {}
        rows, changes, made = kept
        stretch = bisect_right(changes, at)
        if stretch not in made:
            made[stretch] = calendar_of(rows, zone, at)
        with self._turn:
            self._found[key] = kept
            self._found.move_to_end(key)
            while len(self._found) > self._keep:
                self._found.popitem(last=False)
        return made[stretch]
