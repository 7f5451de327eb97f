"""Every cell of the standard library, compiled by TVM, agrees with the interpreter."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from rnndsl.cell import list_cells, load
from rnndsl.compiler.initializers import initialize
from rnndsl.compiler.interpreter import run, run_shared
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.lower import lower
from rnndsl.compiler.op_meaning import Array
from rnndsl.compiler.separate import Program, separate
from tests.compiler.make import random_leaves
from tests.compiler.tolerance import assert_same

pytest.importorskip("tvm", reason="TVM is not installed")

from rnndsl.backends.tvm import runtime
from rnndsl.backends.tvm.program import inference_program

SIZES = {"D": 6, "H": 12}


@cache
def cell_graph(name: str) -> tuple[Graph, dict[str, Array]]:
    """The bound graph of a cell, and parameters for it."""
    lowered = lower(load(name))
    return lowered.graph.bind(SIZES), initialize(lowered.params, SIZES, seed=1)


@cache
def cell_program(name: str) -> Program:
    return inference_program(cell_graph(name)[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", list_cells())
def test_a_cell_agrees_with_the_interpreter(name: str, dtype: str) -> None:
    program, (_, params) = cell_program(name), cell_graph(name)
    prepared = {**params, **run_shared(program.prepare, params)}
    rounded = {k: np.asarray(v, dtype).astype(np.float64) for k, v in prepared.items()}
    for steps, batch in ((1, 1), (4, 19)):
        inputs, states = (
            {k: v.astype(dtype).astype(np.float64) for k, v in arrays.items()}
            for arrays in random_leaves(program.step, steps, batch)[:2]
        )
        result = runtime.run_graph(program.step, inputs, states, rounded, dtype)
        found = {f"output.{k}": v for k, v in result.outputs.items()}
        found |= {f"state.{k}": v for k, v in result.states.items()}
        assert_same(found, program.step, inputs, states, rounded, dtype)


def test_run_starts_from_the_declared_states_with_derived_parameters() -> None:
    """The runner of the differential tests, against the interpreter on the graph as written."""
    graph, params = cell_graph("mlstm")
    written = separate(graph)
    prepared = {**params, **run_shared(written.prepare, params)}
    inputs, _, _ = random_leaves(graph, 3, 2)
    states = {
        name.removeprefix("init."): np.broadcast_to(value, (2, *value.shape))
        for name, value in prepared.items()
        if name.startswith("init.")
    }
    wanted = run(written.step, inputs, states, prepared)
    outputs, finals = runtime.run(cell_program("mlstm"), inputs, {}, params, "float64")
    np.testing.assert_allclose(outputs["y"], wanted.outputs["y"], atol=1e-9)
    for name, state in finals.items():
        np.testing.assert_allclose(state, wanted.states[name], atol=1e-9)
