"""What a recipe of NAS-Bench-NLP computes, written from its definition alone; and where they lie.

Nothing here knows of cells, graphs or the importer: weights belong to nodes of the recipe.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "nas-bench-nlp"
RECIPES = DATA / "recipes.jsonl"
needs_recipes = pytest.mark.skipif(
    not RECIPES.exists(), reason="the recipes of NAS-Bench-NLP are not beside the project"
)

Recipe = dict[str, dict[str, Any]]
Weights = dict[tuple[str, int | None], np.ndarray]


def released() -> Iterator[tuple[int, Recipe]]:
    """The released recipes with their numbers."""
    with RECIPES.open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            yield record["id"], record["recipe"]


def draw_weights(recipe: Recipe, inputs: int, hidden: int, seed: int) -> Weights:
    """A matrix [hidden, length] for each thing that a `linear` reads, and its one bias."""
    generator = np.random.default_rng(seed)
    weights: Weights = {}
    for name, node in recipe.items():
        if node["op"] == "linear":
            for place, read in enumerate(node["input"]):
                length = inputs if read == "x" else hidden
                weights[name, place] = generator.standard_normal((hidden, length)) / 2
            weights[name, None] = generator.standard_normal(hidden)
    return weights


def run_recipe(recipe: Recipe, weights: Weights, xs: np.ndarray, hidden: int) -> tuple[Any, Any]:
    """Outputs [T, B, hidden] and the last states, a list of [B, hidden], from zero states."""
    # The LSTM recipe has a node `h_new_1_part1`, which is no state.
    count = 1 + max(int(name[6:]) for name in recipe if re.fullmatch(r"h_new_\d+", name))
    states = [np.zeros((xs.shape[1], hidden)) for _ in range(count)]
    outputs = []
    for x in xs:
        values = {"x": x} | {f"h_prev_{k}": state for k, state in enumerate(states)}
        states = [_value(recipe, weights, values, f"h_new_{k}") for k in range(count)]
        outputs.append(states[0])
    return np.stack(outputs), states


def _value(recipe: Recipe, weights: Weights, values: dict[str, Any], name: str) -> Any:
    if name not in values:
        node = recipe[name]
        v = [_value(recipe, weights, values, read) for read in node["input"]]
        match node["op"]:
            case "linear":
                terms = [u @ weights[name, place].T for place, u in enumerate(v)]
                values[name] = sum(terms) + weights[name, None]
            case "blend":
                values[name] = v[0] * v[1] + (1 - v[0]) * v[2]
            case "elementwise_prod":
                values[name] = v[0] * v[1]
            case "elementwise_sum":
                values[name] = v[0] + v[1]
            case "activation_tanh":
                values[name] = np.tanh(v[0])
            case "activation_sigm":
                values[name] = 1 / (1 + np.exp(-v[0]))
            case "activation_leaky_relu":
                values[name] = np.where(v[0] > 0, v[0], 0.01 * v[0])
    return values[name]
