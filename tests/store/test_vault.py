"""Keys outside the database: what is sealed opens by its own key for its own place, and goes with it, also from the file's bytes."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from api import vault as v
from api.vault import (
    BadMaster,
    KeyDestroyed,
    KeyMissing,
    MasterMissing,
    SealBroken,
    Vault,
    VaultUnavailable,
    WrongMaster,
    open_vault,
)
from geodata.db.engine import NoRoom, WriterBusy
from geodata.db.guard import LiveDatabase

WORDS = "王五 13800001111 夜市扰民".encode()
ABOUT = "case 17 words"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "city.db.private"


def raw(folder: Path) -> bytes:
    """All bytes of all files; nobody has them open."""
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


def wrapped_of(folder: Path, key: str) -> bytes:
    """As it stands in the file."""
    connection = sqlite3.connect(folder / v.KEYS)
    (found,) = connection.execute("SELECT wrapped FROM key WHERE id = ?", (key,)).fetchone()
    connection.close()
    return bytes(found)


# ---- sealing ---------------------------------------------------------------------------------------------------------


def test_what_was_sealed_opens_by_its_key_for_what_it_is_about_and_in_no_other_way(folder: Path) -> None:
    with open_vault(folder, None) as vault:
        one, two = vault.new_key(), vault.new_key()
        sealed = vault.seal(one, WORDS, ABOUT)
        assert vault.unseal(one, sealed, ABOUT) == WORDS
        for key, about in ((two, ABOUT), (one, "case 18 words")):
            with pytest.raises(SealBroken):
                vault.unseal(key, sealed, about)
        for at in range(len(sealed)):  # any bit
            with pytest.raises(SealBroken):
                vault.unseal(one, sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], ABOUT)
        for cut in (b"", sealed[:10], sealed[:-1], sealed + b"\0"):
            with pytest.raises(SealBroken):
                vault.unseal(one, cut, ABOUT)
        assert len({vault.seal(one, WORDS, ABOUT) for _ in range(1000)}) == 1000  # a nonce each
        with pytest.raises(KeyMissing):
            vault.unseal("no such key", sealed, ABOUT)


def test_it_opens_again_after_it_was_closed_and_only_its_owner_may_read_the_files(folder: Path) -> None:
    with open_vault(folder, None) as vault:
        assert vault.made == folder / "master.key"
        key = vault.new_key()
        sealed = vault.seal(key, WORDS, ABOUT)
        mac = vault.mac("login", b"x")
    with open_vault(folder, None) as vault:
        assert vault.made is None
        assert vault.unseal(key, sealed, ABOUT) == WORDS
        assert vault.mac("login", b"x") == mac
        assert len({mac, vault.mac("replay", b"x"), vault.mac("login", b"y")}) == 3
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()} == {"keys.db": 0o600, "master.key": 0o600}


def test_the_file_of_keys_is_of_no_use_without_the_master_key(folder: Path) -> None:
    master = secrets.token_bytes(32)
    with open_vault(folder, base64.b64encode(master).decode()) as vault:
        assert vault.made is None
        key = vault.new_key()
        plain = vault._key(key, ABOUT)
    assert [file.name for file in folder.iterdir()] == ["keys.db"]
    held = raw(folder)
    for secret in (master, plain, plain.hex().encode(), base64.b64encode(plain)):
        assert secret not in held
    assert wrapped_of(folder, key) in held  # the search would have found it


# ---- the master key --------------------------------------------------------------------------------------------------


def test_the_master_key_may_be_written_in_three_ways(folder: Path) -> None:
    master = bytes(range(224, 256))
    ways = (master.hex(), master.hex().upper(), base64.b64encode(master).decode(), base64.urlsafe_b64encode(master).decode() + "\n")
    keys = []
    for way in ways:
        with open_vault(folder, way) as vault:
            keys.append(vault.new_key())
            assert vault.living(keys) == set(keys)
            assert vault.unseal(keys[0], vault.seal(keys[0], WORDS, ABOUT), ABOUT) == WORDS


@pytest.mark.parametrize("text", ["", "x", "0" * 63, "0" * 65, "zz" * 32, base64.b64encode(b"0" * 31).decode(), "秘密" * 16])
def test_a_master_key_that_is_none_is_refused_and_not_quoted(folder: Path, text: str) -> None:
    with pytest.raises(BadMaster) as refused:
        open_vault(folder, text)
    assert not text or len(text) < 3 or text not in str(refused.value)


def test_a_wrong_master_key_is_refused_when_opening(folder: Path) -> None:
    right, wrong = (secrets.token_hex(32) for _ in range(2))
    open_vault(folder, right).close()
    before = raw(folder)
    with pytest.raises(WrongMaster, match="JIEGUAN_MASTER_KEY"):
        open_vault(folder, wrong)
    with pytest.raises(MasterMissing, match=r"master\.key"):
        open_vault(folder, None)
    assert raw(folder) == before
    (folder / "master.key").write_text(wrong)
    with pytest.raises(WrongMaster, match=r"master\.key"):
        open_vault(folder, None)
    (folder / "master.key").write_text(right)
    open_vault(folder, None).close()


def test_a_file_that_is_no_file_of_keys_is_said(folder: Path) -> None:
    folder.mkdir()
    (folder / "keys.db").write_bytes(b"no database, and long enough to be looked at" * 100)
    with pytest.raises(VaultUnavailable, match="not a database"):
        open_vault(folder, None)
    (folder / "keys.db").unlink()
    (folder / "keys.db").mkdir()
    with pytest.raises(VaultUnavailable):
        open_vault(folder, None)
    with pytest.raises(VaultUnavailable):
        open_vault(folder / "keys.db" / "x" / ("y" * 300), None)


def test_nothing_else_opens_the_file_while_it_is_in_use(folder: Path) -> None:
    with open_vault(folder, None), pytest.raises(LiveDatabase):
        (folder / "keys.db").read_bytes()
    assert (folder / "keys.db").read_bytes()


# ---- destroying ------------------------------------------------------------------------------------------------------


def test_p18_a_key_that_is_destroyed_is_in_no_file_any_more(folder: Path) -> None:
    with open_vault(folder, None) as vault:
        keys = [vault.new_key() for _ in range(500)]
        sealed = {key: vault.seal(key, WORDS, ABOUT) for key in keys}
    gone, kept = keys[::7], sorted(set(keys) - set(keys[::7]))
    wrapped = {key: wrapped_of(folder, key) for key in keys}
    with open_vault(folder, None) as vault, open_vault(folder, None) as other:
        vault.destroy(gone)
        for who in (vault, other):
            assert who.living(keys) == set(kept)
            for key in gone:
                with pytest.raises(KeyDestroyed, match="case 17"):
                    who.unseal(key, sealed[key], ABOUT)
                with pytest.raises(KeyDestroyed):
                    who.seal(key, WORDS, ABOUT)
            assert all(who.unseal(key, sealed[key], ABOUT) == WORDS for key in kept)
        vault.destroy([*gone, "never here"])  # again
        assert vault.living(["never here"]) == set()
    held = raw(folder)
    assert {file.name for file in folder.iterdir()} == {"keys.db", "master.key"}
    assert not [key for key in gone if wrapped[key] in held or wrapped[key][13:45] in held]
    assert all(wrapped[key] in held for key in kept)


def test_a_destruction_that_was_cut_short_is_finished_by_the_next_opening(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_vault(folder, None) as vault:
        key = vault.new_key()
    wrapped = wrapped_of(folder, key)
    with open_vault(folder, None) as vault, monkeypatch.context() as cut:
        cut.setattr(Vault, "_vacuum", lambda _: None)
        vault.destroy([key])
    connection = sqlite3.connect(folder / "keys.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (v.OLD_PAGES,)
    connection.close()
    open_vault(folder, None).close()
    connection = sqlite3.connect(folder / "keys.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    connection.close()
    assert wrapped not in raw(folder)


# ---- changing the master key -----------------------------------------------------------------------------------------


def test_rotation_keeps_everything_readable_and_the_old_master_key_opens_nothing(folder: Path) -> None:
    with open_vault(folder, None) as vault, open_vault(folder, None) as other:
        keys = [vault.new_key() for _ in range(100)]
        sealed = {key: vault.seal(key, WORDS, ABOUT) for key in keys}
        mac = vault.mac("replay", b"x")
        vault.destroy(keys[:3])
        old = (folder / "master.key").read_bytes()
        assert vault.rotate() == 2 * v.RESERVE - 3
        assert (folder / "master.key").read_bytes() != old
        for who in (vault, other):  # also he who had opened before
            assert all(who.unseal(key, sealed[key], ABOUT) == WORDS for key in keys[3:])
            assert who.mac("replay", b"x") == mac
            with pytest.raises(KeyDestroyed):
                who.unseal(keys[0], sealed[keys[0]], ABOUT)
            assert who.living([who.new_key() for _ in range(100)])
    assert sorted(file.name for file in folder.iterdir()) == ["keys.db", "master.key"]
    (folder / "master.key").write_bytes(old)
    with pytest.raises(WrongMaster):
        open_vault(folder, None)


def test_rotation_between_the_environment_and_the_folder(folder: Path) -> None:
    one, two = (secrets.token_hex(32) for _ in range(2))
    with open_vault(folder, None) as vault:
        key = vault.new_key()
        sealed = vault.seal(key, WORDS, ABOUT)
        vault.rotate(one)
        assert not (folder / "master.key").exists()
    with open_vault(folder, one) as vault, open_vault(folder, one) as behind:
        with pytest.raises(BadMaster):
            vault.rotate("short")
        vault.rotate(two)
        with pytest.raises(WrongMaster, match="restart"):
            behind.unseal(key, sealed, ABOUT)
        with pytest.raises(WrongMaster):
            behind.new_key()
    with open_vault(folder, two) as vault:
        vault.rotate()
        assert vault.unseal(key, sealed, ABOUT) == WORDS
    with pytest.raises(WrongMaster):
        open_vault(folder, two)
    with open_vault(folder, None) as vault:
        assert vault.unseal(key, sealed, ABOUT) == WORDS


def test_a_key_that_was_altered_stops_the_rotation_and_nothing_changes(folder: Path) -> None:
    with open_vault(folder, None) as vault:
        keys = [vault.new_key() for _ in range(3)]
        sealed = vault.seal(keys[0], WORDS, ABOUT)
    connection = sqlite3.connect(folder / "keys.db")
    connection.execute("UPDATE key SET wrapped = zeroblob(61) WHERE id = ?", (keys[1],))
    connection.commit()
    connection.close()
    with open_vault(folder, None) as vault:
        with pytest.raises(SealBroken):
            vault.rotate()
        with pytest.raises(SealBroken):
            vault.seal(keys[1], WORDS, ABOUT)
        assert vault.unseal(keys[0], sealed, ABOUT) == WORDS
    with open_vault(folder, None) as vault:
        assert vault.unseal(keys[0], sealed, ABOUT) == WORDS


def rotate_and_die(folder: Path, die_at: int) -> tuple[bool, int]:
    """In a process of its own: change the master key, killed before the given step of it. Whether it lived, and how many steps."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        steps = 0

        def step(*_: Any) -> None:
            nonlocal steps
            steps += 1
            if steps == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

        vault = open_vault(folder, None)
        vault._db.set_trace_callback(step)
        # The steps between statements: what is done to the files.
        sys.addaudithook(lambda event, _: step() if event in {"os.rename", "os.remove", "open"} else None)
        vault.rotate()
        os.write(writer, str(steps).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0, int(told or 0)


def test_rotation_killed_at_every_step_leaves_all_readable(folder: Path, tmp_path: Path) -> None:
    with open_vault(folder, None) as vault:
        keys = [vault.new_key() for _ in range(10)]
        sealed = {key: vault.seal(key, WORDS, ABOUT) for key in keys}
        mac = vault.mac("x", b"x")
    kept = shutil.copytree(folder, tmp_path / "kept")
    old = (folder / "master.key").read_bytes()
    lived, steps = rotate_and_die(folder, 10**9)
    assert lived
    assert steps > 70
    outcomes = set()
    for k in range(1, steps + 1):
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        assert rotate_and_die(folder, k) == (False, 0)
        with open_vault(folder, None) as vault:
            assert all(vault.unseal(key, sealed[key], ABOUT) == WORDS for key in keys), k
            assert vault.mac("x", b"x") == mac
            assert not (folder / "master.key.next").exists()
            vault.rotate()  # and the next goes through
        assert {file.name for file in folder.iterdir() if "master.key." not in file.name} == {"keys.db", "master.key"}
        outcomes.add((folder / "master.key").read_bytes() == old)
    assert outcomes == {False}
    print(f"\n{steps} fault points of a rotation")


# ---- several at once -------------------------------------------------------------------------------------------------


def use_keys(folder: Path, start: Any, pipe: Connection) -> None:
    """In a process of its own: keys, sealing and reading; tell what was given."""
    start.wait()
    with open_vault(folder, None) as vault:
        done = []
        for k in range(200):
            key = vault.new_key()
            done.append((key, vault.seal(key, f"{k}".encode(), ABOUT)))
            assert vault.unseal(*done[k // 2], ABOUT) == f"{k // 2}".encode()
        pipe.send((done, vault.made is not None))


def test_processes_that_begin_at_once_share_one_folder(folder: Path, processes: ForkServerContext) -> None:
    start = processes.Barrier(4)
    pipes, running = [], []
    for _ in range(4):
        here, there = processes.Pipe(duplex=False)
        running.append(processes.Process(target=use_keys, args=(folder, start, there)))
        running[-1].start()
        there.close()
        pipes.append(here)
    told = [pipe.recv() for pipe in pipes]
    for process in running:
        process.join(60)
        assert process.exitcode == 0
    assert sum(made for _, made in told) == 1  # one made the master key, and says so
    given = [each for done, _ in told for each in done]
    assert len({key for key, _ in given}) == 800
    with open_vault(folder, None) as vault:
        for done, _ in told:
            assert [vault.unseal(key, sealed, ABOUT) for key, sealed in done] == [f"{k}".encode() for k in range(200)]


def test_threads_are_given_different_keys_while_the_master_key_changes(folder: Path) -> None:
    given: list[list[tuple[str, bytes]]] = [[] for _ in range(4)]
    with open_vault(folder, None) as vault, open_vault(folder, None) as other:
        barrier = threading.Barrier(5)

        def work(mine: list[tuple[str, bytes]]) -> None:
            barrier.wait()
            for k in range(150):
                key = vault.new_key()
                mine.append((key, vault.seal(key, str(k).encode(), ABOUT)))

        threads = [threading.Thread(target=work, args=(mine,)) for mine in given]
        for thread in threads:
            thread.start()
        barrier.wait()
        for _ in range(5):
            other.rotate()
        for thread in threads:
            thread.join()
        everything = [each for mine in given for each in mine]
        assert len({key for key, _ in everything}) == 600
        for mine in given:
            assert [other.unseal(key, sealed, ABOUT) for key, sealed in mine] == [str(k).encode() for k in range(150)]


def keys_until_killed(folder: Path, acknowledge: Connection) -> None:
    with open_vault(folder, None) as vault:
        while True:
            key = vault.new_key()
            acknowledge.send((key, vault.seal(key, WORDS, ABOUT)))


def test_a_key_that_was_given_is_there_after_kill_9(folder: Path, processes: ForkServerContext) -> None:
    given = []
    for _ in range(5):
        here, there = processes.Pipe(duplex=False)
        process = processes.Process(target=keys_until_killed, args=(folder, there))
        process.start()
        there.close()
        given += [here.recv() for _ in range(100)]
        process.kill()
        process.join()
    assert len({key for key, _ in given}) == 500
    with open_vault(folder, None) as vault:
        assert all(vault.unseal(key, sealed, ABOUT) == WORDS for key, sealed in given)


def test_g3_a_key_is_synced_before_it_is_given_and_others_of_its_batch_cost_nothing(folder: Path, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace: what is synced cannot be counted")
    program = (
        "import os, pathlib, sys; from api.vault import open_vault; vault = open_vault(pathlib.Path(sys.argv[1]), None)\n"
        "for k in range(130): os.write(1, vault.new_key().encode() + b'\\n')"
    )
    log = tmp_path / "trace"
    done = subprocess.run(
        [strace, "-f", "-y", "-e", "trace=fsync,fdatasync,write", "-o", str(log), sys.executable, "-c", program, str(folder)],
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip("strace may not trace here")
    assert len(set(done.stdout.split())) == 130
    synced, given = [0], 0  # in front of each key
    for line in log.read_text().splitlines():
        if "sync(" in line and "keys.db>" in line:
            synced[-1] += 1
        elif " write(1<" in line or " write(1," in line:
            given += 1
            synced.append(0)
    assert given == 130
    assert [k for k, n in enumerate(synced[:-1]) if n] == [0, v.RESERVE, 2 * v.RESERVE]


# ---- what may go wrong -----------------------------------------------------------------------------------------------


def test_a_full_disk_and_a_busy_file_are_said_and_nothing_is_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_vault(folder, None) as vault:
        (pages,) = vault._db.execute("PRAGMA page_count").fetchone()
        vault._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(NoRoom):
            [vault.new_key() for _ in range(10 * v.RESERVE)]
        vault._db.execute("PRAGMA max_page_count = 100000")
        key = vault.new_key()
        vault._db.execute("PRAGMA busy_timeout = 10")
        other = sqlite3.connect(folder / "keys.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(WriterBusy):
            vault.destroy([key])
        other.close()
        vault.destroy([key])


def test_a_backup_of_the_keys_is_whole_and_replaces_the_one_before(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "keys.backup"
    with open_vault(folder, None) as vault:
        one, two = vault.new_key(), vault.new_key()
        sealed = vault.seal(two, WORDS, ABOUT)
        assert vault.backup(copy) == v.RESERVE
        vault.destroy([one])
        assert vault.backup(copy) == v.RESERVE - 1
    assert copy.stat().st_mode & 0o777 == 0o600
    (folder / "keys.db").unlink()
    shutil.copy(copy, folder / "keys.db")
    with open_vault(folder, None) as vault:
        assert vault.living([one, two]) == {two}
        assert vault.unseal(two, sealed, ABOUT) == WORDS


