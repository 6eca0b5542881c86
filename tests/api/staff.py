"""The people of a service as its clients: operator, dispatcher, squad leaders ..., each with his own headers, in development mode."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.store import record
from tests.api.live import CLIENTS, place

CATEGORY = "GB30428:0504"
NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)


class Clock:
    """A clock that can be set, and goes on a second at each look."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


class Staff:
    """Somebody with a role, at a client."""

    def __init__(self, base: str, name: str, role: str, squad: str | None = None, lang: str = "zh-CN") -> None:
        headers = {"X-Jieguan-Person": name.encode(), "X-Jieguan-Role": role.encode(), "Accept-Language": lang.encode()}
        if squad is not None:
            headers["X-Jieguan-Squad"] = squad.encode()
        self.name, self.role, self.squad = name, role, squad
        self.http = httpx.Client(base_url=base, headers=headers, timeout=300, verify=False)
        CLIENTS.setdefault(base, []).append(self.http)

    def get(self, path: str, status: int = 200, **params: Any) -> Any:
        answer = self.http.get(path, params=params or None)
        assert answer.status_code == status, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        answer = self.http.post(path, json={} if body is None else body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    def take(self, x: float, y: float, status: int = 201, **more: Any) -> Any:
        """A complaint about a place in metres from the corner of the city."""
        return self.post("/api/v1/cases", complaint(place(x, y), **more), status)

    def case(self, number: str, status: int = 200) -> Any:
        return self.get(f"/api/v1/cases/{number}", status)

    def act(self, number: str, action: str, seen: int | None = None, status: int = 200, **more: Any) -> Any:
        """An order; on the version as it is now, unless another is said."""
        if seen is None:
            seen = self.case(number)["version"]
        return self.post(f"/api/v1/cases/{number}/actions", {"action": action, "seen": seen, **more}, status)

    def refused(self, number: str, action: str, why: str, **more: Any) -> Any:
        """The problem an order is refused with."""
        told = self.act(number, action, status=409, **more)
        assert told["type"] == "urn:jieguan:problem:NotAllowed", told
        assert told["facts"]["why"] == why, told
        return told["facts"]


class Office:
    """Everybody who is needed."""

    def __init__(self, base: str, lang: str = "zh-CN") -> None:
        self.base, self.lang = base, lang
        self.operator = Staff(base, "接线员", "operator", lang=lang)
        self.dispatcher = Staff(base, "派遣员", "dispatcher", lang=lang)
        self.checker = Staff(base, "核查员", "dispatcher", lang=lang)
        self.supervisor = Staff(base, "督查员", "supervisor", lang=lang)

    def leader(self, squad: str) -> Staff:
        return Staff(self.base, f"{squad} 队长", "squad_leader", squad, self.lang)

    def member(self, squad: str) -> Staff:
        return Staff(self.base, f"{squad} 队员", "squad_member", squad, self.lang)

    def dispatched(self, x: float = 500, y: float = 500, **more: Any) -> str:
        """A case that its squad has still to sign for, by its number."""
        number = str(self.operator.take(x, y, **more)["number"])
        self.operator.act(number, "accept")
        self.dispatcher.act(number, "register")
        self.dispatcher.act(number, "dispatch")
        return number


def complaint(where: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A complaint as it is sent."""
    return {
        "category": CATEGORY, "description": "店外经营,占用人行道", "channel": "phone", "where": where,
        "contact": {"name": "王女士", "phone": "13812345678"}, **more,
    }  # fmt: skip


def linger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes takes a while between his last look and the commit, so that others who do not wait for him come in between."""
    chain = record.Page.chain

    def slowly(page: record.Page) -> Any:
        time.sleep(0.3)
        return chain(page)

    monkeypatch.setattr(record.Page, "chain", slowly)
