"""A layer whose plans TVM compiles computes what generated PyTorch code does."""

from __future__ import annotations

import pytest
import torch

import rnndsl
from rnndsl.backends.torch import LayerInputError
from rnndsl.backends.torch.derivative import differentiate_program
from rnndsl.backends.torch.program import make_program
from tests.backends.torch_graphs import lstm

pytest.importorskip("tvm", reason="TVM is not installed")

torch.set_num_threads(1)


@pytest.mark.parametrize("cell", ["lstm", "gru", "mlstm"])
def test_values_and_gradients_are_those_of_the_torch_backend(cell: str) -> None:
    results = []
    for backend in ("torch", "tvm"):
        torch.manual_seed(0)
        layer = rnndsl.layer(cell, 3, 4, dtype=torch.float64, backend=backend)
        x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
        y, states = layer(x, lengths=[5, 3])
        states = states if isinstance(states, tuple) else (states,)
        (y.sin().sum() + torch.stack([s.square().sum() for s in states]).sum()).backward()
        results.append([y, *states, x.grad, *(p.grad for p in layer.parameters())])
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)


def test_streams_that_tvm_cannot_take_are_named() -> None:
    layer = rnndsl.layer("lstm", 3, 4, backend="tvm").to(torch.complex64)
    with pytest.raises(LayerInputError, match="float32, float64, bfloat16 or float16"):
        layer(torch.zeros(2, 1, 3, dtype=torch.complex64))


@pytest.mark.parametrize("sizes", [(3, 5), (33, 24), (40, 70)], ids=str)
@pytest.mark.parametrize("threads", [1, 2])
def test_parts_of_joined_weights_may_end_within_tiles(sizes: tuple[int, int], threads: int) -> None:
    results = []
    torch.set_num_threads(threads)
    try:
        for backend in ("torch", "tvm"):
            torch.manual_seed(0)
            layer = rnndsl.layer("lstm", *sizes, dtype=torch.float64, backend=backend)
            x = torch.randn(4, 7, sizes[0], dtype=torch.float64, requires_grad=True)
            y, _ = layer(x)
            gradients = torch.autograd.grad(y.sin().sum(), [x, *layer.parameters()])
            results.append([y, *gradients])
    finally:
        torch.set_num_threads(1)
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)


def test_weights_changed_in_place_are_seen_by_the_next_call() -> None:
    layer = rnndsl.layer("lstm", 3, 4, backend="tvm")
    x = torch.randn(2, 1, 3)
    with torch.no_grad():
        before = layer(x)[0]
    for weight in layer.parameters():
        weight.data.mul_(2)
    with torch.no_grad():
        assert not torch.equal(layer(x)[0], before)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_results_may_be_changed_in_place(cell: str) -> None:
    layer = rnndsl.layer(cell, 3, 4, backend="tvm")
    for steps in (1, 3):
        x = torch.randn(steps, 2, 3)
        with torch.no_grad():
            y, states = layer(x)
            known = y.clone()
            for tensor in (y, *(states if isinstance(states, tuple) else (states,))):
                tensor.add_(1)
            assert torch.equal(layer(x)[0], known)


def test_gradients_may_be_changed_in_place() -> None:
    layer = rnndsl.layer("lstm", 3, 4, backend="tvm")
    layer(torch.randn(2, 1, 3))[0].sum().backward()
    first, *others = layer.parameters()
    assert first.grad is not None
    known = [parameter.grad.clone() for parameter in others if parameter.grad is not None]
    first.grad.add_(torch.nn.Parameter(torch.ones(())))  # with a graph, as for a meta-gradient
    for parameter, before in zip(others, known, strict=True):
        assert parameter.grad is not None and torch.equal(parameter.grad, before)


def test_a_state_that_is_no_output_is_saved_as_it_is_before_a_step() -> None:
    program = make_program(lstm(), backend="tvm")
    found = differentiate_program(program, frozenset(program.params))
    assert {name for name in found.places if "." in name and not name.startswith("saved")} == {
        "next.h",  # the output, which is there anyway
        "prev.c",
    }
