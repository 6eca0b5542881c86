"""Places that are lines or areas ("along X Road"): the greater share of their length or area decides.

The same sheets and the same ladder as for points; only the question "which class is it in" has several answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from routing.errors import JieguanError
from routing.jurisdiction import JurisdictionMap, Sheet
from routing.model import Reason, SquadCode, Step, Verdict
from routing.route import CAP_M, Complaints, Routed, contexts_of, place_of_townships, zone_of

TIE = 1e-6
"""Shares closer than this are equal: what a float intersection leaves, not what a street has."""

BY_GROUND = (Step.OWN_GROUND, Step.BORDER, Step.DISPUTED, Step.NEAREST, Step.ON_DUTY)
"""Steps after which every squad within reach assists; the others name their assistants themselves."""


class EmptyPlace(JieguanError):
    zh = "第 {row} 行的位置是空图形:没有长度也没有面积,无法判断归属。请补充线或面,或改用点。"
    en = "The place of row {row} is an empty geometry: it has neither length nor area. Draw it, or give a point instead."


@dataclass(frozen=True, slots=True)
class _Answer:
    verdict: Verdict
    margin: float
    runner: SquadCode | None
    doubtful: bool
    township: str | None


def route_shapes(
    on: JurisdictionMap,
    shapes: Sequence[Any],
    complaints: Complaints,
    *,
    zone_m: float | None = None,
    cap_m: float = CAP_M,
) -> Routed:
    """Decide places that are lines or areas in metres of the work CRS, one per row of `complaints` (x, y are ignored).

    Lead: the squad with the greater share of the length or area; ties by the published order. Assistants: the other squads
    whose ground is within reach of any part. `margin_m` is 0 where parts have different leads. Raises EmptyPlace.
    """
    zone = zone_of(on, zone_m)
    contexts, context = contexts_of(on, complaints)
    answers = []
    for i, shape in enumerate(shapes):
        if shape is None or shape.is_empty:
            raise EmptyPlace(row=i)
        sheet = on.sheet(contexts[context[i if len(context) > 1 else 0]])
        error = float(complaints.error_m[i if len(complaints.error_m) > 1 else 0])
        answers.append(_one(on, sheet, shape, error, zone, cap_m))
    return _routed(on, answers)


def merged(all_rows: Routed, rows: NDArray[np.int64], some: Routed) -> Routed:
    """Decisions with those of some rows replaced."""
    columns = {name: getattr(all_rows, name).copy() for name in _COLUMNS}
    for name in _COLUMNS:
        columns[name][rows] = getattr(some, name)
    count = np.diff(all_rows.assist_at)
    count[rows] = np.diff(some.assist_at)
    lists = np.split(all_rows.assist, all_rows.assist_at[1:-1])
    for row, squads in zip(rows.tolist(), np.split(some.assist, some.assist_at[1:-1]), strict=True):
        lists[row] = squads
    at = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)
    return replace(all_rows, **columns, assist_at=at, assist=np.concatenate(lists))


_COLUMNS = ("squad", "step", "doubtful", "margin_m", "runner_up", "township", "verdict")


def shares(sheet: Sheet, shape: Any) -> dict[int, float]:
    """Length (m) or area (m2) of a shape in each class it meets. A line along a border counts on both sides."""
    measure = shapely.area if shapely.get_dimensions(shape) == 2 else shapely.length
    whole = float(measure(shape))
    found: dict[int, float] = {}
    for polygon, c in sheet.plate.faces_near(shape):
        part = float(measure(shapely.intersection(polygon, shape)))
        if part > 0.0:
            found[c] = found.get(c, 0.0) + part
    outside = sheet.plate.outside
    rest = whole - float(measure(shapely.intersection(sheet.plate.whole, shape)))
    if rest > TIE * whole:
        found[outside] = found.get(outside, 0.0) + rest
    return found or {outside: whole}


def _one(on: JurisdictionMap, sheet: Sheet, shape: Any, error: float, zone: float, cap: float) -> _Answer:
    part = shares(sheet, shape)
    squads = [s.code for s in on.roster.squads]
    by_lead: dict[SquadCode, float] = {}
    for c, size in part.items():
        lead = squads[sheet.lead[c]]
        by_lead[lead] = by_lead.get(lead, 0.0) + size
    whole = sum(by_lead.values())
    order = sorted(by_lead, key=lambda s: (-round(by_lead[s] / whole / TIE), _published(sheet, part, s)))
    lead = order[0]
    mine = sorted((c for c in part if squads[sheet.lead[c]] == lead), key=lambda c: (-part[c], c))
    true = float(np.hypot(error, on.settings.line_accuracy_m))
    verdict = _verdict(on, sheet, mine[0], shape, (zone, error), len(order) > 1)
    if len(order) > 1:
        slack = 2 * error if shapely.get_dimensions(shape) < 2 else error * float(shapely.length(shape))
        close = by_lead[lead] - by_lead[order[1]] <= max(slack, TIE * whole)
        margin, runner = 0.0, order[1]
    else:
        margin, runner_ = _nearest_other(sheet, shape, lead, squads, max(cap, zone, true))
        runner = runner_ if runner_ is not None else lead
        close = margin <= max(true, 0.001)
        if sheet.plate.borders is not None:
            close = margin <= 0.001 or sheet.other_in_error(shape, on.squad_number[lead], error)
    capped = margin >= cap
    township = sorted({t for c in mine for t in sheet.townships(c)})
    return _Answer(
        verdict,
        cap if capped else margin,
        None if capped else runner,
        verdict.unsure or close,
        township[0] if township else None,
    )


def _verdict(on: JurisdictionMap, sheet: Sheet, c: int, shape: Any, reach: tuple[float, float], crossing: bool) -> Verdict:
    """`reach`: the border zone and the error, metres."""
    verdict: Verdict = on.ledger.verdicts[sheet.base[c]]
    if verdict.step not in BY_GROUND:
        return verdict
    within = {g.squad for g in sheet.grounds_near(shape, *reach)}
    assist = tuple(sorted(within - {verdict.lead}))
    if verdict.step is Step.OWN_GROUND and (assist or crossing):
        reasons = (*verdict.reasons[:-1], Reason(Step.OWN_GROUND, verdict.reasons[-1].found))
        return replace(
            verdict,
            step=Step.BORDER,
            assist=assist,
            reasons=(*reasons, replace(verdict.reasons[-1], step=Step.BORDER)),
        )
    return replace(verdict, assist=assist)


def _published(sheet: Sheet, part: dict[int, float], squad: SquadCode) -> tuple[int, str]:
    priorities = [g.priority for c in part for g in sheet.grounds(sheet.plate.labels[c]) if g.squad == squad]
    return min(priorities, default=0), squad


def _nearest_other(
    sheet: Sheet, shape: Any, lead: SquadCode, squads: list[SquadCode], reach: float
) -> tuple[float, SquadCode | None]:
    """Distance to the nearest ground that another leads, and who."""
    found: list[tuple[float, SquadCode]] = [
        (float(shapely.distance(polygon, shape)), squads[sheet.lead[c]])
        for polygon, c in sheet.plate.faces_near(shape, reach)
        if squads[sheet.lead[c]] != lead
    ]
    outside = squads[sheet.lead[sheet.plate.outside]]
    if outside != lead:
        found.append((float(shapely.distance(shapely.boundary(sheet.plate.whole), shape)), outside))
    return min(found, default=(reach, None))


def _routed(on: JurisdictionMap, answers: Sequence[_Answer]) -> Routed:
    number = on.squad_number
    verdict = np.array([on.ledger.keep(a.verdict) for a in answers], np.int32)
    columns = on.ledger.columns()
    assist = [[number[s] for s in a.verdict.assist] for a in answers]
    codes = place_of_townships(on)
    return Routed(
        on,
        columns.lead[verdict],
        np.cumsum([0, *map(len, assist)]).astype(np.int32),
        np.array([s for row in assist for s in row], np.int32),
        columns.step[verdict],
        np.array([a.doubtful for a in answers], bool),
        np.array([a.margin for a in answers]),
        np.array([number[a.runner] if a.runner is not None else -1 for a in answers], np.int32),
        np.array([codes.index(a.township) if a.township is not None else -1 for a in answers], np.int32),
        codes,
        verdict,
    )
