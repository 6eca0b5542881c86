"""The ledger of defects as a screen needs it: what stays open, how heavy each weighs, what is mended and can be closed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from api.usecases.histories import tried
from api.usecases.map_drafts import issue_told
from api.usecases.map_features import MapStore
from api.usecases.map_places import plain_frame, told
from api.usecases.route_file import PointFile
from geodata import ledger, store
from geodata.drafts import Working
from geodata.files import Table, read_table
from geodata.layer import LayerName
from geodata.ledger import Closing, Duty, Entry, Kept, Standing, UnknownDefect
from geodata.topology_issue import Issue
from routing.again import History
from routing.errors import JieguanError, Lang
from routing.jurisdiction import NoSuchSquad


class NotAssigned(JieguanError):
    zh = "问题“{key}”还不在台账里:登记时须写明由哪个中队暂管(--squad)、由谁处理(--owner)。请补上。"
    en = "The finding {key!r} is not in the ledger yet: to enter it, say who keeps the ground (--squad) and who sees to it (--owner)."


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


def assign(
    of: MapStore, key: str, draft: str | None, *, squad: str | None, owner: str | None, due: datetime | None, document: str
) -> dict[str, Any]:
    """Who keeps the ground of a defect, who sees to it, until when. What the ledger does not carry yet is entered: a finding of the draft,
    or of the map in force; then squad and owner must be named. Raises UnknownDefect, DefectClosed, NotAssigned, NoSuchSquad,
    NothingInForce.
    """
    with of.db.reading() as session:
        there = any(k.key == key and k.closed_at is None for k in ledger.read(session))
    working = None if draft is None else of.desk.open(draft)
    if squad is not None:
        _check_squad(of, squad, working)
    if not there:
        issue = _issue(of, key, working)
        if not squad or not owner:
            raise NotAssigned(key=key)
        of.desk.enter_defect(issue, squad, owner, of.now(), due, document)
    with of.db.writing() as session:
        kept = ledger.assign(session, key, Duty(squad, owner, None if due is None else due.astimezone(UTC), document))
    return {**_kept_told(kept), **NOTHING_FOUND}


def past_of(of: MapStore, source: PointFile, stored: Table | None = None) -> History:
    """Past cases of a file, or those `stored`, in the metres of the map in force. Raises what the readers raise."""
    at = of.now()
    with of.db.reading() as session:
        on = of.maps.of(session, store.in_force(session, at).version)
    return tried(read_table(source.points) if stored is None else stored, source, on).history


# --- small parts ---


def _issue(of: MapStore, key: str, working: Working | None) -> Issue:
    """The finding of that id, of a draft or of the map in force. Raises UnknownDefect."""
    if working is not None:
        found = next((issue for issue in working.issues if issue.id == key), None)
    else:
        stands = _standing(of)[0].get(key)
        found = None if stands is None else stands.issue
    if found is None:
        raise UnknownDefect(value=key[:80])
    return found


def _check_squad(of: MapStore, squad: str, working: Working | None) -> None:
    """Somebody who exists keeps the ground. Raises NoSuchSquad."""
    if working is None:
        at = of.now()
        with of.db.reading() as session:
            rows = {(r.layer.value, r.code) for r in store.read_rows(session, store.in_force(session, at).version)}
    else:
        rows = {key[:2] for key in working.now.rows}
    if (LayerName.SQUAD.value, squad) not in rows:
        raise NoSuchSquad(of="--squad", value=squad)

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
