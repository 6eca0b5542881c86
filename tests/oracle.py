"""Answers found the slow way, to hold the fast one against: ray parity, distances by shapely, the ladder told again.

Nothing here asks the index, the kernel, the situation or the ladder of the product.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from routing.ground.noding import Linework
from routing.jurisdiction import Context, JurisdictionMap, Sheet
from routing.model import (
    Agreement,
    AgreementRule,
    Claim,
    Cycle,
    Designation,
    DirectCategory,
    Nearest,
    NotServed,
    SquadKind,
    Step,
    Stretch,
    Territory,
    Township,
)

Floats = NDArray[np.float64]
ON_LINE_M = 0.001
EVERYWHERE = shapely.box(-1e5, -1e5, 1e5, 1e5)


# ---- grounds by parity ----------------------------------------------------------------------------------------------


def holders(lines: Linework, points: Floats) -> list[tuple[int, ...]]:
    """The claims that hold at each point (grid units): a ray to the right crosses some part of theirs an odd number of times."""
    x, y = points.T
    inside = np.zeros((len(points), len(lines.claim)), bool)
    for (ax, ay, bx, by), part in zip(lines.segment.astype(float), lines.part, strict=True):
        spans = (ay <= y) != (by <= y)
        if spans.any():
            at = ax + (bx - ax) * (y - ay) / (by - ay if by != ay else 1.0)
            inside[:, part] ^= spans & (at > x)
    return [tuple(sorted(set(lines.claim[row].tolist()))) for row in inside]


def from_lines(lines: Linework, points: Floats) -> Floats:
    """Distance of each point to the nearest line, grid units."""
    if not len(lines.segment):
        return np.full(len(points), np.inf)
    tree = shapely.STRtree(shapely.linestrings(lines.segment.reshape(-1, 2, 2).astype(float)))
    near = tree.query_nearest(shapely.points(points), return_distance=True, all_matches=False)[1]
    return np.asarray(near)


def noded_by_geos(shapes: Iterable[Any]) -> set[tuple[float, ...]]:
    """The edges (mm) that GEOS finds: boundaries noded on a grid of one millimetre."""
    rings = shapely.get_rings(shapely.get_parts(np.array(list(shapes), object)))
    grid = shapely.transform(rings, lambda xy: np.rint(xy * 1000.0))
    return edges_of(shapely.unary_union(grid, grid_size=1.0))


def edges_of(lines: Any) -> set[tuple[float, ...]]:
    """Undirected segments."""
    out = set()
    for line in shapely.get_parts(lines):
        for a, b in pairwise(shapely.get_coordinates(line).tolist()):
            if a != b:
                out.add((*min(a, b), *max(a, b)))
    return out


# ---- random layers --------------------------------------------------------------------------------------------------


def fuzzed(rng: np.random.Generator) -> tuple[list[Any], int]:
    """Some polygons of every sort on a coarse grid (mm), and how wide the grid is: rings that cross themselves, boxes,
    copies, islands, holes anywhere, slivers and spikes."""
    size = int(rng.choice([8, 40, 1_000, 200_000]))
    shapes: list[Any] = []
    for _ in range(rng.integers(1, 9)):
        shapes.append(_shape(rng, size, shapes))
    return [shapely.transform(s, lambda xy: xy / 1000.0) for s in shapes], size


def _shape(rng: np.random.Generator, size: int, before: list[Any]) -> Any:
    def some(n: int) -> Floats:
        return rng.integers(0, size + 1, (n, 2)).astype(float)

    kind = int(rng.integers(0, 7))
    if kind == 1:
        a, b = np.sort(rng.integers(0, size + 1, 2)), np.sort(rng.integers(0, size + 1, 2))
        return shapely.box(a[0], b[0], a[1] + 1, b[1] + 1)
    if kind == 2 and before:
        return before[int(rng.integers(len(before)))]
    if kind == 3:
        return shapely.MultiPolygon([shapely.Polygon(some(3)) for _ in range(2)])
    if kind == 4:
        whole = [(0, 0), (size, 0), (size, size), (0, size)]
        return shapely.Polygon(whole, [some(3)])
    if kind == 5:  # a sliver
        a, b = some(2)
        return shapely.Polygon([a, b, b + np.array([1, 0]), a + np.array([0, 1])])
    if kind == 6:  # a spike: out and back
        ring = some(4)
        return shapely.Polygon([ring[0], ring[1], ring[2], ring[3], ring[2]])
    return shapely.Polygon(some(int(rng.integers(3, 9))))


# ---- the ladder told again ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What the slow way says of one complaint. `margin` None: this place needs the share of its error disc."""

    squad: str
    assist: tuple[str, ...]
    step: Step
    doubtful: bool
    margin: float
    runners: frozenset[str | None]


class Ground:
    """The faces of one interval's plate as shapely geometries, by class. `whole`: ids of agreements without own ground.

    `drawn`: stretches of border as they were drawn, metres.
    """

    def __init__(
        self,
        on: JurisdictionMap,
        interval: int,
        whole: frozenset[str] = frozenset(),
        drawn: Iterable[tuple[Stretch, Any]] = (),
    ) -> None:
        self.on, self.whole = on, whole
        plate = on.plates[on.intervals[interval].plate]
        self.held = on.intervals[interval].claims
        polygons = plate.faces.polygons()
        self.classes = [_union(polygons[plate.faces.label == c]) for c in range(len(plate.labels))]
        self.classes[plate.outside] = shapely.union(
            self.classes[plate.outside], shapely.difference(EVERYWHERE, _union(polygons))
        )
        self.labels = [[i for i in label if i in self.held] for label in plate.labels]
        self.plate = plate
        self.drawn = sorted(
            (pair for pair in drawn if on.claim_number[pair[0].id] in self.held),
            key=lambda pair: (_later_first(pair[0].period.since), pair[0].id),
        )
        self.sides = _sides(self) if self.drawn else []


@dataclass(frozen=True)
class Side:
    """An edge as it is seen from without a class: what lies beyond, whether that is new ground, and the edge's own widths."""

    line: Any
    beyond: int
    new: bool
    zone: float | None
    accuracy: float | None


def _sides(ground: Ground) -> list[Side]:
    """Every edge from both of its sides. In a stretch is what runs along its line: nine places of it are measured."""
    faces, out = ground.plate.faces, []
    for (a, b), faces_beside in zip(faces.edge.tolist(), faces.side.tolist(), strict=True):
        classes = [ground.plate.outside if f < 0 else int(faces.label[f]) for f in faces_beside]
        mine = [{c for i in ground.labels[k] if isinstance(c := ground.on.claims[i], Territory)} for k in classes]
        ends = faces.xy[[a, b]] / 1000.0
        places = shapely.points(ends[0] + np.linspace(0, 1, 9)[:, None] * (ends[1] - ends[0]))
        whose = [{c.squad for c in some} for some in mine]
        changed = whose[0] ^ whose[1]
        found = None
        for stretch, line in ground.drawn if changed else []:
            if (not stretch.sides or changed & set(stretch.sides)) and (shapely.distance(places, line) <= 0.05).all():
                found = stretch
                break
        widths = (None, None) if found is None else (found.zone_m, found.accuracy_m)
        for here, there in ((0, 1), (1, 0)):
            new = not whose[there] or bool(whose[there] - whose[here])
            out.append(Side(shapely.LineString(ends), classes[there], new, *widths))
    return out


def _union(shapes: Any) -> Any:
    return shapely.union_all(np.array(list(shapes), object))


def told(ground: Ground, sheet: Sheet, place: Any, error: float, zone: float, cap: float = 100.0) -> Told | None:
    """The whole answer; None where the place is too near a limit to be told apart, or the share of the error disc decides."""
    on = ground.on
    error = float(np.hypot(error, on.settings.line_accuracy_m))
    reach = max(zone, error, ON_LINE_M)
    far = shapely.distance(np.array(ground.classes, object), place)
    far[np.isnan(far)] = np.inf
    if ground.sides:
        return _told_by_edges(ground, sheet, place, error, zone, cap, far)
    limits = np.array([reach, max(error, ON_LINE_M), ON_LINE_M, cap])
    if (np.abs(far[:, None] - limits) < 2e-6).any() or ((far > 0) & (far < 5e-5)).any() or (far <= 0).sum() != 1:
        return None
    within = np.flatnonzero(far <= reach).tolist()
    blurred = np.flatnonzero(far <= max(error, ON_LINE_M)).tolist()
    return _told(ground, sheet, far, within, blurred, blurred, error, cap)


def _told_by_edges(ground: Ground, sheet: Sheet, place: Any, error: float, zone: float, cap: float, far: Floats) -> Told | None:
    """The same where edges have widths of their own: each reaches as far as its own zone, or the error with its own accuracy."""
    plain = float(ground.on.settings.line_accuracy_m)
    bare = float(np.sqrt(max(error**2 - plain**2, 0.0)))
    away = shapely.distance(np.array([s.line for s in ground.sides], object), place)
    true = np.hypot(bare, [plain if s.accuracy is None else s.accuracy for s in ground.sides])
    reach = np.maximum(true, [zone if s.zone is None else s.zone for s in ground.sides])
    limits = np.abs(np.stack([away - true, away - reach, away - ON_LINE_M, away - cap]))
    if (limits < 2e-6).any() or ((far > 0) & (far < 5e-5)).any() or (far <= 0).sum() != 1:
        return None
    own = int(np.flatnonzero(far <= 0)[0])
    on_it = {*np.flatnonzero(far <= ON_LINE_M).tolist()}
    within, blurred, doubted = set(on_it), set(on_it), set(on_it)
    for side, d, t, r in zip(ground.sides, away.tolist(), true.tolist(), reach.tolist(), strict=True):
        if side.beyond != own:
            within |= {side.beyond} if side.new and d <= r else set()
            blurred |= {side.beyond} if side.new and d <= t else set()
            doubted |= {side.beyond} if d <= t else set()
    return _told(ground, sheet, far, sorted(within), sorted(blurred), sorted(doubted), error, cap)


def _told(
    ground: Ground,
    sheet: Sheet,
    far: Floats,
    within: list[int],
    blurred: list[int],
    doubted: list[int],
    error: float,
    cap: float,
) -> Told | None:
    on, context = ground.on, sheet.context
    own = int(np.flatnonzero(far <= 0)[0])
    met = np.flatnonzero(far <= ON_LINE_M).tolist()
    rungs = _Rungs(ground, context, met, within, blurred)
    squad, assist, step, chosen_by_share = rungs.decide()
    if chosen_by_share and error > 0:
        return None
    leads = [on.roster.squads[n].code for n in sheet.lead.tolist()]
    others = np.array([lead != leads[own] for lead in leads])
    margin = float(far[others].min(initial=np.inf))
    runners = {leads[c] for c in np.flatnonzero(others & (far <= margin + 2e-6))}
    unsure = step in (Step.DISPUTED, Step.NEAREST, Step.ON_DUTY) or (step is Step.BORDER and len(rungs.claimants) > 1)
    doubtful = unsure or bool(others[doubted].any())
    if squad != leads[own]:  # on a line the published order gave it to the other side
        return Told(squad, assist, step, True, 0.0, frozenset({leads[own]}))
    if margin >= cap:
        return Told(squad, assist, step, doubtful, cap, frozenset({None}))
    return Told(squad, assist, step, doubtful, margin, frozenset(runners))


class _Rungs:
    """Rules in the words of design.md, over claims that cover the place (`here`) or are within reach of it."""

    def __init__(self, ground: Ground, context: Context, met: list[int], within: list[int], blurred: list[int]) -> None:
        self.on, self.context, self.ground = ground.on, context, ground
        self.category = set(self.on.groups[context.group])
        self.here = self._claims(met)
        self.reached = self._claims(within)
        self.blurred = self._claims(blurred)
        self.met = met
        self.grounds = [c for c in self.here if isinstance(c, Territory)]
        self.claimants = {c.squad for c in self.grounds}
        self.within = {c.squad for c in self.reached if isinstance(c, Territory)}
        self.duty = self.on.roster.duty

    def _claims(self, classes: Sequence[int]) -> list[Claim]:
        numbers = sorted({i for c in classes for i in self.ground.labels[c]})
        return [c for c in (self.on.claims[i] for i in numbers) if self._meant(c)]

    def _meant(self, claim: Claim) -> bool:
        wanted = getattr(claim, "categories", None)
        return not wanted or bool(wanted & self.category)

    def decide(self) -> tuple[str, tuple[str, ...], Step, bool]:
        """Squad, assistants, step, and whether the share of the error disc would have been asked."""
        for rung in (self._designated, self._not_served, self._agreed):
            found = rung()
            if found:
                return (*found, False)
        return self._by_ground()

    def _designated(self) -> tuple[str, tuple[str, ...], Step] | None:
        orders = [c for c in self.here if isinstance(c, Designation)]
        orders.sort(key=lambda d: (len(d.categories) or 99, _later_first(d.dated or d.period.since), d.id))
        if orders and orders[0].categories:
            return orders[0].squad, (), Step.DESIGNATED_CATEGORY
        for i in sorted(self.ground.held):
            claim = self.on.claims[i]
            if isinstance(claim, DirectCategory) and claim.category in self.category:
                kinds = {s.code: s.kind for s in self.on.roster.squads}
                return self.duty if kinds[claim.squad] is SquadKind.EXTERNAL else claim.squad, (), Step.DIRECT
        return (orders[0].squad, (), Step.DESIGNATED) if orders else None

    def _not_served(self) -> tuple[str, tuple[str, ...], Step] | None:
        return (self.duty, (), Step.NOT_SERVED) if any(isinstance(c, NotServed) for c in self.here) else None

    def _agreed(self) -> tuple[str, tuple[str, ...], Step] | None:
        mine = self.claimants or {c.squad for c in self.here if isinstance(c, Nearest)}
        whole = {self.on.claims[i].id for i in self.ground.held} & self.ground.whole
        common = [a for a in self.on.claims if a.id in whole and self._meant(a) and set(a.parties) <= self.claimants]
        found = {a.id: a for a in [*self.here, *common] if isinstance(a, Agreement) and mine & set(a.parties)}
        for a in sorted(found.values(), key=lambda a: (len(a.categories) or 99, _later_first(a.period.since), a.id)):
            lead = {
                AgreementRule.WHOLE: a.lead,
                AgreementRule.BY_CATEGORY: a.lead,
                AgreementRule.ALTERNATE: dict(self.context.turns).get(a.id),
                AgreementRule.FIRST_FINDER: self.context.found_by if self.context.found_by in a.parties else None,
            }[a.rule]
            if lead is not None:
                return lead, tuple(p for p in a.parties if p != lead), Step.AGREED
        return None

    def _by_ground(self) -> tuple[str, tuple[str, ...], Step, bool]:
        order = [g.squad for g in sorted(self.grounds, key=lambda g: (g.priority, g.squad))]
        if len(self.claimants) == 1 and self.within <= self.claimants:
            return order[0], (), Step.OWN_GROUND, False
        kinds = {frozenset(t.squad for i in self.ground.labels[c] if isinstance(t := self.on.claims[i], Territory)) for c in self.met}
        if self.claimants and (len(self.claimants) == 1 or len(kinds) > 1):
            return order[0], self._without(order[0], self.within), Step.BORDER, False
        if self.claimants:
            posted = [s for s in order if s in {t.squad for t in self.here if isinstance(t, Township)}]
            lead = (posted or order)[0]
            return lead, self._without(lead, self.within), Step.DISPUTED, not posted
        pieces = sorted((c for c in self.here if isinstance(c, Nearest)), key=lambda n: (n.priority, n.squad))
        if pieces:
            told = self.within or {c.squad for c in self.blurred + self.here if isinstance(c, Nearest)}
            return pieces[0].squad, self._without(pieces[0].squad, told), Step.NEAREST, False
        return self.duty, self._without(self.duty, self.within), Step.ON_DUTY, False

    @staticmethod
    def _without(lead: str, squads: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(set(squads) - {lead}))


def _later_first(moment: datetime | None) -> float:
    return -moment.timestamp() if moment else 9e99


def turn_of(agreement: Agreement, moment: datetime) -> str:
    """Whose turn it is, counted by walking from turn to turn."""
    start = agreement.period.since
    assert start is not None
    zone = start.tzinfo
    first, second = agreement.parties if agreement.lead != agreement.parties[1] else agreement.parties[::-1]
    day = start.replace(hour=0, minute=0, second=0, microsecond=0)
    day = day.replace(day=1) if agreement.cycle is Cycle.MONTH else day - timedelta(days=day.weekday())
    local = moment.astimezone(zone)
    now = first
    while True:
        after = day + timedelta(days=7) if agreement.cycle is Cycle.WEEK else (day + timedelta(days=32)).replace(day=1)
        if local.replace(tzinfo=None) < after.replace(tzinfo=None):
            return now
        day, now = after, second if now == first else first


# ---- who leads, by distance alone ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """Territories as they were drawn (metres), none of them compiled. `extent`: the bureau's ground. `squads` and `rank`: by shape;
    the lower rank comes first in the published order. `slack` (metres): how far compiled lines may lie from drawn ones."""

    squads: tuple[str, ...]
    rank: tuple[int, ...]
    shapes: NDArray[np.object_]
    extent: Any
    duty: str
    slack: float

    def leads(self, points: Floats) -> list[frozenset[str]]:
        """Who may lead at each point: one squad, or several where rounding decides which.

        A place within a millimetre of a territory is on it; of several the first in order leads. Else the nearest does, and outside
        of the extent the squad on duty.
        """
        far = shapely.distance(shapely.points(points)[:, None], self.shapes[None, :])
        order = np.argsort(self.rank)
        on, may = (far[:, order] <= ON_LINE_M + s for s in (-self.slack, self.slack))
        sure = (on == may).all(1) & on.any(1)
        first = order[on.argmax(1)]
        return [
            frozenset({self.squads[n]}) if known else self._unsure(point, row, one, many, order)
            for point, n, known, row, one, many in zip(points, first, sure, far, on, may, strict=True)
        ]

    def _unsure(self, point: Floats, far: Floats, on: Any, may: Any, order: Any) -> frozenset[str]:
        names = [self.squads[n] for n in order]
        found = {names[n] for n in np.flatnonzero(may) if not on[:n].any()}  # the first of those it may be on
        if on.any():
            return frozenset(found)
        near = 2 * self.slack + 4 * ON_LINE_M  # two pieces of a gap meet on the grid, and on their line the order decides
        nearest = {squad for squad, d in zip(self.squads, far, strict=True) if d <= far.min() + near}
        rim = shapely.distance(shapely.Point(point), shapely.boundary(self.extent))
        inside = bool(shapely.covers(self.extent, shapely.Point(point)))
        if inside or rim <= near:
            found |= nearest
        if not inside or rim <= near:
            found.add(self.duty)
        return frozenset(found)


def snapped(shapes: NDArray[np.object_], rng: np.random.Generator, count: int) -> Floats:
    """Points where it is hard to say on which side: on vertices and edges, a unit in the last place or a millimetre off, and among
    the vertices that lie closest together; some anywhere."""
    rings = [shapely.get_coordinates(ring) for ring in shapely.get_rings(shapely.get_parts(shapes))]
    corners = np.concatenate([ring[:-1] for ring in rings])
    a, b = (np.concatenate([ring[part] for ring in rings]) for part in (slice(None, -1), slice(1, None)))
    n = rng.integers(len(a), size=count)
    kind = rng.integers(0, 7, size=count)
    share = rng.choice([0.5, 0.25, 1 / 3, 0.0], count)[:, None] + rng.uniform(0, 0.5, (count, 1)) * rng.integers(0, 2, (count, 1))
    places = np.where((kind < 3)[:, None], corners[rng.integers(len(corners), size=count)], a[n] + share * (b[n] - a[n]))
    toward = rng.choice([-np.inf, np.inf], (count, 2))
    ulp = np.where(rng.integers(0, 2, (count, 2)) == 1, np.nextafter(places, toward), places)
    millimetre = places + rng.integers(-1, 2, (count, 2)) * ON_LINE_M
    places = np.where(np.isin(kind, (1, 4))[:, None], ulp, np.where(np.isin(kind, (2, 5))[:, None], millimetre, places))
    close = corners[rng.integers(len(corners), size=count)] + rng.normal(0, 0.004, (count, 2))
    low, high = corners.min(0) - 50, corners.max(0) + 50
    anywhere = np.where(rng.integers(0, 2, (count, 1)) == 1, close, rng.uniform(low, high, (count, 2)))
    return np.where((kind == 6)[:, None], anywhere, places)


# ---- the same ground drawn otherwise --------------------------------------------------------------------------------


def redrawn(shape: Any, rng: np.random.Generator) -> Any:
    """The same polygons: parts in another order, rings turned round and started elsewhere; or the same line turned round."""
    if shape is None or shape.is_empty:
        return shape
    if shape.geom_type == "LineString":
        return shapely.reverse(shape) if rng.integers(2) else shape
    parts = [_turned(p, rng) for p in shapely.get_parts(shape)]
    order = rng.permutation(len(parts))
    return parts[0] if shape.geom_type == "Polygon" else shapely.MultiPolygon([parts[i] for i in order])


def _turned(polygon: Any, rng: np.random.Generator) -> Any:
    def ring(r: Any) -> Floats:
        xy = shapely.get_coordinates(r)[:-1]
        xy = np.roll(xy, int(rng.integers(len(xy))), 0)
        return xy[::-1] if rng.integers(2) else xy

    holes = [ring(r) for r in polygon.interiors]
    return shapely.Polygon(ring(polygon.exterior), [holes[i] for i in rng.permutation(len(holes))])
