"""Claims -> plates: what is inside, who is nearest, what holds when; and odd input that must not stop it."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
import shapely

from geodata.compile import Ground, NoTerritory, TwoClaimsOneId, compile_map, default_extent
from routing.jurisdiction import JurisdictionMap, Settings
from routing.model import Location, NotServed, Step, Territory
from routing.route import Router
from tests import oracle
from tests.city import (
    agreement,
    box,
    compiled,
    day,
    designation,
    not_served,
    period,
    roster,
    squares,
    territory,
    township,
)


def led(on: JurisdictionMap, x: float, y: float) -> tuple[str, Step]:
    got = Router(on)(Location(x, y))
    return got.squad, got.step


def test_the_default_extent_is_all_territories_with_their_holes_filled() -> None:
    grounds = [territory("sw", box(0, 0, 9, 9).difference(box(3, 3, 6, 6))), territory("se", box(20, 0, 29, 9))]
    extent = default_extent([*grounds, not_served("x", box(50, 50, 60, 60))])
    assert extent.area == pytest.approx(162)
    assert led(compiled(grounds), 4.5, 5) == ("sw", Step.NEAREST)
    assert led(compiled(grounds), 15, 5) == ("desk", Step.ON_DUTY)


def test_without_territories_there_is_nothing_to_compile() -> None:
    for grounds in ([], [not_served("x", box(0, 0, 1, 1))], [territory("sw", None)], [territory("sw", shapely.Polygon())]):
        with pytest.raises(NoTerritory):
            compiled(grounds)


def test_one_id_is_one_claim() -> None:
    with pytest.raises(TwoClaimsOneId, match="ground:sw"):
        compiled([territory("sw", box(0, 0, 1, 1)), territory("sw", box(1, 0, 2, 1), priority=1)])
    assert led(compiled([territory("sw", box(0, 0, 1, 1)), territory("sw", box(0.5, 0, 2, 1))]), 0.7, 0.5)[0] == "sw"


@pytest.mark.parametrize("extent", [None, box(-10, -10, 20, 20)])
def test_territories_that_vanish_on_the_grid_do_not_stop_a_map(extent: object) -> None:
    on = compiled([territory("sw", box(0, 0, 0.0004, 5)), not_served("x", box(1, 1, 2, 2))], extent)
    assert led(on, 5, 5) == ("desk", Step.ON_DUTY)
    assert led(on, 1.5, 1.5) == ("desk", Step.NOT_SERVED)


def test_ground_beyond_the_extent_is_its_squads_all_the_same() -> None:
    on = compiled(squares(), extent=box(0, 0, 300, 300))
    assert led(on, 350, 350) == ("ne", Step.OWN_GROUND)
    assert led(on, 450, 350) == ("desk", Step.ON_DUTY)


def test_a_wall_that_only_crosses_a_narrow_gap_still_parts_it() -> None:
    """The bisector of the two is a long line; its middle lies outside of the gap."""
    for width in (0.5, 2.0, 10.0):
        strip = box(-5, 80, 105, 80 + width)
        grounds = [territory("sw", box(0, 0, 10, 10)), territory("se", box(90, 0, 100, 10))]
        on = compiled(grounds, extent=strip)
        for x in (-4.0, 20.0, 49.0):
            assert led(on, x, 80 + width / 2) == ("sw", Step.NEAREST), (width, x)
            assert led(on, 100 - x, 80 + width / 2) == ("se", Step.NEAREST), (width, x)


def test_a_spike_of_the_extent_is_the_nearest_squads() -> None:
    """As found by chance: an extent that crosses itself, with a spike that ends near ne."""
    points = [(40, 60), (20, 80), (80, 0), (70, 80), (10, 50), (40, 20), (20, 0)]
    islands = shapely.MultiPolygon(
        [shapely.Polygon([(20, 60), (70, 30), (0, 20)]), shapely.Polygon([(0, 20), (70, 50), (40, 10)])]
    )
    corner = shapely.Polygon([(0, 0), (10, 0), (0, 10)])
    on = compiled([territory("ne", corner), territory("sw", islands, priority=1)], shapely.Polygon(points))
    assert led(on, 20.1, 0.2) == ("ne", Step.NEAREST)


def check_gaps(on: JurisdictionMap, grounds: list[Ground], rng: np.random.Generator, box_: tuple[float, float, float, float]) -> int:
    """Everywhere in the gaps the lead is the squad of the nearest ground (ties within 3 mm aside)."""
    shapes: dict[tuple[int, str], list[object]] = {}
    for g in grounds:
        if isinstance(g.claim, Territory):
            shapes.setdefault((g.claim.priority, g.claim.squad), []).append(g.geometry)
    order = sorted(shapes)
    ground = [shapely.union_all(np.array(shapes[o], object)) for o in order]
    router, seen = Router(on), 0
    for x, y in rng.uniform(box_[:2], box_[2:], (300, 2)):
        got = router(Location(x, y))
        if got.step is Step.NEAREST:
            far = shapely.distance(np.array(ground, object), shapely.Point(x, y))
            lead = {order[i][1] for i in np.flatnonzero(far <= far.min() + 0.003)}
            assert got.squad in lead, (x, y)
            seen += 1
    return seen


def test_gaps_go_to_the_nearest_squad() -> None:
    rng, seen = np.random.default_rng(7), 0
    for _ in range(15):
        grounds = []
        for k in range(int(rng.integers(2, 7))):
            x, y = rng.uniform(0, 90, 2)
            w, h = rng.uniform(1, 30, 2)
            shape = shapely.affinity.rotate(box(x, y, x + w, y + h), rng.uniform(0, 90))
            squad = ("ne", "nw", "se", "sw")[k % 4]
            grounds.append(territory(squad, shape, name=f":{k}", priority=int(rng.integers(0, 2))))
        extent = shapely.affinity.rotate(box(-10, 20, 130, 70), rng.uniform(0, 90))
        seen += check_gaps(compiled(grounds, extent), grounds, rng, (-20, -40, 140, 140))
    assert seen > 500


def test_time_is_cut_where_a_claim_starts_or_ends() -> None:
    grounds = [
        *squares(),
        territory("desk", box(500, 0, 600, 100), period("2020-01-01", "2021-01-01")),
        designation("d", "se", box(0, 0, 10, 10), period("2020-06-01", "2021-01-01")),
        designation("e", "se", None, period("2020-06-01"), case="7"),
    ]
    on = compiled(grounds)
    assert [i.since for i in on.intervals] == [None, *map(day, ("2020-01-01", "2020-06-01", "2021-01-01"))]
    assert [i.until for i in on.intervals[:-1]] == [i.since for i in on.intervals[1:]]
    assert [i.plate for i in on.intervals] == [0, 1, 1, 0], "the same territories stand on the same plate"
    assert on.intervals[-1].until is None


def test_claims_without_end_make_one_interval() -> None:
    assert len(compiled(squares()).intervals) == 1


def test_townships_and_orders_alone_make_no_new_plate() -> None:
    on = compiled([*squares(), township("t", "sw", box(0, 0, 100, 100)), designation("d", "se", box(0, 0, 9, 9), period("2020-01-01"))])
    assert len(on.plates) == 1
    assert len(on.intervals) == 2


def test_whole_agreements_are_as_wide_as_the_zone_and_no_wider() -> None:
    for zone in (0.0, 5.0, 15.0):
        on = compiled([*squares(), agreement("x", "sw", "se", lead="sw")], zone_m=zone)
        for x, step in [(200 + zone - 0.01, Step.AGREED), (200 + zone + 0.01, Step.OWN_GROUND), (200.0, Step.AGREED)]:
            assert zone == 0.0 or led(on, x, 100) == (("sw" if step is Step.AGREED else "se"), step)
        assert led(on, 200, 100) == ("sw", Step.AGREED), "on the line it holds whatever the zone"


def test_the_zone_of_neighbours_with_a_gap_between_them() -> None:
    """Twenty metres apart, fifteen metres of zone: the ten metres in the middle are within both."""
    on = compiled(
        [territory("sw", box(0, 0, 100, 100)), territory("se", box(120, 0, 220, 100)), agreement("x", "sw", "se", lead="se")],
        extent=box(0, 0, 220, 100),
    )
    assert led(on, 110, 50) == ("se", Step.AGREED)
    assert led(on, 106, 50) == ("se", Step.AGREED)
    assert led(on, 104, 50) == ("sw", Step.NEAREST)


def test_every_permutation_gives_the_same_labels() -> None:
    rng = np.random.default_rng(9)
    grounds = [*squares(sw=box(0, 0, 230, 200)), township("t", "sw", box(0, 0, 150, 400)), not_served("x", box(30, 30, 60, 90))]
    want = compiled(grounds)
    for _ in range(5):
        turned = [Ground(g.claim, oracle.redrawn(g.geometry, rng)) for g in grounds]
        got = compiled([turned[i] for i in rng.permutation(len(turned))])
        assert got.plates[0].labels == want.plates[0].labels
        assert got.plates[0].faces.xy.tobytes() == want.plates[0].faces.xy.tobytes()


def test_progress_is_told() -> None:
    told: list[tuple[str, int, int]] = []

    def progress(stage: str, done: int, of: int) -> None:
        told.append((stage, done, of))

    grounds = [territory("sw", box(0, 0, 1, 1)), territory("se", box(1, 0, 2, 1), period("2020-01-01"))]
    compile_map(grounds, roster(), Settings(), progress=progress)
    assert told[0][1] == 0
    assert told[-1][1] == told[-1][2] == 2


def test_an_instant_at_the_joint_belongs_to_the_later_interval() -> None:
    on = compiled([territory("sw", box(0, 0, 9, 9), period(until="2020-01-01")), territory("se", box(0, 0, 9, 9), period("2020-01-01"))])
    joint, tick = day("2020-01-01"), timedelta(microseconds=1)
    assert [Router(on)(Location(5, 5), at=t).squad for t in (joint - tick, joint, joint + tick)] == ["sw", "se", "se"]


def test_claims_are_kept_in_order_of_their_ids() -> None:
    on = compiled([*squares(), not_served("a", box(0, 0, 1, 1))])
    ids = [c.id for c in on.claims]
    assert ids == sorted(ids)
    assert isinstance(on.claims[-1], NotServed)
