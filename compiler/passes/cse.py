"""Common subexpression elimination: equal equations are computed once."""

from __future__ import annotations

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.ops import OPS
from rnndsl.compiler.text_values import attrs_text


def cse(graph: Graph) -> Graph:
    """Let later nodes with the op, operands and attributes of an earlier one be that one.

    Commutative ops count as equal in either order.  The earlier node takes over the name
    that a later one has in the user's file, if it has none.
    """
    builder = Builder()
    handles = [builder.leaf(f.name, f.role, f.type, f.span) for f in graph.leaves]
    # Attributes by their text: as Python values 1, 1.0 and true are equal, and so are 0 and -0.
    known: dict[tuple[str, tuple[int, ...], str], int] = {}
    for node in graph.nodes:
        operands = tuple([handles[v] for v in node.operands])
        order = tuple(sorted(operands)) if OPS[node.op].commutative else operands
        key = (node.op, order, attrs_text(node.attrs))
        if key not in known:
            known[key] = builder.keep(node, operands)
        elif node.name and not builder.definition(known[key]).name:
            builder.rename(known[key], node.name)
        handles.append(known[key])
    if len(known) == len(graph.nodes):
        return graph
    for result in graph.results:
        builder.result(result.name, result.role, handles[result.value])
    return builder.finish(graph.name)
