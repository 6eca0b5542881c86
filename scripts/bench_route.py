"""Full decisions per second beside geopandas.sjoin and SedonaDB, in one run, in turn, in file order and shuffled.

A full decision is squad, assistants, step, doubt, margin, runner-up and township of every row, as arrays with squads as
numbers, on one core (zone 30 m). Peers answer less: which polygon (within), or which polygons within 30 m (dwithin). SedonaDB
may use every core; geopandas uses one. All start from coordinates in metres that are in memory already, and all are warm.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely

from geodata.build import MapFiles, build
from geodata.crs import parse_crs, system, to_work
from geodata.files import read_layer, read_table
from routing.model import Location
from routing.route import Complaints, Router, route

ZONE = 30.0
HERE = Path(__file__).resolve().parent.parent
NYC = Path(os.environ.get("JIEGUAN_TEST_DATA", HERE.parent / "shared" / "data")) / "nyc"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--territories", default=f"{NYC}/polygons_core.gpkg::police_precinct")
    parser.add_argument("--points", default=f"{NYC}/points_lots.parquet")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dwithin-rows", type=int, default=100_000, help="rows of the dwithin runs, evenly drawn; 0: all")
    given = parser.parse_args()
    missing = [p for p in (given.territories.split("::")[0], given.points) if not Path(p).exists()]
    if missing:
        print(f"bench route: no data at {', '.join(missing)}; name yours with --territories FILE::LAYER --points FILE")
        return
    built = build(MapFiles(territories=given.territories, zone_m=ZONE))
    on = built.map
    work = parse_crs(on.settings.work_crs)
    table = read_table(given.points)
    lon, lat = (np.asarray(table.columns.column(c), float) for c in ("lon", "lat"))
    x, y = to_work(lon, lat, system(None, "wgs84"), work)
    layer = read_layer(given.territories)
    shapes = gpd.GeoSeries(layer.geometry, crs=layer.crs).to_crs(work)
    polygons = gpd.GeoDataFrame({"k": range(len(shapes))}, geometry=shapes.to_numpy(), crs=work)
    print(f"{len(x):,} points, {len(polygons)} polygons, {shapely.get_num_coordinates(polygons.geometry).sum():,} vertices, "
          f"work CRS {on.settings.work_crs}, map {on.version}")  # fmt: skip
    some = np.arange(len(x))
    if 0 < given.dwithin_rows < len(x):
        some = np.linspace(0, len(x) - 1, given.dwithin_rows).astype(int)
    for name, order in (("file order", np.arange), ("shuffled", np.random.default_rng(0).permutation)):
        a, b = order(len(x)), some[order(len(some))]
        _compare(f"within, {name}, {len(a):,} rows", on, x[a], y[a], polygons, "within", given.rounds)
        _compare(f"dwithin {ZONE:g} m, {name}, {len(b):,} rows", on, x[b], y[b], polygons, "dwithin", given.rounds)
    _lone(on, x, y, polygons)


def _compare(title: str, on: Any, x: Any, y: Any, polygons: gpd.GeoDataFrame, how: str, rounds: int) -> None:
    points = gpd.GeoDataFrame(geometry=gpd.points_from_xy(x, y), crs=polygons.crs)
    ours = Complaints(np.ascontiguousarray(x), np.ascontiguousarray(y), np.zeros(1))
    runs: dict[str, Callable[[], Any]] = {
        "jieguan, full": lambda: route(on, ours, zone_m=ZONE),
        "jieguan, full, Arrow": lambda: route(on, ours, zone_m=ZONE).to_arrow(),
        "geopandas.sjoin": lambda: _sjoin(points, polygons, how),
        **_sedona(points, polygons, how),
    }
    took: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # nobody is measured cold
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            took[name].append(time.perf_counter() - start)
    median = {name: float(np.median(t)) for name, t in took.items()}
    best = min(median[name] for name in runs if "jieguan" not in name)
    print(f"\n{title} (medians of {rounds} rounds, in turn)")
    for name, seconds in median.items():
        ratio = f"   {best / seconds:8.1f} x the faster peer" if "jieguan" in name else ""
        print(f"  {name:22s} {seconds * 1e3:10.1f} ms {len(x) / seconds / 1e6:8.2f} M rows/s{ratio}")


def _sjoin(points: gpd.GeoDataFrame, polygons: gpd.GeoDataFrame, how: str) -> Any:
    if how == "within":
        return gpd.sjoin(points, polygons, predicate="within", how="left")
    return gpd.sjoin(points, polygons, predicate="dwithin", distance=ZONE, how="left")


def _sedona(points: gpd.GeoDataFrame, polygons: gpd.GeoDataFrame, how: str) -> dict[str, Callable[[], Any]]:
    try:
        import sedonadb  # noqa: PLC0415 - an extra of its own
    except ImportError:
        print("  (SedonaDB is not installed: compared with geopandas alone)")
        return {}
    engine = sedonadb.connect()
    engine.create_data_frame(points.assign(i=range(len(points)))).to_view("points", overwrite=True)
    engine.create_data_frame(polygons).to_view("polygons", overwrite=True)
    test = "ST_Intersects(b.geometry, a.geometry)" if how == "within" else f"ST_DWithin(b.geometry, a.geometry, {ZONE})"
    query = f"SELECT a.i, b.k FROM points a JOIN polygons b ON {test}"
    return {"SedonaDB": lambda: engine.sql(query).to_arrow_table()}


def _lone(on: Any, x: Any, y: Any, polygons: gpd.GeoDataFrame) -> None:
    """One complaint at a time, with reasons and margin; beside one query of a tree of the same polygons."""
    router = Router(on, zone_m=ZONE)
    tree = shapely.STRtree(polygons.geometry.to_numpy())
    rows = np.linspace(0, len(x) - 1, 20_000).astype(int)
    places = [Location(float(x[i]), float(y[i])) for i in rows]
    points = shapely.points(x[rows], y[rows])
    ours, theirs = [], []
    for place, point in zip(places, points, strict=True):
        start = time.perf_counter()
        router(place)
        middle = time.perf_counter()
        tree.query(point, predicate="intersects")
        ours.append(middle - start)
        theirs.append(time.perf_counter() - middle)
    print(f"\none at a time, {len(rows):,} rows: Router {np.median(ours) * 1e6:.1f} us with reasons and margin, "
          f"STRtree.query {np.median(theirs) * 1e6:.1f} us (medians)")  # fmt: skip


if __name__ == "__main__":
    main()
