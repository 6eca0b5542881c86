"""Labels, time and keepers: what the manifest and the tables of a map must say so that nobody is ever without a squad.

Knows nothing of the ladder's steps as code; where design.md leaves no choice (ground of one squad and nothing else, ground of
nobody, a piece of a gap), the lead is compared with it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np

from routing.ground.verify_finding import Finding, Place
from routing.ground.verify_read import Compiled, Ints, Plate
from routing.ground.verify_sets import distinct, minus

KINDS = frozenset({"territory", "township", "agreement", "designation", "not_served", "nearest", "direct", "stretch"})
GROUNDLESS = frozenset({"direct", "stretch"})
OF_A_SQUAD = frozenset({"territory", "designation", "nearest", "direct"})
COLUMNS = ("interval", "group", "turn", "finder", "lead row")
OPEN_RULES = frozenset({"designation", "agreement"})
"""Kinds under which the lead is the ladder's choice, not to be known from the label."""

MAX_TURNS = 1000

Claims = list[Mapping[str, Any]]
Span = tuple[datetime | None, datetime | None]


# ---- labels ---------------------------------------------------------------------------------------------------------


def check_claims(compiled: Compiled) -> Iterator[Finding]:
    """Squads and claims are named once; kinds and squads exist."""
    codes = [squad["code"] for squad in compiled.manifest["squads"]]
    for code in _twice(codes): yield Finding("labels", "squad_twice", facts={"squad": code})
    for name in _twice([claim["id"] for claim in compiled.manifest["claims"]]):
        yield Finding("labels", "claim_twice", facts={"claim": name})
    known = set(codes)
    for claim in compiled.manifest["claims"]:
        squad, kind = claim.get("squad"), claim["kind"]
        if kind not in KINDS: yield Finding("labels", "kind", facts={"claim": claim["id"], "kind": kind})
        if (squad is not None or kind in OF_A_SQUAD) and squad not in known:
            yield Finding("labels", "squad", facts={"claim": claim["id"], "squad": squad})


def check_labels(k: int, plate: Plate, claims: Claims) -> Iterator[Finding]:
    """Claim numbers exist and increase; no two labels say the same."""
    seen: dict[tuple[tuple[int, ...], int], int] = {}
    for label, (numbers, inside) in enumerate(zip(plate.labels, plate.inside, strict=True)):
        other = seen.setdefault((numbers, inside), label)
        if other != label: yield _label(k, plate, "twice", label, other=other)
        if inside not in {0, 1}: yield _label(k, plate, "inside", label, value=inside)
        if any(b <= a for a, b in pairwise(numbers)): yield _label(k, plate, "order", label)
        for number in numbers:
            if not 0 <= number < len(claims):
                yield _label(k, plate, "claim", label, claim=number, claims=len(claims))
            elif claims[number]["kind"] in GROUNDLESS:
                yield _label(k, plate, "groundless", label, claim=claims[number]["id"], kind=claims[number]["kind"])


def _label(k: int, plate: Plate, what: str, label: int, **facts: object) -> Finding:
    return Finding("labels", what, k, place_of(plate, label), {"label": label, **facts})


def place_of(plate: Plate, label: int) -> Place | None:
    """A corner of the first face with this label; None when the plate's indices do not hold or no face has it."""
    try:
        face = int(np.flatnonzero(plate.label == label)[0])
        x, y = plate.xy[plate.ring[plate.ring_at[plate.face_at[face]]]]
    except IndexError:
        return None
    return float(x) / 1000, float(y) / 1000


# ---- time -----------------------------------------------------------------------------------------------------------


def check_time(compiled: Compiled) -> Iterator[Finding]:
    """The intervals follow one another from the beginning to the end of time, each on a plate that exists."""
    intervals = compiled.manifest["intervals"]
    if not intervals:
        yield Finding("time", "none")
        return
    for i, interval in enumerate(intervals):
        if not 0 <= interval["plate"] < len(compiled.plates):
            yield _interval("plate", i, value=interval["plate"], plates=len(compiled.plates))
        for end in ("since", "until"):
            if interval[end] is not None and instant(interval[end]) is None:
                yield _interval("instant", i, value=interval[end])
    if intervals[0]["since"] is not None: yield _interval("start", 0, since=intervals[0]["since"])
    if intervals[-1]["until"] is not None: yield _interval("end", len(intervals) - 1, until=intervals[-1]["until"])
    yield from _joints(intervals)
    yield from _in_force(compiled)


def _in_force(compiled: Compiled) -> Iterator[Finding]:
    """Where intervals list the claims in force: they are those whose period covers the interval, none begins or ends inside."""
    claims = compiled.manifest["claims"]
    periods = [span(claim) for claim in claims]
    for i, interval in enumerate(compiled.manifest["intervals"]):
        if "claims" not in interval: continue
        held = [holds(period, span(interval)) for period in periods]
        if interval["claims"] != [c for c, whole in enumerate(held) if whole]: yield _interval("claims", i)
        for c, whole in enumerate(held):
            if whole is None: yield _interval("cut", i, claim=claims[c]["id"])


def span(said: Mapping[str, Any]) -> Span:
    """`since` and `until` of a claim or an interval as instants; None or absent is open."""
    return instant(said.get("since")), instant(said.get("until"))


def holds(period: Span, interval: Span) -> bool | None:
    """Is the period in force during the whole interval, not at all (False), or during a part of it (None)? Half-open both."""
    (begins, ends), (since, until) = period, interval
    if (ends and since and ends <= since) or (begins and until and until <= begins): return False
    begun = begins is None or (since is not None and begins <= since)
    lasts = ends is None or (until is not None and until <= ends)
    return True if begun and lasts else None


def _joints(intervals: list[dict[str, Any]]) -> Iterator[Finding]:
    for i, interval in enumerate(intervals):
        since, until = instant(interval["since"]), instant(interval["until"])
        if since and until and until <= since:
            yield _interval("empty", i, since=interval["since"], until=interval["until"])
    for i, (one, two) in enumerate(pairwise(intervals)):
        if one["until"] is None or two["since"] is None:
            yield _interval("open", i if one["until"] is None else i + 1)
            continue
        until, since = instant(one["until"]), instant(two["since"])
        if until and since and until != since:
            yield _interval("gap" if until < since else "overlap", i, until=one["until"], since=two["since"])


def _interval(what: str, interval: int, **facts: object) -> Finding:
    return Finding("time", what, facts={"interval": interval, **facts})


def instant(text: object) -> datetime | None:
    """A timezone-aware ISO instant; None for anything else."""
    if not isinstance(text, str): return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.utcoffset() is not None else None


# ---- keepers --------------------------------------------------------------------------------------------------------


def check_groups(compiled: Compiled) -> Iterator[Finding]:
    """The duty squad, the category groups, the turns and the finders."""
    said = compiled.manifest
    squads = [squad["code"] for squad in said["squads"]]
    if not 0 <= said["duty"] < len(squads):
        yield Finding("keeper", "duty", facts={"value": said["duty"], "squads": len(squads)})
    if not said["groups"] or said["groups"][0]: yield Finding("keeper", "group_zero")
    for category in _twice([category for group in said["groups"] for category in group]):
        yield Finding("keeper", "category_twice", facts={"category": category})
    if not 1 <= said["turns"] <= MAX_TURNS: yield Finding("keeper", "turns", facts={"value": said["turns"]})
    finders = said["finders"]
    again = _twice([finder for finder in finders if finder is not None])
    for at, finder in enumerate(finders or ["-"]):
        good = finder is None if at == 0 else finder in squads and finder not in again
        if not good: yield Finding("keeper", "finder", facts={"at": at, "value": finder})


def check_contexts(compiled: Compiled) -> Iterator[Finding]:
    """Every interval x group x turn x finder has exactly one lead row, and the row exists."""
    said, rows = compiled.manifest, compiled.contexts
    sizes = (len(said["intervals"]), len(said["groups"]), said["turns"], len(said["finders"]))
    room = np.array([len(compiled.plates[i["plate"]].lead) for i in said["intervals"]], np.int64)
    for column, size in enumerate(sizes):
        wrong = (rows[:, column] < 0) | (rows[:, column] >= size)
        if wrong.any():
            yield _row(rows, wrong, column, size - 1)
            return
    wrong = (rows[:, 4] < 0) | (rows[:, 4] >= room[rows[:, 0]])
    if wrong.any(): yield _row(rows, wrong, 4, int(room[rows[np.argmax(wrong), 0]]) - 1)
    yield from _once(rows, sizes)


def _once(rows: Ints, sizes: tuple[int, ...]) -> Iterator[Finding]:
    combinations = math.prod(sizes)
    if combinations >= 2**62:  # no file could hold them, and their numbers would overflow
        yield _combination("context_missing", 0, sizes, missing=combinations - len(rows))
        return
    codes, counts = np.unique(_codes(rows, sizes), return_counts=True)
    if (counts > 1).any():
        at = int(np.argmax(counts > 1))
        yield _combination("context_twice", int(codes[at]), sizes, rows=int(counts[at]))
    if len(codes) < combinations:
        absent = np.flatnonzero(codes != np.arange(len(codes)))
        code = int(absent[0]) if len(absent) else len(codes)
        yield _combination("context_missing", code, sizes, missing=combinations - len(codes))


def _codes(rows: Ints, sizes: tuple[int, ...]) -> Ints:
    code = rows[:, 0].astype(np.int64)
    for column in (1, 2, 3): code = code * sizes[column] + rows[:, column]
    return code


def _row(rows: Ints, wrong: Any, column: int, high: int) -> Finding:
    row = int(np.argmax(wrong))
    facts = {"row": row, "column": COLUMNS[column], "value": int(rows[row, column]), "high": high}
    return Finding("keeper", "context", facts=facts)


def _combination(what: str, code: int, sizes: tuple[int, ...], **facts: object) -> Finding:
    numbers: dict[str, object] = {}
    for column in (3, 2, 1, 0):
        code, numbers[COLUMNS[column]] = divmod(code, sizes[column])
    return Finding("keeper", what, facts={**numbers, **facts})


def check_leads(k: int, compiled: Compiled) -> Iterator[Finding]:
    """Every entry is a squad; where the claims of a label leave no choice, it is that squad."""
    plate, squads = compiled.plates[k], compiled.manifest["squads"]
    wrong = (plate.lead < 0) | (plate.lead >= len(squads))
    if wrong.any():
        row, label = (int(i) for i in np.argwhere(wrong)[0])
        facts = {"row": row, "label": label, "value": int(plate.lead[row, label]), "squads": len(squads)}
        yield Finding("keeper", "lead", k, place_of(plate, label), facts | {"outside": len(plate.labels)})
        return
    yield from _forced(k, compiled)


def _forced(k: int, compiled: Compiled) -> Iterator[Finding]:
    plate, codes = compiled.plates[k], [squad["code"] for squad in compiled.manifest["squads"]]
    number = {code: n for n, code in enumerate(codes)}
    plain, other = _rows_of(k, compiled)
    direct = _direct(compiled, number)
    led = [(rows, plate.lead[rows].T.tolist(), more) for rows, more in ((plain, set()), (other, direct))]
    for label in range(len(plate.labels) + 1):
        allowed = _allowed(plate, label, compiled, number)
        if allowed is None: continue
        for rows, leads, more in led:
            if set(leads[label]) <= allowed | more: continue
            at = next(i for i, squad in enumerate(leads[label]) if squad not in allowed | more)
            facts = {"row": int(rows[at]), "label": label, "squad": codes[leads[label][at]], "outside": len(plate.labels)}
            said = ", ".join(sorted(codes[s] for s in allowed | more))
            yield Finding("keeper", "wrong_lead", k, place_of(plate, label), facts | {"allowed": said})
            break


def _rows_of(k: int, compiled: Compiled) -> tuple[Ints, Ints]:
    """Lead rows of the plate used for group 0 (no direct category), and those used only for others."""
    plates = np.array([interval["plate"] for interval in compiled.manifest["intervals"]])
    mine = compiled.contexts[plates[compiled.contexts[:, 0]] == k]
    plain = distinct(mine[mine[:, 1] == 0, 4])
    return plain, minus(mine[:, 4], plain)


def _direct(compiled: Compiled, number: Mapping[str, int]) -> set[int]:
    """Squads that may lead anywhere for a category of their own; the duty squad holds the referrals of external units."""
    squads = {number[claim["squad"]] for claim in compiled.manifest["claims"] if claim["kind"] == "direct"}
    return squads | {compiled.manifest["duty"]} if squads else set()


def _allowed(plate: Plate, label: int, compiled: Compiled, number: Mapping[str, int]) -> set[int] | None:
    """Who may lead at a point of this label that is far from every line; None when only the ladder knows."""
    duty: int = compiled.manifest["duty"]
    if label == len(plate.labels): return {duty}
    claims = [compiled.manifest["claims"][n] for n in plate.labels[label]]
    kinds = {claim["kind"] for claim in claims}
    if kinds & OPEN_RULES: return None
    own = {number[claim["squad"]] for claim in claims if claim["kind"] in {"territory", "nearest"}}
    # ground that is not served may be so in some of the plate's intervals only
    return own | {duty} if "not_served" in kinds or not own else own


def check_gaps(k: int, plate: Plate, claims: Claims) -> Iterator[Finding]:
    """Exactly one nearest squad where the extent has no territory, none elsewhere; none at all without territories."""
    kinds = [[claims[number]["kind"] for number in label] for label in plate.labels]
    used = set(distinct(plate.label).tolist())
    grounds = any("territory" in kinds[label] for label in used)
    for label in used:
        nearest = kinds[label].count("nearest")
        gap = grounds and plate.inside[label] == 1 and "territory" not in kinds[label]
        if nearest == (1 if gap else 0): continue
        what = "stray_nearest" if not gap else "many_nearest" if nearest else "no_nearest"
        yield Finding("keeper", what, k, place_of(plate, label), {"label": label, "nearest": nearest})


def _twice(items: list[str]) -> list[str]:
    return [item for item, count in Counter(items).items() if count > 1]
