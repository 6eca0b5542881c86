"""Datum suspicion: do these points, or these lines, fit better in another datum than the declared one?

A datum mistake moves everything by 550 to 1300 m in one direction. Most points stay in their district all the same (95 %
in Zhengzhou), so it hides in the total; it shows at the borders. Every reading of the two sides is tried, and one that is
better at significantly more *places* is named. Places are cells of 1 km: the thousand shops of one street that lie on the
wrong side of one badly drawn line are one witness, not a thousand.

Nothing is changed here; the answer is a value with its figures. Outside China GCJ-02 is WGS-84, and cannot be told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import ArrayLike, NDArray

from geodata.crs import BoolArray, Datum, FloatArray, Pair, Shapes, System, change_datum, geometries_to_work, to_work
from geodata.work_crs import choose_work_crs
from routing.errors import Lang

P_MAX = 1e-5  # one-sided, for each of at most six other readings: 17 places of 17, 45 of 60
CELL_M = 1000.0  # about the length of the shift: nearer rows stand or fall together
NEAR_M = (30.0, 100.0)
MAX_ROWS = 50_000  # more say no more: the figures are exact to 0.2 %
MAX_VERTICES = 10_000  # likewise; the nearest line is the slow part
SAME_M = 1.0  # readings that move nothing (GCJ-02 outside China) are no alternative
GAIN = 0.5  # lines are shared under a reading only if it at least halves the median distance


@dataclass(frozen=True, slots=True)
class Reading:
    """What the degrees of the two sides are taken to be: `first` the points or vertices, `second` the layer."""

    first: Datum
    second: Datum


@dataclass(frozen=True, slots=True)
class Near:
    """Rows within `within_m` of a border (under the reading in question), and how many lie in their district."""

    within_m: float
    rows: int
    right: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reading against the declared one.

    `ways`: the declarations that come to it; more than one where only the difference of the two sides counts.
    `shift_m`: mean length of the move of the first side. `places_for`, `places_against`: 1 km cells where this reading,
    or the declared one, is right more often; `p`: chance of as many of them for it by coin toss (exact sign test).
    """

    ways: tuple[Reading, ...]
    shift_m: float
    places_for: int
    places_against: int
    p: float


@dataclass(frozen=True, slots=True)
class PointFigures:
    """Rows in their recorded district under one reading, and near borders."""

    evidence: Evidence
    right: int
    near: tuple[Near, ...]


@dataclass(frozen=True, slots=True)
class PointFit:
    """How points with a recorded district fit a layer. `figures`: the declared reading first.

    `rows` were judged (a sample of at most 50,000, even over the ground), `skipped` had no usable place or a district
    that is none of the layer's. `better`: the reading that fits best, if one fits significantly better than the declared.
    """

    declared: Reading
    figures: tuple[PointFigures, ...]
    rows: int
    skipped: int
    better: PointFigures | None

    def text(self, lang: Lang) -> str:
        """One sentence for a person."""
        stated = self.figures[0]
        facts = _facts(self.declared, self.rows, self.better.evidence if self.better else None, "points", lang)
        facts |= {"before": _percent(stated.right, self.rows)}
        if self.better is None:
            return _POINTS_FINE[lang].format(**facts)
        near, near_before = self.better.near[-1], stated.near[-1]
        facts |= {"after": _percent(self.better.right, self.rows), "near_m": f"{near.within_m:g}"}
        facts |= {"near_after": _percent(near.right, near.rows)}
        facts |= {"near_before": _percent(near_before.right, near_before.rows)}
        return _POINTS_BETTER[lang].format(**facts)


@dataclass(frozen=True, slots=True)
class LineFigures:
    """Distance of the first layer's vertices to the second's lines under one reading, metres."""

    evidence: Evidence
    median_m: float
    quarter_m: float
    """A quarter of the vertices are nearer."""


@dataclass(frozen=True, slots=True)
class LineFit:
    """How the vertices of one layer fit the lines of another that should share them; as `PointFit`."""

    declared: Reading
    figures: tuple[LineFigures, ...]
    rows: int
    better: LineFigures | None

    def text(self, lang: Lang) -> str:
        """One sentence for a person."""
        facts = _facts(self.declared, self.rows, self.better.evidence if self.better else None, "lines", lang)
        facts |= {"before": f"{self.figures[0].median_m:.3g}"}
        if self.better is None:
            return _LINES_FINE[lang].format(**facts)
        return _LINES_BETTER[lang].format(after=f"{self.better.median_m:.3g}", **facts)


_POINTS_FINE: dict[Lang, str] = {
    "zh-CN": (
        "没有发现基准错误:按声明(点 {first},图层 {second}),{rows} 行中 {before} 落在所记录的区内,"
        "其他读法都没有显著更好。"
    ),
    "en": (
        "No sign of a datum mistake: as declared (points {first}, layer {second}), {before} of {rows} rows lie in their "
        "recorded district, and no other reading is significantly better."
    ),
}
_POINTS_BETTER: dict[Lang, str] = {
    "zh-CN": (
        "基准可疑:{ways},位置移动 {shift} 米,吻合得更好。按声明(点 {first},图层 {second}),"
        "{rows} 行中 {before} 落在所记录的区内,改后 {after}(离边界 {near_m} 米以内:{near_before} → {near_after});"
        "两种读法有别的 {places} 处(1 公里见方)中 {places_for} 处支持改正。请向来源核实后改正 {options}。"
    ),
    "en": (
        "Datum suspicion: these fit {shift} m better {ways}. As declared (points {first}, layer {second}) {before} of "
        "{rows} rows lie in their recorded district, so read {after} (within {near_m} m of a border: {near_before} -> "
        "{near_after}); {places_for} of the {places} places (1 km cells) where the two differ speak for it. Ask the "
        "source, then correct {options}."
    ),
}
_LINES_FINE: dict[Lang, str] = {
    "zh-CN": (
        "没有发现基准错误:按声明({first} 与 {second}),{rows} 个顶点到另一图层的线的距离中位数为 {before} 米,"
        "其他读法都没有显著更好。"
    ),
    "en": (
        "No sign of a datum mistake: as declared ({first} and {second}), the median distance of {rows} vertices to the "
        "other layer's lines is {before} m, and no other reading is significantly better."
    ),
}
_LINES_BETTER: dict[Lang, str] = {
    "zh-CN": (
        "基准可疑:{ways},位置移动 {shift} 米,吻合得更好。按声明({first} 与 {second}),"
        "{rows} 个顶点到另一图层的线的距离中位数为 {before} 米,改后 {after} 米;"
        "两种读法有别的 {places} 处(1 公里见方)中 {places_for} 处支持改正。请向来源核实后改正所声明的基准。"
    ),
    "en": (
        "Datum suspicion: these fit {shift} m better {ways}. As declared ({first} and {second}) the median distance of "
        "{rows} vertices to the other layer's lines is {before} m, so read {after} m; {places_for} of the {places} places "
        "(1 km cells) where the two differ speak for it. Ask the source, then correct the declared datum."
    ),
}
_SIDES: dict[Lang, dict[str, tuple[str, str]]] = {
    "zh-CN": {"points": ("把点读作 {}", "把图层读作 {}"), "lines": ("把本图层读作 {}", "把另一图层读作 {}")},
    "en": {"points": ("as {}", "with the layer as {}"), "lines": ("as {}", "with the other layer as {}")},
}


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _facts(declared: Reading, rows: int, evidence: Evidence | None, of: str, lang: Lang) -> dict[str, object]:
    facts: dict[str, object] = {"first": declared.first.label, "second": declared.second.label, "rows": rows}
    if evidence is None:
        return facts
    places = evidence.places_for + evidence.places_against
    facts |= {"shift": f"{evidence.shift_m:.0f}", "places_for": evidence.places_for, "places": places}
    either = ",或" if lang == "zh-CN" else ", or "
    ways = either.join(_way_text(way, declared, _SIDES[lang][of], lang) for way in evidence.ways)
    return facts | {"ways": ways, "options": _options(evidence.ways, declared)}


def _way_text(way: Reading, declared: Reading, sides: tuple[str, str], lang: Lang) -> str:
    """What to change, and only that."""
    changed = (way.first is not declared.first, way.second is not declared.second)
    datums = (way.first, way.second)
    texts = [side.format(datum.label) for side, datum, new in zip(sides, datums, changed, strict=True) if new]
    return ("并" if lang == "zh-CN" else " and ").join(texts)


def _options(ways: Sequence[Reading], declared: Reading) -> str:
    first = any(way.first is not declared.first for way in ways)
    second = any(way.second is not declared.second for way in ways)
    return " / ".join(["--datum"] * first + ["--territories-datum"] * second)


# --- points with recorded districts -----------------------------------------------------------------------------------


def fit_points(
    lon: ArrayLike,
    lat: ArrayLike,
    recorded: Sequence[Any] | NDArray[Any],
    polygons: ArrayLike,
    ids: Sequence[Any] | NDArray[Any],
    declared: Reading,
) -> PointFit:
    """Try every pair of datums of points (degrees, length n, with the id recorded for each) and polygons (degrees, with ids).

    Ids are compared as text, 61.0 like 61; several polygons of one id are one district; the order of rows is of no
    account. Projected sides become degrees by `crs.to_lonlat` first.
    """
    points = _recorded_points(np.asarray(lon, np.float64), np.asarray(lat, np.float64), recorded, polygons, ids)
    trials = _trials(points.lon, points.lat, declared, points.districts.work)
    base, *others = [(trial, points.districts.holds(trial.x, trial.y, points.number)) for trial in trials]
    cells = _cells(base[0])
    figures = [_point_figures(trial, right, base[1], cells, points) for trial, right in (base, *others)]
    better = [one for one in figures[1:] if one.evidence.p <= P_MAX and one.right > figures[0].right]
    best = max(better, key=lambda one: one.right, default=None)
    rows = points.lon.size
    return PointFit(declared, tuple(figures), rows, points.skipped, best)


@dataclass(frozen=True, slots=True, eq=False)
class _Districts:
    """Polygons in metres, grouped by number, with their border segments in a tree."""

    work: pyproj.CRS
    shapes: Shapes
    numbers: NDArray[np.intp]
    borders: shapely.STRtree

    def holds(self, x: FloatArray, y: FloatArray, number: NDArray[np.intp]) -> BoolArray:
        """Whether the districts of that number cover the points, edges included."""
        order = np.argsort(number, kind="stable")
        starts = np.searchsorted(number[order], np.arange(self.numbers.max(initial=-1) + 2))
        inside = np.zeros(x.size, np.bool_)
        for shape, one in zip(self.shapes, self.numbers, strict=True):
            rows = order[starts[one] : starts[one + 1]]
            inside[rows] |= shapely.intersects_xy(shape, x[rows], y[rows])
        return inside

    def border_m(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Distance to the nearest border, inf beyond the widest of NEAR_M."""
        distances = np.full(x.size, np.inf)
        (rows, _), found = self.borders.query_nearest(
            shapely.points(x, y), max_distance=max(NEAR_M), return_distance=True, all_matches=False
        )
        distances[rows] = found
        return distances


@dataclass(frozen=True, slots=True, eq=False)
class _RecordedPoints:
    lon: FloatArray
    lat: FloatArray
    number: NDArray[np.intp]
    districts: _Districts
    skipped: int


def _recorded_points(
    lon: FloatArray, lat: FloatArray, recorded: Sequence[Any] | NDArray[Any], polygons: ArrayLike, ids: Any
) -> _RecordedPoints:
    shapes: Shapes = np.asarray(polygons, object)
    names = sorted({_as_id(one) for one in ids})
    number_of = {name: number for number, name in enumerate(names)}
    numbers = np.array([number_of[_as_id(one)] for one in ids], np.intp)
    number = np.array([number_of.get(_as_id(one), -1) for one in recorded], np.intp)
    usable = np.flatnonzero((np.abs(lon) <= 180) & (np.abs(lat) <= 90) & (number >= 0))
    rows = usable[_even_sample(lon[usable], lat[usable], number[usable], MAX_ROWS)]
    districts = _districts(shapes, numbers)
    return _RecordedPoints(lon[rows], lat[rows], number[rows], districts, lon.size - usable.size)


def _as_id(value: object) -> str:
    """61 and 61.0 are one id: a column of whole numbers with gaps is read as floats."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _districts(shapes: Shapes, numbers: NDArray[np.intp]) -> _Districts:
    work = choose_work_crs(shapely.total_bounds(shapes).tolist()).crs
    moved = _in_metres(shapes, work)
    shapely.prepare(moved)
    return _Districts(work, moved, numbers, shapely.STRtree(_segments(moved)))


def _point_figures(
    trial: _Trial, right: BoolArray, right_before: BoolArray, cells: NDArray[np.intp], points: _RecordedPoints
) -> PointFigures:
    border_m = points.districts.border_m(trial.x, trial.y)
    near = tuple(
        Near(within, int(np.count_nonzero(border_m <= within)), int(np.count_nonzero(right & (border_m <= within))))
        for within in NEAR_M
    )
    gain = right.astype(np.int64) - right_before
    return PointFigures(_evidence(trial, gain, cells), int(np.count_nonzero(right)), near)


# --- two layers that should share lines -------------------------------------------------------------------------------


def fit_lines(layer: ArrayLike, other: ArrayLike, declared: Reading) -> LineFit:
    """Try every pair of datums of two layers (degrees): how far are the vertices of `layer` from the lines of `other`?

    A reading is named only if it is better at significantly more places *and* at least halves the median distance: layers
    that share few lines fit about equally badly whatever their datum.
    """
    lines: Shapes = np.asarray(other, object)
    work = choose_work_crs(shapely.total_bounds(lines).tolist()).crs
    tree = shapely.STRtree(_segments(_in_metres(lines, work)))
    vertices = np.unique(shapely.get_coordinates(np.asarray(layer, object)), axis=0)
    vertices = vertices[:: -(-len(vertices) // MAX_VERTICES) or 1]
    trials = _trials(vertices[:, 0], vertices[:, 1], declared, work)
    distances = [_nearest_m(tree, trial) for trial in trials]
    cells = _cells(trials[0])
    figures = [_line_figures(trial, found, distances[0], cells) for trial, found in zip(trials, distances, strict=True)]
    before = figures[0].median_m
    better = [one for one in figures[1:] if one.evidence.p <= P_MAX and one.median_m <= GAIN * before]
    best = min(better, key=lambda one: one.median_m, default=None)
    return LineFit(declared, tuple(figures), len(vertices), best)


def _nearest_m(tree: shapely.STRtree, trial: _Trial) -> FloatArray:
    distances = np.full(trial.x.size, np.nan)
    (rows, _), found = tree.query_nearest(shapely.points(trial.x, trial.y), return_distance=True, all_matches=False)
    distances[rows] = found
    return distances


def _line_figures(trial: _Trial, distance: FloatArray, before: FloatArray, cells: NDArray[np.intp]) -> LineFigures:
    gain = np.sign(np.round(before - distance, 3)).astype(np.int64)  # 1 mm is no difference
    quarter, median = np.quantile(distance, (0.25, 0.5)) if distance.size else (np.nan, np.nan)
    return LineFigures(_evidence(trial, gain, cells), float(median), float(quarter))


# --- readings ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """The first side in metres of the second under one reading."""

    ways: tuple[Reading, ...]
    x: FloatArray
    y: FloatArray
    shift_m: float


_TELLABLE = (Datum.WGS84, Datum.GCJ02, Datum.BD09)


def _trials(lon: FloatArray, lat: FloatArray, declared: Reading, work: pyproj.CRS) -> tuple[_Trial, ...]:
    """The declared reading, then every other that comes to another place, in one fixed order.

    The layer stays where it is, in its own degrees; the points are moved into those degrees.
    """
    trials = [_Trial((declared,), *_moved(lon, lat, declared, work), 0.0)]
    for ways in _other_readings(declared):
        x, y = _moved(lon, lat, ways[0], work)
        if all(_mean_distance_m(x, y, known) > SAME_M for known in trials):
            trials.append(_Trial(ways, x, y, _mean_distance_m(x, y, trials[0])))
    return tuple(trials)


def _mean_distance_m(x: FloatArray, y: FloatArray, other: _Trial) -> float:
    distance = np.hypot(x - other.x, y - other.y)
    distance = distance[np.isfinite(distance)]
    return float(distance.mean()) if distance.size else 0.0


def _moved(lon: FloatArray, lat: FloatArray, reading: Reading, work: pyproj.CRS) -> Pair:
    return to_work(*change_datum(lon, lat, reading.first, reading.second), System(None, Datum.WGS84), work)


def _other_readings(declared: Reading) -> Iterator[tuple[Reading, ...]]:
    """Grouped by what can be told apart: that both sides are of one datum, whichever, is one relation."""
    agreed = _plain(declared.first) is _plain(declared.second)
    if not agreed:
        yield Reading(declared.second, declared.second), Reading(declared.first, declared.first)
    for first in _TELLABLE:
        for second in _TELLABLE:
            if first is not second:
                yield (_kept(first, second, declared),)


def _kept(first: Datum, second: Datum, declared: Reading) -> Reading:
    """CGCS2000 stays CGCS2000 where it is not what changes."""
    same_first, same_second = _plain(declared.first) is first, _plain(declared.second) is second
    return Reading(declared.first if same_first else first, declared.second if same_second else second)


def _plain(datum: Datum) -> Datum:
    return Datum.WGS84 if datum is Datum.CGCS2000 else datum


def _cells(trial: _Trial) -> NDArray[np.intp]:
    """A number for each 1 km cell of the declared places, one per row."""
    columns, rows = np.floor(trial.x / CELL_M), np.floor(trial.y / CELL_M)
    _, numbers = np.unique(np.stack([columns, rows], axis=1), axis=0, return_inverse=True)
    return np.asarray(numbers, np.intp).ravel()


def _evidence(trial: _Trial, gain: NDArray[np.int64], cells: NDArray[np.intp]) -> Evidence:
    """`gain` per row: 1 where only this reading is right (or nearer), -1 where only the declared one, 0 where alike."""
    net = np.bincount(cells, weights=gain)
    won, lost = int(np.count_nonzero(net > 0)), int(np.count_nonzero(net < 0))
    return Evidence(trial.ways, trial.shift_m, won, lost, sign_test(won, lost))


def sign_test(won: int, lost: int) -> float:
    """Chance that a fair coin wins at least `won` of `won + lost` tosses; exact."""
    total = won + lost
    ways = sum_of_ways = comb(total, won)
    for heads in range(won, total):
        ways = ways * (total - heads) // (heads + 1)
        sum_of_ways += ways
    return float(sum_of_ways / (1 << total))


def _even_sample(lon: FloatArray, lat: FloatArray, number: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """At most so many rows, at even steps of their sorted order, so that the order of the file does not matter."""
    step = -(-lon.size // most) or 1
    return np.lexsort((number, lat, lon))[::step]


def _in_metres(shapes: Shapes, work: pyproj.CRS) -> Shapes:
    return geometries_to_work(shapes, System(None, Datum.WGS84), work)


def _segments(shapes: Shapes) -> Shapes:
    """The borders, edge by edge: a tree of edges answers a nearest query much faster than one of whole borders."""
    lines = np.where(shapely.get_dimensions(shapes) == 2, shapely.boundary(shapes), shapes)
    parts = shapely.get_parts(shapely.get_parts(lines))
    xy, owner = shapely.get_coordinates(parts, return_index=True)
    joined = np.flatnonzero(owner[:-1] == owner[1:])
    return np.asarray(shapely.linestrings(np.stack([xy[joined], xy[joined + 1]], axis=1)), object)
