"""Why a decision is what it is, what would change it, and the one question that would settle it.

Everything is data: claim ids, metres, bearings. The wording belongs to the reader's screen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import atan2, degrees
from typing import Any

import numpy as np
import shapely

from routing.jurisdiction import JurisdictionMap
from routing.model import Category, Decision, Location, SquadCode
from routing.route import CAP_M, Complaints, complaint, contexts_of, route

SAMPLES = 400
"""Places drawn in the error disc, on a sunflower spiral: even, and the same every time."""


@dataclass(frozen=True, slots=True)
class Change:
    """The nearest place where another squad leads: metres away, degrees clockwise from north, who, and where."""

    distance_m: float
    bearing: float
    squad: SquadCode
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Option:
    """One answer to the question: which way, who leads there, and its share of the places that are possible."""

    squad: SquadCode
    bearing: float
    share: float


@dataclass(frozen=True, slots=True)
class Question:
    """Which side? `removes`: how much of the doubt (1 - the greatest share) the answer is expected to remove."""

    options: tuple[Option, Option]
    removes: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with its counterfactual and, in doubt, its question."""

    decision: Decision
    change: Change | None
    question: Question | None


def explain(
    on: JurisdictionMap,
    place: Location,
    category: Category | None = None,
    at: datetime | None = None,
    *,
    found_by: SquadCode | None = None,
    case: str | None = None,
    zone_m: float | None = None,
    cap_m: float = CAP_M,
) -> Explanation:
    """The decision for one complaint, and what lies behind it."""
    one = complaint(on, place, category, at, found_by=found_by, case=case)
    decision = route(on, one, zone_m=zone_m, cap_m=cap_m).decision(0)
    changed = _change(on, place, one, decision)
    asked = _question(on, place, one, decision) if decision.doubtful else None
    return Explanation(decision, changed, asked)


def compass(bearing: float) -> int:
    """0 north, 1 north-east ... 7 north-west."""
    return round(bearing / 45.0) % 8


def _change(on: JurisdictionMap, place: Location, one: Complaints, decision: Decision) -> Change | None:
    """Found on the edges where the lead changes; None where nothing in reach would change it."""
    if decision.runner_up is None:
        return None
    contexts, _ = contexts_of(on, one)
    sheet = on.sheet(contexts[0])
    faces = sheet.plate.faces
    of = np.append(faces.label, sheet.plate.outside)
    left, right = sheet.lead[of[faces.side[:, 0]]], sheet.lead[of[faces.side[:, 1]]]
    kept = np.flatnonzero(left != right)
    lines: Any = shapely.linestrings(faces.xy[faces.edge[kept]] / 1000.0)
    tree = shapely.STRtree(lines)
    here = shapely.Point(place.x, place.y)
    found: Any = tree.query_nearest(here, all_matches=False)
    e = int(kept[found[0]])
    there = shapely.get_coordinates(shapely.shortest_line(here, tree.geometries[found[0]]))[1]
    a, b = faces.xy[faces.edge[e]] / 1000.0
    dx, dy = there[0] - place.x, there[1] - place.y
    if abs(dx) < 1e-3 and abs(dy) < 1e-3:  # on the line: across it, to the side that another leads
        normal = np.array([a[1] - b[1], b[0] - a[0]])  # to the left
        mine = on.squad_number[decision.squad]
        dx, dy = -normal if left[e] == mine else normal
    return Change(decision.margin_m, _bearing(dx, dy), decision.runner_up, float(there[0]), float(there[1]))


def _question(on: JurisdictionMap, place: Location, one: Complaints, decision: Decision) -> Question | None:
    """Who leads how much of the disc in which the true place lies; ask about the two likeliest."""
    radius = max(float(np.hypot(place.error_m, on.settings.line_accuracy_m)), decision.margin_m, 0.01)
    k = np.arange(SAMPLES)
    r, turn = radius * np.sqrt((k + 0.5) / SAMPLES), k * np.pi * (3 - 5**0.5)
    dx, dy = r * np.sin(turn), r * np.cos(turn)
    many = Complaints(place.x + dx, place.y + dy, np.zeros(1), one.at, one.group, one.found_by)
    lead = route(on, many).squad
    squads, count = np.unique(lead, return_counts=True)
    if len(squads) < 2:
        return None
    first, second = np.argsort(-count, kind="stable")[:2].tolist()

    def option(i: int) -> Option:
        at = lead == squads[i]
        return Option(
            on.roster.squads[squads[i]].code, _bearing(float(dx[at].mean()), float(dy[at].mean())), float(count[i] / SAMPLES)
        )

    before = 1 - count[first] / SAMPLES
    after = 1 - (count[first] + count[second]) / SAMPLES
    return Question((option(first), option(second)), float(before - after))


def _bearing(dx: float, dy: float) -> float:
    return degrees(atan2(dx, dy)) % 360.0
