"""Measures the memory of a training step against the length of the sequence.

    python docs/measure_lengths.py [curves] [longest] [tokens]

writes lengths.json (see records.py).  Every figure comes from a process of its own: the growth of
its resident memory from before the data is made to the peak of one training step, after a step on
a short sequence has compiled what there is to compile.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from again import output_of, run_again
from records import read_here, write_here

BATCH, CURVE_SIZE, LONG_SIZE = 16, 256, 512
STEPS = (250, 500, 1000, 2000, 4000)
LONG_STEPS = (1000, 3000)
LONG_BUDGET = 64 * 2**20
TOKEN_BUDGET = 128 * 2**20
CLOSE = 0.02  # of LIMIT
LEAST = 5 * 2**20  # bytes; below there is no plan
LIMIT = 4 * 10**9
WARM = 64
AGAIN = 4  # steps after the first, of those that are short
KINDS = ("nn", "ours", "ours, budget")
# A model of tokens: embedding, LSTM, logits, cross entropy.  Ours is not tried to the end of the
# memory, which would take hours, but at a length of more than ten times that of nn.LSTM.
VOCABULARY = 256
TOKEN_STEPS = 65536
TENTH = 0.10  # of what a step without a budget holds


def in_this_process(kind: str, steps: int, size: int, budget: int) -> dict[str, Any]:
    """Bytes of one training step, and the least seconds of a few."""
    import time

    import torch
    from torch.nn import functional

    import rnndsl
    from rnndsl.bench.memory import peak_growth, peak_of_process
    from rnndsl.training import blockwise_loss

    who, tokens = kind.split(",")[0], kind.endswith("tokens")
    layer: Any
    if who == "nn":
        layer = torch.nn.LSTM(size, size)
    else:
        layer = rnndsl.layer("lstm", size, size, memory_budget=None if tokens else budget or None)
    embedding, head = torch.nn.Embedding(VOCABULARY, size), torch.nn.Linear(size, VOCABULARY)
    seconds = []

    def loss(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if not tokens:
            return functional.mse_loss(layer(x)[0], target)
        if who == "ours":
            given = embedding, layer, head, x, target
            return blockwise_loss(*given, memory_budget=budget)[0]
        logits = head(layer(embedding(x))[0])
        return functional.cross_entropy(logits.flatten(0, 1), target.flatten())

    def step(length: int) -> None:
        if tokens:
            x, target = torch.randint(VOCABULARY, (2, length, BATCH))
        else:
            x, target = torch.randn(2, length, BATCH, size)
        start = time.perf_counter()
        loss(x, target).backward()  # type: ignore[no-untyped-call]
        seconds.append(time.perf_counter() - start)
        for p in (*layer.parameters(), *embedding.parameters(), *head.parameters()):
            p.grad = None

    step(WARM)
    growth, peak = peak_growth(lambda: step(steps)), peak_of_process()
    for _ in range(AGAIN if steps <= STEPS[-1] else 0):
        step(steps)
    return {
        "kind": kind,
        "T": steps,
        "H": size,
        "budget": budget,
        "bytes": growth,
        "peak": peak,
        "seconds": min(seconds[2:] or seconds[1:]),
    }


def elsewhere(kind: str, steps: int, size: int, budget: int = 0) -> dict[str, Any]:
    """The same, in a process of its own."""
    done = run_again(__file__, "--one", kind, steps, size, budget)
    found: dict[str, Any] = json.loads(output_of(done))
    print(found, flush=True)
    return found


def curves() -> list[dict[str, Any]]:
    """Each kind at each length; the budget is a tenth of what the step without one holds."""
    found = []
    for steps in STEPS:
        plain = [elsewhere(kind, steps, CURVE_SIZE) for kind in ("nn", "ours")]
        streams = 4 * steps * BATCH * CURVE_SIZE * 4  # x, the target, y and its gradient
        budget = max(int(TENTH * (plain[1]["bytes"] - streams)), LEAST)
        found += [*plain, elsewhere("ours, budget", steps, CURVE_SIZE, budget)]
    return found


def longest(kind: str) -> dict[str, Any]:
    """The longest sequence whose training step fits into LIMIT bytes, the process included:
    from the growth by T between two lengths, tried, and corrected by that."""
    budget = LONG_BUDGET if kind == "ours, budget" else 0
    elsewhere(kind, LONG_STEPS[0], LONG_SIZE, budget)  # compiles
    short, long = (elsewhere(kind, steps, LONG_SIZE, budget) for steps in LONG_STEPS)
    fitting = short
    for _ in range(3):
        each = (long["peak"] - short["peak"]) / (long["T"] - short["T"])
        steps = short["T"] + int((LIMIT - short["peak"]) / each)
        long = elsewhere(kind, steps, LONG_SIZE, budget)
        if fitting["T"] < long["T"] and long["peak"] <= LIMIT:
            fitting = {**long, "bytes_per_step": each}
            if long["peak"] > (1 - CLOSE) * LIMIT:
                break
    return fitting


def tokens() -> list[dict[str, Any]]:
    """The longest for nn.LSTM, and a length that ours takes."""
    ours = elsewhere("ours, tokens", TOKEN_STEPS, LONG_SIZE, TOKEN_BUDGET)
    return [longest("nn, tokens"), ours]


def main() -> None:
    found = read_here("lengths") or {}
    found |= {"batch": BATCH, "limit": LIMIT, "again": AGAIN}
    parts = {"curves": curves, "longest": lambda: list(map(longest, KINDS)), "tokens": tokens}
    for part in sys.argv[1:] or parts:
        found[part] = parts[part]()
    write_here("lengths", found)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        which, t, h, most = sys.argv[2:]
        print(json.dumps(in_this_process(which, int(t), int(h), int(most))))
    else:
        main()
