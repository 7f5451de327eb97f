"""Our cells against the package flashrnn (its code without kernels)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

import rnndsl
from tests.oracles.published import (
    BATCH,
    Published,
    Run,
    States,
    assert_same,
    normal,
    published,
)

flashrnn = published("flashrnn.flashrnn.vanilla")

D, H = 3, 6
GIVEN = pytest.mark.parametrize("given", [False, True], ids=["from zero", "from given states"])


def leaf(*shape: int, seed: int) -> Tensor:
    return normal(*shape, seed=seed).mul(0.5).requires_grad_()


class Parts:
    """Their parameters: W of the input by gate, R by head and gate [in, out], biases by gate."""

    def __init__(self, inputs: int, recurrent: int, biases: int, heads: int = 1) -> None:
        d = H // heads
        self.heads, self.d = heads, d
        self.w = leaf(inputs, heads, d, D, seed=2)
        self.r = leaf(heads, d, recurrent, d, seed=3)
        self.b = leaf(biases, heads, d, seed=4)
        self.all = [self.w, self.r, self.b]

    def x(self, gate: int) -> Tensor:
        return self.w[gate].reshape(H, D)

    def h(self, gate: int) -> Tensor:
        return self.r[0, :, gate].t()

    def blocks(self, gate: int) -> Tensor:
        return self.r[:, :, gate].transpose(1, 2)

    def bias(self, gate: int) -> Tensor:
        return self.b[gate].reshape(H)

    def run(self, function: str, states: int) -> Run:
        """Their loop over time; y is the first state."""
        pointwise = flashrnn.flashrnn_pointwise_function_registry[function]

        def run(x: Tensor, given: States | None) -> tuple[Tensor, States]:
            shape = (1, BATCH, states, self.heads, self.d)
            start = x.new_zeros(shape) if given is None else torch.stack(given, 1).reshape(shape)
            products = torch.einsum("tbi,gndi->tbgnd", x, self.w)
            every, last = flashrnn.flashrnn_forward(products, start, self.r, self.b, pointwise)
            finals = tuple(last[0, :, k].reshape(BATCH, H) for k in range(states))
            return every[:, :, 0].reshape(len(x), BATCH, H), finals

        return run


def _gated(parts: Parts, gates: Sequence[str]) -> dict[str, Tensor]:
    found = {}
    for k, gate in enumerate(gates):
        found[f"{gate}.x.weight"] = parts.x(k)
        found[f"{gate}.h.weight"] = parts.h(k)
        found[f"{gate}.bias"] = parts.bias(k)
    return found


def _states(count: int, given: bool) -> States | None:
    return tuple(normal(BATCH, H, seed=k) for k in range(count)) if given else None


@GIVEN
def test_simple_recurrent_network(given: bool) -> None:
    parts = Parts(1, 1, 1)
    layer = rnndsl.layer("elman", D, H, dtype=torch.float64)
    theirs = Published(parts.all, _gated(parts, "a"), parts.run("elman", 1))
    assert_same(layer, theirs, _states(1, given))


@GIVEN
def test_lstm(given: bool) -> None:
    parts = Parts(4, 4, 4)
    layer = rnndsl.layer("lstm", D, H, dtype=torch.float64)
    theirs = Published(parts.all, _gated(parts, "ifgo"), parts.run("lstm", 2))
    assert_same(layer, theirs, _states(2, given))


@GIVEN
def test_gru(given: bool) -> None:
    """Recurrent rows and biases come as u, r, z (and n's bias); products of the input as r, z, n."""
    parts = Parts(3, 3, 4)
    weights = {"u.h.weight": parts.h(0), "u.bias": parts.bias(0)}
    for k, gate in enumerate("rz", 1):
        weights[f"{gate}.x.weight"] = parts.x(k - 1)
        weights[f"{gate}.h.weight"] = parts.h(k)
        weights[f"{gate}.bias"] = parts.bias(k)
    weights |= {"n.x.weight": parts.x(2), "n.bias": parts.bias(3)}
    layer = rnndsl.layer("gru", D, H, dtype=torch.float64)
    assert_same(layer, Published(parts.all, weights, parts.run("gru", 1)), _states(1, given))


@pytest.mark.parametrize("heads", [1, 2])
def test_slstm(heads: int) -> None:
    """From zeros alone: theirs keeps n at least 1, where ours only keeps n positive.

    In a sequence from zeros n is at least 1 by itself, since the running maximum scales the
    largest of its terms to 1.
    """
    parts = Parts(4, 4, 4, heads)
    weights = {}
    for k, gate in enumerate("ifzo"):
        weights[f"{gate}.x.weight"] = parts.x(k)
        weights[f"{gate}.bias"] = parts.bias(k)
        weights[f"R.{k}"] = parts.blocks(k)
    layer = rnndsl.layer("slstm", D, H, dtype=torch.float64, heads=heads)
    assert_same(layer, Published(parts.all, weights, parts.run("slstm", 4)))
