"""OGC API - Features, Part 4: features of a draft created, replaced, updated, deleted, as QGIS and OWSLib do it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Query, Response

from api.routers.asked import IfMatch, Of, StrictRoute, checked, tag_of
from api.routers.ogc import At, the_draft
from api.schemas.map_rows import Feature, FeaturePatch
from api.security import Writer
from api.usecases import map_writes as use
from api.usecases.map_features import MapStore, feature_id, layer_named
from api.usecases.map_places import frame_named, shape_of
from api.usecases.map_writes import Given, Target
from geodata.layer import Row

router = APIRouter(
    prefix="/ogc/drafts/{draft}/collections/{layer}/items",
    route_class=StrictRoute,
    tags=["ogc: drafts"],
    dependencies=[Depends(the_draft)],
    strict_content_type=False,  # OWSLib names none when it replaces
)

ContentCrs = Annotated[str | None, Header(alias="Content-Crs", max_length=200, description="of the geometry sent; CRS84 unless stated")]
LostTo = Annotated[str | None, Query(max_length=200, description="whose becomes the ground that a unit gives up")]
Into = Annotated[str | None, Query(max_length=200, description="whose becomes the ground of a unit that goes")]


@router.post("", status_code=201, summary="Create a feature", response_class=Response)
def create(of: Of, at: At, layer: str, body: Feature, person: Writer, content_crs: ContentCrs = None) -> Response:
    to = Target(str(at.draft), layer_named(layer), person)
    row, _ = use.create(of, to, _given(of, to, body, content_crs), checked)
    where = f"{at.url}/collections/{layer}/items/{quote(feature_id(row), safe='')}"
    return Response(status_code=201, headers={"Location": where, **_tag(row)})


@router.put("/{feature:path}", status_code=204, summary="Replace a feature", response_class=Response)
def replace(
    of: Of, at: At, layer: str, feature: str, body: Feature, person: Writer,
    if_match: IfMatch = None, content_crs: ContentCrs = None, lost_to: LostTo = None,
) -> Response:  # fmt: skip
    to = Target(str(at.draft), layer_named(layer), person, tag_of(if_match))
    row, _ = use.change(of, to, feature, _given(of, to, body, content_crs), checked, lost_to)
    return Response(status_code=204, headers=_tag(row))


@router.patch("/{feature:path}", status_code=204, summary="Update a feature", response_class=Response)
def update(
    of: Of, at: At, layer: str, feature: str, body: FeaturePatch, person: Writer,
    if_match: IfMatch = None, content_crs: ContentCrs = None, lost_to: LostTo = None,
) -> Response:  # fmt: skip
    to = Target(str(at.draft), layer_named(layer), person, tag_of(if_match))
    row, _ = use.change(of, to, feature, _given(of, to, body, content_crs), checked, lost_to)
    return Response(status_code=204, headers=_tag(row))


@router.delete("/{feature:path}", status_code=204, summary="Delete a feature", response_class=Response)
def delete(
    of: Of, at: At, layer: str, feature: str, person: Writer, if_match: IfMatch = None, into: Into = None
) -> Response:
    use.delete(of, Target(str(at.draft), layer_named(layer), person, tag_of(if_match)), feature, into)
    return Response(status_code=204)


def _given(of: MapStore, to: Target, body: Feature | FeaturePatch, content_crs: str | None) -> Given:
    frame = frame_named(content_crs, of.desk.open(to.draft).settings.work_crs)
    shape = None if body.geometry is None else shape_of(body.geometry.model_dump())
    partial = isinstance(body, FeaturePatch)
    has_shape = "geometry" in body.model_fields_set or not partial
    return Given(body.properties or {}, shape, frame, has_shape, partial)


def _tag(row: Row) -> dict[str, str]:
    return {"ETag": f'"{row.hash}"'}
