"""Measures what docs/memory.md shows: bytes and time of one layer under several budgets.

Run from the repository: ``python docs/measure_memory.py [cell [backend]]``, or with ``peaks`` for
memory.json (see records.py): planned peaks beside measured ones.
"""

from __future__ import annotations

import sys
import time
import weakref
from statistics import median
from typing import Any, Self

import torch
from records import write_here
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import rnndsl
from rnndsl.backends.torch import LayerInputError
from rnndsl.backends.torch.blocks import BlockRun
from rnndsl.bench.memory import held_bytes

STEPS, BATCH, SIZE, REPEATS = 1000, 32, 128, 5
BUDGETS = (None, "1GiB", "48MiB", "24MiB", "12MiB", "6MiB", "3.3MiB", "3.15MiB")
MIB = 1 << 20
PEAK_CELLS = ("lstm", "gru", "rhn", "mlstm")
SHARES = (0.5, 0.25, 0.1, 0.05)  # of what is saved without a budget


def train_step(layer: Any, x: Tensor, cotangent: Tensor) -> None:
    y, _ = layer(x)
    torch.autograd.backward([y], [cotangent])
    x.grad = None
    layer.zero_grad()


def allocator_peak(layer: Any, x: Tensor, cotangent: Tensor) -> int:
    """The most bytes that torch's allocator had given out during a step, beyond the start."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        train_step(layer, x, cotangent)
    assert profiler.profiler is not None
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


class Meter:
    """Counts the bytes of saved values and of states that are alive after each run of a block."""

    def __init__(self) -> None:
        self.alive = self.peak = 0
        self.run_block: Any = BlockRun._run_block

    def __enter__(self) -> Self:
        def watched(run: BlockRun, block: int, states: Any) -> Any:
            visible, finals, saved = self.run_block(run, block, states)
            for tensor in (*run._unheld(finals), *saved):
                size = tensor.untyped_storage().nbytes()
                self.alive += size
                weakref.finalize(tensor, self.drop, size)
            self.peak = max(self.peak, self.alive)
            return visible, finals, saved

        BlockRun._run_block = watched  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *error: object) -> None:
        BlockRun._run_block = self.run_block  # type: ignore[method-assign]

    def drop(self, size: int) -> None:
        self.alive -= size


def measured_peak(layer: Any, x: Tensor) -> int:
    """The most bytes of what plans count that were alive at one time of a step.

    In the forward pass the block that runs is not counted: what it saves is not held yet.
    """
    with Meter() as meter:
        y, _ = layer(x)
        meter.peak = meter.alive
        y.sum().backward()
    layer.zero_grad()
    return meter.peak


def peaks() -> None:
    """Planned and measured peaks of several cells and budgets, on record."""
    found = []
    x = torch.randn(STEPS, BATCH, 64)
    for cell in PEAK_CELLS:
        whole = rnndsl.layer(cell, 64, 64).memory_plan(STEPS, BATCH).peak
        for share in SHARES:
            layer = rnndsl.layer(cell, 64, 64, memory_budget=int(share * whole))
            try:
                planned = layer.memory_plan(STEPS, BATCH)
            except LayerInputError as error:  # less than one of its blocks takes
                print(cell, share, str(error).splitlines()[1], flush=True)
                continue
            row = {"cell": cell, "T": STEPS, "B": BATCH, "H": 64, "budget": int(share * whole)}
            row |= {"planned": planned.peak, "measured": measured_peak(layer, x)}
            found.append({**row, "kind": planned.kind})
            print(found[-1], flush=True)
    write_here("memory", found)


def main() -> None:
    if sys.argv[1:] == ["peaks"]:
        peaks()
        return
    cell, backend = (*sys.argv[1:], *("lstm", "torch")[len(sys.argv) - 1 :])[:2]
    torch.set_num_threads(1)
    x = torch.randn(STEPS, BATCH, SIZE, requires_grad=True)
    cotangent = torch.randn(STEPS, BATCH, SIZE)
    layers: dict[str, Any] = {}
    for budget in BUDGETS:
        layer = rnndsl.layer(cell, SIZE, SIZE, backend=backend, memory_budget=budget)
        try:
            train_step(layer, x, cotangent)  # compiles
        except LayerInputError as error:
            print(budget, str(error).splitlines()[1])
            continue
        layers[str(budget)] = layer
    seconds: dict[str, list[float]] = {name: [] for name in layers}
    for _ in range(REPEATS):  # in turns, so that a busy moment hits all alike
        for name, layer in layers.items():
            start = time.perf_counter()
            train_step(layer, x, cotangent)
            seconds[name].append(time.perf_counter() - start)
    first = median(seconds["None"])
    print(f"{cell}, {backend}, T={STEPS}, B={BATCH}, H={SIZE}, float32, one thread")
    for name, layer in layers.items():
        ratio = median(seconds[name]) / first
        held, peak = held_bytes(layer, x) / MIB, allocator_peak(layer, x, cotangent) / MIB
        plan = describe(layer, x)
        print(f"| {name} | {plan} | {held:.1f} | {peak:.1f} | {ratio:.2f} |", flush=True)


def describe(layer: Any, x: Tensor) -> str:
    """The plan's kind, how many of its blocks run again, and the bytes that it predicts."""
    plan = layer.memory_plan(*x.shape[:2])
    return f"{plan.kind} | {plan.reruns} of {plan.blocks} | {plan.peak / MIB:.1f}"


if __name__ == "__main__":
    main()
