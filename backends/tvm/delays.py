"""Delays in stages of their own: what a state on no cycle reads of the step before may be computed
by another thread, so all of it must be there first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole
from rnndsl.compiler.plan import Plan, Stage, StageKind


def with_delays_apart(plan: Plan) -> Plan:
    """The plan with parallel stages cut before each state that delays what the stage computes."""
    graph = plan.graph
    results = {r.name: r.value for r in graph.results_of(ResultRole.STATE)}
    stages: list[Stage] = []
    for stage in plan.stages:
        if stage.kind is StageKind.SCAN or not stage.states:
            stages.append(stage)
            continue
        delayed = {graph.leaf_index(name, LeafRole.STATE): results[name] for name in stage.states}
        level = _levels(graph, stage, delayed)
        for number in sorted(set(level.values())):
            values = tuple(v for v in stage.values if level[v] == number)
            here = {graph.leaves[leaf].name for leaf in delayed if level[leaf] == number}
            states = tuple(name for name in stage.states if name in here)
            stages.append(replace(stage, values=values, states=states))
    if len(stages) == len(plan.stages):
        return plan
    return replace(plan, stages=tuple(stages))


def _levels(graph: Graph, stage: Stage, delayed: Mapping[int, int]) -> dict[int, int]:
    """For the values of a stage and its ``delayed`` states, which read these values, how many
    delays of what the stage computes lie before them."""
    level = dict.fromkeys((*delayed, *stage.values), 0)
    for _ in delayed:  # none of them lies behind more delays than there are
        for leaf, value in delayed.items():
            level[leaf] = level[value] + 1 if value in level else 0
        for value in sorted(stage.values):
            node = graph.definition(value)
            assert isinstance(node, Node)
            level[value] = max((level.get(v, 0) for v in node.operands), default=0)
    return level
