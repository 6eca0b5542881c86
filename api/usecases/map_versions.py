"""The versions of a map: which there are, what they say, which holds, and which was thought to."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from api.usecases.map_features import MapStore
from geodata import store
from geodata.db import tables as t
from geodata.layer import LayerName
from geodata.store import InForce, Signing, UnknownVersion
from geodata.written import replace_file


def publications(of: MapStore, known: datetime | None = None) -> list[dict[str, Any]]:
    """All publications in order; with `known`, as they stood then."""
    with of.db.reading() as session:
        return [publication_told(p) for p in store.published(session, known)]


def holding(of: MapStore, at: datetime | None = None, known: datetime | None = None) -> dict[str, Any]:
    """What holds at an instant (now), or was known at `known` to hold then. Raises NothingInForce."""
    moment = of.now() if at is None else at
    with of.db.reading() as session:
        found = store.in_force(session, moment) if known is None else store.as_of(session, moment, known)
    return publication_told(found)


def versions(of: MapStore) -> list[dict[str, Any]]:
    """All versions recorded, the latest first, with the publications of each."""
    with of.db.reading() as session:
        times: dict[str, list[dict[str, Any]]] = {}
        for p in store.published(session):
            times.setdefault(p.version, []).append(publication_told(p))
        rows = session.scalars(sa.select(t.MapVersion).order_by(t.MapVersion.recorded_at.desc(), t.MapVersion.hash))
        return [_told(row, times.get(row.hash, [])) for row in rows]


def version(of: MapStore, name: str) -> dict[str, Any]:
    """One version: what it was made with, its publications, how many rows each layer has. Raises UnknownVersion."""
    with of.db.reading() as session:
        row = _known(session, name)
        times = [publication_told(p) for p in store.published(session) if p.version == name]
        counts = Counter(session.scalars(sa.select(t.Member.layer).where(t.Member.version_hash == name)))
    return {**_told(row, times), "layers": {layer.value: counts.get(layer.value, 0) for layer in LayerName}}


def certificate(of: MapStore, name: str) -> dict[str, Any]:
    """The certificate of a version. Raises UnknownVersion."""
    with of.db.reading() as session:
        row = _known(session, name)
    return {"version": row.hash, "map": row.map_name, "rules_version": row.rules_version, **row.certificate}


def named(of: MapStore, text: str) -> str:
    """The version that a person means by its name or the beginning of it. Raises UnknownVersion, AmbiguousVersion."""
    with of.db.reading() as session:
        return store.version_named(session, text)


def compiled(of: MapStore, out: str | Path, name: str | None = None) -> dict[str, Any]:
    """Write the sealed map file of a version, or of the one in force, whole or not at all; it was verified on the way.

    Raises NothingInForce, UnknownVersion, AmbiguousVersion, MapRefused, LiveDatabase, CannotWrite.
    """
    at = of.now()
    with of.db.reading() as session:
        version = store.in_force(session, at).version if name is None else store.version_named(session, name)
        made = store.read_version(session, version)
    replace_file(out, made.data)
    return {"version": made.hash, "map": made.map.version, "out": str(out), "bytes": len(made.data)}


def roll_back(of: MapStore, to: str, signing: Signing, valid_from: datetime | None) -> dict[str, Any]:
    """Publish an earlier version again. Raises what `store.roll_back` raises."""
    return publication_told(store.roll_back(of.db, to, signing, now=of.now(), valid_from=valid_from))


def publication_told(p: InForce) -> dict[str, Any]:
    """A publication as plain values."""
    return {
        "id": p.id, "version": p.version, "valid_from": p.valid_from.isoformat(),
        "valid_to": None if p.valid_to is None else p.valid_to.isoformat(), "recorded_at": p.recorded_at.isoformat(),
        "withdrawn": p.withdrawn, "signed": list(p.signed), "reason": p.reason, "document": p.document,
    }  # fmt: skip


def _known(session: Any, name: str) -> t.MapVersion:
    row: t.MapVersion | None = session.get(t.MapVersion, name)
    if row is None:
        raise UnknownVersion(value=name[:80])
    return row


def _told(row: t.MapVersion, times: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "version": row.hash, "map": row.map_name, "recorded_at": row.recorded_at.isoformat(), "author": row.author,
        "note": row.note or "", "rules_version": row.rules_version, "geos_version": row.geos_version,
        "proj_version": row.proj_version, "settings": row.settings, "publications": times,
    }  # fmt: skip
