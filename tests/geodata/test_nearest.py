"""Gaps thinner than the grid can draw a bisector through: still every piece goes to the nearest squad, and is proven."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely

from geodata import nearest
from geodata.compile import Ground
from geodata.gaps import Walls
from geodata.nearest import GapNotSplit
from routing.ground import certificate
from routing.ground.verify import assemble, verify
from routing.jurisdiction import JurisdictionMap
from tests.city import compiled, not_served, territory

CODES = ("desk", "gas", "ne", "nw", "rail", "se", "sw")


def findings(on: JurisdictionMap) -> list[str]:
    entries = certificate.entries_of(on)
    entries["seal"] = np.frombuffer(certificate.seal_of(entries), np.uint8)
    return [f.text("en") for f in verify(assemble(entries))]


def polygon(*corners: tuple[float, float]) -> Any:
    """Corners in millimetres."""
    return shapely.Polygon(np.array(corners) / 1000.0)


def test_a_piece_that_touches_its_bisector_in_one_point_is_measured() -> None:
    """An extent 50 mm long and under 2 mm wide, pinched by the bisector: no rim tells whose the upper piece is."""
    grounds = [
        territory("ne", polygon((10, 0), (10, 10), (0, 10), (0, 0))),
        territory("nw", polygon((40, 0), (40, 10), (30, 10), (30, 0))),
    ]
    assert findings(compiled(grounds, polygon((0, 0), (30, 40), (31, 40), (0, 2)))) == []


def slivers(rng: np.random.Generator) -> tuple[list[Ground], Any]:
    """Up to eight grounds of a few millimetres, and an extent of thin pieces around them."""
    size = int(rng.choice([6, 12, 30, 100]))
    grounds = []
    for code in CODES[: int(rng.integers(2, 8))]:
        wide, corner = int(rng.choice([2, 3, 5, size])), rng.integers(0, size, 2)
        grounds.append(territory(code, polygon(*(corner + rng.integers(0, wide + 1, (int(rng.integers(3, 5)), 2))))))
    long = size * int(rng.choice([1, 1, 3]))
    pieces = [
        polygon(*rng.integers(-long // 4, long, (int(rng.integers(3, 6)), 2))) for _ in range(int(rng.integers(1, 4)))
    ]
    return grounds, shapely.MultiPolygon(pieces)


def test_gaps_of_a_few_millimetres_are_proven() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        grounds, extent = slivers(rng)
        assert findings(compiled(grounds, extent)) == [], (grounds, extent)


def test_ground_that_a_line_snaps_away_is_nobodys_nearest() -> None:
    """A sliver 40 m long tapers to nothing; where a railway's line crosses it, the first 7 m vanish on the grid."""
    grounds = [
        territory("ne", polygon((0, 0), (4, 0), (0, 10000))),
        territory("nw", polygon((20001, 40000), (60000, 40000), (60000, 40002))),
        not_served("railway", polygon((26667, 30000), (26667, 50000), (28000, 50000), (28000, 30000))),
    ]
    assert findings(compiled(grounds, shapely.box(0, 0, 90, 90))) == []


def test_where_no_owner_fits_no_map_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the bisectors wrong, the pieces would be measured, and refused with a place."""
    none = np.empty(0, np.int64)
    monkeypatch.setattr(nearest, "bisectors", lambda *_: Walls(none.reshape(0, 4), none, none, none))
    grounds = [territory("ne", shapely.box(0, 0, 10, 10)), territory("nw", shapely.box(90, 0, 100, 10))]
    with pytest.raises(GapNotSplit, match="squad's") as refused:
        compiled(grounds, shapely.box(0, 0, 100, 10))
    assert 10 <= refused.value.facts["at"][0] <= 90
