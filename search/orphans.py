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

# A cell that so many processes died of is a failure, not bad luck.
STRIKES = 3


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


def redo_orphans(study: optuna.Study) -> int:
    """Fail the running trials whose process is gone and queue their work again; how many."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    orphans = [trial for trial in running if is_orphan(trial)]
    for trial in orphans:
        # Somebody else may see to it at the same moment: then the work is queued twice, and
        # the second one is recognised as a duplicate.
        with suppress(ValueError, optuna.exceptions.UpdateFinishedTrialError):
            if _strikes(study, trial) < STRIKES:
                # Queued before it is failed: should we die in between, it is done twice, not
                # never.
                queue_again(study, trial)
            else:
                reason = f"{STRIKES} processes died while they trained it"
                study._storage.set_trial_user_attr(
                    trial._trial_id, OUTCOME, {"kind": "failed", "reason": reason, "facts": {}}
                )
            study.tell(trial.number, state=TrialState.FAIL)
    return len(orphans)


def _strikes(study: optuna.Study, trial: FrozenTrial) -> int:
    """How many processes have died of this very cell, this one included."""
    if CELL not in trial.user_attrs:
        return 0
    text = trial.user_attrs[CELL]["text"]
    return 1 + sum(
        1
        for other in study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        if other.user_attrs.get(CELL, {}).get("text") == text and OUTCOME not in other.user_attrs
    )


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
