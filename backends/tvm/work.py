"""Which loops threads share where there are too few rows for that."""

from __future__ import annotations

from math import prod

from rnndsl.backends.tvm.schedule import StageSteps, Step, StepKind
from rnndsl.compiler.ir import Graph, Leaf, LeafRole, Node
from rnndsl.compiler.op_types import parse_spec

# Elements of a weight that are worth waiting twice for other threads: those of them that one of
# two threads need not read take about as long as that to come from a core's second cache.
_LEAST_WEIGHT = 24_000


def has_columns(graph: Graph, stage: StageSteps) -> bool:
    """Whether threads that have too few rows share the products of a stage."""
    weights = [_weight(graph, step) for step in stage.steps if is_split(graph, step)]
    return sum(weights) > _LEAST_WEIGHT * max(1, len(weights))


def waits_of(graph: Graph, stage: StageSteps) -> int:
    """How often threads that share the products of a stage wait for each other in one step."""
    waits, alone = 1, False
    for step in stage.steps:
        if is_split(graph, step):
            waits, alone = waits + 1 + alone, False
        else:
            alone = True
    return waits


def is_split(graph: Graph, step: Step) -> bool:
    """Whether a step is a product with a weight, the results of which threads may share."""
    return bool(_weight(graph, step))


def _weight(graph: Graph, step: Step) -> int:
    """The elements of the weight of such a product, else 0."""
    node = graph.definition(step.values[0])
    if step.kind is not StepKind.NODE or not isinstance(node, Node) or node.op != "contract":
        return 0
    if node.attr("sum_batch"):
        return 0
    left, right, out = parse_spec(node.attr("spec"))
    for value, letters, other in zip(node.operands, (left, right), (right, left), strict=True):
        found = graph.definition(value)
        is_weight = isinstance(found, Leaf) and found.role is LeafRole.PARAM
        if is_weight and out and out[-1] in letters and out[-1] not in other:
            return prod(found.type.sizes)
    return 0
