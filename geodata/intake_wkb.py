"""Well-known binary to geometry, its vertices counted before anything is built."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely

from geodata.intake import BadGeometry, Geometries, Limits, TooManyVertices

DEEPEST = 8
"""Collections inside collections; more has no meaning here and costs recursion."""


class Broken(ValueError):
    """The bytes end early or nest too deep."""


def count_vertices(wkb: bytes) -> int:
    """Vertices by walking the structure (OGC 06-103r4 section 8; the EWKB flags too), without building anything."""
    try:
        return _count(memoryview(wkb), 0, 0)[0]
    except (struct.error, IndexError) as error:
        raise Broken("ends early") from error


def _count(wkb: memoryview, at: int, depth: int) -> tuple[int, int]:
    if depth > DEEPEST:
        raise Broken(f"nests deeper than {DEEPEST}")
    uint = "<I" if wkb[at] == 1 else ">I"
    (code,) = struct.unpack_from(uint, wkb, at + 1)
    kind, width = _kind_and_width(code)
    at += 9 if code & 0x20000000 else 5
    if kind == 1:
        return 1, at + width
    (parts,) = struct.unpack_from(uint, wkb, at)
    at += 4
    if kind == 2:
        return parts, at + parts * width
    total = 0
    for _ in range(parts):
        if kind == 3:
            (count,) = struct.unpack_from(uint, wkb, at)
            at += 4 + count * width
        else:
            count, at = _count(wkb, at, depth + 1)
        total += count
    return total, at


def _kind_and_width(code: int) -> tuple[int, int]:
    """Geometry kind 1..7 and bytes a vertex, from the ISO thousands or the EWKB high bits."""
    thousands, kind = divmod(code & 0x0FFFFFFF, 1000)
    extra = {0: 0, 1: 1, 2: 1, 3: 2}.get(thousands, 0) + bool(code & 0x80000000) + bool(code & 0x40000000)
    return kind, 8 * (2 + extra)


def decode(path: Path, blobs: Sequence[bytes | None], limits: Limits) -> Geometries:
    """Geometries of WKB blobs; None stays None. The first that is too large or broken is named (counted from 1)."""
    for number, blob in enumerate(blobs, 1):
        # 16 bytes a vertex at least, so most blobs are cleared by their length alone
        if blob is not None and len(blob) > 16 * limits.vertices:
            check_vertices(path, number, count_or_refuse(path, number, blob), limits)
    array = np.empty(len(blobs), dtype=object)
    array[:] = blobs
    try:
        geometry: Geometries = np.asarray(shapely.from_wkb(array), dtype=object)
    except (shapely.errors.ShapelyError, ValueError, TypeError) as error:
        raise _first_broken(path, blobs) from error
    check_kinds(path, geometry)
    return geometry


def count_or_refuse(path: Path, feature: int, blob: bytes) -> int:
    """`count_vertices`, its refusal naming the feature."""
    try:
        return count_vertices(blob)
    except Broken as error:
        raise BadGeometry(path=str(path), feature=feature, reason=f"well-known binary {error}") from error


def check_vertices(path: Path, feature: int, count: int, limits: Limits) -> None:
    """No more vertices in one feature than the limit."""
    if count > limits.vertices:
        raise TooManyVertices(path=str(path), feature=feature, count=count, limit=limits.vertices)


def check_kinds(path: Path, geometry: Geometries) -> None:
    """Points, lines, polygons and collections of them: curves and surfaces have no plain outline."""
    kinds = shapely.get_type_id(geometry)
    strange = np.flatnonzero(kinds > 7)
    if strange.size:
        first = int(strange[0])
        reason = f"{geometry[first].geom_type} is not a point, line or polygon"
        raise BadGeometry(path=str(path), feature=first + 1, reason=reason)


def _first_broken(path: Path, blobs: Sequence[bytes | None]) -> BadGeometry:
    for number, blob in enumerate(blobs, 1):
        try:
            shapely.from_wkb(blob)
        except (shapely.errors.ShapelyError, ValueError, TypeError) as error:
            return BadGeometry(path=str(path), feature=number, reason=str(error))
    return BadGeometry(path=str(path), feature="?", reason="well-known binary")
