"""Measures which part of a short call is spent in its kernels: python docs/measure_calls.py

writes calls.json (see records.py): medians over calls of ours, and of the nn module, on two threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from records import write_here
from torch import Tensor, nn

import rnndsl
from rnndsl.backends.tvm.worker import Worker

STEPS, SIZES, ROUNDS, CALLS = 100, (64, 128), 40, 20
MODULES = {"lstm": nn.LSTM, "gru": nn.GRU}


class Kernels:
    """Seconds that kernels took since :meth:`take` was last called."""

    def __init__(self) -> None:
        self.seconds = 0.0
        run = Worker.run

        def timed(worker: Worker, table: Any, parts: int, seconds: float = 0.0) -> None:
            begun = time.perf_counter()
            run(worker, table, parts, seconds)
            self.seconds += time.perf_counter() - begun

        Worker.run = timed  # type: ignore[method-assign, assignment]

    def take(self) -> float:
        found, self.seconds = self.seconds, 0.0
        return found


def caller(module: nn.Module, x: Tensor, train: bool) -> Callable[[], None]:
    """A call of a module, with gradients of all parameters and of ``x`` if it is to ``train``."""
    wanted = [x, *module.parameters()]
    ones = torch.ones(STEPS, 1, x.shape[-1])

    def call() -> None:
        if train:
            torch.autograd.grad(module(x)[0], wanted, ones)
        else:
            with torch.no_grad():
                module(x)

    return call


def measure(cell: str, size: int, train: bool, kernels: Kernels) -> dict[str, Any]:
    """Seconds of a call of each, by turns, and of the kernels in one of ours."""
    x = torch.randn(STEPS, 1, size, requires_grad=True)
    ours = caller(rnndsl.layer(cell, size, size), x, train)
    theirs = caller(MODULES[cell](size, size), x, train)
    times: dict[str, list[float]] = {"ours": [], "kernels": [], "nn": []}
    for _ in range(3):
        ours()
        theirs()
    for _ in range(ROUNDS):
        for name, call in (("ours", ours), ("nn", theirs)):
            call()
            kernels.take()
            begun = time.perf_counter()
            for _ in range(CALLS):
                call()
            times[name].append((time.perf_counter() - begun) / CALLS)
            if name == "ours":
                times["kernels"].append(kernels.take() / CALLS)
    found = {name: median(seconds) for name, seconds in times.items()}
    return {"cell": cell, "size": size, "mode": "train" if train else "infer", **found}


def main() -> None:
    torch.set_num_threads(2)
    kernels = Kernels()
    found = [
        measure(cell, size, train, kernels)
        for size in SIZES
        for cell in MODULES
        for train in (False, True)
    ]
    write_here("calls", found)
    for row in found:
        print(row)


if __name__ == "__main__":
    main()
