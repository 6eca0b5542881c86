"""One row of a list, read strictly: every refusal names file, row, field, value, why, and the way out.

Rows are counted from 1, the header not among them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, tzinfo
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from geodata.files import Table, listed
from geodata.intake import Note
from routing.errors import JieguanError, Worded
from routing.model import EmptyPeriod, Period, SquadCode

SEPARATOR = "|"
FORMULA = ("=", "+", "-", "@")
YES = frozenset({"true", "1", "yes", "y", "t", "是"})
NO = frozenset({"", "false", "0", "no", "n", "f", "否"})


class MissingValue(Worded):
    zh = "{file} 第 {row} 行:“{field}”为空,缺少它就无法{need}。请补上。"
    en = "{file}, row {row}: {field!r} is empty, and it is needed to {need}. Fill it in."
    worded = "need"
    words = MappingProxyType(
        {
            "code": ("辨认这一行", "tell this row from others"),
            "squad": ("知道由哪个中队负责", "tell which squad is meant"),
            "parties": ("知道协议属于哪两个中队", "tell whose agreement this is"),
            "lead": ("知道由谁主办", "tell who leads"),
            "categories": ("知道按哪些类别分工", "tell which categories are meant"),
            "radius": ("知道该点管多大范围", "tell how far the order reaches from its point"),
            "width": ("知道该线段管多宽", "tell how wide the strip along the line is"),
            "authority": ("知道该转给哪个单位", "tell whom to refer to"),
            "category": ("知道是哪一类案件", "tell which cases are meant"),
        }
    )


class BadNumber(JieguanError):
    zh = "{file} 第 {row} 行:“{field}”的值“{value}”不是不小于 {least} 的数(单位:米或整数次序)。请更正。"
    en = "{file}, row {row}: {field!r} is {value!r}, not a number of at least {least}. Correct it."


class BadInstant(JieguanError):
    zh = "{file} 第 {row} 行:“{field}”的值“{value}”不是日期或时刻,期限无从确定。请写成 2024-05-01 或 2024-05-01T08:00:00+08:00。"
    en = (
        "{file}, row {row}: {field!r} is {value!r}, neither a date nor an instant, so the period is unknown. Write "
        "2024-05-01 or 2024-05-01T08:00:00+08:00."
    )


class UnclearInstant(JieguanError):
    zh = "{file} 第 {row} 行:“{field}”的值“{value}”在时区 {zone} 因夏令时切换而不存在或出现两次。请写明时差,例如 +08:00。"
    en = (
        "{file}, row {row}: {field!r} is {value!r}, which in {zone} never was or was twice, as the clocks changed. State "
        "the offset, such as +08:00."
    )


class UnknownWord(JieguanError):
    zh = "{file} 第 {row} 行:“{field}”的值“{value}”不认识。可用的值:{words}。"
    en = "{file}, row {row}: {field!r} is {value!r}, which has no meaning here. Use one of: {words}."


class UnusableCode(JieguanError):
    zh = (
        "{file} 第 {row} 行:“{field}”的代码“{value}”含有“{letter}”:它会被当作列表分隔、换行或表格公式。请改用其他代码。"
    )
    en = (
        "{file}, row {row}: the code {value!r} in {field!r} has {letter!r}, which would be taken for a list separator, a "
        "line break or a spreadsheet formula. Use another code."
    )


class UnknownSquad(JieguanError):
    zh = (
        "{file} 第 {row} 行:“{field}”的值“{value}”不是已知的中队,无法派给它。相近的有:{near}。请更正,或把它加入中队表。"
    )
    en = (
        "{file}, row {row}: {field!r} is {value!r}, which is no known squad, so nothing can be sent there. Similar: {near}. "
        "Correct it, or add it to the squads file."
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One row of `file`, counted from 1, with its values as Arrow gave them."""

    file: str
    number: int
    values: Mapping[str, Any]

    def text(self, field: str) -> str:
        """The value as text without blanks around it; empty where the column or the value is absent. 75.0 reads 75."""
        return as_text(self.values.get(field))

    def required(self, field: str, need: str) -> str:
        """`text` that must not be empty; `need` is a key of MissingValue.words."""
        text = self.text(field)
        if not text:
            raise MissingValue(file=self.file, row=self.number, field=field, need=need)
        return text

    def code(self, field: str, need: str) -> str:
        """A required code that can stand in a '|' list and in a spreadsheet."""
        code = self.required(field, need)
        self.check_code(field, code)
        return code

    def check_code(self, field: str, code: str) -> None:
        """No separator, no control character, nothing that starts a formula (a plain negative number starts none)."""
        strange = [letter for letter in code if letter == SEPARATOR or ord(letter) < 32]
        if code.startswith(FORMULA) and not code[1:].isdecimal():
            strange.append(code[0])
        if strange:
            raise UnusableCode(file=self.file, row=self.number, field=field, value=code, letter=strange[0])

    def squad(self, field: str, known: Collection[SquadCode] | None) -> SquadCode:
        """A code of a known squad; any code while nobody knows (None)."""
        return self.known(field, self.code(field, "squad"), known)

    def known(self, field: str, code: str, known: Collection[SquadCode] | None) -> SquadCode:
        """`code` if it is a known squad's."""
        if known is not None and code not in known:
            near = ", ".join(get_close_matches(code, sorted(known), n=5)) or listed(sorted(known))
            raise UnknownSquad(file=self.file, row=self.number, field=field, value=code, near=near)
        return SquadCode(code)

    def listed(self, field: str) -> tuple[str, ...]:
        """The values between '|', each without blanks around it; empty items are none."""
        return tuple(part.strip() for part in self.text(field).split(SEPARATOR) if part.strip())

    def amount(self, field: str, least: float = 0.0, *, above: bool = False) -> float | None:
        """A finite number of at least `least` (more, if `above`); None where absent."""
        text = self.text(field)
        if not text:
            return None
        try:
            number = float(text) if "_" not in text else math.nan
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or number < least or (above and number == least):
            raise BadNumber(file=self.file, row=self.number, field=field, value=text, least=f"{least:g}")
        return number

    def order(self, field: str) -> int:
        """A whole number, 0 where absent."""
        number = self.amount(field, least=-(2**31))
        if number is None:
            return 0
        if not number.is_integer():
            raise BadNumber(file=self.file, row=self.number, field=field, value=self.text(field), least=-(2**31))
        return int(number)

    def flag(self, field: str) -> bool:
        """true/false, 1/0, yes/no, 是/否; absent is no."""
        text = self.text(field).lower()
        if text not in YES | NO:
            words = ", ".join(sorted((YES | NO) - {""}))
            raise UnknownWord(file=self.file, row=self.number, field=field, value=text, words=words)
        return text in YES

    def word(self, field: str, words: Collection[str], default: str | None = None) -> str:
        """One of a few words."""
        text = self.text(field) or (default or "")
        if text not in words:
            facts = {"value": text, "words": ", ".join(words)}
            raise UnknownWord(file=self.file, row=self.number, field=field, **facts)
        return text

    def instant(self, field: str, zone: tzinfo) -> datetime | None:
        """A date (its first moment) or an instant, in `zone` unless it states an offset; None where absent."""
        value = self.values.get(field)
        if not self.text(field):
            return None
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time())
        if not isinstance(value, datetime):
            try:
                value = datetime.fromisoformat(self.text(field))
            except ValueError as error:
                facts = {"field": field, "value": self.text(field)}
                raise BadInstant(file=self.file, row=self.number, **facts) from error
        if value.utcoffset() is not None:
            return value.astimezone(zone)
        return self._local(field, value, zone)

    def _local(self, field: str, value: datetime, zone: tzinfo) -> datetime:
        earlier, later = value.replace(tzinfo=zone), value.replace(tzinfo=zone, fold=1)
        if earlier.utcoffset() != later.utcoffset():
            facts = {"field": field, "value": value.isoformat(), "zone": str(zone)}
            raise UnclearInstant(file=self.file, row=self.number, **facts)
        return earlier

    def period(self, zone: tzinfo, since: str = "since", until: str = "until") -> Period:
        """Half-open; absent is open. An `until` that is a date ends at that day's first moment."""
        start, end = self.instant(since, zone), self.instant(until, zone)
        if start is not None and end is not None and start >= end:
            facts = {"since": start.isoformat(), "until": end.isoformat()}
            raise EmptyPeriod(of=f"{self.file}, row {self.number}", **facts)
        return Period(start, end)


def as_text(value: object) -> str:
    """A cell as text: null and NaN empty, whole floats without `.0`, lists joined by '|'."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return SEPARATOR.join(map(as_text, value))
    return str(value).strip()


def rows_of(table: Table) -> tuple[Row, ...]:
    """The rows of a table, in order."""
    values = table.columns.to_pylist() if table.columns.num_columns else [{}] * len(table)
    return tuple(Row(table.spec, number, row) for number, row in enumerate(values, 1))


def trimmed(table: Table, fields: Collection[str]) -> tuple[Note, ...]:
    """How many cells of the fields that matter had blanks around them, which `Row.text` leaves out."""
    notes = []
    for field in fields:
        if field in table.columns.column_names:
            cells = table.columns.column(field).to_pylist()
            count = sum(isinstance(cell, str) and cell != cell.strip() for cell in cells)
            if count:
                notes.append(Note("trimmed", {"path": table.spec, "field": field, "count": count}))
    return tuple(notes)
