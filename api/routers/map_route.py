"""Who is responsible here, now? Nothing is kept of the question."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from api.routers.asked import In, Of, StrictRoute
from api.schemas.map_route import Place, Places, Routed
from api.usecases import map_route as use

router = APIRouter(prefix="/api/v1", route_class=StrictRoute, tags=["route"])


@router.post("/route", summary="The responsible squad under the version in force", response_model=Routed)
async def route(of: Of, body: Place, lang: In) -> Any:
    asking = use.Asking(**body.model_dump())
    if use.is_quick(of, asking):  # a tenth of a millisecond: less than a thread takes to begin
        return use.decide(of, asking, lang)
    return await run_in_threadpool(use.decide, of, asking, lang)


@router.post("/route/many", summary="The same for up to 10,000 places at once, in their order")
def many(of: Of, body: Places, lang: In) -> dict[str, Any]:
    return use.decide_many(of, [use.Asking(**place.model_dump()) for place in body.places], body.reasons, lang)


@router.post("/explain", summary="... with what would change the answer, and the question that would settle a doubt")
def explain(of: Of, body: Place, lang: In) -> dict[str, Any]:
    return use.why(of, use.Asking(**body.model_dump()), lang)
