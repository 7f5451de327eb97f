"""One run in memory: the model, its optimiser, where it stands, and one step of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypedDict

import torch

from rnndsl.training.batches import Streams, evaluation_streams, training_streams
from rnndsl.training.config import TrainConfig
from rnndsl.training.corpus import Corpus
from rnndsl.training.divergence import diverged
from rnndsl.training.evaluate import evaluate
from rnndsl.training.layers import LayerFactory
from rnndsl.training.losses import chunk_loss
from rnndsl.training.model import LanguageModel, build_model
from rnndsl.training.optimizers import build_optimizer, clip_gradients, set_learning_rate
from rnndsl.training.progress import Validation
from rnndsl.training.schedules import Plateau, learning_rate, planned_steps
from rnndsl.training.states import State, detach_state


@dataclass(slots=True)
class Position:
    """Where a run stands; the step alone says which epoch and which chunk come next."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0  # over the steps since the last validation
    loss_steps: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    waited: int = 0  # validations since the best one

    @property
    def train_loss(self) -> float:
        return self.loss_sum / self.loss_steps if self.loss_steps else math.nan


class StepResult(TypedDict):
    """What one step measured."""

    loss: float
    learning_rate: float
    gradient_norm: float


@dataclass(slots=True)
class Run:
    """Everything that changes while training, and what it is trained on."""

    config: TrainConfig
    corpus: Corpus
    train: Streams
    valid: Streams
    model: LanguageModel
    optimizer: torch.optim.Optimizer
    generator: torch.Generator  # of the dropout masks
    plateau: Plateau = field(default_factory=Plateau)
    position: Position = field(default_factory=Position)
    history: list[Validation] = field(default_factory=list)
    state: State = None

    @property
    def epoch_steps(self) -> int:
        return len(self.train)

    @property
    def total_steps(self) -> int | None:
        return planned_steps(self.config, self.epoch_steps)

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 1."""
        return max(0, self.position.step - 1) // self.epoch_steps + 1


def start_run(config: TrainConfig, corpus: Corpus, make_layer: LayerFactory) -> Run:
    """A run before its first step; RnndslError when the data are too short for it."""
    name, device = corpus.name, config.device
    train = training_streams(corpus.train, config.batch, config.bptt, name, device)
    valid = evaluation_streams(
        corpus.valid, config.batch, config.bptt, name, "valid", config.eval_tokens, device
    )
    generator = torch.Generator().manual_seed(config.seed)
    model = build_model(config, len(corpus.vocabulary), make_layer, generator)
    return Run(config, corpus, train, valid, model, build_optimizer(model, config), generator)


def train_step(run: Run) -> StepResult:
    """One chunk: forward, backward, clip, update.  RnndslError (E0708) when it diverges.

    The update is made only when loss and gradients are finite, so that the parameters of a run
    that diverges stay those of the last good step.
    """
    config, position = run.config, run.position
    chunk = position.step % run.epoch_steps
    if chunk == 0:
        run.state = None  # the text begins anew
    tokens, targets = run.train.chunk(chunk)
    before = run.state
    rate = learning_rate(config, position.step, run.total_steps, run.epoch_steps, run.plateau)
    set_learning_rate(run.optimizer, rate)

    run.model.train()
    run.optimizer.zero_grad(set_to_none=True)
    found = chunk_loss(run.model, tokens, targets, before, config)
    value = found.loss.item()
    if not math.isfinite(value):
        raise diverged(run.model, tokens, before, position.step + 1, "loss", value, config)
    found.total.backward()  # type: ignore[no-untyped-call]
    norm = clip_gradients(run.model, config.clip).item()
    if not math.isfinite(norm):
        raise diverged(run.model, tokens, before, position.step + 1, "gradient norm", norm, config)
    run.optimizer.step()

    run.state = detach_state(found.state)
    position.step += 1
    position.tokens += targets.numel()
    position.loss_sum += value
    position.loss_steps += 1
    return {"loss": value, "learning_rate": rate, "gradient_norm": norm}


def validate(run: Run, rate: float, last: bool = False) -> Validation:
    """Measure the validation loss and take it into the best, the schedule and the history.

    ``last``: the validation that ends a run, which the schedule does not ask for; a longer run
    would not have made it here, so it leaves schedule and patience alone.
    """
    position = run.position
    loss = evaluate(run.model, run.valid, run.config.memory_budget is not None)
    if not math.isfinite(loss):
        tokens, _ = run.valid.chunk(0)
        raise diverged(run.model, tokens, None, position.step, "validation loss", loss, run.config)
    result = Validation(position.step, run.epoch, position.train_loss, loss, rate, position.seconds)
    run.history.append(result)
    improved = loss < position.best_loss
    if improved:
        position.best_loss, position.best_step = loss, position.step
    if not last:
        position.waited = 0 if improved else position.waited + 1
        run.plateau.observe(loss, run.config)
        position.loss_sum, position.loss_steps = 0.0, 0
    return result
