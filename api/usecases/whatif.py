"""What a moved line does, before it is signed: another map on past cases, as a value, as JSON, as a text, as a list of cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from api.usecases.route_file import How, NoPoints, PointFile, bounds_of, named_columns
from api.usecases.since import cases_since, rows_since
from api.words import step_words
from api.words_whatif import say
from geodata.build import open_map
from geodata.compile import Progress, silent
from geodata.crs import parse_crs, system, to_wgs84, to_work
from geodata.files import Table, read_table
from geodata.history import CaseColumns, keep, kept, read_history
from geodata.intake import Format, Note
from geodata.times import read_instant, zone_named
from geodata.written import check_output, points, write_table
from routing.again import Scope, known, part
from routing.compare import Baseline, Comparison, baseline, compare
from routing.errors import Lang
from routing.jurisdiction import JurisdictionMap
from routing.ladder import RULES_VERSION
from routing.model import SquadCode, Step

KEPT = ".npz"
SHOWN = 12
"""Lines of a list in the printed report; the rest are counted."""

COLUMNS = (
    "squad_before", "squad_after", "step_before", "step_after", "doubtful_before", "doubtful_after", "margin_after_m",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Warm:
    """The warm start: the history decided under the map in force. `table`: its file, None for a kept history."""

    base: Baseline
    table: Table | None
    notes: tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class WhatIf:
    """The answer: the comparison, and the versions it is about."""

    found: Comparison
    warm: Warm
    map_before: str
    map_after: str

    @property
    def notes(self) -> tuple[Any, ...]:
        return self.warm.notes


def whatif(
    before: JurisdictionMap | str,
    after: JurisdictionMap | str,
    source: PointFile,
    how: How,
    now: Callable[[], datetime],
    *,
    since: str | None = None,
    out: str | None = None,
    keep_to: str | None = None,
    stored: Table | None = None,
    progress: Progress = silent,
) -> WhatIf:
    """Both maps on the cases of a file, or on those `stored`, from the time `since` on. `out`: where to list the moved cases;
    `keep_to`: where to keep the warm start.

    Maps are values or paths. `now` is asked only where a map changes with time and no time was given.
    Raises the errors of the readers, TwoWorkSystems, and what `route` raises.
    """
    one, two = (open_map(m) if isinstance(m, str) else m for m in (before, after))
    warm = warm_start(one, source, how, now, after=two, since=since, stored=stored, progress=progress)
    if keep_to is not None:
        keep(keep_to, warm.base.known)
    if out is not None:
        check_output(out, _listing(warm), list(COLUMNS), how.prefix)
    progress("route", 2, 4)
    found = ask(warm, two)
    progress("write", 3, 4)
    if out is not None:
        write_moved(out, found, how.prefix)
    progress("write", 4, 4)
    return found


def warm_start(
    before: JurisdictionMap,
    source: PointFile,
    how: How,
    now: Callable[[], datetime],
    *,
    after: JurisdictionMap | None = None,
    since: str | None = None,
    stored: Table | None = None,
    progress: Progress = silent,
) -> Warm:
    """Everything that is the same for every `ask`. `after` only tells whether instants and case ids will be needed."""
    progress("read", 0, 4)
    notes: list[Any] = []
    if source.points.endswith(KEPT):
        old = kept(source.points, before, zone_m=how.zone_m, cap_m=how.cap_m, workers=how.workers)
        if since is not None:
            old = part(old, cases_since(old.history, source, since, notes))
        return Warm(baseline(old, _offices([m for m in (before, after) if m is not None])), None, tuple(notes))
    table = read_table(source.points) if stored is None else stored
    if not len(table):
        raise NoPoints(path=table.spec)
    if since is not None:
        table = table.taken(rows_since(table, source, since, notes))
    return warm_table(before, table, source, how, now, after=after, notes=notes, progress=progress)


def warm_table(
    before: JurisdictionMap,
    table: Table,
    source: PointFile,
    how: How,
    now: Callable[[], datetime],
    *,
    after: JurisdictionMap | None = None,
    notes: Sequence[Any] = (),
    progress: Progress = silent,
) -> Warm:
    """The warm start of rows at hand."""
    maps = [m for m in (before, after) if m is not None]
    offices = _offices(maps)
    notes = [*notes, *table.notes]
    named = named_columns(table, source, notes)
    where = system(table.crs, source.datum, "the file's coordinate system", "--datum") if named is None else named
    work = parse_crs(before.settings.work_crs, "--work-crs")
    progress("locate", 1, 4)
    read = read_history(table, where, work, bounds_of(before), _columns(maps, table, source, now, notes))
    warm = known(before, read.history, zone_m=how.zone_m, cap_m=how.cap_m, workers=how.workers)
    return Warm(baseline(warm, offices), table, (*notes, *read.notes))


def ask(warm: Warm, after: JurisdictionMap) -> WhatIf:
    """The history under `after` beside what it was."""
    return WhatIf(compare(warm.base, after), warm, warm.base.known.on.version, after.version)


def _columns(
    maps: list[JurisdictionMap], table: Table, source: PointFile, now: Callable[[], datetime], notes: list[Any]
) -> CaseColumns:
    zone = zone_named(source.timezone)
    at = read_instant(source.at, zone, "--at") if source.at is not None else None
    if at is None and source.at_field is None and any(len(m.intervals) > 1 or m.alternating for m in maps):
        at = now()
        notes.append(Note("assumed_now", {"at": at.isoformat(timespec="seconds")}))
    case = source.case_field
    if case is None and any(m.case_orders for m in maps):
        case = next((n for n in ("case", "id") if n in table.columns.column_names), None)
        if case is not None:
            notes.append(Note("case_field", {"field": case}))
    return CaseColumns(zone, source.category_field, source.at_field, at, source.found_by_field, case)


def _offices(maps: list[JurisdictionMap]) -> dict[SquadCode, tuple[float, float]]:
    """Offices in metres: of the map in force, and of the other for squads it has not. Rosters state lon, lat in WGS-84."""
    work = parse_crs(maps[0].settings.work_crs, "--work-crs")
    found: dict[SquadCode, tuple[float, float]] = {}
    for squad in (s for m in maps for s in m.roster.squads if s.office is not None):
        assert squad.office is not None
        x, y = to_work([squad.office[0]], [squad.office[1]], system(None, "wgs84"), work)
        found.setdefault(squad.code, (float(x[0]), float(y[0])))
    return found


# ---- the answer in other forms ----------------------------------------------------------------------------------------


def write_moved(out: str, answer: WhatIf, prefix: str = "") -> None:
    """The cases that change squad: their own columns, then COLUMNS. Raises what `write_table` raises."""
    found, moved, old = answer.found, answer.found.moved, answer.warm.base.known
    squads, steps = np.array(found.squads, object), np.array([s.value for s in Step], object)
    new = np.searchsorted(found.again.rows, moved.rows)
    columns = {
        "squad_before": squads[moved.squad_before],
        "squad_after": squads[moved.squad_after],
        "step_before": steps[moved.step_before],
        "step_after": steps[moved.step_after],
        "doubtful_before": old.routed.doubtful[moved.rows],
        "doubtful_after": found.again.routed.doubtful[new],
    }
    extra = {name: pa.array(values) for name, values in columns.items()}
    extra["margin_after_m"] = pa.array(found.again.routed.margin_m[new], from_pandas=True)
    work = system(parse_crs(old.on.settings.work_crs), None)
    lon, lat = to_wgs84(old.history.x[moved.rows], old.history.y[moved.rows], work)
    whole = _listing(answer.warm)
    write_table(out, whole.taken(moved.rows), extra, places=points(np.stack([lon, lat], 1)), prefix=prefix)


def _listing(warm: Warm) -> Table:
    """The file of the cases; of a kept history their row numbers, from 1, and ids."""
    if warm.table is not None:
        return warm.table
    history = warm.base.known.history
    columns: dict[str, Any] = {"row": pa.array(np.arange(1, len(history) + 1))}
    if history.case is not None and len(history.case) == len(history):
        columns["case"] = pa.array(history.case, pa.string())
    return Table("-", "-", Format.CSV, "", pa.table(columns), None, "geometry", 0, None, ())


def as_json(answer: WhatIf) -> dict[str, Any]:
    """Everything counted, as plain values. Lengths in metres, areas in m2, shares from 0 to 1."""
    found, history = answer.found, answer.warm.base.known.history
    one, two = found.before, found.after
    columns = zip(found.squads, *(c.tolist() for c in (one.led, two.led, one.assisted, two.assisted)), strict=True)
    names = ("squad", "led_before", "led_after", "assisted_before", "assisted_after")
    way = None
    if one.mean_way_m is not None or two.mean_way_m is not None:
        cases = {"cases_before": int(one.ways.sum()), "cases_after": int(two.ways.sum())}
        way = {"what": "straight_line_office_to_case", "before_m": one.mean_way_m, "after_m": two.mean_way_m, **cases}
    return {
        "map_before": answer.map_before,
        "map_after": answer.map_after,
        "rules_version": RULES_VERSION,
        "cases": found.rows,
        "routed_again": found.routed,
        "scope": found.scope.value,
        "why": None if found.why is None else found.why.value,
        "moved": len(found.moved),
        "moved_share": len(found.moved) / max(found.rows, 1),
        "assist_changed": len(found.assist_changed),
        "doubtful": {
            "before": one.doubtful,
            "after": two.doubtful,
            "share_before": one.doubtful / max(found.rows, 1),
            "share_after": two.doubtful / max(found.rows, 1),
            "new": len(found.doubt_new),
            "gone": len(found.doubt_gone),
        },
        "flows": [{"from": a, "to": b, "cases": n} for a, b, n in found.flows()],
        "steps": [{"from": a.value, "to": b.value, "cases": n} for a, b, n in found.steps()],
        "categories": [{"category": c, "cases": n} for c, n in found.categories(history)],
        "squads": [dict(zip(names, row, strict=True)) for row in columns],
        "strips": [asdict(strip) for strip in found.shape.strips],
        "gap_m2": {"before": found.shape.gap_m2[0], "after": found.shape.gap_m2[1]},
        "overlap_m2": {"before": found.shape.overlap_m2[0], "after": found.shape.overlap_m2[1]},
        "way": way,
    }


def as_text(answer: WhatIf, lang: Lang) -> str:
    """The report for a planner, line by line."""
    told = as_json(answer)
    doubt = told["doubtful"]
    lines = [
        say("maps", lang, before=told["map_before"] or "-", after=told["map_after"] or "-"),
        say("moved", lang, rows=told["cases"], moved=told["moved"], share=f"{told['moved_share']:.2%}", assist=told["assist_changed"]),
        say(
            "doubt", lang, before=doubt["before"], after=doubt["after"], new=doubt["new"], gone=doubt["gone"],
            before_share=f"{doubt['share_before']:.2%}", after_share=f"{doubt['share_after']:.2%}",
        ),
        _scope(answer.found, lang),
    ]  # fmt: skip
    lines += _listed("flows", [f"{f['from']} → {f['to']}: {f['cases']}" for f in told["flows"]], lang)
    steps = [(step_words(Step(s["from"]), lang)[0], step_words(Step(s["to"]), lang)[0], s["cases"]) for s in told["steps"]]
    lines += _listed("steps", [f"{a} → {b}: {n}" for a, b, n in steps], lang)
    categories = [f"{c['category'] or say('no_category', lang)}: {c['cases']}" for c in told["categories"]]
    lines += _listed("categories", categories, lang)
    lines += _listed("squads", [_squad_line(s, lang) for s in told["squads"] if _differs(s)], lang)
    strips = [say("strip_line", lang, a=s["squads"][0], b=s["squads"][1], **s) for s in told["strips"]]
    lines += _listed("strips", strips, lang)
    gap, overlap = told["gap_m2"], told["overlap_m2"]
    ground = {"gap_before": gap["before"], "gap_after": gap["after"]}
    lines.append(say("ground", lang, **ground, overlap_before=overlap["before"], overlap_after=overlap["after"]))
    lines.append(_way(told["way"], lang))
    return "\n".join(lines)


def _scope(found: Comparison, lang: Lang) -> str:
    facts = {"routed": found.routed}
    if found.scope is Scope.ALL:
        assert found.why is not None
        return say("scope_all", lang, **facts, why=say(f"why_{found.why.value}", lang))
    return say(f"scope_{found.scope.value}", lang, **facts)


def _listed(heading: str, items: list[str], lang: Lang) -> list[str]:
    if not items:
        return []
    more = [] if len(items) <= SHOWN else ["  " + say("more", lang, count=len(items) - SHOWN)]
    return [say(heading, lang), *("  " + item for item in items[:SHOWN]), *more]


def _differs(squad: dict[str, Any]) -> bool:
    return (squad["led_before"], squad["assisted_before"]) != (squad["led_after"], squad["assisted_after"])


def _squad_line(squad: dict[str, Any], lang: Lang) -> str:
    led, assisted = squad["led_after"] - squad["led_before"], squad["assisted_after"] - squad["assisted_before"]
    return say("squad_line", lang, **squad, led=led, assisted=assisted)


def _way(way: dict[str, Any] | None, lang: Lang) -> str:
    if way is None or way["before_m"] is None or way["after_m"] is None:
        return say("no_way", lang)
    return say("way", lang, before=way["before_m"], after=way["after_m"], cases=way["cases_after"])
