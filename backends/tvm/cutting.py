"""Elementwise ops on joined lanes, cut into one op for each lane.

Gates that were joined for their product part again here: in a kernel it costs nothing to have
four ops instead of one, and all that is done to one unit then happens in registers.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from rnndsl.compiler.autodiff import prune
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Graph, Leaf, Node
from rnndsl.compiler.op_types import dims_attr, int_attr, ints_attr
from rnndsl.compiler.ops import OPS
from rnndsl.dims import dim

# More lanes than this are left joined: kernels grow with every one.
MOST_LANES = 8


def cut_lanes(graph: Graph) -> Graph:
    """Cut elementwise ops along their first axis where operands are joined, or results taken
    apart."""
    cuts = _Cuts(graph).found()
    return _Cutter(graph, cuts).run() if cuts else graph


def _bounds(node: Node) -> tuple[int, int] | None:
    """What a slice along the first axis takes; None for other nodes."""
    attrs = dict(node.attrs)
    if node.op != "slice" or int_attr(attrs, "axis") != 0:
        return None
    start, stop = dims_attr(attrs, "bounds")
    return int(start), int(stop)


def _is_joined(node: Node) -> bool:
    return node.op == "concat" and int_attr(dict(node.attrs), "axis") == 0


def _length(graph: Graph, value: int) -> int:
    shape = graph.type_of(value).sizes
    return shape[0] if shape else 1


class _Cuts:
    """Where each value is cut; values that share an elementwise op are cut alike."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.leader = list(range(len(graph.leaves) + len(graph.nodes)))
        self.places: dict[int, set[int]] = defaultdict(set)

    def found(self) -> dict[int, tuple[int, ...]]:
        """The bounds of the lanes of each elementwise value that is to be cut."""
        elementwise = [
            (v, n)
            for v, n in self.graph.node_values()
            if OPS[n.op].elementwise and n.type.batched and n.type.rank
        ]
        for value, node in elementwise:
            for operand in node.operands:
                self.leader[self._find(operand)] = self._find(value)
        while self._spread():
            pass
        cut = {}
        for value, _ in elementwise:
            places = self.places[self._find(value)]
            if 0 < len(places) < MOST_LANES:
                cut[value] = (0, *sorted(places), _length(self.graph, value))
        return cut

    def _find(self, value: int) -> int:
        while self.leader[value] != value:
            self.leader[value] = self.leader[self.leader[value]]
            value = self.leader[value]
        return value

    def _spread(self) -> bool:
        """Carry cuts between values and their parts once; whether there were new ones."""
        changed = False
        for value, node in self.graph.node_values():
            if bounds := _bounds(node):
                changed |= self._link(node.operands[0], value, *bounds)
            elif _is_joined(node):
                start = 0
                for operand in node.operands:
                    stop = start + _length(self.graph, operand)
                    changed |= self._link(value, operand, start, stop)
                    start = stop
        return changed

    def _link(self, whole: int, part: int, start: int, stop: int) -> bool:
        above, below = self.places[self._find(whole)], self.places[self._find(part)]
        count, length = len(above) + len(below), _length(self.graph, whole)
        above |= {p for p in (start, stop) if 0 < p < length} | {p + start for p in below}
        below |= {p - start for p in above if start < p < stop}
        return len(above) + len(below) != count


class _Cutter:
    """Copies a graph, cutting the values of ``cuts`` at their bounds."""

    def __init__(self, graph: Graph, cuts: dict[int, tuple[int, ...]]) -> None:
        self.graph, self.cuts = graph, cuts
        self.builder = Builder()
        self.handles = {
            value: self.builder.leaf(f.name, f.role, f.type, f.span)
            for value, f in enumerate(graph.leaves)
        }
        self.lanes: dict[int, list[int]] = {}
        self.parts: dict[tuple[int, int, int], int] = {}

    def run(self) -> Graph:
        for value, node in self.graph.node_values():
            if value in self.cuts:
                bounds = self.cuts[value]
                self.lanes[value] = [
                    self._lane(node, start, stop) for start, stop in pairwise(bounds)
                ]
            elif taken := _bounds(node):
                part = self.handles[value] = self._part(node.operands[0], *taken)
                if node.name:  # a gate's, which its joined op has not
                    self.builder.rename(part, node.name, node.span)
            else:
                operands = tuple(self._whole(v) for v in node.operands)
                self.handles[value] = self.builder.copy(node, operands)
        for result in self.graph.results:
            self.builder.result(result.name, result.role, self._whole(result.value))
        return prune(self.builder.finish(self.graph.name))

    def _lane(self, node: Node, start: int, stop: int) -> int:
        operands = tuple(self._part(v, start, stop) for v in node.operands)
        return self.builder.node(node.op, operands, node.attrs, node.name, node.span)

    def _whole(self, value: int) -> int:
        """A value as it was, its lanes joined."""
        if value not in self.handles:
            self.handles[value] = self.builder.op("concat", *self.lanes[value], axis=0)
        return self.handles[value]

    def _part(self, value: int, start: int, stop: int) -> int:
        """Elements of a value along its first axis."""
        key = value, start, stop
        if key not in self.parts:
            self.parts[key] = self._make_part(value, start, stop)
        return self.parts[key]

    def _make_part(self, value: int, start: int, stop: int) -> int:
        if value in self.lanes:
            bounds = self.cuts[value]
            if start in bounds and stop in bounds:
                lanes = self.lanes[value][bounds.index(start) : bounds.index(stop)]
                return lanes[0] if len(lanes) == 1 else self.builder.op("concat", *lanes, axis=0)
        if stop - start == _length(self.graph, value):
            return self._whole(value)
        node = self.graph.definition(value)
        if not isinstance(node, Leaf):
            found = self._part_of_node(node, start, stop)
            if found is not None:
                return found
        return self.builder.op("slice", self._whole(value), axis=0, bounds=(dim(start), dim(stop)))

    def _part_of_node(self, node: Node, start: int, stop: int) -> int | None:
        """A part of what only moves data, taken from its operand."""
        shape = (dim(stop - start), *node.type.shape[1:])
        if node.op == "full":
            return self.builder.op("full", value=node.attr("value"), shape=shape)
        if node.op == "broadcast" and 0 not in ints_attr(dict(node.attrs), "axes"):
            source = self._whole(node.operands[0])
            return self.builder.op("broadcast", source, axes=node.attr("axes"), shape=shape)
        if bounds := _bounds(node):
            return self._part(node.operands[0], start + bounds[0], stop + bounds[0])
        if _is_joined(node):
            first = 0
            for operand in node.operands:
                last = first + _length(self.graph, operand)
                if first <= start and stop <= last:
                    return self._part(operand, start - first, stop - first)
                first = last
        return None
