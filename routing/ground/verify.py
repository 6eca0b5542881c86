"""Is a compiled map proven? Every place, category and instant has exactly one squad, and with the sources at hand: theirs.

Shares nothing with the compiler: reads the file by itself, knows of routing only the errors. What is checked:

    seal       nobody changed the file after it was sealed
    structure  indices, order of vertices, rings that enclose ground, shells and holes
    twin, sweep, areas   the faces fill the outside rings without overlap (the theorem stands in verify_plane.py)
    extent     the faces marked inside fill exactly the declared extent
    labels     every label names claims that exist, and so does every stretch of border
    time       the intervals cover all time, each instant once
    keeper     every interval x category group x turn x finder has one lead row, every entry of it a squad
    nearest    pieces of gaps belong to the nearest squad, borders between them lie midway
    faithful   the grounds are those of the sources (only when sources are given)

A check that others stand on is passed before they run: a map with broken indices has no edges to sweep. What comes back is
then not all that is wrong, but never empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from routing.ground.verify_finding import SENTENCES, Check, Finding, Place
from routing.ground.verify_keeper import (
    check_claims,
    check_contexts,
    check_gaps,
    check_groups,
    check_labels,
    check_leads,
    check_time,
)
from routing.ground.verify_nearest import check_nearest
from routing.ground.verify_plane import Edges, Plane, check_extent, check_plane, plane_of
from routing.ground.verify_read import Compiled, NotAMap, Plate, assemble, load, loaded, seal_of
from routing.ground.verify_source import Source, check_facts, check_source
from routing.ground.verify_stretch import check_drawn, check_stretches

__all__ = [
    "SENTENCES", "Check", "Compiled", "Finding", "NotAMap", "Place", "Plate", "Source",
    "assemble", "faithful", "load", "loaded", "seal_of", "verify", "verify_file",
]

Planes = list[tuple[Plane, Edges]]


def verify_file(path: str, sources: Iterable[Source] | None = None) -> tuple[Finding, ...]:
    """The findings of a file; NotAMap when it is none."""
    return verify(load(path), sources)


def verify(compiled: Compiled, sources: Iterable[Source] | None = None) -> tuple[Finding, ...]:
    """Empty when the map is proven (and, with sources, faithful to them); else every finding."""
    findings = list(_seal(compiled))
    claims = compiled.manifest["claims"]
    said, sound = _said(compiled)
    planes, ground = _planes(compiled)
    for plane, edges in planes: ground += check_stretches(plane, edges, compiled)
    findings += said + ground
    if sound:
        for plane, edges in planes: findings += [*check_gaps(plane.k, plane.plate, claims), *check_nearest(plane, edges, compiled)]
        if sources is not None: findings += _faithful(compiled, sources, planes)
    return tuple(findings)


def faithful(compiled: Compiled, sources: Iterable[Source]) -> tuple[Finding, ...]:
    """Only the comparison with the sources; findings of other checks where they make it impossible."""
    said, sound = _said(compiled)
    planes, ground = _planes(compiled)
    broken = [] if sound else said
    if len(planes) < len(compiled.plates): broken = broken + ground
    return tuple(broken) if broken else tuple(_faithful(compiled, sources, planes))


def _seal(compiled: Compiled) -> Iterator[Finding]:
    if compiled.entries["seal"].tobytes() != seal_of(compiled.entries): yield Finding("seal", "broken")


def _said(compiled: Compiled) -> tuple[list[Finding], bool]:
    """Labels, time and keepers; and whether labels and time can be relied upon."""
    claims = compiled.manifest["claims"]
    base = [*check_claims(compiled), *check_time(compiled)]
    for k, plate in enumerate(compiled.plates): base += check_labels(k, plate, claims)
    keeper = list(check_groups(compiled))
    if not base and not keeper: keeper = list(check_contexts(compiled))
    if not base and not keeper:
        for k in range(len(compiled.plates)): keeper += check_leads(k, compiled)
    return base + keeper, not base


def _planes(compiled: Compiled) -> tuple[Planes, list[Finding]]:
    """The plates whose every edge has two sides, and what the geometric checks found in all of them."""
    planes: Planes = []
    findings: list[Finding] = []
    for k, plate in enumerate(compiled.plates):
        plane, found = plane_of(k, plate)
        findings += found
        if plane is None: continue
        edges, found = check_plane(plane)
        findings += found
        if edges is None: continue
        findings += check_extent(plane, edges)
        planes.append((plane, edges))
    return planes, findings


def _faithful(compiled: Compiled, sources: Iterable[Source], planes: Planes) -> Iterator[Finding]:
    told = [Source(*source) for source in sources]
    yield from check_facts(compiled, [plane for plane, _ in planes], told)
    for plane, edges in planes: yield from check_source(plane, edges, compiled, told)
    for plane, _ in planes: yield from check_drawn(plane, compiled, told)
