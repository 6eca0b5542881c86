"""SYNTHETIC cases: a year of them, taken in and moved by the use cases of the service, as of the days on which it happened.

Everything comes from the seed and the day on which the year ends, but for keys, hashes and the ids of accounts.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from itertools import count
from typing import Any

import numpy as np
import shapely
from sqlalchemy.orm import Session

from api.access import Principal
from api.demo.city import City, to_metres
from api.demo.complaints import CHANNELS, MIX, complaints
from api.demo.stories import DAY, ENDINGS, HOUR, MARK, STORIES, Life, Seen, Step, Steps, conduct, usual
from api.store.record import Book, Head, Page
from api.usecases.intake import Complaint, Contact, take_in
from api.usecases.lifecycle import Wanted, act
from api.usecases.office import Office
from api.usecases.placing import Where
from api.usecases.replays import Asked
from geodata.compile import Progress
from geodata.db.engine import Database
from routing.case import OPEN, Role, State

ONCE = Asked(None, b"")
TOGETHER = 200
"""Orders committed at once."""
FRESH, FRESH_SHARE, CLOSED_SHARE = 30 * DAY, 0.6, 0.1
"""Of the cases of the last month this share is still open; of those told to the end this share is closed and no more."""
SLOWEST = 2 * DAY
"""What is to be in a state by now began at least so long ago, and goes a tenth of its usual time."""
FLAT = timedelta(minutes=1)
WORK = (8, 20)
"""Hours in which squads work."""

People = Mapping[tuple[Role, str | None], Sequence[Principal]]


class Clock:
    """It stands where it is put."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


@dataclass(frozen=True, slots=True)
class Together(Book):
    """The record, for many use cases in one transaction: the entries of each are chained when it ends, all are committed at once."""

    session: Session
    told: list[Head]

    @contextmanager
    def writing(self) -> Iterator[Page]:
        page = Page(self.session)
        yield page
        self.session.flush()
        if (stretch := page.chain()) is not None:
            self.told.extend(stretch)
        self.session.expunge_all()


@contextmanager
def together(db: Database, book: Book) -> Iterator[Together]:
    """What is raised undoes all of it."""
    with db.writing() as session:
        many = Together(db, book.anchor, session, [])
        yield many
    if many.told:
        book.anchor.tell(many.told[0], many.told[-1])


@dataclass(frozen=True, slots=True)
class Coming:
    """A complaint that will come in, by whom it is brought, and what becomes of it."""

    at: datetime
    by: Principal
    complaint: Complaint
    life: Life


def begin_of_year(now: datetime, zone: tzinfo) -> datetime:
    """Midnight, a year before today."""
    return now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0) - 365 * DAY


def year(city: City, people: People, cases: int, seed: int, now: datetime, zone: tzinfo) -> list[Coming]:
    """What will come in, in the order of its times."""
    table, rng = complaints(city, cases, seed).to_pylist(), np.random.default_rng([seed, 3])
    begin = begin_of_year(now, zone)
    shift = begin - datetime.fromisoformat(table[0]["at"]).astimezone(zone).replace(month=1, day=1, hour=0, minute=0)
    times = [datetime.fromisoformat(row["at"]) + shift for row in table]
    lives = _lives(times, now, rng)
    coming: list[Coming] = []
    for number, (row, at, life) in enumerate(zip(table, times, lives, strict=True), 1):
        squad = _squad_at(city, row)
        channel, by = _brought(people, row["channel"], None if life.story is conduct else squad, rng)
        coming.append(Coming(at, by, _complaint(number, row, at, channel, squad, life, rng), life))
    return coming


def made_up(number: int) -> Contact:
    """Nobody: no number in the country begins with 000, and example.com is kept for examples (RFC 2606)."""
    phone = f"000-{number // 10_000:04d}-{number % 10_000:04d}"
    return Contact(f"演示市民{number:04d}", phone, f"演示路{number}号(合成)", f"demo{number:04d}@example.com")


@dataclass(slots=True, eq=False)
class Telling:
    """A story as far as it has been told. `step`: what comes next, after the complaint itself."""

    coming: Coming
    seen: Seen
    story: Steps
    step: Step | None = None

    def goes_on(self, of: Office, people: People) -> Step | None:
        """Do what comes next, and say what comes then."""
        if self.step is None:
            taken = take_in(of, self.coming.by, self.coming.complaint, ONCE, "zh-CN").body
            self.seen.case = {**taken, "category": self.coming.complaint.category, "replied": False, "joint": [], "parts": []}
        else:
            self.seen.case = _ordered(of, people, self.seen.case, self.step)
        self.step = None if self.seen.state is self.coming.life.until else next(self.story, None)
        return self.step


def lived(
    of: Office, clock: Clock, people: People, coming: Sequence[Coming], seed: int, now: datetime, squads: tuple[str, ...],
    progress: Progress,
) -> None:  # fmt: skip
    """Tell all stories at once, each thing at its time, until now; commits as it goes. `clock`: that of the office."""
    order, begun = count(), 0
    queue: list[tuple[datetime, int, Telling]] = []
    for number, one in enumerate(coming, 1):
        seen = Seen({}, np.random.default_rng([seed, 4, number]), squads, tuple(MIX))
        heapq.heappush(queue, (one.at, next(order), Telling(one, seen, one.life.story(seen))))
    while queue:
        with together(of.db, of.book) as many:
            office = replace(of, book=many)
            for _ in range(TOGETHER):
                if not queue:
                    break
                clock.at, _, telling = heapq.heappop(queue)
                begun += telling.step is None
                step = telling.goes_on(office, people)
                if step is None:
                    continue
                at = _in_hours(clock.at + step.after * telling.coming.life.pace, step, of.zone)
                if at < now:
                    heapq.heappush(queue, (at, next(order), telling))
        progress("cases", begun, len(coming))


def _ordered(of: Office, people: People, case: Mapping[str, Any], step: Step) -> Mapping[str, Any]:
    """The case after a step."""
    who, review = people[step.by][step.second], None if step.review_in is None else of.now() + step.review_in
    wanted = Wanted(
        step.action, case["version"], squad=step.squad, squads=step.squads, reason=step.reason, evidence=step.evidence,
        document=step.document, review=review, category=step.category, outcome=step.outcome,
    )  # fmt: skip
    after: Mapping[str, Any] = act(of, who, case["number"], wanted, ONCE, "zh-CN").body
    return after


def _in_hours(at: datetime, step: Step, zone: tzinfo) -> datetime:
    """Squads work by day; the office always."""
    there = at.astimezone(zone)
    if step.by[1] is None or WORK[0] <= there.hour < WORK[1]:
        return at
    return there.replace(hour=WORK[0]) + (DAY if there.hour >= WORK[1] else timedelta())


# ---- what comes in ---------------------------------------------------------------------------------------------------


def _lives(times: Sequence[datetime], now: datetime, rng: np.random.Generator) -> list[Life]:
    """One of each story first and one of each open state last; between them as often as they happen, and the last month half open."""
    weight = np.array(list(STORIES.values()), float)
    lives = [Life(list(STORIES)[k]) for k in rng.choice(len(STORIES), len(times), p=weight / weight.sum())]
    lives = [replace(one, until=State.CLOSED) if one.story is usual and rng.random() < CLOSED_SHARE else one for one in lives]
    open_lives = [replace(life, pace=0.1) for state, life in ENDINGS.items() if state in OPEN]
    late = [k for k, at in enumerate(times) if at < now - SLOWEST]
    for k in late:
        if times[k] >= now - FRESH and rng.random() < FRESH_SHARE:
            lives[k] = open_lives[int(rng.integers(len(open_lives)))]
    for k, life in zip(late[::-1], open_lives, strict=False):
        lives[k] = life
    first = [life for state, life in ENDINGS.items() if state not in OPEN] + [Life(story) for story in STORIES]
    lives[: len(first)] = first
    return lives


def _squad_at(city: City, row: Mapping[str, Any]) -> str | None:
    """On whose ground it is, for those who patrol."""
    if row["lon"] is None:
        return None
    place = to_metres(shapely.Point(row["lon"], row["lat"]))
    return next((squad for squad, ground in city.townships.items() if ground.covers(place)), None)


def _brought(people: People, channel: str, squad: str | None, rng: np.random.Generator) -> tuple[str, Principal]:
    """By which channel it comes, and who enters it. `squad`: whose patrol may have seen it; nobody patrols against himself."""
    operator, machine = people[Role.OPERATOR, None][0], people[Role.MACHINE, None][0]
    channels = [name for name, *_ in CHANNELS]
    if channel == channels[0] and squad is not None:
        return "patrol", people[Role.MEMBER, squad][0]
    if channel == channels[3]:
        return str(rng.choice(["letter", "visit"])), operator
    if channel == channels[2]:
        return ("12345", machine) if rng.random() < 0.5 else ("phone", operator)
    return str(rng.choice(["app", "wechat", "web"])), machine


def _complaint(
    number: int, row: Mapping[str, Any], at: datetime, channel: str, squad: str | None, life: Life, rng: np.random.Generator
) -> Complaint:
    words = str(row["description"]).removeprefix("(合成)")
    address = MARK + words.partition(":")[0]
    nowhere = row["lon"] is None
    where = Where(error_m=0.0, unlocated=True) if nowhere else Where(float(row["lon"]), float(row["lat"]), error_m=float(row["error_m"]))
    patrol, (chance, confidence, officers) = channel == "patrol", rng.random(3).tolist()
    anonymous, about_officers = patrol or chance < 0.15, life.story is conduct
    category, against = row["category"], None
    if about_officers:
        category, against = ("JIEGUAN:selective" if officers < 0.7 else "JIEGUAN:conduct"), squad
        words = f"{words.partition(':')[0]}:同样占道,只查一家"
    return Complaint(
        category, MARK + words, channel, where, address, at - (FLAT if patrol else HOUR * 3 * chance + FLAT),
        Contact() if anonymous else made_up(number), anonymous, confidence < 0.05 and not patrol, squad if patrol else None, against,
    )  # fmt: skip
