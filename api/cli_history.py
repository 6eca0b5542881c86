"""What the past says: `jieguan whatif` (another map on past cases), `replay` (decisions made again), `practice` (who handled what)."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated

import typer

from api.cli_options import JsonOption, LangOption, with_fields
from api.console import err, lang_now, out, print_json, progress, say, utc_now
from api.store.setup import opened
from api.usecases import practice as practices
from api.usecases import replay as replays
from api.usecases import stored_cases
from api.usecases import whatif as whatifs
from api.usecases.route_file import How, PointFile
from geodata.build import MapFiles, build, open_map
from geodata.db.engine import Database
from geodata.drafts import Desk
from geodata.files import Table
from geodata.store import in_force, read_version, version_named, version_of
from routing.errors import JieguanError
from routing.jurisdiction import JurisdictionMap
from routing.route import CAP_M

Opt = typer.Option


class NoMapsToReplay(JieguanError):
    zh = "没有说明从哪里取当时的地图:请用 --map FILE(可重复)给出已编制的地图,或用 --db URL 给出地图数据库。"
    en = "Nothing says where the maps of the time are: give compiled maps with --map FILE (may be repeated), or a database with --db URL."


class NoMapBefore(JieguanError):
    zh = "没有说明现行地图:请用 --map FILE 指明已编制的地图,或用 --db URL 指明数据库(此时 {value} 是草案编号)。"
    en = (
        "The map in force was not named: give a compiled map with --map FILE, or a database with --db URL, and {value!r} is then "
        "the id of a draft in it."
    )


@with_fields(PointFile, "points")
def whatif(
    source: PointFile,
    draft: Annotated[str, typer.Argument(help="whatif_after", metavar="DRAFT")],
    points: Annotated[str, Opt("--cases", help="whatif_cases")],
    map_file: Annotated[str | None, Opt("--map", help="whatif_before")] = None,
    db: Annotated[str | None, Opt("--db", help="whatif_db")] = None,
    moved: Annotated[str | None, Opt("--out", help="whatif_list")] = None,
    keep: Annotated[str | None, Opt("--keep", help="whatif_keep")] = None,
    since: Annotated[str | None, Opt("--since", metavar="TIME", help="since")] = None,
    zone_m: Annotated[float | None, Opt("--zone-m", min=0.0, help="zone_m")] = None,
    margin_cap_m: Annotated[float, Opt("--margin-cap-m", min=0.001, help="margin_cap_m")] = CAP_M,
    workers: Annotated[int, Opt("--workers", min=1, help="workers")] = 1,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    with progress(as_json) as step:
        before, after = _maps(draft, map_file, db)
        how = How(zone_m, margin_cap_m, workers)
        source, stored = _stored(source, db)
        answer = whatifs.whatif(
            before, after, source, how, utc_now, since=since, out=moved, keep_to=keep, stored=stored, progress=step
        )
    if as_json:
        print_json(whatifs.as_json(answer))
        return
    for note in answer.notes:
        err.print(say("assumed", text=note.text(lang_now())), highlight=False, markup=False)
    out.print(whatifs.as_text(answer, lang_now()), highlight=False, markup=False, soft_wrap=True)


@with_fields(PointFile, "points")
def replay(
    source: PointFile,
    points: Annotated[str, typer.Argument(help="replay_file", metavar="FILE")],
    maps: Annotated[list[str] | None, Opt("--map", help="replay_map")] = None,
    db: Annotated[str | None, Opt("--db", help="replay_db")] = None,
    since: Annotated[str | None, Opt("--since", metavar="TIME", help="since")] = None,
    on: Annotated[str | None, Opt("--on", metavar="VERSION", help="replay_on")] = None,
    margin_cap_m: Annotated[float, Opt("--margin-cap-m", min=0.001, help="margin_cap_m")] = CAP_M,
    workers: Annotated[int, Opt("--workers", min=1, help="workers")] = 1,
    prefix: Annotated[str, Opt("--prefix", help="prefix")] = "",
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    how = How(None, margin_cap_m, workers, prefix=prefix)
    with ExitStack() as stack:
        at_hand, after = _at_hand(maps or [], None if db is None else stack.enter_context(opened(db)), on)
        if after is None:
            report = replays.replay_file(source, at_hand, how, since=since)
            told, text, notes = replays.as_json(report), replays.as_text(report, lang_now()), report.notes
        else:
            compared = replays.replay_file_on(source, at_hand, after, how, since=since)
            told, text, notes = compared.json(), compared.text(lang_now()), compared.notes
    if as_json:
        print_json(told)
    else:
        for note in notes:
            err.print(say("assumed", text=note.text(lang_now())), highlight=False, markup=False)
        out.print(text, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(0 if told["good"] else 1)


@with_fields(PointFile, "points")
@with_fields(MapFiles, "timezone")
def practice(
    source: PointFile,
    files: MapFiles,
    points: Annotated[str, typer.Argument(help="whatif_cases", metavar="CASES")],
    recorded: Annotated[str, Opt("--recorded", help="practice_recorded")],
    map_file: Annotated[str | None, Opt("--map", help="map")] = None,
    since: Annotated[str | None, Opt("--since", help="practice_since")] = None,
    proposals: Annotated[str | None, Opt("--out", help="practice_out")] = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    with progress(as_json) as step:
        on = open_map(map_file) if map_file else build(files, step).map
        report = practices.practice(on, source, recorded, now=utc_now, since=since, progress=step)
        if proposals is not None:
            report.write(proposals)
    if as_json:
        print_json(report.json())
    else:
        out.print(report.text(lang_now()), highlight=False, markup=False, soft_wrap=True)


def _at_hand(
    maps: list[str], db: Database | None, on: str | None
) -> tuple[Callable[[str], JurisdictionMap], JurisdictionMap | None]:
    """Where the maps of the time are: files first, then the database; and the one to compare with, if any."""
    if not maps and db is None:
        raise NoMapsToReplay
    ways = [replays.maps_at_hand([open_map(path) for path in maps])]
    if db is not None:
        ways.append(replays.maps_of(db))
    if on is None:
        return replays.first_of(ways), None
    if db is None:
        return replays.first_of(ways), open_map(on)
    with db.reading() as session:
        return replays.first_of(ways), read_version(session, version_named(session, on)).map


def _stored(source: PointFile, db: str | None) -> tuple[PointFile, Table | None]:
    """The cases of a database, where it is named in place of a file."""
    if db is None or source.points != stored_cases.NAME:
        return source, None
    with opened(db) as found, found.reading() as session:
        return stored_cases.columns_of(source), stored_cases.table_of(session)


def _maps(draft: str, map_file: str | None, db: str | None) -> tuple[JurisdictionMap, JurisdictionMap]:
    """The map in force and the one to try: two compiled files, or a draft of a database."""
    if map_file is not None:
        return open_map(map_file), open_map(draft)
    if db is None:
        raise NoMapBefore(value=draft)
    with opened(db) as found:
        working = Desk(found).open(draft)
        with found.reading() as session:
            before = read_version(session, in_force(session, utc_now()).version).map
        return before, version_of(working.now.features(), working.settings).map
