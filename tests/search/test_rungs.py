"""Rungs of growing budget, and who goes on at each."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna", reason="searching needs Optuna")

from rnndsl.diagnostics import RnndslError
from rnndsl.search.objective import Report
from rnndsl.search.reading import read_space
from rnndsl.search.record import Outcome
from rnndsl.search.rungs import PRUNERS, Rungs, make_pruner
from rnndsl.search.samplers import sampler
from rnndsl.search.study import SearchSettings, run_search
from tests.search.stub import SPACE, Quiet, Stub, score_of


@pytest.mark.parametrize("steps", [1, 7, 100, 400, 1000])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_rungs_grow_by_the_factor_and_end_with_the_run(steps: int, factor: int) -> None:
    places = Rungs(steps, 4, factor).places
    assert places[-1] == steps
    assert 1 <= len(places) <= 4
    assert all(after >= factor * before for before, after in pairwise(places))


def test_rungs_are_where_successive_halving_looks() -> None:
    rungs = Rungs(steps=100, count=4, factor=3)
    assert rungs.places == (3, 11, 33, 100)
    first = rungs.places[0]
    # Each is past the pruner's own threshold, and before the next one.
    assert all(first * 3**k <= place < first * 3 ** (k + 1) for k, place in enumerate(rungs.places))


def trained_steps(name: str, folder: Path, trials: int = 16) -> dict[int, int]:
    """How many cells got how far, under a pruner."""
    rungs = Rungs(steps=80, count=4, factor=2)
    reached: dict[int, int] = dict.fromkeys(rungs.places, 0)

    def hook(text: str, report: Report) -> Outcome | None:
        for place in rungs.places:
            reached[place] += 1
            if report(place, score_of(text)) and place != rungs.steps:
                return Outcome("pruned", reason=f"at {place}")
        return None

    settings = SearchSettings(
        read_space(SPACE), sampler("random"), folder, trials=trials, pruner=make_pruner(name, rungs)
    )
    run_search(settings, Stub(hook), Quiet())
    return reached


@pytest.mark.parametrize("name", sorted(PRUNERS))
def test_pruners_spend_the_budget_on_fewer_and_fewer_cells(name: str, tmp_path: Path) -> None:
    reached = trained_steps(name, tmp_path)
    counts = list(reached.values())
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 16
    assert (counts[-1] == 16) is (name == "none")
    if name == "asha":
        assert counts[1] <= 11  # about half go on
        assert counts[3] <= 6


def test_an_unknown_pruner_is_refused_with_a_suggestion() -> None:
    with pytest.raises(RnndslError, match="did you mean `asha`"):
        make_pruner("ahsa", Rungs(100))
