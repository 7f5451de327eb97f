"""Searchers: who proposes the next cell.  All of them ask and tell one Optuna study."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from rnndsl.diagnostics import RnndslError, did_you_mean
from rnndsl.search.counting import Counter
from rnndsl.search.errors import UnknownSampler
from rnndsl.search.fill import fill
from rnndsl.search.space import Space
from rnndsl.search.worker import begin_trial
from rnndsl.syntax import CellDefinition

MakeSampler = Callable[[int], BaseSampler]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A cell to be judged, and the trial that records it."""

    trial: optuna.Trial
    cell: CellDefinition
    choices: tuple[tuple[str, str], ...]  # name and label, in the order of the decisions


class Searcher(Protocol):
    """What the study's loop needs: proposals, and an ear for how they did."""

    def ask(self) -> Proposal:
        """The next cell; its trial is in the storage, running, with all its choices."""

    def tell(self, proposal: Proposal, state: TrialState, value: float | None) -> None:
        """Finish the trial: COMPLETE with its score, or PRUNED or FAIL without."""


@dataclass(frozen=True, slots=True)
class SamplerRecord:
    """A searcher by name; ``prepare(space)`` gives the maker of its Optuna samplers by seed."""

    name: str
    summary: str
    prepare: Callable[[Space], MakeSampler]


class StudySearcher:
    """A searcher made of a sampler: each choice of the space is a categorical parameter.

    The sampler is made anew for every trial, with a seed derived from the study's seed and the
    trial's number.  So a study that was interrupted goes on as if it had not been, and does not
    propose its first cells again.
    """

    def __init__(self, record: SamplerRecord, space: Space, study: optuna.Study, seed: int) -> None:
        self._space, self._study, self._seed = space, study, seed
        self._make_sampler = record.prepare(space)

    def ask(self) -> Proposal:
        number = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = self._make_sampler(derived_seed(self._seed, number))
        trial = begin_trial(self._study, self._seed)
        choices: list[tuple[str, str]] = []

        def decide(name: str, options: tuple[str, ...]) -> int:
            label = trial.suggest_categorical(name, options)
            choices.append((name, label))
            return options.index(label)

        cell = fill(self._space, decide)
        return Proposal(trial, cell, tuple(choices))

    def tell(self, proposal: Proposal, state: TrialState, value: float | None) -> None:
        self._study.tell(proposal.trial, value, state=state)


def derived_seed(seed: int, number: int) -> int:
    """A 32-bit seed of its own for trial ``number``; equal on every machine."""
    return random.Random(f"{seed} {number}").getrandbits(32)


# -------------------------------------------------------------------------------- random


class DerivationSampler(BaseSampler):
    """Draws whole derivations: a size first, each as likely, then any cell of it."""

    def __init__(self, space: Space, counter: Counter, seed: int) -> None:
        self._space, self._counter, self._seed = space, counter, seed

    @cached_property
    def _derivation(self) -> dict[str, int]:
        return self._counter.draw_by_size(random.Random(self._seed))

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        table = self._space.table
        return {name: CategoricalDistribution(table[name].labels) for name in self._derivation}

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        table = self._space.table
        return {name: table[name].labels[index] for name, index in self._derivation.items()}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        # Only reached when some choices of the trial were fixed from outside.
        labels = self._space.table[param_name].labels
        return random.Random(f"{self._seed} {param_name}").choice(labels)


def _random(space: Space) -> MakeSampler:
    counter = Counter(space)
    return lambda seed: DerivationSampler(space, counter, seed)


# ----------------------------------------------------------------------------------- tpe


def _tpe(space: Space) -> MakeSampler:
    """Optuna's tree-structured Parzen estimator.

    ``multivariate``: the holes that every cell has are proposed jointly, as one line's choices
    depend on another's.  A hole that only some cells have is proposed by itself, from the
    trials that had it; that is what Optuna does outside the intersection of all trials, and it
    suits grown expressions, where a place means the same whatever else is grown.  ``group``,
    which would propose jointly what always occurs together, did no better in trials on nested
    spaces, is experimental, and draws a value for every place ever seen.
    """
    return lambda seed: TPESampler(seed=seed, multivariate=True, group=False)


SAMPLERS: dict[str, SamplerRecord] = {
    record.name: record
    for record in (
        SamplerRecord("random", "sizes alike, cells of one size alike", _random),
        SamplerRecord("tpe", "learns which choices go with good scores", _tpe),
    )
}


def sampler(name: str) -> SamplerRecord:
    """The sampler of that name; RnndslError (E0608) if there is none."""
    if name not in SAMPLERS:
        known: Sequence[str] = tuple(SAMPLERS)
        near = did_you_mean(name, known)
        raise RnndslError(UnknownSampler(None, name, ", ".join(known), near))
    return SAMPLERS[name]
