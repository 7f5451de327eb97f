"""Variants of a lowered graph: inner values as outputs, restarts, sequences of unequal length.

Each is a graph-to-graph function, so their gradients come from the same differentiation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Graph, LeafRole, Node, Result, ResultRole, Type
from rnndsl.compiler.separate import needed_values

# Names of the extra inputs; a cell's own names have no dot in front.
VALID = ".valid"
RESET = ".reset"
TAP = "tap."
_FLAG = Type((), True)


def tappable(graph: Graph) -> dict[str, int]:
    """The values that have a name in the user's file: inputs, states and inner values."""
    found = {leaf.name: k for k, leaf in enumerate(graph.leaves) if leaf.role is not LeafRole.PARAM}
    return found | {node.name: value for value, node in graph.node_values() if node.name}


def with_taps(graph: Graph, names: Iterable[str]) -> Graph:
    """The graph with one more OUTPUT ``tap.<name>`` for each name; KeyError if there is none."""
    known = tappable(graph)
    taps = tuple(Result(f"{TAP}{name}", ResultRole.OUTPUT, known[name]) for name in names)
    return replace(graph, results=(*graph.results, *taps))


def with_all_taps(graph: Graph) -> tuple[Graph, tuple[int, ...]]:
    """Every batched value as an OUTPUT ``tap.<index>``, and which values those are."""
    count = len(graph.leaves) + len(graph.nodes)
    values = tuple(v for v in range(count) if graph.type_of(v).batched)
    taps = tuple(Result(f"{TAP}{v}", ResultRole.OUTPUT, v) for v in values)
    return replace(graph, results=(*graph.results, *taps)), values


def with_resets(graph: Graph) -> Graph:
    """States take their initial value before every step whose input ``.reset`` is not 0."""
    builder, handles = _copied_leaves(graph)
    flag = builder.leaf(RESET, LeafRole.INPUT, _FLAG)
    initial = _initial_values(graph)
    for value in needed_values(graph, list(initial.values())):
        _copy(builder, graph, handles, value)
    for value, leaf in enumerate(graph.leaves):
        if leaf.role is LeafRole.STATE:
            start = handles[initial[leaf.name]]
            handles[value] = _choose(builder, flag, start, handles[value])
    for value, _ in graph.node_values():
        _copy(builder, graph, handles, value)
    for result in graph.results:
        builder.result(result.name, result.role, handles[result.value])
    return builder.finish(graph.name)


def with_lengths(graph: Graph) -> Graph:
    """Where the input ``.valid`` is 0, states stay as they are and outputs are 0.

    Inputs count as 0 there, so that padding, whatever it holds, reaches no gradient.
    """
    builder, handles = _copied_leaves(graph)
    flag = builder.leaf(VALID, LeafRole.INPUT, _FLAG)
    before = dict(handles)
    for value, leaf in enumerate(graph.leaves):
        if leaf.role is LeafRole.INPUT:
            zero = builder.full(0, leaf.type.shape)
            handles[value] = _choose(builder, flag, handles[value], zero)
    for value, _ in graph.node_values():
        _copy(builder, graph, handles, value)
    for result in graph.results:
        value = handles[result.value]
        shape = builder.type_of(value).shape
        if result.role is ResultRole.OUTPUT:
            value = _choose(builder, flag, value, builder.full(0, shape))
        elif result.role is ResultRole.STATE:
            state = before[graph.leaf_index(result.name, LeafRole.STATE)]
            value = _choose(builder, flag, value, state)
        builder.result(result.name, result.role, value)
    return builder.finish(graph.name)


def _initial_values(graph: Graph) -> dict[str, int]:
    """The value of ``init.<state>`` for each state."""
    return {
        result.name.removeprefix("init."): result.value
        for result in graph.results_of(ResultRole.VALUE)
        if result.name.startswith("init.")
    }


def _copied_leaves(graph: Graph) -> tuple[Builder, dict[int, int]]:
    builder = Builder()
    handles = {
        value: builder.leaf(leaf.name, leaf.role, leaf.type, leaf.span)
        for value, leaf in enumerate(graph.leaves)
    }
    return builder, handles


def _copy(builder: Builder, graph: Graph, handles: dict[int, int], value: int) -> None:
    node = graph.definition(value)
    if isinstance(node, Node) and value not in handles:
        handles[value] = builder.copy(node, tuple(handles[v] for v in node.operands))


def _choose(builder: Builder, flag: int, yes: int, no: int) -> int:
    """``yes`` where the flag is not 0, else ``no``; both of one shape."""
    return builder.op("where", builder.broadcast_like(flag, builder.type_of(yes)), yes, no)
