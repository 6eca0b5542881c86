"""Forgetting who complained: gone from every table, file and backup that there is; and what the commands say."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import sqlite3
import string
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from api import words, words_map, words_sealed, words_whatif
from api.app import create_app
from api.cli import main
from api.settings import Serving, of_environment, private_folder
from api.store.opening import Working, working
from api.store.record import verify
from api.store.setup import ALWAYS
from api.store.tables import WHOLE, Attachment, CaseFile, Event, Replay, Reporter, Rule
from api.usecases import erasure
from api.usecases.erasure import NoReason, StillOpen, UnknownCase, erase, keep_until, sweep
from api.vault import KeyDestroyed, Vault
from geodata.db.copying import backup
from routing.case import Actor, Role
from tests.db.conftest import NewUrl
from tests.store.rows import DAY, NOON, case_file, entry, moved, prepared, reporter

ADMIN = Actor("管理员", Role.ADMINISTRATOR)
NAME, PHONE, TEXT = "欧阳菲菲", "13800137777", "楼下烧烤摊"
YEARS = timedelta(days=1095)


@pytest.fixture
def serving(new_url: NewUrl, tmp_path: Path) -> Serving:
    return Serving(prepared(new_url(initialised=True)), private=str(tmp_path / "private"))


@pytest.fixture
def has(serving: Serving) -> Iterator[Working]:
    with working(serving) as has:
        yield has


def complained(has: Working, number: str, who: dict[str, str] | None = None, at: datetime = NOON, **other: Any) -> str:
    """A case as intake will make it: sealed words, a sealed reporter, a file, an entry, an answer kept. Closed a day later; its key."""
    key, told = has.vault.new_key(), json.dumps(who or {"name": NAME, "phone": PHONE}, ensure_ascii=False).encode()

    def sealed(what: str, plain: bytes = TEXT.encode() + told) -> bytes:
        return has.vault.seal(key, plain, what)

    with has.book.writing() as page:
        case = case_file(page.session, number, key=key, received_at=at, changed_at=at, words=sealed("words"), **other)
        page.session.add(case)
        page.session.flush()
        page.session.add_all([
            reporter(case, sealed=sealed("reporter", told)),
            Attachment(id=secrets.token_hex(4), case_id=case.id, at=at, by="op", squad=None, media_type="image/jpeg", size=9,
                       sha256="x", name=sealed("name"), data=sealed("data")),
            Replay(account="op", key=number, request=has.vault.mac("replay", told), at=at, status=201, headers={}, body={"number": number}),
        ])  # fmt: skip
        page.enter(entry("received", case_id=case.id, at=at, words=sealed("entry"), body={"channel": "12345"}))
    if other.get("open", True):
        with has.book.writing() as page:
            case = moved(page.session.scalars(sa.select(CaseFile).where(CaseFile.number == number)).one(), DAY, state="closed", open=False)
            page.enter(entry("closed", case_id=case.id, words=sealed("closing")))
    return key


def everything(has: Working) -> bytes:
    """All that a database holds, as text, and the bytes of its files: those of an embedded one with its log."""
    out = []
    with has.db.reading() as session:
        if has.db.kind == "postgresql":
            names = session.scalars(sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        else:
            names = session.scalars(sa.text("SELECT name FROM sqlite_master WHERE type = 'table'")).all()
        for name in names:
            for row in session.execute(sa.text(f'SELECT * FROM "{name}"')):
                out += [bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode() for value in row]
    if has.db.path is not None:
        done = subprocess.run(["cat", *map(str, has.db.path.parent.glob(has.db.path.name + "*"))], capture_output=True, check=False)
        out.append(done.stdout)  # by another program: this one may not open them
    return b"\n".join(out)


def test_p18_g23_who_was_erased_is_nowhere_and_no_copy_opens(serving: Serving, has: Working, tmp_path: Path) -> None:
    people = {
        "1": {"phone": PHONE}, "2": {"email": "fei@example.org"}, "3": {"name": NAME, "phone": PHONE, "email": "fei@example.org"},
        "4": {"name": NAME}, "5": {},
    }  # fmt: skip
    keys = {number: complained(has, number, who) for number, who in people.items()}
    other = complained(has, "6")
    canaries = [text.encode() for text in (NAME, PHONE, "fei@example.org", TEXT)]
    assert not [text for text in canaries if text in everything(has)]  # it never was anywhere
    earlier = tmp_path / "earlier.db"
    backup(serving.database, earlier, WHOLE)
    with has.db.reading() as session:
        stored = dict(session.execute(sa.select(CaseFile.number, CaseFile.words)).all())
        files = dict(session.execute(sa.select(CaseFile.number, Attachment.data).join(Attachment)).all())
    for number, key in keys.items():
        assert has.vault.unseal(key, stored[number], "words").startswith(TEXT.encode())
        done = erase(has.book, has.vault, number, f"{NAME} 要求删除", ADMIN, NOON + 2 * DAY)
        assert (done.before, done.at) == (False, NOON + 2 * DAY)
        for sealed, about in ((stored[number], "words"), (files[number], "data")):
            with pytest.raises(KeyDestroyed):
                has.vault.unseal(key, sealed, about)
    assert not [text for text in canaries if text in everything(has)]
    assert has.vault.unseal(other, stored["6"], "words")  # and nobody else
    with has.db.reading() as session:
        rows = session.execute(sa.select(CaseFile.number, Reporter.sealed, Reporter.erased_at).join(Reporter)).all()
        assert {number: sealed is None for number, sealed, _ in rows} == {**dict.fromkeys(keys, True), "6": False}
        assert {number: at for number, _, at in rows if at} == dict.fromkeys(keys, NOON + 2 * DAY)
        held = session.execute(sa.select(CaseFile.number, Attachment.name, Attachment.data).join(Attachment)).all()
        assert {number: bool(name or data) for number, name, data in held} == {**dict.fromkeys(keys, False), "6": True}
        events = session.scalars(sa.select(Event).where(Event.kind == erasure.ERASED)).all()
        assert [(e.actor, e.role, e.body["why"]) for e in events] == [("管理员", "administrator", "request")] * 5
        reason = has.vault.unseal(events[0].body["key"], events[0].words or b"", f"case {events[0].case_id} erased")
        assert reason.decode() == f"{NAME} 要求删除"
        assert list(verify(session, has.book.anchor)) == []  # the record still holds
    # The backup of the database, put back with the keys as they are now, opens nothing either; the file of keys has none of them.
    held = sqlite3.connect(earlier)
    assert held.execute("SELECT count(*) FROM reporter WHERE sealed NOT NULL").fetchone() == (6,)
    for number, sealed in held.execute("SELECT number, words FROM case_file WHERE number <> '6'"):
        with pytest.raises(KeyDestroyed):
            has.vault.unseal(keys[number], sealed, "words")
    held.close()


def test_erasing_is_refused_where_it_would_do_harm_and_done_once(has: Working) -> None:
    complained(has, "1", state="not_accepted", open=False)
    with has.book.writing() as page:
        page.session.add(case_file(page.session, "2", key=has.vault.new_key()))  # nobody was named
    for number, reason, error in (("9", "x", UnknownCase), ("1", " ", NoReason), ("2", "x", StillOpen)):
        with pytest.raises(error):
            erase(has.book, has.vault, number, reason, ADMIN, NOON)
    with has.db.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).where(Event.kind == erasure.ERASED)) == 0
    assert not erase(has.book, has.vault, "2", "误报", ADMIN, NOON, even_open=True).before
    assert not erase(has.book, has.vault, "1", "x", ADMIN, NOON).before
    again = erase(has.book, has.vault, "1", "x", ADMIN, NOON + DAY)
    assert (again.before, again.at) == (True, NOON)
    with has.db.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).where(Event.kind == erasure.ERASED)) == 2
        assert session.scalar(sa.select(sa.func.count()).select_from(Reporter).where(Reporter.erased_at.is_not(None))) == 2


def test_retention_goes_by_the_rule_of_the_category_then_that_for_all(has: Working) -> None:
    def rule(scope: str, value: int, since: datetime = ALWAYS, until: datetime | None = None) -> Rule:
        return Rule(name="retention_days", scope=scope, since=since, until=until, value=value, document="豫城管〔2026〕1号")

    complained(has, "long", category="GB30428:0101")
    complained(has, "short", category="GB30428:0201")
    complained(has, "kept", category="GB30428:0201")
    complained(has, "open", state="handling", open=True, category="GB30428:0201")
    with has.db.writing() as session:
        session.add_all([rule("GB30428:0201", 30), rule("GB30428:0101", 10, until=NOON)])
        kept = session.scalars(sa.select(Reporter).join(CaseFile).where(CaseFile.number == "kept")).one()
        kept.keep_until = NOON + 400 * DAY  # a hold of its own
        moved(session.scalars(sa.select(CaseFile).where(CaseFile.number == "open")).one(), DAY, state="handling", open=True)
    ended = NOON + DAY
    days = (ended, ended + 30 * DAY - timedelta(seconds=1), ended + 30 * DAY, NOON + 400 * DAY, ended + YEARS - DAY, ended + YEARS)
    told = [sweep(has.book, has.vault, ADMIN, now).erased for now in days]
    assert told == [(), (), ("short",), ("kept",), (), ("long",)]
    with has.db.reading() as session:
        assert keep_until(session, "GB30428:0201", ended) == ended + 30 * DAY
        assert keep_until(session, "GB30428:0101", ended) == ended + YEARS
        assert keep_until(session, "GB30428:0101", NOON - DAY) == NOON + 9 * DAY
        whys = session.scalars(sa.select(Event.body).where(Event.kind == erasure.ERASED)).all()
        assert [body["why"] for body in whys] == ["retention"] * 3
        assert list(verify(session, has.book.anchor)) == []


def test_without_a_rule_or_with_one_for_ever_nobody_is_erased(has: Working) -> None:
    complained(has, "1")
    for value in (2**31 - 1, None):
        with has.db.writing() as session:
            row = session.scalars(sa.select(Rule)).one()
            if value is None:
                session.delete(row)
            else:
                row.value = value
        assert sweep(has.book, has.vault, ADMIN, NOON + 100 * YEARS).erased == ()


def killed(*_: object) -> None:
    raise OSError("killed")


def test_g14_an_erasure_cut_short_is_finished_by_the_next_sweep(has: Working, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = complained(has, "1"), complained(has, "2")
    with monkeypatch.context() as cut:
        cut.setattr(Vault, "destroy", killed)
        with pytest.raises(OSError, match="killed"):
            erase(has.book, has.vault, "1", "x", ADMIN, NOON)
    assert has.vault.living([one, two]) == {one, two}
    done = sweep(has.book, has.vault, ADMIN, NOON + 2 * DAY)
    assert (done.erased, done.finished) == ((), 1)
    assert has.vault.living([one, two]) == {two}
    with monkeypatch.context() as cut:  # before the commit: nothing happened
        cut.setattr(erasure.Page, "chain", killed)
        with pytest.raises(OSError, match="killed"):
            erase(has.book, has.vault, "2", "x", ADMIN, NOON)
    assert has.vault.living([two]) == {two}
    assert sweep(has.book, has.vault, ADMIN, NOON + 2 * DAY).finished == 0


def test_an_old_backup_of_the_keys_does_not_bring_the_erased_back(serving: Serving, tmp_path: Path) -> None:
    old = tmp_path / "old keys"
    with working(serving) as has:
        key = complained(has, "1")
        has.vault.backup(old)
        erase(has.book, has.vault, "1", "x", ADMIN, NOON)
    shutil.copy(old, serving.folder / "keys.db")
    with working(serving) as has:
        assert has.vault.living([key]) == {key}
        assert sweep(has.book, has.vault, ADMIN, NOON).finished == 1
        assert has.vault.living([key]) == set()


def test_many_are_swept_in_turns(has: Working, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "AT_ONCE", 3)
    numbers = [complained(has, f"{n}") and f"{n}" for n in range(10)]
    assert list(sweep(has.book, has.vault, ADMIN, NOON + DAY + YEARS).erased) == numbers
    assert sweep(has.book, has.vault, ADMIN, NOON + DAY + YEARS) == erasure.Swept((), 0)


# ---- where the keys lie ----------------------------------------------------------------------------------------------


def test_the_private_folder_of_a_database(tmp_path: Path) -> None:
    assert private_folder(f"{tmp_path}/city.db") == private_folder(f"gpkg:///{tmp_path}/city.db") == tmp_path / "city.db.private"
    state = {"XDG_STATE_HOME": str(tmp_path)}
    one = private_folder("postgresql://u:secret@h/city", state)
    assert one == private_folder("postgresql+psycopg://u:other@h/city", state)
    assert one != private_folder("postgresql://u:secret@h/town", state)
    assert one.parent == tmp_path / "jieguan"
    assert len(one.name) == 16
    assert private_folder("postgresql://h/city", {}).parent == Path.home() / ".local" / "state" / "jieguan"
    told = of_environment({"JIEGUAN_PRIVATE": "/srv/keys", "JIEGUAN_MASTER_KEY": "k"})
    assert (told.folder, told.master) == (Path("/srv/keys"), "k")
    assert "'k'" not in repr(told)


# ---- the commands ----------------------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *words_: object) -> tuple[int, str, str]:
    status = 0
    try:
        main([str(word) for word in words_])
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


def test_the_commands(serving: Serving, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setenv("JIEGUAN_PRIVATE", str(serving.folder))
    store, master = ("--db", serving.database), secrets.token_hex(32)
    status, _, err = run(capsys, "person", "sweep", *store, "--lang", "en")
    assert status == 0
    assert f"master key has been made: {serving.folder / 'master.key'}" in err
    with working(serving) as has:
        key = complained(has, "1")
        complained(has, "2")
        with has.db.reading() as session:
            words_ = session.scalars(sa.select(CaseFile.words).where(CaseFile.number == "1")).one()
    status, out, err = run(capsys, "audit", "verify", *store, "--json")
    told = json.loads(out)
    assert (status, told["sound"], told["entries"], err) == (0, True, 4, "")
    noted = run(capsys, "audit", "head", *store)[1].strip()
    assert noted == f"4:{told['hash']}"
    # changing the master key: in the folder, to the environment, and back
    old = (serving.folder / "master.key").read_bytes()
    assert "64" in run(capsys, "keys", "rotate", *store, "--lang", "en")[1]
    assert (serving.folder / "master.key").read_bytes() != old
    monkeypatch.setenv("JIEGUAN_NEW_MASTER_KEY", master)
    assert "JIEGUAN_MASTER_KEY" in run(capsys, "keys", "rotate", *store, "--lang", "zh")[1]
    monkeypatch.delenv("JIEGUAN_NEW_MASTER_KEY")
    status, out, _ = run(capsys, "keys", "rotate", *store, "--json")
    assert (status, json.loads(out)["error"]) == (2, "MasterMissing")
    monkeypatch.setenv("JIEGUAN_MASTER_KEY", master)
    assert master not in "".join(run(capsys, "keys", "backup", tmp_path / "k", *store)[1:])
    status, out, err = run(capsys, "keys", "rotate", *store, "--lang", "en")
    assert "Unset JIEGUAN_MASTER_KEY" in out
    monkeypatch.delenv("JIEGUAN_MASTER_KEY")
    with working(serving) as has:
        assert has.vault.unseal(key, words_, "words")
    # erasing
    assert run(capsys, "person", "erase", "9", "--reason", "x", "--by", "王", *store)[0] == 2
    for lang, said in (("zh", "已清除"), ("en", "had been erased before")):
        status, out, _ = run(capsys, "person", "erase", "1", "--reason", "来信要求", "--by", "王", *store, "--lang", lang)
        assert status == 0
        assert said in out
    assert json.loads(run(capsys, "person", "sweep", *store, "--json")[1]) == {"done": "person_swept", "erased": [], "finished": 0}
    for lang, said in (("zh", "等于撤销清除"), ("en", "would undo erasures")):
        assert said in run(capsys, "keys", "backup", tmp_path / "k", *store, "--lang", lang)[1]
    # and what the record says afterwards
    assert run(capsys, "audit", "verify", *store, "--head", noted)[0] == 0
    status, out, _ = run(capsys, "audit", "verify", *store, "--head", "3:" + "f" * 64, "--lang", "en")
    assert status == 1
    assert "entry 3 is not the one" in out
    assert run(capsys, "audit", "verify", *store, "--head", "x")[0] == 2
    (serving.folder / "anchor").unlink()
    status, out, _ = run(capsys, "audit", "verify", *store, "--json")
    assert (status, json.loads(out)["findings"][0]["code"]) == (1, "not_anchored")


def test_every_sentence_has_both_languages_and_the_same_facts() -> None:
    def facts(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for key, (zh, en) in words_sealed.WORDS.items():
        assert facts(zh) == facts(en), key
    assert not words_sealed.WORDS.keys() & (words.WORDS.keys() | words_whatif.WORDS.keys() | words_map.WORDS.keys())


def test_the_service_opens_the_keys_and_says_where_the_master_key_lies(city_url: str) -> None:
    app, keys = create_app(city_url), []

    async def live() -> None:
        async with app.router.lifespan_context(app):
            keys.append(app.state.vault.new_key())
            with app.state.book.writing() as page:
                page.enter(entry())

    asyncio.run(live())
    folder = Path(city_url + ".private")
    assert {file.name for file in folder.iterdir()} == {"keys.db", "master.key", "anchor", "anchor.lock"}
    with working(Serving(city_url)) as has:
        assert has.vault.living(keys) == set(keys)
        with has.db.reading() as session:
            assert list(verify(session, has.book.anchor)) == []


def test_serve_says_that_a_master_key_was_made_and_refuses_a_wrong_one(city_url: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "JIEGUAN_MASTER_KEY": "short"}
    command = [sys.executable, "-c", "from api.cli import main; main()", "serve", "--db", city_url, "--port", "0", "--json", "--lang", "en"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"] == "BadMaster"
    del environment["JIEGUAN_MASTER_KEY"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        made = json.loads(process.stdout.readline())["master_made"]
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert made == city_url + ".private/master.key"
    assert made in err
