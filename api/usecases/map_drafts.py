"""Drafts as a planner's screen needs them: as they stand, what was done, what is open, who must sign; and every way to act on one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import shapely
import sqlalchemy as sa

from api.usecases.map_features import MapStore
from api.usecases.map_places import Frame, path_of, plain_frame, told
from api.usecases.map_rows import record_of
from api.usecases.map_versions import publication_told
from geodata.crs import from_work, parse_crs
from geodata.db import tables as t
from geodata.drafts import EditConflict, Entry, Working, open_findings, rows_changed, sides_of
from geodata.edits import Edit
from geodata.layer import LayerName
from geodata.topology_issue import Issue, Severity
from routing.errors import JieguanError, Lang

DRAWN = frozenset({"piece", "path", "line"})
"""Arguments of an edit that are too long for a log."""


class OnlyWarnings(JieguanError):
    zh = "“{value}”是错误,不是警告,不能凭理由接受:那里会无人负责或多人负责。请改正,或登入缺陷台账并写明由谁暂管。"
    en = (
        "{value!r} is an error, no warning, and no reason makes it acceptable: nobody, or several, would be responsible there. Mend it, or "
        "enter it in the ledger of defects with who keeps the ground meanwhile."
    )


class NoSuchFinding(JieguanError):
    zh = "草案中没有编号为“{value}”的问题:它可能已被改正。请重新读取问题列表。"
    en = "The draft has no finding {value!r}: it may have been mended. Load the findings again."


class NoArcs(JieguanError):
    zh = "图层“{value}”没有共同边界,因此没有界段;有界段的图层:{known}。"
    en = "The layer {value!r} has no shared borders and so no arcs; those that have: {known}."


@dataclass(frozen=True, slots=True)
class By:
    """Who acts on which draft, and the revision he looked at (None: the latest)."""

    draft: str
    person: str
    seen: int | None = None


# --- as it stands ---


def drafts(of: MapStore) -> list[dict[str, Any]]:
    """All drafts, newest first."""
    return of.desk.drafts()


def begin(of: MapStore, name: str, person: str) -> dict[str, Any]:
    """A draft on what was published last. Raises NothingInForce."""
    return standing(of.desk.begin(name, person, of.now()))


def draft(of: MapStore, id_: str) -> dict[str, Any]:
    """A draft as it stands. Raises UnknownDraft."""
    return standing(of.desk.open(id_))


def standing(working: Working) -> dict[str, Any]:
    """State, revision, log, what can be undone, whose signatures it takes, how many findings."""
    return {
        "id": working.id, "name": working.name, "author": working.author, "state": working.state,
        "revision": working.revision, "base": {"version": working.base_version, "publication": working.base_publication},
        "work_crs": working.settings.work_crs,
        "undo": working.undoable(), "redo": working.redoable(), "sides": sorted(sides_of(working)),
        "findings": dict(sorted(Counter(i.severity.value for i in working.issues).items())),
        "log": [entry_told(e, working) for e in working.log],
    }  # fmt: skip


def entry_told(entry: Entry, working: Working) -> dict[str, Any]:
    """One line of the log. `holds`: an edit that was neither undone nor dropped."""
    args = {k: v for k, v in entry.args.items() if k not in DRAWN}
    if isinstance(args.get("row"), Mapping):
        args["row"] = {k: v for k, v in args["row"].items() if k != "ground"}
    return {
        "seq": entry.seq, "author": entry.author, "at": entry.at.isoformat(), "kind": entry.kind, "note": entry.note,
        "holds": entry.seq in working.active, "what": args,
    }  # fmt: skip


def arcs(of: MapStore, id_: str, layer: LayerName, work: bool) -> dict[str, Any]:
    """The borders of a layer: ids, both sides, lines. Raises UnknownDraft, NoArcs."""
    working = of.desk.open(id_)
    coverage = working.now.coverages.get(layer.value)
    if coverage is None:
        raise NoArcs(value=layer.value, known=", ".join(working.now.coverages))
    some = [coverage.arcs[k] for k in sorted(coverage.arcs)]
    work_crs = working.settings.work_crs
    lines: Any = [shapely.LineString(arc.path) for arc in some]
    shapes = told(lines, plain_frame(work, work_crs), work_crs)
    features = [
        {
            "type": "Feature", "id": arc.id, "properties": {"left": list(arc.left), "right": list(arc.right)},
            "geometry": {"type": "LineString", "coordinates": shapely.get_coordinates(shape).tolist()},
        }
        for arc, shape in zip(some, shapes, strict=True)
    ]  # fmt: skip
    return {"type": "FeatureCollection", "revision": working.revision, "layer": layer.value, "features": features}


def changes(of: MapStore, id_: str) -> list[dict[str, Any]]:
    """Rows that differ from the base: as they were, as they are; None where there is none."""
    working = of.desk.open(id_)
    pairs = rows_changed(working.base, working.now)
    return [
        {
            "layer": (a or b).layer.value, "code": (a or b).code,  # type: ignore[union-attr]
            "before": None if a is None else record_of(a), "after": None if b is None else record_of(b),
            "ground": (None if a is None else a.wkb) != (None if b is None else b.wkb),
        }
        for a, b in pairs
    ]  # fmt: skip


# --- acting on it ---


def edit(of: MapStore, by: By, made: Callable[[Frame, str], Edit], work: bool, note: str = "") -> dict[str, Any]:
    """One edit more. `made`: the edit, told the frame its places are in and the work CRS. Raises EditConflict with what
    came between, and whatever the edit refuses."""
    working = of.desk.open(by.draft)
    one = made(plain_frame(work, working.settings.work_crs), working.settings.work_crs)
    try:
        return standing(of.desk.add(by.draft, one, by.person, of.now(), seen=by.seen, note=note))
    except EditConflict as error:
        between = _between(of.desk.open(by.draft), int(str(error.facts["seen"])))
        raise EditConflict(**error.facts, between=between) from error


def undo(of: MapStore, by: By, seq: int | None) -> dict[str, Any]:
    """Take an edit out, the last by default. Raises NothingToUndo, UndoneByOthers, EditConflict."""
    as_seen(of, by)
    return standing(of.desk.undo(by.draft, by.person, of.now(), seq))


def redo(of: MapStore, by: By) -> dict[str, Any]:
    """Put back what was undone last. Raises NothingToUndo, EditConflict."""
    as_seen(of, by)
    return standing(of.desk.redo(by.draft, by.person, of.now()))


def rebase(of: MapStore, by: By, lang: Lang) -> dict[str, Any]:
    """Onto what was published last. `dropped`: edits that do not hold there, and why."""
    working, dropped = of.desk.rebase(by.draft, by.person, of.now())
    return {**standing(working), "dropped": [{"seq": seq, "why": why.text(lang)} for seq, why in dropped]}


def abandon(of: MapStore, by: By) -> dict[str, Any]:
    """Close it without publishing."""
    of.desk.abandon(by.draft)
    return draft(of, by.draft)


def comment(of: MapStore, by: By, text: str, place: Sequence[float] | None) -> None:
    """Something said about it. `place`: longitude, latitude."""
    if place is None:
        of.desk.comment(by.draft, by.person, text, of.now())
        return
    work_crs = of.desk.open(by.draft).settings.work_crs
    ((x, y),) = path_of(shapely.Point(place[:2]), plain_frame(False, work_crs), work_crs)
    of.desk.comment(by.draft, by.person, text, of.now(), (x / 1000, y / 1000))


def sign(of: MapStore, by: By, side: str, role: str, reason: str, document: str) -> None:
    """Sign what the draft now is; with `seen`, only if that is what the signer looked at. Raises EditConflict, NoDocument."""
    as_seen(of, by)
    of.desk.sign(by.draft, side, by.person, of.now(), role=role, reason=reason, document=document)


def waive(of: MapStore, by: By, finding: str, reason: str) -> None:
    """Accept a warning. Raises NoSuchFinding, OnlyWarnings, NoReason."""
    issue = _finding(of.desk.open(by.draft), finding)
    if issue.severity is Severity.ERROR:
        raise OnlyWarnings(value=finding)
    of.desk.waive(by.draft, finding, by.person, reason, of.now())


def enter_defect(
    of: MapStore, by: By, finding: str, squad: str, due: datetime | None, document: str
) -> None:
    """Into the ledger: who keeps the ground meanwhile; who enters it sees to it. Raises NoSuchFinding."""
    issue = _finding(of.desk.open(by.draft), finding)
    of.desk.enter_defect(issue, squad, by.person, of.now(), due, document)


def publish(of: MapStore, by: By, reason: str, document: str, valid_from: datetime | None) -> dict[str, Any]:
    """Put it in force. Raises EditConflict, OpenFindings, NotSigned, OnlyItsAuthor, BaseOutdated, InThePast, BeforeTheLast."""
    as_seen(of, by)
    done, version = of.desk.publish(by.draft, by.person, reason, of.now, valid_from=valid_from, document=document)
    return {**publication_told(done), "certificate": version.certificate}


# --- what is open ---


def findings(of: MapStore, id_: str, lang: Lang) -> list[dict[str, Any]]:
    """What the checks say of the draft, and which of it stands in the way of publishing."""
    working = of.desk.open(id_)
    with of.db.reading() as session:
        waived = {w.finding: w for w in session.scalars(sa.select(t.Waiver).where(t.Waiver.draft_id == id_))}
        carried = set(session.scalars(sa.select(t.Defect.key).where(t.Defect.closed_at.is_(None))))
    blocking = {issue.id for issue in open_findings(working, carried, waived)}
    out = []
    of_layer = {**{layer: checks.issues for layer, checks in working.checks.items()}, LayerName.BORDER.value: working.stray}
    for layer, issues in sorted(of_layer.items()):
        for issue in issues:
            by = waived.get(issue.id)
            accepted = None if by is None else {"by": by.by, "reason": by.reason, "at": by.at.isoformat()}
            status = {"blocking": issue.id in blocking, "waived": accepted, "in_ledger": issue.id in carried}
            out.append({"layer": layer, **issue_told(issue, working.settings.work_crs, lang), **status})
    return out


def readiness(of: MapStore, id_: str, told_error: Callable[[JieguanError], Mapping[str, Any]]) -> dict[str, Any]:
    """Could it be published now, under which signatures; if not, why not."""
    working = of.desk.open(id_)
    try:
        signed = of.desk.readiness(working)
    except JieguanError as error:
        return {"ready": False, "revision": working.revision, "signed": [], "why": dict(told_error(error))}
    return {"ready": True, "revision": working.revision, "signed": list(signed), "why": None}


def comments(of: MapStore, id_: str) -> list[dict[str, Any]]:
    """What was said about it, with places in longitude and latitude. Raises UnknownDraft."""
    working = of.desk.open(id_)
    with of.db.reading() as session:
        rows = list(session.scalars(sa.select(t.DraftComment).where(t.DraftComment.draft_id == id_).order_by(t.DraftComment.id)))
    places = [None if r.place is None else (float(r.place["x"]), float(r.place["y"])) for r in rows]
    return [
        {"author": r.author, "at": r.at.isoformat(), "text": r.text, "place": place_told(p, working.settings.work_crs)}
        for r, p in zip(rows, places, strict=True)
    ]


def signatures(of: MapStore, id_: str) -> list[dict[str, Any]]:
    """Who signed which revision for whom. Raises UnknownDraft."""
    working = of.desk.open(id_)
    query = sa.select(t.DraftSignature).where(t.DraftSignature.draft_id == id_).order_by(t.DraftSignature.id)
    with of.db.reading() as session:
        return [
            {
                "side": s.side, "signer": s.signer, "role": s.role, "at": s.at.isoformat(), "revision": s.revision,
                "counts": s.revision == working.revision, "reason": s.reason or "", "document": s.document or "",
            }
            for s in session.scalars(query)
        ]  # fmt: skip


def waivers(of: MapStore, id_: str) -> list[dict[str, Any]]:
    """Warnings accepted by name. Raises UnknownDraft."""
    of.desk.open(id_)
    query = sa.select(t.Waiver).where(t.Waiver.draft_id == id_).order_by(t.Waiver.at, t.Waiver.finding)
    with of.db.reading() as session:
        return [
            {"finding": w.finding, "by": w.by, "reason": w.reason, "at": w.at.isoformat()} for w in session.scalars(query)
        ]


# --- small parts ---


def as_seen(of: MapStore, by: By) -> Working:
    """For what concerns the draft as a whole: it must be as its author saw it. Raises UnknownDraft, EditConflict."""
    working = of.desk.open(by.draft)
    if by.seen is not None and by.seen != working.revision:
        between = _between(working, by.seen)
        others = ", ".join(dict.fromkeys(e["author"] for e in between)) or "-"
        raise EditConflict(seen=by.seen, now=working.revision, others=others, where="-", between=between)
    return working


def _between(working: Working, seen: int) -> list[dict[str, Any]]:
    return [entry_told(e, working) for e in working.log if e.seq > seen]


def _finding(working: Working, id_: str) -> Issue:
    found = next((issue for issue in working.issues if issue.id == id_), None)
    if found is None:
        raise NoSuchFinding(value=id_[:80])
    return found


def issue_told(issue: Issue, work_crs: str, lang: Lang) -> dict[str, Any]:
    """A finding as plain values, its sentence in one language."""
    return {
        "id": issue.id, "code": issue.code, "severity": issue.severity.value, "features": list(issue.features),
        "place": place_told(issue.place, work_crs), "area_m2": issue.area_m2, "width_m": issue.width_m,
        "text": issue.text(lang),
    }  # fmt: skip


def place_told(place: tuple[float, float] | None, work_crs: str) -> dict[str, float] | None:
    """A place in metres, and in longitude and latitude."""
    if place is None:
        return None
    lon, lat = from_work(np.array([place[0]]), np.array([place[1]]), plain_frame(False, work_crs).system, parse_crs(work_crs))
    return {"x": place[0], "y": place[1], "lon": round(float(lon[0]), 9), "lat": round(float(lat[0]), 9)}
