"""Intake: a complaint becomes a case, with a number, a squad, the reasons, and in doubt the question to ask.

One transaction: case, holding, reporter, first entry of the record, and the answer to be given again if the same request comes twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from api.access import Principal
from api.store import cases
from api.store.record import Entry, Page
from api.store.setup import vocabulary
from api.store.tables import CaseFile, Category, Reporter
from api.usecases.map_route import change_told, question_told
from api.usecases.office import Office, about_case, decision_of, seal
from api.usecases.placing import Found, Where, decided
from api.usecases.replays import Answer, Asked, before, once
from api.usecases.signs import question_words
from api.words_cases import CHANNELS, state_words
from geodata import categories
from routing.case import received
from routing.errors import JieguanError, Lang
from routing.model import SquadCode

FUTURE = timedelta(minutes=10)
"""Clocks differ; what happened later than this has not happened."""


class CategoryNotInUse(JieguanError):
    zh = "类别“{value}”在 {at} 不可用({why})。请改选现行类别(GET /api/v1/categories)。"
    en = "The category {value!r} is not in use at {at} ({why}). Choose one that is (GET /api/v1/categories)."


class UnknownChannel(JieguanError):
    zh = "没有来源渠道“{value}”。可用:{known}。"
    en = "There is no channel {value!r}. There are: {known}."


class NotYet(JieguanError):
    zh = "发生时间 {value} 在将来(现在是 {now}):还没有发生的事无从受理。请核对时间与时区。"
    en = "It is said to have happened at {value}, and it is {now}: nothing is taken in before it happens. Check the time and its zone."


class ContactMissing(JieguanError):
    zh = "没有举报人联系方式:须填姓名和电话之一以便回复,或写明匿名(anonymous)。"
    en = "There is no way to reach the complainant. Give a name or a phone to call back, or say that they stay anonymous (anonymous)."


class ContactOfNobody(JieguanError):
    zh = "已写明匿名,却又填了联系方式:无法确定是否应保存。请二选一。"
    en = "The complainant is anonymous and yet named, so nobody can tell whether to keep it. Choose one."


class UnknownSquad(JieguanError):
    zh = "“{field}”中的中队“{value}”不在现行地图中,或不能承办案件。请从现行中队中选择。"
    en = "The squad {value!r} in {field!r} is not on the map in force, or cannot hold a case. Choose one that can."


@dataclass(frozen=True, slots=True)
class Contact:
    """Who complained, and how to reach them."""

    name: str = ""
    phone: str = ""
    address: str = ""
    email: str = ""

    def given(self) -> dict[str, str]:
        """What was said of them."""
        said = {"name": self.name, "phone": self.phone, "address": self.address, "email": self.email}
        return {k: v.strip() for k, v in said.items() if v.strip()}


@dataclass(frozen=True, slots=True)
class Complaint:
    """What somebody complains of. `occurred_at` None: now. `found_by`: the squad that found it; `against`: the one complained of.

    `address_id`, `media_url`: what a program names beside it; kept sealed with the words, and never fetched.
    """

    category: str
    description: str
    channel: str
    where: Where
    address: str = ""
    occurred_at: datetime | None = None
    contact: Contact = field(default_factory=Contact)
    anonymous: bool = False
    confidential: bool = False
    found_by: str | None = None
    against: str | None = None
    address_id: str = ""
    media_url: str = ""


def take_in(of: Office, who: Principal, complaint: Complaint, asked: Asked, lang: Lang) -> Answer:
    """The case, as an answer that is the same however often the request comes. Raises what `prepared` raises, and KeyReused."""
    if (answer := before(of, who, asked)) is not None:
        return answer
    return once(of, who, asked, prepared(of, who, complaint, lang))


def prepared(of: Office, who: Principal, complaint: Complaint, lang: Lang, *, keep: bool = False) -> Callable[[Page], Answer]:
    """Everything that takes long or can be refused is done; what is left is to write it. `keep`: wherever the place is, as `decided`.

    Raises PlaceMissing, ContactMissing, ContactOfNobody, CategoryNotInUse, UnknownChannel, NotYet, UnknownSquad, what `decided` raises.
    """
    now = of.now()
    at = now if complaint.occurred_at is None else complaint.occurred_at
    _check(complaint, at, now)
    with of.db.reading() as session:  # what takes long is done before anybody waits
        category = category_at(session, complaint.category, at)
        found = decided(of, session, complaint.where, complaint.category, at, complaint.found_by, keep=keep)
        signs = of.signs.of(session, found.version)
        for name in ("found_by", "against"):
            squad = getattr(complaint, name)
            if squad is not None and SquadCode(squad) not in signs.squads:
                raise UnknownSquad(field=name, value=squad)
    key = of.vault.new_key()

    def write(page: Page) -> Answer:
        row = _filed(of, page.session, who, complaint, category, found, key, at, now)
        page.session.add(_reporter(of, row, complaint))
        page.enter(
            Entry(
                "received", who.account, who.role.value, who.squad, row.changed_at, case_id=row.id,
                body={
                    "number": row.number, "version": row.version, "state": row.state, "holder": row.holder, "category": row.category,
                    "channel": row.channel, "decision": decision_body(row), "confidential": row.confidential,
                    "anonymous": complaint.anonymous,
                },
            )
        )  # fmt: skip
        return Answer(201, {"ETag": f'"{row.version}"', "Location": f"/api/v1/cases/{row.number}"}, _told(row, found, signs, lang))

    return write


def category_at(session: Session, code: str, at: datetime) -> Category | None:
    """The category in use at an instant; None for one of a scheme that has no table. Raises CategoryNotInUse."""
    known = session.query(Category).filter(Category.code == code).order_by(Category.since).all()
    for row in known:
        if row.since <= at and (row.until is None or at < row.until):
            return row
    if known:
        last = known[-1]
        why = f"{last.since:%Y-%m-%d} – {last.until:%Y-%m-%d}" if last.until is not None else f"{last.since:%Y-%m-%d} –"
        raise CategoryNotInUse(value=code, at=at.isoformat(), why=why)
    scheme = code.partition(":")[0]
    tabled = session.query(Category).filter(Category.code.startswith(f"{scheme}:", autoescape=True)).first() is not None
    if categories.is_code(code) and (not tabled or scheme in categories.schemes()):
        return None  # a city's own class, or a scheme that has no table here
    raise CategoryNotInUse(value=code, at=at.isoformat(), why="?")


def in_use(session: Session, at: datetime, lang: Lang) -> list[dict[str, Any]]:
    """The categories in use, by code."""
    rows = sorted(vocabulary(session, at).values(), key=lambda row: row.code)
    return [
        {
            "code": r.code, "name": r.zh if lang == "zh-CN" else r.en, "hazard": r.hazard, "mobile": r.mobile,
            "to_supervision": r.to_supervision,
        }
        for r in rows
    ]  # fmt: skip


def decision_body(row: CaseFile) -> dict[str, Any]:
    """The decision, as the record keeps it."""
    return {
        "squad": row.lead, "assist": list(row.assist), "step": row.step, "doubtful": row.doubtful, "margin_m": row.margin_m,
        "runner_up": row.runner_up, "township": row.township, "reasons": list(row.reasons), "map_version": row.map_version,
        "rules_version": row.rules_version, "place": dict(row.place),
    }  # fmt: skip


def _check(complaint: Complaint, at: datetime, now: datetime) -> None:
    complaint.where.check(complaint.address)
    given = complaint.contact.given()
    if complaint.anonymous and given:
        raise ContactOfNobody
    if not complaint.anonymous and not (given.keys() & {"phone", "email", "name"}):
        raise ContactMissing
    if complaint.channel not in CHANNELS:
        raise UnknownChannel(value=complaint.channel, known=", ".join(CHANNELS))
    if at > now + FUTURE:
        raise NotYet(value=at.isoformat(), now=now.isoformat())


def _filed(
    of: Office, session: Session, who: Principal, complaint: Complaint, category: Category | None, found: Found, key: str, at: datetime,
    now: datetime,
) -> CaseFile:  # fmt: skip
    number = cases.next_number(session, now.astimezone(of.zone).date())
    words = {"description": complaint.description.strip(), "address": complaint.address.strip()}
    words |= {name: said for name in ("address_id", "media_url") if (said := getattr(complaint, name))}
    placed = found.columns()
    begun = received(SquadCode(placed["lead"]), SquadCode(placed["duty"]))
    row = CaseFile(
        **cases.columns_of(begun) | placed, number=number, received_at=now, changed_at=now, created_by=who.account,
        category=complaint.category, channel=complaint.channel, occurred_at=at, found_by=complaint.found_by,
        confidential=complaint.confidential, to_supervision=category is not None and category.to_supervision, against=complaint.against,
        hazard=category is not None and category.hazard, due_at=None, cluster_id=None, key=key,
        words=seal(of.vault, key, words, about_case(number)),
    )  # fmt: skip
    cases.add(session, row)
    return row


def _reporter(of: Office, row: CaseFile, complaint: Complaint) -> Reporter:
    given = complaint.contact.given()
    sealed = None if complaint.anonymous else seal(of.vault, row.key, given, about_reporter(row.number))
    return Reporter(case_id=row.id, key=row.key, anonymous=complaint.anonymous, sealed=sealed, keep_until=None, erased_at=None)


def about_reporter(number: str) -> str:
    """What the contact data of a case are sealed to."""
    return f"case {number} reporter"


def _told(row: CaseFile, found: Found, signs: Any, lang: Lang) -> Mapping[str, Any]:
    """The answer of an intake. Nothing of who complained: it is kept for requests that come twice."""
    why, place = found.why, found.placed.point
    question = None
    if why is not None and why.question is not None and place is not None:
        question = question_told(why.question) | {"text": question_words(why.question, place, signs, lang)}
    return {
        "number": row.number, "version": row.version, "state": row.state, "state_name": state_words(row.state, lang),
        "squad": row.lead, "squad_name": signs.squads.get(row.lead, row.lead), "assist": list(row.assist), "holder": row.holder,
        "doubtful": row.doubtful, "hazard": row.hazard, "to_supervision": row.to_supervision,
        "location_error": row.place.get("location_error"),
        "decision": decision_of(row, lang),
        "change": None if why is None or why.change is None else change_told(why.change, found.on),
        "question": question,
    }  # fmt: skip
