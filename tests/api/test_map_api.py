"""The map over HTTP: versions, drafts edited by several, signatures, publication, routing. Through a port, as clients do."""

from __future__ import annotations

import ast
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyproj
import pytest
import shapely

from api.app import in_development
from api.security import NotLoopback
from geodata.edits import KINDS
from geodata.layer import LayerName
from tests.api.live import START, Person, in_degrees, live, place, published, square
from tests.db.conftest import WORK_CRS, NewUrl
from tests.db.worlds import city


def millimetres(shape: Any) -> Any:
    """GeoJSON in longitude and latitude -> whole millimetres, as pyproj has it."""
    to = pyproj.Transformer.from_crs(4326, WORK_CRS, always_xy=True)
    moved = shapely.transform(shapely.geometry.shape(shape), to.transform, interleaved=False)
    return shapely.transform(moved, lambda xy: np.rint(xy * 1000))


def handed(to: str = "u00", x: float = 950, y: float = 950, layer: str = "township") -> dict[str, Any]:
    return {"kind": "hand_over", "layer": layer, "piece": square(x, y), "to": to}


def bent(who: Person, draft: str, a: str, b: str, by: float = 3e-5) -> dict[str, Any]:
    """The border of two units, pushed aside between its ends."""
    arcs = who.get(f"/api/v1/drafts/{draft}/layers/township/arcs")["features"]
    arc = next(f for f in arcs if {tuple(f["properties"]["left"]), tuple(f["properties"]["right"])} == {(a,), (b,)})
    path = arc["geometry"]["coordinates"]
    moved = [path[0], *([x + by, y + by] for x, y in path[1:-1]), path[-1]]
    return {"kind": "move_border", "layer": "township", "arc": arc["id"], "path": {"type": "LineString", "coordinates": moved}}


def signed(who: Person, draft: str) -> None:
    """By a superior."""
    who.post(f"/api/v1/drafts/{draft}/signatures", {"side": "all", "role": "superior", "document": "3号文"})


# ---- what there is ---------------------------------------------------------------------------------------------------


def test_alive_touches_nothing_and_ready_names_the_version(reading: str) -> None:
    who = Person(reading)
    assert who.get("/healthz") == {"status": "ok"}
    assert who.get("/readyz")["version"] == who.get("/api/v1/in-force")["version"]


def test_versions_are_told_with_certificate_and_layers(reading: str) -> None:
    who = Person(reading)
    (one,) = who.get("/api/v1/versions")
    told = who.get(f"/api/v1/versions/{one['version']}")
    assert told["layers"]["township"] == 9
    assert told["publications"][0]["valid_from"] == START.isoformat()
    assert who.get(f"/api/v1/versions/{one['version']}/certificate")["map"] == one["map"]
    assert who.get("/api/v1/publications")[0]["reason"] == "首次发布"
    assert who.get("/api/v1/in-force", at="2026-02-01T00:00:00+08:00", known="2026-02-01T00:00:00Z")["id"] == 1
    who.refused("GET", "/api/v1/in-force", 404, "NothingInForce", params={"at": "2025-01-01T00:00:00Z"})
    who.refused("GET", "/api/v1/versions/x", 404, "UnknownVersion")
    who.refused("GET", f"/api/v1/versions/{one['version']}/layers/x", 404, "NoSuchLayer")


def test_rows_come_in_degrees_to_the_millimetre_and_in_metres_exactly(reading: str) -> None:
    who = Person(reading)
    version = who.get("/api/v1/in-force")["version"]
    rows = {r.code: r.ground for r in city() if r.layer is LayerName.TOWNSHIP}
    for feature in who.get(f"/api/v1/versions/{version}/layers/township")["features"]:
        assert shapely.normalize(millimetres(feature["geometry"])).equals_exact(rows[feature["id"]], 0)
        assert feature["properties"]["name"] == f"{feature['id']} 街道"
        assert all(part.exterior.is_ccw for part in shapely.geometry.shape(feature["geometry"]).geoms)  # RFC 7946
    for feature in who.get(f"/api/v1/versions/{version}/layers/township", crs="work")["features"]:
        metres = shapely.transform(shapely.geometry.shape(feature["geometry"]), lambda xy: np.rint(xy * 1000))
        assert shapely.normalize(metres).equals_exact(rows[feature["id"]], 0)


def test_a_place_has_one_squad_and_says_why(reading: str) -> None:
    who = Person(reading)
    told = who.post("/api/v1/route", place(500, 500), 200)
    assert (told["decision"]["squad"], told["decision"]["step_name"]) == ("su00", "本队辖区")
    why = who.post("/api/v1/explain", place(990, 500), 200)
    assert why["change"] is not None
    assert Person(reading, lang="en").post("/api/v1/route", place(500, 500), 200)["decision"]["step_name"] == "own ground"
    at = who.post("/api/v1/route", {**place(500, 500), "at": "2026-05-01T00:00:00+08:00"}, 200)
    assert at["version"] == told["version"]
    who.refused("POST", "/api/v1/route", 404, "NothingInForce", json={**place(500, 500), "at": "2020-01-01T00:00:00Z"})


@pytest.mark.parametrize(
    "bad", [{"lon": 34.7, "lat": 89.0}, {"lon": 0, "lat": 0}, {"lon": 10.0, "lat": 10.0}, {**place(500, 500), "datum": "x"}]
)
def test_what_is_no_place_here_is_said(reading: str, bad: dict[str, Any]) -> None:
    told = Person(reading).refused("POST", "/api/v1/route", 422, "UnknownDatum" if "datum" in bad else "NoPlace", json=bad)
    assert "核对" in told["detail"] or "datum" in told["detail"]


# ---- a draft ---------------------------------------------------------------------------------------------------------


def test_a_draft_is_edited_undone_and_redone(zhang: Person) -> None:
    draft = zhang.begin()
    before = zhang.get(f"/api/v1/drafts/{draft}/layers/township")["features"]
    told = zhang.post(f"/api/v1/drafts/{draft}/edits", {"edit": handed(), "seen": 0, "note": "路北"})
    assert (told["revision"], told["undo"], told["redo"]) == (1, 1, None)
    assert told["log"][0]["author"] == "张三"
    assert set(told["sides"]) == {c["code"] for c in zhang.get(f"/api/v1/drafts/{draft}/changes")}
    after = zhang.get(f"/api/v1/drafts/{draft}/layers/township")["features"]
    assert before != after
    undone = zhang.post(f"/api/v1/drafts/{draft}/undo", {"seen": 1}, 200)
    assert (undone["redo"], undone["log"][0]["holds"]) == (1, False)
    assert zhang.get(f"/api/v1/drafts/{draft}/layers/township")["features"] == before
    zhang.post(f"/api/v1/drafts/{draft}/redo", {}, 200)
    assert zhang.get(f"/api/v1/drafts/{draft}/layers/township")["features"] == after
    assert zhang.http.get(f"/api/v1/drafts/{draft}").headers["etag"] == '"3"'


def test_every_kind_of_edit_gets_through(zhang: Person) -> None:
    draft = zhang.begin()
    where = f"/api/v1/drafts/{draft}/edits"
    cut, redrawn = (in_degrees(shapely.LineString([(x, -900), (x, 3900)])) for x in (1500, 2030))
    arcs = zhang.get(f"/api/v1/drafts/{draft}/layers/township/arcs")["features"]
    node = next(a for a in arcs if len(set(map(tuple, (a["properties"]["left"], a["properties"]["right"])))) == 2)
    end = node["geometry"]["coordinates"][0]
    u02 = next(f for f in zhang.get(f"/api/v1/drafts/{draft}/layers/township")["features"] if f["id"] == "u02")
    smaller = shapely.geometry.shape(u02["geometry"]) - shapely.geometry.shape(square(2500, 500))
    for edit in (
        handed(),
        bent(zhang, draft, "u20", "u21"),
        {"kind": "move_node", "layer": "township", "node": end, "to": [end[0] + 2e-5, end[1] + 2e-5]},
        {"kind": "split", "layer": "township", "code": "u11", "line": cut, "new": "新", "name": "新街道"},
        {"kind": "merge", "layer": "township", "codes": ["新"], "into": "u11"},
        {"kind": "redraw_border", "layer": "township", "between": ["u21", "u22"], "line": redrawn},
        {"kind": "replace_ground", "layer": "township", "code": "u02", "piece": shapely.geometry.mapping(smaller), "lost_to": "u01"},
        {"kind": "put_row", "layer": "agreement", "properties": {"code": "a1", "parties": ["su00", "su01"], "lead": "su00"}},
        {"kind": "put_row", "layer": "not_served", "properties": {"code": "rail", "authority": "铁路"}, "geometry": square(0, 0)},
        {"kind": "remove_row", "layer": "agreement", "code": "a1"},
        {"kind": "set_border", "layer": "township", "code": "b1", "between": ["u20", "u21"], "zone_m": 30.0, "line_rule": "CENTRELINE"},
    ):
        answer = zhang.http.post(where, json={"edit": edit})
        assert answer.status_code == 201, (edit["kind"], answer.text)
    kinds = [e["kind"] for e in zhang.get(f"/api/v1/drafts/{draft}")["log"]]
    assert set(kinds) == set(KINDS)


def test_two_planners_and_a_conflict_that_tells_what_came_between(base: str) -> None:
    zhang, li = Person(base), Person(base, "李四")
    draft = zhang.begin()
    mine, same, far = bent(zhang, draft, "u00", "u01"), bent(li, draft, "u00", "u01", -3e-5), bent(li, draft, "u21", "u22")
    zhang.post(f"/api/v1/drafts/{draft}/edits", {"edit": mine, "seen": 0})
    assert li.post(f"/api/v1/drafts/{draft}/edits", {"edit": far, "seen": 0})["revision"] == 2
    for how in ({"json": {"edit": same, "seen": 0}}, {"json": {"edit": same}, "headers": {"If-Match": '"0"'}}):
        told = li.refused("POST", f"/api/v1/drafts/{draft}/edits", 409, "EditConflict", **how)
        assert [(e["seq"], e["author"]) for e in told["facts"]["between"]] == [(1, "张三"), (2, "李四")]
    stale = {"json": {"side": "all", "role": "superior", "document": "3", "seen": 1}}
    li.refused("POST", f"/api/v1/drafts/{draft}/signatures", 409, "EditConflict", **stale)
    assert zhang.get(f"/api/v1/drafts/{draft}")["revision"] == 2


def test_signed_and_published_and_followed_at_its_instant(base: str) -> None:
    zhang, li = Person(base), Person(base, "李四")
    draft = zhang.begin()
    before = zhang.post("/api/v1/route", place(1050, 1050), 200)
    zhang.post(f"/api/v1/drafts/{draft}/edits", {"edit": handed("u00", 1000, 1000)})
    reason = {"reason": "改界", "document": "3号文"}
    not_yet = zhang.get(f"/api/v1/drafts/{draft}/readiness")
    assert (not_yet["ready"], not_yet["why"]["type"]) == (False, "urn:jieguan:problem:NotSigned")
    zhang.refused("POST", f"/api/v1/drafts/{draft}/publish", 409, "NotSigned", json=reason)
    for side in zhang.get(f"/api/v1/drafts/{draft}")["sides"]:
        li.post(f"/api/v1/drafts/{draft}/signatures", {"side": side, "reason": "同意"})
    assert zhang.get(f"/api/v1/drafts/{draft}/readiness")["ready"]
    soon = datetime.now(UTC) + timedelta(seconds=5)  # a slow machine takes two to compile
    done = zhang.post(f"/api/v1/drafts/{draft}/publish", {**reason, "valid_from": soon.isoformat()})
    assert done["version"] != before["version"]
    assert {s["signer"] for s in done["signed"]} == {"李四"}
    seen = []
    while datetime.now(UTC) < soon + timedelta(seconds=0.5):
        asked = datetime.now(UTC)
        told = zhang.post("/api/v1/route", place(1050, 1050), 200)
        answered = datetime.now(UTC)
        seen.append(told["version"])
        assert told["version"] == (done["version"] if datetime.fromisoformat(told["at"]) >= soon else before["version"])
        assert asked <= datetime.fromisoformat(told["at"]) <= answered
        assert told["decision"]["squad"] == ("su00" if told["version"] == done["version"] else before["decision"]["squad"])
    assert set(seen) == {done["version"], before["version"]}
    zhang.refused("POST", f"/api/v1/drafts/{draft}/edits", 409, "DraftClosed", json={"edit": handed("u01")})
    now = zhang.get("/api/v1/in-force")
    assert zhang.get("/api/v1/in-force", at=START.isoformat(), known=START.isoformat())["version"] == before["version"]
    later = {"at": datetime.now(UTC).isoformat(), "known": (START + timedelta(days=1)).isoformat()}
    assert zhang.get("/api/v1/in-force", **later)["version"] == before["version"]
    back = {"reason": "发错", "document": "4号文"}
    again = zhang.post(f"/api/v1/versions/{before['version']}/roll-back", back)
    assert (now["version"], again["version"]) == (done["version"], before["version"])
    assert zhang.post("/api/v1/route", place(1050, 1050), 200)["decision"] == before["decision"]


def test_a_stretch_of_border_is_set_over_http_and_brings_the_neighbours_within_reach(zhang: Person) -> None:
    draft = zhang.begin()
    arcs = zhang.get(f"/api/v1/drafts/{draft}/layers/township/arcs")["features"]
    arc = next(f for f in arcs if {*f["properties"]["left"], *f["properties"]["right"]} == {"u00", "u01"})
    ends = [arc["geometry"]["coordinates"][k] for k in (0, -1)]
    address = f"/api/v1/drafts/{draft}/edits"
    said = {"kind": "set_border", "layer": "township", "code": "江山路", "zone_m": 120.0, "line_rule": "KERB_FAR", "status": "AGREED"}
    done = zhang.post(address, {"edit": {**said, "between": ["u00", "u01"], "ends": ends}})
    assert done["sides"] == ["u00", "u01"]
    zhang.post(address, {"edit": {"kind": "set_border", "layer": "township", "code": "江山路", "accuracy_m": 0.5, "status": None}})
    (told,) = zhang.get(f"/api/v1/drafts/{draft}/layers/border")["features"]
    facts = told["properties"]
    assert (facts["zone_m"], facts["accuracy_m"], facts["line_rule"], facts["status"]) == (120.0, 0.5, "KERB_FAR", None)
    assert facts["sides"] == ["u00", "u01"]
    assert told["geometry"]["type"] in ("LineString", "MultiLineString")
    zhang.refused("POST", address, 422, "InvalidRequest", json={"edit": {**said, "zone_m": -1.0}})
    zhang.refused("POST", address, 422, "NothingChosen", json={"edit": {**said, "code": "neu"}})
    zhang.refused("POST", address, 422, "SidesApart", json={"edit": {**said, "between": ["u00", "u22"]}})
    signed(Person(str(zhang.http.base_url), "李四"), draft)
    assert zhang.post("/api/v1/route", place(930, 500), 200)["decision"]["assist"] == []
    zhang.post(f"/api/v1/drafts/{draft}/publish", {"reason": "江山路两侧"})
    assert zhang.post("/api/v1/route", place(930, 500), 200)["decision"]["assist"] == ["su01"]
    second = zhang.begin("乙")
    off = {"type": "LineString", "coordinates": [ends[0], [ends[0][0] + 0.003, ends[0][1] + 0.003]]}
    row = {"kind": "put_row", "layer": "border", "properties": {"code": "b2", "sides": ["u00", "u01"], "zone_m": 5.0}, "geometry": off}
    zhang.post(f"/api/v1/drafts/{second}/edits", {"edit": row})
    (found,) = (f for f in zhang.get(f"/api/v1/drafts/{second}/findings") if f["layer"] == "border")
    assert (found["code"], found["severity"], found["blocking"]) == ("stretch_off", "error", True)
    assert found["place"] is not None


def test_comments_waivers_findings_and_the_ledger(zhang: Person) -> None:
    draft = zhang.begin()
    ring = shapely.difference(shapely.box(1000, 1000, 1500, 1500), shapely.box(1050, 1050, 1100, 1100))
    hole = {"kind": "hand_over", "layer": "territory", "piece": in_degrees(ring), "to": "su11"}
    zhang.post(f"/api/v1/drafts/{draft}/edits", {"edit": hole})
    (gap,) = (f for f in zhang.get(f"/api/v1/drafts/{draft}/findings") if f["severity"] == "error")
    assert gap["blocking"]
    assert gap["place"]["lon"] == pytest.approx(place(1075, 1075)["lon"], abs=1e-3)
    told = zhang.post(f"/api/v1/drafts/{draft}/defects", {"finding": gap["id"], "squad": "su00", "due": "2026-12-01T00:00:00Z"})
    assert (told[0]["kind"], told[0]["owner"]) == ("gap", "张三")
    (gap,) = (f for f in zhang.get(f"/api/v1/drafts/{draft}/findings") if f["severity"] == "error")
    assert (gap["blocking"], gap["in_ledger"]) == (False, True)
    zhang.refused("POST", f"/api/v1/drafts/{draft}/waivers", 422, "NoSuchFinding", json={"finding": "x", "reason": "y"})
    zhang.refused("POST", f"/api/v1/drafts/{draft}/waivers", 422, "OnlyWarnings", json={"finding": gap["id"], "reason": "有意如此"})
    for x, to in ((2_000, "su12"), (2_300.1, "su22")):  # a strip of 10 cm between the two
        piece = {"kind": "hand_over", "layer": "territory", "piece": square(x, 100, 300), "to": to}
        zhang.post(f"/api/v1/drafts/{draft}/edits", {"edit": piece})
    warned = next(f for f in zhang.get(f"/api/v1/drafts/{draft}/findings") if f["severity"] == "warning")
    zhang.post(f"/api/v1/drafts/{draft}/waivers", {"finding": warned["id"], "reason": "有意如此"})
    assert zhang.get(f"/api/v1/drafts/{draft}/waivers")[0]["by"] == "张三"
    at = place(500, 500)
    (said,) = zhang.post(f"/api/v1/drafts/{draft}/comments", {"text": "此处待核", "place": [at["lon"], at["lat"]]})
    assert (said["place"]["lon"], said["place"]["lat"]) == pytest.approx((at["lon"], at["lat"]), abs=1e-8)
    assert zhang.get("/api/v1/defects") == told


def test_a_draft_on_an_outdated_base_is_rebased_with_what_was_dropped(zhang: Person, base: str) -> None:
    mine, hers = zhang.begin("甲"), zhang.begin("乙")
    for draft, by in ((mine, 3e-5), (hers, -3e-5)):
        zhang.post(f"/api/v1/drafts/{draft}/edits", {"edit": bent(zhang, draft, "u00", "u01", by)})
    zhang.post(f"/api/v1/drafts/{mine}/edits", {"edit": bent(zhang, mine, "u21", "u22")})
    li = Person(base, "李四")
    for draft in (mine, hers):
        signed(li, draft)
    zhang.post(f"/api/v1/drafts/{hers}/publish", {"reason": "改界"})
    zhang.refused("POST", f"/api/v1/drafts/{mine}/publish", 409, "BaseOutdated", json={"reason": "改界"})
    told = zhang.post(f"/api/v1/drafts/{mine}/rebase", {}, 200)
    assert [d["seq"] for d in told["dropped"]] == [1]
    assert told["undo"] == 2
    assert zhang.post(f"/api/v1/drafts/{mine}/abandon", {}, 200)["state"] == "abandoned"


def test_on_either_database(new_url: NewUrl) -> None:
    url = new_url(initialised=True)
    published(url)
    with live(url) as address:
        who = Person(address)
        draft = who.begin()
        who.post(f"/api/v1/drafts/{draft}/edits", {"edit": handed()})
        signed(Person(address, "李四"), draft)
        who.post(f"/api/v1/drafts/{draft}/publish", {"reason": "改界"})
        assert len(who.get("/api/v1/versions")) == 2
        assert who.get("/ogc/collections/township/items")["numberMatched"] == 9


# ---- who may -----------------------------------------------------------------------------------------------------------


def test_without_a_login_nobody_writes(city_url: str) -> None:
    with live(city_url, development=False) as address:
        who = Person(address)
        who.refused("POST", "/api/v1/drafts", 401, "NotLoggedIn", json={"name": "x"})
        who.refused("POST", "/ogc/drafts/x/collections/squad/items", 401, "NotLoggedIn", json={"type": "Feature"})
        assert who.get("/readyz")["development"] is False


def test_development_mode_wants_a_name_and_keeps_to_this_machine(base: str) -> None:
    nobody = Person(base).http
    del nobody.headers["X-Jieguan-Person"]
    told = nobody.post("/api/v1/drafts", json={"name": "x"}).json()
    assert told["type"].endswith("PersonMissing")
    for headers in ({"X-Jieguan-Person": "x", "Host": "evil.example"}, {"X-Jieguan-Person": "a%00b"}, {"X-Jieguan-Person": "%ff"}):
        assert nobody.post("/api/v1/drafts", json={"name": "x"}, headers=headers).status_code == 403
    encoded = nobody.post("/api/v1/drafts", json={"name": "x"}, headers={"X-Jieguan-Person": "%E5%BC%A0%E4%B8%89"})
    assert encoded.json()["author"] == "张三"
    with pytest.raises(NotLoopback, match=r"0\.0\.0\.0"):
        in_development("0.0.0.0", True)
    assert not in_development("0.0.0.0", False)
    assert in_development("::1", True)


def test_the_environment_may_ask_for_development_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JIEGUAN_DEVELOPMENT", "1")
    with pytest.raises(NotLoopback):
        in_development("192.0.2.1", False)


# ---- how it is written -------------------------------------------------------------------------------------------------


def test_nothing_is_committed_after_a_yield_and_endpoints_are_threads(repo: Path) -> None:
    """A dependency that commits after its `yield` acknowledges before it commits; BaseHTTPMiddleware loses connections."""
    sources = [repo / "api" / "app.py", *sorted((repo / "api" / "routers").glob("*.py")), repo / "api" / "security.py"]
    for source in sources:
        tree = ast.parse(source.read_text(encoding="utf-8"))
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        assert not names & {"BaseHTTPMiddleware", "commit", "writing", "Session"}, source.name
        if source.parent.name == "routers":
            assert not any(isinstance(n, ast.Yield) for n in ast.walk(tree)), source.name
            found = [n for n in ast.walk(tree) if isinstance(n, ast.AsyncFunctionDef)]
            handlers = {n.name for n in found if any(isinstance(d, ast.Call) for d in n.decorator_list)}
            assert handlers <= {"healthz", "route"}, source.name  # `route` goes to a thread for all that is not at hand


def test_use_cases_know_no_fastapi(repo: Path) -> None:
    for source in sorted((repo / "api" / "usecases").glob("*.py")):
        text = source.read_text(encoding="utf-8")
        assert "fastapi" not in text, source.name
        assert "starlette" not in text, source.name
        assert "api.routers" not in text, source.name


def test_openapi_describes_everything_with_examples(reading: str) -> None:
    told = Person(reading).get("/api/openapi.json")
    edits = told["paths"]["/api/v1/drafts/{draft}/edits"]["post"]["requestBody"]["content"]["application/json"]
    assert set(edits["examples"]) == {"hand_over", "move_border", "put_row", "set_border"}
    assert "/ogc/drafts/{draft}/collections/{layer}/items/{feature}" in told["paths"]
    assert all("summary" in op for path in told["paths"].values() for op in path.values())


def test_alive_while_all_threads_are_busy(city_url: str) -> None:
    """Eighty slow questions at once: /healthz is not among them."""
    slow = threading.Event()

    def clock() -> datetime:
        slow.wait(5)
        return datetime.now(UTC)

    with live(city_url, now=clock) as address, httpx.Client(limits=httpx.Limits(max_connections=100), timeout=30) as many:
        threads = [threading.Thread(target=many.get, args=(f"{address}/readyz",)) for _ in range(80)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        began = time.monotonic()
        assert httpx.get(f"{address}/healthz").status_code == 200
        took = time.monotonic() - began
        slow.set()
        for thread in threads:
            thread.join()
        assert took < 0.5, took
