"""`jieguan map` and `jieguan serve`, and the whole way of a map from its files to cases replayed, on both databases.

    c | d      four squares, about 1 km wide; the line between a and b is moved 0.002 degrees to the east
    --+--
    a | b
"""

from __future__ import annotations

import ast
import json
import socket
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from api import words, words_map, words_whatif
from api.cli import main
from geodata.files import read_table
from tests.api.live import served
from tests.db.conftest import NewUrl, other_url  # noqa: F401 - a fixture

LON, LAT, SIDE, MOVED = 113.60, 34.80, 0.01, 0.002
WORK_CRS = "EPSG:4547"
Run = Callable[..., Any]


def ring(x0: float, y0: float, x1: float, y1: float, line: float = SIDE) -> list[list[list[float]]]:
    """A box with a corner wherever another's is: straight in degrees is not straight in metres."""
    xs = [x0, *(x for x in sorted({SIDE, line}) if x0 < x < x1), x1]
    corners = [*((x, y0) for x in xs), *((x, y1) for x in xs[::-1]), (x0, y0)]
    return [[[round(LON + x, 9), round(LAT + y, 9)] for x, y in corners]]


def grounds(path: Path, east: float = 0.0, north: float = SIDE) -> str:
    """The four squares. `east`: by how much the line between a and b moves; `north`: where b ends."""
    line, far = SIDE + east, 2 * SIDE
    boxes = {"a": (0, 0, line, SIDE), "b": (line, 0, far, north), "c": (0, SIDE, SIDE, far), "d": (SIDE, SIDE, far, far)}
    features = [
        {"type": "Feature", "properties": {"id": code}, "geometry": {"type": "Polygon", "coordinates": ring(*box, line)}}
        for code, box in boxes.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return str(path)


@pytest.fixture
def cases(tmp_path: Path) -> str:
    """300 cases of 2025 and 2026 in the two southern squares."""
    rng = np.random.default_rng(4)
    at = [f"{2025 + n % 2}-03-{1 + n % 28:02}T08:00:00+08:00" for n in range(300)]
    lon, lat = LON + rng.uniform(0.001, 0.019, 300), LAT + rng.uniform(0.001, 0.009, 300)
    pd.DataFrame({"at": at, "lon": lon, "lat": lat}).to_csv(tmp_path / "cases.csv", index=False)
    return str(tmp_path / "cases.csv")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """A command: the JSON it prints; with `--lang` among its words the text, of both streams. `status`: what it must exit with."""

    def call(*given: object, status: int = 0) -> Any:
        texts = [str(word) for word in given]
        plain = "--lang" in texts
        with pytest.raises(SystemExit) as ended:
            main(texts if plain else [*texts, "--json"])
        said = capsys.readouterr()
        assert (ended.value.code or 0) == status, said.out + said.err
        return said.out + said.err if plain else json.loads(said.out)

    return call


def test_from_files_to_cases_replayed_on_either_database(
    run: Run, cases: str, tmp_path: Path, new_url: NewUrl, request: pytest.FixtureRequest
) -> None:
    url = new_url()
    run("db", "init", url, "--work-crs", WORK_CRS)
    store, times = ("--db", url), ("--at-field", "at")
    old, new = grounds(tmp_path / "old.geojson"), grounds(tmp_path / "new.geojson", MOVED)
    files = ("--territories", old, "--duty", "a")

    tried = run("map", "import", *store, *files)
    assert (tried["published"], tried["issues"], tried["changes"]["added"]) == (None, [], 8)
    assert tried["work_crs"] == WORK_CRS
    assert run("map", "versions", *store) == []
    first = run("map", "import", *store, *files, "--publish", "--by", "王", "--reason", "首次发布", "--from", "2025-01-01")["published"]
    assert first["version"] == tried["version"]

    one, routed = tmp_path / "one.map", tmp_path / "one.csv"
    assert run("map", "compiled", *store, "--out", one)["map"] == first["map"]
    run("verify", one)
    run("route", cases, "--map", one, "--out", routed, *times, "--reasons")
    assert run("replay", routed, *store, *times)["same"] == 300

    drafted = run("map", "import", *store, "--territories", new, "--draft", "界线东移", "--by", "李")["draft"]
    draft = drafted["draft"]
    assert all(change["accepted"] for change in drafted["changes"])
    assert [d["state"] for d in run("map", "drafts", *store)] == ["open"]
    table = pd.read_csv(cases)
    moved = table.lon.between(LON + SIDE, LON + SIDE + MOVED)
    late = table["at"] >= "2026"
    asked = ("whatif", draft, *store, "--cases", cases, *times)
    assert run(*asked)["moved"] == moved.sum() > 20
    some = run(*asked, "--since", "2026-01-01")
    assert (some["cases"], some["moved"]) == (late.sum(), (moved & late).sum())

    publish = ("map", "publish", draft, *store, "--by", "李", "--reason", "界线东移")
    assert run(*publish, status=2)["error"] == "NotSigned"
    assert run("map", "sign", draft, *store, "--by", "李")["ready"] is False
    assert run(*publish, status=2)["error"] == "OnlyItsAuthor"
    signed = run("map", "sign", draft, *store, "--by", "赵", "--side", "a", "--side", "b", "--side", "c", "--side", "d")
    assert (signed["ready"], signed["sides"]) == (True, ["a", "b", "c", "d"])
    second = run(*publish, "--document", "2号文")
    assert second["document"] == "2号文"

    two, again, both = tmp_path / "two.map", tmp_path / "two.csv", tmp_path / "both.csv"
    run("map", "compiled", *store, "--out", two)
    run("route", cases, "--map", two, "--out", again, *times, "--reasons")
    pd.concat([pd.read_csv(p, dtype=str, keep_default_na=False) for p in (routed, again)]).to_csv(both, index=False)
    replay = ("replay", both, *times)
    assert run(*replay, *store)["same"] == 600
    assert run(*replay, *store, "--since", "2026-01-01")["rows"] == 2 * late.sum()
    compared = run(*replay, *store, "--on", second["version"][:10])
    assert [(part["map_before"], part["moved"]) for part in sorted(compared["maps"], key=lambda part: part["moved"])] == [
        (compared["map_after"], 0), (first["map"], moved.sum()),
    ]  # fmt: skip
    assert run(*replay, "--map", one, "--map", two, "--on", two)["maps"] == compared["maps"]
    assert run(*replay, "--map", one, status=1)["no_map"] == {compared["map_after"]: 300}

    back = ("map", "rollback", first["version"][:10], *store, "--by", "局长", "--reason", "发错", "--document", "3号文")
    assert run(*back)["version"] == first["version"]
    held = run("map", "versions", *store)
    assert [len(v["publications"]) for v in held] == [1, 2]

    there = request.getfixturevalue("other_url")()
    run("db", "copy", url, there)
    assert run("map", "versions", "--db", there) == held
    assert run(*replay, "--db", there)["same"] == 600
    assert run("db", "check", there)["sound"]


@pytest.fixture
def city(run: Run, tmp_path: Path) -> str:
    """An embedded database with the four squares in force."""
    url = str(tmp_path / "city.db")
    run("db", "init", url, "--work-crs", WORK_CRS)
    files = ("--territories", grounds(tmp_path / "old.geojson"), "--duty", "a")
    run("map", "import", "--db", f"gpkg:///{url}", *files, "--publish", "--by", "王", "--reason", "首次发布")
    return url


def test_a_draft_goes_out_and_comes_back(run: Run, city: str, tmp_path: Path) -> None:
    store = ("--db", city)
    new = grounds(tmp_path / "new.geojson", MOVED)
    draft = run("map", "import", *store, "--territories", new, "--draft", "东移", "--by", "李")["draft"]["draft"]
    copy, part = tmp_path / "draft.gpkg", tmp_path / "part.geojson"
    out = run("map", "export", *store, "--out", copy, "--draft", draft)
    assert (out["rows"]["territory"], out["of"]["draft"]) == (4, draft)
    assert run("map", "upload", copy, *store, "--draft", draft, "--by", "赵")["changes"] == []
    run("map", "export", *store, "--out", part, "--layer", "territory", "--crs", "EPSG:4326")
    assert len(read_table(part)) == 4
    squads = tmp_path / "squad.csv"
    squads.write_text("code,name,phone\na,甲中队,0371-1\n")
    upload = ("map", "upload", squads, *store, "--draft", draft, "--by", "赵", "--layer", "squad")
    asked = run(*upload)
    assert [(change["code"], change["accepted"]) for change in asked["changes"]] == [("a", True)]
    assert asked["applied"] == []
    assert run(*upload, "--apply")["applied"] == [asked["revision"] + 1]
    squads.write_text("code,kind\na,strange\n")
    assert [change["accepted"] for change in run(*upload, status=1)["changes"]] == [False]


def test_what_the_checks_find_stands_in_the_way(run: Run, tmp_path: Path) -> None:
    url = str(tmp_path / "city.db")
    run("db", "init", url, "--work-crs", WORK_CRS)
    both = grounds(tmp_path / "both.geojson", north=SIDE + 0.001)
    files = ("map", "import", "--db", url, "--territories", both, "--duty", "a")
    assert {issue["severity"] for issue in run(*files, status=1)["issues"]} >= {"error"}
    publish = (*files, "--publish", "--by", "王", "--reason", "首次发布")
    assert run(*publish, status=1)["error"] == "OpenErrors"
    assert run("map", "versions", "--db", url) == []
    assert run(*publish, "--defects-to", "李")["published"]["id"] == 1


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (("--publish", "--draft", "x"), "OneOfThem"),
        (("--publish", "--reason", "x"), "OptionMissing"),
        (("--publish", "--by", "x"), "OptionMissing"),
        (("--draft", "x"), "OptionMissing"),
        (("--by", "x"), "OptionIdle"),
        (("--draft", "x", "--by", "x", "--document", "1"), "OptionIdle"),
        (("--publish", "--by", "x", "--reason", "y"), "NeedsOrder"),
        (("--publish", "--by", "x", "--reason", "y", "--superior", "x", "--document", "1"), "NeedsOrder"),
        (("--publish", "--by", "x", "--reason", "y", "--from", "soon"), "BadInstant"),
        (("--draft", "x", "--by", "x", "--zone-m", "30"), "SettingsOfTheMap"),
        (("--work-crs", "EPSG:4546"), "OtherWorkCrs"),
    ],
)
def test_an_import_that_cannot_be_meant_is_refused(run: Run, city: str, tmp_path: Path, given: tuple[str, ...], error: str) -> None:
    new = grounds(tmp_path / "new.geojson", MOVED)
    assert run("map", "import", "--db", city, "--territories", new, *given, status=2)["error"] == error
    assert len(run("map", "versions", "--db", city)) == 1
    assert run("map", "drafts", "--db", city) == []


def test_a_database_says_in_which_millimetres_its_first_map_is(run: Run, tmp_path: Path) -> None:
    url, files = str(tmp_path / "city.db"), ("--territories", grounds(tmp_path / "old.geojson"), "--duty", "a")
    run("db", "init", url, "--work-crs", "EPSG:4548")  # the next zone, 117 E
    plan = run("map", "import", "--db", url, *files)
    assert (plan["work_crs"], plan["issues"]) == ("EPSG:4548", [])
    assert run("map", "import", "--db", url, *files, "--work-crs", WORK_CRS, status=2)["error"] == "OtherWorkCrs"


def test_versions_go_by_the_beginning_of_their_names(run: Run, city: str, tmp_path: Path) -> None:
    (held,) = run("map", "versions", "--db", city)
    compiled = ("map", "compiled", "--db", city, "--out", tmp_path / "city.map")
    for name in (held["version"], held["version"][:6], held["map"], held["map"][:6]):
        assert run(*compiled, "--version", name)["version"] == held["version"]
    for name in (held["version"][:5], "%" * 6, "f" * 64):
        assert run(*compiled, "--version", name, status=2)["error"] == "UnknownVersion"
    assert run("map", "compiled", "--db", city, "--out", city, status=2)["error"] == "LiveDatabase"
    assert run("db", "check", city)["sound"]


def test_history_since_a_time_needs_times(run: Run, city: str, cases: str, tmp_path: Path) -> None:
    one, routed, kept = tmp_path / "one.map", tmp_path / "one.parquet", tmp_path / "kept.npz"
    run("map", "compiled", "--db", city, "--out", one)
    new = grounds(tmp_path / "new.geojson", MOVED)
    run("compile", "--territories", new, "--duty", "a", "--work-crs", WORK_CRS, "--out", tmp_path / "two.map")
    asked, since = ("whatif", tmp_path / "two.map", "--map", one, "--cases"), ("--since", "2026-01-01")
    assert run(*asked, cases, *since, status=2)["error"] == "NeedsTimes"
    assert run(*asked, cases, "--at-field", "at", "--since", "2027-01-01", status=2)["error"] == "NothingSince"
    listed = tmp_path / "moved.csv"
    some = run(*asked, cases, "--at-field", "at", *since, "--keep", kept, "--out", listed)
    assert some["moved"] == len(pd.read_csv(listed)) > 10
    assert set(pd.read_csv(listed)["at"].str[:4]) == {"2026"}
    later = ("--since", "2026-03-10")
    assert run(*asked, kept, *later) == run(*asked, cases, "--at-field", "at", *later)
    told = run(*asked, cases, "--at-field", "at", *since, "--lang", "en").replace("\n", " ")
    assert "150 rows are from 2026-01-01 on; 150 earlier ones were left out" in told
    run("route", cases, "--map", one, "--out", routed, "--at-field", "at")
    table = pd.read_parquet(routed)
    table.loc[299, "squad"] = "d"
    table.loc[0, "at"] = "soon"
    table.to_parquet(routed)
    replay = ("replay", routed, "--map", one, "--at-field", "at")
    report = run(*replay, *since, status=1)
    assert ([d["row"] for d in report["differences"]], report["rows"]) == ([299], 150)  # numbered as in the file
    assert [note["code"] for note in report["notes"]] == ["since", "since_untimed"]
    assert run("replay", routed, status=2)["error"] == "NoMapsToReplay"


def test_every_command_speaks_both_languages(run: Run, city: str, tmp_path: Path) -> None:
    new, out = grounds(tmp_path / "new.geojson", MOVED), tmp_path / "a.gpkg"
    store = ("--db", city)
    draft = run("map", "import", *store, "--territories", new, "--draft", "[b]", "--by", "李")["draft"]["draft"]
    for command, zh, en in (
        (("import", *store, "--territories", new), "未写入", "Nothing was written"),
        (("versions", *store), "生效期", "in force"),
        (("drafts", *store), "编制中", "open"),
        (("export", *store, "--out", out), "已写出", "Written"),
        (("upload", out, *store, "--draft", draft, "--by", "赵"), "试算", "--apply"),
        (("sign", draft, *store, "--by", "局长", "--superior", "--document", "1号文"), "可以发布", "It can be published"),
        (("compiled", *store, "--out", tmp_path / "a.map"), "已写到", "is in"),
    ):
        for lang, said in (("zh", zh), ("en", en)):
            assert said in run("map", *command, "--lang", lang), command
    assert "[b]" in run("map", "drafts", *store, "--lang", "en")
    assert "已发布" in run("map", "publish", draft, *store, "--by", "李", "--reason", "东移", "--lang", "zh")
    (first,) = (v for v in run("map", "versions", *store) if v["note"] == "首次发布")
    back = ("map", "rollback", first["version"], *store, "--by", "王", "--reason", "x", "--document", "1", "--lang", "en")
    assert "Published" in run(*back)


def test_every_sentence_has_both_languages_and_the_same_facts() -> None:
    def facts(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for key, (zh, en) in {**words_map.WORDS, **words.WORDS}.items():
        assert facts(zh) == facts(en), key
    assert not words_map.WORDS.keys() & (words.WORDS.keys() | words_whatif.WORDS.keys())


def test_no_sentence_is_left_over(repo: Path) -> None:
    said: set[str] = set()
    for path in (repo / "api").glob("cli*.py"):
        said |= {n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    composed = {key for key in words_map.WORDS if key.startswith(("map_t_", "map_state_", "severity_"))}
    assert words_map.WORDS.keys() - composed <= said


# ---- the service -----------------------------------------------------------------------------------------------------


def test_serve_says_where_it_answers_and_stops_when_told(city: str) -> None:
    for options, development in ((), False), (("--development", "--workers", "2"), True):
        with served(f"gpkg:///{city}", *options) as address:
            told = httpx.get(f"{address}/readyz", timeout=300).json()
            assert (told["status"], told["development"]) == ("ready", development)
            written = httpx.post(f"{address}/api/v1/drafts", json={"name": "x"}, headers={"X-Jieguan-Person": "li"}, timeout=300)
            assert written.status_code == (201 if development else 401)


@pytest.mark.parametrize(
    ("options", "zh", "en"),
    [
        (("--host", "0.0.0.0", "--development"), "开发模式不能监听 0.0.0.0", "does not listen on 0.0.0.0"),
        (("--host", "192.0.2.1"), "无法在 192.0.2.1", "Nothing can listen on 192.0.2.1"),
        (("--host", "no.such.host.invalid"), "无法在 no.such.host.invalid", "Nothing can listen on no.such.host.invalid"),
    ],
)
def test_where_it_cannot_listen_is_said(run: Run, city: str, options: tuple[str, ...], zh: str, en: str) -> None:
    for lang, said in (("zh", zh), ("en", en)):
        told = run("serve", "--db", city, "--port", "0", *options, "--lang", lang, status=2)
        assert said in told.replace("\n", " ")


def test_a_port_that_is_taken_is_said(run: Run, city: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert run("serve", "--db", city, "--port", other.getsockname()[1], status=2)["error"] == "CannotListen"
