"""Nothing but the database layer opens a live database file in this process.

POSIX locks belong to the process: when *any* code closes *any* descriptor of a file, all locks of the process on that file are
gone, SQLite's too. Another process then believes it is alone, and acknowledged rows are lost ("database disk image is
malformed"). One harmless `open(...).read()` is enough. So Python's own openings are refused by an audit hook, and code that
gives paths to C libraries (GDAL), which no hook sees, asks `refuse_live` first.

Not seen: `os.open` of a bare name relative to a folder's descriptor (`dir_fd`), and C code that does not ask.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from routing.errors import JieguanError

_LIVE: Counter[str] = Counter()
"""Real path -> how many times it is open as a database. Read without the lock: a dictionary look-up is atomic."""
_change = threading.Lock()
_hooked = False


class LiveDatabase(JieguanError, PermissionError):
    zh = (
        "“{path}”是正在使用的数据库文件:用别的途径打开会丢失已确认的写入。"
        "备份请用 jieguan db backup,图层请用导出的 GeoPackage。"
    )
    en = (
        "{path!r} is a database in use: opening it by any other way loses writes that were acknowledged. "
        "For a copy use jieguan db backup, for layers an exported GeoPackage."
    )


def protect(path: Path) -> None:
    """From now on the file, its -wal and its -shm open for SQLite alone. Each call is undone by one `release`."""
    global _hooked  # noqa: PLW0603  (a hook can be added once and never removed)
    with _change:
        _LIVE.update(_files(path))
        if not _hooked:
            sys.addaudithook(_hook)
            _hooked = True


def release(path: Path) -> None:
    """The last one who used it is done."""
    with _change:
        _LIVE.subtract(_files(path))
        for file in _files(path):
            if not _LIVE[file]:
                del _LIVE[file]


def refuse_live(path: str | bytes | os.PathLike[Any]) -> None:
    """Raise LiveDatabase if this is a live database by whatever name: relative, through links, or a second hard link."""
    if _LIVE and _is_live(os.fsdecode(path)):
        raise LiveDatabase(path=os.fsdecode(path))


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _LIVE and isinstance(arguments[0], str | bytes | os.PathLike):
        refuse_live(arguments[0])


def _is_live(path: str) -> bool:
    try:
        if os.path.realpath(path) in _LIVE:
            return True
        mine = Path(path).stat()
        return mine.st_nlink > 1 and any(_same(mine, live) for live in tuple(_LIVE))
    except (OSError, ValueError):  # no such file, or no name at all: the opening itself will say so
        return False


def _same(mine: os.stat_result, live: str) -> bool:
    try:
        return os.path.samestat(mine, Path(live).stat())
    except FileNotFoundError:  # -wal and -shm come and go
        return False


def _files(path: Path) -> tuple[str, str, str]:
    real = os.path.realpath(path)
    return real, real + "-wal", real + "-shm"
