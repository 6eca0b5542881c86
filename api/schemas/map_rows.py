"""What a row of each layer may say, as columns; GeoJSON around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue, WithJsonSchema

from api.schemas.strict import CONTROLS, PLAIN, Code, Instant, Line, Number, Strict, Text, Truth, Whole
from geodata.layer import BorderStatus, LayerName, LineRule
from routing.model import AgreementRule, Cycle, SquadKind


def _listed(value: Any) -> Any:
    """Clients that know no lists write `a|b`, as our files do."""
    return [part for part in value.split("|") if part] if isinstance(value, str) else value


CategoryCode = Annotated[
    str, Field(pattern=rf"^[A-Za-z][A-Za-z0-9_.-]*:[^\s\u0085|:{CONTROLS}]+$", max_length=100, examples=["GB30428:0501"])
]
Codes = Annotated[tuple[Code, ...], BeforeValidator(_listed), Field(max_length=500)]
Pair = Annotated[list[Code], BeforeValidator(_listed), Field(min_length=2, max_length=2)]
Categories = Annotated[tuple[CategoryCode, ...], BeforeValidator(_listed), Field(max_length=500)]
Amount = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]


class Columns(Strict):
    """What every row may say. `accuracy_m`: of its lines."""

    code: Code
    name: Line = ""
    since: Instant | None = None
    until: Instant | None = None
    document: Text = ""
    source: Line = ""
    licence: Line = ""
    datum: Line = ""
    accuracy_m: Amount | None = None


class ExtentColumns(Columns):
    pass


class TownshipColumns(Columns):
    """`squad`: who is posted there and inherits its ground. `township`: its code, where the row's differs from it."""

    township: Code | None = None
    squad: Code | None = None


class TerritoryColumns(Columns):
    """A squad's own ground. `squad`: the row's code, unless stated. A lower `priority` leads."""

    squad: Code | None = None
    priority: Whole = 0


class BorderColumns(Columns):
    """A stretch of border between two `sides`. `zone_m`, `accuracy_m`: its own, where it has any."""

    sides: Codes = ()
    line_rule: LineRule | None = None
    status: BorderStatus | None = None
    zone_m: Annotated[Amount, Field(le=1000)] | None = None


class AgreementColumns(Columns):
    """What two neighbours settled. `zone`: the time zone in which turns are counted."""

    parties: Pair
    rule: AgreementRule = AgreementRule.WHOLE
    lead: Code | None = None
    categories: Categories = ()
    cycle: Cycle = Cycle.MONTH
    zone: Line | None = None


class DesignationColumns(Columns):
    """A superior's order; of a single `case`, or of a place."""

    squad: Code
    categories: Categories = ()
    issued_by: Line = ""
    dated: Instant | None = None
    case: Code | None = None


class NotServedColumns(Columns):
    """Somebody else's ground."""

    authority: Code


class DirectColumns(Columns):
    """A category that is a direct squad's wherever it happens."""

    category: CategoryCode
    squad: Code


class SquadColumns(Columns):
    """`office`: longitude, latitude."""

    kind: SquadKind = SquadKind.TERRITORIAL
    duty: Truth = False
    township: Code | None = None
    phone: Line = ""
    office: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None


class OtherColumns(Columns):
    """A duty roster or calendar: what it says is plain JSON."""

    facts: Annotated[dict[str, JsonValue], Field(default_factory=dict)]


MODELS: Mapping[LayerName, type[Columns]] = {
    LayerName.EXTENT: ExtentColumns,
    LayerName.TOWNSHIP: TownshipColumns,
    LayerName.TERRITORY: TerritoryColumns,
    LayerName.BORDER: BorderColumns,
    LayerName.AGREEMENT: AgreementColumns,
    LayerName.DESIGNATION: DesignationColumns,
    LayerName.NOT_SERVED: NotServedColumns,
    LayerName.DIRECT: DirectColumns,
    LayerName.SQUAD: SquadColumns,
    LayerName.DUTY: OtherColumns,
    LayerName.CALENDAR: OtherColumns,
}

TITLES: Mapping[LayerName, tuple[str, str]] = {
    LayerName.EXTENT: ("管辖范围", "Extent"),
    LayerName.TOWNSHIP: ("乡镇(街道)", "Townships"),
    LayerName.TERRITORY: ("中队辖区", "Squad grounds"),
    LayerName.BORDER: ("界段", "Border stretches"),
    LayerName.AGREEMENT: ("交界协议", "Agreements"),
    LayerName.DESIGNATION: ("指定管辖", "Designations"),
    LayerName.NOT_SERVED: ("非本局管辖", "Not served"),
    LayerName.DIRECT: ("直属类别", "Direct categories"),
    LayerName.SQUAD: ("中队", "Squads"),
    LayerName.DUTY: ("值班表", "Duty roster"),
    LayerName.CALENDAR: ("工作日历", "Working calendar"),
}

# --- GeoJSON ---

Position = Annotated[list[Number], Field(min_length=2, max_length=3, examples=[[113.617, 34.868]])]
Ring = Annotated[list[Position], Field(min_length=4)]


class Point(Strict):
    type: Literal["Point"]
    coordinates: Position


class LineString(Strict):
    type: Literal["LineString"]
    coordinates: Annotated[list[Position], Field(min_length=2)]


class MultiLineString(Strict):
    type: Literal["MultiLineString"]
    coordinates: Annotated[list[Annotated[list[Position], Field(min_length=2)]], Field(min_length=1)]


class Polygon(Strict):
    type: Literal["Polygon"]
    coordinates: Annotated[list[Ring], Field(min_length=1)]


class MultiPolygon(Strict):
    type: Literal["MultiPolygon"]
    coordinates: Annotated[list[Annotated[list[Ring], Field(min_length=1)]], Field(min_length=1)]


Area = Annotated[Polygon | MultiPolygon, Field(discriminator="type")]
Geometry = Annotated[Point | LineString | MultiLineString | Polygon | MultiPolygon, Field(discriminator="type")]


AREAS = frozenset({LayerName.EXTENT, LayerName.TOWNSHIP, LayerName.TERRITORY, LayerName.NOT_SERVED})
GROUNDLESS = frozenset({LayerName.SQUAD, LayerName.DIRECT, LayerName.DUTY, LayerName.CALENDAR})


def json_schema(layer: LayerName) -> dict[str, Any]:
    """A layer's columns and its geometry, each of one plain type: what GIS programs read to set up their tables."""
    whole = MODELS[layer].model_json_schema()
    columns = {name: _plain_type(column, whole) for name, column in whole["properties"].items()}
    if layer not in GROUNDLESS:
        form = "geometry-multipolygon" if layer in AREAS else "geometry-any"
        columns["geometry"] = {"x-ogc-role": "primary-geometry", "format": form}
    return {"type": "object", "properties": columns, "required": whole.get("required", [])}


def _plain_type(column: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """A column without references and alternatives; it may be null all the same."""
    some = next((c for c in column.get("anyOf", ()) if c.get("type") != "null"), column)
    if "$ref" in some:
        some = whole["$defs"][some["$ref"].rpartition("/")[2]]
    kept = {k: some[k] for k in ("type", "format", "enum", "minimum") if k in some}
    if kept.get("type") == "array":
        kept["items"] = {"type": some.get("items", {}).get("type", "string")}
    return {"title": column.get("title", ""), **kept}


CELL = [{"type": "string", "pattern": PLAIN}, {"type": "number"}]
Columned = Annotated[
    dict[str, Any],
    WithJsonSchema({
        "type": "object", "description": "columns of the layer, as its schema has them", "propertyNames": {"pattern": PLAIN},
        "additionalProperties": {"anyOf": [*CELL, {"type": ["boolean", "null"]}, {"type": "array", "items": {"anyOf": CELL}}]},
    }),
]  # fmt: skip


class Link(Strict):
    """As we send them (OGC API - Common); nothing is done with those that come back."""

    href: Text
    rel: Line | None = None
    type: Line | None = None
    title: Line | None = None
    hreflang: Line | None = None
    length: Whole | None = None


class Feature(Strict):
    """A feature as it is sent: what we send ourselves is taken back, and of it `id`, `bbox` and `links` say nothing new."""

    type: Literal["Feature"]
    id: Line | Whole | None = None
    geometry: Geometry | None = None
    properties: Columned | None = None
    bbox: list[Number] | None = None
    links: list[Link] | None = None


class FeaturePatch(Strict):
    """What of a feature changes; the rest stays (RFC 7396)."""

    type: Literal["Feature"] = "Feature"
    id: Line | Whole | None = None
    geometry: Geometry | None = None
    properties: Columned | None = None
