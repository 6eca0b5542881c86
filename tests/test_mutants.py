"""Do the tests see what is wrong? Each planted fault of tests/mutants.py must make some quick test fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutants import MUTANTS, Mutant

RULES = ["tests/routing/test_golden.py", "tests/routing/test_ladder.py", "tests/routing/test_situation.py", "tests/routing/test_route.py"]
KERNELS = ["tests/routing/test_locate.py", "tests/routing/test_golden.py", "tests/routing/test_cells.py"]
WITHOUT_COMPILER = "not agreements and not random and not seed and not as_arrays and not small"
"""Kernels run as plain Python, some thousand times slower: only what is small."""


ALIVE = {
    "the corner's tie the other way": "a corner exactly on a line and level with a vertex: no test has one that matters",
    "the nearest corner bounds the list": "the bound has so much room that a tighter one was never seen to drop an edge",
}
"""Faults that no test sees, and what is known of them."""


def run(copy: Path, tests: list[str], *, compiled: bool) -> subprocess.CompletedProcess[str]:
    """The quick tests on a copy, up to the first failure."""
    chosen = "not as_arrays and not seed and not read_back" if compiled else WITHOUT_COMPILER
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "0" if compiled else "1", "PYTHONPATH": str(copy)}
    options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-n", "0", "-W", "ignore", "-k", chosen]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=900)


@pytest.fixture(scope="session")
def copy(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages and their tests in one place, so that compiled kernels are shared by all mutants of the rules."""
    place = tmp_path_factory.mktemp("mutants")
    for name in ("routing", "geodata", "api", "tests"):
        shutil.copytree(repo / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(repo / "pyproject.toml", place)
    return place


@pytest.fixture
def planted(copy: Path, request: pytest.FixtureRequest) -> Iterator[Mutant]:
    mutant: Mutant = request.param
    path = copy / mutant.file
    sound = path.read_text(encoding="utf-8")
    assert sound.count(mutant.old) == 1, "the fault no longer fits the file: plant it anew"
    path.write_text(sound.replace(mutant.old, mutant.new), encoding="utf-8")
    yield mutant
    path.write_text(sound, encoding="utf-8")


def test_every_planted_fault_fits_its_file(repo: Path) -> None:
    for mutant in MUTANTS:
        assert (repo / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1, mutant.name
    assert len({m.name for m in MUTANTS}) == len(MUTANTS) >= 24


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [True, False])
def test_the_copy_itself_is_sound(copy: Path, compiled: bool) -> None:
    done = run(copy, RULES if compiled else KERNELS, compiled=compiled)
    assert done.returncode == 0, done.stdout


HALF = [pytest.param(m, id=m.name, marks=() if n % 2 == 0 else pytest.mark.full) for n, m in enumerate(MUTANTS)]
"""Every second fault each time, all of them in the longest part: each is a run of its own."""


@pytest.mark.slow
@pytest.mark.parametrize("planted", HALF, indirect=True)
def test_a_planted_fault_is_seen(copy: Path, planted: Mutant) -> None:
    done = run(copy, KERNELS if planted.in_kernel else RULES, compiled=not planted.in_kernel)
    assert done.returncode in (0, 1), done.stdout
    if planted.name in ALIVE and done.returncode == 0:
        pytest.xfail(ALIVE[planted.name])
    assert done.returncode == 1, "no test sees this fault: write the one that does"
