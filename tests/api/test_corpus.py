"""Bad inputs by hand (G17): every address that takes JSON, each field of its body, with all that clients have been seen to send.

Nothing of it may be our fault (5xx), and nothing may hang. What is accepted was good after all; what it says is checked elsewhere.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from api.access import ENDPOINTS
from routing.case import Role
from tests.api.live import Person
from tests.api.staff import Office

pytestmark = pytest.mark.slow  # minutes, most of them spent in making and starting things

BIG = 10**30
JSON = {"Content-Type": "application/json"}
LEAVES = [
    "null", "true", "0", "-1", "1.5", "1e308", "-1e308", "1e-320", "1e999", "-0.0", str(BIG), str(-BIG), str(2**31),
    str(2**63), str(2**64), "9" * 400, "NaN", "Infinity", "-Infinity", '"NaN"', '""', '" "', '"\\t\\r\\n"', '"\\u0000"',
    '"a\\u0000b"', '"\\ud800"', '"\\udfff\\ud800"', '"\\u202e"', '"\\ufeff"', '"\\u0300\\u0300\\u0300"',
    '"\U0001f468\u200d\U0001f469\u200d\U0001f467"', '"مرحبا"', '"' + "长" * 5_000 + '"', '"' + "x" * 100_000 + '"',
    "\"'; DROP TABLE case_file; --\"", '"\\" OR \\"1\\"=\\"1"', '"<script>alert(1)</script>"', '"=HYPERLINK(1)"',
    '"../../../etc/passwd"', '"/vsicurl/http://127.0.0.1:1/"', '"${jndi:ldap://x}"', '"%s%n{0}{x!r}"',
    '"file:///etc/passwd"', '"1e5"', '"1_1"', '"٣"', '"0x10"', '"2026-13-01T00:00:00Z"', '"0001-01-01T00:00:00+23:59"',
    '"9999-12-31T23:59:59-23:59"', '"2026-02-30"', '"2026-01-01T00:00:00"', "[]", "[[]]", "[null]", "{}", '{"": null}',
    '{"$ref": "#"}', '{"__proto__": 1}', "[" * 500 + "]" * 500, '{"a":' * 300 + "1" + "}" * 300, "[1, 2]", "[1e400]",
    json.dumps(["x"] * 5_000), '{"type": "Polygon", "coordinates": []}', '{"type": "Polygon", "coordinates": [[[0, 0]]]}',
    '{"type": "GeometryCollection", "geometries": []}', '{"type": "Point", "coordinates": [1e300, 1e300]}',
]  # fmt: skip
WHOLE = [
    b"", b" ", b"null", b"true", b"0", b'""', b"[]", b"{", b"}", b"{}{}", b'{"a": 1,}', b"{'a': 1}", b"//x\n{}",
    b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b'{"a": "\xff"}', b"[" * 100_000, b'{"a":' * 50_000,
    b'{"x": 1, "x": 2}', b"\x00" * 100,
    b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>", b"a=1&b=2", b"NaN", b"-",
    b'"\\u"', b"1" * 5_000,
]  # fmt: skip
HEADERS: list[dict[str, str]] = [
    {}, {"If-Match": "*"}, {"If-Match": '"' + "9" * 150 + '"'}, {"If-Match": '"a", "b"'}, {"If-Match": "W/"},
    {"Idempotency-Key": "x" * 300}, {"Idempotency-Key": "\x80"}, {"Accept-Language": "x" * 5_000},
    {"Accept-Language": "en;q=nan"}, {"Content-Type": "application/json; charset=utf-7"}, {"Content-Type": "text/plain"},
    {"Content-Type": ""}, {"Content-Type": "multipart/form-data; boundary="}, {"Accept": "text/html"},
    {"Content-Crs": "<x>"}, {"Range": "bytes=0-," * 500}, {"Expect": "x"}, {"X-Jieguan-Role": "king"},
]  # fmt: skip


@dataclass(frozen=True)
class Address:
    method: str
    path: str
    role: Role
    bodies: tuple[Any, Any]
    """Two that its description allows: with every field, and with those alone that must be there."""


Asked = tuple[Address, str, bytes, dict[str, str]]
"""To whom, at which path, a body, and headers beside the usual ones."""


def sample(schema: dict[str, Any], parts: dict[str, Any], whole: bool, depth: int = 0) -> Any:
    """A value of a schema, as simple as can be; `whole`: with every field it may have."""
    if "$ref" in schema:
        return sample(parts[schema["$ref"].rpartition("/")[2]], parts, whole, depth)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return sample(schema[key][0], parts, whole, depth)
    kind = schema.get("type", "object")
    if kind == "object":
        named = {name: inner for name, inner in schema.get("properties", {}).items() if whole or name in schema.get("required", ())}
        return {} if depth > 6 else {name: sample(inner, parts, whole, depth + 1) for name, inner in named.items()}
    if kind == "array":
        items = schema.get("prefixItems") or [schema.get("items", {"type": "string"})] * max(1, schema.get("minItems", 1))
        return [] if depth > 6 else [sample(item, parts, whole, depth + 1) for item in items]
    return {"integer": 1, "number": 1.0, "boolean": False, "null": None}.get(kind, "x")


def addresses(told: dict[str, Any]) -> list[Address]:
    found = []
    for path, methods in sorted(told["paths"].items()):
        for method, operation in sorted(methods.items()):
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content is not None:
                role = min(ENDPOINTS[method.upper(), path].roles - {Role.PUBLIC})
                bodies = (sample(content["schema"], told["components"]["schemas"], whole=True),
                          sample(content["schema"], told["components"]["schemas"], whole=False))  # fmt: skip
                found.append(Address(method.upper(), path, role, bodies))
    return found


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each part of a value."""
    yield way
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*way, key))
    if isinstance(value, list) and value:
        yield from places(value[0], (*way, 0))


def spoiled(body: Any, way: tuple[Any, ...], raw: str) -> bytes:
    """The body with a piece of JSON in one place."""
    if not way:
        return raw.encode("utf-8", "surrogatepass")
    made = json.loads(json.dumps(body))
    inner = made
    for step in way[:-1]:
        inner = inner[step]
    inner[way[-1]] = "@HERE@"
    return json.dumps(made).replace('"@HERE@"', raw).encode("utf-8", "surrogatepass")


def corpus(told: dict[str, Any], count: int, known: dict[str, list[str]], seed: int = 1) -> Iterator[Asked]:
    """`count` requests; every address has its share."""
    rng, there = random.Random(seed), addresses(told)
    for n in range(count):
        at = there[n % len(there)]
        path = at.path
        for name, values in known.items():
            path = path.replace(f"{{{name}}}", rng.choice(values))
        headers = rng.choice(HEADERS) if rng.random() < 0.15 else {}
        if rng.random() < 0.15:
            yield at, path, rng.choice(WHOLE), headers
            continue
        body = at.bodies[rng.random() < 0.6]
        yield at, path, spoiled(body, rng.choice(list(places(body))), rng.choice(LEAVES)), headers


def feed(base: str, count: int) -> Counter[int]:
    office, who = Office(base), Person(base)
    told = who.get("/api/openapi.json")
    known = {
        "number": [office.dispatched(500, 500), "20200101-000001", "%00", "x"], "draft": [who.begin(), "none"],
        "layer": ["township", "squad"], "version": [who.get("/api/v1/in-force")["version"], "x"], "name": ["x", "%F0%9F%98%80"],
        "key": ["x"], "finding": ["x"], "job": ["x"], "n": ["0", "-1", str(BIG)], "feature": ["u00", "a%2Fb"], "squad": ["su00"],
        "code": ["GB30428:0504", "x"], "cluster": ["1", str(BIG)], "ruling": ["1", str(BIG)], "token": ["x"],
    }  # fmt: skip
    statuses, wrong = Counter[int](), []
    with httpx.Client(base_url=base, timeout=30) as http:  # a guard against hanging
        for at, path, body, headers in corpus(told, count, known):
            whose = {"X-Jieguan-Person": "x", "X-Jieguan-Role": at.role.value, "X-Jieguan-Squad": "su00", **JSON}
            sent = {name: value.encode("latin-1") for name, value in {**whose, **headers}.items()}
            answer = http.request(at.method, path, content=body, headers=sent)
            statuses[answer.status_code] += 1
            if answer.status_code >= 500:
                wrong.append(f"{answer.status_code} {at.method} {path} {body[:300]!r} {headers}: {answer.text[:200]}")
    print(f"\n{count} requests: {dict(sorted(statuses.items()))}")
    assert not wrong, "\n".join(wrong)
    return statuses


def test_g17_three_hundred_bad_inputs(base: str) -> None:
    statuses = feed(base, 300)
    assert statuses[422] > 100


@pytest.mark.slow
def test_g17_five_thousand_bad_inputs(base: str) -> None:
    statuses = feed(base, 5_000)
    assert statuses[422] > 2_000
