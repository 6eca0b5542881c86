"""Random claims of every kind: whatever is drawn, the map is total, proven, and answers as shapely and brute force do."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from geodata.compile import Ground as Claimed
from geodata.compile import default_extent
from geodata.stretches import StretchOffBorder
from routing.ground.certificate import sealed
from routing.ground.noding import linework
from routing.ground.verify import load, verify
from routing.jurisdiction import JurisdictionMap, micros
from routing.model import ALWAYS, AgreementRule, Category, Cycle, Location, Period, SquadCode, Step, Stretch, Territory
from routing.route import Complaints, Router, contexts_of, route
from tests import city, oracle
from tests.city import agreement, compiled, day, designation, direct, not_served, stretch, territory, township

SQUADS = ("ne", "nw", "se", "sw")
CATEGORIES = (None, "snack", "fruit", "gas leak", "rails")
INSTANTS = (day("2019-12-31"), day("2020-01-01"), day("2020-06-01"), day("2021-01-01"), day("2021-02-01"))
PERIODS = (ALWAYS, Period(until=INSTANTS[1]), Period(INSTANTS[1]), Period(INSTANTS[1], INSTANTS[3]), Period(INSTANTS[3]))
WORDS = st.sets(st.sampled_from(["snack", "fruit"]), max_size=2).map(sorted)
FEW = settings(max_examples=60)


# ---- what is drawn --------------------------------------------------------------------------------------------------


@st.composite
def shapes(draw: st.DrawFn, step: float) -> Any:
    """A polygon on the grid 0 ... 8 times `step`: box, any ring (also one that crosses itself), spike, sliver, islands,
    a hole anywhere, nothing at all."""
    grid = st.integers(0, 8).map(lambda k: k * step)
    point = st.tuples(grid, grid)
    kind = draw(st.sampled_from(["box", "box", "box", "ring", "spike", "sliver", "islands", "hole", "nothing"]))
    if kind == "box":
        (x0, y0), (x1, y1) = draw(point), draw(point)
        return shapely.box(min(x0, x1), min(y0, y1), max(x0, x1) + step, max(y0, y1) + step)
    if kind == "ring":
        return shapely.Polygon(draw(st.lists(point, min_size=3, max_size=7)))
    if kind == "spike":
        a, b, c, tip = (draw(point) for _ in range(4))
        return shapely.Polygon([a, b, c, tip, c])
    if kind == "sliver":
        a, b = draw(point), draw(point)
        return shapely.Polygon([a, b, (b[0] + 0.001, b[1]), (a[0], a[1] + 0.002)])
    if kind == "islands":
        return shapely.MultiPolygon([shapely.Polygon([draw(point) for _ in range(3)]) for _ in range(2)])
    if kind == "hole":
        hole = [draw(point) for _ in range(3)]
        return shapely.Polygon([(0, 0), (9 * step, 0), (9 * step, 9 * step), (0, 9 * step)], [hole])
    return shapely.Polygon()


@dataclass(frozen=True, repr=False)
class World:
    """Claims and a map of them; `step` is the grid of all corners."""

    grounds: list[Claimed]
    extent: Any
    step: float
    zone: float
    on: JurisdictionMap

    def __repr__(self) -> str:
        drawn = "".join(f"\n  {g.claim!r} on {g.geometry}" for g in self.grounds)
        return f"World: zone {self.zone}, extent {self.extent}{drawn}\n"

    def _repr_pretty_(self, printer: Any, cycle: object) -> None:
        printer.text(repr(self))

    @property
    def drawn(self) -> list[tuple[Stretch, Any]]:
        return [(g.claim, g.geometry) for g in self.grounds if isinstance(g.claim, Stretch)]

    @property
    def whole(self) -> frozenset[str]:
        return frozenset(g.claim.id for g in self.grounds if g.claim.id.startswith("agreement:whole"))

    def again(self, grounds: list[Claimed], extent: Any) -> JurisdictionMap:
        return compiled(grounds, extent, self.zone)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    step = draw(st.sampled_from([0.001, 0.01, 1.0, 10.0, 40.0]))
    zone = draw(st.sampled_from([0.0, 2.0, 15.0]))
    first = territory("ne", shapely.Polygon([(0, 0), (draw(st.sampled_from([0.0004, 1, 3])) * step, 0), (0, step)]))
    made = [first, *(draw(claims(step, n)) for n in range(draw(st.integers(0, 7))))]
    extent = draw(st.one_of(st.none(), shapes(step)))
    on = compiled(made, extent, zone)
    found = draw(stretches(on)) if step >= 1.0 else []
    try:
        return World(made + found, extent, step, zone, compiled(made + found, extent, zone) if found else on)
    except StretchOffBorder:
        assume(not any(map(is_thin, made)))  # a vertex put into ground of a millimetre may close it, and its border is gone
        raise


def is_thin(ground: Claimed) -> bool:
    return ground.geometry is not None and ground.geometry.area < 0.01 * ground.geometry.length


@st.composite
def stretches(draw: st.DrawFn, on: JurisdictionMap) -> list[Claimed]:
    """Some stretches of border with widths of their own: whole edges or parts of one, also two over each other, each in force
    just as long as its border is where it is."""
    made = []
    for n in range(draw(st.integers(0, 4))):
        interval = on.intervals[draw(st.integers(0, len(on.intervals) - 1))]
        plate = on.plates[interval.plate]
        ground = [{c.squad for i in label if isinstance(c := on.claims[i], Territory)} for label in plate.labels]
        of = np.append(plate.faces.label, plate.outside)[plate.faces.side]
        edges = [e for e, (a, b) in enumerate(of.tolist()) if ground[a] != ground[b]]
        if not edges:
            continue
        e = draw(st.sampled_from(edges))
        squads = [ground[c] for c in of[e].tolist()]
        a, b = plate.faces.xy[plate.faces.edge[e]] / 1000.0
        cut = sorted(draw(st.sampled_from([(0.0, 1.0), (0.0, 0.5), (0.25, 0.75)])))
        line = [tuple(np.round(a + t * (b - a), 3).tolist()) for t in cut]
        if line[0] == line[1]:
            continue
        sides = draw(st.sampled_from(["", "|".join(sorted(squads[0] ^ squads[1]))]))
        widths = {
            "zone_m": draw(st.sampled_from([None, 0.0, 5.0, 40.0, 130.0])),
            "accuracy_m": draw(st.sampled_from([None, 0.0, 8.0, 120.0])),
        }
        made.append(stretch(f"{n}", sides, *line, held=Period(interval.since, interval.until), **widths))
    return made


@st.composite
def territories(draw: st.DrawFn, step: float, n: int, held: Period) -> Claimed:
    return territory(
        draw(st.sampled_from(SQUADS)), draw(shapes(step)), held, name=f":{n}", priority=draw(st.sampled_from([0, 0, 1]))
    )


@st.composite
def claims(draw: st.DrawFn, step: float, n: int) -> Claimed:
    kind = draw(st.sampled_from(["territory"] * 4 + ["township", "agreement", "whole", "designation", "not", "direct"]))
    shape, held, squad = draw(shapes(step)), draw(st.sampled_from(PERIODS)), draw(st.sampled_from(SQUADS))
    if kind == "territory":
        return draw(territories(step, n, held))
    if kind == "township":
        return township(f"t{n}", squad, shape)
    if kind in ("agreement", "whole"):
        other = draw(st.sampled_from([s for s in SQUADS if s != squad]))
        rule = draw(st.sampled_from(AgreementRule))
        lead = draw(st.sampled_from([squad, other]))
        cycle = draw(st.sampled_from(Cycle))
        facts = {"rule": rule, "lead": lead, "categories": draw(WORDS), "cycle": cycle}
        drawn = shape if kind == "agreement" and not shape.is_empty else None
        return agreement(f"{'whole' if drawn is None else 'street'}:{n}", squad, other, drawn, held, **facts)
    if kind == "designation":
        dated = draw(st.sampled_from([None, *INSTANTS]))
        return designation(str(n), squad, shape, held, categories=draw(WORDS), dated=dated)
    if kind == "not":
        return not_served(f"rail:{n}", shape)
    category, who = draw(st.sampled_from(["gas leak", "rails"])), draw(st.sampled_from(["gas", "rail"]))
    return direct(category, who, held, name=f":{n}")


@dataclass(frozen=True)
class Asked:
    """Complaints in words and as arrays."""

    places: list[Location]
    category: list[str | None]
    at: list[datetime]
    found_by: list[str | None]
    arrays: Complaints


def is_line(ground: Claimed) -> bool:
    return isinstance(ground.claim, Stretch)


def ask(world: World, seed: int, n: int = 24) -> Asked:
    """Places on corners, edges and around them, and anywhere; with errors, categories, instants at the joints, finders."""
    rng = np.random.default_rng(seed)
    lines = linework([g.geometry for g in world.grounds if g.geometry is not None and not is_line(g)]).segment / 1000.0
    where = rng.uniform(-2 * world.step, 11 * world.step, (n, 2))
    if len(lines):
        a = lines[rng.integers(len(lines), size=n)]
        along = rng.choice([0.0, 0.5, 1.0], (n, 1)) * rng.choice([1.0, rng.random()], (n, 1))
        edge = a[:, :2] + along * (a[:, 2:] - a[:, :2])
        off = rng.choice([0.0, 0.0005, 0.001, 0.002, 2.0, 15.0, 20.0], (n, 1)) * rng.normal(0, 1, (n, 2))
        where = np.where(rng.random((n, 1)) < 0.8, edge + off, where)
    error = rng.choice([0.0, 0.0, 0.003, 5.0, 30.0], n)
    category = [CATEGORIES[k] for k in rng.integers(len(CATEGORIES), size=n)]
    at = [INSTANTS[k] for k in rng.integers(len(INSTANTS), size=n)]
    found_by = [(None, *SQUADS)[k] for k in rng.integers(5, size=n)]
    on = world.on
    arrays = Complaints(
        where[:, 0].copy(),
        where[:, 1].copy(),
        error,
        np.array([micros(t) for t in at], np.int64),
        np.array([on.group_of.get(c, 0) if c else 0 for c in category], np.int32),
        np.array([on.squad_number[SquadCode(s)] if s else -1 for s in found_by], np.int32),
    )
    places = [Location(float(x), float(y), float(e)) for (x, y), e in zip(where, error, strict=True)]
    return Asked(places, category, at, found_by, arrays)


SEEDS = st.integers(0, 2**32 - 1)


# ---- what must hold -------------------------------------------------------------------------------------------------


@FEW
@given(worlds(), SEEDS)
def test_one_squad_for_every_place_category_and_instant(world: World, seed: int) -> None:
    routed = route(world.on, ask(world, seed).arrays)
    number = len(world.on.roster.squads)
    assert ((routed.squad >= 0) & (routed.squad < number)).all()
    for i in range(len(routed)):
        decision = routed.decision(i)
        assert decision.squad not in decision.assist
        assert list(decision.assist) == sorted(set(decision.assist))
        assert 0.0 <= decision.margin_m <= 100.0
        assert (decision.runner_up is None) == (decision.margin_m == 100.0)
        assert decision.runner_up != decision.squad


@FEW
@given(worlds(), SEEDS)
def test_many_are_routed_as_each(world: World, seed: int) -> None:
    asked = ask(world, seed)
    routed = route(world.on, asked.arrays)
    router = Router(world.on)
    for i, place in enumerate(asked.places):
        alone = route(world.on, asked.arrays.rows(np.array([i])))
        assert routed.decision(i) == alone.decision(0)
        category, found = asked.category[i], asked.found_by[i]
        lone = router(
            place, Category(category) if category else None, asked.at[i], found_by=SquadCode(found) if found else None
        )
        assert routed.decision(i) == lone


@FEW
@given(worlds(), SEEDS)
def test_the_order_of_features_rings_and_vertices_changes_no_byte(world: World, seed: int) -> None:
    rng = np.random.default_rng(seed)
    grounds = [Claimed(g.claim, oracle.redrawn(g.geometry, rng)) for g in world.grounds]
    grounds = [grounds[i] for i in rng.permutation(len(grounds))]
    extent = oracle.redrawn(world.extent, rng)
    assert sealed(world.again(grounds, extent))[1] == sealed(world.on)[1]


@FEW
@given(world=worlds())
def test_the_proof_finds_nothing(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "map.jgm"
    path.write_bytes(sealed(world.on)[1])
    findings = verify(load(str(path)))
    assert not findings, findings


@FEW
@given(worlds(), SEEDS)
def test_answers_are_those_told_by_shapely_and_the_ladder_in_words(world: World, seed: int) -> None:
    asked = ask(world, seed)
    routed = route(world.on, asked.arrays)
    contexts, number = contexts_of(world.on, asked.arrays)
    grounds = {c.interval: oracle.Ground(world.on, c.interval, world.whole, world.drawn) for c in contexts}
    number = np.broadcast_to(number, len(routed))
    for i, place in enumerate(asked.places):
        sheet = world.on.sheet(contexts[number[i]])
        want = oracle.told(
            grounds[sheet.context.interval], sheet, shapely.Point(place.x, place.y), place.error_m, world.zone
        )
        if want is None:
            continue
        got = routed.decision(i)
        assert (got.squad, got.assist, got.step, got.doubtful) == (want.squad, want.assist, want.step, want.doubtful), place
        assert got.margin_m == pytest.approx(want.margin, abs=1e-3), place
        assert got.runner_up in want.runners, place


@FEW
@given(worlds(), SEEDS)
def test_faces_hold_what_parity_says(world: World, seed: int) -> None:
    """Farther from every line than the grid may move it, the claims at a place are those whose rings enclose it."""
    on = world.on
    at = INSTANTS[seed % len(INSTANTS)]
    interval = next(i for i in on.intervals if at in Period(i.since, i.until))
    plate = on.plates[interval.plate]
    areas = [g for g in world.grounds if g.geometry is not None and not is_line(g)]
    kept = [g for g in areas if on.claim_number[g.claim.id] in interval.claims]
    lines = linework([g.geometry for g in kept])
    others = linework([g.geometry for g in areas] + [extent_of(world)])
    places = ask(world, seed).arrays
    xy = np.stack([places.x, places.y], 1) * 1000.0
    clear = oracle.from_lines(others, xy) > 1.5
    assume(clear.any())
    number = [on.claim_number[g.claim.id] for g in kept]
    sheet = on.sheet(contexts_of(on, Complaints(places.x, places.y, places.error_m, np.full(1, micros(at))))[0][0])
    faces = oracle.Ground(on, on.intervals.index(interval))
    for point, held in zip(xy[clear] / 1000.0, oracle.holders(lines, xy[clear]), strict=True):
        want = {number[k] for k in held}
        met = [c for c, shape in enumerate(faces.classes) if shapely.intersects(shape, shapely.Point(point))]
        for c in met:
            mine = {i for i in plate.labels[c] if i in interval.claims and i < len(world.grounds)}
            strips = {i for i in mine if on.claims[i].id in world.whole}
            assert mine - strips == want
        if len(met) == 1 and not any(isinstance(on.claims[i], Territory) for i in want):
            inside = bool(oracle.holders(linework([extent_of(world)]), point[None] * 1000.0)[0])
            step = on.ledger.verdicts[sheet.base[met[0]]].step
            assert inside == plate.inside[met[0]]
            if step in (Step.NEAREST, Step.ON_DUTY):
                there = {i for label in plate.labels for i in label} & interval.claims
                nobody = not any(isinstance(on.claims[i], Territory) for i in there)
                assert (step is Step.NEAREST) == (inside and not nobody), "no ground at all: nobody is nearest"


def extent_of(world: World) -> Any:
    return default_extent(world.grounds) if world.extent is None else world.extent


def test_the_city_is_drawn_as_its_file_says() -> None:
    """The oracle itself, where one can check by eye."""
    on = city.MAPS["plain"]()
    ground = oracle.Ground(on, 0)
    sheet = on.sheet(next(iter(contexts_of(on, Complaints(*(np.zeros(1) for _ in range(3))))[0])))
    told = oracle.told(ground, sheet, shapely.Point(190.5, 100.25), 0.0, 15.0)
    assert told is not None
    assert (told.squad, told.assist, told.step, told.margin) == ("sw", ("se",), Step.BORDER, 9.5)
    assert io.BytesIO(sealed(on)[1]).read(2) == b"PK"
