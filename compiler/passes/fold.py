"""Constant folding, by the op's own meaning: what is the same number everywhere is a ``full``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Graph, Node, Type
from rnndsl.compiler.op_meaning import Array
from rnndsl.compiler.ops import OPS
from rnndsl.compiler.separate import CONSTANT_OPS

# Larger constants are left alone: folding should never take noticeable time or memory.
_LARGEST = 1 << 16
# If the operand is one number everywhere, so is the result.
_MOVES = {"broadcast", "reshape", "transpose", "slice", "gather", "roll", "reduce_max", "cummax"}


def fold(graph: Graph) -> Graph:
    """Replace nodes on constants by a ``full``, where the result is one finite number."""
    builder = Builder()
    handles = [builder.leaf(f.name, f.role, f.type, f.span) for f in graph.leaves]
    changed = False
    for node in graph.nodes:
        operands = tuple([handles[v] for v in node.operands])
        number = None if node.op == "full" else _number(builder, node, operands)
        if number is None:
            handles.append(builder.copy(node, operands))
        else:
            changed = True
            attrs = (("shape", node.type.shape), ("value", number))
            handles.append(builder.node("full", (), attrs, node.name, node.span))
    if not changed:
        return graph
    for result in graph.results:
        builder.result(result.name, result.role, handles[result.value])
    return builder.finish(graph.name)


def _number(builder: Builder, node: Node, operands: Sequence[int]) -> float | None:
    """The number that all elements of a node are, None if they are not or it is not known."""
    constants: list[Node] = []
    for operand in operands:
        entry = builder.definition(operand)
        if not isinstance(entry, Node) or entry.op not in CONSTANT_OPS:
            return None
        constants.append(entry)
    uniform = all(entry.op == "full" for entry in constants)
    if operands and uniform and (OPS[node.op].elementwise or node.op in _MOVES):
        # The shape does not matter, so it may even be unbound: look at one element.
        numbers = [np.asarray(float(entry.attr("value"))) for entry in constants]  # type: ignore[arg-type]
        return _as_number(_evaluate_scalars(node, numbers))
    if _is_small(node, constants):
        return _as_number(_evaluate(node, constants))
    return None


def _evaluate_scalars(node: Node, numbers: Sequence[Array]) -> Array:
    if not OPS[node.op].elementwise:
        return numbers[0]
    scalar = Type((), batched=False)
    with np.errstate(all="ignore"):
        return OPS[node.op].meaning(numbers, {}, [scalar] * len(numbers), scalar)


def _is_small(node: Node, constants: Sequence[Node]) -> bool:
    shapes = [entry.type.shape for entry in (*constants, node)]
    if any(size.names for shape in shapes for size in shape):
        return False
    return all(np.prod([int(d) for d in shape], dtype=float) <= _LARGEST for shape in shapes)


def _evaluate(node: Node, constants: Sequence[Node]) -> Array:
    arrays = [OPS[c.op].meaning([], dict(c.attrs), [], c.type) for c in constants]
    with np.errstate(all="ignore"):
        types = [c.type for c in constants]
        return OPS[node.op].meaning(arrays, dict(node.attrs), types, node.type)


def _as_number(array: Array) -> float | None:
    """The value that every element has; None if they differ or it is not a number."""
    if not array.size:
        return None
    first = float(array.flat[0])
    same = np.all(array == first) and np.all(np.signbit(array) == np.signbit(first))
    return first if same and not np.isnan(first) else None
