"""The facts at a place, for a category, at an instant. Geometry ends here: the ladder looks at nothing else.

Equal situations get equal decisions. Every tuple is sorted once, when it is made, so that neither a hash seed nor the order of
features can choose a squad.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from routing.model import (
    Agreement,
    Claim,
    Cycle,
    Designation,
    DirectCategory,
    Nearest,
    NotServed,
    Squad,
    SquadCode,
    SquadKind,
    Territory,
    Township,
)

G = TypeVar("G", Territory, Nearest)
C = TypeVar("C", bound=Claim)


@dataclass(frozen=True, slots=True)
class Roster:
    """The squads of a map and the one on duty."""

    squads: tuple[Squad, ...]
    duty: SquadCode

    def is_external(self, code: SquadCode) -> bool:
        """Does the code name an outside unit, which takes referrals but cannot hold a case?"""
        return any(s.code == code and s.kind is SquadKind.EXTERNAL for s in self.squads)


@dataclass(frozen=True, slots=True)
class Situation:
    """What the rules may look at. All claims are in force and meant for the category; sorted by id.

    `grounds` cover the place; on a line they are those of every side, since edges count as inside. `on_line`: the squads
    are not the same on every side, so it is a line between squads. `near` are the territories of
    other squads within reach, `possible` the gap pieces of other squads within the location error. `shares` are the squads'
    parts of the error disc, where they were asked for. `turns` says whose turn it is in each alternating agreement.
    """

    orders: tuple[Designation, ...] = ()
    direct: tuple[DirectCategory, ...] = ()
    designations: tuple[Designation, ...] = ()
    not_served: tuple[NotServed, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    grounds: tuple[Territory, ...] = ()
    townships: tuple[Township, ...] = ()
    nearest: tuple[Nearest, ...] = ()
    near: tuple[Territory, ...] = ()
    possible: tuple[Nearest, ...] = ()
    on_line: bool = False
    found_by: SquadCode | None = None
    turns: tuple[tuple[str, SquadCode], ...] = ()
    shares: tuple[tuple[SquadCode, float], ...] = ()

    @property
    def claimants(self) -> tuple[SquadCode, ...]:
        """Squads whose own ground covers the place, in the published order."""
        return tuple(dict.fromkeys(g.squad for g in in_order(self.grounds)))

    @property
    def within(self) -> tuple[SquadCode, ...]:
        """Squads whose own ground is within reach of the place, the claimants among them, by code."""
        return tuple(sorted({g.squad for g in self.grounds + self.near}))


def in_order(grounds: Iterable[G]) -> list[G]:
    """The published order: priority, then the lowest squad code."""
    return sorted(grounds, key=lambda g: (g.priority, g.squad, g.id))


def by_id(claims: Iterable[C]) -> tuple[C, ...]:
    """Each claim once, sorted by id."""
    return tuple(sorted(set(claims), key=lambda c: c.id))


def whose_turn(agreement: Agreement, moment: datetime) -> SquadCode:
    """The party that leads at `moment`: `lead` starts with the week or month of `since`, in the time zone of `since`.

    An agreement without a start counts from the week or month of 2000-01-03, a Monday, in the moment's own zone.
    """
    start = agreement.period.since or datetime(2000, 1, 3, tzinfo=moment.tzinfo)
    local = moment.astimezone(start.tzinfo)
    if agreement.cycle is Cycle.MONTH:
        turn = (local.year - start.year) * 12 + local.month - start.month
    else:
        first = start.date() - timedelta(days=start.weekday())
        turn = (local.date() - first).days // 7
    first_squad, second_squad = agreement.parties
    if agreement.lead == second_squad:
        first_squad, second_squad = second_squad, first_squad
    return first_squad if turn % 2 == 0 else second_squad
