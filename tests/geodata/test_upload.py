"""Uploads: what a file can do to us (nothing), what it says, and what becomes of it in a draft."""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely

from api.problems import status_of
from api.usecases.layers_inout import (
    NotOfThisDraft,
    OpenErrors,
    RebasedSince,
    export_map,
    plan_import,
    publish_plan,
    upload,
)
from geodata import child, store
from geodata.build import MapFiles
from geodata.child import FENCE, Fence, UploadBroke, UploadOutgrew, UploadTooBig, UploadTooSlow
from geodata.crs import geometries_from_work, parse_crs, system
from geodata.db import open_database
from geodata.db.schema import initialise
from geodata.drafts import Desk, EditConflict
from geodata.edits import Draft, HandOver, WouldOpen, drafted, rings_of
from geodata.exporting import About, blank_facts, export
from geodata.intake import MissingFile, NotAFile, NotWhatItSays, TooManyVertices, UnknownFormat, UnreadableFile
from geodata.intake_gdal import pyogrio
from geodata.intake_zip import UnsafeZip
from geodata.layer import LayerName, Row, in_metres, on_grid
from geodata.store import Signing
from geodata.upload import read_upload, refusal_named, shown_name
from geodata.upload_edits import (
    BothClaim,
    Outcome,
    tried,
    wishes_of,
)
from geodata.upload_rows import Read, WhichLayer, rows_in
from routing.errors import JieguanError
from tests.db.worlds import SETTINGS, city, placed
from tests.geodata.test_exporting import world

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
ABOUT = About("f" * 64, NOW)
SECRET = "hunter2-the-secret-of-another-file"
VRT = (
    "<OGRVRTDataSource><OGRVRTLayer name='s'><SrcDataSource relativeToVRT='0'>{}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
)
GML = (
    "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file://{}'>]><wfs:FeatureCollection xmlns:wfs='http://www.opengis.net/wfs'>"
    "&e;</wfs:FeatureCollection>"
)


BOUNDED = Fence(memory=400 << 20, cpu_s=20)
"""Some 60 MiB beyond what the libraries take before the file is looked at, and a time in which no bomb would be done."""


def refused(read: Callable[[], object], *kinds: type[JieguanError]) -> JieguanError:
    """The refusal, in both languages, as bad input or as too much of it, with nothing of the secret and no path of ours in it."""
    with pytest.raises(kinds or JieguanError) as caught:
        read()
    assert status_of(caught.value) in (413, 422)
    for lang in ("zh-CN", "en"):
        said = caught.value.text(lang)
        assert SECRET not in said
        assert "/tmp" not in said.replace("/tmp/pytest", "")
        assert "jieguan-upload" not in said
    return caught.value


def geojson(path: Path, features: list[tuple[Any, dict[str, Any]]], **members: Any) -> Path:
    made = [
        {"type": "Feature", "properties": p, "geometry": g if g is None or isinstance(g, dict) else json.loads(shapely.to_geojson(g))}
        for g, p in features
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": made, **members}, ensure_ascii=False))
    return path


def degrees(shape: Any) -> Any:
    """Metres from the corner of u00 -> lon, lat."""
    shapes = np.array([placed(shape)], object)
    return geometries_from_work(shapes, system("EPSG:4326", None), parse_crs("EPSG:4547"))[0]


# ---- P10: a file that points at another -----------------------------------------------------------------------------


@pytest.fixture
def listening() -> Iterator[tuple[int, list[str]]]:
    """A server on this machine, and who connected to it."""
    import threading

    server = socket.create_server(("127.0.0.1", 0))
    came: list[str] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            came.append("connected")
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()[1], came
    server.close()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("b.geojson", VRT),
        ("b.json", json.dumps({"type": "FeatureCollection", "features": [], "crs": {"type": "link", "properties": {"href": "{}"}}})),
        ("b.csv", VRT),
        ("b.gpkg", VRT),
        ("b.zip", VRT),
        ("b.vrt", VRT),
        ("b.gml", GML),
        ("b.json", GML),
        ("b.geojson", "{}"),
    ],
)
@pytest.mark.parametrize("target", ["file", "network"])
def test_p10_no_file_leads_to_another_file_or_the_network(
    tmp_path: Path, name: str, text: str, target: str, listening: tuple[int, list[str]]
) -> None:
    (tmp_path / "secret.csv").write_text(f"id,word\n1,{SECRET}\n")
    port, came = listening
    goal = str(tmp_path / "secret.csv") if target == "file" else f"/vsicurl/http://127.0.0.1:{port}/a.csv"
    path = tmp_path / name
    path.write_text(text.replace("{}", goal))
    error = refused(lambda: read_upload(path), NotWhatItSays, UnknownFormat, UnreadableFile)
    assert name in str(error)
    assert not came


def test_p10_a_vrt_inside_a_zip_is_no_shapefile(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text(f"id,word\n1,{SECRET}\n")
    vrt = VRT.format(tmp_path / "secret.csv")
    for inside in (["a.geojson", "b.vrt"], ["a.shp", "a.shx", "a.dbf"]):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for name in inside:
                archive.writestr(name, vrt)
        refused(lambda: read_upload(tmp_path / "a.zip"))


def test_p10_a_coordinate_system_that_names_a_grid_file_is_refused(tmp_path: Path) -> None:
    crs = {"type": "name", "properties": {"name": "+proj=longlat +ellps=GRS80 +nadgrids=/etc/passwd"}}
    path = geojson(tmp_path / "a.geojson", [(shapely.Point(1, 1), {"code": "x"})], crs=crs)
    error = refused(lambda: read_upload(path), child.CrsNamesFile)
    assert "EPSG" in error.text("zh-CN")


# ---- P11: archives --------------------------------------------------------------------------------------------------

Parts = dict[str, bytes]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """The parts of an honest shapefile."""
    path = tmp_path_factory.mktemp("shapefile") / "a.zip"
    export(city(2), SETTINGS, path, ABOUT, layer=LayerName.TOWNSHIP)
    with zipfile.ZipFile(path) as archive:
        return {f"a{Path(name).suffix}": archive.read(name) for name in archive.namelist() if name.startswith("township.")}


def packed(path: Path, parts: Parts, *more: tuple[str, bytes], mode: int = 0o644, level: int | None = None) -> None:
    """The parts and some entries more, in an order of their own."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if level else zipfile.ZIP_STORED, compresslevel=level) as archive:
        for name, data in (*parts.items(), *more):
            info = zipfile.ZipInfo(name)
            info.compress_type = archive.compression
            info.external_attr = mode << 16
            archive.writestr(info, data)


def adding(*names: str, data: bytes = b"x", **how: Any) -> Callable[[Path, Parts], None]:
    return lambda path, parts: packed(path, parts, *((name, data) for name in names), **how)


def bomb(path: Path, parts: Parts, mib: int = 200) -> None:
    """A layer of zeros, a thousand to one: more than may be unpacked."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
        with archive.open("b.shp", "w") as part:
            for _ in range(mib):
                part.write(bytes(1 << 20))


def spread(path: Path, parts: Parts) -> None:
    """As much, in entries that are each too small for a bomb."""
    packed(path, parts, *((f"{n}.shp", bytes(60 << 20)) for n in range(3)), level=1)


def liar(path: Path, parts: Parts) -> None:
    """A part that unpacks to more than it says."""
    packed(path, {**parts, "a.dbf": parts["a.dbf"] + bytes(20 << 20)}, level=1)
    size = len(parts["a.dbf"])
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", size + (20 << 20)), struct.pack("<I", size)))


def overlapping(path: Path, parts: Parts) -> None:
    """Two entries of the directory over the same bytes."""
    packed(path, parts, ("b.shp", b"y" * 5000))
    data = bytearray(path.read_bytes())
    second = data.rfind(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<I", 0)
    path.write_bytes(data)


def with_nul(path: Path, parts: Parts) -> None:
    packed(path, parts, ("b_.txt", b"x"))
    path.write_bytes(path.read_bytes().replace(b"b_.txt", b"b\0.txt"))


def encrypted(path: Path, parts: Parts) -> None:
    packed(path, {"a.shp": parts["a.shp"], **parts})
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(mark) + at
        data[place] |= 1
    path.write_bytes(data)


BOMBS: dict[str, tuple[str, Callable[[Path, Parts], None]]] = {
    "too many bytes": ("ratio", lambda path, parts: bomb(path, parts, 120)),
    "too many bytes together": ("size", spread),
    "a size that lies": ("lying", liar),
    "overlapping": ("overlap", overlapping),
    "100,000 names": ("entries", lambda path, parts: packed(path, parts, *((f"{n}.shp", b"") for n in range(100_000)))),
    "../": ("path", adding("../../b.txt")),
    "..\\": ("path", adding("..\\b.txt")),
    "absolute": ("path", adding("/etc/b.txt")),
    "a drive": ("path", adding("C:b.txt")),
    "symlink": ("symlink", adding("b.txt", data=b"/etc/passwd", mode=0o120777)),
    "nested": ("nested", adding("b.zip")),
    "case twins": ("twin", adding("A.SHP")),
    "NUL": ("nul", with_nul),
    "encrypted": ("encrypted", encrypted),
}
"""The reason each must be refused for; but for it, the archive is an honest shapefile."""


@pytest.mark.parametrize("kind", BOMBS)
def test_p11_no_archive_unpacks_more_or_elsewhere(tmp_path: Path, parts: Parts, kind: str) -> None:
    reason, make = BOMBS[kind]
    path = tmp_path / "a.zip"
    make(path, parts)
    with child.folder() as folder:
        file = folder / "upload.zip"
        shutil.copy(path, file)
        answers: list[Any] = []
        error = refused(lambda: answers.append(child.ask(file, "a.zip", BOUNDED, refusal_named)), UnsafeZip)
        assert error.facts["reason"] == reason
        assert {p.name for p in folder.iterdir()} == {"upload.zip"}
    assert not answers
    assert not [p for p in (tmp_path.parent, tmp_path, Path("/etc")) if (p / "b.txt").exists()]


def test_p11_the_honest_archive_is_read_and_an_empty_one_is_not(tmp_path: Path, parts: Parts) -> None:
    packed(tmp_path / "a.zip", parts, ("read me.txt", b"x"), level=6)
    assert [sheet.count for sheet in read_upload(tmp_path / "a.zip", fence=BOUNDED).sheets] == [4]
    (tmp_path / "b.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    refused(lambda: read_upload(tmp_path / "b.zip", fence=BOUNDED))


# ---- P12: GeoPackages that run ---------------------------------------------------------------------------------------

ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n AS fid, n AS geom FROM c"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small city as it is exported."""
    path = tmp_path_factory.mktemp("export") / "a.gpkg"
    export(city(2), SETTINGS, path, ABOUT)
    return path


def tampered(exported: Path, path: Path, *statements: str) -> Path:
    shutil.copy(exported, path)
    with closing(sqlite3.connect(path)) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        for statement in statements:
            database.execute(statement)
        database.commit()
    return path


@pytest.mark.parametrize(
    "trick",
    [
        ("DROP TABLE township", f"CREATE VIEW township AS {ENDLESS}"),
        ("ALTER TABLE gpkg_contents RENAME TO x", f"CREATE VIEW gpkg_contents AS {ENDLESS}"),
        ("DROP TABLE squad", "CREATE VIRTUAL TABLE squad USING fts5(x)"),
        ("DROP TABLE squad", "CREATE TABLE squad (fid INTEGER PRIMARY KEY, g AS (hex(zeroblob(100000000))))"),
        (
            "PRAGMA writable_schema = 1",
            "INSERT INTO sqlite_master VALUES ('trigger', 't', 'township', 0, 'ATTACH DATABASE ''/etc/passwd'' AS x')",
        ),
    ],
)
def test_p12_no_geopackage_runs(tmp_path: Path, exported: Path, trick: tuple[str, ...]) -> None:
    path = tampered(exported, tmp_path / "a.gpkg", *trick)
    fence = replace(BOUNDED, steps=3_000_000)  # an endless query is stopped by its steps, not by the clock
    error = refused(lambda: read_upload(path, fence=fence))
    assert "a.gpkg" in str(error)
    assert not isinstance(error, UploadTooSlow | UploadOutgrew)


def test_p12_a_name_is_only_a_name(tmp_path: Path, exported: Path) -> None:
    name = f"x\"; ATTACH DATABASE '{tmp_path}/made.db' AS y; --"
    quoted = '"' + name.replace('"', '""') + '"'
    contents = "INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES ('{0}', 'attributes', '{0}')"
    table = f"CREATE TABLE {quoted} (fid INTEGER PRIMARY KEY, {quoted} TEXT)"
    path = tampered(exported, tmp_path / "a.gpkg", table, contents.format(name.replace("'", "''")))
    assert name in {sheet.name for sheet in read_upload(path).sheets}
    assert not (tmp_path / "made.db").exists()


def test_p12_triggers_and_extensions_lie_still(tmp_path: Path, exported: Path) -> None:
    attach = f"CREATE TRIGGER t AFTER INSERT ON township BEGIN SELECT load_extension('{tmp_path}/x.so'); DELETE FROM township; END"
    extension = "INSERT INTO gpkg_extensions VALUES ('township', NULL, 'evil', 'http://127.0.0.1:1/', 'read-write')"
    read = read_upload(tampered(exported, tmp_path / "a.gpkg", attach, extension))
    assert {s.name: s.count for s in read.sheets}["township"] == 4


def test_p12_damage_and_holes(tmp_path: Path, exported: Path) -> None:
    path = tmp_path / "a.gpkg"
    data = bytearray(exported.read_bytes())
    data[4096 * 3 + 3 : 4096 * 3 + 5] = b"\xff\xff"
    path.write_bytes(data)
    refused(lambda: read_upload(path, fence=BOUNDED), UnreadableFile)
    sparse = tmp_path / "b.gpkg"
    with sparse.open("wb") as file:
        file.write(b"SQLite format 3\0")
        file.truncate(4 << 30)
    error = refused(lambda: read_upload(sparse), UploadTooBig)
    assert (status_of(error), str(4 << 30) in error.text("zh-CN")) == (413, True)
    shutil.copy(exported, sparse)  # within the limit, nearly all of it holes, and a header that says they are pages
    with sparse.open("r+b") as file:
        file.truncate(200 << 20)
        file.seek(28)
        file.write(struct.pack(">I", (200 << 20) // 4096))
    with contextlib.suppress(JieguanError):
        assert {s.name: s.count for s in read_upload(sparse, fence=BOUNDED).sheets}["township"] == 4


# ---- limits ----------------------------------------------------------------------------------------------------------


class Stream(io.RawIOBase):
    """Bytes without end, counted."""

    given = 0

    def read(self, size: int = -1) -> bytes:
        self.given += size
        return b"x" * size


def test_a_gigabyte_is_refused_before_it_is_read() -> None:
    stream = Stream()
    refused(lambda: read_upload(stream, "a.gpkg", size=1 << 30), UploadTooBig)
    assert stream.given == 0
    refused(lambda: read_upload(stream, "a.gpkg", size=5, fence=Fence(upload=3 << 20)), UploadTooBig)  # a size that lies
    assert stream.given == 4 << 20


def test_reading_ends_in_time(tmp_path: Path) -> None:
    path = geojson(tmp_path / "a.geojson", [(shapely.Point(1, 1), {})])
    start = time.monotonic()
    refused(lambda: read_upload(path, fence=Fence(wall_s=0.05)), UploadTooSlow)
    assert time.monotonic() - start < 2


def test_reading_ends_when_its_memory_does(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    many = ",".join(['{"type":"Feature","properties":{"a":1},"geometry":null}'] * 150_000)
    path.write_text('{"type":"FeatureCollection","features":[' + many + "]}")
    error = refused(lambda: read_upload(path, fence=Fence(memory=400 << 20)), UploadOutgrew)
    assert "GeoPackage" in error.text("zh-CN")


def test_an_answer_ends_too(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a\n" + "x" * 2_000_000 + "\n")
    refused(lambda: read_upload(path, fence=Fence(written=1 << 20)), UploadOutgrew, UploadBroke)


INSIDE = """
import ctypes, json, os, subprocess, socket, sys
from pathlib import Path
libc, (home, secret, folder, made, port) = ctypes.CDLL(None), json.loads(sys.argv[1])
sys.path.insert(0, home)
from geodata import child
guards = [*child._limited(child.FENCE), *child._unconnected(), *child._walled(Path.cwd())]

def tried(what):
    try:
        what()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "done"

def connect():
    address = (2).to_bytes(2, "little") + port.to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
    return libc.connect(libc.socket(2, 1, 0), address, 16)

def run():
    pid = libc.fork()
    if pid == 0:
        libc.execve(b"/bin/true", None, None)
        os._exit(77)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

python = dict(
    own=lambda: Path("own").write_text("x"), open=lambda: open(secret), list=lambda: os.listdir(folder), socket=socket.socket,
    run=lambda: subprocess.run(["true"]), memory=lambda: bytes(600 << 20), long=lambda: Path("own").write_bytes(bytes(129 << 20)),
)
c = dict(open=libc.open(secret.encode(), 0), make=libc.open(made.encode(), 0o101, 0o600), passwd=libc.open(b"/etc/passwd", 0))
print(json.dumps(dict(guards=guards, python={k: tried(v) for k, v in python.items()}, c=c, connect=connect(), run=run())))
"""


def test_g19_the_walls_stand_against_c_code_too(tmp_path: Path, listening: tuple[int, list[str]]) -> None:
    """What a broken library could try in there: open, make, list, connect, run. Most refusals here are the kernel's, not Python's."""
    secret, own = tmp_path / "secret", tmp_path / "own"
    secret.write_text(SECRET)
    own.mkdir()
    port, came = listening
    facts = json.dumps([str(child.HOME.parent), str(secret), str(tmp_path), str(tmp_path / "made"), port])
    run = [sys.executable, "-I", "-c", INSIDE, facts]
    found = subprocess.run(run, cwd=own, env=child.environment(own), capture_output=True, text=True, check=True)
    said = json.loads(found.stdout)
    denied = "PermissionError"
    wanted = {"own": "done", "open": denied, "list": denied, "socket": denied, "run": denied, "memory": "MemoryError", "long": "OSError"}
    libc = ctypes.CDLL(None)
    landlock = libc.syscall(child.CREATE, None, 0, 1) > 0
    isolated = subprocess.run(["unshare", "-rn", "true"], check=False).returncode == 0 if shutil.which("unshare") else False
    assert set(said["guards"]) >= {"limits", "audit", *(["landlock"] if landlock else []), *(["netns"] if isolated else [])}
    if landlock:
        assert said["c"] == {"open": -1, "make": -1, "passwd": -1}
        assert said["run"] == 77
        assert said["python"] == wanted
    if landlock or isolated:
        assert said["connect"] == -1
    assert not came
    assert not (tmp_path / "made").exists()
    if not (landlock and isolated):
        pytest.skip(f"this kernel gives only {said['guards']}: the rest is held by the readers' own checks")


def test_the_reader_carries_no_more_than_it_needs(tmp_path: Path) -> None:
    """Neither pandas nor SQLAlchemy: half the memory, a quarter of the time until the file is looked at."""
    with child.folder() as folder:
        file = geojson(folder / "upload.geojson", [(shapely.Point(1, 1), {})])
        assert child.ask(file, "a.geojson").peak < 140 << 20


def test_g19_strace_sees_no_other_file_and_no_connection(tmp_path: Path) -> None:
    """Honest files, and files that name others: those get as far as the reader here, past the look at their first bytes."""
    if not (strace := shutil.which("strace")):
        pytest.skip("no strace on this machine")
    log = tmp_path / "log"
    secret = tmp_path / "secret.csv"
    secret.write_text(f"id,word\n1,{SECRET}\n")
    for name in ("a.gpkg", "a.zip", "a.geojson", "vrt.geojson", "vrt.zip", "vrt.csv"):
        with child.folder() as folder:
            file = folder / f"upload{Path(name).suffix}"
            hostile = VRT.format(secret if name != "vrt.csv" else "/vsicurl/http://127.0.0.1:1/a.csv")
            if name == "vrt.zip":
                packed(file, {f"a{part}": hostile.encode() for part in (".shp", ".shx", ".dbf", ".prj")})
            elif name.startswith("vrt"):
                file.write_text(hostile)
            else:
                export(city(2), SETTINGS, file, ABOUT, crs="EPSG:3857")
            trace = "openat,open,openat2,creat,connect,socket,sendto,execve,landlock_restrict_self"
            watch = [strace, "-f", "-o", str(log), "-e", f"trace={trace}", *child.command(file, FENCE)]
            done = subprocess.run(watch, cwd=folder, env=child.environment(folder), capture_output=True, check=False)
            if b"ptrace" in done.stderr.lower():
                pytest.skip("this machine allows no tracing")
            said = json.loads(done.stdout)
            assert ("error" if name.startswith("vrt") else "layers") in said
            assert SECRET not in done.stdout.decode()
            calls = log.read_text(errors="replace").splitlines()
            wall = next(i for i, call in enumerate(calls) if "landlock_restrict_self" in call)
            assert sum("execve(" in call and "= 0" in call for call in calls) == 1
            assert not [call for call in calls if " connect(" in call or "sendto(" in call or "AF_INET" in call]
            opened = [call.split('"')[1] for call in calls[wall:] if "open" in call and '"' in call and "= -1" not in call]
            own = (str(folder), sys.prefix, sys.base_prefix, str(child.HOME), str(child.HOME.parent / "routing"), "/usr/", "/lib")
            assert not [p for p in opened if p.startswith("/") and not p.startswith((*own, "/dev/", "/etc/ld.so"))]
            assert not [p for p in opened if ".." in p]


def test_g19_nothing_of_the_child_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "temporary"
    mine.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(mine))
    read_upload(geojson(tmp_path / "a.geojson", [(shapely.Point(1, 1), {})]))
    assert list(mine.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [("../../etc/x%00.zip", "x%00.zip"), ("C:\\a\\b.gpkg", "b.gpkg"), ("a\0\x1b[2J.csv", "a??[2J.csv"), ("", "upload")],
)
def test_a_clients_file_name_is_only_shown(name: str, shown: str) -> None:
    assert shown_name(name) == shown


def test_only_plain_files_of_the_short_list(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.csv")
    refused(lambda: read_upload(tmp_path / "p.csv"), NotAFile)
    refused(lambda: read_upload("/vsicurl/http://127.0.0.1:9/a.geojson"), MissingFile)
    refused(lambda: read_upload(io.BytesIO(b"\0\0'\n"), "a.shp"), UnknownFormat)
    refused(lambda: read_upload(io.BytesIO(b"PAR1"), "a.xlsx"), UnknownFormat)


# ---- what it says ----------------------------------------------------------------------------------------------------

BASE_ROWS = city(3)
BASE = drafted(BASE_ROWS)
BY_CODE = {r.code: r for r in BASE_ROWS}


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson"])
def test_an_export_says_exactly_what_the_map_says(tmp_path: Path, name: str) -> None:
    rows = [replace(BASE_ROWS[0], name="<b>Robert'); DROP TABLE township;--</b>"), *BASE_ROWS[1:]]
    export(rows, SETTINGS, tmp_path / name, ABOUT)
    uploaded = read_upload(tmp_path / name)
    for like in (rows, ()):
        read = rows_in(uploaded, like, SETTINGS)
        assert {r.hash for r in read.rows} == {r.hash for r in rows}
        assert not read.refused
    assert wishes_of(drafted(rows), rows_in(uploaded, rows, SETTINGS)) == ()
    assert uploaded.guards >= {"limits", "audit"}


def test_what_its_author_left_alone_stays_what_it_was(tmp_path: Path) -> None:
    """Also what cells cannot hold: the order of a list, the depth of a fact, microseconds."""
    rows = [replace(r, facts={**r.facts, "parties": ["su01", "su00"]}) if r.code == "a1" else r for r in world()]
    export(rows, SETTINGS, tmp_path / "a.gpkg", ABOUT)
    read = rows_in(read_upload(tmp_path / "a.gpkg"), rows, SETTINGS)
    assert not read.refused
    assert {r.key: r.hash for r in read.rows} == {r.key: r.hash for r in rows}


def test_a_zipped_shapefile_and_a_parquet_say_it_too(tmp_path: Path) -> None:
    export(BASE_ROWS, SETTINGS, tmp_path / "a.zip", ABOUT)
    read = rows_in(read_upload(tmp_path / "a.zip"), BASE_ROWS, SETTINGS)
    assert {r.hash for r in read.rows} == {r.hash for r in BASE_ROWS if r.layer is LayerName.TOWNSHIP}
    _, table = pyogrio.read_arrow(f"/vsizip/{tmp_path / 'a.zip'}/township.shp")
    geo = {"primary_column": "wkb_geometry", "columns": {"wkb_geometry": {"encoding": "WKB", "crs": "EPSG:4490"}}}
    import pyarrow.parquet as pq

    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), tmp_path / "a.parquet")
    read = rows_in(read_upload(tmp_path / "a.parquet"), BASE_ROWS, SETTINGS, layer=LayerName.TOWNSHIP)
    assert {r.hash for r in read.rows} == {r.hash for r in BASE_ROWS if r.layer is LayerName.TOWNSHIP}


def test_a_list_without_shapes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,squad,radius_m,lon,lat,since\nd1,su00,50,113.57,34.78,2026-01-01\nd2,nobody,5,113.57,34.78,\n")
    uploaded = read_upload(tmp_path / "a.csv")
    assert [note.facts["path"] for note in uploaded.notes] == ["a.csv"]  # not the name it has in our folder
    read = rows_in(uploaded, BASE_ROWS, SETTINGS, layer=LayerName.DESIGNATION)
    assert [(r.code, r.facts["squad"], r.since) for r in read.rows] == [("d1", "su00", datetime(2025, 12, 31, 16, tzinfo=UTC))]
    assert abs(in_metres(read.rows[0].ground).area - np.pi * 2500) < 5
    assert [(r.code, type(r.why).__name__) for r in read.refused] == [("d2", "UnknownParty")]


def test_p13_each_bad_shape_is_named_and_the_good_are_read(tmp_path: Path) -> None:
    square = shapely.box(0, 0, 500, 500)
    shapes: dict[str, Any] = {
        "bowtie": shapely.Polygon([(0, 0), (500, 500), (500, 0), (0, 500)]),
        "empty": shapely.Polygon(),
        "hole": shapely.Polygon(square.exterior, [[(600, 600), (700, 600), (700, 700)]]),
        "twice": shapely.MultiPolygon([square, square]),
        "hollow": shapely.Polygon(square.exterior, [square.exterior]),
        "line": shapely.LineString([(0, 0), (500, 500)]),
        "u00": in_metres(BY_CODE["u00"].ground),
    }
    features = [(degrees(shape) if code != "u00" else None, {"code": code}) for code, shape in shapes.items()]
    features[-1] = (shapely.force_3d(lonlat(shapes["u00"]), 7.0), {"code": "u00", "strange": 1})
    features.append((None, {"code": "none"}))
    read = rows_in(read_upload(geojson(tmp_path / "township.geojson", features)), BASE_ROWS, SETTINGS)
    why = {r.code: type(r.why).__name__ for r in read.refused}
    assert why == {
        "bowtie": "GroundInvalid", "empty": "GroundMissing", "hole": "GroundInvalid", "twice": "GroundInvalid",
        "hollow": "GroundInvalid", "line": "GroundOfWrongKind", "none": "GroundMissing",
    }  # fmt: skip
    assert [r.hash for r in read.rows] == [BY_CODE["u00"].hash]
    assert [a.code for a in read.asides] == ["ignored", "flattened"]
    assert all("township" in a.text(lang) for a in read.asides for lang in ("zh-CN", "en"))


@pytest.mark.parametrize("dimensions", ["Z", "M", "ZM"])
def test_p13_heights_and_measures_are_left_out(tmp_path: Path, dimensions: str) -> None:
    outlines = [lonlat(metres(code)) for code in ("u00", "u01")]
    more = {"Z": " 7.5", "M": " 1e300", "ZM": " 7.5 1e300"}[dimensions]
    texts = [", ".join(f"{x!r} {y!r}{more}" for x, y in shapely.get_coordinates(o).tolist()) for o in outlines]
    wkb = [shapely.to_wkb(shapely.from_wkt(f"MULTIPOLYGON {dimensions} ((({text})))"), flavor="iso") for text in texts]
    table = pa.table({"code": ["u00", "u01"], "geometry": pa.array(wkb, pa.binary())})
    how = {"driver": "GPKG", "layer": "township", "geometry_name": "geometry", "geometry_type": "Unknown", "crs": "EPSG:4490"}
    pyogrio.write_arrow(table, tmp_path / "a.gpkg", **how)
    with closing(sqlite3.connect(tmp_path / "a.gpkg")) as database:
        (blob,) = database.execute("SELECT geom FROM township").fetchone()
    assert wkb[0] in blob  # they are in the file
    read = rows_in(read_upload(tmp_path / "a.gpkg"), BASE_ROWS, SETTINGS)
    assert {r.wkb for r in read.rows} == {BY_CODE[code].wkb for code in ("u00", "u01")}
    assert "flattened" in {aside.code for aside in read.asides}


@pytest.mark.parametrize(("code", "piece"), [("overlap", (1005, 500)), ("gap", (1500, 1500))])
def test_p13_no_square_metre_is_published_twice_or_to_nobody(desk: Desk, tmp_path: Path, code: str, piece: tuple[float, float]) -> None:
    """Of a whole layer: the check names it with its size, and only a named person's word lets it pass, as a defect."""
    square = box(*piece, piece[0] + 1, piece[1] + 1)
    changed = reshaped("u00", lambda g: g | square) if code == "overlap" else reshaped("u11", lambda g: g - square)
    export([changed if r.code == changed.code else r for r in BASE_ROWS], SETTINGS, tmp_path / "a.gpkg", ABOUT)
    plan = plan_import(desk.db, MapFiles(townships=f"{tmp_path / 'a.gpkg'}::township"))
    (found,) = plan.blocking
    assert (found.code, found.area_m2, code in found.text("en")) == ("sliver", 1.0, True)  # just wide enough to stand in: a warning
    order = {"by": "王", "reason": "x", "clock": lambda: NOW, "superior": "局长", "document": "1号文"}
    with pytest.raises(OpenErrors):
        publish_plan(desk.db, plan, **order)
    with desk.db.reading() as session:
        assert len(store.published(session)) == 1
    assert publish_plan(desk.db, plan, **order, defects_to="李")[0].id == 2
    assert not plan_import(desk.db, MapFiles(townships=f"{tmp_path / 'a.gpkg'}::township")).blocking  # somebody answers for it now


def test_p13_whole_files_that_cannot_be(tmp_path: Path) -> None:
    ring = {"type": "Polygon", "coordinates": [[[113.5, 34.7], [113.6, 34.7]]]}
    refused(lambda: read_upload(geojson(tmp_path / "a.geojson", [(ring, {"code": "u00"})])))
    fine = shapely.Point(113.5, 34.7).buffer(0.1, quad_segs=1000)
    error = refused(lambda: read_upload(geojson(tmp_path / "b.geojson", [(fine, {})]), fence=Fence(vertices=1000)), TooManyVertices)
    assert error.facts["count"] == 4001
    mercator = shapely.box(12_640_000, 4_130_000, 12_641_000, 4_131_000)
    read = rows_in(read_upload(geojson(tmp_path / "township.geojson", [(mercator, {"code": "u00"})])), BASE_ROWS, SETTINGS)
    assert [(r.code, type(r.why).__name__) for r in read.refused] == [("*", "NotDegrees")]
    assert not wishes_of(BASE, read)[0].edit


def test_bad_cells_are_named(tmp_path: Path) -> None:
    def one(code: str, **cells: Any) -> tuple[Any, dict[str, Any]]:
        return lonlat(metres(code)), {"code": code, **cells}

    features = [one("u00", squad="nobody"), one("u01", since="soon"), one("u02", line_accuracy_m="wide"), one("u10"), one("u10", name="x")]
    features.append((one("u11")[0], {"code": "=cmd|"}))
    features.append((one("u11")[0], {"code": None}))
    read = rows_in(read_upload(geojson(tmp_path / "township.geojson", features)), BASE_ROWS, SETTINGS)
    why = [(r.code, type(r.why).__name__) for r in read.refused]
    assert why == [
        ("u00", "UnknownParty"), ("u01", "BadInstant"), ("u02", "BadCell"), ("u10", "SaidTwice"), ("=cmd|", "UnusableCode"),
        ("", "CodeMissing"),
    ]  # fmt: skip
    assert [r.code for r in read.rows] == ["u10"]


def test_no_system_is_no_guess_and_an_unknown_datum_is_refused(tmp_path: Path) -> None:
    shp = tmp_path / "township.shp"
    wkb = pa.array([shapely.to_wkb(shapely.box(113.5, 34.7, 113.6, 34.8))], pa.binary())
    table = pa.table({"code": ["u00"], "geometry": wkb})
    pyogrio.write_arrow(table, shp, driver="ESRI Shapefile", geometry_name="geometry", geometry_type="Polygon", crs="EPSG:4326")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for part in (".shp", ".shx", ".dbf"):
            archive.write(shp.with_suffix(part), "township" + part)
    uploaded = read_upload(tmp_path / "a.zip")
    why = [type(r.why).__name__ for how in ({}, {"datum": "beijing"}) for r in rows_in(uploaded, BASE_ROWS, SETTINGS, **how).refused]
    assert why == ["NoCrs", "UnknownDatum"]
    assert rows_in(uploaded, BASE_ROWS, SETTINGS, datum="gcj02").rows


def test_a_layer_must_be_one_of_a_maps(tmp_path: Path) -> None:
    uploaded = read_upload(geojson(tmp_path / "mine.geojson", [(shapely.Point(1, 1), {"code": "x"})]))
    refused(lambda: rows_in(uploaded, (), SETTINGS), WhichLayer)


# ---- what becomes of it ----------------------------------------------------------------------------------------------

ALL = frozenset(LayerName)


def drawn(*changed: Row, without: tuple[str, ...] = (), whole: frozenset[LayerName] = ALL) -> Read:
    """The map as a file shows it, some rows changed or added, some gone."""
    rows = {r.key: r for r in BASE_ROWS if r.code not in without} | {r.key: r for r in changed}
    return Read(tuple(rows[k] for k in sorted(rows)), whole, (), ())


def outcome(read: Read, on: Draft = BASE) -> tuple[Draft, list[tuple[str, str, str]], tuple[Outcome, ...]]:
    draft, outcomes = tried(on, wishes_of(BASE, read))
    for one in outcomes:
        assert all(one.text(lang) for lang in ("zh-CN", "en"))
        json.dumps(one.said())
    told = [(o.wish.code, o.wish.edit.kind if o.wish.edit else "-", type(o.why).__name__ if o.why else "ok") for o in outcomes]
    return draft, told, outcomes


def ground(draft: Draft, code: str) -> Any:
    return on_grid(draft.coverages["township"].ground(code))


def reshaped(code: str, change: Callable[[Any], Any], new: str | None = None) -> Row:
    """A unit's row with another ground, metres in, metres out."""
    row = BY_CODE[code]
    made = replace(row, ground=on_grid(change(in_metres(row.ground))))
    if new is None:
        return made
    return replace(made, code=new, facts={**row.facts, "id": f"township:{new}", "code": new}, since=None)


def metres(code: str) -> Any:
    return in_metres(BY_CODE[code].ground)


def box(x0: float, y0: float, x1: float, y1: float) -> Any:
    return placed(shapely.box(x0, y0, x1, y1))


def bent(shape: Any) -> Any:
    """Vertices of the border between u00 and u01, but for its ends, 20 m to the east."""
    common = shapely.intersection(shapely.boundary(metres("u00")), shapely.boundary(metres("u01")))
    line = shapely.line_merge(common)
    ends = {shapely.get_coordinates(line)[i].tobytes() for i in (0, -1)}
    inner = {xy.tobytes() for xy in shapely.get_coordinates(line)} - ends
    return shapely.transform(shape, lambda a: np.array([xy + np.array([20, 0]) if xy.tobytes() in inner else xy for xy in a]))


def test_a_border_drawn_alike_on_both_sides_moves() -> None:
    draft, told, outcomes = outcome(drawn(reshaped("u00", bent), reshaped("u01", bent)))
    assert [t[1:] for t in told] == [("move_border", "ok")]
    assert "u00 | u01" in outcomes[0].text("en")
    for code in ("u00", "u01"):
        assert shapely.equals_identical(ground(draft, code), reshaped(code, bent).ground)


def test_what_one_unit_gained_its_neighbour_loses() -> None:
    piece = box(900, 400, 1100, 600)
    draft, told, _ = outcome(drawn(reshaped("u00", lambda g: g | piece)))
    assert told == [("u00", "hand_over", "ok")]
    moved = shapely.symmetric_difference(ground(draft, "u00"), reshaped("u00", lambda g: g | piece).ground)
    assert moved.area <= 0.5 * moved.length  # half a millimetre wide at most: where the piece crosses the old border
    assert shapely.intersection(ground(draft, "u00"), ground(draft, "u01")).area == 0


def test_p13_a_gap_of_one_square_metre_is_refused_with_its_place() -> None:
    draft, told, outcomes = outcome(drawn(reshaped("u11", lambda g: g - box(1500, 1500, 1501, 1501))))
    assert told == [("u11", "-", "WouldOpen")]
    assert isinstance(outcomes[0].why, WouldOpen)
    assert "1 平方米" in outcomes[0].text("zh-CN")
    assert draft is BASE


def test_p13_an_overlap_of_one_square_metre_is_refused() -> None:
    both = box(1005, 500, 1006, 501)  # u01's, and drawn into u00, too, while u01 was redrawn elsewhere
    other = box(1990, 400, 2100, 600)
    _, told, outcomes = outcome(drawn(reshaped("u00", lambda g: g | both), reshaped("u01", lambda g: g | other)))
    assert ("u00", "-", "BothClaim") in told
    assert ("u01", "hand_over", "ok") in told
    assert all(isinstance(o.why, BothClaim) for o in outcomes if not o.accepted)


def test_two_that_take_the_same_ground_of_a_third() -> None:
    piece = box(1100, 900, 1200, 1100)
    _, told, _ = outcome(drawn(reshaped("u00", lambda g: g | piece), reshaped("u02", lambda g: g | piece)))
    assert sorted(t[2] for t in told) == ["BothClaim", "BothClaim", "ok", "ok"]


def test_a_unit_that_is_gone_is_merged_into_its_heir_and_without_one_it_stays() -> None:
    draft, told, _ = outcome(drawn(reshaped("u00", lambda g: g | metres("u01")), without=("u01",)))
    assert told == [("u01", "merge", "ok")]
    assert shapely.equals(ground(draft, "u00"), on_grid(metres("u00") | metres("u01")))
    assert outcome(drawn(without=("u01",)))[1] == [("u01", "-", "NobodyGot")]
    assert outcome(drawn(without=("u01",), whole=frozenset()))[1] == []


def test_a_unit_parted_among_two_and_gone() -> None:
    half = box(1000, 0, 1500, 1000)
    west, east = metres("u01") & half.buffer(200, join_style="mitre").intersection(box(0, -300, 1500, 1300)), None
    east = metres("u01") - west
    draft, told, _ = outcome(drawn(reshaped("u00", lambda g: g | west), reshaped("u02", lambda g: g | east), without=("u01",)))
    assert [t[1:] for t in told] == [("hand_over", "ok"), ("merge", "ok")]
    assert ground(draft, "u01") is None


def test_a_new_unit_carved_out_of_another() -> None:
    piece = box(300, 300, 600, 600)
    new = reshaped("u00", lambda _: piece, new="u99")
    draft, told, _ = outcome(drawn(reshaped("u00", lambda g: g - piece), replace(new, name="新街道")))
    assert told[0] == ("u99", "hand_over", "ok")
    assert {t[2] for t in told} == {"ok"}
    row = draft.row("township", "u99")
    assert row is not None
    assert (row.name, row.facts["code"], row.facts["squad"]) == ("新街道", "u99", "su00")
    assert shapely.equals(ground(draft, "u99"), new.ground)
    again = {r.key: r for r in draft.features()}
    assert len([k for k in again if k[:2] == ("township", "u99")]) == 1


def test_codes_and_periods_are_not_changed_by_a_file() -> None:
    renamed = reshaped("u00", lambda g: g, new="new")
    assert outcome(drawn(renamed, without=("u00",)))[1][0][2] == "CodeChanged"
    ended = replace(BY_CODE["u00"], until=NOW)
    assert outcome(drawn(ended))[1] == [("u00", "-", "PeriodChanged")]
    begun = replace(BY_CODE["u00"], since=NOW)
    assert outcome(drawn(begun, without=("u00",)))[1] == [("u00", "-", "PeriodChanged")]


def test_a_change_too_slight_to_be_one_is_said_not_lost() -> None:
    assert outcome(drawn(reshaped("u11", lambda g: g | box(1500, 1900, 1500.001, 2100))))[1] == [("u11", "-", "TooSlight")]


def test_a_new_squad_may_come_in_one_file_with_who_names_it() -> None:
    new = Row(LayerName.SQUAD, "new", {**BY_CODE["su00"].facts, "code": "new", "duty": False})
    gas = Row(LayerName.DIRECT, "gas", {**blank_facts(LayerName.DIRECT, "gas"), "category": "x:gas", "squad": "new"})
    assert outcome(drawn(new, gas))[1] == [("new", "put_row", "ok"), ("gas", "put_row", "ok")]
    assert outcome(drawn(gas))[1] == [("gas", "put_row", "NoSuchSquad")]


def test_rows_are_written_and_removed() -> None:
    zone = Row(LayerName.NOT_SERVED, "铁路", blank_facts(LayerName.NOT_SERVED, "铁路") | {"authority": "铁路"}, on_grid(box(0, 0, 50, 50)))
    moved = replace(BY_CODE["u00"], facts={**BY_CODE["u00"].facts, "squad": "su22"}, name="改名")
    draft, told, outcomes = outcome(drawn(zone, moved, without=("su01", "su00")))
    assert told == [
        ("铁路", "put_row", "ok"), ("u00", "put_row", "ok"), ("su00", "remove_row", "ok"), ("su01", "remove_row", "SquadStillNamed"),
    ]  # fmt: skip
    row = draft.row("township", "u00")
    assert row is not None
    assert (row.facts["squad"], row.name) == ("su22", "改名")
    assert shapely.equals_identical(row.ground, BY_CODE["u00"].ground)
    assert "squad" in outcomes[1].text("en")


# ---- with a database -------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    initialise(tmp_path / "city.db", SETTINGS.work_crs)
    with open_database(tmp_path / "city.db") as db:
        store.publish(db, store.version_of(BASE_ROWS, SETTINGS), Signing("wang", "first"), now=NOW)
        yield Desk(db)


def edited(source: Path, to: Path, layer: str, change: Callable[[Any], Any]) -> Path:
    """A copy of a GeoPackage made by GDAL, one layer changed: a table of Arrow in, a table out."""
    for name, kind in pyogrio.list_layers(source):
        meta, table = pyogrio.read_arrow(source, layer=name)
        table = change(table) if name == layer else table
        shaped = {"geometry_name": "geom", "geometry_type": kind, "crs": meta["crs"]} if kind else {}
        pyogrio.write_arrow(table, to, driver="GPKG", layer=name, append=to.exists(), **shaped)
    return to


def moved_by_gdal(table: Any) -> Any:
    """u00 and u01 with their common border bent, in degrees; u22 loses 1 m2 to nobody."""
    codes = table.column("code").to_pylist()
    shapes = shapely.from_wkb(np.array(table.column("geom").to_pylist(), object))
    for code in ("u00", "u01"):
        shapes[codes.index(code)] = lonlat(bent(metres(code)))
    shapes[codes.index("u22")] = lonlat(metres("u22") - box(2500, 2500, 2501, 2501))
    at = table.column_names.index("geom")
    multi = [shapely.multipolygons(shapely.get_parts(shape)) for shape in shapes]
    return table.set_column(at, "geom", pa.array(shapely.to_wkb(multi), pa.binary()))


def lonlat(shape: Any) -> Any:
    return geometries_from_work(np.array([shape], object), system("EPSG:4490", None), parse_crs("EPSG:4547"))[0]


def test_a_copy_edited_by_gdal_becomes_edits_each_accepted_or_refused(desk: Desk, tmp_path: Path) -> None:
    draft = desk.begin("d", "li", NOW).id
    export_map(desk.db, tmp_path / "a.gpkg", now=NOW, draft=draft, desk=desk)
    copy = edited(tmp_path / "a.gpkg", tmp_path / "b.gpkg", "township", moved_by_gdal)
    asked = upload(desk, draft, copy, author="li", now=NOW)
    assert [(o.wish.code, o.accepted) for o in asked.outcomes] == [("u00", True), ("u22", False)]
    assert desk.open(draft).revision == 0
    done = upload(desk, draft, copy, author="li", now=NOW, apply=True)
    assert done.applied == (1,)
    working = desk.open(draft)
    assert [e.kind for e in working.log] == ["move_border"]
    assert "sha256:" in working.log[0].note
    for lang in ("zh-CN", "en"):
        assert "u22" in done.text(lang)
    assert json.loads(json.dumps(done.json()))["applied"] == [1]


def test_edits_on_ground_that_another_touched_since_are_refused(desk: Desk, tmp_path: Path) -> None:
    draft = desk.begin("d", "li", NOW).id
    export_map(desk.db, tmp_path / "a.gpkg", now=NOW, draft=draft, desk=desk)
    piece = rings_of(shapely.MultiPolygon([shapely.transform(box(900, 400, 1100, 600), lambda a: np.rint(a * 1000))]))
    desk.add(draft, HandOver(layer="township", piece=piece, to="u00"), "zhao", NOW)
    copy = edited(tmp_path / "a.gpkg", tmp_path / "b.gpkg", "township", moved_by_gdal)
    done = upload(desk, draft, copy, author="li", now=NOW, apply=True)
    assert done.applied == ()
    assert [type(o.why) for o in done.outcomes] == [EditConflict, WouldOpen]
    assert desk.open(draft).revision == 1  # zhao's edit stands: the copy does not undo it


def test_a_copy_of_something_else_is_refused(desk: Desk, tmp_path: Path) -> None:
    first, second = (desk.begin(name, "li", NOW).id for name in "ab")
    export_map(desk.db, tmp_path / "a.gpkg", now=NOW, draft=first, desk=desk)
    refused(lambda: upload(desk, second, tmp_path / "a.gpkg", author="li", now=NOW), NotOfThisDraft)
    export(BASE_ROWS, SETTINGS, tmp_path / "b.gpkg", About("0" * 64, NOW))
    refused(lambda: upload(desk, second, tmp_path / "b.gpkg", author="li", now=NOW), NotOfThisDraft)
    export(BASE_ROWS, SETTINGS, tmp_path / "c.gpkg", About("0" * 64, NOW, second, 5))
    refused(lambda: upload(desk, second, tmp_path / "c.gpkg", author="li", now=NOW), RebasedSince)


# ---- slow: full sizes, and a fuzz ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_p11_a_gibibyte_in_a_mebibyte(tmp_path: Path, parts: Parts) -> None:
    bomb(tmp_path / "a.zip", parts, 1024)
    assert refused(lambda: read_upload(tmp_path / "a.zip", fence=BOUNDED), UnsafeZip).facts["reason"] == "ratio"


@pytest.mark.slow
def test_p13_a_million_vertices(tmp_path: Path) -> None:
    angle = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
    ring = shapely.Polygon(np.stack([113.5 + 0.1 * np.cos(angle), 34.7 + 0.1 * np.sin(angle)], 1))
    path = geojson(tmp_path / "a.geojson", [(ring, {"code": "u00"})])
    start = time.monotonic()
    error = refused(lambda: read_upload(path), TooManyVertices)
    print(f"\nrefused after {time.monotonic() - start:.2f} s")
    assert error.facts["count"] == 1_000_001


FUZZED = ("a.gpkg", "a.zip", "a.shp", "a.dbf", "a.geojson", "a.csv", "a.parquet")


@pytest.mark.parametrize("name", FUZZED)
def test_g18_no_mutated_file_breaks_the_fence(tmp_path: Path, parts: Parts, name: str) -> None:
    fuzz(tmp_path, parts, name, lambda tries: tries == 2)


@pytest.mark.full
@pytest.mark.parametrize("name", FUZZED)
def test_g18_for_a_while(tmp_path: Path, parts: Parts, name: str) -> None:
    """JIEGUAN_FUZZ_S seconds each, 30."""
    end = time.monotonic() + float(os.environ.get("JIEGUAN_FUZZ_S", "30"))
    fuzz(tmp_path, parts, name, lambda _: time.monotonic() >= end)


def fuzz(folder: Path, parts: Parts, name: str, enough: Callable[[int], bool]) -> None:
    """Mutants of an honest file: an answer or a refusal every time, never anything else. Of a part of a shapefile, in a good archive."""
    rng = np.random.default_rng(1)
    data, tries, taken = honest(folder, parts, name), 0, 0
    assert read_upload(io.BytesIO(repacked(folder, parts, name, data)), uploaded_as(name)).sheets
    while not enough(tries):
        mutant = bytearray(data)
        for at in rng.integers(0, len(data), rng.geometric(0.2)):
            mutant[at] = rng.integers(0, 256)
        if rng.random() < 0.2:
            mutant = mutant[: int(rng.integers(0, len(data)))]
        with contextlib.suppress(JieguanError):
            taken += bool(read_upload(io.BytesIO(repacked(folder, parts, name, bytes(mutant))), uploaded_as(name)).sheets)
        tries += 1
    print(f"\n{name}: {tries} mutants, {taken} still readable")


def honest(folder: Path, parts: Parts, name: str) -> bytes:
    path = folder / name
    if name in parts:
        return parts[name]
    if name == "a.csv":
        path.write_text("id,squad,lon,lat\n" + "d1,su00,113.5,34.7\n" * 50)
    elif name == "a.parquet":
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"a": ["x"] * 100, "geometry": [shapely.to_wkb(shapely.box(0, 0, 1, 1))] * 100}), path)
    else:
        export(BASE_ROWS, SETTINGS, path, ABOUT)
    return path.read_bytes()


def uploaded_as(name: str) -> str:
    return "a.zip" if Path(name).suffix in (".shp", ".dbf") else name


def repacked(folder: Path, parts: Parts, name: str, data: bytes) -> bytes:
    if name not in parts:
        return data
    packed(folder / "packed.zip", {**parts, name: data})
    return (folder / "packed.zip").read_bytes()
