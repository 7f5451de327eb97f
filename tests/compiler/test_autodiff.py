"""The derivative graph of a step graph gives the gradients of a whole sequence."""

from __future__ import annotations

import numpy as np
import pytest

from rnndsl.compiler.autodiff import (
    Differentiated,
    differentiate,
    differentiate_shared,
    save_computed,
)
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.interpreter import run, run_shared
from rnndsl.compiler.ir import Graph, LeafRole, ResultRole
from rnndsl.compiler.op_meaning import Array
from rnndsl.compiler.separate import separate
from tests.compiler.make import batched, lstm, matvec, random_leaves, shared
from tests.compiler.random_graphs import random_graph

Leaves = dict[str, Array]


def gradients(
    made: Differentiated,
    inputs: Leaves,
    states: Leaves,
    params: Leaves,
    d_outputs: Leaves,
    d_states: Leaves,
) -> Leaves:
    """Run forward, then backward, and collect the gradients by leaf name."""
    forward = run(made.forward, inputs, states, params)
    streams = {**inputs, **forward.outputs}
    streams |= {f"d.{name}": value for name, value in d_outputs.items()}
    for name, start in states.items():
        if f"next.{name}" in forward.outputs:
            after = forward.outputs[f"next.{name}"]
            streams[f"prev.{name}"] = np.concatenate([start[None], after[:-1]])
    carried = {f"d.{name}": value for name, value in d_states.items()}
    back = run(made.backward, streams, carried, params, reverse=True)
    return {**back.outputs, **back.states, **back.sums}


def check_gradients(graph: Graph, length: int = 4, batch: int = 2, seed: int = 0) -> None:
    inputs, states, params = random_leaves(graph, length, batch, seed)
    rng = np.random.default_rng(seed + 1)
    d_outputs = {
        r.name: rng.standard_normal((length, batch, *graph.type_of(r.value).sizes))
        for r in graph.results_of(ResultRole.OUTPUT)
    }
    d_states = {name: rng.standard_normal(array.shape) for name, array in states.items()}

    def loss() -> float:
        found = run(graph, inputs, states, params)
        total = sum((found.outputs[n] * w).sum() for n, w in d_outputs.items())
        return float(total + sum((found.states[n] * w).sum() for n, w in d_states.items()))

    ours = gradients(differentiate(graph), inputs, states, params, d_outputs, d_states)
    width = 1e-6
    for group in (inputs, states, params):
        for name, array in group.items():
            slope = np.zeros_like(array)
            for index in np.ndindex(array.shape):
                kept = array[index]
                array[index] = kept + width
                above = loss()
                array[index] = kept - width
                slope[index] = (above - loss()) / (2 * width)
                array[index] = kept
            found = ours.get(f"d.{name}", np.zeros_like(array))
            np.testing.assert_allclose(found, slope, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize(("length", "batch", "hidden"), [(4, 2, 5), (1, 1, 1), (3, 1, 7)])
def test_lstm_gradients_match_central_differences(length: int, batch: int, hidden: int) -> None:
    check_gradients(lstm().bind({"D": 3, "H": hidden}), length, batch)


def test_a_matrix_state_gets_gradients() -> None:
    """Linear attention: C' = C + v k^T, y = C' q."""
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched(3))
    memory = b.leaf("C", LeafRole.STATE, batched(2, 2))
    key, value, query = (
        matvec(b, b.leaf(f"{n}.weight", LeafRole.PARAM, shared(2, 3)), x) for n in "kvq"
    )
    written = b.op("contract", value, key, spec="i,j->ij", sum_batch=False)
    after = b.op("add", memory, written)
    b.result("y", ResultRole.OUTPUT, matvec(b, after, query))
    b.result("C", ResultRole.STATE, after)
    check_gradients(b.finish("attention"))


def test_a_generated_matrix_applied_to_a_state_gets_gradients() -> None:
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched(4))
    h = b.leaf("h", LeafRole.STATE, batched(2))
    weight = b.op("reshape", b.op("tanh", x), shape=batched(2, 2).shape)
    after = b.op("tanh", matvec(b, weight, h))
    b.result("y", ResultRole.OUTPUT, after)
    b.result("h", ResultRole.STATE, after)
    check_gradients(b.finish("generated"))


def test_a_state_that_nothing_reads_gets_a_zero_gradient() -> None:
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched(2))
    b.leaf("h", LeafRole.STATE, batched(2))
    after = b.op("tanh", x)
    b.result("y", ResultRole.OUTPUT, after)
    b.result("h", ResultRole.STATE, after)
    check_gradients(b.finish("unread"))


def test_a_value_that_is_output_and_state_at_once_sums_both_cotangents() -> None:
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched(2))
    h = b.leaf("h", LeafRole.STATE, batched(2))
    after = b.op("tanh", b.op("add", x, h))
    for name in ("y", "again"):
        b.result(name, ResultRole.OUTPUT, after)
    b.result("h", ResultRole.STATE, after)
    check_gradients(b.finish("twice"))


def test_only_the_gradients_asked_for_are_computed() -> None:
    backward = differentiate(lstm(), wrt={"i.bias"}).backward
    made = {r.name for r in backward.results if r.role is not ResultRole.STATE}
    assert made == {"d.i.bias"}


def test_constants_and_moved_data_are_not_saved() -> None:
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched(2))
    h = b.leaf("h", LeafRole.STATE, batched(2))
    wide = b.op("broadcast", x, shape=batched(3, 2).shape, axes=(1,))
    after = b.op("reduce_sum", b.op("mul", wide, b.op("mul", wide, wide)), axis=0)
    b.result("h", ResultRole.STATE, b.op("mul", after, h))
    made = differentiate(b.finish("moved"), save_computed)
    saved = {made.forward.type_of(r.value).shape for r in made.forward.results if "saved" in r.name}
    assert len(made.saved) == 2 and saved == {batched(3, 2).shape, batched(2).shape}


@pytest.mark.parametrize("seed", range(12))
def test_values_that_were_made_of_parameters_need_not_be_made_again(seed: int) -> None:
    prepare = separate(random_graph(seed, derived=True)).prepare
    rng = np.random.default_rng(seed)
    params = {f.name: rng.standard_normal(f.type.sizes) for f in prepare.leaves}
    kinds = {r.name: prepare.type_of(r.value) for r in prepare.results}
    cotangents = {f"d.{n}": rng.standard_normal(kind.sizes) for n, kind in kinds.items()}
    values = run_shared(prepare, params)
    exact = run_shared(differentiate_shared(prepare), {**params, **cotangents})
    given = differentiate_shared(prepare, made=kinds)
    found = run_shared(given, {**params, **cotangents, **values})
    assert exact.keys() == found.keys()
    for name, value in exact.items():
        np.testing.assert_array_equal(found[name], value)


def test_a_value_that_was_made_is_read_and_not_computed() -> None:
    b = Builder()
    b.result("w", ResultRole.VALUE, b.op("exp", b.leaf("p", LeafRole.PARAM, shared(3))))
    graph = b.finish("positive")
    assert [node.op for node in differentiate_shared(graph).nodes] == ["exp", "mul"]
    given = differentiate_shared(graph, made=["w"])
    assert [node.op for node in given.nodes] == ["mul"]
    assert [leaf.name for leaf in given.leaves] == ["p", "d.w", "w"]
