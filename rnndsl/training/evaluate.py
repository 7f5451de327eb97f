"""The loss of a model on a text that it is not trained on."""

from __future__ import annotations

import math

import torch

from rnndsl.training.batches import Streams
from rnndsl.training.model import LanguageModel, token_loss
from rnndsl.training.states import State
from rnndsl.training.vocabulary import Level


def evaluate(model: LanguageModel, streams: Streams) -> float:
    """Mean loss in nats per token over all of ``streams``, the state carried along."""
    was_training = model.training
    model.eval()
    total = 0.0
    state: State = None
    try:
        with torch.no_grad():
            for index in range(len(streams)):
                tokens, targets = streams.chunk(index)
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
