"""What a service is told when it starts: which database, which limits, and whether it is a development machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from geodata.child import FENCE
from geodata.db.engine import parse_url

DATABASE, DEVELOPMENT, HISTORIES = "JIEGUAN_DATABASE", "JIEGUAN_DEVELOPMENT", "JIEGUAN_HISTORIES"
WORKERS, PRIVATE, MASTER, NEW_MASTER = "JIEGUAN_WORKERS", "JIEGUAN_PRIVATE", "JIEGUAN_MASTER_KEY", "JIEGUAN_NEW_MASTER_KEY"
WORKER = "JIEGUAN_WORKER"
ZONE, CHINA = "JIEGUAN_ZONE", "Asia/Shanghai"
PROXIES = "JIEGUAN_PROXIES"
SECURE, ISSUER = "JIEGUAN_SECURE_COOKIES", "JIEGUAN_OIDC_ISSUER"
TRUE = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider, and the claims that say role and squad. `back`: where it sends browsers to, if not the address they ask."""

    issuer: str
    client: str
    secret: str | None = field(default=None, repr=False)
    role: str = "role"
    squad: str = "squad"
    back: str | None = None


@dataclass(frozen=True, slots=True)
class Serving:
    """`development`: anybody who is on this machine may write, under the name he gives; only on loopback."""

    database: str
    development: bool = False
    workers: int = 1
    """Of how many processes this is one. Jobs and past cases are kept in a process, so there are none where there are several."""
    worker: bool | None = None
    """Whether it does the jobs, too; None: where the database is embedded, and belongs to this process."""
    proxies: str | None = None
    """Addresses of our own proxies, with commas: what they say of where a request came from is believed, and nobody else."""
    zone: str = CHINA
    """Where a day begins: for the numbers of cases."""
    body_bytes: int = 32 * 2**20
    body_seconds: float = 15.0
    """A body that is not all here by then is not waited for."""
    wait_seconds: float = 2.0
    """For what others hold in the database: a lock, the turn to write. Who is not served by then is told to come again."""
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
    secure: bool = False
    """Cookies go over https alone: somebody in front of us speaks it. Where we are asked by https it is so anyway."""
    provider: Provider | None = None
    """Who else knows our people."""
    keep_maps: int = 4
    keep_layers: int = 64
    private: str | None = None
    """The folder of the keys and of the record's anchor; None: that of the database."""
    master: str | None = field(default=None, repr=False)
    """The master key; None: that in the private folder."""

    @property
    def folder(self) -> Path:
        """The private folder. Raises UnknownDatabase."""
        return private_folder(self.database) if self.private is None else Path(self.private)


def of_environment(environment: Mapping[str, str] = os.environ) -> Serving:
    """JIEGUAN_DATABASE, _DEVELOPMENT, _HISTORIES, _PRIVATE, _MASTER_KEY, _WORKER, _ZONE; `serve` sets JIEGUAN_WORKERS for its workers."""
    database, histories = environment.get(DATABASE, "jieguan.db"), environment.get(HISTORIES) or None
    return Serving(
        database, development(environment), int(environment.get(WORKERS) or 1), histories=histories,
        private=environment.get(PRIVATE) or None, worker=truth(environment.get(WORKER)),
        master=environment.get(MASTER) or None, zone=environment.get(ZONE) or CHINA,
        secure=environment.get(SECURE, "").lower() in TRUE, proxies=environment.get(PROXIES) or None, provider=provider_of(environment),
    )  # fmt: skip


def truth(value: str | None) -> bool | None:
    """Yes, no, or nothing said."""
    return value.lower() in TRUE if value else None


def provider_of(environment: Mapping[str, str] = os.environ) -> Provider | None:
    """JIEGUAN_OIDC_ISSUER, _CLIENT_ID, _CLIENT_SECRET; _ROLE_CLAIM, _SQUAD_CLAIM, _REDIRECT where they are not the usual."""

    def said(name: str) -> str | None:
        return environment.get(f"JIEGUAN_OIDC_{name}") or None

    issuer = said("ISSUER")
    if issuer is None:
        return None
    return Provider(
        issuer, said("CLIENT_ID") or "jieguan", said("CLIENT_SECRET"), said("ROLE_CLAIM") or "role", said("SQUAD_CLAIM") or "squad",
        said("REDIRECT"),
    )  # fmt: skip


def serving_of(database: str | None, environment: Mapping[str, str] = os.environ) -> Serving:
    """The environment's, for the database somebody named, if he did."""
    serving = of_environment(environment)
    return serving if database is None else replace(serving, database=database)


def private_folder(database: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Where the keys of a database lie unless JIEGUAN_PRIVATE says so: beside its file; for a server's under this user's state."""
    url = parse_url(database)
    if url.drivername == "gpkg":
        return Path(f"{url.database}.private")
    state = environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    name = hashlib.sha256(url.set(password=None).render_as_string().encode()).hexdigest()[:16]
    return Path(state) / "jieguan" / name


def development(environment: Mapping[str, str] = os.environ) -> bool:
    """Is JIEGUAN_DEVELOPMENT set?"""
    return environment.get(DEVELOPMENT, "").lower() in TRUE
