"""Kernels of a training step are made side by side, before the first of them is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import rnndsl
from rnndsl.backends.torch import by_dtype
from rnndsl.backends.torch.by_dtype import ByDtype
from rnndsl.backends.torch.errors import LayerInputError
from rnndsl.backends.tvm import making
from rnndsl.backends.tvm.worker import Worker
from tests.backends.test_forms import needs_tvm


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens: "lowered" for each kernel that Python is done with, "run" for each call."""
    found = list[str]()
    lowered, run = making._lowered, Worker.__call__

    def noting_lowered(*given: Any) -> Any:
        kernel = lowered(*given)
        found.append("lowered")
        return kernel

    def noting_run(*given: Any) -> Any:
        found.append("run")
        return run(*given)

    monkeypatch.setattr(making, "cache_folder", lambda: None)
    monkeypatch.setattr(by_dtype, "usable_processors", lambda: 2)
    monkeypatch.setattr(making, "_lowered", noting_lowered)
    monkeypatch.setattr(Worker, "__call__", noting_run)
    return found


def train(layer: Any, steps: int) -> None:
    y, _ = layer(torch.randn(steps, 2, 3))
    y.sum().backward()


@needs_tvm
def test_all_kernels_of_a_step_are_begun_before_one_runs(events: list[str]) -> None:
    layer = rnndsl.layer("gru", 3, 5, backend="tvm")
    train(layer, 4)
    assert events == ["lowered"] * 2 + ["run"] * 2
    train(layer, 7)
    assert events == ["lowered"] * 2 + ["run"] * 4


@needs_tvm
@pytest.mark.parametrize(("bidirectional", "size"), [(False, 32), (True, 40)])
def test_those_of_blocks_and_of_the_rest_are_begun_together(
    events: list[str], bidirectional: bool, size: int
) -> None:
    layer = rnndsl.layer("linear_attention", 3, size, bidirectional=bidirectional, backend="tvm")
    train(layer, 35)
    assert events[:5] == ["lowered"] * 4 + ["run"]
    directions = 2 if bidirectional else 1
    assert sorted(events) == ["lowered"] * 4 * directions + ["run"] * 4 * directions


@needs_tvm
def test_without_a_rest_only_blocks_are_begun(events: list[str]) -> None:
    train(rnndsl.layer("linear_attention", 3, 33, backend="tvm"), 64)
    assert events == ["lowered"] * 2 + ["run"] * 2


@needs_tvm
def test_one_processor_makes_only_what_it_runs_next(
    events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_dtype, "usable_processors", lambda: 1)
    train(rnndsl.layer("gru", 3, 7, backend="tvm"), 4)
    assert events == ["lowered", "run"] * 2


def counting(begun: list[str], ended: list[str]) -> Callable[[str], Callable[[], str]]:
    def begin(dtype: str) -> Callable[[], str]:
        begun.append(dtype)

        def end() -> str:
            ended.append(dtype)
            return dtype

        return end

    return begin


def test_each_dtype_is_made_once_whether_begun_before_or_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(by_dtype, "usable_processors", lambda: 2)
    begun, ended = list[str](), list[str]()
    found = ByDtype(counting(begun, ended))
    single, double = torch.zeros(1), torch.zeros(1, dtype=torch.float64)
    found.begin(single)
    found.begin(single)
    assert (begun, ended) == (["float32"], [])
    assert [found(single), found(single), found(double)] == ["float32", "float32", "float64"]
    found.begin(double)
    assert begun == ended == ["float32", "float64"]


def test_what_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_dtype, "usable_processors", lambda: 2)
    tries = list[str]()

    def begin(dtype: str) -> Callable[[], str]:
        tries.append(dtype)
        return lambda: dtype if len(tries) > 1 else str(1 // 0)

    found = ByDtype(begin)
    found.begin(torch.zeros(1))
    with pytest.raises(ZeroDivisionError):
        found(torch.zeros(1))
    assert found(torch.zeros(1)) == "float32"


@pytest.mark.parametrize("like", [torch.zeros(1, dtype=torch.int64), torch.zeros(1, device="meta")])
def test_other_tensors_are_refused(like: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_dtype, "usable_processors", lambda: 2)
    found = ByDtype(counting([], []))
    with pytest.raises(LayerInputError):
        found.begin(like)
    with pytest.raises(LayerInputError):
        found(like)
