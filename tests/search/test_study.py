"""The study's loop: duplicates, rejections, failures, death, resumption, results."""

from __future__ import annotations

import csv
import errno
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

optuna = pytest.importorskip("optuna", reason="searching needs Optuna")

from optuna.trial import FrozenTrial, TrialState

import rnndsl
from rnndsl.diagnostics import RnndslError
from rnndsl.formatting.formatter import format_file
from rnndsl.parsing.parser import parse_file
from rnndsl.search.journal import open_journal
from rnndsl.search.objective import Report
from rnndsl.search.orphans import is_orphan
from rnndsl.search.record import Outcome, read_records
from rnndsl.search.worker import this_worker
from rnndsl.source import Source
from tests.search.stub import SPACE, Quiet, Stub, score_of, search

ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path, mode: str, trials: int = 6, name: str = "random") -> subprocess.Popen[str]:
    """A search in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.search.stub", str(folder), name, str(trials), mode],
        cwd=ROOT,
        env={"OMP_NUM_THREADS": "1", "PATH": ""},
        stdout=subprocess.PIPE,
        text=True,
    )


# ------------------------------------------------------------------------------- judging


def test_a_cell_that_repeats_another_is_not_trained_again(tmp_path: Path) -> None:
    text = SPACE.replace("?expr(x, h, depth = 1)", "?(linear[H](x, h) + h | h + linear[H](x, h))")
    objective, watcher = Stub(), Quiet()
    result = search(tmp_path, objective, text=text, trials=100, watcher=watcher)
    assert result.ended == "exhausted"
    assert len(result.board.rows) == 6  # of twelve texts: the order of a sum makes no new cell
    assert len(objective.trained) == 1 + 6
    duplicates = [r for r in watcher.records if r.kind == "duplicate"]
    assert result.board.counts["duplicate"] == len(duplicates) >= 6
    first = {r.hash: r for r in reversed(watcher.records) if r.kind == "scored"}
    assert all(r.score == first[r.hash].score for r in duplicates)


def test_duplicates_are_recognised_across_calls(tmp_path: Path) -> None:
    again = Stub()
    search(tmp_path, trials=6)
    search(tmp_path, again, trials=12)
    known = {row["text"] for row in read_rows(tmp_path)}
    assert len(known) == len(read_rows(tmp_path)) == 12
    assert len(again.trained) == 6


REJECTED = {
    "does not pass the checks": ("h + x", "E0"),
    "does not use a state": ("x0", "does not depend on state h"),
    "does not use the input": ("tanh(h)", "reads no input"),
    "explodes": ("3 * h + linear[H](x, h)", "exceeds 10000"),
    "is not finite": ("log(-abs(h)) + linear[H](x)", "not finite"),
}


@pytest.mark.parametrize(("value", "reason"), REJECTED.values(), ids=REJECTED.keys())
def test_hopeless_cells_are_rejected_with_the_reason(
    value: str, reason: str, tmp_path: Path
) -> None:
    text = (
        "space S(D, H):\n    input x: [D]\n    state h: [H]\n    x0 = tanh(linear[H](x))\n"
        f"    h' = ?({value} | tanh(linear[H](x, h)))\n    return h'\n"
    )
    objective, watcher = Stub(), Quiet()
    search(tmp_path, objective, text=text, trials=5, watcher=watcher)
    (rejected,) = (r for r in watcher.records if r.kind == "rejected")
    assert reason in rejected.reason
    assert len(objective.trained) == 2  # the baseline, and the cell that is sound


def test_a_space_without_a_sound_cell_is_an_error(tmp_path: Path) -> None:
    text = (
        "space S(D, H):\n    input x: [D]\n    state h: [H]\n"
        "    h' = 3 * ?(h | h + h) + linear[H](x)\n    return h'\n"
    )
    with pytest.raises(RnndslError, match="E0611") as caught:
        search(tmp_path, text=text)
    assert "exceeds 10000" in str(caught.value)


def test_failures_are_recorded_and_the_search_goes_on(tmp_path: Path) -> None:
    def hook(text: str, report: Report) -> Outcome | None:
        if "relu" in text:
            raise RuntimeError("out of\nmemory")
        if "sin(" in text:
            return Outcome("diverged", reason="the loss is nan")
        return None

    watcher = Quiet()
    result = search(tmp_path, Stub(hook), trials=12, watcher=watcher)
    assert result.ended == "trials"
    kinds = {r.kind for r in watcher.records}
    assert {"scored", "failed", "diverged"} <= kinds
    assert {r.reason for r in watcher.records if r.kind == "failed"} == {
        "RuntimeError: out of memory"
    }
    assert {r.reason for r in watcher.records if r.kind == "diverged"} == {"the loss is nan"}


def test_cells_worse_than_the_median_are_stopped_early(tmp_path: Path) -> None:
    def hook(text: str, report: Report) -> Outcome | None:
        for rung in (1, 2, 3):
            if report(rung, score_of(text)):
                return Outcome("pruned", reason=f"at rung {rung}")
        return None

    watcher = Quiet()
    search(tmp_path, Stub(hook), trials=14, watcher=watcher)
    pruned = [r for r in watcher.records if r.kind == "pruned"]
    best = min(r.score for r in watcher.records if r.score is not None)
    assert pruned
    assert all(list(r.curve) == [1] and r.curve[1] > best for r in pruned)


# ------------------------------------------------------------------------------ disks


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "study"):
        with pytest.raises(RnndslError, match="E0123"):
            search(folder, trials=1)


def test_a_full_disk_ends_a_search_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(tmp_path, trials=2)

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(RnndslError, match="no space left"):
        search(tmp_path, trials=4)


# -------------------------------------------------------------------- ending and resuming


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_a_killed_search_loses_at_most_the_trial_that_ran(name: str, tmp_path: Path) -> None:
    assert start(tmp_path, "die", name=name).wait(timeout=60) == -signal.SIGKILL
    objective, watcher = Stub(), Quiet()
    result = search(tmp_path, objective, name=name, trials=6, watcher=watcher)
    assert watcher.resumes == [(2, 1)]
    assert len(objective.trained) == 4  # two cells and the baseline were done
    assert len(result.board.rows) == 6
    # The cell that was cut short comes first.
    lost = read_trials(tmp_path)["orphaned"]
    assert len(lost) == 1
    assert watcher.records[0].choices == lost[0]["choices"]


def read_trials(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The trials of a study by kind, from its storage."""
    study = optuna.load_study(study_name="cells", storage=open_journal(folder / "journal.log"))
    found: dict[str, list[dict[str, Any]]] = {}
    for record in read_records(study.trials):
        found.setdefault(record.kind, []).append(
            {"choices": record.choices, "reason": record.reason, "number": record.number}
        )
    return found


def test_ctrl_c_ends_with_130_and_nothing_is_lost(tmp_path: Path) -> None:
    process = start(tmp_path, "wait")
    assert process.stdout is not None
    while "waiting" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130
    assert len(read_rows(tmp_path)) == 2
    watcher = Quiet()
    result = search(tmp_path, trials=6, watcher=watcher)
    assert len(result.board.rows) == 6
    assert result.board.counts["interrupted"] == 1
    assert watcher.records[0].choices == read_trials(tmp_path)["interrupted"][0]["choices"]


def test_trials_of_a_living_process_are_left_alone(tmp_path: Path) -> None:
    process = start(tmp_path, "wait")
    assert process.stdout is not None
    while "waiting" not in process.stdout.readline():
        assert process.poll() is None
    try:
        watcher = Quiet()
        search(tmp_path, trials=4, watcher=watcher)
        assert watcher.resumes == [(2, 0)]
    finally:
        process.kill()
        process.wait()


def test_a_torn_last_line_is_survived(tmp_path: Path) -> None:
    search(tmp_path, trials=3)
    journal = tmp_path / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"worker')
    objective = Stub()
    result = search(tmp_path, objective, trials=5)
    assert len(result.board.rows) == 5
    assert len(objective.trained) == 2
    assert journal.read_bytes().startswith(whole)
    search(tmp_path, trials=6)


def test_a_lock_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl", reason="this system locks by files")
    program = (
        "import pathlib, sys; from rnndsl.search.journal import KernelLock;"
        "lock = KernelLock(pathlib.Path(sys.argv[1])); lock.acquire(); print('held', flush=True);"
        "sys.stdin.read()"
    )
    journal = tmp_path / "journal.log"
    holder = subprocess.Popen(
        [sys.executable, "-c", program, journal],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with journal.open("ab") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder.kill()
        holder.wait()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    search(tmp_path, trials=2)
    journal = tmp_path / "journal.log"
    lines = journal.read_bytes().split(b"\n")
    journal.write_bytes(b"\n".join([*lines[:4], b"{", *lines[5:]]))
    with pytest.raises(RnndslError, match="line 5 is damaged"):
        search(tmp_path, trials=3)


def test_another_space_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    search(tmp_path, trials=2)
    with pytest.raises(RnndslError, match="another space"):
        search(tmp_path, trials=3, text=SPACE.replace("sin", "cos"))


def test_other_training_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    search(tmp_path, Stub(extra={"steps": 100}), trials=2)
    with pytest.raises(RnndslError, match="steps was 100, now 200"):
        search(tmp_path, Stub(extra={"steps": 200}), trials=3)


def test_the_sampler_may_change_on_resuming(tmp_path: Path) -> None:
    search(tmp_path, trials=2, name="random")
    assert len(search(tmp_path, trials=4, name="tpe").board.rows) == 4


# ------------------------------------------------------------------------------- results


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The cells of the leaderboard, without the baseline."""
    rows = json.loads((folder / "leaderboard.json").read_text())["rows"]
    return [row for row in rows if not row["baseline"]]


def test_every_trial_can_be_done_again_from_its_record(tmp_path: Path) -> None:
    search(tmp_path, trials=4)
    content = json.loads((tmp_path / "leaderboard.json").read_text())
    assert content["settings"]["seed"] == 0
    assert {"rnndsl", "optuna", "python"} <= set(content["versions"])
    for row in read_rows(tmp_path):
        assert str(rnndsl.parse(row["text"])) == row["text"]
        assert row["points"] == score_of(row["text"])


def test_the_leaderboard_ranks_the_baseline_among_the_cells(tmp_path: Path) -> None:
    search(tmp_path, trials=8)
    with (tmp_path / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    scores = [float(row["points"]) for row in rows]
    assert scores == sorted(scores)
    assert len(rows) == 9
    (baseline,) = (row for row in rows if row["baseline"] == "True")
    assert float(baseline["points"]) == 3.0


def test_the_baseline_is_trained_once(tmp_path: Path) -> None:
    first, second = Stub(), Stub()
    search(tmp_path, first, trials=2)
    search(tmp_path, second, trials=3)
    assert first.trained.count("baseline") == 1
    assert second.trained.count("baseline") == 0


def test_the_winner_is_a_formatted_file_that_says_how_it_was_found(tmp_path: Path) -> None:
    result = search(tmp_path, trials=8)
    text = (tmp_path / "winner.rnn").read_text()
    winner = result.board.winner
    assert winner is not None
    assert f"{winner.score:.3f} points" in text.splitlines()[0]
    assert all(f"# {name} = {label}\n" in text for name, label in winner.choices.items())
    assert format_file(parse_file(Source("winner.rnn", text))) == text
    assert rnndsl.load(tmp_path / "winner.rnn").name == "S"


def test_processes_are_recognised_by_more_than_their_number() -> None:
    def trial(**changes: object) -> FrozenTrial:
        return FrozenTrial(
            number=0,
            trial_id=0,
            state=TrialState.RUNNING,
            value=None,
            datetime_start=datetime.now(UTC),
            datetime_complete=None,
            params={},
            distributions={},
            user_attrs={"origin": {**this_worker(), **changes}},
            system_attrs={},
            intermediate_values={},
        )

    assert not is_orphan(trial())
    assert not is_orphan(trial(host="elsewhere", pid=1, start="0"))
    assert is_orphan(trial(start="another boot of this number"))
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert is_orphan(trial(pid=child.pid))
    assert os.getpid() != child.pid
