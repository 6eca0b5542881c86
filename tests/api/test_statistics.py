"""The figures, beside plain SQL over the record, of random histories through the use cases; the rows of each number; who sees what."""

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
from api.usecases.statistics import Asked as Question
from api.usecases.statistics import BadPeriod, NoDenominator, NotYourFigures, Span, span_of
from geodata.store import Maps
from routing.case import Action, Role
from routing.model import SquadCode
from tests.api.live import place, published
from tests.api.statistics_oracle import CLOSE_H, HANDLE_H, Oracle
from tests.api.test_demo_database import NOW, demo_in
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
    Action.ACCEPT, Action.REGISTER, Action.DISPATCH, Action.SIGN, Action.REPORT, Action.TAKE_TO_CHECK, Action.FAIL, Action.REPLY,
    Action.CLOSE, Action.REOPEN, Action.RESUME, Action.ACCEPT_RETURN, Action.REJECT_RETURN, Action.DESIGNATE, Action.FINISH_PART,
    Action.TAKE_OVER,
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
        (Span(today, today + timedelta(days=1)), SUPERVISOR), (Span(date(2026, 2, 26), date(2026, 3, 2)), SUPERVISOR),
        (whole(of), DISPATCHER),
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
        return sorted(tuple(map(str, row)) for row in session.execute(sa.text("SELECT * FROM day_fact WHERE cases <> 0")))


def test_figures_are_what_the_record_says(of: Office) -> None:
    lived(of, random.Random(5), 6, 22)
    compared = agree(of, whole(of))
    statistics.settle(of)
    assert agree(of, whole(of)) == compared > 40


@pytest.mark.full
def test_figures_of_two_hundred_random_histories(of: Office) -> None:
    compared = held_to_account(of, 11, 200, 22)
    print(f"200 histories, {compared} numbers that are not nothing were compared")
    assert compared > 500


# ---- periods, limits that have not passed, nothing to divide by ------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "since", "until"),
    [
        ("2026", "2026-01-01", "2027-01-01"), ("2026-H1", "2026-01-01", "2026-07-01"), ("2026-H2", "2026-07-01", "2027-01-01"),
        ("2026-Q1", "2026-01-01", "2026-04-01"), ("2026-Q4", "2026-10-01", "2027-01-01"), ("2026-02", "2026-02-01", "2026-03-01"),
        ("2026-12", "2026-12-01", "2027-01-01"), ("2028-02-29", "2028-02-29", "2028-03-01"),
    ],
)  # fmt: skip
def test_a_period_by_its_name(period: str, since: str, until: str) -> None:
    assert span_of(period, None, None, date(2026, 6, 15)) == Span(date.fromisoformat(since), date.fromisoformat(until))


def test_two_dates_or_this_month() -> None:
    today = date(2026, 6, 15)
    assert span_of(None, "2026-01-31", "2026-02-01", today) == Span(date(2026, 1, 31), date(2026, 2, 1))
    assert span_of(None, None, None, today) == Span(date(2026, 6, 1), date(2026, 6, 16))
    assert span_of(None, "2026-06-15", None, today) == Span(today, date(2026, 6, 16))


@pytest.mark.parametrize(
    ("period", "since", "until"),
    [
        ("2026-13", None, None), ("2026-Q5", None, None), ("2026-02-30", None, None), ("x", None, None), ("", None, None),
        ("0000", None, None),
        ("2026", "2026-01-01", None), (None, "2026-01-01", "2026-01-01"), (None, "2026-01-02", "2026-01-01"), (None, "x", None),
        (None, None, "9999"), ("9999", None, None),
    ],
)  # fmt: skip
def test_what_is_no_period_is_refused(period: str | None, since: str | None, until: str | None) -> None:
    with pytest.raises(BadPeriod):
        span_of(period, since, until, date(2026, 6, 15))


def test_nothing_is_no_figure_and_never_nought_or_all(of: Office) -> None:
    told = statistics.figures(of, SUPERVISOR, Question(Span(date(2026, 1, 1), date(2027, 1, 1)), "squad"))
    assert told.lines == ()
    for figure in FIGURES:
        worth = told.total.worth[figure.name]
        if figure.bottom:
            assert (worth.top, worth.bottom, worth.value) == (0, 0, None), figure.name
        else:
            assert (worth.top, worth.bottom, worth.value) == (0, None, 0), figure.name


def one_case(of: Office) -> str:
    """Received just before midnight, registered just after."""
    clock: Any = of.now
    what = Complaint("GB30428:0501", "占道", "phone", Where(**place(1_500, 500)), contact=Contact("王", "13812345678"))
    number = str(take_in(of, OPERATOR, what, ONCE, "en").body["number"])
    clock.now += timedelta(minutes=5)
    ordered(of, number, (OPERATOR, Action.ACCEPT), (DISPATCHER, Action.REGISTER), (DISPATCHER, Action.DISPATCH), (LEADERS[1], Action.SIGN))
    return number


def ordered(of: Office, number: str, *steps: tuple[Principal, Action], **more: Any) -> None:
    for who, action in steps:
        with of.db.reading() as session:
            seen = session.scalars(sa.select(CaseFile.version).where(CaseFile.number == number)).one()
        act(of, who, number, Wanted(action, seen, reason="x", evidence=("x",), **more), ONCE, "en")


def worth_of(of: Office, name: str, span: Span, **more: Any) -> tuple[float, float | None, float | None]:
    worth = statistics.figures(of, SUPERVISOR, Question(span, names=(name,), **more)).total.worth[name]
    return worth.top, worth.bottom, worth.value


def test_a_case_is_counted_by_the_day_of_the_bureau(of: Office) -> None:
    one_case(of)
    eve, day = (Span(date(2026, 2, d), date(2026, 2, d + 1)) for d in (25, 26))
    assert (worth_of(of, "load", eve), worth_of(of, "load", day)) == ((1, None, 1), (0, None, 0))
    assert (worth_of(of, "handled_share", eve), worth_of(of, "handled_share", day)) == ((0, 0, None), (0, 1, 0))


def test_a_limit_counts_from_the_moment_it_has_passed(of: Office) -> None:
    """Not before, not on the day before; and what is suspended has none that runs."""
    clock: Any = of.now
    number, due = one_case(of), BEGIN + timedelta(hours=HANDLE_H)
    year = Span(date(2026, 1, 1), date(2027, 1, 1))
    for settled in (False, True):
        for now, wanted in (
            (due - timedelta(hours=9), (0, 0, None)), (due - timedelta(seconds=1), (0, 0, None)), (due, (1, 1, 1)),
            (due + timedelta(days=40), (1, 1, 1)),
        ):  # fmt: skip
            clock.now = now
            assert worth_of(of, "overdue_open", year) == wanted
            page = statistics.cases_of(of, SUPERVISOR, "overdue_open", "denominator", Question(year), 9, None, "en")
            assert len(page["items"]) == wanted[1]
        assert statistics.settle(of) == 0 or not settled
    clock.now = due - timedelta(hours=5)
    review = {"review": due + timedelta(days=9)}
    ordered(of, number, (LEADERS[1], Action.REQUEST_SUSPENSION), (DISPATCHER, Action.SUSPEND), **review)
    clock.now = due + timedelta(days=1)
    assert worth_of(of, "on_time_handling", year) == (0, 0, None)
    assert worth_of(of, "handled_share", year) == (0, 1, 0)
    ordered(of, number, (DISPATCHER, Action.RESUME))
    assert worth_of(of, "on_time_handling", year) == (0, 1, 0)
    ordered(of, number, (LEADERS[1], Action.REPORT))
    assert (worth_of(of, "handling", year), worth_of(of, "on_time_handling", year)) == ((1, 1, 1), (0, 1, 0))
    # From the dispatch to the report, less what it was suspended.
    assert worth_of(of, "handling_hours", year)[0] == pytest.approx(HANDLE_H - 5 - 5 / 60, abs=1e-3)


def test_a_check_that_fails_and_a_reopening_take_back_what_was_counted(of: Office) -> None:
    clock: Any = of.now
    number, year = one_case(of), Span(date(2026, 1, 1), date(2027, 1, 1))
    clock.now = BEGIN + timedelta(hours=2)
    ordered(of, number, (LEADERS[1], Action.REPORT), (DISPATCHER, Action.TAKE_TO_CHECK))
    assert worth_of(of, "handled_share", year) == (1, 1, 1)
    ordered(of, number, (DISPATCHER, Action.FAIL))
    assert worth_of(of, "handled_share", year) == (0, 1, 0)
    ordered(of, number, (LEADERS[1], Action.REPORT), *((DISPATCHER, a) for a in (Action.TAKE_TO_CHECK, Action.REPLY, Action.CLOSE)))
    assert (worth_of(of, "closed_share", year), worth_of(of, "first_dispatch", year)) == ((1, 1, 1), (1, 1, 1))
    clock.now = BEGIN + timedelta(hours=CLOSE_H + 1)
    assert (worth_of(of, "on_time_closing", year), worth_of(of, "rework", year)) == ((1, 1, 1), (1, 1, 1))
    ordered(of, number, (OPERATOR, Action.REOPEN))
    assert (worth_of(of, "closed_share", year), worth_of(of, "first_dispatch", year)) == ((0, 1, 0), (0, 0, None))
    assert (worth_of(of, "on_time_closing", year), worth_of(of, "rework", year)) == ((0, 1, 0), (1, 1, 1))


def test_a_minute_without_a_holder_is_seen(of: Office) -> None:
    """Somebody with the keys of the house takes a holding away; the figure says for how long."""
    clock: Any = of.now
    number, year = one_case(of), Span(date(2026, 1, 1), date(2027, 1, 1))
    assert worth_of(of, "orphan_minutes", year) == (0, None, 0)
    with of.db.writing() as session:
        drop = "DROP TRIGGER holding_frozen_delete" + (" ON holding" if of.db.kind == "postgresql" else "")
        session.execute(sa.text(drop))
        session.execute(sa.text("DELETE FROM holding WHERE until IS NULL"))
    clock.now += timedelta(minutes=30)
    ordered(of, number, (SUPERVISOR, Action.NOTE))
    clock.now += timedelta(minutes=10)
    assert worth_of(of, "orphan_minutes", year)[0] == pytest.approx(40, abs=0.01)
    rows = statistics.cases_of(of, SUPERVISOR, "orphan_minutes", "numerator", Question(year), 9, None, "en")["items"]
    assert [row["amount"] for row in rows] == [pytest.approx(40, abs=0.01)]


# ---- who sees what ---------------------------------------------------------------------------------------------------


def test_a_leader_sees_his_squads_figures_and_nobody_one_about_himself(of: Office) -> None:
    year = Question(Span(date(2026, 1, 1), date(2027, 1, 1)), "squad", names=("load", "returns_per_case"))
    one_case(of)
    what = Complaint("JIEGUAN:conduct", "x", "phone", Where(**place(1_500, 500)), contact=Contact("王", "1381234567"), against="su01")
    take_in(of, OPERATOR, what, ONCE, "en")
    seen = {who: {line.key: line.worth["load"].value for line in statistics.figures(of, who, year).lines} for who in
            (SUPERVISOR, DISPATCHER, ADMINISTRATOR, *LEADERS)}  # fmt: skip
    assert seen == {
        SUPERVISOR: {"su00": 1, "su01": 1}, DISPATCHER: {"su01": 1}, ADMINISTRATOR: {"su01": 1}, LEADERS[0]: {}, LEADERS[1]: {"su01": 1},
        LEADERS[2]: {},
    }  # fmt: skip
    for ask in (
        lambda: statistics.figures(of, LEADERS[0], replace(year, squad="su01")),
        lambda: statistics.cases_of(of, LEADERS[0], "load", "numerator", replace(year, squad="su01"), 9, None, "en"),
    ):
        with pytest.raises(NotYourFigures):
            ask()
    for who, count in ((SUPERVISOR, 2), (DISPATCHER, 1), (LEADERS[1], 1)):
        assert len(statistics.cases_of(of, who, "load", "numerator", year, 9, None, "en")["items"]) == count


def test_what_is_no_mark_of_ours_and_what_has_no_denominator(of: Office) -> None:
    year = Question(Span(date(2026, 1, 1), date(2027, 1, 1)))
    for mark in ("x", "WzEsMl0", "WyIyMDI2LTAxLTAxIiwgLTFd", "bnVsbA"):
        with pytest.raises(BadCursor):
            statistics.cases_of(of, SUPERVISOR, "load", "numerator", year, 9, mark, "en")
    with pytest.raises(NoDenominator):
        statistics.cases_of(of, SUPERVISOR, "load", "denominator", year, 9, None, "en")


def test_every_figure_is_said_in_both_languages() -> None:
    for figure in FIGURES:
        zh, en = figure.told("zh-CN"), figure.told("en")
        assert all(zh[name] for name in ("name", "formula", "numerator", "cutoff", "counts", "zero", "source"))
        assert all(en[name] != zh[name] for name in zh if zh[name] and name not in ("figure", "unit", "squad"))
        assert (zh["denominator"] is None) == (not figure.bottom)


def test_facts_are_made_again_where_there_are_none_or_false_ones(of: Office) -> None:
    """A database of before there were facts; one in which somebody changed them."""
    lived(of, random.Random(3), 3, 15)
    statistics.settle(of)
    before = sums(of)
    with of.db.writing() as session:
        session.execute(sa.text("DELETE FROM case_fact WHERE case_id = 1"))
        session.execute(sa.text("UPDATE case_fact SET handled = 7, squad = 'x' WHERE case_id = 2"))
        session.execute(sa.text("DELETE FROM day_fact"))
    cases, changed = statistics.rebuild(of)
    assert (cases, changed) == (3, 2)
    assert sums(of) == before
    agree(of, whole(of))


# ---- a year of a bureau ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_figures_of_a_demo_year(new_url: NewUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was lived through the use cases, before its changes are added up and after."""
    monkeypatch.setattr(facts, "due_of", limits)
    made, year = demo_in(new_url(), tmp_path / "private", cases=90), Span(date(2025, 11, 1), date(2026, 12, 1))
    with working(made.serving) as has:
        of = Office(has.db, Maps(1), has.book, has.vault, lambda: NOW, CHINA)
        compared = agree(of, year)
        assert statistics.settle(of) > 0
        assert agree(of, year) == compared > 300
        told = statistics.figures(of, SUPERVISOR, Question(year)).total.worth
        assert told["load"].value == 90
        assert told["orphan_minutes"].value == 0
        assert all(told[name].value is not None for name in told if name != GAP)
        for quarter in ("2025-Q4", "2026-Q1", "2026-H1", "2026-06"):
            agree(of, span_of(quarter, None, None, NOW.date()))
