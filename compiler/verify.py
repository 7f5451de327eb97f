"""The verifier: says whether a graph is well formed, by running the type rules again.

Every value is of one of three classes, and only some ops may mix them:

* *varying*: batched; one value for each example and time step;
* *fixed*: depends on parameters and constants alone; one value for a whole sequence;
* *sum*: made by ``batch_sum`` or ``contract`` with ``sum_batch``; its meaning is the total
  over batch and time, so only linear ops may follow, and none may add a fixed value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum

from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole
from rnndsl.compiler.op_types import OpTypeError
from rnndsl.compiler.ops import OPS


class GraphError(ValueError):
    """A graph is not well formed: ``value`` is the index of the value at fault, if one is."""

    def __init__(self, graph: Graph, reason: str, value: int | None = None) -> None:
        where = f"graph `{graph.name}`"
        if value is not None:
            entry = graph.definition(value)
            kind = entry.op if isinstance(entry, Node) else entry.role.value
            named = f" `{entry.name}`" if entry.name else ""
            where = f"%{value} ({kind}{named}) of {where}"
        super().__init__(f"{where}: {reason}")
        self.reason = reason
        self.value = value


class ValueClass(Enum):
    """How a value depends on time and batch."""

    VARYING = "varying"
    FIXED = "fixed"
    SUM = "sum"


def verify(graph: Graph) -> None:
    """Check what holds for every graph; GraphError names the value that breaks a rule."""
    _check_leaves(graph)
    for value, node in graph.node_values():
        _check_node(graph, value, node)
    classes = value_classes(graph)
    _check_results(graph, classes)
    _check_unique(graph, "node", (node.name for node in graph.nodes if node.name))


def verify_step(graph: Graph) -> None:
    """Check a step graph: besides :func:`verify`, nothing in it can be done before the loop."""
    verify(graph)
    classes = value_classes(graph)
    for value, node in graph.node_values():
        if classes[value] is ValueClass.FIXED and node.operands:
            raise GraphError(graph, "depends on parameters alone: it belongs to prepare", value)
    for result in graph.results_of(ResultRole.VALUE):
        raise GraphError(graph, f"value `{result.name}` belongs to prepare", result.value)


def verify_prepare(graph: Graph) -> None:
    """Check a prepare graph: besides :func:`verify`, it reads parameters alone."""
    verify(graph)
    for value in range(len(graph.leaves) + len(graph.nodes)):
        if graph.type_of(value).batched:
            raise GraphError(graph, "is batched in a prepare graph", value)
    for result in graph.results:
        if result.role is not ResultRole.VALUE:
            raise GraphError(graph, f"{result.role.value} `{result.name}` in a prepare graph")


STAGES: dict[str, Callable[[Graph], None]] = {
    "any": verify,
    "step": verify_step,
    "prepare": verify_prepare,
}


def value_classes(graph: Graph) -> list[ValueClass]:
    """The class of every value, by index; GraphError if a sum is used by an op that is not
    linear in it."""
    classes = [
        ValueClass.VARYING if leaf.type.batched else ValueClass.FIXED for leaf in graph.leaves
    ]
    for value, node in graph.node_values():
        classes.append(_class_of(graph, value, node, [classes[v] for v in node.operands]))
    return classes


# Linear in each operand, if all operands are sums (or zeros).
_ADDING = {
    "neg", "add", "sub", "reduce_sum", "cumsum", "broadcast", "reshape", "transpose", "concat",
    "slice", "pad", "gather", "scatter_add", "roll", "stop_grad",
}  # fmt: skip
# Linear in one operand at a time: the others must be fixed.  The places where a sum may stand.
_SCALING = {"mul": (0, 1), "div": (0,), "contract": (0, 1)}


def _class_of(graph: Graph, value: int, node: Node, operands: list[ValueClass]) -> ValueClass:
    if node.op == "batch_sum" or (node.op == "contract" and node.attr("sum_batch")):
        return ValueClass.SUM
    if ValueClass.SUM not in operands:
        return ValueClass.VARYING if node.type.batched else ValueClass.FIXED
    sums = [place for place, kind in enumerate(operands) if kind is ValueClass.SUM]
    others = [
        v for v, kind in zip(node.operands, operands, strict=True) if kind is not ValueClass.SUM
    ]
    if node.type.batched:
        raise GraphError(graph, "mixes a sum over the batch with a value of one example", value)
    if node.op in _ADDING and all(is_zero(graph, v) for v in others):
        return ValueClass.SUM
    if node.op in _SCALING and len(sums) == 1 and sums[0] in _SCALING[node.op]:
        return ValueClass.SUM
    # A choice by a fixed condition is linear in what it chooses from.
    if node.op == "where" and 0 not in sums and all(is_zero(graph, v) for v in others[1:]):
        return ValueClass.SUM
    raise GraphError(graph, "is not linear in a sum over batch and time", value)


def is_zero(graph: Graph, value: int) -> bool:
    """Whether a value is the constant 0 (of either sign)."""
    entry = graph.definition(value)
    return isinstance(entry, Node) and entry.op == "full" and entry.attr("value") == 0


def _check_leaves(graph: Graph) -> None:
    for value, leaf in enumerate(graph.leaves):
        if leaf.type.batched is (leaf.role is LeafRole.PARAM):
            wanted = "shared" if leaf.role is LeafRole.PARAM else "batched"
            raise GraphError(graph, f"must be {wanted}, is {leaf.type}", value)
    _check_unique(graph, "leaf", (leaf.name for leaf in graph.leaves))


def _check_node(graph: Graph, value: int, node: Node) -> None:
    op = OPS.get(node.op)
    if op is None:
        raise GraphError(graph, f"there is no op `{node.op}`", value)
    for operand in node.operands:
        if not 0 <= operand < value:
            raise GraphError(graph, f"operand %{operand} is not defined before it", value)
    if op.arity is not None and len(node.operands) != op.arity:
        raise GraphError(graph, f"takes {op.arity} operands, has {len(node.operands)}", value)
    if op.arity is None and not node.operands:
        raise GraphError(graph, "has no operands", value)
    keys = tuple(key for key, _ in node.attrs)
    if keys != tuple(sorted(op.attrs)):
        raise GraphError(graph, f"has the attributes {keys}, not {tuple(sorted(op.attrs))}", value)
    try:
        kind = op.type_rule([graph.type_of(v) for v in node.operands], dict(node.attrs))
    except OpTypeError as error:
        raise GraphError(graph, str(error), value) from None
    if kind != node.type:
        raise GraphError(graph, f"is {kind}, but is recorded as {node.type}", value)


def _check_results(graph: Graph, classes: list[ValueClass]) -> None:
    count = len(graph.leaves) + len(graph.nodes)
    for result in graph.results:
        what = f"{result.role.value} `{result.name}`"
        if not 0 <= result.value < count:
            raise GraphError(graph, f"{what} is the undefined value %{result.value}")
        kind = classes[result.value]
        if result.role is ResultRole.SUM:
            legal = kind is ValueClass.SUM or is_zero(graph, result.value)
        elif result.role is ResultRole.VALUE:
            legal = kind is ValueClass.FIXED
        else:  # a fixed stream or state is the same for every example
            legal = kind is not ValueClass.SUM
        if not legal:
            raise GraphError(graph, f"{what} cannot be a {kind.value} value", result.value)
    for role in ResultRole:
        _check_unique(graph, role.value, (result.name for result in graph.results_of(role)))
    _check_states(graph)


def _check_states(graph: Graph) -> None:
    before = {leaf.name: leaf.type for leaf in graph.leaves_of(LeafRole.STATE)}
    after = {result.name: result.value for result in graph.results_of(ResultRole.STATE)}
    for name in sorted(before.keys() ^ after.keys()):
        missing = "result" if name in before else "leaf"
        raise GraphError(graph, f"state `{name}` has no {missing}")
    for name, value in after.items():
        kind = graph.type_of(value)
        if kind.shape != before[name].shape:
            raise GraphError(graph, f"state `{name}` is {before[name]}, becomes {kind}", value)


def _check_unique(graph: Graph, what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise GraphError(graph, f"two values have the {what} name `{name}`")
        seen.add(name)
