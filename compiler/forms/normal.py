"""Scans to normal form: the linear map of a scan, found as graphs.

A linear scan of one state, each element alone, becomes one product and one sum with values
from outside; whatever else it computed is then computed from the stream of its states, for
all steps at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rnndsl.compiler.autodiff import prune
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.classes import ScanClass, Structure, classify_scan
from rnndsl.compiler.forms.scan_map import scan_map
from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole
from rnndsl.compiler.ops import OPS
from rnndsl.compiler.plan import Plan, Stage, StageKind

_INFINITY = float("inf")


@dataclass(frozen=True, slots=True)
class _Map:
    """A value as ``factor * s + addend``, or ``max(factor + s, addend)``.

    ``bare``: the factor is the one that changes nothing; ``factor`` is None then and where the
    value does not depend on the state.  No ``addend``: the one that changes nothing.
    """

    factor: int | None = None
    addend: int | None = None
    bare: bool = False


def can_normalise(graph: Graph, stage: Stage, found: ScanClass) -> bool:
    """Whether a scan has a normal form that it is not in."""
    if not (found.linear and found.structure is Structure.DIAGONAL and stage.values):
        return False
    if scan_map(graph, stage) is not None:
        return False
    nodes = [graph.definition(v) for v in stage.values]
    return all(isinstance(n, Node) and OPS[n.op].elementwise for n in nodes)


def normalise(plan: Plan) -> Graph:
    """The plan's graph with every such scan in normal form; the same graph if none needs it."""
    graph = plan.graph
    found = {
        k: classify_scan(graph, stage, k)
        for k, stage in enumerate(plan.stages)
        if stage.kind is StageKind.SCAN
    }
    chosen = {k for k, c in found.items() if can_normalise(graph, plan.stages[k], c)}
    if not chosen:
        return graph
    builder = Builder()
    handles = {v: builder.leaf(f.name, f.role, f.type, f.span) for v, f in enumerate(graph.leaves)}
    next_values = {r.name: r.value for r in graph.results_of(ResultRole.STATE)}
    states: dict[str, int] = {}
    staged = {v for stage in plan.stages for v in stage.values}

    def copy(value: int) -> None:
        node = graph.definition(value)
        if isinstance(node, Node):
            handles[value] = builder.copy(node, tuple(handles[v] for v in node.operands))

    for value, _ in graph.node_values():
        if value not in staged:
            copy(value)
    for k, stage in enumerate(plan.stages):
        if k not in chosen:
            for value in stage.values:
                copy(value)
            continue
        (name,) = stage.states
        leaf = graph.leaf_index(name, LeafRole.STATE)
        writer = _Writer(builder, graph, handles, leaf, found[k].maximum)
        last = next_values[name]
        states[name] = writer.write(stage, last)
        for value in stage.values:  # for those that read them from outside
            if value != last:
                copy(value)
        handles[last] = states[name]
    for result in graph.results:
        is_state = result.role is ResultRole.STATE and result.name in states
        value = states[result.name] if is_state else handles[result.value]
        builder.result(result.name, result.role, value)
    return prune(builder.finish(graph.name))


class _Writer:
    """Writes the factor and the addend of one scan as values of a builder."""

    def __init__(
        self, builder: Builder, graph: Graph, handles: dict[int, int], leaf: int, maximum: bool
    ) -> None:
        self.builder, self.graph, self.handles = builder, graph, handles
        self.leaf, self.maximum = leaf, maximum
        self.maps: dict[int, _Map] = {leaf: _Map(bare=True)}
        self.shape = graph.type_of(leaf).shape

    def write(self, stage: Stage, last: int) -> int:
        """The state's next value in normal form."""
        for value in stage.values:
            node = self.graph.definition(value)
            assert isinstance(node, Node)
            rule = _MAXIMUM[node.op] if self.maximum else _USUAL[node.op]
            self.maps[value] = rule(self, [self.map_of(v) for v in node.operands], node)
        node = self.graph.definition(last)
        found, state = self.maps[last], self.handles[self.leaf]
        multiply, add = ("add", "max") if self.maximum else ("mul", "add")
        product = state if found.factor is None else self.builder.op(multiply, state, found.factor)
        addend = found.addend
        if addend is None:
            addend = self.constant(-_INFINITY if self.maximum else 0.0)
        name = node.name if isinstance(node, Node) else ""
        return self.builder.op(add, product, addend, name=name, span=node.span)

    def map_of(self, value: int) -> _Map:
        """A value that does not recur is an addend alone."""
        return self.maps[value] if value in self.maps else _Map(addend=self.handles[value])

    def constant(self, number: float) -> int:
        return self.builder.full(number, self.shape)

    def is_zero(self, handle: int | None) -> bool:
        """Whether a value of the builder is the constant 0."""
        found = None if handle is None else self.builder.definition(handle)
        while isinstance(found, Node) and found.op == "broadcast":
            found = self.builder.definition(found.operands[0])
        return isinstance(found, Node) and found.op == "full" and found.attr("value") == 0

    def op(self, op: str, left: int | None, right: int | None) -> int | None:
        """The op where both are there, else the one that is."""
        if left is None or right is None:
            return right if left is None else left
        return self.builder.op(op, left, right)

    def factor(self, found: _Map) -> int | None:
        """The factor as a value; None where the value does not depend on the state."""
        if found.bare:
            return self.constant(0.0 if self.maximum else 1.0)
        return found.factor


_Rule = Callable[[_Writer, list[_Map], Node], _Map]


def _is_free(found: _Map) -> bool:
    return found.factor is None and not found.bare


def _sum(op: str) -> _Rule:
    """The sum of two maps, in either arithmetic."""

    def rule(w: _Writer, maps: list[_Map], node: Node) -> _Map:
        left, right = maps
        addend = w.op(op, left.addend, right.addend)
        if _is_free(left) or _is_free(right):
            kept = right if _is_free(left) else left
            return _Map(kept.factor, addend, kept.bare)
        return _Map(w.op(op, w.factor(left), w.factor(right)), addend)

    return rule


def _negated(w: _Writer, found: _Map) -> _Map:
    factor = w.factor(found)
    made = [None if v is None else w.builder.op("neg", v) for v in (factor, found.addend)]
    return _Map(made[0], made[1])


def _difference(w: _Writer, maps: list[_Map], node: Node) -> _Map:
    left, right = maps
    if _is_free(right) and left.addend is not None and right.addend is not None:
        return _Map(left.factor, w.builder.op("sub", left.addend, right.addend), left.bare)
    return _sum("add")(w, [left, _negated(w, right)], node)


def _product(op: str) -> _Rule:
    """A map times what does not recur, or divided by it; in (max, +) plus or minus it."""

    def rule(w: _Writer, maps: list[_Map], node: Node) -> _Map:
        kept, by = maps if not _is_free(maps[0]) else maps[::-1]
        assert by.addend is not None
        before = w.factor(kept)
        assert before is not None
        factor = (
            by.addend if kept.bare and op in ("mul", "add") else w.builder.op(op, before, by.addend)
        )
        addend = kept.addend
        return _Map(factor, None if addend is None else w.builder.op(op, addend, by.addend))

    return rule


def _choice(w: _Writer, maps: list[_Map], node: Node) -> _Map:
    """Chosen factors and chosen addends; what changes nothing stands for a missing one."""
    condition, yes, no = maps
    nothing = -_INFINITY if w.maximum else 0.0

    def chosen(left: int | None, right: int | None) -> int | None:
        left, right = (None if w.is_zero(v) and not w.maximum else v for v in (left, right))
        if left is None and right is None:
            return None
        pair = [w.constant(nothing) if v is None else v for v in (left, right)]
        assert condition.addend is not None
        return w.builder.op("where", condition.addend, *pair)

    addend = chosen(yes.addend, no.addend)
    if yes.bare and no.bare:
        return _Map(addend=addend, bare=True)
    pair = [w.constant(nothing) if v is None else v for v in (w.factor(yes), w.factor(no))]
    assert condition.addend is not None
    return _Map(w.builder.op("where", condition.addend, *pair), addend)


def _same(w: _Writer, maps: list[_Map], node: Node) -> _Map:
    return maps[0]


_USUAL: dict[str, _Rule] = {
    "add": _sum("add"),
    "sub": _difference,
    "neg": lambda w, maps, node: _negated(w, maps[0]),
    "mul": _product("mul"),
    "div": _product("div"),
    "where": _choice,
    "stop_grad": _same,
}
_MAXIMUM: dict[str, _Rule] = {
    "max": _sum("max"),
    "add": _product("add"),
    "sub": _product("sub"),
    "where": _choice,
    "stop_grad": _same,
}
