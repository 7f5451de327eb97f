"""Products of several factors: the order found is the best one, and means the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from rnndsl.cell import parse
from rnndsl.compiler.autodiff import differentiate
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.interpreter import run
from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole
from rnndsl.compiler.lower import lower
from rnndsl.compiler.passes.order_products import order_products
from rnndsl.compiler.pipeline import PIPELINES, run_pipeline
from rnndsl.compiler.product_order import Factor, Pair, Tree, best_order, cost_of
from rnndsl.compiler.separate import separate
from rnndsl.compiler.verify import verify
from tests.compiler.make import batched, random_leaves, shared
from tests.compiler.tolerance import assert_same, flat

SIZES = {"a": 2, "b": 3, "c": 4, "d": 2, "e": 5}


def random_factors(rng: np.random.Generator, count: int) -> tuple[list[Factor], str]:
    factors = []
    for _ in range(count):
        letters = rng.permutation(list(SIZES))[: rng.integers(0, 4)]
        factors.append(Factor("".join(letters), int(rng.integers(0, 3))))
    there = sorted({c for f in factors for c in f.letters})
    return factors, "".join(rng.permutation(there)[: rng.integers(0, 3)])


def every_tree(members: list[int], factors: list[Factor], output: str) -> Iterator[Tree]:
    """All orders, with the letters that others or the result still need."""
    if len(members) == 1:
        yield members[0]
        return
    others = [f.letters for k, f in enumerate(factors) if k not in members]
    wanted = set(output).union(*others)
    own = dict.fromkeys("".join(factors[k].letters for k in members))
    kept = "".join(c for c in own if c in wanted)
    first, rest = members[0], members[1:]
    for choice in range(2 ** len(rest) - 1):
        left = [first, *(m for k, m in enumerate(rest) if choice >> k & 1)]
        right = [m for m in members if m not in left]
        for x in every_tree(left, factors, output):
            for y in every_tree(right, factors, output):
                yield Pair(x, y, kept)


@pytest.mark.parametrize("seed", range(30))
def test_no_order_is_cheaper_than_the_one_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    factors, output = random_factors(rng, int(rng.integers(3, 6)))
    tree, cost = best_order(factors, output, SIZES)
    assert cost == pytest.approx(cost_of(tree, factors, output, SIZES))
    everything = every_tree(list(range(len(factors))), factors, output)
    assert cost == pytest.approx(min(cost_of(t, factors, output, SIZES) for t in everything))


def product_graph(seed: int) -> Graph:
    """A product of random factors, multiplied from left to right, in a recurrence."""
    rng = np.random.default_rng(seed)
    factors, output = random_factors(rng, int(rng.integers(3, 7)))
    b = Builder()
    kinds = ((shared, LeafRole.PARAM), (batched, LeafRole.INPUT), (batched, LeafRole.STATE))
    values = []
    for position, factor in enumerate(factors):
        kind, role = kinds[factor.level]
        sizes = [SIZES[c] for c in factor.letters]
        values.append(b.leaf(f"v{position}", role, kind(*sizes)))
    total, letters = values[0], factors[0].letters
    for position, (value, factor) in enumerate(zip(values[1:], factors[1:], strict=True), 2):
        wanted = set(output).union(*(f.letters for f in factors[position:]))
        both = dict.fromkeys(letters + factor.letters)
        kept = "".join(c for c in both if c in wanted)
        kept = output if position == len(factors) else kept
        spec = f"{letters},{factor.letters}->{kept}"
        total, letters = b.op("contract", total, value, spec=spec, sum_batch=False), kept
    if b.type_of(total).batched:
        b.result("y", ResultRole.OUTPUT, total)
    else:
        b.result("y", ResultRole.VALUE, total)
    for position, (value, factor) in enumerate(zip(values, factors, strict=True)):
        if factor.level == 2:
            b.result(f"v{position}", ResultRole.STATE, value)
    return b.finish("product")


@pytest.mark.parametrize("seed", range(60))
def test_another_order_means_the_same(seed: int) -> None:
    graph = product_graph(seed)
    ordered = order_products(graph)
    verify(ordered)
    leaves = random_leaves(graph, 3, 2, seed)
    assert_same(flat(run(ordered, *leaves)), graph, *leaves)


def test_many_products_do_change_their_order() -> None:
    graphs = [product_graph(seed) for seed in range(60)]
    assert sum(order_products(graph) is not graph for graph in graphs) > 20


LOW_RANK = """
cell LowRank(D, H, r = 3):
    input x: [D]
    state h: [H]
    param U: [H, r]
    param V: [r, H]
    z = linear[r](x)
    h' = tanh(einsum("ik,k,kj->ij", U, z, V) @ h)
    return h'
"""

SCALED = """
cell Scaled(D, H):
    input x: [D]
    state h: [H]
    param W: [H, H]
    h' = tanh((W * outer(sigmoid(linear[H](x, name = a)), linear[H](x, name = b))) @ h)
    return h'
"""


@pytest.mark.parametrize("text", [LOW_RANK, SCALED])
def test_no_matrix_is_made_for_each_example_forward_or_backward(text: str) -> None:
    graph = run_pipeline(lower(parse(text)).graph, PIPELINES["default"])
    made = differentiate(separate(graph).step)
    for part in (made.forward, made.backward):
        ranks = [n.type.rank for n in part.nodes if n.type.batched and isinstance(n, Node)]
        assert max(ranks) == 1


def test_a_product_of_too_many_factors_is_left_alone() -> None:
    b = Builder()
    factors = [b.leaf(f"v{k}", LeafRole.INPUT, batched(2, 2)) for k in range(9)]
    total = factors[0]
    for factor in factors[1:]:
        total = b.op("contract", total, factor, spec="ij,jk->ik", sum_batch=False)
    b.result("y", ResultRole.OUTPUT, total)
    graph = b.finish("long")
    assert order_products(graph) is graph
