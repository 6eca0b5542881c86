"""The checks kept up from edit to edit say what a run from scratch says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely.affinity

from geodata.arcs import ArcIndex
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


@pytest.mark.parametrize("seed", range(6))
def test_after_each_edit_the_findings_are_those_of_a_run_from_scratch(seed: int) -> None:
    rng, grounds = np.random.default_rng(seed), jagged(3, 5, seed)
    if seed % 2:  # every second layer is a dirty one: units moved by metres overlap and leave gaps
        for code in grounds:
            if rng.random() < 0.4:
                grounds[code] = shapely.affinity.translate(grounds[code], *rng.uniform(-5, 5, 2))
    _, states = apply_many(drafted([township(c, g) for c, g in grounds.items()]), 25, seed)
    index = ArcIndex(states[0].coverages["township"])
    checks = checks_of(states[0].coverages["township"], index)
    for state in states:
        coverage = state.coverages["township"]
        index.move(coverage)
        checks = rechecked(checks, coverage, index)
        codes = coverage.codes()
        assert told(checks.issues) == told(check(layer_facts(codes, [coverage.ground(c) for c in codes])))
