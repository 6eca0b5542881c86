"""`jieguan limits`, as it is typed, and the words of the two commands of time."""

from __future__ import annotations

import json

import pytest

from api import words_limits
from api.cli import main
from api.console import SAID
from tests.api.test_cli_people import run
from tests.db.conftest import NewUrl


def test_limits_and_reminders_are_listed_added_and_ended(new_url: NewUrl, capsys: pytest.CaptureFixture[str]) -> None:
    url = new_url(initialised=True)
    mine = ("--step", "handle", "--amount", "4", "--unit", "work_hours", "--document", "12号文", "--db", url)
    made = json.loads(run(capsys, "limits", "add", *mine, "--category", "GB30428:0504", "--json"))
    assert (made["amount"], made["unit"], made["category"], made["default"]) == (4, "work_hours", "GB30428:0504", False)
    assert "jieguan limits end" in run(capsys, "limits", "add", *mine, "--category", "GB30428:0504", "--lang", "en", status=2)
    told = run(capsys, "limits", "list", "--db", url, "--lang", "zh-CN")
    assert "12号文" in told
    assert "工作日历(Asia/Shanghai)" in told
    assert "Working calendar" in run(capsys, "limits", "list", "--db", url, "--lang", "en")
    run(capsys, "limits", "end", str(made["id"]), "--document", "13号文", "--db", url)
    rung = json.loads(run(capsys, "limits", "remind", "urge", "--percent", "50", "--document", "12号文", "--db", url, "--json"))
    listed = json.loads(run(capsys, "limits", "list", "--db", url, "--json"))
    assert made["id"] not in {row["id"] for row in listed["limits"]}
    assert rung["id"] in {row["id"] for row in listed["escalations"]}
    run(capsys, "limits", "unremind", str(rung["id"]), "--document", "13号文", "--db", url)
    assert rung["id"] not in {row["id"] for row in json.loads(run(capsys, "limits", "list", "--db", url, "--json"))["escalations"]}


def test_what_is_refused_is_said_with_the_way_out(new_embedded: NewUrl, capsys: pytest.CaptureFixture[str]) -> None:
    url = new_embedded(initialised=True)
    bad = ("limits", "add", "--amount", "1", "--document", "x", "--db", url)
    assert "work_hours" in run(capsys, *bad, "--step", "handle", "--unit", "weeks", "--lang", "en", status=2)
    assert "accept, dispatch, sign" in run(capsys, *bad, "--step", "nothing", "--unit", "hours", "--lang", "en", status=2)
    assert "jieguan limits list" in run(capsys, "limits", "end", "9999", "--document", "x", "--db", url, status=2)


def test_both_languages_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    from string import Formatter

    def fields(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name}

    for key, (zh, en) in words_limits.WORDS.items():
        assert zh
        assert en
        assert fields(zh) == fields(en), key
    others = [said for said in SAID if said is not words_limits.WORDS]
    assert all(not words_limits.WORDS.keys() & other.keys() for other in others)
    with pytest.raises(SystemExit):
        main(["worker", "--help"])
    assert "PostgreSQL" in capsys.readouterr().out
