"""What neighbours settled and what superiors ordered: agreements and designations."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import replace
from datetime import tzinfo
from typing import Any

import shapely

from geodata.categories import categories
from geodata.claims import (
    LINES,
    POINT,
    POLYGONS,
    Found,
    Sourced,
    WrongGround,
    buffer_of,
    claim_id,
    field_of,
    ground_of,
    overlap,
    period_text,
    sourced_of,
    unchecked,
)
from geodata.files import Table
from geodata.intake import WGS84, Geometries, Note
from geodata.rows import MissingValue, Row, rows_of, trimmed
from routing.errors import JieguanError
from routing.model import ALWAYS, Agreement, AgreementRule, ClaimId, Cycle, Designation, SquadCode, Territory

TOUCH_M = 0.001
"""The grid of a compiled map: grounds that are this near touch."""


class NotTwoParties(JieguanError):
    zh = "{file} 第 {row} 行:parties 的值“{value}”不是两个不同的中队:协议只在两个相邻中队之间成立。请写成 A|B。"
    en = (
        "{file}, row {row}: parties is {value!r}, not two different squads, and an agreement is between two neighbours. "
        "Write A|B."
    )


class LeadNotParty(JieguanError):
    zh = "{file} 第 {row} 行:主办 lead“{lead}”不是协议双方 {parties} 之一:协议不能替第三方揽责。请更正。"
    en = "{file}, row {row}: the lead {lead!r} is none of the parties {parties}, and nobody can agree for a third. Correct it."


class PartiesApart(JieguanError):
    zh = "{file} 第 {row} 行:中队“{first}”与“{second}”并不相邻(相距 {distance_m} 米,边界带 {zone_m} 米):协议永远不会用到。请更正 parties。"
    en = (
        "{file}, row {row}: the squads {first!r} and {second!r} do not touch ({distance_m} m apart, border zone "
        "{zone_m} m), so the agreement would never apply. Correct the parties."
    )


class OrderWithoutPlace(JieguanError):
    zh = "{file} 第 {row} 行:指定“{id}”既没有区域,也没有点和 radius_m,也没有 case:不知道它管什么。请补上其中一项。"
    en = (
        "{file}, row {row}: the order {id!r} has neither a zone, nor a point with radius_m, nor a case, so nobody knows "
        "what it is about. Add one of them."
    )


class OrderForCaseAndZone(JieguanError):
    zh = "{file} 第 {row} 行:指定“{id}”同时写了 case“{case}”和区域:管的是一个案件还是一片地?请分成两行。"
    en = (
        "{file}, row {row}: the order {id!r} names the case {case!r} and a zone. Is it for one case or for the ground? "
        "Make two rows of it."
    )


def agreements(
    source: Table, zone: tzinfo, *, known: Collection[SquadCode] | None = None, datum: str | None = None
) -> Sourced[Agreement]:
    """What neighbours settled. Ground: none, a polygon, or a line with `width_m`. The id is `id`, else made of the row."""
    for field in ("parties", "rule"):
        field_of(source, field, (), "row")
    notes: list[Note] = list(trimmed(source, ("parties", "rule", "lead", "categories")))

    def claim(row: Row) -> Found[Agreement]:
        parties = _parties(row, known)
        rule = AgreementRule(row.word("rule", [rule.value for rule in AgreementRule]))
        lead = _lead(row, parties, rule)
        concerned = categories(row)
        if rule is AgreementRule.BY_CATEGORY and not concerned:
            raise MissingValue(file=row.file, row=row.number, field="categories", need="categories")
        if rule is AgreementRule.ALTERNATE and not row.text("period"):
            notes.append(Note("default_cycle", {"path": row.file, "row": row.number}))
        ground, buffer_m = _line_or_polygon(row, source)
        period = row.period(zone)
        made = Agreement(
            id=ClaimId(""),
            period=period,
            document=row.text("document"),
            parties=parties,
            rule=rule,
            lead=lead,
            categories=concerned,
            cycle=Cycle(row.word("period", [cycle.value for cycle in Cycle], Cycle.MONTH.value)),
        )
        own = row.text("id")
        if own:
            row.check_code("id", own)
        name = own or f"{'+'.join(parties)}:{_fingerprint(made, ground, buffer_m)}"
        return Found(replace(made, id=claim_id("agreement", name, ALWAYS)), ground, row, buffer_m)

    found = [claim(row) for row in rows_of(source)]
    notes += unchecked(source, (code for item in found for code in item.claim.categories))
    return sourced_of(source, found, datum, tuple(notes))


def _parties(row: Row, known: Collection[SquadCode] | None) -> tuple[SquadCode, SquadCode]:
    row.required("parties", "parties")
    parties = sorted(set(row.listed("parties")))
    if len(parties) != 2 or len(row.listed("parties")) != 2:
        raise NotTwoParties(file=row.file, row=row.number, value=row.text("parties"))
    for party in parties:
        row.check_code("parties", party)
    first, second = (row.known("parties", party, known) for party in parties)
    return first, second


def _lead(row: Row, parties: tuple[SquadCode, SquadCode], rule: AgreementRule) -> SquadCode | None:
    if rule is not AgreementRule.FIRST_FINDER:
        row.required("lead", "lead")
    lead = row.text("lead")
    if lead and lead not in parties:
        raise LeadNotParty(file=row.file, row=row.number, lead=lead, parties=" | ".join(parties))
    return SquadCode(lead) if lead else None


def _line_or_polygon(row: Row, table: Table) -> tuple[Any, float]:
    ground, kind = ground_of(row, table)
    if ground is not None and kind not in LINES + POLYGONS:
        raise WrongGround(file=row.file, row=row.number, kind=ground.geom_type, wanted="Polygon, LineString + width_m")
    return ground, buffer_of(row, ground, kind in LINES, "width_m", "width") / 2


def _fingerprint(claim: Agreement, ground: Any, buffer_m: float) -> str:
    """Eight hex digits of all that the row says, so that its id does not depend on its neighbours."""
    facts = (
        claim.parties,
        claim.rule.value,
        claim.lead,
        sorted(claim.categories),
        claim.cycle.value,
        period_text(claim.period),
        claim.document,
        "" if ground is None else shapely.to_wkb(ground, hex=True, byte_order=1),
        f"{buffer_m:g}",
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:8]


def designations(
    source: Table, zone: tzinfo, *, known: Collection[SquadCode] | None = None, datum: str | None = None
) -> Sourced[Designation]:
    """A superior's orders: a zone, a point (geometry, or `lon` and `lat`) with `radius_m`, or one `case`."""
    for field in ("id", "squad"):
        field_of(source, field, (), "row")

    def claim(row: Row) -> Found[Designation]:
        order, case = row.code("id", "code"), row.text("case") or None
        ground, buffer_m = _order_ground(row, source, order, case)
        made = Designation(
            id=claim_id("designation", order, ALWAYS),
            period=row.period(zone),
            document=row.text("document"),
            squad=row.squad("squad", known),
            categories=categories(row),
            issued_by=row.text("issued_by"),
            dated=row.instant("dated", zone),
            case=case,
        )
        return Found(made, ground, row, buffer_m, code=order)

    found = [claim(row) for row in rows_of(source)]
    notes = trimmed(source, ("id", "squad", "categories", "case"))
    notes += unchecked(source, (code for item in found for code in item.claim.categories))
    sourced = sourced_of(source, found, datum, notes)
    placed_by_columns = source.geometry is None and {"lon", "lat"} <= set(source.columns.column_names)
    return replace(sourced, origin=replace(sourced.origin, crs=WGS84)) if placed_by_columns else sourced


def _order_ground(row: Row, table: Table, order: str, case: str | None) -> tuple[Any, float]:
    ground, kind = ground_of(row, table)
    lon, lat = row.amount("lon", -180), row.amount("lat", -90)
    if ground is None and lon is not None and lat is not None:
        ground, kind = shapely.Point(lon, lat), 0
    radius = row.amount("radius_m", above=True)
    if case is not None and (kind in POLYGONS or radius is not None):
        raise OrderForCaseAndZone(file=row.file, row=row.number, id=order, case=case)
    if case is not None:
        return None, float("nan")
    if ground is None:
        raise OrderWithoutPlace(file=row.file, row=row.number, id=order)
    if kind not in POINT + POLYGONS:
        raise WrongGround(file=row.file, row=row.number, kind=ground.geom_type, wanted="Polygon, Point + radius_m")
    return ground, buffer_of(row, ground, kind in POINT, "radius_m", "radius")


def check_neighbours(
    settled: Sourced[Agreement], grounds: Sourced[Territory], ground_m: Geometries, zone_m: float
) -> None:
    """Refuse an agreement whose parties' grounds, while it is in force, are nowhere within the border zone of each other.

    `ground_m`: the geometry of `grounds` in metres of the work CRS.
    """
    for claim, rows in zip(settled.claims, settled.rows, strict=True):
        held = [
            [
                ground_m[i]
                for i, ground in enumerate(grounds.claims)
                if ground.squad == party and overlap(ground.period, claim.period)
            ]
            for party in claim.parties
        ]
        nearest = min((shapely.distance(a, b) for a in held[0] for b in held[1]), default=float("inf"))
        if not nearest <= max(zone_m, TOUCH_M):
            first, second = claim.parties
            facts = {"first": first, "second": second, "distance_m": f"{nearest:.1f}", "zone_m": f"{zone_m:g}"}
            raise PartiesApart(file=settled.origin.file, row=rows[0], **facts)
