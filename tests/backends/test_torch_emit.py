"""The generated PyTorch code computes what the interpreter says, forward and backward."""

from __future__ import annotations

import traceback

import numpy as np
import pytest
import torch

import rnndsl
from rnndsl.backends.torch.emit import emit_plan, emit_shared, function_name
from rnndsl.backends.torch.expressions import EXPRESSIONS
from rnndsl.backends.torch.program import make_program
from rnndsl.backends.torch.source import load_function
from rnndsl.compiler.autodiff import differentiate
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Graph, LeafRole, ResultRole, Type
from rnndsl.compiler.lower import lower
from rnndsl.compiler.ops import OPS
from rnndsl.compiler.separate import separate
from rnndsl.compiler.split import split
from rnndsl.dims import dim
from tests.backends.torch_graphs import GRAPHS, lstm, random_leaves
from tests.compiler.random_graphs import random_graph
from tests.compiler.tolerance import assert_same

torch.set_num_threads(1)

_ROLES = (ResultRole.OUTPUT, ResultRole.STATE, ResultRole.SUM)


def compare(graph: Graph, reverse: bool, steps: int, batch: int) -> None:
    """Generated code and interpreter on the same numbers."""
    leads = ((LeafRole.INPUT, (steps, batch)), (LeafRole.STATE, (batch,)), (LeafRole.PARAM, ()))
    leaves = [random_leaves(graph, role, lead, seed) for seed, (role, lead) in enumerate(leads)]
    if not leaves[0]:
        return  # a backward pass that reads nothing has no length
    function = load_function(emit_plan(split(graph, reverse)), function_name(graph))
    results = function(*(tuple(torch.from_numpy(a) for a in group.values()) for group in leaves))
    found = {
        f"{role.value}.{result.name}": tensor.numpy()
        for role, tensors in zip(_ROLES, results, strict=True)
        for result, tensor in zip(graph.results_of(role), tensors, strict=True)
    }
    inputs, states, params = leaves
    assert_same(found, graph, inputs, states, params, reverse=reverse)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("sizes", [(4, 2), (1, 1), (1, 3), (3, 1)])
@pytest.mark.parametrize("name", GRAPHS)
def test_generated_code_matches_the_interpreter(name: str, sizes: tuple[int, int]) -> None:
    step = separate(GRAPHS[name]()).step
    derived = differentiate(step)
    compare(step, False, *sizes)
    compare(step, True, *sizes)
    compare(derived.forward, False, *sizes)
    compare(derived.backward, True, *sizes)
    compare(derived.backward, False, *sizes)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", range(30))
def test_generated_code_matches_the_interpreter_on_random_graphs(seed: int) -> None:
    step = separate(random_graph(seed)).step
    derived = differentiate(step)
    compare(step, False, 3, 2)
    compare(derived.forward, True, 3, 2)
    compare(derived.backward, True, 3, 2)


def test_every_op_of_the_table_has_an_expression() -> None:
    assert set(EXPRESSIONS) | {"contract"} == set(OPS)


def test_the_products_of_a_shared_weight_are_matrix_products() -> None:
    derived = differentiate(separate(lstm()).step)
    code = emit_plan(split(derived.forward)) + emit_plan(split(derived.backward, reverse=True))
    assert "einsum" not in code
    assert code.count("F.linear(x, ") == 4  # for all steps at once, outside the loop
    assert code.count("torch.addmm(") == 7


@pytest.mark.parametrize(
    ("name", "products"), [("lstm", 1), ("gru", 1), ("elman", 1), ("gru_reset_before", 2)]
)
def test_the_loop_has_one_call_for_each_product_and_its_addends(name: str, products: int) -> None:
    graph = lower(rnndsl.load(name)).graph.bind({"D": 3, "H": 4})
    code = emit_plan(split(make_program(graph).step))
    loop = code[code.index("    for ") : code.index("torch.stack")]
    assert loop.count("torch.addmm(") == products
    assert loop.count(" @ ") == 0
    assert "bias" not in loop


def test_weight_gradients_are_one_product_over_time_and_batch() -> None:
    derived = differentiate(separate(lstm()).step)
    code = emit_plan(split(derived.backward, reverse=True))
    loop = code[code.index("    for ") : code.index("torch.stack")]
    assert ".reshape(-1, 5).t() @ x.reshape(-1, 3)" in code
    assert "x_t" not in loop


def test_an_error_in_generated_code_shows_the_line() -> None:
    step = separate(lstm()).step
    function = load_function(emit_plan(split(step)), function_name(step))
    x = torch.zeros(2, 1, 3)
    state = torch.zeros(1, 5)
    wrong = tuple(torch.zeros(2, 2) for _ in step.leaves_of(LeafRole.PARAM))
    try:
        function((x,), (state, state), wrong)
    except RuntimeError as error:
        assert "F.linear(x, i_x_weight, i_bias)" in "".join(traceback.format_exception(error))
    else:
        pytest.fail("a wrong shape went unnoticed")


def test_numbers_that_are_not_finite_are_written_as_such() -> None:
    graph = separate(random_graph(0)).step
    source = emit_plan(split(graph))
    compile(source, "generated", "exec")
    assert np.isfinite(1.0) and "nan" not in source.replace("math.nan", "")


@pytest.mark.parametrize(
    ("bounds", "at_once"),
    [
        ([(0, 2), (2, 3), (3, 6)], True),
        ([(3, 6), (0, 3)], True),
        ([(0, 2), (3, 6)], False),  # a gap
        ([(0, 4), (3, 6)], False),  # an overlap
        ([(0, 2), (2, 5)], False),  # the rest is left out
    ],
)
def test_slices_are_cut_at_once_where_they_are_all_of_a_value(
    bounds: list[tuple[int, int]], at_once: bool
) -> None:
    builder = Builder()
    whole = builder.leaf("w", LeafRole.PARAM, Type((dim(2), dim(6)), batched=False))
    for place, (start, stop) in enumerate(bounds):
        part = builder.op("slice", whole, axis=1, bounds=(dim(start), dim(stop)))
        builder.result(f"part{place}", ResultRole.VALUE, part)
    graph = builder.finish("parts")
    source = emit_shared(graph)
    assert ("split_with_sizes" in source) is at_once
    w = torch.arange(12.0).reshape(2, 6)
    found = load_function(source, function_name(graph))((w,), w)
    for part, (start, stop) in zip(found, bounds, strict=True):
        assert torch.equal(part, w[:, start:stop])
