"""What a squad leader can read and object to: places on small maps, and who must come.

A row of tests/golden/MAP.yaml gives a place in metres, perhaps a category, time, error, case or finder, and the whole answer.
Where it is silent: nobody assists, nothing is in doubt, the margin is the cap of 100 m and so there is no runner-up.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from routing.ground.certificate import opened, sealed
from routing.jurisdiction import JurisdictionMap, micros
from routing.model import Category, Decision, Location, SquadCode, Step
from routing.route import Complaints, Router, groups, route
from tests.city import MAPS

GOLDEN = Path(__file__).parents[1] / "golden"
DEFAULTS = {"assist": [], "doubtful": False, "margin": 100.0, "runner_up": None, "township": "any"}
ASKED = {"name", "place", "category", "time", "error", "case", "found_by", "zone", "tolerance"}
ANY = "any"

Row = dict[str, Any]


def rows(name: str) -> list[Row]:
    return list(yaml.safe_load((GOLDEN / f"{name}.yaml").read_text(encoding="utf-8")))


ROWS = [(name, row) for name in MAPS for row in rows(name)]


def asked(row: Row) -> tuple[Location, Category | None, datetime | None]:
    time = datetime.fromisoformat(row["time"]) if "time" in row else None
    category = Category(row["category"]) if "category" in row else None
    return Location(*map(float, row["place"]), float(row.get("error", 0.0))), category, time


def answer(on: JurisdictionMap, row: Row) -> Decision:
    found_by = SquadCode(row["found_by"]) if "found_by" in row else None
    return Router(on, zone_m=row.get("zone"))(*asked(row), found_by=found_by, case=row.get("case"))


def complaints(on: JurisdictionMap, those: list[Row]) -> Complaints:
    """Rows as arrays."""
    places = [asked(row) for row in those]
    timed = all("time" in row for row in those)
    return Complaints(
        np.array([p.x for p, _, _ in places]),
        np.array([p.y for p, _, _ in places]),
        np.array([p.error_m for p, _, _ in places]),
        np.array([micros(at) for _, _, at in places if at is not None], np.int64) if timed else None,
        groups(on, [c for _, c, _ in places]),
        np.array([on.squad_number.get(row.get("found_by"), -1) for row in those], np.int32),
        np.array([row.get("case") for row in those], object),
    )


def check(row: Row, got: Decision) -> None:
    want = {**DEFAULTS, **row}
    told = {
        "squad": got.squad,
        "assist": list(got.assist),
        "step": got.step.value,
        "doubtful": got.doubtful,
        "margin": got.margin_m,
        "runner_up": got.runner_up,
        "township": got.township,
    }
    for name, value in told.items():
        if want[name] == ANY:
            continue
        if name == "margin":
            assert value == pytest.approx(want["margin"], abs=row.get("tolerance", 5e-4), nan_ok=True), name
        else:
            assert value == want[name], name
    assert got.reasons[-1].step is got.step
    assert [r.step for r in got.reasons] == list(Step)[: len(got.reasons)], "the steps are tried in order"


def test_rows_say_nothing_that_is_not_understood() -> None:
    known = ASKED | set(DEFAULTS) | {"squad", "step"}
    assert not [(name, row["name"], set(row) - known) for name, row in ROWS if set(row) - known]
    assert len({(name, row["name"]) for name, row in ROWS}) == len(ROWS) >= 60
    assert {row["step"] for _, row in ROWS} == {step.value for step in Step}, "every step has its row"
    tests = "".join(path.read_text(encoding="utf-8") for path in GOLDEN.parent.rglob("test_*.py"))
    others = {path.stem for path in GOLDEN.glob("*.yaml")} - set(MAPS)
    assert not [name for name in others if f'"{name}.yaml"' not in tests], "rows that no test reads"


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[f"{name}: {row['name']}" for name, row in ROWS])
def test_golden_row(name: str, row: Row) -> None:
    check(row, answer(MAPS[name](), row))


@pytest.mark.parametrize("name", MAPS)
def test_golden_rows_as_arrays(name: str) -> None:
    """One worker, two workers, all rows at once and in another order: what the router says one by one."""
    on = MAPS[name]()
    for zone in {row.get("zone") for row in rows(name)}:
        those = [row for row in rows(name) if row.get("zone") == zone]
        quick = [row for row in those if not row.get("error")]  # shares of error discs are measured one by one
        many = complaints(on, those + quick * (70_000 // len(quick)))  # below 65,536 rows no second thread is started
        one, two = (route(on, many, zone_m=zone, workers=workers) for workers in (1, 2))
        for column in ("squad", "assist_at", "assist", "step", "doubtful", "margin_m", "runner_up", "township", "verdict"):
            assert getattr(one, column).tobytes() == getattr(two, column).tobytes(), column
        for i, row in enumerate(those):
            check(row, one.decision(i))
            assert repr(one.decision(i)) == repr(answer(on, row)), row["name"]
        last = [repr(one.decision(len(one) - len(quick) + i)) for i in range(len(quick))]
        assert last == [repr(answer(on, row)) for row in quick]


@pytest.mark.parametrize("name", MAPS)
def test_golden_rows_on_the_map_read_back(name: str) -> None:
    on = MAPS[name]()
    named, data = sealed(on)
    with np.load(io.BytesIO(data)) as entries:
        again = opened(dict(entries))
    assert again.version == named.version
    assert sealed(again)[1] == data
    for row in rows(name):
        check(row, answer(again, row))


def fingerprint() -> dict[str, str]:
    """Of each map's file and of every golden answer."""
    out = {}
    for name, build in MAPS.items():
        data = sealed(build())[1]
        told = "\n".join(repr(answer(build(), row)) for row in rows(name))
        out[name] = hashlib.sha256(data + told.encode()).hexdigest()
    return out


def test_golden_answers_and_bytes_do_not_depend_on_the_hash_seed(repo: Path) -> None:
    code = "import json, tests.routing.test_golden as t; print(json.dumps(t.fingerprint()))"
    told = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(repo)}
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=repo, env=environment, capture_output=True, text=True, check=True
        )
        told.append(json.loads(run.stdout))
    assert told[0] == told[1] == fingerprint()
