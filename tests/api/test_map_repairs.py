"""Repairs over HTTP: proposals and pictures change nothing; one that is made is an edit like any other, or refused with why."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import shapely.affinity
from PIL import Image

from api.store.setup import initialise
from geodata.layer import LayerName, Row
from geodata.store import version_of
from tests.api.live import Person, live, published
from tests.db.conftest import WORK_CRS, NewUrl
from tests.db.worlds import SETTINGS, city
from tests.db.worlds import township as unit
from tests.geodata.test_edits import jagged


def dirty() -> list[Row]:
    """The city of nine, u11 moved by 40 cm to the north-east: it overlaps u12, u21 and a corner of u22, and leaves a gap towards
    u01 and u10. In u22 lies a unit `zz`, which would be emptied if the overlap were cut."""
    units = jagged(3, 4, 0)
    units["u11"] = shapely.affinity.translate(units["u11"], 0.4, 0.4)
    rows = [r for r in city() if r.layer is not LayerName.TOWNSHIP]
    inside = unit("zz", shapely.box(2400, 2400, 2500, 2500))
    return [*rows, *(unit(code, shape) for code, shape in units.items()), replace(inside, facts={**inside.facts, "squad": "su22"})]


@pytest.fixture(scope="module")
def template_of_dirt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dirt") / "city.db"
    initialise(str(path), WORK_CRS)
    published(str(path), version_of(dirty(), SETTINGS))
    return path


@pytest.fixture
def dirt(template_of_dirt: Path, tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "city.db"
    path.write_bytes(template_of_dirt.read_bytes())
    with live(str(path)) as address:
        yield address


def rows(who: Person, draft: str) -> Any:
    return who.get(f"/api/v1/drafts/{draft}/layers/township", crs="work")["features"]


def test_proposals_tell_the_ground_before_and_after_and_change_nothing(dirt: str) -> None:
    who = Person(dirt)
    draft = who.begin()
    as_drawn = rows(who, draft)
    told = who.get(f"/api/v1/drafts/{draft}/repairs", crs="work")
    findings = {f["id"]: f for f in who.get(f"/api/v1/drafts/{draft}/findings")}
    assert {r["finding"] for r in told["repairs"]} | {left["finding"] for left in told["left"]} == findings.keys()
    assert [(r["kind"], r["gains"], r["loses"]) for r in told["repairs"]] == [
        ("close_gap", "u11", None), ("cut_overlap", "u11", "u21"), ("cut_overlap", "u11", "u12"), ("cut_overlap", "u11", "u22"),
    ]  # fmt: skip
    assert [(left["features"], left["why"]) for left in told["left"]] == [(["u22", "zz"], "wide")]
    for repair in told["repairs"]:
        assert repair["area_m2"] == pytest.approx(findings[repair["finding"]]["area_m2"])
        before, after = ({f["id"]: f for f in repair[when]["features"]} for when in ("before", "after"))
        gained = after[repair["gains"]]["properties"]["area_m2"] - before[repair["gains"]]["properties"]["area_m2"]
        changed = shapely.geometry.shape(repair["changed"]).area
        assert changed == pytest.approx(repair["area_m2"], rel=1e-6)
        if repair["loses"] is None:
            assert gained == pytest.approx(changed, rel=1e-6)
        else:
            lost = before[repair["loses"]]["properties"]["area_m2"] - after[repair["loses"]]["properties"]["area_m2"]
            assert (gained, lost) == (0, pytest.approx(changed, rel=1e-6))
    assert who.get(f"/api/v1/drafts/{draft}")["revision"] == 0
    assert rows(who, draft) == as_drawn
    some = who.get(f"/api/v1/drafts/{draft}/repairs", limit=1)
    rest = who.get(f"/api/v1/drafts/{draft}/repairs", limit=500, offset=some["next_offset"])
    assert [r["finding"] for r in some["repairs"] + rest["repairs"]] == [r["finding"] for r in told["repairs"]]


def test_one_is_made_under_a_name_and_can_be_undone(dirt: str) -> None:
    zhang = Person(dirt)
    draft = zhang.begin()
    before = rows(zhang, draft)
    first = zhang.get(f"/api/v1/drafts/{draft}/repairs")["repairs"][0]
    one = zhang.get(f"/api/v1/drafts/{draft}/repairs/{first['finding']}")
    assert (one["holds"], one["why"]) == (True, None)
    told = zhang.post(f"/api/v1/drafts/{draft}/repairs/{first['finding']}", {"seen": 0})
    (entry,) = told["log"]
    assert (entry["author"], entry["kind"], entry["note"]) == ("张三", "hand_over", f"{first['kind']}: {first['finding']}")
    assert first["finding"] not in {f["id"] for f in zhang.get(f"/api/v1/drafts/{draft}/findings")}
    zhang.refused("POST", f"/api/v1/drafts/{draft}/repairs/{first['finding']}", 422, "NoSuchFinding", json={})
    zhang.post(f"/api/v1/drafts/{draft}/undo", {}, 200)
    assert rows(zhang, draft) == before


def test_who_keeps_an_overlap_is_as_agreed(dirt: str) -> None:
    who = Person(dirt)
    draft = who.begin()
    cuts = [r for r in who.get(f"/api/v1/drafts/{draft}/repairs")["repairs"] if r["kind"] == "cut_overlap"]
    other = who.get(f"/api/v1/drafts/{draft}/repairs", order="u12|u21|u22")["repairs"]
    assert all(r["loses"] == "u11" for r in other if r["kind"] == "cut_overlap")
    was = {f["id"]: shapely.geometry.shape(f["geometry"]) for f in rows(who, draft)}
    who.post(f"/api/v1/drafts/{draft}/repairs/{cuts[0]['finding']}", {"order": ["u12", "u21", "u22"]})
    now = {f["id"]: shapely.geometry.shape(f["geometry"]) for f in rows(who, draft)}
    # Crossings of what was drawn are on the grid only once somebody's outline is put together from arcs.
    assert {code for code in was if (was[code] ^ now[code]).area > 0.001 * was[code].length} == {"u11"}
    assert (was["u11"] - now["u11"]).area == pytest.approx(cuts[0]["area_m2"], rel=1e-4)
    who.refused("GET", f"/api/v1/drafts/{draft}/repairs", 422, "NoSuchUnit", params={"order": "nobody"})


def test_all_are_made_each_an_entry_and_what_cannot_be_is_told(dirt: str) -> None:
    zhang, english = Person(dirt), Person(dirt, "Li", lang="en")
    draft = zhang.begin()
    count = len(zhang.get(f"/api/v1/drafts/{draft}/repairs")["repairs"])
    some = english.post(f"/api/v1/drafts/{draft}/repairs", {"all": True, "limit": 2}, 200)
    assert (len(some["outcomes"]), some["revision"]) == (2, 2)
    assert some["remaining"] == count - 2
    told = english.post(f"/api/v1/drafts/{draft}/repairs", {"all": True}, 200)
    assert told["remaining"] == 0
    assert all(o["accepted"] for o in told["outcomes"])
    assert [o["seq"] for o in told["outcomes"]] == list(range(3, 3 + len(told["outcomes"])))
    assert {e["author"] for e in told["log"]} == {"Li"}
    left = zhang.get(f"/api/v1/drafts/{draft}/findings")
    assert [f["code"] for f in left if f["severity"] != "note"] == ["overlap"]
    (wide,) = [f["id"] for f in left if f["severity"] != "note"]
    named = english.post(f"/api/v1/drafts/{draft}/repairs", {"findings": [wide, "none"], "overlap_m": 1000.0}, 200)
    assert [(o["finding"], o["accepted"], o["reason"]["error"]) for o in named["outcomes"]] == [
        (wide, False, "CannotRepair"), ("none", False, "NoSuchFinding"),
    ]  # fmt: skip
    assert "zz" in named["outcomes"][0]["reason"]["text"]
    assert named["revision"] == told["revision"]
    for body in ({}, {"all": True, "findings": [wide]}):
        zhang.refused("POST", f"/api/v1/drafts/{draft}/repairs", 422, "InvalidRequest", json=body)


def test_a_draft_that_moved_on_is_not_repaired_unseen(dirt: str) -> None:
    zhang, li = Person(dirt), Person(dirt, "李四")
    draft = zhang.begin()
    first, second = zhang.get(f"/api/v1/drafts/{draft}/repairs")["repairs"][:2]
    zhang.post(f"/api/v1/drafts/{draft}/repairs/{first['finding']}", {"seen": 0})
    told = li.refused("POST", f"/api/v1/drafts/{draft}/repairs", 409, "EditConflict", json={"all": True, "seen": 0})
    assert [e["author"] for e in told["facts"]["between"]] == ["张三"]
    headers = {"If-Match": '"0"'}
    li.refused("POST", f"/api/v1/drafts/{draft}/repairs", 409, "EditConflict", json={"all": True}, headers=headers)
    zhang.post(f"/api/v1/drafts/{draft}/abandon", {}, 200)
    li.refused("POST", f"/api/v1/drafts/{draft}/repairs", 409, "DraftClosed", json={"all": True})
    li.refused("POST", f"/api/v1/drafts/{draft}/repairs/{second['finding']}", 409, "DraftClosed", json={})


def test_a_picture_shows_both_states_and_speaks_both_languages(dirt: str) -> None:
    who, english = Person(dirt), Person(dirt, lang="en")
    draft = who.begin()
    for repair in who.get(f"/api/v1/drafts/{draft}/repairs")["repairs"][:3]:
        path = f"/api/v1/drafts/{draft}/repairs/{repair['finding']}/picture"
        answer, other = who.http.get(path), english.http.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert answer.content != other.content
        image = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)
        assert image.shape == (1044, 1200, 3)  # the piece is thin, so there is a second row
        left, right = image[580:, :590], image[580:, 610:]
        red = [(np.abs(half - (0xCC, 0x33, 0x11)).sum(2) < 40).sum() for half in (left, right)]
        assert min(red) > 100
        assert (left != right[:, : left.shape[1]]).any(2).mean() > 0.005
    who.refused("GET", f"/api/v1/drafts/{draft}/repairs/none/picture", 422, "NoSuchFinding")


def needle() -> list[Row]:
    """Three units around a gap: a corridor in the west with a point of 0.46 degrees between the other two. The west has most of
    its border, and would get a spike."""
    gap = shapely.Polygon([(-120, 0), (0, 0), (100, 0.4), (0, 0.8), (-120, 0.8)])
    units = {"u00": shapely.box(-200, -100, 0, 100), "u01": shapely.box(0, 0.4, 200, 100), "u02": shapely.box(0, -100, 200, 0.4)}
    squads = [r for r in city() if r.layer is LayerName.SQUAD]
    return [*squads, *(unit(code, shape - gap) for code, shape in units.items())]


def test_one_that_would_make_another_finding_is_refused_with_it(tmp_path: Path) -> None:
    path = tmp_path / "needle.db"
    initialise(str(path), WORK_CRS)
    published(str(path), version_of(needle(), SETTINGS))
    with live(str(path)) as address:
        who, english = Person(address), Person(address, lang="en")
        draft = who.begin()
        (one,) = who.get(f"/api/v1/drafts/{draft}/repairs")["repairs"]
        assert one["gains"] == "u00"
        said = english.get(f"/api/v1/drafts/{draft}/repairs/{one['finding']}")
        assert said["holds"] is False
        assert "spike" in said["why"]
        told = who.refused("POST", f"/api/v1/drafts/{draft}/repairs/{one['finding']}", 409, "MakesFinding", json={})
        assert "尖刺" in told["detail"]
        several = english.post(f"/api/v1/drafts/{draft}/repairs", {"all": True}, 200)
        assert [(o["accepted"], o["reason"]["error"]) for o in several["outcomes"]] == [(False, "MakesFinding")]
        assert (several["revision"], several["remaining"]) == (0, 0)


def test_without_accounts_nobody_repairs(template_of_dirt: Path, tmp_path: Path) -> None:
    path = tmp_path / "city.db"
    path.write_bytes(template_of_dirt.read_bytes())
    with live(str(path), development=False) as address:
        Person(address).refused("POST", "/api/v1/drafts/x/repairs", 401, "NotLoggedIn", json={"all": True})


def test_on_either_database(new_url: NewUrl) -> None:
    url = new_url(initialised=True)
    published(url, version_of(dirty(), SETTINGS))
    with live(url) as address:
        who = Person(address)
        draft = who.begin()
        assert who.post(f"/api/v1/drafts/{draft}/repairs", {"all": True}, 200)["remaining"] == 0
