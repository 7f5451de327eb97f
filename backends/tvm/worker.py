"""Kernels called with a table of arguments, by one thread or by several together.

The threads are those of OpenMP, which PyTorch works with too: they are there already, each
thread that calls has its own, and none is added to those that PyTorch uses.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

from rnndsl.backends.tvm.crowding import Crowding
from rnndsl.backends.tvm.lower_names import WORKER
from rnndsl.backends.tvm.signature import Signature
from rnndsl.compiler.cost import TYPICAL, StageWork, predict, worthwhile

_NEEDED = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
# Numbers of 8 bytes in which a part counts: two cache lines, which are fetched in pairs.
COUNTS = 16
# Lengths of calls whose number of threads is remembered.
_MOST_KNOWN = 4096


class Worker:
    """``worker(numbers, parts)`` runs a kernel on a table of these numbers.

    The numbers are the addresses of what the signature lists, then T, B, the number of
    elements of the workspace, and ``parts``, if the kernel is for several threads.
    """

    def __init__(
        self,
        function: Callable[[int], Any],
        start: Any | None = None,
        stages: tuple[StageWork, ...] = (),
        adapts: bool = False,
    ) -> None:
        self._function, self._start, self._stages = function, start, stages
        # Sums depend on how many threads add them up, and should not depend on other programs.
        self._crowding = Crowding() if adapts else None
        self._known: dict[tuple[int, int, int], tuple[int, float]] = {}

    def __call__(self, numbers: Sequence[int], parts: int, seconds: float = 0.0) -> None:
        self.run(self.table(numbers, parts), parts, seconds)

    def table(self, numbers: Sequence[int], parts: int) -> array[int]:
        """What :meth:`run` takes, once or again and again by one thread, numbers changed."""
        table = array("q", numbers)
        if parts > 1:
            # The parts count in what follows, from 0 on, how often they waited for each other.
            table.frombytes(bytes((parts + 1) * COUNTS * table.itemsize))
        return table

    def run(self, table: array[int], parts: int, seconds: float = 0.0) -> None:
        """Run the kernel on a table made for that many parts or more; ``seconds`` are expected."""
        address, _ = table.buffer_info()
        if parts == 1 or self._start is None:
            self._function(address)
            return
        begun = perf_counter()
        self._start(self._function, address, parts, 0)
        if self._crowding is not None:
            self._crowding.learn(begun, seconds)

    def parts(self, threads: int, steps: int, batch: int) -> tuple[int, float]:
        """How many of ``threads`` are worth starting for T and B, and the seconds that this is
        expected to take on several."""
        if threads == 1 or self._start is None:
            return 1, 0.0
        key = threads, steps, batch
        if key not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = worthwhile(self._stages, steps, batch, threads)
            seconds = predict(self._stages, TYPICAL, steps, batch, found).seconds
            self._known[key] = found, seconds
        found, seconds = self._known[key]
        crowded = found > 1 and self._crowding is not None and self._crowding.is_felt()
        return (1 if crowded else found), seconds


def worker_of(library: Path, signature: Signature, shared: bool) -> Worker:
    """The worker of a library; ``shared`` if it is for several threads."""
    function = getattr(ctypes.CDLL(str(library)), signature.symbol + WORKER)
    function.argtypes = [ctypes.c_void_p]
    start = _parallel() if shared else None
    return Worker(function, start, signature.stages, adapts=not signature.totals)


@cache
def has_openmp() -> bool:
    """Whether this process has an OpenMP that kernels can use."""
    return all(hasattr(_openmp(), name) for name in _NEEDED)


@cache
def _parallel() -> Any:
    """``GOMP_parallel(function, argument, threads, flags)``: a call by each of the threads."""
    kinds = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint
    return ctypes.CFUNCTYPE(None, *kinds)(("GOMP_parallel", _openmp()))


@cache
def _openmp() -> Any:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # a system without names that all libraries share
        return None
