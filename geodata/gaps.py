"""Who is nearest: the walls that split the ground of no territory among the squads around it.

The walls are the edges of the Voronoi diagram of the gap's border segments that part two different owners.
Boost.Polygon (through pyvoronoi) makes the diagram. It is fast, but it errs next to nearly vertical segments
(boostorg/polygon issue 43, open): of 2,987 random layers, a third of them blocks between streets, it got 163 wrong; on
the map turned by 2 + i, none of 5,883. So the map is turned first, and nothing is believed before `_proven` has checked
all of it. A diagram that fails is made again with another turn; if all fail, that is an error.

Coordinates: whole millimetres of the work CRS, x east, y north. Inside, everything is relative to a local origin.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyvoronoi

from routing.errors import JieguanError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Box = tuple[int, int, int, int]

SAGITTA_MM = 0.3
"""No chord of an arc is farther than this from the arc."""
MARGIN_MM = 1000
"""Walls reach this far beyond the bounds."""
TOLERANCE_MM = 1e-3
"""Slack of the proof. Boost states 64 ulp of a coordinate, below 2**31 that is 3e-5 mm; seen: 6e-7 mm."""
WIDEST_MM = 2_000_000_000
"""Of sites and surroundings, on either axis: products of two differences fit 64 bits, and the turn (1, 1) fits 32."""
LIMIT = 2**31 - 1
"""Boost takes 32-bit coordinates."""
TURNS = ((2, 1), (3, 2), (1, 1), (-1, 1), (4, 1), (1, 0), (0, 1))
"""Gaussian integers a + bi. Multiplying by one turns and scales the grid into itself: no coordinate is rounded.

Maps are full of lines that run north or east; the first turns take them away from the direction in which Boost errs.
"""

POINT, SEGMENT = 0, 1


class SiteNotCanonical(JieguanError):
    zh = "第 {row} 条边界线段({value})长度为零或与另一条重复。空隙划分要求每条线段只出现一次;请先叠加(overlay)再划分。"
    en = (
        "Border segment {row} ({value}) has no length or occurs twice. Splitting a gap needs every segment once: "
        "pass the segments of the noded overlay."
    )


class GapTooWide(JieguanError):
    zh = (
        "空隙连同决定其归属的周边共宽 {value} 毫米,超过 {limit} 毫米(2000 公里):最近分队用 32 位坐标计算。"
        "请给出更小的范围,例如逐个空隙处理。"
    )
    en = (
        "The gap, with the surroundings that decide it, is {value} mm wide, over {limit} mm (2000 km): nearest squads "
        "are computed in 32-bit coordinates. Pass smaller bounds, for instance one gap at a time."
    )


class DiagramNotProven(JieguanError):
    zh = (
        "{value} 条边界线段的最近分区图在 {tries} 次尝试中都未通过检验,可能有误,因此不予采用。"
        "请检查线段是否只在端点处相接;若是,请分块处理空隙并报告此问题。"
    )
    en = (
        "The diagram of nearest squads for {value} border segments failed its proof in all {tries} attempts: it may be "
        "wrong and is not used. Check that segments meet at end points only; if so, split the gap, and report this."
    )


@dataclass(frozen=True, slots=True)
class Walls:
    """Directed pieces of wall. `left` and `right`: rank of the owner on either side of a piece.

    `segments` (k,4) mm, x1 y1 x2 y2, never of zero length; `chain` (k,) numbers the Voronoi edge a piece belongs to,
    from 0, pieces of a chain in running order. A chain lies wholly on one side of every site: it ends where it meets
    the end point of one.
    """

    segments: Ints
    left: Ints
    right: Ints
    chain: Ints


@dataclass(frozen=True, slots=True)
class _Sites:
    """Segments (n,4) in local mm, their ends as numbers into `points`, the owners of both. The last 4 are a frame."""

    segments: Ints
    ends: Ints
    points: Ints
    rank: Ints
    point_rank: Ints


@dataclass(frozen=True, slots=True)
class _Diagram:
    """Half-edges in twins (2i, 2i+1), each with its cell on its left; vertex -1 is at infinity.

    `site`: number of a cell's point or segment, by `kind`.
    """

    xy: Floats
    start: Ints
    end: Ints
    cell: Ints
    kind: Ints
    site: Ints


def bisectors(sites: Ints, rank: Ints, bounds: Box) -> Walls:
    """The walls between the ground nearest to one owner and the ground nearest to another, inside `bounds`.

    `sites`: int64 (n,4) mm, unique segments on the grid that meet at end points only. `rank`: int64 (n,), the owner of
    a segment by its place in the published order; lower wins ties, so a site's end point, and all ground nearest to it,
    belongs to the lowest rank that ends there. `bounds`: x0, y0, x1, y1 mm; walls reach `MARGIN_MM` beyond and end
    there. Sites too far away to matter cost little, so all of a map's may be passed for each gap.

    Lines are straight, arcs polylines within `SAGITTA_MM`; then every vertex is rounded once to the grid (half up), so
    a wall lies within 1.01 mm of where it belongs. Cells thinner than that may fold: pieces may touch or cross each
    other or a site, and must be noded. Pieces that fall on each other are merged where their labels join up (a|b and
    b|c are a|c, a|b and b|a are nothing); where thin cells have folded so that they do not, both are returned.

    The answer does not depend on the order or direction of the sites, and moves with sites and bounds.
    Raises SiteNotCanonical, GapTooWide, DiagramNotProven.
    """
    sites, rank = np.asarray(sites, dtype=np.int64).reshape(-1, 4), np.asarray(rank, dtype=np.int64)
    if len(sites) == 0:
        return _no_walls()
    box = (bounds[0] - MARGIN_MM, bounds[1] - MARGIN_MM, bounds[2] + MARGIN_MM, bounds[3] + MARGIN_MM)
    reach = _reach(sites, box)
    segments, owner = _canonical(sites, rank, _within(sites, box, reach))
    if (owner == owner[0]).all():
        return _no_walls()
    hull = _hull(segments, box, reach)
    width = max(hull[2] - hull[0], hull[3] - hull[1])
    if width > WIDEST_MM:
        raise GapTooWide(value=width, limit=WIDEST_MM)
    origin = np.array([(hull[0] + hull[2]) // 2, (hull[1] + hull[3]) // 2], dtype=np.int64)
    local = _placed(segments - np.tile(origin, 2), owner, _frame(hull) - np.tile(origin, 2))
    diagram = _diagram(local)
    return _walls(diagram, local, _moved(box, origin), origin)


# --- the sites ---


def _canonical(sites: Ints, rank: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """The rows, each from its lexicographically first end, sorted; refuses empty and double ones."""
    some = sites[rows]
    turned = (some[:, 0] > some[:, 2]) | ((some[:, 0] == some[:, 2]) & (some[:, 1] > some[:, 3]))
    segments = np.where(turned[:, None], some[:, [2, 3, 0, 1]], some)
    order = np.lexsort(segments.T[::-1])
    segments, rows = segments[order], rows[order]
    bad = (segments[:, :2] == segments[:, 2:]).all(axis=1)
    bad[1:] |= (segments[1:] == segments[:-1]).all(axis=1)
    if bad.any():
        row = int(rows[bad][0])
        raise SiteNotCanonical(row=row, value=sites[row].tolist())
    return segments, rank[rows]


def _placed(segments: Ints, rank: Ints, frame: Ints) -> _Sites:
    """Number the end points, each of the lowest rank that ends there; then the frame's four segments and four corners.

    A site left out as too far may end at a point of these, but then that point is too far as well: its rank is no
    matter.
    """
    points, ends = np.unique(segments.reshape(-1, 2), axis=0, return_inverse=True)
    point_rank = np.full(len(points), np.iinfo(np.int64).max)
    np.minimum.at(point_rank, ends.reshape(-1), np.repeat(rank, 2))
    corner = len(points) + np.array([[0, 1], [1, 2], [2, 3], [3, 0]], dtype=np.int64)
    none = np.full(4, np.iinfo(np.int64).min)
    return _Sites(
        np.concatenate([segments, frame]),
        np.concatenate([ends.reshape(-1, 2), corner]),
        np.concatenate([points, frame[:, :2]]),
        np.concatenate([rank, none]),
        np.concatenate([point_rank, none]),
    )


def _reach(segments: Ints, box: Box) -> int:
    """No point of the box is farther than this (mm) from its nearest site.

    For each of 8 x 8 parts of the box: from an end point to the farthest corner of the part, at the best end point.
    """
    ends = segments.reshape(-1, 2).astype(np.float64)
    cuts = [np.linspace(box[axis], box[axis + 2], 9) for axis in (0, 1)]
    far_x, far_y = (
        [np.maximum(np.abs(xy - a), np.abs(xy - b)) ** 2 for a, b in pairwise(cut)]
        for xy, cut in zip(ends.T, cuts, strict=True)
    )
    return int(np.sqrt(max((dx + dy).min() for dx in far_x for dy in far_y))) + 2


def _within(segments: Ints, box: Box, reach: int) -> Ints:
    """Numbers of the sites that can be nearest to a point of the box."""
    low, high = np.minimum(segments[:, :2], segments[:, 2:]), np.maximum(segments[:, :2], segments[:, 2:])
    apart = np.maximum(np.maximum(low - box[2:], box[:2] - high), 0).astype(np.float64)
    return np.flatnonzero((apart * apart).sum(axis=1) <= float(reach) ** 2)


def _hull(segments: Ints, box: Box, reach: int) -> Box:
    """A box around the sites and everything within reach of `box`: outside, nothing can matter inside `box`."""
    ends = segments.reshape(-1, 2)
    (x0, y0), (x1, y1) = ends.min(axis=0), ends.max(axis=0)
    return (
        min(int(x0), box[0] - reach) - MARGIN_MM,
        min(int(y0), box[1] - reach) - MARGIN_MM,
        max(int(x1), box[2] + reach) + MARGIN_MM,
        max(int(y1), box[3] + reach) + MARGIN_MM,
    )


def _frame(hull: Box) -> Ints:
    """Four segments, counter-clockwise. They close all cells, so that no edge we need is infinite."""
    x0, y0, x1, y1 = hull
    return np.array([[x0, y0, x1, y0], [x1, y0, x1, y1], [x1, y1, x0, y1], [x0, y1, x0, y0]], dtype=np.int64)


def _moved(box: Box, origin: Ints) -> Box:
    x, y = int(origin[0]), int(origin[1])
    return (box[0] - x, box[1] - y, box[2] - x, box[3] - y)


# --- the diagram ---


def _diagram(sites: _Sites) -> _Diagram:
    """The first proven diagram over the turns that fit 32 bits."""
    tries = 0
    for turn in TURNS:
        turned = _turned(sites.segments.reshape(-1, 2), turn).reshape(-1, 4)
        if np.abs(turned).max() > LIMIT:
            continue
        tries += 1
        diagram = _built(turned, sites, turn)
        if diagram is not None and _proven(diagram, sites):
            return diagram
    raise DiagramNotProven(value=len(sites.segments) - 4, tries=tries)


def _turned(xy: Ints, turn: tuple[int, int]) -> Ints:
    a, b = turn
    return np.stack([a * xy[:, 0] - b * xy[:, 1], b * xy[:, 0] + a * xy[:, 1]], axis=1)


def _turned_back(xy: Floats, turn: tuple[int, int]) -> Floats:
    a, b = turn
    back: Floats = np.stack([a * xy[:, 0] + b * xy[:, 1], a * xy[:, 1] - b * xy[:, 0]], axis=1)
    return back / (a * a + b * b)


def _built(turned: Ints, sites: _Sites, turn: tuple[int, int]) -> _Diagram | None:
    """Boost's diagram as arrays; None if it is not even a set of closed cycles."""
    maker = pyvoronoi.Pyvoronoi(1)
    for x1, y1, x2, y2 in turned.tolist():
        maker.AddSegment([[x1, y1], [x2, y2]])
    maker.Construct()
    vertices = np.array([(v.X, v.Y) for _, v in maker.EnumerateVertices()], dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(vertices).all():
        return None
    edges: list[int] = []
    corners: list[int] = []
    facts: list[tuple[int, int, int, int]] = []
    # A cell's `vertices` are the starts of its `edges`, the first one repeated at the end, but two starts at infinity
    # in succession are listed once. Reading cells alone takes half the time of reading all edges.
    for _, cell in maker.EnumerateCells():
        edges += cell.edges
        facts.append((cell.site, cell.source_category, len(cell.edges), len(cell.vertices)))
        corners += cell.vertices
    return _arranged(maker, vertices, np.array(edges), np.array(corners), np.array(facts), sites, turn)


def _arranged(
    maker: pyvoronoi.Pyvoronoi,
    vertices: Floats,
    edges: Ints,
    corners: Ints,
    facts: Ints,
    sites: _Sites,
    turn: tuple[int, int],
) -> _Diagram | None:
    site, source, size, listed = facts.reshape(-1, 4).T
    count = maker.CountEdges()
    # A point among segments with no reflex angle has an empty cell; that no other is empty follows from the proof.
    if len(edges) != count or (np.bincount(edges, minlength=count) != 1).any():
        return None
    plain = np.repeat(listed == size + 1, size)
    start = np.full(count, -2)
    start[edges[plain]] = corners[_first_of_each(size, listed)]
    for edge in edges[~plain].tolist():
        start[edge] = maker.GetEdge(edge).start
    cell = np.empty(count, dtype=np.int64)
    cell[edges] = np.repeat(np.arange(len(size)), size)
    end = start.reshape(-1, 2)[:, ::-1].reshape(-1)
    if (end[edges] != start[edges[_next_in_cycle(size)]]).any():
        return None
    is_point = source < 3
    number = np.where(is_point, sites.ends[site, np.where(source == 2, 1, 0)], site)
    return _Diagram(_turned_back(vertices, turn), start, end, cell, np.where(is_point, POINT, SEGMENT), number)


def _first_of_each(size: Ints, listed: Ints) -> Ints:
    """Places of the starts of plain cells in the list of all cells' corners."""
    plain = listed == size + 1
    at = np.cumsum(listed) - listed
    within = np.arange(size[plain].sum()) - np.repeat(np.cumsum(size[plain]) - size[plain], size[plain])
    places: Ints = np.repeat(at[plain], size[plain]) + within
    return places


def _next_in_cycle(size: Ints) -> Ints:
    """Place of the next element, for runs of the given sizes each taken as a cycle."""
    following: Ints = np.arange(1, size.sum() + 1)
    last, length = (np.cumsum(size) - 1)[size > 0], size[size > 0]
    following[last] = last - length + 1
    return following


# --- the proof ---
#
# Let f(x) be the distance from x to the site of the cell x lies in. If (1) the cells tile the plane, (2) both sites are
# equally far along every edge, and (3) every site lies in closed cells of its own or of sites that contain it, then f
# is the distance to the nearest site. For (1) and (2) make f continuous, and it changes by at most 1 mm per mm. Were
# another site q nearer to x, at distance D < f(x), walk straight to the point y of q nearest to x: there
# f(y) >= f(x) - D > 0, but y lies in a cell whose site contains y, so f(y) = 0.
#
# (1) Twin edges cancel, so over all cells the winding numbers around a point add up to one. A cell that is seen from
# its site as the theory says (star-shaped around a point, over a segment monotone along it, once around) winds once
# around its inside and not around its outside; so the cells tile. (3) is part of that shape: an end point also lies in
# the cells of its segments, so its own may be empty.


def _proven(diagram: _Diagram, sites: _Sites) -> bool:
    """Whether the diagram is the Voronoi diagram of the sites inside the frame, to TOLERANCE_MM."""
    return (
        _each_site_once(diagram, sites)
        and _closed(diagram, sites)
        and _equidistant(diagram, sites)
        and _points_seen(diagram, sites)
        and _segments_seen(diagram, sites)
    )


def _each_site_once(diagram: _Diagram, sites: _Sites) -> bool:
    cells = np.bincount(diagram.site + diagram.kind * len(sites.points), minlength=len(sites.points) + len(sites.rank))
    return len(cells) == len(sites.points) + len(sites.rank) and bool((cells == 1).all())


def _framed(diagram: _Diagram, sites: _Sites) -> Flags:
    """Cells of the frame: its four segments and its four corners are the last sites."""
    return diagram.site >= np.where(diagram.kind == POINT, len(sites.points), len(sites.rank)) - 4


def _finite(diagram: _Diagram) -> Flags:
    return (diagram.start >= 0) & (diagram.end >= 0)


def _closed(diagram: _Diagram, sites: _Sites) -> bool:
    return bool((_finite(diagram) | _framed(diagram, sites)[diagram.cell]).all())


def _equidistant(diagram: _Diagram, sites: _Sites) -> bool:
    """Every edge starts as far from the site on its left as from the one on its right; its twin vouches for its end."""
    edge = np.flatnonzero(_finite(diagram))
    at = diagram.xy[diagram.start[edge]]
    here = _distance(diagram, sites, diagram.cell[edge], at)
    there = _distance(diagram, sites, diagram.cell[edge ^ 1], at)
    return bool((np.abs(here - there) <= TOLERANCE_MM).all())


def _distance(diagram: _Diagram, sites: _Sites, cell: Ints, at: Floats) -> Floats:
    """From points to their cells' sites (mm); to the line of a segment, for `_segments_seen` keeps the foot on it."""
    distance = np.empty(len(cell))
    is_point = diagram.kind[cell] == POINT
    offset = at[is_point] - sites.points[diagram.site[cell[is_point]]]
    distance[is_point] = _length(offset)
    distance[~is_point] = np.abs(_along(sites.segments[diagram.site[cell[~is_point]]], at[~is_point])[1])
    return distance


def _length(vector: Floats) -> Floats:
    return np.sqrt(vector[:, 0] * vector[:, 0] + vector[:, 1] * vector[:, 1])


def _along(segments: Ints, at: Floats) -> tuple[Floats, Floats, Floats]:
    """Points in their segments' own axes (mm): along from the first end, to the left; and the segments' lengths."""
    way = (segments[:, 2:] - segments[:, :2]).astype(np.float64)
    length = _length(way)
    offset = at - segments[:, :2]
    along = (offset[:, 0] * way[:, 0] + offset[:, 1] * way[:, 1]) / length
    left = (offset[:, 1] * way[:, 0] - offset[:, 0] * way[:, 1]) / length
    return along, left, length


def _points_seen(diagram: _Diagram, sites: _Sites) -> bool:
    """From its point every cell is seen once around, or, with the point on its border, at most once."""
    edge = np.flatnonzero(_finite(diagram) & ((diagram.kind == POINT) & ~_framed(diagram, sites))[diagram.cell])
    cell = diagram.cell[edge]
    centre = sites.points[diagram.site[cell]]
    here, there = diagram.xy[diagram.start[edge]] - centre, diagram.xy[diagram.end[edge]] - centre
    near, far = np.minimum(_length(here), _length(there)), np.maximum(_length(here), _length(there))
    cross = here[:, 0] * there[:, 1] - here[:, 1] * there[:, 0]
    dot = here[:, 0] * there[:, 0] + here[:, 1] * there[:, 1]
    beside = near <= TOLERANCE_MM
    if (cross < -TOLERANCE_MM * far)[~beside].any():
        return False
    # An edge that runs through the point turns by half a circle, whichever side its last bit falls on.
    angle = np.where(beside, 0, np.where(dot < 0, np.abs(np.arctan2(cross, dot)), np.arctan2(cross, dot)))
    turned = np.bincount(cell, angle, minlength=len(diagram.kind))
    touching = np.bincount(cell, beside, minlength=len(diagram.kind)) > 0
    seen = np.unique(cell)
    once = np.where(touching, turned <= 2 * np.pi + 1e-3, np.abs(turned - 2 * np.pi) <= 1e-3)
    return bool(once[seen].all())


def _segments_seen(diagram: _Diagram, sites: _Sites) -> bool:
    """Over its segment every cell runs from end to end once on either side (of the frame: on the inner side)."""
    edge = np.flatnonzero(_finite(diagram) & (diagram.kind == SEGMENT)[diagram.cell])
    cell = diagram.cell[edge]
    segments = sites.segments[diagram.site[cell]]
    here, up_here, length = _along(segments, diagram.xy[diagram.start[edge]])
    there, up_there, _ = _along(segments, diagram.xy[diagram.end[edge]])
    slack = TOLERANCE_MM
    above = up_here + up_there > 0
    onwards = np.where(above, here - there, there - here) >= -slack
    inside = (np.minimum(here, there) >= -slack) & (np.maximum(here, there) <= length + slack)
    crossing = np.minimum(np.abs(up_here), np.abs(up_there)) > slack
    crossing &= (up_here > 0) != (up_there > 0)
    at_end = (np.maximum(here, there) <= slack) | (np.minimum(here, there) >= length - slack)
    if not (onwards & inside & (~crossing | at_end)).all():
        return False
    number = len(diagram.kind)
    run = np.bincount(cell, np.abs(there - here), minlength=number)
    corners = np.bincount(cell, minlength=number)
    is_segment = diagram.kind == SEGMENT
    sides = np.where(_framed(diagram, sites), 1, 2)[is_segment]
    whole = np.zeros(number)
    span = (sites.segments[:, 2:] - sites.segments[:, :2]).astype(np.float64)
    whole[is_segment] = sides * _length(span)[diagram.site[is_segment]]
    return bool((np.abs(run - whole) <= slack * (corners + 2))[is_segment].all())


# --- the walls ---


def _walls(diagram: _Diagram, sites: _Sites, box: Box, origin: Ints) -> Walls:
    """Edges between different owners, drawn, clipped to the box, rounded."""
    owner = np.where(
        diagram.kind == POINT,
        sites.point_rank[np.where(diagram.kind == POINT, diagram.site, 0)],
        sites.rank[np.where(diagram.kind == SEGMENT, diagram.site, 0)],
    )
    framed = _framed(diagram, sites)
    edge = np.arange(0, len(diagram.start), 2)
    left, right = diagram.cell[edge], diagram.cell[edge + 1]
    edge = edge[(owner[left] != owner[right]) & ~framed[left] & ~framed[right]]
    drawn, of_edge, chain = _drawn(diagram, sites, edge)
    drawn, kept = _clipped(drawn, box)
    pieces = _rounded(drawn)
    whole = (pieces[:, :2] != pieces[:, 2:]).any(axis=1)
    of_edge, chain = of_edge[kept][whole], chain[kept][whole]
    pair = diagram.cell[edge[of_edge]], diagram.cell[edge[of_edge] + 1]
    return _merged(pieces[whole] + np.tile(origin, 2), owner[pair[0]], owner[pair[1]], chain)


def _drawn(diagram: _Diagram, sites: _Sites, edge: Ints) -> tuple[Floats, Ints, Ints]:
    """Pieces (k,4) of the edges as floats, and of which edge and of which chain each is."""
    here, there = diagram.xy[diagram.start[edge]], diagram.xy[diagram.end[edge]]
    left, right = diagram.cell[edge], diagram.cell[edge + 1]
    mixed = diagram.kind[left] != diagram.kind[right]
    left_is_point = diagram.kind[left] == POINT
    point = np.where(mixed, diagram.site[np.where(left_is_point, left, right)], 0)
    segment = np.where(mixed, diagram.site[np.where(left_is_point, right, left)], 0)
    own_end = mixed & (sites.ends[segment] == point[:, None]).any(axis=1)
    arc = _Arcs.of(sites.points[point], sites.segments[segment], here, there)
    curved = mixed & ~own_end & (arc.depth > 0)
    through = own_end & _strictly_between(sites.points[point], here, there)
    count = np.where(curved, arc.count, np.where(through, 2, 1))
    # Places 0..count of every edge, one row each; pieces join a row to the next, save the last of an edge.
    row = np.repeat(np.arange(len(edge)), count + 1)
    step = np.arange(len(row)) - np.repeat(np.cumsum(count + 1) - count - 1, count + 1)
    last = step == count[row]
    place = np.where(last[:, None], there[row], here[row])
    inner = (step > 0) & ~last
    bend, split = np.flatnonzero(inner & curved[row]), np.flatnonzero(inner & through[row])
    place[bend] = arc.at(row[bend], step[bend])
    place[split] = sites.points[point[row[split]]]
    first = np.flatnonzero(~last)
    chain = 2 * row[first] + (through[row[first]] & (step[first] == 1))
    return np.hstack([place[first], place[first + 1]]), row[first], chain


def _strictly_between(point: Ints, here: Floats, there: Floats) -> Flags:
    """Whether points, known to lie on the line, lie inside the edge and not at its ends."""
    back, ahead = here - point, there - point
    dot = back[:, 0] * ahead[:, 0] + back[:, 1] * ahead[:, 1]
    return (dot < 0) & (_length(back) > TOLERANCE_MM) & (_length(ahead) > TOLERANCE_MM)


@dataclass(frozen=True, slots=True)
class _Arcs:
    """Arcs of points as far from a point as from a line, one per row (rows that are no arc are meaningless).

    In the line's axes, with the point at height p above the origin, the arc is y = (x*x + p*p) / 2p. A chord from x1
    to x2 leaves it by h*h / 8p upright, h = x2 - x1, hence by h*h / (8p sqrt(1 + m*m)) square to the chord, whose slope
    is m = (x1 + x2) / 2p. So h may grow as sqrt(8p e) (1 + (x/p)**2) ** (1/4), e the sagitta allowed. With x = p g(s),
    g(s) = s sqrt(1 + s*s/16), equal steps in s do that: g' <= (1 + g*g) ** (1/4), the fourth powers compared as
    polynomials in s*s. A step of sqrt(8e / (p + e/8)) keeps e on a chord over the apex too, where h = 2p g(step/2).
    """

    foot: Floats
    way: Floats
    normal: Floats
    depth: Floats
    first: Floats
    last: Floats
    count: Ints

    @classmethod
    def of(cls, point: Ints, segment: Ints, here: Floats, there: Floats) -> _Arcs:
        span = segment[:, 2:] - segment[:, :2]
        offset = point - segment[:, :2]
        # In integers: the height of a point 1e-9 mm beside a line counts. WIDEST_MM sees to it that it fits.
        cross = span[:, 0] * offset[:, 1] - span[:, 1] * offset[:, 0]
        length = _length(span.astype(np.float64))
        depth = np.abs(cross) / length
        way = span / length[:, None]
        normal = np.stack([-way[:, 1], way[:, 0]], axis=1) * np.where(cross < 0, -1.0, 1.0)[:, None]
        foot = point - normal * depth[:, None]
        safe = np.maximum(depth, 1e-12)
        first, last = (_parameter(foot, way, normal, safe, place) for place in (here, there))
        return cls(foot, way, normal, depth, first, last, _pieces(first, last, safe))

    def at(self, row: Ints, step: Ints) -> Floats:
        """The place after `step` of the row's `count` equal steps."""
        share = step / self.count[row]
        s = self.first[row] * (1 - share) + self.last[row] * share
        depth = self.depth[row]
        g = s * np.sqrt(1 + s * s / 16)
        along, height = depth * g, depth * (g * g + 1) / 2
        return self.foot[row] + self.way[row] * along[:, None] + self.normal[row] * height[:, None]


def _pieces(first: Floats, last: Floats, depth: Floats) -> Ints:
    """How many equal steps from one parameter to the other keep the sagitta, see `_Arcs`."""
    stride = np.sqrt(8 * SAGITTA_MM / (depth + SAGITTA_MM / 8))
    return np.maximum(np.ceil(np.abs(last - first) / stride), 1).astype(np.int64)


def _parameter(foot: Floats, way: Floats, normal: Floats, depth: Floats, place: Floats) -> Floats:
    """The s of a place on the arc: from its x where the arc is flat, from its y where it is steep."""
    offset = place - foot
    along = offset[:, 0] * way[:, 0] + offset[:, 1] * way[:, 1]
    height = offset[:, 0] * normal[:, 0] + offset[:, 1] * normal[:, 1]
    steep = np.copysign(np.sqrt(np.maximum(2 * height * depth - depth * depth, 0)), along)
    g = np.where(np.abs(along) > depth, steep, along) / depth
    return g * np.sqrt(2 / (np.sqrt(1 + g * g / 4) + 1))


def _clipped(pieces: Floats, box: Box) -> tuple[Floats, Ints]:
    """The parts of pieces inside the box, and the numbers of the pieces that have one. Ends inside keep every bit."""
    outside = np.any((pieces < np.tile(box[:2], 2)) | (pieces > np.tile(box[2:], 2)), axis=1)
    outer = np.flatnonzero(outside)
    low, high = _shares(pieces[outer], box)
    cut = low < high
    kept = np.sort(np.concatenate([np.flatnonzero(~outside), outer[cut]]))
    outer, low, high = outer[cut], low[cut][:, None], high[cut][:, None]
    here, way = pieces[outer, :2], pieces[outer, 2:] - pieces[outer, :2]
    pieces[outer, :2] = np.where(low > 0, here + way * low, here)
    pieces[outer, 2:] = np.where(high < 1, here + way * high, pieces[outer, 2:])
    return pieces[kept], kept


def _shares(pieces: Floats, box: Box) -> tuple[Floats, Floats]:
    """Between which shares of its length a piece runs inside the box (Liang and Barsky); nowhere if low >= high."""
    low, high = np.zeros(len(pieces)), np.ones(len(pieces))
    for axis in (0, 1):
        for limit, sign in ((box[axis], -1.0), (box[axis + 2], 1.0)):
            room = sign * (limit - pieces[:, axis])
            speed = sign * (pieces[:, axis + 2] - pieces[:, axis])
            share = np.divide(room, speed, out=np.zeros_like(room), where=speed != 0)
            low = np.where(speed < 0, np.maximum(low, share), low)
            high = np.where(speed > 0, np.minimum(high, share), high)
            low = np.where((speed == 0) & (room < 0), 2.0, low)
    return low, high


def _rounded(places: Floats) -> Ints:
    """To the grid, half up. First to 1/1024 mm: halves are frequent, and their last bits must not decide."""
    return (np.rint(places * 1024).astype(np.int64) + 512) >> 10


def _merged(pieces: Ints, left: Ints, right: Ints, chain: Ints) -> Walls:
    """Pieces that fall on each other become one, or none, where their labels join up."""
    swap = (pieces[:, 0] > pieces[:, 2]) | ((pieces[:, 0] == pieces[:, 2]) & (pieces[:, 1] > pieces[:, 3]))
    kept = np.ones(len(pieces), dtype=np.bool_)
    left, right = left.copy(), right.copy()
    for rows in _shared(np.where(swap[:, None], pieces[:, [2, 3, 0, 1]], pieces)):
        _join(rows, swap, left, right, kept)
    _, number = np.unique(chain[kept], return_inverse=True)
    return Walls(pieces[kept], left[kept], right[kept], number.reshape(-1).astype(np.int64))


def _shared(pieces: Ints) -> list[Ints]:
    """Groups of rows with one piece, rows ascending. A hash finds the few candidates, equality decides."""
    odd = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5], dtype=np.uint64)
    key = (pieces.astype(np.uint64) * odd).sum(axis=1, dtype=np.uint64)
    ordered = np.sort(key)
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if len(again) == 0:
        return []
    row = np.flatnonzero(np.isin(key, again))
    _, group, size = np.unique(pieces[row], axis=0, return_inverse=True, return_counts=True)
    row, group = row[size[group] > 1], group[size[group] > 1]
    order = np.argsort(group, kind="stable")
    return np.split(row[order], np.flatnonzero(np.diff(group[order])) + 1) if len(row) else []


def _join(rows: Ints, swap: Flags, left: Ints, right: Ints, kept: Flags) -> None:
    """Cancel equal labels across pieces on one place; the first one carries what is left, if that is a wall or none."""
    flip = swap[rows]
    on_left = list(np.where(flip, right[rows], left[rows]))
    on_right = list(np.where(flip, left[rows], right[rows]))
    for label in list(on_left):
        if label in on_right:
            on_left.remove(label)
            on_right.remove(label)
    if len(on_left) > 1:
        return
    kept[rows] = False
    if len(on_left) == 1:
        kept[rows[0]] = True
        ends = (on_left[0], on_right[0]) if not flip[0] else (on_right[0], on_left[0])
        left[rows[0]], right[rows[0]] = ends


def _no_walls() -> Walls:
    none = np.empty(0, dtype=np.int64)
    return Walls(none.reshape(0, 4), none, none.copy(), none.copy())
