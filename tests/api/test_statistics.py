"""The figures, beside plain SQL over the record: random histories through the use cases, a demo year; rows for each number; who sees what."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from api.access import Principal
from api.settings import Serving
from api.store import facts
from api.store.cases import UnknownCase
from api.store.facts import Due
from api.store.opening import working
from api.store.tables import CaseFile
from api.usecases import statistics
from api.usecases.figures import FIGURES, GAP, NAMED
from api.usecases.intake import Complaint, Contact, take_in
from api.usecases.lifecycle import NotAllowed, Wanted, act
from api.usecases.office import Office, may_do
from api.usecases.placing import Where
from api.usecases.queues import BadCursor
from api.usecases.replays import Asked as Once
from api.usecases.statistics import BadPeriod, NoDenominator, NotYourFigures, Span, span_of
from api.usecases.statistics import Asked as Question
from geodata.store import Maps
from routing.case import Action, Role
from routing.model import SquadCode
from tests.api.live import place, published
from tests.api.statistics_oracle import CLOSE_H, HANDLE_H, Oracle
from tests.db.conftest import NewUrl

CHINA = ZoneInfo("Asia/Shanghai")
BEGIN = datetime(2026, 2, 25, 15, 58, tzinfo=UTC)
"""Two minutes before midnight in 上海, four days before the end of a month."""
SQUADS = ("su00", "su01", "su02")
OFFICE = (Role.OPERATOR, Role.DISPATCHER, Role.SUPERVISOR)
OPERATOR, DISPATCHER, SUPERVISOR = (Principal(role.value, role.value, role, None, "session") for role in OFFICE)
ADMINISTRATOR = Principal("administrator", "administrator", Role.ADMINISTRATOR, None, "session")
SECOND = Principal("second", "second", Role.SUPERVISOR, None, "session")
LEADERS = tuple(Principal(f"leader {s}", f"leader {s}", Role.LEADER, SquadCode(s), "session") for s in SQUADS)
EVERYBODY = (OPERATOR, DISPATCHER, SUPERVISOR, SECOND, *LEADERS)
ONCE = Once(None, b"")
ONWARD = {
    Action.ACCEPT, Action.REGISTER, Action.DISPATCH, Action.SIGN, Action.REPORT, Action.TAKE_TO_CHECK, Action.FAIL, Action.REPLY, Action.CLOSE,
    Action.REOPEN, Action.RESUME, Action.ACCEPT_RETURN, Action.REJECT_RETURN, Action.DESIGNATE, Action.FINISH_PART, Action.TAKE_OVER,
    Action.ANSWER_SUPERVISION,
}  # fmt: skip
"""What takes a case on; the rest is asked for now and then."""


class Clock:
    """It stands until it is moved."""

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now


def limits(_: Any, row: CaseFile) -> Due:
    """What the clocks will say: hours after the receipt; every fifth case has none."""
    if row.id % 5 == 0:
        return Due(None, None)
    return Due(row.received_at + timedelta(hours=HANDLE_H), row.received_at + timedelta(hours=CLOSE_H))


@pytest.fixture
def of(new_url: NewUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    monkeypatch.setattr(facts, "due_of", limits)
    url = new_url(initialised=True)
    published(url)
    with working(Serving(url, private=str(tmp_path / "private"))) as has:
        yield Office(has.db, Maps(1), has.book, has.vault, Clock(), CHINA)


# ---- random histories ------------------------------------------------------------------------------------------------


def taken(of: Office, rng: random.Random) -> str:
    """A complaint, in one of three squads' ground or close to a line; some about officers, some that cannot be located."""
    x = rng.choice((500, 1_500, 2_500, 985, 995, 1_004, 1_012))
    where = Where(unlocated=True) if rng.random() < 0.05 else Where(**place(x, rng.uniform(200, 800)), error_m=20.0)
    category, against = rng.choice(("GB30428:0501", "GB30428:0504")), None
    if rng.random() < 0.15:
        category, against = rng.choice(("JIEGUAN:conduct", "GB30428:0501")), rng.choice(SQUADS)
    what = Complaint(category, "占道", "phone", where, "某路", contact=Contact("王", "13812345678"), against=against)
    return str(take_in(of, OPERATOR, what, ONCE, "en").body["number"])


def moved(of: Office, number: str, rng: random.Random) -> None:
    """Something that somebody may do, mostly what takes it on."""
    with of.db.reading() as session:
        row = session.scalars(sa.select(CaseFile).where(CaseFile.number == number)).one()
        ways = [(who, action) for who in EVERYBODY for action in may_do(row, who) if who.squad is None or who.squad != row.against]
    onward = [way for way in ways if way[1] in ONWARD] if rng.random() < 0.75 else ways
    if not (onward or ways):
        return
    who, action = rng.choice(onward or ways)
    others = [squad for squad in SQUADS if squad != row.holder]
    named: dict[str, Any] = {"squad": rng.choice(others)} if action not in (Action.DISPATCH, Action.REROUTE) else {}
    if action is Action.REROUTE:
        named = rng.choice(({"category": "GB30428:0504"}, {"where": Where(**place(rng.choice((505, 1_003, 1_600)), 500))}))
    wanted = Wanted(
        action, row.version, squads=tuple(others), reason="x", evidence=("x",), document="1", review=of.now() + timedelta(days=9), **named
    )
    try:
        act(of, who, number, wanted, ONCE, "en")
    except (NotAllowed, UnknownCase):
        return  # joint work with nobody else, a case that is for supervision alone: it stays as it is


def lived(of: Office, rng: random.Random, histories: int, steps: int, settled: float = 0.02) -> None:
    """So many cases at once; time goes on in minutes or in days, and now and then the sums are added up."""
    clock: Any = of.now
    numbers: list[str] = []
    for _ in range(histories * steps):
        if len(numbers) < histories and rng.random() < 1.5 / steps:
            numbers.append(taken(of, rng))
        elif numbers:
            moved(of, rng.choice(numbers[-40:]), rng)
        clock.now += timedelta(seconds=rng.choice((1, 30, 600, 3_000)) if histories > 50 else rng.choice((60, 3_000, 30_000)))
        if rng.random() < settled:
            with of.db.writing() as session:
                facts.settle(session, rng.choice((3, 50, 10_000)))


def agree(of: Office, span: Span, who: Principal = SUPERVISOR) -> int:
    """Every figure, in total and by each group, is what the record says; so are the rows behind it. How many numbers were not nothing."""
    oracle, compared = Oracle(of.db, of.now(), all_of_them=who.role is Role.SUPERVISOR), 0
    for by in (None, "squad", "category", "stretch", "month"):
        told = statistics.figures(of, who, Question(span, by))
        for figure in FIGURES:
            if figure.name == GAP:
                continue
            wanted = oracle.figure(figure.name, span.since, span.until, "''" if by is None else by)
            lines = {"": told.total} if by is None else {str(line.key): line for line in told.lines}
            for key in {*wanted, *lines}:
                top, bottom = wanted.get(key, (0.0, 0))
                worth = lines[key].worth[figure.name]
                assert worth.top == pytest.approx(top, abs=1e-5), (figure.name, by, key)
                assert worth.bottom == (bottom if figure.bottom else None), (figure.name, by, key)
                share = None if figure.bottom and not bottom else top / bottom if figure.bottom else top
                assert worth.value == (None if share is None else pytest.approx(share, abs=1e-5)), (figure.name, by, key)
                compared += top != 0
    gaps = oracle.gap(span.since, span.until)
    told = statistics.figures(of, who, Question(span, "stretch", names=(GAP,)))
    got = {line.key: line.worth[GAP].value for line in told.lines if line.worth[GAP].value is not None}
    assert got == {stretch: pytest.approx(hours, abs=1e-5) for stretch, hours in gaps.items()}
    mean = pytest.approx(sum(gaps.values()) / len(gaps), abs=1e-5) if gaps else None
    assert told.total.worth[GAP].value == mean
    for figure in FIGURES:
        drilled(of, who, Question(span), figure.name)
    return compared


def drilled(of: Office, who: Principal, asked: Question, name: str) -> None:
    """Page by page, the rows add up to the number."""
    figure = NAMED[name]
    worth = statistics.figures(of, who, replace(asked, names=(name,))).total.worth[name]
    for part, number in (("numerator", worth.top), ("denominator", worth.bottom)):
        if (part == "denominator" and not figure.bottom) or name == GAP:
            continue
        rows, mark = [], None
        while True:
            page = statistics.cases_of(of, who, name, part, asked, 7, mark, "en")
            rows += page["items"]
            mark = page["next"]
            if mark is None:
                break
            assert len(page["items"]) == 7
        assert len({row["number"] for row in rows}) == len(rows)
        assert sum(row["amount"] for row in rows) == pytest.approx(number, abs=1e-3), (name, part)
        assert all(row["amount"] for row in rows)


def whole(of: Office) -> Span:
    """All of it, with room on both sides."""
    return Span(BEGIN.date() - timedelta(days=3), of.now().astimezone(CHINA).date() + timedelta(days=9))


def held_to_account(of: Office, seed: int, histories: int, steps: int) -> int:
    rng = random.Random(seed)
    lived(of, rng, histories // 2, steps)
    compared = agree(of, whole(of))
    lived(of, rng, histories - histories // 2, steps)
    compared += agree(of, whole(of))
    today = of.now().astimezone(CHINA).date()
    for span, who in (
        (Span(today, today + timedelta(days=1)), SUPERVISOR), (Span(date(2026, 2, 26), date(2026, 3, 2)), SUPERVISOR), (whole(of), DISPATCHER),
    ):  # fmt: skip
        compared += agree(of, span, who)
    statistics.settle(of)
    compared += agree(of, whole(of))
    before = sums(of)
    assert statistics.rebuild(of)[1] == 0  # the facts kept step by step are those of the whole record
    assert sums(of) == before
    return compared


def sums(of: Office) -> list[Any]:
    """The sums that are something, in order."""
    with of.db.reading() as session:
        assert facts.unsettled(session) == 0
        rows = session.execute(sa.text("SELECT * FROM day_fact WHERE cases <> 0 ORDER BY span, day, basis, squad, category, stretch, apart"))
        return [tuple(map(str, row)) for row in rows]


def test_figures_are_what_the_record_says(of: Office) -> None:
    lived(of, random.Random(5), 6, 22)
    compared = agree(of, whole(of))
    statistics.settle(of)
    assert agree(of, whole(of)) == compared > 40


@pytest.mark.slow
def test_figures_of_two_hundred_random_histories(of: Office) -> None:
    compared = held_to_account(of, 11, 200, 22)
    print(f"200 histories, {compared} numbers that are not nothing were compared")
    assert compared > 1_000
