"""How well rankers order cells that they have not seen, by rank correlation."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.stats import spearmanr
from table import Cell

from rnndsl.search.searchers.ranking import fit_ranking

# ranker(known, unknown, seed) is a number for each unknown cell, lower for a better one.
Ranker = Callable[[Sequence[Cell], Sequence[Cell], int], Sequence[float]]
SIZES = (25, 50, 100, 200, 500)


def _ours(*, behaviour: bool) -> Ranker:
    def rank(known: Sequence[Cell], unknown: Sequence[Cell], seed: int) -> Sequence[float]:
        def features(cell: Cell) -> Mapping[str, float]:
            return cell.features if behaviour else cell.structure

        order = np.argsort(np.argsort([loss_of(cell) for cell in known], kind="stable"))
        ranking = fit_ranking([features(cell) for cell in known], order.tolist(), seed)
        return list(ranking.predict([features(cell) for cell in unknown])[0])

    return rank


def _forest(known: Sequence[Cell], unknown: Sequence[Cell], seed: int) -> Sequence[float]:
    """The plain random forest, of the losses themselves."""
    from sklearn.ensemble import RandomForestRegressor

    names = sorted(known[0].structure)
    model = RandomForestRegressor(n_estimators=200, random_state=seed)
    model.fit([[c.structure[n] for n in names] for c in known], [loss_of(c) for c in known])
    return list(model.predict([[c.structure[n] for n in names] for c in unknown]))


def _covariance(known: Sequence[Cell], unknown: Sequence[Cell], seed: int) -> Sequence[float]:
    """Hidden covariance at random parameters: nothing is learnt."""
    return [-cell.behaviour["hidden_covariance"] for cell in unknown]


RANKERS: Mapping[str, Ranker] = {
    "ranking model": _ours(behaviour=True),
    "ranking model, structure alone": _ours(behaviour=False),
    "random forest, structure alone": _forest,
    "hidden covariance": _covariance,
}


def loss_of(cell: Cell) -> float:
    assert cell.loss is not None
    return cell.loss


def correlations(cells: Sequence[Cell], size: int, repeats: int) -> dict[str, list[float]]:
    """Spearman's rank correlation on the cells that are left, for each ranker and split.

    Equal cells are never on both sides of a split: whole groups go to one side.
    """
    finite = [cell for cell in cells if cell.loss is not None]
    found: dict[str, list[float]] = {name: [] for name in RANKERS}
    for repeat in range(repeats):
        known, unknown = _split(finite, size, repeat)
        losses = [loss_of(cell) for cell in unknown]
        for name, ranker in RANKERS.items():
            found[name].append(float(spearmanr(ranker(known, unknown, repeat), losses)[0]))
    return found


def _split(cells: Sequence[Cell], size: int, seed: int) -> tuple[list[Cell], list[Cell]]:
    """About ``size`` cells of random groups, and the others."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.group, []).append(cell)
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    known: list[Cell] = []
    while len(known) < size:
        known += groups[order.pop()]
    return known, [cell for group in order for cell in groups[group]]
