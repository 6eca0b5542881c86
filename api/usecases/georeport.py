"""Open311 GeoReport v2: services, requests in and out, as plain values. What is shown of a case is decided in `publishing`.

A request comes in by the same use case as every complaint, so it has its squad at once: every service is `realtime`, and none gives
tokens of its own. What the specification calls a token is here the Idempotency-Key a client chose: it finds out what became of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api import words_open311 as words
from api.access import Principal
from api.settings import GeoReport
from api.store.cases import UnknownCase
from api.store.setup import ALWAYS, vocabulary
from api.store.tables import CaseFile, Category, Holding, Replay
from api.usecases import publishing
from api.usecases.intake import Complaint, take_in
from api.usecases.map_route import reasons_told
from api.usecases.office import Office, about_case, unseal
from api.usecases.placing import PlaceMissing, Where
from api.usecases.publishing import Shown, shown_at
from api.usecases.replays import Answer, Asked
from api.words import step_words
from api.words_cases import Channel, Said, state_words
from geodata import store
from geodata.db.tables import Installation
from geodata.store import NothingInForce
from routing.case import State
from routing.errors import JieguanError, Lang
from routing.model import SquadCode, Step

SPECIFICATION = "http://wiki.open311.org/GeoReport_v2"
SPAN = timedelta(days=90)
MOST = 1_000
DEEPEST = 10_000
"""Pages."""
OPEN, CLOSED = STATUSES = "open", "closed"
AT_DESK = frozenset(state.value for state in (State.RECEIVED, State.VERIFYING, State.ACCEPTED, State.REGISTERED))
"""Not dispatched yet: responsible is whom the map names."""
DECIMAL = re.compile(r"[+-]?[0-9]{1,6}(?:\.[0-9]{0,20})?")
LINK = re.compile(r"https?://[^\s<>\"'\\^`{|}]{1,2000}", re.IGNORECASE)
FIELDS = (
    "api_key", "jurisdiction_id", "service_code", "lat", "long", "address_string", "address_id", "email", "device_id", "account_id",
    "first_name", "last_name", "phone", "description", "media_url",
)  # fmt: skip
"""Of a request that comes in, beside `attribute[...]`. `device_id` and `account_id` may be sent, and are not kept."""


class Several(JieguanError):
    """Everything that is wrong with a request, each in its own sentence."""

    zh = "请求有误:{errors}"
    en = "The request is wrong: {errors}"

    @property
    def errors(self) -> tuple[JieguanError, ...]:
        """One by one."""
        found: tuple[JieguanError, ...] = self.facts["errors"]  # type: ignore[assignment]
        return found


class UnknownJurisdiction(JieguanError):
    zh = "没有 jurisdiction_id“{value}”:本服务只服务于“{ours}”。请改为它,或不填。"
    en = "There is no jurisdiction_id {value!r}: this endpoint serves {ours!r} alone. Name that one, or none."


class ServiceMissing(JieguanError):
    zh = "没有 service_code:不知道报的是什么。请从 services 中选一个。"
    en = "There is no service_code, so nobody knows what is reported. Choose one of services."


class UnknownService(JieguanError):
    zh = "没有 service_code“{value}”,或已停用。请从 services 中选一个。"
    en = "There is no service_code {value!r}, or it is not in use any more. Choose one of services."


class HalfAPlace(JieguanError):
    zh = "lat 与 long 只给了一个:一个数不成地点。请两个都给,或都不给而写 address_string。"
    en = "Only one of lat and long is given, and one number is no place. Give both, or neither and an address_string."


class NotDecimal(JieguanError):
    zh = "“{field}”不是十进制数。请写成 34.868456 的形式。"
    en = "{field!r} is no decimal number. Write it like 34.868456."


class UnknownAttribute(JieguanError):
    zh = "此服务没有 attribute[{value}]:忽略它会办成另一件事。可用:{known}。"
    en = "This service has no attribute[{value}], and without it this would be another request. There are: {known}."


class BadAttribute(JieguanError):
    zh = "attribute[{field}] 的内容不符合要求({wanted}),或给了多个。请更正。"
    en = "attribute[{field}] is not what it takes ({wanted}), or is given more than once. Correct it."


class BadLink(JieguanError):
    zh = "media_url 不是 http 或 https 链接。请给出可打开的链接,或不填。"
    en = "media_url is no http or https link. Give one that opens, or none."


class BadDate(JieguanError):
    zh = "“{field}”不是带时区的时间。请写成 2026-01-01T00:00:00Z。"
    en = "{field!r} is no time with a zone. Write it like 2026-01-01T00:00:00Z."


class BadSpan(JieguanError):
    zh = "start_date 与 end_date 之间须为 0 至 90 天。请缩短,或分几次查询。"
    en = "From start_date to end_date it must be 0 to 90 days. Shorten it, or ask in parts."


class UnknownStatus(JieguanError):
    zh = "没有 status“{value}”。可用:open、closed,多个以逗号分隔。"
    en = "There is no status {value!r}. There are open and closed; separate several with commas."


class TooManyIds(JieguanError):
    zh = "一次最多查询 {most} 个 service_request_id。请分几次查询。"
    en = "Up to {most} service_request_ids can be asked for at once. Ask in parts."


class BadPage(JieguanError):
    zh = "“{field}”须为 1 至 {most} 的整数。请更正。"
    en = "{field!r} is a whole number from 1 to {most}. Correct it."


class UnknownToken(JieguanError):
    zh = "没有令牌“{value}”:本服务当即给出编号,不另发令牌;自己的 Idempotency-Key 须连同 api_key 查询。"
    en = (
        "There is no token {value!r}: service_request_ids are given at once here, without tokens. What became of an Idempotency-Key of "
        "your own is told to your api_key."
    )


# ---- what can be reported --------------------------------------------------------------------------------------------


def discovery(of: Office, ours: GeoReport, url: str) -> dict[str, Any]:
    """Where and how. `url`: of the endpoint. The changeset is when services, or the map in force, last changed."""
    changed = _changed(of)
    endpoint = {
        "specification": SPECIFICATION, "url": url, "changeset": changed, "type": "test" if ours.test else "production",
        "formats": ["text/xml", "application/json"],
    }  # fmt: skip
    return {"changeset": changed, "contact": ours.contact, "key_service": ours.keys, "endpoints": [endpoint]}


def _changed(of: Office) -> str:
    now = of.now()
    with of.db.reading() as session:
        ends = [at for row in session.scalars(sa.select(Category)) for at in (row.since, row.until)]
        found = [at for at in ends if at is not None and ALWAYS < at <= now]
        with suppress(NothingInForce):
            found.append(store.in_force(session, now).valid_from)
        made = session.get_one(Installation, 1).created_at
    return _text(of, max(found, default=made))


def check_jurisdiction(ours: GeoReport, stated: str) -> None:
    """Raises UnknownJurisdiction."""
    if stated and ours.jurisdiction is not None and stated != ours.jurisdiction:
        raise UnknownJurisdiction(value=stated[:80], ours=ours.jurisdiction)


def services(of: Office, lang: Lang) -> list[dict[str, Any]]:
    """The categories in use, as services."""
    with of.db.reading() as session:
        rows = sorted(vocabulary(session, of.now()).values(), key=lambda row: row.code)
    return [_service(row, lang) for row in rows]


def _service(row: Category, lang: Lang) -> dict[str, Any]:
    name = _name(row, lang)
    return {
        "service_code": row.code, "service_name": name,
        "description": words.of(words.DESCRIBED, lang, name=name) if row.hazard else name,
        "metadata": True, "type": "realtime", "keywords": f"{row.zh}, {row.en}", "group": words.group_of(row.code, lang),
    }  # fmt: skip


def definition(of: Office, code: str, lang: Lang) -> dict[str, Any]:
    """A service with its attributes. Raises UnknownService."""
    row = _in_use(of, code)
    return {"service_code": row.code, "attributes": attributes(row, lang)}


def attributes(row: Category, lang: Lang) -> list[dict[str, Any]]:
    """What can be stated beside the fields every request has; and, where there is cause, what should be known before."""
    told = []
    for shown, code, text in ((row.hazard, "hazard", words.HAZARD), (row.to_supervision, "supervision", words.SUPERVISION)):
        if shown:
            told.append({"variable": False, "code": code, "datatype": "string", "description": words.of(text, lang)})
    lists = {"datum": words.DATUMS, "confidential": words.YES_NO}
    kinds = {"error_m": "number", "occurred_at": "datetime"}
    for code, (asked, form) in words.ATTRIBUTES.items():
        one = {
            "variable": True, "code": code, "datatype": kinds.get(code, "singlevaluelist"),
            "datatype_description": words.of(form, lang), "description": words.of(asked, lang),
        }  # fmt: skip
        if code in lists:
            one["values"] = [{"key": key, "name": words.of(name, lang)} for key, name in lists[code].items()]
        told.append(one)
    order = ("variable", "code", "datatype", "required", "datatype_description", "order", "description", "values")
    plain = {"datatype_description": "", "required": False}
    return [
        {name: whole[name] for name in order if name in whole}
        for number, one in enumerate(told, 1)
        for whole in [plain | one | {"order": number}]
    ]


def _in_use(of: Office, code: str) -> Category:
    with of.db.reading() as session:
        row = vocabulary(session, of.now()).get(code)
    if row is None:
        raise UnknownService(value=code[:100])
    return row


def _name(row: Category, lang: Lang) -> str:
    return row.zh if lang == "zh-CN" else row.en


# ---- a request comes in ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Form:
    """What was sent, without what was sent empty: that is the same as not sent. `attributes`: code -> values."""

    fields: Mapping[str, str]
    attributes: Mapping[str, tuple[str, ...]]

    def get(self, name: str) -> str:
        """A field, or nothing."""
        return self.fields.get(name, "")


Checked = Callable[[Mapping[str, Any]], Complaint]
"""All of a complaint but its place, by the rules every complaint is held to; raises JieguanError."""
ReadInstant = Callable[[str], datetime]
"""Raises JieguanError."""


def submit(
    of: Office, who: Principal, form: Form, asked: Asked, checked: Checked, read: ReadInstant, lang: Lang
) -> tuple[Answer, list[dict[str, Any]]]:
    """The answer of intake, and what is told of it. Raises Several, and what `take_in` raises."""
    answer = take_in(of, who, complaint_of(of, form, checked, read), asked, lang)
    told, hidden = answer.body, answer.body["to_supervision"] or form.attributes.get("confidential") == ("true",)
    notice = words.of(words.NOTICE_HIDDEN, lang) if hidden else words.of(words.NOTICE, lang, squad=told["squad_name"])
    if told["question"] is not None:
        notice += ("" if lang == "zh-CN" else " ") + words.of(words.NOTICE_DOUBT, lang, question=told["question"]["text"])
    return answer, [{"service_request_id": told["number"], "service_notice": notice, "account_id": None}]


def complaint_of(of: Office, form: Form, checked: Checked, read: ReadInstant) -> Complaint:
    """What was sent, as a complaint. Raises Several."""
    errors: list[JieguanError] = []
    category = _category(of, form.get("service_code"), errors)
    stated = _attributes(form, read, errors)
    where = _where(form, stated, errors)
    link = form.get("media_url")
    if link and not LINK.fullmatch(link):
        errors.append(BadLink())
    name = _person(form.get("last_name"), form.get("first_name"))
    contact = {key: said for key, said in (("name", name), ("phone", form.get("phone")), ("email", form.get("email"))) if said}
    record = {
        "category": "GB30428:0101" if category is None else category.code, "channel": Channel.OPEN311.value, "contact": contact,
        "description": form.get("description") or ("-" if category is None else category.zh),
        "address": form.get("address_string") or form.get("address_id"), "anonymous": not contact,
        "confidential": stated.get("confidential", False),
    }  # fmt: skip
    try:
        complaint = checked(record)
    except JieguanError as error:
        errors.append(error)
    if errors:
        raise Several(errors=tuple(errors))
    assert where is not None
    return replace(
        complaint, where=where, occurred_at=stated.get("occurred_at"), address_id=form.get("address_id"), media_url=link
    )


def _category(of: Office, code: str, errors: list[JieguanError]) -> Category | None:
    if not code:
        errors.append(ServiceMissing())
        return None
    try:
        return _in_use(of, code)
    except UnknownService as error:
        errors.append(error)
        return None


def _person(last: str, first: str) -> str:
    """王 and 芳 are 王芳, Smith and John are John Smith."""
    if last and first and not (last + first).isascii():
        return f"{last}{first}"
    return " ".join(part for part in (first, last) if part)


def _where(form: Form, stated: Mapping[str, Any], errors: list[JieguanError]) -> Where | None:
    """Coordinates, if they are given; an address beside them is kept as words, and without them is all there is."""
    given = [name for name in ("lat", "long") if form.get(name)]
    if len(given) == 1:
        errors.append(HalfAPlace())
        return None
    if not given:
        if not (form.get("address_string") or form.get("address_id")):
            errors.append(PlaceMissing())
        return Where(unlocated=True)
    read = [_decimal(name, form.get(name), errors) for name in given]
    if None in read:
        return None
    lat, lon = read
    return Where(lon=lon, lat=lat, datum=stated.get("datum", "wgs84"), error_m=stated.get("error_m", 0.0))


def _decimal(field: str, text: str, errors: list[JieguanError]) -> float | None:
    if DECIMAL.fullmatch(text) is None:
        errors.append(NotDecimal(field=field))
        return None
    return float(text)


def _attributes(form: Form, read: ReadInstant, errors: list[JieguanError]) -> dict[str, Any]:
    """What the attributes say. Raises nothing: what is wrong is added."""
    said: dict[str, Any] = {}
    for code, values in form.attributes.items():
        if code not in words.ATTRIBUTES:
            errors.append(UnknownAttribute(value=code[:60], known=", ".join(words.ATTRIBUTES)))
            continue
        try:
            (value,) = values
            said[code] = _ATTRIBUTE[code](value, read)
        except (JieguanError, ValueError, KeyError):
            errors.append(BadAttribute(field=code, wanted=Said(*words.ATTRIBUTES[code][1])))
    return said


def _datum(value: str, _: ReadInstant) -> str:
    if value not in words.DATUMS:
        raise KeyError(value)
    return value


def _metres(value: str, _: ReadInstant) -> float:
    if DECIMAL.fullmatch(value) is None or not 0 <= float(value) <= 100_000:
        raise ValueError(value)
    return float(value)


_ATTRIBUTE: Mapping[str, Callable[[str, ReadInstant], Any]] = {
    "datum": _datum, "error_m": _metres, "occurred_at": lambda value, read: read(value),
    "confidential": lambda value, _: {"true": True, "false": False}[value],
}  # fmt: skip


def token(of: Office, who: Principal, value: str) -> list[dict[str, Any]]:
    """What became of a request under an Idempotency-Key of the asker's own. Raises UnknownToken."""
    with of.db.reading() as session:
        found = session.get(Replay, (who.account, value))
        number = None if found is None or not isinstance(found.body, dict) else found.body.get("number")
        here = number is not None and session.scalar(
            sa.select(CaseFile.id).where(CaseFile.number == number, CaseFile.created_by == who.account)
        )
    if not here:
        raise UnknownToken(value=value[:80])
    return [{"service_request_id": number, "token": value}]


# ---- requests go out -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which requests. `ids` override all else. `since` and `until`: of receipt, both included."""

    ids: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    statuses: tuple[str, ...] = ()
    page: int = 1
    size: int = MOST
    extensions: bool = False


def wanted(said: Mapping[str, str], read: ReadInstant) -> Wanted:
    """The parameters of an address, those left empty left out. Raises Several."""
    errors: list[JieguanError] = []
    ids = _listed(said.get("service_request_id", ""))
    if len(ids) > MOST:
        errors.append(TooManyIds(most=MOST))
    statuses = _listed(said.get("status", ""))
    errors += [UnknownStatus(value=one[:40]) for one in statuses if one not in STATUSES]
    dates: dict[str, datetime | None] = {"start_date": None, "end_date": None}
    for field in dates:
        if said.get(field):
            try:
                dates[field] = read(said[field])
            except JieguanError:
                errors.append(BadDate(field=field))
    since, until = dates["start_date"], dates["end_date"]
    if since is not None and until is not None and not timedelta() <= until - since <= SPAN:
        errors.append(BadSpan())
    pages = {"page": (1, DEEPEST), "page_size": (MOST, MOST)}
    numbers = {field: _number(field, said.get(field, ""), usual, most, errors) for field, (usual, most) in pages.items()}
    if errors and not ids:  # with ids the others are not asked
        raise Several(errors=tuple(errors))
    if len(ids) > MOST:
        raise Several(errors=tuple(errors[:1]))
    codes = _listed(said.get("service_code", ""))
    return Wanted(ids, codes, since, until, statuses, numbers["page"], numbers["page_size"], said.get("extensions") == "true")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _number(field: str, text: str, usual: int, most: int, errors: list[JieguanError]) -> int:
    if not text:
        return usual
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= most):
        errors.append(BadPage(field=field, most=most))
        return usual
    return int(text)


def requests(of: Office, asked: Wanted, lang: Lang) -> list[dict[str, Any]]:
    """What the public is shown, the latest first."""
    now = of.now()
    with of.db.reading() as session:
        shown = shown_at(session, now)
        query = sa.select(CaseFile).where(*shown.conditions())
        if asked.ids:
            query = query.where(CaseFile.number.in_(asked.ids))
        else:
            query = query.where(*_filters(asked, now)).limit(asked.size).offset((asked.page - 1) * asked.size)
        rows = list(session.scalars(query.order_by(CaseFile.received_at.desc(), CaseFile.id.desc())))
        return _told(of, session, rows, shown, asked.extensions, lang)


def request(of: Office, number: str, lang: Lang, *, extensions: bool = False) -> list[dict[str, Any]]:
    """One, as a list of one. Raises UnknownCase."""
    found = requests(of, Wanted(ids=(number,), extensions=extensions), lang)
    if not found:
        raise UnknownCase(value=number[:40])
    return found


def _filters(asked: Wanted, now: datetime) -> list[Any]:
    until = asked.until
    since = asked.since if asked.since is not None else (now if until is None else until) - SPAN
    until = min(since + SPAN, now) if until is None else until
    conditions: list[Any] = [CaseFile.received_at >= since, CaseFile.received_at <= until]
    if asked.codes:
        conditions.append(CaseFile.category.in_(asked.codes))
    if len(set(asked.statuses)) == 1:  # an expression no index has: of a period its dates are the range to read, in their order
        conditions.append(sa.case((CaseFile.open, OPEN), else_=CLOSED) == asked.statuses[0])
    return conditions


def _told(
    of: Office, session: Session, rows: list[CaseFile], shown: Shown, extensions: bool, lang: Lang
) -> list[dict[str, Any]]:
    if not rows:
        return []
    known = session.scalars(sa.select(Category).where(Category.code.in_({row.category for row in rows})))
    names = {row.code: _name(row, lang) for row in sorted(known, key=lambda row: row.since)}
    ended = [row.id for row in rows if not row.open]
    last = sa.select(Holding.case_id, sa.func.max(Holding.until)).where(Holding.case_id.in_(ended)).group_by(Holding.case_id)
    closed = {int(case): at for case, at in session.execute(last)} if ended else {}
    return [_request(of, session, row, names, closed.get(row.id), shown, extensions, lang) for row in rows]


def _request(
    of: Office, session: Session, row: CaseFile, names: Mapping[str, str], closed: datetime | None, shown: Shown, extensions: bool,
    lang: Lang,
) -> dict[str, Any]:  # fmt: skip
    squad = row.lead if row.state in AT_DESK else row.holder
    squads = of.signs.of(session, row.map_version).squads
    said = _words(of, row, shown)
    lon, lat = row.place.get("wgs84", (None, None)) if shown(row.category, publishing.PLACE) else (None, None)
    told = {
        "service_request_id": row.number, "status": OPEN if row.open else CLOSED, "status_notes": state_words(row.state, lang),
        "service_name": names.get(row.category, row.category), "service_code": row.category, "description": said.get("description"),
        "agency_responsible": squads.get(SquadCode(squad), squad) if shown(row.category, publishing.AGENCY) else None,
        "service_notice": None,
        "requested_datetime": _text(of, row.received_at), "updated_datetime": _text(of, closed or row.changed_at),
        "expected_datetime": None if row.due_at is None or not shown(row.category, publishing.EXPECTED) else _text(of, row.due_at),
        "address": said.get("address"), "address_id": None, "zipcode": None,
        "lat": None if lat is None else round(lat, 6), "long": None if lon is None else round(lon, 6),
        "media_url": said.get("media_url"),
    }  # fmt: skip
    if extensions:
        may = shown(row.category, publishing.AGENCY) and shown(row.category, publishing.REASONS)
        told["extended_attributes"] = {"responsibility": _why(row, squad, squads, lang) if may else None}
    return told


def _words(of: Office, row: CaseFile, shown: Shown) -> dict[str, Any]:
    """What of its words is shown; without a row that allows it nothing is unsealed."""
    fields = [f for f in (publishing.ADDRESS, publishing.DESCRIPTION, publishing.MEDIA) if shown(row.category, f)]
    if not fields:
        return {}
    said = unseal(of.vault, row.key, row.words, about_case(row.number)) or {}
    return {field: said.get(field) or None for field in fields}


def _why(row: CaseFile, squad: str, squads: Mapping[SquadCode, str], lang: Lang) -> dict[str, Any]:
    """Whom the map named and why. An order for the one case is told as one, without its document."""
    reasons = [
        {"step": r["step"], "step_name": r["step_name"], "found": [] if r["step"] == Step.CASE_ORDER else r["found"],
         "chosen": None if r["step"] == Step.CASE_ORDER else r["chosen"]}
        for r in reasons_told(row.reasons, lang)
    ]  # fmt: skip
    return {
        "squad": row.lead, "name": squads.get(SquadCode(row.lead), row.lead), "holder": squad, "step": row.step,
        "step_name": step_words(Step(row.step), lang)[0], "doubtful": row.doubtful, "margin_m": round(row.margin_m, 3),
        "runner_up": row.runner_up, "assisting": list(row.assist), "reasons": reasons, "map_version": row.map_version,
    }  # fmt: skip


def _text(of: Office, at: datetime) -> str:
    return at.astimezone(of.zone).isoformat(timespec="seconds")
