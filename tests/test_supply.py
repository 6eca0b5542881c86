"""What the program is made of: a list of it, and no version with a hole that is known to us.

A scan for vulnerabilities that cannot reach its database finds nothing and says so in the same words as one that found nothing. So the
floors are written down here, each with its reason, and are held against the lock and against what is installed.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pyogrio
import pytest
from packaging.version import Version

FLOORS = {
    "cryptography": ("46.0.0", "the OpenSSL it brings"),
    "h11": ("0.16.0", "CVE-2025-43859: chunked bodies read two ways"),
    "jinja2": ("3.1.6", "CVE-2025-27516: out of the sandbox"),
    "pillow": ("11.3.0", "CVE-2025-48379: a write past a buffer"),
    "pyarrow": ("14.0.1", "CVE-2023-47248: code run from a file"),
    "python-multipart": ("0.0.27", "CVE-2026-42561: headers of parts without end"),
    "requests": ("2.32.4", "CVE-2024-47081: passwords to other hosts"),
    "setuptools": ("78.1.1", "CVE-2025-47273: files written elsewhere"),
    "starlette": ("1.3.1", "CVE-2026-54283: limits of forms; CVE-2025-62727: Range in square time"),
    "urllib3": ("2.5.0", "CVE-2025-50181: redirects that were switched off"),
}
GDAL_FLOOR = (3, 11)
"""CVE-2026-4738. That of the wheel, which is the one that reads; Debian's programs are used by tests alone."""


def locked(repo: Path) -> dict[str, list[str]]:
    """Package -> versions, of which a lock may have one for each machine."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==([^\s;]+)", (repo / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(name, []).append(version)
    return found


@pytest.mark.parametrize("name", FLOORS)
def test_no_package_below_its_floor(repo: Path, name: str) -> None:
    floor, why = FLOORS[name]
    versions = locked(repo).get(name, [])
    assert [v for v in versions if Version(v) < Version(floor)] == [], why
    try:
        installed = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        assert not versions, f"{name} is locked and not installed"
    else:
        assert Version(installed) >= Version(floor), why


def test_the_reader_of_maps_is_above_its_floor() -> None:
    assert pyogrio.__gdal_version__ >= GDAL_FLOOR


def test_the_list_of_parts_has_every_package_of_the_lock_with_its_hashes(repo: Path) -> None:
    made = [subprocess.run([sys.executable, repo / "scripts" / "sbom"], capture_output=True, text=True, check=True).stdout for _ in "ab"]
    assert made[0] == made[1]
    bom = json.loads(made[0])
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    assert uuid.UUID(bom["serialNumber"].removeprefix("urn:uuid:"))
    listed = {(part["name"], part["version"]) for part in bom["components"]}
    assert listed == {(name, version) for name, versions in locked(repo).items() for version in versions}
    references = [part["bom-ref"] for part in bom["components"]]
    assert len(set(references)) == len(references)
    assert set(bom["dependencies"][0]["dependsOn"]) == set(references)
    for part in bom["components"]:
        assert part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}"
        assert part["externalReferences"], part["name"]
        assert all(re.fullmatch("[0-9a-f]{64}", f["hashes"][0]["content"]) for f in part["externalReferences"])
