"""`jieguan user`, `jieguan token`, `jieguan openapi`, as they are typed."""

from __future__ import annotations

import contextlib
import io
import json
import string
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import words, words_map, words_people, words_sealed, words_whatif
from api.cli import main
from api.store.setup import initialise
from tests.api.live import live, published
from tests.db.conftest import WORK_CRS, NewUrl

GOOD = "four quiet green hills"


def run(capsys: pytest.CaptureFixture[str], *typed: str, status: int = 0) -> str:
    """What it prints; with an error, what it says of it."""
    code = 0
    try:
        main([*typed])
    except SystemExit as done:
        code = int(done.code or 0)
    said = capsys.readouterr()
    assert code == status, said
    return said.err if status else said.out


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What stands on standard input."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_accounts_are_added_changed_and_closed(new_url: NewUrl, capsys: pytest.CaptureFixture[str], typed: Any) -> None:
    url = new_url(initialised=True)
    typed(GOOD + "\n")
    assert "王" in run(capsys, "user", "add", "王", "--role", "squad_leader", "--squad", "A", "--password-stdin", "--db", url)
    run(capsys, "user", "add", "李", "--role", "operator", "--db", url)
    (li, wang) = json.loads(run(capsys, "user", "list", "--db", url, "--json"))
    assert (wang["name"], wang["role"], wang["squad"], wang["password"]) == ("王", "squad_leader", "A", True)
    assert (li["name"], li["squad"], li["password"]) == ("李", None, False)
    with live(url, development=False) as address, httpx.Client(base_url=address, timeout=60) as http:

        def enters(password: str) -> bool:
            return http.post("/api/v1/sessions", json={"name": "王", "password": password}).status_code == 201

        assert enters(GOOD)  # without the end of the line
        run(capsys, "user", "role", "王", "--role", "planner", "--db", url)
        assert http.get("/api/v1/me").status_code == 401
        assert enters(GOOD)
        assert http.get("/api/v1/me").json()["squad"] is None
        typed("another good one\r\n")
        run(capsys, "user", "password", "王", "--password-stdin", "--db", url)
        assert not enters(GOOD)
        assert enters("another good one")
        run(capsys, "user", "close", "王", "--db", url)
        assert not enters("another good one")
        run(capsys, "user", "open", "王", "--db", url)
        assert enters("another good one")
    assert "王" in run(capsys, "user", "list", "--db", url, "--lang", "en")
    assert json.loads(run(capsys, "audit", "verify", "--db", url, "--json"))["sound"]


def test_a_squad_that_the_map_does_not_have_is_refused_and_without_a_map_warned_of(
    new_url: NewUrl, capsys: pytest.CaptureFixture[str]
) -> None:
    url = new_url(initialised=True)
    leader, machine = ("--role", "squad_leader"), ("--role", "machine")
    for typed in (("user", "add", "王", *leader), ("token", "new", *machine)):
        with contextlib.suppress(SystemExit):
            main([*typed, "--squad", "su99", "--db", url, "--lang", "en"])
        assert "nobody checked that there is a squad 'su99'" in capsys.readouterr().err.replace("\n", " ")
    published(url)
    for typed in (("user", "add", "李", *leader), ("token", "new", *machine), ("user", "role", "王", "--role", "planner")):
        told = run(capsys, *typed, "--squad", "su99", "--db", url, status=2).replace("\n", "")
        assert "没有编码为“su99”的中队" in told
    assert "李" not in run(capsys, "user", "list", "--db", url)
    run(capsys, "user", "role", "王", *leader, "--squad", "su00", "--db", url)
    assert capsys.readouterr().err == ""


def test_a_token_is_printed_alone_and_opens_until_it_is_ended(new_url: NewUrl, capsys: pytest.CaptureFixture[str]) -> None:
    url = new_url(initialised=True)
    secret = run(capsys, "token", "new", "--db", url, "--role", "machine", "--name", "热线", "--days", "30").removesuffix("\n")
    assert secret.split() == [secret]
    (told,) = json.loads(run(capsys, "token", "list", "--db", url, "--json"))
    assert (told["name"], told["role"], told["created_by"]) == ("热线", "machine", "cli")
    with live(url, development=False) as address:
        mine = {"Authorization": f"Bearer {secret}"}
        assert httpx.get(f"{address}/api/v1/me", headers=mine).json()["name"] == "热线"
        assert secret not in run(capsys, "token", "list", "--db", url)
        run(capsys, "token", "end", told["id"], "--db", url)
        assert httpx.get(f"{address}/api/v1/me", headers=mine).status_code == 401


def test_what_is_wrong_is_said_in_both_languages(tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: Any) -> None:
    url = str(tmp_path / "city.db")
    initialise(url, WORK_CRS)
    typed("password")
    for typed_words, zh, en in (
        (("user", "add", "王", "--role", "boss"), "没有“boss”这个角色", "no role 'boss'"),
        (("user", "add", "王", "--role", "squad_member"), "须指明所属中队", "needs a squad"),
        (("user", "add", "王", "--role", "public"), "公众无需账号", "public needs no account"),
        (("user", "add", "-", "--role", "operator"), "不能用", "cannot be used"),
        (("user", "close", "王"), "没有名为“王”的账号", "no account '王'"),
        (("token", "new", "--role", "squad_leader"), "须指明所属中队", "needs a squad"),
        (("token", "end", "0" * 16), "没有编号为", "no token"),
    ):
        for lang, text in (("zh-CN", zh), ("en", en)):
            assert text in run(capsys, *typed_words, "--db", url, "--lang", lang, status=2).replace("\n", "")
    told = run(capsys, "user", "add", "王", "--role", "operator", "--password-stdin", "--db", url, status=2)
    assert "最常被猜到" in told.replace("\n", "")
    assert json.loads(run(capsys, "user", "list", "--db", url, "--json")) == []


def test_the_database_is_that_of_the_environment_unless_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    initialise(tmp_path / "one.db", WORK_CRS)
    initialise(tmp_path / "jieguan.db", WORK_CRS)
    monkeypatch.setenv("JIEGUAN_DATABASE", str(tmp_path / "one.db"))
    run(capsys, "user", "add", "王", "--role", "operator")
    monkeypatch.delenv("JIEGUAN_DATABASE")
    monkeypatch.chdir(tmp_path)
    assert json.loads(run(capsys, "user", "list", "--json")) == []
    assert len(json.loads(run(capsys, "user", "list", "--db", "one.db", "--json"))) == 1


def test_the_description_of_the_service_needs_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    told = json.loads(run(capsys, "openapi"))
    assert told["openapi"].startswith("3.1")
    assert "/api/v1/sessions" in told["paths"]
    assert not list(tmp_path.iterdir())


def test_words_say_the_same_in_both_languages() -> None:
    def facts(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for key, (zh, en) in words_people.WORDS.items():
        assert facts(zh) == facts(en), key
        assert [key in other.WORDS for other in (words, words_map, words_whatif, words_sealed)] == [False] * 4
