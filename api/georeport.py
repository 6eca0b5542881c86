"""How Open311 answers: one value as JSON or as XML, chosen by the ending of the address; errors as arrays of code and description.

XML and JSON say the same by the Spark convention: an element that only holds a list is an array in JSON. Of what a client did wrong
the status is 404 for what is not there, 403 for the api_key, 400 for all else; what is our own fault keeps its status.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

from starlette.responses import Response

PREFIX = "/open311/"
JSON, XML = "application/json; charset=utf-8", "text/xml; charset=utf-8"
ITEM: Mapping[str, str] = {
    "services": "service", "attributes": "attribute", "values": "value", "service_requests": "request", "errors": "error",
    "endpoints": "endpoint", "formats": "format", "areas": "area", "reasons": "reason", "found": "claim", "assisting": "squad",
}  # fmt: skip
"""List -> what one of it is called."""
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
CODES = {404: 404, 401: 403, 403: 403, 408: 408, 405: 405, 413: 413, 429: 429}


def answer(form: str, root: str, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON, if `form` ends so, else as XML. `root`: of the XML."""
    kept = {"Cache-Control": "no-cache", **(headers or {})}
    if form.endswith("json"):
        return Response(json.dumps(value, ensure_ascii=False, allow_nan=False), status, kept | {"Content-Type": JSON})
    return Response(as_xml(root, value), status, kept | {"Content-Type": XML})


def as_xml(root: str, value: Any) -> bytes:
    """A value of lists, objects and plain values; what XML cannot hold is shown as unknown."""
    element = ET.Element(root)
    _fill(element, value)
    text: bytes = ET.tostring(element, encoding="utf-8", xml_declaration=False)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + text


def _fill(element: ET.Element, value: Any) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _fill(ET.SubElement(element, name), inner)
    elif isinstance(value, str):
        element.text = NOT_XML.sub("\ufffd", value)
    elif isinstance(value, Sequence):
        for inner in value:
            _fill(ET.SubElement(element, ITEM[element.tag]), inner)
    elif isinstance(value, bool):
        element.text = "true" if value else "false"
    elif value is not None:
        element.text = f"{Decimal(repr(value)):f}" if isinstance(value, float) else str(value)


def refusal(path: str, status: int, sentences: Sequence[str], headers: Mapping[str, str]) -> Response:
    """An error, as Open311 has it."""
    code = CODES.get(status, status if status >= 500 else 400)
    kept = {k: v for k, v in headers.items() if k.lower() != "www-authenticate"}
    return answer(path, "errors", [{"code": code, "description": one} for one in sentences], code, kept | {"Cache-Control": "no-store"})
