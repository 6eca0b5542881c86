"""Border practice: what earlier cases say about who handles a case near a line. It orders the assistants, and changes nothing.

Where people recorded the district, the containing squad is a coin toss on the line and nearly always right beyond 30 m. What
helps is to count the earlier cases close by: those within 10 m whose own two nearest squads are the same two, one vote for each
incident (place, day and squad). A candidate's share is (n_X + K prior_X) / (n + K): the mean of a Beta posterior. The prior is
how often the containing squad had handled it, by distance to the line, but never below one half, so that the neighbour does not
lead without a single case. Radius, K and bands come from a study of five cities and are not to be tuned to one.

Earlier means on an earlier local day: several records of one incident are of one day, and none may vote for another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from geodata.practice_borders import REACH_M, Borders, Near, borders_of, interval_at, near_lines, own_period
from routing.errors import JieguanError, Lang
from routing.ground.cells import Floats, Small
from routing.ground.noding import MM, Ints
from routing.jurisdiction import JurisdictionMap, micros
from routing.model import Decision, Period, SquadCode, Step
from routing.route import Complaints, route

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

VOTE_M = 10.0
"""Earlier cases this near to a case vote."""

K = 1.0
"""The prior weighs as much as this many cases: one earlier case decides a coin toss."""

BANDS_M = (0.0, 2.0, 5.0, 10.0, 20.0, REACH_M)
"""Distances from the line between which the prior is learned."""

FIRST_PART = 0.6
"""The prior is learned from this part of the cases, by date, and judged on the rest."""

OF_THE_LINE = (Step.OWN_GROUND, Step.BORDER, Step.DISPUTED, Step.NEAREST, Step.ON_DUTY)
"""Steps that follow the lines. Who handled a case by an order, an agreement or a direct category says nothing of a line."""

EPOCH = date(1970, 1, 1)
NEVER = -1


class CaseBeforePractice(JieguanError):
    zh = "{count} 件案件早于 {since}:先验取自该日之前的案件,不能再用来提示它们自己。请只对该日及以后的案件取提示。"
    en = (
        "{count} cases are from before {since}, the days from which the prior was learned, and may not be hinted by their own "
        "future. Ask for hints of cases from that day on."
    )


@dataclass(frozen=True)
class Outcomes:
    """n handled cases. `x`, `y`: metres, NaN unknown. `at`: microseconds since 1970 UTC. `squad`: who finally handled it, a
    number into the roster, -1 unknown. `group`: category groups of the map. Days are days of `zone`.
    """

    x: Floats
    y: Floats
    at: Ints
    squad: Ints
    zone: ZoneInfo
    group: Small | None = None

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def day(self) -> Ints:
        """The local day of each case, days since 1970."""
        return local_days(self.at, self.zone)

    def only(self, rows: NDArray[np.bool_] | Ints) -> Outcomes:
        """Some of the rows."""
        group = None if self.group is None else self.group[rows]
        return Outcomes(self.x[rows], self.y[rows], self.at[rows], self.squad[rows], self.zone, group)


def local_days(at: Ints, zone: ZoneInfo) -> Ints:
    """Days since 1970 on the calendar of a zone."""
    import pandas as pd

    utc = pd.DatetimeIndex(np.asarray(at, np.int64).astype("datetime64[us]")).tz_localize("UTC")
    local = utc.tz_convert(zone).tz_localize(None).to_numpy()
    days: Ints = local.astype("datetime64[D]").astype(np.int64)
    return days


def day_of(number: int) -> date:
    """The day of a number of days since 1970."""
    return EPOCH + timedelta(days=number)


# --- which cases count ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Evidence:
    """The outcomes that say something about the lines of one plate, how near they lie, and why the others do not count.

    `near.row` are numbers into `outcomes`, which holds the cases near a line and no others. `left_out`: reason -> rows.
    """

    borders: Borders
    period: Period
    outcomes: Outcomes
    near: Near
    left_out: Mapping[str, int]

    @property
    def on(self) -> JurisdictionMap:
        return self.borders.on

    @cached_property
    def incidents(self) -> Ints:
        """One case of each incident: spot (to the millimetre), day and squad."""
        cases = self.outcomes
        spot = np.round(np.stack([cases.x, cases.y], 1) * MM).astype(np.int64)
        _, first = np.unique(np.column_stack([spot, cases.day, cases.squad]), axis=0, return_index=True)
        return first.astype(np.int64)


def evidence(on: JurisdictionMap, outcomes: Outcomes, *, as_of: datetime | None = None, since: datetime | None = None) -> Evidence:
    """Keep the rows with a place and a known squad, of the map's own period, near a line, that the line itself decided.

    `as_of` names the map in force (needed where it changes with time), `since` the start of its lines where the map does not
    say. Raises InstantNeeded.
    """
    interval = interval_at(on, as_of)
    period = _since(own_period(on, interval), since)
    borders = borders_of(on, interval)
    located = np.isfinite(outcomes.x) & np.isfinite(outcomes.y)
    known = outcomes.squad >= 0
    held = _held(period, outcomes.at)
    left_out = {"no_place": int((~located).sum()), "unknown_squad": int((located & ~known).sum())}
    left_out["other_period"] = int((located & known & ~held).sum())
    usable = outcomes.only(located & known & held)
    near = near_lines(borders, usable.x, usable.y)
    left_out["far"] = len(usable) - len(near)
    usable = usable.only(near.row)
    settled = _settled(on, usable, as_of)
    left_out["settled"] = int(settled.sum())
    near = _renumbered(near.only(~settled))
    return Evidence(borders, period, usable.only(~settled), near, left_out)


def _since(period: Period, since: datetime | None) -> Period:
    if since is None or (period.since is not None and period.since >= since):
        return period
    return Period(since, period.until)


def _held(period: Period, at: Ints) -> NDArray[np.bool_]:
    held = np.ones(len(at), bool)
    if period.since is not None:
        held &= at >= micros(period.since)
    if period.until is not None:
        held &= at < micros(period.until)
    return held


def _settled(on: JurisdictionMap, cases: Outcomes, as_of: datetime | None) -> NDArray[np.bool_]:
    """Cases that something else than a line decides, then or as of now: what is settled is not proposed again."""
    by_line = [list(Step).index(step) for step in OF_THE_LINE]
    none = np.zeros(1)
    then = route(on, Complaints(cases.x, cases.y, none, cases.at, cases.group))
    today = None if as_of is None else np.array([micros(as_of)], np.int64)
    now = route(on, Complaints(cases.x, cases.y, none, today, cases.group)) if len(on.intervals) > 1 else then
    return ~(np.isin(then.step, by_line) & np.isin(now.step, by_line))


def _renumbered(near: Near) -> Near:
    return Near(np.arange(len(near)), near.line_m, near.inside, near.at, near.squad, near.distance_m, near.pair)


def split_day(of: Evidence, share: float = FIRST_PART) -> int:
    """The day on which the second part begins: that of the incident after the first `share` of all, by date."""
    days = np.sort(of.outcomes.day[of.incidents])
    return int(days[min(int(len(days) * share), len(days) - 1)]) if len(days) else 0


# --- what was learned -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Band:
    """Incidents by distance to the line: how many there were, and how many the containing squad had handled."""

    from_m: float
    to_m: float
    cases: int
    agreed: int

    @property
    def prior(self) -> float:
        """The agreement rate, one half at least: also where nothing is known."""
        return max(self.agreed / self.cases, 0.5) if self.cases else 0.5


@dataclass(frozen=True, eq=False)
class Practice:
    """Earlier cases, ready to be counted. `bands` were learned before the day `split`; every case may vote for a later one."""

    of: Evidence
    split: int
    bands: tuple[Band, ...]
    places: _Places

    @property
    def on(self) -> JurisdictionMap:
        return self.of.on


def learn(of: Evidence, split: int | None = None) -> Practice:
    """The prior from the cases before the day `split` (default: the first part), and all cases as references."""
    first = split_day(of) if split is None else split
    return Practice(of, first, _bands(of, first), _places(of))


def _bands(of: Evidence, split: int) -> tuple[Band, ...]:
    mine = of.incidents[(of.outcomes.day < split)[of.incidents] & of.near.inside[of.incidents]]
    agreed = (of.outcomes.squad == of.near.first)[mine]
    band = band_of(of.near.line_m[mine])
    return tuple(
        Band(BANDS_M[b], BANDS_M[b + 1], int((band == b).sum()), int((agreed & (band == b)).sum()))
        for b in range(len(BANDS_M) - 1)
    )


def band_of(line_m: Floats) -> Ints:
    """The band of each distance; a limit belongs to the farther band, the last one to the last."""
    return np.minimum(np.searchsorted(BANDS_M, line_m, "right") - 1, len(BANDS_M) - 2).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Distinct places of earlier cases between two squads, and the incidents at each.

    Incidents `at[p]:at[p + 1]` of place p: the squad that handled it and the day, once each.
    """

    tree: cKDTree
    pair: Ints
    at: Ints
    squad: Ints
    day: Ints


def _places(of: Evidence) -> _Places:
    from scipy.spatial import cKDTree

    two = of.near.pair >= 0
    xy = np.stack([of.outcomes.x[two], of.outcomes.y[two]], 1)
    spot, first, place = np.unique(xy, axis=0, return_index=True, return_inverse=True)
    incident = np.unique(np.stack([place.reshape(-1), of.outcomes.squad[two], of.outcomes.day[two]], 1), axis=0)
    at = np.searchsorted(incident[:, 0], np.arange(len(spot) + 1))
    return _Places(cKDTree(spot.reshape(-1, 2)), of.near.pair[two][first], at, incident[:, 1], incident[:, 2])


# --- hints ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Candidate:
    """A squad that may be responsible: earlier cases it handled here, the last of them, its share, how far its ground is."""

    squad: SquadCode
    cases: int
    last: date | None
    share: float
    distance_m: float


@dataclass(frozen=True, slots=True)
class Hint:
    """What earlier cases say of one case: candidates, the likeliest first. Shares add up to 1 where there are two or more."""

    candidates: tuple[Candidate, ...]
    line_m: float

    @property
    def cases(self) -> int:
        """Earlier cases counted."""
        return sum(c.cases for c in self.candidates)

    @property
    def confidence(self) -> float:
        """The posterior share of the first candidate."""
        return self.candidates[0].share

    def text(self, lang: Lang) -> str:
        """In counts, never in percent."""
        first, *others = self.candidates
        names = {"first": first.squad, "others": (", " if lang == "en" else "、").join(c.squad for c in others)}
        if not others:
            return SENTENCES["alone"][lang].format(**names)
        if not self.cases:
            key = "on_line" if self.line_m < BANDS_M[1] else "no_case"
            return SENTENCES[key][lang].format(**names, metres=f"{self.line_m:.0f}")
        counted = {"cases": first.cases, "of": self.cases, "last": first.last}
        return SENTENCES["counted" if first.cases else "none_went"][lang].format(**names, **counted)


SENTENCES: Mapping[str, Mapping[Lang, str]] = {
    "counted": {
        "zh-CN": "此处以往 {of} 件案件中有 {cases} 件由 {first} 办理,最近一件在 {last}。",
        "en": "At this place {cases} of {of} earlier cases went to {first}, the last on {last}.",
    },
    "none_went": {
        "zh-CN": "此处以往有 {of} 件案件,尚不足以改变地图的次序:{first} 在前,其次 {others}。",
        "en": "At this place there were {of} earlier cases, which do not outweigh the map: {first} first, then {others}.",
    },
    "on_line": {
        "zh-CN": "正在界线上,此处没有以往案件:{first}、{others} 都有可能。",
        "en": "On the line, and no earlier case at this place: both are possible, {first} and {others}.",
    },
    "no_case": {
        "zh-CN": "此处没有以往案件:地面属 {first},距界线 {metres} 米,另一侧为 {others}。",
        "en": "No earlier case at this place: the ground is that of {first}, {metres} m from the line; beyond it {others}.",
    },
    "alone": {
        "zh-CN": "{first} 是此处唯一的中队。",
        "en": "{first} is the only squad here.",
    },
}


@dataclass(frozen=True, slots=True, eq=False)
class Hints:
    """Hints as arrays. Case k is row `row[k]` of what was asked; its candidates are entries `at[k]:at[k + 1]`, likeliest first.

    `last` is a day since 1970, NEVER where a squad had no case.
    """

    on: JurisdictionMap
    row: Ints
    line_m: Floats
    at: Ints
    squad: Ints
    cases: Ints
    last: Ints
    share: Floats
    distance_m: Floats

    def __len__(self) -> int:
        return len(self.row)

    @property
    def top(self) -> Ints:
        """The likeliest squad of each case."""
        return self.squad[self.at[:-1]]

    @property
    def confidence(self) -> Floats:
        return self.share[self.at[:-1]]

    @property
    def counted(self) -> Ints:
        """Earlier cases of each case."""
        return np.add.reduceat(self.cases, self.at[:-1]) if len(self) else self.row

    def hint(self, k: int) -> Hint:
        """Case k as a value."""
        entries = range(self.at[k], self.at[k + 1])
        return Hint(tuple(self._candidate(i) for i in entries), float(self.line_m[k]))

    def _candidate(self, i: int) -> Candidate:
        last = None if self.last[i] == NEVER else day_of(int(self.last[i]))
        code = self.on.roster.squads[self.squad[i]].code
        return Candidate(code, int(self.cases[i]), last, float(self.share[i]), float(self.distance_m[i]))


def hints(practice: Practice, x: Floats, y: Floats, at: Ints, *, before: int | None = None) -> Hints:
    """A hint for each place within 30 m of a line; the others have none.

    `x`, `y` metres, `at` microseconds since 1970. References are of days before the case's, and before the day `before`.
    Raises CaseBeforePractice for cases of the days from which the prior was learned.
    """
    near = near_lines(practice.of.borders, x, y)
    day = local_days(at[near.row], practice.of.outcomes.zone)
    if (day < practice.split).any():
        raise CaseBeforePractice(count=int((day < practice.split).sum()), since=day_of(practice.split).isoformat())
    return counted(practice, near, x, y, day if before is None else np.minimum(day, before))


def counted(practice: Practice, near: Near, x: Floats, y: Floats, before: Ints) -> Hints:
    """The hints of cases whose way to the lines is known; references of days before `before` (one per case)."""
    case = np.repeat(np.arange(len(near)), np.diff(near.at))
    cases, last = _votes(practice, near, np.stack([x[near.row], y[near.row]], 1), case, before)
    total = np.bincount(case, cases, len(near))[case]
    rank = np.arange(len(case)) - near.at[case]
    first = np.array([b.prior for b in practice.bands])[band_of(near.line_m)][case]
    prior = np.select([rank == 0, rank == 1], [first, 1.0 - first], 0.0)
    share = (cases + K * prior) / (total + K)
    order = np.lexsort((rank, -np.round(share, 12), case))  # ties: the containing squad, then the nearer
    return Hints(
        practice.on, near.row, near.line_m, near.at, near.squad[order], cases[order], last[order], share[order],
        near.distance_m[order],
    )  # fmt: skip


def _votes(practice: Practice, near: Near, xy: Floats, case: Ints, before: Ints) -> tuple[Ints, Ints]:
    """For each candidate: the incidents it handled close by on earlier days, and the day of the last of them.

    Cases of one place are counted together: the incidents around it are put in order once, as numbers (place, squad, day), and
    each candidate's are those between two numbers.
    """
    places = practice.places
    two = np.flatnonzero(near.pair >= 0)
    spot, first, number = np.unique(xy[two], axis=0, return_index=True, return_inverse=True)
    place = np.full(len(near), NEVER, np.int64)
    place[two] = number.reshape(-1)
    squads = len(practice.on.roster.squads)
    days = int(places.day.max(initial=0)) + 2
    key = _around(places, spot.reshape(-1, 2), near.pair[two][first], squads, days)
    mine = (place[case] * squads + near.squad) * days
    low = np.searchsorted(key, mine)
    high = np.searchsorted(key, mine + np.clip(before, 0, days - 1)[case])
    cases = np.where(place[case] >= 0, high - low, 0)
    last = np.where(cases > 0, np.append(key, 0)[high - 1] % days, NEVER)
    return cases, last


def _around(places: _Places, spot: Floats, pair: Ints, squads: int, days: int) -> Ints:
    """(spot, squad, day) of the incidents around each spot on the same pair's line, as sorted numbers, each once."""
    from scipy.spatial import cKDTree

    if not len(spot) or not places.tree.n:
        return np.empty(0, np.int64)
    found = cKDTree(spot).sparse_distance_matrix(places.tree, VOTE_M, output_type="ndarray")
    i, j = found["i"].astype(np.int64), found["j"].astype(np.int64)
    same = pair[i] == places.pair[j]
    i, j = i[same], j[same]
    count = places.at[j + 1] - places.at[j]
    entry = np.repeat(places.at[j] - np.concatenate([[0], np.cumsum(count)[:-1]]), count) + np.arange(count.sum())
    return np.unique((np.repeat(i, count) * squads + places.squad[entry]) * days + places.day[entry])


def ordered_assist(decision: Decision, hint: Hint) -> tuple[SquadCode, ...]:
    """The decision's assistants, those the hint names first and in its order. Nobody is added, nobody dropped, the lead stays."""
    place = {c.squad: i for i, c in enumerate(hint.candidates)}
    return tuple(sorted(decision.assist, key=lambda squad: place.get(squad, len(place))))
