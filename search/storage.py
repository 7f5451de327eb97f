"""The Optuna studies of one search: the cells, and the baseline beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import MedianPruner, NopPruner
from optuna.trial import TrialState

from rnndsl.atomic import unwritable
from rnndsl.diagnostics import RnndslError
from rnndsl.search.errors import StudyMismatch
from rnndsl.search.journal import open_journal
from rnndsl.search.worker import is_orphan

JOURNAL = "journal.log"
SETTINGS = "settings"

# A cell is compared with the others only once so many have been trained to the end.
_UNPRUNED = 5


@dataclass(frozen=True, slots=True)
class Storage:
    """``cells`` has a trial for each proposal; ``baseline`` is trained apart, since it makes no
    choices and would stand in the samplers' way."""

    cells: optuna.Study
    baseline: optuna.Study


def open_storage(folder: Path, settings: Mapping[str, Any]) -> Storage:
    """The studies in ``folder``, made if they are not there.

    RnndslError (E0607) when they were made with other settings, (E0609) when the file is
    damaged, (E0123) when the folder cannot be written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from None
    journal = open_journal(folder / JOURNAL)
    pruner = MedianPruner(n_startup_trials=_UNPRUNED)
    cells = _study(journal, "cells", pruner)
    _check_settings(cells, folder, settings)
    return Storage(cells, _study(journal, "baseline", NopPruner()))


def _study(
    storage: optuna.storages.BaseStorage, name: str, pruner: optuna.pruners.BasePruner
) -> optuna.Study:
    return optuna.create_study(
        study_name=name, storage=storage, pruner=pruner, direction="minimize", load_if_exists=True
    )


def _check_settings(study: optuna.Study, folder: Path, settings: Mapping[str, Any]) -> None:
    old = study.user_attrs.get(SETTINGS)
    if old is None:
        study.set_user_attr(SETTINGS, dict(settings))
        return
    differences = [
        _difference(name, old.get(name), settings.get(name))
        for name in dict.fromkeys([*old, *settings])
        if old.get(name) != settings.get(name)
    ]
    if differences:
        raise RnndslError(StudyMismatch(None, str(folder), ", ".join(differences)))


def _difference(name: str, old: Any, new: Any) -> str:
    long = any(isinstance(value, str) and "\n" in value for value in (old, new))
    return f"another {name}" if long else f"{name} was {old}, now {new}"


def redo_orphans(study: optuna.Study) -> int:
    """Fail the running trials whose process is gone and queue their work again; how many."""
    orphans = [t for t in study.get_trials(states=(TrialState.RUNNING,)) if is_orphan(t)]
    for trial in orphans:
        # Queued before it is failed: should we die in between, the work is done twice, not never.
        queue_again(study, trial.params)
        study.tell(trial.number, state=TrialState.FAIL)
    return len(orphans)


def queue_again(study: optuna.Study, choices: Mapping[str, Any]) -> None:
    """Let the next trial make these choices."""
    if choices:
        study.enqueue_trial(dict(choices))
