"""Files that people attach: judged by their first bytes, never by their names; of a picture only the picture is kept.

A photo of a telephone says where and when it was taken, and with what; a stall on one's own street is a home address. None of it is
needed: the case has its place. Values only: bytes in, bytes out.
"""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image, ImageOps

from routing.errors import JieguanError

logging.getLogger("PIL").setLevel(logging.INFO)  # it would write what it finds in a picture into a log of everything
MOST_PIXELS = 50_000_000
"""A picture takes some ten bytes a pixel while it is drawn anew; telephones take 12 to 50 million."""
QUALITY = 90
JPEG, PNG, WEBP, PDF, MP4 = "image/jpeg", "image/png", "image/webp", "application/pdf", "video/mp4"
SUFFIXES: Mapping[str, str] = {JPEG: ".jpg", PNG: ".png", PDF: ".pdf", MP4: ".mp4"}
"""What is kept, and how its files are called."""
PICTURES: Mapping[str, str] = {JPEG: "JPEG", PNG: "PNG", WEBP: "WEBP"}
MP4_BRANDS = frozenset(
    {b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"dash", b"MSNV", b"M4V ", b"3gp4", b"3gp5", b"3gp6"}
)
OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"GIF8", "GIF"), (b"BM", "BMP"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"PK", "zip / Office"), (b"Rar!", "RAR"),
    (b"7z\xbc\xaf", "7z"), (b"\x1f\x8b", "gzip"), (b"MZ", "Windows exe"), (b"\x7fELF", "ELF"), (b"\xd0\xcf\x11\xe0", "Office 97"),
    (b"{\\rtf", "RTF"), (b"ID3", "MP3"), (b"OggS", "Ogg"), (b"\x1aE\xdf\xa3", "WebM / Matroska"), (b"#!", "script"),
)  # fmt: skip

BROKEN = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, ArithmeticError, EOFError, struct.error)
"""What a decoder raises where a file is not what it says."""


class NotTaken(JieguanError):
    zh = "附件是{seen},不收这种文件。可收:JPEG、PNG、WebP 图片,PDF,MP4 视频。请另存或导出为其中一种(手机照片可选“兼容性最佳”)。"
    en = (
        "The attachment is {seen}, and that is not taken. Pictures as JPEG, PNG or WebP are, and PDF and MP4. Save or export it as one of "
        "these (telephones call it \"most compatible\")."
    )


class PictureBroken(JieguanError):
    zh = "图片无法打开({kind}):文件可能损坏或未传完。请重新导出后再传。"
    en = "The picture cannot be opened ({kind}): it may be damaged or incomplete. Export it again."


class PictureTooLarge(JieguanError):
    zh = "图片有 {pixels} 像素,上限 {limit}:展开会耗尽内存。请缩小后再传。"
    en = "The picture has {pixels} pixels and the limit is {limit}, as more would exhaust the memory. Make it smaller."


@dataclass(frozen=True, slots=True)
class Kept:
    """A file as it is kept."""

    media_type: str
    data: bytes


def kept_of(data: bytes) -> Kept:
    """What is kept of a file: a picture drawn anew, a PDF or MP4 as it is. Raises NotTaken, PictureBroken, PictureTooLarge."""
    media = media_of(data)
    return _redrawn(data, PICTURES[media]) if media in PICTURES else Kept(media, data)


def media_of(data: bytes) -> str:
    """Of what type a file is, by its first bytes. Raises NotTaken."""
    head = data[:32]
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return WEBP
    if head.startswith(b"%PDF-"):
        return PDF
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in MP4_BRANDS:
            return MP4
        raise NotTaken(seen={b"qt  ": "QuickTime", b"avif": "AVIF"}.get(brand, "HEIC" if brand[:2] in (b"he", b"mi") else "ISO media"))
    raise NotTaken(seen=_name_of(data[:512]))


def _name_of(head: bytes) -> str:
    for magic, name in OTHERS:
        if head.startswith(magic):
            return name
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] == b"<":
        return "SVG" if b"<svg" in head.lower() else "HTML / XML"
    return "binary" if b"\0" in head else "text"


def _redrawn(data: bytes, kind: str) -> Kept:
    """The first frame, upright, its pixels and nothing else."""
    try:
        with Image.open(io.BytesIO(data), formats=[kind]) as opened:  # its head alone
            width, height = opened.size
            if width * height > MOST_PIXELS:
                raise PictureTooLarge(pixels=width * height, limit=MOST_PIXELS)
            return _drawn(ImageOps.exif_transpose(opened), as_png=kind == "PNG")
    except JieguanError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureTooLarge(pixels=f"> {MOST_PIXELS}", limit=MOST_PIXELS) from error
    except BROKEN as error:
        raise PictureBroken(kind=kind) from error


def _drawn(picture: Image.Image, *, as_png: bool) -> Kept:
    """As PNG where it was one, or where something shines through; else as JPEG."""
    clear = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    drawn = picture.convert("RGBA" if clear else "L" if picture.mode in ("1", "L") else "RGB")
    drawn.info.clear()  # comments, profiles, positions: whatever a format would carry over
    out = io.BytesIO()
    if as_png or clear:
        drawn.save(out, "PNG", compress_level=6)
    else:
        drawn.save(out, "JPEG", quality=QUALITY)
    return Kept(PNG if as_png or clear else JPEG, out.getvalue())
