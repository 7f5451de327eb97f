"""Kernels made on other threads: before they are asked for, or side by side.

Most of the time of making a kernel is LLVM's, which runs beside other Python threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock, Thread
from typing import Generic, TypeVar

from rnndsl.processors import usable_processors

S = TypeVar("S")
T = TypeVar("T")


class Ahead(Generic[T]):
    """What is being made, by key."""

    def __init__(self) -> None:
        self._made: dict[str, Future[T]] = {}
        self._lock = Lock()
        if hasattr(os, "register_at_fork"):  # a forked process has none of the threads
            os.register_at_fork(after_in_child=self._made.clear)

    def begin(self, key: str, make: Callable[[], T]) -> bool:
        """Start to make it, if there is a processor for that and nobody has; whether it did."""
        if usable_processors() < 2:
            return False
        with self._lock:
            if key in self._made:
                return False
            made = self._made[key] = Future()

        def run() -> None:
            try:
                made.set_result(make())
            except BaseException as error:  # noqa: BLE001  # for those who ask for it
                made.set_exception(error)

        # A process that ends waits for it: LLVM cannot be left while it works.
        thread = Thread(target=run, name="rnndsl kernel")
        try:
            thread.start()
        except RuntimeError:  # the system has no thread to give: who asks makes it
            with self._lock:
                del self._made[key]
            return False
        return True

    def take(self, key: str) -> T | None:
        """What was begun, once it is made; None if nothing was."""
        with self._lock:
            found = self._made.pop(key, None)
        return None if found is None else found.result()


def side_by_side(make: Callable[[S], T], of: Sequence[S]) -> list[T]:
    """What ``make`` returns for each, on a thread for each where there are processors for them."""
    if len(of) < 2 or usable_processors() < 2:
        return [make(each) for each in of]
    with ThreadPoolExecutor(len(of) - 1, "rnndsl module") as threads:
        try:
            others = [threads.submit(make, each) for each in of[1:]]
        except RuntimeError:  # the system has no thread to give
            threads.shutdown(cancel_futures=True)
            return [make(each) for each in of]
        return [make(of[0]), *(other.result() for other in others)]
