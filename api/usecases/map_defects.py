"""The ledger of defects as a screen needs it: what stays open, how heavy each weighs, what is mended and can be closed."""

from __future__ import annotations

from typing import Any

from api.usecases.map_drafts import issue_told
from api.usecases.map_features import MapStore
from api.usecases.map_places import plain_frame, told
from geodata import ledger, store
from geodata.ledger import Closing, Entry, Kept, Standing
from routing.again import History
from routing.errors import Lang


def defects(of: MapStore, lang: Lang, past: History | None = None, closed: bool = True) -> list[dict[str, Any]]:
    """Open defects, the heaviest first: by the past cases on their ground, else by area. Then those that are closed.

    Raises NothingInForce where there are open ones.
    """
    with of.db.reading() as session:
        kept = ledger.read(session)
    done = [k for k in kept if k.closed_at is not None]
    out: list[dict[str, Any]] = []
    if len(done) < len(kept):
        stood, _, work_crs = _standing(of)
        out = [_told(entry, rank, work_crs, lang) for rank, entry in enumerate(ledger.ledger(stood, kept, past), 1)]
    return out + ([{**_kept_told(k), **NOTHING_FOUND} for k in done] if closed else [])


def close(of: MapStore, key: str, person: str, reason: str, document: str) -> dict[str, Any]:
    """Close one that the map in force no longer has. Raises UnknownDefect, DefectClosed, DefectStands, NoReason, NothingInForce."""
    stood, version, _ = _standing(of)
    with of.db.writing() as session:
        kept = ledger.close(session, key, stood, version, Closing(of.now(), person, reason, document))
    return {**_kept_told(kept), **NOTHING_FOUND}


# --- small parts ---

NOTHING_FOUND: dict[str, Any] = {
    "rank": None, "stands": None, "layer": None, "finding": None, "ground": None, "area_m2": None, "load": None,
}  # fmt: skip
"""Of a defect that is closed nothing more is asked."""


def _standing(of: MapStore) -> tuple[Standing, str, str]:
    """The findings of the version in force, its name, its work CRS. Raises NothingInForce."""
    at = of.now()
    with of.db.reading() as session:
        version = store.in_force(session, at).version
        work_crs = store.read_settings(session, version).work_crs
        return of.standings.of(version, lambda: store.read_rows(session, version)), version, work_crs


def _told(entry: Entry, rank: int, work_crs: str, lang: Lang) -> dict[str, Any]:
    found = entry.found
    ground = None
    if found is not None and found.ground is not None:
        (shape,) = told([found.ground], plain_frame(False, work_crs), work_crs)
        ground = shape.__geo_interface__
    return {
        **_kept_told(entry.kept), "rank": rank, "stands": found is not None, "layer": None if found is None else found.layer,
        "finding": None if found is None else issue_told(found.issue, work_crs, lang), "ground": ground,
        "area_m2": entry.area_m2, "load": entry.load,
    }  # fmt: skip


def _kept_told(k: Kept) -> dict[str, Any]:
    return {
        "key": k.key, "kind": k.kind, "default_squad": k.default_squad, "owner": k.owner,
        "due": None if k.due is None else k.due.isoformat(), "document": k.document, "opened_at": k.opened_at.isoformat(),
        "closed_at": None if k.closed_at is None else k.closed_at.isoformat(),
        "closings": [{"at": c.at.isoformat(), "by": c.by, "reason": c.reason, "document": c.document} for c in k.closings],
    }  # fmt: skip
