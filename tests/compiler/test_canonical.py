"""Equal cells have equal hashes whatever they are called; near twins have different ones."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.canonical import canonical_hash, same_cell
from rnndsl.compiler.ir import Graph, LeafRole, Node, Result, ResultRole
from rnndsl.compiler.ops import OPS
from rnndsl.compiler.text import parse_graph, print_graph
from rnndsl.compiler.verify import verify
from tests.compiler.make import lstm
from tests.compiler.random_graphs import random_graph


def scramble(graph: Graph, seed: int) -> Graph:
    """The same cell written differently: other names, other order, idle extras."""
    rng = np.random.default_rng(seed)
    b = Builder()
    inputs = [v for v, leaf in enumerate(graph.leaves) if leaf.role is LeafRole.INPUT]
    others = [v for v, leaf in enumerate(graph.leaves) if leaf.role is not LeafRole.INPUT]
    names: dict[str, str] = {}
    handles: dict[int, int] = {}
    for value in (*inputs, *rng.permutation(others).tolist()):
        leaf = graph.leaves[value]
        names[leaf.name] = f"{leaf.role.value}.{len(handles)}"
        handles[value] = b.leaf(names[leaf.name], leaf.role, leaf.type)
    nodes = dict(graph.node_values())
    while nodes:  # in any order that has operands first
        ready = [v for v, node in nodes.items() if all(o in handles for o in node.operands)]
        value = int(rng.choice(ready))
        node = nodes.pop(value)
        operands = tuple(handles[v] for v in node.operands)
        if OPS[node.op].commutative and rng.random() < 0.5:
            operands = operands[::-1]
        handle = b.node(node.op, operands, node.attrs)
        if rng.random() < 0.1:
            handle = b.op("neg", b.op("neg", handle))
        if rng.random() < 0.1:
            handle = b.op("mul", b.full(1.0, node.type.shape), handle)
        if rng.random() < 0.1:
            b.op("exp", handle)
        handles[value] = handle
    outputs = graph.results_of(ResultRole.OUTPUT)
    rest = [r for r in graph.results if r.role is not ResultRole.OUTPUT]
    for result in (*outputs, *(rest[k] for k in rng.permutation(len(rest)))):
        b.result(_renamed(result, names), result.role, handles[result.value])
    return b.finish(f"other{seed}")


def _renamed(result: Result, names: dict[str, str]) -> str:
    if result.role is ResultRole.STATE:
        return names[result.name]
    if result.role is ResultRole.VALUE:
        return f"init.{names[result.name.removeprefix('init.')]}"
    return f"out.{result.name}"


def with_node(graph: Graph, name: str, **changes: object) -> Graph:
    """The graph with the node of that name changed."""
    nodes = tuple(
        replace(node, **changes) if node.name == name else node  # type: ignore[arg-type]
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes)


def cell(*lines: str) -> Graph:
    """A small cell: input x, states h and m, matrices U and V, a vector b."""
    leaves = (
        "input x: batch[H]", "state h: batch[H]", "state m: batch[H]",
        "param U: shared[H, H]", "param V: shared[H, H]", "param b: shared[H]",
    )  # fmt: skip
    made = parse_graph("\n".join(("graph g {", *leaves, *lines, "}")))
    verify(made)
    return made


MATVEC = '{spec="ij,j->i", sum_batch=false}'
PRODUCTS = (
    f"%6: batch[H] = contract(U, h) {MATVEC}",
    f"%7: batch[H] = contract(V, x) {MATVEC}",
)
BASE = cell(
    *PRODUCTS,
    "%8: batch[H] = add(%6, %7)",
    "%9: batch[H] = add(%8, b)",
    "%10: batch[H] = tanh(%9)",
    "output y = %10", "state h = %10", "state m = %9",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(25))
def test_hash_does_not_see_names_and_order(seed: int) -> None:
    graph = random_graph(seed, 20, derived=True)
    for turn in range(3):
        other = scramble(graph, 100 * seed + turn)
        verify(other)
        assert canonical_hash(other) == canonical_hash(graph)
        assert same_cell(graph, other)


@pytest.mark.parametrize("seed", range(5))
def test_scrambled_lstm_is_an_lstm(seed: int) -> None:
    assert canonical_hash(scramble(lstm(), seed)) == canonical_hash(lstm())


SAME = {
    "terms of a sum in another order": cell(
        *PRODUCTS,
        "%8: batch[H] = add(b, %7)",
        "%9: batch[H] = add(%8, %6)",
        "%10: batch[H] = tanh(%9)",
        "output y = %10", "state h = %10", "state m = %9",
    ),
    "a subtraction of the negative": cell(
        *PRODUCTS,
        "%8: batch[H] = neg(%7)",
        "%9: batch[H] = sub(%6, %8)",
        "%10: batch[H] = add(%9, b)",
        "%11: batch[H] = tanh(%10)",
        "output y = %11", "state h = %11", "state m = %10",
    ),
    "a dead state": cell(
        *PRODUCTS,
        "%8: batch[H] = add(%6, %7)",
        "%9: batch[H] = add(%8, b)",
        "%10: batch[H] = tanh(%9)",
        "%11: batch[H] = exp(m)",
        "output y = %10", "state h = %10", "state m = %11",
    ),
    "a transposed weight": cell(
        f"%6: batch[H] = contract(h, U) {MATVEC.replace('ij,j->i', 'a,ba->b')}",
        "%7: shared[H, H] = transpose(V) {perm=(1, 0)}",
        f"%8: batch[H] = contract(%7, x) {MATVEC.replace('ij,j->i', 'ij,i->j')}",
        "%9: batch[H] = add(%6, %8)",
        "%10: batch[H] = add(%9, b)",
        "%11: batch[H] = tanh(%10)",
        "output y = %11", "state h = %11", "state m = %10",
    ),
    "a state times zero": cell(
        *PRODUCTS,
        "%8: batch[H] = add(%6, %7)",
        "%9: batch[H] = add(%8, b)",
        "%10: shared[H] = full() {shape=[H], value=0.0}",
        "%11: batch[H] = mul(m, %10)",
        "%12: batch[H] = add(%9, %11)",
        "%13: batch[H] = tanh(%12)",
        "output y = %13", "state h = %13", "state m = %9",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SAME)
def test_other_spelling_is_the_same_cell(what: str) -> None:
    assert canonical_hash(SAME[what]) == canonical_hash(BASE)
    assert same_cell(SAME[what], BASE)


TWINS = {
    "another function": [
        *PRODUCTS,
        "%8: batch[H] = add(%6, %7)",
        "%9: batch[H] = add(%8, b)",
        "%10: batch[H] = sigmoid(%9)",
        "output y = %10", "state h = %10", "state m = %9",
    ],
    "one weight for both products": [
        f"%6: batch[H] = contract(U, h) {MATVEC}",
        f"%7: batch[H] = contract(U, x) {MATVEC}",
        "%8: batch[H] = add(%6, %7)",
        "%9: batch[H] = add(%8, b)",
        "%10: batch[H] = tanh(%9)",
        "output y = %10", "state h = %10", "state m = %9",
    ],
    "the state before the function": [
        *PRODUCTS,
        "%8: batch[H] = add(%6, %7)",
        "%9: batch[H] = add(%8, b)",
        "%10: batch[H] = tanh(%9)",
        "output y = %10", "state h = %9", "state m = %9",
    ],
    "a delay": [
        f"%6: batch[H] = contract(U, m) {MATVEC}",
        f"%7: batch[H] = contract(V, x) {MATVEC}",
        "%8: batch[H] = add(%6, %7)",
        "%9: batch[H] = add(%8, b)",
        "%10: batch[H] = tanh(%9)",
        "output y = %10", "state h = %10", "state m = h",
    ],
    "a difference": [
        *PRODUCTS,
        "%8: batch[H] = sub(%6, %7)",
        "%9: batch[H] = add(%8, b)",
        "%10: batch[H] = tanh(%9)",
        "output y = %10", "state h = %10", "state m = %9",
    ],
    "no bias": [
        *PRODUCTS,
        "%8: batch[H] = add(%6, %7)",
        "%9: batch[H] = tanh(%8)",
        "output y = %9", "state h = %9", "state m = %8",
    ],
    "another start": [
        *PRODUCTS,
        "%8: batch[H] = add(%6, %7)",
        "%9: batch[H] = add(%8, b)",
        "%10: batch[H] = tanh(%9)",
        "%11: shared[H] = full() {shape=[H], value=1.0}",
        "output y = %10", "state h = %10", "state m = %9", "value init.h = %11",
    ],
}  # fmt: skip


def test_near_twins_differ() -> None:
    graphs = [BASE, *(cell(*lines) for lines in TWINS.values())]
    assert len({canonical_hash(graph) for graph in graphs}) == len(graphs)
    assert not any(same_cell(BASE, twin) for twin in graphs[1:])


def test_exchanged_gates_of_an_lstm_differ() -> None:
    twin = with_node(lstm(), "f", op="tanh")
    assert canonical_hash(twin) != canonical_hash(lstm())
    # Input and forget gate exchange their roles under renaming: still an LSTM.
    nodes = {node.name: value for value, node in lstm().node_values() if node.name}
    exchange = {nodes["i"]: nodes["f"], nodes["f"]: nodes["i"]}
    swapped = replace(
        lstm(),
        nodes=tuple(
            replace(node, operands=tuple(exchange.get(v, v) for v in node.operands))
            if node.op == "mul"
            else node
            for node in lstm().nodes
        ),
    )
    verify(swapped)
    assert swapped != lstm()
    assert canonical_hash(swapped) == canonical_hash(lstm())


def test_random_graphs_have_different_hashes() -> None:
    hashes = {canonical_hash(random_graph(seed, 15)) for seed in range(60)}
    assert len(hashes) == 60


def test_order_of_inputs_matters() -> None:
    two = parse_graph(
        "graph g {\ninput x: batch[]\ninput z: batch[]\n"
        "%2: batch[] = tanh(z)\n%3: batch[] = add(x, %2)\noutput y = %3\n}"
    )
    exchanged = replace(two, leaves=(two.leaves[1], two.leaves[0]))
    assert canonical_hash(two) == canonical_hash(exchanged)  # names of inputs do not count
    other = replace(two, nodes=(replace(two.nodes[0], operands=(0,)), two.nodes[1]))
    other = replace(other, nodes=(other.nodes[0], replace(other.nodes[1], operands=(1, 2))))
    assert canonical_hash(two) != canonical_hash(other)


def test_isomorphism_tells_apart_what_colours_cannot() -> None:
    """Two rings of three states against one ring of six: every vertex looks the same."""

    def rings(*lengths: int) -> Graph:
        b = Builder()
        kind = lstm().leaves[1].type
        states, start = [], 0
        for k in range(sum(lengths)):
            states.append(b.leaf(f"h{k}", LeafRole.STATE, kind))
        total = states[0]
        for state in states[1:]:
            total = b.op("add", total, state)
        b.result("y", ResultRole.OUTPUT, total)
        for length in lengths:
            for k in range(length):
                after = states[start + (k + 1) % length]
                b.result(f"h{start + k}", ResultRole.STATE, b.op("tanh", after))
            start += length
        return b.finish("rings")

    assert canonical_hash(rings(3, 3)) == canonical_hash(rings(6))
    assert not same_cell(rings(3, 3), rings(6))
    assert same_cell(rings(3, 3), scramble(rings(3, 3), 0))


def test_hash_is_the_same_in_every_process() -> None:
    code = (
        "import sys; from rnndsl.compiler.text import parse_graph;"
        "from rnndsl.compiler.canonical import canonical_hash;"
        "print(canonical_hash(parse_graph(sys.stdin.read())))"
    )
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=print_graph(lstm()),
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == canonical_hash(lstm())


def test_nodes_of_scrambled_graphs_keep_their_types() -> None:
    other = scramble(random_graph(1), 1)
    assert all(isinstance(node, Node) for node in other.nodes)
    assert all(leaf.type in {x.type for x in random_graph(1).leaves} for leaf in other.leaves)
