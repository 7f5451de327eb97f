"""Which products and scans threads can share where there are too few rows for that."""

from __future__ import annotations

from math import prod

from rnndsl.backends.tvm.schedule import Schedule, StageSteps, Step, StepKind
from rnndsl.backends.tvm.views import root
from rnndsl.compiler.ir import Graph, Leaf, LeafRole, Node, ResultRole
from rnndsl.compiler.op_types import ints_attr, parse_spec
from rnndsl.compiler.plan import StageKind

# Of scans in pieces: few, so that threads have about as many each, and whole lines of memory.
PIECE = 32
_LEAST_PIECES = 2
# Ops with loops of their own whose results in a piece need no other piece, but along axis 0.
_WITHIN = frozenset({"reduce_sum", "reduce_max"})


def is_in_pieces(graph: Graph, schedule: Schedule, stage: StageSteps) -> bool:
    """Whether a stage consists of pieces along the first axis of its values, of which none reads
    what another computes: threads take some each, and go through time without waiting.

    Only scans of states with more than one axis: elements of vectors are computed as fast as what
    they read comes from the cache of another core, which computed half of it.  And what reads
    the streams of a call beside such a scan, which finds them in the same core's cache then.
    """
    if stage.kind is StageKind.PARALLEL:
        scans = (other for other in schedule.stages if other.kind is StageKind.SCAN)
        beside = any(is_in_pieces(graph, schedule, scan) for scan in scans)
        return (
            beside and _reads_inputs(graph, stage) and _consists_of_pieces(graph, schedule, stage)
        )
    states = (graph.leaf_index(name, LeafRole.STATE) for name in stage.states)
    are_large = any(len(graph.type_of(state).sizes) > 1 for state in states)
    return are_large and _consists_of_pieces(graph, schedule, stage)


def _reads_inputs(graph: Graph, stage: StageSteps) -> bool:
    """Whether a stage reads no stream that another stage has computed."""
    made = {value for step in stage.steps for value in step.values}
    nodes = [node for v in made if isinstance(node := graph.definition(v), Node)]
    read = {root(graph, v) for node in nodes for v in node.operands} - made
    return all(v is None or isinstance(graph.definition(v), Leaf) for v in read)


def _consists_of_pieces(graph: Graph, schedule: Schedule, stage: StageSteps) -> bool:
    if stage.swapped or stage.sums:
        return False
    states = [graph.leaf_index(name, LeafRole.STATE) for name in stage.states]
    steps = [s for s in stage.steps if not is_joined_in_place(graph, schedule, s.values[0])]
    ends = [result.value for result in stage.copies]
    ends += [r.value for r in graph.results_of(ResultRole.STATE) if r.name in stage.states]
    values = [*(value for step in steps for value in step.values), *ends]
    shapes = {graph.type_of(value).sizes[:1] for value in values}
    if len(shapes) != 1 or not (shape := shapes.pop()) or shape[0] < _LEAST_PIECES * PIECE:
        return False
    made = {value for step in stage.steps for value in step.values} | set(states)
    are_along = all(root(graph, v) not in made or _is_along(graph, v, made) for v in ends)
    return are_along and all(_is_within_pieces(graph, step, made) for step in steps)


def _is_within_pieces(graph: Graph, step: Step, made: set[int]) -> bool:
    """Whether a step reads of what its stage has ``made`` only the pieces that it computes."""
    if step.kind is StepKind.DELAY:
        return False
    nodes = [node for v in step.values if isinstance(node := graph.definition(v), Node)]
    if step.kind is StepKind.NODE and not all(n.op in _WITHIN and n.attr("axis") for n in nodes):
        return False
    operands = (value for node in nodes for value in node.operands)
    return all(root(graph, v) not in made or _is_along(graph, v, made) for v in operands)


def _is_along(graph: Graph, value: int, made: set[int]) -> bool:
    """Whether the first axis of a value is that of what it is a view of."""
    if value in made:
        return True
    node = graph.definition(value)
    assert isinstance(node, Node)
    lies_along = node.op == "broadcast" and ints_attr(dict(node.attrs), "axes")[:1] == (0,)
    return lies_along and node.operands[0] in made


def is_joined_in_place(graph: Graph, schedule: Schedule, value: int) -> bool:
    """Whether a value is a concat that is there once its operands are."""
    node = graph.definition(value)
    if not isinstance(node, Node) or node.op != "concat":
        return False
    parts = schedule.parts
    return all(v in parts and parts[v].whole == value for v in node.operands)


def weight_of(graph: Graph, step: Step) -> int:
    """The elements of the weight of a product whose results threads may share; else 0."""
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
