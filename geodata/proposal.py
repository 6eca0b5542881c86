"""A proposed layer without the overlaps and gaps that are drawing flaws: written beside the input, never into it.

The faces of the check are given away, exactly, on the millimetre grid: an overlap to the first claimant in the agreed
order, a gap to the neighbour with the longest common border. Then every outline is put together again from the same edges,
so that neighbours share every vertex; a vertex keeps the coordinates it has in the file. shapely's coverage_clean is not
used: going by the longest border it empties a ground that lies inside another, silently. Here a feature that would lose all
its ground keeps it, and the finding is left to people, as are the wide ones: a park between two squads is no drawing flaw.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyproj
import shapely

from geodata.crs import FloatArray, System, from_work, geometries_to_work
from geodata.files import Layer, Table
from geodata.intake import WGS84, Geometries
from geodata.topology import STANDING_M, check, issue_of
from geodata.topology_facts import Faces, Flaw, LayerFacts, layer_facts
from geodata.topology_issue import Issue
from geodata.written import (
    GPKG_VERSION,
    NoPlaces,
    check_output,
    common_type,
    free_name,
    plain_column,
    whole_file,
    write_table,
)
from routing.errors import Lang
from routing.ground.faces import Arrangement, Label, dissolve
from routing.ground.noding import MM, Ints, unique_rows


@dataclass(frozen=True, slots=True)
class Limits:
    """Wider overlaps and gaps are left to people, metres. By default what nobody can stand in is taken for a drawing flaw."""

    overlap_m: float = STANDING_M
    gap_m: float = STANDING_M


class Why(StrEnum):
    """Why a finding is left as it is."""

    WIDE = "wide"
    WOULD_EMPTY = "would_empty"
    CROSSING = "crossing"
    OPEN = "open"
    OTHER = "other"


WHY: Mapping[Why, tuple[str, str]] = {
    Why.WIDE: (
        "{id}:宽 {width} 米,超过上限,可能是有意划定的,未作改动。请由人商定。",
        "{id}: {width} m wide, beyond the limit, so it may be meant: left as it is. Let people settle it.",
    ),
    Why.WOULD_EMPTY: (
        "{id}:按既定次序处理会使 {who} 不剩一块地,未作改动。请由人商定,例如在外围辖区中挖去这一块。",
        "{id}: by the agreed order {who} would be left without any ground: left as it is. Let people settle it, perhaps by "
        "cutting a hole into the outer ground.",
    ),
    Why.CROSSING: (
        "{id}:边界自相交,无法断定原意({width} 米宽),未作改动。请重画边界。",
        "{id}: an outline crosses itself, and what was meant is not known ({width} m wide): left as it is. Draw it again.",
    ),
    Why.OPEN: (
        "{id}:缝隙通向外侧,没有四周边界可循({width} 米宽),未作改动。请把两条线对齐。",
        "{id}: the strip is open to the outside, so its end is unknown ({width} m wide): left as it is. Snap the two lines.",
    ),
    Why.OTHER: (
        "{id}:这类问题没有现成的改法,未作改动。请人工核对并改画。",
        "{id}: there is no ready repair for findings of this kind: left as it is. Look at it, and edit by hand.",
    ),
}


@dataclass(frozen=True, slots=True)
class Change:
    """What a feature would gain or lose, m2 of the work CRS, and for which findings. An invalid outline may change without
    a change of ground."""

    feature: str
    before_m2: float
    after_m2: float
    issues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """A finding that is not settled here. `who`: the features that would have been emptied."""

    issue: Issue
    why: Why
    who: tuple[str, ...] = ()

    def text(self, lang: Lang) -> str:
        """The sentence in one language."""
        zh, en = WHY[self.why]
        width = "-" if self.issue.width_m is None else f"{self.issue.width_m:.3g}"
        return (zh if lang == "zh-CN" else en).format(id=self.issue.id, width=width, who=", ".join(self.who) or "-")


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """The proposed shapes in the layer's own coordinates, row for row; nothing else of the layer changes.

    `changes`: features whose ground changes, by name. `aligned`: features whose ground stays, but whose vertices were
    matched with their neighbours'. `left`: what is not settled. `remaining`: the findings of the proposed layer itself.
    """

    geometry: Geometries
    changes: tuple[Change, ...]
    aligned: tuple[str, ...]
    left: tuple[Left, ...]
    remaining: tuple[Issue, ...]


def propose(
    layer: Layer,
    facts: LayerFacts,
    issues: Iterable[Issue],
    of: System,
    work: pyproj.CRS,
    *,
    order: Sequence[str] = (),
    limits: Limits = Limits(),
) -> Proposal:
    """The layer with those of `issues` settled that are drawing flaws.

    `facts` are of this layer, in the metres of `work`. `order`: the ids that win an overlap, first first; ids not in it
    come after, ascending, which is how the ladder leads on disputed ground.
    """
    wanted = {issue.id: issue for issue in issues}
    crossed = _crossed(facts)
    found = [
        (flaw, issue, _why_not(flaw, issue, crossed, limits)) for flaw, issue in _flaws(facts) if issue.id in wanted
    ]
    fixed = [(flaw, issue) for flaw, issue, why in found if why is None]
    owner = _settled(facts, [flaw for flaw, _ in fixed], order)
    owner, kept = _without_emptying(facts.faces, owner)
    geometry = _outlines(layer.geometry, facts, owner, of, work)
    geometry[sorted(crossed)] = layer.geometry[sorted(crossed)]
    moved = geometries_to_work(geometry, of, work, layer.table.spec)
    options = {"extent": facts.extent, "roster": facts.roster, "single_part": facts.single_part}
    changes = tuple(_changes(facts, owner, [*fixed, *_redrawn(facts, wanted, crossed)]))
    return Proposal(
        geometry,
        changes,
        _aligned(layer.geometry, geometry, facts.names, {change.feature for change in changes}),
        tuple(_left(facts, found, owner, kept, wanted)),
        check(layer_facts(facts.ids, moved, **options)),
    )


def write_proposal(path: str | Path, layer: Layer, proposal: Proposal) -> Path:
    """Write the proposed layer with the columns and the CRS of the input, and the table of changes beside it.

    Returns the path of the table, `NAME.changes.csv`. Each of the two files appears whole or not at all; the input itself
    is refused as output (OutIsInput), and so is a GeoJSON of a layer that is not in degrees (NoPlaces).
    """
    out = Path(path)
    table = replace(layer.table, geometry=proposal.geometry)
    check_output(out, table, [])
    if out.suffix.lower() in (".geojson", ".json") and table.crs != WGS84:
        raise NoPlaces(path=str(out), format="GeoJSON")
    beside = out.with_name(out.stem + ".changes.csv")
    if out.suffix.lower() == ".gpkg":
        _write_gpkg(out, table)
    else:
        write_table(out, table, {}, places=proposal.geometry)
    with whole_file(beside) as target:
        pyarrow.csv.write_csv(_as_table(proposal), target)
    return beside


def _flaws(facts: LayerFacts) -> Iterator[tuple[Flaw, Issue]]:
    for kind, flaws in (("overlap", facts.overlaps), ("gap", facts.gaps)):
        for flaw in flaws:
            yield flaw, issue_of(flaw, kind, facts.called(flaw.features))


def _crossed(facts: LayerFacts) -> set[int]:
    """Features that shut ground in by crossing themselves: what was meant is unknown, so they are not touched."""
    return {i for flaw in facts.gaps if flaw.eye for i in flaw.features}


def _redrawn(facts: LayerFacts, wanted: Mapping[str, Issue], crossed: set[int]) -> Iterator[tuple[int, Issue]]:
    """Features whose outline is made valid by putting it together again; their ground stays."""
    number = {name: i for i, name in enumerate(facts.names)}
    for issue in wanted.values():
        if issue.code == "invalid_ring" and number[issue.features[0]] not in crossed:
            yield number[issue.features[0]], issue


def _why_not(flaw: Flaw, issue: Issue, crossed: set[int], limits: Limits) -> Why | None:
    if crossed.intersection(flaw.features):
        return Why.CROSSING
    gap = issue.code == "gap" or issue.facts["kind"] == "gap"
    return Why.WIDE if flaw.width_m > (limits.gap_m if gap else limits.overlap_m) else None


def _settled(facts: LayerFacts, flaws: Iterable[Flaw], order: Sequence[str]) -> list[Label]:
    """The holders of each face once the flaws are settled."""
    faces, place = facts.faces, {squad: n for n, squad in enumerate(order)}
    owner = list(faces.holders)
    agreed: dict[int, set[tuple[int, ...]]] = defaultdict(set)
    gaps = []
    for flaw in flaws:
        for face in flaw.faces:
            if faces.holders[face]:
                agreed[face].add(flaw.features)
            else:
                gaps.append(face)
    for face, pairs in agreed.items():
        if _pairs(facts, face) <= pairs:  # where three meet, all of them must be narrow
            first = min(owner[face], key=lambda i: (place.get(facts.ids[i], len(place)), facts.ids[i], i))
            owner[face] = (first,)
    for face, border in _borders(faces, owner, set(gaps)).items():
        owner[face] = (min(border, key=lambda i: (-round(border[i], 3), facts.ids[i], i)),)
    return owner


def _pairs(facts: LayerFacts, face: int) -> set[tuple[int, ...]]:
    held = facts.faces.holders[face]
    return {
        (a, b) for n, a in enumerate(held) for b in held[n + 1 :] if not facts.ids[a] or facts.ids[a] != facts.ids[b]
    }


def _borders(faces: Faces, owner: list[Label], gaps: set[int]) -> dict[int, dict[int, float]]:
    """Of each gap, the metres of border that each feature has along it."""
    arrangement = faces.arrangement
    a, b = arrangement.edge.T
    length = np.hypot(*((arrangement.xy[b] - arrangement.xy[a]) / MM).T)
    border: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for face in (0, 1):
        mine, other = arrangement.side[:, face], arrangement.side[:, 1 - face]
        for e in np.flatnonzero(np.isin(mine, list(gaps)) & (other >= 0)):
            for i in owner[other[e]]:
                border[int(mine[e])][i] += float(length[e])
    return border


def _without_emptying(faces: Faces, owner: list[Label]) -> tuple[list[Label], dict[int, set[int]]]:
    """Features that would be left without ground keep all they had. Also: the features kept so, by face."""
    before = {i for held in faces.holders for i in held}
    emptied = before - {i for held in owner for i in held}
    kept: dict[int, set[int]] = {}
    for face, held in enumerate(faces.holders):
        if emptied.intersection(held):
            kept[face] = emptied.intersection(held)
            owner[face] = held
    return owner, kept


def _left(
    facts: LayerFacts,
    found: list[tuple[Flaw, Issue, Why | None]],
    owner: list[Label],
    kept: dict[int, set[int]],
    wanted: Mapping[str, Issue],
) -> Iterator[Left]:
    for flaw, issue, why in found:
        emptied = {i for face in flaw.faces for i in kept.get(face, ())}
        both = any(set(flaw.features) <= set(owner[face]) for face in flaw.faces if facts.faces.holders[face])
        if why is not None:
            yield Left(issue, why)
        elif emptied:
            yield Left(issue, Why.WOULD_EMPTY, facts.called(emptied))
        elif both:  # where a third holder overlaps widely
            yield Left(issue, Why.WIDE)
    for issue in wanted.values():
        if issue.code == "invalid_ring" and issue.facts["kind"] == "eye":
            yield Left(issue, Why.CROSSING)
        elif issue.code == "unmatched_edge" and issue.facts["kind"] == "rim":
            yield Left(issue, Why.OPEN)


def _changes(facts: LayerFacts, owner: list[Label], settled: Iterable[tuple[Flaw | int, Issue]]) -> Iterator[Change]:
    area = facts.faces.area_m2
    before, after = np.zeros(len(facts.ids)), np.zeros(len(facts.ids))
    because: dict[int, set[str]] = defaultdict(set)
    issues: dict[int, set[str]] = defaultdict(set)
    for what, issue in settled:
        if isinstance(what, int):
            because[what].add(issue.id)
        else:
            for face in what.faces:
                issues[face].add(issue.id)
    for face, held in enumerate(facts.faces.holders):
        before[list(held)] += area[face]
        after[list(owner[face])] += area[face]
        for i in set(held) ^ set(owner[face]):
            because[i] |= issues[face]
    for i in sorted(because, key=lambda i: facts.names[i]):
        yield Change(facts.names[i], float(before[i]), float(after[i]), tuple(sorted(because[i])))


def _aligned(old: Geometries, new: Geometries, names: tuple[str, ...], changed: set[str]) -> tuple[str, ...]:
    return tuple(sorted(n for a, b, n in zip(old, new, names, strict=True) if a is not b and n not in changed))


# --- outlines ---------------------------------------------------------------------------------------------------------


def _outlines(old: Geometries, facts: LayerFacts, owner: list[Label], of: System, work: pyproj.CRS) -> Geometries:
    """The shapes of the owners in the layer's coordinates.

    A valid shape whose ground stays, and that has every vertex of its borders with others, stays the same object.
    """
    arrangement = facts.faces.arrangement
    xy, own = _coordinates(old, facts, of, work)
    ends = _common_ends(arrangement, owner, len(facts.ids))
    new, before = old.copy(), _by_feature(facts.faces.holders)
    for i, faces in _by_feature(owner).items():
        asked = ends[i] + i * len(xy)
        matched = (np.searchsorted(own, asked, "right") > np.searchsorted(own, asked)).all()
        if faces != before.get(i) or facts.reason[i] or not matched:
            new[i] = _outline(arrangement, faces, xy, one=old[i].geom_type == "Polygon")
    return new


def _by_feature(owner: Sequence[Label]) -> dict[int, list[int]]:
    """The faces of each feature, ascending."""
    faces: dict[int, list[int]] = defaultdict(list)
    for face, held in enumerate(owner):
        for i in held:
            faces[i].append(face)
    return faces


def _common_ends(arrangement: Arrangement, owner: list[Label], n_feature: int) -> list[Ints]:
    """Of each feature, the vertices of edges that are border of it and of another feature."""
    pairs, of = np.unique(arrangement.side, axis=0, return_inverse=True)
    ends: list[list[Ints]] = [[] for _ in range(n_feature)]
    edges = np.split(arrangement.edge[np.argsort(of.ravel(), kind="stable")], np.cumsum(np.bincount(of.ravel()))[:-1])
    for (a, b), along in zip(pairs.tolist(), edges, strict=True):
        here, there = set(owner[a] if a >= 0 else ()), set(owner[b] if b >= 0 else ())
        for i in here ^ there if here and there else ():
            ends[i].append(along.ravel())
    return [np.unique(np.concatenate(some)) if some else np.empty(0, np.int64) for some in ends]


def _coordinates(old: Geometries, facts: LayerFacts, of: System, work: pyproj.CRS) -> tuple[FloatArray, Ints]:
    """Of each vertex of the arrangement, its place in the layer's system: as in the file, the least if several fall on one
    grid point; converted back where the file has none (crossings). Also feature * vertices + vertex, sorted, of those
    vertices that a feature has at exactly this place."""
    vertices = facts.faces.arrangement.xy
    source, feature = shapely.get_coordinates(old, return_index=True)
    grid = np.rint(shapely.get_coordinates(facts.geometry) * MM).astype(np.int64)
    _, at = unique_rows(np.concatenate([vertices, grid]))
    number = np.full(int(at.max(initial=0)) + 1, -1, np.int64)
    number[at[: len(vertices)]] = np.arange(len(vertices))
    vertex = number[at[len(vertices) :]]
    source, feature, vertex = source[vertex >= 0], feature[vertex >= 0], vertex[vertex >= 0]
    rank = np.lexsort((source[:, 1], source[:, 0], vertex))[::-1]
    x, y = from_work(vertices[:, 0] / MM, vertices[:, 1] / MM, of, work)
    xy = np.stack([x, y], 1)
    xy[vertex[rank]] = source[rank]  # the last one written is the least
    same = (source == xy[vertex]).all(1)
    return xy, np.unique(feature[same] * len(xy) + vertex[same])


def _outline(arrangement: Arrangement, faces: list[int], xy: FloatArray, *, one: bool) -> Any:
    """The union of faces as Polygon (if `one` and it is) or MultiPolygon."""
    label = np.zeros(arrangement.n_face, np.int64)
    label[faces] = 1
    within = np.append(label, 0)[arrangement.side]
    rim = within[:, 0] != within[:, 1]
    border = replace(arrangement, edge=arrangement.edge[rim], side=arrangement.side[rim])
    plane = dissolve(border, label, 0)
    place = xy[np.unique(border.edge)]  # the vertices that dissolve keeps, in its order
    rings = [plane.ring[s:t] for s, t in zip(plane.ring_at[:-1], plane.ring_at[1:], strict=True)]
    polygons = []
    for face in np.flatnonzero(plane.label == 1):
        loops = [loop for ring in rings[plane.face_at[face] : plane.face_at[face + 1]] for loop in _loops(ring)]
        polygons.append(_polygon(loops, plane.xy, place))
    return polygons[0] if one and len(polygons) == 1 else shapely.multipolygons(polygons)


def _loops(ring: Ints) -> Iterator[list[int]]:
    """A ring that passes a vertex twice, as rings that do not: the outline of ground that touches itself at a point."""
    path: list[int] = []
    at: dict[int, int] = {}
    for vertex in ring.tolist():
        if vertex in at:
            loop = path[at[vertex] :]
            yield loop
            for passed in loop:
                del at[passed]
            del path[len(path) - len(loop) :]
        at[vertex] = len(path)
        path.append(vertex)
    yield path


def _polygon(loops: list[list[int]], grid: Ints, place: FloatArray) -> Any:
    """Of the loops of one face: the counter-clockwise one is the shell, for the ground of a face hangs together."""
    (shell,) = (loop for loop in loops if _twice_area(grid[loop]) > 0)
    return shapely.Polygon(place[shell], [place[loop] for loop in loops if loop is not shell])


def _twice_area(xy: Ints) -> int:
    x, y = (xy - xy[0]).T
    a = [int(p) * int(q) for p, q in zip(x, np.roll(y, -1), strict=True)]
    b = [int(p) * int(q) for p, q in zip(np.roll(x, -1), y, strict=True)]
    return sum(a) - sum(b)


# --- writing ----------------------------------------------------------------------------------------------------------


def _as_table(proposal: Proposal) -> Any:
    """What is to be signed off, one row per feature."""
    return pa.table(
        {
            "feature": pa.array([c.feature for c in proposal.changes], pa.string()),
            "before_m2": pa.array([round(c.before_m2, 3) for c in proposal.changes], pa.float64()),
            "after_m2": pa.array([round(c.after_m2, 3) for c in proposal.changes], pa.float64()),
            "issues": pa.array(["|".join(c.issues) for c in proposal.changes], pa.string()),
        }
    )


def _write_gpkg(out: Path, table: Table) -> None:
    """In the CRS of the input, which `write_table` does not do: its results are places in WGS-84."""
    from geodata.intake_gdal import pyogrio

    assert table.geometry is not None
    names = table.columns.column_names
    geometry = free_name("geom", names)
    arrays = [plain_column(table.columns.column(name)) for name in names]
    arrays.append(pa.array(shapely.to_wkb(table.geometry, flavor="iso"), pa.binary()))
    with whole_file(out) as target:
        pyogrio.write_arrow(
            pa.table(arrays, names=[*names, geometry]),
            target,
            driver="GPKG",
            VERSION=GPKG_VERSION,
            layer=out.stem,
            geometry_name=geometry,
            geometry_type=common_type(table.geometry),
            crs=None if table.crs is None else table.crs.to_wkt(),
            FID=free_name("fid", names),
            GEOMETRY_NAME=geometry,
        )
