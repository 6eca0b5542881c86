"""Proposals: what is settled, what is left to people, and that nothing is mended silently or lost."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Polygon, box

from geodata.crs import parse_crs, system
from geodata.files import Layer, read_layer
from geodata.proposal import Limits, Proposal, Why, propose, write_proposal
from geodata.topology import check
from geodata.topology_facts import facts_of
from geodata.written import NoPlaces, OutIsInput

METRES = parse_crs(4547)
ORIGIN = np.array([480_000.0, 3_850_000.0])
ALL = Limits(1e9, 1e9)
FLAWS = {"overlap", "gap", "sliver"}


def layer_of(path: Path, shapes: dict[str, Any], crs: str = "EPSG:4547") -> Layer:
    """A GeoPackage with the columns id and note."""
    moved = [s if s is None else shapely.transform(s, lambda xy: xy + ORIGIN) for s in shapes.values()]
    frame = gpd.GeoDataFrame({"id": list(shapes), "note": range(len(shapes))}, geometry=moved, crs="EPSG:4547")
    frame.to_crs(crs).to_file(path / "in.gpkg", driver="GPKG")
    return read_layer(path / "in.gpkg")


def proposed(layer: Layer, **options: Any) -> Proposal:
    of = system(layer.crs, None)
    facts = facts_of(layer, "id", of, METRES)
    return propose(layer, facts, check(facts), of, METRES, **options)


def areas(layer: Layer, proposal: Proposal) -> dict[str, float]:
    ids = layer.columns.column("id").to_pylist()
    return dict(zip(ids, shapely.area(proposal.geometry), strict=True))


def flaws(proposal: Proposal) -> list[str]:
    return [issue.code for issue in proposal.remaining if issue.code in FLAWS]


def test_a_thin_overlap_goes_to_the_lower_id_or_to_the_agreed_one(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, {"w": box(0, 0, 100.5, 100), "e": box(100, 0, 200, 100)})
    by_id, agreed = proposed(layer), proposed(layer, order=["w"])
    assert areas(layer, by_id) == {"w": pytest.approx(10_000), "e": pytest.approx(10_000)}
    assert areas(layer, agreed) == {"w": pytest.approx(10_050), "e": pytest.approx(9_950)}
    assert flaws(by_id) == flaws(agreed) == []
    assert shapely.coverage_is_valid(by_id.geometry)


def test_a_gap_goes_to_the_neighbour_with_the_longest_border(tmp_path: Path) -> None:
    gap = Polygon([(100, 20), (100, 80), (100.4, 80), (100.4, 50), (100.8, 50), (100.8, 20)])
    north, south = box(100, 50, 200, 100), box(100, 0, 200, 50)
    layer = layer_of(tmp_path, {"n": north.difference(gap), "s": south.difference(gap), "w": box(0, 0, 100, 100)})
    proposal = proposed(layer)
    assert flaws(proposal) == []
    assert areas(layer, proposal)["w"] == pytest.approx(10_000 + gap.area)
    (change,) = proposal.changes
    assert (change.feature, change.after_m2 - change.before_m2) == ("w", pytest.approx(gap.area))
    assert all(issue.startswith("gap-") for issue in change.issues)


def test_wide_ones_are_left_to_people(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, {"w": box(0, 0, 110, 100), "e": box(100, 0, 200, 100).difference(box(150, 50, 160, 60))})
    proposal = proposed(layer)
    assert {left.why for left in proposal.left} == {Why.WIDE}
    assert (len(proposal.left), proposal.changes) == (2, ())
    assert all(a is b for a, b in zip(proposal.geometry, layer.geometry, strict=True))
    assert flaws(proposed(layer, limits=ALL)) == []


def test_coverage_clean_empties_a_ground_inside_another_and_we_do_not(tmp_path: Path) -> None:
    outer, inner = box(0, 0, 100, 100), box(40, 40, 60, 60)
    assert shapely.is_empty(shapely.coverage_clean([outer, inner])).any()
    layer = layer_of(tmp_path, {"a-outer": outer, "b-inner": inner})
    proposal = proposed(layer, limits=ALL)
    (left,) = proposal.left
    assert (left.why, left.who) == (Why.WOULD_EMPTY, ("b-inner",))
    assert "b-inner" in left.text("en")
    assert "b-inner" in left.text("zh-CN")
    assert not shapely.is_empty(proposal.geometry).any()
    settled = proposed(layer, limits=ALL, order=["b-inner"])
    assert areas(layer, settled) == {"a-outer": pytest.approx(9_600), "b-inner": pytest.approx(400)}
    assert (flaws(settled), settled.left) == ([], ())


def test_where_a_third_overlaps_widely_nothing_is_settled(tmp_path: Path) -> None:
    shapes = {"a": box(0, 0, 100.5, 100), "b": box(100, 0, 200, 100), "c": box(90, 40, 110, 60)}
    layer = layer_of(tmp_path, shapes)
    proposal = proposed(layer)
    assert {left.issue.features for left in proposal.left} == {("a", "b"), ("a", "c"), ("b", "c")}
    assert areas(layer, proposal) == {"a": pytest.approx(10_050), "b": pytest.approx(9_960), "c": pytest.approx(400)}
    (rest,) = [issue for issue in proposal.remaining if issue.features == ("a", "b")]
    assert rest.area_m2 == pytest.approx(10)


def test_ground_that_touches_itself_at_a_point_stays_valid(tmp_path: Path) -> None:
    """A hole that touches the shell, and two holes that touch: one walk along the outline passes the points twice."""
    at_shell, twins = Polygon([(0, 50), (20, 40), (20, 60)]), [box(40, 40, 50, 50), box(50, 50, 60, 60)]
    outer = box(0, 0, 100.5, 100).difference(shapely.union_all([at_shell, *twins]))
    layer = layer_of(tmp_path, {"w": outer, "e": box(100, 0, 200, 100)})
    proposal = proposed(layer)
    assert shapely.is_valid(proposal.geometry).all()
    assert areas(layer, proposal)["w"] == pytest.approx(10_000 - 200 - 200)


def test_a_ring_that_shuts_ground_in_is_not_touched(tmp_path: Path) -> None:
    tie, roof = Polygon([(0, 0), (40, 20), (40, 0), (0, 20)]), box(0, 20, 40, 40)
    layer = layer_of(tmp_path, {"tie": tie, "roof": roof, "side": box(39.5, 5, 60, 15)})
    proposal = proposed(layer, limits=ALL)
    assert proposal.geometry[0] is layer.geometry[0]
    assert proposal.changes == ()
    assert [left.why for left in proposal.left] == [Why.CROSSING, Why.CROSSING]


def test_a_spike_goes_and_is_told_of(tmp_path: Path) -> None:
    spiked = Polygon([(0, 0), (100, 0), (100, 100), (50, 100), (50, 140), (50, 100), (0, 100)])
    layer = layer_of(tmp_path, {"s": spiked})
    proposal = proposed(layer)
    (change,) = proposal.changes
    assert change.before_m2 == change.after_m2 == pytest.approx(10_000)
    assert change.issues[0].startswith("invalid_ring-")
    assert shapely.is_valid(proposal.geometry).all()


def test_a_missing_vertex_is_added_and_only_there(tmp_path: Path) -> None:
    bent = Polygon([(100, 0), (200, 0), (200, 100), (100, 100), (100, 50)])
    layer = layer_of(tmp_path, {"w": box(0, 0, 100, 100), "e": bent, "far": box(300, 0, 400, 100)})
    proposal = proposed(layer)
    assert (proposal.changes, proposal.aligned, proposal.remaining) == ((), ("w",), ())
    assert proposal.geometry[1] is layer.geometry[1]
    assert proposal.geometry[2] is layer.geometry[2]


def test_only_the_findings_given_are_settled(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, {"w": box(0, 0, 100.5, 100), "e": box(100, 0, 200, 100)})
    of = system(layer.crs, None)
    proposal = propose(layer, facts_of(layer, "id", of, METRES), [], of, METRES)
    assert proposal.changes == ()
    assert flaws(proposal) == ["overlap"]


def test_features_without_ground_and_z_and_kinds_survive(tmp_path: Path) -> None:
    deep = shapely.force_3d(box(100, 0, 200, 100), 7)
    layer = layer_of(tmp_path, {"w": MultiPolygon([box(0, 0, 100.5, 100)]), "e": deep, "none": None})
    proposal = proposed(layer)
    assert proposal.geometry[2] is None
    assert proposal.geometry[1] is layer.geometry[1]
    assert [g.geom_type for g in proposal.geometry[:2]] == ["MultiPolygon", layer.geometry[1].geom_type]


@pytest.mark.parametrize("crs", ["EPSG:4547", "EPSG:4326", "EPSG:4490"])
def test_written_beside_the_input_in_its_crs_with_its_columns(tmp_path: Path, crs: str) -> None:
    layer = layer_of(tmp_path, {"w": box(0, 0, 100.5, 100), "e": box(100.0003, 0, 200, 100)}, crs)
    before = (tmp_path / "in.gpkg").read_bytes()
    proposal = proposed(layer)
    table = write_proposal(tmp_path / "out.gpkg", layer, proposal)
    again = read_layer(tmp_path / "out.gpkg")
    assert (tmp_path / "in.gpkg").read_bytes() == before
    assert again.crs == layer.crs
    assert again.columns.column_names == layer.columns.column_names
    assert again.columns.column("note").to_pylist() == [0, 1]
    assert shapely.equals_exact(again.geometry, proposal.geometry).all()
    source = {tuple(xy) for xy in shapely.get_coordinates(layer.geometry)}
    assert {tuple(xy) for xy in shapely.get_coordinates(proposal.geometry)} < source
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(r["feature"], float(r["before_m2"]) - float(r["after_m2"])) for r in rows] == [
        ("w", pytest.approx(50, rel=1e-3))
    ]
    assert flaws(proposed(again)) == []
    assert proposed(again).changes == ()


def test_other_formats_and_refusals(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, {"w": box(0, 0, 100.5, 100), "e": box(100, 0, 200, 100)})
    proposal = proposed(layer)
    write_proposal(tmp_path / "out.parquet", layer, proposal)
    assert shapely.equals_exact(read_layer(tmp_path / "out.parquet").geometry, proposal.geometry).all()
    for path, error in (("in.gpkg", OutIsInput), ("out.geojson", NoPlaces)):
        with pytest.raises(error):
            write_proposal(tmp_path / path, layer, proposal)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.gpkg", "out.changes.csv", "out.parquet"]


CORNERS = st.sampled_from([0, 10, 10.004, 20, 20.3, 30, 40])


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.tuples(CORNERS, CORNERS), min_size=3, max_size=6, unique=True), min_size=2, max_size=6),
    st.randoms(use_true_random=False),
)
def test_repair_makes_no_flaw_and_loses_no_ground(
    tmp_path_factory: pytest.TempPathFactory, rings: list[list[tuple[float, float]]], rng: random.Random
) -> None:
    """mggg/maup#39: autorepair creates overlaps. Here all are settled, or named as left; the order of rows is nothing."""
    shapes: dict[str, Any] = {f"s{n}": Polygon(ring).convex_hull for n, ring in enumerate(rings)}
    shapes = {name: shape for name, shape in shapes.items() if shape.geom_type == "Polygon" and shape.area > 0.1}
    if not shapes:
        return
    path = tmp_path_factory.mktemp("fuzz")
    layer = layer_of(path, shapes)
    proposal = proposed(layer, limits=ALL)
    assert bool(flaws(proposal)) == any(left.why is Why.WOULD_EMPTY for left in proposal.left)
    assert shapely.is_valid(proposal.geometry).all()
    assert not shapely.is_empty(proposal.geometry).any()
    whole, filled = _filled(layer.geometry), shapely.union_all(shapely.set_precision(proposal.geometry, 0.001))
    assert shapely.area(shapely.symmetric_difference(whole, filled)) < 0.002 * (whole.length + 1)
    names = list(shapes)
    rng.shuffle(names)
    other = layer_of(path, {name: shapes[name] for name in names})
    expected = areas(layer, proposal)
    assert areas(other, proposed(other, limits=ALL)) == {
        name: pytest.approx(expected[name], abs=1e-6) for name in names
    }


def _filled(shapes: Any) -> Any:
    """All ground that lines shut in, if only at points: what may be given out."""
    lines = shapely.union_all(shapely.boundary(shapely.set_precision(shapes, 0.001)), grid_size=0.001)
    return shapely.union_all(shapely.get_parts(shapely.polygonize(shapely.get_parts(lines))))


@pytest.mark.parametrize(
    ("spec", "epsg"),
    [("gaps_overlaps/nyc_dirty_layers.gpkg::modzcta", 32618), ("charlottesville/polygons.gpkg::police_beat", 32617)],
)
def test_dirty_layers_come_out_clean(data_dir: Path, spec: str, epsg: int) -> None:
    layer, work = read_layer(f"{data_dir}/{spec}"), parse_crs(epsg)
    of = system(layer.crs, None)
    facts = facts_of(layer, "id", of, work)
    proposal = propose(layer, facts, check(facts), of, work, limits=ALL)
    assert (flaws(proposal), proposal.left) == ([], ())
    assert shapely.coverage_is_valid(proposal.geometry)
    source = {tuple(xy) for xy in shapely.get_coordinates(layer.geometry)}
    made = [tuple(xy) for xy in shapely.get_coordinates(proposal.geometry) if tuple(xy) not in source]
    assert len(made) < 40  # crossings only
    before, after = (
        shapely.area(shapely.transform(g, lambda xy: xy * [85_000, 111_000]))
        for g in (layer.geometry, proposal.geometry)
    )
    assert np.abs(before - after).max() < 10_000
