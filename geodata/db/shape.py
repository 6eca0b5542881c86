"""The one door between shapely and a geometry column, and the two questions asked of one: what covers, what meets.

GeoAlchemy2 0.20 writes the SRID of plain WKB as a literal into the statement, SQLAlchemy caches the statement, and the next
geometry is silently read with the SRID of the first. EWKB carries its own. So nothing else in this package makes or reads the
value of a column.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import shapely
from geoalchemy2 import Geometry, WKBElement
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Alias, Boolean, ColumnElement, Double, func, literal, literal_column
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql import coercions, roles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType

from geodata.db.both import GEOPACKAGE
from geodata.db.gpkg import plain_zeros
from routing.errors import JieguanError

LONLAT = 4326
"""SRID of every geometry column: x is the longitude."""


class NotFlat(JieguanError):
    zh = "几何带有高程(Z):数据库中的几何只有 x、y 两维。请先去掉高程再写入。"
    en = "The geometry has heights (Z), and columns hold x and y only. Drop the heights before it is written."


class Shape(Geometry):
    """The type of our columns. On SQLite GeoAlchemy2 would send WKT, and loses the SRID of an empty geometry on the way."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        if dialect.name == GEOPACKAGE:
            return lambda value: None if value is None else bytes(value.data)
        return super().bind_processor(dialect)  # type: ignore[no-any-return, no-untyped-call]


def to_column(geometry: BaseGeometry, srid: int = LONLAT) -> WKBElement:
    """For a column or a comparison, with its SRID inside. -0.0 becomes 0.0; a geometry with Z raises NotFlat."""
    if shapely.has_z(geometry):
        raise NotFlat
    ewkb = shapely.to_wkb(shapely.set_srid(plain_zeros(geometry), srid), include_srid=True)
    return WKBElement(ewkb, srid=srid, extended=True)


def from_column(value: WKBElement) -> BaseGeometry:
    """What a column gave, its SRID set (`shapely.get_srid`)."""
    data = value.data
    return shapely.from_wkb(data if isinstance(data, str) else bytes(data))


Column = InstrumentedAttribute[Any] | ColumnElement[Any]


class covers(FunctionElement[bool]):  # noqa: N801  (reads as the SQL it becomes)
    """Rows whose geometry covers `geometry`, edges included; by the column's spatial index on both databases."""

    type = Boolean()
    inherit_cache = True
    name = "covers"
    _predicate = "ST_Covers"

    def __init__(self, column: Column, geometry: BaseGeometry, srid: int = LONLAT) -> None:
        place = literal(to_column(geometry, srid), Shape(srid=srid))
        # An empty geometry has no box; NULL is in no box, as it should be.
        box = (literal(None if geometry.is_empty else float(bound), Double) for bound in geometry.bounds)
        super().__init__(coercions.expect(roles.ExpressionElementRole, column), place, *box)

    def self_group(self, against: OperatorType | None = None) -> Self:  # noqa: ARG002
        """As it is: the "= 1" that SQLite's booleans else get would hide the index from its planner."""
        return self


class meets(covers):  # noqa: N801
    """Rows whose geometry has a point in common with `geometry`; a search by box is `meets(column, shapely.box(...))`."""

    inherit_cache = True
    name = "meets"
    _predicate = "ST_Intersects"


@compiles(covers)
def _postgresql(element: covers, compiler: SQLCompiler, **kw: Any) -> str:
    """PostGIS looks into its GiST index by itself."""
    column, place, *_ = element.clauses
    return compiler.process(getattr(func, element._predicate)(column, place), **kw)  # noqa: SLF001


@compiles(covers, "geopackage")
def _geopackage(element: covers, compiler: SQLCompiler, **kw: Any) -> str:
    """SQLite does not, so the R*Tree (float32, rounded outwards: no row is missed) is asked first."""
    column, place, west, south, east, north = element.clauses
    table: Any = column.table
    (key,) = table.primary_key
    stored: Any = table.element if isinstance(table, Alias) else table
    boxes = f'"rtree_{stored.name}_{column.name}"'
    inside = literal_column("minx") <= east, literal_column("maxx") >= west
    beside = literal_column("miny") <= north, literal_column("maxy") >= south
    where = " AND ".join(compiler.process(part, **kw) for part in (*inside, *beside))
    exactly = compiler.process(getattr(func, element._predicate)(column, place), **kw)  # noqa: SLF001
    return f"({compiler.process(key, **kw)} IN (SELECT id FROM {boxes} WHERE {where}) AND {exactly})"  # noqa: S608
