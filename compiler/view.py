"""A graph as a networkx digraph, for reading only: the algorithms' view of it.

networkx keeps neither operand order nor repeated operands, so nothing is ever built back
from the view; it answers questions (components, paths, cuts, isomorphism) and is dropped.
"""

from __future__ import annotations

import networkx as nx

from rnndsl.compiler.ir import Graph, LeafRole, ResultRole


def view(graph: Graph, close_states: bool = False) -> nx.DiGraph[int]:
    """Values as vertices, an edge from every operand to its node.

    ``close_states`` adds an edge from each state's result to its leaf, marked
    ``delay=1``: the cycles of that graph are the recurrences.
    """
    made: nx.DiGraph[int] = nx.DiGraph()
    made.add_nodes_from(range(len(graph.leaves) + len(graph.nodes)))
    for value, node in graph.node_values():
        made.add_edges_from(((operand, value) for operand in node.operands), delay=0)
    if close_states:
        for result in graph.results_of(ResultRole.STATE):
            leaf = graph.leaf_index(result.name, LeafRole.STATE)
            made.add_edge(result.value, leaf, delay=1)
    return nx.freeze(made)


def cyclic_components(graph: Graph) -> list[frozenset[int]]:
    """The recurrences: strongly connected components with a cycle, in topological order."""
    closed = view(graph, close_states=True)
    condensed = nx.condensation(closed)
    found = []
    for component in nx.lexicographical_topological_sort(
        condensed, key=lambda c: min(condensed.nodes[c]["members"])
    ):
        members = frozenset(condensed.nodes[component]["members"])
        if len(members) > 1 or any(closed.has_edge(v, v) for v in members):
            found.append(members)
    return found
