"""Figures of a year and of a month among very many cases, on PostgreSQL: how long each takes, how the database does it, how it grows.

A small demo year is lived through the use cases; then it is multiplied in the database, each copy shifted by some hours, with its
holdings and its facts (not with its entries of the record, which statistics do not read). The sums are made anew from the facts, which is
timed too. Limits are put in as the clocks would: three days for handling, seven for closing.
"""

from __future__ import annotations

import argparse
import statistics as plain
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy import event

from api.access import Principal
from api.demo.database import make_in_database
from api.settings import serving_of
from api.store import facts
from api.store.fact_tables import CaseFact
from api.store.facts import Due
from api.store.opening import Working, working
from api.store.tables import CASES, CaseFile, Holding
from api.usecases import statistics
from api.usecases.office import Office
from api.usecases.statistics import Asked, Span
from geodata.compile import silent
from geodata.db.both import UtcDateTime
from geodata.store import Maps
from routing.case import Role

WHO = Principal("bench", "bench", Role.SUPERVISOR, None, "session")
ROWS = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--db", required=True, help="an empty database with PostGIS, on this machine")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--lived", type=int, default=500, help="of them, by the use cases; the others are copies")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    facts.due_of = lambda _, row: Due(row.received_at + timedelta(days=3), row.received_at + timedelta(days=7))
    with tempfile.TemporaryDirectory() as folder:
        serving = replace(serving_of(given.db), private=folder, wait_seconds=600.0)
        now = datetime.now(UTC)
        begin = time.perf_counter()
        make_in_database(serving, given.lived, given.seed, now, silent)
        print(f"{given.lived} cases lived in {time.perf_counter() - begin:.0f} s")
        with working(serving) as has:
            if has.db.kind != "postgresql":
                raise SystemExit("this bench multiplies cases by PostgreSQL's own means: name such a database")
            _multiply(has, given.cases, given.lived, serving.zone)
            of = Office(has.db, Maps(1), has.book, has.vault, lambda: now, ZoneInfo(serving.zone))
            _measure(of, given.rounds)


def _multiply(has: Working, cases: int, lived: int, zone: str) -> None:
    """Copies, until there are so many; ids go on, times are shifted."""
    begin = time.perf_counter()
    copies = max(0, -(-cases // lived) - 1)
    aside = [each for each in CASES.invariants if each.of_changes]
    at_once = max(1, ROWS // lived)
    with has.db.reading() as session:
        top = int(session.scalar(sa.select(sa.func.max(CaseFile.id))) or 0)
    for first in range(1, copies + 1, at_once):
        with has.db.writing() as session:
            session.execute(sa.text("SET LOCAL statement_timeout = 0"))
            for invariant in aside:
                invariant.set_aside(session.connection())
            between = {"first": first, "last": min(copies, first + at_once - 1), "top": top}
            for model in (CaseFile, CaseFact, Holding):
                session.execute(sa.text(_copying(model.table(), zone)), between)
            for invariant in aside:
                invariant.install(session.connection())
        print(f"\r{min(copies, first + at_once - 1) * lived + lived:,} ", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)
    took = time.perf_counter() - begin
    print(f"{(copies + 1) * lived:,} cases after {took:.0f} s ({copies * lived / max(took, 0.001):,.0f} copies/s)")
    begin = time.perf_counter()
    with has.db.writing() as session:
        session.execute(sa.text("SET LOCAL statement_timeout = 0"))
        facts.summed_again(session)
    print(f"all sums made anew in {time.perf_counter() - begin:.1f} s")
    with has.db.write.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql("VACUUM ANALYZE")


def _copying(table: sa.Table, zone: str) -> str:
    """INSERT ... SELECT of copies of the lived cases: copy k is shifted by k times 7919 seconds, within half a day to both sides."""
    shift = "((k * 7919) % 86400 - 43200)"
    told = []
    for column in table.columns:
        name, of = column.name, f"old.{column.name}"
        if name == "id" and table is Holding.table():
            continue
        if name in ("id", "case_id"):
            told.append((name, f"{of} + k * :top"))
        elif name == "number":
            told.append((name, f"{of} || '-' || k"))
        elif name.endswith("_day"):
            at = {"handle_due_day": "handle_due", "close_due_day": "close_due"}.get(name, name.replace("_day", "_at"))
            moved = f"((old.{at} + {shift} * interval '1 second') AT TIME ZONE '{zone}')::date::text"
            told.append((name, f"CASE WHEN {of} IS NULL THEN NULL ELSE {moved} END"))
        elif name.endswith("_since_ms"):
            told.append((name, f"CASE WHEN {of} = 0 THEN 0 ELSE {of} + {shift} * 1000 END"))
        elif isinstance(column.type, UtcDateTime):
            told.append((name, f"{of} + {shift} * interval '1 second'"))
        else:
            told.append((name, of))
    case = "id" if table is CaseFile.table() else "case_id"
    names, values = ", ".join(name for name, _ in told), ", ".join(value for _, value in told)
    series = "generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS k"
    return f"INSERT INTO {table.name} ({names}) SELECT {values} FROM {table.name} AS old, {series} WHERE old.{case} <= :top"


def _measure(of: Office, rounds: int) -> None:
    today = of.now().astimezone(of.zone).date()
    year = Span(today.replace(year=today.year - 1), today + timedelta(days=1))
    month = Span(today - timedelta(days=45), today - timedelta(days=15))
    whole = Span((today.replace(day=1) - timedelta(days=1)).replace(day=1), today.replace(day=1))
    runs: dict[str, Callable[[], Any]] = {
        "a year, all figures": lambda: statistics.figures(of, WHO, Asked(year)),
        "a year by squad": lambda: statistics.figures(of, WHO, Asked(year, "squad")),
        "a year by stretch": lambda: statistics.figures(of, WHO, Asked(year, "stretch")),
        "a year by day": lambda: statistics.figures(of, WHO, Asked(year, "day")),
        "thirty days across two months": lambda: statistics.figures(of, WHO, Asked(month)),
        "a month of the calendar by squad": lambda: statistics.figures(of, WHO, Asked(whole, "squad")),
        "50 cases behind a year's number": lambda: statistics.cases_of(of, WHO, "rework", "numerator", Asked(year), 50, None, "en"),
    }
    _tell("all added up", runs, rounds)
    added = _disturb(of)
    _tell(f"with {added:,} changes not added up", {name: runs[name] for name in list(runs)[:2]}, rounds)
    begin = time.perf_counter()
    count = statistics.settle(of)
    took = time.perf_counter() - begin
    print(f"{count:,} changes added up in {took:.1f} s ({count / took:,.0f}/s)")
    with of.db.reading() as session:
        sizes = session.execute(sa.text(
            "SELECT relname, reltuples::bigint, pg_size_pretty(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' "
            "AND relname IN ('case_file', 'case_fact', 'day_fact', 'fact_change', 'holding') ORDER BY 1"
        )).all()  # fmt: skip
        whole_size = session.scalar(sa.text("SELECT pg_size_pretty(pg_database_size(current_database()))"))
    for name, rows, size in sizes:
        print(f"  {name:12s} {rows:>12,} rows  {size}")
    print(f"  the database {whole_size}")
    _plan(of, lambda: statistics.figures(of, WHO, Asked(year)))


def _tell(title: str, runs: dict[str, Callable[[], Any]], rounds: int) -> None:
    took: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # nobody is measured cold
    for _ in range(rounds):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            took[name].append((time.perf_counter() - begin) * 1e3)
    print(f"{title}; {rounds} rounds, in turn")
    for name, each in took.items():
        print(f"  {name:34s} p50 {plain.median(each):8.1f} ms   worst {max(each):8.1f} ms")


def _disturb(of: Office) -> int:
    """Changes as a busy hour would leave them: some cases taken from their sums and put back."""
    with of.db.writing() as session:
        for sign in (-1, 1):
            sums = ", ".join(f"{sign} * {name}" if name != "cases" else f"{sign} * cases" for name in facts.SUMS)
            session.execute(sa.text(
                f"INSERT INTO fact_change (day, basis, squad, category, stretch, apart, {', '.join(facts.SUMS)}) "
                f"SELECT day, basis, squad, category, stretch, apart, {sums} FROM day_fact WHERE span = 'day' ORDER BY day DESC LIMIT 5000"
            ))  # fmt: skip
        return facts.unsettled(session)


def _plan(of: Office, run: Callable[[], Any]) -> None:
    sent: list[tuple[str, Any]] = []

    def sending(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if "day_fact" in statement:
            sent.append((statement, parameters))

    event.listen(sa.Engine, "before_cursor_execute", sending)
    try:
        run()
    finally:
        event.remove(sa.Engine, "before_cursor_execute", sending)
    statement, parameters = sent[0]
    with of.db.read.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {statement}", parameters).all()
    print("how the database does it: a year, all figures")
    for (line,) in rows:
        print(f"  {line[:150]}")


if __name__ == "__main__":
    main()
