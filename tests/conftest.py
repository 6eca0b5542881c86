"""What all tests share: the real data, how hard Hypothesis tries, and compiled kernels that are never stale."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPO = Path(__file__).resolve().parent.parent
DAY = 86_400

# A deadline fails a test for the machine's mood, and the first call of a kernel compiles it.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples at every run, so that a red run of a submission is about the submission.
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.register_profile("thorough", settings.get_profile("dev"), max_examples=2_000)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))
    _use_kernels_of_these_sources()
    # Keys of databases on a server lie under the user's state: of a test, under a folder that goes with the run.
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="jieguan-state-")
    atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)


def _use_kernels_of_these_sources() -> None:
    """Numba's cache looks only at the file a kernel stands in: one that calls a changed kernel elsewhere would stay
    as it was. So each state of the files with kernels has a cache of its own; processes started by a test inherit it.
    """
    sources = sorted((REPO / "routing").rglob("*.py")) + sorted((REPO / "geodata").rglob("*.py"))
    kernels = [text for path in sources if b"numba" in (text := path.read_bytes()) or path.parent.name == "ground"]
    state = hashlib.sha256(b"".join(hashlib.sha256(text).digest() for text in kernels)).hexdigest()[:16]
    caches = REPO / ".pytest_cache" / "numba"
    os.environ["NUMBA_CACHE_DIR"] = str(caches / state)
    for old in caches.glob("*"):
        if old.name != state and time.time() - old.stat().st_mtime > DAY:
            shutil.rmtree(old, ignore_errors=True)


@pytest.fixture(scope="session")
def repo() -> Path:
    """The checkout."""
    return REPO


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real data, to be read only: JIEGUAN_TEST_DATA, or shared/data beside the checkout; else the test is skipped."""
    named = os.environ.get("JIEGUAN_TEST_DATA")
    path = Path(named) if named else REPO.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no real data in {path}: name its folder by JIEGUAN_TEST_DATA")
    return path
