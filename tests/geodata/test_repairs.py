"""Repairs of a draft: what is proposed, what is left to people, and that one that is made does what it said and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import shapely.affinity
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shapely.geometry import Polygon, box

from geodata.arcs import millimetres
from geodata.build import MapFiles, gather
from geodata.draft_checks import Checks, checks_of
from geodata.edits import Draft, HandOver, Indexes, NoSuchUnit, WouldEmpty, drafted, edit_of, replayed, rings_of
from geodata.layer import LayerName, Row, on_grid, rows_of
from geodata.proposal import Why
from geodata.repairs import FindingStays, Kind, MakesFinding, Repair, Repairs, TouchesOthers, Widths, repairs_of, tried
from geodata.topology import check
from geodata.topology_facts import layer_facts
from geodata.topology_issue import Issue, Severity
from routing.errors import JieguanError
from tests.geodata.test_draft_checks import told
from tests.geodata.test_edits import jagged

ALL = Widths(1e9, 1e9, 1e9)
FLAWS = {"gap", "overlap", "sliver"}


def territory(code: str, shape: Any, priority: int = 0) -> Row:
    facts = {"kind": "territory", "id": f"territory:{code}", "squad": code, "priority": priority, "accuracy_m": None}
    return Row(LayerName.TERRITORY, code, facts, on_grid(shape))


def world(shapes: dict[str, Any], **priority: int) -> tuple[Draft, dict[str, Checks]]:
    draft = drafted([territory(code, shape, priority.get(code, 0)) for code, shape in shapes.items()])
    return draft, checked(draft)


def checked(draft: Draft) -> dict[str, Checks]:
    at = Indexes(draft)
    return {layer: checks_of(coverage, at.of(draft, layer)) for layer, coverage in draft.coverages.items()}


def ground(of: Draft, code: str, layer: str = "territory") -> Any:
    return of.coverages[layer].ground(code)


def anew(of: Draft, layer: str = "territory") -> tuple[Issue, ...]:
    """A run from scratch on the derived outlines."""
    codes = of.coverages[layer].codes()
    return check(layer_facts(codes, [ground(of, c, layer) for c in codes]))


def one(found: Repairs) -> Repair:
    (repair,) = found.made
    return repair


# ---- golden worlds -----------------------------------------------------------------------------------------------------


W, E = box(0, 0, 100.5, 100), box(100, 0, 200, 100)


def test_an_overlap_goes_by_priority_then_by_code_or_as_agreed() -> None:
    by_code = one(repairs_of(*world({"w": W, "e": E})))
    assert (by_code.kind, by_code.gains, by_code.loses, by_code.area_m2) == (Kind.CUT_OVERLAP, "e", "w", 50.0)
    by_priority = one(repairs_of(*world({"w": W, "e": E}, e=2)))
    assert (by_priority.gains, by_priority.loses) == ("w", "e")
    assert one(repairs_of(*world({"w": W, "e": E}), order=["w"])).gains == "w"
    with pytest.raises(NoSuchUnit, match="nobody"):
        repairs_of(*world({"w": W, "e": E}), order=["nobody"])


def test_a_repair_says_the_ground_before_and_after_and_that_is_what_comes() -> None:
    draft, checks = world({"w": W, "e": E})
    repair = one(repairs_of(draft, checks))
    after, now = tried(draft, checks, repair, Indexes(draft))
    assert {c: g.area / 1e6 for c, g in repair.before.items()} == {"e": 10_000, "w": 10_050}
    assert {c: g.area / 1e6 for c, g in repair.after.items()} == {"e": 10_000, "w": 10_000}
    for code, said in repair.after.items():
        assert shapely.equals(millimetres(ground(after, code)), said)
    assert now["territory"].issues == ()
    assert ground(draft, "w").area == 10_050  # the draft itself is what it was
    assert edit_of(repair.edits[0].said()) == repair.edits[0]
    assert "50" in repair.text("zh-CN")
    assert "'w'" in repair.text("en")


def test_a_gap_goes_to_the_neighbour_with_the_longest_border() -> None:
    gap = Polygon([(100, 20), (100, 80), (100.4, 80), (100.4, 50), (100.8, 50), (100.8, 20)])
    shapes = {"n": box(100, 50, 200, 100) - gap, "s": box(100, 0, 200, 50) - gap, "w": box(0, 0, 100, 100)}
    draft, checks = world(shapes)
    repair = one(repairs_of(draft, checks))
    assert (repair.kind, repair.gains, repair.loses) == (Kind.CLOSE_GAP, "w", None)
    after, now = tried(draft, checks, repair, Indexes(draft))
    assert ground(after, "w").area == pytest.approx(10_000 + gap.area)
    assert now["territory"].issues == anew(after) == ()


@pytest.mark.parametrize(("priority", "gains"), [({}, "a"), ({"a": 1}, "b")])
def test_where_the_border_is_as_long_the_order_decides(priority: dict[str, int], gains: str) -> None:
    hole = box(99.8, 40, 100.2, 60)
    shapes = {"a": box(0, 0, 100, 100) - hole, "b": box(100, 0, 200, 100) - hole}
    assert one(repairs_of(*world(shapes, **priority))).gains == gains


def test_an_open_strip_is_closed_within_its_width_and_cut_straight() -> None:
    draft, checks = world({"a": box(0, 0, 100, 100), "b": Polygon([(100.3, 10), (200, 10), (200, 90), (103, 95), (100.3, 80)])})
    repair = one(repairs_of(draft, checks))
    assert (repair.kind, repair.gains) == (Kind.SNAP, "a")
    after, now = tried(draft, checks, repair, Indexes(draft))
    assert not any(i.code in FLAWS | {"unmatched_edge"} for i in now["territory"].issues)
    grown = ground(after, "a") - ground(draft, "a")
    assert shapely.bounds(grown).tolist() == pytest.approx([100, 10, 100.5, 81.145], abs=0.01)
    assert grown.area == pytest.approx(0.3 * 70 + 0.5 * 1.11 - 0.2 * 1.11 / 2, abs=0.05)
    assert ground(after, "b").area == pytest.approx(ground(draft, "b").area, abs=0.01)
    ((layer, left),) = repairs_of(draft, checks, Widths(snap_m=0.2)).left
    assert (layer, left.why) == ("territory", Why.WIDE)


def test_what_is_wide_or_would_empty_somebody_or_has_no_repair_is_left_with_the_reason() -> None:
    shapes = {"w": box(0, 0, 110, 100), "e": box(100, 0, 200, 100) - box(150, 50, 160, 60)}
    found = repairs_of(*world(shapes))
    assert ([left.why for _, left in found.left], found.made) == ([Why.WIDE, Why.WIDE], ())
    assert len(repairs_of(*world(shapes), ALL).made) == 2
    inside = world({"a-outer": box(0, 0, 100, 100), "b-inner": box(40, 40, 60, 60)})
    ((_, left),) = repairs_of(*inside, ALL).left
    assert (left.why, left.who) == (Why.WOULD_EMPTY, ("b-inner",))
    assert one(repairs_of(*inside, ALL, order=["b-inner"])).loses == "a-outer"
    islands = world({"a": shapely.union(box(0, 0, 10, 10), box(20, 0, 30, 10))})
    ((_, left),) = repairs_of(*islands).left
    assert left.why is Why.OTHER
    assert left.text("zh-CN") != left.text("en")


def test_where_three_hold_one_ground_the_first_has_it_in_the_end() -> None:
    shapes = {"a": box(0, 0, 110, 100), "b": box(90, 0, 200, 100), "c": box(95, 40, 105, 160)}
    draft, checks = world(shapes)
    for order in (("a", "b", "c"), ("c", "b", "a"), ("b",)):
        after, left = all_made(draft, checks, order)
        assert left == []
        first = sorted(shapes, key=lambda c: (order.index(c) if c in order else 3, c))
        taken: Any = Polygon()
        for code in first:
            assert shapely.equals(ground(after, code), shapes[code] - taken)
            taken = shapely.union(taken, shapes[code])


def test_a_repair_that_makes_another_finding_is_refused_with_it() -> None:
    """The wedge reaches far beyond the west, which would get a needle between the two others."""
    west = Polygon([(-50, -50), (0, -50), (0, 0), (0, 0.6), (0, 50), (-50, 50)])
    north, south = box(0, 0.6, 200, 50), Polygon([(0, -50), (200, -50), (200, 0.6), (0, 0)])
    draft, checks = world({"west": west, "north": north, "south": south})
    repair = one(repairs_of(draft, checks))
    assert (repair.gains, len(repair.issue.features)) == ("south", 3)
    tried(draft, checks, repair, Indexes(draft))
    forced = Repair(**{**fields(repair), "gains": "west", "edits": (edit_of({**repair.edits[0].said(), "to": "west"}),)})
    with pytest.raises(MakesFinding) as refused:
        tried(draft, checks, forced, Indexes(draft))
    assert "尖刺" in refused.value.text("zh-CN")
    assert "spike" in refused.value.text("en")
    with pytest.raises(FindingStays):
        tried(draft, checks, Repair(**{**fields(repair), "edits": ()}), Indexes(draft))


def test_a_repair_that_reaches_into_somebody_elses_ground_is_refused() -> None:
    draft, checks = world({"w": W, "e": E, "n": box(0, 100, 200, 200)})
    repair = one(repairs_of(draft, checks))
    piece = rings_of(on_grid(box(100, 0, 100.5, 103)))
    forced = Repair(**{**fields(repair), "edits": (HandOver(layer="territory", piece=piece, to="e"),)})
    with pytest.raises(TouchesOthers, match="ground of n,"):
        tried(draft, checks, forced, Indexes(draft))


def fields(of: Repair) -> dict[str, Any]:
    return {name: getattr(of, name) for name in Repair.__slots__}


# ---- any world ---------------------------------------------------------------------------------------------------------


def all_made(draft: Draft, checks: dict[str, Checks], order: Any = (), limits: Widths = ALL) -> tuple[Draft, list[JieguanError]]:
    """Every repair there is, one after the other, until there is none but those refused."""
    at, refused = Indexes(draft), {}
    base, made = draft, []
    while True:
        todo = [r for r in repairs_of(draft, checks, limits, order=order).made if r.finding not in refused]
        if not todo:
            break
        try:
            draft, checks = tried(draft, checks, todo[0], at)
        except JieguanError as why:
            refused[todo[0].finding] = why
        else:
            made += todo[0].edits
    assert {k: r.hash for k, r in enumerate(replayed(base, made).features())} == {k: r.hash for k, r in enumerate(draft.features())}
    return draft, list(refused.values())


def holds(draft: Draft, checks: dict[str, Checks], repair: Repair) -> None:
    """One repair on the draft as it is, by shapely and by checks from scratch."""
    layer = repair.layer
    codes = draft.coverages[layer].codes()
    before = {c: ground(draft, c, layer) for c in codes}
    try:
        after, now = tried(draft, checks, repair, Indexes(draft))
    except (MakesFinding, FindingStays, WouldEmpty):
        return
    scratch = anew(after, layer)
    assert told(now[layer].issues) == told(scratch)
    assert repair.finding not in {i.id for i in scratch}
    assert after.coverages[layer].codes() == codes
    for code in codes:
        now_has = ground(after, code, layer)
        assert not shapely.is_empty(now_has)
        if code not in repair.concerns:
            assert shapely.area(shapely.symmetric_difference(now_has, before[code])) == 0
        else:
            rounding = 0.002 if repair.kind is Kind.SNAP else 0.0
            expected = shapely.transform(repair.after[code], lambda xy: xy / 1000)
            assert shapely.area(shapely.symmetric_difference(now_has, expected)) <= rounding * expected.length + 1e-9
    new = {i.code for i in scratch if i.severity is not Severity.NOTE} - {i.code for i in checks[layer].issues}
    assert new <= {"sliver"}  # of an overlap that three held, a sliver may be left between two
    assert draft.coverages[layer] is checks[layer].coverage


CORNERS = st.sampled_from([0, 10, 10.004, 20, 20.3, 30, 40])


@settings(max_examples=20)
@example([[(0, 0), (0, 10), (0, 10.004)], [(10, 40), (20, 10), (40, 10)], [(10.004, 40), (20, 20), (20, 30)]], ["s0", "s1", "s2"])
@example([[(0, 0), (0, 20), (20, 40)], [(0, 0), (10, 30), (30, 40)], [(0, 0), (10.004, 30), (30, 40)]], ["s0", "s1", "s2"])
@example([[(0, 0), (0, 10), (20, 40)], [(0, 0), (10, 30), (30, 40)], [(0, 10), (10.004, 30), (30, 40)]], ["s0", "s1", "s2"])
@given(
    st.lists(st.lists(st.tuples(CORNERS, CORNERS), min_size=3, max_size=6, unique=True), min_size=2, max_size=6),
    st.permutations(["s0", "s1", "s2"]),
)
def test_in_any_world_of_polygons_a_repair_settles_its_finding_and_nothing_else(
    rings: list[list[tuple[float, float]]], order: list[str]
) -> None:
    shapes: dict[str, Any] = {f"s{n}": Polygon(ring).convex_hull for n, ring in enumerate(rings)}
    shapes = {name: shape for name, shape in shapes.items() if shape.geom_type == "Polygon" and shape.area > 0.1}
    if not shapes:
        return
    draft, checks = world(shapes)
    order = [c for c in order if c in draft.coverages["territory"].codes()]
    found = repairs_of(draft, checks, ALL, order=order)
    assert len(found.made) + len(found.left) == len(checks["territory"].issues)
    for repair in found.made:
        holds(draft, checks, repair)
    after, refused = all_made(draft, checks, order)
    remaining = [i for i in anew(after) if i.code in FLAWS]
    emptied = [left for _, left in repairs_of(after, checked(after), ALL, order=order).left if left.why is Why.WOULD_EMPTY]
    assert len(remaining) <= len(refused) + len(emptied)


@pytest.mark.parametrize("seed", range(4))
def test_in_a_city_whose_units_were_shaken_repairs_mend_all_but_what_they_name(seed: int) -> None:
    rng, grounds = np.random.default_rng(seed), jagged(3, 6, seed)
    for code in grounds:
        if rng.random() < 0.5:
            grounds[code] = shapely.affinity.translate(grounds[code], *rng.uniform(-0.4, 0.4, 2))
    draft, checks = world(grounds, **{c: int(rng.integers(0, 3)) for c in grounds})
    found = repairs_of(draft, checks)
    assert {Kind.CUT_OVERLAP, Kind.CLOSE_GAP} & {r.kind for r in found.made}
    for repair in found.made:
        holds(draft, checks, repair)
    after, refused = all_made(draft, checks, limits=Widths())
    left = repairs_of(after, checked(after))
    assert len(left.made) <= len(refused)
    assert {r.issue.code for r in left.made} <= {"gap", "sliver", "unmatched_edge", "overlap"}


# ---- real layers -------------------------------------------------------------------------------------------------------


DIRTY = {
    "fire companies": ("gaps_overlaps/nyc_dirty_layers.gpkg::fire_companies_2013_simplified", None),
    "modzcta": ("gaps_overlaps/nyc_dirty_layers.gpkg::modzcta", None),
    "maup": ("gaps_overlaps/maup.gpkg::co_bad_gap_region", None),
    "charlottesville": ("charlottesville/polygons.gpkg::police_beat", None),
    "shenzhen": ("shenzhen/polygons.gpkg::street_gcj02", "gcj02"),
}


def real(data_dir: Path, name: str) -> tuple[Draft, dict[str, Checks]]:
    path, datum = DIRTY[name]
    draft = drafted(rows_of(gather(MapFiles(territories=f"{data_dir}/{path}", territories_datum=datum))))
    return draft, checked(draft)


@pytest.mark.full
@pytest.mark.parametrize("name", DIRTY)
def test_each_repair_of_a_real_layer_holds_by_itself(data_dir: Path, name: str) -> None:
    draft, checks = real(data_dir, name)
    found = repairs_of(draft, checks, ALL)
    assert found.made
    for repair in found.made[:: max(1, len(found.made) // 10)]:  # each is held against a run from scratch, which takes seconds
        holds(draft, checks, repair)


@pytest.mark.full
@pytest.mark.parametrize("name", DIRTY)
def test_a_real_layer_is_mended_by_all_its_repairs(data_dir: Path, name: str) -> None:
    draft, checks = real(data_dir, name)
    after, refused = all_made(draft, checks)
    before, now = ([i for i in c if i.code in FLAWS] for c in (checks["territory"].issues, anew(after)))
    print(f"\n{name}: {len(before)} gaps and overlaps, {len(now)} left; refused: {[type(w).__name__ for w in refused]}")
    assert len(now) <= len(refused) < len(before) / 5
    assert all(isinstance(why, MakesFinding) for why in refused)
