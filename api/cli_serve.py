"""`jieguan serve`: the service over HTTP. One line says where it answers, and nothing else is printed while all is well."""

import json
from typing import Annotated

import typer

from api.cli_options import JsonOption, LangOption
from api.console import err, out, say

Opt = typer.Option


def serve(
    db: Annotated[str, Opt("--db", metavar="URL", help="serve_db")],
    host: Annotated[str, Opt("--host", help="serve_host")] = "127.0.0.1",
    port: Annotated[int, Opt("--port", min=0, max=65535, help="serve_port")] = 8000,
    workers: Annotated[int, Opt("--workers", min=1, help="serve_workers")] = 1,
    development: Annotated[bool, Opt("--development", help="serve_development")] = False,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    from api import app

    def ready(at: app.Answering) -> None:
        if at.master_made is not None:
            err.print(say("master_made", file=at.master_made), highlight=False, markup=False, soft_wrap=True)
        if as_json:
            print(json.dumps(at.json(), ensure_ascii=False), flush=True)  # noqa: T201 - one line of its own, for machines
            return
        key = "serving_development" if at.development else "serving"
        out.print(say(key, address=at.address, database=at.database, workers=at.workers), highlight=False, markup=False, soft_wrap=True)
        if at.embedded and at.workers > 1:
            err.print(say("assumed", text=say("serving_embedded", workers=at.workers)), highlight=False, markup=False)

    app.serve(db, host=host, port=port, workers=workers, development=development, log_level="warning", ready=ready)
