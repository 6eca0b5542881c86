"""Category codes with their scheme, `GB30428:0501`, checked against the tables we know.

`categories.csv`: the event classes of GB/T 30428.2 as cities number them. 21xx to 99xx are each city's own classes.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

from geodata.rows import Row
from routing.errors import JieguanError
from routing.model import Category

FORM = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9_.-]*):(?P<code>[^\s|:]+)")
LOCAL = re.compile(r"(2[1-9]|[3-9]\d)\d\d")
"""Classes 21 and up are left to the cities by GB/T 30428.2."""


class CategoryWithoutScheme(JieguanError):
    zh = "{file} 第 {row} 行:“{field}”的类别“{value}”没有体系:同一号码在不同体系中含义不同。请写成 体系:代码,例如 {hint}。"
    en = (
        "{file}, row {row}: the category {value!r} in {field!r} has no scheme, and the same number means other things in "
        "other schemes. Write SCHEME:CODE, such as {hint}."
    )


class UnknownCategory(JieguanError):
    zh = "{file} 第 {row} 行:“{field}”的类别“{value}”不在 {scheme} 的代码表中,不会有案件与之相符。相近的有:{near}。"
    en = (
        "{file}, row {row}: the category {value!r} in {field!r} is not in the table of {scheme}, so no case would ever "
        "match it. Similar: {near}."
    )


@cache
def names() -> Mapping[Category, tuple[str, str]]:
    """Code -> its Chinese and English name, of every scheme we know."""
    text = (files("geodata") / "categories.csv").read_text(encoding="utf-8")
    return {Category(row["code"]): (row["zh"], row["en"]) for row in csv.DictReader(text.splitlines())}


@cache
def schemes() -> frozenset[str]:
    """The schemes that have a table."""
    return frozenset(code.partition(":")[0] for code in names())


def category(row: Row, field: str, value: str) -> Category:
    """`value` as a category. A code of a known scheme must be in its table; other schemes are taken at their word."""
    form = FORM.fullmatch(value)
    if form is None:
        raise CategoryWithoutScheme(file=row.file, row=row.number, field=field, value=value, hint=_hint(value))
    code = Category(value)
    if not is_code(value):
        facts = {"value": value, "scheme": form["scheme"], "near": _near(value)}
        raise UnknownCategory(file=row.file, row=row.number, field=field, **facts)
    return code


def is_code(value: str) -> bool:
    """Can it be a category: of a known scheme in its table or local to a city, of another scheme of the right form?"""
    form = FORM.fullmatch(value)
    if form is None:
        return False
    return form["scheme"] not in schemes() or Category(value) in names() or _local(form)


def categories(row: Row, field: str = "categories") -> frozenset[Category]:
    """The '|' list of categories; empty means all."""
    return frozenset(category(row, field, value) for value in row.listed(field))


def _local(form: re.Match[str]) -> bool:
    return form["scheme"] == "GB30428" and LOCAL.fullmatch(form["code"]) is not None


def _hint(value: str) -> str:
    """The code that was probably meant: by number, by either name, or just the form."""
    for code, titles in names().items():
        if value in (code.partition(":")[2], *titles):
            return f"{code} ({titles[0]})"
    return f"GB30428:{value}" if LOCAL.fullmatch(value) else "GB30428:0501"


def _near(value: str) -> str:
    close = get_close_matches(value, list(names()), n=4, cutoff=0.8)
    return ", ".join(f"{code} {names()[Category(code)][0]}" for code in close) or "-"
