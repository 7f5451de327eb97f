"""Which values of a graph a drawing shows, and how they fall into blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rnndsl.compiler.ir import Graph, Leaf, LeafRole, Node, ResultRole
from rnndsl.source import Span

# Ops that move numbers without changing them: a person would draw the line alone.
HIDDEN = frozenset({"broadcast", "reshape", "transpose"})

# The name of the function call that a span covers; empty where it covers no such call.
CallName = Callable[[Span], str]


@dataclass
class Reading:
    """A graph as a drawing sees it.

    ``varying`` values depend on an input or a state; the others are numbers and parameters,
    which stand inside the blocks that use them.  ``root`` maps a drawn value to the last
    value of its block; ``names`` has the user's name of a value, hidden ops looked through.
    """

    graph: Graph
    stage_of: Mapping[int, int]
    call_name: CallName
    varying: set[int] = field(default_factory=set)
    users: dict[int, list[int]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    root: dict[int, int] = field(default_factory=dict)
    linear: set[int] = field(default_factory=set)
    exits: set[int] = field(default_factory=set)

    def node(self, value: int) -> Node:
        found = self.graph.definition(value)
        assert isinstance(found, Node)
        return found

    def is_leaf(self, value: int) -> bool:
        return isinstance(self.graph.definition(value), Leaf)

    def resolve(self, value: int) -> int:
        """The value that a hidden op merely moves."""
        while value in self.varying and not self.is_leaf(value):
            node = self.node(value)
            if node.op not in HIDDEN:
                break
            value = node.operands[0]
        return value

    def inputs(self, value: int) -> list[int]:
        """The varying operands of a node, hidden ops looked through."""
        return [self.resolve(v) for v in self.node(value).operands if v in self.varying]


def read(graph: Graph, stage_of: Mapping[int, int], call_name: CallName) -> Reading:
    """Find the values to draw and group them into blocks."""
    reading = Reading(graph, stage_of, call_name)
    for value, leaf in enumerate(graph.leaves):
        if leaf.role is not LeafRole.PARAM:
            reading.varying.add(value)
    for value, node in graph.node_values():
        if any(v in reading.varying for v in node.operands):
            reading.varying.add(value)
    kept = _live(reading)
    for value in kept:
        if not reading.is_leaf(value):
            shown = reading.resolve(value)
            if name := reading.node(value).name:
                reading.names.setdefault(shown, name)
            if shown == value:
                for operand in reading.inputs(value):
                    reading.users.setdefault(operand, []).append(value)
    shown_nodes = [v for v in kept if not reading.is_leaf(v) and reading.resolve(v) == v]
    for value in shown_nodes:
        if _is_linear(reading, value):
            reading.linear.add(value)
    for value in reversed(shown_nodes):
        reading.root[value] = _root(reading, value)
    return reading


def _live(reading: Reading) -> list[int]:
    """The varying values that some result needs, in order."""
    waiting = []
    for result in reading.graph.results:
        if result.role is not ResultRole.VALUE and result.value in reading.varying:
            reading.exits.add(reading.resolve(result.value))
            waiting.append(result.value)
    found: set[int] = set()
    while waiting:
        value = waiting.pop()
        if value not in found:
            found.add(value)
            if not reading.is_leaf(value):
                waiting += [v for v in reading.node(value).operands if v in reading.varying]
    return sorted(found)


def _is_private(reading: Reading, value: int) -> bool:
    """Whether nothing outside can see a value: no user's name, no result, one reader."""
    return (
        not reading.is_leaf(value)
        and value not in reading.names
        and value not in reading.exits
        and len(reading.users.get(value, ())) == 1
    )


def _same_stage(reading: Reading, one: int, other: int) -> bool:
    return reading.stage_of.get(one) == reading.stage_of.get(other)


def _is_linear(reading: Reading, value: int) -> bool:
    """Whether a value is a sum of matrix products with parameters, and of biases."""
    node = reading.node(value)
    inputs = reading.inputs(value)
    if node.op == "contract":
        return len(inputs) == 1
    if node.op != "add":
        return False
    return all(
        v in reading.linear and _is_private(reading, v) and _same_stage(reading, v, value)
        for v in inputs
    )


def _root(reading: Reading, value: int) -> int:
    """The last value of the block that a value belongs to; later values have theirs."""
    users = reading.users.get(value, [])
    if value in reading.names or value in reading.exits or not users:
        return value
    roots = {reading.root[user] for user in users}
    if len(roots) != 1:
        return value
    (root,) = roots
    if not _same_stage(reading, value, root):
        return value
    if root in reading.linear:
        return root if value in reading.linear and reading.node(users[0]).op == "add" else value
    span = reading.node(value).span
    if span is not None and span == reading.node(root).span and reading.call_name(span):
        return root
    return value
