"""The processors that this process may use."""

from __future__ import annotations

import os


def usable_processors() -> int:
    """How many there are: those that the system allows to this process, where it says so."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
