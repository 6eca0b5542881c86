"""The same offence on the two sides of a line: one matter, one lead, joint work, and a record of whether both sides were treated alike.

A cluster ends with the last of its cases. That is written where the case ends (`cases.end_cluster`), under a lock, so that of two that
end at once neither takes the other for open still; a case that is opened again opens it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any

import shapely
import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.access import Principal, sees
from api.store import cases
from api.store.record import Entry, Page
from api.store.tables import CaseFile, Cluster, Event, Part
from api.usecases import lifecycle
from api.usecases.lifecycle import Wanted
from api.usecases.neighbours import shape_of
from api.usecases.office import Office, about_event, may_do, relation, shown_to, unseal, visible
from api.usecases.queues import OF_SQUADS
from api.usecases.replays import Answer, Asked, once
from api.words_cases import state_words
from routing.case import Action
from routing.errors import JieguanError, Lang

WINDOW, NEAR_M = timedelta(hours=72), 500.0
"""What is further apart than that is not the same matter."""
REASONS = (
    "同类案件分处界线两侧,并案办理(案群 {cluster})",
    "the same offence on the two sides of a line, handled as one (cluster {cluster})",
)
SIGNED = frozenset({Action.SIGN.value, Action.TAKE_OVER.value})
MEASURES = ("to_signature_min", "to_report_min", "to_close_min")


class UnknownCluster(JieguanError):
    zh = "没有编号为“{value}”的案群,或您无权查看。请核对编号。"
    en = "There is no cluster {value!r}, or it is not yours to see. Check its number."


class NotOneCategory(JieguanError):
    zh = "案件 {numbers} 的类别不同({categories}):并案只为同类案件。请先更正类别,或分别办理。"
    en = "The cases {numbers} are of several categories ({categories}), and a cluster is of one. Correct them, or keep them apart."


class OneSideOnly(JieguanError):
    zh = "案件 {numbers} 都在中队“{squad}”的辖区:界线两侧才需并案。如为重复投诉,请按一案办理。"
    en = "The cases {numbers} are all on the ground of {squad!r}, and a cluster spans a line. Treat repeated complaints as one case."


class NotOneWhile(JieguanError):
    zh = "案件 {numbers} 的发生时间相隔 {hours} 小时,超过 {limit} 小时,不视为同一时间。请分别办理。"
    en = "The cases {numbers} happened {hours} hours apart, more than {limit}: that is not the same time. Keep them apart."


class TooFarApart(JieguanError):
    zh = "案件 {number} 距其他案件最近 {metres} 米,超过 {limit} 米,不视为同一处。请去掉该案,或更正地点。"
    en = "Case {number} is {metres} m from the nearest of the others, more than {limit} m. Leave it out, or correct its place."


class HasEnded(JieguanError):
    zh = "案件 {number} 已办结({state}),不能再并案。请去掉该案。"
    en = "Case {number} has ended ({state}) and joins nothing any more. Leave it out."


class InOneAlready(JieguanError):
    zh = "案件 {number} 已在案群 {cluster} 中:一案只归一群。请查看该案群。"
    en = "Case {number} is in the cluster {cluster} already, and a case is in one. Look at that."


class OfSupervision(JieguanError):
    zh = "案件 {number} 投诉的是中队,或由督查办理,不与其他案件并案:被投诉者会由此得知。请去掉该案,由督查另行办理。"
    en = (
        "Case {number} is a complaint about a squad, or supervision handles it, and joins no others: through them it would come to "
        "those it is about. Leave it out; supervision sees to it."
    )


class LeadOfNone(JieguanError):
    zh = "“{value}”不是这些案件的责任中队({known}),不能牵头。请从中选择,或不填(由最早案件的中队牵头)。"
    en = "{value!r} leads none of these cases ({known} do). Choose one of those, or none: the squad of the earliest case leads."


@dataclass(frozen=True, slots=True)
class Together:
    """Cases that are one matter. `lead`: the squad of the earliest, unless named. `reason`: a sentence of ours, unless stated."""

    numbers: tuple[str, ...]
    lead: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Treated:
    """How a case fared: minutes from its receipt."""

    row: CaseFile
    minutes: dict[str, float | None]
    report: dict[str, Any] | None


# ---- making one ------------------------------------------------------------------------------------------------------


def begin(of: Office, who: Principal, together: Together, asked: Asked, lang: Lang) -> Answer:
    """The cluster, with joint work begun on each case where its state and this person's role allow it now.

    Raises UnknownCase, NotOneCategory, OneSideOnly, NotOneWhile, TooFarApart, HasEnded, InOneAlready,
    OfSupervision, LeadOfNone, KeyReused.
    """

    def write(page: Page) -> Answer:
        rows = [visible(page.session, cases.locked(page.session, number), who) for number in sorted(set(together.numbers))]
        _, on = of.map_at(page.session, of.now())
        _check(rows, on.settings.work_crs, lang)
        squads = sorted({row.lead for row in rows})
        earliest = min(rows, key=lambda row: (row.occurred_at, row.received_at, row.id))
        if together.lead is not None and together.lead not in squads:
            raise LeadOfNone(value=together.lead, known=", ".join(squads))
        made = Cluster(
            category=earliest.category, lead=together.lead or earliest.lead, squads=squads, opened_at=of.now(), opened_by=who.account,
            closed_at=None,
        )  # fmt: skip
        page.session.add(made)
        page.session.flush()
        for row in rows:
            cases.put(page.session, row, cases.case_of(row), of.now(), cluster_id=made.id)
            body = {
                "number": row.number, "version": row.version, "cluster": made.id, "lead": made.lead, "squads": squads,
                "numbers": [one.number for one in rows],
            }  # fmt: skip
            page.enter(Entry("clustered", who.account, who.role.value, who.squad, row.changed_at, body, row.id))
        _join(of, page, made, rows, who, together.reason, lang)
        return Answer(201, {"Location": f"/api/v1/clusters/{made.id}"}, _told(of, page.session, made, rows, who, lang))

    return once(of, who, asked, write)


def join(of: Office, who: Principal, cluster: int, reason: str, asked: Asked, lang: Lang) -> Answer:
    """Joint work begun on those cases that had not come so far before. Raises UnknownCluster, KeyReused."""

    def write(page: Page) -> Answer:
        made, rows = _seen(page.session, cluster, who)
        rows = [cases.locked(page.session, row.number) for row in rows]
        _join(of, page, made, rows, who, reason, lang)
        return Answer(200, {}, _told(of, page.session, made, rows, who, lang))

    return once(of, who, asked, write)


def _join(of: Office, page: Page, made: Cluster, rows: Iterable[CaseFile], who: Principal, reason: str, lang: Lang) -> None:
    said = reason.strip() or REASONS[lang != "zh-CN"].format(cluster=made.id)
    for row in rows:
        others = tuple(squad for squad in made.squads if squad != row.holder and squad not in row.joint)
        if others and Action.START_JOINT in may_do(row, who):
            lifecycle.apply(of, page, row, who, Wanted(Action.START_JOINT, row.version, squads=others, reason=said))


def _check(rows: Sequence[CaseFile], work: str, lang: Lang) -> None:
    numbers = ", ".join(row.number for row in rows)
    for row in rows:
        if not row.open:
            raise HasEnded(number=row.number, state=state_words(row.state, lang))
        if row.cluster_id is not None:
            raise InOneAlready(number=row.number, cluster=row.cluster_id)
        if row.against is not None or row.to_supervision != rows[0].to_supervision:
            apart = row if row.against is not None or row.to_supervision else rows[0]
            raise OfSupervision(number=apart.number)
    categories, leads = sorted({row.category for row in rows}), {row.lead for row in rows}
    if len(categories) > 1:
        raise NotOneCategory(numbers=numbers, categories=", ".join(categories))
    if len(leads) == 1:
        raise OneSideOnly(numbers=numbers, squad=min(leads))
    times = sorted(row.occurred_at for row in rows)
    if times[-1] - times[0] > WINDOW:
        hours = (times[-1] - times[0]).total_seconds() / 3600
        raise NotOneWhile(numbers=numbers, hours=round(hours, 1), limit=WINDOW.total_seconds() / 3600)
    shapes = [None if row.geom is None else shape_of(row, work) for row in rows]
    for n, row in enumerate(rows):
        others = [shape for k, shape in enumerate(shapes) if k != n and shape is not None]
        here = shapes[n]
        metres = None if here is None or not others else min(shapely.distance(here, other) for other in others)
        if metres is None or metres > NEAR_M:
            raise TooFarApart(number=row.number, metres="?" if metres is None else round(metres), limit=NEAR_M)


# ---- looking at them -------------------------------------------------------------------------------------------------


def one(of: Office, who: Principal, cluster: int, lang: Lang) -> dict[str, Any]:
    """How the sides were treated. Raises UnknownCluster."""
    with of.db.reading() as session:
        made, rows = _seen(session, cluster, who)
        return _told(of, session, made, rows, who, lang)


def found(of: Office, who: Principal, closed: bool | None, limit: int, before: int | None) -> dict[str, Any]:
    """The latest first, of those with a case this person may see. `before`: the id where the page before ended."""
    query = sa.select(Cluster).order_by(Cluster.id.desc()).limit(limit + 1)
    if closed is not None:
        query = query.where(Cluster.closed_at.is_not(None) if closed else Cluster.closed_at.is_(None))
    if before is not None:
        query = query.where(Cluster.id < before)
    seen = sa.select(CaseFile.id).where(CaseFile.cluster_id == Cluster.id, *shown_to(who))
    if who.role in OF_SQUADS:
        seen = seen.join(Part, Part.case_id == CaseFile.id).where(Part.squad == who.squad)
    query = query.where(seen.exists())
    with of.db.reading() as session:
        rows = list(session.scalars(query))
        shown = [(made, _visible_rows(session, made.id, who)) for made in rows[:limit]]
        items = [_head(made) | {"numbers": [row.number for row in some]} for made, some in shown if some]
    return {"items": items, "next": rows[limit - 1].id if len(rows) > limit else None}


def _seen(session: Session, cluster: int, who: Principal) -> tuple[Cluster, list[CaseFile]]:
    made = session.get(Cluster, cluster)
    rows = [] if made is None else _visible_rows(session, cluster, who)
    if made is None or not rows:
        raise UnknownCluster(value=cluster)
    return made, rows


def _visible_rows(session: Session, cluster: int, who: Principal) -> list[CaseFile]:
    rows = list(session.scalars(sa.select(CaseFile).where(CaseFile.cluster_id == cluster).order_by(CaseFile.number)))
    return [row for row in rows if sees(who.role, relation(row, who, cases.part_of(session, row, who.squad)))]


def _head(made: Cluster) -> dict[str, Any]:
    return {
        "id": made.id, "category": made.category, "lead": made.lead, "squads": list(made.squads), "opened_at": made.opened_at.isoformat(),
        "opened_by": made.opened_by, "closed_at": None if made.closed_at is None else made.closed_at.isoformat(),
    }  # fmt: skip


def _told(of: Office, session: Session, made: Cluster, rows: Sequence[CaseFile], who: Principal, lang: Lang) -> dict[str, Any]:
    """With the record of equal treatment: of each case, of each side, and what lies between the sides."""
    treated = [_treated(of, session, row) for row in rows]
    among = sa.select(sa.func.count()).select_from(CaseFile).where(CaseFile.cluster_id == made.id, *shown_to(who))
    count = session.scalar(among)  # that there is one that is hidden from him would be told by its being missed
    sides = {
        squad: {name: _mean(t.minutes[name] for t in treated if t.row.lead == squad) for name in MEASURES}
        for squad in sorted({row.lead for row in rows})
    }
    whole = len(rows) == count
    return _head(made) | {
        "cases": [_case_told(t, who, lang) for t in treated],
        "all_shown": whole,
        "sides": [{"squad": squad, "cases": sum(row.lead == squad for row in rows), **means} for squad, means in sides.items()],
        "gap": {name: _gap([means[name] for means in sides.values()]) if whole else None for name in MEASURES},
    }


def _case_told(one: Treated, who: Principal, lang: Lang) -> dict[str, Any]:
    row = one.row
    disposal = {"state": row.state, "state_name": state_words(row.state, lang), "report": one.report}
    return {
        "number": row.number, "lead": row.lead, "holder": row.holder, "state": row.state, "state_name": state_words(row.state, lang),
        "joint": list(row.joint), "parts": list(row.parts), "received_at": row.received_at.isoformat(), **one.minutes,
        "disposal": None if row.open else disposal, "may_join": Action.START_JOINT in may_do(row, who),
    }  # fmt: skip


def _treated(of: Office, session: Session, row: CaseFile) -> Treated:
    """First signed for, last reported, last closed; a close that was taken back does not count."""
    events = list(session.scalars(sa.select(Event).where(Event.case_id == row.id, Event.kind == "moved").order_by(Event.id)))
    did = [(str(event.body["action"]), event) for event in events]
    signed = next((event.at for action, event in did if action in SIGNED), None)
    report = next((event for action, event in reversed(did) if action == Action.REPORT), None)
    closed = next((event.at for action, event in reversed(did) if action == Action.CLOSE), None)
    words = None if report is None else unseal(of.vault, row.key, report.words, about_event(row.number))
    times = (signed, None if report is None else report.at, None if row.open else closed)
    return Treated(row, dict(zip(MEASURES, (_minutes(row, at) for at in times), strict=True)), words)


def _minutes(row: CaseFile, at: datetime | None) -> float | None:
    return None if at is None else round((at - row.received_at).total_seconds() / 60, 1)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(fmean(known), 1) if known else None


def _gap(values: Sequence[float | None]) -> float | None:
    """Between the quickest side and the slowest; None while there are not two to compare."""
    known = [value for value in values if value is not None]
    return round(max(known) - min(known), 1) if len(known) > 1 else None
