"""Who complained: shown masked to those who may call back, in full to whoever says why, once that is in the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.access import PROTECTED, Principal, masked, reveals
from api.store import cases
from api.store.record import Entry
from api.store.tables import CaseFile, Event, Reporter
from api.usecases.intake import about_reporter
from api.usecases.office import LOOKS, REVEALED, Office, about_event, relation, seal, unseal, visible
from api.vault import KeyDestroyed
from routing.errors import JieguanError

NOBODY: Mapping[str, str | None] = dict.fromkeys(PROTECTED)


class NotYoursToReveal(JieguanError):
    zh = "案件 {number} 的投诉人信息不对您开放:只有承办或联合办理的中队(投诉人未要求保密时)、受理人员和督查可以查看。请由受理人员代为联系。"
    en = (
        "Who complained in case {number} is not for you to see: only the squads that handle it (unless the caller asked for "
        "confidence), the office and supervision may. Let the office call back."
    )


class ReasonMissing(JieguanError):
    zh = "查看投诉人信息须写明理由(reason):每次查看都记录在案。请补填,例如“回访”。"
    en = "To see who complained takes a reason (reason), since each look is recorded. State it, such as \"to call back\"."


def reporter(of: Office, who: Principal, number: str) -> dict[str, Any]:
    """Who complained, masked; nothing at all to those who may not ask for it in full. Raises UnknownCase."""
    with of.db.reading() as session:
        row = visible(session, cases.find(session, number), who)
        return {"number": number, **reporter_told(of, session, row, who)}


def reporter_told(of: Office, session: Session, row: CaseFile, who: Principal) -> dict[str, Any]:
    """Who complained in a case he may see, as far as he is shown it without asking."""
    if not _may(session, row, who):
        return {"may_reveal": False, "anonymous": None, "erased": None, "contact": dict(NOBODY)}
    anonymous, erased, contact = read(of, session, row)
    return {"may_reveal": True, "anonymous": anonymous, "erased": erased, "contact": masked(contact, True)}


def reveal(of: Office, who: Principal, number: str, reason: str) -> dict[str, Any]:
    """Who complained, in full. Where there is somebody to see, the look is committed to the record before this returns.

    Raises UnknownCase, NotYoursToReveal, ReasonMissing.
    """
    if not reason.strip():
        raise ReasonMissing
    with of.book.writing() as page:
        row = visible(page.session, cases.find(page.session, number), who)
        if not _may(page.session, row, who):
            raise NotYoursToReveal(number=number)
        anonymous, erased, contact = read(of, page.session, row)
        if contact:
            try:
                words = seal(of.vault, row.key, {"reason": reason.strip()}, about_event(number))
            except KeyDestroyed:  # erased in this very moment
                erased, contact = True, {}
            else:
                body = {"number": number, "version": row.version, "fields": sorted(contact)}
                page.enter(Entry(REVEALED, who.account, who.role.value, who.squad, of.now(), body, row.id, words))
    return {"number": number, "anonymous": anonymous, "erased": erased, "contact": {**NOBODY, **contact}}


def accesses(of: Office, who: Principal, number: str) -> dict[str, Any]:
    """Who saw what of who complained and of sealed files, when and why, in order. Raises UnknownCase."""
    with of.db.reading() as session:
        row = visible(session, cases.find(session, number), who)
        found = session.scalars(sa.select(Event).where(Event.case_id == row.id, Event.kind.in_(LOOKS)).order_by(Event.id))
        return {"number": number, "accesses": [_told(of, row, event) for event in found]}


def _told(of: Office, row: CaseFile, event: Event) -> dict[str, Any]:
    words = unseal(of.vault, row.key, event.words, about_event(row.number))
    return {
        "id": event.id, "at": event.at.isoformat(), "kind": event.kind, "actor": event.actor, "role": event.role, "squad": event.squad,
        "fields": event.body.get("fields", []), "attachment": event.body.get("attachment"),
        "reason": None if words is None else words["reason"],
    }  # fmt: skip


def _may(session: Session, row: CaseFile, who: Principal) -> bool:
    return reveals(who.role, relation(row, who, cases.part_of(session, row, who.squad)))


def read(of: Office, session: Session, row: CaseFile) -> tuple[bool, bool, dict[str, str]]:
    """Whether nobody was named, whether it was erased, and what is known."""
    kept = session.get(Reporter, row.id)
    if kept is None:
        return True, False, {}
    contact = unseal(of.vault, row.key, kept.sealed, about_reporter(row.number)) or {}
    return kept.anonymous, kept.erased_at is not None or (kept.sealed is not None and not contact), contact
