"""Small graphs made by hand for the compiler's tests."""

from __future__ import annotations

import numpy as np

from rnndsl.compiler.builder import Builder, shape_of
from rnndsl.compiler.ir import Graph, LeafRole, ResultRole, Type
from rnndsl.compiler.op_meaning import Array


def batched(*sizes: int | str) -> Type:
    return Type(shape_of(*sizes), batched=True)


def shared(*sizes: int | str) -> Type:
    return Type(shape_of(*sizes), batched=False)


def matvec(b: Builder, matrix: int, vector: int) -> int:
    return b.op("contract", matrix, vector, spec="ij,j->i", sum_batch=False)


def lstm() -> Graph:
    """An LSTM as in torch.nn.LSTM, with one bias, over D and H."""
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched("D"))
    h = b.leaf("h", LeafRole.STATE, batched("H"))
    c = b.leaf("c", LeafRole.STATE, batched("H"))
    gates = {}
    for gate, squash in (("i", "sigmoid"), ("f", "sigmoid"), ("g", "tanh"), ("o", "sigmoid")):
        from_x = matvec(b, b.leaf(f"{gate}.x.weight", LeafRole.PARAM, shared("H", "D")), x)
        from_h = matvec(b, b.leaf(f"{gate}.h.weight", LeafRole.PARAM, shared("H", "H")), h)
        bias = b.leaf(f"{gate}.bias", LeafRole.PARAM, shared("H"))
        gates[gate] = b.op(squash, b.op("add", b.op("add", from_x, from_h), bias), name=gate)
    kept = b.op("mul", gates["f"], c)
    c_next = b.op("add", kept, b.op("mul", gates["i"], gates["g"]), name="c'")
    h_next = b.op("mul", gates["o"], b.op("tanh", c_next), name="h'")
    b.result("y", ResultRole.OUTPUT, h_next)
    b.result("h", ResultRole.STATE, h_next)
    b.result("c", ResultRole.STATE, c_next)
    return b.finish("lstm")


def random_leaves(
    graph: Graph, length: int, batch: int, seed: int = 0, scale: float = 0.5
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """Inputs [T, B, *], states [B, *] and params [*] for a bound graph."""
    rng = np.random.default_rng(seed)
    lead = {LeafRole.INPUT: (length, batch), LeafRole.STATE: (batch,), LeafRole.PARAM: ()}
    made: dict[LeafRole, dict[str, Array]] = {role: {} for role in lead}
    for leaf in graph.leaves:
        shape = (*lead[leaf.role], *leaf.type.sizes)
        made[leaf.role][leaf.name] = scale * rng.standard_normal(shape)
    return made[LeafRole.INPUT], made[LeafRole.STATE], made[LeafRole.PARAM]
