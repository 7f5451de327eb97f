"""sLSTM and mLSTM against the package xlstm of their authors (its code without kernels)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rnndsl
from tests.oracles.published import (
    BATCH,
    STEPS,
    Published,
    Run,
    States,
    assert_same,
    chunks,
    normal,
    published,
    randomised,
    trained,
)

slstm = published("xlstm.blocks.slstm.src.vanilla")
mlstm = published("xlstm.blocks.mlstm.cell")

D, H = 3, 6
HEADS = pytest.mark.parametrize("heads", [1, 2])


def leaf(*shape: int, seed: int) -> Tensor:
    return normal(*shape, seed=seed).mul(0.5).requires_grad_()


@HEADS
@pytest.mark.parametrize("given", [False, True], ids=["from zero", "from given states"])
def test_slstm(heads: int, given: bool) -> None:
    """Theirs starts with m = 0 and takes m = i where all n are zero; ours starts with -inf.

    Their layer hands over its input and forget gates under each other's names; here the cell
    is called, with gates in its own order i, f, z, o.
    """
    d = H // heads
    w, r, b = leaf(4 * H, D, seed=2), leaf(heads, 4 * d, d, seed=3), leaf(4 * H, seed=4)
    function = slstm.slstm_pointwise_function_registry["slstm"]

    def run(x: Tensor, states: States | None) -> tuple[Tensor, States]:
        start = x.new_zeros(4, BATCH, H) if states is None else torch.stack(states)
        every, last, _ = slstm.slstm_forward(x @ w.t(), start, r, b, function)
        return every[0, 1:], tuple(last)

    weights = {**chunks("ifzo", ".x.weight", w), **chunks("ifzo", ".bias", b)}
    weights |= chunks("0123", "", r, axis=1)
    weights |= {f"R.{k}": weights.pop(str(k)) for k in range(4)}
    states = None
    if given:  # n is a sum of positive numbers in any sequence
        y, c, n, m = (normal(BATCH, H, seed=k) for k in range(4))
        states = (y, c, n.exp(), m)
    layer = rnndsl.layer("slstm", D, H, dtype=torch.float64, heads=heads)
    assert_same(layer, Published([w, r, b], weights, run), states)


class _Block(nn.Module):
    """Their cell takes q, k and v; the projections are torch's."""

    def __init__(self, heads: int, context: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(D, 3 * H)
        config = mlstm.mLSTMCellConfig(context_length=context, embedding_dim=H, num_heads=heads)
        self.cell = mlstm.mLSTMCell(config)

    def weights(self, heads: int) -> dict[str, Tensor]:
        found = chunks("qkv", ".x.weight", self.qkv.weight)
        found |= chunks("qkv", ".bias", self.qkv.bias)
        for gate, linear in (("i", self.cell.igate), ("f", self.cell.fgate)):
            found |= {f"{gate}.qkv.weight": linear.weight, f"{gate}.bias": linear.bias}
        # theirs keeps the scale less 1
        found["y.gamma"] = (1 + self.cell.outnorm.weight).reshape(heads, H // heads)
        return found


def _steps(block: Any, heads: int) -> Run:
    def run(x: Tensor, states: States | None) -> tuple[Tensor, States]:
        state = None
        if states is not None:
            C, n, m = states
            state = (C, n[..., None], m[..., None, None])
        outputs = []
        for here in x:
            # copies, since their step changes the shapes of its arguments
            q, k, v = (part.clone() for part in block.qkv(here)[:, None].chunk(3, -1))
            y, state = block.cell.step(q, k, v, mlstm_state=state)
            outputs.append(y[:, 0])
        assert state is not None
        C, n, m = state
        return torch.stack(outputs), (C, n[..., 0], m[..., 0, 0])

    return run


@HEADS
@pytest.mark.parametrize("given", [False, True], ids=["from zero", "from given states"])
def test_mlstm_step_by_step(heads: int, given: bool) -> None:
    block = randomised(_Block(heads, 1))
    theirs = Published(trained(block), block.weights(heads), _steps(block, heads))
    layer = rnndsl.layer("mlstm", D, H, dtype=torch.float64, heads=heads)
    d = H // heads
    shapes = ((heads, d, d), (heads, d), (heads,))
    states = tuple(normal(BATCH, *s, seed=k) for k, s in enumerate(shapes)) if given else None
    assert_same(layer, theirs, states)


@HEADS
def test_mlstm_over_all_pairs_of_steps(heads: int) -> None:
    """Step by step the running maximum starts at 0, over all pairs at the first gates.

    The 1e-6 that is added to the mass is therefore scaled by another number, of order 1, and
    outputs differ by about 1e-6; the layer normalisation may multiply that by ten.
    """
    block = randomised(_Block(heads, STEPS))

    def run(x: Tensor, states: States | None) -> tuple[Tensor, States]:
        assert states is None
        q, k, v = block.qkv(x.transpose(0, 1)).chunk(3, -1)
        return block.cell(q, k, v).transpose(0, 1), ()

    layer = rnndsl.layer("mlstm", D, H, dtype=torch.float64, heads=heads)
    theirs = Published(trained(block), block.weights(heads), run)
    assert_same(layer, theirs, tolerance=1e-5)
