"""Map versions in a database: recorded whole, never altered; put in force for a period; read as of any instant, in both times.

    made = version_of(rows, settings)                          compiled and proven, outside of any transaction
    publish(db, made, Signing(...), valid_from=..., now=...)   recorded and in force, or nothing at all
    in_force(session, at)                                      what holds at an instant
    as_of(session, valid, known)                               what was thought, at one instant, to hold at another

A publication is one transaction: rows, version, compiled map, the end of the period before, the new period. The database
itself refuses two in force at one instant, and any change of what was published. Nothing is published into the past, since
answers have been given under what was in force then; only the first publication may begin earlier.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyproj
import shapely
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from geodata.build import MapRefused
from geodata.compile import Ground, Progress, compile_map, default_extent, silent
from geodata.crs import Datum, System, geometries_from_work, parse_crs
from geodata.db import tables as t
from geodata.db.both import instant_text
from geodata.db.engine import Database
from geodata.db.shape import to_column
from geodata.layer import (
    LayerName,
    Row,
    checked,
    content_hash,
    grounds_of,
    in_metres,
    roster_of,
    row_in,
    settings_of,
    settings_said,
)
from routing.errors import JieguanError
from routing.ground import certificate
from routing.ground.verify import Source, loaded, verify
from routing.jurisdiction import JurisdictionMap, Settings
from routing.ladder import RULES_VERSION
from routing.model import SquadKind

SLACK = timedelta(seconds=1)
"""A publication "from now" may reach the database this much later."""

NAMED = 8
"""Rows that a sentence names; the rest are counted."""
SHORTEST = 6
"""Letters of a version's name that are enough, if no other begins alike."""


class NothingInForce(JieguanError):
    zh = "{at} 时没有生效的地图版本:无法派单。请先发布一个从该时刻或更早生效的版本。"
    en = "No map version is in force at {at}, so nothing can be routed. Publish one that holds from then or earlier."


class UnknownVersion(JieguanError):
    zh = "没有地图版本“{value}”。请用“版本列表”查看已有的版本。"
    en = "There is no map version {value!r}. List the versions to see those there are."


class AmbiguousVersion(JieguanError):
    zh = "“{value}”同时是 {count} 个版本的开头({versions}):不知道指哪一个。请多写几位。"
    en = "{value!r} begins {count} versions ({versions}), so nobody knows which is meant. Write more of it."


class BaseOutdated(JieguanError):
    """`rows`: what differs between the two, as (layer, code)."""

    zh = "此修改基于第 {base} 次发布,而目前最新的是第 {latest} 次({by},{at}):直接发布会抹去其间的改动({changed})。请先变基(rebase)。"
    en = (
        "This rests on publication {base}, but the latest is {latest} (by {by}, at {at}): publishing would undo what changed since "
        "({changed}). Rebase the draft first."
    )


class InThePast(JieguanError):
    zh = "不能从过去的时刻({at})起发布,现在是 {now}:那之后已经有案件按当时的地图派出。请选择现在或以后的时刻。"
    en = (
        "Nothing is published from an instant in the past ({at}; it is {now}): cases have been routed since under the map of the "
        "time. Choose now or later."
    )


class BeforeTheLast(JieguanError):
    zh = "已排定从 {last} 起生效的版本,不能再发布从更早的 {at} 起生效的版本。请选择 {last}(取代它)或以后的时刻。"
    en = "A version is scheduled from {last}, so none can be published from {at}, before it. Choose {last}, which replaces it, or later."


@dataclass(frozen=True, slots=True)
class Version:
    """A map version: everything it says, and the map compiled from it with its proof."""

    hash: str
    rows: tuple[Row, ...]
    settings: Settings
    map: JurisdictionMap
    data: bytes
    certificate: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Signing:
    """Who publishes, why, by which document, and who signed for which side."""

    author: str
    reason: str
    document: str = ""
    signed: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class InForce:
    """One publication as it stands, or as it was known to stand."""

    id: int
    version: str
    valid_from: datetime
    valid_to: datetime | None
    recorded_at: datetime
    signed: tuple[dict[str, Any], ...]
    reason: str
    document: str

    @property
    def withdrawn(self) -> bool:
        """Replaced before it took effect."""
        return self.valid_to == self.valid_from


def version_of(rows: Iterable[Row], settings: Settings, progress: Progress = silent) -> Version:
    """Compile, seal and prove. Raises TwoRowsOneCode, NoDutySquad, MapRefused, the compiler's errors."""
    whole = checked(rows)
    grounds, extent = grounds_of(whole)
    made, data = certificate.sealed(compile_map(grounds, roster_of(whole), settings, extent, progress))
    proof = loaded(data)
    findings = verify(proof, list(_sources(grounds, default_extent(grounds) if extent is None else extent)))
    if findings:
        raise MapRefused(path=made.version, findings=tuple(findings[:3]))
    said = {
        "seal": certificate.seal_of(proof.entries).hex(),
        "extent_area2": [plate["extent_area2"] for plate in proof.manifest["plates"]],
        "faces": [plate.faces.n_face for plate in made.plates],
    }
    return Version(content_hash(whole, settings), whole, settings, made, data, said)


def _sources(grounds: Sequence[Ground], extent: Any) -> Iterable[Source]:
    for ground in grounds:
        period = ground.claim.period
        squad = getattr(ground.claim, "squad", None)
        yield Source(ground.claim.id, certificate.kind_of(ground.claim), squad, ground.geometry, period.since, period.until)
    yield Source("extent", "extent", None, extent)


# --- writing ---


def publish(
    db: Database,
    version: Version,
    signing: Signing,
    *,
    now: datetime,
    valid_from: datetime | None = None,
    base: int | None = None,
    then: Callable[[Session], None] | None = None,
) -> InForce:
    """Record a version and put it in force from `valid_from` (None: now), in one transaction.

    `base`: the publication it rests on, None for the first. `then`: what else belongs to the transaction.
    Raises BaseOutdated, InThePast, BeforeTheLast.
    """
    begin = now if valid_from is None else valid_from
    try:
        with db.writing() as session:
            last = _latest(session, locked=True)
            _check_base(session, last, base)
            _check_instant(last, begin, now)
            record(session, version, signing.author, signing.reason, now)
            if last is not None:
                last.valid_to, last.closed_at = begin, now
                session.flush()
            made = t.Publication(
                version_hash=version.hash, valid_from=begin, valid_to=None, recorded_at=now, closed_at=None,
                signed=list(signing.signed), reason=signing.reason, document=signing.document or None,
                replaces=None if last is None else last.id,
            )
            session.add(made)
            session.flush()
            done = _in_force(made)
            if then is not None:
                then(session)
            db.upon_publication(session, frozenset(s.code for s in version.map.roster.squads if s.kind is not SquadKind.EXTERNAL))
    except IntegrityError as error:
        if t.refusal(error) != "one_in_force":
            raise
        with db.reading() as session:  # another first publication was quicker
            _check_base(session, _latest(session), base)
        raise
    return done


def roll_back(db: Database, to: str, signing: Signing, *, now: datetime, valid_from: datetime | None = None) -> InForce:
    """Publish an earlier version's content again. Raises UnknownVersion, InThePast, BeforeTheLast."""
    with db.reading() as session:
        version = read_version(session, to)
        last = _latest(session)
    return publish(db, version, signing, now=now, valid_from=valid_from, base=None if last is None else last.id)


def record(session: Session, version: Version, author: str, note: str, now: datetime) -> None:
    """A version with its rows and its compiled map, unless it is there already."""
    if session.get(t.MapVersion, version.hash) is not None:
        return
    _add_features(session, version)
    session.add(
        t.MapVersion(
            hash=version.hash, recorded_at=now, author=author, note=note or None, rules_version=RULES_VERSION,
            geos_version=shapely.geos_version_string, proj_version=pyproj.proj_version_str,
            settings=settings_said(version.settings), certificate=version.certificate, map_name=version.map.version,
        )
    )
    session.flush()
    session.execute(
        sa.insert(t.Member),
        [{"version_hash": version.hash, "feature_hash": r.hash, "layer": r.layer.value, "code": r.code} for r in version.rows],
    )
    session.add(t.Compiled(version_hash=version.hash, data=version.data))
    session.flush()


def _add_features(session: Session, version: Version) -> None:
    by_hash = {row.hash: row for row in version.rows}
    names = sorted(by_hash)
    there: set[str] = set()
    for start in range(0, len(names), 500):
        some = names[start : start + 500]
        there |= set(session.scalars(sa.select(t.Feature.hash).where(t.Feature.hash.in_(some))))
    for name in names:
        if name not in there:
            row = by_hash[name]
            session.add(t.Feature(hash=name, geom=_geom(row, version.settings.work_crs), **row.stored._asdict()))
    session.flush()


def _geom(row: Row, work_crs: str) -> Any:
    """The row's ground in longitude and latitude, for searching."""
    if row.ground is None:
        return None
    lonlat = geometries_from_work(np.array([in_metres(row.ground)], object), System(None, Datum.WGS84), parse_crs(work_crs))
    return to_column(lonlat[0])


def _latest(session: Session, *, locked: bool = False) -> t.Publication | None:
    """The last publication; `locked` until the transaction ends, so that two cannot replace it."""
    query = sa.select(t.Publication).order_by(t.Publication.id.desc()).limit(1)
    while True:
        held = session.scalars(query.with_for_update()).one_or_none() if locked else None
        last = session.scalars(query).one_or_none()
        if not locked or held is last:  # who had to wait for the lock got the row that was the last before he waited (PostgreSQL)
            return last


def _check_base(session: Session, last: t.Publication | None, base: int | None) -> None:
    if (None if last is None else last.id) != base or (last is not None and last.valid_to is not None):
        by = "-" if last is None or not last.signed else str(last.signed[0].get("signer", "-"))
        at = "-" if last is None else last.recorded_at.isoformat()
        rows = _changed_since(session, base, last)
        more = f" + {len(rows) - NAMED}" if len(rows) > NAMED else ""
        changed = ", ".join(f"{layer} {code}" for layer, code in rows[:NAMED]) + more or "-"
        raise BaseOutdated(base=base or "-", latest="-" if last is None else last.id, by=by, at=at, changed=changed, rows=rows)


def _changed_since(session: Session, base: int | None, last: t.Publication | None) -> list[tuple[str, str]]:
    """Rows, by layer and code, that the last publication has otherwise than that of number `base`."""
    begun = None if base is None else session.get(t.Publication, base)
    one, other = (None if p is None else p.version_hash for p in (begun, last))

    def only(of: str | None, but: str | None) -> set[tuple[str, str]]:
        m = t.Member
        theirs = sa.select(m.feature_hash).where(m.version_hash == but)
        query = sa.select(m.layer, m.code).where(m.version_hash == of, m.feature_hash.not_in(theirs))
        return {(layer, code) for layer, code in session.execute(query)}

    return sorted(only(one, other) | only(other, one))


def _check_instant(last: t.Publication | None, begin: datetime, now: datetime) -> None:
    if last is None:
        return
    if begin < now - SLACK:
        raise InThePast(at=begin.isoformat(), now=now.isoformat())
    if begin < last.valid_from:
        raise BeforeTheLast(at=begin.isoformat(), last=last.valid_from.isoformat())


# --- reading ---

_AT = sa.bindparam("at", type_=t.Publication.valid_from.type)
_VERSION_AT = (
    sa.select(t.Publication.version_hash)
    .where(t.Publication.valid_from <= _AT, sa.or_(t.Publication.valid_to.is_(None), t.Publication.valid_to > _AT))
    .limit(1)
)
_VERSION_AT_SQLITE = "SELECT version_hash FROM publication WHERE valid_from <= ?1 AND (valid_to IS NULL OR valid_to > ?1) LIMIT 1"


def in_force(session: Session, at: datetime) -> InForce:
    """The publication that holds at an instant. Raises NothingInForce."""
    p = t.Publication
    found = session.scalars(
        sa.select(p).where(p.valid_from <= at, sa.or_(p.valid_to.is_(None), p.valid_to > at)).limit(1)
    ).one_or_none()
    if found is None:
        raise NothingInForce(at=at.isoformat())
    return _in_force(found)


def version_at(db: Database, at: datetime) -> str:
    """The version in force at an instant, by a question of its own that costs next to nothing. Raises NothingInForce."""
    if db.glances is not None:
        found = db.glances.value(_VERSION_AT_SQLITE, instant_text(at))
    else:
        with db.read.connect() as connection:
            found = connection.execute(_VERSION_AT, {"at": at}).scalar_one_or_none()
    if found is None:
        raise NothingInForce(at=at.isoformat())
    return str(found)


def as_of(session: Session, valid: datetime, known: datetime) -> InForce:
    """What was known at the instant `known` to hold at the instant `valid`. Raises NothingInForce."""
    for one in reversed(published(session, known)):
        if one.valid_from <= valid and (one.valid_to is None or valid < one.valid_to):
            return one
    raise NothingInForce(at=f"{valid.isoformat()} (known at {known.isoformat()})")


def published(session: Session, known: datetime | None = None) -> list[InForce]:
    """All publications in order; with `known`, as they stood then."""
    query = sa.select(t.Publication).order_by(t.Publication.id)
    if known is not None:
        query = query.where(t.Publication.recorded_at <= known)
    return [_in_force(p, known) for p in session.scalars(query)]


def _in_force(p: t.Publication, known: datetime | None = None) -> InForce:
    open_then = known is not None and p.closed_at is not None and p.closed_at > known
    end = None if open_then else p.valid_to
    return InForce(
        p.id, p.version_hash, p.valid_from, end, p.recorded_at, tuple(p.signed), p.reason, p.document or ""
    )


def read_rows(session: Session, version: str, layer: LayerName | None = None) -> tuple[Row, ...]:
    """A version's rows in order of their keys, or those of one layer. Raises UnknownVersion."""
    _known(session, version)
    query = sa.select(t.Feature).join(t.Member, t.Member.feature_hash == t.Feature.hash).where(t.Member.version_hash == version)
    if layer is not None:
        query = query.where(t.Member.layer == layer.value)
    return checked(row_in(feature) for feature in session.scalars(query))


def read_settings(session: Session, version: str) -> Settings:
    """A version's settings. Raises UnknownVersion."""
    return settings_of(_known(session, version).settings)


def read_version(session: Session, version: str) -> Version:
    """A version as it was recorded. Raises UnknownVersion."""
    said = _known(session, version)
    data = session.scalars(sa.select(t.Compiled.data).where(t.Compiled.version_hash == version)).one()
    return Version(version, read_rows(session, version), settings_of(said.settings), opened(data), data, said.certificate)


def version_named(session: Session, text: str) -> str:
    """The version that a person means: its hash or the name of its map, or the beginning of either, from six letters on.

    Raises UnknownVersion, AmbiguousVersion.
    """
    if session.get(t.MapVersion, text) is not None:
        return text
    begins = sa.or_(*(column.startswith(text, autoescape=True) for column in (t.MapVersion.hash, t.MapVersion.map_name)))
    query = sa.select(t.MapVersion.hash).where(begins).order_by(t.MapVersion.recorded_at, t.MapVersion.hash)
    found = list(session.scalars(query)) if len(text) >= SHORTEST else []
    if not found:
        raise UnknownVersion(value=text[:80])
    if len(found) > 1:
        raise AmbiguousVersion(value=text[:80], count=len(found), versions=", ".join(v[:12] for v in found[:5]))
    return found[0]


def version_of_map(session: Session, name: str) -> str | None:
    """A version by the name of its compiled map, as decisions pin it; the first recorded, where several say the same."""
    query = sa.select(t.MapVersion.hash).where(t.MapVersion.map_name == name)
    return session.scalars(query.order_by(t.MapVersion.recorded_at, t.MapVersion.hash).limit(1)).one_or_none()


def _known(session: Session, version: str) -> t.MapVersion:
    found = session.get(t.MapVersion, version)
    if found is None:
        raise UnknownVersion(value=version)
    return found


def opened(data: bytes) -> JurisdictionMap:
    """A compiled map, verified. Raises NotAMap, MapRefused."""
    compiled = loaded(data)
    findings = verify(compiled)
    if findings:
        raise MapRefused(path="(database)", findings=tuple(findings[:3]))
    return certificate.opened(compiled.entries)


class Maps:
    """Compiled maps by version, opened and verified once per process; the last few are kept."""

    def __init__(self, keep: int = 4) -> None:
        self._keep, self._turn = keep, threading.Lock()
        self._maps: OrderedDict[str, JurisdictionMap] = OrderedDict()
        self._opening: dict[str, threading.Lock] = {}

    def at_hand(self, version: str) -> JurisdictionMap | None:
        """The map, if it is open already."""
        return self._maps.get(version)

    def of(self, session: Session, version: str) -> JurisdictionMap:
        """The map of a version. Raises UnknownVersion, MapRefused."""
        with self._turn:
            if version in self._maps:
                self._maps.move_to_end(version)
                return self._maps[version]
            opening = self._opening.setdefault(version, threading.Lock())
        with opening:  # who asks for another map does not wait for this one
            with self._turn:
                if version in self._maps:
                    return self._maps[version]
            _known(session, version)
            made = opened(session.scalars(sa.select(t.Compiled.data).where(t.Compiled.version_hash == version)).one())
            with self._turn:
                self._maps[version] = made
                self._opening.pop(version, None)
                while len(self._maps) > self._keep:
                    self._maps.popitem(last=False)
            return made
