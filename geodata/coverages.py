"""Coverages made of grounds, and changed: borders drawn anew, ground given other holders.

    coverage_of  polygons become arcs
    reshaped     arcs get other paths; refused where a path would cross somebody else's border
    relabelled   ground inside a region gets other holders; its outline becomes border
    renamed      every holder replaced

Everything in `edits.py` is made of them. Each overlays only the ground that is touched, on the millimetre grid, with the
compiler's own noding; all other arcs stay the very same values. Coordinates are whole millimetres of the work CRS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geodata.arcs import (
    NEAR_MM,
    Arc,
    ArcIndex,
    Coverage,
    Holders,
    box_of,
    lines_together,
    located,
    metres,
    ring_segments,
    segments_of,
)
from routing.errors import JieguanError
from routing.ground.chains import chains
from routing.ground.faces import Arrangement, Walls, arrange, twice_areas
from routing.ground.noding import MM, Ints, Linework, among, canonical, linework, node, unique_rows

UNKNOWN = -1
"""Of a face that is not overlaid: its holders are those its arcs tell."""


class BorderCrossed(JieguanError):
    zh = "改画后的界线在 {at}(工作坐标系,米)越过了 {who} 的边界:移动一段共同边界不能改变第三方的地界。请在该处之前止住,或改用“划转地块”。"
    en = (
        "The border as redrawn crosses that of {who} at {at} (metres, work CRS): moving a shared border may not change a third "
        "party's ground. Stop before that place, or hand the piece over instead."
    )


class EndsMoved(JieguanError):
    zh = "界段 {arc} 的新路径不在原端点({at})起止:端点是多方共有的界点。请用“移动界点”一并移动所有相接的界段。"
    en = (
        "The new path of arc {arc} does not start and end where the arc does ({at}): ends are shared with other arcs. Move the "
        "node instead; all arcs that meet there follow."
    )


class PathTooShort(JieguanError):
    zh = "界段 {arc} 的新路径只有 {count} 个不同的点:一段边界至少要两个点(闭合的要三个)。请补画。"
    en = "The new path of arc {arc} has {count} distinct points: a border needs two, a closed one three. Draw more of it."


class PathCrossesItself(JieguanError):
    zh = "界段 {arc} 的新路径与自身相交或相触(约在 {at},米):哪边属谁无法确定。请去掉打结处。"
    en = "The new path of arc {arc} crosses or touches itself near {at} (metres), so nobody knows whose side is whose. Untie the knot."


class UnknownArc(JieguanError):
    zh = "没有界段“{arc}”:它可能已被另一项修改合并或拆分。请刷新图层后重试。"
    en = "There is no arc {arc!r}: another edit may have merged or split it. Load the layer again."


def coverage_of(grounds: Mapping[str, Any]) -> Coverage:
    """The arcs of a layer: polygons in metres by code. Overlaps and gaps stay what they are.

    The same ids whatever the order of `grounds`, of rings and of vertices.
    """
    codes = sorted(grounds)
    lines = linework([grounds[c] for c in codes])
    full = arrange(lines)
    held: list[Holders] = [tuple(codes[i] for i in label) for label in full.labels]
    numbers, face = _numbered(held)
    side = np.append(face, numbers[()])[full.side]
    made = _arcs(full, side, list(numbers), np.zeros(len(full.xy), np.bool_))
    found = [Arc("", path, left, right) for path, left, right, _ in made]
    return _settled(_named(Coverage({}), found, {}), Coverage({}))


def reshaped(coverage: Coverage, index: ArcIndex, paths: Mapping[str, Ints]) -> Coverage:
    """Arcs with other paths (mm). Ends may move only together: every arc that meets a moved end must be among `paths`.

    Raises UnknownArc, PathTooShort, PathCrossesItself, EndsMoved, BorderCrossed.
    """
    new = {id_: _new_path(coverage, id_, path) for id_, path in sorted(paths.items())}
    _check_ends(coverage, new)
    lines = lines_together([*new.values(), *(coverage.arcs[i].path for i in new)])
    touched = _touched(index, lines) | _beside(coverage.arcs[i] for i in new)
    if any(not coverage.arcs[i].left or not coverage.arcs[i].right for i in new):
        # A rim that moves outwards may go around a unit without coming near its lines.
        x0, y0, x1, y1 = shapely.bounds(lines).tolist()
        touched |= _beside(a for a in index.near((x0, y0, x1, y1)) if not a.left or not a.right)
    local = {a.id: a for a in coverage.arcs.values() if a.left in touched or a.right in touched}
    after = [Arc(a.id, new.get(a.id, a.path), a.left, a.right) for a in local.values()]
    full, held, of = _overlaid(after, touched, None)
    _check_overlaps(full, held, {c for i in new for c in coverage.arcs[i].holders})
    made = _spliced(coverage, local, after, full, [_only(label) for label in held], of)
    return _settled(made, coverage, index)


def relabelled(
    coverage: Coverage, index: ArcIndex, region: Any, change: Callable[[Holders], Holders], *, inside: Holders | None = None
) -> Coverage:
    """Ground inside `region` (polygons, whole mm) gets the holders `change` makes of its holders.

    `inside`: the holders of the ground around the region's first vertex, where no arc comes near it (else not needed).
    A region whose outline runs along arcs alone, as a gap's or an overlap's does, changes sides and nothing else: exactly.
    """
    along = _enclosed(index, region)
    if along is not None:
        return _resided(coverage, index, along, change)
    touched = _touched(index, region)
    touched |= {located(index, shapely.get_coordinates(region)[0]) if inside is None else inside} - {()}
    local = {a.id: a for a in coverage.arcs.values() if a.left in touched or a.right in touched}
    full, held, of = _overlaid(list(local.values()), touched, region)
    here = [_only([h for h in label if h is not _REGION]) for label in held]
    now: list[Holders | None] = []
    for label, was in zip(held, here, strict=True):
        if _REGION not in label:
            now.append(was)
        else:
            now.append(tuple(sorted(set(change(() if was is None else was)))))
    made = _spliced(coverage, local, list(local.values()), full, now, of)
    return _settled(made, coverage, index)


def renamed(coverage: Coverage, change: Callable[[Holders], Holders]) -> Coverage:
    """Every holder replaced; arcs with one holder on both sides vanish, and those they parted join."""
    touched = {h for a in coverage.arcs.values() for h in (a.left, a.right) if change(h) != h}
    local = {a.id: a for a in coverage.arcs.values() if a.left in touched or a.right in touched}
    if not local:
        return coverage
    full, held, of = _overlaid(list(local.values()), touched, None)
    now = [None if (h := _only(label)) is None else tuple(sorted(set(change(h)))) for label in held]
    return _spliced(coverage, local, list(local.values()), full, now, of, change)


# --- sides alone ---


def _enclosed(index: ArcIndex, region: Any) -> dict[str, tuple[bool, bool]] | None:
    """Of the arcs on or in a region, whether it is on their left and on their right; None unless arcs are all of its outline."""
    x0, y0, x1, y1 = shapely.bounds(region).tolist()
    near = index.near((x0, y0, x1, y1))
    if not near:
        return None
    rim = ring_segments(shapely.orient_polygons(region))  # the region is on the left
    there = segments_of(near)
    edges, place = unique_rows(np.concatenate([there, np.roll(there, 2, 1), rim]))
    on_rim = np.zeros(len(edges), np.bool_)
    on_rim[place[2 * len(there) :]] = True
    left, right = on_rim[place[: len(there)]], on_rim[place[len(there) : 2 * len(there)]]
    if int(left.sum() + right.sum()) != int(on_rim.sum()):
        return None  # some of the outline runs where no arc does
    found: dict[str, tuple[bool, bool]] = {}
    start = 0
    for arc in near:
        end = start + len(arc.path) - 1
        sides = [(bool(side[start:end].any()), bool(side[start:end].all())) for side in (left, right)]
        if any(some != every for some, every in sides):
            return None
        if sides[0][0] or sides[1][0]:
            found[arc.id] = sides[0][0], sides[1][0]
        elif shapely.contains_xy(region, *((arc.path[0] + arc.path[1]) / 2).tolist()):
            found[arc.id] = True, True
        start = end
    return found


def _resided(
    coverage: Coverage, index: ArcIndex, along: Mapping[str, tuple[bool, bool]], change: Callable[[Holders], Holders]
) -> Coverage:
    """The coverage with other holders on those sides of arcs. An arc with one holder on both sides vanishes, and where then only
    two meet, they become one."""

    def changed(arc: Arc, side: int) -> Holders:
        held = (arc.left, arc.right)[side]
        return tuple(sorted(set(change(held)))) if along.get(arc.id, (False, False))[side] else held

    now = {i: (changed(coverage.arcs[i], 0), changed(coverage.arcs[i], 1)) for i in along}
    differ = [coverage.arcs[i] for i, sides in now.items() if sides != (coverage.arcs[i].left, coverage.arcs[i].right)]
    if not differ:
        return coverage
    corners = np.concatenate([a.path for a in differ])
    near = index.near(box_of(corners), 0)
    # Arcs have a vertex in common where they meet, and only there.
    meets = among(np.concatenate([a.path for a in near]), corners)
    of = np.repeat(np.arange(len(near)), [len(a.path) for a in near])
    local = {near[n].id: near[n] for n in np.unique(of[meets]).tolist()}
    arcs = list(local.values())
    of = np.repeat(np.arange(len(arcs)), [len(a.path) - 1 for a in arcs])
    xy, at = unique_rows(np.concatenate([a.path for a in arcs]))
    last = np.cumsum([len(a.path) for a in arcs])
    a, b = np.delete(at, last - 1), np.delete(at, np.append(0, last[:-1]))
    sides = [now.get(arc.id, (arc.left, arc.right)) for arc in arcs]
    numbers, number = _numbered([held for pair in sides for held in pair])
    side = np.where((a < b)[:, None], number.reshape(-1, 2)[of], number.reshape(-1, 2)[of][:, ::-1])
    edge = np.stack([np.minimum(a, b), np.maximum(a, b)], 1)
    full = Arrangement(xy, edge, side, (), np.empty((0, 3), np.int64))
    return _put_together(coverage, local, arcs, full, side, list(numbers), of)


# --- overlaid and put together again ---

_REGION: Holders = ("\0",)
"""Stands for the region among the parts of an overlay."""


@dataclass(frozen=True, slots=True, eq=False)
class _Overlay:
    """The overlay of local arcs. `held`: per face the parts that cover it. `arc`: per edge the number of an arc that runs
    along it, -1 none; `along`: whether that arc runs from the edge's first vertex to its second."""

    full: Arrangement
    arc: Ints
    along: NDArray[np.bool_]


def _overlaid(
    arcs: Sequence[Arc], touched: set[Holders], region: Any
) -> tuple[_Overlay, list[list[Holders]], list[Holders]]:
    parts = sorted(h for h in touched if h)
    number = {h: n for n, h in enumerate(parts)}
    segment, part, wall, of = [], [], [], []
    for n, arc in enumerate(arcs):
        pieces = np.concatenate([arc.path[:-1], arc.path[1:]], 1)
        wall.append(pieces)
        of.append(np.full(len(pieces), n, np.int64))
        for holders in (arc.left, arc.right):
            if holders in number:
                segment.append(pieces)
                part.append(np.full(len(pieces), number[holders], np.int64))
    if region is not None:
        lines = linework([metres(region)])
        segment.append(lines.segment)
        part.append(np.full(len(lines.segment), len(parts), np.int64))
        parts = [*parts, _REGION]
    none4, none = np.empty((0, 4), np.int64), np.empty(0, np.int64)
    walls = np.concatenate([none4, *wall])
    nobody = np.full(len(walls), -1, np.int64)
    lines = Linework(np.concatenate([none4, *segment]), np.concatenate([none, *part]), np.arange(len(parts), dtype=np.int64))
    full = arrange(lines, Walls(walls, nobody, nobody))
    owner, along = np.full(len(full.edge), -1, np.int64), np.zeros(len(full.edge), np.bool_)
    if len(full.wall):
        owner[full.wall[:, 0]] = np.concatenate([none, *of])[full.wall[:, 1]]
        along[full.wall[:, 0]] = full.wall[:, 2] == 1
    return _Overlay(full, owner, along), [[parts[i] for i in label] for label in full.labels], parts


def _only(label: Sequence[Holders]) -> Holders | None:
    """The one part that covers a face; None where none does, and the arcs tell."""
    return label[0] if label else None


def _spliced(
    coverage: Coverage,
    local: Mapping[str, Arc],
    arcs: Sequence[Arc],
    overlay: _Overlay,
    now: Sequence[Holders | None],
    parts: Sequence[Holders],
    change: Callable[[Holders], Holders] = lambda held: held,
) -> Coverage:
    """The coverage with the local arcs replaced by those of the overlay's faces."""
    full, known = overlay.full, set(parts)
    numbers, face = _numbered([h for h in now if h is not None])
    face_number = np.full(full.n_face + 1, UNKNOWN, np.int64)
    face_number[[i for i, h in enumerate(now) if h is not None]] = face
    side = face_number[full.side]
    # Beside ground that is not overlaid the arcs tell; what an overlaid part has left there is nobody's.
    told = [[numbers.setdefault(change(h if h not in known else ()), len(numbers)) for h in (a.left, a.right)] for a in arcs]
    number = np.array([*told, (0, 0)], np.int64)  # the last is that of no arc: nobody
    by_arc = np.where(overlay.along[:, None], number[overlay.arc], number[overlay.arc][:, ::-1])
    side = np.where(side == UNKNOWN, by_arc, side)
    return _put_together(coverage, local, arcs, full, side, list(numbers), overlay.arc)


def _put_together(
    coverage: Coverage, local: Mapping[str, Arc], arcs: Sequence[Arc], full: Arrangement, side: Ints, holders: Sequence[Holders], of: Ints
) -> Coverage:
    """The coverage with the local arcs replaced by those of some edges. `side`: numbers into `holders`; `of`: per edge the number
    of an old arc that ran along it, -1 none."""
    rest = {i: a for i, a in coverage.arcs.items() if i not in local}
    # Where it meets others a ring need not start, so any of its vertices may be a node.
    ends = [a.path if (a.path[0] == a.path[-1]).all() else a.path[[0, -1]] for a in rest.values()]
    stop = among(full.xy, np.concatenate([np.empty((0, 2), np.int64), *ends]))
    found, along = [], []
    for path, left, right, edges in _arcs(full, side, holders, stop):
        found.append(Arc("", path, left, right))
        along.append(edges)
    length = np.hypot(*(full.xy[full.edge[:, 1]] - full.xy[full.edge[:, 0]]).T.astype(float))
    names = [a.id for a in arcs]
    heirs = {id(arc): _inherited(of[edges], length[edges], names) for arc, edges in zip(found, along, strict=True)}
    return _named(Coverage(rest), found, local, heirs)


def _settled(made: Coverage, before: Coverage, index: ArcIndex | None = None) -> Coverage:
    """Overlaid until there is nothing left to round. `index`: where `before` is, else all arcs are looked at.

    A rounded edge may pass within a pixel of a vertex that it used to miss, and whoever overlaid the outlines next would bend
    it there. Each round bends an edge to one vertex more, so there is a last one (Halperin and Packer 2002).
    """
    while True:
        new = [a for id_, a in made.arcs.items() if before.arcs.get(id_) is not a]
        old = [a for id_, a in before.arcs.items() if made.arcs.get(id_) is not a]
        if not _loose(new, old, made, index):
            return made
        touched = _beside(new)
        local = {a.id: a for a in made.arcs.values() if a.left in touched or a.right in touched}
        overlay, held, of = _overlaid(list(local.values()), touched, None)
        again = _spliced(made, local, list(local.values()), overlay, [_only(label) for label in held], of)
        if again.arcs == made.arcs:
            return made
        made = again


def _loose(new: Sequence[Arc], old: Sequence[Arc], made: Coverage, index: ArcIndex | None) -> bool:
    """Does a segment that is new pass through the pixel of a vertex, or another through that of a new one?"""
    segment = segments_of(new)
    segment = segment[~among(canonical(segment), canonical(segments_of(old)))]
    if not len(segment):
        return False
    low, high = segment.reshape(-1, 2).min(0) - NEAR_MM, segment.reshape(-1, 2).max(0) + NEAR_MM
    near = made.arcs.values() if index is None else index.near((*low.tolist(), *high.tolist()), 0)
    beside = segments_of([*new, *(a for a in near if made.arcs.get(a.id) is a)])
    x, y = beside[:, 0::2], beside[:, 1::2]
    here = (x.max(1) >= low[0]) & (x.min(1) <= high[0]) & (y.max(1) >= low[1]) & (y.min(1) <= high[1])
    beside, _ = unique_rows(canonical(beside[here]))
    return len(node(beside)[2]) > len(beside)  # segments, and edges along them


def _arcs(
    full: Arrangement, side: Ints, holders: Sequence[Holders], stop: NDArray[np.bool_]
) -> Iterator[tuple[Ints, Holders, Holders, Ints]]:
    """Paths with their sides and their edges (in any order), from edges whose sides are numbers into `holders`."""
    keep = np.flatnonzero(side[:, 0] != side[:, 1])
    edge = full.edge[keep]
    order, back, at = chains(edge, stop)
    node = stop | (np.bincount(edge.reshape(-1), minlength=len(stop)) != 2)
    first = np.where(back, edge[order, 1], edge[order, 0])
    last = np.where(back, edge[order, 0], edge[order, 1])
    for s, t in zip(at[:-1].tolist(), at[1:].tolist(), strict=True):
        path = full.xy[np.append(first[s:t], last[t - 1])]
        left, right = side[keep[order[s]]].tolist()
        if back[s]:
            left, right = right, left
        yield (*_directed(path, holders[left], holders[right], bool(node[first[s]])), keep[order[s:t]])


def _directed(path: Ints, left: Holders, right: Holders, at_node: bool) -> tuple[Ints, Holders, Holders]:
    """From the lexicographically smaller end; a ring counter-clockwise, from its least vertex or where it meets others."""
    if tuple(path[0]) != tuple(path[-1]):
        return (path, left, right) if tuple(path[0]) < tuple(path[-1]) else (path[::-1].copy(), right, left)
    ring = path[:-1]
    if not at_node:
        ring = np.roll(ring, -int(np.lexsort(ring.T[::-1])[0]), axis=0)
    if twice_areas(ring, np.arange(len(ring)), np.array([0, len(ring)]))[0] < 0:
        ring, left, right = np.roll(ring[::-1], 1, axis=0), right, left
    return np.concatenate([ring, ring[:1]]), left, right


def _named(
    rest: Coverage,
    found: Iterable[Arc],
    old: Mapping[str, Arc],
    heirs: Mapping[int, Sequence[str]] | None = None,
) -> Coverage:
    """Ids: an arc that says what an old one said is that arc; of the pieces of an old one the longest keeps its id; others
    are named by what they say."""
    same = {arc.key: arc for arc in old.values()}
    arcs, left = dict(rest.arcs), []
    for arc in sorted(found, key=lambda a: (a.path[0].tolist(), len(a.path), a.path.tobytes())):
        if (was := same.get(arc.key)) is not None:
            arcs[was.id] = was
        else:
            left.append(arc)
    given: dict[int, str] = {}
    for n, arc in sorted(enumerate(left), key=lambda pair: (-_length(pair[1].path), pair[0])):
        for id_ in (heirs or {}).get(id(arc), ()):
            if id_ not in arcs and id_ not in given.values():
                given[n] = id_
                break
    for n, arc in enumerate(left):
        id_ = given.get(n, arc.content_id)
        arcs[id_] = Arc(id_, arc.path, arc.left, arc.right)
    return Coverage(arcs)


def _inherited(of: Ints, length: NDArray[np.float64], names: Sequence[str]) -> list[str]:
    """Ids of the arcs that ran along a path, the longest way first. `of`: whose number each of its edges has, -1 none."""
    along = np.bincount(of[of >= 0], length[of >= 0], minlength=len(names))
    return [names[n] for n in sorted(np.flatnonzero(along).tolist(), key=lambda n: (-along[n], names[n]))]


def _touched(index: ArcIndex, shape: Any) -> set[Holders]:
    """Who holds the ground beside the arcs that come near a shape (mm), or lie in it."""
    x0, y0, x1, y1 = shapely.bounds(shape).tolist()
    near = [a for a in index.near((x0, y0, x1, y1)) if shapely.dwithin(shapely.linestrings(a.path), shape, NEAR_MM)]
    return _beside(near)


def _beside(arcs: Iterable[Arc]) -> set[Holders]:
    """Who holds the ground beside arcs. Not nobody: the outside would bring in the whole rim."""
    return {h for arc in arcs for h in (arc.left, arc.right) if h}


def _numbered(held: Iterable[Holders]) -> tuple[dict[Holders, int], Ints]:
    numbers: dict[Holders, int] = {(): 0}
    each = [numbers.setdefault(h, len(numbers)) for h in held]
    return numbers, np.array(each, np.int64)


def _length(path: Ints) -> float:
    return float(np.hypot(*np.diff(path, axis=0).T.astype(float)).sum())


def _new_path(coverage: Coverage, id_: str, path: Ints) -> Ints:
    """Without repeated vertices."""
    if id_ not in coverage.arcs:
        raise UnknownArc(arc=id_)
    path = np.asarray(path, np.int64).reshape(-1, 2)
    if len(path):
        path = path[np.append(True, (path[1:] != path[:-1]).any(1))]
    ring = len(path) > 1 and bool((path[0] == path[-1]).all())
    if len(np.unique(path, axis=0)) < (3 if ring else 2):
        raise PathTooShort(arc=id_, count=len(np.unique(path, axis=0)))
    line = shapely.LineString(path.tolist())
    if not shapely.is_simple(line):
        knot = shapely.get_coordinates(shapely.intersection(shapely.union_all(line), line))[0]
        raise PathCrossesItself(arc=id_, at=(knot / MM).tolist())
    return path


def _check_ends(coverage: Coverage, new: Mapping[str, Ints]) -> None:
    """An end may move only if all arcs that meet there move it to the same place."""
    moved: dict[tuple[int, int], tuple[int, int]] = {}
    for id_, path in new.items():
        old = coverage.arcs[id_].path
        if bool((old[0] == old[-1]).all()) and bool((path[0] == path[-1]).all()):
            continue  # a ring has no end of anybody else's
        for was, now in ((old[0], path[0]), (old[-1], path[-1])):
            at, to = (int(was[0]), int(was[1])), (int(now[0]), int(now[1]))
            if moved.setdefault(at, to) != to:
                raise EndsMoved(arc=id_, at=(was / MM).tolist())
    for arc in coverage.arcs.values():
        for end in (arc.path[0], arc.path[-1]):
            at = (int(end[0]), int(end[1]))
            if arc.id not in new and moved.get(at, at) != at:
                raise EndsMoved(arc=arc.id, at=(end / MM).tolist())


def _check_overlaps(overlay: _Overlay, held: Sequence[Sequence[Holders]], own: set[str]) -> None:
    """No ground may be held twice; a third party's is named first."""
    double = [(sorted({c for h in label for c in h} - own), face) for face, label in enumerate(held) if len(label) > 1]
    if double:
        who, face = max(double, key=lambda pair: (len(pair[0]), -pair[1]))
        edge = overlay.full.edge[(overlay.full.side == face).any(1)][0]
        raise BorderCrossed(at=(overlay.full.xy[edge[0]] / MM).tolist(), who=", ".join(who or sorted(own)))
