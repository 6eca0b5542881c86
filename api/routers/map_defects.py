"""The ledger of defects: what stays open, the heaviest first, and closing what is mended."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from api.routers.asked import In, Of, StrictRoute
from api.routers.jobs import studies
from api.schemas.map_drafts import NewClosing
from api.security import Writer
from api.usecases import map_defects as use
from api.usecases.map_jobs import cases_of

router = APIRouter(prefix="/api/v1", route_class=StrictRoute, tags=["defects"])

History = Annotated[str | None, Query(max_length=200, description="past cases that give each defect its weight, by name; else by area")]
Closed = Annotated[bool, Query(description="also those that are closed")]


@router.get("/defects", summary="The ledger of defects: open ones, the heaviest first, then those closed")
def defects(of: Of, lang: In, request: Request, history: History = None, closed: Closed = True) -> list[dict[str, Any]]:
    past = None if history is None else cases_of(studies(request), history)
    return use.defects(of, lang, past, closed)


@router.post("/defects/{key}/close", summary="Close a defect that the map in force no longer has")
def close(of: Of, key: str, body: NewClosing, person: Writer) -> dict[str, Any]:
    return use.close(of, key, person, body.reason, body.document)
