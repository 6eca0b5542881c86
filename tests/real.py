"""Real layers and points of the test data, and what shapely says of them: an oracle that shares nothing with the engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import shapely

from geodata.build import MapFiles, gather
from geodata.crs import parse_crs, system, to_work
from routing.model import Territory

CAP = 100.0


@dataclass(frozen=True)
class Pairs:
    """(row, polygon, distance in metres) of every polygon within CAP of every point; distance 0 inside."""

    row: Any
    polygon: Any
    distance: Any


def grounds_of(files: MapFiles) -> tuple[list[str], Any, Any]:
    """Squads and their unrounded grounds in metres, and the work CRS."""
    gathered = gather(files)
    grounds = [g for g in gathered.grounds if isinstance(g.claim, Territory)]
    shapes = np.array([g.geometry for g in grounds], object)
    return [g.claim.squad for g in grounds], shapes, parse_crs(gathered.settings.work_crs)


def points_of(path: Path, work: Any, step: int = 1) -> tuple[Any, Any, Any]:
    """x, y in metres of every step-th row, and the table."""
    table = pq.read_table(path)
    table = table.take(np.arange(0, len(table), step))
    lon, lat = (np.asarray(table.column(c), float) for c in ("lon", "lat"))
    x, y = to_work(lon, lat, system(None, "wgs84"), work)
    return np.ascontiguousarray(x), np.ascontiguousarray(y), table


def around_vertices(shapes: Any, n: int, seed: int = 3) -> tuple[Any, Any]:
    """Points on and around vertices and edges, from a hundredth of a metre to a hundred metres away."""
    rng = np.random.default_rng(seed)
    vertex = shapely.get_coordinates(shapes)
    at = vertex[rng.integers(0, len(vertex), n)]
    off = rng.normal(0, 1, (n, 2)) * 10 ** rng.uniform(-2, 2, (n, 1))
    off[: n // 20] = 0.0  # exactly on a vertex
    return np.ascontiguousarray((at + off)[:, 0]), np.ascontiguousarray((at + off)[:, 1])


def pairs(shapes: Any, x: Any, y: Any) -> Pairs:
    """Every polygon within CAP of every point, by prepared polygons and a tree of their segments."""
    points = shapely.points(x, y)
    found: list[tuple[Any, Any, Any]] = []
    for k, shape in enumerate(shapes):
        shapely.prepare(shape)
        low_x, low_y, high_x, high_y = shape.bounds
        near = np.flatnonzero((x >= low_x - CAP) & (x <= high_x + CAP) & (y >= low_y - CAP) & (y <= high_y + CAP))
        inside = shapely.intersects(shape, points[near])
        found.append((near[inside], np.full(int(inside.sum()), k), np.zeros(int(inside.sum()))))
        rest = near[~inside]
        (row, _), distance = segments(shape).query_nearest(
            points[rest], max_distance=CAP, return_distance=True, all_matches=False
        )
        found.append((rest[row], np.full(len(row), k), distance))
    return Pairs(*(np.concatenate(column) for column in zip(*found, strict=True)))


def segments(shape: Any) -> shapely.STRtree:
    """A tree of the edges of a polygon or multipolygon."""
    xy, ring = shapely.get_coordinates(shapely.get_rings(shapely.get_parts(shape)), return_index=True)
    same = ring[1:] == ring[:-1]
    return shapely.STRtree(shapely.linestrings(np.stack([xy[:-1][same], xy[1:][same]], 1)))


def to_outside(shapes: Any, x: Any, y: Any) -> Any:
    """Distance to the rim of the union with its holes filled, at most CAP."""
    union = shapely.union_all(shapes)
    filled = shapely.union_all([shapely.Polygon(p.exterior) for p in shapely.get_parts(union)])
    out = np.full(len(x), CAP)
    (row, _), distance = segments(filled).query_nearest(
        shapely.points(x, y), max_distance=CAP, return_distance=True, all_matches=False
    )
    out[row] = distance
    return out
