"""How good a cell is: trained by the product's own training, as large as the baseline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from rnndsl.diagnostics import RnndslError
from rnndsl.search.candidate import reason_of
from rnndsl.search.record import Outcome

if TYPE_CHECKING:
    from rnndsl.cell import Cell
    from rnndsl.training import Corpus, Progress, TrainConfig

# report(rung, score) says whether to stop a run that looks worse than the others.
Report = Callable[[int, float], bool]


class Objective(Protocol):
    """What the study's loop asks to judge a cell."""

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


@dataclass(frozen=True)
class TrainSettings:
    """One short training run.  ``hidden`` is the width of the baseline; every other cell gets
    the width at which it has the baseline's number of parameters."""

    data: str | None = None
    level: str = "char"
    baseline: str = "lstm"
    hidden: int = 64
    steps: int = 400
    rungs: int = 4  # validations; a cell is compared with the others at each but the last
    batch: int = 32
    bptt: int = 64
    lr: float = 4e-3
    eval_tokens: int = 20_000
    seed: int = 0
    threads: int | None = None


class TrainObjective:
    """Validation loss after a fixed number of steps, in bits per token."""

    def __init__(self, settings: TrainSettings, corpus: Corpus) -> None:
        self._settings, self._corpus = settings, corpus

    @property
    def settings(self) -> dict[str, Any]:
        values = asdict(self._settings)
        del values["threads"]
        # The text itself, wherever it lies.
        return values | {"data": f"{self._corpus.name} {self._corpus.fingerprint[:12]}"}

    @property
    def unit(self) -> str:
        return "bits/char" if self._settings.level == "char" else "bits/word"

    @cached_property
    def budget(self) -> int:
        """The baseline's number of parameters."""
        from rnndsl.training import parameter_count

        config = self._config(self._settings.baseline, self._settings.hidden)
        return parameter_count(
            config.cell,
            config.hidden,
            vocabulary=len(self._corpus.vocabulary),
            embedding=config.embedding_size,
        )

    def baseline(self, report: Report) -> Outcome:
        return self._run(self._settings.baseline, self._settings.hidden, report)

    def evaluate(self, cell: Cell, report: Report) -> Outcome:
        from rnndsl.training import solve_width

        try:
            config = self._config(cell, 1)
            width = solve_width(
                cell,
                self.budget,
                vocabulary=len(self._corpus.vocabulary),
                embedding=config.embedding_size,
            )
        except RnndslError as error:
            return Outcome("rejected", reason=reason_of(error))
        return self._run(cell, width, report)

    def _config(self, cell: str | Cell, width: int) -> TrainConfig:
        from rnndsl.training import TrainConfig

        s = self._settings
        return TrainConfig(
            cell=cell,
            level=s.level,  # type: ignore[arg-type]
            hidden=width,
            embedding=s.hidden,  # alike for all, so that widths differ by the cell alone
            steps=s.steps,
            epochs=None,
            batch=s.batch,
            bptt=s.bptt,
            lr=s.lr,
            eval_every=max(1, s.steps // s.rungs),
            eval_tokens=s.eval_tokens,
            seed=s.seed,
            threads=s.threads,
        )

    def _run(self, cell: str | Cell, width: int, report: Report) -> Outcome:
        from rnndsl.training import TrainingDivergedError, train
        from rnndsl.training.evaluate import bits

        config = self._config(cell, width)
        started = time.perf_counter()
        steps = 0

        def on_progress(progress: Progress) -> bool:
            nonlocal steps
            steps = progress.step
            if progress.valid_loss is None:
                return True
            rung = progress.step // (config.eval_every or 1)
            stop = report(rung, bits(progress.valid_loss))
            return not stop or progress.step == config.steps

        facts = {"width": width}
        try:
            result = train(config, on_progress, corpus=self._corpus)
        except TrainingDivergedError as error:
            facts |= _facts(steps, started)
            return Outcome("diverged", reason=reason_of(error), facts=facts)
        facts |= _facts(steps, started) | {"parameters": result.parameters}
        if result.stopped == "pruned":
            reason = f"worse than the median after {steps} steps"
            return Outcome("pruned", reason=reason, facts=facts)
        return Outcome("scored", result.bits_per_token, facts=facts)


def _facts(steps: int, started: float) -> dict[str, Any]:
    return {"steps": steps, "seconds": round(time.perf_counter() - started, 2)}
