"""Coordinates at the border of the house: in whichever system somebody states them, whole millimetres inside.

A frame is a coordinate system with the order of its axes, as OGC API - Features (Part 2) and EPSG give them: latitude first in
EPSG:4326 and EPSG:4490, northing first in the Chinese Gauss-Krueger zones, longitude first in CRS84. Degrees are told with nine
decimals, a tenth of a millimetre, and metres with three, so that a vertex nobody touched comes back as it went out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import shapely

from geodata.crs import Datum, System, geometries_from_work, geometries_to_work, parse_crs
from geodata.edits import SelfCrossing
from geodata.layer import in_metres, on_grid
from routing.errors import JieguanError

OGC = "http://www.opengis.net/def/crs"
CRS84 = f"{OGC}/OGC/1.3/CRS84"
SPELLINGS = re.compile(
    r"(?:https?://www\.opengis\.net/def/crs/|urn:ogc:def:crs:|\[)?(EPSG|OGC)[:/]{1,2}(?:[\w.]*[:/])?(\w+)\]?", re.IGNORECASE
)


class OfTheAddress(JieguanError):
    """A parameter of the address is wrong."""


class UnknownFrame(OfTheAddress):
    zh = "不提供坐标系“{value}”:可用 {known}。请改用其中之一。"
    en = "Coordinates are not served in {value!r}: there are {known}. Use one of them."


class BadBox(OfTheAddress):
    zh = "bbox“{value}”不是范围:须为 4 个(或 6 个)有限的数,先西南角后东北角,按 bbox-crs 的坐标轴次序。请更正。"
    en = (
        "bbox {value!r} is no box: it takes 4 (or 6) finite numbers, the south-west corner first, in the axis order of bbox-crs. "
        "Correct it."
    )


class NotPolygons(JieguanError):
    zh = "“{layer}”图层的地块须为 Polygon 或 MultiPolygon,所给的是 {kind}。请改画成面。"
    en = "Ground in the layer {layer!r} is a Polygon or MultiPolygon, not a {kind}. Draw it as an area."


class NoRing(JieguanError):
    zh = "所画的几何不成形({reason}):环至少要四个点且首尾相同,线至少要两个点。请补画。"
    en = "The geometry is no shape ({reason}): a ring takes four points, the last like the first; a line takes two. Draw the rest."


@dataclass(frozen=True, slots=True)
class Frame:
    """A system of coordinates and the order of its axes. `decimals`: that tell a millimetre apart."""

    uri: str
    system: System
    north_first: bool
    decimals: int


@lru_cache(maxsize=8)
def frames(work_crs: str) -> Mapping[str, Frame]:
    """The frames of a map, by URI; CRS84 first, the work CRS last."""
    work = parse_crs(work_crs)
    made = [
        Frame(CRS84, System(None, Datum.WGS84), False, 9),
        Frame(f"{OGC}/EPSG/0/4326", System(parse_crs(4326), Datum.WGS84), True, 9),
        Frame(f"{OGC}/EPSG/0/4490", System(parse_crs(4490), Datum.CGCS2000), True, 9),
    ]
    code = work.to_epsg()
    if code is not None:
        north = work.axis_info[0].direction == "north"
        made.append(Frame(f"{OGC}/EPSG/0/{code}", System(work, Datum.CGCS2000), north, 3))
    return {frame.uri: frame for frame in made}


def frame_named(value: str | None, work_crs: str) -> Frame:
    """A frame by its URI, as a URN, or short (`EPSG:4490`, `CRS84`); CRS84 by default. Raises UnknownFrame."""
    known = frames(work_crs)
    if value is None:
        return known[CRS84]
    text = "OGC:CRS84" if value.upper() == "CRS84" else value.strip().strip("<>")
    found = SPELLINGS.fullmatch(text)
    authority, code = found.groups() if found else ("", "")
    uri = f"{OGC}/OGC/1.3/{code.upper()}" if authority.upper() == "OGC" else f"{OGC}/EPSG/0/{code}"
    if uri not in known:
        raise UnknownFrame(value=value[:120], known=", ".join(known))
    return known[uri]


def plain_frame(work: bool, work_crs: str) -> Frame:
    """What the API's own addresses speak: longitude and latitude, or metres east and north of the work CRS."""
    if work:
        return Frame(f"{work_crs} (x, y)", System(parse_crs(work_crs), Datum.CGCS2000), False, 3)
    return frames(work_crs)[CRS84]


# --- out ---


def told(grounds: Sequence[Any], frame: Frame, work_crs: str) -> Any:
    """Grounds (whole millimetres, None where there is none) in a frame, an object array; outer rings counter-clockwise."""
    out = np.full(len(grounds), None, object)
    there = [n for n, g in enumerate(grounds) if g is not None]
    if there:
        shapes = np.empty(len(there), object)
        shapes[:] = [shapely.orient_polygons(in_metres(grounds[n])) for n in there]
        moved = geometries_from_work(shapes, frame.system, parse_crs(work_crs))
        out[there] = shapely.transform(moved, lambda xy: _written(xy, frame))
    return out


def _written(xy: Any, frame: Frame) -> Any:
    xy = np.round(xy, frame.decimals) + 0.0
    return xy[:, ::-1] if frame.north_first else xy


# --- in ---


def shape_of(geometry: Mapping[str, Any]) -> Any:
    """A GeoJSON geometry, its heights dropped. Raises NoRing."""
    try:
        return shapely.force_2d(shapely.geometry.shape(dict(geometry)))
    except (ValueError, TypeError, shapely.errors.ShapelyError) as error:
        raise NoRing(reason=str(error)[:80]) from error


def grid_of(shape: Any, frame: Frame, work_crs: str) -> Any:
    """A shape in a frame -> whole millimetres of the work CRS, as a Row keeps it. Raises NotConvertible, SelfCrossing.

    What is no shape on the grid is refused, whether it was one before or not: nothing is guessed at.
    """
    one = np.empty(1, object)
    one[0] = shapely.transform(shape, lambda xy: xy[:, ::-1]) if frame.north_first else shape
    (moved,) = geometries_to_work(one, frame.system, parse_crs(work_crs), "geometry")
    whole = on_grid(moved)
    if whole is None or not shapely.is_valid(whole):
        raise SelfCrossing(reason="empty" if whole is None else str(shapely.is_valid_reason(whole)))
    return whole


def areas_of(shape: Any, layer: str) -> Any:
    """The shape, if it is polygons. Raises NotPolygons."""
    if shape.geom_type not in ("Polygon", "MultiPolygon"):
        raise NotPolygons(layer=layer, kind=shape.geom_type)
    return shape


def path_of(shape: Any, frame: Frame, work_crs: str) -> tuple[tuple[int, int], ...]:
    """A line's vertices, whole millimetres, in its own direction; repeated ones stay."""
    line = shapely.transform(shape, lambda xy: xy[:, ::-1]) if frame.north_first else shape
    one = np.empty(1, object)
    one[0] = line
    (moved,) = geometries_to_work(one, frame.system, parse_crs(work_crs), "geometry")
    whole = np.rint(shapely.get_coordinates(moved) * 1000).astype(np.int64)
    return tuple((int(x), int(y)) for x, y in whole)


# --- boxes ---


def box_of(text: str, frame: Frame) -> Any:
    """A bbox in a frame, as a shape in that frame; one that runs over the antimeridian is two. Raises BadBox."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise BadBox(value=text[:120]) from error
    if len(numbers) not in (4, 6) or not np.isfinite(numbers).all():
        raise BadBox(value=text[:120])
    half = len(numbers) // 2
    low, high = numbers[:2], numbers[half : half + 2]
    north = 0 if frame.north_first else 1
    east = 1 - north
    over = low[east] > high[east]
    if low[north] > high[north] or (over and not frame.system.geographic):
        raise BadBox(value=text[:120])
    if not over:
        return shapely.box(low[0], low[1], high[0], high[1])
    west_end, east_end = list(low), list(high)
    west_end[east], east_end[east] = -180.0, 180.0
    return shapely.union(
        shapely.box(low[0], low[1], east_end[0], east_end[1]), shapely.box(west_end[0], west_end[1], high[0], high[1])
    )
