"""Stretches of border in a draft: which line they have, how they follow a border that moves, which of them lie on none.

A stretch is a row of the layer `border`. What it says (line rule, status, zone, accuracy) moves no line; where its line is moved, it
follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from typing import Any

import numpy as np
import shapely

from geodata.arcs import Arc, ArcIndex, Coverage, lines_of, segments_of
from geodata.layer import BorderStatus, LayerName, LineRule, Row, in_metres, on_grid, stretch_in
from geodata.stretches import LEAST_OFF_M, ON_BORDER_M
from geodata.topology_issue import Issue, Severity
from routing.errors import JieguanError
from routing.ground.noding import MM, Ints, among, canonical

Node = tuple[int, int]
WIDEST_M = 1000.0
"""A border zone or accuracy wider than this is a slip of the pen."""


class MixedSides(JieguanError):
    zh = "所选界段的两侧不同({sides}):一行只能说明同两方之间的边界。请分别设定。"
    en = "The chosen arcs part different neighbours ({sides}); one row speaks of the border of the same two. Set them one by one."


class NoWay(JieguanError):
    zh = "{between} 的共同边界不从 {start} 通到 {end}(米):两个界点之间没有它们的界段。请改选界点,或逐个列出界段。"
    en = (
        "The border of {between} does not lead from {start} to {end} (metres): no arcs of theirs join these nodes. Choose others, or "
        "list the arcs."
    )


class NothingChosen(JieguanError):
    zh = "没有界段“{code}”,也没有指明它在哪里。请给出界段编号(arcs)、两侧(between)或两个界点(ends)。"
    en = "There is no border stretch {code!r} yet, and nothing says where it is. Give `arcs`, or `between`, or `between` with `ends`."


class BadBorderFact(JieguanError):
    zh = "界段“{code}”的“{field}”不能是“{value}”(可用:{known})。请更正。"
    en = "The border stretch {code!r} cannot have {field} {value!r} (there are: {known}). Correct it."


FACTS = ("name", "document", "line_rule", "status", "zone_m", "accuracy_m")
"""What can be set of a stretch."""


def said_of_border(row: Row, says: Mapping[str, Any]) -> Row:
    """The row with what is set of it; None clears. Raises BadBorderFact."""
    words = {"line_rule": [r.value for r in LineRule], "status": [s.value for s in BorderStatus]}
    for field, value in says.items():
        known = words.get(field)
        if field not in FACTS:
            raise BadBorderFact(code=row.code, field=field, value=value, known=", ".join(FACTS))
        if known is not None and value is not None and value not in known:
            raise BadBorderFact(code=row.code, field=field, value=value, known=", ".join(known))
        if field in ("zone_m", "accuracy_m") and value is not None and not 0.0 <= float(value) <= WIDEST_M:
            raise BadBorderFact(code=row.code, field=field, value=value, known=f"0-{WIDEST_M:g} m")
    facts = {k: v for k, v in says.items() if k in words}
    if "zone_m" in says:
        facts["zone_m"] = None if says["zone_m"] is None else repr(float(says["zone_m"]))
    own: dict[str, Any] = {k: says[k] or "" for k in ("name", "document") if k in says}
    if "accuracy_m" in says:
        own["accuracy_m"] = None if says["accuracy_m"] is None else float(says["accuracy_m"])
    return replace(row, facts={**row.facts, **facts}, **own)


# --- where they are ---


def parted(arc: Arc) -> frozenset[str]:
    """Whose ground ends at an arc."""
    return frozenset(arc.left) ^ frozenset(arc.right)


def laid(row: Row, arcs: Sequence[Arc]) -> Row:
    """The row along some arcs, with their sides. Raises MixedSides."""
    sides = {parted(arc) for arc in arcs}
    if len(sides) != 1:
        raise MixedSides(sides="; ".join(" | ".join(sorted(s)) for s in sorted(sides, key=sorted)))
    lines: Any = shapely.line_merge(shapely.multilinestrings(lines_of(sorted(arcs, key=lambda a: a.key))))
    return replace(row, facts={**row.facts, "sides": sorted(*sides)}, ground=on_grid(shapely.transform(lines, lambda xy: xy / MM)))


def arcs_between(coverage: Coverage, between: frozenset[str], start: Node, end: Node) -> list[Arc]:
    """The arcs of the border of two, from node to node (mm): of several ways the shortest. Raises NoWay."""
    mine = [a for _, a in sorted(coverage.arcs.items()) if parted(a) == between]
    ways: dict[Node, list[tuple[Node, float, Arc]]] = {}
    for arc in mine:
        a, b = _node(arc.path[0]), _node(arc.path[-1])
        length = float(np.hypot(*np.diff(arc.path, axis=0).T.astype(float)).sum())
        ways.setdefault(a, []).append((b, length, arc))
        ways.setdefault(b, []).append((a, length, arc))
    best: dict[Node, tuple[Arc, Node] | None] = {}
    todo: list[tuple[float, Node, str, tuple[Arc, Node] | None]] = [(0.0, start, "", None)]
    while todo:
        far, at, _, whence = heappop(todo)
        if at in best or at not in ways:
            continue
        best[at] = whence
        for to, length, arc in ways[at]:
            heappush(todo, (far + length, to, arc.id, (arc, at)))
    if end not in best or start == end:
        places = ([v / 1000 for v in node] for node in (start, end))
        raise NoWay(between=" | ".join(sorted(between)), start=next(places), end=next(places))
    found = []
    step = best[end]
    while step is not None:
        found.append(step[0])
        step = best[step[1]]
    return found


def _node(point: Ints) -> Node:
    return int(point[0]), int(point[1])


# --- when borders move ---

Rows = Mapping[tuple[str, str, str], Row]


def followed(rows: Rows, before: Coverage, after: Coverage) -> Rows:
    """The rows with those stretches that ran along a whole arc where the arc now runs. Others stay: the checks tell what lies off."""
    mine = {k: r for k, r in rows.items() if r.layer is LayerName.BORDER and r.until is None and r.ground is not None}
    if not mine:
        return rows
    moved = [(a, after.arcs[i]) for i, a in before.arcs.items() if i in after.arcs and not _same_path(a, after.arcs[i])]
    new = {}
    for key, row in mine.items():
        segments = there = canonical(_segments(row.ground))
        for old, now in moved:
            path = canonical(segments_of([old]))
            if among(path, there).all():
                segments = np.concatenate([segments[~among(segments, path)], segments_of([now])])
        if segments is not there:
            lines: Any = shapely.linestrings(segments.reshape(-1, 2, 2).astype(float))
            merged = shapely.line_merge(shapely.multilinestrings(lines))
            new[key] = replace(row, ground=on_grid(shapely.transform(merged, lambda xy: xy / MM)))
    return {**rows, **new} if new else rows


def _same_path(one: Arc, other: Arc) -> bool:
    return one is other or np.array_equal(one.path, other.path) or np.array_equal(one.path, other.path[::-1])


def _segments(line: Any) -> Ints:
    """(n, 4) mm."""
    xy, part = shapely.get_coordinates(shapely.get_parts(line), return_index=True)
    same, grid = part[1:] == part[:-1], np.rint(xy).astype(np.int64)
    return np.concatenate([grid[:-1][same], grid[1:][same]], 1)


# --- what the checks say ---


def stray(rows: Iterable[Row], coverages: Mapping[str, Coverage], indexes: Mapping[str, ArcIndex]) -> tuple[Issue, ...]:
    """Stretches with widths of their own that lie on no border of their sides: a map of them cannot be made."""
    rows = list(rows)
    if not any(r.layer is LayerName.BORDER for r in rows):
        return ()
    own = {str(r.facts["squad"]) for r in rows if r.layer is LayerName.TERRITORY}
    posted = {
        r.code: str(s) for r in rows if r.layer is LayerName.TOWNSHIP and (s := r.facts.get("squad")) is not None and s not in own
    }
    found = []
    for row in rows:
        claim = stretch_in(row) if row.layer is LayerName.BORDER and row.until is None else None
        if claim is None:
            continue
        near = [a for layer, a in _near(row, coverages, indexes) if layer == LayerName.TERRITORY.value or _parts_squads(a, posted)]
        sides = set(claim.sides)
        bare: Any = None
        if row.ground is None:
            bare = None if any(len(sides) == 2 and sides <= _named(a, posted) for a in near) else shapely.Point()
        else:
            mine = [a for a in near if not sides or sides & _named(a, posted)]
            line = in_metres(row.ground)
            along = shapely.transform(shapely.multilinestrings(lines_of(mine)), lambda xy: xy / MM)
            off = shapely.difference(line, shapely.buffer(along, 2 * ON_BORDER_M))
            bare = off if shapely.length(off) > LEAST_OFF_M else None
        if bare is not None:
            found.append(_issue(row, bare))
    return tuple(sorted(found, key=lambda issue: issue.features))


def _near(row: Row, coverages: Mapping[str, Coverage], indexes: Mapping[str, ArcIndex]) -> list[tuple[str, Arc]]:
    if row.ground is None:
        return [(layer, arc) for layer, coverage in coverages.items() for arc in coverage.arcs.values()]
    x0, y0, x1, y1 = shapely.bounds(row.ground).tolist()
    return [(layer, arc) for layer, index in indexes.items() for arc in index.near((x0, y0, x1, y1), ON_BORDER_M * MM)]


def _parts_squads(arc: Arc, posted: Mapping[str, str]) -> bool:
    """Does a line between townships part the grounds that squads inherit from them?"""
    one, other = ({posted[code] for code in side if code in posted} for side in (arc.left, arc.right))
    return one != other


def _named(arc: Arc, posted: Mapping[str, str]) -> set[str]:
    """Whose ground ends at an arc, by township and by squad."""
    codes = parted(arc)
    return {*codes, *(posted[code] for code in codes if code in posted)}


def _issue(row: Row, bare: Any) -> Issue:
    at = None
    if not shapely.is_empty(bare):
        longest = max(shapely.get_parts(bare).tolist(), key=lambda p: (p.length, p.wkt))
        x, y = shapely.get_coordinates(shapely.line_interpolate_point(longest, 0.5, normalized=True))[0].tolist()
        at = (round(x, 3), round(y, 3))
    sides = " | ".join(str(side) for side in row.facts.get("sides") or ()) or "-"
    facts = {"length": f"{float(shapely.length(bare)):.1f}", "sides": sides, "kind": "drawn" if row.ground is not None else "whole"}
    return Issue("stretch_off", Severity.ERROR, (row.code,), at, facts=facts)
