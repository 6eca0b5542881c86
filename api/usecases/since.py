"""Only the cases from an instant on: of a file by its column of times, of a kept history by the times in it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from api.usecases.route_file import PointFile, field_of
from geodata.files import Table
from geodata.intake import Note
from geodata.times import read_instant, read_times, zone_named
from routing.again import History
from routing.errors import JieguanError
from routing.jurisdiction import micros

Ints = NDArray[np.int64]


class NeedsTimes(JieguanError):
    zh = "--since {since} 只取此时起的案件,但“{path}”没有说明每件案件的时间。请用 --at-field 指明时间列。"
    en = "--since {since} asks for cases from then on, and nothing tells when those of {path!r} happened. Name their times by --at-field."


class NothingSince(JieguanError):
    zh = "“{path}”共 {rows} 行,没有一行在 --since {since} 之后({untimed} 行的时间无法读出):没有可比较的案件。请改用更早的时间。"
    en = (
        "None of the {rows} rows of {path!r} is from --since {since} on ({untimed} have no readable time), so there is nothing to "
        "compare. Name an earlier time."
    )


def rows_since(table: Table, source: PointFile, since: str, notes: list[Any]) -> Ints:
    """Numbers of the rows from then on, ascending; what is left out is told. Raises BadInstant, NeedsTimes, NothingSince."""
    zone = zone_named(source.timezone)
    start = read_instant(since, zone, "--since")
    if source.at_field is None:
        raise NeedsTimes(since=since, path=table.spec)
    times = read_times(field_of(table, source.at_field, "--at-field"), zone)
    timed = np.array([error is None for error in times.error], bool)
    return _told(timed & (times.micros >= micros(start)), timed, since, table.spec, notes)


def cases_since(history: History, source: PointFile, since: str, notes: list[Any]) -> Ints:
    """Numbers of the cases of a kept history from then on. Raises BadInstant, NeedsTimes, NothingSince."""
    start = read_instant(since, zone_named(source.timezone), "--since")
    if history.at is None or len(history.at) != len(history):
        raise NeedsTimes(since=since, path=source.points)
    return _told(history.at >= micros(start), np.ones(len(history), bool), since, source.points, notes)


def _told(kept: NDArray[np.bool_], timed: NDArray[np.bool_], since: str, path: str, notes: list[Any]) -> Ints:
    rows, untimed = np.flatnonzero(kept), int((~timed).sum())
    if not len(rows):
        raise NothingSince(path=path, rows=len(kept), since=since, untimed=untimed)
    notes.append(Note("since", {"since": since, "kept": len(rows), "earlier": len(kept) - len(rows) - untimed}))
    if untimed:
        notes.append(Note("since_untimed", {"count": untimed}))
    return rows
