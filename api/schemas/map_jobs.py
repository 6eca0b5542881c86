"""What is sent to ask the past: histories, what-if, border practice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from api.schemas.files import Blank
from api.schemas.map_drafts import Revision
from api.schemas.strict import CONTROLS, SAID, Instant, Line, Number, Strict

NAMES = rf"^\w[^/\\{CONTROLS}]*$"
HistoryName = Annotated[Line, Field(pattern=NAMES, max_length=100, examples=["2016-2025"], json_schema_extra={"pattern": NAMES})]
Column = Annotated[Line | None, Blank]


class NewWhatIf(Strict):
    """`history`, or `cases`: `db` for the cases of the service itself. `revision`: the draft must be at it. `zone_m`: the width of the
    border zone; each map's own, unless stated."""

    history: HistoryName | None = None
    cases: Literal["db"] | None = None
    revision: Revision | None = None
    zone_m: Annotated[Number, Field(ge=0, le=1000)] | None = None
    margin_cap_m: Annotated[Number, Field(ge=0.001, le=10_000)] | None = None


class NewPractice(Strict):
    """`since`: the day from which the lines hold, where the map does not say."""

    history: HistoryName
    since: Instant | None = None


class NewAgreement(Strict):
    """`document`: by which the proposal becomes an agreement."""

    document: Annotated[Line, Field(min_length=1, pattern=r"\S", json_schema_extra={"pattern": SAID}, examples=["惠城管〔2026〕3号"])]
    seen: Revision | None = None


WHAT_IF_EXAMPLES: Mapping[str, Any] = {
    "plain": {"summary": "拿历史案件试这份草案 / try the draft on past cases", "value": {"history": "2016-2025", "revision": 4}},
    "stored": {"summary": "拿本系统已受理的案件试 / try it on the cases of the service itself", "value": {"cases": "db"}},
    "zone": {"summary": "另一种交界带宽度 / with another border zone", "value": {"history": "2016-2025", "zone_m": 30.0}},
}
PRACTICE_EXAMPLES: Mapping[str, Any] = {
    "all": {"summary": "全部记录 / all records", "value": {"history": "2016-2025"}},
    "since": {"summary": "某日起 / from a day on", "value": {"history": "2016-2025", "since": "2020-01-01T00:00:00+08:00"}},
}
AGREEMENT_EXAMPLES: Mapping[str, Any] = {
    "document": {"summary": "凭文件采纳 / accepted by a document", "value": {"document": "惠城管〔2026〕3号", "seen": 4}},
}

JOB_EXAMPLES: Mapping[str, Any] = {
    "running": {
        "summary": "进行中 / running",
        "value": {
            "id": "5f0c1d7e9a3b4c2d8e6f7a8b9c0d1e2f", "kind": "what_if", "state": "running", "cancelling": False, "stage": "route",
            "stage_name": "派单", "progress": 0.75, "by": "张三", "about": {"draft": "d1", "revision": 4, "history": "2016-2025"},
            "created_at": "2026-05-01T08:00:00+00:00", "started_at": "2026-05-01T08:00:01+00:00", "finished_at": None,
            "result": None, "problem": None,
        },
    },
    "failed": {
        "summary": "失败:结果是一份问题说明 / failed: what it has is a problem",
        "value": {
            "id": "7a8b9c0d1e2f5f0c1d7e9a3b4c2d8e6f", "kind": "history", "state": "failed", "cancelling": False, "stage": "read",
            "stage_name": "读取", "progress": 0.0, "by": "张三", "about": {"history": "2016-2025"},
            "created_at": "2026-05-01T08:00:00+00:00", "started_at": "2026-05-01T08:00:01+00:00",
            "finished_at": "2026-05-01T08:00:02+00:00", "result": None,
            "problem": {"type": "urn:jieguan:problem:NoSuchField", "title": "输入有误", "status": 422, "detail": "…", "facts": {}},
        },
    },
}  # fmt: skip
