"""What recurs is what lies on a cycle through the states, with all that lies on the same one."""

from __future__ import annotations

import pytest

from rnndsl.cell import list_cells, load, parse
from rnndsl.compiler.autodiff import differentiate
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.lower import lower
from rnndsl.compiler.recurrence import recurrence_of
from rnndsl.compiler.separate import separate
from rnndsl.compiler.sizes import bind_sizes
from rnndsl.compiler.view import cyclic_components

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
