"""The names of things: sha256 over canonical text. A name says the content, whichever database holds it.

Geometry enters by `ground` (ISO WKB of whole millimetres in the work CRS), never by the longitudes and latitudes derived from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from geodata.db.both import canonical, instant_text


class Named(Protocol):
    """What a feature's name is made of: all of its row but the derived geometry."""

    @property
    def layer(self) -> str: ...
    @property
    def code(self) -> str: ...
    @property
    def name(self) -> str | None: ...
    @property
    def since(self) -> datetime | None: ...
    @property
    def until(self) -> datetime | None: ...
    @property
    def source(self) -> str | None: ...
    @property
    def licence(self) -> str | None: ...
    @property
    def datum(self) -> str | None: ...
    @property
    def accuracy_m(self) -> float | None: ...
    @property
    def document(self) -> str | None: ...
    @property
    def facts(self) -> Mapping[str, Any]: ...
    @property
    def ground(self) -> bytes | None: ...


class Content(NamedTuple):
    """A feature as a value: nothing said is None."""

    layer: str
    code: str
    name: str | None
    since: datetime | None
    until: datetime | None
    source: str | None
    licence: str | None
    datum: str | None
    accuracy_m: float | None
    document: str | None
    facts: dict[str, Any]
    ground: bytes | None


def feature_hash(feature: Named) -> str:
    """sha256 of the canonical JSON of a feature, 64 hexadecimal digits.

    `accuracy_m` enters as the repr of the float (5 and 5.0 are one accuracy), instants as UTC text of fixed width, `ground` as the
    sha256 of its bytes. A float anywhere in `facts` raises NotJson.
    """
    accuracy = feature.accuracy_m
    content = {
        "layer": feature.layer,
        "code": feature.code,
        "name": feature.name,
        "since": _instant(feature.since),
        "until": _instant(feature.until),
        "source": feature.source,
        "licence": feature.licence,
        "datum": feature.datum,
        "accuracy_m": None if accuracy is None else repr(float(accuracy) + 0.0),
        "document": feature.document,
        "facts": dict(feature.facts),
        "ground": None if feature.ground is None else hashlib.sha256(feature.ground).hexdigest(),
    }
    return hashlib.sha256(canonical(content, floats=False, where="feature").encode()).hexdigest()


def version_hash(members: Iterable[tuple[str, str, str]], work_crs: str, settings: Mapping[str, Any]) -> str:
    """sha256 over the members' lines, (layer, code, feature hash) in order, then the work CRS and the settings.

    The order of `members` does not matter; a float in `settings` raises NotJson.
    """
    digest = hashlib.sha256()
    for member in sorted(members):
        digest.update(canonical(list(member)).encode() + b"\n")
    ending = {"work_crs": work_crs, "settings": dict(settings)}
    digest.update(canonical(ending, floats=False, where="version").encode() + b"\n")
    return digest.hexdigest()


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else instant_text(instant)
