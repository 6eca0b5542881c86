"""Programs of the system's own GDAL, as other bureaus have them: of 2023 on Debian, where pyogrio brings one of its own."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def of_the_system(*words: object) -> str:
    """What a program prints; it must not complain. Skips where it is not installed."""
    if shutil.which(str(words[0])) is None:
        pytest.skip(f"no {words[0]} on this machine (scripts/_gdal installs it where it can)")
    free = {k: v for k, v in os.environ.items() if k != "GDAL_SKIP"}  # ours, for the readers: geodata.intake_gdal
    done = subprocess.run([str(word) for word in words], env=free, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
