"""Which recipes are the same, found without our graphs: by isomorphism, and by what they compute.

Run as a program it compares both with the canonical form on all released recipes:
``python -m tests.search.recipe_classes``.
"""

from __future__ import annotations

import re
import time
import warnings
from collections import Counter, defaultdict
from typing import Any

import networkx as nx
import numpy as np

from rnndsl.compiler.canonical import canonical_hash, match_cells
from rnndsl.compiler.lower import Lowered, lower
from rnndsl.search import import_recipe
from rnndsl.search.recipes import recipe_parameters
from tests.search.recipe_meaning import Recipe, Weights, draw_weights, released, run_recipe

D, H = 3, 4


def isomorphism_key(recipe: Recipe) -> str:
    """Equal for recipes that are isomorphic, as the benchmark counts: names of inner nodes do
    not matter, nor the order of operands but for those of a blend."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, node in recipe.items():
        state = name if re.fullmatch(r"h_new_\d", name) else ""
        graph.add_node(name, label=f"{node['op']} {state}")
        for place, read in enumerate(node["input"]):
            if read not in recipe:
                graph.add_node(read, label=read)
            tag = str(place) if node["op"] == "blend" else ""
            before = graph.get_edge_data(read, name, {"tag": ""})["tag"]
            graph.add_edge(read, name, tag=f"{before}|{tag}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: str = nx.weisfeiler_lehman_graph_hash(
            graph, edge_attr="tag", node_attr="label", iterations=16
        )
    return found


def tied_outputs(recipe: Recipe, steps: int = 3) -> np.ndarray:
    """Outputs when all weights of one shape are the same: names of parameters cannot matter.

    Recipes that are equal up to their names give the same; others nearly always do not.
    """
    generator = np.random.default_rng(0)
    of_input, of_hidden = (generator.standard_normal((H, n)) / 2 for n in (D, H))
    bias = generator.standard_normal(H) / 2
    weights: Weights = {}
    for name, node in recipe.items():
        if node["op"] == "linear":
            for place, read in enumerate(node["input"]):
                weights[name, place] = of_input if read == "x" else of_hidden
            weights[name, None] = bias
    outputs: np.ndarray
    with np.errstate(all="ignore"):
        outputs, _ = run_recipe(recipe, weights, generator.standard_normal((steps, 2, D)), H)
    return outputs


def close(left: np.ndarray, right: np.ndarray) -> bool:
    """Equal but for rounding, where one summed in another order than the other."""
    scale = max(1e-30, float(np.abs(left).max()))
    return bool((np.abs(left - right) <= 1e-9 * scale).all())


def same_when_matched(left: Recipe, right: Recipe, seed: int) -> bool:
    """Whether both compute the same with weights that the match carries from one to the other."""
    first, second = lower(import_recipe(left)), lower(import_recipe(right))
    matched = match_cells(first, second)
    if matched is None:
        return False
    weights, others = draw_weights(left, D, H, seed), draw_weights(right, D, H, seed + 1)
    mine, theirs = recipe_parameters(left), recipe_parameters(right)
    for name, origin in mine.items():
        if name in matched:
            others[theirs[matched[name]]] = weights[origin]
    xs = np.random.default_rng(seed).standard_normal((3, 2, D))
    with np.errstate(all="ignore"):
        return close(run_recipe(left, weights, xs, H)[0], run_recipe(right, others, xs, H)[0])


def main() -> None:
    recipes = dict(released())
    lowered: dict[int, Lowered] = {n: lower(import_recipe(r)) for n, r in recipes.items()}
    begun = time.perf_counter()
    hashes = {number: canonical_hash(cell) for number, cell in lowered.items()}
    print(f"{len(hashes)} hashes in {time.perf_counter() - begun:.0f} s")
    keys = {number: isomorphism_key(recipe) for number, recipe in recipes.items()}
    _say("isomorphic recipes", keys)
    _say("canonical forms", hashes)
    ours: dict[str, list[int]] = defaultdict(list)
    theirs: dict[str, set[str]] = defaultdict(set)
    for number, key in hashes.items():
        ours[key].append(number)
        theirs[keys[number]].add(key)
    split = sum(len(found) > 1 for found in theirs.values())
    print(f"classes of isomorphic recipes that we tell apart: {split}")
    tied = {number: tied_outputs(recipe) for number, recipe in recipes.items()}
    wrong = [n for group in ours.values() for n in group if not close(tied[group[0]], tied[n])]
    print(f"repeats whose function differs, weights tied: {len(wrong)} {wrong[:5]}")
    pairs = [(group[0], n) for group in ours.values() for n in group[1:]]
    failed = [p for p in pairs if not same_when_matched(recipes[p[0]], recipes[p[1]], p[1])]
    print(f"repeats whose function differs, weights matched: {len(failed)} of {len(pairs)}")
    groups: dict[bytes, set[str]] = defaultdict(set)
    for number, outputs in tied.items():
        scale = max(1e-30, float(np.abs(outputs).max()))
        groups[(outputs / scale).round(7).tobytes()].add(hashes[number])
    alike = [group for group in groups.values() if len(group) > 1]
    print(f"{len(groups)} functions with tied weights; {len(alike)} of them have several classes")


def _say(what: str, keys: dict[int, Any]) -> None:
    counts = Counter(keys.values())
    repeats = len(keys) - len(counts)
    print(f"{what}: {len(counts)} classes, {repeats} repeats, the largest {max(counts.values())}")


if __name__ == "__main__":
    main()
