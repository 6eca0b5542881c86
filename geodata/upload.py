"""A file that somebody uploads, as it is: copied into a folder of ours, read there by a child process that can do nothing else.

    uploaded = read_upload("city.gpkg")          cells and shapes by layer, none of them understood yet
    read = rows_in(uploaded, like, settings)     rows of a map (`upload_rows.py`)
    wishes = wishes_of(base, read)               edits of a draft (`upload_edits.py`)
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyproj
import shapely

from geodata import child, crs, files, intake, intake_geojson, intake_gpkg, intake_shapefile, intake_zip
from geodata.child import FENCE, Fence, UploadBroke, UploadTooBig
from geodata.exporting import ABOUT, FORMAT
from geodata.intake import EXTENSIONS, Format, Geometries, Note, UnknownFormat
from routing.errors import JieguanError

ACCEPTED = tuple(suffix for suffix, kind in EXTENSIONS.items() if kind is not Format.SHAPEFILE)
"""A bare .shp is a third of a shapefile: its parts come in a zip."""


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """One layer of an uploaded file: cells by column, shapes (n,) in the file's coordinates or None."""

    name: str
    columns: Mapping[str, Sequence[Any]]
    shapes: Geometries | None
    crs: pyproj.CRS | None
    count: int

    def taken(self, some: Sequence[int]) -> Sheet:
        """Some of its rows."""
        shapes = None if self.shapes is None else self.shapes[list(some)]
        return replace(self, columns={k: [v[i] for i in some] for k, v in self.columns.items()}, shapes=shapes, count=len(some))


@dataclass(frozen=True, slots=True, eq=False)
class Uploaded:
    """What a file holds. `about`: what it is a copy of, where it is a GeoPackage exported here."""

    name: str
    sha256: str
    sheets: tuple[Sheet, ...]
    about: Mapping[str, str] | None
    guards: frozenset[str]
    notes: tuple[Note, ...]


# ---- receiving -------------------------------------------------------------------------------------------------------


def read_upload(source: str | Path | IO[bytes], name: str | None = None, *, size: int | None = None, fence: Fence = FENCE) -> Uploaded:
    """The content of a file on disk or of a stream. `size`: what is known of the stream's, so that too much is refused unread.

    Raises UploadTooBig, UnknownFormat, and what the readers and `child` raise, with the file called by its own name.
    """
    shown = shown_name(name or (str(source) if isinstance(source, str | Path) else "upload"))
    suffix = Path(shown).suffix.lower()
    if suffix not in ACCEPTED:
        raise UnknownFormat(path=shown, extension=Path(shown).suffix, allowed=" ".join(ACCEPTED))
    with child.folder() as folder:
        file = folder / f"upload{suffix}"
        if isinstance(source, str | Path):
            intake.check_file(Path(source), 1 << 62)
            size = Path(source).stat().st_size
            _check_size(shown, size, fence)
            with Path(source).open("rb") as stream:
                seal = _received(stream, file, shown, fence)
        else:
            _check_size(shown, size or 0, fence)
            seal = _received(source, file, shown, fence)
        _check_kind(file, shown, fence)
        return _uploaded(shown, seal, child.ask(file, shown, fence, refusal_named))


def shown_name(name: str) -> str:
    """The last part of a client's file name, without control characters, at most 100 letters: for messages, never for a path."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(letter if letter.isprintable() else "?" for letter in last)[-100:] or "upload"


def _check_size(shown: str, size: int, fence: Fence) -> None:
    if size > fence.upload:
        raise UploadTooBig(path=shown, size=size, limit=fence.upload)


def _check_kind(file: Path, shown: str, fence: Fence) -> None:
    """By name and first bytes, without a library: what is not what it says needs no child to refuse it."""
    try:
        intake.format_of(file, intake.Limits(file=fence.upload, json=fence.upload))
    except JieguanError as error:
        raise type(error)(**{name: _as_shown(value, shown) for name, value in {**error.facts, "path": shown}.items()}) from None


def _received(stream: IO[bytes], file: Path, shown: str, fence: Fence) -> str:
    """Copy a stream into a file of ours, never more than the limit. The sha256 of its bytes."""
    seal, size = hashlib.sha256(), 0
    with file.open("xb") as out:
        while block := stream.read(1 << 20):
            size += len(block)
            _check_size(shown, size, fence)
            seal.update(block)
            out.write(block)
    return seal.hexdigest()


def refusal_named(name: str) -> type[JieguanError] | None:
    """A reader's refusal by the name of its class; None for any other name."""
    for module in (intake, intake_geojson, intake_gpkg, intake_shapefile, intake_zip, files, crs):
        kind = getattr(module, name, None)
        if isinstance(kind, type) and issubclass(kind, JieguanError):
            return kind
    return None


def _uploaded(shown: str, seal: str, answer: child.Answer) -> Uploaded:
    """Every value made anew from what the child said. Raises UploadBroke where it contradicts itself."""
    try:
        sheets = [_sheet(told) for told in answer.layers]
        said = [one for told in answer.layers for one in told["notes"]]
        notes = tuple(Note(str(code), {k: _as_shown(v, shown) for k, v in facts.items()}) for code, facts in said)
    except (ValueError, TypeError, KeyError, AttributeError, shapely.errors.ShapelyError, pyproj.exceptions.CRSError) as error:
        raise UploadBroke(path=shown, reason=f"{type(error).__name__} in its answer") from error
    about = next((s for s in sheets if s.name == ABOUT and {"key", "value"} <= s.columns.keys()), None)
    copy = None if about is None else {str(k): str(v) for k, v in zip(about.columns["key"], about.columns["value"], strict=True)}
    own = copy if copy is not None and copy.get("format") == FORMAT else None
    named = (replace(s, name=Path(shown).stem) if s.name == "upload" else s for s in sheets if s is not about)
    return Uploaded(shown, seal, tuple(named), own, answer.guards, notes)


def _as_shown(value: Any, shown: str) -> Any:
    own = f"upload{Path(shown).suffix.lower()}"
    return shown + value.removeprefix(own) if isinstance(value, str) and value.startswith(own) else value


def _sheet(told: Mapping[str, Any]) -> Sheet:
    count, columns = int(told["count"]), {str(name): list(values) for name, values in told["columns"].items()}
    shapes: Geometries | None = None
    if told["geometry"] is not None:
        shapes = np.array([None if w is None else shapely.from_wkb(base64.b64decode(w)) for w in told["geometry"]] + [None], object)[:-1]
    if any(len(values) != count for values in columns.values()) or (shapes is not None and len(shapes) != count):
        raise ValueError("columns of unequal length")
    where = None if told["crs"] is None else pyproj.CRS.from_user_input(str(told["crs"]))
    return Sheet(str(told["name"]), columns, shapes, where, count)
