"""`jieguan db` on the embedded database: each command, both languages, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from api.cli import main


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit status, what was printed, and what went to the error stream."""
    try:
        main(["db", *words])
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


def test_a_database_is_made_copied_backed_up_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, three = (str(tmp_path / name) for name in ("one.db", "two.db", "three.db"))
    assert run(capsys, "init", one, "--work-crs", "EPSG:4547")[0] == 0
    status, out, _ = run(capsys, "copy", one, two, "--json")
    copied = json.loads(out)
    assert (status, copied["tables"][0]["table"], copied["tables"][0]["rows"]) == (0, "installation", 1)
    assert run(capsys, "backup", one, three)[0] == 0
    for path in (one, two, three):
        status, out, _ = run(capsys, "check", path, "--json")
        assert (status, json.loads(out)) == (0, {"sound": True, "findings": []})
    assert "cases: cases" in run(capsys, "upgrade", one, "--lang", "en")[1]


@pytest.mark.parametrize(
    ("words", "zh", "en"),
    [
        (("check", "none.db"), "没有数据库文件", "there is no database"),
        (("init", "city.txt", "--work-crs", "EPSG:4547"), "不是可用的数据库", "is no database"),
        (("init", "city.db", "--work-crs", "EPSG:1"), "EPSG:1", "EPSG:1"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], zh: str, en: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for lang, said in (("zh", zh), ("en", en)):
        status, _, err = run(capsys, *words, "--lang", lang)
        assert status == 2
        assert said.lower() in err.replace("\n", "").lower() or said.lower() in err.replace("\n", " ").lower()
    assert list(tmp_path.glob("*")) == []
