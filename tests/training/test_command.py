"""``rnndsl train`` and ``rnndsl generate``, with the product's own layers."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import rnndsl
from rnndsl.cli import main
from rnndsl.training import command
from rnndsl.training.checkpoint import load_checkpoint
from rnndsl.training.config import TrainConfig
from rnndsl.training.options import OPTIONS

ROOT = Path(__file__).resolve().parents[2]

SMALL = [
    "--hidden",
    "8",
    "--batch",
    "8",
    "--bptt",
    "17",
    "--eval-every",
    "10",
    "--threads",
    "1",
    "--no-tensorboard",
]


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture
def trained(text_file: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    assert run("train", "lstm", "--data", text_file, "--out", folder, "--steps", 12, *SMALL) == 0
    return folder


def test_every_option_is_a_setting() -> None:
    fields = set(TrainConfig.__dataclass_fields__)
    assert {option.field for option in OPTIONS} == fields - {
        "cell",
        "numbers",
        "run_dir",
        "eval_steps",
    }


def test_train_tells_bits_per_character_and_leaves_a_run(
    text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run("train", "lstm", "--data", text_file, "--out", folder, "--steps", 12, *SMALL) == 0
    output = capsys.readouterr().out
    assert "parameters" in output
    assert "bits/char" in output
    assert "test: " in output
    assert f"rnndsl generate {folder}" in output
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "cell.rnn", "metrics.jsonl", "last.pt", "best.pt"}
    stored = (folder / "cell.rnn").read_text()
    assert rnndsl.parse(stored) == rnndsl.load("lstm")


def test_generate_continues_the_prime(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for _ in range(2):
        capsys.readouterr()
        assert run("generate", trained, "--prime", "one two", "--length", 20, "--seed", 3) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert texts[0].startswith("one two")
    assert len(texts[0]) == 7 + 20 + 1
    assert run("generate", trained / "last.pt", "--length", 5, "--top-k", 1) == 0
    assert len(capsys.readouterr().out) == 6


def test_resume_keeps_its_settings_and_may_go_on_longer(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", "--resume", trained, "--steps", 15, "--no-tensorboard") == 0
    assert load_checkpoint(trained / "last.pt")["position"]["step"] == 15
    assert json.loads((trained / "config.json").read_text())["hidden"] == 8
    assert run("train", "--resume", trained, "--hidden", 9, "--no-tensorboard") == 1
    assert "hidden was 8, now 9" in capsys.readouterr().err


def test_memory_budgets_give_equal_weights(text_file: Path, tmp_path: Path) -> None:
    found = []
    for budget in ("90kB", "1GB"):  # all that is saved takes more
        folder = tmp_path / budget
        words = ("--data", text_file, "--out", folder, "--steps", 3, "--memory-budget", budget)
        assert run("train", "lstm", *words, "--dtype", "float64", *SMALL, "--bptt", 60) == 0
        assert json.loads((folder / "config.json").read_text())["memory_budget"] == budget
        found.append(load_checkpoint(folder / "last.pt")["model"])
    assert all(found[0][name].equal(found[1][name]) for name in found[0])


def test_cell_file_with_its_own_numbers_is_trained(
    text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = tmp_path / "deep.rnn"
    cell.write_text(
        "cell Deep(D, H, depth = 2):\n"
        "    input x: [D]\n"
        "    state s: [H]\n"
        "    y = s\n"
        "    for l in 0..depth:\n"
        "        a = tanh(linear[H](y, x if l == 0))\n"
        "        y = y + 0.5 * (a - y)\n"
        "    s' = y\n"
        "    return s'\n"
    )
    folder = tmp_path / "run"
    words = ("--data", text_file, "--out", folder, "--steps", 3, "--set", "depth=3")
    assert run("train", cell, *words, *SMALL) == 0
    names = load_checkpoint(folder / "last.pt")["model"]
    assert any(".a.2." in name for name in names)
    cell.unlink()  # the run has its own copy
    assert run("generate", folder, "--length", 3) == 0
    assert run("train", "--resume", folder, "--steps", 5, "--no-tensorboard") == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "lstm", "--data", "nowhere.txt"], "E0701"),
        (["train", "lstmm"], "lstm"),
        (["train", "lstm", "--lr", "-1"], "`lr` cannot be -1.0"),
        (["train", "lstm", "--memory-budget", "some"], "a number of bytes, such as 64MiB"),
        (["train", "lstm", "--memory-budget", "1kB", *SMALL], "E0423"),
        (["train", "--resume", "nowhere"], "E0709"),
        (["generate", "nowhere"], "E0709"),
    ],
)
def test_mistake_ends_with_code_1_and_no_traceback(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error


def test_run_folders_are_numbered(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert run("train", "gru", "--data", text_file, "--steps", 1, *SMALL) == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["gru-1", "gru-2"]


def test_ctrl_c_says_how_to_resume_and_ends_with_code_130(text_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ["train", "lstm", "--data", text_file, "--out", folder, "--epochs", 100000, *SMALL]
    process = subprocess.Popen(
        [sys.executable, "-m", "rnndsl", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("step 20/"):
                break
        process.send_signal(signal.SIGINT)
        output, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, error
    assert f"continue with: rnndsl train --resume {folder}" in output
    assert "Traceback" not in error
    assert load_checkpoint(folder / "last.pt")["position"]["step"] >= 20


def test_absent_tensorboard_is_told_only_when_asked_for(
    text_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("rnndsl.training.tensorboard.is_installed", lambda: False)
    small = [word for word in SMALL if word != "--no-tensorboard"]
    for name, asked in (("quiet", []), ("asked", ["--tensorboard"])):
        folder = tmp_path / name
        words = ("--data", text_file, "--out", folder, "--steps", 1, *asked)
        assert run("train", "lstm", *words, *small) == 0
        told = "TensorBoard is not installed" in capsys.readouterr().out
        assert told == bool(asked)


def test_tensorboard_gets_curves(text_file: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("tensorboard") is None:
        pytest.skip("tensorboard is not installed")
    folder = tmp_path / "run"
    small = [word for word in SMALL if word != "--no-tensorboard"]
    assert run("train", "lstm", "--data", text_file, "--out", folder, "--steps", 2, *small) == 0
    assert list((folder / "tensorboard").glob("events.*"))


def test_options_are_declared_without_loading_torch() -> None:
    code = (
        "import argparse, sys; from rnndsl.training import command, generate_command;"
        "command.add_arguments(argparse.ArgumentParser());"
        "generate_command.add_arguments(argparse.ArgumentParser());"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert callable(command.run)
