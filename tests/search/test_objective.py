"""Real training of found cells, and the command from end to end, on a small text."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="searching needs Optuna")
torch = pytest.importorskip("torch")

import rnndsl
from rnndsl.cli import main
from rnndsl.search.objective import TrainObjective, TrainSettings
from rnndsl.training import load_corpus, parameter_count

ROOT = Path(__file__).resolve().parents[2]
SMALL = TrainSettings(hidden=16, steps=12, rungs=3, batch=4, bptt=16, eval_tokens=300, threads=1)
SMALL_OPTIONS = [
    "--hidden",
    "8",
    "--steps",
    "6",
    "--batch",
    "4",
    "--bptt",
    "16",
    "--eval-tokens",
    "300",
    "--threads",
    "1",
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = random.Random(0)
    words = (draw.choice(("one", "two", "three", "four")) for _ in range(1500))
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text(" ".join(words), encoding="utf-8")
    return path


@pytest.fixture
def objective(text_file: Path) -> TrainObjective:
    return TrainObjective(SMALL, load_corpus(text_file))


def never(rung: int, score: float) -> bool:
    return False


@pytest.mark.parametrize("name", ["gru", "elman", "lstm"])
def test_cells_are_trained_at_the_size_of_the_baseline(
    name: str, objective: TrainObjective, text_file: Path
) -> None:
    corpus = load_corpus(text_file)
    outcome = objective.evaluate(rnndsl.load(name), never)
    assert outcome.kind == "scored"
    # The closest width: one more or less would be further off.
    here = outcome.facts["parameters"]
    width = outcome.facts["width"]
    vocabulary = len(corpus.vocabulary)
    for other in (width - 1, width + 1):
        count = parameter_count(name, other, vocabulary=vocabulary, embedding=SMALL.hidden)
        assert abs(here - objective.budget) <= abs(count - objective.budget)


def test_the_same_cell_gets_the_same_score(objective: TrainObjective) -> None:
    cell = rnndsl.load("gru")
    assert objective.evaluate(cell, never).score == objective.evaluate(cell, never).score


def test_rungs_are_reported_and_can_stop_a_run(objective: TrainObjective) -> None:
    reported: list[int] = []

    def report(step: int, score: float) -> bool:
        reported.append(step)
        return step == 6

    outcome = objective.evaluate(rnndsl.load("gru"), report)
    assert reported == [3, 6]
    assert outcome.kind == "pruned"
    assert outcome.facts["steps"] == 6


def test_a_bad_last_rung_still_gives_a_score(objective: TrainObjective) -> None:
    outcome = objective.evaluate(rnndsl.load("gru"), lambda step, score: step == 12)
    assert outcome.kind == "scored"


def test_divergence_is_an_outcome_with_its_reason(text_file: Path) -> None:
    cell = rnndsl.parse(
        "cell Wild(D, H):\n    input x: [D]\n    state h: [H]\n"
        "    h' = exp(h * h) + linear[H](x)\n    return h'\n"
    )
    outcome = TrainObjective(SMALL, load_corpus(text_file)).evaluate(cell, never)
    assert outcome.kind == "diverged"
    assert "diverged at step 1" in outcome.reason


def test_search_finds_a_winner_that_trains_as_it_did(
    text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study"
    words = ["search", "lstm_gates", "--data", str(text_file), "--study", str(study)]
    words += ["--trials", "2", "--sampler", "random", *SMALL_OPTIONS]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "432 cells" in shown
    assert re.search(r"baseline +\d\.\d{3} bits/char", shown)
    assert shown.count("\ntrial ") >= 2
    winner = study / "winner.rnn"
    score = re.search(r"search: (\d\.\d{3}) bits/char", winner.read_text())
    assert score
    # The command that it ends with gives the same model.
    (command,) = re.findall(r"^  rnndsl (train .*)$", shown, re.MULTILINE)
    run = [*command.split(), "--data", str(text_file), "--out", str(tmp_path / "run")]
    run += [
        "--steps",
        "6",
        "--batch",
        "4",
        "--bptt",
        "16",
        "--eval-tokens",
        "300",
        "--lr",
        "0.004",
        "--threads",
        "1",
    ]
    assert main([*run, "--eval-every", "1"]) == 0
    assert f"valid {score[1]} bits/char" in capsys.readouterr().out
    # Once more: everything is there already.
    assert main(words) == 0
    assert "resuming: 2 cells are trained" in capsys.readouterr().out


def test_mistakes_are_told_without_a_traceback(text_file: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.rnn"
    space.write_text("cell A(D, H):\n    input x: [D]\n    return x\n", encoding="utf-8")
    for words, code in (
        ([str(space)], "E0631"),
        (["gated", "--sampler", "rndom"], "E0608"),
        (["gated", "--trials", "0"], "E0610"),
        (["gated", "--data", str(tmp_path / "none.txt")], "E0701"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "rnndsl", "search", *words, "--study", str(tmp_path / "s")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert code in done.stderr
        assert "Traceback" not in done.stderr


def test_show_prints_cells_that_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "dag", "--show", "2"]) == 0
    shown = capsys.readouterr().out
    assert "2,642,411,520 cells" in shown
    _, first, second = shown.partition("cell Dag")[0], *shown.split("cell Dag")[1:]
    for text in (first, second):
        assert rnndsl.parse("cell Dag" + text).name == "Dag"
