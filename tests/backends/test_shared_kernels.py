"""What is made of parameters alone, made by a kernel, is what the interpreter says."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tvm", reason="TVM is not installed")

import rnndsl
from rnndsl.backends.torch import LayerInputError, shared_kernels
from rnndsl.backends.torch.backends import compile_shared
from rnndsl.backends.torch.shared_kernels import compile_small, is_worth_a_kernel
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.interpreter import run_shared
from rnndsl.compiler.ir import Graph, LeafRole, ResultRole
from tests.backends.torch_graphs import shared


def held(size: int = 5, product: bool = False) -> Graph:
    """A zero-order hold: A = exp(-exp(p) dt), B = (A - 1) / -exp(p), by 7 operations; A twice, and
    one parameter as it is."""
    b = Builder()
    p = b.leaf("p", LeafRole.PARAM, shared(size, 3))
    b.leaf("unread", LeafRole.PARAM, shared(size))
    dt = b.leaf("dt", LeafRole.PARAM, shared(size, 3))
    start = b.leaf("start", LeafRole.PARAM, shared(size))
    pole = b.op("neg", b.op("exp", p))
    kept = b.op("exp", b.op("mul", pole, dt))
    gained = b.op("div", b.op("sub", kept, b.full(1.0, shared(size, 3).shape)), pole)
    if product:
        gained = b.op("contract", gained, p, spec="ij,kj->ik", sum_batch=False)
    b.result("A", ResultRole.VALUE, kept)
    b.result("init.h", ResultRole.VALUE, start)
    b.result("B", ResultRole.VALUE, gained)
    b.result("A again", ResultRole.VALUE, kept)
    return b.finish("held")


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 2e-6), ("float64", 1e-14), ("bfloat16", 2**-8)]
)
def test_a_kernel_makes_what_the_interpreter_makes(dtype: str, tolerance: float) -> None:
    graph = held()
    kind = getattr(torch, dtype)
    given = {leaf.name: torch.rand(leaf.type.sizes).to(kind) for leaf in graph.leaves}
    leaves = [None if name == "unread" else value for name, value in given.items()]
    made = compile_small(graph)(leaves, given["p"])
    wanted = run_shared(graph, {name: value.double().numpy() for name, value in given.items()})
    for value, (name, expected) in zip(made, wanted.items(), strict=True):
        assert value.dtype == kind
        np.testing.assert_allclose(
            value.double().numpy(), expected, tolerance, tolerance, err_msg=name
        )


def test_parameters_that_are_not_contiguous_are_taken_in_order() -> None:
    graph = held()
    given = [torch.rand(leaf.type.sizes[::-1]).movedim(0, -1) for leaf in graph.leaves]
    plain = [tensor.contiguous() for tensor in given]
    make = compile_small(graph)
    for found, expected in zip(make(given, given[0]), make(plain, plain[0]), strict=True):
        assert torch.equal(found, expected)


def test_other_arrays_than_those_that_a_kernel_is_for_are_refused() -> None:
    graph = held()
    make = compile_small(graph)
    given = [torch.rand(leaf.type.sizes) for leaf in graph.leaves]
    for other, problem in (
        (given[0][:4], "`p` has size 4 along axis 0, expected 5"),
        (given[0].T.contiguous(), "`p` has size 3 along axis 0, expected 5"),
        (given[0][0], "`p` has 1 axes"),
        (given[0].double(), "`p` is torch.float64"),
        (given[0].to("meta"), "`p` is on meta"),
    ):
        with pytest.raises(LayerInputError, match=problem):
            make([other, *given[1:]], given[0])


def test_kernels_are_for_many_operations_on_small_arrays() -> None:
    assert is_worth_a_kernel(held())
    assert not is_worth_a_kernel(held(size=1 << 14))
    assert not is_worth_a_kernel(held(product=True))
    few = Builder()
    p = few.leaf("p", LeafRole.PARAM, shared(3))
    few.result("rate", ResultRole.VALUE, few.op("exp", few.op("neg", p)))
    assert not is_worth_a_kernel(few.finish("few"))


def test_only_the_backend_with_kernels_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(shared_kernels, "compile_small", lambda graph: asked.append(graph))
    compile_shared(held())
    assert not asked
    compile_shared(held(), "tvm")
    assert len(asked) == 1


def test_a_state_space_has_the_gradients_of_the_portable_backend() -> None:
    """Its poles and steps go through kernels in both directions."""
    x = torch.randn(7, 2, 4, dtype=torch.float64, requires_grad=True)
    found = []
    for backend in ("tvm", "torch"):
        torch.manual_seed(0)
        layer = rnndsl.layer("s4d", 4, 13, backend=backend, dtype=torch.float64)
        y, _ = layer(x)
        found.append(torch.autograd.grad(y.square().sum(), [x, *layer.parameters()]))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)
