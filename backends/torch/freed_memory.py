"""Memory that was freed, kept for the next call instead of given back to the system."""

from __future__ import annotations

from functools import cache

import torch

# The largest array after which glibc still learns (see ``M_MMAP_THRESHOLD`` in mallopt(3)).
_LARGEST = (32 << 20) - (64 << 10)


@cache
def keep_freed_memory() -> None:
    """Make arrays of up to 32 MiB come from memory that was there before; once for a process.

    The GNU C library maps large arrays anew each time, and clears them by a page fault for every
    4 KiB: that can take as long as all arithmetic of a training step.  It stops doing so for
    arrays no larger than those that it has seen freed, and keeps twice as much free memory.  So
    one is freed here; it is never touched, and other libraries do not care.
    """
    torch.empty(_LARGEST, dtype=torch.uint8)
