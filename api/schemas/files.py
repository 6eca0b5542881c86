"""What is said of files: their format, system, name; and what is answered to one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from api.schemas.strict import Line

FileFormat = Literal["gpkg", "shp", "geojson"]
CrsCode = Annotated[str, Field(pattern=r"^[A-Za-z]{1,10}:\w{1,20}$", examples=["EPSG:4490"])]
"""By its code: a definition in full could name files."""


def _unless_blank(value: Any) -> Any:
    """`layer=` in an address says nothing."""
    return None if value == "" else value


Blank = BeforeValidator(_unless_blank)
FileName = Annotated[Line, Field(min_length=1, max_length=255, examples=["townships.gpkg"])]

UPLOADED_EXAMPLE: Mapping[str, Any] = {
    "draft": "d1", "revision": 5, "applied": [5], "notes": [],
    "changes": [
        {
            "layer": "township", "code": "u01", "accepted": True, "zh": "图层 township:u00、u01 之间的界段改画。",
            "en": "Layer township: the border between u00, u01 moves.", "edit": {"kind": "move_border"}, "reason": None,
        },
        {
            "layer": "squad", "code": "s07", "accepted": False, "zh": "…", "en": "…", "edit": None,
            "reason": {"error": "StillNamed", "zh": "…", "en": "…"},
        },
    ],
}  # fmt: skip
