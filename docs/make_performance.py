"""Writes docs/performance.md from the results in docs/performance/: python docs/make_performance.py

    python docs/make_performance.py --measure [CELL ...]

first measures these cells (all of them, if none is named) with the commands below, which takes
a few minutes for each, on a machine that should do nothing else.  tests/bench/test_page.py
fails when the page is not what this script would write.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rnndsl.bench.machine import Rates
from rnndsl.bench.table import seconds_text

DOCS = Path(__file__).parent
RESULTS, PAGE = DOCS / "performance", DOCS / "performance.md"

CELLS = ("lstm", "gru", "layernorm_lstm", "rhn", "nascell", "sru")
SHAPES = ("35,20,200,200", "100,1,128,128")
OPTIONS = ("--infer", "--train", "--peers", "torch,tvm,eager,nn")
THREADS, SECONDS = "1", "8"

HEAD = """\
# Performance

This page is written by `docs/make_performance.py` from results of `rnndsl bench`, good and bad
alike.  {machine}

Each table belongs to one shape and one way of running.  `torch` and `tvm` are ours, with the
backend of that name; `eager` is the cell as a loop of PyTorch operations over unbound inputs,
its gates joined, with gradients by autograd; `nn` is nn.LSTM or nn.GRU.  All have the same
weights, and before anything is timed their outputs, final states and gradients are compared
with the cell's operations in float64.  Then they take turns, in one process.

Times are medians in float32.  Training is a forward pass and the gradients of the input and of
all parameters.  A ratio is the peer's time by ours: **above 1, ours is faster.**  GFLOP/s count
the operations of the cell's graph (and of its derivative's), the same for everyone.  The share
of the roofline is that of the better one of ours: the least time at which this machine could do
these operations, and move inputs, parameters and results once, by the time taken; its rates are
the best of all runs.  The spread
is half the distance between the quartiles, by the median, of the least steady column.
"""

MEMORY = """\
## Compile time and memory of training

Compile time is what the first call takes beyond a later one, without imports.  What inference
compiled before in the same process is not compiled again.

Memory is the {measured}.
"""

RUNS = """\
## The runs

`load` is how many processes wanted to run in the last minute, before and after; the benchmark
itself counts as {threads}.  More than that means that others took their share of the machine:
then single times are too long, and ratios are what is left to read.
"""


def command(cell: str) -> list[str]:
    """What measures one cell."""
    sizes = ["--shape", *SHAPES]
    return ["bench", cell, *sizes, *OPTIONS, "--threads", THREADS, "--seconds", SECONDS]


def measure(cells: Sequence[str]) -> None:
    """Run the commands, each in a process of its own."""
    RESULTS.mkdir(exist_ok=True)
    for cell in cells:
        words = [*command(cell), "--json", str(RESULTS / f"{cell}.json")]
        subprocess.run([sys.executable, "-m", "rnndsl", *words], check=True, cwd=DOCS.parent)


def results() -> dict[str, Any]:
    """The reports by cell, in order; cells that have not been measured are left out."""
    paths = {cell: RESULTS / f"{cell}.json" for cell in CELLS}
    return {
        cell: json.loads(path.read_text(encoding="utf-8"))
        for cell, path in paths.items()
        if path.exists()
    }


def page() -> str:
    """The text of docs/performance.md."""
    found = results()
    first = next(iter(found.values()))
    parts = [HEAD.format(machine=_machine(first))]
    for shape in SHAPES:
        for mode in ("infer", "train"):
            parts.append("\n".join(_times(found, shape, mode)))
    parts.append(MEMORY.format(measured=first["memory"]) + "\n" + "\n".join(_costs(found)))
    parts.append(RUNS.format(threads=THREADS) + "\n" + "\n".join(_runs(found)))
    return "\n".join(parts)


def _machine(report: Any) -> str:
    machine = report["machine"]
    versions = ", ".join(f"{name} {text}" for name, text in machine["versions"].items())
    return (
        f"The machine: {machine['cpu']}, {machine['cores']} cores,\n"
        f"{machine['system']}; {versions}.\nThreads: {machine['threads']}."
    )


def _cases(found: dict[str, Any], shape: str, mode: str) -> Iterator[tuple[str, Any, Any]]:
    for cell, report in found.items():
        for case in report["cases"]:
            if case["mode"] == mode and ",".join(map(str, case["shape"].values())) == shape:
                yield cell, case, {entry["name"]: entry for entry in case["entries"]}


def _times(found: dict[str, Any], shape: str, mode: str) -> Iterator[str]:
    steps, batch, inputs, hidden = shape.split(",")
    name = {"infer": "Inference", "train": "Training step"}[mode]
    yield f"## {name}, T = {steps}, B = {batch}, D = {inputs}, H = {hidden}\n"
    yield (
        "| cell | torch | tvm | eager | nn | eager / torch | eager / tvm | nn / torch | nn / tvm"
        " | GFLOP/s torch, tvm | of roofline | spread |"
    )
    yield "|---" * 12 + "|"
    rates = Rates(0.0, 0.0)  # the best of all runs: other work only ever lowers a rate
    for report in found.values():
        rates = rates.best(Rates(**report["rates"]))
    for cell, case, entries in _cases(found, shape, mode):
        times = [_time(entries, who) for who in ("torch", "tvm", "eager", "nn")]
        ratios = [
            _ratio(entries, peer, ours) for peer in ("eager", "nn") for ours in ("torch", "tvm")
        ]
        ours = [entry for entry in entries.values() if entry["ours"]]
        speeds = ", ".join(f"{entry['flops_per_second'] / 1e9:.1f}" for entry in ours)
        least = rates.least_seconds(case["flops"], case["bytes"])
        share = f"{least / min(entry['time']['median'] for entry in ours):.0%}"
        spread = f"{max(map(_spread, entries.values())):.0%}"
        yield "| " + " | ".join([cell, *times, *ratios, speeds, share, spread]) + " |"
    yield ""


def _costs(found: dict[str, Any]) -> Iterator[str]:
    yield (
        "| cell | shape | compile torch | compile tvm | memory torch | memory tvm | memory eager"
        " | memory nn |"
    )
    yield "|---" * 8 + "|"
    for shape in SHAPES:
        for cell, _, entries in _cases(found, shape, "train"):
            compiled = [
                seconds_text(entries[who]["compile_seconds"]) if who in entries else ""
                for who in ("torch", "tvm")
            ]
            memory = [_memory(entries, who) for who in ("torch", "tvm", "eager", "nn")]
            yield "| " + " | ".join([cell, shape, *compiled, *memory]) + " |"
    yield ""


def _runs(found: dict[str, Any]) -> Iterator[str]:
    yield "| command | began | load | matrix product | memory |"
    yield "|---" * 5 + "|"
    for report in found.values():
        load = " to ".join(f"{value:g}" for value in report["load"].values())
        rates = report["rates"]
        matrix, memory = rates["flops"] / 1e9, rates["bytes"] / 1e9
        yield (
            f"| `{report['command']}` | {report['started']} | {load} | {matrix:.0f} GFLOP/s"
            f" | {memory:.0f} GB/s |"
        )
    yield ""


def _time(entries: dict[str, Any], who: str) -> str:
    return seconds_text(entries[who]["time"]["median"]) if who in entries else ""


def _ratio(entries: dict[str, Any], peer: str, ours: str) -> str:
    found = entries[peer]["ratios"].get(ours) if peer in entries else None
    return "" if found is None else f"{found:.2f}"


def _spread(entry: dict[str, Any]) -> float:
    time = entry["time"]
    return float((time["upper"] - time["lower"]) / 2 / time["median"])


def _memory(entries: dict[str, Any], who: str) -> str:
    if who not in entries or entries[who]["peak_bytes"] is None:
        return ""
    return f"{entries[who]['peak_bytes'] / 2**20:.1f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--measure", nargs="*", metavar="CELL", choices=CELLS)
    wanted = parser.parse_args().measure
    if wanted is not None:
        measure(wanted or CELLS)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
