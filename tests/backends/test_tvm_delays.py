"""A state on no cycle reads what the step before computed, perhaps on another thread."""

from __future__ import annotations

import pytest

from rnndsl.backends.tvm.arranging import arrange
from rnndsl.backends.tvm.delays import with_delays_apart
from rnndsl.compiler.ir import LeafRole, Node, ResultRole
from rnndsl.compiler.plan import Plan, StageKind
from rnndsl.compiler.split import split
from rnndsl.compiler.text import parse_graph

# a is x one step late, b two steps late times the weight, and c reads what nobody computes here.
TEXT = """\
graph window {
  input x: batch[3]
  state a: batch[3]
  state b: batch[3]
  state c: batch[3]
  param w: shared[3]
  %5: batch[3] = mul(w, x)
  %6: batch[3] = mul(w, a)
  %7: batch[3] = add(%5, b)
  %8: batch[3] = add(%7, c)
  output y = %8
  state a = %5
  state b = %6
  state c = x
}
"""


def stage_of(plan: Plan, value: int) -> int:
    node = plan.graph.definition(value)
    if isinstance(node, Node):
        return next(k for k, stage in enumerate(plan.stages) if value in stage.values)
    return next(k for k, stage in enumerate(plan.stages) if node.name in stage.states)


@pytest.mark.parametrize("reverse", [False, True])
def test_what_a_delay_reads_is_computed_in_a_stage_before_it(reverse: bool) -> None:
    plan = split(parse_graph(TEXT), reverse)
    assert len(plan.stages) == 1
    found = arrange(plan).plan
    assert [stage.kind for stage in found.stages] == [StageKind.PARALLEL] * 3
    for result in found.graph.results_of(ResultRole.STATE):
        leaf = found.graph.leaf_index(result.name, LeafRole.STATE)
        if result.value >= len(found.graph.leaves):
            assert stage_of(found, result.value) < stage_of(found, leaf)
    assert stage_of(found, found.graph.leaf_index("c", LeafRole.STATE)) == 0
    assert sorted(v for s in found.stages for v in s.values) == sorted(
        v for s in plan.stages for v in s.values
    )


def test_a_plan_without_such_delays_is_left_alone() -> None:
    text = TEXT.replace("state a = %5", "state a = x").replace("state b = %6", "state b = x")
    plan = split(parse_graph(text))
    assert with_delays_apart(plan) is plan
