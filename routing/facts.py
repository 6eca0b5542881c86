"""What the figures of an office need to know of a case, folded from the entries of its record. Values only: no clock, no store.

    life = begun(at, body)             of its first entry, `received`
    life = lived(life, at, body)       of each entry `moved` after it
    fact = counted(life, beside, zone) as it is counted: days of the bureau, ones and noughts, thousandths of seconds

One step for each entry, or all of them again: the same. Other entries (looks, attachments, clusters) change nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from routing.case import HELD, OPEN, Action, State
from routing.model import SquadCode, Step

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
WORKED = HELD - {State.SUSPENDED}
"""With a squad, and its time runs."""
IN_DISPUTE = frozenset({State.RETURN_REQUESTED, State.DESIGNATING})
BAND = frozenset({Step.AGREED, Step.BORDER, Step.DISPUTED, Step.NEAREST})
"""Steps that decide a place with another squad within reach."""
NO_STRETCH = ""


@dataclass(frozen=True, slots=True)
class Life:
    """A case as its record tells it. `at`: of its last move; durations are up to it.

    `squad`: who holds it, or held it last; `first_squad`: to whom it was sent first. `registered_at`, `dispatched_at`, `disputed_at`,
    `designated_at`: the first time. `handled_at`, `closed_at`: the last time, None once that was taken back (a failed check, a reopening).
    `stretch`: the two squads beside the line it lies on, as `A|B`; of a case outside the band ''.
    """

    at: datetime
    state: State
    squad: SquadCode
    category: str
    received_at: datetime
    located: bool
    border: bool
    stretch: str
    registered_at: datetime | None = None
    dispatched_at: datetime | None = None
    first_squad: SquadCode | None = None
    handled_at: datetime | None = None
    closed_at: datetime | None = None
    disputed_at: datetime | None = None
    designated_at: datetime | None = None
    open_ms: int = 0
    handling_ms: int = 0
    disputed_ms: int = 0
    hops: int = 0
    returns: int = 0
    rework: int = 0


def ms(at: datetime) -> int:
    """Thousandths of seconds since 1970, whole ones."""
    return (at - EPOCH) // MS


# ---- the record ------------------------------------------------------------------------------------------------------


def begun(at: datetime, body: Mapping[str, Any]) -> Life:
    """A case that has just come in, by the body of its first entry."""
    return Life(at, State(body["state"]), SquadCode(body["holder"]), str(body["category"]), at, **_place(body["decision"]))


def lived(life: Life, at: datetime, body: Mapping[str, Any]) -> Life:
    """The case after a move, by the body of its entry."""
    action, after = Action(body["action"]), body["after"]
    state, squad, took = State(after["state"]), SquadCode(after["holder"]), ms(at) - ms(life.at)
    moved = life.dispatched_at is not None and squad != life.squad
    life = replace(
        life,
        open_ms=life.open_ms + took * (life.state in OPEN),
        handling_ms=life.handling_ms + took * (life.state in WORKED),
        disputed_ms=life.disputed_ms + took * (life.state in IN_DISPUTE),
        hops=life.hops + moved,
        disputed_at=at if life.disputed_at is None and state in IN_DISPUTE else life.disputed_at,
        at=at, state=state, squad=squad, category=str(after["category"]),
    )  # fmt: skip
    if action in MARKS:
        life = MARKS[action](life)
    decision = body.get("decision")
    if decision is None or decision["step"] == Step.CASE_ORDER:  # a superior's word for the case says nothing of its place
        return life
    return replace(life, **_place(decision))


def fold(entries: Iterable[tuple[datetime, Mapping[str, Any]]]) -> Life:
    """All of it again: times and bodies of the entries `received` and `moved`, in order."""
    told = iter(entries)
    life = begun(*next(told))
    for at, body in told:
        life = lived(life, at, body)
    return life


def _dispatched(life: Life) -> Life:
    if life.dispatched_at is not None:
        return life
    return replace(life, dispatched_at=life.at, first_squad=life.squad)


def _again(life: Life) -> Life:
    return replace(life, handled_at=None, closed_at=None)


MARKS: Mapping[Action, Callable[[Life], Life]] = {
    Action.REGISTER: lambda life: replace(life, registered_at=life.at),
    Action.DISPATCH: _dispatched,
    Action.REQUEST_RETURN: lambda life: replace(life, returns=life.returns + 1),
    Action.DESIGNATE: lambda life: replace(life, designated_at=life.at if life.designated_at is None else life.designated_at),
    Action.REPORT: lambda life: replace(life, handled_at=life.at),
    Action.FAIL: lambda life: _again(replace(life, rework=life.rework + 1)),
    Action.CLOSE: lambda life: replace(life, closed_at=life.at),
    Action.REOPEN: _again,
}
"""What an action leaves behind for the figures."""


def _place(decision: Mapping[str, Any]) -> dict[str, Any]:
    """Where it is: located at all, in the band, between which two."""
    border = Step(decision["step"]) in BAND
    return {"located": "wgs84" in decision["place"], "border": border, "stretch": _stretch(decision) if border else NO_STRETCH}


def _stretch(decision: Mapping[str, Any]) -> str:
    """The lead and the nearest of those who assist, which is the runner-up if he is one of them."""
    lead, assist, runner = decision["squad"], decision["assist"], decision["runner_up"]
    other = runner if runner in assist else next(iter(assist), runner)
    return NO_STRETCH if other in (None, lead) else "|".join(sorted((lead, other)))


# ---- as it is counted ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Beside:
    """What the record does not say. Limits of handling and of closing, if there are; `held_ms`: how long it had a holder, as the holdings
    tell, up to the last move; `is_held`: has it one now? `apart`: about our own people, counted for supervision alone."""

    handle_due: datetime | None
    close_due: datetime | None
    held_ms: int
    is_held: bool
    apart: bool


@dataclass(frozen=True, slots=True)
class Counted:
    """A case as it is counted. Days of the bureau, ISO, None where it is not counted by that day. The rest are sums over cases.

    `..._since_ms`: of what goes on, when it was last added up: `now` less that is to be added for each.
    """

    received_day: str
    registered_day: str | None
    handle_due_day: str | None
    close_due_day: str | None
    dispatched_day: str | None
    handled_day: str | None
    closed_day: str | None
    disputed_day: str | None
    designated_day: str | None
    still_open: int
    is_located: int
    in_band: int
    handled: int
    handled_in_time: int
    closed: int
    closed_in_time: int
    reworked: int
    returned: int
    returned_times: int
    stayed: int
    stayed_in_band: int
    hopped: int
    took_ms: int
    dispute_ms: int
    disputing: int
    disputing_since_ms: int
    orphan_ms: int
    orphans: int
    orphans_since_ms: int


def counted(life: Life, beside: Beside, zone: tzinfo) -> Counted:
    """As it stands after its last move. What is suspended has no limit that runs, so it is not counted by its limits meanwhile."""

    def day(at: datetime | None) -> str | None:
        return None if at is None else at.astimezone(zone).date().isoformat()

    runs = life.registered_at is not None and life.state is not State.SUSPENDED
    handled, closed, is_open = life.handled_at is not None, life.closed_at is not None, life.state in OPEN
    stayed = life.dispatched_at is not None and life.hops == 0
    disputing, orphan = life.state in IN_DISPUTE, is_open and not beside.is_held
    received = day(life.received_at)
    assert received is not None
    return Counted(
        received, day(life.registered_at), day(beside.handle_due) if runs else None, day(beside.close_due) if runs else None,
        day(life.dispatched_at), day(life.handled_at), day(life.closed_at), day(life.disputed_at), day(life.designated_at),
        still_open=int(is_open), is_located=int(life.located), in_band=int(life.border),
        handled=int(handled), handled_in_time=int(_in_time(life.handled_at, beside.handle_due)),
        closed=int(closed), closed_in_time=int(_in_time(life.closed_at, beside.close_due)), reworked=int(life.rework > 0),
        returned=int(life.returns > 0), returned_times=life.returns, stayed=int(stayed), stayed_in_band=int(stayed and life.border),
        hopped=life.hops, took_ms=life.handling_ms,
        dispute_ms=life.disputed_ms, disputing=int(disputing), disputing_since_ms=ms(life.at) * disputing,
        orphan_ms=abs(life.open_ms - beside.held_ms), orphans=int(orphan), orphans_since_ms=ms(life.at) * orphan,
    )  # fmt: skip


def _in_time(at: datetime | None, due: datetime | None) -> bool:
    return at is not None and due is not None and at <= due


# ---- summed up -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Basis:
    """By which day, and for which squad, a case is counted; and what is then summed up of it. Names of fields."""

    name: str
    day: str
    squad: str
    sums: tuple[str, ...] = ()


HOLDER, FIRST = "squad", "first_squad"
BASES: tuple[Basis, ...] = (
    Basis("received", "received_day", HOLDER, ("still_open", "is_located", "in_band", "orphan_ms", "orphans", "orphans_since_ms")),
    Basis("registered", "registered_day", HOLDER, ("handled", "closed")),
    Basis("handle_due", "handle_due_day", HOLDER, ("handled", "handled_in_time")),
    Basis("close_due", "close_due_day", HOLDER, ("closed", "closed_in_time", "reworked")),
    Basis("dispatched", "dispatched_day", FIRST, ("returned", "returned_times")),
    Basis("handled", "handled_day", HOLDER, ("took_ms",)),
    Basis("closed", "closed_day", FIRST, ("in_band", "stayed", "stayed_in_band", "hopped")),
    Basis("disputed", "disputed_day", HOLDER, ("dispute_ms", "disputing", "disputing_since_ms")),
    Basis("designated", "designated_day", HOLDER),
)
SUMS: tuple[str, ...] = ("cases", *dict.fromkeys(name for basis in BASES for name in basis.sums))
Cell = tuple[str, str, str, str, str, bool]
"""Day, basis, squad, category, stretch, apart."""


def cells(life: Life, as_counted: Counted, *, apart: bool) -> dict[Cell, dict[str, int]]:
    """What a case adds to which sums."""
    found: dict[Cell, dict[str, int]] = {}
    for basis in BASES:
        day = getattr(as_counted, basis.day)
        if day is not None:
            cell = (day, basis.name, str(getattr(life, basis.squad)), life.category, life.stretch, apart)
            found[cell] = {"cases": 1} | {name: getattr(as_counted, name) for name in basis.sums}
    return found


def change(before: Mapping[Cell, Mapping[str, int]], after: Mapping[Cell, Mapping[str, int]]) -> dict[Cell, dict[str, int]]:
    """What is to be added, to make the one of the other; nothing where nothing changed."""
    made: dict[Cell, dict[str, int]] = {}
    for cell in [*before, *(cell for cell in after if cell not in before)]:
        old, new = before.get(cell, {}), after.get(cell, {})
        differ = {name: new.get(name, 0) - old.get(name, 0) for name in SUMS if new.get(name, 0) != old.get(name, 0)}
        if differ:
            made[cell] = differ
    return made
