"""The metres that everything is computed in: chosen from an extent, or named by somebody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyproj

from geodata.crs import Bounds, crs_text, parse_crs
from routing.errors import JieguanError


class UnitsNotMetres(JieguanError):
    zh = (
        "{field} 的坐标系 {value} 的单位是“{unit}”,不是米:距离和面积都要以米计。"
        "请选用以米为单位的投影坐标系,如 EPSG:4547,或省略此项由范围自动选择。"
    )
    en = (
        "{field}: {value} counts in {unit!r}, not in projected metres, and all distances and areas here are metres. "
        "Choose a projected system in metres such as EPSG:4547, or leave it out to have one chosen from the extent."
    )


class MetresNotTrue(JieguanError):
    zh = (
        "{value} 在范围 {bounds} 内的长度变形达 {percent} %:图上的 30 米不是地上的 30 米(上限 {limit} %)。"
        "请检查图层里是否有远离本市的要素,或用 --work-crs 指定更合适的坐标系。"
    )
    en = (
        "{value} is off by {percent} % in length over the extent {bounds}: its 30 m are not 30 m on the ground (limit "
        "{limit} %). Look for features far from the city in the layer, or name a better system with --work-crs."
    )


class FarFromOrigin(JieguanError):
    zh = (
        "{field}={value} 的东坐标约为 {km} 公里(多半带有带号):超过 10000 公里,整数毫米的证明会溢出。"
        "请改用不带带号的同一坐标系,如 EPSG:4526 改为 EPSG:4547。"
    )
    en = (
        "{field}={value} has eastings of about {km} km (a zone number is in front of them, probably): beyond 10,000 km the proof in "
        "whole millimetres would overflow. Take the same system without the zone number: EPSG:4547 in place of EPSG:4526."
    )


class BadBounds(JieguanError):
    zh = "范围 {bounds} 不是有效的经纬度范围(西、南、东、北):请检查图层的坐标系,以及经纬度是否颠倒。"
    en = (
        "The extent {bounds} is no range of degrees (west, south, east, north): check the layer's system, and whether "
        "its axes are swapped."
    )


_GOOD_SCALE = 4e-4  # what UTM has in the middle of its own zones: 4 cm in 100 m
_WORST_SCALE = 0.03  # 3 m in the 100 m that margins are measured to: beyond, "metres" would be a lie


FARTHEST_M = 9_000_000.0
"""False eastings beyond leave no room for a city below the 10,000 km of the proof."""


@dataclass(frozen=True, slots=True)
class WorkCrs:
    """The metres everything is computed in.

    `scale_error`: the greatest |length on the map / length on the ground - 1| over the extent (5e-5: 5 cm in a km);
    None where no extent was given. `chosen`: by us from the extent, a default to be printed.
    """

    crs: pyproj.CRS
    code: str
    name: str
    scale_error: float | None
    chosen: bool


def choose_work_crs(bounds: Sequence[float]) -> WorkCrs:
    """The work CRS for an extent (west, south, east, north) in WGS-84 degrees.

    Where the middle lies in the area of use of a 3-degree CGCS2000 zone (EPSG:4534-4554, no prefix; these areas follow
    the land of China, so Hanoi, Seoul and Ulan Bator are out), that zone; elsewhere the UTM zone of the middle. If
    neither keeps lengths to 4e-4 over the whole extent (a province), the one with the smaller error. Beyond 3 %
    MetresNotTrue: no transverse Mercator is honest there.
    """
    west, south, east, north = _checked_bounds(bounds)
    lon, lat = (west + east) / 2, (south + north) / 2
    candidates = [_measured(code, bounds, chosen=True) for code in (*_chinese_zone(lon, lat), _utm_zone(lon, lat))]
    good = [one for one in candidates if _error(one) <= _GOOD_SCALE]
    return _true_enough((good or sorted(candidates, key=_error))[0], bounds)


def given_work_crs(
    value: str | int | pyproj.CRS, bounds: Sequence[float] | None = None, field: str = "--work-crs"
) -> WorkCrs:
    """A work CRS somebody named. UnknownCrs, UnitsNotMetres, FarFromOrigin, or MetresNotTrue beyond 3 % (EPSG:3857 nearly always)."""
    crs = parse_crs(value, field)
    units = sorted({axis.unit_name for axis in crs.axis_info if axis.unit_conversion_factor != 1.0})
    if not crs.is_projected or units:
        raise UnitsNotMetres(field=field, value=crs_text(crs), unit=", ".join(units) or crs.type_name)
    operation = crs.coordinate_operation
    east = max((float(p.value) for p in operation.params if p.name == "False easting"), default=0.0) if operation else 0.0
    if abs(east) > FARTHEST_M:
        raise FarFromOrigin(field=field, value=crs_text(crs), km=f"{east / 1000:,.0f}")
    if bounds is None:
        return WorkCrs(crs, crs_text(crs), crs.name, None, chosen=False)
    _checked_bounds(bounds)
    return _true_enough(_measured(crs, bounds, chosen=False), bounds)


def _checked_bounds(bounds: Sequence[float]) -> Bounds:
    west, south, east, north = (float(one) for one in bounds)
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise BadBounds(bounds=_bounds_text(bounds))
    return west, south, east, north


def _bounds_text(bounds: Sequence[float]) -> str:
    return "(" + ", ".join(f"{one:.6g}" for one in bounds) + ")"


def _chinese_zone(lon: float, lat: float) -> tuple[int, ...]:
    zone = int(np.floor(lon / 3 + 0.5))
    if not 25 <= zone <= 45:
        return ()
    area = pyproj.CRS.from_epsg(4534 + zone - 25).area_of_use
    assert area is not None  # EPSG states one for each of the 21
    return (4534 + zone - 25,) if area.south <= lat <= area.north and area.west <= lon <= area.east else ()


def _utm_zone(lon: float, lat: float) -> int:
    zone = min(int((lon + 180) // 6) + 1, 60)
    return (32600 if lat >= 0 else 32700) + zone


def _measured(crs: int | pyproj.CRS, bounds: Sequence[float], *, chosen: bool) -> WorkCrs:
    parsed = parse_crs(crs)
    return WorkCrs(parsed, crs_text(parsed), parsed.name, scale_error(parsed, bounds), chosen)


def _error(work: WorkCrs) -> float:
    return float("inf") if work.scale_error is None else work.scale_error


def _true_enough(work: WorkCrs, bounds: Sequence[float]) -> WorkCrs:
    if not _error(work) <= _WORST_SCALE:
        percent, limit = f"{100 * _error(work):.3g}", f"{100 * _WORST_SCALE:.3g}"
        raise MetresNotTrue(value=work.code, bounds=_bounds_text(bounds), percent=percent, limit=limit)
    return work


def scale_error(crs: pyproj.CRS, bounds: Sequence[float]) -> float:
    """Greatest |scale - 1| in any direction on a 9 x 9 grid over the bounds (degrees); inf where it fails."""
    west, south, east, north = bounds
    lon, lat = np.meshgrid(np.linspace(west, east, 9), np.linspace(south, north, 9))
    factors = pyproj.Proj(crs).get_factors(lon.ravel(), lat.ravel())
    scales = np.array([factors.tissot_semimajor, factors.tissot_semiminor], np.float64)
    worst = float(np.max(np.abs(scales - 1.0)))
    return worst if np.isfinite(worst) else float("inf")
