"""A history of cases, decided under one map and decided again under another: only where the ground has changed.

Root cells of the index (about 1 km) are the unit. A cell in which both maps have the same edges, between the same claims, and
the same claims at its corner, answers alike in every bit (see ground/patch.py); so only cases in the other cells are routed
again, by the same `route`, on an index of these cells alone. What decides everywhere (zone, roster, direct categories ...)
leaves no such cells: then everything is routed, and `Again.why` says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing.errors import JieguanError
from routing.ground.cells import Floats, Small
from routing.ground.locate import assistants, spelled
from routing.ground.noding import Ints
from routing.ground.patch import Roots, built, roots
from routing.jurisdiction import JurisdictionMap, Plate, squads_of
from routing.model import Claim, DirectCategory, SquadCode, Step, Stretch, Territory
from routing.route import CAP_M, Complaints, InstantNeeded, Routed, groups, place_of_townships, route, zone_of

DRAWER_M = 500.0
"""Side of the squares by which a history is filed: about half a root cell."""


class TwoWorkSystems(JieguanError):
    zh = "两张地图的工作坐标系不同({before} 与 {after}):同一案件的坐标在两图中指不同地点,无法对比。请用 --work-crs {before} 重新编制。"
    en = (
        "The two maps have different work systems ({before}, {after}), so one coordinate names two places and they cannot be "
        "compared. Compile the second with --work-crs {before}."
    )


class Scope(StrEnum):
    """How much was routed again."""

    NONE = "none"
    PART = "part"
    ALL = "all"


class Why(StrEnum):
    """Why everything had to be routed again."""

    SETTINGS = "settings"
    ROSTER = "roster"
    DIRECT = "direct"
    WHOLE_ZONE = "whole_zone"
    REACH = "reach"
    CORNER = "corner"


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """n past cases, apart from any map. An array of length 1 serves all rows.

    `x`, `y`, `error_m`: metres in the work CRS, x NaN where a case has no place. `at`: microseconds since 1970 UTC. `category`
    are numbers into `categories`, `found_by` numbers into `finders` (squad codes); -1 is none. `case`: case ids.
    """

    x: Floats
    y: Floats
    error_m: Floats
    at: Ints | None = None
    category: Small | None = None
    categories: tuple[str, ...] = ()
    found_by: Small | None = None
    finders: tuple[str, ...] = ()
    case: NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return len(self.x)

    def taken(self, rows: Ints) -> History:
        """Some of the cases by number."""

        def some(a: Any) -> Any:
            return a if a is None or len(a) == 1 else a[rows]

        columns = {name: some(getattr(self, name)) for name in ("error_m", "at", "category", "found_by", "case")}
        return replace(self, x=self.x[rows], y=self.y[rows], **columns)

    def complaints(self, on: JurisdictionMap, rows: Ints | None = None) -> Complaints:
        """The cases, or some rows, as a map wants them: its category groups, its squad numbers."""

        def some(a: Any) -> Any:
            return a if a is None or rows is None or len(a) == 1 else a[rows]

        group = finder = None
        if self.category is not None and len(on.groups) > 1:
            group = np.append(groups(on, self.categories), 0).astype(np.int32)[some(self.category)]
        if self.found_by is not None and on.finders:
            numbers = [on.squad_number.get(SquadCode(code), -1) for code in self.finders]
            finder = np.array([*numbers, -1], np.int32)[some(self.found_by)]
        x, y = (self.x, self.y) if rows is None else (self.x[rows], self.y[rows])
        return Complaints(x, y, some(self.error_m), some(self.at), group, finder, some(self.case))


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The warm start: a history, its decisions under a map, and its rows filed by place.

    `zone_m` None is each map's own. `row[start[k]:start[k + 1]]` are the rows in the square `drawer[k]`, see `_drawers`.
    """

    history: History
    on: JurisdictionMap
    routed: Routed
    zone_m: float | None
    cap_m: float
    workers: int
    drawer: Ints
    start: Ints
    row: Ints
    shared: Ints
    """Disputed rows whose error disc may have been measured: they look at whole faces, not only at what is near."""
    _roots: dict[tuple[int, int], Roots | None] = field(default_factory=dict)

    def roots(self, plate: int, step: int) -> Roots | None:
        """The root cells of a plate of the map, at the reach of this number; made once."""
        if (plate, step) not in self._roots:
            self._roots[plate, step] = _roots(self.on.plates[plate], step)
        return self._roots[plate, step]


@dataclass(frozen=True, slots=True, eq=False)
class Again:
    """Decisions under another map of the rows that may differ; `rows` ascending, `routed` in their order."""

    rows: Ints
    routed: Routed
    scope: Scope
    why: Why | None = None


def known(
    on: JurisdictionMap,
    history: History,
    *,
    zone_m: float | None = None,
    cap_m: float = CAP_M,
    workers: int = 1,
    routed: Routed | None = None,
) -> Known:
    """Decide the history under `on` (unless `routed` holds that already) and file its rows by place. Raises as `route`."""
    if routed is None:
        routed = route(on, history.complaints(on), zone_m=zone_m, cap_m=cap_m, workers=workers)
    key = _drawers(np.floor(history.x / DRAWER_M), np.floor(history.y / DRAWER_M))
    row = np.argsort(key)
    ranked = key[row]
    first = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1])) if len(row) else np.empty(0, np.int64)
    wide = (history.error_m > 0.0) | any(on.accuracy2(p).any() for p in range(len(on.plates)))
    shared = np.flatnonzero((routed.step == list(Step).index(Step.DISPUTED)) & wide)
    made = Known(history, on, routed, zone_m, cap_m, workers, ranked[first], np.append(first, len(row)), row, shared)
    for plate in range(len(on.plates)):
        made.roots(plate, _step(_floor(made)))
    return made


def part(of: Known, rows: Ints) -> Known:
    """The warm start of some of its cases, by number; nothing is decided again."""
    on, old = of.on, of.routed
    place = {code: i for i, code in enumerate(place_of_townships(on))}
    township = np.array([*(place[code] for code in old.township_codes), -1], np.int32)[old.township[rows]]
    routed = assembled(on, old.verdict[rows], old.doubtful[rows], old.margin_m[rows], old.runner_up[rows], township)
    return known(on, of.history.taken(rows), zone_m=of.zone_m, cap_m=of.cap_m, workers=of.workers, routed=routed)


def again(before: Known, after: JurisdictionMap) -> Again:
    """The rows that may be decided otherwise under `after`, decided.

    Equal to a full run: `spliced` gives what `route` gives for all rows, in every column and bit.
    Raises TwoWorkSystems, and what `route` raises.
    """
    history, on = before.history, before.on
    if on.settings.work_crs != after.settings.work_crs:
        raise TwoWorkSystems(before=on.settings.work_crs, after=after.settings.work_crs)
    if history.at is None and (len(after.intervals) > 1 or after.alternating):
        raise InstantNeeded
    why = _everywhere(on, after)
    changes = why if why is not None else _changes(before, after)
    if isinstance(changes, Why):
        every = route(after, history.complaints(after), zone_m=before.zone_m, cap_m=before.cap_m, workers=before.workers)
        return Again(np.arange(len(history)), every, Scope.ALL, changes)
    rows, patched = _selected(before, after, changes)
    asked = history.complaints(patched, rows)
    part = route(patched, asked, zone_m=before.zone_m, cap_m=before.cap_m, workers=before.workers)
    number = _kept(patched, after)
    verdict = number[part.verdict] if len(rows) else part.verdict
    return Again(rows, replace(part, on=after, verdict=verdict), Scope.PART if len(rows) else Scope.NONE)


def spliced(before: Known, new: Again) -> Routed:
    """The decisions of the whole history under the other map: what was known, and what was routed again."""
    if new.scope is Scope.ALL:
        return new.routed
    old, on, rows = before.routed, new.routed.on, new.rows
    verdict = _kept(before.on, on)[old.verdict] if len(old) else old.verdict.copy()
    verdict[rows] = new.routed.verdict
    doubtful, margin, runner = old.doubtful.copy(), old.margin_m.copy(), old.runner_up.copy()
    doubtful[rows], margin[rows], runner[rows] = new.routed.doubtful, new.routed.margin_m, new.routed.runner_up
    place = {code: i for i, code in enumerate(place_of_townships(on))}
    township = np.array([*(place.get(code, -1) for code in old.township_codes), -1], np.int32)[old.township]
    township[rows] = new.routed.township
    return assembled(on, verdict, doubtful, margin, runner, township)


def assembled(
    on: JurisdictionMap, verdict: Small, doubtful: NDArray[np.bool_], margin: Floats, runner: Small, township: Small
) -> Routed:
    """Decisions from the columns that are their own; squad, step and assistants follow from the verdict (numbers of the ledger)."""
    columns = on.ledger.columns()
    lead, step, at = spelled(verdict, columns.lead, columns.step, columns.assist_at)
    assist = assistants(verdict, at, columns.assist_at, columns.assist)
    return Routed(on, lead, at, assist, step, doubtful, margin, runner, township, place_of_townships(on), verdict)


def _kept(of: JurisdictionMap, by: JurisdictionMap) -> Small:
    """The number that each verdict of a map's ledger has in the ledger of another."""
    return np.array([by.ledger.keep(v) for v in of.ledger.verdicts], np.int32)


# ---- what changed -----------------------------------------------------------------------------------------------------


def _everywhere(before: JurisdictionMap, after: JurisdictionMap) -> Why | None:
    """What differs and decides at every place."""

    def settings(on: JurisdictionMap) -> Any:
        return on.settings.zone_m, on.settings.line_accuracy_m

    def roster(on: JurisdictionMap) -> Any:
        return [(s.code, s.kind) for s in on.roster.squads], on.roster.duty

    def whole(on: JurisdictionMap) -> Any:
        named = set(on.settings.whole_zone)
        return {c for c in map(said, on.claims) if c.id in named}

    def direct(on: JurisdictionMap) -> Any:
        return {said(c) for c in on.claims if isinstance(c, DirectCategory)}

    facts = {Why.SETTINGS: settings, Why.ROSTER: roster, Why.WHOLE_ZONE: whole, Why.DIRECT: direct}
    return next((why for why, fact in facts.items() if fact(before) != fact(after)), None)


def said(claim: Claim) -> Claim:
    """All that a claim says to the ladder: everything but its document."""
    return replace(claim, document="")


@dataclass(frozen=True, slots=True, eq=False)
class _Change:
    """What differs between a plate of one map and a plate of the other, at one reach.

    `cells`: changed root cells as row << 32 | column, sorted. `step`: the reach as `Plate.cells` counts it.
    """

    pair: tuple[int, int]
    step: int
    roots: Roots
    cells: Ints


@dataclass(frozen=True, slots=True, eq=False)
class _Changes:
    """All changes; `cut`: instants that part time into stretches, `pair_of` the number of each stretch's pair of plates."""

    found: tuple[_Change, ...]
    pairs: tuple[tuple[int, int], ...]
    cut: Ints
    pair_of: Ints
    worst2: float
    first_step: int


def _changes(before: Known, after: JurisdictionMap) -> _Changes | Why:
    on, history = before.on, before.history
    cut, plates = _stretches(on, after, history.at)
    pairs = sorted(set(plates))
    worst = {m.worst2(p) for i, m in enumerate((on, after)) for p in {q[i] for q in pairs}}
    floor = _floor(before)
    if floor != max(CAP_M, after.widest_m(zone_of(after, before.zone_m)), before.cap_m):
        return Why.REACH
    reach = float(np.sqrt(history.error_m.max(initial=0.0) ** 2 + max(worst)))
    wide = reach > floor
    if wide and (len(worst) > 1 or floor > CAP_M):
        return Why.REACH  # which index a row is looked up in then depends on the other rows of its batch
    first = _step(floor)
    found = []
    for pair in pairs:
        for step in range(first, (_step(reach) if wide else first) + 1):
            change = _change(before, after, pair, step)
            if change is None:
                return Why.CORNER
            found.append(change)
    numbers = np.array([pairs.index(p) for p in plates], np.int64)
    return _Changes(tuple(found), tuple(pairs), cut, numbers, max(worst), first)


def _floor(of: Known) -> float:
    """Every index sees at least this far, metres."""
    return max(CAP_M, of.on.widest_m(zone_of(of.on, of.zone_m)), of.cap_m)


def _step(reach_m: float) -> int:
    """The number of an index that sees this far, as in `Plate.cells`."""
    return max(0, int(np.ceil(np.log2(max(reach_m, 1.0) / 100.0))))


def _stretches(
    before: JurisdictionMap, after: JurisdictionMap, at: Ints | None
) -> tuple[Ints, list[tuple[int, int]]]:
    """Instants at which a map changes, and the plates of both in each stretch between them; only where there are cases."""
    cut = np.union1d(before.changes, after.changes)
    if at is not None and len(at):
        low, high = np.searchsorted(cut, [at.min(), at.max()], "right")
        cut = cut[low:high]
        first = int(at.min())
    else:
        first = -(1 << 62)
    moments = np.append(first, cut)
    plates = [
        [on.intervals[i].plate for i in np.searchsorted(on.changes, moments, "right").tolist()] for on in (before, after)
    ]
    return cut, list(zip(*plates, strict=True))


def _change(before: Known, after: JurisdictionMap, pair: tuple[int, int], step: int) -> _Change | None:
    """None where the two cannot be laid over each other: no edges, or another lower left corner.

    Cells are counted from that corner; with another one they are other cells, and coordinates are rounded elsewhere.
    """
    old, new = before.on.plates[pair[0]], after.plates[pair[1]]
    a, b = before.roots(pair[0], step), _roots(new, step)
    if a is None or b is None or a.origin != b.origin:
        return None
    names: dict[Any, int] = {}
    of_a, of_b = class_names(before.on, old, names), class_names(after, new, names)
    kinds: dict[Any, int] = {}
    like_a, like_b = _kinds_named(before.on, old, a, kinds), _kinds_named(after, new, b, kinds)
    odd_a, odd_b = differing(_edge_keys(a, of_a, len(names), like_a), _edge_keys(b, of_b, len(names), like_b))
    cells = [_cells_of(a, odd_a), _cells_of(b, odd_b), _other_corners(a, of_a[a.corner], of_a[old.outside], b, of_b[b.corner])]
    return _Change(pair, step, b, np.unique(np.concatenate(cells)))


def _roots(plate: Plate, step: int) -> Roots | None:
    return roots(plate.faces, len(plate.labels), plate.outside, 100.0 * 2**step, plate.kind)


def class_names(on: JurisdictionMap, plate: Plate, names: dict[Any, int]) -> Ints:
    """A number for each class of a plate, by what its claims say; `names` gains those it does not know."""
    claim = [names.setdefault(said(c), len(names)) for c in on.claims]
    keys = [(inside, *sorted(claim[i] for i in label)) for label, inside in zip(plate.labels, plate.inside, strict=True)]
    return np.array([names.setdefault(key, len(names)) for key in keys], np.int64)


def _kinds_named(on: JurisdictionMap, plate: Plate, of: Roots, names: dict[Any, int]) -> Ints:
    """A number for the widths of each edge's stretch, 0 for those of none; `names` gains those it does not know.

    What else tells kinds apart follows from the claims on either side; but where no edge has widths of its own, a line between two
    territories of one squad brings the farther one within reach, and else it does not.
    """
    if plate.borders is None or of.kind is None:
        territories = [frozenset(i for i in label if isinstance(on.claims[i], Territory)) for label in plate.labels]
        mine, squads = np.stack([of.left, of.right], 1), squads_of(on.claims, plate.labels)
        sides, place = np.unique(mine, axis=0, return_inverse=True)
        inner = [squads[a] == squads[b] and territories[a] != territories[b] for a, b in sides.tolist()]
        return np.where(np.array(inner, bool)[place.reshape(-1)], -1, 0) if len(sides) else np.zeros(0, np.int64)
    claims = [on.claims[i] for i in plate.borders.claims.tolist()]
    widths = [names.setdefault((c.zone_m, c.accuracy_m), len(names) + 1) for c in claims if isinstance(c, Stretch)]
    return np.array([0, *widths], np.int64)[of.kind[:, 0] // 2]


def _edge_keys(of: Roots, names: Ints, n: int, like: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """An edge as four integers: its ends, what lies on either side, and which widths of its own it has."""
    ends = of.edge[:, :4].astype(np.int64)
    return ends[:, 0] << 32 | ends[:, 1], ends[:, 2] << 32 | ends[:, 3], names[of.left] * n + names[of.right], like


def differing(a: tuple[Ints, ...], b: tuple[Ints, ...]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows of either table the other lacks. Rows of a table are distinct; columns are equally many.

    Rows meet by a hash and are then compared: two rows of one hash may be called different wrongly, never alike.
    """
    rows = [np.concatenate(c) for c in zip(a, b, strict=True)]
    mixed = np.zeros(len(rows[0]), np.uint64)
    for column in rows:
        mixed = (mixed ^ column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    order = np.argsort(mixed, kind="stable")  # of two alike, the row of `a` comes first
    one, two = order[:-1], order[1:]
    alike = (one < len(a[0])) & (two >= len(a[0]))
    for column in rows:
        alike &= column[one] == column[two]
    odd = np.ones(len(order), bool)
    odd[one[alike]] = odd[two[alike]] = False
    return odd[: len(a[0])], odd[len(a[0]) :]


def _cells_of(of: Roots, edges: NDArray[np.bool_]) -> Ints:
    """The root cells within reach of some edges, packed."""
    cell = np.repeat(np.arange(len(of.corner)), np.diff(of.at))
    hit = np.unique(cell[edges[of.who]])
    return _packed(hit % of.columns, hit // of.columns)


def _other_corners(a: Roots, at_a: Ints, beyond: int, b: Roots, at_b: Ints) -> Ints:
    """Root cells with other claims at their corners, packed; beyond its grid a map has what lies outside of everything."""
    rows, columns = max(a.rows, b.rows), max(a.columns, b.columns)
    grids = np.full((2, rows, columns), beyond)
    grids[0, : a.rows, : a.columns] = at_a.reshape(a.rows, a.columns)
    grids[1, : b.rows, : b.columns] = at_b.reshape(b.rows, b.columns)
    row, column = np.nonzero(grids[0] != grids[1])
    return _packed(column, row)


def _packed(column: Ints, row: Ints) -> Ints:
    return row << 32 | column


# ---- which rows -------------------------------------------------------------------------------------------------------


def _selected(before: Known, after: JurisdictionMap, changes: _Changes) -> tuple[Ints, JurisdictionMap]:
    """The rows in changed cells and those told apart by more than their surroundings; and `after`, indexed for them alone."""
    history = before.history
    near = _filed(before, changes.found)
    extra = np.unique(np.concatenate([_reordered(before, after), _resharing(before, after, changes)]))
    rows = np.union1d(near, extra) if len(extra) else near
    if not len(rows):
        return rows, after
    pair, step = _pair_and_step(history, changes, rows)
    keep = np.isin(rows, extra)
    mine: list[tuple[_Change, NDArray[np.bool_], Ints]] = []
    for change in changes.found:
        here = np.flatnonzero((pair == changes.pairs.index(change.pair)) & (step == change.step))
        column, row = change.roots.cell(history.x[rows[here]], history.y[rows[here]])
        inside = (column >= 0) & (row >= 0) & (column < change.roots.columns) & (row < change.roots.rows)
        keep[here[np.isin(_packed(column, row), change.cells)]] = True
        mine.append((change, keep[here] & inside, row * change.roots.columns + column))
    cells: dict[tuple[int, int], list[Ints]] = {}
    for change, wanted, cell in mine:
        cells.setdefault((change.pair[1], change.step), []).append(cell[wanted])
    grids = {(c.pair[1], c.step): c.roots for c in changes.found}
    return rows[keep], _patched(after, {key: built(grids[key], np.unique(np.concatenate(c))) for key, c in cells.items()})


def _patched(on: JurisdictionMap, cells: dict[tuple[int, int], Any]) -> JurisdictionMap:
    """The map with these indexes, by (plate, step), in place of its own."""
    of: dict[int, dict[int, Any]] = {}
    for (plate, step), index in cells.items():
        of.setdefault(plate, {})[step] = index
    return replace(on, plates=tuple(replace(p, _cells=of[k]) if k in of else p for k, p in enumerate(on.plates)))


def _pair_and_step(history: History, changes: _Changes, rows: Ints) -> tuple[Ints, Ints]:
    """For each row the number of its pair of plates, and of the index that sees as far as its error."""
    pair = np.full(len(rows), changes.pair_of[0])
    if history.at is not None and len(history.at) > 1:
        pair = changes.pair_of[np.searchsorted(changes.cut, history.at[rows], "right")]
    error = history.error_m if len(history.error_m) == 1 else history.error_m[rows]
    reach = np.sqrt(error**2 + changes.worst2)
    step = np.ceil(np.log2(np.maximum(reach, CAP_M) / CAP_M)).astype(np.int64)
    return pair, np.broadcast_to(np.maximum(step, changes.first_step), len(rows))


def _drawers(column: Floats, row: Floats) -> Ints:
    """The squares of DRAWER_M that rows are filed in, row << 32 | column; -1 for no place or one off the earth."""
    good = (np.abs(column) < 2**20) & (np.abs(row) < 2**20)
    shift = 1 << 20
    c, r = (np.where(good, v, 0.0).astype(np.int64) + shift for v in (column, row))
    return np.where(good, r << 32 | c, -1)


def _filed(before: Known, changes: Iterable[_Change]) -> Ints:
    """The rows in the squares that changed cells meet: all of theirs, and some more."""
    drawers = []
    for change in changes:
        size, (ox, oy) = change.roots.size, change.roots.origin
        column, row = change.cells & 0xFFFFFFFF, change.cells >> 32
        side = DRAWER_M * 1000.0
        wide = int(size / side) + 2
        low = [np.floor((v * size + o - 1.0) / side) for v, o in ((column, ox), (row, oy))]
        c, r = (v[:, None, None] + np.arange(wide + 1).reshape(s) for v, s in zip(low, ((1, 1, -1), (1, -1, 1)), strict=True))
        drawers.append(_drawers(*(v.ravel() for v in np.broadcast_arrays(c, r))))
    wanted = np.unique(np.concatenate(drawers)) if drawers else np.empty(0, np.int64)
    at = np.flatnonzero(np.isin(before.drawer, wanted) & (before.drawer >= 0))
    parts = [before.row[before.start[k] : before.start[k + 1]] for k in at.tolist()]
    return np.sort(np.concatenate(parts)) if parts else np.empty(0, np.int64)


def _reordered(before: Known, after: JurisdictionMap) -> Ints:
    """Rows of cases for which a superior's orders differ."""
    case = before.history.case
    one, two = ({i: {said(o) for o in orders} for i, orders in on.case_orders.items()} for on in (before.on, after))
    other = {i for i in one.keys() | two.keys() if one.get(i) != two.get(i)}
    if case is None or not other:
        return np.empty(0, np.int64)
    if len(case) == 1:
        return np.arange(len(before.history)) if case[0] in other else np.empty(0, np.int64)
    return np.array([i for i, c in enumerate(case.tolist()) if c in other], np.int64)


def _resharing(before: Known, after: JurisdictionMap, changes: _Changes) -> Ints:
    """Disputed rows near a face that was redrawn anywhere: an area is summed over all of a face's corners."""
    rows, history = before.shared, before.history
    if not len(rows):
        return rows
    error = np.sqrt((history.error_m if len(history.error_m) == 1 else history.error_m[rows]) ** 2 + changes.worst2) + 1.0
    x, y = history.x[rows], history.y[rows]
    near = np.zeros(len(rows), bool)
    for pair in changes.pairs:
        for low_x, low_y, high_x, high_y in _redrawn(before.on, after, pair):
            near |= (x >= low_x - error) & (x <= high_x + error) & (y >= low_y - error) & (y <= high_y + error)
    return rows[near]


def _redrawn(before: JurisdictionMap, after: JurisdictionMap, pair: tuple[int, int]) -> list[list[float]]:
    """Boxes (metres) of the faces that only one of the two plates has."""
    names: dict[Any, int] = {}
    boxes: list[dict[Any, list[float]]] = []
    for on, k in ((before, pair[0]), (after, pair[1])):
        faces = on.plates[k].faces
        name = class_names(on, on.plates[k], names)[faces.label]
        found: dict[Any, list[float]] = {}
        for f in range(faces.n_face):
            at = faces.ring_at[faces.face_at[f] : faces.face_at[f + 1] + 1].tolist()
            rings = [faces.xy[faces.ring[s:t]] for s, t in pairwise(at)]
            low, high = rings[0].min(0) / 1000.0, rings[0].max(0) / 1000.0
            found[(int(name[f]), *(ring.tobytes() for ring in rings))] = [*low.tolist(), *high.tolist()]
        boxes.append(found)
    old, new = boxes
    return [box for of, other in ((old, new), (new, old)) for key, box in of.items() if key not in other]
