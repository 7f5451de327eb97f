"""States that hold nothing of their own: those that stay zero, and copies of other states.

``h1' = h0 * h1`` stays zero when it starts there, and two states that start alike and are
updated alike are one.  Both are found by assuming the most and taking back what does not
follow (partition refinement, as in Hopcroft 1971): all states that start with equal values
are one class, until their next values differ under the assumption.
"""

from __future__ import annotations

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole
from rnndsl.compiler.ops import OPS
from rnndsl.compiler.text_values import attrs_text

_ZERO = "zero"
Key = tuple[object, ...]

# Zero when their first operand is, or all of them are, or any of them is.
_FIRST = frozenset(
    {"abs", "batch_sum", "broadcast", "cummax", "cumsum", "div", "erf", "floor", "gather", "log1p"}
    | {"neg", "pad", "reduce_max", "reduce_sum", "relu", "reshape", "roll", "round", "scatter_add"}
    | {"sign", "sin", "slice", "sqrt", "step", "stop_grad", "tanh", "transpose"}
)
_ALL = frozenset({"add", "sub", "max", "min", "concat"})
_ANY = frozenset({"mul", "contract"})


def without_idle_states(graph: Graph) -> Graph:
    """The same outputs, for sequences that begin with the initial states, with fewer states.

    For graphs that are only compared: a batched zero becomes a shared one.
    """
    classes = _classes(graph)
    kept: dict[Key, int] = {}
    replaced: dict[int, int | None] = {}  # by another state, or by zero
    for value, key in classes.items():
        if key[0] == _ZERO:
            replaced[value] = None
        elif key in kept:
            replaced[value] = kept[key]
        else:
            kept[key] = value
    return _substitute(graph, replaced) if replaced else graph


def _classes(graph: Graph) -> dict[int, Key]:
    """State leaves by what they are equal to."""
    starts = {r.name: r.value for r in graph.results_of(ResultRole.VALUE)}
    after = {r.name: r.value for r in graph.results_of(ResultRole.STATE)}
    states = {v: leaf for v, leaf in enumerate(graph.leaves) if leaf.role is LeafRole.STATE}
    numbers = _Numbers(graph, {v: ("state", v) for v in states})
    classes: dict[int, Key] = {}
    for value, leaf in states.items():
        start = starts.get(f"init.{leaf.name}")
        if start is None:  # it may be anything
            classes[value] = ("state", value)
        elif numbers.zero[start]:
            classes[value] = (_ZERO, leaf.type)
        else:
            classes[value] = ("starts", leaf.type, numbers.ids[start])
    while True:
        numbers = _Numbers(graph, classes)
        refined: dict[int, Key] = {}
        for value, leaf in states.items():
            following = after[leaf.name]
            stays = classes[value][0] == _ZERO and numbers.zero[following]
            refined[value] = (
                classes[value] if stays else ("state", classes[value], numbers.ids[following])
            )
        zeros = [[key[0] == _ZERO for key in found.values()] for found in (classes, refined)]
        if zeros[0] == zeros[1] and len(set(refined.values())) == len(set(classes.values())):
            return classes
        first: dict[Key, int] = {}  # classes are called after the first state in them
        for value, key in refined.items():
            first.setdefault(key, value)
        classes = {
            v: key if key[0] == _ZERO else ("state", first[key]) for v, key in refined.items()
        }


class _Numbers:
    """For each value whether it is zero, and a number: equal ones are equal values, provided
    that the states of one class are equal."""

    def __init__(self, graph: Graph, classes: dict[int, Key]) -> None:
        self.zero: list[bool] = []
        self.ids: list[int] = []
        self._known: dict[Key, int] = {}
        for value in range(len(graph.leaves)):
            key = classes.get(value, ("leaf", value))
            self._add(key[0] == _ZERO, key)
        for node in graph.nodes:
            if _is_zero(node, [self.zero[v] for v in node.operands]):
                self._add(True, (_ZERO, node.type))
                continue
            ids = [self.ids[v] for v in node.operands]
            order = sorted(ids) if OPS[node.op].commutative else ids
            self._add(False, (node.op, attrs_text(node.attrs), *order))

    def _add(self, zero: bool, key: Key) -> None:
        self.zero.append(zero)
        self.ids.append(self._known.setdefault(key, len(self._known)))


def _is_zero(node: Node, zeros: list[bool]) -> bool:
    if node.op == "full":
        return node.attr("value") == 0
    if node.op in _ANY:
        return any(zeros)
    if node.op in _FIRST:
        return zeros[0]
    if node.op == "where":
        return zeros[1] and zeros[2]
    return node.op in _ALL and all(zeros)


def _substitute(graph: Graph, replaced: dict[int, int | None]) -> Graph:
    builder = Builder()
    handles: dict[int, int] = {}
    for value, leaf in enumerate(graph.leaves):
        if value not in replaced:
            handles[value] = builder.leaf(leaf.name, leaf.role, leaf.type, leaf.span)
    for value, other in replaced.items():
        shape = graph.leaves[value].type.shape
        handles[value] = builder.full(0.0, shape) if other is None else handles[other]
    gone = {v: graph.leaves[v] for v in replaced}
    zero = _Numbers(
        graph, {v: (_ZERO, gone[v].type) for v, o in replaced.items() if o is None}
    ).zero
    for value, node in graph.node_values():
        if zero[value]:
            handles[value] = builder.full(0.0, node.type.shape)
        else:
            handles[value] = builder.copy(node, tuple(handles[v] for v in node.operands))
    names = {leaf.name for leaf in gone.values()}
    for result in graph.results:
        of_state = {ResultRole.STATE: result.name, ResultRole.VALUE: result.name[len("init.") :]}
        if of_state.get(result.role) not in names:
            builder.result(result.name, result.role, handles[result.value])
    return builder.finish(graph.name)
