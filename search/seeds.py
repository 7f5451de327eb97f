"""The best cells and the baseline once more, from other random states: how sure a rank is."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import optuna
from optuna.trial import FrozenTrial, TrialState

import rnndsl
from rnndsl.search.judge import failure
from rnndsl.search.loop import finish
from rnndsl.search.orphans import redo_orphans
from rnndsl.search.record import Outcome, read_record, read_records
from rnndsl.search.results import rank
from rnndsl.search.storage import Storage
from rnndsl.search.watch import Watcher
from rnndsl.search.worker import begin_trial

# How many of the best cells are trained again.
BEST = 3

# The user attribute of a trial: whom it trains, "baseline" or a trial's number, and the seed.
SUBJECT = "subject"

# Seeds of their own, far from those that a search is begun with.
_FIRST_SEED = 1000


@runtime_checkable
class Repeatable(Protocol):
    """An objective that can train a cell from another seed and test it."""

    def repeat(self, cell: Any, seed: int) -> Outcome:
        """Train ``cell``, None for the baseline, to the end; ``facts["test"]`` is its score
        on data that nothing was chosen by."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """The scores of one cell over seeds; lower is better."""

    valid: tuple[float, ...]
    test: tuple[float, ...]


def train_seeds(storage: Storage, objective: Any, count: int, watcher: Watcher) -> None:
    """Train the best cells and the baseline with ``count`` seeds each, what is done left out.

    All have the same seeds, so that they can be compared in pairs.
    """
    if not isinstance(objective, Repeatable):
        return
    redo_orphans(storage.seeds)
    trials = storage.cells.get_trials(deepcopy=False)
    best = [r for r in rank(read_records(trials)) if r.score is not None][:BEST]
    texts = {"baseline": None, **{str(record.number): record.text for record in best}}
    for seed in range(_FIRST_SEED, _FIRST_SEED + count):
        for subject, text in texts.items():
            if [subject, seed] not in [t.user_attrs.get(SUBJECT) for t in _done(storage.seeds)]:
                _train(storage.seeds, objective, subject, text, seed)
                watcher.repeated(subject, repeats(storage.seeds)[subject])


def _train(
    study: optuna.Study, objective: Repeatable, subject: str, text: str | None, seed: int
) -> None:
    trial = begin_trial(study, seed)
    trial.set_user_attr(SUBJECT, [subject, seed])
    try:
        outcome = objective.repeat(None if text is None else rnndsl.parse(text), seed)
    except KeyboardInterrupt:
        finish(study, trial, Outcome("interrupted", reason="Ctrl-C"))
        raise
    except Exception as error:  # noqa: BLE001 - recorded, as in the search
        outcome = failure(error)
    finish(study, trial, outcome)


def _done(study: optuna.Study) -> Iterator[FrozenTrial]:
    for trial in study.get_trials(deepcopy=False):
        record = read_record(trial)
        if record is not None and record.kind not in ("interrupted", "orphaned"):
            yield trial


def repeats(study: optuna.Study) -> Mapping[str, Repeats]:
    """The scores over seeds of everything that was trained again, by trial or ``baseline``."""
    found: dict[str, list[FrozenTrial]] = {}
    for trial in _done(study):
        if trial.state is TrialState.COMPLETE and SUBJECT in trial.user_attrs:
            found.setdefault(trial.user_attrs[SUBJECT][0], []).append(trial)
    return {subject: _repeats(trials) for subject, trials in found.items()}


def _repeats(trials: Iterable[FrozenTrial]) -> Repeats:
    ordered = sorted(trials, key=lambda trial: int(trial.user_attrs[SUBJECT][1]))
    facts = [trial.user_attrs["outcome"]["facts"] for trial in ordered]
    return Repeats(
        valid=tuple(trial.values[0] for trial in ordered),
        test=tuple(fact["test"] for fact in facts if fact.get("test") is not None),
    )


def mean_and_error(values: tuple[float, ...]) -> tuple[float, float | None]:
    """The mean and its standard error; None for the error of a single value."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None
    return mean, statistics.stdev(values) / len(values) ** 0.5
