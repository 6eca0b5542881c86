"""Errors as answers: problem details (RFC 9457), in Chinese or English, with the field, the value and the way out.

Nothing of the request is repeated but what an error of ours names; what we did not foresee says nothing about itself.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from api import access, draining, georeport, pictures, receiving, security, sheets, vault
from api.schemas import strict
from api.store import cases, setup
from api.usecases import (
    attachments,
    clusters,
    erasure,
    histories,
    jobs,
    lifecycle,
    map_features,
    map_jobs,
    map_places,
    map_repairs,
    map_writes,
    oidc,
    people,
    publishing,
    queues,
    reporters,
    rulings,
    vocabulary,
)
from api.usecases.georeport import Several, UnknownJurisdiction, UnknownService, UnknownToken
from api.usecases.route_file import PointFile
from geodata import child, drafts, edits, ledger, repairs, store
from geodata.coverages import UnknownArc
from geodata.db import engine
from geodata.written import CannotWrite
from routing.errors import JieguanError, Lang, told_in

STATUS: Mapping[type[JieguanError], int] = {
    security.NotLoggedIn: 401,
    people.WrongLogin: 401,
    people.TooManyTries: 429,
    oidc.ProviderOff: 404,
    oidc.LoginNotProven: 401,
    oidc.RoleNotGiven: 403,
    oidc.ProviderInsecure: 500,
    oidc.ProviderUnreachable: 503,
    people.NotYourPassword: 403,
    people.UnknownAccount: 404,
    people.UnknownToken: 404,
    people.NameTaken: 409,
    people.LastAdministrator: 409,
    security.Refused: 403,
    drafts.UnknownDraft: 404,
    store.UnknownVersion: 404,
    store.NothingInForce: 404,
    map_features.NoSuchLayer: 404,
    map_features.NoSuchFeature: 404,
    drafts.DraftClosed: 409,
    drafts.EditConflict: 409,
    drafts.NothingToUndo: 409,
    drafts.UndoneByOthers: 409,
    drafts.OpenFindings: 409,
    drafts.NotSigned: 409,
    drafts.OnlyItsAuthor: 409,
    store.BaseOutdated: 409,
    store.BeforeTheLast: 409,
    edits.CodeTaken: 409,
    strict.WrongMedia: 415,
    edits.WouldEmpty: 409,
    UnknownArc: 409,
    map_features.MovedOn: 409,
    edits.SquadStillNamed: 409,
    setup.SquadsStillHold: 409,
    map_repairs.CannotRepair: 409,
    repairs.FindingStays: 409,
    repairs.MakesFinding: 409,
    repairs.TouchesOthers: 409,
    ledger.UnknownDefect: 404,
    ledger.DefectClosed: 409,
    ledger.DefectStands: 409,
    map_writes.NeedsInto: 409,
    map_writes.StaleTag: 412,
    draining.Stopping: 503,
    jobs.OneProcess: 501,
    jobs.UnknownJob: 404,
    jobs.JobOver: 409,
    jobs.JobNotDone: 409,
    jobs.JobOfOtherKind: 409,
    jobs.JobBroke: 500,
    jobs.JobsBusy: 503,
    histories.UnknownHistory: 404,
    histories.HistoryNameTaken: 409,
    histories.TooManyHistories: 409,
    map_jobs.NoSuchProposal: 404,
    receiving.FilesBusy: 503,
    CannotWrite: 500,
    cases.UnknownCase: 404,
    reporters.NotYoursToReveal: 403,
    attachments.UnknownAttachment: 404,
    attachments.CaseErased: 410,
    attachments.CaseFiled: 409,
    attachments.TooManyAttachments: 409,
    clusters.UnknownCluster: 404,
    clusters.HasEnded: 409,
    clusters.InOneAlready: 409,
    rulings.UnknownRuling: 404,
    rulings.RulingClosed: 409,
    sheets.TableTooLarge: 413,
    pictures.NotTaken: 415,
    pictures.PictureTooLarge: 413,
    queues.NotYourQueue: 404,
    vocabulary.CategoryInUse: 409,
    vocabulary.NoSuchCategory: 404,
    publishing.RuleFollows: 409,
    publishing.NoRuleToEnd: 404,
    UnknownJurisdiction: 404,
    UnknownService: 404,
    UnknownToken: 404,
    lifecycle.StaleCase: 412,
    lifecycle.CaseMovedOn: 409,
    lifecycle.NotAllowed: 409,
    lifecycle.VersionMissing: 428,
    vault.KeyDestroyed: 410,
    vault.SealBroken: 500,
    vault.WrongMaster: 503,
    vault.VaultUnavailable: 503,
    erasure.StillOpen: 409,
    engine.WriterBusy: 503,
    engine.ServerUnreachable: 503,
    engine.NoRoom: 507,
    child.UploadTooBig: 413,
    child.UploadOutgrew: 413,
}
"""By the first class of the error's own line that stands here; anything else is bad input, 422."""

TITLES: Mapping[int, tuple[str, str]] = {
    400: ("请求有误", "Bad request"),
    401: ("需要登录", "Login needed"),
    403: ("不允许", "Not allowed"),
    404: ("没有找到", "Not found"),
    405: ("不支持此方法", "Method not allowed"),
    408: ("等待超时", "Timed out"),
    409: ("与现状冲突", "Conflict with how things are"),
    410: ("已清除", "Erased"),
    412: ("内容已被改动", "Changed since you read it"),
    413: ("请求过大", "Too large"),
    415: ("格式不支持", "Not of a type we take"),
    422: ("输入有误", "Bad input"),
    428: ("须先说明所见版本", "Say which version you saw"),
    429: ("尝试过多", "Too many tries"),
    500: ("程序出错", "Our fault"),
    501: ("此处不提供", "Not offered here"),
    503: ("暂不可用", "Not now"),
    507: ("没有空间", "No room"),
}

HTTP: Mapping[int, tuple[str, str]] = {
    400: ("请求无法读取。请检查请求头和正文。", "The request cannot be read. Check its headers and body."),
    404: ("没有这个地址。可用的地址见 /api/openapi.json。", "There is nothing here. What there is: /api/openapi.json."),
    405: ("此地址不支持该方法。允许的方法见响应头 Allow。", "This address does not take that method. See the header Allow."),
    408: ("请求正文迟迟未到齐,已停止等待;未作任何改动。请重试。", "The body did not arrive in time; nothing was changed. Try again."),
    413: ("请求正文超过上限;未作任何改动。请分成几次提交,或只传有改动的图层。",
          "The body exceeds the limit; nothing was changed. Send it in parts, or only the layers that changed."),
    500: ("服务内部出错,已记入日志。请联系管理员。", "Something is wrong with the service; it is in the log. Tell who runs it."),
    503: ("数据库繁忙或暂时不可达。请稍后重试。", "The database is busy or cannot be reached. Try again later."),
}

REASONS: Mapping[str, tuple[str, str]] = {
    "missing": ("缺少此项,请补填", "is missing; fill it in"),
    "extra_forbidden": ("没有这一项,请删去", "is no field of this; remove it"),
    "literal_error": ("只能取规定的值", "must be one of the values allowed"),
    "enum": ("只能取规定的值", "must be one of the values allowed"),
    "union_tag_invalid": ("没有这种类型", "is of no kind there is"),
    "union_tag_not_found": ("未说明类型", "does not say of which kind it is"),
    "string_too_long": ("过长", "is too long"),
    "too_long": ("过长", "is too long"),
    "string_too_short": ("过短", "is too short"),
    "too_short": ("过短", "is too short"),
    "string_pattern_mismatch": ("格式不对", "is not of the form required"),
    "greater_than_equal": ("过小", "is too small"),
    "less_than_equal": ("过大", "is too great"),
    "finite_number": ("必须是有限的数", "must be a finite number"),
}
OPTION = re.compile(r"--([a-z][a-z-]*)")
PARAMETERS = {name.replace("_", "-"): name for name in (*(f.name for f in fields(PointFile)), "recorded", "since", "layer")}
"""Options of the command line that are parameters here."""
NO_REASON = ("类型或内容不对", "is of the wrong type or content")

log = logging.getLogger("jieguan")


def install(app: FastAPI) -> None:
    """Every error of the app becomes a problem."""
    app.add_exception_handler(JieguanError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(OperationalError, _unavailable)
    app.add_exception_handler(PoolTimeout, _unavailable)
    app.add_exception_handler(Exception, _unforeseen)


def language(request: Request) -> Lang:
    """The language asked for: Chinese unless English comes first among those we speak."""
    best: dict[str, float] = {}
    for part in request.headers.get("accept-language", "").split(","):
        tag, _, quality = part.strip().lower().partition(";q=")
        try:
            q = float(quality or 1)
        except ValueError:
            continue
        best[tag[:2]] = max(q, best.get(tag[:2], 0.0))
    return "en" if best.get("en", 0.0) > best.get("zh", 0.0) else "zh-CN"


def status_of(error: JieguanError) -> int:
    """The status an error is answered with; of several, theirs if they agree."""
    if isinstance(error, Several):
        statuses = {status_of(one) for one in error.errors}
        return statuses.pop() if len(statuses) == 1 else 422
    return next((STATUS[cls] for cls in type(error).__mro__ if cls in STATUS), 422)


def told(error: JieguanError, lang: Lang) -> dict[str, Any]:
    """An error as the members of a problem."""
    facts = as_parameters({k: _json(told_in(v, lang)) for k, v in error.facts.items()})
    return {"type": f"urn:jieguan:problem:{type(error).__name__}", "detail": as_parameters(error.text(lang)), "facts": facts}


def problem_of(error: JieguanError, lang: Lang) -> dict[str, Any]:
    """An error as a whole problem."""
    status = status_of(error)
    return {"title": _title(status, lang), "status": status, **told(error, lang)}


def as_parameters(value: Any) -> Any:
    """What is said to the command line (`--at-field`), as it is called here (`at_field`)."""
    if isinstance(value, str):
        return OPTION.sub(lambda found: PARAMETERS.get(found[1], found[0]), value)
    if isinstance(value, dict):
        return {k: as_parameters(v) for k, v in value.items()}
    return [as_parameters(v) for v in value] if isinstance(value, list) else value


def _title(status: int, lang: Lang) -> str:
    return TITLES.get(status, TITLES[500 if status >= 500 else 400])[lang == "en"]


def problem(
    request: Request, status: int, lang: Lang, headers: Mapping[str, str] | None = None, *, several: Sequence[str] = (), **members: Any
) -> Response:
    """A problem as an answer; to clients of Open311 as theirs. `several`: its sentences, where it is more than one thing."""
    body = {"type": "about:blank", "title": _title(status, lang), "status": status, **members}
    out = {**(headers or {}), "Content-Language": lang, "Cache-Control": "no-store"}
    if status == 503:
        out["Retry-After"] = "2"
    if status == 401:
        out["WWW-Authenticate"] = "Bearer"
    if request.url.path.startswith(georeport.PREFIX):
        return georeport.refusal(request.url.path, status, several or [members["detail"]], out)
    return Response(json.dumps(body, ensure_ascii=False), status, out, "application/problem+json")


async def _ours(request: Request, error: Any) -> Response:
    lang, status = language(request), status_of(error)
    if status == 422 and isinstance(error, map_places.OfTheAddress):
        status = _for_the_address(request)
    headers = {"Retry-After": str(error.facts["seconds"])} if status == 429 else None
    several = [one.text(lang) for one in error.errors] if isinstance(error, Several) else ()
    return problem(request, status, lang, headers, several=several, **told(error, lang))


async def _invalid(request: Request, error: Any) -> Response:
    """What is wrong with which field; never what was in it."""
    lang = language(request)
    found = [field_told(e, lang) for e in error.errors()[:20]]
    of_address = bool(found) and all(f["field"].startswith(("query", "path")) for f in found)
    detail = ("；" if lang == "zh-CN" else "; ").join(f"{f['field']} {f['reason']}" for f in found[:5])
    status = _for_the_address(request) if of_address else 422
    return problem(request, status, lang, type="urn:jieguan:problem:InvalidRequest", detail=detail, errors=found)


def _for_the_address(request: Request) -> int:
    """OGC API - Features wants 400 for a bad parameter."""
    return 400 if request.url.path.startswith("/ogc") else 422


def field_told(error: Mapping[str, Any], lang: Lang) -> dict[str, str]:
    """Which field, and what is wrong with it; nothing of what was in it, but what an error of ours names."""
    where = ".".join(str(part) for part in error["loc"])[:120]
    inner = (error.get("ctx") or {}).get("error")
    if isinstance(inner, JieguanError):
        return {"field": where, "reason": inner.text(lang)}
    return {"field": where, "reason": REASONS.get(error["type"], NO_REASON)[lang == "en"]}


async def _http(request: Request, error: Any) -> Response:
    lang = language(request)
    headers = dict(error.headers or {})
    if error.status_code == 405:  # an address has a route for each of its methods, and the error knows of one
        headers["Allow"] = ", ".join(access.methods_of(request.url.path))
    return problem(request, error.status_code, lang, headers, detail=HTTP.get(error.status_code, HTTP[400])[lang == "en"])


async def _unavailable(request: Request, error: Any) -> Response:
    log.warning("database: %s", type(error).__name__)
    lang = language(request)
    return problem(request, 503, lang, detail=HTTP[503][lang == "en"])


async def _unforeseen(request: Request, _error: Any) -> Response:
    lang = language(request)  # the server logs it, as it is raised on, and hangs up: the client is told, lest it ask again on this line
    return problem(request, 500, lang, {"Connection": "close"}, detail=HTTP[500][lang == "en"])


def _json(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(k): _json(v) for k, v in value.items()}
    if isinstance(value, Sequence):
        return [_json(v) for v in value]
    return str(value)
