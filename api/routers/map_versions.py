"""Versions and publications of the map."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from api.routers.asked import Of, StrictRoute
from api.routers.pages import Features, collection_answer
from api.schemas.map_drafts import NewRollback
from api.schemas.strict import Instant
from api.security import Writer
from api.usecases import map_versions as use
from api.usecases.map_features import Asked, layer_named, page, shelf_in_force
from api.usecases.map_places import plain_frame
from geodata.store import Signing

router = APIRouter(prefix="/api/v1", route_class=StrictRoute, tags=["versions"])

At = Annotated[Instant | None, Query(description="an instant with its zone; now, unless stated")]
Known = Annotated[Instant | None, Query(description="as it was known at this instant")]
Crs = Annotated[Literal["lonlat", "work"], Query(description="longitude, latitude (WGS-84); or metres east, north of the work CRS")]
Limit = Annotated[int, Query(ge=1, le=10_000)]
Offset = Annotated[int, Query(ge=0, le=10**9)]


@router.get("/in-force", summary="The publication that holds at an instant, or was thought to")
def in_force(of: Of, at: At = None, known: Known = None) -> dict[str, Any]:
    return use.holding(of, at, known)


@router.get("/publications", summary="All publications, in order")
def publications(of: Of, known: Known = None) -> list[dict[str, Any]]:
    return use.publications(of, known)


@router.get("/versions", summary="All versions recorded, the latest first")
def versions(of: Of) -> list[dict[str, Any]]:
    return use.versions(of)


@router.get("/versions/{version}", summary="One version")
def version(of: Of, version: str) -> dict[str, Any]:
    return use.version(of, version)


@router.get("/versions/{version}/certificate", summary="The proof it was published with")
def certificate(of: Of, version: str) -> dict[str, Any]:
    return use.certificate(of, version)


@router.get("/versions/{version}/layers/{layer}", summary="The rows of a layer, as GeoJSON", response_class=Features)
def rows(of: Of, version: str, layer: str, crs: Crs = "lonlat", limit: Limit = 1000, offset: Offset = 0) -> Response:
    shelf = shelf_in_force(of, layer_named(layer), version)
    found = page(shelf, Asked(plain_frame(crs == "work", shelf.work_crs), limit, offset))
    return collection_answer(found, {"version": shelf.state, "layer": layer, "next_offset": found.next})


@router.post("/versions/{version}/roll-back", status_code=201, summary="Publish an earlier version again")
def roll_back(of: Of, version: str, body: NewRollback, person: Writer) -> dict[str, Any]:
    return use.roll_back(of, version, Signing(person, body.reason, body.document), body.valid_from)
