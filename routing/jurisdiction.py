"""The compiled map: who holds what ground, when, proven; and the facts it yields for a place, a category and an instant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import shapely
from numpy.typing import NDArray

from routing.errors import JieguanError
from routing.ground.cells import Cells, Floats, Small, index
from routing.ground.faces import Label, Subdivision
from routing.ground.locate import IN_ERROR, LEVELS, ON_LINE
from routing.ground.noding import MM
from routing.ladder import RULES_VERSION, decide, would_share
from routing.model import (
    Agreement,
    AgreementRule,
    Category,
    Claim,
    Designation,
    DirectCategory,
    Nearest,
    NotServed,
    Period,
    Pin,
    SquadCode,
    Step,
    Stretch,
    Territory,
    Township,
    Verdict,
)
from routing.situation import Roster, Situation, by_id, whose_turn

C = TypeVar("C", bound=Claim)

OTHER_CATEGORIES = 0
"""The group of every category that no rule names."""


class NoSuchSquad(JieguanError):
    zh = "“{of}”指定的中队“{value}”不在中队名录里:无法派给不存在的中队。请在中队文件中登记,或更正该编码。"
    en = "{of!r} names squad {value!r}, which is not on the roster; nobody would come. Add it to the squads file, or correct it."


@dataclass(frozen=True, slots=True)
class Settings:
    """How a map was compiled. Lengths in metres, `work_crs` the name of the projected system of all coordinates."""

    work_crs: str = ""
    zone_m: float = 15.0
    line_accuracy_m: float = 0.0
    whole_zone: tuple[str, ...] = ()
    """Ids of the agreements without a ground of their own: they hold in the border zone, made `zone_m` wide, and in overlaps."""


@dataclass(frozen=True, eq=False)
class Borders:
    """Which edges of a plate have widths of their own, and which part squads at all.

    `stretch[e]`: the number of the claim whose stretch edge e is in, -1 none. `enters[e]`: does who crosses it to its left, and to
    its right, come onto the ground of a squad on whose he was not, or off all of theirs? Only such an edge brings that side within reach.
    """

    stretch: NDArray[np.int64]
    enters: NDArray[np.bool_]

    @cached_property
    def claims(self) -> NDArray[np.int64]:
        """The stretches that some edge is in, ascending."""
        return np.unique(self.stretch[self.stretch >= 0])

    @cached_property
    def kind(self) -> Small:
        """Two for each stretch, after two for the edges of none: entered, and not."""
        which = np.where(self.stretch < 0, 0, 1 + np.searchsorted(self.claims, self.stretch))
        return (2 * which[:, None] + ~self.enters).astype(np.int32)


@dataclass(frozen=True)
class Plate:
    """The planar subdivision that holds while one set of territories is in force.

    `labels[c]` are the claims (numbers into the map's claims) of class c, `inside[c]` whether it lies in the declared extent.
    `faces.label` holds classes; `outside` is the class of everything beyond. `extent_ring`, `extent_at`: the declared extent
    as rings over `faces.xy`. `borders`: the edges in stretches of border with widths of their own, if there are any.
    """

    faces: Subdivision
    labels: tuple[Label, ...]
    inside: tuple[bool, ...]
    outside: int
    extent_ring: NDArray[np.int64]
    extent_at: NDArray[np.int64]
    borders: Borders | None = None
    _cells: dict[int, Cells] = field(default_factory=dict, repr=False, compare=False)

    def cells(self, reach_m: float) -> Cells:
        """The index that finds everything within `reach_m`; made once, for reaches in steps of two."""
        step = max(0, int(np.ceil(np.log2(max(reach_m, 1.0) / 100.0))))
        if step not in self._cells:
            self._cells[step] = index(self.faces, len(self.labels), self.outside, 100.0 * 2**step, self.kind)
        return self._cells[step]

    @property
    def kind(self) -> Small | None:
        """The kind of each edge as seen from its left and from its right (edges, 2); None where all are alike."""
        return None if self.borders is None else self.borders.kind

    def faces_near(self, place: Any, distance_m: float = 0.0) -> Iterator[tuple[Any, int]]:
        """Faces within a distance of a geometry (metres), as polygons with their classes."""
        for i in np.sort(self._tree.query(place, predicate="dwithin", distance=distance_m)).tolist():
            yield self._tree.geometries[i], int(self.faces.label[i])

    def edges_near(self, place: Any, distance_m: float) -> Iterator[tuple[int, int, float]]:
        """Of the edges within a distance of a geometry (metres), seen from either side: the class there, the kind, and how far."""
        kind, of = self.kind, np.append(self.faces.label, self.outside)
        assert kind is not None
        for e in np.sort(self._edge_tree.query(place, predicate="dwithin", distance=distance_m)).tolist():
            far = float(shapely.distance(self._edge_tree.geometries[e], place))
            for side in (0, 1):
                yield int(of[self.faces.side[e, side]]), int(kind[e, side]), far

    @cached_property
    def _edge_tree(self) -> shapely.STRtree:
        lines: Any = shapely.linestrings(self.faces.xy[self.faces.edge] / MM)
        return shapely.STRtree(lines)

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.faces.polygons())

    @cached_property
    def whole(self) -> Any:
        """Everything but the unbounded outside, as a polygon."""
        merged = self.faces.outer_rings()
        return shapely.union_all([shapely.Polygon(ring) for ring in merged])


def squads_of(claims: Sequence[Claim], labels: Iterable[Label]) -> list[frozenset[SquadCode]]:
    """Whose ground each label is. Numbers beyond the claims mean nobody's."""
    return [frozenset(c.squad for i in label if i < len(claims) and isinstance(c := claims[i], Territory)) for label in labels]


def entered(claims: Sequence[Claim], labels: Iterable[Label], faces: Subdivision, outside: int) -> NDArray[np.bool_]:
    """(edges, 2): does an edge lead onto a further squad's ground, or off that of all, to its left, and to its right?"""
    ground = squads_of(claims, labels)
    of = np.append(faces.label, outside)
    sides, place = np.unique(of[faces.side], axis=0, return_inverse=True)
    leads = [[not ground[to] or not ground[to] <= ground[whence] for to, whence in ((a, b), (b, a))] for a, b in sides.tolist()]
    return np.array(leads, bool).reshape(-1, 2)[place.reshape(-1)]


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of time in which the same claims are in force: `since` and `until` as in `Period`, the plate, the claims."""

    since: datetime | None
    until: datetime | None
    plate: int
    claims: frozenset[int]


@dataclass(frozen=True, slots=True)
class Context:
    """All that decides besides the place: interval, category group, whose turn it is, and who found the case."""

    interval: int
    group: int = OTHER_CATEGORIES
    turns: tuple[tuple[str, SquadCode], ...] = ()
    found_by: SquadCode | None = None


@dataclass(frozen=True)
class JurisdictionMap:
    """One immutable map: cannot be made without a duty squad, so every situation has an answer."""

    roster: Roster
    claims: tuple[Claim, ...]
    plates: tuple[Plate, ...]
    intervals: tuple[Interval, ...]
    groups: tuple[tuple[Category, ...], ...]
    settings: Settings
    version: str = ""

    def __post_init__(self) -> None:
        known = {s.code for s in self.roster.squads}
        if self.roster.duty not in known:
            raise NoSuchSquad(of="duty", value=self.roster.duty)
        for claim in self.claims:
            for code in named_squads(claim):
                if code not in known:
                    raise NoSuchSquad(of=claim.id, value=code)

    @cached_property
    def pin(self) -> Pin:
        return Pin(self.version, RULES_VERSION)

    @cached_property
    def squad_number(self) -> dict[SquadCode, int]:
        return {s.code: i for i, s in enumerate(self.roster.squads)}

    @cached_property
    def group_of(self) -> dict[Category, int]:
        """Category -> its group; categories that no rule names are in OTHER_CATEGORIES."""
        return {c: i for i, group in enumerate(self.groups) for c in group}

    @cached_property
    def changes(self) -> NDArray[np.int64]:
        """The instants (microseconds since 1970, UTC) at which a new interval starts."""
        return np.array([micros(i.since) for i in self.intervals if i.since is not None], np.int64)

    @cached_property
    def case_orders(self) -> dict[str, tuple[Designation, ...]]:
        """Orders for one case, by case id."""
        found: dict[str, list[Designation]] = {}
        for claim in self.claims:
            if isinstance(claim, Designation) and claim.case is not None:
                found.setdefault(claim.case, []).append(claim)
        return {case: by_id(orders) for case, orders in found.items()}

    @cached_property
    def alternating(self) -> tuple[Agreement, ...]:
        return tuple(c for c in self.claims if isinstance(c, Agreement) and c.rule is AgreementRule.ALTERNATE)

    @cached_property
    def finders(self) -> tuple[SquadCode, ...]:
        """Squads whose finding a case can decide it."""
        rules = (c for c in self.claims if isinstance(c, Agreement) and c.rule is AgreementRule.FIRST_FINDER)
        return tuple(sorted({p for rule in rules for p in rule.parties}))

    @cached_property
    def ledger(self) -> Ledger:
        """Every verdict met so far, by number."""
        return Ledger(self.squad_number)

    @cached_property
    def _sheets(self) -> dict[Context, Sheet]:
        return {}

    def sheet(self, context: Context) -> Sheet:
        """The verdicts of one context, made once."""
        found = self._sheets.get(context)
        if found is None:
            found = self._sheets[context] = Sheet(self, context)
        return found

    @cached_property
    def claim_number(self) -> dict[str, int]:
        return {c.id: i for i, c in enumerate(self.claims)}

    def turns(self, interval: int, moment: datetime) -> tuple[tuple[str, SquadCode], ...]:
        """Whose turn it is in each alternating agreement in force."""
        held = self.intervals[interval].claims
        number = self.claim_number
        return tuple((a.id, whose_turn(a, moment)) for a in self.alternating if number[a.id] in held)

    def widths(self, plate: int, zone_m: float) -> tuple[Floats, Floats]:
        """Of each kind of edge the squared border zone (m2), and the squared accuracy of its line.

        Zone -1: nothing is within reach by such an edge; accuracy -1: as `accuracy2` of the classes.
        """
        borders = self.plates[plate].borders
        if borders is None:
            return np.array([zone_m**2]), np.array([-1.0])
        zone2, line2 = [zone_m**2, -1.0], [-1.0, -1.0]
        for claim in (self.claims[i] for i in borders.claims.tolist()):
            assert isinstance(claim, Stretch)
            zone2 += [(zone_m if claim.zone_m is None else claim.zone_m) ** 2, -1.0]
            line2 += [-1.0 if claim.accuracy_m is None else claim.accuracy_m**2] * 2
        return np.array(zone2), np.array(line2)

    def widest_m(self, zone_m: float) -> float:
        """The widest border zone on the map, where that of the map is `zone_m`."""
        return float(np.sqrt(max((self.widths(p, zone_m)[0].max() for p in range(len(self.plates))), default=zone_m**2)))

    def worst2(self, plate: int) -> float:
        """The worst squared accuracy of any line of a plate, m2."""
        return max(float(self.accuracy2(plate).max(initial=0.0)), float(self.widths(plate, 0.0)[1].max()), 0.0)

    def accuracy2(self, plate: int) -> Floats:
        """Squared accuracy of the lines of each class in m2: the worst of its territories, else the map's."""
        if plate not in self._accuracy2:
            self._accuracy2[plate] = self._measured(plate)
        return self._accuracy2[plate]

    @cached_property
    def _accuracy2(self) -> dict[int, Floats]:
        return {}

    def _measured(self, plate: int) -> Floats:
        default = self.settings.line_accuracy_m
        out = np.full(len(self.plates[plate].labels), default**2)
        for c, label in enumerate(self.plates[plate].labels):
            grounds = [g for g in (self.claims[i] for i in label) if isinstance(g, Territory)]
            if grounds:
                out[c] = max(default if g.accuracy_m is None else g.accuracy_m for g in grounds) ** 2
        return out


class Ledger:
    """Verdicts by number, and their columns as arrays. It only grows; two threads may write to it."""

    def __init__(self, squad_number: dict[SquadCode, int]) -> None:
        self.verdicts: list[Verdict] = []
        self._squad_number = squad_number
        self._number: dict[Verdict, int] = {}
        self._lock = Lock()
        self._columns: Columns | None = None

    def keep(self, verdict: Verdict) -> int:
        """The number of a verdict."""
        with self._lock:
            if verdict not in self._number:
                self._number[verdict] = len(self.verdicts)
                self.verdicts.append(verdict)
            return self._number[verdict]

    def columns(self) -> Columns:
        """Lead, step, doubt and assistants of every verdict."""
        with self._lock:
            if self._columns is None or len(self._columns.lead) < len(self.verdicts):
                self._columns = _columns(self.verdicts, self._squad_number)
            return self._columns


@dataclass(frozen=True, slots=True)
class Columns:
    """Verdicts as arrays, by number. `assist[assist_at[v]:assist_at[v + 1]]` are squad numbers."""

    lead: NDArray[np.int32]
    step: NDArray[np.int8]
    unsure: NDArray[np.bool_]
    assist_at: NDArray[np.int32]
    assist: NDArray[np.int32]


def _columns(verdicts: Sequence[Verdict], squad: dict[SquadCode, int]) -> Columns:
    steps = list(Step)
    return Columns(
        np.array([squad[v.lead] for v in verdicts], np.int32),
        np.array([steps.index(v.step) for v in verdicts], np.int8),
        np.array([v.unsure for v in verdicts], bool),
        np.cumsum([0, *(len(v.assist) for v in verdicts)]).astype(np.int32),
        np.array([squad[s] for v in verdicts for s in v.assist], np.int32),
    )


class Sheet:
    """The verdicts of one context: of each class by itself (`base`, `lead`), and of each situation met so far.

    `base[c]` is the number of the verdict well inside class c, `lead[c]` the number of the squad that leads there.
    """

    def __init__(self, on: JurisdictionMap, context: Context) -> None:
        self.on = on
        self.context = context
        self.plate = on.plates[on.intervals[context.interval].plate]
        self._held = on.intervals[context.interval].claims
        self._category = on.groups[context.group]
        self._met: dict[tuple[int, ...], int] = {}
        self._facts = [self._claims_of(c) for c in range(len(self.plate.labels))]
        self.base = np.array([self.verdict((c,)) for c in range(len(self.plate.labels))], np.int32)
        self.lead = on.ledger.columns().lead[self.base]

    @cached_property
    def uses_share(self) -> NDArray[np.bool_]:
        """Classes in which the share of the error disc matters."""
        return np.array([would_share(self.situation((c,)), self.on.roster) for c in range(len(self.base))])

    def holds(self, claim: Claim) -> bool:
        """Is the claim in force in this interval?"""
        return self.on.claim_number[claim.id] in self._held

    def townships(self, c: int) -> tuple[str, ...]:
        """Codes of the townships that cover class c."""
        return tuple(t.code for t in _of(self._facts[c], Township))

    def grounds_near(self, place: Any, zone_m: float, error_m: float) -> tuple[Territory, ...]:
        """The territories within reach of a geometry, whose true place may lie within `error_m` (metres) of it."""
        if self.plate.borders is None:
            reach = max(zone_m, float(np.hypot(error_m, self.on.settings.line_accuracy_m)))
            classes = {c for _, c in self.plate.faces_near(place, reach)}
        else:
            zone2, true2 = self._widths2(zone_m, error_m)
            classes = {c for _, c in self.plate.faces_near(place)}
            for c, like, distance in self.plate.edges_near(place, float(np.sqrt(max(zone2.max(), true2.max())))):
                if zone2[like] >= 0.0 and distance**2 <= max(zone2[like], true2[like]):
                    classes.add(c)
        return by_id(g for c in classes for g in self.grounds(self.plate.labels[c]))

    def other_in_error(self, place: Any, lead: int, error_m: float) -> bool:
        """May the true place of a geometry lie on ground that another squad leads (by number), by lines with widths of their own?"""
        _, true2 = self._widths2(0.0, error_m)
        near = self.plate.edges_near(place, float(np.sqrt(true2.max())))
        return any(self.lead[c] != lead and distance**2 <= true2[like] for c, like, distance in near)

    def _widths2(self, zone_m: float, error_m: float) -> tuple[Floats, Floats]:
        """Of each kind of edge the squared zone, and the squared error with the accuracy of the line in it, m2."""
        zone2, line2 = self.on.widths(self.on.intervals[self.context.interval].plate, zone_m)
        return zone2, error_m**2 + np.where(line2 < 0.0, self.on.settings.line_accuracy_m**2, line2)

    def grounds(self, label: Label) -> tuple[Territory, ...]:
        """The territories in force in a label."""
        return tuple(g for g in (self.on.claims[i] for i in label if i in self._held) if isinstance(g, Territory))

    def verdict(self, key: tuple[int, ...]) -> int:
        """The number of the verdict for (own class, near class * LEVELS + level, ...)."""
        if key not in self._met:
            self._met[key] = self.special(self.situation(key))
        return self._met[key]

    def special(self, situation: Situation) -> int:
        """The number of the verdict for a situation of one row: an order for its case, or shares of its error disc."""
        return self.on.ledger.keep(decide(situation, self.on.roster))

    def situation(self, key: tuple[int, ...]) -> Situation:
        """The facts for a class and what is near it."""
        near = [(code // LEVELS, code % LEVELS) for code in key[1:]]
        here = [self._facts[key[0]]] + [self._facts[c] for c, level in near if level == ON_LINE]
        around = [self._facts[c] for c, level in near if level != ON_LINE]
        sides = [{g.squad for g in _of(claims, Territory)} for claims in here]
        on_line = any(side != sides[0] for side in sides)
        covering = _merged(here)
        grounds = by_id(_of(covering, Territory))
        mine = {g.squad for g in grounds}
        outer = [g for claims in around for g in _of(claims, Territory)]
        gap = {n.squad for n in _of(covering, Nearest)}
        possible = [
            n for c, level in near if level == IN_ERROR for n in _of(self._facts[c], Nearest) if n.squad not in gap
        ]
        return Situation(
            direct=by_id(_of(covering, DirectCategory)),
            designations=by_id(_of(covering, Designation)),
            not_served=by_id(_of(covering, NotServed)),
            agreements=by_id(self._agreements(covering, mine)),
            grounds=grounds,
            townships=by_id(_of(covering, Township)),
            nearest=by_id(_of(covering, Nearest)) if not grounds else (),
            near=by_id(g for g in outer if g.squad not in mine),
            possible=by_id(possible),
            on_line=on_line,
            found_by=self.context.found_by,
            turns=self.context.turns,
        )

    def _agreements(self, covering: Iterable[Claim], squads: set[SquadCode]) -> list[Agreement]:
        """Those that cover the place, and those without a ground of their own between two squads that both claim it."""
        here = list(_of(covering, Agreement))
        if len(squads) > 1:
            here += [
                a
                for i in sorted(self._held)
                if isinstance(a := self.on.claims[i], Agreement)
                and a.id in self.on.settings.whole_zone
                and set(a.parties) <= squads
                and self._meant(a)
            ]
        return here

    def _claims_of(self, c: int) -> tuple[Claim, ...]:
        claims = [self.on.claims[i] for i in self.plate.labels[c] if i in self._held]
        claims += [d for i in self._held if isinstance(d := self.on.claims[i], DirectCategory)]
        return by_id(claim for claim in claims if self._meant(claim))

    def _meant(self, claim: Claim) -> bool:
        """Is the claim meant for this category group?"""
        if isinstance(claim, DirectCategory):
            return claim.category in self._category
        if isinstance(claim, Designation | Agreement):
            return not claim.categories or bool(claim.categories & set(self._category))
        return True


def intervals_of(claims: Sequence[Claim], plate_of: dict[frozenset[int], int]) -> tuple[Interval, ...]:
    """Cut time where a claim starts or ends; neighbours with the same claims in force are one interval.

    `plate_of` gains a number for each distinct set of territories and stretches of border, in order of time.
    """
    instants = sorted({t for c in claims for t in (c.period.since, c.period.until) if t is not None})
    edges: list[datetime | None] = [None, *instants, None]
    found: list[Interval] = []
    for since, until in pairwise(edges):
        held = frozenset(i for i, c in enumerate(claims) if _holds(c.period, since))
        if found and found[-1].claims == held:
            found[-1] = Interval(found[-1].since, until, found[-1].plate, held)
            continue
        grounds = frozenset(i for i in held if isinstance(claims[i], Territory | Stretch))
        plate = plate_of.setdefault(grounds, len(plate_of))
        found.append(Interval(since, until, plate, held))
    return tuple(found)


def groups_of(claims: Iterable[Claim]) -> tuple[tuple[Category, ...], ...]:
    """Categories that every rule treats alike are one group; group 0 is every category that no rule names."""
    rules: dict[Category, set[str]] = {}
    for claim in claims:
        for category in _named_categories(claim):
            rules.setdefault(category, set()).add(claim.id)
    alike: dict[frozenset[str], list[Category]] = {}
    for category in sorted(rules):
        alike.setdefault(frozenset(rules[category]), []).append(category)
    return ((), *sorted(tuple(group) for group in alike.values()))


def named_squads(claim: Claim) -> tuple[SquadCode, ...]:
    """Every squad a claim names."""
    match claim:
        case Territory() | Designation() | DirectCategory() | Nearest():
            return (claim.squad,)
        case Agreement():
            return claim.parties
        case Township():
            return (claim.squad,) if claim.squad is not None else ()
        case _:
            return ()


def micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exact."""
    whole = moment.replace(microsecond=0)
    return round(whole.timestamp()) * 1_000_000 + moment.microsecond


def _holds(period: Period, since: datetime | None) -> bool:
    """Is the period in force from `since` on? None is the beginning of time."""
    if since is None:
        return period.since is None
    return since in period


def _named_categories(claim: Claim) -> frozenset[Category]:
    match claim:
        case DirectCategory():
            return frozenset({claim.category})
        case Designation() | Agreement():
            return claim.categories
        case _:
            return frozenset()


def _merged(claims: Iterable[tuple[Claim, ...]]) -> tuple[Claim, ...]:
    return tuple(dict.fromkeys(c for group in claims for c in group))


def _of(claims: Iterable[Claim], kind: type[C]) -> Iterable[C]:
    return (c for c in claims if isinstance(c, kind))
