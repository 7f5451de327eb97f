"""Rungs: the steps of a run at which a cell is compared with the others, and who is stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)

from rnndsl.diagnostics import RnndslError, did_you_mean
from rnndsl.search.errors import UnknownPruner

# A cell is compared with the median only once so many have been trained to the end.
UNPRUNED = 5


@dataclass(frozen=True, slots=True)
class Rungs:
    """``count`` rungs, the last at the end; each has ``factor`` times the steps of the one
    before, so that most of the budget goes to the cells that do best early."""

    steps: int
    count: int = 4
    factor: int = 2

    @property
    def places(self) -> tuple[int, ...]:
        """The steps of the rungs, increasing; fewer than ``count`` where steps are few."""
        powers = (self.factor**k for k in reversed(range(self.count)))
        return tuple(dict.fromkeys(self.steps // power for power in powers if power <= self.steps))


MakePruner = Callable[[Rungs], BasePruner]


@dataclass(frozen=True, slots=True)
class PrunerRecord:
    """A way to choose who goes on at a rung."""

    name: str
    summary: str
    make: MakePruner


def _median(rungs: Rungs) -> BasePruner:
    return MedianPruner(n_startup_trials=UNPRUNED)


def _asha(rungs: Rungs) -> BasePruner:
    return SuccessiveHalvingPruner(min_resource=rungs.places[0], reduction_factor=rungs.factor)


def _hyperband(rungs: Rungs) -> BasePruner:
    return HyperbandPruner(
        min_resource=rungs.places[0], max_resource=rungs.steps, reduction_factor=rungs.factor
    )


def _none(rungs: Rungs) -> BasePruner:
    return NopPruner()


PRUNERS: Mapping[str, PrunerRecord] = {
    record.name: record
    for record in (
        PrunerRecord("median", "stops what is worse than the median of the others", _median),
        PrunerRecord("asha", "lets the best 1/factor of each rung go on, asynchronously", _asha),
        PrunerRecord("hyperband", "asha, begun at different rungs in turn", _hyperband),
        PrunerRecord("none", "trains every cell to the end", _none),
    )
}


def make_pruner(name: str, rungs: Rungs) -> BasePruner:
    """The pruner of that name for these rungs; RnndslError (E0619) if there is none."""
    if name not in PRUNERS:
        near = did_you_mean(name, tuple(PRUNERS))
        raise RnndslError(UnknownPruner(None, name, ", ".join(PRUNERS), near))
    return PRUNERS[name].make(rungs)


def should_stop(trial: optuna.Trial, objectives: int) -> bool:
    """Whether the study's pruner gives up on a trial after its last report.

    With several objectives nobody is given up: who is slow to learn may still be the fastest.
    """
    return objectives == 1 and trial.should_prune()
