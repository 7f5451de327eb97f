"""Timing several subjects in turns, so that a slow moment of the machine hits them all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rnndsl.bench.waiting import seconds_waited

MIN_ROUNDS, MAX_ROUNDS = 5, 2000
# A turn shorter than this is several calls, after one that is not counted: otherwise the caches
# hold what the others used, and threads that the others left spinning take part of the machine.
TURN_SECONDS = 0.005
# A turn whose threads waited for a processor for more than this share of it was disturbed.
DISTURBED = 0.02
# With too few undisturbed turns, timing goes on for up to this many times the seconds.
PATIENCE = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds of a call, the average of one turn, and the share of the turn for which the
    process's threads waited for a processor."""

    seconds: float
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of a call: median and quartiles over ``rounds`` turns, and the fastest.

    ``disturbed`` more turns were left out, since other processes took the processors then;
    ``waited`` is the median share of waiting of those that count.
    """

    median: float
    lower: float
    upper: float
    fastest: float
    rounds: int
    disturbed: int = 0
    waited: float = 0.0


def take_turns(
    runs: Mapping[str, Callable[[], Any]],
    seconds: float,
    stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.perf_counter,
    calls: Mapping[str, int] | None = None,
) -> dict[str, list[Sample]]:
    """The samples of each: rounds of one turn each until the time is used up and everyone had
    enough undisturbed turns, or the patience is at an end.

    A turn is ``calls`` calls (1 if not given), after another one if there are several.  Whoever
    was first comes last in the next round.  ``stop`` is asked between turns; a subject that had
    no turn by then has an empty list.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in runs}
    order, start = list(runs), clock()
    for done in range(MAX_ROUNDS):
        used = clock() - start
        if done >= MIN_ROUNDS and used >= seconds:
            calm = min(sum(map(_is_calm, found)) for found in samples.values())
            if calm >= MIN_ROUNDS or used >= PATIENCE * seconds:
                break
        for name in order:
            if stop():
                return samples
            samples[name].append(_turn(runs[name], (calls or {}).get(name, 1), clock))
        order = order[1:] + order[:1]
    return samples


def _turn(run: Callable[[], Any], calls: int, clock: Callable[[], float]) -> Sample:
    if calls > 1:
        run()
    before, start = seconds_waited(), clock()
    for _ in range(calls):
        result = run()
    taken = clock() - start
    waited = seconds_waited() - before
    del result  # freeing it is not part of the next subject's time
    return Sample(taken / calls, waited / taken if taken > 0 else 0.0)


def _is_calm(sample: Sample) -> bool:
    return sample.waited <= DISTURBED


def calls_per_turn(run: Callable[[], Any]) -> int:
    """How many calls fill a turn, by the faster of two."""
    taken = min(timed(run)[1] for _ in range(2))
    return max(1, min(100, int(TURN_SECONDS / max(taken, 1e-9))))


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and its seconds."""
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start


def summary(samples: list[Sample], parts: int = 1) -> Timing:
    """Median and quartiles of calls that do ``parts`` steps each, as seconds of a step.

    Disturbed samples are left out, as long as there are as many as are needed without them;
    else the calmest of all are taken.
    """
    calmest = sorted(samples, key=lambda sample: sample.waited)
    count = max(sum(map(_is_calm, samples)), min(MIN_ROUNDS, len(samples)))
    kept = calmest[:count]
    each = [sample.seconds / parts for sample in kept]
    lower, median, upper = (
        statistics.quantiles(each, n=4, method="inclusive") if len(each) > 1 else each * 3
    )
    waited = statistics.median(sample.waited for sample in kept)
    return Timing(median, lower, upper, min(each), len(each), len(samples) - count, waited)
