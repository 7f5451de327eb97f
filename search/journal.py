"""The file that a study is kept in: an Optuna journal, opened so that a crash does no harm."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, Any

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from rnndsl.atomic import unwritable
from rnndsl.diagnostics import RnndslError
from rnndsl.search.errors import BadJournal

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]


class KernelLock(JournalFileOpenLock):
    """Excludes other processes by a lock of the operating system on the journal itself.

    Optuna's own locks are files: one that is left behind by a killed process blocks everybody
    for half a minute.  This one ends with the process that holds it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        try:
            file = self._path.open("ab")
        except OSError as error:
            raise unwritable(self._path, error) from None
        fcntl.flock(file, fcntl.LOCK_EX)
        self._file = file
        return True

    def release(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()


class Backend(JournalFileBackend):
    """Optuna's file; a full disk is an error like any other (E0123)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            super().__init__(str(path), lock_obj=_lock(path))
        except OSError as error:
            raise unwritable(path, error) from None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        try:
            super().append_logs(logs)
        except OSError as error:
            raise unwritable(self._path, error) from None


def open_journal(path: Path) -> optuna.storages.JournalStorage:
    """The storage in the file ``path``, made if it does not exist.

    Every event is one line, written at its end under a lock and synced to the disk.  A writer
    that dies in between leaves a last line without its end.  Optuna reads past such a line
    once, but appends the next event to it, and then can never read the file again; so the
    torn line is removed first.  RnndslError (E0609) if any other line is damaged, (E0123) when
    the file cannot be written, now or later.
    """
    if path.exists():
        lock = _lock(path)
        lock.acquire()
        try:
            _drop_torn_line(path)
        finally:
            lock.release()
        _check_lines(path)
    return optuna.storages.JournalStorage(Backend(path))


def _lock(path: Path) -> JournalFileOpenLock:
    return JournalFileOpenLock(str(path)) if fcntl is None else KernelLock(path)


def _drop_torn_line(path: Path) -> None:
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end:
            start = max(0, end - 4096)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
            os.fsync(file.fileno())


def _check_lines(path: Path) -> None:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                json.loads(line)
            except ValueError:
                if not line.endswith(b"\n"):
                    return  # another process is writing it
                raise RnndslError(BadJournal(None, str(path), number)) from None
