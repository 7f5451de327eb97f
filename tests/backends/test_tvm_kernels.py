"""Whole kernels agree with the interpreter: stages, delays, states, totals and shapes."""

from __future__ import annotations

import numpy as np
import pytest

from rnndsl.compiler.autodiff import differentiate
from rnndsl.compiler.builder import Builder, shape_of
from rnndsl.compiler.interpreter import run
from rnndsl.compiler.ir import Graph, LeafRole, ResultRole, Type
from rnndsl.compiler.op_meaning import Array
from tests.compiler.make import batched, lstm, random_leaves
from tests.compiler.random_graphs import random_graph
from tests.compiler.tolerance import assert_same

pytest.importorskip("tvm", reason="TVM is not installed")

from rnndsl.backends.tvm.calling import SequenceResult, pack_weights
from rnndsl.backends.tvm.lower_kernel import lower
from rnndsl.backends.tvm.runtime import compile_plan, run_graph
from rnndsl.backends.tvm.toolchain import compile_kernels
from rnndsl.compiler.split import split
from rnndsl.diagnostics import RnndslError

SHAPES = [(1, 1), (1, 3), (7, 1), (5, 2), (3, 17), (2, 33)]


def flat(result: SequenceResult) -> dict[str, Array]:
    return {
        **{f"output.{name}": array for name, array in result.outputs.items()},
        **{f"state.{name}": array for name, array in result.states.items()},
        **{f"sum.{name}": array for name, array in result.totals.items()},
    }


def agrees(graph: Graph, steps: int, batch: int, dtype: str, reverse: bool = False) -> None:
    inputs, states, params = random_leaves(graph, steps, batch, seed=steps + batch)
    found = run_graph(graph, inputs, states, params, dtype, reverse)
    # Operands are rounded to the type before the kernel runs.
    x, h, w = (
        {k: v.astype(dtype).astype(np.float64) for k, v in given.items()}
        for given in (inputs, states, params)
    )
    assert_same(flat(found), graph, x, h, w, dtype, reverse)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("steps", "batch"), SHAPES)
def test_one_kernel_serves_every_length_and_batch(steps: int, batch: int, dtype: str) -> None:
    agrees(lstm().bind({"D": 5, "H": 7}), steps, batch, dtype)


@pytest.mark.parametrize(("inputs", "hidden"), [(1, 1), (3, 8), (16, 33), (9, 70)])
def test_sizes_need_not_be_multiples_of_a_vector(inputs: int, hidden: int) -> None:
    agrees(lstm().bind({"D": inputs, "H": hidden}), 3, 5, "float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(5))
def test_random_graphs_agree_with_the_interpreter(seed: int, dtype: str) -> None:
    graph = random_graph(seed, 25, continuous=True)
    for steps, batch in ((1, 1), (4, 19)):
        agrees(graph, steps, batch, dtype)


@pytest.mark.parametrize("seed", range(20, 22))
def test_random_graphs_run_backwards_in_time(seed: int) -> None:
    agrees(random_graph(seed, 25, continuous=True), 5, 3, "float64", reverse=True)


def test_the_backward_pass_is_a_kernel_like_any_other() -> None:
    """Sums over time and batch, from the last step to the first."""
    backward = differentiate(lstm().bind({"D": 3, "H": 6})).backward
    agrees(backward, 4, 18, "float64", reverse=True)


def test_totals_that_do_not_vary_count_once_for_each_step() -> None:
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched(2))
    b.result("y", ResultRole.OUTPUT, x)
    b.result("d", ResultRole.SUM, b.full(1.5, shape_of(3)))
    agrees(b.finish("constant"), 4, 2, "float64")


@pytest.mark.parametrize("reverse", [False, True])
def test_a_state_on_no_cycle_is_its_result_one_step_later(reverse: bool) -> None:
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched(3))
    last = b.leaf("last", LeafRole.STATE, batched(3))
    before = b.leaf("before", LeafRole.STATE, batched(3))
    product = b.leaf("product", LeafRole.STATE, batched(3))
    b.result("y", ResultRole.OUTPUT, b.op("add", b.op("mul", last, x), product))
    b.result("last", ResultRole.STATE, x)
    b.result("before", ResultRole.STATE, last)
    b.result("product", ResultRole.STATE, b.op("tanh", b.op("mul", before, x)))
    for steps, batch in ((1, 1), (2, 20), (6, 3)):
        agrees(b.finish("delays"), steps, batch, "float64", reverse)


def test_states_that_swap_do_not_overwrite_each_other() -> None:
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched(3))
    first = b.leaf("first", LeafRole.STATE, batched(3))
    second = b.leaf("second", LeafRole.STATE, batched(3))
    b.result("y", ResultRole.OUTPUT, b.op("add", x, first))
    b.result("first", ResultRole.STATE, second)
    b.result("second", ResultRole.STATE, first)
    agrees(b.finish("swap"), 5, 2, "float64")


def test_a_state_may_turn_its_own_matrix() -> None:
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched(3))
    m = b.leaf("m", LeafRole.STATE, batched(3, 3))
    b.result("y", ResultRole.OUTPUT, b.op("contract", m, x, spec="ij,j->i", sum_batch=False))
    b.result("m", ResultRole.STATE, b.op("transpose", m, perm=(1, 0)))
    agrees(b.finish("turn"), 4, 3, "float64")


def test_outputs_may_be_inputs_states_constants_or_twice_the_same() -> None:
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, batched(4))
    h = b.leaf("h", LeafRole.STATE, batched(4))
    new = b.op("tanh", b.op("add", h, x))
    for name, value in {
        "x": x,
        "h": h,
        "one": b.full(1.0, shape_of(2)),
        "new": new,
        "again": new,
        "part": b.op("slice", new, axis=0, bounds=shape_of(1, 3)),
    }.items():
        b.result(name, ResultRole.OUTPUT, value)
    b.result("h", ResultRole.STATE, new)
    agrees(b.finish("copies"), 3, 2, "float64")


def test_a_graph_without_nodes_copies() -> None:
    b = Builder()
    b.result("y", ResultRole.OUTPUT, b.leaf("x", LeafRole.INPUT, batched(4)))
    agrees(b.finish("copy"), 3, 2, "float32")


def test_steps_carry_the_states_of_a_sequence() -> None:
    graph = lstm().bind({"D": 4, "H": 6})
    inputs, states, params = random_leaves(graph, 5, 2)
    whole = run_graph(graph, inputs, states, params, "float32")
    for time in range(5):
        step = {"x": inputs["x"][time : time + 1]}
        one = run_graph(graph, step, states, params, "float32")
        states = one.states
        np.testing.assert_array_equal(one.outputs["y"][0], whole.outputs["y"][time])
    np.testing.assert_array_equal(states["c"], whole.states["c"])


def misaligned(array: Array) -> Array:
    """The same numbers, one element past a multiple of 64 bytes."""
    raw = np.zeros(array.nbytes + 128, np.uint8)
    start = -raw.ctypes.data % 64 + array.itemsize
    view = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_need_no_alignment_beyond_their_elements(dtype: str) -> None:
    graph = lstm().bind({"D": 9, "H": 40})
    plan = compile_plan(split(graph), dtype)
    inputs, states, params = random_leaves(graph, 4, 3)
    weights = [misaligned(w) for w in pack_weights(plan.signature, params).values()]
    x = misaligned(inputs["x"].astype(dtype))
    carried = [misaligned(states[s.name].astype(dtype)) for s in plan.signature.states]
    y = misaligned(np.zeros((4, 3, 40), dtype))
    workspace = misaligned(np.zeros(plan.signature.workspace.elements(4, 3), dtype))
    plan.function(x, *weights, *carried, y, workspace)
    wanted = run(graph, inputs, states, params)
    np.testing.assert_allclose(y, wanted.outputs["y"], atol=1e-5)


def test_a_kernel_refuses_arrays_of_another_shape() -> None:
    graph = lstm().bind({"D": 3, "H": 4})
    plan = compile_plan(split(graph), "float32")
    inputs, states, params = random_leaves(graph, 2, 2)
    with pytest.raises(ValueError, match="h.shape"):
        plan(inputs, {**states, "h": np.zeros((3, 4))}, params)


def test_an_op_without_lowering_is_named_with_its_result() -> None:
    b = Builder()
    w = b.leaf("w", LeafRole.PARAM, Type(shape_of(3, 3), batched=False))
    x = b.leaf("x", LeafRole.INPUT, batched(3))
    inverse = b.op("inverse", w)
    b.result("y", ResultRole.OUTPUT, b.op("contract", inverse, x, spec="ij,j->i", sum_batch=False))
    with pytest.raises(RnndslError, match=r"inverse.*[\s\S]*"):
        lower(split(b.finish("unprepared")))


def test_an_unknown_type_or_target_is_refused() -> None:
    plan = split(lstm().bind({"D": 2, "H": 2}))
    with pytest.raises(RnndslError, match="float16"):
        compile_plan(plan, "float16")
    with pytest.raises(RnndslError, match="x86-64-v9"):
        compile_plan(plan, "float32", "x86-64-v9")


def test_a_kernel_prints_as_script() -> None:
    script = lower(split(lstm().bind({"D": 2, "H": 3}))).script()
    assert "def sequence(" in script
    assert "i_x_weight" in script
    assert "workspace" in script


def test_short_rows_are_written_once() -> None:
    b = Builder()
    b.result("y", ResultRole.OUTPUT, b.op("neg", b.leaf("x", LeafRole.INPUT, batched(4))))
    kernel = lower(split(b.finish("negated")))
    code = compile_kernels([kernel]).mod.inspect_source("ll")
    assert code.count("store <4 x float>") == 1


def test_llvm_knows_the_options_that_it_is_given(capfd: pytest.CaptureFixture[str]) -> None:
    compile_kernels([lower(split(lstm().bind({"D": 2, "H": 3})))])
    assert "is not an LLVM option" not in "".join(capfd.readouterr())
