"""How the values of a scan depend on its states: linearity, factors, and which axes mix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rnndsl.compiler.ir import Graph, Leaf, Node
from rnndsl.compiler.op_linearity import LINEARITY, Linearity, carried_axes
from rnndsl.compiler.op_types import dims_attr, int_attr, ints_attr, parse_spec
from rnndsl.compiler.ops import OPS
from rnndsl.compiler.plan import Stage
from rnndsl.dims import Dim, dim

Axes = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Linearity in one arithmetic: ``cause`` is the first op that broke it, ``varying`` the
    first batched value that the state was multiplied by."""

    linear: bool = True
    cause: int | None = None
    varying: int | None = None


@dataclass(frozen=True, slots=True)
class Dependence:
    """How a value depends on the states before the step.

    ``reaches`` gives for every state, for each of its axes, the axis of the value whose place
    it must share; None where other places count as well.
    """

    reaches: Mapping[str, Axes]
    usual: Part = Part()
    maximum: Part = Part()


@dataclass(frozen=True, slots=True)
class _Lane:
    """The part of a value that a slice takes: gates of one packed value stay apart so."""

    axis: int
    start: Dim
    stop: Dim


def dependences(graph: Graph, stage: Stage) -> dict[int, Dependence]:
    """The dependence of each value and state leaf of a scan."""
    return _Prover(graph, stage).all()


class _Prover:
    def __init__(self, graph: Graph, stage: Stage) -> None:
        self.graph = graph
        self.values = stage.values
        states = {
            v: leaf.name
            for v, leaf in enumerate(graph.leaves)
            if leaf.name in stage.states and leaf.role.value == "state"
        }
        self.known: dict[tuple[int, _Lane | None], Dependence] = {
            (v, None): Dependence({name: tuple(range(graph.type_of(v).rank))})
            for v, name in states.items()
        }
        self.members = {*stage.values, *states}

    def all(self) -> dict[int, Dependence]:
        for value in self.values:  # in order, so that the recursion stays shallow
            self.of(value, None)
        return {v: d for (v, lane), d in self.known.items() if lane is None}

    def of(self, value: int, lane: _Lane | None) -> Dependence:
        if (value, lane) not in self.known:
            self.known[value, lane] = self._proved(value, lane)
        return self.known[value, lane]

    def _proved(self, value: int, lane: _Lane | None) -> Dependence:
        node = self.graph.definition(value)
        if isinstance(node, Leaf):
            assert lane is not None
            return _mixing(self.of(value, None), lane.axis)
        if node.op == "slice":
            inner = _sliced(node)
            if lane is None or lane.axis == inner.axis:
                start = inner.start + (lane.start if lane else dim(0))
                stop = inner.start + lane.stop if lane else inner.stop
                return self.of(node.operands[0], _Lane(inner.axis, start, stop))
        if lane is None:
            return self._combined(value, node, [(p, v, None) for p, v in self._recurring(node)])
        operand = self._joined(node, lane)
        if operand is not None:
            return self.of(operand, None) if operand in self.members else Dependence({})
        found = self._through(node, lane)
        if found is None:
            return _mixing(self.of(value, None), lane.axis)
        return self._combined(value, node, found)

    def _recurring(self, node: Node) -> list[tuple[int, int]]:
        return [(p, v) for p, v in enumerate(node.operands) if v in self.members]

    def _through(self, node: Node, lane: _Lane) -> list[tuple[int, int, _Lane | None]] | None:
        """The parts of the operands that a part of the result depends on; None: not known."""
        recurring = self._recurring(node)
        if OPS[node.op].elementwise:
            return [(p, v, lane) for p, v in recurring]
        if node.op == "broadcast":
            axes = ints_attr(dict(node.attrs), "axes")
            if lane.axis not in axes:
                return [(p, v, None) for p, v in recurring]
            return [
                (p, v, _Lane(axes.index(lane.axis), lane.start, lane.stop)) for p, v in recurring
            ]
        if node.op == "contract":
            left, right, output = parse_spec(node.attr("spec"))
            free = all(output[lane.axis] not in (left, right)[p] for p, _ in recurring)
            return [(p, v, None) for p, v in recurring] if free else None
        return None

    def _joined(self, node: Node, lane: _Lane) -> int | None:
        """The operand of a concat that a lane of it is, if it is one whole operand."""
        if node.op != "concat" or int_attr(dict(node.attrs), "axis") != lane.axis:
            return None
        start = dim(0)
        for operand in node.operands:
            stop = start + self.graph.type_of(operand).shape[lane.axis]
            if (start, stop) == (lane.start, lane.stop):
                return operand
            start = stop
        return None

    def _combined(
        self, value: int, node: Node, parts: Sequence[tuple[int, int, _Lane | None]]
    ) -> Dependence:
        found = [(p, d) for p, v, lane in parts if (d := self.of(v, lane)).reaches]
        reaches: dict[str, Axes] = {}
        for position, dependence in found:
            shape = self.graph.type_of(node.operands[position]).shape
            carried = carried_axes(node, shape, position, OPS[node.op].elementwise)
            for state, axes in dependence.reaches.items():
                moved = tuple(None if a is None else carried[a] for a in axes)
                before = reaches.get(state, moved)
                reaches[state] = tuple(
                    a if a == b else None for a, b in zip(before, moved, strict=True)
                )
        row = LINEARITY[node.op]
        usual = self._part(value, node, row.usual, [(p, d.usual) for p, d in found])
        maximum = self._part(value, node, row.maximum, [(p, d.maximum) for p, d in found])
        return Dependence(reaches, usual, maximum)

    def _part(
        self, value: int, node: Node, rule: Linearity, parts: Sequence[tuple[int, Part]]
    ) -> Part:
        places = frozenset(position for position, _ in parts)
        if not places:
            return Part()
        broken = [p.cause for _, p in parts if p.cause is not None]
        if broken:
            return Part(False, min(broken))
        if not rule.holds(places):
            return Part(False, value)
        varying = [p.varying for _, p in parts if p.varying is not None]
        factors = rule.factors(places, len(node.operands))
        varying += [v for k in factors if self.graph.type_of(v := node.operands[k]).batched]
        return Part(True, None, min(varying) if varying else None)


def _sliced(node: Node) -> _Lane:
    attrs = dict(node.attrs)
    start, stop = dims_attr(attrs, "bounds")
    return _Lane(int_attr(attrs, "axis"), start, stop)


def _mixing(found: Dependence, axis: int) -> Dependence:
    """The same, with an axis along which places have moved."""
    reaches = {
        state: tuple(None if a == axis else a for a in axes)
        for state, axes in found.reaches.items()
    }
    return Dependence(reaches, found.usual, found.maximum)
