"""Faults planted by hand, one at a time, in a copy of the package: for each of them some test must fail.

Each is something a person might write and a reviewer might miss: a tie broken the other way, a closed end of a period, a unit,
a sign, a forgotten side.
"""

from __future__ import annotations

from dataclasses import dataclass

LADDER, SITUATION = "routing/ladder.py", "routing/situation.py"
JURISDICTION, ROUTE = "routing/jurisdiction.py", "routing/route.py"
CELLS, LOCATE = "routing/ground/cells.py", "routing/ground/locate.py"


@dataclass(frozen=True)
class Mutant:
    """`old`, which stands in the file exactly once, is replaced by `new`."""

    name: str
    file: str
    old: str
    new: str

    @property
    def in_kernel(self) -> bool:
        return self.file.startswith("routing/ground/")


MUTANTS = (
    # the ladder
    Mutant(
        "the wider of two orders",
        LADDER,
        "return len(order.categories) or float",
        "return -len(order.categories) or float",
    ),
    Mutant("the earlier of two papers", LADDER, "-dated.timestamp() if dated", "dated.timestamp() if dated"),
    Mutant(
        "an order without a paper first",
        LADDER,
        'if dated else float("inf"), order.id',
        'if dated else -float("inf"), order.id',
    ),
    Mutant(
        "the external unit holds its referral",
        LADDER,
        "roster.duty if roster.is_external(first.squad) else first.squad",
        "first.squad",
    ),
    Mutant(
        "the railway keeps what is not served",
        LADDER,
        "situation.not_served[0], roster.duty)",
        "situation.not_served[0], None)",
    ),
    Mutant(
        "nobody assists an agreement",
        LADDER,
        "return Outcome(tuple(found), agreement, lead, other)",
        "return Outcome(tuple(found), agreement, lead)",
    ),
    Mutant("agreements bind third squads", LADDER, "if here & set(a.parties))", "if True)"),
    Mutant(
        "any finder will do",
        LADDER,
        "situation.found_by if situation.found_by in agreement.parties else None",
        "situation.found_by",
    ),
    Mutant("the older agreement", LADDER, "-since.timestamp() if since else", "since.timestamp() if since else"),
    Mutant(
        "the wider agreement",
        LADDER,
        "return len(agreement.categories) or",
        "return -len(agreement.categories) or",
    ),
    Mutant("own ground whoever is near", LADDER, "!= 1 or len(situation.within) > 1", "!= 1"),
    Mutant(
        "a line is nothing to doubt",
        LADDER,
        "_others(situation.within, chosen.squad), len(situation.claimants) > 1)",
        "_others(situation.within, chosen.squad))",
    ),
    Mutant(
        "a dispute on its rim",
        LADDER,
        "(len(situation.claimants) > 1 and not situation.on_line)",
        "len(situation.claimants) > 1",
    ),
    Mutant("the smaller share", LADDER, "-share.get(squad, 0.0)\n\n", "share.get(squad, 0.0)\n\n"),
    Mutant("townships settle nothing", LADDER, "return squad not in posted, -share", "return False, -share"),
    Mutant(
        "designations before direct squads",
        LADDER,
        "    (Step.DIRECT, direct),\n    (Step.DESIGNATED, designated),",
        "    (Step.DESIGNATED, designated),\n    (Step.DIRECT, direct),",
    ),
    Mutant(
        "the gap's other neighbours are not told",
        LADDER,
        "n.squad for n in situation.nearest + situation.possible",
        "n.squad for n in situation.nearest",
    ),
    # the situation
    Mutant("code before priority", SITUATION, "(g.priority, g.squad, g.id)", "(g.squad, g.priority, g.id)"),
    Mutant("a year of thirteen months", SITUATION, "* 12 + local.month", "* 13 + local.month"),
    Mutant(
        "the week starts on the day it starts",
        SITUATION,
        "start.date() - timedelta(days=start.weekday())",
        "start.date()",
    ),
    Mutant("turns by the clock of the complaint", SITUATION, "moment.astimezone(start.tzinfo)", "moment"),
    Mutant("the first party always starts", SITUATION, "if agreement.lead == second_squad:", "if False:"),
    # the facts of a map
    Mutant(
        "a period holds its last instant",
        JURISDICTION,
        "return since in period",
        "return since in period or since == period.until",
    ),
    Mutant(
        "what is for all is for those named only",
        JURISDICTION,
        "return not claim.categories or bool(",
        "return bool(",
    ),
    Mutant(
        "categories are not looked at",
        JURISDICTION,
        "return not claim.categories or bool(claim.categories & set(self._category))",
        "return True",
    ),
    Mutant(
        "a direct squad takes every category",
        JURISDICTION,
        "return claim.category in self._category",
        "return True",
    ),
    Mutant(
        "lapsed claims hold",
        JURISDICTION,
        "self.on.claims[i] for i in self.plate.labels[c] if i in self._held]",
        "self.on.claims[i] for i in self.plate.labels[c]]",
    ),
    Mutant(
        "only one side of a line",
        JURISDICTION,
        "if level == ON_LINE]\n        around",
        "if False]\n        around",
    ),
    Mutant("the best known of two lines", JURISDICTION, "out[c] = max(default if", "out[c] = min(default if"),
    # routes
    Mutant(
        "instants before a change",
        ROUTE,
        'np.searchsorted(on.changes, complaints.at, "right")',
        'np.searchsorted(on.changes, complaints.at, "left")',
    ),
    Mutant(
        "one context for all rows",
        ROUTE,
        "found: NDArray[Any] = table[context if rows is None else context[rows], mine]",
        "found: NDArray[Any] = table[0, mine]",
    ),
    Mutant("turns change by the day only", ROUTE, "complaints.at // 900_000_000", "complaints.at // 86_400_000_000"),
    Mutant(
        "on a line the margin of one side",
        ROUTE,
        "turned = columns.lead[verdict[near]] != mine",
        "turned = np.zeros(len(near), bool)",
    ),
    Mutant(
        "the zone is a diameter",
        ROUTE,
        "reach = Reach(complaints.error_m**2, *on.widths(number, zone),",
        "reach = Reach(complaints.error_m**2, *on.widths(number, zone / 2),",
    ),
    Mutant(
        "orders for one case for every case",
        ROUTE,
        "return {i: c for i, c in enumerate(case) if c in on.case_orders}",
        "return {i: next(iter(on.case_orders)) for i, c in enumerate(case)}",
    ),
    Mutant(
        "lapsed orders hold",
        ROUTE,
        "for o in on.case_orders[ordered[i]] if sheet.holds(o))",
        "for o in on.case_orders[ordered[i]])",
    ),
    # the index
    Mutant(
        "the corner's tie the other way",
        CELLS,
        "bend = v > 0.0 or (v == 0.0 and (dy < 0.0 or (dy == 0.0 and dx > 0.0)))",
        "bend = v > 0.0",
    ),
    Mutant(
        "the upper end counts on both edges",
        CELLS,
        "if (ya <= y) != (yb <= y):  # so can",
        "if (ya <= y) != (yb < y):  # so can",
    ),
    Mutant(
        "a child keeps its parent's class",
        CELLS,
        "now ^= _turned(edge, flip, buf[i], x0, y0, cx, cy)",
        "now ^= 0",
    ),
    Mutant(
        "edges that cross are left out",
        CELLS,
        "if mind[i] < TOUCH:\n                            e",
        "if mind[i] < TOUCH and i:\n                            e",
    ),
    Mutant(
        "the nearest corner bounds the list",
        CELLS,
        "m = max(distance2(edge, e, fx, fy), distance2(edge, e, fx + s, fy))",
        "m = min(distance2(edge, e, fx, fy), distance2(edge, e, fx + s, fy))",
    ),
    Mutant("root corners follow no edge", CELLS, "now ^= flip[e]\n    return got", "now ^= 0\n    return got"),
    # the kernel
    Mutant("metres and millimetres", LOCATE, "reach.zone2 * 1e6", "reach.zone2 * 1e3"),
    Mutant("a line a metre wide", LOCATE, "(2 if d <= 1.0 else", "(2 if d <= 1e6 else"),
    Mutant("the own line only", LOCATE, "else max(a2, accuracy2[s]))", "else a2)"),
    Mutant("margins to one's own other ground", LOCATE, "if lead[k, s] != mine:", "if True:"),
    Mutant("the runner-up is a class", LOCATE, "runner = lead[k, across]", "runner = across"),
    Mutant(
        "less than the zone",
        LOCATE,
        "d <= max(zone2[like], true2)):",
        "d < max(zone2[like], true2)):",
    ),
    Mutant("columns are rows", LOCATE, "v = root[r * columns + c]", "v = root[c * columns + r]"),
    Mutant("one error for all", LOCATE, "e2 = error2[i]\n", "e2 = error2[0]\n"),
)
