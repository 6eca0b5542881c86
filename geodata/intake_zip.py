"""Unpacking a zipped shapefile: judged by the directory of the archive, then written by us under names of our own."""

from __future__ import annotations

import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from geodata.intake import Limits, TooBig, UnreadableFile
from routing.errors import Worded

PARTS = (".shp", ".shx", ".dbf", ".prj", ".cpg")
"""All of a shapefile that is read. Indexes and metadata are left out: they may name other files."""
ARCHIVES = (".zip", ".7z", ".rar", ".gz", ".tar", ".tgz", ".bz2", ".xz", ".kmz")
END = struct.Struct("<4s4H2IH")
DIRECTORY_ENTRY = 1024
"""Bytes of the archive's directory that one honest entry may take (46 + name + extras)."""
SMALL = 64 << 20
"""Below this the ratio does not matter: the unpacked bytes are few."""


REASONS: Mapping[str, tuple[str, str]] = {
    "encrypted": ("已加密", "is encrypted"),
    "symlink": ("是符号链接", "is a symbolic link"),
    "path": ("的名称指向压缩包之外", "has a name that leads out of the archive"),
    "nul": ("的名称含有控制字符", "has a control character in its name"),
    "twin": ("与另一项仅大小写不同或重名", "differs from another entry in case only, or not at all"),
    "nested": ("是压缩包里的压缩包", "is an archive inside the archive"),
    "method": ("使用了 store、deflate 以外的压缩方法", "is packed by another method than store or deflate"),
    "overlap": ("与另一项的数据重叠", "shares its bytes with another entry"),
    "ratio": ("的压缩比过高(压缩炸弹)", "unpacks to far too many times its size (a zip bomb)"),
    "size": ("解压后过大(压缩炸弹)", "unpacks to too much (a zip bomb)"),
    "entries": ("项数过多", "entries are too many"),
    "lying": ("的实际内容与声明的大小或校验不符", "does not hold what its size and checksum state"),
}


class UnsafeZip(Worded):
    zh = "压缩包“{path}”不安全,未解压:{entry} {reason}。请只打包一个 shapefile 的 .shp .shx .dbf .prj .cpg 后重试。"
    en = (
        "The zip {path!r} is unsafe and was not unpacked: {entry} {reason}. Pack only the .shp .shx .dbf .prj .cpg of "
        "one shapefile and try again."
    )
    worded = "reason"
    words = REASONS


def shapefiles_in(path: Path, limits: Limits) -> dict[str, dict[str, zipfile.ZipInfo]]:
    """Layer name -> part (".shp" ...) -> entry, of an archive whose every entry was judged. Nothing is unpacked."""
    check_directory(path, limits)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            check_entries(path, entries, archive.start_dir, limits)
    except (zipfile.BadZipFile, NotImplementedError, struct.error, UnicodeDecodeError) as error:
        raise UnreadableFile(path=str(path), reason=str(error)) from error
    layers: dict[str, dict[str, zipfile.ZipInfo]] = {}
    for entry in entries:
        name = PurePosixPath(entry_name(entry))
        if name.suffix.lower() in PARTS and "__MACOSX" not in name.parts:
            layers.setdefault(str(name.with_suffix("")), {})[name.suffix.lower()] = entry
    return {PurePosixPath(key).name: parts for key, parts in sorted(layers.items()) if ".shp" in parts}


def check_directory(path: Path, limits: Limits) -> None:
    """Entry count and directory size from the end record, before a library reads a directory of 100,000 names."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - END.size - 0xFFFF))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < END.size:
        raise UnreadableFile(path=str(path), reason="the zip has no end record")
    _, disk, _, _, entries, directory, offset, _ = END.unpack_from(tail, at)
    if entries > limits.entries or directory > limits.entries * DIRECTORY_ENTRY or disk or offset == 0xFFFFFFFF:
        raise UnsafeZip(path=str(path), entry=entries, reason="entries")


def check_entries(path: Path, entries: list[zipfile.ZipInfo], directory_at: int, limits: Limits) -> None:
    """Names, kinds, methods, sizes and places of all entries."""
    twins: set[str] = set()
    for entry in entries:
        reason = fault_of(entry, limits)
        folded = unicodedata.normalize("NFC", entry_name(entry)).casefold()
        if reason is None and folded in twins:
            reason = "twin"
        twins.add(folded)
        if reason:
            raise UnsafeZip(path=str(path), entry=repr(entry.orig_filename), reason=reason)
    total = sum(entry.file_size for entry in entries)
    if total > limits.unpacked:
        raise UnsafeZip(path=str(path), entry=f"{total} > {limits.unpacked} bytes", reason="size")
    check_overlap(path, entries, directory_at)


def check_overlap(path: Path, entries: list[zipfile.ZipInfo], directory_at: int) -> None:
    """Every entry's bytes (30 of local header, name, data) end before the next one's begin."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    for entry, after in zip(ordered, [e.header_offset for e in ordered[1:]] + [directory_at], strict=True):
        if entry.header_offset + 30 + len(entry.orig_filename) + entry.compress_size > after:
            raise UnsafeZip(path=str(path), entry=repr(entry.orig_filename), reason="overlap")


def fault_of(entry: zipfile.ZipInfo, limits: Limits) -> str | None:
    """Why one entry is not touched, or None."""
    name = entry.orig_filename
    if any(ord(letter) < 32 for letter in name):
        return "nul"
    if name.startswith(("/", "\\")) or "\\" in name or ":" in name or ".." in PurePosixPath(name).parts:
        return "path"
    if entry.flag_bits & 0x1:
        return "encrypted"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "symlink"
    if name.lower().endswith(ARCHIVES):
        return "nested"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "method"
    if entry.file_size > SMALL and entry.file_size > limits.ratio * entry.compress_size:
        return "ratio"
    return None


def entry_name(entry: zipfile.ZipInfo) -> str:
    """The entry's name; without the UTF-8 flag Chinese archives hold GB 18030, which zipfile reads as code page 437."""
    if entry.flag_bits & 0x800:
        return entry.orig_filename
    raw = entry.orig_filename.encode("cp437", errors="replace")
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return entry.orig_filename


def unpack(path: Path, parts: Mapping[str, zipfile.ZipInfo], folder: Path, limits: Limits) -> dict[str, Path]:
    """The parts of one shapefile, written as `folder/layer.shp` and so on; no name of the archive reaches the disk."""
    written = {}
    with zipfile.ZipFile(path) as archive:
        for part, entry in parts.items():
            written[part] = folder / f"layer{part}"
            try:
                _copy(archive, entry, written[part])
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                raise UnsafeZip(path=str(path), entry=repr(entry.orig_filename), reason="lying") from error
    total = sum(target.stat().st_size for target in written.values())
    if total > limits.unpacked:
        raise TooBig(path=str(path), what="unpacked", size=total, limit=limits.unpacked, name="unpacked")
    return written


def _copy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    left = entry.file_size
    with archive.open(entry) as source, target.open("wb") as sink:
        while block := source.read(1 << 20):
            left -= len(block)
            if left < 0:
                raise zipfile.BadZipFile("more bytes than stated")
            sink.write(block)
