"""Rows as flat records, as a GIS shows them, and back: the row's own columns, then those of its layer.

What a claim or squad says (`facts`) is spelled as the map file spells it; here it is plain columns, and `kind` and `id` are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from geodata.layer import CLAIM_LAYERS, LayerName, Row, claim_in, squad_in
from routing.errors import JieguanError

OWN = ("code", "name", "since", "until", "document", "source", "licence", "datum", "accuracy_m")
"""Columns of every row."""

COLUMNS: Mapping[LayerName, Mapping[str, Any]] = {
    LayerName.EXTENT: {},
    LayerName.TOWNSHIP: {"township": None, "squad": None},
    LayerName.TERRITORY: {"squad": None, "priority": 0},
    LayerName.BORDER: {"sides": [], "line_rule": None, "status": None, "zone_m": None},
    LayerName.AGREEMENT: {
        "parties": [], "rule": "whole", "lead": None, "categories": [], "cycle": "month", "zone": None,
    },
    LayerName.DESIGNATION: {"squad": None, "categories": [], "issued_by": "", "dated": None, "case": None},
    LayerName.NOT_SERVED: {"authority": ""},
    LayerName.DIRECT: {"category": None, "squad": None},
    LayerName.SQUAD: {"kind": "territorial", "duty": False, "township": None, "phone": "", "office": None},
    LayerName.DUTY: {"facts": {}},
    LayerName.CALENDAR: {"facts": {}},
}  # fmt: skip
"""Columns of a layer beside those of every row, with what they are where nothing is said."""

SPELLED = {LayerName.TOWNSHIP: {"township": "code"}}
"""Columns whose fact has another name."""


class RowRefused(JieguanError):
    zh = "图层 {layer} 的“{code}”内容不成立({reason}):地图无法据此编制。请更正。"
    en = "What {code!r} of the layer {layer} says does not hold ({reason}), so no map can be made of it. Correct it."


def record_of(row: Row) -> dict[str, Any]:
    """A row without its ground, as flat columns; instants as ISO text."""
    out: dict[str, Any] = {name: getattr(row, name) for name in OWN}
    out |= {name: None if out[name] is None else out[name].isoformat() for name in ("since", "until")}
    spelled = SPELLED.get(row.layer, {})
    for name, default in COLUMNS[row.layer].items():
        out[name] = dict(row.facts) if name == "facts" else row.facts.get(spelled.get(name, name), default)
    if row.layer is LayerName.TERRITORY and row.facts.get("accuracy_m") is not None:
        out["accuracy_m"] = float(row.facts["accuracy_m"])
    if out.get("zone_m") is not None:
        out["zone_m"] = float(out["zone_m"])
    if out.get("office") is not None:
        out["office"] = [float(v) for v in out["office"]]
    return out


def row_told(layer: LayerName, record: Mapping[str, Any], ground: Any, was: Row | None = None) -> Row:
    """The row of a record. `record`: every column of the layer, as its model gives them. `was`: the row it replaces.

    Raises RowRefused where no claim or squad could be made of it.
    """
    own = {name: record[name] for name in OWN}
    facts = {SPELLED.get(layer, {}).get(n, n): _fact(record[n]) for n in COLUMNS[layer]}
    code = str(record["code"])
    if layer in (LayerName.DUTY, LayerName.CALENDAR):
        facts = dict(record["facts"])
    elif layer is LayerName.BORDER:
        facts["zone_m"] = None if facts["zone_m"] is None else repr(float(facts["zone_m"]))
    elif layer in CLAIM_LAYERS:
        facts = _claim_facts(layer, code, own, facts, was)
    elif layer is LayerName.SQUAD:
        office = facts["office"]
        facts |= {"code": code, "name": own["name"], "office": None if office is None else [repr(float(v)) for v in office]}
    if layer is LayerName.TERRITORY:
        own["accuracy_m"] = None  # the fact says it, as in rows read from files
    row = Row(layer, facts=facts, ground=ground, **own)
    if was is not None:
        row = replace(row, since=was.since)
    _check(row)
    return row


def _claim_facts(
    layer: LayerName, code: str, own: Mapping[str, Any], facts: dict[str, Any], was: Row | None
) -> dict[str, Any]:
    if layer is LayerName.TOWNSHIP:
        facts["code"] = facts["code"] or code
    elif layer is LayerName.TERRITORY:
        facts["squad"] = facts["squad"] or code
        facts["accuracy_m"] = None if own["accuracy_m"] is None else repr(float(own["accuracy_m"]))
    elif layer is LayerName.NOT_SERVED:
        facts["name"] = own["name"]
    elif layer is LayerName.AGREEMENT and facts["zone"] is None:
        del facts["zone"]
    known = f"{layer.value}:{code}" if was is None else was.facts.get("id", f"{layer.value}:{code}")
    return {"kind": layer.value, "id": known, **facts}


def _fact(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def _check(row: Row) -> None:
    """Can it be made into what it states? Better asked now than while a map is being published."""
    try:
        if row.layer in CLAIM_LAYERS:
            claim_in(row)
        elif row.layer is LayerName.SQUAD:
            squad_in(row)
    except JieguanError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise RowRefused(layer=row.layer.value, code=row.code, reason=f"{type(error).__name__}: {error}"[:120]) from error
