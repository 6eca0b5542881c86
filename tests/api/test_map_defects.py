"""The ledger of defects over HTTP: ranked, told when mended, closed by somebody with a reason."""

from __future__ import annotations

from typing import Any

import pytest
import shapely

from geodata.store import version_of
from tests.api.live import Person, live, published
from tests.api.test_map_api import signed
from tests.api.test_map_jobs import done, uploaded
from tests.api.test_map_repairs import dirt, dirty, template_of_dirt  # noqa: F401 - fixtures
from tests.db.conftest import NewUrl
from tests.db.worlds import SETTINGS


def entered(who: Person, draft: str) -> list[Any]:
    """Every gap and overlap of the city goes into the ledger."""
    found = [f for f in who.get(f"/api/v1/drafts/{draft}/findings") if f["code"] in ("gap", "overlap")]
    for f in found:
        who.post(f"/api/v1/drafts/{draft}/defects", {"finding": f["id"], "squad": "su11", "document": "1号文"})
    return found


def mended(who: Person, draft: str, finding: str) -> None:
    who.post(f"/api/v1/drafts/{draft}/repairs/{finding}", {})
    signed(Person(str(who.http.base_url), "李四"), draft)
    for f in who.get(f"/api/v1/drafts/{draft}/findings"):
        if f["blocking"]:
            who.post(f"/api/v1/drafts/{draft}/waivers", {"finding": f["id"], "reason": "历史遗留"})
    who.post(f"/api/v1/drafts/{draft}/publish", {"reason": "改正"})


@pytest.mark.usefixtures("template_of_dirt")
def test_open_ones_by_area_with_their_ground(dirt: str) -> None:  # noqa: F811
    who, english = Person(dirt), Person(dirt, lang="en")
    assert who.get("/api/v1/defects") == []
    found = entered(who, who.begin())
    told = english.get("/api/v1/defects")
    assert [d["key"] for d in told] == [f["id"] for f in sorted(found, key=lambda f: -f["area_m2"])]
    assert [d["rank"] for d in told] == [1, 2, 3, 4]
    assert all((d["stands"], d["load"], d["closed_at"], d["owner"], d["document"]) == (True, None, None, "张三", "1号文") for d in told)
    assert all(shapely.geometry.shape(d["ground"]).contains(place_of(d)) for d in told)
    assert told[0]["finding"]["text"] != who.get("/api/v1/defects")[0]["finding"]["text"]
    who.refused("GET", "/api/v1/defects", 404, "UnknownHistory", params={"history": "h1"})


@pytest.mark.usefixtures("template_of_dirt")
def test_open_ones_by_the_past_cases_on_their_ground(dirt: str) -> None:  # noqa: F811
    who = Person(dirt)
    entered(who, who.begin())
    told = who.get("/api/v1/defects")
    least, next_to_it = told[-1], told[-2]
    places = [place_of(least)] * 5 + [place_of(next_to_it)] * 2
    rows = "".join(f"{p.x!r},{p.y!r}\n" for p in places)
    done(who, uploaded(who, "past", f"lon,lat\n{rows}".encode()))
    ranked = who.get("/api/v1/defects", history="past")
    assert [(d["key"], d["load"]) for d in ranked[:2]] == [(least["key"], 5), (next_to_it["key"], 2)]
    assert [d["load"] for d in ranked[2:]] == [0, 0]


def place_of(defect: Any) -> Any:
    return shapely.Point(defect["finding"]["place"]["lon"], defect["finding"]["place"]["lat"])


def test_what_is_mended_is_told_and_closed_with_a_reason(dirt: str) -> None:  # noqa: F811
    zhang, li = Person(dirt), Person(dirt, "李四")
    draft = zhang.begin()
    found = entered(zhang, draft)
    gap = next(f["id"] for f in found if f["code"] == "gap")
    early = zhang.refused("POST", f"/api/v1/defects/{gap}/close", 409, "DefectStands", json={"reason": "已改"})
    assert "草案" in early["detail"]
    mended(zhang, draft, gap)
    last = zhang.get("/api/v1/defects")[-1]
    assert (last["key"], last["stands"], last["finding"], last["rank"]) == (gap, False, None, 4)
    zhang.refused("POST", f"/api/v1/defects/{gap}/close", 422, "InvalidRequest", json={"reason": ""})
    done = li.post(f"/api/v1/defects/{gap}/close", {"reason": "空白已划归", "document": "7号文"}, 200)
    assert [(c["by"], c["reason"], c["document"]) for c in done["closings"]] == [("李四", "空白已划归", "7号文")]
    assert done["closed_at"] == done["closings"][0]["at"]
    told = zhang.get("/api/v1/defects")
    assert [d["key"] for d in told if d["closed_at"]] == [gap]
    assert len(zhang.get("/api/v1/defects", closed="false")) == 3
    zhang.refused("POST", f"/api/v1/defects/{gap}/close", 409, "DefectClosed", json={"reason": "再"})
    zhang.refused("POST", "/api/v1/defects/gap-x/close", 404, "UnknownDefect", json={"reason": "再"})


def test_on_either_database(new_url: NewUrl) -> None:
    url = new_url(initialised=True)
    published(url, version_of(dirty(), SETTINGS))
    with live(url) as address:
        who = Person(address)
        draft = who.begin()
        gap = next(f["id"] for f in entered(who, draft) if f["code"] == "gap")
        mended(who, draft, gap)
        assert who.post(f"/api/v1/defects/{gap}/close", {"reason": "已划归"}, 200)["closed_at"]
