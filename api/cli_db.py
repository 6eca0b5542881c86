"""`jieguan db`: make a database, upgrade it, copy it, back it up, check it. Each prints what it proved."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from api.cli_options import JsonOption, LangOption
from api.console import lang_now, out, print_json, say
from api.store.setup import initialise, upgrade
from api.store.tables import WHOLE
from api.words import word
from geodata.db.copying import CopyReport, backup, check, copy

db = typer.Typer(no_args_is_help=True, help="db")

Url = Annotated[str, typer.Argument(help="db_url", metavar="URL")]


@db.command(name="init", help="db_init")
def init_(
    url: Url,
    work_crs: Annotated[str, typer.Option("--work-crs", help="db_work_crs")],
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    initialise(url, work_crs)
    _told(as_json, "db_ready", {"url": url, "work_crs": work_crs})


@db.command(name="upgrade", help="db_upgrade")
def upgrade_(url: Url, as_json: JsonOption = False, lang: LangOption = None) -> None:
    before = upgrade(url)
    key = "db_current" if before.current else "db_upgraded"
    _told(as_json, key, {"found": before.found, "needed": before.needed})


@db.command(name="copy", help="db_copy")
def copy_(
    source: Annotated[str, typer.Argument(help="db_source", metavar="SRC")],
    destination: Annotated[str, typer.Argument(help="db_destination", metavar="DST")],
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    _told_copy(copy(source, destination, WHOLE), as_json)


@db.command(name="backup", help="db_backup")
def backup_(
    url: Url,
    path: Annotated[str, typer.Argument(help="db_backup_path", metavar="FILE")],
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    _told_copy(backup(url, path, WHOLE), as_json)


@db.command(name="restore", help="db_restore")
def restore_(
    file: Annotated[str, typer.Argument(help="db_restore_file", metavar="FILE")],
    url: Url,
    keys: Annotated[str, typer.Option("--keys", help="db_restore_keys")],
    head: Annotated[str | None, typer.Option("--head", metavar="NUMBER:HASH", help="db_restore_head")] = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    from pathlib import Path

    from api.cli_audit import head_of
    from api.settings import serving_of
    from api.usecases.restoring import restore

    done = restore(Path(file), Path(keys), serving_of(url), None if head is None else head_of(head))
    if as_json:
        print_json({"done": "db_restored", **asdict(done)})
        return
    facts = {"rows": f"{done.copied.rows:,}", "database": done.copied.destination, "entries": done.entries}
    out.print(say("db_restored", **facts, keys=done.keys, lost=done.lost), highlight=False, markup=False, soft_wrap=True)


@db.command(name="check", help="db_check")
def check_(url: Url, as_json: JsonOption = False, lang: LangOption = None) -> None:
    findings = check(url, WHOLE)
    if as_json:
        print_json({"sound": not findings, "findings": [{**asdict(f), "text": f.text(lang_now())} for f in findings]})
    else:
        out.print(say("db_sound" if not findings else "db_unsound", count=len(findings)), highlight=False, markup=False)
        for finding in findings:
            out.print("  " + finding.text(lang_now()), highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(1 if findings else 0)


def _told_copy(done: CopyReport, as_json: bool) -> None:
    if as_json:
        print_json(asdict(done))
        return
    out.print(say("db_copied", rows=f"{done.rows:,}", source=done.source, destination=done.destination), highlight=False, markup=False)
    for table in done.tables:
        out.print(f"  {table.table:16} {table.rows:>8,}  {table.sha256[:16]}", highlight=False, markup=False)


def _told(as_json: bool, key: str, facts: dict[str, Any]) -> None:
    if as_json:
        print_json({"done": key, **facts})
    else:
        out.print(word(key, lang_now(), **facts), highlight=False, markup=False, soft_wrap=True)
