"""The layers of a map as features: of the version in force, of any version, of a draft as it stands.

A shelf is one layer of one state of the map. What is published never changes, and a draft at a revision neither, so shelves are
kept: a page costs a look at which version is in force, and nothing else. Pages name the state they were cut from, and the next
page comes from the same, whatever was published in between.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import shapely

from api.usecases.map_places import Frame, OfTheAddress, told
from api.usecases.map_rows import record_of
from geodata import store
from geodata.db.engine import Database
from geodata.drafts import Desk, Working
from geodata.edits import Draft
from geodata.layer import LayerName, Row, on_grid
from geodata.ledger import Standings
from geodata.store import InForce, Maps
from routing.errors import JieguanError

PLAIN = re.compile(r"(?!row-)[^\W_][\w.~-]*")
"""Codes that can stand in an address as they are."""


class NoSuchLayer(JieguanError):
    zh = "没有名为“{value}”的图层。可用:{known}。"
    en = "There is no layer {value!r}. There are: {known}."


class NoSuchFeature(JieguanError):
    zh = "图层 {layer} 中没有“{value}”。它可能已被合并或改号;请重新读取该图层。"
    en = "The layer {layer} has no {value!r}. It may have been merged or given another code: load the layer again."


class MovedOn(JieguanError):
    zh = "草案已从第 {seen} 版改到第 {now} 版,余下各页与前面的不是同一份。请从第一页重新读取。"
    en = "The draft has gone from revision {seen} to {now}, so the rest would not fit the pages you have. Begin again at the first."


class BadPeriod(OfTheAddress):
    zh = "datetime“{value}”不是时刻或时段。请写 2026-05-01T00:00:00Z,或 开始/结束(一端可用 ..)。"
    en = "datetime {value!r} is neither an instant nor an interval. Write 2026-05-01T00:00:00Z, or start/end (either may be ..)."


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """One layer of one state of the map, rows in order of their keys. `state`: what it is called in a link."""

    layer: LayerName
    state: str
    work_crs: str
    rows: tuple[Row, ...]
    _told: dict[str, Any] = field(default_factory=dict, repr=False)

    def shapes(self, frame: Frame) -> Any:
        """The rows' grounds in a frame, an object array."""
        if frame.uri not in self._told:  # two threads may both work it out, to the same
            self._told[frame.uri] = told([row.ground for row in self.rows], frame, self.work_crs)
        return self._told[frame.uri]

    def find(self, feature: str) -> Row:
        """A row by its feature id. Raises NoSuchFeature."""
        for row in self.rows:
            if feature_id(row) == feature:
                return row
        raise NoSuchFeature(layer=self.layer.value, value=feature[:120])


class Shelves:
    """The shelves lately asked for."""

    def __init__(self, keep: int) -> None:
        self._keep, self._turn = keep, threading.Lock()
        self._kept: OrderedDict[tuple[str, LayerName], Shelf] = OrderedDict()

    def of(self, state: str, layer: LayerName, work_crs: str, rows: Callable[[], Sequence[Row]]) -> Shelf:
        """The shelf of a state; `rows` is asked only where it is not there."""
        found = self.known(state, layer)
        return found if found is not None else self._put(Shelf(layer, state, work_crs, tuple(rows())))

    def known(self, state: str, layer: LayerName) -> Shelf | None:
        """The shelf, if it is there."""
        with self._turn:
            found = self._kept.get((state, layer))
            if found is not None:
                self._kept.move_to_end((state, layer))
            return found

    def _put(self, shelf: Shelf) -> Shelf:
        with self._turn:
            self._kept[shelf.state, shelf.layer] = shelf
            while len(self._kept) > self._keep:
                self._kept.popitem(last=False)
        return shelf


@dataclass(frozen=True, slots=True, eq=False)
class MapStore:
    """What all use cases of the map are handed: the database, and what is kept of it in memory."""

    db: Database
    desk: Desk
    maps: Maps
    shelves: Shelves
    now: Callable[[], datetime]
    standings: Standings = field(default_factory=Standings)


def layer_named(value: str) -> LayerName:
    """Raises NoSuchLayer."""
    try:
        return LayerName(value)
    except ValueError as error:
        raise NoSuchLayer(value=value[:60], known=", ".join(LayerName)) from error


def feature_id(row: Row) -> str:
    """The code where it is fit for an address and the row has held for ever; else a name made of the row's key."""
    if row.since is None and PLAIN.fullmatch(row.code):
        return row.code
    return "row-" + hashlib.sha256("\0".join(row.key).encode()).hexdigest()[:16]


# --- shelves ---


def in_force(of: MapStore) -> InForce:
    """What holds now. Raises NothingInForce."""
    at = of.now()
    with of.db.reading() as session:
        return store.in_force(session, at)


def shelf_in_force(of: MapStore, layer: LayerName, version: str | None = None) -> Shelf:
    """A layer of the version in force, or of a version by name. Raises NothingInForce, UnknownVersion."""
    at = of.now()
    with of.db.reading() as session:
        name = store.in_force(session, at).version if version is None else version
        known = of.shelves.known(name, layer)
        if known is not None:
            return known
        settings = store.read_settings(session, name)
        return of.shelves.of(name, layer, settings.work_crs, lambda: store.read_rows(session, name, layer))


def shelf_of_draft(of: MapStore, draft: str, layer: LayerName, revision: int | None = None) -> tuple[Shelf, Working]:
    """A layer of a draft as it stands; with `revision`, as it stood then, if that is still at hand.

    Raises UnknownDraft, MovedOn.
    """
    working = of.desk.open(draft)
    wanted = working.revision if revision is None else revision
    state = f"{draft}:{wanted}"
    if wanted != working.revision:
        known = of.shelves.known(state, layer)
        if known is None:
            raise MovedOn(seen=wanted, now=working.revision)
        return known, working
    return of.shelves.of(state, layer, working.settings.work_crs, lambda: drawn(working.now, layer)), working


def drawn(draft: Draft, layer: LayerName) -> list[Row]:
    """The rows of one layer with their grounds as drawn, in order; as `Draft.features`, for one layer."""
    out = []
    for key in sorted(k for k in draft.rows if k[0] == layer.value):
        row = draft.rows[key]
        if (layer.value, row.code) in draft.changed and row.until is None:
            row = replace(row, ground=on_grid(draft.coverages[layer.value].ground(row.code)))
        out.append(row)
    return out


# --- pages ---


@dataclass(frozen=True, slots=True)
class Asked:
    """Which features. `box`: a shape in `box_frame`; `during`: from and until, both included, None open."""

    frame: Frame
    limit: int
    offset: int = 0
    box: Any = None
    box_frame: Frame | None = None
    during: tuple[datetime | None, datetime | None] | None = None
    code: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """Features as GeoJSON text, how many there are in all, and where the next page starts."""

    features: tuple[str, ...]
    matched: int
    next: int | None


def page(shelf: Shelf, asked: Asked) -> Page:
    """The features asked for."""
    numbers = _selected(shelf, asked)
    some = numbers[asked.offset : asked.offset + asked.limit]
    shapes = shelf.shapes(asked.frame)
    end = asked.offset + len(some)
    features = tuple(feature(shelf.rows[n], shapes[n]) for n in some)
    return Page(features, len(numbers), end if end < len(numbers) else None)


def feature(row: Row, shape: Any, extra: Mapping[str, Any] | None = None) -> str:
    """A row as a GeoJSON feature. `shape`: its ground, in the frame asked for."""
    geometry = "null" if shape is None else shapely.to_geojson(shape)
    said = {"type": "Feature", "id": feature_id(row), "properties": record_of(row), **(extra or {})}
    return json.dumps(said, ensure_ascii=False)[:-1] + f', "geometry": {geometry}}}'


def one(shelf: Shelf, feature_name: str, frame: Frame, extra: Mapping[str, Any] | None = None) -> tuple[Row, str]:
    """A row by its feature id, and as GeoJSON. Raises NoSuchFeature."""
    row = shelf.find(feature_name)
    (shape,) = told([row.ground], frame, shelf.work_crs)
    return row, feature(row, shape, extra)


def bounds_of(shelf: Shelf, frame: Frame) -> list[float] | None:
    """The box around a layer, in a frame."""
    shapes = [s for s in shelf.shapes(frame) if s is not None]
    return [float(v) for v in shapely.total_bounds(shapes)] if shapes else None


def period_of(text: str, instant: Callable[[str], datetime]) -> tuple[datetime | None, datetime | None]:
    """An instant or interval as OGC API writes it. `instant`: reads one, ValueError where it is none. Raises BadPeriod."""
    ends = text.split("/")
    try:
        read = [None if end in ("", "..") else instant(end) for end in ends]
    except ValueError as error:
        raise BadPeriod(value=text[:80]) from error
    if len(ends) == 1 and read[0] is not None:
        return read[0], read[0]
    if len(ends) != 2 or (read[0] is not None and read[1] is not None and read[0] > read[1]):
        raise BadPeriod(value=text[:80])
    return read[0], read[1]


def _selected(shelf: Shelf, asked: Asked) -> list[int]:
    kept = [n for n, row in enumerate(shelf.rows) if _suits(row, asked)]
    if asked.box is None or not kept:
        return kept
    assert asked.box_frame is not None
    shapes = shelf.shapes(asked.box_frame)[kept]
    hit = np.array([s is not None for s in shapes], bool) & shapely.intersects(shapes, asked.box)
    return [n for n, yes in zip(kept, hit.tolist(), strict=True) if yes]


def _suits(row: Row, asked: Asked) -> bool:
    if asked.code is not None and row.code != asked.code:
        return False
    if asked.name is not None and row.name != asked.name:
        return False
    if asked.during is None:
        return True
    begin, end = asked.during
    return (end is None or row.since is None or row.since <= end) and (begin is None or row.until is None or row.until > begin)
