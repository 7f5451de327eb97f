"""Checkpoints: resuming to the same bits, and refusing what cannot be resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rnndsl.atomic import write_text_atomically
from rnndsl.diagnostics import RnndslError
from rnndsl.training import checkpoint as checkpoint_module
from rnndsl.training.checkpoint import load_checkpoint, save_checkpoint
from rnndsl.training.config import TrainConfig, config_to_json
from rnndsl.training.loop import train
from rnndsl.training.metrics import MetricsLog, read_metrics

Factory = Callable[[int, int], nn.Module]
StartWorker = Callable[..., "subprocess.Popen[str]"]


def assert_same_run(one: Path, two: Path) -> None:
    """Two folders hold the same weights, optimiser, random states, losses and metrics."""
    a, b = load_checkpoint(one / "last.pt"), load_checkpoint(two / "last.pt")
    for part in ("model", "optimizer", "state", "random", "plateau"):
        assert checkpoint_module.digest(a[part]) == checkpoint_module.digest(b[part]), part
    assert _without_time(a["position"]) == _without_time(b["position"])
    assert [*map(_without_time, a["history"])] == [*map(_without_time, b["history"])]
    rows = (read_metrics(folder / "metrics.jsonl") for folder in (one, two))
    left, right = ([*map(_without_time, r)] for r in rows)
    assert left == right


def _without_time(record: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if k not in ("seconds", "tokens_per_second")}


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    for read in process.stdout:
        if read.strip() == line:
            return
    raise AssertionError(f"{line!r} never came: {process.stderr and process.stderr.read()}")


@pytest.fixture
def whole(tiny: TrainConfig, make_layer: Factory, tmp_path: Path) -> TrainConfig:
    """A configuration whose every part has something to remember, trained without a stop."""
    config = replace(tiny, schedule="plateau", plateau_patience=1, run_dir=str(tmp_path / "whole"))
    train(config, make_layer=make_layer)
    return config


def as_json(config: TrainConfig, run_dir: Path) -> str:
    return json.dumps(config_to_json(replace(config, run_dir=str(run_dir))))


def test_killed_run_resumes_to_the_same_bits(
    start_worker: StartWorker, whole: TrainConfig, tmp_path: Path
) -> None:
    config = as_json(whole, tmp_path / "killed")
    first = start_worker(config, "--pause", 18)
    wait_for(first, "step 18")  # the last checkpoint was at 14, the last validation at 10
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    again = start_worker(config, "--resume")
    output, error = again.communicate(timeout=120)
    assert again.returncode == 0, error
    assert output.split("\n")[0] == "step 15"
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_ctrl_c_saves_and_the_run_resumes_to_the_same_bits(
    start_worker: StartWorker, whole: TrainConfig, make_layer: Factory, tmp_path: Path
) -> None:
    stopped = tmp_path / "stopped"
    worker = start_worker(as_json(whole, stopped), "--pause", 12)
    wait_for(worker, "step 12")
    worker.send_signal(signal.SIGINT)
    assert worker.wait(timeout=120) == 130
    assert load_checkpoint(stopped / "last.pt")["position"]["step"] == 12
    train(replace(whole, run_dir=str(stopped)), make_layer=make_layer, resume=True)
    assert_same_run(tmp_path / "whole", stopped)


def test_pruned_run_resumes_in_process(
    tiny: TrainConfig, make_layer: Factory, tmp_path: Path
) -> None:
    one, two = (replace(tiny, run_dir=str(tmp_path / name)) for name in ("one", "two"))
    train(one, make_layer=make_layer)
    train(two, lambda p: p.step < 13, make_layer=make_layer)
    result = train(two, make_layer=make_layer, resume=True)
    assert result.stopped == "finished"
    assert_same_run(tmp_path / "one", tmp_path / "two")


def test_finished_run_resumes_with_more_steps(
    tiny: TrainConfig, make_layer: Factory, tmp_path: Path
) -> None:
    config = replace(tiny, steps=10, schedule="constant", run_dir=str(tmp_path / "run"))
    train(config, make_layer=make_layer)
    assert train(config, make_layer=make_layer, resume=True).step == 10
    longer = replace(config, steps=20)
    assert train(longer, make_layer=make_layer, resume=True).step == 20
    assert json.loads((tmp_path / "run" / "config.json").read_text())["steps"] == 20


def test_half_written_files_of_a_killed_run_are_removed(
    tiny: TrainConfig, make_layer: Factory, tmp_path: Path
) -> None:
    config = replace(tiny, steps=2, run_dir=str(tmp_path / "run"))
    train(config, make_layer=make_layer)
    (tmp_path / "run" / ".last.pt.x1y2z3").write_bytes(b"half")
    (tmp_path / "run" / ".notes").write_text("not ours")
    train(config, make_layer=make_layer, resume=True)
    hidden = [p.name for p in (tmp_path / "run").iterdir() if p.name.startswith(".")]
    assert hidden == [".notes"]


@pytest.fixture
def trained(tiny: TrainConfig, make_layer: Factory, tmp_path: Path) -> TrainConfig:
    config = replace(tiny, steps=10, run_dir=str(tmp_path / "run"))
    train(config, make_layer=make_layer)
    return config


def refusal(config: TrainConfig, make_layer: Factory) -> str:
    with pytest.raises(RnndslError) as caught:
        train(config, make_layer=make_layer, resume=True)
    return str(caught.value)


def test_every_truncation_of_a_checkpoint_is_refused(
    trained: TrainConfig, make_layer: Factory
) -> None:
    last = Path(str(trained.run_dir)) / "last.pt"
    data = last.read_bytes()
    for length in (0, 1, 100, len(data) // 2, len(data) - 1):
        last.write_bytes(data[:length])
        message = refusal(trained, make_layer)
        assert "E0710" in message
        assert "best.pt" in message  # what to do about it


def test_changed_byte_in_a_checkpoint_is_refused(trained: TrainConfig, make_layer: Factory) -> None:
    last = Path(str(trained.run_dir)) / "last.pt"
    weight = load_checkpoint(last)["model"]["decoder.weight"].numpy().tobytes()
    data = bytearray(last.read_bytes())
    data[data.index(weight) + 5] ^= 1
    last.write_bytes(bytes(data))
    assert "E0710" in refusal(trained, make_layer)


def test_other_files_are_no_checkpoints(
    trained: TrainConfig, make_layer: Factory, tmp_path: Path
) -> None:
    last = Path(str(trained.run_dir)) / "last.pt"
    torch.save({"weights": torch.zeros(3)}, last)
    assert "not a checkpoint of rnndsl" in refusal(trained, make_layer)
    torch.save(nn.Linear(2, 2), last)  # a pickled object, which is never executed
    assert "E0710" in refusal(trained, make_layer)
    last.unlink()
    assert "E0709" in refusal(trained, make_layer)


def test_newer_format_is_refused_by_its_version(
    trained: TrainConfig, make_layer: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = Path(str(trained.run_dir)) / "last.pt"
    payload = load_checkpoint(last)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_module, "VERSION", 99)
        save_checkpoint(last, payload)
    assert "version 99" in refusal(trained, make_layer)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hidden": 9}, "hidden was 8, now 9"),
        ({"seed": 5}, "seed was 0, now 5"),
        ({"cell": "gru"}, "made for the cell `lstm`, not `gru`"),
    ],
)
def test_checkpoint_of_another_run_is_refused_with_the_difference(
    trained: TrainConfig, make_layer: Factory, change: dict[str, Any], told: str
) -> None:
    assert told in refusal(replace(trained, **change), make_layer)


def test_changed_data_are_noticed(trained: TrainConfig, make_layer: Factory) -> None:
    path = Path(str(trained.data))
    path.write_text(path.read_text() + " one two three")
    assert "the data have changed" in refusal(trained, make_layer)


def test_new_run_does_not_overwrite_an_old_one(trained: TrainConfig, make_layer: Factory) -> None:
    with pytest.raises(RnndslError, match="E0714"):
        train(trained, make_layer=make_layer)


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.pt"
    save_checkpoint(path, {"step": 1})

    def full(descriptor: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RnndslError, match="no space left on device"):
        save_checkpoint(path, {"step": 2})
    monkeypatch.undo()
    assert load_checkpoint(path) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["file.pt"]


def test_unwritable_folder_is_told(tiny: TrainConfig, make_layer: Factory, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RnndslError, match="E0123"):
        train(replace(tiny, run_dir=str(tmp_path / "file" / "run")), make_layer=make_layer)


def test_metrics_forget_what_comes_after_a_step_and_half_lines(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3):
        log.append({"step": step, "loss": float("inf") if step == 2 else 0.5})
    with log.path.open("a") as file:
        file.write('{"step": 4, "lo')
    log.rewind(2)
    log.append({"step": 3, "loss": 0.25})
    assert [(r["step"], r["loss"]) for r in read_metrics(log.path)] == [
        (1, 0.5),
        (2, None),
        (3, 0.25),
    ]


def test_text_is_written_whole(tmp_path: Path) -> None:
    write_text_atomically(tmp_path / "x", "näïve\n")
    assert (tmp_path / "x").read_bytes() == "näïve\n".encode()
