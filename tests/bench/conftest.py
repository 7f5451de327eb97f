"""A benchmark that takes no time: tiny shapes, and hardly a look at the machine."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch

from rnndsl.bench import machine, runner, timing
from rnndsl.compiler.cost import TYPICAL


@pytest.fixture(autouse=True)
def small_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(machine, "MATRIX", 32)
    monkeypatch.setattr(machine, "STREAM", 1024)
    monkeypatch.setattr(machine, "SECONDS", 0.0)
    monkeypatch.setattr(runner, "machine_rates", lambda: TYPICAL)
    monkeypatch.setattr(timing, "TURN_SECONDS", 0.0)
    # Measuring memory collects garbage: not what other tests have left in this process.
    gc.freeze()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    gc.unfreeze()
