"""The cases of the service as past cases: a table like one read from a file, without anything that was written or who complained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.store.tables import CaseFile
from api.usecases.route_file import PointFile
from geodata.files import Table
from geodata.intake import Format

NAME = "db"
"""What stands for them where a file of cases is named."""
BATCH = 50_000
COLUMNS = {
    "case": pa.string(), "lon": pa.float64(), "lat": pa.float64(), "error_m": pa.float64(), "category": pa.string(),
    "occurred_at": pa.string(), "found_by": pa.string(), "squad": pa.string(), "handled_by": pa.string(), "step": pa.string(),
    "doubtful": pa.bool_(), "state": pa.string(),
}  # fmt: skip


def table_of(session: Session) -> Table:
    """Every case, in the order of its receipt. A line stands by the point in its middle; a case without a place has none."""
    batches, after = [], 0
    chosen = (
        CaseFile.id, CaseFile.number, CaseFile.place, CaseFile.error_m, CaseFile.category, CaseFile.occurred_at, CaseFile.found_by,
        CaseFile.lead, CaseFile.holder, CaseFile.step, CaseFile.doubtful, CaseFile.state,
    )  # fmt: skip
    while True:
        rows = session.execute(sa.select(*chosen).where(CaseFile.id > after).order_by(CaseFile.id).limit(BATCH)).all()
        if not rows:
            break
        after = rows[-1].id
        batches.append(pa.table({name: pa.array(column, COLUMNS[name]) for name, column in _columns(rows).items()}))
    columns = pa.concat_tables(batches) if batches else pa.schema(list(COLUMNS.items())).empty_table()
    return Table(NAME, NAME, Format.PARQUET, "", columns, None, "", 0, None, ())


def _columns(rows: Any) -> dict[str, list[Any]]:
    places = [row.place.get("wgs84") or (None, None) for row in rows]
    return {
        "case": [r.number for r in rows], "lon": [p[0] for p in places], "lat": [p[1] for p in places],
        "error_m": [r.error_m for r in rows], "category": [r.category for r in rows],
        "occurred_at": [r.occurred_at.isoformat() for r in rows], "found_by": [r.found_by for r in rows], "squad": [r.lead for r in rows],
        "handled_by": [r.holder for r in rows], "step": [r.step for r in rows], "doubtful": [r.doubtful for r in rows],
        "state": [r.state for r in rows],
    }  # fmt: skip


def columns_of(source: PointFile) -> PointFile:
    """Where everything stands in that table, whatever the options of the command said."""
    return replace(
        source, points=NAME, lon="lon", lat="lat", error_field="error_m", category_field="category", at_field="occurred_at",
        case_field="case", found_by_field="found_by",
    )  # fmt: skip
