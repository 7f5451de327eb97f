"""Between a searcher and the Optuna study that records what it proposes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from rnndsl.search.counting import Derivation
from rnndsl.search.record import CELL, CHOICES, REDONE, read_record
from rnndsl.search.searchers.derivations import complete, propose, read_choices
from rnndsl.search.searchers.plain import cell_of_text
from rnndsl.search.searchers.protocol import Choices, Judged, Origin, derived_rng, derived_seed
from rnndsl.search.searchers.protocol import Proposal as Proposed
from rnndsl.search.searchers.table import SEARCHERS, SearcherRecord, find_searcher
from rnndsl.search.space import Space
from rnndsl.search.worker import begin_trial
from rnndsl.syntax import CellDefinition

SAMPLERS = SEARCHERS
SamplerRecord = SearcherRecord
sampler = find_searcher

SEARCHER = "searcher"  # the user attribute of a trial: how its proposal came about

__all__ = [
    "SAMPLERS",
    "Proposal",
    "SamplerRecord",
    "StudySearcher",
    "derived_seed",
    "judged_trials",
    "sampler",
]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A cell to be judged, and the trial that records it."""

    trial: optuna.Trial
    cell: CellDefinition
    choices: Choices


class StudySearcher:
    """A searcher at work on a study, in one of the processes that share it.

    It keeps nothing that is not in the study: before each proposal the searcher is told what
    has finished since, and a new one, all that ever did.  So a study that was interrupted goes
    on as if it had not been.
    """

    def __init__(
        self, record: SearcherRecord, space: Space, study: optuna.Study, seed: int
    ) -> None:
        self._space, self._study, self._seed = space, study, seed
        self._searcher = record.make(space, seed)
        self._told: set[int] = set()
        self.open_ended = not space.roots  # edits of a plain cell never run out

    def ask(self) -> Proposal | None:
        """The next cell; its trial is in the storage, running, with all its choices.

        What was queued, since it was interrupted, comes first.  None when nothing is left.
        """
        trials = self._study.get_trials(deepcopy=False)
        self._catch_up(trials)
        expected = len(trials)
        queued = any(trial.state is TrialState.WAITING for trial in trials)
        proposed = None if queued else self._searcher.ask(_turn(trials), _running(trials))
        if not queued and proposed is None:
            return None
        trial = begin_trial(self._study, self._seed)
        again = self._queued(trial)
        if again is not None:
            proposed = again
        elif proposed is None or trial.number != expected:
            # Another process was quicker; its trial may be known by now.
            others = [t for t in self._study.get_trials(deepcopy=False) if t.number < trial.number]
            self._catch_up(others)
            proposed = self._searcher.ask(_turn(others), _running(others)) or proposed
        if proposed is None:
            self._study.tell(trial, state=TrialState.FAIL)
            return None
        self._record(trial, proposed)
        return Proposal(trial, proposed.cell, proposed.choices)

    def tell(
        self, proposal: Proposal, state: TrialState, value: float | Sequence[float] | None
    ) -> None:
        """Finish the trial: COMPLETE with its score or scores, or PRUNED or FAIL without."""
        self._study.tell(proposal.trial, value, state=state)

    def _catch_up(self, trials: Sequence[FrozenTrial]) -> None:
        for judged in judged_trials(trials):
            if judged.number not in self._told:
                self._told.add(judged.number)
                self._searcher.tell(judged)

    def _queued(self, trial: optuna.Trial) -> Proposed | None:
        """The proposal that a trial was queued with; None if it was not, or it makes no sense."""
        stored = self._study.get_trials(deepcopy=False)[trial.number]
        fixed: Mapping[str, Any] = stored.system_attrs.get("fixed_params", {})
        pairs = stored.user_attrs.get(CHOICES) or [(_bare(k), v) for k, v in fixed.items()]
        origin = Origin("done again")
        if pairs:
            derivation: Derivation = read_choices(self._space, pairs) or {}
            rng = derived_rng(self._seed, trial.number)
            return propose(self._space, complete(self._space, derivation, rng), origin)
        text = stored.user_attrs.get(CELL, {}).get("text", "")
        return Proposed(cell_of_text(text), (), origin) if text else None

    def _record(self, trial: optuna.Trial, proposed: Proposed) -> None:
        trial.set_user_attr(SEARCHER, proposed.origin.to_json())
        if proposed.choices:
            trial.set_user_attr(CHOICES, [list(pair) for pair in proposed.choices])
        options = {name: self._space.table[name].labels for name, _ in proposed.choices}
        keys = _parameters(self._study, options)
        given = {keys[name]: label for name, label in proposed.choices}
        trial.study.sampler = _Given(given)
        for name, labels in options.items():
            trial.suggest_categorical(keys[name], labels)


def judged_trials(trials: Sequence[FrozenTrial]) -> list[Judged]:
    """What a searcher is told of the finished trials of a study, in order of their numbers."""
    found: list[Judged] = []
    for trial in trials:
        record = read_record(trial)
        if record is None:
            continue
        origin = trial.user_attrs.get(SEARCHER)
        found.append(
            Judged(
                number=record.number,
                kind=record.kind,
                choices=_choices(trial),
                text=record.text,
                hash=record.hash,
                scores=record.scores,
                curve=record.curve,
                origin=Origin.from_json(origin) if origin else Origin(""),
            )
        )
    return found


def _turn(trials: Sequence[FrozenTrial]) -> int:
    records = [read_record(trial) for trial in trials]
    return len(trials) - sum(record is not None and record.kind in REDONE for record in records)


def _running(trials: Sequence[FrozenTrial]) -> list[Choices]:
    """The choices of running trials; a plain cell that runs is one choice, its text."""
    running = [trial for trial in trials if trial.state is TrialState.RUNNING]
    return [
        _choices(trial) or (("", trial.user_attrs.get(CELL, {}).get("text", "")),)
        for trial in running
    ]


def _choices(trial: FrozenTrial) -> Choices:
    pairs = trial.user_attrs.get(CHOICES) or [(_bare(k), v) for k, v in trial.params.items()]
    return tuple((name, label) for name, label in pairs)


# ------------------------------------------------------------------- as Optuna's parameters


class _Given(BaseSampler):
    """Lets Optuna record choices that were made elsewhere."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.labels = labels

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self.labels[param_name]


def _parameters(study: optuna.Study, options: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """The parameter for each choice: its name, or `name~2` once its options have changed.

    Optuna lets no parameter change its choices, but a space may grow.
    """
    known: dict[str, BaseDistribution] = {}
    for trial in study.get_trials(deepcopy=False):
        known |= trial.distributions
    found: dict[str, str] = {}
    for name, labels in options.items():
        wanted = CategoricalDistribution(labels)
        keys = (name if version == 1 else f"{name}~{version}" for version in count(1))
        found[name] = next(key for key in keys if known.get(key, wanted) == wanted)
    return found


def _bare(key: str) -> str:
    return key.partition("~")[0]
