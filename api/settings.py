"""What a service is told when it starts: which database, which limits, and whether it is a development machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

DATABASE, DEVELOPMENT = "JIEGUAN_DATABASE", "JIEGUAN_DEVELOPMENT"
TRUE = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True, slots=True)
class Serving:
    """`development`: anybody who is on this machine may write, under the name he gives; only on loopback."""

    database: str
    development: bool = False
    body_bytes: int = 32 * 2**20
    body_seconds: float = 15.0
    """A body that is not all here by then is not waited for."""
    threads: int = 16
    """Requests worked on at once; each new thread sets up its own PROJ, and more of them would only share the same cores."""
    keep_maps: int = 4
    keep_layers: int = 64


def of_environment(environment: Mapping[str, str] = os.environ) -> Serving:
    """JIEGUAN_DATABASE, JIEGUAN_DEVELOPMENT."""
    return Serving(environment.get(DATABASE, "jieguan.db"), development(environment))


def development(environment: Mapping[str, str] = os.environ) -> bool:
    """Is JIEGUAN_DEVELOPMENT set?"""
    return environment.get(DEVELOPMENT, "").lower() in TRUE
