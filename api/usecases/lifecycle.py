"""What is done to a case after it came in: one order, one transaction, one entry of the record; or a refusal that says what is allowed.

Gather (the row, locked; whom the map names), decide (`routing.case.step`), apply (row, holding, parts, sides, ruling, entry).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.access import Principal
from api.store import cases, facts
from api.store import clocks as kept
from api.store.clock_tables import ClockRow
from api.store.record import Entry, Page
from api.store.tables import CaseFile, Ruling
from api.usecases import clocks
from api.usecases.attachments import check_evidence
from api.usecases.intake import UnknownSquad, category_at, decision_body
from api.usecases.office import Office, about_event, actors, may_do, seal, visible, whole
from api.usecases.placing import Found, Where, decided
from api.usecases.replays import Answer, Asked, once
from api.vault import KeyDestroyed
from api.words_cases import ACTIONS, STATES, WHYS, Said, state_words
from routing.case import Action, Actor, Case, Moved, Order, Outcome, Refused, State, Why, step
from routing.errors import JieguanError, Lang
from routing.limits import Move
from routing.model import ClaimId, Decision, Reason, SquadCode, Step
from routing.route import CAP_M

SIDES_OPENED = {
    Action.SUPERVISE: "supervision",
    Action.REQUEST_SUSPENSION: "suspension",
    Action.REQUEST_EXTENSION: "extension",
    Action.OFFER: "offer",
}
SIDES_CLOSED = {
    Action.ANSWER_SUPERVISION: "supervision",
    Action.SUSPEND: "suspension",
    Action.REFUSE_SUSPENSION: "suspension",
    Action.GRANT_EXTENSION: "extension",
    Action.REFUSE_EXTENSION: "extension",
    Action.TAKE_OVER: "offer",
    Action.DECLINE: "offer",
    Action.WITHDRAW_OFFER: "offer",
}
CALLS = frozenset({Action.REPLY, Action.FOLLOW_UP})
"""Each kept with what came of it."""
BY_THEMSELVES = frozenset({Action.URGE, Action.NOTE})
"""Said once, and nothing is left open."""


class NotAllowed(JieguanError):
    """`why`: the code of the `reason`; `allowed`: the codes of what this person `may` do now."""

    zh = "案件 {number} 现为“{state_name}”,不能“{action_name}”:{reason}。现在可以:{may}。"
    en = "Case {number} is {state_name}, and to {action_name} is refused: {reason}. You may now: {may}."


class CaseMovedOn(JieguanError):
    zh = "案件 {number} 已从第 {seen} 版变为第 {now} 版({state},由 {holder} 承办):请先查看最新情况再决定。"
    en = "Case {number} has gone from version {seen} to {now} ({state}, held by {holder}). Look at it again before you decide."


class StaleCase(JieguanError):
    zh = "If-Match 说的是案件 {number} 的第 {seen} 版,现在是第 {now} 版({state},由 {holder} 承办):请重新读取后再决定。"
    en = "If-Match names version {seen} of case {number}, which is at {now} ({state}, held by {holder}). Read it again before you decide."


class VersionMissing(JieguanError):
    zh = "未说明您看到的是案件的第几版:请带上 If-Match(读取时的 ETag)或 seen,以免覆盖他人刚作的决定。"
    en = (
        "The request does not say which version of the case you saw. Send If-Match (the ETag you got) or `seen`, so that nobody's "
        "decision of a moment ago is overruled unawares."
    )


class NoSuchMilestone(JieguanError):
    zh = "案件 {number} 没有正在计时的阶段“{value}”。可用:{known}。"
    en = "Case {number} has no milestone {value!r} whose time runs. There are: {known}."


class NothingToCorrect(JieguanError):
    zh = "重新派单须更正地点(where)或类别(category):两者都没有变,结果也不会变。"
    en = "To route again takes another place (where) or category: with neither, the answer would be the same."


@dataclass(frozen=True, slots=True)
class Wanted:
    """An order as it is asked for. `seen`: the version somebody looked at; `tagged`: it came as If-Match."""

    action: Action
    seen: int
    tagged: bool = False
    squad: str | None = None
    squads: tuple[str, ...] = ()
    reason: str = ""
    evidence: tuple[str, ...] = ()
    document: str = ""
    review: datetime | None = None
    milestone: str = ""
    where: Where | None = None
    category: str | None = None
    outcome: Outcome | None = None


def act(of: Office, who: Principal, number: str, wanted: Wanted, asked: Asked, lang: Lang) -> Answer:
    """The case after an order.

    Raises UnknownCase, CaseMovedOn, StaleCase, NotAllowed, UnknownSquad, NothingToCorrect, NoSuchMilestone, EvidenceMissing, KeyReused.
    """

    def write(page: Page) -> Answer:
        row = visible(page.session, cases.locked(page.session, number), who)
        if row.version != wanted.seen:
            error = StaleCase if wanted.tagged else CaseMovedOn
            raise error(number=number, seen=wanted.seen, now=row.version, state=state_words(row.state, lang), holder=row.holder)
        apply(of, page, row, who, wanted)
        part = cases.part_of(page.session, row, who.squad)
        return Answer(200, {"ETag": f'"{row.version}"'}, whole(of, row, who, lang, part))

    return once(of, who, asked, write)


def apply(of: Office, page: Page, row: CaseFile, who: Principal, wanted: Wanted) -> None:
    """An order on a locked row, within a transaction that may do more. Raises as `act`."""
    session, now = page.session, cases.next_instant(of.now(), row.changed_at)
    check_evidence(session, row, wanted.evidence)
    found = _rerouted(of, session, row, wanted) if wanted.action is Action.REROUTE else None
    _check_squads(of, session, row, wanted, now)
    case = cases.case_of(row)
    moved = _moved(row, case, who, wanted, now, None if found is None else found[0].decision.squad)
    order, before = moved.event.order, _facts(row)
    more: dict[str, Any] = {}
    if found is not None:
        more = found[0].columns() | found[1]
        more = {name: value for name, value in more.items() if name not in ("lead", "duty")}
    was_open, held = row.open, kept.of_case(session, row.id)
    if order.action is Action.REACH:
        _check_milestone(row, held, order.milestone)
    category = str(more.get("category", row.category))
    move = Move(
        case, moved.case, order.action.value, now, category, row.channel, category != row.category, order.milestone, order.review
    )  # fmt: skip
    then = clocks.followed(of, session, row.map_version, held, move)
    cases.put(session, row, moved.case, now, **more, **clocks.columns(then))
    clocks.keep(of, session, row, held, then)
    if row.cluster_id is not None and row.open != was_open:
        cases.end_cluster(session, row)
    _keep_sides(session, row, moved, who)
    if wanted.action is Action.DESIGNATE:
        session.add(_ruling(row, order, who))
    entry = _entry(of, row, moved, before, who, routed_again=found is not None)
    page.enter(entry)
    facts.keep(session, row, entry, of.zone)


def _check_milestone(row: CaseFile, held: list[ClockRow], wanted: str) -> None:
    running = sorted({clock.milestone for clock in held if clock.stopped_at is None and clock.milestone})
    if wanted not in running:
        raise NoSuchMilestone(number=row.number, value=wanted[:60], known=", ".join(running) or "-")


def _moved(row: CaseFile, case: Case, who: Principal, wanted: Wanted, now: datetime, lead: SquadCode | None) -> Moved:
    """By whichever of a person's parts allows it. Raises NotAllowed."""
    refused: list[Refused] = []
    for actor in actors(row, who):
        done = step(case, _order(wanted, actor, now, lead))
        if isinstance(done, Moved):
            return done
        refused.append(done)
    # The most telling reason is of the part that came furthest: not the role, then not the state, then what was not brought.
    worst = min(refused, key=lambda r: (r.why is Why.NOT_THIS_ROLE, r.why is Why.NOT_NOW))
    raise not_allowed(row, wanted.action, worst.why, may_do(row, who))


def not_allowed(row: CaseFile, action: Action, why: Why, may: list[Action]) -> NotAllowed:
    """The refusal, with what is allowed instead."""
    names = Said("、".join(ACTIONS[a][0] for a in may) or "无", ", ".join(ACTIONS[a][1] for a in may) or "nothing")
    return NotAllowed(
        number=row.number, version=row.version, state=row.state, state_name=Said(*STATES[State(row.state)]),
        action=action.value, action_name=Said(*ACTIONS[action]), why=why.value, reason=Said(*WHYS[why]),
        allowed=[a.value for a in may], may=names,
    )  # fmt: skip


def _order(wanted: Wanted, actor: Actor, now: datetime, lead: SquadCode | None) -> Order:
    squad = lead if lead is not None else None if wanted.squad is None else SquadCode(wanted.squad)
    squads = tuple(SquadCode(s) for s in wanted.squads)
    return Order(
        wanted.action, actor, now, squad, squads, wanted.reason, wanted.evidence, wanted.document, wanted.review, wanted.milestone,
        wanted.outcome,
    )  # fmt: skip


def _rerouted(of: Office, session: Session, row: CaseFile, wanted: Wanted) -> tuple[Found, dict[str, Any]]:
    """Whom the map names for the corrected place or category, and the columns that change with it. A ruling for the case stands."""
    if wanted.where is None and wanted.category is None:
        raise NothingToCorrect
    category = row.category if wanted.category is None else wanted.category
    known = category_at(session, category, row.occurred_at)
    where = _where_of(row) if wanted.where is None else wanted.where
    where.check("-")
    found = decided(of, session, where, category, row.occurred_at, row.found_by, row.number, keep=wanted.where is None)
    ruling = session.scalars(sa.select(Ruling).where(Ruling.case_id == row.id).order_by(Ruling.id.desc()).limit(1)).one_or_none()
    if ruling is not None:
        found = replace(found, decision=_as_ordered(found.decision, ruling), why=None)
    changes = {
        "category": category, "hazard": known is not None and known.hazard,
        "to_supervision": row.to_supervision or (known is not None and known.to_supervision),
    }  # fmt: skip
    return found, changes


def _as_ordered(decision: Decision, ruling: Ruling) -> Decision:
    """Step 1 of the ladder: a superior has designated a squad for this one case."""
    order = ClaimId(f"ruling:{ruling.document}")
    reasons = (Reason(Step.CASE_ORDER, (order,), order),)
    squad = SquadCode(ruling.squad)
    return replace(
        decision, squad=squad, assist=(), step=Step.CASE_ORDER, reasons=reasons, doubtful=False, margin_m=CAP_M, runner_up=None
    )


def _where_of(row: CaseFile) -> Where:
    said = row.place
    line = tuple((float(x), float(y)) for x, y in said.get("line", ()))
    return Where(said.get("lon"), said.get("lat"), line, said["datum"], float(said.get("error_m", 0.0)), bool(said.get("unlocated", False)))


def _check_squads(of: Office, session: Session, row: CaseFile, wanted: Wanted, now: datetime) -> None:
    """Every squad that is named, or gets the case without being named, is on the map in force and can hold one. Raises UnknownSquad."""
    named = [("squad", wanted.squad), *(("squads", squad) for squad in wanted.squads)]
    if wanted.action is Action.DISPATCH and wanted.squad is None:
        named.append(("lead", row.lead))  # by the map of the time; the squad may be gone since
    if wanted.action is Action.TAKE_OVER:
        named.append(("offered", row.offered))
    if all(squad is None for _, squad in named):
        return
    version, _ = of.map_at(session, now)
    holders = of.signs.of(session, version).holders
    for field, squad in named:
        if squad is not None and SquadCode(squad) not in holders:
            raise UnknownSquad(field=field, value=squad)


def _keep_sides(session: Session, row: CaseFile, moved: Moved, who: Principal) -> None:
    action, order = moved.event.order.action, moved.event.order
    if action in SIDES_OPENED:
        cases.open_side(session, row, SIDES_OPENED[action], who.account, squad=order.squad, due=order.review)
    elif action in SIDES_CLOSED:
        cases.close_side(session, row, SIDES_CLOSED[action], who.account, action.value)
    elif action is Action.START_JOINT:
        begun = {side.squad for side in cases.sides(session, row) if side.kind == "joint" and side.closed_at is None}
        for squad in moved.case.parts:
            if squad not in begun:
                cases.open_side(session, row, "joint", who.account, squad=squad)
    elif action is Action.FINISH_PART:
        cases.close_side(session, row, "joint", who.account, action.value, squad=order.actor.squad)
    elif action in CALLS:
        cases.open_side(session, row, action.value, who.account)
        session.flush()
        cases.close_side(session, row, action.value, who.account, (order.outcome or Outcome.ANSWERED).value)
    elif action in BY_THEMSELVES:
        cases.open_side(session, row, action.value, who.account)
        session.flush()
        cases.close_side(session, row, action.value, who.account, "said")


def _ruling(row: CaseFile, order: Order, who: Principal) -> Ruling:
    """A superior's word for this case; planners are offered it as a standing one."""
    assert order.squad is not None
    return Ruling(
        case_id=row.id, squad=order.squad, document=order.document, by=who.account, at=row.changed_at, standing="offered",
        draft_id=None, closed_by=None, closed_at=None,
    )  # fmt: skip


def _facts(row: CaseFile) -> dict[str, Any]:
    return {"state": row.state, "holder": row.holder, "lead": row.lead, "category": row.category}


def _entry(of: Office, row: CaseFile, moved: Moved, before: dict[str, Any], who: Principal, *, routed_again: bool) -> Entry:
    order = moved.event.order
    body: dict[str, Any] = {
        "number": row.number, "version": row.version, "action": order.action.value, "before": before, "after": _facts(row),
        "squad": order.squad, "squads": list(order.squads), "document": order.document,
        "review": None if order.review is None else order.review.isoformat(), "milestone": order.milestone or None,
        "as": order.actor.role.value,
    }  # fmt: skip
    if routed_again:
        body["decision"] = decision_body(row)
    if order.action in CALLS:
        body["outcome"] = (order.outcome or Outcome.ANSWERED).value
    words = {"reason": order.reason, "evidence": list(order.evidence)} if order.reason or order.evidence else None
    sealed = None
    if words is not None:
        try:
            sealed = seal(of.vault, row.key, words, about_event(row.number))
        except KeyDestroyed:  # it was erased while open, and goes on: what is written now has a key of its own
            body["key"] = of.vault.new_key()
            sealed = seal(of.vault, body["key"], words, about_event(row.number))
    return Entry("moved", who.account, who.role.value, who.squad, row.changed_at, body=body, case_id=row.id, words=sealed)
