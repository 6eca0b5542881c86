"""What a draft would do to the cases of the service itself, asked over HTTP as `whatif --cases db` asks it. On both databases."""

from __future__ import annotations

import json

import pytest

from tests.api.live import Person, square
from tests.api.staff import Office
from tests.api.test_map_jobs import asked, done, failed


def test_a_draft_is_tried_on_the_cases_of_the_service_and_tells_no_planner_more_than_where(service: Office) -> None:
    moving, staying = ((960, 960), (1_040, 1_040)), ((500, 500), (2_500, 500))
    taken = [service.operator.take(x, y, description="店外经营,王女士电话 13800000000") for x, y in (*moving, *staying)]
    planner = Person(str(service.operator.http.base_url))
    draft = planner.begin()
    address = f"/api/v1/drafts/{draft}/what-if"
    edit = {"kind": "hand_over", "layer": "township", "piece": square(1_000, 1_000, 100), "to": "u00"}
    planner.post(f"/api/v1/drafts/{draft}/edits", {"edit": edit})
    job = asked(planner, address, {"cases": "db", "revision": 1})
    assert job["about"] == {"draft": draft, "revision": 1, "cases": "db"}
    found = done(planner, job)
    before = [one["squad"] for one in taken]
    assert (found["cases"], found["moved"]) == (4, sum(squad != "su00" for squad in before[1:2]))
    assert found["moved"] == 1
    page = planner.get(f"/api/v1/jobs/{job['id']}/moved")
    (one,) = page["moved"]
    assert (one["squad_before"], one["squad_after"]) == ("su11", "su00")
    assert one["lon"] == round(one["lon"], 3)
    assert one["lat"] == round(one["lat"], 3)
    told = json.dumps([found, page, planner.get("/api/v1/jobs")], ensure_ascii=False)
    assert not [text for text in ("王女士", "13800000000", "店外", *(c["number"] for c in taken)) if text in told]
    service.operator.take(1_050, 1_050)  # nothing is kept warm: the next question sees the next case
    assert done(planner, asked(planner, address, {"cases": "db"}))["moved"] == 2


def test_which_cases_must_be_said_once(service: Office) -> None:
    planner = Person(str(service.operator.http.base_url))
    draft = planner.begin()
    address = f"/api/v1/drafts/{draft}/what-if"
    for body in ({}, {"cases": "db", "history": "h"}):
        planner.refused("POST", address, 422, "WhichCases", json=body)
    planner.refused("POST", address, 422, "InvalidRequest", json={"cases": "file.csv"})
    planner.refused("POST", address, 404, "UnknownHistory", json={"history": "h"})
    assert failed(planner, asked(planner, address, {"cases": "db"}))["type"].endswith("NoPoints"), "there is no case yet"


@pytest.mark.parametrize("role", ["operator", "squad_leader"])
def test_others_may_not_ask(service: Office, role: str) -> None:
    who = Person(str(service.operator.http.base_url))
    draft = who.begin()
    who.http.headers["X-Jieguan-Role"] = role
    who.http.headers["X-Jieguan-Squad"] = "su00"
    assert who.http.post(f"/api/v1/drafts/{draft}/what-if", json={"cases": "db"}).status_code == 403
