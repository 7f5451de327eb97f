"""Gradients of mLSTM in float32, of which some are much smaller than what cancels in them.

The norm of its output takes away what all of a head is multiplied by.  So the gradients of the
gates, of the input gate's bias most of all, are what is left of terms thousands of times as
large: compared with themselves they differ a lot from one order of additions to another.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor

import rnndsl

needs_tvm = pytest.mark.skipif(find_spec("tvm") is None, reason="TVM is not installed")
STEPS, BATCH, SIZE = 40, 3, 16
EPS = torch.finfo(torch.float32).eps
KINDS: list[dict[str, Any]] = [
    {"form": "steps"},
    {"form": "chunked"},
    {"memory_budget": "64MiB"},
    {"form": "chunked", "memory_budget": "64MiB"},
]


def layer_of(seed: int, scale: float, backend: str, **options: Any) -> torch.nn.Module:
    torch.manual_seed(seed)
    layer: torch.nn.Module = rnndsl.layer("mlstm", SIZE, SIZE, backend=backend, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(scale)
    return layer


def results(layer: torch.nn.Module, x: Tensor, weight: Tensor) -> tuple[Tensor, list[Tensor]]:
    x = x.detach().requires_grad_()
    y, _ = layer(x)
    return y.detach(), list(torch.autograd.grad((y * weight).sum(), [x, *layer.parameters()]))


def moved(exact: torch.nn.Module, x: Tensor, weight: Tensor) -> tuple[float, float]:
    """How far outputs and gradients go when all inputs and parameters change by one unit in the
    last place of float32."""
    y, gradients = results(exact, x, weight)
    furthest = [0.0, 0.0]
    kept = [p.detach().clone() for p in exact.parameters()]

    def nudged(values: Tensor) -> Tensor:
        return values * (1 + EPS * (torch.randint(0, 2, values.shape) * 2 - 1))

    for _ in range(6):
        with torch.no_grad():
            for parameter, value in zip(exact.parameters(), kept, strict=True):
                parameter.copy_(nudged(value))
        other, others = results(exact, nudged(x), weight)
        pairs = zip(others, gradients, strict=True)
        apart = float((other - y).abs().max()), max(float((a - b).abs().max()) for a, b in pairs)
        furthest = [max(pair) for pair in zip(furthest, apart, strict=True)]
    with torch.no_grad():
        for parameter, value in zip(exact.parameters(), kept, strict=True):
            parameter.copy_(value)
    return furthest[0], furthest[1]


@pytest.mark.parametrize("backend", ["torch", pytest.param("tvm", marks=needs_tvm)])
@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_every_form_is_as_near_to_exact_results_as_rounding_leaves_it(
    seed: int, scale: float, backend: str
) -> None:
    exact = layer_of(seed, scale, "torch", form="steps").double()
    x, weight = torch.randn(2, STEPS, BATCH, SIZE)
    y, gradients = results(exact, x.double(), weight.double())
    far, farther = moved(exact, x.double(), weight.double())
    largest = max(float(g.abs().max()) for g in gradients)
    # What one rounding of each operand does, some roundings deep, and T * B additions.
    for options in KINDS:
        found, others = results(layer_of(seed, scale, backend, **options), x, weight)
        assert float((found.double() - y).abs().max()) <= 8 * far
        for one, expected in zip(others, gradients, strict=True):
            off = float((one.double() - expected).abs().max())
            assert off <= 8 * farther + STEPS * BATCH * EPS * largest, options
