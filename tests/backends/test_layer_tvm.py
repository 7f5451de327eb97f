"""A layer whose plans TVM compiles computes what generated PyTorch code does."""

from __future__ import annotations

import pytest
import torch

import rnndsl
from rnndsl.backends.torch import LayerInputError

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
