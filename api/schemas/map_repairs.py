"""What is sent to have repairs made: which, and on what terms."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from api.schemas.map_drafts import CoverageLayer, Seen
from api.schemas.map_rows import Codes
from api.schemas.strict import Line, Truth, Whole
from geodata.repairs import Widths
from routing.errors import JieguanError

Metres = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1_000_000)]
USUAL = Widths()


class WhichRepairs(JieguanError):
    zh = "没有说明要采用哪些改法:请在 findings 中列出问题编号,或写 all: true(二者取其一)。"
    en = "It is not said which repairs to make. Name findings in `findings`, or say `all: true`; one of the two."


class NewRepair(Seen):
    """Wider overlaps, gaps and strips are left alone, metres. `order`: who keeps an overlap, first first; the others come after, by
    priority, then by code. `layer`: where two layers have a finding of one id."""

    overlap_m: Metres = USUAL.overlap_m
    gap_m: Metres = USUAL.gap_m
    snap_m: Metres = USUAL.snap_m
    order: Codes = ()
    layer: CoverageLayer | None = None


class NewRepairs(NewRepair):
    """`findings`: those to repair, or `all`. `limit`: at most so many in one request; the answer tells how many remain."""

    findings: Annotated[tuple[Line, ...], Field(max_length=1000)] | None = None
    all: Truth = False
    limit: Annotated[Whole, Field(ge=1, le=500)] = 100

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.all == (self.findings is not None):
            raise WhichRepairs
        return self
