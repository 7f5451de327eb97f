"""Ctrl-C that waits for the end of the step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Interrupt:
    """Whether Ctrl-C was pressed."""

    requested: bool = False


@contextmanager
def deferred_interrupt(active: bool) -> Iterator[Interrupt]:
    """Note a first Ctrl-C instead of raising; a second one raises KeyboardInterrupt at once.

    Does nothing unless ``active``, and outside the main thread, where signals never arrive.
    """
    interrupt = Interrupt()
    if not active or threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def note(signum: int, frame: FrameType | None) -> None:
        if interrupt.requested:
            raise KeyboardInterrupt
        interrupt.requested = True

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, previous)
