"""The figures of an office, exact at any moment: sums of days and months, what is not in them yet, and today's limits case by case.

    figures(of, who, Asked(span, by="squad"))           every figure, in total and by squad
    cases_of(of, who, "rework", "numerator", asked, 50, None)   the cases behind one of its numbers

Days are those of the bureau's zone. Whoever may not see a case has it in none of his figures, so that each number has its rows.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api import sheets, words_statistics
from api.access import Principal
from api.store import facts as stored
from api.store.fact_tables import CaseFact, DayFact, FactChange
from api.store.tables import CaseFile
from api.usecases.figures import (
    FIGURES,
    GAP,
    LIMITS,
    ONGOING,
    SCALE,
    Figure,
    Terms,
    Unit,
    Worth,
    added,
    figure_named,
    gap,
    worth,
)
from api.usecases.office import Office
from api.usecases.queues import OF_SQUADS, BadCursor
from api.words_statistics import FIGURES as NAMES
from api.words_statistics import GROUPS
from routing import facts
from routing.case import Role
from routing.errors import JieguanError, Lang
from routing.facts import BASES, SUMS

ONE_DAY = dt.timedelta(days=1)
PERIOD = re.compile(r"(\d{4})(?:-(?:H([12])|Q([1-4])|(\d{2})(?:-(\d{2}))?))?")
BY, NAMED_SO = tuple(GROUPS), tuple(figure.name for figure in FIGURES)
PERIODS = ("day", "month", "quarter", "half", "year")
NUMERATOR, DENOMINATOR = "numerator", "denominator"
PARTS = (NUMERATOR, DENOMINATOR)
Sums = dict[str, int]
Keyed = dict[str, dict[str, Sums]]
"""By group, then by basis."""


class BadPeriod(JieguanError):
    zh = "期间“{value}”无法理解({why})。请写 2026、2026-H1、2026-Q2、2026-06、2026-06-15,或给出 since 和 until 两个日期(不含 until 当日)。"
    en = (
        "The period {value!r} cannot be understood ({why}). Write 2026, 2026-H1, 2026-Q2, 2026-06, 2026-06-15, or two dates since and "
        "until (until is not included)."
    )


class UnknownGroup(JieguanError):
    zh = "不能按“{value}”分组。可用:{known}。"
    en = "Figures are not told by {value!r}. There are: {known}."


class NotYourFigures(JieguanError):
    zh = "没有中队“{value}”的统计,或您无权查看。请查看本中队的统计。"
    en = "There are no figures of the squad {value!r}, or they are not yours to see. Look at your own."


class NoDenominator(JieguanError):
    zh = "“{figure}”是一个总数,没有分母。请改为 part=numerator。"
    en = "{figure!r} is a sum and has no denominator. Ask for part=numerator."


# ---- periods ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Span:
    """Whole days of the bureau, `until` not included."""

    since: date
    until: date

    def __post_init__(self) -> None:
        if self.since >= self.until:
            raise BadPeriod(value=f"{self.since} – {self.until}", why="since >= until")


def span_of(period: str | None, since: str | None, until: str | None, today: date) -> Span:
    """As it was asked for; nothing said is this month. Raises BadPeriod."""
    if period is not None:
        if since is not None or until is not None:
            raise BadPeriod(value=period[:40], why="since, until")
        return _period(period)
    first = today.replace(day=1) if since is None else _date(since)
    return Span(first, max(today + ONE_DAY, first + ONE_DAY) if until is None else _date(until))


def _period(text: str) -> Span:
    found = PERIOD.fullmatch(text.strip())
    if found is None:
        raise BadPeriod(value=text[:40], why="?")
    year, half, quarter, month, day = (None if part is None else int(part) for part in found.groups())
    assert year is not None
    try:
        if day is not None and month is not None:
            first = date(year, month, day)
            return Span(first, first + ONE_DAY)
        length = 6 if half else 3 if quarter else 1 if month else 12
        begin = (half - 1) * 6 + 1 if half else (quarter - 1) * 3 + 1 if quarter else 1 if month is None else month
        end = begin + length
        return Span(date(year, begin, 1), date(year + end // 13, (end - 1) % 12 + 1, 1))
    except (ValueError, OverflowError) as error:
        raise BadPeriod(value=text[:40], why=str(error)) from error


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        raise BadPeriod(value=text[:40], why=str(error)[:80]) from error


# ---- what is asked ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """Which cases, and how they are told. `stretch`: `A|B`, or '' for all that is outside the band. `names`: of figures; none is all."""

    span: Span
    by: str | None = None
    squad: str | None = None
    category: str | None = None
    stretch: str | None = None
    names: tuple[str, ...] = ()

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Raises UnknownFigure."""
        return tuple(figure_named(name) for name in self.names) or FIGURES


@dataclass(frozen=True, slots=True)
class Line:
    """A group, or all of it (`key` None), with what each figure is worth."""

    key: str | None
    worth: Mapping[str, Worth]


@dataclass(frozen=True, slots=True)
class Told:
    """Figures as they stand at `now`."""

    asked: Asked
    now: datetime
    zone: str
    total: Line
    lines: tuple[Line, ...] = field(default=())


def figures(of: Office, who: Principal, asked: Asked) -> Told:
    """Every figure that is asked for. Raises UnknownFigure, UnknownGroup, NotYourFigures."""
    if asked.by is not None and asked.by not in GROUPS:
        raise UnknownGroup(value=asked.by[:40], known=", ".join(GROUPS))
    wanted, now = asked.figures, of.now()
    seen = _Seen(asked, who, now, now.astimezone(of.zone).date())
    with of.db.reading() as session:
        keyed = _read(session, seen, {figure.basis.name for figure in wanted})
        sides = _sides(session, seen) if any(figure.name == GAP for figure in wanted) else {}
    total: dict[str, Sums] = {}
    for by_basis in keyed.values():
        for basis, sums in by_basis.items():
            _add(total.setdefault(basis, {}), sums)
    every = _joined(sides)
    keys = () if asked.by is None else tuple(sorted(keyed.keys() | sides.keys()))
    return Told(
        asked, now, str(of.zone), Line(None, _worths(wanted, total, every, seen)),
        tuple(Line(key, _worths(wanted, keyed.get(key, {}), sides.get(key, {}), seen)) for key in keys),
    )  # fmt: skip


def _worths(wanted: Sequence[Figure], by_basis: Mapping[str, Sums], sides: Mapping[tuple[str, str], Sums], seen: _Seen) -> dict[str, Worth]:
    made = {}
    for figure in wanted:
        sums = by_basis.get(figure.basis.name, {})
        made[figure.name] = gap(sides) if figure.name == GAP else worth(figure, _with_ongoing(sums, seen.now))
    return made


def _with_ongoing(sums: Mapping[str, int], now: datetime) -> Sums:
    """What goes on, up to now."""
    going = {
        name: sums.get(done, 0) + sums.get(going, 0) * facts.ms(now) - sums.get(since, 0) for name, (done, going, since) in ONGOING.items()
    }
    return {**sums, **going}


def _add(there: Sums, sums: Mapping[str, int]) -> None:
    for name, value in sums.items():
        there[name] = there.get(name, 0) + value


def _joined(sides: Mapping[str, Mapping[tuple[str, str], Sums]]) -> dict[tuple[str, str], Sums]:
    """The sides of all groups together."""
    made: dict[tuple[str, str], Sums] = {}
    for group in sides.values():
        for pair, sums in group.items():
            _add(made.setdefault(pair, {}), sums)
    return made


# ---- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Seen:
    """What somebody asks, as far as it is his to see, on a day."""

    asked: Asked
    who: Principal
    now: datetime
    today: date

    def conditions(self, table: Any, squad: str = "squad") -> list[Any]:
        """Of rows of sums; of cases with the squad by which a basis counts them. Raises NotYourFigures."""
        wanted = self.asked.squad
        if self.who.role in OF_SQUADS:
            if wanted not in (None, self.who.squad):
                raise NotYourFigures(value=wanted)
            wanted = str(self.who.squad)
        found = [] if wanted is None else [table.c[squad] == wanted]
        if self.asked.category is not None:
            found.append(table.c.category == self.asked.category)
        if self.asked.stretch is not None:
            found.append(table.c.stretch == self.asked.stretch)
        # A case about our own people is for supervision alone.
        return found if self.who.role is Role.SUPERVISOR else [*found, ~table.c.apart]


def _read(session: Session, seen: _Seen, bases: set[str]) -> Keyed:
    """Sums by group and basis."""
    names = ["cases", *dict.fromkeys(name for basis in BASES if basis.name in bases for name in basis.sums)]
    found: Keyed = {}
    by = seen.asked.by
    for basis, key, *sums in session.execute(_query(seen, bases, names, by)):
        group = "" if by is None else _period_of(key, by) if by in PERIODS else str(key)
        _add(found.setdefault(group, {}).setdefault(str(basis), {}), dict(zip(names, map(int, sums), strict=True)))
    return found


def _sides(session: Session, seen: _Seen) -> dict[str, dict[tuple[str, str], Sums]]:
    """Handling times by group, then by stretch and squad."""
    by, names = seen.asked.by, ["cases", "took_ms"]
    rows = _query(seen, {"handled"}, names, by, more=("stretch", "squad"))
    found: dict[str, dict[tuple[str, str], Sums]] = {}
    for _, key, stretch, squad, *sums in session.execute(rows):
        if stretch != facts.NO_STRETCH:
            group = "" if by is None else _period_of(key, by) if by in PERIODS else str(key)
            _add(found.setdefault(group, {}).setdefault((str(stretch), str(squad)), {}), dict(zip(names, map(int, sums), strict=True)))
    return found


def _query(seen: _Seen, bases: set[str], names: Sequence[str], by: str | None, more: Sequence[str] = ()) -> Any:
    """One statement over sums and changes, so that both are of one moment."""
    whole = sa.union_all(*_sources(seen, bases, names)).subquery()
    key = sa.literal("") if by is None else stored.month_of(whole.c.day) if by in PERIODS[1:] else whole.c[by]
    keys = [whole.c.basis, key.label("key"), *(whole.c[name] for name in more)]
    query = sa.select(*keys, *(sa.func.sum(whole.c[name]) for name in names))
    grouped = [whole.c.basis, *([] if by is None else [key]), *(whole.c[name] for name in more)]
    return query.group_by(*grouped).having(sa.func.sum(whole.c.cases) != 0)


def _sources(seen: _Seen, bases: set[str], names: Sequence[str]) -> Iterator[Any]:
    until = min(seen.asked.span.until, seen.today + ONE_DAY)
    day, change = DayFact.table(), FactChange.table()
    keys = ("basis", "squad", "category", "stretch")

    def of(table: Any, begin: str, end: str) -> Any:
        query = sa.select(table.c.day, *(table.c[name] for name in (*keys, *names)))
        query = query.where(table.c.day >= begin, table.c.day < end, *seen.conditions(table))
        if len(bases) < len(BASES):
            query = query.where(table.c.basis.in_(sorted(bases)))
        # Of today's limits some have not passed: they are asked case by case.
        return query.where(sa.or_(table.c.basis.not_in(sorted(LIMITS)), table.c.day != seen.today.isoformat()))

    first, last = _months(seen.asked.span.since, until, seen.today) if seen.asked.by != "day" else (until, until)
    yield of(change, seen.asked.span.since.isoformat(), until.isoformat())
    if first < last:
        yield of(day, f"{first:%Y-%m}", f"{last:%Y-%m}").where(day.c.span == "month")
        yield of(day, seen.asked.span.since.isoformat(), first.isoformat()).where(day.c.span == "day")
    else:
        last = seen.asked.span.since
    yield of(day, last.isoformat(), until.isoformat()).where(day.c.span == "day")
    if seen.asked.span.since <= seen.today < until:
        yield from (_today(seen, basis, names) for basis in BASES if basis.name in bases & LIMITS)


def _months(since: date, until: date, today: date) -> tuple[date, date]:
    """From which to which month (not included) whole months are read: those that are over."""
    first = since if since.day == 1 else (since.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
    return first, min(until, today).replace(day=1)


def _today(seen: _Seen, basis: facts.Basis, names: Sequence[str]) -> Any:
    """Cases whose limit passed today."""
    case = CaseFact.table()
    sums = (sa.literal(1) if n == "cases" else case.c[n] if n in basis.sums else sa.literal(0) for n in names)
    squad = case.c[basis.squad].label("squad")
    columns = (case.c[basis.day].label("day"), sa.literal(basis.name).label("basis"), squad, case.c.category, case.c.stretch, *sums)
    return sa.select(*columns).where(
        case.c[basis.day] == seen.today.isoformat(), case.c[basis.name] <= seen.now, *seen.conditions(case, basis.squad)
    )


def _period_of(day: str, by: str) -> str:
    """The period a day or a month lies in."""
    month = int(day[5:7])
    quarter, half = (month - 1) // 3 + 1, (month - 1) // 6 + 1
    return {"day": day, "month": day[:7], "quarter": f"{day[:4]}-Q{quarter}", "half": f"{day[:4]}-H{half}", "year": day[:4]}[by]


# ---- the cases behind a number ---------------------------------------------------------------------------------------


def cases_of(of: Office, who: Principal, name: str, part: str, asked: Asked, limit: int, after: str | None, lang: Lang) -> dict[str, Any]:
    """A page of the cases that a figure counts, by the day it counts them, with what each adds to it.

    Raises UnknownFigure, NoDenominator, NotYourFigures, BadCursor.
    """
    figure = figure_named(name)
    terms = figure.top if part == NUMERATOR else figure.bottom
    if not terms:
        raise NoDenominator(figure=name)
    now, begin = of.now(), _mark(after)
    seen = _Seen(asked, who, now, now.astimezone(of.zone).date())
    case, file = CaseFact.table(), CaseFile.table()
    day = case.c[figure.basis.day]
    columns = (case, file.c.number, day.label("counted_day"))
    query = sa.select(*columns).join(file, file.c.id == case.c.case_id).where(_counts(case, terms), *_within(seen, figure, case))
    if name == GAP:
        query = query.where(case.c.stretch != facts.NO_STRETCH)
    if begin is not None:
        query = query.where(sa.tuple_(day, case.c.case_id) > sa.tuple_(sa.literal(begin[0]), sa.literal(begin[1])))
    with of.db.reading() as session:
        rows = session.execute(query.order_by(day, case.c.case_id).limit(limit + 1)).mappings().all()
    unit = figure.unit if part == NUMERATOR else Unit.CASES
    items = [_case_told(row, terms, unit, now) for row in rows[:limit]]
    more = None if len(rows) <= limit else _mark_of(rows[limit - 1]["counted_day"], rows[limit - 1]["case_id"])
    return {"definition": figure.told(lang), "part": part, "as_of": now.isoformat(), "items": items, "next": more}


def _within(seen: _Seen, figure: Figure, case: Any) -> Iterator[Any]:
    """That a case lies in the period and is his to see."""
    day, basis = case.c[figure.basis.day], figure.basis
    yield day >= seen.asked.span.since.isoformat()
    yield day < min(seen.asked.span.until, seen.today + ONE_DAY).isoformat()
    if figure.by_limit:
        yield sa.or_(day != seen.today.isoformat(), case.c[basis.name] <= seen.now)
    yield from seen.conditions(case, basis.squad)


def _counts(case: Any, terms: Terms) -> Any:
    """That a case adds something."""
    if any(name in ONGOING for _, name in terms):
        return sa.or_(*(case.c[each] != 0 for _, name in terms for each in ONGOING[name][:2]))
    return sum((sign * (sa.literal(1) if name == "cases" else case.c[name]) for sign, name in terms), sa.literal(0)) != 0


def _case_told(row: Any, terms: Terms, unit: Unit, now: datetime) -> dict[str, Any]:
    amount = added(terms, _with_ongoing({name: 1 if name == "cases" else row[name] for name in SUMS}, now)) / SCALE[unit]
    times = ("received_at", "registered_at", "dispatched_at", "handle_due", "handled_at", "close_due", "closed_at")
    return {
        "number": row["number"], "day": row["counted_day"], "amount": int(amount) if amount == int(amount) else round(amount, 6),
        "state": row["state"], "squad": row["squad"], "first_squad": row["first_squad"], "category": row["category"],
        "stretch": row["stretch"], **{name: None if row[name] is None else row[name].isoformat() for name in times},
        "hops": row["hops"], "returns": row["returns"], "rework": row["rework"],
    }  # fmt: skip


def _mark_of(day: str, case: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([day, case]).encode()).decode().rstrip("=")


def _mark(text: str | None) -> tuple[str, int] | None:
    """Where a page ended. Raises BadCursor."""
    if text is None:
        return None
    try:
        day, case = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        begin = date.fromisoformat(day).isoformat(), int(case)
    except (binascii.Error, ValueError, TypeError, UnicodeDecodeError) as error:
        raise BadCursor(value=text[:60]) from error
    if not 0 <= begin[1] < 2**31:
        raise BadCursor(value=text[:60])
    return begin


# ---- as it is told ---------------------------------------------------------------------------------------------------


def as_values(told: Told, lang: Lang) -> dict[str, Any]:
    """As plain values, each figure with its definition."""
    span = told.asked.span
    return {
        "since": span.since.isoformat(), "until": span.until.isoformat(), "as_of": told.now.isoformat(), "zone": told.zone,
        "by": told.asked.by, "squad": told.asked.squad, "category": told.asked.category, "stretch": told.asked.stretch,
        "definitions": [figure.told(lang) for figure in told.asked.figures],
        "total": _line(told.total), "lines": [{"key": line.key, "figures": _line(line)} for line in told.lines],
    }  # fmt: skip


def _line(line: Line) -> dict[str, Any]:
    return {name: {"value": w.value, "numerator": w.top, "denominator": w.bottom} for name, w in line.worth.items()}


def definitions(lang: Lang) -> list[dict[str, Any]]:
    """How every figure is defined."""
    return [figure.told(lang) for figure in FIGURES]


def as_table(told: Told, lang: Lang) -> tuple[list[str], list[list[Any]]]:
    """Headings and rows: a group, then value, numerator and denominator of each figure; the total last. No figure: nothing in the cell."""
    at, by = lang != "zh-CN", told.asked.by
    heads = ["" if by is None else GROUPS[by][at]]
    for figure in told.asked.figures:
        name, parts = NAMES[figure.name]["name"][at], (words_statistics.TOP[at], words_statistics.BOTTOM[at])
        heads += [name] if not figure.bottom else [name, *(f"{name} {part}" for part in parts)]
    return heads, [_cells(line, told.asked, at) for line in (*told.lines, told.total)]


def _cells(line: Line, asked: Asked, at: bool) -> list[Any]:
    off = words_statistics.OFF_STRETCH[at] if asked.by == "stretch" else ""
    found: list[Any] = [words_statistics.TOTAL[at] if line.key is None else line.key or off]
    for figure in asked.figures:
        w = line.worth[figure.name]
        found += [w.value] if not figure.bottom else [w.value, w.top, w.bottom]
    return found


def as_csv(told: Told, lang: Lang) -> bytes:
    """For a spreadsheet; nothing in it is worked out as a formula."""
    heads, rows = as_table(told, lang)
    return sheets.written(heads, [["" if cell is None else str(cell) for cell in row] for row in rows])


def as_workbook(told: Told, lang: Lang) -> bytes:
    """The figures on one sheet, how they are defined on another."""
    at = lang != "zh-CN"
    figures_, defined = (name[at] for name in words_statistics.SHEETS)
    rows = definitions(lang)
    names = {figure.name for figure in told.asked.figures}
    table = [list(row.values()) for row in rows if row["figure"] in names]
    return sheets.workbook({figures_: as_table(told, lang), defined: (list(rows[0]), table)})


# ---- upkeep ----------------------------------------------------------------------------------------------------------


def settle(of: Office) -> int:
    """Add up what is not in the sums yet, some at a time. How many changes there were."""
    total = 0
    while True:
        with of.db.writing() as session:
            count = stored.settle(session)
        total += count
        if count < stored.AT_ONCE:
            return total


def rebuild(of: Office, at_once: int = 1_000) -> tuple[int, int]:
    """The facts of all cases from the record, then all sums. How many cases, and how many were wrong. Raises NoBeginning."""
    cases, changed, after = 0, 0, 0
    while True:
        with of.db.writing() as session:
            ids = list(stored.ids_after(session, after, at_once))
            changed += stored.told_again(session, ids, of.zone)
        if not ids:
            break
        cases, after = cases + len(ids), ids[-1]
    with of.db.writing() as session:
        stored.summed_again(session)
    return cases, changed
