"""Claims with the grounds they came with: what the readers of all tables share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from geodata.categories import FORM, schemes
from geodata.files import Layer, NoSuchColumn, Table, listed
from geodata.intake import Geometries, Note
from geodata.rows import MissingValue, Row
from routing.errors import JieguanError
from routing.model import ALWAYS, Claim, ClaimId, Period

C = TypeVar("C", bound=Claim)
POINT, LINES, POLYGONS = (0,), (1, 5), (3, 6)
"""Type ids of shapely."""


class ClaimTwice(JieguanError):
    zh = "{file} 第 {row} 行与第 {first} 行是同一编号“{id}”的两条记录:无法判断以哪条为准。请删去一条,或改用不同的编号。"
    en = (
        "{file}, row {row} and row {first} are two records of one id, {id!r}, so it is unclear which one holds. Delete "
        "one, or give them different ids."
    )


class NoClaims(JieguanError):
    zh = "{file} 里没有任何一行:没有辖区就无从划分。请检查文件或图层。"
    en = "{file} has no rows, and without any ground there is nothing to divide. Check the file and the layer."


class NoGround(JieguanError):
    zh = "{file} 第 {row} 行没有几何:不知道这块地在哪里。请画出边界,或删去该行。"
    en = "{file}, row {row} has no geometry, so nobody knows where this ground is. Draw its outline, or delete the row."


class WrongGround(JieguanError):
    zh = "{file} 第 {row} 行的几何是 {kind},这里只能用 {wanted}。请重新绘制。"
    en = "The geometry of {file}, row {row} is a {kind}, and here it must be {wanted}. Draw it again."


class ReachMismatch(JieguanError):
    zh = "{file} 第 {row} 行:“{field}”={value},但该行的几何是 {kind},二者对不上。请删去该值,或改画几何。"
    en = (
        "{file}, row {row}: {field!r} is {value}, but the geometry of the row is a {kind}, for which it means nothing. "
        "Remove the value, or draw another geometry."
    )


@dataclass(frozen=True, slots=True)
class Origin:
    """Where claims are from. `datum`: as somebody declared it for this file, None where nobody did."""

    file: str
    layer: str
    sha256: str
    crs: CRS | None
    datum: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sourced(Generic[C]):
    """Claims of one file, sorted by id, and beside each its ground in the file's own coordinates.

    `geometry` (n,): polygons of all its features, a point or a line; None where the claim has no ground of its own.
    `buffer_m` (n,): radius_m around a point, half of width_m to each side of a line; NaN otherwise.
    `rows`: the rows (from 1) of each claim.
    """

    claims: tuple[C, ...]
    geometry: Geometries
    buffer_m: NDArray[np.float64]
    rows: tuple[tuple[int, ...], ...]
    origin: Origin
    notes: tuple[Note, ...] = ()

    def __len__(self) -> int:
        return len(self.claims)


@dataclass(frozen=True, slots=True)
class Found(Generic[C]):
    """One row as a claim."""

    claim: C
    ground: Any
    row: Row
    buffer_m: float = float("nan")
    code: str = ""


def table_of(source: Layer | Table) -> Table:
    """The table behind a layer."""
    return source.table if isinstance(source, Layer) else source


def field_of(table: Table, named: str | None, defaults: tuple[str, ...], need: str) -> str:
    """The column named, or the first default that is there."""
    there = table.columns.column_names
    field = named or next((name for name in defaults if name in there), defaults[0])
    if field not in there and (there or len(table)):  # a GeoJSON without features has no columns to miss
        raise NoSuchColumn(path=table.spec, field=field, columns=listed(there), need=need)
    return field


def ground_of(row: Row, table: Table) -> tuple[Any, int]:
    """The row's geometry and its type id (-1: none). Empty geometry is none."""
    ground = None if table.geometry is None else table.geometry[row.number - 1]
    if ground is None or shapely.is_empty(ground):
        return None, -1
    return ground, int(shapely.get_type_id(ground))


def polygon_of(row: Row, table: Table) -> Any:
    ground, kind = ground_of(row, table)
    if ground is None:
        raise NoGround(file=row.file, row=row.number)
    if kind not in POLYGONS:
        raise WrongGround(file=row.file, row=row.number, kind=ground.geom_type, wanted="Polygon, MultiPolygon")
    return ground


def buffer_of(row: Row, ground: Any, needed: bool, field: str, need: str) -> float:
    """The metres that make an area of a point or a line: needed there, and refused elsewhere."""
    reach = row.amount(field, above=True)
    if needed and reach is None:
        raise MissingValue(file=row.file, row=row.number, field=field, need=need)
    if reach is not None and not needed:
        kind = "-" if ground is None else ground.geom_type
        raise ReachMismatch(file=row.file, row=row.number, field=field, value=reach, kind=kind)
    return float("nan") if reach is None else reach


def claim_id(kind: str, name: str, period: Period, *facts: str) -> ClaimId:
    """`territory:75@2013-07-01T00:00:00-04:00/..;priority=2`: made of the claim alone, not of its place in the file."""
    when = "" if period == ALWAYS else f"@{period_text(period)}"
    return ClaimId(";".join((f"{kind}:{name}{when}", *facts)))


def period_text(period: Period) -> str:
    ends = (period.since, period.until)
    return "/".join(".." if end is None else end.isoformat() for end in ends)


def overlap(first: Period, second: Period) -> bool:
    """Whether two half-open periods share an instant."""
    starts_in_time = first.since is None or second.until is None or first.since < second.until
    return starts_in_time and (second.since is None or first.until is None or second.since < first.until)


def unchecked(table: Table, codes: Iterable[str]) -> tuple[Note, ...]:
    """Schemes that we have no table of."""
    used = {form["scheme"] for code in codes if (form := FORM.fullmatch(code))}
    return tuple(Note("unchecked_scheme", {"path": table.spec, "scheme": name}) for name in sorted(used - schemes()))


def origin_of(table: Table, datum: str | None) -> Origin:
    return Origin(table.path, table.name, table.sha256, table.crs, datum)


def sourced_of(table: Table, found: Iterable[Found[C]], datum: str | None, notes: tuple[Note, ...]) -> Sourced[C]:
    """Rows of one id become one claim if they say the same and their polygons can be collected."""
    groups: dict[ClaimId, list[Found[C]]] = {}
    for item in found:
        group = groups.setdefault(item.claim.id, [])
        if group and not _one_ground(group[0], item):
            facts = {"id": item.code or item.claim.id, "first": group[0].row.number}
            raise ClaimTwice(file=item.row.file, row=item.row.number, **facts)
        group.append(item)
    ordered = [groups[key] for key in sorted(groups)]
    geometry = np.empty(len(ordered), dtype=object)
    for place, group in enumerate(ordered):
        geometry[place] = _collected([item.ground for item in group])
    several = tuple(
        Note("several_features", {"path": table.spec, "code": group[0].code, "count": len(group)})
        for group in ordered
        if len(group) > 1
    )
    return Sourced(
        claims=tuple(group[0].claim for group in ordered),
        geometry=geometry,
        buffer_m=np.array([group[0].buffer_m for group in ordered], dtype=np.float64),
        rows=tuple(tuple(item.row.number for item in group) for group in ordered),
        origin=origin_of(table, datum),
        notes=table.notes + notes + several,
    )


def _one_ground(first: Found[C], other: Found[C]) -> bool:
    """Equal claims with polygons: features of one ground. Anything else twice is a mistake."""
    polygons = all(
        item.ground is not None and int(shapely.get_type_id(item.ground)) in POLYGONS for item in (first, other)
    )
    return polygons and first.claim == other.claim


def _collected(grounds: list[Any]) -> Any:
    """One feature as it is; of several all polygons side by side, in an order that does not depend on the rows'."""
    if len(grounds) == 1:
        return grounds[0]
    key: Callable[[Any], bytes] = shapely.to_wkb
    return shapely.multipolygons(sorted(shapely.get_parts(np.array(grounds, dtype=object)), key=key))
