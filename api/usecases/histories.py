"""Past cases that what-if and border practice are measured against, each history under a name of its own, until cases are in the database.

    histories = Histories(None, most=20, limits=Limits(...))
    place = histories.reserve("2016-2025")            a folder for it; nobody else gets the name
    taken = take_in(place, source, "handled_by", on, ...)   its rows, read, located, and kept without anything that is not needed
    histories.find("2016-2025").source                 the rows again, as `whatif` and `practice` read them

They are kept in the folder that the service was told, or else in a private temporary folder that goes with the process. One
process keeps histories in a folder. Of a row only place, time, category, finder, recorded squad and case id are kept, under names
of our own: whatever else the file says, of complainants above all, is never written anywhere.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import shapely

from api.usecases.route_file import NoPoints, PointFile, bounds_of, field_of, named_columns
from geodata.child import UploadTooBig
from geodata.compile import Progress
from geodata.crs import crs_text, parse_crs, system
from geodata.files import Table, read_table
from geodata.history import CaseColumns, Read, read_history
from geodata.intake import Format, Limits, digest, sniff
from geodata.times import read_instant, zone_named
from geodata.written import replace_file
from routing.again import History
from routing.errors import JieguanError
from routing.jurisdiction import JurisdictionMap

COLUMNS: Mapping[str, str] = {
    "error_field": "error", "category_field": "category", "at_field": "at", "case_field": "case", "found_by_field": "found_by",
}  # fmt: skip
"""Option of a PointFile -> what its column is called here."""
FORMATS: Mapping[str, str] = {Format.CSV: ".csv", Format.PARQUET: ".parquet"}
FOLDER = re.compile(r"[0-9a-f]{32}")
CASES, ABOUT = "cases.parquet", "about.json"


class UnknownHistory(JieguanError):
    zh = "没有名为“{value}”的历史案件。请先上传,或用列表核对名称;临时存放的在服务重启后即不再有。"
    en = "There is no history {value!r}. Upload it first, or list those there are; what is kept for the time being goes with a restart."


class HistoryNameTaken(JieguanError):
    zh = "已有名为“{value}”的历史案件(或正在读取):不会覆盖。请换一个名称,或先删除原有的。"
    en = "There is a history {value!r} already (or being read), and it is not overwritten. Use another name, or delete that one first."


class TooManyHistories(JieguanError):
    zh = "已存有 {count} 份历史案件,上限 {limit}。请先删除不再需要的。"
    en = "{count} histories are kept and the limit is {limit}. Delete those that are not needed any more."


class NotCases(JieguanError):
    zh = "“{name}”的内容是{seen}:历史案件只收 CSV 与 Parquet。请另存后再传。"
    en = "What {name!r} holds is {seen}; past cases are taken as CSV or Parquet. Save them as one of these and send them again."


class NothingLocated(JieguanError):
    zh = "“{name}”的 {rows} 行没有一行能在现行地图上定位({why})。请核对坐标列、坐标系和基准(datum)。"
    en = "Not one of the {rows} rows of {name!r} has a place on the map in force ({why}). Check its columns, system and datum."


class NotPlainColumn(JieguanError):
    zh = "“{name}”的列“{field}”类型是 {kind}:每格须是一个数、文字或时间。请改成普通列后再传。"
    en = "The column {field!r} of {name!r} is of type {kind}; each of its cells must be one number, text or time. Make it a plain column."


@dataclass(frozen=True, slots=True)
class Kept:
    """A history as it is kept. `source`: its rows, as the use cases read them; `recorded`: the column of the squad that handled
    each case, None where the file did not say; `seal`: the hash of its rows and of how they are read. `since`, `until`: of the
    cases, where they have times.
    """

    name: str
    source: PointFile
    recorded: str | None
    seal: str
    rows: int
    located: int
    since: datetime | None
    until: datetime | None
    by: str
    at: datetime
    notes: tuple[Mapping[str, str], ...] = ()

    def told(self) -> dict[str, Any]:
        """As plain values, without where it lies."""
        has = [column for option, column in COLUMNS.items() if getattr(self.source, option) is not None]
        return {
            "name": self.name, "rows": self.rows, "located": self.located, "columns": sorted([*has, *filter(None, [self.recorded])]),
            "since": None if self.since is None else self.since.isoformat(),
            "until": None if self.until is None else self.until.isoformat(), "by": self.by, "at": self.at.isoformat(),
            "seal": self.seal, "notes": [dict(note) for note in self.notes],
        }  # fmt: skip


class Histories:
    """The histories of a folder. `limits`: of the files they are read from."""

    def __init__(self, folder: str | Path | None, *, most: int, limits: Limits) -> None:
        self.most, self.limits = most, limits
        self._turn = threading.Lock()
        self._own = tempfile.TemporaryDirectory(prefix="jieguan-histories-") if folder is None else None
        self._folder = Path(self._own.name if self._own is not None else str(folder))
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for place in self._places():
            if not (place / ABOUT).is_file():  # the process ended while it was being read
                shutil.rmtree(place)

    def close(self) -> None:
        """A temporary folder goes."""
        if self._own is not None:
            self._own.cleanup()

    def all(self) -> list[Kept]:
        """Every history that is there whole, by name."""
        return sorted((kept for place in self._places() if (kept := _read_about(place)) is not None), key=lambda k: k.name)

    def find(self, name: str) -> Kept:
        """Raises UnknownHistory."""
        kept = _read_about(self._place(name))
        if kept is None:
            raise UnknownHistory(value=name[:100])
        return kept

    def reserve(self, name: str) -> Path:
        """A folder for a history of that name. Raises HistoryNameTaken, TooManyHistories."""
        with self._turn:
            count = len(self._places())
            if self._place(name).exists():
                raise HistoryNameTaken(value=name)
            if count >= self.most:
                raise TooManyHistories(count=count, limit=self.most)
            self._place(name).mkdir(mode=0o700)
        return self._place(name)

    def remove(self, name: str) -> Kept:
        """A history goes. Raises UnknownHistory."""
        kept = self.find(name)
        self.give_up(name)
        return kept

    def give_up(self, name: str) -> None:
        """A name is free again, with all that was written under it."""
        with self._turn, suppress(FileNotFoundError):
            shutil.rmtree(self._place(name))

    def _place(self, name: str) -> Path:
        return self._folder / hashlib.sha256(name.encode()).hexdigest()[:32]

    def _places(self) -> list[Path]:
        return [place for place in self._folder.iterdir() if FOLDER.fullmatch(place.name)]


# ---- taking one in ---------------------------------------------------------------------------------------------------


def put_aside(file: IO[bytes], place: Path, name: str, limit: int) -> Path:
    """A file as it was sent, in the folder of a history. Raises NotCases, UploadTooBig."""
    head = file.read(4096)
    seen = sniff(head)
    if seen not in FORMATS:
        raise NotCases(name=name, seen=str(seen))
    path, size = place / f"sent{FORMATS[seen]}", 0
    with path.open("xb") as out:
        block = head
        while block:
            size += len(block)
            if size > limit:
                raise UploadTooBig(path=name, size=size, limit=limit)
            out.write(block)
            block = file.read(1 << 20)
    return path


def take_in(
    sent: PointFile, recorded: str | None, name: str, on: JurisdictionMap, limits: Limits, by: str, now: datetime, progress: Progress
) -> Kept:
    """Read the file that was put aside, keep of it what is needed, delete it. Raises the errors of the readers, NoPoints,
    NothingLocated, NotPlainColumn; whatever was wrong, the file is gone.
    """
    path = Path(sent.points)
    try:
        progress("read", 0, 3)
        table = read_table(path, limits)
        if not len(table):
            raise NoPoints(path=name)
        progress("locate", 1, 3)
        columns, source, notes = _kept_columns(table, replace(sent, points=str(path.parent / CASES)), recorded)
        read = tried(table, sent, on)
        there = np.isfinite(read.history.x)
        if not there.any():
            why, count = np.unique(read.location_error.astype(str), return_counts=True)
            raise NothingLocated(name=name, rows=len(table), why=", ".join(f"{w}: {n}" for w, n in zip(why, count, strict=True)))
        progress("write", 2, 3)
        pyarrow.parquet.write_table(columns, source.points, compression="zstd")
        at = read.history.at
        since, until = (None, None) if at is None else _span(at if len(at) == 1 else at[there])
        told = [{"code": n.code, "zh": n.text("zh-CN"), "en": n.text("en")} for n in (*notes, *read.notes)]
        handled = None if recorded is None else "recorded"
        kept = Kept(
            name, source, handled, _seal(source, handled), len(table), int(there.sum()), since, until, by, now,
            tuple({k: v.replace(str(path), name) for k, v in one.items()} for one in told),
        )  # fmt: skip
        replace_file(path.parent / ABOUT, json.dumps(_said(kept), ensure_ascii=False).encode())
        progress("write", 3, 3)
    except JieguanError as error:
        raise called(error, path, name) from None
    finally:
        path.unlink(missing_ok=True)
    return kept


def called(error: JieguanError, path: str | Path, name: str) -> JieguanError:
    """The same error about the history's name, not about a path of ours."""
    facts = {k: v.replace(str(path), name) if isinstance(v, str) else v for k, v in error.facts.items()}
    return type(error)(**facts)


def _kept_columns(table: Table, source: PointFile, recorded: str | None) -> tuple[Any, PointFile, list[Any]]:
    """The columns that are kept, and how they are read: the same places as the file's own, whatever it was."""
    notes: list[Any] = list(table.notes)
    named = named_columns(table, source, notes)
    if named is None:
        where = system(table.crs, source.datum, "the file's coordinate system", "--datum")
        inner = shapely.point_on_surface(table.geometry)
        columns: dict[str, Any] = {"x": pa.array(shapely.get_x(inner)), "y": pa.array(shapely.get_y(inner))}
        crs = None if where.crs is None else where.crs.to_wkt() if where.crs.to_epsg() is None else crs_text(where.crs)
        source = replace(source, x="x", y="y", crs=crs, lon=None, lat=None)
    else:
        x, y = ("x", "y") if source.x else ("lon", "lat")
        columns = {x: field_of(table, named.x, f"--{x}"), y: field_of(table, named.y, f"--{y}")}
        source = replace(source, x="x", y="y") if source.x else replace(source, lon="lon", lat="lat")
    renamed: dict[str, Any] = {}
    for option, column in COLUMNS.items():
        if (field := getattr(source, option)) is not None:
            columns[column] = field_of(table, field, "--" + option.replace("_", "-"))
            renamed[option] = column
    if recorded is not None:
        columns["recorded"] = field_of(table, recorded, "--recorded")
    for column, values in columns.items():
        if not _plain(values.type):
            raise NotPlainColumn(name=table.path, field=column, kind=str(values.type))
    return pa.table(columns), replace(source, **renamed), notes


def _plain(kind: Any) -> bool:
    """One number, text, truth or time a cell."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return not (pa.types.is_nested(kind) or _is_bytes(kind) or isinstance(kind, pa.BaseExtensionType))


def _is_bytes(kind: Any) -> bool:
    tests = pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary
    return any(test(kind) for test in tests)


def tried(table: Table, source: PointFile, on: JurisdictionMap) -> Read:
    """The rows read as what-if will read them, so that what is wrong with them is said now."""
    work, zone = parse_crs(on.settings.work_crs, "--work-crs"), zone_named(source.timezone)
    named = named_columns(table, source, [])
    where = system(table.crs, source.datum, "the file's coordinate system", "--datum") if named is None else named
    at = None if source.at is None else read_instant(source.at, zone, "--at")
    columns = CaseColumns(zone, source.category_field, source.at_field, at, source.found_by_field, source.case_field)
    return read_history(table, where, work, bounds_of(on), columns)


def cases(kept: Kept, on: JurisdictionMap) -> History:
    """The past cases as arrays, in the metres of a map. Raises what the readers raise."""
    try:
        return tried(read_table(kept.source.points), kept.source, on).history
    except JieguanError as error:
        raise called(error, kept.source.points, kept.name) from None


def _seal(source: PointFile, recorded: str | None) -> str:
    """Of the rows and of what is said about them."""
    said = json.dumps([digest([Path(source.points)]), {**asdict(source), "points": ""}, recorded])
    return hashlib.sha256(said.encode()).hexdigest()


def _span(at: Any) -> tuple[datetime, datetime]:
    first, last = (datetime.fromtimestamp(int(end) / 1e6, UTC) for end in (at.min(), at.max()))
    return first, last


def _said(kept: Kept) -> dict[str, Any]:
    said = asdict(kept)
    said["source"].pop("points")  # the folder may be moved
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in said.items()}


def _read_about(place: Path) -> Kept | None:
    """What is kept there; None where there is nothing, or not all of it yet."""
    try:
        said = json.loads((place / ABOUT).read_bytes())
    except FileNotFoundError:
        return None
    source = PointFile(points=str(place / CASES), **said.pop("source"))
    times = {k: None if said[k] is None else datetime.fromisoformat(said[k]) for k in ("since", "until", "at")}
    return Kept(**{**said, **times, "source": source, "notes": tuple(said["notes"])})
