"""Clocks of cases over HTTP: set by every move, told in every answer, and the ladder of reminders when they run out; on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from api import words_limits
from api.settings import Serving
from api.store.clock_tables import ClockRow, Escalation, Job
from api.store.fact_tables import CaseFact
from api.store.opening import Working, working
from api.store.tables import CaseFile, Event, Part, Side
from api.usecases import office as use
from api.usecases import work
from api.usecases.work import Counts
from geodata.store import Maps
from tests.api.staff import Clock, Office, Staff

CHINA = ZoneInfo("Asia/Shanghai")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def on(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=CHINA).astimezone(UTC)


def running(told: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Light and end of what runs, by step."""
    return {
        " ".join(filter(None, (c["step"], c["squad"], c["milestone"]))): (c["light"], shown(c["due_at"]))
        for c in told["clocks"] if c["stopped_at"] is None
    }  # fmt: skip


def shown(at: str) -> str:
    return datetime.fromisoformat(at).astimezone(CHINA).strftime("%m-%d %H:%M")


@pytest.fixture
def has(url: str) -> Iterator[Working]:
    with working(Serving(url)) as found:
        yield found


@pytest.fixture
def worked(has: Working, clock: Clock) -> Callable[[], Counts]:
    """Everything done that is due, by the clock of the service."""
    of = use.Office(has.db, Maps(1), has.book, has.vault, clock, CHINA)
    return lambda: work.once(of, work.myself())


def test_each_move_sets_pauses_and_stops_its_clocks(service: Office, clock: Clock, has: Working) -> None:
    leader = service.leader("su00")
    taken = service.operator.take(500, 500, channel="12345")  # Friday, ten o'clock
    number = taken["number"]
    assert shown(taken["due_at"]) == "12-04 17:30"
    assert running(service.operator.case(number)) == {"whole": ("green", "12-04 17:30")}
    service.operator.act(number, "accept")
    clock.now = on("2026-11-20 10:30")
    assert running(service.operator.case(number))["dispatch"] == ("green", "11-21 10:00")
    service.dispatcher.act(number, "register")
    service.dispatcher.act(number, "dispatch")
    assert running(service.operator.case(number))["sign su00"] == ("green", "11-23 17:30")
    clock.now = on("2026-11-23 09:00")
    signed = leader.act(number, "sign")
    assert (signed["light"], shown(signed["due_at"])) == ("green", "11-30 17:30")
    clock.now = on("2026-11-24 12:30")
    leader.act(number, "request_suspension", reason="等待鉴定", review="2026-12-15T09:00:00+08:00")
    service.dispatcher.act(number, "suspend", review="2026-12-15T09:00:00+08:00")
    clock.now = on("2026-11-30 12:30")
    told = leader.case(number)
    assert running(told) == {"whole": ("green", "12-04 17:30"), "handle su00": ("green", "11-30 17:30"), "review": ("green", "12-15 09:00")}
    assert shown(told["due_at"]) == "12-15 09:00"
    service.dispatcher.act(number, "resume")
    told = leader.case(number)  # four days of work stood still
    assert running(told) == {"whole": ("green", "12-10 17:30"), "handle su00": ("green", "12-04 17:30")}
    clock.now = on("2026-12-04 12:00")
    (line,) = leader.get("/api/v1/squads/su00/queue")["items"]
    assert (line["light"], line["light_name"], line["red"]) == ("yellow", "黄灯", False)
    leader.act(number, "request_extension", reason="案情复杂")
    service.dispatcher.act(number, "grant_extension", reason="同意")
    assert running(leader.case(number))["handle su00"] == ("green", "12-18 17:30")
    leader.act(number, "report", reason="已整改", evidence=["照片"])
    told = leader.case(number)
    assert running(told).keys() == {"whole"}  # the check has no limit until the bureau sets one
    ended = {c["step"]: (c["outcome"], c["light"]) for c in told["clocks"] if c["stopped_at"]}
    told_last = {c["step"]: c["due_at"] for c in told["clocks"]}
    assert ended["handle"] == ("report", "green")
    assert ended["review"] == ("resume", "green")
    service.operator.act(number, "reply", reason="已答复")
    service.dispatcher.act(number, "take_to_check")
    closed = service.checker.act(number, "close")
    assert (closed["due_at"], closed["light"]) == (None, None)
    with has.db.reading() as session:
        (fact,) = session.scalars(sa.select(CaseFact))
    assert fact.handle_due is not None
    assert fact.close_due is not None
    assert (shown(fact.handle_due.isoformat()), fact.handled_in_time) == ("12-18 17:30", 1)
    assert (shown(fact.close_due.isoformat()), fact.closed_in_time) == (shown(told_last["whole"]), 1)


def test_a_handover_gives_the_receiver_a_limit_and_keeps_the_first(service: Office, clock: Clock, has: Working) -> None:
    number = service.dispatched()
    service.leader("su00").act(number, "sign")
    clock.now = on("2026-11-25 09:00")
    service.dispatcher.act(number, "transfer", squad="su01", reason="属对方辖区")
    other = service.leader("su01")
    other.act(number, "sign")
    told = other.case(number)
    assert running(told) == {"handle su00": ("green", "11-27 17:30"), "handle su01": ("green", "12-02 17:30")}
    assert {c["squad"]: c["first"] for c in told["clocks"] if c["step"] == "handle"} == {"su00": True, "su01": False}
    assert shown(told["due_at"]) == "11-27 17:30"
    other.act(number, "report", reason="已整改", evidence=["照片"])
    with has.db.reading() as session:
        (fact,) = session.scalars(sa.select(CaseFact))
    assert fact.handle_due is not None
    assert (fact.squad, shown(fact.handle_due.isoformat()), fact.handled_in_time) == ("su01", "12-02 17:30", 1)  # held to his own


def test_a_limit_in_stages_is_reached_stage_by_stage(service: Office) -> None:
    number = service.dispatched(category="GB30428:0101")
    leader = service.leader("su00")
    signed = leader.act(number, "sign")
    assert "reach" in signed["allowed"]
    assert running(leader.case(number)).keys() == {"handle su00 stop", "handle su00 penalise", "handle su00 demolish"}
    leader.refused(number, "reach", "no_milestone", evidence=["照片"])
    refused = leader.act(number, "reach", milestone="paint", evidence=["照片"], status=422)
    assert refused["type"].endswith("NoSuchMilestone")
    assert "demolish, penalise, stop" in refused["detail"]
    leader.act(number, "reach", milestone="stop", evidence=["照片"])
    told = leader.case(number)
    assert running(told).keys() == {"handle su00 penalise", "handle su00 demolish"}
    assert [c["outcome"] for c in told["clocks"] if c["milestone"] == "stop"] == ["reach"]


def test_another_category_has_another_limit_from_the_same_beginning(service: Office, clock: Clock) -> None:
    number = service.dispatched()
    clock.now = on("2026-11-23 09:00")
    service.leader("su00").act(number, "sign")
    clock.now += HOUR
    service.dispatcher.act(number, "reroute", category="GB30428:0104", reason="类别有误")
    told = service.dispatcher.case(number)
    assert running(told) == {"handle su00": ("green", "11-23 11:00")}
    assert [c["outcome"] for c in told["clocks"] if c["step"] == "handle"] == ["reroute", None]


def test_a_year_not_announced_is_said_in_every_answer(service: Office, clock: Clock) -> None:
    clock.now = on("2028-12-29 16:00")
    taken = service.operator.take(500, 500, channel="12345")
    assert "2028 年的节假日安排尚未公布" in taken["due_warning"]
    number = taken["number"]
    english = Staff(service.base, "接线员", "operator", lang="en").case(number)
    assert english["due_warning"].startswith("The holidays of 2028 have not been announced")
    assert english["clocks"][0]["assumed_year"] == 2028
    clock.now = on("2026-11-25 09:00")
    assert service.operator.take(1_500, 500, channel="12345")["due_warning"] is None


# ---- who is told -----------------------------------------------------------------------------------------------------


def effects(service: Office, number: str) -> list[tuple[str, str]]:
    told = service.supervisor.get(f"/api/v1/cases/{number}/events")["events"]
    assert all(e["actor"] == "clock" and e["action_name"] for e in told if e["kind"] == "clock")
    return [(e["facts"]["effect"], e["facts"]["step"]) for e in told if e["kind"] == "clock"]


def test_the_ladder_is_climbed_rung_by_rung_each_once(service: Office, clock: Clock, has: Working, worked: Callable[[], Counts]) -> None:
    number = service.dispatched()
    leader = service.leader("su00")
    leader.act(number, "sign")  # Friday: five working days, to 27 November
    assert worked() == Counts()
    clock.now = on("2026-11-26 17:00")
    assert worked() == Counts(done=1)
    assert worked() == Counts()
    assert effects(service, number) == [("remind", "handle")]
    before = leader.case(number)
    assert (before["light"], before["red"]) == ("yellow", False)
    clock.now = on("2026-11-27 17:31")
    assert worked() == Counts(done=1)
    told = leader.case(number)
    assert (told["light"], told["red"], told["version"]) == ("red", True, before["version"] + 1)
    assert effects(service, number)[1:] == [("urge", "handle")]
    with has.db.reading() as session:
        assert set(session.scalars(sa.select(CaseFile.rank))) == set(session.scalars(sa.select(Part.rank))) == {0}
    clock.now = on("2026-11-28 12:00")
    assert worked() == Counts(), "Saturday"
    clock.now = on("2026-11-30 08:31")
    worked()
    clock.now = on("2026-12-04 08:31")
    worked()
    assert effects(service, number) == [(effect, "handle") for effect in ("remind", "urge", "notice", "supervise")]
    told = service.supervisor.case(number)
    assert told["supervisions"] == 1
    assert [s["kind"] for s in told["sides"]] == ["urge", "notice", "supervision"]
    clock.now += 400 * DAY
    assert worked() == Counts()
    leader.act(number, "answer_supervision", reason="已安排")
    assert leader.case(number)["supervisions"] == 0


def test_what_was_missed_is_told_once_when_somebody_works_again(service: Office, clock: Clock, worked: Callable[[], Counts]) -> None:
    number = service.dispatched()
    service.leader("su00").act(number, "sign")
    clock.now += 60 * DAY
    assert worked() == Counts(done=1)
    assert effects(service, number) == [(effect, "handle") for effect in ("remind", "urge", "notice", "supervise")]
    assert worked() == Counts()


def test_nobody_is_told_of_what_stopped_or_stands_still(
    service: Office, clock: Clock, has: Working, worked: Callable[[], Counts]
) -> None:
    done, still = service.dispatched(), service.dispatched(1_500, 500)
    for number, squad in ((done, "su00"), (still, "su01")):
        leader = service.leader(squad)
        leader.act(number, "sign")
        leader.act(number, "request_suspension", reason="等待", review="2027-03-01T09:00:00+08:00")
    service.leader("su00").act(done, "report", reason="已整改", evidence=["照片"])
    service.dispatcher.act(still, "suspend", review="2027-03-01T09:00:00+08:00")
    clock.now += 60 * DAY
    assert worked() == Counts()
    clock.now = on("2027-03-01 09:01")
    assert worked() == Counts(done=1)
    assert effects(service, done) == []
    assert effects(service, still) == [("remind", "review")]
    with has.db.reading() as session:
        assert session.scalars(sa.select(Job.key).where(Job.done_at.is_(None))).all() == []


def test_rows_and_not_the_program_say_who_is_told(service: Office, clock: Clock, has: Working, worked: Callable[[], Counts]) -> None:
    administrator = Staff(service.base, "管理员", "administrator")
    for rung in administrator.get("/api/v1/limits")["escalations"]:
        if rung["step"] is None:
            administrator.post(f"/api/v1/escalations/{rung['id']}/end", {"document": "1号文"})
    administrator.post("/api/v1/escalations", {"effect": "notice", "percent": 50, "document": "1号文"}, 201)
    number = service.dispatched()
    clock.now += 60 * DAY
    worked()
    assert effects(service, number) == [("notice", "sign")]
    with has.db.reading() as session:
        assert [s.kind for s in session.scalars(sa.select(Side))] == ["notice"]


def test_a_clock_follows_the_ladder_it_began_with(service: Office, clock: Clock, worked: Callable[[], Counts]) -> None:
    number = service.dispatched()
    administrator = Staff(service.base, "管理员", "administrator")
    for rung in administrator.get("/api/v1/limits")["escalations"]:
        administrator.post(f"/api/v1/escalations/{rung['id']}/end", {"document": "1号文"})
    clock.now += 60 * DAY
    worked()
    assert [effect for effect, _ in effects(service, number)] == ["remind", "urge", "notice", "supervise"]


# ---- limits ----------------------------------------------------------------------------------------------------------

MINE = {"step": "handle", "amount": 2, "unit": "work_hours", "category": "GB30428:0504", "document": "2号文"}


def test_a_limit_is_added_and_ended_and_clocks_that_run_stay(service: Office, clock: Clock) -> None:
    planner = Staff(service.base, "规划员", "planner")
    before, after = service.dispatched(), service.dispatched(1_500, 500)
    service.leader("su00").act(before, "sign")
    made = planner.post("/api/v1/limits", MINE, 201)
    assert (made["step_name"], made["unit_name"], made["default"]) == ("办理", "工作时", False)
    clock.now = on("2026-11-20 15:00")
    service.leader("su01").act(after, "sign")
    assert running(service.dispatcher.case(before))["handle su00"][1] == "11-27 17:30"
    assert running(service.dispatcher.case(after))["handle su01"] == ("green", "11-20 17:00")
    taken = planner.post("/api/v1/limits", MINE, 422)
    assert taken["type"].endswith("LimitInUse")
    planner.post(f"/api/v1/limits/{made['id']}/end", {"document": "3号文"})
    assert planner.post(f"/api/v1/limits/{made['id']}/end", {"document": "3号文"}, 404)["type"].endswith("NoSuchLimit")
    planner.post("/api/v1/limits", MINE, 201)
    listed = planner.get("/api/v1/limits")
    assert listed["limits"][0]["step"] == "accept"
    assert {row["document"] for row in listed["limits"] if row["default"]} != set()
    assert all(row["document"].startswith("默认 default") for row in listed["limits"] if row["default"])
    assert listed["calendar"]["week"]["mon"] == "08:30-12:00, 14:00-17:30"
    assert 2026 in listed["calendar"]["announced"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"step": "review"}, 422), ({"step": "x"}, 422), ({"unit": "days"}, 422), ({"amount": 0}, 422), ({"amount": 5_000}, 422),
        ({"scheme": "GB30428"}, 422), ({"category": "GB30428:9"}, 422), ({"channel": "pigeon"}, 422), ({"document": ""}, 422),
        ({"step": "sign", "milestone": "stop"}, 422), ({"since": "2020-01-01T00:00:00Z"}, 422), ({"until": "2020-01-01T00:00:00Z"}, 422),
        ({"more": 1}, 422),
    ],
)  # fmt: skip
def test_a_limit_that_is_none_is_refused(reading: str, change: dict[str, Any], status: int) -> None:
    Staff(reading, "规划员", "planner").post("/api/v1/limits", MINE | change, status)


NO_RUNGS: tuple[dict[str, Any], ...] = (
    {}, {"percent": 80, "late_days": 1}, {"percent": 0}, {"late_days": 0}, {"step": "extension", "percent": 1},
)  # fmt: skip


@pytest.mark.parametrize("body", NO_RUNGS)
def test_a_rung_that_is_none_is_refused(reading: str, body: dict[str, Any]) -> None:
    Staff(reading, "规划员", "planner").post("/api/v1/escalations", {"effect": "remind", "document": "1号文", **body}, 422)


def test_a_move_that_is_refused_leaves_the_clocks_alone(service: Office, has: Working) -> None:
    number = service.dispatched()

    def state() -> tuple[Any, ...]:
        with has.db.reading() as session:
            return tuple(
                tuple(map(tuple, session.execute(sa.select(model.__table__).order_by(model.__table__.c.id)))) for model in (ClockRow, Job)
            )

    before = state()
    service.leader("su00").act(number, "report", status=409, reason="x", evidence=["y"])
    assert state() == before


def test_every_rung_and_limit_that_ships_can_be_told(has: Working) -> None:
    with has.db.reading() as session:
        rungs = session.scalars(sa.select(Escalation)).all()
    assert {r.effect for r in rungs} == {e.value for e in words_limits.EFFECTS}
    assert all(r.document.startswith("默认 default") for r in rungs)


def test_events_of_clocks_are_part_of_the_chain(service: Office, clock: Clock, has: Working, worked: Callable[[], Counts]) -> None:
    from api.store.record import verify

    service.dispatched()
    clock.now += 60 * DAY
    worked()
    with has.db.reading() as session:
        assert list(verify(session, has.book.anchor)) == []
        assert session.scalar(sa.select(sa.func.count()).select_from(Event).where(Event.kind == "clock")) == 4
