"""A boundary layer in, its findings out; and, where points with a recorded district are given, whether the datums fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyproj
import shapely

from geodata.compile import Progress, silent
from geodata.crs import System, geometries_to_work, system, to_lonlat, to_wgs84
from geodata.datum import LineFit, PointFit, Reading, fit_lines, fit_points
from geodata.files import Layer, read_layer, read_table
from geodata.intake import Geometries, Note
from geodata.points import PointColumns, numbers_of
from geodata.rows import rows_of
from geodata.sources import squads as read_squads
from geodata.times import read_instant, zone_named
from geodata.topology import check
from geodata.topology_facts import LayerFacts, facts_of
from geodata.topology_issue import Issue
from geodata.work_crs import WorkCrs, choose_work_crs, given_work_crs
from routing.errors import JieguanError


class RecordedMissing(JieguanError):
    zh = "{given} 需要同时给出 {missing}:要有记录的区划,才能判断点与图层的基准是否相符。"
    en = "{given} was given without {missing}: points tell the datum only together with the district recorded for each."


@dataclass(frozen=True, slots=True)
class CheckFile:
    """What the options of `check` say."""

    squad_field: str | None = None
    territories_datum: str | None = None
    extent: str | None = None
    squads: str | None = None
    work_crs: str | None = None
    points: str | None = None
    recorded: str | None = None
    since_field: str | None = None
    until_field: str | None = None
    at: str | None = None
    timezone: str = "Asia/Shanghai"
    lon: str | None = None
    lat: str | None = None
    datum: str | None = None
    lines: str | None = None
    lines_datum: str | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """A layer, what was found, and what was assumed."""

    layer: Layer
    field: str
    of: System
    work: WorkCrs
    facts: LayerFacts
    issues: tuple[Issue, ...]
    fits: tuple[PointFit | LineFit, ...]
    notes: tuple[Any, ...]




def check_layer(
    spec: str, options: CheckFile, now: Callable[[], datetime], progress: Progress = silent
) -> Checked:
    """Read the layer, run every check on what is in force. Raises the errors of the readers; finds, and mends nothing."""
    progress("read", 0, 2)
    layer, left_out = _in_force(read_layer(spec), options, now)
    of = system(layer.crs, options.territories_datum, "the file's coordinate system", "--territories-datum")
    field = options.squad_field or ("id" if "id" in layer.columns.column_names else "squad")
    notes: list[Any] = [*layer.notes, *left_out]
    work = _work(layer, of, options)
    if work.chosen:
        scale = "-" if work.scale_error is None else f"{work.scale_error * 1e6:.0f}"
        notes.append(Note("chosen_work_crs", {"code": work.code, "name": work.name, "scale": scale}))
    progress("check", 1, 2)
    fits = tuple(_fits(layer, of, field, options, notes))
    roster = [s.code for s in read_squads(read_table(options.squads)).squads] if options.squads else None
    extent = _extent(options, work.crs)
    facts = facts_of(layer, field, of, work.crs, extent=extent, roster=roster, fits=fits)
    progress("check", 2, 2)
    return Checked(layer, field, of, work, facts, check(facts), fits, tuple(notes))


def _in_force(layer: Layer, options: CheckFile, now: Callable[[], datetime]) -> tuple[Layer, list[Note]]:
    """The features in force at `--at` (now, by default): those of different times do not overlap, they follow one another."""
    zone = zone_named(options.timezone)
    since, until = options.since_field or "since", options.until_field or "until"
    if not {since, until} & set(layer.columns.column_names):
        return layer, []
    moment = now() if options.at is None else read_instant(options.at, zone, "--at")
    held = np.array([moment in row.period(zone, since, until) for row in rows_of(layer.table)], bool)
    kept = [Note("other_times", {"count": int((~held).sum()), "at": moment.isoformat(timespec="seconds")})]
    return layer.rows(held), kept


def _work(layer: Layer, of: System, options: CheckFile) -> WorkCrs:
    xy = shapely.get_coordinates(layer.geometry)
    lon, lat = to_wgs84(xy[:, 0], xy[:, 1], of)
    bounds = [float(f(v)) for f, v in ((np.nanmin, lon), (np.nanmin, lat), (np.nanmax, lon), (np.nanmax, lat))]
    return given_work_crs(options.work_crs, bounds) if options.work_crs else choose_work_crs(bounds)


def _extent(options: CheckFile, work: pyproj.CRS) -> Any:
    if options.extent is None:
        return None
    layer = read_layer(options.extent)
    of = system(layer.crs, options.territories_datum, "the file's coordinate system", "--territories-datum")
    return shapely.multipolygons(shapely.get_parts(geometries_to_work(layer.geometry, of, work, options.extent)))


def _fits(
    layer: Layer, of: System, field: str, options: CheckFile, notes: list[Any]
) -> Iterator[PointFit | LineFit]:
    """How points and lines somebody gave fit the layer, under every datum they could be in."""
    if (options.points is None) != (options.recorded is None):
        given, missing = ("--points", "--recorded") if options.points else ("--recorded", "--points")
        raise RecordedMissing(given=given, missing=missing)
    if options.points is not None and options.recorded is not None:
        table = read_table(options.points)
        if options.datum is None:
            notes.append(Note("assumed_datum", {"datum": "WGS-84"}))
        points = system(None, options.datum or "wgs84")
        columns = PointColumns(options.lon or "lon", options.lat or "lat", points)
        lon, lat = numbers_of({n: table.columns.column(n) for n in table.columns.column_names}, columns)
        recorded = table.column(options.recorded, "row").to_pylist()
        ids = layer.table.column(field, "squad").to_pylist()
        yield fit_points(lon, lat, recorded, _degrees(layer.geometry, of), ids, Reading(points.datum, of.datum))
    if options.lines is not None:
        other = read_layer(options.lines)
        its = system(other.crs, options.lines_datum, "the file's coordinate system", "--lines-datum")
        yield fit_lines(_degrees(layer.geometry, of), _degrees(other.geometry, its), Reading(of.datum, its.datum))


def _degrees(shapes: Geometries, of: System) -> Geometries:
    """Geometries in degrees of their own datum."""

    def turned(xy: Any) -> Any:
        return np.stack(to_lonlat(xy[:, 0], xy[:, 1], of), 1)

    moved: Geometries = np.asarray(shapely.transform(shapes, turned), object)
    return moved
