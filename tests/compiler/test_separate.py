"""What depends on parameters alone is computed once per sequence."""

from __future__ import annotations

import numpy as np

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.interpreter import run, run_shared
from rnndsl.compiler.ir import Graph, LeafRole, ResultRole
from rnndsl.compiler.separate import separate
from tests.compiler.make import batched, lstm, matvec, shared


def weight_normalised() -> Graph:
    """h' = tanh(exp(W) h + x), h starts at a parameter."""
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched("H"))
    h = b.leaf("h", LeafRole.STATE, batched("H"))
    raw = b.leaf("W", LeafRole.PARAM, shared("H", "H"))
    start = b.leaf("h0", LeafRole.PARAM, shared("H"))
    positive = b.op("exp", raw, name="V")
    half = b.full(0.5, shared("H").shape)
    after = b.op("tanh", b.op("add", b.op("mul", matvec(b, positive, h), half), x))
    b.result("y", ResultRole.OUTPUT, after)
    b.result("h", ResultRole.STATE, after)
    b.result("init.h", ResultRole.VALUE, b.op("tanh", start))
    return b.finish("normalised")


def test_derived_parameters_and_initial_states_leave_the_step() -> None:
    program = separate(weight_normalised())
    assert [node.op for node in program.prepare.nodes] == ["exp", "tanh"]
    assert {r.name for r in program.prepare.results} == {"init.h", "V"}
    assert "exp" not in {node.op for node in program.step.nodes}
    assert [leaf.name for leaf in program.step.leaves_of(LeafRole.PARAM)] == ["V"]


def test_constants_stay_in_the_step() -> None:
    step = separate(weight_normalised()).step
    assert [node.op for node in step.nodes if not node.operands] == ["full"]


def test_separation_does_not_change_the_function() -> None:
    graph = weight_normalised().bind({"H": 3})
    program = separate(graph)
    rng = np.random.default_rng(0)
    params = {"W": rng.standard_normal((3, 3)), "h0": rng.standard_normal(3)}
    inputs = {"x": rng.standard_normal((4, 2, 3))}
    states = {"h": rng.standard_normal((2, 3))}
    whole = run(graph, inputs, states, params)
    parts = run(program.step, inputs, states, {**params, **run_shared(program.prepare, params)})
    np.testing.assert_array_equal(whole.outputs["y"], parts.outputs["y"])


def test_a_derived_name_that_is_taken_is_changed() -> None:
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched("H"))
    p = b.leaf("p", LeafRole.PARAM, shared("H"))
    b.result("y", ResultRole.OUTPUT, b.op("mul", b.op("exp", p, name="p"), x))
    names = [leaf.name for leaf in separate(b.finish("clash")).step.leaves]
    assert names == ["x", "p_"]


def test_a_cell_without_derived_parameters_is_left_alone() -> None:
    program = separate(lstm())
    assert program.step == lstm() and program.prepare.nodes == ()
