"""Any searcher behind a ranking model: it proposes many cells, the most promising is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rnndsl.diagnostics import RnndslError
from rnndsl.search.candidate import Candidate, read_candidate
from rnndsl.search.reading import candidate_text
from rnndsl.search.record import REDONE
from rnndsl.search.searchers.protocol import (
    Choices,
    Judged,
    Origin,
    Proposal,
    Searcher,
    derived_rng,
    derived_seed,
)
from rnndsl.search.searchers.ranking import Features, Ranking, fit_ranking
from rnndsl.search.searchers.scores import is_scored, places
from rnndsl.search.space import Space

FeaturesOf = Callable[[Candidate], Features]

# Known by its name among the features: what ranks cells before enough of them are trained.
UNTRAINED = "hidden_covariance"  # higher is better

_SPREAD = 0.5  # how many standard deviations of doubt count in favour of a cell
_INNER = "inner"  # the note that holds the inner searcher's own


@dataclass(frozen=True, slots=True)
class _Drawn:
    proposal: Proposal
    hash: str
    features: Features


class RankedSearcher:
    """Takes the best of ``draws`` proposals of another searcher.

    ``features`` describes a cell; a model of the places of all finished trials is fitted again
    whenever some have finished.  Before ``warmup`` cells have scores, cells are ranked by their
    hidden covariance at random parameters (Serianni & Kalita 2023).  With probability
    ``explore`` the first proposal is taken as it is.  Of proposals that are one cell, or were
    judged already, or do not pass the checks, only a first one is considered.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        inner: Searcher,
        features: FeaturesOf,
        draws: int = 24,
        warmup: int = 20,
        explore: float = 0.1,
    ) -> None:
        self._space, self._seed, self._inner = space, seed, inner
        self._features_of, self._features = features, dict[str, Features]()
        self._draws, self._warmup, self._explore = max(1, draws), warmup, explore
        self._told: list[Judged] = []
        self._ranking: Ranking | None = None

    def tell(self, trial: Judged) -> None:
        notes = trial.origin.notes
        inner = replace(trial, origin=replace(trial.origin, notes=notes.get(_INNER, {})))
        self._inner.tell(inner)
        if trial.kind not in REDONE:
            self._told.append(trial)
            self._ranking = None

    def ask(self, turn: int, running: Sequence[Choices] = ()) -> Proposal | None:
        first = self._inner.ask(turn * self._draws, running)
        if first is None or derived_rng(self._seed, turn).random() < self._explore:
            return None if first is None else _signed(first, {})
        drawn = self._draw(first, turn, running)
        if not drawn:
            return _signed(first, {})
        scores = self._judge([cell.features for cell in drawn])
        best = min(range(len(drawn)), key=lambda k: (scores[k], k))
        return _signed(drawn[best].proposal, {"expected": scores[best], "of": len(drawn)})

    def _draw(self, first: Proposal, turn: int, running: Sequence[Choices]) -> list[_Drawn]:
        """Different new cells that pass the checks."""
        judged = {trial.hash for trial in self._told}
        drawn: dict[str, _Drawn] = {}
        proposal: Proposal | None = first
        for k in range(1, self._draws + 1):
            if proposal is None:
                break
            described = self._describe(candidate_text(self._space, proposal.cell))
            if described is not None and described[0] not in judged:
                drawn.setdefault(described[0], _Drawn(proposal, *described))
            if k < self._draws:
                proposal = self._inner.ask(turn * self._draws + k, running)
        return list(drawn.values())

    def _describe(self, text: str) -> tuple[str, Features] | None:
        try:
            candidate = read_candidate(text)
        except RnndslError:
            return None
        if candidate.hash not in self._features:
            self._features[candidate.hash] = self._features_of(candidate)
        return candidate.hash, self._features[candidate.hash]

    def _judge(self, cells: Sequence[Features]) -> list[float]:
        """What is expected of each cell, lower is better."""
        if self._ranking is None:
            self._ranking = self._fit()
        if self._ranking is None:
            return [-cell.get(UNTRAINED, 0.0) for cell in cells]
        means, spreads = self._ranking.predict(cells)
        return [float(value) for value in means - _SPREAD * spreads]

    def _fit(self) -> Ranking | None:
        """The model of all different cells; None while too few of them have scores."""
        known: dict[str, tuple[Judged, Features]] = {}
        for trial in self._told:
            described = self._describe(trial.text)
            if described is not None:
                known.setdefault(described[0], (trial, described[1]))
        trials = [trial for trial, _ in known.values()]
        if sum(map(is_scored, trials)) < max(2, self._warmup):
            return None
        cells = [features for _, features in known.values()]
        return fit_ranking(cells, places(trials), derived_seed(self._seed, len(self._told)))


def make_ranked(
    space: Space, seed: int, inner: str, draws: int, warmup: int, explore: float
) -> RankedSearcher:
    """The searcher called ``inner`` behind a model of structure and of conduct at the start."""
    from rnndsl.search.searchers.table import find_searcher

    made = find_searcher(inner).make(space, seed)
    return RankedSearcher(space, seed, made, cell_features, draws, warmup, explore)


def _signed(proposal: Proposal, notes: Mapping[str, Any]) -> Proposal:
    origin = proposal.origin
    how = f"ranked: {origin.how}"
    return replace(
        proposal, origin=Origin(how, origin.parents, {**notes, _INNER: dict(origin.notes)})
    )


def cell_features(candidate: Candidate) -> Features:
    """Features of a cell's structure, and of what it does with random parameters.

    The probe is smaller than usual: a question describes dozens of cells.
    """
    from rnndsl.search.features import Probe, behaviour_features, structural_features

    probe = Probe(hidden_size=16, batch=24, steps=40, jacobian_steps=10, vocabulary=1000)
    conduct = behaviour_features(candidate.lowered, probe=probe)
    return {**structural_features(candidate.graph), **conduct}
