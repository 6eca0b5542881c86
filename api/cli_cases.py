"""`jieguan cases`: tables of complaints, taken in as over HTTP. Exit status 1 if a row was refused."""

from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from api.access import ENDPOINTS, Principal
from api.cli_options import JsonOption, LangOption
from api.console import lang_now, out, print_json, say, utc_now
from api.settings import serving_of
from geodata.intake import check_file
from geodata.store import Maps
from geodata.written import replace_file
from routing.case import Role
from routing.errors import JieguanError
from routing.model import SquadCode

Opt = typer.Option
cases = typer.Typer(no_args_is_help=True, help="cases")
SHOWN = 20
"""Refused rows that are printed; the rest are in the report."""


@cases.callback()
def _several() -> None:
    """One command more may come: `import` is named even while it is the only one."""


class NobodyCalled(JieguanError):
    zh = "没有名为“{value}”的在用账号,或其角色不能导入(可以的有:{may})。请核对 --as,或先用 jieguan user add 建立账号。"
    en = "There is no account {value!r} in use whose role may import ({may} may). Check --as, or make one by jieguan user add."


@cases.command(name="import", help="cases_import")
def import_(
    file: Annotated[str, typer.Argument(help="cases_file", metavar="FILE")],
    name: Annotated[str, Opt("--as", metavar="NAME", help="cases_as")],
    db: Annotated[str | None, Opt("--db", metavar="URL", help="sealed_db")] = None,
    key: Annotated[str | None, Opt("--key", help="cases_key")] = None,
    report: Annotated[str | None, Opt("--report", metavar="FILE", help="cases_report")] = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    from api.schemas.cases import complaint_of
    from api.store.opening import working
    from api.usecases import batch
    from api.usecases.office import Office

    serving = serving_of(db)
    check_file(Path(file), serving.batch_bytes)
    with working(serving) as has, Path(file).open("rb") as table:
        of = Office(has.db, Maps(serving.keep_maps), has.book, has.vault, utc_now, ZoneInfo(serving.zone))
        done = batch.take(of, _called(of, name), table, key, complaint_of, lang_now())
    if report is not None:
        replace_file(report, done.table(lang_now()))
    told = done.told(lang_now())
    if as_json:
        print_json(told)
    else:
        _print(told)
    raise typer.Exit(1 if told["refused"] else 0)


def _called(of: Any, name: str) -> Principal:
    """An account by its name. Raises NobodyCalled."""
    from api.store.tables import Account

    may = ENDPOINTS["POST", "/api/v1/cases/batch"].roles
    with of.db.reading() as session:
        found = session.query(Account).filter(Account.name == name, Account.closed_at.is_(None)).one_or_none()
    if found is None or found.role not in may:
        raise NobodyCalled(value=name[:60], may=", ".join(sorted(may)))
    return Principal(found.id, found.name, Role(found.role), None if found.squad is None else SquadCode(found.squad), "cli")


def _print(told: dict[str, Any]) -> None:
    for note in told["notes"]:
        out.print(note, highlight=False, markup=False, soft_wrap=True)
    refused = [item for item in told["items"] if item["error"]]
    for item in refused[:SHOWN]:
        out.print("  " + say("cases_row", **{**item, "field": item["field"] or "-"}), highlight=False, markup=False, soft_wrap=True)
    out.print(say("cases_done", **told), highlight=False, markup=False)
