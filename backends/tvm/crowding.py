"""Whether other programs want the processors that a kernel's threads need.

Then threads that wait for each other lose what the system gives to others at a time, a thousand
times what a short call takes.  So calls are timed; after one that took far too long the next
ones are left to one thread, for so long that what was lost hardly counts.
"""

from __future__ import annotations

from time import perf_counter

# Seconds beyond what is expected that no call takes on processors of its own.
_DELAY = 1e-3
# Time with one thread by the time that was lost.
_CAUTION = 20


class Crowding:
    """What the calls of one kernel tell; threads may share it, since no bit depends on it."""

    def __init__(self) -> None:
        self._until = 0.0

    def is_felt(self) -> bool:
        """Whether calls are better left to one thread now."""
        return perf_counter() < self._until

    def learn(self, begun: float, expected: float) -> None:
        """From a call of several threads that began at a time of ``perf_counter``, and was
        expected to take so many seconds."""
        now = perf_counter()
        lost = now - begun - 4 * expected
        if lost > _DELAY:
            self._until = now + _CAUTION * lost
