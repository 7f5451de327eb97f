"""Two graph passes that shorten the loop over time: sums are taken outside it where they can be.

``early-sums`` reorders a sum inside a recurrence, so that all terms from outside are added up
first: ``(W x + U h) + b`` becomes ``(W x + b) + U h``, and only one addition recurs.

``whole-addends`` adds to a packed product as a whole what is added to its slices: the slices of
``U h`` plus ``a``, ``b``, ... become the slices of ``U h + concat(a, b, ...)``.  A product and a
sum of whole vectors are then one call.  Both change the order of additions, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rnndsl.compiler.autodiff import prune
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Graph, Node
from rnndsl.compiler.op_types import dims_attr
from rnndsl.compiler.separate import needed_values
from rnndsl.compiler.view import cyclic_components

Components = dict[int, int]


def _components(graph: Graph) -> Components:
    """For each value that recurs, which recurrence it is part of."""
    return {v: k for k, members in enumerate(cyclic_components(graph)) for v in members}


def _use_counts(graph: Graph) -> list[int]:
    counts = [0] * (len(graph.leaves) + len(graph.nodes))
    for node in graph.nodes:
        for operand in node.operands:
            counts[operand] += 1
    for result in graph.results:
        counts[result.value] += 1
    return counts


def _is_plain_sum(graph: Graph, value: int) -> bool:
    node = graph.definition(value)
    return isinstance(node, Node) and node.op == "add"


def _started(graph: Graph) -> tuple[Builder, dict[int, int]]:
    builder = Builder()
    handles = {
        value: builder.leaf(leaf.name, leaf.role, leaf.type, leaf.span)
        for value, leaf in enumerate(graph.leaves)
    }
    return builder, handles


def _finished(builder: Builder, graph: Graph, handles: dict[int, int]) -> Graph:
    for result in graph.results:
        builder.result(result.name, result.role, handles[result.value])
    return prune(builder.finish(graph.name))


# --------------------------------------------------------------------------------- early sums


def early_sums(graph: Graph) -> Graph:
    """Reorder sums inside recurrences: terms from outside first."""
    components = _components(graph)
    counts = _use_counts(graph)
    inner: set[int] = set()  # sums that are part of a larger one
    terms: dict[int, list[int]] = {}
    for value, node in reversed(list(graph.node_values())):
        if node.op != "add" or value in inner or value not in components:
            continue
        found = _terms(graph, value, counts, components, inner)
        outside = [v for v in found if components.get(v) != components[value]]
        if len(found) > 2 and len(outside) > 1:
            terms[value] = [*outside, *(v for v in found if v not in outside)]
    if not terms:
        return graph
    builder, handles = _started(graph)
    for value, node in graph.node_values():
        if value not in terms:
            handles[value] = builder.copy(node, tuple(handles[v] for v in node.operands))
            continue
        first, *others, last = (handles[v] for v in terms[value])
        for other in others:
            first = builder.op("add", first, other, span=node.span)
        handles[value] = builder.op("add", first, last, name=node.name, span=node.span)
    return _finished(builder, graph, handles)


def _terms(
    graph: Graph, value: int, counts: list[int], components: Components, inner: set[int]
) -> list[int]:
    """The terms of a sum, looking through unnamed sums of the same recurrence used here alone."""
    node = graph.definition(value)
    assert isinstance(node, Node)
    found: list[int] = []
    for operand in node.operands:
        made = graph.definition(operand)
        nested = _is_plain_sum(graph, operand) and counts[operand] == 1
        if nested and isinstance(made, Node) and not made.name and operand in components:
            inner.add(operand)
            found += _terms(graph, operand, counts, components, inner)
        else:
            found.append(operand)
    return found


# ------------------------------------------------------------------------------ whole addends


@dataclass(frozen=True, slots=True)
class _Packed:
    """A product whose slices, in order, are added to ``addends`` (None: to nothing)."""

    value: int
    slices: tuple[int, ...]
    sums: tuple[int | None, ...]
    addends: tuple[int | None, ...]


def whole_addends(graph: Graph) -> Graph:
    """Add to packed products as a whole what is added to their slices, one product at a time."""
    seen: set[tuple[int, int]] = set()
    while True:
        found = next(_candidates(graph), None)
        if found is None or (found.value, len(graph.nodes)) in seen:
            return graph
        seen.add((found.value, len(graph.nodes)))
        graph = _with_whole_addend(graph, found)


def _candidates(graph: Graph) -> Iterator[_Packed]:
    components, counts = _components(graph), _use_counts(graph)
    users: dict[int, list[int]] = {}
    for value, node in graph.node_values():
        for operand in node.operands:
            users.setdefault(operand, []).append(value)
    for value, node in graph.node_values():
        if node.op != "contract" or node.type.rank != 1 or counts[value] < 2:
            continue
        slices = _all_slices(graph, value, users.get(value, []), counts)
        pairs = [_addend(graph, part, value, users, counts, components) for part in slices]
        if any(addend is not None for _, addend in pairs):
            yield _Packed(value, slices, *(tuple(p[k] for p in pairs) for k in (0, 1)))


def _all_slices(graph: Graph, value: int, users: list[int], counts: list[int]) -> tuple[int, ...]:
    """The users of a vector, if they are slices that cut it up from end to end; else none."""
    slices = sorted(users, key=lambda v: _bounds(graph, v))
    end = 0
    for part in slices:
        start, stop = _bounds(graph, part)
        if start != end:
            return ()
        end = stop
    whole = len(slices) == counts[value] and end == graph.type_of(value).sizes[0]
    return tuple(slices) if whole else ()


def _bounds(graph: Graph, value: int) -> tuple[int, int]:
    node = graph.definition(value)
    if not isinstance(node, Node) or node.op != "slice":
        return -1, -1
    start, stop = dims_attr(dict(node.attrs), "bounds")
    return int(start), int(stop)


def _addend(
    graph: Graph,
    part: int,
    product: int,
    users: dict[int, list[int]],
    counts: list[int],
    components: Components,
) -> tuple[int | None, int | None]:
    """The sum that a slice goes into, and what it is added to there."""
    if counts[part] != 1 or not users.get(part):
        return None, None
    (total,) = users[part]
    node = graph.definition(total)
    if not isinstance(node, Node) or node.op != "add" or node.operands[0] == node.operands[1]:
        return None, None
    other = node.operands[1] if node.operands[0] == part else node.operands[0]
    here, recurs = components.get(product), components.get(other)
    # Neither may work from outside a recurrence move in, nor is there anything to gain where
    # the addend is made in the same loop.
    if components.get(total) != here or (recurs is not None and recurs == here):
        return None, None
    if product in needed_values(graph, [other]):
        return None, None
    return total, other


def _with_whole_addend(graph: Graph, packed: _Packed) -> Graph:
    builder, handles = _started(graph)
    sums = [total for total in packed.sums if total is not None]

    def make(value: int) -> int:
        """A value and all that it needs; operands may stand later than in the old graph."""
        if value not in handles:
            node = graph.definition(value)
            assert isinstance(node, Node)
            if value in sums or value in packed.slices:
                make_slices()
            else:
                handles[value] = builder.copy(node, tuple(make(v) for v in node.operands))
        return handles[value]

    def make_slices() -> None:
        node = graph.definition(packed.value)
        assert isinstance(node, Node)
        product = builder.copy(node, tuple(make(v) for v in node.operands))
        parts = [
            builder.full(0, graph.type_of(part).shape) if addend is None else make(addend)
            for part, addend in zip(packed.slices, packed.addends, strict=True)
        ]
        whole = builder.op("add", product, builder.op("concat", *parts, axis=0), span=node.span)
        for part, total in zip(packed.slices, packed.sums, strict=True):
            cut, named = graph.definition(part), graph.definition(part if total is None else total)
            assert isinstance(cut, Node) and isinstance(named, Node)
            handles[part] = handles[part if total is None else total] = builder.node(
                "slice", (whole,), cut.attrs, named.name, named.span
            )

    for value, _ in graph.node_values():
        if value != packed.value:
            make(value)
    return _finished(builder, graph, handles)
