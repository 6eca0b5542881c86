"""Many complaints from one table: each row a case or a reason, nothing of a row half done, and the same file again makes nothing twice.

Unlike a caller, a table cannot be asked: a place that is swapped or none goes to the duty squad with what is wrong with it. No reason
repeats what a cell says but a category's code, for columns get shifted and the cell may be somebody's telephone number.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, tzinfo
from time import monotonic
from typing import IO, Any

from api.access import Principal
from api.sheets import FORMULA, HeadTwice, Sheet, read, text_of, written
from api.store.setup import vocabulary
from api.usecases import intake
from api.usecases.intake import Complaint
from api.usecases.office import Office
from api.usecases.placing import PlaceMissing, Where
from api.usecases.replays import Answer, Asked, Write, each_once
from api.words_cases import CHANNELS, Said
from geodata.crs import Datum
from routing.errors import JieguanError, Lang

FIRST, AT_ONCE = 10, 50
"""Rows written in one transaction: at first, and at most."""
TURN_S = 0.25
"""Others wait no longer than about that for their turn: where rows take longer, fewer are written at once."""
WIDEST_M = 100_000
"""As for a single complaint."""
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "category": ("类别", "案件类别", "事件类别"),
    "description": ("内容", "描述", "问题描述", "诉求内容"),
    "channel": ("来源", "来源渠道", "渠道"),
    "lon": ("经度", "longitude", "lng"),
    "lat": ("纬度", "latitude"),
    "datum": ("基准", "坐标基准", "坐标系"),
    "error_m": ("误差", "误差米", "定位误差"),
    "address": ("地址", "地点", "事发地址"),
    "occurred_at": ("发生时间", "时间", "事发时间"),
    "name": ("姓名", "投诉人", "举报人"),
    "phone": ("电话", "联系电话", "手机"),
    "email": ("邮箱", "电子邮箱"),
    "contact_address": ("联系地址", "投诉人地址"),
    "anonymous": ("匿名", "是否匿名"),
    "confidential": ("保密", "要求保密"),
    "found_by": ("发现中队", "巡查中队"),
}
"""Columns of a table, with what else they may be called."""
OURS = ("number", "squad", "error")
"""Columns a report has more; where one is sent back they are passed by."""
NEEDED = ("category", "description", "channel")
TRUE, FALSE = frozenset({"1", "true", "yes", "y", "是", "√", "匿名", "保密"}), frozenset({"", "0", "false", "no", "n", "否", "×"})
FORMATS = ("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%Y-%m-%d %H:%M", "%Y年%m月%d日 %H:%M", "%Y年%m月%d日")
FIELDS: Mapping[type[JieguanError], str] = {
    intake.CategoryNotInUse: "category", intake.NotYet: "occurred_at", intake.ContactMissing: "phone", intake.ContactOfNobody: "anonymous",
    PlaceMissing: "lon",
}  # fmt: skip
NOTES: Mapping[str, tuple[str, str]] = {
    "zone": ("有 {count} 个时间没有时区:按 {zone} 处理。", "{count} times have no zone and were read in {zone}."),
    "sheets": ("工作簿另有 {count} 个工作表,只读取第一个。", "The workbook has {count} more sheets; only the first was read."),
    "unread": ("未读取的列:{columns}。", "Columns that were not read: {columns}."),
}
REASONS: Mapping[str, tuple[str, str]] = {
    "truth": ("须填“是”或“否”", "takes yes or no"),
    "number": ("须为不小于 0 的数", "takes a number that is not negative"),
    "time": ("不是时间;请写 2026-11-20 10:00", "is no time; write 2026-11-20 10:00"),
    "datum": ("不是已知基准;可用 wgs84、cgcs2000、gcj02、bd09", "is no known datum; there are wgs84, cgcs2000, gcj02, bd09"),
    "squad": ("不是现行中队的编码", "is no code of a squad on the map in force"),
    "formula": ("是公式或错误值;请粘贴为数值", "is a formula or an error; paste it as a value"),
}


class ColumnsMissing(JieguanError):
    zh = "表格缺少列:{missing}。首行须为表头,至少有 category(类别)、description(内容)、channel(来源);可用的列:{known}。"
    en = "The table has no column {missing}. Its first row names the columns, at least category, description, channel; there are: {known}."


class BadCell(JieguanError):
    """`field`: its column."""

    zh = "“{field}”{reason}。请更正该单元格后重传。"
    en = "{field!r} {reason}. Correct the cell and send the file again."

    @classmethod
    def of(cls, field: str, reason: str) -> BadCell:
        """By a key of REASONS."""
        return cls(field=field, reason=Said(*REASONS[reason]))


Checked = Callable[[Mapping[str, Any]], Complaint]
"""A record, all but its place, as a complaint; raises BadCell."""


@dataclass(frozen=True, slots=True)
class Line:
    """What became of a row: an answer as intake gives one, or a refusal."""

    row: int
    cells: tuple[Any, ...]
    outcome: Answer | JieguanError


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a table. `notes`: key of NOTES and facts."""

    sheet: Sheet
    lines: tuple[Line, ...]
    notes: tuple[tuple[str, Mapping[str, Any]], ...]

    def told(self, lang: Lang) -> dict[str, Any]:
        """As plain values. No contact is in it."""
        items = [_told(line, lang) for line in self.lines]
        taken = [line.outcome for line in self.lines if isinstance(line.outcome, Answer)]
        return {
            "rows": len(items), "taken": sum(not one.again for one in taken), "again": sum(one.again for one in taken),
            "refused": len(items) - len(taken), "notes": [NOTES[key][lang != "zh-CN"].format(**facts) for key, facts in self.notes],
            "items": items,
        }  # fmt: skip

    def table(self, lang: Lang) -> bytes:
        """The table as it was sent, to whoever sent it, with `number`, `squad` and `error`: a CSV that can be corrected and sent again."""
        kept = [n for n, head in enumerate(self.sheet.heads) if head not in OURS]
        rows = []
        for line in self.lines:
            told = _told(line, lang)
            cells = [_cell(line.cells, n) for n in kept]
            rows.append([*cells, told["number"] or "", told["squad"] or "", told["error"] or ""])
        return written([*(self.sheet.heads[n] for n in kept), *OURS], rows)


def take(of: Office, who: Principal, file: IO[bytes], key: str | None, checked: Checked, lang: Lang) -> Report:
    """Every row of a table, in order. `key`: rows answered under it before are answered the same; None: that of the file's content.

    Raises NoTable, TableTooLarge, HeadTwice, ColumnsMissing before anything is written.
    """
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    file.seek(0)
    sheet = read(file)
    places, unread = columns_of(sheet)
    with of.db.reading() as session:
        names = _names(vocabulary(session, of.now()))
    reader = Reader(places, names, of.zone)
    key = of.vault.mac("batch", digest.encode()) if key is None else key
    lines: list[Line] = []
    some = min(FIRST, AT_ONCE)
    while len(lines) < len(sheet.rows):
        rows = sheet.rows[len(lines) : len(lines) + some]
        made, took = _some(of, who, rows, key, reader, checked, lang)
        lines += made
        some = min(AT_ONCE, 2 * some, max(1, int(len(rows) * TURN_S / took)))
    notes: list[tuple[str, Mapping[str, Any]]] = []
    if reader.naive:
        notes.append(("zone", {"count": reader.naive, "zone": of.zone}))
    if sheet.more_sheets:
        notes.append(("sheets", {"count": sheet.more_sheets}))
    if unread:
        notes.append(("unread", {"columns": ", ".join(head[:40] for head in unread)}))
    return Report(sheet, tuple(lines), tuple(notes))


def columns_of(sheet: Sheet) -> tuple[dict[str, int], list[str]]:
    """Where each column is, and what is not read. Raises ColumnsMissing, HeadTwice."""
    known = {_folded(name): field for field, others in COLUMNS.items() for name in (field, *others)}
    places: dict[str, int] = {}
    unread = []
    for n, head in enumerate(sheet.heads):
        field = known.get(_folded(head))
        if field is None:
            unread += [head] if head and head not in OURS else []
        elif field in places:
            raise HeadTwice(value=head[:60])
        else:
            places[field] = n
    missing = [field for field in NEEDED if field not in places]
    if missing:
        raise ColumnsMissing(missing=", ".join(missing), known=", ".join(f"{f}({o[0]})" for f, o in COLUMNS.items()))
    return places, unread


class Reader:
    """Rows as records. `naive`: how many times had no zone so far."""

    def __init__(self, places: Mapping[str, int], names: Mapping[str, str], zone: tzinfo) -> None:
        self._places, self._names, self._zone, self.naive = places, names, zone, 0

    def record(self, cells: Sequence[Any]) -> tuple[dict[str, Any], Where]:
        """A complaint as it is sent, and its place apart. Raises BadCell."""
        found = {field: cells[n] if n < len(cells) else None for field, n in self._places.items()}
        for field, cell in found.items():
            if cell is FORMULA:
                raise BadCell.of(field, "formula")
        said = {field: text_of(cell) for field, cell in found.items()}
        get = said.get
        channel = get("channel", "")
        record = {
            "category": self._category(get("category", "")), "description": get("description", ""),
            "channel": next((code for code, words in CHANNELS.items() if channel in words), channel),
            "address": get("address", ""), "occurred_at": self._instant(found.get("occurred_at"), get("occurred_at", "")),
            "contact": {
                "name": get("name", ""), "phone": get("phone", ""), "email": get("email", ""), "address": get("contact_address", ""),
            },
            "anonymous": _truth(get("anonymous", ""), "anonymous"), "confidential": _truth(get("confidential", ""), "confidential"),
            "found_by": get("found_by") or None,
        }  # fmt: skip
        return record, _where(said)

    def _category(self, said: str) -> str:
        """A code; or its name, or its digits without their scheme."""
        bare = said.zfill(4) if said.isascii() and said.isdecimal() else said
        return self._names.get(said, self._names.get(bare, said))

    def _instant(self, cell: Any, said: str) -> datetime | None:
        if not said:
            return None
        moment = cell if isinstance(cell, datetime) else datetime.combine(cell, time()) if isinstance(cell, date) else _moment(said)
        if moment is None:
            raise BadCell.of("occurred_at", "time")
        if moment.tzinfo is None:
            self.naive += 1
            moment = moment.replace(tzinfo=self._zone)
        try:
            return moment.astimezone(UTC)
        except OverflowError as error:
            raise BadCell.of("occurred_at", "time") from error


def _some(
    of: Office, who: Principal, rows: Sequence[tuple[int, tuple[Any, ...]]], key: str, reader: Reader, checked: Checked, lang: Lang
) -> tuple[list[Line], float]:
    """Everything that can be refused is refused before any of them is written. And how many seconds writing took."""
    outcomes: dict[int, Answer | JieguanError] = {}
    ready: list[tuple[int, tuple[Asked, Write]]] = []
    for number, cells in rows:
        try:
            record, where = reader.record(cells)
            complaint = replace(checked(record), where=where)
            content = json.dumps([record, str(where)], sort_keys=True, ensure_ascii=False, default=str).encode()
            asked = Asked(f"batch {key} row {number}", content)
            ready.append((number, (asked, intake.prepared(of, who, complaint, lang, keep=True))))
        except intake.UnknownSquad:
            outcomes[number] = BadCell.of("found_by", "squad")
        except JieguanError as error:
            outcomes[number] = error
    began = monotonic()
    answers = each_once(of, who, [one for _, one in ready])
    took = max(1e-6, monotonic() - began)
    outcomes |= {number: answer for (number, _), answer in zip(ready, answers, strict=True)}
    return [Line(number, cells, outcomes[number]) for number, cells in rows], took


def _told(line: Line, lang: Lang) -> dict[str, Any]:
    blank = dict.fromkeys(("number", "squad", "doubtful", "location_error", "again", "field", "code", "error"))
    if isinstance(line.outcome, Answer):
        body = {name: line.outcome.body[name] for name in ("number", "squad", "doubtful", "location_error")}
        return {"row": line.row, **blank, **body, "again": line.outcome.again}
    error = line.outcome
    field = FIELDS.get(type(error), error.facts.get("field"))
    return {"row": line.row, **blank, "field": field, "code": type(error).__name__, "error": error.text(lang)}


def _cell(cells: Sequence[Any], n: int) -> str:
    cell = cells[n] if n < len(cells) else None
    return "" if cell is FORMULA else text_of(cell)


def _names(vocabulary: Mapping[str, Any]) -> dict[str, str]:
    """What categories may be called beside their code; what would be several is none."""
    found: dict[str, set[str]] = {}
    for code, row in vocabulary.items():
        for name in (row.zh, row.en, code.partition(":")[2]):
            found.setdefault(name, set()).add(code)
    return {name: min(codes) for name, codes in found.items() if len(codes) == 1}


def _folded(head: str) -> str:
    return "".join(head.split()).lower()


def _truth(said: str, field: str) -> bool:
    if said.lower() in TRUE:
        return True
    if said.lower() not in FALSE:
        raise BadCell.of(field, "truth")
    return False


def _where(said: Mapping[str, str]) -> Where:
    """A place that cannot be read is NaN; none at all, with an address, is one that cannot be located."""
    datum = said.get("datum", "").lower() or Datum.WGS84.value
    if datum not in frozenset(Datum):
        raise BadCell.of("datum", "datum")
    error_m = _number(said.get("error_m", "") or "0")
    if not error_m >= 0 or error_m > WIDEST_M:
        raise BadCell.of("error_m", "number")
    lon, lat = said.get("lon", ""), said.get("lat", "")
    if not lon and not lat:
        return Where(datum=datum, error_m=error_m, unlocated=bool(said.get("address")))
    return Where(_number(lon), _number(lat), datum=datum, error_m=error_m)


def _number(said: str) -> float:
    value = float(said) if NUMBER.fullmatch(said) else math.nan
    return value if math.isfinite(value) else math.nan


def _moment(said: str) -> datetime | None:
    try:
        return datetime.fromisoformat(said)
    except ValueError:
        pass
    for form in FORMATS:
        try:
            return datetime.strptime(said, form)  # noqa: DTZ007 - the zone is added by who asked
        except ValueError:
            continue
    return None
