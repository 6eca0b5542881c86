"""The checks kept up from edit to edit say what a run from scratch says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely.affinity

from geodata.arcs import ArcIndex, Coverage
from geodata.coverages import coverage_of
from geodata.draft_checks import checks_of, rechecked
from geodata.edits import drafted
from geodata.topology import check
from geodata.topology_facts import layer_facts
from geodata.topology_issue import Issue
from tests.geodata.test_edits import apply_many, jagged, township


def told(issues: tuple[Issue, ...]) -> list[Any]:
    """What must agree: places to a millimetre, sizes to four figures (GEOS buffers depend on where a ring starts)."""

    def figures(value: float | None) -> float | None:
        return None if value is None else float(f"{value:.4g}")

    return sorted(
        str((i.code, i.severity, i.features, i.place and tuple(round(v, 3) for v in i.place), figures(i.area_m2),
             figures(i.width_m), sorted(i.facts.items())))
        for i in issues
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_after_each_edit_the_findings_are_those_of_a_run_from_scratch(seed: int) -> None:
    rng, grounds = np.random.default_rng(seed), jagged(3, 5, seed)
    for code in grounds:
        if seed % 3 == 1 and rng.random() < 0.4:  # units moved by metres overlap and leave gaps
            grounds[code] = shapely.affinity.translate(grounds[code], *rng.uniform(-5, 5, 2))
        if seed % 3 == 2 and rng.random() < 0.4:  # vertices that the neighbours lack, up to a millimetre off their lines
            grounds[code] = shapely.segmentize(grounds[code], 70.0)
    _, states = apply_many(drafted([township(c, g) for c, g in grounds.items()]), 60, seed)
    index = ArcIndex(states[0].coverages["township"])
    checks = checks_of(states[0].coverages["township"], index)
    for state in states:
        coverage = state.coverages["township"]
        index.move(coverage)
        checks = rechecked(checks, coverage, index)
        codes = coverage.codes()
        assert told(checks.issues) == told(check(layer_facts(codes, [coverage.ground(c) for c in codes])))


STRIP = {
    "a": shapely.box(0, 0, 10, 10),
    "b": shapely.box(10.3, 0, 20, 10),
    "south": shapely.box(0, -5, 20, 0),
    "above a": shapely.box(0, 10, 10, 12),
    "above b": shapely.box(10.3, 10, 20, 12),
}
PLUG = {"plug": shapely.box(10, 10, 10.3, 12)}
"""Closes the strip between a and b, whose own borders are the same with it and without."""



def beside(west: float) -> Any:
    """With a vertex in the middle of its southern and northern rims, so that the eastern half stays when `west` moves."""
    return shapely.Polygon([(west, 0), (5, 0), (10, 0), (10, 12), (10, 20), (5, 20), (west, 20)])


BESIDE = {"a": beside(0), "b": shapely.box(10.3, 0, 20, 20), "x": shapely.box(10, 0, 10.3, 12)}
"""a and b face each other above x, which lies between them below."""

HALVES = shapely.box(0, 0, 10, 10), shapely.box(10.01, 0, 20, 12)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (STRIP | PLUG, STRIP),
        ({"f": shapely.union_all(HALVES)}, dict(zip("fh", HALVES, strict=True))),
        (BESIDE, BESIDE | {"a": beside(1), "c": shapely.box(0, 0, 1, 20)}),
    ],
    ids=["a gap is open to the outside", "of one unit two, along the lines there were", "a unit that is not looked at lies between"],
)
def test_what_others_did_makes_a_finding_of_lines_that_stayed(one: dict[str, Any], other: dict[str, Any]) -> None:
    for before, after in ((one, other), (other, one)):
        was, now = coverage_of(before), coverage_of(after)
        now = Coverage({id_: was.arcs.get(id_, arc) for id_, arc in now.arcs.items()})  # ids tell what an arc says
        index = ArcIndex(was)
        old = checks_of(was, index)
        index.move(now)
        anew = check(layer_facts(now.codes(), [now.ground(c) for c in now.codes()]))
        assert told(rechecked(old, now, index).issues) == told(anew)
        assert any(i.code == "unmatched_edge" for i in (*old.issues, *anew))
