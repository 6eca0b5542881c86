"""What is sent about cases: a complaint, what of it is typed so far, an order."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from api.problems import field_told
from api.schemas.map_rows import CategoryCode
from api.schemas.strict import Code, Instant, Line, Number, Strict, Text, Truth, Whole
from api.usecases import intake as use
from api.usecases.batch import BadCell
from api.usecases.lifecycle import Wanted
from api.usecases.neighbours import Typed
from api.usecases.placing import Where
from api.words_cases import Channel, Said
from routing.case import Action, Outcome
from routing.errors import JieguanError

LONGEST = 4_000


class NothingSaid(JieguanError):
    zh = "内容是空白。请写明投诉的是什么。"
    en = "It is blank. Say what the complaint is about."


def _said(value: str) -> str:
    if not value.strip():
        raise NothingSaid
    return value


Words = Annotated[Text, Field(max_length=LONGEST)]
Lon = Annotated[Number, Field(ge=-180, le=180)]
Lat = Annotated[Number, Field(ge=-90, le=90)]


class PlaceIn(Strict):
    """Degrees in `datum` (wgs84, cgcs2000, gcj02, bd09): `lon` and `lat`, or a `line` along a street; or `unlocated`, with an address."""

    lon: Lon | None = None
    lat: Lat | None = None
    line: Annotated[tuple[tuple[Lon, Lat], ...], Field(max_length=1_000)] = ()
    datum: Line = "wgs84"
    error_m: Annotated[Number, Field(ge=0, le=100_000)] = 0.0
    unlocated: Truth = False

    def value(self) -> Where:
        """As the use cases take it."""
        return Where(**self.model_dump())


class ContactIn(Strict):
    """Who complained, and how to reach them. Kept sealed, shown masked, each look recorded."""

    name: Annotated[Line, Field(max_length=100)] = ""
    phone: Annotated[Line, Field(max_length=40)] = ""
    address: Annotated[Line, Field(max_length=300)] = ""
    email: Annotated[Line, Field(max_length=200)] = ""


class ComplaintIn(Strict):
    """A complaint. `occurred_at` missing: now. `anonymous` must be said. `confidential`: the caller asked not to be named to squads."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "category": "GB30428:0504", "description": "店外经营,占用人行道", "channel": "phone", "address": "京广路与江山路口",
                    "where": {"lon": 113.617123, "lat": 34.868456, "datum": "gcj02", "error_m": 20},
                    "contact": {"name": "王女士", "phone": "13800000000"},
                }
            ]
        },
    )  # fmt: skip

    category: CategoryCode
    description: Annotated[Words, AfterValidator(_said)]
    channel: Channel
    where: PlaceIn
    address: Annotated[Words, Field(max_length=500)] = ""
    occurred_at: Instant | None = None
    contact: ContactIn = ContactIn()
    anonymous: Truth = False
    confidential: Truth = False
    found_by: Code | None = None
    against: Code | None = None

    def value(self) -> use.Complaint:
        """As the use cases take it."""
        plain = self.model_dump(exclude={"where", "contact"})
        return use.Complaint(**plain, where=self.where.value(), contact=use.Contact(**self.contact.model_dump()))


class OrderIn(Strict):
    """What somebody wants done to a case. `seen`: the version looked at, unless If-Match says it. `outcome`: of a reply or follow-up."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"action": "sign", "seen": 4}, {"action": "transfer", "seen": 5, "squad": "S2", "reason": "…"}]},
    )

    action: Action
    seen: Annotated[Whole, Field(ge=1, le=2**31 - 1)] | None = None
    squad: Code | None = None
    squads: Annotated[tuple[Code, ...], Field(max_length=50)] = ()
    reason: Words = ""
    evidence: Annotated[tuple[Annotated[Line, Field(min_length=1)], ...], Field(max_length=50)] = ()
    document: Annotated[Line, Field(max_length=200)] = ""
    review: Instant | None = None
    milestone: Annotated[Line, Field(max_length=60)] = ""
    outcome: Outcome | None = None
    where: PlaceIn | None = None
    category: CategoryCode | None = None

    def value(self, seen: int, *, tagged: bool) -> Wanted:
        """As the use cases take it."""
        plain = self.model_dump(exclude={"where", "seen"})
        where = None if self.where is None else self.where.value()
        return Wanted(**plain, where=where, seen=seen, tagged=tagged)


class TypedIn(Strict):
    """What of a complaint is typed so far. Cases count within `radius_m`, and `window_h` hours before and after."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"category": "GB30428:0504", "where": {"lon": 113.617123, "lat": 34.868456, "datum": "gcj02"}}]},
    )

    category: CategoryCode
    where: PlaceIn
    occurred_at: Instant | None = None
    radius_m: Annotated[Number, Field(ge=1, le=500)] = 50.0
    window_h: Annotated[Number, Field(ge=1, le=720)] = 72.0

    def value(self) -> Typed:
        """As the use cases take it."""
        return Typed(self.category, self.where.value(), self.occurred_at, self.radius_m, timedelta(hours=self.window_h))


def complaint_of(record: Mapping[str, Any]) -> use.Complaint:
    """A row of a table, all but its place. Raises BadCell."""
    try:
        return ComplaintIn.model_validate({**record, "where": {"unlocated": True}}).value()
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][-1] if first["loc"] else "")
        if first["loc"][:1] == ("contact",) and field == "address":
            field = "contact_address"
        zh, en = (field_told(first, lang)["reason"] for lang in ("zh-CN", "en"))
        raise BadCell(field=field, reason=Said(zh.rstrip("。"), en.rstrip("."))) from error


class CategoryIn(Strict):
    """A category for a period, by a document. `since` missing: from now on."""

    code: CategoryCode
    zh: Annotated[Line, Field(min_length=1, max_length=100)]
    en: Annotated[Line, Field(min_length=1, max_length=100)]
    document: Annotated[Line, Field(min_length=1, max_length=200)]
    since: Instant | None = None
    until: Instant | None = None
    hazard: Truth = False
    mobile: Truth = False
    to_supervision: Truth = False


class CategoryEnd(Strict):
    """When it ends (missing: now), and by which document."""

    document: Annotated[Line, Field(min_length=1, max_length=200)]
    until: Instant | None = None
