"""The ladder: eleven steps, tried in order; the first that decides gives the lead. It looks at facts, never at geometry.

    | step                  | decides when                                               | lead                        |
    | 1 case_order          | a superior designated a squad for this one case            | the designated squad        |
    | 2 designated_category | a designation covers the place and names the category      | the designated squad        |
    | 3 direct              | the category belongs to a direct squad or an external unit | that squad; duty, if external |
    | 4 designated          | a designation for all categories covers the place          | the designated squad        |
    | 5 not_served          | the place is explicitly somebody else's                    | the duty squad, as referral |
    | 6 agreed              | the neighbours have an agreement for the border zone here  | as agreed                   |
    | 7 own_ground          | one territory covers the place and no other is within reach | its squad                  |
    | 8 border              | one territory covers it, others are near, or it is on a line | its squad; on a line the published order |
    | 9 disputed            | several territories cover it                               | township, share, order      |
    | 10 nearest            | none covers it, but it is inside the extent                | the nearest territory       |
    | 11 on_duty            | nothing else                                               | the duty squad              |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from routing.model import Agreement, AgreementRule, Claim, Designation, Reason, SquadCode, Step, Verdict
from routing.situation import Roster, Situation, in_order

RULES_VERSION = "2026-12"
"""Changes whenever any golden row changes."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step found, and whom it chose; `lead` None means it does not decide."""

    found: tuple[Claim, ...] = ()
    chosen: Claim | None = None
    lead: SquadCode | None = None
    assist: tuple[SquadCode, ...] = ()
    unsure: bool = False


Rule = Callable[[Situation, Roster], Outcome]


def case_order(situation: Situation, roster: Roster) -> Outcome:
    """A superior has designated a squad for this one case."""
    return _ordered(situation.orders)


def designated_category(situation: Situation, roster: Roster) -> Outcome:
    """A standing designation covers the place and names the category."""
    return _ordered(d for d in situation.designations if d.categories)


def direct(situation: Situation, roster: Roster) -> Outcome:
    """The category belongs to a squad or unit without an area. The duty squad holds what an external unit must accept."""
    if not situation.direct:
        return Outcome()
    first = situation.direct[0]
    return Outcome(situation.direct, first, roster.duty if roster.is_external(first.squad) else first.squad)


def designated(situation: Situation, roster: Roster) -> Outcome:
    """A standing designation for all categories covers the place."""
    return _ordered(d for d in situation.designations if not d.categories)


def not_served(situation: Situation, roster: Roster) -> Outcome:
    """The place is explicitly somebody else's: a referral, which the duty squad holds until it is accepted."""
    if not situation.not_served:
        return Outcome()
    return Outcome(situation.not_served, situation.not_served[0], roster.duty)


def agreed(situation: Situation, roster: Roster) -> Outcome:
    """The neighbours have settled the border zone here. First finder falls through while nobody has found the case."""
    here = {g.squad for g in situation.grounds} or {n.squad for n in situation.nearest}
    found = sorted((a for a in situation.agreements if here & set(a.parties)), key=_seniority)
    for agreement in found:
        lead = _agreed_lead(agreement, situation)
        if lead is not None:
            other = tuple(p for p in agreement.parties if p != lead)
            return Outcome(tuple(found), agreement, lead, other)
    return Outcome(tuple(found))


def own_ground(situation: Situation, roster: Roster) -> Outcome:
    """One territory covers the place and no other is within reach."""
    if len(situation.claimants) != 1 or len(situation.within) > 1:
        return Outcome(situation.grounds)
    chosen = in_order(situation.grounds)[0]
    return Outcome(situation.grounds, chosen, chosen.squad)


def border(situation: Situation, roster: Roster) -> Outcome:
    """One territory covers the place and others are within reach; or it lies on the line, and the published order decides."""
    if not situation.claimants or (len(situation.claimants) > 1 and not situation.on_line):
        return Outcome(situation.grounds)
    chosen = in_order(situation.grounds)[0]
    found = situation.grounds + situation.near
    return Outcome(found, chosen, chosen.squad, _others(situation.within, chosen.squad), len(situation.claimants) > 1)


def disputed(situation: Situation, roster: Roster) -> Outcome:
    """Several territories cover the place: township, else share of the error disc, else priority, else lowest code."""
    if len(situation.claimants) < 2:
        return Outcome(situation.grounds)
    posted = {t.squad for t in situation.townships}
    share = dict(situation.shares)

    def order(squad: SquadCode) -> tuple[bool, float]:
        return squad not in posted, -share.get(squad, 0.0)

    lead = min(situation.claimants, key=order)  # claimants stand in the published order, and min keeps the first
    chosen = next(g for g in in_order(situation.grounds) if g.squad == lead)
    return Outcome(situation.grounds + situation.near, chosen, lead, _others(situation.within, lead), True)


def nearest(situation: Situation, roster: Roster) -> Outcome:
    """No territory covers the place, but it is inside the extent: the nearest one, ties by priority, then code."""
    if not situation.nearest:
        return Outcome()
    chosen = in_order(situation.nearest)[0]
    near = situation.within or tuple(sorted({n.squad for n in situation.nearest + situation.possible}))
    return Outcome(situation.nearest + situation.near, chosen, chosen.squad, _others(near, chosen.squad), True)


def on_duty(situation: Situation, roster: Roster) -> Outcome:
    """Nothing else: the duty squad, and neighbours within reach are told."""
    return Outcome(situation.near, None, roster.duty, _others(situation.within, roster.duty), True)


LADDER: tuple[tuple[Step, Rule], ...] = (
    (Step.CASE_ORDER, case_order),
    (Step.DESIGNATED_CATEGORY, designated_category),
    (Step.DIRECT, direct),
    (Step.DESIGNATED, designated),
    (Step.NOT_SERVED, not_served),
    (Step.AGREED, agreed),
    (Step.OWN_GROUND, own_ground),
    (Step.BORDER, border),
    (Step.DISPUTED, disputed),
    (Step.NEAREST, nearest),
    (Step.ON_DUTY, on_duty),
)


def decide(situation: Situation, roster: Roster) -> Verdict:
    """Exactly one squad for every situation: the duty squad stands at the ladder's foot."""
    reasons: list[Reason] = []
    for step, rule in LADDER:
        outcome = rule(situation, roster)
        found = tuple(claim.id for claim in outcome.found)
        if outcome.lead is not None:
            chosen = outcome.chosen.id if outcome.chosen else None
            reasons.append(Reason(step, found, chosen))
            return Verdict(outcome.lead, outcome.assist, step, tuple(reasons), outcome.unsure)
        reasons.append(Reason(step, found))
    raise AssertionError("the last step decides always")


def would_share(situation: Situation, roster: Roster) -> bool:
    """Does the share of the error disc matter here: is the place disputed, and its township settles nothing?"""
    bare = replace(situation, shares=())
    if decide(bare, roster).step is not Step.DISPUTED:
        return False
    return not {t.squad for t in situation.townships} & set(situation.claimants)


def _ordered(orders: Iterable[Designation]) -> Outcome:
    """Of several orders the one with the narrower category set, then the later document, then the lower id."""
    found = sorted(orders, key=_rank)
    return Outcome(tuple(found), found[0], found[0].squad) if found else Outcome()


def _rank(order: Designation) -> tuple[float, float, str]:
    dated = order.dated or order.period.since
    return len(order.categories) or float("inf"), -dated.timestamp() if dated else float("inf"), order.id


def _seniority(agreement: Agreement) -> tuple[float, float, str]:
    since = agreement.period.since
    return len(agreement.categories) or float("inf"), -since.timestamp() if since else float("inf"), agreement.id


def _agreed_lead(agreement: Agreement, situation: Situation) -> SquadCode | None:
    match agreement.rule:
        case AgreementRule.ALTERNATE:
            return dict(situation.turns)[agreement.id]
        case AgreementRule.FIRST_FINDER:
            return situation.found_by if situation.found_by in agreement.parties else None
        case _:
            return agreement.lead


def _others(squads: tuple[SquadCode, ...], lead: SquadCode) -> tuple[SquadCode, ...]:
    return tuple(s for s in squads if s != lead)
