"""Optimisers by name: AdamW, and SGD with momentum."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rnndsl.training.config import TrainConfig


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser of ``config`` over the trainable parameters of ``model``.

    Weight decay holds for matrices only: shrinking biases, gains and other vectors towards 0
    would move a cell away from its initial gates.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.lr)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Let the next step use ``rate``."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip_gradients(model: nn.Module, limit: float | None) -> Tensor:
    """Scale the gradients so that their norm is at most ``limit``; the norm before that.

    The norm is measured in any case: a run whose gradients are not finite has diverged.
    """
    parameters = [p for p in model.parameters() if p.grad is not None]
    bound = float("inf") if limit is None else limit
    return nn.utils.clip_grad_norm_(parameters, bound)
