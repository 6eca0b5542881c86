"""A compiled map as bytes that carry their own proof material, and back.

The file format is stated in `pack`. The proof itself is in verify.py, which shares nothing with this package.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from datetime import datetime
from itertools import product
from typing import Any, get_type_hints
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from routing.ground.faces import Subdivision, twice_areas
from routing.jurisdiction import Borders, Context, Interval, JurisdictionMap, Plate, Settings, entered
from routing.ladder import RULES_VERSION
from routing.model import (
    Agreement,
    AgreementRule,
    Claim,
    Cycle,
    Designation,
    DirectCategory,
    Nearest,
    NotServed,
    Period,
    Squad,
    SquadCode,
    SquadKind,
    Stretch,
    Territory,
    Township,
)
from routing.situation import Roster

FORMAT = "jieguan-map/1"

KINDS: dict[str, type[Claim]] = {
    "territory": Territory,
    "township": Township,
    "agreement": Agreement,
    "designation": Designation,
    "not_served": NotServed,
    "nearest": Nearest,
    "direct": DirectCategory,
    "stretch": Stretch,
}

TURNS = 2
"""An alternating agreement is proven for either party's turn."""

Arrays = dict[str, NDArray[Any]]


def sealed(on: JurisdictionMap) -> tuple[JurisdictionMap, bytes]:
    """The map named by its content, and its file: the same bytes for the same content."""
    entries = entries_of(on)
    seal = seal_of(entries)
    named = replace(on, version=seal.hex()[:16])
    entries["seal"] = np.frombuffer(seal, np.uint8)
    out = io.BytesIO()
    np.savez(out, **{name: entries[name] for name in sorted(entries)})  # type: ignore[arg-type]
    return named, out.getvalue()


def seal_of(entries: Mapping[str, NDArray[Any]]) -> bytes:
    """SHA-256 over every entry but the seal: name, type, shape and bytes, in order of names."""
    digest = hashlib.sha256()
    for name in sorted(entries):
        if name != "seal":
            a = np.ascontiguousarray(entries[name])
            head = f"{name}\0{a.dtype.str}\0{','.join(map(str, a.shape))}\0"
            digest.update(head.encode() + a.tobytes() + b"\0")
    return digest.digest()


def entries_of(on: JurisdictionMap) -> Arrays:
    """The arrays of a map file, but for the seal.

    `manifest`: canonical JSON. Per plate k: `p{k}.xy` (V, 2) mm, sorted; `p{k}.ring`, `p{k}.ring_at`, `p{k}.face_at`: faces as
    rings of vertex ids, shell first; `p{k}.outside`: numbers of the rings that bound the whole; `p{k}.label`: of each face;
    `p{k}.extent_ring`, `p{k}.extent_at`: the declared extent; `p{k}.lead` (R, L + 1): who leads in each label, and outside.
    `p{k}.stretch` (S, 3), only where there are any: edges (two vertices, the lower first) in stretches of border, and whose claim.
    `contexts` (N, 5): interval, group, turn, finder, row in the lead table of the interval's plate.
    """
    leads: list[dict[bytes, int]] = [{} for _ in on.plates]
    tables: list[list[NDArray[np.int32]]] = [[] for _ in on.plates]
    contexts = []
    for at, context in _contexts(on):
        sheet = on.sheet(context)
        plate = on.intervals[context.interval].plate
        row = np.append(sheet.lead, sheet.lead[on.plates[plate].outside]).astype("<i4")
        if row.tobytes() not in leads[plate]:
            leads[plate][row.tobytes()] = len(tables[plate])
            tables[plate].append(row)
        contexts.append((*at, leads[plate][row.tobytes()]))
    out: Arrays = {"contexts": np.array(contexts, "<i8").reshape(-1, 5)}
    for k, plate_ in enumerate(on.plates):
        faces = plate_.faces
        for name in ("xy", "ring", "ring_at", "face_at", "outside"):
            out[f"p{k}.{name}"] = np.ascontiguousarray(getattr(faces, name), "<i8")
        out[f"p{k}.label"] = faces.label.astype("<i4")
        out[f"p{k}.extent_ring"] = plate_.extent_ring.astype("<i8")
        out[f"p{k}.extent_at"] = plate_.extent_at.astype("<i8")
        out[f"p{k}.lead"] = np.array(tables[k], "<i4").reshape(-1, len(plate_.labels) + 1)
        if plate_.borders is not None:
            out[f"p{k}.stretch"] = _stretch_rows(faces, plate_.borders)
    text = json.dumps(_manifest(on), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    out["manifest"] = np.frombuffer(text.encode(), np.uint8)
    return out


def opened(entries: Mapping[str, NDArray[Any]]) -> JurisdictionMap:
    """The map of verified entries. Verify first: nothing is checked here."""
    said = json.loads(np.asarray(entries["manifest"], np.uint8).tobytes().decode())
    squads = tuple(squad_of(s) for s in said["squads"])
    claims = tuple(claim_of(c) for c in said["claims"])
    plates = tuple(_plate(entries, k, plate, claims) for k, plate in enumerate(said["plates"]))
    intervals = tuple(
        Interval(_instant(i["since"]), _instant(i["until"]), i["plate"], frozenset(i["claims"])) for i in said["intervals"]
    )
    return JurisdictionMap(
        Roster(squads, squads[said["duty"]].code),
        claims,
        plates,
        intervals,
        tuple(tuple(group) for group in said["groups"]),
        Settings(**{**said["settings"], "whole_zone": tuple(said["settings"]["whole_zone"])}),
        seal_of(entries).hex()[:16],
    )


def _contexts(on: JurisdictionMap) -> Iterator[tuple[tuple[int, int, int, int], Context]]:
    """Every interval, category group, turn and finder. All alternating agreements turn together here: only the first that
    holds at a place decides there, so each place meets both of its leads."""
    finders = (None, *on.finders)
    for i, g, turn, f in product(range(len(on.intervals)), range(len(on.groups)), range(TURNS), range(len(finders))):
        turns = tuple(
            (a.id, a.parties[turn]) for a in on.alternating if on.claim_number[a.id] in on.intervals[i].claims
        )
        yield (i, g, turn, f), Context(i, g, turns, finders[f])


def _manifest(on: JurisdictionMap) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "rules_version": RULES_VERSION,
        "work_crs": on.settings.work_crs,
        "settings": asdict(on.settings),
        "squads": [said_of(s) for s in on.roster.squads],
        "duty": on.squad_number[on.roster.duty],
        "claims": [said_of(c) for c in on.claims],
        "plates": [
            {
                "labels": [list(label) for label in p.labels],
                "inside": [int(i) for i in p.inside],
                "extent_area2": str(sum(twice_areas(p.faces.xy, p.extent_ring, p.extent_at))),
            }
            for p in on.plates
        ],
        "intervals": [
            {"since": _iso(i.since), "until": _iso(i.until), "plate": i.plate, "claims": sorted(i.claims)}
            for i in on.intervals
        ],
        "groups": [list(group) for group in on.groups],
        "turns": TURNS,
        "finders": [None, *on.finders],
    }


def kind_of(claim: Claim) -> str:
    """The name of a claim's kind in a map file."""
    return next(name for name, kind in KINDS.items() if type(claim) is kind)


def said_of(value: Claim | Squad) -> dict[str, Any]:
    """A claim or squad as JSON: instants in ISO form, sets sorted, nothing left out; `claim_of` and `squad_of` read it."""
    out: dict[str, Any] = {"kind": kind_of(value), **_zone_of(value)} if isinstance(value, Claim) else {}
    for field in fields(value):
        v = getattr(value, field.name)
        if isinstance(v, Period):
            out["since"], out["until"] = _iso(v.since), _iso(v.until)
        elif isinstance(v, frozenset):
            out[field.name] = sorted(v)
        elif isinstance(v, datetime):
            out[field.name] = v.isoformat()
        else:
            out[field.name] = list(v) if isinstance(v, tuple) else v
    return out


def _zone_of(claim: Claim) -> dict[str, str]:
    """The zone in which an alternating agreement counts its weeks or months: an offset alone forgets summer time."""
    alternates = isinstance(claim, Agreement) and claim.rule is AgreementRule.ALTERNATE
    zone = claim.period.since.tzinfo if alternates and claim.period.since else None
    return {"zone": zone.key} if isinstance(zone, ZoneInfo) else {}


def claim_of(said: Mapping[str, Any]) -> Claim:
    """The claim `said_of` told."""
    kind = KINDS[said["kind"]]
    facts = {k: v for k, v in said.items() if k not in ("kind", "since", "until", "zone")}
    hints = get_type_hints(kind)
    typed = {name: _typed(hints[name], value) for name, value in facts.items()}
    since = _instant(said["since"])
    if since is not None and "zone" in said:
        since = since.astimezone(ZoneInfo(said["zone"]))
    return kind(period=Period(since, _instant(said["until"])), **typed)


def _typed(hint: Any, value: Any) -> Any:
    if hint is AgreementRule or hint is Cycle:
        return hint(value)
    if isinstance(value, list):
        return frozenset(value) if "frozenset" in str(hint) else tuple(value)
    if isinstance(value, str) and "datetime" in str(hint):
        return datetime.fromisoformat(value)
    return value


def squad_of(said: Mapping[str, Any]) -> Squad:
    """The squad `said_of` told."""
    office = said["office"]
    facts = {**said, "kind": SquadKind(said["kind"]), "office": None if office is None else (office[0], office[1])}
    return Squad(**{**facts, "code": SquadCode(said["code"])})


def _stretch_rows(faces: Subdivision, borders: Borders) -> NDArray[np.int64]:
    """The edges that are in a stretch, sorted."""
    has = np.flatnonzero(borders.stretch >= 0)
    rows = np.concatenate([np.sort(faces.edge[has], 1), borders.stretch[has, None]], 1)
    return np.ascontiguousarray(rows[np.lexsort(rows.T[::-1])], "<i8")


def _borders_in(rows: NDArray[np.int64], claims: tuple[Claim, ...], labels: tuple[Any, ...], faces: Subdivision, outside: int) -> Borders:
    """What `_stretch_rows` told."""
    whose = {(a, b): c for a, b, c in rows.tolist()}
    stretch = np.array([whose.get((a, b), -1) for a, b in np.sort(faces.edge, 1).tolist()], np.int64)
    return Borders(stretch, entered(claims, labels, faces, outside))


def _plate(entries: Mapping[str, NDArray[Any]], k: int, said: Mapping[str, Any], claims: tuple[Claim, ...]) -> Plate:
    labels = tuple(tuple(label) for label in said["labels"])
    rings = {name: entries[f"p{k}.{name}"] for name in ("xy", "ring", "ring_at", "face_at", "outside")}
    label = entries[f"p{k}.label"].astype(np.int64)
    edge, side = _edges(rings["ring"], rings["ring_at"], rings["face_at"])
    faces = Subdivision(**rings, label=label, edge=edge, side=side)
    inside = tuple(bool(i) for i in said["inside"])
    outside = labels.index(())
    while inside[outside]:
        outside = labels.index((), outside + 1)
    rows = entries.get(f"p{k}.stretch")
    borders = None if rows is None else _borders_in(rows, claims, labels, faces, outside)
    return Plate(faces, labels, inside, outside, entries[f"p{k}.extent_ring"], entries[f"p{k}.extent_at"], borders)


def _edges(ring: NDArray[np.int64], ring_at: NDArray[np.int64], face_at: NDArray[np.int64]) -> tuple[Any, Any]:
    """Edges and the faces on either side of them, from the rings: every edge is there once each way."""
    length = np.diff(ring_at)
    face = np.full(len(length), -1, np.int64)
    face[: face_at[-1]] = np.repeat(np.arange(len(face_at) - 1), np.diff(face_at))
    owner = np.repeat(face, length)
    head = np.roll(ring, -1)
    head[ring_at[1:] - 1] = ring[ring_at[:-1]]
    forward = ring < head
    key = np.where(forward, ring * (ring.max(initial=0) + 1) + head, head * (ring.max(initial=0) + 1) + ring)
    order = np.lexsort((~forward, key))
    first, second = order[0::2], order[1::2]
    edge = np.stack([ring[first], head[first]], 1)
    return edge, np.stack([owner[first], owner[second]], 1)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
