"""``rnndsl.from_torch``: torch's own recurrent modules as layers of ours, with their weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rnndsl.backends import errors_torch as catalogue
from rnndsl.backends.errors import LayerOptionError
from rnndsl.backends.torch.build import layer
from rnndsl.backends.torch.direction import Direction
from rnndsl.backends.torch.module import Layer

# The parameters of one layer and direction, from torch's weight_ih, weight_hh, bias_ih, bias_hh.
Weights = Callable[[Tensor, Tensor, Tensor, Tensor], dict[str, Tensor]]


def _gated(gates: str) -> Weights:
    """Gates stacked in this order, each with both products and the sum of both biases."""

    def split(x: Tensor, h: Tensor, bias_x: Tensor, bias_h: Tensor) -> dict[str, Tensor]:
        parts = zip(*(t.chunk(len(gates)) for t in (x, h, bias_x + bias_h)), strict=True)
        return {
            f"{gate}.{name}": value
            for gate, values in zip(gates, parts, strict=True)
            for name, value in zip(("x.weight", "h.weight", "bias"), values, strict=True)
        }

    return split


def _gru(x: Tensor, h: Tensor, bias_x: Tensor, bias_h: Tensor) -> dict[str, Tensor]:
    """The candidate's recurrent part is scaled by the reset gate, its bias included."""
    found = _gated("rzn")(x, h, bias_x, bias_h)
    del found["n.h.weight"]
    found["n.bias"] = bias_x.chunk(3)[2]
    found["u.h.weight"] = h.chunk(3)[2]
    found["u.bias"] = bias_h.chunk(3)[2]
    return found


def from_torch(
    module: nn.RNNBase, backend: str = "auto", memory_budget: int | str | None = None
) -> Layer:
    """A layer that computes what an ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` does.

    It takes over weights, layers, directions, layout, dropout, dtype, device and mode.  The
    two biases that torch keeps for each gate become their sum; without biases ours are zero.
    What is frozen there is frozen here.  ``backend`` and ``memory_budget`` are those of
    :func:`rnndsl.layer`.  LayerOptionError for projections (``proj_size``) and other modules.
    """
    numbers: dict[str, Any] = {}
    weights: Weights
    if isinstance(module, nn.LSTM):
        name, weights = "lstm", _gated("ifgo")
    elif isinstance(module, nn.GRU):
        name, weights = "gru", _gru
    elif isinstance(module, nn.RNN):
        name, weights = "elman", _gated("a")
        numbers = {"rectified": int(module.nonlinearity == "relu")}
    else:
        reason = "only nn.LSTM, nn.GRU and nn.RNN have a counterpart"
        raise _refused(module, reason)
    if module.proj_size:
        raise _refused(module, "its projection (proj_size) has no counterpart")
    like = module.weight_ih_l0
    assert isinstance(like, Tensor)
    with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced below
        made = layer(
            name,
            module.input_size,
            module.hidden_size,
            module.num_layers,
            bidirectional=module.bidirectional,
            dropout=module.dropout,
            batch_first=module.batch_first,
            dtype=like.dtype,
            device=like.device,
            backend=backend,
            memory_budget=memory_budget,
            **numbers,
        )
    for key, direction in made.layers.items():
        assert isinstance(direction, Direction)
        _copy(module, key, direction, weights)
    return made.train(module.training)


def _copy(module: nn.RNNBase, key: str, direction: Direction, weights: Weights) -> None:
    suffix = "l" + key
    x, h = getattr(module, f"weight_ih_{suffix}"), getattr(module, f"weight_hh_{suffix}")
    none = x.new_zeros(len(x))
    bias_x = getattr(module, f"bias_ih_{suffix}", none)
    bias_h = getattr(module, f"bias_hh_{suffix}", none)
    with torch.enable_grad():  # so that each value tells whether what it is made of trains
        values = weights(x, h, bias_x, bias_h)
    with torch.no_grad():
        for name, value in values.items():
            direction.tensor(name).copy_(value).requires_grad_(value.requires_grad)


def _refused(module: nn.Module, reason: str) -> LayerOptionError:
    return LayerOptionError(catalogue.NotConvertible(None, type(module).__name__, reason))
