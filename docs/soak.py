"""Trains for thousands of steps in two Python threads, and checks that nothing grows or drifts.

    python docs/soak.py [--steps 10000] [--cell lstm] [--backend auto]

Each thread trains a layer of its own on sequences whose T and B change at every step; the
layers share what is compiled.  One of the two has a memory budget.  Before and after, the same
problems are computed from the same seed: losses and gradients must be equal bit by bit.  The
memory of the process must not grow after the first fifth of the steps.  Exit code 1 if it does.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

import rnndsl

SIZE, HIDDEN, LAYERS = 12, 24, 2
LONGEST, WIDEST = 96, 17  # T and B are drawn from 1 to these
MIB = 1 << 20
ALLOWED = 8 * MIB  # of growth: the allocator's own play
ENOUGH = 2000  # steps: by then every shape has been seen about once
BUDGET = "700KiB"


def resident() -> int:
    """Bytes of this process that lie in memory."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        raise SystemExit("this needs /proc/self/statm, as Linux has it")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def make_layer(cell: str, backend: str, budget: str | None) -> Any:
    torch.manual_seed(0)
    return rnndsl.layer(cell, SIZE, HIDDEN, LAYERS, backend=backend, memory_budget=budget)


def loss_of(layer: Any, x: Tensor) -> Tensor:
    """How far the outputs are from the running mean of the inputs' first number."""
    wanted = x[:, :, :1].cumsum(0) / torch.arange(1, len(x) + 1)[:, None, None]
    y, _ = layer(x)
    loss: Tensor = (y - wanted).square().mean()
    return loss


def fingerprint(cell: str, backend: str) -> str:
    """Of the losses and gradients of problems that are always the same."""
    digest = hashlib.sha256()
    for budget in (None, BUDGET):
        layer = make_layer(cell, backend, budget)
        generator = torch.Generator().manual_seed(1)
        for steps, batch in ((1, 1), (7, 3), (40, 17), (96, 2)):
            x = torch.randn(steps, batch, SIZE, generator=generator)
            layer.zero_grad()
            loss = loss_of(layer, x)
            loss.backward()  # type: ignore[no-untyped-call]
            for tensor in (loss.detach(), *(p.grad for p in layer.parameters())):
                digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


class Worker(threading.Thread):
    """Trains one layer."""

    def __init__(self, seed: int, steps: int, layer: Any) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)
        self.steps, self.layer = steps, layer
        self.done, self.losses = 0, list[float]()
        self.failed: Exception | None = None

    def run(self) -> None:
        try:
            optimizer = torch.optim.Adam(self.layer.parameters(), lr=1e-3)
            for _ in range(self.steps):
                steps, batch = (
                    int(torch.randint(1, most + 1, (), generator=self.generator))
                    for most in (LONGEST, WIDEST)
                )
                x = torch.randn(steps, batch, SIZE, generator=self.generator)
                optimizer.zero_grad()
                loss = loss_of(self.layer, x)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                self.losses.append(loss.item())
                self.done += 1
        except Exception as error:  # noqa: BLE001  # the main thread raises it
            self.failed = error


def main() -> int:
    parser = argparse.ArgumentParser(description="Soak test: does anything grow or drift?")
    parser.add_argument("--steps", type=int, default=10_000, help="of both threads together")
    parser.add_argument("--cell", default="lstm", help="(default lstm)")
    parser.add_argument("--backend", default="auto", help="auto, torch or tvm (default auto)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    before = fingerprint(args.cell, args.backend)
    layers = [make_layer(args.cell, args.backend, budget) for budget in (None, BUDGET)]
    workers = [Worker(k, args.steps // 2, layer) for k, layer in enumerate(layers)]
    started, seen = time.monotonic(), list[tuple[int, int]]()
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        time.sleep(0.25)
        seen.append((sum(worker.done for worker in workers), resident()))
    for worker in workers:
        worker.join()
        if worker.failed is not None:
            raise worker.failed
    seconds = time.monotonic() - started
    gc.collect()
    after = fingerprint(args.cell, args.backend)
    return report(args, workers, seen, seconds, before == after)


def report(
    args: argparse.Namespace,
    workers: list[Worker],
    seen: list[tuple[int, int]],
    seconds: float,
    same: bool,
) -> int:
    """Print what was found; the exit code."""
    total = sum(worker.done for worker in workers)
    early = [size for done, size in seen if 0.2 * total <= done < 0.4 * total]
    late = [size for done, size in seen if done >= 0.8 * total]
    tells = total >= ENOUGH and early and late
    growth = median(late) - median(early) if tells else 0
    for worker in workers:
        tenth = max(worker.steps // 10, 1)
        first, last = median(worker.losses[:tenth]), median(worker.losses[-tenth:])
        print(f"loss {first:.4f} at first, {last:.4f} at last")
    print(f"{args.cell}, {args.backend}: {total} steps in two threads, {seconds:.0f} s")
    if tells:
        print(f"memory: {median(early) / MIB:.1f} MiB early, {growth / MIB:+.2f} MiB later")
    else:
        print(f"memory: {resident() / MIB:.1f} MiB; fewer than {ENOUGH} steps tell no more")
    print(f"losses and gradients of the same problems: {'equal' if same else 'DIFFERENT'}")
    return 0 if same and growth <= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
