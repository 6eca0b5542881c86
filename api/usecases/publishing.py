"""What of a case the public is shown: dated rows per category and field, with a document. What no row allows is not shown.

Whatever the rows say, nobody of the public is shown a case that is confidential, goes to supervision or is about a squad, and nothing
of who complained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.access import Principal
from api.store.out_tables import PublicationRule
from api.store.record import Entry
from api.store.setup import ALL, DEFAULT, PUBLIC
from api.store.tables import CaseFile
from api.usecases.office import Office
from geodata import categories
from routing.errors import JieguanError

CASE, AGENCY, REASONS, PLACE, EXPECTED, ADDRESS, DESCRIPTION, MEDIA = FIELDS = tuple(PUBLIC)
SLACK = timedelta(minutes=10)
"""Clocks differ."""


class NotACategory(JieguanError):
    zh = "“{value}”不是类别代码,也不是 *(其余所有类别)。请写成 体系:代码,如 GB30428:0501。"
    en = "{value!r} is neither the code of a category nor * (all others). Write SCHEME:CODE, such as GB30428:0501."


class RuleInThePast(JieguanError):
    zh = "公开规则不能从过去的时刻({since})起生效,现在是 {now}:那时公开过什么已是事实。请选择现在或以后的时刻。"
    en = "What is public is not decided for the past ({since}; it is {now}): what was shown then was shown. Choose now or later."


class RuleFollows(JieguanError):
    zh = "类别 {category} 的“{field}”已排定从 {since} 起的规则:先后无法确定。请选择更晚的时刻。"
    en = "There is a rule for {field!r} of {category} from {since} already, so nobody could tell which holds. Choose a later time."


class NoRuleToEnd(JieguanError):
    zh = "类别 {category} 的“{field}”没有自己的现行规则可停用(其余类别的规则只能以新规则取代)。请核对列表。"
    en = "There is no rule of its own for {field!r} of {category} to be ended (those for all others are replaced). See the list."


@dataclass(frozen=True, slots=True)
class Shown:
    """The rows in force at an instant: (category, field) -> public."""

    rules: Mapping[tuple[str, str], bool]

    def __call__(self, category: str, field: str) -> bool:
        """Is it shown? By the row of the category, else by that for all others, else not."""
        return self.rules.get((category, field), self.rules.get((ALL, field), False))

    def conditions(self) -> list[Any]:
        """Which cases the public is shown at all, as conditions on `case_file`."""
        named = {of: public for (of, field), public in self.rules.items() if field == CASE and of != ALL}
        differ = sorted(of for of, public in named.items() if public != self(ALL, CASE))
        by_row = CaseFile.category.not_in(differ) if self(ALL, CASE) else CaseFile.category.in_(differ)
        return [by_row, ~CaseFile.confidential, ~CaseFile.to_supervision, CaseFile.against.is_(None)]


def shown_at(session: Session, at: datetime) -> Shown:
    """What holds at an instant."""
    here = PublicationRule.table().c
    query = sa.select(here.category, here.field, here.public).where(here.since <= at, here.until.is_(None) | (here.until > at))
    return Shown({(category, field): public for category, field, public in session.execute(query)})


def listed(of: Office) -> dict[str, Any]:
    """Every row, past ones too, in order."""
    with of.db.reading() as session:
        rows = session.scalars(sa.select(PublicationRule).order_by(*PublicationRule.table().primary_key.columns)).all()
        return {"fields": list(FIELDS), "rules": [told(row) for row in rows]}


@dataclass(frozen=True, slots=True)
class NewRule:
    """A row. `category`: a code, or `*`. `since` None: now."""

    category: str
    field: str
    public: bool
    document: str
    since: datetime | None = None


def put(of: Office, who: Principal, new: NewRule) -> dict[str, Any]:
    """A rule from an instant on; the one before it ends there. Raises NotACategory, RuleInThePast, RuleFollows."""
    now = of.now()
    since = now if new.since is None else new.since
    if new.category != ALL and not categories.is_code(new.category):
        raise NotACategory(value=new.category)
    if since < now - SLACK:
        raise RuleInThePast(since=since.isoformat(), now=now.isoformat())
    with of.book.writing() as page:
        for row in _rows(page.session, new.category, new.field):
            if row.since >= since:
                raise RuleFollows(category=new.category, field=new.field, since=row.since.isoformat())
            if row.until is None or row.until > since:
                row.until = since
        made = PublicationRule(
            category=new.category, field=new.field, since=since, until=None, public=new.public, document=new.document
        )
        page.session.add(made)
        page.enter(Entry("publication_rule_put", who.account, who.role.value, who.squad, now, told(made)))
    return told(made)


def end(of: Office, who: Principal, category: str, field: str, document: str, until: datetime | None = None) -> dict[str, Any]:
    """From an instant on a category has no rule of its own for a field any more. Raises RuleInThePast, NoRuleToEnd."""
    now = of.now()
    at = now if until is None else until
    if at < now - SLACK:
        raise RuleInThePast(since=at.isoformat(), now=now.isoformat())
    with of.book.writing() as page:
        rows = [] if category == ALL else _rows(page.session, category, field)
        held = next((row for row in rows if row.until is None and row.since < at), None)
        if held is None:
            raise NoRuleToEnd(category=category, field=field)
        held.until = at
        body = told(held) | {"document": document}
        page.enter(Entry("publication_rule_ended", who.account, who.role.value, who.squad, now, body))
    return told(held)


def _rows(session: Session, category: str, field: str) -> list[PublicationRule]:
    """In order; nobody else's to change until the transaction ends."""
    here = PublicationRule
    query = sa.select(here).where(here.category == category, here.field == field).order_by(here.since).with_for_update()
    return list(session.scalars(query))


def told(row: PublicationRule) -> dict[str, Any]:
    """A row as plain values. `default`: nobody of the bureau has decided it."""
    return {
        "category": row.category, "field": row.field, "public": row.public, "since": row.since.isoformat(),
        "until": None if row.until is None else row.until.isoformat(), "document": row.document, "default": row.document == DEFAULT,
    }  # fmt: skip
