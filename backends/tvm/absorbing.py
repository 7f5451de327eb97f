"""Values computed in a scan instead of in a parallel stage beside it.

The arithmetic is the same, but the scan holds the operands in registers or in the cache: a
stream of [T, B, ...] is neither written nor read again.  Only products with weights are better
off in a parallel stage, where many rows share one reading of the weights.  Sums over batch and
time gather in the scan what would be a stream for them alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from math import prod

from rnndsl.backends.tvm.lower_names import VIEW_OPS
from rnndsl.backends.tvm.views import root
from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole
from rnndsl.compiler.plan import Plan, Stage, StageKind


def absorb(plan: Plan) -> Plan:
    """The plan with values moved into the scan whose values they read, or into the one scan
    that reads them, wherever that makes the streams between stages no larger."""
    found = _Absorber(plan)
    found.hoist()
    found.sink()
    found.gather()
    return found.plan()


class _Absorber:
    """The stage of every value, changed step by step."""

    def __init__(self, plan: Plan) -> None:
        self.before, self.graph = plan, plan.graph
        self.stage_of = {v: s for s, stage in enumerate(plan.stages) for v in stage.values}
        self.state_stage = {
            self.graph.leaf_index(name, LeafRole.STATE): s
            for s, stage in enumerate(plan.stages)
            for name in stage.states
        }
        self.carried = {r.value for r in self.graph.results_of(ResultRole.STATE)}
        self.handed_out = {root(self.graph, r.value) for r in self.graph.results}
        self.readers = _readers(self.graph)
        self.movable = {
            value
            for value, node in self.graph.node_values()
            if value in self.stage_of
            and not self._is_scan(self.stage_of[value])
            and _may_move(self.graph, node)
        }

    def _is_scan(self, stage: int) -> bool:
        return stage >= 0 and self.before.stages[stage].kind is StageKind.SCAN

    def _size(self, value: int) -> int:
        return prod(self.graph.type_of(value).sizes)

    def _sources(self, node: Node) -> set[int]:
        """The values whose memory a node reads, but for what is shared."""
        found = {root(self.graph, v) for v in node.operands}
        return {v for v in found if v is not None and self.graph.type_of(v).batched}

    def hoist(self) -> None:
        """Into the scan that makes the last of the operands."""
        for value, node in self.graph.node_values():
            if value not in self.movable:
                continue
            stages = {source: self._available(source) for source in self._sources(node)}
            last = max(stages.values(), default=-1)
            spared = sum(self._size(source) for source, s in stages.items() if s == last)
            if self._is_scan(last) and last < self.stage_of[value] and self._size(value) <= spared:
                self.stage_of[value] = last

    def _available(self, source: int) -> int:
        """The first stage in which a value with memory is there."""
        return self.stage_of.get(source, self.state_stage.get(source, -1))

    def sink(self) -> None:
        """Into the scan that alone reads a value, with others that read parts of the same."""
        for value, _ in reversed(list(self.graph.node_values())):
            stage = self._sinks_to(value)
            if stage is None:
                continue
            added = self._added(value, stage)
            beside = {
                other
                for source in added
                for other in self.readers[source]
                if self._sinks_to(other) == stage and self._added(other, stage) <= added
            }
            together = {value} if self._sum(added) <= self._size(value) else {value, *beside}
            if self._sum(added) <= self._sum(together):
                self.stage_of |= dict.fromkeys(together, stage)

    def _sinks_to(self, value: int) -> int | None:
        """The later scan in which all readers of a value are, if it may move there."""
        if value not in self.movable or self._is_delayed(value):
            return None
        stages = {self.stage_of[reader] for reader in self.readers[value]}
        stage = stages.pop() if len(stages) == 1 else -1
        return stage if self._is_scan(stage) and stage > self.stage_of[value] else None

    def _added(self, value: int, stage: int) -> set[int]:
        """What a stage would read for a value alone."""
        node = self.graph.definition(value)
        assert isinstance(node, Node)
        return {
            source
            for source in self._sources(node)
            if not any(self.stage_of[r] == stage for r in self.readers[source] if r != value)
        }

    def _sum(self, values: Iterable[int]) -> int:
        return sum(map(self._size, values))

    def gather(self) -> None:
        """Sums over batch and time into the scan that makes what they alone need as a stream."""
        for value, node in self.graph.node_values():
            if node.op != "batch_sum" or value not in self.stage_of:
                continue
            (source,) = self._sources(node)
            stage = self.stage_of.get(source, -1)
            others = {self.stage_of[r] for r in self.readers[source] if not self._is_sum(r)}
            if self._is_scan(stage) and others <= {stage} and source not in self.handed_out:
                self.stage_of[value] = stage

    def _is_sum(self, value: int) -> bool:
        node = self.graph.definition(value)
        return isinstance(node, Node) and node.op == "batch_sum"

    def _is_delayed(self, value: int) -> bool:
        """Whether a state on no cycle reads a value as a stream."""
        return any(root(self.graph, v) == value for v in self.carried)

    def plan(self) -> Plan:
        values = defaultdict[int, list[int]](list)
        for value, stage in sorted(self.stage_of.items()):
            values[stage].append(value)
        stages = [
            Stage(stage.kind, tuple(values[s]), stage.states)
            for s, stage in enumerate(self.before.stages)
            if values[s] or stage.states
        ]
        return Plan(self.graph, tuple(stages), self.before.reverse)


def _may_move(graph: Graph, node: Node) -> bool:
    """Whether a node may be computed for one time step after the other at no greater cost."""
    if not node.type.batched or node.op in VIEW_OPS:
        return False
    return node.op != "contract" or all(graph.type_of(v).batched for v in node.operands)


def _readers(graph: Graph) -> dict[int, set[int]]:
    """The nodes that read a value's memory, directly or through views."""
    found = defaultdict[int, set[int]](set)
    for value, node in graph.node_values():
        if root(graph, value) != value:
            continue
        for operand in node.operands:
            source = root(graph, operand)
            if source is not None:
                found[source].add(value)
    return found
