"""Counting parameters, and finding the width for a budget."""

from __future__ import annotations

import pytest
from torch import nn

import rnndsl
from rnndsl.diagnostics import RnndslError
from rnndsl.training.config import TrainConfig
from rnndsl.training.model import build_model
from rnndsl.training.size import parameter_count, solve_width

# Like torch.nn.LSTM, with one bias a gate instead of two.
LSTM = """
cell Plain(D, H):
    input x: [D]
    state h: [H]
    state c: [H]
    i = sigmoid(linear[H](x, h))
    f = sigmoid(linear[H](x, h))
    g = tanh(linear[H](x, h))
    o = sigmoid(linear[H](x, h))
    c' = f * c + i * g
    h' = o * tanh(c')
    return h'
"""

HEADS = """
cell Heads(D, H):
    input x: [D]
    state h: [H]
    q = linear[H / 4](x, h)
    h' = concat(q, q, q, q)
    return h'
"""


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("embedding", [None, 5])
def test_count_is_that_of_the_model(tied: bool, embedding: int | None) -> None:
    class OneBias(nn.LSTM):
        """nn.LSTM without its second bias."""

        def __init__(self, inputs: int, hidden: int) -> None:
            super().__init__(inputs, hidden)
            del self.bias_hh_l0

    config = TrainConfig(hidden=7, embedding=embedding, layers=2, tied=tied)
    model = build_model(config, 11, OneBias)
    expected = sum(p.numel() for p in model.parameters())
    cell = rnndsl.parse(LSTM)
    found = parameter_count(cell, 7, embedding=embedding, layers=2, vocabulary=11, tied=tied)
    assert found == expected


@pytest.mark.parametrize("budget", [200, 1000, 12345, 1_000_000, 54_321_000])
@pytest.mark.parametrize("vocabulary", [0, 20])
@pytest.mark.parametrize("text", [LSTM, HEADS])
def test_width_comes_as_close_to_the_budget_as_any(budget: int, vocabulary: int, text: str) -> None:
    cell = rnndsl.parse(text)
    step = 4 if text == HEADS else 1

    def distance(hidden: int) -> int:
        return abs(parameter_count(cell, hidden, embedding=9, vocabulary=vocabulary) - budget)

    width = solve_width(cell, budget, embedding=9, vocabulary=vocabulary)
    others = [w for w in (width - 2 * step, width - step, width + step) if w > 0]
    assert all(distance(width) <= distance(other) for other in others)


def test_budget_below_the_narrowest_cell_is_refused() -> None:
    with pytest.raises(RnndslError, match="E0715"):
        solve_width(rnndsl.parse(LSTM), 10, embedding=500)


def test_width_that_a_cell_does_not_allow_is_refused() -> None:
    with pytest.raises(RnndslError, match="`hidden` cannot be 6"):
        parameter_count(rnndsl.parse(HEADS), 6)


def test_cell_that_reads_more_than_the_token_is_refused() -> None:
    text = "cell Two(D, H):\n    input x: [D]\n    input t: []\n    state h: [H]\n"
    text += "    h' = tanh(linear[H](x, h)) * t\n    return h'\n"
    with pytest.raises(RnndslError, match="it also reads `t`"):
        parameter_count(rnndsl.parse(text), 4)
