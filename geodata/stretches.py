"""Stretches of border with widths of their own, laid on compiled lines.

A stretch is drawn as a line; it holds on the edges between squads that run along it. Where it ends, the border gets a vertex, so
that no edge is in it by half. Without a line it is the whole border of its two sides. It decides nothing about whose ground is whose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import shapely

from routing.errors import JieguanError
from routing.ground.faces import Label
from routing.ground.noding import MM, Ints, Linework
from routing.jurisdiction import squads_of
from routing.model import Claim, Stretch, Territory, Township

ON_BORDER_M = 0.05
"""A line this near to a border runs along it: more than files round away, less than anybody surveys."""
LEAST_OFF_M = 0.5
"""So much of a stretch may lie beside the border before it is refused: what is left at corners."""


class StretchOffBorder(JieguanError):
    zh = (
        "界段“{id}”有 {length} 米(约在 {at},工作坐标系,米)不在{between}的边界上:它的交界带宽度与精度无处可用。"
        "请沿边界重画,或按界段编号重新设定。"
    )
    en = (
        "{length} m of the border stretch {id!r} (near {at}, metres, work CRS) run along no border of {between}, so its zone and accuracy "
        "hold nowhere there. Draw it along the border, or set it by the arcs again."
    )


class SidesApart(JieguanError):
    zh = "界段“{id}”没有画线,而 {between} 没有共同边界:它的交界带宽度与精度无处可用。请更正 sides,或沿边界画线。"
    en = "The border stretch {id!r} has no line, and {between} no common border: it holds nowhere. Correct the sides, or draw it."


class NoWidth(JieguanError):
    zh = "界段“{id}”的“{field}”是 {value}:宽度与精度须为不小于 0 的有限米数。请更正。"
    en = "The border stretch {id!r} has {field} = {value}: zones and accuracies are finite metres, not below 0. Correct it."


class StretchNotDrawn(JieguanError):
    zh = "界段“{id}”的图形是 {kind}:界段须画成线;不画线的须写明两侧(sides),即其全部共同边界。请更正。"
    en = (
        "The ground of the border stretch {id!r} is a {kind}: a stretch is drawn as a line, or has two sides and is their whole border. "
        "Correct it."
    )


Drawn = tuple[int, Any]
"""A stretch's number among the claims, and its line in metres, None for the whole border of its sides."""


def drawn(claims: Sequence[Claim], pieces: Sequence[Sequence[Any]], held: frozenset[int]) -> list[Drawn]:
    """The stretches in force, the one that goes before the others last. Raises NoWidth, StretchNotDrawn."""
    found = [(i, c) for i in sorted(held) if isinstance(c := claims[i], Stretch)]
    for _, claim in found:
        for field, value in (("zone_m", claim.zone_m), ("accuracy_m", claim.accuracy_m)):
            if value is not None and not 0.0 <= value < np.inf:
                raise NoWidth(id=claim.id, field=field, value=value)
    found.sort(key=lambda n: n[1].id, reverse=True)
    found.sort(key=lambda n: -np.inf if n[1].period.since is None else n[1].period.since.timestamp())
    lines = [(i, _line(claim, pieces[i])) for i, claim in found]
    return [*(n for n in lines if n[1] is None), *(n for n in lines if n[1] is not None)]


def _line(claim: Stretch, pieces: Sequence[Any]) -> Any:
    parts: list[Any] = [part for piece in pieces for part in shapely.get_parts(piece).tolist()]
    wrong = [p for p in parts if p.geom_type not in ("LineString", "LinearRing")]
    if not parts and len(claim.sides) == 2:
        return None
    if wrong or not parts:
        raise StretchNotDrawn(id=claim.id, kind=wrong[0].geom_type if wrong else "-")
    return shapely.line_merge(shapely.multilinestrings(parts))


def pinned(lines: Linework, stretches: Sequence[Drawn]) -> Linework:
    """The linework with a vertex on every line on which a stretch ends: a segment without length makes one, and bounds nobody's ground."""
    parts = shapely.get_parts(np.array([line for _, line in stretches if line is not None], object))
    if not len(parts) or not len(lines.segment):
        return lines
    ends = np.concatenate([shapely.get_coordinates(shapely.get_point(parts, n)) for n in (0, -1)])
    segments: Any = shapely.linestrings(lines.segment.reshape(-1, 2, 2) / MM)
    end, at = shapely.STRtree(segments).query(shapely.points(ends), predicate="dwithin", distance=ON_BORDER_M)
    here = shapely.shortest_line(shapely.points(ends[end]), segments[at])
    pin = np.unique(np.rint(shapely.get_coordinates(here).reshape(-1, 2, 2)[:, 1] * MM).astype(np.int64), axis=0)
    return replace(
        lines,
        segment=np.concatenate([lines.segment, np.concatenate([pin, pin], 1)]),
        part=np.concatenate([lines.part, np.zeros(len(pin), np.int64)]),
    )


def along(
    stretches: Sequence[Drawn], claims: Sequence[Claim], labels: Sequence[Label], ends: Ints, left: Ints, right: Ints
) -> Ints:
    """For each edge (`ends` (n, 4) mm, `left` and `right` numbers of labels) the number of the stretch it is in, -1 none.

    Raises StretchOffBorder, SidesApart.
    """
    found = np.full(len(ends), -1, np.int64)
    ground = squads_of(claims, labels)
    codes = [_codes(claims, label) for label in labels]
    a, b = ends[:, :2] / MM, ends[:, 2:] / MM
    border = np.flatnonzero([ground[x] != ground[y] for x, y in zip(left.tolist(), right.tolist(), strict=True)])
    segments: Any = shapely.linestrings(np.stack([a[border], b[border]], 1))
    tree = shapely.STRtree(segments)
    for number, line in stretches:
        claim = claims[number]
        assert isinstance(claim, Stretch)
        mine = set(claim.sides)
        if line is None:
            found[_between(mine, border, left, right, codes, claim)] = number
            continue
        near = border[np.sort(tree.query(line, predicate="dwithin", distance=ON_BORDER_M))]
        if mine:
            near = near[[bool(mine & (codes[x] ^ codes[y])) for x, y in zip(left[near].tolist(), right[near].tolist(), strict=True)]]
        shapely.prepare(line)
        for at in (a, b, (a + b) / 2.0):
            near = near[shapely.dwithin(shapely.points(at[near]), line, ON_BORDER_M)]
        _check_covered(claim, line, shapely.linestrings(np.stack([a[near], b[near]], 1)))
        found[near] = number
    return found


def _between(
    both: set[str], border: Ints, left: Ints, right: Ints, codes: Sequence[frozenset[str]], claim: Stretch
) -> Ints:
    """All edges that part the two."""
    parts = [both <= codes[x] ^ codes[y] for x, y in zip(left[border].tolist(), right[border].tolist(), strict=True)]
    if not any(parts):
        raise SidesApart(id=claim.id, between=" | ".join(claim.sides))
    chosen: Ints = border[np.array(parts, bool)]
    return chosen


def _codes(claims: Sequence[Claim], label: Label) -> frozenset[str]:
    """Squads and townships whose ground a label is."""
    here = [claims[i] for i in label if i < len(claims)]
    return frozenset(c.squad if isinstance(c, Territory) else c.code for c in here if isinstance(c, Territory | Township))


def _check_covered(claim: Stretch, line: Any, edges: Any) -> None:
    off = shapely.difference(line, shapely.buffer(shapely.multilinestrings(edges), 2 * ON_BORDER_M)) if len(edges) else line
    if shapely.length(off) > LEAST_OFF_M:
        longest = max(shapely.get_parts(off).tolist(), key=lambda p: (p.length, p.wkt))
        at = shapely.get_coordinates(shapely.line_interpolate_point(longest, 0.5, normalized=True))[0]
        raise StretchOffBorder(
            id=claim.id, length=f"{shapely.length(off):.1f}", at=[round(float(v), 1) for v in at], between=" | ".join(claim.sides) or "-"
        )
