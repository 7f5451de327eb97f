"""The loss of a model on a text that it is not trained on."""

from __future__ import annotations

import math

import torch

from rnndsl.training.batches import Streams
from rnndsl.training.block_runs import block_length
from rnndsl.training.losses import token_loss
from rnndsl.training.model import LanguageModel
from rnndsl.training.states import State
from rnndsl.training.vocabulary import Level


def evaluate(model: LanguageModel, streams: Streams, in_blocks: bool = False) -> float:
    """Mean loss in nats per token over all of ``streams``, the state carried along.

    ``in_blocks`` reads a chunk block by block, so that a long one takes little memory.
    """
    was_training = model.training
    model.eval()
    total = 0.0
    state: State = None
    steps = block_length(streams.bptt) if in_blocks else streams.bptt
    try:
        with torch.no_grad():
            for index in range(len(streams)):
                parts = [torch.split(stream, steps) for stream in streams.chunk(index)]
                for tokens, targets in zip(*parts, strict=True):
                    output = model(tokens, state)
                    state = output.state
                    total += token_loss(output.logits, targets).item() * targets.numel()
    finally:
        model.train(was_training)
    return total / streams.targets


def bits(loss: float) -> float:
    """Nats to bits."""
    return loss / math.log(2.0)


def perplexity(loss: float) -> float:
    """The exponential of a loss in nats; infinite rather than an overflow."""
    return math.exp(loss) if loss < 700 else math.inf


def format_loss(loss: float, level: Level) -> str:
    """A loss as people quote it: bits per character, or perplexity per word."""
    if level == "char":
        return f"{bits(loss):.3f} bits/char"
    return f"perplexity {perplexity(loss):.1f}"
