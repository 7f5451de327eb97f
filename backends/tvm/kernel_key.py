"""What a compiled kernel depends on, as one short text, found without loading TVM."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from dataclasses import astuple
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rnndsl import __version__
from rnndsl.compiler.plan import Plan
from rnndsl.compiler.text import print_graph
from rnndsl.kept import cache_root, sources

_PACKAGES = ("apache-tvm", "apache-tvm-ffi")


def kernel_key(plan: Plan, dtype: str, choices: tuple[object, ...]) -> str:
    """Different for kernels that may differ: in the plan, the type, the choices made by who
    asks, the processor, the versions of the packages, or the package's own source."""
    stages = [(stage.kind.value, stage.values, stage.states) for stage in plan.stages]
    joined = [astuple(entry) for entry in plan.joined]
    parts = [print_graph(plan.graph), stages, plan.reverse, joined, dtype, choices]
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
    return (__version__, *(f"{name} {_version(name)}" for name in _PACKAGES), sys.version)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def cache_folder() -> Path | None:
    """Where kernels are kept; None if the user wants none."""
    root = cache_root()
    return None if root is None else root / "kernels"
