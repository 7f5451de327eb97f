"""What a compiled kernel depends on, as one short text, found without loading TVM."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import rnndsl.compiler
from rnndsl.compiler.plan import Plan
from rnndsl.compiler.text import print_graph

_PACKAGES = ("rnndsl", "apache-tvm", "apache-tvm-ffi")
_VARIABLE = "RNNDSL_CACHE"
_OFF = ("", "0", "off", "no")


def kernel_key(plan: Plan, dtype: str, choices: tuple[object, ...]) -> str:
    """Different for kernels that may differ: in the plan, the type, the choices made by who
    asks, the processor, the versions of the packages, or the source of the compiler."""
    stages = [(stage.kind.value, stage.values, stage.states) for stage in plan.stages]
    parts = [print_graph(plan.graph), stages, plan.reverse, dtype, choices]
    text = json.dumps([*parts, processor(), versions(), sources()], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


@cache
def processor() -> str:
    """The processor and what it can do, as the operating system tells."""
    found = [platform.system(), platform.machine()]
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return " ".join([*found, platform.processor()])
    wanted = ("vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU part")
    told = {line for line in lines if line.partition(":")[0].strip() in wanted}
    return "\n".join([*found, *sorted(told)])


@cache
def versions() -> tuple[str, ...]:
    """Of the packages that make kernels, and of Python."""
    return (*(f"{name} {_version(name)}" for name in _PACKAGES), sys.version)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


@cache
def sources() -> str:
    """A digest of the Python files that kernels are made by."""
    found = hashlib.sha256()
    for folder in (Path(rnndsl.compiler.__file__).parent, Path(__file__).parent):
        for path in sorted(folder.glob("*.py")):
            found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def cache_folder() -> Path | None:
    """Where kernels are kept; None if the user wants none.

    The environment variable ``RNNDSL_CACHE`` names another folder, or is ``off``.
    """
    wanted = os.environ.get(_VARIABLE)
    if wanted is not None:
        return None if wanted.strip().lower() in _OFF else Path(wanted).expanduser() / "kernels"
    try:
        return _usual_folder() / "rnndsl" / "kernels"
    except RuntimeError:  # a user without a home
        return None


def _usual_folder() -> Path:
    """The folder for caches of this user on this system."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    given = os.environ.get("XDG_CACHE_HOME", "")
    return Path(given) if os.path.isabs(given) else Path.home() / ".cache"
