"""A whole search: in this process or in several, resumed, with its results written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.pruners import BasePruner, MedianPruner

from rnndsl.diagnostics import RnndslError
from rnndsl.search.errors import NothingToTrain
from rnndsl.search.loop import Loop, Work, known_baseline, record_of
from rnndsl.search.objective import Objective, units_of
from rnndsl.search.orphans import redo_orphans
from rnndsl.search.record import TRAINED, TrialRecord, read_records
from rnndsl.search.results import Leaderboard, count_kinds, rank, write_results
from rnndsl.search.rungs import UNPRUNED
from rnndsl.search.samplers import SamplerRecord
from rnndsl.search.seeds import train_seeds
from rnndsl.search.space import Space
from rnndsl.search.storage import SETTINGS, Place, Storage, open_storage
from rnndsl.search.throughput import Throughput, throughput
from rnndsl.search.versions import installed_versions
from rnndsl.search.watch import Watcher
from rnndsl.search.workers import Event, Task, Workers, share_of_threads

UNITS = "units"  # user attributes of the study of the cells
COMMAND = "command"
SAMPLER = "sampler"


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What is searched, how and for how long.

    ``trials`` counts trained cells, those of earlier calls included; ``seconds`` is for this
    call.  ``storage`` is the URL of a storage that several machines share, None for a journal
    in the folder; ``workers`` are the processes of this call.  After the search the best cells
    and the baseline are trained with so many ``seeds`` more.
    """

    space: Space
    sampler: SamplerRecord
    folder: Path
    seed: int = 0
    trials: int | None = 50
    seconds: float | None = None
    command: str = ""
    storage: str | None = None
    workers: int = 1
    pruner: BasePruner | None = None
    seeds: int = 0

    @property
    def place(self) -> Place:
        return Place(self.folder, self.storage)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """How the search ended: ``trials``, ``time``, ``exhausted`` or ``interrupted``."""

    ended: str
    board: Leaderboard
    throughput: Throughput | None = None  # of this call


def run_search(settings: SearchSettings, objective: Objective, watcher: Watcher) -> SearchResult:
    """Search until the budget is used up, the space is exhausted, or Ctrl-C.

    The same call on the same folder goes on where the last one ended, however it ended.
    RnndslError when the folder holds another study, or no cell of the space can be trained.
    """
    return _Search(settings, objective, watcher).run()


class _Search:
    """One call of ``run_search``."""

    def __init__(self, settings: SearchSettings, objective: Objective, watcher: Watcher) -> None:
        self.settings, self.objective, self.watcher = settings, objective, watcher
        seconds = settings.seconds
        self.work = Work(
            space=settings.space,
            sampler=settings.sampler,
            folder=settings.folder,
            seed=settings.seed,
            trials=settings.trials,
            ends_at=None if seconds is None else time.time() + seconds,
        )
        self.units = units_of(objective)
        self.pruner = settings.pruner or MedianPruner(n_startup_trials=UNPRUNED)
        fixed = {**self.work.fixed, **objective.settings}
        self.storage = open_storage(settings.place, fixed, self.pruner, len(self.units))
        self.study = self.storage.cells
        values = {
            UNITS: list(self.units),
            COMMAND: settings.command,
            SAMPLER: settings.sampler.name,
        }
        for name, value in values.items():
            if self.study.user_attrs.get(name) != value:
                self.study.set_user_attr(name, value)

        self.began = time.perf_counter()
        self.finished_before = len(self.records())

    def run(self) -> SearchResult:
        orphans = redo_orphans(self.study, alone=False)
        redo_orphans(self.storage.baseline)
        done = sum(record.kind in TRAINED for record in self.records())
        if done or orphans or self.records():
            self.watcher.resumed(done, orphans)
        baseline = known_baseline(self.storage.baseline.get_trials(deepcopy=False))
        if baseline is not None:
            self.watcher.baseline(baseline)
        found = None
        try:
            ended = self._alone() if self.settings.workers == 1 else self._together()
            found = self._throughput()
            if ended != "interrupted" and self.settings.seeds:
                train_seeds(self.storage, self.objective, self.settings.seeds, self.watcher)
        except KeyboardInterrupt:
            ended = "interrupted"
        board = make_board(self.settings.folder, self.storage)
        write_results(self.settings.folder, board)
        if ended == "exhausted" and not board.rows:
            last = self.records()[-1]
            raise RnndslError(
                NothingToTrain(None, self.settings.space.name, len(self.records()), last.reason)
            )
        return SearchResult(ended, board, found)

    def _throughput(self) -> Throughput | None:
        """Of the trials that ended since this call began, the baseline's time left out."""
        new = self.records()[self.finished_before :]
        return throughput(new, time.perf_counter() - self.began) if new else None

    def _alone(self) -> str:
        return Loop(self.work, self.objective, self.storage, self).run()

    def _together(self) -> str:
        task = Task(
            place=self.settings.place,
            work=self.work,
            objective=self.objective,
            pruner=self.pruner,
            objectives=len(self.units),
            threads=share_of_threads(self.settings.workers),
        )
        return Workers(task, self.settings.workers, self._hear, self._died).run()

    # ------------------------------------------------- what is heard of trials, from anywhere

    def rung(self, trial: int | None, rung: int, score: float) -> None:
        self.watcher.rung(trial, rung, score)

    def finished(self, trial: int | None) -> None:
        if trial is None:
            baseline = known_baseline(self.storage.baseline.get_trials(deepcopy=False))
            if baseline is not None:
                self.watcher.baseline(baseline)
            if self.settings.workers == 1:
                self.began = time.perf_counter()
            return
        record = record_of(self.study, trial)
        board = make_board(self.settings.folder, self.storage)
        if record.kind in TRAINED:
            write_results(self.settings.folder, board)
        self.watcher.finished(record, board)

    def _hear(self, event: Event) -> None:
        if event.kind == "rung":
            self.rung(event.trial, event.step, event.score)
        elif event.kind == "finished":
            self.finished(event.trial)

    def _died(self, how: str) -> None:
        self.watcher.died(how, redo_orphans(self.study) + redo_orphans(self.storage.baseline))

    def records(self) -> tuple[TrialRecord, ...]:
        return read_records(self.study.get_trials(deepcopy=False))


def make_board(folder: Path, storage: Storage) -> Leaderboard:
    """The leaderboard of a study, from what is stored of it."""
    attributes = storage.cells.user_attrs
    records = read_records(storage.cells.get_trials(deepcopy=False))
    units = tuple(attributes.get(UNITS, ("score",)))
    settings: Mapping[str, Any] = attributes.get(SETTINGS, {})
    return Leaderboard(
        study=folder.name,
        units=units,
        command=attributes.get(COMMAND, ""),
        settings={"sampler": attributes.get(SAMPLER, ""), **settings},
        versions=installed_versions(),
        baseline=known_baseline(storage.baseline.get_trials(deepcopy=False)),
        rows=rank(records),
        counts=count_kinds(records),
    )
