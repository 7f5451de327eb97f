"""Reverse-mode differentiation, graph to graph.

The derivative of a step graph is a step graph: it runs from the last time step to the
first, and its states are the cotangents of the forward states.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Graph, Leaf, LeafRole, Node, Result, ResultRole, Type
from rnndsl.compiler.ops import OPS
from rnndsl.compiler.separate import CONSTANT_OPS, needed_values

# Given the forward graph and the values that the backward pass reads (a state leaf stands for the
# stream of the state before each step): the nodes to keep from the forward pass.  What is not kept
# is computed again from what is.
SavePolicy = Callable[[Graph, frozenset[int]], frozenset[int]]


@dataclass(frozen=True, slots=True)
class Differentiated:
    """A step graph and its derivative.

    ``forward`` is the step graph with extra OUTPUT results: ``saved.<k>`` for the values
    that ``backward`` reads, ``next.<state>`` for the states whose stream it reads.

    ``backward`` runs in reverse.  Its leaves: INPUT ``saved.<k>``, ``prev.<state>`` (the
    state before each step: the initial state, then ``next.<state>`` delayed by one step),
    the forward inputs it reads under their own names, and the cotangents ``d.<output>``;
    STATE ``d.<state>``, which starts as the cotangent of the final state; PARAM leaves.
    Its results: OUTPUT ``d.<input>``, STATE ``d.<state>``, which ends as the cotangent of
    the initial state, and SUM ``d.<param>``.  A leaf that gets no gradient has no result.
    """

    forward: Graph
    backward: Graph
    saved: tuple[str, ...]
    again: tuple[int, ...]  # nodes of ``forward`` that ``backward`` computes a second time


def save_computed(forward: Graph, read: frozenset[int]) -> frozenset[int]:
    """Keep every value that took arithmetic; repeat what only moves data."""
    kept: set[int] = set()
    pending = list(read)
    while pending:
        value = pending.pop()
        node = forward.definition(value)
        if not isinstance(node, Node) or node.op in CONSTANT_OPS or value in kept:
            continue
        if node.op in _MOVES_DATA:
            pending.extend(node.operands)
        else:
            kept.add(value)
    return frozenset(kept)


_MOVES_DATA = frozenset({"broadcast", "reshape", "transpose", "slice", "stop_grad"})


def save_cheapest(forward: Graph, read: frozenset[int]) -> frozenset[int]:
    """Keep what makes keeping and computing again cheapest together (see saving.py)."""
    # Many read graphs without differentiating them, and need no networkx for it.
    from rnndsl.compiler.saving import TIME, cheapest_saved

    return cheapest_saved(forward, read, TIME)


def save_least(forward: Graph, read: frozenset[int]) -> frozenset[int]:
    """Keep as little as can be without running the loop over time again."""
    from rnndsl.compiler.saving import MEMORY, cheapest_saved

    return cheapest_saved(forward, read, MEMORY)


def differentiate(
    step: Graph, save: SavePolicy = save_cheapest, wrt: Collection[str] | None = None
) -> Differentiated:
    """The derivative of a step graph over time.

    ``wrt`` names the inputs and parameters that need a gradient, all by default; states
    always get one, since the gradient flows through them.
    """
    combined, forward_count = _combined(step, wrt)
    readers = combined.nodes[forward_count - len(combined.leaves) :]
    read = {v for node in readers for v in node.operands}
    read |= {result.value for result in combined.results}
    # Forward nodes stand in the combined graph as in the step graph, after all leaves.
    shift = len(combined.leaves) - len(step.leaves)
    wanted = frozenset(v for v in read if v < len(step.leaves))
    wanted |= {v - shift for v in read if len(combined.leaves) <= v < forward_count}
    kept = sorted(save(step, wanted))
    names = dict(zip(kept, _saved_names(step, len(kept)), strict=True))
    backward = _with_saved_leaves(combined, {v + shift: name for v, name in names.items()})
    forward = _with_saved_results(step, names, backward)
    return Differentiated(forward, backward, tuple(names.values()), _again(step, wanted, kept))


def _again(step: Graph, read: frozenset[int], kept: Collection[int]) -> tuple[int, ...]:
    needed = needed_values(step, list(read), stop=frozenset(kept))
    nodes = ((v, step.definition(v)) for v in needed if v not in kept)
    return tuple(v for v, n in nodes if isinstance(n, Node) and n.op not in CONSTANT_OPS)


def _saved_names(step: Graph, count: int) -> list[str]:
    """``saved.<k>``, but for those that are parameters of the cell."""
    taken = {leaf.name for leaf in step.leaves}
    names = (f"saved.{k}" for k in range(count + len(taken)))
    return [name for name in names if name not in taken][:count]


def differentiate_shared(prepare: Graph, made: Collection[str] = ()) -> Graph:
    """The derivative of a prepare graph: PARAM leaves, its own and the cotangents
    ``d.<value>``, to VALUE results ``d.<param>`` for the parameters that matter.

    Results of ``prepare`` that are ``made`` are PARAM leaves too, and not computed again.
    """
    builder = Builder()
    handles = [builder.leaf(f.name, f.role, f.type, f.span) for f in prepare.leaves]
    seeds: dict[int, int] = {}
    cotangents = [
        (r, builder.leaf(f"d.{r.name}", LeafRole.PARAM, prepare.type_of(r.value)))
        for r in prepare.results
    ]
    given = {
        r.value: builder.leaf(r.name, LeafRole.PARAM, prepare.type_of(r.value))
        for r in prepare.results
        if r.name in made and isinstance(prepare.definition(r.value), Node)
    }
    for node in prepare.nodes:
        handles.append(builder.copy(node, tuple(handles[v] for v in node.operands)))
    for result, cotangent in cotangents:
        _accumulate(builder, seeds, handles[result.value], cotangent)
    _pull_back(builder, handles[len(prepare.leaves) :], seeds)
    for value, leaf in enumerate(prepare.leaves):
        if handles[value] in seeds:
            builder.result(f"d.{leaf.name}", ResultRole.VALUE, seeds[handles[value]])
    whole = builder.finish(f"{prepare.name}.backward")
    return prune(_reading(whole, {handles[value]: leaf for value, leaf in given.items()}))


def _reading(graph: Graph, instead: Mapping[int, int]) -> Graph:
    """The graph with other operands ``instead`` of some."""
    operands = ([instead.get(v, v) for v in node.operands] for node in graph.nodes)
    pairs = zip(graph.nodes, operands, strict=True)
    return replace(graph, nodes=tuple(replace(n, operands=tuple(o)) for n, o in pairs))


def _combined(step: Graph, wrt: Collection[str] | None) -> tuple[Graph, int]:
    """Forward nodes, then adjoint nodes, in one graph; and where the adjoint ones begin."""
    builder = Builder()
    handles = [_forward_leaf(builder, leaf) for leaf in step.leaves]
    seeds: dict[int, int] = {}
    seeded = []
    for result in step.results:
        role = LeafRole.STATE if result.role is ResultRole.STATE else LeafRole.INPUT
        seeded.append((result, builder.leaf(f"d.{result.name}", role, _stream_type(step, result))))
    for node in step.nodes:
        handles.append(builder.copy(node, tuple(handles[v] for v in node.operands)))
    for result, cotangent in seeded:
        _accumulate(builder, seeds, handles[result.value], cotangent)
    _pull_back(builder, handles[len(step.leaves) :], seeds)
    carried = {f"d.{result.name}": cotangent for result, cotangent in seeded}
    for value, leaf in enumerate(step.leaves):
        _leaf_result(builder, leaf, handles[value], seeds, carried, wrt)
    leaf_count = len(step.leaves) + len(seeded)
    return builder.finish(f"{step.name}.backward"), leaf_count + len(step.nodes)


def _forward_leaf(builder: Builder, leaf: Leaf) -> int:
    """A forward leaf as the backward pass sees it: previous states are streams."""
    if leaf.role is LeafRole.STATE:
        return builder.leaf(f"prev.{leaf.name}", LeafRole.INPUT, leaf.type, leaf.span)
    return builder.leaf(leaf.name, leaf.role, leaf.type, leaf.span)


def _stream_type(step: Graph, result: Result) -> Type:
    return replace(step.type_of(result.value), batched=True)


def _leaf_result(
    builder: Builder,
    leaf: Leaf,
    handle: int,
    seeds: dict[int, int],
    carried: dict[str, int],
    wrt: Collection[str] | None,
) -> None:
    name = f"d.{leaf.name}"
    if leaf.role is LeafRole.STATE:
        gradient = seeds[handle] if handle in seeds else _zero(builder, leaf, carried[name])
        builder.result(name, ResultRole.STATE, gradient)
    elif handle in seeds and (wrt is None or leaf.name in wrt):
        role = ResultRole.OUTPUT if leaf.role is LeafRole.INPUT else ResultRole.SUM
        builder.result(name, role, seeds[handle])


def _zero(builder: Builder, leaf: Leaf, carried: int) -> int:
    """A batched zero for a state that nothing reads: never 0 * x, which may not be a number."""
    zero = builder.full(0, leaf.type.shape)
    return builder.op("where", zero, carried, zero)


def _pull_back(builder: Builder, handles: list[int], seeds: dict[int, int]) -> None:
    """Walk the nodes backwards; add each one's contributions to its operands' cotangents."""
    for handle in reversed(handles):
        if handle not in seeds:
            continue
        node = builder.definition(handle)
        assert isinstance(node, Node)
        rule = OPS[node.op].derivative
        if rule is None:
            raise NotImplementedError(f"op {node.op} has no derivative: it is one of a derivative")
        for operand, part in zip(
            node.operands, rule(builder, node, handle, seeds[handle]), strict=True
        ):
            if part is not None:
                _accumulate(builder, seeds, operand, part)


def _accumulate(builder: Builder, seeds: dict[int, int], target: int, part: int) -> None:
    if builder.type_of(part).batched and not builder.type_of(target).batched:
        part = builder.op("batch_sum", part)
    seeds[target] = builder.op("add", seeds[target], part) if target in seeds else part


def _with_saved_leaves(combined: Graph, names: dict[int, str]) -> Graph:
    """The backward graph: saved values enter as leaves, dead forward nodes are gone."""
    needed = set(
        needed_values(combined, [r.value for r in combined.results], stop=frozenset(names))
    )
    builder, handles = Builder(), dict[int, int]()
    for value, leaf in enumerate(combined.leaves):
        is_carried = leaf.role is LeafRole.STATE
        is_cotangent = leaf.name.startswith("d.") and leaf.role is LeafRole.INPUT
        if value in needed or is_carried or is_cotangent:
            handles[value] = builder.leaf(leaf.name, leaf.role, leaf.type, leaf.span)
    for value, name in names.items():
        if value in needed:
            node = combined.definition(value)
            handles[value] = builder.leaf(name, LeafRole.INPUT, node.type, node.span)
    for value, node in combined.node_values():
        if value in needed and value not in handles:
            handles[value] = builder.keep(node, tuple(handles[v] for v in node.operands))
    for result in combined.results:
        builder.result(result.name, result.role, handles[result.value])
    return builder.finish(combined.name)


def _with_saved_results(step: Graph, names: dict[int, str], backward: Graph) -> Graph:
    read = {leaf.name for leaf in backward.leaves}
    extra = [
        Result(name, ResultRole.OUTPUT, value) for value, name in names.items() if name in read
    ]
    extra += [
        Result(f"next.{result.name}", ResultRole.OUTPUT, result.value)
        for result in step.results_of(ResultRole.STATE)
        if f"prev.{result.name}" in read
    ]
    return replace(step, name=f"{step.name}.forward", results=(*step.results, *extra))


def prune(graph: Graph) -> Graph:
    """Without the nodes that no result needs; leaves stay."""
    needed = needed_values(graph, [r.value for r in graph.results])
    count = len(graph.leaves)
    kept = [value for value in needed if value >= count]
    if len(kept) == len(graph.nodes):
        return graph
    # Equations stay as they are, so their types need not be found again.
    handles = {value: value for value in range(count)}
    handles |= {value: count + place for place, value in enumerate(kept)}
    nodes = []
    for value in kept:
        n = graph.nodes[value - count]
        operands = tuple([handles[v] for v in n.operands])
        nodes.append(Node(n.op, operands, n.attrs, n.type, n.name, n.span))
    results = tuple([Result(r.name, r.role, handles[r.value]) for r in graph.results])
    return Graph(graph.name, graph.leaves, tuple(nodes), results)
