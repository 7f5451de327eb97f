"""Arrays of 16 bits: widened exactly, computed with in float32, rounded once when stored."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

pytest.importorskip("tvm", reason="TVM is not installed")

import rnndsl
from rnndsl.backends.torch.with_tvm import compile_plan
from rnndsl.compiler.split import split
from rnndsl.compiler.text import parse_graph

DTYPES = [torch.bfloat16, torch.float16]
PRODUCT = """\
graph product {
  input a: batch[16]
  input b: batch[16]
  %2: batch[16] = mul(a, b)
  output y = %2
}
"""


def product(a: Tensor, b: Tensor) -> Tensor:
    """Elementwise, by a kernel, of tensors with 16 elements a row."""
    kernel = compile_plan(split(parse_graph(PRODUCT)))
    outputs, _, _ = kernel((a.reshape(1, -1, 16), b.reshape(1, -1, 16)), (), ())
    return outputs[0].reshape(-1)


def same_bits(found: Tensor, expected: Tensor) -> bool:
    """Whether two tensors are equal, any two that are not numbers among them."""
    both_nan = found.isnan() & expected.isnan()
    return bool((both_nan | (found.view(torch.int16) == expected.view(torch.int16))).all())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_number_is_read_and_stored_as_it_is(dtype: torch.dtype) -> None:
    every = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(dtype)
    assert same_bits(product(every, torch.ones_like(every)), every)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_results_are_rounded_to_the_nearest_number(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    bits = torch.randint(-(1 << 15), 1 << 15, (2, 1 << 16), dtype=torch.int32).to(torch.int16)
    a, b = bits.view(dtype)
    assert same_bits(product(a, b), (a.float() * b.float()).to(dtype))


def run(layer: torch.nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of the input and the parameters, in float64."""
    x = x.clone().requires_grad_()
    y, _ = layer(x)
    y.double().sin().sum().backward()
    found = [y.detach(), x.grad, *(p.grad for p in layer.parameters())]
    return [t.double() for t in found if t is not None]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("cell", ["lstm", "gru", "mlstm", "layernorm_lstm", "minlstm"])
def test_values_and_gradients_are_rounded_ones(cell: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    steps = 9
    exact = rnndsl.layer(cell, 7, 19, backend="torch").double()
    rounded = rnndsl.layer(cell, 7, 19, backend="tvm").to(dtype)
    weights = {name: value.to(dtype) for name, value in exact.state_dict().items()}
    exact.load_state_dict({name: value.double() for name, value in weights.items()})
    rounded.load_state_dict(weights)
    x = torch.randn(steps, 5, 7, dtype=dtype)
    found, expected = run(rounded, x), run(exact, x.double())
    # A value passes through a few stored streams and states in each step on its way there and
    # back.  Each rounds it by half a unit, and rounding to nearest adds up as its square root.
    rounding = torch.finfo(dtype).eps / 2 * (4 * 2 * steps) ** 0.5
    # Gradients whose terms cancel are as inexact as the terms, which are as large as others.
    scales = [float(t.abs().max()) for t in expected]
    scales[1:] = [max(scales[1:])] * len(scales[1:])
    for got, wanted, scale in zip(found, expected, scales, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=2 * rounding * scale)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sums_over_many_rows_keep_small_terms(dtype: torch.dtype) -> None:
    layer = rnndsl.layer("lstm", 1, 1, backend="tvm").to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    x = torch.ones(1, 5000, 1, dtype=dtype)
    y, _ = layer(x)
    y.backward(torch.ones_like(y))
    # Each example adds 1/4 to the gradient of what tanh is taken of; in 16 bits such a sum stops
    # growing at 2**9 and 2**11 terms of the same size.
    largest = max(float(p.grad.abs().max()) for p in layer.parameters() if p.grad is not None)
    assert largest == pytest.approx(5000 / 4, rel=torch.finfo(dtype).eps)


def test_layers_go_from_one_type_to_another_and_back() -> None:
    layer = rnndsl.layer("gru", 3, 5, backend="tvm")
    x = torch.randn(4, 2, 3)
    before = layer(x)[0]
    half = layer.to(torch.bfloat16)(x.bfloat16())[0]
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), before, rtol=0, atol=0.02)
    assert layer.to(torch.float64)(x.double())[0].dtype == torch.float64


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_streams_compute_the_same(dtype: torch.dtype) -> None:
    layer = rnndsl.layer("lstm", 7, 19, backend="tvm").to(dtype)
    x = torch.randn(4, 1, 7, dtype=dtype)
    with torch.no_grad():
        y, _ = layer(x)
    stream = layer.stream(1)
    for step in range(len(x)):
        torch.testing.assert_close(stream(x[step]), y[step], rtol=0, atol=0)
