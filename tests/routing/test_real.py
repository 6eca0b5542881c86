"""The engine on real cities, held against shapely and against what the records say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

from geodata.build import MapFiles, build
from routing.jurisdiction import micros
from routing.model import Step, Territory
from routing.route import Complaints, Routed, route
from tests.real import CAP, around_vertices, grounds_of, pairs, points_of, to_outside

GAP = ("nearest", "on_duty")


def routed(files: MapFiles, x: Any, y: Any, zone_m: float, error_m: float = 0.0) -> Routed:
    return route(build(files).map, Complaints(x, y, np.array([error_m])), zone_m=zone_m)


def squads_of(answer: Routed, numbers: Any) -> Any:
    codes = np.array([*(s.code for s in answer.on.roster.squads), ""], object)
    return codes[numbers]


@pytest.mark.parametrize("layer", ["police_precinct", "community_district"])
def test_every_lot_of_new_york_lies_in_its_recorded_district(data_dir: Path, layer: str) -> None:
    """Line 1: all 855,552 rows, error 0, zone 0."""
    files = MapFiles(territories=f"{data_dir}/nyc/polygons_core.gpkg::{layer}", zone_m=0.0)
    _, _, work = grounds_of(files)
    x, y, table = points_of(data_dir / "nyc" / "points_lots.parquet", work)
    answer = routed(files, x, y, 0.0)
    recorded = np.array([str(v) for v in table.column(f"rec_{layer}").to_pylist()], object)
    wrong = squads_of(answer, answer.squad) != recorded
    on_line = answer.margin_m <= 0.001
    aside, elsewhere = int(on_line.sum()), int((wrong & ~on_line).sum())
    print(f"\n{layer}: {len(x):,} rows, {aside} within 1 mm of a line, {elsewhere} differ elsewhere")
    assert len(x) == 855_552
    assert not (wrong & ~on_line).any()


def check_sets_and_margins(name: str, files: MapFiles, x: Any, y: Any, zone: float = 30.0) -> None:
    """Lead and assistants are the squads within the zone; the margin is the distance to the nearest other ground.

    Where the layer itself leaves a hole or an overlap within the cap, the map's own faces are the reference: there the
    answer is the nearest squad's, or the published order's, which a distance to the source polygons does not tell.
    """
    squads, shapes, _ = grounds_of(files)
    built = build(files)
    answer = route(built.map, Complaints(x, y, np.zeros(1)), zone_m=zone)
    near = pairs(shapes, x, y)
    plate = built.map.plates[0]
    odd = [
        p
        for p, c in zip(plate.faces.polygons(), plate.faces.label, strict=True)
        if len({built.map.claims[i].squad for i in plate.labels[c] if isinstance(built.map.claims[i], Territory)}) != 1
    ]
    strange = np.zeros(len(x), bool)
    if odd:
        strange[np.unique(shapely.STRtree(shapely.points(x, y)).query(odd, predicate="dwithin", distance=CAP)[1])] = True
    number = {s.code: i for i, s in enumerate(built.map.roster.squads)}
    of = np.array([number[s] for s in squads])
    n = len(number)
    # sets
    want = np.unique(near.row[near.distance <= zone] * n + of[near.polygon[near.distance <= zone]])
    got = np.concatenate([
        np.arange(len(x)) * n + answer.squad,
        np.repeat(np.arange(len(x)), np.diff(answer.assist_at)) * n + answer.assist,
    ])  # fmt: skip
    got = np.unique(got[got % n != number["duty"]])
    differ = np.setxor1d(want, got)
    key = near.row * n + of[near.polygon]
    order = np.argsort(key)
    place = np.minimum(np.searchsorted(key[order], differ), len(order) - 1)
    distance = np.where(key[order][place] == differ, near.distance[order][place], np.inf)
    at_radius = np.abs(distance - zone) <= 0.001
    left_over = differ[~at_radius]
    steps = [step.value for step in Step]
    beyond = np.isin(answer.step[left_over // n], [steps.index(s) for s in GAP]) & (distance[~at_radius] > zone)
    print(f"\n{name}: {len(x):,} points, {len(want):,} pairs, {len(differ)} differ, {int(at_radius.sum())} within 1 mm of the radius")
    assert not len(left_over[~beyond]), "sets differ away from the radius"
    # margins
    other = of[near.polygon] != answer.squad[near.row]
    exact = to_outside(shapes, x, y)
    outside = answer.squad == number["duty"]
    np.minimum.at(exact, near.row[other & ~outside[near.row]], near.distance[other & ~outside[near.row]])
    # beyond the rim the nearest ground is what would change the answer
    exact[outside] = CAP
    np.minimum.at(exact, near.row[outside[near.row]], near.distance[outside[near.row]])
    off = np.abs(exact - answer.margin_m)
    on_line = answer.margin_m <= 0.001  # within the band of the line itself, which is a millimetre either way
    plain = ~strange & ~on_line
    print(f"  margins: {int(plain.sum()):,} checked, greatest difference {off[plain].max() * 1000:.3f} mm; "
          f"{int(on_line.sum())} within 1 mm of a line; "
          f"{int(strange.sum())} near a hole or an overlap, held against the faces")  # fmt: skip
    assert off[plain].max() <= 0.001
    assert off[on_line & ~strange].max(initial=0.0) <= 0.002
    _check_strange(built.map, answer, x, y, np.flatnonzero(strange)[:300])


def _check_strange(on: Any, answer: Routed, x: Any, y: Any, rows: Any) -> None:
    plate, lead = on.plates[0], on.sheet(next(iter(on._sheets))).lead
    polygons = plate.faces.polygons()
    of = lead[plate.faces.label]
    tree = shapely.STRtree(polygons)
    for i in rows.tolist():
        point = shapely.Point(x[i], y[i])
        if answer.margin_m[i] < 0.001:
            continue
        near = tree.query(point, predicate="dwithin", distance=CAP)
        others = near[of[near] != answer.squad[i]]
        want = min([CAP, *shapely.distance(polygons[others], point)])
        if lead[plate.outside] != answer.squad[i]:
            want = min(want, float(shapely.distance(shapely.boundary(plate.whole), point)))
        assert answer.margin_m[i] == pytest.approx(want, abs=1e-3)


def test_sets_and_margins_of_some_new_york_lots_and_of_points_around_its_corners(data_dir: Path) -> None:
    files = MapFiles(territories=f"{data_dir}/nyc/polygons_core.gpkg::police_precinct", zone_m=30.0)
    _, shapes, work = grounds_of(files)
    x, y, _ = points_of(data_dir / "nyc" / "points_lots.parquet", work, 40)
    around = around_vertices(shapes, 10_000)
    check_sets_and_margins("NYC lots (1 in 40) and corners", files, np.append(x, around[0]), np.append(y, around[1]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("city", "layer", "points"),
    [
        ("nyc", "polygons_core.gpkg::police_precinct", "points_lots.parquet"),
        ("seattle", "polygons.gpkg::beat", "points.parquet"),
        ("shenzhen", "polygons.gpkg::street_gcj02", None),
    ],
)
def test_sets_and_margins_of_whole_cities(data_dir: Path, city: str, layer: str, points: str | None) -> None:
    """Line 2: every row, and 100,000 points on and around edges and corners."""
    files = MapFiles(territories=f"{data_dir}/{city}/{layer}", zone_m=30.0)
    _, shapes, work = grounds_of(files)
    x, y = around_vertices(shapes, 100_000)
    if points is not None:
        px, py, _ = points_of(data_dir / city / points, work)
        keep = np.isfinite(px)
        x, y = np.append(px[keep], x), np.append(py[keep], y)
    check_sets_and_margins(city, files, x, y)


@pytest.mark.parametrize(
    ("city", "layer", "points", "column", "least"),
    [
        ("nyc", "polygons_core.gpkg::community_district", "points_311.parquet", "rec_community_district", 1.0),
        ("nyc", "polygons_core.gpkg::police_precinct", "points_shootings.parquet", "rec_police_precinct", 0.992),
        ("seattle", "polygons.gpkg::beat", "points.parquet", "rec_beat", 0.985),
    ],
)
def test_the_recorded_district_is_among_those_told(
    data_dir: Path, city: str, layer: str, points: str, column: str, least: float
) -> None:
    """Line 3: error 50."""
    files = MapFiles(territories=f"{data_dir}/{city}/{layer}")
    _, _, work = grounds_of(files)
    x, y, table = points_of(data_dir / city / points, work)
    recorded = np.array([None if v is None else str(v) for v in table.column(column).to_pylist()], object)
    keep = np.array([v is not None for v in recorded]) & np.isfinite(x)
    if city == "seattle":
        keep &= np.asarray(table.column("beat_map_current"), bool)  # the beats were redrawn in 2015
    answer = routed(files, x[keep], y[keep], 15.0, 50.0)
    recorded = recorded[keep]
    squads = squads_of(answer, answer.squad)
    assists = np.split(squads_of(answer, answer.assist), answer.assist_at[1:-1])
    right = np.array([r == s or r in a for r, s, a in zip(recorded, squads, assists, strict=True)])
    doubtful = int(answer.doubtful.sum())
    print(f"\n{points}: {len(right):,} rows, recorded district told {right.mean():.2%}, doubtful {doubtful:,}")
    assert right.mean() >= least


@pytest.mark.slow
def test_the_date_of_the_map_decides_for_the_121st_precinct(data_dir: Path, tmp_path: Path) -> None:
    """Line 4: shootings recorded in the 120th, in what is the 121st since 2013-07-01."""
    import geopandas as gpd
    import pandas as pd

    old = gpd.read_file(data_dir / "nyc" / "polygons_extra.gpkg", layer="police_precinct_2013")
    new = gpd.read_file(data_dir / "nyc" / "polygons_core.gpkg", layer="police_precinct")
    both = pd.concat([old.assign(until="2013-07-01", since=None), new.assign(since="2013-07-01", until=None)])
    both[["id", "since", "until", "geometry"]].to_file(tmp_path / "both.gpkg", layer="precinct")
    files = MapFiles(territories=f"{tmp_path}/both.gpkg::precinct", timezone="America/New_York")
    on = build(files).map
    x, y, table = points_of(data_dir / "nyc" / "points_shootings.parquet", _work(on))
    created = pd.to_datetime(pd.Series(table.column("created").to_pylist()))
    when = created.dt.tz_localize("America/New_York", ambiguous=True, nonexistent="shift_forward")
    at = np.array([micros(t.to_pydatetime()) for t in when], np.int64)
    then = route(on, Complaints(x, y, np.zeros(1), at))
    today = routed(MapFiles(territories=f"{data_dir}/nyc/polygons_core.gpkg::police_precinct"), x, y, 15.0)
    recorded = np.array([str(v) for v in table.column("rec_police_precinct").to_pylist()], object)
    before = (when < pd.Timestamp("2013-07-01", tz="America/New_York")).to_numpy()
    moved = (recorded == "120") & (squads_of(today, today.squad) == "121") & before
    led = squads_of(then, then.squad)[moved]
    print(f"\n{int(moved.sum())} shootings recorded 120 before the change lie in today's 121: routed to {sorted(set(led))}")
    assert moved.sum() > 50
    assert set(led) == {"120"}


def _work(on: Any) -> Any:
    from geodata.crs import parse_crs

    return parse_crs(on.settings.work_crs)


def test_parquet_of_the_lots_is_what_we_think(data_dir: Path) -> None:
    assert pq.read_metadata(data_dir / "nyc" / "points_lots.parquet").num_rows == 855_552
