"""Logging in and out; accounts and tokens, for administrators."""

from __future__ import annotations

import logging
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from api.routers.asked import StrictRoute
from api.schemas import people as sent
from api.security import SESSION, Who, drop, keep, secure, whence
from api.settings import Provider
from api.usecases import oidc
from api.usecases import people as use
from api.usecases.people import Change, People

router = APIRouter(prefix="/api/v1", route_class=StrictRoute, tags=["people"])


async def people(request: Request) -> People:
    """The people of this service."""
    found: People = request.app.state.people
    return found


Of = Annotated[People, Depends(people)]
Said = Annotated[str | None, Query(max_length=4000)]
log = logging.getLogger("jieguan")
PENDING, BACK = "jieguan_oidc", "/api/v1/login/oidc"


@router.post("/sessions", status_code=201, summary="Log in: sets the cookies of a browser")
def log_in(of: Of, body: sent.NewSession, request: Request, response: Response) -> dict[str, Any]:
    entered = use.log_in(of, body.name, body.password, whence(request), request.cookies.get(SESSION))
    keep(request, response, entered)
    response.headers["Cache-Control"] = "no-store"
    return entered.json()


@router.get("/login/oidc", status_code=303, summary="Log in by the identity provider: goes there", response_class=Response)
def begin(of: Of, request: Request, page: Annotated[str | None, Query(alias="next", max_length=2000)] = None) -> Response:
    """`next`: the page of ours to come back to; where a browser asks, that from which it came, unless one is named."""
    provider = _provider(request)
    if page is not None:
        page = oidc.our_page(page)
    elif "text/html" in request.headers.get("accept", ""):
        page = oidc.came_from(request.headers.get("referer"), str(request.base_url))
    url, pending = oidc.begin(provider, _back(request, provider), of.now(), page)
    response = Response(status_code=303, headers={"Location": url, "Cache-Control": "no-store"})
    response.set_cookie(
        PENDING, pending.kept(of.mac), max_age=int(oidc.PENDING.total_seconds()), path=BACK, secure=secure(request), httponly=True,
        samesite="lax",
    )  # fmt: skip
    return response


@router.get("/login/oidc/callback", summary="... and comes back: to the page it came from, if there was one", response_model=None,
            responses={303: {"description": "To the page it came from"}})  # fmt: skip
def finish(
    of: Of,
    request: Request,
    response: Response,
    state: Said = None,
    code: Said = None,
    error: Said = None,
    iss: Said = None,
    session_state: Said = None,  # noqa: ARG001 - providers add what they like
    scope: Said = None,  # noqa: ARG001
    error_description: Said = None,  # noqa: ARG001
    error_uri: Said = None,  # noqa: ARG001
) -> Response | dict[str, Any]:
    provider = _provider(request)
    pending = oidc.pending_of(request.cookies.get(PENDING, ""), of.mac)
    known = oidc.finish(provider, pending, oidc.Answer(state, code, error, iss), _back(request, provider), of.now())
    entered = use.enter(of, use.of_provider(of, known), "oidc", request.cookies.get(SESSION))
    answer = response if pending.page is None else Response(status_code=303, headers={"Location": pending.page})
    keep(request, answer, entered)
    answer.delete_cookie(PENDING, path=BACK)
    answer.headers["Cache-Control"] = "no-store"
    return entered.json() if pending.page is None else answer


def _provider(request: Request) -> Provider:
    found: Provider | None = request.app.state.serving.provider
    if found is None:
        raise oidc.ProviderOff(setting="JIEGUAN_OIDC_ISSUER")
    return found


def _back(request: Request, provider: Provider) -> str:
    """Where the provider sends the browser to: to us, as the browser knows us."""
    return provider.back or f"{str(request.base_url).rstrip('/')}{BACK}/callback"


@router.delete("/sessions/current", status_code=204, summary="Log out", response_class=Response)
def log_out(of: Of, who: Who, request: Request) -> Response:
    if who.how == "session":
        use.log_out(of, who, request.cookies[SESSION])
    response = Response(status_code=204)
    drop(response)
    return response


@router.get("/me", summary="Who I am")
def me(who: Who) -> dict[str, Any]:
    return use.told_principal(who)


@router.get("/users", summary="All accounts, by name")
def accounts(of: Of) -> list[dict[str, Any]]:
    return use.accounts(of)


@router.post("/users", status_code=201, summary="A new account")
def new_account(of: Of, body: sent.NewAccount, who: Who) -> dict[str, Any]:
    made = use.new_account(of, who, body.name, body.role, body.squad, body.password)
    _checked(of, body.squad)
    return made


@router.patch("/users/{name}", summary="Another role or squad, closing, opening again; each ends the logins of the account")
def change_account(of: Of, name: str, body: sent.AccountChange, who: Who) -> dict[str, Any]:
    no_squad = "squad" in body.model_fields_set and body.squad is None
    made = use.change_account(of, who, name, Change(body.role, body.squad, no_squad, body.closed))
    _checked(of, body.squad)
    return made


@router.post("/users/{name}/password", status_code=204, summary="A new password; ends the logins of the account", response_class=Response)
def set_password(of: Of, name: str, body: sent.NewPassword, who: Who, request: Request) -> Response:
    use.set_password(of, who, name, body.password, body.old, whence(request))
    return Response(status_code=204)


@router.get("/tokens", summary="All tokens, the latest first, without their secrets")
def tokens(of: Of) -> list[dict[str, Any]]:
    return use.tokens(of)


@router.post("/tokens", status_code=201, summary="A new token; its secret is shown this once")
def new_token(of: Of, body: sent.NewToken, who: Who) -> dict[str, Any]:
    secret, made = use.new_token(of, who, body.name, body.role, body.squad, body.days)
    _checked(of, body.squad)
    return {**made, "secret": secret}


def _checked(of: People, squad: str | None) -> None:
    if not use.checked(of, squad):
        log.warning("no map has been published, and nobody knows whether there is a squad %r", squad)


@router.delete("/tokens/{token}", summary="End a token")
def end_token(of: Of, token: str, who: Who) -> dict[str, Any]:
    return use.end_token(of, who, token)
