"""OGC API - Features at /ogc: the map in force, and beside it every draft with a landing page of its own.

Part 1 (core, GeoJSON, OpenAPI), Part 2 (coordinates by reference), Part 4 (create, replace, update, delete; drafts only), and the
schemas of Part 5. One set of handlers serves both trees; what differs is the root.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from api.access import LOOKS_AT_DRAFTS
from api.description import of_role
from api.routers.asked import In, Of, StrictRoute, tag_of
from api.routers.pages import GEOJSON, Features, collection_answer
from api.schemas.map_rows import TITLES, json_schema
from api.schemas.strict import instant
from api.security import Who
from api.usecases import map_drafts
from api.usecases.map_features import (
    Asked,
    MapStore,
    Shelf,
    bounds_of,
    in_force,
    layer_named,
    one,
    page,
    period_of,
    shelf_in_force,
    shelf_of_draft,
)
from api.usecases.map_places import CRS84, Frame, box_of, frame_named, frames
from geodata.drafts import OPEN
from geodata.layer import LayerName
from routing.errors import Lang

MOST = 10_000
"""Features of one page; more are not an error, there is a next page."""
OPENAPI = "application/vnd.oai.openapi+json;version=3.0"
"""What GDAL and OWSLib look for, to the letter; the document itself says which version it is."""
SCHEMA = "application/schema+json"
REL = "http://www.opengis.net/def/rel/ogc/1.0"

CONFORMS = [
    *(f"http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/{c}" for c in ("core", "geojson")),
    "http://www.opengis.net/spec/ogcapi-features-2/1.0/conf/crs",
    *(f"http://www.opengis.net/spec/ogcapi-features-5/1.0/conf/{c}" for c in ("schemas", "queryables")),
]
CONFORMS_WRITING = [
    f"http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/{c}"
    for c in ("create-replace-delete", "update", "optimistic-locking-etags", "features")
]


class Described(JSONResponse):
    media_type = OPENAPI


class SchemaTold(JSONResponse):
    media_type = SCHEMA


@dataclass(frozen=True, slots=True)
class Root:
    """The landing page somebody came by: its address, and which draft it is of, if any."""

    url: str
    draft: str | None

    def shelf(self, of: MapStore, layer: LayerName, state: str | None = None) -> Shelf:
        """A layer, as it is or as it was in the state a link names."""
        if self.draft is None:
            return shelf_in_force(of, layer, state)
        revision = int(state) if state is not None and state.isascii() and state.isdigit() and len(state) < 10 else None
        return shelf_of_draft(of, self.draft, layer, revision)[0]

    def state(self, shelf: Shelf) -> str:
        """What a link to more of the same shelf says."""
        return shelf.state.rpartition(":")[2]


def root(request: Request) -> Root:
    """Where the request came in."""
    draft = request.path_params.get("draft")
    base = f"{str(request.base_url).rstrip('/')}/ogc"
    return Root(base if draft is None else f"{base}/drafts/{quote(draft, safe='')}", draft)


def the_draft(draft: str) -> str:
    """Named in the address; tells OpenAPI so."""
    return draft


At = Annotated[Root, Depends(root)]
Crs = Annotated[str | None, Query(max_length=200, description="URI of the system of the answer")]
Name = Annotated[str | None, Query(max_length=500)]

of_map = APIRouter(prefix="/ogc", route_class=StrictRoute, tags=["ogc"])
of_draft = APIRouter(
    prefix="/ogc/drafts/{draft}", route_class=StrictRoute, tags=["ogc: drafts"], dependencies=[Depends(the_draft)]
)


def landing(of: Of, at: At, lang: In, asker: Who) -> dict[str, Any]:
    """Where everything else is; drafts only for those who may look at them."""
    links = [
        _link(at.url, "self", "application/json"),
        _link(f"{at.url}/api", "service-desc", OPENAPI),
        _link(f"{at.url}/conformance", "conformance", "application/json"),
        _link(f"{at.url}/collections", "data", "application/json"),
    ]
    if at.draft is not None:
        standing = map_drafts.draft(of, at.draft)
        title = f"草案:{standing['name']}" if lang == "zh-CN" else f"Draft: {standing['name']}"
        return {"title": title, "description": standing["state"], "links": links}
    for one_draft in map_drafts.drafts(of) if asker.role in LOOKS_AT_DRAFTS.roles else ():
        if one_draft["state"] == OPEN:
            url = f"{at.url}/drafts/{one_draft['id']}"
            links.append({**_link(url, "related", "application/json"), "title": one_draft["name"]})
    title = "界管:现行辖区地图" if lang == "zh-CN" else "jieguan: the map in force"
    return {"title": title, "description": "", "links": links}


def conformance(at: At) -> dict[str, Any]:
    """What of the standard is kept."""
    return {"conformsTo": CONFORMS + (CONFORMS_WRITING if at.draft is not None else [])}


def description(request: Request, asker: Who) -> Response:
    """OpenAPI, of what the asker may ask."""
    return Described(of_role(request.app, asker.role))


def collections(of: Of, at: At, lang: In) -> dict[str, Any]:
    """All layers."""
    shelves = [at.shelf(of, LayerName.EXTENT, None if at.draft else in_force(of).version)]
    state = at.state(shelves[0])
    shelves += [at.shelf(of, layer, state) for layer in LayerName if layer is not LayerName.EXTENT]
    links = [_link(f"{at.url}/collections", "self", "application/json")]
    return {"links": links, "crs": list(frames(shelves[0].work_crs)), "collections": [_collection(s, at, lang) for s in shelves]}


def collection(of: Of, at: At, layer: str, lang: In) -> dict[str, Any]:
    """One layer."""
    return _collection(at.shelf(of, layer_named(layer)), at, lang)


def schema(at: At, layer: str, lang: In) -> Response:
    """A layer's columns."""
    return _schema(at, layer_named(layer), lang, "schema")


def queryables(at: At, layer: str, lang: In) -> Response:
    """What features may be selected by, beside place and time."""
    return _schema(at, layer_named(layer), lang, "queryables")


def items(
    of: Of,
    at: At,
    request: Request,
    layer: str,
    limit: Annotated[int, Query(ge=1, description=f"at most {MOST}")] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
    bbox: Annotated[str | None, Query(max_length=400)] = None,
    bbox_crs: Annotated[str | None, Query(alias="bbox-crs", max_length=200)] = None,
    datetime_: Annotated[str | None, Query(alias="datetime", max_length=100)] = None,
    crs: Crs = None,
    code: Name = None,
    name: Name = None,
    version: Annotated[str | None, Query(max_length=100, description="the state of the map that earlier pages were of")] = None,
) -> Response:
    """Features of a layer, in order of their codes."""
    shelf = at.shelf(of, layer_named(layer), version)
    frame, box_frame = frame_named(crs, shelf.work_crs), frame_named(bbox_crs, shelf.work_crs)
    box = None if bbox is None else box_of(bbox, box_frame)
    during = None if datetime_ is None else period_of(datetime_, instant)
    found = page(shelf, Asked(frame, min(limit, MOST), offset, box, box_frame, during, code, name))
    state = at.state(shelf)
    here = f"{at.url}/collections/{layer}"
    links = [_link(_with(request, here, {}), "self", GEOJSON), _link(here, "collection", "application/json")]
    if found.next is not None:
        links.append(_link(_with(request, here, {"offset": str(found.next), "version": state}), "next", GEOJSON))
    said = {"timeStamp": datetime.now(UTC).isoformat(timespec="seconds"), "version": state, "links": links}
    return collection_answer(found, said, _crs_header(frame))


def item(
    of: Of,
    at: At,
    layer: str,
    feature: str,
    crs: Crs = None,
    if_none_match: Annotated[str | None, Header(alias="If-None-Match", max_length=1000)] = None,
) -> Response:
    """One feature; its ETag is the hash of what it says."""
    shelf = at.shelf(of, layer_named(layer))
    frame = frame_named(crs, shelf.work_crs)
    here = f"{at.url}/collections/{layer}"
    links = [_link(f"{here}/items/{quote(feature, safe='')}", "self", GEOJSON), _link(here, "collection", "application/json")]
    row, text = one(shelf, feature, frame, {"links": links})
    headers = {"ETag": f'"{row.hash}"', **_crs_header(frame)}
    if if_none_match is not None and row.hash in (tag_of(t) for t in if_none_match.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(text, headers=headers, media_type=GEOJSON)


for _router in (of_map, of_draft):
    _router.add_api_route("", landing, summary="Landing page")
    _router.add_api_route("/", landing, include_in_schema=False)
    _router.add_api_route("/conformance", conformance, summary="What of the standard is kept")
    _router.add_api_route("/api", description, summary="This description", response_class=Described)
    _router.add_api_route("/collections", collections, summary="All layers")
    _router.add_api_route("/collections/{layer}", collection, summary="One layer")
    _router.add_api_route("/collections/{layer}/schema", schema, summary="Its columns", response_class=SchemaTold)
    _router.add_api_route("/collections/{layer}/queryables", queryables, summary="What it may be asked by", response_class=SchemaTold)
    _router.add_api_route("/collections/{layer}/items", items, summary="Its features", response_class=Features)
    _router.add_api_route("/collections/{layer}/items/{feature:path}", item, summary="One feature", response_class=Features)


def _collection(shelf: Shelf, at: Root, lang: Lang) -> dict[str, Any]:
    here = f"{at.url}/collections/{shelf.layer.value}"
    known = frames(shelf.work_crs)
    bounds = bounds_of(shelf, known[CRS84])
    links = [
        _link(here, "self", "application/json"),
        _link(f"{here}/items", "items", GEOJSON),
        _link(f"{here}/schema", "describedby", SCHEMA),
        _link(f"{here}/schema", f"{REL}/schema", SCHEMA),
        _link(f"{here}/queryables", f"{REL}/queryables", SCHEMA),
    ]
    return {
        "id": shelf.layer.value, "title": TITLES[shelf.layer][lang == "en"], "itemType": "feature", "links": links,
        "crs": list(known), "storageCrs": list(known)[-1],
        **({} if bounds is None else {"extent": {"spatial": {"bbox": [bounds], "crs": CRS84}}}),
    }  # fmt: skip


def _schema(at: Root, layer: LayerName, lang: Lang, kind: str) -> Response:
    said = json_schema(layer)
    if kind == "queryables":
        said = {"type": "object", "properties": {k: said["properties"][k] for k in ("code", "name")}, "additionalProperties": False}
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{at.url}/collections/{layer.value}/{kind}",
        "title": TITLES[layer][lang == "en"],
    }
    return SchemaTold({**head, **said})


def _crs_header(frame: Frame) -> dict[str, str]:
    return {"Content-Crs": f"<{frame.uri}>"}


def _link(href: str, rel: str, type_: str) -> dict[str, str]:
    return {"href": href, "rel": rel, "type": type_}


def _with(request: Request, here: str, more: Mapping[str, str]) -> str:
    said = {**dict(request.query_params), **more}
    return f"{here}/items" + (f"?{urlencode(said)}" if said else "")
