"""Who complained, who looked, and files: shown to whom they are for, each look on record, nothing else of them anywhere."""

from __future__ import annotations

import io
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from PIL import Image

from api import pictures
from api.access import PROTECTED, Principal
from api.store import cases, record
from api.store.record import Anchor, Book
from api.store.setup import opened
from api.store.tables import Attachment, Event, Replay
from api.usecases import attachments, intake, reporters
from api.usecases import office as use
from api.usecases.placing import Where
from api.usecases.replays import Asked
from api.vault import open_vault
from geodata.store import Maps
from routing.case import Role
from tests.api.live import place
from tests.api.staff import Clock, Office, Staff, complaint

NAME, PHONE, EMAIL, HOME = "欧阳测试", "13987654321", "canary@example.org", "金丝雀路 7 号"
CONTACT = {"name": NAME, "phone": PHONE, "email": EMAIL, "address": HOME}
CANARIES = (NAME, PHONE, EMAIL, HOME, PHONE[-8:])
RAW = {"Content-Type": "application/octet-stream"}
MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\0" * 100
PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF"


def photo(kind: str = "JPEG", size: tuple[int, int] = (40, 20), mode: str = "RGB") -> bytes:
    """A picture that says where and by whom it was taken, lying on its side."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x013B] = 6, "CANARYPHONE", NAME
    exif.get_ifd(0x8825)[2] = (34.0, 52.0, 6.44)
    drawn, out = Image.new(mode, size, (200, 0, 0, 100)[: len(mode)]), io.BytesIO()
    drawn.info["comment"] = b"CANARYCOMMENT"
    drawn.save(out, kind, exif=exif, **({"comment": b"CANARYCOMMENT"} if kind == "JPEG" else {}))
    return out.getvalue()


def attach(who: Staff, number: str, data: bytes, status: int = 201, name: str = "现场.jpg", **headers: str) -> Any:
    answer = who.http.post(f"/api/v1/cases/{number}/attachments", files={"file": (name, data)}, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def taken(office: Office, **more: Any) -> str:
    """A case of su01, dispatched."""
    return office.dispatched(1_500, 500, contact=CONTACT, **more)


def path(number: str, rest: str) -> str:
    return f"/api/v1/cases/{number}/{rest}".rstrip("/")


def records(url: str, *kinds: str) -> list[Event]:
    with opened(url) as db, db.reading() as session:
        return list(session.scalars(sa.select(Event).where(Event.kind.in_(kinds)).order_by(Event.id)))


# ---- who complained --------------------------------------------------------------------------------------------------


def test_g22_who_complained_is_masked_and_each_look_at_all_of_it_is_recorded_first(service: Office, url: str) -> None:
    number = taken(service)
    leader = service.leader("su01")
    told = leader.http.get(path(number, "reporter"))
    assert told.headers["cache-control"] == "no-store"
    assert told.json() == {
        "number": number, "may_reveal": True, "anonymous": False, "erased": False,
        "contact": {"name": "欧***", "phone": "***4321", "email": "***", "address": "***"},
    }  # fmt: skip
    assert records(url, "revealed") == []
    seen = leader.http.post(path(number, "reporter/reveal"), json={"reason": "上门前联系"})
    assert (seen.status_code, seen.headers["cache-control"]) == (200, "no-store")
    assert seen.json()["contact"] == CONTACT
    (entry,) = records(url, "revealed")
    assert (entry.actor, entry.squad, entry.body["fields"]) == ("su01 队长", "su01", sorted(PROTECTED))
    assert entry.words is not None
    assert "上门前联系".encode() not in entry.words
    (told_look,) = service.supervisor.get(path(number, "accesses"))["accesses"]
    assert (told_look["actor"], told_look["reason"], told_look["kind"]) == ("su01 队长", "上门前联系", "revealed")
    assert leader.get(path(number, "accesses"), 403)
    assert "revealed" not in {e["kind"] for e in leader.get(path(number, "events"))["events"]}


def test_a_look_that_cannot_be_recorded_is_not_answered(service: Office, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    number = taken(service)

    def refuse(_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(record.Page, "chain", refuse)
    answer = service.leader("su01").http.post(path(number, "reporter/reveal"), json={"reason": "x"})
    assert answer.status_code == 500
    assert not any(canary in answer.text for canary in CANARIES)
    monkeypatch.undo()
    assert records(url, "revealed") == []


def test_who_may_not_ask_is_told_nothing(service: Office, url: str) -> None:
    number = taken(service, confidential=True)
    leader = service.leader("su01")
    told = leader.get(path(number, "reporter"))
    assert (told["may_reveal"], told["anonymous"], set(told["contact"].values())) == (False, None, {None})
    refused = leader.post(path(number, "reporter/reveal"), {"reason": "想知道"}, 403)
    assert refused["type"] == "urn:jieguan:problem:NotYoursToReveal"
    assert service.operator.post(path(number, "reporter/reveal"), {"reason": "回访"})["contact"] == CONTACT
    other = service.leader("su02")
    assert other.get(path(number, "reporter"), 404)
    assert other.post(path(number, "reporter/reveal"), {"reason": "x"}, 404)["type"] == "urn:jieguan:problem:UnknownCase"
    service.dispatcher.act(number, "transfer", squad="su11", reason="改派")
    assert leader.get(path(number, "reporter"))["contact"]["name"] is None
    for reason in ("", " \t "):
        assert service.operator.post(path(number, "reporter/reveal"), {"reason": reason}, 422)
    planner = Staff(service.base, "规划员", "planner")
    assert planner.get(path(number, "reporter"), 403)
    assert len(records(url, "revealed")) == 1


@pytest.fixture
def inside(url: str, tmp_path: Path) -> Iterator[use.Office]:
    """The use cases without the service, with keys of their own."""
    with opened(url) as db, open_vault(tmp_path / "private", None) as vault:
        book = Book(db, Anchor(tmp_path / "private" / "anchor"))
        yield use.Office(db, Maps(2), book, vault, Clock(), ZoneInfo("Asia/Shanghai"))


OPERATOR = Principal("接线员", "接线员", Role.OPERATOR, None, "test")


def taken_inside(of: use.Office, contact: intake.Contact, *, anonymous: bool = False) -> str:
    complaint = intake.Complaint("GB30428:0504", "店外经营", "phone", Where(**place(500, 500)), contact=contact, anonymous=anonymous)
    return str(intake.take_in(of, OPERATOR, complaint, Asked(None, b""), "en").body["number"])


def test_of_nobody_and_of_the_forgotten_it_says_so_and_nothing_is_recorded(inside: use.Office, url: str) -> None:
    nobody = taken_inside(inside, intake.Contact(), anonymous=True)
    told = reporters.reveal(inside, OPERATOR, nobody, "回访")
    assert (told["anonymous"], told["erased"], set(told["contact"].values())) == (True, False, {None})
    number = taken_inside(inside, intake.Contact(**CONTACT))
    pdf = attachments.Sent("证明.pdf", PDF)
    attached = attachments.attach(inside, OPERATOR, number, pdf, Asked(None, b"")).body["id"]
    assert attachments.fetched(inside, OPERATOR, number, attached).name == "证明"
    with inside.db.reading() as session:
        inside.vault.destroy([cases.find(session, number).key])
    told = reporters.reveal(inside, OPERATOR, number, "回访")
    assert (told["anonymous"], told["erased"], set(told["contact"].values())) == (False, True, {None})
    assert reporters.reporter(inside, OPERATOR, number)["erased"]
    with pytest.raises(attachments.CaseErased):
        attachments.fetched(inside, OPERATOR, number, attached)
    with pytest.raises(attachments.CaseErased):
        attachments.attach(inside, OPERATOR, number, pdf, Asked(None, b""))
    assert attachments.listed(inside, OPERATOR, number)["attachments"][0]["name"] is None
    assert records(url, "revealed") == []


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kept", "name", "shown"),
    [
        (photo(), "image/jpeg", "门前 摊位.JPEG", "门前_摊位.jpg"), (photo("PNG"), "image/png", "a.png", "a.png"),
        (photo("WEBP"), "image/jpeg", "a.webp", "a.jpg"), (photo("PNG", mode="RGBA"), "image/png", "a.b.png", "a.b.png"),
        (photo("WEBP", mode="RGBA"), "image/png", "../../etc/x.webp", "x.png"), (PDF, "application/pdf", "C:\\证明.pdf", "证明.pdf"),
        (MP4, "video/mp4", "影片", "影片.mp4"),
    ],
    ids=["jpeg", "png", "webp", "clear png", "clear webp", "pdf", "mp4"],
)  # fmt: skip
def test_a_file_comes_back_as_what_it_is_without_what_the_telephone_wrote(
    service: Office, url: str, data: bytes, kept: str, name: str, shown: str
) -> None:
    number = taken(service)
    made = attach(service.operator, number, data, name=name)
    assert (made["media_type"], "name" in made) == (kept, False)
    (listed,) = service.leader("su01").get(path(number, "attachments"))["attachments"]
    assert (listed["id"], listed["name"]) == (made["id"], name.replace("\\", "/").rpartition("/")[2])
    got = service.leader("su01").http.get(path(number, f"attachments/{made['id']}"))
    assert (got.status_code, got.headers["content-type"], len(got.content)) == (200, kept, made["size"])
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["cache-control"] == "no-store"
    assert "sandbox" in got.headers["content-security-policy"]
    assert got.headers["content-disposition"].startswith("attachment; ")
    assert unquote(got.headers["content-disposition"].partition("''")[2]) == shown
    if kept.startswith("image"):
        picture = Image.open(io.BytesIO(got.content))
        assert picture.size == (20, 40)
        assert not picture.getexif()
        assert not any(canary in got.content for canary in (b"CANARY", NAME.encode(), b"Exif"))
    else:
        assert got.content == data
    with opened(url) as db, db.reading() as session:
        (row,) = session.scalars(sa.select(Attachment))
        assert got.content[:64] not in bytes(row.data)
        assert shown[:3].encode() not in bytes(row.name)
    (entry,) = records(url, "attached")
    assert entry.body["attachment"] == made["id"]
    assert name not in str(entry.body)


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "SVG"), (b"<!doctype html><script>", "HTML / XML"),
        (b"MZ\x90\0", "Windows exe"), (b"PK\x03\x04zip", "zip / Office"), (b"\0\0\0\x18ftypheic\0\0", "HEIC"), (b"GIF89a", "GIF"),
        (b"hello", "text"), (b"\0\1\2", "binary"), (b"\0\0\0\x14ftypqt  ", "QuickTime"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_not_taken_is_refused_by_the_name_of_its_type(service: Office, url: str, data: bytes, seen: str) -> None:
    number = taken(service)
    told = attach(service.operator, number, data, 415)
    assert (told["type"], told["facts"]["seen"]) == ("urn:jieguan:problem:NotTaken", seen)
    assert records(url, "attached") == []


def test_a_picture_that_is_none_or_would_fill_the_memory_is_refused(service: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    number = taken(service)
    assert attach(service.operator, number, photo()[:200], 422)["type"] == "urn:jieguan:problem:PictureBroken"
    assert attach(service.operator, number, b"\x89PNG\r\n\x1a\n" + b"\0" * 50, 422)["type"] == "urn:jieguan:problem:PictureBroken"
    bomb = bytearray(photo("PNG"))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    assert attach(service.operator, number, bytes(bomb), 413)["type"] == "urn:jieguan:problem:PictureTooLarge"
    monkeypatch.setattr(pictures, "MOST_PIXELS", 799)
    assert attach(service.operator, number, photo(), 413)["facts"] == {"pixels": 800, "limit": 799}


@pytest.mark.parametrize("name", ["x" * 201 + ".jpg", "a\u202egpj.exe", "..", "a/"])
def test_a_name_that_cannot_be_shown_is_refused(service: Office, name: str) -> None:
    number = taken(service)
    answer = service.operator.http.post(path(number, "attachments"), params={"name": name}, content=PDF, headers=RAW)
    assert answer.status_code == 422
    assert answer.json()["type"].rpartition(":")[2] in ("BadFileName", "InvalidRequest", "HiddenInAddress")


def test_a_file_of_100_mb_is_not_taken(service: Office) -> None:
    number = taken(service)
    answer = service.operator.http.post(path(number, "attachments"), content=PDF + b"x" * (100 * 2**20), headers=RAW)
    assert answer.status_code == 413
    assert service.operator.get(path(number, "attachments"))["attachments"] == []


def test_the_same_file_twice_is_one_attachment(service: Office) -> None:
    number = taken(service)
    first = attach(service.operator, number, PDF, name="a.pdf", **{"Idempotency-Key": "k"})
    assert attach(service.operator, number, PDF, name="a.pdf", **{"Idempotency-Key": "k"}) == first
    other = attach(service.operator, number, PDF + b" ", 422, name="a.pdf", **{"Idempotency-Key": "k"})
    assert other["type"] == "urn:jieguan:problem:KeyReused"
    assert len(service.operator.get(path(number, "attachments"))["attachments"]) == 1


def test_evidence_that_names_an_attachment_names_one_of_the_case(service: Office) -> None:
    number, other = taken(service), taken(service)
    leader = service.leader("su01")
    leader.act(number, "sign")
    theirs = attach(leader, other, photo())["id"]
    told = leader.act(number, "report", status=422, reason="已劝离", evidence=[theirs])
    assert told["type"] == "urn:jieguan:problem:EvidenceMissing"
    assert leader.act(number, "report", status=422, reason="已劝离", evidence=["0" * 32])["type"] == told["type"]
    mine = attach(leader, number, photo())["id"]
    assert leader.act(number, "report", reason="已劝离", evidence=[mine, "现场记录 2 页"])["state"] == "feedback"


def test_g22_a_look_at_what_a_reporter_sent_is_recorded_and_at_a_squads_own_photo_is_not(service: Office, url: str) -> None:
    number, secret = taken(service), taken(service, confidential=True)
    leader = service.leader("su01")
    sent, own = attach(service.operator, number, photo())["id"], attach(leader, number, photo())["id"]
    theirs = attach(leader, secret, photo())["id"]
    for case, one in ((number, sent), (number, own), (secret, theirs)):
        assert leader.http.get(path(case, f"attachments/{one}")).status_code == 200
    assert [e.body["attachment"] for e in records(url, "looked_at")] == [sent, theirs]
    (look,) = service.supervisor.get(path(number, "accesses"))["accesses"]
    assert (look["kind"], look["attachment"], look["actor"], look["squad"]) == ("looked_at", sent, "su01 队长", "su01")


def test_p17_a_squad_finds_nothing_of_a_case_that_is_not_its_own(service: Office) -> None:
    mine, theirs = service.dispatched(500, 500), taken(service)
    attached = attach(service.operator, theirs, photo())["id"]
    stranger = Staff(service.base, "su02 队长", "squad_leader", "su02")
    addresses = ("reporter", "attachments", f"attachments/{attached}")
    for address in addresses:
        assert stranger.get(path(theirs, address), 404)["type"] == "urn:jieguan:problem:UnknownCase"
        assert stranger.get(path("20990101-000001", address), 404)["type"] == "urn:jieguan:problem:UnknownCase"
    assert stranger.post(path(theirs, "reporter/reveal"), {"reason": "x"}, 404)
    assert attach(stranger, theirs, b"no type at all", 404)["type"] == "urn:jieguan:problem:UnknownCase"
    owner = service.leader("su00")
    assert owner.get(path(mine, f"attachments/{attached}"), 404)["type"] == "urn:jieguan:problem:UnknownAttachment"
    for guess in ("0" * 32, "1", "%2e%2e%2fx", "a" * 60):
        assert owner.get(path(mine, f"attachments/{guess}"), 404)
    machine = Staff(service.base, "别的系统", "machine")
    for address in ("attachments", f"attachments/{attached}"):
        assert machine.get(path(theirs, address), 404)


def test_a_machine_sends_its_files_after_the_complaint_by_its_number(service: Office) -> None:
    machine = Staff(service.base, "12345 平台", "machine")
    number = machine.take(500, 500)["number"]
    assert attach(machine, number, photo())["media_type"] == "image/jpeg"


def test_g21_the_contact_is_in_no_other_answer_log_or_kept_answer(
    service: Office, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = {"Idempotency-Key": "k"}
    body = complaint(place(1_500, 500), contact=CONTACT)
    number = service.operator.post("/api/v1/cases", body, 201, **key)["number"]
    attach(service.operator, number, photo(), name=f"{NAME}.jpg", **{"Idempotency-Key": "k2"})
    service.supervisor.post(path(number, "reporter/reveal"), {"reason": f"给 {NAME} 回电 {PHONE}"})
    told = [
        who.http.get(address).text
        for who in (service.operator, service.dispatcher, service.supervisor)
        for address in ("/api/v1/cases", *(path(number, rest) for rest in ("", "events", "holdings", "reporter")))
    ]
    told.append(service.operator.http.post(path(number, "reporter/reveal"), json={"reason": 7, "phone": PHONE}).text)
    with opened(url) as db, db.reading() as session:
        told += [str((r.request, r.headers, r.body)) for r in session.scalars(sa.select(Replay))]
        told += [str(e.body) for e in session.scalars(sa.select(Event))]
    told.append(caplog.text)
    for canary in CANARIES:
        assert [text[max(0, text.find(canary) - 80) :][:160] for text in told if canary in text] == []
