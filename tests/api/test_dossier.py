"""A case to be kept or handed on: complete, in order, in letters that can be read, and nobody named to who may not know."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from typing import Any

import pypdfium2
import pytest
from PIL import Image
from reportlab.pdfbase.ttfonts import TTFontFace

from api import words_dossier
from api.drawing import font_file
from tests.api.live import place
from tests.api.staff import Office, Staff, complaint

FILE = {"Content-Type": "application/octet-stream"}
NAME, PHONE, WORDS = "欧阳菁华", "13800001234", "占道经营,夜里吵 😀 到十二点 <b>&</b>"


def dossier(staff: Staff, number: str, status: int = 200, **more: Any) -> bytes:
    answer = staff.http.get(f"/api/v1/cases/{number}/dossier", params=more)
    assert answer.status_code == status, answer.text
    return answer.content


def read(data: bytes) -> tuple[str, int]:
    """The text of a PDF, as another library reads it, without white space; and how many pages."""
    document = pypdfium2.PdfDocument(data)
    try:
        texts = []
        for n in range(len(document)):
            page = document[n]
            width, height = page.get_size()
            assert (round(width), round(height)) == (595, 842)  # A4
            page_text = page.get_textpage()
            texts.append(page_text.get_text_bounded())
            page_text.close()
            page.close()
        return re.sub(r"\s+", "", "".join(texts)), len(texts)
    finally:
        document.close()


def dispatched(service: Office, where: dict[str, Any], **more: Any) -> str:
    made = str(service.operator.post("/api/v1/cases", complaint(where, **more), 201)["number"])
    service.operator.act(made, "accept")
    service.dispatcher.act(made, "register")
    service.dispatcher.act(made, "dispatch")
    return made


@pytest.fixture
def number(service: Office) -> str:
    """A case on a border, worked on to its end."""
    near = {**place(995, 500), "error_m": 120}
    made = dispatched(service, near, description=WORDS, address="江山路口", contact={"name": NAME, "phone": PHONE})
    holder = service.operator.case(made)["holder"]
    leader = service.leader(holder)
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(picture, "PNG")
    answer = leader.http.post(f"/api/v1/cases/{made}/attachments", params={"name": "现场.png"}, content=picture.getvalue(), headers=FILE)
    assert answer.status_code == 201, answer.text
    leader.act(made, "sign")
    leader.act(made, "report", reason="已劝离", evidence=[answer.json()["id"]])
    service.checker.act(made, "take_to_check")
    service.operator.act(made, "reply", reason="无人接听", outcome="not_reached")
    service.operator.act(made, "reply", reason="已电话告知", outcome="answered")
    service.checker.act(made, "close")
    service.operator.act(made, "follow_up", reason="表示基本满意", outcome="basically_satisfied")
    return made


def test_history_has_all_of_it_in_order(service: Office, number: str) -> None:
    told = service.supervisor.get(f"/api/v1/cases/{number}/history")
    assert [e["id"] for e in told["events"]] == [e["id"] for e in service.supervisor.get(f"/api/v1/cases/{number}/events")["events"]]
    assert [e["what"] for e in told["events"]][:2] == ["受理登记并派定", "受理"]
    assert told["holdings"] == service.supervisor.get(f"/api/v1/cases/{number}/holdings")["holdings"]
    assert [(s["kind"], s["outcome"]) for s in told["sides"]] == [
        ("reply", "not_reached"), ("reply", "answered"), ("follow_up", "basically_satisfied")
    ]  # fmt: skip
    assert told["reporter"]["contact"]["phone"] == "***1234"
    (file,) = told["attachments"]
    assert file["name"] == "现场.png"
    assert [e["facts"]["sha256"] for e in told["events"] if e["kind"] == "attached"] == [file["sha256"]]
    assert NAME not in json.dumps(told, ensure_ascii=False)


@pytest.mark.parametrize("lang", ["zh-CN", "en"])
def test_the_pdf_has_all_of_it_in_letters_that_can_be_read(service: Office, number: str, lang: str) -> None:
    staff = Staff(service.base, "督查员", "supervisor", lang=lang)
    told = staff.get(f"/api/v1/cases/{number}/history")
    data = dossier(staff, number)
    text, pages = read(data)
    assert pages >= 2
    wanted = [number, told["case"]["state_name"], "U+1F600", "<b>&</b>", "已劝离", "无人接听", "现场.png", told["attachments"][0]["sha256"]]
    wanted += [e["what"] for e in told["events"]] + [e["hash"] for e in told["events"]] + [e["outcome_name"] for e in told["events"] if
                                                                                            e["outcome_name"]]  # fmt: skip
    wanted += [r["step_name"] for r in told["case"]["decision"]["reasons"]] + list(told["squads"].values())
    assert [word for word in wanted if re.sub(r"\s+", "", word) not in text] == []
    at = [text.index(e["hash"]) for e in told["events"]]
    assert at == sorted(at)
    assert data.count(b"/FontFile2") >= 1  # embedded, some 250 letters each
    known = set(TTFontFace(str(font_file())).charToGlyph)
    assert {c for c in text if ord(c) not in known and ord(c) > 32} == set()


def test_who_complained_is_in_it_only_for_who_may_and_then_recorded(service: Office, number: str) -> None:
    for staff in (service.supervisor, service.operator):
        text, _ = read(dossier(staff, number))
        assert NAME not in text
        assert PHONE not in text
        assert "欧***" in text
    assert service.supervisor.get(f"/api/v1/cases/{number}/accesses")["accesses"] == []
    assisting = service.operator.case(number)["assist"][0]
    for member in (service.leader(assisting), service.member(assisting)):
        text, _ = read(dossier(member, number))
        assert "欧***" not in text
        assert "1234" not in text.replace(number, "")
        answer = member.http.get(f"/api/v1/cases/{number}/dossier", params={"reporter": "true"})
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:jieguan:problem:NotYoursToReveal")
    text, _ = read(dossier(service.dispatcher, number, reporter="true"))
    assert NAME in text
    assert PHONE in text
    (look,) = service.supervisor.get(f"/api/v1/cases/{number}/accesses")["accesses"]
    assert (look["kind"], look["actor"], set(look["fields"])) == ("revealed", "派遣员", {"name", "phone"})
    outside = service.leader("su02")
    assert outside.http.get(f"/api/v1/cases/{number}/dossier").status_code == 404
    assert outside.http.get(f"/api/v1/cases/{number}/history").status_code == 404


def test_the_zip_has_hashes_of_all_that_is_in_it(service: Office, number: str) -> None:
    service.operator.http.post(
        f"/api/v1/cases/{number}/attachments", params={"name": "../来信 a.pdf"}, content=b"%PDF-1.4\n%of the reporter\n", headers=FILE
    )
    data = dossier(service.operator, number, form="zip")
    with zipfile.ZipFile(io.BytesIO(data)) as zipped:
        assert zipped.testzip() is None
        names = zipped.namelist()
        assert all(re.fullmatch(rf"{number}/[\w./-]+", name) and ".." not in name for name in names)
        parts = {name.removeprefix(f"{number}/"): zipped.read(name) for name in names}
    sums = dict(reversed(line.split("  ")) for line in parts.pop("SHA256SUMS").decode().splitlines())
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}
    assert {"dossier.pdf", "history.json", "place.png"} < parts.keys()
    assert sum(name.startswith("attachments/") for name in parts) == 2
    assert json.loads(parts["history.json"])["case"]["number"] == number
    assert Image.open(io.BytesIO(parts["place.png"])).size[0] > 1_000
    looks = service.supervisor.get(f"/api/v1/cases/{number}/accesses")["accesses"]
    assert [look["kind"] for look in looks] == ["looked_at"]  # of the one that did not come from a squad


def test_a_place_that_is_none_is_said_and_not_drawn(service: Office) -> None:
    made = service.operator.post(
        "/api/v1/cases", {"category": "GB30428:0504", "description": "x", "channel": "phone", "address": "某处", "anonymous": True,
                          "where": {"unlocated": True}}, 201,
    )  # fmt: skip
    text, _ = read(dossier(service.supervisor, made["number"]))
    assert "没有可用的地点" in text
    assert "匿名" in text


def test_words_speak_both_languages() -> None:
    for table in (words_dossier.WORDS, words_dossier.KINDS, words_dossier.ROLES):
        for key, (zh, en) in table.items():
            assert zh, key
            assert en, key
            assert re.findall(r"\{(\w+)", zh) == re.findall(r"\{(\w+)", en) or set(re.findall(r"\{(\w+)", zh)) == set(
                re.findall(r"\{(\w+)", en)
            ), key
