"""``rnndsl bench``: what is printed, what is written, and what Ctrl-C leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rnndsl.bench import runner, session, torch_nn
from rnndsl.bench.problem import Problem
from rnndsl.bench.report import FORMAT
from rnndsl.bench.subject import Subject
from rnndsl.bench.timing import Sample
from rnndsl.cli import main

ROOT = Path(__file__).resolve().parents[2]
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
    assert found["commands"] == [
        "rnndsl bench lstm --shape 4,2,3,5 --infer --peers torch,nn,jax --threads 1 --seconds 0.001"
    ]
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
        (["--limit", "0"], "E0904"),
        (["--within", "-3"], "E0904"),
        (["--steady", "nan"], "E0904"),
        (["--since", "yesterday"], "E0904"),
        (["--resume"], "E0904"),
        (["--json", "no/such/folder/found.json"], "E0123"),
        (["--json", "."], "E0123"),
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


UNFITTING = """
cell Unfitting(D, H):
    input x: [D]
    state h: [H]
    h' = tanh(linear[H](x, h))
    return reshape[2, H / 2](h')
"""
RESUMED = [*TINY, "--infer", "--peers", "torch,nn", "--resume"]


def test_a_run_is_continued_and_nothing_is_measured_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "found.json"
    assert bench("lstm", *RESUMED, "--json", path) == 0
    (first,) = read(path)["cases"]
    assert bench("lstm", "gru", *RESUMED, "--json", path) == 0
    found = read(path)
    assert [case["source"] for case in found["cases"]] == ["lstm", "gru"]
    assert found["cases"][0]["started"] == first["started"]
    assert len(found["commands"]) == 2
    output = capsys.readouterr().out
    assert "1 of 2 cases are done already" in output
    assert output.count("LSTM, infer") == 1 and output.count("GRU, infer") == 1


def test_forms_and_passes_of_ours_are_cases_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "found.json"
    for options in ([], ["--form", "chunked", "--passes", "none"]):
        assert bench("mingru", *RESUMED, *options, "--json", path) == 0
    found = read(path)
    assert [case["options"] for case in found["cases"]] == [
        {},
        {"form": "chunked", "passes": "none"},
    ]
    assert "--form chunked --passes none" in found["commands"][1]
    assert "form = chunked, passes = none" in capsys.readouterr().out
    assert bench("lstm", *TINY, "--infer", "--form", "chunked") == 1
    assert "E0430" in capsys.readouterr().err


def test_a_peer_that_was_not_measured_is_measured_by_a_continued_run(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    assert bench("lstm", *RESUMED, "--json", path) == 0
    assert bench("lstm", *RESUMED, "--peers", "torch,nn,eager", "--json", path) == 0
    (case,) = read(path)["cases"]
    assert {entry["name"] for entry in case["entries"]} == {"torch", "nn", "eager"}


def test_old_cases_are_measured_again_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    assert bench("lstm", *RESUMED, "--json", path) == 0
    (first,) = read(path)["cases"]
    assert bench("lstm", *RESUMED, "--json", path, "--since", first["started"]) == 0
    assert read(path)["cases"] == [first]
    assert bench("lstm", *RESUMED, "--json", path, "--since", "2999-01-01") == 0
    (again,) = read(path)["cases"]
    assert again["started"] > first["started"]


def test_when_the_time_is_up_no_case_begins_and_the_same_command_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    words = ["elman", "mingru", *RESUMED, "--json", path]
    assert bench(*words, "--within", "1e-9") == 0
    assert not path.exists() or not read(path)["cases"]
    assert bench(*words) == 0
    assert [case["source"] for case in read(path)["cases"]] == ["elman", "mingru"]


def test_unsteady_cases_are_measured_again_and_the_steadier_result_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "found.json"
    spreads = iter([0.5, 0.2, 0.3])

    def take_turns(runs: Any, *rest: Any, **named: Any) -> dict[str, list[Sample]]:
        half = next(spreads)
        return {name: [Sample(1 + 2 * half * side) for side in (-1, 0, 1)] for name in runs}

    monkeypatch.setattr(runner, "take_turns", take_turns)
    kept = []
    for _ in range(3):
        assert bench("lstm", *RESUMED, "--steady", "10", "--json", path) == 0
        (case,) = read(path)["cases"]
        kept.append(round(case["entries"][0]["time"]["upper"] - 1, 6))
    assert kept == [0.5, 0.2, 0.2]
    assert bench("lstm", *RESUMED, "--steady", "25", "--json", path) == 0


def test_a_cell_that_does_not_fit_is_noted_and_the_next_one_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, odd = tmp_path / "found.json", tmp_path / "odd.rnn"
    odd.write_text(UNFITTING, encoding="utf-8")
    assert bench(odd, "gru", *RESUMED, "--json", path) == 1
    found = read(path)
    assert [case["source"] for case in found["cases"]] == ["gru"]
    assert list(found["failures"]) == [f"{odd}, infer, 4,2,3,5"]
    assert f"{odd}, infer, 4,2,3,5: " in capsys.readouterr().out


def test_all_stands_for_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("rnndsl.cell.list_cells", lambda: ["gru", "lstm"])
    path = tmp_path / "found.json"
    assert bench("--all", *TINY, "--infer", "--peers", "torch", "--json", path) == 0
    assert [case["source"] for case in read(path)["cases"]] == ["gru", "lstm"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "rnndsl bench 2"}', "nonsense"])
def test_a_file_that_holds_no_results_is_not_continued(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "found.json"
    path.write_text(text, encoding="utf-8")
    assert bench("lstm", *RESUMED, "--json", path) == 1
    assert "error[E0906]" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == text


def test_results_of_another_number_of_threads_are_not_continued(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "found.json"
    assert bench("lstm", *RESUMED, "--json", path) == 0
    assert bench("gru", *RESUMED, "--threads", "2", "--json", path) == 1
    assert "its threads is 1, here it is 2" in capsys.readouterr().err


def test_what_a_peer_raises_is_told_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def prepare(problem: Problem) -> Subject:
        raise ZeroDivisionError("half a cell")

    monkeypatch.setattr(torch_nn, "prepare", prepare)
    assert bench("lstm", *TINY, "--infer", "--peers", "torch,nn") == 0
    assert "nn is missing: it failed: ZeroDivisionError: half a cell" in capsys.readouterr().out


def test_a_tvm_that_does_not_load_is_a_clear_error(tmp_path: Path) -> None:
    broken = tmp_path / "tvm" / "__init__.py"
    broken.parent.mkdir()
    broken.write_text("raise ImportError('no libtvm.so')\n")
    found = subprocess.run(
        [sys.executable, "-m", "rnndsl", "bench", "lstm", *TINY, "--peers", "auto", "--infer"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("error[E0501]") and "no libtvm.so" in found.stderr
