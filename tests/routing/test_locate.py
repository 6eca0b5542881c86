"""The kernel: one and many, wide lists, odd numbers, and what an answer's margin and doubt are made of."""

from __future__ import annotations

import numpy as np
import pytest

from routing.ground.cells import Floats
from routing.ground.locate import (
    IN_ERROR,
    LEVELS,
    NEAR_DOUBT,
    ON_LINE,
    WIDTH,
    WITHIN,
    Answers,
    Found,
    Lone,
    Reach,
    locate,
    spread,
)
from routing.jurisdiction import Plate
from tests.city import MAPS, box, compiled, territory

ONE = np.zeros(1, np.int32)


def plain(lead: list[int], unsure: list[bool] | None = None) -> Answers:
    return Answers(np.array([lead], np.int32), np.array([unsure or [False] * len(lead)]), ONE)


def reach(n_class: int, error: float | Floats = 0.0, zone: float = 15.0, accuracy: Floats | None = None) -> Reach:
    e2 = np.atleast_1d(np.asarray(error, float)) ** 2
    return Reach(e2, np.array([zone**2]), np.array([-1.0]), np.zeros(n_class) if accuracy is None else accuracy**2, 100.0)


def one(got: Found, i: int = 0) -> dict[int, int]:
    """Near classes of a row -> their levels."""
    return {int(c) // LEVELS: int(c) % LEVELS for c in got.near[i, : got.n_near[i]]}


def two_squares() -> tuple[Plate, int, int]:
    """A plate with two squares that meet in x = 100; classes of the left and of the right one."""
    plate = compiled([territory("sw", box(0, 0, 100, 100)), territory("se", box(100, 0, 200, 100))]).plates[0]
    sw = plate.labels.index((1,))
    return plate, sw, plate.labels.index((0,))


def test_levels_of_nearness() -> None:
    plate, left, right = two_squares()
    cells, n = plate.cells(100.0), len(plate.labels)
    lead = plain(list(range(n)))
    for x, error, zone, level in [
        (85.0, 0.0, 15.0, WITHIN),
        (84.999, 0.0, 15.0, None),
        (85.0, 15.0, 0.0, IN_ERROR),
        (85.0, 14.999, 0.0, None),
        (99.999, 0.0, 0.0, ON_LINE),
        (99.9985, 0.0, 0.0, None),
        (99.9995, 30.0, 30.0, ON_LINE),
    ]:
        got = locate(cells, np.array([x]), np.array([50.0]), reach(n, error, zone), lead)
        assert got.own[0] == left
        assert one(got) == ({} if level is None else {right: level}), (x, error, zone)
        assert got.margin[0] == pytest.approx(100.0 - x, abs=1e-9)
        assert bool(got.doubt[0]) == (100.0 - x <= max(error, 0.001) + 1e-9)


def test_the_accuracy_of_either_line_widens_the_error() -> None:
    plate, left, right = two_squares()
    n = len(plate.labels)
    for blurred in (left, right):
        accuracy = np.zeros(n)
        accuracy[blurred] = 4.0
        for x, error, told in [(95.0, 3.0, True), (94.99, 3.0, False), (96.0, 0.0, True)]:
            got = locate(
                plate.cells(100.0), np.array([x]), np.array([50.0]), reach(n, error, 0.0, accuracy), plain(list(range(n)))
            )
            assert bool(got.doubt[0] & NEAR_DOUBT) is told
            assert one(got) == ({right: IN_ERROR} if told else {})


def test_doubt_asks_every_neighbour_not_only_the_nearest() -> None:
    """se is 5 m away and surveyed exactly, nw is 8 m away and known to 10 m only: the place may well be nw's."""
    grounds = [territory("sw", box(0, 0, 100, 100)), territory("se", box(100, 0, 200, 100)), territory("nw", box(0, 100, 100, 200))]
    plate = compiled(grounds).plates[0]
    n = len(plate.labels)
    accuracy = np.zeros(n)
    accuracy[plate.labels.index((0,))] = 10.0
    got = locate(plate.cells(100.0), np.array([95.0]), np.array([92.0]), reach(n, accuracy=accuracy), plain(list(range(n))))
    assert got.margin[0] == pytest.approx(5.0)
    assert got.doubt[0] & NEAR_DOUBT


def test_margin_ignores_lines_between_ground_of_one_squad() -> None:
    plate, _, right = two_squares()
    n = len(plate.labels)
    lead = [7] * n
    lead[plate.outside] = 9
    got = locate(plate.cells(100.0), np.array([95.0, 95.0]), np.array([50.0, 20.0]), reach(n), plain(lead))
    assert got.margin.tolist() == pytest.approx([50.0, 20.0])
    assert got.runner.tolist() == [9, 9]
    assert one(got) == {right: WITHIN}, "it is near all the same: an agreement may ask"


def test_one_point_is_many_points() -> None:
    rng = np.random.default_rng(0)
    for name in ("seven", "gaps", "agreements"):
        plate = MAPS[name]().plates[0]
        n = len(plate.labels)
        lead = plain(rng.integers(0, 4, n).tolist(), (rng.random(n) < 0.3).tolist())
        x, y = rng.uniform(-20, 420, (2, 400))
        x[:50], y[:50] = rng.normal(0, 3, (2, 50))
        error = rng.choice([0.0, 3.0, 50.0], 400)
        many = locate(plate.cells(100.0), x, y, reach(n, error), lead)
        lone = Lone(plate.cells(100.0), reach(n), lead, room=2)
        for i in range(400):
            own, margin, runner, doubt, near = lone(float(x[i]), float(y[i]), float(error[i]) ** 2)
            assert (own, margin, runner, doubt) == (many.own[i], many.margin[i], many.runner[i], many.doubt[i])
            assert near == tuple(many.near[i, : many.n_near[i]].tolist())
        assert name != "seven" or (many.n_near > WIDTH).any(), "seven squads need the wider list"


def test_each_point_has_its_own_context() -> None:
    plate, _, right = two_squares()
    n = len(plate.labels)
    lead = np.zeros((2, n), np.int32)
    lead[1] = np.arange(n)
    answers = Answers(lead, np.zeros((2, n), bool), np.array([0, 1, 1, 0], np.int32))
    got = locate(plate.cells(100.0), np.full(4, 98.0), np.full(4, 50.0), reach(n), answers)
    assert got.margin.tolist() == [100.0, 2.0, 2.0, 100.0]
    assert got.runner.tolist() == [-1, right, right, -1]


def test_numbers_that_are_no_place() -> None:
    plate, _, _ = two_squares()
    n = len(plate.labels)
    odd = np.array([np.nan, np.inf, -np.inf, 1e300, 50.0, 0.0])
    got = locate(plate.cells(100.0), odd, np.array([50.0, 50.0, 50.0, 50.0, np.nan, 1e18]), reach(n), plain(list(range(n))))
    assert got.own.tolist() == [plate.outside] * 6
    assert np.isnan(got.margin).tolist() == [True, True, True, False, True, False]
    assert not got.n_near.any()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_rows_are_spread_without_gap_or_overlap(workers: int) -> None:
    seen = np.zeros(1_000, int)

    def work(lo: int, hi: int) -> None:
        seen[lo:hi] += 1

    spread(len(seen), workers, work, least=10)
    assert (seen == 1).all()
    spread(0, workers, work)


def test_a_worker_that_fails_is_heard() -> None:
    def work(lo: int, hi: int) -> None:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        spread(100, 2, work, least=10)
