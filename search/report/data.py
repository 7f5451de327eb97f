"""All that a report says, read from a study."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import optuna

from rnndsl.search.record import TrialRecord, read_records
from rnndsl.search.results import Leaderboard, pareto_front
from rnndsl.search.seeds import Repeats, repeats
from rnndsl.search.storage import Place, load_storage
from rnndsl.search.study import make_board
from rnndsl.search.throughput import Throughput, throughput

# Importance is guessed from no fewer trials.
_ENOUGH = 8
_TELLING = 4  # holes whose options are told


@dataclass(frozen=True, slots=True)
class OptionScore:
    """An option of a hole: how many scored cells took it, and the median of their scores."""

    label: str
    count: int
    median: float


@dataclass(frozen=True, slots=True)
class StudyReport:
    """A study, read at once.  ``repeats`` by trial number as text, or ``baseline``."""

    board: Leaderboard
    records: tuple[TrialRecord, ...]
    front: tuple[TrialRecord, ...]
    repeats: Mapping[str, Repeats]
    importance: Mapping[str, float]
    options: Mapping[str, Sequence[OptionScore]]  # of the most important holes, best first
    throughput: Throughput
    began: datetime | None
    ended: datetime | None


def read_report(place: Place) -> StudyReport:
    """The report of the study at ``place``; RnndslError (E0615) when there is none."""
    storage = load_storage(place)
    board = make_board(place.folder, storage)
    trials = storage.cells.get_trials(deepcopy=False)
    records = read_records(trials)
    importance = importances(storage.cells, records)
    starts = [trial.datetime_start for trial in trials if trial.datetime_start is not None]
    ends = [trial.datetime_complete for trial in trials if trial.datetime_complete is not None]
    seconds = (max(ends) - min(starts)).total_seconds() if starts and ends else 0.0
    return StudyReport(
        board=board,
        records=records,
        front=pareto_front(records),
        repeats=repeats(storage.seeds),
        importance=importance,
        options={name: option_scores(records, name) for name in list(importance)[:_TELLING]},
        throughput=throughput(records, seconds),
        began=min(starts, default=None),
        ended=max(ends, default=None),
    )


def importances(study: optuna.Study, records: Sequence[TrialRecord]) -> dict[str, float]:
    """How much each hole matters for the first objective, largest first; they sum to one.

    Empty while there are too few scored cells to say.
    """
    if sum(record.score is not None for record in records) < _ENOUGH:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = optuna.importance.get_param_importances(
                study, target=lambda trial: float(trial.values[0])
            )
        except (RuntimeError, ValueError):
            return {}  # all cells make the same choices, or have the same score
    return {name: value for name, value in found.items() if value > 0}


def option_scores(records: Sequence[TrialRecord], hole: str) -> tuple[OptionScore, ...]:
    """The options of a hole by the median score of the cells that took them."""
    scores: dict[str, list[float]] = {}
    for record in records:
        if record.score is not None and hole in record.choices:
            scores.setdefault(record.choices[hole], []).append(record.score)
    found = [OptionScore(k, len(v), statistics.median(v)) for k, v in scores.items()]
    return tuple(sorted(found, key=lambda option: option.median))
