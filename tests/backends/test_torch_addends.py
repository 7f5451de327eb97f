"""Sums are taken outside the loop over time where they can be; values stay the same."""

from __future__ import annotations

import numpy as np
import pytest

import rnndsl
from rnndsl.backends.torch.addends import early_sums, whole_addends
from rnndsl.backends.torch.emit import emit_plan
from rnndsl.backends.torch.program import make_program
from rnndsl.compiler.ir import Graph, LeafRole
from rnndsl.compiler.lower import lower
from rnndsl.compiler.pipeline import PIPELINES, run_pipeline
from rnndsl.compiler.separate import separate
from rnndsl.compiler.split import split
from rnndsl.compiler.verify import verify
from tests.backends.torch_graphs import random_leaves
from tests.compiler.random_graphs import random_graph
from tests.compiler.tolerance import assert_same, flat


def bound(name: str) -> Graph:
    return lower(rnndsl.load(name)).graph.bind({"D": 3, "H": 4})


def loop_of(name: str) -> str:
    """The body of the loop in the code of a cell's step."""
    code = emit_plan(split(make_program(bound(name)).step))
    return code[code.index("    for ") : code.index("torch.stack")]


@pytest.mark.parametrize(
    ("name", "products"), [("lstm", 1), ("gru", 1), ("elman", 1), ("gru_reset_before", 2)]
)
def test_the_loop_has_one_call_for_each_product_and_its_addends(name: str, products: int) -> None:
    loop = loop_of(name)
    assert loop.count("torch.addmm(") == products
    assert loop.count(" @ ") == 0
    assert "bias" not in loop


def agree(before: Graph, after: Graph) -> None:
    """Both graphs compute the same on the same numbers, up to rounding."""
    from rnndsl.compiler.interpreter import run

    inputs = random_leaves(before, LeafRole.INPUT, (3, 2), 1)
    states = random_leaves(before, LeafRole.STATE, (2,), 2)
    params = random_leaves(before, LeafRole.PARAM, (), 3)
    verify(after)
    with np.errstate(all="ignore"):
        found = flat(run(after, inputs, states, params))
        assert_same(found, before, inputs, states, params, ulps=16)


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_keep_their_values(seed: int) -> None:
    graph = separate(random_graph(seed)).step
    packed = run_pipeline(graph, PIPELINES["default"])
    agree(graph, whole_addends(early_sums(packed)))


@pytest.mark.parametrize("name", ["lstm", "gru", "rhn", "nascell", "layernorm_lstm", "mgu", "sru"])
def test_cells_keep_their_values(name: str) -> None:
    graph = separate(run_pipeline(bound(name), PIPELINES["default"])).step
    agree(graph, whole_addends(early_sums(graph)))


def test_a_graph_without_such_sums_is_returned_as_it_is() -> None:
    graph = make_program(bound("lstm")).step
    assert whole_addends(early_sums(graph)) is graph
