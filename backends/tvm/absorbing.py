"""Elementwise values computed in a scan instead of in a parallel stage beside it.

The arithmetic is the same, but the scan holds the operands in registers: a stream of [T, B, ...]
is neither written nor read again.
"""

from __future__ import annotations

from collections import defaultdict

from rnndsl.backends.tvm.views import root
from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole
from rnndsl.compiler.ops import OPS
from rnndsl.compiler.plan import Plan, Stage, StageKind


def absorb(plan: Plan) -> Plan:
    """The plan with elementwise values moved into the scan whose values they read, else into
    the one scan that reads them."""
    found = _Absorber(plan)
    found.hoist()
    found.sink()
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
        self.readers = _readers(self.graph)

    def _is_scan(self, stage: int) -> bool:
        return stage >= 0 and self.before.stages[stage].kind is StageKind.SCAN

    def _may_move(self, value: int, node: Node) -> bool:
        return (
            OPS[node.op].elementwise
            and node.type.batched
            and not self._is_scan(self.stage_of[value])
        )

    def hoist(self) -> None:
        """Into the scan that makes the last of the operands."""
        for value, node in self.graph.node_values():
            if value in self.stage_of and self._may_move(value, node):
                last = max(map(self._available, node.operands), default=-1)
                if self._is_scan(last) and last < self.stage_of[value]:
                    self.stage_of[value] = last

    def _available(self, operand: int) -> int:
        """The first stage in which an operand is there."""
        found = root(self.graph, operand)
        if found is None:
            return -1
        return self.stage_of.get(found, self.state_stage.get(found, -1))

    def sink(self) -> None:
        """Into the scan that alone reads a value."""
        for value, node in reversed(list(self.graph.node_values())):
            if value not in self.stage_of or not self._may_move(value, node):
                continue
            # A state on no cycle reads its result as a stream.
            stages = {self.stage_of[reader] for reader in self.readers[value]}
            if len(stages) == 1 and not self._is_delayed(value):
                (stage,) = stages
                if self._is_scan(stage) and stage > self.stage_of[value]:
                    self.stage_of[value] = stage

    def _is_delayed(self, value: int) -> bool:
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
