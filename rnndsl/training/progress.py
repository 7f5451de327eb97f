"""What a run tells while it goes and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from rnndsl.training.config import TrainConfig
from rnndsl.training.evaluate import bits, perplexity
from rnndsl.training.model import LanguageModel
from rnndsl.training.vocabulary import Level

# finished: the planned steps are done; early: no improvement; time: the seconds are used up;
# pruned: the callback said so; interrupted: Ctrl-C.
StopReason = Literal["finished", "early", "time", "pruned", "interrupted"]


class StopTraining(Exception):
    """Raised by an ``on_progress`` callback to end a run; returning False does the same."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a run after a step.  Losses are nats per token.

    ``valid_loss`` is set when this step ended with a validation.  ``eta`` is in seconds, None
    while unknown.
    """

    step: int
    total_steps: int | None
    epoch: int  # the epoch of this step, from 1
    epochs: int | None
    level: Level
    loss: float  # of this step
    train_loss: float  # mean since the last validation
    valid_loss: float | None
    best_loss: float
    learning_rate: float
    gradient_norm: float
    tokens: int  # seen since the beginning of the run
    tokens_per_second: float
    seconds: float
    eta: float | None


OnProgress: TypeAlias = Callable[[Progress], bool | None]


@dataclass(frozen=True, slots=True)
class Validation:
    """One validation; losses are nats per token, ``train_loss`` the mean since the last one."""

    step: int
    epoch: int
    train_loss: float
    valid_loss: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How a run ended.  Losses are nats per token; None when never validated."""

    stopped: StopReason
    step: int
    valid_loss: float | None
    best_loss: float | None
    best_step: int
    parameters: int
    tokens: int
    seconds: float
    history: tuple[Validation, ...]
    warnings: tuple[str, ...]
    config: TrainConfig = field(repr=False)
    model: LanguageModel = field(repr=False, compare=False)  # as after the last step

    @property
    def bits_per_token(self) -> float | None:
        """The best validation loss in bits: bits per character at character level."""
        return None if self.best_loss is None else bits(self.best_loss)

    @property
    def perplexity(self) -> float | None:
        """The exponential of the best validation loss."""
        return None if self.best_loss is None else perplexity(self.best_loss)
