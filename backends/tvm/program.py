"""What is compiled: one program for each layer, with its parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnndsl.backends.errors_tvm import (
    NotExportable,
    WrongWeights,
)
from rnndsl.backends.sizes import cell_sizes
from rnndsl.cell import Cell, load
from rnndsl.compiler.initializers import initialize
from rnndsl.compiler.interpreter import run_shared
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.lower import lower
from rnndsl.compiler.op_meaning import Array
from rnndsl.compiler.pipeline import Observer
from rnndsl.compiler.selection import Selection, select
from rnndsl.compiler.separate import Program, separate
from rnndsl.compiler.sizes import bind_sizes
from rnndsl.diagnostics import RnndslError

# What runs where no gradient is wanted.
INFERENCE = select(second="final")


@dataclass(frozen=True, slots=True)
class LayerProgram:
    """One layer to compile: its program, and its parameters [*shape] by the cell's names."""

    program: Program
    params: Mapping[str, Array]

    def prepared(self) -> dict[str, Array]:
        """Parameters, derived parameters and initial states ``init.<state>``, in float64."""
        return {**self.params, **run_shared(self.program.prepare, self.params)}


def inference_program(
    graph: Graph, passes: Selection = INFERENCE, observers: Sequence[Observer] = ()
) -> Program:
    """The program of a bound, lowered graph, rewritten for running without gradients."""
    return separate(passes.run_second(passes.run_first(graph, observers), observers))


def cell_layer(
    cell: Cell | str | Path,
    input_size: int | None,
    hidden_size: int | None,
    numbers: Mapping[str, int | float],
    weights: Mapping[str, Any] | None,
    seed: int = 0,
    passes: Selection = INFERENCE,
    observers: Sequence[Observer] = (),
) -> tuple[str, list[LayerProgram]]:
    """A cell as one layer, and its name.

    ``weights`` by the cell's parameter names; None draws initial values from ``seed``.
    RnndslError when sizes or weights do not fit.
    """
    found = cell if isinstance(cell, Cell) else load(cell)
    sizes = cell_sizes(found, input_size, hidden_size, numbers)
    dims, chosen = sizes.dims, sizes.numbers
    lowered = lower(found, chosen)
    graph = bind_sizes(lowered.graph, dims, found.sources())
    expected = initialize(lowered.params, dims, seed)
    params = expected if weights is None else _checked(found.name, expected, weights)
    program = inference_program(graph, passes, observers)
    return found.name, [LayerProgram(program, params)]


def torch_layers(layer: Any, weights: Mapping[str, Any] | None) -> tuple[str, list[LayerProgram]]:
    """The stack of a layer made by ``rnndsl.layer``, with its present parameters.

    ``weights`` is a state_dict to take instead.  RnndslError for layers in both directions.
    """
    if not all(hasattr(layer, name) for name in ("cell", "layers", "options")):
        reason = f"a {type(layer).__name__} is neither a cell nor made by rnndsl.layer"
        raise RnndslError(NotExportable(None, reason))
    options = layer.options
    if options.bidirectional:
        raise RnndslError(NotExportable(None, "it runs in both directions"))
    if options.batch_first:
        raise RnndslError(NotExportable(None, "it is batch_first; make it with [T, B, D] streams"))
    if weights is not None:
        _check_mapping(layer.cell.name, weights)
    found = []
    for index in range(options.num_layers):
        direction = layer.layers[str(index)]
        own = {s.name: _array(direction.tensor(s.name)) for s in direction.specs}
        if weights is not None:
            named = {name: f"layers.{index}.{'.'.join(direction.paths[name])}" for name in own}
            given = {name: weights[key] for name, key in named.items() if key in weights}
            own = _checked(layer.cell.name, own, given)
        found.append(LayerProgram(inference_program(direction.graph), own))
    return layer.cell.name, found


def _array(value: Any) -> Array:
    """A NumPy array or a torch tensor as float64."""
    plain = value.detach().cpu().double().numpy() if hasattr(value, "detach") else value
    return np.asarray(plain, np.float64)


def _checked(
    cell: str, expected: Mapping[str, Array], given: Mapping[str, Any]
) -> dict[str, Array]:
    _check_mapping(cell, given)
    missing = _names(expected.keys() - given.keys())
    if missing:
        raise RnndslError(WrongWeights(None, cell, f"missing: {missing}"))
    extra = _names(given.keys() - expected.keys())
    if extra:
        raise RnndslError(WrongWeights(None, cell, f"not parameters of the cell: {extra}"))
    arrays = {name: _array(given[name]) for name in expected}
    for name, array in arrays.items():
        if array.shape != expected[name].shape:
            reason = f"{name} is {list(array.shape)}, expected {list(expected[name].shape)}"
            raise RnndslError(WrongWeights(None, cell, reason))
    return arrays


def _check_mapping(cell: str, given: object) -> None:
    if not isinstance(given, Mapping):
        reason = f"expected arrays by parameter name, found a {type(given).__name__}"
        raise RnndslError(WrongWeights(None, cell, reason))


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
