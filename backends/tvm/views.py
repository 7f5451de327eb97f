"""Where a value's memory is, seen through ops that move nothing."""

from __future__ import annotations

from rnndsl.backends.tvm.lower_names import CONSTANT_OPS, VIEW_OPS
from rnndsl.compiler.ir import Graph, Node


def root(graph: Graph, value: int) -> int | None:
    """The value whose memory a value reads: itself unless it is a view; None for constants."""
    found = graph.definition(value)
    if isinstance(found, Node):
        if found.op in CONSTANT_OPS:
            return None
        if found.op in VIEW_OPS:
            return root(graph, found.operands[0])
    return value
