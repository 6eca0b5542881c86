"""Limits of time and reminders: what is in force, added, ended."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from api.routers.asked import In, StrictRoute
from api.routers.cases import Of
from api.schemas.limits import EndIn, LimitIn, RungIn
from api.schemas.strict import Instant
from api.security import Who
from api.usecases import limits as use

router = APIRouter(prefix="/api/v1", route_class=StrictRoute, tags=["limits"])
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("/limits", summary="The limits in force, the ladder of reminders, and the calendar they are counted by")
def listed(of: Of, _: Who, lang: In, at: Annotated[Instant | None, Query()] = None) -> dict[str, Any]:
    return use.listed(of, at, lang)


@router.post("/limits", status_code=201, summary="Put a limit in force, by a document")
def add(of: Of, who: Who, body: LimitIn, lang: In) -> dict[str, Any]:
    return use.add(of, who, body.value(), lang)


@router.post("/limits/{limit}/end", summary="End a limit; clocks that run by it go on")
def end(of: Of, who: Who, limit: Id, body: EndIn, lang: In) -> dict[str, Any]:
    return use.end(of, who, limit, body.until, body.document, lang)


@router.post("/escalations", status_code=201, summary="Put a rung in the ladder of reminders, by a document")
def add_rung(of: Of, who: Who, body: RungIn, lang: In) -> dict[str, Any]:
    return use.add_rung(of, who, body.value(), lang)


@router.post("/escalations/{escalation}/end", summary="Take a rung out of the ladder")
def end_rung(of: Of, who: Who, escalation: Id, body: EndIn, lang: In) -> dict[str, Any]:
    return use.end_rung(of, who, escalation, body.until, body.document, lang)
