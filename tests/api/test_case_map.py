"""Cases and the map: what a map may not take from them, and what they say about another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from api.cli import main
from api.store.setup import SquadsStillHold, opened
from geodata.layer import LayerName, Row
from geodata.store import Signing, publish, published, version_of
from routing.model import SquadCode
from tests.api.live import Person, square
from tests.api.staff import Clock, Office, complaint
from tests.db.worlds import SETTINGS, city

GONE = "su02"


def without(squad: str, to: str) -> list[Row]:
    """The city after a squad was dissolved: another has its ground."""
    rows = [row for row in city() if not (row.layer is LayerName.SQUAD and row.code == squad)]
    return [replace(row, facts={**row.facts, "squad": to}) if row.facts.get("squad") == squad else row for row in rows]


def test_a_squad_that_still_holds_cases_is_not_taken_from_the_map(service: Office, url: str, clock: Clock) -> None:
    """Issue of the map, line 10."""
    number = service.dispatched(2_500, 500)
    assert service.dispatcher.case(number)["holder"] == GONE
    waiting = service.operator.take(2_500, 600)["number"]
    service.operator.act(waiting, "accept")
    service.dispatcher.act(waiting, "register")
    made = version_of(without(GONE, "su01"), SETTINGS)
    assert SquadCode(GONE) not in made.map.squad_number
    with opened(url) as db:
        with db.reading() as session:
            last = published(session)[-1]
        signing = Signing("王", "撤销中队")
        with pytest.raises(SquadsStillHold, match=rf"{GONE} \(1\)"):
            publish(db, made, signing, now=clock(), base=last.id)
        with db.reading() as session:
            assert published(session) == [last]
        service.dispatcher.act(number, "transfer", squad="su01", reason="中队撤销")
        publish(db, made, signing, now=clock(), base=last.id)
    told = service.dispatcher.act(waiting, "dispatch", status=422)
    assert (told["type"], told["facts"]["value"]) == ("urn:jieguan:problem:UnknownSquad", GONE)
    assert service.dispatcher.act(waiting, "dispatch", squad="su01")["holder"] == "su01"


def test_the_cases_of_the_service_say_what_a_draft_would_do(
    service: Office, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those on the ground that is handed over change squad, and no other; nothing that was written leaves the database."""
    inside = [service.operator.take(1_500 + k, 500, description="不可外传")["number"] for k in range(3)]
    service.operator.take(1_200, 200)
    nowhere = complaint({"unlocated": True}, address="某处", anonymous=True, contact={})
    service.operator.post("/api/v1/cases", nowhere, 201)
    planner = Person(service.base)
    draft = planner.begin()
    planner.post(
        f"/api/v1/drafts/{draft}/edits",
        {"edit": {"kind": "hand_over", "layer": "township", "piece": square(1_450, 450, 120), "to": "u00"}, "seen": 0},
    )  # fmt: skip
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main(["whatif", draft, "--db", url, "--cases", "db", "--out", str(tmp_path / "moved.csv"), "--json", "--lang", "en"])
    assert not done.value.code
    told = json.loads(capsys.readouterr().out)
    assert (told["cases"], told["moved"]) == (5, 3)
    moved = (tmp_path / "moved.csv").read_text(encoding="utf-8-sig")
    assert all(number in moved for number in inside)
    assert len(moved.splitlines()) == 4
    assert "不可外传" not in moved


def test_a_service_without_cases_says_so(service: Office, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    draft = Person(service.base).begin()
    with pytest.raises(SystemExit) as done:
        main(["whatif", draft, "--db", url, "--cases", "db", "--lang", "en"])
    assert done.value.code == 2
    assert "no " in capsys.readouterr().err


