"""Line 7: real layers compiled, proven and held against GEOS; and fuzzed layers against brute force."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from geodata.build import MapFiles, build, gather, sources_of
from geodata.compile import Ground, compile_map
from routing.ground import certificate
from routing.ground.faces import arrange
from routing.ground.noding import linework
from routing.ground.verify import assemble, verify
from routing.jurisdiction import Context, JurisdictionMap, Settings
from routing.model import ClaimId, Nearest, Squad, SquadCode, Territory
from routing.route import Complaints, route
from routing.situation import Roster
from tests.oracle import from_lines, holders

LAYERS = [
    ("nyc/polygons_core.gpkg::police_precinct", None),
    ("shenzhen/polygons.gpkg::street_gcj02", "gcj02"),
    ("gaps_overlaps/nyc_dirty_layers.gpkg::fire_companies_2013_simplified", None),
    pytest.param("zhengzhou/henan_districts.gpkg::henan_datav_gcj02", "gcj02", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("layer", "datum"), LAYERS, ids=lambda v: str(v).rsplit("::")[-1])
def test_a_real_layer_compiles_is_proven_and_faithful(data_dir: Path, layer: str, datum: str | None) -> None:
    built = build(MapFiles(territories=f"{data_dir}/{layer}", territories_datum=datum))
    entries = {**certificate.entries_of(built.map)}
    entries["seal"] = np.frombuffer(certificate.seal_of(entries), np.uint8)
    findings = verify(assemble(entries), list(sources_of(built.gathered)))
    plate = built.map.plates[0]
    disputed = sum(len({t.squad for t in territories(built.map, label)}) > 1 for label in plate.labels)
    pieces = sum(
        any(isinstance(built.map.claims[i], Nearest) for i in plate.labels[c]) for c in plate.faces.label.tolist()
    )
    print(f"\n{layer}: {plate.faces.n_face} faces, {disputed} disputed classes, {pieces} pieces of gaps, proven")
    assert [f.text("en") for f in findings] == []


def territories(on: JurisdictionMap, label: tuple[int, ...]) -> list[Territory]:
    return [t for t in (on.claims[i] for i in label) if isinstance(t, Territory)]


@pytest.mark.parametrize(("layer", "datum"), LAYERS, ids=lambda v: str(v).rsplit("::")[-1])
def test_the_edges_are_those_of_geos(data_dir: Path, layer: str, datum: str | None) -> None:
    """The overlay's edge set against unary_union on the same grid."""
    gathered = gather(MapFiles(territories=f"{data_dir}/{layer}", territories_datum=datum))
    shapes = [g.geometry for g in gathered.grounds]
    ours = arrange(linework(shapes))
    rings = shapely.get_rings(shapely.get_parts(shapes))
    grid = shapely.transform(rings, lambda xy: np.rint(xy * 1000.0))
    drawn = [shapely.LineString(shapely.get_coordinates(r)) for r in grid]
    union: Any = shapely.unary_union(drawn, grid_size=1.0)
    theirs = set()
    for line in shapely.get_parts(union):
        xy = shapely.get_coordinates(line).astype(np.int64).tolist()
        theirs |= {tuple(sorted((tuple(a), tuple(b)))) for a, b in pairwise(xy)}
    mine = {tuple(sorted((tuple(a), tuple(b)))) for a, b in ours.xy[ours.edge].tolist()}
    # GEOS keeps lines that run back and forth along themselves; they bound nothing, and vanish with us
    print(f"\n{layer}: {len(mine):,} edges, {len(mine - theirs)} only ours, {len(theirs - mine)} only GEOS's")
    assert mine - theirs == set()
    assert len(theirs - mine) == _back_and_forth(shapes, theirs - mine)


def _back_and_forth(shapes: list[Any], edges: set[Any]) -> int:
    """How many of the edges each part runs along an even number of times, counted on the rounded rings."""
    if not edges:
        return 0
    lines = linework(shapes)
    count: dict[Any, int] = {}
    for (x1, y1, x2, y2), part in zip(lines.segment.tolist(), lines.part.tolist(), strict=True):
        key = (tuple(sorted(((x1, y1), (x2, y2)))), part)
        count[key] = count.get(key, 0) + 1
    return sum(any(k[0] == e and n % 2 == 0 for k, n in count.items()) for e in edges)


def random_grounds(rng: np.random.Generator, size: int) -> list[Any]:
    """Stars, bow ties, boxes, duplicates, slivers, several parts, rings with holes, on a coarse grid of `size` millimetres."""
    shapes: list[Any] = []
    for _ in range(rng.integers(1, 8)):
        kind = rng.integers(0, 5)
        corner = rng.integers(0, size + 1, (rng.integers(3, 9), 2)).astype(float)
        if kind == 0:
            shapes.append(shapely.Polygon(corner))
        elif kind == 1:
            a, b = np.sort(rng.integers(0, size + 1, 2)), np.sort(rng.integers(0, size + 1, 2))
            shapes.append(shapely.box(a[0], b[0], a[1] + 1, b[1] + 1))
        elif kind == 2 and shapes:
            shapes.append(shapes[rng.integers(len(shapes))])
        elif kind == 3:
            shapes.append(shapely.MultiPolygon([shapely.Polygon(rng.integers(0, size + 1, (3, 2))) for _ in range(2)]))
        else:
            shapes.append(
                shapely.Polygon(shapely.box(0, 0, size, size).exterior, [shapely.Polygon(corner[:3]).exterior])
            )
    return [shapely.transform(s, lambda xy: xy / 1000.0) for s in shapes]


def fuzz(layers: int, seed: int) -> tuple[int, int]:
    """Layers proven, and points compared with brute-force parity; asserts that each is proven and no point differs."""
    rng = np.random.default_rng(seed)
    proven = points = 0
    while proven < layers:
        size = int(rng.choice([8, 40, 1000, 2 * 10**8]))
        shapes = random_grounds(rng, size)
        codes = [SquadCode(f"s{k}") for k in range(len(shapes))]
        grounds = [Ground(Territory(id=ClaimId(c), squad=c), s) for c, s in zip(codes, shapes, strict=True)]
        if not len(linework(shapes).segment) or not arrange(linework(shapes)).n_face:
            continue
        squads = tuple(Squad(code=c, duty=c == "duty") for c in [*codes, SquadCode("duty")])
        on = compile_map(grounds, Roster(squads, SquadCode("duty")), Settings("EPSG:4547", 0.0))
        entries = certificate.entries_of(on)
        entries["seal"] = np.frombuffer(certificate.seal_of(entries), np.uint8)
        findings = verify(assemble(entries))
        assert not findings, [f.text("en") for f in findings]
        proven += 1
        lines = linework(shapes)
        place = rng.uniform(-1, size + 1, (40, 2))
        place = place[from_lines(lines, place) > 1.75]  # 1 mm counts as on the line, which snapping moved by 0.71
        points += len(place)
        sheet = on.sheet(Context(0))
        answer = route(on, Complaints(*(np.ascontiguousarray(v) for v in place.T / 1000.0), np.zeros(1)), zone_m=0.0)
        for want, verdict in zip(holders(lines, place), answer.verdict.tolist(), strict=True):
            reason = on.ledger.verdicts[verdict].reasons[-1]
            held = {i for i in reason.found if not i.startswith("nearest")} if want else set()
            assert held == {codes[k] for k in want} or (not want and reason.step in ("nearest", "on_duty")), (
                want,
                reason,
            )
        assert sheet.plate is on.plates[0]
    return proven, points


def test_some_fuzzed_layers_are_proven_and_agree_with_brute_force() -> None:
    print(fuzz(100, 1))


@pytest.mark.slow
def test_a_thousand_fuzzed_layers_are_proven_and_agree_with_brute_force() -> None:
    proven, points = fuzz(1000, 2)
    print(f"\n{proven} layers proven, {points:,} points agree")
