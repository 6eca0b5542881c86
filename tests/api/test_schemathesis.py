"""Schemathesis asks every address whatever its own description allows, and what it forbids; with all checks, as each role in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from api.access import ENDPOINTS, OPEN, Principal
from api.problems import NO_REASON, REASONS
from api.settings import Serving
from api.store.opening import working
from api.usecases import people
from api.usecases.people import People
from routing.case import Role
from tests.api.live import fresh, live

pytestmark = pytest.mark.slow  # minutes, most of them spent in making and starting things

AS = (
    Role.SUPERVISOR, Role.DISPATCHER, Role.PLANNER, Role.ADMINISTRATOR, Role.OPERATOR, Role.LEADER, Role.MEMBER, Role.MACHINE, Role.PUBLIC,
)  # fmt: skip
"""Each address is asked as the first of these who may ask it."""
CHECKS: dict[str, Any] = {
    # A request may be all that its description says and still name a squad, a place or a version there is none of: refused in a
    # sentence of its own. That no such request is refused by its form is `formal` below.
    "positive_data_acceptance": {
        "expected-statuses": ["2xx", "3xx", "400", "401", "403", "404", "409", "410", "412", "413", "415", "422", "428", "429", "5xx"]
    },
}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[Role, str]]]:
    """A service that believes nobody, and a token of each role."""
    url = fresh(tmp_path_factory.mktemp("asked"))
    with working(Serving(url)) as has:
        of = People(has.book, has.vault.mac, lambda: datetime.now(UTC))
        by = Principal("x", "x", Role.ADMINISTRATOR, None, "test")
        made = {
            role: people.new_token(of, by, role.value, role, "su00" if role in (Role.LEADER, Role.MEMBER) else None, None)[0]
            for role in AS if role is not Role.PUBLIC
        }  # fmt: skip
    with live(url, development=False) as base:
        yield base, made


def asked_as(method: str, path: str) -> Role:
    access = ENDPOINTS[method, path]
    return Role.PUBLIC if access is OPEN else next(role for role in AS if role in access.roles)


BY_FORM = frozenset({"HiddenCharacters", "HiddenInAddress", "UnknownParameter", "ParameterTwice", "NotJson", "NotFinite", "KeyTwice"})
FORMS = frozenset(said for pair in (*REASONS.values(), NO_REASON) for said in pair)


@schemathesis.check
def formal(ctx: Any, response: Any, case: Any) -> None:
    """What the description allows is not refused by its form: lengths, limits, patterns, types. Rules have sentences of their own."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code not in (400, 422):
        return
    if case.path.startswith("/open311"):  # errors without a type: one that its form would have is a sentence of FORMS
        assert not [said for said in FORMS if said in response.text], response.text
        return
    told = response.json()
    kind = told["type"].rpartition(":")[2]
    # The columns of a feature are described layer by layer, at /schema.
    reasons = {error["reason"] for error in told.get("errors", ()) if not error["field"].startswith("body.properties")}
    assert kind not in BY_FORM | {"about:blank"}, f"{kind}: {told['detail']}"
    assert not reasons & FORMS, f"{kind}: {told['detail']}"


def run(tokens: tuple[str, dict[Role, str]], examples: int, *phases: str) -> tuple[Counter[str], list[str]]:
    """How many requests were sent to which address, and what was wrong with the answers."""
    base, made = tokens
    told = httpx.get(f"{base}/api/openapi.json", headers={"Authorization": f"Bearer {made[Role.ADMINISTRATOR]}"}).json()
    operations = []
    for path, methods in told["paths"].items():
        for method in methods:
            role = asked_as(method.upper(), path)
            one: dict[str, Any] = {"include-name": f"{method.upper()} {path}", "headers": {}}
            if role in made:
                one["headers"] = {"Authorization": f"Bearer {made[role]}"}
            operations.append(one)
    config = SchemathesisConfig.from_dict({
        "base-url": base, "continue-on-failure": True, "request-timeout": 60, "workers": 1, "checks": CHECKS, "seed": 1,
        "generation": {"max-examples": examples, "deterministic": True, "no-shrink": True, "database": "none"},
        "phases": {name: {"enabled": name in phases} for name in ("examples", "coverage", "fuzzing", "stateful")},
        "operations": operations,
    })  # fmt: skip
    sent, wrong = Counter[str](), []
    for event in from_schema(schemathesis.openapi.from_dict(told, config=config)).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            wrong.append(f"{getattr(event, 'label', '')}: {getattr(event, 'value', None) or getattr(event, 'exception', None)!r}")
        if not isinstance(event, events.ScenarioFinished):
            continue
        sent[str(event.label)] += len(event.recorder.interactions)
        for checks in event.recorder.checks.values():
            for check in checks:
                if check.status is Status.FAILURE:
                    info = check.failure_info
                    wrong.append(f"{event.label} [{check.name}] {info.failure.title}: {info.failure.message}\n    {info.code_sample}")
    assert set(sent) >= {one["include-name"] for one in operations}
    print(f"\n{len(operations)} addresses, {sent.total()} requests")
    return sent, wrong


def test_schemathesis_finds_nothing(tokens: tuple[str, dict[Role, str]]) -> None:
    _, wrong = run(tokens, 2, "examples", "fuzzing")
    assert not wrong, "\n".join(wrong)


@pytest.mark.full
def test_schemathesis_finds_nothing_with_all_it_has(tokens: tuple[str, dict[Role, str]]) -> None:
    _, wrong = run(tokens, 30, "examples", "coverage", "fuzzing", "stateful")
    assert not wrong, "\n".join(wrong)
