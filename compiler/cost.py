"""What loops cost: operations and bytes of a loop nest, and the seconds that they take.

The model is a roofline per loop nest: arithmetic and traffic overlap, the slower one counts.  It
knows that a product in the loop over time reads its weights once for all examples, that streams
too large for the caches come from memory, and what threads take to wait for each other and to read
what another wrote.  Times that are shown are for the rates of the machine, measured; what is
decided by them (threads, forms) is decided at typical ones: it does not depend on a measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
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
_START = 4e-6  # seconds until further threads have begun and ended
_WAIT = 2e-7  # seconds that threads wait for each other, beyond the work of the slowest
_HANDED = 3e-11  # seconds to get a byte of a stream that another core wrote, and still has
# Examples of a scan that one thread takes at least, and the blocks that it takes them in.
LEAST_ROWS, ROWS = 2, 6
# Further threads must promise this much of the time, or they are left to others.
_WORTH = 0.9


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
    """The loop nests of a stage; of a ``scan`` they run anew for each time step.

    Where rows are too few to be shared, threads share those loops that are ``split``, for which
    they wait for each other ``waits`` times each time, or once at the end.
    """

    scan: bool
    loops: tuple[Work, ...]
    split: tuple[bool, ...] = ()
    waits: int = 0


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


def predict(
    stages: Sequence[StageWork], rates: Rates, steps: int, batch: int, threads: int = 1
) -> Prediction:
    """How long the stages take for sequences of ``steps`` and ``batch`` examples.

    ``rates`` are those of one of the ``threads``, which have caches of their own and share the
    memory.
    """
    streams = sum(work.streamed for stage in stages for work in stage.loops) * steps * batch
    # Each stream is written once and read once.
    rate = rates.bytes_per_second(streams / 2 / threads)
    if rate == rates.memory:
        rate /= threads
    loops, totals = [], []
    for stage in stages:
        rows, turns = (batch, steps) if stage.scan else (steps * batch, 1)
        works, waits = stage.loops, 1
        if has_rows(rows, threads):
            least = LEAST_ROWS if stage.scan else ROWS
            rows = min(rows, least * -(-rows // (least * threads)))
        elif any(stage.split):
            waits = max(1, stage.waits * turns)
            works = tuple(
                _share(w, threads) if split else w
                for w, split in zip(works, stage.split, strict=True)
            )
        # Weights that are read once in a call are those of the call before it.
        again = works if turns > 1 else [w for other in stages for w in other.loops]
        level = rates.bytes_per_second(sum(work.shared for work in again))
        found = tuple(_estimate(w, rates, rate, level, rows, turns) for w in works)
        # Half of the streams are read here; all but a thread's own part another has written.
        handed = rows * turns * sum(w.streamed for w in works) / 2 * (1 - 1 / threads)
        between = handed * _HANDED + (waits * _WAIT if threads > 1 else 0.0)
        loops.append(found)
        totals.append(between + sum(estimate.seconds for estimate in found))
    start = _START if threads > 1 else 0.0
    return Prediction(_CALL + start + sum(totals), tuple(totals), tuple(loops))


def has_rows(rows: int, threads: int) -> bool:
    """Whether each thread takes some of the rows: the examples in a scan, elsewhere those of
    all time steps."""
    return -(-rows // ROWS) >= threads


def worthwhile(stages: tuple[StageWork, ...], steps: int, batch: int, most: int) -> int:
    """How many threads, up to ``most``, a call is worth."""
    counts = [n for n in (2**k for k in range(1, 12)) if n < most] + [most]
    best, least = 1, predict(stages, TYPICAL, steps, batch).seconds
    for threads in counts if most > 1 else ():
        seconds = predict(stages, TYPICAL, steps, batch, threads).seconds
        if seconds < _WORTH * least:
            best, least = threads, seconds
    return best


def _share(work: Work, threads: int) -> Work:
    """What one of the threads that share a loop does."""
    return replace(work, **{f.name: -(-getattr(work, f.name) // threads) for f in fields(work)})


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
