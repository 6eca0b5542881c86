"""Tables of complaints: each row a case or a reason with its way out, nothing half done, nothing twice, nothing of who complained."""

from __future__ import annotations

import csv
import io
import json
import logging
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from string import Formatter
from typing import Any

import openpyxl
import pytest
import sqlalchemy as sa

from api import sheets, words, words_batch, words_map, words_sealed, words_whatif
from api.cli import main
from api.store import record
from api.store.setup import opened
from api.store.tables import WHOLE, Account, CaseFile, Event, Replay, Reporter
from api.usecases import batch, intake
from geodata.db.copying import check
from tests.api.live import place
from tests.api.staff import CATEGORY, NOW, Office, Staff

RAW = {"Content-Type": "application/octet-stream"}
NAME, PHONE, EMAIL, HOME = "欧阳测试", "13987654321", "canary@example.org", "金丝雀路 7 号"
HEADS = [
    "category", "description", "channel", "lon", "lat", "datum", "error_m", "address", "occurred_at", "name", "phone", "email",
    "contact_address", "anonymous", "confidential", "found_by",
]  # fmt: skip


def row(x: float = 1_500, y: float = 500, **more: Any) -> dict[str, Any]:
    at = place(x, y)
    good = {
        "category": CATEGORY, "description": "店外经营", "channel": "phone", "lon": at["lon"], "lat": at["lat"], "name": NAME,
        "phone": PHONE, "email": EMAIL, "contact_address": HOME,
    }  # fmt: skip
    return good | more


def as_csv(rows: list[dict[str, Any]], heads: list[str] = HEADS, encoding: str = "utf-8") -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(heads)
    writer.writerows([each.get(head, "") for head in heads] for each in rows)
    return out.getvalue().encode(encoding)


def as_xlsx(rows: list[list[Any]]) -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    for each in rows:
        book.active.append(each)
    book.save(out)
    return out.getvalue()


def send(who: Staff, data: bytes, status: int = 200, params: dict[str, str] | None = None, **headers: str) -> Any:
    answer = who.http.post("/api/v1/cases/batch", content=data, params=params, headers={**RAW, **headers})
    assert answer.status_code == status, answer.text
    return answer.content.decode() if params else answer.json()


def test_a_long_table_lets_others_write_in_between(service: Office, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row takes 30 ms to write here, so that no more than eight are written in one turn after the first, however fast the machine."""
    filed, chain, turns, begun = intake._filed, record.Page.chain, list[int](), threading.Event()

    def slowly(*words: Any) -> Any:
        begun.set()
        time.sleep(0.03)
        return filed(*words)

    def counted(page: record.Page) -> Any:
        turns.append(len(page._entries))
        return chain(page)

    monkeypatch.setattr(intake, "_filed", slowly)
    monkeypatch.setattr(record.Page, "chain", counted)
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send, service.operator, as_csv([row(1_500 + k, 500) for k in range(60)]))
        begun.wait(60)
        number = Staff(service.base, "另一接线员", "operator").take(500, 500)["number"]
        assert sent.result()["taken"] == 60
    assert sum(turns) == 61
    assert turns[0] <= batch.FIRST
    assert max(turns[1:]) <= batch.TURN_S / 0.03, turns
    with opened(url) as db, db.reading() as session:
        order = list(session.scalars(sa.select(CaseFile.number).join(Event).order_by(Event.id)))
    assert 0 < order.index(number) < 60  # in the middle of them


def test_each_row_is_a_case_or_a_reason(service: Office, url: str) -> None:
    rows = [
        row(), row(category="GB30428:9"), row(description=""), row(name="", phone="", email="", contact_address=""),
        row(anonymous="是"), row(channel="鸽子"), row(lon="", lat=""), row(lon="", lat="", address="老槐树下"), row(datum="mars"),
        row(occurred_at="昨天"), row(occurred_at="2027-01-01"), row(found_by="su99"), row(error_m="-1"), row(confidential="也许"),
        row(500, 500, channel="电话", category="0504"), row(description="x" * 4_001),
    ]  # fmt: skip
    told = send(service.operator, as_csv(rows))
    assert (told["rows"], told["taken"], told["refused"]) == (16, 3, 13)
    items = told["items"]
    assert [item["row"] for item in items] == list(range(2, 18))
    assert [(item["field"], item["code"]) for item in items if item["error"]] == [
        ("category", "CategoryNotInUse"), ("description", "BadCell"), ("phone", "ContactMissing"), ("anonymous", "ContactOfNobody"),
        ("channel", "BadCell"), ("lon", "PlaceMissing"), ("datum", "BadCell"), ("occurred_at", "BadCell"), ("occurred_at", "NotYet"),
        ("found_by", "BadCell"), ("error_m", "BadCell"), ("confidential", "BadCell"), ("description", "BadCell"),
    ]  # fmt: skip
    assert [(item["squad"], item["doubtful"]) for item in items if item["number"]] == [("su01", False), ("su00", True), ("su00", False)]
    assert all(item["error"] for item in items if item["number"] is None)
    with opened(url) as db, db.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(CaseFile)) == 3
        assert session.scalar(sa.select(sa.func.count()).select_from(Reporter)) == 3
        assert session.scalar(sa.select(sa.func.count()).where(Event.kind == "received")) == 3
    assert check(url, WHOLE) == ()


@pytest.mark.parametrize(
    ("lon", "lat", "why"),
    [
        ("34.8", "113.6", "swapped"), ("0", "0", "zero_zero"), ("北边", "34.8", "not_a_number"), ("nan", "34.8", "not_a_number"),
        ("1_1", "34", "not_a_number"), ("1e999", "34", "not_a_number"), ("121.47", "31.23", "far_outside"),
        ("500000", "3850000", "out_of_range"), ("20.5", "113.6", "out_of_range"), ("113.6", "", "not_a_number"),
    ],
)  # fmt: skip
def test_a_place_that_is_none_goes_to_the_duty_squad_and_says_why(service: Office, lon: str, lat: str, why: str) -> None:
    told = send(service.operator, as_csv([row(lon=lon, lat=lat), row()]))
    first, second = told["items"]
    assert (first["squad"], first["location_error"], first["doubtful"]) == ("su00", why, True)
    assert (second["squad"], second["location_error"]) == ("su01", None)
    case = service.dispatcher.case(first["number"])
    assert (case["decision"]["step"], case["lon"]) == ("on_duty", None)
    moved = service.dispatcher.act(first["number"], "reroute", where=place(1_500, 500), reason="电话核实")
    assert moved["lead"] == "su01"
    again = service.dispatcher.act(second["number"], "reroute", category="GB30428:0501", reason="更正")
    assert again["lead"] == "su01"


def test_the_same_file_again_makes_nothing_twice_and_a_corrected_one_the_rest(service: Office) -> None:
    rows = [row(), row(channel="鸽子")]
    first = send(service.operator, as_csv(rows))
    again = send(service.operator, as_csv(rows))
    assert (again["taken"], again["again"], again["refused"]) == (0, 1, 1)
    assert again["items"][0]["number"] == first["items"][0]["number"]
    key = {"Idempotency-Key": "july"}
    keyed = send(service.operator, as_csv(rows), **key)
    assert keyed["items"][0]["number"] != first["items"][0]["number"]
    right = send(service.operator, as_csv([row(), row(channel="phone")]), **key)
    assert (right["taken"], right["again"], right["refused"]) == (1, 1, 0)
    other = send(service.operator, as_csv([row(description="别的事"), row(channel="phone")]), **key)
    assert [item["code"] for item in other["items"]] == ["KeyReused", None]
    assert len(service.dispatcher.get("/api/v1/cases")["items"]) == 3


def test_a_file_is_begun_again_where_it_was_cut_short(service: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "AT_ONCE", 2)
    monkeypatch.setattr(batch, "TURN_S", 1e9)
    done, told = batch.each_once, list[int]()

    def cut(*args: Any) -> Any:
        told.append(1)
        if len(told) == 3:
            raise RuntimeError
        return done(*args)

    monkeypatch.setattr(batch, "each_once", cut)
    data = as_csv([row(description=f"第 {n} 件") for n in range(6)])
    assert service.operator.http.post("/api/v1/cases/batch", content=data, headers=RAW).status_code == 500
    again = send(Staff(service.base, "接线员", "operator"), data)
    assert (again["again"], again["taken"]) == (4, 2)


def test_chinese_headings_and_gb_18030(service: Office) -> None:
    heads = ["类别", "内容", "来源", "经度", "纬度", "地址", "发生时间", "姓名", "电话", "备注"]
    at = place(1_500, 500)
    line = dict(zip(heads, ["店外经营", "占道", "微信", at["lon"], at["lat"], "京广路", "2026/11/19 9:05", NAME, PHONE, "-"], strict=True))
    name = service.operator.get("/api/v1/categories")["categories"]
    line["类别"] = next(c["name"] for c in name if c["code"] == CATEGORY)
    told = send(service.operator, as_csv([line], heads, "gb18030"))
    assert told["taken"] == 1, told
    assert any("备注" in note for note in told["notes"])
    assert any("Asia/Shanghai" in note for note in told["notes"])
    case = service.operator.case(told["items"][0]["number"])
    assert (case["channel"], case["address"], case["occurred_at"]) == ("wechat", "京广路", "2026-11-19T01:05:00+00:00")


def test_a_workbook_with_numbers_dates_and_formulas(service: Office) -> None:
    at = place(1_500, 500)
    data = as_xlsx([
        ["category", "description", "channel", "lon", "lat", "occurred_at", "phone", "anonymous"],
        [504, "占道", "phone", at["lon"], at["lat"], datetime(2026, 11, 19, 9, 5), 13812345678, False],  # noqa: DTZ001 - as Excel has it
        [], [CATEGORY, "=1+1", "phone", at["lon"], at["lat"], None, "1", None],
        [CATEGORY, "匿名的", "phone", at["lon"], at["lat"], None, None, True],
    ])  # fmt: skip
    told = send(service.operator, data)
    fates = [(item["row"], item["field"], item["code"]) for item in told["items"]]
    assert fates == [(2, None, None), (4, "description", "BadCell"), (5, None, None)]
    number = told["items"][0]["number"]
    assert service.operator.case(number)["occurred_at"] == "2026-11-19T01:05:00+00:00"
    assert service.operator.post(f"/api/v1/cases/{number}/reporter/reveal", {"reason": "回访"})["contact"]["phone"] == "13812345678"


def test_the_report_as_a_table_opens_as_text_and_can_be_sent_again(service: Office) -> None:
    words = ('=HYPERLINK("http://x")', "@x\n行二")
    rows = [row(description=words[0]), row(description="+1", channel="鸽子"), row(description=words[1]), row(address="-1")]
    text = send(service.operator, as_csv(rows), params={"report": "csv"})
    assert text.startswith("\ufeff")
    lines = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    assert [line["description"] for line in lines] == ["'=HYPERLINK(\"http://x\")", "'+1", "'@x\n行二", "店外经营"]
    assert [bool(line["number"]) for line in lines] == [True, False, True, True]
    assert "channel" in lines[1]["error"]
    assert all(not cell.startswith(sheets.DANGEROUS) for line in lines for cell in line.values())
    assert service.operator.case(lines[0]["number"])["description"] == '=HYPERLINK("http://x")'
    again = send(service.operator, text.replace("鸽子", "phone").encode())
    assert again["taken"] == 4
    assert {service.operator.case(item["number"])["description"] for item in again["items"]} >= {"+1", '=HYPERLINK("http://x")'}


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * (101 << 20))
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "problem", "status"),
    [
        (b"PK\x03\x04 no zip", "NoTable", 422), (b"\0\1\2", "NoTable", 422), (b'"open', "NoTable", 422), (b"\n\n", "NoTable", 422),
        (b"category,category\n", "HeadTwice", 422), ("类别,category\n".encode(), "HeadTwice", 422), (b"a,b\n1,2\n", "ColumnsMissing", 422),
        (b"category,description,channel\n" + b"a,b,c\n" * 10_001, "TableTooLarge", 413),
        (b",".join(b"c%d" % n for n in range(65)), "TableTooLarge", 413),
        (bomb(), "TableTooLarge", 413), (b"\xff\xfe\xff\xff\xff", "NoTable", 422),
    ],
    ids=["no zip", "binary", "open", "blank", "twice", "twice in two languages", "no columns", "rows", "columns", "bomb", "no encoding"],
)  # fmt: skip
def test_what_is_no_table_is_refused_whole(service: Office, data: bytes, problem: str, status: int) -> None:
    assert send(service.operator, data, status)["type"] == f"urn:jieguan:problem:{problem}"
    assert service.dispatcher.get("/api/v1/cases")["items"] == []


def test_g21_no_reason_log_or_kept_answer_says_who_complained(service: Office, url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shifted = ("category", "channel", "datum", "error_m", "occurred_at", "found_by", "anonymous", "confidential")
    rows = [row(), *(row(**{field: PHONE}) for field in shifted), row(phone="", name="", email=""), row(description="")]
    rows += [row(lon=PHONE), row(category=f"GB30428:{NAME}x y"), row(found_by=NAME)]
    told = [str(send(service.operator, as_csv(rows)))]
    assert told[0].count("'error': None") == 2, told[0]
    english = Staff(service.base, "Operator", "operator", lang="en")
    told.append(str(send(english, as_csv(rows))))
    with opened(url) as db, db.reading() as session:
        told += [str((r.key, r.request, r.headers, r.body)) for r in session.scalars(sa.select(Replay))]
        told += [str(e.body) for e in session.scalars(sa.select(Event))]
    told.append(caplog.text)
    for canary in (NAME, PHONE, EMAIL, HOME):
        assert [text[max(0, text.find(canary) - 80) :][:160] for text in told if canary in text] == []


def test_who_takes_no_calls_sends_no_table(service: Office) -> None:
    assert send(service.leader("su01"), as_csv([row()]), 403)
    assert send(Staff(service.base, "12345 平台", "machine"), as_csv([row()]))["taken"] == 1


def test_the_command_line_takes_the_same_table(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(url) as db, db.writing() as session:
        for name, role in (("接线员", "operator"), ("规划员", "planner")):
            facts = {"squad": None, "password": None, "subject": None, "created_at": NOW, "closed_at": None}
            session.add(Account(id=role, name=name, role=role, **facts))
    file, report = tmp_path / "t.csv", tmp_path / "report.csv"
    file.write_bytes(as_csv([row(), row(channel="鸽子")]))

    def run(*more: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["cases", "import", str(file), "--db", url, "--json", *more])
        return int(str(ended.value.code)), capsys.readouterr().out

    status, told = run("--as", "接线员", "--report", str(report))
    done = json.loads(told)
    assert (status, done["taken"], done["refused"]) == (1, 1, 1)
    assert PHONE not in told
    assert report.read_text("utf-8-sig").count(done["items"][0]["number"]) == 1
    assert json.loads(run("--as", "接线员")[1])["again"] == 1
    for nobody in ("规划员", "无人"):
        status, told = run("--as", nobody)
        assert (status, json.loads(told)["error"]) == (2, "NobodyCalled")


def test_every_sentence_of_the_command_is_in_both_languages_with_the_same_facts() -> None:
    for key, (zh, en) in words_batch.WORDS.items():
        assert {f[1] for f in Formatter().parse(zh) if f[1]} == {f[1] for f in Formatter().parse(en) if f[1]}, key
    others = (words.WORDS, words_whatif.WORDS, words_map.WORDS, words_sealed.WORDS)
    assert all(not words_batch.WORDS.keys() & other.keys() for other in others)
