"""How much arithmetic a graph is."""

from __future__ import annotations

from math import prod

from rnndsl.compiler.ir import Graph, Node
from rnndsl.compiler.op_types import parse_spec

# Operations of an elementwise function, in multiplications and additions.
_ELEMENT = 4


def work(graph: Graph) -> int:
    """About how many operations one step of one example takes."""
    return sum(_of_node(graph, node) for _, node in graph.node_values())


def _of_node(graph: Graph, node: Node) -> int:
    if not any(graph.type_of(v).batched for v in node.operands):
        return 0
    if node.op != "contract":
        return _ELEMENT * prod(node.type.sizes)
    left, right, _ = parse_spec(node.attr("spec"))
    shapes = [graph.type_of(v).sizes for v in node.operands]
    sizes = dict(zip(left + right, (*shapes[0], *shapes[1]), strict=True))
    return 2 * prod(sizes.values())
