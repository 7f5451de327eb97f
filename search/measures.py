"""The objectives besides the loss: how large a cell is, and how fast it trains and runs.

Lower is better for all of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rnndsl.diagnostics import RnndslError, did_you_mean
from rnndsl.search.errors import UnknownObjective

if TYPE_CHECKING:
    from rnndsl.cell import Cell

# Objectives and their units; the loss is in the unit of the task.
MEASURES: Mapping[str, str] = {
    "loss": "",
    "latency": "x latency",
    "parameters": "parameters",
    "throughput": "µs/token",
}

STEPS = 64  # of the sequence that is timed
ROUNDS = 30  # of both cells in turn


@dataclass(frozen=True, slots=True)
class Measured:
    """What a training run shows of a cell."""

    loss: float
    parameters: int
    seconds_per_token: float


def objective_names(text: str) -> tuple[str, ...]:
    """``loss,latency`` as names; RnndslError (E0616) for one that there is not."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names or ("",):
        if name not in MEASURES:
            near = did_you_mean(name, tuple(MEASURES))
            raise RnndslError(UnknownObjective(None, name, ", ".join(MEASURES), near))
    return names


Sized = tuple["str | Cell", int]  # a cell and its width


def measure(
    name: str,
    cell: Sized,
    baseline: Sized,
    input_size: int,
    found: Measured,
    facts: dict[str, Any],
) -> float:
    """The objective ``name`` of a cell that was trained; more about it goes into ``facts``."""
    if name == "loss":
        return found.loss
    if name == "parameters":
        return float(found.parameters)
    if name == "throughput":
        return found.seconds_per_token * 1e6
    own, other = step_latencies(cell, baseline, input_size)
    facts["latency_us"] = round(own * 1e6, 3)
    facts["baseline_latency_us"] = round(other * 1e6, 3)
    return own / other


def step_latencies(cell: Sized, baseline: Sized, input_size: int) -> tuple[float, float]:
    """Seconds per step of two cells at batch 1, compiled for running without gradients.

    Both are run in turns, so that a slow moment of the machine hits both; medians.  Compiled
    by TVM where it is installed.
    """
    runs = [_sequence(cell, input_size), _sequence(baseline, input_size)]
    taken: list[list[float]] = [[], []]
    for round_ in range(ROUNDS):
        for index in (0, 1) if round_ % 2 else (1, 0):
            started = time.perf_counter()
            runs[index]()
            taken[index].append(time.perf_counter() - started)
    own, other = (statistics.median(times) / STEPS for times in taken)
    return own, other


def _sequence(cell: Sized, input_size: int) -> Callable[[], object]:
    """A call that runs a cell over one sequence; it has run once, so it is compiled."""
    import torch

    import rnndsl

    layer = rnndsl.layer(
        cell[0],
        input_size=input_size,
        hidden_size=cell[1],
        backend="tvm" if find_spec("tvm") is not None else "torch",
    )
    x = torch.randn(STEPS, 1, input_size, generator=torch.Generator().manual_seed(0))

    def run() -> object:
        with torch.no_grad():
            return layer(x)

    run()
    return run
