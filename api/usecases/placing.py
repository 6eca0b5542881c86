"""Where a complaint is, and whose it therefore is: the place as it was stated, in the city's metres, and the decision.

A place that cannot be located, or lies far outside, is kept all the same: the duty squad holds the case, and it is marked doubtful.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy.orm import Session

from api.usecases.map_route import NoPlace, plain_reasons
from api.usecases.office import Office
from api.usecases.route_file import bounds_of
from geodata.crs import NotDegrees, System, geometries_from_work, geometries_to_work, parse_crs, parse_datum, to_wgs84
from geodata.db.shape import to_column
from geodata.layer import on_grid
from geodata.points import LatLonSwapped, LocationError, PointColumns, locate
from geodata.store import NothingInForce
from routing.errors import JieguanError
from routing.explain import Explanation, explain
from routing.jurisdiction import JurisdictionMap
from routing.model import Category, Decision, Location, Reason, SquadCode, Step
from routing.route import complaint
from routing.shapes import route_shapes

HALF_TURN = 180.0
KEPT = frozenset({LocationError.FAR_OUTSIDE.value})
"""What is wrong with a place, and still no reason to send the caller away."""


class PlaceMissing(JieguanError):
    zh = "没有地点:须给出经纬度(lon、lat),或沿街的线(line),或写明地址并声明无法定位(unlocated)。没有地点就无法判断由谁负责。"
    en = (
        "There is no place, and without one nobody can say who is responsible. Give lon and lat, or a line along a street, or an "
        "address and say that it cannot be located (unlocated)."
    )


class PlaceTwice(JieguanError):
    zh = "地点给了不止一种({given}):无法确定以哪个为准。请只给一种。"
    en = "The place is given in more than one way ({given}), and nobody can tell which is meant. Give it in one."


class LineTooShort(JieguanError):
    zh = "沿街的线只有 {count} 个点:至少要两个不同的点。请补画。"
    en = "The line along the street has {count} points; it takes two that differ. Draw the rest."


@dataclass(frozen=True, slots=True)
class Where:
    """A place as somebody states it: degrees in `datum`, a point or a line; or that it cannot be located."""

    lon: float | None = None
    lat: float | None = None
    line: tuple[tuple[float, float], ...] = ()
    datum: str = "wgs84"
    error_m: float = 0.0
    unlocated: bool = False

    def check(self, address: str) -> None:
        """Raises PlaceMissing, PlaceTwice."""
        point = self.lon is not None and self.lat is not None
        given = [name for name, is_so in (("lon, lat", point), ("line", bool(self.line)), ("unlocated", self.unlocated)) if is_so]
        if len(given) > 1:
            raise PlaceTwice(given="; ".join(given))
        if not given or (self.unlocated and not address.strip()):
            raise PlaceMissing


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A place in the city. `shape`: in metres of the work CRS, None where it could not be located. `error_m`: never less than stated."""

    stated: dict[str, Any]
    shape: BaseGeometry | None
    lonlat: BaseGeometry | None
    error_m: float

    @property
    def point(self) -> Location | None:
        """The place, or a point of it that stands for all."""
        if self.shape is None:
            return None
        at = self.shape if isinstance(self.shape, shapely.Point) else self.shape.interpolate(0.5, normalized=True)
        return Location(at.x, at.y, self.error_m)

    def columns(self) -> dict[str, Any]:
        """As columns of `case_file`."""
        at = None if self.point is None else on_grid(shapely.Point(self.point.x, self.point.y))
        return {
            "place": self.stated, "error_m": self.error_m, "geom": None if self.lonlat is None else to_column(self.lonlat),
            "x_mm": None if at is None else int(at.x), "y_mm": None if at is None else int(at.y),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A decision, under the map of a version. `why`: what lies behind it, where the place is one point."""

    version: str
    on: JurisdictionMap
    placed: Placed
    decision: Decision
    why: Explanation | None

    def columns(self) -> dict[str, Any]:
        """As columns of `case_file`: the place and the decision."""
        d = self.decision
        return self.placed.columns() | {
            "lead": d.squad, "assist": list(d.assist), "duty": self.on.roster.duty, "step": d.step.value, "doubtful": d.doubtful,
            "margin_m": d.margin_m, "runner_up": d.runner_up, "township": d.township, "reasons": plain_reasons(d),
            "map_version": self.version, "rules_version": d.pin.rules_version,
        }  # fmt: skip


def decided(
    of: Office, session: Session, where: Where, category: str, at: datetime, found_by: str | None = None, case: str | None = None,
    *, keep: bool = False,
) -> Found:  # fmt: skip
    """Who is responsible for a place at an instant, under the map in force then.

    What happened before there was any map is decided by the one in force now. `keep`: there is nobody to ask again, so what is no
    place is kept all the same, with what is wrong with it. Raises NothingInForce, UnknownDatum, NoPlace, LineTooShort.
    """
    try:
        version, on = of.map_at(session, at)
    except NothingInForce:
        version, on = of.map_at(session, of.now())
    placed = place_in(on, where, keep=keep)
    kind, finder = Category(category), None if found_by is None else SquadCode(found_by)
    point = placed.point
    if placed.shape is None or point is None:
        return Found(version, on, placed, _on_duty(on), None)
    if placed.shape.geom_type != "Point":
        one = complaint(on, point, kind, at, found_by=finder, case=case)
        return Found(version, on, placed, route_shapes(on, [placed.shape], one).decision(0), None)
    why = explain(on, point, kind, at, found_by=finder, case=case)
    return Found(version, on, placed, why.decision, why)


def place_in(on: JurisdictionMap, where: Where, *, keep: bool = False) -> Placed:
    """A stated place in metres; few decimals widen its error. `keep`: as for `decided`. Raises UnknownDatum, NoPlace, LineTooShort."""
    if keep and (why := _no_degrees(where)) is not None:  # such a number may be anything, a telephone's even: it is not kept
        return Placed({"datum": where.datum, "unlocated": True, "location_error": why.value}, None, None, where.error_m)
    stated = {k: v for k, v in asdict(where).items() if v not in (None, (), False)}
    if where.line:
        return _line(on, where, stated | {"line": [list(p) for p in where.line]})
    if where.unlocated:
        return Placed(stated, None, None, where.error_m)
    return _point(on, where, stated, keep=keep)


def _point(on: JurisdictionMap, where: Where, stated: dict[str, Any], *, keep: bool) -> Placed:
    system = System(None, parse_datum(where.datum, "datum"))
    columns = {"lon": np.array([where.lon]), "lat": np.array([where.lat])}
    work = parse_crs(on.settings.work_crs)
    try:
        found = locate(columns, PointColumns("lon", "lat", system, where.error_m), work, bounds_of(on))
    except (LatLonSwapped, NotDegrees) as error:
        if keep:
            why = LocationError.SWAPPED if isinstance(error, LatLonSwapped) else _out_of_range(on, where)
            return Placed(stated | {"location_error": why.value}, None, None, where.error_m)
        raise NoPlace(lon=where.lon, lat=where.lat, why=type(error).__name__) from error
    if not found.ok[0]:
        told = str(found.location_error[0])
        if told not in KEPT and not keep:
            raise NoPlace(lon=where.lon, lat=where.lat, why=told)
        if told == LocationError.OUT_OF_RANGE:
            told = _out_of_range(on, where).value
        return Placed(stated | {"location_error": told}, None, None, where.error_m)
    x, y = float(found.x[0]), float(found.y[0])
    lon, lat = to_wgs84([x], [y], System(work, parse_datum("wgs84")))
    at = [round(float(lon[0]), 9), round(float(lat[0]), 9)]
    return Placed(stated | {"wgs84": at}, shapely.Point(x, y), shapely.Point(at), float(found.error_m[0]))


def _no_degrees(where: Where) -> LocationError | None:
    """Why two numbers cannot be degrees, in whatever order."""
    given = [v for v in (where.lon, where.lat) if v is not None]
    if not all(math.isfinite(v) for v in given):
        return LocationError.NOT_A_NUMBER
    return LocationError.OUT_OF_RANGE if any(abs(v) > HALF_TURN for v in given) else None


def _out_of_range(on: JurisdictionMap, where: Where) -> LocationError:
    """Perhaps it is a place on the map the other way round."""
    system = System(None, parse_datum(where.datum, "datum"))
    columns = {"lon": np.array([where.lat]), "lat": np.array([where.lon])}
    try:
        found = locate(columns, PointColumns("lon", "lat", system), parse_crs(on.settings.work_crs), bounds_of(on))
    except (LatLonSwapped, NotDegrees):
        return LocationError.OUT_OF_RANGE
    return LocationError.SWAPPED if found.ok[0] else LocationError.OUT_OF_RANGE


def _line(on: JurisdictionMap, where: Where, stated: dict[str, Any]) -> Placed:
    if len(set(where.line)) < 2:
        raise LineTooShort(count=len(set(where.line)))
    work = parse_crs(on.settings.work_crs)
    drawn = shapely.LineString(where.line)
    shape = geometries_to_work(np.array([drawn], object), System(None, parse_datum(where.datum, "datum")), work, "line")[0]
    lonlat = geometries_from_work(np.array([shape], object), System(None, parse_datum("wgs84")), work, "line")[0]
    middle = lonlat.interpolate(0.5, normalized=True)
    return Placed(stated | {"wgs84": [round(middle.x, 9), round(middle.y, 9)]}, shape, lonlat, where.error_m)


def _on_duty(on: JurisdictionMap) -> Decision:
    """Nothing is known of the place, so nothing else catches it."""
    reasons = (Reason(Step.ON_DUTY),)
    return Decision(on.roster.duty, (), Step.ON_DUTY, reasons, doubtful=True, margin_m=0.0, runner_up=None, pin=on.pin)
