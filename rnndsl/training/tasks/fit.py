"""Training a cell on a generated task: fresh examples at every step, fixed ones to validate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnndsl.cell import Cell
from rnndsl.training.cells import lower_for_text, resolve_cell
from rnndsl.training.config import TrainConfig
from rnndsl.training.errors import TrainingDiverged, TrainingDivergedError
from rnndsl.training.hardware import thread_count
from rnndsl.training.layers import LayerFactory, cell_layers, output_size
from rnndsl.training.optimizers import build_optimizer, clip_gradients, set_learning_rate
from rnndsl.training.schedules import Plateau, learning_rate
from rnndsl.training.tasks.table import find_task
from rnndsl.training.tasks.task import Examples, Task

# Examples that are fixed, whatever the seed of a run.
_VALID, _VALID_SEED = 512, 2**31
_TEST, _TEST_SEED = 2048, 2**31 + 1

# on_step(step, validation loss or None) says whether to go on.
OnStep = Callable[[int, float | None], bool]


@dataclass(frozen=True)
class TaskConfig:
    """One run on a task; equal configurations give equal results on one machine."""

    task: str
    cell: str | Cell = "lstm"
    hidden: int = 64
    steps: int = 400
    batch: int = 32
    lr: float = 4e-3
    eval_steps: tuple[int, ...] = ()  # besides the last step
    clip: float = 1.0
    seed: int = 0
    threads: int | None = None
    backend: str = "auto"

    @property
    def training(self) -> TrainConfig:
        """The same as a configuration of the text models, whose parts are used here."""
        return TrainConfig(
            cell=self.cell,
            hidden=self.hidden,
            steps=self.steps,
            epochs=None,
            lr=self.lr,
            clip=self.clip,
            seed=self.seed,
            backend=self.backend,
        )


class TaskModel(nn.Module):
    """One recurrent layer and a decoder."""

    def __init__(self, task: Task, hidden: int, make_layer: LayerFactory) -> None:
        super().__init__()
        self.layer = make_layer(task.inputs, hidden)
        self.decoder = nn.Linear(output_size(self.layer, hidden), task.outputs)

    def forward(self, inputs: Tensor, steps: int) -> Tensor:
        """Answers [steps, B, K] at the last ``steps`` of inputs [T, B, D]."""
        y, _ = self.layer(inputs)
        answers: Tensor = self.decoder(y[-steps:])
        return answers


@dataclass(frozen=True)
class TaskResult:
    """How a run ended.  Losses are in the unit of the task."""

    stopped: bool  # by the callback
    best: float
    history: tuple[tuple[int, float], ...]  # steps and validation losses
    parameters: int
    task: Task = field(repr=False)
    model: TaskModel = field(repr=False, compare=False)

    def test(self) -> float:
        """The loss on examples that serve nothing else, of the model after the last step."""
        return evaluate(self.model, self.task, _TEST_SEED, _TEST)


def train_task(config: TaskConfig, on_step: OnStep | None = None) -> TaskResult:
    """Train a cell on a task; ``on_step`` ends the run by returning False.

    RnndslError for mistakes of the user; TrainingDivergedError when it diverges.  Threads and
    the global random state are left as they were.
    """
    task, training = find_task(config.task), config.training
    cell = resolve_cell(config.cell)
    lower_for_text(cell, {})
    with thread_count(config.threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = TaskModel(task, config.hidden, cell_layers(cell, training))
        optimizer = build_optimizer(model, training)
        history: list[tuple[int, float]] = []
        stopped = False
        for step in range(1, config.steps + 1):
            rate = learning_rate(training, step - 1, config.steps, config.steps, Plateau())
            set_learning_rate(optimizer, rate)
            _train_step(model, task, optimizer, config, step)
            loss = None
            if step in config.eval_steps or step == config.steps:
                loss = evaluate(model, task, _VALID_SEED, _VALID)
                _check("validation loss", loss, step, config)
                history.append((step, loss))
            if on_step is not None and not on_step(step, loss):
                stopped = True
                break
        parameters = sum(p.numel() for p in model.parameters())
        best = min(loss for _, loss in history) if history else math.inf
        return TaskResult(stopped, best, tuple(history), parameters, task, model)


def evaluate(model: TaskModel, task: Task, seed: int, count: int) -> float:
    """The mean loss on ``count`` examples of a seed."""
    examples = task.draw(np.random.default_rng(seed), count)
    model.eval()
    with torch.no_grad():
        loss = task_loss(model, task, examples).item()
    model.train()
    return loss


def task_loss(model: TaskModel, task: Task, examples: Examples) -> Tensor:
    """The mean loss in the unit of the task."""
    targets = torch.from_numpy(examples.targets)
    answers = model(torch.from_numpy(examples.inputs), len(targets))
    if task.kind == "classes":
        nats = F.cross_entropy(answers.flatten(0, 1), targets.flatten())
        return nats / math.log(2.0)
    return F.mse_loss(answers, targets) * task.scale


def _train_step(
    model: TaskModel,
    task: Task,
    optimizer: torch.optim.Optimizer,
    config: TaskConfig,
    step: int,
) -> None:
    generator = np.random.default_rng((config.seed, step))
    optimizer.zero_grad(set_to_none=True)
    loss = task_loss(model, task, task.draw(generator, config.batch))
    _check("loss", loss.item(), step, config)
    loss.backward()  # type: ignore[no-untyped-call]
    _check("gradient norm", clip_gradients(model, config.clip).item(), step, config)
    optimizer.step()


def _check(what: str, value: float, step: int, config: TaskConfig) -> None:
    if not math.isfinite(value):
        lr = f"{config.lr:g}" if step > 1 else ""
        mistake = TrainingDiverged(what=what, value=str(value), step=step, place="", lr=lr)
        raise TrainingDivergedError(mistake)
