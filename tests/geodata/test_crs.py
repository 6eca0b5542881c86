"""Coordinates: the shifts against PRCoords, the projections against pyproj, and declarations the numbers contradict."""

from __future__ import annotations

import string
import warnings

import numpy as np
import prcoords
import pyproj
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st

from geodata import crs, datum, points, work_crs
from geodata.crs import Datum, System, system, to_work
from geodata.work_crs import choose_work_crs, given_work_crs
from routing.errors import JieguanError

CHINA_LON = st.floats(72.004, 137.8347)
CHINA_LAT = st.floats(0.8293, 55.8271)
ZHENGZHOU = (113.4, 34.6, 113.9, 35.0)
WORK = pyproj.CRS.from_epsg(4547)
SHIFTS = [
    (crs.wgs84_to_gcj02, crs.gcj02_to_wgs84, prcoords.wgs_gcj),
    (crs.wgs84_to_bd09, crs.bd09_to_wgs84, prcoords.wgs_bd),
    (crs.gcj02_to_bd09, crs.bd09_to_gcj02, prcoords.gcj_bd),
]
GEOD = pyproj.Geod(ellps="WGS84")


def metres(lon, lat, other_lon, other_lat):
    return GEOD.inv(lon, lat, other_lon, other_lat)[2]


def china(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(72.004, 137.8347, n), rng.uniform(0.8293, 55.8271, n)


# --- shifts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("forward", "inverse", "oracle"), SHIFTS)
def test_forward_is_prcoords(forward, inverse, oracle):
    rng = np.random.default_rng(1)
    lon, lat = np.concatenate([china(2_000), (rng.uniform(-180, 180, 500), rng.uniform(-80, 80, 500))], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # outside China it warns, and returns the point as it is
        expected = np.array([oracle((y, x)) for x, y in zip(lon, lat, strict=True)])
    got = forward(lon, lat)
    assert np.abs(got[0] - expected[:, 1]).max() < 1e-13
    assert np.abs(got[1] - expected[:, 0]).max() < 1e-13


@pytest.mark.parametrize(("forward", "inverse", "oracle"), SHIFTS)
def test_round_trip_within_a_micrometre(forward, inverse, oracle):
    lon, lat = china(100_000)
    tiny = 10.0 ** np.random.default_rng(2).uniform(-15, -2, 50_000)
    lon[:50_000] = 105 + np.where(lat[:50_000] > 25, tiny, -tiny)  # where sqrt|lon - 105| is steep
    lon[-4:], lat[-4:] = [72.004, 137.8347, 100, 100], [30, 30, 0.8293, 55.8271]  # the box's own edges
    back = inverse(*forward(lon, lat))
    worst = metres(lon, lat, *back).max()
    print(f"{inverse.__name__}: at most {worst:.2g} m")
    assert worst <= 1e-6


@pytest.mark.parametrize(("forward", "inverse", "oracle"), SHIFTS)
@given(lon=CHINA_LON, lat=CHINA_LAT)
@example(lon=105.0, lat=35.0)
@example(lon=105.0 - 1e-12, lat=55.8271)
@example(lon=72.004, lat=0.8293)
@example(lon=137.8347, lat=55.8271)
def test_round_trip_anywhere_in_china(forward, inverse, oracle, lon, lat):
    assert metres(lon, lat, *inverse(*forward(lon, lat))) <= 1e-6


@pytest.mark.parametrize(("forward", "inverse", "oracle"), SHIFTS)
def test_many_equal_each(forward, inverse, oracle):
    lon, lat = china(40_000)  # more than one part
    for shift in (forward, inverse):
        x, y = shift(lon, lat)
        rows = np.arange(0, 40_000, 1_601)
        each = np.array([shift(lon[row], lat[row]) for row in rows])
        assert np.array_equal(each, np.stack([x[rows], y[rows]], axis=1))


def test_outside_the_box_nothing_moves_and_comes_back_unmoved():
    lon, lat = np.array([-74.0, 140.0, 113.0, 100.0]), np.array([40.7, 36.0, -1.0, 60.0])
    assert np.array_equal(crs.wgs84_to_gcj02(lon, lat), (lon, lat))
    assert np.array_equal(crs.gcj02_to_wgs84(lon, lat), (lon, lat))
    assert not crs.in_china_box(lon, lat).any()
    assert crs.in_china_box(*china(100)).all()
    assert metres(lon, lat, *crs.bd09_to_wgs84(*crs.wgs84_to_bd09(lon, lat))).max() <= 1e-6


def test_the_edge_of_the_box():
    """The offset points east in China: west of the box nothing arrives, east of it land pairs from inside."""
    assert crs.gcj02_to_wgs84(72.0039, 30.0) == (72.0039, 30.0)
    hidden = 137.8350, 38.0
    inside = crs.gcj02_to_wgs84(*hidden)
    assert crs.in_china_box(*inside)
    assert metres(*crs.wgs84_to_gcj02(*inside), *hidden) < 1e-6
    unreached = crs.gcj02_to_wgs84(72.0041, 30.0)
    assert 100 < metres(*unreached, 72.0041, 30.0) < 1_000


def test_nan_stays_nan_and_shapes_stay():
    for forward, inverse, _ in SHIFTS:
        for shift in (forward, inverse):
            x, y = shift([[113.0, np.nan, 113.0]], [[34.0, 34.0, np.nan]])
            assert x.shape == y.shape == (1, 3)
            assert np.isfinite(x[0, 0])
            assert np.isnan(x[0, 1])
            assert np.isnan(y[0, 2])
            assert shift([], [])[0].size == 0


@pytest.mark.parametrize(
    ("wgs84", "gcj02"),
    [  # the published test points of eviltransform
        ((121.5272106, 31.1774276), (121.531541859215, 31.17530398364597)),
        ((113.912316, 22.543847), (113.9171764808363, 22.540796131694766)),
        ((116.377817, 39.911954), (116.38404722455657, 39.91334545536069)),
    ],
)
def test_published_points(wgs84, gcj02):
    assert metres(*crs.wgs84_to_gcj02(*wgs84), *gcj02) < 1e-6


def test_cgcs2000_is_wgs84():
    lon, lat = china(1_000)
    for source, target in ((Datum.WGS84, Datum.CGCS2000), (Datum.CGCS2000, Datum.WGS84)):
        assert np.array_equal(crs.change_datum(lon, lat, source, target), (lon, lat))
    places = [to_work(113.6, 34.7, of, WORK) for of in (system(None, "wgs84"), system(4490, None), system(4326, None))]
    assert places[0] == places[1] == places[2]


@pytest.mark.parametrize("text", ["gcj02", "GCJ-02", " gcj_02 ", "Gcj 02"])
def test_datum_names(text):
    assert crs.parse_datum(text) is Datum.GCJ02


@pytest.mark.parametrize("text", ["", "mars", "bd09mc", "4326", "xian80"])
def test_unknown_datum_names_field_value_and_known(text):
    with pytest.raises(crs.UnknownDatum) as caught:
        crs.parse_datum(text, "--territories-datum")
    for lang in ("zh-CN", "en"):
        said = caught.value.text(lang)
        assert "--territories-datum" in said
        assert text in said
        assert "wgs84, cgcs2000, gcj02, bd09" in said


# --- systems ----------------------------------------------------------------------------------------------------------


def test_projected_as_pyproj_says():
    there = pyproj.Transformer.from_crs(4490, 4547, always_xy=True).transform(113.617, 34.868)
    assert to_work(113.617, 34.868, system(None, "cgcs2000"), WORK) == there
    east, north = np.array(there)[:, None]
    for code, prefix in ((4547, 0), (4526, 38_000_000)):
        x, y = to_work(east + prefix, north, system(code, None), WORK)
        assert np.hypot(x - east, y - north).max() < 1e-6


@pytest.mark.parametrize(
    "of",
    [system(None, "gcj02"), system(None, "bd09"), system(4326, "gcj02"), system(3857, "gcj02"), system(2263, None)],
)
def test_to_work_and_back(of):
    work = pyproj.CRS.from_epsg(32618) if of.crs == 2263 else WORK
    x, y = (984_000.0, 210_000.0) if of.crs == 2263 else crs.from_work(465_000.0, 3_860_000.0, of, work)
    back = crs.from_work(*to_work(x, y, of, work), of, work)
    assert back == (pytest.approx(x, abs=1e-6), pytest.approx(y, abs=1e-6))


def test_gcj02_twin_is_the_same_place():
    lon, lat = np.array([113.617, 113.29]), np.array([34.868, 34.8])
    plain = to_work(lon, lat, system(None, "wgs84"), WORK)
    for name, twin in (("gcj02", crs.wgs84_to_gcj02(lon, lat)), ("bd09", crs.wgs84_to_bd09(lon, lat))):
        shifted = to_work(*twin, system(4326, name), WORK)  # a file that says EPSG:4326 all the same
        assert np.hypot(shifted[0] - plain[0], shifted[1] - plain[1]).max() < 1e-6


def test_what_is_no_place_is_nan():
    x, y = to_work([113.6, np.nan, 113.6, np.inf], [134.0, 34.0, np.nan, 34.0], system(None, "wgs84"), WORK)
    assert np.isnan(x).all()
    assert np.isnan(y).all()


def test_geometries_vertex_by_vertex():
    of = system(4326, "gcj02")
    square = shapely.Polygon([(113.6, 34.8, 5), (113.7, 34.8, 5), (113.7, 34.9, 5), (113.6, 34.9, 5)])
    shapes = np.array([square, None, shapely.Polygon()], object)
    moved = crs.geometries_to_work(shapes, of, WORK)
    assert moved[1] is None
    assert moved[2].is_empty
    assert not moved[0].has_z
    xy = shapely.get_coordinates(square)
    assert np.array_equal(shapely.get_coordinates(moved[0]), np.stack(to_work(xy[:, 0], xy[:, 1], of, WORK), axis=1))
    back = crs.geometries_from_work(moved, of, WORK)
    assert np.abs(shapely.get_coordinates(back[0]) - xy).max() < 1e-9
    with pytest.raises(crs.NotConvertible, match="1 vertices"):
        crs.geometries_to_work([shapely.LineString([(113, 34), (113, 134)])], of, WORK)


def test_systems_are_named():
    assert system(4326, "gcj02").text == "EPSG:4326 + GCJ-02"
    assert system(4547, None) == System(WORK, Datum.CGCS2000)
    assert system(None, "bd09").text == "BD-09"
    with pytest.raises(crs.NoCrs):
        system(None, None)
    with pytest.raises(crs.UnknownCrs, match="EPSG:99999"):
        system("EPSG:99999", None)


def test_accuracy_is_unknown_for_the_old_chinese_datums():
    assert crs.accuracy_m(system(4326, None), WORK) == 0.0
    assert crs.accuracy_m(system(2263, None), pyproj.CRS.from_epsg(32618)) is not None
    assert crs.accuracy_m(system(4610, None), WORK) is None
    assert crs.accuracy_m(system(4214, None), WORK) is None


def test_area_of_use():
    assert crs.area_of_use([113.6], [34.8], WORK) is None
    found = crs.area_of_use([113.6, 116.65, np.nan], [34.8, 34.0, 34.0], WORK)
    assert found is not None
    assert (found.outside, found.total) == (1, 2)
    assert found.farthest_deg == pytest.approx(1.15)


# --- declarations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "easting", "right"),
    [
        (4547, 38_464_980, "EPSG:4526"),
        (4526, 464_980, "EPSG:4547"),
        (4526, 39_464_980, "EPSG:4527"),
        (4547, 19_464_980, "EPSG:4497"),
        (4497, 464_980, "EPSG:4508"),
        (2383, 38_464_980, "EPSG:2362"),
        (21_419, 464_980, "EPSG:21459"),
        ("ESRI", 38_464_980, "EPSG:4526"),  # a .prj file, without a code
    ],
)
def test_zone_prefix_is_checked(declared, easting, right):
    stated = WORK.to_wkt("WKT1_ESRI") if declared == "ESRI" else declared
    error = crs.ZonePrefixMissing if easting < 1e6 else crs.ZonePrefixUnexpected
    with pytest.raises(error) as caught:
        crs.check_declared([easting, easting + 500.0], [3_860_000.0] * 2, system(stated, None), "streets.shp")
    assert right in str(caught.value)
    assert "streets.shp" in caught.value.text("zh-CN")


@pytest.mark.parametrize(
    ("declared", "easting"), [(4547, 464_980), (4526, 38_464_980), (32649, 720_000), (2263, 984_000)]
)
def test_right_declarations_pass(declared, easting):
    crs.check_declared([easting], [3_860_000.0], system(declared, None))


def test_degrees_and_metres_are_told_apart():
    with pytest.raises(crs.NotDegrees, match="--crs"):
        crs.check_declared([464_980.0], [3_860_000.0], system(4326, None))
    with pytest.raises(crs.NotMetres, match="EPSG:4547"):
        crs.check_declared([113.6], [34.8], system(4547, None))
    for x, y in ((34.8, 113.6), (181.0, 9.0), (9999.0, 9999.0)):  # swapped, out of range, a sentinel: others say so
        crs.check_declared([x], [y], system(None, "wgs84"))
    crs.check_declared([5.0], [5.0], system(32650, None))  # a drawn city
    crs.check_declared([], [], system(4547, None))
    crs.check_declared([464_980.0, 38_464_980.0], [3_860_000.0] * 2, system(4526, None))  # one stray row is no layer


def test_every_chinese_zone_has_the_code_it_says():
    for name, families in crs._ZONES.items():
        for row, first in enumerate(families):
            zones = range(13, 24) if row < 2 else range(25, 46)
            for zone, code in zip(zones, range(first, first + len(zones)), strict=True):
                assert crs._zone_code(name, zone, prefixed=row % 2 == 0) == f"EPSG:{code}"
                stated = pyproj.CRS.from_epsg(code)
                assert crs._zone_prefix(stated) == (zone if row % 2 == 0 else 0)
                assert crs._datum_name(stated) == name
                meridian = {one.name: one.value for one in stated.coordinate_operation.params}[
                    "Longitude of natural origin"
                ]
                assert meridian == (6 * zone - 3 if row < 2 else 3 * zone)


# --- the work CRS -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bounds", "code"),
    [
        (ZHENGZHOU, "EPSG:4547"),
        ((113.75, 22.4, 114.65, 22.9), "EPSG:4547"),  # Shenzhen
        ((121.2, 30.9, 121.9, 31.5), "EPSG:4550"),  # Shanghai straddles 121.5
        ((110.35, 31.4, 116.65, 36.4), "EPSG:4547"),  # Henan
        ((-74.3, 40.4, -73.6, 41.0), "EPSG:32618"),  # New York
        ((-122.5, 47.4, -122.2, 47.8), "EPSG:32610"),  # Seattle
        ((151.0, -34.0, 151.4, -33.7), "EPSG:32756"),  # Sydney
        ((105.7, 20.9, 105.9, 21.1), "EPSG:32648"),  # Hanoi
        ((126.8, 37.4, 127.2, 37.7), "EPSG:32652"),  # Seoul
        ((180.0, 0.0, 180.0, 0.0), "EPSG:32660"),
    ],
)
def test_work_crs_is_chosen_from_the_extent(bounds, code):
    work = choose_work_crs(bounds)
    assert work.code == code
    assert work.chosen
    assert work.scale_error < (2e-3 if bounds[2] - bounds[0] > 2 or bounds[2] == 180 else 4e-4)


def test_scale_error_is_what_a_line_measures():
    work = choose_work_crs((110.35, 31.4, 116.65, 36.4))
    on_the_ground = GEOD.inv(110.35, 31.4, 110.351, 31.4)[2]
    x, y = to_work([110.35, 110.351], [31.4, 31.4], system(None, "wgs84"), work.crs)
    assert np.hypot(*np.diff([x, y])[:, 0]) / on_the_ground - 1 == pytest.approx(work.scale_error, rel=1e-3)


def test_no_metres_for_half_the_world():
    with pytest.raises(work_crs.MetresNotTrue, match="--work-crs"):
        choose_work_crs((73.0, 18.0, 135.0, 53.0))
    with pytest.raises(work_crs.BadBounds):
        choose_work_crs((34.6, 113.4, 35.0, 113.9))


@pytest.mark.parametrize(("value", "unit"), [(4490, "degree"), (2263, "US survey foot")])
def test_units_must_be_metres(value, unit):
    with pytest.raises(work_crs.UnitsNotMetres, match=unit) as caught:
        given_work_crs(value)
    assert "--work-crs" in caught.value.text("zh-CN")


def test_zone_numbers_in_front_of_eastings_are_no_work_crs():
    with pytest.raises(work_crs.FarFromOrigin, match="38,500 km"):
        given_work_crs(4526)
    assert given_work_crs(4547).code == "EPSG:4547"


def test_given_work_crs():
    work = given_work_crs("EPSG:32650", (116.0, 39.0, 117.0, 40.0))
    assert (work.code, work.chosen) == ("EPSG:32650", False)
    assert given_work_crs("EPSG:4547").scale_error is None
    with pytest.raises(work_crs.MetresNotTrue, match=r"30\.5 %"):
        given_work_crs(3857, (116.0, 39.0, 117.0, 40.0))


def test_both_languages_name_the_same_facts():
    def names(template):
        return {name for _, name, _, _ in string.Formatter().parse(template) if name}

    for module in (crs, points, datum):
        for error in vars(module).values():
            if isinstance(error, type) and issubclass(error, JieguanError) and error is not JieguanError:
                assert names(error.zh) == names(error.en), error
    for sentences in points.SENTENCES.values():
        assert names(sentences["zh-CN"]) == names(sentences["en"])
    for sentences in (datum._POINTS_BETTER, datum._POINTS_FINE, datum._LINES_BETTER, datum._LINES_FINE):
        assert names(sentences["zh-CN"]) == names(sentences["en"])
