"""What is sent to work on a draft. Places are GeoJSON: longitude and latitude, or metres of the work CRS where `crs` says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from api.schemas.map_rows import Amount, Area, Geometry, LineString, Position
from api.schemas.strict import Code, Instant, Line, Strict, Text, Whole
from geodata.layer import BorderStatus, LayerName, LineRule

CoverageLayer = Literal["township", "territory"]
Revision = Annotated[int, Field(strict=True, ge=0, le=2**31)]


class MoveBorder(Strict):
    """A stretch of border gets another path between the same ends, for both sides at once."""

    kind: Literal["move_border"]
    layer: CoverageLayer
    arc: Line
    path: LineString


class MoveNode(Strict):
    """A place where borders meet moves, and all of them with it."""

    kind: Literal["move_node"]
    layer: CoverageLayer
    node: Position
    to: Position


class HandOver(Strict):
    """A drawn piece of ground goes to `to`, from everybody or from those in `of`."""

    kind: Literal["hand_over"]
    layer: CoverageLayer
    piece: Area
    to: Code
    of: Annotated[tuple[Code, ...], Field(max_length=100)] = ()
    name: Line = ""


class Split(Strict):
    """A line cuts a unit; the piece that holds `side`, or else the smallest, becomes `new`."""

    kind: Literal["split"]
    layer: CoverageLayer
    code: Code
    line: LineString
    new: Code
    side: Position | None = None
    name: Line = ""


class Merge(Strict):
    """Several units become one of them."""

    kind: Literal["merge"]
    layer: CoverageLayer
    codes: Annotated[list[Code], Field(min_length=1, max_length=1000)]
    into: Code


class RedrawBorder(Strict):
    """Two neighbours are parted anew along a line."""

    kind: Literal["redraw_border"]
    layer: CoverageLayer
    between: Annotated[list[Code], Field(min_length=2, max_length=2)]
    line: LineString


class ReplaceGround(Strict):
    """A unit's ground becomes what is drawn; what it gives up goes to `lost_to`."""

    kind: Literal["replace_ground"]
    layer: CoverageLayer
    code: Code
    piece: Area
    lost_to: Code | None = None


class SetBorder(Strict):
    """What holds for a stretch of border: along `arcs`, or along the border of `between` from node to node (`ends`), or all of that
    border; else where the stretch `code` is. Fields that are left out stay as they are, null clears. No line moves by it."""

    kind: Literal["set_border"]
    layer: CoverageLayer
    code: Code
    arcs: Annotated[tuple[Line, ...], Field(max_length=1000)] = ()
    between: Annotated[list[Code], Field(min_length=2, max_length=2)] | None = None
    ends: Annotated[list[Position], Field(min_length=2, max_length=2)] | None = None
    name: Line = ""
    document: Text = ""
    line_rule: LineRule | None = None
    status: BorderStatus | None = None
    zone_m: Annotated[Amount, Field(le=1000)] | None = None
    accuracy_m: Annotated[Amount, Field(le=1000)] | None = None


class PutRow(Strict):
    """A row is written. `properties`: as the layer's features have them."""

    kind: Literal["put_row"]
    layer: LayerName
    properties: dict[str, Any]
    geometry: Geometry | None = None


class RemoveRow(Strict):
    """A row goes. `since`: where several rows have one code."""

    kind: Literal["remove_row"]
    layer: LayerName
    code: Code
    since: Instant | None = None


AnyEdit = Annotated[
    MoveBorder | MoveNode | HandOver | Split | Merge | RedrawBorder | ReplaceGround | SetBorder | PutRow | RemoveRow,
    Field(discriminator="kind"),
]

EXAMPLES: Mapping[str, Any] = {
    "hand_over": {
        "summary": "划转一块地 / a piece of ground changes hands",
        "value": {
            "seen": 3,
            "note": "路北侧划归一中队",
            "edit": {
                "kind": "hand_over",
                "layer": "township",
                "piece": {
                    "type": "Polygon",
                    "coordinates": [[[113.617, 34.868], [113.618, 34.868], [113.618, 34.869], [113.617, 34.868]]],
                },
                "to": "u01",
            },
        },
    },
    "move_border": {
        "summary": "移动一段共同边界 / a shared border moves, for both sides at once",
        "value": {
            "seen": 4,
            "edit": {
                "kind": "move_border",
                "layer": "township",
                "arc": "arc-3f9c21b07e55",
                "path": {"type": "LineString", "coordinates": [[113.617, 34.868], [113.6175, 34.8684], [113.618, 34.869]]},
            },
        },
    },
    "set_border": {
        "summary": "一段边界的线位规则与交界带宽度 / line rule and zone of a stretch of border",
        "value": {
            "edit": {
                "kind": "set_border", "layer": "township", "code": "京广路北段", "arcs": ["arc-3f9c21b07e55"],
                "line_rule": "CENTRELINE", "status": "AGREED", "zone_m": 40.0, "document": "3号文",
            },
        },
    },
    "put_row": {
        "summary": "写一条协议 / an agreement is written",
        "value": {
            "edit": {
                "kind": "put_row",
                "layer": "agreement",
                "properties": {"code": "a1", "parties": ["s01", "s02"], "rule": "whole", "lead": "s01", "document": "3号文"},
            },
        },
    },
}


class NewDraft(Strict):
    name: Annotated[Line, Field(min_length=1, examples=["江山路改界"])]


class NewEdit(Strict):
    """`seen`: the revision its author looked at; the header If-Match says the same. `crs`: of its places."""

    edit: AnyEdit
    seen: Revision | None = None
    note: Text = ""
    crs: Literal["lonlat", "work"] = "lonlat"


class Seen(Strict):
    seen: Revision | None = None


class Undo(Seen):
    """`seq`: which edit; the last by default."""

    seq: Whole | None = None


class NewComment(Strict):
    """`place`: longitude, latitude."""

    text: Annotated[Text, Field(min_length=1)]
    place: Position | None = None


class NewWaiver(Strict):
    finding: Line
    reason: Annotated[Text, Field(min_length=1, examples=["历史飞地,有意保留"])]


class NewDefect(Strict):
    """`squad`: who keeps the ground meanwhile."""

    finding: Line
    squad: Code
    due: Instant | None = None
    document: Line = ""


class NewClosing(Strict):
    """`document`: the paper by which it was settled, if there is one."""

    reason: Annotated[Text, Field(min_length=1, examples=["空白已划归一中队,见 2026 年第 7 次发布"])]
    document: Line = ""


class NewSignature(Seen):
    """`side`: for whom; a superior signs for all, with a document."""

    side: Code
    role: Literal["leader", "superior"] = "leader"
    reason: Text = ""
    document: Line = ""


class NewPublication(Seen):
    """`valid_from`: now, unless stated."""

    reason: Annotated[Text, Field(min_length=1, examples=["江山路两侧辖区调整"])]
    document: Line = ""
    valid_from: Instant | None = None


class NewRollback(Strict):
    reason: Annotated[Text, Field(min_length=1)]
    document: Annotated[Line, Field(min_length=1)]
    valid_from: Instant | None = None
