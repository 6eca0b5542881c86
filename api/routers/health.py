"""Is the process alive, can it work, and what can it be asked?"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from api.routers.asked import Of, StrictRoute
from api.usecases.map_features import in_force

router = APIRouter(route_class=StrictRoute, tags=["health"])


@router.get("/healthz", summary="Alive; touches nothing")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz", summary="The database answers, and a map is in force")
def readyz(of: Of, request: Request) -> dict[str, Any]:
    held = in_force(of)
    return {"status": "ready", "version": held.version, "development": request.app.state.serving.development}


@router.get("/api/openapi.json", summary="This description", include_in_schema=False)
def description(request: Request) -> dict[str, Any]:
    told: dict[str, Any] = request.app.openapi()
    return told
