"""The ledger of defects: ranked by the cases on each, told when mended, closed with a reason and not before. On both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import shapely
from shapely.geometry import box

from geodata import ledger
from geodata.db.engine import Database
from geodata.db.tables import Defect
from geodata.drafts import NoReason
from geodata.layer import in_metres
from geodata.ledger import Closing, DefectClosed, DefectStands, Kept, Standings, UnknownDefect, loads, standing_of
from geodata.topology import check
from geodata.topology_facts import layer_facts
from routing.again import History
from tests.geodata.test_repairs import territory

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)
SHAPES = {
    "w": box(0, 0, 105, 100) - box(20, 20, 22, 70),
    "e": box(100, 0, 200, 100) - box(150, 50, 160, 60),
    "far": box(500, 0, 540, 40) | box(550, 0, 590, 40),
}
ROWS = [territory(code, shape) for code, shape in SHAPES.items()]
STOOD = standing_of(ROWS)


def kept(key: str, **more: Any) -> Kept:
    return Kept(key, key.partition("-")[0], "w", "王", None, "", NOW, None, **more)


def history(x: Any, y: Any) -> History:
    return History(np.asarray(x, float), np.asarray(y, float), np.zeros(1))


def of(code: str, *features: str) -> str:
    """The finding of these features, the widest."""
    found = [(f.issue.width_m or 0.0, id_) for id_, f in STOOD.items() if f.issue.code == code and f.issue.features == features]
    return max(found)[1]


# ---- what stands -------------------------------------------------------------------------------------------------------


def test_findings_come_with_their_ground() -> None:
    facts = layer_facts(list(SHAPES), list(SHAPES.values()))
    assert {i.id for i in check(facts, but=("unmatched_edge",))} == set(STOOD)  # arcs have all their vertices in common
    ground = {id_: None if f.ground is None else shapely.normalize(in_metres(f.ground)) for id_, f in STOOD.items()}
    assert shapely.equals(ground[of("overlap", "e", "w")], box(100, 0, 105, 100))
    assert shapely.equals(ground[of("gap", "w")], box(20, 20, 22, 70))
    assert ground[of("multi_part", "far")] is None


def test_they_are_looked_for_once_per_version() -> None:
    asked: list[str] = []
    standings = Standings(keep=1)
    for name in ("a", "a", "b", "a"):
        assert standings.of(name, lambda name=name: (asked.append(name), ROWS)[1]).keys() == STOOD.keys()  # type: ignore[misc]
    assert asked == ["a", "b", "a"]


# ---- load --------------------------------------------------------------------------------------------------------------


def test_the_most_loaded_come_first_then_the_largest_and_the_mended_last() -> None:
    slit, hole, both, parts = of("gap", "w"), of("gap", "e"), of("overlap", "e", "w"), of("multi_part", "far")
    entered = [kept("gap-mended"), kept(parts), kept(slit), kept(hole), kept(both), replace(kept("gap-closed"), closed_at=NOW)]
    by_area = ledger.ledger(STOOD, entered)
    assert [(e.kept.key, e.area_m2) for e in by_area[:3]] == [(parts, 1600.0), (both, 500.0), min((slit, 100.0), (hole, 100.0))]
    assert {e.load for e in by_area} == {None}
    assert by_area[-1].kept.key == "gap-mended"
    cases = history([21, 21, 155, 155, 155, 102, 300, np.nan], [30, 40, 55, 56, 57, 50, 50, 1])
    told = ledger.ledger(STOOD, entered, cases)
    assert [(e.kept.key, e.load) for e in told] == [(hole, 3), (slit, 2), (both, 1), (parts, None), ("gap-mended", None)]
    assert [e.found is None for e in told] == [False, False, False, False, True]
    none = ledger.ledger(STOOD, entered, history([], []))
    assert [(e.kept.key, e.load) for e in none] == [
        (both, 0), *((k, 0) for k in sorted((slit, hole))), (parts, None), ("gap-mended", None),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_cases_are_counted_as_geos_counts_them_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-20, 420, (2, 2000)) / 2.0  # half of them on whole metres, where the edges are
    x[rng.random(2000) < 0.05] = np.nan
    grounds = [f.ground for f in STOOD.values() if f.ground is not None]
    places = [shapely.Point(a, b) for a, b in zip(x, y, strict=True) if np.isfinite(a)]
    expected = [sum(bool(shapely.covers(in_metres(g), p)) for p in places) for g in grounds]
    assert loads(grounds, history(x, y)) == expected
    assert max(expected) > 5


# ---- closing -----------------------------------------------------------------------------------------------------------


def entered(database: Database, *keys: str) -> None:
    with database.writing() as session:
        session.add_all([Defect(key=k, kind="gap", default_squad="w", owner="王", opened_at=NOW) for k in keys])


def closed(database: Database, key: str, at: datetime = NOW, by: str = "李", reason: str = "已划归一中队", document: str = "") -> Kept:
    with database.writing() as session:
        return ledger.close(session, key, STOOD, "v" * 64, Closing(at, by, reason, document))


def test_one_that_is_gone_is_closed_with_who_and_why(database: Database) -> None:
    there = of("gap", "w")
    entered(database, "gap-mended", there)
    done = closed(database, "gap-mended", document="7号文")
    assert (done.closed_at, done.closings) == (NOW, (Closing(NOW, "李", "已划归一中队", "7号文"),))
    with database.reading() as session:
        assert {k.key: k.closed_at for k in ledger.read(session)} == {"gap-mended": NOW, there: None}
    with pytest.raises(DefectClosed):
        closed(database, "gap-mended")
    with pytest.raises(DefectStands, match="vvvvvvvvvvvv"):
        closed(database, there)
    with pytest.raises(UnknownDefect, match="gap-x"):
        closed(database, "gap-x")
    for by, reason in ((" ", "x"), ("x", " ")):
        with pytest.raises(NoReason) as lacking:
            closed(database, "gap-mended", by=by, reason=reason)
        assert "缺陷结案" in lacking.value.text("zh-CN")


def test_entered_again_it_can_be_closed_again_and_nothing_is_forgotten(database: Database) -> None:
    entered(database, "gap-back")
    closed(database, "gap-back")
    with database.writing() as session:
        session.merge(Defect(key="gap-back", kind="gap", default_squad="w", owner="王", opened_at=NOW + DAY, closed_at=None))
    again = closed(database, "gap-back", NOW + 2 * DAY, "王", "又改正")
    assert [(c.by, c.reason) for c in again.closings] == [("李", "已划归一中队"), ("王", "又改正")]
