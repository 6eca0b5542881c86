"""What the public is shown: the rows, one more, one ended."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from api.routers.asked import In, StrictRoute
from api.routers.cases import Limit, Mark, Number, Of
from api.schemas.publication import RuleEnd, RuleIn
from api.security import Who
from api.usecases import publication, publishing, queues

router = APIRouter(prefix="/api/v1/publication-rules", route_class=StrictRoute, tags=["public"])
cases = APIRouter(prefix="/api/v1/published", route_class=StrictRoute, tags=["public"])


@router.get("", summary="What the public is shown of a case, by category and field, with the document that says so")
def listed(of: Of) -> dict[str, Any]:
    return publishing.listed(of)


@router.post("", status_code=201, summary="Another rule from an instant on; the one before it ends there")
def put(of: Of, who: Who, body: RuleIn) -> dict[str, Any]:
    return publishing.put(of, who, publishing.NewRule(**body.model_dump()))


@router.post("/end", summary="A category has no rule of its own any more")
def end(of: Of, who: Who, body: RuleEnd) -> dict[str, Any]:
    return publishing.end(of, who, **body.model_dump())


@cases.get("", summary="Cases that have ended, as the public may read them, the latest first")
def published(of: Of, lang: In, limit: Limit = 50, after: Mark = None) -> dict[str, Any]:
    return publication.listed(of, limit, queues.after(after), lang)


@cases.get("/{number}", summary="One of them, with the words a rule publishes, and no person in them")
def one(of: Of, number: Number, lang: In) -> dict[str, Any]:
    return publication.one(of, number, lang)
