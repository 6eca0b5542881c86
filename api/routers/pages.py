"""Features as answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse

from api.usecases.map_features import Page

GEOJSON = "application/geo+json"


class Features(JSONResponse):
    """GeoJSON, as a description says it."""

    media_type = GEOJSON


def collection_answer(found: Page, said: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """A page as a FeatureCollection. Features are JSON already."""
    whole = {"type": "FeatureCollection", "numberMatched": found.matched, "numberReturned": len(found.features), **said}
    body = json.dumps(whole, ensure_ascii=False)[:-1] + ', "features": [' + ", ".join(found.features) + "]}"
    return Response(body, headers=dict(headers or {}), media_type=GEOJSON)
