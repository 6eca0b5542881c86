"""`jieguan draft`: what stands in the way of a draft, and warnings accepted by name. `jieguan defects`: the ledger of what stays open."""

from typing import Annotated

import typer

from api.cli_map import Because, Db, Document, Named, Opt, map_opened, table, timed
from api.cli_options import JsonOption, LangOption, with_fields
from api.console import lang_now, out, print_json, say
from api.store.setup import opened
from api.usecases import map_defects, map_drafts, stored_cases
from api.usecases.map_drafts import By
from api.usecases.route_file import PointFile

draft = typer.Typer(no_args_is_help=True, help="draft")
defects = typer.Typer(no_args_is_help=True, help="defects")

Draft = Annotated[str, typer.Argument(help="map_draft", metavar="DRAFT")]
Key = Annotated[str, typer.Argument(help="defect_key", metavar="FINDING")]
Squad = Annotated[str | None, Opt("--squad", help="defect_squad")]
Owner = Annotated[str | None, Opt("--owner", help="defect_owner")]
Due = Annotated[str | None, Opt("--due", metavar="TIME", help="defect_due")]
ZONE = "Asia/Shanghai"


# ---- drafts ----------------------------------------------------------------------------------------------------------


@draft.command(name="check", help="draft_check")
def check_(id_: Draft, db: Db, as_json: JsonOption = False, lang: LangOption = None) -> None:
    with map_opened(db) as of:
        found = map_drafts.findings(of, id_, lang_now())
    blocking = [f for f in found if f["blocking"]]
    rows: list[tuple[str, ...]] = [(f["id"], say("severity_" + f["severity"]), _state(f), f["text"]) for f in found]
    table({"findings": found, "blocking": len(blocking)}, ("finding", "severity", "state", "text"), rows, as_json)
    if not as_json:
        out.print(say("draft_blocked", count=len(blocking)) if blocking else say("draft_clear"), highlight=False, markup=False)
    raise typer.Exit(1 if blocking else 0)


@draft.command(name="accept", help="draft_accept")
def accept_(
    id_: Draft, finding: Key, db: Db, by: Named, reason: Because, as_json: JsonOption = False, lang: LangOption = None
) -> None:
    with map_opened(db) as of:
        map_drafts.waive(of, By(id_, by), finding, reason)
        told = map_drafts.waivers(of, id_)
    if as_json:
        print_json(told)
        return
    out.print(say("draft_accepted", by=by, finding=finding), highlight=False, markup=False, soft_wrap=True)


def _state(finding: dict[str, object]) -> str:
    """Whether it blocks, who accepted it, whether the ledger carries it."""
    waived = finding["waived"]
    if isinstance(waived, dict):
        return say("finding_accepted", by=waived["by"], reason=waived["reason"])
    return say("finding_blocking" if finding["blocking"] else "finding_in_ledger" if finding["in_ledger"] else "finding_stays")


# ---- the ledger ------------------------------------------------------------------------------------------------------


@defects.command(name="list", help="defects_list")
@with_fields(PointFile, "points")
def list_(
    source: PointFile,
    db: Db,
    points: Annotated[str, Opt("--cases", help="defects_cases")] = "",
    closed: Annotated[bool, Opt("--closed", help="defects_closed")] = False,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    with map_opened(db) as of:
        past = None
        if points == stored_cases.NAME:
            with opened(db) as store, store.reading() as session:
                past = map_defects.past_of(of, stored_cases.columns_of(source), stored_cases.table_of(session))
        elif points:
            past = map_defects.past_of(of, source)
        found = map_defects.defects(of, lang_now(), past, closed)
    rows: list[tuple[str, ...]] = [
        (
            d["key"], "-" if d["load"] is None else str(d["load"]), "-" if d["area_m2"] is None else f"{d['area_m2']:.1f}",
            d["default_squad"], d["owner"] or "-", "-" if d["due"] is None else d["due"][:10], _ends(d),
        )
        for d in found
    ]  # fmt: skip
    table(found, ("finding", "load", "area", "squad", "owner", "due", "state"), rows, as_json)


@defects.command(name="assign", help="defects_assign")
def assign_(
    finding: Key,
    db: Db,
    squad: Squad = None,
    owner: Owner = None,
    due: Due = None,
    document: Document = "",
    draft: Annotated[str | None, Opt("--draft", help="defects_draft")] = None,
    timezone: Annotated[str, Opt("--timezone", help="timezone")] = ZONE,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    until = None if due is None else timed(due, timezone, "--due")
    with map_opened(db) as of:
        told = map_defects.assign(of, finding, draft, squad=squad, owner=owner, due=until, document=document)
    if as_json:
        print_json(told)
        return
    facts = {"finding": finding, "squad": told["default_squad"], "owner": told["owner"], "due": (told["due"] or "-")[:10]}
    out.print(say("defects_assigned", **facts), highlight=False, markup=False, soft_wrap=True)


@defects.command(name="close", help="defects_close")
def close_(
    finding: Key, db: Db, by: Named, reason: Because, document: Document = "", as_json: JsonOption = False, lang: LangOption = None
) -> None:
    with map_opened(db) as of:
        told = map_defects.close(of, finding, by, reason, document)
    if as_json:
        print_json(told)
        return
    out.print(say("defects_closed_now", finding=finding, by=by), highlight=False, markup=False, soft_wrap=True)


def _ends(defect: dict[str, object]) -> str:
    """Whether it is still there."""
    if defect["closed_at"] is not None:
        return say("defect_over", at=str(defect["closed_at"])[:10])
    return say("defect_stands" if defect["stands"] else "defect_mended")
