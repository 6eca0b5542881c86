"""The shape of the repository: what may lie where, what no file may name, and errors that speak both languages."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import re
import string
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from routing.errors import JieguanError

PACKAGES = ("routing", "geodata", "api")
TOP_LEVEL = {*PACKAGES, "scripts", "tests", "pyproject.toml", "README.md", "requirements.lock", "LICENSE"}
MACHINE_PATH = re.compile(r"(?<![\w./~*])/(?:work|root|farm|home|Users)/\w")
REGISTRY_HOST = re.compile(
    r"\b(?:pypi|files|registry|deb|repo|mirrors?)(?:\.[\w-]+)*\.(?:org|com|net|io|cn)\b", re.IGNORECASE
)
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def project_files(repo: Path) -> list[Path]:
    """Every file that is or would be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repo,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout: what belongs to the project is not known")
    return [repo / name for name in os.fsdecode(listed.stdout).split("\0") if name and (repo / name).is_file()]


def settings(repo: Path) -> dict[str, Any]:
    """What pyproject.toml says."""
    return tomllib.loads((repo / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_top_level_holds_the_agreed_names_and_no_others(repo: Path) -> None:
    names = {path.relative_to(repo).parts[0] for path in project_files(repo)}
    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


def test_no_file_names_a_path_of_one_machine_or_a_package_host(repo: Path) -> None:
    found = []
    for path in project_files(repo):
        text = path.read_bytes().decode("utf-8", errors="ignore")
        found += [
            f"{path.relative_to(repo)}: {hit.group()}"
            for pattern in (MACHINE_PATH, REGISTRY_HOST)
            for hit in pattern.finditer(text)
        ]
    assert not found


@pytest.mark.parametrize(
    "text",
    ["see /" + "work/shared", "'/" + "root/x'", "https://" + "pypi" + ".org/simple", "files.python" + "hosted.org"],
)
def test_the_search_for_places_finds_them(text: str) -> None:
    assert MACHINE_PATH.search(text) or REGISTRY_HOST.search(text)


def test_programs_can_be_started(repo: Path) -> None:
    programs = [
        path
        for path in project_files(repo)
        if path.parent.name in {"scripts", ".ci"} and path.read_bytes()[:2] == b"#!"
    ]
    assert {repo / "scripts" / "run", repo / "scripts" / "test", repo / ".ci" / "run"} <= set(programs)
    assert [path.name for path in programs if not os.access(path, os.X_OK)] == []


def test_every_locked_package_is_pinned_and_hashed(repo: Path) -> None:
    lock = (repo / "requirements.lock").read_text(encoding="utf-8")
    entries = lock.replace("\\\n", " ").splitlines()
    assert len(entries) > 50
    assert [entry for entry in entries if not re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", entry)] == []
    assert "://" not in lock


def test_every_dependency_is_locked(repo: Path) -> None:
    project = settings(repo)["project"]
    wanted = project["dependencies"] + [name for extra in project["optional-dependencies"].values() for name in extra]
    locked = {
        line.split("==")[0]
        for line in (repo / "requirements.lock").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    assert {re.split(r"[\[<>=!~ ]", name)[0] for name in wanted} - locked == set()


def test_the_verifier_knows_nothing_of_routing_but_its_errors(repo: Path) -> None:
    """As the import contract, but for every file of the verifier, present and future, and for relative imports."""
    sources = sorted((repo / "routing" / "ground").glob("verify*.py"))
    (contract,) = (c for c in settings(repo)["tool"]["importlinter"]["contracts"] if c["id"] == "independent-proof")
    assert contract["source_modules"] == [f"routing.ground.{source.stem}" for source in sources]
    for source in sources:
        nodes = list(ast.walk(ast.parse(source.read_text(encoding="utf-8"))))
        origins = [node for node in nodes if isinstance(node, ast.ImportFrom)]
        assert not any(node.level for node in origins), f"{source.name} imports relatively"
        names = {f"{node.module}.{name.name}" for node in origins for name in node.names}
        names |= {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
        ours = {name for name in names if name.split(".")[0] in PACKAGES}
        allowed = re.compile(r"routing\.errors(\.\w+)?|routing\.ground\.verify(_\w+)?(\.\w+)?")
        assert {name for name in ours if not allowed.fullmatch(name)} == set(), source.name


@pytest.mark.parametrize("module", ["geodata.files", "geodata.build", "geodata.proposal"])
def test_who_reads_files_does_not_wait_for_the_database(repo: Path, module: str) -> None:
    """In a process of its own: what one module loads is seen only where nothing else has been imported."""
    code = f"import sys, {module}; print(sorted(n for n in sys.modules if n in ('sqlalchemy', 'alembic', 'geoalchemy2')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=repo, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- errors ---------------------------------------------------------------------------------------------------------


def error_classes() -> list[type[JieguanError]]:
    """Every error of every module of ours."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, f"{package}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    return sorted(_below(JieguanError), key=lambda cls: (cls.__module__, cls.__qualname__))


def _below(cls: type[JieguanError]) -> Iterator[type[JieguanError]]:
    for child in cls.__subclasses__():
        if child.__module__.split(".")[0] in PACKAGES:  # tests may define their own
            yield child
        yield from _below(child)


def placeholders(template: str) -> set[str]:
    """The facts a template needs, by name."""
    names = (name for _, name, _, _ in string.Formatter().parse(template) if name is not None)
    return {re.split(r"[.\[]", name)[0] for name in names}


def test_every_error_speaks_both_languages_about_the_same_facts() -> None:
    classes = error_classes()
    assert classes
    for cls in classes:
        if cls.__subclasses__() and not {"zh", "en"} & vars(cls).keys():
            continue  # a base that says nothing itself
        assert {"zh", "en"} <= vars(cls).keys(), f"{cls.__qualname__} does not state both zh and en"
        assert placeholders(cls.zh) == placeholders(cls.en), cls.__qualname__
        assert CHINESE.search(cls.zh), cls.__qualname__
        assert not CHINESE.search(cls.en), cls.__qualname__
        assert all(name.isidentifier() for name in placeholders(cls.en)), f"{cls.__qualname__}: facts are given by name"


def test_every_error_made_by_us_gets_the_facts_its_templates_name() -> None:
    """`UnknownDatum(value=...)` without a fact its sentence needs would fail while the sentence is being made."""
    error_classes()
    lacking = []
    for module in [
        module for name, module in sys.modules.items() if name.split(".")[0] in PACKAGES and module.__file__
    ]:
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            made = getattr(module, node.func.id, None)
            if isinstance(made, type) and issubclass(made, JieguanError):
                given = {keyword.arg for keyword in node.keywords}
                if None not in given and not placeholders(made.en) <= given:  # None: **facts
                    lacking.append(f"{module.__name__}:{node.lineno}: {made.__name__} {placeholders(made.en) - given}")
    assert not lacking


# ---- what is installed ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_wheel_holds_the_three_packages_with_their_tables_and_nothing_else(repo: Path, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=repo, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = [Path(name) for name in zipfile.ZipFile(wheel).namelist()]
    assert {name.parts[0] for name in names if not name.parts[0].endswith(".dist-info")} == set(PACKAGES)
    ours = [path.relative_to(repo) for path in project_files(repo) if path.relative_to(repo).parts[0] in PACKAGES]
    assert set(ours) <= set(names)
