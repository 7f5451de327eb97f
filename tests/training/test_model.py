"""The language model: shapes, tying, dropout, streaming."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import rnndsl
from rnndsl.training.config import TrainConfig
from rnndsl.training.dropout import Dropout, row_mask
from rnndsl.training.losses import training_loss
from rnndsl.training.model import build_model
from rnndsl.training.states import State, detach_state, select_examples, state_tensors

Factory = Callable[[int, int], nn.Module]


class TwoLevelState(nn.Module):
    """A layer whose state is a nested tuple: a vector, and a pair of a matrix and a scalar."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.linear = nn.Linear(inputs + hidden, hidden)

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        if state is None:
            batch = x.shape[1]
            h = x.new_zeros(1, batch, self.hidden)
            state = (h, (x.new_zeros(1, batch, 2, 3), x.new_zeros(1, batch)))
        h, m, s = state_tensors(state)
        ys = []
        for x_t in x:
            h = torch.tanh(self.linear(torch.cat([x_t, h[0]], -1)))[None]
            m, s = m + 1, s + 1
            ys.append(h[0])
        return torch.stack(ys), (h, (m, s))


def of_ours(input_size: int, hidden_size: int) -> nn.Module:
    return rnndsl.layer("lstm", input_size, hidden_size)


@pytest.mark.parametrize("factory", [lambda i, h: nn.LSTM(i, h), nn.GRU, TwoLevelState, of_ours])
def test_streaming_one_step_at_a_time_equals_the_whole_sequence(
    tiny: TrainConfig, factory: Factory
) -> None:
    model = build_model(replace(tiny, dtype="float64"), 11, factory).eval()
    tokens = torch.randint(0, 11, (9, 3), generator=torch.Generator().manual_seed(1))
    whole = model(tokens)
    step = model.stream(3)
    for t in range(9):
        torch.testing.assert_close(step(tokens[t]), whole.logits[t])


def test_carried_state_of_any_form_is_detached_and_selected(tiny: TrainConfig) -> None:
    model = build_model(tiny, 11, TwoLevelState)
    state = model(torch.zeros(4, 3, dtype=torch.long)).state
    assert any(t.requires_grad for t in state_tensors(state))
    assert not any(t.requires_grad for t in state_tensors(detach_state(state)))
    assert {t.shape[1] for t in state_tensors(select_examples(state, 0, 2))} == {2}


@pytest.mark.parametrize("embedding", [6, 8])
def test_tied_decoder_is_the_embedding(
    tiny: TrainConfig, make_layer: Factory, embedding: int
) -> None:
    model = build_model(replace(tiny, tied=True, embedding=embedding), 11, make_layer)
    assert model.decoder.weight is model.embedding.weight
    assert isinstance(model.projection, nn.Linear) == (embedding != tiny.hidden)
    assert model(torch.zeros(4, 3, dtype=torch.long)).logits.shape == (4, 3, 11)


def test_same_seed_gives_same_weights_and_leaves_the_random_state(
    tiny: TrainConfig, make_layer: Factory
) -> None:
    before = torch.get_rng_state()
    one, two = (build_model(tiny, 11, make_layer).state_dict() for _ in range(2))
    other = build_model(replace(tiny, seed=1), 11, make_layer).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["embedding.weight"], other["embedding.weight"])


def test_double_precision_starts_from_the_same_weights(
    tiny: TrainConfig, make_layer: Factory
) -> None:
    single = build_model(tiny, 11, make_layer).state_dict()
    double = build_model(replace(tiny, dtype="float64"), 11, make_layer).state_dict()
    assert all(torch.equal(single[name].double(), double[name]) for name in single)


def test_locked_dropout_keeps_one_mask_for_all_time() -> None:
    x = torch.ones(20, 4, 50)
    locked = Dropout(0.4, True, torch.Generator().manual_seed(0))(x)
    plain = Dropout(0.4, False, torch.Generator().manual_seed(0))(x)
    assert torch.equal(locked, locked[:1].expand_as(locked))
    assert not torch.equal(plain, plain[:1].expand_as(plain))
    assert sorted(locked.unique().tolist()) == [0.0, pytest.approx(1 / 0.6)]


def test_embedding_dropout_drops_whole_rows() -> None:
    mask = row_mask(torch.ones(400, 5), 0.25, torch.Generator().manual_seed(0))
    assert mask.shape == (400, 1)
    assert 0.65 < (mask > 0).double().mean() < 0.85


def test_dropout_is_off_in_evaluation(tiny: TrainConfig, make_layer: Factory) -> None:
    model = build_model(tiny, 11, make_layer).eval()
    tokens = torch.zeros(4, 3, dtype=torch.long)
    assert torch.equal(model(tokens).logits, model(tokens).logits)
    model.train()
    assert not torch.equal(model(tokens).logits, model(tokens).logits)


def test_penalties_add_the_squares_of_output_and_change(
    tiny: TrainConfig, make_layer: Factory
) -> None:
    config = replace(tiny, activation_penalty=2.0, temporal_penalty=1.0)
    output = build_model(config, 11, make_layer)(torch.zeros(4, 3, dtype=torch.long))
    expected = 2.0 * (output.dropped**2).mean() + ((output.raw[1:] - output.raw[:-1]) ** 2).mean()
    torch.testing.assert_close(training_loss(output, torch.tensor(0.0), config), expected)
