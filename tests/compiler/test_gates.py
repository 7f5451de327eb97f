"""Passes that join and rearrange gates keep what a graph computes, and do their work."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from rnndsl.compiler.autodiff import differentiate
from rnndsl.compiler.interpreter import run
from rnndsl.compiler.ir import Graph, Node
from rnndsl.compiler.pipeline import PASSES, PIPELINES, parse_pipeline, run_pipeline, verifying
from rnndsl.compiler.plan import StageKind
from rnndsl.compiler.separate import separate
from rnndsl.compiler.split import split
from rnndsl.compiler.verify import verify
from tests.compiler.make import lstm, random_leaves
from tests.compiler.random_gates import random_gates
from tests.compiler.tolerance import assert_same, flat

SEEDS = range(25)
SIZES = {"D": 3, "H": 4}
BEFORE = {
    "pack-gates": "canonicalize,cse",
    "associate-sums": "canonicalize,cse",
    "pack-elementwise": "canonicalize,cse,associate-sums,pack-gates",
}


def check_same(graph: Graph, changed: Graph, seed: int, reverse: bool = False) -> None:
    graph, changed = graph.bind(SIZES), changed.bind(SIZES)
    leaves = random_leaves(graph, 4, 2, seed)
    with np.errstate(all="ignore"):
        assert_same(flat(run(changed, *leaves, reverse)), graph, *leaves, reverse=reverse)


def in_scan(graph: Graph, reverse: bool = False) -> Counter[str]:
    """The ops in the loops over time."""
    found: Counter[str] = Counter()
    for stage in split(graph, reverse).stages:
        if stage.kind is StageKind.SCAN:
            nodes = (graph.definition(value) for value in stage.values)
            found.update(node.op for node in nodes if isinstance(node, Node))
    return found


@pytest.mark.parametrize("name", BEFORE)
def test_pass_keeps_the_function_of_random_gates(name: str) -> None:
    changes = 0
    for seed in SEEDS:
        graph = run_pipeline(random_gates(seed), parse_pipeline(BEFORE[name]))
        changed = PASSES[name].run(graph)
        if changed is graph:
            continue
        changes += 1
        verify(changed)
        check_same(graph, changed, seed)
        if name != "pack-gates":
            assert PASSES[name].run(changed) is changed
    assert changes > len(SEEDS) // 2


def backward_of(seed: int) -> Graph:
    graph = run_pipeline(random_gates(seed), PIPELINES["default"])
    backward = differentiate(separate(graph).step).backward
    return run_pipeline(backward, PIPELINES["final"])


def test_factor_adjoints_keeps_gradients_and_shortens_the_loop() -> None:
    changes = 0
    for seed in SEEDS:
        graph = backward_of(seed)
        changed = PASSES["factor-adjoints"].run(graph)
        if changed is graph:
            continue
        changes += 1
        verify(changed)
        check_same(graph, changed, seed, reverse=True)
        assert PASSES["factor-adjoints"].run(changed) is changed
        assert in_scan(changed, reverse=True).total() <= in_scan(graph, reverse=True).total()
    assert changes > len(SEEDS) // 2


@pytest.mark.parametrize("seed", SEEDS)
def test_pack_elementwise_changes_no_bit(seed: int) -> None:
    graph = run_pipeline(random_gates(seed), parse_pipeline(BEFORE["pack-elementwise"])).bind(SIZES)
    changed = PASSES["pack-elementwise"].run(graph)
    leaves = random_leaves(graph, 3, 2, seed)
    with np.errstate(all="ignore"):
        wanted, found = flat(run(graph, *leaves)), flat(run(changed, *leaves))
    for name, exact in wanted.items():
        np.testing.assert_array_equal(found[name], exact, err_msg=name)


@pytest.mark.parametrize("seed", SEEDS)
def test_pipelines_keep_values_and_gradients_of_random_gates(seed: int) -> None:
    graph = random_gates(seed)
    packed = run_pipeline(graph, PIPELINES["default"], [verifying()])
    check_same(graph, packed, seed)
    backward = differentiate(separate(packed).step).backward
    changed = run_pipeline(backward, PIPELINES["backward"], [verifying()])
    check_same(backward, changed, seed, reverse=True)


def test_rearranging_never_adds_to_the_loop() -> None:
    for seed in SEEDS:
        graph = run_pipeline(random_gates(seed), parse_pipeline("canonicalize,cse"))
        changed = PASSES["associate-sums"].run(graph)
        assert in_scan(changed).total() <= in_scan(graph).total()


def test_lstm_step_joins_what_its_gates_share() -> None:
    step = separate(run_pipeline(lstm(), PIPELINES["default"])).step
    assert in_scan(step) == {
        "contract": 1, "add": 2, "sigmoid": 1, "tanh": 2, "mul": 3, "slice": 5
    }  # fmt: skip


def test_lstm_backward_step_is_one_product_by_a_factor_for_all_gates() -> None:
    step = separate(run_pipeline(lstm(), PIPELINES["default"])).step
    backward = run_pipeline(differentiate(step).backward, PIPELINES["backward"])
    assert in_scan(backward, reverse=True) == {"contract": 1, "concat": 1, "add": 2, "mul": 3}
