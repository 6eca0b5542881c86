"""`jieguan keys` and `jieguan person`: the keys of what is sealed, and forgetting who complained."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli_audit import DatabaseOption
from api.cli_options import JsonOption, LangOption
from api.console import err, out, print_json, say, utc_now
from api.settings import MASTER, NEW_MASTER, Serving, serving_of

Opt = typer.Option
keys = typer.Typer(no_args_is_help=True, help="keys")
person = typer.Typer(no_args_is_help=True, help="person")


@keys.command(name="rotate", help="keys_rotate")
def rotate_(db: DatabaseOption = None, as_json: JsonOption = False, lang: LangOption = None) -> None:
    import os

    from api.vault import MASTER as FILE

    serving, new = serving_of(db), os.environ.get(NEW_MASTER) or None
    with _vault(serving) as vault:
        count = vault.rotate(new)
    file = serving.folder / FILE
    _told(as_json, "keys_rotated", {"count": count})
    if new is not None:
        _also(as_json, "keys_now_set", new=NEW_MASTER, name=MASTER)
    elif serving.master is not None:
        _also(as_json, "keys_now_unset", name=MASTER, file=file)
    else:
        _also(as_json, "keys_in_file", file=file)
    _also(as_json, "keys_backup_again")


@keys.command(name="backup", help="keys_backup")
def backup_(
    file: Annotated[str, typer.Argument(help="keys_backup_file", metavar="FILE")],
    db: DatabaseOption = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    with _vault(serving_of(db)) as vault:
        count = vault.backup(Path(file))
    _told(as_json, "keys_backed_up", {"count": count, "file": file})
    _also(as_json, "keys_backup_why")


@person.command(name="erase", help="person_erase")
def erase_(
    number: Annotated[str, typer.Argument(help="person_number", metavar="NUMBER")],
    reason: Annotated[str, Opt("--reason", help="person_reason")],
    by: Annotated[str, Opt("--by", help="person_by")],
    db: DatabaseOption = None,
    even_open: Annotated[bool, Opt("--open", help="person_open")] = False,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    from api.store.opening import working
    from api.usecases.erasure import erase
    from routing.case import Actor, Role

    with working(serving_of(db)) as has:
        _new_master(has.vault)
        done = erase(has.book, has.vault, number, reason, Actor(by, Role.ADMINISTRATOR), utc_now(), even_open=even_open)
    _told(as_json, "person_erased_before" if done.before else "person_erased", asdict(done))


@person.command(name="sweep", help="person_sweep")
def sweep_(
    by: Annotated[str, Opt("--by", help="person_by")] = "jieguan person sweep",
    db: DatabaseOption = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    from api.store.opening import working
    from api.usecases.erasure import sweep
    from routing.case import Actor, Role

    with working(serving_of(db)) as has:
        _new_master(has.vault)
        done = sweep(has.book, has.vault, Actor(by, Role.MACHINE), utc_now())
    if as_json:
        print_json({"done": "person_swept", **asdict(done)})
    else:
        _told(as_json, "person_swept", {"count": len(done.erased), "finished": done.finished})


@contextmanager
def _vault(serving: Serving) -> Iterator[Any]:
    """The keys of a database that is there: a name mistyped makes no folder."""
    from api.store.opening import working

    with working(serving) as has:
        _new_master(has.vault)
        yield has.vault


def _new_master(vault: Any) -> None:
    if vault.made is not None:
        err.print(say("master_made", file=vault.made), highlight=False, markup=False, soft_wrap=True)


def _told(as_json: bool, key: str, facts: dict[str, Any]) -> None:
    if as_json:
        print_json({"done": key, **facts})
    else:
        out.print(say(key, **facts), highlight=False, markup=False, soft_wrap=True)


def _also(as_json: bool, key: str, **facts: object) -> None:
    """What to do next, on the error stream where the output is for a machine."""
    (err if as_json else out).print(say(key, **facts), highlight=False, markup=False, soft_wrap=True)
