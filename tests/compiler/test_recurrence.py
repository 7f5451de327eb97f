"""What recurs is what lies on a cycle through the states, with all that lies on the same one."""

from __future__ import annotations

import networkx as nx
import pytest

from rnndsl.cell import list_cells, load, parse
from rnndsl.compiler.autodiff import differentiate
from rnndsl.compiler.ir import Graph, LeafRole, ResultRole
from rnndsl.compiler.lower import lower
from rnndsl.compiler.recurrence import recurrence_of
from rnndsl.compiler.separate import separate
from rnndsl.compiler.sizes import bind_sizes

CROSSED = """
cell Crossed(D):
    input x: [D]
    state a: [D]
    state b: [D]
    state c: [D]
    state late: [D]
    a' = b + x
    b' = a
    c' = c + a
    late' = x
    return c' + late
"""


def groups(graph: Graph) -> set[frozenset[int]]:
    found: dict[int, set[int]] = {}
    for value, number in recurrence_of(graph).items():
        found.setdefault(number, set()).add(value)
    return {frozenset(members) for members in found.values()}


def cyclic_components(graph: Graph) -> list[frozenset[int]]:
    """Strongly connected components with a cycle, each state's result being its leaf."""
    closed: nx.DiGraph[int] = nx.DiGraph()
    for value, node in graph.node_values():
        closed.add_edges_from((operand, value) for operand in node.operands)
    for result in graph.results_of(ResultRole.STATE):
        closed.add_edge(result.value, graph.leaf_index(result.name, LeafRole.STATE))
    found = map(frozenset, nx.strongly_connected_components(closed))
    return [c for c in found if len(c) > 1 or any(closed.has_edge(v, v) for v in c)]


@pytest.mark.parametrize("name", list_cells())
def test_recurrences_are_the_cyclic_components(name: str) -> None:
    cell = load(name)
    graph = bind_sizes(lower(cell).graph, {"D": 4, "H": 4}, cell.sources())
    found = differentiate(separate(graph).step)
    for each in (graph, found.forward, found.backward):
        assert groups(each) == set(cyclic_components(each))


def test_states_that_feed_each_other_recur_together_and_delays_do_not() -> None:
    graph = lower(parse(CROSSED)).graph
    found = groups(graph)
    assert found == set(cyclic_components(graph))
    assert len(found) == 2
