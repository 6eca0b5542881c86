"""A compiled map file -> plain arrays, trusting nothing: every entry's type and size is checked before it is allocated.

What the numbers *mean* is for the checks; here only what they *are*. The archive is read by our own hands: stored entries
only (so memory is bounded by the size of the file), no pickle, and no entry that the proof would not cover.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import struct
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from routing.errors import JieguanError

Array = NDArray[Any]
Ints = NDArray[np.int64]

FORMAT = "jieguan-map/1"
MAX_BYTES = 16 * 2**30
MAX_MANIFEST_BYTES = 2**30
MAX_LENGTH = 2**30
"""Of one axis of one entry: two vertex ids and a bit then pack into one int64."""

PLATE_ENTRIES: Mapping[str, tuple[str, int]] = {
    "xy": ("<i8", 2),
    "ring": ("<i8", 1),
    "ring_at": ("<i8", 1),
    "face_at": ("<i8", 1),
    "outside": ("<i8", 1),
    "label": ("<i4", 1),
    "extent_ring": ("<i8", 1),
    "extent_at": ("<i8", 1),
    "lead": ("<i4", 2),
}
"""Entry of a plate -> type on disk, number of axes."""
SPARE_ENTRIES: Mapping[str, tuple[str, int]] = {"stretch": ("<i8", 2)}
"""Entries that a plate may have."""
MAP_ENTRIES: Mapping[str, tuple[str, int]] = {"manifest": ("|u1", 1), "seal": ("|u1", 1), "contexts": ("<i8", 2)}
MAGIC = b"\x93NUMPY\x01\x00"
HEADER = re.compile(r"\{'descr': '([^']{1,8})', 'fortran_order': False, 'shape': \(([0-9]{1,18}(?:, ?[0-9]{1,18})*,?|)\), \} *\n")
CHUNK = 2**24
DAMAGED = (zipfile.BadZipFile, zipfile.LargeZipFile, struct.error, OSError, EOFError, ValueError, RuntimeError, OverflowError)
"""What the standard library raises on archives whose tables are cut or scrambled."""
PLATE_NAME = re.compile(r"p(0|[1-9][0-9]{0,5})\.([a-z_]+)")


class NotAMap(JieguanError):
    """Base of all that can be wrong with a file before anything in it can be checked."""

    zh = "“{path}”不是 jieguan 编译的地图。请用 jieguan compile 生成。"
    en = "{path!r} is not a map compiled by jieguan. Make one with: jieguan compile."


class MapMissing(NotAMap):
    zh = "没有文件“{path}”。请检查路径,或用 jieguan compile 生成地图。"
    en = "There is no file {path!r}. Check the path, or make a map with: jieguan compile."


class NotAnArchive(NotAMap):
    zh = "“{path}”不是完整的地图文件(不是 zip,或已被截断、损坏:{reason})。请重新编译或重新复制文件。"
    en = "{path!r} is not a whole map file (no zip, or cut short or damaged: {reason}). Compile or copy it again."


class EntryUnreadable(NotAMap):
    zh = "“{path}”的条目“{entry}”读不出来({reason}):文件损坏,或不是 jieguan 写的。请重新编译。"
    en = "Entry {entry!r} of {path!r} cannot be read ({reason}): damaged, or not written by jieguan. Compile the map again."


class EntryMissing(NotAMap):
    zh = "“{path}”缺少条目“{entry}”:文件不完整。请重新编译。"
    en = "{path!r} lacks the entry {entry!r}, so it is not whole. Compile the map again."


class EntryUnknown(NotAMap):
    zh = "“{path}”有条目“{entry}”:证明不涵盖它,所以不能接受。请重新编译。"
    en = "{path!r} has the entry {entry!r}, which the proof does not cover, so it is refused. Compile the map again."


class EntryTooLarge(NotAMap):
    zh = "“{path}”的条目“{entry}”大小为 {size},超过上限 {limit}。请检查文件来源,或把地图分成几幅。"
    en = "Entry {entry!r} of {path!r} has the size {size}, beyond the limit {limit}. Check where the file comes from, or split the map."


class EntryMistyped(NotAMap):
    zh = "“{path}”的条目“{entry}”是 {given},应为 {expected}。请重新编译。"
    en = "Entry {entry!r} of {path!r} is {given} where {expected} is expected. Compile the map again."


class ManifestUnreadable(NotAMap):
    zh = "“{path}”的清单不是规范的 JSON({reason})。请重新编译。"
    en = "The manifest of {path!r} is not canonical JSON ({reason}). Compile the map again."


class ManifestMistaken(NotAMap):
    zh = "“{path}”清单的“{field}”是 {value},应为 {expected}。请用本版本的 jieguan 重新编译。"
    en = "The manifest of {path!r} has {field} = {value} where {expected} is expected. Compile the map with this version of jieguan."


@dataclass(frozen=True, slots=True)
class Plate:
    """One planar subdivision, as in the file; `labels` and `inside` from the manifest."""

    xy: Ints
    ring: Ints
    ring_at: Ints
    face_at: Ints
    outside: Ints
    label: Array
    extent_ring: Ints
    extent_at: Ints
    lead: Array
    labels: tuple[tuple[int, ...], ...]
    inside: tuple[int, ...]
    extent_area2: int
    stretch: Ints | None = None


@dataclass(frozen=True, slots=True)
class Compiled:
    """A map file in memory. `entries` are its arrays by name, manifest and seal among them."""

    entries: Mapping[str, Array]
    manifest: Mapping[str, Any]
    plates: tuple[Plate, ...]
    contexts: Ints


def load(path: str, *, limit_bytes: int = MAX_BYTES) -> Compiled:
    """The map in a file; a subclass of NotAMap names what is wrong with it."""
    name = str(path)
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:  # noqa: PTH123 - routing knows no paths
            return assemble(_read(archive, name, min(file.seek(0, 2), limit_bytes)), name)
    except JieguanError:
        raise
    except FileNotFoundError as reason:
        raise MapMissing(path=name) from reason
    except DAMAGED as reason:
        raise NotAnArchive(path=name, reason=str(reason)) from reason


def loaded(data: bytes, name: str = "(memory)") -> Compiled:
    """The map in the bytes of a file; errors as of `load`."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive: return assemble(_read(archive, name, len(data)), name)
    except JieguanError:
        raise
    except DAMAGED as reason:
        raise NotAnArchive(path=name, reason=str(reason)) from reason


def assemble(entries: Mapping[str, Array], path: str = "(memory)") -> Compiled:
    """Arrays by name -> Compiled, after types, axes and the manifest have been checked. Shares the arrays."""
    for entry, array in entries.items():
        _check_type(array.dtype.str, array.shape, entry, path)
    manifest = _manifest(_entry(entries, "manifest", path), path)
    contexts = _entry(entries, "contexts", path)
    if contexts.shape[1] != 5: raise EntryMistyped(path=path, entry="contexts", given=str(contexts.shape), expected="(n, 5)")
    if _entry(entries, "seal", path).shape != (32,):
        raise EntryMistyped(path=path, entry="seal", given=str(entries["seal"].shape), expected="(32,)")
    stated = manifest["plates"]
    for entry in entries:
        named = PLATE_NAME.fullmatch(entry)
        if named and int(named[1]) >= len(stated): raise EntryUnknown(path=path, entry=entry)
    return Compiled(entries, manifest, tuple(_plate(entries, k, said, path) for k, said in enumerate(stated)), contexts)


def seal_of(entries: Mapping[str, Array]) -> bytes:
    """SHA-256 over name, type, shape and bytes of every entry but the seal, in the order of their names."""
    digest = hashlib.sha256()
    for entry in sorted(set(entries) - {"seal"}):
        array = entries[entry]
        shape = ",".join(map(str, array.shape))
        digest.update(f"{entry}\0{array.dtype.str}\0{shape}\0".encode())
        digest.update(np.ascontiguousarray(array).data)
        digest.update(b"\0")
    return digest.digest()


# ---- the archive ----------------------------------------------------------------------------------------------------


def _read(archive: zipfile.ZipFile, path: str, limit: int) -> dict[str, Array]:
    found: dict[str, Array] = {}
    room = limit
    for info in archive.infolist():
        entry = info.filename.removesuffix(".npy")
        if entry in found or entry == info.filename: raise EntryUnknown(path=path, entry=info.filename)
        _layout(entry, path)
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.compress_size != info.file_size:
            raise EntryUnreadable(path=path, entry=entry, reason="compressed or encrypted")
        room -= info.file_size  # entries that overlap in the archive add up to more than the file
        if room < 0: raise EntryTooLarge(path=path, entry=entry, size=info.file_size, limit=limit)
        with archive.open(info) as file:
            found[entry] = _array(file, info.file_size, entry, path)
    return found


def _array(file: IO[bytes], size: int, entry: str, path: str) -> Array:
    dtype, shape = _header(file, entry, path)
    _check_type(dtype, shape, entry, path)
    array_bytes = np.dtype(dtype).itemsize * math.prod(shape)
    if array_bytes != size - file.tell():
        raise EntryUnreadable(path=path, entry=entry, reason=f"{array_bytes} bytes of numbers in an entry of {size}")
    array = np.empty(shape, dtype)
    view = memoryview(array.reshape(-1).view(np.uint8).data)
    while view:
        chunk = file.read(min(len(view), CHUNK))
        if not chunk: raise EntryUnreadable(path=path, entry=entry, reason="cut short")
        view[: len(chunk)] = chunk
        view = view[len(chunk) :]
    return array


def _header(file: IO[bytes], entry: str, path: str) -> tuple[str, tuple[int, ...]]:
    """The one form of header that numpy writes for plain arrays: read by a pattern, never evaluated."""
    start = file.read(10)
    text = file.read(min(int.from_bytes(start[8:], "little"), 4096)).decode("latin-1")
    said = HEADER.fullmatch(text)
    if start[:8] != MAGIC or said is None: raise EntryUnreadable(path=path, entry=entry, reason="no plain npy header")
    return said[1], tuple(int(n) for n in said[2].split(",") if n.strip())


def _layout(entry: str, path: str) -> tuple[str, int]:
    plate = PLATE_NAME.fullmatch(entry)
    layout = {**PLATE_ENTRIES, **SPARE_ENTRIES}.get(plate[2]) if plate else MAP_ENTRIES.get(entry)
    if layout is None: raise EntryUnknown(path=path, entry=entry)
    return layout


def _check_type(given: str, shape: tuple[int, ...], entry: str, path: str) -> None:
    dtype, axes = _layout(entry, path)
    if given != dtype or len(shape) != axes:
        raise EntryMistyped(path=path, entry=entry, given=f"{given}{list(shape)}", expected=f"{dtype} x {axes} axes")
    limit = MAX_MANIFEST_BYTES if entry == "manifest" else MAX_LENGTH
    if max(shape, default=0) > limit: raise EntryTooLarge(path=path, entry=entry, size=max(shape), limit=limit)


def _entry(entries: Mapping[str, Array], entry: str, path: str) -> Array:
    if entry not in entries: raise EntryMissing(path=path, entry=entry)
    return entries[entry]


def _plate(entries: Mapping[str, Array], k: int, said: Mapping[str, Any], path: str) -> Plate:
    arrays = {name: _entry(entries, f"p{k}.{name}", path) for name in PLATE_ENTRIES}
    labels = tuple(tuple(label) for label in said["labels"])
    for name, width in (("xy", 2), ("lead", len(labels) + 1)):
        if arrays[name].shape[1] != width:
            raise EntryMistyped(path=path, entry=f"p{k}.{name}", given=str(arrays[name].shape), expected=f"(n, {width})")
    stretch = entries.get(f"p{k}.stretch")
    if stretch is not None and stretch.shape[1] != 3:
        raise EntryMistyped(path=path, entry=f"p{k}.stretch", given=str(stretch.shape), expected="(n, 3)")
    return Plate(**arrays, labels=labels, inside=tuple(said["inside"]), extent_area2=int(said["extent_area2"]), stretch=stretch)


# ---- the manifest ---------------------------------------------------------------------------------------------------


def _manifest(raw: Array, path: str) -> Mapping[str, Any]:
    data = raw.tobytes()
    try:
        said = json.loads(data)
        canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as reason:
        raise ManifestUnreadable(path=path, reason=str(reason)) from reason
    if canonical != data:  # a key said twice is read in two ways by two readers
        raise ManifestUnreadable(path=path, reason="keys twice or out of order, or spare characters")
    _check_manifest(said, path)
    return said  # type: ignore[no-any-return]


def _check_manifest(said: Any, path: str) -> None:
    _need(isinstance(said, dict), "manifest", said, "object", path)
    _need(said.get("format") == FORMAT, "format", said.get("format"), FORMAT, path)
    _field(said, "work_crs", str, "", path)
    _field(said, "duty", int, "", path)
    _field(said, "turns", int, "", path)
    for squad in _items(said, "squads", dict, "", path): _field(squad, "code", str, "squads.", path)
    for claim in _items(said, "claims", dict, "", path): _check_claim(claim, path)
    for plate in _items(said, "plates", dict, "", path): _check_plate(plate, path)
    for interval in _items(said, "intervals", dict, "", path): _check_interval(interval, path)
    for group in _items(said, "groups", list, "", path): _all(group, str, "groups", path)
    _items(said, "finders", (str, type(None)), "", path)


def _check_claim(claim: Mapping[str, Any], path: str) -> None:
    _field(claim, "id", str, "claims.", path)
    _field(claim, "kind", str, "claims.", path)
    if claim.get("squad") is not None: _field(claim, "squad", str, "claims.", path)


def _check_plate(plate: Mapping[str, Any], path: str) -> None:
    labels = _items(plate, "labels", list, "plates.", path)
    for label in labels: _all(label, int, "plates.labels", path)
    inside = _items(plate, "inside", int, "plates.", path)
    _need(len(inside) == len(labels), "plates.inside", len(inside), f"{len(labels)} items", path)
    area = plate.get("extent_area2")
    _need(isinstance(area, str) and re.fullmatch(r"[0-9]{1,40}", area) is not None, "plates.extent_area2", area, "decimal string", path)


def _check_interval(interval: Mapping[str, Any], path: str) -> None:
    _field(interval, "plate", int, "intervals.", path)
    for end in ("since", "until"):
        _need(end in interval, f"intervals.{end}", None, "null | str", path)
        if interval[end] is not None: _field(interval, end, str, "intervals.", path)


def _need(holds: bool, field: str, value: object, expected: str, path: str) -> None:
    if not holds: raise ManifestMistaken(path=path, field=field, value=repr(value)[:80], expected=expected)


def _is(value: object, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and not (isinstance(value, int) and abs(value) >= 2**62)


def _field(said: Mapping[str, Any], name: str, kind: type, under: str, path: str) -> None:
    _need(_is(said.get(name), kind), under + name, said.get(name), kind.__name__, path)


def _items(said: Mapping[str, Any], name: str, kind: type | tuple[type, ...], under: str, path: str) -> list[Any]:
    items = said.get(name)
    if not isinstance(items, list): raise ManifestMistaken(path=path, field=under + name, value=repr(items)[:80], expected="list")
    _all(items, kind, under + name, path)
    return items


def _all(items: Iterable[object], kind: type | tuple[type, ...], field: str, path: str) -> None:
    for at, item in enumerate(items):
        if not _is(item, kind): _need(False, f"{field}[{at}]", item, getattr(kind, "__name__", "str | null"), path)
