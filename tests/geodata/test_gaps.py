"""Walls against brute force: the nearest owner measured from every site, with no Voronoi diagram anywhere."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geodata import gaps
from geodata.gaps import DiagramNotProven, GapTooWide, SiteNotCanonical, Walls, bisectors

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Box = tuple[int, int, int, int]


# --- the oracle ---


def distances(sites: Ints, points: Floats) -> Floats:
    """(points, sites) mm. A clamped foot is the end point to the bit, so segments that share the nearest end tie."""
    a, way = sites[:, :2].astype(float), (sites[:, 2:] - sites[:, :2]).astype(float)
    offset = points[:, None] - a
    share = (offset * way).sum(axis=2) / (way * way).sum(axis=1)
    foot = np.where((share >= 1)[:, :, None], sites[:, 2:].astype(float), a + np.clip(share, 0, 1)[:, :, None] * way)
    return np.sqrt(((points[:, None] - foot) ** 2).sum(axis=2))


def per_owner(sites: Ints, rank: Ints, points: Floats) -> tuple[Ints, Floats]:
    """The owners in order of rank, and (points, owners) distances."""
    owners = np.unique(rank)
    near = np.concatenate(
        [distances(sites, part) for part in np.array_split(points, 1 + len(points) * len(sites) // 2_000_000)]
    )
    return owners, np.stack([near[:, rank == owner].min(axis=1) for owner in owners], axis=1)


def nearest(sites: Ints, rank: Ints, points: Floats) -> Ints:
    owners, near = per_owner(sites, rank, points)
    return owners[(near <= near.min(axis=1, keepdims=True) + 1e-8).argmax(axis=1)]


def read(walls: Walls, box: Box, points: Floats, only: int) -> Ints:
    """The owner at points as the walls tell it: faces between the walls, each labelled by its longest vote."""
    faces = shapely.get_parts(
        shapely.polygonize(
            shapely.get_parts(
                shapely.unary_union(
                    [*shapely.linestrings(walls.segments.reshape(-1, 2, 2).astype(float)), shapely.box(*box).exterior]
                )
            )
        )
    )
    tree = shapely.STRtree(faces)
    here, there = walls.segments[:, :2].astype(float), walls.segments[:, 2:].astype(float)
    way = there - here
    length = np.sqrt((way**2).sum(axis=1))
    aside = np.stack([-way[:, 1], way[:, 0]], axis=1) / length[:, None] * 0.01
    votes: dict[tuple[int, int], float] = {}
    for label, sign in ((walls.left, 1), (walls.right, -1)):
        piece, face = tree.query(shapely.points((here + there) / 2 + sign * aside), predicate="within")
        for f, owner, weight in zip(face.tolist(), label[piece].tolist(), length[piece].tolist(), strict=True):
            votes[f, owner] = votes.get((f, owner), 0) + weight
    owner_of = np.full(len(faces), only)
    for (f, owner), _ in sorted(votes.items(), key=lambda vote: vote[1]):
        owner_of[f] = owner
    point, face = tree.query(shapely.points(points), predicate="within")
    found = np.full(len(points), -1)
    found[point] = owner_of[face]
    return found


def check(sites: Ints, rank: Ints, box: Box, seed: int = 0, count: int = 400) -> Walls:
    """Everything the walls promise, on random points and on their own vertices."""
    walls = bisectors(sites, rank, box)
    # Floats carry 1e-6 mm at 6e9 mm, so the oracle works near its own origin.
    shift = np.array([box[0], box[1]])
    near_sites, near_box = sites - np.tile(shift, 2), (0, 0, box[2] - box[0], box[3] - box[1])
    local = Walls(walls.segments - np.tile(shift, 2), walls.left, walls.right, walls.chain)
    assert (walls.left != walls.right).all()
    assert (walls.segments[:, :2] != walls.segments[:, 2:]).any(axis=1).all()
    points = np.random.default_rng(seed).uniform(0, 1, (count, 2)) * near_box[2:]
    if len(walls.segments):
        assert_between(local, near_sites, rank)
        lines = shapely.STRtree(shapely.linestrings(local.segments.reshape(-1, 2, 2).astype(float)))
        points = np.delete(points, lines.query(shapely.points(points), predicate="dwithin", distance=1.5)[0], axis=0)
    grown = (-500, -500, near_box[2] + 500, near_box[3] + 500)
    truth = nearest(near_sites, rank, points)
    wrong = read(local, grown, points, int(truth[0]) if len(truth) else 0) != truth
    assert not wrong.any(), (points[wrong][:3], truth[wrong][:3])
    return walls


def assert_between(walls: Walls, sites: Ints, rank: Ints) -> None:
    """Every vertex is as far from one owner as from the other, and from no third one nearer."""
    for place in (walls.segments[:, :2], walls.segments[:, 2:]):
        vertex = place[:: max(1, len(place) // 500)]
        left, right = (side[:: max(1, len(place) // 500)] for side in (walls.left, walls.right))
        owners, near = per_owner(sites, rank, vertex.astype(float))
        row = np.arange(len(vertex))
        to_left, to_right = near[row, np.searchsorted(owners, left)], near[row, np.searchsorted(owners, right)]
        assert np.abs(to_left - to_right).max() <= 2
        assert (np.maximum(to_left, to_right) - near.min(axis=1)).max() <= 2


# --- maps ---


def ring(xy: list[tuple[float, float]] | Floats, scale: int = 1) -> Ints:
    at = np.rint(np.asarray(xy) * scale).astype(np.int64)
    return np.hstack([at, np.roll(at, -1, axis=0)])


def circle(x: float, y: float, r: float, n: int, turn: float = 0.1) -> Ints:
    angle = np.arange(n) * 2 * np.pi / n + turn
    return ring(np.stack([x + r * np.cos(angle), y + r * np.sin(angle)], axis=1))


def owned(*parts: Ints) -> tuple[Ints, Ints]:
    return np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def star(arms: int, size: int) -> tuple[Ints, Ints]:
    """Segments of different owners that all end at one point."""
    angle = np.arange(arms) * 2 * np.pi / arms + 0.3
    far = np.rint(size + 0.8 * size * np.stack([np.cos(angle), np.sin(angle)], axis=1)).astype(np.int64)
    return np.hstack([np.full_like(far, size), far]), np.arange(arms)[::-1]


def scattered(seed: int, lines: int, size: int, owners: int) -> tuple[Ints, Ints]:
    """Random lines cut where they cross, each piece with a random owner: T junctions, stars, collinear neighbours."""
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, size, (lines, 2, 2))
    chain = rng.random(lines) < 0.4
    ends[1:][chain[1:], 0] = ends[:-1][chain[1:], 1]
    straight = rng.random(lines) < 0.3
    axis = rng.integers(0, 2, lines)
    ends[straight, 1, axis[straight]] = ends[straight, 0, axis[straight]]
    noded = shapely.get_parts(shapely.unary_union(shapely.linestrings(ends.astype(float)), grid_size=1.0))
    pieces = [np.hstack([xy[:-1], xy[1:]]) for xy in map(shapely.get_coordinates, noded) if len(xy) > 1]
    sites = np.unique(np.concatenate(pieces).astype(np.int64), axis=0)
    return sites, rng.integers(0, owners, len(sites))


def grid(n: int, pitch: int, block: int) -> tuple[Ints, Ints]:
    """Blocks in rows with streets between, all lines running east or north: Boost's worst case."""
    corners = [(i * pitch, j * pitch) for i in range(n) for j in range(n)]
    return owned(*(ring([(x, y), (x + block, y), (x + block, y + block), (x, y + block)]) for x, y in corners))


def leaning(seed: int, pitch: int) -> tuple[Ints, Ints]:
    """Streets whose corners are off by 1 mm, as surveyed ones are: no side runs exactly north, and Boost errs."""
    sites, rank = grid(2, pitch, pitch * 3 // 4)
    points, at = np.unique(sites.reshape(-1, 2), axis=0, return_inverse=True)
    points = points + np.random.default_rng(seed).integers(-1, 2, points.shape)
    return points[at.reshape(-1)].reshape(-1, 4), rank


def box_of(sites: Ints, by: int = 0) -> Box:
    xy = sites.reshape(-1, 2)
    low, high = xy.min(axis=0) - by, xy.max(axis=0) + by
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


MAPS: dict[str, Callable[[], tuple[Ints, Ints]]] = {
    "two rings": lambda: owned(circle(0, 0, 9000, 40), circle(30_000, 4000, 12_000, 7)),
    "nested rings": lambda: owned(circle(0, 0, 50_000, 30), circle(1000, 900, 30_000, 17), circle(0, 0, 9000, 5)),
    "a point-like island in a ring": lambda: owned(circle(0, 0, 50_000, 12), ring([(700, 0), (701, 0), (700, 1)])),
    "touching corners": lambda: owned(
        ring([(0, 0), (9000, 0), (9000, 9000), (0, 9000)]), ring([(9000, 9000), (20_000, 9000), (20_000, 18_000)])
    ),
    "a corner on a side": lambda: (
        np.array([[0, 0, 5000, 0], [5000, 0, 9000, 0], [5000, 0, 2000, 7000], [5000, 0, 8000, 7000]]),
        np.array([1, 2, 0, 3]),
    ),
    "collinear neighbours": lambda: (
        np.array([[0, 0, 3000, 1000], [3000, 1000, 9000, 3000], [12_000, 4000, 15_000, 5000]]),
        np.array([1, 0, 2]),
    ),
    "parallel lines": lambda: (
        np.array([[0, 0, 9000, 0], [0, 4000, 9000, 4000], [1000, 9000, 30_000, 9000]]),
        np.array([2, 0, 1]),
    ),
    "nearly parallel lines": lambda: (
        np.array([[0, 0, 10**7, 3], [5, 8, 10**7, 20], [0, 40, 10**7, 41]]),
        np.array([2, 0, 1]),
    ),
    "one segment shared end to end": lambda: (np.array([[0, 0, 0, 9000], [0, 9000, 0, 20_000]]), np.array([4, 9])),
    "tiny": lambda: owned(circle(0, 0, 9, 5), circle(30, 0, 11, 6), circle(12, 40, 10, 4)),
    "seven owners at one point": lambda: star(7, 40_000),
    "seven owners around one place": lambda: owned(
        *(circle(60_000 * np.cos(t), 60_000 * np.sin(t), 20_000, 9) for t in np.arange(7) * 2 * np.pi / 7)
    ),
    "streets": lambda: grid(5, 100_000, 80_000),
    "leaning streets": lambda: leaning(1, 10**8),
    "boostorg/polygon issue 43": lambda: (
        ring([(0, 100), (7, 1e-5), (7, 90), (91, 90), (91, 0), (100, 100)], 10**5),
        np.arange(6),
    ),
}


@pytest.mark.parametrize("name", MAPS)
def test_nearest_owner(name: str) -> None:
    sites, rank = MAPS[name]()
    check(sites, rank, box_of(sites, 5000))


@pytest.mark.parametrize("seed", range(12))
def test_nearest_owner_random(seed: int) -> None:
    sites, rank = scattered(seed, 25, (60, 2000, 300_000)[seed % 3], 2 + seed % 5)
    check(sites, rank, box_of(sites, 50), seed)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**9),
    lines=st.integers(2, 14),
    size=st.sampled_from([6, 30, 500, 10**5, 10**6]),
    owners=st.integers(2, 7),
)
def test_nearest_owner_any(seed: int, lines: int, size: int, owners: int) -> None:
    sites, rank = scattered(seed, lines, size, owners)
    check(sites, rank, box_of(sites, size // 10 + 3), seed)


# --- what else is promised ---


def same_bytes(a: Walls, b: Walls) -> bool:
    return all(
        getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in ("segments", "left", "right", "chain")
    )


@pytest.mark.parametrize("name", ["0", "1", "2", "3", *MAPS])
def test_order_and_direction_do_not_matter(name: str) -> None:
    sites, rank = MAPS[name]() if name in MAPS else scattered(int(name), 20, (40, 10**6)[int(name) % 2], 4)
    rng = np.random.default_rng(3)
    order, turned = rng.permutation(len(sites)), rng.random(len(sites)) < 0.5
    shuffled = np.where(turned[:, None], sites[:, [2, 3, 0, 1]], sites)[order]
    assert same_bytes(bisectors(sites, rank, box_of(sites)), bisectors(shuffled, rank[order], box_of(sites)))


@pytest.mark.parametrize("by", [(1, 0), (6_000_000_001, -5_999_999_998)])
def test_walls_move_with_the_sites(by: tuple[int, int]) -> None:
    sites, rank = scattered(5, 20, 10**5, 4)
    shift = np.array([*by, *by])
    here, there = bisectors(sites, rank, box_of(sites)), bisectors(sites + shift, rank, box_of(sites + shift))
    assert same_bytes(Walls(here.segments + shift, here.left, here.right, here.chain), there)


def test_last_bits_do_not_decide_halves() -> None:
    places = np.array([0.5 - 1e-7, 0.5 + 1e-7, -0.5 - 1e-7, -0.5 + 1e-7, 1.5, 2e9 + 0.5, 0.49, -0.51])
    assert gaps._rounded(places).tolist() == [1, 1, 0, 0, 2, 2 * 10**9 + 1, 0, -1]


def test_huge_coordinates() -> None:
    sites, rank = owned(*(circle(6e9 + x * 10**6, 5.9e9 + y * 10**6, 4 * 10**5, 9) for x in range(3) for y in range(2)))
    check(sites, rank, box_of(sites, 1000), count=200)


def test_labels_only_need_an_order() -> None:
    sites, rank = scattered(7, 20, 10**5, 4)
    plain, spread = bisectors(sites, rank, box_of(sites)), bisectors(sites, rank * 1000 - 7, box_of(sites))
    assert same_bytes(Walls(plain.segments, plain.left * 1000 - 7, plain.right * 1000 - 7, plain.chain), spread)


def test_all_sites_near_enough_count() -> None:
    # Nothing lies within 30 m of these 2 m, and still three owners share them.
    sites, rank = owned(*(circle(5e4 * np.cos(t), 5e4 * np.sin(t), 2e4, 60, t) for t in (0.2, 0.2 + 2.1, 0.2 + 4.2)))
    walls = check(sites, rank, (-1000, -1000, 1000, 1000))
    assert {*walls.left.tolist(), *walls.right.tolist()} == {0, 1, 2}


def test_far_sites_change_nothing() -> None:
    sites, rank = owned(circle(0, 0, 9000, 20), circle(30_000, 0, 9000, 20))
    far, _ = owned(circle(10**10, 0, 9000, 20), circle(0, -(10**8), 9000, 30))
    alone = bisectors(sites, rank, (0, -9000, 30_000, 9000))
    assert same_bytes(
        alone, bisectors(np.concatenate([sites, far]), np.append(rank, [-1] * 50), (0, -9000, 30_000, 9000))
    )


def test_the_ground_around_a_shared_corner_is_the_lower_ranks() -> None:
    # The wedge to the right of (0, 0) is nearest to the corner itself: walls are its two sides, none runs through it.
    sites = np.array([[0, 0, -9000, 9000], [0, 0, -9000, -9000]])
    walls = bisectors(sites, np.array([5, 3]), (-9000, -9000, 9000, 9000))
    assert set(nearest(sites, np.array([5, 3]), np.array([[5000.0, 1], [5000, -1], [4000, 3900]])).tolist()) == {3}
    right = walls.segments[(walls.segments[:, [0, 2]].min(axis=1) >= 0)]
    assert len(right) > 0
    assert (right[:, 0] == right[:, 1]).all()
    assert (right[:, 2] == right[:, 3]).all()


def test_a_chain_ends_where_it_meets_an_end_point() -> None:
    sites, rank = np.array([[0, 0, 0, 9000], [0, 9000, 0, 20_000]]), np.array([4, 9])
    walls = bisectors(sites, rank, (-5000, 0, 5000, 20_000))
    assert walls.segments.tolist() in (
        [[-6000, 9000, 0, 9000], [0, 9000, 6000, 9000]],
        [[6000, 9000, 0, 9000], [0, 9000, -6000, 9000]],
    )
    assert walls.chain.tolist() == [0, 1]
    assert walls.left.tolist() == ([9, 9] if walls.segments[0, 0] < 0 else [4, 4])


def test_walls_on_one_place_are_one() -> None:
    # The corner's own ground below the line has no width: the walls on its two sides fall on each other.
    sites, rank = MAPS["a corner on a side"]()
    walls = bisectors(sites, rank, box_of(sites, 3000))
    below = walls.segments[:, [1, 3]].max(axis=1) <= 0
    assert walls.segments[below].tolist() in ([[5000, -4000, 5000, 0]], [[5000, 0, 5000, -4000]])
    assert sorted([*walls.left[below], *walls.right[below]]) == [1, 2]


@pytest.mark.parametrize("seed", range(6))
def test_no_wall_crosses_a_site(seed: int) -> None:
    sites, rank = scattered(seed, 20, 10**6, 5)
    walls = bisectors(sites, rank, box_of(sites))
    tree = shapely.STRtree(shapely.linestrings(sites.reshape(-1, 2, 2).astype(float)))
    pieces = shapely.linestrings(walls.segments.reshape(-1, 2, 2).astype(float))
    wall, site = tree.query(pieces, predicate="intersects")
    met = shapely.intersection(pieces[wall], tree.geometries[site])
    ends = shapely.multipoints(sites.reshape(-1, 2, 2).astype(float))[site]
    # Next to a shared end point the sites are as near as the grid is coarse.
    assert (shapely.distance(met, ends) < 30).all()
    assert shapely.length(met).max(initial=0) < 30


@pytest.mark.parametrize("depth", [1e-7, 1e-3, 0.01, 0.04, 0.3, 1.0, 7.0, 1e3, 1e5, 1e8])
def test_chords_stay_within_the_sagitta(depth: float) -> None:
    rng = np.random.default_rng(1)
    x = np.sort(depth * rng.choice([0.01, 1, 10, min(300, 1e7 / depth)], (300, 1)) * rng.normal(size=(300, 2)), axis=1)
    height = (x * x + depth * depth) / (2 * depth)
    foot, way, normal = np.zeros((300, 2)), np.tile([1.0, 0], (300, 1)), np.tile([0, 1.0], (300, 1))
    safe = np.full(300, depth)
    first, last = (
        gaps._parameter(foot, way, normal, safe, np.stack([x[:, k], height[:, k]], axis=1)) for k in (0, 1)
    )
    count = gaps._pieces(first, last, safe)
    arc = gaps._Arcs(foot, way, normal, safe, first, last, count)
    row = np.repeat(np.arange(300), count + 1)
    at = arc.at(row, np.concatenate([np.arange(n + 1) for n in count]))
    joined = row[1:] == row[:-1]
    x1, x2 = at[:-1, 0][joined], at[1:, 0][joined]
    sagitta = (x2 - x1) ** 2 / (8 * depth) / np.sqrt(1 + ((x1 + x2) / (2 * depth)) ** 2)
    assert sagitta.max() <= 0.3 * (1 + 1e-9)
    assert np.allclose(at[count.cumsum() + np.arange(300), 0], x[:, 1], rtol=1e-9)
    # ... and it is not wasteful: but for the last one of an arc, the chords that carry the bound use half of it.
    assert depth < 10 or np.median(sagitta) > 0.1


# --- the proof ---


def made(sites: Ints, rank: Ints, monkeypatch: pytest.MonkeyPatch) -> list[tuple[gaps._Diagram, gaps._Sites]]:
    """The diagram behind the walls."""
    seen: list[tuple[gaps._Diagram, gaps._Sites]] = []
    proven = gaps._proven
    monkeypatch.setattr(gaps, "_proven", lambda diagram, local: seen.append((diagram, local)) or proven(diagram, local))
    bisectors(sites, rank, box_of(sites))
    monkeypatch.undo()
    return seen


def test_a_wrong_diagram_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    sites, rank = leaning(1, 10**8)
    monkeypatch.setattr(gaps, "TURNS", ((1, 0),))
    with pytest.raises(DiagramNotProven, match="all 1 attempts"):
        bisectors(sites, rank, box_of(sites))
    monkeypatch.setattr(gaps, "TURNS", ((1, 0), (2, 1)))
    assert len(bisectors(sites, rank, box_of(sites)).segments) > 0


@pytest.mark.parametrize("seed", range(20))
def test_the_proof_sees_damage(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sites, rank = scattered(seed, 8, 10**5, 4)
    diagram, local = made(sites, rank, monkeypatch)[-1]
    rng = np.random.default_rng(seed)
    assert gaps._proven(diagram, local)
    moved = diagram.xy.copy()
    moved[rng.integers(len(moved))] += rng.choice([-0.05, 0.05], 2)
    assert not gaps._proven(replaced(diagram, xy=moved), local)
    cell, site = diagram.cell.copy(), diagram.site.copy()
    one, other = rng.choice(np.flatnonzero(diagram.kind == gaps.SEGMENT), 2, replace=False)
    site[[one, other]] = site[[other, one]]
    assert not gaps._proven(replaced(diagram, site=site), local)
    cell[rng.integers(len(cell))] = one
    assert (cell == diagram.cell).all() or not gaps._proven(replaced(diagram, cell=cell), local)


def replaced(diagram: gaps._Diagram, **fields: npt.NDArray[np.generic]) -> gaps._Diagram:
    return dataclasses.replace(diagram, **fields)


# --- refusals, and nothing to do ---


@pytest.mark.parametrize("sites", [[[0, 0, 9, 9], [5, 5, 5, 5]], [[0, 0, 9, 9], [9, 9, 0, 0]]])
def test_empty_and_double_sites_are_refused(sites: list[list[int]]) -> None:
    with pytest.raises(SiteNotCanonical):
        bisectors(np.array(sites), np.array([0, 1]), (0, 0, 9, 9))


def test_too_wide_is_refused() -> None:
    sites, rank = owned(circle(0, 0, 9000, 20), circle(6 * 10**9, 0, 9000, 20))
    with pytest.raises(GapTooWide):
        bisectors(sites, rank, box_of(sites))


def test_one_owner_has_no_walls() -> None:
    sites = circle(0, 0, 9000, 20)
    assert len(bisectors(sites, np.zeros(20, dtype=np.int64), box_of(sites)).segments) == 0
    assert len(bisectors(sites, np.arange(20), box_of(sites)).segments) > 0
    assert bisectors(sites[:0], np.empty(0, dtype=np.int64), (0, 0, 9, 9)).segments.shape == (0, 4)


@pytest.mark.slow
def test_fifty_thousand_sites() -> None:
    rng = np.random.default_rng(1)
    places = [(i * 10**5, j * 10**5) for i in range(50) for j in range(50)]
    sites, rank = owned(*(circle(x, y, rng.integers(25, 45) * 1000, 20) for x, y in places))
    start = time.process_time()
    walls = bisectors(sites, rank, box_of(sites))
    print(f"{len(sites)} sites, {len(walls.segments)} pieces, {time.process_time() - start:.1f} s of one core")
    assert len(walls.segments) > 50_000
