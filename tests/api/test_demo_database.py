"""The demo in a database: a year of synthetic cases by the use cases of the service, people who log in, a service that runs at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from api.cli import main
from api.demo.database import DemoElsewhere, InDatabase, hosts_of, make_in_database
from api.demo.stories import MARK
from api.settings import Serving
from api.store.opening import Working, working
from api.store.record import verify
from api.store.tables import WHOLE, Account, CaseFile, Event, Holding, Part, Reporter, Ruling, Side
from api.usecases.intake import about_reporter
from api.usecases.office import about_case, about_event, unseal
from geodata.compile import silent
from geodata.db.copying import check
from geodata.db.engine import parse_url
from geodata.store import in_force
from routing.case import Action, Role, State
from tests.api.live import live
from tests.db.conftest import NewUrl

pytestmark = pytest.mark.slow  # minutes, most of them spent in making and starting things

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
CASES, SEED = 60, 7


@dataclass(frozen=True)
class Made:
    serving: Serving
    told: InDatabase


def demo_in(url: str, private: Path, **more: Any) -> Made:
    serving = Serving(url, private=str(private))
    return Made(serving, make_in_database(serving, more.pop("cases", CASES), more.pop("seed", SEED), NOW, silent, **more))


@pytest.fixture
def made(new_url: NewUrl, tmp_path: Path) -> Made:
    return demo_in(new_url(), tmp_path / "private")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """An embedded one, for all who only read."""
    folder = tmp_path_factory.mktemp("demo")
    return demo_in(str(folder / "demo.db"), folder / "private")


@pytest.fixture
def has(one: Made) -> Iterator[Working]:
    with working(one.serving) as has:
        yield has


def test_a_year_in_which_everything_happens(made: Made) -> None:
    told = made.told
    assert set(told.states) == set(State)
    assert (told.cases, sum(told.states.values())) == (CASES, CASES)
    either = {Action.GRANT_EXTENSION, Action.REFUSE_EXTENSION}
    assert set(Action) - set(told.actions) <= either | {Action.REACH}  # a limit in stages is of a few categories only
    assert check(made.serving.database, WHOLE) == ()
    with working(made.serving) as has, has.db.reading() as session:
        assert list(verify(session, has.book.anchor)) == []
        held = session.execute(sa.select(CaseFile.open, sa.func.count(Holding.id)).join(Holding).where(Holding.until.is_(None))
                               .group_by(CaseFile.id, CaseFile.open)).all()  # fmt: skip
        assert {tuple(row) for row in held} == {(True, 1)}
        assert len(held) == session.scalar(sa.select(sa.func.count()).where(CaseFile.open))
        times = session.scalars(sa.select(Event.at).order_by(Event.id)).all()
        assert all(before <= after for before, after in pairwise(times))
        assert NOW - timedelta(days=366) <= times[0] <= times[-1] < NOW
        assert in_force(session, times[0]).version == told.version
        border = session.scalar(sa.select(sa.func.count()).where(CaseFile.step.in_(["border", "agreed", "disputed", "nearest"])))
        assert border is not None
        assert border > 0.15 * CASES
        assert set(session.scalars(sa.select(Side.kind))) >= {"supervision", "suspension", "extension", "offer", "joint"}
        assert session.scalar(sa.select(sa.func.count()).select_from(Ruling))
        against = session.scalars(sa.select(CaseFile).where(CaseFile.to_supervision)).all()
        assert against
        assert all(Role(role) in (Role.SUPERVISOR, Role.OPERATOR, Role.MACHINE) for case in against
                   for role in session.scalars(sa.select(Event.role).where(Event.case_id == case.id)))  # fmt: skip


def test_each_is_done_by_whom_it_is_for(one: Made, has: Working) -> None:
    with has.db.reading() as session:
        who = {a.id: a for a in session.scalars(sa.select(Account))}
        moved = session.scalars(sa.select(Event).where(Event.kind == "moved")).all()
        for event in moved:
            account = who[event.actor]
            assert (event.role, event.squad) == (account.role, account.squad)
            assert account.created_at < event.at
        assert {who[e.actor].role for e in moved} == {"operator", "dispatcher", "supervisor", "squad_leader", "squad_member"}
        taken = session.scalars(sa.select(Event.role).where(Event.kind == "received")).all()
        assert set(taken) == {"operator", "machine", "squad_member"}
    assert len({login.secret for login in one.told.logins}) == len(one.told.logins) == 27


def test_everything_written_says_that_it_is_made_up(has: Working) -> None:
    reached = 0
    with has.db.reading() as session:
        for case in session.scalars(sa.select(CaseFile)):
            words = unseal(has.vault, case.key, case.words, about_case(case.number))
            assert words is not None
            assert words["description"].startswith(MARK)
            assert words["address"].startswith(MARK)
            reporter = session.get(Reporter, case.id)
            assert reporter is not None
            who = unseal(has.vault, case.key, reporter.sealed, about_reporter(case.number))
            if who is not None:
                assert (who["phone"][:4], who["email"].partition("@")[2], who["name"][:4]) == ("000-", "example.com", "演示市民")
                reached += 1
            for event in session.scalars(sa.select(Event).where(Event.case_id == case.id, Event.words.is_not(None))):
                said = unseal(has.vault, case.key, event.words, about_event(case.number))
                assert said is not None
                assert not said["reason"] or said["reason"].startswith(MARK)
                assert all(text.startswith(MARK) for text in said["evidence"])
    assert reached > 0.4 * CASES


def test_one_seed_gives_the_same_year_and_another_gives_another(one: Made, has: Working, tmp_path: Path) -> None:
    def facts(has: Working) -> list[Any]:
        with has.db.reading() as session:
            names = {a.id: a.name for a in session.scalars(sa.select(Account))}
            cases = {c.id: c for c in session.scalars(sa.select(CaseFile))}
            told: list[Any] = []
            for e in session.scalars(sa.select(Event).where(Event.case_id.is_not(None)).order_by(Event.id)):
                case = cases[e.case_id or 0]
                words = unseal(has.vault, case.key, e.words, about_event(case.number))
                told.append((e.id, e.at, e.kind, names.get(e.actor, e.role), e.body, words))
            parts = session.execute(sa.select(Part.case_id, Part.squad, Part.part).order_by(Part.case_id, Part.squad)).all()
            return [told, [tuple(p) for p in parts]]

    again, other = (demo_in(str(tmp_path / f"{seed}.db"), tmp_path / f"{seed}", seed=seed) for seed in (SEED, SEED + 1))
    with working(again.serving) as second, working(other.serving) as third:
        assert facts(second) == facts(has)
        assert facts(third) != facts(has)
    assert {a.name for a in one.told.logins} == {a.name for a in again.told.logins}
    assert not {a.secret for a in one.told.logins} & {a.secret for a in again.told.logins}


def test_the_service_runs_at_once_and_everybody_gets_in(one: Made, tmp_path: Path) -> None:
    copy = Serving(str(shutil.copy(one.serving.database, tmp_path / "copy.db")), private=one.serving.private)
    with live(copy, development=False) as base:
        for login in one.told.logins:
            with httpx.Client(base_url=base, timeout=300) as http:
                if login.role is Role.MACHINE:
                    http.headers["Authorization"] = f"Bearer {login.secret}"
                else:
                    entered = http.post("/api/v1/sessions", json={"name": login.name, "password": login.secret})
                    assert entered.status_code == 201, entered.text
                    http.headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in entered.cookies.items())
                me = http.get("/api/v1/me").json()
                assert (me["name"], me["role"], me["squad"]) == (login.name, login.role.value, login.squad)
                if login.squad is not None:
                    assert http.get(f"/api/v1/squads/{login.squad}/queue").status_code == 200
                elif login.role in (Role.OPERATOR, Role.SUPERVISOR, Role.MACHINE):
                    found = http.get("/api/v1/cases", params={"limit": 200}).json()["items"]
                    assert found
                    assert all(item["summary"].startswith(MARK) for item in found)


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = 0
    try:
        main([str(word) for word in words])
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = tmp_path / "demo.db"
    status, out, err = run(capsys, "demo", "--db", url, "--cases", 50, "--lang", "en")
    assert status == 0
    assert f"serve --db {url}" in out
    assert "master.key" in err
    line = next(line for line in out.splitlines() if "demo-leader-HJ-XC" in line)
    password = line.split("│")[4].strip()
    assert len(password) == 16
    files = [*tmp_path.glob("demo.db*"), *(tmp_path / "demo.db.private").iterdir()]
    assert not [file for file in files if file.is_file() and password.encode() in file.read_bytes()]
    status, out, err = run(capsys, "demo", "--db", url, "--cases", 50, "--lang", "en")
    assert (status, "has 50 cases already" in " ".join(err.split())) == (2, True)
    status, out, err = run(capsys, "demo", "--db", url, "--cases", 20, "--json")
    assert (status, json.loads(out)["error"]) == (2, "TooFewCases")
    status, out, err = run(capsys, "demo", "--db", url, "--out", tmp_path / "x", "--json")
    assert (status, json.loads(out)["error"]) == (2, "DemoInBoth")
    assert not (tmp_path / "x").exists()


def test_the_command_for_machines_goes_on_where_it_was_cut_short(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    url, words = tmp_path / "demo.db", ("--cases", 50, "--seed", 3, "--json")
    with monkeypatch.context() as killed:
        killed.setattr("api.demo.database.lived", cut)
        assert run(capsys, "demo", "--db", url, *words)[0] == 130
    status, out, _ = run(capsys, "demo", "--db", url, *words)
    told = json.loads(out)
    assert (status, told["cases"], told["synthetic"]) == (0, 50, True)
    assert {"name": "demo-planner", "role": "planner", "squad": None}.items() <= told["logins"][3].items()
    status, out, _ = run(capsys, "audit", "verify", "--db", url, "--json")
    assert (status, json.loads(out)["sound"]) == (0, True)


@pytest.mark.parametrize(
    ("url", "environment", "host"),
    [
        ("postgresql://u:secret@db.example.invalid/city", {}, "db.example.invalid"),
        ("postgresql://u:secret@192.0.2.7/city", {}, "192.0.2.7"),
        ("postgresql://u@/city?host=192.0.2.7", {}, "192.0.2.7"),
        ("postgresql://u@localhost/city?hostaddr=192.0.2.7", {}, "192.0.2.7"),
        ("postgresql://u@/city?host=localhost,192.0.2.7", {}, "192.0.2.7"),
        ("postgresql://u@/city?service=far", {}, "service far"),
        ("postgresql://u@/city", {"PGHOST": "192.0.2.7"}, "192.0.2.7"),
        ("postgresql://u@[2001:db8::7]/city", {}, "2001:db8::7"),
    ],
)
def test_it_is_refused_elsewhere(url: str, environment: dict[str, str], host: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DemoElsewhere) as refused:
        make_in_database(Serving(url, private=str(tmp_path / "private")), 50, 1, NOW, silent)
    assert host in refused.value.text("en")
    assert "secret" not in refused.value.text("zh-CN")
    assert not (tmp_path / "private").exists()


@pytest.mark.parametrize("url", ["postgresql://u@/city?host=/run/sock", "postgresql://u@127.0.0.1:5433/city", "postgresql://u@[::1]/city",
                                 "postgresql://u@localhost/city", "postgresql://u@/city"])  # fmt: skip
def test_sockets_and_loopback_are_here(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from api.demo.database import _is_here

    for name in ("PGHOST", "PGHOSTADDR", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    assert all(_is_here(host) for host in hosts_of(parse_url(url)))

