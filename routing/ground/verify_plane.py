"""The proof that the faces of a plate fill its outside rings without overlap, and its extent exactly.

Theorem. Let every ring be a closed chain of directed edges with its ground on the left; outside rings run clockwise, so that
the outside is on their left.

    T  every undirected edge occurs exactly twice, once in each direction: it has one owner above and one below
    P  no two edges meet except at common end points
    A  whenever two edges become neighbours on the sweep line, the owner above the lower is the owner below the upper;
       below the lowest and above the highest is the outside

Then every point off the edges has exactly one owner, a face or the outside: between two events the status of the sweep
divides the line into intervals; A gives each interval one owner, T and P keep it the same until the next event. T alone is
no proof (an island slid over other ground keeps it), nor are areas (an overlap may pay for a gap).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing.ground import verify_sweep as kernel
from routing.ground.verify_finding import Finding, Place
from routing.ground.verify_read import Array, Ints, Plate
from routing.ground.verify_sets import minus

MAX_COORDINATE = 10_000_000_000
OUTSIDE = -1


@dataclass(frozen=True, slots=True)
class Plane:
    """A plate whose indices hold: half-edges tail -> head of all rings with the face on their left (-1: outside)."""

    k: int
    plate: Plate
    local: Ints
    """xy less the lower left corner."""
    tail: Ints
    head: Ints
    owner: Ints
    ring_owner: Ints
    high: Ints
    low: Ints
    """Twice the area of each ring, in two limbs."""

    def place(self, vertex: int) -> Place:
        x, y = self.plate.xy[vertex]
        return float(x) / 1000, float(y) / 1000


@dataclass(frozen=True, slots=True)
class Edges:
    """Undirected edges lo < hi, sorted, with the face below and above (left of lo -> hi is above; -1: outside)."""

    lo: Ints
    hi: Ints
    below: Ints
    above: Ints


def plane_of(k: int, plate: Plate) -> tuple[Plane | None, list[Finding]]:
    """The plate with its half-edges, or the findings that forbid even that."""
    findings = [
        *_span(k, plate), *_vertex_order(k, plate), *_rings(k, plate, "ring", "ring_at"),
        *_rings(k, plate, "extent_ring", "extent_at"), *_faces(k, plate),
    ]
    if findings: return None, findings
    at, ring = plate.ring_at, plate.ring
    tail, head = _ends(ring, at)
    ring_owner = np.full(len(at) - 1, OUTSIDE, np.int64)
    inner = int(plate.face_at[-1])
    ring_owner[:inner] = np.repeat(np.arange(len(plate.label)), np.diff(plate.face_at))
    local = _local(plate.xy)
    high, low = kernel.doubled_areas(local, _plain(ring), _plain(at))
    plane = Plane(k, plate, local, tail, head, np.repeat(ring_owner, np.diff(at)), ring_owner, high, low)
    return plane, list(_turns(plane))


def check_plane(plane: Plane) -> tuple[Edges | None, list[Finding]]:
    """T, P, A and the areas; the edges when T holds."""
    edges, findings = _twins(plane)
    if edges is not None: findings += _sweep(plane, edges)
    difference = kernel.total(plane.high, plane.low)
    if difference: findings.append(Finding("areas", "differ", plane.k, None, {"area2": difference}))
    return edges, findings


def check_extent(plane: Plane, edges: Edges) -> Iterator[Finding]:
    """The declared border is exactly where `inside` changes, with the extent on its left, and the areas agree."""
    plate, n = plane.plate, len(plane.local)
    inside = np.append(np.asarray(plate.inside, np.int64)[plate.label], 0)  # the last is the outside, face -1
    up, down = inside[edges.above], inside[edges.below]
    border = np.concatenate([(edges.lo * n + edges.hi)[up > down], (edges.hi * n + edges.lo)[down > up]])
    tail, head = _ends(plate.extent_ring, plate.extent_at)
    declared = np.sort(tail * n + head)
    missing = minus(border, declared)
    again = declared[1:][declared[1:] == declared[:-1]]
    extra = np.concatenate([minus(declared, border), again])
    for what, keys in (("missing", missing), ("extra", extra)):
        if len(keys): yield Finding("extent", what, plane.k, plane.place(int(keys[0]) // n), {"edges": len(keys)})
    yield from _extent_areas(plane, inside)


def _extent_areas(plane: Plane, inside: Ints) -> Iterator[Finding]:
    plate = plane.plate
    within = inside[plane.ring_owner] == 1
    faces = kernel.total(plane.high[within], plane.low[within])
    rings = kernel.total(*kernel.doubled_areas(plane.local, _plain(plate.extent_ring), _plain(plate.extent_at)))
    if faces != rings: yield Finding("extent", "area", plane.k, None, {"faces": faces, "rings": rings})
    if rings != plate.extent_area2:
        yield Finding("extent", "declared", plane.k, None, {"declared": plate.extent_area2, "rings": rings})


# ---- structure ------------------------------------------------------------------------------------------------------


def _span(k: int, plate: Plate) -> Iterator[Finding]:
    if len(plate.xy) == 0: return
    low, high = plate.xy.min(0), plate.xy.max(0)
    span = max(int(h) - int(s) for s, h in zip(low, high, strict=True))
    size = max(-int(low.min()), int(high.max()))
    for value, limit in ((size, MAX_COORDINATE), (span, kernel.MAX_SPAN - 1)):
        if value > limit:
            yield Finding("structure", "too_wide", k, None, {"span": value, "limit": limit})
            return


def _vertex_order(k: int, plate: Plate) -> Iterator[Finding]:
    x, y = plate.xy[:, 0], plate.xy[:, 1]
    rises = (x[1:] > x[:-1]) | ((x[1:] == x[:-1]) & (y[1:] > y[:-1]))  # compared, not subtracted: nothing can overflow
    if not rises.all():
        vertex = int(np.argmin(rises)) + 1
        at = (float(x[vertex]) / 1000, float(y[vertex]) / 1000)
        yield Finding("structure", "vertex_order", k, at, {"vertex": vertex})


def _rings(k: int, plate: Plate, ids: str, offsets: str) -> Iterator[Finding]:
    ring, at = getattr(plate, ids), getattr(plate, offsets)
    yield from _within(k, ids, ring, 0, len(plate.xy) - 1)
    wrong = list(_offsets(k, offsets, at, len(ring)))
    yield from wrong
    if wrong: return
    short = np.diff(at) < 3
    if short.any():
        r = int(np.argmax(short))
        yield Finding("structure", "short_ring", k, None, {"ring": r, "vertices": int(at[r + 1] - at[r])})
    tail, head = _ends(ring, at)
    if (tail == head).any():
        r = int(np.searchsorted(at, int(np.argmax(tail == head)), "right")) - 1
        yield Finding("structure", "empty_edge", k, None, {"ring": r})


def _faces(k: int, plate: Plate) -> Iterator[Finding]:
    rings = len(plate.ring_at) - 1
    inner = int(plate.face_at[-1]) if len(plate.face_at) else 0
    yield from _within(k, "face_at", plate.face_at, 0, max(rings, 0))
    yield from _offsets(k, "face_at", plate.face_at, inner)
    yield from _within(k, "label", plate.label, 0, len(plate.labels) - 1, check="labels")
    faces = len(plate.face_at) - 1
    if len(plate.label) != faces:
        yield Finding("structure", "faces", k, None, {"faces": faces, "labels": len(plate.label)})
    if not np.array_equal(plate.outside, np.arange(inner, rings)):
        yield Finding("structure", "outside_rings", k, None, {"expected": rings - inner, "given": len(plate.outside)})


def _within(k: int, entry: str, values: Array, low: int, high: int, check: str = "structure") -> Iterator[Finding]:
    wrong = (values < low) | (values > high)
    if not wrong.any(): return
    at = int(np.argmax(wrong))
    if check == "labels":
        yield Finding("labels", "face", k, None, {"face": at, "label": int(values[at]), "labels": high + 1})
        return
    facts = {"entry": entry, "at": at, "value": int(values[at]), "low": low, "high": high}
    yield Finding("structure", "index", k, None, facts)


def _offsets(k: int, entry: str, at: Ints, end: int) -> Iterator[Finding]:
    if len(at) == 0:
        yield Finding("structure", "offsets", k, None, {"entry": entry, "end": end, "at": 0, "value": None})
        return
    wrong = np.concatenate([[at[0] != 0], at[1:] <= at[:-1]])
    wrong[-1] |= at[-1] != end
    if wrong.any():
        i = int(np.argmax(wrong))
        yield Finding("structure", "offsets", k, None, {"entry": entry, "end": end, "at": i, "value": int(at[i])})


def _turns(plane: Plane) -> Iterator[Finding]:
    """Shells and the order of rings in a face. The theorem does not need it; readers of the file do."""
    turn = kernel.signs(plane.high, plane.low)
    inner = int(plane.plate.face_at[-1])
    shell = np.zeros(len(turn), np.bool_)
    shell[plane.plate.face_at[:-1]] = True
    hole = ~shell
    hole[inner:] = False
    outside = np.arange(len(turn)) >= inner
    for what, rings, good in (("shell", shell, 1), ("hole", hole, -1), ("outside_turned", outside, -1)):
        bad = rings & (turn != good)
        if not bad.any(): continue
        r = int(np.argmax(bad))
        place = plane.place(int(plane.plate.ring[plane.plate.ring_at[r]]))
        yield Finding("structure", what, plane.k, place, {"ring": r, "face": int(plane.ring_owner[r])})


# ---- T, P, A --------------------------------------------------------------------------------------------------------


def _twins(plane: Plane) -> tuple[Edges | None, list[Finding]]:
    table, bad, first = kernel.twins(plane.tail, plane.head, plane.owner, len(plane.local))
    whats = ((kernel.SINGLE, "single"), (kernel.SAME_WAY, "same_way"), (kernel.MANY, "many"))
    findings = [
        Finding("twin", what, plane.k, plane.place(int(plane.tail[first[code]])), {"edges": int(bad[code])})
        for code, what in whats if bad[code]
    ]
    return (None if findings else Edges(*table)), findings


def _sweep(plane: Plane, edges: Edges) -> Iterator[Finding]:
    code, vertex, below, above = kernel.sweep(plane.local, edges.lo, edges.hi, edges.below, edges.above)
    if code == kernel.FINE: return
    what = {
        kernel.VERTEX_IN_EDGE: "vertex_in_edge", kernel.ORDER: "order", kernel.OVERLAP: "overlap",
        kernel.OWNERS: "owners", kernel.CROSSING: "crossing", kernel.LEFT_OVER: "left_over",
    }[code]
    yield Finding("sweep", what, plane.k, plane.place(vertex), {"below": int(below), "above": int(above)})


def _ends(ring: Ints, at: Ints) -> tuple[Ints, Ints]:
    """Tail and head of every edge of rings that close implicitly."""
    head = np.empty(len(ring), np.int64)
    head[:-1] = ring[1:]
    head[at[1:] - 1] = ring[at[:-1]]
    return _plain(ring), head


def _local(xy: Ints) -> Ints:
    return _plain(xy - xy.min(0)) if len(xy) else np.empty((0, 2), np.int64)


def _plain(a: NDArray[np.int64]) -> Ints:
    """One memory layout for the kernels, so that each is compiled once."""
    return np.require(a, np.int64, ["C", "W"])
