"""Maps for the tests of the store: the jagged units of the edits' tests, somewhere in Zhengzhou, with their squads."""

from __future__ import annotations

from typing import Any

import shapely.affinity

from geodata.layer import LayerName, Row, on_grid
from routing.ground.certificate import said_of
from routing.jurisdiction import Settings
from routing.model import Squad, SquadCode
from tests.geodata.test_edits import jagged

SETTINGS = Settings("EPSG:4547", 15.0)
X, Y = 460_000, 3_850_000
"""Metres of the work CRS: where u00 begins."""


def placed(shape: Any) -> Any:
    """Metres from the corner of u00 -> metres of the work CRS."""
    return shapely.affinity.translate(shape, X, Y)


def township(code: str, shape: Any) -> Row:
    """A unit with a squad of its own, `s` + code."""
    facts = {"kind": "township", "id": f"township:{code}", "code": code, "squad": f"s{code}"}
    told = {"name": f"{code} 街道", "source": "drawn", "licence": "CC0", "datum": "CGCS2000"}
    return Row(LayerName.TOWNSHIP, code, facts, on_grid(placed(shape)), **told)


def city(n: int = 3, seed: int = 0) -> list[Row]:
    """n x n townships and their squads; that of u00 is on duty."""
    units = jagged(n, 4, seed)
    squads = [Squad(SquadCode(f"s{code}"), duty=code == "u00", name=f"{code}中队") for code in units]
    rows = [township(code, shape) for code, shape in units.items()]
    return rows + [Row(LayerName.SQUAD, s.code, said_of(s), name=s.name) for s in squads]
