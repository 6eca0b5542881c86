"""Checks of a layer of grounds: one check, one function, listed in CHECKS. They find, and mend nothing.

    facts = layer_facts(ids, shapes in work metres, extent=..., roster=...)
    for issue in check(facts): print(issue.severity, issue.text("en"))

What counts as what. An *overlap* is a pair of features of different squads that share more than `LEAST_M2`, summed over all
their common ground; a *gap* is one enclosed hole of the union larger than that. Both are errors where a person could stand
in them (`STANDING_M` wide), else warnings: two drawings of one line. What is smaller is a *sliver*. Areas are those of the
millimetre grid on which decisions are made: rounding moves a line by 0.71 mm at most, so an area is that of the file within
0.71 mm times its perimeter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterator
from typing import Any

import numpy as np
import shapely

from geodata.topology_edges import Pairing, facing_rims, lone_vertices, spikes_of
from geodata.topology_facts import Flaw, LayerFacts, inscribed, named_place, pieces
from geodata.topology_issue import Issue, Place, Severity

Check = Callable[[LayerFacts], Iterator[Issue]]

LEAST_M2 = 1.0
"""Less ground than a stall needs: no case will be there. Of the real layers we know, 1 m2 parts drawn gaps from the dust
that reprojecting leaves (fire battalions of New York: 945 holes, 8 of them above 1 m2)."""

STANDING_M = 1.0
"""Narrower, nobody stands in it, and survey lines of towns (0.3 to 1 m) are no better. Wider it is certain to matter."""

GRID_M = 0.002
"""Two grid steps: rounding to the millimetre alone can make an overlap or gap of this width."""


def check(facts: LayerFacts, but: Container[str] = ()) -> tuple[Issue, ...]:
    """All findings: errors first, then in the order of CHECKS, the largest first. The order of features changes nothing.

    `but`: checks to leave out, by the code of their findings.
    """
    found = [(issue, n) for n, (code, one) in enumerate(CHECKS) if code not in but for issue in one(facts)]
    rank = {severity: n for n, severity in enumerate(Severity)}

    def order(pair: tuple[Issue, int]) -> tuple[Any, ...]:
        issue, n = pair
        size = (-(issue.area_m2 or 0.0), issue.features, issue.place or (0.0, 0.0))
        return (rank[issue.severity], n, *size, str(issue.facts.get("kind")))

    return tuple(issue for issue, _ in sorted(found, key=order))


def empty_geometry(facts: LayerFacts) -> Iterator[Issue]:
    """Features without polygons, or whose polygons vanish on the grid."""
    there = {i for held in facts.faces.holders for i in held}
    for i, shape in enumerate(facts.geometry):
        if i not in there:
            kind = "None" if shape is None else shape.geom_type + (" EMPTY" if shape.is_empty else "")
            place = None if shape is None or shape.is_empty else _xy(shapely.point_on_surface(shape))
            yield Issue("empty_geometry", Severity.ERROR, facts.called([i]), place, facts={"geometry": kind})


def missing_id(facts: LayerFacts) -> Iterator[Issue]:
    """Features of which nobody knows whose they are."""
    for i, squad in enumerate(facts.ids):
        if not squad:
            yield Issue("missing_id", Severity.ERROR, facts.called([i]), _inside(facts, [i]))


def duplicate_id(facts: LayerFacts) -> Iterator[Issue]:
    """Ids with several features, one finding per id. A note where they join into one ground, else a warning."""
    twice = _shared_by_one_squad(facts)
    for squad, features in facts.squads().items():
        if len(features) == 1:
            continue
        of, area = set(features), twice.get(squad, 0.0)
        parts = pieces([f for f, held in enumerate(facts.faces.holders) if of & set(held)], facts.faces.near)
        kind = "twice" if area > LEAST_M2 else "apart" if len(parts) > 1 else "joined"
        severity = Severity.NOTE if kind == "joined" else Severity.WARNING
        said = {"id": squad, "count": len(features), "pieces": len(parts), "kind": kind}
        place = _inside(facts, features)
        yield Issue("duplicate_id", severity, facts.called(features), place, area or None, None, said)


def unknown_squad(facts: LayerFacts) -> Iterator[Issue]:
    """Ids that are not on the roster, where one is given."""
    if facts.roster is None:
        return
    for squad, features in facts.squads().items():
        if squad not in facts.roster:
            place = _inside(facts, features)
            yield Issue("unknown_squad", Severity.ERROR, facts.called(features), place, facts={"id": squad})


CLEAR = ("Ring Self-intersection", "Too few points", "Interior is disconnected", "Duplicate Rings", "Ring not closed")
"""What GEOS says of outlines that touch or fold: no ground is in doubt."""


def invalid_ring(facts: LayerFacts) -> Iterator[Issue]:
    """Shapes that break the OGC rules, one finding per feature: errors where they cross themselves (bow ties, holes outside,
    nested parts), warnings where they only touch themselves."""
    for i, why in enumerate(facts.reason):
        if why is None:
            continue
        eyes = [gap for gap in facts.gaps if gap.eye and gap.features == (i,)]
        area = sum(eye.area_m2 for eye in eyes) or None
        width = max((eye.width_m for eye in eyes), default=None)
        kind = "eye" if eyes else "touch" if why.startswith(CLEAR) else "cross"
        severity = Severity.WARNING if kind == "touch" else Severity.ERROR
        said = {"reason": why.partition("[")[0].strip(), "kind": kind}
        yield Issue("invalid_ring", severity, facts.called([i]), named_place(why), area, width, said)


def spike(facts: LayerFacts) -> Iterator[Issue]:
    """Vertices where an outline turns back on itself."""
    for i, place, length, angle in spikes_of(facts.ground):
        said = {"length": f"{length:.3g}", "angle": f"{angle:.2g}"}
        yield Issue("spike", Severity.WARNING, facts.called([i]), place, facts=said)


def overlap(facts: LayerFacts) -> Iterator[Issue]:
    """Pairs of squads on one ground of more than LEAST_M2."""
    for flaw in facts.overlaps:
        if flaw.area_m2 > LEAST_M2:
            yield issue_of(flaw, "overlap", facts.called(flaw.features))


def gap(facts: LayerFacts) -> Iterator[Issue]:
    """Enclosed ground of nobody, of more than LEAST_M2. With an extent given, only inside it."""
    for flaw in facts.gaps:
        if flaw.area_m2 > LEAST_M2 and not flaw.eye:
            yield issue_of(flaw, "gap", facts.called(flaw.features))


def sliver(facts: LayerFacts) -> Iterator[Issue]:
    """Overlaps and gaps of at most LEAST_M2; `kind` says which. A note where rounding to the grid may have made it."""
    for kind, flaws in (("overlap", facts.overlaps), ("gap", facts.gaps)):
        for flaw in flaws:
            if flaw.area_m2 <= LEAST_M2 and not flaw.eye:
                yield issue_of(flaw, kind, facts.called(flaw.features))


def issue_of(flaw: Flaw, kind: str, who: tuple[str, ...]) -> Issue:
    """An overlap or gap, or the sliver it is, as a finding."""
    small = flaw.area_m2 <= LEAST_M2
    severity = Severity.ERROR if flaw.width_m >= STANDING_M else Severity.WARNING
    if small:
        severity = Severity.WARNING if flaw.width_m > GRID_M else Severity.NOTE
    thin = "thin" if flaw.width_m < STANDING_M else "wide"
    said = {"kind": kind if small else thin, "pieces": flaw.pieces}
    return Issue("sliver" if small else kind, severity, who, flaw.place, flaw.area_m2, flaw.width_m, said)


def unmatched_edge(facts: LayerFacts) -> Iterator[Issue]:
    """Neighbours' lines that do not match: vertices of one side alone (a note), or a strip between them that is open to the
    outside and so no gap (a warning; a note where rounding may have made it). One finding per pair of features and kind."""
    for pair, seen in lone_vertices(facts).items():
        yield _unmatched(seen, "vertex", Severity.NOTE, facts.called(pair))
    for pair, seen in facing_rims(facts).items():
        severity = Severity.WARNING if (seen.width_m or 0.0) > GRID_M else Severity.NOTE
        yield _unmatched(seen, "rim", severity, facts.called(pair))


def _unmatched(seen: Pairing, kind: str, severity: Severity, who: tuple[str, ...]) -> Issue:
    said = {"kind": kind, "count": seen.count, "length": f"{seen.length_m:.3g}"}
    return Issue("unmatched_edge", severity, who, seen.place, None, seen.width_m, said)


def multi_part(facts: LayerFacts) -> Iterator[Issue]:
    """Features whose ground is in several pieces: a note, or a warning where `single_part` is expected. Pieces that touch at
    a point only are separate. Of ids with several features `duplicate_id` tells."""
    severity = Severity.WARNING if facts.single_part else Severity.NOTE
    area, alone = facts.faces.area_m2, {of[0] for of in facts.squads().values() if len(of) == 1}
    faces_of: dict[int, list[int]] = defaultdict(list)
    for face, held in enumerate(facts.faces.holders):
        for i in alone.intersection(held):
            faces_of[i].append(face)
    for i, whole in sorted(faces_of.items()):
        parts = pieces(whole, facts.faces.near) if len(whole) > 1 else []
        if len(parts) < 2:
            continue
        size = [float(area[list(part)].sum()) for part in parts]
        least = min(range(len(parts)), key=lambda n: (size[n], parts[n]))
        place = _xy(shapely.point_on_surface(facts.faces.polygon[parts[least][0]]))
        yield Issue("multi_part", severity, facts.called([i]), place, size[least], None, {"count": len(parts)})


def hole_in_extent(facts: LayerFacts) -> Iterator[Issue]:
    """Ground of the extent without a squad that is open to its rim; enclosed holes are gaps."""
    if facts.extent is None:
        return
    faces = facts.faces
    holes = [f for f in range(len(faces.holders)) if not faces.holders[f] and faces.inside[f] and faces.open[f]]
    for n, (width, place) in enumerate(_measured(facts, [(f,) for f in holes])):
        if faces.area_m2[holes[n]] > LEAST_M2:
            severity = Severity.ERROR if width >= STANDING_M else Severity.WARNING
            yield Issue("hole_in_extent", severity, (), place, float(faces.area_m2[holes[n]]), width)


def part_outside_extent(facts: LayerFacts) -> Iterator[Issue]:
    """Ground of a feature beyond the extent, one finding per feature; a warning, as either of the two may be wrong."""
    if facts.extent is None:
        return
    faces = facts.faces
    beyond: dict[int, list[int]] = defaultdict(list)
    for face in np.flatnonzero(~faces.inside):
        for i in faces.holders[face]:
            beyond[i].append(int(face))
    for i, (width, place) in zip(beyond, _measured(facts, list(beyond.values())), strict=True):
        area = float(faces.area_m2[beyond[i]].sum())
        if area > LEAST_M2:
            yield Issue("part_outside_extent", Severity.WARNING, facts.called([i]), place, area, width)


def datum_suspicion(facts: LayerFacts) -> Iterator[Issue]:
    """What `datum.fit_points` or `fit_lines` found, if another datum than the declared one fits better."""
    for fit in facts.fits:
        if fit.better is not None:
            said = {"zh-CN": fit.text("zh-CN"), "en": fit.text("en")}
            yield Issue("datum_suspicion", Severity.WARNING, (), facts={"said": said, "kind": type(fit).__name__})


CHECKS: tuple[tuple[str, Check], ...] = (
    ("empty_geometry", empty_geometry),
    ("missing_id", missing_id),
    ("duplicate_id", duplicate_id),
    ("unknown_squad", unknown_squad),
    ("invalid_ring", invalid_ring),
    ("overlap", overlap),
    ("gap", gap),
    ("hole_in_extent", hole_in_extent),
    ("part_outside_extent", part_outside_extent),
    ("sliver", sliver),
    ("spike", spike),
    ("unmatched_edge", unmatched_edge),
    ("multi_part", multi_part),
    ("datum_suspicion", datum_suspicion),
)
"""Code of the findings, and the check that makes them."""


def _measured(facts: LayerFacts, groups: list[list[int]] | list[tuple[int]]) -> list[tuple[float, Place]]:
    """Width and place of the widest face of each group of faces."""
    if not groups:
        return []
    flat = [face for group in groups for face in group]
    width, place = inscribed(facts.faces.polygon[flat])
    ends = np.cumsum([len(group) for group in groups])
    best = []
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        widest = max(range(start, end), key=lambda n: (width[n], place[n]))
        best.append((float(width[widest]), place[widest]))
    return best


def _shared_by_one_squad(facts: LayerFacts) -> dict[str, float]:
    """Ground that several features of one squad hold, m2."""
    area: dict[str, float] = defaultdict(float)
    for face, held in enumerate(facts.faces.holders):
        squads = [facts.ids[i] for i in held]
        for squad in {s for s in squads if s and squads.count(s) > 1}:
            area[squad] += float(facts.faces.area_m2[face])
    return area


def _inside(facts: LayerFacts, features: list[int]) -> Place | None:
    """A place in one of the features, the most westerly; None where none has ground."""
    there = [facts.ground[i] for i in features if facts.ground[i] is not None]
    return min((_xy(shapely.point_on_surface(shape)) for shape in there), default=None)


def _xy(point: Any) -> Place:
    return float(point.x), float(point.y)
