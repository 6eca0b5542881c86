"""The matrix of roles: every address x role, every relation to a case x role, every protected field; and what is closed to all."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api.access import ENDPOINTS, PROTECTED, Principal, Row, masked, reveals, sees, signs
from api.app import create_app
from api.routers.asked import StrictRoute
from routing.case import Role
from routing.model import SquadCode
from tests.api.live import Person, live, served

GOLDEN = yaml.safe_load((Path(__file__).parents[1] / "golden" / "access.yaml").read_text(encoding="utf-8"))
ROLES = {"leader": Role.LEADER, "member": Role.MEMBER, **{role.value: role for role in Role if role not in (Role.LEADER, Role.MEMBER)}}
ASKS: dict[tuple[str, str], set[Role]] = {}
for group in GOLDEN["asks"]:
    for line in group["what"]:
        method, path = line.split()
        assert (method, path) not in ASKS, line
        ASKS[method, path] = {ROLES[name] for name in group["who"].split()}


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Every method and path template the application answers. Each is guarded."""
    for context in iter_route_contexts(app.routes):
        assert isinstance(context.original_route, StrictRoute), context
        for method in context.methods:
            yield method, context.path_format


def test_g20_every_address_has_a_row_and_every_row_an_address() -> None:
    there = list(routes(create_app("x.db")))
    assert len(there) == len(set(there))
    assert set(there) - set(ENDPOINTS) == set()
    assert set(ENDPOINTS) - set(there) == set()


def test_an_address_that_is_not_in_the_table_is_refused_to_all(city_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(city_url, development=True)

    def secret() -> str:
        return "secret"

    app.router.routes.append(StrictRoute("/api/v1/new", secret))
    monkeypatch.setattr("tests.api.live.create_app", lambda *_, **__: app)
    with live(city_url) as address:
        for role in Role:
            answer = httpx.get(f"{address}/api/v1/new", headers=headers_of(role))
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:jieguan:problem:NoRule")


def headers_of(role: Role) -> dict[str, str]:
    """Somebody of that role, in development mode."""
    return {"X-Jieguan-Person": "x", "X-Jieguan-Role": role.value, "X-Jieguan-Squad": "u00"}


@pytest.mark.parametrize("role", list(Role))
def test_every_address_is_asked_by_every_role(base: str, role: Role) -> None:
    """What it answers who may is another matter; who may not is told so, whatever else is wrong with the request."""
    told, wanted = {}, {}
    with httpx.Client(base_url=base, headers=headers_of(role), timeout=60) as http:
        for method, path in routes(create_app("x.db")):
            answer = http.request(method, path)
            problem = answer.headers.get("content-type") == "application/problem+json"
            refused = answer.json()["type"].rpartition(":")[2] if problem else None
            no = "NotLoggedIn" if role is Role.PUBLIC else "NotThisRole"
            if path.startswith("/open311") and answer.status_code == 403:  # its errors have no types
                refused = no
            told[method, path] = refused if refused in ("NotLoggedIn", "NotThisRole", "NoRule") else "asks"
            wanted[method, path] = "asks" if role in ASKS[method, path] else no
    assert told == wanted
    assert set(ASKS) == set(ENDPOINTS)
    assert {key for key, access in ENDPOINTS.items() if role in access.roles} == {key for key, who in ASKS.items() if role in who}


PARTS = (None, "holds", "joint", "assists", "formerly")
ROWS = [Row(part, *flags) for part in PARTS for flags in product((False, True), repeat=4)]


def expected(role: str, row: Row) -> dict[str, Any]:
    """The first line of the table that fits."""
    facts = {"part": row.part or "none", **{name: getattr(row, name) for name in Row.__slots__ if name != "part"}}
    return next(line for line in GOLDEN["cases"][role] if all(line.get(name, fact) == fact for name, fact in facts.items()))


@pytest.mark.parametrize("name", ROLES)
def test_every_relation_to_a_case_by_every_role(name: str) -> None:
    lines = GOLDEN["cases"][name]
    used = []
    for row in ROWS:
        line = expected(name, row)
        used.append(line)
        assert (sees(ROLES[name], row), reveals(ROLES[name], row)) == (line["sees"], line["reveals"]), row
    assert all(any(line is one for one in used) for line in lines)  # no line that decides nothing
    assert len(ROWS) == 80


def test_nobody_is_told_who_complained_of_a_case_he_does_not_see() -> None:
    assert not [row for row in ROWS for role in Role if reveals(role, row) and not sees(role, row)]
    assert not [row for row in ROWS for role in Role if row.against and sees(role, row)]


def test_every_protected_field_has_its_mask() -> None:
    fields = GOLDEN["fields"]
    assert set(fields) == set(PROTECTED)
    stated = {field: told["stated"] for field, told in fields.items()}
    assert masked(stated, may_reveal=True) == {field: told["may"] for field, told in fields.items()}
    assert masked(stated, may_reveal=False) == dict.fromkeys(fields)
    assert masked({}, may_reveal=True) == dict.fromkeys(fields)
    assert masked({"phone": "123 4567", "name": "", "id": "x"}, may_reveal=True) == {**dict.fromkeys(fields), "phone": "***"}


def test_a_leader_signs_for_his_own_squad_alone(base: str) -> None:
    leader = Principal("a", "a", Role.LEADER, SquadCode("u00"), "session")
    assert signs(leader, "u00", superior=False)
    assert not signs(leader, "u01", superior=False)
    assert not signs(leader, "u00", superior=True)
    zhang = Person(base)
    draft = zhang.begin()
    mine = {**headers_of(Role.LEADER), "X-Jieguan-Person": "li"}
    answer = httpx.post(f"{base}/api/v1/drafts/{draft}/signatures", json={"side": "su01"}, headers=mine)
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:jieguan:problem:NotHisSide")


def test_development_mode_believes_role_and_squad(base: str) -> None:
    def me(**headers: str) -> tuple[int, Any]:
        answer = httpx.get(f"{base}/api/v1/me", headers=headers)
        return answer.status_code, answer.json()

    assert me()[1] == {"account": "-", "name": "-", "role": "planner", "squad": None, "how": "development"}
    assert me(**headers_of(Role.MEMBER))[1] == {"account": "x", "name": "x", "role": "squad_member", "squad": "u00", "how": "development"}
    assert me(**{"X-Jieguan-Squad": "%E7%94%B2"})[1]["squad"] == "甲"
    status, told = me(**{"X-Jieguan-Role": "king"})
    assert (status, told["type"]) == (422, "urn:jieguan:problem:UnknownRole")
    status, told = me(**{"X-Jieguan-Role": "squad_leader"})
    assert (status, told["type"]) == (422, "urn:jieguan:problem:SquadNeeded")
    status, told = me(Host="evil.example")
    assert (status, told["type"]) == (403, "urn:jieguan:problem:NotThisMachine")


# ---- P20: what is closed -----------------------------------------------------------------------------------------------


def test_p20_the_description_of_the_service_takes_a_login(city_url: str, base: str) -> None:
    with live(city_url, development=False) as address:
        assert httpx.get(f"{address}/api/openapi.json").status_code == 401
        told = httpx.get(f"{address}/ogc/api").json()
        asked = {(m.upper(), path) for path, methods in told["paths"].items() for m in methods}
        assert asked <= {key for key, access in ENDPOINTS.items() if Role.PUBLIC in access.roles}
        assert ("GET", "/ogc/collections") in asked
        assert "Feature" not in told["components"]["schemas"]  # of what is written
        assert "Place" in told["components"]["schemas"]
    assert Person(base).get("/api/openapi.json")["paths"].keys() > told["paths"].keys()
    drawn = Person(base).get("/ogc/api")
    assert "Feature" in drawn["components"]["schemas"]
    assert "/api/v1/users" not in drawn["paths"]  # a planner's


def test_p20_drafts_are_not_announced_to_the_public(city_url: str) -> None:
    with live(city_url) as address:
        Person(address).begin("尚未公布")
        assert "尚未公布" in httpx.get(f"{address}/ogc", headers=headers_of(Role.PLANNER)).text
        assert "尚未公布" not in httpx.get(f"{address}/ogc", headers=headers_of(Role.MEMBER)).text
    with live(city_url, development=False) as address:
        assert "尚未公布" not in httpx.get(f"{address}/ogc").text


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/metrics", "/.git/config", "/.env", "/api/../.git/HEAD", "/debug"])
def test_p20_there_is_nothing_where_scanners_look(reading: str, path: str) -> None:
    assert httpx.get(reading + path, headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 404  # as a proxy on this machine asks


def test_p20_trace_is_no_method(reading: str) -> None:
    for path in ("/healthz", "/api/v1/cases", "/ogc"):
        answer = httpx.request("TRACE", reading + path, headers={"Cookie": "secret=1"})
        assert answer.status_code in (404, 405)
        assert "secret" not in answer.text


def test_p20_forged_headers_make_nobody(city_url: str) -> None:
    forged = {
        "X-User-Id": "1", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-User": "admin", "X-Remote-User": "admin",
        "Remote-User": "admin", "X-Jieguan-Person": "x", "X-Jieguan-Role": "administrator",
    }  # fmt: skip
    with live(city_url, development=False) as address:
        for path in ("/api/v1/me", "/api/v1/users"):
            assert httpx.get(address + path, headers=forged).status_code == 401


def test_p20_nothing_that_was_asked_is_in_the_log(city_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A phone number in an address, a line break in a header or a name: the log has neither."""
    phone, forged = "13800" "138000", "x\r\nERROR: forged"
    with served(city_url, "--lang", "en") as address, httpx.Client(base_url=address, timeout=300) as http:
        for path in ("/api/v1/in-force", "/api/v1/cases", "/nothing", "/api/v1/login/oidc/callback"):
            http.get(path, params={"phone": phone, "q": forged})
        http.post("/api/v1/sessions", json={"name": forged, "password": phone})
        http.post("/api/v1/sessions", json={"name": phone, "password": forged})
        http.get("/api/v1/me", headers={"Authorization": f"Bearer {phone}", "X-Note": phone, "Cookie": f"jieguan_session={phone}"})
        http.post("/api/v1/route", content=f'{{"phone": "{phone}"'.encode(), headers={"Content-Type": "application/json"})
    said = capfd.readouterr()
    assert phone not in said.out + said.err
    assert "forged" not in said.out + said.err
