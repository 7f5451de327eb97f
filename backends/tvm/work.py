"""How much arithmetic a graph is."""

from __future__ import annotations

from math import prod

from rnndsl.backends.tvm.schedule import StageSteps, Step, StepKind
from rnndsl.compiler.ir import Graph, Leaf, LeafRole, Node
from rnndsl.compiler.op_types import parse_spec
from rnndsl.compiler.plan import StageKind

# Operations of an elementwise function, in multiplications and additions.
_ELEMENT = 4


# Operations of a product within a scan that are worth waiting twice for other threads.
_LEAST_OF_COLUMNS = 300_000


def has_columns(graph: Graph, stage: StageSteps) -> bool:
    """Whether threads that have too few rows share the products of each step of a scan."""
    steps = [step for step in stage.steps if is_split(graph, step)]
    total = sum(_of_node(graph, graph.definition(step.values[0])) for step in steps)
    return stage.kind is StageKind.SCAN and total > _LEAST_OF_COLUMNS * max(1, len(steps))


def is_split(graph: Graph, step: Step) -> bool:
    """Whether a step is a product with a weight, the results of which threads may share."""
    node = graph.definition(step.values[0])
    if step.kind is not StepKind.NODE or not isinstance(node, Node) or node.op != "contract":
        return False
    if node.attr("sum_batch"):
        return False
    left, right, out = parse_spec(node.attr("spec"))
    found = [graph.definition(v) for v in node.operands]
    weights = [isinstance(f, Leaf) and f.role is LeafRole.PARAM for f in found]
    return any(
        is_weight and bool(out) and out[-1] in letters and out[-1] not in other
        for is_weight, letters, other in zip(weights, (left, right), (right, left), strict=True)
    )


def work(graph: Graph) -> int:
    """About how many operations one step of one example takes."""
    return sum(_of_node(graph, node) for _, node in graph.node_values())


def _of_node(graph: Graph, node: Leaf | Node) -> int:
    if not isinstance(node, Node) or not any(graph.type_of(v).batched for v in node.operands):
        return 0
    if node.op != "contract":
        return _ELEMENT * prod(node.type.sizes)
    left, right, _ = parse_spec(node.attr("spec"))
    shapes = [graph.type_of(v).sizes for v in node.operands]
    sizes = dict(zip(left + right, (*shapes[0], *shapes[1]), strict=True))
    return 2 * prod(sizes.values())
