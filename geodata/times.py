"""Columns of times -> instants. A time without a zone is read in the city's zone, and counted; none is guessed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geodata.points import LocationError
from routing.errors import JieguanError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UnknownZone(JieguanError):
    zh = "--timezone “{value}”不是已知的时区:无法把当地时间换算成时刻。请用 Asia/Shanghai 这样的名称。"
    en = "--timezone {value!r} is no known time zone, so local times name no instant. Use a name like Asia/Shanghai."


class BadInstant(JieguanError):
    zh = "{field}“{value}”不是时间。请写 2024-05-01 或 2024-05-01T08:00:00+08:00。"
    en = "{field} {value!r} is no time. Write 2024-05-01 or 2024-05-01T08:00:00+08:00."


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """Instants as microseconds since 1970 UTC (0 where `error` is set), and how many were read in the city's zone."""

    micros: NDArray[np.int64]
    error: NDArray[np.object_]
    naive: int


def zone_named(name: str) -> ZoneInfo:
    """Raises UnknownZone."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise UnknownZone(value=name) from error


def read_instant(text: str, zone: ZoneInfo, field: str) -> datetime:
    """One time as text, ISO 8601; a date is its first instant. Raises BadInstant."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise BadInstant(field=field, value=text) from error
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment


def read_times(column: Any, zone: ZoneInfo) -> Times:
    """A column of timestamps, dates or ISO text. Each distinct value is read once."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    coded = pc.dictionary_encode(array)
    values = coded.dictionary.to_pylist()
    read = [_read(value, zone) for value in values]
    place = coded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
    micros = np.array([m for m, _, _ in read] + [0], np.int64)
    error = np.array([e for _, e, _ in read] + [LocationError.BAD_TIME.value], object)
    naive = np.array([n for _, _, n in read] + [False], bool)
    return Times(micros[place], error[place], int(naive[place].sum()))


def _read(value: Any, zone: ZoneInfo) -> tuple[int, str | None, bool]:
    """(microseconds, error code, had no zone)."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return 0, LocationError.BAD_TIME.value, False
    if not isinstance(value, datetime):
        return 0, LocationError.BAD_TIME.value, False
    naive = value.tzinfo is None
    since = (value.replace(tzinfo=zone) if naive else value) - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds, None, naive
