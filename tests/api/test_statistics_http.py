"""The figures over HTTP and from the command line: JSON, CSV and a workbook say the same; what is wrong is told."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from api.cli import main
from tests.api.staff import Clock, Office

PATH = "/api/v1/statistics"
YEAR = {"period": "2026"}


def some_cases(office: Office) -> list[str]:
    """One is handled and closed, one was asked back, one is new; one is about officers."""
    closed, returned = office.dispatched(), office.dispatched(1_500, 500)
    leader = office.leader("su00")
    leader.act(closed, "sign")
    leader.act(closed, "report", reason="已整改", evidence=["照片"])
    office.checker.act(closed, "take_to_check")
    office.operator.act(closed, "reply", reason="已答复")
    office.checker.act(closed, "close")
    office.leader("su01").act(returned, "request_return", reason="不是我队", evidence=["图"])
    office.operator.take(500, 500)
    office.operator.take(500, 500, category="JIEGUAN:conduct", against="su01")
    return [closed, returned]


def test_figures_and_the_cases_behind_them(service: Office) -> None:
    closed, returned = some_cases(service)
    told = service.dispatcher.get(PATH, **YEAR, by="squad")
    assert (told["since"], told["until"], told["by"]) == ("2026-01-01", "2027-01-01", "squad")
    assert [d["figure"] for d in told["definitions"]] == list(told["total"])
    total = told["total"]
    assert total["load"] == {"value": 3, "numerator": 3, "denominator": None}
    assert total["closed_share"] == {"value": 0.5, "numerator": 1, "denominator": 2}
    assert total["return_rate"] == {"value": 0.5, "numerator": 1, "denominator": 2}
    assert total["first_dispatch"] == {"value": 1, "numerator": 1, "denominator": 1}
    assert total["on_time_handling"] == {"value": None, "numerator": 0, "denominator": 0}
    assert total["orphan_minutes"]["value"] == 0
    assert {line["key"]: line["figures"]["load"]["value"] for line in told["lines"]} == {"su00": 2, "su01": 1}
    assert service.supervisor.get(PATH, **YEAR, figure="load")["total"] == {"load": {"value": 4, "numerator": 4, "denominator": None}}
    rows = service.dispatcher.get(f"{PATH}/return_rate/cases", **YEAR)
    assert [(row["number"], row["amount"], row["returns"]) for row in rows["items"]] == [(returned, 1, 1)]
    assert rows["definition"]["figure"] == "return_rate"
    first = service.dispatcher.get(f"{PATH}/return_rate/cases", **YEAR, part="denominator", limit=1)
    second = service.dispatcher.get(f"{PATH}/return_rate/cases", **YEAR, part="denominator", limit=1, after=first["next"])
    assert [row["number"] for row in first["items"] + second["items"]] == [closed, returned]
    assert second["next"] is None
    assert [d["figure"] for d in service.dispatcher.get(f"{PATH}/definitions")["figures"]] == list(total)


def test_tables_say_the_same_as_json_and_nothing_is_worked_out(service: Office) -> None:
    some_cases(service)
    told = service.dispatcher.get(PATH, **YEAR, by="squad")
    answer = service.dispatcher.http.get(PATH, params={**YEAR, "by": "squad", "format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "statistics.csv" in answer.headers["content-disposition"]
    heads, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8-sig")))
    assert heads[:4] == ["中队", "案件数", "未结数", "交界案件占比"]
    at = heads.index("按期处置率")
    assert [row[at : at + 3] for row in rows] == [["", "0", "0"]] * 3  # no figure: nothing, not nought
    assert [row[0] for row in rows] == ["su00", "su01", "合计"]
    book = service.dispatcher.http.get(PATH, params={**YEAR, "by": "squad", "format": "xlsx"})
    figures, defined = openpyxl.load_workbook(io.BytesIO(book.content)).worksheets
    cells = [[cell.value for cell in row] for row in figures.iter_rows()]
    assert cells[0] == heads
    assert ["" if v is None else str(v) for v in cells[1]] == rows[0]
    assert cells[-1][1] == told["total"]["load"]["value"]
    assert defined.max_row == 1 + len(told["definitions"])


def test_a_squad_named_like_a_formula_is_text() -> None:
    from api.sheets import workbook

    book = openpyxl.load_workbook(io.BytesIO(workbook({"x": (["=1+1"], [["@a", -3, None, 0.5]])})))
    (head,), row = ([cell for cell in line if cell.value is not None] for line in book["x"].iter_rows())
    assert (head.value, head.data_type) == ("'=1+1", "s")
    assert [(cell.value, cell.data_type) for cell in row] == [("'@a", "s"), (-3, "n"), (0.5, "n")]


def test_what_is_wrong_is_told(service: Office) -> None:
    def refused(status: int, problem: str, path: str = PATH, who: Any = service.dispatcher, **params: str) -> None:
        answer = who.http.get(path, params=params)
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:jieguan:problem:{problem}"), answer.text

    refused(422, "BadPeriod", period="2026-13")
    refused(422, "BadPeriod", since="2026-02-01", until="2026-01-01")
    refused(422, "NoDenominator", f"{PATH}/load/cases", part="denominator")
    refused(422, "BadCursor", f"{PATH}/load/cases", after="x")
    refused(404, "NotYourFigures", who=service.leader("su00"), squad="su01")
    refused(403, "NotThisRole", who=service.operator)
    for path, params in ((PATH, {"by": "person"}), (PATH, {"figure": "x"}), (f"{PATH}/x/cases", {})):
        assert service.dispatcher.http.get(path, params=params).status_code == 422


# ---- the command line ------------------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["statistics", *words])
    assert (ended.value.code or 0) == code
    said = capsys.readouterr()
    return said.err if code else said.out


def test_from_the_command_line(
    service: Office, url: str, clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    some_cases(service)
    later = clock.now + timedelta(hours=1)
    monkeypatch.setattr("api.cli_statistics.utc_now", lambda: later)
    where = ("--db", url, "--period", "2026")
    told = json.loads(run(capsys, *where, "--by", "squad", "--format", "json"))
    assert told["total"]["load"]["value"] == 4
    assert json.loads(run(capsys, *where, "--json", "--figure", "load"))["total"].keys() == {"load"}
    table = run(capsys, *where, "--by", "squad", "--lang", "zh-CN")
    assert "案件数" in table
    assert "su00" in table
    assert "50.0%" in table
    lines = run(capsys, *where, "--by", "stretch", "--format", "csv", "--lang", "en").splitlines()
    assert lines[0].startswith("stretch,load,")
    assert lines[-1].startswith("total,4,")
    out = tmp_path / "figures.xlsx"
    run(capsys, *where, "--format", "xlsx", "--out", str(out))
    assert len(openpyxl.load_workbook(out).worksheets) == 2
    assert "--out" in run(capsys, *where, "--format", "xlsx", "--lang", "en", code=2)
    run(capsys, *where, "--format", "pdf", code=2)
    run(capsys, *where, "--figure", "x", code=2)
    settled = json.loads(run(capsys, "settle", "--db", url, "--json"))["settled"]
    assert settled > 0
    assert json.loads(run(capsys, "settle", "--db", url, "--json")) == {"settled": 0}
    assert json.loads(run(capsys, "rebuild", "--db", url, "--json")) == {"cases": 4, "changed": 0}
    assert json.loads(run(capsys, *where, "--by", "squad", "--format", "json"))["total"] == told["total"]


def test_definitions_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for lang, words in (
        ("zh-CN", ("按期处置率", "口径", "既不是 0 也不是 100%")), ("en", ("on-time handling", "cut-off", "neither 0 nor 100 %")),
    ):  # fmt: skip
        text = run(capsys, "--define", "--lang", lang)
        assert all(word in text for word in words)
    assert len(json.loads(run(capsys, "--define", "--json"))) == 22
