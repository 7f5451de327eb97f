"""Worker processes of one search: started, watched, replaced when they die."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from optuna.pruners import BasePruner

from rnndsl.diagnostics import RnndslError
from rnndsl.processors import usable_processors
from rnndsl.search.errors import WorkersKeepDying
from rnndsl.search.objective import Objective
from rnndsl.search.storage import Place

# So many deaths in a row without one finished trial between them end the search.
DEATHS = 5

# Seconds that workers have to store their trials after Ctrl-C; they need no more than a step.
_PATIENCE = 30.0

# Libraries that bring threads of their own, and where they look for how many.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TVM_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Task:
    """All that a worker needs, sent to it as it starts."""

    place: Place
    work: Any  # a loop's Work
    objective: Objective
    pruner: BasePruner
    objectives: int
    threads: int


@dataclass(frozen=True, slots=True)
class Event:
    """What a worker says: ``rung``, ``finished``, ``ended`` with the reason, or ``error``."""

    kind: str
    trial: int | None = None
    step: int = 0
    score: float = 0.0
    reason: str = ""
    error: RnndslError | None = None


Hear = Callable[[Event], None]


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    ended: str | None = None


class Workers:
    """A number of processes at work on one study.

    A worker is started by ``spawn``, so that nothing of this process is shared with it but
    what it is sent: threads and locks of torch do not survive a fork.
    """

    def __init__(self, task: Task, count: int, hear: Hear, died: Callable[[str], None]) -> None:
        self.task, self.count, self.hear, self.died = task, count, hear, died
        self.workers: list[_Worker] = []
        self.deaths = 0  # in a row, without a finished trial

    def run(self) -> str:
        """Until the work is done: why it ended.  Ctrl-C ends the workers first."""
        try:
            with _environment({name: str(self.task.threads) for name in _THREADS}):
                for _ in range(self.count):
                    self._start()
                return self._watch()
        finally:
            self._stop()

    def _start(self) -> None:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(self.task, theirs), daemon=False)
        process.start()
        theirs.close()  # so that reading ends when the worker does
        self.workers.append(_Worker(process, ours))

    def _watch(self) -> str:
        reason = ""
        while self.workers:
            ready = wait([worker.pipe for worker in self.workers], timeout=1.0)
            for worker in [w for w in self.workers if w.pipe in ready]:
                if not self._read(worker):
                    reason = self._gone(worker) or reason
        return reason

    def _read(self, worker: _Worker) -> bool:
        """Hear one event of a worker; False when it has ended."""
        try:
            event: Event = worker.pipe.recv()
        except (EOFError, OSError):
            return False
        if event.kind == "error" and event.error is not None:
            raise event.error
        if event.kind == "ended":
            worker.ended = event.reason
        elif event.kind == "finished":
            self.deaths = 0
        self.hear(event)
        return True

    def _gone(self, worker: _Worker) -> str:
        """A worker that has ended: why, or another one in its place."""
        worker.process.join()
        worker.pipe.close()
        self.workers.remove(worker)
        if worker.ended is not None:
            return worker.ended
        how = _how(worker.process.exitcode)
        self.deaths += 1
        self.died(how)
        if self.deaths >= DEATHS:
            raise RnndslError(WorkersKeepDying(None, self.deaths, how))
        self._start()
        return ""

    def _stop(self) -> None:
        """End all workers: with Ctrl-C, so that they store their trials; then by force."""
        for worker in self.workers:
            if worker.process.is_alive() and worker.process.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGINT)
        deadline = time.monotonic() + _PATIENCE
        with suppress(KeyboardInterrupt):  # a second Ctrl-C waits no longer
            for worker in self.workers:
                worker.process.join(max(0.0, deadline - time.monotonic()))
        for worker in self.workers:
            if worker.process.is_alive():
                worker.process.kill()
            worker.process.join()
            worker.pipe.close()
        self.workers.clear()


def _how(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"signal {-exitcode}"
    return f"exit code {exitcode}"


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Let processes that are started in here see ``values``, unless they are set already."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def share_of_threads(workers: int) -> int:
    """How many threads each of so many workers may use on this machine; at least one."""
    return max(1, usable_processors() // workers)


# --------------------------------------------------------------------- in the worker process


class _Speaker:
    """Tells the parent of this process's trials."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def say(self, event: Event) -> None:
        with suppress(OSError):  # the parent is gone; the watch sees to that
            self._pipe.send(event)

    def rung(self, trial: int | None, rung: int, score: float) -> None:
        self.say(Event("rung", trial, rung, score))

    def finished(self, trial: int | None) -> None:
        self.say(Event("finished", trial))


def work(task: Task, pipe: Connection) -> None:
    """What a worker process runs."""
    from rnndsl.search.loop import Loop
    from rnndsl.search.storage import open_storage

    interrupt_once()
    _end_with_parent(pipe)
    speaker = _Speaker(pipe)
    try:
        settings = {**task.work.fixed, **task.objective.settings}
        storage = open_storage(task.place, settings, task.pruner, task.objectives)
        reason = Loop(task.work, task.objective, storage, speaker).run()
        speaker.say(Event("ended", reason=reason))
    except KeyboardInterrupt:
        speaker.say(Event("ended", reason="interrupted"))
    except RnndslError as error:
        speaker.say(Event("error", error=error))


def interrupt_once() -> None:
    """Let Ctrl-C, and the signal by which schedulers end a job, raise KeyboardInterrupt: once,
    so that what is being stored then is not cut short by the same signal from elsewhere."""
    if threading.current_thread() is not threading.main_thread():
        return

    came = False

    def interrupt(number: int, frame: object) -> None:
        nonlocal came
        if not came:
            came = True
            raise KeyboardInterrupt

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, interrupt)


def _end_with_parent(pipe: Connection) -> None:
    """Interrupt this process when its parent is gone: it would work on unseen."""

    def watch() -> None:
        with suppress(EOFError, OSError):
            pipe.recv()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True, name="parent").start()
