"""Edges -> chains: the maximal paths between vertices where a path must stop."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from routing.ground.noding import Ints


def chains(edge: Ints, stop: NDArray[np.bool_]) -> tuple[Ints, NDArray[np.bool_], Ints]:
    """Edges (m, 2) in running order, whether each is run from its second vertex to its first, and where each chain starts.

    A chain stops at the vertices marked, and where not exactly two edges meet; a ring without any starts at its least edge.
    """
    m = len(edge)
    order, back, at = np.empty(m, np.int64), np.empty(m, np.bool_), np.empty(m + 1, np.int64)
    n = _walk(edge, stop | (np.bincount(edge.reshape(-1), minlength=len(stop)) != 2), order, back, at) if m else 0
    at[n] = m
    return order, back, at[: n + 1].copy()


@njit(cache=True)
def _walk(edge, stop, order, back, at):  # type: ignore[no-untyped-def]
    m = len(edge)
    slot = np.full((len(stop), 2), -1, np.int64)  # the two edges at a vertex where a chain runs on
    for e in range(m):
        for v in edge[e]:
            if not stop[v]:
                slot[v, 0 if slot[v, 0] < 0 else 1] = e
    done = np.zeros(m, np.bool_)
    n = 0
    k = 0
    for ring in range(2):  # first those with an end, then the rings that are left
        for first in range(m):
            if done[first]:
                continue
            if ring == 0 and not stop[edge[first, 0]] and not stop[edge[first, 1]]:
                continue
            e = first
            v = edge[e, 0] if ring == 1 or stop[edge[e, 0]] else edge[e, 1]
            at[n] = k
            n += 1
            while not done[e]:
                done[e] = True
                order[k] = e
                back[k] = edge[e, 0] != v
                k += 1
                v = edge[e, 0] if edge[e, 0] != v else edge[e, 1]
                if stop[v]:
                    break
                e = slot[v, 0] if slot[v, 0] != e else slot[v, 1]
    return n
