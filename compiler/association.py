"""Sums and products of many terms, arranged by how often they are computed.

What depends on parameters alone is computed once, what does not recur for all time steps at
once, and only what recurs in the loop over time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

from rnndsl.compiler.autodiff import prune
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Graph, Node
from rnndsl.compiler.lanes import lane_of
from rnndsl.compiler.recurrence import recurrence_of
from rnndsl.source import Span


@dataclass(slots=True)
class _Tree:
    """The terms of nested ``op`` nodes by how often they change, and the nodes it has now."""

    shared: list[int] = field(default_factory=list)
    streamed: list[int] = field(default_factory=list)
    recurring: list[int] = field(default_factory=list)
    nodes_streamed: int = 0
    nodes_recurring: int = 0

    def is_best(self) -> bool:
        """Whether no arrangement computes fewer nodes per step, then for all steps."""
        outside = bool(self.shared) + len(self.streamed)
        recurring = max(len(self.recurring) - (not outside), 0)
        return (self.nodes_recurring, self.nodes_streamed) == (recurring, max(outside - 1, 0))


def associate(graph: Graph, op: str) -> Graph:
    """Rearrange nested nodes of an associative, commutative op; the same graph if all is well."""
    recurrence = recurrence_of(graph)
    uses = Counter(v for node in graph.nodes for v in node.operands)
    uses.update(result.value for result in graph.results)

    def inner(value: int) -> Node | None:
        """The node behind a term that is nothing but a part of its tree."""
        node = graph.definition(value)
        is_part = isinstance(node, Node) and node.op == op and node.type.batched
        return node if isinstance(node, Node) and is_part and uses[value] == 1 else None

    roots: dict[int, _Tree] = {}
    parts: set[int] = set()
    for value, node in reversed(list(graph.node_values())):
        if node.op != op or not node.type.batched or value in parts:
            continue
        tree, pending = _Tree(), [value]
        home = recurrence.get(value)
        while pending:
            term = pending.pop()
            found = node if term == value else inner(term)
            if found is not None:
                parts.add(term)
                pending += reversed(found.operands)
                if home is not None and recurrence.get(term) == home:
                    tree.nodes_recurring += 1
                else:
                    tree.nodes_streamed += 1
            elif not graph.type_of(term).batched:
                tree.shared.append(term)
            elif home is not None and recurrence.get(term) == home:
                tree.recurring.append(term)
            else:
                tree.streamed.append(term)
        if not tree.is_best():
            roots[value] = tree
    return _rebuilt(graph, op, roots) if roots else graph


def _rebuilt(graph: Graph, op: str, roots: dict[int, _Tree]) -> Graph:
    builder = Builder()
    handles = [builder.leaf(f.name, f.role, f.type, f.span) for f in graph.leaves]
    for value, node in graph.node_values():
        if value not in roots:
            handles.append(builder.copy(node, tuple([handles[v] for v in node.operands])))
            continue
        tree = roots[value]
        # Products first: a backend adds to a product as it computes it.
        recurring = sorted(tree.recurring, key=lambda v: not _is_product(graph, v))

        def combined(terms: Sequence[int], span: Span | None = node.span) -> list[int]:
            """The terms as one value, if there are any."""
            return [reduce(lambda x, y: builder.op(op, x, y, span=span), terms)] if terms else []

        streamed = combined([handles[v] for v in tree.streamed])
        shared = combined([handles[v] for v in tree.shared])
        outside = combined([*streamed, *shared])
        (total,) = combined([*outside, *(handles[v] for v in recurring)])
        builder.rename(total, node.name)
        handles.append(total)
    for result in graph.results:
        builder.result(result.name, result.role, handles[result.value])
    return prune(builder.finish(graph.name))


def _is_product(graph: Graph, value: int) -> bool:
    lane = lane_of(graph, value)
    node = graph.definition(value if lane is None else lane.whole)
    return isinstance(node, Node) and node.op == "contract"
