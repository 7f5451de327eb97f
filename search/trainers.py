"""Who trains a cell: the language model on text, or the product's model of a generated task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rnndsl.cell import Cell
    from rnndsl.search.objective import TrainSettings
    from rnndsl.training import Corpus, Progress, TrainConfig, TrainResult
    from rnndsl.training.tasks import TaskConfig

# on_step(step, validation loss or None) says whether to go on.
OnStep = Callable[[int, float | None], bool]

TEXT_TASKS = ("char", "word")


@dataclass(frozen=True, slots=True)
class Trained:
    """How a run ended; ``score`` is the best validation loss, in the trainer's unit."""

    score: float
    parameters: int
    pruned: bool
    test: float | None = None  # on data that nothing was chosen by, where that was asked for


class Trainer(Protocol):
    """What an objective needs to train cells of one size on one thing."""

    @property
    def unit(self) -> str: ...
    @property
    def data(self) -> str:
        """What it trains on, so that other data are told apart."""

    @property
    def title(self) -> str:
        """What it trains on, to print."""

    @property
    def budget(self) -> int:
        """Parameters of the baseline."""

    @property
    def input_size(self) -> int:
        """The size D of the cell's input."""

    @property
    def tokens_per_step(self) -> int: ...
    def width(self, cell: Cell) -> int:
        """The width at which ``cell`` is closest to the budget; RnndslError if there is none."""

    def train(self, cell: str | Cell, width: int, on_step: OnStep, test: bool = False) -> Trained:
        """Train, and with ``test`` test; RnndslError, a TrainingDivergedError among them."""

    def with_settings(self, settings: TrainSettings) -> Trainer:
        """The same data with other settings."""


def make_trainer(settings: TrainSettings, corpus: Corpus | None = None) -> Trainer:
    """The trainer of a task; RnndslError for an unknown task or bad data."""
    if settings.task in TEXT_TASKS:
        from rnndsl.training import load_corpus

        if corpus is None:
            level = settings.task
            corpus = load_corpus(settings.data, level, settings.min_count)  # type: ignore[arg-type]
        return TextTrainer(settings, corpus)
    return TaskTrainer(settings)


class TextTrainer:
    """A language model: embedding, one layer of the cell, decoder."""

    def __init__(self, settings: TrainSettings, corpus: Corpus) -> None:
        self._settings, self._corpus = settings, corpus

    @property
    def unit(self) -> str:
        return "bits/char" if self._settings.task == "char" else "bits/word"

    @property
    def data(self) -> str:
        return f"{self._corpus.name} {self._corpus.fingerprint[:12]}"

    @property
    def title(self) -> str:
        return self._corpus.name

    @property
    def input_size(self) -> int:
        return self._settings.hidden  # the embedding, alike for all: widths differ by the cell

    @property
    def tokens_per_step(self) -> int:
        return self._settings.batch * self._settings.bptt

    @cached_property
    def budget(self) -> int:
        from rnndsl.training import parameter_count

        return parameter_count(
            self._settings.baseline,
            self._settings.hidden,
            vocabulary=len(self._corpus.vocabulary),
            embedding=self.input_size,
        )

    def width(self, cell: Cell) -> int:
        from rnndsl.training import solve_width

        return solve_width(
            cell,
            self.budget,
            vocabulary=len(self._corpus.vocabulary),
            embedding=self.input_size,
        )

    def train(self, cell: str | Cell, width: int, on_step: OnStep, test: bool = False) -> Trained:
        from rnndsl.training import train
        from rnndsl.training.evaluate import bits

        def on_progress(progress: Progress) -> bool:
            loss = progress.valid_loss
            return on_step(progress.step, None if loss is None else bits(loss))

        result = train(self._config(cell, width), on_progress, corpus=self._corpus)
        score = float("inf") if result.bits_per_token is None else result.bits_per_token
        tested = self._test(result) if test else None
        return Trained(score, result.parameters, result.stopped == "pruned", tested)

    def _test(self, result: TrainResult) -> float:
        """Of the model as it is after the last step, in as many streams as it was trained."""
        from rnndsl.training.batches import evaluation_streams
        from rnndsl.training.evaluate import bits, evaluate

        s, corpus = self._settings, self._corpus
        streams = evaluation_streams(corpus.test, s.batch, s.bptt, corpus.name, "test", None)
        return bits(evaluate(result.model, streams))

    def with_settings(self, settings: TrainSettings) -> TextTrainer:
        return TextTrainer(settings, self._corpus)

    def _config(self, cell: str | Cell, width: int) -> TrainConfig:
        from rnndsl.training import TrainConfig

        s = self._settings
        return TrainConfig(
            cell=cell,
            level=s.task,  # type: ignore[arg-type]
            hidden=width,
            embedding=self.input_size,
            steps=s.steps,
            epochs=None,
            batch=s.batch,
            bptt=s.bptt,
            lr=s.lr,
            eval_steps=s.places.places,
            eval_tokens=s.eval_tokens,
            seed=s.seed,
            threads=s.threads,
            backend=s.chosen_backend,
        )


class TaskTrainer:
    """A generated task: one layer of the cell and a decoder.  What is matched is the number
    of parameters of the cell alone, since inputs and outputs are tiny."""

    def __init__(self, settings: TrainSettings) -> None:
        from rnndsl.training.tasks import find_task

        self._settings, self._task = settings, find_task(settings.task)

    @property
    def unit(self) -> str:
        return self._task.unit

    @property
    def data(self) -> str:
        return f"{self._task.name}, version {self._task.version}"

    @property
    def title(self) -> str:
        return f"{self._task.name} (guessing scores {self._task.guess:.3f} {self._task.unit})"

    @property
    def input_size(self) -> int:
        return self._task.inputs

    @property
    def tokens_per_step(self) -> int:
        return self._settings.batch * self._task.length

    @cached_property
    def budget(self) -> int:
        from rnndsl.training import parameter_count

        return parameter_count(
            self._settings.baseline, self._settings.hidden, embedding=self.input_size
        )

    def width(self, cell: Cell) -> int:
        from rnndsl.training import solve_width

        return solve_width(cell, self.budget, embedding=self.input_size)

    def train(self, cell: str | Cell, width: int, on_step: OnStep, test: bool = False) -> Trained:
        from rnndsl.training.tasks import train_task

        result = train_task(self._config(cell, width), on_step)
        tested = result.test() if test else None
        return Trained(result.best, result.parameters, result.stopped, tested)

    def with_settings(self, settings: TrainSettings) -> TaskTrainer:
        return TaskTrainer(settings)

    def _config(self, cell: str | Cell, width: int) -> TaskConfig:
        from rnndsl.training.tasks import TaskConfig

        s = self._settings
        return TaskConfig(
            task=s.task,
            cell=cell,
            hidden=width,
            steps=s.steps,
            batch=s.batch,
            lr=s.lr,
            eval_steps=s.places.places,
            seed=s.seed,
            threads=s.threads,
            backend=s.chosen_backend,
        )
