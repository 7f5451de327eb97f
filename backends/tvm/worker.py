"""Kernels called with a table of arguments, by one thread or by several together.

The threads are those of OpenMP, which PyTorch works with too: they are there already, each
thread that calls has its own, and none is added to those that PyTorch uses.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from rnndsl.backends.tvm.lower_names import WORKER
from rnndsl.backends.tvm.signature import Signature
from rnndsl.compiler.cost import StageWork, worthwhile

_NEEDED = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
# Numbers of 8 bytes in which a part counts: two cache lines, which are fetched in pairs.
COUNTS = 16


class Worker:
    """``worker(numbers, parts)`` runs a kernel on a table of these numbers.

    The numbers are the addresses of what the signature lists, then T, B, the number of
    elements of the workspace, and ``parts``, if the kernel is for several threads.
    """

    def __init__(
        self, function: Callable[[Any], Any], start: Any | None, stages: tuple[StageWork, ...] = ()
    ) -> None:
        self._function, self._start, self._stages = function, start, stages

    def __call__(self, numbers: Sequence[int], parts: int) -> None:
        count = len(numbers)
        if parts > 1 and self._start is not None:
            # The parts count in what follows, from 0 on, how often they waited for each other.
            table = (ctypes.c_int64 * (count + (parts + 1) * COUNTS))(*numbers)
            self._start(self._function, table, parts, 0)
        else:
            self._function((ctypes.c_int64 * count)(*numbers))

    def parts(self, threads: int, steps: int, batch: int) -> int:
        """How many of ``threads`` are worth starting for T and B."""
        if threads == 1 or self._start is None:
            return 1
        return worthwhile(self._stages, steps, batch, threads)


def worker_of(library: Path, signature: Signature, shared: bool) -> Worker:
    """The worker of a library; ``shared`` if it is for several threads."""
    function = getattr(ctypes.CDLL(str(library)), signature.symbol + WORKER)
    return Worker(function, _openmp().GOMP_parallel if shared else None, signature.stages)


@cache
def has_openmp() -> bool:
    """Whether this process has an OpenMP that kernels can use."""
    return all(hasattr(_openmp(), name) for name in _NEEDED)


@cache
def _openmp() -> Any:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # a system without names that all libraries share
        return None
