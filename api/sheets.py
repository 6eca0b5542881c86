"""Tables of complaints as people keep them: CSV in UTF-8 or GB 18030, or the first sheet of an Excel workbook. And back, safe to open.

Values only. What a file says is judged by its first bytes; formulas are not worked out; a workbook that unpacks to more than a limit
is not opened.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import IO, Any
from xml.etree.ElementTree import ParseError

from routing.errors import JieguanError

MOST_ROWS = 10_000
MOST_COLUMNS = 64
UNPACKED = 100 << 20
"""All parts of a workbook together, in bytes: ten thousand rows take a tenth."""
ENTRIES = 500
DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins with one of these is worked out as a formula by programs that open tables."""
BROKEN = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError, RuntimeError, ParseError, zipfile.BadZipFile)


class NoTable(JieguanError):
    zh = "文件无法按表格读取({reason})。请另存为 CSV(UTF-8)或 .xlsx 后再传。"
    en = "The file cannot be read as a table ({reason}). Save it as CSV (UTF-8) or .xlsx."


class TableTooLarge(JieguanError):
    zh = "表格过大({what} 超过 {limit}),未作任何改动。请分成几个文件,或删去多余的内容。"
    en = "The table is too large ({what} exceeds {limit}); nothing was changed. Send it in several files, or remove what is not needed."


class HeadTwice(JieguanError):
    zh = "表头“{value}”出现两次:无法确定以哪一列为准。请删去一列。"
    en = "The heading {value!r} stands twice, and nobody can tell which column is meant. Remove one."


@dataclass(frozen=True, slots=True)
class Formula:
    """A cell that would have to be worked out, or could not be."""


FORMULA = Formula()


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: headings, and rows with their numbers as a spreadsheet shows them (the headings are row 1). Blank rows are left out."""

    heads: tuple[str, ...]
    rows: tuple[tuple[int, tuple[Any, ...]], ...]
    more_sheets: int = 0


def read(file: IO[bytes]) -> Sheet:
    """A table. Raises NoTable, TableTooLarge, HeadTwice."""
    head = file.read(4)
    file.seek(0)
    if not head:
        raise NoTable(reason="0")
    return _workbook(file) if head.startswith(b"PK") else _csv(file.read())


def text_of(cell: Any) -> str:
    """A cell as text, without blanks around it; a number as it is written, `defused` text as it was."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    text = str(cell).strip()
    return text[1:] if text[:1] == "'" and text[1:2] in DANGEROUS else text


def written(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A CSV that a spreadsheet opens as text: UTF-8 with its mark, no cell that would be worked out."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([defused(head) for head in heads])
    writer.writerows([defused(cell) for cell in row] for row in rows)
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def workbook(named: Mapping[str, tuple[Sequence[str], Iterable[Sequence[Any]]]]) -> bytes:
    """A workbook of sheets by their names, each with headings and rows; numbers as numbers, text that is never worked out."""
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    for name, (heads, rows) in named.items():
        sheet = book.create_sheet(name)
        for row in (heads, *rows):
            sheet.append([defused(cell) if isinstance(cell, str) else cell for cell in row])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def defused(text: str) -> str:
    """The text; with an apostrophe before it where it would be taken for a formula."""
    return "'" + text if text.startswith(DANGEROUS) else text


# ---- CSV -------------------------------------------------------------------------------------------------------------


def _csv(data: bytes) -> Sheet:
    if b"\0" in data:
        raise NoTable(reason="binary")
    try:
        reader = csv.reader(io.StringIO(_decoded(data), newline=""), strict=True)
        return _sheet(enumerate(reader, 1))
    except csv.Error as error:
        raise NoTable(reason=str(error)[:80]) from error


def _decoded(data: bytes) -> str:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise NoTable(reason="UTF-8? GB 18030?")


# ---- workbooks -------------------------------------------------------------------------------------------------------


def _workbook(file: IO[bytes]) -> Sheet:
    import openpyxl

    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if len(entries) > ENTRIES:
                raise TableTooLarge(what="zip entries", limit=ENTRIES)
            if sum(entry.file_size for entry in entries) > UNPACKED:  # zipfile reads no more than is stated here
                raise TableTooLarge(what="bytes unpacked", limit=UNPACKED)
        file.seek(0)
        book = openpyxl.load_workbook(file, read_only=True, data_only=False, keep_links=False)
        try:
            first, *others = book.worksheets
            first.reset_dimensions()  # what the file says of itself is not believed
            cells = first.iter_rows(max_col=MOST_COLUMNS)
            return _sheet(((n, [_value(cell) for cell in row]) for n, row in enumerate(cells, 1)), len(others))
        finally:
            book.close()
    except JieguanError:
        raise
    except BROKEN as error:
        raise NoTable(reason=type(error).__name__) from error


def _value(cell: Any) -> Any:
    return FORMULA if cell.value is not None and cell.data_type in ("f", "e") else cell.value


# ---- both ------------------------------------------------------------------------------------------------------------


def _sheet(lines: Iterator[tuple[int, Sequence[Any]]] | Iterable[tuple[int, Sequence[Any]]], more: int = 0) -> Sheet:
    heads: tuple[str, ...] = ()
    rows: list[tuple[int, tuple[Any, ...]]] = []
    for number, cells in lines:
        if all(cell is None or cell == "" or (isinstance(cell, str) and not cell.strip()) for cell in cells):
            continue
        if not heads:
            heads = _heads(cells)
            continue
        if len(rows) == MOST_ROWS:
            raise TableTooLarge(what="rows", limit=MOST_ROWS)
        rows.append((number, tuple(cells)))
    if not heads:
        raise NoTable(reason="0 rows")
    return Sheet(heads, tuple(rows), more)


def _heads(cells: Sequence[Any]) -> tuple[str, ...]:
    heads = [text_of(cell) for cell in cells]
    while heads and not heads[-1]:
        heads.pop()
    if len(heads) > MOST_COLUMNS:
        raise TableTooLarge(what="columns", limit=MOST_COLUMNS)
    for n, head in enumerate(heads):
        if head and head in heads[:n]:
            raise HeadTwice(value=head[:60])
    return tuple(heads)
