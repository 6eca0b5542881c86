"""What the commands of the command line share: the language, the two streams, progress, JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from api import (
    words,
    words_batch,
    words_limits,
    words_map,
    words_people,
    words_sealed,
    words_settings,
    words_statistics,
    words_whatif,
)
from geodata.compile import Progress as Told
from geodata.compile import silent
from routing.errors import Lang

out = Console()
err = Console(stderr=True)

SAID = (
    words.WORDS, words_whatif.WORDS, words_map.WORDS, words_people.WORDS, words_sealed.WORDS, words_batch.WORDS, words_settings.WORDS,
    words_statistics.WORDS, words_limits.WORDS,
)  # fmt: skip

_spoken: list[Lang] = ["zh-CN"]


def speak(lang: Lang) -> None:
    """Choose the language, once per process, before anything is printed."""
    _spoken[0] = lang


def lang_now() -> Lang:
    """The language chosen."""
    return _spoken[0]


def say(key: str, **facts: object) -> str:
    """A sentence in the chosen language."""
    zh, en = next(said[key] for said in SAID if key in said)
    return (zh if lang_now() == "zh-CN" else en).format(**facts)


def utc_now() -> datetime:
    """The clock of the command line."""
    return datetime.now(UTC)


@contextmanager
def progress(quiet: bool) -> Iterator[Told]:
    """A bar on the error stream, where somebody looks; nothing where a machine does."""
    if quiet or not err.is_terminal:
        yield silent
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda stage, done, of: bar.update(task, description=say("stage_" + stage), completed=done, total=of)


def print_json(value: Any) -> None:
    """For machines, on the output stream."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=str))  # noqa: T201 - this is the output
