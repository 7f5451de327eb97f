"""Between searchers and the study that records them: in order, in step, and without loss."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna", reason="searching needs Optuna")

from optuna.trial import TrialState

from rnndsl.diagnostics import RnndslError
from rnndsl.search.counting import enumerate_derivations
from rnndsl.search.objective import Report
from rnndsl.search.reading import candidate_text, read_space
from rnndsl.search.record import CHOICES, OUTCOME, Outcome, TrialRecord
from rnndsl.search.samplers import SAMPLERS, SEARCHER, StudySearcher, judged_trials, sampler
from rnndsl.search.searchers.plain import load_start
from rnndsl.search.study import SearchSettings, run_search
from tests.search.stub import SPACE, Quiet, Stub, score_of, search

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("random", "tpe", "nsga2,population=4", "evolution,population=4,sample=2")


def proposals(watcher: Quiet) -> list[tuple[str, float | None, dict[str, str]]]:
    """What is to be the same in two searches that are the same; times are not."""
    return [_essence(record) for record in watcher.records]


def _essence(record: TrialRecord) -> tuple[str, float | None, dict[str, str]]:
    return record.kind, record.score, dict(record.choices)


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
    search(tmp_path, name=name, trials=8, watcher=watcher)
    assert {tuple(sorted(r.choices.items())) for r in watcher.records} <= labels


def test_equal_seeds_give_equal_searches_in_any_process(tmp_path: Path) -> None:
    name = "evolution,population=4"
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
def test_an_ended_search_goes_on_as_if_it_had_not_been(name: str, tmp_path: Path) -> None:
    whole, first, second = Quiet(), Quiet(), Quiet()
    search(tmp_path / "whole", name=name, trials=9, watcher=whole)
    search(tmp_path / "parts", name=name, trials=4, watcher=first)
    search(tmp_path / "parts", name=name, trials=9, watcher=second)
    assert [*proposals(first), *proposals(second)] == proposals(whole)


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_cell_is_done_again_and_changes_nothing_after_it(
    name: str, tmp_path: Path
) -> None:
    whole, parts = Stub(), Stub()

    def interrupt(text: str, report: Report) -> Outcome | None:
        if len(parts.trained) == 5:
            raise KeyboardInterrupt
        return None

    search(tmp_path / "whole", whole, name=name, trials=8)
    parts.hook = interrupt
    assert search(tmp_path / "parts", parts, name=name, trials=8).ended == "interrupted"
    parts.hook = lambda text, report: None
    search(tmp_path / "parts", parts, name=name, trials=8)
    assert parts.trained[:5] + parts.trained[6:] == whole.trained
    assert parts.trained[4] == parts.trained[5]


def test_a_study_whose_space_grows_keeps_its_trials(tmp_path: Path) -> None:
    grown = SPACE.replace("tanh | sin | relu", "tanh | sin | relu | softplus").replace(
        "sigmoid(?expr", "?squash(sigmoid | hard_sigmoid)(?expr"
    )
    old, new = Quiet(), Quiet()
    search(tmp_path, name="tpe", trials=6, watcher=old)
    result = search(tmp_path, name="tpe", trials=14, text=grown, watcher=new)
    assert len(result.board.rows) == 14
    assert all("squash" in record.choices for record in new.records)
    known = {record.text for record in old.records}
    assert not any(r.text in known for r in new.records if r.kind == "scored")
    # And Optuna sees a parameter with the new options beside the old one.
    study = optuna.load_study(
        study_name="cells",
        storage=optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal.log"))
        ),
    )
    names = {name for trial in study.trials for name in trial.params}
    assert {"act", "act~2", "squash"} <= names
    assert [t.choices for t in judged_trials(study.trials) if t.kind == "scored"]


def test_workers_of_one_study_propose_different_cells_and_hear_of_each_other() -> None:
    space, study = read_space(SPACE), optuna.create_study()
    workers = [StudySearcher(sampler("evolution,population=3"), space, study, 0) for _ in range(3)]
    for _ in range(4):
        asked = [worker.ask() for worker in workers]
        assert all(asked)
        made = [proposal for proposal in asked if proposal is not None]
        assert len({proposal.choices for proposal in made}) == 3
        for worker, proposal in zip(workers, made, strict=True):
            score = score_of(candidate_text(space, proposal.cell))
            proposal.trial.set_user_attr(OUTCOME, {"kind": "scored", "reason": "", "facts": {}})
            worker.tell(proposal, TrialState.COMPLETE, score)
    origins = [trial.user_attrs[SEARCHER]["how"] for trial in study.trials]
    assert origins[:3] == ["random"] * 3 and any("mutation" in how for how in origins)
    assert len({tuple(map(tuple, t.user_attrs[CHOICES])) for t in study.trials}) == 12


def test_an_exhausted_space_leaves_no_trial_open() -> None:
    space = read_space(SPACE.replace("?expr(x, h, depth = 1)", "h").replace("| relu", ""))
    study = optuna.create_study()
    searcher = StudySearcher(sampler("tpe"), space, study, 0)
    for _ in range(4):
        proposal = searcher.ask()
        assert proposal is not None
        searcher.tell(proposal, TrialState.PRUNED, None)
    assert searcher.ask() is None
    assert len(study.trials) == 4


def test_several_scores_reach_the_searcher() -> None:
    space, study = read_space(SPACE), optuna.create_study(directions=["minimize"] * 2)
    searcher = StudySearcher(sampler("nsga2,population=4"), space, study, 0)
    for turn in range(9):
        proposal = searcher.ask()
        assert proposal is not None
        searcher.tell(proposal, TrialState.COMPLETE, (turn % 4, -turn % 3))
    assert [trial.scores for trial in judged_trials(study.trials)][:2] == [
        (0.0, 0.0),
        (1.0, -1 % 3),
    ]


def test_a_plain_cell_is_searched_around_and_resumed(tmp_path: Path) -> None:
    space = load_start("gru")

    def run(folder: str, trials: int) -> Quiet:
        watcher = Quiet()
        record = sampler("evolution,population=4,sample=2")
        settings = SearchSettings(space, record, tmp_path / folder, trials=trials)
        run_search(settings, Stub(), watcher)
        return watcher

    whole = run("whole", 8)
    parts = [*run("parts", 5).records, *run("parts", 8).records]
    assert [r.text for r in parts] == [r.text for r in whole.records]
    assert whole.records[0].text == space.text
    assert sum(record.kind == "scored" for record in whole.records) == 8
