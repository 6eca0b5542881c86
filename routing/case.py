"""What happens after routing: the states of a case, who may move it from one to the next, and who holds it meanwhile.

    moved = step(case, Order(Action.SIGN, actor, at))     Moved(case, event), or Refused(why, allowed): never an exception

TRANSITIONS is the table one can print; `step` reads nothing else. Values only: no clock, no store.

Exactly one squad holds every open case. The duty squad, first to be told, holds it until it is dispatched (首问负责). After that
a squad loses a case only to another that signs for it, or by the order of a dispatcher: a request moves nothing. What is
refused by one squad therefore stays with that squad, and a refusal never closes a case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from routing.model import SquadCode


class State(StrEnum):
    """Where a case stands. The last four are ends that were never worked on: each has its reason."""

    RECEIVED = "received"
    VERIFYING = "verifying"
    ACCEPTED = "accepted"
    REGISTERED = "registered"
    DISPATCHED = "dispatched"
    HANDLING = "handling"
    JOINT_HANDLING = "joint_handling"
    RETURN_REQUESTED = "return_requested"
    DESIGNATING = "designating"
    SUSPENDED = "suspended"
    FEEDBACK = "feedback"
    CHECKING = "checking"
    CLOSED = "closed"
    FOLLOWED_UP = "followed_up"
    ARCHIVED = "archived"
    NOT_ACCEPTED = "not_accepted"
    NOT_REGISTERED = "not_registered"
    ANSWERED = "answered"
    VOID = "void"


S = State
INTAKE = frozenset({S.RECEIVED, S.VERIFYING, S.ACCEPTED, S.REGISTERED})
"""Before a squad was sent: the duty squad holds the case."""

WORKED = frozenset({S.HANDLING, S.JOINT_HANDLING})
HELD = frozenset({S.DISPATCHED, *WORKED, S.RETURN_REQUESTED, S.DESIGNATING, S.SUSPENDED})
"""With a squad, until it has reported."""

REPORTED = frozenset({S.FEEDBACK, S.CHECKING})
OPEN = INTAKE | HELD | REPORTED
ENDED = frozenset(State) - OPEN


class Role(StrEnum):
    OPERATOR = "operator"
    DISPATCHER = "dispatcher"
    LEADER = "squad_leader"
    MEMBER = "squad_member"
    PLANNER = "planner"
    SUPERVISOR = "supervisor"
    ADMINISTRATOR = "administrator"
    MACHINE = "machine"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, as what, for which squad (None: for none)."""

    person: str
    role: Role
    squad: SquadCode | None = None


class Action(StrEnum):
    """What can be done to a case."""

    VERIFY = "verify"
    ACCEPT = "accept"
    REFUSE = "refuse"
    ANSWER = "answer"
    VOID = "void"
    REGISTER = "register"
    REFUSE_REGISTRATION = "refuse_registration"
    REROUTE = "reroute"
    DISPATCH = "dispatch"
    SIGN = "sign"
    REQUEST_RETURN = "request_return"
    ACCEPT_RETURN = "accept_return"
    REJECT_RETURN = "reject_return"
    REFER = "refer"
    DESIGNATE = "designate"
    OFFER = "offer"
    TAKE_OVER = "take_over"
    DECLINE = "decline"
    WITHDRAW_OFFER = "withdraw_offer"
    TRANSFER = "transfer"
    START_JOINT = "start_joint"
    FINISH_PART = "finish_part"
    REQUEST_SUSPENSION = "request_suspension"
    SUSPEND = "suspend"
    REFUSE_SUSPENSION = "refuse_suspension"
    RESUME = "resume"
    REACH = "reach"
    REPORT = "report"
    TAKE_TO_CHECK = "take_to_check"
    FAIL = "fail"
    CLOSE = "close"
    REPLY = "reply"
    FOLLOW_UP = "follow_up"
    REOPEN = "reopen"
    ARCHIVE = "archive"
    URGE = "urge"
    NOTE = "note"
    SUPERVISE = "supervise"
    ANSWER_SUPERVISION = "answer_supervision"
    REQUEST_EXTENSION = "request_extension"
    GRANT_EXTENSION = "grant_extension"
    REFUSE_EXTENSION = "refuse_extension"


class Outcome(StrEnum):
    """What came of calling the complainant: to answer him, or to ask how it went."""

    ANSWERED = "answered"
    NOT_REACHED = "not_reached"
    SATISFIED = "satisfied"
    BASICALLY = "basically_satisfied"
    DISSATISFIED = "dissatisfied"


REPLIES = frozenset({Outcome.ANSWERED, Outcome.NOT_REACHED})
VISITS = frozenset({Outcome.SATISFIED, Outcome.BASICALLY, Outcome.DISSATISFIED, Outcome.NOT_REACHED})
ATTEMPTS = 3
"""Who was called so often in vain could not be answered."""


@dataclass(frozen=True, slots=True)
class Order:
    """One thing that somebody wants done, with what it takes. `squads`: those of joint work. `review`: when a suspension ends.

    `milestone`: what of a limit in stages was reached. `outcome`: of a reply (none said: answered) or a follow-up visit.
    """

    action: Action
    actor: Actor
    at: datetime
    squad: SquadCode | None = None
    squads: tuple[SquadCode, ...] = ()
    reason: str = ""
    evidence: tuple[str, ...] = ()
    document: str = ""
    review: datetime | None = None
    milestone: str = ""
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A case as it stands. `lead`: whom the router named; `holder`: who holds it, or held it last. `offered`: who may take it over.

    `parts`: open sub-tasks of joint work, by squad, ascending. `handler`: who reported it, and so may not check it. `attempts` to answer
    the complainant that reached nobody, since it was last opened.
    """

    state: State
    holder: SquadCode
    lead: SquadCode
    duty: SquadCode
    offered: SquadCode | None = None
    returns: int = 0
    parts: tuple[SquadCode, ...] = ()
    joint: tuple[SquadCode, ...] = ()
    rework: int = 0
    reopened: int = 0
    replied: bool = False
    attempts: int = 0
    suspension_asked: bool = False
    extension_asked: bool = False
    supervisions: int = 0
    handler: str = ""

    @property
    def open(self) -> bool:
        """Is there anything left to do?"""
        return self.state in OPEN


def received(lead: SquadCode, duty: SquadCode) -> Case:
    """A case that has just come in: `lead` as the router decided, held by the duty squad."""
    return Case(State.RECEIVED, duty, lead, duty)


class Why(StrEnum):
    """Why an order is refused."""

    NOT_NOW = "not_now"
    NOT_THIS_ROLE = "not_this_role"
    NOT_THE_HOLDER = "not_the_holder"
    NOT_OFFERED = "not_offered"
    NO_PART = "no_part"
    NO_REASON = "no_reason"
    NO_EVIDENCE = "no_evidence"
    NO_SQUAD = "no_squad"
    SAME_SQUAD = "same_squad"
    NO_OTHERS = "no_others"
    NO_REVIEW = "no_review"
    NO_DOCUMENT = "no_document"
    NO_MILESTONE = "no_milestone"
    NOT_REPLIED = "not_replied"
    PARTS_OPEN = "parts_open"
    SUPERVISION_OPEN = "supervision_open"
    OWN_WORK = "own_work"
    REOPENED_ONCE = "reopened_once"
    NOT_ASKED = "not_asked"
    ASKED_ALREADY = "asked_already"
    NO_OUTCOME = "no_outcome"


Guard = Callable[[Case, Order], Why | None]
Effect = Callable[[Case, Order], Case]


@dataclass(frozen=True, slots=True)
class Transition:
    """From any of `sources` by `action`, if `who` asks and every guard agrees. `target` None: the state stays, or `effect` says."""

    action: Action
    sources: frozenset[State]
    target: State | None
    who: frozenset[Role]
    guards: tuple[Guard, ...]
    effect: Effect


@dataclass(frozen=True, slots=True)
class Event:
    """What was done: an entry of the case's history. `holder_after` differs where the case changed hands."""

    order: Order
    before: State
    after: State
    holder_before: SquadCode
    holder_after: SquadCode


@dataclass(frozen=True, slots=True)
class Moved:
    case: Case
    event: Event


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing happened. `case`, `actor`: as they were."""

    why: Why
    case: Case
    actor: Actor

    @property
    def allowed(self) -> tuple[Action, ...]:
        """What this actor may do to the case as it stands."""
        return allowed(self.case, self.actor)


# ---- guards: what an order must bring ---------------------------------------------------------------------------------


def _holder(case: Case, order: Order) -> Why | None:
    return None if order.actor.squad == case.holder else Why.NOT_THE_HOLDER


def _holder_or_office(case: Case, order: Order) -> Why | None:
    return _holder(case, order) if order.actor.role in SQUAD else None


def _offered(case: Case, order: Order) -> Why | None:
    return None if case.offered is not None and order.actor.squad == case.offered else Why.NOT_OFFERED


def _is_offered(case: Case, _: Order) -> Why | None:
    return Why.NOT_ASKED if case.offered is None else None


def _has_part(case: Case, order: Order) -> Why | None:
    return None if order.actor.squad in case.parts else Why.NO_PART


def _reason(_: Case, order: Order) -> Why | None:
    return None if order.reason.strip() else Why.NO_REASON


def _evidence(_: Case, order: Order) -> Why | None:
    return None if order.evidence else Why.NO_EVIDENCE


def _document(_: Case, order: Order) -> Why | None:
    return None if order.document.strip() else Why.NO_DOCUMENT


def _squad(_: Case, order: Order) -> Why | None:
    return None if order.squad is not None else Why.NO_SQUAD


def _other_squad(case: Case, order: Order) -> Why | None:
    return Why.SAME_SQUAD if order.squad == case.holder else _squad(case, order)


def _others(case: Case, order: Order) -> Why | None:
    return None if set(order.squads) - {case.holder} else Why.NO_OTHERS


def _review(_: Case, order: Order) -> Why | None:
    return None if order.review is not None and order.review > order.at else Why.NO_REVIEW


def _milestone(_: Case, order: Order) -> Why | None:
    return None if order.milestone.strip() else Why.NO_MILESTONE


def _replied(case: Case, _: Order) -> Why | None:
    """Answered, or called often enough."""
    return None if case.replied or case.attempts >= ATTEMPTS else Why.NOT_REPLIED


def _of_reply(_: Case, order: Order) -> Why | None:
    return None if order.outcome is None or order.outcome in REPLIES else Why.NO_OUTCOME


def _of_visit(_: Case, order: Order) -> Why | None:
    return None if order.outcome in VISITS else Why.NO_OUTCOME


def _no_parts(case: Case, _: Order) -> Why | None:
    return Why.PARTS_OPEN if case.parts else None


def _no_supervision(case: Case, _: Order) -> Why | None:
    return Why.SUPERVISION_OPEN if case.supervisions else None


def _supervised(case: Case, _: Order) -> Why | None:
    return None if case.supervisions else Why.NOT_ASKED


def _not_own_work(case: Case, order: Order) -> Why | None:
    return Why.OWN_WORK if order.actor.person == case.handler else None


def _once(case: Case, _: Order) -> Why | None:
    return Why.REOPENED_ONCE if case.reopened else None


def _asked_suspension(case: Case, _: Order) -> Why | None:
    return None if case.suspension_asked else Why.NOT_ASKED


def _not_asked_suspension(case: Case, _: Order) -> Why | None:
    return Why.ASKED_ALREADY if case.suspension_asked else None


def _asked_extension(case: Case, _: Order) -> Why | None:
    return None if case.extension_asked else Why.NOT_ASKED


def _not_asked_extension(case: Case, _: Order) -> Why | None:
    return Why.ASKED_ALREADY if case.extension_asked else None


# ---- effects: what it changes besides the state -----------------------------------------------------------------------


def _nothing(case: Case, _: Order) -> Case:
    return case


def _set(**facts: Any) -> Effect:
    def effect(case: Case, _: Order) -> Case:
        return replace(case, **facts)

    return effect


def _offered_to(case: Case, order: Order) -> Case:
    return replace(case, offered=order.squad)


def _one_more(case: Case, _: Order) -> Case:
    return replace(case, supervisions=case.supervisions + 1)


def _one_less(case: Case, _: Order) -> Case:
    return replace(case, supervisions=case.supervisions - 1)


def _hand_to(case: Case, squad: SquadCode) -> Case:
    """Another holder; whatever was asked of or by the one before is void."""
    parts = tuple(p for p in case.parts if p != squad)
    return replace(case, holder=squad, offered=None, parts=parts, suspension_asked=False, extension_asked=False)


def _to_named(case: Case, order: Order) -> Case:
    assert order.squad is not None
    return _hand_to(case, order.squad)


def _to_lead(case: Case, order: Order) -> Case:
    return _hand_to(case, case.lead if order.squad is None else order.squad)


def _back_to_work(case: Case, _: Order) -> Case:
    return replace(case, state=S.JOINT_HANDLING if case.parts else S.HANDLING)


def _to_taker(case: Case, order: Order) -> Case:
    """By taking it over a squad has signed for it."""
    assert case.offered is not None
    return _back_to_work(_hand_to(case, case.offered), order)


def _returned(case: Case, _: Order) -> Case:
    """The second request goes to designation by itself; the holder works on meanwhile."""
    case = replace(case, returns=case.returns + 1, offered=None)
    return replace(case, state=S.RETURN_REQUESTED if case.returns == 1 else S.DESIGNATING)


def _rerouted(case: Case, order: Order) -> Case:
    """The place or the category was wrong: the lead is whom the router names now. With a squad already, it changes hands."""
    assert order.squad is not None
    case = replace(case, lead=order.squad)
    if case.state in INTAKE or order.squad == case.holder:
        return case
    return replace(_hand_to(case, order.squad), state=S.DISPATCHED, parts=(), joint=())


def _joined(case: Case, order: Order) -> Case:
    """Others get a part each; whoever has not signed yet has still to."""
    fresh = set(order.squads) - {case.holder}
    case = replace(case, parts=tuple(sorted(fresh | set(case.parts))), joint=tuple(sorted(fresh | set(case.joint))))
    return case if case.state is S.DISPATCHED else replace(case, state=S.JOINT_HANDLING)


def _part_done(case: Case, order: Order) -> Case:
    parts = tuple(p for p in case.parts if p != order.actor.squad)
    return replace(case, parts=parts)


def _reported(case: Case, order: Order) -> Case:
    return replace(case, offered=None, suspension_asked=False, extension_asked=False, handler=order.actor.person)


def _failed(case: Case, _: Order) -> Case:
    return replace(case, rework=case.rework + 1, handler="")


def _reopened(case: Case, _: Order) -> Case:
    return replace(case, reopened=case.reopened + 1, replied=False, attempts=0, handler="")


def _called(case: Case, order: Order) -> Case:
    """Only who was reached has been answered."""
    return replace(case, attempts=case.attempts + 1) if order.outcome is Outcome.NOT_REACHED else replace(case, replied=True)


def _visited(case: Case, order: Order) -> Case:
    """Whoever is not satisfied has it opened again, once."""
    if order.outcome is Outcome.DISSATISFIED and not case.reopened:
        return replace(_reopened(case, order), state=S.HANDLING)
    return replace(case, state=S.FOLLOWED_UP)


# ---- the table --------------------------------------------------------------------------------------------------------

SQUAD = frozenset({Role.LEADER, Role.MEMBER})
LEADER = frozenset({Role.LEADER})
DESK = frozenset({Role.DISPATCHER})
CALLS = frozenset({Role.OPERATOR, Role.DISPATCHER})
CHECKERS = frozenset({Role.DISPATCHER, Role.SUPERVISOR})
A = Action


def _t(
    action: Action,
    sources: frozenset[State] | State,
    target: State | None,
    who: frozenset[Role],
    *guards: Guard,
    effect: Effect = _nothing,
) -> Transition:
    return Transition(action, frozenset({sources}) if isinstance(sources, State) else sources, target, who, guards, effect)


TRANSITIONS: tuple[Transition, ...] = (
    # intake
    _t(A.VERIFY, S.RECEIVED, S.VERIFYING, CALLS),
    _t(A.ACCEPT, frozenset({S.RECEIVED, S.VERIFYING}), S.ACCEPTED, CALLS),
    _t(A.REFUSE, S.RECEIVED, S.NOT_ACCEPTED, CALLS, _reason),
    _t(A.ANSWER, S.RECEIVED, S.ANSWERED, CALLS, _reason),
    _t(A.VOID, S.VERIFYING, S.VOID, CALLS, _reason, _evidence),
    _t(A.REGISTER, S.ACCEPTED, S.REGISTERED, DESK),
    _t(A.REFUSE_REGISTRATION, S.ACCEPTED, S.NOT_REGISTERED, DESK, _reason),
    _t(A.REROUTE, INTAKE, None, CALLS, _squad, effect=_rerouted),
    _t(A.REROUTE, HELD, None, DESK, _squad, _reason, effect=_rerouted),
    _t(A.DISPATCH, S.REGISTERED, S.DISPATCHED, DESK, effect=_to_lead),
    # a squad's own
    _t(A.SIGN, S.DISPATCHED, None, SQUAD, _holder, effect=_back_to_work),
    _t(A.REQUEST_RETURN, frozenset({S.DISPATCHED, *WORKED}), None, LEADER, _holder, _reason, _evidence, effect=_returned),
    _t(A.ACCEPT_RETURN, S.RETURN_REQUESTED, S.DISPATCHED, DESK, _other_squad, _reason, effect=_to_named),
    _t(A.REJECT_RETURN, S.RETURN_REQUESTED, None, DESK, _reason, effect=_back_to_work),
    _t(A.REFER, frozenset({S.DISPATCHED, *WORKED, S.RETURN_REQUESTED}), S.DESIGNATING, DESK, _reason),
    _t(A.DESIGNATE, S.DESIGNATING, S.DISPATCHED, DESK, _squad, _reason, _document, effect=_to_named),
    # from hand to hand
    _t(A.OFFER, WORKED | {S.DISPATCHED}, None, LEADER, _holder, _other_squad, _reason, effect=_offered_to),
    _t(A.TAKE_OVER, WORKED | {S.DISPATCHED}, None, LEADER, _offered, effect=_to_taker),
    _t(A.DECLINE, WORKED | {S.DISPATCHED}, None, LEADER, _offered, _reason, effect=_set(offered=None)),
    _t(A.WITHDRAW_OFFER, WORKED | {S.DISPATCHED}, None, LEADER, _holder, _is_offered, effect=_set(offered=None)),
    _t(A.TRANSFER, WORKED | {S.DISPATCHED}, S.DISPATCHED, DESK, _other_squad, _reason, effect=_to_named),
    # together
    _t(A.START_JOINT, WORKED | {S.DISPATCHED}, None, DESK | LEADER, _holder_or_office, _others, _reason, effect=_joined),
    _t(A.FINISH_PART, HELD - {S.HANDLING}, None, SQUAD, _has_part, effect=_part_done),
    # time
    _t(A.REQUEST_SUSPENSION, WORKED, None, LEADER, _holder, _reason, _review, _not_asked_suspension,
       effect=_set(suspension_asked=True)),
    _t(A.SUSPEND, WORKED, S.SUSPENDED, DESK, _asked_suspension, _review, effect=_set(suspension_asked=False, offered=None)),
    _t(A.REFUSE_SUSPENSION, WORKED, None, DESK, _asked_suspension, _reason, effect=_set(suspension_asked=False)),
    _t(A.RESUME, S.SUSPENDED, None, DESK | LEADER, _holder_or_office, effect=_back_to_work),
    _t(A.REQUEST_EXTENSION, WORKED, None, LEADER, _holder, _reason, _not_asked_extension, effect=_set(extension_asked=True)),
    _t(A.GRANT_EXTENSION, WORKED, None, DESK, _asked_extension, _reason, effect=_set(extension_asked=False)),
    _t(A.REFUSE_EXTENSION, WORKED, None, DESK, _asked_extension, _reason, effect=_set(extension_asked=False)),
    # the end
    _t(A.REACH, WORKED, None, SQUAD, _holder, _milestone, _evidence),
    _t(A.REPORT, WORKED, S.FEEDBACK, SQUAD, _holder, _reason, _evidence, _no_parts, effect=_reported),
    _t(A.TAKE_TO_CHECK, S.FEEDBACK, S.CHECKING, CHECKERS, _not_own_work),
    _t(A.FAIL, S.CHECKING, S.HANDLING, CHECKERS, _reason, _not_own_work, effect=_failed),
    _t(A.CLOSE, S.CHECKING, S.CLOSED, CHECKERS, _not_own_work, _replied, _no_supervision),
    _t(A.REPLY, OPEN, None, CALLS | SQUAD, _holder_or_office, _reason, _of_reply, effect=_called),
    _t(A.FOLLOW_UP, S.CLOSED, None, CALLS, _reason, _of_visit, effect=_visited),
    _t(A.REOPEN, frozenset({S.CLOSED, S.FOLLOWED_UP}), S.HANDLING, CALLS, _reason, _once, effect=_reopened),
    _t(A.ARCHIVE, S.FOLLOWED_UP, S.ARCHIVED, DESK),
    # beside it
    _t(A.URGE, OPEN, None, CALLS | {Role.SUPERVISOR}, _reason),
    _t(A.NOTE, OPEN, None, frozenset({Role.DISPATCHER, Role.SUPERVISOR, Role.ADMINISTRATOR}), _reason),
    _t(A.SUPERVISE, OPEN, None, frozenset({Role.SUPERVISOR}), _reason, effect=_one_more),
    _t(A.ANSWER_SUPERVISION, OPEN, None, SQUAD | DESK, _holder_or_office, _supervised, _reason,
       effect=_one_less),
)  # fmt: skip

BY_ACTION: Mapping[Action, tuple[Transition, ...]] = {a: tuple(t for t in TRANSITIONS if t.action is a) for a in Action}


def step(case: Case, order: Order) -> Moved | Refused:
    """The case after an order, and the entry of its history; or why not, and what this actor may do instead."""
    from_here = [t for t in BY_ACTION[order.action] if case.state in t.sources]
    mine = [t for t in from_here if order.actor.role in t.who]
    if not mine:
        return Refused(Why.NOT_THIS_ROLE if from_here else Why.NOT_NOW, case, order.actor)
    (one,) = mine
    for guard in one.guards:
        if (why := guard(case, order)) is not None:
            return Refused(why, case, order.actor)
    after = one.effect(case, order)
    if one.target is not None:
        after = replace(after, state=one.target)
    return Moved(after, Event(order, case.state, after.state, case.holder, after.holder))


BROUGHT: frozenset[Guard] = frozenset({
    _reason, _evidence, _document, _squad, _other_squad, _others, _review, _milestone, _of_reply, _of_visit,
})
"""Guards that look at what an order brings. The others look at who asks, or at the case."""


def allowed(case: Case, actor: Actor) -> tuple[Action, ...]:
    """What an actor may do now, if he brings what it takes."""
    found = []
    for one in TRANSITIONS:
        order = Order(one.action, actor, _ANY)
        if case.state in one.sources and actor.role in one.who and not any(g(case, order) for g in one.guards if g not in BROUGHT):
            found.append(one.action)
    return tuple(found)


_ANY = datetime.min.replace(tzinfo=UTC)
