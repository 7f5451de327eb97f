"""What a language model is trained on: cross entropy, and penalties on its outputs."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rnndsl.training.config import TrainConfig
from rnndsl.training.model import LanguageModel, Output
from rnndsl.training.states import State
from rnndsl.training.time_blocks import blockwise


class ChunkLoss(NamedTuple):
    """The loss of a chunk: in nats per token, with penalties, and the state after the chunk."""

    loss: Tensor
    total: Tensor
    state: State


def chunk_loss(
    model: LanguageModel, tokens: Tensor, targets: Tensor, state: State, config: TrainConfig
) -> ChunkLoss:
    """The loss of a model on a chunk [T, B]; block by block where there is a memory budget."""
    if config.memory_budget is not None:
        return _in_blocks(model, tokens, targets, state, config)
    output = model(tokens, state)
    loss = token_loss(output.logits, targets)
    return ChunkLoss(loss, training_loss(output, loss, config), output.state)


def token_loss(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Cross entropy in nats per token, or its sum; logits [T, B, V], targets [T, B]."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)


def training_loss(
    output: Output,
    loss: Tensor,
    config: TrainConfig,
    steps: int | None = None,
    last: Tensor | None = None,
) -> Tensor:
    """``loss`` with the penalties on the output and on its change over time (AWD-LSTM).

    Of a block of a chunk, ``steps`` are those of the chunk, and ``last`` [1, B, H] is the raw
    output before the block: then the penalties are the block's shares of the chunk's.
    """
    total, steps = loss, output.raw.shape[0] if steps is None else steps
    if config.activation_penalty:
        share = output.raw.shape[0] / steps
        total = total + config.activation_penalty * share * output.dropped.square().mean()
    if config.temporal_penalty and steps > 1:
        raw = output.raw if last is None else torch.cat([last, output.raw])
        size = output.raw[0].numel() * (steps - 1)
        change = (raw[1:] - raw[:-1]).square().sum() / size
        total = total + config.temporal_penalty * change
    return total


def _in_blocks(
    model: LanguageModel, tokens: Tensor, targets: Tensor, state: State, config: TrainConfig
) -> ChunkLoss:
    masks, steps = model.draw_masks(tokens.shape[1]), tokens.shape[0]

    def part(carried: State, tokens: Tensor, targets: Tensor) -> tuple[Tensor, State]:
        """Shares of the two losses; what is carried is the state and the last output."""
        assert isinstance(carried, tuple)
        state, last = carried
        output = model(tokens, state, masks)
        assert last is None or isinstance(last, Tensor)
        loss = token_loss(output.logits, targets) * (tokens.shape[0] / steps)
        total = training_loss(output, loss, config, steps, last)
        last = output.raw[-1:] if config.temporal_penalty and steps > 1 else None
        return torch.stack([loss, total]), (output.state, last)

    budget, generators = config.memory_budget, [model.generator]
    losses, carried = blockwise(
        part,
        (tokens, targets),
        (state, None),
        model.parameters(),
        memory_budget=budget,
        generators=generators,
    )
    assert isinstance(carried, tuple)
    return ChunkLoss(losses[0], losses[1], carried[0])
