"""Any life of a map store: edits, undo, rebase, signatures, publications now and later, roll-backs; by two planners, on both databases.

What must hold whatever happens: one version in force at every instant since the first, no published row ever changed, every
state of the past still to be read as it was.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.exc import IntegrityError

from geodata import store
from geodata.db import tables as t
from geodata.db.engine import open_database
from geodata.drafts import OPEN, Desk, Working
from geodata.layer import content_hash
from geodata.store import InForce, Signing, as_of, in_force, publish, published, read_rows, roll_back, version_of
from routing.errors import JieguanError
from tests.db.worlds import SETTINGS, city
from tests.geodata.test_edits import random_edit

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
BASE = version_of(city(2), SETTINGS)
PLANNERS = ("张", "李")
CHANGES = ["UPDATE feature SET name = 'x'", "DELETE FROM member", "UPDATE publication SET reason = 'x'", "DELETE FROM draft_edit"]


class Lives(RuleBasedStateMachine):
    """The store against what its user was told: publications as acknowledged, drafts by the hash each planner last saw."""

    url = ""

    @initialize()
    def opened(self) -> None:
        self.now = START
        self.db = open_database(self.url)
        self.desks = {who: Desk(self.db) for who in PLANNERS}
        done = publish(self.db, BASE, Signing("王", "首次发布"), now=self.now)
        self.told: list[tuple[datetime, InForce]] = [(self.now, done)]
        self.drafts: set[str] = set()

    def teardown(self) -> None:
        if hasattr(self, "db"):
            self.db.close()

    def later(self) -> datetime:
        self.now += timedelta(hours=1)
        return self.now

    def state(self, working: Working) -> str:
        return content_hash(working.now.features(), working.settings)

    def chosen(self, pick: int) -> str:
        return sorted(self.drafts)[pick % len(self.drafts)]

    @rule(who=st.sampled_from(PLANNERS))
    def begin(self, who: str) -> None:
        working = self.desks[who].begin("草案", who, self.later())
        self.drafts.add(working.id)

    @precondition(lambda self: self.drafts)
    @rule(who=st.sampled_from(PLANNERS), pick=st.integers(0, 9), seed=st.integers(0, 2**31), late=st.integers(0, 2))
    def edit(self, who: str, pick: int, seed: int, late: int) -> None:
        draft = self.chosen(pick)
        working = self.desks[who].open(draft)
        change = random_edit(working.now, np.random.default_rng(seed), seed % 97)
        seen = max(0, working.revision - late)
        self.attempt(draft, working, lambda: self.desks[who].add(draft, change, who, self.later(), seen=seen))

    @precondition(lambda self: self.drafts)
    @rule(who=st.sampled_from(PLANNERS), pick=st.integers(0, 9), back=st.booleans())
    def undo_or_redo(self, who: str, pick: int, back: bool) -> None:
        draft, desk = self.chosen(pick), self.desks[who]
        action = desk.undo if back else desk.redo
        self.attempt(draft, desk.open(draft), lambda: action(draft, who, self.later()))

    @precondition(lambda self: self.drafts)
    @rule(pick=st.integers(0, 9))
    def undo_all(self, pick: int) -> None:
        draft, desk = self.chosen(pick), self.desks["张"]
        working = desk.open(draft)
        if working.state != OPEN:
            return
        while working.active:
            working = desk.undo(draft, "张", self.later())
        assert self.state(working) == working.base_version

    @precondition(lambda self: self.drafts)
    @rule(who=st.sampled_from(PLANNERS), pick=st.integers(0, 9))
    def rebase(self, who: str, pick: int) -> None:
        draft = self.chosen(pick)
        self.attempt(draft, self.desks[who].open(draft), lambda: self.desks[who].rebase(draft, who, self.later())[0])

    @precondition(lambda self: self.drafts)
    @rule(pick=st.integers(0, 9), ahead=st.sampled_from([None, 0, 5, 40]))
    def publish(self, pick: int, ahead: int | None) -> None:
        draft, desk = self.chosen(pick), self.desks["李"]
        now = self.later()
        begin = None if ahead is None else now + timedelta(hours=ahead)
        try:
            desk.sign(draft, "all", "局长", now, role="superior", document="1号文")
            for issue in desk.open(draft).issues:
                desk.enter_defect(issue, "su00", "王", now)
            done, version = desk.publish(draft, "李", "改界", lambda: now, valid_from=begin)
        except JieguanError:
            return
        assert done.version == version.hash == self.state(desk.open(draft))
        self.told.append((now, done))

    @rule(pick=st.integers(0, 9), ahead=st.sampled_from([None, 3, 40]))
    def roll_back(self, pick: int, ahead: int | None) -> None:
        version = self.told[pick % len(self.told)][1].version
        now = self.later()
        begin = None if ahead is None else now + timedelta(hours=ahead)
        try:
            done = roll_back(self.db, version, Signing("局长", "恢复"), now=now, valid_from=begin)
        except JieguanError:
            return
        self.told.append((now, done))

    @rule(statement=st.sampled_from(CHANGES))
    def tamper(self, statement: str) -> None:
        try:
            with self.db.writing() as session:
                touched = session.execute(sa.text(statement)).rowcount
                assert touched == 0, "the database let a published row change"
        except IntegrityError:
            pass

    @rule()
    def restart(self) -> None:
        before = {draft: self.state(self.desks["张"].open(draft)) for draft in self.drafts}
        self.db.close()
        self.db = open_database(self.url)
        self.desks = {who: Desk(self.db) for who in PLANNERS}
        assert before == {draft: self.state(self.desks["李"].open(draft)) for draft in self.drafts}

    def attempt(self, draft: str, before: Working, action: Any) -> None:
        """Refused is fine; then nothing has changed."""
        try:
            after = action()
        except JieguanError:
            now = Desk(self.db).open(draft)
            assert now.revision == before.revision or now.state != OPEN
            assert self.state(now) == self.state(before)
        else:
            assert after.revision == before.revision + 1
            assert self.state(Desk(self.db).open(draft)) == self.state(after)

    @invariant()
    def one_version_at_every_instant(self) -> None:
        if not hasattr(self, "told"):
            return
        with self.db.reading() as session:
            held = [p for p in published(session) if not p.withdrawn]
            assert held[0].valid_from == START
            assert all(a.valid_to == b.valid_from for a, b in pairwise(held))
            assert held[-1].valid_to is None
            for moment in (START, self.now, self.now + timedelta(hours=7), self.now + timedelta(days=9)):
                (holds,) = [p.id for p in held if p.valid_from <= moment and (p.valid_to is None or moment < p.valid_to)]
                assert in_force(session, moment).id == holds

    @invariant()
    def history_is_complete(self) -> None:
        if not hasattr(self, "told"):
            return
        with self.db.reading() as session:
            assert [p.id for p in published(session)] == [p.id for _, p in self.told]
            for known, said in self.told:
                assert as_of(session, said.valid_from, known).id == said.id
            assert session.scalar(sa.select(sa.func.count()).select_from(t.MapVersion)) == len({p.version for _, p in self.told})
            last = self.told[-1][1].version
            assert store.content_hash(read_rows(session, last), SETTINGS) == last


@pytest.fixture
def machine(new_url: Any) -> type[Lives]:
    def fresh() -> str:
        return str(new_url(initialised=True))

    class Here(Lives):
        @property
        def url(self) -> str:  # type: ignore[override]
            if not hasattr(self, "_url"):
                self._url = fresh()
            return self._url

    return Here


def test_one_version_in_force_whatever_is_done(machine: type[Lives]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=6, stateful_step_count=14, deadline=None))


@pytest.mark.full
def test_one_version_in_force_whatever_is_done_for_long(machine: type[Lives]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=15, stateful_step_count=30, deadline=None))
