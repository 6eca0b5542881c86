"""From columns of numbers to located points: strict about what is a number, honest about what is a place.

A row is never dropped and never repaired: what cannot be located is named (`LocationError`), and its place is NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyproj
from numpy.typing import NDArray

from geodata.crs import BoolArray, Bounds, Datum, FloatArray, Pair, System, check_declared, one_to_work, to_work
from routing.errors import JieguanError, Lang

FAR_M = 100_000.0  # beyond the extent's box: another city, and metres of our zone no longer mean much there
WORLD_M = 20_040_000.0  # half the way around the earth: no place is less certain than that
ENOUGH_DECIMALS = 5  # 1e-5 degrees is 1 m; fewer decimals are a coarse grid: 1e-4 degrees, 6 m to its corner


class MissingColumn(JieguanError):
    zh = "找不到列“{column}”({option})。文件中的列:{there}。请用 {option} 指定其中之一。"
    en = "There is no column {column!r} ({option}). The columns are: {there}. Name one of them with {option}."


class UnequalColumns(JieguanError):
    zh = "列“{column}”有 {count} 行,而列“{other}”有 {expected} 行:各列应属于同一张表。"
    en = "Column {column!r} has {count} rows and {other!r} {expected}: columns of one table have one length."


class BadErrorRadius(JieguanError):
    zh = "{field}={value} 不能作为误差:误差是以米计的半径,应为不小于 0 的数,且不超过地球半周(2004 万米)。"
    en = "{field}={value} is no error radius: it is in metres, not below 0 and not beyond half the way around the earth (20,040,000)."


class LatLonSwapped(JieguanError):
    zh = (
        "{count}/{total} 行的列“{x}”与“{y}”互换后才落在范围内(如 {sample}):经纬度(或横纵坐标)看来颠倒了。"
        "若确实如此,请写 {x_option} {y} {y_option} {x};程序不会自行调换。"
    )
    en = (
        "{count} of {total} rows fall within the extent only with columns {x!r} and {y!r} exchanged (such as {sample}): "
        "the axes look swapped. If they are, say {x_option} {y} {y_option} {x}; they are never exchanged silently."
    )


class LocationError(StrEnum):
    """Why a row has no place. The first that applies, in this order. The last two are for readers of times."""

    MISSING = "missing"
    NOT_A_NUMBER = "not_a_number"
    ZERO_ZERO = "zero_zero"
    SWAPPED = "swapped"
    OUT_OF_RANGE = "out_of_range"
    FAR_OUTSIDE = "far_outside"
    BAD_ERROR = "bad_error"
    BAD_TIME = "bad_time"
    NAIVE_TIME = "naive_time"


SENTENCES: Mapping[str, Mapping[Lang, str]] = {
    "missing": {
        "zh-CN": "{rows} 行没有坐标(首见于第 {first} 行):转值班中队;请补录 {x}、{y}。",
        "en": "{rows} rows have no coordinates (first: row {first}): they go to the duty squad. Fill in {x} and {y}.",
    },
    "not_a_number": {
        "zh-CN": "{rows} 行的坐标不是数字(首见于第 {first} 行):{x}、{y} 须写成 113.6171 的形式,半角数字,小数点为“.”。",
        "en": "{rows} rows have coordinates that are no numbers (first: row {first}): write {x} and {y} like 113.6171.",
    },
    "zero_zero": {
        "zh-CN": "{rows} 行的坐标为 0, 0(首见于第 {first} 行):多为定位失败的占位值,不是地点;请补录。",
        "en": "{rows} rows are at 0, 0 (first: row {first}): that stands for a failed fix, no place. Fill them in.",
    },
    "swapped": {
        "zh-CN": "{rows} 行的 {x} 与 {y} 互换后才落在范围内(首见于第 {first} 行):请在来源处更正,程序不会自行调换。",
        "en": "{rows} rows fall within the extent only with {x} and {y} exchanged (first: row {first}): correct them.",
    },
    "out_of_range": {
        "zh-CN": "{rows} 行的坐标超出 {system} 的取值范围(首见于第 {first} 行):请核对 {x}、{y} 和所声明的坐标系。",
        "en": "{rows} rows are outside the range of {system} (first: row {first}): check {x}, {y} and the system.",
    },
    "far_outside": {
        "zh-CN": "{rows} 行远在范围之外(首见于第 {first} 行,超出 {far_km} 公里):请核对 {x}、{y}、坐标系和基准。",
        "en": "{rows} rows are over {far_km} km outside the extent (first: row {first}): check {x}, {y} and datum.",
    },
    "bad_error": {
        "zh-CN": "{rows} 行的误差不是 0 至 2004 万之间的数(首见于第 {first} 行):不知误差便不知有没有越界;请补录 {error}。",
        "en": "{rows} rows have an error that is no number from 0 to 20,040,000 (first: row {first}): fill in {error} or omit it.",
    },
    "widened": {
        "zh-CN": "{rows} 行的经纬度少于 5 位小数(首见于第 {first} 行):误差已放大,最大 {worst_m} 米。",
        "en": "{rows} rows have fewer than 5 decimals (first: row {first}): error widened, to at most {worst_m} m.",
    },
}


@dataclass(frozen=True, slots=True)
class PointColumns:
    """Which columns hold the place, and what they mean. `x` is longitude or easting, `y` latitude or northing.

    The error of a row is `error_m`, or what its column `error_field` says.
    """

    x: str
    y: str
    system: System
    error_m: float = 0.0
    error_field: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.error_m <= WORLD_M:
            raise BadErrorRadius(field="--error-m", value=self.error_m)

    @property
    def options(self) -> tuple[str, str]:
        """The options that name the two columns."""
        return ("--lon", "--lat") if self.system.geographic else ("--x", "--y")


@dataclass(frozen=True, slots=True)
class Note:
    """What happened to how many rows: a `LocationError` code, or `widened`. `first` is a row number from 1."""

    code: str
    rows: int
    first: int
    facts: tuple[tuple[str, str], ...] = ()

    def text(self, lang: Lang) -> str:
        return SENTENCES[self.code][lang].format(rows=self.rows, first=self.first, **dict(self.facts))


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """One entry per row, in order. `x`, `y`, `error_m`: metres of the work CRS, NaN where not `ok`.

    `location_error`: None or a LocationError's value. `widened`: its few decimals say less than its stated error.
    """

    x: FloatArray
    y: FloatArray
    error_m: FloatArray
    ok: BoolArray
    widened: BoolArray
    location_error: NDArray[np.object_]
    notes: tuple[Note, ...]


def locate(
    columns: Mapping[str, Any],
    of: PointColumns,
    work: pyproj.CRS,
    extent: Bounds | None = None,
    far_m: float = FAR_M,
) -> Located:
    """Place every row in metres of `work`; `extent` (xmin, ymin, xmax, ymax in those metres) tells far and swapped.

    Columns: numpy, pandas, Arrow or lists; numbers or text. Text is a number if it is one in plain ASCII (`113.6`,
    `+1e2`, spaces around it); `nan`, `inf`, `true`, `1_1`, `113,6` and full-width digits are none. Null, NaN and blank
    text are missing. Degrees of fewer than 5 decimals (in the longer of the pair, zeros at the end not counted, so that
    `114.000000` in a CSV is the 114 of a Parquet file) widen the error by half the diagonal of their grid cell;
    projected metres are taken at their word.

    Raises MissingColumn, UnequalColumns, LatLonSwapped (most rows), and what `check_declared` raises.
    """
    x, y, error = _columns(columns, of)
    found = _Findings(x.values.size)
    found.add(x.missing | y.missing, LocationError.MISSING)
    found.add(x.wrong | y.wrong, LocationError.NOT_A_NUMBER)
    with_numbers = found.free()
    check_declared(x.values[with_numbers], y.values[with_numbers], of.system, f"{of.x}, {of.y}", "--crs")
    place = _Place(of.system, work, extent, far_m)
    px, py = _find_places(x.values, y.values, place, found)
    _refuse_swapped_file(x.values, y.values, of, found, int(np.count_nonzero(with_numbers)))
    error_m, widened = _error(x, y, error, of, found)
    return _located(px, py, error_m, widened, found, of, far_m)


class OnePlace:
    """Places plain longitudes and latitudes one at a time: the numbers of `locate`, or None for all that takes a closer look."""

    def __init__(self, datum: Datum, work: pyproj.CRS, extent: Bounds | None) -> None:
        self._move, self._extent = one_to_work(datum, work), extent

    def __call__(self, lon: float, lat: float, error_m: float) -> tuple[float, float, float] | None:
        """Metres of the work CRS and the error; None unless it lies within the extent's box, with decimals enough."""
        if self._move is None or self._extent is None or not (abs(lon) <= 180 and abs(lat) <= 90 and 0 <= error_m <= WORLD_M):
            return None
        if _few_decimals(lon) and _few_decimals(lat):
            return None
        x, y = self._move(lon, lat)
        west, south, east, north = self._extent
        return (x, y, error_m) if west <= x <= east and south <= y <= north else None


def _few_decimals(value: float) -> bool:
    scale = 10.0 ** (ENOUGH_DECIMALS - 1)
    return round(value * scale) / scale == value


def numbers_of(columns: Mapping[str, Any], of: PointColumns) -> Pair:
    """The two columns as numbers, NaN where a row has none. Raises MissingColumn, UnequalColumns."""
    x, y, _ = _columns(columns, of)
    return np.where(x.missing | x.wrong, np.nan, x.values), np.where(y.missing | y.wrong, np.nan, y.values)


# --- numbers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Numbers:
    """A column as float64 (NaN where missing or wrong), and the decimals of each, up to 5."""

    values: FloatArray
    missing: BoolArray
    wrong: BoolArray
    decimals: NDArray[np.int8]


def _columns(columns: Mapping[str, Any], of: PointColumns) -> tuple[_Numbers, _Numbers, _Numbers | None]:
    x_option, y_option = of.options
    x = _column(columns, of.x, x_option)
    y = _column(columns, of.y, y_option)
    error = _column(columns, of.error_field, "--error-field") if of.error_field is not None else None
    for name, column in ((of.y, y), (of.error_field, error)):
        if column is not None and column.values.size != x.values.size:
            raise UnequalColumns(column=name, count=column.values.size, other=of.x, expected=x.values.size)
    return x, y, error


def _column(columns: Mapping[str, Any], name: str, option: str) -> _Numbers:
    if name not in columns:
        raise MissingColumn(column=name, option=option, there=", ".join(str(one) for one in columns) or "-")
    return _numbers(_arrow(columns[name]))


def _arrow(column: Any) -> pa.Array:
    """Any column as one Arrow array; a mixed one as text, cell by cell."""
    if not isinstance(column, (pa.Array, pa.ChunkedArray)):
        try:
            column = _as_text(column) if _has_bools(column) else pa.array(column, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            column = _as_text(column)  # no fallback that hides: a cell that is no number stays none, and is named
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _has_bools(column: Any) -> bool:
    """Arrow reads [1.0, True] as two numbers."""
    cells = column if isinstance(column, (list, tuple)) else np.asarray(column) if hasattr(column, "dtype") else ()
    if isinstance(cells, np.ndarray) and cells.dtype != object:
        return False
    return any(isinstance(cell, (bool, np.bool_)) for cell in cells)


def _as_text(column: Any) -> pa.Array:
    import pandas as pd

    # pandas answers a list in a cell with an array
    return pa.array([None if pd.isna(cell) is True else str(cell) for cell in column], pa.string())


def _numbers(column: pa.Array) -> _Numbers:
    kind = column.type
    if pa.types.is_decimal(kind):
        column, kind = column.cast(pa.string()), pa.string()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _parsed(column.cast(pa.large_string()))
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind):
        return _plain(column)
    missing = column.is_null().to_numpy(zero_copy_only=False)  # dates, booleans, bytes: present, and no numbers
    return _Numbers(np.full(len(column), np.nan), missing, ~missing, np.zeros(len(column), np.int8))


def _plain(column: pa.Array) -> _Numbers:
    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    infinite = np.isinf(values)
    few = _decimals(values, single=column.type in (pa.float16(), pa.float32()))
    return _Numbers(np.where(infinite, np.nan, values), np.isnan(values), infinite, few)


_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?$"


def _parsed(column: pa.Array) -> _Numbers:
    """Text, strictly. RE2's character classes are ASCII, so full-width digits are no digits here."""
    text = pc.ascii_trim_whitespace(column)
    missing = pc.fill_null(pc.equal(text, ""), True).to_numpy(zero_copy_only=False)
    fits = pc.fill_null(pc.match_substring_regex(text, _NUMBER), False)
    clean = pc.if_else(fits, text, pa.scalar(None, pa.large_string()))
    values = clean.cast(pa.float64()).to_numpy(zero_copy_only=False)
    values = np.where(np.isinf(values), np.nan, values)  # 1e400
    return _Numbers(values, missing, np.isnan(values) & ~missing, _decimals(values))


def _decimals(values: FloatArray, *, single: bool = False) -> NDArray[np.int8]:
    """Decimals of the shortest form, at most 5 counted. `single`: the numbers came from float32, so judge them as such.

    A number has a form of d decimals if and only if it is the float nearest to some k / 10^d, and then k is at hand.
    """
    decimals = np.full(values.size, ENOUGH_DECIMALS, np.int8)  # NaN too: it equals nothing
    rows, left = np.arange(values.size), values
    for count in range(ENOUGH_DECIMALS - 1, -1, -1):
        with np.errstate(over="ignore"):  # 1e308
            rounded = np.rint(left * 10.0**count) / 10.0**count
        exact = rounded.astype(np.float32) == left.astype(np.float32) if single else rounded == left
        rows, left = rows[exact], left[exact]
        decimals[rows] = count
    return decimals


# --- places -----------------------------------------------------------------------------------------------------------


_CODES = tuple(LocationError)


class _Findings:
    """The first code of every row, as it is found: its number in LocationError, -1 for none yet."""

    def __init__(self, size: int) -> None:
        self.numbers = np.full(size, -1, np.int8)

    def free(self) -> BoolArray:
        return self.numbers < 0

    def add(self, rows: BoolArray, code: LocationError) -> None:
        self.numbers[rows & self.free()] = _CODES.index(code)

    def having(self, code: LocationError) -> NDArray[np.intp]:
        return np.flatnonzero(self.numbers == _CODES.index(code))

    def codes(self) -> NDArray[np.object_]:
        names: NDArray[np.object_] = np.array([*(code.value for code in _CODES), None], object)
        return names[self.numbers]


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Where a pair of numbers is, and how that lies to the extent."""

    system: System
    work: pyproj.CRS
    extent: Bounds | None
    far_m: float

    def of(self, x: FloatArray, y: FloatArray) -> Pair:
        """NaN where the numbers are no place of the system."""
        inside = (np.abs(x) <= 180) & (np.abs(y) <= 90) if self.system.geographic else np.isfinite(x)
        return to_work(np.where(inside, x, np.nan), np.where(inside, y, np.nan), self.system, self.work)

    def beyond_m(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """How far outside the extent's box, 0 inside, -1 where no extent is known."""
        if self.extent is None:
            return np.full(x.size, -1.0)
        west, south, east, north = self.extent
        outside = np.hypot(
            np.maximum(np.maximum(west - x, x - east), 0), np.maximum(np.maximum(south - y, y - north), 0)
        )
        return np.asarray(outside, np.float64)


def _find_places(x: FloatArray, y: FloatArray, place: _Place, found: _Findings) -> Pair:
    px, py = place.of(x, y)
    outside = place.beyond_m(px, py)
    # (0, 0) may be a corner of a drawn city; elsewhere it stands for no fix
    found.add((x == 0) & (y == 0) & (outside != 0), LocationError.ZERO_ZERO)
    nowhere, far = np.isnan(px), outside > place.far_m
    doubtful = np.flatnonzero((nowhere | far) & found.free())
    swapped = np.zeros(x.size, np.bool_)
    swapped[doubtful] = place.beyond_m(*place.of(y[doubtful], x[doubtful])) == 0
    found.add(swapped, LocationError.SWAPPED)
    found.add(nowhere, LocationError.OUT_OF_RANGE)
    found.add(far, LocationError.FAR_OUTSIDE)
    return px, py


def _refuse_swapped_file(x: FloatArray, y: FloatArray, of: PointColumns, found: _Findings, total: int) -> None:
    rows = found.having(LocationError.SWAPPED)
    if 2 * rows.size <= total:
        return
    x_option, y_option = of.options
    sample = f"{x[rows[0]]:.9g}, {y[rows[0]]:.9g}"
    options = {"x_option": x_option, "y_option": y_option}
    raise LatLonSwapped(count=rows.size, total=total, x=of.x, y=of.y, sample=sample, **options)


def _error(
    x: _Numbers, y: _Numbers, error: _Numbers | None, of: PointColumns, found: _Findings
) -> tuple[FloatArray, BoolArray]:
    stated = np.full(x.values.size, of.error_m) if error is None else error.values
    found.add(~((stated >= 0) & (stated <= WORLD_M)), LocationError.BAD_ERROR)
    if not of.system.geographic:
        return stated, np.zeros(x.values.size, np.bool_)
    decimals = np.maximum(x.decimals, y.decimals)  # 113.6, 34.75123: the zeros of the first were not written
    coarse = (decimals < ENOUGH_DECIMALS) & found.free()
    wide = stated.copy()
    wide[coarse] = np.hypot(stated[coarse], half_cell_m(y.values[coarse], decimals[coarse]))
    return wide, coarse


def half_cell_m(lat: FloatArray, decimals: NDArray[np.int8]) -> FloatArray:
    """Half the diagonal of a cell of 10^-decimals degrees, metres: how far rounding to it moves a point at most."""
    sine = np.sin(np.radians(lat))
    curve = 1 - 0.00669437999014 * sine * sine
    north = np.radians(6378137.0 * (1 - 0.00669437999014) / curve**1.5)
    east = np.radians(6378137.0 * np.sqrt(1 - sine * sine) / np.sqrt(curve))
    return np.asarray(np.hypot(north, east) / 2 * 10.0 ** -decimals.astype(np.float64), np.float64)


def _located(
    x: FloatArray,
    y: FloatArray,
    error_m: FloatArray,
    widened: BoolArray,
    found: _Findings,
    of: PointColumns,
    far_m: float,
) -> Located:
    ok = found.free()
    columns = [np.where(ok, column, np.nan) for column in (x, y, error_m)]
    facts = {
        "x": of.x,
        "y": of.y,
        "system": of.system.text,
        "error": of.error_field or "-",
        "far_km": f"{far_m / 1000:g}",
    }
    if widened.any():
        facts["worst_m"] = f"{error_m[widened].max():.3g}"
    notes = tuple(_notes(found, widened, tuple(sorted(facts.items()))))
    return Located(columns[0], columns[1], columns[2], ok, widened, found.codes(), notes)


def _notes(found: _Findings, widened: BoolArray, facts: tuple[tuple[str, str], ...]) -> Iterator[Note]:
    for code in LocationError:
        rows = found.having(code)
        if rows.size:
            yield Note(code.value, rows.size, int(rows[0]) + 1, facts)
    if widened.any():
        yield Note("widened", int(np.count_nonzero(widened)), int(widened.argmax()) + 1, facts)
