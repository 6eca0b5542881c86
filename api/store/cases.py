"""Cases in and out of their tables: the one place that writes `case_file` and what is derived from it.

    add(session, row)                  a new case; the database begins its holding
    locked(session, number)            the row, for one writer at a time
    put(session, row, case, at)        the case after a move: one version more, later than before, parts and rank with it

Who sees a case is `case_part`: written here together with the case, so that a queue and a right never say different things.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as lite_insert
from sqlalchemy.orm import Session

from api.store.tables import CaseFile, Cluster, Counter, Holding, Part, Side
from routing.case import Case, State
from routing.errors import JieguanError
from routing.model import SquadCode

TICK = timedelta(microseconds=1)
RED, DOUBTFUL, CALM = RANKS = 0, 1, 2
"""Ranks of a queue."""
LISTS = {"parts", "joint"}


class UnknownCase(JieguanError):
    zh = "没有编号为“{value}”的案件,或您无权查看。请核对编号。"
    en = "There is no case {value!r}, or it is not yours to see. Check the number."


# ---- values ----------------------------------------------------------------------------------------------------------


def case_of(row: CaseFile) -> Case:
    """The case as the state machine knows it."""
    stored = {f.name: getattr(row, f.name) for f in fields(Case)}
    stored |= {name: tuple(SquadCode(s) for s in stored[name]) for name in LISTS}
    return Case(**{**stored, "state": State(row.state)})


def columns_of(case: Case) -> dict[str, Any]:
    """A case as columns of its row."""
    columns = {f.name: getattr(case, f.name) for f in fields(Case)}
    columns |= {name: list(columns[name]) for name in LISTS}
    return {**columns, "state": case.state.value, "open": case.open}


def rank_of(row: CaseFile, at: datetime) -> int:
    """Red: a hazard, under supervision, or late by then; else doubtful or not."""
    if row.hazard or row.supervisions or (row.open and row.due_at is not None and row.due_at < at):
        return RED
    return DOUBTFUL if row.doubtful else CALM


def next_instant(now: datetime, after: datetime) -> datetime:
    """Now, or just after what happened last: the clock may be set back, the order of things may not."""
    return max(now, after + TICK)


# ---- writing ---------------------------------------------------------------------------------------------------------


def next_number(session: Session, day: dt.date) -> str:
    """`20261122-000017`: the seventeenth of a day. Whoever asks next waits until this transaction ends, and gaps are possible."""
    insert = pg_insert if session.get_bind().dialect.name == "postgresql" else lite_insert
    name = f"case {day:%Y%m%d}"
    query = insert(Counter).values(name=name, value=1)
    query = query.on_conflict_do_update(index_elements=["name"], set_={"value": Counter.value + 1})
    return f"{day:%Y%m%d}-{session.scalar(query.returning(Counter.value)):06d}"


def add(session: Session, row: CaseFile) -> None:
    """A new case, with its parts."""
    row.version, row.rank = 1, rank_of(row, row.changed_at)
    session.add(row)
    session.flush()
    _keep_parts(session, row)


def locked(session: Session, number: str) -> CaseFile:
    """The row of a case, nobody else's to change until the transaction ends. Raises UnknownCase."""
    row = session.scalars(sa.select(CaseFile).where(CaseFile.number == number).with_for_update()).one_or_none()
    if row is None:
        raise UnknownCase(value=number)
    return row


def find(session: Session, number: str) -> CaseFile:
    """The row of a case, to be looked at. Raises UnknownCase."""
    row = session.scalars(sa.select(CaseFile).where(CaseFile.number == number)).one_or_none()
    if row is None:
        raise UnknownCase(value=number)
    return row


def put(session: Session, row: CaseFile, case: Case, at: datetime, **more: Any) -> None:
    """A locked row after a move. `more`: other columns that changed with it."""
    for name, value in (columns_of(case) | more).items():
        setattr(row, name, value)
    row.version, row.changed_at = row.version + 1, next_instant(at, row.changed_at)
    row.rank = rank_of(row, row.changed_at)
    session.flush()
    _keep_parts(session, row)


def _keep_parts(session: Session, row: CaseFile) -> None:
    """What each squad has to do with the case. Who once had a part keeps the right to look back at it."""
    wanted: dict[str, str] = dict.fromkeys([row.lead, *row.assist], "assists")
    if row.offered is not None:
        wanted[row.offered] = "assists"
    wanted |= dict.fromkeys([*row.parts, *row.joint], "joint")
    there = {part.squad: part for part in session.scalars(sa.select(Part).where(Part.case_id == row.id))}
    for squad, part in there.items():
        if part.part in ("holds", "formerly"):
            wanted[squad] = "formerly" if wanted.get(squad) != "joint" else "joint"
    wanted[row.holder] = "holds"
    for squad in there.keys() - wanted.keys():
        session.delete(there[squad])
    # The one who lets go first: the database allows one holder at any moment.
    for squad in sorted(wanted, key=lambda s: wanted[s] == "holds"):
        facts = {"part": wanted[squad], "open": row.open, "rank": row.rank, "received_at": row.received_at}
        if squad in there:
            for name, value in facts.items():
                setattr(there[squad], name, value)
        else:
            session.add(Part(case_id=row.id, squad=squad, **facts))
        session.flush()


def open_side(session: Session, row: CaseFile, kind: str, by: str, *, squad: str | None = None, due: datetime | None = None) -> None:
    """Something beside the case begins, with its last change."""
    session.add(Side(case_id=row.id, kind=kind, squad=squad, opened_at=row.changed_at, opened_by=by, due=due))


def close_side(session: Session, row: CaseFile, kind: str, by: str, outcome: str, *, squad: str | None = None) -> None:
    """The oldest open one of its kind ends with the case's last change; of a squad, if one is named."""
    query = sa.select(Side).where(Side.case_id == row.id, Side.kind == kind, Side.closed_at.is_(None)).order_by(Side.id).limit(1)
    if squad is not None:
        query = query.where(Side.squad == squad)
    found = session.scalars(query).one_or_none()
    if found is not None:
        found.closed_at, found.closed_by, found.outcome = row.changed_at, by, outcome


def end_cluster(session: Session, row: CaseFile) -> None:
    """After a case of one ended, or was opened again: whether its cluster has, too. Locked after the case, always in this order."""
    made = session.scalars(sa.select(Cluster).where(Cluster.id == row.cluster_id).with_for_update()).one()
    open_ones = session.scalar(sa.select(sa.exists().where(CaseFile.cluster_id == made.id, CaseFile.open)))
    made.closed_at = None if open_ones else row.changed_at


# ---- reading ---------------------------------------------------------------------------------------------------------


def part_of(session: Session, row: CaseFile, squad: str | None) -> str | None:
    """What a squad has to do with a case."""
    if squad is None:
        return None
    return session.scalar(sa.select(Part.part).where(Part.case_id == row.id, Part.squad == squad))


def parts_of(session: Session, rows: Iterable[CaseFile], squad: str) -> dict[int, str]:
    """The same for many cases, by their ids."""
    ids = [row.id for row in rows]
    found = session.execute(sa.select(Part.case_id, Part.part).where(Part.case_id.in_(ids), Part.squad == squad))
    return {int(case): str(part) for case, part in found}


def holdings(session: Session, row: CaseFile) -> list[Holding]:
    """Who held it from when to when, in order."""
    return list(session.scalars(sa.select(Holding).where(Holding.case_id == row.id).order_by(Holding.since)))


def sides(session: Session, row: CaseFile) -> list[Side]:
    """What there is beside it, in order."""
    return list(session.scalars(sa.select(Side).where(Side.case_id == row.id).order_by(Side.id)))
