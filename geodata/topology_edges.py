"""Flaws of lines: vertices that one neighbour lacks, outlines that run side by side without meeting, spikes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from geodata.intake import Geometries
from geodata.topology_facts import Flags, Floats, LayerFacts, edges_of
from geodata.topology_issue import Place
from routing.ground.noding import MM, Ints, among, canonical, unique_rows

TOUCH_M = 0.02
"""A vertex this near a line is meant to lie on it: a straight line of degrees bends 17 mm in a kilometre of metres."""

NEAR_M = 0.5
"""Lines that face each other nearer than this are one border drawn twice: no drain, wall or kerb between is narrower."""

LONG_M = 10.0
"""Longer edges are looked at from three points, not one."""

FACING = -0.9
"""Cosine of the directions of two edges that face each other: 25 degrees off parallel at most."""

SPIKE_DEG = 0.5
"""Acuter corners are no shape of ground. The piles of a pier in New York's precinct 61, drawn one by one, have 0.69."""

SPIKE_M = 1.0
"""Shorter spikes lie within what drawing is worth."""

BLUNT_M = 0.01
"""Vertices nearer than this are one when spikes are looked for: a tip may be cut off."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """What was seen between two features: how many times, over what length, the widest distance, one place."""

    count: int
    length_m: float
    width_m: float | None
    place: Place


def lone_vertices(facts: LayerFacts) -> dict[tuple[int, int], Pairing]:
    """Vertices of one feature within TOUCH_M of another's edge that has no vertex there; by pair, the lesser first."""
    segment, feature = edges_of(facts.lines, len(facts.ids))
    if not len(segment):
        return {}
    point, of = _vertices(segment, feature)
    tree = _tree(segment[:, :2] / MM, segment[:, 2:] / MM)
    i, j = tree.query(shapely.points(point / MM), predicate="dwithin", distance=TOUCH_M)
    keep = _strangers(facts, of[i], feature[j])
    i, j = i[keep], j[keep]
    along, length = _foot(point[i], segment[j])
    inner = (along > TOUCH_M) & (length - along > TOUCH_M)
    return _paired(of[i[inner]], feature[j[inner]], point[i[inner]] / MM, None, None)


def facing_rims(facts: LayerFacts) -> dict[tuple[int, int], Pairing]:
    """Outer edges of two features that face each other across a strip of the outside at most NEAR_M wide."""
    start, way, feature = _rim(facts)
    if not len(feature):
        return {}
    length = np.hypot(*way.T)
    tree = _tree(start, start + way)
    i, place = _samples(start, way, length)
    at, j = tree.query(shapely.points(place), predicate="dwithin", distance=NEAR_M)
    place, i = place[at], i[at]
    keep = _strangers(facts, feature[i], feature[j])
    place, i, j = place[keep], i[keep], j[keep]
    across = place - start[j]
    along = (across * way[j]).sum(1) / length[j]
    off = (way[j, 0] * across[:, 1] - way[j, 1] * across[:, 0]) / length[j]  # left of an edge is its feature
    cosine = (way[i] * way[j]).sum(1) / (length[i] * length[j])
    seen = (along >= 0) & (along <= length[j]) & (off < 0) & (cosine < FACING)
    i, j, place, off = i[seen], j[seen], place[seen], -off[seen]
    share = np.where(length > LONG_M, length / 3, length)
    return _paired(feature[i], feature[j], place, share[i] / 2, off)  # each strip is seen from both sides


def _samples(start: Floats, way: Floats, length: Floats) -> tuple[Ints, Floats]:
    """Points to look from: the middle of each edge, and the ends of a long one, of which only an end may face another."""
    every, long = np.arange(len(way)), np.flatnonzero(length > LONG_M)
    edge = np.concatenate([every, long, long])
    part = np.repeat([0.5, 0.0, 1.0], [len(every), len(long), len(long)])
    return edge, start[edge] + part[:, None] * way[edge]


def spikes_of(ground: Geometries) -> Iterator[tuple[int, Place, float, float]]:
    """(feature, tip, length m, angle in degrees) where a ring turns back by less than SPIKE_DEG, at least SPIKE_M long.

    The angle is of the ground: a slit into it is not a spike of this feature.
    """
    parts, of = shapely.get_parts(ground, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    hole = np.r_[False, part[1:] == part[:-1]]
    ccw = shapely.is_ccw(rings)
    seen: set[tuple[int, Place]] = set()
    for n in np.unique(ring[_sharp(xy, ring)]):
        for place, length, angle in _spikes(xy[ring == n], inward=bool(ccw[n] == hole[n])):
            if (int(of[part[n]]), place) not in seen:
                seen.add((int(of[part[n]]), place))
                yield int(of[part[n]]), place, length, angle


def _sharp(xy: Floats, ring: Ints) -> Flags:
    """Rings worth a closer look: a corner sharper than 90 degrees beside one of them or beside a very short edge."""
    first = np.r_[0, np.flatnonzero(ring[1:] != ring[:-1]) + 1]
    count = np.diff(np.r_[first, len(ring)]) - 1  # the last vertex repeats the first
    at = np.arange(len(ring)) - np.repeat(first, count + 1)
    size = np.repeat(count, count + 1)
    base = np.repeat(first, count + 1)
    back, on = xy[base + (at - 1) % size] - xy, xy[base + (at + 1) % size] - xy
    short = np.minimum(np.hypot(*back.T), np.hypot(*on.T)) < BLUNT_M
    cosine = (back * on).sum(1) / np.maximum(np.hypot(*back.T) * np.hypot(*on.T), 1e-12)
    return np.asarray(short | (cosine > np.cos(np.radians(SPIKE_DEG))), bool)


def _spikes(ring: Floats, inward: bool) -> Iterator[tuple[Place, float, float]]:
    """Of one closed ring. `inward`: the ground is on the right of it."""
    xy = ring[:-1]
    far = np.hypot(*(xy - np.roll(xy, 1, 0)).T) >= BLUNT_M
    xy = xy[far]
    if len(xy) < 3:
        return
    back, on = np.roll(xy, 1, 0) - xy, np.roll(xy, -1, 0) - xy
    length = np.minimum(np.hypot(*back.T), np.hypot(*on.T))
    cross = (on[:, 0] * back[:, 1] - on[:, 1] * back[:, 0]) * (-1 if inward else 1)
    angle = np.degrees(np.arctan2(cross, (on * back).sum(1)))
    for n in np.flatnonzero((np.abs(angle) < SPIKE_DEG) & (angle >= -1e-9) & (length >= SPIKE_M)):
        yield (float(xy[n, 0]), float(xy[n, 1])), float(length[n]), float(abs(angle[n]))


def _vertices(segment: Ints, feature: Ints) -> tuple[Ints, Ints]:
    """Each vertex of each feature once."""
    point, place = unique_rows(segment.reshape(-1, 2))
    many = int(feature.max()) + 1
    key = np.unique(place * many + np.repeat(feature, 2))
    return point[key // many], key % many


def _tree(start: Floats, end: Floats) -> shapely.STRtree:
    lines: Any = shapely.linestrings(np.stack([start, end], 1))  # its stub allows for one line
    return shapely.STRtree(lines)


def _strangers(facts: LayerFacts, a: Ints, b: Ints) -> Flags:
    """Features of different squads."""
    number = {squad: n for n, squad in enumerate(dict.fromkeys(facts.ids))}
    squad = np.array([number[s] if s else -1 - i for i, s in enumerate(facts.ids)])
    return np.asarray(squad[a] != squad[b], bool)


def _foot(point: Ints, segment: Ints) -> tuple[Floats, Floats]:
    """How far along each segment its point's foot lies, and the segment's length, metres."""
    way = (segment[:, 2:] - segment[:, :2]).astype(float)
    length = np.hypot(*way.T)
    return ((point - segment[:, :2]) * way).sum(1) / length / MM, length / MM


def _rim(facts: LayerFacts) -> tuple[Floats, Floats, Ints]:
    """Start, vector (metres, the feature on the left) and feature of each edge between one feature and open ground."""
    faces, arrangement = facts.faces, facts.faces.arrangement
    is_open = np.append(faces.open, True)  # the last is OUTSIDE
    holder = np.array([held[0] if len(held) == 1 else -1 for held in faces.holders] + [-1], np.int64)
    xy = arrangement.xy / MM
    outer = np.ones(len(arrangement.edge), bool)
    if facts.outer is not None:
        outer = among(canonical(arrangement.xy[arrangement.edge].reshape(-1, 4)), facts.outer)
    found = []
    for left, right, a, b in ((0, 1, 0, 1), (1, 0, 1, 0)):
        rim = (holder[arrangement.side[:, left]] >= 0) & is_open[arrangement.side[:, right]] & outer
        start, end = xy[arrangement.edge[rim, a]], xy[arrangement.edge[rim, b]]
        found.append((start, end - start, holder[arrangement.side[rim, left]]))
    start, way, feature = (np.concatenate(column) for column in zip(*found, strict=True))
    return start, way, feature


def _paired(
    a: Ints, b: Ints, place: Floats, length: Floats | None, width: Floats | None
) -> dict[tuple[int, int], Pairing]:
    """Grouped by pair; the place is that of the greatest width, then the least."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    wide = np.zeros(len(low)) if width is None else width
    order = np.lexsort((place[:, 1], place[:, 0], -wide, high, low))
    pairs, first, count = np.unique(np.stack([low, high], 1)[order], axis=0, return_index=True, return_counts=True)
    found = {}
    for (one, other), at, n in zip(pairs.tolist(), first, count, strict=True):
        rows = order[at : at + n]
        x, y = place[rows[0]]
        distinct = len(np.unique(place[rows], axis=0))
        reach = 0.0 if length is None else float(length[rows].sum())
        wide_m = None if width is None else float(width[rows[0]])
        found[one, other] = Pairing(distinct, reach, wide_m, (float(x), float(y)))
    return found
