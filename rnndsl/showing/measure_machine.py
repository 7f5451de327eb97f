"""``python -m rnndsl.showing.measure_machine``: rates of one core, as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from rnndsl.compiler.cost import Rates

# NumPy's loops go through the cache for every operation, kernels hold values in registers.  So
# this one is not measured here but found by comparing predictions with our kernels.
_PRODUCTS_TO_ELEMENTS = 8
_SECONDS = 0.15  # spent on each rate
_MATRIX = 320  # short enough to be done between two interruptions by other work


def measure() -> Rates:
    """The best that is reached in a moment: other work on the machine only lowers a rate."""
    rng = np.random.default_rng(0)

    def matrix(rows: int, columns: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        return rng.random((rows, columns), np.float32)

    square, result = matrix(_MATRIX, _MATRIX), matrix(_MATRIX, _MATRIX)
    products = 2 * _MATRIX**3 / _fastest(lambda: np.matmul(square, square, out=result))

    def reading(rows: int, columns: int) -> float:
        weights, vector = matrix(rows, columns), matrix(columns, 1)
        out = np.empty((rows, 1), np.float32)
        return weights.nbytes / _fastest(lambda: np.matmul(weights, vector, out=out))

    large, copy = np.ones(2**23, np.float32), np.ones(2**23, np.float32)
    memory = 2 * large.nbytes / _fastest(lambda: np.copyto(copy, large))
    elements = products / _PRODUCTS_TO_ELEMENTS
    return Rates(products, elements, reading(256, 256), reading(1024, 1024), memory)


def _fastest(run: Callable[[], object]) -> float:
    best, end = float("inf"), time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


if __name__ == "__main__":
    print(json.dumps(asdict(measure())))
