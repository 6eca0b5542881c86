"""Rows for the store's tests: small features, a version of them, and how to fill a database with some of everything."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy.orm import Session

from geodata.db import open_database
from geodata.db.hashing import feature_hash, version_hash
from geodata.db.shape import to_column
from geodata.db.tables import (
    Compiled,
    Defect,
    DefectClosing,
    Draft,
    DraftComment,
    DraftEdit,
    DraftSignature,
    Feature,
    MapVersion,
    Member,
    Publication,
    Waiver,
)

NOON = datetime(2026, 11, 2, 4, tzinfo=UTC)
DAY = timedelta(days=1)
SETTINGS: dict[str, Any] = {"zone_mm": 15_000}


def feature(code: str, geometry: BaseGeometry | None = None, **other: Any) -> Feature:
    """A feature named by its content; `ground` is the same shape in whole millimetres."""
    ground = None
    if geometry is not None:
        ground = shapely.to_wkb(shapely.transform(geometry, lambda xy: (xy * 1000).round()), byte_order=1, flavor="iso")
    plain: dict[str, Any] = {
        "layer": "territory",
        "code": code,
        "name": f"中队 {code}",
        "since": NOON,
        "until": None,
        "source": "合成",
        "licence": None,
        "datum": "cgcs2000",
        "accuracy_m": 0.5,
        "document": None,
        "facts": {"priority": 1, "镇": "迎宾路"},
        "ground": ground,
    }
    row = Feature(**{**plain, **other})
    row.hash = feature_hash(row)
    row.geom = None if geometry is None else to_column(geometry)
    return row


def version(features: list[Feature], settings: dict[str, Any] = SETTINGS) -> tuple[MapVersion, list[Member]]:
    """A recorded version of these features, and its members."""
    name = version_hash([(each.layer, each.code, each.hash) for each in features], "EPSG:4547", settings)
    row = MapVersion(
        hash=name,
        recorded_at=NOON,
        author="规划员",
        note=None,
        rules_version="1",
        geos_version=shapely.geos_version_string,
        proj_version="9",
        settings=settings,
        certificate={"total": True, "area_mm2": 4_000_000, "share": 0.1},
        map_name="m" * 64,
    )
    return row, [
        Member(version_hash=name, feature_hash=each.hash, layer=each.layer, code=each.code) for each in features
    ]


def publication(of: str, since: datetime, until: datetime | None = None, **other: Any) -> Publication:
    plain: dict[str, Any] = {
        "version_hash": of,
        "valid_from": since,
        "valid_to": until,
        "recorded_at": NOON,
        "closed_at": None if until is None else NOON,
        "signed": ["甲", "乙"],
        "reason": "试",
    }
    return Publication(**{**plain, **other})


def squares(count: int) -> list[BaseGeometry]:
    """Cells of a hundredth of a degree side by side, from 113.60 E 34.80 N eastwards."""
    return [shapely.box(113.6 + 0.01 * k, 34.8, 113.61 + 0.01 * k, 34.81) for k in range(count)]


def fill(session: Session) -> str:
    """Something in every table; returns the version's hash."""
    features = [feature(f"{k:02}", square) for k, square in enumerate(squares(3))]
    features += [
        feature("no ground", None, facts={"parties": ["00", "01"]}, accuracy_m=None, since=None),
        feature("two parts", shapely.MultiPolygon(squares(2)[::-1]), until=NOON + DAY),
        feature("line", shapely.LineString([(-0.0, 0.1), (0.1 + 0.2, 1e-9)]), layer="border"),
        feature("empty", shapely.Polygon(), name="名'\"; DROP TABLE feature; --\n\t😀"),
    ]
    session.add_all(features)
    row, members = version(features)
    session.add(row)
    session.flush()
    session.add_all(members)
    session.add(Compiled(version_hash=row.hash, data=hashlib.sha512(b"map").digest() * 100))
    session.flush()
    session.add(publication(row.hash, NOON - 3 * DAY, NOON - DAY, id=5))
    session.flush()
    session.add(publication(row.hash, NOON - DAY, id=3, replaces=5))
    session.add(
        Draft(
            id="d1", name="草案", base_version=row.hash, base_publication=5, author="a", state="open", created_at=NOON
        )
    )
    session.flush()
    session.add_all(
        [
            DraftEdit(draft_id="d1", seq=k, author="a", at=NOON + k * DAY, kind="move", args={"by": [k, -0.5, "移"]})
            for k in range(3)
        ]
    )
    session.add(DraftSignature(draft_id="d1", revision=3, side="00", signer="b", role="neighbour", at=NOON))
    session.add(DraftComment(draft_id="d1", seq=2, author="b", at=NOON, text="此处", place={"xy": [1, 2]}))
    session.add(DraftComment(draft_id="d1", author="b", at=NOON, text="整体"))
    session.add(Waiver(draft_id="d1", finding="sliver:12", by="c", reason="已知", at=NOON))
    session.add(Defect(key="gap:1", kind="gap", default_squad="00", opened_at=NOON))
    session.flush()
    session.add(DefectClosing(key="gap:1", at=NOON + DAY, by="c", reason="已改画"))
    session.flush()
    return row.hash


def add_to_revision(url: str, acknowledge: Connection) -> None:
    """In a process of its own: count the draft 'd' upwards until killed, and say so after each commit."""
    with open_database(url) as db:
        while True:
            with db.writing() as session:
                draft = session.get(Draft, "d")
                assert draft is not None
                draft.revision += 1
            acknowledge.send_bytes(b"done")
