"""What one process of a search does: propose, judge, record, until the budget is used up."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from rnndsl.search.attachments import attach
from rnndsl.search.counting import Counter
from rnndsl.search.judge import failure, judge, with_times
from rnndsl.search.objective import Objective, Report
from rnndsl.search.orphans import queue_again, redo_orphans, signs_of_life
from rnndsl.search.reading import candidate_text
from rnndsl.search.record import (
    CURVE,
    OUTCOME,
    REDONE,
    STATES,
    TRAINED,
    Outcome,
    TrialRecord,
    choices_of,
    read_record,
    read_records,
)
from rnndsl.search.rungs import should_stop
from rnndsl.search.samplers import SAMPLERS, Proposal, SamplerRecord, StudySearcher
from rnndsl.search.space import Space
from rnndsl.search.storage import Storage
from rnndsl.search.watch import Listener
from rnndsl.search.worker import begin_trial

# So many proposals in a row without a new cell, and the search ends; after a few, the random
# searcher takes over, since one that learns may propose its favourite for ever.
PATIENCE = 500
FAVOURITES = 10


@dataclass(frozen=True, slots=True)
class Work:
    """What is searched, how and for how long.  ``trials`` counts the trained cells of the
    study, whoever trained them; ``ends_at`` is a time as of ``time.time()``."""

    space: Space
    sampler: SamplerRecord
    folder: Path
    seed: int
    trials: int | None
    ends_at: float | None

    @property
    def fixed(self) -> dict[str, object]:
        """The settings of a study that every process at work on it must agree on."""
        return {"space": self.space.text, "seed": self.seed}


class Loop:
    """One process at work on a study, alone or beside others."""

    def __init__(
        self, work: Work, objective: Objective, storage: Storage, listener: Listener
    ) -> None:
        self.work, self.objective = work, objective
        self.storage, self.study, self.listener = storage, storage.cells, listener
        self.searcher = self._searcher(work.sampler)
        # Nothing is left open in a plain cell: only a searcher that edits goes on from it.
        self.random = self._searcher(SAMPLERS["random"]) if work.space.roots else self.searcher
        self.cells = Counter(work.space).total
        self.without_news = 0  # proposals in a row that were no new cell
        self._ended_last = time.perf_counter()

    def _searcher(self, record: SamplerRecord) -> StudySearcher:
        return StudySearcher(record, self.work.space, self.study, self.work.seed)

    def run(self) -> str:
        """Work until there is no more to do: why it ended, ``trials``, ``time`` or
        ``exhausted``.  Ctrl-C raises KeyboardInterrupt, with everything stored."""
        self._train_baseline()
        self._ended_last = time.perf_counter()
        while True:
            redo_orphans(self.study)
            ended = self._ended(self.study.get_trials(deepcopy=False))
            if ended:
                return ended
            stuck = self.without_news >= FAVOURITES
            record = self._trial(self.random if stuck else self.searcher)
            if record is None:
                return "exhausted"
            self.without_news = 0 if record.kind in TRAINED else self.without_news + 1
            self.listener.finished(record.number)

    def _ended(self, trials: list[FrozenTrial]) -> str:
        records = read_records(trials)
        done = sum(record.kind in TRAINED for record in records)
        running = [trial for trial in trials if trial.state is TrialState.RUNNING]
        if self.work.trials is not None and done + len(running) >= self.work.trials:
            return "trials"
        if self.work.ends_at is not None and time.time() >= self.work.ends_at:
            return "time"
        if self.without_news >= PATIENCE:
            return "exhausted"
        seen = {_key(r.choices.items()) for r in records if r.kind not in REDONE}
        seen |= {_key(choices_of(trial).items()) for trial in running}
        open_ended = self.searcher.open_ended
        return "exhausted" if len(seen) >= self.cells and not open_ended else ""

    # ------------------------------------------------------------------------- one trial

    def _train_baseline(self) -> None:
        """Train the baseline unless that is done, or under way elsewhere."""
        study = self.storage.baseline
        redo_orphans(study)
        trials = study.get_trials(deepcopy=False)
        if known_baseline(trials) is not None:
            return
        if any(trial.state is TrialState.RUNNING for trial in trials):
            return
        trial = begin_trial(study, self.work.seed)
        try:
            with signs_of_life(trial):
                outcome = self.objective.baseline(self._report(trial, None))
        except KeyboardInterrupt:
            finish(study, trial, Outcome("interrupted", reason="Ctrl-C"))
            raise
        except Exception as error:
            # What the baseline cannot be trained on, no cell can.
            finish(study, trial, failure(error))
            raise
        finish(study, trial, outcome)
        self.listener.finished(None)

    def _trial(self, searcher: StudySearcher) -> TrialRecord | None:
        """Propose, judge and record one cell; None when there is nothing to propose."""
        began = time.perf_counter()
        proposal: Proposal | None = searcher.ask()
        if proposal is None:
            return None
        trial = proposal.trial
        asked = time.perf_counter()
        times = {"idle": round(began - self._ended_last, 4), "ask": round(asked - began, 4)}
        text = candidate_text(self.work.space, proposal.cell)
        report = self._report(trial, trial.number)
        state = None
        try:
            with signs_of_life(trial):
                verdict = judge(
                    self.study,
                    trial,
                    text,
                    proposal.choices,
                    self.objective,
                    report,
                    self.work.seed,
                )
            outcome, state = verdict.outcome, verdict.state
        except KeyboardInterrupt:
            self._interrupt(trial)
            raise
        except Exception as error:  # noqa: BLE001 - one bad cell must not end the search
            outcome = failure(error)
        judged = time.perf_counter()
        try:
            if outcome.kind in TRAINED:
                with suppress(Exception):  # a drawing that fails is no reason to lose a score
                    attach(self.study, trial, text, outcome, self.work.folder)
                times["attach"] = round(time.perf_counter() - judged, 4)
            self._conclude(searcher, proposal, with_times(outcome, times), state)
        except KeyboardInterrupt:
            # What was judged is stored before we go; it may be already.
            with suppress(ValueError, optuna.exceptions.UpdateFinishedTrialError):
                self._conclude(searcher, proposal, with_times(outcome, times), state)
            raise
        self._ended_last = time.perf_counter()
        return record_of(self.study, trial.number)

    def _conclude(
        self,
        searcher: StudySearcher,
        proposal: Proposal,
        outcome: Outcome,
        state: TrialState | None,
    ) -> None:
        store(proposal.trial, outcome)
        searcher.tell(proposal, state or STATES[outcome.kind], outcome.value)

    def _interrupt(self, trial: optuna.Trial) -> None:
        queue_again(self.study, trial)
        finish(self.study, trial, Outcome("interrupted", reason="Ctrl-C"))

    def _report(self, trial: optuna.Trial, number: int | None) -> Report:
        objectives = len(self.study.directions)
        curve: dict[int, float] = {}

        def report(step: int, score: float) -> bool:
            if objectives == 1:
                trial.report(score, step)
            else:  # Optuna takes no curves in a study of several objectives
                curve[step] = score
                trial.set_user_attr(CURVE, curve)
            self.listener.rung(number, step, score)
            return number is not None and should_stop(trial, objectives)

        return report


def known_baseline(trials: Iterable[FrozenTrial]) -> TrialRecord | None:
    """How the baseline did; None while it has not been trained."""
    return next((r for r in read_records(trials) if r.kind in ("scored", "diverged")), None)


def store(trial: optuna.Trial, outcome: Outcome) -> None:
    """Everything about the outcome but the score, which goes with the trial's state."""
    values = {"kind": outcome.kind, "reason": outcome.reason, "facts": dict(outcome.facts)}
    trial.set_user_attr(OUTCOME, values)


def finish(study: optuna.Study, trial: optuna.Trial, outcome: Outcome) -> TrialRecord:
    """Store an outcome and end its trial."""
    store(trial, outcome)
    study.tell(trial, outcome.value, state=STATES[outcome.kind])
    return record_of(study, trial.number)


def record_of(study: optuna.Study, number: int) -> TrialRecord:
    """The record of a trial that is finished."""
    trial = study.get_trials(deepcopy=False)[number]
    assert trial.number == number
    record = read_record(trial)
    assert record is not None, "it was finished just now"
    return record


def _key(choices: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(choices))
