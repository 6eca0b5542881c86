"""Sets of whole numbers as sorted arrays. (numpy's own, from 2.3 on, hash: packed keys collide and take ten times as long.)"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[Any]
Mask = NDArray[np.bool_]


def distinct(keys: Keys) -> Keys:
    """Each key once, ascending."""
    ordered = np.sort(keys)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered


def find(ordered: Keys, wanted: Keys) -> NDArray[np.int64]:
    """Index in `ordered` (ascending) of each wanted key, -1 where it is not."""
    if not len(ordered): return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return np.where(ordered[at] == wanted, at, -1)


def among(wanted: Keys, keys: Keys) -> Mask:
    """Which of the wanted are among the keys (in any order)?"""
    return find(np.sort(keys), wanted) >= 0


def minus(keys: Keys, others: Keys) -> Keys:
    """Distinct keys that are not among the others, ascending."""
    return distinct(keys[~among(keys, others)])
