"""While a complaint is typed: what is known already near there, and what of it lies across the line."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import shapely
import sqlalchemy as sa

from api.access import Principal
from api.store.setup import opened
from api.usecases import neighbours
from api.usecases.neighbours import Typed
from api.usecases.placing import Where
from routing.case import Role
from tests.api.live import in_degrees, live, place
from tests.api.staff import CATEGORY, NOW, Clock, Office, Staff
from tests.db.worlds import SETTINGS, X, Y

CONTACT = {"name": "欧阳测试", "phone": "13987654321", "email": "canary@example.org", "address": "金丝雀路 7 号"}


def typed(who: Staff, x: float, y: float, **more: Any) -> Any:
    body = {"category": CATEGORY, "where": place(x, y), **more}
    return who.post("/api/v1/cases/suggestions", body)


def numbers(told: Any, side: str = "here") -> list[str]:
    return [one["number"] for one in told[side]]


def test_the_same_category_comes_first_then_the_nearest(service: Office) -> None:
    far = service.operator.take(1_530, 500)["number"]
    kin = service.operator.take(1_503, 500, category="GB30428:0501")["number"]
    near = service.operator.take(1_500, 490)["number"]
    service.operator.take(1_560, 500)
    service.operator.take(1_500, 500, category="GB30428:0401")
    told = typed(service.operator, 1_500, 500)
    assert (told["squad"], numbers(told), told["across"]) == ("su01", [near, far, kin], [])
    assert [(one["distance_m"], one["bearing_name"]) for one in told["here"]] == [(10.0, "南"), (30.0, "东"), (3.0, "东")]
    assert [one["same_category"] for one in told["here"]] == [True, True, False]
    assert numbers(typed(service.operator, 1_500, 500, radius_m=9)) == [kin]
    assert len(numbers(typed(service.operator, 1_500, 500, radius_m=500))) == 4
    assert service.operator.post("/api/v1/cases/suggestions", {"category": CATEGORY, "where": place(1, 1), "radius_m": 501}, 422)


def test_what_lies_across_the_line_is_told_apart(service: Office) -> None:
    west, east = service.operator.take(900, 500), service.operator.take(1_040, 500)
    assert (west["squad"], east["squad"]) == ("su00", "su01")
    told = typed(service.operator, 1_040, 505, radius_m=200)
    assert (numbers(told), numbers(told, "across")) == ([east["number"]], [west["number"]])
    assert told["across"][0]["bearing_name"] == "西"


def test_a_line_along_a_street_is_as_near_as_its_nearest_point(service: Office) -> None:
    line = in_degrees(shapely.LineString([(1_200, 500), (1_800, 500)]))["coordinates"]
    street = service.operator.post(
        "/api/v1/cases", {"category": CATEGORY, "description": "沿街", "channel": "phone", "where": {"line": line}, "anonymous": True}, 201
    )
    (told,) = typed(service.operator, 1_750, 520)["here"]
    assert (told["number"], round(told["distance_m"]), told["bearing_name"]) == (street["number"], 20, "南")
    body = {"category": CATEGORY, "where": {"line": line}}
    (same,) = service.operator.post("/api/v1/cases/suggestions", body)["here"]
    assert (same["distance_m"], same["bearing"]) == (0.0, None)


def test_old_matters_are_left_out_and_lately_ended_ones_are_not(service: Office, clock: Clock) -> None:
    long_ago = (NOW - timedelta(hours=80)).isoformat()
    service.operator.take(1_500, 500, occurred_at=long_ago)
    ended = service.operator.take(1_500, 501)["number"]
    service.operator.act(ended, "answer", reason="已解释")
    assert numbers(typed(service.operator, 1_500, 500)) == [ended]
    assert len(numbers(typed(service.operator, 1_500, 500, window_h=100))) == 2
    clock.now += timedelta(days=7)
    assert numbers(typed(service.operator, 1_500, 500, occurred_at=NOW.isoformat())) == []


def test_nobody_is_told_of_a_case_he_may_not_see_nor_of_who_complained(service: Office) -> None:
    mine = service.operator.take(1_040, 500, contact=CONTACT)["number"]
    officer = service.operator.take(1_041, 500, category="JIEGUAN:selective", against="su01", contact=CONTACT)["number"]
    about = {"category": "JIEGUAN:selective"}
    assert numbers(typed(service.operator, 1_040, 500, **about)) == [officer]
    assert numbers(typed(service.dispatcher, 1_040, 500, **about)) == []
    assert numbers(typed(service.leader("su01"), 1_040, 500, **about)) == []
    assert numbers(typed(service.leader("su01"), 1_040, 500)) == [mine]
    stranger = typed(service.leader("su02"), 1_040, 500)
    assert (stranger["here"], stranger["across"]) == ([], [])
    machine = typed(Staff(service.base, "别的系统", "machine"), 1_040, 500)
    assert (machine["here"], machine["across"]) == ([], [])
    told = str(typed(service.operator, 1_040, 500))
    assert mine in told
    assert not any(canary in told for canary in CONTACT.values())


def test_a_place_that_is_none_is_near_nothing(service: Office) -> None:
    service.operator.take(500, 500)
    for where in ({"unlocated": True}, {"lon": 121.47, "lat": 31.23}):
        told = service.operator.post("/api/v1/cases/suggestions", {"category": CATEGORY, "where": where})
        assert (told["here"], told["across"]) == ([], [])


def test_it_is_known_after_a_restart(url: str, clock: Clock) -> None:
    with live(url, now=clock) as base:
        number = Office(base).operator.take(1_500, 500)["number"]
    with live(url, now=clock) as base:
        assert numbers(typed(Office(base).operator, 1_500, 510)) == [number]


def test_the_database_looks_by_its_spatial_index(url: str) -> None:
    who = Principal("a", "a", Role.OPERATOR, None, "test")
    query = neighbours.query(who, Typed(CATEGORY, Where()), shapely.Point(X, Y), SETTINGS.work_crs, NOW, NOW)
    sent: list[tuple[str, Any]] = []
    with opened(url) as db, db.reading() as session:
        connection = session.connection()
        sa.event.listen(connection, "before_cursor_execute", lambda _, __, text, given, *___: sent.append((text, given)))
        assert session.scalars(query).all() == []
        if db.path is None:  # so few rows are faster read than looked up
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        text, given = sent[0]
        plan = str(connection.exec_driver_sql(("EXPLAIN " if db.path is None else "EXPLAIN QUERY PLAN ") + text, given).all())
        assert ("idx_case_file_geom" if db.path is None else "rtree_case_file_geom VIRTUAL TABLE INDEX") in plan
