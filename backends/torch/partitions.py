"""Slices that together are all of a value, which one operation makes at once."""

from __future__ import annotations

from collections import defaultdict

from rnndsl.backends.torch.expressions import sizes
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.op_types import int_attr


def partitions(graph: Graph) -> dict[int, tuple[int, ...]]:
    """For each slice that is one of several parts of a value, all its parts, in order."""
    cut: defaultdict[tuple[int, int], dict[tuple[int, int], int]] = defaultdict(dict)
    for value, node in graph.node_values():
        if node.op == "slice":
            axis = int_attr(dict(node.attrs), "axis")
            start, stop = sizes(node.attr("bounds"))
            cut[node.operands[0], axis][start, stop] = value
    found: dict[int, tuple[int, ...]] = {}
    for (operand, axis), slices in cut.items():
        bounds = sorted(slices)
        ends = [0, *(stop for _, stop in bounds)]
        whole = ends[-1] == graph.type_of(operand).sizes[axis]
        if len(bounds) > 1 and whole and [start for start, _ in bounds] == ends[:-1]:
            parts = tuple(slices[bound] for bound in bounds)
            found |= dict.fromkeys(parts, parts)
    return found
