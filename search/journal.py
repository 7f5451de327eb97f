"""The file that a study is kept in: an Optuna journal, opened so that a crash does no harm."""

from __future__ import annotations

import json
import os
from pathlib import Path

import optuna
from optuna.storages.journal import (
    JournalFileBackend,
    JournalFileOpenLock,
    JournalFileSymlinkLock,
)

from rnndsl.diagnostics import RnndslError
from rnndsl.search.errors import BadJournal

Lock = JournalFileOpenLock | JournalFileSymlinkLock


def open_journal(path: Path) -> optuna.storages.JournalStorage:
    """The storage in the file ``path``, made if it does not exist.

    Every event is one line, written at its end under a lock and synced to the disk.  A writer
    that dies in between leaves a last line without its end.  Optuna reads past such a line
    once, but appends the next event to it, and then can never read the file again; so the
    torn line is removed first.  RnndslError (E0609) if any other line is damaged.
    """
    lock = _lock(path)
    if path.exists():
        lock.acquire()
        try:
            _drop_torn_line(path)
        finally:
            lock.release()
        _check_lines(path)
    return optuna.storages.JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def _lock(path: Path) -> Lock:
    # Making a symbolic link is atomic on every file system that has them, NFS included;
    # Windows asks for a privilege to make one.
    kind = JournalFileOpenLock if os.name == "nt" else JournalFileSymlinkLock
    return kind(str(path))


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
