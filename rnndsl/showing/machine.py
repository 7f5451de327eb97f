"""What this machine's cores reach: measured once with NumPy, and kept in the cache folder."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from rnndsl.compiler.cost import Rates

_FILE = "machine.json"
_MEASURED_AS = "rates 1"  # another one when they are measured in another way
_SECONDS = 20  # far more than measuring takes
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def machine_rates(measure: bool = True) -> Rates | None:
    """The rates of one core of this machine: kept ones, else measured ones.

    None where they are not known and ``measure`` is false, or measuring fails.
    """
    path = _path()
    found = _read(path)
    if found is None and measure:
        found = _measured()
        if found is not None and path is not None:
            _write(path, found)
    return found


def _path() -> Path | None:
    from rnndsl.backends.tvm.kernel_key import cache_folder

    folder = cache_folder()
    return None if folder is None else folder.parent / _FILE


def _key() -> str:
    return f"{_MEASURED_AS} {platform.node()} {platform.machine()} {os.cpu_count()}"


def _read(path: Path | None) -> Rates | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
        return Rates(**kept["rates"]) if kept.get("machine") == _key() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # missing, or not what we wrote: it is measured again


def _write(path: Path, rates: Rates) -> None:
    from rnndsl.atomic import write_text_atomically
    from rnndsl.diagnostics import RnndslError

    text = json.dumps({"machine": _key(), "rates": asdict(rates)}, indent=1) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, text)
    except (OSError, RnndslError):
        return  # a cache that cannot be written is only slower


def _measured() -> Rates | None:
    """In a process of its own: NumPy's number of threads is fixed when it is loaded."""
    alone = {**os.environ, **dict.fromkeys(_ONE_THREAD, "1")}
    command = [sys.executable, "-m", "rnndsl.showing.measure_machine"]
    try:
        done = subprocess.run(
            command, env=alone, capture_output=True, text=True, timeout=_SECONDS, check=True
        )
        return Rates(**json.loads(done.stdout))
    except (OSError, ValueError, TypeError, subprocess.SubprocessError):
        return None
