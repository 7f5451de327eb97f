"""Pack-elementwise: what is done to neighbouring slices alike is done to the whole at once.

``f(slice(x, 0, n))`` and ``f(slice(x, n, 2 n))`` are slices of ``f(x)``, to the last bit.
Operands that are no slices are joined by a concat, if that costs nothing in the loop over
time: what is shared moves to the prepare graph, what does not recur to a parallel stage.
Reductions of whole slices, and what is done to their results, are joined along a new axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rnndsl.compiler.ir import Graph, Node
from rnndsl.compiler.lane_joining import REDUCTIONS, Key, Member, Run, join
from rnndsl.compiler.lanes import Lane, lane_of
from rnndsl.compiler.op_types import int_attr
from rnndsl.compiler.ops import OPS
from rnndsl.compiler.recurrence import recurrence_of
from rnndsl.dims import Dim


def pack_elementwise(graph: Graph) -> Graph:
    """Join equal ops on neighbouring slices until there are none left."""
    while runs := _runs(graph):
        graph = join(graph, runs)
    return graph


def _runs(graph: Graph) -> list[Run]:
    lanes = {
        value: lane
        for value, node in graph.node_values()
        if node.type.batched and (lane := lane_of(graph, value))
    }
    if not lanes:
        return []
    recurrence = recurrence_of(graph)
    found: dict[Key, list[Member]] = {}
    for value, node in graph.node_values():
        keyed = _keyed(graph, value, node, lanes, recurrence)
        if keyed is not None:
            found.setdefault(keyed[0], []).append(keyed[1])
    return [Run(key, run) for key, members in found.items() for run in _chains(members)]


def _keyed(
    graph: Graph,
    value: int,
    node: Node,
    lanes: Mapping[int, Lane],
    recurrence: Mapping[int, int],
) -> tuple[Key, Member] | None:
    """What a node needs of others that are to be joined with it; None if it cannot be."""
    if lanes.keys().isdisjoint(node.operands):
        return None
    home = recurrence.get(value)
    operands = _in_order(node, lanes)
    parts = [lanes.get(v) for v in operands]
    for operand, part in zip(operands, parts, strict=True):
        waits = graph.type_of(operand).batched and (home is None or recurrence.get(operand) == home)
        if part is None and waits:
            return None
    known = [part for part in parts if part is not None]
    if len({(part.axis, part.dropped) for part in known}) != 1:
        return None
    first = known[0]
    length = None
    if node.op in REDUCTIONS:
        if first.dropped or int_attr(dict(node.attrs), "axis") != first.axis:
            return None
        length = first.stop - first.start
    elif node.op == "broadcast":
        if not first.dropped or graph.type_of(first.whole).rank != 1 or node.type.rank != 1:
            return None
    elif not OPS[node.op].elementwise:
        return None
    sources = tuple(None if part is None else part.whole for part in parts)
    key = Key(node.op, node.attrs, first.axis, first.dropped, sources, length, home)
    return key, Member(value, operands, tuple(parts))


def _in_order(node: Node, lanes: Mapping[int, Lane]) -> tuple[int, ...]:
    """The operands; those of a commutative op with slices first, by what they are slices of."""
    if not OPS[node.op].commutative:
        return node.operands

    def order(value: int) -> tuple[bool, int]:
        lane = lanes.get(value)
        return (lane is None, 0 if lane is None else lane.whole)

    return tuple(sorted(node.operands, key=order))


def _chains(members: Sequence[Member]) -> Iterator[tuple[Member, ...]]:
    """Runs of two or more neighbours."""
    waiting: dict[tuple[Dim, ...], list[Member]] = {}
    for member in members:
        waiting.setdefault(member.starts, []).append(member)
    ends = {member.stops for member in members}
    for head in members:
        if head.starts in ends:
            continue
        run = [head]
        while following := waiting.get(run[-1].stops):
            run.append(following.pop(0))
        if len(run) > 1:
            yield tuple(run)
