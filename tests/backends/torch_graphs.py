"""Hand-made step graphs and a comparison with the interpreter, for the PyTorch tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rnndsl.compiler.builder import Builder, shape_of
from rnndsl.compiler.ir import Graph, LeafRole, ResultRole, Type

D, H = 3, 5


def batched(*sizes: int) -> Type:
    return Type(shape_of(*sizes), True)


def shared(*sizes: int) -> Type:
    return Type(shape_of(*sizes), False)


def lstm(inputs: int = D, hidden: int = H) -> Graph:
    """The LSTM, gate by gate, with its zero initial states as VALUE results."""
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched(inputs))
    h = b.leaf("h", LeafRole.STATE, batched(hidden))
    c = b.leaf("c", LeafRole.STATE, batched(hidden))
    gates = {}
    for gate in "ifgo":
        wx = b.leaf(f"{gate}.x.weight", LeafRole.PARAM, shared(hidden, inputs))
        wh = b.leaf(f"{gate}.h.weight", LeafRole.PARAM, shared(hidden, hidden))
        bias = b.leaf(f"{gate}.bias", LeafRole.PARAM, shared(hidden))
        before = b.op(
            "add",
            b.op("add", b.op("contract", wx, x, spec="ij,j->i", sum_batch=False), bias),
            b.op("contract", wh, h, spec="ij,j->i", sum_batch=False),
        )
        gates[gate] = b.op("tanh" if gate == "g" else "sigmoid", before, name=gate)
    kept = b.op("mul", gates["f"], c)
    c_next = b.op("add", kept, b.op("mul", gates["i"], gates["g"]), name="c'")
    h_next = b.op("mul", gates["o"], b.op("tanh", c_next), name="h'")
    b.result("y", ResultRole.OUTPUT, h_next)
    b.result("h", ResultRole.STATE, h_next)
    b.result("c", ResultRole.STATE, c_next)
    for state in "hc":
        b.result(f"init.{state}", ResultRole.VALUE, b.full(0, shape_of(hidden)))
    return b.finish("LSTM")


def memory() -> Graph:
    """A matrix state, written and read by outer products; a learned initial state."""
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched(D))
    m = b.leaf("m", LeafRole.STATE, batched(2, D))
    w = b.leaf("w", LeafRole.PARAM, shared(2, D))
    start = b.leaf("start", LeafRole.PARAM, shared(2, D))
    key = b.op("tanh", b.op("contract", w, x, spec="ij,j->i", sum_batch=False), name="key")
    outer = b.op("contract", key, x, spec="n,v->nv", sum_batch=False)
    half = b.full(0.5, shape_of(2, D))
    m_next = b.op("add", b.op("mul", half, m), outer, name="m'")
    y = b.op("contract", m_next, key, spec="nv,n->v", sum_batch=False, name="y")
    b.result("y", ResultRole.OUTPUT, y)
    b.result("m", ResultRole.STATE, m_next)
    b.result("init.m", ResultRole.VALUE, b.op("mul", start, start))
    return b.finish("memory")


def window() -> Graph:
    """Two delayed inputs (states on no cycle), a swap of two states, a state that stays."""
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched(D))
    states = {n: b.leaf(n, LeafRole.STATE, batched(D)) for n in ("p", "q", "a", "b", "k")}
    scale = b.leaf("scale", LeafRole.PARAM, shared(D))
    total = b.op("add", b.op("mul", x, states["p"]), b.op("mul", states["q"], scale))
    y = b.op("add", b.op("add", total, b.op("sin", states["a"])), states["k"], name="y")
    b.result("y", ResultRole.OUTPUT, y)
    for name, value in (("p", x), ("q", states["p"]), ("a", states["b"]), ("b", states["a"])):
        b.result(name, ResultRole.STATE, value)
    b.result("k", ResultRole.STATE, states["k"])
    for name in states:
        b.result(f"init.{name}", ResultRole.VALUE, b.full(0.25, shape_of(D)))
    return b.finish("window")


def chain() -> Graph:
    """Two recurrences in sequence, with shape ops, reductions and choices between them."""
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched(4))
    s = b.leaf("s", LeafRole.STATE, batched(2, 2))
    u = b.leaf("u", LeafRole.STATE, batched(4))
    w = b.leaf("w", LeafRole.PARAM, shared(4, 4))
    tall = b.op("reshape", x, shape=shape_of(2, 2))
    first = b.op("tanh", b.op("add", b.op("transpose", s, perm=(1, 0)), tall), name="s'")
    best = b.op("reduce_max", first, axis=1)
    spread = b.op("broadcast", best, shape=shape_of(2, 2), axes=(0,))
    share = b.op("div", b.op("exp", b.op("sub", first, spread)), b.full(2, shape_of(2, 2)))
    flat = b.op("reshape", share, shape=shape_of(4))
    turned = b.op("roll", b.op("contract", u, w, spec="j,ji->i", sum_batch=False), axis=0, shift=1)
    positive = b.op("gt", turned, b.full(0, shape_of(4)))
    taken = b.op("where", positive, turned, b.op("mul", turned, b.full(0.1, shape_of(4))))
    second = b.op("sigmoid", b.op("add", taken, flat), name="u'")
    parts = [b.op("slice", second, axis=0, bounds=shape_of(*p)) for p in ((1, 4), (0, 1))]
    joined = b.op("concat", *parts, axis=0)
    padded = b.op(
        "slice", b.op("pad", joined, axis=0, bounds=shape_of(1, 2)), axis=0, bounds=shape_of(2, 6)
    )
    chosen = b.op("gather", b.op("cumsum", padded, axis=0, reverse=True), axis=0, indices=(3, 0, 0))
    b.result("y", ResultRole.OUTPUT, chosen)
    b.result("s", ResultRole.STATE, first)
    b.result("u", ResultRole.STATE, second)
    b.result("init.s", ResultRole.VALUE, b.full(0, shape_of(2, 2)))
    b.result("init.u", ResultRole.VALUE, b.op("reduce_sum", w, axis=0))
    return b.finish("chain")


def scans() -> Graph:
    """Scans along axes of an example's own, there and back, with shared operands and without."""
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched(9, 2))
    s = b.leaf("s", LeafRole.STATE, batched(9, 2))
    w = b.leaf("w", LeafRole.PARAM, shared(9, 2))
    factor = b.op("sigmoid", b.op("add", s, w))
    first = b.op("linear_scan", factor, x, axis=0, reverse=False)
    second = b.op("linear_scan", w, first, axis=1, reverse=True)
    third = b.op("max_scan", factor, w, axis=0, reverse=True)
    fourth = b.op("max_scan", w, b.op("sub", second, third), axis=0, reverse=False)
    b.result("y", ResultRole.OUTPUT, fourth)
    b.result("s", ResultRole.STATE, b.op("tanh", fourth))
    start = b.op(
        "max_scan", w, b.op("linear_scan", w, w, axis=1, reverse=False), axis=0, reverse=True
    )
    b.result("init.s", ResultRole.VALUE, b.op("tanh", start))
    return b.finish("scanned")


GRAPHS: dict[str, Callable[[], Graph]] = {
    "lstm": lstm,
    "memory": memory,
    "window": window,
    "chain": chain,
    "scans": scans,
}


def random_leaves(
    graph: Graph, role: LeafRole, lead: tuple[int, ...], seed: int = 0
) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Normal draws for the leaves of one role; ``lead`` are the axes before an example's."""
    draw = np.random.default_rng(seed)
    return {
        leaf.name: draw.normal(size=(*lead, *leaf.type.sizes)) for leaf in graph.leaves_of(role)
    }
