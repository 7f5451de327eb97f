"""The split over time finds what recurs, and nothing else."""

from __future__ import annotations

from rnndsl.compiler.autodiff import differentiate
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole
from rnndsl.compiler.plan import Plan, StageKind
from rnndsl.compiler.split import split
from tests.compiler.make import batched, lstm, matvec, shared


def ops(plan: Plan, stage: int) -> list[str]:
    nodes = [plan.graph.definition(v) for v in plan.stages[stage].values]
    return [node.op for node in nodes if isinstance(node, Node)]


def kinds(plan: Plan) -> list[str]:
    return [stage.kind.value for stage in plan.stages]


def test_lstm_input_products_leave_the_scan() -> None:
    plan = split(lstm())
    assert kinds(plan) == ["parallel", "scan"]
    assert ops(plan, 0) == ["contract"] * 4
    assert ops(plan, 1).count("contract") == 4
    assert plan.stages[1].states == ("h", "c")


def test_lstm_weight_gradients_leave_the_backward_scan() -> None:
    plan = split(differentiate(lstm()).backward, reverse=True)
    assert kinds(plan) == ["parallel", "scan", "parallel"]
    nodes = [plan.graph.definition(v) for v in plan.stages[1].values]
    assert not any(dict(n.attrs).get("sum_batch") for n in nodes if isinstance(n, Node))
    assert plan.reverse


def delay() -> Graph:
    """A window: the state holds the last input and nothing more."""
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched("D"))
    last = b.leaf("last", LeafRole.STATE, batched("D"))
    b.result("y", ResultRole.OUTPUT, b.op("add", x, last))
    b.result("last", ResultRole.STATE, b.op("tanh", x))
    return b.finish("delay")


def test_a_state_on_no_cycle_is_a_delay_not_a_loop() -> None:
    plan = split(delay())
    assert set(kinds(plan)) == {"parallel"}
    assert [s for stage in plan.stages for s in stage.states] == ["last"]


def test_two_recurrences_in_sequence_are_two_scans() -> None:
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched("H"))
    first, second = (b.leaf(n, LeafRole.STATE, batched("H")) for n in "ab")
    weight = b.leaf("W", LeafRole.PARAM, shared("H", "H"))
    a = b.op("tanh", b.op("add", x, first))
    c = b.op("tanh", b.op("add", matvec(b, weight, a), second))
    b.result("y", ResultRole.OUTPUT, c)
    b.result("a", ResultRole.STATE, a)
    b.result("b", ResultRole.STATE, c)
    plan = split(b.finish("two"))
    assert kinds(plan) == ["scan", "parallel", "scan"]
    assert ops(plan, 1) == ["contract"]


def test_a_feed_forward_cell_has_no_scan() -> None:
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched("D"))
    b.result("y", ResultRole.OUTPUT, b.op("tanh", x))
    assert kinds(split(b.finish("flat"))) == ["parallel"]


def test_a_state_that_never_changes_is_carried_without_work() -> None:
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched("D"))
    held = b.leaf("held", LeafRole.STATE, batched("D"))
    b.result("y", ResultRole.OUTPUT, b.op("add", x, held))
    b.result("held", ResultRole.STATE, held)
    plan = split(b.finish("held"))
    first = plan.stages[0]
    assert (first.kind, first.values, first.states) == (
        StageKind.SCAN,
        (),
        ("held",),
    )


def test_every_node_is_in_one_stage_after_its_operands() -> None:
    for graph in (lstm(), differentiate(lstm()).backward, delay()):
        plan = split(graph)
        place = {v: k for k, stage in enumerate(plan.stages) for v in stage.values}
        listed = [v for stage in plan.stages for v in stage.values]
        assert len(listed) == len(set(listed))
        for value, node in graph.node_values():
            if node.operands:
                assert all(place.get(v, -1) <= place[value] for v in node.operands)
