"""A file of handled cases in, what they say of the lines out: how far hints can be trusted, places to settle, places to watch."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from api.usecases.route_file import NoPoints, PointFile, field_of, groups_of_rows, places_of
from geodata.compile import Progress, silent
from geodata.crs import geometries_from_work, parse_crs, system
from geodata.files import Table, read_table
from geodata.intake import Geometries, Note
from geodata.practice import Evidence, Outcomes, Practice, evidence, learn
from geodata.practice_places import RATE, Found, Place, find
from geodata.practice_trial import Trial, trial
from geodata.times import read_instant, read_times, zone_named
from geodata.written import check_output, write_table
from routing.errors import JieguanError, Lang
from routing.jurisdiction import JurisdictionMap


class NoTimes(JieguanError):
    zh = "没有指明时间列:只有早于案件的记录才能作数。请用 --at-field 指定。"
    en = "No column of times was named, and only cases earlier than a case may count. Name it with --at-field."


class NoKnownSquad(JieguanError):
    zh = "“{path}”的列“{field}”中没有一个中队在地图上(如“{sample}”;地图上有 {there}):看来不是处置中队。请用 --recorded 指明。"
    en = (
        "Not one value of column {field!r} of {path!r} is a squad of the map ({sample!r}, say; the map has {there}), so it "
        "hardly tells who handled the cases. Name the column with --recorded."
    )


@dataclass(frozen=True)
class Report:
    """What the cases of a file say. `learned` gives the hints of later cases: `geodata.practice.hints(report.learned, ...)`.

    `read`: rows of the file. `tried` is None where there are too few days to learn from some and be judged on others.
    """

    table: Table
    read: int
    no_time: int
    of: Evidence
    learned: Practice
    tried: Trial | None
    found: Found
    notes: tuple[Any, ...]

    @property
    def left_out(self) -> dict[str, int]:
        """Reason -> rows that were not used."""
        return {"no_time": self.no_time, **self.of.left_out}

    def json(self) -> dict[str, Any]:
        """All figures as plain values; places in WGS-84 degrees."""
        period = self.of.period
        return {
            "cases": self.read,
            "used": len(self.of.near),
            "left_out": self.left_out,
            "period": {"since": _iso(period.since), "until": _iso(period.until)},
            "prior": [
                {"from_m": b.from_m, "to_m": b.to_m, "cases": b.cases, "agreed": b.agreed, "prior": b.prior}
                for b in self.learned.bands
            ],
            "trial": None if self.tried is None else _tried(self.tried),
            "tested": self.found.tested,
            "false_rate": RATE,
            "contradicted": self.found.contradicted,
            "proposals": [self._place(p) for p in self.found.proposals],
            "watchable": self.found.watchable,
            "watch_by_chance": self.found.watch_by_chance,
            "watch": [self._place(p) for p in self.found.watch],
        }

    def _place(self, place: Place) -> dict[str, Any]:
        lon, lat = _lonlat(self.of, place)
        claim = place.becomes().claim
        stretch = _degrees(self.of, [place.stretch])[0]
        return {**_facts(place), "lon": lon, "lat": lat, "stretch": shapely.to_wkt(stretch, 7), "agreement": claim.id}

    def text(self, lang: Lang) -> str:
        """The report, for reading."""
        return "\n".join(_told(self, lang)) + "\n"

    def write(self, out: str) -> None:
        """The proposals as agreements, polygons in WGS-84, ready for `--agreements` once the planners have filled in `document`.

        Raises what `write_table` raises; the file appears whole or not at all.
        """
        empty = replace(self.table, columns=_columns(self), geometry=None, notes=())
        check_output(out, empty, [])
        write_table(out, empty, {}, places=_degrees(self.of, [p.ground for p in self.found.proposals]))


def practice(
    on: JurisdictionMap,
    source: PointFile,
    recorded: str,
    *,
    now: Callable[[], datetime],
    since: str | None = None,
    progress: Progress = silent,
) -> Report:
    """Read the cases, learn, try, propose. Nothing is changed and nothing applied.

    `recorded`: the column of the squad that finally handled each case; `source.at_field` its time. `source.at`: the instant
    whose lines are asked about (default: now, where the map changes with time). `since`: the day from which these lines hold,
    where the map does not say. Raises the errors of the readers, NoPoints, NoTimes, NoKnownSquad.
    """
    progress("read", 0, 3)
    table = read_table(source.points)
    if not len(table):
        raise NoPoints(path=table.spec)
    if source.at_field is None:
        raise NoTimes
    notes: list[Any] = list(table.notes)
    progress("locate", 1, 3)
    outcomes, timed = _outcomes(on, table, source, recorded, notes)
    progress("practice", 2, 3)
    zone = outcomes.zone
    as_of = read_instant(source.at, zone, "--at") if source.at is not None else _moment(on, now, notes)
    first = None if since is None else read_instant(since, zone, "--since")
    of = evidence(on, outcomes.only(timed), as_of=as_of, since=first)
    report = Report(table, len(table), int((~timed).sum()), of, learn(of), trial(of), find(of), tuple(notes))
    progress("practice", 3, 3)
    return report


def _moment(on: JurisdictionMap, now: Callable[[], datetime], notes: list[Any]) -> datetime | None:
    """Now, where the map changes with time; told."""
    if len(on.intervals) == 1 and not on.alternating:
        return None
    moment = now()
    notes.append(Note("assumed_now", {"at": moment.isoformat(timespec="seconds")}))
    return moment


def _outcomes(
    on: JurisdictionMap, table: Table, source: PointFile, recorded: str, notes: list[Any]
) -> tuple[Outcomes, NDArray[np.bool_]]:
    """The rows as arrays, and which of them have a time."""
    assert source.at_field is not None
    zone = zone_named(source.timezone)
    times = read_times(field_of(table, source.at_field, "--at-field"), zone)
    if times.naive:
        notes.append(Note("assumed_zone", {"count": times.naive, "zone": source.timezone}))
    squad = _squads(on, table, recorded)
    located = places_of(on, table, source, notes).located
    group = groups_of_rows(on, table, source, notes)
    timed = np.array([error is None for error in times.error], bool)
    return Outcomes(located.x, located.y, times.micros, squad, zone, group), timed


def _squads(on: JurisdictionMap, table: Table, recorded: str) -> NDArray[np.int64]:
    """The squad of each row, -1 where the map knows none of that code."""
    column = field_of(table, recorded, "--recorded")
    coded = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    coded = coded if pa.types.is_dictionary(coded.type) else coded.dictionary_encode()
    number: Mapping[str, int] = {str(code): i for code, i in on.squad_number.items()}
    values = [_code(v) for v in coded.dictionary.to_pylist()]
    of = np.array([*(number.get(v, -1) for v in values), -1], np.int64)
    if (of < 0).all():
        sample = next((v for v in values if v), "-")
        raise NoKnownSquad(path=table.spec, field=recorded, sample=sample, there=", ".join(sorted(number)[:10]))
    found: NDArray[np.int64] = of[coded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)]
    return found


def _code(value: Any) -> str:
    """A squad code as text. Codes like 101 become floats in tables with empty cells."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value).strip()


# ---- values ----------------------------------------------------------------------------------------------------------


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _facts(place: Place) -> dict[str, Any]:
    (first_over, first_n), (later_over, later_n) = place.halves
    return {
        "parties": sorted((place.holder, place.practised)),
        "lead": place.practised,
        "ground_of": place.holder,
        "cases": place.n,
        "went_over": place.over,
        "first_half": [first_over, first_n],
        "later_half": [later_over, later_n],
        "first": place.since.isoformat(),
        "last": place.until.isoformat(),
        "p": place.p,
        "q": place.q,
        "sure": place.sure,
    }


def _tried(tried: Trial) -> dict[str, Any]:
    out = {name: getattr(tried, name) for name in tried.__slots__ if name not in ("found", "later")}
    later = [{**_facts(one.place), "better": one.better, "worse": one.worse} for one in tried.later]
    return {**out, "tested": tried.found.tested, "proposals": later}


def _degrees(of: Evidence, shapes: Sequence[Any]) -> Geometries:
    """Geometries of the work CRS in WGS-84."""
    work = parse_crs(of.on.settings.work_crs, "--work-crs")
    return geometries_from_work(np.array([*shapes, None], object)[:-1], system(4326, None), work)


def _lonlat(of: Evidence, place: Place) -> tuple[float, float]:
    point = _degrees(of, [place.point])[0]
    return round(point.x, 7), round(point.y, 7)


def _columns(report: Report) -> Any:
    """The proposals as a table that `--agreements` reads; columns it does not know tell the planners why."""
    places = report.found.proposals
    facts = [_facts(p) for p in places]
    where = [_lonlat(report.of, p) for p in places]
    text, whole, real = pa.string(), pa.int64(), pa.float64()

    def column(values: Iterable[Any], kind: Any) -> Any:
        return pa.array(list(values), kind)

    return pa.table(
        {
            "id": column((p.becomes().claim.id.removeprefix("agreement:") for p in places), text),
            "parties": column(("|".join(f["parties"]) for f in facts), text),
            "rule": column(("whole" for _ in places), text),
            "lead": column((f["lead"] for f in facts), text),
            "since": column((None for _ in places), text),
            "until": column((None for _ in places), text),
            "document": column((None for _ in places), text),
            **{name: column((f[name] for f in facts), whole) for name in ("cases", "went_over")},
            **{name: column(("/".join(map(str, f[name])) for f in facts), text) for name in ("first_half", "later_half")},
            "first_case": column((f["first"] for f in facts), text),
            "last_case": column((f["last"] for f in facts), text),
            **{name: column((f[name] for f in facts), real) for name in ("p", "q")},
            "lon": column((lon for lon, _ in where), real),
            "lat": column((lat for _, lat in where), real),
            "stretch": column((shapely.to_wkt(s, 7) for s in _degrees(report.of, [p.stretch for p in places])), text),
        }
    )


# ---- words -----------------------------------------------------------------------------------------------------------


WORDS: Mapping[str, tuple[str, str]] = {
    "title": (
        "边界惯例:{cases} 件案件中有 {used} 件在界线 30 米以内可用。",
        "Border practice: of {cases} cases {used} lie within 30 m of a line and count.",
    ),
    "left_out": ("未采用:{parts}。", "Left out: {parts}."),
    "no_time": ("{n} 件没有时间", "{n} without a time"),
    "no_place": ("{n} 件没有位置", "{n} without a place"),
    "unknown_squad": ("{n} 件的处置单位不在地图上", "{n} handled by a squad that is not on the map"),
    "other_period": ("{n} 件不在本版界线的有效期内", "{n} from outside the period of these lines"),
    "far": ("{n} 件离界线 30 米以上", "{n} more than 30 m from any line"),
    "settled": (
        "{n} 件由指定、协议或直属类别决定",
        "{n} decided by an order, an agreement or a direct category",
    ),
    "undated": (
        "地图没有写明界线自何时生效,因此采用了所有日期的案件;请用 --since 指定起始日。",
        "The map does not say since when its lines hold, so cases of every date count. Name the day with --since.",
    ),
    "no_trial": ("案件太少或都在同一天,无法检验。", "Too few cases, or all of one day: nothing could be tried."),
    "trial": (
        "检验:用 {split} 之前的 {learned} 件学习,在其后的 {n} 件上判断。",
        "Trial: learned from {learned} cases before {split}, judged on the {n} from then on.",
    ),
    "by": (
        "  30 米以内:按界线判对 {line}/{n}({line_share}),按提示判对 {hint}/{n}({hint_share})。",
        "  Within 30 m: {line} of {n} right by the line ({line_share}), {hint} of {n} by the hint ({hint_share}).",
    ),
    "on_line": (
        "  10 米以内:按界线判对 {line}/{n}({line_share}),按提示判对 {hint}/{n}({hint_share})。",
        "  Within 10 m: {line} of {n} right by the line ({line_share}), {hint} of {n} by the hint ({hint_share}).",
    ),
    "sure": (
        "  把握不低于 0.8 的提示:{n} 件,判对 {right} 件({share});有以往案件可依的:{with_cases} 件。",
        "  Hints of confidence 0.8 and more: {n}, of which {right} right ({share}); with an earlier case: {with_cases}.",
    ),
    "tried_none": ("  那时不会提出任何建议。", "  Nothing would have been proposed then."),
    "tried_place": (
        "  那时会提出:{holder} 一侧归 {lead}({over}/{n});其后 {better} 件更准,{worse} 件更差。",
        "  It would have proposed {lead} on the ground of {holder} ({over} of {n}): afterwards {better} better, {worse} worse.",
    ),
    "proposals": (
        "建议:检验了 {tested} 处,提出 {count} 处(其中误报的比例预期不超过 {rate})。",
        "Proposals: {count} of {tested} places tested (at most {rate} of them expected to be false).",
    ),
    "contradicted": (
        "  另有 {count} 处两队互办对方的案件,不提建议。",
        "  At {count} more each squad handles the other's cases, so nothing is proposed.",
    ),
    "applies": (
        "不会自动生效:建议须由规划人员签署并附文件,才成为协议。",
        "Nothing is applied: a proposal becomes an agreement when planners sign it, with a document.",
    ),
    "watch": (
        "观察名单(案件太少,尚不能断定):{count} 处;抛硬币也会有约 {chance} 处。",
        "Watch list (too few to say): {count} places; a fair coin would give about {chance}.",
    ),
    "lead": ("实际办理", "handled by"),
    "holder": ("地面属", "on the ground of"),
    "went": ("转办/总数", "went over"),
    "halves": ("前半、后半", "halves"),
    "p": ("p", "p"),
    "q": ("q", "q"),
    "first": ("首件", "first"),
    "last": ("末件", "last"),
    "place": ("经度,纬度", "lon, lat"),
    "comma": (",", ", "),
}


def _word(key: str, lang: Lang, **facts: object) -> str:
    zh, en = WORDS[key]
    return (zh if lang == "zh-CN" else en).format(**facts)


def _told(report: Report, lang: Lang) -> Iterator[str]:
    """The lines of the report."""
    found = report.found
    yield _word("title", lang, cases=report.read, used=len(report.of.near))
    parts = [_word(reason, lang, n=n) for reason, n in report.left_out.items() if n]
    if parts:
        yield _word("left_out", lang, parts=_word("comma", lang).join(parts))
    if report.of.period.since is None:
        yield _word("undated", lang)
    yield ""
    yield from [_word("no_trial", lang)] if report.tried is None else _told_trial(report.tried, lang)
    yield ""
    yield _word("proposals", lang, count=len(found.proposals), tested=found.tested, rate=f"{RATE:.0%}")
    yield from _listed(report, found.proposals, lang)
    if found.contradicted:
        yield _word("contradicted", lang, count=found.contradicted)
    yield _word("applies", lang)
    yield ""
    yield _word("watch", lang, count=len(found.watch), chance=f"{found.watch_by_chance:.1f}")
    yield from _listed(report, found.watch, lang)


def _told_trial(tried: Trial, lang: Lang) -> Iterator[str]:
    yield _word("trial", lang, split=tried.split, learned=tried.learned, n=tried.n)
    for key, n, line, hint in (
        ("by", tried.n, tried.by_line, tried.by_hint),
        ("on_line", tried.on_line_n, tried.on_line_by_line, tried.on_line_by_hint),
    ):
        shares = {"line_share": _share(line, n), "hint_share": _share(hint, n)}
        yield _word(key, lang, n=n, line=line, hint=hint, **shares)
    share = _share(tried.sure_right, tried.sure)
    yield _word("sure", lang, n=tried.sure, right=tried.sure_right, share=share, with_cases=tried.with_cases)
    if not tried.later:
        yield _word("tried_none", lang)
    for one in tried.later:
        place = {"holder": one.place.holder, "lead": one.place.practised, "over": one.place.over, "n": one.place.n}
        yield _word("tried_place", lang, better=one.better, worse=one.worse, **place)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _listed(report: Report, places: Sequence[Place], lang: Lang) -> Iterator[str]:
    """A table of places, padded: a Chinese character is two columns wide."""
    if not places:
        return
    heads = ("lead", "holder", "went", "halves", "p", "q", "first", "last", "place")
    rows = [[_word(head, lang) for head in heads], *(_cells(report, place) for place in places)]
    widths = [max(_width(row[c]) for row in rows) for c in range(len(heads))]
    for row in rows:
        cells = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
        yield ("  " + "  ".join(cells)).rstrip()


def _cells(report: Report, place: Place) -> list[str]:
    halves = ", ".join(f"{over}/{n}" for over, n in place.halves)
    lon, lat = _lonlat(report.of, place)
    counts = [f"{place.over}/{place.n}", halves, _small(place.p), "-" if place.q is None else _small(place.q)]
    return [place.practised, place.holder, *counts, str(place.since), str(place.until), f"{lon:.6f}, {lat:.6f}"]


def _small(number: float) -> str:
    return f"{number:.4f}" if number >= 0.0001 else "<0.0001"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
