"""Measures how long cells take to compile, cold and from the cache on disk.

    python docs/measure_compile.py [CELL ...]

writes compile_times.json (see records.py).  Every time comes from a process of its own: that
from the making of the layer to the end of its first training step, less that of a later step and
that of drawing the parameters.  The system gives the later step its memory anew, as it did the
first: that takes up to 30 ms, and is no compiling.  Imports are not counted; a process that finds
its kernels on disk need not import what makes them.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from importlib import import_module
from statistics import median
from typing import Any

from again import output_of, run_again
from records import read_here, write_here

SIZES = {"D": 200, "H": 200}
SHAPES = ((35, 20), (100, 20))  # T and B: the time must not depend on them
ROUNDS = 3
MAKING = "rnndsl.backends.tvm.lower_kernel"  # imported only where something is compiled


def import_compiler() -> None:
    """Import what only those processes import that compile."""
    from rnndsl.compiler.pipeline import PASSES

    tvm = "rnndsl.backends.tvm"
    passes = (entry.home.partition(":")[0] for entry in PASSES.values())
    for name in (MAKING, f"{tvm}.modules", f"{tvm}.pipeline", *passes):
        import_module(name)


def in_this_process(cell: str, steps: int, batch: int, imported: bool) -> dict[str, Any]:
    """Seconds of the first training step and of a later one."""
    import torch

    import rnndsl
    from rnndsl.backends.torch.scratch import free_scratch
    from rnndsl.bench.memory import return_free_memory

    rnndsl.layer("elman", 2, 2, backend="torch")  # whatever is imported for any layer
    import_module("rnndsl.backends.tvm.runtime")
    if imported:
        import_compiler()
    x = torch.randn(steps, batch, SIZES["D"], requires_grad=True)
    gc.collect()  # what Python's collector still has to do for the imports is not compiling either

    def train(layer: Any) -> None:
        y, _ = layer(x)
        y.sum().backward()

    def forget(layer: Any) -> None:
        layer.zero_grad()
        free_scratch()
        return_free_memory()

    start = time.perf_counter()
    layer = rnndsl.layer(cell, SIZES["D"], SIZES["H"])
    train(layer)
    first = time.perf_counter() - start
    later = []
    for _ in range(3):
        forget(layer)
        start = time.perf_counter()
        train(layer)
        later.append(time.perf_counter() - start)
    start = time.perf_counter()
    layer.reset_parameters()
    drawing = time.perf_counter() - start
    seconds = first - min(later) - drawing
    return {"seconds": seconds, "compiler_imported": MAKING in sys.modules}


def elsewhere(cell: str, steps: int, batch: int, imported: bool, cache: str) -> dict[str, Any]:
    """The same, in a process of its own with this folder as its cache."""
    words = "--one", cell, steps, batch, int(imported)
    done = run_again(__file__, *words, RNNDSL_CACHE=cache, OMP_NUM_THREADS="1")
    found: dict[str, Any] = json.loads(output_of(done))
    return found


def measure(cell: str) -> dict[str, Any]:
    """Medians over rounds, and the rounds: single ones differ by a fifth."""
    rounds = [one_round(cell) for _ in range(ROUNDS)]
    medians = {
        key: median(found[key] for found in rounds) for key in ("cold", "cold_longer", "warm")
    }
    imports = any(found["imports"] for found in rounds)
    return {**medians, "memory": "new", "warm_imports_compiler": imports, "rounds": rounds}


def one_round(cell: str) -> dict[str, Any]:
    """Seconds cold at each shape, and from disk; whether from disk the compiler is imported."""
    with tempfile.TemporaryDirectory() as cache:
        cold = elsewhere(cell, *SHAPES[0], True, cache)["seconds"]
        warm = elsewhere(cell, *SHAPES[0], False, cache)
    with tempfile.TemporaryDirectory() as cache:
        longer = elsewhere(cell, *SHAPES[1], True, cache)["seconds"]
    return {
        "cold": cold,
        "cold_longer": longer,
        "warm": warm["seconds"],
        "imports": warm["compiler_imported"],
    }


def main() -> None:
    from rnndsl.cell import list_cells

    found = read_here("compile_times") or {}
    for cell in sys.argv[1:] or list_cells():
        found[cell] = measure(cell)
        print(cell, found[cell], flush=True)
        write_here("compile_times", found)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        name, t, b, known = sys.argv[2:]
        print(json.dumps(in_this_process(name, int(t), int(b), bool(int(known)))))
    else:
        main()
