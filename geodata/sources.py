"""From files to claims: the tables of the bureau as values of `routing.model`, their grounds untouched beside them.

Nothing here changes a coordinate. Several features of one squad are one ground: their polygons are collected, not
merged, and a note tells how many there were. A `Sourced` is the same whatever the order of the rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import tzinfo

from geodata.claims import Found, NoClaims, Origin, Sourced, claim_id, field_of, polygon_of, sourced_of, table_of
from geodata.files import Layer, Table, listed
from geodata.orders import agreements, check_neighbours, designations
from geodata.roster import SquadList, direct, muster, squads
from geodata.rows import Row, rows_of, trimmed
from routing.errors import JieguanError
from routing.model import NotServed, SquadCode, SquadKind, Territory, Township

__all__ = [
    "Origin",
    "Sourced",
    "SquadList",
    "agreements",
    "check_neighbours",
    "designations",
    "direct",
    "muster",
    "not_served",
    "squads",
    "territories",
    "townships",
]


class DirectHasGround(JieguanError):
    zh = "{file} 第 {row} 行:中队“{squad}”的 kind 是 {kind},这类中队没有辖区。请更正它的 kind,或把这块地划给别的中队。"
    en = (
        "{file}, row {row}: the squad {squad!r} is of kind {kind}, and such a squad has no ground. Correct its kind, or "
        "give the ground to another squad."
    )


class TwoPosted(JieguanError):
    zh = "{file} 第 {row} 行:乡镇(街道)“{township}”派驻的中队既是“{squad}”又是“{other}”。请只保留一个。"
    en = "{file}, row {row}: both {squad!r} and {other!r} are posted to the township {township!r}. Keep one."


class UnknownTownship(JieguanError):
    zh = "{file} 第 {row} 行:中队“{squad}”的 township“{township}”不在乡镇图层中。现有:{known}。请更正。"
    en = "{file}, row {row}: the squad {squad!r} is posted to {township!r}, which is no township of the layer: {known}. Correct it."


def territories(
    source: Layer | Table,
    zone: tzinfo,
    *,
    squad_field: str | None = None,
    since_field: str | None = None,
    until_field: str | None = None,
    roster: SquadList | None = None,
    datum: str | None = None,
) -> Sourced[Territory]:
    """Squads' own grounds. A field that is named must exist; the default of the squad is `squad`, else `id`."""
    table = table_of(source)
    if not len(table):
        raise NoClaims(file=table.spec)
    squad = field_of(table, squad_field, ("squad", "id"), "squad")
    dates = _dates(table, since_field, until_field)

    def claim(row: Row) -> Found[Territory]:
        code = row.squad(squad, None if roster is None else roster.by_code)
        _check_has_ground(row, code, roster)
        period, priority, accuracy = row.period(zone, *dates), row.order("priority"), row.amount("accuracy_m")
        facts = [f"priority={priority}"] if priority else []
        facts += [] if accuracy is None else [f"accuracy_m={accuracy:g}"]
        made = Territory(
            id=claim_id("territory", code, period, *facts),
            period=period,
            document=row.text("document"),
            squad=code,
            priority=priority,
            accuracy_m=accuracy,
        )
        return Found(made, polygon_of(row, table), row, code=code)

    return sourced_of(table, [claim(row) for row in rows_of(table)], datum, trimmed(table, (squad, *dates)))


def _dates(table: Table, since: str | None, until: str | None) -> tuple[str, str]:
    for named in (since, until):
        if named is not None:
            field_of(table, named, (), "period")
    return since or "since", until or "until"


def _check_has_ground(row: Row, code: SquadCode, roster: SquadList | None) -> None:
    if roster is not None and roster.by_code[code].kind is not SquadKind.TERRITORIAL:
        kind = roster.by_code[code].kind.value
        raise DirectHasGround(file=row.file, row=row.number, squad=code, kind=kind)


def townships(
    source: Layer | Table,
    zone: tzinfo,
    *,
    code_field: str | None = None,
    roster: SquadList | None = None,
    datum: str | None = None,
) -> Sourced[Township]:
    """Townships' grounds; `squad` in the layer, or `township` in the squads file, says who is posted there."""
    table = table_of(source)
    field = field_of(table, code_field, ("code", "id", "township"), "row")
    posted = _posted(roster)

    def claim(row: Row) -> Found[Township]:
        code = row.code(field, "code")
        squad = row.squad("squad", None if roster is None else roster.by_code) if row.text("squad") else None
        other = posted.get(code)
        if squad is not None and other is not None and squad != other:
            raise TwoPosted(file=row.file, row=row.number, township=code, squad=squad, other=other)
        period = row.period(zone)
        made = Township(id=claim_id("township", code, period), period=period, code=code, squad=squad or other)
        return Found(made, polygon_of(row, table), row, code=code)

    sourced = sourced_of(table, [claim(row) for row in rows_of(table)], datum, trimmed(table, (field, "squad")))
    _check_posts(roster, posted, {township.code for township in sourced.claims})
    return sourced


def _posted(roster: SquadList | None) -> dict[str, SquadCode]:
    posted: dict[str, SquadCode] = {}
    for squad in roster.squads if roster else ():
        if squad.township is None:
            continue
        if squad.township in posted:
            assert roster is not None
            assert roster.origin is not None
            facts = {"township": squad.township, "squad": squad.code, "other": posted[squad.township]}
            raise TwoPosted(file=roster.origin.file, row=roster.rows[squad.code], **facts)
        posted[squad.township] = squad.code
    return posted


def _check_posts(roster: SquadList | None, posted: Mapping[str, SquadCode], known: Collection[str]) -> None:
    for township, squad in posted.items():
        if township not in known:
            assert roster is not None
            assert roster.origin is not None
            facts = {"squad": squad, "township": township, "known": listed(sorted(known))}
            raise UnknownTownship(file=roster.origin.file, row=roster.rows[squad], **facts)


def not_served(source: Layer | Table, zone: tzinfo, *, datum: str | None = None) -> Sourced[NotServed]:
    """Ground that is explicitly somebody else's."""
    table = table_of(source)

    def claim(row: Row) -> Found[NotServed]:
        authority, name, period = row.required("authority", "authority"), row.text("name"), row.period(zone)
        made = NotServed(
            id=claim_id("not_served", f"{authority}/{name}" if name else authority, period),
            period=period,
            document=row.text("document"),
            authority=authority,
            name=name,
        )
        return Found(made, polygon_of(row, table), row, code=authority)

    field_of(table, "authority", (), "row")
    return sourced_of(table, [claim(row) for row in rows_of(table)], datum, trimmed(table, ("authority", "name")))
