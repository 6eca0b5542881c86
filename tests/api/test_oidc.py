"""Login by an identity provider, against one that is not ours (oidc-provider-mock), also where somebody meddles."""

from __future__ import annotations

import json
import time
import warnings
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit, urlunsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from api.settings import Provider, Serving, of_environment
from api.store.opening import working
from api.usecases import oidc
from api.usecases import people as use
from tests.api.live import live
from tests.api.test_people import House, problem
from tests.db.conftest import NewUrl

PEOPLE: dict[str, dict[str, Any]] = {
    "u1": {"name": "张伟", "preferred_username": "zw1", "role": "squad_leader", "squad": "A"},
    "u2": {"name": "张伟", "preferred_username": "zw2", "role": ["offline_access", "operator"]},
    "boss": {"name": "老板", "role": "boss"},
    "both": {"name": "两任", "role": ["operator", "planner"]},
    "none": {"name": "无名"},
    "lost": {"name": "无队", "role": "squad_member"},
    "robot": {"name": "机器", "role": "machine"},
}


@dataclass
class Net:
    """What goes from us to the provider, so that a test can see it and meddle."""

    asked: list[httpx.Request]
    meddle: Callable[[httpx.Response], None] = lambda _: None


@pytest.fixture
def issuer() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the provider's own
        from oidc_provider_mock import User, run_server_in_thread

        users = [User(sub=sub, claims=claims) for sub, claims in PEOPLE.items()]
        with run_server_in_thread(require_nonce=True, user_claims=users) as server:
            yield f"http://localhost:{server.server_port}"


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    made, real = Net([]), httpx.Client

    def client(**given: Any) -> httpx.Client:
        def seen(response: httpx.Response) -> None:
            made.asked.append(response.request)
            response.read()
            made.meddle(response)

        return real(**given, event_hooks={"response": [seen]})

    monkeypatch.setattr(httpx, "Client", client)
    return made


@pytest.fixture
def house(new_url: NewUrl, issuer: str, net: Net) -> Iterator[House]:
    url = new_url(initialised=True)
    made = House(url, "", None)  # type: ignore[arg-type]  # by the clock of the machine, as the provider
    with live(Serving(url, provider=Provider(issuer, "jieguan", "a secret"))) as made.address:
        yield made


def browser(house: House) -> httpx.Client:
    return httpx.Client(base_url=house.address, timeout=60, headers={"Accept-Language": "en"}, transport=httpx.HTTPTransport())


def lets_in(http: httpx.Client, sub: str, change: Callable[[dict[str, str]], None] = lambda _: None, **more: Any) -> str:
    """Begin, and let the provider let him in; the address the browser is sent back to."""
    begun = http.get("/api/v1/login/oidc", **more)
    assert begun.status_code == 303, begun.text
    parts = urlsplit(begun.headers["location"])
    asked = dict(parse_qsl(parts.query))
    assert (asked["response_type"], asked["code_challenge_method"], asked["scope"]) == ("code", "S256", "openid profile")
    assert all(len(asked[name]) >= 32 for name in ("state", "nonce", "code_challenge"))
    change(asked)
    url = urlunsplit(parts._replace(query=urlencode(asked)))
    answer = httpx.post(url, data={"sub": sub}, timeout=60)
    assert answer.status_code == 302, answer.text
    return str(answer.headers["location"])


def test_who_the_provider_knows_comes_in_as_what_it_says(house: House, net: Net) -> None:
    with browser(house) as http:
        came = http.get(lets_in(http, "u1"))
        assert came.status_code == 200, came.text
        assert (came.json()["name"], came.json()["role"], came.json()["squad"]) == ("张伟", "squad_leader", "A")
        assert "jieguan_oidc" not in http.cookies
        me = http.get("/api/v1/me").json()
        assert (me["how"], me["account"]) == ("session", came.json()["account"])
    exchange = next(r for r in net.asked if r.method == "POST")
    sent = parse_qs(exchange.content.decode())
    assert len(sent["code_verifier"][0]) >= 43
    assert "a secret" not in exchange.content.decode()
    assert exchange.headers["authorization"].startswith("Basic ")
    with browser(house) as http:  # another of that name, with several roles of which one is ours
        told = http.get(lets_in(http, "u2")).json()
        assert (told["name"], told["role"], told["squad"]) == ("张伟 (zw2)", "operator", None)
    with browser(house) as http:
        assert http.get(lets_in(http, "u1")).json()["account"] == me["account"]


HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_a_browser_is_sent_back_to_the_page_it_came_from(house: House) -> None:
    for page, more in (
        ("/queue?squad=A", {"headers": HTML | {"Referer": f"{house.address}/queue?squad=A#top"}}),
        ("/", {"headers": HTML | {"Referer": f"{house.address}/"}}),
        ("/cases/17?x=%0d%0aSet-Cookie:a=b", {"params": {"next": "/cases/17?x=%0d%0aSet-Cookie:a=b"}}),
    ):
        with browser(house) as http:
            came = http.get(lets_in(http, "u1", **more))
            assert (came.status_code, came.headers["location"], came.content) == (303, page, b"")
            assert set(http.cookies) == {"jieguan_session", "jieguan_csrf"}
            assert http.get("/api/v1/me").json()["name"] == "张伟"


@pytest.mark.parametrize("referer", [None, "https://evil.example/", "{}.evil.example/x", "{}//evil.example/x", "{}/\\evil.example", "x"])
def test_a_browser_from_elsewhere_is_sent_nowhere(house: House, referer: str | None) -> None:
    headers = HTML if referer is None else HTML | {"Referer": referer.format(house.address)}
    with browser(house) as http:
        came = http.get(lets_in(http, "u1", headers=headers))
        assert (came.status_code, "location" in came.headers, came.json()["name"]) == (200, False, "张伟")


@pytest.mark.parametrize("page", [
    "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example/", "https:/evil.example",
    "javascript:alert(1)", "evil.example", "/\t/evil.example", "/a\r\nSet-Cookie: a=b", " /x", "", "/／evil.example", "/x" * 1001,
])  # fmt: skip
def test_no_other_site_is_a_page_to_come_back_to(house: House, page: str) -> None:
    with browser(house) as http:
        told = http.get("/api/v1/login/oidc", params={"next": page})
        assert told.status_code == 422, told.headers
        assert "set-cookie" not in told.headers


def test_what_changes_at_the_provider_changes_here_and_ends_other_logins(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with browser(house) as http, browser(house) as other:
        http.get(lets_in(http, "u1"))
        assert http.get("/api/v1/me").status_code == 200
        monkeypatch.setitem(PEOPLE["u1"], "role", "planner")
        other.get(lets_in(other, "u1"))
        assert other.get("/api/v1/me").json()["role"] == "planner"
        assert http.get("/api/v1/me").status_code == 401
    with working(Serving(house.url)) as has:
        of = use.People(has.book, has.vault.mac, lambda: pytest.fail("not asked"))
        (account,) = use.accounts(of)
        assert (account["identity_provider"], account["password"]) == (True, False)


@pytest.mark.parametrize(
    ("sub", "status", "why"),
    [("boss", 403, "RoleNotGiven"), ("both", 403, "RoleNotGiven"), ("none", 403, "RoleNotGiven"), ("robot", 403, "RoleNotGiven"),
     ("lost", 422, "SquadNeeded")],
)
def test_whose_role_we_do_not_know_stays_out(house: House, sub: str, status: int, why: str) -> None:
    with browser(house) as http:
        answer = http.get(lets_in(http, sub))
        assert problem(answer) == (status, why)
        assert http.get("/api/v1/me").status_code == 401
    with working(Serving(house.url)) as has:
        assert use.accounts(use.People(has.book, has.vault.mac, lambda: pytest.fail("not asked"))) == []


def test_a_state_of_another_login_is_refused(house: House, net: Net) -> None:
    with browser(house) as mine, browser(house) as thief:
        stolen = lets_in(thief, "u1")  # somebody's own code, pushed onto me
        lets_in(mine, "u2")
        assert problem(mine.get(stolen)) == (401, "LoginNotProven")
    assert not [r for r in net.asked if r.method == "POST"]  # nobody's code is exchanged
    with browser(house) as fresh:  # a browser that has begun nothing
        assert problem(fresh.get(stolen)) == (401, "LoginNotProven")
        assert problem(fresh.get("/api/v1/login/oidc/callback", params={"state": "x", "code": "y"})) == (401, "LoginNotProven")
        fresh.cookies.set("jieguan_oidc", oidc.Pending("x", "y", "z", 2**40).kept(lambda *_: "0" * 64), path="/api/v1/login/oidc")
        assert problem(fresh.get("/api/v1/login/oidc/callback", params={"state": "x", "code": "y"})) == (401, "LoginNotProven")


def test_a_token_with_another_nonce_is_refused(house: House) -> None:
    with browser(house) as http:
        back = lets_in(http, "u1", lambda asked: asked.update(nonce="n" * 40))
        assert problem(http.get(back)) == (401, "LoginNotProven")
        assert http.get("/api/v1/me").status_code == 401


def test_a_code_serves_once(house: House) -> None:
    with browser(house) as http:
        back = lets_in(http, "u1")
        kept = http.cookies["jieguan_oidc"]
        assert http.get(back).status_code == 200
        again = httpx.get(back, headers={"Cookie": f"jieguan_oidc={kept}"}, timeout=60)
        assert problem(again) == (401, "LoginNotProven")


def forged(claims: dict[str, Any], key: RSAKey, header: dict[str, Any]) -> Callable[[httpx.Response], None]:
    """In the place of the provider's token, one of ours."""

    def meddle(response: httpx.Response) -> None:
        if response.request.method == "POST":
            said = response.json()
            body = said["id_token"].split(".")[1]
            there = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
            told = {k: v for k, v in {**there, **claims}.items() if v is not None}
            said["id_token"] = jwt.encode(header, told, key)
            response._content = json.dumps(said).encode()

    return meddle




@pytest.mark.parametrize(
    "claims",
    [{}, {"iss": "https://evil.example"}, {"aud": "another"}, {"aud": "another", "azp": "jieguan"}, {"exp": 1}, {"nonce": None},
     {"sub": None}, {"iat": 2**40}],
)
def test_a_token_of_another_key_or_for_somebody_else_is_refused(house: House, net: Net, claims: dict[str, Any]) -> None:
    """Without a claim changed: signed by a key that is not the provider's. Else by its own key, and wrong."""
    key = RSAKey.generate_key(2048, private=True)
    token = forged(claims, key, {"alg": "RS256"})

    def meddle(response: httpx.Response) -> None:
        token(response)
        if claims and "jwks" in str(response.request.url):
            response._content = json.dumps({"keys": [key.as_dict(private=False)]}).encode()

    with browser(house) as http:
        back = lets_in(http, "u1")
        net.meddle = meddle
        assert problem(http.get(back)) == (401, "LoginNotProven")
        assert http.get("/api/v1/me").status_code == 401


def test_a_forgery_as_good_as_the_real_one_would_pass(house: House, net: Net) -> None:
    """So that the test above fails for its reason."""
    key = RSAKey.generate_key(2048, private=True)
    token = forged({"sub": "u7"}, key, {"alg": "RS256"})

    def meddle(response: httpx.Response) -> None:
        token(response)
        if "jwks" in str(response.request.url):
            response._content = json.dumps({"keys": [key.as_dict(private=False)]}).encode()

    with browser(house) as http:
        back = lets_in(http, "u1")
        net.meddle = meddle
        assert http.get(back).status_code == 200


def test_a_login_that_was_denied_or_took_too_long_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with browser(house) as http:
        state = parse_qs(urlsplit(http.get("/api/v1/login/oidc").headers["location"]).query)["state"][0]
        answer = http.get("/api/v1/login/oidc/callback", params={"state": state, "error": "access_denied", "error_description": "no"})
        assert problem(answer) == (401, "LoginNotProven")
    pending = oidc.Pending("s", "n", "v", int(time.time()) - 1)
    with pytest.raises(oidc.LoginNotProven) as told:
        oidc.finish(Provider("https://x", "c"), pending, oidc.Answer("s", "c", None, None), "b", datetime.now(UTC))
    assert told.value.facts == {"why": "state"}


def test_a_provider_that_is_not_there_or_not_safe_is_told(house: House, issuer: str, net: Net) -> None:
    for provider, status, kind in (
        (None, 404, "ProviderOff"),
        (Provider("http://localhost:1", "c"), 503, "ProviderUnreachable"),
        (Provider("http://idp.example", "c"), 500, "ProviderInsecure"),
        (Provider(issuer + "/", "c"), 503, "ProviderUnreachable"),  # says it is another
    ):
        with live(Serving(house.url, provider=provider)) as address, browser(replace(house, address=address)) as http:
            assert problem(http.get("/api/v1/login/oidc")) == (status, kind)


def test_the_environment_names_the_provider() -> None:
    assert of_environment({}).provider is None
    asked = {"JIEGUAN_OIDC_ISSUER": "https://idp.example", "JIEGUAN_OIDC_CLIENT_ID": "c", "JIEGUAN_OIDC_CLIENT_SECRET": "s",
             "JIEGUAN_OIDC_ROLE_CLAIM": "groups"}  # fmt: skip
    found = of_environment(asked).provider
    assert found == Provider("https://idp.example", "c", "s", "groups", "squad")
    assert "'s'" not in repr(found)
