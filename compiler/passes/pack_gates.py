"""Pack-gates: matrix products of one vector become a single product.

``W1 x``, ``W2 x``, ... with shared weights are slices of ``concat(W1, W2, ...) x``.  The
concat depends on parameters alone, so separation moves it into the prepare graph, and the
backward pass, derived from the packed graph, is packed as well.  Slices that are used alike
stand side by side, so that pack-elementwise can join what is done to them.
"""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Graph, Node
from rnndsl.compiler.lanes import in_order_of_use
from rnndsl.compiler.op_types import parse_spec
from rnndsl.compiler.recurrence import recurrence_of
from rnndsl.compiler.separate import needed_values
from rnndsl.dims import Dim, dim


@dataclass(frozen=True, slots=True)
class _Group:
    """Products that can be one: they agree in all of this.

    ``recurrence`` is the cyclic component that a product lies on: packing what recurs with
    what does not would drag work into the loop over time that can be done outside it.
    """

    vector: int
    spec: str
    other_sizes: tuple[Dim, ...]
    recurrence: int | None


def pack_gates(graph: Graph) -> Graph:
    """Replace products of shared weights with one batched operand by slices of one product."""
    found = {key: values for key, values in _groups(graph).items() if len(values) > 1}
    if not found:
        return graph
    groups = dict(zip(found, in_order_of_use(graph, list(found.values())), strict=True))
    group_of = {value: key for key, values in groups.items() for value in values}
    builder = Builder()
    handles = {
        value: builder.leaf(f.name, f.role, f.type, f.span) for value, f in enumerate(graph.leaves)
    }
    for value, node in graph.node_values():
        if value in handles:
            continue
        if value in group_of:
            _pack(builder, graph, handles, groups[group_of[value]])
        else:
            handles[value] = builder.keep(node, tuple(handles[v] for v in node.operands))
    for result in graph.results:
        builder.result(result.name, result.role, handles[result.value])
    return builder.finish(graph.name)


def _groups(graph: Graph) -> dict[_Group, list[int]]:
    groups: dict[_Group, list[int]] = {}
    recurrences: dict[int, int] | None = None
    for value, node in graph.node_values():
        axis = _packed_axis(graph, node)
        if axis is None:
            continue
        if recurrences is None:
            recurrences = recurrence_of(graph)
        weight, vector = node.operands
        shape = graph.type_of(weight).shape
        others = (*shape[:axis], *shape[axis + 1 :])
        key = _Group(vector, str(node.attr("spec")), others, recurrences.get(value))
        groups.setdefault(key, []).append(value)
    return groups


def _packed_axis(graph: Graph, node: Node) -> int | None:
    """The axis along which the weight may grow: its first that the result has too, and the
    vector has not.  None if the node is not a product of a shared and a batched value."""
    if node.op != "contract" or node.attr("sum_batch"):
        return None
    weight, vector = (graph.type_of(v) for v in node.operands)
    if weight.batched or not vector.batched:
        return None
    left, right, output = parse_spec(node.attr("spec"))
    return next((k for k, c in enumerate(left) if c in output and c not in right), None)


def _pack(builder: Builder, graph: Graph, handles: dict[int, int], members: list[int]) -> None:
    """Emit the joined product and a slice of it for every member."""
    nodes = [node for node in map(graph.definition, members) if isinstance(node, Node)]
    weights = [node.operands[0] for node in nodes]
    # A later member's weight may be computed further down: shared values can be done here.
    for value in needed_values(graph, weights):
        entry = graph.definition(value)
        if isinstance(entry, Node) and value not in handles:
            handles[value] = builder.keep(entry, tuple(handles[v] for v in entry.operands))
    first = nodes[0]
    left, _, output = parse_spec(first.attr("spec"))
    axis = _packed_axis(graph, first)
    assert axis is not None
    joined = builder.op("concat", *(handles[w] for w in weights), axis=axis)
    product = builder.node(
        "contract", (joined, handles[first.operands[1]]), first.attrs, "", first.span
    )
    place, start = output.index(left[axis]), dim(0)
    for value, node in zip(members, nodes, strict=True):
        stop = start + node.type.shape[place]
        handles[value] = builder.op(
            "slice", product, name=node.name, span=node.span, axis=place, bounds=(start, stop)
        )
        start = stop
