"""Datum suspicion names the mistake on real places, says by how much, and does not cry wolf."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from geodata import datum
from geodata.crs import Datum, change_datum
from geodata.datum import Reading, fit_lines, fit_points, sign_test

W, C, G, B = Datum.WGS84, Datum.CGCS2000, Datum.GCJ02, Datum.BD09


@pytest.fixture(scope="module")
def layers(data_dir):
    def read(file, layer):
        frame = gpd.read_file(data_dir / file, layer=layer)
        return frame.geometry.to_numpy(), frame.id.to_numpy()

    return read


@pytest.fixture(scope="module")
def places(data_dir):
    return pd.read_parquet(data_dir / "zhengzhou" / "points_poi.parquet")


def zhengzhou(places, layers, column, layer, declared):
    polygons, ids = layers("zhengzhou/polygons.gpkg", layer)
    return fit_points(
        places[f"{column}_lon"], places[f"{column}_lat"], places.rec_district_code, polygons, ids, declared
    )


def ways(fit):
    return set() if fit.better is None else set(fit.better.evidence.ways)


# --- points -----------------------------------------------------------------------------------------------------------


def test_wgs84_points_declared_gcj02_are_named(places, layers):
    fit = zhengzhou(places, layers, "wgs", "district_datav_gcj02", Reading(G, G))
    assert ways(fit) == {Reading(W, G)}
    assert fit.better.evidence.shift_m == pytest.approx(578, abs=1)
    assert round(100 * fit.figures[0].right / fit.rows, 1) == 94.9
    assert round(100 * fit.better.right / fit.rows, 1) == 98.8
    assert fit.better.evidence.p < 1e-15
    print(fit.text("zh-CN"), fit.text("en"), sep="\n")
    assert "these fit 578 m better as WGS-84" in fit.text("en")
    assert "578 米" in fit.text("zh-CN")
    assert "--datum." in fit.text("en")


LAYERS = [("district_datav_gcj02", G), ("district_cnmaps_gcj02", G), ("district_tianditu_cgcs2000", C)]


@pytest.mark.parametrize(("layer", "layer_is"), LAYERS)
@pytest.mark.parametrize(("column", "points_are"), [("gcj", G), ("wgs", W)])
def test_right_declarations_are_left_in_peace(places, layers, column, points_are, layer, layer_is):
    fit = zhengzhou(places, layers, column, layer, Reading(points_are, layer_is))
    assert fit.better is None
    assert "No sign" in fit.text("en")
    assert "没有发现" in fit.text("zh-CN")


@pytest.mark.parametrize(
    ("column", "layer", "declared", "right"),
    [
        ("gcj", "district_datav_gcj02", Reading(W, G), {Reading(G, G), Reading(W, W)}),
        ("gcj", "district_datav_gcj02", Reading(B, G), {Reading(G, G), Reading(B, B)}),
        ("gcj", "district_tianditu_cgcs2000", Reading(W, C), {Reading(G, C)}),
        ("wgs", "district_tianditu_cgcs2000", Reading(G, C), {Reading(C, C), Reading(G, G)}),
        ("wgs", "district_cnmaps_gcj02", Reading(W, W), {Reading(W, G)}),
        ("wgs", "district_cnmaps_gcj02", Reading(B, W), {Reading(W, G)}),
    ],
)
def test_every_mistake_is_named(places, layers, column, layer, declared, right):
    assert ways(zhengzhou(places, layers, column, layer, declared)) == right


@pytest.mark.parametrize(
    ("city", "points", "recorded", "polygons"),
    [
        ("nyc", "points_shootings", "rec_police_precinct", "polygons_core.gpkg::police_precinct"),
        ("nyc", "points_311", "rec_council_district", "polygons_core.gpkg::council_2023"),  # redrawn since: 85 % fit
        ("nyc", "points_lots", "rec_police_precinct", "polygons_core.gpkg::police_precinct"),
        ("seattle", "points", "rec_beat", "polygons.gpkg::beat"),  # half of it on older beats: 62 % fit
    ],
)
def test_no_alarm_outside_china(data_dir, layers, city, points, recorded, polygons):
    rows = pd.read_parquet(data_dir / city / f"{points}.parquet", columns=["lon", "lat", recorded])
    file, layer = polygons.split("::")
    fit = fit_points(rows.lon, rows.lat, rows[recorded], *layers(f"{city}/{file}", layer), Reading(W, W))
    print(fit.text("en"))
    assert fit.better is None
    assert len(fit.figures) == 3  # GCJ-02 is WGS-84 here: only Baidu's shift can be told


def town(side=12, size=0.02):
    """Squares of about 2 km around 113.6 E, 34.8 N."""
    west, south = np.meshgrid(113.5 + size * np.arange(side), 34.7 + size * np.arange(side))
    squares = shapely.box(west.ravel(), south.ravel(), west.ravel() + size, south.ravel() + size)
    return squares, np.arange(side * side)


def complaints(n, seed=0):
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(113.53, 113.7, n), rng.uniform(34.73, 34.9, n)
    recorded = np.floor((lat - 34.7) / 0.02).astype(int) * 12 + np.floor((lon - 113.5) / 0.02).astype(int)
    return lon, lat, recorded


def test_rows_without_a_place_or_a_known_district_are_skipped():
    lon, lat, recorded = complaints(500)
    lon[:3], recorded = [np.nan, 999.0, np.inf], recorded.astype(object)
    recorded[3:6] = [None, np.nan, "elsewhere"]
    recorded[6] = float(recorded[6])  # 61.0 is 61
    fit = fit_points(lon, lat, recorded, *town(), Reading(W, W))
    assert (fit.rows, fit.skipped, fit.figures[0].right) == (494, 6, 494)
    assert fit.better is None


def test_order_of_rows_and_features_changes_nothing(monkeypatch):
    monkeypatch.setattr(datum, "MAX_ROWS", 1_500)
    lon, lat, recorded = complaints(2_900)
    lon, lat = change_datum(lon, lat, W, G)
    squares, ids = town()
    fit = fit_points(lon, lat, recorded, squares, ids, Reading(W, W))
    assert fit.rows == 1_450
    assert ways(fit) == {Reading(G, W)}
    rng = np.random.default_rng(1)
    rows, features = rng.permutation(lon.size), rng.permutation(ids.size)
    other = fit_points(lon[rows], lat[rows], recorded[rows], squares[features], ids[features], Reading(W, W))
    assert [(one.right, one.near, one.evidence.p) for one in other.figures] == [
        (one.right, one.near, one.evidence.p) for one in fit.figures
    ]


def test_several_polygons_of_one_id_are_one_district():
    lon, lat, recorded = complaints(300)
    squares, ids = town()
    west, south, east, north = shapely.bounds(squares).T
    middle = (west + east) / 2
    halves = np.concatenate([shapely.box(west, south, middle, north), shapely.box(middle, south, east, north)])
    fit = fit_points(lon, lat, recorded, halves, np.concatenate([ids, ids]), Reading(W, W))
    assert fit.figures[0].right == fit.rows == 300


def test_one_crowded_street_is_one_witness():
    """A thousand rows along 500 m of a line, recorded on its wrong side: other readings fit them all, and yet."""
    lon, lat, recorded = complaints(500)
    street = np.linspace(34.802, 34.8065, 1_000)
    lon, lat = np.append(lon, np.full(1_000, 113.5599)), np.append(lat, street)
    recorded = np.append(recorded, np.full(1_000, 5 * 12 + 3))
    fit = fit_points(lon, lat, recorded, *town(), Reading(W, W))
    assert max(one.right for one in fit.figures) > fit.figures[0].right
    assert fit.better is None


def test_nothing_to_judge():
    fit = fit_points([], [], [], *town(), Reading(W, G))
    assert (fit.rows, fit.better) == (0, None)
    assert fit.text("en")


def test_sign_test():
    assert sign_test(0, 0) == 1.0
    assert sign_test(3, 1) == 5 / 16
    assert sign_test(1, 3) == 15 / 16
    assert sign_test(17, 0) == 2.0**-17


# --- lines ------------------------------------------------------------------------------------------------------------


def lines(layers, one, other, declared, file="zhengzhou/polygons.gpkg"):
    return fit_lines(layers(file, one)[0], layers(file, other)[0], declared)


@pytest.mark.parametrize(
    ("one", "other", "declared", "right"),
    [
        ("district_datav_gcj02", "district_cnmaps_gcj02", Reading(G, G), set()),
        ("district_datav_gcj02", "district_tianditu_cgcs2000", Reading(G, C), set()),
        ("district_datav_gcj02", "district_tianditu_cgcs2000", Reading(W, W), {Reading(G, W)}),
        ("district_datav_gcj02", "district_tianditu_cgcs2000", Reading(G, G), {Reading(G, W)}),
        ("district_tianditu_cgcs2000", "district_datav_gcj02", Reading(C, C), {Reading(C, G)}),
        ("district_cnmaps_gcj02", "district_datav_gcj02", Reading(B, G), {Reading(G, G), Reading(B, B)}),
    ],
)
def test_layers_that_share_lines(layers, one, other, declared, right):
    fit = lines(layers, one, other, declared)
    print(fit.text("zh-CN"), fit.text("en"), sep="\n")
    assert ways(fit) == right
    if right:
        assert fit.better.median_m < 150 < fit.figures[0].median_m


def test_lines_shift_is_told(layers):
    fit = lines(layers, "district_datav_gcj02", "district_tianditu_cgcs2000", Reading(W, C))
    assert "m better as GCJ-02" in fit.text("en")
    assert fit.better.evidence.shift_m == pytest.approx(577, abs=5)


@pytest.mark.parametrize(
    ("file", "one", "other", "both"),
    [
        ("nyc/polygons_core.gpkg", "council_2023", "borough", W),
        ("seattle/polygons.gpkg", "beat", "council_district", W),  # most lines are not shared
        ("shenzhen/polygons.gpkg", "street_gcj02", "district_datav_gcj02", G),
        ("shenzhen/polygons.gpkg", "district_datav_gcj02", "street_gcj02", G),
    ],
)
def test_no_alarm_for_lines(layers, file, one, other, both):
    assert lines(layers, one, other, Reading(both, both), file).better is None


def test_lines_that_are_not_shared_say_nothing():
    """A street 370 m west of a line lies 190 m east of it under another reading: nearer everywhere, on it nowhere."""
    rows = np.linspace(34.5, 35.0, 60)
    streets = shapely.linestrings(np.stack([np.full(60, 113.6 - 0.0040), rows], axis=1))
    lines = shapely.linestrings([[(113.6, 34.4), (113.6, 35.1)]])
    fit = fit_lines([streets], lines, Reading(W, W))
    nearer = [one for one in fit.figures[1:] if one.evidence.p < 1e-9]
    assert nearer
    assert fit.better is None


def test_a_handful_of_vertices_is_no_evidence():
    line = shapely.linestrings([[(113.6, 34.70), (113.6, 34.75), (113.61, 34.80)]])
    lon, lat = change_datum(*shapely.get_coordinates(line).T, W, G)
    fit = fit_lines(shapely.linestrings([np.stack([lon, lat], axis=1)]), line, Reading(W, W))
    assert fit.figures[0].median_m > 100
    assert min(one.median_m for one in fit.figures) < 1e-3
    assert fit.better is None
