"""What is sent about limits of time and reminders."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from api.schemas.map_rows import CategoryCode
from api.schemas.strict import Instant, Line, Strict, Whole
from api.usecases.limits import NewLimit, NewRung
from api.words_cases import Channel
from routing.limits import Effect, Stage, Unit

Document = Annotated[Line, Field(min_length=1, max_length=200)]


class LimitIn(Strict):
    """A limit for a period, by a document. What is not named is whichever. `since` missing: from now on."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"step": "handle", "amount": 4, "unit": "work_hours", "category": "GB30428:0504", "document": "郑惠城管〔2026〕12号"}
            ]
        },
    )

    step: Stage
    amount: Annotated[Whole, Field(ge=1, le=20_000)]
    unit: Unit
    document: Document
    scheme: Annotated[Line, Field(min_length=1, max_length=40, pattern="^[A-Za-z][A-Za-z0-9_.-]*$")] | None = None
    category: CategoryCode | None = None
    channel: Channel | None = None
    milestone: Annotated[Line, Field(max_length=60)] = ""
    since: Instant | None = None
    until: Instant | None = None

    def value(self) -> NewLimit:
        """As the use cases take it."""
        words = {"step": self.step.value, "unit": self.unit.value, "channel": None if self.channel is None else self.channel.value}
        return NewLimit(**self.model_dump() | words)


class RungIn(Strict):
    """A reminder for a period, by a document: at `percent` of a limit, or on the `late_days`-th working day after it."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"effect": "remind", "percent": 60, "step": "handle", "document": "…"}]}
    )

    effect: Effect
    document: Document
    step: Stage | None = None
    percent: Annotated[Whole, Field(ge=1, le=1_000)] | None = None
    late_days: Annotated[Whole, Field(ge=1, le=250)] | None = None
    since: Instant | None = None
    until: Instant | None = None

    def value(self) -> NewRung:
        """As the use cases take it."""
        words = {"effect": self.effect.value, "step": None if self.step is None else self.step.value}
        return NewRung(**self.model_dump() | words)


class EndIn(Strict):
    """When it ends (missing: now), and by which document."""

    document: Document
    until: Instant | None = None
