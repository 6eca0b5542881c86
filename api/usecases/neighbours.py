"""What is known already near a place: asked while a complaint is being typed, so that one matter does not become two cases.

The database looks by its spatial index, then metres are counted exactly. What lies beyond the line, with another squad, is told
apart: it may be the same offence on its other side, and then the two are one matter (`clusters`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import shapely
import sqlalchemy as sa
from shapely.geometry.base import BaseGeometry
from shapely.ops import nearest_points
from sqlalchemy.orm import Session

from api.access import Principal, sees
from api.store import cases
from api.store.tables import CaseFile, Part
from api.usecases.intake import category_at
from api.usecases.office import Office, brief, relation, shown_to
from api.usecases.placing import Where, decided
from api.usecases.queues import OF_SQUADS
from api.words import direction
from geodata.crs import System, geometries_from_work, geometries_to_work, parse_crs, parse_datum
from geodata.db.shape import from_column, meets
from routing.errors import Lang
from routing.explain import compass

LATELY = timedelta(days=7)
"""For how long a case that has ended is still told of."""
CANDIDATES, MOST = 400, 20
"""Nearest cases that are looked at; of them told, on either side."""
MARGIN = 1.01
"""A box in degrees is no square on the ground."""
WGS84 = parse_datum("wgs84")


@dataclass(frozen=True, slots=True)
class Typed:
    """What of a complaint is known so far. Cases count that lie within `radius_m` and happened within `window` before or after."""

    category: str
    where: Where
    occurred_at: datetime | None = None
    radius_m: float = 50.0
    window: timedelta = timedelta(hours=72)


def suggestions(of: Office, who: Principal, typed: Typed, lang: Lang) -> dict[str, Any]:
    """Cases of the same main type that lie near, of those this person may see; the same category first, then the nearest.

    `here`: with the squad whose ground it is. `across`: with another. Raises CategoryNotInUse, and what `decided` raises.
    """
    typed.where.check("-")
    now = of.now()
    at = now if typed.occurred_at is None else typed.occurred_at
    with of.db.reading() as session:
        category_at(session, typed.category, at)
        found = decided(of, session, typed.where, typed.category, at)
        shape, work = found.placed.shape, found.on.settings.work_crs
        told: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        if shape is not None:
            for row, metres, bearing in _near(session, who, typed, shape, work, at, now):
                told[row.lead == found.decision.squad].append(
                    brief(of, row, lang, cases.part_of(session, row, who.squad)) | {
                        "same_category": row.category == typed.category, "distance_m": round(metres, 2),
                        "bearing": None if bearing is None else round(bearing, 1),
                        "bearing_name": None if bearing is None else direction(compass(bearing), lang),
                    }
                )  # fmt: skip
    return {
        "squad": found.decision.squad, "radius_m": typed.radius_m, "window_h": typed.window.total_seconds() / 3600,
        "here": told[True][:MOST], "across": told[False][:MOST],
    }  # fmt: skip


def main_type(category: str) -> str:
    """What all categories of a main type begin with: the scheme and two digits; a code without digits is a type of its own."""
    scheme, _, code = category.partition(":")
    return f"{scheme}:{code[:2]}" if code[:2].isdecimal() else category


def query(who: Principal, typed: Typed, shape: BaseGeometry, work: str, at: datetime, now: datetime) -> sa.Select[CaseFile]:
    """The cases in the box around a place (metres), nearest first; by the spatial index, the rest is looked at row by row."""
    middle = shape.centroid
    x, y = (sa.literal(round(v * 1000), sa.BigInteger) for v in (middle.x, middle.y))
    away = (CaseFile.x_mm - x) * (CaseFile.x_mm - x) + (CaseFile.y_mm - y) * (CaseFile.y_mm - y)
    kind = main_type(typed.category)
    conditions = [
        meets(CaseFile.geom, _box(shape, typed.radius_m, work)),
        CaseFile.category.startswith(kind, autoescape=True) if kind != typed.category else CaseFile.category == kind,
        sa.or_(CaseFile.open, CaseFile.changed_at >= now - LATELY),
        CaseFile.occurred_at.between(at - typed.window, at + typed.window),
        *shown_to(who),
    ]
    if who.role in OF_SQUADS:
        conditions.append(sa.exists().where(Part.case_id == CaseFile.id, Part.squad == who.squad))
    return sa.select(CaseFile).where(*conditions).order_by(away, CaseFile.id).limit(CANDIDATES)


def shape_of(row: CaseFile, work: str) -> BaseGeometry:
    """Where a case is, in metres; it has a place."""
    assert row.geom is not None
    assert row.x_mm is not None
    assert row.y_mm is not None
    drawn = from_column(row.geom)
    if drawn.geom_type == "Point":
        return shapely.Point(row.x_mm / 1000, row.y_mm / 1000)
    moved: BaseGeometry = geometries_to_work(np.array([drawn], object), System(None, WGS84), parse_crs(work), "line")[0]
    return moved


def _near(
    session: Session, who: Principal, typed: Typed, shape: BaseGeometry, work: str, at: datetime, now: datetime
) -> list[tuple[CaseFile, float, float | None]]:
    """With metres and bearing; None: it is the very place."""
    found = []
    for row in session.scalars(query(who, typed, shape, work, at, now)):
        other = shape_of(row, work)
        metres = shape.distance(other)
        if metres <= typed.radius_m and sees(who.role, relation(row, who, cases.part_of(session, row, who.squad))):
            found.append((row, metres, _bearing(shape, other)))
    return sorted(found, key=lambda one: (one[0].category != typed.category, one[1], one[0].id))


def _bearing(here: BaseGeometry, there: BaseGeometry) -> float | None:
    """Degrees from north, clockwise, between the points that are nearest."""
    a, b = nearest_points(here, there)
    return None if a.equals(b) else math.degrees(math.atan2(b.x - a.x, b.y - a.y)) % 360


def _box(shape: BaseGeometry, radius_m: float, work: str) -> BaseGeometry:
    """Degrees around a shape in metres, wide enough."""
    west, south, east, north = shape.bounds
    wide = radius_m * MARGIN + 1
    around = np.array([shapely.box(west - wide, south - wide, east + wide, north + wide)], object)
    degrees: BaseGeometry = geometries_from_work(around, System(None, WGS84), parse_crs(work), "place")[0]
    return shapely.box(*degrees.bounds)
