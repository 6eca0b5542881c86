"""The city of the tests: four squares one can draw, and what can happen to them.

    y
    400 +-----------+-----------+
        |           |           |
        |    nw     |    ne     |      every square is 200 m wide; the squad of a square has its name
        |           |           |      desk is the squad on duty, gas a direct squad, rail an external unit
    200 +-----------+-----------+      the border zone is 15 m each side, margins are told up to 100 m
        |           |           |      published order: priority, then code, so ne, nw, se, sw
        |    sw     |    se     |
        |           |           |
      0 +-----------+-----------+
        0          200         400  x

Each map below is this city with a few claims more; its docstring draws them as boxes (x0 y0 x1 y1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from functools import cache
from math import cos, pi, sin
from typing import Any
from zoneinfo import ZoneInfo

import shapely

from geodata.compile import Ground, compile_map
from routing.jurisdiction import JurisdictionMap, Settings
from routing.model import (
    ALWAYS,
    Agreement,
    AgreementRule,
    Category,
    ClaimId,
    Cycle,
    Designation,
    DirectCategory,
    NotServed,
    Period,
    Squad,
    SquadCode,
    SquadKind,
    Stretch,
    Territory,
    Township,
)
from routing.situation import Roster

BEIJING = timezone(timedelta(hours=8))
ZONE_M = 15.0
SQUARES = {
    "nw": (0, 200, 200, 400),
    "ne": (200, 200, 400, 400),
    "sw": (0, 0, 200, 200),
    "se": (200, 0, 400, 200),
}
CODES = ("desk", "gas", "ne", "nw", "rail", "se", "sw")
KINDS = {"gas": SquadKind.DIRECT, "rail": SquadKind.EXTERNAL}


# ---- small words ----------------------------------------------------------------------------------------------------


def box(x0: float, y0: float, x1: float, y1: float) -> Any:
    """A rectangle, metres."""
    return shapely.box(x0, y0, x1, y1)


def day(text: str) -> datetime:
    """Midnight in Beijing."""
    return datetime.fromisoformat(text).replace(tzinfo=BEIJING)


def period(since: str | None = None, until: str | None = None) -> Period:
    """Days in Beijing, half-open."""
    return Period(since and day(since), until and day(until))


def roster(codes: Iterable[str] = CODES, duty: str = "desk") -> Roster:
    """Squads by code."""
    squads = (Squad(SquadCode(c), kind=KINDS.get(c, SquadKind.TERRITORIAL), duty=c == duty) for c in sorted({*codes, duty}))
    return Roster(tuple(squads), SquadCode(duty))


def territory(squad: str, shape: Any, held: Period = ALWAYS, *, name: str = "", **facts: Any) -> Ground:
    """The squad's own ground."""
    return Ground(Territory(id=ClaimId(f"ground:{squad}{name}"), squad=SquadCode(squad), period=held, **facts), shape)


def township(code: str, squad: str | None, shape: Any) -> Ground:
    return Ground(Township(id=ClaimId(f"township:{code}"), code=code, squad=SquadCode(squad) if squad else None), shape)


def agreement(name: str, a: str, b: str, shape: Any = None, held: Period = ALWAYS, **facts: Any) -> Ground:
    """Without a shape it holds in the whole border zone of the two."""
    facts["categories"] = _categories(facts.get("categories", ()))
    claim = Agreement(id=ClaimId(f"agreement:{name}"), parties=(SquadCode(a), SquadCode(b)), period=held, **facts)
    return Ground(claim, shape)


def designation(name: str, squad: str, shape: Any = None, held: Period = ALWAYS, **facts: Any) -> Ground:
    facts["categories"] = _categories(facts.get("categories", ()))
    return Ground(Designation(id=ClaimId(f"order:{name}"), squad=SquadCode(squad), period=held, **facts), shape)


def not_served(authority: str, shape: Any) -> Ground:
    return Ground(NotServed(id=ClaimId(f"not-served:{authority}"), authority=authority), shape)


def direct(category: str, squad: str, held: Period = ALWAYS, name: str = "") -> Ground:
    claim = DirectCategory(
        id=ClaimId(f"direct:{category}{name}"), category=Category(category), squad=SquadCode(squad), period=held
    )
    return Ground(claim)


def stretch(name: str, sides: str, *line: tuple[float, float], held: Period = ALWAYS, **facts: Any) -> Ground:
    """A stretch of the border of two squads (`a|b`, or any: empty), with a zone or an accuracy of its own."""
    claim = Stretch(id=ClaimId(f"stretch:{name}"), period=held, sides=tuple(filter(None, sides.split("|"))), **facts)
    return Ground(claim, shapely.LineString(line))


def squares(**shapes: Any) -> list[Ground]:
    """The four squares; a named one may have another shape, None for no ground."""
    grounds = {**{code: box(*corners) for code, corners in SQUARES.items()}, **shapes}
    return [territory(code, shape) for code, shape in grounds.items() if shape is not None]


def compiled(grounds: Iterable[Ground], extent: Any = None, zone_m: float = ZONE_M, who: Roster | None = None) -> JurisdictionMap:
    """The compiled map of some grounds, with every squad they may name on the roster."""
    return compile_map(list(grounds), who or roster(), Settings(work_crs="EPSG:4547", zone_m=zone_m), extent)


def _categories(names: Iterable[str]) -> frozenset[Category]:
    return frozenset(Category(name) for name in names)


# ---- the maps -------------------------------------------------------------------------------------------------------


def plain() -> JurisdictionMap:
    """The four squares alone, with four townships of the same shape: t-nw ..."""
    return compiled([*squares(), *(township(f"t-{c}", c, box(*shape)) for c, shape in SQUARES.items())])


def orders() -> JurisdictionMap:
    """What a superior has ordered, what a direct squad does everywhere, and what is somebody else's.

    In sw's square: market (50 50 100 100) -> se, everything. Over its east half (80 50 130 100): snacks -> ne, and snacks
    or fruit -> nw. In se's: (300 50 350 100) snacks -> sw by a paper of 2020, -> nw by one of 2021; (300 120 350 150) snacks
    by two papers of one day, `a` -> nw and `b` -> sw. gas leaks belong to gas, rails to the railway, everywhere; but in
    (50 150 100 190) gas leaks -> se. ne: (250 250 300 300) everything -> sw; (350 350 400 400) is the railway's;
    of that (380 300 400 400) is nw's by order.
    """
    return compiled(
        [
            *squares(),
            designation("market", "se", box(50, 50, 100, 100)),
            designation("snack", "ne", box(80, 50, 130, 100), categories=["snack"]),
            designation("food", "nw", box(80, 50, 130, 100), categories=["snack", "fruit"], dated=day("2024-01-01")),
            designation("paper-2020", "sw", box(300, 50, 350, 100), categories=["snack"], dated=day("2020-01-01")),
            designation("paper-2021", "nw", box(300, 50, 350, 100), categories=["snack"], dated=day("2021-01-01")),
            designation("a", "nw", box(300, 120, 350, 150), categories=["snack"], dated=day("2020-01-01")),
            designation("b", "sw", box(300, 120, 350, 150), categories=["snack"], dated=day("2020-01-01")),
            direct("gas leak", "gas"),
            direct("rails", "rail"),
            designation("gas", "se", box(50, 150, 100, 190), categories=["gas leak"]),
            designation("all", "sw", box(250, 250, 300, 300)),
            not_served("rail", box(350, 350, 400, 400)),
            designation("park", "nw", box(380, 300, 400, 400)),
        ]
    )


def cases() -> JurisdictionMap:
    """Orders for one case: case 7 -> nw, until 2024; case 8 -> se by a paper of 2021, -> sw by one of 2022.

    snacks -> ne in (0 0 50 50), gas leaks -> gas.
    """
    return compiled(
        [
            *squares(),
            designation("case-7", "nw", held=period(until="2024-01-01"), case="7"),
            designation("case-8-first", "se", case="8", dated=day("2021-01-01")),
            designation("case-8-then", "sw", case="8", dated=day("2022-01-01")),
            designation("snack", "ne", box(0, 0, 50, 50), categories=["snack"]),
            direct("gas leak", "gas"),
        ]
    )


def agreements() -> JurisdictionMap:
    """Every border settled in another way.

    nw | ne  snacks to nw; stalls to whoever finds them first         (x = 200, y 200 to 400)
    nw | sw  month by month, sw starts in March 2024, Beijing          (y = 200, x 0 to 200)
    ne | se  week by week, se starts in the week of Wed 2024-05-01; but on the quay (300 185 400 215) paint to ne
    sw | se  the whole street to se                                    (x = 200, y 0 to 200)
    """
    return compiled(
        [
            *squares(),
            agreement("snack", "nw", "ne", rule=AgreementRule.BY_CATEGORY, lead="nw", categories=["snack"]),
            agreement("stall", "nw", "ne", rule=AgreementRule.FIRST_FINDER, categories=["stall"]),
            agreement("month", "nw", "sw", held=period("2024-03-01"), rule=AgreementRule.ALTERNATE, lead="sw"),
            agreement(
                "week", "ne", "se", held=period("2024-05-01"), rule=AgreementRule.ALTERNATE, lead="se", cycle=Cycle.WEEK
            ),
            agreement(
                "quay", "ne", "se", box(300, 185, 400, 215), rule=AgreementRule.BY_CATEGORY, lead="ne", categories=["paint"]
            ),
            agreement("street", "sw", "se", lead="se"),
        ]
    )


def overlaps() -> JurisdictionMap:
    """Ground that two squads claim. ne has priority 1, so it stands last.

    sw reaches over to x = 240 below y = 100: the strip (200 0 240 100) is sw's and se's, and no township settles it.
    ne reaches over to x = 160 above y = 300: the strip (160 300 200 400) is nw's and ne's, in the township of ne.
    se reaches up to y = 240 from x = 300: the strip (300 200 400 240) is se's and ne's, and priority settles it.
    In the strip of nw and ne runs a line that means nothing: snacks -> nw in (170 320 200 340).
    """
    return compiled(
        [
            territory("nw", box(*SQUARES["nw"])),
            territory("ne", box(200, 200, 400, 400).union(box(160, 300, 200, 400)), priority=1),
            territory("sw", box(0, 0, 200, 200).union(box(200, 0, 240, 100))),
            territory("se", box(200, 0, 400, 200).union(box(300, 200, 400, 240))),
            township("t-ne", "ne", box(150, 290, 400, 400)),
            designation("snack", "nw", box(170, 320, 200, 340), categories=["snack"]),
        ]
    )


def stretches() -> JurisdictionMap:
    """Borders with widths of their own.

    sw | se  60 m each side below y = 100, none at all above            (x = 200, y 0 to 200)
    ne | se  20 m, and everything there is se's by agreement             (y = 200, x 200 to 400)
    nw | ne  its line is known to 25 m                                   (x = 200, y 200 to 400)
    nw | sw  as everywhere else: 15 m                                    (y = 200, x 0 to 200)
    """
    return compiled(
        [
            *squares(),
            agreement("east", "ne", "se", lead="se"),
            stretch("wide", "sw|se", (200, 0), (200, 100), zone_m=60.0),
            stretch("none", "se|sw", (200, 200), (200, 100), zone_m=0.0),
            stretch("east", "ne|se", (200, 200), (400, 200), zone_m=20.0),
            stretch("coarse", "", (200, 200), (200, 400), accuracy_m=25.0),
        ]
    )


def gaps() -> JurisdictionMap:
    """A hole where the four meet (180 180 220 220), and an annex (400 0 500 400) inside the extent that nobody claims."""
    hole = box(180, 180, 220, 220)
    holed = {code: box(*corners).difference(hole) for code, corners in SQUARES.items()}
    return compiled(squares(**holed), extent=box(0, 0, 500, 400))


def years() -> JurisdictionMap:
    """One southern squad until July 2013, then sw and se; nw has no ground in 2018; an order holds in May 2015.

    The order: (50 50 100 100) -> ne. Gas leaks are gas's from 2016.
    """
    return compiled(
        [
            territory("desk", box(0, 0, 400, 200), period(until="2013-07-01"), name=":south"),
            territory("sw", box(*SQUARES["sw"]), period("2013-07-01")),
            territory("se", box(*SQUARES["se"]), period("2013-07-01")),
            territory("ne", box(*SQUARES["ne"])),
            territory("nw", box(*SQUARES["nw"]), period(until="2018-01-01"), name=":then"),
            territory("nw", box(*SQUARES["nw"]), period("2019-01-01"), name=":again"),
            designation("may", "ne", box(50, 50, 100, 100), period("2015-05-01", "2015-06-01")),
            direct("gas leak", "gas", period("2016-01-01")),
        ]
    )


def seven() -> JurisdictionMap:
    """Seven squads s1 ... s7 whose grounds meet in one point, (0, 0); s1 starts at the east and they go round to the left."""
    rim = [(round(200 * cos(2 * pi * k / 7), 3), round(200 * sin(2 * pi * k / 7), 3)) for k in range(8)]
    wedges = [territory(f"s{k + 1}", shapely.Polygon([(0, 0), rim[k], rim[k + 1]])) for k in range(7)]
    return compiled(wedges, who=roster([f"s{k}" for k in range(1, 8)]))


MAPS: dict[str, Callable[[], JurisdictionMap]] = {
    f.__name__: cache(f) for f in (plain, orders, cases, agreements, stretches, overlaps, gaps, years, seven)
}
"""Maps by name, each compiled once."""

NEW_YORK = ZoneInfo("America/New_York")
