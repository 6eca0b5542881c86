"""Frozen values: half-open periods, instants with a zone, and nothing that can be changed afterwards."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta

import pytest

from routing.model import ALWAYS, EmptyPeriod, Location, NaiveInstant, Period, Squad, SquadCode
from tests.city import BEIJING, day

TICK = timedelta(microseconds=1)


def test_a_period_holds_its_first_instant_and_not_its_last() -> None:
    may = Period(day("2024-05-01"), day("2024-06-01"))
    assert day("2024-05-01") in may
    assert day("2024-05-01") - TICK not in may
    assert day("2024-06-01") - TICK in may
    assert day("2024-06-01") not in may


def test_the_same_instant_in_another_zone_is_the_same_instant() -> None:
    may = Period(day("2024-05-01"), day("2024-06-01"))
    assert datetime(2024, 4, 30, 16, tzinfo=UTC) in may
    assert datetime(2024, 5, 31, 16, tzinfo=UTC) not in may


def test_open_ends_hold_for_ever() -> None:
    for moment in (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=BEIJING)):
        assert moment in ALWAYS
    assert day("1900-01-01") in Period(until=day("2024-01-01"))
    assert day("2999-01-01") in Period(since=day("2024-01-01"))


def test_a_period_that_ends_before_it_starts_is_refused_with_both_ends_named() -> None:
    for until in ("2024-05-01", "2024-04-01"):
        with pytest.raises(EmptyPeriod, match=r"since=2024-05-01T00:00:00\+08:00"):
            Period(day("2024-05-01"), day(until))


@pytest.mark.parametrize("field", ["since", "until"])
def test_an_instant_without_a_zone_is_refused(field: str) -> None:
    with pytest.raises(NaiveInstant) as caught:
        Period(**{field: datetime(2024, 5, 1)})  # noqa: DTZ001
    assert "2024-05-01T00:00:00" in caught.value.text("zh-CN")


def test_values_cannot_be_changed() -> None:
    for value, name in ((Location(1.0, 2.0), "x"), (Squad(SquadCode("a")), "code"), (ALWAYS, "since")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)
    assert len({Location(1.0, 2.0), Location(1.0, 2.0, 0.0)}) == 1
