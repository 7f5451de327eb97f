"""A plan as a page: stages with their values, states, shapes, operations and bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from rnndsl.compiler.classes import classify
from rnndsl.compiler.ir import Graph, LeafRole, Node
from rnndsl.compiler.ops import OPS
from rnndsl.compiler.plan import Plan, Stage, StageKind
from rnndsl.compiler.text import print_graph
from rnndsl.dims import Dim
from rnndsl.source import Span

Locate = Callable[[Span], str]
_FLOAT = 4  # bytes of a float32
_KINDS = {
    StageKind.PARALLEL: "parallel: for all time steps at once",
    StageKind.SCAN: "scan: one time step after the other",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one example costs in one time step: operations, and bytes of the results."""

    flops: int = 0
    size: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.flops + other.flops, self.size + other.size)


def cost_of(bound: Graph, value: int) -> Cost:
    """The cost of a node of a bound graph; views of other values count as copies."""
    node = bound.definition(value)
    assert isinstance(node, Node)
    types = [bound.type_of(operand) for operand in node.operands]
    flops = OPS[node.op].flops(types, node.type, dict(node.attrs))
    return Cost(flops, _FLOAT * prod(node.type.sizes))


def plan_text(
    heading: str, plan: Plan, sizes: Mapping[str, int], locate: Locate | None = None
) -> str:
    """The stages of a plan; ``sizes`` are those at which operations and bytes are counted.

    ``locate`` turns a span into file, line and column.
    """
    bound = plan.graph.bind(sizes)
    equations = _equations(plan.graph)
    total = sum((cost_of(bound, v) for s in plan.stages for v in s.values), Cost())
    order = "last time step first" if plan.reverse else "first time step first"
    lines = [f"{heading}: {_count(len(plan.stages), 'stage')}, {order}", f"  {_cost(total)}", ""]
    classes = {found.stage: found.text(locate) for found in classify(plan)}
    for number, stage in enumerate(plan.stages, start=1):
        recurrence = classes.get(number - 1, "")
        lines += _stage_lines(number, plan, stage, bound, equations, recurrence)
    return "\n".join(lines)


def parameters_text(shapes: Sequence[tuple[str, tuple[Dim, ...]]], sizes: Mapping[str, int]) -> str:
    """How many parameters there are, in how many arrays."""
    counts = [prod(int(d.bind(sizes)) for d in shape) for _, shape in shapes]
    return f"{sum(counts):,} parameters in {_count(len(counts), 'array')}"


def _stage_lines(
    number: int,
    plan: Plan,
    stage: Stage,
    bound: Graph,
    equations: Mapping[int, str],
    recurrence: str,
) -> list[str]:
    costs = {value: cost_of(bound, value) for value in stage.values}
    lines = [
        f"  stage {number}, {_KINDS[stage.kind]}",
        f"    {_count(len(stage.values), 'value')}; {_cost(sum(costs.values(), Cost()))}",
    ]
    if stage.states:
        word = "carries" if stage.kind is StageKind.SCAN else "delays by one step"
        types = [plan.graph.type_of(_leaf(plan.graph, state)) for state in stage.states]
        shown = (f"{s} {_shape(t.shape)}" for s, t in zip(stage.states, types, strict=True))
        lines.append(f"    {word} {', '.join(shown)}")
    if recurrence:
        lines.append(f"    {recurrence}")
    width = max((len(equations[value]) for value in stage.values), default=0)
    for value in stage.values:
        cost = costs[value]
        lines.append(f"      {equations[value]:{width}}  {cost.flops:>12,}  {cost.size:>10,}")
    return [*lines, ""]


def _leaf(graph: Graph, state: str) -> int:
    return graph.leaf_index(state, LeafRole.STATE)


def _equations(graph: Graph) -> dict[int, str]:
    """The line of each node in the text of the graph."""
    lines = print_graph(graph).splitlines()[1 + len(graph.leaves) :]
    return {value: lines[k].strip() for k, (value, _) in enumerate(graph.node_values())}


def _shape(shape: tuple[Dim, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _cost(cost: Cost) -> str:
    return f"{cost.flops:,} flops, {cost.size:,} bytes of results per example and time step"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
