"""The rows of a map: everything a map version is made of, one dated fact each, with its document and its ground.

A layer's rows are known by their code. What a row says beyond its ground is plain JSON (`facts`): for claims and squads what
the map file itself would say of them. Grounds are whole millimetres of the work CRS, so that they are the same on every
machine and in every database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
import shapely

from geodata.build import Gathered
from geodata.claims import claim_id
from geodata.compile import Ground
from geodata.db.hashing import Content, feature_hash, version_hash
from routing.errors import JieguanError
from routing.ground.certificate import claim_of, said_of, squad_of
from routing.ground.noding import MM
from routing.jurisdiction import Settings
from routing.model import (
    Agreement,
    Claim,
    ClaimId,
    Designation,
    DirectCategory,
    NotServed,
    Period,
    Squad,
    Stretch,
    Territory,
    Township,
)
from routing.situation import Roster


class LayerName(StrEnum):
    """The layers of a map, in the order in which they are told."""

    EXTENT = "extent"
    TOWNSHIP = "township"
    TERRITORY = "territory"
    BORDER = "border"
    AGREEMENT = "agreement"
    DESIGNATION = "designation"
    NOT_SERVED = "not_served"
    DIRECT = "direct"
    SQUAD = "squad"
    DUTY = "duty"
    CALENDAR = "calendar"


COVERAGES = (LayerName.TOWNSHIP, LayerName.TERRITORY)
"""Layers whose grounds share borders: edited as arcs."""

OF_CLAIM: Mapping[type[Claim], LayerName] = {
    Township: LayerName.TOWNSHIP,
    Territory: LayerName.TERRITORY,
    Agreement: LayerName.AGREEMENT,
    Designation: LayerName.DESIGNATION,
    NotServed: LayerName.NOT_SERVED,
    DirectCategory: LayerName.DIRECT,
}
CLAIM_LAYERS = frozenset(OF_CLAIM.values())


class LineRule(StrEnum):
    """Where, between two kerbs, a border runs."""

    CENTRELINE = "CENTRELINE"
    KERB_NEAR = "KERB_NEAR"
    KERB_FAR = "KERB_FAR"
    WALL = "WALL"
    RIVER_MID = "RIVER_MID"
    WHOLE_STREET = "WHOLE_STREET"


class BorderStatus(StrEnum):
    """How sure a border is."""

    SURVEYED = "SURVEYED"
    AGREED = "AGREED"
    DISPUTED = "DISPUTED"


class NoDutySquad(JieguanError):
    zh = "地图中没有值班中队({value} 个中队标记为 duty):没有它,无人认领的案件就没有去处。请把恰好一个中队的 duty 设为真。"
    en = (
        "{value} squads of the map are on duty, and there must be exactly one: it holds what nobody else does. Set `duty` of "
        "one squad."
    )


class TwoRowsOneCode(JieguanError):
    zh = "图层 {layer} 中编号“{code}”出现两次(同一起始时间):无法分辨是哪一行。请改其中一个编号。"
    en = "The layer {layer} has the code {code!r} twice from the same instant on, and nobody can tell the rows apart. Change one."


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One dated fact of a layer. `ground`: whole millimetres of the work CRS, in normal form; None where it has none."""

    layer: LayerName
    code: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    ground: Any = None
    name: str = ""
    since: datetime | None = None
    until: datetime | None = None
    document: str = ""
    source: str = ""
    licence: str = ""
    datum: str = ""
    accuracy_m: float | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Layer, code, and from when: no two rows of a map share it."""
        return self.layer.value, self.code, "" if self.since is None else self.since.isoformat()

    @property
    def wkb(self) -> bytes | None:
        """The ground's bytes, the same on every machine."""
        return None if self.ground is None else shapely.to_wkb(self.ground, byte_order=1, flavor="iso", output_dimension=2)

    @property
    def stored(self) -> Content:
        """As the database keeps it."""
        return Content(
            self.layer.value, self.code, self.name or None, self.since, self.until, self.source or None, self.licence or None,
            self.datum or None, self.accuracy_m, self.document or None, dict(self.facts), self.wkb,
        )

    @property
    def hash(self) -> str:
        """Content hash of everything the row says."""
        return feature_hash(self.stored)

    def holds_at(self, moment: datetime) -> bool:
        """Half-open, as every period."""
        return (self.since is None or self.since <= moment) and (self.until is None or moment < self.until)


def on_grid(shape: Any) -> Any:
    """Metres of the work CRS -> whole millimetres, multi-part and in normal form; -0.0 is 0. Nothing is mended."""
    if shape is None or shape.is_empty:
        return None
    whole = shapely.transform(shapely.force_2d(shape), lambda xy: np.rint(xy * MM) + 0.0)
    if whole.geom_type == "Polygon":
        whole = shapely.MultiPolygon([whole])
    elif whole.geom_type == "LineString":
        whole = shapely.MultiLineString([whole])
    return shapely.normalize(whole)


def in_metres(ground: Any) -> Any:
    """Whole millimetres -> metres of the work CRS."""
    return None if ground is None else shapely.transform(ground, lambda xy: xy / MM)


def row_in(stored: Any) -> Row:
    """The row of what a database kept (a `Content`, or anything with its fields)."""
    ground = None if stored.ground is None else shapely.from_wkb(stored.ground)
    return Row(
        LayerName(stored.layer), stored.code, stored.facts, ground, stored.name or "", stored.since, stored.until,
        stored.document or "", stored.source or "", stored.licence or "", stored.datum or "", stored.accuracy_m,
    )


def content_hash(rows: Iterable[Row], settings: Settings) -> str:
    """The name of a map version: over its rows and settings."""
    return version_hash(((r.layer.value, r.code, r.hash) for r in rows), settings.work_crs, settings_said(settings))


def settings_said(settings: Settings) -> dict[str, Any]:
    """What of the settings a person decides; lengths in metres."""
    return {
        "work_crs": settings.work_crs,
        "zone_m": repr(float(settings.zone_m)),
        "line_accuracy_m": repr(float(settings.line_accuracy_m)),
    }


def settings_of(said: Mapping[str, Any]) -> Settings:
    """The settings `settings_said` told."""
    return Settings(said["work_crs"], float(said["zone_m"]), float(said["line_accuracy_m"]))


# --- from the engine's files, and to the engine's compiler ---


def rows_of(gathered: Gathered) -> tuple[Row, ...]:
    """What the bureau's files say, as rows, each under the code that people know it by: the squad's, the township's, whichever
    its dates. Territories that a squad merely inherits from its township are no rows of their own.

    Raises TwoRowsOneCode.
    """
    by_claim: dict[ClaimId, tuple[Claim, list[Any]]] = {}
    for ground in gathered.grounds:
        pieces = by_claim.setdefault(ground.claim.id, (ground.claim, []))[1]
        if ground.geometry is not None and not ground.geometry.is_empty:
            pieces.extend(shapely.get_parts(ground.geometry).tolist())
    posted = {
        (c.squad, c.period): pieces for c, pieces in by_claim.values() if isinstance(c, Township) and c.squad is not None
    }
    rows = []
    for claim, pieces in by_claim.values():
        if isinstance(claim, Territory) and _same(posted.get((claim.squad, claim.period)), pieces):
            continue
        rows.append(_claim_row(claim, shapely.MultiPolygon(pieces) if pieces else None))
    rows += [_squad_row(squad, gathered.roster.duty == squad.code) for squad in gathered.roster.squads]
    if gathered.extent is not None:
        parts = shapely.get_parts(gathered.extent).tolist()
        rows.append(Row(LayerName.EXTENT, "extent", ground=on_grid(shapely.MultiPolygon(parts))))
    return checked(_plainly_coded(rows))


def plain_code(row: Row) -> str:
    """What people call a row: without the dates and facts that tell its claim from others of the same name."""
    facts = row.facts
    match row.layer:
        case LayerName.TERRITORY:
            return str(facts["squad"])
        case LayerName.TOWNSHIP:
            return str(facts["code"])
        case LayerName.NOT_SERVED:
            return "/".join(filter(None, (facts["authority"], facts["name"])))
        case LayerName.DIRECT:
            return str(facts["category"])
        case _:
            return row.code


def _plainly_coded(rows: Sequence[Row]) -> list[Row]:
    """Rows under their plain codes, but for those that would then be two of one start, or two that go on at once."""
    plain = [replace(row, code=plain_code(row)) for row in rows]
    taken = Counter(name for row in plain for name in _claims_on(row))
    return [short if all(taken[n] == 1 for n in _claims_on(short)) else row for short, row in zip(plain, rows, strict=True)]


def _claims_on(row: Row) -> Iterator[tuple[str, ...]]:
    """What no other row may have: its key, and if it goes on, its code."""
    yield row.key
    if row.until is None:
        yield (row.layer.value, row.code)


def checked(rows: Iterable[Row]) -> tuple[Row, ...]:
    """In order of their keys. Raises TwoRowsOneCode."""
    ordered = sorted(rows, key=lambda r: r.key)
    for a, b in pairwise(ordered):
        if a.key == b.key:
            raise TwoRowsOneCode(layer=a.layer.value, code=a.code)
    return tuple(ordered)


def _same(one: Sequence[Any] | None, other: Sequence[Any]) -> bool:
    return one is not None and len(one) == len(other) and all(map(shapely.equals_identical, one, other))


def _claim_row(claim: Claim, ground: Any) -> Row:
    said = said_of(claim)
    facts = {k: v for k, v in said.items() if k not in ("since", "until", "document")}
    return Row(
        OF_CLAIM[type(claim)],
        claim.id.partition(":")[2] or claim.id,
        facts | ({"accuracy_m": repr(facts["accuracy_m"])} if facts.get("accuracy_m") is not None else {}),
        on_grid(ground),
        since=_utc(claim.period.since),
        until=_utc(claim.period.until),
        document=claim.document,
        name=str(said.get("name", "")),
    )


def _utc(moment: datetime | None) -> datetime | None:
    """One spelling for one instant, so that it hashes alike wherever the row was written."""
    return None if moment is None else moment.astimezone(UTC)


def _squad_row(squad: Squad, duty: bool) -> Row:
    said = said_of(replace(squad, duty=duty))
    office = None if said["office"] is None else [repr(float(v)) for v in said["office"]]
    return Row(LayerName.SQUAD, squad.code, {**said, "office": office}, name=squad.name)


def claim_in(row: Row) -> Claim:
    """The claim a row states."""
    facts = dict(row.facts)
    if facts.get("accuracy_m") is not None:
        facts["accuracy_m"] = float(facts["accuracy_m"])
    since, until = (None if t is None else t.isoformat() for t in (row.since, row.until))
    return claim_of({**facts, "since": since, "until": until, "document": row.document})


def stretch_in(row: Row) -> Stretch | None:
    """The widths that a border stretch has of its own; None where it states none, and is but a line rule, a status, a name."""
    zone = row.facts.get("zone_m")
    if zone is None and row.accuracy_m is None:
        return None
    held = Period(row.since, row.until)
    sides = tuple(str(side) for side in row.facts.get("sides") or ())
    return Stretch(
        id=claim_id("stretch", row.code, held), period=held, document=row.document, sides=sides,
        zone_m=None if zone is None else float(zone), accuracy_m=row.accuracy_m,
    )


def squad_in(row: Row) -> Squad:
    """The squad a row states."""
    office = row.facts["office"]
    return squad_of({**row.facts, "office": None if office is None else [float(v) for v in office]})


def roster_of(rows: Iterable[Row]) -> Roster:
    """The squads of a map. Raises NoDutySquad."""
    squads = tuple(squad_in(r) for r in sorted((r for r in rows if r.layer is LayerName.SQUAD), key=lambda r: r.code))
    duty = [s.code for s in squads if s.duty]
    if len(duty) != 1:
        raise NoDutySquad(value=len(duty))
    return Roster(squads, duty[0])


def grounds_of(rows: Iterable[Row]) -> tuple[list[Ground], Any]:
    """What the compiler takes: claims with their grounds in metres, and the extent (None: the compiler's default).

    A squad posted to a township, and without a ground of its own at that time, inherits the township's.
    """
    rows = list(rows)
    claims = [(claim_in(r), in_metres(r.ground)) for r in rows if r.layer in CLAIM_LAYERS]
    own = {c.squad for c, _ in claims if isinstance(c, Territory)}
    inherited = [
        (Territory(id=ClaimId(f"territory:{c.squad}:{c.code}"), period=c.period, document=c.document, squad=c.squad), ground)
        for c, ground in claims
        if isinstance(c, Township) and c.squad is not None and c.squad not in own
    ]
    stretches = [(stretch_in(r), in_metres(r.ground)) for r in rows if r.layer is LayerName.BORDER]
    widths = [(s, line) for s, line in stretches if s is not None]
    extent = [r.ground for r in rows if r.layer is LayerName.EXTENT]
    parts = [part for ground in extent for part in shapely.get_parts(in_metres(ground)).tolist()]
    return [Ground(c, g) for c, g in (*claims, *inherited, *widths)], shapely.MultiPolygon(parts) if parts else None
