"""Every op of the table: complete, well typed, and with the derivative that it claims."""

from __future__ import annotations

import numpy as np
import pytest

from rnndsl.compiler.autodiff import differentiate_shared
from rnndsl.compiler.builder import Builder, shape_of
from rnndsl.compiler.interpreter import evaluate, run_shared
from rnndsl.compiler.ir import AttrValue, Graph, LeafRole, ResultRole, Type
from rnndsl.compiler.op_meaning import Array
from rnndsl.compiler.op_types import OpTypeError
from rnndsl.compiler.ops import OPS

Case = tuple[tuple[tuple[int, ...], ...], dict[str, AttrValue]]

VECTOR: Case = (((5,),), {})
PAIR: Case = (((5,), (5,)), {})

# For each op with a derivative: operand shapes and attributes to try it with.
CASES: dict[str, list[Case]] = {
    **{op.name: [VECTOR] for op in OPS.values() if op.elementwise and op.arity == 1},
    **{op.name: [PAIR] for op in OPS.values() if op.elementwise and op.arity == 2},
    "where": [(((5,), (5,), (5,)), {})],
    "reduce_sum": [(((2, 3),), {"axis": 0}), (((2, 3),), {"axis": 1})],
    "reduce_max": [(((2, 3),), {"axis": 0}), (((2, 3),), {"axis": 1})],
    "argmax": [(((2, 3),), {"axis": 1})],
    "cumsum": [(((2, 3),), {"axis": a, "reverse": r}) for a in (0, 1) for r in (False, True)],
    "cummax": [(((2, 5),), {"axis": 1}), (((4, 3),), {"axis": 0})],
    **{
        op: [(((4, 3), (4, 3)), {"axis": a, "reverse": r}) for a in (0, 1) for r in (False, True)]
        for op in ("linear_scan", "max_scan")
    },
    "broadcast": [
        (((3,),), {"shape": shape_of(2, 3), "axes": (1,)}),
        (((2,),), {"shape": shape_of(2, 3), "axes": (0,)}),
        (((),), {"shape": shape_of(2, 3), "axes": ()}),
    ],
    "reshape": [(((2, 3),), {"shape": shape_of(3, 2)})],
    "transpose": [(((2, 3, 4),), {"perm": (2, 0, 1)})],
    "concat": [(((2, 3), (1, 3)), {"axis": 0}), (((2, 3), (2, 2)), {"axis": 1})],
    "slice": [(((2, 5),), {"axis": 1, "bounds": shape_of(1, 4)})],
    "pad": [(((2, 3),), {"axis": 1, "bounds": shape_of(1, 2)})],
    "gather": [(((2, 4),), {"axis": 1, "indices": (3, 0, 3)})],
    "scatter_add": [(((2, 3),), {"axis": 1, "indices": (3, 0, 3), "shape": shape_of(2, 4)})],
    "roll": [(((2, 5),), {"axis": 1, "shift": 2})],
    "contract": [
        (shapes, {"spec": spec, "sum_batch": False})
        for spec, shapes in (
            ("ij,j->i", ((2, 3), (3,))),
            ("ij,jk->ik", ((2, 3), (3, 4))),
            ("i,j->ij", ((2,), (3,))),
            ("i,i->", ((3,), (3,))),
            ("nk,nv->nkv", ((2, 3), (2, 4))),
            ("ij,j->", ((2, 3), (3,))),
        )
    ],
    "inverse": [(((3, 3),), {})],
    "full": [((), {"value": 2.0, "shape": shape_of(3)})],
    "iota": [((), {"axis": 1, "shape": shape_of(2, 3)})],
}
# Ops whose derivative is a convention, not a limit of differences.
CONVENTION = {"stop_grad"}
# log, sqrt and pow need positive operands; this keeps clear of kinks and jumps too.
POSITIVE = {"log", "log1p", "sqrt", "pow", "mod", "div"}


def one_node(op: str, case: Case) -> Graph:
    shapes, attrs = case
    b = Builder()
    leaves = [
        b.leaf(f"a{k}", LeafRole.PARAM, Type(shape_of(*shape), batched=False))
        for k, shape in enumerate(shapes)
    ]
    b.result("out", ResultRole.VALUE, b.node(op, tuple(leaves), tuple(sorted(attrs.items()))))
    return b.finish(op)


def operands(op: str, case: Case) -> dict[str, Array]:
    rng = np.random.default_rng(sum(map(ord, op)))
    made = {}
    for k, shape in enumerate(case[0]):
        array = rng.standard_normal(shape)
        array = np.where(np.abs(array) < 0.05, 0.3, array)
        made[f"a{k}"] = np.abs(array) + 0.35 if op in POSITIVE else array
    if op == "inverse":
        made["a0"] += 3 * np.eye(3)
    return made


ALL_CASES = [pytest.param(n, c, id=f"{n}-{k}") for n, cs in CASES.items() for k, c in enumerate(cs)]


def test_every_op_is_tried() -> None:
    assert set(CASES) | {"batch_sum"} == set(OPS)


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_every_record_is_complete(op: object) -> None:
    record = OPS[op.name]  # type: ignore[attr-defined]
    assert record.doc and record.attrs == tuple(sorted(record.attrs))
    assert record.derivative is not None or record.name == "batch_sum"


@pytest.mark.parametrize(("op", "case"), ALL_CASES)
def test_the_meaning_has_the_shape_that_the_type_rule_says(op: str, case: Case) -> None:
    graph = one_node(op, case)
    value = evaluate(graph, operands(op, case))[-1]
    assert value.shape == (1, *graph.nodes[-1].type.sizes)
    assert (
        OPS[op].flops(
            [graph.type_of(v) for v in graph.nodes[-1].operands], graph.nodes[-1].type, case[1]
        )
        >= 0
    )


@pytest.mark.parametrize(("op", "case"), ALL_CASES)
def test_leading_axes_are_carried_along(op: str, case: Case) -> None:
    """[T, B] in front gives what each example gives by itself."""
    graph, shapes = one_node(op, case), case[0]
    node = graph.nodes[-1]
    if not shapes or op == "inverse":
        pytest.skip("constants and shared-only ops have no leading axes")
    first = operands(op, case)
    stacked = [
        np.stack(
            [
                np.stack([first[f"a{k}"] * (1 + 0.1 * (3 * t + s)) for s in range(3)])
                for t in range(2)
            ]
        )
        for k in range(len(shapes))
    ]
    types = [graph.type_of(v) for v in node.operands]
    together = OPS[op].meaning(stacked, dict(node.attrs), types, node.type)
    for t in range(2):
        for s in range(3):
            alone = OPS[op].meaning([a[t, s] for a in stacked], dict(node.attrs), types, node.type)
            np.testing.assert_allclose(together[t, s], alone, rtol=1e-12)


@pytest.mark.parametrize(
    ("op", "nothing", "last"), [("linear_scan", 0.0, 2.0), ("max_scan", -np.inf, 3.0)]
)
def test_a_scan_that_forgets_everything_starts_anew(op: str, nothing: float, last: float) -> None:
    graph = one_node(op, (((4,), (4,)), {"axis": 0, "reverse": False}))
    factor = np.array([7.0, 1.0, nothing, 1.0])
    found = evaluate(graph, {"a0": factor, "a1": np.array([5.0, 1.0, 2.0, 0.0])})[-1]
    np.testing.assert_array_equal(found[0], [5.0, 6.0, 2.0, last])


@pytest.mark.parametrize(("op", "case"), ALL_CASES)
def test_the_derivative_is_the_limit_of_differences(op: str, case: Case) -> None:
    if op in CONVENTION:
        pytest.skip("cuts the gradient by definition")
    graph, leaves = one_node(op, case), operands(op, case)
    rng = np.random.default_rng(1)
    weight = rng.standard_normal(graph.nodes[-1].type.sizes)
    ours = run_shared(differentiate_shared(graph), {**leaves, "d.out": weight})
    width = 1e-6
    for name, array in leaves.items():
        slope = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            sides = []
            for sign in (1, -1):
                moved = array.copy()
                moved[index] += sign * width
                sides.append((run_shared(graph, {**leaves, name: moved})["out"] * weight).sum())
            slope[index] = (sides[0] - sides[1]) / (2 * width)
        # Central differences are off by eps/width + width^2.
        found = ours.get(f"d.{name}", np.zeros_like(array))
        np.testing.assert_allclose(found, slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("op", "types", "attrs"),
    [
        ("add", [Type(shape_of("H"), True), Type(shape_of("D"), True)], {}),
        ("reduce_sum", [Type(shape_of("H"), True)], {"axis": 1}),
        ("slice", [Type(shape_of(4), True)], {"axis": 0, "bounds": shape_of(2, 5)}),
        ("reshape", [Type(shape_of("H"), True)], {"shape": shape_of("D")}),
        ("transpose", [Type(shape_of("H", "D"), True)], {"perm": (0, 0)}),
        ("broadcast", [Type(shape_of("H"), True)], {"shape": shape_of("D"), "axes": (0,)}),
        ("concat", [Type(shape_of("H"), True), Type(shape_of("H", "D"), True)], {"axis": 0}),
        (
            "contract",
            [Type(shape_of("H", "D"), False), Type(shape_of("H"), True)],
            {"spec": "ij,j->i", "sum_batch": False},
        ),
        (
            "contract",
            [Type(shape_of("H"), False), Type(shape_of("H"), True)],
            {"spec": "i,i->", "sum_batch": True},
        ),
        ("batch_sum", [Type(shape_of("H"), False)], {}),
        ("inverse", [Type(shape_of("H", "H"), True)], {}),
    ],
)
def test_operands_that_do_not_fit_are_refused(
    op: str, types: list[Type], attrs: dict[str, AttrValue]
) -> None:
    with pytest.raises(OpTypeError):
        OPS[op].type_rule(types, attrs)


@pytest.mark.parametrize("spec", ["ij,j", "ii,i->i", "i,j->k", "ij->i", "I,I->I"])
def test_a_malformed_contraction_is_refused(spec: str) -> None:
    with pytest.raises(OpTypeError):
        OPS["contract"].type_rule(
            [Type(shape_of("H", "H"), True)] * 2, {"spec": spec, "sum_batch": False}
        )


def test_saturated_functions_stay_finite_and_exact() -> None:
    far = np.array([-1e4, -800.0, -40.0, 40.0, 800.0, 1e4])
    for op, expected in (
        ("sigmoid", [0, 0, np.exp(-40), 1, 1, 1]),
        ("softplus", [0, 0, np.exp(-40), 40, 800, 1e4]),
        ("logsigmoid", [-1e4, -800, -40, -np.exp(-40), 0, 0]),
    ):
        value = OPS[op].meaning([far], {}, [Type(shape_of(6), False)], Type(shape_of(6), False))
        np.testing.assert_allclose(value, expected, rtol=1e-12)
