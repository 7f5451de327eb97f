"""From a proposal to its outcome: seen before, sound, and how well it trains."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna.trial import TrialState

from rnndsl.diagnostics import RnndslError
from rnndsl.search.candidate import read_candidate, reason_of
from rnndsl.search.duplicates import as_before, find_same_cell, find_same_text
from rnndsl.search.objective import Objective, Report
from rnndsl.search.record import CELL, Outcome
from rnndsl.search.screen import find_flaw


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome, and how Optuna is told of it where that does not follow from its kind."""

    outcome: Outcome
    state: TrialState | None = None


def judge(
    study: optuna.Study,
    trial: optuna.Trial,
    text: str,
    choices: tuple[tuple[str, str], ...],
    objective: Objective,
    report: Report,
    seed: int,
) -> Verdict:
    """Judge the cell ``text``: first what costs milliseconds, then the training.

    The cell is stored with the trial before it is looked up, so that of two processes that
    have the same cell at the same time one gives way.
    """
    started = time.perf_counter()

    def verdict(outcome: Outcome, state: TrialState | None = None) -> Verdict:
        checked = round(time.perf_counter() - started, 4)
        return Verdict(with_times(outcome, {"check": checked}), state)

    known = find_same_text(study, trial.number, text)
    if known is not None:
        trial.set_user_attr(CELL, {"text": text, "hash": known.user_attrs[CELL]["hash"]})
        return verdict(*as_before(known))
    try:
        candidate = read_candidate(text, choices)
    except RnndslError as error:
        trial.set_user_attr(CELL, {"text": text, "hash": ""})
        return verdict(Outcome("rejected", reason=reason_of(error)))
    trial.set_user_attr(CELL, {"text": text, "hash": candidate.hash})
    known = find_same_cell(study, trial.number, candidate)
    if known is not None:
        return verdict(*as_before(known))
    flaw = find_flaw(candidate.lowered, seed)
    if flaw:
        return verdict(Outcome("rejected", reason=flaw))
    checked = round(time.perf_counter() - started, 4)
    outcome = objective.evaluate(candidate.cell, report)
    return Verdict(with_times(outcome, {"check": checked}))


def with_times(outcome: Outcome, times: Mapping[str, float]) -> Outcome:
    """``outcome`` with more entries in its account of time, in seconds."""
    before: dict[str, Any] = dict(outcome.facts.get("times", {}))
    return replace(outcome, facts={**outcome.facts, "times": {**times, **before}})


def failure(error: Exception) -> Outcome:
    """The outcome of a cell whose judging raised: one bad cell must not end a search."""
    return Outcome("failed", reason=_one_line(error))


def _one_line(error: Exception) -> str:
    if isinstance(error, RnndslError):
        return reason_of(error)
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]
