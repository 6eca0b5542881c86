"""Stretches of border in a draft: set along arcs or between nodes, carried along by the lines they lie on, told when they lie on none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapely

from geodata.border_rows import BadBorderFact, MixedSides, NothingChosen, NoWay, arcs_between, stray
from geodata.coverages import UnknownArc
from geodata.edits import (
    Draft,
    Edit,
    Indexes,
    MoveBorder,
    PutRow,
    SetBorder,
    Split,
    drafted,
    edit_of,
    rebased,
    row_said,
)
from geodata.layer import LayerName, LineRule, Row, content_hash, in_metres, on_grid
from geodata.store import version_of
from geodata.stretches import SidesApart, StretchOffBorder
from routing.model import Location
from routing.route import Router
from tests.db.worlds import SETTINGS, X, Y, city, placed

BASE = drafted(city(2))
BOTH = ("u00", "u01")
FACTS = {"line_rule": "KERB_NEAR", "status": "AGREED", "zone_m": "120.0", "document": "3号文"}


def arc_of(of: Draft, *codes: str) -> str:
    """The arc between two units."""
    (found,) = [a.id for a in of.coverages["township"].arcs.values() if a.holders == set(codes) and a.left and a.right]
    return found


def made(edit: Edit, of: Draft = BASE) -> Draft:
    return edit.apply(of, Indexes(of))


def setting(code: str = "b1", **how: Any) -> SetBorder:
    return SetBorder(layer="township", code=code, **how)


def row(of: Draft, code: str = "b1") -> Row:
    found = of.row("border", code)
    assert found is not None
    return found


def strays(of: Draft) -> list[str]:
    at = Indexes(of)
    return [i.id for i in stray(of.rows.values(), of.coverages, {name: at.of(of, name) for name in of.coverages})]


def named(of: Draft) -> str:
    return content_hash(of.features(), SETTINGS)


def beside(of: Draft, away: float) -> tuple[str, ...]:
    """Who is told of a place so far west of the middle of the border of u00 and u01."""
    on = version_of(of.features(), SETTINGS).map
    line = shapely.transform(shapely.LineString(of.coverages["township"].arcs[arc_of(of, *BOTH)].path), lambda xy: xy / 1000)
    x = float(shapely.get_coordinates(shapely.intersection(line, placed(shapely.LineString([(0, 500), (2_000, 500)]))))[0, 0])
    return Router(on)(Location(x - away, Y + 500.0)).assist


def test_a_stretch_is_set_along_an_arc_and_moves_no_line() -> None:
    after = made(setting(says=FACTS, arcs=(arc_of(BASE, *BOTH),)))
    there = row(after)
    assert there.facts == {"sides": ["u00", "u01"], "line_rule": "KERB_NEAR", "status": "AGREED", "zone_m": "120.0"}
    assert (there.document, there.accuracy_m) == ("3号文", None)
    assert shapely.equals(there.ground, on_grid(shapely.transform(_line(BASE), lambda xy: xy / 1000)))
    assert after.coverages is BASE.coverages
    assert not after.changed
    assert beside(BASE, 60.0) == ()
    assert beside(after, 60.0) == ("su01",)
    assert beside(after, 125.0) == ()


def _line(of: Draft) -> Any:
    return shapely.LineString(of.coverages["township"].arcs[arc_of(of, *BOTH)].path)


@pytest.mark.parametrize("rule", list(LineRule))
def test_no_line_rule_moves_anything_by_itself(rule: LineRule) -> None:
    after = made(setting(says={"line_rule": rule.value}, between=BOTH))
    before, now = (version_of(of.features(), SETTINGS).map for of in (BASE, after))
    assert before.version == now.version, "a rule without widths is not even seen by the compiler"
    assert row(after).facts["line_rule"] == rule.value


def test_what_is_not_said_stays_and_none_clears() -> None:
    first = made(setting(says=FACTS, between=BOTH))
    after = made(setting(says={"zone_m": None, "accuracy_m": "2.5", "name": "江山路"}), first)
    assert row(after).facts == {**row(first).facts, "zone_m": None}
    assert (row(after).name, row(after).document, row(after).accuracy_m) == ("江山路", "3号文", 2.5)
    assert row(after).ground is None, "the whole border of the two"


def test_the_whole_border_of_two_follows_them() -> None:
    after = made(setting(says=FACTS, between=BOTH))
    assert beside(after, 60.0) == ("su01",)
    assert not strays(after)
    with pytest.raises(SidesApart):
        made(setting(says=FACTS, between=("u00", "u11")))


def test_between_two_nodes_lie_all_arcs_of_the_two_on_the_way() -> None:
    """A third unit cut out of u01 in the middle of the border parts it in two stretches of u00 and u01."""
    whole = BASE.coverages["township"].arcs[arc_of(BASE, *BOTH)].path
    start, end = (tuple(int(v) for v in p) for p in (whole[0], whole[-1]))
    assert [a.id for a in arcs_between(BASE.coverages["township"], frozenset(BOTH), start, end)] == [arc_of(BASE, *BOTH)]
    after = made(setting(says=FACTS, between=BOTH, ends=(end, start)))
    assert row(after).wkb == row(made(setting(says=FACTS, arcs=(arc_of(BASE, *BOTH),)))).wkb
    with pytest.raises(NoWay):
        made(setting(says=FACTS, between=BOTH, ends=(start, (start[0] + 1, start[1]))))
    with pytest.raises(NoWay):
        made(setting(says=FACTS, between=BOTH, ends=(start, start)))


def test_two_arcs_in_a_row_are_one_line() -> None:
    """u01 in two parts, north and south: between u00 and either runs one arc; between u00 and u01 again both, after they merge."""
    line = tuple((int(x * 1000), int(y * 1000)) for x, y in ((X + 900, Y + 480), (X + 2_100, Y + 520)))
    split = made(Split(layer="township", code="u01", line=line, new="new"))
    arcs = [a.id for a in split.coverages["township"].arcs.values() if a.holders in ({"u00", "u01"}, {"u00", "new"})]
    assert len(arcs) == 2
    with pytest.raises(MixedSides):
        made(setting(says=FACTS, arcs=tuple(arcs)), split)


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"arcs": ("arc-none",)}, UnknownArc),
        ({}, NothingChosen),
        ({"between": BOTH, "says": {"zone_m": "-1"}}, BadBorderFact),
        ({"between": BOTH, "says": {"zone_m": "nan"}}, BadBorderFact),
        ({"between": BOTH, "says": {"accuracy_m": "1000.5"}}, BadBorderFact),
        ({"between": BOTH, "says": {"line_rule": "FENCE"}}, BadBorderFact),
        ({"between": BOTH, "says": {"status": "SURE"}}, BadBorderFact),
        ({"between": BOTH, "says": {"sides": "a|b"}}, BadBorderFact),
    ],
    ids=["no such arc", "nowhere", "below 0", "no number", "too wide", "no such rule", "no such status", "no such fact"],
)
def test_what_makes_no_sense_is_refused(how: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        made(setting(**{"says": FACTS, **how}))
    assert caught.value.text("zh-CN") != caught.value.text("en")  # type: ignore[attr-defined]


def test_an_edit_written_down_is_the_same_edit() -> None:
    for one in (
        setting(says=FACTS, arcs=(arc_of(BASE, *BOTH),)),
        setting(says={"zone_m": None}, between=BOTH, ends=((1, 2), (3, 4))),
    ):
        assert edit_of(one.said()) == one


def moved(of: Draft) -> MoveBorder:
    """The border of u00 and u01, its inner vertices 40 m further east."""
    path = of.coverages["township"].arcs[arc_of(of, *BOTH)].path.copy()
    path[1:-1, 0] += 40_000
    return MoveBorder(layer="township", arc=arc_of(of, *BOTH), path=tuple((int(x), int(y)) for x, y in path))


def test_a_stretch_follows_the_arc_it_lies_on() -> None:
    first = made(setting(says=FACTS, arcs=(arc_of(BASE, *BOTH),)))
    after = made(moved(first), first)
    assert shapely.equals(row(after).ground, on_grid(shapely.transform(_line(after), lambda xy: xy / 1000)))
    assert row(after).wkb != row(first).wkb
    assert row(after).facts == row(first).facts
    assert not strays(after)
    assert beside(after, 60.0) == ("su01",)
    again, held, refused = rebased(BASE, [setting(says=FACTS, arcs=(arc_of(BASE, *BOTH),)), moved(BASE)])
    assert (len(held), refused) == (2, ())
    assert named(again) == named(after)


def test_half_a_stretch_that_a_move_leaves_behind_is_told_and_no_map_is_made_of_it() -> None:
    line = in_metres(row(made(setting(says=FACTS, arcs=(arc_of(BASE, *BOTH),)))).ground)
    half = shapely.ops.substring(shapely.line_merge(line), 0, shapely.length(line) / 2)
    put = Row(LayerName.BORDER, "b1", {"sides": ["u00", "u01"], "zone_m": "120.0"}, on_grid(half))
    first = made(PutRow(row=row_said(put)))
    assert not strays(first)
    assert version_of(first.features(), SETTINGS).map.version != version_of(BASE.features(), SETTINGS).map.version
    after = made(moved(first), first)
    assert len(strays(after)) == 1
    with pytest.raises(StretchOffBorder):
        version_of(after.features(), SETTINGS)
    bare = made(PutRow(row=row_said(replace(put, facts={"sides": ["u00", "u01"]}))), after)
    assert not strays(bare), "what has no widths of its own decides nothing"


def test_a_line_between_townships_of_one_squad_is_no_border() -> None:
    """Both are posted to su00: the line between them parts no squads, and whoever sets a zone there is told."""
    rows = [replace(r, facts={**r.facts, "squad": "su00"}) if r.code == "u01" else r for r in city(2)]
    after = made(setting(says=FACTS, between=BOTH), drafted(rows))
    assert len(strays(after)) == 1
    with pytest.raises(SidesApart):
        version_of(after.features(), SETTINGS)


def test_an_ended_stretch_is_history() -> None:
    from datetime import UTC, datetime

    ended = Row(LayerName.BORDER, "old", {"zone_m": "5.0"}, on_grid(placed(shapely.LineString([(10, 10), (20, 20)]))))
    ended = replace(ended, since=datetime(2020, 1, 1, tzinfo=UTC), until=datetime(2021, 1, 1, tzinfo=UTC))
    after = drafted([*city(2), ended])
    assert not strays(after)
    assert np.isclose(float(shapely.length(ended.ground)), 14_142, atol=1)
