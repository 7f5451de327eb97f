"""Causal linear attention against the packages of its authors and of flash-linear-attention."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import rnndsl
from tests.oracles.published import (
    BATCH,
    SINGLE,
    Published,
    States,
    assert_same,
    normal,
    published,
)

D, H = 3, 6
HEADS = pytest.mark.parametrize("heads", [1, 2])


def leaves() -> dict[str, Tensor]:
    """The projections, which neither package's function holds itself."""
    return {
        f"{name}.x.weight": normal(H, D, seed=k).mul(0.5).requires_grad_()
        for k, name in enumerate("qkv", 2)
    }


@HEADS
@pytest.mark.parametrize("given", [False, True], ids=["from zero", "from given states"])
def test_the_authors_recurrence(heads: int, given: bool) -> None:
    """pytorch-fast-transformers; only its parts written in Python are loaded."""
    name = "fast_transformers.recurrent.attention.self_attention.linear_attention"
    attention = published(name).RecurrentLinearAttention(H // heads)
    weights = leaves()

    def run(x: Tensor, states: States | None) -> tuple[Tensor, States]:
        state = None if states is None else list(states)
        outputs = []
        for here in x:
            q, k, v = ((here @ w.t()).reshape(BATCH, heads, -1) for w in weights.values())
            y, state = attention(q, k, v, state)
            outputs.append(y.reshape(BATCH, H))
        assert state is not None
        return torch.stack(outputs), tuple(state)

    states = None
    if given:  # z is a sum of positive numbers in any sequence
        d = H // heads
        states = (normal(BATCH, heads, d, d, seed=7), normal(BATCH, heads, d, seed=8).exp())
    layer = rnndsl.layer("linear_attention", D, H, dtype=torch.float64, heads=heads)
    assert_same(layer, Published(list(weights.values()), weights, run), states)


@HEADS
def test_flash_linear_attention(heads: int) -> None:
    """Theirs rounds to float32 and adds 1e-10 to the mass where ours adds 1e-6."""
    naive = published("fla.ops.linear_attn.naive")
    weights = leaves()

    def run(x: Tensor, states: States | None) -> tuple[Tensor, States]:
        assert states is None
        q, k, v = (
            (x @ w.t()).reshape(len(x), BATCH, heads, -1).transpose(0, 1) for w in weights.values()
        )
        q, k = (torch.nn.functional.elu(u) + 1 for u in (q, k))
        y, _ = naive.naive_recurrent_linear_attn(q, k, v, scale=1.0, normalize=True)
        return y.transpose(0, 1).reshape(len(x), BATCH, H), ()

    layer = rnndsl.layer("linear_attention", D, H, dtype=torch.float64, heads=heads)
    assert_same(layer, Published(list(weights.values()), weights, run), tolerance=SINGLE)
