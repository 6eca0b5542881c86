"""Logging in and out, accounts and tokens, on both databases; what a guesser and a forger meet."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from time import perf_counter
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from api.access import Principal
from api.settings import Serving
from api.store.opening import working
from api.store.record import verify
from api.store.tables import Account, Attempt, Event, Session, Token
from api.usecases import passwords
from api.usecases import people as use
from api.usecases.people import IDLE, LONGEST, TRIES, WINDOW, People
from routing.case import Role
from tests.api.live import live, published
from tests.db.conftest import NewUrl

ADMIN, PASSWORD = "管理员", "correct horse battery"
SYSTEM = Principal("cli", "cli", Role.ADMINISTRATOR, None, "cli")


@dataclass
class Clock:
    """A clock that is set by hand."""

    at: datetime = field(default_factory=lambda: datetime(2026, 5, 1, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.at


@dataclass
class House:
    """A service with one administrator."""

    url: str
    address: str
    clock: Clock

    def browser(self) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=60, headers={"Accept-Language": "en"})

    @contextmanager
    def logged_in(self, name: str = ADMIN, password: str = PASSWORD) -> Iterator[httpx.Client]:
        with self.browser() as http:
            answer = http.post("/api/v1/sessions", json={"name": name, "password": password})
            assert answer.status_code == 201, answer.text
            http.headers["X-CSRF-Token"] = answer.json()["csrf"]
            yield http

    @contextmanager
    def people(self) -> Iterator[People]:
        with working(Serving(self.url)) as has:
            yield People(has.book, has.vault.mac, self.clock)

    def add(self, name: str, role: Role = Role.OPERATOR, squad: str | None = None, password: str | None = PASSWORD) -> None:
        with self.people() as of:
            use.new_account(of, SYSTEM, name, role, squad, password)

    def rows(self, what: type[Any], order: Any = None) -> list[Any]:
        with self.people() as of, of.book.db.reading() as session:
            return list(session.scalars(sa.select(what).order_by(order)))

    def kinds(self) -> list[str]:
        return [event.kind for event in self.rows(Event, Event.id)]


@pytest.fixture
def house(new_url: NewUrl) -> Iterator[House]:
    url, clock = new_url(initialised=True), Clock()
    made = House(url, "", clock)
    made.add(ADMIN, Role.ADMINISTRATOR)
    with live(url, development=False, now=clock) as made.address:
        yield made


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and kind of a refusal."""
    return answer.status_code, answer.json()["type"].removeprefix("urn:jieguan:problem:")


# ---- in and out --------------------------------------------------------------------------------------------------------


def test_a_login_is_two_cookies_and_ends_at_logout(house: House) -> None:
    with house.browser() as http:
        assert problem(http.get("/api/v1/me")) == (401, "NotLoggedIn")
        answer = http.post("/api/v1/sessions", json={"name": f" {ADMIN} ", "password": PASSWORD})
        assert answer.status_code == 201
        kept = {c.partition("=")[0]: c.lower() for c in answer.headers.get_list("set-cookie")}
        assert set(kept) == {"jieguan_session", "jieguan_csrf"}
        assert "httponly" in kept["jieguan_session"]
        assert "httponly" not in kept["jieguan_csrf"]
        assert all("samesite=lax" in c and "secure" not in c for c in kept.values())  # plain http
        me = http.get("/api/v1/me")
        assert (me.json()["name"], me.json()["role"], me.headers["cache-control"]) == (ADMIN, "administrator", "no-store")
        stolen = http.cookies["jieguan_session"]
        (row,) = house.rows(Session)
        assert stolen not in (row.id, row.csrf)
        assert http.cookies["jieguan_csrf"] not in (row.id, row.csrf)

        assert problem(http.delete("/api/v1/sessions/current")) == (403, "CsrfMissing")
        assert http.delete("/api/v1/sessions/current", headers={"X-CSRF-Token": http.cookies["jieguan_csrf"]}).status_code == 204
        assert not http.cookies
        assert problem(http.get("/api/v1/me", headers={"Cookie": f"jieguan_session={stolen}"})) == (401, "NotLoggedIn")
    assert house.kinds() == ["account_opened", "login", "logout"]


def test_what_writes_needs_the_header_of_its_own_login(house: House) -> None:
    with house.logged_in() as http, house.logged_in() as other:
        body = {"name": "李", "role": "operator"}
        for csrf in ("", "x", other.headers["X-CSRF-Token"]):
            assert problem(http.post("/api/v1/users", json=body, headers={"X-CSRF-Token": csrf})) == (403, "CsrfMissing")
        assert http.post("/api/v1/users", json=body).status_code == 201


def test_a_login_takes_the_place_of_the_one_before(house: House) -> None:
    with house.logged_in() as http:
        first = http.cookies["jieguan_session"]
        http.post("/api/v1/sessions", json={"name": ADMIN, "password": PASSWORD})
        assert http.cookies["jieguan_session"] != first
        assert http.get("/api/v1/me").status_code == 200
        assert http.get("/api/v1/me", headers={"Cookie": f"jieguan_session={first}"}).status_code == 401


def test_a_cookie_is_for_https_alone_where_that_is_set(house: House) -> None:
    with live(Serving(house.url, secure=True), now=house.clock) as address:
        answer = httpx.post(f"{address}/api/v1/sessions", json={"name": ADMIN, "password": PASSWORD})
    assert all("secure" in c.lower() for c in answer.headers.get_list("set-cookie"))


def test_a_login_nobody_uses_ends_and_so_does_any_in_the_end(house: House) -> None:
    with house.logged_in() as http:
        house.clock.at += IDLE - timedelta(seconds=1)
        assert http.get("/api/v1/me").status_code == 200
        house.clock.at += IDLE - timedelta(seconds=1)  # it was used in between
        assert http.get("/api/v1/me").status_code == 200
        house.clock.at += IDLE
        assert http.get("/api/v1/me").status_code == 401
    with house.logged_in() as http:
        end = house.clock.at + LONGEST
        while house.clock.at + IDLE / 2 < end:
            house.clock.at += IDLE / 2
            assert http.get("/api/v1/me").status_code == 200
        house.clock.at = end
        assert http.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize("change", [{"role": "planner"}, {"squad": "B"}, {"squad": None}, {"closed": True}, None])
def test_a_change_of_the_account_ends_its_logins_at_once(house: House, change: dict[str, Any] | None) -> None:
    house.add("王", Role.OPERATOR, "A")
    with house.logged_in() as admin, house.logged_in("王") as http:
        assert http.get("/api/v1/me").json()["squad"] == "A"
        if change is None:
            assert admin.post("/api/v1/users/王/password", json={"password": "another good one"}).status_code == 204
        else:
            assert admin.patch("/api/v1/users/王", json=change).status_code == 200
        assert problem(http.get("/api/v1/me")) == (401, "NotLoggedIn")
        assert admin.get("/api/v1/me").status_code == 200
        again = http.post("/api/v1/sessions", json={"name": "王", "password": PASSWORD})
        assert again.status_code == (201 if change is not None and "closed" not in change else 401)
        if change == {"closed": True}:
            assert admin.patch("/api/v1/users/王", json={"closed": False}).status_code == 200
            assert http.get("/api/v1/me").status_code == 401  # what has ended stays so
            assert http.post("/api/v1/sessions", json={"name": "王", "password": PASSWORD}).status_code == 201


def test_who_is_changed_while_his_password_is_checked_does_not_come_in(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.add("王")
    real = passwords.verified

    def meanwhile(password: str, kept: str | None) -> tuple[bool, str | None]:
        with house.people() as of:
            use.change_account(of, SYSTEM, "王", use.Change(Role.PLANNER))
        return real(password, kept)

    monkeypatch.setattr(passwords, "verified", meanwhile)
    with house.browser() as http:
        assert problem(http.post("/api/v1/sessions", json={"name": "王", "password": PASSWORD})) == (401, "WrongLogin")
    assert not house.rows(Session)


def test_a_change_that_changes_nothing_ends_nothing(house: House) -> None:
    house.add("王", Role.OPERATOR, "A")
    with house.logged_in() as admin, house.logged_in("王") as http:
        assert admin.patch("/api/v1/users/王", json={"role": "operator", "squad": "A", "closed": False}).status_code == 200
        assert http.get("/api/v1/me").status_code == 200


# ---- accounts and tokens -----------------------------------------------------------------------------------------------


def test_a_squad_is_one_of_the_map_in_force_once_there_is_a_map(house: House, caplog: pytest.LogCaptureFixture) -> None:
    leader = {"role": "squad_leader", "password": PASSWORD}
    with house.logged_in() as admin:
        early = admin.post("/api/v1/users", json={"name": "早", "squad": "su99", **leader})
        assert early.status_code == 201
        assert "no map has been published" in caplog.text
        caplog.clear()
        published(house.url)
        for squad in ("su99", "SU00", "su00 "):
            for asked in (
                admin.post("/api/v1/users", json={"name": "晚", "squad": squad, **leader}),
                admin.post("/api/v1/tokens", json={"name": "机", "role": "machine", "squad": squad}),
                admin.patch("/api/v1/users/早", json={"squad": squad}),
            ):
                assert problem(asked) == (422, "NotASquad"), squad
        told = asked.json()["facts"]
        assert (told["squad"], told["known"].split(", ")[:2]) == ("su00 ", ["su00", "su01"])
        assert admin.patch("/api/v1/users/早", json={"closed": True}).status_code == 200  # what he was is not asked for again
        assert admin.patch("/api/v1/users/早", json={"squad": "su00", "closed": False}).json()["squad"] == "su00"
        assert admin.post("/api/v1/tokens", json={"name": "机", "role": "machine", "squad": "su01"}).status_code == 201
        assert admin.post("/api/v1/users", json={"name": "无", "role": "operator", "password": PASSWORD}).status_code == 201
        assert caplog.text == ""
    assert {a.name: a.squad for a in house.rows(Account)}.get("晚") is None


def test_an_administrator_runs_the_accounts_and_nobody_sees_a_hash(house: House) -> None:
    with house.logged_in() as admin:
        made = admin.post("/api/v1/users", json={"name": "赵", "role": "squad_leader", "squad": "A", "password": "four quiet green hills"})
        assert made.status_code == 201
        assert (made.json()["squad"], made.json()["password"], made.json()["closed_at"]) == ("A", True, None)
        assert problem(admin.post("/api/v1/users", json={"name": "赵", "role": "operator"})) == (409, "NameTaken")
        assert problem(admin.post("/api/v1/users", json={"name": "钱", "role": "squad_member"})) == (422, "SquadNeeded")
        assert problem(admin.post("/api/v1/users", json={"name": "钱", "role": "public"})) == (422, "NoPublicAccount")
        assert problem(admin.post("/api/v1/users", json={"name": "-", "role": "operator"})) == (422, "BadName")
        assert problem(admin.patch("/api/v1/users/钱", json={"closed": True})) == (404, "UnknownAccount")
        assert problem(admin.patch("/api/v1/users/赵", json={"squad": None})) == (422, "SquadNeeded")
        for last in ({"closed": True}, {"role": "operator"}):
            assert problem(admin.patch(f"/api/v1/users/{ADMIN}", json=last)) == (409, "LastAdministrator")
        told = admin.get("/api/v1/users")
        assert [a["name"] for a in told.json()] == sorted([ADMIN, "赵"])
        assert "argon2" not in told.text
    assert all(a.password.startswith("$argon2id$") for a in house.rows(Account))


def test_a_password_is_changed_by_its_owner_with_the_old_one(house: House) -> None:
    house.add("王")
    house.add("李")
    good = "another good one"
    with house.logged_in("王") as http:
        assert problem(http.post("/api/v1/users/李/password", json={"password": good, "old": PASSWORD})) == (403, "NotYourPassword")
        assert problem(http.post("/api/v1/users/王/password", json={"password": good})) == (403, "NotYourPassword")
        assert problem(http.post("/api/v1/users/王/password", json={"password": good, "old": "x"})) == (401, "WrongLogin")
        assert problem(http.post("/api/v1/users/王/password", json={"password": "password", "old": PASSWORD})) == (422, "WeakPassword")
        assert http.post("/api/v1/users/王/password", json={"password": good, "old": PASSWORD}).status_code == 204
        assert http.get("/api/v1/me").status_code == 401
    with house.logged_in("王", good) as http:
        assert http.get("/api/v1/me").json()["name"] == "王"
    with house.logged_in() as admin:  # an administrator's login that was left open does not change his own
        assert problem(admin.post(f"/api/v1/users/{ADMIN}/password", json={"password": good})) == (403, "NotYourPassword")
        assert problem(admin.post("/api/v1/users/谁/password", json={"password": good})) == (404, "UnknownAccount")


@pytest.mark.parametrize(
    ("password", "why"),
    [("1234567", "short"), ("x" * 257, "long"), ("Password", "common"), ("iloveyou", "common"), ("ZHANG SAN", "name")],
)
def test_a_weak_password_is_refused_with_the_reason(password: str, why: str) -> None:
    with pytest.raises(passwords.WeakPassword) as told:
        passwords.check(password, "zhang san")
    assert told.value.facts == {"why": why}
    passwords.check("八个字的口令也行", "zhang san")


def test_the_same_characters_are_the_same_password_however_composed() -> None:
    assert passwords.verified("e\u0301te\u0301 2026", passwords.hashed("\u00e9t\u00e9 2026")) == (True, None)


def test_a_token_opens_what_its_role_may_until_it_ends(house: House) -> None:
    with house.logged_in() as admin:
        made = admin.post("/api/v1/tokens", json={"name": "12345 热线", "role": "machine", "days": 1})
        assert made.status_code == 201
        secret = made.json().pop("secret")
        assert secret not in admin.get("/api/v1/tokens").text
        (row,) = house.rows(Token)
        assert secret not in row.id
        mine = {"Authorization": f"Bearer {secret}"}
        told = httpx.get(f"{house.address}/api/v1/me", headers=mine).json()
        assert (told["name"], told["role"], told["how"]) == ("12345 热线", "machine", "token")
        assert problem(httpx.get(f"{house.address}/api/v1/users", headers=mine)) == (403, "NotThisRole")
        for wrong in (f"Bearer {secret}x", "Bearer", f"Basic {secret}", secret, f"Bearer {row.id}", f"Bearer {row.id[:16]}"):
            answer = httpx.get(f"{house.address}/api/v1/me", headers={"Authorization": wrong})
            assert problem(answer) == (401, "NotLoggedIn")
            assert answer.headers["www-authenticate"] == "Bearer"
        house.clock.at += timedelta(hours=1)
        assert httpx.get(f"{house.address}/api/v1/me", headers=mine).status_code == 200
        name = made.json()["id"]
        for _ in range(2):
            assert admin.delete(f"/api/v1/tokens/{name}").json()["ended_at"] is not None
        assert httpx.get(f"{house.address}/api/v1/me", headers=mine).status_code == 401
        for unknown in ("x", "0" * 16, name[:15]):
            assert problem(admin.delete(f"/api/v1/tokens/{unknown}")) == (404, "UnknownToken")
        again = admin.post("/api/v1/tokens", json={"name": "another", "role": "machine", "days": 1}).json()["secret"]
        house.clock.at += timedelta(days=1)
        assert httpx.get(f"{house.address}/api/v1/me", headers={"Authorization": f"Bearer {again}"}).status_code == 401
    assert house.kinds()[-3:] == ["token_made", "token_ended", "token_made"]


def test_the_record_holds_who_did_what_to_whom_and_no_secret(house: House) -> None:
    house.add("王")
    with house.logged_in() as admin:
        admin.patch("/api/v1/users/王", json={"role": "planner"})
        admin.post("/api/v1/users/王/password", json={"password": "another good one"})
        secret = admin.post("/api/v1/tokens", json={"name": "t", "role": "machine"}).json()["secret"]
    with house.browser() as http:
        http.post("/api/v1/sessions", json={"name": "1381234" "5678", "password": "my secret word"})
    events = house.rows(Event, Event.id)
    kinds = ["account_opened", "account_opened", "login", "account_changed", "password_changed", "token_made", "login_failed"]
    assert [e.kind for e in events] == kinds
    chief = next(a.id for a in house.rows(Account) if a.name == ADMIN)
    assert {e.actor for e in events[2:6]} == {chief}
    assert (events[6].actor, events[6].role) == ("-", "public")
    said = " ".join(f"{e.body}" for e in events)
    for word in (secret, PASSWORD, "my secret word", "13812345678", "another good one"):
        assert word not in said
    with house.people() as of, of.book.db.reading() as session:
        assert not list(verify(session, of.book.anchor))


# ---- who guesses -------------------------------------------------------------------------------------------------------


def test_g25_ten_wrong_tries_are_answered_and_then_one_has_to_wait(house: House) -> None:
    with house.browser() as http:
        wrong = {"name": ADMIN, "password": "not this one"}
        for _ in range(TRIES):
            assert problem(http.post("/api/v1/sessions", json=wrong)) == (401, "WrongLogin")
        house.clock.at += timedelta(minutes=1)
        for body in (wrong, {"name": ADMIN, "password": PASSWORD}, {"name": "another", "password": "x"}):  # the account, and the address
            answer = http.post("/api/v1/sessions", json=body, headers={"X-Forwarded-For": "192.0.2.7"})
            assert problem(answer) == (429, "TooManyTries")
            assert int(answer.headers["retry-after"]) == (WINDOW - timedelta(minutes=1)).total_seconds()
        house.clock.at += WINDOW - timedelta(minutes=1)
        assert http.post("/api/v1/sessions", json={"name": ADMIN, "password": PASSWORD}).status_code == 201
    assert not house.rows(Attempt)


def test_g25_coming_in_forgets_the_tries_of_that_account_alone(house: House) -> None:
    house.add("王")
    with house.browser() as http:
        for _ in range(TRIES - 2):
            http.post("/api/v1/sessions", json={"name": ADMIN, "password": "not this one"})
        assert http.post("/api/v1/sessions", json={"name": "王", "password": PASSWORD}).status_code == 201
        http.cookies.clear()
        assert len(house.rows(Attempt)) == TRIES - 2
        assert http.post("/api/v1/sessions", json={"name": ADMIN, "password": PASSWORD}).status_code == 201
    assert not house.rows(Attempt)


def test_g25_guessing_all_at_once_is_no_way_round(house: House) -> None:
    answers: list[int] = []

    def guess(n: int) -> None:
        body = {"name": ADMIN, "password": f"guess {n}"}
        answers.append(httpx.post(f"{house.address}/api/v1/sessions", json=body, timeout=120).status_code)

    threads = [threading.Thread(target=guess, args=(n,)) for n in range(3 * TRIES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(answers)) == [401, 429]
    assert answers.count(401) <= TRIES
    assert house.kinds().count("login_failed") == answers.count(401)


def test_g25_a_name_nobody_has_takes_a_hash_as_well(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.add("封", password=None)
    seen: list[str] = []
    real = passwords.HASHER.verify_and_update
    monkeypatch.setattr(passwords.HASHER, "verify_and_update", lambda word, kept: seen.append(kept) or real(word, kept))
    with house.browser() as http:
        for name in ("nobody", "封", ADMIN):
            assert problem(http.post("/api/v1/sessions", json={"name": name, "password": "nobody"})) == (401, "WrongLogin")
    assert [kept == passwords.stand_in() for kept in seen] == [True, True, False]
    assert {kept.split("$")[3] for kept in seen} == {passwords.stand_in().split("$")[3]}  # of the same cost


@pytest.mark.full
def test_g25_full_the_clock_does_not_tell_who_has_an_account(new_embedded: NewUrl, capsys: pytest.CaptureFixture[str]) -> None:
    """1,000 logins that fail, half of them of somebody there is; medians differ by less than 5 %."""
    with working(Serving(new_embedded(initialised=True))) as has:
        clock = Clock()
        of = People(has.book, has.vault.mac, clock)
        use.new_account(of, SYSTEM, ADMIN, Role.OPERATOR, None, PASSWORD)
        took: dict[str, list[float]] = {ADMIN: [], "nobody": []}
        for n in range(1000):
            name = (ADMIN, "nobody")[n % 2]
            clock.at += WINDOW
            begun = perf_counter()
            with pytest.raises(use.WrongLogin):
                use.log_in(of, name, "not this one", "192.0.2.1")
            took[name].append(perf_counter() - begun)
    known, unknown = (median(times) for times in took.values())
    with capsys.disabled():
        print(f"\nmedian of a failed login: {known * 1e3:.2f} ms with an account, {unknown * 1e3:.2f} ms without")
    assert abs(known - unknown) < 0.05 * known


def test_p20_a_password_of_a_megabyte_is_refused_before_it_is_hashed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(passwords.HASHER, "verify_and_update", lambda word, kept: hashed.append(word))
    monkeypatch.setattr(passwords.HASHER, "hash", hashed.append)
    long = "x" * 2**20
    with house.browser() as http:
        answer = http.post("/api/v1/sessions", json={"name": ADMIN, "password": long})
        assert problem(answer) == (422, "InvalidRequest")
        assert "xxx" not in answer.text
    with house.people() as of:
        with pytest.raises(use.WrongLogin):
            use.log_in(of, ADMIN, long, "-")
        with pytest.raises(passwords.WeakPassword):
            use.new_account(of, SYSTEM, "x", Role.OPERATOR, None, long)
    assert not hashed


@pytest.mark.parametrize(("proxies", "elsewhere"), [("127.0.0.1", 401), (None, 429)])
def test_g25_where_a_try_came_from_is_what_our_own_proxy_says(city_url: str, proxies: str | None, elsewhere: int) -> None:
    """Behind a proxy every address counts for itself; a client that only claims another address counts as itself."""
    with live(Serving(city_url, proxies=proxies), development=False) as address, httpx.Client(base_url=address) as http:

        def guess(name: str, whence: str) -> int:
            body = {"name": name, "password": "not this one"}
            return http.post("/api/v1/sessions", json=body, headers={"X-Forwarded-For": whence}).status_code

        assert [guess(f"p{k}", "192.0.2.7") for k in range(TRIES)] == [401] * TRIES
        assert guess("another", "192.0.2.7") == 429
        assert guess("another", "192.0.2.8") == elsewhere
