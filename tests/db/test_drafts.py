"""Drafts in the database: several planners, a log that only grows, signatures, publication. On both databases."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import shapely

from geodata import store
from geodata.arcs import millimetres
from geodata.db import tables as t
from geodata.db.engine import Database
from geodata.drafts import (
    Desk,
    DraftClosed,
    EditConflict,
    NoDocument,
    NoReason,
    NothingToUndo,
    NotSigned,
    OnlyItsAuthor,
    OpenFindings,
    UndoneByOthers,
    UnknownDraft,
    Working,
    rows_changed,
    sides_of,
)
from geodata.edits import HandOver, Merge, MoveBorder, PutRow, RemoveRow, Split, SquadStillNamed, rings_of, row_said
from geodata.layer import LayerName, Row, content_hash
from geodata.store import Signing, publish, version_of
from geodata.topology_issue import Severity
from routing.jurisdiction import NoSuchSquad
from tests.db.worlds import SETTINGS, X, Y, city, placed

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)
BASE = version_of(city(), SETTINGS)


@pytest.fixture
def desk(database: Database) -> Desk:
    publish(database, BASE, Signing("王", "首次发布"), now=NOW)
    return Desk(database)


def named(working: Working) -> str:
    return content_hash(working.now.features(), working.settings)


def piece(x: float, y: float, size: float = 100) -> Any:

    return rings_of(shapely.MultiPolygon([millimetres(placed(shapely.box(x, y, x + size, y + size)))]))


def hand(x: float, y: float, to: str, size: float = 100) -> HandOver:
    return HandOver(layer="township", piece=piece(x, y, size), to=to)


def bent(working: Working, a: str, b: str, by: int = 5000) -> MoveBorder:
    arc = next(x for x in working.now.coverages["township"].arcs.values() if {x.left, x.right} == {(a,), (b,)})
    path = arc.path.copy()
    path[1:-1] += by
    return MoveBorder(layer="township", arc=arc.id, path=tuple((int(x), int(y)) for x, y in path))


def test_edits_are_kept_and_undone_to_the_byte(desk: Desk) -> None:
    draft = desk.begin("改界", "张", NOW)
    states = [named(draft)]
    for edit in (bent(draft, "u00", "u01"), hand(950, 950, "u00"), hand(1950, 950, "u22")):
        draft = desk.add(draft.id, edit, "张", NOW)
        states.append(named(draft))
    assert len(set(states)) == 4
    for k in (2, 1, 0):
        draft = desk.undo(draft.id, "张", NOW)
        assert named(draft) == states[k]
    assert states[0] == BASE.hash
    for k in (1, 2, 3):
        draft = desk.redo(draft.id, "张", NOW)
        assert named(draft) == states[k]
    with pytest.raises(NothingToUndo):
        desk.redo(draft.id, "张", NOW)
    fresh = Desk(desk.db).open(draft.id)
    assert named(fresh) == states[3]
    assert [e.kind for e in fresh.log] == ["move_border", "hand_over", "hand_over", "undo", "undo", "undo", "redo", "redo", "redo"]


def test_an_edit_in_the_middle_goes_if_nothing_rests_on_it(desk: Desk) -> None:
    draft = desk.begin("改界", "张", NOW)
    draft = desk.add(draft.id, Split(layer="township", code="u11", line=cut(1500), new="new"), "张", NOW)
    draft = desk.add(draft.id, bent(draft, "u00", "u01"), "张", NOW)
    assert named(desk.undo(draft.id, "张", NOW, seq=1)) != BASE.hash
    draft = desk.redo(draft.id, "张", NOW)
    draft = desk.add(draft.id, Merge(layer="township", codes=("new",), into="u12"), "张", NOW)
    with pytest.raises(UndoneByOthers, match="5"):
        desk.undo(draft.id, "张", NOW, seq=1)


def cut(x: float) -> tuple[tuple[int, int], ...]:
    return ((round((X + x) * 1000), (Y - 9000) * 1000), (round((X + x) * 1000), (Y + 9000) * 1000))


def test_squads_and_those_who_name_them_come_and_go_in_order(desk: Desk) -> None:
    """Whichever way an edit comes in: added, left standing by an undo, carried to another base, or read again."""
    new = Row(LayerName.SQUAD, "new", {**squad_facts("new"), "kind": "direct"})
    gas = Row(LayerName.DIRECT, "gas", {"kind": "direct", "id": "direct:gas", "category": "x:gas", "squad": "new"})
    draft = desk.begin("直属", "张", NOW)
    with pytest.raises(NoSuchSquad, match="new"):
        desk.add(draft.id, PutRow(row=row_said(gas)), "张", NOW)
    for row in (new, gas):
        draft = desk.add(draft.id, PutRow(row=row_said(row)), "张", NOW)
    with pytest.raises(UndoneByOthers, match="2"):
        desk.undo(draft.id, "张", NOW, seq=1)
    with pytest.raises(SquadStillNamed, match="direct gas"):
        desk.add(draft.id, RemoveRow(layer="squad", code="new"), "张", NOW)
    hers = desk.begin("撤队", "李", NOW)
    desk.add(hers.id, PutRow(row=row_said(replace(row_of_unit("u22"), facts={**row_of_unit("u22").facts, "squad": None}))), "李", NOW)
    desk.add(hers.id, RemoveRow(layer="squad", code="su22"), "李", NOW)
    draft = desk.add(draft.id, PutRow(row=row_said(replace(gas, facts={**gas.facts, "squad": "su22"}))), "张", NOW)
    desk.sign(hers.id, "all", "局长", NOW, role="superior", document="3号")
    desk.publish(hers.id, "李", "撤队", lambda: NOW + DAY)
    _, dropped = desk.rebase(draft.id, "张", NOW + DAY)
    assert [(seq, type(why)) for seq, why in dropped] == [(3, NoSuchSquad)]


def squad_facts(code: str) -> dict[str, Any]:
    return {"code": code, "name": "", "kind": "territorial", "duty": False, "township": None, "phone": "", "office": None}


def row_of_unit(code: str) -> Row:
    return next(r for r in BASE.rows if r.code == code)


def test_a_log_written_before_the_rule_is_still_read(desk: Desk) -> None:
    draft = desk.begin("旧", "张", NOW)
    gas = Row(LayerName.DIRECT, "gas", {"kind": "direct", "id": "direct:gas", "category": "x:gas", "squad": "nobody"})
    with desk.db.writing() as session:
        session.add(t.DraftEdit(draft_id=draft.id, seq=1, author="张", at=NOW, kind="put_row", args={"row": row_said(gas)}))
        row = session.get(t.Draft, draft.id)
        assert row is not None
        row.revision = 1
    assert Desk(desk.db).open(draft.id).now.rows[gas.key].facts["squad"] == "nobody"


def test_two_planners_on_one_draft_lose_nothing(desk: Desk) -> None:
    draft = desk.begin("改界", "张", NOW)
    seen = draft.revision
    desk.add(draft.id, bent(draft, "u00", "u01"), "张", NOW, seen=seen)
    far = desk.add(draft.id, bent(draft, "u21", "u22"), "李", NOW, seen=seen)
    assert len(far.active) == 2
    with pytest.raises(EditConflict, match="张"):
        desk.add(draft.id, bent(draft, "u00", "u01", -3000), "李", NOW, seen=seen)


def test_many_planners_at_once_lose_no_edit(desk: Desk) -> None:
    """Six threads on desks of their own, each with a border of its own."""
    draft = desk.begin("改界", "张", NOW)
    borders = [("u00", "u01"), ("u10", "u11"), ("u20", "u21"), ("u01", "u02"), ("u11", "u12"), ("u21", "u22")]
    start, failed = threading.Barrier(len(borders)), []

    def work(a: str, b: str) -> None:
        own = Desk(desk.db)
        try:
            seen = own.open(draft.id)
            start.wait()
            own.add(draft.id, bent(seen, a, b), a, NOW, seen=seen.revision)
        except Exception as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=work, args=pair) for pair in borders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = desk.open(draft.id)
    assert failed == []
    assert {e.author for e in done.log} == {a for a, _ in borders}
    assert len(done.active) == len(borders)


def test_it_takes_both_sides_and_not_the_author_alone(desk: Desk) -> None:
    draft = desk.begin("改界", "张", NOW)
    draft = desk.add(draft.id, bent(draft, "u00", "u01"), "张", NOW)
    assert sides_of(draft) == {"u00", "u01"}
    with pytest.raises(NotSigned, match="u00, u01"):
        desk.publish(draft.id, "张", "改界", lambda: NOW + DAY)
    for side in ("u00", "u01"):
        desk.sign(draft.id, side, "张", NOW)
    with pytest.raises(OnlyItsAuthor):
        desk.publish(draft.id, "张", "改界", lambda: NOW + DAY)
    desk.sign(draft.id, "u01", "李", NOW)
    done, version = desk.publish(draft.id, "张", "改界", lambda: NOW + DAY)
    assert done.version == version.hash == named(draft)
    assert {s["signer"] for s in done.signed} == {"张", "李"}
    with desk.db.reading() as session:
        assert store.in_force(session, NOW + DAY).version == version.hash
        assert store.in_force(session, NOW).version == BASE.hash
    with pytest.raises(DraftClosed):
        desk.add(draft.id, bent(draft, "u00", "u01"), "张", NOW)


def test_a_publication_begins_when_its_map_is_made(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when somebody asked for it: while the map is compiled, the old one answers."""
    clock = [NOW]

    def slowly(*given: Any) -> store.Version:
        clock[0] += timedelta(seconds=40)
        return version_of(*given)

    monkeypatch.setattr(store, "version_of", slowly)
    draft = desk.begin("改界", "张", NOW)
    draft = desk.add(draft.id, bent(draft, "u00", "u01"), "张", NOW)
    desk.sign(draft.id, "all", "局长", NOW, role="superior", document="3号")
    done, _ = desk.publish(draft.id, "张", "改界", lambda: clock[0])
    assert done.valid_from == NOW + timedelta(seconds=40)


def test_a_signature_is_for_what_was_signed(desk: Desk) -> None:
    draft = desk.begin("改界", "张", NOW)
    draft = desk.add(draft.id, bent(draft, "u00", "u01"), "张", NOW)
    for side in ("u00", "u01"):
        desk.sign(draft.id, side, "李", NOW)
    desk.add(draft.id, bent(draft, "u00", "u01", 100), "张", NOW)
    with pytest.raises(NotSigned):
        desk.publish(draft.id, "张", "改界", lambda: NOW + DAY)


def test_a_superior_decides_with_a_document(desk: Desk) -> None:
    draft = desk.begin("改界", "张", NOW)
    draft = desk.add(draft.id, bent(draft, "u00", "u01"), "张", NOW)
    with pytest.raises(NoDocument):
        desk.sign(draft.id, "all", "局长", NOW, role="superior")
    desk.sign(draft.id, "all", "局长", NOW, role="superior", document="惠城管〔2026〕3号")
    desk.publish(draft.id, "张", "改界", lambda: NOW + DAY)


def test_an_edit_is_worked_out_once_and_is_what_its_log_says(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = desk.begin("改界", "张", NOW)
    edit = bent(draft, "u00", "u01")
    count = []
    apply = MoveBorder.apply
    monkeypatch.setattr(MoveBorder, "apply", lambda *given: count.append(1) or apply(*given))
    after = desk.add(draft.id, edit, "张", NOW)
    assert len(count) == 1
    assert named(after) == named(Desk(desk.db).open(draft.id)) != named(draft), "another process reads the log"


def test_errors_block_and_warnings_are_accepted_by_name(desk: Desk) -> None:
    draft = desk.begin("改界", "张", NOW)
    for x, to in ((100, "t1"), (400.1, "t2")):
        draft = desk.add(draft.id, HandOver(layer="territory", piece=piece(x, 100, 300), to=to), "张", NOW)
    ring = HandOver(layer="territory", piece=frame(1000, 1000, 500), to="t3")
    draft = desk.add(draft.id, ring, "张", NOW)
    errors = [i for i in draft.issues if i.severity is Severity.ERROR]
    assert [i.code for i in errors] == ["gap"]
    desk.sign(draft.id, "all", "局长", NOW, role="superior", document="3号")
    with pytest.raises(OpenFindings) as refused:
        desk.readiness(desk.open(draft.id))
    for lang in ("zh-CN", "en"):
        assert errors[0].text(lang) in refused.value.text(lang)
    desk.enter_defect(errors[0], "su00", "王", NOW, due=NOW + 90 * DAY)
    for issue in draft.issues:
        if issue.severity is Severity.WARNING:
            desk.waive(draft.id, issue.id, "王", "有意如此", NOW)
    desk.readiness(desk.open(draft.id))
    with pytest.raises(NoReason):
        desk.waive(draft.id, "x", "王", " ", NOW)


def frame(x: float, y: float, size: float) -> Any:

    outer, inner = shapely.box(x, y, x + size, y + size), shapely.box(x + 50, y + 50, x + 100, y + 100)
    return rings_of(shapely.MultiPolygon([millimetres(placed(shapely.difference(outer, inner)))]))


def test_a_draft_on_an_outdated_base_is_rebased_edit_by_edit(desk: Desk) -> None:
    mine, hers = desk.begin("甲", "张", NOW), desk.begin("乙", "李", NOW)
    mine = desk.add(mine.id, bent(mine, "u00", "u01"), "张", NOW)
    mine = desk.add(mine.id, bent(mine, "u21", "u22"), "张", NOW)
    hers = desk.add(hers.id, bent(hers, "u00", "u01", -4000), "李", NOW)
    for draft in (mine, hers):
        desk.sign(draft.id, "all", "局长", NOW, role="superior", document="3号")
    published, _ = desk.publish(hers.id, "李", "改界", lambda: NOW + DAY)
    with pytest.raises(store.BaseOutdated):
        desk.publish(mine.id, "张", "改界", lambda: NOW + DAY)
    now, dropped = desk.rebase(mine.id, "张", NOW + DAY)
    assert [seq for seq, _ in dropped] == [1]
    assert sorted(now.active) == [2]
    assert now.base_version == published.version
    assert named(Desk(desk.db).open(mine.id)) == named(now)
    desk.sign(mine.id, "all", "局长", NOW, role="superior", document="4号")
    done, _ = desk.publish(mine.id, "张", "改界", lambda: NOW + 2 * DAY)
    assert done.version == named(now)


def test_rows_changed_are_told_old_and_new(desk: Desk) -> None:
    draft = desk.begin("改界", "张", NOW)
    draft = desk.add(draft.id, bent(draft, "u00", "u01"), "张", NOW)
    assert [(a.code, b.code) for a, b in rows_changed(draft.base, draft.now) if a and b] == [("u00", "u00"), ("u01", "u01")]
    with pytest.raises(UnknownDraft):
        desk.open("x")
    desk.abandon(draft.id)
    with pytest.raises(DraftClosed):
        desk.comment(draft.id, "张", "?", NOW)
    assert [d["state"] for d in desk.drafts()] == ["abandoned"]
