"""Finding where a value of a cell first became NaN or infinite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from rnndsl.backends.errors_torch import NonFinite
from rnndsl.backends.torch.backends import compile_plan, compile_shared
from rnndsl.backends.torch.program import INIT
from rnndsl.backends.torch.variants import TAP, with_all_taps
from rnndsl.compiler.ir import Graph, LeafRole, Node, Result, ResultRole
from rnndsl.compiler.separate import separate
from rnndsl.compiler.split import split


def first_nonfinite(
    graph: Graph,
    params: dict[str, Tensor],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    valid: Tensor | None,
    reverse: bool,
    layer: str,
) -> NonFinite | None:
    """The value where the first NaN or infinity of a sequence arose; None if all is finite.

    That is the first step at which the output or a next state is not finite, followed back
    to a value whose own operands are finite.  States that begin infinite may stay so.
    """
    shared = _shared(graph, params, inputs[0])
    tapped, values = with_all_taps(graph)
    parts = separate(tapped)
    step = compile_plan(split(parts.step), "torch")
    made = params | _derived(parts.prepare, params, inputs[0])
    given = tuple(made[leaf.name] for leaf in parts.step.leaves_of(LeafRole.PARAM))
    batch = inputs[0].shape[1]
    state_leaves = graph.leaves_of(LeafRole.STATE)
    current = tuple(states) or tuple(
        made[f"{INIT}{leaf.name}"].expand(batch, *leaf.type.sizes) for leaf in state_leaves
    )
    order = range(len(inputs[0]))
    for time in reversed(order) if reverse else order:
        outputs, finals, _ = step(tuple(x[time : time + 1] for x in inputs), current, given)
        count = len(graph.results_of(ResultRole.OUTPUT))
        here = dict(zip(values, (tensor[0] for tensor in outputs[count:]), strict=True))
        here |= {v: tensor.expand(batch, *tensor.shape) for v, tensor in shared.items()}
        alive = None if valid is None else valid[time] != 0
        origin = _origin(graph, here, alive)
        if origin is not None:
            value, example = origin
            return _described(graph, value, here[value][example], time, layer)
        current = tuple(finals)
    return None


def _shared(graph: Graph, params: dict[str, Tensor], like: Tensor) -> dict[int, Tensor]:
    """All values that depend on parameters alone, by value index."""
    nodes = [v for v, node in graph.node_values() if not node.type.batched]
    results = tuple(Result(f"{TAP}{v}", ResultRole.VALUE, v) for v in nodes)
    made = _derived(separate(replace(graph, results=results)).prepare, params, like)
    found = {
        v: params[leaf.name] for v, leaf in enumerate(graph.leaves) if leaf.role is LeafRole.PARAM
    }
    return found | {v: made[f"{TAP}{v}"] for v in nodes}


def _derived(prepare: Graph, params: dict[str, Tensor], like: Tensor) -> dict[str, Tensor]:
    leaves = tuple(params[leaf.name] for leaf in prepare.leaves)
    made = compile_shared(prepare)(leaves, like)
    return dict(zip((r.name for r in prepare.results), made, strict=True))


def _origin(
    graph: Graph, values: dict[int, Tensor], alive: Tensor | None
) -> tuple[int, int] | None:
    """The value and the example where a non-finite result of one step comes from."""
    for result in graph.results:
        if result.role is ResultRole.VALUE:
            continue
        tensor = values[result.value]
        wrong = _per_example(~tensor.isfinite())
        if result.role is ResultRole.STATE:
            before = values[graph.leaf_index(result.name, LeafRole.STATE)]
            wrong = _per_example(tensor.isnan()) | (wrong & ~_per_example(before.isinf()))
        if alive is not None:
            wrong = wrong & alive
        if bool(wrong.any()):
            example = int(wrong.nonzero()[0])
            return _walk_back(graph, values, result.value, example), example
    return None


def _walk_back(graph: Graph, values: dict[int, Tensor], value: int, example: int) -> int:
    """From a value to the first one on its way that has no operand as bad as itself."""
    while True:
        node = graph.definition(value)
        if not isinstance(node, Node):
            return value
        is_nan = bool(values[value][example].isnan().any())
        bad = [
            v
            for v in node.operands
            if bool(
                values[v][example].isnan().any()
                if is_nan
                else (~values[v][example].isfinite()).any()
            )
            and not _is_constant(graph, v)
        ]
        if not bad:
            return value
        value = bad[0]


def _is_constant(graph: Graph, value: int) -> bool:
    node = graph.definition(value)
    return isinstance(node, Node) and not node.operands


def _per_example(flags: Tensor) -> Tensor:
    return flags.flatten(1).any(1) if flags.dim() > 1 else flags


def _described(graph: Graph, value: int, tensor: Tensor, step: int, layer: str) -> NonFinite:
    found = graph.definition(value)
    if isinstance(found, Node):
        name = f"`{found.name}`" if found.name else f"a value made by {found.op}"
    else:
        name = f"{found.role.value} `{found.name}`"
    kind = "NaN" if bool(tensor.isnan().any()) else "infinite"
    return NonFinite(found.span, name, kind, step, layer)


def all_finite(tensors: Sequence[Tensor]) -> bool:
    """Whether every element of every tensor is finite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
