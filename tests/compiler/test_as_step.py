"""A graph of shared values means the same as one step of one example."""

from __future__ import annotations

import numpy as np
import pytest

from rnndsl.compiler.as_step import as_step, constant_results
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.interpreter import run, run_shared
from rnndsl.compiler.ir import Graph, LeafRole, ResultRole
from rnndsl.compiler.separate import separate
from rnndsl.compiler.verify import verify
from tests.compiler.make import shared
from tests.compiler.random_graphs import random_graph


def rates() -> Graph:
    """exp(-exp(p) dt), and a constant; nothing reads the last parameter."""
    b = Builder()
    p = b.leaf("p", LeafRole.PARAM, shared(3))
    dt = b.leaf("dt", LeafRole.PARAM, shared(3))
    b.leaf("other", LeafRole.PARAM, shared(2))
    b.result("rate", ResultRole.VALUE, b.op("exp", b.op("neg", b.op("mul", b.op("exp", p), dt))))
    b.result("one", ResultRole.VALUE, b.full(1.0, shared(3).shape))
    return b.finish("rates")


def test_constant_results_are_found() -> None:
    assert [result.name for result in constant_results(rates())] == ["one"]


def test_parameters_that_nothing_reads_are_no_inputs() -> None:
    step = as_step(rates())
    assert [(leaf.name, leaf.role) for leaf in step.leaves] == [
        ("p", LeafRole.INPUT),
        ("dt", LeafRole.INPUT),
    ]


@pytest.mark.parametrize("seed", range(42))
def test_one_step_makes_the_values_of_a_random_prepare_graph(seed: int) -> None:
    prepare = separate(random_graph(seed, derived=True)).prepare
    if any(node.op == "inverse" for node in prepare.nodes):
        pytest.skip("a step has no inverse of a matrix")
    varying = [r for r in prepare.results if r not in constant_results(prepare)]
    graph = Graph(prepare.name, prepare.leaves, prepare.nodes, tuple(varying))
    verify(as_step(graph))
    params = {
        leaf.name: np.random.default_rng(seed).uniform(0.5, 1.5, leaf.type.sizes)
        for leaf in graph.leaves
    }
    inputs = {name: value[None, None] for name, value in params.items()}
    found = run(as_step(graph), inputs, {}, {})
    for name, value in run_shared(graph, params).items():
        np.testing.assert_array_equal(found.outputs[name][0, 0], value)
