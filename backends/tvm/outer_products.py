"""Products without a sum, written as elementwise products of repeated operands.

As such they are computed together with what is done to them: the outer product that is added
to a matrix state is never stored.
"""

from __future__ import annotations

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Graph, Node
from rnndsl.compiler.op_types import parse_spec


def spread_products(graph: Graph) -> Graph:
    """Replace contractions that sum over nothing."""
    found = {v: n for v, n in graph.node_values() if _sums_nothing(n)}
    if not found:
        return graph
    builder = Builder()
    handles = [builder.leaf(f.name, f.role, f.type, f.span) for f in graph.leaves]
    for value, node in graph.node_values():
        operands = tuple(handles[v] for v in node.operands)
        handles.append(
            _spread(builder, node, operands) if value in found else builder.copy(node, operands)
        )
    for result in graph.results:
        builder.result(result.name, result.role, handles[result.value])
    return builder.finish(graph.name)


def _sums_nothing(node: Node) -> bool:
    if node.op != "contract" or node.attr("sum_batch"):
        return False
    left, right, out = parse_spec(node.attr("spec"))
    return set(left + right) == set(out)


def _spread(builder: Builder, node: Node, operands: tuple[int, ...]) -> int:
    *letters, out = parse_spec(node.attr("spec"))
    factors = []
    for names, operand in zip(letters, operands, strict=True):
        order = tuple(sorted(range(len(names)), key=lambda axis: out.index(names[axis])))
        if order != tuple(range(len(names))):
            operand = builder.op("transpose", operand, perm=order)
        axes = tuple(sorted(out.index(k) for k in names))
        if len(axes) < len(out):
            operand = builder.op("broadcast", operand, shape=node.type.shape, axes=axes)
        factors.append(operand)
    return builder.op("mul", *factors, name=node.name, span=node.span)
