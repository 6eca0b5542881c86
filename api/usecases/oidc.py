"""Login by an identity provider: OpenID Connect, authorization code with PKCE. The provider says who it is, of which role and squad.

    url, pending = begin(provider, back)              send the browser to `url`; `pending` stays with it, sealed
    known = finish(provider, pending, answer, back, now)      what it came back with; the token is checked against the provider's keys
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from api.access import STAFF
from api.settings import Provider
from routing.case import Role
from routing.errors import JieguanError, Worded

if TYPE_CHECKING:
    import httpx

PENDING = timedelta(minutes=10)
LEEWAY_S = 60
TIMEOUT_S = 10.0
SIGNED_BY = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""By a key of the provider's. Neither by none, nor by the secret it shares with us."""
HERE = frozenset({"localhost", "127.0.0.1", "::1"})

NOT_PROVEN = {
    "state": ("返回的登录不是从这个浏览器开始的,或已过期", "it did not begin in this browser, or took too long"),
    "denied": ("认证服务未予登录", "the provider did not let you in"),
    "token": ("认证服务给出的凭证核验不通过", "what the provider sent does not stand the checks"),
}


class ProviderOff(JieguanError):
    zh = "本服务未接入统一身份认证。请用姓名和口令登录,或请管理员设置 {setting}。"
    en = "This service has no identity provider. Log in by name and password, or have {setting} set by who runs it."


class ProviderInsecure(JieguanError):
    zh = "统一身份认证的地址 {url} 不是 https:途中任何人都可冒充它。请改用 https。"
    en = "The identity provider's address {url} is not https, and anybody on the way could play its part. Use https."


class NotOurPage(JieguanError):
    zh = "参数 next 的值“{value}”不是本服务的页面。请写以单个“/”开头的路径,例如 /api/v1/me;不能带其他网站的地址。"
    en = "next={value!r} is no page of this service. Write a path that begins with one '/', such as /api/v1/me, and no address of others."


class ProviderUnreachable(JieguanError):
    zh = "统一身份认证 {issuer} 暂时无法使用({reason})。请稍后再试,或用姓名和口令登录。"
    en = "The identity provider {issuer} cannot be used now ({reason}). Try again later, or log in by name and password."


class LoginNotProven(Worded):
    zh = "统一身份认证登录未成功:{why}。请重新登录。"
    en = "The login by the identity provider did not succeed: {why}. Log in again."
    worded = "why"
    words = NOT_PROVEN


class RoleNotGiven(JieguanError):
    zh = "统一身份认证未给出可用的角色(声明“{claim}”须恰含其一:{known})。请联系其管理员授予角色。"
    en = "The identity provider states no role we know (the claim {claim!r} has exactly one of {known}). Have its administrator grant one."


@dataclass(frozen=True, slots=True)
class Pending:
    """A login that has begun. `until`: seconds since 1970."""

    state: str
    nonce: str
    verifier: str
    until: int
    page: str | None = None
    """Where the browser was, and is sent back to."""

    def kept(self, mac: Callable[[str, bytes], str]) -> str:
        """For a cookie: nobody else can make one."""
        said = base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode()
        return f"{said}.{mac('oidc login', said.encode())}"


def pending_of(kept: str, mac: Callable[[str, bytes], str]) -> Pending:
    """What a cookie keeps. Raises LoginNotProven."""
    said, _, signed = kept.rpartition(".")
    if not hmac.compare_digest(mac("oidc login", said.encode()), signed):
        raise LoginNotProven(why="state")
    return Pending(**json.loads(base64.urlsafe_b64decode(said)))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the browser brings back."""

    state: str | None
    code: str | None
    error: str | None
    issuer: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """Whom the provider has let in. `subject`: unique among all providers; `names`: what to call him, the first that is free."""

    subject: str
    names: tuple[str, ...]
    role: Role
    squad: str | None


def our_page(value: str) -> str:
    """A path of this service, with what stands behind it. Raises NotOurPage.

    Browsers take a backslash for a slash, drop tabs and line ends, and read what follows two slashes as another site.
    """
    plain = value.isascii() and value.isprintable() and not set(value) & set('\\ "<>')
    parts = urlsplit(value) if plain and value.startswith("/") and not value.startswith("//") else None
    if parts is None or parts.scheme or parts.netloc:
        raise NotOurPage(value=value[:200])
    return value


def came_from(referer: str | None, base: str) -> str | None:
    """The page of ours a browser came from, by its own word; None: from elsewhere, or it does not say."""
    if referer is None or not referer.startswith(base.rstrip("/") + "/"):
        return None
    try:
        return our_page(referer.removeprefix(base.rstrip("/")).partition("#")[0])
    except NotOurPage:
        return None


def begin(provider: Provider, back: str, now: datetime, page: str | None = None) -> tuple[str, Pending]:
    """Where to send the browser. Raises ProviderInsecure, ProviderUnreachable."""
    from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    state, nonce, verifier = (secrets.token_urlsafe(size) for size in (32, 32, 48))
    pending = Pending(state, nonce, verifier, int((now + PENDING).timestamp()), page)
    with _client(provider) as client:
        about = _metadata(client, provider)
    url = prepare_grant_uri(
        about["authorization_endpoint"], provider.client, "code", redirect_uri=back, scope="openid profile", state=pending.state,
        nonce=pending.nonce, code_challenge=create_s256_code_challenge(pending.verifier), code_challenge_method="S256",
    )  # fmt: skip
    return str(url), pending


def finish(provider: Provider, pending: Pending, answer: Answer, back: str, now: datetime) -> Known:
    """Who he is. Raises LoginNotProven, RoleNotGiven, ProviderInsecure, ProviderUnreachable."""
    if now.timestamp() >= pending.until or not hmac.compare_digest(pending.state.encode(), (answer.state or "").encode()):
        raise LoginNotProven(why="state")
    if answer.error is not None or answer.code is None:
        raise LoginNotProven(why="denied")
    if answer.issuer is not None and answer.issuer != provider.issuer:
        raise LoginNotProven(why="token")
    with _client(provider) as client:
        about = _metadata(client, provider)
        asked = {"code": answer.code, "redirect_uri": back, "code_verifier": pending.verifier}
        token = _token(client, about["token_endpoint"], provider, asked)
        keys = _json(client.get(about["jwks_uri"]).raise_for_status(), provider)
    return _known(provider, _claims(provider, str(token.get("id_token")), keys, pending.nonce, now))


def _token(client: httpx.Client, url: str, provider: Provider, asked: Mapping[str, str]) -> Mapping[str, Any]:
    """The code, exchanged. We show who we are by the secret, if we have one (RFC 6749, 2.3.1). Raises LoginNotProven."""
    import httpx

    form = {"grant_type": "authorization_code", "client_id": provider.client, **asked}
    secret = httpx.USE_CLIENT_DEFAULT if provider.secret is None else (quote(provider.client, safe=""), quote(provider.secret, safe=""))
    answer = client.post(url, data=form, auth=secret)
    if answer.is_client_error:
        raise LoginNotProven(why="denied")
    return _json(answer.raise_for_status(), provider)


def _claims(provider: Provider, token: str, keys: Mapping[str, Any], nonce: str, now: datetime) -> Mapping[str, Any]:
    from authlib.oidc.core import CodeIDToken
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    try:
        found = jwt.decode(token, KeySet.import_key_set(keys), algorithms=SIGNED_BY)  # type: ignore[arg-type]
        options = {"iss": {"essential": True, "value": provider.issuer}, "aud": {"essential": True, "value": provider.client}}
        claims = CodeIDToken(found.claims, found.header, options, {"nonce": nonce, "client_id": provider.client})
        claims.validate(int(now.timestamp()), LEEWAY_S)
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise LoginNotProven(why="token") from error
    return dict(claims)


def _known(provider: Provider, claims: Mapping[str, Any]) -> Known:
    roles = sorted(_values(claims, provider.role) & {role.value for role in STAFF})
    if len(roles) != 1:
        raise RoleNotGiven(claim=provider.role, known=", ".join(sorted(STAFF)))
    squads = sorted(_values(claims, provider.squad))
    subject = str(claims["sub"])
    name = next((str(claims[claim]) for claim in ("name", "preferred_username") if claims.get(claim)), subject)
    login = str(claims.get("preferred_username") or subject)
    return Known(f"{provider.issuer} {subject}", (name, f"{name} ({login})"), Role(roles[0]), squads[0] if len(squads) == 1 else None)


def _values(claims: Mapping[str, Any], claim: str) -> set[str]:
    """A claim that is a word, or several."""
    said = claims.get(claim)
    return {one for one in (said if isinstance(said, list) else [said]) if isinstance(one, str) and one}


@contextmanager
def _client(provider: Provider) -> Iterator[httpx.Client]:
    import httpx

    try:
        with httpx.Client(timeout=TIMEOUT_S, headers={"Accept": "application/json"}) as client:
            yield client
    except httpx.HTTPError as error:
        raise ProviderUnreachable(issuer=provider.issuer, reason=type(error).__name__) from error


def _metadata(client: httpx.Client, provider: Provider) -> Mapping[str, Any]:
    """What the provider says of itself: it is who we think, and nobody can listen. Raises ProviderInsecure, ProviderUnreachable."""
    _check_url(provider.issuer)
    answer = client.get(f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration")
    about = _json(answer.raise_for_status(), provider)
    if about.get("issuer") != provider.issuer:
        raise ProviderUnreachable(issuer=provider.issuer, reason="issuer")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        if not isinstance(about.get(name), str):
            raise ProviderUnreachable(issuer=provider.issuer, reason=name)
        _check_url(about[name])
    return about


def _json(answer: httpx.Response, provider: Provider) -> Mapping[str, Any]:
    try:
        said = answer.json()
    except ValueError as error:
        raise ProviderUnreachable(issuer=provider.issuer, reason="JSON") from error
    if not isinstance(said, dict):
        raise ProviderUnreachable(issuer=provider.issuer, reason="JSON")
    return said


def _check_url(url: str) -> None:
    """Raises ProviderInsecure."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in HERE):
        raise ProviderInsecure(url=url[:200])
