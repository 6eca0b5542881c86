"""Ways to spoil a compiled map, and the check that must see each: the table of attacks, over any map in memory.

An attack returns the spoiled map with its old seal, or None where the map offers no place for it. `sealed` puts a fresh seal
on it, as an attacker who knows the format would.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from routing.ground.verify import Compiled, Plate, assemble, seal_of

Point = tuple[int, int]
Ring = list[Point]


# ---- maps as drawings -----------------------------------------------------------------------------------------------


@dataclass
class Drawing:
    """A plate as lists of places, easy to spoil: rings of faces, of the outside and of the extent, in mm."""

    faces: list[list[Ring]]
    outside: list[Ring]
    extent: list[Ring]
    label: list[int]

    def rings(self) -> Iterator[Ring]:
        yield from (ring for face in self.faces for ring in face)
        yield from self.outside
        yield from self.extent

    def move(self, moved: Mapping[Point, Point]) -> None:
        """Each of these places, in all rings."""
        for ring in self.rings(): ring[:] = [moved.get(p, p) for p in ring]


def drawing_of(plate: Plate) -> Drawing:
    xy = [(int(x), int(y)) for x, y in plate.xy]

    def rings(ids: Any, at: Any) -> list[Ring]:
        return [[xy[v] for v in ids[s:t]] for s, t in pairwise(at)]

    all_rings = rings(plate.ring, plate.ring_at)
    faces = [all_rings[s:t] for s, t in pairwise(plate.face_at)]
    return Drawing(faces, [all_rings[r] for r in plate.outside], rings(plate.extent_ring, plate.extent_at), plate.label.tolist())


def arrays_of(drawing: Drawing, k: int) -> dict[str, Any]:
    """The entries of a plate, but for its lead table."""
    xy = sorted({p for ring in drawing.rings() for p in ring})
    number = {p: v for v, p in enumerate(xy)}
    rings = [ring for face in drawing.faces for ring in face] + drawing.outside
    inner = sum(map(len, drawing.faces))
    arrays = {
        "xy": np.array(xy, "<i8").reshape(-1, 2),
        "ring": np.array([number[p] for ring in rings for p in ring], "<i8"),
        "ring_at": _offsets(rings),
        "face_at": _offsets(drawing.faces),
        "outside": np.arange(inner, len(rings), dtype="<i8"),
        "label": np.array(drawing.label, "<i4"),
        "extent_ring": np.array([number[p] for ring in drawing.extent for p in ring], "<i8"),
        "extent_at": _offsets(drawing.extent),
    }
    return {f"p{k}.{name}": array for name, array in arrays.items()}


def _offsets(items: list[Any]) -> Any:
    return np.concatenate([[0], np.cumsum([len(item) for item in items])]).astype("<i8")


def area2(rings: list[Ring]) -> int:
    """Twice the area of rings, holes negative."""
    return sum((p[0] - q[0]) * (p[1] + q[1]) for ring in rings for p, q in zip(ring, ring[1:] + ring[:1], strict=True))


def manifest_bytes(manifest: Mapping[str, Any]) -> Any:
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return np.frombuffer(text.encode(), np.uint8).copy()


def sealed(compiled: Compiled) -> Compiled:
    entries = {**compiled.entries, "seal": np.frombuffer(seal_of(compiled.entries), np.uint8).copy()}
    return assemble(entries)


def redrawn(compiled: Compiled, drawing: Drawing, k: int = 0) -> Compiled:
    """The map with another drawing of one plate, its declared area made to agree."""
    manifest = json.loads(compiled.entries["manifest"].tobytes())
    manifest["plates"][k]["extent_area2"] = str(abs(area2(drawing.extent)))
    return assemble({**compiled.entries, **arrays_of(drawing, k), "manifest": manifest_bytes(manifest)})


def restated(compiled: Compiled, change: Callable[[dict[str, Any]], object]) -> Compiled:
    """The map with another manifest."""
    manifest = json.loads(compiled.entries["manifest"].tobytes())
    change(manifest)
    return assemble({**compiled.entries, "manifest": manifest_bytes(manifest)})


def with_array(compiled: Compiled, entry: str, change: Callable[[Any], Any]) -> Compiled:
    """The map with one array changed; `change` gets a copy and may return another."""
    array = compiled.entries[entry].copy()
    changed = change(array)
    return assemble({**compiled.entries, entry: array if changed is None else np.ascontiguousarray(changed)})


# ---- attacks on the ground ------------------------------------------------------------------------------------------


def _corner(drawing: Drawing) -> Point:
    """A place of the greatest face where its border turns, the last in a fixed order."""
    ring = max((face[0] for face in drawing.faces), key=lambda ring: abs(area2([ring])))
    turning = _turning(ring)
    return turning[len(turning) // 2]


def _turning(ring: Ring) -> list[Point]:
    """The corners of a ring that are not flat."""
    return [q for p, q, r in zip(ring[-1:] + ring, ring, ring[1:] + ring[:1], strict=False) if area2([[p, q, r]])]


def _moved(mm: Point) -> Callable[[Compiled], Compiled | None]:
    def attack(compiled: Compiled) -> Compiled:
        drawing = drawing_of(compiled.plates[0])
        x, y = _corner(drawing)
        drawing.move({(x, y): (x + mm[0], y + mm[1])})
        return redrawn(compiled, drawing)

    return attack


def moved_across(compiled: Compiled) -> Compiled | None:
    """A vertex between three faces or more, moved beyond the farthest vertex of its neighbours: some line must be crossed."""
    drawing = drawing_of(compiled.plates[0])
    uses: dict[Point, int] = {}
    for ring in drawing.rings():
        for p in ring: uses[p] = uses.get(p, 0) + 1
    busy = max(sorted(uses), key=lambda p: uses[p])
    if uses[busy] < 3: return None
    near = [p for face in drawing.faces if busy in face[0] for p in face[0]]
    reach = max(max(abs(x - busy[0]), abs(y - busy[1])) for x, y in near)
    drawing.move({busy: (busy[0] + 3 * reach + 3_000_000, busy[1] + 11)})
    return redrawn(compiled, drawing)


def moved_once(compiled: Compiled) -> Compiled:
    drawing = drawing_of(compiled.plates[0])
    corner = _corner(drawing)
    ring = next(ring for ring in drawing.rings() if corner in ring)
    ring[ring.index(corner)] = (corner[0] + 1, corner[1] + 1)
    return redrawn(compiled, drawing)


def face_removed(compiled: Compiled) -> Compiled:
    drawing = drawing_of(compiled.plates[0])
    del drawing.faces[-1], drawing.label[-1]
    return redrawn(compiled, drawing)


def face_twice(compiled: Compiled) -> Compiled:
    drawing = drawing_of(compiled.plates[0])
    drawing.faces.append([list(ring) for ring in drawing.faces[-1]])
    drawing.label.append(drawing.label[-1])
    return redrawn(compiled, drawing)


def ring_turned(compiled: Compiled) -> Compiled:
    drawing = drawing_of(compiled.plates[0])
    drawing.faces[-1][0].reverse()
    return redrawn(compiled, drawing)


def hole_turned(compiled: Compiled) -> Compiled | None:
    drawing = drawing_of(compiled.plates[0])
    hole = next((face[1] for face in drawing.faces if len(face) > 1), None)
    if hole is None: return None
    hole.reverse()
    return redrawn(compiled, drawing)


def outside_turned(compiled: Compiled) -> Compiled:
    drawing = drawing_of(compiled.plates[0])
    drawing.outside[0].reverse()
    return redrawn(compiled, drawing)


def corner_cut(compiled: Compiled) -> Compiled | None:
    drawing = drawing_of(compiled.plates[0])
    ring = next((face[0] for face in drawing.faces if len(face[0]) > 3), None)
    if ring is None: return None
    ring.remove(_turning(ring)[0])
    return redrawn(compiled, drawing)


def island_slid(compiled: Compiled) -> Compiled | None:
    """A component of the map that touches no other, moved over the first vertex of the rest: twins and areas stay intact."""
    drawing = drawing_of(compiled.plates[0])
    for shore in drawing.outside:
        island = _component(drawing, set(shore))
        rest = sorted({p for ring in drawing.rings() for p in ring} - island)
        if not rest or not _alone(drawing, island): continue
        to, at = rest[len(rest) // 2], min(island)
        drawing.move({(x, y): (x + to[0] - at[0] - 7, y + to[1] - at[1] - 11) for x, y in island})
        return redrawn(compiled, drawing)
    return None


def island_dropped(compiled: Compiled) -> Compiled | None:
    """A component of the map put into the middle of a face, where it touches no line: twins, areas and crossings stay intact."""
    drawing = drawing_of(compiled.plates[0])
    for shore in drawing.outside:
        island = _component(drawing, set(shore))
        for face in drawing.faces:
            into = _step_into(sorted(island), face[0]) if island.isdisjoint(face[0]) and len(face) == 1 else None
            if into is None or not _alone(drawing, island): continue
            drawing.move({(x, y): (x + into[0], y + into[1]) for x, y in island})
            return redrawn(compiled, drawing)
    return None


def _step_into(island: list[Point], ring: Ring) -> Point | None:
    """From the middle of an island to the middle of a rectangle that is larger."""
    (x0, x1), (y0, y1) = ((min(c), max(c)) for c in zip(*ring, strict=True))
    (u0, u1), (v0, v1) = ((min(c), max(c)) for c in zip(*island, strict=True))
    if abs(area2([ring])) != 2 * (x1 - x0) * (y1 - y0) or u1 - u0 >= x1 - x0 or v1 - v0 >= y1 - y0: return None
    return (x0 + x1 - u0 - u1) // 2, (y0 + y1 - v0 - v1) // 2


def _component(drawing: Drawing, places: set[Point]) -> set[Point]:
    grown = True
    while grown:
        before = len(places)
        for ring in drawing.rings():
            if not places.isdisjoint(ring): places |= set(ring)
        grown = len(places) > before
    return places


def _alone(drawing: Drawing, island: set[Point]) -> bool:
    return all(island.issuperset(face[0]) or all(island.isdisjoint(ring) for ring in face) for face in drawing.faces)


def crossing_added(compiled: Compiled) -> Compiled | None:
    """A new vertex in the middle of an edge of two faces, in both, pulled just across the next edge of one of them."""
    drawing = drawing_of(compiled.plates[0])
    edges = {(p, q) for face in drawing.faces for ring in face for p, q in zip(ring, ring[1:] + ring[:1], strict=True)}
    for ring in (face[0] for face in drawing.faces):
        for p, q, r in zip(ring, ring[1:] + ring[:1], ring[2:] + ring[:2], strict=True):
            beyond = ((q[0] + r[0]) // 2 + (r[1] - q[1]) // 3, (q[1] + r[1]) // 2 - (r[0] - q[0]) // 3)
            if (q, p) not in edges or not _cross(p, beyond, q, r): continue
            for other in drawing.rings(): _insert(other, p, q, beyond)
            return redrawn(compiled, drawing)
    return None


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    return area2([[a, b, c]]) * area2([[a, b, d]]) < 0 and area2([[c, d, a]]) * area2([[c, d, b]]) < 0


def _insert(ring: Ring, p: Point, q: Point, between: Point) -> None:
    """Into the edge p-q, whichever way it runs."""
    for i, (a, b) in enumerate(zip(list(ring), ring[1:] + ring[:1], strict=True)):
        if (a, b) in {(p, q), (q, p)}:
            ring.insert(i + 1, between)
            return


def edge_on_edge(compiled: Compiled) -> Compiled | None:
    """A vertex of a shared border moved, in all its rings, onto the middle of another edge of the same face."""
    drawing = drawing_of(compiled.plates[0])
    ring = max((face[0] for face in drawing.faces), key=len)
    if len(ring) < 4: return None
    a, b, goes = ring[0], ring[1], ring[len(ring) // 2 + 1 if len(ring) > 4 else 3]
    on = ((a[0] + b[0]) // 2, (a[1] + b[1]) // 2)
    if (a[0] + b[0]) % 2 or (a[1] + b[1]) % 2 or goes in {a, b}: return None
    drawing.move({goes: on})
    return redrawn(compiled, drawing)


def labels_swapped(compiled: Compiled) -> Compiled | None:
    labels = compiled.plates[0].label
    others = np.flatnonzero(labels != labels[0])
    if not len(others): return None

    def swap(label: Any) -> None:
        label[[0, others[0]]] = label[[others[0], 0]]

    return with_array(compiled, "p0.label", swap)


def nearest_relabelled(compiled: Compiled) -> Compiled | None:
    """The pieces of two squads trade places."""
    plate, claims = compiled.plates[0], compiled.manifest["claims"]
    pieces = [k for k, label in enumerate(plate.labels) if any(claims[c]["kind"] == "nearest" for c in label)]
    if len(pieces) < 2: return None

    def trade(label: Any) -> None:
        one, two = label == pieces[0], label == pieces[1]
        label[one], label[two] = pieces[1], pieces[0]

    return with_array(compiled, "p0.label", trade)


def nearest_to_nobody(compiled: Compiled) -> Compiled | None:
    """A piece goes to a squad without ground."""
    claims = compiled.manifest["claims"]
    holding = {claim["squad"] for claim in claims if claim["kind"] in {"territory", "nearest"}}
    piece = next((c for c, claim in enumerate(claims) if claim["kind"] == "nearest"), None)
    if piece is None: return None
    nobody = next(s["code"] for s in compiled.manifest["squads"] if s["code"] not in holding)
    return _set(f"claims.{piece}.squad", nobody)(compiled)


def nearest_line_moved(mm: int, *, whole: bool) -> Callable[[Compiled], Compiled | None]:
    """The line between two pieces, or only its first vertex, moved in all rings."""

    def attack(compiled: Compiled) -> Compiled | None:
        drawing = drawing_of(compiled.plates[0])
        between = sorted(_between_pieces(compiled, drawing))[: None if whole else 1]
        if not between: return None
        drawing.move({(x, y): (x + mm, y + mm // 2) for x, y in between})
        return redrawn(compiled, drawing)

    return attack


def _between_pieces(compiled: Compiled, drawing: Drawing) -> set[Point]:
    """Vertices of the line between two pieces that are no vertices of other faces; of the two that share most."""
    plate, claims = compiled.plates[0], compiled.manifest["claims"]
    at: dict[Point, set[int]] = {}
    for i, face in enumerate(drawing.faces):
        for p in (p for ring in face for p in ring): at.setdefault(p, set()).add(i)
    gap = {i for i, label in enumerate(drawing.label) if any(claims[c]["kind"] == "nearest" for c in plate.labels[label])}
    lines: dict[tuple[int, ...], set[Point]] = {}
    for p, faces in at.items():
        if len(faces) == 2 and faces <= gap: lines.setdefault(tuple(sorted(faces)), set()).add(p)
    return lines[max(lines, key=lambda pair: (len(lines[pair]), pair))] if lines else set()


def extent_shrunk(compiled: Compiled) -> Compiled | None:
    """The declared border cuts a corner that the faces marked inside do not; the declared area agrees with the border."""
    drawing = drawing_of(compiled.plates[0])
    ring = next((ring for ring in drawing.extent if len(ring) > 3), None)
    if ring is None: return None
    ring.remove(_turning(ring)[0])
    return redrawn(compiled, drawing)


def extent_area_changed(compiled: Compiled) -> Compiled:
    def change(said: dict[str, Any]) -> None:
        said["plates"][0]["extent_area2"] = str(int(said["plates"][0]["extent_area2"]) - 2)

    return restated(compiled, change)


def extent_twice(compiled: Compiled) -> Compiled:
    drawing = drawing_of(compiled.plates[0])
    drawing.extent += [list(ring) for ring in drawing.extent]
    return redrawn(compiled, drawing)


def inside_flipped(compiled: Compiled) -> Compiled:
    def change(said: dict[str, Any]) -> None:
        label = int(compiled.plates[0].label[0])
        said["plates"][0]["inside"][label] = 1 - said["plates"][0]["inside"][label]

    return restated(compiled, change)


# ---- attacks on the tables ------------------------------------------------------------------------------------------


def _set(path: str, value: object) -> Callable[[Compiled], Compiled]:
    """Sets manifest[a][b]..., given as "a.b"."""

    def attack(compiled: Compiled) -> Compiled:
        def change(said: Any) -> None:
            *way, last = [int(step) if step.lstrip("-").isdigit() else step for step in path.split(".")]
            for step in way: said = said[step]
            said[last] = value

        return restated(compiled, change)

    return attack


def _array(entry: str, change: Callable[[Any], Any]) -> Callable[[Compiled], Compiled]:
    return lambda compiled: with_array(compiled, entry, change)


def _put(at: Any, value: int) -> Callable[[Any], None]:
    def change(array: Any) -> None:
        array[at] = value

    return change


def _split_time(until: str | None, since: str) -> Callable[[Compiled], Compiled]:
    """One more interval, on the plate of the last; its contexts are complete."""

    def attack(compiled: Compiled) -> Compiled:
        n = len(compiled.manifest["intervals"])
        rows = compiled.contexts[compiled.contexts[:, 0] == n - 1].copy()
        rows[:, 0] = n

        def change(said: dict[str, Any]) -> None:
            last = said["intervals"][-1]
            said["intervals"].append({**last, "since": since, "until": None})
            last["until"] = until

        longer = np.concatenate([compiled.contexts, rows])
        return restated(with_array(compiled, "contexts", lambda _: longer), change)

    return attack


def _twice(attack: Callable[[Compiled], Compiled]) -> Callable[[Compiled], Compiled]:
    return lambda compiled: attack(attack(compiled))


def claim_begins_inside(compiled: Compiled) -> Compiled:
    """An interval lists its claims, one of which begins only in its course."""

    def change(said: dict[str, Any]) -> None:
        said["claims"][0]["since"] = SEPTEMBER
        said["intervals"][-1]["claims"] = list(range(1, len(said["claims"])))

    return restated(compiled, change)


def label_twice(compiled: Compiled) -> Compiled:
    """Label 0 once more, under a new number, with a lead of its own."""

    def change(said: dict[str, Any]) -> None:
        for name in ("labels", "inside"): said["plates"][0][name].append(said["plates"][0][name][0])

    manifest = json.loads(compiled.entries["manifest"].tobytes())
    change(manifest)
    lead = np.insert(compiled.plates[0].lead, -1, compiled.plates[0].lead[:, 0], axis=1)
    return assemble({**compiled.entries, "manifest": manifest_bytes(manifest), "p0.lead": np.ascontiguousarray(lead)})


def lead_changed(compiled: Compiled) -> Compiled | None:
    """Somebody else leads on the ground of one squad."""
    claims, plate = compiled.manifest["claims"], compiled.plates[0]
    for label, numbers in enumerate(plate.labels):
        if {claims[c]["kind"] for c in numbers} != {"territory"} or len(numbers) != 1: continue
        row = int(compiled.contexts[0, 4])
        other = (int(plate.lead[row, label]) + 1) % len(compiled.manifest["squads"])
        return with_array(compiled, "p0.lead", _put((row, label), other))
    return None


def duty_on_a_territory(compiled: Compiled) -> Compiled | None:
    claims, plate = compiled.manifest["claims"], compiled.plates[0]
    own = [label for label, numbers in enumerate(plate.labels) if [claims[c]["kind"] for c in numbers] == ["territory"]]
    return with_array(compiled, "p0.lead", _put((slice(None), own[0]), compiled.manifest["duty"])) if own else None


def claim_given_away(compiled: Compiled) -> Compiled:
    """A territory is said to be another squad's; the leads stay."""

    def change(said: dict[str, Any]) -> None:
        claim = next(claim for claim in said["claims"] if claim["kind"] == "territory")
        claim["squad"] = next(s["code"] for s in said["squads"] if s["code"] != claim["squad"])

    return restated(compiled, change)


def claim_and_lead_given_away(compiled: Compiled) -> Compiled | None:
    """The same, with the leads: a map without contradictions, only not the one that was given."""
    claims, plate = compiled.manifest["claims"], compiled.plates[0]
    taken = next(c for c, claim in enumerate(claims) if claim["kind"] == "territory")
    heir = next(s for s in compiled.manifest["squads"] if s["code"] != claims[taken]["squad"])
    number = compiled.manifest["squads"].index(heir)
    mine = [label for label, numbers in enumerate(plate.labels) if numbers == (taken,)]
    gaps = {c for label in plate.labels for c in label if claims[c]["kind"] == "nearest"}
    if not mine or gaps or len(compiled.plates) > 1: return None

    def change(said: dict[str, Any]) -> None:
        said["claims"][taken]["squad"] = heir["code"]

    return restated(with_array(compiled, "p0.lead", _put((slice(None), mine), number)), change)


def nearest_dropped(compiled: Compiled) -> Compiled | None:
    return _relabelled(compiled, lambda numbers, kinds: [c for c, kind in zip(numbers, kinds, strict=True) if kind != "nearest"])


def nearest_doubled(compiled: Compiled) -> Compiled | None:
    every = [c for c, claim in enumerate(compiled.manifest["claims"]) if claim["kind"] == "nearest"]
    if len(every) < 2: return None
    return _relabelled(compiled, lambda numbers, kinds: sorted({*numbers, *every}))


def _relabelled(compiled: Compiled, change: Callable[[list[int], list[str]], list[int]]) -> Compiled | None:
    """The claims of the first label of a gap."""
    claims = compiled.manifest["claims"]
    for label, numbers in enumerate(compiled.plates[0].labels):
        kinds = [claims[c]["kind"] for c in numbers]
        if "nearest" in kinds: return _set(f"plates.0.labels.{label}", change(list(numbers), kinds))(compiled)
    return None


def nearest_on_a_territory(compiled: Compiled) -> Compiled | None:
    claims = compiled.manifest["claims"]
    piece = next((c for c, claim in enumerate(claims) if claim["kind"] == "nearest"), None)
    if piece is None: return None
    label = next(k for k, numbers in enumerate(compiled.plates[0].labels) if any(claims[c]["kind"] == "territory" for c in numbers))
    return _set(f"plates.0.labels.{label}", sorted({*compiled.plates[0].labels[label], piece}))(compiled)


# ---- the table ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attack:
    """`sees` are the findings (check.what) of which one must come; with `source`, from the comparison with the sources."""

    name: str
    sees: frozenset[str]
    change: Callable[[Compiled], Compiled | None]
    source: bool = False


def _attack(name: str, sees: str, change: Callable[[Compiled], Compiled | None], *, source: bool = False) -> Attack:
    return Attack(name, frozenset(sees.split()), change, source)


SEPTEMBER, OCTOBER = "2099-09-01T00:00:00+08:00", "2099-10-01T00:00:00+08:00"

ATTACKS = (
    # the table of the proof
    _attack("vertex moved 1 mm in all rings", "faithful.vertex", _moved((1, 0)), source=True),
    _attack("vertex moved 1 mm the other way", "faithful.vertex", _moved((0, -1)), source=True),
    _attack("vertex moved 3 mm in all rings", "faithful.vertex", _moved((3, 0)), source=True),
    _attack("vertex moved 3 km in all rings", "sweep.crossing sweep.owners sweep.order sweep.overlap sweep.vertex_in_edge", moved_across),
    _attack("vertex moved in one ring", "twin.single", moved_once),
    _attack("vertex moved in one ring, by area", "areas.differ", moved_once),
    _attack("face removed", "twin.single", face_removed),
    _attack("face removed, by area", "areas.differ", face_removed),
    _attack("face twice", "twin.many", face_twice),
    _attack("face twice, by area", "areas.differ", face_twice),
    _attack("ring turned round", "twin.same_way", ring_turned),
    _attack("ring turned round, by area", "areas.differ", ring_turned),
    _attack("ring turned round, as a shell", "structure.shell", ring_turned),
    _attack("corner cut off one face", "twin.single", corner_cut),
    _attack("corner cut off one face, by area", "areas.differ", corner_cut),
    _attack("island slid over other ground", "sweep.owners sweep.crossing sweep.vertex_in_edge sweep.order", island_slid),
    _attack("island dropped into a face", "sweep.owners", island_dropped),
    _attack("labels swapped", "faithful.line faithful.vertex", labels_swapped, source=True),
    # the plane
    _attack("crossing added", "sweep.crossing sweep.order sweep.owners", crossing_added),
    _attack("vertex on another edge", "sweep.vertex_in_edge sweep.overlap sweep.crossing", edge_on_edge),
    _attack("vertices out of order", "structure.vertex_order", _array("p0.xy", lambda xy: xy[[1, 0, *range(2, len(xy))]])),
    _attack("vertex number out of range", "structure.index", _array("p0.ring", _put(0, 10**9))),
    _attack("negative vertex number", "structure.index", _array("p0.ring", _put(0, -1))),
    _attack("offsets out of order", "structure.offsets", _array("p0.ring_at", _put(1, 0))),
    _attack("offsets too short", "structure.offsets", _array("p0.ring_at", _put(-1, 3))),
    _attack("vertex more than the rings hold", "structure.offsets", _array("p0.ring", lambda ring: np.append(ring, ring[0]))),
    _attack("ring of two vertices", "structure.short_ring", _array("p0.ring_at", _put(1, 2))),
    _attack("hole turned round", "structure.hole", hole_turned),
    _attack("outside turned round", "structure.outside_turned", outside_turned),
    _attack("empty edge", "structure.empty_edge", _array("p0.ring", lambda ring: _put(1, int(ring[0]))(ring))),
    _attack("outside ring not listed", "structure.outside_rings", _array("p0.outside", lambda outside: outside[1:])),
    _attack("label short", "structure.faces", _array("p0.label", lambda label: label[1:])),
    _attack("coordinate beyond the integers", "structure.too_wide", _array("p0.xy", _put((-1, 0), 2**62))),
    _attack("map far off", "structure.too_wide", _array("p0.xy", lambda xy: xy + 20_000_000_000)),
    _attack("too wide a map", "structure.too_wide", _array("p0.xy", lambda xy: _put((-1, 0), int(xy[0, 0]) + 1_600_000_000)(xy))),
    # the extent
    _attack("extent shrunk", "extent.missing", extent_shrunk),
    _attack("extent shrunk, by its border", "extent.extra", extent_shrunk),
    _attack("extent shrunk, by area", "extent.area", extent_shrunk),
    _attack("extent twice", "extent.extra", extent_twice),
    _attack("declared area changed", "extent.declared", extent_area_changed),
    _attack("a face taken out of the extent", "extent.missing extent.extra", inside_flipped),
    # labels
    _attack("face with a label that does not exist", "labels.face", _array("p0.label", _put(0, 10**6))),
    _attack("label with a claim that does not exist", "labels.claim", _set("plates.0.labels.0", [10**6])),
    _attack("negative claim number", "labels.claim", _set("plates.0.labels.0", [-1])),
    _attack("claim twice in a label", "labels.order", _set("plates.0.labels.0", [0, 0])),
    _attack("label twice", "labels.twice", label_twice),
    _attack("ground of a direct category", "labels.groundless", _set("claims.0.kind", "direct")),
    _attack("inside mark of 2", "labels.inside", _set("plates.0.inside.0", 2)),
    _attack("claim of an unknown kind", "labels.kind", _set("claims.0.kind", "whim")),
    _attack("squad code changed", "labels.squad", _set("claims.0.squad", "nobody")),
    _attack("territory of no squad", "labels.squad", _set("claims.0.squad", None)),
    _attack("claim id twice", "labels.claim_twice", _set("claims.0.id", "t1")),
    _attack("squad code twice", "labels.squad_twice", _set("squads.0.code", "duty")),
    # time
    _attack("no interval", "time.none", _set("intervals", [])),
    _attack("gap in time", "time.gap", _split_time(SEPTEMBER, OCTOBER)),
    _attack("overlap in time", "time.overlap", _split_time(OCTOBER, SEPTEMBER)),
    _attack("time that starts late", "time.start", _set("intervals.0.since", SEPTEMBER)),
    _attack("time that ends", "time.end", _set("intervals.-1.until", OCTOBER)),
    _attack("time without a zone", "time.instant", _set("intervals.-1.until", "2099-10-01T00:00:00")),
    _attack("interval of no length", "time.empty", _twice(_split_time(OCTOBER, OCTOBER))),
    _attack("interval that never ends, and another", "time.open", _split_time(None, OCTOBER)),
    _attack("interval without its claims", "time.claims", _set("intervals.0.claims", [])),
    _attack("claim that begins inside an interval", "time.cut", claim_begins_inside),
    _attack("interval on a negative plate", "time.plate", _set("intervals.0.plate", -1)),
    _attack("interval on no plate", "time.plate", _set("intervals.0.plate", 7)),
    # keepers
    _attack("lead out of range", "keeper.lead", _array("p0.lead", _put((0, 0), 10**6))),
    _attack("lead of nobody", "keeper.lead", _array("p0.lead", _put((0, -1), -1))),
    _attack("lead changed", "keeper.wrong_lead", lead_changed),
    _attack("duty squad on a territory", "keeper.wrong_lead", duty_on_a_territory),
    _attack("outside led by another than duty", "keeper.wrong_lead", _array("p0.lead", _put((0, -1), 0))),
    _attack("territory given away", "keeper.wrong_lead", claim_given_away),
    _attack("territory given away, by the sources", "faithful.squad", claim_and_lead_given_away, source=True),
    _attack("context missing", "keeper.context_missing", _array("contexts", lambda rows: rows[1:])),
    _attack("last context missing", "keeper.context_missing", _array("contexts", lambda rows: rows[:-1])),
    _attack("context twice", "keeper.context_twice", _array("contexts", lambda rows: rows[[0, *range(len(rows))]])),
    _attack("context of another", "keeper.context_missing", _array("contexts", lambda rows: _put(0, rows[1])(rows))),
    _attack("context out of range", "keeper.context", _array("contexts", _put((0, 3), 99))),
    _attack("context of a negative interval", "keeper.context", _array("contexts", _put((0, 0), -1))),
    _attack("negative lead row", "keeper.context", _array("contexts", _put((0, 4), -1))),
    _attack("lead row out of range", "keeper.context", _array("contexts", _put((0, 4), 99))),
    _attack("duty squad out of range", "keeper.duty", _set("duty", 10**6)),
    _attack("category in two groups", "keeper.category_twice", _set("groups", [[], ["x:1"], ["x:1"]])),
    _attack("group 0 with a category", "keeper.group_zero", _set("groups.0", ["x:9"])),
    _attack("no group", "keeper.group_zero", _set("groups", [])),
    _attack("finder twice", "keeper.finder", _set("finders", [None, "a", "a"])),
    _attack("no place for nobody in particular", "keeper.finder", _set("finders", ["a"])),
    _attack("unknown finder", "keeper.finder", _set("finders", [None, "nobody"])),
    _attack("no turn", "keeper.turns", _set("turns", 0)),
    _attack("gap without a nearest squad", "keeper.no_nearest", nearest_dropped),
    _attack("gap with two nearest squads", "keeper.many_nearest", nearest_doubled),
    _attack("nearest squad on a territory", "keeper.stray_nearest", nearest_on_a_territory),
    # nearest
    _attack("pieces of a gap trade places", "nearest.farther", nearest_relabelled),
    _attack("piece of a gap for a squad without ground", "nearest.groundless", nearest_to_nobody),
    _attack("line between two pieces moved 9 mm", "nearest.unequal", nearest_line_moved(8, whole=True)),
)
