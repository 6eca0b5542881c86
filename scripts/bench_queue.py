"""Pages of a squad's queue among very many cases, beside SELECT of a case by its primary key, in one run, in turn.

The database is filled with synthetic cases straight into the tables, the triggers on: all are copies of one complaint that was taken in,
with other numbers, times, ranks and holders. Those of the squad have sealed words and a key each; the others share one. Half of them
are open. What is measured is `api.usecases.queues.queue`: the statement, the rights, and the words of each line unsealed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from api.access import Principal
from api.demo.city import city
from api.demo.files import write_city
from api.settings import Serving, serving_of
from api.store.opening import Working, working
from api.store.setup import initialise, opened
from api.store.tables import CaseFile, Part
from api.usecases.intake import Complaint, Contact, take_in
from api.usecases.office import Office, about_case, seal
from api.usecases.placing import Where
from api.usecases.queues import After, Filters, queue
from api.usecases.replays import Asked
from geodata.build import gather
from geodata.db.engine import DatabaseMissing, NotInitialised, PostgisMissing
from geodata.layer import rows_of
from geodata.store import Maps, NothingInForce, Signing, in_force, publish, version_of
from routing.case import Role
from routing.model import SquadCode

SQUAD, OTHERS = "HJ-XC", ("HJ-LZ", "HJ-JS", "HJ-CX", "HJ-YB", "HJ-DH", "HJ-HY", "HJ-GX")
BEGIN = datetime(2016, 1, 1, tzinfo=UTC)
ROWS = 5_000
CHANGES = {"id", "number", "received_at", "changed_at", "occurred_at", "holder", "lead", "state", "open", "rank", "key", "words"}
"""Columns in which the copies differ."""
OPERATOR = Principal("bench", "bench", Role.OPERATOR, None, "session")
LEADER = Principal("leader", "leader", Role.LEADER, SquadCode(SQUAD), "session")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--db", help="an empty database; left out, an embedded one in a temporary folder")
    parser.add_argument("--cases", type=int, default=2_000_000)
    parser.add_argument("--squad-cases", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--limit", type=int, default=50)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        serving = Serving(f"{folder}/queue.db") if given.db is None else serving_of(given.db)
        _prepare(serving.database, Path(folder))
        with working(serving) as has:
            of = Office(has.db, Maps(1), has.book, has.vault, lambda: BEGIN + timedelta(days=4_000), UTC)
            begin = time.perf_counter()
            _fill(of, given.cases, given.squad_cases)
            _settle(has)
            seconds = time.perf_counter() - begin
            print(f"{given.cases:,} cases, {given.squad_cases:,} of one squad, {has.db.kind}, filled in {seconds:.0f} s")
            _measure(of, given.limit, given.rounds)


def _prepare(database: str, folder: Path) -> None:
    """The demo city, in force."""
    files, _ = write_city(city(1), 500, 1, folder)
    gathered = gather(files)
    try:
        opened(database).close()
    except (DatabaseMissing, NotInitialised, PostgisMissing):
        initialise(database, gathered.settings.work_crs)
    with opened(database) as db:
        with db.reading() as session:
            if session.scalar(sa.select(sa.func.count()).select_from(CaseFile)):
                raise SystemExit("the database has cases: name an empty one")
            try:
                in_force(session, BEGIN)
                return
            except NothingInForce:
                pass
        made = version_of(rows_of(gathered), gathered.settings)
        publish(db, made, Signing("bench", "bench"), now=datetime.now(UTC), valid_from=BEGIN)


def _fill(of: Office, count: int, mine: int) -> None:
    where = Where(113.617, 34.868, error_m=8.0)
    words = {"description": "(合成)店外经营,占用人行道,影响通行,请尽快处理", "address": "(合成)交界道路旁"}
    first = Complaint("GB30428:0504", words["description"], "app", where, words["address"], contact=Contact("王", "000-0000-0001"))
    take_in(of, OPERATOR, first, Asked(None, b""), "zh-CN")
    with of.db.reading() as session:
        like = dict(session.execute(sa.select(CaseFile.table())).mappings().one())
    table = CaseFile.table()
    told = [sa.bindparam(c.name, type_=c.type) if c.name in CHANGES else c for c in table.columns]
    copies = sa.insert(table).from_select([c.name for c in table.columns], sa.select(*told).where(table.c.id == like["id"]))
    rows = _rows(of, like, words, count, mine)
    while some := list(islice(rows, ROWS)):
        with of.db.writing() as session:
            session.execute(copies, [case for case, _ in some])
            session.execute(sa.insert(Part.table()), [part for _, parts in some for part in parts])
        print(f"\r{some[-1][0]['id']:,} ", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)


def _rows(of: Office, like: dict[str, Any], words: Any, count: int, mine: int) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """A case and its parts; those of the squad are spread evenly over the years."""
    rng, every = np.random.default_rng(0), count / mine
    step, taken = timedelta(days=3_900) / count, 0
    for k in range(count - 1):
        at, number = BEGIN + step * (k + 1), f"B{k:09d}"
        ours = taken < mine and k >= taken * every
        taken += ours
        holder, is_open = SQUAD if ours else OTHERS[k % len(OTHERS)], bool(taken % 2 if ours else k % 2)
        key = of.vault.new_key() if ours else like["key"]
        case = {
            "id": int(like["id"]) + k + 1, "number": number, "received_at": at, "changed_at": at, "occurred_at": at,
            "holder": holder, "lead": holder, "state": "handling" if is_open else "archived", "open": is_open,
            "rank": int(rng.choice(3, p=(0.02, 0.2, 0.78))), "key": key,
            "words": seal(of.vault, key, words, about_case(number)) if ours else like["words"],
        }  # fmt: skip
        part = {"case_id": case["id"], "open": is_open, "rank": case["rank"], "received_at": at}
        parts = [{**part, "squad": holder, "part": "holds"}, {**part, "squad": "HJ-00", "part": "formerly"}]
        if rng.random() < 0.15:
            parts.append({**part, "squad": OTHERS[(k + 1) % len(OTHERS)], "part": "assists"})
        unique = {p["squad"]: p for p in reversed(parts)}
        yield case, list(unique.values())


def _settle(has: Working) -> None:
    """What a server does by itself after a while: statistics."""
    if has.db.kind == "postgresql":
        with has.db.write.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


def _measure(of: Office, limit: int, rounds: int) -> None:
    rng = np.random.default_rng(1)
    with of.db.reading() as session:
        order = (Part.rank, Part.received_at, Part.case_id)
        lines = session.execute(sa.select(*order).where(Part.squad == SQUAD, Part.open).order_by(*order)).all()
        ids = session.scalars(sa.select(Part.case_id).where(Part.squad == SQUAD)).all()
    print(f"{len(lines):,} open ones in the queue of {SQUAD}, {limit} a page")

    def page(at: int, **which: Any) -> Callable[[], Any]:
        begin, filters = None if at == 0 else After(*lines[at]), Filters(**which)
        return lambda: queue(of, LEADER, SQUAD, filters, limit, begin, "zh-CN")

    def by_key() -> None:
        with of.db.reading() as session:
            session.execute(sa.select(CaseFile).where(CaseFile.id == int(rng.choice(ids)))).one()

    runs: dict[str, Callable[[], Any]] = {
        "SELECT of a case by primary key": by_key,
        "first page": page(0),
        "a page in the middle": page(len(lines) // 2),
        "a page near the end": page(max(0, len(lines) - 2 * limit)),
        "first page, those it holds": page(0, part="holds"),
        "first page, ended": page(0, closed=True),
    }
    took: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # nobody is measured cold
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            took[name].append(time.perf_counter() - start)
    print(f"{rounds} rounds, in turn")
    for name, seconds in took.items():
        p50, p95 = np.percentile(seconds, (50, 95)) * 1e3
        print(f"  {name:34s} p50 {p50:8.2f} ms   p95 {p95:8.2f} ms")


if __name__ == "__main__":
    main()
