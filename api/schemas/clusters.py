"""What is sent about matters that span a line, and about rulings offered to planners."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from api.schemas.map_drafts import Revision
from api.schemas.map_rows import Area, Categories
from api.schemas.strict import Code, Line, Number, Strict, Text
from api.usecases.clusters import Together
from api.usecases.map_places import shape_of
from api.usecases.rulings import Standing
from routing.errors import JieguanError

CaseNumber = Annotated[str, Field(min_length=1, max_length=40, examples=["20261122-000017"])]


class OneCaseOnly(JieguanError):
    zh = "案群至少要有两个不同的案件。请补填另一案件的编号。"
    en = "A cluster takes two cases that differ. Name the other one."


def _several(numbers: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(numbers)) < 2:
        raise OneCaseOnly
    return numbers


class ClusterIn(Strict):
    """Cases that are one matter. `lead`: the squad of the earliest of them, unless named."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"numbers": ["20261122-000017", "20261122-000018"]}]})

    numbers: Annotated[tuple[CaseNumber, ...], Field(max_length=50), AfterValidator(_several)]
    lead: Code | None = None
    reason: Annotated[Text, Field(max_length=1_000)] = ""

    def value(self) -> Together:
        """As the use cases take it."""
        return Together(self.numbers, self.lead, self.reason)


class JoinIn(Strict):
    """`reason`: a sentence of ours, unless stated."""

    reason: Annotated[Text, Field(max_length=1_000)] = ""


class TakeIn(Strict):
    """A ruling as a standing designation. `shape`: degrees (WGS-84, longitude first); or `radius_m` around the place of its case.

    `categories`: that of the case, unless stated; empty for all. `seen`: the revision of the draft that was looked at.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"draft": "3f9c21b07e55", "name": "桥下空间", "radius_m": 80}]}
    )

    draft: Code
    name: Annotated[Line, Field(min_length=1)]
    shape: Area | None = None
    radius_m: Annotated[Number, Field(ge=1, le=5_000)] | None = None
    categories: Categories | None = None
    seen: Revision | None = None

    def value(self) -> Standing:
        """As the use cases take it. Raises NoRing."""
        shape = None if self.shape is None else shape_of(self.shape.model_dump())
        return Standing(self.draft, self.name, shape, self.radius_m, self.categories, self.seen)


class DeclineIn(Strict):
    """`reason`: why it should not stand for all."""

    reason: Annotated[Text, Field(min_length=1, max_length=1_000)]
