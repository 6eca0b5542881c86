"""Names of content: what changes them, what does not, and the very names of two examples."""

from __future__ import annotations

import hashlib
from datetime import timedelta, timezone
from typing import Any

import pytest
import shapely

from geodata.db.both import NotJson
from geodata.db.hashing import feature_hash, version_hash
from tests.db.contents import DAY, NOON, SETTINGS, feature, squares, version


def test_the_names_of_two_examples_never_change() -> None:
    """Stored names are compared with these for ever: a change here is a new FORMAT."""
    square = feature("00", shapely.box(0, 0, 1, 2))
    assert square.ground is not None
    ground = hashlib.sha256(square.ground).hexdigest()
    text = (
        '{"accuracy_m":"0.5","code":"00","datum":"cgcs2000","document":null,"facts":{"priority":1,"镇":"迎宾路"},'
        f'"ground":"{ground}","layer":"territory","licence":null,"name":"中队 00",'
        '"since":"2026-11-02T04:00:00.000000Z","source":"合成","until":null}'
    )
    assert square.hash == hashlib.sha256(text.encode()).hexdigest()
    lines = f'["territory","00","{square.hash}"]\n' + '{"settings":{"zone_mm":15000},"work_crs":"EPSG:4547"}\n'
    assert version([square])[0].hash == hashlib.sha256(lines.encode()).hexdigest()
    assert square.hash == "8131c3ed385e1941413a8bbfd120221fa4a3aa467d22be12b46bd4e7e0814533"
    assert version([square])[0].hash == "523acf56aa39619f0b5ae464cd8d70eab59ae95b5922e3ef2041cc9da4eff105"


CHANGED: dict[str, Any] = {
    "layer": "township",
    "code": "01",
    "name": None,
    "since": NOON + timedelta(microseconds=1),
    "until": NOON + DAY,
    "source": "",
    "licence": "CC0",
    "datum": "wgs84",
    "accuracy_m": 0.25,
    "document": "〔2026〕1 号",
    "facts": {"priority": 2},
    "ground": b"",
}


@pytest.mark.parametrize("what", CHANGED)
def test_every_column_is_in_the_name(what: str) -> None:
    row = feature("00", squares(1)[0])
    setattr(row, what, CHANGED[what])
    assert feature_hash(row) != row.hash


def test_equal_content_has_one_name() -> None:
    one = feature("00", squares(1)[0], accuracy_m=5, facts={"a": 1, "b": 2})
    same = feature(
        "00", squares(1)[0], accuracy_m=5.0, facts={"b": 2, "a": 1}, since=NOON.astimezone(timezone(timedelta(hours=8)))
    )
    assert one.hash == same.hash
    same.geom, same.id = None, 7  # derived, and the database's own
    assert feature_hash(same) == one.hash


def test_floats_have_no_place_in_a_name() -> None:
    with pytest.raises(NotJson, match=r"feature\.facts\.width"):
        feature("00", facts={"width": 15.0})
    with pytest.raises(NotJson, match=r"version\.settings\.zone"):
        version_hash([], "EPSG:4547", {"zone": 15.0})


def test_a_version_is_a_set() -> None:
    features = [feature(f"{k}", square) for k, square in enumerate(squares(5))]
    forwards, backwards = version(features)[0].hash, version(features[::-1])[0].hash
    assert forwards == backwards
    names = [(each.layer, each.code, each.hash) for each in features]
    assert version_hash(names[1:], "EPSG:4547", SETTINGS) != forwards
    assert version_hash(names, "EPSG:4548", SETTINGS) != forwards
    assert version_hash(names, "EPSG:4547", {}) != forwards


def test_members_cannot_run_into_each_other() -> None:
    assert version_hash([("a", "b\nc", "d")], "", {}) != version_hash([("a", "b", "c"), ("", "d", "")], "", {})
    assert version_hash([("a", 'b","c', "d")], "", {}) != version_hash([("a", "b", 'c","d')], "", {})


def test_ground_counts_by_its_bytes() -> None:
    ring = shapely.Polygon([(0, 0), (1, 0), (1, 1)])
    turned = shapely.Polygon([(1, 0), (1, 1), (0, 0)])
    assert feature("00", ring).hash != feature("00", turned).hash
