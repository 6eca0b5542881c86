"""Cases as lists: a squad's queue, everybody's cases, the story of one. Read only; pages go on after the last line of the one before."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.access import Principal, sees
from api.store import cases
from api.store.tables import CaseFile, Event, Part
from api.usecases import clocks
from api.usecases.erasure import ERASED
from api.usecases.office import LOOKS, Office, about_event, brief, relation, shown_to, unseal, visible, whole
from api.words_cases import ACTIONS, action_words, outcome_words
from api.words_limits import effect_words
from geodata.db.both import instant_text
from routing.case import Role
from routing.errors import JieguanError, Lang

OF_SQUADS = frozenset({Role.LEADER, Role.MEMBER})
MOST = 200


class BadCursor(JieguanError):
    zh = "after“{value}”不是本服务给出的续页标记。请用上一页返回的 next,或从第一页开始。"
    en = "after {value!r} is no mark of ours. Use `next` of the page before, or begin at the first."


class NotYourQueue(JieguanError):
    zh = "没有中队“{value}”的队列,或您无权查看。请查看本中队的队列。"
    en = "There is no queue of the squad {value!r}, or it is not yours to see. Look at your own."


@dataclass(frozen=True, slots=True)
class Filters:
    """Which cases of a list. `closed` False: open ones only, True: ended ones only, None: both."""

    part: str | None = None
    state: str | None = None
    category: str | None = None
    doubtful: bool | None = None
    closed: bool | None = False
    holder: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class After:
    """Where a page ended: rank, then time of receipt, then id."""

    rank: int
    received_at: datetime
    id: int

    def told(self) -> str:
        """As a mark in an address."""
        return base64.urlsafe_b64encode(json.dumps([self.rank, instant_text(self.received_at), self.id]).encode()).decode().rstrip("=")


def after(mark: str | None) -> After | None:
    """The end of a page by its mark. Raises BadCursor."""
    if mark is None:
        return None
    try:
        rank, at, case = json.loads(base64.urlsafe_b64decode(mark + "=" * (-len(mark) % 4)))
        begin = After(int(rank), datetime.fromisoformat(at).astimezone(UTC), int(case))
    except (binascii.Error, ValueError, TypeError, OverflowError, UnicodeDecodeError) as error:
        raise BadCursor(value=mark[:60]) from error
    if begin.rank not in cases.RANKS or not 0 <= begin.id < 2**63:
        raise BadCursor(value=mark[:60])
    return begin


def queue(of: Office, who: Principal, squad: str, filters: Filters, limit: int, begin: After | None, lang: Lang) -> dict[str, Any]:
    """A squad's cases: those it holds, is joint or assists in, held before; red first, then doubtful, then by age. Raises NotYourQueue."""
    if who.role in OF_SQUADS and who.squad != squad:
        raise NotYourQueue(value=squad)
    with of.db.reading() as session:
        rows = page_of_squad(session, squad, filters, limit + 1, begin, shown_to(who))
        seen = [(row, part) for row, part in rows[:limit] if sees(who.role, relation(row, who, part if who.squad == squad else None))]
        items = [brief(of, row, lang, part) for row, part in seen]
    return {"squad": squad, "items": items, "next": _next([row for row, _ in rows], limit)}


def page_of_squad(
    session: Session, squad: str, filters: Filters, limit: int, begin: After | None, shown: Sequence[Any] = ()
) -> list[tuple[CaseFile, str]]:
    """Cases of a squad with its part in each, by one range of an index. `shown`: whose eyes they are for."""
    conditions = [Part.squad == squad, *shown]
    if filters.part is not None:
        conditions.append(Part.part == filters.part)
    query = sa.select(CaseFile, Part.part).join(Part, Part.case_id == CaseFile.id)
    query = _ordered(query, Part.open, (Part.rank, Part.received_at, Part.case_id), conditions, filters, begin)
    return [(row, part) for row, part in session.execute(query.limit(limit))]


def found(of: Office, who: Principal, filters: Filters, limit: int, begin: After | None, lang: Lang) -> dict[str, Any]:
    """Every case this person may see, in the order of a queue."""
    if who.role in OF_SQUADS:
        return queue(of, who, str(who.squad), filters, limit, begin, lang)
    with of.db.reading() as session:
        rows = page_of_all(session, who, filters, limit + 1, begin)
        items = [brief(of, row, lang) for row in rows[:limit] if sees(who.role, relation(row, who, None))]
    return {"items": items, "next": _next(rows, limit)}


def page_of_all(session: Session, who: Principal, filters: Filters, limit: int, begin: After | None) -> list[CaseFile]:
    """Cases of all squads; of a machine only those it brought."""
    order = (CaseFile.rank, CaseFile.received_at, CaseFile.id)
    query = _ordered(sa.select(CaseFile), CaseFile.open, order, shown_to(who), filters, begin)
    return list(session.scalars(query.limit(limit)))


def _ordered(
    query: Any, is_open: Any, order: tuple[Any, Any, Any], conditions: Sequence[Any], filters: Filters, begin: After | None
) -> Any:
    """In the order of a queue, after a line; red and doubtful first. Which are open is part of the index."""
    rank, received, case = order
    if filters.closed is not None:
        conditions = [*conditions, is_open == (not filters.closed)]
    for column, wanted in ((CaseFile.state, filters.state), (CaseFile.category, filters.category), (CaseFile.holder, filters.holder)):
        if wanted is not None:
            conditions = [*conditions, column == wanted]
    if filters.doubtful is not None:
        conditions = [*conditions, CaseFile.doubtful == filters.doubtful]
    if filters.since is not None:
        conditions = [*conditions, received >= filters.since]
    if filters.until is not None:
        conditions = [*conditions, received < filters.until]
    if begin is not None:
        there = (sa.literal(begin.rank, rank.type), sa.literal(begin.received_at, received.type), sa.literal(begin.id, case.type))
        conditions = [*conditions, sa.tuple_(rank, received, case) > sa.tuple_(*there)]
    return query.where(*conditions).order_by(rank, received, case)


def _next(rows: Sequence[CaseFile], limit: int) -> str | None:
    """The mark of the next page, where there is one more line than was asked for."""
    if len(rows) <= limit:
        return None
    last = rows[limit - 1]
    return After(last.rank, last.received_at, last.id).told()


def one(of: Office, who: Principal, number: str, lang: Lang) -> dict[str, Any]:
    """A case, whole. Raises UnknownCase."""
    with of.db.reading() as session:
        row = visible(session, cases.find(session, number), who)
        return whole(of, row, who, lang, cases.part_of(session, row, who.squad)) | {
            "sides": sides_told(session, row), "clocks": clocks.told(session, row, of.now(), lang),
        }  # fmt: skip


def sides_told(session: Session, row: CaseFile) -> list[dict[str, Any]]:
    """What there is beside a case, as plain values."""
    return [
        {
            "kind": s.kind, "squad": s.squad, "opened_at": s.opened_at.isoformat(), "opened_by": s.opened_by,
            "due": None if s.due is None else s.due.isoformat(), "closed_at": None if s.closed_at is None else s.closed_at.isoformat(),
            "outcome": s.outcome,
        }
        for s in cases.sides(session, row)
    ]  # fmt: skip


CLUSTERED, OF_THE_CASE = "clustered", frozenset({"number", "version", "cluster"})
"""Which other cases are of the cluster is told by itself, to those who may see them."""


def story(of: Office, who: Principal, number: str, lang: Lang) -> dict[str, Any]:
    """What was done to a case, in order, in words; who looked at what is told apart (`reporters.accesses`). Raises UnknownCase."""
    with of.db.reading() as session:
        row = visible(session, cases.find(session, number), who)
        events = session.scalars(sa.select(Event).where(Event.case_id == row.id, Event.kind.not_in(LOOKS)).order_by(Event.id))
        return {"number": number, "events": [event_told(of, row, event, lang) for event in events]}


def event_told(of: Office, row: CaseFile, event: Event, lang: Lang) -> dict[str, Any]:
    """An entry of the record as a line of a story."""
    said = None if event.kind == ERASED else event.words  # why it was erased is for supervision
    words = unseal(of.vault, event.body.get("key") or row.key, said, about_event(row.number))
    action = event.body.get("action")
    facts = {name: fact for name, fact in event.body.items() if event.kind != CLUSTERED or name in OF_THE_CASE}
    return {
        "id": event.id, "at": event.at.isoformat(), "kind": event.kind, "actor": event.actor, "role": event.role, "squad": event.squad,
        "action": action, "action_name": _name_of(event, lang),
        "outcome_name": outcome_words(event.body["outcome"], lang) if "outcome" in event.body else None,
        "facts": facts, "words": words, "hash": event.hash,
    }  # fmt: skip


def _name_of(event: Event, lang: Lang) -> str | None:
    if event.kind == clocks.KIND:
        return effect_words(event.body["effect"], lang)
    action = event.body.get("action")
    return action_words(action, lang) if action in set(ACTIONS) else None


def held(of: Office, who: Principal, number: str) -> dict[str, Any]:
    """Who held a case from when to when. Raises UnknownCase."""
    with of.db.reading() as session:
        row = visible(session, cases.find(session, number), who)
        return {"number": number, "holdings": holdings_told(session, row)}


def holdings_told(session: Session, row: CaseFile) -> list[dict[str, Any]]:
    """Who held a case from when to when, as plain values."""
    return [
        {"squad": h.squad, "since": h.since.isoformat(), "until": None if h.until is None else h.until.isoformat()}
        for h in cases.holdings(session, row)
    ]
