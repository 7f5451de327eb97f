"""How long one step of a compiled cell takes when it runs alone, without gradients."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeAlias

import torch

import rnndsl

if TYPE_CHECKING:
    from rnndsl.cell import Cell

STEPS = 512  # of the sequence that is timed, so that calling it counts for little
ROUNDS = 20  # of both cells in turn

Sized: TypeAlias = "tuple[str | Cell, int]"  # a cell and its width


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
