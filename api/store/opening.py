"""A database of the service with what belongs to it in the private folder: the keys of its cases, the anchor of its record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from api.settings import Serving
from api.store.record import Anchor, Book
from api.store.setup import opened
from api.vault import Vault, open_vault
from geodata.db.engine import Database, Waits

ANCHOR = "anchor"


@dataclass(frozen=True, slots=True, eq=False)
class Working:
    """All of it, open. Where `vault.made` names a file, its master key is new: somebody should be told, and keep a copy."""

    db: Database
    vault: Vault
    book: Book


@contextmanager
def working(serving: Serving) -> Iterator[Working]:
    """Open for as long as the block lasts. Raises what `opened` and `open_vault` raise."""
    waits = Waits(gate=serving.wait_seconds, lock=serving.wait_seconds, silence=serving.wait_seconds)
    with opened(serving.database, waits) as db, open_vault(serving.folder, serving.master) as vault:
        yield Working(db, vault, Book(db, anchor_of(serving)))


def anchor_of(serving: Serving) -> Anchor:
    """The anchor of the record; reading it needs no key."""
    return Anchor(serving.folder / ANCHOR)
