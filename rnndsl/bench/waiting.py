"""How long the threads of this process waited for a processor that others had."""

from __future__ import annotations

from pathlib import Path

_TASKS = Path("/proc/self/task")


def seconds_waited() -> float:
    """The total over all threads since they began; 0 where the system does not tell.

    Linux counts for each thread the nanoseconds in which it could have run and did not.
    """
    total = 0
    try:
        for task in _TASKS.iterdir():
            try:
                total += int((task / "schedstat").read_text(encoding="ascii").split()[1])
            except (OSError, IndexError, ValueError):
                continue  # the thread has ended meanwhile
    except OSError:
        return 0.0
    return total / 1e9
