"""Whether a cell was proposed before: by its text, then by its canonical graph."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
from optuna.trial import FrozenTrial, TrialState

from rnndsl.compiler.canonical import same_cell
from rnndsl.search.candidate import Candidate, read_candidate
from rnndsl.search.record import CELL, REDONE, Outcome, read_record


def find_same_text(study: optuna.Study, number: int, text: str) -> FrozenTrial | None:
    """The trial that answers for this very text, for trial ``number``."""
    for trial in _answering(study, number):
        if trial.user_attrs[CELL]["text"] == text:
            return trial
    return None


def find_same_cell(study: optuna.Study, number: int, candidate: Candidate) -> FrozenTrial | None:
    """The trial that answers for a cell of the same graph; hashes first, then exactly."""
    for trial in _answering(study, number):
        cell = trial.user_attrs[CELL]
        if cell["hash"] == candidate.hash and same_cell(
            read_candidate(cell["text"]).lowered, candidate.lowered
        ):
            return trial
    return None


def as_before(known: FrozenTrial) -> tuple[Outcome, TrialState]:
    """The outcome of a cell that was judged before: the sampler is told the same again.

    Of one that another process has under way there is nothing to tell yet.
    """
    score = known.value if known.state is TrialState.COMPLETE else None
    state = known.state if known.state.is_finished() else TrialState.FAIL
    return Outcome("duplicate", score, f"the same cell as trial {known.number}"), state


def _answering(study: optuna.Study, number: int) -> Iterator[FrozenTrial]:
    """Trials with a cell that are finished and stand, or run since before trial ``number``."""
    for trial in study.get_trials(deepcopy=False):
        if trial.number == number or CELL not in trial.user_attrs:
            continue
        record = read_record(trial)
        earlier = record is None and trial.number < number
        stands = record is not None and record.kind not in {*REDONE, "duplicate"}
        if earlier or stands:
            yield trial
