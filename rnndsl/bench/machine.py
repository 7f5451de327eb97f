"""The machine: what it is, and what it can do at most, measured in the same run."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import rnndsl

MATRIX = 2048  # rows and columns of the product whose rate is measured
STREAM = 64 * 2**20  # floats that are copied to measure memory bandwidth: beyond every cache
SECONDS = 0.3  # spent on each
_PACKAGES = {
    "torch": "torch",
    "tvm": "apache-tvm",
    "numpy": "numpy",
    "jax": "jax",
    "onnxruntime": "onnxruntime",
}


@dataclass(frozen=True, slots=True)
class Rates:
    """Operations per second of a large matrix product, bytes per second of a large copy
    (read and written), both in float32 at torch's number of threads."""

    flops: float
    bytes: float

    def best(self, other: Rates) -> Rates:
        """The higher of each: other work on the machine only ever lowers a rate."""
        return Rates(max(self.flops, other.flops), max(self.bytes, other.bytes))

    def least_seconds(self, flops: int, size: int) -> float:
        """The roofline: what takes so many operations and bytes takes no less than this."""
        return max(flops / self.flops, size / self.bytes)


@dataclass(frozen=True, slots=True)
class Machine:
    """Where numbers come from.  ``versions`` lack what is not installed."""

    cpu: str
    cores: int
    system: str
    threads: int
    versions: dict[str, str]


def describe() -> Machine:
    """This machine as it is set up now."""
    versions = {"python": platform.python_version(), "rnndsl": rnndsl.__version__}
    for name, package in _PACKAGES.items():
        try:
            versions[name] = version(package)
        except PackageNotFoundError:
            continue
    system = f"{platform.system()} {platform.machine()}"
    return Machine(_cpu(), os.cpu_count() or 1, system, torch.get_num_threads(), versions)


def _cpu() -> str:
    """The model's name, and the widest vector instructions that torch uses."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                name = value.strip()
                break
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def load() -> float | None:
    """Processes that wanted to run during the last minute; None where it is not known."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def measure_rates() -> Rates:
    """The best of what a large matrix product and a large copy reach in a moment each."""
    a, b = torch.randn(MATRIX, MATRIX), torch.randn(MATRIX, MATRIX)
    product = torch.empty(MATRIX, MATRIX)
    source, target = torch.zeros(STREAM), torch.empty(STREAM)
    with torch.no_grad():
        matrix = _fastest(lambda: torch.mm(a, b, out=product))
        copy = _fastest(lambda: target.copy_(source))
    return Rates(2 * MATRIX**3 / matrix, 2 * source.numel() * source.element_size() / copy)


def _fastest(run: Callable[[], object]) -> float:
    run()
    best, end = float("inf"), time.perf_counter() + SECONDS
    for _ in range(3):
        best = min(best, _seconds(run))
    while time.perf_counter() < end:
        best = min(best, _seconds(run))
    return best


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
