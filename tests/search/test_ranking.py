"""The ranking model, the searcher behind it, and searches of a fixed pool."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest

pytest.importorskip("optuna", reason="searching needs Optuna")

import rnndsl
from rnndsl.search.candidate import read_candidate
from rnndsl.search.reading import read_space
from rnndsl.search.searchers.forest import grow_forest, predict_forest
from rnndsl.search.searchers.pool import POOL_SEARCHERS, FixedPool, Pool, query
from rnndsl.search.searchers.protocol import Judged
from rnndsl.search.searchers.ranked import RankedSearcher, cell_features
from rnndsl.search.searchers.ranking import Features, fit_ranking, normal_scores, scale_of
from rnndsl.search.searchers.rehearse import rehearse
from rnndsl.search.searchers.scores import places
from rnndsl.search.searchers.uniform import RandomSearcher
from tests.search.rehearsals import SMALL, score_of


def problem(
    count: int, seed: int
) -> tuple[list[Features], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Cells with three features that matter, also together, and twelve that do not."""
    draw = np.random.default_rng(seed)
    values = draw.standard_normal((count, 15))
    scores = values[:, 0] - 2 * np.tanh(3 * values[:, 1]) + values[:, 0] * (values[:, 2] > 0)
    return [{f"f{k}": float(v) for k, v in enumerate(row)} for row in values], scores


def agreement(left: Iterable[float], right: Iterable[float]) -> float:
    """Spearman's rank correlation."""
    first, second = (np.argsort(np.argsort(list(values))) for values in (left, right))
    return float(np.corrcoef(first, second)[0, 1])


def test_the_model_orders_cells_that_it_has_not_seen() -> None:
    cells, scores = problem(120, 0)
    others, wanted = problem(200, 1)
    order = np.argsort(np.argsort(scores))
    for count, least in ((20, 0.4), (120, 0.7)):
        part = np.argsort(np.argsort(order[:count]))
        means, spreads = fit_ranking(cells[:count], list(map(float, part)), 0).predict(others)
        assert agreement(means, wanted) > least
    assert (spreads > 0).all()
    # It is less sure of cells that are far from all that it knows.
    far = [{name: 20 * value for name, value in cell.items()} for cell in others]
    assert (
        fit_ranking(cells, list(map(float, order)), 0)
        .process.predict(scale_of(cells).apply(far))[1]
        .mean()
        > 0.9
    )


def test_only_the_order_of_scores_counts() -> None:
    _, scores = problem(40, 0)
    trials = [Judged(k, "scored", (), scores=(float(v),)) for k, v in enumerate(scores)]
    warped = [Judged(k, "scored", (), scores=(math.exp(5 * v),)) for k, v in enumerate(scores)]
    assert places(trials) == places(warped)
    assert normal_scores([0, 1, 2]).round(3).tolist() == [-0.967, 0.0, 0.967]


def test_features_that_are_missing_constant_or_not_finite_do_no_harm() -> None:
    cells: list[Features] = [
        {"a": float(k), "same": 1.0, "odd": math.inf if k % 2 else math.nan}
        | ({"b": k} if k > 5 else {})
        for k in range(12)
    ]
    model = fit_ranking(cells, list(map(float, range(12))), 0)
    assert "same" not in model.scale.names
    means, _ = model.predict([*cells, {}])
    assert np.isfinite(means).all() and agreement(means[:-1], range(12)) > 0.9


def test_a_forest_is_the_same_for_the_same_seed_and_fits_its_examples() -> None:
    draw = np.random.default_rng(0)
    inputs = draw.standard_normal((60, 4))
    targets = np.where(inputs[:, 2] > 0.2, 1.0, -1.0)
    forests = [
        grow_forest(inputs, targets, np.random.default_rng(s), 30, share=1.0) for s in (0, 0, 1)
    ]
    means = [predict_forest(forest, inputs)[0] for forest in forests]
    assert (means[0] == means[1]).all() and (means[0] != means[2]).any()
    assert (np.sign(means[0]) == targets).mean() > 0.95


# --------------------------------------------------------------------------- places of trials


def test_places_are_by_score_then_by_how_far_a_pruned_cell_came() -> None:
    trials = [
        Judged(0, "rejected", ()),
        Judged(1, "pruned", (), curve={1: 2.0}),
        Judged(2, "scored", (), scores=(5.0,)),
        Judged(3, "pruned", (), curve={1: 3.0, 2: 9.0}),
        Judged(4, "scored", (), scores=(1.0,)),
        Judged(5, "diverged", ()),
        Judged(6, "scored", (), scores=(5.0,)),
    ]
    assert places(trials) == [5.5, 4, 1.5, 3, 0, 5.5, 1.5]


def test_places_for_several_objectives_are_fronts_and_then_room() -> None:
    scores = [(0.0, 4.0), (1.0, 1.0), (4.0, 0.0), (2.0, 2.0), (0.9, 1.2)]
    trials = [Judged(k, "scored", (), scores=values) for k, values in enumerate(scores)]
    found = places(trials)
    assert found[3] == 4  # the only one that another beats in both
    assert found[0] == found[2] == 0.5  # the ends of the front have most room
    assert found[1] < found[4]


# --------------------------------------------------------------------------- before a searcher


def test_few_scored_cells_are_ranked_by_hidden_covariance() -> None:
    space = read_space(SMALL)

    def features(candidate: object) -> Features:
        return {"hidden_covariance": -float(len(candidate.text))}  # type: ignore[attr-defined]

    inner = RandomSearcher(space, 0)
    ranked = RankedSearcher(space, 0, inner, features, draws=40, explore=0.0)
    trials = rehearse(ranked, space, score_of, 5)
    plain = rehearse(RandomSearcher(space, 0), space, score_of, 5)
    assert max(len(t.text) for t in trials) <= min(len(t.text) for t in plain) + 15


def test_real_features_of_a_cell_are_finite_and_name_the_covariance() -> None:
    found = cell_features(read_candidate(str(rnndsl.load("lstm"))))
    assert "hidden_covariance" in found and len(found) > 80
    assert all(math.isfinite(value) for value in found.values())
    assert found == cell_features(read_candidate(str(rnndsl.load("lstm"))))


# ------------------------------------------------------------------------------------- pools


def pool_of(count: int) -> tuple[Pool, list[float]]:
    cells, scores = problem(count, 3)
    covariance = scores + np.random.default_rng(0).standard_normal(count)
    described = [
        {**c, "hidden_covariance": -float(v)} for c, v in zip(cells, covariance, strict=True)
    ]
    return Pool(tuple(f"cell {k}" for k in range(count)), tuple(described)), scores.tolist()


@pytest.mark.parametrize("name", sorted(POOL_SEARCHERS))
def test_every_cell_of_a_pool_is_asked_for_once(name: str) -> None:
    pool, scores = pool_of(15)
    fails = {3, 7}
    make = POOL_SEARCHERS[name]
    asked = [
        query(make(pool, seed), lambda cell: None if cell in fails else scores[cell], 30)
        for seed in (0, 0, 1)
    ]
    assert sorted(cell for cell, _ in asked[0]) == list(range(15))
    assert asked[0] == asked[1]
    assert name == "covariance" or asked[0] != asked[2]


def test_searchers_of_a_pool_find_good_cells_sooner_than_by_chance() -> None:
    pool, scores = pool_of(200)
    best = set(np.argsort(scores)[:20].tolist())
    found = {
        name: np.mean(
            [
                len(best & {c for c, _ in query(make(pool, s), scores.__getitem__, 40)})
                for s in range(2)
            ]
        )
        for name, make in POOL_SEARCHERS.items()
    }
    assert found["ranked"] > 2 * found["random"] and found["ranked"] >= 10
    assert found["covariance"] > 1.5 * found["random"]
    assert found["tpe"] > found["random"]


def test_cells_without_the_feature_come_last() -> None:
    features: tuple[Features, ...] = ({}, {"f": 1.0}, {"f": math.nan}, {"f": 2.0})
    asked = query(FixedPool(Pool(("a", "b", "c", "d"), features), 0, "f"), lambda cell: 0.0, 9)
    assert [cell for cell, _ in asked] == [3, 1, 0, 2]
