"""Lanes: values that are neighbouring parts of one wider value.

The gates of a cell are lanes of their joined product.  What is done to all lanes alike can be
done to the wider value at once: elementwise ops commute with slices exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rnndsl.compiler.ir import Graph, Node
from rnndsl.compiler.op_types import dims_attr, int_attr
from rnndsl.compiler.ops import OPS
from rnndsl.dims import Dim, dim

_ONE = dim(1)
# Lanes are told apart by what is done to them, this many ops on.
_HORIZON = 24


@dataclass(frozen=True, slots=True)
class Lane:
    """Elements ``start`` to ``stop`` along an axis of ``whole``.

    ``dropped``: it is one element there, and the lane's shape lacks the axis.
    """

    whole: int
    axis: int
    start: Dim
    stop: Dim
    dropped: bool = False


def lane_of(graph: Graph, value: int) -> Lane | None:
    """The lane that a value is; None if it is computed in some other way."""
    node = graph.definition(value)
    if not isinstance(node, Node) or node.op not in ("slice", "reshape"):
        return None
    inner = lane_of(graph, node.operands[0])
    if node.op == "reshape":
        if inner is None or inner.dropped or inner.stop - inner.start != _ONE:
            return None
        shape = graph.type_of(node.operands[0]).shape
        left = (*shape[: inner.axis], *shape[inner.axis + 1 :])
        fits = node.type.shape == left
        return Lane(inner.whole, inner.axis, inner.start, inner.stop, True) if fits else None
    attrs = dict(node.attrs)
    axis, (start, stop) = int_attr(attrs, "axis"), dims_attr(attrs, "bounds")
    if inner is not None and inner.axis == axis and not inner.dropped:
        return Lane(inner.whole, axis, inner.start + start, inner.start + stop)
    return Lane(node.operands[0], axis, start, stop)


def in_order_of_use(graph: Graph, groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """The values of each group ordered such that those that are used alike stand side by side.

    Values are told apart by the ops that read them, then by the ops that read those, and so
    on; among equals the given order stays.
    """
    keys: dict[int, list[int]] = {value: [] for values in groups for value in values}
    for classes in _classes_of_use(graph):
        for values in groups:
            first: dict[int, int] = {}
            for value in values:
                keys[value].append(first.setdefault(classes[value], len(first)))
    return [sorted(values, key=lambda value: keys[value]) for values in groups]


def _classes_of_use(graph: Graph) -> Iterator[list[int]]:
    """Numbers of all values, equal for those that are used alike, by ever more ops."""
    readers: list[list[tuple[str, int, int]]] = [[] for _ in (*graph.leaves, *graph.nodes)]
    for value, node in graph.node_values():
        for place, operand in enumerate(node.operands):
            seen_as = 0 if OPS[node.op].commutative else place
            readers[operand].append((node.op, seen_as, value))
    kinds = Counter(result.value for result in graph.results)
    classes = [0] * len(readers)
    count = 1
    for _ in range(_HORIZON):
        known: dict[object, int] = {}
        classes = [
            known.setdefault((kinds[v], _seen(classes, found)), len(known))
            for v, found in enumerate(readers)
        ]
        yield classes
        if len(known) == count:
            return
        count = len(known)


def _seen(
    classes: list[int], readers: list[tuple[str, int, int]]
) -> tuple[tuple[str, int, int], ...]:
    """What a value's readers look like: their ops, the operand it is, their classes."""
    found = [(op, place, classes[v]) for op, place, v in readers]
    return tuple(sorted(found) if len(found) > 1 else found)
