"""Claims with their grounds -> a compiled map: for every stretch of time a planar subdivision in which each face has one answer.

    1  time is cut where a claim starts or ends; stretches with the same territories share a plate
    2  territories and extent are overlaid; ground of the extent without a territory is a gap, and is split among its nearest
       squads along bisectors, so that "nearest", its margin and the certificate cover it like any ground
    3  all claims of the plate are overlaid with the bisectors; faces with the same claims are merged
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geodata.nearest import split
from geodata.stretches import Drawn, along, drawn, pinned
from geodata.strips import border_strip
from routing.errors import JieguanError
from routing.ground.faces import OUTSIDE, Arrangement, Label, Subdivision, arrange, claims_of, dissolve
from routing.ground.noding import MM, Ints, Linework, linework
from routing.jurisdiction import Borders, Interval, JurisdictionMap, Plate, Settings, entered, groups_of, intervals_of
from routing.model import Agreement, Claim, ClaimId, Nearest, SquadCode, Stretch, Territory
from routing.situation import Roster

Owner = tuple[int, SquadCode]
"""(priority, squad): its sort order is the published order."""

Progress = Callable[[str, int, int], None]
"""Told (stage, done, of) while something long goes on."""


def silent(stage: str, done: int, of: int) -> None:
    """Tells nobody."""


class NoTerritory(JieguanError):
    zh = "没有任何辖区图形({path}):没有辖区就没有可派的中队。请检查 --territories 的文件与图层。"
    en = "There is not one territory ({path}): without any, no squad has ground. Check the file and layer of --territories."


class TwoClaimsOneId(JieguanError):
    zh = "编号“{value}”用于两项不同的记录:一项决定必须能用编号指明。请为每项记录使用唯一编号。"
    en = "The id {value!r} stands for two different claims; a reason must name one. Give each claim an id of its own."


@dataclass(frozen=True, slots=True)
class Ground:
    """A claim and a piece of its ground: polygons in metres of the work CRS, None where it has none; the line of a stretch."""

    claim: Claim
    geometry: Any = None


def compile_map(
    grounds: Sequence[Ground],
    roster: Roster,
    settings: Settings,
    extent: Any = None,
    progress: Progress = silent,
) -> JurisdictionMap:
    """The compiled map; the same bytes whatever the order of `grounds`, of rings and of their vertices.

    `extent` (metres): the declared ground of the bureau; by default every territory of any time, holes filled.
    Raises NoTerritory, TwoClaimsOneId, NoSuchSquad, StretchOffBorder, StretchNotDrawn, NoWidth.
    """
    claims, pieces = _by_claim(grounds)
    if not any(isinstance(c, Territory) and pieces[i] for i, c in enumerate(claims)):
        raise NoTerritory(path="--territories")
    declared = default_extent(grounds) if extent is None else extent
    plate_of: dict[frozenset[int], int] = {}
    intervals = intervals_of(claims, plate_of)
    nearest: dict[Owner, int] = {}
    plates = []
    for number in range(len(plate_of)):
        progress("faces", number, len(plate_of))
        held = frozenset().union(*(i.claims for i in intervals if i.plate == number))
        plates.append(_plate(claims, pieces, held, declared, settings.zone_m, nearest))
    progress("faces", len(plate_of), len(plate_of))
    made = tuple(Nearest(id=_nearest_id(o, nearest), squad=o[1], priority=o[0]) for o in nearest)
    whole = frozenset(nearest.values())
    return JurisdictionMap(
        roster,
        (*claims, *made),
        tuple(plates),
        tuple(Interval(i.since, i.until, i.plate, i.claims | whole) for i in intervals),
        groups_of(claims),
        replace(settings, whole_zone=tuple(c.id for i, c in enumerate(claims) if _is_whole(c, pieces[i]))),
    )


def default_extent(grounds: Sequence[Ground]) -> Any:
    """The union of all territories with its holes filled, in metres on the millimetre grid."""
    shapes = [g.geometry for g in grounds if isinstance(g.claim, Territory) and g.geometry is not None]
    whole = arrange(linework(shapes))
    merged = dissolve(whole, np.zeros(whole.n_face, np.int64), 1)
    return shapely.MultiPolygon(list(merged.polygons()))


def _by_claim(grounds: Sequence[Ground]) -> tuple[tuple[Claim, ...], list[list[Any]]]:
    """Claims by id, and the pieces of each."""
    by_id: dict[ClaimId, tuple[Claim, list[Any]]] = {}
    for ground in grounds:
        claim, pieces = by_id.setdefault(ground.claim.id, (ground.claim, []))
        if claim != ground.claim:
            raise TwoClaimsOneId(value=claim.id)
        if ground.geometry is not None and not ground.geometry.is_empty:
            pieces.append(ground.geometry)
    ordered = [by_id[i] for i in sorted(by_id)]
    return tuple(claim for claim, _ in ordered), [pieces for _, pieces in ordered]


def _is_whole(claim: Claim, pieces: list[Any]) -> bool:
    return isinstance(claim, Agreement) and not pieces


def _nearest_id(owner: Owner, among: dict[Owner, int]) -> ClaimId:
    alone = sum(o[1] == owner[1] for o in among) == 1
    return ClaimId(f"nearest:{owner[1]}" if alone else f"nearest:{owner[1]}:{owner[0]}")


def _plate(
    claims: Sequence[Claim],
    pieces: list[list[Any]],
    held: frozenset[int],
    extent: Any,
    zone_m: float,
    nearest: dict[Owner, int],
) -> Plate:
    """One plate; `nearest` gains the number of each owner of a piece of a gap."""
    in_extent = len(claims)
    territories = [i for i in sorted(held) if isinstance(claims[i], Territory)]
    order = sorted({(g.priority, g.squad) for g in (claims[i] for i in territories) if isinstance(g, Territory)})
    stretches = drawn(claims, pieces, held)
    zones = _strips(claims, pieces, held, territories, zone_m, stretches)
    grounds = [i for i in sorted(held) if not isinstance(claims[i], Stretch)]
    lines = pinned(_lines(pieces, grounds, [*zones, (in_extent, extent)]), stretches)
    full, owner = split(lines, lambda faces: _ranks(claims, faces.labels, order), in_extent)
    for r in np.unique(owner[owner >= 0]).tolist():
        nearest.setdefault(order[r], len(claims) + len(nearest))
    keys: list[Label] = [
        tuple(i for i in label if i != in_extent)
        + ((nearest[order[owner[f]]],) if owner[f] >= 0 else ())
        + ((_INSIDE,) if in_extent in label else ())
        for f, label in enumerate(full.labels)
    ]
    distinct, number = claims_of([*keys, ()])
    faces = dissolve(full, number[:-1], int(number[-1]))
    inside = tuple(_INSIDE in label for label in distinct)
    ring, ring_at = _extent_rings(full, number[:-1], inside, faces)
    labels = tuple(tuple(i for i in label if i != _INSIDE) for label in distinct)
    outside = int(number[-1])
    return Plate(faces, labels, inside, outside, ring, ring_at, _borders(claims, labels, faces, outside, stretches))


def _borders(
    claims: Sequence[Claim], labels: tuple[Label, ...], faces: Subdivision, outside: int, stretches: Sequence[Drawn]
) -> Borders | None:
    """The edges in stretches with widths of their own; None where there are no stretches."""
    if not stretches:
        return None
    of = np.append(faces.label, outside)
    ends = faces.xy[faces.edge].reshape(-1, 4)
    stretch = along(stretches, claims, labels, ends, of[faces.side[:, 0]], of[faces.side[:, 1]])
    return Borders(stretch, entered(claims, labels, faces, outside))


_INSIDE = 1 << 62
"""Marks a label as inside the extent; sorts after every claim."""


def _lines(
    pieces: list[list[Any]],
    numbers: Sequence[int],
    further: Sequence[tuple[int, Any]] = (),
) -> Linework:
    """Linework of the numbered claims, and of further ground as (number, geometry)."""
    shapes = [*((i, shape) for i in numbers for shape in pieces[i]), *further]
    lines = linework([shape for _, shape in shapes])
    return replace(lines, claim=np.array([i for i, _ in shapes], np.int64)[lines.claim])


def _ranks(claims: Sequence[Claim], labels: tuple[Label, ...], order: list[Owner]) -> Ints:
    """The first owner of each face in the published order, by its place in `order`; -1 none. The last is the outside's."""
    place = {owner: i for i, owner in enumerate(order)}
    rank = np.full(len(labels) + 1, -1, np.int64)
    for f, label in enumerate(labels):
        grounds = (claims[i] for i in label if i < len(claims))
        rank[f] = min((place[(g.priority, g.squad)] for g in grounds if isinstance(g, Territory)), default=-1)
    return rank


def _strips(
    claims: Sequence[Claim],
    pieces: list[list[Any]],
    held: frozenset[int],
    territories: Sequence[int],
    zone_m: float,
    stretches: Sequence[Drawn],
) -> list[tuple[int, Any]]:
    """The border zones of agreements that have no ground of their own."""
    wanted = [(i, c) for i in sorted(held) if isinstance(c := claims[i], Agreement) and not pieces[i]]
    if not wanted or (zone_m <= 0 and not stretches):
        return []
    base = arrange(pinned(_lines(pieces, territories), stretches))
    width = np.full(len(base.edge), zone_m)
    if stretches:
        distinct, number = claims_of([*base.labels, ()])
        in_stretch = along(stretches, claims, distinct, base.xy[base.edge].reshape(-1, 4), *number[base.side].T)
        for i, claim in ((i, claims[i]) for i in np.unique(in_stretch[in_stretch >= 0]).tolist()):
            if isinstance(claim, Stretch) and claim.zone_m is not None:
                width[in_stretch == i] = claim.zone_m
    squads = [{g.squad for g in (claims[i] for i in label if i < len(claims)) if isinstance(g, Territory)} for label in base.labels]
    squads.append(set())

    def border(squad: SquadCode) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
        has = np.array([squad in s for s in squads])
        kept = (has[base.side[:, 0]] != has[base.side[:, 1]]) & (width > 0)
        lines: NDArray[np.object_] = shapely.linestrings(base.xy[base.edge[kept]] / MM)
        return lines, width[kept]

    strips = ((i, border_strip(*border(c.parties[0]), *border(c.parties[1]))) for i, c in wanted)
    return [(i, strip) for i, strip in strips if not strip.is_empty]


def _extent_rings(full: Arrangement, number: Ints, inside: Sequence[bool], faces: Subdivision) -> tuple[Ints, Ints]:
    """The declared extent as rings over the vertices of the published faces."""
    flag = np.array(inside, np.int64)
    merged = dissolve(full, flag[number], 0)
    rings: list[Ints] = []
    for f in np.flatnonzero(merged.label == 1).tolist():
        numbers = range(merged.face_at[f], merged.face_at[f + 1])
        rings += [merged.ring[merged.ring_at[r] : merged.ring_at[r + 1]] for r in numbers]
    if not rings:
        return np.empty(0, np.int64), np.zeros(1, np.int64)
    order = {tuple(p): i for i, p in enumerate(faces.xy.tolist())}
    place = np.array([order.get(tuple(p), OUTSIDE) for p in merged.xy.tolist()], np.int64)
    return place[np.concatenate(rings)], np.concatenate([[0], np.cumsum([len(r) for r in rings])]).astype(np.int64)
