"""Drafts in the database: a base version and a log of what was done to it, by several planners at once, without losing either's work.

The log only grows: undo and rebase are entries like edits. Who writes says the revision he has seen. If somebody wrote
meanwhile, the edit still goes in where the two touch different borders and units; else it is refused with what came between.
A draft is published when no error is open that the ledger of defects does not carry, every new warning was accepted by name,
and both sides of every change have signed what it now is, or a superior has, with a document; never on its author's word alone.
"""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from geodata import store
from geodata.arcs import ArcIndex
from geodata.border_rows import stray
from geodata.compile import Progress, silent
from geodata.db import tables as t
from geodata.db.engine import Database
from geodata.draft_checks import Checks, checks_of, rechecked
from geodata.edits import Draft, Edit, Indexes, Touch, drafted, edit_of, rebased, replayed, taken
from geodata.layer import LayerName, Row
from geodata.store import InForce, Signing, Version
from geodata.topology_issue import Issue, Severity
from routing.errors import JieguanError, Worded
from routing.jurisdiction import Settings

OPEN, PUBLISHED, ABANDONED = "open", "published", "abandoned"
SUPERIOR = "superior"


class UnknownDraft(JieguanError):
    zh = "没有草案“{value}”。请用草案列表核对编号。"
    en = "There is no draft {value!r}. List the drafts to see those there are."


class DraftClosed(JieguanError):
    zh = "草案“{draft}”已是“{state}”状态,不能再改:已发布的版本不可变。请另开一份草案。"
    en = "The draft {draft!r} is {state} and cannot be changed any more: what is published never is. Begin another draft."


class EditConflict(JieguanError):
    zh = "此修改基于第 {seen} 版,而草案已到第 {now} 版,且 {others} 动过同一处({where})。请查看后重新提交。"
    en = (
        "This edit was made on revision {seen}, the draft is at {now}, and {others} touched the same ground ({where}). Look at "
        "it as it is now, and make the edit again."
    )


class NothingToUndo(JieguanError):
    zh = "草案中没有可{what}的第 {seq} 号修改。请刷新后重试。"
    en = "The draft has no edit {seq} to {what}. Load it again."


class UndoneByOthers(JieguanError):
    zh = "撤销第 {seq} 号修改后,建立在其上的第 {others} 号修改便不成立({why})。请先撤销那些修改。"
    en = "Without edit {seq}, the edits {others} that rest on it do not hold ({why}). Undo those first."


class OpenFindings(JieguanError):
    zh = "还有 {count} 项问题未处理,不能发布:{first}。错误须改正或登入缺陷台账;警告须由具名人员说明理由后接受。"
    en = (
        "{count} findings are open, so this cannot be published: {first} Mend errors or enter them in the ledger of defects; "
        "warnings must be accepted by a named person with a reason."
    )


class NotSigned(JieguanError):
    zh = "尚缺 {sides} 一方对当前第 {revision} 版的签字,不能发布。请双方签字,或由上级凭文件裁定。"
    en = (
        "{sides} have not signed what the draft now is (revision {revision}), so it cannot be published. Both sides sign, or a "
        "superior decides with a document."
    )


class OnlyItsAuthor(JieguanError):
    zh = "草案只有绘制人 {author} 自己签字,不能发布。请由另一人签字。"
    en = "Only {author}, who drew it, has signed, so this cannot be published. Somebody else must sign, too."


class NoDocument(JieguanError):
    zh = "上级裁定须注明文件(document):没有文件,日后无法说明依据。请填写文号。"
    en = "A superior's decision names its document, or nobody can later say on what it rests. Fill in `document`."


class NoReason(Worded):
    zh = "{what}须写明理由(reason)与姓名(by)。请补填。"
    en = "{what} needs a reason and a name. Fill in `reason` and `by`."
    worded = "what"
    words: ClassVar[Mapping[str, tuple[str, str]]] = {
        "waiver": ("接受警告", "Accepting a warning"), "closing": ("缺陷结案", "Closing a defect"),
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a draft's log. `seq` is also the revision the draft had after it."""

    seq: int
    author: str
    at: datetime
    kind: str
    args: Mapping[str, Any]
    note: str

    @property
    def edit(self) -> Edit:
        """The edit, where the entry is one."""
        return edit_of({"kind": self.kind, **self.args})


NOT_EDITS = frozenset({"undo", "redo", "rebase"})


@dataclass(frozen=True, slots=True, eq=False)
class Working:
    """A draft as it stands. `active`: the edits that hold, by seq."""

    id: str
    name: str
    author: str
    state: str
    base_version: str
    base_publication: int
    settings: Settings
    log: tuple[Entry, ...]
    active: Mapping[int, Edit]
    base: Draft
    now: Draft
    at: Indexes
    checks: Mapping[str, Checks]
    base_checks: Mapping[str, Checks]
    stray: tuple[Issue, ...] = ()
    """Border stretches that lie on no border."""

    @property
    def revision(self) -> int:
        """How many entries the log has."""
        return len(self.log)

    @property
    def issues(self) -> tuple[Issue, ...]:
        """All findings of all coverages, and of the border stretches."""
        return (*(issue for checks in self.checks.values() for issue in checks.issues), *self.stray)

    def undoable(self) -> int | None:
        """The last edit that holds."""
        return max(self.active, default=None)

    def redoable(self) -> int | None:
        """The edit that was undone last, if nothing was done since."""
        last = next((e for e in reversed(self.log) if e.kind != "redo"), None)
        undone = [e for e in self.log if e.kind == "undo" and int(e.args["seq"]) not in self.active]
        return int(undone[-1].args["seq"]) if undone and last is not None and last.kind == "undo" else None


@dataclass(frozen=True, slots=True, eq=False)
class _Tried:
    """What an edit makes of a draft: worked out before it is written, and not once more when it is read."""

    before: Draft
    said: Mapping[str, Any]
    after: Draft


@dataclass(frozen=True, slots=True, eq=False)
class Also:
    """What somebody else writes in the transaction of an edit: all of it or nothing. `write` is told the revision the edit makes.

    `writing`: a transaction of the drafts' database, as `Database.writing`, and whatever its owner does around it.
    """

    writing: Callable[[], AbstractContextManager[Session]]
    write: Callable[[int], None]


class Desk:
    """The drafts of one database, those lately worked on kept as they stand."""

    def __init__(self, db: Database, keep: int = 8) -> None:
        self.db, self._keep, self._turn = db, keep, threading.RLock()
        self._kept: OrderedDict[str, Working] = OrderedDict()
        self._tried: dict[str, _Tried] = {}

    # --- what is there ---

    def drafts(self) -> list[dict[str, Any]]:
        """All drafts, newest first."""
        with self.db.reading() as session:
            rows = session.scalars(sa.select(t.Draft).order_by(t.Draft.created_at.desc(), t.Draft.id))
            return [
                {
                    "id": d.id, "name": d.name, "author": d.author, "state": d.state, "revision": d.revision,
                    "base_version": d.base_version, "created_at": d.created_at.isoformat(),
                }
                for d in rows
            ]

    def open(self, draft: str) -> Working:
        """A draft as it stands. Raises UnknownDraft."""
        with self._turn:
            known = self._kept.get(draft)
            with self.db.reading() as session:
                working = _read(session, draft, known, self._tried.get(draft))
            self._kept[draft] = working
            self._kept.move_to_end(draft)
            while len(self._kept) > self._keep:
                self._kept.popitem(last=False)
            return working

    # --- what can be done ---

    def begin(self, name: str, author: str, now: datetime) -> Working:
        """A draft on what was published last. Raises NothingInForce."""
        with self.db.writing() as session:
            last = next(iter(reversed(store.published(session))), None)
            if last is None:
                raise store.NothingInForce(at=now.isoformat())
            made = t.Draft(
                id=uuid.uuid4().hex[:12], name=name, base_version=last.version, base_publication=last.id, author=author,
                state=OPEN, revision=0, created_at=now,
            )
            session.add(made)
            session.flush()
            id_ = made.id
        return self.open(id_)

    def add(
        self,
        draft: str,
        edit: Edit,
        author: str,
        now: datetime,
        *,
        seen: int | None = None,
        note: str = "",
        also: Also | None = None,
    ) -> Working:
        """An edit on top of the draft. `seen`: the revision its author looked at, None for the latest. `also`: what is written with it.

        Raises DraftClosed, EditConflict, whatever the edit refuses.
        """

        def step(working: Working) -> tuple[str, dict[str, Any]]:
            check_seen(working, edit, working.revision if seen is None else seen)
            after, said = taken(working.now, edit, working.at), edit.said()
            self._tried[draft] = _Tried(working.now, dict(said), after)
            return str(said.pop("kind")), said

        return self._write(draft, step, author, now, note, also)

    def undo(self, draft: str, author: str, now: datetime, seq: int | None = None) -> Working:
        """Take an edit out, the last by default. Raises NothingToUndo, UndoneByOthers."""

        def step(working: Working) -> tuple[str, dict[str, Any]]:
            which = working.undoable() if seq is None else seq
            if which is None or which not in working.active:
                raise NothingToUndo(seq=which or "-", what="undo")
            rest = [(n, e) for n, e in sorted(working.active.items()) if n != which]
            _, _, refused = rebased(working.base, [e for _, e in rest])
            if refused:
                others = ", ".join(str(rest[r.number][0]) for r in refused)
                raise UndoneByOthers(seq=which, others=others, why=refused[0].why)
            return "undo", {"seq": which}

        return self._write(draft, step, author, now)

    def redo(self, draft: str, author: str, now: datetime) -> Working:
        """Put the edit back that was undone last. Raises NothingToUndo."""

        def step(working: Working) -> tuple[str, dict[str, Any]]:
            which = working.redoable()
            if which is None:
                raise NothingToUndo(seq="-", what="redo")
            return "redo", {"seq": which}

        return self._write(draft, step, author, now)

    def rebase(self, draft: str, author: str, now: datetime) -> tuple[Working, tuple[tuple[int, JieguanError], ...]]:
        """Onto what was published last: every edit is made again there, or dropped with its reason."""
        dropped: list[tuple[int, JieguanError]] = []

        def step(working: Working) -> tuple[str, dict[str, Any]]:
            with self.db.reading() as session:
                last = store.published(session)[-1]
                base = drafted(store.read_rows(session, last.version))
            numbers = sorted(working.active)
            _, _, refused = rebased(base, [working.active[n] for n in numbers])
            dropped[:] = [(numbers[r.number], r.why) for r in refused]
            why = {str(n): error.text("en") for n, error in dropped}
            return "rebase", {"version": last.version, "publication": last.id, "dropped": why}

        return self._write(draft, step, author, now), tuple(dropped)

    def abandon(self, draft: str) -> None:
        """Close a draft without publishing. It stays to be read."""
        with self.db.writing() as session:
            _locked(session, draft).state = ABANDONED

    def comment(self, draft: str, author: str, text: str, now: datetime, place: Sequence[float] | None = None) -> None:
        """Something said about the draft, at a place (metres) or not."""
        with self.db.writing() as session:
            _locked(session, draft)
            at = None if place is None else {"x": repr(float(place[0])), "y": repr(float(place[1]))}
            session.add(t.DraftComment(draft_id=draft, seq=None, author=author, at=now, text=text, place=at))

    def waive(self, draft: str, finding: str, by: str, reason: str, now: datetime) -> None:
        """A warning accepted by a named person. Raises NoReason."""
        if not by.strip() or not reason.strip():
            raise NoReason(what="waiver")
        with self.db.writing() as session:
            _locked(session, draft)
            session.merge(t.Waiver(draft_id=draft, finding=finding, by=by, reason=reason, at=now))

    def sign(
        self, draft: str, side: str, signer: str, now: datetime, *, role: str = "leader", reason: str = "", document: str = ""
    ) -> None:
        """Sign what the draft now is for one side; a superior signs for all, with a document. Raises NoDocument."""
        if role == SUPERIOR and not document:
            raise NoDocument
        with self.db.writing() as session:
            revision = _locked(session, draft).revision
            session.add(
                t.DraftSignature(
                    draft_id=draft, revision=revision, side=side, signer=signer, role=role, at=now, reason=reason or None,
                    document=document or None,
                )
            )

    def enter_defect(
        self, issue: Issue, squad: str, owner: str, now: datetime, due: datetime | None = None, document: str = ""
    ) -> None:
        """Into the ledger of defects that stay open: who keeps the ground meanwhile, who sees to it, until when."""
        with self.db.writing() as session:
            session.merge(
                t.Defect(
                    key=issue.id, kind=issue.code, default_squad=squad, owner=owner, due=due, document=document or None,
                    opened_at=now, closed_at=None,
                )
            )

    def publish(
        self,
        draft: str,
        author: str,
        reason: str,
        clock: Callable[[], datetime],
        *,
        valid_from: datetime | None = None,
        document: str = "",
        progress: Progress = silent,
    ) -> tuple[InForce, Version]:
        """Put the draft in force. The clock is read when the map is made: until then the old one has answered.

        Raises OpenFindings, NotSigned, OnlyItsAuthor, and what `store.publish` raises.
        """
        working = self.open(draft)
        check_open(working)
        signed = self.readiness(working)
        version = store.version_of(working.now.features(), working.settings, progress)
        done = store.publish(
            self.db, version, Signing(author, reason, document, signed), now=clock(), valid_from=valid_from,
            base=working.base_publication, then=lambda session: _close(session, working),
        )
        return done, version

    def readiness(self, working: Working) -> tuple[dict[str, Any], ...]:
        """The signatures it would be published under. Raises OpenFindings, NotSigned, OnlyItsAuthor."""
        with self.db.reading() as session:
            carried = set(session.scalars(sa.select(t.Defect.key).where(t.Defect.closed_at.is_(None))))
            waived = set(session.scalars(sa.select(t.Waiver.finding).where(t.Waiver.draft_id == working.id)))
            query = sa.select(t.DraftSignature).where(t.DraftSignature.draft_id == working.id).order_by(t.DraftSignature.id)
            signatures = [s for s in session.scalars(query) if s.revision == working.revision]
        blocking = open_findings(working, carried, waived)
        if blocking:
            raise OpenFindings(count=len(blocking), first=blocking[0])
        needed = sides_of(working)
        over = any(s.role == SUPERIOR for s in signatures)
        missing = sorted(needed - {s.side for s in signatures})
        if missing and not over:
            raise NotSigned(sides=", ".join(missing), revision=working.revision)
        authors = {e.author for e in working.log if e.kind not in NOT_EDITS}
        if not {s.signer for s in signatures} - authors:
            raise OnlyItsAuthor(author=", ".join(sorted(authors)) or working.author)
        return tuple(
            {"side": s.side, "signer": s.signer, "role": s.role, "at": s.at.isoformat(), "document": s.document} for s in signatures
        )

    def _write(
        self, draft: str, step: Callable[[Working], tuple[str, dict[str, Any]]], author: str, now: datetime, note: str = "",
        also: Also | None = None,
    ) -> Working:  # fmt: skip
        """One entry more. Worked out on what was read, and written only if that is still so; else worked out again."""
        while True:
            with self._turn:  # a draft's index moves along with it, so one thread at a time works anything out
                working = self.open(draft)
                check_open(working)
                kind, args = step(working)
            with self.db.writing() if also is None else also.writing() as session:
                row = _locked(session, draft)
                if row.revision == working.revision and row.state == OPEN:
                    row.revision += 1
                    if kind == "rebase":
                        row.base_version, row.base_publication = args["version"], args["publication"]
                    session.add(
                        t.DraftEdit(
                            draft_id=draft, seq=row.revision, author=author, at=now, kind=kind, args=args, note=note or None
                        )
                    )
                    if also is not None:
                        also.write(row.revision)
                    break
        try:
            return self.open(draft)
        finally:
            self._tried.pop(draft, None)


def open_findings(working: Working, carried: Iterable[str] = (), waived: Iterable[str] = ()) -> list[Issue]:
    """What stands in the way of publishing: errors, and warnings that the base did not have; unless the ledger carries them (by id), or
    they are warnings and somebody accepted them."""
    in_ledger = set(carried)
    accepted = in_ledger | set(waived)
    before = {issue.id for checks in working.base_checks.values() for issue in checks.issues}
    return [
        issue
        for issue in working.issues
        if (issue.severity is Severity.ERROR and issue.id not in in_ledger)
        or (issue.severity is Severity.WARNING and issue.id not in before and issue.id not in accepted)
    ]


def sides_of(working: Working) -> set[str]:
    """Who must sign: everybody whose ground changed, the parties of agreements that did, the sides of border stretches that did."""
    sides = {code for _, code in working.now.changed}
    for key in working.base.rows.keys() | working.now.rows.keys():
        old, new = working.base.rows.get(key), working.now.rows.get(key)
        if old is not new and key[0] == LayerName.AGREEMENT.value:
            sides |= {str(p) for row in (old, new) if row is not None for p in row.facts["parties"]}
        elif old is not new and key[0] == LayerName.BORDER.value:
            sides |= {str(s) for row in (old, new) if row is not None for s in row.facts.get("sides") or ()}
        elif old is not new and key[0] == LayerName.DESIGNATION.value:
            sides.add(SUPERIOR)
    return sides


# --- as it is read ---


def _read(session: Session, draft: str, known: Working | None, tried: _Tried | None = None) -> Working:
    row = session.get(t.Draft, draft)
    if row is None or row.base_version is None or row.base_publication is None:
        raise UnknownDraft(value=draft)
    if known is not None and (known.base_version != row.base_version or known.revision > row.revision):
        known = None
    after = 0 if known is None else known.revision
    query = sa.select(t.DraftEdit).where(t.DraftEdit.draft_id == draft, t.DraftEdit.seq > after).order_by(t.DraftEdit.seq)
    new = [Entry(e.seq, e.author, e.at, e.kind, e.args, e.note or "") for e in session.scalars(query)]
    if known is None:
        known = _begun(session, row)
    return _advanced(known, row.state, new, tried)


def _begun(session: Session, row: t.Draft) -> Working:
    assert row.base_version is not None
    assert row.base_publication is not None
    base = drafted(store.read_rows(session, row.base_version))
    at = Indexes(base)
    checks = {layer: checks_of(coverage, at.of(base, layer)) for layer, coverage in base.coverages.items()}
    settings = store.read_settings(session, row.base_version)
    return Working(
        row.id, row.name, row.author, row.state, row.base_version, row.base_publication, settings, (), {}, base, base, at,
        checks, checks, _stray(base, at),
    )


def _advanced(working: Working, state: str, new: Sequence[Entry], tried: _Tried | None = None) -> Working:
    """The draft after more entries of its log. `tried`: what one of them is known to make of a draft."""
    active, now = dict(working.active), working.now
    rebuild = False
    for entry in new:
        if entry.kind == "undo":
            active.pop(int(entry.args["seq"]), None)
        elif entry.kind == "redo":
            active[int(entry.args["seq"])] = _entry(working, new, int(entry.args["seq"])).edit
        elif entry.kind == "rebase":
            for seq in entry.args["dropped"]:
                active.pop(int(seq), None)
        else:
            active[entry.seq] = entry.edit
        rebuild |= entry.kind in NOT_EDITS
    active = dict(sorted(active.items()))
    if rebuild:
        now = replayed(working.base, active.values())
    else:
        for entry in new:
            known = tried is not None and tried.before is now and tried.said == {"kind": entry.kind, **entry.args}
            now = tried.after if known and tried is not None else active[entry.seq].apply(now, working.at)
    checks = {layer: _rechecked(working.checks[layer], now, working.at.of(now, layer), layer) for layer in now.coverages}
    return Working(
        working.id, working.name, working.author, state, working.base_version, working.base_publication, working.settings,
        (*working.log, *new), active, working.base, now, working.at, checks, working.base_checks, _stray(now, working.at),
    )


def _stray(draft: Draft, at: Indexes) -> tuple[Issue, ...]:
    return stray(draft.rows.values(), draft.coverages, {layer: at.of(draft, layer) for layer in draft.coverages})


def _rechecked(before: Checks, now: Draft, index: ArcIndex, layer: str) -> Checks:
    coverage = now.coverages[layer]
    return before if before.coverage is coverage else rechecked(before, coverage, index)


def _entry(working: Working, new: Sequence[Entry], seq: int) -> Entry:
    return next(e for e in (*working.log, *new) if e.seq == seq)


def check_open(working: Working) -> None:
    """Raises DraftClosed."""
    if working.state != OPEN:
        raise DraftClosed(draft=working.id, state=working.state)


def check_seen(working: Working, edit: Edit, seen: int) -> None:
    """An edit made on an older revision holds if nothing since touched what it touches."""
    between = [e for e in working.log if e.seq > seen]
    if not between:
        return
    mine = edit.touches(working.now)
    for entry in between:
        theirs = Touch(mine.rests | mine.changes) if entry.kind in NOT_EDITS else entry.edit.touches(working.now)
        common = sorted(name for _, name in mine.clash(theirs))
        if common:
            raise EditConflict(seen=seen, now=working.revision, others=entry.author, where=", ".join(common[:5]))


def _locked(session: Session, draft: str) -> t.Draft:
    row = session.get(t.Draft, draft, with_for_update=True)
    if row is None:
        raise UnknownDraft(value=draft)
    if row.state != OPEN:
        raise DraftClosed(draft=draft, state=row.state)
    return row


def _close(session: Session, working: Working) -> None:
    """Part of the publication's transaction: what is published is what was signed."""
    row = _locked(session, working.id)
    if row.revision != working.revision:
        raise EditConflict(seen=working.revision, now=row.revision, others="-", where="-")
    row.state = PUBLISHED


def rows_changed(before: Draft, after: Draft) -> list[tuple[Row | None, Row | None]]:
    """Rows that differ, old and new; None where there is none."""
    old, new = ({r.key: r for r in d.features()} for d in (before, after))
    keys = sorted(old.keys() | new.keys())
    pairs = [(old.get(k), new.get(k)) for k in keys]
    return [(a, b) for a, b in pairs if a is not b and (a is None or b is None or a.hash != b.hash)]
