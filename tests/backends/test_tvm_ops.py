"""Every op of the table, compiled by TVM, means what NumPy says."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from rnndsl.backends.tvm.lower_names import CONSTANT_OPS, PREPARED_OPS, VIEW_OPS
from rnndsl.compiler.builder import Builder, shape_of
from rnndsl.compiler.interpreter import run
from rnndsl.compiler.ir import AttrValue, Graph, LeafRole, ResultRole, Type
from rnndsl.compiler.op_meaning import Array
from rnndsl.compiler.ops import OPS
from tests.compiler.tolerance import assert_same

pytest.importorskip("tvm", reason="TVM is not installed")

from rnndsl.backends.tvm.lower_loops import LOOPS, index_runs
from rnndsl.backends.tvm.lower_scalar import ELEMENTWISE
from rnndsl.backends.tvm.lower_views import CONSTANTS, VIEWS
from rnndsl.backends.tvm.runtime import run_graph

Case = tuple[tuple[tuple[int, ...], ...], dict[str, AttrValue]]

T, B = 3, 2

REDUCTIONS: list[Case] = [
    (((2, 19),), {"axis": 0}),
    (((2, 19),), {"axis": 1}),
    (((5,),), {"axis": 0}),
    # A short last axis, whose results are computed several at a time, and what is left of them.
    (((21, 2),), {"axis": 1}),
    (((21, 4),), {"axis": 1}),
    (((2, 21, 2),), {"axis": 2}),
    (((2, 21, 4),), {"axis": 2}),
    (((17, 8),), {"axis": 1}),
]
CASES: dict[str, list[Case]] = {
    **{
        op.name: [(((13,),) * (op.arity or 1), {}), (((),) * (op.arity or 1), {})]
        for op in OPS.values()
        if op.elementwise
    },
    "reduce_sum": REDUCTIONS,
    "reduce_max": REDUCTIONS,
    "argmax": [(((4, 3),), {"axis": a}) for a in (0, 1)],
    "cumsum": [(((2, 3),), {"axis": a, "reverse": r}) for a in (0, 1) for r in (False, True)],
    "cummax": [(((2, 5),), {"axis": a}) for a in (0, 1)],
    **{
        op: [
            ((shape, shape), {"axis": axis, "reverse": reverse})
            for shape in ((5,), (5, 1), (1, 3), (4, 21), (2, 3, 13))
            for axis in range(len(shape))
            for reverse in (False, True)
        ]
        for op in ("linear_scan", "max_scan")
    },
    "broadcast": [
        (((3,),), {"shape": shape_of(2, 3), "axes": (1,)}),
        (((2,),), {"shape": shape_of(2, 3), "axes": (0,)}),
        (((),), {"shape": shape_of(2, 3), "axes": ()}),
    ],
    "reshape": [
        (((2, 3),), {"shape": shape_of(3, 2)}),
        (((4, 6, 5),), {"shape": shape_of(8, 3, 1, 5)}),
        (((1, 6),), {"shape": shape_of(2, 3, 1)}),
        (((1,),), {"shape": shape_of()}),
    ],
    "transpose": [(((2, 3, 4),), {"perm": (2, 0, 1)})],
    "concat": [(((2, 3), (1, 3)), {"axis": 0}), (((2, 3), (2, 2)), {"axis": 1})],
    "slice": [(((2, 5),), {"axis": 1, "bounds": shape_of(1, 4)})],
    "pad": [(((2, 3),), {"axis": 1, "bounds": shape_of(1, 2)})],
    "gather": [
        (((2, 9),), {"axis": 1, "indices": (3, 0, 3, 4, 5, 6, 8, 6, 4, 4)}),
        (((4, 2),), {"axis": 0, "indices": (3, 0, 1)}),
    ],
    "scatter_add": [
        (((2, 4),), {"axis": 1, "indices": (3, 0, 3, 3), "shape": shape_of(2, 5)}),
        (((3, 2),), {"axis": 0, "indices": (3, 0, 1), "shape": shape_of(4, 2)}),
    ],
    "roll": [(((2, 5),), {"axis": 1, "shift": s}) for s in (2, -1, 0, 7)],
    "contract": [
        (shapes, {"spec": spec, "sum_batch": total})
        for spec, shapes in (
            ("ij,j->i", ((2, 13), (13,))),
            ("ji,j->i", ((3, 11), (3,))),
            ("ij,jk->ik", ((2, 3), (3, 4))),
            ("i,j->ij", ((2,), (3,))),
            ("i,i->", ((19,), (19,))),
            ("nk,nv->nkv", ((2, 3), (2, 4))),
            ("ij,j->", ((2, 3), (3,))),
            (",i->i", ((), (4,))),
        )
        for total in (False, True)
    ],
    "batch_sum": [(((2, 9),), {}), (((),), {})],
    "full": [((), {"value": v, "shape": shape_of(3)}) for v in (2.0, float("-inf"))],
    "iota": [((), {"axis": a, "shape": shape_of(2, 11)}) for a in (0, 1)],
}
# Ops that are tried on positive numbers; and on whole ones, for ties, zeros and halves.
POSITIVE = {"log", "log1p", "sqrt", "pow"}
WHOLE = {"argmax", "cummax", "round", "eq", "ne", "where", "sign", "step"}


def test_every_op_has_a_lowering() -> None:
    lowered = {*ELEMENTWISE, *VIEWS, *CONSTANTS, *LOOPS, "concat", "contract"}
    assert lowered | PREPARED_OPS == set(OPS)
    assert not lowered & PREPARED_OPS


def test_names_of_views_and_constants_are_those_lowered() -> None:
    assert set(VIEWS) == VIEW_OPS
    assert set(CONSTANTS) == CONSTANT_OPS


def test_every_op_has_a_case() -> None:
    assert set(CASES) == set(OPS) - PREPARED_OPS


@cache
def op_graph(op: str) -> Graph:
    """One graph with a result for each case of an op, so that one compilation serves all."""
    b = Builder()
    for position, (shapes, attrs) in enumerate(CASES[op]):
        leaves = [
            b.leaf(f"{position}.{k}", LeafRole.INPUT, Type(shape_of(*s), batched=True))
            for k, s in enumerate(shapes)
        ]
        value = b.node(op, tuple(leaves), tuple(sorted(attrs.items())))
        is_total = not b.type_of(value).batched and bool(leaves)
        role = ResultRole.SUM if is_total else ResultRole.OUTPUT
        b.result(str(position), role, value)
    if op in CONSTANT_OPS:  # which alone would say nothing of T and B
        b.leaf("x", LeafRole.INPUT, Type((), batched=True))
    return b.finish(op)


def operands(op: str, dtype: str) -> dict[str, Array]:
    rng = np.random.default_rng(5)
    made = {}
    for leaf in op_graph(op).leaves:
        array = 2 * rng.standard_normal((T, B, *leaf.type.sizes))
        if op in POSITIVE:
            array = np.abs(array) + 0.1
        if op in ("div", "mod") and leaf.name.endswith(".1"):
            array = np.where(array < 0, -1, 1) * (np.abs(array) + 0.5)
        if op in WHOLE:
            array = np.round(array)
        if op == "round":
            array = array / 2
        made[leaf.name] = array.astype(dtype).astype(np.float64)
    return made


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", CASES)
def test_an_op_means_what_numpy_says(op: str, dtype: str) -> None:
    inputs = operands(op, dtype)
    result = run_graph(op_graph(op), inputs, {}, {}, dtype)
    meant = run(op_graph(op), inputs, {}, {})
    found, wanted = {**result.outputs, **result.totals}, {**meant.outputs, **meant.sums}
    assert found.keys() == wanted.keys()
    # A few roundings of numbers of size 10; sums of up to 78 terms.
    close = 1e-12 if dtype == "float64" else 2e-5
    for position, array in found.items():
        assert array.dtype == dtype
        assert array.shape == wanted[position].shape
        message = f"{op} {CASES[op][int(position)]}"
        np.testing.assert_allclose(array, wanted[position], close, close, err_msg=message)


# ----------------------------------------------------------------- special values and tails


def elementwise(op: str, arity: int) -> Graph:
    b = Builder()
    leaves = [b.leaf(f"a{k}", LeafRole.INPUT, Type((), batched=True)) for k in range(arity)]
    b.result("y", ResultRole.OUTPUT, b.op(op, *leaves))
    return b.finish(op)


def apply(op: str, dtype: str, *arrays: Array) -> tuple[Array, Array]:
    """An elementwise op on [N]: the kernel's result, and NumPy's in float64."""
    graph = elementwise(op, len(arrays))
    inputs = {f"a{k}": a.astype(dtype).reshape(-1, 1) for k, a in enumerate(arrays)}
    found = run_graph(graph, inputs, {}, {}, dtype).outputs["y"].ravel()
    with np.errstate(all="ignore"):
        wanted = run(graph, inputs, {}, {}).outputs["y"].ravel()
    return found, wanted


# Largest error in units in the last place, over the whole range, as float32_math.py states.
ULPS = {"exp": 2, "sigmoid": 3, "tanh": 3, "softplus": 4, "logsigmoid": 4}


@pytest.mark.parametrize("op", ULPS)
def test_float32_functions_are_accurate_over_the_whole_range(op: str) -> None:
    size = np.concatenate([np.geomspace(1e-30, 1e-3, 2000), np.linspace(1e-3, 110, 40000)])
    x = np.concatenate([-size[::-1], [0.0], size])
    found, wanted = apply(op, "float32", x)
    with np.errstate(over="ignore"):
        rounded = wanted.astype(np.float32)
    unit = np.spacing(np.abs(rounded[np.isfinite(rounded)]))
    assert np.array_equal(np.isinf(found), np.isinf(rounded))
    off = np.abs(found.astype(np.float64) - wanted)[np.isfinite(rounded)] / unit
    assert off.max() <= ULPS[op]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", [*ULPS, "relu", "abs", "sign", "neg", "log1p", "erf", "sqrt"])
def test_infinities_and_nan_go_through_as_in_numpy(op: str, dtype: str) -> None:
    x = np.array([np.inf, -np.inf, np.nan, 0.0, 1.0, -1e4, 1e4])
    found, wanted = apply(op, dtype, x)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("op", ["sigmoid", "tanh", "softplus", "logsigmoid", "exp"])
def test_float64_functions_are_those_of_the_c_library(op: str) -> None:
    x = np.concatenate([np.linspace(-40, 40, 1001), [-700.0, 700.0, 1e-300, -1e-12]])
    found, wanted = apply(op, "float64", x)
    np.testing.assert_allclose(found, wanted, rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_max_and_min_give_nan_for_nan(dtype: str) -> None:
    a, b = np.array([1.0, np.nan, 2.0, -np.inf]), np.array([np.nan, 1.0, 3.0, 0.0])
    for op in ("max", "min"):
        found, wanted = apply(op, dtype, a, b)
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mod_has_the_sign_of_the_divisor(dtype: str) -> None:
    a = np.array([5.5, -5.5, 5.5, -5.5, 6.0, -6.0, 0.0, 1.0])
    b = np.array([2.0, 2.0, -2.0, -2.0, -3.0, 3.0, -1.0, 0.0])
    found, wanted = apply("mod", dtype, a, b)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(np.signbit(found)[:7], np.signbit(wanted)[:7])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_halves_are_rounded_to_even(dtype: str) -> None:
    found, _ = apply("round", dtype, np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]))
    np.testing.assert_array_equal(found, [-2, -2, -0.0, 0, 2, 2])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arithmetic_is_not_rewritten_as_if_floats_were_exact(dtype: str) -> None:
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, Type((), batched=True))
    large = b.full(2.0**60)
    b.result("y", ResultRole.OUTPUT, b.op("sub", b.op("add", x, large), large))
    graph = b.finish("absorbed")
    found = run_graph(graph, {"x": np.ones((1, 1))}, {}, {}, dtype)
    assert found.outputs["y"].item() == 0


def test_a_long_chain_of_functions_compiles() -> None:
    b = Builder()
    value = b.leaf("x", LeafRole.INPUT, Type(shape_of(5), batched=True))
    for _ in range(12):
        value = b.op("tanh", b.op("sigmoid", value))
    b.result("y", ResultRole.OUTPUT, value)
    graph, inputs = b.finish("chain"), {"x": np.zeros((1, 1, 5))}
    found = run_graph(graph, inputs, {}, {}, "float32")
    assert_same({"output.y": found.outputs["y"]}, graph, inputs, {}, {}, np.float32)


@pytest.mark.parametrize(
    "indices", [(0,), (2, 2, 2), (0, 1, 2, 5, 4, 3, 3), (7, 5, 3, 1), (4, 4, 3, 2)]
)
def test_runs_of_indices_hold_the_indices(indices: tuple[int, ...]) -> None:
    runs = index_runs(indices)
    assert tuple(f + s * k for f, s, count in runs for k in range(count)) == indices
    assert all(stride != 0 for _, stride, _ in runs)
