"""Every setting: documented with its default, said in three places, and refused by name where it cannot be."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from api import settings, words, words_settings
from api.cli import main
from api.settings import (
    NESTED,
    SETTINGS,
    BadSetting,
    Provider,
    Serving,
    SettingsUnreadable,
    UnknownSetting,
    given,
    kind_of,
    of_environment,
)

CHINESE = re.compile(r"[\u4e00-\u9fff]")


def shown(default: object) -> str:
    """A default as README shows it."""
    if default is None:
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else f'{default:g}' if isinstance(default, float) else default}`"


def test_readme_has_every_setting_with_its_default_and_what_it_is(repo: Path) -> None:
    _, _, chapter = (repo / "README.md").read_text(encoding="utf-8").partition("\n## Settings\n")
    rows = re.findall(r"^\| `(JIEGUAN_\w+)` \| (.*?) \| (.*) \|$", chapter.partition("\n## ")[0], re.MULTILINE)
    assert rows == [(each.env, shown(each.default), each.note.en) for each in SETTINGS]
    assert len(rows) > 30


def test_every_field_can_be_set_and_says_what_it_is_in_both_languages() -> None:
    of_program = {f.name for f in fields(Serving)} - {s.field for s in SETTINGS if s.inside is None} - NESTED.keys()
    assert of_program == set()
    assert len({s.name for s in SETTINGS}) == len(SETTINGS)
    for each in SETTINGS:
        assert CHINESE.search(each.note.zh), each.name
        assert each.note.en, each.name
        assert not CHINESE.search(each.note.en), each.name
        assert kind_of(each) in (str, int, float, bool), each.name
    assert not words_settings.WORDS.keys() & words.WORDS.keys()


def test_no_name_of_the_environment_is_read_but_these(repo: Path) -> None:
    known = {s.env for s in SETTINGS} | settings.NO_SETTINGS | {"JIEGUAN_"}
    found = {
        name
        for folder in ("api", "geodata", "routing")
        for path in (repo / folder).rglob("*.py")
        for name in re.findall(r"\bJIEGUAN_[A-Z0-9_]*", path.read_text(encoding="utf-8"))
    }
    assert found - known <= {"JIEGUAN_SERVICE_HOST"}  # an example


def test_without_a_word_all_is_as_stated() -> None:
    assert of_environment({}) == Serving()
    assert of_environment({s.env: "" for s in SETTINGS}) == Serving()  # empty is not said
    assert given({}).where == {}


def test_the_environment_overrules_credentials_and_they_the_file(tmp_path: Path) -> None:
    file, credentials = tmp_path / "settings.toml", tmp_path / "credentials"
    credentials.mkdir()
    lines = (
        "workers = 3", "port = 81", 'zone = "Europe/Berlin"', 'master_key = "of the file"', 'oidc_issuer = "https://i"', "wait_seconds = 1",
    )  # fmt: skip
    file.write_text("\n".join(lines))
    (credentials / "jieguan_master_key").write_text("of the credentials\n")
    said = {"JIEGUAN_SETTINGS": str(file), "CREDENTIALS_DIRECTORY": str(credentials), "JIEGUAN_PORT": "82", "JIEGUAN_DEVELOPMENT": "yes"}
    found = given(said)
    assert found.serving == replace(
        Serving(), workers=3, port=82, zone="Europe/Berlin", master="of the credentials", wait_seconds=1.0, development=True,
        provider=Provider("https://i"),
    )  # fmt: skip
    assert found.where["port"] == "JIEGUAN_PORT"
    assert found.where["workers"] == str(file)
    assert found.where["master_key"] == str(credentials)
    assert found.where.keys() == {"port", "workers", "zone", "master_key", "oidc_issuer", "wait_seconds", "development"}


WRONG = [
    ("JIEGUAN_WORKERS", "0", "whole number of at least 1 and at most 64"),
    ("JIEGUAN_WORKERS", "two", "whole number"),
    ("JIEGUAN_PORT", "65536", "at most 65535"),
    ("JIEGUAN_WAIT_SECONDS", "nan", "a number"),
    ("JIEGUAN_DEVELOPMENT", "maybe", "true or false"),
    ("JIEGUAN_SECURE_COOKIES", "2", "true or false"),
    ("JIEGUAN_ZONE", "Mars/Olympus", "no such time zone"),
    ("JIEGUAN_BODY_BYTES", "32M", "whole number"),
]


@pytest.mark.parametrize(("name", "value", "why"), WRONG)
def test_a_wrong_value_is_refused_by_name_value_reason_and_way_out(name: str, value: str, why: str) -> None:
    with pytest.raises(BadSetting) as told:
        of_environment({name: value})
    text = told.value.text("en")
    assert name in text
    assert repr(value) in text or name == "JIEGUAN_WAIT_SECONDS"
    assert why in text
    assert "jieguan settings" in text
    assert CHINESE.search(told.value.text("zh-CN"))


def test_a_wrong_value_of_the_file_names_the_file_and_a_secret_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("queue = 'some'")
    with pytest.raises(BadSetting) as told:
        of_environment({"JIEGUAN_SETTINGS": str(file)})
    assert str(file) in told.value.text("en")
    file.write_text("[master_key]\nhex = 'very secret'")
    with pytest.raises(BadSetting) as told:
        of_environment({"JIEGUAN_SETTINGS": str(file)})
    assert "very secret" not in told.value.text("en") + repr(told.value.facts)


def test_what_is_no_setting_is_told_with_what_was_meant(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("wokers = 2")
    with pytest.raises(UnknownSetting, match="workers"):
        of_environment({"JIEGUAN_SETTINGS": str(file)})
    with pytest.raises(UnknownSetting, match="JIEGUAN_WORKERS"):
        of_environment({"JIEGUAN_WORKRES": "2"})
    of_environment({"JIEGUAN_SERVICE_HOST": "10.0.0.1", "JIEGUAN_TEST_DATA": "x"})  # of others
    file.write_text("worker = ")
    with pytest.raises(SettingsUnreadable):
        of_environment({"JIEGUAN_SETTINGS": str(file)})
    with pytest.raises(SettingsUnreadable):
        of_environment({"JIEGUAN_SETTINGS": str(tmp_path / "none.toml")})


def test_the_command_lists_them_and_keeps_secrets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JIEGUAN_MASTER_KEY", "0123456789abcdef")
    monkeypatch.setenv("JIEGUAN_DATABASE", "postgresql://u:hunter2@h/city")
    monkeypatch.setenv("JIEGUAN_WORKERS", "2")
    for words_ in (["--json"], ["--lang", "en"], ["--lang", "zh"]):
        with pytest.raises(SystemExit) as end:
            main(["settings", *words_])
        assert not end.value.code
        out = capsys.readouterr().out
        assert "hunter2" not in out
        assert "0123456789abcdef" not in out
        if words_ == ["--json"]:
            told = {row["environment"]: row for row in json.loads(out)}
            assert list(told) == [s.env for s in SETTINGS]
            assert (told["JIEGUAN_WORKERS"]["value"], told["JIEGUAN_WORKERS"]["where"]) == (2, "JIEGUAN_WORKERS")
            assert (told["JIEGUAN_PORT"]["value"], told["JIEGUAN_PORT"]["where"]) == (8000, None)
        else:
            assert "JIEGUAN_WORKERS=2" in out
