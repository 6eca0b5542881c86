"""Files in and out: layers of a draft edited in a GIS program, and copies of a draft or version for one."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.background import BackgroundTask

from api.problems import as_parameters
from api.receiving import FORM, RAW, File, receiving
from api.routers.asked import IfMatch, In, Of, StrictRoute, check_parameters, revision_of
from api.schemas import files as sent
from api.schemas.strict import Line
from api.security import Writer, admit
from api.usecases import layers_inout, map_drafts
from api.usecases.map_drafts import By
from api.usecases.map_features import MapStore
from geodata.exporting import DEFAULT_CRS
from geodata.layer import LayerName
from routing.errors import Lang

BLOCK = 1 << 20
SUFFIXES: Mapping[sent.FileFormat, tuple[str, str]] = {
    "gpkg": (".gpkg", "application/geopackage+sqlite3"),
    "shp": (".zip", "application/zip"),
    "geojson": (".geojson", "application/geo+json"),
}
NOTES = "X-Jieguan-Notes"
"""What was done to the content, in the language asked for, percent-encoded UTF-8, a line each."""


class FileRoute(StrictRoute):
    """A route whose body is a file, or has none: it is there when the endpoint begins."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer, known = super().get_route_handler(), self.parameters()
        takes_file = self.methods == {"POST"}

        async def handle(request: Request) -> Response:
            if not takes_file:
                return await answer(request)
            await admit(request, self.path_format)
            check_parameters(request, known)
            async with receiving(request):
                return await answer(request)

        return handle


def file_body(what: str) -> dict[str, Any]:
    """The body, as OpenAPI has it."""
    binary = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"file": binary}, "required": ["file"]}
    return {"requestBody": {"description": what, "required": True, "content": {RAW: {"schema": binary}, FORM: {"schema": form}}}}


router = APIRouter(prefix="/api/v1", route_class=FileRoute, tags=["files"])

Layer = Annotated[LayerName | None, sent.Blank, Query(description="what a file with one layer of another name holds")]
Format = Annotated[sent.FileFormat, Query(description="gpkg (with QGIS styles), shp (a zip of Shapefiles), geojson")]
Crs = Annotated[sent.CrsCode, Query(description="coordinate system of the file, by its code")]
OnlyLayer = Annotated[LayerName | None, sent.Blank, Query(description="this layer alone")]
A_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": f"the file; {NOTES} tells what the format could not hold",
        "content": {
            media: {"schema": {"type": "object"} if media.endswith("json") else {"type": "string", "format": "binary"}}
            for _, media in SUFFIXES.values()
        },
    }
}


@router.post(
    "/drafts/{draft}/uploads",
    summary="A layer edited elsewhere: each change accepted or refused, and written with apply=true",
    openapi_extra=file_body("GeoPackage, zipped Shapefiles, GeoJSON, GeoParquet or CSV"),
    responses={200: {"content": {"application/json": {"example": sent.UPLOADED_EXAMPLE}}}},
)
def upload(
    of: Of,
    draft: str,
    person: Writer,
    file: File,
    request: Request,
    name: Annotated[sent.FileName | None, Query(description="of the file; a form names it itself")] = None,
    layer: Layer = None,
    datum: Annotated[Line | None, sent.Blank, Query(description="the shift its degrees carry: wgs84, cgcs2000, gcj02, bd09")] = None,
    apply: Annotated[bool, Query(description="write what the draft can have; otherwise only tell")] = False,
    seen: Annotated[Annotated[int, Field(ge=0, le=2**31)] | None, Query(description="the revision its author looked at")] = None,
    if_match: IfMatch = None,
) -> dict[str, Any]:
    by = By(draft, person, revision_of(if_match, seen))
    fence = layers_inout.fence_for(request.app.state.serving.upload_bytes)
    done = layers_inout.upload(
        of.desk, by.draft, file.file, author=by.person, now=of.now(), name=name or file.name, size=file.size, layer=layer, datum=datum,
        apply=apply, seen=by.seen, fence=fence,
    )  # fmt: skip
    told: dict[str, Any] = as_parameters(done.json())
    return told


@router.get("/versions/{version}/export", summary="A version as a file", response_class=Response, responses=A_FILE)
def export_version(
    of: Of, version: str, lang: In, format: Format = "gpkg", crs: Crs = DEFAULT_CRS, layer: OnlyLayer = None  # noqa: A002 - as asked
) -> Response:
    return _file(of, f"jieguan-{version[:12]}", format, lang, version=version, crs=crs, layer=layer)


@router.get("/drafts/{draft}/export", summary="A draft as it stands, as a file", response_class=Response, responses=A_FILE)
def export_draft(
    of: Of, draft: str, lang: In, format: Format = "gpkg", crs: Crs = DEFAULT_CRS, layer: OnlyLayer = None  # noqa: A002 - as asked
) -> Response:
    standing = map_drafts.draft(of, draft)
    return _file(of, standing["name"], format, lang, draft=draft, crs=crs, layer=layer)


def _file(of: MapStore, name: str, kind: sent.FileFormat, lang: Lang, **what: Any) -> Response:
    """A copy as an answer. The file has no name any more when it is sent: it is gone when it has been, or when nobody fetches it."""
    suffix, media = SUFFIXES[kind]
    with TemporaryDirectory(prefix="jieguan-export-") as folder:
        path = Path(folder) / f"map{suffix}"
        done = layers_inout.export_map(of.db, path, now=of.now(), desk=of.desk, **what)
        file = path.open("rb")  # closed when it has been sent
    about = done.about
    if about.draft:
        name = f"{name}-{about.revision}"
    headers = {"Content-Disposition": disposition(name, suffix), "ETag": f'"{about.revision if about.draft else about.version}"'}
    if told := "\n".join(one.text(lang) for one in done.done.told):
        headers[NOTES] = quote(told)
    headers["Content-Length"] = str(file.seek(0, 2))
    file.seek(0)
    return StreamingResponse(iter(partial(file.read, BLOCK), b""), 200, headers, media, BackgroundTask(file.close))


def disposition(name: str, suffix: str) -> str:
    """Content-Disposition (RFC 6266): a plain name for old clients, the real one in UTF-8. Neither leads to another folder."""
    shown = "".join("_" if unicodedata.category(c)[0] in "CZ" or c in '/\\:*?"<>|' else c for c in name).strip("._") or "map"
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in shown)
    return f"attachment; filename=\"{plain[:100]}{suffix}\"; filename*=UTF-8''{quote(shown[:100] + suffix, safe='')}"
