"""Border practice held against what happened: learned from the first part of the cases, judged on the rest.

The references stay what they were when the second part began, so the figures are what a bureau would have got that evening.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from geodata.practice import Evidence, counted, day_of, learn, split_day
from geodata.practice_places import Found, Place, find

SURE = 0.8
"""A hint of this confidence is sure."""


@dataclass(frozen=True, slots=True)
class Later:
    """What happened at a proposed place afterwards: incidents on the holder's ground which the agreement would have got right
    and the line wrong, and the other way round."""

    place: Place
    better: int
    worse: int


@dataclass(frozen=True, slots=True)
class Trial:
    """Cases within 30 m of a line: `learned` before the day `split`, `n` judged from it on.

    `by_line`: containing squad right, `by_hint`: the first candidate; `on_line_*`: those within 10 m. `sure`: hints of
    confidence 0.8 and more. `with_cases`: hints with an earlier case.
    """

    split: str
    learned: int
    n: int
    by_line: int
    by_hint: int
    on_line_n: int
    on_line_by_line: int
    on_line_by_hint: int
    sure: int
    sure_right: int
    with_cases: int
    found: Found
    later: tuple[Later, ...]


def trial(of: Evidence, split: int | None = None) -> Trial | None:
    """Learn from the cases before the day `split` (default: the first part), judge on the rest. None where either is empty.

    Every record is judged, as each would have had its hint; but several of one incident taught only once.
    """
    split = split_day(of) if split is None else split
    late = of.outcomes.day >= split
    if late.all() or not late.any():
        return None
    near = of.near.only(late)
    told = counted(learn(of, split), near, of.outcomes.x, of.outcomes.y, np.full(len(near), split))
    recorded = of.outcomes.squad[near.row]
    by_line, by_hint = (near.first == recorded) & near.inside, told.top == recorded
    on_line, sure = near.line_m <= 10.0, told.confidence >= SURE
    found = find(of, before=split)
    return Trial(
        split=day_of(split).isoformat(),
        learned=int((~late).sum()),
        n=len(near),
        by_line=int(by_line.sum()),
        by_hint=int(by_hint.sum()),
        on_line_n=int(on_line.sum()),
        on_line_by_line=int((by_line & on_line).sum()),
        on_line_by_hint=int((by_hint & on_line).sum()),
        sure=int(sure.sum()),
        sure_right=int((by_hint & sure).sum()),
        with_cases=int((told.counted > 0).sum()),
        found=found,
        later=tuple(_later(of, place, split) for place in found.proposals),
    )


def _later(of: Evidence, place: Place, split: int) -> Later:
    """Incidents (day, squad) in the ground of the agreement, on the holder's side of the line, from the day `split` on."""
    number = of.on.squad_number
    mine = (of.outcomes.day >= split) & of.near.inside & (of.near.first == number[place.holder])
    mine &= shapely.intersects_xy(place.ground, of.outcomes.x, of.outcomes.y)
    incidents = np.unique(np.stack([of.outcomes.day[mine], of.outcomes.squad[mine]], 1), axis=0)[:, 1]
    return Later(
        place, int((incidents == number[place.practised]).sum()), int((incidents == number[place.holder]).sum())
    )
