"""The past over HTTP: histories taken in without what is personal, what-if and practice as jobs, a proposal put into a draft."""

from __future__ import annotations

import csv
import io
import json
import re
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import pytest
import shapely

from api.settings import Serving, of_environment
from api.store.setup import opened
from api.usecases import histories as kept_histories
from api.usecases import map_jobs, whatif
from api.usecases import practice as practising
from api.usecases.histories import Histories, HistoryNameTaken, TooManyHistories
from api.usecases.map_jobs import WarmStarts
from api.usecases.route_file import How, PointFile
from geodata import store
from geodata.drafts import Desk
from geodata.intake import Limits, Note
from geodata.layer import in_metres
from tests.api.live import Person, live, published, served, square
from tests.db.conftest import WORK_CRS, NewUrl
from tests.db.worlds import X, Y, city

RAW = {"Content-Type": "application/octet-stream"}
CHINESE = re.compile(r"[\u4e00-\u9fff]")
MAY = "2024-05-01T00:00:00+08:00"
NAME, PHONE = "赵钱孙", "13800138000"
FIELDS = {"category_field": "kind", "at_field": "when", "case_field": "no", "found_by_field": "finder", "recorded": "who"}


def now() -> datetime:
    return datetime.now(UTC)


def lonlat(x: Any, y: Any) -> Any:
    """Metres from the corner of u00."""
    return pyproj.Transformer.from_crs(WORK_CRS, 4326, always_xy=True).transform(np.asarray(x) + X, np.asarray(y) + Y)


def records(n: int = 600, seed: int = 3) -> pd.DataFrame:
    """Cases all over the city, one of them nowhere; and nine beside the line of u00 and u01, which su01 handled on nine days."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(100, 2900, (2, n))
    when = [datetime(2024, 1, 1, 8, tzinfo=UTC) + timedelta(hours=int(h)) for h in rng.integers(0, 8000, n)]
    grounds = {r.code: in_metres(r.ground) for r in city() if r.layer.value == "township"}
    codes, places = list(grounds), shapely.points(x + X, y + Y)
    who = [f"s{codes[int(np.argmin(shapely.distance(list(grounds.values()), p)))]}" for p in places]
    line = shapely.intersection(grounds["u00"], grounds["u01"])
    part = max(shapely.get_parts(shapely.line_merge(line)), key=lambda s: s.length)
    middle = shapely.line_interpolate_point(part, 0.5, normalized=True)
    inner = shapely.line_interpolate_point(shapely.shortest_line(middle, shapely.Point(X + 500, Y + 500)), 2.0)
    x, y = np.append(x, np.full(9, inner.x - X)), np.append(y, np.full(9, inner.y - Y))
    when += [datetime(2024, 3, 1, 10, tzinfo=UTC) + timedelta(days=d) for d in range(9)]
    lon, lat = lonlat(x, y)
    table = pd.DataFrame({"lon": lon, "lat": lat, "when": [w.isoformat() for w in when], "who": who + ["su01"] * 9})
    table["kind"] = rng.choice(["GB30428:0501", "GB30428:0504", ""], len(table))
    table["finder"], table["no"] = "su00", [f"A{k}" for k in range(len(table))]
    table["complainant"], table["phone"], table["text"] = NAME, PHONE, f"{NAME} 来电"
    table.loc[5, "lon"] = None
    return table


def as_csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False).encode()


def as_parquet(table: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    table.to_parquet(out)
    return out.getvalue()


def asked(who: Person, path: str, body: Any, **headers: str) -> dict[str, Any]:
    """A job, from the answer 202."""
    answer = who.http.post(path, json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/api/v1/jobs/{answer.json()['id']}"
    told: dict[str, Any] = answer.json()
    return told


def uploaded(who: Person, name: str, data: bytes, **params: Any) -> dict[str, Any]:
    answer = who.http.post("/api/v1/histories", params={"name": name, **params}, content=data, headers=RAW)
    assert answer.status_code == 202, answer.text
    told: dict[str, Any] = answer.json()
    return told


def ended(who: Person, job: dict[str, Any]) -> dict[str, Any]:
    while (told := who.get(f"/api/v1/jobs/{job['id']}"))["state"] in ("queued", "running"):
        time.sleep(0.005)
    return dict(told)


def done(who: Person, job: dict[str, Any]) -> dict[str, Any]:
    told = ended(who, job)
    assert told["state"] == "done", told
    return dict(told["result"])


def failed(who: Person, job: dict[str, Any]) -> dict[str, Any]:
    told = ended(who, job)
    assert (told["state"], told["result"]) == ("failed", None), told
    return dict(told["problem"])


def moving(who: Person, draft: str, x: float = 950, size: float = 100) -> None:
    edit = {"kind": "hand_over", "layer": "township", "piece": square(x, 950, size), "to": "u00"}
    who.post(f"/api/v1/drafts/{draft}/edits", {"edit": edit})


class Held:
    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """The worker, stopped at the first word of progress of the next job until it is let go."""
    made = Held()
    taken = kept_histories.read_table

    def waits(*args: Any) -> Any:
        made.begun.set()
        assert made.go.wait(20)
        return taken(*args)

    monkeypatch.setattr(kept_histories, "read_table", waits)
    yield made
    made.go.set()


# ---- histories -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [as_csv, as_parquet])
def test_of_past_cases_only_what_is_needed_is_kept(city_url: str, tmp_path: Path, form: Callable[[pd.DataFrame], bytes]) -> None:
    folder = tmp_path / "kept"
    with live(Serving(city_url, development=True, histories=str(folder))) as address:
        who = Person(address)
        told = done(who, uploaded(who, "去年", form(records()), **FIELDS))
        assert (told["name"], told["rows"], told["located"], told["by"]) == ("去年", 609, 608, "张三")
        assert told["columns"] == ["at", "case", "category", "found_by", "recorded"]
        assert told["since"] < told["until"] < "2025"
        assert {n["code"] for n in told["notes"]} >= {"assumed_datum"}
        assert "--" not in json.dumps(told["notes"])
        assert who.get("/api/v1/histories") == [told]
        assert str(folder) not in json.dumps(told)
        (place,) = folder.iterdir()
        assert {p.name for p in place.iterdir()} == {"cases.parquet", "about.json"}
        assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(place.stat().st_mode) == 0o700
        table = pq.read_table(place / "cases.parquet")
        assert set(table.column_names) == {"lon", "lat", "at", "case", "category", "found_by", "recorded"}
        for path in place.iterdir():
            assert NAME.encode() not in path.read_bytes()
        assert not {NAME, PHONE} & {str(v) for column in table.columns for v in column.to_pylist()}
    with live(Serving(city_url, development=True, histories=str(folder))) as address:  # a stated folder outlives the process
        who = Person(address)
        assert who.get("/api/v1/histories") == [told]
        assert who.http.delete(f"/api/v1/histories/{quote('去年')}").status_code == 204
        assert who.get("/api/v1/histories") == []
        assert list(folder.iterdir()) == []
        who.refused("DELETE", f"/api/v1/histories/{quote('去年')}", 404, "UnknownHistory")


def test_without_a_folder_they_go_with_the_process(city_url: str) -> None:
    def there() -> set[Path]:
        return set(Path(tempfile.gettempdir()).glob("jieguan-histories-*"))

    before = there()
    with live(city_url) as address:
        who = Person(address)
        done(who, uploaded(who, "a", as_csv(records(20)), **FIELDS))
        (folder,) = there() - before
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert there() - before == set()


def test_what_was_being_read_when_the_process_ended_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "0123456789abcdef0123456789abcdef").mkdir()
    (tmp_path / "0123456789abcdef0123456789abcdef" / "sent.csv").write_text(PHONE)
    (tmp_path / "photos").mkdir()
    of = Histories(tmp_path, most=2, limits=Limits())
    assert [p.name for p in tmp_path.iterdir()] == ["photos"]
    of.reserve("a")
    with pytest.raises(HistoryNameTaken):
        of.reserve("a")
    of.reserve("b")
    with pytest.raises(TooManyHistories, match="limit is 2"):
        of.reserve("c")
    of.give_up("a")
    of.reserve("c")
    assert of.all() == []


def test_names_are_taken_once_also_while_the_file_is_read(base: str, held: Held) -> None:
    who = Person(base)
    first = uploaded(who, "a", as_csv(records(20)))
    assert held.begun.wait(20)
    again = {"params": {"name": "a"}, "content": as_csv(records(20)), "headers": RAW}
    who.refused("POST", "/api/v1/histories", 409, "HistoryNameTaken", **again)
    who.refused("DELETE", "/api/v1/histories/a", 404, "UnknownHistory")
    assert who.get("/api/v1/histories") == []
    held.go.set()
    done(who, first)
    who.refused("POST", "/api/v1/histories", 409, "HistoryNameTaken", **again)


def test_a_cancelled_reading_leaves_the_name_free(base: str, held: Held) -> None:
    who = Person(base)
    first = uploaded(who, "a", as_csv(records(20)))
    second = uploaded(who, "b", as_csv(records(20)))
    assert held.begun.wait(20)
    asking = who.http.delete(f"/api/v1/jobs/{first['id']}").json()
    assert (asking["state"], asking["cancelling"]) == ("running", True)
    assert who.http.delete(f"/api/v1/jobs/{second['id']}").json()["state"] == "cancelled"
    held.go.set()
    assert ended(who, first)["state"] == "cancelled"
    for name in ("a", "b"):
        done(who, uploaded(who, name, as_csv(records(20))))
    who.refused("DELETE", f"/api/v1/jobs/{first['id']}", 409, "JobOver")


def test_only_so_many_jobs_wait_and_who_comes_later_is_told_when(city_url: str, held: Held) -> None:
    with live(Serving(city_url, development=True, queue=1)) as address:
        who = Person(address)
        uploaded(who, "a", as_csv(records(20)))
        assert held.begun.wait(20)
        uploaded(who, "b", as_csv(records(20)))
        more = {"params": {"name": "c"}, "content": as_csv(records(20)), "headers": RAW}
        who.refused("POST", "/api/v1/histories", 503, "JobsBusy", **more)
        assert who.http.post("/api/v1/histories", **more).headers["retry-after"]
        held.go.set()
        while any(job["state"] in ("queued", "running") for job in who.get("/api/v1/jobs")):
            time.sleep(0.005)
        uploaded(who, "c", as_csv(records(20)))  # the name was not used up


def shapes() -> bytes:
    """Lines, as GeoParquet."""
    lon, lat = lonlat([500, 1500], [500, 1500])
    lines = [shapely.LineString([(x, y), (x + 1e-4, y)]) for x, y in zip(lon, lat, strict=True)]
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB", "geometry_types": []}}}
    table = pa.table({"geometry": pa.array(shapely.to_wkb(lines)), "phone": [PHONE, PHONE]})
    out = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), out)
    return out.getvalue()


def test_places_come_as_columns_as_metres_or_as_geometry(base: str) -> None:
    who = Person(base)
    table = records(40)
    x, y = np.append(np.linspace(100, 2900, 48), np.nan), np.append(np.linspace(100, 2900, 48), np.nan)
    table["E"], table["N"] = x + X, y + Y
    there = done(who, uploaded(who, "metres", as_csv(table), x="E", y="N", crs=WORK_CRS))
    assert (there["rows"], there["located"]) == (49, 48)
    renamed = table.rename(columns={"lon": "经度", "lat": "纬度"})
    there = done(who, uploaded(who, "degrees", as_parquet(renamed), lon="经度", lat="纬度", datum="gcj02", error_m=30, at=MAY, crs=""))
    assert (there["located"], there["since"], there["until"]) == (48, "2024-04-30T16:00:00+00:00", "2024-04-30T16:00:00+00:00")
    there = done(who, uploaded(who, "lines", shapes()))
    assert (there["rows"], there["located"]) == (2, 2)
    draft = who.begin()
    moving(who, draft, 1400, 200)
    for name in ("metres", "degrees", "lines"):
        told = done(who, asked(who, f"/api/v1/drafts/{draft}/what-if", {"history": name}))
        assert told["cases"] == (2 if name == "lines" else 49)


def header(*names: str, rows: int = 1) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([names, *([["113.56", "34.78", "x"][: len(names)]] * rows)])
    return out.getvalue().encode()


def odd(**columns: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"lon": [113.56], "lat": [34.78], **columns}), out)
    return out.getvalue()


AT_ONCE: dict[str, tuple[dict[str, Any], bytes, int, str]] = {
    "no name": ({}, header("lon", "lat"), 422, "InvalidRequest"),
    "a path for a name": ({"name": "../a"}, header("lon", "lat"), 422, "InvalidRequest"),
    "a name that is a place": ({"name": ".."}, header("lon", "lat"), 422, "InvalidRequest"),
    "a hidden name": ({"name": "a\u202eb"}, header("lon", "lat"), 422, "HiddenInAddress"),
    "a GeoPackage": ({"name": "a"}, b"SQLite format 3\0" + b"\0" * 100, 422, "NotCases"),
    "a zip": ({"name": "a"}, b"PK\x03\x04" + b"\0" * 100, 422, "NotCases"),
    "a driver file": ({"name": "a"}, b"<OGRVRTDataSource/>", 422, "NotCases"),
    "GeoJSON": ({"name": "a"}, b'{"type": "FeatureCollection", "features": []}', 422, "NotCases"),
    "nothing": ({"name": "a"}, b"", 422, "NoFile"),
    "blanks": ({"name": "a"}, b"   \n ", 422, "NotCases"),
    "an error that is none": ({"name": "a", "error_m": "nan"}, header("lon", "lat"), 422, "InvalidRequest"),
    "an error below nothing": ({"name": "a", "error_m": "-1"}, header("lon", "lat"), 422, "InvalidRequest"),
    "a system as a definition": ({"name": "a", "crs": "+proj=longlat +nadgrids=/etc/passwd"}, header("lon", "lat"), 422, "InvalidRequest"),
    "an instant without a zone": ({"name": "a", "at": "2024-01-01T00:00:00"}, header("lon", "lat"), 422, "InvalidRequest"),
    "a parameter nobody knows": ({"name": "a", "phone": "tel"}, header("lon", "lat"), 422, "UnknownParameter"),
}
LATER: dict[str, tuple[dict[str, Any], bytes, str]] = {
    "no coordinates": ({}, header("a", "b"), "NoCoordinates"),
    "a column that is not there": ({"at_field": "when"}, header("lon", "lat"), "NoSuchField"),
    "no squad column": ({"recorded": "who"}, header("lon", "lat"), "NoSuchField"),
    "half a pair": ({"x": "lon"}, header("lon", "lat"), "HalfAPair"),
    "metres of no system": ({"x": "lon", "y": "lat"}, header("lon", "lat"), "NeedsCrs"),
    "a system that is none": ({"x": "lon", "y": "lat", "crs": "EPSG:1"}, header("lon", "lat"), "UnknownCrs"),
    "a datum that is none": ({"datum": "tokyo"}, header("lon", "lat"), "UnknownDatum"),
    "a zone that is none": ({"timezone": "Mars/Olympus"}, header("lon", "lat"), "UnknownZone"),
    "a zone that is a path": ({"timezone": "../../etc/passwd"}, header("lon", "lat"), "UnknownZone"),
    "axes exchanged": ({"lon": "lat", "lat": "lon"}, as_csv(records(20)), "LatLonSwapped"),
    "no place on the map": ({}, b"lon,lat\n0,0\n1,1\n,\n", "NothingLocated"),
    "no rows": ({}, b"lon,lat\n", "NoPoints"),
    "two columns of one name": ({}, b"lon,lat,lon\n113.5,34.7,1\n", "DuplicateColumn"),
    "half a Parquet file": ({}, as_parquet(records(20))[:-100], "UnreadableFile"),
    "no text": ({}, b"lon,lat\n\xff\xff\xff,1\n", "UnreadableFile"),
    "a list for a time": ({"at_field": "when"}, odd(when=[["a"]]), "NotPlainColumn"),
    "bytes for a category": ({"category_field": "kind"}, odd(kind=[b"\xff"]), "NotPlainColumn"),
    "a list for a place": ({"lon": "x"}, odd(x=[[113.5]]), "NotPlainColumn"),
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Person, Person, str]]:
    """A service with one history, its jobs and a draft, for those who only fail."""
    path = tmp_path_factory.mktemp("jobs") / "city.db"
    path.write_bytes(template.read_bytes())
    with live(Serving(str(path), development=True, keep_jobs=1000)) as address:
        who = Person(address)
        done(who, uploaded(who, "old", as_csv(records(50)), **FIELDS))
        yield who, Person(address, lang="en"), who.begin()


def state(who: Person, draft: str) -> Any:
    return who.get("/api/v1/histories"), who.get(f"/api/v1/drafts/{draft}"), who.get(f"/api/v1/drafts/{draft}/layers/agreement")["features"]


@pytest.mark.parametrize("case", AT_ONCE)
def test_what_is_seen_at_once_is_refused_at_once(bench: tuple[Person, Person, str], case: str) -> None:
    who, english, draft = bench
    params, data, status, problem = AT_ONCE[case]
    before, jobs = state(who, draft), who.get("/api/v1/jobs")
    sent = {"params": params, "content": data, "headers": RAW}
    told = who.refused("POST", "/api/v1/histories", status, problem, **sent)
    assert CHINESE.search(told["detail"])
    assert english.refused("POST", "/api/v1/histories", status, problem, **sent)["title"] != told["title"]
    assert (state(who, draft), who.get("/api/v1/jobs")) == (before, jobs)


@pytest.mark.parametrize("case", LATER)
def test_what_is_seen_by_reading_is_the_problem_of_the_job(bench: tuple[Person, Person, str], case: str) -> None:
    who, english, draft = bench
    params, data, problem = LATER[case]
    before = state(who, draft)
    job = uploaded(who, "new", data, **params)
    told, other = failed(who, job), english.get(f"/api/v1/jobs/{job['id']}")["problem"]
    assert told["status"] == 422
    assert told["type"].rpartition(":")[2] == problem
    assert CHINESE.search(told["title"])
    assert other["title"] == "Bad input"
    assert not re.search(r"--[a-z]", told["detail"] + other["detail"]), told["detail"]
    assert not re.search(r"[0-9a-f]{32}|sent\.", json.dumps([told, other]))  # no path of ours
    assert state(who, draft) == before


def test_too_many_histories_are_refused(city_url: str) -> None:
    with live(Serving(city_url, development=True, keep_histories=1, history_rows=10)) as address:
        who = Person(address)
        assert failed(who, uploaded(who, "a", as_csv(records(20))))["type"].endswith("TooBig")
        done(who, uploaded(who, "a", as_csv(records(1))))
        sent = {"params": {"name": "b"}, "content": as_csv(records(1)), "headers": RAW}
        who.refused("POST", "/api/v1/histories", 409, "TooManyHistories", **sent)


def test_without_a_map_in_force_nothing_is_taken_in(new_url: NewUrl) -> None:
    with live(new_url(initialised=True)) as address:
        who = Person(address)
        sent = {"params": {"name": "b"}, "content": as_csv(records(1)), "headers": RAW}
        who.refused("POST", "/api/v1/histories", 404, "NothingInForce", **sent)


# ---- what-if ---------------------------------------------------------------------------------------------------------


def directly(url: str, draft: str, source: PointFile, how: How) -> whatif.WhatIf:
    """As the command line does it, on the file itself."""
    with opened(url) as db:
        working = Desk(db).open(draft)
        with db.reading() as session:
            before = store.read_version(session, store.in_force(session, now()).version).map
        return whatif.whatif(before, store.version_of(working.now.features(), working.settings).map, source, how, now)


def source_of(path: Path, data: bytes) -> PointFile:
    path.write_bytes(data)
    fields = {name: column for name, column in FIELDS.items() if name != "recorded"}
    return PointFile(str(path), **fields)


def test_what_if_over_http_is_what_if_on_either_database(new_url: NewUrl, tmp_path: Path) -> None:
    url = new_url(initialised=True)
    published(url)
    data = as_csv(records())
    with live(url) as address:
        who = Person(address)
        version = who.get("/api/v1/in-force")["version"]
        done(who, uploaded(who, "去年", data, **FIELDS))
        draft = who.begin()
        moving(who, draft, size=400)
        job = asked(who, f"/api/v1/drafts/{draft}/what-if", {"history": "去年", "revision": 1})
        told = done(who, job)
        zone = asked(who, f"/api/v1/drafts/{draft}/what-if", {"history": "去年", "zone_m": 60.0, "margin_cap_m": 50.0})
        wide = done(who, zone)
        pages, offset = [], 0
        while offset is not None:
            page = who.get(f"/api/v1/jobs/{job['id']}/moved", limit=7, offset=offset)
            assert page["total"] == page["listed"] == told["moved"]
            pages += page["moved"]
            offset = page["next_offset"]
    found = directly(url, draft, source_of(tmp_path / "cases.csv", data), How())
    expected = json.loads(json.dumps(whatif.as_json(found)))
    head = {name: told.pop(name) for name in ("draft", "revision", "history", "in_force", "notes")}
    assert head == {"draft": draft, "revision": 1, "history": "去年", "in_force": version, "notes": head["notes"]}
    assert told == expected
    assert told["moved"] > 7
    moved, squads = found.found.moved, found.found.squads
    assert [p["row"] for p in pages] == [r + 1 for r in moved.rows.tolist()]
    assert [(p["squad_before"], p["squad_after"]) for p in pages] == [
        (squads[a], squads[b]) for a, b in zip(moved.squad_before.tolist(), moved.squad_after.tolist(), strict=True)
    ]
    table = records()
    assert [(p["lon"], p["lat"]) for p in pages] == [
        (pytest.approx(table.lon[p["row"] - 1], abs=1e-6), pytest.approx(table.lat[p["row"] - 1], abs=1e-6)) for p in pages
    ]
    assert {p["step_after"] for p in pages} <= {"own_ground", "border"}
    other = directly(url, draft, source_of(tmp_path / "cases.csv", data), How(60.0, 50.0))
    assert json.loads(json.dumps(whatif.as_json(other))) == {k: v for k, v in wide.items() if k not in head}
    assert wide["strips"] != told["strips"]


def test_the_report_has_all_that_a_planner_asks(zhang: Person) -> None:
    done(zhang, uploaded(zhang, "a", as_csv(records()), **FIELDS))
    draft = zhang.begin()
    moving(zhang, draft, size=400)
    office = {"kind": "put_row", "layer": "squad", "properties": {"code": "su00", "duty": True, "office": list(lonlat(500, 500))}}
    zhang.post(f"/api/v1/drafts/{draft}/edits", {"edit": office})
    told = done(zhang, asked(zhang, f"/api/v1/drafts/{draft}/what-if", {"history": "a"}))
    assert sum(s["led_before"] for s in told["squads"]) == sum(s["led_after"] for s in told["squads"]) == told["cases"] == 609
    changed = {s["squad"] for s in told["squads"] if s["led_before"] != s["led_after"]}
    assert changed == {f["from"] for f in told["flows"]} | {f["to"] for f in told["flows"]}
    assert sum(f["cases"] for f in told["flows"]) == sum(s["cases"] for s in told["steps"]) == told["moved"] > 0
    assert any(s["new_m2"] > 0 for s in told["strips"])
    assert any(s["gone_m2"] > 0 for s in told["strips"])
    assert told["doubtful"]["share_before"] == told["doubtful"]["before"] / 609
    assert told["gap_m2"].keys() == told["overlap_m2"].keys() == {"before", "after"}
    assert told["way"]["before_m"] > 0
    assert told["way"]["cases_after"] > 0


def test_progress_only_grows_and_the_job_is_told_in_either_language(zhang: Person, base: str) -> None:
    done(zhang, uploaded(zhang, "a", as_csv(records()), **FIELDS))
    draft = zhang.begin()
    moving(zhang, draft)
    job = asked(zhang, f"/api/v1/drafts/{draft}/what-if", {"history": "a"})
    assert (job["kind"], job["by"], job["about"]) == ("what_if", "张三", {"draft": draft, "revision": 1, "history": "a"})
    seen = [job]
    while seen[-1]["state"] in ("queued", "running"):
        seen.append(zhang.get(f"/api/v1/jobs/{job['id']}"))
    shares = [told["progress"] for told in seen]
    assert shares == sorted(shares)
    assert (seen[-1]["state"], shares[-1]) == ("done", 1.0)
    assert seen[-1]["stage_name"] == "派单"
    assert Person(base, lang="en").get(f"/api/v1/jobs/{job['id']}")["stage_name"] == "routing"
    heads = zhang.get("/api/v1/jobs")
    assert heads[0]["id"] == job["id"]
    assert all("result" not in h for h in heads)
    assert seen[-1]["created_at"] <= seen[-1]["started_at"] <= seen[-1]["finished_at"]


def test_the_next_what_if_of_a_changed_draft_routes_only_what_changed(zhang: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    start = whatif.warm_start

    def counted(*args: Any, **more: Any) -> Any:
        made.append(start(*args, **more))
        return made[-1]

    monkeypatch.setattr(whatif, "warm_start", counted)
    done(zhang, uploaded(zhang, "a", as_csv(records()), **FIELDS))
    draft, results = zhang.begin(), []
    for x in (950, 1400):
        moving(zhang, draft, x)
        results.append(done(zhang, asked(zhang, f"/api/v1/drafts/{draft}/what-if", {"history": "a"})))
    assert len(made) == 1
    assert [r["scope"] for r in results] == ["part", "part"]
    assert results[0] != results[1]
    done(zhang, asked(zhang, f"/api/v1/drafts/{draft}/what-if", {"history": "a", "zone_m": 40.0}))
    assert len(made) == 2
    done(zhang, uploaded(zhang, "same rows, other datum", as_csv(records()), **FIELDS, datum="gcj02"))
    other = done(zhang, asked(zhang, f"/api/v1/drafts/{draft}/what-if", {"history": "same rows, other datum"}))
    assert len(made) == 3
    assert other["squads"] != results[1]["squads"]


def test_warm_starts_are_few_and_go_with_their_history() -> None:
    def warm(*codes: str) -> Any:
        return whatif.Warm(None, None, tuple(Note(code, {"at": "-"}) for code in codes))  # type: ignore[arg-type]

    def never() -> Any:
        raise AssertionError

    of = WarmStarts(2)
    made = [of.of((seal, 0), warm) for seal in "abc"]
    assert [of.of((seal, 0), never) for seal in "bc"] == made[1:]
    assert of.of(("a", 0), warm) is not made[0]
    of.forget("a")
    assert of.of(("a", 1), warm) is not None
    assert of.of(("c", 0), never) is made[2]
    of.forget("c")
    with pytest.raises(AssertionError):
        of.of(("c", 0), never)
    of.of(("d", 0), lambda: warm("assumed_now"))
    with pytest.raises(AssertionError):  # its instant would grow old
        of.of(("d", 0), never)


def test_a_deleted_history_is_not_kept_warm(zhang: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[WarmStarts] = []
    forget = WarmStarts.forget
    monkeypatch.setattr(WarmStarts, "forget", lambda self, seal: (made.append(self), forget(self, seal))[1])
    draft = zhang.begin()
    done(zhang, uploaded(zhang, "a", as_csv(records(20)), **FIELDS))
    done(zhang, asked(zhang, f"/api/v1/drafts/{draft}/what-if", {"history": "a"}))
    zhang.http.delete("/api/v1/histories/a")
    assert made[0]._kept == {}
    start = whatif.warm_start

    def deleted(*args: Any, **more: Any) -> Any:
        warm = start(*args, **more)
        assert zhang.http.delete("/api/v1/histories/b").status_code == 204
        return warm

    monkeypatch.setattr(whatif, "warm_start", deleted)
    done(zhang, uploaded(zhang, "b", as_csv(records(20)), **FIELDS))
    assert failed(zhang, asked(zhang, f"/api/v1/drafts/{draft}/what-if", {"history": "b"}))["type"].endswith("UnknownHistory")
    assert made[0]._kept == {}


def test_only_so_many_moved_cases_are_listed_and_all_are_counted(zhang: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_jobs, "MOST_MOVED", 2)
    done(zhang, uploaded(zhang, "a", as_csv(records()), **FIELDS))
    draft = zhang.begin()
    moving(zhang, draft, size=400)
    job = asked(zhang, f"/api/v1/drafts/{draft}/what-if", {"history": "a"})
    moved = done(zhang, job)["moved"]
    page = zhang.get(f"/api/v1/jobs/{job['id']}/moved")
    assert (page["total"], page["listed"], len(page["moved"]), page["next_offset"]) == (moved, 2, 2, None)
    assert moved > 2
    assert zhang.get(f"/api/v1/jobs/{job['id']}/moved", offset=5)["moved"] == []


def test_what_was_published_meanwhile_is_what_the_next_is_measured_against(zhang: Person, base: str) -> None:
    done(zhang, uploaded(zhang, "a", as_csv(records()), **FIELDS))
    mine, first = zhang.begin(), zhang.begin()
    moving(zhang, mine)
    moving(zhang, first, 1400, 400)
    before = done(zhang, asked(zhang, f"/api/v1/drafts/{mine}/what-if", {"history": "a"}))
    Person(base, "李四").post(f"/api/v1/drafts/{first}/signatures", {"side": "all", "role": "superior", "document": "3号文"})
    version = zhang.post(f"/api/v1/drafts/{first}/publish", {"reason": "改界"})["version"]
    after = done(zhang, asked(zhang, f"/api/v1/drafts/{mine}/what-if", {"history": "a"}))
    assert before["in_force"] != after["in_force"] == version
    assert before["map_after"] == after["map_after"]
    assert after["moved"] > before["moved"]


def test_a_what_if_is_of_the_draft_that_its_author_saw(zhang: Person, base: str) -> None:
    done(zhang, uploaded(zhang, "a", as_csv(records(50)), **FIELDS))
    draft = zhang.begin()
    moving(zhang, draft)
    path = f"/api/v1/drafts/{draft}/what-if"
    for how in ({"json": {"history": "a", "revision": 0}}, {"json": {"history": "a"}, "headers": {"If-Match": '"0"'}}):
        told = zhang.refused("POST", path, 409, "EditConflict", **how)
        assert [e["seq"] for e in told["facts"]["between"]] == [1]
    done(zhang, asked(zhang, path, {"history": "a"}, **{"If-Match": '"1"'}))


def test_a_history_that_went_while_its_job_waited_is_the_problem_of_the_job(base: str, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    who = Person(base)
    held.go.set()
    done(who, uploaded(who, "a", as_csv(records(50)), **FIELDS))
    held.go.clear()
    held.begun.clear()
    blocking = uploaded(who, "b", as_csv(records(20)))
    assert held.begun.wait(20)
    draft = who.begin()
    waiting = [asked(who, f"/api/v1/drafts/{draft}/what-if", {"history": "a"}), asked(who, "/api/v1/practice", {"history": "a"})]
    assert [job["state"] for job in waiting] == ["queued", "queued"]
    assert who.http.delete("/api/v1/histories/a").status_code == 204
    held.go.set()
    done(who, blocking)
    for job in waiting:
        told = failed(who, job)
        assert (told["status"], told["type"].rpartition(":")[2]) == (404, "UnknownHistory")


def test_a_running_what_if_is_cancelled(zhang: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    done(zhang, uploaded(zhang, "a", as_csv(records(50)), **FIELDS))
    begun, go = threading.Event(), threading.Event()
    start = whatif.warm_start

    def waits(*args: Any, **more: Any) -> Any:
        begun.set()
        assert go.wait(20)
        return start(*args, **more)

    monkeypatch.setattr(whatif, "warm_start", waits)
    draft = zhang.begin()
    job = asked(zhang, f"/api/v1/drafts/{draft}/what-if", {"history": "a"})
    assert begun.wait(20)
    zhang.refused("GET", f"/api/v1/jobs/{job['id']}/moved", 409, "JobNotDone")
    assert zhang.http.delete(f"/api/v1/jobs/{job['id']}").json()["cancelling"]
    go.set()
    told = ended(zhang, job)
    assert (told["state"], told["result"], told["problem"]) == ("cancelled", None, None)
    assert told["progress"] < 1
    zhang.refused("GET", f"/api/v1/jobs/{job['id']}/moved", 409, "JobNotDone")


def test_a_fault_of_ours_is_a_problem_that_says_nothing(zhang: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    done(zhang, uploaded(zhang, "a", as_csv(records(20)), **FIELDS))

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError(PHONE)

    monkeypatch.setattr(whatif, "ask", broken)
    told = failed(zhang, asked(zhang, f"/api/v1/drafts/{zhang.begin()}/what-if", {"history": "a"}))
    assert (told["status"], told["type"].rpartition(":")[2]) == (500, "JobBroke")
    assert PHONE not in json.dumps(told)


def test_jobs_end_with_the_service_and_are_forgotten(city_url: str, held: Held) -> None:
    before = set(threading.enumerate())
    with live(city_url) as address:
        who = Person(address)
        job = uploaded(who, "a", as_csv(records(20)))
        assert [t.name for t in set(threading.enumerate()) - before].count("jieguan-jobs") == 1
        assert held.begun.wait(20)
        uploaded(who, "b", as_csv(records(20)))
        threading.Timer(0.2, held.go.set).start()
    assert "jieguan-jobs" not in {t.name for t in set(threading.enumerate()) - before}
    with live(city_url) as address:
        told = Person(address).refused("GET", f"/api/v1/jobs/{job['id']}", 404, "UnknownJob")
        assert "重启" in told["detail"]


# ---- practice --------------------------------------------------------------------------------------------------------


def test_practice_proposes_and_a_document_makes_an_agreement(new_url: NewUrl, tmp_path: Path) -> None:
    url = new_url(initialised=True)
    published(url)
    data = as_csv(records())
    with live(url) as address:
        who, li = Person(address), Person(address, "李四")
        done(who, uploaded(who, "a", data, **FIELDS))
        job = asked(who, "/api/v1/practice", {"history": "a"})
        told = done(who, job)
        (proposal,) = told["proposals"]
        assert (proposal["n"], proposal["ground_of"], proposal["lead"], proposal["cases"]) == (0, "su00", "su01", 9)
        assert (proposal["first"], proposal["last"]) == ("2024-03-01", "2024-03-09")
        draft = who.begin()
        path = f"/api/v1/drafts/{draft}/practice/{job['id']}"
        for body in ({}, {"document": ""}, {"document": "  "}, {"document": None}):
            who.refused("POST", f"{path}/0", 422, "InvalidRequest", json=body)
        who.refused("POST", f"{path}/1", 404, "NoSuchProposal", json={"document": "3号文"})
        assert who.get(f"/api/v1/drafts/{draft}")["revision"] == 0
        standing = who.http.post(f"{path}/0", json={"document": "3号文", "seen": 0})
        assert standing.status_code == 201, standing.text
        assert standing.headers["etag"] == '"1"'
        (entry,) = standing.json()["log"]
        assert (entry["kind"], entry["author"]) == ("put_row", "张三")
        assert entry["note"] == "9/9 su00 → su01, 2024-03-01 … 2024-03-09"
        (row,) = who.get(f"/api/v1/drafts/{draft}/layers/agreement")["features"]
        assert (row["properties"]["document"], row["properties"]["lead"], row["properties"]["rule"]) == ("3号文", "su01", "whole")
        assert f"agreement:{row['properties']['code']}" == proposal["agreement"]
        assert set(standing.json()["sides"]) == {"su00", "su01"}
        who.refused("POST", f"{path}/0", 409, "CodeTaken", json={"document": "4号文"})
        where = {"lon": proposal["lon"], "lat": proposal["lat"]}
        before = who.post("/api/v1/route", where, 200)["decision"]
        li.post(f"/api/v1/drafts/{draft}/signatures", {"side": "all", "role": "superior", "document": "3号文"})
        who.post(f"/api/v1/drafts/{draft}/publish", {"reason": "协议"})
        after = who.post("/api/v1/route", where, 200)["decision"]
        assert before["step"] != "agreed"
        assert (after["step"], after["squad"]) == ("agreed", "su01")
        who.refused("POST", f"{path}/0", 409, "DraftClosed", json={"document": "5号文"})
    source = source_of(tmp_path / "cases.csv", data)
    with opened(url) as db, db.reading() as session:
        on = store.read_version(session, told["in_force"]).map
    expected = json.loads(json.dumps(practising.practice(on, source, "who", now=now).json()))
    got = {k: v for k, v in told.items() if k not in ("history", "in_force", "notes")}
    got["proposals"] = [{k: v for k, v in p.items() if k != "n"} for p in got["proposals"]]
    assert got == expected


def test_practice_since_a_day_leaves_out_what_was_before(zhang: Person) -> None:
    done(zhang, uploaded(zhang, "a", as_csv(records()), **FIELDS))
    told = done(zhang, asked(zhang, "/api/v1/practice", {"history": "a", "since": "2024-03-06T00:00:00+08:00"}))
    assert told["left_out"]["other_period"] > 0
    assert told["proposals"] == []
    assert told["watch"][0]["cases"] < 9
    assert date.fromisoformat(told["watch"][0]["first"]) >= date(2024, 3, 6)


# ---- what none of them takes -----------------------------------------------------------------------------------------

ASKED: dict[str, tuple[str, str, Any, int, str]] = {
    "what-if on no history": ("POST", "/api/v1/drafts/DRAFT/what-if", {"history": "none"}, 404, "UnknownHistory"),
    "what-if of no draft": ("POST", "/api/v1/drafts/none/what-if", {"history": "old"}, 404, "UnknownDraft"),
    "what-if on nothing": ("POST", "/api/v1/drafts/DRAFT/what-if", {}, 422, "WhichCases"),
    "what-if of a revision to come": ("POST", "/api/v1/drafts/DRAFT/what-if", {"history": "old", "revision": 9}, 409, "EditConflict"),
    "what-if of no revision": ("POST", "/api/v1/drafts/DRAFT/what-if", {"history": "old", "revision": "1"}, 422, "InvalidRequest"),
    "what-if with a zone below nothing": ("POST", "/api/v1/drafts/DRAFT/what-if", {"history": "old", "zone_m": -1}, 422, "InvalidRequest"),
    "what-if with a zone of everything": ("POST", "/api/v1/drafts/DRAFT/what-if", {"history": "old", "zone_m": 1e9}, 422, "InvalidRequest"),
    "what-if with more": ("POST", "/api/v1/drafts/DRAFT/what-if", {"history": "old", "phone": PHONE}, 422, "InvalidRequest"),
    "a path for a history": ("POST", "/api/v1/drafts/DRAFT/what-if", {"history": "../../etc"}, 422, "InvalidRequest"),
    "practice of no history": ("POST", "/api/v1/practice", {"history": "none"}, 404, "UnknownHistory"),
    "practice since some time": ("POST", "/api/v1/practice", {"history": "old", "since": "2024-01-01"}, 422, "InvalidRequest"),
    "a proposal of no job": ("POST", "/api/v1/drafts/DRAFT/practice/none/0", {"document": "3"}, 404, "UnknownJob"),
    "a proposal of another job": ("POST", "/api/v1/drafts/DRAFT/practice/JOB/0", {"document": "3"}, 409, "JobOfOtherKind"),
    "a proposal by no number": ("POST", "/api/v1/drafts/DRAFT/practice/JOB/x", {"document": "3"}, 422, "InvalidRequest"),
    "a proposal below the first": ("POST", "/api/v1/drafts/DRAFT/practice/JOB/-1", {"document": "3"}, 422, "InvalidRequest"),
    "no job": ("GET", "/api/v1/jobs/none", None, 404, "UnknownJob"),
    "no job to cancel": ("DELETE", "/api/v1/jobs/none", None, 404, "UnknownJob"),
    "a job that is over": ("DELETE", "/api/v1/jobs/JOB", None, 409, "JobOver"),
    "the moved cases of no job": ("GET", "/api/v1/jobs/none/moved", None, 404, "UnknownJob"),
    "the moved cases of another job": ("GET", "/api/v1/jobs/JOB/moved", None, 409, "JobOfOtherKind"),
    "a page beyond bounds": ("GET", "/api/v1/jobs/JOB/moved?limit=1000000", None, 422, "InvalidRequest"),
    "no history to forget": ("DELETE", "/api/v1/histories/none", None, 404, "UnknownHistory"),
}


@pytest.mark.parametrize("case", ASKED)
def test_what_cannot_be_asked_is_said_and_nothing_changes(bench: tuple[Person, Person, str], case: str) -> None:
    who, english, draft = bench
    method, path, body, status, problem = ASKED[case]
    jobs = who.get("/api/v1/jobs")
    first = next(job["id"] for job in jobs if job["kind"] == "history")
    path = path.replace("DRAFT", draft).replace("JOB", first)
    before = state(who, draft)
    sent = {} if body is None else {"json": body}
    told = who.refused(method, path, status, problem, **sent)
    assert CHINESE.search(told["detail"])
    assert english.refused(method, path, status, problem, **sent)["title"] != told["title"]
    assert PHONE not in json.dumps(told)
    assert (state(who, draft), who.get("/api/v1/jobs")) == (before, jobs)


def test_practice_needs_to_know_who_and_when(zhang: Person) -> None:
    done(zhang, uploaded(zhang, "nobody", as_csv(records(20)), at_field="when"))
    done(zhang, uploaded(zhang, "never", as_csv(records(20)), recorded="who"))
    done(zhang, uploaded(zhang, "strangers", as_csv(records(20)), recorded="complainant", at_field="when"))
    zhang.refused("POST", "/api/v1/practice", 422, "NoRecorded", json={"history": "nobody"})
    told = zhang.refused("POST", "/api/v1/practice", 422, "NoTimes", json={"history": "never"})
    assert "at_field" in told["detail"]
    assert "--" not in told["detail"]
    problem = failed(zhang, asked(zhang, "/api/v1/practice", {"history": "strangers"}))
    assert problem["type"].endswith("NoKnownSquad")
    assert tempfile.gettempdir() not in json.dumps(problem)


def test_without_a_login_nobody_asks(city_url: str) -> None:
    with live(city_url, development=False) as address:
        who = Person(address)
        for method, path, body in (
            ("POST", "/api/v1/drafts/x/what-if", {"history": "a"}),
            ("POST", "/api/v1/practice", {"history": "a"}),
            ("POST", "/api/v1/drafts/x/practice/y/0", {"document": "a"}),
            ("DELETE", "/api/v1/jobs/x", None),
            ("DELETE", "/api/v1/histories/x", None),
        ):
            who.refused(method, path, 401, "NotLoggedIn", **({} if body is None else {"json": body}))
        for path in ("jobs", "histories"):
            who.refused("GET", f"/api/v1/{path}", 401, "NotLoggedIn")


def test_openapi_has_examples_of_every_question_and_job(reading: str) -> None:
    paths = Person(reading).get("/api/openapi.json")["paths"]
    for path in ("/drafts/{draft}/what-if", "/practice", "/drafts/{draft}/practice/{job}/{n}"):
        post = paths[f"/api/v1{path}"]["post"]
        assert post["requestBody"]["content"]["application/json"]["examples"]
    for path in ("/drafts/{draft}/what-if", "/practice", "/histories"):
        assert paths[f"/api/v1{path}"]["post"]["responses"]["202"]["content"]["application/json"]["examples"]
    assert set(paths["/api/v1/jobs/{job}"]["get"]["responses"]["200"]["content"]["application/json"]["examples"]) == {"running", "failed"}
    for path in ("/histories", "/drafts/{draft}/uploads"):
        content = paths[f"/api/v1{path}"]["post"]["requestBody"]["content"]
        assert set(content) == {"application/octet-stream", "multipart/form-data"}
    for path in ("/versions/{version}/export", "/drafts/{draft}/export"):
        assert "application/geo+json" in paths[f"/api/v1{path}"]["get"]["responses"]["200"]["content"]
    given = {p["name"] for p in paths["/api/v1/histories"]["post"]["parameters"] if p["in"] == "query"}
    assert given == {"name", "recorded", *(f for f in PointFile.__slots__ if f != "points")}


def test_the_environment_names_the_folder_of_histories(tmp_path: Path) -> None:
    assert of_environment({"JIEGUAN_HISTORIES": str(tmp_path)}).histories == str(tmp_path)
    assert of_environment({"JIEGUAN_HISTORIES": ""}).histories is None


@pytest.mark.slow
def test_of_several_processes_none_keeps_jobs(new_embedded: NewUrl) -> None:
    with served(new_embedded(initialised=True), "--workers", "2", "--development") as address:
        for path in ("jobs", "histories"):
            answer = httpx.get(f"{address}/api/v1/{path}", headers={"Accept-Language": "en"}, timeout=60)
            assert (answer.status_code, answer.json()["type"]) == (501, "urn:jieguan:problem:OneProcess")
            assert "--workers 1" in answer.json()["detail"]
