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


Lines = NDArray[np.object_]
Widths = NDArray[np.float64]


def border_strip(one: Lines, one_m: Widths, other: Lines, other_m: Widths) -> Any:
    """Places that some line of either border is no farther from than that line's width. Borders are arrays of two-point lines in
    metres, each with its width; so is the result's unit.

    Where all are of one width, a place on A's ground within it of B's border is within it of A's own, too: the way there leaves A.
    """
    reach = float(one_m.max(initial=0.0) + other_m.max(initial=0.0))
    near_one, near_other = _near(one, other, reach), _near(other, one, reach)
    if not len(near_one) or not len(near_other):
        return shapely.Polygon()
    bands = _band(one[near_one], one_m[near_one]), _band(other[near_other], other_m[near_other])
    parts = shapely.get_parts(shapely.intersection(*bands))
    return shapely.MultiPolygon(parts[shapely.area(parts) > 0].tolist())  # borders just two widths apart: bands that touch


def _near(lines: Lines, others: Lines, distance: float) -> NDArray[np.intp]:
    return np.unique(shapely.STRtree(lines).query(others, predicate="dwithin", distance=distance)[1])


def _band(lines: Lines, widths: Widths) -> Any:
    each = [shapely.buffer(lines[widths == w], w, quad_segs=arc_steps(w)) for w in np.unique(widths).tolist()]
    return shapely.union_all(np.concatenate(each))


def arc_steps(radius_m: float) -> int:
    """Chords in a quarter circle that stay within `ARC_M` of it: a chord over the angle t is r (1 - cos(t / 2)) off."""
    return max(2, int(np.ceil(np.pi / 4 / np.arccos(1 - min(ARC_M / radius_m, 1.0)))))
