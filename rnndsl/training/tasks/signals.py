"""Tasks of signals: a chaotic series to be continued, a frequency to be recognised."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from rnndsl.training.tasks.task import Examples, Reals, Task

# The Mackey-Glass equation dx/dt = 0.2 x(t-17) / (1 + x(t-17)^10) - 0.1 x(t), chaotic at this
# delay; a step of the series is one unit of time.
DELAY, SUBSTEPS, AHEAD = 17, 10, 15
SERIES_LENGTH, WASHOUT = 100, 30
_BANK, _BANK_LENGTH = 64, 2000
_VARIANCE = 0.0507  # of the series

TICKS = 40
TARGET_PERIODS = (5.0, 6.0)  # milliseconds
OTHER_PERIODS = (1.0, 100.0)


def mackey_glass(generator: np.random.Generator, count: int, length: int) -> Reals:
    """``count`` series of ``length`` steps [length, count], from random pasts; Euler's method
    with ten steps to a unit, after the transient."""
    past = DELAY * SUBSTEPS
    transient = 300 * SUBSTEPS
    x = np.empty((past + transient + length * SUBSTEPS, count))
    x[: past + 1] = 1.2 + 0.4 * generator.standard_normal((1, count)).clip(-2, 2)
    for t in range(past, len(x) - 1):
        delayed = x[t - past]
        x[t + 1] = x[t] + (0.2 * delayed / (1 + delayed**10) - 0.1 * x[t]) / SUBSTEPS
    return x[past + transient :: SUBSTEPS].astype(np.float32)


@lru_cache(maxsize=4)
def _bank(seed: int) -> Reals:
    return mackey_glass(np.random.default_rng(seed), _BANK, _BANK_LENGTH)


def draw_mackey_glass(generator: np.random.Generator, batch: int) -> Examples:
    """Windows of the series; at each step, after some to get going, the value 15 steps on.

    Windows are cut from long series that are made once for each of a few seeds.
    """
    bank = _bank(int(generator.integers(4)))
    series = generator.integers(_BANK, size=batch)
    starts = generator.integers(len(bank) - SERIES_LENGTH - AHEAD, size=batch)
    steps = np.arange(SERIES_LENGTH)[:, None] + starts
    inputs, targets = bank[steps, series], bank[steps + AHEAD, series]
    return Examples(inputs[..., None] - 0.9, targets[WASHOUT:, :, None] - 0.9)


def draw_frequency(generator: np.random.Generator, batch: int) -> Examples:
    """A sine seen at irregular times; at the end, whether its period lies in the band.

    After Neil, Pfeiffer & Liu 2016.  Inputs are the value and the milliseconds since the last
    one.  Half of the periods lie in the band, the others below or above it.
    """
    inside = generator.integers(2, size=batch)
    low, high = TARGET_PERIODS
    below = np.exp(generator.uniform(np.log(OTHER_PERIODS[0]), np.log(low), batch))
    above = np.exp(generator.uniform(np.log(high), np.log(OTHER_PERIODS[1]), batch))
    other = np.where(generator.random(batch) < 0.5, below, above)
    period = np.where(inside == 1, generator.uniform(low, high, batch), other)
    gaps = generator.exponential(1.5, size=(TICKS, batch))
    times = np.cumsum(gaps, axis=0) + generator.uniform(0, 100, batch)
    values = np.sin(2 * np.pi * times / period)
    return Examples(np.stack([values, gaps], -1).astype(np.float32), inside[None])


MACKEY_GLASS = Task(
    name="mackey_glass",
    summary=f"foretell a chaotic series {AHEAD} steps ahead",
    kind="values",
    inputs=1,
    outputs=1,
    length=SERIES_LENGTH,
    guess=1.0,
    draw=draw_mackey_glass,
    scale=1 / _VARIANCE,
)
FREQUENCY = Task(
    name="frequency",
    summary="tell from irregular samples whether a sine's period is between 5 and 6 ms",
    kind="classes",
    inputs=2,
    outputs=2,
    length=TICKS,
    guess=1.0,
    draw=draw_frequency,
)
