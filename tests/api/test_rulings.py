"""A superior's word for one case becomes a standing designation of a draft, or is declined; never half of it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import shapely
import sqlalchemy as sa

from api.store import record
from api.store.setup import opened
from api.store.tables import Event, Ruling
from tests.api.live import place, square
from tests.api.staff import CATEGORY, Office, Staff, complaint, linger


def planner(office: Office, name: str = "规划员") -> Staff:
    return Staff(office.base, name, "planner")


def ruled(office: Office, where: Any = None) -> tuple[str, int]:
    """A case that a superior gave to su02, and the number of the ruling."""
    body = complaint(where or place(1_500, 500), address="老槐树下")
    number = office.operator.post("/api/v1/cases", body, 201)["number"]
    office.operator.act(number, "accept")
    office.dispatcher.act(number, "register")
    office.dispatcher.act(number, "dispatch")
    office.dispatcher.act(number, "refer", reason="两队争议")
    office.dispatcher.act(number, "designate", squad="su02", reason="现场确权", document="指〔2026〕7号")
    found = planner(office).get("/api/v1/rulings", standing="offered")["items"]
    return number, next(one["id"] for one in found if one["number"] == number)


def draft(who: Staff) -> str:
    return str(who.post("/api/v1/drafts", {"name": "确权"}, 201)["id"])


def designations(who: Staff, draft_: str) -> list[Any]:
    return list(who.get(f"/api/v1/drafts/{draft_}/layers/designation", crs="work")["features"])


def test_a_ruling_is_taken_into_a_draft_as_a_designation(service: Office, url: str) -> None:
    number, ruling = ruled(service)
    who = planner(service)
    (offer,) = who.get("/api/v1/rulings", standing="offered")["items"]
    assert (offer["number"], offer["squad"], offer["document"], offer["category"]) == (number, "su02", "指〔2026〕7号", CATEGORY)
    assert {"description", "address", "summary"}.isdisjoint(offer)
    into = draft(who)
    told = who.post(f"/api/v1/rulings/{ruling}/take", {"draft": into, "name": "桥下空间", "radius_m": 80, "seen": 0})
    assert (told["standing"], told["draft"], told["code"], told["revision"]) == ("taken", into, f"ruling-{ruling}", 1)
    (row,) = designations(who, into)
    facts = row["properties"]
    assert (facts["name"], facts["squad"], facts["categories"], facts["document"]) == ("桥下空间", "su02", [CATEGORY], "指〔2026〕7号")
    assert shapely.geometry.shape(row["geometry"]).area == pytest.approx(80**2 * 3.14, rel=0.01)
    assert who.get(f"/api/v1/drafts/{into}")["log"][0]["note"] == f"指〔2026〕7号 ({number})"
    with opened(url) as db, db.reading() as session:
        (entry,) = session.scalars(sa.select(Event).where(Event.kind == "ruling_taken"))
    assert (entry.actor, entry.body["draft"], entry.body["ruling"]) == ("规划员", into, ruling)
    assert who.get("/api/v1/rulings", standing="offered")["items"] == []
    again = who.post(f"/api/v1/rulings/{ruling}/take", {"draft": into, "name": "再来", "radius_m": 80}, 409)
    assert again["type"] == "urn:jieguan:problem:RulingClosed"


def test_a_drawn_piece_and_all_categories(service: Office) -> None:
    _, ruling = ruled(service)
    who = planner(service)
    into = draft(who)
    body = {"draft": into, "name": "市场", "shape": square(1_400, 400), "categories": []}
    who.post(f"/api/v1/rulings/{ruling}/take", body)
    (row,) = designations(who, into)
    assert row["properties"]["categories"] == []
    assert shapely.geometry.shape(row["geometry"]).area == pytest.approx(10_000, rel=1e-3)


def test_what_is_refused_changes_neither_draft_nor_ruling(service: Office, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, ruling = ruled(service)
    _, nowhere = ruled(service, {"unlocated": True})
    who = planner(service)
    into, closed = draft(who), draft(who)
    who.post(f"/api/v1/drafts/{closed}/abandon")
    good = {"draft": into, "name": "桥下", "radius_m": 80}
    crossing = {"type": "Polygon", "coordinates": [[[113.6, 34.8], [113.61, 34.81], [113.61, 34.8], [113.6, 34.81], [113.6, 34.8]]]}
    for which, change, problem, status in (
        (ruling, {"radius_m": None}, "GroundMissing", 422), (ruling, {"shape": square(1, 1)}, "GroundMissing", 422),
        (ruling, {"radius_m": None, "shape": crossing}, "SelfCrossing", 422), (ruling, {"draft": "none"}, "UnknownDraft", 404),
        (ruling, {"draft": closed}, "DraftClosed", 409), (nowhere, {}, "CaseHasNoPlace", 422), (99, {}, "UnknownRuling", 404),
    ):  # fmt: skip
        told = who.post(f"/api/v1/rulings/{which}/take", {k: v for k, v in {**good, **change}.items() if v is not None}, status)
        assert told["type"] == f"urn:jieguan:problem:{problem}"

    def refuse(_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(record.Page, "chain", refuse)
    assert planner(service).http.post(f"/api/v1/rulings/{ruling}/take", json=good).status_code == 500
    monkeypatch.undo()
    assert (designations(who, into), who.get(f"/api/v1/drafts/{into}")["revision"]) == ([], 0)
    with opened(url) as db, db.reading() as session:
        assert set(session.scalars(sa.select(Ruling.standing))) == {"offered"}


def test_ten_planners_at_once_take_it_once(service: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    _, ruling = ruled(service)
    people = [planner(service, f"规划员{n}") for n in range(5)]
    into = [draft(who) for who in people]
    at_once, answers = threading.Barrier(10), list[int]()
    linger(monkeypatch)

    def take(n: int) -> None:
        body = {"draft": into[n % 5], "name": "桥下", "radius_m": 80}
        at_once.wait()
        answers.append(people[n % 5].http.post(f"/api/v1/rulings/{ruling}/take", json=body).status_code)

    threads = [threading.Thread(target=take, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, *[409] * 9]
    assert sum(len(designations(people[0], one)) for one in into) == 1


def test_a_ruling_is_declined_with_a_reason(service: Office) -> None:
    number, ruling = ruled(service)
    who = planner(service)
    assert who.post(f"/api/v1/rulings/{ruling}/decline", {"reason": " "}, 422)["type"] == "urn:jieguan:problem:WhyDeclined"
    assert who.post(f"/api/v1/rulings/{ruling}/decline", {"reason": "仅此一案"})["standing"] == "declined"
    assert who.post(f"/api/v1/rulings/{ruling}/decline", {"reason": "仅此一案"}, 409)
    last = service.supervisor.get(f"/api/v1/cases/{number}/events")["events"][-1]
    assert (last["kind"], last["words"], last["actor"]) == ("ruling_declined", {"reason": "仅此一案"}, "规划员")


def test_what_supervision_handles_is_offered_to_nobody_else(service: Office) -> None:
    number = service.operator.take(1_500, 500, category="JIEGUAN:selective", against="su00")["number"]
    for action, more in (("accept", {}), ("register", {}), ("dispatch", {}), ("refer", {"reason": "x"})):
        service.supervisor.act(number, action, **more)
    service.supervisor.act(number, "designate", squad="su02", reason="回避", document="督〔2026〕1号")
    (seen,) = service.supervisor.get("/api/v1/rulings")["items"]
    who = planner(service)
    for other in (service.dispatcher, who):
        assert other.get("/api/v1/rulings")["items"] == []
    body = {"draft": draft(who), "name": "x", "radius_m": 10}
    assert who.post(f"/api/v1/rulings/{seen['id']}/take", body, 404)["type"] == "urn:jieguan:problem:UnknownRuling"
    assert service.leader("su02").get("/api/v1/rulings", 403)
