"""What the public reads of cases that have ended: by the rules in force, and of no person."""

from __future__ import annotations

import json

import httpx
import pytest

from api.usecases.publication import OUT, without_persons
from tests.api.live import CLIENTS
from tests.api.staff import Office, Staff

NAME, PHONE, MAIL = "欧阳菁华", "13800001234", "ou@example.cn"
WORDS = f"我是{NAME},电话 138-0000-1234,邻居身份证 41010819900101123X,夜里占道"


def ended(service: Office, **more: object) -> str:
    number = service.dispatched(
        500, 500, description=WORDS, address=f"江山路 5 号 {NAME} 家", contact={"name": NAME, "phone": PHONE, "email": MAIL}, **more
    )
    leader = service.leader("su00")
    leader.act(number, "sign")
    leader.act(number, "report", reason="已劝离", evidence=["照片"])
    service.checker.act(number, "take_to_check")
    service.operator.act(number, "reply", reason="已电话告知")
    service.checker.act(number, "close")
    return number


def test_only_what_has_ended_and_a_rule_publishes_and_nothing_of_a_person(service: Office) -> None:
    shown, hidden, running = ended(service), ended(service, confidential=True), service.dispatched(500, 500)
    public = httpx.Client(base_url=service.base, timeout=60, verify=False)
    CLIENTS.setdefault(service.base, []).append(public)
    listed = public.get("/api/v1/published").json()
    assert [item["number"] for item in listed["items"]] == [shown]
    told = public.get(f"/api/v1/published/{shown}").json()
    assert told["state"] == "closed"
    assert "description" not in told
    assert "address" not in told
    for number in (hidden, running, "20260101-000001"):
        answer = public.get(f"/api/v1/published/{number}")
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:jieguan:problem:UnknownCase")
    administrator = Staff(service.base, "管理员", "administrator")
    for field in ("description", "address"):
        rule = {"category": "*", "field": field, "public": True, "document": "惠城管〔2026〕9号"}
        administrator.post("/api/v1/publication-rules", rule, 201)
    told = public.get(f"/api/v1/published/{shown}").json()
    assert "夜里占道" in told["description"]
    assert told["address"] == f"江山路 5 号 {OUT} 家"
    said = json.dumps([told, public.get("/api/v1/published").json()], ensure_ascii=False)
    for word in (NAME, PHONE, MAIL, "138-0000", "41010819900101123X", "接线员", "派遣员"):
        assert word not in said
    rule = {"category": "GB30428:0504", "field": "case", "public": False, "document": "惠城管〔2026〕10号"}
    administrator.post("/api/v1/publication-rules", rule, 201)
    assert public.get("/api/v1/published").json()["items"] == []
    assert public.get(f"/api/v1/published/{shown}").status_code == 404


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"找{NAME}", f"找{OUT}"), ("电话 13912345678。", f"电话 {OUT}。"), ("139 1234 5678", OUT), ("0371-63412345", OUT),
        ("a.b@c.example.cn 见", f"{OUT} 见"), ("41010819900101123X", OUT), ("京广路 105 号 3 单元 12 楼", "京广路 105 号 3 单元 12 楼"),
        ("2026 年 3 月 2 日", "2026 年 3 月 2 日"),
    ],
)  # fmt: skip
def test_numbers_and_names_are_taken_out_and_the_rest_stays(text: str, left: str) -> None:
    assert without_persons(text, [NAME, ""]).strip() == left.strip()
