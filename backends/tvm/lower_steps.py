"""One step of a schedule as a loop nest."""

from __future__ import annotations

from tvm import tirx

from rnndsl.backends.errors_tvm import unsupported_op
from rnndsl.backends.tvm import tir
from rnndsl.backends.tvm.lower_contract import Pack, contract
from rnndsl.backends.tvm.lower_loops import LOOPS, Site, concat
from rnndsl.backends.tvm.lower_memory import Block
from rnndsl.backends.tvm.lower_scalar import ELEMENTWISE
from rnndsl.backends.tvm.lower_sums import summed
from rnndsl.backends.tvm.lower_values import Values
from rnndsl.backends.tvm.lower_vectors import each_element, each_vector
from rnndsl.backends.tvm.lower_views import Indices, Read
from rnndsl.backends.tvm.schedule import Part, Step, StepKind, is_total
from rnndsl.backends.tvm.team import Team
from rnndsl.backends.tvm.tir import Expr, Scope, Stmt
from rnndsl.compiler.ir import Leaf, LeafRole, Node, ResultRole

Held = frozenset[str]


def lower_step(
    values: Values, step: Step, block: Block, held: Held, reverse: bool, team: Team
) -> Stmt | None:
    """The statements of a step for the rows of a block.

    ``held`` are the states carried by the present scan, ``team`` shares products; raises
    UnsupportedOp.
    """
    match step.kind:
        case StepKind.GROUP:
            return _group(values, step.values, block, held, team)
        case StepKind.NODE:
            return _node(values, step.values[0], block, held, team)
        case StepKind.DELAY:
            return _delay(values, step.values[0], block, reverse)
        case StepKind.KEEP:
            return _keep(values, step.values[0], block, held, team)


def _group(
    values: Values, members: tuple[int, ...], block: Block, held: Held, team: Team
) -> Stmt | None:
    """Elementwise nodes in one loop nest: each element goes through all of them in registers."""
    graph, dtype = values.graph, values.dtype
    nodes = {value: _definition(values, value) for value in members}
    sums = {v: node for v, node in nodes.items() if is_total(node)}
    nodes = {v: node for v, node in nodes.items() if v not in sums}
    calls = any(dtype in ELEMENTWISE[node.op].calls for node in nodes.values())
    reads = {
        operand: values.read(operand, block, held)
        for node in nodes.values()
        for operand in node.operands
        if operand not in nodes
    }

    states = [
        graph.leaf_index(name, LeafRole.STATE)
        for value in members
        for name in values.schedule.in_place.get(value, ())
    ]

    def element(row: Expr, at: Indices, scope: Scope) -> None:
        known: dict[int, Expr] = {}

        def operand(value: int) -> Expr:
            if value not in known:
                known[value] = scope.keep(reads[value](row, at))
            return known[value]

        # What is about to be stored over states may not change what others read of them.
        for state in states:
            if state in reads:
                operand(state)
        for value, node in nodes.items():
            scalar = ELEMENTWISE[node.op].of(dtype, scope.keep)
            known[value] = scope.keep(scalar(*(operand(v) for v in node.operands)))
            if values.has_memory(value):
                scope.statements.append(values.write(value, block, row, at, known[value]))
            for name in values.states_of(value):
                scope.statements.append(values.carry(name, block, row, at, known[value]))
        for value, node in sums.items():
            total = values.load(value, block)(row, at) + known[node.operands[0]]
            scope.statements.append(values.write(value, block, row, at, total))

    # A call of the C library takes one element at a time.
    width = 1 if calls else values.width
    return each_vector(block.count, graph.type_of(members[0]).sizes, width, element, team)


def _definition(values: Values, value: int) -> Node:
    found = values.graph.definition(value)
    assert isinstance(found, Node)
    return found


def _node(values: Values, value: int, block: Block, held: Held, team: Team) -> Stmt | None:
    node = _definition(values, value)
    graph = values.graph
    site = Site(
        node,
        tuple(graph.type_of(v).sizes for v in node.operands),
        tuple(values.read(v, block, held) for v in node.operands),
        values.load(value, block),
        lambda row, at, element: values.write(value, block, row, at, element),
        block.count,
        values.dtype,
        values.options.machine,
        block.turn,
        team,
        values.is_fresh(value),
        lambda row, at: values.place(value, block, row, at),
        values.vectors_of(value),
        values.panels().take,
    )
    if is_total(node) and node.op == "contract":
        return summed(site)
    if node.op == "contract":
        left, right = (_pack(values, v) for v in node.operands)
        return contract(site, (left, right))
    if node.op == "concat":
        return concat(site, _places(values, value, node))
    if node.op not in LOOPS:
        raise unsupported_op(node)
    return LOOPS[node.op](site)


def _pack(values: Values, value: int) -> Pack | None:
    """For operands that are there before the first step."""
    leaf = values.graph.definition(value)
    if isinstance(leaf, Leaf) and leaf.role is LeafRole.PARAM:
        return lambda packing: values.weights.packed(value, packing)
    return None


def _places(values: Values, value: int, node: Node) -> list[bool]:
    """For each operand of a concat, whether it was computed where it belongs."""
    offset, found = 0, []
    for operand in node.operands:
        found.append(values.schedule.parts.get(operand) == Part(value, offset))
        offset += values.graph.type_of(operand).sizes[0]
    return found


def _delay(values: Values, value: int, block: Block, reverse: bool) -> Stmt | None:
    """A state on no cycle: the initial value at the first step, then what its result was."""
    leaf = values.graph.definition(value)
    result = next_value(values, leaf.name)
    # Rows of one time step lie side by side: one step back is B rows back.
    shift = values.batch if reverse else -values.batch
    start = values.rows - values.batch if reverse else tir.index(0)
    earlier = values.read(result, Block(block.count, block.base + shift, block.first))
    initial = values.state(leaf.name)

    def row_of(row: Expr) -> Stmt | None:
        at_row = block.base + row
        is_first = at_row >= start if reverse else at_row < values.batch

        def copy(read: Read) -> Stmt | None:
            return each_element(
                1,
                leaf.type.sizes,
                values.width,
                lambda _, at: values.write(value, block, row, at, read(row, at)),
            )

        return tirx.IfThenElse(
            is_first,
            copy(lambda _, at: tir.load(initial, (at_row - start, *at))),
            copy(earlier),
        )

    return tir.rows(block.count, row_of)


def next_value(values: Values, state: str) -> int:
    """The result that a state has at the next step."""
    results = values.graph.results_of(ResultRole.STATE)
    return next(r.value for r in results if r.name == state)


def _keep(values: Values, value: int, block: Block, held: Held, team: Team) -> Stmt | None:
    """A carried state as it is before the step, kept for later stages."""
    read = values.read(value, block, held)
    return each_vector(
        block.count,
        values.graph.type_of(value).sizes,
        values.width,
        lambda row, at, _: values.write(value, block, row, at, read(row, at)),
        team,
    )
