"""The command line: parse, call one use case, print. Exit status 0 good, 1 findings, 2 bad input."""

import json
import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from api.cli_audit import audit
from api.cli_cases import cases as cases_
from api.cli_db import db
from api.cli_drafts import defects, draft
from api.cli_history import practice, replay, whatif
from api.cli_keys import keys, person
from api.cli_limits import limits
from api.cli_map import map_store
from api.cli_options import JsonOption, LangOption, with_fields
from api.cli_people import openapi, token, user
from api.cli_serve import serve, settings
from api.cli_statistics import statistics
from api.cli_worker import worker
from api.console import err, lang_now, out, print_json, progress, say, speak, utc_now
from api.demo import CASES, IN_DATABASE, SEED
from api.usecases.check_layer import Checked, CheckFile, check_layer
from api.usecases.layers_inout import OpenErrors
from api.usecases.route_file import How, PointFile, Summary, reasons_json, route_file
from api.words import STEPS, direction, language, step_words
from geodata.build import MapFiles, build, gather, open_map, sources_of
from geodata.crs import parse_crs, system, to_wgs84, to_work
from geodata.drafts import OpenFindings
from geodata.proposal import Limits, Proposal, propose, write_proposal
from geodata.times import read_instant, zone_named
from geodata.topology import STANDING_M
from geodata.written import replace_file
from routing.case import Role
from routing.errors import JieguanError, told_in
from routing.explain import Explanation, compass, explain
from routing.ground.verify import load, verify
from routing.jurisdiction import JurisdictionMap
from routing.ladder import LADDER
from routing.model import Category, Location
from routing.route import CAP_M

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="app")

Opt = typer.Option

app.add_typer(db, name="db")
app.add_typer(map_store, name="map")
app.add_typer(draft, name="draft")
app.add_typer(defects, name="defects")
app.add_typer(audit, name="audit")
app.add_typer(cases_, name="cases")
app.add_typer(keys, name="keys")
app.add_typer(limits, name="limits")
app.add_typer(person, name="person")
app.add_typer(user, name="user")
app.add_typer(token, name="token")
app.add_typer(statistics, name="statistics")
app.command(name="serve", help="serve")(serve)
app.command(name="settings", help="settings")(settings)
app.command(name="worker", help="worker")(worker)
app.command(name="openapi", help="openapi")(openapi)
app.command(name="whatif", help="whatif")(whatif)
app.command(name="replay", help="replay")(replay)
app.command(name="practice", help="practice")(practice)


FORBIDDING = (OpenErrors, OpenFindings)
"""The input is good, and what the checks found in it stands in the way."""


class BadPoint(JieguanError):
    zh = "--at-point “{value}”不是“经度,纬度”。例如 113.617,34.868。"
    en = "--at-point {value!r} is not LON,LAT. For example 113.617,34.868."


class DemoInBoth(JieguanError):
    zh = "--out 与 --db 只能选其一:演示写成文件,或写入数据库。"
    en = "Only one of --out and --db can be meant: the demo as files, or in a database."


@app.command(help="route")
@with_fields(PointFile, "points", "timezone")
@with_fields(MapFiles)
def route(
    source: PointFile,
    files: MapFiles,
    points: Annotated[str, typer.Argument(help="points", metavar="POINTS")],
    out_file: Annotated[str, Opt("--out", help="out")],
    map_file: Annotated[str | None, Opt("--map", help="map")] = None,
    margin_cap_m: Annotated[float, Opt("--margin-cap-m", min=0.001, help="margin_cap_m")] = CAP_M,
    workers: Annotated[int, Opt("--workers", min=1, help="workers")] = 1,
    reasons: Annotated[bool, Opt("--reasons", help="reasons")] = False,
    prefix: Annotated[str, Opt("--prefix", help="prefix")] = "",
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    with progress(as_json) as step:
        on, notes = _map(files, map_file, step)
        how = How(files.zone_m, margin_cap_m, workers, reasons, prefix)
        done = route_file(on, source, out_file, how, utc_now, step)
    _print_summary(done, notes, as_json)


@app.command(name="explain", help="explain")
@with_fields(MapFiles)
def explain_(
    files: MapFiles,
    at_point: Annotated[str, Opt("--at-point", metavar="LON,LAT", help="at_point")],
    map_file: Annotated[str | None, Opt("--map", help="map")] = None,
    category: Annotated[str | None, Opt("--category", help="category")] = None,
    at: Annotated[str | None, Opt("--at", help="at")] = None,
    datum: Annotated[str, Opt("--datum", help="datum")] = "wgs84",
    error_m: Annotated[float, Opt("--error-m", min=0.0, help="error_m")] = 0.0,
    case: Annotated[str | None, Opt("--case", help="case_field")] = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    lon, lat = _lon_lat(at_point)
    with progress(as_json) as step:
        on, notes = _map(files, map_file, step)
    x, y = to_work([lon], [lat], system(None, datum), parse_crs(on.settings.work_crs, "--work-crs"))
    moment = read_instant(at, zone_named(files.timezone), "--at") if at else utc_now()
    place = Location(float(x[0]), float(y[0]), error_m)
    found = explain(
        on, place, Category(category) if category else None, moment, case=case, zone_m=files.zone_m
    )
    if as_json:
        print_json(_explained(found))
        return
    _print_notes(notes)
    _print_explanation(found)


@app.command(name="check", help="check")
@with_fields(CheckFile)
def check_(
    options: CheckFile,
    layer: Annotated[str, typer.Argument(help="layer", metavar="LAYER")],
    propose_to: Annotated[str | None, Opt("--propose", metavar="FILE", help="propose")] = None,
    propose_width: Annotated[float, Opt("--propose-width", min=0.0, help="propose_width")] = STANDING_M,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    with progress(as_json) as step:
        found = check_layer(layer, options, utc_now, step)
    proposal = None
    if propose_to is not None:
        limits = Limits(propose_width, propose_width)
        proposal = propose(found.layer, found.facts, found.issues, found.of, found.work.crs, limits=limits)
        table = write_proposal(propose_to, found.layer, proposal)
    if as_json:
        print_json({**_checked(found), "proposal": None if proposal is None else _proposed(proposal, propose_to)})
    else:
        _print_notes(found.notes)
        _print_issues(found)
        if proposal is not None:
            facts = {"changed": len(proposal.changes), "left": len(proposal.left), "out": propose_to, "table": table}
            out.print(say("proposed", **facts), highlight=False, markup=False)
    if found.issues:
        raise typer.Exit(1)


@app.command(name="compile", help="compile")
@with_fields(MapFiles)
def compile_(
    files: MapFiles,
    out_file: Annotated[str, Opt("--out", help="out")],
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    with progress(as_json) as step:
        built = build(files, step)
        replace_file(out_file, built.data)
    on = built.map
    facts: dict[str, Any] = {
        "plates": len(on.plates),
        "faces": sum(p.faces.n_face for p in on.plates),
        "labels": sum(len(p.labels) for p in on.plates),
        "squads": len(on.roster.squads),
        "claims": len(on.claims),
        "version": on.version,
        "out": out_file,
    }
    findings = verify(load(out_file))
    if as_json:
        print_json({**facts, "proven": not findings, "notes": [n.text(lang_now()) for n in built.gathered.notes]})
    else:
        _print_notes(built.gathered.notes)
        out.print(say("compiled", **facts), highlight=False)
        out.print(say("proven") if not findings else say("unproven", count=len(findings)), highlight=False)
    if findings:
        raise typer.Exit(1)


@app.command(name="verify", help="verify")
@with_fields(MapFiles)
def verify_(
    files: MapFiles,
    map_file: Annotated[str, typer.Argument(help="map_file", metavar="MAP")],
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    compiled = load(map_file)
    sources = list(sources_of(gather(files))) if files.territories or files.townships else None
    findings = verify(compiled, sources)
    if as_json:
        told = [{"check": f.check, "what": f.what, "text": f.text(lang_now()), "place": f.place} for f in findings]
        print_json({"proven": not findings, "faithful": None if sources is None else not findings, "findings": told})
    elif findings:
        out.print(say("unproven", count=len(findings)), highlight=False)
        for finding in findings:
            out.print("  " + finding.text(lang_now()), highlight=False, markup=False)
    else:
        out.print(say("proven") + ("" if sources is None else " " + say("faithful")), highlight=False)
    if findings:
        raise typer.Exit(1)


@app.command(help="ladder")
def ladder(as_json: JsonOption = False, lang: LangOption = None) -> None:
    rows = [(i, step, *step_words(step, lang_now())) for i, (step, _) in enumerate(LADDER, 1)]
    if as_json:
        print_json([{"number": i, "step": step.value, "name": name, "when": when} for i, step, name, when in rows])
        return
    table = Table(show_lines=False)
    for heading in ("#", say("step"), "", say("when")):
        table.add_column(heading)
    for i, step, name, when in rows:
        table.add_row(str(i), step.value, name, when)
    out.print(table)


@app.command(help="demo")
def demo(
    out_dir: Annotated[str | None, Opt("--out", metavar="FOLDER", help="demo_out")] = None,
    db: Annotated[str | None, Opt("--db", metavar="URL", help="demo_db")] = None,
    cases: Annotated[int | None, Opt("--cases", help="demo_cases")] = None,
    seed: Annotated[int, Opt("--seed", min=0, help="demo_seed")] = SEED,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    if db is not None:
        if out_dir is not None:
            raise DemoInBoth
        _demo_in_database(db, IN_DATABASE if cases is None else cases, seed, as_json)
        return
    from api.demo.make import commands, make_demo, read_me

    folder = "demo" if out_dir is None else out_dir
    with progress(as_json) as step:
        made = make_demo(Path(folder), CASES if cases is None else cases, seed, utc_now, step)
    if as_json:
        lon, lat = made.at
        example = {**asdict(made.example), "lon": lon, "lat": lat}
        print_json({**asdict(made.summary), "notes": [], "folder": folder, "example": example, "commands": commands(made)})
        return
    _print_summary(replace(made.summary, notes=()), (), as_json)
    out.print()
    out.print(read_me(made, lang_now()), highlight=False, markup=False, soft_wrap=True)


def _demo_in_database(db: str, cases: int, seed: int, as_json: bool) -> None:
    """Passwords are printed once, on the output stream."""
    from api.demo.database import make_in_database
    from api.demo.make import program
    from api.settings import serving_of

    with progress(as_json) as step:
        made = make_in_database(serving_of(db), cases, seed, utc_now(), step)
    if made.master_made is not None:
        err.print(say("master_made", file=made.master_made), highlight=False, markup=False, soft_wrap=True)
    run = f"{program()} serve --db {shlex.quote(db)}"
    if as_json:
        print_json({**asdict(made), "synthetic": True, "command": run})
        return
    out.print(say("demo_synthetic"), highlight=False, markup=False, soft_wrap=True)
    told = {"cases": made.cases, "orders": sum(made.actions.values()), "url": made.url}
    out.print(say("demo_in_database", **told), highlight=False, markup=False, soft_wrap=True)
    table = Table()
    for heading in ("t_name", "t_role", "t_squad", "demo_password"):
        table.add_column(say(heading), no_wrap=True)
    machines = [one for one in made.logins if one.role is Role.MACHINE]
    for one in made.logins:
        if one not in machines:
            table.add_row(*map(Text, (one.name, one.role.value, one.squad or "", one.secret)))
    out.print(table)
    for one in machines:
        out.print(say("demo_token", name=one.name) + f"\n  {one.secret}", highlight=False, markup=False, soft_wrap=True)
    out.print(say("demo_once"), highlight=False, markup=False, soft_wrap=True)
    out.print(say("demo_do_serve") + f"\n  {run}", highlight=False, markup=False, soft_wrap=True)


def main(argv: list[str] | None = None) -> None:
    """The entry point: choose the language, run, and turn bad input into a sentence and exit status 2; 1 where findings forbid it."""
    words = sys.argv[1:] if argv is None else argv
    speak(language(words))
    command = typer.main.get_command(app)
    _translate(command)
    try:
        command(args=words, prog_name="jieguan")
    except JieguanError as error:
        if "--json" in words:
            facts = {k: str(told_in(v, lang_now())) for k, v in error.facts.items()}
            print_json({"error": type(error).__name__, "text": error.text(lang_now()), "facts": facts})
        err.print(say("error", text=error.text(lang_now())), highlight=False, markup=False)
        sys.exit(1 if isinstance(error, FORBIDDING) else 2)


def _translate(command: Any) -> None:
    """Put the sentences of words.py in the place of their keys."""
    if command.help:
        command.help = say(command.help) if " " not in command.help else command.help
    for parameter in command.params:
        if getattr(parameter, "help", None) and " " not in parameter.help and parameter.name != "help":
            parameter.help = say(parameter.help)
    for child in getattr(command, "commands", {}).values():
        _translate(child)


def _map(files: MapFiles, map_file: str | None, step: Any) -> tuple[JurisdictionMap, tuple[Any, ...]]:
    """The compiled map that was named, verified; else one made of the files."""
    if map_file is not None:
        return open_map(map_file), ()
    built = build(files, step)
    return built.map, built.gathered.notes


def _lon_lat(text: str) -> tuple[float, float]:
    try:
        lon, lat = (float(part) for part in text.split(","))
    except ValueError as error:
        raise BadPoint(value=text) from error
    return lon, lat


def _print_notes(notes: Any) -> None:
    for note in notes:
        err.print(say("assumed", text=note.text(lang_now())), highlight=False, markup=False)


def _print_summary(done: Summary, notes: Any, as_json: bool) -> None:
    if as_json:
        told = [n.text(lang_now()) for n in (*notes, *done.notes)]
        print_json({**asdict(done), "notes": told})
        return
    _print_notes((*notes, *done.notes))
    table = Table(title=say("t_route"), title_justify="left")
    table.add_column(say("step"))
    table.add_column("")
    for heading in (say("count"), say("share")):
        table.add_column(heading, justify="right")
    for step in STEPS:
        if n := done.steps[step.value]:
            table.add_row(step.value, step_words(step, lang_now())[0], f"{n:,}", f"{n / done.rows:.1%}")
    table.add_section()
    for key, n in (("rows", done.rows), ("doubtful", done.doubtful), ("assisted", done.assisted)):
        table.add_row(say(key), "", f"{n:,}", f"{n / done.rows:.1%}")
    for why, n in done.unlocated.items():
        table.add_row(say("unlocated", why=why), "", f"{n:,}", f"{n / done.rows:.1%}")
    out.print(table)
    out.print(say("map_version", version=done.map_version, rules=done.rules_version), highlight=False)
    out.print(say("written", out=done.out), highlight=False, markup=False)


SHOWN = 12
"""Findings of one kind that are printed; the rest are counted."""


def _print_issues(found: Checked) -> None:
    severities = [i.severity.value for i in found.issues]
    for fit in found.fits:
        out.print(fit.text(lang_now()), highlight=False, markup=False)
    if not found.issues:
        out.print(say("issues_none"))
        return
    table = Table()
    for heading in (say("severity"), say("code"), say("what")):
        table.add_column(heading)
    told: dict[tuple[str, str], int] = {}
    for issue in found.issues:
        kind = issue.severity.value, issue.code
        told[kind] = told.get(kind, 0) + 1
        if told[kind] <= SHOWN:
            table.add_row(say(issue.severity.value + "_"), issue.code, issue.text(lang_now()))
    for (severity, code), count in told.items():
        if count > SHOWN:
            table.add_row(say(severity + "_"), code, say("more", count=count - SHOWN, code=code))
    out.print(table)
    counts = {f"{name}s": severities.count(name) for name in ("error", "warning", "note")}
    out.print(say("issues_count", **counts), highlight=False)


def _checked(found: Checked) -> dict[str, Any]:
    return {
        "layer": found.layer.table.spec,
        "features": len(found.layer),
        "work_crs": found.work.code,
        "issues": [
            {
                "id": i.id,
                "code": i.code,
                "severity": i.severity.value,
                "features": list(i.features),
                "place": i.place,
                "lonlat": _lonlat(i.place, found),
                "area_m2": i.area_m2,
                "width_m": i.width_m,
                "text": i.text(lang_now()),
            }
            for i in found.issues
        ],
        "fits": [fit.text(lang_now()) for fit in found.fits],
        "notes": [n.text(lang_now()) for n in found.notes],
    }


def _proposed(proposal: Proposal, path: str | None) -> dict[str, Any]:
    changes = [{"feature": c.feature, "before_m2": c.before_m2, "after_m2": c.after_m2} for c in proposal.changes]
    left = [{"issue": x.issue.id, "why": x.why.value, "who": list(x.who)} for x in proposal.left]
    return {"file": path, "changes": changes, "left": left}


def _lonlat(place: tuple[float, float] | None, found: Checked) -> list[float] | None:
    """A place to zoom to, WGS-84 degrees."""
    if place is None:
        return None
    lon, lat = to_wgs84([place[0]], [place[1]], system(found.work.crs, None))
    return [round(float(lon[0]), 7), round(float(lat[0]), 7)]


def _explained(found: Explanation) -> dict[str, Any]:
    decision = found.decision
    return {
        "squad": decision.squad,
        "assist": list(decision.assist),
        "step": decision.step.value,
        "doubtful": decision.doubtful,
        "margin_m": decision.margin_m,
        "runner_up": decision.runner_up,
        "township": decision.township,
        "reasons": json.loads(reasons_json(decision)),
        "change": None if found.change is None else asdict(found.change),
        "question": None if found.question is None else asdict(found.question),
        **asdict(decision.pin),
    }


def _print_explanation(found: Explanation) -> None:
    decision = found.decision
    table = Table()
    for heading in ("#", say("step"), "", say("why")):
        table.add_column(heading)
    for i, reason in enumerate(decision.reasons, 1):
        text = say("found", claims=", ".join(reason.found)) if reason.found else say("found_nothing")
        decides = reason is decision.reasons[-1]
        row = (str(i), reason.step.value, step_words(reason.step, lang_now())[0], text + (say("chose") if decides else ""))
        table.add_row(*row, style="bold" if decides else None)
    out.print(table)
    lines = [say("answer", squad=decision.squad)]
    if decision.assist:
        lines.append(say("answer_assist", assist=", ".join(decision.assist)))
    if decision.doubtful:
        lines.append(say("answer_doubt"))
    lines.append(_change_words(found))
    if found.question is not None:
        one, two = found.question.options
        sides = {"one": direction(compass(one.bearing), lang_now()), "two": direction(compass(two.bearing), lang_now())}
        lines.append(say("answer_question", **sides, one_squad=one.squad, two_squad=two.squad))
    out.print(" ".join(lines) if lang_now() == "en" else "".join(lines), highlight=False, markup=False)
    pin = decision.pin
    out.print(say("map_version", version=pin.map_version, rules=pin.rules_version), highlight=False)


def _change_words(found: Explanation) -> str:
    change = found.change
    if change is None:
        return say("answer_far", cap=f"{found.decision.margin_m:g}")
    bearing = direction(compass(change.bearing), lang_now())
    if change.distance_m < 0.01:
        return say("answer_on_line", bearing=bearing, squad=change.squad)
    return say("answer_change", distance=f"{change.distance_m:.2f}", bearing=bearing, squad=change.squad)


if __name__ == "__main__":
    main()
