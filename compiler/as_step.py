"""A graph of shared values as one step of one example, for what compiles steps."""

from __future__ import annotations

from rnndsl.compiler.builder import Builder, import_nodes
from rnndsl.compiler.ir import Graph, LeafRole, Result, ResultRole, Type


def as_step(graph: Graph) -> Graph:
    """The step graph whose inputs are the parameters that the graph reads.

    Its outputs are the graph's results, under their names and in their order; none of them may
    be constant.  One step of one example makes them.
    """
    read = {value for node in graph.nodes for value in node.operands}
    read |= {result.value for result in graph.results}
    builder, handles = Builder(), dict[int, int]()
    for value, leaf in enumerate(graph.leaves):
        if value in read:
            kind = Type(leaf.type.shape, batched=True)
            handles[value] = builder.leaf(leaf.name, LeafRole.INPUT, kind, leaf.span)
    import_nodes(builder, graph, handles)
    for result in graph.results:
        builder.result(result.name, ResultRole.OUTPUT, handles[result.value])
    return builder.finish(graph.name)


def constant_results(graph: Graph) -> list[Result]:
    """The results that depend on no leaf."""
    varies = [True] * len(graph.leaves)
    for node in graph.nodes:
        varies.append(any(varies[operand] for operand in node.operands))
    return [result for result in graph.results if not varies[result.value]]
