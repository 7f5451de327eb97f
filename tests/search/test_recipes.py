"""Imported recipes compute what the benchmark's code computes."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnndsl
from rnndsl.cell import Cell, check
from rnndsl.compiler.initializers import initialize
from rnndsl.compiler.interpreter import run
from rnndsl.compiler.lower import lower
from rnndsl.diagnostics import RnndslError
from rnndsl.formatting.formatter import format_file
from rnndsl.parsing.parser import parse_file
from rnndsl.search import import_recipe
from rnndsl.search.recipes import import_recipe_file, recipe_parameters
from rnndsl.source import Source
from tests.search.recipe_examples import EXAMPLES, REFUSED
from tests.search.recipe_meaning import (
    Recipe,
    Weights,
    draw_weights,
    needs_recipes,
    released,
    run_recipe,
)

D, H, T, B = 3, 4, 3, 2
EACH = pytest.mark.parametrize("recipe", EXAMPLES.values(), ids=EXAMPLES.keys())


def own_weights(recipe: Recipe, weights: Weights) -> dict[str, np.ndarray]:
    """The recipe's weights by the names that the imported cell gives them."""
    return {name: weights[origin] for name, origin in recipe_parameters(recipe).items()}


def largest_difference(cell: Cell, recipe: Recipe, seed: int = 0) -> float:
    """Between the interpreter and the definition: of outputs and last states."""
    lowered = lower(cell)
    weights = draw_weights(recipe, D, H, seed)
    params = own_weights(recipe, weights)
    assert params.keys() == {spec.name for spec in lowered.params}
    xs = np.random.default_rng(seed + 1).standard_normal((T, B, D))
    graph = lowered.graph.bind({"D": D, "H": H})
    names = [leaf.name for leaf in graph.leaves if leaf.role.value == "state"]
    found = run(graph, {"x": xs}, {name: np.zeros((B, H)) for name in names}, params)
    outputs, states = run_recipe(recipe, weights, xs, H)
    pairs = [(found.outputs["y"], outputs)]
    pairs += [(found.states[name], state) for name, state in zip(names, states, strict=True)]
    return max(relative(ours, theirs) for ours, theirs in pairs)


def relative(ours: Any, theirs: Any) -> float:
    """The largest difference; of values above 1 in parts of the largest, since some explode."""
    return float(np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max()))


@EACH
def test_a_recipe_and_its_cell_have_the_same_function(recipe: Recipe) -> None:
    assert largest_difference(import_recipe(recipe), recipe) < 1e-12


@EACH
def test_the_cell_is_formatted_text_without_warnings(recipe: Recipe) -> None:
    cell = import_recipe(recipe, "Found")
    text = str(cell)
    assert text.startswith("cell Found(D, H):")
    assert rnndsl.parse(text) == cell
    assert format_file(parse_file(Source("found", text))) == text
    assert check(cell) == ()


def test_parameters_start_as_in_the_benchmark() -> None:
    params = lower(import_recipe(EXAMPLES["a state of this step is read"])).params
    arrays = initialize(params, {"D": 30, "H": 100}, 0)
    assert {name: array.shape for name, array in arrays.items()} == {
        "h1.x.weight": (100, 30),
        "h1.h1.weight": (100, 100),
        "h1.bias": (100,),
        "g.h1.weight": (100, 100),
        "g.in1.weight": (100, 100),
        "g.x.weight": (100, 30),
        "g.bias": (100,),
    }
    # Uniform between +-1/sqrt(hidden), whatever a weight reads, biases too.
    for array in arrays.values():
        assert 0.085 < np.abs(array).max() < 0.1


def test_unused_nodes_bring_no_parameters() -> None:
    cell = import_recipe(EXAMPLES["an unused node"])
    assert [p.name for p in lower(cell).params] == ["h.x.weight", "h.h.weight", "h.bias"]


@pytest.mark.parametrize(("recipe", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_recipe_is_refused_with_a_reason(recipe: Any, said: str) -> None:
    with pytest.raises(RnndslError, match="E0640") as caught:
        import_recipe(recipe)
    assert said in str(caught.value)


# TVM takes up to a second for each.
COMPILED = [("torch", name) for name in EXAMPLES] + [("tvm", name) for name in list(EXAMPLES)[3:9]]


@pytest.mark.parametrize(("backend", "name"), COMPILED)
def test_compiled_recipes_have_the_same_function(backend: str, name: str) -> None:
    assert compiled_difference(EXAMPLES[name], backend) < 1e-9


def compiled_difference(recipe: Recipe, backend: str, seed: int = 0) -> float:
    """Between a layer of one backend and the definition."""
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    torch = pytest.importorskip("torch")
    layer = rnndsl.layer(import_recipe(recipe), D, H, dtype=torch.float64, backend=backend)
    weights = draw_weights(recipe, D, H, seed)
    state = {name: torch.tensor(array) for name, array in own_weights(recipe, weights).items()}
    layer.load_state_dict({key: state[_plain(key, state)] for key in layer.state_dict()})
    xs = np.random.default_rng(seed + 1).standard_normal((T, B, D))
    with torch.no_grad():
        outputs, states = layer(torch.tensor(xs))
    states = states if isinstance(states, tuple) else (states,)
    expected, last = run_recipe(recipe, weights, xs, H)
    pairs = [(outputs, expected), *zip(states, last, strict=True)]
    return max(relative(ours.numpy().reshape(theirs.shape), theirs) for ours, theirs in pairs)


def _plain(key: str, known: dict[str, Any]) -> str:
    """The cell's name of a layer's parameter."""
    return next(name for name in known if key == name or key.endswith("." + name))


@needs_recipes
def test_every_fifteenth_released_recipe_has_the_same_function() -> None:
    for number, recipe in islice(released(), 0, None, 15):
        assert largest_difference(import_recipe(recipe), recipe, number) < 1e-9, number


def test_a_file_of_recipes_becomes_a_folder_of_cells(tmp_path: Path) -> None:
    lines = [json.dumps({"id": n, "recipe": r}) for n, r in enumerate(EXAMPLES.values())]
    (tmp_path / "r.jsonl").write_text("\n".join([*lines, ""]))
    assert import_recipe_file(tmp_path / "r.jsonl", tmp_path / "cells") == len(EXAMPLES)
    for number, recipe in enumerate(EXAMPLES.values()):
        assert rnndsl.load(tmp_path / "cells" / f"{number}.rnn") == import_recipe(
            recipe, f"Recipe{number}"
        )


@pytest.mark.parametrize("line", ["{", "[1]", '{"id": 3}', "7"])
def test_a_damaged_file_is_refused_with_its_line(line: str, tmp_path: Path) -> None:
    good = json.dumps({"id": 1, "recipe": EXAMPLES["one state"]})
    (tmp_path / "r.jsonl").write_text(f"{good}\n{line}\n")
    with pytest.raises(RnndslError, match="line 2"):
        import_recipe_file(tmp_path / "r.jsonl", tmp_path / "cells")
