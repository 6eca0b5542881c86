"""Who is asking, and may he? Asked before anything of a request is read; the tables are in `api.access`.

    person: Who        in an endpoint: who asks, already let in
    person: Writer     his name, as the map is signed with

A browser has a cookie, and for what it writes the secret of another cookie as a header; a machine has a bearer token.

Development mode believes what it is told, so it is kept to this machine three times: `serve` refuses to listen anywhere else,
a request from elsewhere is refused, and so is one for another host's name (a page that had its own name resolved to us).
"""

from __future__ import annotations

import ipaddress
from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from api.access import ANYBODY, ENDPOINTS, Access, Principal, SquadNeeded, is_another, role_named
from api.usecases import people
from api.usecases.people import Entered, People
from routing.case import SQUAD as SQUAD_ROLES
from routing.case import Role
from routing.errors import JieguanError
from routing.model import SquadCode

SESSION, CSRF, CSRF_HEADER = "jieguan_session", "jieguan_csrf", "X-CSRF-Token"
HEADER, ROLE, SQUAD = "X-Jieguan-Person", "X-Jieguan-Role", "X-Jieguan-Squad"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
NOBODY = "-"


class Refused(JieguanError):
    """Not this person, not here, not now."""


class NotLoggedIn(JieguanError):
    zh = "此操作需要登录。请登录(POST /api/v1/sessions),或在请求头 Authorization: Bearer 中给出有效的令牌。"
    en = "This takes a login. Log in (POST /api/v1/sessions), or give a valid token in the header Authorization: Bearer."


class NotThisRole(Refused):
    zh = "角色“{role}”不能进行此操作(可以的有:{may})。请由有权的同事办理,或请管理员调整角色。"
    en = "The role {role!r} may not do this (these may: {may}). Let a colleague do it who may, or ask an administrator for the role."


class NoRule(Refused):
    zh = "没有规定谁可以进行此操作,因此不放行。请联系管理员。"
    en = "Nothing says who may do this, so nobody may. Tell who runs the service."


class PersonMissing(Refused):
    zh = "未指明操作人:每项修改都要记名。请在请求头 {header} 中写明姓名(中文用 UTF-8 或百分号编码)。"
    en = "No person is named, and every change is recorded under a name. State yours in the header {header} (UTF-8 or percent-encoded)."


class CsrfMissing(Refused):
    zh = "写入请求缺少与登录相符的请求头 {header}:没有它,别的网页可以冒用您的登录。请带上 Cookie {cookie} 的值。"
    en = (
        "A request that writes lacks the header {header} that belongs to the login; without it, other pages could use your login. "
        "Send the value of the cookie {cookie} in it."
    )


class NotHisSide(Refused):
    zh = "中队长只能代表本中队({squad})签署,此处签的是“{side}”。请由该方的中队长或督查签署。"
    en = "A squad leader signs for his own squad ({squad}), and this is for {side!r}. Let its leader sign, or a supervisor."


class NotThisMachine(Refused):
    zh = "开发模式只接受本机请求,而此请求来自或指向 {host}:在此模式下任何人都可冒名。请在本机访问 127.0.0.1。"
    en = (
        "Development mode serves this machine only, and the request is from or for {host}: in this mode anybody may use any name. "
        "Ask for 127.0.0.1 from the machine itself."
    )


class NotLoopback(JieguanError):
    zh = "开发模式不能监听 {host}:在此模式下任何人都可冒名写入。请用 127.0.0.1,或不要加 --development。"
    en = "Development mode does not listen on {host}: in this mode anybody may write under any name. Use 127.0.0.1, or drop --development."


def is_loopback(host: str | None) -> bool:
    """Is it a name or address of this machine alone?"""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def admit(request: Request, path: str, key: str | None = None) -> None:
    """Let in who may ask this of an address, by its template; the endpoint finds him by `Who`. `key`: a token that came as a field.

    Raises NoRule, NotLoggedIn, NotThisRole, CsrfMissing, and in development mode NotThisMachine, PersonMissing, UnknownRole, SquadNeeded.
    """
    access = ENDPOINTS.get((request.method, path))
    if access is None:
        raise NoRule
    if is_another(request.method, request.url.path, path):
        raise HTTPException(405)
    principal = ANYBODY if access.open else await _known(request) if key is None else await _of_token(request, key)
    if principal.role not in access.roles:
        raise _not_in(principal.role, access)
    request.state.principal = principal


def _not_in(role: Role, access: Access) -> JieguanError:
    if role is Role.PUBLIC:
        return NotLoggedIn()
    return NotThisRole(role=role.value, may=", ".join(sorted(access.roles)))


async def _known(request: Request) -> Principal:
    """By his token, else by his login, else in development mode by what he says. Accounts are looked up in a thread."""
    of: People = request.app.state.people
    if (stated := request.headers.get("authorization")) is not None:
        scheme, _, token = stated.strip().partition(" ")
        return await _of_token(request, token.strip() if scheme.lower() == "bearer" else "")
    if (secret := request.cookies.get(SESSION)) is not None:
        found = await run_in_threadpool(people.by_session, of, secret)
        if found is not None:
            principal, csrf = found
            if request.method not in SAFE and not people.same(request.headers.get(CSRF_HEADER, ""), csrf):
                raise CsrfMissing(header=CSRF_HEADER, cookie=CSRF)
            return principal
    return _developer(request) if request.app.state.serving.development else ANYBODY


async def _of_token(request: Request, token: str) -> Principal:
    """Whose token it is. Raises NotLoggedIn."""
    found = await run_in_threadpool(people.by_token, request.app.state.people, token) if token else None
    if found is None:
        raise NotLoggedIn
    return found


def whence(request: Request) -> str:
    """The address a request comes from, as far as one client goes: of IPv6, its network. Headers are not believed."""
    host = NOBODY if request.client is None else request.client.host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


def secure(request: Request) -> bool:
    """Do cookies go over https alone?"""
    return bool(request.app.state.serving.secure) or request.url.scheme == "https"


def keep(request: Request, response: Response, entered: Entered) -> None:
    """Give a browser its login: a secret no page can read, and one that ours can."""
    seconds, https = int(people.LONGEST.total_seconds()), secure(request)
    for name, value, hidden in ((SESSION, entered.secret, True), (CSRF, entered.csrf, False)):
        response.set_cookie(name, value, max_age=seconds, secure=https, httponly=hidden, samesite="lax")


def drop(response: Response) -> None:
    """Take the login out of the browser."""
    for name in (SESSION, CSRF):
        response.delete_cookie(name)


def _developer(request: Request) -> Principal:
    """Whoever the headers say. Raises NotThisMachine, PersonMissing, UnknownRole, SquadNeeded."""
    for host in (None if request.client is None else request.client.host, request.url.hostname):
        if not is_loopback(host):
            raise NotThisMachine(host=host or NOBODY)
    role, squad = role_named(_stated(request, ROLE) or Role.PLANNER), _stated(request, SQUAD)
    if role in SQUAD_ROLES and not squad:
        raise SquadNeeded(role=role.value)
    name = _stated(request, HEADER)
    if not name and request.method not in SAFE:
        raise PersonMissing(header=HEADER)
    return Principal(name or NOBODY, name or NOBODY, role, SquadCode(squad) if squad else None, "development")


def _stated(request: Request, header: str) -> str:
    """What a header says. Headers are bytes: what came as UTF-8 was read as Latin-1. Raises PersonMissing."""
    try:
        said = unquote(request.headers.get(header, "").encode("latin-1").decode(), errors="strict").strip()
    except UnicodeDecodeError as error:
        raise PersonMissing(header=header) from error
    if not said.isprintable() or len(said) > 100:
        raise PersonMissing(header=header)
    return said


async def who(request: Request) -> Principal:
    """Who asks: he has been let in."""
    principal: Principal = request.state.principal
    return principal


async def writer(request: Request) -> str:
    """The name of who asks."""
    return (await who(request)).name


Who = Annotated[Principal, Depends(who)]
Writer = Annotated[str, Depends(writer)]
