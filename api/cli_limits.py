"""`jieguan limits`: limits of time and reminders, for whoever holds the database itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.table import Table
from rich.text import Text

from api.access import Principal
from api.cli_audit import DatabaseOption
from api.cli_options import JsonOption, LangOption
from api.cli_people import this_user
from api.console import lang_now, out, print_json, say, utc_now
from api.settings import serving_of
from geodata.times import read_instant
from routing.case import Role

Opt = typer.Option
limits = typer.Typer(no_args_is_help=True, help="limits")
Document = Annotated[str, Opt("--document", help="limits_document")]
Since = Annotated[str | None, Opt("--since", help="limits_since")]
Until = Annotated[str | None, Opt("--until", help="limits_until")]
Step = Annotated[str | None, Opt("--step", help="limits_step")]


@contextmanager
def _office(db: str | None) -> Iterator[tuple[Any, Principal]]:
    from api.store.opening import working
    from api.usecases.office import Office
    from geodata.store import Maps

    serving = serving_of(db)
    with working(serving) as has:
        of = Office(has.db, Maps(1), has.book, has.vault, utc_now, ZoneInfo(serving.zone))
        yield of, Principal("cli", f"cli:{this_user()}", Role.ADMINISTRATOR, None, "cli")


@limits.command(name="list", help="limits_list")
def list_(
    at: Annotated[str | None, Opt("--at", help="limits_at")] = None, db: DatabaseOption = None, as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:  # fmt: skip
    from api.usecases import limits as use

    with _office(db) as (of, _):
        told = use.listed(of, _instant(of, at, "--at"), lang_now())
    if as_json:
        print_json(told)
        return
    table = Table(title=say("limits_title"), title_justify="left")
    for heading in ("limits_id", "step", "limits_for", "limits_milestone", "limits_time", "limits_document_is"):
        table.add_column(say(heading))
    for row in told["limits"]:
        kind = " ".join(filter(None, (row["category"], row["scheme"] and f"{row['scheme']}:*", row["channel"]))) or "*"
        time = f"{row['amount']} {row['unit_name']}"
        table.add_row(*map(Text, (str(row["id"]), row["step_name"], kind, row["milestone"] or "", time, row["document"])))
    out.print(table)
    table = Table(title=say("limits_ladder"), title_justify="left")
    for heading in ("limits_id", "limits_effect", "step", "when", "limits_document_is"):
        table.add_column(say(heading))
    for row in told["escalations"]:
        when = f"{row['percent']} %" if row["percent"] else say("limits_late", days=row["late_days"])
        table.add_row(*map(Text, (str(row["id"]), row["effect_name"], row["step_name"] or "*", when, row["document"])))
    out.print(table)
    calendar = told["calendar"]
    week = "; ".join(f"{day} {hours}" for day, hours in calendar["week"].items())
    years = "-" if calendar["announced"] is None else ", ".join(map(str, calendar["announced"][-3:]))
    out.print(say("limits_calendar", zone=calendar["zone"], week=week, years=years), highlight=False, markup=False, soft_wrap=True)


@limits.command(name="add", help="limits_add")
def add(
    step: Annotated[str, Opt("--step", help="limits_step")],
    amount: Annotated[int, Opt("--amount", min=1, help="limits_amount")],
    unit: Annotated[str, Opt("--unit", help="limits_unit")],
    document: Document,
    category: Annotated[str | None, Opt("--category", help="limits_category")] = None,
    scheme: Annotated[str | None, Opt("--scheme", help="limits_scheme")] = None,
    channel: Annotated[str | None, Opt("--channel", help="limits_channel")] = None,
    milestone: Annotated[str, Opt("--milestone", help="limits_milestone_option")] = "",
    since: Since = None,
    until: Until = None,
    db: DatabaseOption = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    from api.usecases import limits as use

    with _office(db) as (of, by):
        times = _instant(of, since, "--since"), _instant(of, until, "--until")
        made = use.add(of, by, use.NewLimit(step, amount, unit, document, scheme, category, channel, milestone, *times), lang_now())
    _told(made, "limits_added", as_json)


@limits.command(name="end", help="limits_end")
def end(
    id_: Annotated[int, typer.Argument(help="limits_id", metavar="ID")], document: Document, until: Until = None,
    db: DatabaseOption = None, as_json: JsonOption = False, lang: LangOption = None,
) -> None:  # fmt: skip
    from api.usecases import limits as use

    with _office(db) as (of, by):
        made = use.end(of, by, id_, _instant(of, until, "--until"), document, lang_now())
    _told(made, "limits_ended", as_json)


@limits.command(name="remind", help="limits_remind")
def remind(
    effect: Annotated[str, typer.Argument(help="limits_effect_argument", metavar="EFFECT")],
    document: Document,
    step: Step = None,
    percent: Annotated[int | None, Opt("--percent", min=1, max=1000, help="limits_percent")] = None,
    late_days: Annotated[int | None, Opt("--late-days", min=1, max=250, help="limits_late_days")] = None,
    since: Since = None,
    until: Until = None,
    db: DatabaseOption = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    from api.usecases import limits as use

    with _office(db) as (of, by):
        times = _instant(of, since, "--since"), _instant(of, until, "--until")
        made = use.add_rung(of, by, use.NewRung(effect, document, step, percent, late_days, *times), lang_now())
    _told(made, "limits_added", as_json)


@limits.command(name="unremind", help="limits_unremind")
def unremind(
    id_: Annotated[int, typer.Argument(help="limits_id", metavar="ID")], document: Document, until: Until = None,
    db: DatabaseOption = None, as_json: JsonOption = False, lang: LangOption = None,
) -> None:  # fmt: skip
    from api.usecases import limits as use

    with _office(db) as (of, by):
        made = use.end_rung(of, by, id_, _instant(of, until, "--until"), document, lang_now())
    _told(made, "limits_ended", as_json)


def _instant(of: Any, text: str | None, field: str) -> datetime | None:
    return None if text is None else read_instant(text, of.zone, field)


def _told(made: dict[str, Any], key: str, as_json: bool) -> None:
    if as_json:
        print_json(made)
    else:
        out.print(say(key, **made), highlight=False, markup=False, soft_wrap=True)
