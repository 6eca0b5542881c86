"""Repairs of a draft: what could be done about its findings, with pictures; made one by one, or several."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response

from api.routers.asked import IfMatch, In, Of, StrictRoute, revision_of
from api.routers.map_versions import Crs, Offset
from api.schemas import map_repairs as sent
from api.security import Writer
from api.usecases import map_repairs as use
from api.usecases.map_drafts import By
from api.usecases.map_repairs import Terms
from geodata.repairs import Widths

router = APIRouter(prefix="/api/v1", route_class=StrictRoute, tags=["repairs"])

Metres = Annotated[float, Query(ge=0, le=1_000_000, description="wider ones are left to people, metres")]
Order = Annotated[str, Query(max_length=10_000, description="who keeps an overlap, first first: a|b|c")]
Layer = Annotated[Literal["township", "territory"] | None, Query(description="all layers, unless stated")]
Limit = Annotated[int, Query(ge=1, le=500)]


def asked(
    overlap_m: Metres = sent.USUAL.overlap_m,
    gap_m: Metres = sent.USUAL.gap_m,
    snap_m: Metres = sent.USUAL.snap_m,
    order: Order = "",
    layer: Layer = None,
) -> Terms:
    """The terms in an address."""
    return Terms(Widths(overlap_m, gap_m, snap_m), tuple(code for code in order.split("|") if code), layer)


On = Annotated[Terms, Depends(asked)]


def terms_of(body: sent.NewRepair) -> Terms:
    """The terms in a body."""
    return Terms(Widths(body.overlap_m, body.gap_m, body.snap_m), tuple(body.order), body.layer)


class Picture(Response):
    media_type = "image/png"


@router.get("/drafts/{draft}/repairs", summary="What could be done about its findings, the ground before and after")
def repairs(of: Of, draft: str, terms: On, lang: In, crs: Crs = "lonlat", limit: Limit = 50, offset: Offset = 0) -> dict[str, Any]:
    return use.repairs(of, draft, terms, lang, crs == "work", limit, offset)


@router.get("/drafts/{draft}/repairs/{finding}", summary="One of them, tried on the draft as it stands")
def repair(of: Of, draft: str, finding: str, terms: On, lang: In, crs: Crs = "lonlat") -> dict[str, Any]:
    return use.repair(of, draft, finding, terms, lang, crs == "work")


@router.get("/drafts/{draft}/repairs/{finding}/picture", summary="Before and after, side by side, as a PNG", response_class=Picture)
def picture(of: Of, draft: str, finding: str, terms: On, lang: In) -> Response:
    headers = {"Content-Language": lang, "Cache-Control": "no-store"}
    return Picture(use.picture(of, draft, finding, terms, lang), 200, headers)


@router.post("/drafts/{draft}/repairs/{finding}", status_code=201, summary="Make one, as an edit")
def make(
    of: Of, draft: str, finding: str, body: sent.NewRepair, person: Writer, response: Response, if_match: IfMatch = None
) -> dict[str, Any]:
    by = By(draft, person, revision_of(if_match, body.seen))
    return _tagged(use.make(of, by, finding, terms_of(body)), response)


@router.post("/drafts/{draft}/repairs", summary="Make several, or all, each an edit or refused with its reason")
def make_several(
    of: Of, draft: str, body: sent.NewRepairs, person: Writer, lang: In, response: Response, if_match: IfMatch = None
) -> dict[str, Any]:
    by = By(draft, person, revision_of(if_match, body.seen))
    return _tagged(use.make_several(of, by, body.findings, terms_of(body), lang, body.limit), response)


def _tagged(standing: dict[str, Any], response: Response) -> dict[str, Any]:
    response.headers["ETag"] = f'"{standing["revision"]}"'
    return standing
