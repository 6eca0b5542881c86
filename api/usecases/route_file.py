"""A file of complaints in, the same file with decisions out: no row dropped, none reordered, nothing half-written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyproj
import shapely
from numpy.typing import NDArray

from geodata.compile import Progress, silent
from geodata.crs import System, geometries_to_work, parse_crs, system, to_wgs84
from geodata.files import Table, read_table
from geodata.intake import Note
from geodata.points import Located, PointColumns, locate
from geodata.times import read_instant, read_times, zone_named
from geodata.written import check_output, points, write_table
from routing.errors import JieguanError
from routing.jurisdiction import JurisdictionMap, micros
from routing.ladder import RULES_VERSION
from routing.model import Decision, Step, Verdict
from routing.route import CAP_M, Complaints, Routed, groups, place_of_townships, route
from routing.shapes import merged, route_shapes

COARSE_M = 1000.0
"""An error this wide, from few decimals, is marked in the output: the row has a squad, but hardly a place."""

FAR_M = 100_000.0

COLUMNS = ("squad", "assist", "step", "doubtful", "margin_m", "runner_up")
PINS = ("map_version", "rules_version")

Objects = NDArray[np.object_]


class NoPoints(JieguanError):
    zh = "“{path}”没有一行投诉:没有可派的内容。请检查文件。"
    en = "{path!r} has no rows, so there is nothing to route. Check the file."


class NoCoordinates(JieguanError):
    zh = (
        "“{path}”既没有几何,也没有列“{lon}”、“{lat}”(现有列:{columns})。"
        "请用 --lon、--lat,或 --x、--y 加 --crs 指定坐标列。"
    )
    en = (
        "{path!r} has neither geometry nor the columns {lon!r} and {lat!r} (its columns: {columns}). Name the "
        "coordinates with --lon and --lat, or with --x, --y and --crs."
    )


class HalfAPair(JieguanError):
    zh = "只给出了 {given},还需要 {missing}:一个坐标要两个数。"
    en = "{given} was given without {missing}: a place needs both."


class NeedsCrs(JieguanError):
    zh = "--x、--y 是投影坐标,必须用 --crs EPSG:n 说明是哪个坐标系。"
    en = "--x and --y are projected coordinates: say in which system with --crs EPSG:n."


class NoSuchField(JieguanError):
    zh = "“{path}”中没有 {option} 所指的列“{value}”。现有列:{columns}。"
    en = "{path!r} has no column {value!r}, which {option} names. Its columns: {columns}."


@dataclass(frozen=True, slots=True)
class PointFile:
    """What the point options of the command line say."""

    points: str
    lon: str | None = None
    lat: str | None = None
    x: str | None = None
    y: str | None = None
    crs: str | None = None
    datum: str | None = None
    error_m: float = 0.0
    error_field: str | None = None
    category_field: str | None = None
    at_field: str | None = None
    at: str | None = None
    case_field: str | None = None
    found_by_field: str | None = None
    timezone: str = "Asia/Shanghai"


@dataclass(frozen=True, slots=True)
class How:
    """How to route and what to write."""

    zone_m: float | None = None
    cap_m: float = CAP_M
    workers: int = 1
    reasons: bool = False
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a file: counts by step, doubtful rows, rows without a place, and what was assumed on the way."""

    out: str
    rows: int
    steps: Mapping[str, int]
    squads: Mapping[str, int]
    doubtful: int
    assisted: int
    unlocated: Mapping[str, int]
    map_version: str
    rules_version: str
    notes: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Places:
    """The rows of a file in the city's metres: points, and lines or areas where a row has one."""

    located: Located
    shapes: Objects
    wgs84: Objects




def route_file(
    on: JurisdictionMap,
    source: PointFile,
    out: str,
    how: How,
    now: Callable[[], datetime],
    progress: Progress = silent,
) -> Summary:
    """Read, locate, decide, write. `now` is asked only when the map changes with time and no time was given."""
    progress("read", 0, 4)
    table = read_table(source.points)
    if not len(table):
        raise NoPoints(path=table.spec)
    check_output(out, table, _names(on, how), how.prefix)
    notes: list[Any] = list(table.notes)
    progress("locate", 1, 4)
    places = places_of(on, table, source, notes)
    complaints, errors = complaints_of(on, table, source, places, now, notes)
    progress("route", 2, 4)
    routed = route(on, complaints, zone_m=how.zone_m, cap_m=how.cap_m, workers=how.workers)
    rows = np.flatnonzero([s is not None for s in places.shapes]) if len(places.shapes) else np.empty(0, np.int64)
    if len(rows):
        part = route_shapes(on, list(places.shapes[rows]), complaints.rows(rows), zone_m=how.zone_m, cap_m=how.cap_m)
        routed = merged(routed, rows, part)
    progress("write", 3, 4)
    write_table(out, table, _columns(on, routed, errors, how), places=places.wgs84, prefix=how.prefix)
    progress("write", 4, 4)
    return _summary(on, routed, errors, notes, out)


def _names(on: JurisdictionMap, how: How) -> list[str]:
    township = ["township"] if place_of_townships(on) else []
    return [*COLUMNS, *township, *PINS, *(["reasons"] if how.reasons else []), "location_error"]


def places_of(on: JurisdictionMap, table: Table, source: PointFile, notes: list[Any]) -> _Places:
    """Every row in metres, however the file says where it is."""
    work = parse_crs(on.settings.work_crs, "--work-crs")
    named = named_columns(table, source, notes)
    if named is not None:
        located = locate(_column_dict(table), named, work, bounds_of(on), FAR_M)
        lonlat = _lonlat(located, work)
        notes += located.notes
        return _Places(located, np.empty(0, object), points(lonlat))
    of = system(table.crs, source.datum, "the file's coordinate system", "--datum")
    shapes = _shapes(table, of, work)
    middle = shapely.point_on_surface(table.geometry)
    at = {"x": shapely.get_x(middle), "y": shapely.get_y(middle)}
    if source.error_field is not None:
        at[source.error_field] = table.column(source.error_field, "row")
    columns = PointColumns("x", "y", of, error_m=source.error_m, error_field=source.error_field)
    located = locate(at, columns, work, bounds_of(on), FAR_M)
    notes += located.notes
    return _Places(located, shapes, _geometry_wgs84(table, of))


def _shapes(table: Table, of: System, work: pyproj.CRS) -> Objects:
    """Lines and areas in metres; None for points and for rows without geometry. Empty when there are only points."""
    assert table.geometry is not None
    wide = shapely.get_dimensions(table.geometry) > 0
    if not wide.any():
        return np.empty(0, object)
    out = np.full(len(table), None, object)
    out[wide] = geometries_to_work(table.geometry[wide], of, work, table.spec)
    return out


def named_columns(table: Table, source: PointFile, notes: list[Any]) -> PointColumns | None:
    """Which columns hold the place; None when the file's own geometry does."""
    error_m, error_field = source.error_m, source.error_field
    if source.x or source.y:
        if not (source.x and source.y):
            given, missing = ("--x", "--y") if source.x else ("--y", "--x")
            raise HalfAPair(given=given, missing=missing)
        if source.crs is None:
            raise NeedsCrs
        of = system(source.crs, source.datum)
        return PointColumns(source.x, source.y, of, error_m=error_m, error_field=error_field)
    if table.geometry is not None and not (source.lon or source.lat):
        return None
    lon, lat = source.lon or "lon", source.lat or "lat"
    there = table.columns.column_names
    if not (source.lon or source.lat) and not {lon, lat} <= set(there):
        raise NoCoordinates(path=table.spec, lon=lon, lat=lat, columns=", ".join(there[:30]) or "-")
    if source.datum is None and source.crs is None:
        notes.append(Note("assumed_datum", {"datum": "WGS-84"}))
        of = system(None, "wgs84")
    else:
        of = system(source.crs, source.datum)
    return PointColumns(lon, lat, of, error_m=error_m, error_field=error_field)


def _column_dict(table: Table) -> dict[str, Any]:
    return {name: table.columns.column(name) for name in table.columns.column_names}


def bounds_of(on: JurisdictionMap) -> tuple[float, float, float, float] | None:
    """The box of everything on the map, metres."""
    corners = [np.concatenate([p.faces.xy.min(0), p.faces.xy.max(0)]) for p in on.plates if len(p.faces.xy)]
    if not corners:
        return None
    low, high = np.min(corners, axis=0)[:2] / 1000, np.max(corners, axis=0)[2:] / 1000
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _lonlat(located: Located, work: pyproj.CRS) -> NDArray[np.float64]:
    lon, lat = to_wgs84(located.x, located.y, system(work, None))
    return np.stack([lon, lat], 1)


def _geometry_wgs84(table: Table, of: System) -> Objects:
    assert table.geometry is not None
    out = np.full(len(table), None, object)
    has = np.array([g is not None and not g.is_empty for g in table.geometry], bool)
    out[has] = geometries_to_work(table.geometry[has], of, parse_crs(4326), table.spec)
    return out


def complaints_of(
    on: JurisdictionMap,
    table: Table,
    source: PointFile,
    places: _Places,
    now: Callable[[], datetime],
    notes: list[Any],
) -> tuple[Complaints, Objects]:
    """The rows as arrays, and why a row has no place or no time (None: it has both)."""
    located = places.located
    errors = located.location_error.copy()
    coarse = located.ok & located.widened & (located.error_m >= COARSE_M)
    errors[coarse] = "widened"
    at, bad_time = _instants(on, table, source, now, notes)
    x = located.x
    if bad_time is not None:
        wrong = np.array([e is not None for e in bad_time]) & located.ok
        errors[wrong] = bad_time[wrong]
        x = np.where(wrong, np.nan, x)
    error_m = np.where(np.isfinite(located.error_m), located.error_m, 0.0)
    if len(error_m) and (error_m == error_m[0]).all():
        error_m = error_m[:1]
    group = groups_of_rows(on, table, source, notes)
    finder = _finders(on, table, source)
    return Complaints(x, located.y, error_m, at, group, finder, _cases(on, table, source, notes)), errors


def _instants(
    on: JurisdictionMap, table: Table, source: PointFile, now: Callable[[], datetime], notes: list[Any]
) -> tuple[NDArray[np.int64] | None, Objects | None]:
    zone = zone_named(source.timezone)
    if source.at_field is not None:
        times = read_times(field_of(table, source.at_field, "--at-field"), zone)
        if times.naive:
            notes.append(Note("assumed_zone", {"count": times.naive, "zone": source.timezone}))
        return times.micros, times.error
    if source.at is not None:
        return np.array([micros(read_instant(source.at, zone, "--at"))], np.int64), None
    if len(on.intervals) == 1 and not on.alternating:
        return None, None
    moment = now()
    notes.append(Note("assumed_now", {"at": moment.isoformat(timespec="seconds")}))
    return np.array([micros(moment)], np.int64), None


def field_of(table: Table, name: str, option: str) -> Any:
    there = table.columns.column_names
    if name not in there:
        raise NoSuchField(path=table.spec, option=option, value=name, columns=", ".join(there[:30]))
    return table.columns.column(name)


def groups_of_rows(
    on: JurisdictionMap, table: Table, source: PointFile, notes: list[Any]
) -> NDArray[np.int32] | None:
    if source.category_field is None:
        return None
    coded = _coded(field_of(table, source.category_field, "--category-field"))
    names = [None if v is None else str(v).strip() for v in coded.dictionary.to_pylist()]
    place = coded.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
    _note_unschemed(on, names, place, notes)
    found: NDArray[np.int32] = groups(on, [*names, None])[place]
    return found


def _note_unschemed(on: JurisdictionMap, names: list[str | None], place: Any, notes: list[Any]) -> None:
    """A category `0501` where the rules say `GB30428:0501` would silently be any other category."""
    bare = {category.split(":", 1)[1]: category for category in on.group_of if ":" in category}
    missed = [i for i, name in enumerate(names) if name in bare]
    if missed:
        count = int(np.isin(place, missed).sum())
        sample = str(names[missed[0]])
        notes.append(Note("unschemed_category", {"count": count, "sample": sample, "known": bare[sample]}))


def _coded(column: Any) -> Any:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array if pa.types.is_dictionary(array.type) else array.dictionary_encode()


def _finders(on: JurisdictionMap, table: Table, source: PointFile) -> NDArray[np.int32] | None:
    if source.found_by_field is None:
        return None
    coded = _coded(field_of(table, source.found_by_field, "--found-by-field"))
    number: dict[str, int] = {str(code): i for code, i in on.squad_number.items()}
    of = np.array([number.get(str(v), -1) for v in coded.dictionary.to_pylist()] + [-1], np.int32)
    found: NDArray[np.int32] = of[coded.indices.fill_null(len(of) - 1).to_numpy(zero_copy_only=False)]
    return found


def _cases(on: JurisdictionMap, table: Table, source: PointFile, notes: list[Any]) -> Objects | None:
    """Case ids, where orders for single cases exist."""
    if source.case_field is None and not on.case_orders:
        return None
    there = table.columns.column_names
    name = source.case_field or next((n for n in ("case", "id") if n in there), None)
    if name is None:
        return None
    if source.case_field is None:
        notes.append(Note("case_field", {"field": name}))
    values = field_of(table, name, "--case-field").to_pylist()
    return np.array([None if v is None else str(v) for v in values], object)


def _columns(on: JurisdictionMap, routed: Routed, errors: Objects, how: How) -> dict[str, Any]:
    """Our columns, in their documented order."""
    found = routed.to_arrow()
    out: dict[str, Any] = {name: _plain(found.column(name)) for name in COLUMNS}
    out["margin_m"] = pa.array(routed.margin_m, from_pandas=True)  # NaN is null: no place, no margin
    if routed.township_codes:
        out["township"] = _plain(found.column("township"))
    n = len(routed)
    out["map_version"] = pa.repeat(pa.scalar(on.version), n)
    out["rules_version"] = pa.repeat(pa.scalar(RULES_VERSION), n)
    if how.reasons:
        verdicts, place = np.unique(routed.verdict, return_inverse=True)
        texts = pa.array([reasons_json(on.ledger.verdicts[v]) for v in verdicts.tolist()])
        out["reasons"] = texts.take(pa.array(place.reshape(-1)))
    out["location_error"] = pa.array(errors, pa.string())
    return out


def _plain(column: Any) -> Any:
    """Dictionary codes spelled out: every reader understands plain text."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type)
    if pa.types.is_list(kind):
        return column.cast(pa.list_(pa.string()))
    return column


def reasons_json(verdict: Verdict | Decision) -> str:
    """The steps tried, what each found, and the claim that was chosen."""
    steps = [{"step": r.step.value, "found": list(r.found), "chosen": r.chosen} for r in verdict.reasons]
    return json.dumps(steps, ensure_ascii=False, separators=(",", ":"))


def _summary(on: JurisdictionMap, routed: Routed, errors: Objects, notes: list[Any], out: str) -> Summary:
    steps = np.bincount(routed.step, minlength=len(Step)).tolist()
    squads = np.bincount(routed.squad, minlength=len(on.roster.squads)).tolist()
    codes, count = np.unique([e for e in errors.tolist() if e is not None and e != "widened"], return_counts=True)
    return Summary(
        out,
        len(routed),
        {step.value: n for step, n in zip(Step, steps, strict=True)},
        {s.code: n for s, n in zip(on.roster.squads, squads, strict=True) if n},
        int(routed.doubtful.sum()),
        int((np.diff(routed.assist_at) > 0).sum()),
        dict(zip(codes.tolist(), count.tolist(), strict=True)),
        on.version,
        RULES_VERSION,
        tuple(notes),
    )
