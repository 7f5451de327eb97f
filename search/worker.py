"""Which process runs a trial, and whether it still lives."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from rnndsl.search.versions import installed_versions

ORIGIN = "origin"  # the user attribute of a trial

# A trial is in the storage for an instant before it says whose it is.
_GRACE = timedelta(minutes=1)


def this_worker() -> dict[str, Any]:
    """Host, process and the start of the process, which tells it from a later one of its id."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "start": _start(pid)}


def begin_trial(study: optuna.Study, seed: int) -> optuna.Trial:
    """A new trial, which says at once whose it is and what it depends on besides its cell."""
    trial = study.ask()
    versions = installed_versions()
    trial.set_user_attr(ORIGIN, {**this_worker(), "seed": seed, "versions": versions})
    return trial


def is_orphan(trial: FrozenTrial, now: datetime | None = None) -> bool:
    """Whether the process of a running trial is gone.

    Processes of other hosts cannot be seen from here; their trials are left alone.
    """
    worker: Mapping[str, Any] | None = trial.user_attrs.get(ORIGIN)
    if worker is None:
        started = trial.datetime_start
        now = now or datetime.now(UTC)
        return started is None or now - started.astimezone(UTC) > _GRACE
    if worker["host"] != socket.gethostname():
        return False
    if worker["pid"] == os.getpid() and worker["start"] == _start(os.getpid()):
        return False
    return not _alive(worker["pid"]) or _start(worker["pid"]) != worker["start"]


def _alive(pid: int) -> bool:
    if sys.platform == "win32":  # os.kill ends a process there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A killed process that its parent has not waited for yet is still listed.
    return _status(pid)[:1] != ["Z"]


def _start(pid: int) -> str:
    """When the process started, in the kernel's ticks; empty where that cannot be known."""
    fields = _status(pid)
    return fields[19] if len(fields) > 19 else ""


def _status(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, state first; empty without /proc."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []
