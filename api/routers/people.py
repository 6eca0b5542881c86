"""Logging in and out; accounts and tokens, for administrators."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from api.routers.asked import StrictRoute
from api.schemas import people as sent
from api.security import SESSION, Who, drop, keep, whence
from api.usecases import people as use
from api.usecases.people import Change, People

router = APIRouter(prefix="/api/v1", route_class=StrictRoute, tags=["people"])


async def people(request: Request) -> People:
    """The people of this service."""
    found: People = request.app.state.people
    return found


Of = Annotated[People, Depends(people)]


@router.post("/sessions", status_code=201, summary="Log in: sets the cookies of a browser")
def log_in(of: Of, body: sent.NewSession, request: Request, response: Response) -> dict[str, Any]:
    entered = use.log_in(of, body.name, body.password, whence(request), request.cookies.get(SESSION))
    keep(request, response, entered)
    response.headers["Cache-Control"] = "no-store"
    return entered.json()


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
    return use.new_account(of, who, body.name, body.role, body.squad, body.password)


@router.patch("/users/{name}", summary="Another role or squad, closing, opening again; each ends the logins of the account")
def change_account(of: Of, name: str, body: sent.AccountChange, who: Who) -> dict[str, Any]:
    no_squad = "squad" in body.model_fields_set and body.squad is None
    return use.change_account(of, who, name, Change(body.role, body.squad, no_squad, body.closed))


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
    return {**made, "secret": secret}


@router.delete("/tokens/{token}", summary="End a token")
def end_token(of: Of, token: str, who: Who) -> dict[str, Any]:
    return use.end_token(of, who, token)
