"""OpenAPI of the service: whole for those who work with it, and for others what they may ask."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from api.access import ENDPOINTS
from routing.case import Role

SCHEMAS = "#/components/schemas/"


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
    return {**whole, "paths": kept, "components": {"schemas": {name: schemas[name] for name in sorted(named)}}}


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
