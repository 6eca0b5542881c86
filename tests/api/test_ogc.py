"""/ogc as its clients meet it: GDAL reads the map in force, OWSLib writes into a draft, and what the standard says besides."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyproj
import pytest
import shapely
from owslib.ogcapi.features import Features

from api.routers.asked import checked
from api.routers.ogc import CONFORMS_WRITING
from api.store.setup import opened
from api.usecases.map_features import MapStore, Shelves, drawn
from api.usecases.map_places import frame_named, shape_of
from api.usecases.map_writes import Given, StaleTag, Target, change
from geodata.drafts import Desk, EditConflict, Working
from geodata.edits import Edit, PutRow, row_said
from geodata.layer import LayerName
from geodata.store import Maps
from routing.errors import JieguanError
from tests.api.live import Person, place, square
from tests.db.conftest import WORK_CRS
from tests.db.worlds import city
from tests.gdal import of_the_system

EPSG = "http://www.opengis.net/def/crs/EPSG/0/"
GROUNDS = {r.code: r.ground for r in city() if r.layer is LayerName.TOWNSHIP}


def whole(shape: Any, crs: int) -> Any:
    """Longitude and latitude -> whole millimetres in normal form, as pyproj has it."""
    to = pyproj.Transformer.from_crs(crs, WORK_CRS, always_xy=True)
    moved = shapely.transform(shape, to.transform, interleaved=False)
    return shapely.normalize(shapely.transform(moved, lambda xy: np.rint(xy * 1000)))


# ---- GDAL ------------------------------------------------------------------------------------------------------------

CLIENT = """
import json, sys, warnings
warnings.simplefilter("error")
import pyogrio, shapely
address, told = sys.argv[1], {}
told["layers"] = [str(name) for name, _ in pyogrio.list_layers(address)]
for label, asked in json.loads(sys.argv[2]).items():
    if "bbox" in asked:
        asked["bbox"] = tuple(asked["bbox"])
    frame = pyogrio.read_dataframe(address, **asked)
    told[label] = {"crs": frame.crs.name, "rows": [
        {"code": row.code, "name": row["name"], "wkb": row.geometry and shapely.to_wkb(row.geometry, hex=True)}
        for _, row in frame.iterrows()
    ]}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def gdal(reading: str) -> dict[str, Any]:
    """What pyogrio's GDAL reads, in a process of its own: in this one the driver is left out (geodata.intake_gdal)."""
    at = place(1500, 1500)
    x, y = at["lon"], at["lat"]
    asked = {str(crs): {"layer": "township", "CRS": f"EPSG:{crs}"} for crs in (4490, 4326, 4547)}
    asked["paged"] = {"layer": "township", "PAGE_SIZE": 2}
    asked["near"] = {"layer": "township", "CRS": "EPSG:4490", "bbox": [x - 1e-4, y - 1e-4, x + 1e-4, y + 1e-4]}
    asked["where"] = {"layer": "squad", "where": "code = 'su11'"}
    free = {k: v for k, v in os.environ.items() if k != "GDAL_SKIP"}
    words = [sys.executable, "-c", CLIENT, f"OAPIF:{reading}/ogc", json.dumps(asked)]
    done = subprocess.run(words, env=free, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(done.stdout))


def test_gdal_lists_all_layers(gdal: dict[str, Any]) -> None:
    assert gdal["layers"] == [layer.value for layer in LayerName]


@pytest.mark.parametrize(("crs", "name"), [(4490, "China Geodetic Coordinate System 2000"), (4326, "WGS 84")])
def test_gdal_reads_degrees_the_right_way_round_to_the_millimetre(gdal: dict[str, Any], crs: int, name: str) -> None:
    """Both have latitude first on the wire, and GDAL gives longitude first: a server that swaps is found out."""
    read = gdal[str(crs)]
    assert name in read["crs"]
    assert {r["code"]: r["name"] for r in read["rows"]} == {code: f"{code} 街道" for code in GROUNDS}
    for row in read["rows"]:
        shape = shapely.from_wkb(row["wkb"])
        assert shape.bounds[0] > 100 > shape.bounds[3]
        assert whole(shape, crs).equals_exact(GROUNDS[row["code"]], 0)


def test_gdal_reads_metres_northing_first_on_the_wire(gdal: dict[str, Any], reading: str) -> None:
    for row in gdal["4547"]["rows"]:
        metres = shapely.transform(shapely.from_wkb(row["wkb"]), lambda xy: np.rint(xy * 1000))
        assert shapely.normalize(metres).equals_exact(GROUNDS[row["code"]], 0)
    wire = Person(reading).get("/ogc/collections/township/items/u00", crs=EPSG + "4547")["geometry"]["coordinates"][0][0][0]
    assert wire[0] > 3_800_000 > wire[1]


def test_gdal_pages_selects_by_place_and_by_attribute(gdal: dict[str, Any]) -> None:
    assert [r["code"] for r in gdal["paged"]["rows"]] == sorted(GROUNDS)
    assert [r["code"] for r in gdal["near"]["rows"]] == ["u11"]
    assert [r["name"] for r in gdal["where"]["rows"]] == ["u11中队"]


def test_ogrinfo_reads_too(reading: str) -> None:
    """Of 2023, it may not know the option CRS."""
    told = of_the_system("ogrinfo", "-ro", "-so", f"OAPIF:{reading}/ogc", "township")
    assert "Feature Count: 9" in told
    assert 'ID["EPSG",4326]' in told or "WGS 84 (CRS84)" in told
    assert of_the_system("ogrinfo", "-ro", f"OAPIF:{reading}/ogc").count("title:") == len(LayerName)


def test_ogr2ogr_copies_it_to_the_millimetre_page_by_page(reading: str) -> None:
    options = ("-oo", "PAGE_SIZE=2", "-lco", "COORDINATE_PRECISION=12", "-f", "GeoJSON", "/vsistdout/")
    told = json.loads(of_the_system("ogr2ogr", *options, f"OAPIF:{reading}/ogc", "township"))
    found = {f["properties"]["code"]: shapely.geometry.shape(f["geometry"]) for f in told["features"]}
    assert found.keys() == GROUNDS.keys()
    for code, shape in found.items():
        assert whole(shape, 4326).equals_exact(GROUNDS[code], 0)


# ---- reading, by the letter ------------------------------------------------------------------------------------------


def test_the_landing_page_leads_everywhere(reading: str) -> None:
    who = Person(reading)
    links = {link["rel"]: link["href"] for link in who.get("/ogc")["links"]}
    assert who.get("/ogc/")["links"] == who.get("/ogc")["links"]
    assert not set(CONFORMS_WRITING) & set(who.http.get(links["conformance"]).json()["conformsTo"])
    assert "/ogc/collections" in who.http.get(links["service-desc"]).json()["paths"]
    told = who.http.get(links["data"]).json()
    assert [c["id"] for c in told["collections"]] == [layer.value for layer in LayerName]
    township = next(c for c in told["collections"] if c["id"] == "township")
    assert (township["title"], township["storageCrs"]) == ("乡镇(街道)", EPSG + "4547")
    west, south, east, north = township["extent"]["spatial"]["bbox"][0]
    assert 113 < west < east < 114
    assert 34 < south < north < 35
    for link in township["links"]:
        assert who.http.get(link["href"]).status_code == 200
    assert Person(reading, lang="en").get("/ogc/collections/township")["title"] == "Townships"


def test_the_schema_names_every_column(reading: str) -> None:
    who = Person(reading)
    for layer in LayerName:
        columns = set(who.get(f"/ogc/collections/{layer}/schema")["properties"]) - {"geometry"}
        for feature in who.get(f"/ogc/collections/{layer}/items")["features"]:
            assert set(feature["properties"]) == columns
    asked = who.get("/ogc/collections/township/queryables")["properties"]
    assert set(asked) == {"code", "name"}


def test_pages_follow_next_and_stay_with_one_version(base: str) -> None:
    """A version published between two pages is not mixed in."""
    who, li = Person(base), Person(base, "李四")
    draft = who.begin()
    edit = {"kind": "merge", "layer": "township", "codes": ["u22"], "into": "u21"}
    who.post(f"/api/v1/drafts/{draft}/edits", {"edit": edit})
    li.post(f"/api/v1/drafts/{draft}/signatures", {"side": "all", "role": "superior", "document": "3号文"})
    page = who.get("/ogc/collections/township/items", limit=4)
    before = page["version"]
    who.post(f"/api/v1/drafts/{draft}/publish", {"reason": "合并"})
    codes: list[str] = []
    while True:
        codes += [f["id"] for f in page["features"]]
        assert (page["version"], page["numberMatched"]) == (before, 9)
        following = [link["href"] for link in page["links"] if link["rel"] == "next"]
        if not following:
            break
        assert parse_qs(urlsplit(following[0]).query)["limit"] == ["4"]
        page = who.http.get(following[0]).json()
    assert codes == sorted(GROUNDS)
    now = who.get("/ogc/collections/township/items")
    assert now["version"] != before
    assert [f["id"] for f in now["features"]] == sorted(set(GROUNDS) - {"u22"})


def test_boxes_are_read_in_the_order_of_their_system(reading: str) -> None:
    who = Person(reading)
    at = place(1500, 1500)
    x, y = at["lon"], at["lat"]
    plain = f"{x - 1e-5},{y - 1e-5},{x + 1e-5},{y + 1e-5}"
    turned = f"{y - 1e-5},{x - 1e-5},{y + 1e-5},{x + 1e-5}"

    def codes(**asked: str) -> list[str]:
        return [f["id"] for f in who.get("/ogc/collections/township/items", **asked)["features"]]

    assert codes(bbox=plain) == ["u11"]
    assert codes(bbox=turned, **{"bbox-crs": EPSG + "4490"}) == ["u11"]
    assert codes(bbox=turned) == []
    assert codes(bbox=f"{x - 1e-5},{y - 1e-5},0,{x + 1e-5},{y + 1e-5},9") == ["u11"]
    assert codes(bbox="179,-90,-179,90") == []
    assert codes(bbox="100,-90,-179,90") == sorted(GROUNDS)
    assert codes(bbox="-90,100,90,-179", **{"bbox-crs": EPSG + "4326"}) == sorted(GROUNDS)
    assert codes(bbox="-90,120,90,-179", **{"bbox-crs": EPSG + "4326"}) == []
    assert codes(bbox="3850000,460000,3855000,465000", **{"bbox-crs": EPSG + "4547"}) == sorted(GROUNDS)


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": "0"}, {"limit": "-1"}, {"limit": "x"}, {"offset": "-1"}, {"bbox": "1,2,3"}, {"bbox": "1,2,nan,4"}, {"bbox": "0,9,1,8"},
        {"crs": EPSG + "3857"}, {"crs": "x"}, {"bbox-crs": "x", "bbox": "0,0,1,1"}, {"datetime": "yesterday"}, {"datetime": "2026-01-01"},
        {"datetime": "2026-02-01T00:00:00Z/2026-01-01T00:00:00Z"}, {"datetime": "/"  "/"}, {"colour": "red"}, {"version": "x"},
    ],
)  # fmt: skip
def test_a_bad_parameter_is_400_and_says_which(reading: str, asked: dict[str, str]) -> None:
    answer = Person(reading).http.get("/ogc/collections/township/items", params=asked)
    assert answer.status_code == (404 if "version" in asked else 400), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_one_parameter_twice_is_refused_and_a_great_limit_is_not(reading: str) -> None:
    who = Person(reading)
    who.refused("GET", "/ogc/collections/township/items?limit=1&limit=2", 400, "ParameterTwice")
    assert who.get("/ogc/collections/township/items", limit=10**12)["numberReturned"] == 9
    assert who.get("/ogc/collections/township/items", offset=10**30)["numberReturned"] == 0
    for crs in ("EPSG:4490", "urn:ogc:def:crs:EPSG::4490", EPSG + "4490", "[EPSG:4490]"):
        answer = who.http.get("/ogc/collections/township/items", params={"crs": crs, "limit": 1})
        assert answer.headers["content-crs"] == f"<{EPSG}4490>"


def test_rows_are_selected_by_time(base: str) -> None:
    who = Person(base)
    draft = who.begin()
    for code, since, until in (("a", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"), ("b", "2026-02-01T00:00:00Z", None)):
        row = {"code": code, "parties": ["su00", "su01"], "lead": "su00", "since": since, "until": until}
        edit = {"kind": "put_row", "layer": "agreement", "properties": row}
        who.post(f"/api/v1/drafts/{draft}/edits", {"edit": edit})

    def codes(when: str) -> list[str]:
        found = who.get(f"/ogc/drafts/{draft}/collections/agreement/items", datetime=when)["features"]
        return [f["properties"]["code"] for f in found]

    assert codes("2026-01-31T23:59:59Z") == ["a"]
    assert codes("2026-02-01T08:00:00+08:00") == ["b"]
    assert codes("2026-01-15T00:00:00Z/..") == ["a", "b"]
    assert codes("../2026-01-15T00:00:00Z") == ["a"]
    assert codes("2027-01-01T00:00:00Z/2028-01-01T00:00:00Z") == ["b"]


def test_an_item_has_an_etag_and_is_not_sent_twice(reading: str) -> None:
    who = Person(reading)
    answer = who.http.get("/ogc/collections/township/items/u11")
    again = who.http.get("/ogc/collections/township/items/u11", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    who.refused("GET", "/ogc/collections/township/items/nobody", 404, "NoSuchFeature")
    who.refused("GET", "/ogc/collections/none/items", 404, "NoSuchLayer")


# ---- OWSLib, in a draft ----------------------------------------------------------------------------------------------


@pytest.fixture
def draft(zhang: Person) -> str:
    return zhang.begin("改界")


@pytest.fixture
def owslib(base: str, draft: str, monkeypatch: pytest.MonkeyPatch) -> Features:
    import owslib.ogcapi

    monkeypatch.setattr(owslib.ogcapi, "REQUEST_HEADERS", dict(owslib.ogcapi.REQUEST_HEADERS))  # it keeps what it is given
    return Features(f"{base}/ogc/drafts/{draft}", headers={"X-Jieguan-Person": "%E6%9D%8E%E5%9B%9B"})


def test_owslib_creates_replaces_and_deletes(owslib: Features, zhang: Person, draft: str) -> None:
    assert set(CONFORMS_WRITING) <= set(owslib.conformance()["conformsTo"])
    assert "township" in owslib.feature_collections()
    new = {"type": "Feature", "geometry": square(950, 950, 200), "properties": {"code": "新街", "name": "新街道", "squad": "su11"}}
    assert owslib.collection_item_create("township", new)
    made = owslib.collection_item("township", "新街")
    assert made["properties"] | new["properties"] == made["properties"]
    assert owslib.collection_items("township")["numberMatched"] == 10

    grown = deepcopy(made)
    grown["geometry"], grown["properties"]["name"] = square(900, 900, 300), "大新街道"
    assert owslib.collection_item_update("township", "新街", json.dumps(grown))
    read = owslib.collection_item("township", "新街")
    assert read["properties"]["name"] == "大新街道"
    assert whole(shapely.geometry.shape(read["geometry"]), 4326).area == pytest.approx(300e3**2, rel=1e-6)

    with pytest.raises(RuntimeError, match="NeedsInto"):
        owslib.collection_item_delete("township", "新街")
    assert owslib.collection_item_delete("township", "新街?into=u11")
    assert owslib.collection_items("township")["numberMatched"] == 9
    told = zhang.get(f"/api/v1/drafts/{draft}")
    assert {e["author"] for e in told["log"]} == {"李四"}
    assert [e["kind"] for e in told["log"]] == ["hand_over", "put_row", "replace_ground", "put_row", "merge"]
    assert not [f for f in zhang.get(f"/api/v1/drafts/{draft}/findings") if f["severity"] == "error"]


def test_owslib_writes_rows_that_have_no_ground(owslib: Features, zhang: Person, draft: str) -> None:
    properties = {"code": "a1", "parties": ["su00", "su01"], "rule": "whole", "lead": "su00", "categories": ["GB30428:0501"]}
    owslib.collection_item_create("agreement", {"type": "Feature", "geometry": None, "properties": properties})
    made = owslib.collection_item("agreement", "a1")
    assert made["properties"] | properties == made["properties"]
    made["properties"]["lead"] = "su01"
    owslib.collection_item_update("agreement", "a1", json.dumps(made))
    assert owslib.collection_item("agreement", "a1")["properties"]["lead"] == "su01"
    owslib.collection_item_delete("agreement", "a1")
    assert owslib.collection_items("agreement")["numberMatched"] == 0


# ---- writing, by the letter --------------------------------------------------------------------------------------------


def items(draft: str, layer: str = "township", feature: str = "") -> str:
    return f"/ogc/drafts/{draft}/collections/{layer}/items" + (f"/{feature}" if feature else "")


def vertices(shape: Any) -> set[tuple[float, ...]]:
    """Millimetres."""
    return set(map(tuple, shapely.get_coordinates(shape).tolist()))


@pytest.mark.parametrize("crs", [None, EPSG + "4326", EPSG + "4490", EPSG + "4547"])
def test_what_nobody_touched_comes_back_to_the_millimetre(zhang: Person, draft: str, crs: str | None) -> None:
    """Every unit is read and sent back as it was: no edit. One vertex moves: nobody else's does."""
    params = {} if crs is None else {"crs": crs}
    headers = {} if crs is None else {"Content-Crs": f"<{crs}>"}
    for code in GROUNDS:
        read = zhang.get(items(draft, feature=code), **params)
        assert zhang.http.put(items(draft, feature=code), json=read, headers=headers).status_code == 204
    assert zhang.get(f"/api/v1/drafts/{draft}")["revision"] == 0

    read = zhang.get(items(draft, feature="u11"), **params)
    ring = read["geometry"]["coordinates"][0][0]
    step = 5.0 if crs == EPSG + "4547" else 5e-5
    out = min(range(1, len(ring) - 1), key=lambda n: sum(abs(a - b) for a, b in zip(ring[n], ring[0], strict=True)))
    ring[out] = [v + step for v in ring[out]]
    answer = zhang.http.put(items(draft, feature="u11"), json=read, headers=headers, params={"lost_to": "u01"})
    assert answer.status_code == 204, answer.text
    now = {f["id"]: whole(shapely.geometry.shape(f["geometry"]), 4326) for f in zhang.get(items(draft))["features"]}
    assert len(vertices(GROUNDS["u11"]) - vertices(now["u11"])) <= 2
    assert all(len(vertices(GROUNDS[code]) - vertices(now[code])) <= 1 for code in set(GROUNDS) - {"u11"})
    before, after = (sum(g.area for g in grounds.values()) for grounds in (GROUNDS, now))
    assert before == after


def test_a_stale_tag_is_refused_and_nothing_changes(base: str, draft: str) -> None:
    wang, li = Person(base), Person(base, "李四")
    read = wang.http.get(items(draft, feature="u11"))
    tag = {"If-Match": read.headers["etag"]}
    patched = li.http.patch(items(draft, feature="u11"), json={"properties": {"name": "改名"}}, headers=tag)
    assert (patched.status_code, patched.headers["etag"] != tag["If-Match"]) == (204, True)
    body = {**read.json(), "properties": {**read.json()["properties"], "name": "另改"}}
    told = wang.refused("PUT", items(draft, feature="u11"), 412, "StaleTag", json=body, headers=tag)
    assert "重新读取" in told["detail"]
    wang.refused("DELETE", items(draft, feature="u11") + "?into=u01", 412, "StaleTag", headers=tag)
    wang.refused("PATCH", items(draft, feature="u11"), 412, "StaleTag", json={"properties": {"name": "x"}}, headers=tag)
    wang.refused("PATCH", items(draft, feature="u11"), 422, "BadTag", json={"properties": {"name": "x"}}, headers={"If-Match": "x"})
    assert wang.get(items(draft, feature="u11"))["properties"]["name"] == "改名"
    assert wang.get(f"/api/v1/drafts/{draft}")["revision"] == 1


class Interrupted(Desk):
    """Somebody else renames the unit between the two edits of one request."""

    def add(self, draft: str, edit: Edit, author: str, now: datetime, *, seen: int | None = None, note: str = "") -> Working:
        if isinstance(edit, PutRow) and author == "张三":
            row = self.open(draft).now.row("township", "u11")
            assert row is not None
            super().add(draft, PutRow(row=row_said(replace(row, name="李四改名"))), "李四", now)
        return super().add(draft, edit, author, now, seen=seen, note=note)


@pytest.mark.parametrize(("tagged", "refusal"), [(False, EditConflict), (True, StaleTag)])
def test_a_feature_is_written_all_or_nothing(city_url: str, tagged: bool, refusal: type[JieguanError]) -> None:
    with opened(city_url) as db:
        of = MapStore(db, Interrupted(db), Maps(), Shelves(4), lambda: datetime.now(UTC))
        draft = of.desk.begin("改界", "张三", of.now())
        row = draft.now.row("township", "u11")
        assert row is not None
        given = Given({"name": "张三改名"}, shape_of(square(900, 900, 1300)), frame_named(None, WORK_CRS), partial=True)
        target = Target(draft.id, LayerName.TOWNSHIP, "张三", row.hash if tagged else None)
        with pytest.raises(refusal):
            change(of, target, "u11", given, checked, lost_to="u01")
        after = of.desk.open(draft.id)
        assert [e.kind for e in after.log] == ["replace_ground", "put_row", "undo"]
        assert [r.name for r in drawn(after.now, LayerName.TOWNSHIP) if r.code == "u11"] == ["李四改名"]
        before, now = ({r.code: r.wkb for r in drawn(d.now, LayerName.TOWNSHIP)} for d in (draft, after))
        assert before == now


def test_a_patch_leaves_what_it_does_not_name(zhang: Person, draft: str) -> None:
    before = zhang.get(items(draft, "squad", "su11"))
    merge = {"Content-Type": "application/merge-patch+json"}
    body = json.dumps({"properties": {"phone": "0371-1", "office": [113.6, 34.8]}})
    assert zhang.http.patch(items(draft, "squad", "su11"), content=body, headers=merge).status_code == 204
    after = zhang.get(items(draft, "squad", "su11"))
    assert after["properties"] == {**before["properties"], "phone": "0371-1", "office": [113.6, 34.8]}


def test_a_draft_read_by_pages_is_not_mixed_with_its_next_revision(base: str, template: Path, tmp_path: Path) -> None:
    who = Person(base)
    draft = who.begin()
    first = who.get(items(draft), limit=4)
    following = next(link["href"] for link in first["links"] if link["rel"] == "next")
    who.http.patch(items(draft, feature="u22"), json={"properties": {"name": "改名"}})
    page = who.http.get(following).json()
    assert page["version"] == first["version"] == "0"
    rest = who.http.get(following.replace("township", "squad"))
    assert rest.status_code == 409
    assert rest.json()["type"] == "urn:jieguan:problem:MovedOn"
