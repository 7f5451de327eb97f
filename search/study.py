"""The search itself: propose, judge, record, until the budget is used up."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import optuna
from optuna.trial import TrialState

from rnndsl.diagnostics import RnndslError
from rnndsl.search.candidate import read_candidate, reason_of
from rnndsl.search.counting import Counter
from rnndsl.search.duplicates import as_before, find_same_cell, find_same_text
from rnndsl.search.errors import NothingToTrain
from rnndsl.search.objective import Objective, Report
from rnndsl.search.reading import candidate_text
from rnndsl.search.record import (
    CELL,
    OUTCOME,
    REDONE,
    STATES,
    TRAINED,
    Outcome,
    TrialRecord,
    read_record,
    read_records,
)
from rnndsl.search.results import Leaderboard, count_kinds, rank, write_results
from rnndsl.search.samplers import SAMPLERS, Proposal, SamplerRecord, Searcher, StudySearcher
from rnndsl.search.screen import find_flaw
from rnndsl.search.space import Space
from rnndsl.search.storage import Storage, open_storage, queue_again, redo_orphans
from rnndsl.search.versions import installed_versions
from rnndsl.search.worker import begin_trial

# So many proposals in a row without a new cell, and the search ends; after a few, the random
# searcher takes over, since one that learns may propose its favourite for ever.
PATIENCE = 500
FAVOURITES = 10


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What is searched, how and for how long.  ``trials`` counts trained cells, those of
    earlier calls included; ``seconds`` is for this call."""

    space: Space
    sampler: SamplerRecord
    folder: Path
    seed: int = 0
    trials: int | None = 50
    seconds: float | None = None
    command: str = ""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """How the search ended: ``trials``, ``time``, ``exhausted`` or ``interrupted``."""

    ended: str
    board: Leaderboard


class Watcher(Protocol):
    """What a display is told."""

    def resumed(self, done: int, orphans: int) -> None: ...
    def baseline(self, record: TrialRecord) -> None: ...
    def rung(self, trial: int | None, rung: int, score: float) -> None: ...
    def finished(self, record: TrialRecord, board: Leaderboard) -> None: ...


def run_search(settings: SearchSettings, objective: Objective, watcher: Watcher) -> SearchResult:
    """Search until the budget is used up, the space is exhausted, or Ctrl-C.

    The same call on the same folder goes on where the last one ended, however it ended.
    RnndslError when the folder holds another study, or no cell of the space can be trained.
    """
    fixed = {"space": settings.space.text, "seed": settings.seed, **objective.settings}
    storage = open_storage(settings.folder, fixed)
    return _Search(settings, objective, watcher, storage).run()


class _Search:
    """One call of ``run_search``."""

    def __init__(
        self, settings: SearchSettings, objective: Objective, watcher: Watcher, storage: Storage
    ) -> None:
        self.settings, self.objective, self.watcher = settings, objective, watcher
        self.storage, self.study = storage, storage.cells
        self.ends_at = None if settings.seconds is None else time.monotonic() + settings.seconds
        self.searcher = self._searcher(settings.sampler)
        self.random = self._searcher(SAMPLERS["random"])
        self.cells = Counter(settings.space).total
        self.without_news = 0  # proposals in a row that were no new cell

    def _searcher(self, record: SamplerRecord) -> Searcher:
        return StudySearcher(record, self.settings.space, self.study, self.settings.seed)

    def run(self) -> SearchResult:
        orphans = redo_orphans(self.study)
        redo_orphans(self.storage.baseline)
        if self.records():
            done = sum(record.kind in TRAINED for record in self.records())
            self.watcher.resumed(done, orphans)
        try:
            self._train_baseline()
            ended = self._loop()
        except KeyboardInterrupt:
            ended = "interrupted"
        board = self.board()
        write_results(self.settings.folder, board)
        if ended == "exhausted" and not board.rows:
            last = self.records()[-1]
            raise RnndslError(
                NothingToTrain(None, self.settings.space.name, len(self.records()), last.reason)
            )
        return SearchResult(ended, board)

    def _loop(self) -> str:
        while True:
            ended = self._ended(self.records())
            if ended:
                return ended
            stuck = self.without_news >= FAVOURITES
            record = self._trial(self.random if stuck else self.searcher)
            self.without_news = 0 if record.kind in TRAINED else self.without_news + 1
            board = self.board()
            if record.kind in TRAINED:
                write_results(self.settings.folder, board)
            self.watcher.finished(record, board)

    def _ended(self, records: tuple[TrialRecord, ...]) -> str:
        settings = self.settings
        done = sum(record.kind in TRAINED for record in records)
        if settings.trials is not None and done >= settings.trials:
            return "trials"
        if self.ends_at is not None and time.monotonic() >= self.ends_at:
            return "time"
        seen = {tuple(sorted(r.choices.items())) for r in records if r.kind not in REDONE}
        if len(seen) >= self.cells or self.without_news >= PATIENCE:
            return "exhausted"
        return ""

    # ------------------------------------------------------------------------- one trial

    def _train_baseline(self) -> None:
        study = self.storage.baseline
        known = self.baseline()
        if known is None:
            trial = begin_trial(study, self.settings.seed)
            try:
                outcome = self.objective.baseline(self._report(trial, None))
            except KeyboardInterrupt:
                _finish(study, trial, Outcome("interrupted", reason="Ctrl-C"))
                raise
            except Exception as error:
                # What the baseline cannot be trained on, no cell can.
                _finish(study, trial, Outcome("failed", reason=_one_line(error)))
                raise
            known = _finish(study, trial, outcome)
        self.watcher.baseline(known)

    def _trial(self, searcher: Searcher) -> TrialRecord:
        proposal = searcher.ask()
        trial = proposal.trial
        try:
            outcome, state = self._judge(proposal)
        except KeyboardInterrupt:
            queue_again(self.study, trial.params)
            _finish(self.study, trial, Outcome("interrupted", reason="Ctrl-C"))
            raise
        except Exception as error:  # noqa: BLE001 - one bad cell must not end the search
            outcome, state = Outcome("failed", reason=_one_line(error)), None
        _store(trial, outcome)
        searcher.tell(proposal, state or STATES[outcome.kind], outcome.score)
        return _record(self.study, trial)

    def _judge(self, proposal: Proposal) -> tuple[Outcome, TrialState | None]:
        trial, number = proposal.trial, proposal.trial.number
        text = candidate_text(self.settings.space, proposal.cell)
        known = find_same_text(self.study, number, text)
        if known is not None:
            trial.set_user_attr(CELL, {"text": text, "hash": known.user_attrs[CELL]["hash"]})
            return as_before(known)
        try:
            candidate = read_candidate(text, proposal.choices)
        except RnndslError as error:
            trial.set_user_attr(CELL, {"text": text, "hash": ""})
            return Outcome("rejected", reason=reason_of(error)), None
        # Stored before it is looked up, so that of two processes with one cell one gives way.
        trial.set_user_attr(CELL, {"text": text, "hash": candidate.hash})
        known = find_same_cell(self.study, number, candidate)
        if known is not None:
            return as_before(known)
        flaw = find_flaw(candidate.lowered, self.settings.seed)
        if flaw:
            return Outcome("rejected", reason=flaw), None
        return self.objective.evaluate(candidate.cell, self._report(trial, number)), None

    def _report(self, trial: optuna.Trial, number: int | None) -> Report:
        def report(rung: int, score: float) -> bool:
            trial.report(score, rung)
            self.watcher.rung(number, rung, score)
            return trial.should_prune()

        return report

    # -------------------------------------------------------------------------- results

    def records(self) -> tuple[TrialRecord, ...]:
        return read_records(self.study.get_trials(deepcopy=False))

    def baseline(self) -> TrialRecord | None:
        """How the baseline did; None while it has not been trained."""
        records = read_records(self.storage.baseline.get_trials(deepcopy=False))
        return next((r for r in records if r.kind in ("scored", "diverged")), None)

    def board(self) -> Leaderboard:
        records = self.records()
        return Leaderboard(
            study=self.settings.folder.name,
            unit=self.objective.unit,
            command=self.settings.command,
            settings={"sampler": self.settings.sampler.name, **self.study.user_attrs["settings"]},
            versions=installed_versions(),
            baseline=self.baseline(),
            rows=rank(records),
            counts=count_kinds(records),
        )


def _one_line(error: Exception) -> str:
    if isinstance(error, RnndslError):
        return reason_of(error)
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def _store(trial: optuna.Trial, outcome: Outcome) -> None:
    """Everything about the outcome but the score, which goes with the trial's state."""
    values = {"kind": outcome.kind, "reason": outcome.reason, "facts": dict(outcome.facts)}
    trial.set_user_attr(OUTCOME, values)


def _finish(study: optuna.Study, trial: optuna.Trial, outcome: Outcome) -> TrialRecord:
    _store(trial, outcome)
    study.tell(trial, outcome.score, state=STATES[outcome.kind])
    return _record(study, trial)


def _record(study: optuna.Study, trial: optuna.Trial) -> TrialRecord:
    record = read_record(study.get_trials(deepcopy=False)[trial.number])
    assert record is not None, "it was finished just now"
    return record
