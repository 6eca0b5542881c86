"""The map file: the same bytes for the same content, another seal for any other; and read back it answers alike."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from routing.ground.certificate import FORMAT, entries_of, opened, seal_of, sealed
from routing.ground.verify import load, verify
from routing.model import AgreementRule, Location, Period
from routing.route import Router
from tests.city import MAPS, NEW_YORK, agreement, compiled, roster, squares


def entries(data: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return dict(archive)


@pytest.mark.parametrize("name", sorted(MAPS))
def test_every_map_of_the_city_is_proven(name: str, tmp_path: Path) -> None:
    path = tmp_path / "map.jgm"
    path.write_bytes(sealed(MAPS[name]())[1])
    assert verify(load(str(path))) == ()


@pytest.mark.parametrize("name", sorted(MAPS))
def test_the_file_is_read_back_to_the_same_map(name: str) -> None:
    on = MAPS[name]()
    named, data = sealed(on)
    again = opened(entries(data))
    assert again.version == named.version == seal_of(entries(data)).hex()[:16]
    for field in ("roster", "claims", "intervals", "groups", "settings"):
        assert getattr(again, field) == getattr(on, field), field
    for mine, theirs in zip(on.plates, again.plates, strict=True):
        assert (mine.labels, mine.inside, mine.outside) == (theirs.labels, theirs.inside, theirs.outside)
        assert mine.faces.edge.tolist() == theirs.faces.edge.tolist()
        assert mine.faces.side.tolist() == theirs.faces.side.tolist()
    assert sealed(again)[1] == data


def test_the_seal_covers_every_entry() -> None:
    found = entries(sealed(MAPS["years"]())[1])
    want = hashlib.sha256()
    for key in sorted(set(found) - {"seal"}):
        a = found[key]
        want.update(f"{key}\0{a.dtype.str}\0{','.join(map(str, a.shape))}\0".encode() + a.tobytes() + b"\0")
    assert found["seal"].tobytes() == want.digest()
    for key in set(found) - {"seal"}:
        other = dict(found)
        other[key] = other[key].copy()
        if not other[key].size:
            continue
        other[key].reshape(-1)[0] += 1
        assert seal_of(other) != want.digest(), key


def test_there_is_one_context_for_every_combination() -> None:
    for name in ("agreements", "orders", "years"):
        on = MAPS[name]()
        found = entries_of(on)
        said = json.loads(found["manifest"].tobytes())
        assert said["format"] == FORMAT
        every = product(range(len(on.intervals)), range(len(on.groups)), range(said["turns"]), range(len(said["finders"])))
        assert [tuple(row[:4]) for row in found["contexts"].tolist()] == list(every)


def test_another_zone_squad_or_document_is_another_map() -> None:
    base = squares()
    claim = base[0].claim
    others = [
        compiled(base, zone_m=10.0),
        compiled(base, who=roster(["extra", *["ne", "nw", "se", "sw"]])),
        compiled(base, who=roster(duty="gas")),
        compiled([replace(base[0], claim=replace(claim, document="No. 7")), *base[1:]]),
    ]
    assert len({sealed(m)[0].version for m in [compiled(base), *others]}) == 5
    assert sealed(compiled(base))[1] == sealed(compiled(base[::-1]))[1]


def test_turns_are_the_same_after_reading_back_where_clocks_change() -> None:
    """New York's month begins an hour earlier, in UTC, in summer than in winter: a zone is more than its offset in January."""
    since = datetime(2024, 1, 1, tzinfo=NEW_YORK)
    ground = agreement("x", "sw", "se", held=Period(since), rule=AgreementRule.ALTERNATE, lead="sw")
    on = compiled([*squares(), ground])
    again = opened(entries(sealed(on)[1]))
    moment, place = datetime(2024, 8, 1, 4, 30, tzinfo=UTC), Location(200.0, 100.0)
    assert Router(again)(place, at=moment).squad == Router(on)(place, at=moment).squad
