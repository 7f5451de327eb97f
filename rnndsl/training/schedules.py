"""Learning rate schedules as functions of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rnndsl.training.config import TrainConfig


@dataclass(slots=True)
class Plateau:
    """What the plateau schedule remembers between validations."""

    scale: float = 1.0
    best: float = math.inf
    waited: int = 0

    def observe(self, loss: float, config: TrainConfig) -> None:
        """Take a validation loss; decay when the last ``plateau_patience`` brought no better."""
        if loss < self.best:
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited >= config.plateau_patience:
            self.scale *= config.decay
            self.waited = 0


def learning_rate(
    config: TrainConfig, step: int, total_steps: int | None, epoch_steps: int, plateau: Plateau
) -> float:
    """The learning rate of step ``step`` (counted from 0).

    ``total_steps`` is the length of the run, None where only time bounds it: the cosine then
    stays at its start.
    """
    rate = config.lr * min(1.0, (step + 1) / config.warmup) if config.warmup else config.lr
    if config.schedule == "cosine" and total_steps is not None:
        length = max(1, total_steps - config.warmup)
        done = min(1.0, max(0, step - config.warmup) / length)
        low = config.final_lr
        return rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * done)))
    if config.schedule == "step":
        return rate * config.decay ** (step // (config.decay_every or epoch_steps))
    if config.schedule == "plateau":
        return rate * plateau.scale
    return rate


def planned_steps(config: TrainConfig, epoch_steps: int) -> int | None:
    """How many steps the run takes unless it stops early; None where only time bounds it."""
    bounds = [] if config.epochs is None else [config.epochs * epoch_steps]
    if config.steps is not None:
        bounds.append(config.steps)
    return min(bounds) if bounds else None
