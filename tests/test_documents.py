"""What the runbook, the security page and the units name is there: tests, figures, settings, commands, files."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from api.cli import app
from api.settings import NO_SETTINGS, SETTINGS

DOCUMENTS = ("api/docs/runbook.md", ".github/SECURITY.md", "scripts/backup", "scripts/Containerfile")
UNITS = ("jieguan.service", "jieguan-sweep.service", "jieguan-sweep.timer", "jieguan-backup.service", "jieguan-backup.timer")
FAULTS = (
    "killed", "power",
    "database is away", "says nothing", "holds a lock", "disk", "too many", "stop", "clock", "record was altered", "master key",
    "old backup", "wrong map", "returns", "queue", "upgrade", "machine is gone", "became known",
)  # fmt: skip


def text(repo: Path, name: str) -> str:
    return (repo / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_named_is_there(repo: Path, name: str) -> None:
    said = text(repo, name)
    lacking = [path for path in re.findall(r"`((?:tests|api|geodata|scripts)/[\w./-]+\w)`", said) if not (repo / path).exists()]
    sources = "".join(p.read_text(encoding="utf-8") for p in sorted((repo / "api").rglob("*.py")))
    figures = {f"jieguan_{name}_rate" for name in ("default", "edge", "doubtful", "return")}
    lacking += [f for f in re.findall(r"`(jieguan_[a-z_]+)\b", said) if f not in sources and f not in figures]
    settings = {s.env for s in SETTINGS} | NO_SETTINGS
    lacking += [s for s in re.findall(r"\bJIEGUAN_[A-Z_]+", said) if s not in settings]
    lacking += [" ".join(words) for words in re.findall(r"\bjieguan ([a-z]+)(?: ([a-z-]+))?", said) if not exists(*filter(None, words))]
    assert lacking == []


def exists(first: str, second: str = "") -> bool:
    """Is it a command, or no more than the name of the program in a sentence?"""
    commands: Any = typer.main.get_command(app)
    group = commands.commands.get(first)
    if group is None:
        return False
    return not hasattr(group, "commands") or second in group.commands


def test_each_fault_has_a_line_with_what_is_seen_and_what_to_do(repo: Path) -> None:
    rows = [line.strip("| ").split(" | ") for line in text(repo, "api/docs/runbook.md").splitlines() if line.startswith("| ")][1:]
    for fault in FAULTS:
        (row,) = [r for r in rows if fault in r[0]]
        assert len(row) in (4, 5), fault
        assert all(len(cell) > 3 for cell in row[:3]), fault
        assert re.search(r"[\u4e00-\u9fff]", row[0]), fault
    assert len(rows) == len(FAULTS)


@pytest.mark.parametrize("name", UNITS)
def test_units_can_be_read_and_start_what_there_is(repo: Path, name: str) -> None:
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(repo / "scripts" / "systemd" / name, encoding="utf-8")
    assert unit["Unit"]["Description"]
    if name.endswith(".timer"):
        assert unit["Timer"]["Persistent"] == "yes"
        assert (repo / "scripts" / "systemd" / name.replace(".timer", ".service")).exists()
        return
    started = [line.partition("=")[2] for line in text(repo, f"scripts/systemd/{name}").splitlines() if line.startswith("ExecStart=")]
    for words in (line.removeprefix("/opt/jieguan/").split() for line in started):
        assert (words[0].startswith("scripts/") and (repo / words[0]).exists()) or exists(*words[1:3])
    for path in re.findall(r"JIEGUAN_[A-Z_]+", text(repo, f"scripts/systemd/{name}")):
        assert path in {s.env for s in SETTINGS} | NO_SETTINGS
    assert unit["Service"]["NoNewPrivileges"] == "yes"
