"""What lies with a case: who complained, who looked, attachments; and cases that come as a file."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from api.pictures import SUFFIXES
from api.receiving import File
from api.routers.asked import In, StrictRoute
from api.routers.cases import Key, Number, Of, answered, asked
from api.routers.files import FileRoute, disposition, file_body
from api.schemas.case_files import RevealIn
from api.schemas.cases import complaint_of
from api.schemas.files import FileName
from api.security import Who
from api.usecases import attachments, batch, dossier, reporters
from api.usecases.attachments import Sent

router = APIRouter(prefix="/api/v1/cases/{number}", route_class=StrictRoute, tags=["case files"])
tables = APIRouter(prefix="/api/v1/cases", route_class=FileRoute, tags=["cases"])
files = APIRouter(prefix="/api/v1/cases/{number}", route_class=FileRoute, tags=["case files"])

Id = Annotated[str, Path(min_length=1, max_length=60)]
UNNAMED = "attachment"
ALONE = {
    "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'", "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}  # fmt: skip
"""A file somebody sent is shown to nobody as a page of ours, and kept by nobody on the way."""
A_FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "the file", "content": {media: {"schema": {"type": "string", "format": "binary"}} for media in SUFFIXES}}
}


FORMS = {"pdf": (dossier.pdf, "application/pdf"), "zip": (dossier.archive, "application/zip")}
DOSSIER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the dossier",
        "content": {media: {"schema": {"type": "string", "format": "binary"}} for _, media in FORMS.values()},
    }
}


@router.get("/reporter", summary="Who complained, masked; nothing to those who may not ask")
def reporter(of: Of, who: Who, response: Response, number: Number) -> dict[str, Any]:
    response.headers["Cache-Control"] = "no-store"
    return reporters.reporter(of, who, number)


@router.post("/reporter/reveal", summary="Who complained, in full, for a reason; the look is recorded")
def reveal(of: Of, who: Who, response: Response, number: Number, body: RevealIn) -> dict[str, Any]:
    response.headers["Cache-Control"] = "no-store"
    return reporters.reveal(of, who, number, body.reason)


@router.get("/accesses", summary="Who saw what, when and why")
def accesses(of: Of, who: Who, number: Number) -> dict[str, Any]:
    return reporters.accesses(of, who, number)


@router.get("/history", summary="All there is of a case, in order, as values")
def history(of: Of, who: Who, number: Number, lang: In) -> dict[str, Any]:
    return dossier.history(of, who, number, lang)


@router.get(
    "/dossier", summary="A case to be kept or handed on: a PDF, or a ZIP with its files and their hashes", response_class=Response,
    responses=DOSSIER,
)  # fmt: skip
def dossier_of(
    of: Of, who: Who, number: Number, lang: In, form: Annotated[Literal["pdf", "zip"], Query()] = "pdf",
    reporter: Annotated[bool, Query(description="who complained, in full: a look, and recorded as one")] = False,
) -> Response:  # fmt: skip
    make, media = FORMS[form]
    made = make(of, who, number, dossier.Wanted(lang, reporter))
    return Response(made, 200, {**ALONE, "Content-Disposition": disposition(f"dossier-{number}", f".{form}")}, media)


@router.get("/attachments", summary="The files of a case")
def listed(of: Of, who: Who, number: Number) -> dict[str, Any]:
    return attachments.listed(of, who, number)


@files.post(
    "/attachments", status_code=201, summary="Attach a file; pictures are drawn anew, without what telephones write into them",
    openapi_extra=file_body("JPEG, PNG, WebP, PDF or MP4"),
)  # fmt: skip
def attach(
    of: Of, who: Who, request: Request, response: Response, number: Number, file: File,
    name: Annotated[FileName | None, Query(description="of the file; a form names it itself")] = None, key: Key = None,
) -> Any:  # fmt: skip
    sent = Sent(name or file.name or UNNAMED, file.file.read())
    content = {"name": sent.name, "sha256": hashlib.sha256(sent.data).hexdigest()}
    return answered(attachments.attach(of, who, number, sent, asked(request, content, key)), response)


@router.get("/attachments/{attachment}", summary="A file", response_class=Response, responses=A_FILE)
def fetched(of: Of, who: Who, number: Number, attachment: Id) -> Response:
    file = attachments.fetched(of, who, number, attachment)
    named = {"Content-Disposition": disposition(file.name, SUFFIXES[file.media_type])}
    return Response(file.data, 200, {**ALONE, **named}, file.media_type)


@tables.post(
    "/batch", summary="A table of complaints (CSV, XLSX), each row a case or a reason; the same file again makes nothing twice",
    openapi_extra=file_body("CSV (UTF-8, GB 18030) or XLSX, up to 10,000 rows; columns: " + ", ".join(batch.COLUMNS)),
    responses={200: {"content": {"application/json": {}, "text/csv": {"schema": {"type": "string"}}}}},
)  # fmt: skip
def take_in_batch(
    of: Of, who: Who, response: Response, file: File, lang: In, key: Key = None,
    report: Annotated[Literal["json", "csv"], Query(description="csv: the table as it was sent, with number, squad and error")] = "json",
) -> Any:  # fmt: skip
    done = batch.take(of, who, file.file, key, complaint_of, lang)
    response.headers["Cache-Control"] = "no-store"
    if report == "json":
        return done.told(lang)
    return Response(done.table(lang), 200, {**ALONE, "Content-Disposition": disposition("report", ".csv")}, "text/csv; charset=utf-8")
