"""Which areas a place is in, and who answers for it: the boundary part that Open311 never had, and MapIt's look-up by point.

An area is a row of a coverage of the map in force: a township, or a squad's own ground. A place within a millimetre of a line is on it,
so it is in the areas of both sides; who is responsible there is decided by the ladder, and is one squad.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from api.usecases import map_route
from api.usecases.map_features import MapStore, Shelf, feature_id, in_force, shelf_in_force
from api.usecases.map_places import frame_named
from api.usecases.map_route import Asking, NoPlace
from api.usecases.office import Office
from api.words_open311 import AREAS
from geodata.crs import System, parse_crs, parse_datum, to_work
from geodata.layer import COVERAGES, LayerName, Row
from geodata.points import LocationError
from routing.errors import JieguanError, Lang
from routing.ground.noding import MM
from routing.model import SquadCode, Step

WIDEST_M = 1_000.0
NOT_OURS = frozenset({Step.ON_DUTY.value, Step.NOT_SERVED.value})
"""Steps by which a place is outside, or explicitly somebody else's; the duty squad answers all the same."""


class TooWide(JieguanError):
    zh = "within 须为 0 至 {most} 米的数。请更正。"
    en = "within is a number of metres from 0 to {most}. Correct it."


@dataclass(frozen=True, slots=True)
class Place:
    """WGS-84 degrees."""

    lon: float
    lat: float


def coverage(of: MapStore, office: Office, place: Place, service: str | None, url: str, lang: Lang) -> dict[str, Any]:
    """Is a place ours, and whose is it? `url`: of this endpoint. Raises NothingInForce, NoPlace (of what is no place at all)."""
    try:
        told = map_route.decide(of, Asking(place.lon, place.lat, category=service), lang)
    except NoPlace as error:
        if error.facts["why"] != LocationError.FAR_OUTSIDE:
            raise
        return {"result": False, "instance_url": None, "agency_responsible": None, "responsibility": None}
    decision = told["decision"]
    with of.db.reading() as session:
        name = office.signs.of(session, told["version"]).squads.get(SquadCode(decision["squad"]), decision["squad"])
    ours = decision["step"] not in NOT_OURS
    why = {
        "squad": decision["squad"], "name": name, "step": decision["step"], "step_name": decision["step_name"],
        "doubtful": decision["doubtful"], "margin_m": decision["margin_m"], "runner_up": decision["runner_up"],
        "township": decision["township"], "assisting": decision["assist"], "reasons": decision["reasons"], "map_version": told["version"],
    }  # fmt: skip
    return {"result": ours, "instance_url": url if ours else None, "agency_responsible": name, "responsibility": why}


def areas(
    of: MapStore, office: Office, place: Place | None, within_m: float, boundary: bool, lang: Lang
) -> list[dict[str, Any]]:
    """All areas, or those a place is in or within so many metres of, the nearest first. `boundary`: with their outlines, as WKT in WGS-84.

    Raises NothingInForce, TooWide.
    """
    if not 0 <= within_m <= WIDEST_M:
        raise TooWide(most=WIDEST_M)
    version = in_force(of).version
    with of.db.reading() as session:
        squads = office.signs.of(session, version).squads
    found = [one for layer in COVERAGES for one in _near(of, shelf_in_force(of, layer, version), place, within_m)]
    if place is not None:
        found.sort(key=lambda one: one[2])
    return [_told(shelf, row, away, squads, place is not None, boundary, lang) for shelf, row, away in found]


def by_point(of: MapStore, place: Place, lang: Lang) -> dict[str, Any]:
    """The areas a place is in, by their ids, as MapIt tells them. Raises NothingInForce."""
    now = in_force(of)
    found = [one for layer in COVERAGES for one in _near(of, shelf_in_force(of, layer, now.version), place, 0.0)]
    return {_id(shelf, row): _as_mapit(shelf, row, now.id, lang) for shelf, row, _ in found}


def _near(of: MapStore, shelf: Shelf, place: Place | None, within_m: float) -> Iterator[tuple[Shelf, Row, float]]:
    """Rows that hold now, with their distance in metres; 0 inside and on the line."""
    now = of.now()
    rows = [r for r in shelf.rows if (r.since is None or r.since <= now) and (r.until is None or now < r.until) and r.ground is not None]
    if place is None:
        yield from ((shelf, row, 0.0) for row in rows)
        return
    grounds = np.array([row.ground for row in rows], object)
    x, y = to_work([place.lon], [place.lat], System(None, parse_datum("wgs84")), parse_crs(shelf.work_crs))
    at, reach = np.array([x[0] * MM, y[0] * MM]), within_m * MM + 1  # a millimetre: on the line
    if not len(grounds) or not np.isfinite(at).all():
        return
    boxes = shapely.bounds(grounds)
    for n in np.flatnonzero(((boxes[:, :2] - reach <= at) & (at <= boxes[:, 2:] + reach)).all(1)).tolist():
        away = float(shapely.distance(grounds[n], shapely.Point(at)))
        if away <= reach:
            yield shelf, rows[n], away / MM if away > 1 else 0.0


def _told(
    shelf: Shelf, row: Row, away: float, squads: Any, near: bool, boundary: bool, lang: Lang
) -> dict[str, Any]:
    squad = row.facts.get("squad")
    told: dict[str, Any] = {
        "id": _id(shelf, row), "name": row.name or row.code, "type": shelf.layer.value, "type_name": _kind(shelf.layer, lang),
        "squad": squad, "agency_responsible": None if squad is None else squads.get(SquadCode(squad), squad),
    }  # fmt: skip
    if near:
        told["distance_m"] = round(away, 3)
    if boundary:
        frame = frame_named(None, shelf.work_crs)
        told["boundary"] = shapely.to_wkt(shelf.shapes(frame)[shelf.rows.index(row)], rounding_precision=frame.decimals)
    return told


def _as_mapit(shelf: Shelf, row: Row, generation: int, lang: Lang) -> dict[str, Any]:
    return {
        "id": _id(shelf, row), "name": row.name or row.code, "type": shelf.layer.value, "type_name": _kind(shelf.layer, lang),
        "parent_area": None,
        "generation_low": generation, "generation_high": generation, "country": "", "country_name": "",
        "codes": {"jieguan": row.code, **({"squad": row.facts["squad"]} if row.facts.get("squad") else {})}, "all_names": {},
    }  # fmt: skip


def _id(shelf: Shelf, row: Row) -> str:
    """`township:410108001`: a squad's ground may have the code of its township."""
    return f"{shelf.layer.value}:{feature_id(row)}"


def _kind(layer: LayerName, lang: Lang) -> str:
    return AREAS[layer.value][lang != "zh-CN"]
