"""What is to be done later, in its table: asked for in the transaction of what it follows from, done by `api.usecases.work`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as lite_insert
from sqlalchemy.orm import Session

from api.store.clock_tables import Job


def schedule(session: Session, kind: str, key: str, run_at: datetime, body: Mapping[str, Any]) -> None:
    """To be done from `run_at` on. One of that key that waits, runs or was done is put anew; who runs it finds that it is not his."""
    insert = pg_insert if session.get_bind().dialect.name == "postgresql" else lite_insert
    fresh: dict[str, Any] = {
        "kind": kind, "run_at": run_at, "body": dict(body), "attempts": 0, "leased_until": None, "leased_by": None, "done_at": None,
        "dead_at": None, "error": None,
    }  # fmt: skip
    session.execute(insert(Job).values(key=key, **fresh).on_conflict_do_update(index_elements=["key"], set_=fresh))


def cancel(session: Session, key: str) -> None:
    """There is nothing to be done under that key any more."""
    session.execute(sa.delete(Job).where(Job.key == key))
