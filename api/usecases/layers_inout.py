"""Layers in and out of a map store: a dry run and its publication, exports, and files uploaded into a draft.

    plan = plan_import(db, files, stated)                     what the files would change, and what the checks find; nothing is written
    publish_plan(db, plan, by=..., reason=..., clock=...)     the first map of a store, or one that a superior orders by a document
    draft_plan(desk, plan, name, author, now)                 any other: as edits of a draft, to be signed like all edits
    export_map(db, "city.gpkg", now=now)                      a version, or a draft
    upload(desk, draft, file, author=..., now=..., apply=...) each change accepted or refused with its reason
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from geodata import store
from geodata.build import MapFiles
from geodata.child import FENCE, Fence
from geodata.compile import Progress, silent
from geodata.crs import parse_datum
from geodata.db import tables
from geodata.db.engine import Database
from geodata.drafts import Desk, Working, check_open, check_seen
from geodata.edits import Draft, Edit, replayed
from geodata.exporting import DEFAULT_CRS, About, Exported, Told, export
from geodata.importing import (
    NOTHING_STATED,
    Base,
    Changes,
    Imported,
    Provenance,
    changes,
    in_work_crs,
    issues_of,
    merged,
    read_map,
)
from geodata.intake import Note
from geodata.layer import LayerName, Row, content_hash, roster_of
from geodata.store import InForce, Signing, Version
from geodata.topology_issue import Issue, Severity
from geodata.upload import read_upload
from geodata.upload_edits import Outcome, Wish, tried, wishes_of
from geodata.upload_rows import Aside, Read, rows_in
from routing.errors import JieguanError, Lang
from routing.jurisdiction import Settings


class OpenErrors(JieguanError):
    zh = "检查发现 {count} 处错误或新的警告,不能发布:{first}请改正文件;或写明由谁负责(--defects-to),把它们登入缺陷台账后发布。"
    en = (
        "The checks found {count} errors or new warnings, so this cannot be published: {first} Correct the files; or name who sees to "
        "them (--defects-to), and they are published as entries of the ledger of defects."
    )


class NeedsOrder(JieguanError):
    zh = "库中已有生效的地图:直接替换须由绘制人以外的上级凭文件裁定(--superior、--document)。否则请导入为草案,由双方签字。"
    en = (
        "There is a map already, and to replace it outright takes a superior other than its author, and a document (--superior, "
        "--document). Otherwise import it as a draft, for both sides to sign."
    )


class NothingToImport(JieguanError):
    zh = "文件与现有地图完全一致:没有可导入的改动。"
    en = "The files say what the map says already: there is nothing to import."


class SettingsOfTheMap(JieguanError):
    zh = "交界带宽度或边界精度({given})与现有地图({there})不同:它们属于整张地图,草案改不了。请去掉该选项,或由上级凭文件直接发布。"
    en = (
        "The border zone or the accuracy of lines ({given}) is not that of the map there is ({there}): they belong to the whole map, and "
        "no draft changes them. Leave the option out, or let a superior publish outright with a document."
    )


class NotOfThisDraft(JieguanError):
    zh = "“{path}”是{of}的副本,而不是草案“{draft}”(基于版本 {base})的:按它比对会撤销别人的改动。请从该草案重新导出后再改。"
    en = (
        "{path!r} is a copy of {of}, not of the draft {draft!r} (on version {base}): compared with that it would undo what others "
        "changed. Export this draft and edit the copy."
    )


class RebasedSince(JieguanError):
    zh = "“{path}”导出于草案“{draft}”第 {revision} 版,此后草案已变基:无法比对。请重新导出后再改。"
    en = (
        "{path!r} was exported at revision {revision} of the draft {draft!r}, which was rebased since, so the two cannot be compared. "
        "Export it again."
    )


# ---- in --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A dry run: the rows to publish, what they change, what the checks find in them. `publication`: what they rest on. `settled`:
    findings, by id, that somebody answers for: warnings of the map there is, and the ledger of defects."""

    rows: tuple[Row, ...]
    settings: Settings
    layers: frozenset[LayerName]
    base: Base | None
    publication: int | None
    changes: Changes
    issues: tuple[Issue, ...]
    settled: frozenset[str]
    notes: tuple[Note, ...]

    @property
    def blocking(self) -> tuple[Issue, ...]:
        """What stands in the way of publishing, as it would in a draft: errors and warnings that nobody answers for."""
        grave = (Severity.ERROR, Severity.WARNING)
        return tuple(issue for issue in self.issues if issue.severity in grave and issue.id not in self.settled)

    @property
    def version(self) -> str:
        """The name the version would have."""
        return content_hash(self.rows, self.settings)

    def text(self, lang: Lang) -> str:
        """Notes, changes, findings: one a line."""
        return "\n".join((*(n.text(lang) for n in self.notes), self.changes.text(lang), *(i.text(lang) for i in self.issues)))

    def json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "version": self.version,
            "base": self.publication,
            "work_crs": self.settings.work_crs,
            "changes": self.changes.json(),
            "issues": [
                {
                    "id": i.id, "code": i.code, "severity": i.severity.value, "blocking": i in self.blocking, "zh": i.text("zh-CN"),
                    "en": i.text("en"),
                }
                for i in self.issues
            ],
            "notes": [{"code": n.code, "zh": n.text("zh-CN"), "en": n.text("en")} for n in self.notes],
        }


def plan_import(db: Database | None, files: MapFiles, stated: Provenance = NOTHING_STATED) -> Plan:
    """Read the files against what was published last; without a database, or with an empty one, against nothing. An empty one has
    its millimetres already, in the work CRS it was made for.

    Raises the errors of `importing.read_map`.
    """
    base, publication = (None, None) if db is None else _last(db)
    if db is not None and base is None:
        files = in_work_crs(files, _installed(db))
    imported: Imported = read_map(files, stated, base)
    rows = merged(imported, base)
    found = changes(() if base is None else base.rows, rows)
    settled = frozenset() if db is None else _settled(db, base)
    return Plan(rows, imported.settings, imported.layers, base, publication, found, issues_of(rows), settled, imported.notes)


def publish_plan(
    db: Database,
    plan: Plan,
    *,
    by: str,
    reason: str,
    clock: Callable[[], datetime],
    valid_from: datetime | None = None,
    superior: str = "",
    document: str = "",
    defects_to: str = "",
    progress: Progress = silent,
) -> tuple[InForce, Version]:
    """Compile, prove and put in force, or nothing. `defects_to`: who sees to what the checks found, which then stays as defects.

    Raises NothingToImport, NeedsOrder, OpenErrors, NoDutySquad, MapRefused, and what `store.publish` raises.
    """
    if plan.base is not None and not plan.changes.rows and plan.settings == plan.base.settings:
        raise NothingToImport
    if plan.base is not None and (not superior or superior == by or not document):
        raise NeedsOrder
    if plan.blocking and not defects_to:
        raise OpenErrors(count=len(plan.blocking), first=plan.blocking[0])
    version = store.version_of(plan.rows, plan.settings, progress)
    now = clock()  # not earlier: until the map is made, the old one answers
    signed: list[dict[str, Any]] = [{"side": "*", "signer": by, "role": "importer", "at": now.isoformat(), "document": document or None}]
    if superior:
        signed.append({"side": "*", "signer": superior, "role": "superior", "at": now.isoformat(), "document": document})
    duty = roster_of(plan.rows).duty

    def carried(session: Session) -> None:
        for issue in plan.blocking:
            facts = {"owner": defects_to, "document": document or None, "opened_at": now}
            session.merge(tables.Defect(key=issue.id, kind=issue.code, default_squad=duty, due=None, closed_at=None, **facts))

    signing = Signing(by, reason, document, tuple(signed))
    return store.publish(db, version, signing, now=now, valid_from=valid_from, base=plan.publication, then=carried), version


def draft_plan(desk: Desk, plan: Plan, name: str, author: str, now: datetime) -> Applied:
    """A new draft with what the files change, as edits. Of a layer that a file was given for, what the file lacks goes.

    Raises NothingInForce, NothingToImport, SettingsOfTheMap.
    """
    if plan.base is None:
        raise store.NothingInForce(at=now.isoformat())
    if plan.settings != plan.base.settings:
        raise SettingsOfTheMap(given=_settings_said(plan.settings), there=_settings_said(plan.base.settings))
    if not plan.changes.rows:
        raise NothingToImport
    working = desk.begin(name, author, now)
    wishes = wishes_of(working.base, Read(plan.rows, plan.layers, (), ()))
    return _applied(desk, working, wishes, author, now, note=name, apply=True)


def _settings_said(settings: Settings) -> str:
    return f"{settings.zone_m:g} m, {settings.line_accuracy_m:g} m"


def _installed(db: Database) -> str:
    """The work CRS the database was made for."""
    with db.reading() as session:
        found = session.get(tables.Installation, 1)
    assert found is not None
    return found.work_crs


def _settled(db: Database, base: Base | None) -> frozenset[str]:
    """Ids of what the ledger carries, and of the warnings that the base has already."""
    with db.reading() as session:
        carried = set(session.scalars(sa.select(tables.Defect.key).where(tables.Defect.closed_at.is_(None))))
    before = () if base is None else issues_of(base.rows)
    return frozenset(carried | {issue.id for issue in before if issue.severity is Severity.WARNING})


def _last(db: Database) -> tuple[Base | None, int | None]:
    with db.reading() as session:
        done = store.published(session)
        if not done:
            return None, None
        version = done[-1].version
        return Base(store.read_rows(session, version), store.read_settings(session, version)), done[-1].id


# ---- out -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Export:
    """A file written, and of what."""

    done: Exported
    about: About

    def text(self, lang: Lang) -> str:
        """What was written, then what was done to the content."""
        rows = ", ".join(f"{layer} {count}" for layer, count in self.done.rows.items() if count)
        written = Told("layers", {"path": str(self.done.path), "crs": self.done.crs, "layers": rows or "-"})
        return "\n".join(told.text(lang) for told in (written, *self.done.told))

    def json(self) -> dict[str, Any]:
        """As plain values."""
        told = [{"code": t.code, "zh": t.text("zh-CN"), "en": t.text("en")} for t in self.done.told]
        of = {"version": self.about.version, "draft": self.about.draft or None, "revision": self.about.revision}
        return {"path": str(self.done.path), "crs": self.done.crs, "rows": dict(self.done.rows), "of": of, "notes": told}


def export_map(
    db: Database,
    out: str | Path,
    *,
    now: datetime,
    version: str | None = None,
    draft: str | None = None,
    crs: str = DEFAULT_CRS,
    layer: LayerName | None = None,
    desk: Desk | None = None,
) -> Export:
    """A draft as it stands, a version, or (neither named) what is in force. By suffix: .gpkg, .zip of Shapefiles, .geojson.

    Raises UnknownDraft, UnknownVersion, NothingInForce, and what `exporting.export` raises.
    """
    if draft is not None:
        working = (desk or Desk(db)).open(draft)
        rows, settings = working.now.features(), working.settings
        about = About(working.base_version, now, draft, working.revision)
    else:
        with db.reading() as session:
            name = store.in_force(session, now).version if version is None else version
            rows, settings = store.read_rows(session, name), store.read_settings(session, name)
        about = About(name, now)
    return Export(export(rows, settings, out, about, crs=crs, layer=layer), about)


# ---- uploads ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Applied:
    """What became of a file in a draft: every change with its outcome. `applied`: numbers of the edits in the draft's log."""

    draft: str
    revision: int
    outcomes: tuple[Outcome, ...]
    applied: tuple[int, ...]
    asides: tuple[Aside | Note, ...] = ()

    @property
    def accepted(self) -> tuple[Outcome, ...]:
        """What the draft can have, or has."""
        return tuple(o for o in self.outcomes if o.accepted)

    @property
    def refused(self) -> tuple[Outcome, ...]:
        """What it cannot."""
        return tuple(o for o in self.outcomes if not o.accepted)

    def text(self, lang: Lang) -> str:
        """One line for each change, accepted or refused, and the sum."""
        zh = lang == "zh-CN"
        heads = ("采纳 ", "拒绝 ") if zh else ("accepted  ", "refused   ")
        lines = [aside.text(lang) for aside in self.asides]
        lines += [heads[not o.accepted] + o.text(lang) for o in self.outcomes]
        facts = {"accepted": len(self.accepted), "refused": len(self.refused), "applied": len(self.applied)}
        total = "共采纳 {accepted} 项,拒绝 {refused} 项;已写入草案 {applied} 项。" if zh else (
            "{accepted} accepted, {refused} refused; {applied} written to the draft."
        )
        return "\n".join((*lines, total.format(**facts)))

    def json(self) -> dict[str, Any]:
        """As plain values."""
        asides = [{"code": a.code, "zh": a.text("zh-CN"), "en": a.text("en")} for a in self.asides]
        return {
            "draft": self.draft, "revision": self.revision, "applied": list(self.applied), "notes": asides,
            "changes": [outcome.said() for outcome in self.outcomes],
        }  # fmt: skip


def fence_for(size: int) -> Fence:
    """The fence of a reader of files of up to that many bytes."""
    return replace(FENCE, upload=size)


def upload(
    desk: Desk,
    draft: str,
    source: str | Path | IO[bytes],
    *,
    author: str,
    now: datetime,
    name: str | None = None,
    size: int | None = None,
    layer: LayerName | None = None,
    datum: str | None = None,
    apply: bool = False,
    seen: int | None = None,
    fence: Fence = FENCE,
) -> Applied:
    """A file as edits of a draft; `apply` False only tells what would become of it. A change refused holds up no other.

    `layer`, `datum`: as `upload_rows.rows_in`. `name`, `size`: of a stream. `seen`: the revision its author looked at (None: the
    latest), or an earlier one of which the file is a copy: what others touched since is refused. Raises UnknownDraft, DraftClosed,
    UnknownDatum, NotOfThisDraft, RebasedSince, and what `read_upload` and `rows_in` raise.
    """
    working = desk.open(draft)
    check_open(working)
    if datum is not None:
        parse_datum(datum)
    uploaded = read_upload(source, name, size=size, fence=fence)
    base, copied = _exported_from(working, uploaded.about, uploaded.name)
    seen = copied if seen is None else min(seen, copied)
    read = rows_in(uploaded, base.features(), working.settings, layer=layer, datum=datum)
    note = f"{uploaded.name} sha256:{uploaded.sha256}"
    done = _applied(desk, working, wishes_of(base, read), author, now, note=note, apply=apply, seen=seen)
    return Applied(done.draft, done.revision, done.outcomes, done.applied, (*uploaded.notes, *read.asides))


def _exported_from(working: Working, about: Any, path: str) -> tuple[Draft, int]:
    """The draft as the file's author had it, and its revision then. A file that is no copy of ours is about the draft as it is."""
    if about is None:
        return working.now, working.revision
    if not about["draft"] and about["version"] == working.base_version:
        return working.base, 0
    if about["draft"] != working.id:
        of = f"draft {about['draft']!r}" if about["draft"] else f"version {about['version'][:12]}"
        raise NotOfThisDraft(path=path, of=of, draft=working.id, base=working.base_version[:12])
    revision = int(about["revision"])
    if revision > working.revision or any(e.kind == "rebase" and e.seq > revision for e in working.log):
        raise RebasedSince(path=path, draft=working.id, revision=revision)
    return (working.now if revision == working.revision else replayed(working.base, _active(working, revision))), revision


def _active(working: Working, revision: int) -> Iterator[Edit]:
    """The edits that held at a revision."""
    entries = {e.seq: e for e in working.log}
    active: set[int] = set()
    for entry in working.log[:revision]:
        match entry.kind:
            case "undo":
                active.discard(int(entry.args["seq"]))
            case "redo":
                active.add(int(entry.args["seq"]))
            case "rebase":
                active -= {int(seq) for seq in entry.args["dropped"]}
            case _:
                active.add(entry.seq)
    return (entries[seq].edit for seq in sorted(active))


def _applied(
    desk: Desk,
    working: Working,
    wishes: Sequence[Wish],
    author: str,
    now: datetime,
    *,
    note: str,
    apply: bool,
    seen: int | None = None,
) -> Applied:
    """Try every wish on the draft as it is; with `apply`, write those it can have, each on top of what it saw."""
    checked = [_unless_touched(working, wish, working.revision if seen is None else seen) for wish in wishes]
    _, outcomes = tried(working.now, checked)
    if not apply:
        return Applied(working.id, working.revision, outcomes, ())
    written: list[int] = []
    told: list[Outcome] = []
    for outcome in outcomes:
        edit = outcome.wish.edit
        if edit is None or not outcome.accepted:
            told.append(outcome)
            continue
        try:
            working = desk.add(working.id, edit, author, now, seen=working.revision, note=note)
        except JieguanError as why:  # another planner was quicker
            told.append(Outcome(outcome.wish, why))
        else:
            written.append(working.revision)
            told.append(outcome)
    return Applied(working.id, working.revision, tuple(told), tuple(written))


def _unless_touched(working: Working, wish: Wish, seen: int) -> Wish:
    """The wish; or none, where somebody touched the same ground since its author looked."""
    if wish.edit is None:
        return wish
    try:
        check_seen(working, wish.edit, seen)
    except JieguanError as why:
        return Wish(wish.layer, wish.code, why=why)
    return wish
