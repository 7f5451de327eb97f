"""Every sampler: the same conduct, tried on the table of samplers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna", reason="searching needs Optuna")

from optuna.trial import TrialState

from rnndsl.diagnostics import RnndslError
from rnndsl.search.counting import enumerate_derivations
from rnndsl.search.reading import candidate_text, read_space
from rnndsl.search.samplers import SAMPLERS, StudySearcher, sampler
from tests.search.stub import SPACE, Quiet, score_of, search

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(SAMPLERS)


def test_records_carry_the_names_they_are_registered_under() -> None:
    assert all(record.name == name and record.summary for name, record in SAMPLERS.items())


def test_an_unknown_sampler_is_refused_with_a_suggestion() -> None:
    with pytest.raises(RnndslError, match="E0608") as caught:
        sampler("randm")
    assert "`random`" in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_proposals_are_derivations_of_the_space(name: str, tmp_path: Path) -> None:
    space = read_space(SPACE)
    labels = {
        tuple(sorted((n, space.table[n].labels[i]) for n, i in derivation.items()))
        for derivation in enumerate_derivations(space)
    }
    watcher = Quiet()
    search(tmp_path, name=name, trials=12, watcher=watcher)
    assert {tuple(sorted(r.choices.items())) for r in watcher.records} <= labels


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_searches_in_any_process(name: str, tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.search.stub", str(tmp_path / seed), name, "12", "run"],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "PATH": ""},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    first, second = (process.communicate(timeout=100)[0] for process in processes)
    assert first == second
    assert first.count("scored") == 12


@pytest.mark.parametrize("name", NAMES)
def test_other_seeds_give_other_searches(name: str, tmp_path: Path) -> None:
    runs = []
    for seed in (0, 1):
        watcher = Quiet()
        search(tmp_path / str(seed), name=name, trials=5, seed=seed, watcher=watcher)
        runs.append([record.choices for record in watcher.records])
    assert runs[0] != runs[1]


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(name: str, tmp_path: Path) -> None:
    whole, first, second = Quiet(), Quiet(), Quiet()
    search(tmp_path / "whole", name=name, trials=9, watcher=whole)
    search(tmp_path / "parts", name=name, trials=4, watcher=first)
    search(tmp_path / "parts", name=name, trials=9, watcher=second)
    assert [*first.records, *second.records] == whole.records


def test_tpe_proposes_better_cells_than_random_search() -> None:
    space = read_space(SPACE.replace("depth = 1", "depth = 3"))
    means = {}
    for name in NAMES:
        late = []
        for seed in range(2):
            study = optuna.create_study(direction="minimize")
            searcher = StudySearcher(sampler(name), space, study, seed)
            for trial in range(40):
                proposal = searcher.ask()
                score = score_of(candidate_text(space, proposal.cell))
                searcher.tell(proposal, TrialState.COMPLETE, score)
                late += [score] if trial >= 20 else []
        means[name] = sum(late) / len(late)
    # Over six seeds and thirty late proposals the means were 1.5 and 5.8.
    assert means["tpe"] < means["random"] / 2
