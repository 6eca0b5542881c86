"""`jieguan audit`: prove the record, row by row; print its last entry, to be noted elsewhere. Exit status 1 with findings."""

from dataclasses import asdict
from itertools import islice
from typing import Annotated, Any

import typer

from api.cli_options import JsonOption, LangOption
from api.console import lang_now, out, print_json, say
from api.settings import serving_of
from routing.errors import JieguanError

Opt = typer.Option
audit = typer.Typer(no_args_is_help=True, help="audit")
DatabaseOption = Annotated[str | None, Opt("--db", metavar="URL", help="sealed_db")]
SHOWN = 50
"""Findings that are printed; the rest are counted."""


class BadHead(JieguanError):
    zh = "--head “{value}”不是记录的末条。请照 jieguan audit head 所印写作 编号:哈希。"
    en = "--head {value!r} is no entry of the record. Write NUMBER:HASH as jieguan audit head prints it."


@audit.command(name="verify", help="audit_verify")
def verify_(
    db: DatabaseOption = None,
    head: Annotated[list[str] | None, Opt("--head", metavar="NUMBER:HASH", help="audit_noted")] = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    from api.store.opening import anchor_of
    from api.store.record import last_entry, verify
    from api.store.setup import opened

    serving, noted = serving_of(db), [head_of(text) for text in head or ()]
    with opened(serving.database) as database, database.reading() as session:
        last = last_entry(session)
        found = verify(session, anchor_of(serving), noted)
        shown = list(islice(found, SHOWN))
        count = len(shown) + sum(1 for _ in found)
    if as_json:
        findings = [{**asdict(f), "text": f.text(lang_now())} for f in shown]
        print_json({"sound": not count, "entries": last.event, "hash": last.hash, "count": count, "findings": findings})
    else:
        out.print(say("audit_unsound" if count else "audit_sound", count=count, entries=last.event), highlight=False, markup=False)
        for finding in shown:
            out.print("  " + finding.text(lang_now()), highlight=False, markup=False, soft_wrap=True)
        if count > len(shown):
            out.print("  " + say("audit_more", count=count - len(shown)), highlight=False, markup=False)
    raise typer.Exit(1 if count else 0)


@audit.command(name="head", help="audit_head")
def head_(db: DatabaseOption = None, as_json: JsonOption = False, lang: LangOption = None) -> None:
    from api.store.record import last_entry
    from api.store.setup import opened

    with opened(serving_of(db).database) as database, database.reading() as session:
        last = last_entry(session)
    if as_json:
        print_json({"event": last.event, "hash": last.hash})
    else:
        out.print(f"{last.event}:{last.hash}", highlight=False, markup=False, soft_wrap=True)


def head_of(text: str) -> Any:
    """An entry noted elsewhere. Raises BadHead."""
    from api.store.record import Head
    from api.store.setup import GENESIS

    number, _, name = text.partition(":")
    if not (number.isdecimal() and len(name) == len(GENESIS) and set(name) <= set("0123456789abcdef")):
        raise BadHead(value=text)
    return Head(int(number), name)
