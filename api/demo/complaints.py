"""SYNTHETIC complaints of the demo city: what is reported follows the district's figures for 2016, where follows its lines.

A good part lies along the lines between squads, crowded at a few spots, as street trade is; a few lie where each rule of the
ladder can be seen at work. Times are of 2025. Everything comes from the seed; nothing looks at a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import shapely

from api.demo.city import AGREED, BY_SQUAD, MARKET_M, TOWNSHIPS, City, Floats, km_point, to_degrees
from geodata.categories import names
from routing.model import Category

ZONE = ZoneInfo("Asia/Shanghai")

MIX: Mapping[str, int] = {
    # Handled in 2016 by 惠济区's squads (郑州日报), as weights.
    "GB30428:0506": 19_700,  # 非机动车
    "GB30428:0501": 15_300,  # 占道经营
    "GB30428:0201": 13_000,  # 小广告
    "GB30428:0504": 6_120,  # 店外经营
    "GB30428:0112": 1_080,  # 渣土车: 180 corrected, 900 fined
    "GB30428:0116": 700,  # 油烟净化
    "GB30428:0202": 291,  # 大型广告, 灯箱, 滩区广告牌
    "GB30428:0503": 124,  # 废品站
    "GB30428:0510": 150,  # 露天烧烤
    "GB30428:0101": 102,  # 违规搭建
    "GB30428:0403": 250,  # not in the report: shows a referral to an external unit
}
TRADE = ("GB30428:0501", "GB30428:0504", "GB30428:0510")

CHANNELS: tuple[tuple[str, float, float], ...] = (
    # name, error radius in metres, share
    ("巡查 patrol", 3.0, 0.20),
    ("随手拍 app", 8.0, 0.45),
    ("12345 hotline", 30.0, 0.30),
    ("来信 letter", 80.0, 0.05),
)

BUSY: Mapping[str, float] = {
    # share of the complaints away from lines
    "HJ-XC": 0.17, "HJ-LZ": 0.18, "HJ-JS": 0.13, "HJ-CX": 0.18, "HJ-YB": 0.14, "HJ-DH": 0.08, "HJ-HY": 0.07, "HJ-GX": 0.05,
}  # fmt: skip
SPOTS = 16
"""Crowded stretches along the lines."""


@dataclass(frozen=True, slots=True)
class Where:
    """Places in metres with the words that describe them."""

    xy: Floats
    words: list[str]


def complaints(city: City, count: int, seed: int) -> Any:
    """An Arrow table of `count` complaints in the order of their times. Its ids are HJ2025-00001 and so on."""
    rng = np.random.default_rng([seed, 2])
    number = _numbers(count)
    found = [PLACES[kind](city, n, rng) for kind, n in number.items()]
    kind = np.repeat(list(number), list(number.values()))
    xy = np.concatenate([f.xy for f in found])
    words = np.array([w for f in found for w in f.words], object)
    shuffled = rng.permutation(count)
    kind, xy, words = kind[shuffled], xy[shuffled], words[shuffled]
    category = _categories(kind, rng)
    channel = rng.choice(len(CHANNELS), count, p=[share for *_, share in CHANNELS])
    lonlat = np.round(shapely.get_coordinates(to_degrees(shapely.points(xy))), 6)
    missing = kind == "no_place"
    return pa.table(
        {
            "id": [f"HJ2025-{i:05d}" for i in range(1, count + 1)],
            "at": [moment.isoformat() for moment in _times(count, rng)],
            "category": category,
            "category_name": [names()[Category(c)][0] for c in category],
            "lon": pa.array(lonlat[:, 0], mask=missing),
            "lat": pa.array(lonlat[:, 1], mask=missing),
            "error_m": [CHANNELS[c][1] for c in channel],
            "channel": [CHANNELS[c][0] for c in channel],
            "description": [
                f"(合成){where}:{names()[Category(c)][0]}" for where, c in zip(words, category, strict=True)
            ],
            "synthetic": ["合成数据 synthetic"] * count,
        }
    )


def case_with_order(table: Any) -> str:
    """The complaint that a superior gives to one squad by name: the first in the market."""
    words = table.column("description").to_pylist()
    return str(
        next((i for i, w in zip(table.column("id").to_pylist(), words, strict=True) if "夜市" in w), "HJ2025-00001")
    )


def _numbers(count: int) -> dict[str, int]:
    """How many complaints of each kind of place: its share, at least one of each, the rest in the open."""
    number = {kind: max(1, round(share * count)) for kind, share in SHARES.items()}
    number["inside"] = count - sum(number.values())
    if number["inside"] < 0:
        raise AssertionError(count)
    return number


def _categories(kind: Any, rng: np.random.Generator) -> list[str]:
    """A category for each place: the mix of the district, with more street trade where it gathers."""
    weight = np.array(list(MIX.values()), float)
    drawn = rng.choice(list(MIX), len(kind), p=weight / weight.sum())
    trade = rng.choice(TRADE, len(kind), p=(0.6, 0.3, 0.1))
    gathers = np.isin(kind, ("market", "agreed")) & (rng.random(len(kind)) < 0.75)
    return [str(c) for c in np.where(gathers, trade, drawn)]


def _times(count: int, rng: np.random.Generator) -> list[datetime]:
    """Instants of 2025 in order, mostly by day and in the evening."""
    hours = np.array([1] * 6 + [4, 8, 9, 9, 8, 8, 7, 6, 7, 7, 8, 10, 12, 12, 10, 6, 3, 2], float)
    day = rng.integers(0, 365, count)
    hour = rng.choice(24, count, p=hours / hours.sum())
    minute = np.sort((day * 24 + hour) * 60 + rng.integers(0, 60, count))
    start = datetime(2025, 1, 1, tzinfo=ZONE)
    return [start + timedelta(minutes=int(m)) for m in minute]


# ---- places ----------------------------------------------------------------------------------------------------------


def _inside(city: City, count: int, rng: np.random.Generator) -> Where:
    """Anywhere in a township, half of them around its centre."""
    squads = rng.choice(list(BUSY), count, p=list(BUSY.values()))
    xy = [_in_township(city, str(squad), rng) for squad in squads]
    return Where(np.array(xy).reshape(-1, 2), [f"{BY_SQUAD[str(s)].name}辖区内" for s in squads])


def _in_township(city: City, squad: str, rng: np.random.Generator) -> Floats:
    ground, centre = city.townships[squad], km_point(BY_SQUAD[squad].site)
    around = rng.random() < 0.5
    while True:
        place = rng.normal(centre, 700.0) if around else _in_box(ground, rng)
        if ground.contains(shapely.Point(place)):
            return place


def _in_box(shape: Any, rng: np.random.Generator) -> Floats:
    low_x, low_y, high_x, high_y = shape.bounds
    return rng.uniform((low_x, low_y), (high_x, high_y))


def _within(shape: Any, count: int, rng: np.random.Generator) -> Floats:
    """Uniform in an area."""
    found: list[Floats] = []
    while len(found) < count:
        place = _in_box(shape, rng)
        if shape.contains(shapely.Point(place)):
            found.append(place)
    return np.array(found).reshape(-1, 2)


def _border(city: City, count: int, rng: np.random.Generator) -> Where:
    """Along the lines between squads: two thirds at a few crowded spots, the rest anywhere."""
    pairs = sorted(city.lines)
    length = np.array([city.lines[p].length for p in pairs])
    at_pair = rng.choice(len(pairs), SPOTS, p=length / length.sum())
    at_m = rng.uniform(0.1, 0.9, SPOTS) * length[at_pair]
    crowd = rng.integers(0, SPOTS, count)
    pair = np.where(rng.random(count) < 0.65, at_pair[crowd], rng.choice(len(pairs), count, p=length / length.sum()))
    along = np.where(pair == at_pair[crowd], rng.normal(at_m[crowd], 90.0), rng.uniform(0, length[pair]))
    xy = [_beside(city.lines[pairs[p]], a, rng.normal(0, 13.0)) for p, a in zip(pair, along, strict=True)]
    return Where(np.array(xy).reshape(-1, 2), [_border_words(pairs[p]) for p in pair])


def _agreed(city: City, count: int, rng: np.random.Generator) -> Where:
    """Along the line that two neighbours have an agreement for."""
    line = city.line(AGREED)
    xy = [_beside(line, a, rng.normal(0, 8.0)) for a in rng.uniform(0.03, 0.97, count) * line.length]
    return Where(np.array(xy).reshape(-1, 2), [_border_words(AGREED)] * count)


def _beside(line: Any, along_m: float, aside_m: float) -> Floats:
    """A place so far along a line and so far to its left."""
    along_m = float(np.clip(along_m, 1.0, line.length - 1.0))
    a, b = (shapely.get_coordinates(line.interpolate(along_m + d))[0] for d in (-0.5, 0.5))
    along = (b - a) / np.hypot(*(b - a))
    place: Floats = (a + b) / 2 + aside_m * np.array([-along[1], along[0]])
    return place


def _border_words(pair: tuple[str, str]) -> str:
    return f"{BY_SQUAD[pair[0]].name}与{BY_SQUAD[pair[1]].name}交界道路旁"


def _park(city: City, count: int, rng: np.random.Generator) -> Where:
    return Where(_within(city.park, count, rng), ["沿黄游园内"] * count)


def _market(city: City, count: int, rng: np.random.Generator) -> Where:
    return Where(_within(city.market.buffer(MARKET_M), count, rng), ["夜市"] * count)


def _overlap(city: City, count: int, rng: np.random.Generator) -> Where:
    return Where(_within(city.overlap, count, rng), ["两队均主张管辖的地块"] * count)


def _gap(city: City, count: int, rng: np.random.Generator) -> Where:
    return Where(_within(city.gap, count, rng), ["新建地块,尚未划入任何中队"] * count)


def _railway(city: City, count: int, rng: np.random.Generator) -> Where:
    return Where(_within(city.railway.intersection(city.outline), count, rng), ["铁路用地内"] * count)


def _outside(city: City, count: int, rng: np.random.Generator) -> Where:
    """A little beyond the district's line, on its southern and western sides: north of it flows the Yellow River."""
    ring = city.outline.exterior
    found: list[Floats] = []
    while len(found) < count:
        place = _beside(ring, float(rng.uniform(0, ring.length)), float(rng.choice((-1, 1)) * rng.uniform(60, 500)))
        south = place[1] < km_point((0, 7.6))[1]
        if south and not city.outline.contains(shapely.Point(place)):
            found.append(place)
    return Where(np.array(found).reshape(-1, 2), ["区界之外"] * count)


def _no_place(_city: City, count: int, _rng: np.random.Generator) -> Where:
    """Nobody wrote the place down."""
    return Where(np.tile(km_point(TOWNSHIPS[0].site), (count, 1)), ["地点不详"] * count)


SHARES: Mapping[str, float] = {
    "border": 0.27,
    "agreed": 0.05,
    "park": 0.03,
    "market": 0.035,
    "overlap": 0.03,
    "gap": 0.03,
    "railway": 0.02,
    "outside": 0.012,
    "no_place": 0.003,
}
PLACES: Mapping[str, Callable[[City, int, np.random.Generator], Where]] = {
    "inside": _inside,
    "border": _border,
    "agreed": _agreed,
    "park": _park,
    "market": _market,
    "overlap": _overlap,
    "gap": _gap,
    "railway": _railway,
    "outside": _outside,
    "no_place": _no_place,
}
