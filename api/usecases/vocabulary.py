"""The categories of complaints: dated rows with a document. One is added, and ended; what it said while it was in use stays."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from api.access import Principal
from api.store.record import Entry
from api.store.tables import Category
from api.usecases.office import Office
from geodata import categories
from routing.errors import JieguanError


class BadCategory(JieguanError):
    zh = "类别“{value}”不成立:须写成 体系:代码(如 GB30428:2101),国标体系中自定类别的大类从 21 起。请更正。"
    en = "{value!r} is no category: write SCHEME:CODE (GB30428:2101); a city's own begin at main type 21 of GB30428. Correct it."


class CategoryInUse(JieguanError):
    zh = "类别“{value}”在 {since} 至 {until} 期间已有一条:同一时刻只能有一条。请先停用它,或改选时间。"
    en = "The category {value!r} has a row from {since} to {until}, and there is one at any instant. End that one, or choose another time."


class NoSuchCategory(JieguanError):
    zh = "现在没有在用的类别“{value}”可停用。请核对代码(GET /api/v1/categories)。"
    en = "There is no category {value!r} in use to be ended. Check the code (GET /api/v1/categories)."


class EndsBeforeItBegins(JieguanError):
    zh = "类别“{value}”的停用时间 {until} 不晚于启用时间 {since}:这样它从未有效。请更正。"
    en = "The category {value!r} would end at {until}, not after it began at {since}, and never have been in use. Correct it."


@dataclass(frozen=True, slots=True)
class NewCategory:
    """A row. `since` None: now. `hazard`: made safe first. `mobile`: offenders who walk away. `to_supervision`: about officers."""

    code: str
    zh: str
    en: str
    document: str
    since: datetime | None = None
    until: datetime | None = None
    hazard: bool = False
    mobile: bool = False
    to_supervision: bool = False


def add(of: Office, who: Principal, new: NewCategory) -> dict[str, Any]:
    """Put a category in use. Raises BadCategory, CategoryInUse, EndsBeforeItBegins."""
    now = of.now()
    since = now if new.since is None else new.since
    if not categories.is_code(new.code):
        raise BadCategory(value=new.code)
    if new.until is not None and new.until <= since:
        raise EndsBeforeItBegins(value=new.code, since=since.isoformat(), until=new.until.isoformat())
    with of.book.writing() as page:
        for row in page.session.scalars(sa.select(Category).where(Category.code == new.code).with_for_update()):
            if (row.until is None or since < row.until) and (new.until is None or row.since < new.until):
                raise CategoryInUse(value=new.code, since=row.since.isoformat(), until="-" if row.until is None else row.until.isoformat())
        made = Category(**{**asdict(new), "since": since})
        page.session.add(made)
        page.enter(Entry("category_added", who.account, who.role.value, who.squad, now, told(made) | {"document": new.document}))
    return told(made)


def end(of: Office, who: Principal, code: str, until: datetime | None, document: str) -> dict[str, Any]:
    """Take a category out of use, from `until` on (None: now). Raises NoSuchCategory, EndsBeforeItBegins."""
    now = of.now()
    at = now if until is None else until
    with of.book.writing() as page:
        query = sa.select(Category).where(Category.code == code, Category.until.is_(None)).with_for_update()
        row = page.session.scalars(query).one_or_none()
        if row is None:
            raise NoSuchCategory(value=code[:80])
        if at <= row.since:
            raise EndsBeforeItBegins(value=code, since=row.since.isoformat(), until=at.isoformat())
        row.until = at
        page.enter(Entry("category_ended", who.account, who.role.value, who.squad, now, told(row) | {"document": document}))
    return told(row)


def told(row: Category) -> dict[str, Any]:
    """A row as plain values."""
    return {
        "code": row.code, "zh": row.zh, "en": row.en, "hazard": row.hazard, "mobile": row.mobile, "to_supervision": row.to_supervision,
        "since": row.since.isoformat(), "until": None if row.until is None else row.until.isoformat(), "document": row.document,
    }  # fmt: skip
