"""Bad input over HTTP: each a clear error with the way out, in the language asked for, nothing of it echoed, nothing changed."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import shapely

from api.settings import Serving
from tests.api.live import Person, in_degrees, live, place, square

CHINESE = re.compile(r"[\u4e00-\u9fff]")
LINE = {"type": "LineString", "coordinates": [[113.5, 34.7], [113.6, 34.8]]}
SLIVER = {"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [1, 2]]]}
NOWHERE = {"type": "Polygon", "coordinates": [[[1e300, 1], [2, 1e300], [3, 3], [1e300, 1]]]}
BOWTIE = in_degrees(shapely.Polygon([(100, 100), (300, 300), (300, 100), (100, 300)]))
FAR = {"type": "Polygon", "coordinates": [[[120.0, 30.0], [120.1, 30.0], [120.1, 30.1], [120.0, 30.0]]]}
SECRET = "13800138000"


class Bench:
    """A service with one open draft and one published, for those who only fail."""

    def __init__(self, address: str) -> None:
        self.who, self.english = Person(address), Person(address, lang="en-GB, en;q=0.9, zh;q=0.5")
        self.closed = self.who.begin("先前")
        edit = {"kind": "hand_over", "layer": "township", "piece": square(0, 0), "to": "u01"}
        self.who.post(f"/api/v1/drafts/{self.closed}/edits", {"edit": edit})
        Person(address, "李四").post(
            f"/api/v1/drafts/{self.closed}/signatures", {"side": "all", "role": "superior", "document": "3号文"}
        )
        self.who.post(f"/api/v1/drafts/{self.closed}/publish", {"reason": "改界"})
        self.draft = self.who.begin("现在")

    def state(self) -> Any:
        """All that could have changed."""
        rows = self.who.get(f"/ogc/drafts/{self.draft}/collections/township/items")["features"]
        drafts = self.who.get("/api/v1/drafts")
        return rows, drafts, self.who.get("/api/v1/publications"), self.who.get("/api/v1/defects")

    def path(self, path: str) -> str:
        return path.replace("DRAFT", self.draft).replace("CLOSED", self.closed)


@pytest.fixture(scope="module")
def bench(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    path = tmp_path_factory.mktemp("input") / "city.db"
    path.write_bytes(template.read_bytes())
    with live(str(path)) as address:
        yield Bench(address)


def hand(**more: Any) -> dict[str, Any]:
    return {"edit": {"kind": "hand_over", "layer": "township", "piece": square(950, 950), "to": "u00", **more}}


def put(layer: str, geometry: Any = None, **properties: Any) -> dict[str, Any]:
    return {"edit": {"kind": "put_row", "layer": layer, "properties": properties, "geometry": geometry}}


def feature(geometry: Any = None, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


RAIL = {"code": "r", "authority": "铁路"}
EDITS, ITEMS = "/api/v1/drafts/DRAFT/edits", "/ogc/drafts/DRAFT/collections/LAYER/items"
TOWNSHIPS, SQUADS = ITEMS.replace("LAYER", "township"), ITEMS.replace("LAYER", "squad")
REFUSED: dict[str, tuple[str, str, Any, int, str]] = {
    "a drawn piece that crosses itself": ("POST", EDITS, hand(piece=BOWTIE), 422, "SelfCrossing"),
    "a new unit that crosses itself": ("POST", TOWNSHIPS, feature(BOWTIE, code="n"), 422, "SelfCrossing"),
    "ground of a row that crosses itself": ("POST", EDITS, put("not_served", BOWTIE, **RAIL), 422, "SelfCrossing"),
    "a piece outside the map": ("POST", EDITS, hand(piece=FAR), 422, "PieceOutside"),
    "a new unit outside the map": ("POST", TOWNSHIPS, feature(FAR, code="n"), 422, "PieceOutside"),
    "a ring of three points": ("POST", EDITS, hand(piece=SLIVER), 422, "InvalidRequest"),
    "a place that is on no map": ("POST", EDITS, hand(piece=NOWHERE), 422, "NotConvertible"),
    "an edit of a published draft": ("POST", "/api/v1/drafts/CLOSED/edits", hand(), 409, "DraftClosed"),
    "a feature of a published draft": ("DELETE", TOWNSHIPS.replace("DRAFT", "CLOSED") + "/u11?into=u01", None, 409, "DraftClosed"),
    "a draft that is not there": ("POST", "/api/v1/drafts/none/edits", hand(), 404, "UnknownDraft"),
    "a code that is taken": ("POST", TOWNSHIPS, feature(square(950, 950), code="u11"), 409, "CodeTaken"),
    "a squad's code that is taken": ("POST", SQUADS, feature(code="su11"), 409, "CodeTaken"),
    "a split into a code that is taken": (
        "POST", EDITS, {"edit": {"kind": "split", "layer": "township", "code": "u11", "new": "u12", "line": LINE}},
        409, "CodeTaken",
    ),
    "a squad that ground still names": ("DELETE", SQUADS + "/su11", None, 409, "SquadStillNamed"),
    "the same by an edit": ("POST", EDITS, {"edit": {"kind": "remove_row", "layer": "squad", "code": "su11"}}, 409, "SquadStillNamed"),
    "a squad that is not there": ("PATCH", TOWNSHIPS + "/u11", {"properties": {"squad": "nobody"}}, 422, "NoSuchSquad"),
    "an agreement with nobody": ("POST", EDITS, put("agreement", code="a", parties=["su00", "x"], lead="su00"), 422, "NoSuchSquad"),
    "a unit deleted into the void": ("DELETE", TOWNSHIPS + "/u11", None, 409, "NeedsInto"),
    "a unit deleted into nobody": ("DELETE", TOWNSHIPS + "/u11?into=nobody", None, 422, "NoSuchUnit"),
    "a unit by its row": ("POST", EDITS, {"edit": {"kind": "remove_row", "layer": "township", "code": "u11"}}, 409, "WouldEmpty"),
    "ground given up to nobody": ("PUT", TOWNSHIPS + "/u11", feature(square(1400, 1400), code="u11"), 422, "WouldOpen"),
    "a unit without ground": ("PUT", TOWNSHIPS + "/u11", feature(None, code="u11"), 422, "NoGeometry"),
    "a unit as a line": ("PUT", TOWNSHIPS + "/u11", feature(LINE, code="u11"), 422, "NotPolygons"),
    "another code for the same feature": ("PATCH", TOWNSHIPS + "/u11", {"properties": {"code": "x"}}, 422, "FieldFixed"),
    "a period that ends before it starts": (
        "POST", EDITS, put("not_served", square(0, 0), **RAIL, since="2026-02-01T00:00:00Z", until="2026-01-01T00:00:00Z"),
        422, "EmptyPeriod",
    ),
    "an instant without a zone": (
        "POST", EDITS, put("not_served", square(0, 0), **RAIL, since="2026-02-01T00:00:00"), 422, "InvalidRequest",
    ),
    "a category without a scheme": ("POST", EDITS, put("direct", code="d", category="0501", squad="su00"), 422, "InvalidRequest"),
    "an arc that is not there": (
        "POST", EDITS, {"edit": {"kind": "move_border", "layer": "township", "arc": "x", "path": LINE}}, 409, "UnknownArc",
    ),
    "no kind": ("POST", EDITS, {"edit": {"layer": "township"}}, 422, "InvalidRequest"),
    "a kind that is not there": ("POST", EDITS, {"edit": {"kind": "x"}}, 422, "InvalidRequest"),
    "fields nobody asked for": ("POST", EDITS, {**hand(), "revision": 9, "author": SECRET}, 422, "InvalidRequest"),
    "columns nobody asked for": ("POST", SQUADS, feature(code="n", id=SECRET), 422, "InvalidRequest"),
    "a lost field": ("POST", "/api/v1/drafts", {"phone": SECRET}, 422, "InvalidRequest"),
    "hidden characters": ("POST", "/api/v1/drafts", {"name": "a\x00b"}, 422, "HiddenCharacters"),
    "text that runs backwards": ("POST", "/api/v1/drafts", {"name": "a\u202eb"}, 422, "InvalidRequest"),
    "a title of ten megabytes": ("POST", "/api/v1/drafts", {"name": "x" * 10**7}, 422, "InvalidRequest"),
    "a publication nobody signed": ("POST", "/api/v1/drafts/CLOSED/publish", {"reason": "x"}, 409, "DraftClosed"),
    "a superior without a document": ("POST", "/api/v1/drafts/DRAFT/signatures", {"side": "all", "role": "superior"}, 422, "NoDocument"),
    "nothing to undo": ("POST", "/api/v1/drafts/DRAFT/undo", {}, 409, "NothingToUndo"),
    "a great number": ("POST", "/api/v1/drafts/DRAFT/undo", {"seq": 10**30}, 409, "NothingToUndo"),
    "a great revision": ("POST", EDITS, {**hand(), "seen": 10**30}, 422, "InvalidRequest"),
    "a limit below nothing": ("GET", "/api/v1/drafts/DRAFT/layers/township?limit=-1", None, 422, "InvalidRequest"),
    "a limit beyond bounds": ("GET", "/api/v1/drafts/DRAFT/layers/township?limit=1000000000000", None, 422, "InvalidRequest"),
    "a parameter twice": ("GET", "/api/v1/drafts/DRAFT/layers/township?limit=1&limit=2", None, 422, "ParameterTwice"),
    "a parameter nobody knows": ("GET", "/api/v1/drafts?sort=name", None, 422, "UnknownParameter"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_with_the_way_out_and_nothing_changes(bench: Bench, case: str) -> None:
    method, path, body, status, problem = REFUSED[case]
    before = bench.state()
    sent = {} if body is None else {"json": body}
    if case in ("hidden characters", "a title of ten megabytes"):
        sent = {"content": json.dumps(body), "headers": {"Content-Type": "application/json"}}  # type: ignore[dict-item]
    told = bench.who.refused(method, bench.path(path), status, problem, **sent)
    english = bench.english.refused(method, bench.path(path), status, problem, **sent)
    assert CHINESE.search(told["detail"])
    assert told["title"] != english["title"]
    assert not CHINESE.search(re.sub("[“\"'].*?[”\"']", "", english["title"]))
    assert SECRET not in json.dumps([told, english])
    assert len(json.dumps(told)) < 3000
    assert bench.state() == before


RAW = {
    "NaN": b'{"lon": NaN, "lat": 34.7}',
    "Infinity": b'{"lon": -Infinity, "lat": 34.7}',
    "too great": b'{"lon": 1e999, "lat": 34.7}',
    "NaN as text": b'{"lon": "NaN", "lat": 34.7}',
    "a number as Python has it": b'{"lon": "1_1", "lat": 34.7}',
    "a number as text": b'{"lon": "113.5", "lat": 34.7}',
    "a truth for a number": b'{"lon": true, "lat": 34.7}',
    "a key twice": b'{"lon": 113.5, "lon": 113.6, "lat": 34.7}',
    "half a surrogate pair": b'{"lon": 113.5, "lat": 34.7, "case": "a\\ud800b"}',
    "NUL": b'{"lon": 113.5, "lat": 34.7, "case": "a\\u0000b"}',
    "not UTF-8": b'{"lon": 113.5, "lat": 34.7, "case": "\xff"}',
    "very deep": b"[" * 100_000,
    "deep and whole": b"[" * 100_000 + b"]" * 100_000,
    "digits without end": b'{"lon": ' + b"9" * 5000 + b', "lat": 34.7}',
    "cut off": b'{"lon": 113.5',
    "a list": b"[1, 2]",
    "nothing": b"",
    "null": b"null",
}


TRICKS = {
    **dict.fromkeys(("NaN", "Infinity", "too great", "digits without end"), "NotFinite"),
    **dict.fromkeys(("half a surrogate pair", "cut off"), "NotJson"),
    **dict.fromkeys(("very deep", "deep and whole"), "TooDeep"),
    "a key twice": "KeyTwice",
    "NUL": "HiddenCharacters",
    "not UTF-8": "NotUtf8",
}
"""What is wrong with them as JSON; the rest are bad places."""


@pytest.mark.parametrize("case", RAW)
def test_json_with_tricks_is_refused(bench: Bench, case: str) -> None:
    answer = bench.who.http.post("/api/v1/route", content=RAW[case], headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert CHINESE.search(answer.json()["detail"])
    assert answer.json()["type"].rpartition(":")[2] == TRICKS.get(case, "InvalidRequest")


def test_a_body_of_another_type_is_refused(bench: Bench) -> None:
    for media in ("text/plain", "application/x-www-form-urlencoded", "text/xml"):
        headers = {"Content-Type": media}
        bench.who.refused("POST", "/api/v1/route", 415, "WrongMedia", content=b'{"lon": 1, "lat": 1}', headers=headers)


@pytest.mark.parametrize("name", ["'; DROP TABLE draft; --", "<script>alert(1)</script>", '" onload="x', "名\\字'%s{0}", "=HYPERLINK(1)"])
def test_names_with_sql_and_html_are_names(bench: Bench, name: str) -> None:
    """They come back as they went in, as JSON that no browser takes for a page."""
    draft = bench.who.begin(name)
    assert bench.who.get(f"/api/v1/drafts/{draft}")["name"] == name
    items = f"/ogc/drafts/{draft}/collections/township/items"
    made = bench.who.http.post(items, json=feature(square(950, 950), code=name, name=name))
    assert made.status_code == 201
    where = made.headers["location"]
    read = bench.who.http.get(where)
    assert read.json()["properties"]["name"] == read.json()["properties"]["code"] == name
    assert read.headers["content-type"] == "application/geo+json"
    assert read.headers["x-content-type-options"] == "nosniff"
    found = bench.who.get(items, code=name)["features"]
    assert [f["id"] for f in found] == [read.json()["id"]]
    assert bench.who.http.delete(where, params={"into": "u11"}).status_code == 204
    bench.who.post(f"/api/v1/drafts/{draft}/abandon", status=200)


def test_a_body_too_large_is_413_however_it_is_sent(city_url: str) -> None:
    with live(Serving(city_url, development=True, body_bytes=10_000)) as address:
        who = Person(address)
        big = b'{"name": "' + b"x" * 20_000 + b'"}'
        headers = {"Content-Type": "application/json"}
        for content in (big, iter([big[:7000], big[7000:14000], big[14000:]])):
            answer = who.http.post("/api/v1/drafts", content=content, headers=headers)
            assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
        assert who.get("/api/v1/drafts") == []


def test_half_a_body_is_not_waited_for(city_url: str) -> None:
    with live(Serving(city_url, development=True, body_seconds=0.5)) as address:
        port = int(address.rpartition(":")[2])
        head = "POST /api/v1/drafts HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Jieguan-Person: x\r\nContent-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
            began = time.monotonic()
            line.sendall((head + "Content-Length: 100\r\n\r\n{").encode())
            answer = line.recv(65536).decode()
        assert answer.startswith("HTTP/1.1 408"), answer
        assert "application/problem+json" in answer
        assert time.monotonic() - began < 5


def test_what_we_did_not_foresee_says_nothing(city_url: str) -> None:
    def broken() -> Any:
        raise RuntimeError(SECRET)

    with live(city_url, now=broken) as address:
        answer = httpx.post(f"{address}/api/v1/route", json=place(500, 500))
        assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
        assert SECRET not in answer.text


def test_the_language_is_the_one_asked_for(bench: Bench) -> None:
    chinese = ("", "zh-CN", "fr", "en;q=0.1, zh", "en;q=x", "en;q=0.5, zh;q=0.5")
    for asked, english in [(a, False) for a in chinese] + [(a, True) for a in ("en", "en-GB, zh;q=0.9", "zh;q=0.5, en")]:
        answer = bench.who.http.get("/api/v1/versions/x", headers={"Accept-Language": asked})
        assert (answer.headers["content-language"] == "en") is english, asked
        assert bool(CHINESE.search(answer.json()["detail"])) is not english
