"""What stands on the signs of a map version: the names of squads and of border stretches, for sentences people read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import shapely
from sqlalchemy.orm import Session

from api.words import direction
from geodata import store
from geodata.layer import COVERAGES, LayerName, Row, in_metres
from routing.errors import Lang
from routing.explain import Question, compass
from routing.model import Location, SquadCode, SquadKind


@dataclass(frozen=True, slots=True)
class Stretch:
    """A named border stretch between two units; `line` in metres of the work CRS, where it has one."""

    name: str
    sides: frozenset[str]
    line: Any


@dataclass(frozen=True, slots=True, eq=False)
class Signs:
    """`squads`: code -> name. `holders`: those that can hold a case. `units`: squad -> codes of its units."""

    squads: Mapping[SquadCode, str]
    holders: frozenset[SquadCode]
    units: Mapping[SquadCode, frozenset[str]]
    stretches: tuple[Stretch, ...]

    def stretch_between(self, one: SquadCode, other: SquadCode, place: Location) -> str | None:
        """The name of the nearest stretch that has the two on its sides."""
        ours, theirs = ({squad, *self.units.get(squad, ())} for squad in (one, other))
        found = [s for s in self.stretches if s.sides & ours and s.sides & theirs]
        at = shapely.Point(place.x, place.y)
        return min(found, key=lambda s: (0.0 if s.line is None else s.line.distance(at), s.name)).name if found else None


class SignsKept:
    """The signs of the last few versions; a version never changes, so they are read once."""

    def __init__(self, keep: int = 8) -> None:
        self._keep, self._turn = keep, threading.Lock()
        self._found: OrderedDict[str, Signs] = OrderedDict()

    def of(self, session: Session, version: str) -> Signs:
        """Those of a version. Raises UnknownVersion."""
        with self._turn:
            if version in self._found:
                self._found.move_to_end(version)
                return self._found[version]
        made = _signs(store.read_rows(session, version))
        with self._turn:
            self._found[version] = made
            while len(self._found) > self._keep:
                self._found.popitem(last=False)
        return made


def _signs(rows: tuple[Row, ...]) -> Signs:
    squads = [row for row in rows if row.layer is LayerName.SQUAD]
    units: dict[SquadCode, set[str]] = {}
    for row in rows:
        if row.layer in COVERAGES and row.facts.get("squad"):
            units.setdefault(SquadCode(row.facts["squad"]), set()).add(row.code)
    stretches = tuple(
        Stretch(row.name, frozenset(row.facts.get("sides") or ()), None if row.ground is None else in_metres(row.ground))
        for row in rows
        if row.layer is LayerName.BORDER and row.name
    )
    return Signs(
        {SquadCode(row.code): row.name or row.code for row in squads},
        frozenset(SquadCode(row.code) for row in squads if row.facts.get("kind") != SquadKind.EXTERNAL.value),
        {squad: frozenset(codes) for squad, codes in units.items()},
        stretches,
    )


SIDE_OF: tuple[str, str] = ("在{line}的{one}侧,还是{other}侧?", "Is it on the {one} side of {line}, or on the {other} side?")
TOWARDS: tuple[str, str] = (
    "在{first}一侧({one}),还是{second}一侧({other})?",
    "Is it towards {first} ({one}), or towards {second} ({other})?",
)


def question_words(question: Question, place: Location, signs: Signs, lang: Lang) -> str:
    """The one question that would settle a doubt, as an operator asks it."""
    a, b = question.options
    facts = {"one": direction(compass(a.bearing), lang), "other": direction(compass(b.bearing), lang)}
    line = signs.stretch_between(a.squad, b.squad, place)
    if line is not None and facts["one"] != facts["other"]:
        return SIDE_OF[lang != "zh-CN"].format(line=line, **facts)
    first, second = (signs.squads.get(o.squad, o.squad) for o in question.options)
    return TOWARDS[lang != "zh-CN"].format(first=first, second=second, **facts)
