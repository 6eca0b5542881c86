"""Complaints taken in, cases looked at and moved, queues."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from api.routers.asked import In, StrictRoute, revision_of, tag_of
from api.schemas.cases import CategoryEnd, CategoryIn, ComplaintIn, OrderIn, TypedIn
from api.schemas.map_rows import CategoryCode
from api.schemas.strict import Code, Instant, instant
from api.security import Who
from api.usecases import intake, lifecycle, neighbours, queues, vocabulary
from api.usecases.lifecycle import VersionMissing
from api.usecases.office import Office
from api.usecases.queues import Filters
from api.usecases.replays import Answer, Asked
from api.words_cases import PARTS, STATES
from routing.case import State

router = APIRouter(prefix="/api/v1", route_class=StrictRoute, tags=["cases"])


async def office(request: Request) -> Office:
    """What the use cases of cases work with."""
    found: Office = request.app.state.office
    return found


Of = Annotated[Office, Depends(office)]
Number = Annotated[str, Path(min_length=1, max_length=40, description="20261122-000017")]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)]
Tag = Annotated[str | None, Header(alias="If-Match", max_length=200)]
Limit = Annotated[int, Query(ge=1, le=queues.MOST)]
Mark = Annotated[str | None, Query(max_length=200, description="`next` of the page before")]


def asked(request: Request, body: Mapping[str, Any], key: str | None) -> Asked:
    """The request as it is compared with one that comes again."""
    content = json.dumps([request.method, request.url.path, body], sort_keys=True, ensure_ascii=False, default=str)
    return Asked(key, content.encode())


def answered(answer: Answer, response: Response) -> Any:
    """An answer as HTTP has it."""
    response.status_code = answer.status
    response.headers.update(answer.headers)
    response.headers["Cache-Control"] = "no-store"
    if answer.again:
        response.headers["Idempotent-Replayed"] = "true"
    return answer.body


def filters(
    state: Annotated[State | None, Query(description=", ".join(STATES))] = None,
    category: Annotated[CategoryCode | None, Query()] = None,
    doubtful: Annotated[bool | None, Query()] = None,
    closed: Annotated[bool | None, Query(description="false: open cases; true: ended ones")] = False,
    since: Annotated[str | None, Query(max_length=40, description="received from then on")] = None,
    until: Annotated[str | None, Query(max_length=40, description="received before then")] = None,
) -> Filters:
    """Which cases."""
    return Filters(
        None, None if state is None else state.value, category, doubtful, closed, None,
        None if since is None else instant(since, "since"), None if until is None else instant(until, "until"),
    )  # fmt: skip


Asking = Annotated[Filters, Depends(filters)]


@router.post("/cases", status_code=201, summary="Take a complaint in: who is responsible, why, and in doubt the question to ask")
def take_in(of: Of, who: Who, request: Request, response: Response, body: ComplaintIn, lang: In, key: Key = None) -> Any:
    answer = intake.take_in(of, who, body.value(), asked(request, body.model_dump(mode="json"), key), lang)
    return answered(answer, response)


@router.post("/cases/suggestions", summary="While it is typed: what is known already near there, on this side of the line and across it")
def suggestions(of: Of, who: Who, body: TypedIn, lang: In) -> dict[str, Any]:
    return neighbours.suggestions(of, who, body.value(), lang)


@router.get("/cases", summary="Cases, red and doubtful first")
def found(
    of: Of, who: Who, lang: In, which: Asking, holder: Annotated[Code | None, Query()] = None, limit: Limit = 50, after: Mark = None
) -> dict[str, Any]:
    return queues.found(of, who, replace(which, holder=holder), limit, queues.after(after), lang)


@router.get("/cases/{number}", summary="A case, and what you may do to it now")
def one(of: Of, who: Who, response: Response, number: Number, lang: In) -> dict[str, Any]:
    told = queues.one(of, who, number, lang)
    response.headers["ETag"] = f'"{told["version"]}"'
    response.headers["Cache-Control"] = "no-store"
    return told


@router.post("/cases/{number}/actions", summary="Do something to a case; what is not allowed is refused with what is")
def act(
    of: Of, who: Who, request: Request, response: Response, number: Number, body: OrderIn, lang: In, key: Key = None, tag: Tag = None
) -> Any:
    stated = _version(tag)
    seen = body.seen if stated is None else stated
    if seen is None:
        raise VersionMissing
    content = {**body.model_dump(mode="json"), "seen": seen}
    answer = lifecycle.act(of, who, number, body.value(seen, tagged=stated is not None), asked(request, content, key), lang)
    return answered(answer, response)


def _version(tag: str | None) -> int | None:
    """The version of an If-Match. Raises BadTag."""
    return revision_of(tag, None) if tag_of(tag) is not None else None


@router.get("/cases/{number}/events", summary="What was done to a case, in order")
def story(of: Of, who: Who, number: Number, lang: In) -> dict[str, Any]:
    return queues.story(of, who, number, lang)


@router.get("/cases/{number}/holdings", summary="Who held a case from when to when")
def held(of: Of, who: Who, number: Number) -> dict[str, Any]:
    return queues.held(of, who, number)


@router.get("/squads/{squad}/queue", summary="A squad's cases: held, joint, assisting, held before")
def queue(
    of: Of, who: Who, lang: In, which: Asking, squad: Annotated[Code, Path()],
    part: Annotated[str | None, Query(pattern=f"^({'|'.join(PARTS)})$")] = None, limit: Limit = 50, after: Mark = None,
) -> dict[str, Any]:  # fmt: skip
    return queues.queue(of, who, squad, replace(which, part=part), limit, queues.after(after), lang)


@router.get("/categories", summary="The categories in use")
def categories(of: Of, _: Who, lang: In, at: Annotated[Instant | None, Query()] = None) -> dict[str, Any]:
    with of.db.reading() as session:
        return {"categories": intake.in_use(session, of.now() if at is None else at, lang)}


@router.post("/categories", status_code=201, summary="Put a category in use, by a document")
def add_category(of: Of, who: Who, body: CategoryIn) -> dict[str, Any]:
    return vocabulary.add(of, who, vocabulary.NewCategory(**body.model_dump()))


@router.post("/categories/{code}/end", summary="Take a category out of use, by a document; what happened before keeps it")
def end_category(of: Of, who: Who, code: Annotated[CategoryCode, Path()], body: CategoryEnd) -> dict[str, Any]:
    return vocabulary.end(of, who, code, body.until, body.document)
