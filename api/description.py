"""OpenAPI of the service: whole for those who work with it, and for others what they may ask.

FastAPI describes what is taken and given; what every address has in common is added here, from the table of who may ask: how it is
refused, how one logs in, and that no text has hidden characters.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from api import georeport
from api.access import ENDPOINTS, OPEN, WELCOME
from api.problems import TITLES
from api.schemas.strict import PLAIN
from api.security import CSRF_HEADER, SAFE, SESSION
from routing.case import Role

SCHEMAS = "#/components/schemas/"
NO_NUL = "^[^\\u0000]*$"
PROBLEM = {
    "type": "object", "title": "Problem", "description": "RFC 9457", "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:jieguan:problem:UnknownCase"]}, "title": {"type": "string"},
        "status": {"type": "integer"}, "detail": {"type": "string"},
        "facts": {"type": "object", "description": "what the sentence names, by name"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object", "required": ["field", "reason"], "additionalProperties": False,
                "properties": {"field": {"type": "string"}, "reason": {"type": "string"}},
            },
        },
    },
    "additionalProperties": False,
}  # fmt: skip
ERRORS = {
    "type": "array", "title": "Errors", "description": "as Open311 has them",
    "items": {
        "type": "object", "required": ["code", "description"], "additionalProperties": False,
        "properties": {"code": {"type": "integer"}, "description": {"type": "string"}},
    },
}  # fmt: skip
LOGINS = {
    "token": {"type": "http", "scheme": "bearer", "description": "jieguan token new"},
    "session": {
        "type": "apiKey", "in": "cookie", "name": SESSION, "description": f"POST /api/v1/sessions; writing takes {CSRF_HEADER} too",
    },
}  # fmt: skip
TELLS_WHEN = {"Retry-After": {"description": "seconds", "required": True, "schema": {"type": "string", "pattern": "^[0-9]+$"}}}
STUDIES = ("/jobs", "/histories", "/practice", "/what-if", "/defects")
"""What one process keeps in its memory: refused where there are several."""
LOGS_IN = ("/api/v1/sessions", "/api/v1/login", "/password")


class Described(FastAPI):
    """An application whose description is complete."""

    _turn = threading.Lock()
    _complete = False

    def openapi(self) -> dict[str, Any]:
        """The description, made once."""
        with self._turn:
            told = super().openapi()
            if not self._complete:
                complete(told)
                self._complete = True
        return told


def complete(told: dict[str, Any]) -> None:
    """Add to a description what every address has in common."""
    parts = told.setdefault("components", {})
    parts.setdefault("schemas", {})["Problem"] = PROBLEM
    parts["schemas"]["Errors"] = ERRORS
    parts["securitySchemes"] = LOGINS
    for path, methods in told["paths"].items():
        for name, operation in methods.items():
            method, access = name.upper(), ENDPOINTS[name.upper(), path]
            logins: list[dict[str, list[str]]] = [{login: []} for login in LOGINS]
            operation["security"] = [] if access is OPEN else [*logins, {}] if access is WELCOME else logins
            if path.startswith(georeport.PREFIX):
                operation["responses"].pop("422", None)
            for status in refusals(method, path, operation):
                operation["responses"].setdefault(str(status), {})
                operation["responses"][str(status)] = _refused(status, open311=path.startswith(georeport.PREFIX))
            for parameter in operation.get("parameters", ()):
                if parameter["in"] in ("path", "query"):
                    _say(parameter["schema"], PLAIN)
    for schema in parts["schemas"].values():
        if schema is not PROBLEM and schema is not ERRORS:
            _say(schema, NO_NUL)


def refusals(method: str, path: str, operation: dict[str, Any]) -> Iterator[int]:
    """The statuses of `problems.STATUS` an address can answer with."""
    access = ENDPOINTS[method, path]
    named = {parameter["name"] for parameter in operation.get("parameters", ())}
    logs_in = any(part in path for part in LOGS_IN)
    if path.startswith(georeport.PREFIX):
        yield from (400, 403, 404, 408, 413, 500, 503, 507)
        return
    yield from (422, 503)
    if path.startswith("/ogc"):
        yield 400
    if access is not OPEN or logs_in:
        yield from (401, 403)
    if path != "/healthz":
        yield 404
    if "requestBody" in operation:
        yield from (400, 408, 413, 415)
    if method not in SAFE:
        yield from (409, 507)
    if "If-Match" in named:
        yield from (412, 428)
    if "{number}" in path:
        yield 410
    if logs_in:
        yield 429
    if any(part in path for part in STUDIES):
        yield 501
    yield 500


def _refused(status: int, *, open311: bool) -> dict[str, Any]:
    zh, en = TITLES[status]
    content: dict[str, Any] = {"application/problem+json": {"schema": {"$ref": f"{SCHEMAS}Problem"}}}
    if open311:
        content = {"application/json": {"schema": {"$ref": f"{SCHEMAS}Errors"}}, "text/xml": {"schema": {"type": "string"}}}
    described: dict[str, Any] = {"description": f"{zh} / {en}", "content": content}
    return described | ({"headers": TELLS_WHEN} if status in (429, 503) else {})


def _say(schema: Any, pattern: str) -> None:
    """Of every text that has no pattern yet."""
    if isinstance(schema, dict):
        said = schema.keys() & {"pattern", "enum", "const", "contentMediaType"} or schema.get("format") not in (None, "password")
        if schema.get("type") == "string" and not said:
            schema["pattern"] = pattern
        for key, inner in schema.items():
            if key not in ("examples", "example", "default", "enum", "const"):
                _say(inner, pattern)
    elif isinstance(schema, list):
        for inner in schema:
            _say(inner, pattern)


def of_role(app: FastAPI, role: Role) -> dict[str, Any]:
    """The description of what a role may ask, and of nothing else."""
    whole = app.openapi()
    kept = {
        path: found for path, methods in whole["paths"].items()
        if (found := {m: op for m, op in methods.items() if _may(role, m.upper(), path)})
    }  # fmt: skip
    schemas = whole.get("components", {}).get("schemas", {})
    named: set[str] = set()
    _named(kept, schemas, named)
    parts = {**whole.get("components", {}), "schemas": {name: schemas[name] for name in sorted(named)}}
    return {**whole, "paths": kept, "components": parts}


def _may(role: Role, method: str, path: str) -> bool:
    access = ENDPOINTS.get((method, path))
    return access is not None and role in access.roles


def _named(value: Any, schemas: dict[str, Any], found: set[str]) -> None:
    """The schemas that a part of a description names, and those that they name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str):
                name = inner.removeprefix(SCHEMAS)
                if (key == "$ref" or name != inner) and name in schemas and name not in found:
                    found.add(name)
                    _named(schemas[name], schemas, found)
            else:
                _named(inner, schemas, found)
    elif isinstance(value, list):
        for inner in value:
            _named(inner, schemas, found)
