"""The same offence on the two sides of a line: one matter, and a record of whether both sides were treated alike."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from api.store.setup import opened
from api.store.tables import WHOLE, Cluster, Event
from geodata.db.copying import check
from tests.api.staff import NOW, Clock, Office, linger

WEST, EAST = (900, 500), (1_040, 500)


def both(office: Office, **more: Any) -> tuple[str, str]:
    """A case of su00 and one of su01, across the line, dispatched."""
    return office.dispatched(*WEST, **more), office.dispatched(*EAST, **more)


def begin(office: Office, *numbers: str, status: int = 201, **more: Any) -> Any:
    return office.dispatcher.post("/api/v1/clusters", {"numbers": list(numbers), **more}, status)


def finish(office: Office, number: str, squad: str) -> None:
    """From the signature to the end."""
    leader = office.leader(squad)
    if office.dispatcher.case(number)["state"] == "dispatched":
        leader.act(number, "sign")
    for other in office.dispatcher.case(number)["parts"]:
        office.leader(other).act(number, "finish_part", reason="已配合")
    leader.act(number, "report", reason="已劝离", evidence=["照片"])
    office.dispatcher.act(number, "take_to_check")
    office.operator.act(number, "reply", reason="已答复")
    office.checker.act(number, "close")


def test_two_cases_across_a_line_become_one_matter_that_ends_with_them(service: Office, url: str, clock: Clock) -> None:
    west, east = both(service)
    made = begin(service, east, west)
    assert (made["lead"], made["squads"], made["closed_at"], made["all_shown"]) == ("su00", ["su00", "su01"], None, True)
    by_number = {case["number"]: case for case in made["cases"]}
    assert (by_number[west]["joint"], by_number[east]["joint"]) == (["su01"], ["su00"])
    assert service.leader("su01").case(west)["part"] == "joint"
    assert service.dispatcher.case(west)["cluster"] == made["id"]
    assert made["gap"] == dict.fromkeys(("to_signature_min", "to_report_min", "to_close_min"))
    finish(service, west, "su00")
    clock.now += timedelta(hours=2)
    half = service.supervisor.get(f"/api/v1/clusters/{made['id']}")
    assert (half["closed_at"], half["gap"]["to_signature_min"]) == (None, None)
    finish(service, east, "su01")
    told = service.leader("su00").get(f"/api/v1/clusters/{made['id']}")
    assert told["closed_at"] is not None
    assert {case["disposal"]["report"]["reason"] for case in told["cases"]} == {"已劝离"}
    sides = {side["squad"]: side for side in told["sides"]}
    assert told["gap"]["to_close_min"] == pytest.approx(sides["su01"]["to_close_min"] - sides["su00"]["to_close_min"], abs=0.11)
    assert told["gap"]["to_signature_min"] >= 119
    assert [one["id"] for one in service.dispatcher.get("/api/v1/clusters", closed=True)["items"]] == [made["id"]]
    assert service.dispatcher.get("/api/v1/clusters", closed=False)["items"] == []
    service.operator.act(east, "reopen", reason="又来了")
    assert service.dispatcher.get(f"/api/v1/clusters/{made['id']}")["closed_at"] is None
    with opened(url) as db, db.reading() as session:
        entries = list(session.scalars(sa.select(Event).where(Event.kind == "clustered")))
    assert [entry.body["numbers"] for entry in entries] == [[west, east]] * 2
    assert check(url, WHOLE) == ()


def test_joint_work_begins_where_the_state_allows_and_later_where_it_did_not(service: Office) -> None:
    west, east = service.dispatched(*WEST), service.operator.take(*EAST)["number"]
    made = service.operator.post("/api/v1/clusters", {"numbers": [west, east]}, 201)
    assert [case["joint"] for case in made["cases"]] == [[], []]
    path = f"/api/v1/clusters/{made['id']}/joint"
    first = {case["number"]: case for case in service.dispatcher.post(path, {"reason": "两侧同办"})["cases"]}
    assert (first[west]["joint"], first[east]["joint"]) == (["su01"], [])
    service.operator.act(east, "accept")
    service.dispatcher.act(east, "register")
    service.dispatcher.act(east, "dispatch")
    again = {case["number"]: case for case in service.dispatcher.post(path)["cases"]}
    assert (again[west]["joint"], again[east]["joint"]) == (["su01"], ["su00"])
    started = [e for e in service.supervisor.get(f"/api/v1/cases/{west}/events")["events"] if e["action"] == "start_joint"]
    assert [event["words"]["reason"] for event in started] == ["两侧同办"]


def test_a_lead_may_be_named_from_among_them(service: Office) -> None:
    west, east = both(service)
    assert begin(service, west, east, status=422, lead="su02")["type"] == "urn:jieguan:problem:LeadOfNone"
    assert begin(service, west, east, lead="su01")["lead"] == "su01"


def test_what_is_not_one_matter_is_refused_with_the_reason(service: Office, url: str) -> None:
    west, east = both(service)
    late = service.dispatched(*EAST, occurred_at=(NOW - timedelta(hours=80)).isoformat())
    other, far = service.dispatched(*EAST, category="GB30428:0501"), service.dispatched(1_900, 500)
    own = service.dispatched(1_050, 500)
    ended = service.operator.take(*EAST)["number"]
    service.operator.act(ended, "answer", reason="已解释")
    for numbers, problem, status in (
        ((west, late), "NotOneWhile", 422), ((west, other), "NotOneCategory", 422), ((west, far), "TooFarApart", 422),
        ((east, own), "OneSideOnly", 422), ((west, ended), "HasEnded", 409), ((west, west), "InvalidRequest", 422),
        ((west, "20990101-000001"), "UnknownCase", 404),
    ):  # fmt: skip
        assert begin(service, *numbers, status=status)["type"] == f"urn:jieguan:problem:{problem}", numbers
    assert service.dispatcher.case(west)["version"] == 4
    begin(service, west, east)
    assert begin(service, west, own, status=409)["type"] == "urn:jieguan:problem:InOneAlready"
    with opened(url) as db, db.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Cluster)) == 1


def test_p17_a_squad_that_has_no_part_in_it_does_not_find_it(service: Office) -> None:
    west, east = both(service)
    made = begin(service, west, east)
    stranger = service.leader("su02")
    assert stranger.get(f"/api/v1/clusters/{made['id']}", 404)["type"] == "urn:jieguan:problem:UnknownCluster"
    assert stranger.get(f"/api/v1/clusters/{made['id'] + 1}", 404)["type"] == "urn:jieguan:problem:UnknownCluster"
    assert stranger.get("/api/v1/clusters")["items"] == []
    assert stranger.post("/api/v1/clusters", {"numbers": [west, east]}, 403)
    assert [one["numbers"] for one in service.leader("su01").get("/api/v1/clusters")["items"]] == [[west, east]]


def test_a_squad_that_sees_one_case_of_it_is_not_told_of_the_other(service: Office) -> None:
    west, east = service.operator.take(*WEST)["number"], service.operator.take(*EAST)["number"]
    made = service.operator.post("/api/v1/clusters", {"numbers": [west, east]}, 201)
    told = service.leader("su01").get(f"/api/v1/clusters/{made['id']}")
    assert ([case["number"] for case in told["cases"]], told["all_shown"]) == ([east], False)
    assert west not in str(told)


def test_a_complaint_about_a_squad_joins_no_other_case(service: Office, url: str) -> None:
    """It would come to those it is about: by the joint work on their own case, by its number in the story, by a case they miss."""
    west, east = both(service)
    about = service.dispatched(*EAST, against="su00")
    conduct = [service.operator.take(*where, category="JIEGUAN:conduct", against="su02")["number"] for where in (WEST, EAST)]
    for numbers, named in (((west, about), about), ((about, west, east), about), (tuple(conduct), conduct[0])):
        told = service.operator.post("/api/v1/clusters", {"numbers": list(numbers)}, 409)
        assert (told["type"], told["facts"]) == ("urn:jieguan:problem:OfSupervision", {"number": named})
    with opened(url) as db, db.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Cluster)) == 0


def test_a_case_that_supervision_takes_over_is_missed_by_nobody(service: Office) -> None:
    """What is told to those who do not see it any more is what they would be told if it had never been there."""
    west, east = both(service)
    third = service.dispatched(EAST[0] + 20, EAST[1])
    made = begin(service, west, east, third)
    service.dispatcher.act(third, "reroute", category="JIEGUAN:conduct", reason="投诉执法人员")
    told = service.dispatcher.get(f"/api/v1/clusters/{made['id']}")
    assert ({case["number"] for case in told["cases"]}, told["all_shown"]) == ({west, east}, True)
    whole = service.supervisor.get(f"/api/v1/clusters/{made['id']}")
    assert ({case["number"] for case in whole["cases"]}, whole["all_shown"]) == ({west, east, third}, True)
    for staff in (service.dispatcher, service.leader("su00"), service.supervisor):
        story = staff.get(f"/api/v1/cases/{west}/events")
        assert {"number": west, "version": 5, "cluster": made["id"]} in [event["facts"] for event in story["events"]]
        assert third not in str(story)


def test_two_that_end_at_once_end_the_matter(service: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    west, east = both(service)
    made = begin(service, west, east)
    for number, squad in ((west, "su00"), (east, "su01")):
        leader = service.leader(squad)
        leader.act(number, "sign")
        for other in service.dispatcher.case(number)["parts"]:
            service.leader(other).act(number, "finish_part", reason="已配合")
        leader.act(number, "report", reason="已劝离", evidence=["照片"])
        service.dispatcher.act(number, "take_to_check")
        service.operator.act(number, "reply", reason="已答复")
    at_once = threading.Barrier(2)
    linger(monkeypatch)
    seen = {number: service.checker.case(number)["version"] for number in (west, east)}

    def close(number: str) -> None:
        at_once.wait()
        service.checker.act(number, "close", seen=seen[number])

    threads = [threading.Thread(target=close, args=(number,)) for number in (west, east)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert service.dispatcher.get(f"/api/v1/clusters/{made['id']}")["closed_at"] is not None


def test_the_same_request_twice_is_one_cluster(service: Office) -> None:
    west, east = both(service)
    body, key = {"numbers": [west, east]}, {"Idempotency-Key": "k"}
    first = service.dispatcher.post("/api/v1/clusters", body, 201, **key)
    assert service.dispatcher.post("/api/v1/clusters", body, 201, **key) == first
