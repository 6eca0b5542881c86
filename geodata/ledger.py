"""The ledger of defects: known faults of the ground that stay open, by how many cases fell on each.

    stood = standing_of(rows)                         what the checks find in a version, with its ground
    ledger(stood, kept, history)                      open defects, the most loaded first
    close(session, key, by, reason, document, now)    one that is no longer there

A defect is named by its finding. Where the version in force has no such finding any more, somebody has mended it, and it can be
closed; while it stands, it cannot.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import shapely
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geodata.db import tables as t
from geodata.draft_checks import checks_of, grounds_of
from geodata.drafts import NoReason
from geodata.edits import Indexes, drafted
from geodata.layer import Row, in_metres
from geodata.topology_issue import Issue
from routing.again import History
from routing.errors import JieguanError


class UnknownDefect(JieguanError):
    zh = "缺陷台账中没有“{value}”。请重新读取台账。"
    en = "The ledger has no defect {value!r}. Load it again."


class DefectClosed(JieguanError):
    zh = "缺陷“{key}”已于 {at} 结案:不能再结一次。"
    en = "The defect {key!r} was closed at {at} already, and cannot be closed again."


class DefectStands(JieguanError):
    zh = "缺陷“{key}”在现行地图(版本 {version})中仍然存在:结案会使它无人过问。请先在草案中改正并发布。"
    en = (
        "The defect {key!r} is still there in the map in force (version {version}): closed, nobody would see to it. Mend it in a "
        "draft and publish that first."
    )


@dataclass(frozen=True, slots=True)
class Closing:
    """Who closed a defect, when, and on what grounds."""

    at: datetime
    by: str
    reason: str
    document: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A defect as it was entered. `default_squad`: who keeps the ground meanwhile; `owner`: who sees to it. `closings`: in order;
    one that was entered again may have been closed before."""

    key: str
    kind: str
    default_squad: str
    owner: str
    due: datetime | None
    document: str
    opened_at: datetime
    closed_at: datetime | None
    closings: tuple[Closing, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A finding of a version. `ground`: polygons of whole millimetres, None where it is about no ground (a spike, a strip that
    is open to the outside)."""

    layer: str
    issue: Issue
    ground: Any


Standing = Mapping[str, Found]
"""What the checks find in a version, by the finding's id."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A defect with what is known of it. `found` None: no such finding is there any more. `load`: past cases on its ground, None
    where no history was given or it has no ground."""

    kept: Kept
    found: Found | None
    load: int | None

    @property
    def area_m2(self) -> float | None:
        """Of the finding."""
        return None if self.found is None else self.found.issue.area_m2


def standing_of(rows: Iterable[Row]) -> Standing:
    """The findings of a map's rows, as a draft of it would begin with. Where two layers share a finding's id, the first."""
    draft = drafted(rows)
    at = Indexes(draft)
    found: dict[str, Found] = {}
    for layer, coverage in sorted(draft.coverages.items()):
        checks = checks_of(coverage, at.of(draft, layer))
        grounds = grounds_of(checks)
        for issue in checks.issues:
            found.setdefault(issue.id, Found(layer, issue, grounds.get(issue.id)))
    return found


def ledger(stood: Standing, kept: Iterable[Kept], history: History | None = None) -> tuple[Entry, ...]:
    """Open defects: by load, then by area, the greatest first; those that are no longer there last.

    `history`: past cases in the work CRS of the map; one that lies on a ground's very edge counts.
    """
    some = [k for k in kept if k.closed_at is None]
    there = [stood.get(k.key) for k in some]
    load: list[int | None] = [None] * len(some)
    if history is not None:
        with_ground = [n for n, found in enumerate(there) if found is not None and found.ground is not None]
        counted = loads([there[n].ground for n in with_ground], history)  # type: ignore[union-attr]
        for n, count in zip(with_ground, counted, strict=True):
            load[n] = count
    entries = [Entry(*each) for each in zip(some, there, load, strict=True)]
    return tuple(sorted(entries, key=_rank))


def _rank(entry: Entry) -> tuple[Any, ...]:
    return entry.found is None, 0 if entry.load is None else -entry.load - 1, -(entry.area_m2 or 0.0), entry.kept.key


def loads(grounds: Sequence[Any], history: History) -> list[int]:
    """How many cases lie on each ground (whole millimetres), its edge included; cases without a place on none."""
    order = np.argsort(history.x)  # those without a place come last
    x, y = history.x[order], history.y[order]
    counts = []
    for ground in grounds:
        metres = in_metres(ground)
        shapely.prepare(metres)
        x0, y0, x1, y1 = shapely.bounds(metres).tolist()
        some = slice(int(np.searchsorted(x, x0)), int(np.searchsorted(x, x1, "right")))
        near = np.flatnonzero((y[some] >= y0) & (y[some] <= y1))
        counts.append(int(shapely.intersects_xy(metres, x[some][near], y[some][near]).sum()))
    return counts


# --- in the database ---


class Standings:
    """The findings of versions lately asked for: a version never changes, and checking one takes seconds."""

    def __init__(self, keep: int = 2) -> None:
        self._keep, self._turn = keep, threading.Lock()
        self._kept: OrderedDict[str, Standing] = OrderedDict()

    def of(self, version: str, rows: Callable[[], Iterable[Row]]) -> Standing:
        """The findings of a version; `rows` is asked only where they are not known yet. Whoever comes meanwhile waits."""
        with self._turn:
            if version not in self._kept:
                self._kept[version] = standing_of(rows())
                while len(self._kept) > self._keep:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(version)
            return self._kept[version]


def read(session: Session) -> tuple[Kept, ...]:
    """All defects ever entered, in order of their opening."""
    closings: dict[str, list[Closing]] = {}
    for c in session.scalars(sa.select(t.DefectClosing).order_by(t.DefectClosing.id)):
        closings.setdefault(c.key, []).append(Closing(c.at, c.by, c.reason, c.document or ""))
    rows = session.scalars(sa.select(t.Defect).order_by(t.Defect.opened_at, t.Defect.key))
    return tuple(
        Kept(
            d.key, d.kind, d.default_squad, d.owner or "", d.due, d.document or "", d.opened_at, d.closed_at,
            tuple(closings.get(d.key, ())),
        )
        for d in rows
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Duty:
    """Who keeps a defect's ground meanwhile, who sees to it, until when, by which document; None (document: empty): as it was."""

    squad: str | None = None
    owner: str | None = None
    due: datetime | None = None
    document: str = ""


def assign(session: Session, key: str, duty: Duty) -> Kept:
    """An open defect assigned anew; since when it is open stays. Raises UnknownDefect, DefectClosed."""
    row = _open(session, key)
    row.default_squad, row.owner = duty.squad or row.default_squad, duty.owner or row.owner
    row.due, row.document = duty.due or row.due, duty.document or row.document
    session.flush()
    return _kept(session, key)


def close(session: Session, key: str, stood: Standing, version: str, closing: Closing) -> Kept:
    """Close a defect that `version`, the one in force, no longer has; who, when and why is kept.

    Raises UnknownDefect, DefectClosed, DefectStands, NoReason.
    """
    if not closing.by.strip() or not closing.reason.strip():
        raise NoReason(what="closing")
    row = _open(session, key)
    if key in stood:
        raise DefectStands(key=key, version=version[:12])
    row.closed_at = closing.at
    session.add(
        t.DefectClosing(key=key, at=closing.at, by=closing.by, reason=closing.reason, document=closing.document or None)
    )
    session.flush()
    return _kept(session, key)


def _open(session: Session, key: str) -> t.Defect:
    row = session.get(t.Defect, key, with_for_update=True)
    if row is None:
        raise UnknownDefect(value=key[:80])
    if row.closed_at is not None:
        raise DefectClosed(key=key, at=row.closed_at.isoformat())
    return row


def _kept(session: Session, key: str) -> Kept:
    (kept,) = (k for k in read(session) if k.key == key)
    return kept
