"""What a service is told when it starts: which database, which limits, and whether it is a development machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from geodata.child import FENCE

DATABASE, DEVELOPMENT, HISTORIES = "JIEGUAN_DATABASE", "JIEGUAN_DEVELOPMENT", "JIEGUAN_HISTORIES"
WORKERS = "JIEGUAN_WORKERS"
ZONE = "JIEGUAN_ZONE"
TRUE = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True, slots=True)
class Serving:
    """`development`: anybody who is on this machine may write, under the name he gives; only on loopback."""

    database: str
    development: bool = False
    workers: int = 1
    """Of how many processes this is one. Jobs and past cases are kept in a process, so there are none where there are several."""
    zone: str = "Asia/Shanghai"
    """Where a day begins: for the numbers of cases."""
    body_bytes: int = 32 * 2**20
    body_seconds: float = 15.0
    """A body that is not all here by then is not waited for."""
    upload_bytes: int = FENCE.upload
    """A layer that is uploaded into a draft; other bodies are never that large."""
    history_bytes: int = 256 * 2**20
    """A file of past cases."""
    history_rows: int = 10_000_000
    attachment_bytes: int = 20 * 2**20
    """A photo, a paper, a short film of a case."""
    batch_bytes: int = 20 * 2**20
    """A table of complaints."""
    file_seconds: float = 300.0
    """A file that is not all here by then is not waited for."""
    files_at_once: int = 4
    """Files received and read at once; each takes up to its limit on disk meanwhile, and its reader 512 MiB of address space."""
    histories: str | None = None
    """The folder in which past cases are kept; without one, in a temporary folder that goes when the process ends."""
    keep_histories: int = 20
    queue: int = 8
    """Jobs that may wait; who comes then is told to come again."""
    keep_jobs: int = 20
    """Jobs that ended, with their results; older ones are forgotten."""
    keep_warm: int = 2
    """Histories kept decided under the map in force, some 100 bytes a case."""
    threads: int = 16
    """Requests worked on at once; each new thread sets up its own PROJ, and more of them would only share the same cores."""
    keep_maps: int = 4
    keep_layers: int = 64


def of_environment(environment: Mapping[str, str] = os.environ) -> Serving:
    """JIEGUAN_DATABASE, JIEGUAN_DEVELOPMENT, JIEGUAN_HISTORIES; JIEGUAN_WORKERS is set for its workers by `serve`."""
    database, histories = environment.get(DATABASE, "jieguan.db"), environment.get(HISTORIES) or None
    return Serving(database, development(environment), int(environment.get(WORKERS) or 1), histories=histories, zone=environment.get(ZONE) or "Asia/Shanghai")


def development(environment: Mapping[str, str] = os.environ) -> bool:
    """Is JIEGUAN_DEVELOPMENT set?"""
    return environment.get(DEVELOPMENT, "").lower() in TRUE
