"""One moved border on a long history: only the changed ground routed again, beside the whole history, in one run, in turn.

The history is New York's tax lots and shootings, repeated with a scatter of 5 m until it has the wanted number of rows (times
and categories drawn). 600 m of the line between two precincts are moved by 60 m for both. Two measures of a full run: on a map
just compiled, whose index is made by the first question (what a planner who tries a line meets), and on one whose index is
there already. `compare` is `again` and all that is counted from it. Results are compared in every column and bit.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from geodata.build import Gathered, MapFiles, gather
from geodata.compile import Ground, compile_map
from geodata.crs import parse_crs, system, to_work
from geodata.files import read_table
from routing.again import History, Known, again, known, spliced
from routing.compare import baseline, compare
from routing.jurisdiction import JurisdictionMap
from routing.model import SquadCode
from routing.route import Routed, route

HERE = Path(__file__).resolve().parent.parent
NYC = Path(os.environ.get("JIEGUAN_TEST_DATA", HERE.parent / "shared" / "data")) / "nyc"
COLUMNS = ("squad", "assist_at", "assist", "step", "doubtful", "margin_m", "runner_up", "township")
SCATTER_M = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--between", nargs=2, default=["75", "73"], help="the precincts whose line moves")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    files = [NYC / name for name in ("polygons_core.gpkg", "points_lots.parquet", "points_shootings.parquet")]
    if missing := [str(path) for path in files if not path.exists()]:
        print(f"bench whatif: no data at {', '.join(missing)}; name its folder by JIEGUAN_TEST_DATA")
        return
    gathered = gather(MapFiles(territories=f"{files[0]}::police_precinct"))
    before, _ = _timed("compile, map in force", lambda: _compiled(gathered, gathered.grounds))
    edited = _edited(gathered.grounds, *given.between)
    after, _ = _timed("compile, map to try", lambda: _compiled(gathered, edited))
    x, y = _places(files[1:], gathered)
    print(f"{len(x):,} lots and shootings, {len(gathered.grounds)} precincts, {len(before.plates[0].faces.edge):,} edges, "
          f"{given.workers} threads")  # fmt: skip
    for n in given.cases:
        _bench(before, after, _history(x, y, n), gathered, given.rounds, given.workers)


def _bench(
    before: JurisdictionMap, after: JurisdictionMap, history: History, gathered: Gathered, rounds: int, workers: int
) -> None:
    print(f"\n{len(history):,} cases")
    offices = {
        SquadCode(g.claim.squad): tuple(shapely.get_coordinates(shapely.point_on_surface(g.geometry))[0].tolist())
        for g in gathered.grounds
    }
    warm, _ = _timed("  warm start: decided and filed", lambda: known(before, history, workers=workers))
    base, _ = _timed("  warm start: loads of squads", lambda: baseline(warm, offices))
    fresh, made = _new(after), _new(after)
    full, cold = _timed("  whole history, map just compiled (index and all)", lambda: _full(fresh, history, workers))
    _full(made, history, workers)
    again(warm, after)
    took: dict[str, list[float]] = {"again": [], "compare": [], "full": []}
    for _ in range(rounds):
        runs: list[tuple[str, Callable[[], Any]]] = [
            ("again", lambda: again(warm, _new(after))),
            ("compare", lambda: compare(base, _new(after))),
            ("full", lambda: _full(made, history, workers)),
        ]
        for name, run in runs:
            start = time.perf_counter()
            run()
            took[name].append(time.perf_counter() - start)
    median = {name: float(np.median(times)) for name, times in took.items()}
    found = compare(base, _new(after))
    print(f"  routed again {found.routed:,} rows ({found.scope}); {len(found.moved):,} change squad, {found.flows()}")
    print(f"  what changed, routed again   {median['again']:8.3f} s   {cold / median['again']:6.1f} x faster than the whole on a map "
          f"just compiled, {median['full'] / median['again']:.1f} x on one with its index ({median['full']:.3f} s)")  # fmt: skip
    print(f"  and compared: the answer     {median['compare']:8.3f} s")
    _assert_equal(warm, after, full)
    print(f"  equal to the full run in every column; peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GB")


def _new(on: JurisdictionMap) -> JurisdictionMap:
    """The map as the compiler leaves it: no index, no verdicts."""
    return replace(on, plates=tuple(replace(p, _cells={}) for p in on.plates))


def _full(on: JurisdictionMap, history: History, workers: int) -> Routed:
    return route(on, history.complaints(on), workers=workers)


def _assert_equal(warm: Known, after: JurisdictionMap, full: Routed) -> None:
    got = spliced(warm, again(warm, _new(after)))
    for name in COLUMNS:
        assert getattr(got, name).tobytes() == getattr(full, name).tobytes(), name
    number = np.array([full.on.ledger.keep(v) for v in got.on.ledger.verdicts], np.int32)
    assert (number[got.verdict] == full.verdict).all()


def _compiled(gathered: Gathered, grounds: Any) -> JurisdictionMap:
    return compile_map(grounds, gathered.roster, gathered.settings, gathered.extent)


def _edited(grounds: tuple[Ground, ...], one: str, two: str) -> list[Ground]:
    """600 m of the line between two grounds moved 60 m into the second, for both."""
    at = {g.claim.squad: i for i, g in enumerate(grounds)}  # type: ignore[attr-defined]
    i, j = at[one], at[two]
    sides = [shapely.boundary(shapely.set_precision(grounds[k].geometry, 0.001)) for k in (i, j)]
    line = max(shapely.get_parts(shapely.line_merge(shapely.intersection(*sides))), key=shapely.length)
    middle = shapely.length(line) / 2
    stretch = shapely.ops.substring(line, middle - 300, middle + 300)
    piece = shapely.intersection(shapely.buffer(stretch, 60, cap_style="flat"), grounds[j].geometry)
    out = list(grounds)
    out[i] = replace(grounds[i], geometry=shapely.union(grounds[i].geometry, piece))
    out[j] = replace(grounds[j], geometry=shapely.difference(grounds[j].geometry, piece))
    return out


def _places(files: list[Path], gathered: Gathered) -> tuple[Any, Any]:
    work = parse_crs(gathered.settings.work_crs)
    found = []
    for path in files:
        columns = read_table(path).columns
        lon, lat = (np.asarray(columns.column(c), float) for c in ("lon", "lat"))
        found.append(to_work(lon, lat, system(None, "wgs84"), work))
    return tuple(np.concatenate(c) for c in zip(*found, strict=True))  # type: ignore[return-value]


def _history(x: Any, y: Any, n: int) -> History:
    rng = np.random.default_rng(0)
    row = np.arange(n) % len(x)
    off = np.where(np.arange(n) < len(x), 0.0, SCATTER_M)
    at = rng.integers(1_136_000_000, 1_700_000_000, n) * 1_000_000
    category = rng.integers(0, 5, n).astype(np.int32)
    names = tuple(f"c{k}" for k in range(5))
    return History(x[row] + off * rng.normal(0, 1, n), y[row] + off * rng.normal(0, 1, n), np.zeros(1), at, category, names)


def _timed(what: str, run: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    value = run()
    took = time.perf_counter() - start
    print(f"{what:50s} {took:8.3f} s")
    return value, took


if __name__ == "__main__":
    main()
