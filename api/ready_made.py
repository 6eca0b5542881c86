"""What a worker needs, loaded in the process it is forked from: the service, and the machinery of the kernels, which numba loads at the
first call of any of them and takes longer over than the whole of the rest. Nothing is open here, and there are no threads.
"""

from __future__ import annotations

from numba import njit

import api.app
import api.cli  # noqa: F401


@njit(cache=True)
def _same(x):  # type: ignore[no-untyped-def]
    return x


_same(1)
