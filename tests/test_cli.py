"""The command line: what a user types, sees and gets back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rnndsl.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]

WRONG = (
    "cell Wrong(D, H):\n    input x: [D]\n    state h: [H]\n    h' = tahn(x + h)\n    return h'\n"
)
UGLY = "cell Ugly(D):\n  input x:[D]\n  y=tanh( x )\n  return y\n"


def command(*words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "rnndsl", *words],
        capture_output=True,
        text=True,
        input=text,
        env=environment,
        check=False,
    )


@pytest.mark.parametrize("name", [c.name for c in COMMANDS])
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert "usage: rnndsl" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from rnndsl.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'tvm', 'optuna', 'networkx', 'lark'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


def test_a_misuse_of_the_command_line_exits_with_2() -> None:
    for words in ([], ["nonsense"], ["check"], ["train", "--epochs", "many"]):
        assert command(*words).returncode == 2


def test_check_shows_the_mistake_and_exits_with_1(tmp_path: Path) -> None:
    path = tmp_path / "wrong.rnn"
    path.write_text(WRONG)
    found = command("check", str(path))
    assert found.returncode == 1
    assert f"{path}:4:10" in found.stderr and "^" in found.stderr
    assert "did you mean `tanh`?" in found.stderr
    assert "Traceback" not in found.stderr


def test_check_accepts_the_standard_library() -> None:
    paths = sorted(str(p) for p in (ROOT / "rnndsl" / "stdlib").glob("*.rnn"))
    assert main(["check", *paths]) == 0


def test_the_standard_library_is_formatted() -> None:
    assert main(["fmt", "--check", str(ROOT / "rnndsl" / "stdlib")]) == 0


def test_fmt_rewrites_a_file_and_is_then_content(tmp_path: Path) -> None:
    path = tmp_path / "ugly.rnn"
    path.write_text(UGLY)
    assert main(["fmt", "--check", str(path)]) == 1
    assert path.read_text() == UGLY
    assert main(["fmt", str(path)]) == 0
    assert "    input x: [D]\n" in path.read_text()
    assert main(["fmt", "--check", str(path)]) == 0


def test_fmt_leaves_a_file_with_a_mistake_alone(tmp_path: Path) -> None:
    path = tmp_path / "broken.rnn"
    path.write_text(UGLY + "cell (\n")
    assert main(["fmt", str(path)]) == 1
    assert path.read_text() == UGLY + "cell (\n"


def test_fmt_reads_standard_input() -> None:
    found = command("fmt", "-", text=UGLY)
    assert found.returncode == 0
    assert "    y = tanh(x)\n" in found.stdout


def test_explain_prints_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "E0105"]) == 0
    assert "never closed" in capsys.readouterr().out


def test_explain_of_an_unknown_code_is_a_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "E0999"]) == 1
    assert "E0999" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--input", "--hidden"])
def test_a_size_of_nothing_is_not_the_usual_size(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tvm", reason="TVM is not installed")
    assert main(["compile", "lstm", "--out", str(tmp_path), option, "0"]) == 1
    assert "must be a whole number from 1, not 0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("--input", "8"),
        ("--hidden", "8"),
        ("--set", "depth=3"),
        ("--seed", "0"),
        ("--passes", "none"),
        ("--stop-after", "1"),
        ("--dump", "passes"),
    ],
)
def test_what_a_trained_model_has_fixed_is_not_asked_for_in_vain(
    words: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tvm", reason="TVM is not installed")
    assert main(["compile", str(tmp_path), *words]) == 1
    assert f"`{words[0]}` is for a cell, not for the folder of a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("show", "lstn"),
        ("show", "no/such.rnn"),
        ("check", "no_such.rnn"),
        ("train", "lstn"),
        ("train", "lstm", "--data", "no_such_folder"),
        ("generate", "no_such_run"),
        ("compile", "lstn"),
        ("search", "no_such_space.rnn"),
    ],
)
def test_what_does_not_exist_is_a_clear_error(
    words: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(list(words)) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error[E")
    assert "Traceback" not in shown
    assert not list(tmp_path.iterdir())


def test_a_closed_pipe_is_not_an_error() -> None:
    shell = f"{sys.executable} -m rnndsl show lstm | head -1"
    found = subprocess.run(shell, shell=True, capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stderr == ""
