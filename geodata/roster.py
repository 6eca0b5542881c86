"""The squads of the bureau, who of them is on duty, and which categories belong to some of them everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo

from geodata.categories import category
from geodata.claims import (
    Found,
    NoClaims,
    Origin,
    Sourced,
    claim_id,
    field_of,
    origin_of,
    overlap,
    sourced_of,
    unchecked,
)
from geodata.files import Table
from geodata.intake import Note
from geodata.rows import Row, rows_of, trimmed
from routing.errors import JieguanError
from routing.model import DirectCategory, Squad, SquadCode, SquadKind, Territory


class SquadTwice(JieguanError):
    zh = "{file} 第 {row} 行的中队“{code}”在第 {first} 行已经出现:一个中队只能有一行。请合并这两行。"
    en = "{file}, row {row}: the squad {code!r} is in row {first} already, and a squad has one row. Merge the two."


class TwoOnDuty(JieguanError):
    zh = "{file} 第 {row} 行“{code}”和第 {first} 行“{other}”的 duty 都为真:兜底的值班中队只能有一个。请只保留一个。"
    en = (
        "{file}, row {row}: {code!r} has duty set, and so has {other!r} in row {first}, but exactly one squad catches "
        "what nobody else does. Keep one."
    )


class NotDirect(JieguanError):
    zh = (
        "{file} 第 {row} 行:类别“{category}”给了中队“{squad}”,但它是属地中队(territorial)。"
        "请把它的 kind 改为 direct 或 external,或改用 agreements、designations。"
    )
    en = (
        "{file}, row {row}: the category {category!r} goes to the squad {squad!r}, which is territorial. Set its kind to "
        "direct or external, or use an agreement or a designation."
    )


class CategoryTwice(JieguanError):
    zh = "{file} 第 {row} 行:类别“{category}”在第 {first} 行已经给出,且期限重叠:同一时刻只能归一个单位。请更正期限或删去一行。"
    en = (
        "{file}, row {row}: the category {category!r} is given in row {first} already, for a period that overlaps, and it "
        "can belong to one unit at a time. Correct the periods, or delete a row."
    )


@dataclass(frozen=True, slots=True)
class SquadList:
    """The squads, sorted by code. After `muster` exactly one has `duty` set. `rows`: code -> row of its file."""

    squads: tuple[Squad, ...]
    rows: Mapping[SquadCode, int]
    origin: Origin | None = None
    notes: tuple[Note, ...] = ()

    @property
    def by_code(self) -> dict[SquadCode, Squad]:
        return {squad.code: squad for squad in self.squads}

    @property
    def duty(self) -> SquadCode | None:
        return next((squad.code for squad in self.squads if squad.duty), None)


def squads(table: Table) -> SquadList:
    """The squads file. Two rows of one squad, or two on duty, are refused; none on duty is left to `muster`."""
    field_of(table, "code", (), "squad")
    notes = trimmed(table, ("code", "name", "township"))
    if "kind" not in table.columns.column_names:
        notes += (Note("default_kind", {"path": table.spec}),)
    rows: dict[SquadCode, int] = {}
    made: list[Squad] = []
    for row in rows_of(table):
        squad = _squad(row)
        if squad.code in rows:
            raise SquadTwice(file=row.file, row=row.number, code=squad.code, first=rows[squad.code])
        other = next((other for other in made if other.duty and squad.duty), None)
        if other is not None:
            facts = {"code": squad.code, "other": other.code, "first": rows[other.code]}
            raise TwoOnDuty(file=row.file, row=row.number, **facts)
        rows[squad.code] = row.number
        made.append(squad)
    if not made:
        raise NoClaims(file=table.spec)
    return SquadList(tuple(sorted(made, key=lambda squad: squad.code)), rows, origin_of(table, None), notes)


def _squad(row: Row) -> Squad:
    lon, lat = row.amount("lon", -180), row.amount("lat", -90)
    return Squad(
        code=row.squad("code", None),
        name=row.text("name"),
        kind=SquadKind(row.word("kind", [kind.value for kind in SquadKind], SquadKind.TERRITORIAL.value)),
        duty=row.flag("duty"),
        township=row.text("township") or None,
        phone=row.text("phone"),
        office=None if lon is None or lat is None else (lon, lat),
    )


def direct(table: Table, zone: tzinfo, *, roster: SquadList | None = None) -> Sourced[DirectCategory]:
    """Categories that belong to a direct squad or an external unit wherever they happen."""
    for field in ("category", "squad"):
        field_of(table, field, (), "row")

    def claim(row: Row) -> Found[DirectCategory]:
        code = category(row, "category", row.required("category", "category"))
        squad, period = row.squad("squad", None if roster is None else roster.by_code), row.period(zone)
        if roster is not None and roster.by_code[squad].kind is SquadKind.TERRITORIAL:
            raise NotDirect(file=row.file, row=row.number, category=code, squad=squad)
        made = DirectCategory(
            id=claim_id("direct", code, period),
            period=period,
            document=row.text("document"),
            category=code,
            squad=squad,
        )
        return Found(made, None, row)

    found = [claim(row) for row in rows_of(table)]
    _check_categories_once(found)
    notes = trimmed(table, ("category", "squad")) + unchecked(table, (item.claim.category for item in found))
    return sourced_of(table, found, None, notes)


def _check_categories_once(found: Sequence[Found[DirectCategory]]) -> None:
    for place, item in enumerate(found):
        for other in found[:place]:
            same = item.claim.category == other.claim.category
            if same and overlap(item.claim.period, other.claim.period):
                facts = {"category": item.claim.category, "first": other.row.number}
                raise CategoryTwice(file=item.row.file, row=item.row.number, **facts)


STAND_IN = SquadCode("duty")
"""Who is on duty where nobody was named: a code of its own, so that a default never looks like a squad's own case."""


def muster(
    listed_squads: SquadList | None,
    grounds: Sourced[Territory],
    directs: Sourced[DirectCategory] | None = None,
    duty: str | None = None,
) -> SquadList:
    """All squads, exactly one on duty: `duty` (the option), else the squads file, else `STAND_IN`, which is noted.

    Without a squads file they are those that have ground or a direct category.
    """
    roster = listed_squads or _roster_of(grounds, directs, duty)
    notes = list(roster.notes)
    squads = roster.squads
    chosen = roster.duty
    if duty is not None:
        chosen = Row("--duty", 0, {"duty": duty}).squad("duty", roster.by_code)
    if chosen is None:
        chosen = STAND_IN
        if chosen not in roster.by_code:
            squads = (*squads, Squad(code=chosen, name="值班(未指定)", kind=SquadKind.DIRECT))
        notes.append(Note("default_duty", {"code": chosen}))
    made = tuple(replace(squad, duty=squad.code == chosen) for squad in squads)
    return replace(roster, squads=made, notes=tuple(notes))


def _roster_of(grounds: Sourced[Territory], directs: Sourced[DirectCategory] | None, duty: str | None) -> SquadList:
    kinds = {claim.squad: SquadKind.TERRITORIAL for claim in grounds.claims}
    for claim, rows in zip(directs.claims, directs.rows, strict=True) if directs else ():
        if kinds.setdefault(claim.squad, SquadKind.DIRECT) is SquadKind.TERRITORIAL:
            assert directs is not None
            raise NotDirect(file=directs.origin.file, row=rows[0], category=claim.category, squad=claim.squad)
    if duty is not None:
        kinds.setdefault(SquadCode(duty), SquadKind.TERRITORIAL)
    return SquadList(tuple(Squad(code=code, kind=kinds[code]) for code in sorted(kinds)), {})
