"""Files in, values out: `read_layer` for grounds, `read_table` for points and lists, `write_table` for results.

What may be opened is decided in `intake`; each `intake_*` reads one format; `written` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from geodata.db.guard import refuse_live
from geodata.intake import (
    LIMITS,
    BadGeometry,
    Content,
    Format,
    Geometries,
    Limits,
    NoGeometry,
    Note,
    TooBig,
    digest,
    format_of,
    split_spec,
)
from geodata.intake_geojson import read_geojson
from geodata.intake_gpkg import read_gpkg
from geodata.intake_shapefile import parts_of, read_shapefile, read_zip
from geodata.intake_tables import read_csv, read_parquet
from routing.errors import Worded

READERS: Mapping[Format, Callable[[Path, str | None, Limits], Content]] = {
    Format.GPKG: read_gpkg,
    Format.SHAPEFILE: read_shapefile,
    Format.ZIP: read_zip,
    Format.GEOJSON: read_geojson,
    Format.PARQUET: read_parquet,
    Format.CSV: read_csv,
}


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One layer or list as it stands in its file: rows in order, columns named, ordered and typed as there.

    `columns`: Arrow table without the geometry. `geometry`: shapely or None, shape (rows,), in the file's own
    coordinates, x (longitude) first; None where the file has none. `geometry_at`: its place among the columns.
    `crs` None: the file does not say. `sha256`: of the file's bytes (a bare shapefile: of its parts, see `digest`).
    """

    path: str
    name: str
    format: Format
    sha256: str
    columns: Any
    geometry: Geometries | None
    geometry_name: str
    geometry_at: int
    crs: CRS | None
    notes: tuple[Note, ...]

    def __len__(self) -> int:
        return int(self.columns.num_rows if self.geometry is None else len(self.geometry))

    @property
    def spec(self) -> str:
        """The file, with its layer where the format has several: how errors name it."""
        several = self.format in (Format.GPKG, Format.ZIP)
        return f"{self.path}::{self.name}" if several else self.path

    def taken(self, rows: NDArray[np.int64]) -> Table:
        """Some of its rows by number, as if the file had no others."""
        geometry = None if self.geometry is None else self.geometry[rows]
        return replace(self, columns=self.columns.take(pa.array(rows)), geometry=geometry)

    def column(self, name: str, need: str) -> Any:
        """One column; `need` is a key of NEEDS that tells what it is for."""
        if name not in self.columns.column_names:
            raise NoSuchColumn(path=self.spec, field=name, columns=listed(self.columns.column_names), need=need)
        return self.columns.column(name)

    def xy(self) -> NDArray[np.float64]:
        """(rows, 2) of point geometry, in the file's coordinates; NaN where a row has none or is no point."""
        if self.geometry is None:
            raise NoGeometry(path=self.spec, columns=listed(self.columns.column_names))
        place = np.full((len(self), 2), np.nan)
        points = (shapely.get_type_id(self.geometry) == 0) & ~shapely.is_empty(self.geometry)
        place[points] = shapely.get_coordinates(self.geometry[points])
        return place


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A table with grounds: like `Table`, and geometry is certain to be there and finite."""

    path: str
    name: str
    sha256: str
    geometry: Geometries
    columns: Any
    crs: CRS | None
    notes: tuple[Note, ...]
    table: Table

    def __len__(self) -> int:
        return len(self.geometry)

    def rows(self, kept: NDArray[np.bool_]) -> Layer:
        """Some of its rows, as if the file had no others."""
        columns, geometry = self.columns.filter(pa.array(kept)), self.geometry[kept]
        table = replace(self.table, columns=columns, geometry=geometry)
        return replace(self, columns=columns, geometry=geometry, table=table)


NEEDS: Mapping[str, tuple[str, str]] = {
    "squad": ("知道每块地归哪个中队", "tell whose ground it is"),
    "place": ("知道事情发生在哪里", "tell where it happened"),
    "period": ("知道何时有效", "tell when it holds"),
    "row": ("读懂每一行", "understand its rows"),
}


class NoSuchColumn(Worded):
    zh = "“{path}”中没有“{field}”列(现有列:{columns}):缺少它就无法{need}。请补上该列,或用选项指明列名。"
    en = (
        "{path!r} has no column {field!r} (its columns: {columns}), which is needed to {need}. Add it, or name another "
        "column by its option."
    )
    worded = "need"
    words = NEEDS


def listed(names: list[str]) -> str:
    """Column names for a message: enough to find a typing mistake."""
    return ", ".join(names[:30]) + (", ..." if len(names) > 30 else "") or "-"


def read_table(spec: str | Path, limits: Limits = LIMITS) -> Table:
    """`FILE` or `FILE::LAYER`, with or without geometry. Raises an error that names the file and the way out."""
    path, layer = split_spec(spec)
    refuse_live(path)
    kind = format_of(path, limits)
    parts = list(parts_of(path).values()) if kind is Format.SHAPEFILE else [path]
    seal = digest(parts)
    content = READERS[kind](path, layer, limits)
    return Table(
        path=str(path),
        name=content.layer,
        format=kind,
        sha256=seal,
        columns=content.columns,
        geometry=content.geometry,
        geometry_name=content.geometry_name,
        geometry_at=content.geometry_at,
        crs=content.crs,
        notes=content.notes,
    )


def read_layer(spec: str | Path, limits: Limits = LIMITS) -> Layer:
    """A layer of grounds: `read_table`, plus that there is geometry, not too much of it, and every number finite."""
    table = read_table(spec, limits)
    if table.geometry is None:
        raise NoGeometry(path=table.spec, columns=listed(table.columns.column_names))
    check_total(table, limits)
    check_finite(table)
    return Layer(
        path=table.path,
        name=table.name,
        sha256=table.sha256,
        geometry=table.geometry,
        columns=table.columns,
        crs=table.crs,
        notes=table.notes,
        table=table,
    )


def check_total(table: Table, limits: Limits) -> None:
    """All vertices of the layer together."""
    total = int(shapely.get_num_coordinates(table.geometry).sum())
    if total > limits.layer_vertices:
        facts = {"what": "layer_vertices", "size": total, "limit": limits.layer_vertices, "name": "layer_vertices"}
        raise TooBig(path=table.spec, **facts)


def check_finite(table: Table) -> None:
    """NaN or infinity in an outline has no place on any map."""
    xy, feature = shapely.get_coordinates(table.geometry, return_index=True)
    bad = np.flatnonzero(~np.isfinite(xy).all(axis=1))
    if bad.size:
        reason = f"it has the coordinate {xy[bad[0], 0]}, {xy[bad[0], 1]}"
        raise BadGeometry(path=table.spec, feature=int(feature[bad[0]]) + 1, reason=reason)
