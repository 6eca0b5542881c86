"""The figures by another way: one statement of plain SQL over the entries of the record and the holdings, in either database's words.

It knows neither the facts nor the sums, nor anything else of the program: only what the record says and how the figures are defined.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from geodata.db.both import Kind, instant_text
from geodata.db.engine import Database

OPEN = (
    "'received','verifying','accepted','registered','dispatched','handling','joint_handling','return_requested','designating','suspended',"
    "'feedback','checking'"
)
WORKED = "'dispatched','handling','joint_handling','return_requested','designating'"
DISPUTE = "'return_requested','designating'"
HOUR = 3_600_000
HANDLE_H, CLOSE_H = 30, 70
"""Limits of the tests, in hours after the receipt; every fifth case has none."""


def json_of(kind: Kind, *path: str) -> str:
    if kind == "embedded":
        return f"json_extract(body, '$.{'.'.join(path)}')"
    return f"(body::jsonb #>> '{{{','.join(path)}}}')"


def ms_of(kind: Kind, at: str) -> str:
    if kind == "embedded":
        return f"(CAST(strftime('%s', {at}) AS INTEGER) * 1000 + CAST(substr({at}, 21, 3) AS INTEGER))"
    return f"CAST(floor(extract(epoch FROM {at}) * 1000) AS BIGINT)"


def day_of(kind: Kind, t: str) -> str:
    """The day in 上海 of thousandths of seconds."""
    if kind == "embedded":
        return f"date({t} / 1000, 'unixepoch', '+8 hours')"
    return f"to_char(to_timestamp({t} / 1000) AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM-DD')"


def cases_sql(kind: Kind, now: datetime) -> str:
    j: Callable[..., str] = lambda *path: json_of(kind, *path)  # noqa: E731
    text = "CAST(:now AS TIMESTAMPTZ)" if kind == "postgresql" else ":now"
    stamp = ms_of(kind, text)
    if kind == "embedded":
        has = "EXISTS (SELECT 1 FROM json_each(body, '$.decision.assist') WHERE value = json_extract(body, '$.decision.runner_up'))"
        head = "json_extract(body, '$.decision.assist[0]')"
    else:
        has = "coalesce((body::jsonb -> 'decision' -> 'assist') ? (body::jsonb #>> '{decision,runner_up}'), false)"
        head = "(body::jsonb #>> '{decision,assist,0}')"
    runner, lead = j("decision", "runner_up"), j("decision", "squad")
    other = f"CASE WHEN {has} THEN {runner} WHEN {head} IS NOT NULL THEN {head} ELSE {runner} END"
    located, least, most = "(body::jsonb #> '{decision,place}') ? 'wgs84'", "least", "greatest"
    if kind == "embedded":
        located, least, most = "json_type(body, '$.decision.place.wgs84') IS NOT NULL", "min", "max"
    return f"""
WITH m AS (
    SELECT case_id, id, {ms_of(kind, "at")} AS t, {j("action")} AS a,
        coalesce({j("after", "state")}, {j("state")}) AS s, coalesce({j("after", "holder")}, {j("holder")}) AS h,
        coalesce({j("after", "category")}, {j("category")}) AS cat, {j("decision", "step")} AS step, {lead} AS lead, {other} AS other,
        {located} AS located
    FROM event WHERE kind IN ('received', 'moved')
), n AS (
    SELECT m.*, coalesce(lead(t) OVER w, {stamp}) AS until, lag(h) OVER w AS gave, lead(id) OVER w IS NULL AS last,
        min(CASE WHEN a = 'dispatch' THEN id END) OVER (PARTITION BY case_id) AS sent
    FROM m WINDOW w AS (PARTITION BY case_id ORDER BY id)
), c AS (
    SELECT case_id, min(t) AS received,
        min(t) FILTER (WHERE a = 'register') AS registered, min(t) FILTER (WHERE a = 'dispatch') AS dispatched,
        max(id) FILTER (WHERE a = 'report') AS report, max(id) FILTER (WHERE a = 'close') AS close,
        max(id) FILTER (WHERE a IN ('fail', 'reopen')) AS undone, max(id) FILTER (WHERE a = 'reopen') AS reopened,
        max(t) FILTER (WHERE a = 'report') AS report_t, max(t) FILTER (WHERE a = 'close') AS close_t,
        count(*) FILTER (WHERE id > sent AND h <> gave) AS hops, count(*) FILTER (WHERE a = 'request_return') AS returns,
        count(*) FILTER (WHERE a = 'fail') AS rework, min(t) FILTER (WHERE s IN ({DISPUTE})) AS disputed,
        min(t) FILTER (WHERE a = 'designate') AS designated,
        coalesce(sum(until - t) FILTER (WHERE s IN ({WORKED})), 0) AS worked,
        coalesce(sum(until - t) FILTER (WHERE s IN ({DISPUTE})), 0) AS argued,
        coalesce(sum(until - t) FILTER (WHERE s IN ({OPEN})), 0) AS open_ms,
        max(h) FILTER (WHERE last) AS holder, max(s) FILTER (WHERE last) AS state, max(cat) FILTER (WHERE last) AS category,
        max(h) FILTER (WHERE id = sent) AS first, max(id) FILTER (WHERE step <> 'case_order') AS placed
    FROM n GROUP BY case_id
), held AS (
    SELECT case_id, sum(CASE WHEN until IS NULL THEN {stamp} ELSE {ms_of(kind, "until")} END - {ms_of(kind, "since")}) AS held_ms
    FROM holding GROUP BY case_id
), file AS (
    SELECT id, number, to_supervision, against FROM case_file
)
SELECT c.*, file.number, f.located, f.step IN ('agreed', 'border', 'disputed', 'nearest') AS band,
    CASE WHEN f.step IN ('agreed', 'border', 'disputed', 'nearest') AND f.other IS NOT NULL AND f.other <> f.lead
         THEN {least}(f.lead, f.other) || '|' || {most}(f.lead, f.other) ELSE '' END AS stretch,
    CASE WHEN report > coalesce(undone, 0) THEN report_t END AS handled,
    CASE WHEN close > coalesce(reopened, 0) THEN close_t END AS closed,
    CASE WHEN registered IS NOT NULL AND c.state <> 'suspended' AND c.case_id % 5 <> 0 THEN received + {HANDLE_H * HOUR} END AS handle_due,
    CASE WHEN registered IS NOT NULL AND c.state <> 'suspended' AND c.case_id % 5 <> 0 THEN received + {CLOSE_H * HOUR} END AS close_due,
    abs(open_ms - coalesce(held_ms, 0)) AS orphan, file.to_supervision OR file.against IS NOT NULL AS apart
FROM c JOIN m f ON f.id = c.placed JOIN file ON file.id = c.case_id LEFT JOIN held ON held.case_id = c.case_id"""


ONE = "1"
HANDLED_LATE = "CASE WHEN handled IS NULL THEN 1 ELSE 0 END"
FIGURES: dict[str, tuple[str, str, str, str, str, float]] = {
    # name: by which day, for which squad, which cases; what over what, and a divisor of the first
    "load": ("received", "holder", ONE, ONE, "", 1),
    "open": ("received", "holder", ONE, f"CASE WHEN state IN ({OPEN}) THEN 1 ELSE 0 END", "", 1),
    "border_share": ("received", "holder", ONE, "CASE WHEN band THEN 1 ELSE 0 END", "CASE WHEN located THEN 1 ELSE 0 END", 1),
    "orphan_minutes": ("received", "holder", ONE, "orphan", "", 60_000),
    "handled_share": ("registered", "holder", ONE, "CASE WHEN handled IS NULL THEN 0 ELSE 1 END", ONE, 1),
    "closed_share": ("registered", "holder", ONE, "CASE WHEN closed IS NULL THEN 0 ELSE 1 END", ONE, 1),
    "handling": ("handle_due", "holder", ONE, "CASE WHEN handled IS NULL THEN 0 ELSE 1 END", ONE, 1),
    "on_time_handling": ("handle_due", "holder", ONE, "CASE WHEN handled <= handle_due THEN 1 ELSE 0 END", ONE, 1),
    "overdue_open": ("handle_due", "holder", ONE, HANDLED_LATE, ONE, 1),
    "closing": ("close_due", "holder", ONE, "CASE WHEN closed IS NULL THEN 0 ELSE 1 END", ONE, 1),
    "on_time_closing": ("close_due", "holder", ONE, "CASE WHEN closed <= close_due THEN 1 ELSE 0 END", ONE, 1),
    "rework": ("close_due", "holder", ONE, "CASE WHEN rework > 0 THEN 1 ELSE 0 END", ONE, 1),
    "return_rate": ("dispatched", "first", ONE, "CASE WHEN returns > 0 THEN 1 ELSE 0 END", ONE, 1),
    "returns_per_case": ("dispatched", "first", ONE, "returns", ONE, 1),
    "first_dispatch": ("closed", "first", ONE, "CASE WHEN hops = 0 THEN 1 ELSE 0 END", ONE, 1),
    "first_dispatch_border": ("closed", "first", "CASE WHEN band THEN 1 ELSE 0 END", "CASE WHEN hops = 0 THEN 1 ELSE 0 END", ONE, 1),
    "first_dispatch_outside": ("closed", "first", "CASE WHEN band THEN 0 ELSE 1 END", "CASE WHEN hops = 0 THEN 1 ELSE 0 END", ONE, 1),
    "mean_hops": ("closed", "first", ONE, "hops", ONE, 1),
    "handling_hours": ("handled", "holder", ONE, "worked", ONE, HOUR),
    "dispute_hours": ("disputed", "holder", ONE, "argued", ONE, HOUR),
    "designations": ("designated", "holder", ONE, ONE, "", 1),
}


class Oracle:
    """The figures of a database as it stands at `now`, for people of supervision or for the others."""

    def __init__(self, db: Database, now: datetime, *, all_of_them: bool) -> None:
        self.db, self.now, self.all = db, now, all_of_them
        self.cases = f"SELECT * FROM ({cases_sql(db.kind, now)}) AS every" + ("" if all_of_them else " WHERE NOT apart")

    def rows(self, sql: str, **more: Any) -> list[Any]:
        with self.db.reading() as session:
            said: Any = instant_text(self.now) if self.db.kind == "embedded" else self.now
            return list(session.execute(sa.text(sql), {"now": said, **more}).all())

    def figure(self, name: str, since: date, until: date, key: str = "''") -> dict[str, tuple[float, int]]:
        """By key: the numerator and the denominator (0: there is none)."""
        by, squad, which, top, bottom, scale = FIGURES[name]
        day, now = day_of(self.db.kind, by), "CAST(:now AS TIMESTAMPTZ)" if self.db.kind == "postgresql" else ":now"
        group = {"squad": squad, "month": f"substr({day}, 1, 7)"}.get(key, key)
        limited = f"AND {by} <= {ms_of(self.db.kind, now)}"
        sql = (
            f"SELECT {group}, sum(({which}) * ({top})), sum(({which}) * ({bottom or 0})) FROM ({self.cases}) AS w "
            f"WHERE {by} IS NOT NULL AND {day} >= :since AND {day} < :until "
            f"{limited if by.endswith('due') else ''} GROUP BY 1"
        )
        return {str(k): (float(a) / scale, int(b)) for k, a, b in self.rows(sql, since=since.isoformat(), until=until.isoformat())}

    def gap(self, since: date, until: date) -> dict[str, float]:
        """By stretch, where both sides have handled something: hours."""
        day = day_of(self.db.kind, "handled")
        sql = (
            f"SELECT stretch, max(mean) - min(mean) FROM (SELECT stretch, holder, avg(worked * 1.0) / {HOUR} AS mean "
            f"FROM ({self.cases}) AS w WHERE handled IS NOT NULL AND {day} >= :since AND {day} < :until AND stretch <> '' "
            "AND ('|' || stretch || '|') LIKE ('%|' || holder || '|%') GROUP BY stretch, holder) AS sides "
            "GROUP BY stretch HAVING count(*) = 2"
        )
        return {str(stretch): float(gap) for stretch, gap in self.rows(sql, since=since.isoformat(), until=until.isoformat())}
