"""What the use cases of cases are handed, and what several of them say: cases as plain values, words sealed and unsealed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.access import CALLS, Principal, Row, sees
from api.store import cases
from api.store.record import Book
from api.store.tables import CaseFile
from api.usecases.map_route import reasons_told
from api.usecases.signs import SignsKept
from api.vault import KeyDestroyed, Vault
from api.words import step_words
from api.words_cases import channel_words, part_words, state_words
from geodata import store
from geodata.db.engine import Database
from geodata.store import Maps
from routing.case import Action, Actor, Role, allowed
from routing.errors import Lang
from routing.jurisdiction import JurisdictionMap
from routing.model import SquadCode, Step

REVEALED, LOOKED_AT = "revealed", "looked_at"
LOOKS = (REVEALED, LOOKED_AT)
"""Entries of the record that tell who saw what: for supervision, not for those whose looks they are."""


@dataclass(frozen=True, slots=True, eq=False)
class Office:
    """The database, the maps kept in memory, the record, the keys, the clock, and the zone in which a day begins."""

    db: Database
    maps: Maps
    book: Book
    vault: Vault
    now: Callable[[], datetime]
    zone: tzinfo
    signs: SignsKept = field(default_factory=SignsKept)

    def map_at(self, session: Session, at: datetime) -> tuple[str, JurisdictionMap]:
        """The map in force at an instant, by its name. Raises NothingInForce."""
        version = store.in_force(session, at).version
        return version, self.maps.of(session, version)


def visible(session: Session, row: CaseFile, who: Principal) -> CaseFile:
    """The row, if it is his to see; else it is as if it were not there. Raises UnknownCase."""
    if not sees(who.role, relation(row, who, cases.part_of(session, row, who.squad))):
        raise cases.UnknownCase(value=row.number)
    return row


def relation(row: CaseFile, who: Principal, part: str | None) -> Row:
    """What somebody has to do with a case."""
    return Row(
        part=part, created=row.created_by == who.account, against=row.against is not None and row.against == who.squad,
        to_supervision=row.to_supervision, confidential=row.confidential,
    )  # fmt: skip


def shown_to(who: Principal) -> list[Any]:
    """What `sees` says of a case, as conditions; of a squad's people, beside its part in it.

    Left to the rows of a page, what is hidden would show: in pages that come short, and in the mark of the next.
    """
    hidden = [] if who.squad is None else [sa.or_(CaseFile.against.is_(None), CaseFile.against != who.squad)]
    if who.role in CALLS:
        return [*hidden, sa.or_(~CaseFile.to_supervision, CaseFile.created_by == who.account)]
    return [*hidden, CaseFile.created_by == who.account] if who.role is Role.MACHINE else hidden


# ---- words -----------------------------------------------------------------------------------------------------------


def seal(vault: Vault, key: str, words: Mapping[str, Any], about: str) -> bytes:
    """What somebody wrote, as JSON, sealed."""
    return vault.seal(key, json.dumps(words, ensure_ascii=False, sort_keys=True).encode(), about)


def unseal(vault: Vault, key: str, sealed: bytes | None, about: str) -> dict[str, Any] | None:
    """What somebody wrote; None once it has been erased."""
    if sealed is None:
        return None
    try:
        words: dict[str, Any] = json.loads(vault.unseal(key, bytes(sealed), about))
    except KeyDestroyed:
        return None
    return words


def about_case(number: str) -> str:
    """What the words of a case are sealed to."""
    return f"case {number} words"


def about_event(number: str) -> str:
    """What the words of its history are sealed to."""
    return f"case {number} event"


# ---- as plain values -------------------------------------------------------------------------------------------------


def brief(of: Office, row: CaseFile, lang: Lang, part: str | None = None) -> dict[str, Any]:
    """A case as a line of a queue."""
    words = unseal(of.vault, row.key, row.words, about_case(row.number))
    said = None if words is None else str(words["description"])
    return {
        "number": row.number, "version": row.version, "state": row.state, "state_name": state_words(row.state, lang),
        "category": row.category, "holder": row.holder, "lead": row.lead, "assist": list(row.assist), "joint": list(row.joint),
        "offered": row.offered, "part": part, "part_name": None if part is None else part_words(part, lang),
        "doubtful": row.doubtful, "hazard": row.hazard, "red": row.rank == cases.RED, "supervisions": row.supervisions,
        "confidential": row.confidential, "received_at": _text(row.received_at), "due_at": _text(row.due_at),
        "lon": row.place.get("wgs84", [None, None])[0], "lat": row.place.get("wgs84", [None, None])[1],
        "summary": None if said is None else said[:80], "address": None if words is None else words["address"],
        "cluster": row.cluster_id,
    }  # fmt: skip


def whole(of: Office, row: CaseFile, who: Principal, lang: Lang, part: str | None = None) -> dict[str, Any]:
    """A case, whole: what it is about, who decided what, and what this person may do to it now. Nothing of who complained."""
    words = unseal(of.vault, row.key, row.words, about_case(row.number))
    return brief(of, row, lang, part) | {
        "description": None if words is None else words["description"],
        "erased": words is None, "address_id": (words or {}).get("address_id"), "media_url": (words or {}).get("media_url"),
        "channel": row.channel, "channel_name": channel_words(row.channel, lang), "occurred_at": _text(row.occurred_at),
        "found_by": row.found_by, "place": dict(row.place), "error_m": row.error_m,
        "returns": row.returns, "rework": row.rework, "reopened": row.reopened, "replied": row.replied, "attempts": row.attempts,
        "parts": list(row.parts),
        "suspension_asked": row.suspension_asked, "extension_asked": row.extension_asked, "to_supervision": row.to_supervision,
        "decision": decision_of(row, lang),
        "allowed": [action.value for action in may_do(row, who)],
    }  # fmt: skip


def decision_of(row: CaseFile, lang: Lang) -> dict[str, Any]:
    """The decision that routed the case, as `map_route.decision_told` tells one."""
    return {
        "squad": row.lead, "assist": list(row.assist), "step": row.step, "step_name": step_words(Step(row.step), lang)[0],
        "doubtful": row.doubtful, "margin_m": round(row.margin_m, 3), "runner_up": row.runner_up, "township": row.township,
        "reasons": reasons_told(row.reasons, lang),
        "pin": {"version": row.map_version, "rules_version": row.rules_version},
    }  # fmt: skip


def may_do(row: CaseFile, who: Principal) -> list[Action]:
    """What somebody may do to a case now, in the order of the table."""
    case = cases.case_of(row)
    found = [action for actor in actors(row, who) for action in allowed(case, actor)]
    return list(dict.fromkeys(found))


def actors(row: CaseFile, who: Principal) -> Iterable[Actor]:
    """As whom somebody may act on a case. What goes to supervision has its desk there, and is handled there, too."""
    yield who.actor
    if row.to_supervision and who.role is Role.SUPERVISOR:
        for role in (Role.DISPATCHER, Role.OPERATOR):
            yield Actor(who.account, role)
        yield Actor(who.account, Role.LEADER, SquadCode(row.holder))


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
