"""Lowering: a typed cell to the graph of one time step, and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rnndsl.cell import Cell
from rnndsl.checking.check import typed_cell
from rnndsl.compiler.builder import Builder, copy_nodes
from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole, Type
from rnndsl.compiler.lower_emit import Emitter
from rnndsl.compiler.lower_functions import LOWERINGS
from rnndsl.params import ParamSpec
from rnndsl.typed import INPUT, LEAVES, PARAM, STATE, TypedCell, TypedValue

OUTPUT_NAME = "y"
INIT_PREFIX = "init."

_ROLES = {INPUT: LeafRole.INPUT, STATE: LeafRole.STATE, PARAM: LeafRole.PARAM}


@dataclass(frozen=True, slots=True)
class Lowered:
    """The graph of one time step, and what to make for its PARAM leaves, in their order."""

    graph: Graph
    params: tuple[ParamSpec, ...]


def lower(cell: Cell, numbers: Mapping[str, int | float] | None = None) -> Lowered:
    """The step graph of a cell, over open dimensions.

    ``numbers`` replace the defaults of the cell's numbers.  Leaves are the inputs, the states
    (the cell's own, then its sub-cells') and the parameters; results are the OUTPUT ``y``
    (``y_`` if a state is called so), the STATE results, and for each state a shared VALUE
    ``init.<state>``.  RnndslError with the mistakes of the cell.
    """
    return lower_typed(typed_cell(cell, numbers))


def lower_typed(cell: TypedCell) -> Lowered:
    """As :func:`lower`, for a cell that is typed already."""
    builder = Builder()
    handles: dict[int, int] = {}
    order = [*cell.inputs, *(state.leaf for state in cell.states)]
    order += [i for i, value in enumerate(cell.values) if value.function == PARAM]
    for index in order:
        handles[index] = _leaf(builder, cell.values[index])
    for index in _live(cell):
        value = cell.values[index]
        if value.function in LEAVES:
            continue
        emitter = Emitter(builder, value.span)
        operands = [handles[v] for v in value.operands]
        made = LOWERINGS[value.function](emitter, value, operands)
        handles[index] = made
        if value.name and made in emitter.made:
            builder.rename(made, value.name)
    output_name = OUTPUT_NAME
    while output_name in {state.name for state in cell.states}:
        output_name += "_"  # their cotangents are named after them: d.y
    builder.result(output_name, ResultRole.OUTPUT, handles[cell.output])
    for state in cell.states:
        builder.result(state.name, ResultRole.STATE, handles[state.next])
    for state in cell.states:
        leaf = cell.values[state.leaf]
        emitter = Emitter(builder, leaf.span)
        shape = leaf.type.shape
        if state.init is None:
            start = emitter.full(0.0, shape)
        else:
            start = emitter.spread(handles[state.init], shape)
        builder.result(INIT_PREFIX + state.name, ResultRole.VALUE, start)
    return Lowered(_without_unread(builder.finish(cell.name)), cell.params)


def _without_unread(graph: Graph) -> Graph:
    """The graph without nameless nodes that nothing reads, such as respread constants."""
    live: set[int] = set()
    waiting = [result.value for result in graph.results]
    waiting += [value for value, node in graph.node_values() if node.name]
    while waiting:
        value = waiting.pop()
        entry = graph.definition(value)
        if value not in live and isinstance(entry, Node):
            live.add(value)
            waiting += entry.operands
    if len(live) == len(graph.nodes):
        return graph
    builder = Builder()
    handles = {
        value: builder.leaf(leaf.name, leaf.role, leaf.type, leaf.span)
        for value, leaf in enumerate(graph.leaves)
    }
    copy_nodes(builder, graph, handles, sorted(live))
    for result in graph.results:
        builder.result(result.name, result.role, handles[result.value])
    return builder.finish(graph.name)


def _leaf(builder: Builder, value: TypedValue) -> int:
    kind = Type(value.type.shape, value.type.batched)
    return builder.leaf(value.name, _ROLES[value.function], kind, value.span)


def _live(cell: TypedCell) -> list[int]:
    """Values that a result or a name needs, in order; unread numbers are left out."""
    live: set[int] = set()
    waiting = [cell.output, *(s.next for s in cell.states)]
    waiting += [s.init for s in cell.states if s.init is not None]
    waiting += [index for _, index in cell.names]
    while waiting:
        index = waiting.pop()
        if index not in live:
            live.add(index)
            waiting += cell.values[index].operands
    return sorted(live)
