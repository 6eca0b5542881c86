"""The border zone of two squads: every place within a width of both borders. For agreements without a ground of their own.

A library buffer of a whole border rounds concave detail to 1 % of the width (15 cm of 15 m), so each segment gets its own
exact rectangle and each vertex its own disc, with arcs as polylines within `ARC_M`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

ARC_M = 0.0003
"""How far an arc may lie from its polyline: below the millimetre grid."""


def border_strip(one: NDArray[np.object_], other: NDArray[np.object_], width_m: float) -> Any:
    """Places within `width_m` of both borders. Borders are arrays of two-point lines in metres; so is the result's unit.

    A place on A's ground within the width of B's border is within it of A's own border too, since the way there leaves A.
    """
    near_one = _near(one, other, 2 * width_m)
    near_other = _near(other, one, 2 * width_m)
    if not len(near_one) or not len(near_other):
        return shapely.Polygon()
    parts = shapely.get_parts(shapely.intersection(_band(near_one, width_m), _band(near_other, width_m)))
    return shapely.MultiPolygon(parts[shapely.area(parts) > 0].tolist())  # borders just two widths apart: bands that touch


def _near(lines: NDArray[np.object_], others: NDArray[np.object_], distance: float) -> NDArray[np.object_]:
    found = shapely.STRtree(lines).query(others, predicate="dwithin", distance=distance)[1]
    near: NDArray[np.object_] = lines[np.unique(found)]
    return near


def _band(lines: NDArray[np.object_], width: float) -> Any:
    return shapely.union_all(shapely.buffer(lines, width, quad_segs=arc_steps(width)))


def arc_steps(radius_m: float) -> int:
    """Chords in a quarter circle that stay within `ARC_M` of it: a chord over the angle t is r (1 - cos(t / 2)) off."""
    return max(2, int(np.ceil(np.pi / 4 / np.arccos(1 - min(ARC_M / radius_m, 1.0)))))
