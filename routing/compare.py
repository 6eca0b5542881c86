"""Two maps over one history: which cases change squad, what each squad carries, and what becomes of the lines between squads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from routing.again import Again, History, Known, Scope, Why, again, differing
from routing.ground.cells import Floats, Small
from routing.ground.noding import MM, Ints
from routing.jurisdiction import JurisdictionMap, Plate
from routing.model import SquadCode, Step, Stretch, Territory, Verdict
from routing.route import Routed, zone_of

SAME_LINE_M = 0.002
"""A line this near to where it was has not moved: a vertex put into it is rounded to a millimetre."""

LEAST = 0.01
"""m2 and m: strips smaller than this are the rounding of a vertex, not a change."""

Offices = Mapping[SquadCode, tuple[float, float]]
"""Where squads set out from, metres in the work CRS."""

Pair = tuple[SquadCode, SquadCode]


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """What the squads of a roster carry. Arrays (squads,), in the order of `codes`; all counts are exact.

    `led` and `assisted`: cases; `steps` (11,): cases by the step that decided; `doubtful`: cases to be looked at. `way_mm`:
    the straight lines from the squad's office to the places of the cases it leads, summed in whole millimetres; `ways`: how
    many cases that sum has. Squads without a known office have none.
    """

    codes: tuple[SquadCode, ...]
    led: Ints
    assisted: Ints
    way_mm: Ints
    ways: Ints
    steps: Ints
    doubtful: int

    @property
    def mean_way_m(self) -> float | None:
        """The proxy of handling time: mean metres, as the crow flies, from a leading squad's office to its case.

        Over the cases with a place whose squad has a known office; None where there are none. It knows no roads, no traffic
        and no work on the spot: it compares two maps, and tells nothing about one.
        """
        n = int(self.ways.sum())
        return int(self.way_mm.sum()) / n / 1000.0 if n else None


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """The warm start with what each squad carries before, and the offices by which ways are measured on both maps."""

    known: Known
    load: Load
    offices: Offices


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """Cases that change squad: rows of the history, ascending; squads as numbers into `Comparison.squads`, steps as into Step."""

    rows: Ints
    squad_before: Ints
    squad_after: Ints
    step_before: Ints
    step_after: Ints

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Strip:
    """The border zone between two squads: what it gains and loses, in m2, and metres of the line itself.

    New is ground within the zone of their line now that was not within the zone of their line before; gone the reverse.
    """

    squads: Pair
    new_m2: float
    gone_m2: float
    new_line_m: float
    gone_line_m: float


@dataclass(frozen=True, slots=True)
class Shape:
    """Ground of the extent that no squad claims, and ground that several do, before and after, m2; and the changed strips."""

    gap_m2: tuple[float, float]
    overlap_m2: tuple[float, float]
    strips: tuple[Strip, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What changes for a history. `rows` cases in all, `routed` of them decided again; `why`: why all of them, if so.

    `squads`: codes of both rosters, sorted. `assist_changed`: rows with other assistants; `doubt_new`, `doubt_gone`: rows that
    become doubtful or cease to be. Loads are in the order of `squads`.
    """

    rows: int
    routed: int
    scope: Scope
    why: Why | None
    squads: tuple[SquadCode, ...]
    moved: Moved
    assist_changed: Ints
    doubt_new: Ints
    doubt_gone: Ints
    before: Load
    after: Load
    shape: Shape
    again: Again = field(repr=False)

    def flows(self) -> list[tuple[SquadCode, SquadCode, int]]:
        """(from, to, cases), most first."""
        m, codes = self.moved, self.squads
        return [(codes[a], codes[b], n) for a, b, n in _counted(m.squad_before, m.squad_after, len(codes))]

    def steps(self) -> list[tuple[Step, Step, int]]:
        """(step before, step after, moved cases), most first."""
        m, steps = self.moved, list(Step)
        return [(steps[a], steps[b], n) for a, b, n in _counted(m.step_before, m.step_after, len(steps))]

    def categories(self, history: History) -> list[tuple[str | None, int]]:
        """(category, moved cases), most first; None is a case without one."""
        if history.category is None:
            return [(None, len(self.moved))] if len(self.moved) else []
        code = np.broadcast_to(history.category, len(history))[self.moved.rows]
        numbers, count = np.unique(code, return_counts=True)
        found = [(history.categories[k] if k >= 0 else None, n) for k, n in zip(numbers.tolist(), count.tolist(), strict=True)]
        return sorted(found, key=lambda f: (-f[1], f[0] or ""))


def baseline(of: Known, offices: Offices | None = None) -> Baseline:
    """The warm start of `compare`: each squad's load over the whole history. Ways are measured from these offices alone."""
    given = offices or {}
    return Baseline(of, _load(of.routed, of.history, None, given), given)


def compare(base: Baseline, after: JurisdictionMap, moment: int | None = None) -> Comparison:
    """The history under `after` beside what it was. `Shape` is that at `moment` (microseconds UTC; None: in the end).

    Raises what `again` raises.
    """
    old, history = base.known, base.known.history
    new = again(old, after)
    rows = new.rows
    squads = tuple(sorted({s.code for on in (old.on, after) for s in on.roster.squads}))
    lead = [_numbers(on, squads)[n] for on, n in ((old.on, old.routed.squad[rows]), (after, new.routed.squad))]
    step = old.routed.step[rows].astype(np.int64), new.routed.step.astype(np.int64)
    odd = lead[0] != lead[1]
    moved = Moved(rows[odd], lead[0][odd], lead[1][odd], step[0][odd], step[1][odd])
    teams: dict[Any, int] = {}
    team = [_teams(on, teams)[v] for on, v in ((old.on, old.routed.verdict[rows]), (after, new.routed.verdict))]
    doubt = old.routed.doubtful[rows], new.routed.doubtful
    was = _ordered(base.load, squads)
    gone, come = _load(old.routed, history, rows, base.offices, rows), _load(new.routed, history, rows, base.offices)
    load = _plus(_plus(was, _ordered(gone, squads), -1), _ordered(come, squads), 1)
    return Comparison(
        len(history),
        len(rows),
        new.scope,
        new.why,
        squads,
        moved,
        rows[team[0] != team[1]],
        rows[~doubt[0] & doubt[1]],
        rows[doubt[0] & ~doubt[1]],
        was,
        load,
        shape_of(old.on, after, zone_of(old.on, old.zone_m), zone_of(after, old.zone_m), moment),
        new,
    )


def _counted(a: Ints, b: Ints, n: int) -> list[tuple[int, int, int]]:
    """(a, b, how often), most first, then by number."""
    key, count = np.unique(a * n + b, return_counts=True)
    return [(k // n, k % n, c) for c, k in sorted(zip(count.tolist(), key.tolist(), strict=True), key=lambda p: (-p[0], p[1]))]


def _numbers(on: JurisdictionMap, squads: tuple[SquadCode, ...]) -> Ints:
    """The place in `squads` of each squad of a map."""
    place = {code: i for i, code in enumerate(squads)}
    return np.array([place[s.code] for s in on.roster.squads], np.int64)


def _teams(on: JurisdictionMap, teams: dict[Any, int]) -> Ints:
    """A number for the assistants of each verdict of a map's ledger."""
    return np.array([teams.setdefault(v.assist, len(teams)) for v in on.ledger.verdicts], np.int64)


# ---- what squads carry ------------------------------------------------------------------------------------------------


def _load(routed: Routed, history: History, rows: Ints | None, offices: Offices, of: Ints | None = None) -> Load:
    """The load of `routed`, or of its rows `of`; `rows` of the history are those it decides (None: all)."""
    on = routed.on

    def mine(column: NDArray[Any]) -> NDArray[Any]:
        return column if of is None else column[of]

    codes = tuple(s.code for s in on.roster.squads)
    count = np.bincount(mine(routed.verdict), minlength=len(on.ledger.verdicts))
    led, assisted = np.zeros(len(codes), np.int64), np.zeros(len(codes), np.int64)
    for verdict, n in _met(on.ledger.verdicts, count):
        led[on.squad_number[verdict.lead]] += n
        for code in verdict.assist:
            assisted[on.squad_number[code]] += n
    steps = np.bincount(mine(routed.step), minlength=len(Step)).astype(np.int64)
    x, y = (history.x, history.y) if rows is None else (history.x[rows], history.y[rows])
    way, ways = _ways(mine(routed.squad), x, y, codes, offices)
    return Load(codes, led, assisted, way, ways, steps, int(np.count_nonzero(mine(routed.doubtful))))


def _met(verdicts: list[Verdict], count: Ints) -> list[tuple[Verdict, int]]:
    return [(verdicts[k], int(count[k])) for k in np.flatnonzero(count).tolist()]


def _ways(lead: Small, x: Floats, y: Floats, codes: tuple[SquadCode, ...], offices: Offices) -> tuple[Ints, Ints]:
    """Summed ways in mm and their number, of each squad."""
    if not offices:
        return np.zeros(len(codes), np.int64), np.zeros(len(codes), np.int64)
    place = np.array([offices.get(code, (np.nan, np.nan)) for code in codes])
    way = np.hypot(x - place[lead, 0], y - place[lead, 1])
    known = np.isfinite(way)
    total = np.zeros(len(codes), np.int64)
    np.add.at(total, lead[known], np.rint(way[known] * 1000.0).astype(np.int64))
    return total, np.bincount(lead[known], minlength=len(codes)).astype(np.int64)


def _ordered(load: Load, squads: tuple[SquadCode, ...]) -> Load:
    """The same load in the order of `squads`; squads it does not know carry nothing."""
    place = {code: i for i, code in enumerate(load.codes)}
    at = np.array([place.get(code, -1) for code in squads], np.int64)
    led, assisted, way, ways = (np.append(c, 0)[at] for c in (load.led, load.assisted, load.way_mm, load.ways))
    return Load(squads, led, assisted, way, ways, load.steps, load.doubtful)


def _plus(a: Load, b: Load, sign: int) -> Load:
    names = "led", "assisted", "way_mm", "ways", "steps"
    led, assisted, way, ways, steps = (getattr(a, name) + sign * getattr(b, name) for name in names)
    return Load(a.codes, led, assisted, way, ways, steps, a.doubtful + sign * b.doubtful)


# ---- lines and ground -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """Lines between grounds of different squads: (m, 4) mm, the number of what lies on either side, the border zone there (m)."""

    segment: Ints
    left: Ints
    right: Ints
    zone: Floats


def shape_of(
    before: JurisdictionMap, after: JurisdictionMap, zone_before: float, zone_after: float, moment: int | None = None
) -> Shape:
    """Gaps, overlaps and border strips of two maps at an instant."""
    plates = [_plate_at(on, moment) for on in (before, after)]
    sides: dict[frozenset[SquadCode], int] = {}
    number = [[sides.setdefault(s, len(sides)) for s in _squads(on, p)] for on, p in zip((before, after), plates, strict=True)]
    size = [len(s) for s in sides]
    gaps, overlaps = zip(*(_odd_ground(p, [size[k] for k in n]) for p, n in zip(plates, number, strict=True)), strict=True)
    zones = [_zones(on, p, zone) for on, p, zone in ((before, plates[0], zone_before), (after, plates[1], zone_after))]
    one, two = (_lines(p, np.array(n, np.int64), z) for p, n, z in zip(plates, number, zones, strict=True))
    strips = _strips(one, two, list(sides))
    return Shape((gaps[0], gaps[1]), (overlaps[0], overlaps[1]), strips)


def _plate_at(on: JurisdictionMap, moment: int | None) -> Plate:
    place = -1 if moment is None else int(np.searchsorted(on.changes, moment, "right"))
    return on.plates[on.intervals[place].plate]


def _squads(on: JurisdictionMap, plate: Plate) -> list[frozenset[SquadCode]]:
    """The squads whose ground each class is; a plate's territories are all in force at once."""
    grounds = {i: c.squad for i, c in enumerate(on.claims) if isinstance(c, Territory)}
    return [frozenset(grounds[i] for i in label if i in grounds) for label in plate.labels]


def _odd_ground(plate: Plate, squads: list[int]) -> tuple[float, float]:
    """m2 of the extent without a squad, and of ground with several."""
    gap = overlap = 0
    for area2, c in zip(plate.faces.area2(), plate.faces.label.tolist(), strict=True):
        gap += area2 if plate.inside[c] and squads[c] == 0 else 0
        overlap += area2 if squads[c] > 1 else 0
    return gap / 2e6, overlap / 2e6


def _zones(on: JurisdictionMap, plate: Plate, zone_m: float) -> Floats:
    """The border zone at each edge of a plate, metres."""
    zone = np.full(len(plate.faces.edge), zone_m)
    for c in [] if plate.borders is None else plate.borders.claims.tolist():
        claim = on.claims[c]
        if plate.borders is not None and isinstance(claim, Stretch) and claim.zone_m is not None:
            zone[plate.borders.stretch == c] = claim.zone_m
    return zone


def _lines(plate: Plate, side: Ints, zone: Floats) -> _Lines:
    faces = plate.faces
    of = np.append(side[faces.label], side[plate.outside])
    left, right = of[faces.side[:, 0]], of[faces.side[:, 1]]
    line = left != right
    return _Lines(faces.xy[faces.edge[line]].reshape(-1, 4), left[line], right[line], zone[line])


def _strips(one: _Lines, two: _Lines, sides: list[frozenset[SquadCode]]) -> tuple[Strip, ...]:
    n = len(sides)
    keys = [
        (*lines.segment.T, lines.left * n + lines.right, np.rint(lines.zone * MM).astype(np.int64)) for lines in (one, two)
    ]
    odd = differing(*keys)
    between = {int(k): _between(sides[k // n], sides[k % n]) for k in np.unique(np.concatenate([k[4] for k in keys])).tolist()}
    changed = np.unique(np.concatenate([k[4][o] for k, o in zip(keys, odd, strict=True)])).tolist()
    found = []
    for pair in sorted({p for k in changed for p in between[k]}):
        kinds = [k for k, pairs in between.items() if pair in pairs]
        a, b = (np.isin(k[4], kinds) for k in keys)
        new = _beyond(two, b & odd[1], one, a)
        gone = _beyond(one, a & odd[0], two, b)
        strip = Strip(pair, new[0], gone[0], new[1], gone[1])
        if max(strip.new_m2, strip.gone_m2, strip.new_line_m, strip.gone_line_m) >= LEAST:
            found.append(strip)
    return tuple(found)


def _between(left: frozenset[SquadCode], right: frozenset[SquadCode]) -> set[Pair]:
    """The squads that a line parts: one of them at least ends there."""
    return {
        (a, b) if a < b else (b, a) for a in left for b in right if a != b and not (a in right and b in left)
    }


def _beyond(lines: _Lines, some: NDArray[np.bool_], others: _Lines, those: NDArray[np.bool_]) -> tuple[float, float]:
    """m2 of the zone of some lines that are in no zone of the others, and metres of lines that are not where others are."""
    if not some.any():
        return 0.0, 0.0
    segment, zone, segments, zones = lines.segment[some], lines.zone[some], others.segment[those], others.zone[those]
    own, wide = _drawn(segment), float(zone.max() + zones.max(initial=0.0) + 1.0)
    low, high = (np.array(shapely.bounds(own)).reshape(2, 2) + np.array([[-1], [1]]) * wide) * MM
    ends = segments.reshape(-1, 2, 2)
    near = ((ends.max(1) >= low) & (ends.min(1) <= high)).all(1)
    band, there = _band(segment, zone), _band(segments[near], zones[near] + SAME_LINE_M)
    length = shapely.length(shapely.difference(own, shapely.buffer(_drawn(segments[near]), SAME_LINE_M)))
    return round(float(shapely.area(shapely.difference(band, there))), 2), round(float(length), 2)


def _band(segments: Ints, zone: Floats) -> Any:
    """The zones of lines, each of its own width."""
    wide = np.unique(zone[zone > 0]).tolist()
    return shapely.union_all([shapely.buffer(_drawn(segments[zone == w]), w) for w in wide])


def _drawn(segments: Ints) -> Any:
    lines: Any = shapely.linestrings(segments.reshape(-1, 2, 2) / MM)
    return shapely.line_merge(shapely.multilinestrings(lines))
