"""Which process runs a trial, and whether it still lives."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import optuna

from rnndsl.search.versions import installed_versions

ORIGIN = "origin"  # the user attribute of a trial


def this_worker() -> dict[str, Any]:
    """Host, process and the start of the process, which tells it from a later one of its id."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "start": _start(pid)}


def begin_trial(study: optuna.Study, seed: int) -> optuna.Trial:
    """A new trial, which says at once whose it is and what it depends on besides its cell."""
    trial = study.ask()
    trial.set_user_attr(ORIGIN, origin(seed))
    return trial


def origin(seed: int) -> dict[str, Any]:
    """What a trial says of itself: whose it is, since when, its seed and the versions."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {**this_worker(), "time": now, "seed": seed, "versions": installed_versions()}


def is_here(origin: Mapping[str, Any]) -> bool:
    """Whether the process of an origin runs, or ran, on this machine."""
    return bool(origin["host"] == socket.gethostname())


def is_gone(origin: Mapping[str, Any]) -> bool:
    """Whether the process of an origin on this machine has ended."""
    if origin["pid"] == os.getpid() and origin["start"] == _start(os.getpid()):
        return False
    return not _alive(origin["pid"]) or _start(origin["pid"]) != origin["start"]


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
