"""Stretches of border: whose widths an edge has. They decide no lead; but who is told beside a line rests on them.

What an entry `p{k}.stretch` may say is stated in certificate.py: rows (vertex, higher vertex, claim).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import shapely

from routing.ground.verify_finding import Finding
from routing.ground.verify_plane import Edges, Plane
from routing.ground.verify_read import Compiled, Ints
from routing.ground.verify_sets import Mask, among
from routing.ground.verify_source import Source

TOLERANCE_M = 0.06
"""How far an edge may lie from the drawn line: what drawing is allowed, and the grid."""
LEAST_OFF_M = 1.0
"""So much of a drawn line may have no edge: it is measured around corners."""


def check_stretches(plane: Plane, edges: Edges, compiled: Compiled) -> Iterator[Finding]:
    """Every row names an edge of the plate, each once, and a stretch that holds whenever the plate does."""
    rows, claims, n = plane.plate.stretch, compiled.manifest["claims"], len(plane.local)
    if rows is None: return
    bad = _broken(rows, n, len(claims))
    if bad.any():
        yield Finding("labels", "stretch_index", plane.k, None, {"row": int(bad.argmax())})
        return
    key = rows[:, 0] * n + rows[:, 1]
    falls = np.append(False, key[1:] <= key[:-1])
    if falls.any(): yield Finding("labels", "stretch_order", plane.k, None, {"row": int(falls.argmax())})
    strange = ~among(key, edges.lo * n + edges.hi)
    if strange.any():
        yield Finding("labels", "stretch_edge", plane.k, plane.place(int(rows[strange][0, 0])), {"edges": int(strange.sum())})
    for c in np.unique(rows[:, 2]).tolist(): yield from _check_claim(plane, compiled, c)


def _broken(rows: Ints, vertices: int, claims: int) -> Mask:
    """Rows that name what is not there."""
    there: Mask = (rows >= 0).all(1) & (rows[:, :2] < vertices).all(1) & (rows[:, 2] < claims) & (rows[:, 0] < rows[:, 1])
    return ~there


def _check_claim(plane: Plane, compiled: Compiled, c: int) -> Iterator[Finding]:
    claim = compiled.manifest["claims"][c]
    if claim["kind"] != "stretch":
        yield Finding("labels", "stretch_kind", plane.k, None, {"claim": claim["id"], "kind": claim["kind"]})
        return
    for field in ("zone_m", "accuracy_m"):
        width = claim.get(field)
        number = isinstance(width, int | float) and not isinstance(width, bool)
        if width is not None and not (number and math.isfinite(width) and width >= 0):
            yield Finding("labels", "stretch_width", plane.k, None, {"claim": claim["id"], "field": field, "value": str(width)})
    for i, interval in enumerate(compiled.manifest["intervals"]):
        if interval["plate"] == plane.k and c not in interval.get("claims", ()):
            yield Finding("labels", "stretch_time", plane.k, None, {"claim": claim["id"], "interval": i})


def check_drawn(plane: Plane, compiled: Compiled, sources: Iterable[Source]) -> Iterator[Finding]:
    """The edges of each stretch run along the line that was drawn, and all of it has edges."""
    rows = plane.plate.stretch
    if rows is not None and _broken(rows, len(plane.local), len(compiled.manifest["claims"])).any(): return
    held = {c for i in compiled.manifest["intervals"] if i["plate"] == plane.k for c in i.get("claims", ())}
    lines: dict[str, list[Any]] = {}
    for source in sources:
        if source.kind == "stretch" and source.ground is not None: lines.setdefault(source.id, []).append(source.ground)
    every = np.empty((0, 3), np.int64) if rows is None else rows
    xy = plane.plate.xy / 1000.0
    drawn = {name: shapely.union_all(some) for name, some in lines.items()}
    covered = _edges_of(xy, every)
    for c, claim in enumerate(compiled.manifest["claims"]):
        if claim["kind"] != "stretch" or claim["id"] not in drawn: continue
        mine, line = every[every[:, 2] == c], drawn[claim["id"]]
        if len(mine):
            points = shapely.points(xy[mine[:, :2].reshape(-1)])
            off = int((shapely.distance(points, line) > TOLERANCE_M).sum())
            if off: yield Finding("faithful", "stretch_line", plane.k, None, {"claim": claim["id"], "points": off})
        if c in held:  # another stretch may go before it on a part of its line
            bare = float(shapely.length(shapely.difference(line, shapely.buffer(covered, 2 * TOLERANCE_M))))
            facts = {"claim": claim["id"], "metres": round(bare, 1)}
            if bare > LEAST_OFF_M: yield Finding("faithful", "stretch_bare", plane.k, None, facts)


def _edges_of(xy: Any, rows: Ints) -> Any:
    return shapely.multilinestrings(shapely.linestrings(xy[rows[:, :2]])) if len(rows) else shapely.MultiLineString()
