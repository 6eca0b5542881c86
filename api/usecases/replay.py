"""Past decisions made again from what they pin: the map they name, the rules they name, their input. Not one byte may differ.

A decision is its canonical text: JSON without spaces, keys in order, numbers in their shortest form:

    {"assist":["b"],"doubtful":false,"margin_m":12.5,"reasons":[...],"runner_up":"b","squad":"a","step":"border"}

`margin_m` is null for a case without a place. A store may keep the text, or its SHA-256 in hexadecimal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from api.usecases import whatif
from api.usecases.route_file import How, NoPoints, PointFile, complaints_of, places_of, reasons_json
from api.usecases.since import rows_since
from api.usecases.whatif import WhatIf
from api.words_whatif import say
from geodata.db.engine import Database
from geodata.files import Table, listed, read_table
from geodata.intake import Note
from geodata.store import Maps, version_of_map
from routing.again import History, known
from routing.compare import Comparison, baseline, compare
from routing.errors import JieguanError, Lang
from routing.jurisdiction import JurisdictionMap
from routing.ladder import RULES_VERSION
from routing.route import Routed, route
from routing.shapes import merged, route_shapes

SHOWN = 12
Objects = NDArray[np.object_]
Decide = Callable[[JurisdictionMap, NDArray[np.int64]], Routed]
"""The decisions of some rows of the past under a map, in their order."""


class MapNotHere(JieguanError):
    zh = "地图“{version}”不在手边:当时的决定无法重做。请给出该版本的地图。"
    en = "The map {version!r} is not at hand, so what was decided on it cannot be made again. Provide that version."


class NotRouted(JieguanError):
    zh = "“{path}”缺少派单结果列 {missing}(现有列:{columns}):没有可重做的决定。请给出 jieguan route 写出的文件。"
    en = (
        "{path!r} lacks the columns {missing} of a routed file (its columns: {columns}), so there is no decision to make again. "
        "Give a file that jieguan route has written."
    )


class NoTimeToReplay(JieguanError):
    zh = "地图 {version} 的归属随时间变化,但没有说明案件的时间:用现在的时间重做没有意义。请用 --at-field 或 --at。"
    en = "Who leads on the map {version} changes with time; made again at another time, decisions differ. State --at-field or --at."


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """n decisions: the pins of each, and what was said, as canonical text or its digest. `reasons`: texts have them."""

    map_version: Objects
    rules_version: Objects
    said: Objects
    reasons: bool = True

    def __len__(self) -> int:
        return len(self.said)


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that came out otherwise. `row` from 0; `byte`: the first that differs, 0 where only a digest was kept."""

    row: int
    map_version: str
    byte: int
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What came of it. `no_map`, `other_rules`: decisions that could not be made again, by the version they name."""

    rows: int
    same: int
    differences: tuple[Difference, ...]
    no_map: Mapping[str, int]
    other_rules: Mapping[str, int]
    notes: tuple[Note, ...] = ()

    @property
    def good(self) -> bool:
        """Every decision was made again, and none differs."""
        return self.same == self.rows


def replay(past: Past, open_map: Callable[[str], JurisdictionMap], decide: Decide) -> ReplayReport:
    """Decide again, each row on the map it names. `open_map` raises MapNotHere for a version it has not."""
    no_map: dict[str, int] = {}
    other: dict[str, int] = {}
    differences: list[Difference] = []
    same = 0
    for on, rows in _pinned(past, open_map, no_map, other):
        texts = canonical(decide(on, rows), reasons=past.reasons)
        for row, now in zip(rows.tolist(), texts, strict=True):
            was = str(past.said[row])
            if was == (now if was.startswith("{") else digest(now)):
                same += 1
            else:
                differences.append(_difference(row, on.version, was, now))
    return ReplayReport(len(past), same, tuple(sorted(differences, key=lambda d: d.row)), no_map, other)


def canonical(routed: Routed, *, reasons: bool = True) -> Iterator[str]:
    """The canonical text of each decision."""
    squads = [json.dumps(s.code, ensure_ascii=False) for s in routed.on.roster.squads] + ["null"]
    pieces = []
    for verdict in routed.on.ledger.verdicts:
        told = f',"reasons":{reasons_json(verdict)}' if reasons else ""
        head = '{"assist":' + json.dumps(verdict.assist, ensure_ascii=False, separators=(",", ":")) + ',"doubtful":'
        pieces.append((head, told + ',"runner_up":', f',"squad":{_json(verdict.lead)},"step":{_json(verdict.step.value)}}}'))
    columns = (c.tolist() for c in (routed.verdict, routed.doubtful, routed.margin_m, routed.runner_up))
    for number, doubtful, margin, runner in zip(*columns, strict=True):
        head, middle, tail = pieces[number]
        yield f'{head}{"true" if doubtful else "false"},"margin_m":{_number(margin)}{middle}{squads[runner]}{tail}'


def digest(text: str) -> str:
    """SHA-256 of a canonical text, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def decided(history: History, how: How | None = None) -> Decide:
    """Decide rows of a history whose coordinates are in the work CRS of every map that will be asked."""
    given = how or How()

    def decide(on: JurisdictionMap, rows: NDArray[np.int64]) -> Routed:
        return route(on, history.complaints(on, rows), zone_m=given.zone_m, cap_m=given.cap_m, workers=given.workers)

    return decide


def replay_on(before: JurisdictionMap, after: JurisdictionMap, history: History, how: How | None = None) -> Comparison:
    """Two versions over one history. Raises TwoWorkSystems, and what `route` raises."""
    given = how or How()
    warm = known(before, history, zone_m=given.zone_m, cap_m=given.cap_m, workers=given.workers)
    return compare(baseline(warm), after)


def as_json(report: ReplayReport) -> dict[str, Any]:
    notes = [{"code": n.code, "zh": n.text("zh-CN"), "en": n.text("en")} for n in report.notes]
    return {**asdict(replace(report, notes=())), "notes": notes, "good": report.good}


def as_text(report: ReplayReport, lang: Lang) -> str:
    """The report line by line; rows counted from 1."""
    lines = [say("replayed", lang, rows=report.rows, same=report.same)]
    if report.differences:
        lines.append(say("differ", lang, count=len(report.differences)))
    lines += [
        "  " + say("differ_line", lang, row=d.row + 1, version=d.map_version, byte=d.byte, was=d.was, now=d.now)
        for d in report.differences[:SHOWN]
    ]
    if len(report.differences) > SHOWN:
        lines.append("  " + say("more", lang, count=len(report.differences) - SHOWN))
    return "\n".join([*lines, *_left(report.no_map, report.other_rules, lang)])


def _left(no_map: Mapping[str, int], other: Mapping[str, int], lang: Lang) -> list[str]:
    lines = [say("left_map", lang, count=n, version=v) for v, n in no_map.items()]
    return lines + [say("left_rules", lang, count=n, version=v, own=RULES_VERSION) for v, n in other.items()]


def _pinned(
    past: Past, open_map: Callable[[str], JurisdictionMap], no_map: dict[str, int], other: dict[str, int]
) -> Iterator[tuple[JurisdictionMap, NDArray[np.int64]]]:
    """Each map named by decisions that can be made again, with their rows; the others are counted in `no_map` and `other`."""
    for (version, rules), rows in _by_pin(past):
        if rules != RULES_VERSION:
            other[rules] = other.get(rules, 0) + len(rows)
            continue
        try:
            on = open_map(version)
        except MapNotHere:
            no_map[version] = no_map.get(version, 0) + len(rows)
            continue
        yield on, rows


def _by_pin(past: Past) -> Iterator[tuple[tuple[str, str], NDArray[np.int64]]]:
    found: dict[tuple[str, str], list[int]] = {}
    for i, pin in enumerate(zip(past.map_version.tolist(), past.rules_version.tolist(), strict=True)):
        found.setdefault((str(pin[0]), str(pin[1])), []).append(i)
    for pin in sorted(found):
        yield pin, np.array(found[pin], np.int64)


def _difference(row: int, version: str, was: str, now: str) -> Difference:
    if not was.startswith("{"):
        return Difference(row, version, 0, was, digest(now))
    a, b = was.encode(), now.encode()
    byte = next((i for i, (p, q) in enumerate(zip(a, b, strict=False)) if p != q), min(len(a), len(b)))
    return Difference(row, version, byte, was, now)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(value: float | None) -> str:
    return "null" if value is None or value != value else repr(float(value))  # noqa: PLR0124 - NaN


# ---- a file that route has written ------------------------------------------------------------------------------------

DECIDED = ("squad", "assist", "step", "doubtful", "margin_m", "runner_up", "map_version", "rules_version")


def replay_file(
    source: PointFile, open_map: Callable[[str], JurisdictionMap], how: How | None = None, *, since: str | None = None
) -> ReplayReport:
    """A file of decisions, those from `since` on, made again with the options it was routed with. Reasons are compared where the
    file has them; rows are numbered as in the file.

    Raises NotRouted, NoTimeToReplay, and the errors of the readers and of `rows_since`.
    """
    given, notes = how or How(), list[Note]()
    table, rows = _table_since(source, since, notes)
    found = replay(past_of(table, given), open_map, _as_routed(table, source, given))
    differences = tuple(replace(d, row=int(rows[d.row])) for d in found.differences)
    return replace(found, differences=differences, notes=tuple(notes))


@dataclass(frozen=True, slots=True, eq=False)
class OnAnother:
    """A file of decisions under its own pins beside one other map: a comparison for each map that it names."""

    map_after: str
    parts: tuple[WhatIf, ...]
    no_map: Mapping[str, int]
    other_rules: Mapping[str, int]
    notes: tuple[Note, ...]

    @property
    def moved(self) -> int:
        """Decisions that would go to another squad."""
        return sum(len(part.found.moved) for part in self.parts)

    @property
    def good(self) -> bool:
        """Every decision could be compared."""
        return not self.no_map and not self.other_rules

    def json(self) -> dict[str, Any]:
        """As plain values."""
        compared = sum(part.found.rows for part in self.parts)
        maps = [whatif.as_json(part) for part in self.parts]
        notes = [{"code": n.code, "zh": n.text("zh-CN"), "en": n.text("en")} for n in self.notes]
        left = {"no_map": dict(self.no_map), "other_rules": dict(self.other_rules)}
        return {
            "map_after": self.map_after, "cases": compared, "moved": self.moved, "maps": maps, **left, "notes": notes, "good": self.good,
        }  # fmt: skip

    def text(self, lang: Lang) -> str:
        """A report for each map that decisions name."""
        reports = [whatif.as_text(part, lang) for part in self.parts]
        return "\n\n".join([*reports, *_left(self.no_map, self.other_rules, lang)])


def replay_file_on(
    source: PointFile,
    open_map: Callable[[str], JurisdictionMap],
    after: JurisdictionMap,
    how: How | None = None,
    *,
    since: str | None = None,
) -> OnAnother:
    """What a file of decisions would have been under another map. Raises as `replay_file` and `whatif`."""
    given, notes = how or How(), list[Note]()
    table, _ = _table_since(source, since, notes)
    no_map: dict[str, int] = {}
    other: dict[str, int] = {}
    parts = []
    for on, rows in _pinned(past_of(table, given), open_map, no_map, other):
        warm = whatif.warm_table(on, table.taken(rows), source, given, _no_time(on), after=after)
        parts.append(whatif.ask(warm, after))
    told = {note.text("en"): note for part in parts for note in part.notes}
    return OnAnother(after.version, tuple(parts), no_map, other, (*notes, *told.values()))


def _table_since(source: PointFile, since: str | None, notes: list[Note]) -> tuple[Table, NDArray[np.int64]]:
    """The rows of a file, or those from a time on; and their numbers in the file."""
    table = read_table(source.points)
    if not len(table):
        raise NoPoints(path=table.spec)
    if since is None:
        return table, np.arange(len(table))
    rows = rows_since(table, source, since, notes)
    return table.taken(rows), rows


def past_of(table: Table, how: How) -> Past:
    """The decisions of a routed table."""
    there = table.columns.column_names
    missing = [how.prefix + name for name in DECIDED if how.prefix + name not in there]
    if missing:
        raise NotRouted(path=table.spec, missing=", ".join(missing), columns=listed(there))
    columns = {name: table.columns.column(how.prefix + name).to_pylist() for name in DECIDED}
    reasons = how.prefix + "reasons" in there
    told = table.columns.column(how.prefix + "reasons").to_pylist() if reasons else [None] * len(table)
    rows = zip(*(columns[name] for name in DECIDED[:6]), told, strict=True)
    said = np.array([_written(*row) for row in rows], object)
    return Past(np.array(columns["map_version"], object), np.array(columns["rules_version"], object), said, reasons)


def _written(squad: Any, assist: Any, step: Any, doubtful: Any, margin: Any, runner: Any, reasons: Any) -> str:
    """The canonical text of what stands in a file; CSV has texts, an empty one where there is nothing."""
    if isinstance(assist, str):
        assist = [s for s in assist.split("|") if s]
    doubt = doubtful if isinstance(doubtful, bool) else str(doubtful).lower() == "true"
    told = "" if reasons is None else f',"reasons":{reasons}'
    head = json.dumps(assist or [], ensure_ascii=False, separators=(",", ":"))
    number = _number(None if margin in (None, "") else float(margin))
    return (
        f'{{"assist":{head},"doubtful":{"true" if doubt else "false"},"margin_m":{number}{told},'
        f'"runner_up":{_json(runner or None)},"squad":{_json(squad)},"step":{_json(step)}}}'
    )


def _as_routed(table: Table, source: PointFile, how: How) -> Decide:
    """Rows of a file as `route_file` decides them, places, shapes and all."""

    def decide(on: JurisdictionMap, rows: NDArray[np.int64]) -> Routed:
        part = table.taken(rows)
        places = places_of(on, part, source, [])

        complaints, _ = complaints_of(on, part, source, places, _no_time(on), [])
        routed = route(on, complaints, zone_m=how.zone_m, cap_m=how.cap_m, workers=how.workers)
        drawn = np.flatnonzero([s is not None for s in places.shapes]) if len(places.shapes) else np.empty(0, np.int64)
        if len(drawn):
            shaped = route_shapes(on, list(places.shapes[drawn]), complaints.rows(drawn), zone_m=how.zone_m, cap_m=how.cap_m)
            routed = merged(routed, drawn, shaped)
        return routed

    return decide


def _no_time(on: JurisdictionMap) -> Callable[[], datetime]:
    def unknown() -> datetime:
        raise NoTimeToReplay(version=on.version)

    return unknown


# ---- where the maps are ----------------------------------------------------------------------------------------------


def maps_at_hand(maps: list[JurisdictionMap]) -> Callable[[str], JurisdictionMap]:
    """These maps by version."""
    known_ = {on.version: on for on in maps}

    def open_map(version: str) -> JurisdictionMap:
        if version not in known_:
            raise MapNotHere(version=version)
        return known_[version]

    return open_map


def maps_of(db: Database) -> Callable[[str], JurisdictionMap]:
    """The maps recorded in a database, each opened and verified once. They may raise MapRefused."""
    maps = Maps()

    def open_map(version: str) -> JurisdictionMap:
        with db.reading() as session:
            recorded = version_of_map(session, version)
            if recorded is None:
                raise MapNotHere(version=version)
            return maps.of(session, recorded)

    return open_map


def first_of(ways: Sequence[Callable[[str], JurisdictionMap]]) -> Callable[[str], JurisdictionMap]:
    """The first way that has the map."""

    def open_map(version: str) -> JurisdictionMap:
        for way in ways:
            with suppress(MapNotHere):
                return way(version)
        raise MapNotHere(version=version)

    return open_map
