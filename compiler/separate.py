"""Separation: what depends on parameters alone is computed once per sequence, the rest per step."""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Graph, Leaf, LeafRole, Node, ResultRole

CONSTANT_OPS = frozenset({"full", "iota"})


@dataclass(frozen=True, slots=True)
class Program:
    """A cell ready to run.

    ``prepare`` turns parameters into derived parameters and initial states (VALUE results;
    those of state ``h`` are named ``init.h``).  ``step`` holds the batched nodes; its PARAM
    leaves are parameters or results of ``prepare``, found by name in the two together.
    """

    prepare: Graph
    step: Graph


def separate(graph: Graph) -> Program:
    """Split a lowered graph into its shared part and its batched part."""
    crossing = _crossing_values(graph)
    names = _derived_names(graph, crossing)
    return Program(_prepare_graph(graph, names), _step_graph(graph, names))


def join(program: Program) -> Graph:
    """The inverse of :func:`separate`: one graph, with the results of both."""
    builder = Builder()
    made: dict[str, int] = {}  # parameters and derived parameters
    names = {result.name for result in program.prepare.results}
    leaves: dict[tuple[str, LeafRole], int] = {}
    for leaf in (*program.prepare.leaves, *program.step.leaves):
        is_made = leaf.role is LeafRole.PARAM and leaf.name in names
        if not is_made and (leaf.name, leaf.role) not in leaves:
            handle = builder.leaf(leaf.name, leaf.role, leaf.type, leaf.span)
            leaves[leaf.name, leaf.role] = handle
    for graph in (program.prepare, program.step):
        handles = {
            value: leaves.get((leaf.name, leaf.role), made.get(leaf.name, -1))
            for value, leaf in enumerate(graph.leaves)
        }
        for value, node in graph.node_values():
            handles[value] = builder.keep(node, tuple(handles[v] for v in node.operands))
        for result in graph.results:
            if graph is program.prepare:
                made[result.name] = handles[result.value]
            if graph is program.step or result.name.startswith("init."):
                builder.result(result.name, result.role, handles[result.value])
    return builder.finish(program.step.name)


def _is_shared_node(graph: Graph, value: int) -> bool:
    found = graph.definition(value)
    return isinstance(found, Node) and not found.type.batched and not _is_sum(found)


def _is_sum(node: Node) -> bool:
    return node.op == "batch_sum" or (node.op == "contract" and bool(node.attr("sum_batch")))


def _crossing_values(graph: Graph) -> list[int]:
    """Shared computed values that batched nodes or per-step results read, in order."""
    readers = [v for _, node in graph.node_values() if node.type.batched for v in node.operands]
    readers += [r.value for r in graph.results if r.role is not ResultRole.VALUE]
    return sorted(
        {v for v in readers if _is_shared_node(graph, v) and _node(graph, v).op not in CONSTANT_OPS}
    )


def _node(graph: Graph, value: int) -> Node:
    node = graph.definition(value)
    assert isinstance(node, Node)
    return node


def _derived_names(graph: Graph, crossing: list[int]) -> dict[int, str]:
    """A name for each crossing value: the user's, unless it is taken or missing."""
    taken = {leaf.name for leaf in graph.leaves} | {r.name for r in graph.results}
    names: dict[int, str] = {}
    for count, value in enumerate(crossing):
        name = _node(graph, value).name or f"derived.{count}"
        while name in taken:
            name += "_"
        taken.add(name)
        names[value] = name
    return names


def _prepare_graph(graph: Graph, names: dict[int, str]) -> Graph:
    wanted = [(r.name, r.value) for r in graph.results if r.role is ResultRole.VALUE]
    wanted += [(name, value) for value, name in names.items()]
    needed = needed_values(graph, [value for _, value in wanted])
    builder, handles = Builder(), dict[int, int]()
    for value in needed:
        found = graph.definition(value)
        if isinstance(found, Leaf):
            handles[value] = builder.leaf(found.name, found.role, found.type, found.span)
        else:
            handles[value] = builder.keep(found, tuple(handles[v] for v in found.operands))
    for name, value in wanted:
        builder.result(name, ResultRole.VALUE, handles[value])
    return builder.finish(f"{graph.name}.prepare")


def _step_graph(graph: Graph, names: dict[int, str]) -> Graph:
    results = [r for r in graph.results if r.role is not ResultRole.VALUE]
    needed = set(needed_values(graph, [r.value for r in results], stop=frozenset(names)))
    builder, handles = Builder(), dict[int, int]()
    for value, leaf in enumerate(graph.leaves):
        # Inputs and states stay even when unread: they are the calling convention.
        if value in needed or leaf.role is not LeafRole.PARAM:
            handles[value] = builder.leaf(leaf.name, leaf.role, leaf.type, leaf.span)
    for value, name in names.items():
        if value in needed:
            node = _node(graph, value)
            handles[value] = builder.leaf(name, LeafRole.PARAM, node.type, node.span)
    for value, node in graph.node_values():
        if value in needed and value not in names:
            handles[value] = builder.keep(node, tuple(handles[v] for v in node.operands))
    for result in results:
        builder.result(result.name, result.role, handles[result.value])
    return builder.finish(graph.name)


def needed_values(graph: Graph, wanted: list[int], stop: frozenset[int] = frozenset()) -> list[int]:
    """``wanted`` and all that they depend on, in order; ``stop`` values count as leaves."""
    found: set[int] = set()
    pending = list(wanted)
    while pending:
        value = pending.pop()
        if value in found:
            continue
        found.add(value)
        node = graph.definition(value)
        if isinstance(node, Node) and value not in stop:
            pending.extend(node.operands)
    return sorted(found)
