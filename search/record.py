"""What the storage keeps of each trial, as one plain record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from rnndsl.search.worker import ORIGIN

# scored: trained to the end; pruned: stopped at a rung, as worse than the median; diverged and
# failed: training ended without a score; rejected: never trained, for a static reason;
# duplicate: the same cell as an earlier trial, not trained again; interrupted: Ctrl-C;
# orphaned: its process died.  The last two are done again.
Kind = Literal[
    "scored", "pruned", "diverged", "failed", "rejected", "duplicate", "interrupted", "orphaned"
]
TRAINED: frozenset[Kind] = frozenset({"scored", "pruned", "diverged", "failed"})
REDONE: frozenset[Kind] = frozenset({"interrupted", "orphaned"})

# How Optuna sees it.  A sampler learns from COMPLETE and PRUNED trials, so what a cell's own
# equations are to blame for is PRUNED; FAIL is for what they are not.
STATES: Mapping[Kind, TrialState] = {
    "scored": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.PRUNED,
    "rejected": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "interrupted": TrialState.FAIL,
    "orphaned": TrialState.FAIL,
}


# User attributes of a trial.
CELL = "cell"  # its text and hash
CHOICES = "choices"  # pairs of name and label, where a searcher stores them besides Optuna
OUTCOME = "outcome"  # kind, reason, facts
CURVE = "curve"  # scores by step, where Optuna takes none: in studies of several objectives


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a cell did.  ``score`` is set when it was scored: lower is better.

    ``others`` are the scores of the other objectives, where there are several.  ``facts`` are
    parameters, width, steps, the seconds spent on what, and whatever else was measured.
    """

    kind: Kind
    score: float | None = None
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    others: tuple[float, ...] = ()

    @property
    def value(self) -> float | tuple[float, ...] | None:
        """What a study is told."""
        if self.score is None or not self.others:
            return self.score
        return (self.score, *self.others)


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A finished trial as read back from the storage."""

    number: int
    kind: Kind
    score: float | None
    reason: str
    text: str
    hash: str
    choices: Mapping[str, str]
    facts: Mapping[str, Any]
    curve: Mapping[int, float]  # the score at each rung, by training steps
    scores: tuple[float, ...] = ()  # of all objectives; ``score`` is the first
    seed: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)


def read_record(trial: FrozenTrial) -> TrialRecord | None:
    """The record of a finished trial; None while it is queued or runs."""
    if not trial.state.is_finished():
        return None
    outcome = trial.user_attrs.get(OUTCOME, {})
    cell = trial.user_attrs.get(CELL, {})
    kind: Kind = outcome.get("kind", "orphaned")
    # What is to be said of a trial is stored just before its state; a process that dies in
    # between has not finished it.
    orphaned = kind != "duplicate" and STATES[kind] is not trial.state
    scores = tuple(trial.values or ()) if trial.state is TrialState.COMPLETE else ()
    origin = trial.user_attrs.get(ORIGIN, {})
    return TrialRecord(
        number=trial.number,
        kind="orphaned" if orphaned else kind,
        score=scores[0] if scores else None,
        reason="its process ended before it did" if orphaned else outcome.get("reason", ""),
        text=cell.get("text", ""),
        hash=cell.get("hash", ""),
        choices=choices_of(trial),
        facts=outcome.get("facts", {}),
        curve=_curve(trial),
        scores=scores,
        seed=origin.get("seed", 0),
        versions=origin.get("versions", {}),
    )


def choices_of(trial: FrozenTrial) -> dict[str, str]:
    """What a trial's cell was made of, as names and labels."""
    if CHOICES in trial.user_attrs:
        return {name: label for name, label in trial.user_attrs[CHOICES]}
    return dict(trial.params)


def _curve(trial: FrozenTrial) -> dict[int, float]:
    stored = trial.user_attrs.get(CURVE, {})
    return {int(step): score for step, score in stored.items()} or dict(trial.intermediate_values)


def read_records(trials: Iterable[FrozenTrial]) -> tuple[TrialRecord, ...]:
    """The records of all finished trials, in order of their numbers."""
    return tuple(r for r in map(read_record, trials) if r is not None)
