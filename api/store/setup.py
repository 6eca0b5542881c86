"""Making, opening and upgrading a database of the service: the map's section and that of the cases, and what both begin with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.store.out_tables import PublicationRule
from api.store.tables import WHOLE, CaseFile, Category, ChainHead, Rule
from geodata import categories
from geodata.db import schema
from geodata.db.engine import Database, NotInitialised, Waits, open_database
from geodata.db.schema import Schema
from routing.errors import JieguanError
from routing.model import Category as Code

GENESIS = "0" * 64
"""What the first entry of the record is chained to."""
NATIONAL = "GB/T 30428.2"
HAZARDS = frozenset(f"GB30428:{code}" for code in ("0401", "0402", "0403", "0404", "0405", "0408"))
"""Cave-ins, burst mains, fallen lines: made safe first, ruled upon later."""
MOBILE = frozenset(f"GB30428:{code}" for code in ("0501", "0502", "0509"))
"""Offenders who walk away: where neighbours agreed so, the first finder handles them."""
OWN = {
    Code("JIEGUAN:conduct"): ("执法人员行为投诉", "Complaint about an officer's conduct"),
    Code("JIEGUAN:selective"): ("选择性执法投诉", "Complaint about selective enforcement"),
}
"""Go to supervision, never to the squad complained of."""
ALWAYS = datetime(1, 1, 1, tzinfo=UTC)
RETENTION, ALL, RETENTION_DAYS = "retention_days", "*", 1095
"""How long after a case has ended it is known who complained: three years, until the bureau makes a rule of its own."""
DEFAULT = "默认 default"
"""The document of a row that nobody of the bureau has decided yet."""
PUBLIC: dict[str, bool] = {
    "case": True, "agency_responsible": True, "reasons": True, "place": True, "expected_datetime": True, "address": False,
    "description": False, "media_url": False,
}  # fmt: skip
"""What the public is shown of a case until the bureau decides. `case`: that there is one, its category, state and dates."""


def initialise(url: str | Path, work_crs: str) -> None:
    """Make the schema of the service, with the categories of the national standard and an empty record. A second time: nothing."""
    schema.initialise(url, work_crs, WHOLE)
    _begin(url)


def upgrade(url: str | Path) -> Schema:
    """Bring a database to the schema of this program; one that had only a map gets what a service begins with."""
    before = schema.upgrade(url, WHOLE)
    _begin(url)
    return before


def opened(url: str | Path, waits: Waits | None = None) -> Database:
    """An initialised database of the service. Raises what `open_database` raises."""
    db = open_database(url, waits=waits or Waits(), sections=WHOLE)
    with db.reading() as session:
        begun = session.get(ChainHead, 1) is not None
    if not begun:  # it was stopped between the schema and its first rows
        db.close()
        raise NotInitialised(url=db.url)
    return replace(db, upon_publication=refuse_to_orphan)


class SquadsStillHold(JieguanError):
    zh = "新地图中没有(或不能承办案件的)中队仍承办着未结案件:{squads}。发布后这些案件无人可办。请先转派或结案,或在地图中保留该中队。"
    en = (
        "Squads that the new map does not have, or that could hold no case in it, still hold open ones: {squads}. Nobody could work on "
        "those. Transfer or close them first, or keep the squad on the map."
    )


def refuse_to_orphan(session: Session, squads: frozenset[str]) -> None:
    """No map without a squad that holds open cases. Raises SquadsStillHold."""
    query = sa.select(CaseFile.holder, sa.func.count()).where(CaseFile.open, CaseFile.holder.not_in(squads))
    held = session.execute(query.group_by(CaseFile.holder).order_by(CaseFile.holder)).all()
    if held:
        raise SquadsStillHold(squads=", ".join(f"{squad} ({count})" for squad, count in held))


def _begin(url: str | Path) -> None:
    with open_database(url, sections=WHOLE) as db, db.writing() as session:
        if session.get(ChainHead, 1) is None:
            session.add(ChainHead(id=1, event_id=0, hash=GENESIS))
            session.add_all(_vocabulary())
            session.add(Rule(name=RETENTION, scope=ALL, since=ALWAYS, until=None, value=RETENTION_DAYS, document=DEFAULT))
            session.add_all(
                PublicationRule(category=ALL, field=field, since=ALWAYS, until=None, public=public, document=DEFAULT)
                for field, public in PUBLIC.items()
            )


def _vocabulary() -> list[Category]:
    names = {**categories.names(), **OWN}
    return [
        Category(
            code=code, since=ALWAYS, until=None, zh=zh, en=en, hazard=code in HAZARDS, mobile=code in MOBILE,
            to_supervision=code in OWN, document=NATIONAL if code in categories.names() else "jieguan",
        )
        for code, (zh, en) in names.items()
    ]  # fmt: skip


def vocabulary(session: Session, at: datetime) -> dict[str, Category]:
    """The categories in use at an instant, by code."""
    rows = session.query(Category).filter(Category.since <= at, (Category.until.is_(None)) | (Category.until > at))
    return {row.code: row for row in rows}
