"""How good a cell is: trained by the product's own training, as large as the baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from rnndsl.diagnostics import RnndslError
from rnndsl.search.account import Account
from rnndsl.search.candidate import reason_of
from rnndsl.search.measures import MEASURES, Measured, measure
from rnndsl.search.record import Outcome
from rnndsl.search.rungs import Rungs

if TYPE_CHECKING:
    from rnndsl.cell import Cell
    from rnndsl.search.trainers import Trainer
    from rnndsl.training import Corpus

# Steps times tokens of a step times width from which on compiling by TVM takes less time than it
# spares: measured on two cores, at width 64 some 600 steps of 32 streams of 64 tokens.
_WORTH_A_KERNEL = 80_000_000

# report(step, score) says whether to stop a run that looks worse than the others.
Report = Callable[[int, float], bool]


class Objective(Protocol):
    """What the study's loop asks to judge a cell.

    One that measures several things at once also has ``units``, one for each.
    """

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that a score depends on besides the cell, as plain values."""

    @property
    def unit(self) -> str:
        """What a score is: `bits/char`.  Lower is better."""

    def baseline(self, report: Report) -> Outcome:
        """Train the baseline; RnndslError for what would stop any cell, such as too short data."""

    def evaluate(self, cell: Cell, report: Report) -> Outcome:
        """Train ``cell``; what it raises is recorded as the reason of the failure."""


def units_of(objective: Objective) -> tuple[str, ...]:
    """The unit of each thing that an objective measures."""
    return tuple(getattr(objective, "units", (objective.unit,)))


@dataclass(frozen=True)
class TrainSettings:
    """One short training run.  ``hidden`` is the width of the baseline; every other cell gets
    the width at which it has the baseline's number of parameters, unless ``parameters`` are
    an objective: then all have this width."""

    data: str | None = None
    task: str = "char"
    min_count: int = 1
    objectives: tuple[str, ...] = ("loss",)
    baseline: str = "lstm"
    hidden: int = 64
    steps: int = 400
    rungs: int = 4  # validations; a cell is compared with the others at each but the last
    factor: int = 2  # each rung has so many times the steps of the one before
    batch: int = 32
    bptt: int = 64
    lr: float = 4e-3
    eval_tokens: int = 20_000
    seed: int = 0
    threads: int | None = None
    backend: str = "auto"

    @property
    def chosen_backend(self) -> str:
        """What cells are trained with.  A kernel of TVM takes seconds to compile, and every
        cell needs its own, so that it pays only where a cell is trained for long."""
        work = self.steps * self.batch * self.bptt * self.hidden
        return "torch" if self.backend == "auto" and work < _WORTH_A_KERNEL else self.backend

    @property
    def places(self) -> Rungs:
        return Rungs(self.steps, self.rungs, self.factor)


class TrainObjective:
    """The objectives of ``settings``, measured in and after a fixed number of training steps.

    ``corpus`` is what a language model is trained on; None for the task that is named.
    """

    def __init__(self, settings: TrainSettings, corpus: Corpus | None = None) -> None:
        self._settings, self._corpus = settings, corpus

    @cached_property
    def trainer(self) -> Trainer:
        """What trains a cell: a language model on text, or on a task that is generated."""
        from rnndsl.search.trainers import make_trainer

        return make_trainer(self._settings, self._corpus)

    @property
    def settings(self) -> dict[str, Any]:
        values = asdict(self._settings)
        for name in ("threads", "backend"):
            del values[name]
        values["objectives"] = list(self._settings.objectives)
        # The text itself, wherever it lies.
        return values | {"data": self.trainer.data}

    @property
    def unit(self) -> str:
        return self.units[0]

    @property
    def units(self) -> tuple[str, ...]:
        """The unit of each objective."""
        return tuple(
            self.trainer.unit if name == "loss" else MEASURES[name]
            for name in self._settings.objectives
        )

    @property
    def budget(self) -> int:
        """The baseline's number of parameters."""
        return self.trainer.budget

    def baseline(self, report: Report) -> Outcome:
        return self._run(self._settings.baseline, self._settings.hidden, report)

    def evaluate(self, cell: Cell, report: Report) -> Outcome:
        try:
            width = self.width(cell)
        except RnndslError as error:
            return Outcome("rejected", reason=reason_of(error))
        return self._run(cell, width, report)

    def repeat(self, cell: Cell | None, seed: int) -> Outcome:
        """Train ``cell``, None for the baseline, from another seed; ``facts["test"]`` is its
        loss on the test data."""
        changed = replace(self._settings, seed=seed)
        again = TrainObjective(changed, self._corpus)
        again.__dict__["trainer"] = self.trainer.with_settings(changed)  # the data are the same
        if cell is None:
            return again._run(changed.baseline, changed.hidden, _never, test=True)
        return again._run(cell, self.width(cell), _never, test=True)

    def width(self, cell: Cell) -> int:
        """The width that ``cell`` is trained at; RnndslError when it allows none."""
        if "parameters" in self._settings.objectives:
            return self._settings.hidden
        return self.trainer.width(cell)

    def _run(self, cell: str | Cell, width: int, report: Report, test: bool = False) -> Outcome:
        from rnndsl.training.errors import TrainingDivergedError

        settings = self._settings
        account = Account()
        places = settings.places.places

        def on_step(step: int, loss: float | None) -> bool:
            account.step(step, validated=loss is not None)
            if loss is None or step not in places:
                return True
            stop = report(step, loss)
            return not stop or step == settings.steps

        facts: dict[str, Any] = {"width": width, "threads": settings.threads}
        try:
            trained = self.trainer.train(cell, width, on_step, test)
        except TrainingDivergedError as error:
            return Outcome("diverged", reason=reason_of(error), facts=facts | account.facts())
        facts |= account.facts() | {"parameters": trained.parameters}
        if trained.pruned:
            reason = f"given up after {account.steps} of {settings.steps} steps"
            return Outcome("pruned", reason=reason, facts=facts)
        found = Measured(
            loss=trained.score,
            parameters=trained.parameters,
            seconds_per_token=account.step_seconds / self.trainer.tokens_per_step,
        )
        with account.spent("latency"):
            scores = [
                self._measure(name, cell, width, found, facts) for name in settings.objectives
            ]
        facts |= account.facts() | ({"test": trained.test} if test else {})
        return Outcome("scored", scores[0], facts=facts, others=tuple(scores[1:]))

    def _measure(
        self, name: str, cell: str | Cell, width: int, found: Measured, facts: dict[str, Any]
    ) -> float:
        base = (self._settings.baseline, self._settings.hidden)
        return measure(name, (cell, width), base, self.trainer.input_size, found, facts)


def _never(step: int, score: float) -> bool:
    return False
