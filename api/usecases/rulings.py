"""A superior's word for one case, offered to planners as a standing designation: taken into a draft, or declined with a reason.

Taking one is an edit of the draft, an end of the offer and an entry of the record, in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from shapely.geometry.base import BaseGeometry
from sqlalchemy.orm import Session

from api.access import Principal, sees
from api.store.record import Entry, Page
from api.store.tables import CaseFile, Ruling
from api.usecases.map_places import areas_of, grid_of, plain_frame
from api.usecases.map_rows import COLUMNS, OWN, row_told
from api.usecases.neighbours import shape_of
from api.usecases.office import Office, about_event, relation, seal, shown_to
from api.vault import KeyDestroyed
from geodata.drafts import Also, Desk
from geodata.edits import CodeTaken, PutRow, row_said
from geodata.layer import LayerName
from routing.case import Role
from routing.errors import JieguanError

OFFERED, TAKEN, DECLINED = "offered", "taken", "declined"
STANDINGS = (OFFERED, TAKEN, DECLINED)


class UnknownRuling(JieguanError):
    zh = "没有编号为“{value}”的个案指定,或您无权查看。请核对编号(GET /api/v1/rulings)。"
    en = "There is no ruling {value!r}, or it is not yours to see. Check its number (GET /api/v1/rulings)."


class RulingClosed(JieguanError):
    zh = "个案指定 {value} 已由 {by} 处理({standing}):不能再次处理。请重新读取列表。"
    en = "{by} has dealt with the ruling {value} already ({standing}), and it is not dealt with twice. Load the list again."


class GroundMissing(JieguanError):
    zh = "须给出指定的范围,且只给一种:所画的地块(shape),或案件地点周围的半径(radius_m)。"
    en = "The designation takes ground, in one way: a drawn piece (shape), or a radius around the place of the case (radius_m)."


class CaseHasNoPlace(JieguanError):
    zh = "案件 {number} 没有可定位的地点,不能以半径划定范围。请画出地块(shape)。"
    en = "Case {number} has no place that could be located, so a radius means nothing. Draw the ground (shape)."


class WhyDeclined(JieguanError):
    zh = "不采纳须写明理由(reason):同样的争议还会再来。请补填。"
    en = "To decline takes a reason (reason): the same dispute will come again. State it."


@dataclass(frozen=True, slots=True)
class Standing:
    """What a ruling is to become. `shape`: polygons in degrees; or `radius_m` around the place of the case.

    `categories`: None for that of the case, empty for all. `seen`: the revision of the draft somebody looked at.
    """

    draft: str
    name: str
    shape: BaseGeometry | None = None
    radius_m: float | None = None
    categories: tuple[str, ...] | None = None
    seen: int | None = None


def found(of: Office, who: Principal, standing: str | None, limit: int, after: int | None) -> dict[str, Any]:
    """Rulings in their order. `after`: the id where the page before ended."""
    query = sa.select(Ruling, CaseFile).join(CaseFile, CaseFile.id == Ruling.case_id).order_by(Ruling.id).limit(limit + 1)
    query = query.where(*([~CaseFile.to_supervision] if who.role is Role.PLANNER else shown_to(who)))
    if standing is not None:
        query = query.where(Ruling.standing == standing)
    if after is not None:
        query = query.where(Ruling.id > after)
    with of.db.reading() as session:
        rows = [(ruling, row) for ruling, row in session.execute(query)]
        items = [told(ruling, row) for ruling, row in rows[:limit] if _is_shown(row, who)]
    return {"items": items, "next": rows[limit - 1][0].id if len(rows) > limit else None}


def told(ruling: Ruling, row: CaseFile) -> dict[str, Any]:
    """A ruling, with what of its case a planner needs: what kind of thing, and where. Nothing that anybody wrote."""
    lon, lat = row.place.get("wgs84", (None, None))
    return {
        "id": ruling.id, "number": row.number, "category": row.category, "lon": lon, "lat": lat, "error_m": row.error_m,
        "township": row.township, "lead": row.lead, "squad": ruling.squad, "document": ruling.document, "by": ruling.by,
        "at": ruling.at.isoformat(), "standing": ruling.standing, "draft": ruling.draft_id, "closed_by": ruling.closed_by,
        "closed_at": None if ruling.closed_at is None else ruling.closed_at.isoformat(),
    }  # fmt: skip


def take(of: Office, desk: Desk, who: Principal, ruling: int, wanted: Standing) -> dict[str, Any]:
    """The designation, in the draft; the ruling is taken and the record says so, or nothing happened.

    Raises UnknownRuling, RulingClosed, GroundMissing, CaseHasNoPlace, CodeTaken, and what the draft and the edit refuse.
    """
    if (wanted.shape is None) == (wanted.radius_m is None):
        raise GroundMissing
    with of.db.reading() as session:
        offer, row = _open(session, ruling, who)
    working = desk.open(wanted.draft)
    made = row_told(LayerName.DESIGNATION, _record(offer, row, wanted), _ground(row, wanted, working.settings.work_crs))
    if made.key in working.now.rows:
        raise CodeTaken(layer=made.layer.value, code=made.code)
    pages: list[Page] = []

    @contextmanager
    def writing() -> Iterator[Session]:
        with of.book.writing() as page:
            pages[:] = [page]
            yield page.session

    def write(revision: int) -> None:
        (page,) = pages
        body = {"draft": wanted.draft, "revision": revision, "code": made.code}
        _closed(of, page, ruling, who, TAKEN, body, None)

    edit, note = PutRow(row=row_said(made)), f"{offer.document} ({row.number})"
    after = desk.add(wanted.draft, edit, who.name, of.now(), seen=wanted.seen, note=note, also=Also(writing, write))
    with of.db.reading() as session:
        offer, row = _of(session, ruling, who)
        return told(offer, row) | {"code": made.code, "revision": after.revision}


def decline(of: Office, who: Principal, ruling: int, reason: str) -> dict[str, Any]:
    """The ruling stays one for its case. Raises UnknownRuling, RulingClosed, WhyDeclined."""
    if not reason.strip():
        raise WhyDeclined
    with of.book.writing() as page:
        _closed(of, page, ruling, who, DECLINED, {}, reason.strip())
        return told(*_of(page.session, ruling, who))


def _closed(of: Office, page: Page, ruling: int, who: Principal, standing: str, body: Mapping[str, Any], reason: str | None) -> None:
    """The offer ends, once: its row is locked."""
    session = page.session
    session.execute(sa.select(Ruling.id).where(Ruling.id == ruling).with_for_update())
    session.expire_all()
    offer, row = _open(session, ruling, who)
    offer.standing, offer.draft_id = standing, body.get("draft")
    offer.closed_by, offer.closed_at = who.account, of.now()
    facts = {"number": row.number, "ruling": ruling, "squad": offer.squad, "document": offer.document, **body}
    words = None if reason is None else _sealed(of, row, reason)
    page.enter(Entry(f"ruling_{standing}", who.account, who.role.value, who.squad, offer.closed_at, facts, row.id, words))


def _sealed(of: Office, row: CaseFile, reason: str) -> bytes | None:
    """None where the case has been erased: then nothing is written down about it any more."""
    try:
        return seal(of.vault, row.key, {"reason": reason}, about_event(row.number))
    except KeyDestroyed:
        return None


def _of(session: Session, ruling: int, who: Principal) -> tuple[Ruling, CaseFile]:
    offer = session.get(Ruling, ruling)
    row = None if offer is None else session.get(CaseFile, offer.case_id)
    if offer is None or row is None or not _is_shown(row, who):
        raise UnknownRuling(value=ruling)
    return offer, row


def _open(session: Session, ruling: int, who: Principal) -> tuple[Ruling, CaseFile]:
    offer, row = _of(session, ruling, who)
    if offer.standing != OFFERED:
        raise RulingClosed(value=ruling, by=offer.closed_by, standing=offer.standing)
    return offer, row


def _is_shown(row: CaseFile, who: Principal) -> bool:
    """Planners see no cases, but every ruling; what supervision handles is for those who see it."""
    if who.role is Role.PLANNER:
        return not row.to_supervision
    return sees(who.role, relation(row, who, None))


def _record(offer: Ruling, row: CaseFile, wanted: Standing) -> dict[str, Any]:
    """The row as the layer has it: every column."""
    categories = (row.category,) if wanted.categories is None else wanted.categories
    said: dict[str, Any] = {
        "code": f"ruling-{offer.id}", "name": wanted.name, "document": offer.document, "squad": offer.squad, "categories": categories,
        "dated": offer.at, "source": row.number,
    }  # fmt: skip
    blank: dict[str, Any] = dict.fromkeys(OWN, "") | {"since": None, "until": None, "accuracy_m": None}
    return blank | dict(COLUMNS[LayerName.DESIGNATION]) | said


def _ground(row: CaseFile, wanted: Standing, work: str) -> Any:
    """Whole millimetres. Raises CaseHasNoPlace, NotPolygons, SelfCrossing."""
    if wanted.shape is not None:
        return grid_of(areas_of(wanted.shape, LayerName.DESIGNATION.value), plain_frame(False, work), work)
    assert wanted.radius_m is not None
    if row.geom is None:
        raise CaseHasNoPlace(number=row.number)
    return grid_of(shape_of(row, work).buffer(wanted.radius_m, quad_segs=16), plain_frame(True, work), work)
