"""The equations of a graph as a page prints them: with names, and views where they are read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rnndsl.backends.tvm.lower_names import VIEW_OPS
from rnndsl.compiler.ir import Graph, Node
from rnndsl.compiler.op_types import dims_attr, int_attr
from rnndsl.compiler.text_values import attrs_text, type_text


def equations(graph: Graph) -> dict[int, str]:
    """What to print of each value: leaves by name, nodes with what they read."""
    read = Reader(graph, _names(graph))
    found = {value: f"state {leaf.name}" for value, leaf in enumerate(graph.leaves)}
    for value, node in graph.node_values():
        name = f" {node.name}" if node.name else ""
        call = f"{node.op}({', '.join(map(read.text, node.operands))})"
        attrs = f" {{{attrs_text(node.attrs)}}}" if node.attrs else ""
        found[value] = f"%{value}{name}: {type_text(node.type)} = {call}{attrs}"
    return found


def _names(graph: Graph) -> frozenset[str]:
    """The names that are those of one value only."""
    counts = Counter([*(f.name for f in graph.leaves), *(n.name for n in graph.nodes)])
    return frozenset(name for name, count in counts.items() if name and count == 1)


@dataclass(frozen=True, slots=True)
class Reader:
    """Prints a value where it is read: by its name, a number as itself, a view by what it shows."""

    graph: Graph
    names: frozenset[str]

    def text(self, value: int) -> str:
        found = self.graph.definition(value)
        if not isinstance(found, Node):
            return found.name
        if found.op == "full":
            return f"{found.attr('value'):g}"
        if found.op not in VIEW_OPS:
            return found.name if found.name in self.names else f"%{value}"
        shown = self.text(found.operands[0])
        if found.op == "slice":
            attrs = dict(found.attrs)
            axis, (start, stop) = int_attr(attrs, "axis"), dims_attr(attrs, "bounds")
            return f"{shown}[{':, ' * axis}{start}:{stop}]"
        if found.op == "transpose":
            return f"transpose({shown})"
        return shown  # the same numbers in another shape, or one of them for many
