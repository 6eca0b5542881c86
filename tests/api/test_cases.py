"""From the call to the last word: cases over HTTP, on both databases."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
import shapely

from api.settings import Serving
from api.store.opening import working
from api.store.setup import opened
from api.store.tables import WHOLE, Category, Event
from api.usecases.erasure import erase
from geodata.db.copying import check
from routing.case import Actor, Role
from tests.api.live import Person, in_degrees, place, square
from tests.api.staff import CATEGORY, Clock, Office, Staff, complaint


def holders(office: Office, number: str) -> list[str]:
    told = office.supervisor.get(f"/api/v1/cases/{number}/holdings")["holdings"]
    for before, after in pairwise(told):
        assert before["until"] is None or before["until"] <= after["since"]
    return [period["squad"] for period in told]


def test_a_complaint_from_the_call_to_the_last_word(service: Office, url: str) -> None:
    took = service.operator.take(1_500, 500)
    number, squad = took["number"], "su01"
    assert (took["squad"], took["holder"], took["state"], took["doubtful"]) == (squad, "su00", "received", False)
    assert took["decision"]["step"] == "own_ground"
    assert number == "20261120-000001"
    service.operator.act(number, "accept")
    service.dispatcher.act(number, "register")
    assert service.dispatcher.act(number, "dispatch")["holder"] == squad
    leader, member = service.leader(squad), service.member(squad)
    assert member.act(number, "sign")["state"] == "handling"
    leader.refused(number, "report", "no_evidence", reason="已劝离")
    leader.act(number, "report", reason="已劝离", evidence=["照片 2 张"])
    service.dispatcher.act(number, "take_to_check")
    service.checker.refused(number, "close", "not_replied")
    service.operator.act(number, "reply", reason="已电话答复")
    assert service.checker.act(number, "close")["state"] == "closed"
    service.operator.act(number, "follow_up", reason="满意", outcome="satisfied")
    ended = service.dispatcher.act(number, "archive")
    assert (ended["state"], ended["state_name"], ended["allowed"]) == ("archived", "已归档", [])
    assert holders(service, number) == ["su00", squad]
    last = service.supervisor.get(f"/api/v1/cases/{number}/holdings")["holdings"][-1]
    assert last["until"] is not None
    story = service.operator.get(f"/api/v1/cases/{number}/events")["events"]
    assert [e["action"] for e in story if e["action"]] == [
        "accept", "register", "dispatch", "sign", "report", "take_to_check", "reply", "close", "follow_up", "archive",
    ]  # fmt: skip
    assert story[0]["kind"] == "received"
    assert story[5]["words"] == {"reason": "已劝离", "evidence": ["照片 2 张"]}
    assert check(url, WHOLE) == ()


def test_a_doubtful_place_comes_with_the_question_that_settles_it(service: Office) -> None:
    near = {**place(995, 500), "error_m": 120}
    took = service.operator.post("/api/v1/cases", complaint(near), 201)
    assert took["doubtful"]
    assert {took["squad"], *took["assist"]} == {"su00", "su01"}
    assert {o["squad"] for o in took["question"]["options"]} == {"su00", "su01"}
    assert "西" in took["question"]["text"]
    assert "东" in took["question"]["text"]
    english = Office(service.base, "en").operator.post("/api/v1/cases", complaint(near), 201)
    assert "west" in english["question"]["text"]


def test_a_line_along_a_street_goes_to_the_greater_share(service: Office) -> None:
    line = in_degrees(shapely.LineString([(700, 500), (1_100, 500)]))["coordinates"]
    took = service.operator.post("/api/v1/cases", complaint({"line": line}), 201)
    assert (took["squad"], took["assist"]) == ("su00", ["su01"])


@pytest.mark.parametrize(
    ("where", "told"),
    [({"lon": 121.47, "lat": 31.23}, "far_outside"), ({"unlocated": True}, None)],
    ids=["another city", "nobody knows"],
)
def test_what_is_elsewhere_or_nowhere_is_kept_by_the_duty_squad(service: Office, where: Any, told: str | None) -> None:
    took = service.operator.post("/api/v1/cases", complaint(where, address="老槐树下"), 201)
    assert (took["squad"], took["decision"]["step"], took["doubtful"]) == ("su00", "on_duty", True)
    assert took["location_error"] == told
    case = service.operator.case(took["number"])
    assert (case["address"], case["lon"]) == ("老槐树下", None)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"where": {"lon": 34.8, "lat": 113.6}}, "InvalidRequest"),
        ({"where": {"lon": 0.0, "lat": 0.0}}, "NoPlace"),
        ({"where": {}}, "PlaceMissing"),
        ({"where": {"unlocated": True}}, "PlaceMissing"),
        ({"where": {**place(500, 500), "unlocated": True}}, "PlaceTwice"),
        ({"where": {"line": [[113.6, 34.8], [113.6, 34.8]]}}, "LineTooShort"),
        ({"where": {**place(500, 500), "datum": "mars"}}, "UnknownDatum"),
        ({"contact": {}}, "ContactMissing"),
        ({"contact": {"address": "幸福路 1 号"}}, "ContactMissing"),
        ({"anonymous": True}, "ContactOfNobody"),
        ({"category": "GB30428:9"}, "CategoryNotInUse"),
        ({"category": "JIEGUAN:else"}, "CategoryNotInUse"),
        ({"occurred_at": "2027-01-01T00:00:00+08:00"}, "NotYet"),
        ({"found_by": "nobody"}, "UnknownSquad"),
        ({"description": "x" * 4_001}, "InvalidRequest"),
        ({"description": " \t "}, "InvalidRequest"),
        ({"channel": "pigeon"}, "InvalidRequest"),
        ({"squad": "su01"}, "InvalidRequest"),
    ],
)
def test_what_is_missing_is_asked_for_by_name(service: Office, change: Any, problem: str) -> None:
    told = service.operator.post("/api/v1/cases", complaint(place(500, 500)) | change, 422)
    assert told["type"] == f"urn:jieguan:problem:{problem}", told
    assert "13812345678" not in str(told)
    assert service.dispatcher.get("/api/v1/cases")["items"] == []


@pytest.mark.parametrize("words", ["😀" * 4_000, "مرحبا", "'; DROP TABLE case_file; --", "<script>alert(1)</script>", "=HYPERLINK(1)"])
def test_words_come_back_as_they_were_written(service: Office, words: str) -> None:
    number = service.operator.take(500, 500, description=words, address=words[:500], contact={"name": words[:100]})["number"]
    case = service.operator.case(number)
    assert (case["description"], case["address"]) == (words, words[:500])


SLY = ("'; DROP TABLE case_file; --", "<script>alert(1)</script>", "\" OR \"1\"=\"1", "=HYPERLINK(1)", "%s{0}\\", "${jndi:ldap://x}")


def test_sql_and_script_in_every_text_are_words(service: Office, url: str) -> None:
    """Of a complaint and of an order: stored, told as JSON that no browser takes for a page, and nothing else happens."""
    for sly in SLY:
        contact = {"name": sly, "phone": sly[:40], "address": sly, "email": sly}
        took = service.operator.take(1_500, 500, description=sly, address=sly, contact=contact)
        number = took["number"]
        for staff, action in ((service.operator, "accept"), (service.dispatcher, "register"), (service.dispatcher, "dispatch")):
            staff.act(number, action)
        leader = service.leader("su01")
        for _ in range(2):
            leader.act(number, "request_return", reason=sly, evidence=[sly, sly])
            if leader.case(number)["state"] == "return_requested":
                service.dispatcher.act(number, "reject_return", reason=sly)
        service.dispatcher.act(number, "designate", squad="su02", reason=sly, document=sly)
        for unknown in ({"squad": sly}, {"squads": [sly]}):
            told = service.dispatcher.act(number, "transfer", status=422, reason=sly, **unknown)
            assert told["type"] == "urn:jieguan:problem:UnknownSquad"
        case = service.dispatcher.http.get(f"/api/v1/cases/{number}")
        assert (case.json()["description"], case.json()["address"]) == (sly, sly)
        assert (case.headers["content-type"], case.headers["x-content-type-options"]) == ("application/json", "nosniff")
        story = service.supervisor.get(f"/api/v1/cases/{number}/events")["events"]
        assert {e["words"]["reason"] for e in story if e["words"]} == {sly}
        shown = service.operator.post(f"/api/v1/cases/{number}/reporter/reveal", {"reason": sly})
        assert sly in str(shown.values()) or shown["reporter"]["name"] == sly
    assert len(service.dispatcher.get("/api/v1/cases")["items"]) == len(SLY)
    assert check(url, WHOLE) == ()


def test_a_place_that_is_somebody_elses_is_kept_and_referred(service: Office) -> None:
    """Railway ground: nobody is sent away, the duty squad holds the case, and the answer says whose it is to deal with."""
    planner = Person(service.base)
    draft = planner.begin()
    rail = {"kind": "put_row", "layer": "not_served", "properties": {"code": "rail", "authority": "铁路"}, "geometry": square(1_450, 450)}
    planner.post(f"/api/v1/drafts/{draft}/edits", {"edit": rail})
    Person(service.base, "李四").post(f"/api/v1/drafts/{draft}/signatures", {"side": "all", "role": "superior", "document": "3 号"})
    planner.post(f"/api/v1/drafts/{draft}/publish", {"reason": "铁路用地"})
    took = service.operator.take(1_500, 500)
    assert (took["squad"], took["holder"], took["decision"]["step"]) == ("su00", "su00", "not_served")
    assert service.operator.take(1_500, 900)["squad"] == "su01"
    assert service.operator.case(took["number"])["state"] == "received"


def test_a_category_retired_yesterday_serves_what_happened_before(service: Office, url: str, clock: Clock) -> None:
    with opened(url) as db, db.writing() as session:
        row = session.query(Category).filter(Category.code == CATEGORY).one()
        row.until = clock.now - timedelta(days=1)
    told = service.operator.take(500, 500, status=422)
    assert told["type"] == "urn:jieguan:problem:CategoryNotInUse"
    assert CATEGORY in told["detail"]
    before = (clock.now - timedelta(days=2)).isoformat()
    assert service.operator.take(500, 500, occurred_at=before)["squad"] == "su00"
    assert CATEGORY not in {c["code"] for c in service.operator.get("/api/v1/categories")["categories"]}


def test_a_clock_set_back_does_not_turn_a_history_around(service: Office, clock: Clock) -> None:
    number = service.dispatched(1_500, 500)
    clock.now -= timedelta(hours=1)
    service.leader("su01").act(number, "sign")
    story = service.operator.get(f"/api/v1/cases/{number}/events")["events"]
    times = [event["at"] for event in story]
    assert times == sorted(times)
    assert [event["id"] for event in story] == sorted(event["id"] for event in story)
    assert holders(service, number) == ["su00", "su01"]


def test_the_same_request_twice_is_one_case(service: Office) -> None:
    body, key = complaint(place(500, 500)), {"Idempotency-Key": "k1"}
    first = service.operator.post("/api/v1/cases", body, 201, **key)
    assert service.operator.post("/api/v1/cases", body, 201, **key) == first
    other = service.operator.post("/api/v1/cases", {**body, "description": "别的事"}, 422, **key)
    assert other["type"] == "urn:jieguan:problem:KeyReused"
    assert service.dispatcher.post("/api/v1/cases", body, 201, **key)["number"] != first["number"]
    assert len(service.dispatcher.get("/api/v1/cases")["items"]) == 2


def test_a_refused_request_may_be_tried_again_under_its_key(service: Office) -> None:
    body, key = complaint(place(500, 500)), {"Idempotency-Key": "k1"}
    service.operator.post("/api/v1/cases", {**body, "contact": {}}, 422, **key)
    assert service.operator.post("/api/v1/cases", body, 201, **key)["number"]


def test_an_order_says_which_version_it_is_about(service: Office) -> None:
    number = service.dispatched()
    leader, path = service.leader("su00"), f"/api/v1/cases/{number}/actions"
    assert leader.post(path, {"action": "sign"}, 428)["type"] == "urn:jieguan:problem:VersionMissing"
    told = leader.post(path, {"action": "sign", "seen": 2}, 409)
    assert (told["type"], told["facts"]["now"]) == ("urn:jieguan:problem:CaseMovedOn", 4)
    assert leader.post(path, {"action": "sign"}, 412, **{"If-Match": '"2"'})["type"] == "urn:jieguan:problem:StaleCase"
    assert leader.post(path, {"action": "sign"}, 200, **{"If-Match": '"4"'})["state"] == "handling"


def test_what_is_not_allowed_is_refused_with_what_is(service: Office) -> None:
    number = service.dispatched(1_500, 500)
    facts = service.leader("su01").refused(number, "report", "not_now", reason="x", evidence=["y"])
    assert "sign" in facts["allowed"]
    facts = service.operator.refused(number, "transfer", "not_this_role", squad="su02", reason="x")
    assert "urge" in facts["allowed"]
    told = service.dispatcher.act(number, "transfer", status=422, squad="su99", reason="x")
    assert told["type"] == "urn:jieguan:problem:UnknownSquad"


def test_a_refusal_moves_nothing_and_the_second_goes_to_designation(service: Office) -> None:
    number = service.dispatched(1_500, 500)
    leader = service.leader("su01")
    leader.refused(number, "request_return", "no_evidence", reason="不在我辖区")
    asked = leader.act(number, "request_return", reason="不在我辖区", evidence=["红线图"])
    assert (asked["state"], asked["holder"]) == ("return_requested", "su01")
    service.dispatcher.act(number, "reject_return", reason="在辖区内 3 米")
    asked = leader.act(number, "request_return", reason="仍不是", evidence=["现场照片"])
    assert (asked["state"], asked["holder"]) == ("designating", "su01")
    told = service.dispatcher.act(number, "designate", squad="su02", reason="现场确权", document="指〔2026〕7号")
    assert (told["state"], told["holder"]) == ("dispatched", "su02")
    assert holders(service, number) == ["su00", "su01", "su02"]
    again = service.dispatcher.act(number, "reroute", where=place(500, 1_500), reason="地点更正")
    assert (again["holder"], again["decision"]["step"]) == ("su02", "case_order")


def test_moving_the_place_routes_again_with_history(service: Office) -> None:
    number = service.dispatched(1_500, 500)
    told = service.dispatcher.act(number, "reroute", where=place(500, 1_500), reason="地点更正")
    assert (told["lead"], told["holder"], told["state"]) == ("su10", "su10", "dispatched")
    assert service.dispatcher.act(number, "reroute", status=422, reason="x")["type"] == "urn:jieguan:problem:NothingToCorrect"
    story = service.supervisor.get(f"/api/v1/cases/{number}/events")["events"]
    assert story[-1]["facts"]["decision"]["squad"] == "su10"
    assert holders(service, number) == ["su00", "su01", "su10"]


def test_a_squad_sees_its_own_joint_assisting_and_former_cases_and_no_other(service: Office) -> None:
    number = service.dispatched(1_500, 500)
    assert service.leader("su02").case(number, 404)["type"] == "urn:jieguan:problem:UnknownCase"
    service.dispatcher.act(number, "start_joint", squads=["su02"], reason="线上同类")
    assert service.leader("su02").case(number)["part"] == "joint"
    service.dispatcher.act(number, "transfer", squad="su11", reason="改派")
    assert service.leader("su01").case(number)["part"] in ("formerly", "assists")
    assert service.leader("su11").case(number)["part"] == "holds"
    assert service.leader("su12").case(number, 404)


def test_a_complaint_about_an_officer_is_not_shown_to_those_complained_of(service: Office) -> None:
    took = service.operator.take(1_500, 500, category="JIEGUAN:selective", against="su00")
    number = took["number"]
    assert took["to_supervision"]
    assert service.leader("su00").case(number, 404)
    assert number not in {c["number"] for c in service.leader("su00").get("/api/v1/squads/su00/queue")["items"]}
    assert service.dispatcher.case(number, 404)
    assert service.operator.case(number)["number"] == number
    other = Staff(service.base, "另一接线员", "operator")
    assert other.case(number, 404)
    service.supervisor.act(number, "accept")
    service.supervisor.act(number, "register")


def test_the_queue_is_red_then_doubtful_then_old_and_pages_meet(service: Office) -> None:
    calm = [service.operator.take(1_500, 500 + k)["number"] for k in range(5)]
    doubtful = service.operator.post("/api/v1/cases", complaint({**place(1_010, 500), "error_m": 150}), 201)
    assert doubtful["doubtful"]
    red = service.operator.take(1_500, 300, category="GB30428:0401")["number"]
    leader, seen, mark = service.leader("su01"), [], {}
    while True:
        page = leader.get("/api/v1/squads/su01/queue", limit=3, **mark)
        seen += [item["number"] for item in page["items"]]
        if page["next"] is None:
            break
        mark = {"after": page["next"]}
    assert seen == [red, doubtful["number"], *calm]
    assert [i["number"] for i in leader.get("/api/v1/squads/su01/queue", doubtful=True)["items"]] == [doubtful["number"]]
    assert leader.get("/api/v1/squads/su02/queue", 404)["type"] == "urn:jieguan:problem:NotYourQueue"
    assert service.dispatcher.get("/api/v1/cases", after="!!", status=422)["type"] == "urn:jieguan:problem:BadCursor"
    assert [i["number"] for i in service.dispatcher.get("/api/v1/cases", category="GB30428:0401")["items"]] == [red]


def test_a_case_erased_while_open_goes_on_to_its_end(service: Office, url: str, clock: Clock) -> None:
    number = service.dispatched(1_500, 500, description="占道,我叫李四")
    serving = Serving(url)
    actor = Actor("王", Role.ADMINISTRATOR)
    with working(serving) as has:
        erase(has.book, has.vault, number, "本人要求", actor, clock(), even_open=True)
    case = service.operator.case(number)
    assert (case["description"], case["erased"]) == (None, True)
    leader = service.leader("su01")
    leader.act(number, "sign")
    leader.act(number, "report", reason="已劝离,李四在场", evidence=["照片"])
    assert service.operator.get(f"/api/v1/cases/{number}/events")["events"][-1]["words"]["reason"] == "已劝离,李四在场"
    with working(serving) as has:
        erase(has.book, has.vault, number, "本人再次要求", actor, clock(), even_open=True)
    assert service.operator.get(f"/api/v1/cases/{number}/events")["events"][-1]["words"] is None


def test_joint_work_begun_twice_has_one_part_a_squad(service: Office) -> None:
    number = service.dispatched(1_500, 500)
    service.dispatcher.act(number, "start_joint", squads=["su02"], reason="线上同类")
    service.dispatcher.act(number, "start_joint", squads=["su02", "su11"], reason="又一处")
    joint = [side["squad"] for side in service.dispatcher.case(number)["sides"] if side["kind"] == "joint"]
    assert joint == ["su02", "su11"]


def test_a_category_is_put_in_use_and_ended_by_documents(service: Office, url: str, clock: Clock) -> None:
    admin = Staff(service.base, "管理员", "administrator")
    new = {"code": "GB30428:2101", "zh": "共享单车乱停放", "en": "Shared bicycles left about", "document": "郑城管〔2026〕3号"}
    told = admin.post("/api/v1/categories", new, 201)
    assert told["code"] == new["code"]
    assert admin.post("/api/v1/categories", new, 409)["type"] == "urn:jieguan:problem:CategoryInUse"
    bad = admin.post("/api/v1/categories", {**new, "code": "GB30428:1999"}, 422)
    assert bad["type"] == "urn:jieguan:problem:BadCategory"
    before = admin.post("/api/v1/categories", {**new, "code": "X:1", "until": "2020-01-01T00:00:00Z"}, 422)
    assert before["type"] == "urn:jieguan:problem:EndsBeforeItBegins"
    assert service.operator.take(500, 500, category=new["code"])["number"]
    admin.post(f"/api/v1/categories/{new['code']}/end", {"document": "郑城管〔2026〕9号"})
    assert admin.post(f"/api/v1/categories/{new['code']}/end", {"document": "x"}, 404)["type"] == "urn:jieguan:problem:NoSuchCategory"
    assert service.operator.take(500, 500, status=422, category=new["code"])["type"] == "urn:jieguan:problem:CategoryNotInUse"
    assert service.operator.post("/api/v1/categories", new, 403)
    with opened(url) as db, db.reading() as session:
        kinds = [e.kind for e in session.query(Event).order_by(Event.id)]
    assert kinds == ["category_added", "received", "category_ended"]
