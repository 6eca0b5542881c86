"""Questions to the past that take their time: histories, what-if, border practice. Each POST is answered with a job to be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response
from pydantic import Field

from api.problems import as_parameters, problem_of
from api.receiving import File
from api.routers.asked import IfMatch, In, StrictRoute, revision_of
from api.routers.files import FileRoute, file_body
from api.routers.map_drafts import tagged
from api.routers.map_versions import Limit, Offset
from api.schemas import map_jobs as sent
from api.schemas.files import Blank, CrsCode
from api.schemas.strict import Instant, Line
from api.security import Writer
from api.usecases import map_jobs as use
from api.usecases.jobs import Job, OneProcess
from api.usecases.map_drafts import By
from api.usecases.map_jobs import Studies
from api.usecases.route_file import How, PointFile
from api.words import word
from routing.errors import Lang
from routing.route import CAP_M

router = APIRouter(prefix="/api/v1", route_class=StrictRoute, tags=["jobs"])
files = APIRouter(prefix="/api/v1", route_class=FileRoute, tags=["histories"])


def studies(request: Request) -> Studies:
    """What this process keeps of the past. Raises OneProcess."""
    workers = request.app.state.serving.workers
    if workers > 1:
        raise OneProcess(workers=workers)
    kept: Studies = request.app.state.studies
    return kept


async def at_hand(request: Request) -> Studies:
    """The same, for an endpoint."""
    return studies(request)


At = Annotated[Studies, Depends(at_hand)]
NEW_JOB: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "the job; Location is where to look at it",
        "headers": {"Location": {"schema": {"type": "string"}}},
        "content": {"application/json": {"examples": {"running": sent.JOB_EXAMPLES["running"]}}},
    }
}
A_JOB: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"examples": sent.JOB_EXAMPLES}}}}

# --- jobs ---


@router.get("/jobs", summary="All jobs of this process, the latest first, without their results")
def jobs(at: At, lang: In) -> list[dict[str, Any]]:
    return [_head(job, lang) for job in at.jobs.all()]


@router.get("/jobs/{job}", summary="How far a job is; its result, or its problem", responses=A_JOB)
def job(at: At, job: str, lang: In) -> dict[str, Any]:
    return _told(at.jobs.get(job), lang)


@router.delete(
    "/jobs/{job}", summary="Cancel a job: one that runs stops at its next word of progress", responses=A_JOB
)
def cancel(at: At, job: str, lang: In) -> dict[str, Any]:
    return _told(at.jobs.cancel(job), lang)


@router.get("/jobs/{job}/moved", summary="The cases that a what-if moves, page by page")
def moved(at: At, job: str, limit: Limit = 1000, offset: Offset = 0) -> dict[str, Any]:
    return use.moved_page(at, job, limit, offset)


# --- histories ---


def _said(name: str) -> Any:
    """What the command line says of the option."""
    return Query(description=f"{word(name, 'zh-CN')} / {word(name, 'en')}")


def columns(
    lon: Annotated[sent.Column, _said("lon")] = None,
    lat: Annotated[sent.Column, _said("lat")] = None,
    x: Annotated[sent.Column, _said("x")] = None,
    y: Annotated[sent.Column, _said("y")] = None,
    crs: Annotated[CrsCode | None, Blank, _said("crs")] = None,
    datum: Annotated[sent.Column, _said("datum")] = None,
    error_m: Annotated[float, Field(allow_inf_nan=False, ge=0, le=100_000), _said("error_m")] = 0.0,
    error_field: Annotated[sent.Column, _said("error_field")] = None,
    category_field: Annotated[sent.Column, _said("category_field")] = None,
    at_field: Annotated[sent.Column, _said("at_field")] = None,
    at: Annotated[Instant | None, Blank, _said("at")] = None,
    case_field: Annotated[sent.Column, _said("case_field")] = None,
    found_by_field: Annotated[sent.Column, _said("found_by_field")] = None,
    timezone: Annotated[Line, _said("timezone")] = "Asia/Shanghai",
) -> PointFile:
    """Which columns of a file of cases hold what."""
    return PointFile(
        "", lon, lat, x, y, crs, datum, error_m, error_field, category_field, at_field, None if at is None else at.isoformat(),
        case_field, found_by_field, timezone,
    )  # fmt: skip


@files.post(
    "/histories",
    status_code=202,
    summary="Past cases, for what-if and practice: of each only place, time, category, squads and case id are kept",
    openapi_extra=file_body("CSV or Parquet"),
    responses=NEW_JOB,
)
def keep_history(
    at: At,
    person: Writer,
    file: File,
    name: Annotated[sent.HistoryName, Query(description="what it is to be called")],
    source: Annotated[PointFile, Depends(columns)],
    response: Response,
    lang: In,
    recorded: Annotated[sent.Column, _said("practice_recorded")] = None,
) -> dict[str, Any]:
    return _begun(use.keep_history(at, name, file.file, source, recorded, person), response, lang)


@router.get("/histories", summary="The past cases at hand", tags=["histories"])
def histories(at: At) -> list[dict[str, Any]]:
    return [_here(kept.told()) for kept in at.histories.all()]


@router.delete(
    "/histories/{name}", status_code=204, summary="Forget a history", response_class=Response, tags=["histories"],
)
def forget_history(at: At, name: str) -> Response:
    use.forget_history(at, name)
    return Response(status_code=204)


# --- what they are asked ---


@router.post("/drafts/{draft}/what-if", status_code=202, summary="What the draft would do to past cases", responses=NEW_JOB)
def what_if(
    at: At,
    draft: str,
    body: Annotated[sent.NewWhatIf, Body(openapi_examples=dict(sent.WHAT_IF_EXAMPLES))],
    person: Writer,
    response: Response,
    lang: In,
    if_match: IfMatch = None,
) -> dict[str, Any]:
    how = How(body.zone_m, CAP_M if body.margin_cap_m is None else body.margin_cap_m)
    by = By(draft, person, revision_of(if_match, body.revision))
    return _begun(use.what_if(at, by, use.whose(body.history, body.cases), how), response, lang)


@router.post("/practice", status_code=202, summary="Who handled what beside a line: proposals, and places to watch", responses=NEW_JOB)
def practice(
    at: At,
    body: Annotated[sent.NewPractice, Body(openapi_examples=dict(sent.PRACTICE_EXAMPLES))],
    person: Writer,
    response: Response,
    lang: In,
) -> dict[str, Any]:
    return _begun(use.ask_practice(at, body.history, body.since, person), response, lang)


@router.post("/drafts/{draft}/practice/{job}/{n}", status_code=201, summary="A proposal becomes an agreement of the draft, by a document")
def agree(
    at: At,
    draft: str,
    job: str,
    n: Annotated[int, Path(ge=0, le=10**6, description="number of the proposal, from 0")],
    body: Annotated[sent.NewAgreement, Body(openapi_examples=dict(sent.AGREEMENT_EXAMPLES))],
    person: Writer,
    response: Response,
    if_match: IfMatch = None,
) -> dict[str, Any]:
    by = By(draft, person, revision_of(if_match, body.seen))
    return tagged(use.agree(at, by, job, n, body.document), response)


# --- a job as it is told ---


def _begun(job: Job, response: Response, lang: Lang) -> dict[str, Any]:
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return _told(job, lang)


def _head(job: Job, lang: Lang) -> dict[str, Any]:
    times = {"created_at": job.created, "started_at": job.started, "finished_at": job.finished}
    return {
        "id": job.id, "kind": job.kind, "state": job.state.value, "cancelling": job.cancelling, "stage": job.stage,
        "stage_name": None if job.stage is None else word(f"stage_{job.stage}", lang), "progress": round(job.share, 3), "by": job.by,
        "about": dict(job.about), **{name: None if at is None else at.isoformat() for name, at in times.items()},
    }  # fmt: skip


def _here(told: Mapping[str, Any]) -> dict[str, Any]:
    """Its notes speak of parameters, not of options."""
    return {**told, "notes": as_parameters(told["notes"])}


def _told(job: Job, lang: Lang) -> dict[str, Any]:
    result = None if job.result is None else _here(job.result.told)
    return {**_head(job, lang), "result": result, "problem": None if job.error is None else problem_of(job.error, lang)}
