"""Which side owns this crossing or block: places on a line where the records speak against it, by an exact test.

Cases within 5 m of the line of two squads are gathered into places (complete linkage of their foot points: no two are farther
apart than 25 m). At a place, of the incidents on Y's ground that X or Y handled, n, some went across the line, to X. If
practice follows no rule there each is a coin, and so the test is that of a fair coin, one-sided, exact. Incidents on X's
own ground are no evidence: the line and an agreement for X say the same of them. Those on the line itself (a millimetre wide, as
in routing) are on the ground of both, and speak for either: the published order, which leads there, is a default, no ground.

A place is proposed when n >= 5, at least 0.6 went to X, more than half of the later half too, and the Benjamini-Hochberg
q over all places tested is at most 0.10 (Benjamini and Hochberg 1995); and when an agreement would change the lead of one of
its incidents at all. It becomes an agreement when planners sign it; nothing
here applies anything. Only places are ever proposed, never a whole border.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geodata.compile import Ground
from geodata.practice import VOTE_M, Evidence, day_of
from geodata.practice_borders import Feet, band, feet, stretch_at
from routing.ground.cells import Floats
from routing.ground.noding import Ints
from routing.model import Agreement, AgreementRule, ClaimId, SquadCode

ON_LINE_M = 5.0
"""Cases this near to the line speak about it."""

PLACE_M = 25.0
"""No two foot points of one place are farther apart."""

LEAST, SHARE, RATE = 5, 0.6, 0.10
"""Of a proposal: incidents, share of the other squad, rate of false ones among those proposed."""

WATCH_LEAST, WATCH_SHARE, WATCH_SURE = 3, 0.7, 0.90
"""Of the watch list: incidents, share, posterior probability that more than half go to the other squad."""

PRIOR_CASES = 2.0
"""The city's own rate weighs as much as a uniform prior would, two cases."""


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """Places on lines, each asked from one side: do the cases on Y's ground go to X?

    Question k: cases `case[at[k]:at[k + 1]]` (numbers into the evidence) on the ground of squad `holder[k]`, across from squad
    `other[k]`, at the place `place[k]`. `foot[place]`: foot points of the place, (n, 2) metres.
    """

    at: Ints
    case: Ints
    holder: Ints
    other: Ints
    place: Ints
    foot: tuple[Floats, ...]

    def __len__(self) -> int:
        return len(self.holder)


@dataclass(frozen=True, slots=True, eq=False)
class Tallies:
    """The incidents of each question: `n` that either squad handled, `over` of them by the other, in both halves by time.

    `changes`: some of those that went over are led by the holder on the map.
    """

    n: Ints
    over: Ints
    first_n: Ints
    first_over: Ints
    since: Ints
    until: Ints
    changes: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Place:
    """Where practice and line part: incidents on `holder`'s ground, `n`, of which `over` went to `practised`.

    `halves`: (went over, of) in the earlier and the later half. `point`, `stretch` (of the line) and `ground` in metres.
    """

    holder: SquadCode
    practised: SquadCode
    n: int
    over: int
    halves: tuple[tuple[int, int], tuple[int, int]]
    since: date
    until: date
    p: float
    q: float | None
    """None where the place had too few incidents to be tested."""
    sure: float
    """Posterior probability that more than half go over, with the city's own rate as prior."""
    point: Any
    stretch: Any
    ground: Any

    @property
    def share(self) -> float:
        return self.over / self.n

    def becomes(self) -> Ground:
        """The agreement it would be: the stretch whole to the squad that handles it. Its document is the planners' to fill in."""
        first, second = sorted((self.holder, self.practised))
        seal = hashlib.sha256(shapely.to_wkb(self.ground, byte_order=1)).hexdigest()[:8]
        claim = Agreement(
            id=ClaimId(f"agreement:practice:{first}+{second}:{seal}"),
            parties=(first, second),
            rule=AgreementRule.WHOLE,
            lead=self.practised,
        )
        return Ground(claim, self.ground)


@dataclass(frozen=True, slots=True)
class Found:
    """What practice says of the lines: `tested` questions had enough incidents for a test, `watchable` for the watch list.

    `contradicted`: places where each squad handles the other's cases, so neither is proposed. `watch_by_chance`: how many
    a fair coin would put on the watch list. `rate`: how often, on the line, cases go across it.
    """

    proposals: tuple[Place, ...]
    watch: tuple[Place, ...]
    tested: int
    watchable: int
    contradicted: int
    watch_by_chance: float
    rate: float


def find(of: Evidence, *, before: int | None = None) -> Found:
    """Proposals and watch list from the evidence, or from the part of it before a day."""
    questions = ask(of, before=before)
    return answer(of, questions, of.outcomes.squad)


# --- places -----------------------------------------------------------------------------------------------------------


def ask(of: Evidence, *, before: int | None = None) -> Questions:
    """The places on the lines, from both sides. They depend on where and when cases were, not on who handled them."""
    standing = feet(of.borders, of.near, of.outcomes.x, of.outcomes.y, ON_LINE_M)
    if before is not None:
        early = of.outcomes.day[standing.case] < before
        standing = Feet(standing.case[early], standing.xy[early])
    pair = of.near.pair[standing.case]
    place = np.empty(len(pair), np.int64)
    count = 0
    for one in np.unique(pair).tolist():
        mine = np.flatnonzero(pair == one)
        number = clusters(standing.xy[mine], PLACE_M)
        place[mine] = number + count
        count += int(number.max()) + 1
    return _questions(of, standing, place, count)


def _questions(of: Evidence, standing: Feet, place: Ints, count: int) -> Questions:
    holder = of.near.first[standing.case]
    other = of.near.squad[of.near.at[standing.case] + 1]
    both = of.near.on_line[standing.case]  # asked from either side
    case, place = np.append(standing.case, standing.case[both]), np.append(place, place[both])
    holder, other = np.append(holder, other[both]), np.append(other, holder[both])
    xy = np.concatenate([standing.xy, standing.xy[both]])
    order = np.lexsort((case, holder, place))
    case, place, holder, other, xy = case[order], place[order], holder[order], other[order], xy[order]
    fresh = np.ones(len(case), bool)
    fresh[1:] = (place[1:] != place[:-1]) | (holder[1:] != holder[:-1])
    start = np.flatnonzero(fresh)
    at = np.append(start, len(case))
    bounds = np.searchsorted(place, np.arange(count + 1))
    foot = tuple(np.unique(xy[s:t], axis=0) for s, t in pairwise(bounds.tolist()))
    return Questions(at, case, holder[start], other[start], place[start], foot)


def clusters(xy: Floats, across_m: float) -> Ints:
    """A number for each place, (n, 2) metres: complete linkage, so no two places of one cluster are farther apart.

    Equal places are one, and are taken by x, then y: neither repetition nor order matters. Chains with steps of at most the
    limit are linked one by one, as no cluster reaches beyond its chain.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    spot, number = np.unique(xy, axis=0, return_inverse=True)
    near = cKDTree(spot).query_pairs(across_m, output_type="ndarray")
    graph = coo_array((np.ones(len(near)), (near[:, 0], near[:, 1])), (len(spot), len(spot)))
    chains, chain = connected_components(graph, directed=False)
    label = np.zeros(len(spot), np.int64)
    count = 0
    order = np.argsort(chain, kind="stable")
    for mine in np.split(order, np.searchsorted(chain[order], np.arange(1, chains))):
        found = fcluster(linkage(spot[mine], "complete"), across_m, "distance") if len(mine) > 1 else np.ones(1, np.int64)
        label[mine] = found - 1 + count
        count += int(found.max())
    return label[number.reshape(-1)]


# --- the test ---------------------------------------------------------------------------------------------------------


def answer(of: Evidence, questions: Questions, squad: Ints) -> Found:
    """Proposals and watch list, if `squad[case]` handled each case."""
    from scipy.stats import binom

    tally = tallies(of, questions, squad)
    p = np.asarray(binom.sf(tally.over - 1, tally.n, 0.5), float)
    tested = tally.n >= LEAST
    q = np.full(len(p), np.nan)
    q[tested] = benjamini_hochberg(p[tested])
    share = tally.over / np.maximum(tally.n, 1)
    later = 2 * (tally.over - tally.first_over) > tally.n - tally.first_n
    passed = tested & (share >= SHARE) & later & (np.nan_to_num(q, nan=1.0) <= RATE) & tally.changes
    times = np.bincount(questions.place[passed], minlength=len(questions.foot))
    contradicted = passed & (times[questions.place] > 1)
    rate = (tally.over.sum() + 1) / (tally.n.sum() + 2)
    sure = posterior(tally.n, tally.over, rate)
    listed = watchable(tally.n, tally.over, rate) & ~passed & tally.changes
    proposed = passed & ~contradicted

    def places(chosen: Any) -> Iterable[Place]:
        for k in np.flatnonzero(chosen).tolist():
            yield _place(of, questions, tally, k, (float(p[k]), float(q[k]), float(sure[k])))

    return Found(
        tuple(sorted(places(proposed), key=_by_strength)),
        tuple(sorted(places(listed), key=_by_strength)),
        int(tested.sum()),
        int((tally.n >= WATCH_LEAST).sum()),
        int((times > 1).sum()),
        sum(_coin(n, rate) * times for n, times in zip(*_counts(tally.n[~passed]), strict=True)),
        float(rate),
    )


def _by_strength(place: Place) -> tuple[float, int, str, str, float, float]:
    return place.p, -place.n, place.holder, place.practised, place.point.x, place.point.y


def tallies(of: Evidence, questions: Questions, squad: Ints) -> Tallies:
    """One vote per place, day and squad. Of the votes of one day those for the holder come last, against the proposal."""
    question = np.repeat(np.arange(len(questions)), np.diff(questions.at))
    who = squad[questions.case]
    over = who == questions.other[question]
    led = over & (of.near.first[questions.case] == questions.holder[question])
    speaks = over | (who == questions.holder[question])
    vote = np.stack([question, of.outcomes.day[questions.case], ~over], 1)[speaks]
    vote = np.unique(vote, axis=0)
    question, day, went = vote[:, 0], vote[:, 1], vote[:, 2] == 0
    bounds = np.searchsorted(question, np.arange(len(questions) + 1))
    n = np.diff(bounds)
    early = np.arange(len(vote)) - bounds[question] < n[question] // 2
    size = len(questions)
    ends = np.clip(bounds, 0, max(len(vote) - 1, 0))
    days = np.append(day, 0)
    return Tallies(
        n,
        np.bincount(question, went, size).astype(np.int64),
        n // 2,
        np.bincount(question, went & early, size).astype(np.int64),
        days[ends[:-1]],
        days[np.maximum(bounds[1:] - 1, 0)],
        np.bincount(np.repeat(np.arange(size), np.diff(questions.at)), led, size) > 0,
    )


def benjamini_hochberg(p: Floats) -> Floats:
    """The least false discovery rate at which each would be found: min over j >= i of m p_(j) / j, at most 1."""
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q


def posterior(n: Any, over: Any, rate: float) -> Any:
    """P(more than half go over), Beta prior of the city's rate."""
    from scipy.stats import beta

    return beta.sf(0.5, over + PRIOR_CASES * rate, n - over + PRIOR_CASES * (1.0 - rate))


def watchable(n: Any, over: Any, rate: float) -> Any:
    """Are these counts enough for the watch list?"""
    return (n >= WATCH_LEAST) & (over >= WATCH_SHARE * n - 1e-9) & (posterior(n, over, rate) >= WATCH_SURE)


def _counts(n: Ints) -> tuple[list[int], list[int]]:
    value, times = np.unique(n, return_counts=True)
    return value.tolist(), times.tolist()


def _coin(n: int, rate: float) -> float:
    """How likely a fair coin is to be put on the watch list by n tosses."""
    from scipy.stats import binom

    over = np.arange(n + 1)
    return float(binom.pmf(over, n, 0.5)[watchable(n, over, rate)].sum()) if n >= WATCH_LEAST else 0.0


def _place(of: Evidence, questions: Questions, tally: Tallies, k: int, tests: tuple[float, float, float]) -> Place:
    squads, foot = of.on.roster.squads, questions.foot[questions.place[k]]
    pair = int(of.borders.pair(questions.holder[k], questions.other[k]))
    stretch = stretch_at(of.borders, pair, foot, VOTE_M)
    middle = shapely.Point(foot.mean(axis=0))
    n, over, first_n, first_over = (int(a[k]) for a in (tally.n, tally.over, tally.first_n, tally.first_over))
    p, q, sure = tests
    return Place(
        holder=squads[questions.holder[k]].code,
        practised=squads[questions.other[k]].code,
        n=n,
        over=over,
        halves=((first_over, first_n), (over - first_over, n - first_n)),
        since=day_of(int(tally.since[k])),
        until=day_of(int(tally.until[k])),
        p=p,
        q=None if np.isnan(q) else q,
        sure=sure,
        point=shapely.get_point(shapely.shortest_line(stretch, middle), 0),
        stretch=stretch,
        ground=band(of.borders, pair, stretch, ON_LINE_M),
    )
