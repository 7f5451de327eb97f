"""Timing several subjects in turns, so that a slow moment of the machine hits them all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MIN_ROUNDS, MAX_ROUNDS = 5, 2000


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of a call: median and quartiles over ``rounds`` calls, and the fastest."""

    median: float
    lower: float
    upper: float
    fastest: float
    rounds: int


def take_turns(
    runs: Mapping[str, Callable[[], Any]],
    seconds: float,
    stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each call: rounds of one call each until the time is used up.

    Whoever was first comes last in the next round.  ``stop`` is asked between calls; a
    subject that had no call by then has an empty list.
    """
    samples: dict[str, list[float]] = {name: [] for name in runs}
    order = list(runs)
    end = clock() + seconds
    for done in range(MAX_ROUNDS):
        if done >= MIN_ROUNDS and clock() >= end:
            break
        for name in order:
            if stop():
                return samples
            start = clock()
            result = runs[name]()
            samples[name].append(clock() - start)
            del result  # freeing it is not part of the next subject's time
        order = order[1:] + order[:1]
    return samples


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and its seconds."""
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start


def summary(samples: list[float], calls: int = 1) -> Timing:
    """Median and quartiles of samples that hold ``calls`` calls each."""
    each = [sample / calls for sample in samples]
    lower, median, upper = (
        statistics.quantiles(each, n=4, method="inclusive") if len(each) > 1 else each * 3
    )
    return Timing(median, lower, upper, min(each), len(each))
