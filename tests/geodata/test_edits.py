"""Edits of a draft: borders move for both sides at once, nothing opens, nothing overlaps, and undo is exact."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geodata.arcs import ArcIndex, Coverage, ground_of, located, millimetres
from geodata.coverages import BorderCrossed, EndsMoved, PathCrossesItself, UnknownArc, coverage_of, relabelled
from geodata.edits import (
    KINDS,
    CodeTaken,
    Draft,
    Edit,
    HandOver,
    Indexes,
    LineDoesNotCut,
    Merge,
    MoveBorder,
    MoveNode,
    NoSuchUnit,
    NotACoverage,
    NothingChanges,
    PeriodChanged,
    PieceOutside,
    PutRow,
    RedrawBorder,
    RemoveRow,
    ReplaceGround,
    SelfCrossing,
    SetBorder,
    Split,
    SquadStillNamed,
    UnknownEdit,
    WouldEmpty,
    WouldOpen,
    drafted,
    edit_of,
    rebased,
    replayed,
    rings_of,
    row_said,
    taken,
)
from geodata.layer import LayerName, Row, content_hash, on_grid
from routing.errors import JieguanError
from routing.jurisdiction import NoSuchSquad, Settings
from tests.oracle import redrawn

SIDE = 1000.0
"""Metres of a unit."""


def jagged(n: int, vertices: int = 12, seed: int = 0) -> dict[str, Any]:
    """n x n units of 1 km whose common borders zigzag; `u01` lies in row 0, column 1. Neighbours share every vertex."""
    rng = np.random.default_rng(seed)

    def line(a: tuple[int, int], b: tuple[int, int]) -> Any:
        share = np.linspace(0, 1, vertices + 1)[:, None]
        way = np.array(b) - np.array(a)
        room = np.minimum(np.arange(vertices + 1), vertices - np.arange(vertices + 1)) / vertices * 0.3
        off = rng.uniform(-1, 1, vertices + 1) * np.minimum(room, 0.05)
        return np.round((np.array(a) + share * way + off[:, None] * [-way[1], way[0]]) * SIDE, 3)

    across = {(i, j): line((j, i), (j + 1, i)) for i in range(n + 1) for j in range(n)}
    up = {(i, j): line((j, i), (j, i + 1)) for i in range(n) for j in range(n + 1)}
    return {
        f"u{i}{j}": shapely.Polygon(
            np.concatenate([across[i, j], up[i, j + 1][1:], across[i + 1, j][::-1][1:], up[i, j][::-1][1:]])
        )
        for i in range(n)
        for j in range(n)
    }


def crossing(seed: int, span: int = 40) -> dict[str, Any]:
    """Six triangles over each other, `span` mm wide: nearly every rounded crossing lies in the way of another line."""
    corners = np.random.default_rng(seed).integers(0, span, (6, 3, 2)) / 1000
    shapes = {f"t{n}": shapely.Polygon(c) for n, c in enumerate(corners)}
    return {code: shape for code, shape in shapes.items() if shape.area > 1e-4}


def punched(seed: int) -> Any:
    """A square of 6 m with triangles cut out of it, on a lattice of 1 m, so that holes touch each other and the rim."""
    holes = [shapely.Polygon(c) for c in np.random.default_rng(seed).integers(0, 7, (5, 3, 2))]
    return shapely.box(0, 0, 6, 6) - shapely.union_all([h for h in holes if h.area])


def township(code: str, shape: Any) -> Row:
    return Row(LayerName.TOWNSHIP, code, {"kind": "township", "id": f"township:{code}", "code": code, "squad": None}, on_grid(shape))


def draft(n: int = 3, **how: Any) -> Draft:
    return drafted([township(code, shape) for code, shape in jagged(n, **how).items()])


BASE = draft()
GROUNDS = jagged(3)


def named(of: Draft) -> str:
    return content_hash(of.features(), Settings("EPSG:4547", 15.0))


def made(edit: Edit, of: Draft = BASE) -> Draft:
    return edit.apply(of, Indexes(of))


def ground(of: Draft, code: str) -> Any:
    return of.coverages["township"].ground(code)


@pytest.mark.parametrize("seed", range(60))
def test_a_ground_is_what_its_arcs_enclose_also_where_holes_touch(seed: int) -> None:
    shape = on_grid(punched(seed))
    derived = coverage_of({"a": shapely.transform(shape, lambda xy: xy / 1000)}).ground("a")
    assert derived.is_valid
    assert shapely.symmetric_difference(millimetres(derived), shape).area == 0


def test_borders_meet_at_ends_only_also_where_a_unit_touches_others_by_a_corner() -> None:
    of = coverage_of({"a": shapely.box(1, 1, 2, 2), "b": shapely.box(0, 0, 1, 1), "c": shapely.box(2, 2, 3, 3)})
    inner = [tuple(p) for a in of.arcs.values() for p in a.path[1:-1].tolist()]
    ends = {tuple(p) for a in of.arcs.values() for p in a.path[[0, -1]].tolist()}
    assert len(set(inner)) == len(inner)
    assert not ends & set(inner)


@pytest.mark.parametrize("seed", range(40))
def test_drawn_again_from_its_outlines_a_coverage_is_the_same(seed: int) -> None:
    of = coverage_of(crossing(seed))
    again = coverage_of({code: of.ground(code) for code in of.codes()})
    assert {a.key for a in again.arcs.values()} == {a.key for a in of.arcs.values()}


@pytest.mark.parametrize("seed", range(20))
def test_so_it_is_after_an_edit(seed: int) -> None:
    of = coverage_of(crossing(seed))
    piece = millimetres(shapely.convex_hull(shapely.union_all(list(crossing(seed + 1000).values()))))
    after = relabelled(of, ArcIndex(of), piece, lambda held: tuple(sorted({*held, "new"})))
    again = coverage_of({code: after.ground(code) for code in after.codes()})
    assert {a.key for a in again.arcs.values()} == {a.key for a in after.arcs.values()}


def between(of: Draft, a: str, b: str) -> Any:
    """The arc that parts two units."""
    return next(x for x in of.coverages["township"].arcs.values() if {x.left, x.right} == {(a,), (b,)})


def box(x0: float, y0: float, x1: float, y1: float) -> Any:
    """In metres, as an edit is given it."""
    return rings_of(shapely.MultiPolygon([millimetres(shapely.box(x0, y0, x1, y1))]))


def whole(of: Draft) -> bool:
    """Nothing overlaps, nothing is open, neighbours share every vertex, and the ground is that of the base."""
    shapes, base = (np.array([ground(d, c) for c in d.coverages["township"].codes()], object) for d in (of, BASE))
    one = shapely.union_all(shapes)
    same = abs(shapely.area(shapes).sum() - shapely.area(base).sum()) < 0.001 * one.length  # a cut bends the rim by half a step
    return bool(shapely.coverage_is_valid(shapes)) and same and one.geom_type == "Polygon" and not one.interiors


# ---- what a coverage is ---------------------------------------------------------------------------------------------


def test_arcs_give_back_the_grounds_they_were_made_of() -> None:
    coverage = coverage_of(GROUNDS)
    for code, shape in GROUNDS.items():
        assert on_grid(coverage.ground(code)).equals(on_grid(shape))
    assert all(len(a.path) == 13 for a in coverage.arcs.values() if a.left and a.right)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_arcs_and_ids_do_not_depend_on_how_rings_are_drawn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = list(rng.permutation(list(GROUNDS)))
    other = coverage_of({c: redrawn(GROUNDS[c], rng) for c in codes})
    mine = coverage_of(GROUNDS)
    assert {i: a.key for i, a in other.arcs.items()} == {i: a.key for i, a in mine.arcs.items()}


def test_overlaps_and_gaps_stay_what_they_are() -> None:
    grounds = {"a": shapely.box(0, 0, 100, 100), "b": shapely.box(90, 0, 200, 100), "c": shapely.box(205, 0, 300, 100)}
    coverage = coverage_of(grounds)
    index = ArcIndex(coverage)
    assert located(index, (95_000, 50_000)) == ("a", "b")
    assert located(index, (202_000, 50_000)) == ()
    assert {code: coverage.ground(code).area for code in grounds} == {"a": 10_000, "b": 11_000, "c": 9_500}


def test_ground_between_two_touching_parts_of_an_outline_is_not_its_own() -> None:
    """Told by nesting alone, the diamond would be a's as well."""
    diamond = shapely.Polygon([(0, 50), (50, 20), (100, 50), (50, 80)])
    for inside in (diamond, shapely.Polygon([(0, 0), (100, 0), (50, 60)]), shapely.Polygon([(20, 0), (80, 0), (50, 100)])):
        grounds = {"a": shapely.box(0, 0, 100, 100) - inside, "b": inside}
        for some in (grounds, {"a": grounds["a"]}):
            coverage = coverage_of(some)
            for code, shape in some.items():
                assert on_grid(coverage.ground(code)).equals(on_grid(shape)), code


CELLS = st.lists(st.sampled_from(["", "a", "b", "ab"]), min_size=16, max_size=16)


def of_cells(held: list[str]) -> dict[str, Any]:
    """Grounds on a board of 4 x 4 cells that are free, one's, or two's: they touch themselves and each other at corners."""
    cells = {code: [shapely.box(n % 4, n // 4, n % 4 + 1, n // 4 + 1) for n, codes in enumerate(held) if code in codes] for code in "ab"}
    return {code: shapely.union_all(some) for code, some in cells.items() if some}


@given(CELLS)
def test_arcs_give_back_grounds_that_touch_themselves_and_others_at_corners(held: list[str]) -> None:
    grounds = of_cells(held)
    coverage = coverage_of(grounds)
    for code in coverage.codes():
        assert shapely.equals(coverage.ground(code), grounds[code])


HELD: list[Any] = [(), ("a",), ("b",), ("a", "b")]


@given(CELLS, st.sets(st.sampled_from(HELD), min_size=1, max_size=3), st.sampled_from(["", "a", "b", "ab"]))
@settings(max_examples=200)
def test_ground_along_arcs_changes_hands_exactly_and_borders_are_as_if_drawn_so(held: list[str], which: set[Any], to: str) -> None:
    coverage = coverage_of(of_cells(held))
    outline = [a for a in coverage.arcs.values() if (a.left in which) != (a.right in which)]
    region = millimetres(ground_of(outline, lambda h: h in which))
    if shapely.is_empty(region):
        return
    index = ArcIndex(coverage)
    after = relabelled(coverage, index, region, lambda _: tuple(to))
    board = [shapely.Point(n % 4 * 1000 + 500, n // 4 * 1000 + 500) for n in range(16)]
    moved = [to if shapely.covers(region, at) else codes for at, codes in zip(board, held, strict=True)]
    expected = of_cells(moved)
    assert after.codes() == sorted(expected)
    assert all(shapely.equals(after.ground(code), shape) for code, shape in expected.items())
    drawn = coverage_of({code: after.ground(code) for code in after.codes()})
    assert {a.key for a in after.arcs.values()} == {a.key for a in drawn.arcs.values()}
    assert all(id_ == a.id for id_, a in after.arcs.items())
    index.move(after)
    assert [located(index, (p.x, p.y)) for p in board] == [tuple(codes) for codes in moved]


# ---- each edit ------------------------------------------------------------------------------------------------------


def test_a_moved_border_moves_for_both_sides_and_for_nobody_else() -> None:
    arc = between(BASE, "u00", "u01")
    path = arc.path.copy()
    path[1:-1, 0] += 60_000
    after = made(MoveBorder(layer="township", arc=arc.id, path=tuple(map(tuple, path.tolist()))))
    gain = {c: ground(after, c).area - ground(BASE, c).area for c in GROUNDS}
    assert gain["u00"] == pytest.approx(-gain["u01"])
    assert abs(gain["u00"]) > 40_000
    assert all(v == 0 for c, v in gain.items() if c not in ("u00", "u01"))
    assert whole(after)
    assert sum(after.coverages["township"].arcs.get(i) is a for i, a in BASE.coverages["township"].arcs.items()) == 19


def test_a_border_may_not_be_moved_across_a_third_party() -> None:
    arc = between(BASE, "u00", "u01")
    path = arc.path.copy()
    path[1:-1, 0] += 1_500_000
    with pytest.raises(BorderCrossed, match=r"of u(02|11) at"):
        made(MoveBorder(layer="township", arc=arc.id, path=tuple(map(tuple, path.tolist()))))
    path = arc.path + 1
    with pytest.raises(EndsMoved):
        made(MoveBorder(layer="township", arc=arc.id, path=tuple(map(tuple, path.tolist()))))
    path = arc.path.copy()
    path[[3, 4]] = path[[4, 3]]
    with pytest.raises(PathCrossesItself):
        made(MoveBorder(layer="township", arc=arc.id, path=tuple(map(tuple, path.tolist()))))
    with pytest.raises(UnknownArc):
        made(MoveBorder(layer="township", arc="a9", path=((0, 0), (1, 1))))


def test_a_rim_may_not_be_moved_around_another_unit() -> None:
    around = drafted([township("x", shapely.box(0, 0, 1000, 1000)), township("i", shapely.box(1400, 400, 1600, 600))])
    arc = next(a for a in around.coverages["township"].arcs.values() if "x" in a.holders)
    path = ((0, 0), (0, 1_000_000), (2_000_000, 1_000_000), (2_000_000, 0), (0, 0))
    with pytest.raises(BorderCrossed) as refused:
        made(MoveBorder(layer="township", arc=arc.id, path=path), around)
    assert "i" in str(refused.value.facts["who"])


def test_a_node_takes_all_its_borders_along() -> None:
    node = (1_000_000, 1_000_000)
    after = made(MoveNode(layer="township", node=node, to=(1_007_000, 995_000)))
    assert whole(after)
    touching = [c for c in GROUNDS if shapely.distance(ground(after, c), shapely.Point(1007, 995)) == 0]
    assert touching == ["u00", "u01", "u10", "u11"]


def test_a_piece_handed_over_leaves_everybody_elses_hands() -> None:
    after = made(HandOver(layer="township", piece=box(900, 900, 1100, 1100), to="u00"))
    assert whole(after)
    piece = shapely.box(900, 900, 1100, 1100)
    assert shapely.difference(piece, ground(after, "u00")).area < 1e-3 * piece.length
    held = made(HandOver(layer="township", piece=box(900, 900, 1100, 1100), to="u00", of=("u11",)))
    assert shapely.symmetric_difference(ground(held, "u01"), ground(BASE, "u01")).area < 0.001 * 4 * SIDE
    assert whole(held)


def test_handing_over_settles_an_overlap_and_a_gap() -> None:
    grounds = {"a": shapely.box(0, 0, 100, 100), "b": shapely.box(90, 0, 200, 100), "c": shapely.box(205, 0, 300, 100)}
    dirty = drafted([township(c, g) for c, g in grounds.items()])
    mended = made(HandOver(layer="township", piece=box(90, 0, 100, 100), to="a"), dirty)
    mended = made(HandOver(layer="township", piece=box(200, 0, 205, 100), to="c"), mended)
    assert {c: ground(mended, c).area for c in grounds} == {"a": 10_000, "b": 10_000, "c": 10_000}


def test_closing_a_gap_leaves_rims_far_away_what_they_are() -> None:
    """Rounding rounded ground again is not always without effect, so ground that nobody holds is not overlaid as a whole: in
    six of these worlds that changed shapes of a few millimetres a kilometre away, and emptied one of a province's districts."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        drawn = {f"t{k}": shapely.Polygon(rng.integers(0, 60, (3, 2)) / 1000) for k in range(4)}
        tiny = {code: shape for code, shape in drawn.items() if shape.area > 1e-6}
        around = {"a": (1000, 0, 1100, 100), "b": (1101, 0, 1200, 100), "c": (1000, 100, 1200, 200), "d": (1000, -100, 1200, 0)}
        grounds = tiny | {code: shapely.box(*corners) for code, corners in around.items()}
        before = drafted([township(c, g) for c, g in grounds.items()])
        arcs = made(HandOver(layer="township", piece=box(1100, 0, 1101, 100), to="a"), before).coverages["township"].arcs
        far = [a for a in before.coverages["township"].arcs.values() if a.holders & tiny.keys()]
        assert all(arcs.get(a.id) is a for a in far), seed


def test_a_unit_is_split_and_merged_again() -> None:
    line = ((500_000, -200_000), (480_000, 1_200_000))
    cut = made(Split(layer="township", code="u00", line=line, new="u00b", name="西半"))
    assert whole(cut)
    assert ground(cut, "u00").area + ground(cut, "u00b").area == pytest.approx(ground(BASE, "u00").area)
    assert cut.row("township", "u00b").name == "西半"  # type: ignore[union-attr]
    side = made(Split(layer="township", code="u00", line=line, new="u00b", side=(900_000, 500_000)))
    assert shapely.covers(ground(side, "u00b"), shapely.Point(900, 500))
    back = made(Merge(layer="township", codes=("u00b",), into="u00"), cut)
    assert ground(back, "u00").area == pytest.approx(ground(BASE, "u00").area)
    assert back.row("township", "u00b") is None
    assert whole(back)


def test_a_border_is_redrawn_along_a_line() -> None:
    line = ((950_000, -300_000), (950_000, 1_300_000))
    after = made(RedrawBorder(layer="township", between=("u00", "u01"), line=line))
    assert whole(after)
    assert shapely.bounds(shapely.intersection(ground(after, "u00"), shapely.box(0, 100, 2000, 900)))[2] == 950


def test_a_replaced_ground_takes_from_neighbours_and_opens_nothing() -> None:
    grown = shapely.union(GROUNDS["u00"], shapely.box(900, 200, 1200, 700))
    after = made(ReplaceGround(layer="township", code="u00", piece=rings_of(on_grid(grown))))
    assert whole(after)
    assert ground(after, "u00").area == pytest.approx(grown.area, abs=1)
    shrunk = rings_of(on_grid(shapely.difference(GROUNDS["u00"], shapely.box(900, 200, 1200, 700))))
    with pytest.raises(WouldOpen, match="u01"):
        made(ReplaceGround(layer="township", code="u00", piece=shrunk))
    assert whole(made(ReplaceGround(layer="township", code="u00", piece=shrunk, lost_to="u01")))


def test_rows_without_borders_are_written_and_removed() -> None:
    row = Row(LayerName.DIRECT, "gas", {"kind": "direct", "id": "direct:gas", "category": "gas", "squad": "g"}, document="1号")
    written = made(PutRow(row=row_said(row)))
    assert written.rows[row.key].document == "1号"
    assert named(made(RemoveRow(layer="direct", code="gas"), written)) == named(BASE)
    renamed = made(PutRow(row={**row_said(BASE.row("township", "u00")), "name": "新城街道"}))  # type: ignore[arg-type]
    assert renamed.row("township", "u00").name == "新城街道"  # type: ignore[union-attr]
    assert ground(renamed, "u00").equals(ground(BASE, "u00"))


def squad(code: str) -> Row:
    said = {"code": code, "name": "", "kind": "territorial", "duty": False, "township": None, "phone": "", "office": None}
    return Row(LayerName.SQUAD, code, said)


def claims(code: str) -> list[Row]:
    """One row of each layer that names a squad, in each way there is."""
    zone = on_grid(shapely.box(0, 0, 10, 10))
    ended = datetime(2020, 1, 1, tzinfo=UTC)
    return [
        Row(LayerName.TERRITORY, "t", {"kind": "territory", "id": "t", "squad": code, "priority": 0}, zone, until=ended),
        Row(LayerName.TOWNSHIP, "w", {"kind": "township", "id": "w", "code": "w", "squad": code}, zone, until=ended),
        Row(LayerName.AGREEMENT, "a", {"kind": "agreement", "id": "a", "parties": ["z", code], "lead": "z", "rule": "whole"}),
        Row(LayerName.DESIGNATION, "d", {"kind": "designation", "id": "d", "squad": code}, zone),
        Row(LayerName.DIRECT, "gas", {"kind": "direct", "id": "direct:gas", "category": "gas", "squad": code}),
    ]


@pytest.mark.parametrize("row", claims("s"), ids=lambda r: r.layer.value)
def test_a_squad_is_there_as_long_as_anybody_names_it(row: Row) -> None:
    with pytest.raises(NoSuchSquad) as unknown:
        taken(BASE, PutRow(row=row_said(row)), Indexes(BASE))
    assert unknown.value.facts["of"] == f"{row.layer.value} {row.code}"
    assert "s" in str(unknown.value.facts["value"]).split(", ")
    with_squads = drafted([*BASE.features(), squad("s"), squad("z"), row])
    with pytest.raises(SquadStillNamed, match=f"{row.layer.value} {row.code}"):
        taken(with_squads, RemoveRow(layer="squad", code="s"), Indexes(with_squads))
    without = drafted([*BASE.features(), squad("s"), squad("z")])
    PutRow(row=row_said(row)).check(without)
    assert ("squad", "s", "") not in taken(without, RemoveRow(layer="squad", code="s"), Indexes(without)).rows


def test_what_was_taken_before_there_was_a_rule_can_be_read_for_ever() -> None:
    edit = PutRow(row=row_said(claims("nobody")[-1]))
    assert replayed(BASE, [edit]).rows[("direct", "gas", "")].facts["squad"] == "nobody"
    _, held, refused = rebased(BASE, [edit])
    assert (held, [type(r.why) for r in refused]) == ((), [NoSuchSquad])


BAD: list[tuple[Edit, type[JieguanError]]] = [
    (HandOver(layer="township", piece=((((0, 0), (900, 900), (900, 0), (0, 900), (0, 0)),),), to="u00"), SelfCrossing),
    (HandOver(layer="township", piece=box(9000, 9000, 9100, 9100), to="u00"), PieceOutside),
    (HandOver(layer="township", piece=box(100, 100, 200, 200), to="u00"), NothingChanges),
    (HandOver(layer="township", piece=box(-100, -100, 1100, 1100), to="u01"), WouldEmpty),
    (HandOver(layer="rivers", piece=box(0, 0, 1, 1), to="u00"), NotACoverage),
    (Split(layer="township", code="u00", line=((400_000, 400_000), (600_000, 600_000)), new="x"), LineDoesNotCut),
    (Split(layer="township", code="u00", line=((0, 0), (1, 1)), new="u01"), CodeTaken),
    (Merge(layer="township", codes=("x",), into="u00"), NoSuchUnit),
    (RemoveRow(layer="township", code="u00"), WouldEmpty),
    (RedrawBorder(layer="township", between=("u00", "u01"), line=((0, 0), (1, 0))), LineDoesNotCut),
]


@pytest.mark.parametrize(("edit", "error"), BAD, ids=lambda v: getattr(v, "kind", getattr(v, "__name__", "")))
def test_what_cannot_be_done_is_refused_in_words(edit: Edit, error: type[JieguanError]) -> None:
    with pytest.raises(error) as refused:
        made(edit)
    assert refused.value.text("zh-CN") != refused.value.text("en")


def test_an_edit_can_be_written_down_and_read_again() -> None:
    edits: list[Edit] = [edit for edit, _ in BAD]
    edits += [MoveBorder(layer="township", arc="a", path=((0, 0), (1, 1))), MoveNode(layer="township", node=(0, 0), to=(1, 1))]
    edits += [PutRow(row=row_said(township("u", GROUNDS["u00"]))), ReplaceGround(layer="township", code="u", piece=box(0, 0, 1, 1))]
    edits += [SetBorder(layer="township", code="b", says={"zone_m": "20"}, between=("u00", "u01"), ends=((0, 0), (1, 1)))]
    assert {e.kind for e in edits} == set(KINDS)
    for edit in edits:
        assert edit_of(edit.said()) == edit
    with pytest.raises(UnknownEdit):
        edit_of({"kind": "rotate"})


# ---- many edits -----------------------------------------------------------------------------------------------------


def random_edit(of: Draft, rng: np.random.Generator, step: int) -> Edit:
    """Anything a planner may do anywhere, most of it local."""
    coverage: Coverage = of.coverages["township"]
    arcs = sorted(coverage.arcs.values(), key=lambda a: a.id)
    codes = coverage.codes()
    arc = arcs[rng.integers(len(arcs))]
    at = arc.path[rng.integers(len(arc.path))] + rng.integers(-30_000, 30_000, 2)
    kind = rng.choice(["move", "move", "node", "hand", "hand", "split", "merge"])
    if kind == "move":
        path = arc.path.copy()
        path[1:-1] += rng.integers(-3000, 3000, path[1:-1].shape)
        return MoveBorder(layer="township", arc=arc.id, path=tuple(map(tuple, path.tolist())))
    if kind == "node":
        end = arc.path[0]
        to = end + rng.integers(-2000, 2000, 2)
        return MoveNode(layer="township", node=(int(end[0]), int(end[1])), to=(int(to[0]), int(to[1])))
    if kind == "hand":
        piece = shapely.transform(shapely.Point(at).buffer(int(rng.integers(20, 40_000)), quad_segs=int(rng.integers(1, 6))), np.rint)
        return HandOver(layer="township", piece=rings_of(shapely.MultiPolygon([piece])), to=str(rng.choice(codes)))
    if kind == "split":
        way = rng.integers(-2_000_000, 2_000_000, 2)
        line = tuple((int(x), int(y)) for x, y in (at - way, at + way))
        return Split(layer="township", code=str(rng.choice(codes)), line=line, new=f"n{step}")
    holders = [c for side in (arc.left, arc.right) for c in side]
    return Merge(layer="township", codes=(holders[0],), into=holders[-1])


def apply_many(of: Draft, count: int, seed: int) -> tuple[list[Edit], list[Draft]]:
    """Edits in a row, refused ones left out, and the draft after each."""
    rng = np.random.default_rng(seed)
    at, edits, states = Indexes(of), [], [of]
    for step in range(count):
        edit = random_edit(states[-1], rng, step)
        try:
            after = edit.apply(states[-1], at)
        except JieguanError:
            continue
        edits.append(edit)
        states.append(after)
    return edits, states


@pytest.mark.parametrize("seed", range(4))
def test_after_any_edits_every_place_has_the_holder_the_edit_says(seed: int) -> None:
    """An independent oracle: a place's holders by walking the derived polygons, before and after."""
    edits, states = apply_many(BASE, 60, seed)
    assert len(edits) > 25
    for state in states[1:]:
        coverage = state.coverages["township"]
        shapes = np.array([coverage.ground(c) for c in coverage.codes()], object)
        assert shapely.coverage_is_valid(shapes)
        assert all((a.path[1:] != a.path[:-1]).any(1).all() for a in coverage.arcs.values())
    assert replayed(BASE, edits).coverages["township"].arcs.keys() == states[-1].coverages["township"].arcs.keys()
    assert named(replayed(BASE, edits)) == named(states[-1])
    assert named(replayed(BASE, edits[:-1])) == named(states[-2])
    assert named(replayed(BASE, [])) == named(BASE)


def test_handed_ground_and_no_other_changes_its_holder() -> None:
    rng = np.random.default_rng(7)
    state, at = BASE, Indexes(BASE)
    for step in range(40):
        edit = random_edit(state, rng, step)
        if not isinstance(edit, HandOver):
            continue
        try:
            after = edit.apply(state, at)
        except JieguanError:
            continue
        piece = shapely.MultiPolygon([(r[0], r[1:]) for r in edit.piece])
        x0, y0, x1, y1 = shapely.bounds(shapely.buffer(piece, 5000))
        places = rng.uniform((x0, y0), (x1, y1), (60, 2))
        lines = shapely.union_all(
            [shapely.LineString(a.path) for c in (state, after) for a in c.coverages["township"].arcs.values()]
        )
        before, now = ArcIndex(state.coverages["township"]), ArcIndex(after.coverages["township"])
        for place in places[shapely.distance(shapely.points(places), lines) > 1.5]:
            expected = (edit.to,) if shapely.covers(piece, shapely.Point(place)) else located(before, place)
            assert located(now, place) == expected
        state = after


@pytest.mark.parametrize("period", [{"since": "2026-01-01T00:00:00+00:00"}, {"until": "2026-01-01T00:00:00+00:00"}])
def test_a_unit_has_one_open_row_and_ground_always_has_its_row(period: dict[str, str]) -> None:
    there = BASE.row("township", "u00")
    assert there is not None
    with pytest.raises(PeriodChanged):
        made(PutRow(row={**row_said(there), **period}))


def test_edits_go_onto_another_base_or_are_refused_with_the_reason() -> None:
    mine, hers = between(BASE, "u00", "u01"), between(BASE, "u21", "u22")

    def bent(arc: Any, by: int) -> MoveBorder:
        path = arc.path.copy()
        path[1:-1] += by
        return MoveBorder(layer="township", arc=arc.id, path=tuple(map(tuple, path.tolist())))

    edits = [bent(mine, 4000), bent(hers, 4000)]
    other = drafted(made(bent(mine, -9000)).features())  # somebody published another course of `mine` meanwhile
    now, held, refused = rebased(other, edits)
    assert held == (edits[1],)
    assert [(r.number, type(r.why)) for r in refused] == [(0, UnknownArc)]
    assert named(now) == named(replayed(other, [edits[1]]))
    assert not edits[0].touches(BASE).clash(edits[1].touches(BASE))
    assert edits[0].touches(BASE).clash(bent(mine, 1).touches(BASE))
    assert edits[0].touches(BASE).clash(Merge(layer="township", codes=("u00",), into="u10").touches(BASE))


def test_a_draft_shows_the_base_rows_where_nothing_was_touched() -> None:
    arc = between(BASE, "u00", "u01")
    path = arc.path.copy()
    path[3] += 500
    after = made(MoveBorder(layer="township", arc=arc.id, path=tuple(map(tuple, path.tolist()))))
    before, now = ({r.code: r for r in d.features()} for d in (BASE, after))
    assert {c for c in now if now[c].hash != before[c].hash} == {"u00", "u01"}
    assert all(now[c] is before[c] for c in now if c not in ("u00", "u01"))
