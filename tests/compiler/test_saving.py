"""What is saved for the backward pass, and what is computed again."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from rnndsl.cell import list_cells, load, parse
from rnndsl.compiler.autodiff import SavePolicy, differentiate, save_cheapest, save_computed
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.initializers import initialize
from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole, Type
from rnndsl.compiler.lower import lower
from rnndsl.compiler.op_meaning import Array
from rnndsl.compiler.pipeline import PIPELINES, run_pipeline
from rnndsl.compiler.plan import StageKind
from rnndsl.compiler.saving import MEMORY, cheapest_saved
from rnndsl.compiler.separate import separate
from rnndsl.compiler.split import split
from rnndsl.dims import dim
from tests.cells.differential import make_problem, tolerances, values
from tests.cells.random_cells import random_cell

SIZES = {"D": 4, "H": 8, "N": 4}


def save_little(forward: Graph, read: frozenset[int]) -> frozenset[int]:
    return cheapest_saved(forward, read, MEMORY)


def step_of(text: str) -> Graph:
    graph = lower(parse(text)).graph
    graph = graph.bind({name: 8 for name in graph.dims})
    return separate(run_pipeline(graph, PIPELINES["default"])).step


def saved_ops(step: Graph, save: SavePolicy = save_cheapest) -> list[str]:
    """The ops of the values in saved streams, without outputs and the states' own streams."""
    made = differentiate(step, save)
    held = {r.value for r in step.results}
    found = []
    for result in made.forward.results_of(ResultRole.OUTPUT):
        node = made.forward.definition(result.value)
        if result.name.startswith("saved.") and result.value not in held:
            found.append(node.op if isinstance(node, Node) else node.name)
    return sorted(found)


def streamed(step: Graph, save: SavePolicy) -> int:
    """Elements that a step keeps beside inputs and outputs."""
    forward = differentiate(step, save).forward
    free = {r.value for r in step.results_of(ResultRole.OUTPUT)}
    kept = {r.value for r in forward.results_of(ResultRole.OUTPUT)} - free
    nodes = [v for v in kept if isinstance(forward.definition(v), Node)]
    return sum(prod(forward.type_of(v).sizes) for v in nodes)


BLEND = """
cell Blend(D, H):
    input x: [D]
    state h: [H]
    z = sigmoid(linear[H](x, h))
    n = tanh(linear[H](x))
    h' = n + z * (h - n)
    return h'
"""


def test_cheap_arithmetic_on_what_is_there_is_repeated() -> None:
    """The difference of h and n follows from the output before the step, and from n."""
    assert saved_ops(step_of(BLEND)) == ["sigmoid", "tanh"]
    assert saved_ops(step_of(BLEND), save_computed) == ["sigmoid", "sub", "tanh"]


def test_products_are_repeated_only_for_memory() -> None:
    step = step_of(BLEND)
    assert saved_ops(step, save_little) == []
    backward = differentiate(step).backward
    assert not any(node.op == "tanh" for node in backward.nodes)


def test_a_state_that_is_no_output_is_saved_once() -> None:
    """Its stream serves as the state before each step and as the state after it."""
    step = step_of("""
cell Hidden(D, H):
    input x: [D]
    state c: [H]
    c' = c * sigmoid(linear[H](x))
    return tanh(c')
""")
    forward = differentiate(step, save_little).forward
    streams = [r.value for r in forward.results_of(ResultRole.OUTPUT)]
    state = forward.results_of(ResultRole.STATE)[0].value
    assert state in streams
    assert streamed(step, save_little) == 8


def test_one_wide_value_is_saved_rather_than_its_parts() -> None:
    """All three parts are read; none costs more than the whole together."""
    b = Builder()
    w = b.leaf("w", LeafRole.PARAM, Type((dim(12), dim(4)), False))
    x = b.leaf("x", LeafRole.INPUT, Type((dim(4),), True))
    product = b.op("contract", w, x, spec="ij,j->i", sum_batch=False)
    parts = [b.op("slice", product, axis=0, bounds=(dim(k), dim(k + 4))) for k in (0, 4, 8)]
    once = b.op("mul", b.op("mul", parts[0], parts[1]), parts[2])
    b.result("y", ResultRole.OUTPUT, once)
    assert saved_ops(b.finish("parts")) == ["contract"]


@pytest.mark.parametrize("name", list_cells())
@pytest.mark.parametrize("save", [save_cheapest, save_little])
def test_no_cell_keeps_more_or_recurs_more_than_if_all_is_saved(
    name: str, save: SavePolicy
) -> None:
    graph = lower(load(name)).graph
    graph = graph.bind({d: 16 for d in graph.dims})
    step = separate(run_pipeline(graph, PIPELINES["default"])).step
    assert streamed(step, save) <= streamed(step, save_computed)

    def recurring(policy: SavePolicy) -> int:
        stages = split(differentiate(step, policy).backward, reverse=True).stages
        return sum(len(s.values) for s in stages if s.kind is StageKind.SCAN)

    assert recurring(save) == recurring(save_computed)


def assert_equal_gradients(graph: Graph, params: dict[str, Array], seed: int) -> None:
    problem = make_problem(graph, params, 4, 2, seed)
    with np.errstate(all="ignore"):
        exact = values(problem, save_computed)
        allowed = tolerances(problem, exact, np.float64)
        if allowed is None:
            return
        for save in (save_cheapest, save_little):
            found = values(problem, save)
            assert found.keys() == exact.keys()
            for key, array in found.items():
                assert np.abs(array - exact[key]).max(initial=0) <= allowed[key], key


@pytest.mark.parametrize("name", list_cells())
def test_gradients_of_the_library_do_not_depend_on_what_is_saved(name: str) -> None:
    lowered = lower(load(name))
    sizes = {d: SIZES.get(d, 4) for d in lowered.graph.dims}
    assert_equal_gradients(lowered.graph.bind(sizes), initialize(lowered.params, sizes, 0), 0)


@pytest.mark.parametrize("seeds", [range(k, k + 25) for k in range(0, 200, 25)], ids=str)
def test_gradients_of_random_cells_do_not_depend_on_what_is_saved(seeds: range) -> None:
    for seed in seeds:
        lowered = lower(parse(random_cell(seed)))
        sizes = {d: 3 + seed % 3 for d in lowered.graph.dims}
        params = initialize(lowered.params, sizes, seed)
        assert_equal_gradients(lowered.graph.bind(sizes), params, seed)
