"""A case, whole, to be kept or handed on: its history as plain values, a PDF of it, and both with its files and their hashes in a ZIP.

Who complained is in it masked for those who may call back, and not at all for others; in full only where that was asked for by who may,
and then as a look that is in the record before anything is handed out. So are the looks at its files.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, undefer

from api.access import PROTECTED, Principal, reveals
from api.pictures import SUFFIXES
from api.store import cases
from api.store.record import Entry
from api.store.setup import vocabulary
from api.store.tables import Account, Attachment, CaseFile, Event
from api.usecases import attachments, queues, reporters
from api.usecases.office import LOOKED_AT, LOOKS, REVEALED, Office, about_event, relation, seal, visible, whole
from api.usecases.reporters import NotYoursToReveal
from api.vault import KeyDestroyed
from api.words_dossier import kind_words, role_words, said
from geodata import store
from geodata.layer import grounds_of
from routing.errors import Lang
from routing.model import Territory

MM = 1000
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every file in a ZIP: the same case at the same state is the same file."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """`reporter`: who complained in full, as a look that is recorded."""

    lang: Lang
    reporter: bool = False


def history(of: Office, who: Principal, number: str, lang: Lang) -> dict[str, Any]:
    """All there is of a case, in order, as plain values; who complained as far as he may see it without asking. Raises UnknownCase."""
    with of.db.reading() as session:
        row = visible(session, cases.find(session, number), who)
        return _history(of, session, row, who, lang)


def pdf(of: Office, who: Principal, number: str, wanted: Wanted) -> bytes:
    """The dossier, A4. Raises UnknownCase, NotYoursToReveal, NoFont."""
    told, picture, _ = _gathered(of, who, number, wanted, files=False)
    return _printed(told, picture, wanted.lang)


def archive(of: Office, who: Principal, number: str, wanted: Wanted) -> bytes:
    """The PDF, the history as JSON and every file that can be opened, with SHA256SUMS of them all.

    Raises UnknownCase, NotYoursToReveal, NoFont, SealBroken.
    """
    told, picture, files = _gathered(of, who, number, wanted, files=True)
    parts = {"dossier.pdf": _printed(told, picture, wanted.lang)}
    parts["history.json"] = json.dumps(told, ensure_ascii=False, indent=2, sort_keys=True).encode() + b"\n"
    if picture is not None:
        parts["place.png"] = picture
    parts |= files
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(parts.items()))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in sorted({**parts, "SHA256SUMS": sums.encode()}.items()):
            zipped.writestr(zipfile.ZipInfo(f"{number}/{name}", EPOCH), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


# ---- gathering -------------------------------------------------------------------------------------------------------


def _gathered(
    of: Office, who: Principal, number: str, wanted: Wanted, *, files: bool
) -> tuple[dict[str, Any], bytes | None, dict[str, bytes]]:
    """The history, the picture, the files; what of it is a look is committed to the record before this returns."""
    with of.db.reading() as session:
        row = visible(session, cases.find(session, number), who)
        may = reveals(who.role, relation(row, who, cases.part_of(session, row, who.squad)))
        if wanted.reporter and not may:
            raise NotYoursToReveal(number=number)
        told = _history(of, session, row, who, wanted.lang)
        picture = _picture(of, session, row, wanted.lang)
        opened = _files(of, session, row) if files else []
        contact: dict[str, str] = {}
        if wanted.reporter:
            told["reporter"], contact = _in_full(of, session, row)
    looks = [one for one, _ in opened if attachments.is_recorded(row, one)]
    if contact or looks:
        with of.book.writing() as page:
            row = visible(page.session, cases.find(page.session, number), who)
            now = of.now()
            if contact:
                body = {"number": number, "version": row.version, "fields": sorted(contact)}
                words = seal(of.vault, row.key, {"reason": said("title", wanted.lang)}, about_event(number))
                page.enter(Entry(REVEALED, who.account, who.role.value, who.squad, now, body, row.id, words))
            for one in looks:
                body = {"number": number, "version": row.version, "attachment": one.id}
                page.enter(Entry(LOOKED_AT, who.account, who.role.value, who.squad, now, body, row.id))
    named = {f"attachments/{n:02d}-{one.id[:8]}{SUFFIXES[one.media_type]}": data for n, (one, data) in enumerate(opened, 1)}
    told |= {"made_by": who.name, "made_at": of.now().isoformat(), "zone": str(of.zone)}
    return told, picture, named


def _history(of: Office, session: Session, row: CaseFile, who: Principal, lang: Lang) -> dict[str, Any]:
    part = cases.part_of(session, row, who.squad)
    events = session.scalars(sa.select(Event).where(Event.case_id == row.id, Event.kind.not_in(LOOKS)).order_by(Event.id))
    lines = [queues.event_told(of, row, event, lang) for event in events]
    for line in lines:
        line["what"] = line["action_name"] or kind_words(line["kind"], lang)
        line["role_name"] = role_words(line["role"], lang)
    signs = of.signs.of(session, row.map_version)
    files = attachments.lines(of, session, row)
    return {
        "case": whole(of, row, who, lang, part), "category_name": _category(session, row, lang), "squads": _names(row, lines, signs),
        "people": _people(session, {line["actor"] for line in lines}), "events": lines,
        "holdings": queues.holdings_told(session, row), "sides": queues.sides_told(session, row), "attachments": files,
        "reporter": reporters.reporter_told(of, session, row, who),
    }  # fmt: skip


def _names(row: CaseFile, lines: list[dict[str, Any]], signs: Any) -> dict[str, str]:
    """The squads that occur, with what stands on their signs."""
    found = {row.lead, row.holder, row.duty, *row.assist, *row.joint, *([row.runner_up] if row.runner_up else [])}
    found |= {line["squad"] for line in lines if line["squad"]}
    found |= {side["holder"] for line in lines for side in (line["facts"].get("before"), line["facts"].get("after")) if side}
    return {code: signs.squads.get(code, code) for code in sorted(found)}


def _people(session: Session, accounts: set[str]) -> dict[str, str]:
    """The names of those who acted."""
    known = session.execute(sa.select(Account.id, Account.name).where(Account.id.in_(accounts)))
    return {str(account): str(name) for account, name in known}


def _category(session: Session, row: CaseFile, lang: Lang) -> str:
    """Its code, and its name where it has one."""
    found = vocabulary(session, row.received_at).get(row.category)
    return row.category if found is None else f"{row.category} {found.zh if lang == 'zh-CN' else found.en}"


def _in_full(of: Office, session: Session, row: CaseFile) -> tuple[dict[str, Any], dict[str, str]]:
    anonymous, erased, contact = reporters.read(of, session, row)
    shown = {"may_reveal": True, "anonymous": anonymous, "erased": erased, "full": True, "contact": {**dict.fromkeys(PROTECTED), **contact}}
    return shown, contact


def _files(of: Office, session: Session, row: CaseFile) -> list[tuple[Attachment, bytes]]:
    """Every file that can still be opened, in the order they came. Raises SealBroken."""
    query = sa.select(Attachment).where(Attachment.case_id == row.id).order_by(Attachment.at, Attachment.id)
    found = []
    for one in session.scalars(query.options(undefer(Attachment.data))):
        try:
            found.append((one, attachments.opened(of, row, one)))
        except KeyDestroyed:  # its line stays in the list, with its hash
            continue
    return found


def _picture(of: Office, session: Session, row: CaseFile, lang: Lang) -> bytes | None:
    """Whose ground is around the place, by the map it was routed by; None where there is no place."""
    import shapely  # noqa: PLC0415  (with matplotlib: only where something is drawn)

    from api.case_picture import picture  # noqa: PLC0415

    if row.x_mm is None or row.y_mm is None:
        return None
    claims, _ = grounds_of(store.read_rows(session, row.map_version))
    pieces: dict[str, list[Any]] = {}
    for one in claims:
        if isinstance(one.claim, Territory) and row.received_at in one.claim.period:
            pieces.setdefault(str(one.claim.squad), []).append(one.geometry)
    grounds = {squad: shapely.union_all(shapes) for squad, shapes in pieces.items()}
    names = {str(code): name for code, name in of.signs.of(session, row.map_version).squads.items()}
    place = shapely.Point(row.x_mm / MM, row.y_mm / MM)
    return picture(grounds, names, place, row.error_m, row.margin_m, row.lead, list(row.assist), lang)


def _printed(told: dict[str, Any], picture: bytes | None, lang: Lang) -> bytes:
    from api.dossier_pdf import printed  # noqa: PLC0415  (its library and its font load slowly)

    return printed(told, picture, lang)
