"""A tiny corpus, a tiny configuration and a plain recurrent layer, for quick runs."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from rnndsl.training.config import TrainConfig

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def plain_lstm(input_size: int, hidden_size: int) -> nn.Module:
    return nn.LSTM(input_size, hidden_size)


@pytest.fixture
def make_layer() -> Callable[[int, int], nn.Module]:
    return plain_lstm


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """3000 characters over a small alphabet, with some structure to learn."""
    draw = random.Random(0)
    words = ["one", "two", "three", "four", "five"]
    lines = (" ".join(draw.choice(words) for _ in range(8)) for _ in range(200))
    path = tmp_path / "text.txt"
    path.write_text("\n".join(lines)[:3000], encoding="utf-8")
    return path


@pytest.fixture
def tiny(text_file: Path) -> TrainConfig:
    """20 steps per epoch, every kind of dropout on."""
    return TrainConfig(
        data=str(text_file),
        hidden=8,
        embedding=6,
        layers=2,
        batch=8,
        bptt=17,
        steps=30,
        epochs=None,
        eval_every=10,
        checkpoint_every=7,
        dropout=0.2,
        input_dropout=0.1,
        embedding_dropout=0.1,
        lr=1e-2,
        warmup=3,
    )


@pytest.fixture
def start_worker() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts tests/training/worker.py; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, str(ROOT / "tests/training/worker.py"), *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
