"""`jieguan statistics`: the figures of a database, as a table, JSON, CSV or a workbook; and the upkeep of their sums."""

from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.table import Table
from rich.text import Text

from api.access import Principal
from api.cli_options import JsonOption, LangOption
from api.console import lang_now, out, print_json, say, utc_now
from api.settings import serving_of
from geodata.store import Maps
from geodata.written import replace_file
from routing.case import Role
from routing.errors import JieguanError

Opt = typer.Option
statistics = typer.Typer(help="statistics")
FORMATS = ("table", "json", "csv", "xlsx")
ANYBODY_HERE = Principal("cli", "cli", Role.SUPERVISOR, None, "cli")
"""Who can read the database sees all of it."""
DbOption = Annotated[str | None, Opt("--db", metavar="URL", help="sealed_db")]


class UnknownFormat(JieguanError):
    zh = "没有输出格式“{value}”。可用:{known}。"
    en = "There is no format {value!r}. There are: {known}."


class NeedsFile(JieguanError):
    zh = "xlsx 不能印在屏幕上:请用 --out 写明文件名。"
    en = "A workbook cannot be printed. Name a file with --out."


@statistics.callback(invoke_without_command=True)
def figures(
    context: typer.Context,
    db: DbOption = None,
    period: Annotated[str | None, Opt("--period", help="statistics_period")] = None,
    since: Annotated[str | None, Opt("--since", metavar="DAY", help="statistics_since")] = None,
    until: Annotated[str | None, Opt("--until", metavar="DAY", help="statistics_until")] = None,
    by: Annotated[str | None, Opt("--by", help="statistics_by")] = None,
    squad: Annotated[str | None, Opt("--squad", help="statistics_squad")] = None,
    category: Annotated[str | None, Opt("--category", help="statistics_category")] = None,
    stretch: Annotated[str | None, Opt("--stretch", help="statistics_stretch")] = None,
    figure: Annotated[list[str] | None, Opt("--figure", help="statistics_figure")] = None,
    form: Annotated[str, Opt("--format", help="statistics_format")] = FORMATS[0],
    out_file: Annotated[str | None, Opt("--out", metavar="FILE", help="statistics_out")] = None,
    define: Annotated[bool, Opt("--define", help="statistics_define")] = False,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    if context.invoked_subcommand is not None:
        return
    if form not in FORMATS:
        raise UnknownFormat(value=form[:40], known=", ".join(FORMATS))
    form = "json" if as_json else form
    if define:
        _print_definitions(form)
        return
    if form == "xlsx" and out_file is None:
        raise NeedsFile
    from api.usecases import statistics as use

    with _office(db) as of:
        span = use.span_of(period, since, until, of.now().astimezone(of.zone).date())
        told = use.figures(of, ANYBODY_HERE, use.Asked(span, by, squad, category, stretch, tuple(figure or ())))
    _print(told, form, out_file)


@statistics.command(help="statistics_settle")
def settle(db: DbOption = None, as_json: JsonOption = False, lang: LangOption = None) -> None:
    from api.usecases import statistics as use

    with _office(db) as of:
        count = use.settle(of)
    if as_json:
        print_json({"settled": count})
    else:
        out.print(say("statistics_settled", count=count), highlight=False)


@statistics.command(help="statistics_rebuild")
def rebuild(db: DbOption = None, as_json: JsonOption = False, lang: LangOption = None) -> None:
    from api.usecases import statistics as use

    with _office(db) as of:
        cases, changed = use.rebuild(of)
    if as_json:
        print_json({"cases": cases, "changed": changed})
    else:
        out.print(say("statistics_rebuilt", cases=cases, changed=changed), highlight=False)


@contextmanager
def _office(db: str | None) -> Any:
    from api.store.opening import working
    from api.usecases.office import Office

    serving = serving_of(db)
    with working(serving) as has:
        yield Office(has.db, Maps(1), has.book, has.vault, utc_now, ZoneInfo(serving.zone))


def _print(told: Any, form: str, out_file: str | None) -> None:
    import json

    from api.usecases import statistics as use

    if form == "table" and out_file is None:
        _print_table(told)
        return
    text = json.dumps(use.as_values(told, lang_now()), ensure_ascii=False, indent=2)
    made = text.encode() if form == "json" else use.as_workbook(told, lang_now()) if form == "xlsx" else use.as_csv(told, lang_now())
    if out_file is None:
        print(made.decode("utf-8-sig"), end="" if form == "csv" else "\n")  # noqa: T201 - this is the output
        return
    replace_file(Path(out_file), made)
    out.print(say("statistics_file", file=out_file), highlight=False, markup=False)


def _print_table(told: Any) -> None:
    """A line for each figure: the groups are the columns, and the total."""
    from api.usecases.figures import Unit
    from api.words_statistics import FIGURES, OFF_STRETCH, TOTAL

    at, span = lang_now() != "zh-CN", told.asked.span
    title = say("statistics_title", since=span.since, until=span.until, now=f"{told.now:%Y-%m-%d %H:%M} UTC")
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for line in (*told.lines, told.total):
        off = OFF_STRETCH[at] if told.asked.by == "stretch" else ""
        table.add_column(Text(TOTAL[at] if line.key is None else line.key or off), justify="right", no_wrap=True)
    for figure in told.asked.figures:
        values = [line.worth[figure.name].value for line in (*told.lines, told.total)]
        table.add_row(FIGURES[figure.name]["name"][at], *(_shown(value, share=figure.unit is Unit.SHARE) for value in values))
    out.print(table, width=out.measure(table, options=out.options.update(width=10_000)).maximum, crop=False)


def _shown(value: float | None, *, share: bool) -> str:
    if value is None:
        return "–"
    if share:
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _print_definitions(form: str) -> None:
    from api.usecases import statistics as use

    rows = use.definitions(lang_now())
    if form == "json":
        print_json(rows)
        return
    for row in rows:
        out.print(f"{row['name']}  [{row['figure']}]", style="bold", highlight=False, markup=False)
        for key in ("formula", "numerator", "denominator", "cutoff", "counts", "zero", "source"):
            if row[key] is not None:
                out.print(f"  {say('statistics_' + key)}: {row[key]}", highlight=False, markup=False, soft_wrap=True)
