"""Where cases lie to the lines between squads: who holds the ground, who is across, how far, and where the line is nearest.

All lengths are metres of the work CRS; lines are the edges of the map's own plate, so that a border here is a border there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from routing.ground.cells import Floats
from routing.ground.locate import ON_LINE_MM
from routing.ground.noding import MM, Ints
from routing.jurisdiction import Context, JurisdictionMap, Plate, micros
from routing.ladder import decide
from routing.model import Nearest, Period, Step, Territory
from routing.route import InstantNeeded

REACH_M = 30.0
"""A case this near to a line has a hint."""

NOBODY = -1
"""Ground of no squad: outside the extent."""

MILLIMETRE = 1.0 / MM

LINE_M = ON_LINE_MM * MILLIMETRE
"""A place this near to a line is on it, as in routing: coordinates are kept to a millimetre."""


@dataclass(frozen=True, eq=False)
class Borders:
    """The lines of one plate. Squads are numbers into the roster of `on`, or NOBODY.

    `owner[f]`: whose ground face f is. `line[e]`: two-point lines; `side[e]`: the squads on either side, never equal.
    """

    on: JurisdictionMap
    plate: Plate
    owner: Ints
    line: NDArray[np.object_]
    side: Ints

    @cached_property
    def tree(self) -> shapely.STRtree:
        """Of the lines."""
        return shapely.STRtree(self.line)

    @cached_property
    def faces(self) -> NDArray[np.object_]:
        """The faces as polygons."""
        return self.plate.faces.polygons()

    @cached_property
    def code(self) -> Ints:
        """The pair of each line, NOBODY at the rim."""
        return self.pair(self.side[:, 0], self.side[:, 1])

    def pair(self, one: Ints, other: Ints) -> Ints:
        """A number for an unordered pair of squads; NOBODY where one is missing."""
        low, high = np.minimum(one, other), np.maximum(one, other)
        return np.where(low < 0, NOBODY, low * len(self.on.roster.squads) + high)

    def squads(self, pair: int) -> tuple[int, int]:
        """The two squads of a pair, the lower number first."""
        return divmod(pair, len(self.on.roster.squads))

    def between(self, pair: int) -> NDArray[np.object_]:
        """The lines between two squads."""
        lines: NDArray[np.object_] = self.line[self.code == pair]
        return lines


@dataclass(frozen=True, slots=True, eq=False)
class Near:
    """The cases within reach of a line, in the order of the rows.

    Case k is row `row[k]`, `line_m[k]` from the nearest line. `squad[at[k]:at[k + 1]]` may be responsible: the squad whose
    ground it is, then the others within reach by distance (ties: by number). Outside all ground the nearest comes first, and
    `inside[k]` is False. `pair[k]`: the first two, NOBODY if there is but one.
    """

    row: Ints
    line_m: Floats
    inside: NDArray[np.bool_]
    at: Ints
    squad: Ints
    distance_m: Floats
    pair: Ints

    def __len__(self) -> int:
        return len(self.row)

    @property
    def first(self) -> Ints:
        """The squad whose ground it is, or the nearest."""
        return self.squad[self.at[:-1]]

    @property
    def on_line(self) -> NDArray[np.bool_]:
        """Cases on the line of their pair itself: it is a millimetre wide, and the ground of both."""
        found = self.pair >= 0
        found[found] = self.distance_m[self.at[:-1][found] + 1] <= LINE_M
        return found & self.inside

    def only(self, kept: NDArray[np.bool_]) -> Near:
        """Some of the cases."""
        count = np.diff(self.at)
        each = np.repeat(kept, count)
        at = np.concatenate([[0], np.cumsum(count[kept])])
        return Near(
            self.row[kept], self.line_m[kept], self.inside[kept], at, self.squad[each], self.distance_m[each], self.pair[kept]
        )


def interval_at(on: JurisdictionMap, as_of: datetime | None) -> int:
    """The number of the interval in force. Raises InstantNeeded where the map changes with time and none is named."""
    if as_of is None:
        if len(on.intervals) > 1 or on.alternating:
            raise InstantNeeded
        return 0
    return int(np.searchsorted(on.changes, micros(as_of), "right"))


def own_period(on: JurisdictionMap, interval: int) -> Period:
    """How long the lines of an interval are these lines, without a break."""
    plate = on.intervals[interval].plate
    first = last = interval
    while first > 0 and on.intervals[first - 1].plate == plate:
        first -= 1
    while last + 1 < len(on.intervals) and on.intervals[last + 1].plate == plate:
        last += 1
    return Period(on.intervals[first].since, on.intervals[last].until)


def borders_of(on: JurisdictionMap, interval: int) -> Borders:
    """The lines between squads while an interval is in force.

    Whose ground a face is, the ladder says from grounds, townships and gaps alone: orders, agreements and direct categories
    move no line.
    """
    plate = on.plates[on.intervals[interval].plate]
    of_class = np.array([*_owners(on, interval, len(plate.labels)), NOBODY], np.int64)
    of_class[plate.outside] = NOBODY
    owner = of_class[plate.faces.label]
    side = np.append(owner, NOBODY)[plate.faces.side]  # the unbounded face is -1, the last
    parts = side[:, 0] != side[:, 1]
    lines = shapely.linestrings(plate.faces.xy[plate.faces.edge[parts]] / MM)
    return Borders(on, plate, owner, np.asarray(lines, object), side[parts])


def _owners(on: JurisdictionMap, interval: int, classes: int) -> list[int]:
    sheet = on.sheet(Context(interval))
    found = []
    for c in range(classes):
        bare = replace(sheet.situation((c,)), direct=(), designations=(), not_served=(), agreements=())
        verdict = decide(bare, on.roster)
        found.append(NOBODY if verdict.step is Step.ON_DUTY else on.squad_number[verdict.lead])
    return found


def near_lines(borders: Borders, x: Floats, y: Floats, reach_m: float = REACH_M) -> Near:
    """The rows within reach of a line. Rows without a place (NaN) are near nothing."""
    row, line, distance = _pairs(borders, x, y, reach_m)
    rows, start = np.unique(row, return_index=True)
    case = np.searchsorted(rows, row)
    line_m = np.minimum.reduceat(distance, start) if len(rows) else np.empty(0)
    who = borders.side[line].ravel()  # each line leads to the squads on both sides
    seen = np.repeat(case, 2), who, np.repeat(distance, 2)
    holder = _holders(borders, x[rows], y[rows], seen)
    other = (who >= 0) & (who != holder[seen[0]])
    seen_case, seen_squad, seen_m = (column[other] for column in seen)
    own = np.flatnonzero(holder >= 0)
    seen_case = np.concatenate([own, seen_case])
    seen_squad = np.concatenate([holder[own], seen_squad])
    seen_m = np.concatenate([np.full(len(own), -1.0), seen_m])  # the ground it is on comes first
    return _near(borders, rows, line_m, holder >= 0, (seen_case, seen_squad, seen_m))


def _near(
    borders: Borders, rows: Ints, line_m: Floats, inside: NDArray[np.bool_], seen: tuple[Ints, Ints, Floats]
) -> Near:
    """Each squad once a case, at its least distance; then by distance, ties by number."""
    case, squad, distance = seen
    order = np.lexsort((distance, squad, case))
    case, squad, distance = case[order], squad[order], distance[order]
    fresh = np.ones(len(case), bool)
    fresh[1:] = (case[1:] != case[:-1]) | (squad[1:] != squad[:-1])
    case, squad, distance = case[fresh], squad[fresh], distance[fresh]
    order = np.lexsort((squad, distance, case))
    case, squad, distance = case[order], squad[order], np.maximum(distance[order], 0.0)
    at = np.searchsorted(case, np.arange(len(rows) + 1))
    has_two = np.diff(at) > 1
    pair = np.full(len(rows), NOBODY, np.int64)
    head = at[:-1][has_two]
    pair[has_two] = borders.pair(squad[head], squad[head + 1])
    return Near(rows, line_m, inside, at, squad, distance, pair)


def _pairs(borders: Borders, x: Floats, y: Floats, reach_m: float) -> tuple[Ints, Ints, Floats]:
    """(row, line, distance) of every line within reach of every row, by row."""
    located = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    points = _points(x[located], y[located])
    at, line = borders.tree.query(points, predicate="dwithin", distance=reach_m)
    order = np.lexsort((line, at))
    at, line = at[order], line[order]
    distance: Floats = shapely.distance(points[at], borders.line[line])
    return located[at], line, distance


def _points(x: Floats, y: Floats) -> NDArray[np.object_]:
    return np.asarray(shapely.points(x, y), object)


def _holders(borders: Borders, x: Floats, y: Floats, seen: tuple[Ints, Ints, Floats]) -> Ints:
    """Whose ground each place is on. On a line the first in the published order.

    `seen`: (place, squad or NOBODY, distance) of the grounds around.
    """
    published = _published(borders)
    held = np.full(len(x), len(published), np.int64)
    face, at = shapely.STRtree(_points(x, y)).query(borders.faces, predicate="intersects")
    owner = borders.owner[face]
    np.minimum.at(held, at[owner >= 0], published[owner[owner >= 0]])
    place, squad, distance = seen
    on_line = (squad >= 0) & (distance <= LINE_M)
    np.minimum.at(held, place[on_line], published[squad[on_line]])
    by_place = np.append(np.argsort(published), NOBODY)
    found: Ints = by_place[held]
    return found


def _published(borders: Borders) -> Ints:
    """The place of each squad in the published order: priority, then code."""
    squads = borders.on.roster.squads
    priority = {s.code: 0 for s in squads}
    for claim in (borders.on.claims[i] for label in borders.plate.labels for i in label):
        if isinstance(claim, Territory | Nearest):
            priority[claim.squad] = claim.priority
    order = sorted(range(len(squads)), key=lambda i: (priority[squads[i].code], squads[i].code))
    place = np.empty(len(squads), np.int64)
    place[order] = np.arange(len(squads))
    return place


@dataclass(frozen=True, slots=True, eq=False)
class Feet:
    """Cases hard by a line between two squads: number into a `Near`, and the nearest place on the line, (n, 2) metres."""

    case: Ints
    xy: Floats


def feet(borders: Borders, near: Near, x: Floats, y: Floats, within_m: float) -> Feet:
    """The foot point of each case that lies inside a ground and within a distance of the line of its own pair.

    Of two feet equally near, the one of the lower x, then y.
    """
    case = np.flatnonzero(near.inside & (near.pair >= 0) & (near.line_m <= within_m))
    row = near.row[case]
    at, line, distance = _pairs(borders, x[row], y[row], within_m)
    mine = borders.code[line] == near.pair[case[at]]
    at, line, distance = at[mine], line[mine], distance[mine]
    points = _points(x[row[at]], y[row[at]])
    foot = shapely.line_interpolate_point(borders.line[line], shapely.line_locate_point(borders.line[line], points))
    xy = np.round(shapely.get_coordinates(foot), 3)
    order = np.lexsort((xy[:, 1], xy[:, 0], np.round(distance, 6), at))
    _, first = np.unique(at[order], return_index=True)
    nearest = order[first]
    return Feet(case[at[nearest]], xy[nearest])


def stretch_at(borders: Borders, pair: int, xy: Floats, around_m: float) -> Any:
    """The line between two squads within a distance of the hull of some places on it, (n, 2) metres."""
    window = shapely.buffer(shapely.convex_hull(shapely.multipoints(xy)), around_m)
    lines = borders.between(pair)
    parts = shapely.intersection(lines[shapely.intersects(lines, window)], window)
    whole = shapely.line_merge(shapely.union_all(parts[shapely.get_dimensions(parts) == 1]))
    return shapely.normalize(whole)


def band(borders: Borders, pair: int, stretch: Any, width_m: float) -> Any:
    """The ground of two squads within a distance of a stretch of their line, on the millimetre grid."""
    wide = shapely.buffer(stretch, width_m)
    both = np.isin(borders.owner, borders.squads(pair))
    near = both & shapely.intersects(borders.faces, wide)
    ground = shapely.intersection(shapely.union_all(borders.faces[near]), wide)
    parts = shapely.get_parts(shapely.set_precision(ground, MILLIMETRE))
    areas = parts[shapely.get_dimensions(parts) == 2]
    return shapely.normalize(areas[0] if len(areas) == 1 else shapely.multipolygons(areas))
