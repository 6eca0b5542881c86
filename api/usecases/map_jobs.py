"""What the past says, asked over time: histories taken in, what-if of a draft, border practice, and a proposal put into a draft.

Each is a job (`jobs.py`). The warm start of what-if, every case of a history decided under the map in force, is kept in memory, so
that the next change of a draft is answered by the cases near what changed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from api.usecases import map_drafts, practice, stored_cases, whatif
from api.usecases.histories import Histories, Kept, UnknownHistory, called, cases, put_aside, take_in
from api.usecases.jobs import Job, Jobs, Result, part
from api.usecases.map_drafts import By
from api.usecases.map_features import MapStore, in_force
from api.usecases.map_places import Frame, grid_of
from api.usecases.map_rows import row_told
from api.usecases.practice import NoTimes
from api.usecases.route_file import How, PointFile
from api.usecases.whatif import Warm, WhatIf
from geodata import store
from geodata.compile import Progress
from geodata.crs import parse_crs, system, to_wgs84
from geodata.drafts import check_open
from geodata.edits import CodeTaken, Edit, PutRow, row_said
from geodata.layer import LayerName
from geodata.practice_places import Place
from routing.again import History
from routing.errors import JieguanError
from routing.jurisdiction import JurisdictionMap
from routing.model import Agreement, Step

HISTORY, WHAT_IF, PRACTICE = "history", "what_if", "practice"
"""Kinds of jobs."""
DECIMALS, PLACE_DECIMALS = 7, 3
"""Of degrees: of uploaded cases; and of cases of the service, which who asks may not see: about a hundred metres."""
MOST_MOVED = 1_000_000
"""Cases of one answer that are kept to be listed, the first in the order of the history; all are counted."""


class NoRecorded(JieguanError):
    zh = "历史案件“{value}”没有“实际处置中队”一列:无从看出谁办了哪件。请重新上传,并用 recorded 指明该列。"
    en = "The history {value!r} does not say which squad handled each case, so no practice can be seen. Upload it with `recorded`."


class WhichCases(JieguanError):
    zh = "须恰好指明一种案件:history(已上传的历史案件)或 cases(“db”,本系统的案件)。请保留其一。"
    en = "Say which cases, once: `history` for past cases that were uploaded, or `cases`: `db` for those of the service. Keep one of them."


class NoSuchProposal(JieguanError):
    zh = "任务“{job}”没有第 {n} 条建议(共 {count} 条,从 0 起数)。请核对编号。"
    en = "The job {job!r} has no proposal {n} (there are {count}, counted from 0). Check its number."


class WarmStarts:
    """The warm starts lately used: of a history, under a map, for a border zone and a cap."""

    def __init__(self, keep: int) -> None:
        self._keep, self._turn = keep, threading.Lock()
        self._kept: OrderedDict[tuple[Any, ...], Warm] = OrderedDict()

    def of(self, key: tuple[Any, ...], make: Callable[[], Warm]) -> Warm:
        """The warm start; `make` is asked only where it is not there. One that rests on what time it was is not kept."""
        with self._turn:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        with self._turn:
            if not any(note.code == "assumed_now" for note in made.notes):
                self._kept[key] = made
            while len(self._kept) > self._keep:
                self._kept.popitem(last=False)
        return made

    def forget(self, seal: str) -> None:
        """Those of one history go, with its cases."""
        with self._turn:
            for key in [key for key in self._kept if key[0] == seal]:
                del self._kept[key]


@dataclass(frozen=True, slots=True, eq=False)
class Studies:
    """What these use cases are handed: the map, the jobs, the histories, and what is kept warm."""

    of: MapStore
    jobs: Jobs
    histories: Histories
    warm: WarmStarts


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """Cases that change squad, as arrays; `total` of them, of which these are the first. `row`: of the history, from 1.

    `lon`, `lat`: WGS-84 degrees, NaN where a case has no place. Squads are numbers into `squads`, steps into Step.
    """

    total: int
    squads: tuple[str, ...]
    row: NDArray[np.int64]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    squad: tuple[NDArray[np.int64], NDArray[np.int64]]
    step: tuple[NDArray[np.int64], NDArray[np.int64]]


# --- histories ---


def keep_history(at: Studies, name: str, file: IO[bytes], source: PointFile, recorded: str | None, person: str) -> Job:
    """A file of past cases, read by a job. `source`: its columns; where it lies is ours to say.

    Raises NothingInForce, HistoryNameTaken, TooManyHistories, NotCases, UploadTooBig, JobsBusy.
    """
    in_force(at.of)  # without a map nobody can tell where its places are
    place = at.histories.reserve(name)

    def work(progress: Progress) -> Result:
        _, on = _map(at.of)
        kept = take_in(sent, recorded, name, on, at.histories.limits, person, at.of.now(), progress)
        return Result(kept.told())

    def undo() -> None:
        at.histories.give_up(name)

    try:
        path = put_aside(file, place, name, at.histories.limits.file)
        sent = replace(source, points=str(path))
        return at.jobs.submit(HISTORY, work, by=person, about={"history": name}, undo=undo)
    except BaseException:
        undo()
        raise


def forget_history(at: Studies, name: str) -> None:
    """A history goes, from the disk and from memory. Raises UnknownHistory."""
    kept = at.histories.remove(name)
    at.warm.forget(kept.seal)


# --- what-if ---


def cases_of(at: Studies, history: str) -> History:
    """The past cases of a history. Raises UnknownHistory, NothingInForce, and what the readers raise."""
    kept = at.histories.find(history)
    return cases(kept, _map(at.of)[1])


def whose(history: str | None, cases: str | None) -> str | None:
    """The history that is meant, None for the cases of the service. Raises WhichCases."""
    if (history is None) == (cases is None):
        raise WhichCases
    return history


def what_if(at: Studies, by: By, history: str | None, how: How) -> Job:
    """What a draft as it now stands would do to a history (None: to the cases of the service), beside the map in force.

    Raises UnknownHistory, NothingInForce, JobsBusy, and what `map_drafts.as_seen` raises.
    """
    kept = None if history is None else at.histories.find(history)
    working = map_drafts.as_seen(at.of, by)
    in_force(at.of)

    def work(progress: Progress) -> Result:
        version, before = _map(at.of)
        after = store.version_of(working.now.features(), working.settings, part(progress, 0.0, 0.5)).map
        if kept is None:
            found = _asked_of_stored(at, how, before, after, part(progress, 0.5, 1.0))
        else:
            found = _asked(at, kept, how, version, before, after, part(progress, 0.5, 1.0))
        result = {**about, "in_force": version, **whatif.as_json(found), "notes": _notes(found.notes)}
        return Result(result, moved_of(found, PLACE_DECIMALS if kept is None else DECIMALS))

    cases = {"history": history} if history is not None else {"cases": stored_cases.NAME}
    about = {"draft": by.draft, "revision": working.revision, **cases}
    return at.jobs.submit(WHAT_IF, work, by=by.person, about=about)


def _asked_of_stored(at: Studies, how: How, before: JurisdictionMap, after: JurisdictionMap, progress: Progress) -> WhatIf:
    """The cases of the service as they are now. Nothing of them is kept: they change, and are not the planners' to see."""
    with at.of.db.reading() as session:
        table = stored_cases.table_of(session)
    source = stored_cases.columns_of(PointFile(stored_cases.NAME))
    warm = whatif.warm_start(before, source, how, at.of.now, after=after, stored=table, progress=progress)
    progress("route", 2, 4)
    return whatif.ask(warm, after)


def _asked(
    at: Studies, kept: Kept, how: How, version: str, before: JurisdictionMap, after: JurisdictionMap, progress: Progress
) -> WhatIf:
    maps = before, after
    timed, ordered = any(len(m.intervals) > 1 or m.alternating for m in maps), any(m.case_orders for m in maps)
    key = kept.seal, version, how.zone_m, how.cap_m, timed, ordered  # the last two tell what is read of the history

    def make() -> Warm:
        at.histories.find(kept.name)  # it may have been deleted while the job waited
        try:
            return whatif.warm_start(before, kept.source, how, at.of.now, after=after, progress=progress)
        except JieguanError as error:
            raise called(error, kept.source.points, kept.name) from None

    warm = at.warm.of(key, make)
    try:
        at.histories.find(kept.name)
    except UnknownHistory:  # deleted while it was read: nothing of it stays
        at.warm.forget(kept.seal)
        raise
    progress("route", 2, 4)
    return whatif.ask(warm, after)


def moved_of(answer: WhatIf, decimals: int = DECIMALS) -> Moved:
    """The cases that change squad, to be listed page by page; their places to so many decimals of a degree."""
    found, old = answer.found, answer.warm.base.known
    moved, some = found.moved, slice(0, MOST_MOVED)
    rows = moved.rows[some]
    lon, lat = to_wgs84(old.history.x[rows], old.history.y[rows], system(parse_crs(old.on.settings.work_crs), None))
    squad, step = (moved.squad_before[some], moved.squad_after[some]), (moved.step_before[some], moved.step_after[some])
    places = np.round(lon, decimals), np.round(lat, decimals)
    return Moved(len(moved), tuple(map(str, found.squads)), rows + 1, *places, squad, step)


def moved_page(at: Studies, job: str, limit: int, offset: int) -> dict[str, Any]:
    """Some of the cases that a what-if moves, in the order of the history. Raises UnknownJob, JobOfOtherKind, JobNotDone."""
    of: Moved = at.jobs.get(job).done(WHAT_IF).kept
    steps, there = [step.value for step in Step], range(len(of.row))[offset : offset + limit]
    cases = [
        {
            "row": int(of.row[k]), "lon": _degrees(of.lon[k]), "lat": _degrees(of.lat[k]),
            "squad_before": of.squads[of.squad[0][k]], "squad_after": of.squads[of.squad[1][k]],
            "step_before": steps[of.step[0][k]], "step_after": steps[of.step[1][k]],
        }
        for k in there
    ]  # fmt: skip
    end = offset + len(cases)
    following = end if cases and end < len(of.row) else None
    return {"total": of.total, "listed": len(of.row), "offset": offset, "next_offset": following, "moved": cases}


def _degrees(value: Any) -> float | None:
    return round(float(value), 7) if np.isfinite(value) else None


# --- practice ---


def ask_practice(at: Studies, history: str, since: datetime | None, person: str) -> Job:
    """Who handled what beside a line of the map in force. Raises UnknownHistory, NoRecorded, NoTimes, NothingInForce, JobsBusy."""
    kept = at.histories.find(history)
    if kept.recorded is None:
        raise NoRecorded(value=history)
    if kept.source.at_field is None:
        raise NoTimes
    recorded = kept.recorded
    in_force(at.of)

    def work(progress: Progress) -> Result:
        version, on = _map(at.of)
        source = at.histories.find(history).source
        first = None if since is None else since.isoformat()
        try:
            report = practice.practice(on, source, recorded, now=at.of.now, since=first, progress=progress)
        except JieguanError as error:
            raise called(error, source.points, history) from None
        told = report.json()
        told["proposals"] = [{"n": n, **one} for n, one in enumerate(told["proposals"])]
        head = {"history": history, "in_force": version, **told}
        return Result({**head, "notes": _notes(report.notes)}, report.found.proposals)

    about = {"history": history, "since": None if since is None else since.isoformat()}
    return at.jobs.submit(PRACTICE, work, by=person, about=about)


def agree(at: Studies, by: By, job: str, n: int, document: str) -> dict[str, Any]:
    """A proposal as an agreement in a draft, by a document: one edit, to be signed by both sides like any other.

    Raises UnknownJob, JobOfOtherKind, JobNotDone, NoSuchProposal, UnknownDraft, DraftClosed, CodeTaken, and what an edit refuses.
    """
    asked = at.jobs.get(job)
    proposals: tuple[Place, ...] = asked.done(PRACTICE).kept
    if n >= len(proposals):
        raise NoSuchProposal(job=job, n=n, count=len(proposals))
    place = proposals[n]
    ground = place.becomes()
    claim = ground.claim
    assert isinstance(claim, Agreement)
    code = claim.id.removeprefix("agreement:")

    def made(frame: Frame, work_crs: str) -> Edit:
        record = {
            "code": code, "name": "", "since": None, "until": None, "document": document, "source": f"practice: {asked.about['history']}",
            "licence": "", "datum": "", "accuracy_m": None, "parties": list(claim.parties), "rule": claim.rule, "lead": claim.lead,
            "categories": [], "cycle": claim.cycle, "zone": None,
        }  # fmt: skip
        return PutRow(row=row_said(row_told(LayerName.AGREEMENT, record, grid_of(ground.geometry, frame, work_crs))))

    working = at.of.desk.open(by.draft)
    check_open(working)
    if working.now.row(LayerName.AGREEMENT.value, code) is not None:
        raise CodeTaken(layer=LayerName.AGREEMENT.value, code=code)
    note = f"{place.over}/{place.n} {place.holder} → {place.practised}, {place.since.isoformat()} … {place.until.isoformat()}"
    return map_drafts.edit(at.of, by, made, work=True, note=note)


# --- small parts ---


def _map(of: MapStore) -> tuple[str, JurisdictionMap]:
    """The version in force and its map. Raises NothingInForce."""
    at = of.now()
    with of.db.reading() as session:
        version = store.in_force(session, at).version
        return version, of.maps.of(session, version)


def _notes(notes: tuple[Any, ...]) -> list[dict[str, str]]:
    return [{"code": n.code, "zh": n.text("zh-CN"), "en": n.text("en")} for n in notes]
