"""`jieguan serve`: the service over HTTP. One line says where it answers; on the error stream, lines of JSON tell what it does.

`jieguan settings`: all that can be set, and what is.
"""

import json
from typing import Annotated

import typer

from api.cli_options import JsonOption, LangOption
from api.console import err, lang_now, out, print_json, say
from api.settings import SETTINGS, Setting, given

Opt = typer.Option


def serve(
    db: Annotated[str | None, Opt("--db", metavar="URL", help="serve_db")] = None,
    host: Annotated[str | None, Opt("--host", help="serve_host")] = None,
    port: Annotated[int | None, Opt("--port", min=0, max=65535, help="serve_port")] = None,
    workers: Annotated[int | None, Opt("--workers", min=1, help="serve_workers")] = None,
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

    said = given().serving
    app.serve(
        said.database if db is None else db, host=said.host if host is None else host, port=said.port if port is None else port,
        workers=said.workers if workers is None else workers, development=development, ready=ready,
    )  # fmt: skip


def settings(as_json: JsonOption = False, lang: LangOption = None) -> None:
    said = given()
    rows = [(each, _value(said.serving, each), said.where.get(each.name)) for each in SETTINGS]
    if as_json:
        print_json([
            {
                "name": each.name, "environment": each.env, "value": _told(each, value), "default": each.default, "where": where,
                "text": each.text(lang_now()),
            }
            for each, value, where in rows
        ])  # fmt: skip
        return
    for each, value, where in rows:
        shown = say("settings_none") if value is None else str(_told(each, value))
        out.print(f"{each.env}={shown}  [{where or say('settings_default')}]", highlight=False, markup=False, soft_wrap=True)
        out.print(f"    {each.text(lang_now())}", highlight=False, markup=False, soft_wrap=True)


def _value(serving: object, each: Setting) -> object:
    inside = serving if each.inside is None else getattr(serving, each.inside)
    return each.default if inside is None else getattr(inside, each.field)


def _told(each: Setting, value: object) -> object:
    """Of a secret only that there is one; of a database's address not its password."""
    if each.note.secret:
        return None if value is None else say("settings_secret")
    if each.name == "database":
        from geodata.db.engine import parse_url

        url = parse_url(str(value))
        return url.database if url.drivername == "gpkg" else url.render_as_string()
    return value
