"""Files of a case: photos and papers, sealed under the key of the case, each look at what a reporter sent in the record."""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, undefer

from api.access import Principal
from api.pictures import Kept, kept_of
from api.store import cases
from api.store.record import Entry, Page
from api.store.tables import Attachment, CaseFile
from api.usecases.office import LOOKED_AT, Office, visible
from api.usecases.replays import Answer, Asked, once
from api.vault import KeyDestroyed
from routing.case import State
from routing.errors import JieguanError

ID = re.compile("[0-9a-f]{32}")
MOST = 100
"""Files of one case."""
LONGEST_NAME = 200
ENDINGS = frozenset({"jpg", "jpeg", "png", "webp", "pdf", "mp4", "m4v", "3gp"})


class UnknownAttachment(JieguanError):
    zh = "案件 {number} 没有编号为“{value}”的附件。请核对编号(GET /api/v1/cases/{number}/attachments)。"
    en = "Case {number} has no attachment {value!r}. Check its id (GET /api/v1/cases/{number}/attachments)."


class EvidenceMissing(JieguanError):
    zh = "依据“{value}”是附件编号的形式,但案件 {number} 没有这个附件。请先上传,或改写为文字说明。"
    en = "The evidence {value!r} has the form of an attachment's id, and case {number} has none of it. Attach it first, or say it in words."


class CaseErased(JieguanError):
    zh = "案件 {number} 的内容已按规定清除,附件不能再读取或添加。"
    en = "What was written in case {number} has been erased by rule; its files can no longer be read, nor any added."


class CaseFiled(JieguanError):
    zh = "案件 {number} 已归档,不能再添加附件。如需补充,请另立新案并注明本案编号。"
    en = "Case {number} is archived and takes no more files. Take in a new case that names this one."


class TooManyAttachments(JieguanError):
    zh = "案件 {number} 已有 {limit} 个附件,达到上限。请合并为一个 PDF 后再传。"
    en = "Case {number} has {limit} attachments, as many as a case may have. Put several into one PDF."


class BadFileName(JieguanError):
    zh = "附件的文件名不可用({why}):须为 1 至 {limit} 个可见字符。请改名后再传。"
    en = "The file's name cannot be used ({why}): it takes 1 to {limit} characters that can be seen. Rename it."


@dataclass(frozen=True, slots=True)
class Sent:
    """A file as it came. `name`: as its sender calls it."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is given out; its name has no ending."""

    name: str
    media_type: str
    data: bytes


def attach(of: Office, who: Principal, number: str, sent: Sent, asked: Asked) -> Answer:
    """The attachment, as a line of the list. Its name is sealed, and is not in the answer kept for requests that come twice.

    Raises UnknownCase, CaseErased, CaseFiled, TooManyAttachments, BadFileName, and what `kept_of` raises.
    """
    with of.db.reading() as session:  # who may not see the case learns nothing of files
        visible(session, cases.find(session, number), who)
    name = plain_name(sent.name)
    kept = kept_of(sent.data)
    id_ = secrets.token_hex(16)

    def write(page: Page) -> Answer:
        row = visible(page.session, cases.locked(page.session, number), who)
        made = _made(of, page.session, row, who, id_, name, kept)
        page.session.add(made)
        body = {"number": number, "attachment": id_, "media_type": made.media_type, "size": made.size, "sha256": made.sha256}
        page.enter(Entry("attached", who.account, who.role.value, who.squad, made.at, body, row.id))
        return Answer(201, {"Location": f"/api/v1/cases/{number}/attachments/{id_}"}, _plain(made))

    return once(of, who, asked, write)


def listed(of: Office, who: Principal, number: str) -> dict[str, Any]:
    """The files of a case, in the order they came. Raises UnknownCase."""
    with of.db.reading() as session:
        row = visible(session, cases.find(session, number), who)
        found = [{name: value for name, value in line.items() if name != "sha256"} for line in lines(of, session, row)]
        return {"number": number, "attachments": found}


def lines(of: Office, session: Session, row: CaseFile) -> list[dict[str, Any]]:
    """The files of a case as lines, with the sha256 of their sealed bytes, as the record has it."""
    found = session.scalars(sa.select(Attachment).where(Attachment.case_id == row.id).order_by(Attachment.at, Attachment.id))
    return [_plain(one) | {"name": _name(of, row, one), "sha256": one.sha256} for one in found]


def opened(of: Office, row: CaseFile, found: Attachment) -> bytes:
    """Its bytes. Raises KeyDestroyed, SealBroken."""
    return of.vault.unseal(row.key, bytes(found.data), _about(row, found.id))


def fetched(of: Office, who: Principal, number: str, attachment: str) -> File:
    """A file. A look at what is confidential, or at what a reporter sent, is committed to the record before this returns.

    Raises UnknownCase, UnknownAttachment, CaseErased, SealBroken.
    """
    with of.db.reading() as session:
        row = visible(session, cases.find(session, number), who)
        found = _of_case(session, row, attachment)
        file = _opened(of, row, found)
        recorded = is_recorded(row, found)
    if recorded:
        with of.book.writing() as page:
            row = visible(page.session, cases.find(page.session, number), who)
            body = {"number": number, "version": row.version, "attachment": attachment}
            page.enter(Entry(LOOKED_AT, who.account, who.role.value, who.squad, of.now(), body, row.id))
    return file


def is_recorded(row: CaseFile, attachment: Attachment) -> bool:
    """Is a look at it kept? At all of what came from outside the squads (a reporter sent it), and of what is confidential."""
    return row.confidential or row.to_supervision or attachment.squad is None or attachment.by == row.created_by


def check_evidence(session: Session, row: CaseFile, evidence: Iterable[str]) -> None:
    """What has the form of an id is an attachment of this very case. Raises EvidenceMissing."""
    for value in evidence:
        if ID.fullmatch(value) and session.scalar(_query(row, value).with_only_columns(Attachment.id)) is None:
            raise EvidenceMissing(number=row.number, value=value)


def plain_name(name: str) -> str:
    """The last part of a name, as it can be shown. Raises BadFileName."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2].strip()
    if not last or last.strip(".") == "":
        raise BadFileName(why="-", limit=LONGEST_NAME)
    hidden = next((c for c in last if unicodedata.category(c)[0] == "C"), None)
    if hidden is not None:
        raise BadFileName(why=f"U+{ord(hidden):04X}", limit=LONGEST_NAME)
    if len(last) > LONGEST_NAME:
        raise BadFileName(why=len(last), limit=LONGEST_NAME)
    return last


def _made(of: Office, session: Session, row: CaseFile, who: Principal, id_: str, name: str, kept: Kept) -> Attachment:
    if row.state == State.ARCHIVED:
        raise CaseFiled(number=row.number)
    there = session.scalar(sa.select(sa.func.count()).select_from(Attachment).where(Attachment.case_id == row.id))
    if there is not None and there >= MOST:
        raise TooManyAttachments(number=row.number, limit=MOST)
    try:
        data = of.vault.seal(row.key, kept.data, _about(row, id_))
        sealed_name = of.vault.seal(row.key, name.encode(), _about(row, id_) + " name")
    except KeyDestroyed as error:
        raise CaseErased(number=row.number) from error
    return Attachment(
        id=id_, case_id=row.id, at=of.now(), by=who.account, squad=who.squad, media_type=kept.media_type, size=len(kept.data),
        sha256=hashlib.sha256(data).hexdigest(), name=sealed_name, data=data,
    )  # fmt: skip


def _query(row: CaseFile, attachment: str) -> sa.Select[Attachment]:
    """By its case, too: an id alone opens nothing."""
    return sa.select(Attachment).where(Attachment.id == attachment, Attachment.case_id == row.id)


def _of_case(session: Session, row: CaseFile, attachment: str) -> Attachment:
    found = session.scalars(_query(row, attachment).options(undefer(Attachment.data))).one_or_none()
    if found is None:
        raise UnknownAttachment(number=row.number, value=attachment[:60])
    return found


def _opened(of: Office, row: CaseFile, found: Attachment) -> File:
    if not found.data:  # emptied; its key may be about to go
        raise CaseErased(number=row.number)
    try:
        data = opened(of, row, found)
    except KeyDestroyed as error:
        raise CaseErased(number=row.number) from error
    return File(_stem(_name(of, row, found) or found.id), found.media_type, data)


def _stem(name: str) -> str:
    """A name without the ending of a file: that of the type it is kept as comes in its place."""
    stem, _, ending = name.rpartition(".")
    return stem if stem and ending.lower() in ENDINGS else name


def _name(of: Office, row: CaseFile, found: Attachment) -> str | None:
    """None once it has been erased."""
    if not found.name:
        return None
    try:
        return of.vault.unseal(row.key, bytes(found.name), _about(row, found.id) + " name").decode()
    except KeyDestroyed:
        return None


def _about(row: CaseFile, id_: str) -> str:
    return f"case {row.number} attachment {id_}"


def _plain(found: Attachment) -> dict[str, Any]:
    return {
        "id": found.id, "media_type": found.media_type, "size": found.size, "at": found.at.isoformat(), "by": found.by,
        "squad": found.squad,
    }  # fmt: skip
