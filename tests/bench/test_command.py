"""``rnndsl bench``: what is printed, what is written, and what Ctrl-C leaves."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from rnndsl.bench import runner, session, torch_nn
from rnndsl.bench.problem import Problem
from rnndsl.bench.report import FORMAT
from rnndsl.bench.subject import Subject
from rnndsl.cli import main

TINY = ["--shape", "4,2,3,5", "--seconds", "0.001", "--threads", "1"]


def bench(*words: object) -> int:
    return main(["bench", *map(str, words)])


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_a_run_prints_a_table_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "found.json"
    assert bench("lstm", *TINY, "--peers", "torch,nn,jax", "--infer", "--json", path) == 0
    output = capsys.readouterr().out
    assert "LSTM, infer, T=4 B=2 D=3 H=5" in output
    assert "time / torch" in output and "GFLOP/s" in output
    found = read(path)
    assert found["format"] == FORMAT
    assert found["command"] == (
        "rnndsl bench lstm --shape 4,2,3,5 --infer --peers torch,nn,jax --threads 1 --seconds 0.001"
    )
    assert found["machine"]["threads"] == 1
    assert {"torch", "numpy", "python"} <= found["machine"]["versions"].keys()
    assert found["rates"]["flops"] > 0 and found["rates"]["bytes"] > 0
    (case,) = found["cases"]
    assert case["shape"] == {"T": 4, "B": 2, "D": 3, "H": 5}
    ours, other = case["entries"][:2]
    assert (ours["name"], ours["ours"], other["name"]) == ("torch", True, "nn")
    assert other["ratios"]["torch"] == pytest.approx(
        other["time"]["median"] / ours["time"]["median"]
    )
    assert ours["time"]["lower"] <= ours["time"]["median"] <= ours["time"]["upper"]


def test_inference_and_training_are_measured_unless_one_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    assert bench("sru", *TINY[2:], "--shape", "3,1,4,4", "--peers", "torch", "--json", path) == 0
    assert [case["mode"] for case in read(path)["cases"]] == ["infer", "train"]


def test_who_is_missing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("mgu", *TINY, "--peers", "torch,nn", "--infer") == 0
    assert "nn is missing: torch.nn has no such cell" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--shape", "1,2"], "E0901"),
        (["--peers", "keras"], "E0902"),
        (["--threads", "0"], "E0904"),
        (["--seconds", "0"], "E0904"),
        (["--seconds", "nan"], "E0904"),
    ],
)
def test_mistakes_in_options_have_codes(
    words: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("lstm", *words) == 1
    assert f"error[{code}]" in capsys.readouterr().err


def interrupting(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Press Ctrl-C in a call of nn: one compares, one warms, one takes memory, two are estimates."""
    honest = torch_nn.prepare
    count = 0

    def prepare(problem: Problem) -> Subject:
        subject = honest(problem)

        def run() -> Any:
            nonlocal count
            count += 1
            if count == call:
                signal.raise_signal(signal.SIGINT)
            return subject.run()

        return Subject(run, subject.read)

    monkeypatch.setattr(torch_nn, "prepare", prepare)


SHAPES = ["--shape", "4,2,3,5", "5,2,3,5", "--seconds", "0.001", "--infer", "--peers", "torch,nn"]


def test_ctrl_c_while_timing_keeps_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupting(monkeypatch, 7)  # in the second round
    path = tmp_path / "found.json"
    assert bench("lstm", *SHAPES, "--json", path) == 130
    found = read(path)
    assert found["interrupted"]
    (case,) = found["cases"]
    assert {entry["name"]: entry["time"]["rounds"] for entry in case["entries"]} == {
        "torch": 1,
        "nn": 2,
    }
    captured = capsys.readouterr()
    assert captured.out.count("LSTM, infer") == 1
    assert "interrupted" in captured.err


def test_ctrl_c_while_preparing_keeps_the_cases_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "found.json"
    calls: list[object] = []

    def measure(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return runner.measure(*arguments)

    monkeypatch.setattr(session, "measure", measure)
    assert bench("lstm", *SHAPES, "--json", path) == 130
    found = read(path)
    assert found["interrupted"]
    assert [case["shape"]["T"] for case in found["cases"]] == [4]
    assert capsys.readouterr().out.count("LSTM, infer") == 1
