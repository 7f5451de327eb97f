"""The verifier accepts what the compiler makes and names what breaks a rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rnndsl.compiler.autodiff import differentiate, differentiate_shared
from rnndsl.compiler.ir import Graph, LeafRole, Result, ResultRole
from rnndsl.compiler.separate import separate
from rnndsl.compiler.text import parse_graph
from rnndsl.compiler.verify import (
    GraphError,
    ValueClass,
    value_classes,
    verify,
    verify_prepare,
    verify_step,
)
from tests.compiler.make import lstm
from tests.compiler.random_graphs import random_graph


@pytest.mark.parametrize("seed", range(12))
def test_what_the_compiler_makes_is_well_formed(seed: int) -> None:
    graph = random_graph(seed, derived=True)
    verify(graph)
    program = separate(graph)
    verify_step(program.step)
    verify_prepare(program.prepare)
    derivative = differentiate(program.step)
    verify_step(derivative.forward)
    verify(derivative.backward)
    verify_prepare(differentiate_shared(program.prepare))


def graph(*lines: str) -> Graph:
    leaves = ("input x: batch[H]", "state h: batch[H]", "param w: shared[H]")
    results = () if any(line.startswith("state h =") for line in lines) else ("state h = h",)
    return parse_graph("\n".join(("graph g {", *leaves, *lines, *results, "}")))


SUM = "%3: shared[H] = batch_sum(x)"


@pytest.mark.parametrize(
    ("lines", "value", "reason"),
    [
        (["%3: batch[H] = nope(x)"], 3, "there is no op `nope`"),
        (["%3: batch[H] = neg(x, h)"], 3, "takes 1 operands, has 2"),
        (["%3: batch[H] = neg(x) {axis=0}"], 3, "has the attributes ('axis',), not ()"),
        (["%3: batch[D] = neg(x)"], 3, "is batch[H], but is recorded as batch[D]"),
        (["%3: batch[H] = neg(w)"], 3, "is shared[H], but is recorded as batch[H]"),
        (["%3: batch[] = reduce_sum(x) {axis=1}"], 3, "axis 1 is not an axis"),
        (["%3: batch[H] = concat() {axis=0}"], 3, "has no operands"),
        (["%3 a: batch[H] = neg(x)", "%4 a: batch[H] = neg(x)"], None, "node name `a`"),
        (["output y = x", "output y = h"], None, "output name `y`"),
        (["%3: batch[] = reduce_sum(x) {axis=0}", "state h = %3"], 3, "becomes batch[]"),
        (["sum d.w = w"], 2, "cannot be a fixed value"),
        (["sum d.x = x"], 0, "cannot be a varying value"),
        (["value v = x"], 0, "cannot be a varying value"),
        ([SUM, "output y = %3"], 3, "cannot be a sum value"),
        ([SUM, "%4: shared[H] = exp(%3)"], 4, "not linear in a sum"),
        ([SUM, "%4: shared[H] = add(%3, w)"], 4, "not linear in a sum"),
        ([SUM, "%4: shared[H] = mul(%3, %3)"], 4, "not linear in a sum"),
        ([SUM, "%4: shared[H] = div(w, %3)"], 4, "not linear in a sum"),
        ([SUM, "%4: batch[H] = add(%3, x)"], 4, "mixes a sum over the batch"),
    ],
)
def test_broken_graphs_are_refused(lines: list[str], value: int | None, reason: str) -> None:
    with pytest.raises(GraphError) as caught:
        verify(graph(*lines))
    assert caught.value.value == value
    assert reason in str(caught.value)


def test_linear_functions_of_sums_are_fine() -> None:
    scaled = "%4: shared[H] = mul(%3, w)"
    zero = "%5: shared[H] = full() {shape=[H], value=0.0}"
    legal = graph(SUM, scaled, zero, "%6: shared[H] = add(%4, %5)", "sum a = %6", "sum b = %5")
    verify(legal)
    assert value_classes(legal)[3:] == [
        ValueClass.SUM,
        ValueClass.SUM,
        ValueClass.FIXED,
        ValueClass.SUM,
    ]


def test_operands_stand_before_their_use() -> None:
    good = graph("%3: batch[H] = neg(x)", "%4: batch[H] = neg(%3)")
    late = replace(good, nodes=(good.nodes[1], good.nodes[0]))
    with pytest.raises(GraphError, match="operand %3 is not defined before it"):
        verify(late)


def test_states_come_in_pairs() -> None:
    whole = lstm()
    without = tuple(r for r in whole.results if (r.name, r.role) != ("c", ResultRole.STATE))
    with pytest.raises(GraphError, match="state `c` has no result"):
        verify(replace(whole, results=without))
    extra = (*whole.results, Result("m", ResultRole.STATE, 0))
    with pytest.raises(GraphError, match="state `m` has no leaf"):
        verify(replace(whole, results=extra))


def test_parameters_are_shared_and_streams_batched() -> None:
    whole = lstm()
    wrong = replace(whole.leaves[0], role=LeafRole.PARAM)
    with pytest.raises(GraphError, match=r"%0 \(param `x`\) of graph `lstm`: must be shared"):
        verify(replace(whole, leaves=(wrong, *whole.leaves[1:])))


def test_a_step_computes_nothing_from_parameters_alone() -> None:
    with pytest.raises(GraphError, match="belongs to prepare"):
        verify_step(graph("%3: shared[H] = exp(w)"))
    with pytest.raises(GraphError, match="belongs to prepare"):
        verify_step(graph("value v = w"))


def test_prepare_reads_parameters_alone() -> None:
    with pytest.raises(GraphError, match="is batched in a prepare graph"):
        verify_prepare(graph())
