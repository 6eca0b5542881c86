"""`jieguan worker`: what is to be done later, done: reminders when limits run out. Exit status 1 if a job was put aside."""

import json
import signal
import threading
from dataclasses import asdict
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from api import settings
from api.cli_options import JsonOption, LangOption
from api.console import err, out, say, utc_now

Opt = typer.Option


def worker(
    db: Annotated[str, Opt("--db", metavar="URL", help="sealed_db", envvar=settings.DATABASE)] = "jieguan.db",
    once: Annotated[bool, Opt("--once", help="worker_once")] = False,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    from api.store.opening import working
    from api.usecases import work
    from api.usecases.office import Office
    from api.worker import Turn, Worker
    from geodata.store import Maps

    serving = settings.serving_of(db)
    turn = Turn(serving.database)
    turn.require()  # before the file is opened at all
    try:
        with working(serving) as has:
            if has.vault.made is not None:
                err.print(say("master_made", file=has.vault.made), highlight=False, markup=False, soft_wrap=True)
            of = Office(has.db, Maps(1), has.book, has.vault, utc_now, ZoneInfo(serving.zone))
            if once:
                counts = work.once(of, work.myself())
            else:
                doing = Worker(of, turn)
                stop = threading.Event()
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, lambda *_: stop.set())
                doing.start()
                if as_json:
                    print(json.dumps({"ready": True, "name": doing.name}), flush=True)  # noqa: T201 - a line of its own, for machines
                else:
                    out.print(say("working", database=has.db.url), highlight=False, markup=False, soft_wrap=True)
                stop.wait()
                doing.close()
                counts = doing.counts
    finally:
        turn.give_back()
    told = asdict(counts)
    if as_json:
        print(json.dumps(told), flush=True)  # noqa: T201 - likewise
    else:
        out.print(say("worked", **told), highlight=False, markup=False)
    raise typer.Exit(1 if counts.dead else 0)
