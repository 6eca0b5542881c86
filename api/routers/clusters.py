"""Matters that span a line, looked at side by side; and rulings about who has what on it, offered to planners."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from api.routers.asked import In, StrictRoute
from api.routers.asked import Of as OfMap
from api.routers.cases import Key, Limit, Of, answered, asked
from api.schemas.clusters import ClusterIn, DeclineIn, JoinIn, TakeIn
from api.security import Who
from api.usecases import clusters, rulings

router = APIRouter(prefix="/api/v1/clusters", route_class=StrictRoute, tags=["clusters"])
offers = APIRouter(prefix="/api/v1/rulings", route_class=StrictRoute, tags=["rulings"])

Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
Standing = Literal[rulings.STANDINGS]  # type: ignore[valid-type]
Before = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="`next` of the page before")]


@router.post("", status_code=201, summary="Cases on the two sides of a line become one matter, worked on jointly")
def begin(of: Of, who: Who, request: Request, response: Response, body: ClusterIn, lang: In, key: Key = None) -> Any:
    return answered(clusters.begin(of, who, body.value(), asked(request, body.model_dump(mode="json"), key), lang), response)


@router.get("", summary="Such matters, the latest first")
def found(
    of: Of, who: Who, closed: Annotated[bool | None, Query(description="false: open ones; true: ended ones")] = None, limit: Limit = 50,
    before: Before = None,
) -> dict[str, Any]:  # fmt: skip
    return clusters.found(of, who, closed, limit, before)


@router.get("/{cluster}", summary="How the sides were treated: times, ends, and the gap between them")
def one(of: Of, who: Who, cluster: Id, lang: In) -> dict[str, Any]:
    return clusters.one(of, who, cluster, lang)


@router.post("/{cluster}/joint", summary="Joint work on those cases that had not come so far before")
def join(of: Of, who: Who, request: Request, response: Response, cluster: Id, body: JoinIn, lang: In, key: Key = None) -> Any:
    return answered(clusters.join(of, who, cluster, body.reason, asked(request, body.model_dump(mode="json"), key), lang), response)


@offers.get("", summary="A superior's words for single cases, offered as standing designations")
def offered(
    of: Of, who: Who, standing: Annotated[Standing | None, Query()] = None, limit: Limit = 50,
    after: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="`next` of the page before")] = None,
) -> dict[str, Any]:  # fmt: skip
    return rulings.found(of, who, standing, limit, after)


@offers.post("/{ruling}/take", summary="Into a draft as a designation, with the end of the offer: both or nothing")
def take(of: Of, of_map: OfMap, who: Who, ruling: Id, body: TakeIn) -> dict[str, Any]:
    return rulings.take(of, of_map.desk, who, ruling, body.value())


@offers.post("/{ruling}/decline", summary="It stays a word for its one case")
def decline(of: Of, who: Who, ruling: Id, body: DeclineIn) -> dict[str, Any]:
    return rulings.decline(of, who, ruling, body.reason)
