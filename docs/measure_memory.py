"""Measures what docs/memory.md shows: bytes and time of one layer under several budgets.

Run from the repository: ``python docs/measure_memory.py [cell [backend]]``.
"""

from __future__ import annotations

import sys
import time
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import rnndsl
from rnndsl.backends.torch import LayerInputError

STEPS, BATCH, SIZE, REPEATS = 1000, 32, 128, 5
BUDGETS = (None, "1GiB", "48MiB", "24MiB", "12MiB", "6MiB", "3.3MiB", "3.15MiB")
MIB = 1 << 20


def saved_bytes(layer: Any, x: Tensor) -> int:
    """What autograd holds between the passes, without inputs, outputs and parameters."""
    found: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        y, _ = layer(x)
    for tensor in (x, y, *layer.parameters()):
        found.pop(tensor.untyped_storage().data_ptr(), None)
    return sum(found.values())


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


def main() -> None:
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
        held, peak = saved_bytes(layer, x) / MIB, allocator_peak(layer, x, cotangent) / MIB
        plan = describe(layer, x)
        print(f"| {name} | {plan} | {held:.1f} | {peak:.1f} | {ratio:.2f} |", flush=True)


def describe(layer: Any, x: Tensor) -> str:
    """The plan's kind, how many of its blocks run again, and the bytes that it predicts."""
    plan = layer.memory_plan(*x.shape[:2])
    return f"{plan.kind} | {plan.reruns} of {plan.blocks} | {plan.peak / MIB:.1f}"


if __name__ == "__main__":
    main()
