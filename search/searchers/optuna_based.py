"""Optuna's samplers as searchers: every choice of the space is a categorical parameter.

The trials live in a study in memory, rebuilt from what was told, with the options that the
space has now; so a space may grow, although Optuna forbids to change a parameter's choices.
The sampler is made anew for every turn with a seed of its own: it keeps nothing to itself.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState, create_trial

from rnndsl.diagnostics import RnndslError
from rnndsl.search.counting import Derivation
from rnndsl.search.errors_searchers import ScipyMissing
from rnndsl.search.fill import fill
from rnndsl.search.record import REDONE, STATES
from rnndsl.search.searchers.derivations import label_choices, propose, read_choices
from rnndsl.search.searchers.news import News
from rnndsl.search.searchers.protocol import (
    Choices,
    Judged,
    Origin,
    Proposal,
    derived_rng,
    derived_seed,
)
from rnndsl.search.searchers.scores import is_scored
from rnndsl.search.space import Space

MakeSampler = Callable[[int], BaseSampler]  # from a seed

# A sampler may propose its favourite again and again.  It is asked so often, and then a cell one
# edit away from its last answer takes its place; or more than one, if those are known as well.
_ATTEMPTS = 2

# Each question leaves a trial in memory; the study is built again when there are so many more
# of them than of trials that were told.
_ASKED = 300


class OptunaSearcher:
    """Asks a sampler; ``keeps`` are prefixes of the notes that it leaves with its trials."""

    def __init__(
        self,
        space: Space,
        seed: int,
        name: str,
        make_sampler: MakeSampler,
        keeps: tuple[str, ...] = (),
        default_notes: Mapping[str, Any] | None = None,
    ) -> None:
        self._space, self._seed, self._name = space, seed, name
        self._make_sampler, self._keeps = make_sampler, keeps
        self._default_notes = dict(default_notes or {})
        self._news = News(space)
        self._told: list[Judged] = []
        self._study: optuna.Study | None = None
        self._objectives = 1

    def tell(self, trial: Judged) -> None:
        self._news.note(trial.choices)
        self._told.append(trial)
        if len(trial.scores) > self._objectives:
            # Only now is it known how many there are: begin again with all of them.
            self._objectives, self._study = len(trial.scores), None
        elif self._study is not None:
            self._add(self._study, trial)

    def ask(self, turn: int, running: Sequence[Choices] = ()) -> Proposal | None:
        study = self._current_study()
        notes: dict[str, Any] = {}
        draw = derived_rng(self._seed, turn)
        derivation: Derivation | None = None
        with _others(study, self._running(running)):
            for attempt in range(0 if self._news.exhausted else _ATTEMPTS):
                seed = derived_seed(self._seed, turn if not attempt else f"{turn} {attempt}")
                if self._keeps:
                    # NSGA-II gives the first child of a generation its parents in another order
                    # than the later ones; which is the first must not matter.
                    study.sampler = self._make_sampler(seed)
                    self._draw(study)
                study.sampler = self._make_sampler(seed)
                derivation, notes = self._draw(study)
                if self._news.is_new(derivation, running):
                    return propose(self._space, derivation, Origin(self._name, notes=notes))
        return self._news.propose_near(derivation, self._name, draw, running, notes)

    def _draw(self, study: optuna.Study) -> tuple[Derivation, dict[str, Any]]:
        trial = study.ask()
        derivation: Derivation = {}

        def decide(name: str, labels: tuple[str, ...]) -> int:
            derivation[name] = labels.index(trial.suggest_categorical(name, labels))
            return derivation[name]

        fill(self._space, decide)
        attrs = study.get_trials(deepcopy=False)[trial.number].system_attrs
        study.tell(trial, state=TrialState.FAIL)
        return derivation, {k: v for k, v in attrs.items() if k.startswith(self._keeps)}

    # ------------------------------------------------------------------- the study in memory

    def _current_study(self) -> optuna.Study:
        asked = 0 if self._study is None else len(self._study.get_trials(deepcopy=False))
        if self._study is None or asked > 2 * len(self._told) + _ASKED:
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            self._study = optuna.create_study(directions=["minimize"] * self._objectives)
            for trial in self._told:
                self._add(self._study, trial)
        return self._study

    def _add(self, study: optuna.Study, trial: Judged) -> None:
        derivation = read_choices(self._space, trial.choices)
        if derivation is None or trial.kind in REDONE:
            return
        complete = is_scored(trial) and len(trial.scores) == self._objectives
        state = TrialState.COMPLETE if complete else STATES.get(trial.kind, TrialState.FAIL)
        if not complete and (state is TrialState.COMPLETE or self._objectives > 1):
            state = TrialState.FAIL  # Optuna prunes no trial of several objectives
        notes = {k: v for k, v in trial.origin.notes.items() if k.startswith(self._keeps)}
        self._insert(
            study,
            derivation,
            state,
            values=list(trial.scores) if complete else None,
            intermediate_values=dict(trial.curve) if self._objectives == 1 else {},
            system_attrs=notes or self._default_notes,
        )

    def _insert(
        self, study: optuna.Study, derivation: Derivation, state: TrialState, **parts: Any
    ) -> int:
        choices = dict(label_choices(self._space, derivation))
        table = self._space.table
        distributions: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(table[name].labels) for name in choices
        }
        study.add_trial(
            create_trial(state=state, params=choices, distributions=distributions, **parts)
        )
        return len(study.get_trials(deepcopy=False)) - 1

    def _running(self, running: Sequence[Choices]) -> Callable[[optuna.Study], list[int]]:
        def insert(study: optuna.Study) -> list[int]:
            found = (read_choices(self._space, choices) for choices in running)
            return [
                self._insert(study, derivation, TrialState.RUNNING)
                for derivation in found
                if derivation is not None
            ]

        return insert


@contextmanager
def _others(study: optuna.Study, insert: Callable[[optuna.Study], list[int]]) -> Iterator[None]:
    """While it is open, the study has the trials that other workers are running."""
    numbers = insert(study)
    try:
        yield
    finally:
        for number in numbers:
            study.tell(number, state=TrialState.FAIL)


# ------------------------------------------------------------------------------ the samplers


def make_tpe(space: Space, seed: int) -> OptunaSearcher:
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011; Watanabe 2023).

    ``multivariate``: the holes that every cell has are proposed jointly, as one line's choices
    depend on another's.  A hole that only some cells have is proposed by itself, from the
    trials that had it; that is what Optuna does outside the intersection of all trials, and it
    suits grown expressions, where a place means the same whatever else is grown.  ``group``,
    which would propose jointly what always occurs together, did no better in trials on nested
    spaces, is experimental, and draws a value for every place ever seen.
    """

    def make(seed: int) -> BaseSampler:
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=False)

    return OptunaSearcher(space, seed, "tpe", make)


def make_gp(space: Space, seed: int) -> OptunaSearcher:
    """Optuna's Gaussian process with expected improvement (log EI; EHVI for several).

    It models the holes that every cell has; the others are drawn at random.  RnndslError
    (E0632) when SciPy is not installed, with which Optuna computes it.
    """
    if importlib.util.find_spec("scipy") is None:
        raise RnndslError(ScipyMissing(None, "gp"))

    def make(seed: int) -> BaseSampler:
        return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)

    return OptunaSearcher(space, seed, "gp", make)


def make_nsga2(space: Space, seed: int, population: int = 20) -> OptunaSearcher:
    """Optuna's NSGA-II (Deb et al. 2002): generations of ``population`` cells.

    Trials that it did not propose itself count as its first generation.
    """

    def make(seed: int) -> BaseSampler:
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=population)

    prefix = "NSGAIISampler:"
    first = {f"{prefix}generation": 0}
    return OptunaSearcher(space, seed, "nsga2", make, (prefix,), first)
