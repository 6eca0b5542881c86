"""Real layers in a draft: 200 random local edits in a row; the checks, the proof and undo hold on each.

The checks are kept up after every edit and held against a run from scratch after every `AGREE`-th; the map is compiled and proven
after every `PROVE`-th (each takes seconds on such layers), and after the last.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from geodata.build import MapFiles, gather
from geodata.draft_checks import checks_of, rechecked
from geodata.edits import Draft, Indexes, drafted, replayed
from geodata.layer import LayerName, Row, content_hash, rows_of
from geodata.store import version_of
from geodata.topology import check
from geodata.topology_facts import layer_facts
from routing.errors import JieguanError
from routing.jurisdiction import Settings
from tests.geodata.test_draft_checks import told
from tests.geodata.test_edits import jagged, random_edit, township

EDITS, AGREE, PROVE = 200, 100, 200
LAYERS = {
    "nyc precincts": ("nyc/polygons_core.gpkg::police_precinct", None),
    "nyc boards": ("nyc/polygons_core.gpkg::community_district", None),
    "shenzhen streets": ("shenzhen/polygons.gpkg::street_gcj02", "gcj02"),
    "henan": ("zhengzhou/henan_districts.gpkg::henan_datav_gcj02", "gcj02"),
    "township": None,
}


def rows_in(data_dir: Path, name: str) -> tuple[tuple[Row, ...], Settings, str]:
    """The rows of a layer, its settings, and which of its layers is edited."""
    source = LAYERS[name]
    if source is None:  # 64 units whose borders have 700 vertices each: 100,000 vertices
        shapes = jagged(8, 700)
        units = [township(c, shapely.transform(s, lambda xy: xy + np.array([460_000, 3_850_000]))) for c, s in shapes.items()]
        rows = [replace(unit, facts={**unit.facts, "squad": "d"}) for unit in units]
        squad = {"code": "d", "name": "", "kind": "territorial", "duty": True, "township": None, "phone": "", "office": None}
        return (*rows, Row(LayerName.SQUAD, "d", squad)), Settings("EPSG:4547", 15.0), "township"
    path, datum = source
    gathered = gather(MapFiles(territories=f"{data_dir}/{path}", territories_datum=datum))
    return rows_of(gathered), gathered.settings, "territory"


def local(of: Draft, layer: str, rng: np.random.Generator, step: int) -> Any:
    """A random edit of that layer."""
    view = of if layer == "township" else Draft(of.rows, {"township": of.coverages[layer]})
    edit = random_edit(view, rng, step)
    return type(edit)(**{**{k: getattr(edit, k) for k in edit.__slots__ if hasattr(edit, k)}, "layer": layer})


def staffed(rows: tuple[Row, ...]) -> list[Row]:
    """With a squad for every unit that a split has made."""
    there = {r.code for r in rows if r.layer is LayerName.SQUAD}
    wanted = {str(r.facts["squad"]) for r in rows if r.layer is LayerName.TERRITORY} - there
    pattern = next(r for r in rows if r.layer is LayerName.SQUAD)
    return [*rows, *(replace(pattern, code=c, facts={**pattern.facts, "code": c, "duty": False}) for c in sorted(wanted))]


def run(rows: tuple[Row, ...], settings: Settings, layer: str, count: int, agree: int, prove: int) -> str:
    base = drafted(rows)
    at, state, rng = Indexes(base), base, np.random.default_rng(5)
    index = at.of(base, layer)
    checks = checks_of(base.coverages[layer], index)
    times, done, tries, proven, agreed = [], 0, 0, 0, 0
    edits = []
    while done < count and tries < 20 * count:
        tries += 1
        edit = local(state, layer, rng, tries)
        start = time.perf_counter()
        try:
            after = edit.apply(state, at)
        except JieguanError:
            continue
        index = at.of(after, layer)
        checks = rechecked(checks, after.coverages[layer], index)
        times.append(time.perf_counter() - start)
        state, done = after, done + 1
        edits.append(edit)
        coverage = state.coverages[layer]
        if done % agree == 0 or done == count:
            codes = coverage.codes()
            anew = check(layer_facts(codes, [coverage.ground(c) for c in codes]))
            assert told(checks.issues) == told(anew)
            agreed += 1
        if done % prove == 0 or done == count:
            version_of(staffed(state.features()), settings)
            proven += 1
    assert done == count
    assert content_hash(replayed(base, edits).features(), settings) == content_hash(state.features(), settings)
    assert content_hash(replayed(base, []).features(), settings) == content_hash(rows, settings)
    vertices = sum(len(a.path) for a in state.coverages[layer].arcs.values())
    figures = np.array(times) * 1000
    return (
        f"{done} edits of {vertices:,} vertices, {len(coverage.codes())} units: edit and checks median {np.median(figures):.0f} ms, "
        f"90 % within {np.quantile(figures, 0.9):.0f} ms; agreed {agreed} times, proven {proven} times"
    )


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n == "shenzhen streets" else pytest.mark.full) for n in LAYERS]
)
def test_two_hundred_edits_of_a_real_layer(data_dir: Path, name: str) -> None:
    print(f"\n{name}:", run(*rows_in(data_dir, name), EDITS, AGREE, PROVE))


def test_some_edits_of_a_real_layer(data_dir: Path) -> None:
    print(run(*rows_in(data_dir, "shenzhen streets"), 6, 6, 6))
