"""Files over HTTP: layers edited elsewhere come back as edits of a draft, copies go out; and what is no such file changes nothing."""

from __future__ import annotations

import io
import json
import re
import socket
import sqlite3
import tempfile
import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import shapely

from api.settings import Serving
from geodata.db.guard import LiveDatabase
from geodata.files import read_layer
from geodata.intake_gdal import pyogrio
from geodata.layer import in_metres
from tests.api.live import Person, in_degrees, live, published, square
from tests.db.conftest import NewUrl
from tests.db.worlds import city

RAW = {"Content-Type": "application/octet-stream"}
CHINESE = re.compile(r"[\u4e00-\u9fff]")
VRT = b"<OGRVRTDataSource><OGRVRTLayer name='s'><SrcDataSource>/etc/passwd</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"


def sent(who: Person, draft: str, data: Any, status: int = 200, headers: dict[str, str] | None = None, **params: Any) -> Any:
    """What becomes of a file."""
    answer = who.http.post(f"/api/v1/drafts/{draft}/uploads", params=params, content=data, headers={**RAW, **(headers or {})})
    assert answer.status_code == status, answer.text
    return answer.json()


def fetched(who: Person, path: str, **params: Any) -> bytes:
    answer = who.http.get(path, params=params)
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["content-length"]) == len(answer.content)
    return answer.content


def township(code: str, shape: Any, **more: Any) -> bytes:
    """A township as GeoJSON; `shape` in metres from the corner of u00."""
    feature = {"type": "Feature", "properties": {"code": code, "squad": f"s{code}", **more}, "geometry": in_degrees(shape)}
    return json.dumps({"type": "FeatureCollection", "features": [feature]}).encode()


def metres(code: str) -> Any:
    """The outline of a unit in metres from the corner of u00."""
    row = next(r for r in city() if r.code == code)
    return shapely.transform(in_metres(row.ground), lambda xy: xy - np.array([460_000, 3_850_000]))


def grown(code: str = "u00") -> Any:
    """It with a hundred metres of its neighbours."""
    return metres(code).union(shapely.box(950, 950, 1050, 1050))


def state(who: Person, draft: str) -> Any:
    layers = [who.get(f"/api/v1/drafts/{draft}/layers/{layer}")["features"] for layer in ("township", "squad", "agreement")]
    return layers, who.get("/api/v1/drafts"), who.get(f"/api/v1/drafts/{draft}")["log"]


# ---- in --------------------------------------------------------------------------------------------------------------


def test_an_exported_copy_edited_elsewhere_comes_back_as_edits(zhang: Person, base: str, tmp_path: Path) -> None:
    draft = zhang.begin()
    path = tmp_path / "copy.gpkg"
    path.write_bytes(fetched(zhang, f"/api/v1/drafts/{draft}/export"))
    with closing(sqlite3.connect(path)) as copy:
        copy.execute("UPDATE squad SET phone = '0371-1' WHERE code = 'su00'")
        copy.execute("DELETE FROM squad WHERE code = 'su11'")
        copy.commit()
    told = sent(zhang, draft, path.read_bytes(), name="copy.gpkg")
    assert {(c["code"], c["accepted"]) for c in told["changes"]} == {("su00", True), ("su11", False)}
    assert told["applied"] == []
    assert zhang.get(f"/api/v1/drafts/{draft}")["revision"] == 0
    told = sent(zhang, draft, path.read_bytes(), name="copy.gpkg", apply=True)
    assert (told["applied"], told["revision"]) == ([1], 1)
    (refused,) = (c for c in told["changes"] if not c["accepted"])
    assert refused["reason"]["error"] == "SquadStillNamed"
    assert CHINESE.search(refused["reason"]["zh"])
    assert "squad 'su11' is still named by township u11" in refused["reason"]["en"]
    (entry,) = zhang.get(f"/api/v1/drafts/{draft}")["log"]
    assert (entry["author"], entry["kind"], entry["note"].split(" sha256:")[0]) == ("张三", "put_row", "copy.gpkg")
    squads = {f["id"]: f["properties"] for f in zhang.get(f"/api/v1/drafts/{draft}/layers/squad")["features"]}
    assert squads["su00"]["phone"] == "0371-1"


def test_ground_drawn_elsewhere_changes_hands_on_either_database(new_url: NewUrl) -> None:
    url = new_url(initialised=True)
    published(url)
    with live(url) as address:
        who = Person(address)
        draft = who.begin()
        told = sent(who, draft, township("u00", grown()), name="a.geojson", layer="township", apply=True)
        assert {c["accepted"] for c in told["changes"]} == {True}
        assert told["applied"] == list(range(1, len(told["changes"]) + 1))
        (u00,) = (f for f in who.get(f"/api/v1/drafts/{draft}/layers/township")["features"] if f["id"] == "u00")
        assert shapely.geometry.shape(u00["geometry"]).contains(shapely.geometry.shape(in_degrees(shapely.box(960, 960, 1040, 1040))))
        (version,) = who.get("/api/v1/versions")
        assert len(fetched(who, f"/api/v1/versions/{version['version']}/export")) > 10_000


def test_a_form_as_browsers_send_it_names_its_file(zhang: Person) -> None:
    draft = zhang.begin()
    files = {"file": ("C:\\图\\a.geojson", township("u00", grown()), "application/geo+json")}
    answer = zhang.http.post(f"/api/v1/drafts/{draft}/uploads", params={"layer": "township", "datum": ""}, files=files)
    assert answer.status_code == 200, answer.text
    assert answer.json()["changes"]
    two = [("file", ("a.csv", b"code\n1\n")), ("file", ("b.csv", b"code\n1\n"))]
    for bad, status in (({"files": two}, 400), ({"files": {"file": ("a.csv", b"")}}, 422), ({"files": {"x": (None, b"text")}}, 400)):
        answer = zhang.http.post(f"/api/v1/drafts/{draft}/uploads", params={"name": "a.csv"}, **bad)  # type: ignore[arg-type]
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text


def test_what_others_touched_since_is_refused_change_by_change(zhang: Person, base: str) -> None:
    draft = zhang.begin()
    piece = {"kind": "hand_over", "layer": "township", "piece": square(950, 950), "to": "u11"}
    Person(base, "李四").post(f"/api/v1/drafts/{draft}/edits", {"edit": piece})
    drawn = township("u00", grown())
    free = sent(zhang, draft, drawn, name="a.geojson", layer="township")
    assert any(c["accepted"] for c in free["changes"])
    for params, headers in (({"seen": 0}, None), ({}, {"If-Match": '"0"'})):
        told = sent(zhang, draft, drawn, name="a.geojson", layer="township", apply=True, headers=headers, **params)
        assert {c["reason"]["error"] for c in told["changes"]} == {"EditConflict"}
        assert told["applied"] == []


def test_a_copy_of_another_state_is_refused(zhang: Person, base: str) -> None:
    draft, other = zhang.begin("甲"), zhang.begin("乙")
    copy = fetched(zhang, f"/api/v1/drafts/{other}/export")
    problem = sent(zhang, draft, copy, 422, name="a.gpkg", apply=True)
    assert problem["type"].endswith("NotOfThisDraft")
    own = fetched(zhang, f"/api/v1/drafts/{draft}/export")
    edit = {"kind": "put_row", "layer": "agreement", "properties": {"code": "a", "parties": ["su00", "su01"], "lead": "su00"}}
    zhang.post(f"/api/v1/drafts/{other}/edits", {"edit": edit})
    Person(base, "李四").post(f"/api/v1/drafts/{other}/signatures", {"side": "all", "role": "superior", "document": "3号文"})
    zhang.post(f"/api/v1/drafts/{other}/publish", {"reason": "改界"})
    zhang.post(f"/api/v1/drafts/{draft}/rebase", {}, 200)
    assert sent(zhang, draft, own, 422, name="a.gpkg")["type"].endswith("RebasedSince")
    assert sent(zhang, other, copy, 409, name="a.gpkg")["type"].endswith("DraftClosed")


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return out.getvalue()


GOOD = township("u00", shapely.box(0, 0, 10, 10))
BAD: dict[str, tuple[dict[str, str], bytes, int, str]] = {
    "a path outside the zip": ({"name": "a.zip"}, zipped("../../a.shp", "a.shx", "a.dbf"), 422, "UnsafeZip"),
    "a driver file behind a harmless name": ({"name": "a.geojson"}, VRT, 422, "NotWhatItSays"),
    "a driver file": ({"name": "a.vrt"}, VRT, 422, "UnknownFormat"),
    "a path for a name": ({"name": "../../etc/passwd"}, VRT, 422, "UnknownFormat"),
    "no geopackage": ({"name": "a.gpkg"}, b"SQLite format 3\0" + b"\0" * 5000, 422, "UnreadableFile"),
    "a datum that is none": ({"name": "a.geojson", "layer": "township", "datum": "tokyo"}, GOOD, 422, "UnknownDatum"),
    "a layer that is none": ({"name": "a.geojson", "layer": "roads"}, GOOD, 422, "InvalidRequest"),
    "nobody knows which layer": ({"name": "a.geojson"}, GOOD, 422, "WhichLayer"),
    "nothing": ({"name": "a.geojson"}, b"", 422, "NoFile"),
    "a name of control characters": ({"name": "a\u202e.gpkg"}, GOOD, 422, "HiddenInAddress"),
    "no name": ({}, GOOD, 422, "UnknownFormat"),
    "a parameter nobody knows": ({"name": "a.geojson", "force": "true"}, GOOD, 422, "UnknownParameter"),
    "perhaps": ({"name": "a.geojson", "layer": "township", "apply": "perhaps"}, GOOD, 422, "InvalidRequest"),
    "a revision before the first": ({"name": "a.geojson", "layer": "township", "seen": "-1"}, GOOD, 422, "InvalidRequest"),
}


@pytest.fixture(scope="module")
def bench(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Person, Person, str]]:
    path = tmp_path_factory.mktemp("files") / "city.db"
    path.write_bytes(template.read_bytes())
    with live(str(path)) as address:
        who = Person(address)
        yield who, Person(address, lang="en"), who.begin()


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_layer_is_refused_and_nothing_changes(bench: tuple[Person, Person, str], case: str) -> None:
    who, english, draft = bench
    params, data, status, problem = BAD[case]
    before = state(who, draft)
    params = {"apply": "true", **params}
    answers = [w.http.post(f"/api/v1/drafts/{draft}/uploads", params=params, content=data, headers=RAW) for w in (who, english)]
    for answer, chinese in zip(answers, (True, False), strict=True):
        told = answer.json()
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
        assert told["type"].rpartition(":")[2] == problem
        assert bool(CHINESE.search(told["title"])) is chinese
        assert tempfile.gettempdir() not in answer.text
        assert "--" not in told["detail"]
    assert state(who, draft) == before


def test_other_bodies_are_no_files(bench: tuple[Person, Person, str]) -> None:
    who, _, draft = bench
    for media in ("application/json", "application/x-www-form-urlencoded", "text/csv"):
        path = f"/api/v1/drafts/{draft}/uploads?name=a.csv"
        told = who.refused("POST", path, 415, "NotAFileBody", content=b"code\n1\n", headers={"Content-Type": media})
        assert "octet-stream" in told["detail"]
    who.refused("POST", "/api/v1/drafts/none/uploads?name=a.csv", 404, "UnknownDraft", content=b"code\n1\n", headers=RAW)


# ---- how much, and for whom ------------------------------------------------------------------------------------------


def answered(address: str, head: str, body: Iterable[bytes] = ()) -> tuple[str, int]:
    """The first line of the answer to a request sent by hand, and how many bytes of its body went out before it came."""
    port = int(address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall((head + "Host: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n\r\n").encode())
        out = 0
        try:
            for block in body:
                line.sendall(block)
                out += len(block)
        except OSError:  # the line was cut: the answer came first
            pass
        try:
            return line.recv(65536).decode().partition("\r\n")[0], out
        except ConnectionResetError:
            return "", out


PERSON = "X-Jieguan-Person: x\r\n"


def test_a_gigabyte_is_refused_before_it_is_read(base: str) -> None:
    who = Person(base)
    for path in (f"/api/v1/drafts/{who.begin()}/uploads?name=a.gpkg", "/api/v1/histories?name=a"):
        head = f"POST {path} HTTP/1.1\r\n{PERSON}Content-Length: {1 << 30}\r\n"
        assert answered(base, head)[0].startswith("HTTP/1.1 413")
    assert who.get("/api/v1/histories") == []


def test_what_does_not_say_how_much_it_is_is_refused_as_soon_as_it_is_too_much(city_url: str) -> None:
    block = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with live(Serving(city_url, development=True, upload_bytes=1 << 20, history_bytes=1 << 20)) as address:
        who = Person(address)
        draft = who.begin()
        for path in (f"/api/v1/drafts/{draft}/uploads?name=a.csv", "/api/v1/histories?name=a"):
            head = f"POST {path} HTTP/1.1\r\n{PERSON}Transfer-Encoding: chunked\r\n"
            line, out = answered(address, head, (block for _ in range(18)))  # never ended: whoever waits for the rest waits for ever
            assert line.startswith("HTTP/1.1 413"), (line, out)
            whole = who.http.post(path, content=b"x" * ((1 << 20) + 1), headers=RAW)
            assert (whole.status_code, whole.json()["type"].rpartition(":")[2]) == (413, "UploadTooBig")
        assert sent(who, draft, b"x" * (1 << 20), 422, name="a.gpkg")["type"].endswith("NotWhatItSays")
        assert who.get("/api/v1/histories") == []
        other = {"content": b'"' + b"x" * (33 << 20) + b'"', "headers": {"Content-Type": "application/json"}}
        assert who.http.post("/api/v1/drafts", **other).status_code == 413


def test_a_file_has_longer_to_arrive_than_other_bodies(city_url: str) -> None:
    with live(Serving(city_url, development=True, body_seconds=0.2, file_seconds=1.5)) as address:
        draft = Person(address).post("/api/v1/drafts", {"name": "x"})["id"]
        head = f"POST /api/v1/drafts/{draft}/uploads?name=a.csv HTTP/1.1\r\n{PERSON}Content-Length: 100\r\n"
        waits = threading.Event()

        def slow() -> Iterator[bytes]:
            yield b"code\n"
            waits.wait(0.6)
            yield b"x" * 95

        assert answered(address, head, slow())[0].startswith("HTTP/1.1 422")
        assert answered(address, head, iter([b"code\n"]))[0].startswith("HTTP/1.1 408")


def test_who_may_not_write_is_told_before_the_file_is_sent(city_url: str) -> None:
    with live(city_url, development=False) as address:
        for path in ("/api/v1/drafts/x/uploads?name=a.gpkg", "/api/v1/histories?name=a"):
            head = f"POST {path} HTTP/1.1\r\n{PERSON}Content-Length: {1 << 30}\r\n"
            assert answered(address, head)[0].startswith("HTTP/1.1 401")


def test_only_so_many_files_are_received_at_once(city_url: str) -> None:
    with live(Serving(city_url, development=True, files_at_once=1)) as address:
        who = Person(address)
        draft = who.begin()
        there, go = threading.Event(), threading.Event()

        def slow() -> Iterator[bytes]:
            yield b"code\n"
            there.set()
            go.wait(60)
            yield b"1\n"

        path = f"/api/v1/drafts/{draft}/uploads?name=a.csv&layer=squad"
        answers: list[Any] = []
        first = threading.Thread(target=lambda: answers.append(Person(address).http.post(path, content=slow(), headers=RAW)))
        first.start()
        assert there.wait(10)
        while (second := who.http.post(path, content=b"code\n1\n", headers=RAW)).status_code == 200:
            pass  # the first has not come through the door yet
        assert second.json()["type"].endswith("FilesBusy")
        assert second.headers["retry-after"]
        go.set()
        first.join()
        assert answers[0].status_code == 200
        assert who.http.post(path, content=b"code\n1\n", headers=RAW).status_code == 200


# ---- out -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "suffix"), [("gpkg", ".gpkg"), ("shp", ".zip"), ("geojson", ".geojson")])
def test_a_version_goes_out_in_every_format(reading: str, tmp_path: Path, kind: str, suffix: str) -> None:
    who = Person(reading)
    version = who.get("/api/v1/in-force")["version"]
    answer = who.http.get(f"/api/v1/versions/{version}/export", params={"format": kind, "crs": "EPSG:4547", "layer": "township"})
    assert answer.status_code == 200, answer.text
    path = tmp_path / f"out{suffix}"
    path.write_bytes(answer.content)
    assert f"{version[:12]}{suffix}" in answer.headers["content-disposition"]
    layer = read_layer(path if kind != "gpkg" else f"{path}::township")
    grounds = {r.code: r.ground for r in city() if r.layer.value == "township"}
    codes = layer.columns.column("code").to_pylist()
    for code, shape in zip(codes, layer.geometry, strict=True):
        assert shapely.equals(shapely.transform(shape, lambda xy: np.rint(xy * 1000)), grounds[code])
    assert sorted(codes) == sorted(grounds)


def test_a_draft_goes_out_as_it_stands_under_its_own_name(zhang: Person, tmp_path: Path) -> None:
    draft = zhang.begin('江山路/改界 "西"\\..')
    edit = {"kind": "hand_over", "layer": "township", "piece": square(950, 950), "to": "u00"}
    zhang.post(f"/api/v1/drafts/{draft}/edits", {"edit": edit})
    answer = zhang.http.get(f"/api/v1/drafts/{draft}/export")
    assert answer.headers["etag"] == '"1"'
    plain, _, encoded = answer.headers["content-disposition"].partition("; filename*=UTF-8''")
    name = unquote(encoded)
    assert name == "江山路_改界__西__..-1.gpkg"
    assert re.fullmatch(r'attachment; filename="[\w.-]+\.gpkg"', plain, re.ASCII)
    path = tmp_path / "a.gpkg"
    path.write_bytes(answer.content)
    said = pyogrio.read_arrow(path, layer="jieguan")[1].to_pydict()
    about = dict(zip(said["key"], said["value"], strict=True))
    assert (about["draft"], about["revision"]) == (draft, "1")
    assert {name for name, _ in pyogrio.list_layers(path)} >= {"township", "squad", "layer_styles"}


def test_what_a_format_cannot_hold_is_told(zhang: Person) -> None:
    draft = zhang.begin()
    for lang, word in (("zh-CN", "缩短"), ("en", "ten letters")):
        answer = zhang.http.get(f"/api/v1/drafts/{draft}/export?format=shp", headers={"Accept-Language": lang})
        assert word in unquote(answer.headers["x-jieguan-notes"])


def test_nothing_stays_behind_and_the_live_database_is_not_what_is_sent(
    zhang: Person, city_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = tmp_path / "apart"  # others on this machine have uploads of their own
    apart.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(apart))
    draft = zhang.begin()
    fetched(zhang, f"/api/v1/drafts/{draft}/export")
    with zhang.http.stream("GET", f"/api/v1/drafts/{draft}/export") as answer:
        next(answer.iter_bytes(1000))  # and hang up
    sent(zhang, draft, GOOD, name="a.geojson", layer="township")
    assert not list(apart.iterdir())
    with pytest.raises(LiveDatabase):
        Path(city_url).read_bytes()


@pytest.mark.parametrize(
    ("path", "status", "problem"),
    [
        ("/api/v1/versions/none/export", 404, "UnknownVersion"),
        ("/api/v1/drafts/none/export", 404, "UnknownDraft"),
        ("/api/v1/drafts/DRAFT/export?format=dwg", 422, "InvalidRequest"),
        ("/api/v1/drafts/DRAFT/export?crs=EPSG:1", 422, "UnknownCrs"),
        ("/api/v1/drafts/DRAFT/export?crs=%2Bproj%3Dlonglat+%2Bnadgrids%3D/etc/passwd", 422, "InvalidRequest"),
        ("/api/v1/drafts/DRAFT/export?layer=roads", 422, "InvalidRequest"),
        ("/api/v1/drafts/DRAFT/export?out=/etc/passwd", 422, "UnknownParameter"),
    ],
)
def test_what_cannot_be_exported_is_said(bench: tuple[Person, Person, str], path: str, status: int, problem: str) -> None:
    who, _, draft = bench
    told = who.refused("GET", path.replace("DRAFT", draft), status, problem)
    assert tempfile.gettempdir() not in json.dumps(told)


def test_an_export_uploaded_again_changes_nothing(bench: tuple[Person, Person, str]) -> None:
    who, _, draft = bench
    for kind, suffix in (("gpkg", ".gpkg"), ("shp", ".zip"), ("geojson", ".geojson")):
        copy = fetched(who, f"/api/v1/drafts/{draft}/export", format=kind)
        assert sent(who, draft, copy, name=f"copy{suffix}")["changes"] == []
