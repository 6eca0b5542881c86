"""What there is to watch in a bureau's cases, in figures: how often the map had no answer or a line was hit, what waits how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.store.tables import CaseFile
from routing.model import Step

LATEST = 1_000
"""Cases that rates are told of: the last that came in, so that asking costs the same in any bureau."""
DEFAULTS = frozenset({Step.NOT_SERVED, Step.NEAREST, Step.ON_DUTY})
"""Nobody's ground: the answer is a default."""
EDGES = frozenset({Step.AGREED, Step.BORDER, Step.DISPUTED})
"""Another squad's ground was within reach."""


@dataclass(frozen=True, slots=True)
class Watched:
    """`cases`: of how many the rates are, which are missing where there are none. Ages in seconds, by state; `late`: past their limit."""

    cases: int
    rates: Mapping[str, float]
    open: Mapping[str, int]
    oldest: Mapping[str, float]
    late: int
    late_seconds: float


def watched(session: Session, now: datetime) -> Watched:
    """As it is now."""
    recent = sa.select(CaseFile.step, CaseFile.doubtful, CaseFile.returns).order_by(CaseFile.id.desc()).limit(LATEST)
    rows = session.execute(recent).all()
    hits = {
        "default": sum(step in DEFAULTS for step, _, _ in rows),
        "edge": sum(step in EDGES for step, _, _ in rows),
        "doubtful": sum(doubtful for _, doubtful, _ in rows),
        "return": sum(returns > 0 for _, _, returns in rows),
    }
    by_state = sa.select(CaseFile.state, sa.func.count(), sa.func.min(CaseFile.received_at)).where(CaseFile.open).group_by(CaseFile.state)
    waiting = session.execute(by_state).all()
    late, due = session.execute(
        sa.select(sa.func.count(), sa.func.min(CaseFile.due_at)).where(CaseFile.open, CaseFile.due_at < now)
    ).one()
    return Watched(
        len(rows), {name: hit / len(rows) for name, hit in hits.items()} if rows else {}, {state: n for state, n, _ in waiting},
        {state: max(0.0, (now - since).total_seconds()) for state, _, since in waiting}, late,
        0.0 if due is None else (now - due).total_seconds(),
    )  # fmt: skip


def exposition(found: Watched | None) -> str:
    """As Prometheus reads it; without a database, that there is none."""
    lines = ["# HELP jieguan_database_up Whether the database answers", "# TYPE jieguan_database_up gauge"]
    lines.append(f"jieguan_database_up {int(found is not None)}")
    if found is None:
        return "\n".join(lines) + "\n"

    def family(name: str, about: str, values: Mapping[str, float], label: str | None = None) -> None:
        lines.extend((f"# HELP {name} {about}", f"# TYPE {name} gauge"))
        lines.extend(f'{name}{{{label}="{key}"}} {value!r}' if label else f"{name} {value!r}" for key, value in values.items())

    family("jieguan_recent_cases", "Of how many cases the rates are: the latest ones", {"": found.cases})
    for name, about in RATES.items():
        if name in found.rates:
            family(f"jieguan_{name}_rate", about, {"": found.rates[name]})
    family("jieguan_open_cases", "Open cases, by state", found.open, "state")
    family("jieguan_oldest_open_case_seconds", "Age of the oldest open case, by state", found.oldest, "state")
    family("jieguan_late_cases", "Open cases past their limit", {"": found.late})
    family("jieguan_latest_case_seconds", "How long past its limit the latest of them is", {"": found.late_seconds})
    return "\n".join(lines) + "\n"


RATES: Mapping[str, str] = {
    "default": "Share of the latest cases on nobody's ground: a gap, ground not served, outside",
    "edge": "Share of the latest cases with another squad's ground within reach",
    "doubtful": "Share of the latest cases that a person should look at",
    "return": "Share of the latest cases that a squad asked to return",
}
