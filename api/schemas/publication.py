"""What is sent about what the public is shown."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from api.schemas.strict import Instant, Line, Strict, Truth

Field_ = Literal["case", "agency_responsible", "reasons", "place", "expected_datetime", "address", "description", "media_url"]
Category = Annotated[Line, Field(min_length=1, max_length=100, description="a code, or * for all others")]
Document = Annotated[Line, Field(min_length=1, max_length=200)]


class RuleIn(Strict):
    """Whether a field of the cases of a category is public from `since` on (missing: now). `case`: the case itself, its state and dates."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"category": "GB30428:0504", "field": "place", "public": False, "document": "郑城管〔2026〕12号"}]
        },
    )

    category: Category
    field: Field_
    public: Truth
    document: Document
    since: Instant | None = None


class RuleEnd(Strict):
    """Which rule of a category ends, and when (missing: now): what holds for all others holds for it from then on."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"category": "GB30428:0504", "field": "place", "document": "郑城管〔2026〕13号"}]}
    )

    category: Category
    field: Field_
    document: Document
    until: Instant | None = None
