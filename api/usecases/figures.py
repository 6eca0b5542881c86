"""The figures of an office as rows one can print: what is divided by what, by which day, and what is said where there is nothing.

Each is a sum over cases, or one sum over another; the sums are those of `routing.facts`. Values only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from api import words_statistics as words
from api.words_statistics import Two
from routing.errors import JieguanError, Lang
from routing.facts import BASES, Basis


class UnknownFigure(JieguanError):
    zh = "没有名为“{value}”的统计数字。可用:{known}。"
    en = "There is no figure {value!r}. There are: {known}."


class Unit(StrEnum):
    """What a figure is measured in."""

    CASES = "cases"
    SHARE = "share"
    PER_CASE = "per_case"
    MINUTES = "minutes"
    HOURS = "hours"


SCALE: Mapping[Unit, int] = {Unit.CASES: 1, Unit.SHARE: 1, Unit.PER_CASE: 1, Unit.MINUTES: 60_000, Unit.HOURS: 3_600_000}
"""What a sum is divided by to be in that unit: durations are summed in thousandths of seconds."""
Terms = tuple[tuple[int, str], ...]
ONGOING: Mapping[str, tuple[str, str, str]] = {
    "dispute": ("dispute_ms", "disputing", "disputing_since_ms"),
    "orphan": ("orphan_ms", "orphans", "orphans_since_ms"),
}
"""Durations that go on: what was added up, plus now for each that goes on, less since when it does."""


@dataclass(frozen=True, slots=True)
class Figure:
    """`top` over `bottom`: sums with the sign with which they are counted. `bottom` empty: a sum by itself."""

    name: str
    basis: Basis
    unit: Unit
    top: Terms
    bottom: Terms
    cutoff: Two
    counts: Two
    source: Two

    @property
    def by_limit(self) -> bool:
        """Is it counted by a limit, which may lie in the future?"""
        return self.basis.name in LIMITS

    def told(self, lang: Lang) -> dict[str, Any]:
        """As plain values."""
        said, at = words.FIGURES[self.name], lang != "zh-CN"
        return {
            "figure": self.name, "name": said["name"][at], "formula": said["formula"][at], "numerator": said["top"][at],
            "denominator": said["bottom"][at] if "bottom" in said else None, "unit": self.unit.value,
            "cutoff": self.cutoff[at], "counts": self.counts[at],
            "zero": (words.NO_FIGURE if self.bottom else words.ALWAYS_ONE)[at], "source": self.source[at],
            "squad": self.basis.squad,
        }  # fmt: skip


LIMITS = frozenset({"handle_due", "close_due"})
GAP = "treatment_gap"
"""The one that is no quotient of sums: it compares two of them."""
_BY = {basis.name: basis for basis in BASES}
CASES: Terms = ((1, "cases"),)
U = Unit


def _of(name: str) -> Terms:
    return ((1, name),)


def _less(name: str, without: str) -> Terms:
    return ((1, name), (-1, without))


STATED, OURS, CODED = words.STATED, words.OUR_OWN, words.COUNTED_SO


def _figures() -> Iterator[Figure]:
    by, cutoff, counts = _BY["received"], words.BY_RECEIPT, words.ALL
    yield Figure("load", by, U.CASES, CASES, (), cutoff, counts, OURS)
    yield Figure("open", by, U.CASES, _of("still_open"), (), cutoff, counts, OURS)
    yield Figure("border_share", by, U.SHARE, _of("in_band"), _of("is_located"), cutoff, counts, OURS)
    yield Figure("orphan_minutes", by, U.MINUTES, _of("orphan"), (), cutoff, counts, OURS)
    by, cutoff, counts = _BY["registered"], words.BY_REGISTRATION, words.REGISTERED
    yield Figure("handled_share", by, U.SHARE, _of("handled"), CASES, cutoff, counts, STATED)
    yield Figure("closed_share", by, U.SHARE, _of("closed"), CASES, cutoff, counts, STATED)
    by, cutoff, counts = _BY["handle_due"], words.BY_HANDLE_DUE, words.LIMITED
    yield Figure("handling", by, U.SHARE, _of("handled"), CASES, cutoff, counts, STATED)
    yield Figure("on_time_handling", by, U.SHARE, _of("handled_in_time"), CASES, cutoff, counts, STATED)
    yield Figure("overdue_open", by, U.SHARE, _less("cases", "handled"), CASES, cutoff, counts, STATED)
    by, cutoff, counts = _BY["close_due"], words.BY_CLOSE_DUE, words.LIMITED
    yield Figure("closing", by, U.SHARE, _of("closed"), CASES, cutoff, counts, STATED)
    yield Figure("on_time_closing", by, U.SHARE, _of("closed_in_time"), CASES, cutoff, counts, STATED)
    yield Figure("rework", by, U.SHARE, _of("reworked"), CASES, cutoff, counts, STATED)
    by, cutoff, counts = _BY["dispatched"], words.BY_DISPATCH, words.SENT
    yield Figure("return_rate", by, U.SHARE, _of("returned"), CASES, cutoff, counts, STATED)
    yield Figure("returns_per_case", by, U.PER_CASE, _of("returned_times"), CASES, cutoff, counts, OURS)
    by, cutoff, counts = _BY["closed"], words.BY_CLOSING, words.ENDED
    yield Figure("first_dispatch", by, U.SHARE, _of("stayed"), CASES, cutoff, counts, CODED)
    yield Figure("first_dispatch_border", by, U.SHARE, _of("stayed_in_band"), _of("in_band"), cutoff, counts, CODED)
    outside = _less("stayed", "stayed_in_band")
    yield Figure("first_dispatch_outside", by, U.SHARE, outside, _less("cases", "in_band"), cutoff, counts, CODED)
    yield Figure("mean_hops", by, U.PER_CASE, _of("hopped"), CASES, cutoff, counts, OURS)
    by, cutoff, counts = _BY["handled"], words.BY_HANDLING, words.TOOK
    yield Figure("handling_hours", by, U.HOURS, _of("took_ms"), CASES, cutoff, counts, OURS)
    yield Figure(GAP, by, U.HOURS, _of("took_ms"), CASES, cutoff, counts, OURS)
    yield Figure("dispute_hours", _BY["disputed"], U.HOURS, _of("dispute"), CASES, words.BY_DISPUTE, words.DISPUTED, OURS)
    yield Figure("designations", _BY["designated"], U.CASES, CASES, (), words.BY_DESIGNATION, words.ALL, OURS)


FIGURES: tuple[Figure, ...] = tuple(_figures())
NAMED: Mapping[str, Figure] = {figure.name: figure for figure in FIGURES}


def figure_named(name: str) -> Figure:
    """Raises UnknownFigure."""
    if name not in NAMED:
        raise UnknownFigure(value=name[:60], known=", ".join(NAMED))
    return NAMED[name]


@dataclass(frozen=True, slots=True)
class Worth:
    """A figure of some cases. `value` None: there is none, since `bottom` is 0. In the figure's unit, to the sixth decimal."""

    top: float
    bottom: float | None
    value: float | None


def worth(figure: Figure, sums: Mapping[str, int]) -> Worth:
    """A figure by its sums."""
    scale = SCALE[figure.unit]
    top = added(figure.top, sums)
    if not figure.bottom:
        return Worth(_short(top / scale), None, _short(top / scale))
    bottom = added(figure.bottom, sums)
    return Worth(_short(top / scale), bottom, _short(top / scale / bottom) if bottom else None)


def added(terms: Terms, sums: Mapping[str, int]) -> int:
    """A sum of sums."""
    return sum(sign * sums.get(name, 0) for sign, name in terms)


def gap(sides: Mapping[tuple[str, str], Mapping[str, int]]) -> Worth:
    """By the sums of each (stretch, squad): the mean of the differences, of stretches with cases on both sides."""
    means: dict[str, dict[str, float]] = {}
    for (stretch, squad), sums in sides.items():
        if squad in stretch.split("|") and sums.get("cases", 0):
            means.setdefault(stretch, {})[squad] = sums["took_ms"] / SCALE[U.HOURS] / sums["cases"]
    gaps = [abs(a - b) for a, b in (tuple(found.values()) for found in means.values() if len(found) == 2)]
    return Worth(_short(sum(gaps)), len(gaps), _short(sum(gaps) / len(gaps)) if gaps else None)


def _short(value: float) -> float:
    """Whole numbers as such."""
    short = round(value, 6)
    return int(short) if short == int(short) else short
