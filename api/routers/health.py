"""Is the process alive, can it work, how is it doing, and what can it be asked?"""

from __future__ import annotations

import hmac
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from api import telemetry
from api.draining import DRAINING, Stopping
from api.routers.asked import Of, StrictRoute
from api.security import is_loopback
from api.usecases import watching
from api.usecases.map_features import in_force
from routing.errors import JieguanError

router = APIRouter(route_class=StrictRoute, tags=["health"])
BY_OTHERS = ("forwarded", "x-forwarded-for", "x-real-ip")


@router.get("/healthz", summary="Alive; touches nothing")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz", summary="The database answers, and a map is in force; 503 while it is not so, and while the service stops")
def readyz(of: Of, request: Request) -> dict[str, Any]:
    if DRAINING.is_set():
        raise Stopping
    held = in_force(of)
    return {"status": "ready", "version": held.version, "development": request.app.state.serving.development}


@router.get("/metrics", summary="Figures for Prometheus; for this machine, or with the token of the settings", include_in_schema=False)
def metrics(of: Of, request: Request) -> Response:
    if not _watches(request):
        raise HTTPException(404)
    try:
        with of.db.reading() as session:
            found = watching.watched(session, of.now())
    except (JieguanError, SQLAlchemyError):
        found = None  # and is told as such
    body = telemetry.figures() + watching.exposition(found).encode()
    return Response(body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4, "Cache-Control": "no-store"})


def _watches(request: Request) -> bool:
    """With the token where there is one; else from this machine, and not by way of a proxy on it that would let in anybody."""
    token: str | None = request.app.state.serving.metrics_token
    if token is not None:
        return hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {token}".encode())
    host = None if request.client is None else request.client.host
    return is_loopback(host) and not any(name in request.headers for name in BY_OTHERS)


@router.get("/api/openapi.json", summary="This description", include_in_schema=False)
def description(request: Request) -> dict[str, Any]:
    told: dict[str, Any] = request.app.openapi()
    return told
