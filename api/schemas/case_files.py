"""What is sent about what lies with a case: why somebody wants to know who complained."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from api.schemas.strict import Strict, Text


class RevealIn(Strict):
    """`reason`: why the contact is needed; it is recorded."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "回访"}]})

    reason: Annotated[Text, Field(min_length=1, max_length=1_000)]
