"""The one door for geometry, the SRID trap behind it, and searching by place."""

from __future__ import annotations

import random
from typing import Any

import pytest
import shapely
import sqlalchemy as sa
from geoalchemy2 import functions as geo
from geoalchemy2.shape import from_shape
from sqlalchemy.orm import aliased

from geodata.db import Database
from geodata.db.shape import NotFlat, covers, from_column, meets, to_column
from geodata.db.tables import Feature
from tests.db.contents import feature

PLACE = shapely.Point(113.6, 34.8)


def test_geometry_comes_back_as_it_went(database: Database) -> None:
    shapes = [
        PLACE,
        shapely.LineString([(0.1 + 0.2, 1e-17), (180, -90)]),
        shapely.Polygon([(0, 0), (1, 1), (0, 1), (1, 0)]),
        shapely.MultiPolygon(
            [shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3).difference(shapely.box(2.3, 2.3, 2.6, 2.6))]
        ),
        shapely.Polygon(),
        shapely.GeometryCollection([PLACE, shapely.box(5, 5, 6, 6)]),
    ]
    with database.writing() as session:
        session.add_all(feature(str(k), shape) for k, shape in enumerate(shapes))
    with database.reading() as session:
        for row in session.scalars(sa.select(Feature)):
            assert row.geom is not None
            found = from_column(row.geom)
            assert shapely.get_srid(found) == 4326
            assert shapely.to_wkb(found, byte_order=1) == shapely.to_wkb(shapes[int(row.code)], byte_order=1)


def test_a_negative_zero_is_a_zero(database: Database) -> None:
    with database.writing() as session:
        session.add(feature("0", shapely.Point(-0.0, -0.0)))
    with database.reading() as session:
        geom = session.scalars(sa.select(Feature.geom)).one()
        assert geom is not None
        assert shapely.to_wkb(from_column(geom), byte_order=1) == shapely.to_wkb(shapely.Point(0, 0), byte_order=1)


def test_heights_are_refused() -> None:
    with pytest.raises(NotFlat):
        to_column(shapely.Point(1, 2, 3))


@pytest.mark.parametrize("order", [(4326, 4490), (4490, 4326)], ids=str)
def test_the_srid_is_not_remembered_from_another_query(database: Database, order: tuple[int, int]) -> None:
    """GeoAlchemy2 0.20 with plain WKB fails here in both orders: the statement is cached with the first SRID in it."""
    with database.writing() as session:
        session.add(feature("here", PLACE.buffer(0.01)))
    with database.reading() as session:
        said = [session.scalar(sa.select(geo.ST_SRID(to_column(PLACE, srid)))) for srid in order]
        assert said == list(order)
    for srid in order:
        with database.reading() as session:
            query = sa.select(Feature.code).where(geo.ST_Covers(Feature.geom, to_column(PLACE, srid)))
            if srid == 4326:
                assert session.scalars(query).all() == ["here"]
            else:
                with pytest.raises(sa.exc.DBAPIError):
                    session.scalars(query).all()


def test_the_trap_is_still_there_without_the_door(database: Database) -> None:
    """When this fails GeoAlchemy2 has mended it, and `shape` may be simplified."""
    with database.reading() as session:
        said = [session.scalar(sa.select(geo.ST_SRID(from_shape(PLACE, srid=srid)))) for srid in (4490, 4326)]
    assert said == [4490, 4490]


def test_another_srid_does_not_get_into_the_column(database: Database) -> None:
    row = feature("wrong", PLACE)
    row.geom = to_column(PLACE, 4490)
    with pytest.raises(sa.exc.DBAPIError, match=r"(?i)srid"), database.writing() as session:
        session.add(row)
    with database.reading() as session:
        assert session.scalars(sa.select(Feature)).all() == []


def test_searches_answer_as_shapely_does(database: Database) -> None:
    draw = random.Random(5)
    grid = {f"{x}.{y}": shapely.box(x / 10, y / 10, x / 10 + 0.1, y / 10 + 0.1) for x in range(12) for y in range(12)}
    grid |= {"line": shapely.LineString([(0, 0), (1.2, 1.2)]), "empty": shapely.Polygon()}
    with database.writing() as session:
        session.add_all(feature(code, shape) for code, shape in grid.items())
        session.add(feature("none"))
    with database.reading() as session:
        for _ in range(60):
            x, y = (draw.choice([draw.uniform(-0.1, 1.3), draw.randrange(12) / 10]) for _ in "xy")
            asked = draw.choice(
                [
                    shapely.Point(x, y),
                    shapely.box(x, y, x + draw.uniform(0, 0.3), y + 0.1),
                    shapely.LineString([(x, y), (0.5, 0.5)]),
                ]
            )
            for construct, predicate in ((covers, shapely.covers), (meets, shapely.intersects)):
                found = session.scalars(
                    sa.select(Feature.code).where(construct(Feature.geom, asked)).order_by(Feature.code)
                )
                assert found.all() == sorted(code for code, shape in grid.items() if predicate(shape, asked))
        assert session.scalars(sa.select(Feature).where(meets(Feature.geom, shapely.Point()))).all() == []
        other = aliased(Feature)
        twin = sa.select(other.code).where(covers(other.geom, shapely.Point(0.05, 0.05)), other.layer == "territory")
        assert sorted(session.scalars(twin)) == ["0.0", "line"]


def test_searches_go_through_the_index(database: Database) -> None:
    sent: list[tuple[str, Any]] = []
    with database.writing() as session:
        session.add_all(feature(str(k), shapely.Point(k / 100, 0)) for k in range(200))
    with database.reading() as session:
        connection = session.connection()
        listener = lambda _, __, statement, parameters, *___: sent.append((statement, parameters))  # noqa: E731
        sa.event.listen(connection, "before_cursor_execute", listener)
        session.scalars(sa.select(Feature.id).where(covers(Feature.geom, shapely.Point(1, 0)))).all()
        statement, parameters = sent[0]
        if database.kind == "postgresql":  # so few rows are faster read than looked up
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN " if database.kind == "embedded" else "EXPLAIN "
        plan = str(connection.exec_driver_sql(explain + statement, parameters).all())
    for used in (
        ["rtree_feature_geom VIRTUAL TABLE INDEX", "SEARCH feature USING INTEGER PRIMARY KEY"]
        if database.kind == "embedded"
        else ["idx_feature_geom"]
    ):
        assert used in plan
