"""Complaints on a map -> decisions. One path for one and for ten million.

A point is looked up in the index: its class, the margin, and what is within reach. Points with the same class and the same
neighbours are in the same situation, so the ladder runs once for each situation that occurs, and columns are look-ups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from routing.errors import JieguanError
from routing.ground.cells import Cells, Floats, Small
from routing.ground.faces import Label
from routing.ground.locate import LEVELS, NEAR_DOUBT, Answers, Found, Lone, Reach, assistants, locate, spelled
from routing.jurisdiction import OTHER_CATEGORIES, Context, JurisdictionMap, Sheet, micros
from routing.ladder import decide, would_share
from routing.model import Category, Decision, Location, Nearest, SquadCode, Step, Township
from routing.situation import Situation

CAP_M = 100.0
"""Margins are told up to here by default: farther from any line nothing about the place can change the answer."""


class InstantNeeded(JieguanError):
    zh = "这张地图的归属随时间变化,但没有给出时间:无法知道按哪一天的界线派单。请用 --at 或 --at-field 指定时间。"
    en = "Who leads on this map changes with time, and no time was given. State it with --at or --at-field."


class ZoneIsCompiled(JieguanError):
    zh = "地图按 {compiled} 米的交界带编制,其中有覆盖整条交界带的协议;不能改用 {value} 米。请用 --zone-m {value} 重新编制。"
    en = (
        "The map was compiled with a border zone of {compiled} m, and an agreement holds in the whole of it, so it cannot be "
        "routed with {value} m. Compile it again with --zone-m {value}."
    )


class ErrorIsNoRadius(JieguanError):
    zh = "error_m={value}(第 {row} 行):误差是以米计的半径,须为不小于 0 的有限数,否则不知有没有越界。请更正。"
    en = "error_m={value} (row {row}): an error is a radius in metres, finite and not below 0. Correct it."


@dataclass(frozen=True, slots=True)
class Complaints:
    """n complaints as arrays; an array of length 1 serves all rows.

    `x`, `y`: metres in the work CRS of the map; NaN cannot be located and goes to the duty squad. `error_m`: radius in which
    the true place lies. `at`: microseconds since 1970 UTC. `group`: category groups of the map (`JurisdictionMap.group_of`).
    `found_by`: number of the squad that found the case, -1 nobody. `case`: case ids, for orders about one case.
    """

    x: Floats
    y: Floats
    error_m: Floats
    at: NDArray[np.int64] | None = None
    group: Small | None = None
    found_by: Small | None = None
    case: NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return len(self.x)

    def rows(self, rows: NDArray[np.int64]) -> Complaints:
        """Some rows; arrays of length 1 stay as they are."""

        def some(a: Any) -> Any:
            return a if a is None or len(a) == 1 else a[rows]

        arrays = (self.error_m, self.at, self.group, self.found_by, self.case)
        return Complaints(self.x[rows], self.y[rows], *(some(a) for a in arrays))


@dataclass(frozen=True, slots=True)
class Routed:
    """Decisions as arrays, in the order of the complaints. Squads are numbers into `on.roster.squads`, -1 is none.

    `assist[assist_at[i]:assist_at[i + 1]]` assist row i. `township` are numbers into `township_codes`. `verdict` are numbers
    into the map's ledger, where the reasons stand.
    """

    on: JurisdictionMap
    squad: Small
    assist_at: Small
    assist: Small
    step: NDArray[np.int8]
    doubtful: NDArray[np.bool_]
    margin_m: Floats
    runner_up: Small
    township: Small
    township_codes: tuple[str, ...]
    verdict: Small

    def __len__(self) -> int:
        return len(self.squad)

    def decision(self, i: int) -> Decision:
        """Row i as a value."""
        squads = self.on.roster.squads
        verdict = self.on.ledger.verdicts[self.verdict[i]]
        runner, township = int(self.runner_up[i]), int(self.township[i])
        return Decision(
            verdict.lead,
            verdict.assist,
            verdict.step,
            verdict.reasons,
            bool(self.doubtful[i]),
            float(self.margin_m[i]),
            squads[runner].code if runner >= 0 else None,
            self.on.pin,
            self.township_codes[township] if township >= 0 else None,
        )

    def to_arrow(self) -> Any:
        """A pyarrow Table of the decision columns, squads as dictionary codes."""
        import pyarrow as pa  # noqa: PLC0415 - the arrays serve without it

        codes = pa.array([s.code for s in self.on.roster.squads], pa.string())

        def squads(number: Small) -> Any:
            return pa.DictionaryArray.from_arrays(pa.array(number, mask=number < 0), codes)

        steps = pa.DictionaryArray.from_arrays(self.step, pa.array([s.value for s in Step]))
        townships = pa.DictionaryArray.from_arrays(
            pa.array(self.township, mask=self.township < 0), pa.array(list(self.township_codes), pa.string())
        )
        assist = pa.ListArray.from_arrays(self.assist_at, squads(self.assist))
        columns = [squads(self.squad), assist, steps, pa.array(self.doubtful), pa.array(self.margin_m)]
        names = ["squad", "assist", "step", "doubtful", "margin_m", "runner_up", "township"]
        return pa.table([*columns, squads(self.runner_up), townships], names=names)


def route(
    on: JurisdictionMap,
    complaints: Complaints,
    *,
    zone_m: float | None = None,
    cap_m: float = CAP_M,
    workers: int = 1,
) -> Routed:
    """Decide every complaint: exactly one squad each, whatever its place.

    `zone_m` is the border zone (default: the map's). Margins are exact to 1 mm up to `cap_m`.
    Raises InstantNeeded, ZoneIsCompiled.
    """
    zone = zone_of(on, zone_m)
    _check_errors(complaints.error_m)
    out = _Rows(len(complaints))
    if not len(complaints):
        return out.routed(on, place_of_townships(on))
    contexts, context = contexts_of(on, complaints)
    sheets = [on.sheet(c) for c in contexts]
    for rows, mine in _parts(on, complaints, contexts, context, max(CAP_M, on.widest_m(zone), cap_m)):
        number = np.zeros(len(contexts), np.int32)
        number[mine] = np.arange(len(mine))
        part = complaints if rows is None else complaints.rows(rows)
        where = number[context if rows is None or len(context) == 1 else context[rows]]
        out.put(rows, _on_plate(on, part, [sheets[k] for k in mine], where, zone, cap_m, workers))
    return out.routed(on, place_of_townships(on))


def _check_errors(error_m: Floats) -> None:
    wrong = ~(np.isfinite(error_m) & (error_m >= 0.0))
    if wrong.any():
        row = int(wrong.argmax())
        raise ErrorIsNoRadius(value=float(error_m[row]), row=row)


class Router:
    """Decides one complaint at a time, at the rate of a look-up. Same facts, same ladder, same numbers as `route`.

    Not for two threads at once; make one each.
    """

    def __init__(self, on: JurisdictionMap, *, zone_m: float | None = None, cap_m: float = CAP_M) -> None:
        self.on = on
        self._zone = zone_of(on, zone_m)
        self._cap = cap_m
        self._lone: dict[tuple[Context, int], _Desk] = {}
        self._widest = on.widest_m(self._zone)
        self._worst = float(np.sqrt(max((on.worst2(p) for p in range(len(on.plates))), default=0.0)))
        self._timeless = len(on.intervals) == 1 and not on.alternating
        self._always = Context(0)

    def __call__(
        self,
        place: Location,
        category: Category | None = None,
        at: datetime | None = None,
        *,
        found_by: SquadCode | None = None,
        case: str | None = None,
    ) -> Decision:
        """Decide one complaint."""
        if (case is not None and case in self.on.case_orders) or not self._cap_suits(place):
            return self._by_arrays(place, category, at, found_by, case)
        plain = self._timeless and category is None and found_by is None
        context = self._always if plain else _context(self.on, category, at, found_by)
        desk = self._lone.get((context, 0))
        if desk is None:
            desk = self._lone[(context, 0)] = _Desk(self.on, context, self._zone, self._cap)
        decision = desk.decide(place.x, place.y, place.error_m)
        return decision if decision is not None else self._by_arrays(place, category, at, found_by, case)

    def _cap_suits(self, place: Location) -> bool:
        return max(self._cap, self._widest, float(np.hypot(place.error_m, self._worst))) <= CAP_M

    def _by_arrays(
        self, place: Location, category: Category | None, at: datetime | None, found_by: SquadCode | None, case: str | None
    ) -> Decision:
        one = complaint(self.on, place, category, at, found_by=found_by, case=case)
        return route(self.on, one, zone_m=self._zone, cap_m=self._cap).decision(0)


def complaint(
    on: JurisdictionMap,
    place: Location,
    category: Category | None = None,
    at: datetime | None = None,
    *,
    found_by: SquadCode | None = None,
    case: str | None = None,
) -> Complaints:
    """One complaint as arrays of length 1."""
    finder = on.squad_number.get(found_by, -1) if found_by is not None else -1
    return Complaints(
        np.array([place.x]),
        np.array([place.y]),
        np.array([place.error_m]),
        None if at is None else np.array([micros(at)], np.int64),
        np.array([on.group_of.get(category, OTHER_CATEGORIES) if category else OTHER_CATEGORIES], np.int32),
        np.array([finder], np.int32),
        None if case is None else np.array([case], object),
    )


def groups(on: JurisdictionMap, categories: Sequence[str | None]) -> Small:
    """The category group of each category code."""
    known = on.group_of
    return np.array([known.get(Category(c), OTHER_CATEGORIES) if c else OTHER_CATEGORIES for c in categories], np.int32)


class _Desk:
    """One context of one map, ready for lone points."""

    def __init__(self, on: JurisdictionMap, context: Context, zone: float, cap: float) -> None:
        self._sheet = sheet = on.sheet(context)
        number = on.intervals[context.interval].plate
        accuracy2 = on.accuracy2(number)
        reach = Reach(np.zeros(1), *on.widths(number, zone), accuracy2, cap)
        self._lone = Lone(sheet.plate.cells(CAP_M), reach, _answers([sheet], _FIRST))
        self._accuracy2 = accuracy2
        self._lead, self._base = sheet.lead.tolist(), sheet.base.tolist()
        self._codes = [s.code for s in on.roster.squads]
        self._verdicts, self._pin = on.ledger.verdicts, on.pin
        self._simple = _simpler(sheet).tolist()
        codes = place_of_townships(on)
        self._township = [codes[t] if t >= 0 else None for t in _townships(on, sheet.plate.labels, codes).tolist()]

    def decide(self, x: float, y: float, error_m: float) -> Decision | None:
        """The decision; None where the share of the error disc must be measured first."""
        own, margin, runner, doubt, near = self._lone(x, y, error_m * error_m)
        doubtful = doubt & NEAR_DOUBT != 0
        sheet = self._sheet
        if sheet.uses_share[own] and error_m * error_m + self._accuracy2[own] > 0.0:
            return None
        number = sheet.verdict((own, *sorted([self._simple[c] for c in near]))) if near else self._base[own]
        verdict = self._verdicts[number]
        if verdict.lead != self._codes[self._lead[own]]:  # on a line, and the published order gives it to the other side
            margin, runner, doubtful = 0.0, self._lead[own], True
        return Decision(
            verdict.lead,
            verdict.assist,
            verdict.step,
            verdict.reasons,
            doubtful or verdict.unsure,
            margin,
            self._codes[runner] if runner >= 0 else None,
            self._pin,
            self._township[own],
        )


_FIRST = np.zeros(1, np.int32)


def _answers(sheets: list[Sheet], context: Small) -> Answers:
    unsure = sheets[0].on.ledger.columns().unsure
    return Answers(np.stack([s.lead for s in sheets]), np.stack([unsure[s.base] for s in sheets]), context)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The columns of some rows, before verdict numbers are spelled out."""

    verdict: Small
    margin: Floats
    runner: Small
    doubtful: NDArray[np.bool_]
    township: Small


class _Rows:
    """The columns being filled, part by part."""

    def __init__(self, n: int) -> None:
        integers = (np.full(n, -1, np.int32) for _ in range(3))
        verdict, runner, township = integers
        self._all = _Answer(verdict, np.empty(n), runner, np.empty(n, bool), township)

    def put(self, rows: NDArray[np.int64] | None, answer: _Answer) -> None:
        if rows is None:
            self._all = answer
            return
        for name in _Answer.__slots__:
            getattr(self._all, name)[rows] = getattr(answer, name)

    def routed(self, on: JurisdictionMap, township_codes: tuple[str, ...]) -> Routed:
        """Verdict numbers -> columns."""
        answer, columns = self._all, on.ledger.columns()
        lead, step, at = spelled(answer.verdict, columns.lead, columns.step, columns.assist_at)
        assist = assistants(answer.verdict, at, columns.assist_at, columns.assist)
        doubtful, margin, runner, township = answer.doubtful, answer.margin, answer.runner, answer.township
        return Routed(on, lead, at, assist, step, doubtful, margin, runner, township, township_codes, answer.verdict)


Part = tuple[NDArray[np.int64] | None, list[int]]


def _parts(
    on: JurisdictionMap, complaints: Complaints, contexts: list[Context], context: Small, floor: float
) -> Iterator[Part]:
    """Rows (None: all) that share a plate and an index, with their contexts.

    Rows with a wide error need an index that sees farther; the others need not pay for it.
    """
    plate = np.array([on.intervals[c.interval].plate for c in contexts], np.int64)
    worst = max((on.worst2(p) for p in set(plate.tolist())), default=0.0)
    reach = np.sqrt(complaints.error_m**2 + worst)
    step = np.ceil(np.log2(np.maximum(reach, floor) / floor)).astype(np.int64)
    step = np.where(np.isfinite(reach), step, 0)
    if len(set(plate.tolist())) <= 1 and (len(step) == 1 or not step.any()):
        yield None, list(range(len(contexts)))
        return
    key = np.broadcast_to(plate[context] * 64 + step, len(complaints))
    for k in np.unique(key).tolist():
        yield np.flatnonzero(key == k), np.flatnonzero(plate == k // 64).tolist()


def _on_plate(
    on: JurisdictionMap,
    complaints: Complaints,
    sheets: list[Sheet],
    context: Small,
    zone: float,
    cap: float,
    workers: int,
) -> _Answer:
    """Decide complaints that fall on one plate; `context` are numbers into `sheets`."""
    plate = sheets[0].plate
    number = on.intervals[sheets[0].context.interval].plate
    reach = Reach(complaints.error_m**2, *on.widths(number, zone), on.accuracy2(number), cap)
    widest = float(np.sqrt(reach.error2.max(initial=0.0) + on.worst2(number)))
    cells = plate.cells(max(CAP_M, on.widest_m(zone), cap, widest))
    answers = _answers(sheets, context)
    found = locate(cells, complaints.x, complaints.y, reach, answers, workers)
    base = np.stack([s.base for s in sheets])
    verdict = _look(base, context, found.own)
    near = np.flatnonzero(found.n_near)
    verdict[near] = _near_verdicts(sheets, context, found, near)
    columns = on.ledger.columns()
    doubtful = found.doubt != 0
    doubtful[near] = columns.unsure[verdict[near]] | (found.doubt[near] & NEAR_DOUBT != 0)
    mine = _look(answers.lead, context, found.own, near)
    turned = columns.lead[verdict[near]] != mine  # on a line, and the published order gives it to the other side
    found.margin[near[turned]], found.runner[near[turned]], doubtful[near[turned]] = 0.0, mine[turned], True
    for i, special in _special(on, complaints, sheets, context, found, cells, reach):
        verdict[i], found.margin[i], found.runner[i], doubtful[i] = special
    codes = place_of_townships(on)
    township = _townships(on, plate.labels, codes)[found.own] if codes else np.full(len(verdict), -1, np.int32)
    return _Answer(verdict, found.margin, found.runner, doubtful, township)


def _look(table: NDArray[Any], context: Small, own: Small, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
    """table[context, own], of some rows or all."""
    mine = own if rows is None else own[rows]
    if len(context) == 1:
        return np.take(table[context[0]], mine)
    found: NDArray[Any] = table[context if rows is None else context[rows], mine]
    return found


def _near_verdicts(sheets: list[Sheet], context: Small, found: Found, rows: NDArray[np.int64]) -> Small:
    """The verdict of each row that has something within reach: one per situation that occurs."""
    code = _levels_kept(sheets, found, rows)
    key = context[rows].astype(np.int64) if len(context) > 1 else np.full(len(rows), context[0], np.int64)
    key = key * len(sheets[0].base) + found.own[rows]
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    for column in code.T:
        _, first, place = np.unique(place * (column.max(initial=0) + 2) + column + 1, return_index=True, return_inverse=True)
    verdict = np.empty(len(first), np.int32)
    for j, row in enumerate(first.tolist()):
        sheet = sheets[context[rows[row]] if len(context) > 1 else context[0]]
        near = [c for c in code[row].tolist() if c >= 0]
        verdict[j] = sheet.verdict((int(found.own[rows[row]]), *near))
    spread: Small = verdict[place]
    return spread


def _levels_kept(sheets: list[Sheet], found: Found, rows: NDArray[np.int64]) -> Small:
    """Sorted near codes of each row, -1 where there is none."""
    wide = int(found.n_near[rows].max(initial=0))
    code = found.near[rows, :wide]
    none = np.arange(wide)[None, :] >= found.n_near[rows][:, None]
    kept: Small = _simpler(sheets[0])[np.where(none, 0, code)].astype(np.int32)
    kept[none] = -1
    kept.sort(1)
    return kept


def _simpler(sheet: Sheet) -> Any:
    """Near codes that say no more than the ladder asks: `in the error` matters only for pieces of gaps."""
    codes = np.arange(LEVELS * len(sheet.plate.labels))
    gap = np.array([any(isinstance(sheet.on.claims[i], Nearest) for i in label) for label in sheet.plate.labels])
    drop = (codes % LEVELS == 1) & ~np.repeat(gap, LEVELS)
    return np.where(drop, codes - 1, codes)


def _special(
    on: JurisdictionMap,
    complaints: Complaints,
    sheets: list[Sheet],
    context: Small,
    found: Found,
    cells: Cells,
    reach: Reach,
) -> Iterator[tuple[int, tuple[int, float, int, bool]]]:
    """(row, (verdict, margin, runner-up, doubt)) of rows the ladder must see one by one.

    Those are orders for one case, and disputed ground that the share of the error disc settles.
    """
    ordered = _ordered_rows(on, complaints)
    share = np.stack([s.uses_share for s in sheets])
    rows = set(ordered)
    if share.any() and (reach.error2.any() or reach.accuracy2.any()):
        e2 = reach.error2 + reach.accuracy2[found.own]
        rows |= set(np.flatnonzero(_look(share, context, found.own) & (e2 > 0.0)).tolist())
    for i in sorted(rows):
        sheet = sheets[context[i] if len(context) > 1 else context[0]]
        own = int(found.own[i])
        near = _levels_kept(sheets, found, np.array([i]))[0].tolist()
        situation = sheet.situation((own, *(c for c in near if c >= 0)))
        orders = tuple(o for o in on.case_orders[ordered[i]] if sheet.holds(o)) if i in ordered else ()
        if orders:  # nothing about the place could change it
            yield i, (sheet.special(replace(situation, orders=orders)), reach.cap_m, -1, False)
            continue
        e2_ = float(reach.error2[i if len(reach.error2) > 1 else 0] + reach.accuracy2[own])
        if e2_ <= 0.0 or not would_share(situation, on.roster):
            continue  # the order is not in force, or the place is on a line that settles it
        place = float(complaints.x[i]), float(complaints.y[i])
        situation = replace(situation, shares=disc_shares(sheet, place, e2_**0.5))
        number = sheet.special(situation)
        margin, runner = _share_margin(on, sheet, own, situation, place, cells, reach, e2_**0.5)
        yield i, (number, margin, runner, True)


def _ordered_rows(on: JurisdictionMap, complaints: Complaints) -> dict[int, str]:
    """Rows whose case a superior has ordered, with the case id."""
    if complaints.case is None or not on.case_orders:
        return {}
    case = complaints.case.tolist() if len(complaints.case) > 1 else complaints.case.tolist() * len(complaints)
    return {i: c for i, c in enumerate(case) if c in on.case_orders}


def disc_shares(sheet: Sheet, place: tuple[float, float], radius: float) -> tuple[tuple[SquadCode, float], ...]:
    """Each squad's share of the disc around a place (metres), by code, to six decimals: symmetry must stay a tie."""
    disc = shapely.Point(place).buffer(radius, quad_segs=256)
    area: dict[SquadCode, float] = {}
    for polygon, c in sheet.plate.faces_near(disc):
        part = shapely.area(shapely.intersection(polygon, disc))
        for squad in {g.squad for g in sheet.grounds(sheet.plate.labels[c])}:
            area[squad] = area.get(squad, 0.0) + part
    return tuple((squad, round(area[squad] / disc.area, 6)) for squad in sorted(area))


def _share_margin(
    on: JurisdictionMap,
    sheet: Sheet,
    own: int,
    situation: Situation,
    place: tuple[float, float],
    cells: Cells,
    reach: Reach,
    radius: float,
) -> tuple[float, int]:
    """A distance within which the lead cannot change, where the share of the error disc decides; and who follows.

    Moving a disc of radius e by d exchanges at most 2 e d of its area on either side, so the difference of two shares changes
    by at most 4 d / (pi e). This is a guaranteed lower bound, the only margin that is not exact.
    """
    lead = decide(situation, on.roster).lead
    row = sheet.lead.copy()
    row[own] = on.squad_number[lead]
    answers = Answers(row[None, :], np.zeros((1, len(row)), bool), _FIRST)
    _, margin, runner, _, _ = Lone(cells, reach, answers)(*place, 0.0)
    share = dict(situation.shares)
    others = sorted((s for s in situation.claimants if s != lead), key=lambda s: (-share.get(s, 0.0), s))
    ahead = (share.get(lead, 0.0) - share.get(others[0], 0.0)) * np.pi * radius / 4.0
    return (ahead, on.squad_number[others[0]]) if ahead < margin else (margin, runner)


def zone_of(on: JurisdictionMap, zone_m: float | None) -> float:
    """The border zone to route with. Raises ZoneIsCompiled."""
    if zone_m is None:
        return on.settings.zone_m
    if zone_m != on.settings.zone_m and on.settings.whole_zone:
        raise ZoneIsCompiled(compiled=on.settings.zone_m, value=zone_m)
    return zone_m


def contexts_of(on: JurisdictionMap, complaints: Complaints) -> tuple[list[Context], Small]:
    """The distinct contexts of the rows, and each row's number among them; one number serves all rows alike."""
    interval = _intervals(on, complaints)
    columns: list[NDArray[np.int64]] = [interval]
    columns.append(_column(complaints.group))
    columns.append(_column(complaints.found_by if on.finders else None, -1))
    turns, turn = _turns(on, complaints, interval)
    columns.append(turn)
    if all(len(c) == 1 for c in columns):
        i, group, finder, t = (int(c[0]) for c in columns)
        return [_made(on, i, group, finder, turns[t])], np.zeros(1, np.int32)
    n = len(complaints)
    key = np.zeros(n, np.int64)
    for column in columns:
        key = key * (int(column.max(initial=0)) + 2) + np.broadcast_to(column, n) + 1
    _, first, number = np.unique(key, return_index=True, return_inverse=True)
    rows = [tuple(int(c[row if len(c) > 1 else 0]) for c in columns) for row in first.tolist()]
    return [_made(on, i, group, finder, turns[t]) for i, group, finder, t in rows], number.astype(np.int32)


def _made(on: JurisdictionMap, interval: int, group: int, finder: int, turns: tuple[tuple[str, SquadCode], ...]) -> Context:
    return Context(interval, group, turns, on.roster.squads[finder].code if finder >= 0 else None)


def _column(values: Small | None, default: int = 0) -> NDArray[np.int64]:
    return np.array([default], np.int64) if values is None else values.astype(np.int64)


def _intervals(on: JurisdictionMap, complaints: Complaints) -> NDArray[np.int64]:
    """The interval of each row."""
    if complaints.at is None:
        if len(on.intervals) > 1 or on.alternating:
            raise InstantNeeded
        return np.zeros(1, np.int64)
    return np.searchsorted(on.changes, complaints.at, "right").astype(np.int64)


Turns = tuple[tuple[str, SquadCode], ...]


def _turns(on: JurisdictionMap, complaints: Complaints, interval: NDArray[np.int64]) -> tuple[list[Turns], NDArray[np.int64]]:
    """The distinct states of alternating agreements, and each row's. Turns change at local midnight: quarter hours suffice."""
    if not on.alternating or complaints.at is None:
        return [()], np.zeros(1, np.int64)
    key = (complaints.at // 900_000_000) * len(on.intervals) + interval
    slot, place = np.unique(key, return_inverse=True)
    states: dict[Turns, int] = {}
    number = []
    for k in slot.tolist():
        moment = datetime.fromtimestamp(k // len(on.intervals) * 900, UTC)
        number.append(states.setdefault(on.turns(k % len(on.intervals), moment), len(states)))
    return list(states), np.array(number, np.int64)[place]


def _context(on: JurisdictionMap, category: Category | None, at: datetime | None, found_by: SquadCode | None) -> Context:
    """The context of a lone complaint."""
    contexts, _ = contexts_of(on, complaint(on, Location(0.0, 0.0), category, at, found_by=found_by))
    return contexts[0]


def place_of_townships(on: JurisdictionMap) -> tuple[str, ...]:
    """Township codes in the order of the numbers in `Routed.township`."""
    return tuple(sorted({c.code for c in on.claims if isinstance(c, Township)}))


def _townships(on: JurisdictionMap, labels: tuple[Label, ...], codes: tuple[str, ...]) -> Small:
    """The township of each class, -1 none; where two overlap, the lower code."""
    number = {code: i for i, code in enumerate(codes)}
    found = [[number[c.code] for c in (on.claims[i] for i in label) if isinstance(c, Township)] for label in labels]
    return np.array([min(numbers, default=-1) for numbers in found], np.int32)
