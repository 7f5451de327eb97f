"""Our cells against torch's own cells, step by step (its layers: tests/backends)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rnndsl
from tests.oracles.published import (
    BATCH,
    Published,
    States,
    assert_same,
    chunks,
    normal,
    randomised,
    stepwise,
)

D, H = 3, 5


def _gated(cell: nn.RNNCellBase, gates: str) -> dict[str, Tensor]:
    """Both of torch's biases act on the same sum, so one does for us."""
    assert isinstance(cell.bias_ih, Tensor) and isinstance(cell.bias_hh, Tensor)
    return {
        **chunks(gates, ".x.weight", cell.weight_ih),
        **chunks(gates, ".h.weight", cell.weight_hh),
        **chunks(gates, ".bias", cell.bias_ih + cell.bias_hh),
    }


def _lstm() -> Published:
    cell = randomised(nn.LSTMCell(D, H))

    def step(x: Tensor, states: States) -> tuple[Tensor, States]:
        h, c = cell(x, states)
        return h, (h, c)

    return Published(list(cell.parameters()), _gated(cell, "ifgo"), stepwise(step, H, H))


def _single(cell: nn.Module, weights: dict[str, Tensor]) -> Published:
    def step(x: Tensor, states: States) -> tuple[Tensor, States]:
        h = cell(x, states[0])
        return h, (h,)

    return Published(list(cell.parameters()), weights, stepwise(step, H))


def _gru() -> Published:
    cell = randomised(nn.GRUCell(D, H))
    weights = _gated(cell, "rzn")
    weights["u.h.weight"] = weights.pop("n.h.weight")
    weights["n.bias"] = cell.bias_ih.chunk(3)[2]
    weights["u.bias"] = cell.bias_hh.chunk(3)[2]
    return _single(cell, weights)


def _rnn(nonlinearity: str) -> Published:
    cell = randomised(nn.RNNCell(D, H, nonlinearity=nonlinearity))
    return _single(cell, _gated(cell, "a"))


CASES: dict[str, tuple[str, int, Callable[[], Published], dict[str, Any]]] = {
    "LSTMCell": ("lstm", 2, _lstm, {}),
    "GRUCell": ("gru", 1, _gru, {}),
    "RNNCell": ("elman", 1, lambda: _rnn("tanh"), {}),
    "RNNCell, relu": ("elman", 1, lambda: _rnn("relu"), {"rectified": 1}),
}


@pytest.mark.parametrize("given", [False, True], ids=["from zero", "from given states"])
@pytest.mark.parametrize("name", CASES)
def test_cell_is_that_of_torch(name: str, given: bool) -> None:
    cell, count, make, numbers = CASES[name]
    layer = rnndsl.layer(cell, D, H, dtype=torch.float64, **numbers)
    states = tuple(normal(BATCH, H, seed=k) for k in range(count)) if given else None
    assert_same(layer, make(), states)
