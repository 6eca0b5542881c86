"""GeoJSON by our own hands (RFC 7946): GDAL would follow what a file merely claims to be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from geodata.intake import (
    WGS84,
    BadGeometry,
    Content,
    Geometries,
    Limits,
    Note,
    UnreadableFile,
    check_extent,
    only_layer,
    plain_crs,
    uncollected,
)
from geodata.intake_wkb import DEEPEST, check_vertices

AS_JSON = {b"jieguan": b"json"}
"""Field metadata of a text column that holds JSON, so that writing GeoJSON gives back what was read."""
AS_LIST = {b"jieguan": b"list"}
CHUNK = 16 << 20
BRACKET = np.isin(np.arange(256), np.frombuffer(b"[]{}", np.uint8))
Member = dict[str, Any]


class NotGeoJSON(UnreadableFile):
    zh = "“{path}”不是可用的 GeoJSON:{reason}。请导出为 FeatureCollection。"
    en = "{path!r} is no usable GeoJSON: {reason}. Export it as a FeatureCollection."


def read_geojson(path: Path, layer: str | None, limits: Limits) -> Content:
    """A FeatureCollection, Feature or bare geometry; lon, lat of WGS-84 unless a `crs` member says otherwise."""
    own = only_layer(path, layer, path.stem)
    data = path.read_bytes()
    check_sizes(path, data, limits)
    root = parse(path, data)
    del data
    features = features_of(path, root)
    check_extent(path, len(features), 0, limits)
    crs, notes = crs_of(path, root)
    columns, more = columns_of(path, features)
    check_extent(path, 0, columns.num_columns, limits)
    return Content(
        layer=own,
        columns=columns,
        geometry=geometries_of(path, features, limits),
        geometry_at=columns.num_columns,
        crs=crs,
        notes=notes + more,
    )


def check_sizes(path: Path, data: bytes, limits: Limits) -> None:
    """Refuse a feature with too many positions by counting brackets: no object is built."""
    if data.count(b"[") <= limits.vertices:
        return
    for feature, count in enumerate(positions_per_feature(data), 1):
        check_vertices(path, feature, count, limits)


def positions_per_feature(data: bytes) -> list[int]:
    """Innermost arrays in each object of the second level (the features of a collection), in file order.

    In the sequence of brackets outside strings a position is a `[` followed at once by its `]`. Works in chunks: about
    20 ns a byte and 200 MB whatever the size of the file.
    """
    counts: list[int] = [0]
    depth, quoted, last = 0, 0, 0
    for start, end in _chunks(data):
        text = data[start:end].replace(b"\\\\", b"  ").replace(b'\\"', b"  ")
        byte = np.frombuffer(text, np.uint8)
        inside = np.bitwise_xor.accumulate((byte == ord('"')).view(np.uint8)) ^ quoted
        quoted = int(inside[-1])
        marks = byte[BRACKET[byte] & (inside == 0)]
        if not marks.size:
            continue
        level = depth + np.cumsum(np.where(marks == ord("{"), 1, np.where(marks == ord("}"), -1, 0)))
        starts = (marks == ord("{")) & (level == 2)
        before = np.concatenate([[last], marks[:-1]])
        position = (marks == ord("]")) & (before == ord("["))
        feature = np.cumsum(starts)
        found = np.bincount(feature, weights=position, minlength=int(feature[-1]) + 1)
        counts[-1] += int(found[0])
        counts.extend(int(count) for count in found[1:])
        depth, last = int(level[-1]), int(marks[-1])
    return counts[1:] if len(counts) > 1 else counts


def _chunks(data: bytes) -> Iterable[tuple[int, int]]:
    """Ranges that never part a backslash from what it escapes."""
    start = 0
    while start < len(data):
        end = min(start + CHUNK, len(data))
        while end < len(data) and data[end - 1 : end] == b"\\":
            end += 1
        yield start, end
        start = end


def parse(path: Path, data: bytes) -> Member:
    """The root object. NaN and Infinity are no JSON; a file nested without end is refused."""

    def not_json(name: str) -> NoReturn:
        raise NotGeoJSON(path=str(path), reason=f"{name} is no number of JSON")

    try:
        with uncollected():
            root = json.loads(data.decode("utf-8-sig"), parse_constant=not_json)
    except UnicodeDecodeError as error:
        raise NotGeoJSON(path=str(path), reason=f"not UTF-8: {error}") from error
    except json.JSONDecodeError as error:
        raise NotGeoJSON(path=str(path), reason=str(error)) from error
    except RecursionError as error:
        raise NotGeoJSON(path=str(path), reason="nested too deeply") from error
    if not isinstance(root, dict):
        raise NotGeoJSON(path=str(path), reason="the root is no object")
    return root


def features_of(path: Path, root: Member) -> list[Member]:
    """The features of any GeoJSON object."""
    kind = root.get("type")
    if kind == "FeatureCollection":
        features = root.get("features")
        if not isinstance(features, list):
            raise NotGeoJSON(path=str(path), reason="the collection has no list of features")
    elif kind == "Feature":
        features = [root]
    elif kind in BUILD or kind == "GeometryCollection":
        features = [{"type": "Feature", "geometry": root, "properties": {}}]
    else:
        raise NotGeoJSON(path=str(path), reason=f"its type is {str(kind)[:40]!r}")
    for number, feature in enumerate(features, 1):
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise NotGeoJSON(path=str(path), reason=f"item {number} is no Feature")
        if not isinstance(feature.get("properties") or {}, dict):
            raise NotGeoJSON(path=str(path), reason=f"the properties of feature {number} are no object")
    return features


def crs_of(path: Path, root: Member) -> tuple[CRS, tuple[Note, ...]]:
    """WGS-84, or the named `crs` of the 2008 format, which is noted. A linked crs would be fetched: refused."""
    member = root.get("crs")
    if member is None:
        return WGS84, ()
    properties = member.get("properties") if isinstance(member, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if not isinstance(name, str):
        raise NotGeoJSON(path=str(path), reason="its crs member names no coordinate system")
    try:
        crs = plain_crs(CRS.from_user_input(name))
    except CRSError as error:
        raise NotGeoJSON(path=str(path), reason=f"its crs {name!r} is unknown") from error
    return crs, () if crs == WGS84 else (Note("crs_member", {"path": str(path), "crs": name}),)


def columns_of(path: Path, features: list[Member]) -> tuple[Any, tuple[Note, ...]]:
    """Properties as typed columns, in the order in which their names first occur."""
    rows = [feature.get("properties") or {} for feature in features]
    notes = []
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    if "id" not in names and any("id" in feature for feature in features):
        rows = [{"id": feature.get("id"), **row} for feature, row in zip(features, rows, strict=True)]
        names = {"id": None, **names}
        notes.append(Note("feature_id", {"path": str(path)}))
    arrays, fields = [], []
    for name in names:
        array, metadata, mixed = column_of(path, [row.get(name) for row in rows])
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=metadata))
        if mixed:
            notes.append(Note("mixed_types", {"path": str(path), "column": name}))
    if not fields:  # a table without columns forgets how many rows it has
        return pa.table({"": pa.nulls(len(rows))}).select([]), tuple(notes)
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields)), tuple(notes)


def column_of(path: Path, values: list[Any]) -> tuple[Any, dict[bytes, bytes] | None, bool]:
    """An Arrow array, its field metadata, and whether its types were mixed (then it is JSON text)."""
    kinds = {type(value) for value in values if value is not None}
    try:
        if kinds <= {str}:
            return pa.array(values, pa.string()), None, False
        if kinds in ({bool}, {int}, {float}):
            return pa.array(values), None, False
        if kinds == {int, float} and all(abs(value) <= 2**53 for value in values if type(value) is int):
            return pa.array(values, pa.float64()), None, False
        if kinds == {list} and all(isinstance(item, str) for value in values if value is not None for item in value):
            return pa.array(values, pa.list_(pa.string())), AS_LIST, False
        texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
        if kinds <= {str, int, float, bool}:  # 7 and "8" in one column: the texts are left without their quotes
            texts = [value if isinstance(value, str) else text for value, text in zip(values, texts, strict=True)]
            return pa.array(texts, pa.string()), None, True
        return pa.array(texts, pa.string()), AS_JSON, len(kinds) > 1
    except OverflowError:  # an integer beyond 64 bits
        return pa.array([None if value is None else json.dumps(value) for value in values]), AS_JSON, True
    except RecursionError as error:
        raise NotGeoJSON(path=str(path), reason="a property nested too deeply") from error
    except UnicodeEncodeError as error:  # a lone surrogate, "\ud800"
        raise NotGeoJSON(path=str(path), reason=f"a text that is no Unicode: {error}") from error


def geometries_of(path: Path, features: list[Member], limits: Limits) -> Geometries:
    """One geometry a feature, None where it has none."""
    members = [feature.get("geometry") for feature in features]
    points = _all_points(members)
    if points is not None:
        return points
    geometry = np.empty(len(members), dtype=object)
    for number, member in enumerate(members, 1):
        try:
            geometry[number - 1] = None if member is None else geometry_of(member, 0)
        except (ValueError, TypeError, KeyError, shapely.errors.ShapelyError) as error:
            raise BadGeometry(path=str(path), feature=number, reason=str(error)) from error
    counts = shapely.get_num_coordinates(geometry)
    if counts.size and counts.max() > limits.vertices:
        worst = int(counts.argmax())
        check_vertices(path, worst + 1, int(counts[worst]), limits)
    return geometry


def _all_points(members: list[Any]) -> Geometries | None:
    """A file of plain points in one call: a million of them take a second."""
    try:
        pairs = [member["coordinates"] for member in members if member["type"] == "Point"]
    except (TypeError, KeyError):
        return None
    if len(pairs) != len(members) or not pairs or {_width(pair) for pair in pairs} != {2}:
        return None
    return np.asarray(shapely.points(np.array(pairs, dtype=np.float64)), dtype=object)


def _width(pair: object) -> int:
    numbers = isinstance(pair, list) and all(type(value) in (int, float) for value in pair)
    return len(pair) if numbers and isinstance(pair, list) else -1


def geometry_of(member: object, depth: int) -> Any:
    """One geometry object. Raises ValueError with the reason; nothing is closed or completed for the author."""
    if not isinstance(member, dict):
        raise TypeError("the geometry is no object")
    kind = member.get("type")
    if kind == "GeometryCollection":
        if depth >= DEEPEST:
            raise ValueError(f"collections nested deeper than {DEEPEST}")
        return shapely.geometrycollections([geometry_of(part, depth + 1) for part in member["geometries"]])
    if not isinstance(kind, str) or kind not in BUILD:
        raise ValueError(f"unknown type {str(kind)[:40]!r}")
    return BUILD[kind](member["coordinates"])


def positions(value: object) -> NDArray[np.float64]:
    """(n, 2 or 3) from a list of positions; numbers only."""
    array = np.asarray(value)
    if array.size == 0:
        return np.empty((0, 2))
    if array.ndim != 2 or array.dtype.kind not in "iuf" or array.shape[1] < 2:
        raise ValueError("coordinates that are no list of positions [x, y]")
    return array[:, :3].astype(np.float64)


def _ring(value: object) -> Any:
    xy = positions(value)
    if 0 < len(xy) < 4:
        raise ValueError(f"a ring of {len(xy)} positions encloses nothing")
    if len(xy) and not np.array_equal(xy[0], xy[-1]):
        raise ValueError("a ring is not closed: its first and last position differ")
    return shapely.linearrings(xy)


def _polygon(value: Any) -> Any:
    rings = [_ring(ring) for ring in value]
    return shapely.Polygon(rings[0], rings[1:]) if rings else shapely.Polygon()


def _point(value: Any) -> Any:
    return shapely.points(positions([value])[0]) if len(value) else shapely.Point()


def _line(value: object) -> Any:
    return shapely.linestrings(positions(value))


BUILD: Mapping[str, Callable[[Any], Any]] = {
    "Point": _point,
    "LineString": _line,
    "Polygon": _polygon,
    "MultiPoint": lambda value: shapely.multipoints([_point(part) for part in value]),
    "MultiLineString": lambda value: shapely.multilinestrings([_line(part) for part in value]),
    "MultiPolygon": lambda value: shapely.multipolygons([_polygon(part) for part in value]),
}
