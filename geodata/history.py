"""Past cases from a file of points into a `History`; and a history kept in a file, with what was decided for it.

The kept file is an .npz of plain arrays (nothing in it can run) and one JSON text, `said`: names, verdicts, and the map, rules,
zone and cap they were decided with. Decisions are taken from it only for exactly these, else the history alone.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyproj
import shapely
from numpy.typing import NDArray

from geodata.crs import Bounds, System
from geodata.files import Table, listed
from geodata.points import Located, PointColumns, locate
from geodata.times import read_times
from geodata.written import whole_file
from routing.again import History, Known, assembled, known
from routing.errors import JieguanError, Lang
from routing.jurisdiction import JurisdictionMap, micros
from routing.ladder import RULES_VERSION
from routing.model import ClaimId, Reason, SquadCode, Step, Verdict
from routing.route import CAP_M, Routed, place_of_townships, zone_of

FAR_M = 100_000.0
FORMAT = 1

NOTES: Mapping[str, tuple[str, str]] = {
    "shapes": (
        "{count} 行是线或面:按其内部一点比较。",
        "{count} rows are lines or areas; a point inside each stands for it.",
    ),
    "bad_time": (
        "{count} 行的时间无法读出:按没有地点处理,归值班中队。",
        "{count} rows have no readable time; they are taken as without a place, for the duty squad.",
    ),
    "naive": (
        "{count} 个时间没有时区:按 {zone} 处理。",
        "{count} times have no time zone and were read in {zone}.",
    ),
}


class NoSuchField(JieguanError):
    zh = "“{path}”中没有 {option} 所指的列“{value}”,无法读出历史案件。现有列:{columns}。请更正列名。"
    en = "{path!r} has no column {value!r}, which {option} names, so the past cases cannot be read. Its columns: {columns}."


class NotAHistory(JieguanError):
    zh = "“{path}”不是保存的历史案件({reason}):不能据此对比。请从案件文件重新读取。"
    en = "{path!r} is no kept history ({reason}), so nothing can be compared with it. Read the file of cases again."


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know about how the history was read."""

    code: str
    facts: Mapping[str, object]

    def text(self, lang: Lang) -> str:
        """The sentence in one language."""
        zh, en = NOTES[self.code]
        return (zh if lang == "zh-CN" else en).format(**self.facts)


@dataclass(frozen=True, slots=True)
class CaseColumns:
    """Which columns tell what happened. `at` is one instant for all rows, aware; `zone` that of times without one."""

    zone: ZoneInfo
    category: str | None = None
    at_field: str | None = None
    at: datetime | None = None
    found_by: str | None = None
    case: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """A history, row for row that of its file; why a row has no place (None: it has one); what to tell."""

    history: History
    location_error: NDArray[np.object_]
    notes: tuple[Any, ...]


def read_history(
    table: Table, where: PointColumns | System, work: pyproj.CRS, bounds: Bounds | None, columns: CaseColumns
) -> Read:
    """The rows of a table as past cases. `where`: the columns of the place, or what the table's own geometry means.

    `bounds`: the box of the map, metres of `work`, to tell places that are far off. Raises NoSuchField and what
    `points.locate` raises.
    """
    notes: list[Any] = []
    located = _located(table, where, work, bounds, notes)
    notes += located.notes
    errors = located.location_error.copy()
    x = located.x
    at, bad = _instants(table, columns, notes)
    if bad is not None and bad.any():
        notes.append(Note("bad_time", {"count": int(np.count_nonzero(bad & located.ok))}))
        errors[bad & located.ok] = "bad_time"
        x = np.where(bad, np.nan, x)
    error = np.where(np.isfinite(located.error_m), located.error_m, 0.0)
    if len(error) and (error == error[0]).all():
        error = error[:1]
    category, categories = _coded(table, columns.category, "--category-field")
    finder, finders = _coded(table, columns.found_by, "--found-by-field")
    case = None
    if columns.case is not None:
        values = _field(table, columns.case, "--case-field").to_pylist()
        case = np.array([None if v is None else str(v) for v in values], object)
    history = History(x, located.y, error, at, category, categories, finder, finders, case)
    return Read(history, errors, tuple(notes))


def _located(
    table: Table, where: PointColumns | System, work: pyproj.CRS, bounds: Bounds | None, notes: list[Any]
) -> Located:
    if isinstance(where, PointColumns):
        return locate({name: table.columns.column(name) for name in table.columns.column_names}, where, work, bounds, FAR_M)
    assert table.geometry is not None
    shapes = int(np.count_nonzero(shapely.get_dimensions(table.geometry) > 0))
    if shapes:
        notes.append(Note("shapes", {"count": shapes}))
    inner = shapely.point_on_surface(table.geometry)
    at = {"x": shapely.get_x(inner), "y": shapely.get_y(inner)}
    return locate(at, PointColumns("x", "y", where), work, bounds, FAR_M)


def _instants(
    table: Table, columns: CaseColumns, notes: list[Any]
) -> tuple[NDArray[np.int64] | None, NDArray[np.bool_] | None]:
    if columns.at is not None:
        return np.array([micros(columns.at)], np.int64), None
    if columns.at_field is None:
        return None, None
    times = read_times(_field(table, columns.at_field, "--at-field"), columns.zone)
    if times.naive:
        notes.append(Note("naive", {"count": times.naive, "zone": str(columns.zone)}))
    return times.micros, np.array([e is not None for e in times.error], bool)


def _field(table: Table, name: str, option: str) -> Any:
    there = table.columns.column_names
    if name not in there:
        raise NoSuchField(path=table.spec, option=option, value=name, columns=listed(there))
    return table.columns.column(name)


def _coded(table: Table, name: str | None, option: str) -> tuple[NDArray[np.int32] | None, tuple[str, ...]]:
    """A column of words as numbers into its distinct words, sorted; -1 where there is none."""
    if name is None:
        return None, ()
    column = _field(table, name, option)
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    coded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    words = ["" if v is None else str(v).strip() for v in coded.dictionary.to_pylist()]
    names = tuple(sorted(set(words) - {""}))
    place = {word: i for i, word in enumerate(names)}
    number = np.array([*(place.get(word, -1) for word in words), -1], np.int32)
    return number[coded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)], names


# ---- kept in a file ---------------------------------------------------------------------------------------------------


def keep(out: str | Path, warm: Known) -> None:
    """Write a history and its decisions, whole or not at all. Raises CannotWrite."""
    history, routed, on = warm.history, warm.routed, warm.on
    arrays: dict[str, NDArray[Any]] = {"x": history.x, "y": history.y, "error_m": history.error_m}
    optional = {"at": history.at, "category": history.category, "found_by": history.found_by}
    arrays |= {name: a for name, a in optional.items() if a is not None}
    arrays |= {name: getattr(routed, name) for name in _DECIDED}
    said = {
        "format": FORMAT,
        "work_crs": on.settings.work_crs,
        "categories": history.categories,
        "finders": history.finders,
        "case": None if history.case is None else history.case.tolist(),
        **_pinned(on, warm.zone_m, warm.cap_m),
        "squads": [s.code for s in on.roster.squads],
        "townships": routed.township_codes,
        "verdicts": [_plain(v) for v in on.ledger.verdicts],
    }
    arrays["said"] = np.frombuffer(json.dumps(said, ensure_ascii=False).encode(), np.uint8)
    with whole_file(Path(out)) as target, target.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def kept(
    path: str | Path, on: JurisdictionMap, *, zone_m: float | None = None, cap_m: float = CAP_M, workers: int = 1
) -> Known:
    """The warm start of a kept history under `on`; routed anew where it was kept with another map, rules, zone or cap.

    Raises NotAHistory, and what `route` raises.
    """
    entries, said = _opened(Path(path))
    if said["work_crs"] != on.settings.work_crs:
        raise NotAHistory(path=str(path), reason=f"{said['work_crs']}, not {on.settings.work_crs}")
    case = None if said["case"] is None else np.array(said["case"], object)
    history = History(
        entries["x"],
        entries["y"],
        entries["error_m"],
        entries.get("at"),
        entries.get("category"),
        tuple(said["categories"]),
        entries.get("found_by"),
        tuple(said["finders"]),
        case,
    )
    same = on.version and {k: said[k] for k in _pinned(on, zone_m, cap_m)} == _pinned(on, zone_m, cap_m)
    try:
        routed = _decided(on, entries, said) if same else None
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise NotAHistory(path=str(path), reason=f"{type(error).__name__}: {error}") from error
    return known(on, history, zone_m=zone_m, cap_m=cap_m, workers=workers, routed=routed)


_DECIDED = ("verdict", "doubtful", "margin_m", "runner_up", "township")


def _pinned(on: JurisdictionMap, zone_m: float | None, cap_m: float) -> dict[str, Any]:
    """All that a decision depends on besides its case."""
    return {"map_version": on.version, "rules_version": RULES_VERSION, "zone_m": zone_of(on, zone_m), "cap_m": cap_m}


def _opened(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            entries = {name: file[name] for name in file.files}
        said = json.loads(entries["said"].tobytes().decode())
        found = said["format"]
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise NotAHistory(path=str(path), reason=f"{type(error).__name__}: {error}") from error
    if found != FORMAT:
        raise NotAHistory(path=str(path), reason=f"format {found}, not {FORMAT}")
    rows = len(entries["x"])
    for name in ("y", *_DECIDED):
        if name not in entries or len(entries[name]) != rows:
            raise NotAHistory(path=str(path), reason=f"{name}: not {rows} rows")
    return entries, said


def _decided(on: JurisdictionMap, entries: Mapping[str, NDArray[Any]], said: Mapping[str, Any]) -> Routed:
    number = np.array([on.ledger.keep(_verdict(v)) for v in said["verdicts"]], np.int32)
    squad = np.array([*(on.squad_number[SquadCode(code)] for code in said["squads"]), -1], np.int32)
    place = {code: i for i, code in enumerate(place_of_townships(on))}
    township = np.array([*(place[code] for code in said["townships"]), -1], np.int32)
    return assembled(
        on,
        number[entries["verdict"]] if len(number) else entries["verdict"],
        entries["doubtful"],
        entries["margin_m"],
        squad[entries["runner_up"]],
        township[entries["township"]],
    )


def _plain(verdict: Verdict) -> list[Any]:
    reasons = [[r.step.value, r.found, r.chosen] for r in verdict.reasons]
    return [verdict.lead, verdict.assist, verdict.step.value, reasons, verdict.unsure]


def _verdict(plain: list[Any]) -> Verdict:
    lead, assist, step, reasons, unsure = plain
    told = tuple(
        Reason(Step(s), tuple(ClaimId(c) for c in found), None if chosen is None else ClaimId(chosen))
        for s, found, chosen in reasons
    )
    return Verdict(SquadCode(lead), tuple(SquadCode(s) for s in assist), Step(step), told, unsure)
