"""Who is responsible for a place, under the version in force, read in the question's own transaction."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from api.usecases.map_features import MapStore
from api.usecases.route_file import bounds_of
from api.words import step_words
from geodata import store
from geodata.crs import NotDegrees, System, parse_crs, parse_datum, to_wgs84
from geodata.points import LatLonSwapped, OnePlace, PointColumns, locate
from routing.errors import JieguanError, Lang
from routing.explain import Change, Question, explain
from routing.jurisdiction import JurisdictionMap, micros
from routing.model import Category, Decision, Location, SquadCode, Step
from routing.route import Complaints, Router, groups, route


class NoPlace(JieguanError):
    zh = "坐标 lon={lon}、lat={lat} 不是本图范围内的地点({why})。请核对经纬度次序、小数点和基准(datum)。"
    en = "lon={lon}, lat={lat} is no place on this map ({why}). Check the order of the two, their decimals and the datum."


@dataclass(frozen=True, slots=True)
class Asking:
    """A place (degrees in `datum`), and what a decision depends on beside it. `at` None: now."""

    lon: float
    lat: float
    datum: str = "wgs84"
    error_m: float = 0.0
    category: str | None = None
    at: datetime | None = None
    found_by: str | None = None
    case: str | None = None


def decide(of: MapStore, asking: Asking, lang: Lang) -> dict[str, Any]:
    """The decision. Raises NothingInForce, UnknownDatum, NoPlace."""
    at = of.now() if asking.at is None else asking.at
    version = store.version_at(of.db, at)
    desk = _desk(of, version)
    decision = desk.router(desk.place(asking), _category(asking), at, found_by=_squad(asking), case=asking.case)
    return {"version": version, "at": at.isoformat(), "decision": decision_told(decision, lang)}


def why(of: MapStore, asking: Asking, lang: Lang) -> dict[str, Any]:
    """The decision with what would change it and, in doubt, the one question. Raises as `decide`."""
    version, on, at = _map(of, asking)
    found = explain(on, _place(on, asking), _category(asking), at, found_by=_squad(asking), case=asking.case)
    return {
        "version": version, "at": at.isoformat(), "decision": decision_told(found.decision, lang),
        "change": None if found.change is None else change_told(found.change, on),
        "question": None if found.question is None else question_told(found.question),
    }  # fmt: skip


def decide_many(of: MapStore, askings: Sequence[Asking], reasons: bool, lang: Lang) -> dict[str, Any]:
    """A decision for each place, in their order. What cannot be located goes to the duty squad, and says why.

    Raises NothingInForce, UnknownDatum, LatLonSwapped (most of the places), NotDegrees.
    """
    now, answers = of.now(), [dict[str, Any]() for _ in askings]
    with of.db.reading() as session:
        instants = {a.at or now for a in askings}
        names = {at: store.in_force(session, at).version for at in instants}
        maps = {name: of.maps.of(session, name) for name in set(names.values())}
    for name, on in maps.items():
        rows = [i for i, a in enumerate(askings) if names[a.at or now] == name]
        some = [askings[i] for i in rows]
        complaints, errors = _complaints(on, some, now)
        routed = route(on, complaints)
        for k, i in enumerate(rows):
            decision = routed.decision(k)
            told = decision_told(decision, lang) if reasons else brief_told(decision)
            answers[i] = told | {"location_error": errors[k], "version": name}
    return {"at": now.isoformat(), "decisions": answers}


def _complaints(on: JurisdictionMap, askings: Sequence[Asking], now: datetime) -> tuple[Complaints, list[str | None]]:
    """As arrays; where a place is none, why."""
    n = len(askings)
    x, y, error_m, errors = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n), np.full(n, None, object)
    work, box = parse_crs(on.settings.work_crs), bounds_of(on)
    for datum in {a.datum for a in askings}:
        rows = np.flatnonzero([a.datum == datum for a in askings])
        stated = {
            "lon": np.array([askings[i].lon for i in rows.tolist()]), "lat": np.array([askings[i].lat for i in rows.tolist()]),
            "error_m": np.array([askings[i].error_m for i in rows.tolist()]),
        }  # fmt: skip
        of = PointColumns("lon", "lat", System(None, parse_datum(datum, "datum")), error_field="error_m")
        found = locate(stated, of, work, box)
        x[rows], y[rows], errors[rows] = found.x, found.y, found.location_error
        error_m[rows] = np.where(found.ok, found.error_m, 0.0)
    finders = [on.squad_number.get(SquadCode(a.found_by), -1) if a.found_by is not None else -1 for a in askings]
    at = np.array([micros(a.at or now) for a in askings], np.int64)
    case = np.array([a.case for a in askings], object) if any(a.case for a in askings) else None
    group = groups(on, [a.category for a in askings])
    return Complaints(x, y, error_m, at, group, np.array(finders, np.int32), case), [None if e is None else str(e) for e in errors]


def brief_told(decision: Decision) -> dict[str, Any]:
    """A decision without its reasons."""
    return {
        "squad": decision.squad, "assist": list(decision.assist), "step": decision.step.value, "doubtful": decision.doubtful,
        "margin_m": round(decision.margin_m, 3), "runner_up": decision.runner_up, "township": decision.township,
    }  # fmt: skip


def decision_told(decision: Decision, lang: Lang) -> dict[str, Any]:
    """A decision as plain values, its steps named in a language."""
    return {
        "squad": decision.squad, "assist": list(decision.assist), "step": decision.step.value,
        "step_name": step_words(decision.step, lang)[0], "doubtful": decision.doubtful,
        "margin_m": round(decision.margin_m, 3), "runner_up": decision.runner_up, "township": decision.township,
        "reasons": reasons_told(plain_reasons(decision), lang),
        "pin": {"map": decision.pin.map_version, "rules_version": decision.pin.rules_version},
    }  # fmt: skip


def plain_reasons(decision: Decision) -> list[dict[str, Any]]:
    """A decision's reasons as they are kept: codes only."""
    return [{"step": r.step.value, "found": list(r.found), "chosen": r.chosen} for r in decision.reasons]


def reasons_told(reasons: Sequence[Mapping[str, Any]], lang: Lang) -> list[dict[str, Any]]:
    """Reasons with their steps named in a language."""
    return [
        {"step": r["step"], "step_name": step_words(Step(r["step"]), lang)[0], "found": list(r["found"]), "chosen": r["chosen"]}
        for r in reasons
    ]


def is_quick(of: MapStore, asking: Asking) -> bool:
    """Can `decide` answer without waiting for anything: a database in this machine's memory, a map that is open, a plain place?"""
    if of.db.glances is None:
        return False
    at = of.now() if asking.at is None else asking.at
    return asking.case is None and _desks.__dict__.get("by_version", {}).get(store.version_at(of.db, at)) is not None


class _Desk:
    """What one thread needs to answer on one map at once: its router, and how places come to the city's metres."""

    def __init__(self, on: JurisdictionMap) -> None:
        self.on, self.router = on, Router(on)
        self._box, self._work = bounds_of(on), parse_crs(on.settings.work_crs)
        self._places: dict[str, OnePlace] = {}

    def place(self, asking: Asking) -> Location:
        """Raises UnknownDatum, NoPlace."""
        quick = self._places.get(asking.datum)
        if quick is None:
            quick = self._places[asking.datum] = OnePlace(parse_datum(asking.datum, "datum"), self._work, self._box)
        found = quick(asking.lon, asking.lat, asking.error_m)
        return _place(self.on, asking) if found is None else Location(*found)


_desks = threading.local()
DESKS = 4


def _desk(of: MapStore, version: str) -> _Desk:
    """This thread's desk for a map. Raises UnknownVersion, MapRefused."""
    mine: dict[str, _Desk] = _desks.__dict__.setdefault("by_version", {})
    on = of.maps.at_hand(version)
    found = mine.get(version)
    if found is None or (on is not None and found.on is not on):
        if on is None:
            with of.db.reading() as session:
                on = of.maps.of(session, version)
        while len(mine) >= DESKS:
            mine.pop(next(iter(mine)))
        found = mine[version] = _Desk(on)
    return found


def _map(of: MapStore, asking: Asking) -> tuple[str, JurisdictionMap, datetime]:
    at = of.now() if asking.at is None else asking.at
    with of.db.reading() as session:
        version = store.in_force(session, at).version
        return version, of.maps.of(session, version), at


def _place(on: JurisdictionMap, asking: Asking) -> Location:
    """The place in metres; few decimals widen its error. Raises UnknownDatum, NoPlace."""
    datum = parse_datum(asking.datum, "datum")
    columns = {"lon": np.array([asking.lon]), "lat": np.array([asking.lat])}
    of = PointColumns("lon", "lat", System(None, datum), asking.error_m)
    try:
        found = locate(columns, of, parse_crs(on.settings.work_crs), bounds_of(on))
    except (LatLonSwapped, NotDegrees) as error:
        raise NoPlace(lon=asking.lon, lat=asking.lat, why=type(error).__name__) from error
    if not found.ok[0]:
        raise NoPlace(lon=asking.lon, lat=asking.lat, why=found.location_error[0])
    return Location(float(found.x[0]), float(found.y[0]), float(found.error_m[0]))


def _category(asking: Asking) -> Category | None:
    return None if asking.category is None else Category(asking.category)


def _squad(asking: Asking) -> SquadCode | None:
    return None if asking.found_by is None else SquadCode(asking.found_by)


def change_told(change: Change, on: JurisdictionMap) -> dict[str, Any]:
    lon, lat = to_wgs84([change.x], [change.y], System(parse_crs(on.settings.work_crs), parse_datum("wgs84")))
    return {
        "squad": change.squad, "distance_m": round(change.distance_m, 3), "bearing": round(change.bearing, 1),
        "lon": round(float(lon[0]), 9), "lat": round(float(lat[0]), 9),
    }  # fmt: skip


def question_told(question: Question) -> dict[str, Any]:
    options = [{"squad": o.squad, "bearing": round(o.bearing, 1), "share": o.share} for o in question.options]
    return {"options": options, "removes": question.removes}
