"""Objectives besides the loss, several at once, other seeds, and where the time goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna", reason="searching needs Optuna")
torch = pytest.importorskip("torch")

import rnndsl
from rnndsl.cell import Cell
from rnndsl.cli import main
from rnndsl.diagnostics import RnndslError
from rnndsl.search.account import Account
from rnndsl.search.measures import MEASURES, objective_names
from rnndsl.search.objective import Report, TrainObjective, TrainSettings
from rnndsl.search.reading import read_space
from rnndsl.search.record import Outcome, TrialRecord
from rnndsl.search.results import pareto_front, rank
from rnndsl.search.samplers import sampler
from rnndsl.search.seeds import mean_and_error
from rnndsl.search.study import SearchResult, SearchSettings, run_search
from rnndsl.search.throughput import throughput
from tests.search.stub import SPACE, Quiet, Stub, score_of

SMALL = TrainSettings(task="parity", hidden=6, steps=8, rungs=2, batch=4, threads=1)
OPTIONS = ["--task", "parity", "--hidden", "6", "--steps", "8", "--rungs", "2", "--batch", "4"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def never(step: int, score: float) -> bool:
    return False


def test_names_of_objectives_are_read_and_mistakes_told() -> None:
    assert objective_names("loss, latency") == ("loss", "latency")
    for wrong in ("", "loss,speed", "latncy"):
        with pytest.raises(RnndslError, match="E0616"):
            objective_names(wrong)


def test_every_objective_is_measured() -> None:
    objective = TrainObjective(replace(SMALL, objectives=tuple(MEASURES)))
    outcome = objective.evaluate(rnndsl.load("gru"), never)
    assert isinstance(outcome.value, tuple)
    loss, latency, parameters, throughput = outcome.value
    assert 0.5 < loss < 2
    assert 0.02 < latency < 50  # beside an LSTM
    assert parameters == outcome.facts["parameters"]
    assert throughput > 0
    assert outcome.facts["width"] == 6  # where parameters count, widths are alike
    assert len(objective.units) == 4


def test_the_time_of_a_run_is_accounted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    account = Account()
    for step, (taken, validated) in enumerate(
        [(5.0, False), (1.0, False), (4.0, True), (1.0, False), (2.0, True), (2.0, True)], start=1
    ):
        now += taken
        account.step(step, validated)
    facts = account.facts()
    assert facts["steps"] == 6 and facts["seconds"] == 15
    # The first step took 4 s beyond the usual second, the first validation 2 s beyond a second.
    assert facts["times"] == {"compile": 6.0, "train": 6.0, "validate": 3.0}


def record(number: int, *scores: float) -> TrialRecord:
    score = scores[0] if scores else None
    kind = "scored" if scores else "pruned"
    return TrialRecord(number, kind, score, "", "", "", {}, {}, {}, scores)  # type: ignore[arg-type]


def test_the_front_holds_what_nothing_beats() -> None:
    records = [record(0, 1.0, 9.0), record(1, 2.0, 5.0), record(2, 3.0, 6.0), record(3, 2.0, 5.0)]
    assert [r.number for r in pareto_front(records)] == [0, 1, 3]
    assert [r.number for r in rank([record(4), *records])] == [0, 1, 3, 2, 4]


@dataclass
class Two(Stub):
    """Two objectives: a score, and the length of the text."""

    @property
    def units(self) -> tuple[str, ...]:
        return ("points", "characters")

    def baseline(self, report: Report) -> Outcome:
        return Outcome("scored", 3.0, facts={"parameters": 100, "width": 4}, others=(500.0,))

    def evaluate(self, cell: Cell, report: Report) -> Outcome:
        text = str(cell)
        assert not report(1, 5.0)
        facts = {"parameters": 100, "width": 4}
        return Outcome("scored", score_of(text), facts=facts, others=(float(len(text)),))


def search_two(folder: Path, name: str = "random") -> SearchResult:
    settings = SearchSettings(read_space(SPACE), sampler(name), folder, trials=6)
    return run_search(settings, Two(), Quiet())


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_several_objectives_give_a_front(name: str, tmp_path: Path) -> None:
    board = search_two(tmp_path, name).board
    front = pareto_front(board.rows)
    assert board.rows[: len(front)] == tuple(sorted(front, key=lambda r: (r.scores[0], r.number)))
    assert all(record.curve == {1: 5.0} for record in board.rows)
    content = json.loads((tmp_path / "leaderboard.json").read_text())
    assert content["units"] == ["points", "characters"]
    assert all(row["characters"] > 0 for row in content["rows"])


def test_another_objective_is_another_study(tmp_path: Path) -> None:
    words = ["search", "lstm_gates", "--study", str(tmp_path), "--trials", "1", *OPTIONS]
    assert main([*words, "--sampler", "random"]) == 0
    with pytest.raises(RnndslError, match="objectives was"):
        from rnndsl.search.storage import Place, open_storage

        changed = TrainObjective(replace(SMALL, objectives=("loss", "parameters")))
        open_storage(Place(tmp_path), changed.settings)


def test_a_task_is_searched_repeated_and_done_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = str(tmp_path / "study")
    words = ["search", "lstm_gates", "--study", study, "--sampler", "random", *OPTIONS]
    words += ["--pruner", "none", "--threads", "1"]
    assert main([*words, "--trials", "2", "--seeds", "2"]) == 0
    shown = capsys.readouterr().out
    assert "guessing scores 1.000 bits" in shown
    assert "(2 seeds)" in shown and "test" in shown
    assert "trained cells an hour" in shown and "the time went to:" in shown
    assert main(["search", "--study", study, "--rerun", "0"]) == 0
    assert "the same to the last bit" in capsys.readouterr().out
    # What is done is not done again.
    assert main([*words, "--trials", "2", "--seeds", "2"]) == 0
    assert "seeds of" not in capsys.readouterr().out


def test_only_trained_trials_can_be_done_again(tmp_path: Path) -> None:
    assert main(["search", "--study", str(tmp_path / "none"), "--rerun", "0"]) == 1
    settings = SearchSettings(read_space(SPACE), sampler("random"), tmp_path, trials=1)
    run_search(settings, Stub(), Quiet())
    assert main(["search", "--study", str(tmp_path), "--rerun", "99"]) == 1


def test_means_have_errors_where_there_are_several_values() -> None:
    assert mean_and_error((2.0,)) == (2.0, None)
    assert mean_and_error((1.0, 2.0, 3.0)) == (2.0, pytest.approx(3**-0.5))  # type: ignore[comparison-overlap]


def test_throughput_tells_static_proposals_from_trained_ones() -> None:
    trained = TrialRecord(
        0, "scored", 1.0, "", "", "", {}, {"times": {"train": 3.0, "compile": 1.0}}, {}
    )
    static = TrialRecord(1, "rejected", None, "", "", "", {}, {"times": {"check": 0.02}}, {})
    found = throughput([trained, static], 7200)
    assert found.per_hour == 0.5
    assert (found.static, found.static_seconds) == (1, 0.02)
    assert list(found.shares) == ["train", "compile"]
