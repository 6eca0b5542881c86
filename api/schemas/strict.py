"""Plain values as a careful server takes them: no NaN, no text that lies about itself, no instant without a zone."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from geodata.times import BadInstant
from routing.errors import JieguanError
from routing.model import NaiveInstant

CONTROLS = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\u202a-\u202e\u2066-\u2069\ufeff"
"""Control characters, and those that show text in another order than it has."""
HIDDEN = re.compile(f"[{CONTROLS}]")
PLAIN = f"^[^{CONTROLS}]*$"
"""Texts that have none of them, as a description says it."""
SAID = rf"^[^{CONTROLS}]*[^\s{CONTROLS}][^{CONTROLS}]*$"
"""... and say something."""
ESCAPES = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
EXACT = 2**53


class HiddenCharacters(JieguanError):
    zh = "文本含有不可见的控制字符:显示的与存储的会不一致。请删去后重填。"
    en = "The text has invisible control characters, so what is shown would not be what is stored. Remove them."


class BadJson(JieguanError):
    """The body is no JSON we take. Where: characters from the start."""


class NotJson(BadJson):
    zh = "请求正文不是合格的 JSON(约在第 {at} 个字符)。请检查引号、逗号和括号。"
    en = "The body is no JSON (near character {at}). Check quotes, commas and brackets."


class NotUtf8(BadJson):
    zh = "请求正文不是 UTF-8 文本(第 {at} 个字节)。请改用 UTF-8 编码。"
    en = "The body is no UTF-8 text (byte {at}). Send it as UTF-8."


class KeyTwice(BadJson):
    zh = "请求正文中同一对象的同一字段出现两次:以哪个为准无法确定。请删去一个。"
    en = "An object of the body has one key twice, and nobody can tell which one is meant. Remove one."


class NotFinite(BadJson):
    zh = "请求正文含有 NaN、无穷大或过大的数:它们不是坐标也不是数量。请改为普通数字。"
    en = "The body has NaN, Infinity or a number too great: none of them is a place or an amount. Use plain numbers."


class TooDeep(BadJson):
    zh = "请求正文嵌套过深。请检查括号。"
    en = "The body is nested too deeply. Check its brackets."


class WrongMedia(JieguanError):
    zh = "请求正文的 Content-Type 是“{value}”,此处只收 JSON。请改为 application/json(要素用 application/geo+json)。"
    en = "The body's Content-Type is {value!r}, and only JSON is taken here. Send application/json (features: application/geo+json)."


def read_json(data: bytes) -> Any:
    """The value of a body. Raises BadJson."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise NotUtf8(at=error.start) from error
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_not_finite, parse_float=_finite, parse_int=_whole
        )
    except json.JSONDecodeError as error:
        raise NotJson(at=error.pos) from error
    except RecursionError as error:
        raise TooDeep from error
    if escape := ESCAPES.search(text):
        _check_escapes(value, escape.start())
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise KeyTwice
    return made


def _not_finite(_: str) -> NoReturn:
    raise NotFinite


def _finite(text: str) -> float:
    """JSON has one kind of number: 3.0 is a whole one."""
    value = float(text)
    if not math.isfinite(value):
        raise NotFinite
    return int(value) if value.is_integer() and abs(value) < EXACT else value


def _whole(text: str) -> int:
    if len(text) > 300:
        raise NotFinite
    return int(text)


def _check_escapes(value: Any, at: int) -> None:
    """Half a surrogate pair is no character, and NUL ends texts in some stores and not in others."""
    try:
        whole = json.dumps(value, ensure_ascii=False)
        whole.encode()
    except UnicodeEncodeError as error:
        raise NotJson(at=at) from error
    if "\\u0000" in whole:
        raise HiddenCharacters


def _plain(value: Any) -> Any:
    if isinstance(value, str) and HIDDEN.search(value):
        raise HiddenCharacters
    return value


def _instant(value: Any) -> Any:
    if value is None or isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise BadInstant(field="", value=type(value).__name__)
    try:
        return instant(value)
    except (BadInstant, NaiveInstant) as error:  # of a body nothing is repeated: what stands in the wrong field may be somebody's number
        raise type(error)(**{**error.facts, "value": "…"}) from None


def instant(text: str, field: str = "") -> datetime:
    """An aware instant, in UTC. Raises BadInstant, NaiveInstant."""
    try:  # a plus sign that was not encoded in an address arrives as a space
        moment = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text.strip())
        if moment.tzinfo is None:
            raise NaiveInstant(value=text[:40])
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        if isinstance(error, JieguanError):
            raise
        raise BadInstant(field=field, value=text[:40]) from error


class Strict(BaseModel):
    """No field but those that are named; no guessing of types."""

    model_config = ConfigDict(extra="forbid", frozen=True)


SHOWN = {"pattern": PLAIN}
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Whole = Annotated[int, Field(strict=True)]
Truth = Annotated[bool, Field(strict=True)]
Line = Annotated[str, BeforeValidator(_plain), Field(max_length=500, json_schema_extra=SHOWN)]
Text = Annotated[str, BeforeValidator(_plain), Field(max_length=10_000, json_schema_extra=SHOWN)]
Code = Annotated[str, BeforeValidator(_plain), Field(min_length=1, max_length=200, json_schema_extra=SHOWN)]
Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-05-01T00:00:00+08:00"]}),
]
