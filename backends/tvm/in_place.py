"""States whose next values can overwrite them while they are computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rnndsl.backends.tvm.views import root
from rnndsl.compiler.ir import Graph, Node


def updated_in_place(
    graph: Graph,
    groups: Sequence[tuple[int, ...]],
    carried: Mapping[int, int],
    copied: Iterable[int],
) -> dict[int, tuple[int, ...]]:
    """Values that may be stored over a state, with the states (as leaves).

    ``groups`` are the values computed together, in order: elementwise ones if there are
    several.  ``carried`` are the states of the stage with their next values, ``copied`` the
    values that are handed out after all groups.
    """
    found: dict[int, tuple[int, ...]] = {}
    place = {value: position for position, group in enumerate(groups) for value in group}
    after = [root(graph, value) for value in copied]
    for state, value in carried.items():
        others = [root(graph, v) for s, v in carried.items() if s != state]
        if value not in place or state in after or state in others:
            continue
        if not _is_read_later(graph, groups[place[value] :], state):
            found[value] = (*found.get(value, ()), state)
    return found


def _is_read_later(graph: Graph, groups: Sequence[tuple[int, ...]], state: int) -> bool:
    """Whether a state is read after the first group, or there at other places than written."""
    for position, group in enumerate(groups):
        for value in group:
            node = graph.definition(value)
            for operand in node.operands if isinstance(node, Node) else ():
                if root(graph, operand) == state and (position or operand != state):
                    return True
    return False
