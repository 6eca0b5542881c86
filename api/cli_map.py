"""`jieguan map`: layers into the map store and out of it, versions, drafts, signatures, publication."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from api.cli_options import JsonOption, LangOption, with_fields
from api.console import err, lang_now, out, print_json, progress, say, utc_now
from api.store.setup import opened
from api.usecases import layers_inout as inout
from api.usecases import map_drafts, map_versions
from api.usecases.layers_inout import Applied, Plan
from api.usecases.map_drafts import By
from api.usecases.map_features import MapStore, Shelves, layer_named
from geodata.build import MapFiles
from geodata.drafts import SUPERIOR, Desk, NotSigned, OnlyItsAuthor, OpenFindings
from geodata.exporting import DEFAULT_CRS
from geodata.importing import Provenance
from geodata.store import Maps, Signing
from geodata.times import read_instant, zone_named
from routing.errors import JieguanError

Opt = typer.Option
map_store = typer.Typer(no_args_is_help=True, help="map_store")

Db = Annotated[str, Opt("--db", metavar="URL", help="map_db")]
Named = Annotated[str, Opt("--by", help="map_by")]
Because = Annotated[str, Opt("--reason", help="map_reason")]
Begin = Annotated[str | None, Opt("--from", metavar="TIME", help="map_from")]
Document = Annotated[str, Opt("--document", help="map_document")]
Version = Annotated[str | None, Opt("--version", help="map_version_named")]
Zone = Annotated[str, Opt("--timezone", help="timezone")]
ZONE = "Asia/Shanghai"
SHOWN = 12
"""Letters of a name in a table; the whole of it with --json."""


class OneOfThem(JieguanError):
    zh = "{options} 只能选其一:同一份内容不能既试算又发布,或既是草案又已生效。请只留一个。"
    en = "Only one of {options} can be meant: nothing is both tried and published, or a draft and in force. Keep one of them."


class OptionMissing(JieguanError):
    zh = "{given} 还需要 {missing}:每次写入都要记名并说明缘由。请补上。"
    en = "{given} needs {missing} as well: whatever is written is recorded under a name, with its reason. Add it."


class OptionIdle(JieguanError):
    zh = "{given} 只在 {needed} 时有意义,单独给出不起作用。请补上 {needed},或去掉 {given}。"
    en = "{given} means something with {needed} only, and would do nothing here. Add {needed}, or leave {given} out."


# ---- in and out ------------------------------------------------------------------------------------------------------


@map_store.command(name="import", help="map_import")
@with_fields(MapFiles)
def import_(
    files: MapFiles,
    db: Db,
    dry_run: Annotated[bool, Opt("--dry-run", help="map_dry_run")] = False,
    publish: Annotated[bool, Opt("--publish", help="map_publish_now")] = False,
    draft: Annotated[str | None, Opt("--draft", metavar="NAME", help="map_as_draft")] = None,
    by: Annotated[str, Opt("--by", help="map_by")] = "",
    reason: Annotated[str, Opt("--reason", help="map_reason")] = "",
    begin: Begin = None,
    superior: Annotated[str, Opt("--superior", metavar="NAME", help="map_superior")] = "",
    document: Document = "",
    defects_to: Annotated[str, Opt("--defects-to", metavar="NAME", help="map_defects_to")] = "",
    source: Annotated[str, Opt("--source", help="map_source")] = "",
    licence: Annotated[str, Opt("--licence", help="map_licence")] = "",
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    to_publish = {"--reason": reason, "--from": begin, "--superior": superior, "--document": document, "--defects-to": defects_to}
    _check_import({"--dry-run": dry_run, "--publish": publish, "--draft": draft is not None}, by, to_publish)
    valid_from = None if begin is None else timed(begin, files.timezone, "--from")
    with map_opened(db) as of, progress(as_json) as step:
        plan = inout.plan_import(of.db, files, Provenance(source, licence))
        if draft is not None:
            applied = inout.draft_plan(of.desk, plan, draft, by, utc_now())
            _told({**plan.json(), "draft": applied.json()}, [plan, applied], [say("map_drafted", draft=applied.draft)], as_json)
            raise typer.Exit(1 if applied.refused else 0)
        if not publish:
            _told({**plan.json(), "published": None}, [plan], [say("map_dry")], as_json)
            raise typer.Exit(1 if plan.blocking else 0)
        done, version = inout.publish_plan(
            of.db, plan, by=by, reason=reason, clock=utc_now, valid_from=valid_from, superior=superior, document=document,
            defects_to=defects_to, progress=step,
        )  # fmt: skip
    told = {**map_versions.publication_told(done), "map": version.map.version}
    _told({**plan.json(), "published": told}, [plan], [_published(told)], as_json)


@map_store.command(name="export", help="map_export")
def export_(
    db: Db,
    out_file: Annotated[str, Opt("--out", help="map_out")],
    version: Version = None,
    draft: Annotated[str | None, Opt("--draft", help="map_draft")] = None,
    crs: Annotated[str, Opt("--crs", help="map_crs")] = DEFAULT_CRS,
    layer: Annotated[str | None, Opt("--layer", help="map_layer")] = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    if version is not None and draft is not None:
        raise OneOfThem(options="--version, --draft")
    only = None if layer is None else layer_named(layer)
    with map_opened(db) as of:
        name = None if version is None else map_versions.named(of, version)
        done = inout.export_map(of.db, out_file, now=utc_now(), version=name, draft=draft, crs=crs, layer=only, desk=of.desk)
    _told(done.json(), [done], [], as_json)


@map_store.command(name="upload", help="map_upload")
def upload_(
    file: Annotated[str, typer.Argument(help="map_upload_file", metavar="FILE")],
    db: Db,
    draft: Annotated[str, Opt("--draft", help="map_draft")],
    by: Named,
    apply: Annotated[bool, Opt("--apply", help="map_apply")] = False,
    layer: Annotated[str | None, Opt("--layer", help="map_upload_layer")] = None,
    datum: Annotated[str | None, Opt("--datum", help="map_upload_datum")] = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    of_layer = None if layer is None else layer_named(layer)
    with map_opened(db) as of:
        done = inout.upload(of.desk, draft, file, author=by, now=utc_now(), layer=of_layer, datum=datum, apply=apply)
    _told(done.json(), [done], [] if apply else [say("map_not_applied")], as_json)
    raise typer.Exit(1 if done.refused else 0)


@map_store.command(name="compiled", help="map_compiled")
def compiled_(
    db: Db,
    out_file: Annotated[str, Opt("--out", help="map_compiled_out")],
    version: Version = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    with map_opened(db) as of:
        told = map_versions.compiled(of, out_file, version)
    short = {**told, "version": told["version"][:SHOWN], "map": told["map"][:SHOWN]}
    _told(told, [], [say("map_compiled_done", **short)], as_json)


# ---- what is there ---------------------------------------------------------------------------------------------------


@map_store.command(name="versions", help="map_versions")
def versions_(db: Db, as_json: JsonOption = False, lang: LangOption = None) -> None:
    with map_opened(db) as of:
        found = map_versions.versions(of)
    rows: list[tuple[str, ...]] = [
        (v["version"][:SHOWN], v["map"][:SHOWN], _times(v["publications"]), v["author"], v["note"]) for v in found
    ]
    table(found, ("version", "map", "held", "by", "reason"), rows, as_json)


@map_store.command(name="drafts", help="map_drafts")
def drafts_(db: Db, as_json: JsonOption = False, lang: LangOption = None) -> None:
    with map_opened(db) as of:
        found = map_drafts.drafts(of)
    states = [say("map_state_" + d["state"]) for d in found]
    rows: list[tuple[str, ...]] = [
        (d["id"], d["name"], d["author"], state, str(d["revision"]), d["base_version"][:SHOWN])
        for d, state in zip(found, states, strict=True)
    ]
    table(found, ("draft", "name", "author", "state", "revision", "base"), rows, as_json)


# ---- acting on it ----------------------------------------------------------------------------------------------------


@map_store.command(name="sign", help="map_sign")
def sign_(
    draft: Annotated[str, typer.Argument(help="map_draft", metavar="DRAFT")],
    db: Db,
    by: Named,
    side: Annotated[list[str] | None, Opt("--side", help="map_side")] = None,
    superior: Annotated[bool, Opt("--superior", help="map_is_superior")] = False,
    document: Document = "",
    reason: Annotated[str, Opt("--reason", help="map_reason")] = "",
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    with map_opened(db) as of:
        standing = map_drafts.draft(of, draft)
        sides = ["*"] if superior else side or standing["sides"]
        seen = By(draft, by, standing["revision"])
        for one in sides:
            map_drafts.sign(of, seen, one, SUPERIOR if superior else "leader", reason, document)
        told = {"draft": draft, "revision": standing["revision"], "by": by, "sides": sides, "ready": False, "why": None}
        try:
            of.desk.readiness(of.desk.open(draft))
            told["ready"] = True
        except (NotSigned, OnlyItsAuthor, OpenFindings) as why:
            told["why"] = why.text(lang_now())
    signed = say("map_signed", by=by, sides=", ".join(sides) or "-", revision=standing["revision"])
    _told(told, [], [signed, told["why"] or say("map_ready")], as_json)


@map_store.command(name="publish", help="map_publish")
def publish_(
    draft: Annotated[str, typer.Argument(help="map_draft", metavar="DRAFT")],
    db: Db,
    by: Named,
    reason: Because,
    begin: Begin = None,
    document: Document = "",
    timezone: Zone = ZONE,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    valid_from = None if begin is None else timed(begin, timezone, "--from")
    with map_opened(db) as of:
        told = map_drafts.publish(of, By(draft, by), reason, document, valid_from)
    _told(told, [], [_published(told)], as_json)


@map_store.command(name="rollback", help="map_rollback")
def rollback_(
    version: Annotated[str, typer.Argument(help="map_version_back", metavar="VERSION")],
    db: Db,
    by: Named,
    reason: Because,
    document: Annotated[str, Opt("--document", help="map_document")],
    begin: Begin = None,
    timezone: Zone = ZONE,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    valid_from = None if begin is None else timed(begin, timezone, "--from")
    with map_opened(db) as of:
        told = map_versions.roll_back(of, map_versions.named(of, version), Signing(by, reason, document), valid_from)
    _told(told, [], [_published(told)], as_json)


# ---- small parts -----------------------------------------------------------------------------------------------------


@contextmanager
def map_opened(url: str) -> Iterator[MapStore]:
    """The map of a database."""
    with opened(url) as db:
        yield MapStore(db, Desk(db), Maps(1), Shelves(1), utc_now)


def _check_import(modes: dict[str, bool], by: str, to_publish: dict[str, str | None]) -> None:
    """Options that contradict each other, or that would silently do nothing."""
    chosen = [option for option, given in modes.items() if given]
    if len(chosen) > 1:
        raise OneOfThem(options=", ".join(chosen))
    mode = chosen[0] if chosen else "--dry-run"
    needed = {"--by": by} if mode == "--draft" else {"--by": by, "--reason": to_publish["--reason"]} if mode == "--publish" else {}
    for option, value in needed.items():
        if not value:
            raise OptionMissing(given=mode, missing=option)
    idle = {} if mode == "--publish" else to_publish if mode == "--draft" else {"--by": by, **to_publish}
    for option, value in idle.items():
        if value:
            raise OptionIdle(given=option, needed="--publish")


def timed(text: str, zone: str, option: str) -> datetime:
    """The instant that an option names."""
    return read_instant(text, zone_named(zone), option)


def _published(told: dict[str, Any]) -> str:
    return say("map_published", id=told["id"], version=told["version"][:SHOWN], since=told["valid_from"])


def _times(publications: list[dict[str, Any]]) -> str:
    """The periods of a version, one a line, UTC."""

    def shown(moment: str) -> str:
        return moment[:19] + "Z"

    def end(p: dict[str, Any]) -> str:
        return say("map_withdrawn") if p["withdrawn"] else say("map_open") if p["valid_to"] is None else shown(p["valid_to"])

    return "\n".join(f"{shown(p['valid_from'])} — {end(p)}" for p in publications) or "-"


def _told(told: Any, parts: list[Plan | Applied | inout.Export], lines: list[str], as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    for text in (*(part.text(lang_now()) for part in parts), *lines):
        out.print(text, highlight=False, markup=False, soft_wrap=True)


def table(told: Any, headings: tuple[str, ...], rows: list[tuple[str, ...]], as_json: bool) -> None:
    """A list, as JSON or to be read; `headings` are words (`map_t_...`)."""
    if as_json:
        print_json(told)
        return
    if not rows:
        err.print(say("map_none"))
        return
    drawn = Table()
    for heading in headings:
        drawn.add_column(say("map_t_" + heading), no_wrap=heading in ("version", "map", "draft", "finding"))
    for row in rows:
        drawn.add_row(*map(Text, row))
    out.print(drawn)
