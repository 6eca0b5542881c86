"""What is sent to ask who is responsible."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.map_rows import CategoryCode
from api.schemas.strict import Code, Instant, Line, Number, Strict, Truth


class Place(Strict):
    """Degrees in `datum` (wgs84, cgcs2000, gcj02, bd09); `error_m`: the radius in which the true place lies."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"lon": 113.617123, "lat": 34.868456, "datum": "gcj02", "category": "GB30428:0501"}]},
    )

    lon: Annotated[Number, Field(ge=-180, le=180)]
    lat: Annotated[Number, Field(ge=-90, le=90)]
    datum: Line = "wgs84"
    error_m: Annotated[Number, Field(ge=0, le=100_000)] = 0.0
    category: CategoryCode | None = None
    at: Instant | None = None
    found_by: Code | None = None
    case: Code | None = None


class ReasonOut(BaseModel):
    """One step of the ladder: what it found, and the claim it chose."""

    step: str
    step_name: str
    found: list[str]
    chosen: str | None


class PinOut(BaseModel):
    """What the decision depended on beside its input."""

    map: str
    rules_version: str


class DecisionOut(BaseModel):
    """Who is responsible, with whom, by which step, and how far the answer is from changing. `margin_m` is capped."""

    squad: str
    assist: list[str]
    step: str
    step_name: str
    doubtful: bool
    margin_m: float
    runner_up: str | None
    township: str | None
    reasons: list[ReasonOut]
    pin: PinOut


class Routed(BaseModel):
    """The answer: under which version, and for which instant."""

    version: str
    at: str
    decision: DecisionOut


class Places(Strict):
    """Up to 10,000 places. `reasons`: with each decision, what every step found."""

    places: Annotated[tuple[Place, ...], Field(min_length=1, max_length=10_000)]
    reasons: Truth = False
