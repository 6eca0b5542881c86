"""Repairs of a draft over HTTP: proposals with the ground before and after, a picture of each, made one by one or several.

Nothing is repaired by being looked at. One that is made is an edit in the draft's log, under the name of who made it; it is tried
first, and refused with the reason where it would not do what it says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import shapely

from api.usecases.map_drafts import By, NoSuchFinding, as_seen, edit, issue_told, standing
from api.usecases.map_features import MapStore
from api.usecases.map_places import Frame, plain_frame, told
from geodata.arcs import millimetres
from geodata.drafts import OPEN, DraftClosed, Working
from geodata.edits import Indexes
from geodata.proposal import Left
from geodata.repairs import Repair, Repairs, Widths, repairs_of, tried
from routing.errors import JieguanError, Lang

ROOM_MM = 20_000
"""Around a piece, at least, so that one sees where it is."""


class CannotRepair(JieguanError):
    zh = "此问题没有可采用的改法。{why}"
    en = "There is no repair to be made for this finding. {why}"


class WhichLayer(JieguanError):
    zh = "问题“{finding}”在 {layers} 几个图层中都有:无法确定指哪一个。请加上 layer。"
    en = "The layers {layers} all have a finding {finding!r}, and nobody can tell which one is meant. Add `layer`."


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms repairs are proposed. `order`: who keeps an overlap, first first. `layer` None: all."""

    limits: Widths = field(default_factory=Widths)
    order: tuple[str, ...] = ()
    layer: str | None = None


# --- looking at them ---


def repairs(of: MapStore, id_: str, terms: Terms, lang: Lang, work: bool, limit: int, offset: int) -> dict[str, Any]:
    """What could be done about each finding, and why about others nothing. Raises UnknownDraft, NoSuchUnit."""
    working = of.desk.open(id_)
    found = _proposed(working, terms)
    some = found.made[offset : offset + limit]
    end = offset + len(some)
    return {
        "revision": working.revision, "matched": len(found.made),
        "repairs": [_repair_told(r, working, lang, plain_frame(work, working.settings.work_crs)) for r in some],
        "left": [_left_told(layer, left, working, lang) for layer, left in found.left],
        "next_offset": end if end < len(found.made) else None,
    }  # fmt: skip


def repair(of: MapStore, id_: str, finding: str, terms: Terms, lang: Lang, work: bool) -> dict[str, Any]:
    """One of them, tried: `holds`, and if it does not, `why`. Raises UnknownDraft, NoSuchFinding, CannotRepair, WhichLayer."""
    working = of.desk.open(id_)
    one = _one(working, finding, terms)
    try:
        tried(working.now, working.checks, one, Indexes(working.now))
    except JieguanError as error:
        why: str | None = error.text(lang)
    else:
        why = None
    said = _repair_told(one, working, lang, plain_frame(work, working.settings.work_crs))
    return {**said, "revision": working.revision, "holds": why is None, "why": why}


def picture(of: MapStore, id_: str, finding: str, terms: Terms, lang: Lang) -> bytes:
    """Before and after, a PNG. Raises UnknownDraft, NoSuchFinding, CannotRepair, WhichLayer, NoFont."""
    from api import repair_picture  # noqa: PLC0415 - matplotlib takes a second, and a service may never draw

    working = of.desk.open(id_)
    one = _one(working, finding, terms)
    return repair_picture.picture(one, working.checks[one.layer].grounds, _names(working, one.layer), lang)


# --- making them ---


def make(of: MapStore, by: By, finding: str, terms: Terms) -> dict[str, Any]:
    """One of them. Raises NoSuchFinding, CannotRepair, WhichLayer, FindingStays, MakesFinding, EditConflict, DraftClosed."""
    working = of.desk.open(by.draft)
    one = _one(working, finding, terms)
    tried(working.now, working.checks, one, Indexes(working.now))
    return _made(of, by, one, working)


def make_several(
    of: MapStore, by: By, findings: Sequence[str] | None, terms: Terms, lang: Lang, limit: int
) -> dict[str, Any]:
    """Those named, or all there are (None), at most `limit`; each is an entry of the log, or refused with its reason, and holds up
    no other. `remaining`: how many more there are to be tried. Raises EditConflict where the draft is not what `by` saw,
    DraftClosed."""
    as_seen(of, by)
    begun = of.desk.open(by.draft)
    if begun.state != OPEN:
        raise DraftClosed(draft=by.draft, state=begun.state)
    outcomes: dict[tuple[str, str], dict[str, Any]] = {}
    at = Indexes(begun.now)
    for one in _in_turn(of, by.draft, findings, terms, outcomes, lang):
        if len(outcomes) >= limit:
            break
        working = of.desk.open(by.draft)
        try:
            tried(working.now, working.checks, one, at)
            after = _made(of, By(by.draft, by.person), one, working)
        except JieguanError as error:
            outcomes[one.layer, one.finding] = _outcome(one.finding, one.layer, error=error, lang=lang)
        else:
            outcomes[one.layer, one.finding] = _outcome(one.finding, one.layer, seq=after["undo"])
    working = of.desk.open(by.draft)
    waiting = [r for r in _proposed(working, terms).made if (r.layer, r.finding) not in outcomes]
    left = [r for r in waiting if findings is None or r.finding in findings]
    return {**standing(working), "outcomes": list(outcomes.values()), "remaining": len(left)}


def _in_turn(
    of: MapStore, draft: str, findings: Sequence[str] | None, terms: Terms, outcomes: dict[tuple[str, str], dict[str, Any]], lang: Lang
) -> Iterator[Repair]:
    """Repairs of the draft as it is by then: one that was made may settle or change others. Of those named, what is not to be
    repaired gets its outcome here."""
    if findings is None:
        while True:
            working = of.desk.open(draft)
            todo = [r for r in _proposed(working, terms).made if (r.layer, r.finding) not in outcomes]
            if not todo:
                return
            for one in todo:
                yield from (r for r in _proposed(of.desk.open(draft), terms, one.finding).made if r.layer == one.layer)
    for finding in findings or ():
        try:
            one = _one(of.desk.open(draft), finding, terms)
        except JieguanError as error:
            outcomes["", finding] = _outcome(finding, None, error=error, lang=lang)
        else:
            yield one


def _made(of: MapStore, by: By, one: Repair, working: Working) -> dict[str, Any]:
    """The edit, on top of what was tried, or of what its author saw before."""
    done: dict[str, Any] = {}
    seen = working.revision if by.seen is None else by.seen
    for each in one.edits:
        done = edit(of, By(by.draft, by.person, seen), lambda *_, each=each: each, False, f"{one.kind.value}: {one.finding}")
        seen = int(done["revision"])
    return done


def _outcome(
    finding: str, layer: str | None, *, seq: int | None = None, error: JieguanError | None = None, lang: Lang = "zh-CN"
) -> dict[str, Any]:
    reason = None if error is None else {"error": type(error).__name__, "text": error.text(lang)}
    return {"finding": finding, "layer": layer, "accepted": error is None, "seq": seq, "reason": reason}


# --- small parts ---


def _proposed(working: Working, terms: Terms, only: str | None = None) -> Repairs:
    checks = {layer: c for layer, c in working.checks.items() if terms.layer in (None, layer)}
    return repairs_of(working.now, checks, terms.limits, order=terms.order, only=only)


def _one(working: Working, finding: str, terms: Terms) -> Repair:
    found = _proposed(working, terms, finding)
    layers = sorted({r.layer for r in found.made} | {layer for layer, _ in found.left})
    if not layers:
        raise NoSuchFinding(value=finding[:80])
    if len(layers) > 1:
        raise WhichLayer(finding=finding, layers=", ".join(layers))
    if found.left:
        ((_, left),) = found.left
        raise CannotRepair(finding=finding, why=left)
    (one,) = found.made
    return one


def _names(working: Working, layer: str) -> dict[str, str]:
    return {k[1]: r.name for k, r in working.now.rows.items() if k[0] == layer and r.until is None and r.name}


def _left_told(layer: str, left: Left, working: Working, lang: Lang) -> dict[str, Any]:
    said = issue_told(left.issue, working.settings.work_crs, lang)
    return {"layer": layer, "finding": said["id"], **said, "why": left.why.value, "who": list(left.who), "reason": left.text(lang)}


def _repair_told(one: Repair, working: Working, lang: Lang, frame: Frame) -> dict[str, Any]:
    """A proposal with the ground around it before and after, cut off at a window."""
    work_crs = working.settings.work_crs
    x0, y0, x1, y1 = shapely.bounds(one.piece).tolist()
    room = max(ROOM_MM, (x1 - x0) / 2, (y1 - y0) / 2)
    window = (x0 - room, y0 - room, x1 + room, y1 + room)
    grounds = {c: millimetres(g) for c, g in working.checks[one.layer].grounds.items() if _meets(g, window)}
    changed = told([one.piece], frame, work_crs)[0]
    finding = issue_told(one.issue, work_crs, lang)
    return {
        "finding": one.finding, "layer": one.layer, "kind": one.kind.value, "severity": finding["severity"],
        "gains": one.gains, "loses": one.loses, "area_m2": one.area_m2, "width_m": one.issue.width_m, "place": finding["place"],
        "text": one.text(lang), "what": finding["text"], "changed": shapely.geometry.mapping(changed),
        "before": _collection(grounds, one, window, _names(working, one.layer), frame, work_crs),
        "after": _collection({**grounds, **one.after}, one, window, _names(working, one.layer), frame, work_crs),
    }  # fmt: skip


def _meets(ground: Any, window: tuple[float, float, float, float]) -> bool:
    x0, y0, x1, y1 = (shapely.bounds(ground) * 1000).tolist()
    return bool(x0 <= window[2] and x1 >= window[0] and y0 <= window[3] and y1 >= window[1])


def _collection(
    grounds: Mapping[str, Any], one: Repair, window: tuple[float, float, float, float], names: Mapping[str, str], frame: Frame,
    work_crs: str,
) -> dict[str, Any]:
    """Units within a window; `area_m2` is of a unit's whole ground."""
    cut = {code: _areas(shapely.clip_by_rect(grounds[code], *window)) for code in sorted(grounds)}
    there = {code: shape for code, shape in cut.items() if not shapely.is_empty(shape)}
    shapes = told(list(there.values()), frame, work_crs)
    role = {one.gains: "gains", one.loses: "loses"}
    features = [
        {
            "type": "Feature", "id": code, "geometry": shapely.geometry.mapping(shape),
            "properties": {
                "code": code, "name": names.get(code, ""), "role": role.get(code), "area_m2": float(shapely.area(grounds[code])) / 1e6,
            },
        }
        for code, shape in zip(there, shapes, strict=True)
    ]  # fmt: skip
    return {"type": "FeatureCollection", "features": features}


def _areas(shape: Any) -> Any:
    """The polygons of a shape that was clipped; a window may cut one at half a millimetre."""
    whole = shapely.set_precision(shape, 1.0)
    return shapely.MultiPolygon([p for p in shapely.get_parts(whole).tolist() if p.geom_type == "Polygon"])
