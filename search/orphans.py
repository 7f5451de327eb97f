"""Trials whose process is gone: recognised, failed, and queued to be done again."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from rnndsl.search.record import CELL, CHOICES, OUTCOME
from rnndsl.search.worker import ORIGIN, is_gone, is_here

SEEN = "seen"  # the user attribute of a trial: when its process was last known to live
BEAT = 30.0  # seconds between two signs of life
_SILENCE = timedelta(minutes=5)  # after so long, a process on another machine counts as dead

# A trial is in the storage for an instant before it says whose it is.
_GRACE = timedelta(minutes=1)

# A cell that so many processes died of while others lived is a failure, not bad luck; one whose
# processes ended with all others may have been unlucky more often.
STRIKES = 3
ENDS = 10
DIED_ALONE = "died_alone"  # the user attribute of a trial


def is_orphan(trial: FrozenTrial, now: datetime | None = None) -> bool:
    """Whether the process of a running trial is gone.

    A process of this machine is looked up.  One of another machine shows that it lives by a
    time that it stores twice a minute; the clocks of the machines must agree to a minute or
    two.
    """
    now = now or datetime.now(UTC)
    origin: Mapping[str, Any] | None = trial.user_attrs.get(ORIGIN)
    if origin is None:
        started = trial.datetime_start
        return started is None or now - started.astimezone(UTC) > _GRACE
    if is_here(origin):
        return is_gone(origin)
    sign = trial.user_attrs.get(SEEN, origin.get("time"))
    return sign is not None and now - datetime.fromisoformat(sign) > _SILENCE


def redo_orphans(study: optuna.Study, alone: bool = True) -> int:
    """Fail the running trials whose process is gone and queue their work again; how many.

    ``alone``: others went on meanwhile, so that the cell may be to blame; not so when a whole
    search is resumed.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    orphans = [trial for trial in running if is_orphan(trial)]
    for trial in orphans:
        # Somebody else may see to it at the same moment: then the work is queued twice, and
        # the second one is recognised as a duplicate.
        with suppress(ValueError, optuna.exceptions.UpdateFinishedTrialError):
            reason = _blame(study, trial, alone)
            if reason:
                outcome = {"kind": "failed", "reason": reason, "facts": {}}
                study._storage.set_trial_user_attr(trial._trial_id, OUTCOME, outcome)
            else:
                study._storage.set_trial_user_attr(trial._trial_id, DIED_ALONE, alone)
                # Queued before it is failed: should we die in between, it is done twice, not
                # never.
                queue_again(study, trial)
            study.tell(trial.number, state=TrialState.FAIL)
    return len(orphans)


def _blame(study: optuna.Study, trial: FrozenTrial, alone: bool) -> str:
    """Why a cell is not tried again after another process ended with it; empty if it is."""
    if CELL not in trial.user_attrs:
        return ""
    text = trial.user_attrs[CELL]["text"]
    ends = [alone] + [
        bool(other.user_attrs.get(DIED_ALONE))
        for other in study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        if other.user_attrs.get(CELL, {}).get("text") == text and OUTCOME not in other.user_attrs
    ]
    if sum(ends) >= STRIKES:
        return f"{STRIKES} processes died while they trained it"
    return f"{ENDS} searches ended while they trained it" if len(ends) >= ENDS else ""


def queue_again(study: optuna.Study, trial: FrozenTrial | optuna.Trial) -> None:
    """Let the next trial make the choices of this one."""
    kept = {name: trial.user_attrs[name] for name in (CHOICES, CELL) if name in trial.user_attrs}
    if trial.params or kept:
        study.enqueue_trial(dict(trial.params), user_attrs=kept)


@contextmanager
def signs_of_life(trial: optuna.Trial) -> Iterator[None]:
    """Store now and then that the process of ``trial`` lives, for those who cannot see it."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT):
            # The storage may be out of reach for a while; the training goes on.
            with suppress(Exception):
                trial.set_user_attr(SEEN, datetime.now(UTC).isoformat(timespec="seconds"))

    thread = threading.Thread(target=beat, daemon=True, name="signs of life")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
