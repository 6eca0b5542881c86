"""Located points: what counts as a number, what counts as a place, and how coarse coordinates widen the error."""

from __future__ import annotations

import decimal
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyproj
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geodata.crs import Datum, NotDegrees, System, change_datum, parse_crs, system, to_work
from geodata.points import (
    SENTENCES,
    BadErrorRadius,
    LatLonSwapped,
    Located,
    LocationError,
    MissingColumn,
    OnePlace,
    PointColumns,
    UnequalColumns,
    half_cell_m,
    locate,
)

WORK = pyproj.CRS.from_epsg(4547)
WGS84 = system(None, "wgs84")
LONLAT = PointColumns("lon", "lat", WGS84)
_west, _east = (to_work(lon, lat, WGS84, WORK) for lon, lat in ((113.4, 34.6), (113.9, 35.0)))
EXTENT = (float(_west[0]), float(_west[1]), float(_east[0]), float(_east[1]))


def located(lon, lat, of=LONLAT, extent=EXTENT, **more) -> Located:
    return locate({"lon": lon, "lat": lat, **more}, of, WORK, extent)


def codes(lon, lat, **more) -> list[str | None]:
    """Beside three good rows, so that one bad row is not most of the file."""
    good = ["113.6171", "113.6172", "113.6173"]
    found = located([*good, *lon], [*["34.8676"] * 3, *lat], **more)
    assert list(found.location_error[:3]) == [None] * 3
    return list(found.location_error[3:])


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["113.6171", " 113.6171 ", "\t113.6171", "+113.6171", "1.136171e2", "1136171E-4", "00113.6171"]
)
def test_text_that_is_a_number(text):
    assert located([text], ["34.8676"]).x == located([113.6171], [34.8676]).x


@pytest.mark.parametrize(
    "text",
    [
        "1_13.6",
        "true",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "null",
        "113,6",
        "113.6E",
        "１１３.６",
        "113.6°",
        "0x71",
        "1e400",
        ".",
        "+",
        "1 13",
    ],
)
def test_text_that_is_none(text):
    assert codes([text], ["34.8676"]) == ["not_a_number"]


@pytest.mark.parametrize("nothing", ["", "  ", None])
def test_blank_is_missing(nothing):
    assert codes([nothing, "113.6"], ["34.8676", nothing]) == ["missing", "missing"]


@pytest.mark.parametrize(
    "column",
    [
        np.array([113.61, np.nan, np.inf]),
        pd.Series([113.61, np.nan, np.inf], index=[7, 8, 9]),
        pd.Series([113.61, None, np.inf], dtype="Float64"),
        pd.Series(["113.61", None, "inf"]),
        pd.Series(["113.61", None, "inf"], dtype="category"),
        pd.Series([113.61, None, "inf"], dtype=object),
        pd.Series(["113.61", pd.NA, False], dtype=object),
        pd.Series([113.61, None, True], dtype=object),
        pd.Series([decimal.Decimal("113.61"), None, "x"], dtype=object),
        pa.array(["113.61", None, "x"]),
        pa.chunked_array([["113.61"], [None, "x"]]),
        pa.array([113.61, None, float("inf")]),
        [113.61, float("nan"), b"113.61"],
    ],
)
def test_columns_of_any_kind(column):
    found = located(column, [34.8676] * 3, PointColumns("lon", "lat", WGS84, error_m=1.0))
    assert list(found.location_error) == [None, "missing", "not_a_number"]
    assert found.x[0] == located([113.61], [34.8676]).x[0]
    assert list(found.ok) == [True, False, False]
    assert np.isnan(found.x[1:]).all()
    assert np.isnan(found.error_m[1:]).all()


@pytest.mark.parametrize("column", [[True, True], pd.to_datetime(["2024-01-01", "2024-01-02"]), np.array([b"1", b"2"])])
def test_columns_of_other_things(column):
    assert list(located(column, [34.8, 34.8]).location_error) == ["not_a_number"] * 2


# --- places -----------------------------------------------------------------------------------------------------------


def test_codes_of_places():
    lon = ["181", "-200.5", "0", "34.8676", "121.47", "113.61"]
    lat = ["34.8", "91", "0", "113.6171", "31.23", "35.7"]
    expected = ["out_of_range", "out_of_range", "zero_zero", "swapped", "far_outside", None]  # 80 km off is located
    assert codes(lon, lat) == expected


def test_swapped_rows_are_named_never_exchanged():
    found = located(["113.6171", "34.8676", "113.62"], ["34.8676", "113.6171", "34.8"])
    assert list(found.ok) == [True, False, True]
    assert np.isnan(found.x[1])
    (note,) = (one for one in found.notes if one.code == "swapped")
    assert (note.rows, note.first) == (1, 2)
    assert "互换" in note.text("zh-CN")


def test_swapped_file_is_refused():
    with pytest.raises(LatLonSwapped) as caught:
        located([34.8676, 34.87, np.nan], [113.6171, 113.62, 113.6])
    assert caught.value.facts["count"] == 2
    for lang in ("zh-CN", "en"):
        assert "--lon lat --lat lon" in caught.value.text(lang)


def test_swapped_within_the_range_of_degrees():
    """At 40 N 40 E both readings are places: only the one far outside is suspected, and only if the other is inside."""
    work = pyproj.CRS.from_epsg(32637)
    west, east = (to_work(lon, lat, WGS84, work) for lon, lat in ((40.0, 38.0), (40.5, 38.4)))
    extent = (float(west[0]), float(west[1]), float(east[0]), float(east[1]))
    columns = {"lon": [40.20001, 38.20001, 40.30001], "lat": [38.20001, 40.20001, 40.30001]}
    assert list(locate(columns, LONLAT, work, extent).location_error) == [None, "swapped", "far_outside"]


def test_a_drawn_city_may_stand_at_zero():
    of = PointColumns("x", "y", system(32650, None))
    work = pyproj.CRS.from_epsg(32650)
    columns = {"x": [0, 5], "y": [0, 5]}
    assert locate(columns, of, work, (0.0, 0.0, 10.0, 10.0)).ok.all()
    assert list(locate(columns, of, work, (500.0, 500.0, 510.0, 510.0)).location_error) == ["zero_zero", None]


@pytest.mark.parametrize("datum", ["wgs84", "cgcs2000", "gcj02", "bd09"])
def test_datums_are_undone(datum):
    lon, lat = change_datum([113.61711], [34.86761], system(None, "wgs84").datum, system(None, datum).datum)
    found = located(lon, lat, PointColumns("lon", "lat", system(4326, datum)))
    plain = located([113.61711], [34.86761])
    assert np.hypot(found.x - plain.x, found.y - plain.y)[0] < 1e-6


def test_projected_columns():
    of = PointColumns("e", "n", system(4526, None), error_m=2.0)
    found = locate({"e": ["38464980", "3860000"], "n": ["3860000", "38464980"]}, of, WORK, EXTENT)
    assert list(found.location_error) == [None, "swapped"]
    assert (found.x[0], found.y[0]) == (pytest.approx(464_980), pytest.approx(3_860_000))
    assert found.error_m[0] == 2.0  # metres are taken at their word


def test_metres_declared_as_degrees():
    with pytest.raises(NotDegrees, match="lon, lat"):
        located([464_980.0], [3_860_000.0])


# --- error ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lon", "lat", "decimals"),
    [
        (113.0, 35.0, 0),
        (113.6, 34.9, 1),
        (113.6, 34.87, 2),
        ("113.600", "34.9", 1),  # zeros at the end say nothing: some writers pad
        ("114.000000", "35.000000", 0),
        (113.6, 34.8676, 4),
        (113.6, 34.86761, None),
        ("1.13e2", "3.48e1", 1),
    ],
)
def test_few_decimals_widen(lon, lat, decimals):
    found = located([lon], [lat], PointColumns("lon", "lat", WGS84, error_m=10.0))
    assert found.ok[0]
    assert found.widened[0] == (decimals is not None)
    cell = 0.0 if decimals is None else half_cell_m(np.array([float(lat)]), np.array([decimals]))[0]
    assert found.error_m[0] == pytest.approx(np.hypot(10.0, cell))


def test_half_a_cell_is_what_rounding_can_move():
    corner = pyproj.Geod(ellps="WGS84").inv(113.6, 34.87, 113.605, 34.875)[2]
    assert half_cell_m(np.array([34.8725]), np.array([2]))[0] == pytest.approx(corner, rel=1e-3)


def test_whole_degrees_are_kept_widened_and_noted():
    found = located([113.6171, 114], [34.8676, 35], PointColumns("lon", "lat", WGS84))
    assert found.ok.all()
    assert found.error_m[1] == pytest.approx(71_800, rel=0.01)
    assert "--" not in found.notes[-1].text("en")
    assert "2 rows" in found.notes[-1].text("en")


@given(st.integers(-180 * 10**7, 180 * 10**7), st.integers(0, 7))
def test_decimals_are_those_of_the_shortest_form(number, places):
    value = round(number / 10**7, places)
    written = (
        repr(value).split(".")[-1] if "e" not in repr(value) else f"{decimal.Decimal(repr(value)):f}".split(".")[-1]
    )
    expected = 0 if written == "0" else len(written)
    found = located([value], [34.0], extent=None)
    assert bool(found.widened[0]) == (expected < 5) or not found.ok[0]
    if found.widened[0]:
        assert found.error_m[0] == half_cell_m(np.array([34.0]), np.array([expected]))[0]


def test_float32_is_judged_as_float32():
    lon = np.array([113.6, 113.62, 113.6171, 113.61712], np.float32)
    found = located(lon, np.full(4, 34, np.float32))
    expected = half_cell_m(np.full(3, 34.0), np.array([1, 2, 4]))
    assert np.allclose(found.error_m, [*expected, 0.0])


def test_error_column():
    of = PointColumns("lon", "lat", WGS84, error_field="err")
    errors = ["5", "0", "-1", "nan", None, "inf", "x", "1e300"]
    found = located(["113.61711"] * 8, ["34.86761"] * 8, of, err=errors)
    assert list(found.location_error) == [None, None] + ["bad_error"] * 6
    assert list(found.error_m[:2]) == [5.0, 0.0]
    assert "err" in found.notes[0].text("zh-CN")


@pytest.mark.parametrize("error", [-1.0, float("nan"), float("inf"), 1e9])
def test_error_constant(error):
    with pytest.raises(BadErrorRadius, match="--error-m"):
        PointColumns("lon", "lat", WGS84, error_m=error)


# --- columns ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "option"),
    [
        (PointColumns("lng", "lat", WGS84), "--lon"),
        (PointColumns("lon", "y", WGS84), "--lat"),
        (PointColumns("e", "lat", system(4547, None)), "--x"),
        (PointColumns("lon", "lat", WGS84, error_field="err"), "--error-field"),
    ],
)
def test_missing_column_names_option_and_columns(of, option):
    with pytest.raises(MissingColumn) as caught:
        located([113.6], [34.8], of)
    for lang in ("zh-CN", "en"):
        assert option in caught.value.text(lang)
        assert "lon, lat" in caught.value.text(lang)


def test_columns_of_one_table():
    with pytest.raises(UnequalColumns):
        located([113.6, 113.7], [34.8])
    assert located([], []).x.size == 0
    frame = pd.DataFrame({"lon": [113.61711], "lat": [34.86761]})
    assert locate(frame, LONLAT, WORK, EXTENT).ok.all()


def test_every_code_of_a_place_has_its_sentence():
    of_times = {LocationError.BAD_TIME, LocationError.NAIVE_TIME}
    assert set(SENTENCES) == {code.value for code in LocationError if code not in of_times} | {"widened"}


@given(st.permutations(range(8)))
def test_rows_do_not_depend_on_their_neighbours(order):
    lon = np.array(["113.61711", "34.8", "0", "", "x", "113.6", "200", "121.5"], object)
    lat = np.array(["34.86761", "113.6", "0", "34", "34", "34.8", "10", "31.2"], object)
    plain, permuted = located(lon, lat), located(lon[order], lat[order])
    assert list(permuted.location_error) == list(plain.location_error[order])
    assert np.array_equal(permuted.x, plain.x[order], equal_nan=True)
    assert np.array_equal(permuted.error_m, plain.error_m[order], equal_nan=True)


def test_a_million_rows():
    rng = np.random.default_rng(0)
    lon, lat = np.round(rng.uniform(113.5, 113.9, 10**6), 6), np.round(rng.uniform(34.6, 34.9, 10**6), 6)
    start = time.perf_counter()
    found = located(lon, lat)
    print(f"1,000,000 rows located in {time.perf_counter() - start:.2f} s")
    assert found.ok.all()
    assert np.count_nonzero(found.widened) < 300  # six digits that happen to end in two zeros, twice


WORK = parse_crs("EPSG:4547")
BOX = (450_000.0, 3_840_000.0, 480_000.0, 3_870_000.0)


@given(
    st.floats(112.0, 115.0), st.floats(34.0, 35.5), st.integers(0, 12), st.sampled_from([0.0, 12.5, -1.0, 3e7]),
    st.sampled_from(list(Datum)),
)  # fmt: skip
@example(113.6, 34.75, 1, 0.0, Datum.WGS84)
@example(0.0, 0.0, 0, 0.0, Datum.WGS84)
@example(34.75123, 113.61234, 9, 0.0, Datum.WGS84)
def test_one_place_at_a_time_is_where_many_at_once_are(lon: float, lat: float, decimals: int, error: float, datum: Datum) -> None:
    lon, lat = round(lon, decimals), round(lat, decimals)
    found = OnePlace(datum, WORK, BOX)(lon, lat, error)
    if found is None:
        return
    columns = {"lon": np.array([lon]), "lat": np.array([lat]), "error": np.array([error])}
    many = locate(columns, PointColumns("lon", "lat", System(None, datum), error_field="error"), WORK, BOX)
    assert many.ok[0]
    assert not many.widened[0]
    assert found == (many.x[0], many.y[0], many.error_m[0])


def test_an_ordinary_place_needs_no_closer_look() -> None:
    for datum, quick in ((Datum.WGS84, True), (Datum.CGCS2000, True), (Datum.GCJ02, False), (Datum.BD09, False)):
        assert (OnePlace(datum, WORK, BOX)(113.617123, 34.8, 5.0) is not None) == quick
    assert OnePlace(Datum.WGS84, WORK, None)(113.617123, 34.8, 5.0) is None
    assert OnePlace(Datum.WGS84, WORK, BOX)(113.6, 34.8, 5.0) is None
