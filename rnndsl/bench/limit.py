"""A limit on the time that a piece of work may take."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_AGAIN = 0.5  # seconds


class OutOfTime(BaseException):
    """The time is up.  No Exception: libraries that catch those must let it pass."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTime inside the block once the seconds are over.

    Without effect where there are no timer signals, and outside of the main thread.
    """
    main = threading.current_thread() is threading.main_thread()
    if not (hasattr(signal, "SIGALRM") and main and math.isfinite(seconds)):
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    # Again and again: what rings inside a finalizer is only printed there.
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
