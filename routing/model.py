"""The nouns of routing: frozen values that know nothing of files, tables or HTTP.

Places are in the city's metres (the work CRS of the map, x east, y north). Instants are timezone-aware.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from routing.errors import JieguanError

SquadCode = NewType("SquadCode", str)
ClaimId = NewType("ClaimId", str)
Category = NewType("Category", str)
"""A category code with its scheme, `GB30428:0501`: the same number means other things in other schemes."""


class NaiveInstant(JieguanError):
    zh = "时间“{value}”没有时区:同一时刻在不同地方会落在期限的两侧。请写明时区,例如 2024-05-01T08:00:00+08:00。"
    en = "The instant {value!r} has no time zone, so it may fall on either side of a limit. State one: 2024-05-01T08:00:00+08:00."


class EmptyPeriod(JieguanError):
    zh = "“{of}”的期限在开始之前结束(since={since},until={until}):它永远不会生效。请更正 since 或 until。"
    en = "The period of {of!r} ends before it starts (since={since}, until={until}), so it would never hold. Correct since or until."


class SquadKind(StrEnum):
    TERRITORIAL = "territorial"
    DIRECT = "direct"
    EXTERNAL = "external"


class AgreementRule(StrEnum):
    WHOLE = "whole"
    BY_CATEGORY = "by_category"
    ALTERNATE = "alternate"
    FIRST_FINDER = "first_finder"


class Cycle(StrEnum):
    """How long a turn of an `alternate` agreement lasts."""

    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the city's metres. `error_m` is the radius in which the true place lies."""

    x: float
    y: float
    error_m: float = 0.0


@dataclass(frozen=True, slots=True)
class Squad:
    """A unit that can hold a case. Exactly one squad of a map has `duty` set."""

    code: SquadCode
    name: str = ""
    kind: SquadKind = SquadKind.TERRITORIAL
    duty: bool = False
    township: str | None = None
    phone: str = ""
    office: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Period:
    """Half-open `since <= t < until`; None is open. A claim that ends when another starts never overlaps it."""

    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        for instant in (self.since, self.until):
            if instant is not None and instant.utcoffset() is None:
                raise NaiveInstant(value=instant.isoformat())
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise EmptyPeriod(of="period", since=self.since.isoformat(), until=self.until.isoformat())

    def __contains__(self, moment: datetime) -> bool:
        return (self.since is None or self.since <= moment) and (self.until is None or moment < self.until)


ALWAYS = Period()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A dated, documented fact about a piece of ground. The ground itself is kept beside it, see `Grounds`."""

    id: ClaimId
    period: Period = ALWAYS
    document: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Territory(Claim):
    """A squad's own ground. A lower `priority` leads where grounds meet or overlap. `accuracy_m`: of its lines."""

    squad: SquadCode
    priority: int = 0
    accuracy_m: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Township(Claim):
    """A township's ground; `squad` is posted there, if any. It settles disputes and is reported, it does not lead."""

    code: str
    squad: SquadCode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement(Claim):
    """What two neighbours settled for their common border.

    Without a ground of its own it holds in the whole border zone of `parties` and where their grounds overlap.
    `categories` empty means all. `lead` decides for WHOLE and BY_CATEGORY, and starts for ALTERNATE.
    """

    parties: tuple[SquadCode, SquadCode]
    rule: AgreementRule = AgreementRule.WHOLE
    lead: SquadCode | None = None
    categories: frozenset[Category] = frozenset()
    cycle: Cycle = Cycle.MONTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Designation(Claim):
    """A superior's order: this zone, or this one case (`case`), belongs to `squad`. `categories` empty means all."""

    squad: SquadCode
    categories: frozenset[Category] = frozenset()
    issued_by: str = ""
    dated: datetime | None = None
    case: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotServed(Claim):
    """Ground that is explicitly somebody else's: a referral, never a hole."""

    authority: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest(Claim):
    """Ground of no territory, inside the extent, to which `squad` is the nearest. Made when a map is compiled."""

    squad: SquadCode
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectCategory(Claim):
    """A category that belongs to a direct squad or an external unit wherever it happens."""

    category: Category
    squad: SquadCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch(Claim):
    """A stretch of border with a zone or an accuracy of its own, metres; None: as everywhere else. Its line is kept beside it;
    without one it is the whole border of its two sides.

    `sides`: codes of the squads or townships it parts; empty is any. Of several on one line a drawn one goes before one without a line,
    then the later `since`, then the lower id.
    """

    sides: tuple[str, ...] = ()
    zone_m: float | None = None
    accuracy_m: float | None = None


class Step(StrEnum):
    """The rungs of the ladder, in order."""

    CASE_ORDER = "case_order"
    DESIGNATED_CATEGORY = "designated_category"
    DIRECT = "direct"
    DESIGNATED = "designated"
    NOT_SERVED = "not_served"
    AGREED = "agreed"
    OWN_GROUND = "own_ground"
    BORDER = "border"
    DISPUTED = "disputed"
    NEAREST = "nearest"
    ON_DUTY = "on_duty"


@dataclass(frozen=True, slots=True)
class Reason:
    """One step, what it found, and the claim it chose. Codes only: the wording belongs to the reader's language."""

    step: Step
    found: tuple[ClaimId, ...] = ()
    chosen: ClaimId | None = None


@dataclass(frozen=True, slots=True)
class Pin:
    """All that a decision depended on besides its input, so that it can be made again to the letter."""

    map_version: str
    rules_version: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the ladder says of a situation: never None, exactly one lead."""

    lead: SquadCode
    assist: tuple[SquadCode, ...]
    step: Step
    reasons: tuple[Reason, ...]
    unsure: bool = False
    """The step itself is a default (disputed, nearest, on duty): a person should look."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one complaint. `margin_m` is capped; `runner_up` leads beyond it (of two as near the lower code), None at the cap."""

    squad: SquadCode
    assist: tuple[SquadCode, ...]
    step: Step
    reasons: tuple[Reason, ...]
    doubtful: bool
    margin_m: float
    runner_up: SquadCode | None
    pin: Pin
    township: str | None = None
