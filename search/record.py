"""What the storage keeps of each trial, as one plain record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

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
OUTCOME = "outcome"  # kind, reason, facts


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a cell did.  ``score`` is set when it was scored: lower is better."""

    kind: Kind
    score: float | None = None
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)  # parameters, width, steps, seconds


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
    curve: Mapping[int, float]  # what was reported at each rung


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
    return TrialRecord(
        number=trial.number,
        kind="orphaned" if orphaned else kind,
        score=trial.value if trial.state is TrialState.COMPLETE else None,
        reason="its process ended before it did" if orphaned else outcome.get("reason", ""),
        text=cell.get("text", ""),
        hash=cell.get("hash", ""),
        choices=dict(trial.params),
        facts=outcome.get("facts", {}),
        curve=dict(trial.intermediate_values),
    )


def read_records(trials: Iterable[FrozenTrial]) -> tuple[TrialRecord, ...]:
    """The records of all finished trials, in order of their numbers."""
    return tuple(r for r in map(read_record, trials) if r is not None)
