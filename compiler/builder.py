"""The builder: makes graphs node by node, deriving every type from the op table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rnndsl.compiler.ir import (
    Attrs,
    AttrValue,
    Graph,
    Leaf,
    LeafRole,
    Node,
    Result,
    ResultRole,
    Type,
)
from rnndsl.compiler.ops import result_type
from rnndsl.dims import Dim, dim
from rnndsl.source import Span


class Builder:
    """Collects leaves and nodes in any order; :meth:`finish` puts the leaves first.

    The values it hands out are its own handles, valid for this builder alone.
    """

    def __init__(self) -> None:
        self._entries: list[Leaf | Node] = []
        self._results: list[Result] = []

    def type_of(self, value: int) -> Type:
        return self._entries[value].type

    def definition(self, value: int) -> Leaf | Node:
        """The leaf or node behind a handle; a node's operands are handles too."""
        return self._entries[value]

    def leaf(self, name: str, role: LeafRole, kind: Type, span: Span | None = None) -> int:
        self._entries.append(Leaf(name, role, kind, span))
        return len(self._entries) - 1

    def op(
        self,
        op: str,
        *operands: int,
        name: str = "",
        span: Span | None = None,
        **attrs: AttrValue,
    ) -> int:
        """Append a node; OpTypeError when operands or attributes do not fit the op."""
        return self.node(op, operands, tuple(sorted(attrs.items())), name, span)

    def node(
        self,
        op: str,
        operands: tuple[int, ...],
        attrs: Attrs,
        name: str = "",
        span: Span | None = None,
        kind: Type | None = None,
    ) -> int:
        """As :meth:`op`, with the attributes as a sorted tuple, and the type if it is known."""
        if kind is None:
            kind = result_type(op, tuple([self._entries[v].type for v in operands]), attrs)
        self._entries.append(Node(op, operands, attrs, kind, name, span))
        return len(self._entries) - 1

    def copy(self, node: Node, operands: tuple[int, ...]) -> int:
        """Append the same equation on other operands, with its name and span."""
        return self.node(node.op, operands, node.attrs, node.name, node.span)

    def keep(self, node: Node, operands: tuple[int, ...]) -> int:
        """As :meth:`copy`, on operands of the same types: so its own stays as well."""
        return self.node(node.op, operands, node.attrs, node.name, node.span, node.type)

    def full(self, value: float, shape: tuple[Dim, ...] = ()) -> int:
        """A shared constant."""
        return self.op("full", value=float(value), shape=shape)

    def broadcast_like(self, value: int, like: Type) -> int:
        """A scalar repeated to a shape; the value itself if it has that shape already."""
        kind = self.type_of(value)
        if kind.shape == like.shape:
            return value
        return self.op("broadcast", value, shape=like.shape, axes=())

    def rename(self, value: int, name: str, span: Span | None = None) -> None:
        """Give a node the name that it has in the user's file, and its place if it has none."""
        entry = self._entries[value]
        if isinstance(entry, Node):
            self._entries[value] = replace(entry, name=name, span=entry.span or span)

    def result(self, name: str, role: ResultRole, value: int) -> None:
        self._results.append(Result(name, role, value))

    def finish(self, name: str) -> Graph:
        """The graph so far, leaves first, nodes in the order in which they were made."""
        leaves = [v for v, entry in enumerate(self._entries) if isinstance(entry, Leaf)]
        nodes = [entry for entry in self._entries if isinstance(entry, Node)]
        results = self._results
        if leaves and leaves[-1] >= len(leaves):  # some stand behind nodes
            order = [*leaves, *(v for v, e in enumerate(self._entries) if isinstance(e, Node))]
            index = {value: position for position, value in enumerate(order)}
            nodes = [replace(n, operands=tuple([index[v] for v in n.operands])) for n in nodes]
            results = [replace(result, value=index[result.value]) for result in results]
        found = (self._entries[v] for v in leaves)
        kept = tuple([entry for entry in found if isinstance(entry, Leaf)])
        return Graph(name, kept, tuple(nodes), tuple(results))


def shape_of(*sizes: int | str | Dim) -> tuple[Dim, ...]:
    """A shape from numbers, names and dimensions."""
    return tuple(dim(size) for size in sizes)


def import_nodes(builder: Builder, graph: Graph, handles: dict[int, int]) -> None:
    """Copy into a builder the nodes of a graph that ``handles`` does not hold yet.

    ``handles`` maps the graph's values to the builder's; it is extended.
    """
    copy_nodes(builder, graph, handles, (value for value, _ in graph.node_values()))


def copy_nodes(
    builder: Builder, graph: Graph, handles: dict[int, int], values: Iterable[int]
) -> None:
    """As :func:`import_nodes`, for some nodes, given in order."""
    for value in values:
        node = graph.definition(value)
        if value not in handles and isinstance(node, Node):
            handles[value] = builder.copy(node, tuple(handles[v] for v in node.operands))
