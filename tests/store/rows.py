"""Small rows for the tests of the cases' tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.store.clock_tables import ClockRow, Job
from api.store.record import Entry
from api.store.setup import opened
from api.store.tables import CaseFile, Reporter
from geodata.db.tables import MapVersion
from tests.db.contents import version

NOON = datetime(2026, 11, 2, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def prepared(url: str) -> str:
    """A map version for cases to name, in an initialised database."""
    with opened(url) as db, db.writing() as session:
        session.add(version([])[0])
    return url


def case_file(session: Session, number: str, **other: Any) -> CaseFile:
    """A case as it came in at noon, held by the duty squad; not added yet."""
    plain: dict[str, Any] = {
        "number": number, "version": 1, "received_at": NOON, "changed_at": NOON, "created_by": "op",
        "state": "received", "open": True, "holder": "duty", "lead": "A", "duty": "duty", "offered": None, "returns": 0,
        "parts": [], "joint": [], "rework": 0, "reopened": 0, "replied": False, "attempts": 0, "suspension_asked": False,
        "extension_asked": False, "supervisions": 0, "handler": "",
        "category": "GB30428:0501", "channel": "12345", "occurred_at": NOON, "found_by": None, "confidential": False,
        "to_supervision": False, "against": None, "hazard": False, "rank": 2, "due_at": None, "yellow_at": None, "assumed_year": None,
        "cluster_id": None,
        "key": f"key of {number}", "words": b"sealed", "x_mm": None, "y_mm": None, "error_m": 0.0, "place": {"unlocated": "none"},
        "geom": None, "step": "on_duty", "assist": [], "doubtful": True, "margin_m": 0.0, "runner_up": None, "township": None,
        "reasons": [], "map_version": session.scalars(sa.select(MapVersion.hash)).first(), "rules_version": "1",
    }  # fmt: skip
    return CaseFile(**{**plain, **other})


def reporter(case: CaseFile, **other: Any) -> Reporter:
    plain: dict[str, Any] = {
        "case_id": case.id, "key": case.key, "anonymous": False, "sealed": b"sealed", "keep_until": None, "erased_at": None,
    }  # fmt: skip
    return Reporter(**{**plain, **other})


def clock(case: CaseFile, **other: Any) -> ClockRow:
    plain: dict[str, Any] = {
        "case_id": case.id, "step": "sign", "milestone": "", "squad": "A", "rule_id": 1, "first": False, "all_day": False,
        "started_at": NOON, "yellow_at": NOON + HOUR, "due_at": NOON + DAY, "paused_at": None, "paused_for": 0, "paused_late": 0,
        "stopped_at": None, "outcome": None, "told": [], "assumed_year": None,
    }  # fmt: skip
    return ClockRow(**{**plain, **other})


def job(**other: Any) -> Job:
    plain: dict[str, Any] = {
        "kind": "clock", "key": "clock 1", "run_at": NOON + HOUR, "body": {"clock": 1}, "attempts": 0, "leased_until": None,
        "leased_by": None, "done_at": None, "dead_at": None, "error": None,
    }  # fmt: skip
    return Job(**{**plain, **other})


def moved(case: CaseFile, after: timedelta = HOUR, **to: Any) -> CaseFile:
    """One step on, as whoever changes a case makes it."""
    case.version += 1
    case.changed_at += after
    for name, value in to.items():
        setattr(case, name, value)
    return case


def entry(kind: str = "noted", **other: Any) -> Entry:
    plain: dict[str, Any] = {"actor": "王", "role": "operator", "squad": None, "at": NOON, "body": {}}
    return Entry(kind, **{**plain, **other})
