"""Instants, JSON and text that read the same on both databases."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from geodata.db import Database
from geodata.db.both import NaiveInstant, NotJson, Unstorable, canonical, instant_text, plain
from geodata.db.tables import Defect, Draft, DraftEdit
from tests.db.contents import NOON

ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=ZONES)  # noqa: DTZ001  (given a zone by `timezones`)


@given(INSTANTS, INSTANTS)
def test_texts_of_instants_sort_as_the_instants(a: datetime, b: datetime) -> None:
    assert len(instant_text(a)) == 27
    assert (instant_text(a) < instant_text(b)) == (a < b)
    assert datetime.fromisoformat(instant_text(a)) == a


EDGES = (
    NOON,
    datetime(1, 1, 2, tzinfo=UTC),
    datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=8))),
    datetime(1900, 1, 1, 0, 0, 0, 1, tzinfo=timezone(timedelta(hours=-7))),
)


@pytest.mark.parametrize("instant", EDGES, ids=str)
def test_an_instant_comes_back_in_utc(database: Database, instant: datetime) -> None:
    with database.writing() as session:
        session.add(Defect(key="k", kind="gap", default_squad="1", opened_at=instant, due=None))
    with database.reading() as session:
        found = session.scalars(sa.select(Defect)).one()
        assert found.opened_at == instant
        assert found.opened_at.tzinfo is UTC
        assert found.due is None
        count = sa.select(sa.func.count()).select_from(Defect)
        assert session.scalar(count.where(Defect.opened_at == instant)) == 1
        assert session.scalar(count.where(Defect.opened_at < instant + timedelta(microseconds=1))) == 1
        assert session.scalar(count.where(Defect.opened_at < instant)) == 0


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(sa.exc.StatementError) as caught, database.writing() as session:
        session.add(Defect(key="k", kind="gap", default_squad="1", opened_at=NOON.replace(tzinfo=None)))
    assert isinstance(caught.value.orig, NaiveInstant)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda part: (
        st.lists(part)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), part)
    ),
)


@given(JSON)
def test_canonical_text_says_the_same_value(value: Any) -> None:
    assert json.loads(canonical(value)) == value
    assert canonical(json.loads(canonical(value))) == canonical(value)


def test_canonical_text_is_independent_of_the_order_of_keys() -> None:
    assert canonical({"b": [1, {"乙": 1, "甲": None}], "a": "é\n"}) == '{"a":"é\\n","b":[1,{"乙":1,"甲":null}]}'
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"a": {"b": float("nan")}}, "JSON.a.b: nan"),
        ([1, [float("-inf")]], r"JSON\[1\]\[0\]"),
        ({1: 2}, "not text"),
        ({"a": NOON}, "a datetime"),
        ({"a\0": 1}, "NUL"),
        (["\ud800"], "D800"),
        ({"a": b"x"}, "a bytes"),
    ],
    ids=str,
)
def test_what_is_no_json_is_refused(value: Any, why: str) -> None:
    with pytest.raises(NotJson, match=why):
        canonical(value)
    with pytest.raises(NotJson, match="a float"):
        canonical({"a": 15.0}, floats=False)


def test_text_that_databases_keep_differently_is_refused(database: Database) -> None:
    for text in ("a\0b", "half \ud83d"):
        with pytest.raises(Unstorable):
            plain(text)
        with pytest.raises(sa.exc.StatementError) as caught, database.writing() as session:
            session.add(Draft(id="d", name=text, author="a", state="open", created_at=NOON))
        assert isinstance(caught.value.orig, Unstorable)
    kept = "路'\"\\%:x\u202e\U0001f600\t\r\n" + "长" * 10_000
    with database.writing() as session:
        session.add(Draft(id="d", name=kept, author="a", state="open", created_at=NOON))
    with database.reading() as session:
        assert session.scalars(sa.select(Draft.name)).one() == kept


def test_json_is_kept_as_canonical_text(database: Database) -> None:
    value = {"乙": [1, 2.5, None, True], "a": {"y": "x", "b": 10**20}}
    with database.writing() as session:
        session.add(Draft(id="d", name="n", author="a", state="open", created_at=NOON))
        session.flush()
        session.add(DraftEdit(draft_id="d", seq=0, author="a", at=NOON, kind="k", args=value))
    with database.reading() as session:
        assert session.scalars(sa.select(DraftEdit.args)).one() == value
        assert session.scalar(sa.text("SELECT args FROM draft_edit")) == canonical(value)
