"""Kernels made on other threads: before they are asked for, or side by side.

Most of the time of making a kernel is LLVM's, which runs beside other Python threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import Generic, TypeVar

from rnndsl.processors import usable_processors

S = TypeVar("S")
T = TypeVar("T")


class Begun(Generic[T]):
    """What ``make`` returns, begun on another thread where there is a processor for that.  Who asks
    makes it where there is no such thread, as in a process that was forked meanwhile."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make, self._process = make, os.getpid()
        self._future = _on_a_thread(make) if usable_processors() > 1 else None

    def __call__(self) -> T:
        """The result, or the error; waits for it."""
        future = self._future
        if future is not None and (future.done() or self._process == os.getpid()):
            return future.result()
        return self._make()


def _on_a_thread(make: Callable[[], T]) -> Future[T] | None:
    """What it returns; None if the system has no thread to give."""
    made: Future[T] = Future()

    def run() -> None:
        try:
            made.set_result(make())
        except BaseException as error:  # noqa: BLE001  # for those who ask for it
            made.set_exception(error)

    try:
        # A process that ends waits for it: LLVM cannot be left while it works.
        Thread(target=run, name="rnndsl kernel").start()
    except RuntimeError:
        return None
    return made


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
