"""Searching a fixed pool of cells whose scores are known to somebody: for tabular benchmarks.

The same interface, with numbers of cells in place of proposals: ``ask(turn)`` names a cell of the
pool that was not asked for, ``tell`` gives its score.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState, create_trial

from rnndsl.search.searchers.protocol import Judged, derived_rng, derived_seed
from rnndsl.search.searchers.ranking import Array, Features, fit_ranking, scale_of
from rnndsl.search.searchers.scores import places


@dataclass(frozen=True)
class Pool:
    """Cells by their numbers in the pool: an identifier and the features of each."""

    ids: tuple[str, ...]
    features: tuple[Features, ...]

    def __len__(self) -> int:
        return len(self.ids)


class PoolSearcher(Protocol):
    """Chooses the next cell of a pool."""

    def ask(self, turn: int) -> int | None:
        """The number of a cell that was not told yet; None when all were."""

    def tell(self, cell: int, score: float | None) -> None:
        """The score of a cell, lower is better; None when it failed."""


MakePoolSearcher = Callable[[Pool, int], PoolSearcher]


def query(
    searcher: PoolSearcher, score: Callable[[int], float | None], queries: int
) -> list[tuple[int, float | None]]:
    """The cells that a searcher asks for, in order, with their scores."""
    asked: list[tuple[int, float | None]] = []
    for turn in range(queries):
        cell = searcher.ask(turn)
        if cell is None:
            break
        value = score(cell)
        searcher.tell(cell, value)
        asked.append((cell, value))
    return asked


class RandomPool:
    """Any cell that is left."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self.pool, self.seed = pool, seed
        self.told: dict[int, float | None] = {}

    @property
    def left(self) -> list[int]:
        """The cells that were not told."""
        return [cell for cell in range(len(self.pool)) if cell not in self.told]

    def ask(self, turn: int) -> int | None:
        left = self.left
        return self.draw(turn).choice(left) if left else None

    def tell(self, cell: int, score: float | None) -> None:
        self.told[cell] = score

    def draw(self, turn: int) -> random.Random:
        """The generator of a turn."""
        return derived_rng(self.seed, turn)


class FixedPool(RandomPool):
    """The cell with the greatest value of one feature: no learning at all."""

    def __init__(self, pool: Pool, seed: int, feature: str) -> None:
        super().__init__(pool, seed)
        self._feature = feature

    def ask(self, turn: int) -> int | None:
        values = [(self._value(cell), -cell) for cell in self.left]
        return -max(values)[1] if values else None

    def _value(self, cell: int) -> float:
        value = self.pool.features[cell].get(self._feature, -np.inf)
        return -np.inf if math.isnan(value) else value


class RankedPool(RandomPool):
    """The cell that a ranking model expects most of.

    The first ``first`` cells are random.  The model is fitted again after every ``every``
    cells; ``spread`` standard deviations of doubt count in a cell's favour.
    """

    def __init__(
        self, pool: Pool, seed: int, first: int = 10, every: int = 1, spread: float = 0.5
    ) -> None:
        super().__init__(pool, seed)
        self._first, self._every, self._spread = max(2, first), max(1, every), spread
        self._order: list[float] = []
        self._fitted = 0

    def ask(self, turn: int) -> int | None:
        left = self.left
        if len(self.told) < self._first or not left:
            return super().ask(turn)
        if not self._order or len(self.told) >= self._fitted + self._every:
            self._fit()
        return min(left, key=lambda cell: (self._order[cell], cell))

    def _fit(self) -> None:
        known = list(self.told)
        cells = [self.pool.features[cell] for cell in known]
        seed = derived_seed(self.seed, f"fit {len(known)}")
        ranking = fit_ranking(cells, score_places([self.told[cell] for cell in known]), seed)
        means, spreads = ranking.predict(self.pool.features)
        self._order = [float(value) for value in means - self._spread * spreads]
        self._fitted = len(known)


class OptunaPool(RandomPool):
    """The cell nearest to the features that an Optuna sampler proposes.

    The features are standardised; those that hardly vary together with others stand for them:
    the sampler works in the ``axes`` directions of greatest variance.
    """

    def __init__(
        self,
        pool: Pool,
        seed: int,
        make_sampler: Callable[[int], BaseSampler] | None = None,
        axes: int = 8,
    ) -> None:
        super().__init__(pool, seed)
        self._make_sampler = make_sampler or _tpe
        inputs = scale_of(pool.features).apply(pool.features)
        _, _, directions = np.linalg.svd(inputs - inputs.mean(axis=0), full_matrices=False)
        self._points: Array = (inputs - inputs.mean(axis=0)) @ directions[:axes].T
        low, high = self._points.min(axis=0), self._points.max(axis=0)
        self._axes: dict[str, BaseDistribution] = {
            f"f{k}": FloatDistribution(float(a), float(b))
            for k, (a, b) in enumerate(zip(low, high, strict=True))
        }
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study()

    def tell(self, cell: int, score: float | None) -> None:
        super().tell(cell, score)
        params = dict(zip(self._axes, map(float, self._points[cell]), strict=True))
        state = TrialState.PRUNED if score is None else TrialState.COMPLETE
        self._study.add_trial(
            create_trial(state=state, value=score, params=params, distributions=self._axes)
        )

    def ask(self, turn: int) -> int | None:
        left = self.left
        if not left:
            return None
        self._study.sampler = self._make_sampler(derived_seed(self.seed, turn))
        trial = self._study.ask(self._axes)
        wanted = np.array([trial.params[name] for name in self._axes])
        self._study.tell(trial, state=TrialState.FAIL)
        distances = ((self._points[left] - wanted) ** 2).sum(axis=1)
        return left[int(distances.argmin())]


def _tpe(seed: int) -> BaseSampler:
    return optuna.samplers.TPESampler(seed=seed, multivariate=True)


def score_places(scores: Sequence[float | None]) -> list[float]:
    """The place of each score, 0 for the best; failures share the last places."""
    return places(
        [
            Judged(k, "failed" if score is None else "scored", (), scores=_scores(score))
            for k, score in enumerate(scores)
        ]
    )


def _scores(score: float | None) -> tuple[float, ...]:
    return () if score is None else (score,)


def _covariance(pool: Pool, seed: int) -> PoolSearcher:
    return FixedPool(pool, seed, "hidden_covariance")


POOL_SEARCHERS: Mapping[str, MakePoolSearcher] = {
    "random": RandomPool,
    "covariance": _covariance,
    "ranked": RankedPool,
    "tpe": OptunaPool,
}
