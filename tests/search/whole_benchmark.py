"""All released recipes against their definition: ``python -m tests.search.whole_benchmark``.

Too slow for the test suite.  Every recipe is imported, checked, lowered and run in the
interpreter; ``--compiled N`` also runs N of them through both backends.
"""

from __future__ import annotations

import argparse
import time

from rnndsl.cell import check
from rnndsl.search import import_recipe
from tests.search.recipe_meaning import released
from tests.search.test_recipes import compiled_difference, largest_difference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiled", type=int, default=100, metavar="N")
    count: int = parser.parse_args().compiled
    recipes = list(released())
    begun = time.perf_counter()
    worst, warned = 0.0, 0
    for number, recipe in recipes:
        cell = import_recipe(recipe)
        warned += bool(check(cell))
        worst = max(worst, largest_difference(cell, recipe, number))
    seconds = time.perf_counter() - begun
    print(f"{len(recipes)} recipes in {seconds:.0f} s: largest relative difference {worst:.1e}")
    print(f"{warned} with warnings")
    for backend in ("torch", "tvm"):
        sample = recipes[:: max(1, len(recipes) // count)][:count]
        begun = time.perf_counter()
        worst = max(compiled_difference(recipe, backend, number) for number, recipe in sample)
        seconds = time.perf_counter() - begun
        print(f"{backend}: {len(sample)} in {seconds:.0f} s: largest difference {worst:.1e}")


if __name__ == "__main__":
    main()
