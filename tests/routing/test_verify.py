"""The verifier proves maps drawn by hand, refuses every attack by the check that should see it, and agrees with brute force."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from routing.ground import verify_finding
from routing.ground.verify import Compiled, Finding, NotAMap, Source, assemble, faithful, load, verify, verify_file
from routing.ground.verify_read import (
    EntryMissing,
    EntryMistyped,
    EntryTooLarge,
    EntryUnknown,
    EntryUnreadable,
    MapMissing,
    NotAnArchive,
)
from tests.routing import attacks
from tests.routing.attacks import ATTACKS, Attack, Drawing, Ring

KM = 1_000_000


# ---- maps drawn by hand ---------------------------------------------------------------------------------------------


@dataclass
class Sheet:
    """What is drawn on one plate: (id, kind, squad, polygon in mm)."""

    claims: list[tuple[str, str, str | None, shapely.Polygon]]
    extent: Any = None
    """Polygon in mm; by default the union of the claims."""


@dataclass
class City:
    """A map by hand: sheets with the instants between them."""

    sheets: list[Sheet]
    cuts: list[str] = field(default_factory=list)
    groups: list[list[str]] = field(default_factory=lambda: [[], ["GB:1"]])
    finders: list[str | None] = field(default_factory=lambda: [None])

    def claims(self) -> list[dict[str, Any]]:
        said = {name: {"id": name, "kind": kind, "squad": squad} for s in self.sheets for name, kind, squad, _ in s.claims}
        return list(said.values())

    def sources(self) -> list[Source]:
        ends = [_instant(text) for text in (None, *self.cuts, None)]
        return [
            Source(name, kind, squad, shapely.transform(ground, lambda xy: xy / 1000), ends[i], ends[i + 1])
            for i, sheet in enumerate(self.sheets) for name, kind, squad, ground in sheet.claims if kind != "nearest"
        ]


def _instant(text: str | None) -> Any:
    from datetime import datetime

    return None if text is None else datetime.fromisoformat(text)


def compiled(city: City) -> Compiled:
    """The map as arrays. Corners are whole mm, lines meet only in them."""
    claims = city.claims()
    codes = [*sorted({claim["squad"] for claim in claims if claim["squad"]} | {"z"}), "duty"]
    entries: dict[str, Any] = {}
    plates = []
    for k, sheet in enumerate(city.sheets):
        drawing, labels, inside = drawn(sheet, [claim["id"] for claim in claims])
        entries |= attacks.arrays_of(drawing, k)
        entries[f"p{k}.lead"] = np.array([[*(_lead(label, claims, codes) for label in labels), codes.index("duty")]], "<i4")
        plates.append({"labels": labels, "inside": inside, "extent_area2": str(attacks.area2(drawing.extent))})
    ends = [None, *city.cuts, None]
    n = len(city.sheets)
    entries["contexts"] = np.array(
        [[i, g, t, f, 0] for i in range(n) for g in range(len(city.groups)) for t in (0, 1) for f in range(len(city.finders))], "<i8"
    )
    entries["manifest"] = attacks.manifest_bytes({
        "format": "jieguan-map/1", "work_crs": "EPSG:4547", "squads": [{"code": code} for code in codes],
        "duty": codes.index("duty"), "claims": claims, "plates": plates, "groups": city.groups, "turns": 2,
        "intervals": [{"since": ends[i], "until": ends[i + 1], "plate": i} for i in range(n)],
        "finders": city.finders, "settings": {"zone_m": 15.0},
    })  # fmt: skip
    return attacks.sealed(assemble({**entries, "seal": np.zeros(32, np.uint8)}))


def _lead(label: list[int], claims: list[dict[str, Any]], codes: list[str]) -> int:
    squads = [claims[c]["squad"] for kind in ("designation", "territory", "nearest") for c in label if claims[c]["kind"] == kind]
    served = not any(claims[c]["kind"] == "not_served" for c in label)
    return codes.index(squads[0] if squads and served else "duty")


def drawn(sheet: Sheet, names: list[str]) -> tuple[Drawing, list[list[int]], list[int]]:
    extent = shapely.union_all([ground for *_, ground in sheet.claims]) if sheet.extent is None else sheet.extent
    lines = shapely.unary_union([shapely.boundary(g) for *_, g in sheet.claims] + [shapely.boundary(extent)])
    cells = [shapely.normalize(cell) for cell in shapely.get_parts(shapely.polygonize(shapely.get_parts(lines)))]
    told = []
    for cell in cells:
        middle = cell.representative_point()
        told.append((tuple(sorted(names.index(n) for n, _, _, g in sheet.claims if g.contains(middle))), int(extent.contains(middle))))
    labels = sorted(set(told))
    whole = _polygons(shapely.union_all(cells))
    inner = _polygons(shapely.union_all([cell for cell, (_, inside) in zip(cells, told, strict=True) if inside]))
    drawing = Drawing(
        [_rings(cell) for cell in cells], [ring[::-1] for cell in whole for ring in _rings(cell)],
        [ring for cell in inner for ring in _rings(cell)], [labels.index(label) for label in told],
    )  # fmt: skip
    return drawing, [list(label) for label, _ in labels], [inside for _, inside in labels]


def _polygons(shape: Any) -> list[shapely.Polygon]:
    return [p for p in shapely.get_parts(shape) if not p.is_empty]


def _rings(cell: shapely.Polygon) -> list[Ring]:
    turned = shapely.orient_polygons(cell)
    return [[(int(x), int(y)) for x, y in ring.coords[:-1]] for ring in (turned.exterior, *turned.interiors)]


def box(x: float, y: float, x2: float, y2: float) -> shapely.Polygon:
    return shapely.box(int(x * KM), int(y * KM), int(x2 * KM), int(y2 * KM))


def territories(**grounds: shapely.Polygon) -> list[tuple[str, str, str | None, shapely.Polygon]]:
    return [(f"t{i}", "territory", squad, ground) for i, (squad, ground) in enumerate(grounds.items())]


def four_squares() -> City:
    return City([Sheet(territories(a=box(0, 0, 1, 1), b=box(1, 0, 2, 1), c=box(0, 1, 1, 2), d=box(1, 1, 2, 2)))])


def ring_with_island() -> City:
    island = shapely.Polygon([(KM, KM), (2 * KM, KM + 7), (2 * KM - 5, 2 * KM), (KM + 3, 2 * KM)])
    return City([Sheet(territories(a=box(0, 0, 3, 3).difference(island), b=island))])


def two_islands() -> City:
    return City([Sheet(territories(a=box(0, 0, 3, 2), b=box(3, 0, 4, 2), c=box(9, 9, 10, 10)))])


def seven_wedges() -> City:
    rim = [(3000, 0), (1900, 2300), (-700, 2900), (-2700, 1300), (-2600, -1400), (-600, -2900), (1900, -2300)]
    at = [(KM + 1000 * x, KM + 1000 * y) for x, y in rim]
    wedges = {s: shapely.Polygon([(KM, KM), at[i], at[(i + 1) % 7]]) for i, s in enumerate("abcdefg")}
    return City([Sheet(territories(**wedges))])


def corner_contact() -> City:
    """Two squares of one squad that touch in a point, and a hole that touches its shell."""
    holed = shapely.Polygon(box(0, 0, 1, 1).exterior.coords, [[(0, 0), (KM // 2, KM // 4), (KM // 4, KM // 2)]])
    hole = shapely.Polygon([(0, 0), (KM // 2, KM // 4), (KM // 4, KM // 2)])
    return City([Sheet([*territories(a=holed, b=box(1, 1, 2, 2)), ("t2", "territory", "c", hole)])])


def gap_and_more() -> City:
    """A strip between two squads, split midway; a designation, ground that is not served, a dispute, a township, a wider extent."""
    ground = territories(a=box(0, 0, 1, 1), b=box(1.25, 0, 2, 1), c=box(2, 0, 3, 1))
    ground += [
        ("n0", "nearest", "a", box(1, 0, 1.125, 1)), ("n1", "nearest", "b", box(1.125, 0, 1.25, 1)),
        ("x0", "designation", "c", box(0.25, 0.25, 0.5, 0.5)), ("x1", "not_served", None, box(0.5, 0.5, 0.75, 0.75)),
        ("x2", "territory", "d", box(2, 0, 2.5, 1)), ("x3", "township", "a", box(2, 0, 3, 1)),
        ("x4", "not_served", None, box(-1, -1, 0, 0)),
    ]  # fmt: skip
    return City([Sheet(ground, box(0, 0, 3, 1))], finders=[None, "a", "b"])


def two_times() -> City:
    before = Sheet(territories(a=box(0, 0, 1, 1), b=box(1, 0, 2, 1)))
    after = Sheet([("u0", "territory", "a", box(0, 0, 1.5, 1)), ("u1", "territory", "b", box(1.5, 0, 2, 1))])
    return City([before, after], cuts=["2013-07-01T00:00:00+08:00"])


CITIES: dict[str, Callable[[], City]] = {
    f.__name__: f for f in (four_squares, ring_with_island, two_islands, seven_wedges, corner_contact, gap_and_more, two_times)
}


def codes(findings: tuple[Finding, ...]) -> set[str]:
    return {f"{f.check}.{f.what}" for f in findings}


# ---- what is proven -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CITIES)
def test_a_sound_map_is_proven_and_faithful(name: str, tmp_path: Path) -> None:
    city = CITIES[name]()
    on = compiled(city)
    file = tmp_path / "a.map"
    with file.open("wb") as out: np.savez(out, **on.entries)
    assert verify_file(str(file), city.sources()) == ()
    assert verify(load(str(file))) == ()


def test_an_empty_plate_is_the_duty_squads() -> None:
    assert verify(compiled(City([Sheet([], shapely.Polygon())]))) == ()


def test_a_plate_without_territories_needs_no_nearest_squad() -> None:
    sheet = Sheet([("x0", "not_served", None, box(0, 0, 1, 1)), ("x1", "township", None, box(0, 0, 2, 1))], box(0, 0, 2, 2))
    assert verify(compiled(City([sheet]))) == ()


def test_a_piece_may_go_to_a_squad_that_touches_it_with_a_corner() -> None:
    """a, c, b around a corner; all of the gap beyond has that corner as its nearest place."""
    grounds = {
        "a": [(1, 1), (0, 1), (0, 0.2)], "c": [(1, 1), (0, 0.2), (0.2, 0)], "b": [(1, 1), (0.2, 0), (1, 0)],
    }  # fmt: skip
    claims = territories(**{s: shapely.Polygon([(int(x * KM), int(y * KM)) for x, y in ring]) for s, ring in grounds.items()})
    gap = box(1, 1, 2, 2)
    extent = shapely.union_all([ground for *_, ground in claims] + [gap])
    for squad in "abc":
        assert verify(compiled(City([Sheet([*claims, ("n0", "nearest", squad, gap)], extent)]))) == ()


@pytest.mark.parametrize(("leads", "good"), [("z", True), ("duty", True), ("b", False)])
def test_a_squad_may_lead_on_the_ground_of_another_only_for_a_direct_category_of_its_own(leads: str, good: bool) -> None:
    on = attacks.restated(compiled(four_squares()), lambda said: said["claims"].append({"id": "x9", "kind": "direct", "squad": "z"}))
    number = [squad["code"] for squad in on.manifest["squads"]].index(leads)
    on = attacks.with_array(on, "p0.lead", lambda lead: np.concatenate([lead, np.full_like(lead, number)]))
    on = attacks.with_array(on, "contexts", lambda rows: rows + (rows[:, 1:2] == 1) * np.array([0, 0, 0, 0, 1]))
    assert codes(verify(attacks.sealed(on))) == (set() if good else {"keeper.wrong_lead"})
    all_groups = attacks.with_array(on, "contexts", lambda rows: np.concatenate([rows[:, :4], np.ones((len(rows), 1), "<i8")], 1))
    assert "keeper.wrong_lead" in codes(verify(all_groups))


@given(st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=1, max_size=5))
def test_every_patchwork_is_proven(rows: list[list[int]]) -> None:
    """Cells of a grid given to four squads or nobody: islands, holes, rings that touch themselves."""
    city = patchwork(rows)
    on = compiled(city)
    assert {c for c in codes(verify(on, city.sources())) if not c.startswith(("keeper.no_nearest",))} == set()


def patchwork(rows: list[list[int]]) -> City:
    grounds: dict[str, list[shapely.Polygon]] = {}
    for y, row in enumerate(rows):
        for x, who in enumerate(row):
            if who: grounds.setdefault("-abcd"[who], []).append(box(x, y, x + 1, y + 1))
    return City([Sheet(territories(**{squad: shapely.union_all(cells) for squad, cells in sorted(grounds.items())}))])


# ---- attacks --------------------------------------------------------------------------------------------------------


def attempts() -> Iterator[tuple[Attack, str, Compiled, City]]:
    for name, make in CITIES.items():
        city = make()
        on = compiled(city)
        for attack in ATTACKS:
            spoiled = attack.change(on)
            if spoiled is not None: yield attack, name, spoiled, city


ATTEMPTS = list(attempts())


@pytest.mark.parametrize(("attack", "city", "spoiled", "given_"), ATTEMPTS, ids=[f"{attack.name}-{city}" for attack, city, *_ in ATTEMPTS])
def test_an_attack_breaks_the_seal_and_when_sealed_again_is_seen_by_its_check(
    attack: Attack, city: str, spoiled: Compiled, given_: City
) -> None:
    assert "seal.broken" in codes(verify(spoiled))
    resealed = attacks.sealed(spoiled)
    alone = verify(resealed)
    found = faithful(resealed, given_.sources()) if attack.source else alone
    assert codes(found) & attack.sees, f"{attack.name} on {city}: {codes(alone) | codes(found)}"
    assert "seal.broken" not in codes(alone)
    for finding in found:
        assert finding.text("en") != finding.text("zh-CN")


GIVEN_AWAY = "territory given away, by the sources"


def test_a_vertex_between_two_pieces_that_is_4_mm_off_is_seen() -> None:
    spoiled = attacks.nearest_line_moved(4, whole=False)(compiled(gap_and_more()))
    assert {f.check for f in verify(attacks.sealed(spoiled))} == {"nearest"}


def test_every_attack_finds_a_map_to_spoil() -> None:
    assert {attack.name for attack, *_ in ATTEMPTS} == {attack.name for attack in ATTACKS}


@pytest.mark.parametrize("name", ["vertex moved 1 mm in all rings", "vertex moved 3 mm in all rings", GIVEN_AWAY])
def test_what_only_the_sources_show_is_a_sound_map_without_them(name: str) -> None:
    spoiled = [attacks.sealed(on) for attack, city, on, _ in ATTEMPTS if attack.name == name and city == "four_squares"]
    assert [verify(on) for on in spoiled] == [()]


def test_an_island_over_other_ground_keeps_twins_and_areas() -> None:
    for spoiled in (on for attack, _, on, _ in ATTEMPTS if attack.name.startswith("island")):
        checks = {f.check for f in verify(attacks.sealed(spoiled))}
        assert "sweep" in checks
        assert not checks & {"structure", "twin", "areas"}


TOUCHING: dict[str, tuple[shapely.Polygon, str]] = {
    "a corner on an edge": (shapely.Polygon([(KM, KM // 2), (2 * KM, 0), (2 * KM, KM)]), "sweep.vertex_in_edge"),
    "along an edge": (shapely.Polygon([(KM, 0), (2 * KM, 0), (KM, KM // 2)]), "sweep.overlap"),
    "along an edge, from below": (shapely.Polygon([(KM, KM), (2 * KM, KM), (KM, KM // 2)]), "sweep.vertex_in_edge"),
    "across a corner": (shapely.Polygon([(KM // 2, KM // 2), (2 * KM, KM // 2), (2 * KM, KM // 2 + 9)]), "sweep.owners"),
    "in from above": (shapely.Polygon([(-KM, 2 * KM), (2 * KM, KM // 4), (2 * KM, KM // 4 + 9)]), "sweep.crossing"),
    "in from below": (shapely.Polygon([(-KM, -KM), (2 * KM, 3 * KM // 4 - 9), (2 * KM, 3 * KM // 4)]), "sweep.crossing"),
    "through two sides": (shapely.Polygon([(-KM, KM // 2), (2 * KM, KM // 2), (2 * KM, KM // 2 + 9)]), "sweep.crossing"),
}


@pytest.mark.parametrize("name", TOUCHING)
def test_what_the_sweep_says_of_a_triangle_laid_over_a_square(name: str) -> None:
    over, expected = TOUCHING[name]
    on = compiled(City([Sheet(territories(a=box(0, 0, 1, 1), b=box(5, 5, 6, 6)))]))
    drawing = attacks.drawing_of(on.plates[0])
    places = dict(zip(_rings(box(5, 5, 6, 6))[0], [*_rings(over)[0], None], strict=True))
    for ring in drawing.rings(): ring[:] = [q for p in ring if (q := places.get(p, p)) is not None]
    assert codes(verify(attacks.sealed(attacks.redrawn(on, drawing)))) == {expected}


# ---- brute force ----------------------------------------------------------------------------------------------------


NINE = st.lists(st.lists(st.integers(1, 3), min_size=3, max_size=3), min_size=3, max_size=3)


@given(NINE, st.integers(0, 15), st.integers(-2, 2), st.integers(-2, 2))
def test_a_moved_vertex_is_refused_exactly_when_the_faces_no_longer_part_the_ground(
    rows: list[list[int]], which: int, dx: int, dy: int
) -> None:
    on = compiled(patchwork(rows))
    drawing = attacks.drawing_of(on.plates[0])
    places = sorted({p for ring in drawing.rings() for p in ring})
    p = places[which % len(places)]
    to = (p[0] + dx * KM // 2, p[1] + dy * KM // 2)
    drawing.move({p: to})
    found = {f.check for f in verify(attacks.sealed(attacks.redrawn(on, drawing)))}
    assert bool(found & {"structure", "twin", "sweep", "areas"}) != parts_the_ground(drawing), found


def parts_the_ground(drawing: Drawing) -> bool:
    """No edge is used twice one way, edges meet in end points only, and every cell between them (by GEOS) is in exactly one face."""
    rings = [ring for face in drawing.faces for ring in face] + drawing.outside
    directed = [edge for ring in rings for edge in _edges(ring)]
    edges = {frozenset(edge) for edge in directed}
    if len(set(directed)) < len(directed): return False
    if any(len(edge) == 1 for edge in edges) or any(attacks.area2([face[0]]) <= 0 for face in drawing.faces): return False
    lines = shapely.get_parts(shapely.unary_union([shapely.LineString(edge) for edge in edges]))
    if {frozenset(edge) for line in lines for edge in _edges(list(line.coords), closed=False)} != edges: return False
    for cell in shapely.get_parts(shapely.polygonize(lines)):
        middle = cell.representative_point()
        faces = [sum(_winding(ring, middle.x, middle.y) for ring in face) for face in drawing.faces]
        if min(faces) < 0 or sum(faces) > 1: return False
        if sum(faces) != -sum(_winding(ring, middle.x, middle.y) for ring in drawing.outside): return False
    return True


def _edges(ring: list[Any], *, closed: bool = True) -> list[tuple[Any, Any]]:
    return list(zip(ring if closed else ring[:-1], ring[1:] + ring[:1] if closed else ring[1:], strict=True))


def _winding(ring: Ring, x: float, y: float) -> int:
    """How often the ring turns counter-clockwise around a place that is on none of its edges."""
    turns = 0
    for (ax, ay), (bx, by) in _edges(ring):
        left = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        turns += (ay <= y < by and left > 0) - (by <= y < ay and left < 0)
    return turns


# ---- against the sources --------------------------------------------------------------------------------------------


def test_sources_may_be_off_by_half_a_step_and_turned_and_begin_anywhere() -> None:
    city = ring_with_island()
    moved = []
    for s in city.sources():
        ground = shapely.transform(shapely.reverse(s.ground), lambda xy: xy + np.array([0.0004, -0.0004]))
        shell = list(ground.exterior.coords[:-1])
        moved.append(s._replace(ground=shapely.Polygon(shell[2:] + shell[:3], ground.interiors)))
    assert faithful(compiled(city), moved) == ()


CROOKED = ["bow tie", "ring around itself", "spike", "doubled edge", "thin sliver", "two parts with a common edge", "nested parts"]


@pytest.mark.parametrize("source", CROOKED)
def test_rings_that_are_not_valid_raise_no_false_alarm(source: str) -> None:
    """What the compiler makes of them (even-odd, union of parts) is drawn by hand in `ground`."""
    square = [(0, 0), (1000, 0), (1000, 1000), (0, 1000)]
    ground: Any = shapely.Polygon([(x * 1000, y * 1000) for x, y in square])
    if source == "bow tie":
        read: Any = shapely.Polygon([(0, 0), (1000, 1000), (1000, 0), (0, 1000)])
        ground = shapely.multipolygons([
            shapely.Polygon([(0, 0), (KM // 2, KM // 2), (0, KM)]), shapely.Polygon([(KM, 0), (KM, KM), (KM // 2, KM // 2)])
        ])  # fmt: skip
    elif source == "ring around itself":  # twice around the hole of the ground, which is even, so outside
        loop = [(0, 0), (3, 0), (3, 3), (1, 3), (1, 1), (2, 1), (2, 2), (0, 2)]
        read = shapely.Polygon([(1000 * x, 1000 * y) for x, y in loop])
        hole = [(x * KM, y * KM) for x, y in ((1, 2), (1, 1), (2, 1), (2, 2))]
        ground = shapely.Polygon([(x * KM, y * KM) for x, y in ((0, 0), (3, 0), (3, 3), (1, 3), (1, 2), (0, 2))], [hole])
    elif source == "spike":
        read = shapely.Polygon([(0, 0), (1000, 0), (1700, 0), (1000, 0), (1000, 1000), (0, 1000)])
    elif source == "doubled edge":
        read = shapely.Polygon([(0, 0), (1000, 0), (1000, 1000), (400, 1000), (400, 1500), (400, 1000), (0, 1000)])
        ground = shapely.Polygon([(0, 0), (KM, 0), (KM, KM), (400_000, KM), (0, KM)])
    elif source == "thin sliver":  # 0.6 mm wide at its foot
        read = shapely.Polygon([(0, 0), (1000, 0), (1000, 500), (1009, 500.0003), (1000, 500.0006), (1000, 1000), (0, 1000)])
        ground = shapely.Polygon([(0, 0), (KM, 0), (KM, KM // 2), (KM, KM // 2 + 1), (KM, KM), (0, KM)])
    elif source == "two parts with a common edge":
        other = shapely.Polygon([(400, 0), (1000, 0), (1000, 1000), (400, 1000), (400, 600)])
        read = shapely.multipolygons([shapely.box(0, 0, 400, 1000), other])
        ground = shapely.Polygon([(0, 0), (400_000, 0), (KM, 0), (KM, KM), (400_000, KM), (0, KM)])
    else:
        read = shapely.multipolygons([shapely.Polygon(square), shapely.box(300, 300, 600, 600)])
    on = compiled(City([Sheet([("t0", "territory", "a", ground)])]))
    assert verify(on, [Source("t0", "territory", "a", read)]) == ()


def test_halves_may_be_rounded_either_way() -> None:
    half = Source("t0", "territory", "a", shapely.box(0.0005, 0.0005, 1000.0005, 1000.0005))
    for mm in (0, 1):
        on = compiled(City([Sheet([("t0", "territory", "a", shapely.box(mm, mm, KM + mm, KM + mm))])]))
        assert verify(on, [half]) == ()


def test_a_hole_drawn_twice_is_none() -> None:
    hole = shapely.box(300, 300, 600, 600).exterior.coords
    read = Source("t0", "territory", "a", shapely.Polygon(shapely.box(0, 0, 1000, 1000).exterior.coords, [hole, hole]))
    holed = shapely.Polygon(box(0, 0, 1, 1).exterior.coords, [box(0.3, 0.3, 0.6, 0.6).exterior.coords])
    assert faithful(compiled(City([Sheet(territories(a=box(0, 0, 1, 1)))])), [read]) == ()
    assert codes(faithful(compiled(City([Sheet(territories(a=holed))])), [read])) == {"faithful.line", "faithful.area"}


def test_a_part_inside_another_is_no_hole() -> None:
    """Every line is where it should be; only the area tells."""
    read = shapely.multipolygons([shapely.box(0, 0, 1000, 1000), shapely.box(300, 300, 600, 600)])
    holed = shapely.Polygon(box(0, 0, 1, 1).exterior.coords, [box(0.3, 0.3, 0.6, 0.6).exterior.coords])
    on = compiled(City([Sheet(territories(a=holed))]))
    assert codes(faithful(on, [Source("t0", "territory", "a", read)])) == {"faithful.area"}


def test_sources_that_contradict_one_another_are_named() -> None:
    city = four_squares()
    twice = city.sources()[0]._replace(squad="b")
    assert "faithful.conflict" in codes(faithful(compiled(city), [*city.sources(), twice]))


def test_a_plate_shared_by_two_times_with_different_territories_is_named() -> None:
    city = two_times()
    shared = attacks.restated(compiled(city), lambda said: said["intervals"][1].update(plate=0))
    assert "faithful.plate_shared" in codes(faithful(shared, city.sources()))


def test_an_agreement_without_ground_is_not_compared() -> None:
    city = four_squares()
    city.sheets[0].claims.append(("x0", "agreement", None, box(0.98, 0, 1.02, 2)))
    sources = [s._replace(ground=None) if s.kind == "agreement" else s for s in city.sources()]
    assert verify(compiled(city), sources) == ()


def test_a_hole_left_out_is_seen() -> None:
    on = compiled(City([Sheet(territories(a=box(0, 0, 1, 1)))]))
    holed = shapely.Polygon(shapely.box(0, 0, 1000, 1000).exterior.coords, [shapely.box(300, 300, 300.1, 300.1).exterior.coords])
    assert codes(faithful(on, [Source("t0", "territory", "a", holed)])) == {"faithful.vertex"}


def test_a_corner_of_the_source_that_the_map_cuts_off_is_seen() -> None:
    on = compiled(City([Sheet(territories(a=box(0, 0, 1, 1)))]))
    house = shapely.Polygon([(0, 0), (1000, 0), (1000, 1000), (500, 1000.003), (0, 1000)])
    assert codes(faithful(on, [Source("t0", "territory", "a", house)])) == {"faithful.line", "faithful.vertex"}


def sources_of(city: City, **change: Any) -> list[Source]:
    first, *rest = city.sources()
    return [first._replace(**change), *rest]


def _no_number() -> shapely.Polygon:
    with np.errstate(invalid="ignore"): return shapely.Polygon([(0, 0), (1000, 0), (1000, np.nan)])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"squad": "z"}, "faithful.squad"),
        ({"kind": "township"}, "faithful.kind"),
        ({"id": "another"}, "faithful.unknown"),
        ({"id": "another"}, "faithful.extra"),
        ({"ground": shapely.Polygon()}, "faithful.line"),
        ({"ground": _no_number()}, "faithful.bad_coordinate"),
        ({"ground": shapely.box(0, 0, 1000, 1e9)}, "faithful.bad_coordinate"),
        ({"since": _instant("2013-07-01T00:00:00+08:00")}, "faithful.period"),
    ],
    ids=lambda v: v if isinstance(v, str) else next(iter(v)),
)
def test_a_source_that_differs_is_named(change: dict[str, Any], expected: str) -> None:
    assert expected in codes(faithful(compiled(four_squares()), sources_of(four_squares(), **change)))


def test_a_source_without_ground_in_the_map_is_named() -> None:
    city = four_squares()
    on = attacks.restated(compiled(city), lambda said: said["claims"].append({"id": "t9", "kind": "territory", "squad": "a"}))
    extra = Source("t9", "territory", "a", shapely.box(0, 0, 500, 500))
    assert codes(faithful(on, [*city.sources(), extra])) == {"faithful.missing"}


def test_a_claim_on_the_plate_of_another_time_is_named() -> None:
    city = two_times()
    swapped = attacks.restated(compiled(city), lambda said: [i.update(plate=1 - i["plate"]) for i in said["intervals"]])
    assert codes(faithful(swapped, city.sources())) == {"faithful.not_in_force", "faithful.missing"}


def test_the_extent_is_compared_when_it_is_given() -> None:
    city = gap_and_more()
    right, wrong = (Source("-", "extent", None, shapely.box(0, 0, 3000, y)) for y in (1000, 1000.003))
    assert faithful(compiled(city), [*city.sources(), right]) == ()
    assert codes(faithful(compiled(city), [*city.sources(), wrong])) == {"faithful.line", "faithful.vertex"}


# ---- files ----------------------------------------------------------------------------------------------------------


def archive(entries: dict[str, Any], **options: Any) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as file:
        for name, array in entries.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, array, allow_pickle=True)
            file.writestr(f"{name}.npy", data.getvalue())
    return out.getvalue()


def entries() -> dict[str, Any]:
    return dict(compiled(four_squares()).entries)


class Pickled:
    """Unpickling it would create a file beside the map."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("unpickled"),)


def _flipped(data: bytes) -> bytes:
    middle = data.index(b"p0.lead.npy") + 200
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


FILES: dict[str, tuple[Callable[[], bytes], type[NotAMap]]] = {
    "empty": (lambda: b"", NotAnArchive),
    "truncated": (lambda: archive(entries())[:-100], NotAnArchive),
    "no zip": (lambda: b"PK" + bytes(1000), NotAnArchive),
    "a bit changed": (lambda: _flipped(archive(entries())), NotAnArchive),
    "a pickled object": (lambda: archive({**entries(), "p0.xy": np.array([Pickled()], object)}), EntryMistyped),
    "compressed": (lambda: archive(entries(), compression=zipfile.ZIP_DEFLATED), EntryUnreadable),
    "an entry more": (lambda: archive({**entries(), "p0.cells": np.zeros(3, "<i8")}), EntryUnknown),
    "a plate more": (lambda: archive({**entries(), "p1.ring": np.zeros(3, "<i8")}), EntryUnknown),
    "an entry less": (lambda: archive({k: v for k, v in entries().items() if k != "p0.lead"}), EntryMissing),
    "another type": (lambda: archive({**entries(), "p0.ring": entries()["p0.ring"].astype("<f8")}), EntryMistyped),
    "big-endian": (lambda: archive({**entries(), "p0.ring": entries()["p0.ring"].astype(">i8")}), EntryMistyped),
    "Fortran order": (lambda: archive({**entries(), "p0.xy": np.asfortranarray(entries()["p0.xy"])}), EntryUnreadable),
    "a flat xy": (lambda: archive({**entries(), "p0.xy": entries()["p0.xy"].reshape(-1)}), EntryMistyped),
    "three columns of xy": (lambda: archive({**entries(), "p0.xy": np.zeros((9, 3), "<i8")}), EntryMistyped),
    "a lead column less": (lambda: archive({**entries(), "p0.lead": np.ascontiguousarray(entries()["p0.lead"][:, 1:])}), EntryMistyped),
    "four columns of contexts": (lambda: archive({**entries(), "contexts": np.zeros((4, 4), "<i8")}), EntryMistyped),
    "a short seal": (lambda: archive({**entries(), "seal": np.zeros(31, np.uint8)}), EntryMistyped),
    "no manifest": (lambda: archive({k: v for k, v in entries().items() if k != "manifest"}), EntryMissing),
}


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_or_foreign_file_is_no_map(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, error = FILES[name]
    path = tmp_path / "a.map"
    path.write_bytes(make())
    with pytest.raises(error) as told: load(str(path))
    assert str(path) in told.value.text("zh-CN")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.map"]


def test_no_file_is_no_map(tmp_path: Path) -> None:
    with pytest.raises(MapMissing): load(str(tmp_path / "none"))


def test_an_entry_that_claims_to_be_huge_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.map", "w") as file:
        data = io.BytesIO()
        np.lib.format.write_array_header_1_0(data, {"descr": "<i8", "fortran_order": False, "shape": (999_999_999,)})
        file.writestr("p0.ring.npy", data.getvalue() + bytes(80))
    with pytest.raises(EntryUnreadable, match="7999999992 bytes"): load(str(tmp_path / "a.map"))


def test_an_array_beyond_what_ids_can_number_is_refused() -> None:
    with pytest.raises(EntryTooLarge): assemble({**entries(), "p0.ring": np.broadcast_to(np.int64(0), (2**30 + 1,))})


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.map").write_bytes(archive(entries()))
    with pytest.raises(EntryTooLarge): load(str(tmp_path / "a.map"), limit_bytes=2000)


MANIFESTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "another format": lambda said: said.update(format="jieguan-map/2"),
    "duty as text": lambda said: said.update(duty="duty"),
    "duty as truth": lambda said: said.update(duty=True),
    "squads as a table": lambda said: said.update(squads={}),
    "a squad without a code": lambda said: said["squads"].append({}),
    "a claim without a kind": lambda said: said["claims"].append({"id": "x"}),
    "a label of text": lambda said: said["plates"][0]["labels"].append("t0"),
    "a label of fractions": lambda said: said["plates"][0]["labels"][0].append(0.5),
    "a huge number": lambda said: said["plates"][0]["labels"][0].append(2**70),
    "inside of another length": lambda said: said["plates"][0]["inside"].append(1),
    "area as a number": lambda said: said["plates"][0].update(extent_area2=8),
    "a negative area": lambda said: said["plates"][0].update(extent_area2="-8"),
    "an interval without an end": lambda said: said["intervals"][0].pop("until"),
    "an interval on plate None": lambda said: said["intervals"][0].update(plate=None),
    "a plate less": lambda said: said["plates"].pop(),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_of_another_shape_is_no_map(name: str) -> None:
    with pytest.raises(NotAMap): attacks.restated(compiled(four_squares()), MANIFESTS[name])


AMBIGUOUS: list[Callable[[str], str]] = [
    lambda t: t[:-1] + ',"duty":0}', lambda t: t + " ", lambda t: "[" * 10**5, lambda t: t[:-1] + ',"settings":NaN}'
]  # fmt: skip


@pytest.mark.parametrize("change", AMBIGUOUS)
def test_a_manifest_that_two_readers_may_read_differently_is_no_map(change: Callable[[str], str]) -> None:
    spoiled = entries()
    spoiled["manifest"] = np.frombuffer(change(spoiled["manifest"].tobytes().decode()).encode(), np.uint8)
    with pytest.raises(NotAMap): assemble(spoiled)


@given(st.integers(0, 10**6), st.integers(0, 255), st.booleans())
def test_a_file_with_any_byte_changed_or_cut_anywhere_is_refused(where: int, byte: int, cut: bool) -> None:
    where %= len(WHOLE)
    spoiled = WHOLE[:where] if cut else WHOLE[:where] + bytes([byte]) + WHOLE[where + 1 :]
    path = SCRATCH / "spoiled"
    path.write_bytes(spoiled)
    if spoiled == WHOLE: return
    try:
        on = load(str(path))
    except NotAMap:
        return
    assert verify(on) or all(np.array_equal(on.entries[name], array) for name, array in entries().items())


@pytest.fixture(autouse=True, scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> None:
    global SCRATCH, WHOLE
    SCRATCH, WHOLE = tmp_path_factory.mktemp("files"), archive(entries())


SCRATCH: Path
WHOLE: bytes


# ---- what it says ---------------------------------------------------------------------------------------------------


def test_every_sentence_is_said_in_both_languages_about_the_same_facts() -> None:
    from string import Formatter

    for name, (zh, en) in verify_finding.SENTENCES.items():
        facts = [{n for _, n, _, _ in Formatter().parse(text) if n} for text in (zh, en)]
        assert {f.split("!")[0] for f in facts[0]} == {f.split("!")[0] for f in facts[1]}, name
        assert zh.isascii() is False
        assert en.isascii(), name


def test_every_sentence_differs() -> None:
    for language in (0, 1): assert len({pair[language] for pair in verify_finding.SENTENCES.values()}) == len(verify_finding.SENTENCES)


def test_a_missing_context_is_named() -> None:
    on = compiled(gap_and_more())
    row = [0, 1, 0, 2, 0]
    less = attacks.with_array(on, "contexts", lambda rows: rows[(rows != row).any(1)])
    (finding,) = (f for f in verify(less) if f.check == "keeper")
    assert "group 1, turn 0, finder 2" in finding.text("en")


def test_a_finding_says_where() -> None:
    (finding,) = (f for f in verify(attacks.sealed(attacks.corner_cut(compiled(four_squares())))) if f.check == "twin")
    assert "plate 0, x=" in finding.text("en")
    assert "图版 0,x=" in finding.text("zh-CN").replace(", x", ",x")


# ---- real layers ----------------------------------------------------------------------------------------------------

LAYERS = {
    "police_precinct": ("nyc/polygons_core.gpkg", 32618),
    "fire_companies_2013_simplified": ("gaps_overlaps/nyc_dirty_layers.gpkg", 32618),
    "street_gcj02": ("shenzhen/polygons.gpkg", 4547),
    "henan_datav_gcj02": ("zhengzhou/henan_districts.gpkg", 4547),
    "modzcta": ("nyc/polygons_extra.gpkg", 32618),
}
ON_GROUND = {"twin", "sweep", "areas", "extent", "nearest", "faithful"}


def test_a_real_dirty_layer_is_proven_faithful_and_every_attack_on_it_refused(data_dir: Path) -> None:
    refused("fire_companies_2013_simplified", data_dir, ATTACKS)


@pytest.mark.slow
@pytest.mark.parametrize("layer", [pytest.param(n, marks=() if n == "police_precinct" else pytest.mark.full) for n in LAYERS])
def test_real_layers_are_proven_faithful_and_every_attack_on_their_ground_refused(layer: str, data_dir: Path) -> None:
    refused(layer, data_dir, [a for a in ATTACKS if {sees.split(".")[0] for sees in a.sees} <= ON_GROUND])


def refused(layer: str, data_dir: Path, attempts: Any) -> None:
    on, sources = real(layer, data_dir)
    assert verify(on, sources) == ()
    missed = []
    for attack in attempts:
        spoiled = attack.change(on)
        if spoiled is None: continue
        resealed = attacks.sealed(spoiled)
        found = codes(faithful(resealed, sources) if attack.source else verify(resealed))
        if not found & attack.sees: missed.append((attack.name, found))
    assert missed == []


def real(layer: str, data_dir: Path) -> tuple[Compiled, list[Source]]:
    geopandas = pytest.importorskip("geopandas")
    compile_ = pytest.importorskip("geodata.compile")
    certificate = pytest.importorskip("routing.ground.certificate")
    from routing.jurisdiction import Settings
    from routing.model import ClaimId, Squad, SquadCode, Territory
    from routing.situation import Roster

    file, crs = LAYERS[layer]
    shapes = geopandas.read_file(data_dir / file, layer=layer).to_crs(crs).geometry.values
    squads = tuple(Squad(SquadCode(f"s{i:04d}")) for i in range(len(shapes)))
    claims = [Territory(id=ClaimId(f"t{i}"), squad=squad.code) for i, squad in enumerate(squads)]
    grounds = [compile_.Ground(claim, shape) for claim, shape in zip(claims, shapes, strict=True)]
    roster = Roster((*squads, Squad(SquadCode("duty"), duty=True)), SquadCode("duty"))
    made = compile_.compile_map(grounds, roster, Settings(work_crs=f"EPSG:{crs}"))
    found = certificate.entries_of(certificate.sealed(made)[0])
    on = attacks.sealed(assemble({**found, "seal": np.zeros(32, np.uint8)}))
    return on, [Source(g.claim.id, "territory", g.claim.squad, g.geometry) for g in grounds]
