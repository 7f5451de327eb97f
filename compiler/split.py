"""The split over time: what recurs becomes scans, all the rest runs for all steps at once."""

from __future__ import annotations

import networkx as nx

from rnndsl.compiler.ir import Graph, Leaf, LeafRole, Node, ResultRole
from rnndsl.compiler.plan import Plan, Stage, StageKind


def split(graph: Graph, reverse: bool = False) -> Plan:
    """Split a step graph into parallel stages and scans, in topological order.

    The graph is closed over its states (a state's result at one step is its leaf at the
    next) and condensed into strongly connected components.  A cyclic component is a scan;
    a state on no cycle is a delay by one step; everything else is parallel.
    """
    condensed = nx.condensation(_closed(graph))
    members = {c: sorted(condensed.nodes[c]["members"]) for c in condensed}
    cyclic = {c for c in condensed if _is_cyclic(graph, members[c])}
    waiting = {c: condensed.in_degree(c) for c in condensed}
    ready = sorted(c for c, count in waiting.items() if count == 0)
    stages: list[Stage] = []

    def finish(component: int) -> None:
        for successor in condensed.successors(component):
            waiting[successor] -= 1
            if waiting[successor] == 0:
                ready.append(successor)

    while ready:
        together: list[int] = []
        while acyclic := [c for c in ready if c not in cyclic]:
            for component in acyclic:
                ready.remove(component)
                together += members[component]
                finish(component)
        stages += _stage(graph, StageKind.PARALLEL, together)
        # One scan at a time: what becomes parallel after it need not wait for the others.
        scans = sorted((c for c in ready), key=lambda c: members[c])
        for component in scans:
            ready.remove(component)
            stages += _stage(graph, StageKind.SCAN, members[component])
            finish(component)
    return Plan(graph, tuple(stages), reverse)


def _closed(graph: Graph) -> nx.DiGraph[int]:
    """Values and their uses, with an edge from each state's result to its leaf."""
    closed: nx.DiGraph[int] = nx.DiGraph()
    closed.add_nodes_from(range(len(graph.leaves) + len(graph.nodes)))
    for value, node in graph.node_values():
        closed.add_edges_from((operand, value) for operand in node.operands)
    for result in graph.results_of(ResultRole.STATE):
        closed.add_edge(result.value, graph.leaf_index(result.name, LeafRole.STATE))
    return closed


def _is_cyclic(graph: Graph, members: list[int]) -> bool:
    if len(members) > 1:
        return True
    found = graph.definition(members[0])
    return (
        isinstance(found, Leaf)
        and found.role is LeafRole.STATE
        and any(
            r.value == members[0] and r.name == found.name
            for r in graph.results_of(ResultRole.STATE)
        )
    )


def _stage(graph: Graph, kind: StageKind, members: list[int]) -> list[Stage]:
    """The members as a stage; none where only leaves and constants are left."""
    values, states = [], []
    for value in sorted(members):
        found = graph.definition(value)
        if isinstance(found, Node):
            if not _is_constant(graph, found):
                values.append(value)
        elif found.role is LeafRole.STATE:
            states.append(found.name)
    if not values and not states:
        return []
    return [Stage(kind, tuple(values), tuple(states))]


def _is_constant(graph: Graph, node: Node) -> bool:
    """Shared values that sum nothing over the batch: they do not change over time."""
    return not node.operands
