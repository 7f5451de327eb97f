"""What loops cost: operations and bytes of a loop nest, and the seconds that they take.

The model is a roofline per loop nest: arithmetic and traffic overlap, the slower one counts.  It
knows that a product in the loop over time reads its weights once for all examples, and that
streams too large for the caches come from memory.  The rates are a machine's, measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import Enum


@dataclass(frozen=True, slots=True)
class Rates:
    """What one core reaches: operations per second in large matrix products and in loops over
    elements in the cache; bytes per second from the near cache, from the far one, and from
    memory."""

    products: float
    elements: float
    near: float
    far: float
    memory: float

    def bytes_per_second(self, size: float) -> float:
        """The rate at which data of that many bytes is read again and again."""
        return self.near if size <= NEAR else self.far if size <= FAR else self.memory


# Where a machine's caches end, in bytes; those of one core, and the last one that cores share.
NEAR, FAR = 512 * 2**10, 16 * 2**20
# A server's core of 2021, for where nothing was measured.
TYPICAL = Rates(products=8e10, elements=1e10, near=8e10, far=4e10, memory=1.2e10)
_LOOP = 4e-8  # seconds to enter a loop nest
_CALL = 2e-5  # seconds around a kernel: arguments, and memory for its results


class Bound(Enum):
    """What a loop nest waits for."""

    ARITHMETIC = "arithmetic"
    CACHE = "the cache"
    WEIGHTS = "weights"
    MEMORY = "memory"
    NOTHING = "its loops"


@dataclass(frozen=True, slots=True)
class Work:
    """What a loop nest does for one example and time step.

    ``products`` and ``elements`` are operations; ``streamed`` are bytes of streams over time,
    ``kept`` bytes that stay in the cache, ``shared`` bytes that all examples read (weights).
    """

    products: int = 0
    elements: int = 0
    streamed: int = 0
    kept: int = 0
    shared: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def flops(self) -> int:
        return self.products + self.elements

    def intensity(self, rows: int) -> float:
        """Operations per byte that comes from outside the core, for so many rows at a time."""
        size = self.streamed + self.shared / rows
        return self.flops / size if size else float("inf")


@dataclass(frozen=True, slots=True)
class StageWork:
    """The loop nests of a stage; of a ``scan`` they run anew for each time step."""

    scan: bool
    loops: tuple[Work, ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds, and what most of them are spent on."""

    seconds: float
    bound: Bound


@dataclass(frozen=True, slots=True)
class Prediction:
    """Seconds of a call with B examples and T steps; per stage, and per loop of each."""

    seconds: float
    stages: tuple[float, ...]
    loops: tuple[tuple[Estimate, ...], ...]


def predict(stages: Sequence[StageWork], rates: Rates, steps: int, batch: int) -> Prediction:
    """How long the stages take for sequences of ``steps`` and ``batch`` examples, one thread."""
    streams = sum(work.streamed for stage in stages for work in stage.loops) * steps * batch
    # Each stream is written once and read once.
    rate = rates.bytes_per_second(streams / 2)
    loops = []
    for stage in stages:
        rows, turns = (batch, steps) if stage.scan else (steps * batch, 1)
        weights = sum(work.shared for work in stage.loops)
        level = rates.bytes_per_second(weights if stage.scan else 0)
        loops.append(tuple(_estimate(w, rates, rate, level, rows, turns) for w in stage.loops))
    totals = tuple(sum(found.seconds for found in stage) for stage in loops)
    return Prediction(_CALL + sum(totals), totals, tuple(loops))


def _estimate(
    work: Work, rates: Rates, streams: float, weights: float, rows: int, turns: int
) -> Estimate:
    parts = {
        Bound.ARITHMETIC: rows * (work.products / rates.products + work.elements / rates.elements),
        Bound.CACHE: rows * work.kept / rates.near,
        Bound.WEIGHTS: work.shared / weights,
        Bound.MEMORY: rows * work.streamed / streams,
    }
    outside = parts[Bound.CACHE] + parts[Bound.WEIGHTS] + parts[Bound.MEMORY]
    seconds = max(parts[Bound.ARITHMETIC], outside)
    slowest = max(parts, key=lambda kind: parts[kind])
    bound = slowest if seconds > _LOOP else Bound.NOTHING
    return Estimate(turns * (seconds + _LOOP), bound)
