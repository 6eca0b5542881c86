"""The cases that have ended, as the public may read them: by the rules of publication in force, and nothing of any person.

Words are published only where a rule says so, and then without what looks like a person's data: whoever complained may have written a
name or a number among them, so what cannot be told from one is left out.
"""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

from api.store import cases
from api.store.setup import vocabulary
from api.store.tables import CaseFile, Reporter
from api.usecases.intake import about_reporter
from api.usecases.office import Office, about_case, decision_of, unseal
from api.usecases.publishing import ADDRESS, AGENCY, DESCRIPTION, PLACE, REASONS, Shown, shown_at
from api.usecases.queues import After
from api.words_cases import state_words
from routing.case import State
from routing.errors import Lang

ENDED = (State.CLOSED, State.FOLLOWED_UP, State.ARCHIVED)
"""What was worked on to its end; what was not accepted is between the office and who complained."""
OUT = "***"
NUMBERS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?:\+?\d[\s()\-\u2013\u2014]?){7,}\d?[\dXx]?")
"""Addresses of mail; telephones, identity cards, accounts: eight digits or more, however they are grouped."""


def listed(of: Office, limit: int, begin: After | None, lang: Lang) -> dict[str, Any]:
    """Pages of published cases, the latest received first."""
    with of.db.reading() as session:
        shown = shown_at(session, of.now())
        query = sa.select(CaseFile).where(CaseFile.state.in_(ENDED), *shown.conditions())
        if begin is not None:
            query = query.where(CaseFile.id < begin.id)
        rows = session.scalars(query.order_by(CaseFile.id.desc()).limit(limit + 1)).all()
        names = {code: row.zh if lang == "zh-CN" else row.en for code, row in vocabulary(session, of.now()).items()}
        items = [_told(of, row, None, shown, names, lang) for row in rows[:limit]]
    last = rows[limit - 1] if len(rows) > limit else None
    return {"items": items, "next": None if last is None else After(cases.CALM, last.received_at, last.id).told()}


def one(of: Office, number: str, lang: Lang) -> dict[str, Any]:
    """A published case. One that is not published is as if it were not there. Raises UnknownCase."""
    with of.db.reading() as session:
        shown = shown_at(session, of.now())
        query = sa.select(CaseFile).where(CaseFile.number == number, CaseFile.state.in_(ENDED), *shown.conditions())
        row = session.scalars(query).one_or_none()
        if row is None:
            raise cases.UnknownCase(value=number)
        names = {code: c.zh if lang == "zh-CN" else c.en for code, c in vocabulary(session, of.now()).items()}
        return _told(of, row, session.get(Reporter, row.id), shown, names, lang)


def _told(of: Office, row: CaseFile, reporter: Reporter | None, shown: Shown, names: dict[str, str], lang: Lang) -> dict[str, Any]:
    told: dict[str, Any] = {
        "number": row.number, "category": row.category, "category_name": names.get(row.category, row.category), "state": row.state,
        "state_name": state_words(row.state, lang), "received_on": row.received_at.astimezone(of.zone).date().isoformat(),
        "ended_on": row.changed_at.astimezone(of.zone).date().isoformat(),
    }  # fmt: skip
    if shown(row.category, AGENCY):
        told["agency_responsible"] = row.holder
    if shown(row.category, REASONS):
        told["reasons"] = decision_of(row, lang)["reasons"]
    if shown(row.category, PLACE):
        lon, lat = row.place.get("wgs84", (None, None))
        told |= {"lon": lon, "lat": lat}
    fields = [field for field in (ADDRESS, DESCRIPTION) if shown(row.category, field)]
    if fields and reporter is not None:
        words = unseal(of.vault, row.key, row.words, about_case(row.number)) or {}
        contact = unseal(of.vault, row.key, reporter.sealed, about_reporter(row.number)) or {}
        told |= {field: without_persons(str(words.get(field) or ""), list(contact.values())) for field in fields if words}
    return told


def without_persons(text: str, known: list[str]) -> str:
    """Words without what is known of who complained, and without what looks like a number or address of anybody."""
    for value in sorted({v.strip() for v in known if len(v.strip()) > 1}, key=len, reverse=True):
        text = text.replace(value, OUT)
    return NUMBERS.sub(OUT, text)
