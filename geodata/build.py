"""From the bureau's files to a compiled map: gather the tables, put every ground into the city's metres, compile, seal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely

from geodata import sources
from geodata.claims import Origin, Sourced
from geodata.compile import Ground, Progress, compile_map, default_extent, silent
from geodata.crs import Bounds, System, check_declared, geometries_to_work, to_wgs84
from geodata.crs import system as declared_system
from geodata.files import Layer, read_layer, read_table
from geodata.intake import Geometries, Note
from geodata.strips import arc_steps
from geodata.times import zone_named
from geodata.work_crs import WorkCrs, choose_work_crs, given_work_crs
from routing.errors import JieguanError
from routing.ground import certificate
from routing.ground.verify import Finding, Source, load, verify
from routing.jurisdiction import JurisdictionMap, Settings
from routing.model import Claim, ClaimId, Territory, Township
from routing.situation import Roster

ZONE_M = 15.0
"""Width of the border zone on each side where nobody says otherwise."""


class NothingToCompile(JieguanError):
    zh = "没有给出辖区:请用 --territories FILE[::LAYER],或用 --townships 加中队表的 township 列,或用 --map 指定已编制的地图。"
    en = (
        "No territories were given: name them with --territories FILE[::LAYER], or give --townships and the column township "
        "of the squads file, or a compiled map with --map."
    )


class MapRefused(JieguanError):
    zh = "地图“{path}”未通过核验,不能用于派单:{findings}"
    en = "The map {path!r} does not verify, so nothing can be routed on it: {findings}"


@dataclass(frozen=True, slots=True)
class MapFiles:
    """What the map options of the command line say. Paths may name a layer: `FILE::LAYER`. Lengths in metres."""

    territories: str | None = None
    squad_field: str | None = None
    since_field: str | None = None
    until_field: str | None = None
    territories_datum: str | None = None
    townships: str | None = None
    agreements: str | None = None
    designations: str | None = None
    not_served: str | None = None
    direct: str | None = None
    squads: str | None = None
    extent: str | None = None
    duty: str | None = None
    work_crs: str | None = None
    zone_m: float | None = None
    line_accuracy_m: float = 0.0
    timezone: str = "Asia/Shanghai"


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything a map is made of, in metres of the work CRS, with what was assumed on the way."""

    grounds: tuple[Ground, ...]
    roster: Roster
    settings: Settings
    extent: Any
    work: WorkCrs
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Built:
    """A sealed map with its file and what to tell about it."""

    map: JurisdictionMap
    data: bytes
    gathered: Gathered


def gather(files: MapFiles) -> Gathered:
    """Read every table and convert every ground. Raises the errors of the readers; nothing is repaired."""
    zone = zone_named(files.timezone)
    listed = sources.squads(read_table(files.squads)) if files.squads else None
    notes: list[Note] = []
    found: list[Sourced[Any]] = []
    grounds = None
    if files.territories:
        layer = read_layer(files.territories)
        field = files.squad_field or ("id" if "id" in layer.columns.column_names else None)
        fields = {"since_field": files.since_field, "until_field": files.until_field}
        grounds = sources.territories(
            layer, zone, squad_field=field, roster=listed, datum=files.territories_datum, **fields
        )
        found.append(grounds)
        notes += layer.notes
    townships = None
    if files.townships:
        townships = sources.townships(read_layer(files.townships), zone, roster=listed, datum=files.territories_datum)
        grounds = _with_inherited(grounds, townships)
        found = [*([grounds] if grounds else []), townships]
    if grounds is None or not len(grounds):
        raise NothingToCompile
    if files.not_served:
        found.append(sources.not_served(read_layer(files.not_served), zone, datum=files.territories_datum))
    directs = sources.direct(read_table(files.direct), zone, roster=listed) if files.direct else None
    roster = sources.muster(listed, grounds, directs, files.duty)
    known = set(roster.by_code)
    settled = None
    if files.agreements:
        settled = sources.agreements(read_table(files.agreements), zone, known=known, datum=files.territories_datum)
        found.append(settled)
    if files.designations:
        table = read_table(files.designations)
        found.append(sources.designations(table, zone, known=known, datum=files.territories_datum))
    extent_layer = read_layer(files.extent) if files.extent else None
    work = _work(files, [*found, *_as_sourced(extent_layer, files)])
    claims = list(_in_work(found, work.crs))
    if directs is not None:
        claims += [Ground(claim) for claim in directs.claims]
    if settled is not None:
        own = _grounds_of(grounds, work.crs)
        sources.check_neighbours(_without_ground(settled), grounds, own, _zone(files))
    for one in (*found, *([directs] if directs else [])):
        notes += one.notes
    notes += roster.notes
    extent = None if extent_layer is None else _extent(extent_layer, files, work.crs)
    if extent is None:
        notes.append(Note("default_extent", {}))
    if work.chosen:
        notes.append(Note("chosen_work_crs", {"code": work.code, "name": work.name, "scale": _scale(work)}))
    settings = Settings(work.code, _zone(files), files.line_accuracy_m)
    assert roster.duty is not None
    return Gathered(tuple(claims), Roster(roster.squads, roster.duty), settings, extent, work, _once(notes))


def build(files: MapFiles, progress: Progress = silent) -> Built:
    """Gather, compile, seal and prove."""
    gathered = gather(files)
    made = compile_map(gathered.grounds, gathered.roster, gathered.settings, gathered.extent, progress)
    made, data = certificate.sealed(made)
    return Built(made, data, gathered)


def sources_of(gathered: Gathered) -> Iterator[Source]:
    """The grounds as read, for the verifier to compare a map with."""
    for ground in gathered.grounds:
        kind = certificate.kind_of(ground.claim)
        squad = getattr(ground.claim, "squad", None)
        period = ground.claim.period
        yield Source(ground.claim.id, kind, squad, ground.geometry, period.since, period.until)
    extent = gathered.extent if gathered.extent is not None else default_extent(gathered.grounds)
    yield Source("extent", "extent", None, extent)


def open_map(path: str | Path) -> JurisdictionMap:
    """A compiled map, verified. Raises NotAMap, MapRefused."""
    compiled = load(str(path))
    findings = verify(compiled)
    if findings:
        raise MapRefused(path=str(path), findings=_told(findings))
    return certificate.opened(compiled.entries)


def _zone(files: MapFiles) -> float:
    return ZONE_M if files.zone_m is None else files.zone_m


def _once(notes: list[Note]) -> tuple[Note, ...]:
    """Each note once, in order."""
    return tuple(note for i, note in enumerate(notes) if note not in notes[:i])


def _told(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(findings)[:3]


def _with_inherited(grounds: Sourced[Territory] | None, townships: Sourced[Township]) -> Sourced[Territory] | None:
    """Squads posted to a township, and without a ground of their own, inherit the township's."""
    have = {t.squad for t in grounds.claims} if grounds is not None else set()
    rows = [i for i, t in enumerate(townships.claims) if t.squad is not None and t.squad not in have]
    if not rows:
        return grounds
    claims = tuple(_inherited(townships.claims[i]) for i in rows)
    made = _rows_as(townships, claims, rows)
    return made if grounds is None else _joined(grounds, made)


def _inherited(township: Township) -> Territory:
    assert township.squad is not None
    name = township.id.replace(f"township:{township.code}", f"territory:{township.squad}", 1)
    return Territory(id=ClaimId(name), period=township.period, document=township.document, squad=township.squad)


def _rows_as(of: Sourced[Any], claims: tuple[Claim, ...], rows: list[int]) -> Sourced[Any]:
    """Some rows of a table as other claims on the same ground."""
    return replace(
        of, claims=claims, geometry=of.geometry[rows], buffer_m=of.buffer_m[rows], rows=tuple(of.rows[i] for i in rows), notes=()
    )


def _joined(a: Sourced[Territory], b: Sourced[Territory]) -> Sourced[Territory]:
    """Two sources of territories as one list; the second keeps its own coordinates only if both files agree."""
    if a.origin.crs != b.origin.crs:
        raise TwoSystems(first=a.origin.file, second=b.origin.file)
    return replace(
        a,
        claims=a.claims + b.claims,
        geometry=np.concatenate([a.geometry, b.geometry]),
        buffer_m=np.concatenate([a.buffer_m, b.buffer_m]),
        rows=a.rows + b.rows,
    )


class TwoSystems(JieguanError):
    zh = "辖区文件“{first}”与乡镇文件“{second}”坐标系不同,无法把乡镇的地界并入辖区。请先转换为同一坐标系。"
    en = (
        "The territories {first!r} and the townships {second!r} are in different systems, so squads cannot inherit their "
        "townships' ground. Convert one of them."
    )


def _system(origin: Origin) -> System:
    """What the coordinates of a file mean. NoCrs where neither the file nor an option says."""
    return declared_system(origin.crs, origin.datum, "the file's coordinate system", "--territories-datum")


def _as_sourced(layer: Layer | None, files: MapFiles) -> list[Sourced[Any]]:
    if layer is None:
        return []
    origin = Origin(layer.path, layer.name, layer.sha256, layer.crs, files.territories_datum)
    return [Sourced((), layer.geometry, np.full(len(layer), np.nan), (), origin)]


def _work(files: MapFiles, found: list[Sourced[Any]]) -> WorkCrs:
    """The work CRS: the one named, else chosen from the extent of everything."""
    boxes = [b for b in (_box(one) for one in found) if b is not None]
    low, high = np.min([b[:2] for b in boxes], axis=0), np.max([b[2:] for b in boxes], axis=0)
    bounds: Bounds = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    return given_work_crs(files.work_crs, bounds) if files.work_crs else choose_work_crs(bounds)


def _box(one: Sourced[Any]) -> tuple[float, float, float, float] | None:
    """Bounds of a table in WGS-84 degrees."""
    shapes = one.geometry[[g is not None for g in one.geometry]]
    if not len(shapes):
        return None
    xy = shapely.get_coordinates(shapes)
    of = _system(one.origin)
    check_declared(xy[:, 0], xy[:, 1], of, one.origin.file)
    lon, lat = to_wgs84(xy[:, 0], xy[:, 1], of)
    return float(np.nanmin(lon)), float(np.nanmin(lat)), float(np.nanmax(lon)), float(np.nanmax(lat))


def _in_work(found: Iterable[Sourced[Any]], work: pyproj.CRS) -> Iterator[Ground]:
    for one in found:
        shapes = _grounds_of(one, work)
        for claim, shape in zip(one.claims, shapes, strict=True):
            yield Ground(claim, shape)


def _grounds_of(one: Sourced[Any], work: pyproj.CRS) -> Geometries:
    """Grounds in metres; points and lines widened to areas."""
    has = np.array([g is not None for g in one.geometry], bool)
    out: Geometries = np.full(len(one.geometry), None, object)
    if not has.any():
        return out
    out[has] = geometries_to_work(one.geometry[has], _system(one.origin), work, one.origin.file)
    for i in np.flatnonzero(np.isfinite(one.buffer_m)).tolist():
        out[i] = widened(out[i], float(one.buffer_m[i]))
    return out


def widened(shape: Any, width: float) -> Any:
    """A disc around a point, a band along a line; arcs within ARC_M. Segment by segment: see strips.py."""
    if shapely.get_dimensions(shape) == 0:
        return shapely.buffer(shape, width, quad_segs=arc_steps(width))
    parts, part = shapely.get_coordinates(shapely.get_parts(shape), return_index=True)
    same = part[1:] == part[:-1]
    lines = shapely.linestrings(np.stack([parts[:-1][same], parts[1:][same]], 1))
    return shapely.union_all(shapely.buffer(lines, width, quad_segs=arc_steps(width)))


def _extent(layer: Layer, files: MapFiles, work: pyproj.CRS) -> Any:
    """All features of the extent's layer as one ground."""
    of = declared_system(layer.crs, files.territories_datum, "the file's coordinate system", "--territories-datum")
    shapes = geometries_to_work(layer.geometry, of, work, layer.path)
    return shapely.multipolygons(shapely.get_parts(shapes))


def _without_ground(settled: Sourced[Any]) -> Sourced[Any]:
    rows = [i for i, g in enumerate(settled.geometry) if g is None]
    return _rows_as(settled, tuple(settled.claims[i] for i in rows), rows)


def _scale(work: WorkCrs) -> str:
    return "-" if work.scale_error is None else f"{work.scale_error * 1e6:.0f}"

