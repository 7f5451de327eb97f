"""Memory for what kernels hold while they run, kept between calls.

Fresh memory costs a page fault every 4 KiB, as much as the arithmetic of a short call.  What one
kernel is done with, the next one takes: a stack of layers needs no more of it than its largest.
"""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import Tensor

# Each that is kept, and how many: one per thread that calls at a time.
_MOST_BYTES = 1 << 26
_MOST_SPARES = 4


class Scratch:
    """Spare memory for elements of one type."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._most = _MOST_BYTES // dtype.itemsize
        self._spare: list[Tensor] = []

    def take(self, elements: int) -> Tensor:
        """At least so many elements, uninitialised, that no other call has."""
        if elements <= self._most:
            with suppress(IndexError):  # none yet, or other threads have them
                found = self._spare.pop()
                if found.numel() >= elements:
                    return found
                del found  # freed first, so that what is made may lie there
        return torch.empty(elements, dtype=self.dtype, device="cpu")

    def give_back(self, memory: Tensor) -> None:
        """Once the kernel has run."""
        if memory.numel() <= self._most and len(self._spare) < _MOST_SPARES:
            self._spare.append(memory)

    def free(self) -> None:
        """What no call has."""
        self._spare.clear()


_DOUBLE, _SINGLE = Scratch(torch.float64), Scratch(torch.float32)


def scratch_of(dtype: str) -> Scratch:
    """The memory that kernels for such tensors share; sums of 16-bit numbers have 32."""
    return _DOUBLE if dtype == "float64" else _SINGLE


def free_scratch() -> None:
    """Free what is kept between calls; the next ones make their own."""
    _DOUBLE.free()
    _SINGLE.free()
