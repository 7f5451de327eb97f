"""Dead code elimination: no value is computed that no result needs."""

from __future__ import annotations

from rnndsl.compiler.autodiff import prune
from rnndsl.compiler.ir import Graph


def dce(graph: Graph) -> Graph:
    """Remove the nodes that no result needs; leaves stay, they are the interface."""
    pruned = prune(graph)
    return graph if len(pruned.nodes) == len(graph.nodes) else pruned
