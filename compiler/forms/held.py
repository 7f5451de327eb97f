"""Matrix states that a choice leaves as they are, as where a sequence has ended.

``S' = where(c, f * S + u w, S)`` is ``S' = where(c, f, 1) * S + where(c, u, 0) w``: the forms
of matrix states know factors and outer products, and w may be made of what is read.
"""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.compiler.autodiff import prune
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole
from rnndsl.compiler.plan import Plan, Stage, StageKind


@dataclass(frozen=True, slots=True)
class _Held:
    """The values of one such state: ``update`` is f * S + u w, ``flag`` a number for each
    example, ``key`` the operand u of the product; no factor stands for 1."""

    leaf: int
    update: int
    flag: int
    factor: int | None
    product: Node
    key: int


def without_choices(plan: Plan) -> Graph:
    """The plan's graph with the choice of each such state within its factor and its product;
    the same graph if there is none."""
    graph = plan.graph
    results = {r.name: r.value for r in graph.results_of(ResultRole.STATE)}
    found: dict[int, _Held] = {}
    choices: dict[int, int] = {}
    for stage in plan.stages:
        if stage.kind is StageKind.SCAN and len(stage.states) == 1:
            last = results[stage.states[0]]
            held = _find(graph, stage, last)
            if held is not None:
                choices[last] = held.update
                found[held.update] = held
    if not found:
        return graph
    builder = Builder()
    handles = {v: builder.leaf(f.name, f.role, f.type, f.span) for v, f in enumerate(graph.leaves)}
    for value, node in graph.node_values():
        if value in found:  # who reads it reads the state, so that nothing else need be computed
            handles[value] = _write(builder, graph, handles, found[value], node)
        elif value in choices:
            handles[value] = handles[choices[value]]
        else:
            handles[value] = builder.copy(node, tuple(handles[v] for v in node.operands))
    for result in graph.results:
        builder.result(result.name, result.role, handles[result.value])
    return prune(builder.finish(graph.name))


def _find(graph: Graph, stage: Stage, last: int) -> _Held | None:
    leaf = graph.leaf_index(stage.states[0], LeafRole.STATE)
    inside = {*stage.values, leaf}
    choice = _node(graph, last, "where")
    if choice is None or choice.operands[2] != leaf:
        return None
    condition = _node(graph, choice.operands[0], "broadcast")
    update = _node(graph, choice.operands[1], "add")
    if condition is None or update is None:
        return None
    (flag,), made = condition.operands, choice.operands[1]
    products = [v for v in update.operands if _node(graph, v, "contract")]
    if graph.type_of(flag).shape or flag in inside or flag > made or len(products) != 1:
        return None
    product = _node(graph, products[0], "contract")
    assert product is not None
    keys = [v for v in product.operands if v not in inside]
    (kept,) = (v for v in update.operands if v != products[0])
    if not keys:
        return None
    if kept == leaf:
        return _Held(leaf, made, flag, None, product, keys[0])
    scaled = _node(graph, kept, "mul")
    factors = [] if scaled is None else [v for v in scaled.operands if v not in inside]
    if scaled is None or leaf not in scaled.operands or len(factors) != 1:
        return None
    return _Held(leaf, made, flag, factors[0], product, keys[0])


def _node(graph: Graph, value: int, op: str) -> Node | None:
    """The node behind a value if it is of that op."""
    node = graph.definition(value)
    return node if isinstance(node, Node) and node.op == op else None


def _write(
    builder: Builder, graph: Graph, handles: dict[int, int], held: _Held, update: Node
) -> int:
    def chosen(value: int, otherwise: float) -> int:
        kind = graph.type_of(value)
        condition = builder.broadcast_like(handles[held.flag], kind)
        nothing = builder.full(otherwise, kind.shape)
        return builder.op("where", condition, handles[value], nothing)

    kept = handles[held.leaf]
    if held.factor is not None:
        kept = builder.op("mul", kept, chosen(held.factor, 1.0))
    key = chosen(held.key, 0.0)
    sides = (key if v == held.key else handles[v] for v in held.product.operands)
    outer = builder.copy(held.product, tuple(sides))
    return builder.op("add", kept, outer, name=update.name, span=update.span)
