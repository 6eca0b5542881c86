"""The facts of a case, kept with it; and the sums over them.

    keep(session, row, entry, zone)    in the transaction of the entry, after it was written
    settle(session)                    add up what is not in the sums yet; true at any moment before and after
    told_again(session, ids, zone)     from the record, whatever the facts were
    summed_again(session)              the sums, from the facts

A change of a case adds rows to `fact_change` and touches no sum: whoever changes a case waits for nobody else's. `settle` takes such rows
away and adds them to the sums in one transaction, so that who reads both in one snapshot counts everything once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, tzinfo
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as lite_insert
from sqlalchemy.orm import Session

from api.store.clock_tables import ClockRow
from api.store.fact_tables import CaseFact, DayFact, FactChange
from api.store.record import Entry
from api.store.tables import CaseFile, Event, Holding
from routing import facts
from routing.case import State
from routing.errors import JieguanError
from routing.facts import BASES, SUMS, Beside, Cell, Life
from routing.limits import Stage
from routing.model import SquadCode

RECEIVED, MOVED = "received", "moved"
TELL = (RECEIVED, MOVED)
"""Entries of the record that change facts."""
AT_ONCE = 20_000
"""Changes added up in one transaction."""
KEY = ("day", "basis", "squad", "category", "stretch", "apart")
LIFE = tuple(field.name for field in fields(Life))


class NoBeginning(JieguanError):
    zh = "案件 {number} 的记录中没有受理一条:无从统计。请运行 jieguan audit verify 查明记录是否完整。"
    en = "The record of case {number} has no entry of its receipt, so it cannot be counted. jieguan audit verify says what is missing."


@dataclass(frozen=True, slots=True)
class Due:
    """Until when a case is to be handled, and to be closed. None: no limit is known."""

    handling: datetime | None
    closing: datetime | None


def due_of(session: Session, row: CaseFile) -> Due:
    """The limits of a case, as they stand after its last move. Who has it is held to the clock that began last: to his own, and of
    a limit in stages to its last stage. Ones that ran out or stopped count as they were.
    """
    query = sa.select(ClockRow.step, ClockRow.started_at, ClockRow.due_at).where(ClockRow.case_id == row.id)
    clocks = session.execute(query).all()

    def last(step: Stage) -> datetime | None:
        return max(((clock.started_at, clock.due_at) for clock in clocks if clock.step == step), default=(None, None))[1]

    return Due(last(Stage.HANDLE), last(Stage.WHOLE))


# ---- a case ----------------------------------------------------------------------------------------------------------


def keep(session: Session, row: CaseFile, entry: Entry, zone: tzinfo) -> None:
    """The facts of a case after an entry of its record, and what changes in the sums. The row is locked, or new."""
    before = _stored(session, row.id)
    if entry.kind == RECEIVED:
        life = facts.begun(entry.at, entry.body)
    elif before is None:  # it came in before there were facts
        life = facts.lived(_told(session, row), entry.at, entry.body)
    else:
        life = facts.lived(_life_of(before), entry.at, entry.body)
    _put(session, row, before, life, zone)


def told_again(session: Session, ids: Sequence[int], zone: tzinfo) -> int:
    """The facts of some cases from their record; the rows are locked. How many were not as they should have been. Raises NoBeginning."""
    changed = 0
    query = sa.select(CaseFile).where(CaseFile.id.in_(ids)).order_by(CaseFile.id).with_for_update()
    for row in session.scalars(query):
        changed += _put(session, row, _stored(session, row.id), _told(session, row), zone)
    return changed


def _put(session: Session, row: CaseFile, before: dict[str, Any] | None, life: Life, zone: tzinfo) -> bool:
    """Write what differs; whether anything did."""
    due, held = due_of(session, row), _held(session, row, life)
    if before is not None:  # a limit that is not known any more was one all the same
        due = Due(due.handling or before["handle_due"], due.closing or before["close_due"])
    apart = row.to_supervision or row.against is not None
    counted = facts.counted(life, Beside(due.handling, due.closing, *held, apart), zone)
    limits = {"handle_due": due.handling, "close_due": due.closing}
    now = {**asdict(life), **asdict(counted), **limits, "state": life.state.value, "apart": apart}
    if before is not None and all(before[name] == value for name, value in now.items()):
        return False
    old = {} if before is None else facts.cells(_life_of(before), _counted_of(before), apart=before["apart"])
    changes = facts.change(old, facts.cells(life, counted, apart=apart))
    table = CaseFact.table()
    if before is None:
        session.execute(sa.insert(table).values(case_id=row.id, **now))
    else:
        session.execute(sa.update(table).where(table.c.case_id == row.id).values(now))
    if changes:
        session.execute(sa.insert(FactChange.table()), [_row(cell, sums) for cell, sums in changes.items()])
    return True


def _told(session: Session, row: CaseFile) -> Life:
    """From the record as it stands. Raises NoBeginning."""
    query = sa.select(Event.kind, Event.at, Event.body).where(Event.case_id == row.id, Event.kind.in_(TELL)).order_by(Event.id)
    entries = session.execute(query).all()
    if not entries or entries[0].kind != RECEIVED:
        raise NoBeginning(number=row.number)
    return facts.fold((entry.at, entry.body) for entry in entries)


def _held(session: Session, row: CaseFile, life: Life) -> tuple[int, bool]:
    """How long it had a holder up to its last move, by the holdings; has it one now?"""
    periods = session.execute(sa.select(Holding.since, Holding.until).where(Holding.case_id == row.id)).all()
    held = sum(facts.ms(life.at if until is None else until) - facts.ms(since) for since, until in periods)
    return held, any(until is None for _, until in periods)


def _stored(session: Session, case: int) -> dict[str, Any] | None:
    table = CaseFact.table()
    found = session.execute(sa.select(table).where(table.c.case_id == case)).mappings().one_or_none()
    return None if found is None else {str(name): value for name, value in found.items()}


def _life_of(row: Mapping[str, Any]) -> Life:
    first = row["first_squad"]
    typed = {"state": State(row["state"]), "squad": SquadCode(row["squad"]), "first_squad": None if first is None else SquadCode(first)}
    return Life(**{name: row[name] for name in LIFE} | typed)


def _counted_of(row: Mapping[str, Any]) -> facts.Counted:
    return facts.Counted(**{field.name: row[field.name] for field in fields(facts.Counted)})


# ---- the sums --------------------------------------------------------------------------------------------------------


def settle(session: Session, most: int = AT_ONCE) -> int:
    """Add up changes that are not in the sums yet, the oldest first, at most so many. How many there were; fewer than `most`: all."""
    change = FactChange.table()
    oldest = sa.select(change.c.id).order_by(change.c.id).limit(most)
    taken = session.execute(sa.delete(change).where(change.c.id.in_(oldest)).returning(change)).mappings().all()
    sums: dict[tuple[Any, ...], dict[str, int]] = {}
    for row in taken:
        for span, day in (("day", row["day"]), ("month", row["day"][:7])):
            cell = (span, day, *(row[name] for name in KEY[1:]))
            there = sums.setdefault(cell, dict.fromkeys(SUMS, 0))
            for name in SUMS:
                there[name] += row[name]
    rows = [dict(zip(("span", *KEY), cell, strict=True)) | there for cell, there in sorted(sums.items()) if any(there.values())]
    if rows:
        session.execute(_adding(session), rows)
    return len(taken)


def _adding(session: Session) -> Any:
    """To the sum that is there, or a new one."""
    table = DayFact.table()
    insert = pg_insert if session.get_bind().dialect.name == "postgresql" else lite_insert
    query = insert(table)
    return query.on_conflict_do_update(
        index_elements=list(table.primary_key), set_={name: table.c[name] + query.excluded[name] for name in SUMS}
    )


def summed_again(session: Session) -> None:
    """The sums from the facts, whatever they were."""
    table = DayFact.table()
    session.execute(sa.delete(FactChange.table()))
    session.execute(sa.delete(table))
    for basis in BASES:
        session.execute(sa.insert(table).from_select(["span", *KEY, *SUMS], _summed(basis)))
    month = month_of(table.c.day)
    keys = [table.c[name] for name in KEY[1:]]
    months = sa.select(sa.literal_column("'month'"), month, *keys, *(_whole(sa.func.sum(table.c[name])) for name in SUMS))
    months = months.where(table.c.span == "day").group_by(month, *keys)
    session.execute(sa.insert(table).from_select(["span", *KEY, *SUMS], months))


def month_of(day: Any) -> Any:
    """2026-11 of 2026-11-22, as SQL that may stand in a GROUP BY too: no parameter."""
    return sa.func.substr(day, sa.literal_column("1"), sa.literal_column("7"))


def _summed(basis: facts.Basis) -> Any:
    """One row a cell: the same as `routing.facts.cells`, of all cases."""
    case = CaseFact.table()
    day, squad = case.c[basis.day], case.c[basis.squad]
    keys = (day, squad, case.c.category, case.c.stretch, case.c.apart)
    name = sa.literal(basis.name)
    sums = (sa.func.count() if n == "cases" else _whole(sa.func.sum(case.c[n])) if n in basis.sums else sa.literal(0) for n in SUMS)
    span = sa.literal("day")
    return sa.select(span, day, name, squad, case.c.category, case.c.stretch, case.c.apart, *sums).where(day.is_not(None)).group_by(*keys)


def _whole(total: Any) -> Any:
    """PostgreSQL adds whole numbers up to decimal ones."""
    return sa.cast(total, sa.BigInteger)


def _row(cell: Cell, sums: Mapping[str, int]) -> dict[str, Any]:
    return dict(zip(KEY, cell, strict=True)) | dict.fromkeys(SUMS, 0) | dict(sums)


def unsettled(session: Session) -> int:
    """Changes that are not in the sums yet."""
    return int(session.scalar(sa.select(sa.func.count()).select_from(FactChange.table())) or 0)


def ids_after(session: Session, case: int, limit: int) -> Iterable[int]:
    """Cases in the order of their ids."""
    return session.scalars(sa.select(CaseFile.id).where(CaseFile.id > case).order_by(CaseFile.id).limit(limit)).all()
