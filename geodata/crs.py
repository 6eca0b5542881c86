"""Coordinate systems: what a pair of numbers means, and how it becomes metres of the work CRS and back.

Two things are kept apart. The *datum* says which shift the degrees carry: none (WGS-84, CGCS2000), the Chinese
offset (GCJ-02) or Baidu's on top of it (BD-09). The *CRS* says how degrees became numbers (EPSG:4547, EPSG:3857 ...).
A file may say EPSG:4326 and still hold GCJ-02 degrees; most Chinese web sources do.

WGS-84 and CGCS2000 degrees are taken as equal: they differ by centimetres, and PROJ knows no better (EPSG:4326 <-> 4490
is a null step there too). Everywhere longitude or easting comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, cast

import numpy as np
import pyproj
import shapely
from numpy.typing import ArrayLike, NDArray
from pyproj.exceptions import CRSError

from routing.errors import JieguanError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Pair = tuple[FloatArray, FloatArray]
Bounds = tuple[float, float, float, float]
"""(west, south, east, north) or (xmin, ymin, xmax, ymax)."""
Shapes = NDArray[np.object_]
Shift = Callable[[FloatArray, FloatArray], Pair]


class UnknownDatum(JieguanError):
    zh = (
        "{field} 的基准“{value}”无法识别:基准弄错会使位置偏移 500 至 1300 米,因此不作猜测。"
        "可用:{known}。高德、腾讯、DataV 为 gcj02,百度为 bd09,手机定位为 wgs84,测绘成果多为 cgcs2000。"
    )
    en = (
        "{field}: unknown datum {value!r}. A wrong datum moves places by 500 to 1300 m, so none is guessed. "
        "Known: {known}. Amap, Tencent and DataV are gcj02, Baidu bd09, GNSS wgs84, Chinese survey data mostly "
        "cgcs2000."
    )


class UnknownCrs(JieguanError):
    zh = "{field} 的坐标系“{value}”无法识别({why})。请写成 EPSG:4547 这样的代号。"
    en = "{field}: unknown coordinate system {value!r} ({why}). State it like EPSG:4547."


class NoCrs(JieguanError):
    zh = "{field} 没有坐标系:数字本身不说明位置。请在文件中写明坐标系,或用 {option} 指定。"
    en = "{field} states no coordinate system, and numbers alone are no place. State it in the file, or with {option}."


class ZonePrefixMissing(JieguanError):
    zh = (
        "{field} 声明为 {declared}({name},东坐标带带号),但 {count}/{total} 个东坐标不带带号(如 {sample}):"
        "按声明换算会偏到几百公里之外。请声明为 {right}。"
    )
    en = (
        "{field} is declared {declared} ({name}, eastings with zone prefix), but {count} of {total} eastings have none "
        "(such as {sample}): read as declared they would fall hundreds of kilometres away. Declare {right}."
    )


class ZonePrefixUnexpected(JieguanError):
    zh = (
        "{field} 声明为 {declared}({name}),但 {count}/{total} 个东坐标带有带号 {prefix}(如 {sample}):"
        "按声明换算会偏到几百公里之外。请声明为 {right}。"
    )
    en = (
        "{field} is declared {declared} ({name}), but {count} of {total} eastings carry the zone prefix {prefix} (such "
        "as {sample}): read as declared they would fall hundreds of kilometres away. Declare {right}."
    )


class NotDegrees(JieguanError):
    zh = (
        "{field} 声明为经纬度,但 {count}/{total} 个坐标超出度数范围(如 {sample}):看来是投影坐标。"
        "请用 {option} 声明投影坐标系,如 EPSG:4547。"
    )
    en = (
        "{field} is declared in degrees, but {count} of {total} coordinates are outside their range (such as "
        "{sample}): these look projected. Declare their system with {option}, such as EPSG:4547."
    )


class NotMetres(JieguanError):
    zh = (
        "{field} 声明为投影坐标系 {declared},但 {count}/{total} 个坐标都在度数范围内(如 {sample}):看来是经纬度。"
        "请用 {option} 改正声明,如 EPSG:4326。"
    )
    en = (
        "{field} is declared projected ({declared}), but {count} of {total} coordinates are within the range of "
        "degrees (such as {sample}): these look like longitude and latitude. Correct it with {option}, such as "
        "EPSG:4326."
    )


class NotConvertible(JieguanError):
    zh = (
        "{field}:{count} 个顶点无法从 {source} 换算到 {work}(如 {sample}):超出投影的范围或不是数字。"
        "请检查所声明的坐标系。"
    )
    en = (
        "{field}: {count} vertices cannot be converted from {source} to {work} (such as {sample}): outside the "
        "projection, or no numbers. Check the declared coordinate system."
    )


# --- datums -----------------------------------------------------------------------------------------------------------


class Datum(StrEnum):
    """The shift that degrees carry. CGCS2000 is WGS-84 to within centimetres."""

    WGS84 = "wgs84"
    CGCS2000 = "cgcs2000"
    GCJ02 = "gcj02"
    BD09 = "bd09"

    @property
    def label(self) -> str:
        """As people write it."""
        return {"wgs84": "WGS-84", "cgcs2000": "CGCS2000", "gcj02": "GCJ-02", "bd09": "BD-09"}[self.value]


def parse_datum(value: str, field: str = "--datum") -> Datum:
    """`GCJ-02`, `gcj_02`, `gcj02` alike; anything else raises UnknownDatum (BD-09 Mercator metres too)."""
    plain = value.strip().lower().replace("-", "").replace("_", "").replace(" ", "")
    try:
        return Datum(plain)
    except ValueError:
        known = ", ".join(datum.value for datum in Datum)
        raise UnknownDatum(field=field, value=value, known=known) from None


_A, _EE = 6378245.0, 0.00669342162296594323  # Krasovsky 1940, as the formula has it: it mixes ellipsoids by design
_CHINA: Bounds = (72.004, 0.8293, 137.8347, 55.8271)
_EDGE = 1e-9  # degrees, 0.1 mm: rounding must not throw a point on the edge of the box out of it
_REACH = 0.02  # degrees, 2 km: more than the formula moves any point of the box


def in_china_box(lon: ArrayLike, lat: ArrayLike) -> BoolArray:
    """Where the GCJ-02 offset applies: the formula's own crude box, edges included. Seoul and Hanoi are in it."""
    return _in_box(np.asarray(lon, np.float64), np.asarray(lat, np.float64), 0.0)


def _in_box(lon: FloatArray, lat: FloatArray, margin: float) -> BoolArray:
    west, south, east, north = _CHINA
    inside = (lon >= west - margin) & (lon <= east + margin) & (lat >= south - margin) & (lat <= north + margin)
    return np.asarray(inside, np.bool_)


def _offset(lon: FloatArray, lat: FloatArray) -> Pair:
    """The GCJ-02 offset in degrees, box or no box. Source: the public formula, as in PRCoords (Artoria2e5, CC0)."""
    x, y, pi = lon - 105.0, lat - 35.0, np.pi
    root = np.sqrt(np.abs(x))
    common = 2 * np.sin(x * 6 * pi) + 2 * np.sin(x * 2 * pi)
    wave_north = (
        common + 2 * np.sin(y * pi) + 4 * np.sin(y / 3 * pi) + 16 * np.sin(y / 12 * pi) + 32 * np.sin(y / 30 * pi)
    )
    wave_east = (
        common + 2 * np.sin(x * pi) + 4 * np.sin(x / 3 * pi) + 15 * np.sin(x / 12 * pi) + 30 * np.sin(x / 30 * pi)
    )
    plane_north = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root
    plane_east = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root
    north, east = plane_north + wave_north * 20 / 3, plane_east + wave_east * 20 / 3  # metres
    phi = np.radians(lat)
    magic = 1 - _EE * np.sin(phi) ** 2
    degree_north = np.radians(_A * (1 - _EE) / (magic * np.sqrt(magic)))
    degree_east = np.radians(_A * np.cos(phi) / np.sqrt(magic))
    return east / degree_east, north / degree_north


def wgs84_to_gcj02(lon: ArrayLike, lat: ArrayLike) -> Pair:
    """Degrees to degrees, any one shape. Outside the formula's box (`in_china_box`) nothing moves. NaN stays NaN."""
    return _by_parts(_gcj02, lon, lat)


def gcj02_to_wgs84(lon: ArrayLike, lat: ArrayLike) -> Pair:
    """Inverse of `wgs84_to_gcj02`, to 1e-6 m for every point of the box, edges included.

    The offset jumps at the box's edge, so beyond it the inverse is a choice: a pair that the formula reaches from
    inside the box goes back inside (this hides a strip of at most 1 km just outside, in the sea or in a neighbour's
    land); any other pair outside the box is itself; a pair inside that no place reaches goes where the formula,
    continued, sends it.
    """
    return _by_parts(_gcj02_undone, lon, lat)


def gcj02_to_bd09(lon: ArrayLike, lat: ArrayLike) -> Pair:
    """Baidu's second shift. It has no box: it applies everywhere, as in PRCoords. NaN stays NaN."""
    return _by_parts(_bd09, lon, lat)


def bd09_to_gcj02(lon: ArrayLike, lat: ArrayLike) -> Pair:
    """Inverse of `gcj02_to_bd09`, to 1e-6 m (the usual closed form alone is off by up to 0.14 m)."""
    return _by_parts(_bd09_undone, lon, lat)


def wgs84_to_bd09(lon: ArrayLike, lat: ArrayLike) -> Pair:
    """GCJ-02 first, then Baidu's shift; outside the China box the latter alone."""
    return _by_parts(lambda x, y: _bd09(*_gcj02(x, y)), lon, lat)


def bd09_to_wgs84(lon: ArrayLike, lat: ArrayLike) -> Pair:
    """Inverse of `wgs84_to_bd09`, to 1e-6 m; the edge of the box as in `gcj02_to_wgs84`."""
    return _by_parts(lambda x, y: _gcj02_undone(*_bd09_undone(x, y)), lon, lat)


def change_datum(lon: ArrayLike, lat: ArrayLike, source: Datum, target: Datum) -> Pair:
    """Degrees of one datum as degrees of another, always by way of WGS-84 except where nothing changes."""
    here, there = _shift_of(source), _shift_of(target)
    if here is there:
        return _float64(lon), _float64(lat)
    to_wgs84 = {Datum.GCJ02: gcj02_to_wgs84, Datum.BD09: bd09_to_wgs84}
    from_wgs84 = {Datum.GCJ02: wgs84_to_gcj02, Datum.BD09: wgs84_to_bd09}
    if here is not Datum.WGS84:
        lon, lat = to_wgs84[here](lon, lat)
    if there is not Datum.WGS84:
        lon, lat = from_wgs84[there](lon, lat)
    return _float64(lon), _float64(lat)


def _shift_of(datum: Datum) -> Datum:
    return Datum.WGS84 if datum is Datum.CGCS2000 else datum


def _float64(values: ArrayLike) -> FloatArray:
    return np.array(values, np.float64)


_PART = 16_384  # rows at a time: the dozen temporaries stay in the cache


def _by_parts(shift: Shift, lon: ArrayLike, lat: ArrayLike) -> Pair:
    """Apply to contiguous parts. Every step count is fixed, so a row's result never depends on its neighbours."""
    x, y = np.ascontiguousarray(lon, np.float64), np.ascontiguousarray(lat, np.float64)
    shape = np.broadcast_shapes(np.shape(lon), np.shape(lat))
    flat_x, flat_y = np.broadcast_to(x, shape or (1,)).ravel(), np.broadcast_to(y, shape or (1,)).ravel()
    out_x, out_y = np.empty_like(flat_x), np.empty_like(flat_y)
    with np.errstate(invalid="ignore", over="ignore"):  # an infinite or absurd pair becomes NaN or stays itself
        for start in range(0, flat_x.size, _PART):
            part = slice(start, start + _PART)
            out_x[part], out_y[part] = shift(flat_x[part], flat_y[part])
    return out_x.reshape(shape), out_y.reshape(shape)


def _gcj02(lon: FloatArray, lat: FloatArray) -> Pair:
    inside = _in_box(lon, lat, 0.0)
    out_x, out_y = lon.copy(), lat.copy()
    dx, dy = _offset(lon[inside], lat[inside])
    out_x[inside] += dx
    out_y[inside] += dy
    return out_x, out_y


def _gcj02_undone(lon: FloatArray, lat: FloatArray) -> Pair:
    near = _in_box(lon, lat, _REACH)
    x, y = _solve(lon[near], lat[near])
    keep = _in_box(x, y, _EDGE) | _in_box(lon[near], lat[near], 0.0)
    out_x, out_y = lon.copy(), lat.copy()
    out_x[near], out_y[near] = np.where(keep, x, lon[near]), np.where(keep, y, lat[near])
    return out_x, out_y


_STEPS = 5  # each leaves less than 1 % of the error of the last: 500 m -> 5 m -> 3 cm -> 0.3 mm -> 10 um -> 0.02 um
_STEPS_AT_105E = 4  # more within 0.1 mm of that meridian, where sqrt|lon - 105| is as steep as the map itself


def _solve(lon: FloatArray, lat: FloatArray) -> Pair:
    """The pair that the continued formula sends to (lon, lat), by fixed point.

    Within 0.3 um west of 105 E the formula is not one-to-one; there the answer is one of the pairs, 0.5 um apart.
    """
    x, y = _fixed_point(lon, lat, lon, lat, _STEPS)
    steep = np.flatnonzero(np.abs(x - 105.0) < 1e-9)
    if steep.size:
        x[steep], y[steep] = _fixed_point(x[steep], y[steep], lon[steep], lat[steep], _STEPS_AT_105E)
    return x, y


def _fixed_point(x: FloatArray, y: FloatArray, lon: FloatArray, lat: FloatArray, steps: int) -> Pair:
    for _ in range(steps):
        dx, dy = _offset(x, y)
        x, y = lon - dx, lat - dy
    return x, y


_TURN = np.pi * 3000.0 / 180.0
_BD_LON, _BD_LAT = 0.0065, 0.0060
_BD_STEPS = 6  # each leaves 2 % of the error of the last (3 % at 180 E), from 45 m


def _bd09(lon: FloatArray, lat: FloatArray) -> Pair:
    """Source: the public formula, as in PRCoords (Artoria2e5, CC0)."""
    radius = np.sqrt(lon * lon + lat * lat) + 0.00002 * np.sin(lat * _TURN)
    angle = np.arctan2(lat, lon) + 0.000003 * np.cos(lon * _TURN)
    return radius * np.cos(angle) + _BD_LON, radius * np.sin(angle) + _BD_LAT


def _bd09_undone(lon: FloatArray, lat: FloatArray) -> Pair:
    x, y = lon - _BD_LON, lat - _BD_LAT
    for _ in range(_BD_STEPS):
        there_x, there_y = _bd09(x, y)
        x, y = x - (there_x - lon), y - (there_y - lat)
    return x, y


# --- systems ----------------------------------------------------------------------------------------------------------

_LONLAT = pyproj.CRS.from_epsg(4326)


@dataclass(frozen=True, slots=True)
class System:
    """What a source's numbers mean. `crs` None: degrees, longitude first. `datum`: the shift their degrees carry.

    With a CRS the datum lies on top of it: EPSG:3857 with GCJ02 are Amap's tile metres; EPSG:4326 with GCJ02 is DataV.
    """

    crs: pyproj.CRS | None
    datum: Datum

    @property
    def geographic(self) -> bool:
        return self.crs is None or self.crs.is_geographic

    @property
    def text(self) -> str:
        """`EPSG:4547`, `GCJ-02` or `EPSG:3857 + GCJ-02`."""
        if self.crs is None:
            return self.datum.label
        shift = "" if _shift_of(self.datum) is Datum.WGS84 else f" + {self.datum.label}"
        return crs_text(self.crs) + shift


def crs_text(crs: pyproj.CRS) -> str:
    """`EPSG:4547` where it has a code, else its name."""
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.name


def parse_crs(value: str | int | pyproj.CRS, field: str = "--crs") -> pyproj.CRS:
    """Anything pyproj takes, horizontal part only. UnknownCrs otherwise."""
    try:
        return pyproj.CRS.from_user_input(value).to_2d() if isinstance(value, pyproj.CRS) else _named_crs(value)
    except CRSError as error:
        raise UnknownCrs(field=field, value=value, why=str(error).splitlines()[0]) from error


@lru_cache(maxsize=64)
def _named_crs(value: str | int) -> pyproj.CRS:
    """Looked up once: a lookup takes longer than a decision."""
    return pyproj.CRS.from_user_input(value).to_2d()


def system(
    crs: str | int | pyproj.CRS | None, datum: str | Datum | None, field: str = "--crs", datum_field: str = "--datum"
) -> System:
    """The system somebody declared. One of the two is needed (NoCrs); a CRS alone carries no shift."""
    if crs is None and datum is None:
        raise NoCrs(field=field, option=f"{field} / {datum_field}")
    parsed = None if crs is None else parse_crs(crs, field)
    if datum is None:
        chinese = parsed is not None and _datum_name(parsed) == "China 2000"
        return System(parsed, Datum.CGCS2000 if chinese else Datum.WGS84)
    return System(parsed, datum if isinstance(datum, Datum) else parse_datum(datum, datum_field))


def _datum_name(crs: pyproj.CRS) -> str:
    base = crs.geodetic_crs
    return base.datum.name if base is not None and base.datum is not None else ""


@lru_cache(maxsize=64)
def _transformer(source: pyproj.CRS, target: pyproj.CRS) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def _transformed(x: ArrayLike, y: ArrayLike, source: pyproj.CRS, target: pyproj.CRS) -> Pair:
    """PROJ says inf for what it cannot convert; we say NaN, as for a missing coordinate."""
    xs, ys = _transformer(source, target).transform(_float64(x), _float64(y))
    xs, ys = np.asarray(xs, np.float64), np.asarray(ys, np.float64)
    bad = ~(np.isfinite(xs) & np.isfinite(ys))
    return np.where(bad, np.nan, xs), np.where(bad, np.nan, ys)


def to_lonlat(x: ArrayLike, y: ArrayLike, of: System) -> Pair:
    """Degrees in the system's own datum, its shift still on them. NaN where the CRS has no such place."""
    if of.crs is None or of.crs == _LONLAT:
        return _float64(x), _float64(y)
    return _transformed(x, y, of.crs, _LONLAT)


def to_wgs84(x: ArrayLike, y: ArrayLike, of: System) -> Pair:
    """WGS-84 degrees. NaN where there is no such place."""
    return change_datum(*to_lonlat(x, y, of), of.datum, Datum.WGS84)


def to_work(x: ArrayLike, y: ArrayLike, of: System, work: pyproj.CRS) -> Pair:
    """Metres of the work CRS from numbers in any system, float64, same shape. NaN where there is no such place.

    GCJ-02 and BD-09 are undone first. Points far outside the work CRS get numbers all the same: see `area_of_use`.
    """
    if of.crs is not None and _shift_of(of.datum) is Datum.WGS84:
        return _transformed(x, y, of.crs, work)
    return _transformed(*to_wgs84(x, y, of), _LONLAT, work)


def from_work(x: ArrayLike, y: ArrayLike, of: System, work: pyproj.CRS) -> Pair:
    """Inverse of `to_work`."""
    if of.crs is not None and _shift_of(of.datum) is Datum.WGS84:
        return _transformed(x, y, work, of.crs)
    lon, lat = change_datum(*_transformed(x, y, work, _LONLAT), Datum.WGS84, of.datum)
    return (lon, lat) if of.crs is None else _transformed(lon, lat, _LONLAT, of.crs)


def one_to_work(of: Datum, work: pyproj.CRS) -> Callable[[float, float], tuple[float, float]] | None:
    """What takes one longitude and latitude to metres, the same as `to_work` to the bit; None for a datum with a shift to undo."""
    return _transformer(_LONLAT, work).transform if _shift_of(of) is Datum.WGS84 else None


def geometries_to_work(geometries: ArrayLike, of: System, work: pyproj.CRS, field: str = "layer") -> Shapes:
    """Shapely geometries, vertex by vertex, in metres. Z is dropped; missing and empty ones stay.

    NotConvertible if one vertex fails: a ring without it would be another ring.
    """
    return _moved(geometries, lambda x, y: to_work(x, y, of, work), field, of.text, crs_text(work))


def geometries_from_work(geometries: ArrayLike, of: System, work: pyproj.CRS, field: str = "layer") -> Shapes:
    """Inverse of `geometries_to_work`."""
    return _moved(geometries, lambda x, y: from_work(x, y, of, work), field, crs_text(work), of.text)


def _moved(geometries: ArrayLike, move: Shift, field: str, source: str, target: str) -> Shapes:
    shapes: Shapes = np.asarray(geometries, object)

    def all_moved(*xy: FloatArray) -> Pair:
        x, y = xy
        moved = move(x, y)
        lost = np.flatnonzero(np.isnan(moved[0]))
        if lost.size:
            sample = f"{x[lost[0]]:.9g}, {y[lost[0]]:.9g}"
            raise NotConvertible(field=field, count=lost.size, source=source, work=target, sample=sample)
        return moved

    moved = shapely.transform(shapes, cast(Any, all_moved), interleaved=False)  # its stub knows interleaved=True only
    return np.asarray(moved, object).reshape(shapes.shape)


def accuracy_m(of: System, work: pyproj.CRS) -> float | None:
    """How far PROJ says the change of datum may be off, metres; None where it does not know.

    None for Beijing 1954 and Xian 1980: their degrees go through unchanged, tens of metres off. Worth a warning.
    """
    source = of.crs or _LONLAT
    names = {_datum_name(source), _datum_name(work)}
    if len(names) == 1 or all(name.startswith(("World Geodetic System 1984", "China 2000")) for name in names):
        return 0.0
    stated = float(_transformer(source, work).accuracy)
    return stated if stated >= 0 else None


# --- is the declaration plausible? ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AreaOfUse:
    """Where a CRS is meant to be used, and how much of the data lies outside. Degrees."""

    crs: str
    area: str
    bounds: Bounds
    outside: int
    total: int
    farthest_deg: float


def area_of_use(lon: ArrayLike, lat: ArrayLike, crs: pyproj.CRS) -> AreaOfUse | None:
    """None where all WGS-84 degrees lie in the CRS's area of use, or it states none. A finding, never an error.

    A few tenths of a degree outside are normal (a province on one zone); tens of degrees mean a wrong declaration.
    """
    area = crs.area_of_use
    if area is None:
        return None
    x, y = _float64(lon), _float64(lat)
    beyond = np.maximum.reduce([area.west - x, x - area.east, area.south - y, y - area.north])
    beyond = beyond[np.isfinite(beyond)]
    outside = int(np.count_nonzero(beyond > 0))
    if not outside:
        return None
    return AreaOfUse(crs_text(crs), area.name, area.bounds, outside, int(beyond.size), float(beyond.max()))


def check_declared(x: ArrayLike, y: ArrayLike, of: System, field: str = "layer", option: str = "--crs") -> None:
    """Refuse a declaration most of the coordinates contradict: degrees for metres, or the zone prefix missing or extra.

    Raises NotDegrees, NotMetres, ZonePrefixMissing or ZonePrefixUnexpected. A wrong central meridian without prefix
    cannot be seen in the numbers themselves; `area_of_use` may tell.
    """
    xs, ys = _float64(x).ravel(), _float64(y).ravel()
    finite = np.isfinite(xs) & np.isfinite(ys)
    xs, ys = xs[finite], ys[finite]
    # 180 for both: latitude first is another mistake, with its own message; and so are 181 and the sentinel 9999, 9999
    degrees = (np.abs(xs) <= 180) & (np.abs(ys) <= 180)
    metres = (np.abs(xs) > 1000) & (np.abs(ys) > 1000) & (xs != ys)
    if of.geographic:
        _refuse_most(metres, xs, ys, NotDegrees, field=field, option=option)
    elif of.crs is not None and (prefix := _zone_prefix(of.crs)) is not None:
        # only where degrees cannot be metres: near (0, 0) of a Chinese zone lies no place
        _refuse_most(degrees, xs, ys, NotMetres, field=field, option=option, declared=crs_text(of.crs))
        _check_zone_prefix(xs, of.crs, prefix, field)


def _refuse_most(bad: BoolArray, x: FloatArray, y: FloatArray, error: type[JieguanError], **facts: object) -> None:
    rows = np.flatnonzero(bad)
    if 2 * rows.size > bad.size:
        raise error(count=rows.size, total=bad.size, sample=f"{x[rows[0]]:.9g}, {y[rows[0]]:.9g}", **facts)


# the first EPSG code of each family: 6 degrees (zones 13-23) with prefix, without; 3 degrees (25-45) with prefix, without
_ZONES = {
    "China 2000": (4491, 4502, 4513, 4534),
    "Xian 1980": (2327, 2338, 2349, 2370),
    "Beijing 1954": (21413, 21453, 2401, 2422),
}


def _zone_code(datum: str, zone: int, *, prefixed: bool) -> str:
    first, row = (13, 0) if zone < 25 else (25, 2)
    return f"EPSG:{_ZONES[datum][row + (not prefixed)] + zone - first}"


def _zone_prefix(crs: pyproj.CRS) -> int | None:
    """The zone number that eastings of a Chinese Gauss-Kruger system carry, 0 for none; None for any other system.

    By parameters, not by code: the .prj file of a Shapefile has none.
    """
    operation = crs.coordinate_operation
    if operation is None or _datum_name(crs) not in _ZONES or operation.method_name != "Transverse Mercator":
        return None
    return int(next(float(one.value) for one in operation.params if one.name == "False easting") // 1e6)


def _check_zone_prefix(easting: FloatArray, crs: pyproj.CRS, declared: int, field: str) -> None:
    numbers, counts = np.unique(np.floor(easting / 1e6).astype(np.int64), return_counts=True)
    found, count = (int(numbers[counts.argmax()]), int(counts.max())) if easting.size else (declared, 0)
    if found == declared or 2 * count <= easting.size or not (found == 0 or 13 <= found <= 23 or 25 <= found <= 45):
        return
    sample = f"{easting[np.floor(easting / 1e6) == found][0]:.0f}"
    facts = {"declared": crs_text(crs), "name": crs.name, "count": count, "total": easting.size, "sample": sample}
    if found == 0:
        raise ZonePrefixMissing(field=field, right=_zone_code(_datum_name(crs), declared, prefixed=False), **facts)
    right = _zone_code(_datum_name(crs), found, prefixed=True)
    raise ZonePrefixUnexpected(field=field, prefix=found, right=right, **facts)
