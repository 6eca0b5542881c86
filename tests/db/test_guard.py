"""Nothing else opens the live file in a process that has it open as a database."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pyogrio
import pytest
from starlette.responses import FileResponse

from geodata.db import Database, open_database, refuse_live
from geodata.db.guard import LiveDatabase, protect, release
from geodata.files import read_layer


@pytest.fixture
def live(new_embedded: Callable[..., str]) -> Iterator[Database]:
    with open_database(new_embedded(initialised=True)) as db:
        yield db


OPENINGS: dict[str, Callable[[Path], object]] = {
    "open": lambda path: open(path, "rb"),  # noqa: PTH123, SIM115
    "open for writing": lambda path: open(path, "ab"),  # noqa: PTH123, SIM115
    "os.open": lambda path: os.open(path, os.O_RDONLY),
    "bytes": lambda path: os.open(os.fsencode(path), os.O_RDONLY),
    "read_bytes": lambda path: path.read_bytes(),
    "copy": lambda path: shutil.copy(path, path.with_name("copy")),
    "copyfile onto": lambda path: shutil.copyfile(__file__, path),
}


@pytest.mark.parametrize("how", OPENINGS)
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_opening_the_live_file_is_refused(live: Database, how: str, suffix: str) -> None:
    path = Path(f"{live.path}{suffix}")
    assert path.exists()
    before = path.stat().st_size
    with pytest.raises(LiveDatabase) as caught:
        OPENINGS[how](path)
    assert isinstance(caught.value, PermissionError)
    assert str(path) in caught.value.text("zh-CN")
    assert str(path) in str(caught.value)
    assert path.stat().st_size == before


def test_other_names_of_it_are_refused_too(live: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert live.path is not None
    (tmp_path / "soft").symlink_to(live.path)
    (tmp_path / "hard").hardlink_to(live.path)
    monkeypatch.chdir(tmp_path)
    for name in ("soft", "hard", f"./{live.path.name}", f"../{tmp_path.name}/{live.path.name}"):
        with pytest.raises(LiveDatabase):
            open(name, "rb")  # noqa: PTH123, SIM115


def test_the_gate_and_other_files_open(live: Database, tmp_path: Path) -> None:
    with live.writing():
        pass
    Path(f"{live.path}.writer").read_bytes()
    (tmp_path / "other.db").write_bytes(b"x")
    assert (tmp_path / "other.db").read_bytes() == b"x"
    with pytest.raises(FileNotFoundError):
        open(tmp_path / "none")  # noqa: PTH123, SIM115
    with pytest.raises(ValueError, match="null"):
        open("a\0b")  # noqa: PTH123, SIM115


def test_a_file_response_is_refused(live: Database) -> None:
    assert live.path is not None
    app = FileResponse(live.path)

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get("/")

    with pytest.raises(LiveDatabase):
        asyncio.run(get())


def test_gdal_is_refused_by_whoever_asks_first(live: Database) -> None:
    """C code is seen by no hook (the second half shows it), so readers ask."""

    def read(path: Path) -> object:
        refuse_live(path)
        return pyogrio.list_layers(path)

    assert live.path is not None
    with pytest.raises(LiveDatabase):
        read(live.path)
    program = "import sys, pyogrio; print(len(pyogrio.list_layers(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", program, str(live.path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 1  # in a process of its own it does no harm


def test_after_closing_the_file_is_a_file_again(new_embedded: Callable[..., str]) -> None:
    path = Path(new_embedded(initialised=True))
    with open_database(path):
        with open_database(path):
            pass
        with pytest.raises(LiveDatabase):
            path.read_bytes()
    assert path.read_bytes().startswith(b"SQLite format 3")


def test_a_database_that_could_not_be_opened_is_not_guarded(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("this is no database, though it is long enough to have a header of one" * 20)
    with pytest.raises(ValueError, match=r"text\.db"):
        open_database(path)
    assert path.read_text().startswith("this is")


def test_protection_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.touch()
    protect(path)
    protect(path)
    release(path)
    with pytest.raises(LiveDatabase):
        path.read_bytes()
    release(path)
    path.read_bytes()


def test_sqlite_itself_is_let_through(live: Database) -> None:
    """The same library in the same process knows of its own locks."""
    connection = sqlite3.connect(f"file:{live.path}?mode=ro", uri=True)
    try:
        assert connection.execute("SELECT count(*) FROM feature").fetchone() == (0,)
    finally:
        connection.close()


def test_the_reader_of_layers_refuses_the_live_file(live: Database) -> None:
    """Before anything is opened: GDAL would drop the locks of the whole process."""
    assert live.path is not None
    with pytest.raises(LiveDatabase):
        read_layer(live.path)
